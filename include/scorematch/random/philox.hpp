// Philox 4×32-10: a counter-based generator of random bits. It has no state: 128 bits of counter and 64 bits of key go
// in, 128 random bits come out, so that any number of any stream can be had at once, in any order, on any thread.
//
// Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "scorematch/simd/lanes.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace scorematch {

namespace detail {

template <class T>
struct BitLanesOf;
template <>
struct BitLanesOf<float> {
  typedef std::uint32_t type __attribute__((vector_size(simd::register_bytes)));
};
template <>
struct BitLanesOf<double> {
  typedef std::uint64_t type __attribute__((vector_size(simd::register_bytes)));
};

/// A register of unsigned integers as wide as T, float or double.
template <class T>
using BitLanes = typename BitLanesOf<T>::type;

inline constexpr std::uint64_t low_half = 0xFFFFFFFF;

/// a·m of the low 32 bits of every 64-bit lane of `a`, whatever its high 32 bits are.
template <class V>
SCOREMATCH_INLINE V multiply_low_half(V a, std::uint32_t m) {
  // Written as below, g++ 12 multiplies 64 × 64 bits, which takes several instructions; these are one each. (Masked,
  // since the plain one of g++ 12 leaves an operand uninitialised, and warns of it.)
  if constexpr (!std::is_same_v<V, std::uint64_t>) {
#if defined(__AVX512F__) && defined(__AVX512DQ__)
    return reinterpret_cast<V>(_mm512_maskz_mul_epu32(0xFF, reinterpret_cast<__m512i>(a), _mm512_set1_epi64(m)));
#elif defined(__AVX2__)
    return reinterpret_cast<V>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), _mm256_set1_epi64x(m)));
#elif defined(__SSE2__) && !defined(__AVX__)
    return reinterpret_cast<V>(_mm_mul_epu32(reinterpret_cast<__m128i>(a), _mm_set1_epi64x(m)));
#elif defined(__ARM_NEON) && defined(__aarch64__)
    return reinterpret_cast<V>(vmull_n_u32(vmovn_u64(reinterpret_cast<uint64x2_t>(a)), m));
#endif
  }
  return (a & low_half) * std::uint64_t{m};
}

template <class V, int... half>
SCOREMATCH_INLINE V odd_halves_twice(V a, std::integer_sequence<int, half...>) {
  const BitLanes<float> halves = simd::reinterpret<BitLanes<float>>(a);
  return simd::reinterpret<V>(__builtin_shufflevector(halves, halves, (half | 1)...));
}

/// The high 32 bits of every 64-bit lane in its low ones; the high ones may hold anything.
template <class V>
SCOREMATCH_INLINE V high_half(V a) {
  // Shifts of 512-bit registers run where multiplications do, and Philox has enough of these; shuffles do not.
  if constexpr (sizeof(V) == 64)
    return odd_halves_twice(a, std::make_integer_sequence<int, sizeof(V) / 4>());
  else
    return a >> 32;
}

}  // namespace detail

namespace detail {

/// Philox's four 32-bit words, each in the low half of a 64-bit integer: V is std::uint64_t for one counter, or a
/// register of them, `detail::BitLanes<double>`, for a counter a lane.
template <class V>
struct PhiloxWords {
  V word[4];
};

}  // namespace detail

namespace detail {

inline constexpr std::uint32_t philox_multiplier0 = 0xD2511F53, philox_multiplier1 = 0xCD9E8D57;

/// The numbers that each round adds to the two words, in every lane; of each the low 32 bits count.
template <class V>
struct RoundKeys {
  V first[10], second[10];

