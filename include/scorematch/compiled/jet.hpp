// A value of a formula in registers: lanes of samples, with the derivatives that are asked for.
//
// Row r of group q:  r = 0 the value, r = 1 … D its derivatives along the axes of x, r = D + 1 its Laplacian;
//                    q = 0 these rows themselves, q = 1 … P their derivatives with respect to θ_{q−1}.
// `live` names the rows that are not zero. It is an ordinary number, but everything here is inlined, so that the
// compiler knows it, and neither stores nor multiplies by what is zero.
#pragma once

#include <cstdint>
#include <utility>

#include "scorematch/formula/elementary.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch::compiled {

// The functions that compute are in a namespace of their own: argument-dependent look-up finds in this one, where
// values live, the operators and the language alone, so that a formula's call of its user's own product(a, b) never
// finds ours.
namespace engine {

/// Calls f with the constants 0 … n − 1.
template <int n, class F>
SCOREMATCH_INLINE void each(F f) {
  [&]<int... i>(std::integer_sequence<int, i...>) SCOREMATCH_INLINE_LAMBDA {
    (f(std::integral_constant<int, i>{}), ...);
  }
  (std::make_integer_sequence<int, n>{});
}

}  // namespace engine
using namespace engine;

/// V: lanes; D: dimension of x; P: parameters whose tangents are carried; second: whether there is a Laplacian row.
template <class V_, int D_, int P_, bool second_>
struct Jet {
  using V = V_;
  using T = simd::Scalar<V>;
  static constexpr int D = D_, P = P_, rows = 1 + D_ + (second_ ? 1 : 0), laplacian = D_ + 1;
  static constexpr bool second = second_;
  static_assert((1 + P) * rows <= 64,
                "the compiled path is for dimensions up to 10: use energy_model(dimension, formula)");

  V at[(1 + P) * rows];  ///< what is not live is not written
  std::uint64_t live = 0;

  SCOREMATCH_INLINE bool has(int q, int r) const { return (live >> (q * rows + r) & 1) != 0; }
  SCOREMATCH_INLINE V get(int q, int r) const { return at[q * rows + r]; }
  SCOREMATCH_INLINE void add(int q, int r, V term) {
    at[q * rows + r] = has(q, r) ? at[q * rows + r] + term : term;
    live |= std::uint64_t{1} << (q * rows + r);
  }

  /// The number a, constant in x and θ.
  SCOREMATCH_INLINE static Jet constant(double a) {
    Jet jet;
    jet.add(0, 0, simd::broadcast<V>(static_cast<T>(a)));
    return jet;
  }

  /// x_i
  SCOREMATCH_INLINE static Jet input(V x, int i) {
    Jet jet;
    jet.add(0, 0, x);
    jet.add(0, 1 + i, simd::broadcast<V>(T(1)));
    return jet;
  }
};

