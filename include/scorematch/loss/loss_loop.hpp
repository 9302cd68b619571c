// The one loop over blocks and threads that all losses share. It is compiled once a scalar, whatever the models and the
// objectives are: a block's work, in which they differ, is a call (loss/loss.hpp).
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "scorematch/concepts.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/loss/moments.hpp"
#include "scorematch/loss/score_rows.hpp"
#include "scorematch/simd/arrays.hpp"
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
  Index block = 0;          ///< samples a block; 0: by the model and their number. Changes rounding only
  bool per_sample = false;  ///< also return each sample's loss
};

namespace objective {

/// A loss to second order in the score, at one θ: with v the numbers whose squares it sums up, elements of the score or
/// its slopes,
///   loss(θ + δ) ≈ loss(θ) + gᵀδ + ½ δᵀGδ,   G = E Σ w (∂v/∂θ)(∂v/∂θ)ᵀ,
/// w the loss's second derivative with respect to v.
struct SecondOrder {
  Index samples = 0;           ///< that were looked at
  double square = 0;           ///< E Σ w v²
  double relative_square = 0;  ///< the same of v beside its natural size
  double weight = 0;           ///< the mean of w
  double gain = 0;             ///< the mean loss minus that of a model whose score is 0 everywhere
};

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

/// A model's loss as a function of θ, evaluated again and again on the same data: buffers are kept between calls.
/// Holds a view of the data: it must not outlive them.
template <class T>
class LossLoop {
 public:
  virtual ~LossLoop() = default;

  Index samples() const { return data_.cols(); }
  virtual void bind(const Eigen::VectorXd& theta) = 0;
  /// The loss at the θ that was bound last; the same bits for any number of threads.
  void evaluate(const LossOptions& options, bool with_gradient, Loss& loss);
  virtual Index parameter_count() const = 0;
  /// The same θ's second order, from about `most` samples spread evenly over the data, at draw 0: visits √w ∂v/∂θ for
  /// each v, unless `visit` is empty. `deviations` of the data's coordinates: the natural sizes.
  virtual SecondOrder second_order(Index most, const Eigen::VectorXd& deviations, const RowVisitor& visit) = 0;
  const MatrixView<T>& data() const { return data_; }

 protected:
  /// What a thread keeps; models and objectives add their own.
  struct State {
    virtual ~State() = default;

    Samples<T> samples;
    Points<T> points;
    ScoreValues<T> values;
    Losses<T> losses;
    Eigen::VectorXd sums;  ///< of the θ-gradient, in the model's own coordinates
    Moments loss;
    std::vector<Moments> terms, levels;
  };
  struct Thread {
    std::unique_ptr<State> state;
  };

  /// What one call computes, and its partition: blocks, and the runs of them that one thread sums up before the ordered
  /// reduction.
  struct Call {
    const LossOptions& options;
    bool with_gradient;
    Eigen::VectorXd& per_sample;
    Index count = 0, block = 0, rows = 0;  ///< rows: block, padded to whole registers
    Index blocks = 0, per_run = 0, runs = 0;
    Index sum_size = 0;  ///< 0 without a gradient
    bool few = false;    ///< samples of a long θ, in finer blocks than fit, so that several threads have some
  };
  struct Block {
    Index first, count;
  };

  template <class Names>
  LossLoop(MatrixView<T> data, const Names& term_names) : data_(data), names_(term_names.begin(), term_names.end()) {}
  LossLoop(LossLoop&&) = default;

  virtual std::unique_ptr<State> make_state() const = 0;
  virtual Index sum_size() const = 0;
  virtual void finish(Eigen::VectorXd& sums, Eigen::VectorXd& gradient) = 0;

  /// How many samples fit in the cache, for the derivatives that the objective asks of the model.
  virtual Index block_size() = 0;
  /// Values and losses of s.samples; with a gradient, their part of it is added to s.sums.
  virtual void sweep(State& s, const Call& call, Block block) = 0;
  /// Whether all of a block may be one pass without blocks in memory, and that pass; false where it cannot be after
  /// all.
  virtual bool may_fuse() const { return false; }
  virtual bool sweep_fused(State&, const Call&, Block) { return false; }
  /// Sums up all blocks, the θ-gradient scaled by 1/count, if there is a better way than the loop's; else false.
  virtual bool sum_otherwise(const Call&) { return false; }

