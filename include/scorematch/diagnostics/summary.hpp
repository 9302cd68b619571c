// The table of draws: means with their errors, quantiles, effective sample sizes, R̂, and a verdict.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/diagnostics/chain_points.hpp"
#include "scorematch/diagnostics/convergence.hpp"
#include "scorematch/diagnostics/tail_index.hpp"
#include "scorematch/diagnostics/text_table.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// A function of a point that a user wants to know the mean of, and its name.
struct NamedFunction {
  std::string name;  ///< as the table prints it
  /// Called with a point, d numbers.
  std::function<double(const Eigen::VectorXd&)> value;
};

/// Options of summary.
struct SummaryOptions {
  double max_r_hat = 1.01;                    ///< > 1; a row above it speaks against the draws
  double min_ess = 400;                       ///< > 0; so does one whose bulk or tail ESS is below
  std::vector<NamedFunction> functions = {};  ///< rows of their own, after the coordinates; called one after another
  /// A number for each chain, the same for chains that began at one point: R̂ is then the nested one, for many short
  /// chains. Empty: R̂ of rank-normalised halves.
  std::vector<Index> superchains = {};

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require(max_r_hat > 1, {"SummaryOptions: max_r_hat is ", max_r_hat, "; it must be above 1"});
    extend::require_positive(min_ess, "SummaryOptions: min_ess");
    for (const NamedFunction& f : functions)
      extend::require(static_cast<bool>(f.value),
                      {"SummaryOptions: functions has no function under the name '", f.name, "'"});
  }
};

/// What the table says: the first of stuck, chains_disagree, no_number, few_draws, heavy_tails that holds, else good.
enum class SummaryStatus {
  good,             ///< every R̂ is at most max_r_hat, and every bulk and tail ESS at least min_ess
  few_draws,        ///< an ESS is below min_ess
  heavy_tails,      ///< a tail index is above 0.7: the mean, its error and sd do not settle; quantiles do
  no_number,        ///< of some row a diagnostic has no number: `SummaryRow::reason` says why
  chains_disagree,  ///< an R̂ is above max_r_hat
  stuck,            ///< a chain never moved
};

/// The status in a word or two.
inline const char* to_string(SummaryStatus status) {
  switch (status) {
    case SummaryStatus::good:
      return "good";
    case SummaryStatus::few_draws:
      return "few draws";
    case SummaryStatus::heavy_tails:
      return "heavy tails";
    case SummaryStatus::chains_disagree:
      return "chains disagree";
    case SummaryStatus::stuck:
      return "stuck";
    case SummaryStatus::no_number:
      return "no number";
  }
  return "";
}

/// One quantity. What has no number is NaN, and `reason` says why; mean, sd and quantiles are there of all finite
/// draws.
struct SummaryRow {
  std::string name;                                        ///< of the coordinate or function
  double mean = std::numeric_limits<double>::quiet_NaN();  ///< of all draws
  double mcse = mean;                                      ///< Monte Carlo standard error of the mean
  double sd = mean;                                        ///< of the law, with S − 1
  double q05 = mean;                                       ///< the 5 % quantile
  double median = mean;                                    ///< the 50 % quantile
  double q95 = mean;                                       ///< the 95 % quantile
  double ess_bulk = mean;                                  ///< effective sample size for the middle of the law
  double ess_tail = mean;                                  ///< the less of those of the 5 % and 95 % quantiles
  double r_hat = mean;                                     ///< nested, where superchains are given
  double tail_index = mean;  ///< k̂ of the heavier tail: moments of order below 1/k̂ are finite; −∞: none to tell
  Reason reason = Reason::none;  ///< why a number is missing
};

/// The table, its verdict, and what speaks against the draws.
struct [[nodiscard]] Summary {
  std::vector<SummaryRow> rows = {};                ///< the coordinates, then the functions
  Index chains = 0;                                 ///< how many
  Index kept = 0;                                   ///< states of each
  Index stuck_chains = 0;                           ///< all of whose states are the same point
  SummaryStatus status = SummaryStatus::no_number;  ///< whether the draws can be used
  std::string evidence = {};                        ///< what the status rests on, in a sentence