namespace engine {

/// alpha a + beta b
template <class J>
SCOREMATCH_INLINE J combined(const J& a, double alpha, const J& b, double beta) {
  using T = typename J::T;
  J r;
  each<(1 + J::P) * J::rows>([&](auto k) SCOREMATCH_INLINE_LAMBDA {
    if (a.has(0, k))
      r.add(0, k, alpha == 1 ? a.get(0, k) : alpha == -1 ? -a.get(0, k) : static_cast<T>(alpha) * a.get(0, k));
    if (b.has(0, k))
      r.add(0, k, beta == 1 ? b.get(0, k) : beta == -1 ? -b.get(0, k) : static_cast<T>(beta) * b.get(0, k));
  });
  return r;
}

// Adds to group q of r what groups qa of a and qb of b make:
//   r_c = a b_c + a_c b,   r_L = a b_L + a_L b + 2 Σ_c a_c b_c
template <class J>
SCOREMATCH_INLINE void add_product(J& r, int q, const J& a, int qa, const J& b, int qb) {
  each<J::rows>([&](auto row) SCOREMATCH_INLINE_LAMBDA {
    if (a.has(qa, 0) && b.has(qb, row)) r.add(q, row, a.get(qa, 0) * b.get(qb, row));
    if (row > 0 && a.has(qa, row) && b.has(qb, 0)) r.add(q, row, a.get(qa, row) * b.get(qb, 0));
  });
  if constexpr (J::second)
    each<J::D>([&](auto c) SCOREMATCH_INLINE_LAMBDA {
      if (!a.has(qa, 1 + c) || !b.has(qb, 1 + c)) return;
      const typename J::V cross = a.get(qa, 1 + c) * b.get(qb, 1 + c);
      r.add(q, J::laplacian, cross + cross);
    });
}

template <class J>
SCOREMATCH_INLINE J product(const J& a, const J& b) {
  J r;
  add_product(r, 0, a, 0, b, 0);
  each<J::P>([&](auto p) SCOREMATCH_INLINE_LAMBDA {
    add_product(r, 1 + p, a, 0, b, 1 + p);
    add_product(r, 1 + p, a, 1 + p, b, 0);
  });
  return r;
}

/// The slopes of r = φ(a) where a, if it depends on x, may not move where it is 0.
template <class J>
SCOREMATCH_INLINE elementary::Slopes<typename J::V> slopes_at_edge(const elementary::Slopes<typename J::V>& slopes,
                                                                   const J& a, typename J::V r) {
  using V = typename J::V;
  V moves_by = V{};
  bool moves = false;
  each<J::D>([&](auto c) SCOREMATCH_INLINE_LAMBDA {
    if (!a.has(0, 1 + c)) return;
    moves_by += simd::abs(a.get(0, 1 + c));
    moves = true;
  });
  if (!moves) return slopes;
  const elementary::Slopes<V> flat = elementary::at_rest(slopes, a.get(0, 0), r);
  const auto rests = moves_by == 0;
  return {simd::select(rests, flat.first, slopes.first), simd::select(rests, flat.second, slopes.second),
          simd::select(rests, flat.third, slopes.third)};
}

/// φ(a):
///   r_c = φ' a_c           ∂r_c = φ'' ∂a a_c + φ' ∂a_c
///   r_L = φ' a_L + φ'' Σ a_c²   ∂r_L = ∂a (φ'' a_L + φ''' Σ a_c²) + φ' ∂a_L + 2 φ'' Σ a_c ∂a_c
template <class Row, class J>
SCOREMATCH_INLINE J apply(const J& a, const elementary::Exponent& exponent = {}) {
  using V = typename J::V;
  J r;
  const V value = Row::value(a.get(0, 0), exponent);
  r.add(0, 0, value);
  if (a.live == 1) return r;
  elementary::Slopes<V> slopes = Row::slopes(a.get(0, 0), value, exponent);
  if constexpr (J::D > 0 && Row::has_edge_at_zero) slopes = slopes_at_edge(slopes, a, value);
  const V first = slopes.first, second = slopes.second, third = slopes.third;
  constexpr bool bends = Row::bends, twists = Row::twists;
  V squares = V{};
  bool moves = false;
  each<J::D>([&](auto c) SCOREMATCH_INLINE_LAMBDA {
    if (!a.has(0, 1 + c)) return;
    r.add(0, 1 + c, first * a.get(0, 1 + c));
    if constexpr (J::second)
      squares = moves ? squares + a.get(0, 1 + c) * a.get(0, 1 + c) : a.get(0, 1 + c) * a.get(0, 1 + c);
    moves = true;
  });
  if constexpr (J::second) {
    if (a.has(0, J::laplacian)) r.add(0, J::laplacian, first * a.get(0, J::laplacian));
    if (moves && bends) r.add(0, J::laplacian, second * squares);
  }
  each<J::P>([&](auto p) SCOREMATCH_INLINE_LAMBDA {
    constexpr int q = 1 + decltype(p)::value;
    if (a.has(q, 0)) {
      r.add(q, 0, first * a.get(q, 0));
      const V bend = second * a.get(q, 0);
      if constexpr (bends)
        each<J::rows - 1>([&](auto row) SCOREMATCH_INLINE_LAMBDA {
          if (a.has(0, 1 + row)) r.add(q, 1 + row, bend * a.get(0, 1 + row));
        });
      if constexpr (J::second && twists)
        if (moves) r.add(q, J::laplacian, third * a.get(q, 0) * squares);
    }
    each<J::rows - 1>([&](auto row) SCOREMATCH_INLINE_LAMBDA {
      if (!a.has(q, 1 + row)) return;
      r.add(q, 1 + row, first * a.get(q, 1 + row));
      if constexpr (J::second && bends)
        if (row < J::D && a.has(0, 1 + row)) {
          const V cross = second * a.get(0, 1 + row) * a.get(q, 1 + row);
          r.add(q, J::laplacian, cross + cross);
        }
    });
  });
  return r;
}

/// a where the mask holds, else b.
template <class Mask, class J>
SCOREMATCH_INLINE J chosen(Mask mask, const J& a, const J& b) {
  J r;
  each<(1 + J::P) * J::rows>([&](auto k) SCOREMATCH_INLINE_LAMBDA {
    const typename J::V zero = {};
    if (a.has(0, k) || b.has(0, k))
      r.add(0, k, simd::select(mask, a.has(0, k) ? a.get(0, k) : zero, b.has(0, k) ? b.get(0, k) : zero));
  });
  return r;
}

}  // namespace engine
}  // namespace scorematch::compiled
