// Metropolis-adjusted Langevin (MALA).
#pragma once

#include <cmath>

#include "scorematch/check.hpp"
#include "scorematch/sampler/metropolis.hpp"

namespace scorematch {

/// Proposes a Langevin step y = x + h s(x) + √(2 h τ) z and accepts it with probability
///   min(1, exp(−(f(y) − f(x))/τ) q(x|y)/q(y|x)),   q(y|x) = N(y; x + h s(x), 2 h τ I)
/// (Roberts & Tweedie 1996), so that p^{1/τ} is exact for every step size. A proposal with a non-finite energy or score
/// is rejected and counted. One fused energy and score a step: the present state's are kept.
struct mala {
  double step = 0.01;      ///< h > 0; an acceptance near 0.57 is best in many dimensions
  double temperature = 1;  ///< τ > 0

  /// The members of a TransitionKernel, as the role says of each (sampler/transition_kernel.hpp).
  ///@{
  static constexpr bool adjusted = true, keeps_score = true;
  static constexpr double target_acceptance = 0.574;  // Roberts & Rosenthal 1998

  void validate() const {
    extend::require_positive(step, "mala: step");
    extend::require_positive(temperature, "mala: temperature");
  }

  template <class T>
  void start(extend::Target<T>& target, extend::Chains<T>& chains) const {
    target.energy_and_score(chains.X, chains.f, chains.S);
  }

  /// Moves chains down the energy that a step could not leave: those whose proposal without noise, y = x + h s(x),
  /// would be accepted with probability e⁻⁴ at most. In the tails of a light-tailed law the drift overshoots so far
  /// that no proposal is ever accepted (Roberts & Tweedie 1996, §4.1). It follows `start`.
  template <class T>
  void settle(extend::Target<T>& target, extend::Chains<T>& chains) const {
    constexpr int rounds = 200;
    const Index B = chains.X.rows(), d = chains.X.cols();
    Vector<double> length = Vector<double>::Constant(B, step);  // 0: it has settled
    for (int round = 0; round < rounds && (length.array() > 0).any(); ++round) {
      chains.proposal = chains.X;
      for (Index j = 0; j < d; ++j)
        for (Index i = 0; i < B; ++i) chains.proposal(i, j) += static_cast<T>(length[i]) * chains.S(i, j);
      target.energy_and_score(chains.proposal, chains.proposal_f, chains.proposal_S);
      for (Index i = 0; i < B; ++i) {
        if (length[i] == 0) continue;
        const double f = static_cast<double>(chains.f[i]), fall = f - static_cast<double>(chains.proposal_f[i]);
        double both = 0, drift = 0;
        for (Index j = 0; j < d; ++j) {
          const double s = static_cast<double>(chains.S(i, j)), there = static_cast<double>(chains.proposal_S(i, j));
          both += (s + there) * (s + there);
          drift += s * s;
        }
        const bool leaves = length[i] == step && fall / temperature - step * both / (4 * temperature) > -4;
        if (leaves || !std::isfinite(f) || !std::isfinite(drift)) {
          length[i] = 0;
        } else if (fall > 1e-4 * length[i] * drift) {
          for (Index j = 0; j < d; ++j) {
            chains.X(i, j) = chains.proposal(i, j);
            chains.S(i, j) = chains.proposal_S(i, j);
          }
          chains.f[i] = chains.proposal_f[i];
          length[i] = step;
        } else {
          length[i] /= 2;
        }
      }
    }
  }

  template <class T>
  void advance(extend::Target<T>& target, extend::Chains<T>& chains, const extend::ChainNoise& noise) const {
    const Index B = chains.X.rows(), d = chains.X.cols();
    chains.Z.resize(B, d);
    chains.proposal.resize(B, d);
    noise.normals(chains.Z);
    const T *x = chains.X.data(), *s = chains.S.data(), *f = chains.f.data(), *z = chains.Z.data();
    T* y = chains.proposal.data();
    const T h = static_cast<T>(step), root = static_cast<T>(std::sqrt(2 * step * temperature));
    simd::for_lanes<simd::Lanes<T>>(B * d, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
      simd::store<V>(y + i, simd::load<V>(x + i) + h * simd::load<V>(s + i) + root * simd::load<V>(z + i));
    });
    target.energy_and_score(chains.proposal, chains.proposal_f, chains.proposal_S);
    y = chains.proposal.data();
    const T *s_there = chains.proposal_S.data(), *f_there = chains.proposal_f.data();
    const double back_scale = 1 / (4 * step * temperature), inverse = 1 / temperature;
    extend::metropolis(chains, noise, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
      const auto at = [i](const T* numbers) SCOREMATCH_INLINE_LAMBDA { return simd::load_as<V>(numbers + i); };
      // log q(y|x) = −‖z‖²/2 and log q(x|y) = −‖x − y − h s(y)‖²/(4 h τ), up to the same constant
      V there = {}, back = {};
      for (Index j = 0; j < d * B; j += B) {
        const V noise_j = at(z + j), way = at(x + j) - at(y + j) - step * at(s_there + j);
        there += noise_j * noise_j;
        back += way * way;
      }
      return (at(f) - at(f_there)) * inverse + 0.5 * there - back_scale * back;
    });
  }
  ///@}
};

}  // namespace scorematch
