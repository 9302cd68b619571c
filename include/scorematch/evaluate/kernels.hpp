// The chain rule over one block of samples: the inner loops of forward and reverse sweeps.
//
// A value of n elements over B samples is n columns; a column holds its derivative rows one after another, each of B
// samples:  value | direction 0 | … | direction C−1 | second.
// The last is Σ_c ∂²/∂v_c² over the first `curved` directions. A value constant in x has the first row alone, an affine
// one no second row: rows that are zero are not stored. With r̄ = ∂loss/∂r,
//
//   product  r = a b:   r_c = a b_c + a_c b     r_L = a b_L + a_L b + 2 Σ_c a_c b_c
//   function r = φ(a):  r_c = φ' a_c             r_L = φ' a_L + φ'' Σ_c a_c²
#pragma once

#include <algorithm>
#include <limits>

#include "scorematch/formula/record.hpp"
#include "scorematch/types.hpp"

namespace scorematch::evaluate {

using elementary::at_rest;
using elementary::Slopes;

/// Which derivatives a sweep carries: `curved` directions enter the second-derivative row, `straight` ones do not.
struct Jets {
  int curved = 0, straight = 0;

  int directions() const { return curved + straight; }
  bool second() const { return curved > 0; }

  int rows(formula::InX in_x) const {
    if (in_x == formula::InX::constant) return 1;
    return 1 + directions() + (in_x == formula::InX::curved && second() ? 1 : 0);
  }

  bool operator==(const Jets&) const = default;
};

/// The rows that a sweep writes: directions first … last − 1, the value and the second row if asked. The others stay
/// as an earlier sweep over the same points left them.
struct Written {
  int first = 0, last = 0;
  bool value = true, second = true;

  static Written all(Jets jets) { return {0, jets.directions()}; }
};

/// The kernels of one block, for V = Lanes<T>.
template <class V>
struct Kernels {
  using T = simd::Scalar<V>;
  static constexpr Index width = simd::width<V>;

  Index samples = 1;  ///< B, a multiple of the lane count
  Jets jets;
  Written written = {};

  bool moves(int rows) const { return rows > 1; }
  bool curves(int rows) const { return jets.second() && rows == jets.directions() + 2; }

  /// Calls body(first, count) for each run of numbers to be written in a column of so many rows.
  template <class Body>
  SCOREMATCH_INLINE void for_each_run(int rows, Body body) const {
    const int first = written.value ? 0 : 1 + written.first, directions_end = 1 + jets.directions();
    int end = std::min(rows, 1 + written.last);
    const bool second = written.second && rows > directions_end;
    const bool together = second && end == directions_end;
    if (together) end = rows;
    if (first < end) body(first * samples, (end - first) * samples);
    if (second && !together) body(directions_end * samples, samples);
  }

  SCOREMATCH_INLINE static void put(T* to, V term, bool fresh) {
    simd::store<V>(to, fresh ? term : simd::load<V>(to) + term);
  }

  // --- linear ---

  /// out = α in, or out += α in, in a column of so many rows.
  void add_column(T* out, const T* in, T alpha, int rows, bool fresh) const {
    for_each_run(rows, [&](Index i, Index count) { add_scaled(out + i, in + i, alpha, count, fresh); });
  }

  /// The same over `count` numbers.
  static void add_scaled(T* out, const T* in, T alpha, Index count, bool fresh) {
    if (fresh)
      for (Index i = 0; i < count; i += width) simd::store<V>(out + i, alpha * simd::load<V>(in + i));
    else
      for (Index i = 0; i < count; i += width)
        simd::store<V>(out + i, simd::load<V>(out + i) + alpha * simd::load<V>(in + i));
  }

  /// out = α a + β b, column by column; a and b may have fewer rows than out.
  void combine(T* out, const T* a, T alpha, int rows_a, const T* b, T beta, int rows_b) const {
    for_each_run(std::max(rows_a, rows_b), [&](Index i, Index count) {
      const Index end = i + count, both = std::min(end, samples * std::min(rows_a, rows_b));
      for (; i < both; i += width) simd::store<V>(out + i, alpha * simd::load<V>(a + i) + beta * simd::load<V>(b + i));
      if (i < end) add_scaled(out + i, rows_a > rows_b ? a + i : b + i, rows_a > rows_b ? alpha : beta, end - i, true);
    });
  }

