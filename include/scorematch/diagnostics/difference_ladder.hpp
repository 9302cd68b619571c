// Central differences along a ladder of steps, and what they say about a derivative that somebody wrote.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// Steps h = 2⁻³, 2⁻⁵, …, 2⁻²⁹, in units of max(1, |x_i|): coarse enough for sums with much rounding, fine enough for
/// functions that vary over 1e-6.
inline constexpr int rungs = 14;
/// The step of a rung, counted from 0.
inline double step_of(int rung) { return std::exp2(-3 - 2 * rung); }

/// The central differences of R × C numbers at one step.
struct Rung {
  Eigen::ArrayXXd difference;  ///< (F(x + h) − F(x − h))/2h
  Eigen::ArrayXXd rounding;    ///< what rounding of F may add to it
  Eigen::ArrayXXd bend;        ///< half the difference between the slopes on both sides

  Rung(Index rows, Index cols) : difference(rows, cols), rounding(rows, cols), bend(rows, cols) {
    for (Eigen::ArrayXXd* numbers : {&difference, &rounding, &bend}) std::fill_n(numbers->data(), numbers->size(), 0.0);
  }

  /// Adds the difference of F, a row of C numbers, to a row. h: a number, or a row of C.
  template <class Step>
  void add(Index row, const Eigen::RowVectorXd& plus, const Eigen::RowVectorXd& minus, const Eigen::RowVectorXd& centre,
           const Step& h) {
    for (Index j = 0; j < plus.size(); ++j) {
      double step;
      if constexpr (std::is_arithmetic_v<Step>)
        step = h;
      else
        step = h(0, j);
      difference(row, j) += (plus[j] - minus[j]) / (2 * step);
      rounding(row, j) += 4 * std::numeric_limits<double>::epsilon() * (std::abs(plus[j]) + std::abs(minus[j])) / step;
      bend(row, j) += std::abs(plus[j] - 2 * centre[j] + minus[j]) / (2 * step);
    }
  }
};

/// The differences at all steps, the coarsest first.
using Ladder = std::vector<Rung>;

/// The difference to trust at each element, chosen without a look at what was written. A step's uncertainty is what the
/// difference changes by from the step before (the next term of its series) and to finer steps (noise, which grows like
/// 1/h), and rounding; the smallest one decides.
struct BestDifference {
  Eigen::ArrayXXd value, uncertainty;
  Eigen::ArrayXXi rung;

  explicit BestDifference(const Ladder& ladder)
      : value(ladder[1].difference), uncertainty(value.rows(), value.cols()), rung(value.rows(), value.cols()) {
    std::fill_n(uncertainty.data(), uncertainty.size(), std::numeric_limits<double>::infinity());
    std::fill_n(rung.data(), rung.size(), 1);
    for (Index j = 0; j < value.cols(); ++j)
      for (Index i = 0; i < value.rows(); ++i) choose(ladder, i, j);
  }

 private:
  void choose(const Ladder& ladder, Index i, Index j) {
    const auto at = [&](std::size_t k) { return ladder[k].difference(i, j); };
    std::array<double, rungs> noise{};
    std::size_t last = rungs - 1;  // of the steps that F feels: below F's own resolution all differences are 0
    while (last > 0 && at(last) == 0 && ladder[last].bend(i, j) == 0) --last;
    if (last == 0) last = rungs - 1;  // F does not depend on this coordinate
    for (std::size_t k = last; k-- > 0;) noise[k] = std::max(noise[k + 1] / 4, std::abs(at(k) - at(k + 1)));
    for (std::size_t k = 1; k < last; ++k) {
      const double uncertain = std::max(std::abs(at(k) - at(k - 1)), noise[k]) + ladder[k].rounding(i, j);
      if (!(uncertain < uncertainty(i, j))) continue;
      value(i, j) = at(k);
      uncertainty(i, j) = uncertain;
      rung(i, j) = static_cast<int>(k);
    }
  }
};

/// Of written numbers beside central differences: right, wrong, not told because no step has a clean difference, or not
/// compared.
enum class Verdict { right, wrong, no_clean_slope, skipped };

/// The verdict on R × C numbers, and the worst of them.
struct Comparison {
  Verdict verdict = Verdict::skipped;  ///< the verdict
  Index column = -1;                   ///< of the worst element, counted from 0
  Index row = -1;                      ///< the same
  double written = 0;                  ///< its value as it was written
  double numeric = 0;                  ///< its value by central differences
  double error = 0;                    ///< |written − numeric|, relative to the largest of its column
  double slope = 0;                    ///< of that error as the step falls; NaN where it is rounding at every step
};

/// A quantity and its worst element.
struct Entry : Comparison {
  std::string quantity;  ///< the method's or the member's name; "symmetry" for that of the gradient's own derivative
  std::string note;      ///< what the mistake looks like, or why nothing was compared; may be empty
};

/// The entry of a quantity; null if there is none.
inline const Entry* find(const std::vector<Entry>& entries, const std::string& quantity) {
  for (const Entry& entry : entries)
    if (entry.quantity == quantity) return &entry;
  return nullptr;
}

/// Something was compared, and all that was is right.
inline bool all_right(const std::vector<Entry>& entries) {
  bool some = false, all = true;
  for (const Entry& entry : entries) {
    some = some || entry.verdict == Verdict::right;
    all = all && (entry.verdict == Verdict::right || entry.verdict == Verdict::skipped);
  }
  return some && all;
}

