// Models made of models: a + b, beta * a, exp(a), mixture({a, b}), named("prior", a).
//
//   auto posterior = prior + sm::named("noise", likelihood);   // p ∝ p_prior · p_likelihood
//   auto cooler    = 2.0 * posterior;                          // p² up to a factor: temperature ½
//
// Energies written as formulas give an energy written as a formula, an ordinary EnergyModel; compiled ones of the same
// dimension give a compiled one; score_models a score_model. Everything else that has a score gives a model whose score
// is the sum (model/sum.hpp). θ starts where the parts are, and keeps their names: two that agree are never taken for
// one parameter but throw std::invalid_argument, and so do different dimensions.
//
// C++ finds these operators where an operand is a model of the library. Where all are users' classes, give them names,
// named("force", mine), or write `using scorematch::operator+;`.
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/formula/compose.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/sum.hpp"

namespace scorematch {

/// A model that can be added and multiplied. The cheap test comes first: operators are tried on many types.
template <class M>
concept Summand = extend::has_dimension<M> && detail::AnyModel<M>;

namespace algebra {

template <class M>
concept RecordedEnergy = std::derived_from<M, EnergyModel>;
template <class M>
concept RecordedScore = std::derived_from<M, ScoreModel>;
template <class M>
concept CompiledModel = RecordedEnergy<M> && requires {
  M::dimension_at_compile_time;
};

template <class A, class B>
constexpr bool same_compiled_dimension() {
  if constexpr (CompiledModel<A> && CompiledModel<B>)
    return A::dimension_at_compile_time == B::dimension_at_compile_time;
  else
    return false;
}

template <int D, class F>
CompiledEnergyModel<D, F> compiled(formula::Record record, F formula) {
  return {std::move(record), std::move(formula)};
}

inline formula::Part part(const FormulaModel& model, std::string prefix = {}) {
  return {model.record(), model.parameters(), std::move(prefix)};
}

// The formulas of compiled models, combined: they call what they are made of, so that all is compiled into one loop.
// They are given all arguments, of which a part takes its own.

template <class F, class G>
struct Sum {
  F f;
  G g;
  SCOREMATCH_INLINE auto operator()(const auto& x, const auto& sigma, const auto& label, const auto& theta) const {
    // one after the other: operations on θ are found again by their order
    const auto first = compiled::call(f, x, sigma, label, theta);
    return first + compiled::call(g, x, sigma, label, theta);
  }
};

template <class F>
struct Multiple {
  double beta;
  F f;
  SCOREMATCH_INLINE auto operator()(const auto& x, const auto& sigma, const auto& label, const auto& theta) const {
    return beta * compiled::call(f, x, sigma, label, theta);
  }
};

template <class F>
struct Exponential {
  F f;
  SCOREMATCH_INLINE auto operator()(const auto& x, const auto& sigma, const auto& label, const auto& theta) const {
    return exp(compiled::call(f, x, sigma, label, theta));
  }
};

template <class F>
struct Renamed {
  std::string prefix;
  F f;
  SCOREMATCH_INLINE auto operator()(const auto& x, const auto& sigma, const auto& label, const auto& theta) const {
    return compiled::call(f, x, sigma, label, named(prefix, theta));
  }
};

/// `combine` of one model's formula, recorded and, if it is compiled, compiled.
template <class M, class Combine, class Wrap>
auto transformed(const M& model, Combine combine, Wrap wrap) {
  formula::Record record =
      formula::composed({part(model)}, [&](const auto& values, const auto&) { return combine(values[0]); });
  if constexpr (CompiledModel<M>)
    return compiled<M::dimension_at_compile_time>(std::move(record), wrap(model.formula()));
  else if constexpr (RecordedEnergy<M>)
    return EnergyModel(std::move(record));
  else
    return ScoreModel(std::move(record));
}

}  // namespace algebra

/// f = f_a + f_b: a product of experts, p ∝ p_a p_b (the study note's equations 1.3–1.6). Of scores, s = s_a + s_b.
/// a and b: models of the library and users' classes (two of them as said above). It has an energy
/// where both have. Throws std::invalid_argument for different dimensions, and for a parameter name in both.
template <Summand A, Summand B>
auto operator+(const A& a, const B& b) {
  constexpr bool energies = algebra::RecordedEnergy<A> && algebra::RecordedEnergy<B>;
  if constexpr (energies || (algebra::RecordedScore<A> && algebra::RecordedScore<B>)) {
    formula::Record record =
        formula::composed({algebra::part(a), algebra::part(b)}, [](const auto& f, const auto&) { return f[0] + f[1]; });
    if constexpr (algebra::same_compiled_dimension<A, B>()) {
      using F = std::remove_cvref_t<decltype(a.formula())>;
      using G = std::remove_cvref_t<decltype(b.formula())>;
      return algebra::compiled<A::dimension_at_compile_time>(std::move(record),
                                                             algebra::Sum<F, G>{a.formula(), b.formula()});
    } else if constexpr (energies) {
      return EnergyModel(std::move(record));
    } else {
      return ScoreModel(std::move(record));
    }
  } else {
    return ModelSum<A, B>(a, b);
  }
}

/// f = β f_a, s = β s_a: p_aᵝ up to a factor, the temperature 1/β. Throws std::invalid_argument unless β is a finite
/// number above 0.
template <Summand M>
auto operator*(double beta, const M& model) {
  extend::require_positive(beta, "beta");
  if constexpr (algebra::RecordedEnergy<M> || algebra::RecordedScore<M>)
    return algebra::transformed(
        model, [&](const formula::Value& f) { return beta * f; },
        [&]<class F>(const F& f) {
          return algebra::Multiple<F>{beta, f};
        });
  else
    return ModelMultiple<M>(beta, model);
}

/// β times a model, the factor behind.
template <Summand M>
auto operator*(const M& model, double beta) {
  return beta * model;
}

/// f = exp(g), g the energy of the model: never below 0, and steep where g is large, so that outside its valleys
/// p = exp(−exp(g)) falls doubly exponentially. (The study note asks after (1.12) what this does to a fit:
/// examples/exponential_energy.cpp.)
template <Summand M>
auto exp(const M& model) {
  static_assert(algebra::RecordedEnergy<M>,
                "exp(model) needs an energy_model: the score of exp(g) depends on g itself, not on its score alone");
  if constexpr (algebra::RecordedEnergy<M>)
    return algebra::transformed(
        model, [](const formula::Value& g) { return exp(g); },
        []<class F>(const F& f) { return algebra::Exponential<F>{f}; });
  else
    return model;
}

/// f = −log Σ_k w_k exp(−f_k),  w = softmax(log_weights): a mixture of K ≥ 1 energies. The parameter "log_weights" (K
/// numbers, 0 at the start) joins those of the components.
///
/// The components are not normalised: p ∝ Σ_k w_k Z_k p_k, so that w_k is a weight relative to Z_k. Only where all Z_k
/// are equal, as in gaussian_mixture, is it the share of component k. Throws as the sum does, and for no component.
template <class = void>
EnergyModel mixture(const std::vector<EnergyModel>& components) {
  extend::require(!components.empty(), {"mixture has no components; at least one is needed"});
  std::vector<formula::Part> parts;
  for (const EnergyModel& component : components) parts.push_back(algebra::part(component));
  return EnergyModel(formula::composed(
      parts,
      [](const std::vector<formula::Value>& f, const formula::Theta& theta) {
        const formula::Value log_weights = theta("log_weights", static_cast<int>(f.size()));
        return log_sum_exp(log_weights) - log_sum_exp(log_weights - formula::concatenated(f));
      },
      "log_weights"));
}

/// Does not compile: only energies have a mixture.
template <class M>
requires(!algebra::RecordedEnergy<M>) EnergyModel mixture(std::initializer_list<M>) {
  static_assert(algebra::RecordedEnergy<M>,
                "mixture({a, b}) needs energy_models: the score of a mixture depends on the energies of its "
                "components, not on their scores alone");
  return mixture(std::vector<EnergyModel>{});
}

/// The model with its parameters called "prefix.NAME". A user's class, whose parameters have no names, gets one block
/// called "prefix"; it can then be added to another class, and be saved. Throws std::invalid_argument for an empty
/// prefix.
template <Summand M>
auto named(const std::string& prefix, const M& model) {
  extend::require(!prefix.empty(), {"named(\"\", model) has an empty name; parameters are called NAME.parameter"});
  if constexpr (algebra::RecordedEnergy<M> || algebra::RecordedScore<M>) {
    formula::Record record =
        formula::composed({algebra::part(model, prefix + ".")}, [](const auto& f, const auto&) { return f[0]; });
    if constexpr (algebra::CompiledModel<M>)
      return algebra::compiled<M::dimension_at_compile_time>(
          std::move(record), algebra::Renamed<std::remove_cvref_t<decltype(model.formula())>>{prefix, model.formula()});
    else if constexpr (algebra::RecordedEnergy<M>)
      return EnergyModel(std::move(record));
    else
      return ScoreModel(std::move(record));
  } else {
    return NamedModel<M>(prefix, model);
  }
}

}  // namespace scorematch
