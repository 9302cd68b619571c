// The elementary functions of the language. Each is one row: its name, value, first three slopes, kinks, where it is
// defined. Forward sweeps of order 2 need φ' and φ'', their reverse sweep φ''' too.
//
// To add a function of one value, write its row below, and its name into SCOREMATCH_FUNCTIONS_OF_ONE_VALUE. The
// language of both paths, the recorder's knowledge, the loops over blocks and θ, the names in messages, what
// scorematch::precompiled compiles, and the tests that go through all rows (tests/elementary_rows.cpp) follow.
//
// A node of a record points to its row (`function_of<Row>`), and the row to its loops. So a program compiles the loops
// of those functions alone that its formulas call.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "scorematch/simd/functions.hpp"
#include "scorematch/simd/gamma.hpp"
#include "scorematch/types.hpp"

/// Those that a formula calls with one value, under their own name.
#define SCOREMATCH_FUNCTIONS_OF_ONE_VALUE(F) \
  F(reciprocal)                              \
  F(square)                                  \
  F(sqrt) F(exp) F(log) F(log1p) F(expm1) F(tanh) F(sigmoid) F(softplus) F(silu) F(sin) F(cos) F(erf) F(abs) F(lgamma)

/// All rows: those of `pow` have an exponent.
#define SCOREMATCH_ELEMENTARY_FUNCTIONS(F) \
  SCOREMATCH_FUNCTIONS_OF_ONE_VALUE(F)     \
  F(power) F(integer_power) F(log_of_base)

namespace scorematch::elementary {

/// φ', φ'' and φ''' at one point (or lanes of points).
template <class V>
struct Slopes {
  V first, second, third;
};

/// The exponent of power and integer_power.
struct Exponent {
  double real = 1;
  int whole = 1;
};

template <class V>
SCOREMATCH_INLINE V number(double x) {
  return simd::broadcast<V>(static_cast<simd::Scalar<V>>(x));
}

// --- the rows ---

/// Defaults for a function whose row does not say otherwise.
struct Usual {
  static constexpr double defined_from = -std::numeric_limits<double>::infinity();  ///< NaN below
  static constexpr bool bends = true;                                               ///< φ'' is not 0
  static constexpr bool twists = true;                                              ///< φ''' is not 0
  static constexpr bool has_kink = false;                                           ///< a point in which φ' jumps
  static constexpr bool has_edge_at_zero = false;  ///< has slopes without bound at 0, where its value is a number
  static constexpr bool never_negative = false;    ///< of values of θ and constants
  static constexpr bool is_square = false;         ///< a², for which sweeps have products

  /// Whether φ(a) is never negative, and has no slope where it is 0, if that `holds` for a or not.
  static constexpr bool rests_at_zero(const Exponent&, bool /*holds*/) { return false; }
};

struct reciprocal : Usual {
  static constexpr const char* name = "1/";

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::reciprocal(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V, V r, const Exponent&) {
    using S = simd::Scalar<V>;
    const V r2 = r * r;
    return {-r2, S(2) * r2 * r, S(-6) * r2 * r2};
  }
};

struct square : Usual {
  static constexpr const char* name = "square";
  static constexpr bool twists = false, is_square = true;

  static constexpr bool rests_at_zero(const Exponent&, bool) { return true; }
  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return a * a;
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V, const Exponent&) {
    return {simd::Scalar<V>(2) * a, number<V>(2), V{}};
  }
};

struct sqrt : Usual {
  static constexpr const char* name = "sqrt";
  static constexpr double defined_from = 0;
  static constexpr bool has_edge_at_zero = true, never_negative = true;

  static constexpr bool rests_at_zero(const Exponent&, bool holds) { return holds; }
  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::sqrt(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V r, const Exponent&) {
    using S = simd::Scalar<V>;
    const V first = S(0.5) / r, q = first / a;
    return {first, S(-0.5) * q, S(0.75) * q / a};
  }
};

struct exp : Usual {
  static constexpr const char* name = "exp";
  static constexpr bool never_negative = true;

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::exp(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V, V r, const Exponent&) {
    return {r, r, r};
  }
};

/// Of log u at u = `at`: below 0 there is no logarithm, and so no slope.
template <class V>
SCOREMATCH_INLINE Slopes<V> slopes_of_logarithm(V at) {
  using S = simd::Scalar<V>;
  const V q = simd::select(at < 0, simd::broadcast<V>(std::numeric_limits<S>::quiet_NaN()), simd::reciprocal(at));
  return {q, -(q * q), S(2) * q * q * q};
}

