// A perceptron as an energy, in a bowl that makes it a density.
#pragma once

#include "scorematch/energy/parts.hpp"
#include "scorematch/network/mlp.hpp"

namespace scorematch {

/// f = mlp(x) + ½ exp(log_bowl) ‖x‖². The bowl outgrows the perceptron, whose activations grow linearly at most, so
/// that Z is finite; it is not known. Throws std::invalid_argument for more than one output.
///
///   "log_bowl"                        a number
///   "mlp.weight1", "mlp.bias1", …     those of `mlp`
template <ready::FormulaVector X, class Theta>
SCOREMATCH_INLINE auto mlp_energy(const X& x, const Theta& theta, const MlpOptions& options = {}) {
  extend::require(options.outputs == 1, {"mlp_energy: outputs is ", options.outputs, "; an energy is one number"});
  return mlp(x, theta, options) + 0.5 * exp(theta("log_bowl")) * squared_norm(x);
}

/// The same as a model: mlp_energy(2, {.hidden = {64, 64}, .seed = 1}).
template <class = void>
EnergyModel mlp_energy(Index dimension, const MlpOptions& options = {}) {
  return energy_model(dimension, [&](const auto& x, const auto& theta) { return mlp_energy(x, theta, options); });
}

}  // namespace scorematch
