// How many threads the library uses.
#pragma once

#include <atomic>
#include <cstdlib>

#include "scorematch/check.hpp"
#include "scorematch/evaluate/openmp.hpp"

namespace scorematch {

namespace evaluate {

/// What set_threads or the environment says; 0: nothing, −1: the environment has not been read.
inline constinit std::atomic<int> chosen_threads{-1};
inline constexpr int most_threads = 1024;

inline int threads_of_environment() {
  const char* text = std::getenv("SCOREMATCH_NUM_THREADS");
  if (text == nullptr || *text == '\0') return 0;
  char* end = nullptr;
  const long count = std::strtol(text, &end, 10);
  extend::require(*end == '\0' && count >= 1 && count <= most_threads,
                  {"SCOREMATCH_NUM_THREADS is \"", text, "\"; it must be a whole number from 1 to ", most_threads});
  return static_cast<int>(count);
}

}  // namespace evaluate

/// How many threads a call of the library uses at most: what set_threads says, or else the environment variable
/// SCOREMATCH_NUM_THREADS, or else, where a file of the program is compiled with OpenMP, OMP_NUM_THREADS or
/// omp_set_num_threads, or else 1. A call inside a parallel region of OpenMP, or of a user's function inside the
/// library, uses the thread that it has. Results are the same bits for any number.
/// Throws std::invalid_argument if SCOREMATCH_NUM_THREADS is not a whole number from 1 to 1024.
inline int threads() {
  int chosen = evaluate::chosen_threads.load(std::memory_order_relaxed);
  if (chosen < 0) {
    chosen = evaluate::threads_of_environment();
    int unread = -1;
    if (!evaluate::chosen_threads.compare_exchange_strong(unread, chosen)) chosen = unread;
  }
  const evaluate::OpenMP* openmp = evaluate::openmp.load(std::memory_order_acquire);
  return openmp != nullptr ? openmp->threads(chosen) : chosen > 0 ? chosen : 1;
}

/// From now on calls of the library use so many threads at most, of any thread of the program; 0 leaves it to the
/// environment and OpenMP again (threads()). Throws std::invalid_argument unless count is 0 to 1024.
inline void set_threads(int count) {
  extend::require(count >= 0 && count <= evaluate::most_threads,
                  {"set_threads: count is ", count, "; it must be 0 to ", evaluate::most_threads});
  evaluate::chosen_threads.store(count > 0 ? count : -1);
}

}  // namespace scorematch
