// energy_model: an unnormalised model log p = −f_θ(x) − log Z from one formula for f.
#pragma once

#include "scorematch/model/compiled_energy.hpp"
#include "scorematch/model/formula_energy.hpp"
#include "scorematch/model/formula_model.hpp"
#include "scorematch/model/user_model.hpp"

namespace scorematch {

/// An energy f(x; θ) from a formula: a value that holds θ. Made by energy_model.
class EnergyModel : public FormulaModel {
 public:
  /// For energy_model. Throws std::invalid_argument unless the formula returns a number.
  explicit EnergyModel(formula::Record record) : FormulaModel(std::move(record)) {
    extend::require(record_->result().size() == 1,
                    {"the formula of an energy must return a number; this one returns a vector of size ",
                     record_->result().size(), " (a formula that returns the score makes a score_model)"});
  }

  /// The model at its present θ, in the arithmetic T: for generic code.
  template <class T>
  detail::FormulaEnergy<T> at() const {
    return detail::FormulaEnergy<T>(record_, theta_);
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

/// The same with a class label: f(x, sigma, label, theta).
template <class F>
EnergyModel energy_model(Index dimension, classes of, F&& formula) {
  return EnergyModel(formula::record(dimension, formula, of.count));
}

/// The dimension forgotten, or after the formula: one error.
template <class F, class... Rest>
requires(!std::convertible_to<F, Index>) EnergyModel energy_model(F&&, Rest&&...) {
  static_assert(std::convertible_to<F, Index>,
                "energy_model takes the dimension first: energy_model(2, [](auto x, auto theta) { … })");
  return EnergyModel(formula::Record{});
}

/// An EnergyModel of fixed dimension D whose formula F is also compiled into the loops over samples.
template <int D, class F>
class CompiledEnergyModel : public EnergyModel {
  using Jet = compiled::Jet<simd::Lanes<double>, D, 0, false>;
  static constexpr bool takes_x_and_theta =  // asked first: see there
      formula::takes_two<F, compiled::Input<Jet>, compiled::CompiledTheta<0>>();

 public:
  static constexpr int dimension_at_compile_time = D;  ///< D
  static_assert(
      takes_x_and_theta || compiled::CompiledFormula<F, Jet>,
      "a formula is called as formula(x, theta), formula(x, sigma, theta) or formula(x, sigma, label, theta)");

  /// For energy_model<D>.
  CompiledEnergyModel(formula::Record record, F formula)
      : EnergyModel(std::move(record)), formula_(std::make_shared<const F>(std::move(formula))) {}

  /// The model at its present θ, in the arithmetic T: for generic code.
  template <class T>
  detail::CompiledEnergy<T, D, F> at() const {
    return detail::CompiledEnergy<T, D, F>(detail::bind<T, EnergyModel>(*this), record_, formula_, theta_);
  }

  /// The formula, as it was given.
  const F& formula() const { return *formula_; }

 private:
  std::shared_ptr<const F> formula_;
};

namespace compiled {

/// energy_model<D> is for dimensions from 1 to this.
inline constexpr int most_dimensions = 10;

template <int D>
concept Dimension = D >= 1 && D <= most_dimensions;

}  // namespace compiled

/// The same model with its formula compiled for a dimension D from 1 to 10, known where it is written: several times
/// faster for small formulas, at the price of compile time. Same interface, same results to rounding.
///
///   auto energy = sm::energy_model<2>([](auto x, auto theta) { … });
///
/// Compile time grows with the number of operations times D: a few seconds for small formulas of two or three
/// dimensions, up to a minute for every pair of five (docs/performance.md has figures). A sum over axes or pairs is as
/// fast as its terms written out if it is sm::sum(n, f) with n ≤ 16, or a loop behind `#pragma GCC unroll 16`; a loop
/// alone keeps its counter at run time and takes several times as long.
///
/// The formula runs again whenever θ changes and for every few samples: it must make the same calls each time. θ of
/// more than eight numbers (7, 6, 5, 4, 4 for D = 6 … 10) gets its gradient from the record, and so does that of f(x,
/// sigma, theta). Functions that the formula calls are inlined by g++; for clang++ they must say so: SCOREMATCH_INLINE
/// auto well(const auto& x) { … }, or [&](int j) SCOREMATCH_INLINE_LAMBDA { … }.
template <int D, class F>
requires compiled::Dimension<D> CompiledEnergyModel<D, std::remove_cvref_t<F>> energy_model(F&& formula) {
  return {formula::record(D, formula), std::forward<F>(formula)};
}

/// The same with a class label: f(x, sigma, label, theta).
template <int D, class F>
requires compiled::Dimension<D> CompiledEnergyModel<D, std::remove_cvref_t<F>> energy_model(classes of, F&& formula) {
  return {formula::record(D, formula, of.count), std::forward<F>(formula)};
}

/// Other dimensions: one error, and no attempt.
template <int D, class... Arguments>
EnergyModel energy_model(Arguments&&...) requires(!compiled::Dimension<D>) {
  static_assert(compiled::Dimension<D>,
                "energy_model<D>(formula) is compiled for dimensions D from 1 to 10: for others write "
                "energy_model(D, formula)");
  return EnergyModel(formula::Record{});
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled.hpp"
#endif
