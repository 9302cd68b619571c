// A plain multi-layer perceptron as a formula.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "scorematch/formula/theta.hpp"

namespace scorematch {

enum class Activation { tanh, silu, softplus, sigmoid };

struct Mlp {
  std::vector<int> hidden = {64, 64};        ///< widths of the hidden layers, each ≥ 1
  int outputs = 1;                           ///< ≥ 1
  Activation activation = Activation::tanh;  ///< after each hidden layer. Smooth ones alone: a kink has no Laplacian
  std::string name = "mlp";                  ///< of its parameters: "mlp.weight1", "mlp.bias1", …
  std::uint64_t seed = 0;                    ///< of the start: Glorot's for weights, 0 for biases
};

/// W_L a(… a(W₁ x + b₁) …) + b_L, a vector of size `outputs` (a number for 1). An energy that is to be sampled needs
/// something that grows beside it, since a perceptron's tanh does not:
///   return sm::mlp(x, theta, {.hidden = {64, 64}}) + 0.5 * squared_norm(x);
inline formula::Value mlp(const formula::Value& x, const formula::Theta& theta, const Mlp& options = {}) {
  require_at_least(options.outputs, 1, "Mlp: outputs");
  formula::Value h = x;
  const auto layer = [&](std::size_t number, int width) {
    require_at_least(width, 1, "Mlp: hidden");
    const std::string index = text(number);
    return theta(options.name + ".weight" + index, width, static_cast<int>(h.size()), glorot{options.seed}) * h +
           theta(options.name + ".bias" + index, width);
  };
  for (std::size_t i = 0; i < options.hidden.size(); ++i) {
    h = layer(i + 1, options.hidden[i]);
    switch (options.activation) {
      case Activation::tanh:
        h = tanh(h);
        break;
      case Activation::silu:
        h = silu(h);
        break;
      case Activation::softplus:
        h = softplus(h);
        break;
      case Activation::sigmoid:
        h = sigmoid(h);
        break;
    }
  }
  return layer(options.hidden.size() + 1, options.outputs);
}

/// Networks are evaluated from the record: there is none for compiled formulas.
template <class X, class Theta>
X mlp(const X& x, const Theta&, const Mlp& = {}) {
  static_assert(
      std::is_same_v<X, formula::Value>,
      "sm::mlp does not go with energy_model<D>(formula): write energy_model(dimension, formula), whose matrix "
      "products networks need");
  return x;
}

}  // namespace scorematch
