// SIMD lanes: several numbers in one register, with the compiler's own operators + − × ÷ < ? :.
//
// Everything below, and every function of simd/functions.hpp, takes `Lanes<float>`, `Lanes<double>` or a plain
// float or double, so that one text serves the blocks of samples and the parameters alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "scorematch/requirements.hpp"
#include "scorematch/simd/registers.hpp"

#if defined(__SANITIZE_ADDRESS__)  // g++
#define SCOREMATCH_ADDRESS_SANITIZER 1
#elif defined(__has_feature)  // clang
#define SCOREMATCH_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define SCOREMATCH_ADDRESS_SANITIZER 0
#endif

// Inlining is forced: a 64-byte vector handed over in memory would cost more than the arithmetic on it. Not under the
// address sanitizer, which instruments every inlined copy.
#if SCOREMATCH_ADDRESS_SANITIZER
#define SCOREMATCH_INLINE inline
#define SCOREMATCH_INLINE_LAMBDA
#define SCOREMATCH_FLATTEN
#else
#define SCOREMATCH_INLINE [[gnu::always_inline]] inline
#define SCOREMATCH_INLINE_LAMBDA __attribute__((always_inline))
#define SCOREMATCH_FLATTEN [[gnu::flatten]]
#endif

// On what calls a user's function: clang flattens a function's own calls alone, not those of what it has inlined.
#if defined(__clang__)
#define SCOREMATCH_INLINE_WITH_CALLS SCOREMATCH_FLATTEN SCOREMATCH_INLINE
#else
#define SCOREMATCH_INLINE_WITH_CALLS SCOREMATCH_INLINE
#endif

// At the head of a function whose result rests on the order of its operations: clang keeps it, whatever flags say
// (-fassociative-math is part of -ffast-math). g++ has no such pragma, but as_written() below.
#if defined(__clang__)
#define SCOREMATCH_KEEP_ORDER _Pragma("clang fp reassociate(off)")
#else
#define SCOREMATCH_KEEP_ORDER
#endif

namespace scorematch::simd {

template <class T>
struct LanesOf;
template <>
struct LanesOf<float> {
  typedef float type __attribute__((vector_size(register_bytes)));
};
template <>
struct LanesOf<double> {
  typedef double type __attribute__((vector_size(register_bytes)));
};

/// register_bytes / sizeof(T) numbers of type T (float or double).
template <class T>
using Lanes = typename LanesOf<T>::type;

/// Of `Lanes<T>` or of a plain number: `Scalar`, the signed `Integer` (lanes) of the same width, and the lane count.
template <class V>
struct Traits;
template <>
struct Traits<float> {
  using Scalar = float;
  using Integer = std::int32_t;
  static constexpr int width = 1;
};
template <>
struct Traits<double> {
  using Scalar = double;
  using Integer = std::int64_t;
  static constexpr int width = 1;
};
template <>
struct Traits<Lanes<float>> {
  using Scalar = float;
  typedef std::int32_t Integer __attribute__((vector_size(register_bytes)));
  static constexpr int width = static_cast<int>(register_bytes / sizeof(float));
};
template <>
struct Traits<Lanes<double>> {
  using Scalar = double;
  typedef std::int64_t Integer __attribute__((vector_size(register_bytes)));
  static constexpr int width = static_cast<int>(register_bytes / sizeof(double));
};

template <class V>
using Scalar = typename Traits<V>::Scalar;
template <class V>
using Integer = typename Traits<V>::Integer;
template <class V>
inline constexpr int width = Traits<V>::width;

/// The sum or difference in the brackets, which g++ then does not take apart: with -fassociative-math it would make x
/// of (x + 1.5·2⁵²) − 1.5·2⁵². No instruction. (Not around a product alone: it could then not be fused with a sum.)
template <class V>
SCOREMATCH_INLINE V as_written(V x) {
#if defined(__ASSOCIATIVE_MATH__) && !defined(__clang__)
#if defined(__SSE2__)  // g++ 12 takes a vector apart for its own barrier, number by number
  asm("" : "+v"(x));
#elif defined(__ARM_NEON)
  asm("" : "+w"(x));
#else
  x = __builtin_assoc_barrier(x);
#endif
#endif
  return x;
}

/// Reads width<V> numbers; no alignment is needed.
template <class V>
SCOREMATCH_INLINE V load(const Scalar<V>* from) {
  V lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

/// Writes width<V> numbers; no alignment is needed.
template <class V>
SCOREMATCH_INLINE void store(Scalar<V>* to, V lanes) {
  std::memcpy(to, &lanes, sizeof lanes);
}

/// `number` in every lane.
template <class V>
SCOREMATCH_INLINE V broadcast(Scalar<V> number) {
  if constexpr (width<V> == 1)
    return number;
  else
    return number - V{};  // not V{} + number: −0 must stay −0
}

/// a where the comparison `mask` holds, else b, lane by lane.
template <class Mask, class V>
SCOREMATCH_INLINE V select(Mask mask, V a, V b) {
  return mask ? a : b;
}

/// The sum of the lanes, in double, first lane first.
template <class V>
SCOREMATCH_INLINE double sum_of_lanes(V lanes) {
  if constexpr (width<V> == 1) {
    return static_cast<double>(lanes);
  } else {
    double sum = 0;
    for (int i = 0; i < width<V>; ++i) sum += static_cast<double>(lanes[i]);
    return sum;
  }
}

namespace detail {

// Of pairs of `step` lanes each: the first halves of a and b side by side, or the second ones.
template <bool second, int step, class V, int... lane>
SCOREMATCH_INLINE V halves(V a, V b, std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(
      a, b, ((lane / (2 * step) * 2 * step) + lane % step + (second ? step : 0) + (lane / step % 2) * width<V>)...);
}

template <int step, class V>
SCOREMATCH_INLINE void transpose_from(V* rows) {
  constexpr auto lanes = std::make_integer_sequence<int, width<V>>{};
  if constexpr (step < width<V>) {
#pragma GCC unroll 16
    for (int i = 0; i < width<V>; ++i)
      if ((i & step) == 0) {
        const V a = rows[i], b = rows[i + step];
        rows[i] = halves<false, step>(a, b, lanes);
        rows[i + step] = halves<true, step>(a, b, lanes);
      }
    transpose_from<2 * step>(rows);
  }
}

}  // namespace detail

/// The square of width<V> rows of lanes becomes its transpose.
template <class V>
SCOREMATCH_INLINE void transpose(V* rows) {
  detail::transpose_from<1>(rows);
}

namespace detail {

template <int from, class V, int... lane>
SCOREMATCH_INLINE V every_other(V a, V b, std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(a, b, (2 * lane + from)...);
}

}  // namespace detail

/// Pairs that lie one after another in a and then b: their first and their second numbers.
template <class V>
SCOREMATCH_INLINE void split_pairs(V a, V b, V& first, V& second) {
  constexpr auto lanes = std::make_integer_sequence<int, width<V>>{};
  first = detail::every_other<0>(a, b, lanes);
  second = detail::every_other<1>(a, b, lanes);
}

/// The same bits read as another type of the same size.
template <class To, class From>
SCOREMATCH_INLINE To reinterpret(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

}  // namespace scorematch::simd
