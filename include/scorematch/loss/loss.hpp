// The loss of a model on data.
#pragma once

#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/loss/answers.hpp"
#include "scorematch/loss/fused_loss.hpp"
#include "scorematch/loss/loss_loop.hpp"
#include "scorematch/loss/withheld_products.hpp"
#include "scorematch/model/user_model.hpp"
#include "scorematch/random/stream.hpp"

namespace scorematch {
namespace objective {

/// The class of each of the samples, as often as the objective asks for points of it (in runs of all samples).
template <class T>
void gather_labels(std::span<const int> labels, const Samples<T>& samples, Points<T>& points) {
  if (labels.empty()) return points.label.resize(0);
  const Index rows = samples.X.rows();
  points.label.resize(points.X.rows());
  for (Index i = 0; i < points.label.size(); ++i)
    points.label[i] = labels[static_cast<std::size_t>(samples.index[i % rows])];
}

/// Sets the adjoints of rows from `count` on to 0: padding has no part in a gradient. An objective that asks for
/// several points a sample has them in several runs of `rows`.
template <class T>
void drop_padding(Index count, Index rows, ScoreAdjoints<T>& bar) {
  const auto drop = [&](T* numbers, Index size) {
    for (Index i = count; i < rows; ++i)
      for (Index at = i; at < size; at += rows) numbers[at] = T(0);
  };
  drop(bar.S.data(), bar.S.size());
  drop(bar.slopes.data(), bar.slopes.size());
  drop(bar.curvature.data(), bar.curvature.size());
}

/// The loop over blocks, with the model and the objective that it calls.
template <class T, class Bound, class O>
requires BoundScore<Bound, T> && Objective<O, T>
class LossFunction final : public std::conditional_t<Withholding<Bound>, WithholdingLossLoop<T>, LossLoop<T>> {
  using Loop = std::conditional_t<Withholding<Bound>, WithholdingLossLoop<T>, LossLoop<T>>;
  using typename LossLoop<T>::State;
  using typename LossLoop<T>::Call;
  using typename LossLoop<T>::Block;

 public:
  LossFunction(Bound bound, const O& objective, MatrixView<T> data)
      : Loop(data, objective.term_names()), bound_(std::move(bound)), objective_(objective) {
    if constexpr (requires { objective.level_names(); }) this->level_names_ = objective.level_names();
  }

  Bound& bound() { return bound_; }
  void bind(const Eigen::VectorXd& theta) override { bound_.bind(theta); }
  Index parameter_count() const override { return bound_.parameter_count(); }

