// The generalised Pareto law fitted to excesses over a threshold: what a tail of weights looks like.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "scorematch/types.hpp"

namespace scorematch::likelihood {

/// P(X > x) = (1 + k x/σ)^(−1/k), exp(−x/σ) for k = 0; moments of order below 1/k are finite.
struct GeneralisedPareto {
  double shape = std::numeric_limits<double>::quiet_NaN();  ///< k
  double scale = std::numeric_limits<double>::quiet_NaN();  ///< σ > 0

  /// The x ≥ 0 with P(X ≤ x) = p, for 0 ≤ p < 1.
  double quantile(double p) const {
    const double e = -std::log1p(-p);
    return shape == 0 ? scale * e : scale * std::expm1(shape * e) / shape;
  }
};

/// The fit to `excesses` ≥ 0, ascending, at least 5 of them: the mean of θ = −k/σ under a profile likelihood (J. Zhang
/// and M. A. Stephens, "A new and efficient estimation method for the generalized Pareto distribution", Technometrics
/// 51, 2009, equations 5–9; their k is −k here). NaN where the lower quartile of the excesses is 0.
template <class D = void>
GeneralisedPareto fit_generalised_pareto(const detail::DependentArray<D>& excesses) {
  const Index n = excesses.size();
  if (n < 5) return {};
  const double quartile = excesses[static_cast<Index>(0.25 * static_cast<double>(n) + 0.5) - 1],
               largest = excesses[n - 1];
  if (!(quartile > 0)) return {};
  const Index grid = 30 + static_cast<Index>(std::sqrt(static_cast<double>(n)));
  detail::DependentArray<D> theta(grid), log_likelihood(grid);
  const auto shape = [&](double b) { return (1 - b * excesses).log().mean(); };
  for (Index j = 0; j < grid; ++j) {
    theta[j] =
        1 / largest + (1 - std::sqrt(static_cast<double>(grid) / (static_cast<double>(j) + 0.5))) / (3 * quartile);
    const double k = shape(theta[j]);
    log_likelihood[j] = static_cast<double>(n) * (std::log(-theta[j] / k) - k - 1);
  }
  const detail::DependentArray<D> posterior = (log_likelihood - log_likelihood.maxCoeff()).exp();
  const double mean = (theta * posterior).sum() / posterior.sum();
  GeneralisedPareto fit;
  fit.shape = shape(mean);
  fit.scale = -fit.shape / mean;
  return fit;
}

}  // namespace scorematch::likelihood
