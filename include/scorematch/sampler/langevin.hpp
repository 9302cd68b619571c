// Unadjusted Langevin (ULA).
#pragma once

#include <cmath>

#include "scorematch/check.hpp"
#include "scorematch/sampler/target.hpp"

namespace scorematch {

/// x ← x + h s(x) + √(2 h τ) z, z ~ N(0, I): the Euler step of Langevin's equation at temperature τ, whose law is
/// p^{1/τ} as h → 0 (the study note's §1.4.1). For step h > 0 it is biased: on N(0, 1) the variance is 1/(1 − h/2), and
/// it explodes for h > 2/(largest curvature). Needs the score alone. Song & Ermon's ε is 2h.
struct langevin {
  double step = 0.01;      ///< h > 0
  double temperature = 1;  ///< τ > 0

  static constexpr bool adjusted = false;

  void validate() const {
    require_positive(step, "langevin: step");
    require_positive(temperature, "langevin: temperature");
  }

  template <class T, class Bound>
  void start(Target<T, Bound>&, Chains<T>&) const {}

  template <class T, class Bound>
  void advance(Target<T, Bound>& target, Chains<T>& chains, const ChainNoise& noise) const {
    target.score(chains.X, chains.S);
    chains.Z.resize(chains.X.rows(), chains.X.cols());
    noise.normals(chains.Z);
    chains.proposal =
        chains.X + static_cast<T>(step) * chains.S + static_cast<T>(std::sqrt(2 * step * temperature)) * chains.Z;
    if (chains.lost.any() || !chains.proposal.allFinite())
      for (Index i = 0; i < chains.X.rows(); ++i) {
        if (!chains.lost[i] && chains.proposal.row(i).allFinite()) continue;
        if (!chains.lost[i]) chains.non_finite[i] += 1;
        chains.lost[i] = true;
        chains.proposal.row(i) = chains.X.row(i);
      }
    chains.X.swap(chains.proposal);
    chains.accepted.array() += (!chains.lost).template cast<double>();
  }
};

}  // namespace scorematch
