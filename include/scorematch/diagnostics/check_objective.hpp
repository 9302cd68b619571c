// Is an objective right? Its adjoints are compared with central differences of its losses, and its promises are tried.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/diagnostics/difference_ladder.hpp"
#include "scorematch/loss/loss.hpp"
#include "scorematch/random/stream.hpp"
#include "scorematch/room.hpp"

namespace scorematch {

/// What check_objective found.
struct [[nodiscard]] ObjectiveReport {
  /// Right, wrong, no clean slope, skipped.
  using Verdict = diagnostics::Verdict;
  /// A quantity and its worst element: `column` is the sample's column in X, `row` the coordinate (in the k-th of
  /// several runs of points k d + coordinate), the direction, or, for the gradient, the index in θ.
  using Entry = diagnostics::Entry;

  bool passed = false;              ///< something was compared, and all that was is right
  std::vector<Entry> entries = {};  ///< one for each quantity

  /// The entry of a quantity; null if there is none.
  const Entry* find(const std::string& quantity) const { return diagnostics::find(entries, quantity); }

  /// A table, a line an entry, its note below.
  std::string text() const { return diagnostics::table("objective", passed, entries); }
};

namespace diagnostics {

/// What at_point answers in two dimensions.
struct PointAnswer {
  double value = 0;                ///< the loss
  double curvature_bar = 0;        ///< its derivative with respect to the curvature
  std::array<double, 2> s_bar{};   ///< and the score
  std::vector<double> terms = {};  ///< the loss's terms
};

/// An objective, perhaps with a model, as its check needs them, whatever their types are.
struct CheckedObjective {
  /// Of an objective alone.
  explicit CheckedObjective(objective::BoundObjective<double> bound) : objective(std::move(bound)) {}

  objective::BoundObjective<double> objective;  ///< what is checked
  bool half_squared_score = false;              ///< what the objective says of itself
  std::function<PointAnswer(const std::array<double, 2>& s, double curvature)> at_point = {};  ///< empty: it has none
  /// A model's values; empty: pseudo-random ones.
  std::function<void(const extend::Points<double>&, extend::ScoreValues<double>&)> values = {};
  /// The mean loss with its θ-gradient, of a model that can be trained; else empty.
  std::function<Loss(const Eigen::VectorXd& theta)> loss_at = {};
  Eigen::VectorXd theta = {};  ///< where the gradient is compared
};

/// An objective at the points X. A template, so that programs that check no objective do not compile it.
template <class Real>
class ObjectiveCheck {
  using MatrixXd = Matrix<Real>;
  using VectorXd = Vector<Real>;

  /// The objective's answer for some of the samples, in some order.
  struct Answer {
    Index count = 0, rows = 0;  ///< of samples; with padding
    extend::Samples<double> samples;
    extend::Points<double> points;
    extend::Room notes;
    extend::ScoreValues<double> values;
    extend::Losses<double> losses;
  };

 public:
  ObjectiveCheck(const CheckedObjective& checked, const MatrixXd& X)
      : checked_(checked), objective_(checked.objective), X_(X), d_(X.rows()), B_(X.cols()) {
    for (Index i = 0; i < B_; ++i) order_.push_back(i);
  }

  ObjectiveReport run() {
    Answer all;
    try {
      ask(order_, 0, all);
    } catch (const std::invalid_argument& error) {  // a member that is missing or has another shape
      std::string note = error.what();
      if (note.rfind("scorematch: ", 0) == 0) note = note.substr(12);
      fail("answers", note);
      return report_;
    }
    check_adjoint("bar.S", all, &extend::ScoreValues<double>::S, &extend::ScoreAdjoints<double>::S, d_);
    check_adjoint("bar.slopes", all, &extend::ScoreValues<double>::slopes, &extend::ScoreAdjoints<double>::slopes,
                  all.points.directions);
    check_adjoint("bar.curvature", all, &extend::ScoreValues<double>::curvature,
                  &extend::ScoreAdjoints<double>::curvature, 1);
    check_promises(all);
    if (checked_.half_squared_score) check_half_squared_score(all);
    if (checked_.at_point) check_at_point();
    if (checked_.loss_at) check_gradient();
    report_.passed = all_right(report_.entries);
    return report_;
  }

