// A ring, a sphere in more dimensions; smooth at its centre too.
#pragma once

#include "scorematch/energy/parts.hpp"

namespace scorematch {

/// Where its parameters start.
struct RingOptions {
  double radius = 2;   ///< > 0
  double width = 0.3;  ///< standard deviation of ‖x‖ about it, where it is small beside the radius; > 0

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require_positive(radius, "RingOptions: radius");
    extend::require_positive(width, "RingOptions: width");
  }
};

/// f = ½ ((‖x‖² − r²)/(2 r w))², near the ring ½ ((‖x‖ − r)/w)².
/// For d = 2: log Z = log [π √(2π) 2 r w Φ(r/(2w))], Φ the standard normal distribution function.
///
///   "log_radius", "log_width"  log r, log w
template <ready::FormulaVector X, class Theta>
SCOREMATCH_INLINE auto ring(const X& x, const Theta& theta, const RingOptions& options = {}) {
  if constexpr (ready::is_recorded<X>) options.validate();
  const auto log_radius = theta("log_radius", ready::log_of{options.radius});
  const auto log_width = theta("log_width", ready::log_of{options.width});
  return 0.125 * square((squared_norm(x) - exp(2.0 * log_radius)) * exp(-log_radius - log_width));
}

/// The same as a model: ring(2, {.radius = 3}).
template <class = void>
EnergyModel ring(Index dimension, const RingOptions& options = {}) {
  return energy_model(dimension, [&](const auto& x, const auto& theta) { return ring(x, theta, options); });
}

}  // namespace scorematch