  void add_number(T* values, T number) const {
    if (!written.value) return;
    for (Index i = 0; i < samples; i += width) simd::store<V>(values + i, simd::load<V>(values + i) + number);
  }

  /// Zeros in a column of so many rows.
  void clear(T* out, int rows) const {
    for_each_run(rows, [&](Index i, Index count) { fill(out + i, 0, count); });
  }

  static void fill(T* out, T number, Index count) {
    for (Index i = 0; i < count; i += width) simd::store<V>(out + i, simd::broadcast<V>(number));
  }

  static double sum(const T* a, Index count) {
    V total = V{};
    for (Index i = 0; i < count; i += width) total += simd::load<V>(a + i);
    return simd::sum_of_lanes(total);
  }

  static double dot(const T* a, const T* b, Index count) {
    V total = V{};
    for (Index i = 0; i < count; i += width) total += simd::load<V>(a + i) * simd::load<V>(b + i);
    return simd::sum_of_lanes(total);
  }

  // --- products ---

  /// out = a b over one row.
  void times(T* out, const T* a, const T* b) const {
    for (Index i = 0; i < samples; i += width) simd::store<V>(out + i, simd::load<V>(a + i) * simd::load<V>(b + i));
  }

  void product(T* out, int rows_out, const T* a, int rows_a, const T* b, int rows_b, bool fresh) const {
    const Index second = (1 + jets.directions()) * samples;
    for (Index i = 0; i < samples; i += width) {
      const V av = simd::load<V>(a + i), bv = simd::load<V>(b + i);
      if (written.value) put(out + i, av * bv, fresh);
      if (!moves(rows_out)) continue;
      V cross = V{};
      for (int c = written.first; c < written.last; ++c) {
        const Index k = (1 + c) * samples + i;
        V term = V{};
        if (moves(rows_b)) term = av * simd::load<V>(b + k);
        if (moves(rows_a)) {
          const V ac = simd::load<V>(a + k);
          term += bv * ac;
          if (c < jets.curved && moves(rows_b)) cross += ac * simd::load<V>(b + k);
        }
        put(out + k, term, fresh);
      }
      if (!written.second || !curves(rows_out)) continue;
      V last = cross + cross;
      if (curves(rows_b)) last += av * simd::load<V>(b + second + i);
      if (curves(rows_a)) last += bv * simd::load<V>(a + second + i);
      put(out + second + i, last, fresh);
    }
  }

  /// ā of r = a b; call it again with a and b exchanged for b̄. With `twice` it is that of r = a², b being a.
  /// (Not inlined: inside its caller g++ 12 makes the loop slower, a mixture's score by a fifth.)
  template <bool twice = false>
  [[gnu::noinline]] void product_adjoint(T* a_bar, int rows_a, bool fresh, const T* b, int rows_b, const T* r_bar,
                                         int rows_r) const {
    const Index second = (1 + jets.directions()) * samples;
    for (Index i = 0; i < samples; i += width) {
      const auto of_b = [&](Index k) {
        const V number = simd::load<V>(b + k);
        return twice ? number + number : number;
      };
      const V bv = of_b(i);
      V value = bv * simd::load<V>(r_bar + i);
      const V last = curves(rows_r) ? simd::load<V>(r_bar + second + i) : V{};
      if (moves(rows_r)) {
        for (int c = 0; c < jets.directions(); ++c) {
          const Index k = (1 + c) * samples + i;
          const V rc = simd::load<V>(r_bar + k);
          V term = bv * rc;
          if (moves(rows_b)) {
            const V bc = of_b(k);
            value += bc * rc;
            if (c < jets.curved) term += (bc + bc) * last;
          }
          if (moves(rows_a) && c < written.last) put(a_bar + k, term, fresh);
        }
        if (curves(rows_b)) value += of_b(second + i) * last;
        if (curves(rows_a) && written.second) put(a_bar + second + i, bv * last, fresh);
      }
      put(a_bar + i, value, fresh);
    }
  }

