// The one place where work is shared out over threads.
//
// Pieces are worked on by any thread, and reduced in their order, so that results are the same bits for any number of
// threads. OpenMP is used when the consumer compiles and links with it.
#pragma once

#include <algorithm>
#include <exception>
#include <vector>

#include "scorematch/types.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace scorematch::evaluate {

/// For piece = 0 … pieces − 1: work(state, piece) in any order on any thread, reduce(state, piece) one at a time in
/// order. `states` holds one state a thread; make(states) is called with the thread count to size it. An exception of
/// a piece is rethrown here, the first one's.
///
/// Eigen starts threads of its own inside a region of one thread, and then sums in another order: so the region has two
/// threads at least whenever Eigen would, and Eigen stays serial.
template <class State, class Prepare, class Work, class Reduce>
void for_each_piece(Index pieces, std::vector<State>& states, Prepare prepare, Work work, Reduce reduce) {
  std::exception_ptr failure;
#ifdef _OPENMP
  if (omp_get_num_threads() == 1 && (omp_get_max_threads() > 1 || Eigen::nbThreads() > 1)) {
    const int useful = static_cast<int>(std::min<Index>(pieces, omp_get_max_threads()));
    const int threads = std::max(2, useful);
    while (static_cast<int>(states.size()) < threads) states.emplace_back();
    for (int t = 0; t < threads; ++t) prepare(states[static_cast<std::size_t>(t)]);
#pragma omp parallel for ordered schedule(static, 1) num_threads(threads)
    for (Index piece = 0; piece < pieces; ++piece) {
      State& state = states[static_cast<std::size_t>(omp_get_thread_num())];
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
  if (states.empty()) states.emplace_back();
  prepare(states.front());
  for (Index piece = 0; piece < pieces; ++piece) {
    work(states.front(), piece);
    reduce(states.front(), piece);
  }
}

}  // namespace scorematch::evaluate
