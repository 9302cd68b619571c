// The one place where work is shared out over threads.
//
// Pieces are worked on by any thread, and reduced in their order, so that results are the same bits for any number of
// threads. The threads are those of thread_pool.hpp; thread_count.hpp says how many.
#pragma once

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "scorematch/evaluate/thread_pool.hpp"
#include "scorematch/thread_count.hpp"
#include "scorematch/types.hpp"

namespace scorematch::evaluate {

/// The processor time of the calling thread, in seconds.
inline double thread_seconds() {
#ifdef CLOCK_THREAD_CPUTIME_ID
  timespec time{};
  (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
#else
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
#endif
}

/// Whether it pays to share out pieces of one kind of work. It does not where they take hardly longer than to
/// wake a thread, nor where other programs keep a thread from running: it stops in the middle of a piece, and the
/// others wait for it. What the caller computed tells how long it would have taken alone; where that is no longer, it
/// works alone for a while, and then tries again.
class PieceTime {
 public:
  int threads_for(Index pieces) const {
    constexpr double worth_waking = 20e-6;
    if (pieces < 2 || inside_piece || seconds_ * static_cast<double>(pieces) < worth_waking) return 1;
    const int count = static_cast<int>(std::min<Index>(pieces, threads()));
    return count > 1 && resting_ && Clock::now() < rest_until_ ? 1 : count;
  }

  /// Calls run(k) on up to so many threads (ThreadPool::run), which returns how many pieces it worked on, and must not
  /// throw.
  template <class Run>
  void timed(Index pieces, int threads, Run& run) {
    struct Caller {
      Run& run;
      bool shared;
      double seconds;
      Index done;
    } caller{run, threads > 1, 0, 0};
    const Clock::time_point start = Clock::now();
    thread_pool.run({[](void* data, int k) {
                       auto& c = *static_cast<Caller*>(data);
                       if (k > 0) return (void)c.run(k);
                       const double before = c.shared ? thread_seconds() : 0;
                       c.done = c.run(0);
                       c.seconds = c.shared ? thread_seconds() - before : 0;
                     },
                     &caller},
                    threads);
    const Clock::time_point end = Clock::now();
    if (pieces == 0) return;
    const double taken = std::chrono::duration<double>(end - start).count(), count = static_cast<double>(pieces);
    seconds_ =
        (threads == 1 || caller.done == 0 ? taken : caller.seconds * count / static_cast<double>(caller.done)) / count;
    if (threads > 1 && caller.done > 0) judge(taken, seconds_ * count, end);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds first_rest{100}, longest_rest{1600};

  void judge(double taken, double alone, Clock::time_point now) {
    constexpr double trial = 20e-3, enough = 0.9, hiccup = 10e-3;  // of the whole machine: says nothing of two programs
    taken_ += std::min(taken, alone + hiccup);
    alone_ += alone;
    if (alone_ < trial) return;
    resting_ = taken_ > enough * alone_;
    rest_ = resting_ ? std::min(2 * rest_, longest_rest) : first_rest;
    rest_until_ = now + rest_;
    taken_ = alone_ = 0;
  }

  double seconds_ = 1;            ///< of a piece, the last time, on one thread
  double taken_ = 0, alone_ = 0;  ///< since the last judgement: with several threads, and by one as far as is known
  bool resting_ = false;          ///< until rest_until_
  std::chrono::milliseconds rest_ = first_rest;
  Clock::time_point rest_until_{};
};

/// A state a thread, kept between calls; it stays where it is. States are scratch: a copy has none.
template <class State>
class PerThread {
 public:
  PerThread() = default;
  PerThread(const PerThread&) {}
  PerThread(PerThread&&) = default;
  PerThread& operator=(const PerThread&) {
    states_.clear();
    return *this;
  }
  PerThread& operator=(PerThread&&) = default;

  void grow(Index count) {
    while (static_cast<Index>(states_.size()) < count) states_.push_back(std::make_unique<State>());
  }
  State& operator[](Index thread) { return *states_[static_cast<std::size_t>(thread)]; }

  /// How many threads share so many pieces of a kind of work; prepare(state) was called for the state of each.
  template <class Work, class Prepare>
  int prepared_for(Index pieces, Prepare prepare) {
    const int threads = time_of<Work>().threads_for(pieces);
    grow(threads);
    for (int t = 0; t < threads; ++t) prepare((*this)[t]);
    return threads;
  }

  template <class Work, class Run>
  void timed(Index pieces, int threads, Run run) {
    time_of<Work>().timed(pieces, threads, run);
  }

 private:
  // The same states may serve several kinds of work, which take different times.
  template <class Work>
  PieceTime& time_of() {
    static constexpr char kind = 0;
    for (auto& [of, time] : times_)
      if (of == &kind) return time;
    return times_.emplace_back(&kind, PieceTime()).second;
  }

  std::vector<std::unique_ptr<State>> states_;
  std::vector<std::pair<const char*, PieceTime>> times_;
};

/// The exception of the first piece, in their order, that threw. Pieces must be begun in their order, and none after a
/// failure: then it is the one that one thread would have met.
class FirstFailure {
 public:
  template <class Work>
  void watch(Index piece, Work work) {
    try {
      work();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_ || piece < piece_) {
        piece_ = piece;
        failure_ = std::current_exception();
      }
      any_.store(true, std::memory_order_release);
    }
  }
  bool any() const { return any_.load(std::memory_order_acquire); }
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::atomic<bool> any_{false};
  std::mutex mutex_;
  std::exception_ptr failure_;
  Index piece_ = 0;
};

inline void tell(std::atomic<int>& number, int value) {
  number.store(value, std::memory_order_release);
  number.notify_all();
}

/// For piece = 0 … pieces − 1: work(state, piece) in any order on any thread, reduce(state, piece) one at a time in
/// order; before that prepare(state) for the state of each thread. An exception of
/// a piece is rethrown here, the first one's.
template <class State, class Prepare, class Work, class Reduce>
void for_each_piece(Index pieces, PerThread<State>& states, Prepare prepare, Work work, Reduce reduce) {
  const int threads = states.template prepared_for<Work>(pieces, prepare);
  std::atomic<Index> next{0};
  std::atomic<int> turn{0};  // the piece to be reduced, as far as an int holds it
  FirstFailure failure;      // of a piece whose turn it was: all before it are done
  states.template timed<Work>(pieces, threads, [&](int k) {
    Index count = 0;
    for (Index piece; !failure.any() && (piece = next++) < pieces; ++count) {
      std::exception_ptr mine;
      try {
        work(states[k], piece);
      } catch (...) {
        mine = std::current_exception();
      }
      const int number = static_cast<int>(static_cast<unsigned>(piece));
      wait_until(turn, [number](int now) { return now == number; });
      if (!failure.any())
        failure.watch(piece, [&] { mine ? std::rethrow_exception(std::move(mine)) : reduce(states[k], piece); });
      tell(turn, static_cast<int>(static_cast<unsigned>(piece + 1)));
    }
    return count;
  });
  failure.rethrow();
}

/// The same where pieces leave nothing to reduce: no thread waits for another.
template <class State, class Prepare, class Work>
void for_each_piece(Index pieces, PerThread<State>& states, Prepare prepare, Work work) {
  const int threads = states.template prepared_for<Work>(pieces, prepare);
  std::atomic<Index> next{0};
  FirstFailure failure;
  states.template timed<Work>(pieces, threads, [&](int k) {
    Index count = 0;
    for (Index piece; !failure.any() && (piece = next++) < pieces; ++count)
      failure.watch(piece, [&] { work(states[k], piece); });
    return count;
  });
  failure.rethrow();
}

/// The same where a piece leaves `size` numbers that take long to add up: all threads share them out. Pieces are worked
/// on in rounds of one a thread; after each, add(state, piece, first, count) is called for slices of the numbers,
/// for each slice in the order of the pieces, and reduce(state, piece), once a piece in order, for what else it leaves.
template <class State, class Prepare, class Work, class Reduce, class Add>
void for_each_piece(Index pieces, PerThread<State>& states, Prepare prepare, Work work, Reduce reduce, Index size,
                    Add add) {
  const int threads = states.template prepared_for<Work>(pieces, prepare);
  const Index all = threads, rounds = (pieces + all - 1) / all;
  // A round is two phases of `all` tasks each, the pieces and the slices. Threads take tasks in order, and begin one
  // when the phase before is done, so that a thread which comes late or is kept from running holds up no other task.
  std::atomic<Index> next{0};
  std::atomic<int> phase{0}, done{0};
  FirstFailure failure;
  bool stop = false;  // written by the thread that ends a phase
  states.template timed<Work>(2 * rounds * all, threads, [&](int) {
    Index count = 0;
    for (Index task; (task = next++) < 2 * rounds * all; ++count) {
      const int its_phase = static_cast<int>(task / all);
      const Index k = task % all, first = its_phase / 2 * all, round = std::min(all, pieces - first);
      wait_until(phase, [its_phase](int now) { return now == its_phase; });
      if (!stop && its_phase % 2 == 0 && k < round)
        failure.watch(first + k, [&] { work(states[k], first + k); });
      else if (!stop && its_phase % 2 == 1)
        for (Index i = 0; i < round; ++i)
          failure.watch(first + i, [&] {
            if (k == 0) reduce(states[i], first + i);
            add(states[i], first + i, k * size / all, (k + 1) * size / all - k * size / all);
          });
      if (done.fetch_add(1, std::memory_order_acq_rel) + 1 < threads) continue;
      stop = failure.any();
      done.store(0, std::memory_order_relaxed);
      tell(phase, its_phase + 1);
    }
    return count;
  });
  failure.rethrow();
}

/// Work that needs no state and leaves nothing to reduce. To wait for each other costs threads some microseconds: what
/// is short is better not shared.
class Pieces {
 public:
  static constexpr Index length = 16384;  ///< 128 KB an array: a few arrays' pieces stay in the second-level cache

  static Index count(Index size) { return (size + length - 1) / length; }

  /// Calls work(piece) for piece = 0 … count − 1, on several threads where they are `shared`.
  template <class Work>
  void each(Index count, bool shared, Work work) {
    if (shared)
      for_each_piece(
          count, states_, [](None&) {}, [&](None&, Index piece) { work(piece); });
    else
      for (Index piece = 0; piece < count; ++piece) work(piece);
  }

  /// Calls work(piece, first, count) for pieces of `size` numbers, on several threads from `shared_from` pieces on.
  template <class Work>
  void over(Index size, Index shared_from, Work work) {
    each(count(size), count(size) >= shared_from,
         [&](Index piece) { work(piece, piece * length, std::min(length, size - piece * length)); });
  }

 private:
  struct None {};
  PerThread<None> states_;
};

}  // namespace scorematch::evaluate
