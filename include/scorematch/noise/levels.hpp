// Noise levels σ_1 > σ_2 > … > σ_L > 0: the ladder from noise down to data, and policies that make one.
//
// A score s(x, σ) is that of the data blurred by σz, z ~ N(0, I) (the variance-exploding convention). The
// variance-preserving process x_t = α_t x_0 + √(1 − α_t²) z is the same one seen through a scale: x_t/α_t has the noise
// level σ = √(1 − α_t²)/α_t (Karras, Aittala, Aila & Laine 2022, table 1). So here it is a choice of levels, for the
// same model.
#pragma once

#include <cmath>
#include <concepts>
#include <initializer_list>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"

namespace scorematch {

/// A policy that makes a ladder: a `std::vector<double> sigmas() const`, each level below the one before it and above
/// 0. The library's own: geometric_levels, linear_levels, edm_levels, variance_preserving_levels, cosine_levels.
template <class P>
concept LevelPolicy = requires(const P& policy) {
  { policy.sigmas() } -> std::convertible_to<std::vector<double>>;
};

/// A ladder of noise levels, checked: each finite, above 0 and below the one before it.
class Levels {
 public:
  /// Throws std::invalid_argument, naming the first level that is out of order.
  Levels(std::vector<double> sigmas) : sigmas_(std::move(sigmas)) {
    extend::require(!sigmas_.empty(), {"the noise levels are empty; at least one is needed"});
    for (std::size_t i = 0; i < sigmas_.size(); ++i) {
      extend::require(std::isfinite(sigmas_[i]) && sigmas_[i] > 0,
                      {"noise level ", i, " is ", sigmas_[i], "; every level must be a finite number above 0"});
      extend::require(
          i == 0 || sigmas_[i] < sigmas_[i - 1],
          {"noise level ", i, " is ", sigmas_[i], " and level ", i - 1, " is ", i == 0 ? 0.0 : sigmas_[i - 1],
           "; levels must decrease, from the largest sigma to the smallest"});
    }
  }
  /// The same from a list in braces.
  Levels(std::initializer_list<double> sigmas) : Levels(std::vector<double>(sigmas)) {}
  /// The same from a policy.
  template <LevelPolicy P>
  Levels(const P& policy) : Levels(std::vector<double>(policy.sigmas())) {}

  /// L, how many there are: at least one.
  Index size() const { return static_cast<Index>(sigmas_.size()); }
  /// Level i, counted from 0; the largest is first.
  double operator[](Index i) const { return sigmas_[static_cast<std::size_t>(i)]; }
  /// The first.
  double largest() const { return sigmas_.front(); }
  /// The last.
  double smallest() const { return sigmas_.back(); }
  /// All of them, from the largest to the smallest.
  const std::vector<double>& sigmas() const { return sigmas_; }

 private:
  std::vector<double> sigmas_;
};

namespace noise {

/// Throws unless there are so many levels that they can be kept.
inline void require_levels(Index levels, const char* policy) {
  extend::require_within(levels, 1, 1'000'000, detail::text(policy, ": levels").c_str());
}

/// Throws unless 0 < sigma_min ≤ sigma_max, with room for `levels` between them.
inline void require_range(double sigma_min, double sigma_max, Index levels, const char* policy) {
  extend::require(std::isfinite(sigma_min) && sigma_min > 0,
                  {policy, ": sigma_min is ", sigma_min, "; it must be a finite number above 0"});
  require_levels(levels, policy);
  extend::require(std::isfinite(sigma_max) && (levels == 1 ? sigma_max >= sigma_min : sigma_max > sigma_min),
                  {policy, ": sigma_max is ", sigma_max, "; it must be a finite number above sigma_min, ", sigma_min});
}

/// sigma(u) at u = 0, 1/(levels − 1), …, 1; the ends exactly sigma_max and sigma_min. Throws where arithmetic leaves
/// them no ladder; `members` are what the policy is made of ("geometric_levels: sigma_max, sigma_min and levels").
template <class F>
std::vector<double> ladder(const char* members, double sigma_max, double sigma_min, Index levels, F sigma) {
  std::vector<double> all(static_cast<std::size_t>(levels), sigma_max);
  for (Index i = 1; i < levels; ++i)
    all[static_cast<std::size_t>(i)] =
        i + 1 == levels ? sigma_min : sigma(static_cast<double>(i) / static_cast<double>(levels - 1));
  for (std::size_t i = 0; i < all.size(); ++i)
    extend::require(
        std::isfinite(all[i]) && all[i] > 0 && (i == 0 || all[i] < all[i - 1]),
        {members, " make noise level ", i, " ", all[i], i == 0 ? "" : detail::text(", after ", all[i == 0 ? 0 : i - 1]),
         "; levels must be finite, decrease, and stay above 0"});
  return all;
}

}  // namespace noise

/// σ_i = σ_max (σ_min/σ_max)^{(i−1)/(L−1)}: equal steps of log σ (Song & Ermon 2019, §4.1).
struct geometric_levels {
  double sigma_max = 50;    ///< about the largest distance between two samples (Song & Ermon 2020, technique 1)
  double sigma_min = 0.01;  ///< > 0: what the data may be blurred by unseen
  Index levels = 50;        ///< 1 … 10⁶