  SCOREMATCH_INLINE explicit RoundKeys(std::uint64_t key) {
    for (std::uint64_t round = 0; round < 10; ++round) {
      first[round] = V{} + (key + round * 0x9E3779B9);           // the golden ratio
      second[round] = V{} + ((key >> 32) + round * 0xBB67AE85);  // √3 − 1
    }
  }
};

/// The rounds from `from` on, of the ten, of some counters side by side: the rounds of one wait for each other, those
/// of several do not. They read the low halves of all words alone: the high ones may hold anything on the way, and in
/// the result.
template <int from, std::size_t count, class V>
SCOREMATCH_INLINE void philox_rounds(detail::PhiloxWords<V> (&counters)[count], const RoundKeys<V>& keys) {
#pragma GCC unroll 10
  for (int round = from; round < 10; ++round)
#pragma GCC unroll 4
    for (std::size_t i = 0; i < count; ++i) {
      const auto [c0, c1, c2, c3] = counters[i].word;
      const V p0 = multiply_low_half(c0, philox_multiplier0);
      const V p1 = multiply_low_half(c2, philox_multiplier1);
      counters[i] = {{high_half(p1) ^ c1 ^ keys.first[round], p1, high_half(p0) ^ c3 ^ keys.second[round], p0}};
    }
}

/// What the first two rounds make of the words 1 to 3 of a counter whose word 0 alone changes from call to call:
/// word 1 is the same in all lanes, word 3 up to bits that are given later.
template <class V>
class PhiloxStart {
 public:
  PhiloxStart() = default;
  SCOREMATCH_INLINE PhiloxStart(std::uint64_t word1, V word2, V word3, const RoundKeys<V>& keys) {
    product_ = multiply_low_half(word2, philox_multiplier1);
    const V first = high_half(product_) ^ (V{} + word1) ^ keys.first[0];
    next_product_ = multiply_low_half(first, philox_multiplier0);
    third_ = word3 ^ keys.second[0];
    next_third_ = high_half(next_product_) ^ keys.second[1];
    product_ ^= keys.first[1];
  }

  /// The words after two rounds, where word 0 is `word0` (32 bits) and word 3 has the bits `shared` too; their high
  /// halves hold anything.
  SCOREMATCH_INLINE detail::PhiloxWords<V> operator()(std::uint64_t word0, std::uint64_t shared) const {
    const std::uint64_t product = word0 * philox_multiplier0;
    const V next = multiply_low_half(third_ ^ (V{} + (product >> 32 ^ shared)), philox_multiplier1);
    return {{high_half(next) ^ product_, next, next_third_ ^ (V{} + product), next_product_}};
  }

 private:
  V product_{}, next_product_{};  ///< of word 2 in the first round, of word 0 in the second
  V third_{}, next_third_{};      ///< word 2 after the first round and after the second, but for word 0's part
};

}  // namespace detail

namespace detail {

/// The ten rounds of Philox 4×32, of one counter or of one in every lane. The high halves of the counter's words are
/// ignored, those of the result are zero; `key` is the first key word in the low 32 bits, the second in the high ones.
template <class V>
SCOREMATCH_INLINE PhiloxWords<V> philox4x32(PhiloxWords<V> counter, std::uint64_t key) {
  PhiloxWords<V> words[] = {counter};
  detail::philox_rounds<0>(words, detail::RoundKeys<V>(key));
  const auto& w = words[0].word;
  return {{w[0] & detail::low_half, w[1] & detail::low_half, w[2] & detail::low_half, w[3] & detail::low_half}};
}

/// Philox 4×32-10 of one counter, as the paper writes it.
inline std::array<std::uint32_t, 4> philox4x32(const std::array<std::uint32_t, 4>& counter,
                                               const std::array<std::uint32_t, 2>& key) {
  const PhiloxWords<std::uint64_t> words{{counter[0], counter[1], counter[2], counter[3]}};
  const auto [w] = philox4x32(words, key[0] | std::uint64_t{key[1]} << 32);
  return {static_cast<std::uint32_t>(w[0]), static_cast<std::uint32_t>(w[1]), static_cast<std::uint32_t>(w[2]),
          static_cast<std::uint32_t>(w[3])};
}

}  // namespace detail

}  // namespace scorematch
