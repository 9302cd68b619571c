// What the library asks of OpenMP: how many threads there are, whether a caller is inside a parallel region, and that
// Eigen starts no threads inside a piece of work. The threads themselves are the library's own (thread_pool.hpp).
//
// The files of a program need not agree on OpenMP: those that are compiled with it tell the others at the start.
#pragma once

#include <atomic>
#include <thread>

#ifdef _OPENMP
#include <omp.h>

#include <Eigen/Core>
#include <algorithm>
#if defined(__linux__)
#include <pthread.h>
#include <sched.h>

#include <vector>
#endif
#endif

namespace scorematch::evaluate {

struct OpenMP {
  /// How many the caller may use: `chosen`, or, if that is 0, OMP_NUM_THREADS or omp_set_num_threads; 1 inside a
  /// region.
  int (*threads)(int chosen);
  void (*place)(std::thread& worker, int number);  ///< where the library's thread 1, 2, … runs
  /// Calls run(data), which must not throw, so that Eigen's products in it start no threads: they would sum in another
  /// order.
  void (*with_serial_eigen)(void (*run)(void*), void* data);
};

/// Null where no file of the program was compiled with OpenMP.
inline constinit std::atomic<const OpenMP*> openmp{nullptr};

#ifdef _OPENMP

inline int openmp_threads(int chosen) {
  if (omp_in_parallel() != 0) return 1;
  return chosen > 0 ? chosen : std::min(omp_get_max_threads(), omp_get_thread_limit());
}

/// OMP_PROC_BIND ties the thread that starts the program to one place, and threads that it starts inherit that. The
/// library's take the places after it, as OpenMP's would.
inline void openmp_place([[maybe_unused]] std::thread& worker, [[maybe_unused]] int number) {
#if defined(__linux__)
  const int places = omp_get_num_places();
  if (omp_get_proc_bind() == omp_proc_bind_false || places == 0) return;
  const int place = (std::max(omp_get_place_num(), 0) + number) % places;
  std::vector<int> processors(static_cast<std::size_t>(omp_get_place_num_procs(place)));
  omp_get_place_proc_ids(place, processors.data());
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int processor : processors)
    if (processor < CPU_SETSIZE) CPU_SET(static_cast<unsigned>(processor), &set);
  (void)pthread_setaffinity_np(worker.native_handle(), sizeof set, &set);
#endif
}

/// Eigen takes as many threads as OpenMP has for the caller, unless Eigen::setNbThreads says otherwise. Then only a
/// region of several threads keeps it from starting more; what it costs is paid by programs that call setNbThreads.
inline void openmp_with_serial_eigen(void (*run)(void*), void* data) {
  if (omp_get_num_threads() > 1) return run(data);
  const int before = omp_get_max_threads();
  if (before > 1) omp_set_num_threads(1);
  if (Eigen::nbThreads() == 1) {
    run(data);
  } else {
#pragma omp parallel num_threads(2)
#pragma omp master
    run(data);
  }
  if (before > 1) omp_set_num_threads(before);
}

inline constexpr OpenMP openmp_calls{openmp_threads, openmp_place, openmp_with_serial_eigen};
inline const bool openmp_is_known = (openmp.store(&openmp_calls), true);

#endif

}  // namespace scorematch::evaluate
