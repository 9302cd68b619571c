// The loss of a model on data: the one loop over blocks and threads that every objective shares.
#pragma once

#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/concepts.hpp"
#include "scorematch/evaluate/formula_workspace.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/objective/fused_loss.hpp"
#include "scorematch/objective/moments.hpp"
#include "scorematch/score/user_model.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch {

/// A mean over samples with its standard error √(variance/(n − 1)), n the number of samples.
struct Estimate {
  std::string name = {};
  double value = 0;
  double standard_error = 0;
};

/// What a loss returns. Nothing is repaired: a non-finite number stays in view.
struct Loss {
  double value = 0;                   ///< mean over samples
  double standard_error = 0;          ///< of that mean; 0 for a single sample
  std::vector<Estimate> terms = {};   ///< parts of the loss worth reading apart, named by the objective
  std::vector<Estimate> levels = {};  ///< the loss of each noise level, where the objective has several; NaN where no
                                      ///< sample drew it
  Eigen::VectorXd gradient = {};      ///< with respect to θ; empty if not asked for
  Eigen::VectorXd per_sample = {};    ///< each sample's own loss, if asked for: for paired comparisons, say
  Index samples = 0;
};

struct LossOptions {
  std::span<const Index> columns = {};  ///< the minibatch: columns of the data; empty for all of them
  /// the class of each column of the data, 0 … classes − 1, or −1 for none: for models whose formula takes a label
  std::span<const int> labels = {};
  std::uint64_t draw = 0;   ///< which draw of the objective's noise
  Index block = 0;          ///< samples a block; 0: chosen from the model. Changes rounding only
  bool per_sample = false;  ///< also return each sample's loss
};

namespace objective {

/// Samples from `first` on, of the data or of `columns`, as a block of `rows` ≥ count rows: the last one is repeated.
template <class T>
void gather_samples(const MatrixView<T>& data, std::span<const Index> columns, Index first, Index count, Index rows,
                    std::uint64_t draw, Samples<T>& samples) {
  const Index d = data.rows();
  samples.X.resize(rows, d);
  samples.index.resize(rows);
  samples.draw = draw;
  for (Index i = 0; i < rows; ++i) {
    const Index at = first + std::min(i, count - 1);
    const Index column = columns.empty() ? at : columns[static_cast<std::size_t>(at)];
    samples.index[i] = column;
    const T* from = data.data() + column * data.outerStride();
    for (Index j = 0; j < d; ++j) samples.X.data()[j * rows + i] = from[j];
  }
}

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

/// Models whose matrices' gradients can be left for later, as products (evaluate/formula_workspace.hpp).
template <class Bound>
concept Withholding = requires(const Bound& bound, typename Bound::Workspace& workspace) {
  bound.product_matrices(Along::none, Index{});
  workspace.withhold();
};

/// A model's loss as a function of θ, evaluated again and again on the same data: buffers are kept between calls.
/// Holds a view of the data: it must not outlive them.
template <class T, class Bound, class O>
requires BoundScore<Bound, T> && Objective<O, T>
class LossFunction {
 public:
  LossFunction(Bound bound, const O& objective, MatrixView<T> data)
      : bound_(std::move(bound)), objective_(objective), data_(data), names_(objective.term_names()) {
    if constexpr (requires { objective.level_names(); }) level_names_ = objective.level_names();
  }

  Bound& bound() { return bound_; }
  Index samples() const { return data_.cols(); }