 private:
  void fail(const std::string& quantity, const std::string& note) {
    Entry entry{{}, quantity, note};
    entry.verdict = Verdict::wrong;
    report_.entries.push_back(entry);
  }
  void pass(const std::string& quantity, const std::string& note = {}) {
    Entry entry{{}, quantity, note};
    entry.verdict = Verdict::right;
    report_.entries.push_back(entry);
  }

  objective::Asked asked(const Answer& a) const {
    return {a.rows, a.count, static_cast<Index>(objective_.term_names().size()),
            static_cast<Index>(objective_.level_names().size()), true};
  }

  // Samples are the columns `columns` of X; the values are those of the same samples and runs whatever the order.
  void ask(const std::vector<Index>& columns, std::uint64_t draw, Answer& a) const {
    constexpr Index lanes = simd::width<simd::Lanes<double>>;
    const Index count = static_cast<Index>(columns.size()), rows = (count + lanes - 1) / lanes * lanes;
    a.count = count;
    a.rows = rows;
    objective::gather_samples<double>(X_, {columns.data(), columns.size()}, 0, count, rows, draw, a.samples);
    objective::prepare_points(objective_, a.samples, a.points, a.notes);
    a.points.gradient = true;
    if (checked_.values) {
      checked_.values(a.points, a.values);
    } else {
      const Index asked_rows = a.points.X.rows();
      const auto fill = [&](auto& numbers, Index cols, std::uint64_t what) {
        numbers.resize(asked_rows, cols);
        for (Index i = 0; i < asked_rows; ++i) {
          const auto place = static_cast<std::int64_t>(i / rows * B_ + columns[index(std::min(i % rows, count - 1))]);
          const VectorXd normals = Stream({.seed = what}, place).normals(cols);
          for (Index j = 0; j < cols; ++j) numbers(i, j) = normals[j];
        }
      };
      const bool given = a.points.along == extend::Along::given;
      if (!given || a.points.score) fill(a.values.S, d_, 1);
      if (given) fill(a.values.slopes, a.points.directions, 2);
      if (a.points.along != extend::Along::none) fill(a.values.curvature, 1, 3);
    }
    score(a);
  }

  void score(Answer& a) const {
    objective::score_points(objective_, a.samples, a.points, a.notes, asked(a), a.values, a.losses);
  }

  static std::size_t index(Index i) { return static_cast<std::size_t>(i); }

  static double unit_of(double number) { return std::exp2(std::ceil(std::log2(std::max(1.0, std::abs(number))))); }

  // The derivative of each sample's loss with respect to `cols` numbers at each of its points.
  template <class Values, class Bars>
  void check_adjoint(const std::string& quantity, const Answer& all, Values member, Bars bar_member, Index cols) {
    const bool is_s = quantity == "bar.S", is_slopes = quantity == "bar.slopes";
    const bool given = all.points.along == extend::Along::given;
    if (is_s ? given && !all.points.score : is_slopes ? !given : all.points.along == extend::Along::none)
      return report_.entries.push_back({{}, quantity, "not asked for"});
    const auto& bar = all.losses.bar.*bar_member;
    const Index runs = all.points.X.rows() / all.rows;
    MatrixXd written(runs * cols, B_);
    for (Index k = 0; k < runs; ++k)
      for (Index j = 0; j < cols; ++j)
        for (Index i = 0; i < B_; ++i) written(k * cols + j, i) = bar(k * all.rows + i, j);
    Answer moved = answer_with(all);
    const auto losses_at = [&](Index k, Index j, double h, Eigen::RowVectorXd& step) {
      moved.values = all.values;
      auto& numbers = moved.values.*member;
      for (Index i = 0; i < B_; ++i) {
        double& number = numbers(k * all.rows + i, j);
        step[i] = std::abs(h) * unit_of(number);
        number += h * unit_of(number);
      }
      score(moved);
      return Eigen::RowVectorXd(moved.losses.value.head(B_).transpose());
    };
    Ladder ladder(rungs, Rung(written.rows(), B_));
    Eigen::RowVectorXd step(B_);
    const Eigen::RowVectorXd centre = all.losses.value.head(B_).transpose();
    for (int rung = 0; rung < rungs; ++rung)
      for (Index k = 0; k < runs; ++k)
        for (Index j = 0; j < cols; ++j) {
          const Eigen::RowVectorXd plus = losses_at(k, j, step_of(rung), step),
                                   minus = losses_at(k, j, -step_of(rung), step);
          ladder[static_cast<std::size_t>(rung)].add(k * cols + j, plus, minus, centre, step);
        }
    compare_with(ladder, quantity, written, "row");
  }