  /// The row of a name; null if there is none.
  const SummaryRow* find(const std::string& name) const {
    for (const SummaryRow& row : rows)
      if (row.name == name) return &row;
    return nullptr;
  }

  /// The aligned table, and a line: the status and what it rests on.
  std::string text() const {
    std::vector<std::vector<std::string>> lines = {
        {"", "mean", "MCSE", "sd", "5 %", "50 %", "95 %", "ESS bulk", "ESS tail", "R-hat"}};
    for (const SummaryRow& row : rows) {
      char r_hat[32] = "-";
      if (!std::isnan(row.r_hat)) std::snprintf(r_hat, sizeof r_hat, row.r_hat < 100 ? "%.3f" : "%.3g", row.r_hat);
      const auto whole = [](double ess) { return with_digits(ess < 1e6 ? std::floor(ess) : ess, 6); };
      lines.push_back({row.name, with_error(row.mean, row.mcse), with_digits(row.mcse, 2), with_error(row.sd, row.mcse),
                       with_error(row.q05, row.mcse), with_error(row.median, row.mcse), with_error(row.q95, row.mcse),
                       whole(row.ess_bulk), whole(row.ess_tail), r_hat});
      if (row.reason != Reason::none) lines.back().push_back(to_string(row.reason));
    }
    return aligned(lines, 10) + to_string(status) + ": " + evidence + '\n';
  }
};

/// The row of one quantity, x: kept × chains.
inline SummaryRow summary_row(std::string name, const ChainView& x, const std::vector<Index>& superchains) {
  SummaryRow row{.name = std::move(name)};
  const auto take = [&](const Diagnostic& found) {
    if (row.reason == Reason::none) row.reason = found.reason;
    return found.value;
  };
  row.r_hat = take(superchains.empty() ? r_hat(x) : nested_r_hat(x, superchains));
  row.ess_bulk = take(ess_bulk(x));
  row.ess_tail = take(ess_tail(x));
  row.mcse = take(mcse_mean(x));
  if (x.size() == 0 || !all_finite(x)) return row;
  const std::vector<double> sorted = sorted_draws(x);
  row.q05 = quantile_of_sorted(sorted, 0.05);
  row.median = quantile_of_sorted(sorted, 0.5);
  row.q95 = quantile_of_sorted(sorted, 0.95);
  row.mean = sorted.front();
  if (sorted.size() > 1) row.sd = 0;
  if (sorted.front() == sorted.back()) return row;
  row.tail_index = tail_index(sorted, std::fmin(row.ess_bulk, static_cast<double>(x.size())));
  const CentredDraws y(x);
  row.mean = y.mean;
  row.sd = y.in_units(std::sqrt(sum_of_squares(y.deviations) / static_cast<double>(x.size() - 1)));
  return row;
}

/// How many chains stayed at one point, of at least two kept states.
inline Index count_stuck_chains(const ChainPoints& draws) {
  Index stuck = 0;
  for (Index c = 0; c < draws.chains && draws.kept() > 1; ++c) {
    bool rests = true;
    for (Index k = 1; k < draws.kept() && rests; ++k)
      for (Index i = 0; i < draws.points.rows(); ++i)
        rests = rests && draws.points(i, k * draws.chains + c) == draws.points(i, c);
    stuck += rests ? 1 : 0;
  }
  return stuck;
}

