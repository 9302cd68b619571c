// Elementary functions of `Lanes<float>`, `Lanes<double>`, float and double: one text for all four.
//
// Every lane goes through the same arithmetic without a branch, so its result does not depend on its neighbours. NaN
// gives NaN, infinities and signed zeros give what <cmath> gives, overflow gives ±∞, underflow a denormal number or 0.
//
// "Error ≤ n ulp" is the largest error found, rounded up, in units of the last place of the result, against long double
// over dense sweeps of the whole range, in float and double, with and without a fused multiply-add
// (tests/elementary_functions.cpp holds every function to its figure).
//
// The polynomials are minimax fits (Remez exchange in 50 digits; the weight makes the relative error of the final
// result even), their coefficients then rounded to the format. No exactness relies on a product being rounded before it
// is added, since compilers contract a·b + c as they like: where a product must be exact, its factors are short.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "scorematch/simd/lanes.hpp"

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace scorematch::simd {

namespace detail {

// One instruction each, which the vector operators cannot say or g++ does not find. (The maskz forms, because g++ 12
// warns of the undefined operand inside the plain ones.)
#if defined(__AVX512F__) && defined(__AVX512DQ__)
template <class V>
inline constexpr bool has_exponent_instructions = width<V> > 1;
SCOREMATCH_INLINE Lanes<double> machine_sqrt(Lanes<double> x) { return _mm512_maskz_sqrt_pd(0xFF, x); }
SCOREMATCH_INLINE Lanes<float> machine_sqrt(Lanes<float> x) { return _mm512_maskz_sqrt_ps(0xFFFF, x); }
SCOREMATCH_INLINE Lanes<double> minimum(Lanes<double> a, Lanes<double> b) { return _mm512_maskz_min_pd(0xFF, a, b); }
SCOREMATCH_INLINE Lanes<float> minimum(Lanes<float> a, Lanes<float> b) { return _mm512_maskz_min_ps(0xFFFF, a, b); }
SCOREMATCH_INLINE Lanes<double> maximum(Lanes<double> a, Lanes<double> b) { return _mm512_maskz_max_pd(0xFF, a, b); }
SCOREMATCH_INLINE Lanes<float> maximum(Lanes<float> a, Lanes<float> b) { return _mm512_maskz_max_ps(0xFFFF, a, b); }
SCOREMATCH_INLINE Lanes<double> machine_scale(Lanes<double> x, Lanes<double> n) {
  return _mm512_maskz_scalef_pd(0xFF, x, n);
}
SCOREMATCH_INLINE Lanes<float> machine_scale(Lanes<float> x, Lanes<float> n) {
  return _mm512_maskz_scalef_ps(0xFFFF, x, n);
}
SCOREMATCH_INLINE Lanes<double> machine_exponent(Lanes<double> x) { return _mm512_maskz_getexp_pd(0xFF, x); }
SCOREMATCH_INLINE Lanes<float> machine_exponent(Lanes<float> x) { return _mm512_maskz_getexp_ps(0xFFFF, x); }
// In [1, 2).
SCOREMATCH_INLINE Lanes<double> machine_mantissa_from_one(Lanes<double> x) {
  return _mm512_maskz_getmant_pd(0xFF, x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero);
}
SCOREMATCH_INLINE Lanes<float> machine_mantissa_from_one(Lanes<float> x) {
  return _mm512_maskz_getmant_ps(0xFFFF, x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero);
}
// a b + c, rounded once.
template <class T>
SCOREMATCH_INLINE T fused(T a, T b, T c) {
  return std::fma(a, b, c);
}
SCOREMATCH_INLINE Lanes<double> fused(Lanes<double> a, Lanes<double> b, Lanes<double> c) {
  return _mm512_fmadd_pd(a, b, c);
}
SCOREMATCH_INLINE Lanes<float> fused(Lanes<float> a, Lanes<float> b, Lanes<float> c) {
  return _mm512_fmadd_ps(a, b, c);
}
// In [3/4, 3/2); NaN of a negative number.
SCOREMATCH_INLINE Lanes<double> machine_mantissa(Lanes<double> x) {
  return _mm512_maskz_getmant_pd(0xFF, x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan);
}
SCOREMATCH_INLINE Lanes<float> machine_mantissa(Lanes<float> x) {
  return _mm512_maskz_getmant_ps(0xFFFF, x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan);
}
// Of sixteen numbers, in each lane the one at the index's low four bits. Plain numbers take the same way, so that they
// come out as lanes do.
inline constexpr bool has_table_instructions = true;
template <class I>
SCOREMATCH_INLINE double table_entry(const double* table, I index) {
  return table[index & 15];
}
template <class I>
SCOREMATCH_INLINE float table_entry(const float* table, I index) {
  return table[index & 15];
}
SCOREMATCH_INLINE Lanes<double> table_entry(const double* table, Traits<Lanes<double>>::Integer index) {
  return _mm512_permutex2var_pd(_mm512_loadu_pd(table), reinterpret<__m512i>(index), _mm512_loadu_pd(table + 8));
}
SCOREMATCH_INLINE Lanes<float> table_entry(const float* table, Traits<Lanes<float>>::Integer index) {
  return _mm512_maskz_permutexvar_ps(0xFFFF, reinterpret<__m512i>(index), _mm512_loadu_ps(table));
}
SCOREMATCH_INLINE bool any_above(Lanes<double> x, double limit) {
  return _mm512_cmp_pd_mask(x, broadcast<Lanes<double>>(limit), _CMP_GT_OQ) != 0;
}
SCOREMATCH_INLINE bool any_above(Lanes<float> x, float limit) {
  return _mm512_cmp_ps_mask(x, broadcast<Lanes<float>>(limit), _CMP_GT_OQ) != 0;
}
#else
template <class V>
inline constexpr bool has_exponent_instructions = false;
inline constexpr bool has_table_instructions = false;
#if defined(__AVX__)
SCOREMATCH_INLINE Lanes<double> machine_sqrt(Lanes<double> x) { return _mm256_sqrt_pd(x); }
SCOREMATCH_INLINE Lanes<float> machine_sqrt(Lanes<float> x) { return _mm256_sqrt_ps(x); }
SCOREMATCH_INLINE bool any_above(Lanes<double> x, double limit) {
  return _mm256_movemask_pd(reinterpret<Lanes<double>>(x > limit)) != 0;
}
SCOREMATCH_INLINE bool any_above(Lanes<float> x, float limit) {
  return _mm256_movemask_ps(reinterpret<Lanes<float>>(x > limit)) != 0;
}
#elif defined(__SSE2__)
SCOREMATCH_INLINE Lanes<double> machine_sqrt(Lanes<double> x) { return _mm_sqrt_pd(x); }
SCOREMATCH_INLINE Lanes<float> machine_sqrt(Lanes<float> x) { return _mm_sqrt_ps(x); }
SCOREMATCH_INLINE bool any_above(Lanes<double> x, double limit) {
  return _mm_movemask_pd(reinterpret<Lanes<double>>(x > limit)) != 0;
}
SCOREMATCH_INLINE bool any_above(Lanes<float> x, float limit) {
  return _mm_movemask_ps(reinterpret<Lanes<float>>(x > limit)) != 0;
}
#endif
#endif

template <class V>
SCOREMATCH_INLINE V machine_sqrt(V x) {
  if constexpr (width<V> == 1) {
    return std::sqrt(x);
  } else {
    for (int i = 0; i < width<V>; ++i) x[i] = std::sqrt(x[i]);
    return x;
  }
}

template <class V>
SCOREMATCH_INLINE bool any_above(V x, Scalar<V> limit) {
  if constexpr (width<V> == 1) {
    return x > limit;
  } else {
    bool any = false;
    for (int i = 0; i < width<V>; ++i) any |= x[i] > limit;
    return any;
  }
}

// b where either is NaN, as the instruction does.
template <class V>
SCOREMATCH_INLINE V minimum(V a, V b) {
  return select(a < b, a, b);
}
template <class V>
SCOREMATCH_INLINE V maximum(V a, V b) {
  return select(a > b, a, b);
}

/// x held within [least, most]; NaN stays.
template <class V>
SCOREMATCH_INLINE V clamp(V x, Scalar<V> least, Scalar<V> most) {
  return maximum(broadcast<V>(least), minimum(broadcast<V>(most), x));
}

template <class V>
inline constexpr bool is_double = std::is_same_v<Scalar<V>, double>;

/// Bit patterns of a format, and the number `shift`: x + shift rounds x to an integer n whose low bits are the low bits
/// of the sum (|n| below a quarter of 2^mantissa_bits).
template <class T>
struct Format;
template <>
struct Format<float> {
  using Bits = std::int32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr Bits bias = 127, three_quarters = 0x3F400000, mantissa = 0x007FFFFF;
  static constexpr Bits sign = std::numeric_limits<Bits>::min(), upper_half = ~Bits{0xFFF};
  static constexpr float shift = 0x1.8p23F;
  static constexpr Bits shift_bits = 0x4B400000;
};
template <>
struct Format<double> {
  using Bits = std::int64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr Bits bias = 1023, three_quarters = 0x3FE8000000000000, mantissa = 0x000FFFFFFFFFFFFF;
  static constexpr Bits sign = std::numeric_limits<Bits>::min(), upper_half = ~Bits{0x7FFFFFF};
  static constexpr double shift = 0x1.8p52;
  static constexpr Bits shift_bits = 0x4338000000000000;
};
template <class V>
using FormatOf = Format<Scalar<V>>;

/// ln 2 = high + low to 90 bits (float: 39); n·high is exact for every exponent n.
template <class T>
struct Ln2;
template <>
struct Ln2<float> {
  static constexpr float high = 0x1.62e4p-1F, low = 0x1.7f7d1cp-20F, reciprocal = 1.44269504F;
};
template <>
struct Ln2<double> {
  static constexpr double high = 0x1.62e42fefa38p-1, low = 0x1.ef35793c7673p-45, reciprocal = 1.4426950408889634;
};

template <class V>
SCOREMATCH_INLINE Integer<V> bits(V x) {
  return reinterpret<Integer<V>>(x);
}

/// The sum of the `count` terms from c[0] on, where powers[i] = x^(2^i).
template <int count, class V>
SCOREMATCH_INLINE V sum_of_terms(const Scalar<V>* c, const V* powers) {
  if constexpr (count == 1) {
    return broadcast<V>(c[0]);
  } else {
    constexpr int level = std::bit_width(static_cast<unsigned>(count - 1)) - 1;
    constexpr int half = 1 << level;
    return sum_of_terms<half>(c, powers) + powers[level] * sum_of_terms<count - half>(c + half, powers);
  }
}

/// c0 + c1 x + c2 x² + …, up to 32 terms, in the order of G. Estrin: the chain of operations that wait for each other
/// is short, which matters more here than their number (Horner's order takes 1.8 times as long in erf, as long in
/// exp).
template <class V, class... C>
SCOREMATCH_INLINE V polynomial(V x, C... coefficients) {
  const Scalar<V> c[] = {static_cast<Scalar<V>>(coefficients)...};
  const V x2 = x * x, x4 = x2 * x2, x8 = x4 * x4;
  const V powers[] = {x, x2, x4, x8, x8 * x8};
  return sum_of_terms<static_cast<int>(sizeof...(C))>(c, powers);
}

/// `value` with the sign bit of `x`, for a `value` that has that sign already or none.
template <class V>
SCOREMATCH_INLINE V with_sign_of(V value, V x) {
  return reinterpret<V>(bits(value) | (bits(x) & FormatOf<V>::sign));
}

/// The upper half of the significant bits (26 of 53, 12 of 24): products of two such numbers are exact.
template <class V>
SCOREMATCH_INLINE V upper_half(V x) {
  return reinterpret<V>(bits(x) & FormatOf<V>::upper_half);
}

/// 2ⁿ for `shifted` = n + shift, n an exponent of normal numbers.
template <class V>
SCOREMATCH_INLINE V power_of_two(V shifted) {
  return reinterpret<V>((bits(shifted) + FormatOf<V>::bias) << FormatOf<V>::mantissa_bits);
}

/// x 2ⁿ for `shifted` = n + shift, rounded once if it is denormal; n within twice the exponents of normal numbers.
template <class V>
SCOREMATCH_INLINE V times_power_of_two(V x, V shifted) {
  SCOREMATCH_KEEP_ORDER;
  using F = FormatOf<V>;
  if constexpr (has_exponent_instructions<V>) {
    return machine_scale(x, shifted - F::shift);
  } else {
    const Integer<V> n = bits(shifted) - F::shift_bits;
    const Integer<V> half = n >> 1;
    const V product = as_written(x * reinterpret<V>((half + F::bias) << F::mantissa_bits));
    return product * reinterpret<V>(((n - half) + F::bias) << F::mantissa_bits);
  }
}

/// x = mantissa · 2^exponent, the mantissa in [3/4, 3/2); below 0 it is NaN. Of ±0 and ∞ the exponent is ∓∞ and the
/// mantissa ±1.
template <class V>
struct Parts {
  V mantissa;
  V exponent;
};
template <class V>
SCOREMATCH_INLINE Parts<V> split(V x) {
  SCOREMATCH_KEEP_ORDER;
  if constexpr (has_exponent_instructions<V>) {
    const V mantissa = machine_mantissa(x);
    return {mantissa, as_written(machine_exponent(x) - machine_exponent(mantissa))};
  } else {
    using T = Scalar<V>;
    using F = FormatOf<V>;
    using Limits = std::numeric_limits<T>;
    constexpr int lift = F::mantissa_bits + 1;
    const auto denormal = x < Limits::min();
    const V normal = select(denormal, x * static_cast<T>(std::int64_t{1} << lift), x);
    const Integer<V> above = (bits(normal) & ~F::sign) - F::three_quarters;
    V mantissa = reinterpret<V>((above & F::mantissa) + F::three_quarters);
    V exponent = as_written(reinterpret<V>((above >> F::mantissa_bits) + F::shift_bits) -
                            select(denormal, broadcast<V>(F::shift + T(lift)), broadcast<V>(F::shift)));
    mantissa = select(x >= T(0), mantissa, broadcast<V>(Limits::quiet_NaN()));
    exponent = select(x == T(0), broadcast<V>(-Limits::infinity()), exponent);
    const auto infinite = x == Limits::infinity();
    return {select(infinite, broadcast<V>(T(1)), mantissa), select(infinite, x, exponent)};
  }
}

/// eʳ − 1 for |r| ≤ ½ ln 2.
template <class V>
SCOREMATCH_INLINE V reduced_expm1(V r) {
  V q;
  if constexpr (is_double<V>)
    q = polynomial(r, 0x1.0000000000005p-1, 0x1.555555555553ap-3, 0x1.555555555223fp-5, 0x1.1111111118e4bp-7,
                   0x1.6c16c17efc875p-10, 0x1.a01a0175dd641p-13, 0x1.a019a707605aep-16, 0x1.71de857caecebp-19,
                   0x1.28a24bd97c1cap-22, 0x1.ae71025070e96p-26);
  else
    q = polynomial(r, 0x1.fffffep-2, 0x1.5554b0p-3, 0x1.555672p-5, 0x1.122810p-7, 0x1.6bf026p-10);
  return as_written(r + r * r * q);
}

/// x = n ln 2 + r with |r| ≤ ½ ln 2 and `shifted` = n + shift.
template <class V>
struct ReducedByLn2 {
  V r;
  V shifted;
};
template <class V>
SCOREMATCH_INLINE ReducedByLn2<V> reduce_by_ln2(V x) {
  SCOREMATCH_KEEP_ORDER;
  using Log2 = Ln2<Scalar<V>>;
  const V shifted = as_written(x * Log2::reciprocal + FormatOf<V>::shift);
  const V n = as_written(shifted - FormatOf<V>::shift);
  return {as_written(as_written(x - n * Log2::high) - n * Log2::low), shifted};
}

/// tanh(r/2) = odd/even, so that eʳ = (even + odd)/(even − odd), for |r| ≤ ½ ln 2: fewer terms than eʳ itself where
/// there is a division anyhow.
template <class V>
struct HalfTangent {
  V odd;
  V even;
};
template <class V>
SCOREMATCH_INLINE HalfTangent<V> half_tangent(V r) {
  const V z = r * r;
  if constexpr (is_double<V>)
    return {r * polynomial(z, 0x1.f8273327cbf02p+8, 0x1.c01665f9661a0p+3, 0x1.10f13e04036cbp-5),
            polynomial(z, 0x1.f8273327cbf02p+9, 0x1.c01fbb98e172fp+6, 1.0)};
  else
    return {r * polynomial(z, 0x1.f978d4p+2, 0x1.0d3cf6p-3), polynomial(z, 0x1.f978d4p+3, 0x1.944a62p+0)};
}

/// log(1 + f) + k ln 2 for −1/4 ≤ f ≤ 1/2: with s = f/(2 + f),
/// log(1 + f) = 2 artanh s = f − s(f − s²(2/3 + 2/5 s² + …)).
template <class V>
SCOREMATCH_INLINE V reduced_log1p(V f, V k) {
  SCOREMATCH_KEEP_ORDER;
  using T = Scalar<V>;
  using Log2 = Ln2<T>;
  const V s = f / (T(2) + f);
  const V z = s * s;
  V q;
  if constexpr (is_double<V>)
    q = polynomial(z, 0x1.5555555555776p-1, 0x1.99999998f0abfp-2, 0x1.249249b23092fp-2, 0x1.c71c015c06071p-3,
                   0x1.7474e3f77aeb4p-3, 0x1.3852bfee010e7p-3, 0x1.3abed05be8531p-3);
  else
    q = polynomial(z, 0x1.5555b4p-1, 0x1.992b04p-2, 0x1.36e4f4p-2);
  return k * Log2::high + as_written(f + as_written(k * Log2::low - s * (f - z * q)));
}

/// Of the sixteenths of [1, 2), j = 0 … 15: the reciprocal c_j of a number near the middle, a float, but 1/2 for the
/// last, whose logarithms so keep their relative precision below 2; and 2 log 2c_j, rounded from 60 digits.
template <class T>
inline constexpr T reciprocals[16] = {T(0x1.f07c20p-1), T(0x1.d41d42p-1), T(0x1.bacf92p-1), T(0x1.a41a42p-1),
                                      T(0x1.8f9c18p-1), T(0x1.7d05f4p-1), T(0x1.6c16c2p-1), T(0x1.5c9882p-1),
                                      T(0x1.4e5e0ap-1), T(0x1.414142p-1), T(0x1.3521d0p-1), T(0x1.29e412p-1),
                                      T(0x1.1f7048p-1), T(0x1.15b1e6p-1), T(0x1.0c9714p-1), T(0.5)};
template <class T>
inline constexpr T reciprocals_logarithms[16] = {
    T(0x1.5322e36867853p+0), T(0x1.35028b09d8c86p+0), T(0x1.188ee4df23ca4p+0), T(0x1.fb358bd7a4883p-1),
    T(0x1.c7ff99f4554bdp-1), T(0x1.973a33f1356aep-1), T(0x1.68ac8589c6a0fp-1), T(0x1.3c2525533317bp-1),
    T(0x1.1178e6c27e478p-1), T(0x1.d10383e655e65p-2), T(0x1.823c18551a3bep-2), T(0x1.365fc6c159004p-2),
    T(0x1.da727838446a0p-3), T(0x1.4d31165207eacp-3), T(0x1.894a8349fb262p-4), T(0)};

/// −2 log(w/2) by w = 2^k m, m = (1 + r)/c_j with |r| ≤ 1/32: −2 k log 2 + 2 log 2c_j − 2 log(1 + r).
template <class V>
SCOREMATCH_INLINE V minus_two_log_of_half_by_table(V w) {
  SCOREMATCH_KEEP_ORDER;
  using T = Scalar<V>;
  using F = FormatOf<V>;
  const Integer<V> index = bits(w) >> (F::mantissa_bits - 4);
  V k, m;
  if constexpr (has_exponent_instructions<V>) {
    k = machine_exponent(w);
    m = machine_mantissa_from_one(w);
  } else {
    k = static_cast<T>((bits(w) >> F::mantissa_bits) - F::bias);
    m = reinterpret<V>((bits(w) & F::mantissa) | F::bias << F::mantissa_bits);
  }
  const V r = fused(m, table_entry(reciprocals<T>, index), broadcast<V>(T(-1)));
  const V whole =
      k * (is_double<V> ? T(-0x1.62e42fefa39efp+0) : T(-0x1.62e430p+0)) + table_entry(reciprocals_logarithms<T>, index);
  V q;
  if constexpr (is_double<V>)
    q = polynomial(r, 0x1.ffffffffffff3p-1, -0x1.55555555554f8p-1, 0x1.0000000066931p-1, -0x1.9999999b9a9d6p-2,
                   0x1.5555454f1cbd9p-2, -0x1.2492305e9f311p-2, 0x1.006684575d38fp-2, -0x1.c805804387acap-3);
  else
    q = polynomial(r, 0x1.fffffep-1, -0x1.55555p-1, 0x1.002ab2p-1, -0x1.9a076cp-2);
  return as_written(whole - T(2) * r) + r * r * q;
}

}  // namespace detail

/// sin and cos of the same argument.
template <class V>
struct SineCosine {
  V sine;
  V cosine;
};

namespace detail {

/// From sin r and cos r those of r + n·π/2, where `quarter` holds n in its low bits.
template <class V>
SCOREMATCH_INLINE SineCosine<V> turn_by_quarters(V sine, V cosine, Integer<V> quarter) {
  using F = FormatOf<V>;
  constexpr int second_bit_to_sign = 8 * static_cast<int>(sizeof(Scalar<V>)) - 2;
  const auto odd = (quarter & 1) != 0;
  const Integer<V> sine_sign = (quarter << second_bit_to_sign) & F::sign;
  const Integer<V> cosine_sign = ((quarter + 1) << second_bit_to_sign) & F::sign;
  return {reinterpret<V>(bits(select(odd, cosine, sine)) ^ sine_sign),
          reinterpret<V>(bits(select(odd, sine, cosine)) ^ cosine_sign)};
}

/// π/2 in four parts, together good to 2^-150 (float 2^-68); n times each of the first three is exact below the limit.
template <class T>
struct HalfPi;
template <>
struct HalfPi<float> {
  static constexpr float part1 = 0x1.9218p+0F, part2 = 0x1.ed5p-14F, part3 = 0x1.10bp-30F, part4 = 0x1.184698p-44F;
  static constexpr float reciprocal = 0.636619772F, limit = 1600;
};
template <>
struct HalfPi<double> {
  static constexpr double part1 = 0x1.921fb544p+0, part2 = 0x1.0b4611a6p-34, part3 = 0x1.3198a2ep-69;
  static constexpr double part4 = 0x1.b839a252049c1p-104, reciprocal = 0.63661977236758134, limit = 1.6e6;
};

/// sin 2πj/16, j = 0 … 15.
template <class T>
inline constexpr T sixteenths[16] = {
    T(0),  T(0x1.87de2a6aea963p-2),  T(0x1.6a09e667f3bcdp-1),  T(0x1.d906bcf328d46p-1),
    T(1),  T(0x1.d906bcf328d46p-1),  T(0x1.6a09e667f3bcdp-1),  T(0x1.87de2a6aea963p-2),
    T(0),  T(-0x1.87de2a6aea963p-2), T(-0x1.6a09e667f3bcdp-1), T(-0x1.d906bcf328d46p-1),
    T(-1), T(-0x1.d906bcf328d46p-1), T(-0x1.6a09e667f3bcdp-1), T(-0x1.87de2a6aea963p-2)};
template <class T>
inline constexpr T cosine_sixteenths[16] = {sixteenths<T>[4],  sixteenths<T>[5],  sixteenths<T>[6],  sixteenths<T>[7],
                                            sixteenths<T>[8],  sixteenths<T>[9],  sixteenths<T>[10], sixteenths<T>[11],
                                            sixteenths<T>[12], sixteenths<T>[13], sixteenths<T>[14], sixteenths<T>[15],
                                            sixteenths<T>[0],  sixteenths<T>[1],  sixteenths<T>[2],  sixteenths<T>[3]};

/// sin 2πu and cos 2πu by the addition theorem: u = j/16 + r, and short polynomials for |r| ≤ 1/32.
template <class V>
SCOREMATCH_INLINE SineCosine<V> sine_cosine_by_table(V u) {
  SCOREMATCH_KEEP_ORDER;
  using T = Scalar<V>;
  const V shifted = as_written(T(16) * u + FormatOf<V>::shift);
  const V r = as_written(u - T(0.0625) * as_written(shifted - FormatOf<V>::shift));
  const V z = r * r;
  V s, c;  // sin 2πr, of which the first part is 2πr but for its last bits, and cos 2πr − 1
  if constexpr (is_double<V>) {
    s = polynomial(z, 0x1.1a62633145c07p-52, -0x1.4abbce625bd96p+5) +
        z * z * (polynomial(z, 0x1.466bc6769e1bap+6, -0x1.32d2c4a60a45dp+6) + z * z * 0x1.502cc32556230p+5);
    c = polynomial(z, -0x1.3bd3cc9be45dep+4, 0x1.03c1f081b5a92p+6) +
        z * z * (polynomial(z, -0x1.55d3c7e369410p+6, 0x1.e1f4fde51f47cp+5) + z * z * -0x1.a682f08b00b35p+4);
  } else {
    s = polynomial(z, -0x1.777a5cp-23, -0x1.4abbb8p+5, 0x1.45f8cap+6);
    c = polynomial(z, -0x1.3bd3c2p+4, 0x1.036c88p+6);
  }
  s = (is_double<V> ? T(0x1.921fb54442d18p+2) : T(0x1.921fb6p+2)) * r + r * as_written(s);
  c *= z;
  const V sine = table_entry(sixteenths<T>, bits(shifted)), cosine = table_entry(cosine_sixteenths<T>, bits(shifted));
  return {sine + as_written(sine * c + cosine * s), cosine + as_written(cosine * c - sine * s)};
}

/// Replaces what lies beyond the limit of the reduction, lane by lane. Rare and slow: kept out of line.
template <class V>
[[gnu::noinline, gnu::cold]] SineCosine<V> replace_beyond_limit(V x, SineCosine<V> result) {
  constexpr Scalar<V> limit = HalfPi<Scalar<V>>::limit;
  if constexpr (width<V> == 1) {
    return {std::sin(x), std::cos(x)};
  } else {
    for (int i = 0; i < width<V>; ++i)
      if (std::abs(x[i]) > limit) {
        result.sine[i] = std::sin(x[i]);
        result.cosine[i] = std::cos(x[i]);
      }
    return result;
  }
}

}  // namespace detail

/// |x|.
template <class V>
SCOREMATCH_INLINE V abs(V x) {
  return reinterpret<V>(detail::bits(x) & ~detail::FormatOf<V>::sign);
}

/// 1/x, correctly rounded.
template <class V>
SCOREMATCH_INLINE V reciprocal(V x) {
  return Scalar<V>(1) / x;
}

/// √x, correctly rounded; NaN below 0.
template <class V>
SCOREMATCH_INLINE V sqrt(V x) {
  return detail::machine_sqrt(x);
}

/// eˣ. Error ≤ 1.2 ulp.
template <class V>
SCOREMATCH_INLINE V exp(V x) {
  SCOREMATCH_KEEP_ORDER;
  using namespace detail;
  using T = Scalar<V>;
  // At the ends, eˣ has become 0 and ∞; without them n would leave the exponents.
  const auto [r, shifted] = reduce_by_ln2(is_double<V> ? clamp(x, T(-746), T(710)) : clamp(x, T(-104), T(89)));
  return times_power_of_two(T(1) + reduced_expm1(r), shifted);
}

/// eˣ − 1, with full relative precision near 0. Error ≤ 2.5 ulp.
template <class V>
SCOREMATCH_INLINE V expm1(V x) {
  SCOREMATCH_KEEP_ORDER;
  using namespace detail;
  using T = Scalar<V>;
  const auto [r, shifted] = reduce_by_ln2(is_double<V> ? clamp(x, T(-40), T(710)) : clamp(x, T(-20), T(89)));
  const V half = power_of_two(as_written(shifted - T(1)));  // half of 2ⁿ, which may overflow before the result does
  const V result = T(2) * (half * reduced_expm1(r) + as_written(half - T(0.5)));
  return select(abs(x) < std::numeric_limits<T>::epsilon() / 4, x, result);
}

/// The natural logarithm; −∞ at 0, NaN below. Error ≤ 1.2 ulp.
template <class V>
SCOREMATCH_INLINE V log(V x) {
  SCOREMATCH_KEEP_ORDER;
  using namespace detail;
  const auto [mantissa, exponent] = split(x);
  return reduced_log1p(as_written(mantissa - Scalar<V>(1)), exponent);
}

/// −2 log(w/2) for 0 < w < 2, but denormal numbers: the square of a normal pair's length, w/2 uniform. Without a
/// division where a processor looks up tables in registers. Error ≤ 2.5 ulp.
template <class V>
SCOREMATCH_INLINE V minus_two_log_of_half(V w) {
  if constexpr (detail::has_table_instructions)
    return detail::minus_two_log_of_half_by_table(w);
  else
    return Scalar<V>(-2) * log(Scalar<V>(0.5) * w);
}

/// log(1 + x), with full relative precision near 0; −∞ at −1, NaN below. Error ≤ 1.2 ulp.
template <class V>
SCOREMATCH_INLINE V log1p(V x) {
  SCOREMATCH_KEEP_ORDER;
  using namespace detail;
  using T = Scalar<V>;
  const V sum = as_written(T(1) + x);
  const V lost = x - as_written(sum - T(1));  // exactly, as long as 1 is not below the last place of the sum
  const auto [mantissa, exponent] = split(sum);
  const V scaled = lost * power_of_two(as_written(FormatOf<V>::shift - exponent));
  // Beyond 2^64, `lost` is nothing to the sum, and 2^−exponent may not be a number.
  const V f = as_written(mantissa - T(1)) + select(exponent * exponent < T(64 * 64), scaled, V{});
  return with_sign_of(reduced_log1p(as_written(f), exponent), x);
}

/// log(1 + eˣ), without overflow. Error ≤ 2 ulp.
template <class V>
SCOREMATCH_INLINE V softplus(V x) {
  SCOREMATCH_KEEP_ORDER;
  using namespace detail;
  using T = Scalar<V>;
  const V e = exp(-abs(x));
  const auto large = e > T(0.5);  // 1 + e = 2(1 + (e − 1)/2)
  const V f = as_written(select(large, T(0.5) * e - T(0.5), e));
  return maximum(V{}, x) + reduced_log1p(f, select(large, broadcast<V>(T(1)), V{}));
}

/// 1/(1 + e^−x), with full relative precision also where it is tiny. Error ≤ 3 ulp.
template <class V>
SCOREMATCH_INLINE V sigmoid(V x) {
  SCOREMATCH_KEEP_ORDER;
  using namespace detail;
  using T = Scalar<V>;
  const auto [r, shifted] = reduce_by_ln2(is_double<V> ? clamp(x, T(-746), T(40)) : clamp(x, T(-104), T(20)));
  const auto [odd, even] = half_tangent(r);
  const V numerator = even + odd;
  return times_power_of_two(numerator / (times_power_of_two(numerator, shifted) + (even - odd)), shifted);
}

/// 1/(1 + e^−x) and 1/(1 + eˣ).
template <class V>
struct Sigmoids {
  V of_x, of_minus_x;
};

/// The sigmoid of x and of −x with one division, both with full relative precision. Error ≤ 3 ulp.
template <class V>
SCOREMATCH_INLINE Sigmoids<V> sigmoids(V x) {
  SCOREMATCH_KEEP_ORDER;
  using namespace detail;
  using T = Scalar<V>;
  const V y = minimum(broadcast<V>(is_double<V> ? T(746) : T(104)), abs(x));  // there e^−y has become 0
  const auto [r, shifted] = reduce_by_ln2(-y);
  const auto [odd, even] = half_tangent(r);  // e^−y = 2ⁿ (even + odd)/(even − odd)
  const V numerator = even + odd, denominator = even - odd;
  const V inverse = T(1) / (times_power_of_two(numerator, shifted) + denominator);
  const V small = times_power_of_two(numerator * inverse, shifted), large = denominator * inverse;
  return {select(x < T(0), small, large), select(x < T(0), large, small)};
}

/// tanh x, by its addition theorem: with 2|x| = n ln 2 + r, t = 2ⁿ and tanh(r/2) = odd/even,
/// tanh |x| = ((t − 1) even + (t + 1) odd)/((t + 1) even + (t − 1) odd). Error ≤ 3.5 ulp.
template <class V>
SCOREMATCH_INLINE V tanh(V x) {
  SCOREMATCH_KEEP_ORDER;
  using namespace detail;
  using T = Scalar<V>;
  const V y = minimum(broadcast<V>(is_double<V> ? T(20) : T(10)), abs(x));  // there tanh rounds to 1
  const auto [r, shifted] = reduce_by_ln2(y + y);
  const auto [odd, even] = half_tangent(r);
  const V t = power_of_two(shifted);
  const V numerator = as_written(as_written(t - T(1)) * even + as_written(t + T(1)) * odd);
  const V denominator = numerator + T(2) * (even - odd);  // so that, near 1, the numerator's error cancels
  return with_sign_of(numerator / denominator, x);
}

/// The error function 2/√π ∫₀ˣ e^(−t²) dt, as ±(1 − e^(−|x| p(|x|))), where p(x) = −log(erfc x)/x is smooth.
/// Error ≤ 2.5 ulp.
template <class V>
SCOREMATCH_INLINE V erf(V x) {
  SCOREMATCH_KEEP_ORDER;
  using namespace detail;
  using T = Scalar<V>;
  const V y = minimum(broadcast<V>(is_double<V> ? T(5.95) : T(3.93)), abs(x));  // there erf rounds to 1
  V p;  // p − 9/8, for the sake of the last bit
  if constexpr (is_double<V>)
    p = polynomial(y, 0x1.baea08536d9ebp-9, 0x1.45f306dc9c8d9p-1, 0x1.a4f4e2a1a9b4dp-4, -0x1.396685908d4d3p-6,
                   -0x1.b6b6a1ca7fab6p-13, 0x1.bca691dfd4994p-10, -0x1.35663be0e75d6p-11, 0x1.b29af8402a7fcp-16,
                   0x1.0e32f60b928c8p-14, -0x1.f0329242faebbp-16, 0x1.a96da18f7f20dp-19, 0x1.a47f2b8e36a9dp-19,
                   -0x1.116cc3a2aa818p-19, 0x1.3259cde089926p-21, -0x1.921d415ace022p-27, -0x1.1a55403865de1p-24,
                   0x1.29169c3c6378ep-25, -0x1.722d502629a50p-27, 0x1.446ee7226557fp-29, -0x1.9d80d4c9a1330p-32,
                   0x1.7a65c03abe315p-35, -0x1.d98057364172ap-39, 0x1.6ba55455ad2bep-43, -0x1.02da18f9be0a3p-48);
  else
    p = polynomial(y, 0x1.baea30p-9, 0x1.45f2fap-1, 0x1.a4fa60p-4, -0x1.39cde8p-6, -0x1.503ef0p-13, 0x1.b4fc1ap-10,
                   -0x1.4bc556p-11, 0x1.ed624cp-14, -0x1.368e06p-17);
  const auto [r, shifted] = reduce_by_ln2(-(y * T(1.125) + y * as_written(p)));
  const V t = power_of_two(shifted);
  return with_sign_of(as_written(T(1) - t) - t * reduced_expm1(r), x);
}

/// sin x and cos x. Fast for |x| ≤ 1.6e6 (float: 1600); lanes beyond take std::sin and std::cos, one by one.
/// Error ≤ 2.5 ulp, also next to the zeros.
template <class V>
SCOREMATCH_INLINE SineCosine<V> sine_cosine(V x) {
  SCOREMATCH_KEEP_ORDER;
  using namespace detail;
  using T = Scalar<V>;
  using HalfPiOf = HalfPi<T>;
  const V shifted = as_written(x * HalfPiOf::reciprocal + FormatOf<V>::shift);
  const V n = as_written(shifted - FormatOf<V>::shift);
  const V first = as_written(as_written(x - n * HalfPiOf::part1) - n * HalfPiOf::part2);
  const V r = as_written(as_written(first - n * HalfPiOf::part3) - n * HalfPiOf::part4);
  const V z = r * r;
  V s, c;
  if constexpr (is_double<V>) {
    s = polynomial(z, -0x1.5555555555548p-3, 0x1.111111110f730p-7, -0x1.a01a019be9212p-13, 0x1.71de35552ac80p-19,
                   -0x1.ae5e4b8346692p-26, 0x1.5d8b555985951p-33);
    c = polynomial(z, 0x1.555555555554bp-5, -0x1.6c16c16c15011p-10, 0x1.a01a019c8e7bdp-16, -0x1.27e4f7f0f1147p-22,
                   0x1.1ee9db4d9f370p-29, -0x1.8fa638c15d522p-37);
  } else {
    s = polynomial(z, -0x1.555546p-3, 0x1.110778p-7, -0x1.9953f2p-13);
    c = polynomial(z, 0x1.55554ap-5, -0x1.6c0c28p-10, 0x1.99e80cp-16);
  }
  const V sine = with_sign_of(r + (r * z) * s, r);
  const V cosine = T(1) - z * as_written(T(0.5) - z * c);
  const SineCosine<V> result = turn_by_quarters(sine, cosine, bits(shifted));
  if (any_above(abs(x), HalfPiOf::limit)) [[unlikely]]
    return replace_beyond_limit(x, result);
  return result;
}

/// sin x; see sine_cosine.
template <class V>
SCOREMATCH_INLINE V sin(V x) {
  return sine_cosine(x).sine;
}

/// cos x; see sine_cosine.
template <class V>
SCOREMATCH_INLINE V cos(V x) {
  return sine_cosine(x).cosine;
}

/// sin 2πu and cos 2πu for 0 ≤ u < 1; the reduction to an eighth of a turn is exact. Error ≤ 3 ulp.
template <class V>
SCOREMATCH_INLINE SineCosine<V> sine_cosine_of_turns(V u) {
  SCOREMATCH_KEEP_ORDER;
  using namespace detail;
  using T = Scalar<V>;
  const V shifted = as_written(T(4) * u + FormatOf<V>::shift);
  const V r = as_written(u - T(0.25) * as_written(shifted - FormatOf<V>::shift));
  const V z = r * r;
  V s, c;
  if constexpr (is_double<V>) {
    s = polynomial(z, 0x1.921fb54442d18p+2, -0x1.4abbce625bdaep+5, 0x1.466bc6774afd3p+6, -0x1.32d2ccd46af24p+6,
                   0x1.507821d5e5ed6p+5, -0x1.e2f3f22dd865ep+3, 0x1.dfc63dd88e6c0p+1);
    c = polynomial(z, 1.0, -0x1.3bd3cc9be459dp+4, 0x1.03c1f081b0df1p+6, -0x1.55d3c7dc398acp+6, 0x1.e1f4fb7f8a274p+5,
                   -0x1.a6c9c7fb5a28ap+4, 0x1.f3dc15d0882ffp+2);
  } else {
    s = polynomial(z, 0x1.921fb6p+2, -0x1.4abc24p+5, 0x1.4680a4p+6, -0x1.331980p+6);
    c = polynomial(z, 1.0, -0x1.3bd3ccp+4, 0x1.03c1b0p+6, -0x1.55b2b6p+6, 0x1.d4f7eep+5);
  }
  return turn_by_quarters(r * s, c, bits(shifted));
}

/// sine_cosine_of_turns with fewer operations where a processor looks up tables in registers, for 0 < u < 1 but the
/// multiples of ¼: there a zero's sign is open. Error ≤ 3 ulp.
template <class V>
SCOREMATCH_INLINE SineCosine<V> sine_cosine_between_quarters(V u) {
  if constexpr (detail::has_table_instructions)
    return detail::sine_cosine_by_table(u);
  else
    return sine_cosine_of_turns(u);
}

/// x^n by repeated squaring (n < 0: the reciprocal of x^−n); relative error at most (|n| + 1)/2 · epsilon as long as
/// x^|n| is a normal number.
template <class V>
SCOREMATCH_INLINE V pow_integer(V x, int n) {
  V result = broadcast<V>(Scalar<V>(1));
  unsigned remaining = n < 0 ? 0U - static_cast<unsigned>(n) : static_cast<unsigned>(n);
  while (remaining != 0) {
    if ((remaining & 1U) != 0) result *= x;
    remaining >>= 1U;
    if (remaining != 0) x *= x;
  }
  return n < 0 ? reciprocal(result) : result;
}

namespace detail {

/// A number of twice the precision, high + low.
template <class V>
struct TwoParts {
  V high, low;
};

/// log₂ x for x ≥ 0 in twice the precision, for pow: the factors have half the length, so that their products are
/// exact.
template <class V>
SCOREMATCH_INLINE TwoParts<V> log2_in_two_parts(V magnitude) {
  SCOREMATCH_KEEP_ORDER;
  using T = Scalar<V>;
  // s = f/(2 + f) = s_high + s_low, where the division is done but once.
  const auto [mantissa, k] = split(magnitude);
  const V f = as_written(mantissa - T(1));
  const V denominator = as_written(mantissa + T(1));
  const V inverse = T(1) / denominator;
  const V s = f * inverse;
  const V s_high = upper_half(s);
  const V denominator_high = upper_half(denominator);
  const V rest_of_denominator = as_written(mantissa - as_written(denominator_high - T(1)));
  const V s_low = inverse * as_written(as_written(f - s_high * denominator_high) - s_high * rest_of_denominator);

  // log(1 + f) = 2/3 s (3 + z + 3z²(1/5 + z/7 + …)), z = s²; the bracket is bracket_high + bracket_low.
  const V z_high = s_high * s_high;
  const V z_low = s_low * as_written(s_high + s);
  const V z = z_high + z_low;
  V q;
  if constexpr (is_double<V>)
    q = polynomial(z, 0x1.333333333330ep-1, 0x1.b6db6db6e53d1p-2, 0x1.5555554d5a948p-2, 0x1.1745d4d1eb72ap-2,
                   0x1.d89be5b23a4cdp-3, 0x1.99d7055ae0aaep-3, 0x1.641e1d8071c9dp-3, 0x1.823153fe7b0b0p-3);
  else
    q = polynomial(z, 0x1.3333f8p-1, 0x1.b627aap-2, 0x1.6ea862p-2);
  const V tail = as_written(z_low + z * z * q);
  const V bracket_high = upper_half(T(3) + as_written(z_high + tail));
  const V bracket_low = as_written(tail - as_written(as_written(bracket_high - T(3)) - z_high));
  const V product = s_high * bracket_high;
  const V rest = as_written(s_low * bracket_high + bracket_low * s);
  const V log_high = upper_half(product + rest);
  const V log_low = as_written(rest - as_written(log_high - product));

  // log₂ x = k + 2/(3 ln 2) (log_high + log_low) = base_high + base_low.
  constexpr T scale = is_double<V> ? T(0x1.ec709dc3a03fdp-1) : T(0x1.ec709ep-1F);
  constexpr T scale_high = is_double<V> ? T(0x1.ec709d8p-1) : T(0x1.ec6p-1F);
  constexpr T scale_low = is_double<V> ? T(0x1.0e80ff5d27f05p-27) : T(0x1.09dc3ap-13F);
  const V scaled_high = scale_high * log_high;
  const V scaled_low = as_written(scale_low * log_high + scale * log_low);
  const V base_high = upper_half(k + as_written(scaled_high + scaled_low));
  const V base_low = as_written(scaled_low - as_written(as_written(base_high - k) - scaled_high));
  return {base_high, base_low};
}

}  // namespace detail

/// x^exponent with the special values of std::pow; NaN for finite x < 0 unless the exponent is an integer.
/// Error ≤ 1.3 ulp.
///
/// exponent · log₂|x| is formed in twice the precision of V (in the manner of W. Kahan's and fdlibm's pow: factors of
/// half the length, whose products are exact), for its error is that of the result times ln 2.
template <class V>
SCOREMATCH_INLINE V pow(V x, Scalar<V> exponent) {
  SCOREMATCH_KEEP_ORDER;
  using namespace detail;
  using T = Scalar<V>;
  using Limits = std::numeric_limits<T>;
  const V one = broadcast<V>(T(1));
  if (exponent == T(0)) return one;
  if (std::isnan(exponent)) return select(x == T(1), one, broadcast<V>(exponent));
  const bool integer = std::trunc(exponent) == exponent;
  const bool odd = integer && std::floor(exponent / 2) != exponent / 2;
  constexpr T enough = is_double<V> ? T(0x1p64) : T(0x1p32);  // any larger exponent gives 0, 1 or ∞ as this one does
  const T y = clamp(exponent, -enough, enough);

  const V magnitude = abs(x);
  const auto [base_high, base_low] = log2_in_two_parts(magnitude);

  // 2 to the power of high + low.
  const T y_high = upper_half(y);
  const V high = y_high * base_high;
  const V low = as_written(as_written(y - y_high) * base_high + y * base_low);
  const V total = is_double<V> ? clamp(high + low, T(-1080), T(1030)) : clamp(high + low, T(-156), T(130));
  const V shifted = as_written(total + FormatOf<V>::shift);
  const V fraction = clamp(as_written(high - as_written(shifted - FormatOf<V>::shift)) + low, T(-1), T(1));
  constexpr T ln2 = is_double<V> ? T(0x1.62e42fefa39efp-1) : T(0x1.62e43p-1F);
  V result = times_power_of_two(T(1) + reduced_expm1(fraction * ln2), shifted);

  result = select(magnitude == T(0), broadcast<V>(exponent > 0 ? T(0) : Limits::infinity()), result);
  result = select(magnitude == Limits::infinity(), broadcast<V>(exponent > 0 ? Limits::infinity() : T(0)), result);
  if (odd) return with_sign_of(result, x);
  if (integer) return result;
  return select((x < T(0)) & (x > -Limits::infinity()), broadcast<V>(Limits::quiet_NaN()), result);
}

}  // namespace scorematch::simd
