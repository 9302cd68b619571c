// Pairwise interactions up to the fourth order: the richest of the small families that are linear in θ.
#pragma once

#include "scorematch/energy/parts.hpp"

namespace scorematch {

/// f = Σ_i (a_i x_i + b_i x_i² + c_i x_i⁴) + Σ_{i>j} (J_ij x_i x_j + K_ij x_i² x_j²)
///
///   "linear"        a, the coefficients of x_i, d numbers
///   "quadratic"     b, of x_i², d numbers; they start at ½: N(0, I)
///   "quartic"       c, of x_i⁴, d numbers
///   "pair"          J, of x_i x_j, d(d − 1)/2 numbers; pair_place(d, i, j) says where
///   "pair_quartic"  K, of x_i² x_j², in the same order
///
/// f is linear in θ, so that score matching has a closed form (closed_form). log Z is not known; Z is finite where the
/// quartic form Σ c_i x_i⁴ + Σ K_ij x_i² x_j² is above 0 for every x ≠ 0, but nothing makes a fit stay there.
template <ready::FormulaVector X, class Theta>
SCOREMATCH_INLINE auto pairwise_quartic(const X& x, const Theta& theta) {
  const int d = static_cast<int>(x.size()), pairs = d * (d - 1) / 2;
  const auto squares = square(x);
  const auto alone = dot(theta("linear", d), x) + dot(theta("quadratic", d, start_at(0.5)), squares) +
                     dot(theta("quartic", d), square(squares));
  if (d == 1) return alone;
  const auto products = stack(d - 1, [&](int j) { return x[j] * tail(x, d - 1 - j); });
  return alone + dot(theta("pair", pairs), products) + dot(theta("pair_quartic", pairs), square(products));
}

/// The same as a model.
template <class = void>
EnergyModel pairwise_quartic(Index dimension) {
  return energy_model(dimension, [](const auto& x, const auto& theta) { return pairwise_quartic(x, theta); });
}

namespace detail {

/// Where the pair of coordinates i ≠ j is in "pair" and "pair_quartic": (1, 0), (2, 0), …, (d − 1, 0), (2, 1), …
/// Throws std::invalid_argument unless 0 ≤ i, j < d and i ≠ j.
inline Index pair_place(Index dimension, Index i, Index j) {
  extend::require(std::min(i, j) >= 0 && std::max(i, j) < dimension && i != j,
                  {"pair_place: i is ", i, " and j is ", j, "; they must differ and be from 0 to ", dimension - 1});
  return ready::place_below(dimension, std::max(i, j), std::min(i, j));
}

}  // namespace detail

}  // namespace scorematch
