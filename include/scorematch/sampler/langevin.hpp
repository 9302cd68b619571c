// Unadjusted Langevin (ULA).
#pragma once

#include <cmath>

#include "scorematch/check.hpp"
#include "scorematch/sampler/target.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch {

/// x ← x + h s(x) + √(2 h τ) z, z ~ N(0, I): the Euler step of Langevin's equation at temperature τ, whose law is
/// p^{1/τ} as h → 0 (the study note's §1.4.1). For step h > 0 it is biased: on N(0, 1) the variance is 1/(1 − h/2), and
/// it explodes for h > 2/(largest curvature). Needs the score alone. Song & Ermon's ε is 2h.
struct langevin {
  double step = 0.01;      ///< h > 0
  double temperature = 1;  ///< τ > 0

  /// The members of a TransitionKernel, as the role says of each (sampler/transition_kernel.hpp).
  ///@{
  static constexpr bool adjusted = false;

  void validate() const {
    extend::require_positive(step, "langevin: step");
    extend::require_positive(temperature, "langevin: temperature");
  }

  template <class T>
  void start(extend::Target<T>&, extend::Chains<T>&) const {}

  template <class T>
  void advance(extend::Target<T>& target, extend::Chains<T>& chains, const extend::ChainNoise& noise) const {
    SCOREMATCH_KEEP_ORDER;  // differences of a number with itself
    using V = simd::Lanes<T>;
    const Index B = chains.X.rows(), size = chains.X.size();
    const Matrix<T>& S = target.score(chains.X);
    if (chains.keep_score) chains.S = S;
    chains.proposal.resize(B, chains.X.cols());
    noise.normals(chains.proposal);  // the proposal is written over them, so that all stays in the first-level cache
    const T *x = chains.X.data(), *s = S.data();
    T* y = chains.proposal.data();
    const V h = simd::broadcast<V>(static_cast<T>(step)),
            root = simd::broadcast<V>(static_cast<T>(std::sqrt(2 * step * temperature)));
    V differences = V{};  // 0 as long as all is finite, else NaN
    for (Index i = 0; i < size; i += simd::width<V>) {
      const V next = simd::load<V>(x + i) + h * simd::load<V>(s + i) + root * simd::load<V>(y + i);
      simd::store<V>(y + i, next);
      differences += simd::as_written(next - next);
    }
    extend::take_step(chains, simd::sum_of_lanes(differences) == 0);
  }
  ///@}
};

}  // namespace scorematch
