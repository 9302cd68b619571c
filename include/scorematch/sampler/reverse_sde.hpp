// The diffusion run backwards, and the same with Langevin correctors between its steps.
#pragma once

#include "scorematch/sampler/noise_conditional.hpp"

namespace scorematch {

namespace sampling {

/// x + (σ² − σ'²) s + √((σ² − σ'²) τ) z, without the noise where σ' = 0.
template <class T>
void reverse_step(extend::NoiseConditionalTarget<T>& target, extend::NoisyChains<T>& chains, extend::NoiseStep now,
                  double temperature, const extend::ChainNoise& noise) {
  Matrix<T>&S = target.scratch(0), &Z = target.scratch(1), &next = target.scratch(2);
  target.score(chains, chains.X, now.sigma, S);
  const double variance = now.sigma * now.sigma - now.next * now.next;
  if (now.next == 0) {
    extend::combine<T>(next, {{1, chains.X}, {variance, S}});
    return chains.move(next);
  }
  Z.resize(S.rows(), S.cols());
  noise.normals(Z);
  extend::combine<T>(next, {{1, chains.X}, {variance, S}, {std::sqrt(variance * temperature), Z}});
  chains.move(next);
}

}  // namespace sampling

/// From σ_i to σ_{i+1}:  x ← x + (σ_i² − σ_{i+1}²) s(x, σ_i) + √((σ_i² − σ_{i+1}²) τ) z
/// (Song et al. 2021, appendix E, the reverse diffusion sampler for variance-exploding noise): the Euler–Maruyama
/// step, in σ², of the diffusion run backwards. Its bias is of first order in the steps.
///
/// The noise's variance is multiplied by the temperature τ. For Gaussian data N(0, v) and large σ_max that makes the
/// variance τ v, the law p^{1/τ}. For other data it is near that law, but not it: a mode's variance is multiplied by τ,
/// while the weights change less. (Of 0.8 N((5, 5), I) + 0.2 N((−5, −5), I) with τ = ½ it leaves 0.89 of the chains in
/// the large mode; p² has 0.94, and so has annealed_langevin.)
struct reverse_sde {
  Levels levels = edm_levels{.levels = 200};  ///< decreasing; the chains start at the first
  double temperature = 1;                     ///< τ > 0
  bool denoise = true;  ///< end with x + σ² s(x, σ) at the last σ, the mean of the data given x (Tweedie's formula)

  template <class T>
  struct Notes {};

  /// The members of a LadderSampler, as the role says of each (sampler/noise_conditional.hpp).
  ///@{
  void validate() const {
    extend::require_positive(temperature, "reverse_sde: temperature");
    sampling::require_steps(levels, denoise, "reverse_sde");
  }

  double starts_at() const { return levels.largest(); }
  Index step_count() const { return sampling::steps_down(levels, denoise); }
  extend::NoiseStep at(Index step) const { return sampling::step_down(levels, step); }

  template <class T>
  void advance(extend::NoiseConditionalTarget<T>& target, extend::NoisyChains<T>& chains, Notes<T>&, Index step,
               const extend::ChainNoise& noise) const {
    sampling::reverse_step(target, chains, at(step), temperature, noise);
  }
  ///@}
};

/// A step of reverse_sde to each level, and there `corrector_steps` Langevin steps
///   x ← x + h s(x, σ) + √(2 h τ) z,   h = 2 (r σ)²
/// (Song et al. 2021, algorithms 2 and 4). Their h is 2 (r ‖z‖/‖s‖)² with norms averaged over the batch. Under the
/// noise of level σ, ‖z‖/‖s‖ is about σ, exactly so where the data are one point; with σ itself a chain needs no other
/// chain, and its step does not depend on its state or noise, which would change the law that the step leaves as it is.
///
/// As in annealed_langevin, a corrector step's stability depends on h/σ² = 2r² alone: from r = 1 on they diverge.
///
/// The temperature τ multiplies the variance of all noise; what law that makes: reverse_sde.
struct predictor_corrector {
  Levels levels = edm_levels{.levels = 200};  ///< decreasing; the chains start at the first
  Index corrector_steps = 1;                  ///< ≥ 1, a level
  double signal_to_noise = 0.16;              ///< r > 0, well below 1
  double temperature = 1;                     ///< τ > 0
  bool denoise = true;                        ///< end with x + σ² s(x, σ) at the last σ

  template <class T>
  struct Notes {};

  /// The members of a LadderSampler, as the role says of each (sampler/noise_conditional.hpp).
  ///@{
  void validate() const {
    extend::require_at_least(corrector_steps, 1, "predictor_corrector: corrector_steps");
    extend::require_positive(signal_to_noise, "predictor_corrector: signal_to_noise");
    extend::require_positive(temperature, "predictor_corrector: temperature");
    sampling::require_step_count(levels.size(), corrector_steps, "predictor_corrector: corrector_steps");
    sampling::require_steps(levels, denoise, "predictor_corrector");
  }

  double starts_at() const { return levels.largest(); }
  double langevin_ratio() const { return 2 * signal_to_noise * signal_to_noise; }
  Index step_count() const { return sampling::steps_down(levels, denoise); }
  extend::NoiseStep at(Index step) const { return sampling::step_down(levels, step); }

  template <class T>
  void advance(extend::NoiseConditionalTarget<T>& target, extend::NoisyChains<T>& chains, Notes<T>&, Index step,
               const extend::ChainNoise& noise) const {
    const extend::NoiseStep now = at(step);
    extend::ChainNoise draw = noise;
    draw.step = noise.step * static_cast<std::uint64_t>(1 + corrector_steps);
    sampling::reverse_step(target, chains, now, temperature, draw);
    if (now.next == 0) return;
    Matrix<T>&S = target.scratch(0), &Z = target.scratch(1), &next = target.scratch(2);
    const double h = 2 * signal_to_noise * signal_to_noise * now.next * now.next;
    for (Index k = 0; k < corrector_steps; ++k) {
      ++draw.step;
      target.score(chains, chains.X, now.next, S);
      draw.normals(Z);
      extend::combine<T>(next, {{1, chains.X}, {h, S}, {std::sqrt(2 * h * temperature), Z}});
      chains.move(next);
    }
  }
  ///@}
};

}  // namespace scorematch
