// The matrix types that every room shares.
#pragma once

#include "scorematch/requirements.hpp"

#include <Eigen/Core>
#include <limits>

#include "scorematch/simd/registers.hpp"

namespace scorematch {

using Eigen::Index;

/// A dense matrix, column-major. Public batches are d × N, one column per sample.
template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

/// A dense column vector.
template <class T>
using Vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;

namespace detail {

/// 2ⁿ as a bound of counts. An Index of 32 bits (i686, arm, WebAssembly) may hold less: then the largest that it holds.
constexpr Index power_of_two(int n) {
  return n < std::numeric_limits<Index>::digits ? static_cast<Index>(Index{1} << n) : std::numeric_limits<Index>::max();
}

/// T itself, but so that a template's expressions of it depend on the template's argument D. Compilers check other
/// expressions where the template is defined, and Eigen's would cost every program seconds that few programs use.
template <class T, class D>
struct Dependent {
  using type = T;
};
template <class D>
using DependentMatrix = Matrix<typename Dependent<double, D>::type>;
template <class D>
using DependentVector = Vector<typename Dependent<double, D>::type>;
template <class D>
using DependentArray = Eigen::Array<typename Dependent<double, D>::type, Eigen::Dynamic, 1>;

}  // namespace detail

/// How a public function takes a matrix it only reads: any contiguous-column matrix or block, no copy.
template <class T>
using MatrixView = Eigen::Ref<const Matrix<T>>;

}  // namespace scorematch
