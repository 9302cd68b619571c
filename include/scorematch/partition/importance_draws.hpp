// Weighted draws of exp(−f) by importance sampling, and unweighted ones taken from them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/partition/importance_sampling.hpp"
#include "scorematch/partition/pareto_smooth.hpp"

namespace scorematch {

/// Whether weighted draws can be trusted.
enum class ImportanceStatus {
  reliable,    ///< k̂ is small enough, and chains that go on from the draws find nothing that these had missed
  unreliable,  ///< k̂ is too large (above 0.7, say), or chains found what the draws had missed
  none,        ///< no draws: the energy is nowhere finite, is NaN or −∞, or falls without bound
};

/// The status in a word or two.
inline const char* to_string(ImportanceStatus status) {
  switch (status) {
    case ImportanceStatus::reliable:
      return "reliable";
    case ImportanceStatus::unreliable:
      return "unreliable";
    case ImportanceStatus::none:
      return "none";
  }
  return "";
}

/// S points x ~ r with weights exp(−f(x))/r(x), Pareto-smoothed.
struct [[nodiscard]] ImportanceDraws {
  Eigen::MatrixXd points;           ///< d × S, as the proposal drew them: means need the weights
  Eigen::VectorXd log_ratios;       ///< S, −f − log r as they are, before smoothing
  ParetoSmoothed weights;           ///< smoothed, with k̂ and effective sample size
  LogPartition log_partition = {};  ///< log Z by the raw weights, as log_partition(model, importance_sampling) has it
  ImportanceStatus status = ImportanceStatus::none;  ///< whether the draws can be trusted
  std::string evidence = {};  ///< what speaks against the draws, in a sentence; empty where all is well

  /// Points in proportion to their weights: d × count. Throws std::invalid_argument where there are no draws, and for
  /// more without replacement than have a weight.
  template <class D = void>
  detail::DependentMatrix<D> resampled(const ResampleOptions& options = {}) const {
    extend::require(status != ImportanceStatus::none, {"resampled: there are no draws: ", evidence});
    const std::vector<Index> chosen = resample<D>(weights.log_weights, options);
    detail::DependentMatrix<D> X(points.rows(), static_cast<Index>(chosen.size()));
    for (Index i = 0; i < X.cols(); ++i) X.col(i) = points.col(chosen[static_cast<std::size_t>(i)]);
    return X;
  }

  /// A line: the status, draws, effective draws, k̂ and log Z; then the evidence, if there is any.
  std::string text() const {
    return scorematch::detail::text(to_string(status), ": ", points.cols(), " weighted draws, ",
                                    weights.effective_sample_size, " effective, Pareto k ", weights.shape, ", log Z ",
                                    log_partition.value, " ± ", log_partition.error, '\n',
                                    evidence.empty() ? "" : "  " + evidence + '\n');
  }
};

/// The draws behind log_partition(model, importance_sampling), with Pareto-smoothed weights: for means over exp(−f)/Z,
/// for starts of chains, as a check of a sampler. Good up to some ten dimensions. Costs what log_partition costs.
///
///   const auto draws = sm::importance_draws(model, {.samples = 20'000});
///   const Eigen::VectorXd mean = draws.points * draws.weights.weights();
///   const auto starts = draws.resampled({.count = 64, .replacement = false});
template <class M>
ImportanceDraws importance_draws(const M& model, const importance_sampling& method = {}) {
  ImportanceDraws draws;
  if constexpr (detail::check_energy<M>()) {
    likelihood::WeighedPoints<M> drawn;
    draws.log_partition = likelihood::weighed_points(model, method, drawn);
    const PartitionStatus how = draws.log_partition.status;
    draws.evidence = draws.log_partition.evidence;
    if (drawn.X.cols() == 0 || how == PartitionStatus::non_finite || how == PartitionStatus::not_normalisable)
      return draws;
    draws.log_ratios = -drawn.f - drawn.log_r;
    draws.weights = pareto_smooth(draws.log_ratios);
    if (draws.weights.status == WeightStatus::non_finite || draws.weights.status == WeightStatus::no_mass) {
      draws.evidence = draws.weights.evidence;
      return draws;
    }
    draws.points = drawn.X;
    const bool good = how == PartitionStatus::converged && draws.weights.status == WeightStatus::reliable;
    draws.status = good ? ImportanceStatus::reliable : ImportanceStatus::unreliable;
    if (draws.weights.status != WeightStatus::reliable) draws.evidence = draws.weights.evidence;
  }
  return draws;
}

}  // namespace scorematch
