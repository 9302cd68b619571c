// log Γ and its first three derivatives, for numbers above 0, on `Lanes<float>`, `Lanes<double>`, float and double.
//
// Below 10 by the recurrence Γ(x + 10) = x (x + 1) … (x + 9) Γ(x), from there on by Stirling's series (Abramowitz &
// Stegun 1964, 6.1.40 and 6.4.11). Without a branch, as simd/functions.hpp.
#pragma once

#include <limits>

#include "scorematch/simd/functions.hpp"

namespace scorematch::simd {

namespace detail {

inline constexpr int gamma_shift = 10;

/// x where x ≥ 10, else x + 10.
template <class V>
SCOREMATCH_INLINE V shifted_for_stirling(V x) {
  return select(x < Scalar<V>(gamma_shift), x + Scalar<V>(gamma_shift), x);
}

/// NaN where x < 0, else `value`.
template <class V>
SCOREMATCH_INLINE V for_positive(V x, V value) {
  return select(x < 0, broadcast<V>(std::numeric_limits<Scalar<V>>::quiet_NaN()), value);
}

}  // namespace detail

/// log Γ(x); ∞ at 0, NaN below (where Γ has poles, and no use as a normaliser). Error ≤ 3 ulp from 10 on; below, where
/// log Γ has its zeros 1 and 2, ≤ 2·10⁻¹⁴ (float: 10⁻⁵) or as many parts of the result.
template <class V>
SCOREMATCH_INLINE V lgamma(V x) {
  using S = Scalar<V>;
  const V z = detail::shifted_for_stirling(x), r = reciprocal(z), r2 = r * r;
  const V series =
      r * detail::polynomial(r2, 1.0 / 12, -1.0 / 360, 1.0 / 1260, -1.0 / 1680, 1.0 / 1188, -691.0 / 360360, 1.0 / 156);
  const V stirling = (z - S(0.5)) * (log(z) - S(1)) + (S(0.4189385332046727) + series);  // ½ log 2π − ½ + …
  V factors = x;
  for (int i = 1; i < detail::gamma_shift; ++i) factors = factors * (x + static_cast<S>(i));
  const V below = select(x < S(detail::gamma_shift), log(select(x < S(detail::gamma_shift), factors, z)), V{});
  return detail::for_positive(x, stirling - below);
}

template <class V>
struct Polygammas {
  V digamma, trigamma, tetragamma;  ///< the first three derivatives of log Γ
};

/// (log Γ)', '' and ''' at x > 0; NaN below 0. Relative error ≤ 10⁻¹⁴ (float: 10⁻⁵) of trigamma and tetragamma;
/// digamma's is absolute near its zero, 1.46.
template <class V>
SCOREMATCH_INLINE Polygammas<V> polygammas(V x) {
  using S = Scalar<V>;
  const V z = detail::shifted_for_stirling(x), r = reciprocal(z), r2 = r * r;
  V first =
      log(z) - S(0.5) * r -
      r2 * detail::polynomial(r2, 1.0 / 12, -1.0 / 120, 1.0 / 252, -1.0 / 240, 1.0 / 132, -691.0 / 32760, 1.0 / 12);
  V second = r + S(0.5) * r2 +
             r * r2 * detail::polynomial(r2, 1.0 / 6, -1.0 / 30, 1.0 / 42, -1.0 / 30, 5.0 / 66, -691.0 / 2730, 7.0 / 6);
  V third = -r2 - r * r2 - r2 * r2 * detail::polynomial(r2, 0.5, -1.0 / 6, 1.0 / 6, -0.3, 5.0 / 6, -691.0 / 210, 17.5);
  const V shifts = select(x < S(detail::gamma_shift), broadcast<V>(S(1)), V{});
  V sum1 = V{}, sum2 = V{}, sum3 = V{};
  for (int i = 0; i < detail::gamma_shift; ++i) {
    const V q = shifts * reciprocal(i == 0 ? select(x < S(detail::gamma_shift), x, z) : x + static_cast<S>(i));
    sum1 = sum1 + q;
    sum2 = sum2 + q * q;
    sum3 = sum3 + q * q * q;
  }
  first = first - sum1;
  second = second + sum2;
  third = third - S(2) * sum3;
  return {detail::for_positive(x, first), detail::for_positive(x, second), detail::for_positive(x, third)};
}

}  // namespace scorematch::simd
