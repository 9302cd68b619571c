// Accepting or rejecting the proposals of a block of chains: what all Metropolis kernels share.
#pragma once

#include <limits>

#include "scorematch/sampler/target.hpp"
#include "scorematch/simd/arrays.hpp"
#include "scorematch/simd/functions.hpp"

namespace scorematch::extend {

/// Moves each chain i of a block from X, f, S to proposal, proposal_f, proposal_S with probability min(1, e^r), where
/// r = log_ratio(V{}, i) is the logarithm of the Metropolis–Hastings ratio of the chains i … i + width<V> − 1 in
/// double:
///
///   `extend::metropolis(chains, noise, [&]<class V>(V, Index i) { … return log_ratio; });`
///
/// A proposal with a non-finite energy or ratio is rejected and counted; so is one whose energy jumps by a thousand.
/// `chains.u` are the uniforms that decided; where chains.measure is set, chains.probability gets min(1, e^r), 0 for a
/// proposal that is not finite.
template <class T, class LogRatio>
void metropolis(Chains<T>& chains, const ChainNoise& noise, LogRatio log_ratio) {
  using D = simd::Lanes<double>;
  const Index B = chains.X.rows(), d = chains.X.cols();
  chains.u.resize(B);
  noise.uniforms(chains.u);
  if (chains.measure) chains.probability.resize(B);
  T *x = chains.X.data(), *s = chains.S.data(), *f = chains.f.data();
  const T *y = chains.proposal.data(), *s_there = chains.proposal_S.data(), *f_there = chains.proposal_f.data();
  const T* u = chains.u.data();
  double *accepted = chains.accepted.data(), *non_finite = chains.non_finite.data();
  double* divergent = chains.divergent.data();
  double* probability = chains.measure ? chains.probability.data() : nullptr;
  constexpr double lowest = std::numeric_limits<double>::lowest();
  simd::for_lanes<D>(B, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
    const auto at = [i](const T* numbers) SCOREMATCH_INLINE_LAMBDA { return simd::load_as<V>(numbers + i); };
    const V f_x = at(f), f_y = at(f_there), ratio = log_ratio(V{}, i), one = simd::broadcast<V>(1.0), zero = {};
    const auto finite = (f_y - f_y == 0) & (ratio > lowest);  // NaN is not
    const auto moves = finite & (simd::log(at(u)) < ratio);
    simd::store<V>(non_finite + i, simd::load<V>(non_finite + i) + simd::select(finite, zero, one));
    simd::store<V>(divergent + i, simd::load<V>(divergent + i) + simd::select(ratio > -1000.0, zero, one));
    simd::store<V>(accepted + i, simd::load<V>(accepted + i) + simd::select(moves, one, zero));
    if (probability != nullptr)
      simd::store<V>(probability + i, simd::select(finite, simd::exp(simd::select(ratio < zero, ratio, zero)), zero));
    simd::store_as(f + i, simd::select(moves, f_y, f_x));
    for (Index j = 0; j < d * B; j += B) {
      simd::store_as(x + j + i, simd::select(moves, at(y + j), at(x + j)));
      simd::store_as(s + j + i, simd::select(moves, at(s_there + j), at(s + j)));
    }
  });
}

}  // namespace scorematch::extend