struct log : Usual {
  static constexpr const char* name = "log";
  static constexpr double defined_from = 0;

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::log(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V, const Exponent&) {
    return slopes_of_logarithm(a);
  }
};

/// log(1 + a), accurate for small a.
struct log1p : Usual {
  static constexpr const char* name = "log1p";
  static constexpr double defined_from = -1;

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::log1p(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V, const Exponent&) {
    return slopes_of_logarithm(a + simd::Scalar<V>(1));
  }
};

/// exp(a) − 1, accurate for small a.
struct expm1 : Usual {
  static constexpr const char* name = "expm1";

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::expm1(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V, const Exponent&) {
    const V e = simd::exp(a);
    return {e, e, e};
  }
};

/// 1 − tanh² a = 4 σ(2a) σ(−2a), which loses no digits where tanh a is nearly ±1.
template <class V>
[[gnu::noinline, gnu::cold]] V saturated_tanh_slope(V a) {
  const simd::Sigmoids<V> s = simd::sigmoids(a + a);
  return simd::Scalar<V>(4) * s.of_x * s.of_minus_x;
}

struct tanh : Usual {
  static constexpr const char* name = "tanh";

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::tanh(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V r, const Exponent&) {
    using S = simd::Scalar<V>;
    constexpr S saturates = sizeof(S) == 8 ? S(3) : S(2);  // from here on 1 − r² would lose digits
    V first = S(1) - r * r;
    const V distance = simd::abs(a);
    if (simd::detail::any_above(distance, saturates)) [[unlikely]]
      first = simd::select(distance > saturates, saturated_tanh_slope(a), first);
    const V q = r * first;
    return {first, S(-2) * q, S(4) * r * q - S(2) * first * first};
  }
};

/// 1 − σ(a).
template <class V>
[[gnu::noinline, gnu::cold]] V saturated_sigmoid_rest(V a) {
  return simd::sigmoids(a).of_minus_x;
}

/// 1/(1 + exp(−a)).
struct sigmoid : Usual {
  static constexpr const char* name = "sigmoid";
  static constexpr bool never_negative = true;

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::sigmoid(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V r, const Exponent&) {
    using S = simd::Scalar<V>;
    constexpr S saturates = sizeof(S) == 8 ? S(6) : S(3);  // from here on 1 − r would lose digits
    V rest = S(1) - r;
    if (simd::detail::any_above(a, saturates)) [[unlikely]]
      rest = simd::select(a > saturates, saturated_sigmoid_rest(a), rest);
    const V first = r * rest;
    return {first, first * (rest - r), first * (S(1) - S(6) * first)};
  }
};

/// log(1 + exp(a)).
struct softplus : Usual {
  static constexpr const char* name = "softplus";
  static constexpr bool never_negative = true;

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::softplus(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V, const Exponent&) {
    const auto [s, rest] = simd::sigmoids(a);
    const V second = s * rest;
    return {s, second, second * (rest - s)};
  }
};

/// a · sigmoid(a).
struct silu : Usual {
  static constexpr const char* name = "silu";

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return a * simd::sigmoid(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V, const Exponent&) {
    using S = simd::Scalar<V>;
    const auto [s, rest] = simd::sigmoids(a);
    const V s1 = s * rest, s2 = s1 * (rest - s), s3 = s1 * (S(1) - S(6) * s1);
    return {s + a * s1, S(2) * s1 + a * s2, S(3) * s2 + a * s3};
  }
};

struct sin : Usual {
  static constexpr const char* name = "sin";

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::sin(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V r, const Exponent&) {
    const V c = simd::cos(a);
    return {c, -r, -c};
  }
};

struct cos : Usual {
  static constexpr const char* name = "cos";

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::cos(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V r, const Exponent&) {
    const V s = simd::sin(a);
    return {-s, -r, s};
  }
};

/// 2/√π ∫₀ᵃ exp(−t²) dt.
struct erf : Usual {
  static constexpr const char* name = "erf";

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::erf(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V, const Exponent&) {
    using S = simd::Scalar<V>;
    const V g = static_cast<S>(1.1283791670955126) * simd::exp(-(a * a));  // 2/√π exp(−a²)
    return {g, S(-2) * a * g, (S(4) * a * a - S(2)) * g};
  }
};

/// |a|, with derivative 0 at 0. Its second derivative is 2δ(a): a Laplacian, and with it implicit score matching,
/// misses the mass that sits on the kink.
struct abs : Usual {
  static constexpr const char* name = "abs";
  static constexpr bool bends = false, twists = false, has_kink = true;

  static constexpr bool rests_at_zero(const Exponent&, bool) { return true; }
  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::abs(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V, const Exponent&) {
    const V zero = V{};
    return {simd::select(a > 0, number<V>(1), simd::select(a < 0, number<V>(-1), zero)), zero, zero};
  }
};

