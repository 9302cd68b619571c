// Means and variances of numbers that come in groups.
#pragma once

#include <cmath>

#include "scorematch/simd/arrays.hpp"
#include "scorematch/types.hpp"

namespace scorematch::objective {

/// Mean and sum of squared deviations of numbers that come in groups (Chan, Golub & LeVeque 1979).
struct Moments {
  double count = 0, mean = 0, squares = 0;

  void add(double n, double m, double s) {
    if (n == 0) return;
    const double total = count + n, shift = m - mean;
    mean += shift * n / total;
    squares += s + shift * shift * count * n / total;
    count = total;
  }

  template <class T>
  void add_all(const T* numbers, Index size) {
    const double n = static_cast<double>(size);
    const double sum = simd::sum_of(numbers, size, [](auto x) SCOREMATCH_INLINE_LAMBDA { return x; }), m = sum / n;
    const double square_sum =
        simd::sum_of(numbers, size, [m](auto x) SCOREMATCH_INLINE_LAMBDA { return (x - m) * (x - m); });
    add(n, m, square_sum);
  }

  double standard_error() const { return count > 1 ? std::sqrt(squares / (count - 1) / count) : 0; }
};

}  // namespace scorematch::objective
