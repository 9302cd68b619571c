// Are draws draws of a model? Stein's identities tell, where scores are known: without another sample, and without log
// Z.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/concepts.hpp"
#include "scorematch/diagnostics/chain_points.hpp"
#include "scorematch/diagnostics/convergence.hpp"
#include "scorematch/diagnostics/special_functions.hpp"
#include "scorematch/diagnostics/text_table.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// Options of stein_table.
struct SteinOptions {
  double false_alarm_rate = 0.01;  ///< in (0, 1): of the whole table, for draws that are right
  /// ≥ 0: a bias of at most this is no alarm. In units that do not depend on x's: a mean off by so many standard
  /// deviations, a variance by this share of it.
  double tolerance = 0;
  double min_ess = 100;                 ///< > 0: effective draws of each term, below which nothing is said
  std::vector<std::string> names = {};  ///< of the coordinates; none: x[0], x[1], …

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require(false_alarm_rate > 0 && false_alarm_rate < 1,
                    {"SteinOptions: false_alarm_rate is ", false_alarm_rate, "; it must lie between 0 and 1"});
    extend::require(std::isfinite(tolerance) && tolerance >= 0,
                    {"SteinOptions: tolerance is ", tolerance, "; it must be a finite number, at least 0"});
    extend::require_positive(min_ess, "SteinOptions: min_ess");
  }
};

/// What the table says: the first of biased, non_finite, not_enough_draws that holds, else passed.
enum class SteinStatus {
  passed,  ///< no term is off by more than its error and the tolerance explain; `detectable` says what is seen
  biased,  ///< the draws are not those of the model
  not_enough_draws,  ///< a term has too few effective draws, or is constant, so that its error is not known
  non_finite,        ///< a point or a score is not finite
};

/// The status in a word or two.
inline const char* to_string(SteinStatus status) {
  switch (status) {
    case SteinStatus::passed:
      return "passed";
    case SteinStatus::biased:
      return "biased";
    case SteinStatus::not_enough_draws:
      return "not enough draws";
    case SteinStatus::non_finite:
      return "not finite";
  }
  return "";
}

/// A mean that Stein's identity makes 0, without a unit.
struct SteinTerm {
  double mean = std::numeric_limits<double>::quiet_NaN();  ///< the mean
  double mcse = mean;                                      ///< its Monte Carlo standard error
  double z = mean;                                         ///< mean/mcse
  double ess = mean;                                       ///< effective draws
  Reason reason = Reason::none;                            ///< why there is no error
};

/// Of one coordinate, with m its mean over the draws and σ its standard deviation:
struct SteinRow {
  std::string name;         ///< of the coordinate
  SteinTerm mean = {};      ///< σ s: of N(μ, σ²) it is (μ − m)/σ
  SteinTerm variance = {};  ///< 1 + (x − m) s: minus the relative error of the variance
  SteinTerm third = {};     ///< (2(x − m) + (x − m)² s)/σ: of skewness
};

/// The table of z-values.
struct [[nodiscard]] SteinTable {
  std::vector<SteinRow> rows = {};  ///< one a coordinate
  double threshold = 0;             ///< |z| above which a term is an alarm, tolerance 0
  double detectable =
      std::numeric_limits<double>::quiet_NaN();        ///< the bias of σ s or 1 + (x − m) s, of the coordinate
                                                       ///< that is seen worst, that would be an alarm
  Index biased_terms = 0;                              ///< how many terms are alarms
  SteinStatus status = SteinStatus::not_enough_draws;  ///< whether an alarm was raised
  std::string evidence = {};                           ///< what the status rests on, in a sentence

  /// The aligned table, and a line: the status and what it rests on.
  std::string text() const {
    std::vector<std::vector<std::string>> lines = {
        {"", "sd E[s]", "z", "E[1 + x s]", "z", "E[2x + x² s]/sd", "z", "ESS"}};
    for (const SteinRow& row : rows) {
      lines.push_back({row.name});
      double ess = std::numeric_limits<double>::quiet_NaN();
      Reason reason = Reason::none;
      for (const SteinTerm* term : {&row.mean, &row.variance, &row.third}) {
        lines.back().push_back(with_digits(term->mean, 2));
        char z[32] = "-";
        if (!std::isnan(term->z)) std::snprintf(z, sizeof z, "%.1f", term->z);
        lines.back().push_back(z);
        ess = std::fmin(ess, term->ess);
        if (reason == Reason::none) reason = term->reason;
      }
      lines.back().push_back(with_digits(std::floor(ess), 6));
      if (reason != Reason::none) lines.back().push_back(to_string(reason));
    }
    return aligned(lines, 8) + to_string(status) + ": " + evidence + '\n';
  }
};

