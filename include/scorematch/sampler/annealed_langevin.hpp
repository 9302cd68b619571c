// Annealed Langevin: Langevin's equation at each noise level in turn.
#pragma once

#include "scorematch/sampler/noise_conditional.hpp"

namespace scorematch {

/// At each level σ_i in turn, `steps` times
///   x ← x + h_i s(x, σ_i) + √(2 h_i τ) z,   h_i = h (σ_i/σ_L)²
/// (Song & Ermon 2019, algorithm 1, whose ε is 2h: their α_i/2 is h_i). A step moves a chain by about the same share of
/// the noise at every level. As h → 0 and with many steps at the last level the law is that of p_{σ_L}^{1/τ}. Where
/// the smaller levels do not connect two modes, their weights are those that the larger levels left.
///
/// The slope of a blurred density's score reaches 1/σ², so that the step's stability depends on r = h/σ_L² alone: the
/// variance of a part as narrow as the noise comes out 1/(1 − r/2) times too large (the weights of two modes
/// 0.8 : 0.2 come out as 0.79 with r = 0.1, 0.78 with 0.5, 0.71 with 1.25), and from r = 2 on they diverge. A run
/// measures r for its model: GenerationStatus::coarse.
struct annealed_langevin {
  /// Decreasing; the chains start at the first.
  Levels levels = geometric_levels{.sigma_max = 50, .sigma_min = 0.01, .levels = 50};
  Index steps = 100;       ///< ≥ 1
  double step = 1e-5;      ///< h > 0, that of the last level; h/σ_L² well below 1, say 0.1
  double temperature = 1;  ///< τ > 0
  bool denoise = false;    ///< end with x + σ_L² s(x, σ_L), the mean of the data given x (Tweedie's formula)

  template <class T>
  struct Notes {};

  /// The members of a LadderSampler, as the role says of each (sampler/noise_conditional.hpp).
  ///@{
  void validate() const {
    extend::require_at_least(steps, 1, "annealed_langevin: steps");
    extend::require_positive(step, "annealed_langevin: step");
    extend::require_positive(temperature, "annealed_langevin: temperature");
    sampling::require_step_count(levels.size(), steps, "annealed_langevin: steps");
  }

  double starts_at() const { return levels.largest(); }
  double langevin_ratio() const { return step / (levels.smallest() * levels.smallest()); }
  Index step_count() const { return levels.size() * steps + (denoise ? 1 : 0); }
  extend::NoiseStep at(Index t) const {
    const Index level = t / steps;
    if (level == levels.size()) return {levels.smallest(), 0};
    const bool last = (t + 1) % steps == 0;
    return {levels[level], last && level + 1 < levels.size() ? levels[level + 1] : levels[level]};
  }

  template <class T>
  void advance(extend::NoiseConditionalTarget<T>& target, extend::NoisyChains<T>& chains, Notes<T>&, Index t,
               const extend::ChainNoise& noise) const {
    Matrix<T>&S = target.scratch(0), &Z = target.scratch(1), &next = target.scratch(2);
    const extend::NoiseStep now = at(t);
    target.score(chains, chains.X, now.sigma, S);
    if (now.next == 0) {
      extend::combine<T>(next, {{1, chains.X}, {now.sigma * now.sigma, S}});
      return chains.move(next);
    }
    const double ratio = now.sigma / levels.smallest(), h = step * ratio * ratio;
    Z.resize(S.rows(), S.cols());
    noise.normals(Z);
    extend::combine<T>(next, {{1, chains.X}, {h, S}, {std::sqrt(2 * h * temperature), Z}});
    chains.move(next);
  }
  ///@}
};

}  // namespace scorematch
