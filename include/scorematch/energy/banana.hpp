// A Gaussian bent along a parabola, the shape of Rosenbrock's valley.
#pragma once

#include "scorematch/energy/parts.hpp"

namespace scorematch {

/// Where its parameters start.
struct BananaOptions {
  double along = 1;     ///< standard deviation of x₀; > 0
  double across = 0.5;  ///< standard deviation of x₁ about the parabola; > 0
  double bend = 1;      ///< finite

  /// Throws std::invalid_argument unless every option is in its range and suits dimension d.
  void validate(Index d) const {
    extend::require_at_least(d, 2, "banana: dimension");
    extend::require_positive(along, "BananaOptions: along");
    extend::require_positive(across, "BananaOptions: across");
    extend::require(std::isfinite(bend), {"BananaOptions: bend is ", bend, "; it must be a finite number"});
  }
};

/// f = ½ (x₀/s)² + ½ ((x₁ − b (x₀² − s²))/t)² + ½ Σ_{i≥2} x_i²,  d ≥ 2 (Haario, Saksman & Tamminen 1999, §4, the
/// twisted Gaussian). The bend keeps volumes: log Z = ½ d log 2π + log s + log t. All means are 0; the variances are
/// s², t² + 2 b² s⁴ and 1, the covariances 0.
///
///   "log_along", "log_across"  log s, log t
///   "bend"                     b
template <ready::FormulaVector X, class Theta>
SCOREMATCH_INLINE auto banana(const X& x, const Theta& theta, const BananaOptions& options = {}) {
  const int d = static_cast<int>(x.size());
  if constexpr (ready::is_recorded<X>) options.validate(d);
  const auto log_along = theta("log_along", ready::log_of{options.along});
  const auto log_across = theta("log_across", ready::log_of{options.across});
  const auto bend = theta("bend", start_at(options.bend));
  const auto parabola = bend * (square(x[0]) - exp(2.0 * log_along));
  const auto f = 0.5 * square(exp(-log_along) * x[0]) + 0.5 * square(exp(-log_across) * (x[1] - parabola));
  if (d == 2) return f;
  return f + 0.5 * squared_norm(tail(x, d - 2));
}

/// The same as a model: banana(2, {.bend = 2}).
template <class = void>
EnergyModel banana(Index dimension, const BananaOptions& options = {}) {
  return energy_model(dimension, [&](const auto& x, const auto& theta) { return banana(x, theta, options); });
}

}  // namespace scorematch
