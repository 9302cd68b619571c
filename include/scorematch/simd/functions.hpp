// Elementary functions of `Lanes<float>`, `Lanes<double>` and plain numbers: one text for all four.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "scorematch/simd/lanes.hpp"

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace scorematch::simd {

/// sin and cos of the same argument.
template <class V>
struct SineCosine {
  V sine;
  V cosine;
};

namespace detail {

template <class V>
inline constexpr bool is_double = std::is_same_v<Scalar<V>, double>;

/// Where the fields of a floating-point number lie.
template <class T>
struct Format;
template <>
struct Format<float> {
  using Bits = std::int32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr Bits exponent_bias = 127;
  static constexpr Bits sign = std::numeric_limits<Bits>::min();
  static constexpr float ulp_is_one = 0x1.8p23F;
  static constexpr Bits ulp_is_one_bits = 0x4B400000;
};
template <>
struct Format<double> {
  using Bits = std::int64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr Bits exponent_bias = 1023;
  static constexpr Bits sign = std::numeric_limits<Bits>::min();
  static constexpr double ulp_is_one = 0x1.8p52;
  static constexpr Bits ulp_is_one_bits = 0x4338000000000000;
};
template <class V>
using FormatOf = Format<Scalar<V>>;

template <class V>
inline constexpr Scalar<V> infinity = std::numeric_limits<Scalar<V>>::infinity();

/// c0 + c1 x + c2 x² + …
template <class V, class... Rest>
SCOREMATCH_INLINE V polynomial(V x, double c0, Rest... rest) {
  if constexpr (sizeof...(Rest) == 0)
    return broadcast<V>(static_cast<Scalar<V>>(c0));
  else
    return static_cast<Scalar<V>>(c0) + x * polynomial(x, rest...);
}

template <class V>
SCOREMATCH_INLINE V clamp(V x, Scalar<V> least, Scalar<V> most) {
  x = select(x > most, broadcast<V>(most), x);
  return select(x < least, broadcast<V>(least), x);
}

template <class V>
SCOREMATCH_INLINE V with_sign_of(V positive, V x) {
  return reinterpret<V>(reinterpret<Integer<V>>(positive) | (reinterpret<Integer<V>>(x) & FormatOf<V>::sign));
}

/// A number that ends in the integer n = round(x): `whole` is n as a number, `bits` its low bits.
template <class V>
struct Rounded {
  V whole;
  Integer<V> integer;
};

template <class V>
SCOREMATCH_INLINE Rounded<V> round_to_integer(V shifted) {
  return {shifted - FormatOf<V>::ulp_is_one, reinterpret<Integer<V>>(shifted) - FormatOf<V>::ulp_is_one_bits};
}

/// 2ⁿ for n within the exponents of normal numbers.
template <class V>
SCOREMATCH_INLINE V power_of_two(Integer<V> n) {
  return reinterpret<V>((n + FormatOf<V>::exponent_bias) << FormatOf<V>::mantissa_bits);
}

template <class V>
SCOREMATCH_INLINE V times_power_of_two(V x, Rounded<V> n) {
#if defined(__AVX512F__) && defined(__AVX512DQ__)
  if constexpr (std::is_same_v<V, Lanes<double>>) return _mm512_maskz_scalef_pd(0xFF, x, n.whole);
  if constexpr (std::is_same_v<V, Lanes<float>>) return _mm512_maskz_scalef_ps(0xFFFF, x, n.whole);
#endif
  const Integer<V> half = n.integer >> 1;
  return x * power_of_two<V>(half) * power_of_two<V>(n.integer - half);
}

template <class T>
struct Ln2;
template <>
struct Ln2<double> {
  static constexpr double high = 0x1.62e42fefa38p-1, low = 0x1.ef35793c7673p-45, reciprocal = 1.44269504088896341;
};
template <>
struct Ln2<float> {
  static constexpr float high = 0x1.62e4p-1F, low = 0x1.7f7d1cp-20F, reciprocal = 1.442695041F;
};

}  // namespace detail

/// √x.
template <class V>
SCOREMATCH_INLINE V sqrt(V x) {
  if constexpr (width<V> == 1) {
    return std::sqrt(x);
  } else {
#if defined(__AVX512F__) && defined(__AVX512DQ__)
    if constexpr (detail::is_double<V>)
      return _mm512_maskz_sqrt_pd(0xFF, x);
    else
      return _mm512_maskz_sqrt_ps(0xFFFF, x);
#elif defined(__AVX__)
    if constexpr (detail::is_double<V>)
      return _mm256_sqrt_pd(x);
    else
      return _mm256_sqrt_ps(x);
#elif defined(__SSE2__)
    if constexpr (detail::is_double<V>)
      return _mm_sqrt_pd(x);
    else
      return _mm_sqrt_ps(x);
#else
    for (int i = 0; i < width<V>; ++i) x[i] = std::sqrt(x[i]);
    return x;
#endif
  }
}

/// eˣ.
template <class V>
SCOREMATCH_INLINE V exp(V x) {
  using namespace detail;
  using T = Scalar<V>;
  using Log2 = Ln2<T>;
  x = is_double<V> ? clamp(x, T(-746), T(710)) : clamp(x, T(-104), T(89));
  const V shifted = x * Log2::reciprocal + FormatOf<V>::ulp_is_one;
  const Rounded<V> n = round_to_integer(shifted);
  const V r = (x - n.whole * Log2::high) - n.whole * Log2::low;
  V q;
  if constexpr (is_double<V>)
    q = polynomial(r, 0x1.000000000000ap-1, 0x1.55555555554fap-3, 0x1.55555555507c7p-5, 0x1.1111111127b63p-7,
                   0x1.6c16c18454526p-10, 0x1.a01a012af3030p-13, 0x1.a01999941ab7dp-16, 0x1.71df22f9e95c0p-19,
                   0x1.28ade69c06af0p-22, 0x1.ad84bacf68020p-26);
  else
    q = polynomial(r, 0x1.fffffcp-2, 0x1.555490p-3, 0x1.5558f0p-5, 0x1.123a88p-7, 0x1.6a2822p-10);
  return times_power_of_two(T(1) + (r + r * r * q), n);
}

/// The natural logarithm.
template <class V>
SCOREMATCH_INLINE V log(V x) {
  using namespace detail;
  using T = Scalar<V>;
  using F = FormatOf<V>;
  using Log2 = Ln2<T>;
  constexpr T smallest = std::numeric_limits<T>::min();
  constexpr auto sqrt_half = std::is_same_v<T, double> ? static_cast<typename F::Bits>(0x3FE6A09E667F3BCD)
                                                       : static_cast<typename F::Bits>(0x3F3504F3);
  constexpr auto mantissa_mask = (typename F::Bits{1} << F::mantissa_bits) - 1;
  constexpr int lift = F::mantissa_bits + 2;
  const auto tiny = x < smallest;
  const V lifted = select(tiny, x * static_cast<T>(std::int64_t{1} << lift), x);
  const Integer<V> from_sqrt_half = reinterpret<Integer<V>>(lifted) - sqrt_half;
  const V m = reinterpret<V>((from_sqrt_half & mantissa_mask) + sqrt_half);
  V k = reinterpret<V>((from_sqrt_half >> F::mantissa_bits) + F::ulp_is_one_bits) -
        select(tiny, broadcast<V>(F::ulp_is_one + T(lift)), broadcast<V>(F::ulp_is_one));
  const V f = m - T(1);
  const V s = f / (m + T(1));
  const V z = s * s;
  V q;
  if constexpr (is_double<V>)
    q = polynomial(z, 0x1.5555555555593p-1, 0x1.999999997f9fbp-2, 0x1.249249422a099p-2, 0x1.c71c51d809515p-3,
                   0x1.746649a22b083p-3, 0x1.39a09703196b2p-3, 0x1.2f116f90bdf5dp-3);
  else
    q = polynomial(z, 0x1.55557ap-1, 0x1.995ecc0p-2, 0x1.31e23ep-2);
  V result = k * Log2::high + (f + (k * Log2::low - s * (f - z * q)));
  result = select(x < infinity<V>, result, x);
  const V outside = select(x < T(0), broadcast<V>(std::numeric_limits<T>::quiet_NaN()), broadcast<V>(-infinity<V>));
  return select(x <= T(0), outside, result);
}

/// tanh x.
template <class V>
SCOREMATCH_INLINE V tanh(V x) {
  using namespace detail;
  using T = Scalar<V>;
  using Log2 = Ln2<T>;
  const V y = is_double<V> ? clamp(x, T(-20), T(20)) : clamp(x, T(-10), T(10));
  const V shifted = y * (2 * Log2::reciprocal) + FormatOf<V>::ulp_is_one;
  const Rounded<V> n = round_to_integer(shifted);
  const V r = (T(2) * y - n.whole * Log2::high) - n.whole * Log2::low;
  const V u = r * r;
  const V t = power_of_two<V>(n.integer);
  V p, q;
  if constexpr (is_double<V>) {
    p = r * polynomial(u, 0x1.f8273327cbf02p+8, 0x1.c01665f9661a0p+3, 0x1.10f13e04036cbp-5);
    q = polynomial(u, 0x1.f8273327cbf02p+9, 0x1.c01fbb98e172fp+6, 1.0);
  } else {
    p = r * polynomial(u, 0x1.4011a4p+2, 0x1.54f7acp-4);
    q = polynomial(u, 0x1.4011a4p+3, 1.0);
  }
  const V less = t - T(1), more = t + T(1);
  return with_sign_of((less * q + more * p) / (t * (q + p) + (q - p)), x);
}

/// sin 2πu and cos 2πu.
template <class V>
SCOREMATCH_INLINE SineCosine<V> sine_cosine_of_turns(V u) {
  using namespace detail;
  using T = Scalar<V>;
  const V shifted = T(4) * u + FormatOf<V>::ulp_is_one;
  const Rounded<V> quarter = round_to_integer(shifted);
  const V r = u - T(0.25) * quarter.whole;
  const V z = r * r;
  V s, c;
  if constexpr (is_double<V>) {
    s = polynomial(z, 0x1.921fb54442d18p+2, -0x1.4abbce625bdaep+5, 0x1.466bc6774afd3p+6, -0x1.32d2ccd46af24p+6,
                   0x1.507821d5e5ed6p+5, -0x1.e2f3f22dd865ep+3, 0x1.dfc63dd88e6c0p+1);
    c = polynomial(z, 1.0, -0x1.3bd3cc9be459dp+4, 0x1.03c1f081b0df1p+6, -0x1.55d3c7dc398acp+6, 0x1.e1f4fb7f8a274p+5,
                   -0x1.a6c9c7fb5a28ap+4, 0x1.f3dc15d0882ffp+2);
  } else {
    s = polynomial(z, 0x1.921fb6p+2, -0x1.4abc24p+5, 0x1.4680a4p+6, -0x1.3319800p+6);
    c = polynomial(z, 1.0, -0x1.3bd3ccp+4, 0x1.03c1b0p+6, -0x1.55b2b6p+6, 0x1.d4f7eep+5);
  }
  s = s * r;
  constexpr int sign_shift = 8 * static_cast<int>(sizeof(T)) - 2;
  const auto odd = (quarter.integer & 1) != 0;
  const Integer<V> sine_sign = (quarter.integer << sign_shift) & FormatOf<V>::sign;
  const Integer<V> cosine_sign = ((quarter.integer + 1) << sign_shift) & FormatOf<V>::sign;
  return {reinterpret<V>(reinterpret<Integer<V>>(select(odd, c, s)) ^ sine_sign),
          reinterpret<V>(reinterpret<Integer<V>>(select(odd, s, c)) ^ cosine_sign)};
}

}  // namespace scorematch::simd
