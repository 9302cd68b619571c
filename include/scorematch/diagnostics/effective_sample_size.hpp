// How many independent draws the draws of chains are worth, and the errors of means, deviations and quantiles.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/diagnostics/autocovariance.hpp"
#include "scorematch/diagnostics/chain_draws.hpp"
#include "scorematch/diagnostics/special_functions.hpp"
#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// S/τ of chains y (n × M, S = n M, not all constant; n ≥ 6), where τ = −1 + 2 Σ ρ_t is Geyer's initial monotone
/// sequence (Geyer 1992) of the autocorrelations of all chains together,
///
///   ρ_t = 1 − (W − acov_t)/var⁺,  W = n/(n − 1) acov_0,  var⁺ = acov_0 + variance of the chains' means
///
/// (Vehtari et al. 2021, eq. 10 to 13). Pairs ρ_2k + ρ_2k+1 count while they are positive, none more than the one
/// before; of the first one that does not count the even term does, if it is positive. τ ≥ 1/log₁₀ S.
inline double effective_size(const Eigen::MatrixXd& y) {
  const Index n = y.rows();
  const double length = static_cast<double>(n), all = static_cast<double>(y.size());
  const Eigen::VectorXd covariance = mean_autocovariance(y);
  const double within = covariance[0] * length / (length - 1);
  double total = covariance[0];
  if (y.cols() > 1) total += variance_of(chain_means(y));
  const auto rho = [&](Index t) { return t == 0 ? 1 : 1 - (within - covariance[t]) / total; };

  double even = 1, odd = rho(1), sum = 0, least = even + odd;
  Index t = 0;
  while (t < n - 5 && even + odd > 0) {
    least = std::min(least, even + odd);
    sum += least;
    t += 2;
    even = rho(t);
    odd = rho(t + 1);
  }
  if (t == 0) sum = 1;  // antithetic beyond what lags of an even and an odd number cancel: no more than S/2 is claimed
  const double last = even + odd > 0 ? even : std::max(0.0, even);
  return all / std::max(-1 + 2 * sum + last, 1 / std::log10(all));
}

/// The same where it can be had; `if_constant` is the reason that constant draws get.
inline Diagnostic effective_size_of(const Eigen::MatrixXd& y, Reason if_constant) {
  const Reason reason = reason_of(y, 1);
  if (reason == Reason::constant) return {.reason = if_constant};
  if (reason != Reason::none) return {.reason = reason};
  return {.value = effective_size(y)};
}

/// Effective sample size for the mean, of the chains as they are: S/τ (see `effective_size`). It does not see a chain
/// that drifts as `ess_mean` does. x: kept × chains, one column per chain, at least 12 draws of each.
inline Diagnostic ess_mean_unsplit(const ChainView& x) {
  const Reason reason = reason_of(x, least_draws_for_ess);
  if (reason != Reason::none) return {.reason = reason};
  return {.value = effective_size(CentredDraws(x).deviations)};
}

/// Effective sample size for the mean, of the halves of all chains.
/// x: kept × chains, one column per chain, at least 12 draws of each.
inline Diagnostic ess_mean(const ChainView& x) {
  const Reason reason = reason_of(x, least_draws_for_ess);
  if (reason != Reason::none) return {.reason = reason};
  return effective_size_of(halves(CentredDraws(x).deviations), Reason::constant);
}

/// Effective sample size of the normal scores of the halves' ranks: of the bulk of the law, whatever its tails are
/// (Vehtari et al. 2021, §4.1). Below 400 neither it nor R̂ is to be relied on.
/// x: kept × chains, one column per chain, at least 12 draws of each.
inline Diagnostic ess_bulk(const ChainView& x) {
  const Reason reason = reason_of(x, least_draws_for_ess);
  if (reason != Reason::none) return {.reason = reason};
  return effective_size_of(normal_scores(halves(x)), Reason::constant);
}

/// The effective sample size of the indicators x ≤ quantile; `tied` where they are all equal.
inline Diagnostic ess_below(const ChainView& x, double quantile) {
  Eigen::MatrixXd below(x.rows(), x.cols());
  for (Index c = 0; c < x.cols(); ++c)
    for (Index i = 0; i < x.rows(); ++i) below(i, c) = x(i, c) <= quantile ? 1 : 0;
  return effective_size_of(halves(below), Reason::tied);
}