  SecondOrder second_order(Index most, const Eigen::VectorXd& deviations, const RowVisitor& visit) override {
    constexpr Index lanes = simd::width<simd::Lanes<T>>;
    const Index samples = this->samples(), count = std::min(most, samples);
    std::vector<Index> columns(static_cast<std::size_t>(count));
    for (Index k = 0; k < count; ++k) columns[static_cast<std::size_t>(k)] = k * samples / count;
    SecondOrder sums{.samples = count};
    OwnState s;
    ScoreRows<T, Bound> rows(bound_);
    Losses<T> moved, at_zero;
    const Index terms = static_cast<Index>(objective_.term_names().size());
    for (Losses<T>* losses : {&s.losses, &moved, &at_zero}) {
      losses->value.resize(lanes);
      losses->terms.resize(lanes, terms);
    }
    Index weights = 0;
    for (Index first = 0; first < count; first += lanes) {
      const Index n = std::min(lanes, count - first);
      gather_samples<T>(this->data_, columns, first, n, lanes, 0, s.samples);
      objective_.prepare(s.samples, s.points, s.notes);
      s.points.gradient = false;
      bound_.evaluate(s.points, s.workspace, s.values);
      objective_.score(s.samples, s.points, s.notes, s.values, s.losses);
      // The loss's slope is linear in the score, so that a difference of any size is its second derivative.
      ScoreValues<T> values = s.values;
      const auto step_of = [](const Matrix<T>& v, const Matrix<T>& bar) {
        T square = 0;
        for (const Matrix<T>* numbers : {&v, &bar})
          for (Index i = 0; i < numbers->size(); ++i) square += numbers->data()[i] * numbers->data()[i];
        const T step = std::sqrt(square / static_cast<T>(std::max<Index>(v.size(), 1)));
        return step > 0 && std::isfinite(step) ? step : T(1);
      };
      const T score_step = step_of(values.S, s.losses.bar.S), slope_step = step_of(values.slopes, s.losses.bar.slopes);
      for (Index i = 0; i < values.S.size(); ++i) values.S.data()[i] += score_step;
      for (Index i = 0; i < values.slopes.size(); ++i) values.slopes.data()[i] += slope_step;
      objective_.score(s.samples, s.points, s.notes, values, moved);
      values.S.setZero();
      values.slopes.setZero();
      values.curvature.setZero();
      objective_.score(s.samples, s.points, s.notes, values, at_zero);
      for (Index i = 0; i < n; ++i) sums.gain += static_cast<double>(s.losses.value[i] - at_zero.value[i]);
      if (visit) rows.at(s.points);
      const auto add = [&](const Matrix<T>& v, const Matrix<T>& bar, const Matrix<T>& moved_bar, T step, bool slopes) {
        if (bar.rows() != v.rows() || bar.cols() != v.cols() || moved_bar.size() != bar.size()) return;
        for (Index b = 0; b < v.rows(); ++b) {
          if (b % lanes >= n) continue;  // padding
          for (Index j = 0; j < v.cols(); ++j) {
            const T weight = (moved_bar(b, j) - bar(b, j)) / step;
            // what rounding leaves of a value that enters linearly, or not at all, is no weight
            if (!(weight > 1000 * std::numeric_limits<T>::epsilon() * std::abs(bar(b, j)) / step)) continue;
            const T root = std::sqrt(weight);
            const double square =
                static_cast<double>(weight) * static_cast<double>(v(b, j)) * static_cast<double>(v(b, j));
            double natural = slopes ? 0 : 1 / (deviations[j] * deviations[j]);
            if (slopes)
              for (Index k = 0; k < deviations.size(); ++k) {
                const double share = static_cast<double>(s.points.V(b, j * deviations.size() + k)) / deviations[k];
                natural += share * share;
              }
            natural *= static_cast<double>(weight);
            if (visit) visit(slopes ? rows.of_slope(b, j, root) : rows.of_element(b, j, root), natural);
            sums.square += square;
            if (natural > 0) sums.relative_square += square / natural;
            sums.weight += static_cast<double>(weight);
            ++weights;
          }
        }
      };
      if (s.points.score || s.points.along != Along::given)
        add(s.values.S, s.losses.bar.S, moved.bar.S, score_step, false);
      if (s.points.along == Along::given) add(s.values.slopes, s.losses.bar.slopes, moved.bar.slopes, slope_step, true);
    }
    sums.square /= static_cast<double>(count);
    sums.relative_square /= static_cast<double>(count);
    sums.gain /= static_cast<double>(count);
    if (weights > 0) sums.weight /= static_cast<double>(weights);
    return sums;
  }

 private:
  struct OwnState final : State {
    typename Bound::Workspace workspace;
    typename O::template Notes<T> notes;
  };
  static OwnState& own(State& s) { return static_cast<OwnState&>(s); }

  std::unique_ptr<State> make_state() const override { return std::make_unique<OwnState>(); }
  Index sum_size() const override { return bound_.sum_size(); }
  void finish(Eigen::VectorXd& sums, Eigen::VectorXd& gradient) override { bound_.finish(sums, gradient); }

  // Which derivatives the objective asks for decides how many samples fit in the cache: prepare one sample to see.
  Index block_size() override {
    if (block_size_ > 0) return block_size_;
    Samples<T> sample;
    gather_samples<T>(this->data_, {}, 0, 1, 1, 0, sample);
    Points<T> points;
    typename O::template Notes<T> notes;
    prepare_points(objective_, sample, points, notes);
    along_ = points.along;
    directions_ = points.directions;
    return block_size_ = std::max<Index>(1, bound_.block_size(points.along, points.directions) / points.X.rows());
  }

  void sweep(State& state, const Call& call, Block block) override {
    OwnState& s = own(state);
    prepare_points(objective_, s.samples, s.points, s.notes);
    gather_labels(call.options.labels, s.samples, s.points);
    s.points.gradient = call.with_gradient;
    bound_.evaluate(s.points, s.workspace, s.values);
    const Asked asked{call.rows, block.count, static_cast<Index>(s.terms.size()), static_cast<Index>(s.levels.size()),
                      call.with_gradient};
    score_points(objective_, s.samples, s.points, s.notes, asked, s.values, s.losses);
    if (!call.with_gradient) return;
    drop_padding(block.count, call.rows, s.losses.bar);
    bound_.pull_back(s.points, s.workspace, s.losses.bar, s.sums);
  }

