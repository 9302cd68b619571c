// The length of a chain's score.
#pragma once

#include <cmath>

#include "scorematch/types.hpp"

namespace scorematch::sampling {

/// ‖S_i‖ of row i of B × d, without overflow. (std::hypot for each number takes 13 instructions, and was 3 to 14 % of a
/// Langevin run; it is asked where squares leave the range of double.)
template <class T>
double row_norm(const Matrix<T>& S, Index i) {
  double squares = 0;
  for (Index j = 0; j < S.cols(); ++j) {
    const double s = static_cast<double>(S(i, j));
    squares += s * s;
  }
  if (std::isnormal(squares)) return std::sqrt(squares);
  double norm = 0;
  for (Index j = 0; j < S.cols(); ++j) norm = std::hypot(norm, static_cast<double>(S(i, j)));
  return norm;
}

}  // namespace scorematch::sampling