/// log Γ(a), a > 0.
struct lgamma : Usual {
  static constexpr const char* name = "lgamma";
  static constexpr double defined_from = 0;

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    return simd::lgamma(a);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V, const Exponent&) {
    const simd::Polygammas<V> p = simd::polygammas(a);
    return {p.digamma, p.trigamma, p.tetragamma};
  }
};

/// a^α, α real, a > 0.
struct power : Usual {
  static constexpr const char* name = "pow";
  static constexpr double defined_from = 0;
  static constexpr bool has_edge_at_zero = true;

  static constexpr bool rests_at_zero(const Exponent& p, bool holds) { return p.real > 0 && holds; }
  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent& p) {
    return simd::pow(a, static_cast<simd::Scalar<V>>(p.real));
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V, const Exponent& p) {
    using S = simd::Scalar<V>;
    const auto slope = [&](double factor, double exponent) -> V {
      return factor == 0 ? V{} : static_cast<S>(factor) * simd::pow(a, static_cast<S>(exponent));
    };
    const double n = p.real;
    return {slope(n, n - 1), slope(n * (n - 1), n - 2), slope(n * (n - 1) * (n - 2), n - 3)};
  }
};

/// aⁿ, n whole.
struct integer_power : Usual {
  static constexpr const char* name = "pow";

  static constexpr bool rests_at_zero(const Exponent& p, bool holds) {
    return p.whole > 0 && (p.whole % 2 == 0 || holds);
  }
  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent& p) {
    return simd::pow_integer(a, p.whole);
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V, const Exponent& p) {
    using S = simd::Scalar<V>;
    const auto slope = [&](double factor, int exponent) -> V {
      return factor == 0 ? V{} : static_cast<S>(factor) * simd::pow_integer(a, exponent);
    };
    const double n = p.whole;
    return {slope(n, p.whole - 1), slope(n * (n - 1), p.whole - 2), slope(n * (n - 1) * (n - 2), p.whole - 3)};
  }
};

/// log a, but a very small number at a = 0, so that exp(p log a) is a^p there too: p times it is the logarithm of 0 for
/// every exponent p, and the cube of it still a number.
struct log_of_base : Usual {
  static constexpr const char* name = "pow";
  static constexpr double defined_from = 0;
  static constexpr bool has_edge_at_zero = true;

  template <class V>
  SCOREMATCH_INLINE static V value(V a, const Exponent&) {
    constexpr double log_of_zero = sizeof(simd::Scalar<V>) == 8 ? -1e100 : -1e12;
    return simd::select(a == 0, number<V>(log_of_zero), simd::log(a));
  }
  template <class V>
  SCOREMATCH_INLINE static Slopes<V> slopes(V a, V, const Exponent&) {
    return slopes_of_logarithm(a);
  }
};

// --- loops over arrays, one set for each row and scalar ---

/// The slopes of r = φ(a) if a does not move where it is 0: √a of a = ‖x‖² is taken as flat there, as |x| is.
template <class V>
SCOREMATCH_INLINE Slopes<V> at_rest(const Slopes<V>& slopes, V a, V r) {
  const V infinity = simd::broadcast<V>(std::numeric_limits<simd::Scalar<V>>::infinity());
  const auto rested = [&](V slope) SCOREMATCH_INLINE_LAMBDA {
    const V flat = simd::select(simd::abs(slope) < infinity, slope, V{});
    return simd::select(a == 0, simd::select(simd::abs(r) < infinity, flat, slope), slope);
  };
  return {rested(slopes.first), rested(slopes.second), rested(slopes.third)};
}

/// The slopes at `in`, where `value` holds φ; with `rests` those of an argument that does not move where it is 0.
template <class Row, class V>
SCOREMATCH_INLINE Slopes<V> slopes_at(const Exponent& p, const simd::Scalar<V>* in, const simd::Scalar<V>* value,
                                      bool rests) {
  const V a = simd::load<V>(in), r = simd::load<V>(value);
  const Slopes<V> slopes = Row::slopes(a, r, p);
  if constexpr (Row::has_edge_at_zero)
    if (rests) return at_rest(slopes, a, r);
  return slopes;
}

/// out = φ(in). Here and below `count` is a multiple of the lane count.
template <class Row, class T>
void loop_values(const Exponent& p, const T* in, T* out, Index count) {
  using V = simd::Lanes<T>;
  for (Index i = 0; i < count; i += simd::width<V>) simd::store<V>(out + i, Row::value(simd::load<V>(in + i), p));
}

