// Samples as blocks: B × d, samples down the rows, padded to whole registers with copies of the last one.
#pragma once

#include <algorithm>

#include "scorematch/simd/lanes.hpp"
#include "scorematch/types.hpp"

namespace scorematch::evaluate {

/// The rows of a block of `count` samples: count, padded to whole registers of T.
template <class T>
Index padded_rows(Index count) {
  constexpr Index lanes = simd::width<simd::Lanes<T>>;
  return (count + lanes - 1) / lanes * lanes;
}

/// Columns first … first + count − 1 of `columns` (d × N) as the rows of `block`, `rows` ≥ count of them: the last is
/// repeated.
template <class T, class From>
void gather_columns(const From& columns, Index first, Index count, Index rows, Matrix<T>& block) {
  block.resize(rows, columns.rows());
  for (Index j = 0; j < columns.rows(); ++j)
    for (Index i = 0; i < rows; ++i) block(i, j) = static_cast<T>(columns(j, first + std::min(i, count - 1)));
}

/// The first `count` rows of a block as columns first … first + count − 1.
template <class T, class To>
void scatter_rows(const Matrix<T>& block, Index count, Index first, To& columns) {
  for (Index i = 0; i < count; ++i)
    for (Index j = 0; j < block.cols(); ++j) columns(j, first + i) = static_cast<typename To::Scalar>(block(i, j));
}

}  // namespace scorematch::evaluate
