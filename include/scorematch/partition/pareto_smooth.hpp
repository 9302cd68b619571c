// Pareto-smoothed importance weights: the largest weights made steadier, and whether they can be trusted at all.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/partition/generalised_pareto.hpp"
#include "scorematch/random/stream.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// Whether means over importance weights can be trusted.
enum class WeightStatus {
  reliable,    ///< k̂ ≤ min(1 − 1/log₁₀ S, 0.7): means over these weights, and their errors, can be trusted
  unreliable,  ///< k̂ is above that: the proposal's tails are too light, or there are too few draws
  too_few,     ///< fewer than 25 weights: their tail cannot be judged
  no_mass,     ///< every weight is 0
  non_finite,  ///< a log weight is NaN or +∞: read `evidence`
};

/// The status in a word or two.
inline const char* to_string(WeightStatus status) {
  switch (status) {
    case WeightStatus::reliable:
      return "reliable";
    case WeightStatus::unreliable:
      return "unreliable";
    case WeightStatus::too_few:
      return "too few";
    case WeightStatus::no_mass:
      return "no mass";
    case WeightStatus::non_finite:
      return "non-finite";
  }
  return "";
}

/// S importance weights, the largest ones smoothed.
struct [[nodiscard]] ParetoSmoothed {
  Eigen::VectorXd log_weights;  ///< S, logs of weights that sum to 1, smoothed; −∞ for a weight 0. Empty if non-finite
  /// The shape k̂ of the weights' tail: moments of order up to 1/k̂ exist. −∞ where the largest weights are equal (their
  /// mean has no error from the tail), +∞ where doubles cannot hold them side by side, NaN where it was not fitted.
  double shape = std::numeric_limits<double>::quiet_NaN();
  double threshold = 0.7;            ///< the largest k̂ that is reliable for S weights
  Index tail = 0;                    ///< how many weights were smoothed
  double effective_sample_size = 0;  ///< 1/Σw², w the smoothed weights that sum to 1
  /// log of the mean of the smoothed weights: log Z, where the log weights are −f − log r
  double log_mean_weight = std::numeric_limits<double>::quiet_NaN();
  WeightStatus status = WeightStatus::too_few;  ///< whether means over them can be trusted
  std::string evidence = {};  ///< what speaks against the weights, in a sentence; empty where all is well

  /// w, S numbers that sum to 1.
  Eigen::VectorXd weights() const {
    Eigen::VectorXd w(log_weights.size());
    for (Index i = 0; i < w.size(); ++i) w[i] = std::exp(log_weights[i]);
    return w;
  }

  /// A line: the status, k̂ with its threshold and the effective sample size; then the evidence, if there is any.
  std::string text() const {
    return scorematch::detail::text(to_string(status), ": Pareto k ", shape, " (at most ", threshold, "), ",
                                    effective_sample_size, " effective of ", log_weights.size(), " draws\n",
                                    evidence.empty() ? "" : "  " + evidence + '\n');
  }
};

namespace likelihood {

/// Pulls the estimate k̂ from n excesses towards ½, as ten more of them would (Vehtari et al. 2024, appendix).
inline double with_weak_prior(double shape, Index n) {
  constexpr double worth = 10, centre = 0.5;
  return (static_cast<double>(n) * shape + worth * centre) / (static_cast<double>(n) + worth);
}

/// Replaces the log weights of the `tail` largest (relative to the largest, 0) by the fitted law's quantiles, in order;
/// none becomes larger than the largest was. Sets shape and tail.
template <class D>
void smooth_tail(const std::vector<Index>& order, Index tail, detail::DependentVector<D>& log_w,
                 ParetoSmoothed& result) {
  const Index S = log_w.size(), first = S - tail;
  const auto at = [&](Index rank) -> double& { return log_w[order[static_cast<std::size_t>(rank)]]; };
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (at(S - 1) == at(first - 1)) {
    result.shape = -infinity;
    return;
  }
  const double cutoff = std::exp(at(first - 1));
  detail::DependentArray<D> excesses(tail);
  for (Index i = 0; i < tail; ++i) excesses[i] = std::exp(at(first + i)) - cutoff;
  likelihood::GeneralisedPareto law = fit_generalised_pareto(excesses);
  if (std::isnan(law.shape)) {  // the lower quartile of the excesses is 0: ties, or below the numbers
    result.shape = cutoff > 0 && at(S - 1) - at(first - 1) < 1 ? -infinity : infinity;
    return;
  }
  law.shape = with_weak_prior(law.shape, tail);
  result.shape = law.shape;
  result.tail = tail;
  for (Index i = 0; i < tail; ++i) {
    const double p = (static_cast<double>(i) + 0.5) / static_cast<double>(tail);
    at(first + i) = std::min(0.0, std::log(cutoff + law.quantile(p)));
  }
}

inline void judge_weights(ParetoSmoothed& result) {
  const Index S = result.log_weights.size();
  if (S < 25) {
    result.status = WeightStatus::too_few;
    result.evidence = detail::text("the tail of ", S, " weights cannot be judged; take at least 25, better 1000");
  } else if (result.shape <= result.threshold) {
    result.status = WeightStatus::reliable;
  } else {
    result.status = WeightStatus::unreliable;
    result.evidence = detail::text("the weights' Pareto shape is ", result.shape, ", above ", result.threshold,
                                   ": a few draws decide; take a proposal with wider tails",
                                   result.threshold < 0.7 ? ", or more draws" : "");
  }
}

}  // namespace likelihood

