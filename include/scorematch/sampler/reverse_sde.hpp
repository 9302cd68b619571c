// The diffusion run backwards, and the same with Langevin correctors between its steps.
#pragma once

#include "scorematch/sampler/corrector.hpp"
#include "scorematch/sampler/langevin.hpp"
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
/// Another corrector is any unadjusted kernel, in units of σ: `.corrector = sm::underdamped_langevin{.step = 0.3}`. Its
/// momenta go on from level to level.
///
/// The temperature τ multiplies the variance of all noise; what law that makes: reverse_sde.
struct predictor_corrector {
  Levels levels = edm_levels{.levels = 200};  ///< decreasing; the chains start at the first
  Index corrector_steps = 1;                  ///< ≥ 1, a level
  double signal_to_noise = default_ratio;     ///< r > 0, well below 1; of Langevin's corrector
  double temperature = 1;                     ///< τ > 0
  bool denoise = true;                        ///< end with x + σ² s(x, σ) at the last σ
  Corrector corrector = {};                   ///< in place of Langevin's, at the temperature τ

  static constexpr double default_ratio = 0.16;  ///< of signal_to_noise, as Song et al. 2021 choose it

  /// What is kept of a block of chains from level to level.
  template <class T>
  struct Notes {
    extend::Chains<T> chains;  ///< the corrector's, in units of σ
    Matrix<T> X;               ///< scratch: where scores are asked for, and
    Matrix<T> S;               ///< these
  };

  /// The members of a LadderSampler, as the role says of each (sampler/noise_conditional.hpp).
  ///@{
  void validate() const {
    extend::require_at_least(corrector_steps, 1, "predictor_corrector: corrector_steps");
    extend::require_positive(signal_to_noise, "predictor_corrector: signal_to_noise");
    extend::require_positive(temperature, "predictor_corrector: temperature");
    sampling::require_step_count(levels.size(), corrector_steps, "predictor_corrector: corrector_steps");
    sampling::require_steps(levels, denoise, "predictor_corrector");
    if (!corrector.given()) return;
    const sampling::BoundKernel<double>& kernel = corrector.kernel<double>();
    kernel.validate();
    extend::require(signal_to_noise == default_ratio,
                    {"predictor_corrector: signal_to_noise is ", signal_to_noise,
                     ", but the corrector that is given has a step of its own; leave signal_to_noise out"});
    extend::require((kernel.is_langevin() ? kernel.temperature() : 1) == temperature,
                    {"predictor_corrector: temperature is ", temperature, ", but the corrector's is ",
                     kernel.is_langevin() ? kernel.temperature() : 1.0, "; they must be the same"});
  }

  double starts_at() const { return levels.largest(); }
  double langevin_ratio() const {
    if (!corrector.given()) return 2 * signal_to_noise * signal_to_noise;
    const sampling::BoundKernel<double>& kernel = corrector.kernel<double>();
    return kernel.is_langevin() ? kernel.step() : std::numeric_limits<double>::quiet_NaN();
  }
  Index step_count() const { return sampling::steps_down(levels, denoise); }
  extend::NoiseStep at(Index step) const { return sampling::step_down(levels, step); }

  template <class T>
  void advance(extend::NoiseConditionalTarget<T>& target, extend::NoisyChains<T>& chains, Notes<T>& notes, Index step,
               const extend::ChainNoise& noise) const {
    const extend::NoiseStep now = at(step);
    extend::ChainNoise draw = noise;
    draw.step = noise.step * static_cast<std::uint64_t>(1 + corrector_steps);
    sampling::reverse_step(target, chains, now, temperature, draw);
    if (now.next == 0) return;
    if (corrector.given())
      correct(corrector.kernel<T>(), target, chains, notes, now.next, draw);
    else
      correct(langevin{langevin_ratio(), temperature}, target, chains, notes, now.next, draw);
  }
  ///@}

 private:
  // The steps of a kernel at the level σ; `draw` is the step before, which drew noise.
  template <class T, class Kernel>
  void correct(const Kernel& kernel, extend::NoiseConditionalTarget<T>& target, extend::NoisyChains<T>& chains,
               Notes<T>& notes, double sigma, extend::ChainNoise& draw) const {
    extend::Chains<T>& c = notes.chains;
    sampling::LevelTarget<T> level(target, chains, sigma, notes.X, notes.S);
    extend::combine<T>(c.X, {{1 / sigma, chains.X}});
    c.reset_counts();
    kernel.start(level, c);
    for (Index k = 0; k < corrector_steps; ++k) {
      ++draw.step;
      kernel.advance(level, c, draw);
    }
    Matrix<T>& next = target.scratch(2);
    extend::combine<T>(next, {{sigma, c.X}});
    for (Index i = 0; i < next.rows() && c.any_lost; ++i)
      if (c.lost[i]) next.row(i).setConstant(std::numeric_limits<T>::quiet_NaN());
    chains.move(next);
  }
};

}  // namespace scorematch