/// The mean of values along chains (kept × chains) and its error: by autocorrelations, or, of fewer draws than these
/// need, by the means of 100 chains or more, which are independent.
inline SteinTerm stein_term(const ChainView& values) {
  SteinTerm term;
  const double count = static_cast<double>(values.size()), chains = static_cast<double>(values.cols());
  term.reason = reason_of(values, 1);
  if (term.reason == Reason::constant) term.mean = values(0, 0);
  if (term.reason != Reason::none && !(term.reason == Reason::constant_chains && values.cols() >= 100)) return term;
  const CentredDraws y(values);
  term.mean = y.mean;
  if (values.rows() >= least_draws_for_ess) {
    const Diagnostic ess = ess_mean(values);
    term.reason = ess.reason;
    if (!ess.has_value()) return term;
    term.ess = ess.value;
    term.mcse = y.in_units(std::sqrt(sum_of_squares(y.deviations) / (count - 1) / term.ess));
  } else if (values.cols() >= 100) {
    term.reason = Reason::none;
    double squares = 0;
    for (const double mean : chain_means(y.deviations)) squares += mean * mean / (chains - 1) / chains;
    term.ess = squares > 0 ? sum_of_squares(y.deviations) / (count - 1) / squares : 0;
    term.mcse = y.in_units(std::sqrt(squares));
  } else {
    term.reason = Reason::too_few_draws;
    return term;
  }
  term.z = term.mean / term.mcse;
  return term;
}

/// The terms of one coordinate: x and s are kept × chains.
inline SteinRow stein_row(std::string name, const Eigen::MatrixXd& x, const Eigen::MatrixXd& s) {
  SteinRow row{.name = std::move(name)};
  Reason reason = reason_of(x, 1);
  if (reason == Reason::constant_chains) reason = Reason::none;  // one kept draw of each, perhaps
  if (reason == Reason::none && !all_finite(s)) reason = Reason::non_finite;
  if (reason != Reason::none) {
    for (SteinTerm* term : {&row.mean, &row.variance, &row.third}) term->reason = reason;
    return row;
  }
  const CentredDraws centred(x);
  const double sd = std::sqrt(sum_of_squares(centred.deviations) / static_cast<double>(x.size()));
  Eigen::MatrixXd mean(s.rows(), s.cols()), variance(s.rows(), s.cols()), third(s.rows(), s.cols());
  for (Index k = 0; k < s.size(); ++k) {
    const double u = centred.deviations.data()[k] / sd, t = centred.in_units(s.data()[k] * sd);
    mean.data()[k] = t;
    variance.data()[k] = 1 + u * t;
    third.data()[k] = 2 * u + u * u * t;
  }
  row.mean = stein_term(mean);
  row.variance = stein_term(variance);
  row.third = stein_term(third);
  return row;
}

/// Sets status and evidence by the terms.
inline void judge(SteinTable& table, const SteinOptions& options) {
  const double tests = 3 * static_cast<double>(table.rows.size());
  // Šidák: 1 − (1 − α)^m = the rate; the largest of m normal numbers exceeds the threshold so often, or less.
  const double each = -std::expm1(std::log1p(-options.false_alarm_rate) / std::max(tests, 1.0));
  table.threshold = -normal_quantile(0.5 * each);
  bool non_finite = false, few = table.rows.empty();
  double worst = -1, least = std::numeric_limits<double>::infinity(), detectable = 0;
  std::string where = {}, first_few = {};
  for (const SteinRow& row : table.rows) {
    const std::array<std::pair<const SteinTerm*, const char*>, 3> terms = {
        {{&row.mean, "sd s"}, {&row.variance, "1 + x s"}, {&row.third, "2x + x² s"}}};
    for (const auto& [term, name] : terms) {
      if (term->reason == Reason::non_finite) non_finite = true;
      if (!(term->ess >= options.min_ess)) {
        if (!few) first_few = row.name;
        few = true;
        continue;
      }
      least = std::min(least, term->ess);
      const double beyond = (std::abs(term->mean) - options.tolerance) / term->mcse;
      if (term != &row.third) detectable = std::max(detectable, options.tolerance + table.threshold * term->mcse);
      if (!(beyond > table.threshold)) continue;
      ++table.biased_terms;
      if (beyond <= worst) continue;
      worst = beyond;
      where = scorematch::detail::text("E[", name, "] of ", row.name, " is ", with_digits(term->mean, 2), " ± ",
                                       with_digits(term->mcse, 1), ", and 0 for draws of the model");
    }
  }
  if (!few) table.detectable = detectable;
  if (table.biased_terms > 0) {
    table.status = SteinStatus::biased;
    table.evidence = scorematch::detail::text(where, "; ", table.biased_terms, " of ", static_cast<Index>(tests),
                                              " terms are beyond |z| = ", with_digits(table.threshold, 3));
  } else if (non_finite) {
    table.status = SteinStatus::non_finite;
    table.evidence = "a point or a score is not finite";
  } else if (few) {
    table.status = SteinStatus::not_enough_draws;
    table.evidence =
        scorematch::detail::text("terms of ", first_few.empty() ? "no coordinate" : first_few, " have fewer than ",
                                 options.min_ess, " effective draws, or are constant");
  } else {
    table.status = SteinStatus::passed;
    table.evidence =
        scorematch::detail::text(static_cast<Index>(tests), " terms within |z| = ", with_digits(table.threshold, 3),
                                 ", ESS at least ", with_digits(std::floor(least), 6), "; a mean off by more than ",
                                 with_digits(detectable, 2), " sd, or a variance by this share, would have been seen");
  }
}

