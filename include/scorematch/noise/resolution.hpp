// Whether noise of a small σ is still there after it was added to large numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "scorematch/check.hpp"
#include "scorematch/types.hpp"

namespace scorematch::noise {

/// Rounding of x + σz to numbers u apart changes the noise's variance σ² by about u²/12 (Sheppard's correction), and
/// leaves no noise where u is far above σ. Throws std::invalid_argument, with the row, where that is more than a
/// hundredth in the mean over a row of X (d × N): the score along the noise would be wrong by as much.
/// `argument` is what the user calls σ.
template <class T>
void require_resolved(const MatrixView<T>& X, double sigma, const char* argument) {
  const auto lost = [&](T x) {
    const T size = std::abs(x);
    const double apart = static_cast<double>(std::nextafter(size, std::numeric_limits<T>::infinity()) - size);
    return std::min(1.0, apart / sigma * (apart / sigma) / 12);
  };
  T largest = 0;
  for (Index i = 0; i < X.cols(); ++i)
    for (Index j = 0; j < X.rows(); ++j) largest = std::max(largest, std::abs(X(j, i)));
  if (lost(largest) <= 0.01) return;
  for (Index j = 0; j < X.rows(); ++j) {
    double sum = 0;
    T most = 0;
    for (Index i = 0; i < X.cols(); ++i) {
      sum += lost(X(j, i));
      most = std::max(most, std::abs(X(j, i)));
    }
    extend::require(sum <= 0.01 * static_cast<double>(X.cols()),
                    {argument, " is ", sigma, ", but row ", j, " of the data reaches ", static_cast<double>(most),
                     ", where ", sizeof(T) == 4 ? "float" : "double", " numbers are ",
                     static_cast<double>(std::nextafter(most, std::numeric_limits<T>::infinity()) - most),
                     " apart: x + sigma z rounds the noise away; centre the data",
                     sizeof(T) == 4 ? ", take double," : "", " or take a larger sigma"});
  }
}

}  // namespace scorematch::noise