  // --- functions ---

  /// r from a, φ' and φ'' (which the caller computed with r's value row).
  void function(T* r, int rows_r, const T* a, int rows_a, const T* first, const T* second_slope) const {
    if (!moves(rows_r)) return;
    const Index second = (1 + jets.directions()) * samples;
    for (Index i = 0; i < samples; i += width) {
      const V d1 = simd::load<V>(first + i);
      V squares = V{};
      for (int c = written.first; c < written.last; ++c) {
        const Index k = (1 + c) * samples + i;
        const V ac = simd::load<V>(a + k);
        if (c < jets.curved) squares += ac * ac;
        simd::store<V>(r + k, d1 * ac);
      }
      if (!written.second || !curves(rows_r)) continue;
      V last = simd::load<V>(second_slope + i) * squares;
      if (curves(rows_a)) last += d1 * simd::load<V>(a + second + i);
      simd::store<V>(r + second + i, last);
    }
  }

  /// ā of r = φ(a) that has more than its value row; Loops::add_first_slopes is for those that have not.
  void function_adjoint(T* a_bar, int rows_a, bool fresh, const T* a, const T* r_bar, int rows_r, const T* first,
                        const T* second_slope, const T* third) const {
    const Index second = (1 + jets.directions()) * samples;
    for (Index i = 0; i < samples; i += width) {
      const V d1 = simd::load<V>(first + i), d2 = simd::load<V>(second_slope + i);
      const V last = curves(rows_r) ? simd::load<V>(r_bar + second + i) : V{};
      const V bend = (d2 + d2) * last;
      V products = V{}, squares = V{};
      for (int c = 0; c < jets.directions(); ++c) {
        const Index k = (1 + c) * samples + i;
        const V ac = simd::load<V>(a + k), rc = simd::load<V>(r_bar + k);
        products += ac * rc;
        V term = d1 * rc;
        if (c < jets.curved) {
          squares += ac * ac;
          term += bend * ac;
        }
        if (c < written.last) put(a_bar + k, term, fresh);
      }
      V value = d1 * simd::load<V>(r_bar + i) + d2 * products;
      if (curves(rows_r)) value += simd::load<V>(third + i) * squares * last;
      if (curves(rows_a)) {
        value += d2 * simd::load<V>(a + second + i) * last;
        if (written.second) put(a_bar + second + i, d1 * last, fresh);
      }
      put(a_bar + i, value, fresh);
    }
  }

  /// The slopes of an argument a that moves in no direction up to `last` where it is 0.
  void rest(T* slopes, const T* a, int last, const T* r) const {
    for (Index i = 0; i < samples; i += width) {
      V moves_by = V{};
      for (int c = 0; c < last; ++c) moves_by += simd::abs(simd::load<V>(a + (1 + c) * samples + i));
      const Slopes<V> plain = {simd::load<V>(slopes + i), simd::load<V>(slopes + samples + i),
                               simd::load<V>(slopes + 2 * samples + i)};
      const Slopes<V> flat = at_rest(plain, simd::load<V>(a + i), simd::load<V>(r + i));
      const auto rests = moves_by == 0;
      simd::store<V>(slopes + i, simd::select(rests, flat.first, plain.first));
      simd::store<V>(slopes + samples + i, simd::select(rests, flat.second, plain.second));
      simd::store<V>(slopes + 2 * samples + i, simd::select(rests, flat.third, plain.third));
    }
  }

  // --- comparison and choice ---

  void less(T* out, const T* a, const T* b, bool or_equal) const {
    const V one = simd::broadcast<V>(1), zero = V{};
    for (Index i = 0; i < samples; i += width) {
      const V av = simd::load<V>(a + i), bv = simd::load<V>(b + i);
      simd::store<V>(out + i, or_equal ? simd::select(av <= bv, one, zero) : simd::select(av < bv, one, zero));
    }
  }

