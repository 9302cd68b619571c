// The probability-flow ODE dx/dσ = −σ s(x, σ), level by level: Euler, Heun, and Runge–Kutta of order 4.
//
// Its solutions have, at every σ, the law of the data blurred by σz (Song et al. 2021, equation 13; Karras et al. 2022,
// equation 1). A step from the last level to 0 is Euler's, x + σ² s: the score has no value at σ = 0.
#pragma once

#include <limits>

#include "scorematch/sampler/noise_conditional.hpp"

namespace scorematch {

/// Euler's method: x ← x + (σ_{i+1} − σ_i) (−σ_i s(x, σ_i)). Order 1; one score a step. (DDIM is this in other
/// variables: Song, Meng & Ermon 2021, equation 13.)
struct euler {
  Levels levels = edm_levels{.levels = 100};  ///< decreasing; the chains start at the first
  bool denoise = true;  ///< end with the step from the last level to 0, the mean of the data given x

  template <class T>
  struct Notes {};

  /// The members of a LadderSampler, as the role says of each (sampler/noise_conditional.hpp).
  ///@{
  void validate() const { sampling::require_steps(levels, denoise, "euler"); }
  double starts_at() const { return levels.largest(); }
  Index step_count() const { return sampling::steps_down(levels, denoise); }
  extend::NoiseStep at(Index step) const { return sampling::step_down(levels, step); }

  template <class T>
  void advance(extend::NoiseConditionalTarget<T>& target, extend::NoisyChains<T>& chains, Notes<T>&, Index step,
               const extend::ChainNoise&) const {
    Matrix<T>&S = target.scratch(0), &next = target.scratch(1);
    const extend::NoiseStep now = at(step);
    target.score(chains, chains.X, now.sigma, S);
    extend::combine<T>(next, {{1, chains.X}, {-(now.next - now.sigma) * now.sigma, S}});
    chains.move(next);
  }
  ///@}
};

/// Heun's method (Karras et al. 2022, algorithm 1): an Euler step, then again with the mean of the slopes at its two
/// ends. Order 2; two scores a step, one for the step to 0.
///
/// With `churn` > 0 it is their algorithm 2: before each step at a level from churn_min to churn_max, noise is added
/// that lifts σ to σ (1 + γ), γ = min(churn/(number of levels), √2 − 1); it forgets the errors of earlier steps.
struct heun {
  Levels levels = edm_levels{};  ///< decreasing; the chains start at the first
  bool denoise = true;           ///< end with the step from the last level to 0, the mean of the data given x
  double churn = 0;              ///< S_churn ≥ 0; 0: the ODE alone
  double churn_min = 0;          ///< S_tmin ≥ 0
  double churn_max = std::numeric_limits<double>::infinity();  ///< S_tmax ≥ churn_min
  double churn_noise = 1;  ///< S_noise > 0, the standard deviation of the noise: 1.003 or so for networks

  template <class T>
  struct Notes {};

  /// The members of a LadderSampler, as the role says of each (sampler/noise_conditional.hpp).
  ///@{
  void validate() const {
    sampling::require_steps(levels, denoise, "heun");
    extend::require(std::isfinite(churn) && churn >= 0,
                    {"heun: churn is ", churn, "; it must be a finite number from 0 on"});
    extend::require(churn_min >= 0 && churn_max >= churn_min, {"heun: churn_min is ", churn_min, " and churn_max ",
                                                               churn_max, "; they must be 0 ≤ churn_min ≤ churn_max"});
    extend::require_positive(churn_noise, "heun: churn_noise");
  }
  double starts_at() const { return levels.largest(); }
  Index step_count() const { return sampling::steps_down(levels, denoise); }
  extend::NoiseStep at(Index step) const { return sampling::step_down(levels, step); }

  template <class T>
  void advance(extend::NoiseConditionalTarget<T>& target, extend::NoisyChains<T>& chains, Notes<T>&, Index step,
               const extend::ChainNoise& noise) const {
    Matrix<T>&S = target.scratch(0), &S_next = target.scratch(1), &next = target.scratch(2);
    extend::NoiseStep now = at(step);
    if (churn > 0 && now.sigma >= churn_min && now.sigma <= churn_max) lift(target, chains, now, noise);
    const double h = now.next - now.sigma;
    target.score(chains, chains.X, now.sigma, S);
    extend::combine<T>(next, {{1, chains.X}, {-h * now.sigma, S}});
    if (now.next > 0) {
      target.score(chains, next, now.next, S_next);
      extend::combine<T>(next, {{1, chains.X}, {-0.5 * h * now.sigma, S}, {-0.5 * h * now.next, S_next}});
    }
    chains.move(next);
  }
  ///@}

 private:
  template <class T>
  void lift(extend::NoiseConditionalTarget<T>& target, extend::NoisyChains<T>& chains, extend::NoiseStep& now,
            const extend::ChainNoise& noise) const {
    const double gamma = std::min(churn / static_cast<double>(levels.size()), 0.41421356237309503 /* √2 − 1 */);
    const double lifted = now.sigma * (1 + gamma), added = lifted * lifted - now.sigma * now.sigma;
    Matrix<T>&Z = target.scratch(0), &next = target.scratch(2);
    Z.resize(chains.X.rows(), chains.X.cols());
    noise.normals(Z);
    extend::combine<T>(next, {{1, chains.X}, {churn_noise * std::sqrt(added), Z}});
    chains.move(next);
    now.sigma = lifted;
  }
};

/// The classical Runge–Kutta method of order 4: four scores a step, one for the step to 0.
struct rk4 {
  Levels levels = edm_levels{.levels = 25};  ///< decreasing; the chains start at the first
  bool denoise = true;  ///< end with the step from the last level to 0, the mean of the data given x

  template <class T>
  struct Notes {};

  /// The members of a LadderSampler, as the role says of each (sampler/noise_conditional.hpp).
  ///@{
  void validate() const { sampling::require_steps(levels, denoise, "rk4"); }
  double starts_at() const { return levels.largest(); }
  Index step_count() const { return sampling::steps_down(levels, denoise); }
  extend::NoiseStep at(Index step) const { return sampling::step_down(levels, step); }

  template <class T>
  void advance(extend::NoiseConditionalTarget<T>& target, extend::NoisyChains<T>& chains, Notes<T>&, Index step,
               const extend::ChainNoise&) const {
    Matrix<T>&S1 = target.scratch(0), &S2 = target.scratch(1), &S3 = target.scratch(2), &S4 = target.scratch(3);
    Matrix<T>& next = target.scratch(4);
    const extend::NoiseStep now = at(step);
    const double h = now.next - now.sigma, middle = now.sigma + 0.5 * h;
    target.score(chains, chains.X, now.sigma, S1);
    extend::combine<T>(next, {{1, chains.X}, {(now.next > 0 ? -0.5 : -1) * h * now.sigma, S1}});
    if (now.next > 0) {
      target.score(chains, next, middle, S2);
      extend::combine<T>(next, {{1, chains.X}, {-0.5 * h * middle, S2}});
      target.score(chains, next, middle, S3);
      extend::combine<T>(next, {{1, chains.X}, {-h * middle, S3}});
      target.score(chains, next, now.next, S4);
      extend::combine<T>(next, {{1, chains.X},
                                {-h / 6 * now.sigma, S1},
                                {-h / 3 * middle, S2},
                                {-h / 3 * middle, S3},
                                {-h / 6 * now.next, S4}});
    }
    chains.move(next);
  }
  ///@}
};

}  // namespace scorematch