/// φ', φ'' and φ''' in three runs that begin `stride` apart.
template <class Row, class T>
void loop_slopes(const Exponent& p, const T* in, const T* value, T* slopes, Index count, Index stride, bool rests) {
  using V = simd::Lanes<T>;
  for (Index i = 0; i < count; i += simd::width<V>) {
    const Slopes<V> s = slopes_at<Row, V>(p, in + i, value + i, rests);
    simd::store<V>(slopes + i, s.first);
    simd::store<V>(slopes + stride + i, s.second);
    simd::store<V>(slopes + 2 * stride + i, s.third);
  }
}

/// to = φ'(in) bar, or to += φ'(in) bar.
template <class Row, class T>
void loop_first_slopes(const Exponent& p, const T* in, const T* value, const T* bar, T* to, bool fresh, Index count,
                       bool rests) {
  using V = simd::Lanes<T>;
  for (Index i = 0; i < count; i += simd::width<V>) {
    const V term = slopes_at<Row, V>(p, in + i, value + i, rests).first * simd::load<V>(bar + i);
    simd::store<V>(to + i, fresh ? term : simd::load<V>(to + i) + term);
  }
}

template <class T>
struct Loops {
  void (*values)(const Exponent&, const T*, T*, Index);
  void (*slopes)(const Exponent&, const T*, const T*, T*, Index, Index, bool);
  void (*add_first_slopes)(const Exponent&, const T*, const T*, const T*, T*, bool, Index, bool);
};

/// A row as a record's node points to it.
struct Function {
  const char* name;
  bool bends, has_kink, has_edge_at_zero, never_negative, is_square;
  bool (*rests_at_zero)(const Exponent&, bool);
  Loops<float> in_float;
  Loops<double> in_double;

  template <class T>
  const Loops<T>& loops() const {
    if constexpr (std::is_same_v<T, float>)
      return in_float;
    else
      return in_double;
  }
};

template <class Row, class T>
inline constexpr Loops<T> loops_of = {&loop_values<Row, T>, &loop_slopes<Row, T>, &loop_first_slopes<Row, T>};

/// The row's only Function: to name it compiles its loops.
template <class Row>
inline constexpr Function function_of = {
    Row::name,      Row::bends,          Row::has_kink,        Row::has_edge_at_zero, Row::never_negative,
    Row::is_square, &Row::rests_at_zero, loops_of<Row, float>, loops_of<Row, double>};

/// The loops of one row in one scalar, as explicit instantiations.
#define SCOREMATCH_ELEMENTARY_LOOPS(EXTERN, Row, T)                                                                   \
  EXTERN template void elementary::loop_values<elementary::Row, T>(const elementary::Exponent&, const T*, T*, Index); \
  EXTERN template void elementary::loop_slopes<elementary::Row, T>(const elementary::Exponent&, const T*, const T*,   \
                                                                   T*, Index, Index, bool);                           \
  EXTERN template void elementary::loop_first_slopes<elementary::Row, T>(const elementary::Exponent&, const T*,       \
                                                                         const T*, const T*, T*, bool, Index, bool);

/// out = φ(in) for any count of numbers.
template <class T>
void function_values(const Function& f, const Exponent& p, const T* in, T* out, Index count) {
  constexpr Index width = simd::width<simd::Lanes<T>>;
  const Index rest = count % width, full = count - rest;
  f.loops<T>().values(p, in, out, full);
  if (rest == 0) return;
  T padded[width], result[width];
  for (Index i = 0; i < width; ++i) padded[i] = in[full + (i < rest ? i : rest - 1)];
  f.loops<T>().values(p, padded, result, width);
  std::copy_n(result, rest, out + full);
}

/// slopes = φ', φ'' and φ''' at `in`, where `value` holds φ: three runs of `count` numbers.
template <class T>
void function_slopes(const Function& f, const Exponent& p, const T* in, const T* value, T* slopes, Index count,
                     bool rests = false) {
  constexpr Index width = simd::width<simd::Lanes<T>>;
  const Index rest = count % width, full = count - rest;
  f.loops<T>().slopes(p, in, value, slopes, full, count, rests);
  if (rest == 0) return;
  T padded[width], known[width], result[3 * width];
  for (Index i = 0; i < width; ++i) {
    padded[i] = in[full + (i < rest ? i : rest - 1)];
    known[i] = value[full + (i < rest ? i : rest - 1)];
  }
  f.loops<T>().slopes(p, padded, known, result, width, width, rests);
  for (Index run = 0; run < 3; ++run) std::copy_n(result + run * width, rest, slopes + run * count + full);
}

}  // namespace scorematch::elementary