  /// The levels, from the largest to the smallest. Throws std::invalid_argument on options out of range.
  std::vector<double> sigmas() const {
    noise::require_range(sigma_min, sigma_max, levels, "geometric_levels");
    return noise::ladder("geometric_levels: sigma_max, sigma_min and levels", sigma_max, sigma_min, levels,
                         [&](double u) { return sigma_max * std::pow(sigma_min / sigma_max, u); });
  }
};

/// σ_i in equal steps from σ_max to σ_min.
struct linear_levels {
  double sigma_max = 1;     ///< > sigma_min
  double sigma_min = 0.01;  ///< > 0
  Index levels = 50;        ///< 1 … 10⁶

  /// The levels, from the largest to the smallest. Throws std::invalid_argument on options out of range.
  std::vector<double> sigmas() const {
    noise::require_range(sigma_min, sigma_max, levels, "linear_levels");
    return noise::ladder("linear_levels: sigma_max, sigma_min and levels", sigma_max, sigma_min, levels,
                         [&](double u) { return sigma_max + u * (sigma_min - sigma_max); });
  }
};

/// σ_i = (σ_max^{1/ρ} + (i−1)/(L−1) (σ_min^{1/ρ} − σ_max^{1/ρ}))^ρ (Karras et al. 2022, equation 5): small steps where
/// σ is small.
struct edm_levels {
  double sigma_max = 80;     ///< > sigma_min
  double sigma_min = 0.002;  ///< > 0
  double rho = 7;            ///< ≥ 1: 1 is linear, ∞ geometric
  Index levels = 50;         ///< 1 … 10⁶

  /// The levels, from the largest to the smallest. Throws std::invalid_argument on options out of range.
  std::vector<double> sigmas() const {
    noise::require_range(sigma_min, sigma_max, levels, "edm_levels");
    extend::require(std::isfinite(rho) && rho >= 1,
                    {"edm_levels: rho is ", rho, "; it must be a finite number from 1 on"});
    const double from = std::pow(sigma_max, 1 / rho), to = std::pow(sigma_min, 1 / rho);
    return noise::ladder("edm_levels: sigma_max, sigma_min, rho and levels", sigma_max, sigma_min, levels,
                         [&](double u) { return std::pow(from + u * (to - from), rho); });
  }
};

/// The levels of the variance-preserving process with β(t) = β_min + t (β_max − β_min), at equal steps of t from 1 down
/// to ε: σ(t) = √(exp(β_min t + ½ (β_max − β_min) t²) − 1) (Song et al. 2021, equation 33; Karras et al. 2022, table
/// 1).
struct variance_preserving_levels {
  double beta_min = 0.1;  ///< > 0
  double beta_max = 20;   ///< ≥ beta_min
  double epsilon = 1e-3;  ///< the last t, in (0, 1)
  Index levels = 50;      ///< 1 … 10⁶

  /// The levels, from the largest to the smallest. Throws std::invalid_argument on options out of range.
  std::vector<double> sigmas() const {
    extend::require_positive(beta_min, "variance_preserving_levels: beta_min");
    extend::require(std::isfinite(beta_max) && beta_max >= beta_min,
                    {"variance_preserving_levels: beta_max is ", beta_max,
                     "; it must be a finite number from beta_min, ", beta_min, ", on"});
    extend::require(epsilon > 0 && epsilon < 1,
                    {"variance_preserving_levels: epsilon is ", epsilon, "; it must be between 0 and 1"});
    noise::require_levels(levels, "variance_preserving_levels");
    const auto sigma = [&](double t) {
      return std::sqrt(std::expm1(beta_min * t + 0.5 * (beta_max - beta_min) * t * t));
    };
    return noise::ladder("variance_preserving_levels: beta_min, beta_max, epsilon and levels", sigma(1), sigma(epsilon),
                         levels, [&](double u) { return sigma(1 + u * (epsilon - 1)); });
  }
};

/// The levels of the variance-preserving process with α_t = cos(½π (t + s)/(1 + s))/cos(½π s/(1 + s)) (Nichol &
/// Dhariwal 2021, equation 17), at equal steps of t from t_max down to t_min: σ = √(1 − α_t²)/α_t.
struct cosine_levels {
  double offset = 0.008;  ///< s ≥ 0
  double t_max = 0.9946;  ///< < 1, where σ is ∞; this one has σ = 118 or so
  double t_min = 1e-3;    ///< > 0
  Index levels = 50;      ///< 1 … 10⁶

  /// The levels, from the largest to the smallest. Throws std::invalid_argument on options out of range.
  std::vector<double> sigmas() const {
    extend::require(std::isfinite(offset) && offset >= 0,
                    {"cosine_levels: offset is ", offset, "; it must be at least 0"});
    extend::require(t_min > 0 && t_min < t_max && t_max < 1,
                    {"cosine_levels: t_min is ", t_min, " and t_max ", t_max, "; they must be 0 < t_min < t_max < 1"});
    noise::require_levels(levels, "cosine_levels");
    const auto sigma = [&](double t) {
      const auto angle = [&](double at) { return 0.5 * 3.141592653589793 * (at + offset) / (1 + offset); };
      const double alpha = std::cos(angle(t)) / std::cos(angle(0));
      return std::sqrt(1 - alpha * alpha) / alpha;
    };
    return noise::ladder("cosine_levels: offset, t_max, t_min and levels", sigma(t_max), sigma(t_min), levels,
                         [&](double u) { return sigma(t_max + u * (t_min - t_max)); });
  }
};

}  // namespace scorematch
