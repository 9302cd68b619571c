// Metropolis-adjusted Langevin (MALA).
#pragma once

#include <cmath>

#include "scorematch/check.hpp"
#include "scorematch/sampler/target.hpp"
#include "scorematch/simd/arrays.hpp"
#include "scorematch/simd/functions.hpp"

namespace scorematch {

/// Proposes a Langevin step y = x + h s(x) + √(2 h τ) z and accepts it with probability
///   min(1, exp(−(f(y) − f(x))/τ) q(x|y)/q(y|x)),   q(y|x) = N(y; x + h s(x), 2 h τ I)
/// (Roberts & Tweedie 1996), so that p^{1/τ} is exact for every step size. A proposal with a non-finite energy or score
/// is rejected and counted. One fused energy and score a step: the present state's are kept.
struct mala {
  double step = 0.01;      ///< h > 0; an acceptance near 0.57 is best in many dimensions
  double temperature = 1;  ///< τ > 0

  static constexpr bool adjusted = true;

  void validate() const {
    require_positive(step, "mala: step");
    require_positive(temperature, "mala: temperature");
  }

  template <class T, class Target>
  void start(Target& target, Chains<T>& chains) const {
    target.energy_and_score(chains.X, chains.f, chains.S);
  }

  template <class T, class Target>
  void advance(Target& target, Chains<T>& chains, const ChainNoise& noise) const {
    using D = simd::Lanes<double>;
    const Index B = chains.X.rows(), d = chains.X.cols();
    chains.Z.resize(B, d);
    chains.u.resize(B);
    chains.proposal.resize(B, d);
    noise.normals(chains.Z);
    noise.uniforms(chains.u);
    T *x = chains.X.data(), *s = chains.S.data(), *f = chains.f.data();
    T* y = chains.proposal.data();
    const T *z = chains.Z.data(), *u = chains.u.data();
    const T h = static_cast<T>(step), root = static_cast<T>(std::sqrt(2 * step * temperature));
    simd::for_lanes<simd::Lanes<T>>(B * d, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
      simd::store<V>(y + i, simd::load<V>(x + i) + h * simd::load<V>(s + i) + root * simd::load<V>(z + i));
    });
    target.energy_and_score(chains.proposal, chains.proposal_f, chains.proposal_S);
    const T *s_there = chains.proposal_S.data(), *f_there = chains.proposal_f.data();
    double *accepted = chains.accepted.data(), *non_finite = chains.non_finite.data();
    const double back_scale = 1 / (4 * step * temperature), inverse = 1 / temperature;
    y = chains.proposal.data();
    simd::for_lanes<D>(B, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
      const auto at = [i](const T* numbers) SCOREMATCH_INLINE_LAMBDA { return simd::load_as<V>(numbers + i); };
      // log q(y|x) = −‖z‖²/2 and log q(x|y) = −‖x − y − h s(y)‖²/(4 h τ), up to the same constant
      V there = {}, back = {};
      for (Index j = 0; j < d * B; j += B) {
        const V noise_j = at(z + j), way = at(x + j) - at(y + j) - step * at(s_there + j);
        there += noise_j * noise_j;
        back += way * way;
      }
      const V f_x = at(f), f_y = at(f_there);
      const V log_ratio = (f_x - f_y) * inverse + 0.5 * there - back_scale * back;
      const auto finite = f_y + back - (f_y + back) == 0;
      const auto moves = finite & (simd::log(at(u)) < log_ratio);  // NaN rejects
      const V one = simd::broadcast<V>(1.0), zero = {};
      simd::store<V>(non_finite + i, simd::load<V>(non_finite + i) + simd::select(finite, zero, one));
      simd::store<V>(accepted + i, simd::load<V>(accepted + i) + simd::select(moves, one, zero));
      simd::store_as(f + i, simd::select(moves, f_y, f_x));
      for (Index j = 0; j < d * B; j += B) {
        simd::store_as(x + j + i, simd::select(moves, at(y + j), at(x + j)));
        simd::store_as(s + j + i, simd::select(moves, at(s_there + j), at(s + j)));
      }
    });
  }
};

}  // namespace scorematch
