// Two wells with a barrier between them.
#pragma once

#include "scorematch/energy/parts.hpp"

namespace scorematch {

/// Where its parameters start.
struct DoubleWellOptions {
  double height = 2;     ///< of the barrier at 0 over the wells; > 0
  double width = 1;      ///< the wells are at ±width; > 0
  double stiffness = 1;  ///< of the other coordinates, about 0; > 0

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require_positive(height, "DoubleWellOptions: height");
    extend::require_positive(width, "DoubleWellOptions: width");
    extend::require_positive(stiffness, "DoubleWellOptions: stiffness");
  }
};

/// f = h ((x₀/w)² − 1)² + ½ k Σ_{i≥1} x_i²
/// log Z = log [w π/2 (I_{−1/4}(h/2) + I_{1/4}(h/2))] − h/2 + ½ (d − 1) log(2π/k), I modified Bessel functions
/// (Gradshteyn & Ryzhik 3.323.3 with its sign of the quadratic term changed).
///
///   "log_height", "log_width", "log_stiffness"  log h, log w, log k (k for d ≥ 2)
template <ready::FormulaVector X, class Theta>
SCOREMATCH_INLINE auto double_well(const X& x, const Theta& theta, const DoubleWellOptions& options = {}) {
  const int d = static_cast<int>(x.size());
  if constexpr (ready::is_recorded<X>) options.validate();
  const auto height = exp(theta("log_height", ready::log_of{options.height}));
  const auto inverse_width = exp(-theta("log_width", ready::log_of{options.width}));
  const auto wells = height * square(square(inverse_width * x[0]) - 1);
  if (d == 1) return wells;
  return wells + 0.5 * exp(theta("log_stiffness", ready::log_of{options.stiffness})) * squared_norm(tail(x, d - 1));
}

/// The same as a model: double_well(2, {.height = 4}).
template <class = void>
EnergyModel double_well(Index dimension, const DoubleWellOptions& options = {}) {
  return energy_model(dimension, [&](const auto& x, const auto& theta) { return double_well(x, theta, options); });
}

}  // namespace scorematch
