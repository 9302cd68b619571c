// Loops over arrays of any length, lanes at a time: g++ 12 leaves them one number at a time at -O2.
#pragma once

#include <cstring>
#include <type_traits>

#include "scorematch/simd/lanes.hpp"
#include "scorematch/types.hpp"

namespace scorematch::simd {

/// width<V> numbers of type T (float or double), in V's own type; no alignment is needed.
template <class V, class T>
SCOREMATCH_INLINE V load_as(const T* from) {
  if constexpr (width<V> == 1) {
    return static_cast<V>(*from);
  } else if constexpr (std::is_same_v<Scalar<V>, T>) {
    return load<V>(from);
  } else {
    typedef T Narrow __attribute__((vector_size(width<V> * sizeof(T))));
    Narrow numbers;
    std::memcpy(&numbers, from, sizeof numbers);
    return __builtin_convertvector(numbers, V);
  }
}

/// Writes width<V> numbers as numbers of type T.
template <class V, class T>
SCOREMATCH_INLINE void store_as(T* to, V lanes) {
  if constexpr (width<V> == 1) {
    *to = static_cast<T>(lanes);
  } else if constexpr (std::is_same_v<Scalar<V>, T>) {
    store<V>(to, lanes);
  } else {
    typedef T Narrow __attribute__((vector_size(width<V> * sizeof(T))));
    const Narrow numbers = __builtin_convertvector(lanes, Narrow);
    std::memcpy(to, &numbers, sizeof numbers);
  }
}

/// Calls work(V{}, i) for each whole group of width<V> numbers from i on, and work(Scalar<V>{}, i) for each number that
/// is left of `count`; work loads and stores what has the type of its first argument.
template <class V, class Work>
SCOREMATCH_INLINE void for_lanes(Index count, Work work) {
  Index i = 0;
  for (; i + width<V> <= count; i += width<V>) work(V{}, i);
  for (; i < count; ++i) work(Scalar<V>{}, i);
}

/// Σ term(x_i) in double: term takes Lanes<double> or a double.
template <class T, class Term>
SCOREMATCH_INLINE double sum_of(const T* numbers, Index count, Term term) {
  Lanes<double> groups = {};
  double rest = 0;
  for_lanes<Lanes<double>>(count, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
    const V part = term(load_as<V>(numbers + i));
    if constexpr (width<V> == 1)
      rest += part;
    else
      groups += part;
  });
  return sum_of_lanes(groups) + rest;
}

}  // namespace scorematch::simd