  void select(T* out, int rows_out, const T* condition, const T* a, int rows_a, const T* b, int rows_b) const {
    for_each_run(rows_out, [&](Index first, Index count) {
      for (Index k = first; k < first + count; k += samples)
        for (Index i = 0; i < samples; i += width) {
          const V av = k < rows_a * samples ? simd::load<V>(a + k + i) : V{};
          const V bv = k < rows_b * samples ? simd::load<V>(b + k + i) : V{};
          simd::store<V>(out + k + i, simd::select(simd::load<V>(condition + i) != 0, av, bv));
        }
    });
  }

  /// ā of r = where(condition, a, b), or b̄ with `chosen` false.
  void select_adjoint(T* a_bar, int rows_a, bool fresh, const T* condition, bool chosen, const T* r_bar) const {
    for_each_run(rows_a, [&](Index first, Index count) {
      for (Index k = first; k < first + count; k += samples)
        for (Index i = 0; i < samples; i += width) {
          const V r = simd::load<V>(r_bar + k + i);
          const auto holds = simd::load<V>(condition + i) != 0;
          put(a_bar + k + i, chosen ? simd::select(holds, r, V{}) : simd::select(holds, V{}, r), fresh);
        }
    });
  }

  // --- what is taken: rows of 1 for the samples that need an element, and 0 for those that took another branch ---

  /// Adds those who need r, `of_r` (null: all do), to those who need a: with a condition, as far as it is `chosen`.
  void take(T* of_a, const T* of_r, const T* condition = nullptr, bool chosen = true) const {
    const V one = simd::broadcast<V>(1), zero = V{};
    for (Index i = 0; i < samples; i += width) {
      V needed = of_r == nullptr ? one : simd::load<V>(of_r + i);
      if (condition != nullptr) {
        const auto holds = simd::load<V>(condition + i) != 0;
        needed = chosen ? simd::select(holds, needed, zero) : simd::select(holds, zero, needed);
      }
      simd::store<V>(of_a + i, simd::select(needed != 0, one, simd::load<V>(of_a + i)));
    }
  }

  /// out = in over so many rows, 0 for the samples that do not take it.
  void keep_taken(T* out, const T* in, int rows, const T* taken) const {
    for (int row = 0; row < rows; ++row)
      for (Index i = 0; i < samples; i += width)
        simd::store<V>(out + row * samples + i,
                       simd::select(simd::load<V>(taken + i) != 0, simd::load<V>(in + row * samples + i), V{}));
  }

  /// out = α in, or out += α in, in a column of so many rows, for the samples that take it.
  void add_taken(T* out, const T* in, T alpha, int rows, bool fresh, const T* taken) const {
    for_each_run(rows, [&](Index first, Index count) {
      for (Index k = first; k < first + count; k += samples)
        for (Index i = 0; i < samples; i += width)
          put(out + k + i, simd::select(simd::load<V>(taken + i) != 0, alpha * simd::load<V>(in + k + i), V{}), fresh);
    });
  }

  /// out = a b, or out += a b, over one row.
  void add_times(T* out, const T* a, const T* b, bool fresh) const {
    for (Index i = 0; i < samples; i += width) put(out + i, simd::load<V>(a + i) * simd::load<V>(b + i), fresh);
  }

  // --- log-sum-exp over n columns, w_j = exp(a_j − r):
  //   r_c = Σ_j w_j a_jc     r_L = Σ_j w_j (a_jL + Σ_c (a_jc − r_c)²)
  // (Σ_j w_j a_jc² − r_c² would cancel where one term outweighs the others.) ---

  /// What a log-sum-exp computes of its first terms is kept for their second use; of further terms it is computed
  /// again.
  static constexpr Index most_kept = 32;

