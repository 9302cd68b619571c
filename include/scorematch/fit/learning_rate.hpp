// How large the steps of a training are, from the first to the last.
#pragma once

#include <algorithm>
#include <cmath>

#include "scorematch/check.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// The course of a learning rate after its warm-up.
enum class Decay {
  cosine,               ///< half a cosine, down to `final` after the last step (Loshchilov & Hutter 2017)
  constant,             ///< it stays
  inverse_square_root,  ///< peak · √(w/t) at step t, w = max(1, warm_up) (Vaswani et al. 2017, §5.3)
};

/// Its name, as checkpoints have it.
inline const char* to_string(Decay decay) {
  switch (decay) {
    case Decay::cosine:
      return "cosine";
    case Decay::constant:
      return "constant";
    case Decay::inverse_square_root:
      return "inverse square root";
  }
  return "";
}

/// A learning rate that grows in proportion to the step until `warm_up` of them are taken, and then decays.
///
///   {.peak = 2e-3, .warm_up = 500}                                     up to 0.002, then half a cosine to 0
///   {.peak = 1e-3, .decay = sm::Decay::inverse_square_root}            open-ended: it does not ask how many steps
///   follow
struct LearningRate {
  double peak = 1e-3;           ///< > 0
  Index warm_up = 0;            ///< steps, ≥ 0: Adam's mean squares are worth little in its first ones
  double final = 0;             ///< ≥ 0: where the cosine ends
  Decay decay = Decay::cosine;  ///< after the warm-up

  /// Of step t = 1, 2, … of `steps`.
  double at(Index t, Index steps) const {
    if (t <= warm_up) return peak * static_cast<double>(t) / static_cast<double>(warm_up);
    if (decay == Decay::constant) return peak;
    if (decay == Decay::inverse_square_root)
      return peak * std::sqrt(static_cast<double>(std::max<Index>(warm_up, 1)) / static_cast<double>(t));
    const double share = static_cast<double>(t - 1 - warm_up) / static_cast<double>(steps - warm_up);
    return final + (peak - final) * 0.5 * (1 + std::cos(3.141592653589793 * share));
  }

  /// Whether the rate of a step depends on how many are taken in all.
  bool depends_on_steps() const { return decay == Decay::cosine; }

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require_positive(peak, "LearningRate: peak");
    extend::require_at_least(warm_up, 0, "LearningRate: warm_up");
    extend::require(std::isfinite(final) && final >= 0, {"LearningRate: final is ", final, "; it must be at least 0"});
  }
};

}  // namespace scorematch