  void sweep_block(State& s, const Call& call, Index b);
  void prepare(Thread& thread, const Call& call) const;
  static void reset(State& s);
  void reduce(const State& s);

  MatrixView<T> data_;
  std::vector<std::string> level_names_;
  evaluate::PerThread<Thread> threads_;
  Eigen::VectorXd total_sums_;

 private:
  Call partitioned(const LossOptions& options, bool with_gradient, Eigen::VectorXd& per_sample);
  void sum(const Call& call);
  void add_sums(State& s, const Call& call, Index run, Index first, Index size);
  void report(const Call& call, Loss& loss) const;

  std::vector<std::string> names_;  ///< of the terms
  Moments total_;
  std::vector<Moments> total_terms_, total_levels_;
};

// Members are defined outside of the class, so that programs which link scorematch::precompiled need not compile them.

template <class T>
void LossLoop<T>::evaluate(const LossOptions& options, bool with_gradient, Loss& loss) {
  const Call call = partitioned(options, with_gradient, loss.per_sample);
  loss.per_sample.resize(options.per_sample ? call.count : 0);
  total_ = Moments{};
  total_terms_.assign(names_.size(), Moments{});
  total_levels_.assign(level_names_.size(), Moments{});
  if (with_gradient) total_sums_.resize(call.sum_size);
  if (!with_gradient || !sum_otherwise(call)) sum(call);
  report(call, loss);
  if (!with_gradient) return;
  loss.gradient.resize(parameter_count());
  finish(total_sums_, loss.gradient);
}

template <class T>
void LossLoop<T>::sum(const Call& call) {
  const auto prepared = [&](Thread& thread) { prepare(thread, call); };
  const auto work = [&](Thread& thread, Index run) {
    State& s = *thread.state;
    reset(s);
    if (call.with_gradient) s.sums.setZero();
    for (Index b = run * call.per_run; b < std::min(call.blocks, (run + 1) * call.per_run); ++b)
      sweep_block(s, call, b);
  };
  const auto add = [&](Thread& thread, Index run, Index first, Index size) {
    add_sums(*thread.state, call, run, first, size);
  };
  const auto reduce_and_add = [&](Thread& thread, Index run) {
    reduce(*thread.state);
    add(thread, run, 0, call.sum_size);
  };
  if (call.sum_size < 65536)
    evaluate::for_each_piece(call.runs, threads_, prepared, work, reduce_and_add);
  else
    evaluate::for_each_piece(
        call.runs, threads_, prepared, work, [&](Thread& thread, Index) { reduce(*thread.state); }, call.sum_size, add);
}

template <class T>
auto LossLoop<T>::partitioned(const LossOptions& options, bool with_gradient, Eigen::VectorXd& per_sample) -> Call {
  constexpr Index lanes = simd::width<simd::Lanes<T>>;
  constexpr Index fused_block = 2048;  // nothing is kept of a fused block, so that only the partition matters
  Call call{options, with_gradient, per_sample};
  call.count = options.columns.empty() ? data_.cols() : static_cast<Index>(options.columns.size());
  call.sum_size = with_gradient ? sum_size() : 0;
  const Index fitting = options.block > 0 ? options.block : with_gradient && may_fuse() ? fused_block : block_size();
  call.block = std::min(fitting, call.count);
  if (options.block == 0) {
    // What a minibatch of one or two blocks is cut into for its threads: four parts, as far as the products of each
    // take longer than threads wait for each other.
    constexpr Index parts = 4, least = 64, long_theta = 1 << 14;
    call.few = call.sum_size >= long_theta && call.count <= 2 * fitting;
    const Index cut = call.few ? std::clamp<Index>(call.count / least, 1, parts) : 1,
                blocks = std::max(cut, (call.count + fitting - 1) / fitting);
    // a small last block only where whole registers allow no better
    const Index even = (call.count + blocks - 1) / blocks;
    call.block = std::min(call.block, (even + lanes - 1) / lanes * lanes);
  }
  call.rows = (call.block + lanes - 1) / lanes * lanes;
  call.blocks = (call.count + call.block - 1) / call.block;
  // Fewer runs where θ is large.
  const Index most = std::max<Index>(8, std::min<Index>(64, (Index(1) << 24) / std::max<Index>(sum_size(), 1)));
  call.per_run = (call.blocks + most - 1) / most;
  call.runs = (call.blocks + call.per_run - 1) / call.per_run;
  return call;
}

template <class T>
void LossLoop<T>::prepare(Thread& thread, const Call& call) const {
  if (!thread.state) thread.state = make_state();
  thread.state->terms.resize(names_.size());
  thread.state->levels.resize(level_names_.size());
  if (call.with_gradient) thread.state->sums.resize(call.sum_size);
}

template <class T>
void LossLoop<T>::reset(State& s) {
  s.loss = Moments{};
  for (Moments& term : s.terms) term = Moments{};
  for (Moments& level : s.levels) level = Moments{};
}

template <class T>
void LossLoop<T>::sweep_block(State& s, const Call& call, Index b) {
  const Index first = b * call.block;
  const Block block{first, std::min(call.block, call.count - first)};
  if (call.with_gradient && may_fuse() && sweep_fused(s, call, block)) return;
  gather_samples(data_, call.options.columns, first, block.count, call.rows, call.options.draw, s.samples);
  sweep(s, call, block);
  const T* value = s.losses.value.data();
  s.loss.add_all(value, block.count);
  if (call.options.per_sample)
    for (Index i = 0; i < block.count; ++i) call.per_sample[first + i] = static_cast<double>(value[i]);
  for (std::size_t k = 0; k < names_.size(); ++k)
    s.terms[k].add_all(s.losses.terms.data() + static_cast<Index>(k) * call.rows, block.count);
  if (!level_names_.empty())
    for (Index i = 0; i < block.count; ++i)
      s.levels[static_cast<std::size_t>(s.losses.level[i])].add(1, static_cast<double>(value[i]), 0);
}

template <class T>
void LossLoop<T>::reduce(const State& s) {
  total_.add(s.loss.count, s.loss.mean, s.loss.squares);
  for (std::size_t k = 0; k < names_.size(); ++k)
    total_terms_[k].add(s.terms[k].count, s.terms[k].mean, s.terms[k].squares);
  for (std::size_t k = 0; k < level_names_.size(); ++k)
    total_levels_[k].add(s.levels[k].count, s.levels[k].mean, s.levels[k].squares);
}

// Elements first … first + size − 1 of a run's sums; those of the last run complete the mean.
template <class T>
void LossLoop<T>::add_sums(State& s, const Call& call, Index run, Index first, Index size) {
  const double *sums = s.sums.data() + first, scale = run + 1 < call.runs ? 1 : 1 / static_cast<double>(call.count);
  double* total = total_sums_.data() + first;
  if (run == 0 && scale == 1 && size == call.sum_size && size > 0)
    total_sums_.swap(s.sums);
  else
    simd::for_lanes<simd::Lanes<double>>(size, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
      const V sum = simd::load<V>(sums + i);
      simd::store<V>(total + i, scale * (run == 0 ? sum : simd::load<V>(total + i) + sum));
    });
}

template <class T>
void LossLoop<T>::report(const Call& call, Loss& loss) const {
  loss.value = total_.mean;
  loss.standard_error = total_.standard_error();
  loss.samples = call.count;
  loss.terms.resize(names_.size());
  for (std::size_t k = 0; k < names_.size(); ++k) {
    loss.terms[k].name = names_[k];
    loss.terms[k].value = total_terms_[k].mean;
    loss.terms[k].standard_error = total_terms_[k].standard_error();
  }
  loss.levels.resize(level_names_.size());
  for (std::size_t k = 0; k < level_names_.size(); ++k) {
    const Moments& level = total_levels_[k];
    loss.levels[k].name = level_names_[k];
    loss.levels[k].value = level.count > 0 ? level.mean : std::numeric_limits<double>::quiet_NaN();
    loss.levels[k].standard_error = level.standard_error();
  }
}

}  // namespace objective
}  // namespace scorematch
