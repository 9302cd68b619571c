// The bricks of networks: affine layers, activations, Fourier features.
#pragma once

#include <cmath>
#include <string>
#include <type_traits>

#include "scorematch/formula/theta.hpp"

namespace scorematch {

/// Smooth ones alone: a kink has no Laplacian.
enum class Activation { tanh, silu, softplus, sigmoid };

/// a(h), element by element.
template <formula::IsValue V>
V activate(Activation activation, const V& h) {
  switch (activation) {
    case Activation::tanh:
      return tanh(h);
    case Activation::silu:
      return silu(h);
    case Activation::softplus:
      return softplus(h);
    case Activation::sigmoid:
      return sigmoid(h);
  }
  return h;
}

namespace formula::recording {

/// Networks are evaluated from the record: there are none for compiled formulas.
template <bool recorded>
constexpr bool require_recorded_if() {  // of no type, so that it is said once
  static_assert(recorded,
                "networks (sm::mlp, sm::dense, …) do not go with energy_model<D>(formula): write "
                "energy_model(dimension, formula), whose matrix products they need");
  return recorded;
}
template <class X>
constexpr bool require_recorded() {
  return require_recorded_if<std::is_same_v<X, Value>>();
}

}  // namespace formula::recording

/// An affine layer W h + b with `width` outputs; its parameters are NAME.weight (width × the size of h), started by
/// `weight`, and NAME.bias, which starts at 0.
///   auto h = silu(sm::dense(x, theta, "first", 64));
///   auto s = sm::dense(h, theta, "last", 2, sm::start_at(0));
template <class X, class Theta, class I = start_glorot>
X dense(const X& h, const Theta& theta, const std::string& name, int width, const I& weight = {}) {
  if constexpr (formula::require_recorded<X>()) {
    extend::require_within(width, 1, 1'000'000, "dense: width");
    const formula::Value bias = theta(name + ".bias", width);
    if (h.size() == 1) return theta(name + ".weight", width, 1, weight) * h + bias;
    return theta(name + ".weight", width, static_cast<int>(h.size()), weight) * h + bias;
  } else {
    return h;
  }
}

/// The frequencies of fourier_features: `count` of them, ω_k from `slowest` to `fastest` in equal ratios.
struct Frequencies {
  int count = 16;        ///< 1 … 10⁶
  double slowest = 0.5;  ///< > 0, in radians for a step of 1
  double fastest = 16;   ///< ≥ slowest
};

/// (sin ω_k u, cos ω_k u), a vector of size 2 · count: what a network needs to tell values of a number u apart that lie
/// within 1/fastest of each other (Tancik et al. 2020; for the noise level: Song et al. 2021).
///   auto noise = sm::fourier_features(log(sigma));
template <class U>
U fourier_features(const U& u, const Frequencies& options = {}) {
  if constexpr (formula::require_recorded<U>()) {
    extend::require_within(options.count, 1, 1'000'000, "Frequencies: count");
    extend::require_positive(options.slowest, "Frequencies: slowest");
    extend::require(std::isfinite(options.fastest) && options.fastest >= options.slowest,
                    {"Frequencies: fastest is ", options.fastest, "; it must be a finite number from slowest, ",
                     options.slowest, ", on"});
    extend::require(u.size() == 1, {"fourier_features takes a number; this is ", formula::shape_text(u)});
    Eigen::VectorXd omega(options.count);
    for (int k = 0; k < options.count; ++k)
      omega[k] = options.slowest *
                 std::pow(options.fastest / options.slowest,
                          options.count == 1 ? 0.0 : static_cast<double>(k) / static_cast<double>(options.count - 1));
    const formula::Value angle = formula::constant(u, omega) * u;
    return formula::concat(sin(angle), cos(angle));
  } else {
    return u;
  }
}

}  // namespace scorematch
