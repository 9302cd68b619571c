// Hamiltonian Monte Carlo.
#pragma once

#include <algorithm>
#include <cmath>

#include "scorematch/check.hpp"
#include "scorematch/sampler/metropolis.hpp"

namespace scorematch {

/// Draws a momentum p ~ N(0, I) and follows Hamilton's equations of H = f(x) + ½‖p‖² by n leapfrogs
///   p ← p + ½ε s(x),   x ← x + ε p,   p ← p + ½ε s(x),
/// then accepts the end with probability min(1, exp(H − H′)) (Duane, Kennedy, Pendleton & Roweth 1987): exact for every
/// ε and n. A step costs n scores, the last with its energy.
///
/// n changes from step to step, for a length that is a multiple of a coordinate's period would never leave where it
/// began: n = ⌈u L⌉ with u spread evenly over [shortest, 1], the same for all chains.
struct hmc {
  double step = 0.1;  ///< ε > 0, in units of the metric; an acceptance from 0.65 to 0.8 is best
  Index leapfrogs = 10;  ///< L, 1 … 10⁶: the longest trajectory. L ε ≈ 2.8 deviations of the widest direction is best
  double shortest = 0.1;  ///< in (0, 1]: the shortest trajectory over the longest; 1: always L

  /// The members of a TransitionKernel, as the role says of each (sampler/transition_kernel.hpp).
  ///@{
  static constexpr bool adjusted = true, keeps_score = true;
  static constexpr double target_acceptance = 0.7;  // of the harmonic mean; of the mean some 0.8

  void validate() const {
    extend::require_positive(step, "hmc: step");
    extend::require_within(leapfrogs, 1, 1'000'000, "hmc: leapfrogs");
    extend::require(shortest > 0 && shortest <= 1,
                    {"hmc: shortest is ", shortest, "; it must be above 0 and at most 1"});
  }

  /// The number of leapfrogs of a step.
  Index leapfrogs_of(const extend::ChainNoise& noise) const {
    const double part = shortest + (1 - shortest) * noise.shared();
    return std::clamp<Index>(static_cast<Index>(std::ceil(part * static_cast<double>(leapfrogs) - 1e-9)), 1, leapfrogs);
  }

  template <class T>
  void start(extend::Target<T>& target, extend::Chains<T>& chains) const {
    target.energy_and_score(chains.X, chains.f, chains.S);
  }

  template <class T>
  void advance(extend::Target<T>& target, extend::Chains<T>& chains, const extend::ChainNoise& noise) const {
    const Index B = chains.X.rows(), d = chains.X.cols(), size = B * d, count = leapfrogs_of(noise);
    Matrix<T>&p = chains.Z, &first = chains.own.template of<Momentum<T>>().p;
    p.resize(B, d);
    noise.normals(p);
    first = p;
    chains.proposal = chains.X;
    chains.proposal_S = chains.S;
    const T h = static_cast<T>(step);
    const auto move = [&](T kick, const Matrix<T>& S, T drift) {  // p ← p + kick s, x ← x + drift p
      T *to_p = p.data(), *to_x = chains.proposal.data();
      const T* s = S.data();
      simd::for_lanes<simd::Lanes<T>>(size, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
        const V now = simd::load<V>(to_p + i) + kick * simd::load<V>(s + i);
        simd::store<V>(to_p + i, now);
        simd::store<V>(to_x + i, simd::load<V>(to_x + i) + drift * now);
      });
    };
    move(h / 2, chains.S, h);
    for (Index n = 1; n < count; ++n) move(h, target.score(chains.proposal), h);
    target.energy_and_score(chains.proposal, chains.proposal_f, chains.proposal_S);
    move(h / 2, chains.proposal_S, 0);
    const T *f = chains.f.data(), *f_there = chains.proposal_f.data(), *begin = first.data(), *end = p.data();
    extend::metropolis(chains, noise, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
      const auto at = [i](const T* numbers) SCOREMATCH_INLINE_LAMBDA { return simd::load_as<V>(numbers + i); };
      V kinetic = {};
      for (Index j = 0; j < size; j += B) kinetic += at(begin + j) * at(begin + j) - at(end + j) * at(end + j);
      return at(f) - at(f_there) + 0.5 * kinetic;
    });
  }
  ///@}

 private:
  template <class T>
  struct Momentum {
    Matrix<T> p;  // B × d, as it was drawn
  };
};

}  // namespace scorematch