/// Effective sample size for the p-quantile, 0 < p < 1: that of the indicators x ≤ quantile. `tied` where all draws
/// are. x: kept × chains, one column per chain, at least 12 draws of each.
inline Diagnostic ess_quantile(const ChainView& x, double p) {
  extend::require(p > 0 && p < 1, {"p is ", p, "; it must lie between 0 and 1"});
  const Reason reason = reason_of(x, least_draws_for_ess);
  if (reason != Reason::none) return {.reason = reason};
  return ess_below(x, quantile_of_sorted(sorted_draws(x), p));
}

/// Effective sample size in the tails: the smaller of those for the quantiles at 0.05 and at 0.95 (Vehtari et al. 2021,
/// §4.3). x: kept × chains, one column per chain, at least 12 draws of each.
inline Diagnostic ess_tail(const ChainView& x) {
  const Reason reason = reason_of(x, least_draws_for_ess);
  if (reason != Reason::none) return {.reason = reason};
  const std::vector<double> sorted = sorted_draws(x);
  const Diagnostic low = ess_below(x, quantile_of_sorted(sorted, 0.05));
  const Diagnostic high = ess_below(x, quantile_of_sorted(sorted, 0.95));
  if (!low.has_value()) return low;
  return high.has_value() && low.value < high.value ? low : high;
}

/// (x − mean)² in units of 4^exponent.
inline Eigen::MatrixXd squared_deviations(const ChainView& x) {
  Eigen::MatrixXd squares = CentredDraws(x).deviations;
  for (Index i = 0; i < squares.size(); ++i) squares.data()[i] *= squares.data()[i];
  return squares;
}

/// Effective sample size for the standard deviation: that of (x − mean)², of the halves; `constant` where that is.
/// x: kept × chains, one column per chain, at least 12 draws of each.
inline Diagnostic ess_sd(const ChainView& x) {
  const Reason reason = reason_of(x, least_draws_for_ess);
  if (reason != Reason::none) return {.reason = reason};
  return effective_size_of(halves(squared_deviations(x)), Reason::constant);
}

/// Monte Carlo standard error of the mean: sd/√ESS, sd with S − 1 and ESS of `ess_mean`. In the units of x.
/// x: kept × chains, one column per chain, at least 12 draws of each.
inline Diagnostic mcse_mean(const ChainView& x) {
  const Diagnostic ess = ess_mean(x);
  if (!ess.has_value()) return ess;
  const CentredDraws y(x);
  const double variance = sum_of_squares(y.deviations) / static_cast<double>(x.size() - 1);
  return {.value = y.in_units(std::sqrt(variance / ess.value))};
}

/// Monte Carlo standard error of the standard deviation: √((m₄ − m₂²)/(4 m₂ ESS)), m_k the mean of (x − mean)ᵏ and ESS
/// of `ess_sd`. In the units of x. x: kept × chains, one column per chain, at least 12 draws of each.
inline Diagnostic mcse_sd(const ChainView& x) {
  const Diagnostic ess = ess_sd(x);
  if (!ess.has_value()) return ess;
  const CentredDraws y(x);
  const double count = static_cast<double>(x.size()), second = sum_of_squares(y.deviations) / count;
  double spread = 0;  // m₄ − m₂²
  for (Index i = 0; i < x.size(); ++i) {
    const double square = y.deviations.data()[i] * y.deviations.data()[i];
    spread += (square - second) * (square - second) / count;
  }
  return {.value = y.in_units(std::sqrt(spread / (4 * second * ess.value)))};
}

/// Monte Carlo standard error of the p-quantile, 0 < p < 1: half the distance between the order statistics where one
/// standard deviation to both sides lies, by the quantiles .1586553 and .8413447 of Beta(ESS p + 1, ESS (1 − p) + 1),
/// ESS of `ess_quantile` (Vehtari et al. 2021, §4.4). In the units of x. x: kept × chains, one column per chain, at
/// least 12 draws of each.
inline Diagnostic mcse_quantile(const ChainView& x, double p) {
  const Diagnostic ess = ess_quantile(x, p);
  if (!ess.has_value()) return ess;
  const std::vector<double> sorted = sorted_draws(x);
  const double count = static_cast<double>(sorted.size());
  const double a = ess.value * p + 1, b = ess.value * (1 - p) + 1;
  const double low = std::max(std::floor(beta_quantile(0.1586553, a, b) * count), 1.0);
  const double high = std::min(std::ceil(beta_quantile(0.8413447, a, b) * count), count);
  const auto at = [&](double rank) { return sorted[static_cast<std::size_t>(rank) - 1]; };
  return {.value = 0.5 * at(high) - 0.5 * at(low)};
}

}  // namespace scorematch::diagnostics
