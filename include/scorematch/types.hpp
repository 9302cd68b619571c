// The matrix types that every room shares.
#pragma once

#include <Eigen/Core>

namespace scorematch {

using Eigen::Index;

/// A dense matrix, column-major. Public batches are d × N, a column a sample.
template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

/// A dense column vector.
template <class T>
using Vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;

/// How a public function takes a matrix it only reads: any contiguous-column matrix or block, no copy.
template <class T>
using MatrixView = Eigen::Ref<const Matrix<T>>;

}  // namespace scorematch
