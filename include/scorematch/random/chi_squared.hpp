// χ² numbers: for Student-t laws.
#pragma once

#include <cmath>

#include "scorematch/random/stream.hpp"

namespace scorematch::detail {

/// χ² with ν > 0 degrees of freedom (G. Marsaglia and W. W. Tsang, "A simple method for generating gamma variables",
/// ACM Trans. Math. Softw. 26, 2000).
inline double chi_squared(double degrees, Stream& stream) {
  double shape = 0.5 * degrees, boost = 1;
  if (shape < 1) {
    boost = std::pow(stream.uniform(), 1 / shape);
    shape += 1;
  }
  const double e = shape - 1.0 / 3, c = 1 / std::sqrt(9 * e);
  for (;;) {
    const double z = stream.normal(), v = std::pow(1 + c * z, 3);
    if (v > 0 && std::log(stream.uniform()) < 0.5 * z * z + e - e * v + e * std::log(v)) return 2 * e * v * boost;
  }
}

}  // namespace scorematch::detail