  void evaluate(const LossOptions& options, bool with_gradient, Loss& loss) {
    const Index count = options.columns.empty() ? data_.cols() : static_cast<Index>(options.columns.size());
    constexpr Index lanes = simd::width<simd::Lanes<T>>;
    const Index fitting = options.block > 0 ? options.block : fused(with_gradient) ? fused_block : block_size();
    const Index block = std::min(fitting, count), padded = (block + lanes - 1) / lanes * lanes;
    const Index blocks = (count + block - 1) / block;
    // Runs of blocks that one thread sums up before the ordered reduction; fewer where θ is large.
    const Index most_runs =
        std::max<Index>(8, std::min<Index>(64, (Index(1) << 24) / std::max<Index>(bound_.sum_size(), 1)));
    const Index per_run = (blocks + most_runs - 1) / most_runs, runs = (blocks + per_run - 1) / per_run;

    if (options.per_sample) loss.per_sample.resize(count);
    total_.loss = Moments{};
    total_.terms.resize(names_.size());
    for (Moments& term : total_.terms) term = Moments{};
    total_.levels.assign(level_names_.size(), Moments{});
    const Index sum_size = with_gradient ? bound_.sum_size() : 0;
    if (with_gradient) total_sums_.resize(sum_size);
    const auto prepare = [&](State& state) {
      state.terms.resize(names_.size());
      state.levels.resize(level_names_.size());
      if (with_gradient) state.sums.resize(sum_size);
    };
    const auto reset = [&](State& state) {
      state.loss = Moments{};
      for (Moments& term : state.terms) term = Moments{};
      for (Moments& level : state.levels) level = Moments{};
    };
    const auto sweep = [&](State& state, Index b) {
      one_block(state, options, b * block, std::min(block, count - b * block), padded, with_gradient, loss.per_sample);
    };
    const auto work = [&](State& state, Index run) {
      reset(state);
      if (with_gradient) state.sums.setZero();
      for (Index b = run * per_run; b < std::min(blocks, (run + 1) * per_run); ++b) sweep(state, b);
    };
    const auto reduce = [&](State& state, Index) {
      total_.loss.add(state.loss.count, state.loss.mean, state.loss.squares);
      for (std::size_t k = 0; k < names_.size(); ++k)
        total_.terms[k].add(state.terms[k].count, state.terms[k].mean, state.terms[k].squares);
      for (std::size_t k = 0; k < level_names_.size(); ++k)
        total_.levels[k].add(state.levels[k].count, state.levels[k].mean, state.levels[k].squares);
    };
    const auto add = [&](State& state, Index run, Index first, Index size) {
      const double *sums = state.sums.data() + first, scale = run + 1 < runs ? 1 : 1 / static_cast<double>(count);
      double* total = total_sums_.data() + first;
      if (run == 0 && scale == 1 && size == sum_size)
        total_sums_.swap(state.sums);
      else if (run == 0)
        for (Index i = 0; i < size; ++i) total[i] = scale * sums[i];
      else
        for (Index i = 0; i < size; ++i) total[i] = scale * (total[i] + sums[i]);
    };
    if (const auto* matrices = with_gradient ? large_product_matrices() : nullptr)
      sum_with_products(
          *matrices, blocks, 1 / static_cast<double>(count), prepare,
          [&](State& state, Index b) {
            reset(state);
            sweep(state, b);
          },
          reduce);
    else if (sum_size < 65536)
      evaluate::for_each_piece(runs, states_, prepare, work, [&](State& state, Index run) {
        reduce(state, run);
        add(state, run, 0, sum_size);
      });
    else
      evaluate::for_each_piece(runs, states_, prepare, work, reduce, sum_size, add);

    loss.value = total_.loss.mean;
    loss.standard_error = total_.loss.standard_error();
    loss.samples = count;
    if (!options.per_sample) loss.per_sample.resize(0);
    loss.terms.resize(names_.size());
    for (std::size_t k = 0; k < names_.size(); ++k) {
      loss.terms[k].name = names_[k];
      loss.terms[k].value = total_.terms[k].mean;
      loss.terms[k].standard_error = total_.terms[k].standard_error();
    }
    loss.levels.resize(level_names_.size());
    for (std::size_t k = 0; k < level_names_.size(); ++k) {
      const Moments& level = total_.levels[k];
      loss.levels[k].name = level_names_[k];
      loss.levels[k].value = level.count > 0 ? level.mean : std::numeric_limits<double>::quiet_NaN();
      loss.levels[k].standard_error = level.standard_error();
    }
    if (!with_gradient) return;
    loss.gradient.resize(bound_.parameter_count());
    bound_.finish(total_sums_, loss.gradient);
  }

 private:
  struct Sums {
    Moments loss;
    std::vector<Moments> terms;
    std::vector<Moments> levels;
  };

  struct State : Sums {
    typename Bound::Workspace workspace;
    Samples<T> samples;
    Points<T> points;
    ScoreValues<T> values;
    Losses<T> losses;
    typename O::template Notes<T> notes;
    Eigen::VectorXd sums;
  };

  /// Columns of a matrix, from `first` on, that are passed over together.
  struct Strip {
    std::size_t matrix;
    Index first;
  };

  bool fused(bool with_gradient) const {
    if constexpr (Fusable<Bound, O>)
      return with_gradient && bound_.may_carry_tangents();
    else
      return false;
  }

  // θ's matrices, where they take most of a θ whose sums are larger than a cache, so that passing over them costs more
  // than keeping some blocks.
  const evaluate::ProductMatrices* large_product_matrices() {
    if constexpr (Withholding<Bound>) {
      if (bound_.sum_size() < Index(1) << 19) return nullptr;
      block_size();  // learns which derivatives are asked for
      const auto* matrices = bound_.product_matrices(along_, directions_);
      return matrices != nullptr && 2 * matrices->size > bound_.sum_size() ? matrices : nullptr;
    } else {
      return nullptr;
    }
  }