  void log_sum_exp(T* r, int rows_r, const T* a, Index stride, int rows_a, Index n) const {
    const Index second = (1 + jets.directions()) * samples;
    const bool second_too = written.second && curves(rows_r);
    for (Index i = 0; i < samples; i += width) {
      V largest = simd::load<V>(a + i);
      for (Index j = 1; j < n; ++j) {
        const V v = simd::load<V>(a + j * stride + i);
        largest = simd::select(v > largest, v, largest);
      }
      // Where every term is −∞, or one is +∞, the result is that infinity.
      const V shift =
          simd::select(simd::abs(largest) < simd::broadcast<V>(std::numeric_limits<T>::infinity()), largest, V{});
      V total = V{}, kept[most_kept];
      for (Index j = 0; j < n; ++j) {
        const V power = simd::exp(simd::load<V>(a + j * stride + i) - shift);
        if (j < most_kept) kept[j] = power;
        total += power;
      }
      const V value = shift + simd::log(total), scale = simd::broadcast<V>(T(1)) / total;
      simd::store<V>(r + i, value);
      if (!moves(rows_r)) continue;
      const auto weight = [&](Index j) {
        return j < most_kept ? kept[j] * scale : simd::exp(simd::load<V>(a + j * stride + i) - value);
      };
      for (int c = written.first; c < written.last; ++c) simd::store<V>(r + (1 + c) * samples + i, V{});
      for (Index j = 0; j < n; ++j) {
        const V w = weight(j);
        for (int c = written.first; c < written.last; ++c) {
          const Index k = (1 + c) * samples + i;
          put(r + k, w * simd::load<V>(a + j * stride + k), false);
        }
      }
      if (!second_too) continue;
      V last = V{};
      for (Index j = 0; j < n; ++j) {
        const T* column = a + j * stride + i;
        V squares = curves(rows_a) ? simd::load<V>(column + second) : V{};
        for (int c = 0; c < jets.curved; ++c) {
          const Index k = (1 + c) * samples;
          const V apart = simd::load<V>(column + k) - simd::load<V>(r + k + i);
          squares += apart * apart;
        }
        last += weight(j) * squares;
      }
      simd::store<V>(r + second + i, last);
    }
  }

  void log_sum_exp_adjoint(T* a_bar, Index bar_stride, int rows_a, bool fresh, const T* a, Index stride, const T* r,
                           const T* r_bar, int rows_r, Index n) const {
    const Index second = (1 + jets.directions()) * samples;
    for (Index i = 0; i < samples; i += width) {
      const V value = simd::load<V>(r + i), value_bar = simd::load<V>(r_bar + i);
      const V last = curves(rows_r) ? simd::load<V>(r_bar + second + i) : V{};
      const auto apart = [&](const T* column, int c) {
        const Index k = (1 + c) * samples;
        return simd::load<V>(column + k) - simd::load<V>(r + k + i);
      };
      const auto pull = [&](const T* column) {  // ∂/∂w_j, up to what all j share
        V g = V{};
        for (int c = 0; c < jets.directions(); ++c) {
          const V from_mean = apart(column, c);
          g += simd::load<V>(r_bar + (1 + c) * samples + i) * from_mean;
          if (c < jets.curved) g += last * from_mean * from_mean;
        }
        if (curves(rows_a)) g += last * simd::load<V>(column + second);
        return g;
      };
      V mean = V{}, weights[most_kept], pulls[most_kept];
      if (moves(rows_r))
        for (Index j = 0; j < n; ++j) {
          const T* column = a + j * stride + i;
          const V weight = simd::exp(simd::load<V>(column) - value), pulled = pull(column);
          if (j < most_kept) {
            weights[j] = weight;
            pulls[j] = pulled;
          }
          mean += weight * pulled;
        }
      for (Index j = 0; j < n; ++j) {
        const T* column = a + j * stride + i;
        T* bar = a_bar + j * bar_stride + i;
        const bool kept = moves(rows_r) && j < most_kept;
        const V weight = kept ? weights[j] : simd::exp(simd::load<V>(column) - value);
        if (!moves(rows_r)) {
          put(bar, weight * value_bar, fresh);
          continue;
        }
        put(bar, weight * (value_bar + (kept ? pulls[j] : pull(column)) - mean), fresh);
        for (int c = 0; c < written.last; ++c) {
          V term = simd::load<V>(r_bar + (1 + c) * samples + i);
          if (c < jets.curved) term += (last + last) * apart(column, c);
          put(bar + (1 + c) * samples, weight * term, fresh);
        }
        if (curves(rows_a) && written.second) put(bar + second, weight * last, fresh);
      }
    }
  }
};

}  // namespace scorematch::evaluate
