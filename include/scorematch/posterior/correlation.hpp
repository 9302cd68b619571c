// Correlation matrices of D variables, by their canonical partial correlations, and the LKJ law.
//
// Row i of the Cholesky factor L of R = L Lᵀ has the partial correlations z_ij = tanh u_ij of variables i and j < i
// given the variables before j: L_ij = z_ij Π_{k<j} √(1 − z_ik²), L_ii = Π_{k<i} √(1 − z_ik²) (Lewandowski, Kurowicka &
// Joe 2009). The u are any numbers, row by row: u₁₀, u₂₀, u₂₁, …; the elements of L too: L₀₀, L₁₀, L₁₁, L₂₀, …
#pragma once

#include "scorematch/posterior/operands.hpp"

namespace scorematch {

namespace log_density::engine {

/// D of n = D (D + 1)/2 elements of a lower triangle, 0 if there is none.
inline Index triangle_order(Index n) {
  Index order = 0;
  while (order * (order + 1) / 2 < n) ++order;
  return order * (order + 1) / 2 == n ? order : 0;
}

/// Row and column of element t of a lower triangle, row by row.
struct TrianglePlace {
  Index row, column;
};
inline TrianglePlace triangle_place(Index t) {
  Index row = 0;
  while ((row + 1) * (row + 2) / 2 <= t) ++row;
  return {row, t - row * (row + 1) / 2};
}

/// Σ_j log B(b_j, b_j) 2^(2b_j − 1), j = 0 … D − 2, (D − 1 − j) times, with b_j = eta + (D − 2 − j)/2: the integral of
/// (det R)^(eta − 1) over the correlation matrices of order D (Lewandowski, Kurowicka & Joe 2009, equation 16). A value
/// or a number.
template <class E>
SCOREMATCH_INLINE auto log_lkj_constant(const E& eta, Index order) {
  const auto term = [&](Index j) SCOREMATCH_INLINE_LAMBDA {
    const auto b = eta + 0.5 * static_cast<double>(order - 2 - j);
    return static_cast<double>(order - 1 - j) *
           (2.0 * log_gamma_of(b) - log_gamma_of(2.0 * b) + (2.0 * b - 1.0) * 0.6931471805599453);
  };
  auto all = term(0);
  for (Index j = 1; j <= order - 2; ++j) all = all + term(j);
  return all;
}

/// log(1 − tanh² u) = 2 log 2 − log(1 + e^2u) − log(1 + e^−2u), element by element; no digits are lost far out.
template <class U>
SCOREMATCH_INLINE auto log_one_minus_squared_tanh(const U& u) {
  return 1.3862943611198906 - softplus(2.0 * u) - softplus(-2.0 * u);
}

}  // namespace log_density::engine

/// The elements of the Cholesky factor, row by row, D (D + 1)/2, from D (D − 1)/2 free numbers u; D = order ≥ 2.
template <class U>
SCOREMATCH_INLINE auto correlation_cholesky(const U& u, Index order) {
  const Index all = order * (order + 1) / 2, free = order * (order - 1) / 2;
  // Of element (i, j): z_ij, or 1 on the diagonal, times exp(½ Σ_{k<j} log(1 − z_ik²)).
  const auto takes = Eigen::MatrixXd::NullaryExpr(all, free, [](Index t, Index f) {
    const auto [i, j] = log_density::engine::triangle_place(t);
    return j < i && f == i * (i - 1) / 2 + j ? 1.0 : 0.0;
  });
  const auto ones = Eigen::VectorXd::NullaryExpr(all, [](Index t) {
    const auto [i, j] = log_density::engine::triangle_place(t);
    return i == j ? 1.0 : 0.0;
  });
  const auto before = Eigen::MatrixXd::NullaryExpr(all, free, [](Index t, Index f) {
    const auto [i, j] = log_density::engine::triangle_place(t);
    const Index first = i * (i - 1) / 2;
    return f >= first && f < first + j ? 0.5 : 0.0;
  });
  const auto scales = exp(before * log_density::engine::log_one_minus_squared_tanh(u));
  return (takes * tanh(u) + ones) * scales;
}

/// L v for the elements of a lower triangle, row by row, and a vector v of the values.
///   auto effects = lower_times(p["cholesky"], sigma * z);
template <class L, class V>
SCOREMATCH_INLINE auto lower_times(const L& elements, const V& v) {
  return stack(static_cast<int>(v.size()), [&](int i) {
    const Index row = i;
    return dot(elements.segment(row * (row + 1) / 2, row + 1), v.segment(0, row + 1));
  });
}

namespace log_density {

/// (eta − 1) log det R − log ∫ (det R)^(eta − 1) dR, a density of the correlation matrix R's elements below the
/// diagonal; `cholesky` are the elements of R's Cholesky factor, row by row (`correlation_cholesky`, or a `correlation`
/// of a Layout). eta > 0: at 1 all correlation matrices are alike, above they shrink to the identity.
template <FormulaValue L, class E>
requires Argument<E> SCOREMATCH_INLINE auto lkj(const L& cholesky, const E& eta) {
  const Index order = triangle_order(cholesky.size());
  if constexpr (is_recorded<L>) {
    require_all_positive(eta, "lkj: eta");
    extend::require(order >= 2, {"log_density::lkj: the Cholesky factor has ", cholesky.size(),
                                 " elements; a lower triangle has 3, 6, 10, …"});
  }
  auto log_determinant = log(cholesky[2]);
  for (Index i = 2; i < order; ++i) log_determinant = log_determinant + log(cholesky[(i + 1) * (i + 2) / 2 - 1]);
  return 2.0 * (eta - 1.0) * log_determinant - log_lkj_constant(eta, order);
}

}  // namespace log_density

}  // namespace scorematch