  // A few blocks are swept with their products withheld; then each part of the matrices is passed over once for all of
  // them. The other sums are added block by block. Which blocks go together depends on nothing but their number.
  template <class Prepare, class Sweep, class Reduce>
  void sum_with_products(const evaluate::ProductMatrices& matrices, Index blocks, double scale, Prepare prepare,
                         Sweep sweep, Reduce reduce) {
    if constexpr (Withholding<Bound>) {
      constexpr Index together = 8, strip = evaluate::Gemm<T>::strip;
      struct Nothing {};
      std::vector<Nothing> nothing;
      const Index sum_size = total_sums_.size();
      double* total = total_sums_.data();
      while (static_cast<Index>(states_.size()) < std::min(together, blocks)) states_.emplace_back();
      products_.resize(matrices.list.size());
      strips_.clear();
      for (std::size_t k = 0; k < matrices.list.size(); ++k)
        for (Index first = 0; first < matrices.list[k].cols; first += strip) strips_.push_back({k, first});
      for (Index round = 0; round < blocks; round += together) {
        const Index swept = std::min(together, blocks - round);
        evaluate::for_each_piece(
            swept, nothing, [](Nothing&) {},
            [&](Nothing&, Index k) {
              State& state = states_[static_cast<std::size_t>(k)];
              prepare(state);
              matrices.for_each_gap(sum_size, [&](Index first, Index end) {
                std::fill(state.sums.data() + first, state.sums.data() + end, 0.0);
              });
              state.workspace.withhold();
              sweep(state, round + k);
            });
        for (auto& products : products_) products.clear();
        for (Index k = 0; k < swept; ++k) {
          State& state = states_[static_cast<std::size_t>(k)];
          reduce(state, round + k);
          matrices.for_each_gap(sum_size, [&](Index first, Index end) {
            for (Index i = first; i < end; ++i) total[i] = (round + k == 0 ? 0 : total[i]) + state.sums[i];
          });
          const auto& withheld = state.workspace.withheld();
          for (std::size_t p = 0; p < withheld.products.size(); ++p)
            products_[static_cast<std::size_t>(withheld.matrices[p])].push_back(withheld.products[p]);
        }
        const double factor = round + together < blocks ? 1 : scale;
        evaluate::for_each_piece(
            static_cast<Index>(strips_.size()), nothing, [](Nothing&) {},
            [&](Nothing&, Index s) {
              const auto [k, first] = strips_[static_cast<std::size_t>(s)];
              const evaluate::ProductMatrix& matrix = matrices.list[k];
              evaluate::Gemm<T>::add_transposed(products_[k], matrix.rows, first, std::min(strip, matrix.cols - first),
                                                total + matrix.place, round == 0, factor);
            });
      }
      matrices.for_each_gap(sum_size, [&](Index first, Index end) {
        for (Index i = first; i < end; ++i) total[i] *= scale;
      });
    }
  }

  // Which derivatives the objective asks for decides how many samples fit in the cache: prepare one sample to see.
  Index block_size() {
    if (block_size_ > 0) return block_size_;
    Samples<T> sample;
    sample.X.resize(1, data_.rows());
    for (Index j = 0; j < data_.rows(); ++j) sample.X(0, j) = data_(j, 0);
    sample.index.setZero(1);
    Points<T> points;
    typename O::template Notes<T> notes;
    objective_.prepare(sample, points, notes);
    along_ = points.along;
    directions_ = points.directions;
    return block_size_ = std::max<Index>(1, bound_.block_size(points.along, points.directions) / points.X.rows());
  }

  void one_block(State& s, const LossOptions& options, Index first, Index count, Index rows, bool with_gradient,
                 Eigen::VectorXd& per_sample) {
    if constexpr (Fusable<Bound, O>)
      if (fused(with_gradient))
        if (const auto* known = bound_.bound_tangents(s.workspace))
          return fused_pass(bound_, *known, objective_, data_.data(), data_.outerStride(),
                            options.columns.empty() ? nullptr : options.columns.data(), first, count, s.loss, s.terms,
                            s.sums.data(), options.per_sample ? per_sample.data() : nullptr);
    gather_samples(data_, options.columns, first, count, rows, options.draw, s.samples);
    objective_.prepare(s.samples, s.points, s.notes);
    gather_labels(options.labels, s.samples, s.points);
    s.points.gradient = with_gradient;
    bound_.evaluate(s.points, s.workspace, s.values);
    s.losses.value.resize(rows);
    s.losses.terms.resize(rows, static_cast<Index>(names_.size()));
    objective_.score(s.samples, s.points, s.notes, s.values, s.losses);
    s.loss.add_all(s.losses.value.data(), count);
    if (options.per_sample)
      for (Index i = 0; i < count; ++i) per_sample[first + i] = static_cast<double>(s.losses.value[i]);
    for (std::size_t k = 0; k < names_.size(); ++k)
      s.terms[k].add_all(s.losses.terms.data() + static_cast<Index>(k) * rows, count);
    if (!level_names_.empty())
      for (Index i = 0; i < count; ++i)
        s.levels[static_cast<std::size_t>(s.losses.level[i])].add(1, static_cast<double>(s.losses.value[i]), 0);
    if (!with_gradient) return;
    drop_padding(count, rows, s.losses.bar);
    bound_.pull_back(s.points, s.workspace, s.losses.bar, s.sums);
  }

  Bound bound_;
  O objective_;
  MatrixView<T> data_;
  decltype(std::declval<const O&>().term_names()) names_;
  std::vector<std::string> level_names_;
  std::vector<State> states_;
  std::vector<std::vector<evaluate::TransposedProduct<T>>> products_;  ///< of each matrix, those of a round
  std::vector<Strip> strips_;
  Sums total_;
  Eigen::VectorXd total_sums_;
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