/// The status of the rows and its evidence.
inline void judge(Summary& summary, const SummaryOptions& options) {
  const SummaryRow *nameless = nullptr, *apart = nullptr, *few = nullptr, *heavy = nullptr;
  Index nameless_rows = 0;
  double r_hat = 0, ess = std::numeric_limits<double>::infinity();
  for (const SummaryRow& row : summary.rows) {
    if (row.reason != Reason::none && nameless_rows++ == 0) nameless = &row;
    const double least = std::fmin(row.ess_bulk, row.ess_tail);
    if (row.tail_index > heaviest_tail && (!heavy || row.tail_index > heavy->tail_index)) heavy = &row;
    if (row.r_hat > r_hat) {
      r_hat = row.r_hat;
      apart = &row;
    }
    if (least < ess) {
      ess = least;
      few = &row;
    }
  }
  const Index rows = static_cast<Index>(summary.rows.size());
  if (rows == 0) {
    summary.evidence = "there is nothing to look at";
  } else if (summary.stuck_chains > 0) {
    summary.status = SummaryStatus::stuck;
    summary.evidence = scorematch::detail::text(summary.stuck_chains, " of ", summary.chains, " chains never moved");
  } else if (r_hat > options.max_r_hat) {
    summary.status = SummaryStatus::chains_disagree;
    summary.evidence =
        scorematch::detail::text("R-hat of ", apart->name, " is ", with_digits(r_hat, 4), ", above ", options.max_r_hat,
                                 ": run longer, or look for modes that chains do not leave");
  } else if (nameless) {
    summary.status = SummaryStatus::no_number;
    summary.evidence = scorematch::detail::text(nameless_rows, " of ", rows, " rows lack a number, first ",
                                                nameless->name, ": ", to_string(nameless->reason));
  } else if (ess < options.min_ess) {
    summary.status = SummaryStatus::few_draws;
    summary.evidence = scorematch::detail::text("ESS of ", few->name, " is ", with_digits(ess, 3), ", below ",
                                                options.min_ess, ": run longer");
  } else if (heavy) {
    summary.status = SummaryStatus::heavy_tails;
    summary.evidence = scorematch::detail::text(
        "the tail of ", heavy->name, " is so heavy (Pareto k-hat ", with_digits(heavy->tail_index, 2), ", above ",
        heaviest_tail, ") that its mean and sd do not settle: use the median and the quantiles");
  } else {
    summary.status = SummaryStatus::good;
    summary.evidence = scorematch::detail::text("R-hat at most ", with_digits(r_hat, 4), ", ESS at least ",
                                                with_digits(std::floor(ess), 6));
  }
}

/// The table of all coordinates and of the functions that the options name:
///
///   auto table = sm::diagnostics::summary({draws.points, draws.chains});
///   std::printf("%s", table.text().c_str());
///
/// names: d of them, or none for x[0], x[1], …. `good` says that chains agree with each other and are long enough; it
/// cannot say that they found all modes. Draws that are not finite are a row's reason, not an error. Cost: per row some
/// S log S, S the number of draws; rows are shared out over threads.
/// Throws std::invalid_argument for columns that chains do not divide, and options and names that do not fit.
inline Summary summary(const ChainPoints& draws, const std::vector<std::string>& names = {},
                       const SummaryOptions& options = {}) {
  options.validate();
  draws.validate();
  const Index d = draws.points.rows(), functions = static_cast<Index>(options.functions.size());
  std::vector<std::string> all_names = coordinate_names(names, d);
  std::vector<Eigen::MatrixXd> values;
  for (const NamedFunction& f : options.functions) {
    all_names.push_back(f.name);
    values.push_back(draws.values_of(f.value));
  }
  Summary result;
  result.chains = draws.chains;
  result.kept = draws.kept();
  result.stuck_chains = d > 0 ? count_stuck_chains(draws) : 0;
  result.rows.resize(all_names.size());
  evaluate::Pieces().each(d + functions, d + functions > 1, [&](Index i) {
    const std::size_t row = static_cast<std::size_t>(i);
    result.rows[row] = summary_row(
        all_names[row], i < d ? draws.coordinate(i) : values[static_cast<std::size_t>(i - d)], options.superchains);
  });
  judge(result, options);
  return result;
}

/// The same of points (d × (chains · kept), as ChainPoints has them) and the number of chains.
inline Summary summary(const Eigen::Ref<const Eigen::MatrixXd>& points, Index chains,
                       const std::vector<std::string>& names = {}, const SummaryOptions& options = {}) {
  return summary(ChainPoints{points, chains}, names, options);
}

}  // namespace scorematch::diagnostics

namespace scorematch {

/// Draws::summary: of whatever has `points` (d × (chains · kept)) and `chains`.
template <class Draws>
diagnostics::Summary summary_of(const Draws& draws, const std::vector<std::string>& names,
                                const diagnostics::SummaryOptions& options = {}) {
  return diagnostics::summary(diagnostics::ChainPoints{draws.points.template cast<double>(), draws.chains}, names,
                              options);
}

}  // namespace scorematch