  // A copy but for the notes, which need not be copyable: they are prepared again.
  Answer answer_with(const Answer& all) const {
    Answer copy;
    copy.count = all.count;
    copy.rows = all.rows;
    copy.samples = all.samples;
    objective::prepare_points(objective_, copy.samples, copy.points, copy.notes);
    copy.points.gradient = true;
    return copy;
  }

  Entry& compare_with(const Ladder& ladder, const std::string& quantity, const MatrixXd& written, const char* row) {
    const BestDifference best(ladder);
    Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic> wrong;
    Entry entry{compare(written, ladder, best, wrong), quantity, ""};
    if (entry.verdict == Verdict::wrong) {
      entry.note = hint(written, best.value, entry, wrong, row, ": it is the derivative of the loss that is minimised");
      if (written.isZero(0)) entry.note = "all are 0, but the loss depends on it";
    }
    if (entry.verdict == Verdict::no_clean_slope)
      entry.note = "the differences do not settle: a kink, a jump or something not finite near these values";
    report_.entries.push_back(entry);
    return report_.entries.back();
  }

  static bool close(double a, double b) {
    return a == b || std::abs(a - b) <= 1e-9 * std::max(std::abs(a), std::abs(b)) || (std::isnan(a) && std::isnan(b));
  }

  static bool same_points(const extend::Points<double>& a, const extend::Points<double>& b) {
    return a.X == b.X && a.V == b.V && a.sigma == b.sigma && a.along == b.along && a.score == b.score;
  }

  // Sample i of a, and the same sample, k of b.
  static bool same_sample(const Answer& a, Index i, const Answer& b, Index k) {
    bool same = a.points.along == b.points.along && a.points.directions == b.points.directions &&
                a.points.X.rows() / a.rows == b.points.X.rows() / b.rows && close(a.losses.value[i], b.losses.value[k]);
    for (Index run = 0; same && run < a.points.X.rows() / a.rows; ++run) {
      const Index at = run * a.rows + i, there = run * b.rows + k;
      same = (a.points.X.row(at) - b.points.X.row(there)).isZero(0) &&
             (a.points.sigma.size() == 0 || a.points.sigma[at] == b.points.sigma[there]) &&
             (a.points.along != extend::Along::given || (a.points.V.row(at) - b.points.V.row(there)).isZero(0));
    }
    return same;
  }

  // What an objective says of itself, and what the loop over blocks relies on.
  void check_promises(const Answer& all) {
    Answer again, other, backwards, alone;
    ask(order_, 0, again);
    const bool repeats = same_points(again.points, all.points) && again.losses.value == all.losses.value;
    if (repeats)
      pass("repeatable");
    else
      fail("repeatable",
           "the same samples at the same draw have other losses: take noise from samples.index and samples.draw "
           "(fill_normals), not from a generator that goes on");
    if (!repeats) return;

    bool differs = false;
    for (std::uint64_t draw = 1; draw <= 3; ++draw) {
      ask(order_, draw, other);
      differs = differs || !same_points(other.points, all.points) || other.losses.value != all.losses.value;
    }
    if (objective_.deterministic() && differs)
      fail("deterministic", "deterministic() is true, but another draw gives other losses");
    else
      pass("deterministic", objective_.deterministic() || differs
                                ? ""
                                : "deterministic() is false, but draws 0 to 3 agree: fit takes Adam where L-BFGS "
                                  "would do");

    // The loop cuts data into blocks as it likes.
    const std::vector<Index> reversed(order_.rbegin(), order_.rend());
    ask(reversed, 0, backwards);
    Index differing = -1;
    for (Index i = 0; i < B_; ++i)
      if (!same_sample(backwards, B_ - 1 - i, all, i)) differing = i;
    for (Index i = 0; i < std::min<Index>(B_, 3); ++i) {
      ask({i}, 0, alone);
      if (!same_sample(alone, 0, all, i)) differing = i;
    }
    if (differing >= 0)
      fail("samples apart",
           detail::text(
               "the points or the loss of column ", differing,
               " depend on the other samples of its block, or on its place in it: losses.value[b] must be the loss of "
               "sample b alone, and its noise go with samples.index[b]"));
    else
      pass("samples apart");
  }

