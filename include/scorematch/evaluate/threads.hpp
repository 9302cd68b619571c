// The one place where work is shared out over threads.
//
// Pieces are worked on by any thread, and reduced in their order, so that results are the same bits for any number of
// threads. OpenMP is used when the consumer compiles and links with it.
#pragma once

#include <algorithm>
#include <exception>
#include <memory>
#include <vector>

#include "scorematch/types.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace scorematch::evaluate {

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

  void grow(Index threads) {
    while (static_cast<Index>(states_.size()) < threads) states_.push_back(std::make_unique<State>());
  }
  State& operator[](Index thread) { return *states_[static_cast<std::size_t>(thread)]; }

 private:
  std::vector<std::unique_ptr<State>> states_;
};

#ifdef _OPENMP
/// Eigen starts threads of its own inside a region of one thread, and then sums in another order: so a region has two
/// threads at least whenever Eigen would, and Eigen stays serial.
inline int threads_for(Index pieces) {
  if (omp_get_num_threads() > 1 || (omp_get_max_threads() == 1 && Eigen::nbThreads() == 1)) return 1;
  return std::max(2, static_cast<int>(std::min<Index>(pieces, omp_get_max_threads())));
}

/// The exception of the first piece, in their order, that threw.
class FirstFailure {
 public:
  template <class Work>
  void watch(Index piece, Work work) {
    try {
      work();
    } catch (...) {
#pragma omp critical(scorematch_failure)
      if (!failure_ || piece < piece_) {
        piece_ = piece;
        failure_ = std::current_exception();
      }
    }
  }
  bool any() const { return failure_ != nullptr; }
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::exception_ptr failure_;
  Index piece_ = 0;
};
#endif

/// For piece = 0 … pieces − 1: work(state, piece) in any order on any thread, reduce(state, piece) one at a time in
/// order; before that prepare(state) for the state of each thread. An exception of
/// a piece is rethrown here, the first one's.
template <class State, class Prepare, class Work, class Reduce>
void for_each_piece(Index pieces, PerThread<State>& states, Prepare prepare, Work work, Reduce reduce) {
  std::exception_ptr failure;
#ifdef _OPENMP
  if (const int threads = threads_for(pieces); threads > 1) {
    states.grow(threads);
    for (int t = 0; t < threads; ++t) prepare(states[t]);
#pragma omp parallel for ordered schedule(dynamic, 1) num_threads(threads)
    for (Index piece = 0; piece < pieces; ++piece) {
      State& state = states[omp_get_thread_num()];
      std::exception_ptr mine;
      try {
        work(state, piece);
      } catch (...) {
        mine = std::current_exception();
      }
#pragma omp ordered
      {
        if (mine && !failure) failure = mine;
        if (!failure) reduce(state, piece);
      }
    }
    if (failure) std::rethrow_exception(failure);
    return;
  }
#endif
  states.grow(1);
  prepare(states[0]);
  for (Index piece = 0; piece < pieces; ++piece) {
    work(states[0], piece);
    reduce(states[0], piece);
  }
}

/// The same where pieces leave nothing to reduce: no thread waits for another.
template <class State, class Prepare, class Work>
void for_each_piece(Index pieces, PerThread<State>& states, Prepare prepare, Work work) {
#ifdef _OPENMP
  if (const int threads = threads_for(pieces); threads > 1) {
    FirstFailure failure;
    states.grow(threads);
    for (int t = 0; t < threads; ++t) prepare(states[t]);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (Index piece = 0; piece < pieces; ++piece)
      failure.watch(piece, [&] { work(states[omp_get_thread_num()], piece); });
    return failure.rethrow();
  }
#endif
  states.grow(1);
  prepare(states[0]);
  for (Index piece = 0; piece < pieces; ++piece) work(states[0], piece);
}

/// The same where a piece leaves `size` numbers that take long to add up: all threads share them out. Pieces are worked
/// on in rounds of one a thread; after each, add(state, piece, first, count) is called for slices of the numbers,
/// for each slice in the order of the pieces, and reduce(state, piece), once a piece in order, for what else it leaves.
template <class State, class Prepare, class Work, class Reduce, class Add>
void for_each_piece(Index pieces, PerThread<State>& states, Prepare prepare, Work work, Reduce reduce, Index size,
                    Add add) {
#ifdef _OPENMP
  if (const int threads = threads_for(pieces); threads > 1) {
    FirstFailure failure;
    states.grow(threads);
    for (int t = 0; t < threads; ++t) prepare(states[t]);
#pragma omp parallel num_threads(threads)
    {
      const Index mine = omp_get_thread_num(), all = omp_get_num_threads();
      for (Index first = 0; first < pieces; first += all) {
        if (first + mine < pieces) failure.watch(first + mine, [&] { work(states[mine], first + mine); });
#pragma omp barrier
        const bool stop = failure.any();  // all threads see the same
        for (Index k = 0; k < std::min(all, pieces - first) && !stop; ++k) {
          State& state = states[k];
          if (mine == 0) reduce(state, first + k);
          add(state, first + k, mine * size / all, (mine + 1) * size / all - mine * size / all);
        }
#pragma omp barrier
        if (stop) break;
      }
    }
    return failure.rethrow();
  }
#endif
  for_each_piece(pieces, states, prepare, work, [&](State& state, Index piece) {
    reduce(state, piece);
    add(state, piece, 0, size);
  });
}

/// Work that needs no state and leaves nothing to reduce. To wait for each other costs threads some ten microseconds,
/// and many times that where others use the cores too: what is short is better not shared.
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