  bool may_fuse() const override {
    if constexpr (Fusable<Bound, O>)
      return bound_.may_carry_tangents();
    else
      return false;
  }
  bool sweep_fused(State& state, const Call& call, Block block) override {
    if constexpr (Fusable<Bound, O>) {
      OwnState& s = own(state);
      const auto* known = bound_.bound_tangents(s.workspace);
      if (known == nullptr) return false;
      fused_pass(bound_, *known, objective_, this->data_.data(), this->data_.outerStride(),
                 call.options.columns.empty() ? nullptr : call.options.columns.data(), block.first, block.count, s.loss,
                 s.terms, s.sums.data(), call.options.per_sample ? call.per_sample.data() : nullptr);
      return true;
    } else {
      return false;
    }
  }

  bool sum_otherwise(const Call& call) override {
    if constexpr (Withholding<Bound>) {
      if (!this->pays(call)) return false;
      block_size();  // learns which derivatives are asked for
      return this->sum_with_products(call, bound_.product_matrices(along_, directions_),
                                     [](State& s) -> evaluate::FormulaWorkspace<T>& { return own(s).workspace; });
    } else {
      return false;
    }
  }

  Bound bound_;
  O objective_;
  Index block_size_ = 0, directions_ = 0;
  Along along_ = Along::none;  ///< with directions_, once block_size_ is known: the derivatives asked for
};

/// Checks what every call on data checks, and makes the LossFunction.
template <class T, class M, class O>
auto loss_function(const M& model, const O& objective, MatrixView<T> data) {
  objective.validate();
  require_samples<T>(data, static_cast<Index>(model.dimension()), "data");
  if constexpr (requires { objective.validate_for(data.rows(), data.cols()); })
    objective.validate_for(data.rows(), data.cols());
  if constexpr (requires { objective.template validate_data<T>(data); }) objective.template validate_data<T>(data);
  if constexpr (requires { objective.level_names(); })
    require(takes_sigma(model) || objective.level_names().empty(),
            {"the objective has noise levels, but the model takes no sigma, so that it could only learn a mean over "
             "them: write its formula as [](auto x, auto sigma, auto theta) …"});
  auto bound = bind<T>(model);
  return LossFunction<T, decltype(bound), O>(std::move(bound), objective, data);
}

template <class T, class M, class O>
void evaluate_once(const M& model, const O& objective, MatrixView<T> data, const LossOptions& options,
                   bool with_gradient, Loss& result) {
  for (const Index column : options.columns)
    require(column >= 0 && column < data.cols(),
            {"columns has ", column, "; the data have columns 0 to ", data.cols() - 1});
  require(options.draw < detail::field_end, {"LossOptions: draw is ", options.draw, "; it must be below 2^40"});
  require_at_least(options.block, 0, "LossOptions: block");
  require_labels(options.labels, data.cols(), classes_of(model), "LossOptions: labels");
  auto function = loss_function<T>(model, objective, data);
  function.evaluate(options, with_gradient, result);
}

}  // namespace objective

/// The mean loss of `model` on the columns of X (d × N), in X's scalar.
/// Throws std::invalid_argument for empty data, a wrong row count, a non-finite entry (with its column), options out of
/// range.
template <class M, class O, class Derived>
[[nodiscard]] Loss loss(const M& model, const O& objective, const Eigen::MatrixBase<Derived>& X,
                        const LossOptions& options = {}) {
  Loss result;
  if constexpr (check_model<M>())
    objective::evaluate_once<typename Derived::Scalar>(model, objective, X.derived(), options, false, result);
  return result;
}

/// The same, with the gradient with respect to θ.
template <class M, class O, class Derived>
[[nodiscard]] Loss loss_and_gradient(const M& model, const O& objective, const Eigen::MatrixBase<Derived>& X,
                                     const LossOptions& options = {}) {
  Loss result;
  if constexpr (check_trainable_model<M>())
    objective::evaluate_once<typename Derived::Scalar>(model, objective, X.derived(), options, true, result);
  return result;
}

}  // namespace scorematch