/// A line an entry, its note below.
inline std::string table(const std::string& title, bool passed, const std::vector<Entry>& entries) {
  std::string table = title + ": " + (passed ? "passed" : "FAILED") +
                      "\n  quantity        verdict         error    slope  column  row  written         numeric\n";
  constexpr const char* verdicts[] = {"right", "WRONG", "no clean slope", "skipped"};
  const auto index = [](Index at) { return at < 0 ? std::string("-") : std::to_string(at); };
  for (const Entry& e : entries) {
    char line[256], slope[32] = "-";
    if (std::isfinite(e.slope)) std::snprintf(slope, sizeof slope, "%.1f", std::abs(e.slope) < 0.05 ? 0 : e.slope);
    std::snprintf(line, sizeof line, "  %-15s %-15s ", e.quantity.c_str(), verdicts[static_cast<int>(e.verdict)]);
    table += line;
    if (e.verdict != Verdict::skipped && e.row >= 0) {
      std::snprintf(line, sizeof line, "%-8.1e %-6s %-7s %-4s %-15.8g %.8g", e.error, slope, index(e.column).c_str(),
                    index(e.row).c_str(), e.written, e.numeric);
      table += line + std::string(e.note.empty() ? "" : "\n                  ");
    }
    table += e.note + "\n";
  }
  return table;
}

/// Compares what was written with the differences; `wrong` tells which elements are.
inline Comparison compare(const Eigen::ArrayXXd& written, const Ladder& ladder, const BestDifference& best,
                          Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic>& wrong) {
  const auto rung = [&](int number) -> const Rung& { return ladder[static_cast<std::size_t>(number)]; };
  wrong.resize(written.rows(), written.cols());
  Comparison worst;
  int worst_rank = -1;
  for (Index j = 0; j < written.cols(); ++j) {
    double largest = 0;
    for (Index i = 0; i < written.rows(); ++i)
      if (std::isfinite(best.value(i, j))) largest = std::max(largest, std::abs(best.value(i, j)));
    for (Index i = 0; i < written.rows(); ++i) {
      const int k = best.rung(i, j);
      const double a = written(i, j), b = best.value(i, j), bound = best.uncertainty(i, j);
      const double size = std::max(std::abs(a), std::abs(b));
      const double scale = std::max({largest, size, 1e5 * rung(k).rounding(i, j) * step_of(k)});
      // A smooth function's bend falls with h; at a kink it stays.
      const double bend = rung(k + 1).bend(i, j);
      const bool kink = bend > 0.5 * rung(k).bend(i, j) && bend > 20 * bound + 1e-6 * scale;
      const bool clean = !kink && bound <= 1e-3 * scale;
      wrong(i, j) = clean && !(std::abs(a - b) <= 20 * bound + 1e-7 * size);  // NaN is wrong

      const int rank = wrong(i, j) ? 2 : clean ? 0 : 1;
      const double error = scale > 0 ? std::abs(a - b) / scale : 0;
      if (rank < worst_rank || (rank == worst_rank && !(error > worst.error || std::isnan(error)))) continue;
      worst_rank = rank;
      worst = {rank == 2 ? Verdict::wrong : rank == 1 ? Verdict::no_clean_slope : Verdict::right, j, i, a, b, error};
      // Over the steps before the best, where the error of a right derivative is that of the difference's next term.
      const int from = std::max(k - 4, 0), to = std::max(k - 2, 1);
      const double coarse = std::abs(rung(from).difference(i, j) - a);
      const double fine = std::max(std::abs(rung(to).difference(i, j) - a), 0.05 * rung(to).rounding(i, j));
      const double slope = std::log(coarse / fine) / std::log(step_of(from) / step_of(to));
      worst.slope = coarse > 3 * rung(from).rounding(i, j) ? slope : std::numeric_limits<double>::quiet_NaN();
    }
  }
  return worst;
}

/// What the mistake looks like; `row` is what a row is called, `sign` what is said of a reversed sign. May be empty.
inline std::string hint(const Eigen::ArrayXXd& written, const Eigen::ArrayXXd& numeric, const Comparison& worst,
                        const Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic>& wrong, const std::string& row,
                        const std::string& sign) {
  const auto close = [](double a, double b) { return std::abs(a - b) <= 1e-5 * std::max(std::abs(a), std::abs(b)); };
  const double ratio = worst.written / worst.numeric;
  if (!std::isfinite(worst.written)) return "not finite: is every element written, with = and not with += ?";
  Index wrong_elements = 0, wrong_rows = 0;
  for (Index i = 0; i < written.rows(); ++i) {
    Index in_row = 0;
    for (Index j = 0; j < written.cols(); ++j) in_row += wrong(i, j) ? 1 : 0;
    wrong_elements += in_row;
    wrong_rows += in_row > 0 ? 1 : 0;
  }
  bool one_ratio = std::isfinite(ratio) && (wrong_elements > 1 || close(2 * ratio, std::round(2 * ratio)));
  for (Index j = 0; j < written.cols(); ++j)
    for (Index i = 0; i < written.rows(); ++i)
      if (wrong(i, j)) one_ratio = one_ratio && close(written(i, j), ratio * numeric(i, j));
  const bool alone = written.rows() > 1 && wrong_rows == 1;
  const std::string where = alone ? detail::text(" in ", row, " ", worst.row, " alone") : "";
  if (one_ratio && close(ratio, -1)) return "the sign is reversed" + where + sign;
  if (one_ratio && ratio != 0) return detail::text("a factor: ", ratio, " times the right value", where);
  for (Index other = 0; other < written.rows(); ++other) {
    bool same = other != worst.row && numeric(other, worst.column) != 0;
    for (Index j = 0; j < written.cols(); ++j) same = same && close(written(worst.row, j), numeric(other, j));
    if (same)
      return detail::text(row, " ", worst.row, " holds what belongs to ", row, " ", other,
                          ": an index off, another order, or a matrix transposed");
  }
  return alone ? "wrong" + where + ": a term missing there?" : "";
}

}  // namespace scorematch::diagnostics
