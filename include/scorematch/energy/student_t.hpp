// Student's t distribution in d dimensions: heavy tails.
#pragma once

#include "scorematch/energy/gaussian.hpp"

namespace scorematch {

/// Where its parameters start.
struct StudentTOptions {
  double degrees = 4;             ///< of freedom, ν > 0: moments of order ν and higher do not exist
  GaussianOptions gaussian = {};  ///< location and precision, those of the limit ν → ∞

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const { extend::require_positive(degrees, "StudentTOptions: degrees"); }
};

/// f = ½ (ν + d) log(1 + ‖Lᵀ(x − μ)‖²/ν)
/// log Z = log Γ(ν/2) − log Γ((ν + d)/2) + ½ d log(νπ) − Σ log_diagonal.
///
///   "log_degrees"                     log ν
///   "mean", "log_diagonal", "below"   as in `gaussian`
template <ready::FormulaVector X, class Theta>
SCOREMATCH_INLINE auto student_t(const X& x, const Theta& theta, const StudentTOptions& options = {}) {
  if constexpr (ready::is_recorded<X>) options.validate();
  const auto degrees = exp(theta("log_degrees", ready::log_of{options.degrees}));
  return 0.5 * (degrees + static_cast<double>(x.size())) * log1p(2.0 * gaussian(x, theta, options.gaussian) / degrees);
}

/// The same as a model: student_t(3, {.degrees = 5}).
template <class = void>
EnergyModel student_t(Index dimension, const StudentTOptions& options = {}) {
  return energy_model(dimension, [&](const auto& x, const auto& theta) { return student_t(x, theta, options); });
}

}  // namespace scorematch
