// Shared by the ready energies: start values, and the triangular factor of a precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <string>
#include <type_traits>

#include "scorematch/model/energy_model.hpp"

namespace scorematch::ready {

/// x of a formula: recorded or compiled.
template <class X>
concept FormulaVector = requires(const X& x) {
  { x.size() } -> std::convertible_to<Index>;
  x.segment(Index{0}, Index{1});
};

/// Options are checked when a formula is recorded; a compiled formula is recorded first, and then runs for every few
/// samples.
template <class X>
inline constexpr bool is_recorded = std::is_same_v<X, formula::Value>;

/// Starts at log(number): for parameters that are logarithms.
struct log_of {
  double number;
  void operator()(const std::string&, Eigen::MatrixXd& block) const {
    std::fill_n(block.data(), block.size(), std::log(number));
  }
};

/// Starts at the numbers given, or, if none are given, as `otherwise` says.
template <class Numbers, class Otherwise>
struct given_or {
  const Numbers& given;
  Otherwise otherwise;
  void operator()(const std::string& name, Eigen::MatrixXd& block) const {
    if (given.size() > 0)
      block = given;
    else
      otherwise(name, block);
  }
};

/// Lᵀu for d ≥ 2 without its last element, which is that of exp(log_diagonal) u. `scaled` is exp(log_diagonal) u; L is
/// lower triangular, and `below` holds what is below its diagonal, column by column: L₁₀, L₂₀, …, L₂₁, …
template <class Scaled, class Below, class U>
SCOREMATCH_INLINE auto upper_part(const Scaled& scaled, const Below& below, const U& u) {
  const int d = static_cast<int>(u.size());
  return stack(d - 1, [&](int j) {
    const int count = d - 1 - j, first = j * d - j * (j + 1) / 2;
    return scaled[j] + dot(below.segment(first, count), u.segment(j + 1, count));
  });
}

/// The place in `below` of L's element in row i and column j < i.
inline Index place_below(Index d, Index i, Index j) { return j * d - j * (j + 1) / 2 + i - j - 1; }

}  // namespace scorematch::ready
