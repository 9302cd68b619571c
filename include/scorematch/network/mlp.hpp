// A plain multi-layer perceptron as a formula.
#pragma once

#include <string>
#include <vector>

#include "scorematch/network/layers.hpp"

namespace scorematch {

/// Options of mlp.
struct MlpOptions {
  std::vector<int> hidden = {64, 64};        ///< widths of the hidden layers, each 1 … 10⁶
  int outputs = 1;                           ///< 1 … 10⁶
  Activation activation = Activation::tanh;  ///< after each hidden layer
  std::string name = "mlp";                  ///< of its parameters: "mlp.weight1", "mlp.bias1", …
  std::uint64_t seed = 0;                    ///< of the start: Glorot's for weights, 0 for biases

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require_within(outputs, 1, 1'000'000, "MlpOptions: outputs");
    for (const int width : hidden) extend::require_within(width, 1, 1'000'000, "MlpOptions: hidden");
  }
};

/// W_L a(… a(W₁ x + b₁) …) + b_L, a vector of size `outputs` (a number for 1). An energy that is to be sampled needs
/// something that grows beside it, since a perceptron's tanh does not:
///   return sm::mlp(x, theta, {.hidden = {64, 64}}) + 0.5 * squared_norm(x);
template <class X, class Theta>
X mlp(const X& x, const Theta& theta, const MlpOptions& options = {}) {
  if constexpr (formula::require_recorded<X>()) {
    options.validate();
    formula::Value h = x;
    const auto layer = [&](std::size_t number, int width) {
      const std::string index = detail::text(number);
      return theta(options.name + ".weight" + index, width, static_cast<int>(h.size()), start_glorot{options.seed}) *
                 h +
             theta(options.name + ".bias" + index, width);
    };
    for (std::size_t i = 0; i < options.hidden.size(); ++i)
      h = activate(options.activation, layer(i + 1, options.hidden[i]));
    return layer(options.hidden.size() + 1, options.outputs);
  } else {
    return x;
  }
}

}  // namespace scorematch
