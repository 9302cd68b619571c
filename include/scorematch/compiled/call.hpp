// The arguments of a compiled formula: x and theta, and the noise level and the class where it takes them.
#pragma once

#include <type_traits>

#include "scorematch/compiled/values.hpp"

namespace scorematch::compiled {
namespace engine {

/// f(x, sigma, label, theta), f(x, sigma, theta) or f(x, theta): what f can be called with, in the order in which
/// formula::record asks.
template <class F, class X, class Sigma, class Label, class Theta>
SCOREMATCH_INLINE_WITH_CALLS auto call(const F& f, const X& x, const Sigma& sigma, const Label& label,
                                       const Theta& theta) {
  if constexpr (std::is_invocable_v<const F&, X, Sigma, Label, Theta>)
    return f(x, sigma, label, theta);
  else if constexpr (std::is_invocable_v<const F&, X, Sigma, Theta>)
    return f(x, sigma, theta);
  else
    return f(x, theta);
}

/// Whether f takes a noise level, for lanes J.
template <class F, class J, class Theta = CompiledTheta<J::P>>
concept TakesSigma = std::is_invocable_v<const F&, Input<J>, Number<J>, Theta> ||
    std::is_invocable_v<const F&, Input<J>, Number<J>, Local<J>, Theta>;

/// Whether f is one of the three, for lanes J. Asking compiles f, so that its own errors show where a model is made.
template <class F, class J, class Theta = CompiledTheta<J::P>>
concept CompiledFormula = TakesSigma<F, J> || std::is_invocable_v<const F&, Input<J>, Theta>;

/// σ of each sample: constant in x and θ.
template <class J>
SCOREMATCH_INLINE Number<J> noise_level(typename J::V sigma, Slots<J::P>* slots) {
  J jet;
  jet.add(0, 0, sigma);
  return {jet, slots};
}

/// The vector with 1 at the place of each sample's class and 0 elsewhere, constant in x and θ. Classes are numbered
/// from 0 on; −1 is none of them.
template <class J>
SCOREMATCH_INLINE Local<J> class_vector(typename J::V label, Index classes, Slots<J::P>* slots) {
  using V = typename J::V;
  using T = typename J::T;
  Local<J> vector(slots, classes);
  if (classes == 0) return vector;
  V* at = slots->template take_lanes<V>(classes);
  for (Index k = 0; k < classes; ++k)
    at[k] = simd::select(label == simd::broadcast<V>(static_cast<T>(k)), simd::broadcast<V>(T(1)), V{});
  vector.set(0, {at, 1, 1});
  return vector;
}

}  // namespace engine
}  // namespace scorematch::compiled
