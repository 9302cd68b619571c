// Metropolis-adjusted Langevin (MALA).
#pragma once

#include <cmath>

#include "scorematch/check.hpp"
#include "scorematch/sampler/target.hpp"

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
    const Index B = chains.X.rows();
    const T h = static_cast<T>(step), root = static_cast<T>(std::sqrt(2 * step * temperature));
    chains.Z.resize(B, chains.X.cols());
    chains.u.resize(B);
    noise.normals(chains.Z);
    noise.uniforms(chains.u);
    chains.proposal = chains.X + h * chains.S + root * chains.Z;
    target.energy_and_score(chains.proposal, chains.proposal_f, chains.proposal_S);
    for (Index i = 0; i < B; ++i) {
      // log q(y|x) = −‖z‖²/2 and log q(x|y) = −‖x − y − h s(y)‖²/(4 h τ), up to the same constant
      const double there = 0.5 * static_cast<double>(chains.Z.row(i).squaredNorm());
      const double back =
          static_cast<double>((chains.X.row(i) - chains.proposal.row(i) - h * chains.proposal_S.row(i)).squaredNorm()) /
          (4 * step * temperature);
      const double log_ratio =
          (static_cast<double>(chains.f[i]) - static_cast<double>(chains.proposal_f[i])) / temperature + there - back;
      const bool finite = std::isfinite(chains.proposal_f[i]) && std::isfinite(back);
      if (!finite) chains.non_finite[i] += 1;
      if (!finite || !(std::log(static_cast<double>(chains.u[i])) < log_ratio)) continue;  // NaN rejects
      chains.X.row(i) = chains.proposal.row(i);
      chains.S.row(i) = chains.proposal_S.row(i);
      chains.f[i] = chains.proposal_f[i];
      chains.accepted[i] += 1;
    }
  }
};

}  // namespace scorematch