/// Importance weights with their upper tail smoothed (A. Vehtari, D. Simpson, A. Gelman, Y. Yao and J. Gabry, "Pareto
/// smoothed importance sampling", JMLR 25, 2024): the ⌈min(S/5, 3√S)⌉ largest become the quantiles (i − ½)/tail of a
/// generalised Pareto law that was fitted to them, none larger than the largest was. `log_weights`: S logs of weights
/// up to one factor, of independent draws (−f(x) − log r(x) for x ~ r, say); −∞ stands for the weight 0. Any size of
/// logs: only differences count. Throws std::invalid_argument for none.
///
///   const auto smooth = sm::pareto_smooth(log_weights);
///   if (smooth.status == sm::WeightStatus::reliable) mean = X * smooth.weights();
template <class D = void>
ParetoSmoothed pareto_smooth(const detail::DependentVector<D>& log_weights) {
  const Index S = log_weights.size();
  extend::require_at_least(S, 1, "pareto_smooth: the number of log_weights");
  constexpr double infinity = std::numeric_limits<double>::infinity();
  ParetoSmoothed result;
  const double size = static_cast<double>(S);
  result.threshold = S >= 25 ? std::min(0.7, 1 - 1 / std::log10(size)) : -infinity;
  for (Index i = 0; i < S; ++i) {
    if (log_weights[i] < infinity) continue;
    result.status = WeightStatus::non_finite;
    result.evidence = detail::text("log weight ", i, " (counted from 0) is ", log_weights[i]);
    return result;
  }
  const double most = log_weights.maxCoeff();
  if (most == -infinity) {
    result.status = WeightStatus::no_mass;
    result.evidence = detail::text("all ", S, " weights are 0: no draw lies where the target has mass");
    result.log_weights = log_weights;
    result.log_mean_weight = -infinity;
    return result;
  }
  detail::DependentVector<D> log_w = log_weights.array() - most;
  std::vector<Index> order(static_cast<std::size_t>(S));
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return log_w[a] < log_w[b]; });
  const Index tail = static_cast<Index>(std::ceil(std::min(0.2 * size, 3 * std::sqrt(size))));
  if (S >= 25) likelihood::smooth_tail<D>(order, tail, log_w, result);
  const double log_sum = std::log(log_w.array().exp().sum());
  result.log_mean_weight = most + log_sum - std::log(size);
  result.log_weights = log_w.array() - log_sum;
  result.effective_sample_size = 1 / (2 * (log_w.array() - log_sum)).exp().sum();
  likelihood::judge_weights(result);
  return result;
}

/// Options of resample.
struct ResampleOptions {
  Index count = 1000;       ///< 1 … 10⁹; without replacement at most the number of weights above 0
  bool replacement = true;  ///< draws may come more than once: exact means; without, no copies, and weights are flatter
  std::uint64_t seed = 0;   ///< of the draws; any

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const { extend::require_within(count, 1, 1'000'000'000, "ResampleOptions: count"); }
};

/// Which draws to keep, in proportion to exp(log_weights) (S logs, up to one factor): `count` column numbers,
/// ascending. With replacement by systematic resampling, draw i comes ⌊count w_i⌋ or ⌈count w_i⌉ times; without, by the
/// largest log w_i + Gumbel noise, which picks one after another in proportion to the weights that are left (P. S.
/// Efraimidis and P. G. Spirakis, "Weighted random sampling with a reservoir", Inf. Process. Lett. 97, 2006). Throws
/// std::invalid_argument for weights that are NaN, +∞ or all 0, and more draws than there are.
template <class D = void>
std::vector<Index> resample(const detail::DependentVector<D>& log_weights, const ResampleOptions& options = {}) {
  options.validate();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const Index S = log_weights.size();
  Index positive = 0;
  double most = -infinity;
  for (Index i = 0; i < S; ++i) {
    extend::require(log_weights[i] < infinity, {"resample: log weight ", i, " (counted from 0) is ", log_weights[i]});
    positive += log_weights[i] > -infinity;
    most = std::max(most, log_weights[i]);
  }
  extend::require(positive > 0, {"resample: none of the ", S, " weights is above 0"});
  Stream stream({options.seed, extend::Purpose::partition}, 0, std::uint64_t{5} << 36);
  std::vector<Index> chosen;
  if (options.replacement) {
    const detail::DependentArray<D> w = (log_weights.array() - most).exp();
    const double step = w.sum() / static_cast<double>(options.count), offset = stream.uniform();
    double sum = w[0];
    for (Index i = 0, k = 0; i < options.count; ++i) {
      while (sum < (static_cast<double>(i) + offset) * step && k + 1 < S) sum += w[++k];
      chosen.push_back(k);
    }
    return chosen;
  }
  extend::require(options.count <= positive, {"resample: ", options.count, " draws without replacement from ", positive,
                                              " with a weight above 0; take fewer, or allow replacement"});
  detail::DependentVector<D> key(S);
  for (Index i = 0; i < S; ++i) key[i] = log_weights[i] - std::log(-std::log(stream.uniform()));
  chosen.resize(static_cast<std::size_t>(S));
  std::iota(chosen.begin(), chosen.end(), Index{0});
  std::stable_sort(chosen.begin(), chosen.end(), [&](Index a, Index b) { return key[a] > key[b]; });
  chosen.resize(static_cast<std::size_t>(options.count));
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace scorematch
