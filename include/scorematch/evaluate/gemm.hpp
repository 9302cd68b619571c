// The one matrix product of the library: C += A B on column-major storage, by Eigen.
//
// One flavour a scalar keeps compile times low (a transposed operand would instantiate another kernel), so callers
// that need Aᵀ store it.
#pragma once

#include "scorematch/types.hpp"

namespace scorematch::evaluate {

/// C (m × n) += A (m × k) B (k × n); lda, ldb, ldc are the distances between columns.
template <class T>
void multiply_add(Index m, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc) {
  using Stride = Eigen::OuterStride<>;
  const Eigen::Map<const Matrix<T>, 0, Stride> A(a, m, k, Stride(lda)), B(b, k, n, Stride(ldb));
  Eigen::Map<Matrix<T>, 0, Stride> C(c, m, n, Stride(ldc));
  C.noalias() += A * B;
}

}  // namespace scorematch::evaluate
