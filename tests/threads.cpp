// Work shared out over the library's own threads: each piece once, reduced in order, whoever calls.
#include "catch.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#if defined(__unix__)
#include <sys/wait.h>
#include <unistd.h>
#endif

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)  // it starts no threads in a child process
#define SCOREMATCH_NO_FORK
#endif
#endif

#include "scorematch/evaluate/threads.hpp"

namespace sm = scorematch;
using sm::Index;
using sm::evaluate::for_each_piece;
using sm::evaluate::PerThread;

namespace {

struct State {
  Index piece = -1;
  std::vector<double> numbers;
};
const auto nothing = [](State&) {};

/// The number of threads as it was, after the test.
struct Threads {
  explicit Threads(int count) { sm::set_threads(count); }
  ~Threads() { sm::set_threads(0); }
};

double term(Index piece, Index i) { return 1.0 / static_cast<double>(3 + 7 * piece + i); }

// A sum whose bits depend on its order, by each of the three loops.
std::vector<double> sums(Index pieces) {
  double ordered = 0, rounds = 0;
  std::vector<double> own(static_cast<std::size_t>(pieces)), added(101);
  PerThread<State> states;
  for (int again = 0; again < 2; ++again) {
    ordered = rounds = 0;
    added.assign(101, 0);
    for_each_piece(
        pieces, states, nothing, [](State& s, Index piece) { s.piece = piece; },
        [&](State& s, Index piece) { ordered += piece == s.piece ? term(piece, 0) : 1e9; });
    for_each_piece(pieces, states, nothing,
                   [&](State&, Index piece) { own[static_cast<std::size_t>(piece)] += term(piece, 1); });
    for_each_piece(
        pieces, states, nothing,
        [](State& s, Index piece) {
          s.numbers.resize(101);
          for (Index i = 0; i < 101; ++i) s.numbers[static_cast<std::size_t>(i)] = term(piece, i);
        },
        [&](State& s, Index piece) { rounds += s.numbers[0] == term(piece, 0) ? term(piece, 2) : 1e9; }, 101,
        [&](State& s, Index, Index first, Index count) {
          for (Index i = first; i < first + count; ++i)
            added[static_cast<std::size_t>(i)] += s.numbers[static_cast<std::size_t>(i)];
        });
  }
  std::vector<double> all{ordered, rounds};
  all.insert(all.end(), own.begin(), own.end());
  all.insert(all.end(), added.begin(), added.end());
  return all;
}

/// Waits until `count` is reached, or ten seconds: then the count is spoilt.
void meet(std::atomic<int>& count, int wanted) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (++count; count < wanted; std::this_thread::yield())
    if (std::chrono::steady_clock::now() > end) count = 1000;
}

}  // namespace

TEST_CASE("Each piece is worked on once and reduced in order, by any number of threads") {
  for (const Index pieces : {0, 1, 2, 3, 64}) {
    std::vector<double> alone;
    {
      const Threads one(1);
      alone = sums(pieces);
    }
    CHECK(alone[0] < 3);
    CHECK(alone[1] < 3);
    for (const int count : {2, 3, 5}) {
      const Threads several(count);
      for (int again = 0; again < 20; ++again) CHECK(sums(pieces) == alone);
    }
  }
}

