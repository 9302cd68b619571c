// Random numbers in bulk: a matrix of them, a row an id (a sample or a chain), a column a component.
//
// The number at (seed, purpose, id, step, component) has the same bits in whichever row the id is, for any number of
// rows and columns, on any thread: ids run along SIMD lanes, incomplete registers are filled up and their
// surplus is thrown away, so that no number is ever computed by another text.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "scorematch/check.hpp"
#include "scorematch/random/philox.hpp"
#include "scorematch/random/stream.hpp"
#include "scorematch/simd/functions.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

namespace extend {

/// The ids of the rows: a list of them, or all from a first one on.
class Ids {
 public:
  /// Row i has id list[i]. The list is not copied.
  Ids(const std::int64_t* list) : list_(list) {}
  /// Row i has id first + i.
  static Ids from(std::int64_t first) {
    Ids ids(nullptr);
    ids.first_ = first;
    return ids;
  }

  /// Throws unless the ids of the first `count` rows are from 0 to 2⁴⁰ − 1.
  void check(Index count) const {
    if (list_) {
      std::uint64_t seen = 0;
      for (Index i = 0; i < count; ++i) seen |= static_cast<std::uint64_t>(list_[i]);
      if (seen >= detail::field_end)
        for (Index i = 0; i < count; ++i) detail::require_id(list_[i]);
    } else if (count > 0) {
      detail::require_id(first_);
      detail::require_id(first_ + (count - 1));
    }
  }

  /// Of `count` rows the ids of those from `row` on, one a lane; lanes without a row hold anything.
  SCOREMATCH_INLINE detail::BitLanes<double> lanes(Index row, Index count) const {
    using Lanes = detail::BitLanes<double>;
    constexpr Index width = simd::width<simd::Lanes<double>>;
    Lanes ids{};
    if (!list_) {
      for (int i = 0; i < width; ++i) ids[i] = static_cast<std::uint64_t>(i);
      ids += static_cast<std::uint64_t>(first_ + row);
    } else if (count - row >= width) {
      std::memcpy(&ids, list_ + row, sizeof ids);
    } else if (count > row) {
      std::memcpy(&ids, list_ + row, static_cast<std::size_t>(count - row) * sizeof *list_);
    }
    return ids;
  }

 private:
  const std::int64_t* list_;
  std::int64_t first_ = 0;
};

}  // namespace extend

namespace detail {

/// The 128 random bits of a Philox call in words as wide as T, an id a lane.
template <class T>
struct RandomBits {
  static constexpr int words = 16 / static_cast<int>(sizeof(T));
  BitLanes<T> word[words];
};

/// The ids of one register of T: in float those of the even lanes and those of the odd ones.
template <class T>
struct LaneIds {
  BitLanes<double> of[sizeof(double) / sizeof(T)];
};

template <class V, std::size_t... i>
SCOREMATCH_INLINE LaneIds<float> even_and_odd(V a, V b, std::index_sequence<i...>) {
  return {{__builtin_shufflevector(a, b, (2 * i)...), __builtin_shufflevector(a, b, (2 * i + 1)...)}};
}

template <class T>
SCOREMATCH_INLINE LaneIds<T> lane_ids(const extend::Ids& ids, Index row, Index count) {
  constexpr std::size_t width = simd::width<simd::Lanes<double>>;
  if constexpr (std::is_same_v<T, double>)
    return {{ids.lanes(row, count)}};
  else
    return even_and_odd(ids.lanes(row, count), ids.lanes(row + static_cast<Index>(width), count),
                        std::make_index_sequence<width>());
}

/// The low halves of a's and b's 64-bit lanes side by side: as 64-bit words with a's in the lower half, or else a's
/// first in memory.
template <bool as_words, class V, int... i>
SCOREMATCH_INLINE V low_halves(V a, V b, std::integer_sequence<int, i...>) {
  using Bits = BitLanes<float>;
  constexpr int width = static_cast<int>(sizeof...(i));
  constexpr int low = std::endian::native == std::endian::little ? 0 : 1;  // which half of a lane is the low one
  constexpr int of_a = as_words ? low : 0;                                 // which half of the result is a's
  return simd::reinterpret<V>(__builtin_shufflevector(simd::reinterpret<Bits>(a), simd::reinterpret<Bits>(b),
                                                      ((i & ~1) + low + ((i & 1) != of_a ? width : 0))...));
}

/// The random bits of some ids and one step, group after group.
template <class T>
class RowBits {
  using Words = BitLanes<double>;

