// log Z from importance weights: Z = E[w], estimated from log w without overflow.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/density/partition_result.hpp"
#include "scorematch/partition/generalised_pareto.hpp"

namespace scorematch::likelihood {

/// The shape k of the generalised Pareto law of the weights' upper tail: their moments of order up to 1/k exist. Above
/// 0.7, and with few weights above 1 − 1/log₁₀ n, neither the mean nor its error can be trusted (A. Vehtari et al.,
/// "Pareto smoothed importance sampling", JMLR 25, 2024); estimated from the largest min(n/5, 3√n) weights. −∞ for
/// fewer than 25 weights, or equal ones.
template <class D = void>
double pareto_shape(const detail::DependentVector<D>& log_weights) {
  constexpr double none = -std::numeric_limits<double>::infinity();
  const double n = static_cast<double>(log_weights.size());
  const Index tail = static_cast<Index>(std::min(0.2 * n, 3 * std::sqrt(n)));
  if (tail < 5) return none;
  std::vector<double> sorted(log_weights.data(), log_weights.data() + log_weights.size());
  std::sort(sorted.begin(), sorted.end());
  const double most = sorted.back(),
               least = std::exp(sorted[sorted.size() - 1 - static_cast<std::size_t>(tail)] - most);
  detail::DependentArray<D> x(tail);  // ascending excesses over the tail's beginning
  for (Index i = 0; i < tail; ++i)
    x[i] = std::exp(sorted[sorted.size() - static_cast<std::size_t>(tail - i)] - most) - least;
  const double shape = fit_generalised_pareto(x).shape;
  return std::isnan(shape) ? none : shape;
}

/// Sets value, error (by the delta method: the relative standard error of the mean weight), bounds, effective sample
/// size and status from the logs of n independent weights. A weight may be 0 (log w = −∞).
template <class D = void>
void from_log_weights(const detail::DependentVector<D>& log_weights, LogPartition& result) {
  const double n = static_cast<double>(log_weights.size()), most = log_weights.maxCoeff();
  result.evidence.clear();
  if (log_weights.hasNaN() || most == std::numeric_limits<double>::infinity()) {
    result.status = PartitionStatus::non_finite;
    result.evidence = "the energy was NaN or −∞ at a sample";
    return;
  }
  if (most == -std::numeric_limits<double>::infinity()) {
    result.status = PartitionStatus::degenerate;
    result.evidence = "every sample has weight 0: the energy is +∞ wherever the proposal lies";
    return;
  }
  const detail::DependentArray<D> w = (log_weights.array() - most).exp();
  const double sum = w.sum(), squares = w.square().sum();
  result.value = most + std::log(sum / n);
  result.effective_sample_size = sum * sum / squares;
  result.error = n > 1 ? std::sqrt(std::max(0.0, (n / result.effective_sample_size - 1) / (n - 1)))
                       : std::numeric_limits<double>::infinity();
  result.lower = result.value - 2 * result.error;
  result.upper = result.value + 2 * result.error;
  const double share = 1 / sum;  // of the largest weight, which is 1
  // Below that many equal weights the error's own error is as large as itself, and it is too small more often than not.
  constexpr double fewest = 50, largest_share = 0.1;
  const double heaviest = std::min(0.7, 1 - 1 / std::log10(std::max(n, 11.0)));
  const double shape = pareto_shape<D>(log_weights);
  if (result.effective_sample_size < fewest || share > largest_share) {
    result.status = PartitionStatus::degenerate;
    result.evidence = detail::text("the ", log_weights.size(), " weights are worth only ", result.effective_sample_size,
                                   " equal ones, and the largest is ", 100 * share, " % of their sum");
  } else if (shape > heaviest) {
    result.status = PartitionStatus::degenerate;
    result.evidence = detail::text("the weights' tail is too heavy to trust their mean: its Pareto shape is ", shape,
                                   ", where ", heaviest, " is the most");
  } else {
    result.status = PartitionStatus::converged;
  }
}

}  // namespace scorematch::likelihood
