// One quantity along chains: why a diagnostic has no number, halves of chains, ranks, quantiles.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/diagnostics/special_functions.hpp"
#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// How functions here take the draws of one quantity: kept × chains, one column per chain.
using ChainView = Eigen::Ref<const Eigen::MatrixXd>;

/// Why a diagnostic has no number.
enum class Reason {
  none,             ///< there is a number
  too_few_draws,    ///< fewer than 4 of each chain; fewer than 12 for what needs autocorrelations
  one_chain,        ///< between-chain diagnostics compare two at least
  non_finite,       ///< NaN or infinite draws
  constant,         ///< all draws are equal
  constant_chains,  ///< no chain moved, and they are at different values
  tied,             ///< so many draws are equal that a quantile does not divide them
};

/// The reason in a few words.
inline const char* to_string(Reason reason) {
  switch (reason) {
    case Reason::none:
      return "none";
    case Reason::too_few_draws:
      return "too few draws";
    case Reason::one_chain:
      return "one chain";
    case Reason::non_finite:
      return "not finite";
    case Reason::constant:
      return "constant";
    case Reason::constant_chains:
      return "constant chains";
    case Reason::tied:
      return "tied";
  }
  return "";
}

/// A diagnostic's number, or the reason why there is none; then the value is NaN.
struct [[nodiscard]] Diagnostic {
  double value = std::numeric_limits<double>::quiet_NaN();  ///< the number; NaN where there is none
  Reason reason = Reason::none;                             ///< why there is none

  /// Whether there is a number.
  bool has_value() const { return reason == Reason::none; }
};

inline constexpr Index least_draws = 4;  ///< of each chain
/// Of each chain, where autocorrelations count: with fewer the halves leave no lag to be looked at, and the answer
/// would be the same for all draws.
inline constexpr Index least_draws_for_ess = 12;

/// Whether `count` numbers are finite.
inline bool all_finite(const double* numbers, Index count) {
  for (Index i = 0; i < count; ++i)
    if (!std::isfinite(numbers[i])) return false;
  return true;
}

/// Whether every draw is finite. (Plain loops here and below: every program would have to compile matrix expressions.)
inline bool all_finite(const ChainView& x) {
  for (Index c = 0; c < x.cols(); ++c)
    for (Index i = 0; i < x.rows(); ++i)
      if (!std::isfinite(x(i, c))) return false;
  return true;
}

/// Whether the draws of chain c are equal.
inline bool chain_rests(const ChainView& x, Index c) {
  for (Index i = 0; i < x.rows(); ++i)
    if (!(x(i, c) == x(0, c))) return false;
  return true;
}

/// Chain c alone: kept × 1.
inline Eigen::MatrixXd chain_alone(const ChainView& x, Index c) {
  Eigen::MatrixXd alone(x.rows(), 1);
  for (Index i = 0; i < x.rows(); ++i) alone(i, 0) = x(i, c);
  return alone;
}

/// The mean of each chain.
inline std::vector<double> chain_means(const ChainView& x) {
  std::vector<double> means;
  for (Index c = 0; c < x.cols(); ++c) {
    double sum = 0;
    for (Index i = 0; i < x.rows(); ++i) sum += x(i, c);
    means.push_back(sum / static_cast<double>(x.rows()));
  }
  return means;
}

/// Σ x² over all draws.
inline double sum_of_squares(const ChainView& x) {
  double sum = 0;
  for (Index c = 0; c < x.cols(); ++c)
    for (Index i = 0; i < x.rows(); ++i) sum += x(i, c) * x(i, c);
  return sum;
}

/// Σ_i (v_i − mean)²/(count − 1).
inline double variance_of(const std::vector<double>& numbers) {
  const double count = static_cast<double>(numbers.size());
  double mean = 0, squares = 0;
  for (const double number : numbers) mean += number / count;
  for (const double number : numbers) squares += (number - mean) * (number - mean);
  return squares / (count - 1);
}

/// Why draws x give no number, by themselves; `least` draws of each chain are needed.
inline Reason reason_of(const ChainView& x, Index least) {
  if (x.size() == 0) return Reason::too_few_draws;
  if (!all_finite(x)) return Reason::non_finite;
  if (x.rows() < least) return Reason::too_few_draws;
  bool all_rest = true, all_equal = true;
  for (Index c = 0; c < x.cols() && all_rest; ++c) {
    all_rest = chain_rests(x, c);
    all_equal = all_equal && x(0, c) == x(0, 0);
  }
  if (!all_rest) return Reason::none;
  return all_equal ? Reason::constant : Reason::constant_chains;
}

