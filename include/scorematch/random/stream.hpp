// Where every random number of the library lives: the layout of Philox's counter, and streams for drawing one by one.
//
// A number has an address: seed, purpose, id, step, component. The seed is Philox's key; the rest is its counter:
//
//            bits 31 … 24       23 … 16            15 … 8               7 … 0
//   word 0   ├───────────────────── group, bits 31 … 0 ─────────────────────┤
//   word 1   ├───────────────────── step,  bits 31 … 0 ─────────────────────┤
//   word 2   ├───────────────────── id,    bits 31 … 0 ─────────────────────┤
//   word 3   purpose            id, 39 … 32        step, 39 … 32        group, 39 … 32
//
// id names a sample or a chain, step an epoch or a step of the chain, each below 2⁴⁰. One Philox call makes a group of
// components: two numbers in double, four in float, 128 signs.
#pragma once

#include <cstdint>
#include <limits>
#include <numeric>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/random/philox.hpp"
#include "scorematch/simd/functions.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

namespace extend {

/// What random numbers are for. Different purposes share no number, whatever their ids and steps are.
enum class Purpose : std::uint8_t {
  initial_parameters,
  minibatch,
  perturbation,
  projection,
  chain_start,
  chain_noise,
  metropolis,
  user,
  generator_noise,
  partition,
  smoothing,
  contrast,
  noise_level,
  label_dropout,
  known_values,
  direction,
  swap,
  fresh_momentum,
  resampling,
};

/// The seed, any 64 bits, and the purpose of a family of random numbers.
struct StreamKey {
  std::uint64_t seed = 0;           ///< any
  Purpose purpose = Purpose::user;  ///< the use of the numbers
};

}  // namespace extend

namespace detail {

inline constexpr int field_bits = 40;  ///< of id, step and group
inline constexpr std::uint64_t field_end = std::uint64_t{1} << field_bits;

/// Throws unless 0 ≤ id < 2⁴⁰.
inline void require_id(std::int64_t id) {
  extend::require(static_cast<std::uint64_t>(id) < field_end, {"id is ", id, "; it must be from 0 to 2^40 - 1"});
}

/// Throws unless step < 2⁴⁰.
inline void require_step(std::uint64_t step) {
  extend::require(step < field_end, {"step is ", step, "; it must be from 0 to 2^40 - 1"});
}

/// The counter at an address, laid out as this file's head says: of one id or of one in every lane.
template <class V>
SCOREMATCH_INLINE detail::PhiloxWords<V> counter_at(extend::Purpose purpose, V id, std::uint64_t step,
                                                    std::uint64_t group) {
  const std::uint64_t shared = static_cast<std::uint64_t>(purpose) << 24 | step >> 32 << 8 | group >> 32;
  return {{V{} + (group & low_half), V{} + (step & low_half), id, (id >> 32 << 16) | shared}};
}

/// scale · (k + ½)/2ᵐ, k the first m bits; m is 52 in double, 23 in float, scale 1 or 2. Symmetric about ½ scale,
/// exact, and never 0 or scale.
template <class V, int scale = 1, class Bits>
SCOREMATCH_INLINE V open_uniform(Bits bits) {
  SCOREMATCH_KEEP_ORDER;
  using T = simd::Scalar<V>;
  using Word = std::conditional_t<std::is_same_v<T, double>, std::uint64_t, std::uint32_t>;
  constexpr int mantissa_bits = std::numeric_limits<T>::digits - 1;
  constexpr Word from = Word{std::numeric_limits<T>::max_exponent - 2 + scale} << mantissa_bits;
  // As the mantissa of a number in [scale, 2 scale), so that nothing need be converted.
  const V from_scale = simd::reinterpret<V>((bits >> (8 * static_cast<int>(sizeof(T)) - mantissa_bits)) | from);
  return simd::as_written(from_scale - scale * (T(1) - std::numeric_limits<T>::epsilon() / 2));
}

template <class V>
struct NormalPair {
  V first;
  V second;
};

/// Two independent standard normal numbers, √(−2 log u) (cos 2πv, sin 2πv), of uniform u and v
/// (G. E. P. Box, M. E. Muller, "A note on the generation of random normal deviates", Ann. Math. Statist. 29, 1958).
/// |z| reaches 8.57 in double and 6.66 in float.
template <class V, class Bits>
SCOREMATCH_INLINE NormalPair<V> box_muller(Bits radius, Bits angle) {
  using T = simd::Scalar<V>;
  V twice;  // 2u
  if constexpr (std::is_same_v<T, double>) {
    twice = open_uniform<V, 2>(radius);
  } else {  // 31 bits: with open_uniform's 23 the tails would end at 5.77, which a run of 10⁸ numbers passes
    twice = (__builtin_convertvector(simd::reinterpret<simd::Integer<V>>(radius >> 1), V) + T(0.5)) * T(0x1p-30);
    const V largest = simd::broadcast<V>(2 - std::numeric_limits<T>::epsilon());  // the sum may have been rounded to 2
    twice = simd::detail::minimum(largest, twice);
  }
  const V length = simd::sqrt(simd::minus_two_log_of_half(twice));
  const simd::SineCosine<V> direction = simd::sine_cosine_between_quarters(open_uniform<V>(angle));
  return {length * direction.cosine, length * direction.sine};
}

}  // namespace detail

