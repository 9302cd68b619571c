// The generalised Pareto law fitted to excesses over a threshold: what a tail of weights looks like.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

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
inline GeneralisedPareto fit_generalised_pareto(const Eigen::Ref<const Eigen::ArrayXd>& excesses) {
  const Index n = excesses.size();
  if (n < 5) return {};
  const double count = static_cast<double>(n), quartile = excesses[static_cast<Index>(0.25 * count + 0.5) - 1],
               largest = excesses[n - 1];
  if (!(quartile > 0)) return {};
  const Index grid = 30 + static_cast<Index>(std::sqrt(count));
  const auto shape = [&](double b) {
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += std::log(1 - b * excesses[i]);
    return sum / count;
  };
  std::vector<double> theta, log_likelihood;
  for (Index j = 0; j < grid; ++j) {
    theta.push_back(1 / largest +
                    (1 - std::sqrt(static_cast<double>(grid) / (static_cast<double>(j) + 0.5))) / (3 * quartile));
    const double k = shape(theta.back());
    log_likelihood.push_back(count * (std::log(-theta.back() / k) - k - 1));
  }
  const double most = *std::max_element(log_likelihood.begin(), log_likelihood.end());
  double weights = 0, weighted = 0;
  for (std::size_t j = 0; j < theta.size(); ++j) {
    const double weight = std::exp(log_likelihood[j] - most);
    weights += weight;
    weighted += weight * theta[j];
  }
  const double mean = weighted / weights;
  GeneralisedPareto fit;
  fit.shape = shape(mean);
  fit.scale = -fit.shape / mean;
  return fit;
}

}  // namespace scorematch::likelihood
