// The probability-flow ODE with steps chosen for each chain, to a tolerance.
#pragma once

#include <cmath>

#include "scorematch/sampler/dormand_prince.hpp"

namespace scorematch {

/// dx/dσ = −σ s(x, σ) from σ_max down to σ_min (Song et al. 2021, equation 13) by Dormand and Prince's pair of orders 5
/// and 4, each chain with its own steps: the error of a step is at most the tolerance, absolute and relative, as a root
/// mean square over coordinates. Six scores a step, tried or taken.
struct probability_flow {
  double sigma_max = 80;     ///< where the flow starts; > sigma_min
  double sigma_min = 0.002;  ///< > 0
  double tolerance = 1e-5;   ///< > 0; in float not below 1e-6
  bool denoise = true;       ///< end with x + σ_min² s(x, σ_min), the mean of the data given x (Tweedie's formula)
  Index most_steps = 10000;  ///< ≥ 1 tried steps of a chain

  /// Kept from step to step, for a block of chains.
  template <class T>
  struct Notes {
    sampling::FlowPaths<T> paths;  ///< one a chain
    double from = 0;               ///< the time at which they start
    double to = 0;                 ///< and at which they end
  };

  /// The members of an AdaptiveSampler, as the role says of each (sampler/noise_conditional.hpp).
  ///@{
  void validate() const {
    noise::require_range(sigma_min, sigma_max, 2, "probability_flow");
    extend::require_positive(tolerance, "probability_flow: tolerance");
    extend::require_at_least(most_steps, 1, "probability_flow: most_steps");
  }
  double starts_at() const { return sigma_max; }
  double ends_at() const { return denoise ? 0 : sigma_min; }

  template <class T>
  bool attempt(extend::NoiseConditionalTarget<T>& target, extend::NoisyChains<T>& chains, Notes<T>& notes) const {
    const sampling::DormandPrince steps{tolerance, most_steps};
    sampling::FlowPaths<T>& paths = notes.paths;
    if (paths.path.size() == 0) steps.start(target, chains.label, chains.X, sigma_max, sigma_min, paths);
    const bool all_rest = steps.attempt(target, chains.label, chains.X, sigma_min, paths);
    chains.evaluations = paths.evaluations;
    if (!all_rest) return false;
    Matrix<T>& next = target.scratch(0);
    for (Index i = 0; i < chains.X.rows(); ++i) {
      chains.lost[i] = paths.path[i] == sampling::Path::lost;
      chains.any_lost = chains.any_lost || chains.lost[i];
      chains.late[i] = paths.path[i] == sampling::Path::late;
    }
    if (!denoise) return true;
    extend::combine<T>(next, {{1, chains.X}, {-sigma_min, paths.slope}});  // the slope is −σ s
    for (Index i = 0; i < chains.X.rows(); ++i)
      if (chains.late[i])
        for (Index j = 0; j < chains.X.cols(); ++j) next(i, j) = chains.X(i, j);
    chains.move(next);
    return true;
  }
  ///@}

  /// The share of log σ that the slowest chain of a block has behind it.
  template <class T>
  double share(const Notes<T>& notes) const {
    double largest = sigma_min;
    for (Index i = 0; i < notes.paths.sigma.size(); ++i)
      if (notes.paths.path[i] == sampling::Path::going) largest = std::max(largest, notes.paths.sigma[i]);
    return std::log(sigma_max / largest) / std::log(sigma_max / sigma_min);
  }
};

}  // namespace scorematch
