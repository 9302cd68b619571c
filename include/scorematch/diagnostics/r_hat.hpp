// R̂: do chains agree with each other?
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/diagnostics/chain_draws.hpp"
#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// √((B/W + n − 1)/n) of chains y (n × M), W the mean of their variances and B = n times the variance of their means.
inline double potential_scale_reduction(const Eigen::MatrixXd& y) {
  const double n = static_cast<double>(y.rows()), M = static_cast<double>(y.cols());
  const std::vector<double> means = chain_means(y);
  double squares = 0;
  for (Index c = 0; c < y.cols(); ++c)
    for (Index i = 0; i < y.rows(); ++i) {
      const double apart = y(i, c) - means[static_cast<std::size_t>(c)];
      squares += apart * apart;
    }
  const double within = squares / ((n - 1) * M), between = n * variance_of(means);
  return std::sqrt((between / within + n - 1) / n);
}

/// Why draws have no R̂, or Reason::none.
inline Reason reason_of_r_hat(const ChainView& x) {
  const Reason reason = reason_of(x, least_draws);
  if (reason != Reason::none) return reason;
  return x.cols() < 2 ? Reason::one_chain : Reason::none;
}

/// potential_scale_reduction of the halves; they may rest although a chain moved (from one half to the other).
inline Diagnostic r_hat_of_halves(const Eigen::MatrixXd& split) {
  const Reason reason = reason_of(split, 1);
  if (reason != Reason::none) return {.reason = reason};
  return {.value = potential_scale_reduction(split)};
}

/// Split R̂ of the draws themselves: that of the halves of all chains (Gelman et al. 2013), with
///
///   R̂ = √((B/W + n − 1)/n),  n = ⌊kept/2⌋
///
/// x: kept × chains, one column per chain, at least 4 draws of 2 chains. It needs a variance: for heavy tails `r_hat`.
inline Diagnostic split_r_hat(const ChainView& x) {
  const Reason reason = reason_of_r_hat(x);
  if (reason != Reason::none) return {.reason = reason};
  return r_hat_of_halves(halves(CentredDraws(x).deviations));
}

/// R̂ of the normal scores of the halves' ranks: of where chains are. The same for any increasing function of x.
inline Diagnostic r_hat_bulk(const ChainView& x) {
  const Reason reason = reason_of_r_hat(x);
  if (reason != Reason::none) return {.reason = reason};
  return r_hat_of_halves(normal_scores(halves(x)));
}

/// R̂ of the normal scores of |x − median|: of how far chains spread. The median is that of all draws.
inline Diagnostic r_hat_folded(const ChainView& x) {
  const Reason reason = reason_of_r_hat(x);
  if (reason != Reason::none) return {.reason = reason};
  const double median = quantile_of_sorted(sorted_draws(x), 0.5);  // of x as it is, so that ties stay ties
  Eigen::MatrixXd apart(x.rows(), x.cols());
  for (Index c = 0; c < x.cols(); ++c)
    for (Index i = 0; i < x.rows(); ++i) apart(i, c) = std::abs(0.5 * x(i, c) - 0.5 * median);
  return r_hat_of_halves(normal_scores(halves(apart)));
}

/// The R̂ to look at: the larger of bulk and folded (Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, §3.2).
/// Above 1.01 chains disagree, or are too short to tell. Chains that agree may all be wrong: they may miss the same
/// mode. Of many short chains it stays above √(1 + chains/ESS); `nested_r_hat` is for them.
///
/// x: kept × chains, one column per chain, at least 4 draws of 2 chains.
inline Diagnostic r_hat(const ChainView& x) {
  const Diagnostic bulk = r_hat_bulk(x);
  if (!bulk.has_value()) return bulk;
  const Diagnostic folded = r_hat_folded(x);
  if (folded.reason == Reason::constant) return bulk;  // two values, as often each: nothing spreads
  if (!folded.has_value()) return folded;
  return {.value = std::max(bulk.value, folded.value)};
}

/// Nested R̂, for many short chains (Margossian, Hoffman, Sountsov, Riou-Durand, Vehtari & Gelman 2024): chains that
/// began at one point are a superchain, and superchains are compared,
///
///   R̂ = √(1 + Var_k(mean_k) / mean_k(W_k + B_k))
///
/// with W_k the mean variance within the chains of superchain k and B_k the variance of its chains' means; each is 0
/// where there is one draw or one chain. x: kept × chains, one column per chain; superchains: one number for each
/// chain, the same for those of one superchain; as many chains in each, or std::invalid_argument. One kept draw
/// suffices where each superchain has two chains.
inline Diagnostic nested_r_hat(const ChainView& x, const std::vector<Index>& superchains) {
  extend::require(static_cast<Index>(superchains.size()) == x.cols(),
                  {"nested_r_hat: superchains has ", superchains.size(), " numbers for ", x.cols(),
                   " chains; each chain needs the number of its superchain"});
  std::vector<Index> names = superchains;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  const Index groups = static_cast<Index>(names.size()), each = groups > 0 ? x.cols() / groups : 0;
  for (const Index name : names) {
    const auto found = std::count(superchains.begin(), superchains.end(), name);
    extend::require(found == each,
                    {"nested_r_hat: superchain ", name, " has ", found, " chains; each must have as many, ", x.cols(),
                     " chains in ", groups, " superchains"});
  }
  const Reason reason = reason_of(x, 1);
  if (reason == Reason::too_few_draws || reason == Reason::non_finite || reason == Reason::constant)
    return {.reason = reason};
  if (groups < 2) return {.reason = Reason::one_chain};
  if (x.rows() < 2 && each < 2) return {.reason = Reason::too_few_draws};
  const Eigen::MatrixXd y = CentredDraws(x).deviations;
  std::vector<double> mean(names.size(), 0.0);
  const std::vector<double> means = chain_means(y);
  const auto group_of = [&](std::size_t c) {
    return static_cast<std::size_t>(std::lower_bound(names.begin(), names.end(), superchains[c]) - names.begin());
  };
  for (std::size_t c = 0; c < means.size(); ++c) mean[group_of(c)] += means[c] / static_cast<double>(each);
  double within = 0;  // mean_k(W_k + B_k)
  for (Index c = 0; c < x.cols(); ++c) {
    const double of_chain = means[static_cast<std::size_t>(c)];
    const double apart = of_chain - mean[group_of(static_cast<std::size_t>(c))];
    if (each > 1) within += apart * apart / static_cast<double>((each - 1) * groups);
    for (Index i = 0; i < x.rows() && x.rows() > 1; ++i)
      within += (y(i, c) - of_chain) * (y(i, c) - of_chain) / static_cast<double>((x.rows() - 1) * x.cols());
  }
  if (!(within > 0)) return {.reason = Reason::constant_chains};
  return {.value = std::sqrt(1 + variance_of(mean) / within)};
}

}  // namespace scorematch::diagnostics
