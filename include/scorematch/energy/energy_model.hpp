// energy_model: an unnormalised model log p = −f_θ(x) − log Z from one formula for f.
#pragma once

#include "scorematch/energy/formula_energy.hpp"
#include "scorematch/formula/formula_model.hpp"

namespace scorematch {

class EnergyModel : public FormulaModel {
 public:
  explicit EnergyModel(formula::Record record) : FormulaModel(std::move(record)) {
    require(record_->result().size() == 1,
            "the formula of an energy must return a number; this one returns a vector of size ",
            record_->result().size(), " (a formula that returns the score makes a score_model)");
  }

  /// The model at its present θ, in the arithmetic T: for generic code.
  template <class T>
  FormulaEnergy<T> at() const {
    return FormulaEnergy<T>(record_, theta_);
  }
};

/// A model from a formula for its energy f: f(x, theta), or f(x, sigma, theta) with a noise level.
///
///   auto energy = sm::energy_model(2, [](auto x, auto theta) {
///     return 0.5 * exp(theta("log_stiffness")) * squared_norm(x - theta("centre", 2));
///   });
///
/// The formula runs once, here (its rules: formula/value.hpp). Throws std::invalid_argument for dimension < 1, a result
/// that is not a number, and one parameter name with two shapes.
template <class F>
EnergyModel energy_model(Index dimension, F&& formula) {
  return EnergyModel(formula::record(dimension, formula));
}

}  // namespace scorematch