 public:
  RowBits() = default;
  SCOREMATCH_INLINE RowBits(extend::Purpose purpose, const LaneIds<T>& ids, std::uint64_t step,
                            const RoundKeys<Words>& keys) {
    for (int i = 0; i < parts; ++i) {
      const auto [word] = counter_at(purpose, ids.of[i], step, 0);
      starts_[i] = PhiloxStart<Words>(step & low_half, word[2], word[3], keys);
    }
  }

  /// What the first two of Philox's rounds make of a group, in words[0 … parts − 1].
  SCOREMATCH_INLINE void start(std::uint64_t group, detail::PhiloxWords<Words>* words) const {
#pragma GCC unroll 2
    for (int i = 0; i < parts; ++i) words[i] = starts_[i](group & low_half, group >> 32);
  }

  /// The bits, from what the others make of that.
  SCOREMATCH_INLINE static RandomBits<T> bits(const detail::PhiloxWords<Words>* words) {
    constexpr auto lanes = std::make_integer_sequence<int, simd::width<simd::Lanes<float>>>{};
    const auto& a = words[0].word;
    if constexpr (parts == 1) {
      return {{low_halves<true>(a[0], a[1], lanes), low_halves<true>(a[2], a[3], lanes)}};
    } else {
      const auto& b = words[1].word;
      RandomBits<T> bits;
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) bits.word[i] = simd::reinterpret<BitLanes<T>>(low_halves<false>(a[i], b[i], lanes));
      return bits;
    }
  }

  static constexpr int parts = static_cast<int>(sizeof(double) / sizeof(T));

 private:
  PhiloxStart<Words> starts_[parts];
};

/// Some rows of some columns of the result, at most a register high.
template <class T>
struct Columns {
  T* out;
  Index leading_dimension;
  Index rows;
  Index columns;

  SCOREMATCH_INLINE void put(Index column, simd::Lanes<T> numbers) const {
    if (column >= columns) return;
    T* to = out + column * leading_dimension;
    if (rows == simd::width<simd::Lanes<T>>)
      simd::store(to, numbers);
    else
      for (Index i = 0; i < rows; ++i) to[i] = numbers[i];
  }
};

template <class T>
struct Normals {
  static constexpr Index per_group = RandomBits<T>::words;
  SCOREMATCH_INLINE static void write(const RandomBits<T>& bits, const Columns<T>& to) {
    for (int i = 0; i < per_group; i += 2) {
      if (i >= to.columns) break;  // a pair that nobody wants is not worth its logarithm
      const NormalPair<simd::Lanes<T>> z = box_muller<simd::Lanes<T>>(bits.word[i], bits.word[i + 1]);
      to.put(i, z.first);
      to.put(i + 1, z.second);
    }
  }
};

template <class T>
struct Uniforms {
  static constexpr Index per_group = RandomBits<T>::words;
  SCOREMATCH_INLINE static void write(const RandomBits<T>& bits, const Columns<T>& to) {
    for (int i = 0; i < per_group; ++i) to.put(i, open_uniform<simd::Lanes<T>>(bits.word[i]));
  }
};

