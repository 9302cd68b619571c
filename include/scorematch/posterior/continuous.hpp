// Log densities of continuous laws as functions of values: for energies that are posteriors.
//
//   sm::energy_model(2, [&](auto x, auto) {
//     auto mu = x[0], log_sigma = x[1];
//     return -(sm::log_density::normal(mu, 0.0, 10.0) + sm::log_density::normal(y, mu, exp(log_sigma)) + …);
//   });
//
// Each argument is a value of the formula, a number, or an Eigen vector (data); one of them at least is a value.
// Vectors are independent elements, numbers go with every element, and the result is one number: the sum of the
// elements' log densities, with every constant. Numbers and data that a law does not allow throw std::invalid_argument
// when the model is made. Where a value is outside of its law's support, the log density is −∞, with slope 0.
#pragma once

#include "scorematch/posterior/operands.hpp"

namespace scorematch::log_density {

namespace engine {
inline constexpr double log_pi = 1.1447298858494002, log_2 = 0.6931471805599453;
inline constexpr double half_log_2_pi = 0.9189385332046727;
}  // namespace engine

/// Σ −½ ((y − mean)/scale)² − log scale − ½ log 2π; scale > 0 is the standard deviation.
template <class Y, class M, class S>
requires Arguments<Y, M, S> SCOREMATCH_INLINE auto normal(const Y& y, const M& mean, const S& scale) {
  const auto& like = first_value(y, mean, scale);
  if constexpr (is_recorded<decltype(like)>) {
    require_all_finite(y, "normal: y");
    require_all_finite(mean, "normal: mean");
    require_all_positive(scale, "normal: scale");
  }
  const auto& s = lifted(like, scale);
  const auto& u = lifted(like, y);
  const auto& m = lifted(like, mean);
  const auto z = (u - m) / s;
  const Index n = size_of(z);
  return -0.5 * squared_norm(z) - (total(log_of(s), n) + total(half_log_2_pi, n));
}

/// Σ log of Γ((ν + 1)/2)/(Γ(ν/2) √(νπ) scale) (1 + z²/ν)^(−(ν + 1)/2), z = (y − location)/scale; ν = degrees > 0,
/// scale > 0.
template <class Y, class D, class M, class S>
requires Arguments<Y, D, M, S> SCOREMATCH_INLINE auto student_t(const Y& y, const D& degrees, const M& location,
                                                                const S& scale) {
  const auto& like = first_value(y, degrees, location, scale);
  if constexpr (is_recorded<decltype(like)>) {
    require_all_finite(y, "student_t: y");
    require_all_positive(degrees, "student_t: degrees");
    require_all_finite(location, "student_t: location");
    require_all_positive(scale, "student_t: scale");
  }
  const auto& s = lifted(like, scale);
  const auto& nu = lifted(like, degrees);
  const auto& u = lifted(like, y);
  const auto& m = lifted(like, location);
  const auto z = (u - m) / s;
  const Index n = joint_size(z, nu);
  const auto constant = log_gamma_of(0.5 * nu + 0.5) - log_gamma_of(0.5 * nu) - 0.5 * (log_of(nu) + log_pi);
  return total(constant, n) - total(log_of(s), n) - total((0.5 * nu + 0.5) * log1p(square(z) / nu), n);
}

/// Σ −log π − log scale − log(1 + z²), z = (y − location)/scale; scale > 0.
template <class Y, class M, class S>
requires Arguments<Y, M, S> SCOREMATCH_INLINE auto cauchy(const Y& y, const M& location, const S& scale) {
  const auto& like = first_value(y, location, scale);
  if constexpr (is_recorded<decltype(like)>) {
    require_all_finite(y, "cauchy: y");
    require_all_finite(location, "cauchy: location");
    require_all_positive(scale, "cauchy: scale");
  }
  const auto& s = lifted(like, scale);
  const auto& u = lifted(like, y);
  const auto& m = lifted(like, location);
  const auto z = (u - m) / s;
  const Index n = size_of(z);
  return -(sum(log1p(square(z))) + total(log_of(s), n) + total(log_pi, n));
}

/// A normal law with mean 0, folded to y ≥ 0: Σ log 2 − ½ (y/scale)² − log scale − ½ log 2π; scale > 0.
template <class Y, class S>
requires Arguments<Y, S> SCOREMATCH_INLINE auto half_normal(const Y& y, const S& scale) {
  const auto& like = first_value(y, scale);
  if constexpr (is_recorded<decltype(like)>) {
    require_all_within(y, 0, largest, "half_normal: y");
    require_all_positive(scale, "half_normal: scale");
  }
  const auto& given = lifted(like, y);
  const auto in = not_negative(given);
  const Index n = joint_size(y, scale);
  return normal(in.y, 0.0, scale) + total(log_2, n) + in.penalty;
}

/// A Cauchy law at 0, folded to y ≥ 0: Σ log 2 − log π − log scale − log(1 + (y/scale)²); scale > 0.
template <class Y, class S>
requires Arguments<Y, S> SCOREMATCH_INLINE auto half_cauchy(const Y& y, const S& scale) {
  const auto& like = first_value(y, scale);
  if constexpr (is_recorded<decltype(like)>) {
    require_all_within(y, 0, largest, "half_cauchy: y");
    require_all_positive(scale, "half_cauchy: scale");
  }
  const auto& given = lifted(like, y);
  const auto in = not_negative(given);
  const Index n = joint_size(y, scale);
  return cauchy(in.y, 0.0, scale) + total(log_2, n) + in.penalty;
}

/// Σ log rate − rate y for y ≥ 0; rate > 0.
template <class Y, class R>
requires Arguments<Y, R> SCOREMATCH_INLINE auto exponential(const Y& y, const R& rate) {
  const auto& like = first_value(y, rate);
  if constexpr (is_recorded<decltype(like)>) {
    require_all_within(y, 0, largest, "exponential: y");
    require_all_positive(rate, "exponential: rate");
  }
  const auto& r = lifted(like, rate);
  const auto& given = lifted(like, y);
  const auto in = not_negative(given);
  const Index n = joint_size(y, rate);
  return total(log_of(r), n) - total(r * in.y, n) + in.penalty;
}

/// Σ shape log rate − log Γ(shape) + (shape − 1) log y − rate y for y > 0; shape > 0, rate > 0.
template <class Y, class A, class R>
requires Arguments<Y, A, R> SCOREMATCH_INLINE auto gamma(const Y& y, const A& shape, const R& rate) {
  const auto& like = first_value(y, shape, rate);
  if constexpr (is_recorded<decltype(like)>) {
    require_all_positive(y, "gamma: y");
    require_all_positive(shape, "gamma: shape");
    require_all_positive(rate, "gamma: rate");
  }
  const auto& a = lifted(like, shape);
  const auto& r = lifted(like, rate);
  const auto& given = lifted(like, y);
  const auto in = above_zero(given);
  const Index n = joint_size(y, shape, rate);
  return total(a * log_of(r), n) - total(log_gamma_of(a), n) + total((a - 1.0) * log_of(in.y), n) - total(r * in.y, n) +
         in.penalty;
}

/// Σ (a − 1) log y + (b − 1) log(1 − y) − log B(a, b) for 0 < y < 1; a > 0, b > 0.
template <class Y, class A, class B>
requires Arguments<Y, A, B> SCOREMATCH_INLINE auto beta(const Y& y, const A& a, const B& b) {
  const auto& like = first_value(y, a, b);
  if constexpr (is_recorded<decltype(like)>) {
    require_all_positive(y, "beta: y");
    require_all_within(y, 0, 0x1.fffffffffffffp-1, "beta: y");
    require_all_positive(a, "beta: a");
    require_all_positive(b, "beta: b");
  }
  const auto& p = lifted(like, a);
  const auto& q = lifted(like, b);
  const auto& given = lifted(like, y);
  const auto in = between_zero_and_one(given);
  const Index n = joint_size(y, a, b);
  return total(log_gamma_of(p + q), n) - total(log_gamma_of(p), n) - total(log_gamma_of(q), n) +
         total((p - 1.0) * log_of(in.y), n) + total((q - 1.0) * log1p_of(-in.y), n) + in.penalty;
}

/// −n log(high − low) for low ≤ y ≤ high; −∞ outside.
template <class Y, class L, class H>
requires Arguments<Y, L, H> SCOREMATCH_INLINE auto uniform(const Y& y, const L& low, const H& high) {
  const auto& like = first_value(y, low, high);
  if constexpr (is_recorded<decltype(like)>) {
    require_all_finite(y, "uniform: y");
    require_all_finite(low, "uniform: low");
    require_all_finite(high, "uniform: high");
    if constexpr (compiled::IsNumber<L> && compiled::IsNumber<H>)
      extend::require(low < high,
                      {"log_density::uniform: low is ", low, " and high ", high, "; low must be below high"});
  }
  const auto& least = lifted(like, low);
  const auto& most = lifted(like, high);
  const auto& u = lifted(like, y);
  const Index n = joint_size(y, low, high);
  const auto below = total(minus_infinity_where_negative(u - least), n);
  const auto above = total(minus_infinity_where_negative(most - u), n);
  return below + above - total(log_of(most - least), n);
}

/// The law of y > 0 whose logarithm is normal: Σ −½ ((log y − mean)/scale)² − log scale − ½ log 2π − log y; scale > 0.
template <class Y, class M, class S>
requires Arguments<Y, M, S> SCOREMATCH_INLINE auto log_normal(const Y& y, const M& mean, const S& scale) {
  const auto& like = first_value(y, mean, scale);
  if constexpr (is_recorded<decltype(like)>) require_all_positive(y, "log_normal: y");
  const auto& given = lifted(like, y);
  const auto in = above_zero(given);
  const auto log_y = log_of(in.y);
  const Index n = joint_size(y, mean, scale);
  return normal(log_y, mean, scale) - total(log_y, n) + in.penalty;
}

}  // namespace scorematch::log_density