TEST_CASE("Threads work at the same time, as many as were asked for") {
  const Threads three(3);
  PerThread<State> states;
  std::atomic<int> here{0};
  for_each_piece(3, states, nothing, [&](State&, Index) { meet(here, 3); });
  CHECK(here == 3);
  std::mutex mutex;
  std::set<std::thread::id> ids;
  for_each_piece(64, states, nothing, [&](State&, Index) {
    const std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  CHECK(ids.size() <= 3);
}

TEST_CASE("The exception of the first piece that throws reaches the caller") {
  for (const int count : {1, 2, 4}) {
    INFO(count << " threads");
    const Threads several(count);
    PerThread<State> states;
    const auto fails = [](State&, Index piece) {
      if (piece == 5 || piece > 7) throw std::runtime_error("piece " + std::to_string(piece));
    };
    const auto fine = [](State&, Index) {};
    for (int again = 0; again < 50; ++again) {
      Index reduced = 0;
      CHECK_THROWS_WITH(for_each_piece(40, states, nothing, fails), "piece 5");
      CHECK_THROWS_WITH(for_each_piece(40, states, nothing, fails, [&](State&, Index) { ++reduced; }), "piece 5");
      CHECK(reduced == 5);
      CHECK_THROWS_WITH(for_each_piece(40, states, nothing, fine, fails), "piece 5");
      CHECK_THROWS_WITH(for_each_piece(40, states, nothing, fails, fine, 10, [](State&, Index, Index, Index) {}),
                        "piece 5");
    }
  }
}

TEST_CASE("What a piece calls shares nothing out") {
  const Threads three(3);
  PerThread<State> states;
  std::atomic<int> here{0}, elsewhere{0};
  for_each_piece(3, states, nothing, [&](State&, Index) {
    meet(here, 3);
    const auto me = std::this_thread::get_id();
    PerThread<State> inner;
    for_each_piece(8, inner, nothing, [&](State&, Index) { elsewhere += std::this_thread::get_id() != me; });
  });
  CHECK(elsewhere == 0);
}

TEST_CASE("Several threads of a program may call at once, and share the library's threads") {
  const Threads three(3);
  const std::vector<double> alone = sums(64);
  std::atomic<int> wrong{0}, working{0}, most{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&] {
      PerThread<State> states;
      for (int again = 0; again < 50; ++again) {
        wrong += sums(64) != alone;
        for_each_piece(4, states, nothing, [&](State&, Index) {
          const int now = ++working;
          int seen = most;
          while (now > seen && !most.compare_exchange_weak(seen, now)) {
          }
          std::this_thread::sleep_for(std::chrono::microseconds(50));
          --working;
        });
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
  // the callers and the threads that the tests before have started, which asked for five in all
  CHECK(most <= 4 + 4);
}

TEST_CASE("Pieces that take no time stay with the caller") {
  const Threads three(3);
  PerThread<State> states;
  int stayed = 0;
  for (int again = 0; again < 20; ++again) {  // a call that something interrupts counts as a long one
    std::atomic<int> elsewhere{0};
    const auto me = std::this_thread::get_id();
    for_each_piece(4, states, nothing, [&](State&, Index) { elsewhere += std::this_thread::get_id() != me; });
    if (again > 0) stayed += elsewhere == 0;
  }
  CHECK(stayed >= 10);
}

TEST_CASE("Long work is shared out after short work on the same states") {
  const Threads three(3);
  PerThread<State> states;
  for (int again = 0; again < 10; ++again) for_each_piece(3, states, nothing, [](State&, Index) {});
  std::atomic<int> here{0};
  for_each_piece(3, states, nothing, [&](State&, Index) { meet(here, 3); });
  CHECK(here == 3);
}

TEST_CASE("Threads that wait take no time") {
  const Threads five(5);
  PerThread<State> states;
  std::atomic<int> here{0};
  for_each_piece(5, states, nothing, [&](State&, Index) { meet(here, 5); });
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  CHECK(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC < 0.05);  // one that spins would take 0.2 s or more
}

TEST_CASE("set_threads and SCOREMATCH_NUM_THREADS say how many threads there are") {
  CHECK_THROWS_WITH(sm::set_threads(-1), "scorematch: set_threads: count is -1; it must be 0 to 1024");
  CHECK_THROWS_WITH(sm::set_threads(1025), "scorematch: set_threads: count is 1025; it must be 0 to 1024");
  sm::set_threads(7);
  CHECK(sm::threads() == 7);
#if defined(__unix__)
  const char* before = std::getenv("SCOREMATCH_NUM_THREADS");
  const std::string kept = before == nullptr ? "" : before;
  setenv("SCOREMATCH_NUM_THREADS", "6", 1);
  CHECK(sm::threads() == 7);
  sm::set_threads(0);
  CHECK(sm::threads() == 6);
  for (const char* wrong : {"two", "0", "2 cores", "99999999999999999999"}) {
    setenv("SCOREMATCH_NUM_THREADS", wrong, 1);
    sm::set_threads(0);
    CHECK_THROWS_WITH(sm::threads(), std::string("scorematch: SCOREMATCH_NUM_THREADS is \"") + wrong +
                                         "\"; it must be a whole number from 1 to 1024");
  }
  setenv("SCOREMATCH_NUM_THREADS", kept.c_str(), 1);
#endif
  sm::set_threads(0);
#ifdef _OPENMP
  const int threads = omp_get_max_threads();
  omp_set_num_threads(3);
  CHECK(sm::threads() == 3);
  omp_set_num_threads(threads);
#elif defined(__unix__)
  if (kept.empty()) CHECK(sm::threads() == 1);
#endif
}

#ifdef _OPENMP
TEST_CASE("Inside a parallel region of OpenMP each thread works for itself") {
  const Threads three(3);
  const std::vector<double> alone = sums(20);
  std::atomic<int> elsewhere{0}, wrong{0};
#pragma omp parallel num_threads(2)
  {
    const auto me = std::this_thread::get_id();
    PerThread<State> states;
    for_each_piece(8, states, nothing, [&](State&, Index) { elsewhere += std::this_thread::get_id() != me; });
    wrong += sums(20) != alone;
  }
  CHECK(elsewhere == 0);
  CHECK(wrong == 0);
}
#endif

#if defined(__unix__) && !defined(SCOREMATCH_NO_FORK)
TEST_CASE("A child process has threads of its own") {
  const Threads three(3);
  const auto all_meet = [] {
    PerThread<State> states;
    std::atomic<int> here{0};
    for_each_piece(3, states, nothing, [&](State&, Index) { meet(here, 3); });
    return here == 3;
  };
  CHECK(all_meet());
  const std::vector<double> alone = sums(20);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // ends a child that waits for ever
    _exit(all_meet() && sums(20) == alone ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(all_meet());
}
#endif