/// Random numbers one after another, for code that draws a start point, an order or initial parameters: the components
/// of the address (key, id, step), from the first on. Two streams with the same address give the same numbers; with
/// different addresses they share none. A UniformRandomBitGenerator, so that the distributions of `<random>` take it.
///
///   Stream stream({.seed = 7}, chain);
///   const Eigen::VectorXd start = stream.normals(2);
///
/// The bits, and with them `uniform` and `below`, are the same on every compiler; normal numbers for a given
/// compiler and its flags. For many ids at once random/normal.hpp is some ten times faster.
class Stream {
 public:
  using result_type = std::uint64_t;  ///< of a UniformRandomBitGenerator

  /// Throws unless 0 ≤ id < 2⁴⁰ and step < 2⁴⁰.
  explicit Stream(extend::StreamKey key, std::int64_t id = 0, std::uint64_t step = 0)
      : key_(key), id_(id), step_(step) {
    detail::require_id(id);
    detail::require_step(step);
  }

  /// The members of a UniformRandomBitGenerator.
  ///@{
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }
  result_type operator()() { return bits(); }
  ///@}

  /// 64 random bits. Throws after 2⁴¹ of them.
  std::uint64_t bits() {
    if (std::exchange(half_left_, !half_left_)) return second_half_;
    extend::require(group_ < detail::field_end, {"a Stream is exhausted after 2^41 numbers; take another id or step"});
    const auto [w] = detail::philox4x32(
        detail::counter_at(key_.purpose, static_cast<std::uint64_t>(id_), step_, group_++), key_.seed);
    second_half_ = w[2] | w[3] << 32;
    return w[0] | w[1] << 32;
  }

  /// Uniform in the open interval (0, 1): an odd multiple of 2⁻⁵³.
  double uniform() { return detail::open_uniform<double>(bits()); }

  /// Standard normal.
  [[gnu::noinline]] double normal() {  // one copy of the code: the same rounding wherever it is called
    if (std::exchange(normal_left_, !normal_left_)) return second_normal_;
    const std::uint64_t radius = bits();
    const detail::NormalPair<double> pair = detail::box_muller<double>(radius, bits());
    second_normal_ = pair.second;
    return pair.first;
  }

  /// d independent standard normal numbers. Throws unless d ≥ 0.
  Eigen::VectorXd normals(Index d) {
    extend::require_at_least(d, 0, "d");
    Eigen::VectorXd z(d);
    for (Index i = 0; i < d; ++i) z[i] = normal();
    return z;
  }

  /// Uniform among 0, 1, …, n − 1, without bias. Throws unless n ≥ 1.
  Index below(Index n) {
    extend::require_at_least(n, 1, "n");
    const std::uint64_t choices = static_cast<std::uint64_t>(n);
    std::uint64_t number, remainder;
    do {  // again where the number lies in the last, incomplete run of n
      number = bits();
      remainder = number % choices;
    } while (number - remainder > max() - (choices - 1));
    return static_cast<Index>(remainder);
  }

 private:
  extend::StreamKey key_;
  std::int64_t id_;
  std::uint64_t step_;
  std::uint64_t group_ = 0;
  std::uint64_t second_half_ = 0;
  double second_normal_ = 0;
  bool half_left_ = false;
  bool normal_left_ = false;
};

namespace detail {

/// The 64-bit FNV-1a hash of a name (G. Fowler, L. C. Noll, K.-P. Vo; RFC 9923).
constexpr std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return hash;
}

/// The stream that belongs to a name, a parameter's say: all 64 bits of its hash are in the address.
inline Stream named_stream(extend::StreamKey key, std::string_view name) {
  const std::uint64_t hash = hash_name(name);
  return Stream(key, static_cast<std::int64_t>(hash >> 24), hash & 0xFFFFFF);
}

/// The order in which an epoch visits n samples: a random permutation of 0, 1, …, n − 1, the same for the same seed,
/// epoch and n (Fisher and Yates's shuffle). Throws unless n ≥ 0 and epoch < 2⁴⁰.
inline std::vector<Index> permutation(std::uint64_t seed, std::uint64_t epoch, Index n) {
  extend::require_at_least(n, 0, "n");
  Stream stream({seed, extend::Purpose::minibatch}, 0, epoch);
  std::vector<Index> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), Index{0});
  for (Index last = n - 1; last > 0; --last)
    std::swap(order[static_cast<std::size_t>(last)], order[static_cast<std::size_t>(stream.below(last + 1))]);
  return order;
}

}  // namespace detail

}  // namespace scorematch
