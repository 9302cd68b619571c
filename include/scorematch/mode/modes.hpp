// find_modes: the minima of an energy, each confirmed or told why not.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/mode/mode_finder.hpp"
#include "scorematch/mode/modes_result.hpp"
#include "scorematch/model/energy_function.hpp"
#include "scorematch/model/formula_model.hpp"

namespace scorematch {

namespace likelihood {

/// Whether a model's curvature along a direction is exact: formulas', and that of classes with a Hessian's product.
template <class M>
constexpr bool exact_curvature = std::is_base_of_v<FormulaModel, M> || (!Model<M> && extend::has_hessian_vector<M>);

}  // namespace likelihood

/// The modes of exp(−f)/Z, minima of f, from many starts at once by Newton's method with a trust region. Nothing
/// depends on the units of x: coordinates may have scales from 1e-9 to 1e9. Each end is judged: it is a `minimum` only
/// if the score there is 0 to rounding, the Hessian positive definite beyond its error, and f seen to rise both ways
/// along d directions. That no minimum was missed is not judged: name starts.
///
///   const auto modes = sm::find_modes(posterior);
///   if (modes.status != sm::ModesStatus::found) std::puts(modes.text().c_str());
///
/// A step takes 2 d + 1 scores a start, an end d²/2 curvatures (12 d scores for a class without hessian_vector). Meant
/// for up to some 200 dimensions. Throws std::invalid_argument for starts of another shape or not finite.
template <class M>
Modes find_modes(const M& model, const ModesOptions& options = {}) {
  if constexpr (detail::check_energy<M>()) {
    auto energy = likelihood::energy_function<double>(model);
    return likelihood::ModeFinder<double>(energy, options, likelihood::exact_curvature<M>).run();
  }
  return {};
}

}  // namespace scorematch