/// The table of Stein's identities at draws: for each coordinate i, with m its mean over the draws,
///
///   E[s_i] = 0,   E[1 + (x_i − m) s_i] = 0,   E[2(x_i − m) + (x_i − m)² s_i] = 0
///
/// where s = ∇ log p, each mean divided by its Monte Carlo standard error. For the model's own draws the z-values are
/// standard normal; the table is an alarm where one exceeds the Šidák threshold of 3d tests at `false_alarm_rate`,
/// after the tolerance is taken off. Centred at m, since with x itself an offset of 1e6 would drown the rest; to first
/// order this changes no error. Each term is in units of its own (SteinRow). E[1 + (x − m) s] is minus the relative
/// error of the variance. Needs a density that is smooth and 0 at its borders, and moments: E[x⁴ s²] of the third term.
///
/// What passes need not be right: draws from one of two modes far apart pass, since s does not know of the other.
///
/// scores: d × (chains · kept), s at each of the points. Throws std::invalid_argument for shapes and options that do
/// not fit; numbers that are not finite are a status.
inline SteinTable stein_table(const ChainPoints& draws, const Eigen::Ref<const Eigen::MatrixXd>& scores,
                              const SteinOptions& options = {}) {
  options.validate();
  draws.validate();
  extend::require(scores.rows() == draws.points.rows() && scores.cols() == draws.points.cols(),
                  {"stein_table: scores is ", scores.rows(), " × ", scores.cols(), ", points ", draws.points.rows(),
                   " × ", draws.points.cols(), "; both must be d × (chains · kept)"});
  const Index d = scores.rows();
  const std::vector<std::string> names = coordinate_names(options.names, d);
  const ChainPoints of_scores{scores, draws.chains};
  SteinTable table;
  table.rows.resize(names.size());
  evaluate::Pieces().each(d, d > 1, [&](Index i) {
    const std::size_t row = static_cast<std::size_t>(i);
    table.rows[row] = stein_row(names[row], draws.coordinate(i), of_scores.coordinate(i));
  });
  judge(table, options);
  return table;
}

/// The same of points (d × (chains · kept), as ChainPoints has them) and the number of chains.
inline SteinTable stein_table(const Eigen::Ref<const Eigen::MatrixXd>& points,
                              const Eigen::Ref<const Eigen::MatrixXd>& scores, Index chains,
                              const SteinOptions& options = {}) {
  return stein_table(ChainPoints{points, chains}, scores, options);
}

/// The same with a model's scores, in double arithmetic:
///
///   auto table = sm::diagnostics::stein_table(model, {draws.points, draws.chains});
///   std::printf("%s", table.text().c_str());
template <extend::has_dimension M>
SteinTable stein_table(const M& model, const ChainPoints& draws, const SteinOptions& options = {}) {
  draws.validate();
  Eigen::MatrixXd scores =
      Eigen::MatrixXd::Constant(draws.points.rows(), draws.points.cols(), std::numeric_limits<double>::quiet_NaN());
  if (draws.points.cols() > 0 && all_finite(draws.points)) scores = score_of(model, draws.points);
  return stein_table(draws, scores, options);
}

/// The same of points of chains, d × (chains · kept).
template <extend::has_dimension M>
SteinTable stein_table(const M& model, const Eigen::Ref<const Eigen::MatrixXd>& points, Index chains,
                       const SteinOptions& options = {}) {
  return stein_table(model, ChainPoints{points, chains}, options);
}

}  // namespace scorematch::diagnostics
