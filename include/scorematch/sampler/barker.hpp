// The Barker proposal: a kernel by scores that large scores do not carry away.
#pragma once

#include "scorematch/check.hpp"
#include "scorematch/sampler/metropolis.hpp"

namespace scorematch {

/// Proposes y_i = x_i + b_i z_i with z_i ~ N(0, step²), and b_i = 1 with probability 1/(1 + exp(−z_i s_i(x))), else −1;
/// accepts with probability
///   min(1, exp(f(x) − f(y)) Π_i (1 + exp(−w_i s_i(x)))/(1 + exp(w_i s_i(y)))),   w = y − x
/// (Livingstone & Zanella 2022, "The Barker proposal"). A step is bounded however steep the energy is, so that a step
/// that is too large costs less than mala's. One energy and score a step.
struct barker {
  double step = 0.1;  ///< > 0, the deviation of a coordinate's move; an acceptance near 0.4 is best in many dimensions

  /// The members of a TransitionKernel, as the role says of each (sampler/transition_kernel.hpp).
  ///@{
  static constexpr bool adjusted = true, keeps_score = true;
  static constexpr double target_acceptance = 0.4;

  void validate() const { extend::require_positive(step, "barker: step"); }

  template <class T>
  void start(extend::Target<T>& target, extend::Chains<T>& chains) const {
    target.energy_and_score(chains.X, chains.f, chains.S);
  }

  template <class T>
  void advance(extend::Target<T>& target, extend::Chains<T>& chains, const extend::ChainNoise& noise) const {
    const Index B = chains.X.rows(), d = chains.X.cols();
    chains.Z.resize(B, d);
    chains.proposal.resize(B, d);
    noise.normals(chains.Z);
    noise.uniforms(chains.proposal);  // the proposal is written over them
    const T *x = chains.X.data(), *s = chains.S.data(), *z = chains.Z.data();
    T* y = chains.proposal.data();
    const T size = static_cast<T>(step);
    simd::for_lanes<simd::Lanes<T>>(B * d, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
      const V move = size * simd::load<V>(z + i), u = simd::load<V>(y + i);
      const V way = simd::select(u < simd::sigmoid(move * simd::load<V>(s + i)), move, -move);
      simd::store<V>(y + i, simd::load<V>(x + i) + way);
    });
    target.energy_and_score(chains.proposal, chains.proposal_f, chains.proposal_S);
    y = chains.proposal.data();
    const T *s_there = chains.proposal_S.data(), *f = chains.f.data(), *f_there = chains.proposal_f.data();
    extend::metropolis(chains, noise, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
      const auto at = [i](const T* numbers) SCOREMATCH_INLINE_LAMBDA { return simd::load_as<V>(numbers + i); };
      V sum = {};
      for (Index j = 0; j < d * B; j += B) {
        const V way = at(y + j) - at(x + j);
        sum += simd::softplus(-way * at(s + j)) - simd::softplus(way * at(s_there + j));
      }
      return at(f) - at(f_there) + sum;
    });
  }
  ///@}
};

}  // namespace scorematch