template <class T>
struct Signs {
  static constexpr Index per_group = 128;
  SCOREMATCH_INLINE static void write(const RandomBits<T>& bits, const Columns<T>& to) {
    using V = simd::Lanes<T>;
    constexpr int word_bits = 8 * static_cast<int>(sizeof(T));
    const V one = simd::broadcast<V>(1);
    for (int i = 0; i < to.columns; ++i) {  // the bit becomes the sign bit of 1
      const BitLanes<T> sign = bits.word[i / word_bits] >> (i % word_bits) << (word_bits - 1);
      to.put(i, simd::reinterpret<V>(simd::reinterpret<BitLanes<T>>(one) | sign));
    }
  }
};

template <class Numbers, class T>
[[gnu::noinline]] void fill(extend::StreamKey key, extend::Ids ids, Index count, std::uint64_t step, Index components,
                            T* out,
                            Index leading_dimension) {  // one copy of the code: the same rounding wherever it is called
  require_step(step);
  extend::require_at_least(count, 0, "count");
  extend::require_at_least(components, 0, "components");
  extend::require_at_least(leading_dimension, count, "leading_dimension");
  ids.check(count);
  constexpr Index width = simd::width<simd::Lanes<T>>;
  constexpr int parts = RowBits<T>::parts, together = 4 / parts;
  const Index groups = (components + Numbers::per_group - 1) / Numbers::per_group;
  Index row = 0, group = 0, left = (count + width - 1) / width * groups;
  const RoundKeys<BitLanes<double>> keys(key.seed);
  RowBits<T> of_row;
  while (left > 0) {
    detail::PhiloxWords<BitLanes<double>> words[4];
    Index rows[together], firsts[together];
    for (int k = 0; k < together; ++k) {
      rows[k] = row;
      firsts[k] = group * Numbers::per_group;
      if (group == 0) of_row = RowBits<T>(key.purpose, lane_ids<T>(ids, row, count), step, keys);
      of_row.start(static_cast<std::uint64_t>(group), words + k * parts);
      if (k + 1 >= left) continue;  // the last one again: not written below
      if (++group == groups) {
        group = 0;
        row += width;
      }
    }
    philox_rounds<2>(words, keys);
    for (int k = 0; k < std::min<Index>(together, left); ++k)
      Numbers::write(
          RowBits<T>::bits(words + k * parts),
          Columns<T>{out + rows[k] + firsts[k] * leading_dimension, leading_dimension, std::min(width, count - rows[k]),
                     std::min(Numbers::per_group, components - firsts[k])});
    left -= together;
  }
}

}  // namespace detail

namespace extend {

/// Standard normal numbers: out[i + c·leading_dimension] is component c of (key, ids[i], step), for i < count and
/// c < components; `out` is count × components, column-major (a row an id, a column a component), T float or double.
/// Throws unless 0 ≤ ids[i] < 2⁴⁰, step < 2⁴⁰, count ≥ 0, components ≥ 0 and leading_dimension ≥ count.
/// The same bits for a given compiler and its flags.
template <class T>
void fill_normals(StreamKey key, Ids ids, Index count, std::uint64_t step, Index components, T* out,
                  Index leading_dimension) {
  detail::fill<detail::Normals<T>>(key, ids, count, step, components, out, leading_dimension);
}

/// Uniform numbers in the open interval (0, 1), odd multiples of 2⁻⁵³ in double and of 2⁻²⁴ in float, addressed as in
/// fill_normals. The same bits on every compiler.
template <class T>
void fill_uniforms(StreamKey key, Ids ids, Index count, std::uint64_t step, Index components, T* out,
                   Index leading_dimension) {
  detail::fill<detail::Uniforms<T>>(key, ids, count, step, components, out, leading_dimension);
}

/// Signs, −1 or 1 with probability ½ each (Rademacher), addressed as in fill_normals. The same on every compiler, and
/// in float as in double.
template <class T>
void fill_signs(StreamKey key, Ids ids, Index count, std::uint64_t step, Index components, T* out,
                Index leading_dimension) {
  detail::fill<detail::Signs<T>>(key, ids, count, step, components, out, leading_dimension);
}

}  // namespace extend

}  // namespace scorematch
