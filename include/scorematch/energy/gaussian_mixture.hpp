// A mixture of normalised Gaussians: its weights are the shares of its components.
#pragma once

#include "scorematch/energy/parts.hpp"

namespace scorematch {

/// Options of gaussian_mixture.
struct GaussianMixtureOptions {
  int components = 2;          ///< K, 1 … 10⁵
  Eigen::MatrixXd means = {};  ///< where they start, d × K; empty: drawn from N(0, spread² I)
  double spread = 1;           ///< > 0, at most 1e300
  std::uint64_t seed = 0;      ///< of the means

  /// Throws std::invalid_argument unless every option is in its range and suits dimension d.
  void validate(Index d) const {
    extend::require_within(components, 1, 100'000, "GaussianMixtureOptions: components");
    extend::require(spread > 0 && spread <= 1e300,
                    {"GaussianMixtureOptions: spread is ", spread, "; it must lie above 0 and be at most 1e300"});
    extend::require(means.size() == 0 || (means.rows() == d && means.cols() == components),
                    {"GaussianMixtureOptions: means is ", means.rows(), " × ", means.cols(), "; it must be ", d, " × ",
                     components, ", a column a component"});
  }
};

/// f = −log Σ_k w_k det L_k exp(−½‖L_kᵀ(x − μ_k)‖²),  w = softmax(log_weights). log Z = ½ d log 2π.
///
///   "log_weights"    K numbers; a number added to all of them changes nothing
///   "means"          d × K
///   "log_diagonals"  the logarithms of the diagonals of the L_k, d × K
///   "below"          what is below them, column by column, d(d − 1)/2 × K (none for d = 1)
template <ready::FormulaVector X, class Theta>
SCOREMATCH_INLINE auto gaussian_mixture(const X& x, const Theta& theta, const GaussianMixtureOptions& options = {}) {
  const int d = static_cast<int>(x.size()), K = options.components;
  if constexpr (ready::is_recorded<X>) options.validate(d);
  const auto log_weights = theta("log_weights", K);
  const auto means = theta(
      "means", d, K,
      ready::given_or<Eigen::MatrixXd, start_normal>{options.means, {.sigma = options.spread, .seed = options.seed}});
  const auto log_diagonals = theta("log_diagonals", d, K);
  const auto log_sum = [&](const auto& half_square) {
    return log_sum_exp(stack(K, [&](int k) {
      return log_weights[k] + sum(column(log_diagonals, k)) -
             half_square(k, x - column(means, k), exp(column(log_diagonals, k)));
    }));
  };
  if (d == 1)
    return log_sum_exp(log_weights) -
           log_sum([&](int, const auto& u, const auto& diagonal) { return 0.5 * squared_norm(diagonal * u); });
  const auto below = theta("below", d * (d - 1) / 2, K);
  return log_sum_exp(log_weights) - log_sum([&](int k, const auto& u, const auto& diagonal) {
           const auto scaled = diagonal * u;
           return 0.5 * (squared_norm(ready::upper_part(scaled, column(below, k), u)) + square(scaled[d - 1]));
         });
}

/// The same as a model: gaussian_mixture(2, {.components = 3, .seed = 1}).
template <class = void>
EnergyModel gaussian_mixture(Index dimension, const GaussianMixtureOptions& options = {}) {
  return energy_model(dimension, [&](const auto& x, const auto& theta) { return gaussian_mixture(x, theta, options); });
}

}  // namespace scorematch