  // Closed forms rely on it.
  void check_half_squared_score(const Answer& all) {
    const bool asks_s = all.points.along != extend::Along::given || all.points.score;
    Answer moved = answer_with(all);
    moved.values = all.values;
    MatrixXd change = MatrixXd::Zero(all.points.X.rows(), d_);
    Stream stream({.seed = 4});
    if (asks_s)
      for (Index j = 0; j < d_; ++j)
        for (Index i = 0; i < change.rows(); ++i) change(i, j) = stream.normal() * unit_of(all.values.S(i, j));
    if (asks_s) moved.values.S += change;
    if (all.points.along != extend::Along::none) moved.values.curvature.array() += 1;
    if (all.points.along == extend::Along::given) moved.values.slopes.array() += 1;
    score(moved);
    bool holds = asks_s;
    if (asks_s) {
      const MatrixXd expected = all.losses.bar.S + change;
      holds = (moved.losses.bar.S - expected).norm() <= 1e-9 * (1 + expected.norm());
    }
    if (all.points.along != extend::Along::none)
      holds = holds && (moved.losses.bar.curvature - all.losses.bar.curvature).norm() <=
                           1e-9 * (1 + all.losses.bar.curvature.norm());
    if (all.points.along == extend::Along::given)
      holds = holds &&
              (moved.losses.bar.slopes - all.losses.bar.slopes).norm() <= 1e-9 * (1 + all.losses.bar.slopes.norm());
    if (holds)
      pass("half_squared_score");
    else
      fail("half_squared_score",
           "half_squared_score() is true, but the loss is not ½‖s‖² plus what is linear in s and the curvature: "
           "closed_form would be wrong");
  }

  // What fused loops take instead of `score`, in two dimensions and with pseudo-random values.
  void check_at_point() {
    CheckedObjective alone(objective_);
    const MatrixXd plane = Stream({.seed = 5}).normals(8).reshaped(2, 4);
    if (ObjectiveCheck(alone, plane).agrees_at_points(checked_))
      pass("at_point");
    else
      fail("at_point", "at_point and score, along the axes, must give the same loss, terms and derivatives");
  }

  bool agrees_at_points(const CheckedObjective& checked) const {
    Answer all;
    ask(order_, 0, all);
    bool agrees = all.points.along == extend::Along::axes && all.points.X.rows() == all.rows;
    for (Index i = 0; i < B_ && agrees; ++i) {
      const PointAnswer point = checked.at_point({all.values.S(i, 0), all.values.S(i, 1)}, all.values.curvature[i]);
      agrees = close(point.value, all.losses.value[i]) && close(point.curvature_bar, all.losses.bar.curvature[i]) &&
               close(point.s_bar[0], all.losses.bar.S(i, 0)) && close(point.s_bar[1], all.losses.bar.S(i, 1));
      for (std::size_t k = 0; k < point.terms.size(); ++k)
        agrees = agrees && close(point.terms[k], all.losses.terms(i, static_cast<Index>(k)));
    }
    return agrees;
  }

  // All together: the gradient with respect to θ, as fits see it.
  void check_gradient() {
    const VectorXd& theta = checked_.theta;
    if (theta.size() == 0) return report_.entries.push_back({{}, "gradient", "the model has no parameters"});
    const Loss present = checked_.loss_at(theta);
    Ladder ladder(rungs, Rung(theta.size(), 1));
    for (int rung = 0; rung < rungs; ++rung)
      for (Index k = 0; k < theta.size(); ++k) {
        const double h = step_of(rung) * unit_of(theta[k]);
        const auto value = [&](double step) {
          VectorXd at = theta;
          at[k] += step;
          return Eigen::RowVectorXd::Constant(1, checked_.loss_at(at).value);
        };
        ladder[static_cast<std::size_t>(rung)].add(k, value(h), value(-h),
                                                   Eigen::RowVectorXd::Constant(1, present.value), h);
      }
    compare_with(ladder, "gradient", present.gradient, "theta").column = -1;
  }

