// The elementwise functions of a formula with their first three derivatives: forward sweeps of order 2 need φ', φ'',
// their reverse sweep φ''' too. A function added here and to formula/value.hpp is a function of the language.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>

#include "scorematch/formula/record.hpp"
#include "scorematch/simd/functions.hpp"

namespace scorematch::evaluate {

using formula::Function;

/// φ', φ'' and φ''' at one point (or lanes of points).
template <class V>
struct Slopes {
  V first, second, third;
};

/// √a, aᵖ and their like have slopes without bound at a = 0, where their values are numbers.
constexpr bool has_edge_at_zero(Function f) {
  return f == Function::sqrt || f == Function::power || f == Function::log_of_base;
}

/// log_of_base at 0: p times it is the logarithm of 0 for every exponent p, and the cube of it still a number.
template <class S>
inline constexpr S log_of_zero = sizeof(S) == 8 ? S(-1e100) : S(-1e12);

/// The exponent of power and integer_power.
struct Exponent {
  double real = 1;
  int whole = 1;
};

template <Function function, class V>
SCOREMATCH_INLINE V function_value(V a, const Exponent& p) {
  using S = simd::Scalar<V>;
  if constexpr (function == Function::reciprocal) return simd::reciprocal(a);
  if constexpr (function == Function::square) return a * a;
  if constexpr (function == Function::sqrt) return simd::sqrt(a);
  if constexpr (function == Function::exp) return simd::exp(a);
  if constexpr (function == Function::log) return simd::log(a);
  if constexpr (function == Function::log1p) return simd::log1p(a);
  if constexpr (function == Function::expm1) return simd::expm1(a);
  if constexpr (function == Function::tanh) return simd::tanh(a);
  if constexpr (function == Function::sigmoid) return simd::sigmoid(a);
  if constexpr (function == Function::softplus) return simd::softplus(a);
  if constexpr (function == Function::silu) return a * simd::sigmoid(a);
  if constexpr (function == Function::sin) return simd::sin(a);
  if constexpr (function == Function::cos) return simd::cos(a);
  if constexpr (function == Function::erf) return simd::erf(a);
  if constexpr (function == Function::abs) return simd::abs(a);
  if constexpr (function == Function::power) return simd::pow(a, static_cast<S>(p.real));
  if constexpr (function == Function::integer_power) return simd::pow_integer(a, p.whole);
  if constexpr (function == Function::log_of_base)
    return simd::select(a == 0, simd::broadcast<V>(log_of_zero<S>), simd::log(a));
}

/// 1 − tanh² a = 4 σ(2a) σ(−2a), which loses no digits where tanh a is nearly ±1.
template <class V>
[[gnu::noinline, gnu::cold]] V saturated_tanh_slope(V a) {
  const simd::Sigmoids<V> s = simd::sigmoids(a + a);
  return simd::Scalar<V>(4) * s.of_x * s.of_minus_x;
}

/// 1 − σ(a).
template <class V>
[[gnu::noinline, gnu::cold]] V saturated_sigmoid_rest(V a) {
  return simd::sigmoids(a).of_minus_x;
}

/// The derivatives at a, where r = φ(a) is known.
template <Function function, class V>
SCOREMATCH_INLINE Slopes<V> function_slopes(V a, V r, const Exponent& p) {
  using S = simd::Scalar<V>;
  const V zero = V{};
  const auto number = [](double x) { return static_cast<S>(x); };
  if constexpr (function == Function::reciprocal) {
    const V r2 = r * r;
    return {-r2, number(2) * r2 * r, number(-6) * r2 * r2};
  }
  if constexpr (function == Function::square) return {number(2) * a, zero + number(2), zero};
  if constexpr (function == Function::sqrt) {
    const V first = number(0.5) / r, q = first / a;
    return {first, number(-0.5) * q, number(0.75) * q / a};
  }
  if constexpr (function == Function::exp) return {r, r, r};
  if constexpr (function == Function::log || function == Function::log1p || function == Function::log_of_base) {
    const V at = function == Function::log1p ? a + number(1) : a;  // below 0 there is no logarithm, and so no slope
    const V q = simd::select(at < 0, simd::broadcast<V>(std::numeric_limits<S>::quiet_NaN()), simd::reciprocal(at));
    return {q, -(q * q), number(2) * q * q * q};
  }
  if constexpr (function == Function::expm1) {
    const V e = simd::exp(a);
    return {e, e, e};
  }
  if constexpr (function == Function::tanh) {
    constexpr S saturates = sizeof(S) == 8 ? S(3) : S(2);  // from here on 1 − r² would lose digits
    V first = number(1) - r * r;
    const V distance = simd::abs(a);
    if (simd::detail::any_above(distance, saturates)) [[unlikely]]
      first = simd::select(distance > saturates, saturated_tanh_slope(a), first);
    const V q = r * first;
    return {first, number(-2) * q, number(4) * r * q - number(2) * first * first};
  }
  if constexpr (function == Function::sigmoid) {
    constexpr S saturates = sizeof(S) == 8 ? S(6) : S(3);  // from here on 1 − r would lose digits
    V rest = number(1) - r;
    if (simd::detail::any_above(a, saturates)) [[unlikely]]
      rest = simd::select(a > saturates, saturated_sigmoid_rest(a), rest);
    const V first = r * rest;
    return {first, first * (rest - r), first * (number(1) - number(6) * first)};
  }
  if constexpr (function == Function::softplus) {
    const auto [s, rest] = simd::sigmoids(a);
    const V second = s * rest;
    return {s, second, second * (rest - s)};
  }
  if constexpr (function == Function::silu) {
    const auto [s, rest] = simd::sigmoids(a);
    const V s1 = s * rest, s2 = s1 * (rest - s), s3 = s1 * (number(1) - number(6) * s1);
    return {s + a * s1, number(2) * s1 + a * s2, number(3) * s2 + a * s3};
  }
  if constexpr (function == Function::sin) {
    const V c = simd::cos(a);
    return {c, -r, -c};
  }
  if constexpr (function == Function::cos) {
    const V s = simd::sin(a);
    return {-s, -r, s};
  }
  if constexpr (function == Function::erf) {
    const V g = number(1.1283791670955126) * simd::exp(-(a * a));  // 2/√π exp(−a²)
    return {g, number(-2) * a * g, (number(4) * a * a - number(2)) * g};
  }
  if constexpr (function == Function::abs)
    return {simd::select(a > 0, zero + number(1), simd::select(a < 0, zero - number(1), zero)), zero, zero};
  if constexpr (function == Function::power) {
    const auto slope = [&](double factor, double exponent) -> V {
      return factor == 0 ? zero : number(factor) * simd::pow(a, static_cast<S>(exponent));
    };
    const double n = p.real;
    return {slope(n, n - 1), slope(n * (n - 1), n - 2), slope(n * (n - 1) * (n - 2), n - 3)};
  }
  if constexpr (function == Function::integer_power) {
    const auto slope = [&](double factor, int exponent) -> V {
      return factor == 0 ? zero : number(factor) * simd::pow_integer(a, exponent);
    };
    const double n = p.whole;
    return {slope(n, p.whole - 1), slope(n * (n - 1), p.whole - 2), slope(n * (n - 1) * (n - 2), p.whole - 3)};
  }
}

/// The slopes of r = φ(a) if a does not move where it is 0: √a of a = ‖x‖² is taken as flat there, as |x| is.
template <class V>
SCOREMATCH_INLINE Slopes<V> at_rest(const Slopes<V>& slopes, V a, V r) {
  const V infinity = simd::broadcast<V>(std::numeric_limits<simd::Scalar<V>>::infinity());
  const auto number = [&](V slope) SCOREMATCH_INLINE_LAMBDA {
    const V flat = simd::select(simd::abs(slope) < infinity, slope, V{});
    return simd::select(a == 0, simd::select(simd::abs(r) < infinity, flat, slope), slope);
  };
  return {number(slopes.first), number(slopes.second), number(slopes.third)};
}

/// Calls body(std::integral_constant<Function, f>{}) for the function f: the one place where the switch stands.
template <class Body>
void with_function(Function f, Body body) {
  const auto call = [&]<Function g>() { body(std::integral_constant<Function, g>{}); };
  switch (f) {
    case Function::none:
      break;
    case Function::reciprocal:
      return call.template operator()<Function::reciprocal>();
    case Function::square:
      return call.template operator()<Function::square>();
    case Function::sqrt:
      return call.template operator()<Function::sqrt>();
    case Function::exp:
      return call.template operator()<Function::exp>();
    case Function::log:
      return call.template operator()<Function::log>();
    case Function::log1p:
      return call.template operator()<Function::log1p>();
    case Function::expm1:
      return call.template operator()<Function::expm1>();
    case Function::tanh:
      return call.template operator()<Function::tanh>();
    case Function::sigmoid:
      return call.template operator()<Function::sigmoid>();
    case Function::softplus:
      return call.template operator()<Function::softplus>();
    case Function::silu:
      return call.template operator()<Function::silu>();
    case Function::sin:
      return call.template operator()<Function::sin>();
    case Function::cos:
      return call.template operator()<Function::cos>();
    case Function::erf:
      return call.template operator()<Function::erf>();
    case Function::abs:
      return call.template operator()<Function::abs>();
    case Function::power:
      return call.template operator()<Function::power>();
    case Function::integer_power:
      return call.template operator()<Function::integer_power>();
    case Function::log_of_base:
      return call.template operator()<Function::log_of_base>();
  }
}

/// out = φ(in) for `count` numbers.
template <class T>
void function_values(Function f, const Exponent& p, const T* in, T* out, Index count) {
  using V = simd::Lanes<T>;
  constexpr Index width = simd::width<V>;
  const auto whole = [&](const T* from, T* to, Index numbers) {
    with_function(f, [&](auto which) {
      for (Index i = 0; i < numbers; i += width)
        simd::store<V>(to + i, function_value<which.value, V>(simd::load<V>(from + i), p));
    });
  };
  const Index rest = count % width, full = count - rest;
  whole(in, out, full);
  if (rest == 0) return;
  T padded[width], result[width];
  for (Index i = 0; i < width; ++i) padded[i] = in[full + (i < rest ? i : rest - 1)];
  whole(padded, result, width);
  std::copy_n(result, rest, out + full);
}

/// slopes = φ', φ'' and φ''' at `in`, where `value` holds φ: three runs of `count` numbers. With `rests`
/// they are those of an argument that does not move where it is 0.
template <class T>
void function_slopes(Function f, const Exponent& p, const T* in, const T* value, T* slopes, Index count,
                     bool rests = false) {
  using V = simd::Lanes<T>;
  constexpr Index width = simd::width<V>;
  const auto whole = [&](const T* from, const T* at, T* to, Index numbers, Index stride) {
    with_function(f, [&](auto which) {
      for (Index i = 0; i < numbers; i += width) {
        Slopes<V> s = function_slopes<which.value, V>(simd::load<V>(from + i), simd::load<V>(at + i), p);
        if constexpr (has_edge_at_zero(which.value))
          if (rests) s = at_rest(s, simd::load<V>(from + i), simd::load<V>(at + i));
        simd::store<V>(to + i, s.first);
        simd::store<V>(to + stride + i, s.second);
        simd::store<V>(to + 2 * stride + i, s.third);
      }
    });
  };
  const Index rest = count % width, full = count - rest;
  whole(in, value, slopes, full, count);
  if (rest == 0) return;
  T padded[width], known[width], result[3 * width];
  for (Index i = 0; i < width; ++i) {
    padded[i] = in[full + (i < rest ? i : rest - 1)];
    known[i] = value[full + (i < rest ? i : rest - 1)];
  }
  whole(padded, known, result, width, width);
  for (Index run = 0; run < 3; ++run) std::copy_n(result + run * width, rest, slopes + run * count + full);
}

/// to = φ'(in) bar, or to += φ'(in) bar, where `value` holds φ, for `count` numbers, a multiple of the lane count.
template <class T>
void add_first_slopes(Function f, const Exponent& p, const T* in, const T* value, const T* bar, T* to, bool fresh,
                      Index count, bool rests) {
  using V = simd::Lanes<T>;
  with_function(f, [&](auto which) {
    for (Index i = 0; i < count; i += simd::width<V>) {
      Slopes<V> s = function_slopes<which.value, V>(simd::load<V>(in + i), simd::load<V>(value + i), p);
      if constexpr (has_edge_at_zero(which.value))
        if (rests) s = at_rest(s, simd::load<V>(in + i), simd::load<V>(value + i));
      const V term = s.first * simd::load<V>(bar + i);
      simd::store<V>(to + i, fresh ? term : simd::load<V>(to + i) + term);
    }
  });
}

}  // namespace scorematch::evaluate
