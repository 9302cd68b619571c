// DPM-Solver++(2M): the probability-flow ODE by two-step exponential integration.
#pragma once

#include "scorematch/sampler/noise_conditional.hpp"

namespace scorematch {

/// With λ = −log σ and the denoised D(x, σ) = x + σ² s(x, σ), the ODE is d(x/σ)/dλ = e^λ D, whose solution between two
/// levels is exact but for D, which is drawn on from its last two values (Lu et al. 2022, DPM-Solver++, algorithm 2):
///   x ← (σ_{i+1}/σ_i) x + (1 − σ_{i+1}/σ_i) ((1 + 1/(2r)) D_i − 1/(2r) D_{i−1}),   r = (λ_i − λ_{i−1})/(λ_{i+1} − λ_i)
/// Order 2 at one score a step; the first step, and the one to 0, which is x ← D, use D_i alone. Good with few steps.
struct dpm_solver {
  Levels levels = edm_levels{.levels = 20};  ///< decreasing; the chains start at the first
  bool denoise = true;  ///< end with the step from the last level to 0, the mean of the data given x

  /// Kept from the step before.
  template <class T>
  struct Notes {
    Matrix<T> denoised;  ///< D_{i−1}: B × d
    double sigma = 0;    ///< σ_{i−1}; 0: there is none
  };

  /// The members of a LadderSampler, as the role says of each (sampler/noise_conditional.hpp).
  ///@{
  void validate() const { sampling::require_steps(levels, denoise, "dpm_solver"); }
  double starts_at() const { return levels.largest(); }
  Index step_count() const { return sampling::steps_down(levels, denoise); }
  extend::NoiseStep at(Index step) const { return sampling::step_down(levels, step); }

  template <class T>
  void advance(extend::NoiseConditionalTarget<T>& target, extend::NoisyChains<T>& chains, Notes<T>& notes, Index step,
               const extend::ChainNoise&) const {
    Matrix<T>&S = target.scratch(0), &D = target.scratch(1), &next = target.scratch(2);
    const extend::NoiseStep now = at(step);
    target.score(chains, chains.X, now.sigma, S);
    extend::combine<T>(D, {{1, chains.X}, {now.sigma * now.sigma, S}});
    const double keep = now.next / now.sigma;
    if (now.next == 0) {
      next = D;
    } else if (notes.sigma > now.sigma) {
      const double inverse = 0.5 * std::log(now.sigma / now.next) / std::log(notes.sigma / now.sigma);  // 1/(2r)
      extend::combine<T>(next,
                         {{keep, chains.X}, {(1 - keep) * (1 + inverse), D}, {-(1 - keep) * inverse, notes.denoised}});
    } else {
      extend::combine<T>(next, {{keep, chains.X}, {1 - keep, D}});
    }
    notes.denoised.swap(D);
    notes.sigma = now.sigma;
    chains.move(next);
  }
  ///@}
};

}  // namespace scorematch
