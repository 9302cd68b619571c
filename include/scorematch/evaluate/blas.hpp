// With SCOREMATCH_USE_BLAS: large matrix products by the BLAS that the program links (CMake: -DSCOREMATCH_USE_BLAS=ON).
//
// A product is called from within a thread of the library's own, with the same numbers whatever their count. So the
// BLAS must not start threads itself: its sums would be added up in an order that depends on them.
#pragma once

#include <algorithm>
#include <stdexcept>

#include "scorematch/types.hpp"

// As Eigen/src/misc/blas.h declares them; nothing is returned.
extern "C" {
int sgemm_(const char*, const char*, const int*, const int*, const int*, const float*, const float*, const int*,
           const float*, const int*, const float*, float*, const int*);
int dgemm_(const char*, const char*, const int*, const int*, const int*, const double*, const double*, const int*,
           const double*, const int*, const double*, double*, const int*);
#ifdef __ELF__
[[gnu::weak]] int openblas_get_num_threads();
[[gnu::weak]] int MKL_Get_Max_Threads();
#endif
}

namespace scorematch::evaluate::blas {

/// Whether a product of m × k and k × n numbers is one for the BLAS: small ones are faster without.
inline bool pays(Index m, Index n, Index k) {
  constexpr Index least = 128, most = Index(1) << 30;  // its sizes are int
  return std::min({m, n, k}) >= least && std::max({m, n, k}) <= most;
}

/// Throws std::runtime_error where OpenBLAS or MKL would take more than one thread. Of others nothing is known: they
/// must be told.
inline void require_one_thread() {
#ifdef __ELF__
  const bool one = (openblas_get_num_threads == nullptr || openblas_get_num_threads() == 1) &&
                   (MKL_Get_Max_Threads == nullptr || MKL_Get_Max_Threads() == 1);
  if (!one)
    throw std::runtime_error(
        "scorematch: the BLAS would take several threads, and results would depend on how many: set "
        "OPENBLAS_NUM_THREADS=1 or MKL_NUM_THREADS=1 in the environment, or call openblas_set_num_threads(1)");
#endif
}

/// C = scale op(A) op(B) + keep C: C is m × n, op(A) m × k, op(B) k × n; op is 'N', nothing, or 'T', the transpose.
template <class T>
void multiply(char op_a, char op_b, Index m, Index n, Index k, T scale, const T* a, Index lda, const T* b, Index ldb,
              T keep, T* c, Index ldc) {
  require_one_thread();
  const int rows = static_cast<int>(m), columns = static_cast<int>(n), inner = static_cast<int>(k);
  const int to_a = static_cast<int>(lda), to_b = static_cast<int>(ldb), to_c = static_cast<int>(ldc);
  if constexpr (sizeof(T) == sizeof(double))
    dgemm_(&op_a, &op_b, &rows, &columns, &inner, &scale, a, &to_a, b, &to_b, &keep, c, &to_c);
  else
    sgemm_(&op_a, &op_b, &rows, &columns, &inner, &scale, a, &to_a, b, &to_b, &keep, c, &to_c);
}

}  // namespace scorematch::evaluate::blas
