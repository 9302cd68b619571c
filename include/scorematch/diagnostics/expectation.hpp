// The mean of a function over draws, with the error that correlated draws leave it.
#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "scorematch/check.hpp"
#include "scorematch/diagnostics/chain_points.hpp"
#include "scorematch/diagnostics/convergence.hpp"
#include "scorematch/diagnostics/tail_index.hpp"
#include "scorematch/diagnostics/text_table.hpp"
#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// Options of expectation.
struct ExpectationOptions {
  double max_r_hat = 1.01;  ///< > 1; above it the chains disagree on f
  double min_ess = 100;     ///< > 0; below it the standard error is not to be relied on

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require(max_r_hat > 1, {"ExpectationOptions: max_r_hat is ", max_r_hat, "; it must be above 1"});
    extend::require_positive(min_ess, "ExpectationOptions: min_ess");
  }
};

/// How good a mean is: the first of no_number, chains_disagree, few_draws, heavy_tails that holds, else estimated.
enum class ExpectationStatus {
  estimated,        ///< the error is that of enough draws, of chains that agree
  few_draws,        ///< ESS is below min_ess
  heavy_tails,      ///< f's tail index is above 0.7: the mean does not settle, and its error says too little
  chains_disagree,  ///< R̂ is above max_r_hat
  no_number,        ///< `reason` says why there is no error, or no mean
};

/// The status in a word or two.
inline const char* to_string(ExpectationStatus status) {
  switch (status) {
    case ExpectationStatus::estimated:
      return "estimated";
    case ExpectationStatus::few_draws:
      return "few draws";
    case ExpectationStatus::heavy_tails:
      return "heavy tails";
    case ExpectationStatus::chains_disagree:
      return "chains disagree";
    case ExpectationStatus::no_number:
      return "no number";
  }
  return "";
}

/// A mean over draws.
struct [[nodiscard]] Expectation {
  double mean = std::numeric_limits<double>::quiet_NaN();  ///< the mean over all draws
  double mcse = mean;                                      ///< Monte Carlo standard error: sd/√ESS
  double ess = mean;                                       ///< effective sample size for the mean
  double r_hat = mean;  ///< NaN for one chain, of which nobody knows whether another would agree
  ExpectationStatus status = ExpectationStatus::no_number;  ///< how good the mean is
  double tail_index = mean;  ///< k̂ of f's heavier tail: moments of order below 1/k̂ are finite; −∞: none to tell
  Reason reason = Reason::none;  ///< why a number is missing

  /// A line: mean ± error, ESS, R̂, and the status.
  std::string text() const {
    return scorematch::detail::text(
        with_error(mean, mcse), " ± ", with_digits(mcse, 2), ", ESS ", with_digits(ess, 4), ", R-hat ",
        with_digits(r_hat, 4), ": ", to_string(status),
        reason == Reason::none ? "" : scorematch::detail::text(" (", to_string(reason), ')'), '\n');
  }
};

/// The mean of draws of one quantity, x: kept × chains, one column per chain, at least 12 draws of each. Of constant
/// draws the mean is given, and no error: draws that never moved say nothing of it.
inline Expectation mean_of(const ChainView& x, const ExpectationOptions& options = {}) {
  options.validate();
  Expectation result;
  const Diagnostic ess = ess_mean(x), error = mcse_mean(x), agreement = diagnostics::r_hat(x);
  result.reason = ess.reason;
  if (x.size() > 0 && all_finite(x)) result.mean = reason_of(x, 1) == Reason::constant ? x(0, 0) : CentredDraws(x).mean;
  if (result.reason != Reason::none) return result;
  result.ess = ess.value;
  result.mcse = error.value;
  result.r_hat = agreement.value;
  result.tail_index = tail_index(sorted_draws(x), std::fmin(ess.value, static_cast<double>(x.size())));
  result.status = agreement.value > options.max_r_hat ? ExpectationStatus::chains_disagree
                  : ess.value < options.min_ess       ? ExpectationStatus::few_draws
                  : result.tail_index > heaviest_tail ? ExpectationStatus::heavy_tails
                                                      : ExpectationStatus::estimated;
  return result;
}

/// E[f(x)] over the draws of chains, with its Monte Carlo standard error:
///
///   auto radius = sm::diagnostics::expectation({draws.points, draws.chains}, [](const auto& x) { return x.norm(); });
///
/// f: any function of a point (d numbers), called once for each. Values that are not finite make the status no_number.
/// Throws std::invalid_argument for columns that chains do not divide.
inline Expectation expectation(const ChainPoints& draws, const std::function<double(const Eigen::VectorXd&)>& f,
                               const ExpectationOptions& options = {}) {
  draws.validate();
  return mean_of(draws.values_of(f), options);
}

/// The same of points (d × (chains · kept), as ChainPoints has them) and the number of chains.
inline Expectation expectation(const Eigen::Ref<const Eigen::MatrixXd>& points, Index chains,
                               const std::function<double(const Eigen::VectorXd&)>& f,
                               const ExpectationOptions& options = {}) {
  return expectation(ChainPoints{points, chains}, f, options);
}

}  // namespace scorematch::diagnostics
