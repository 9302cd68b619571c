// score_model: a model of the score s_θ(x) = ∇ log p itself, from one formula with d elements.
#pragma once

#include "scorematch/model/formula_model.hpp"
#include "scorematch/model/formula_score.hpp"

namespace scorematch {

/// A score s(x; θ) from a formula: a value that holds θ. Made by score_model.
class ScoreModel : public FormulaModel {
 public:
  /// For score_model. Throws std::invalid_argument unless the formula returns a vector of x's size.
  explicit ScoreModel(formula::Record record) : FormulaModel(std::move(record)) {
    extend::require(
        record_->result().size() == record_->dimension,
        {"the formula of a score must return a vector of size ", record_->dimension,
         ", the dimension of x; this one returns ",
         record_->result().size() == 1 ? "a number" : detail::text("a vector of size ", record_->result().size()),
         record_->result().size() == 1 ? " (a formula that returns the energy makes an energy_model)" : ""});
  }

  /// The model at its present θ, in the arithmetic T: for generic code.
  template <class T>
  detail::FormulaScore<T> at() const {
    return detail::FormulaScore<T>(record_, theta_);
  }
};

/// A model from a formula for its score: s(x, theta), or s(x, sigma, theta) with a noise level. Nothing makes it the
/// gradient of an energy: for that, write the energy.
///
///   auto score = sm::score_model(2, [](auto x, auto sigma, auto theta) {
///     return sm::mlp(sm::concat(x, log(sigma)), theta, {.hidden = {64, 64}, .outputs = 2}) / sigma;
///   });
///
/// Throws std::invalid_argument for dimension < 1, a result of another size than the dimension, and one parameter name
/// with two shapes.
template <class F>
ScoreModel score_model(Index dimension, F&& formula) {
  return ScoreModel(formula::record(dimension, formula));
}

/// The same with a class label: s(x, sigma, label, theta).
///   auto score = sm::score_model(64, sm::classes{10}, [](auto x, auto sigma, auto label, auto theta) { … });
template <class F>
ScoreModel score_model(Index dimension, classes of, F&& formula) {
  return ScoreModel(formula::record(dimension, formula, of.count));
}

/// The dimension forgotten, or after the formula: one error.
template <class F, class... Rest>
requires(!std::convertible_to<F, Index>) ScoreModel score_model(F&&, Rest&&...) {
  static_assert(std::convertible_to<F, Index>,
                "score_model takes the dimension first: score_model(2, [](auto x, auto theta) { … })");
  return ScoreModel(formula::Record{});
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled.hpp"
#endif
