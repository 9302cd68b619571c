// How heavy the tails of draws are: whether a mean of them settles at all.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "scorematch/partition/generalised_pareto.hpp"
#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// Above it no number of draws that one can have makes a mean reliable (Vehtari et al. 2024, "Pareto smoothed
/// importance sampling": the threshold for large samples).
inline constexpr double heaviest_tail = 0.7;

/// k̂ of the heavier tail of draws, sorted ascending: moments of order below 1/k̂ are finite, so that from ½ on a
/// variance is infinite, and from 1 on there is no mean. A generalised Pareto law is fitted to the
/// min(S/5, 3 S/√ESS) draws at either end (Vehtari, Simpson, Gelman, Yao & Gabry 2024). −∞: too few draws, or tied
/// ones, whose tails are of no law.
inline double tail_index(const std::vector<double>& sorted, double ess) {
  constexpr double none = -std::numeric_limits<double>::infinity();
  const double all = static_cast<double>(sorted.size());
  if (!(ess > 0)) return none;
  const std::size_t tail = static_cast<std::size_t>(std::min(all / 5, 3 * all / std::sqrt(ess))), n = sorted.size();
  if (tail < 5) return none;
  Eigen::ArrayXd right(static_cast<Index>(tail)), left(static_cast<Index>(tail));  // ascending excesses
  const double above = sorted[n - 1 - tail], below = sorted[tail];
  for (std::size_t i = 0; i < tail; ++i) {
    right[static_cast<Index>(i)] = sorted[n - tail + i] - above;
    left[static_cast<Index>(i)] = below - sorted[tail - 1 - i];
  }
  const double k =
      std::fmax(likelihood::fit_generalised_pareto(right).shape, likelihood::fit_generalised_pareto(left).shape);
  return std::isnan(k) ? none : k;
}

}  // namespace scorematch::diagnostics