  const CheckedObjective& checked_;
  const objective::BoundObjective<double>& objective_;
  const MatrixXd X_;
  Index d_, B_;
  std::vector<Index> order_;
  ObjectiveReport report_;
};

/// An objective by itself, once it accepts X. Where `terms`, the list of term names, has a size that is known when it
/// is compiled, the objective may have at_point.
template <class O>
CheckedObjective checked(const O& objective, MatrixView<double> X) {
  static_assert(
      extend::Objective<O, double>,
      "an objective must provide  validate, deterministic, term_names, prepare and score  as in concepts.hpp");
  objective.validate();
  if constexpr (requires { objective.validate_for(X.rows(), X.cols()); }) objective.validate_for(X.rows(), X.cols());
  if constexpr (requires { objective.template validate_data<double>(X); }) objective.template validate_data<double>(X);
  CheckedObjective result{objective::BoundObjective<double>(objective)};
  if constexpr (requires {
                  { objective.half_squared_score() } -> std::same_as<bool>;
                })
    result.half_squared_score = objective.half_squared_score();
  using Terms = std::remove_cvref_t<decltype(objective.term_names())>;
  if constexpr (requires { std::tuple_size<Terms>::value; }) {
    using Numbers = std::array<double, std::tuple_size_v<Terms>>;
    if constexpr (requires(std::array<double, 2> s, double number, Numbers terms) {
                    objective.at_point(s, number, number, terms, s, number);
                  })
      result.at_point = [&objective](std::array<double, 2> s, double curvature) {
        PointAnswer answer;
        Numbers terms{};
        objective.at_point(s, curvature, answer.value, terms, answer.s_bar, answer.curvature_bar);
        answer.terms.assign(terms.begin(), terms.end());
        return answer;
      };
  }
  return result;
}

}  // namespace diagnostics

/// Compares what an objective answers with central differences, at the columns of X (d × B), and tries its promises:
///   answers              each member is set, with its shape (else nothing more is compared)
///   bar.S, bar.slopes,   with the change of losses.value with the score, the slopes and the curvature, by slope as in
///   bar.curvature        check_derivatives
///   repeatable           the same samples at the same draw have the same losses
///   deterministic        so have other draws, where deterministic() says so
///   samples apart        a sample's loss is its own, whatever block it is in
///   half_squared_score,  where the objective has them
///   at_point
///
///   const auto report = sm::check_objective(MyObjective{}, sm::Stream({.seed = 1}).normals(12).reshaped(3, 4));
///   std::puts(report.text().c_str());
///
/// Score, slopes and curvature are pseudo-random. Cost: 28 calls of `score` a coordinate.
/// Throws std::invalid_argument for an empty X, a non-finite entry (with its column), and what the objective refuses.
template <class O, class Derived>
ObjectiveReport check_objective(const O& objective, const Eigen::MatrixBase<Derived>& X) {
  const Matrix<double> points = X.template cast<double>();
  extend::require_samples<double>(points, points.rows(), "X");
  return diagnostics::ObjectiveCheck<double>(diagnostics::checked(objective, points), points).run();
}

/// The same with the score, slopes and curvature of a model, and
///   gradient             the θ-gradient of the mean loss, against the change of that loss with θ
template <class O, class M, class Derived>
ObjectiveReport check_objective(const O& objective, const M& model, const Eigen::MatrixBase<Derived>& X) {
  ObjectiveReport report;
  if constexpr (detail::check_model<M>()) {
    const Matrix<double> points = X.template cast<double>();
    extend::require_samples<double>(points, static_cast<Index>(model.dimension()), "X");
    diagnostics::CheckedObjective checked = diagnostics::checked(objective, points);
    const extend::BoundModel<double> bound = detail::bind<double>(model);
    checked.values = [&bound](const extend::Points<double>& at, extend::ScoreValues<double>& values) {
      extend::Room workspace;
      bound.evaluate(at, workspace, values);
    };
    if constexpr (detail::AnyTrainableModel<M>) {
      checked.theta = model.parameters();
      checked.loss_at = [function = std::make_shared<objective::LossFunction<double>>(
                             objective::loss_function<double>(model, objective, points))](const Eigen::VectorXd& at) {
        Loss loss;
        function->bind(at);
        function->evaluate({}, true, loss);
        return loss;
      };
    }
    report = diagnostics::ObjectiveCheck<double>(checked, points).run();
  }
  return report;
}

}  // namespace scorematch