/// x less its mean, in units of 2^exponent, so that neither an offset of 1e6 nor a scale of 1e±300 costs digits: the
/// deviations are below 1. x: finite, not constant.
struct CentredDraws {
  Eigen::MatrixXd deviations;  ///< kept × chains
  double mean = 0;             ///< of x
  int exponent = 0;            ///< of their unit, 2^exponent

  /// Of finite draws.
  explicit CentredDraws(const ChainView& x) : deviations(x.rows(), x.cols()) {
    double low = x(0, 0), high = low;
    for (Index c = 0; c < x.cols(); ++c)
      for (Index i = 0; i < x.rows(); ++i) {
        low = std::min(low, x(i, c));
        high = std::max(high, x(i, c));
      }
    const double origin = 0.5 * low + 0.5 * high;
    std::frexp(0.5 * high - 0.5 * low, &exponent);
    const auto scaled = [&](double number) { return std::ldexp(number, -exponent); };
    double sum = 0;
    for (Index c = 0; c < x.cols(); ++c)
      for (Index i = 0; i < x.rows(); ++i) sum += deviations(i, c) = scaled(x(i, c) - origin);
    const double shift = sum / static_cast<double>(x.size());
    for (Index c = 0; c < x.cols(); ++c)
      for (Index i = 0; i < x.rows(); ++i) deviations(i, c) -= shift;
    mean = origin + std::ldexp(shift, exponent);
  }

  /// In the units of x.
  double in_units(double number) const { return std::ldexp(number, exponent); }
};

/// The halves of each chain as chains: ⌊kept/2⌋ × 2 chains; of an odd length the middle draw is dropped.
inline Eigen::MatrixXd halves(const ChainView& x) {
  const Index half = x.rows() / 2, chains = x.cols();
  Eigen::MatrixXd split(half, 2 * chains);
  for (Index c = 0; c < chains; ++c)
    for (Index i = 0; i < half; ++i) {
      split(i, 2 * c) = x(i, c);
      split(i, 2 * c + 1) = x(x.rows() - half + i, c);
    }
  return split;
}

/// z = Φ⁻¹((r − 3/8)/(S + 1/4)) of the ranks r = 1 … S over all draws of all chains, ties averaged (Blom 1958; Vehtari,
/// Gelman, Simpson, Carpenter & Bürkner 2021, eq. 14).
inline Eigen::MatrixXd normal_scores(const ChainView& x) {
  using Place = std::pair<double, double*>;  // a draw, and where its score belongs
  Eigen::MatrixXd z(x.rows(), x.cols());
  const std::size_t count = static_cast<std::size_t>(x.size());
  std::vector<Place> order;
  order.reserve(count);
  for (Index c = 0; c < x.cols(); ++c)
    for (Index i = 0; i < x.rows(); ++i) order.push_back({x(i, c), &z(i, c)});
  std::sort(order.begin(), order.end(), [](const Place& a, const Place& b) { return a.first < b.first; });
  for (std::size_t first = 0, end; first < count; first = end) {
    for (end = first + 1; end < count && order[end].first == order[first].first;) ++end;
    const double rank = 0.5 * static_cast<double>(first + 1 + end);
    const double score = normal_quantile((rank - 0.375) / (static_cast<double>(count) + 0.25));
    for (std::size_t k = first; k < end; ++k) *order[k].second = score;
  }
  return z;
}

/// All draws, ascending.
inline std::vector<double> sorted_draws(const ChainView& x) {
  std::vector<double> sorted;
  sorted.reserve(static_cast<std::size_t>(x.size()));
  for (Index c = 0; c < x.cols(); ++c)
    for (Index i = 0; i < x.rows(); ++i) sorted.push_back(x(i, c));
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

/// The p-quantile of ascending numbers, at least one, interpolated at (S − 1)p (type 7 of Hyndman & Fan 1996).
inline double quantile_of_sorted(const std::vector<double>& sorted, double p) {
  const double place = static_cast<double>(sorted.size() - 1) * p, fuzz = 4e-16 * (1 + place);
  const double whole = std::floor(place + fuzz), part = place - whole;  // (S − 1)p is whole though 0.95 is rounded
  const std::size_t low = static_cast<std::size_t>(whole), high = std::min(low + 1, sorted.size() - 1);
  if (part <= fuzz || sorted[low] == sorted[high]) return sorted[low];
  return (1 - part) * sorted[low] + part * sorted[high];
}

}  // namespace scorematch::diagnostics
