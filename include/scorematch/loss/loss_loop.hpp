// A model's loss as a function of θ: the one loop over blocks and threads that all losses share, compiled once a
// scalar. A block's work, in which models and objectives differ, is a call of each (BoundModel, BoundObjective).
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/concepts.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/loss/answers.hpp"
#include "scorematch/loss/bound_objective.hpp"
#include "scorematch/loss/moments.hpp"
#include "scorematch/loss/samples_on_ranks.hpp"
#include "scorematch/loss/withheld_products.hpp"
#include "scorematch/model/bound_model.hpp"
#include "scorematch/random/stream.hpp"
#include "scorematch/ranks/shards.hpp"
#include "scorematch/simd/arrays.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch {

/// A mean over samples with its standard error √(variance/(n − 1)), n the number of samples.
struct Estimate {
  std::string name = {};      ///< of the quantity
  double value = 0;           ///< the mean
  double standard_error = 0;  ///< of the mean; 0 for one sample
};

/// The result of a loss. Nothing is repaired: a non-finite number stays in view.
struct Loss {
  double value = 0;                   ///< mean over samples
  double standard_error = 0;          ///< of that mean; 0 for a single sample
  std::vector<Estimate> terms = {};   ///< parts of the loss worth reading apart, named by the objective
  std::vector<Estimate> levels = {};  ///< the loss of each noise level, where the objective has several; NaN where no
                                      ///< sample drew it
  Eigen::VectorXd gradient = {};      ///< with respect to θ; empty if not asked for
  Eigen::VectorXd per_sample = {};    ///< each sample's own loss, if asked for: for paired comparisons, say
  Index samples = 0;                  ///< N, of the data or the minibatch
};

/// Options of loss and loss_and_gradient.
struct LossOptions {
  std::span<const Index> columns = {};  ///< the minibatch: columns of the data; empty for all of them
  /// the class of each column of the data, 0 … classes − 1, or −1 for none: for models whose formula takes a label
  std::span<const int> labels = {};
  std::uint64_t draw = 0;   ///< which draw of the objective's noise
  Index block = 0;          ///< samples a block; 0: by the model and their number. Changes rounding only
  bool per_sample = false;  ///< also return each sample's loss
  /// Ranks, of which each gives its own columns of the data and their labels; all get the same result. `columns` are
  /// then numbers among all columns, rank 0's first; per_sample throws. Default: one process.
  Communicator communicator = {};

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require(draw < detail::field_end, {"LossOptions: draw is ", draw, "; it must be below 2^40"});
    extend::require_at_least(block, 0, "LossOptions: block");
  }

  /// Throws unless `columns` and `labels` are of data of so many samples, of which this rank has `own`, for a model of
  /// so many classes.
  void validate_for(Index samples, Index own, Index classes) const {
    for (const Index column : columns)
      extend::require(column >= 0 && column < samples,
                      {"columns has ", column, "; the data have columns 0 to ", samples - 1});
    extend::require_labels(labels, own, classes, "LossOptions: labels");
  }
};

namespace objective {

/// Samples from `first` on, of the data or of `columns`, as a block of `rows` ≥ count rows: the last one is repeated.
template <class T>
void gather_samples(const MatrixView<T>& data, std::span<const Index> columns, Index first, Index count, Index rows,
                    std::uint64_t draw, extend::Samples<T>& samples) {
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
void gather_labels(std::span<const int> labels, const extend::Samples<T>& samples, extend::Points<T>& points) {
  if (labels.empty()) return points.label.resize(0);
  const Index rows = samples.X.rows();
  points.label.resize(points.X.rows());
  for (Index i = 0; i < points.label.size(); ++i)
    points.label[i] = labels[static_cast<std::size_t>(samples.index[i % rows])];
}

/// Sets the adjoints of rows from `count` on to 0: padding has no part in a gradient. An objective that asks for
/// several points a sample has them in several runs of `rows`.
template <class T>
void drop_padding(Index count, Index rows, extend::ScoreAdjoints<T>& bar) {
  const auto drop = [&](T* numbers, Index size) {
    for (Index i = count; i < rows; ++i)
      for (Index at = i; at < size; at += rows) numbers[at] = T(0);
  };
  drop(bar.S.data(), bar.S.size());
  drop(bar.slopes.data(), bar.slopes.size());
  drop(bar.curvature.data(), bar.curvature.size());
}

/// The numbers, among all columns, of samples in a block of data on ranks: its first one is at place `first` of the
/// call.
template <class T>
void number_samples(std::span<const Index> columns, Index first, Index count, extend::Samples<T>& samples) {
  for (Index i = 0; i < samples.index.size(); ++i) {
    const Index place = first + std::min(i, count - 1);
    samples.index[i] = columns.empty() ? place : columns[static_cast<std::size_t>(place)];
  }
}

/// gather_labels for samples of data on ranks.
template <class T>
void gather_labels(const BlockSource<T>& source, Index count, Index rows, extend::Points<T>& points) {
  if (source.labels == nullptr) return points.label.resize(0);
  points.label.resize(points.X.rows());
  for (Index i = 0; i < points.label.size(); ++i)
    points.label[i] = source.labels[source.first + std::min(i % rows, count - 1)];
}

/// The storage of a thread, kept between two blocks.
template <class T>
struct BlockState {
  extend::Room workspace, notes;  ///< the model's and the objective's
  extend::Samples<T> samples;
  extend::Points<T> points;
  extend::ScoreValues<T> values;
  extend::Losses<T> losses;
  Eigen::VectorXd sums;  ///< of the θ-gradient, in the model's own coordinates
  Moments loss;
  std::vector<Moments> terms, levels;
  Matrix<T> in_pieces;  ///< of data on ranks, a block that lies in two pieces
  std::vector<int> labels_in_pieces;
};

/// Loss and θ-gradient of samples in one pass, with nothing in memory, for a model and an objective that can do this
/// together (loss/fused_loss.hpp).
template <class T>
class FusedPass {
 public:
  virtual ~FusedPass() = default;
  /// Whether θ is small enough.
  virtual bool possible(const extend::BoundModel<T>& bound) const = 0;
  /// Samples first … first + count − 1 of the data, or of `columns` (may be null); false where it cannot be after all.
  virtual bool sweep(const extend::BoundModel<T>& bound, const MatrixView<T>& data, const Index* columns, Index first,
                     Index count, BlockState<T>& state, double* per_sample) const = 0;
};

/// A model's loss as a function of θ, evaluated again and again on the same data: buffers are kept between calls.
/// Holds a view of the data: it must not outlive them.
template <class T>
class LossFunction {
 public:
  /// `fused` may be null. `shards`: which ranks have which columns; `data` are this rank's.
  LossFunction(extend::BoundModel<T> bound, BoundObjective<T> objective, MatrixView<T> data,
               std::unique_ptr<const FusedPass<T>> fused, const ranks::Shards& shards)
      : data_(data),
        bound_(std::move(bound)),
        objective_(std::move(objective)),
        fused_(std::move(fused)),
        shards_(shards) {
    if (!shards.alone()) first_sample_ = ranked_data().columns(std::vector<Index>{0});
  }

  Index samples() const { return shards_.total(data_.cols()); }
  /// All data, of which this rank may have a part.
  ranks::RankedData<T> ranked_data() const { return {data_, shards_}; }
  /// On several ranks: whether calls have labels, of which each rank gives those of its own columns.
  void set_labelled(bool labelled) { labelled_ = labelled; }
  Index parameter_count() const { return bound_.parameter_count(); }
  const MatrixView<T>& data() const { return data_; }
  const extend::BoundModel<T>& bound() const { return bound_; }
  extend::BoundModel<T>& bound() { return bound_; }
  const BoundObjective<T>& objective() const { return objective_; }

  void bind(const Eigen::VectorXd& theta) { bound_.bind(theta); }
  /// The loss at the θ that was bound last; the same bits for any number of threads.
  void evaluate(const LossOptions& options, bool with_gradient, Loss& loss);

 private:
  friend class WithheldProducts<T>;
  using State = BlockState<T>;

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

  /// What a run of another thread or rank leaves, until its turn has come.
  struct RunSums {
    Eigen::VectorXd sums;
    Moments loss;
    std::vector<Moments> terms, levels;
  };

  Call partitioned(const LossOptions& options, bool with_gradient, Eigen::VectorXd& per_sample);
  Index block_size();
  bool may_fuse() const { return fused_ && fused_->possible(bound_); }
  void sum(const Call& call, Index runs);
  void sum_on_ranks(const Call& call);
  void keep_runs(const Call& call, Index first, Index end);
  Index bring_round(const Call& call, Index round, Index swept);
  /// Of a round of blocks, the first that a rank sweeps, and the first that this one leaves to others.
  Index first_of_round(Index swept, int rank) const { return swept * rank / shards_.size(); }
  Index end_of_round(Index swept) const { return first_of_round(swept, shards_.rank() + 1); }
  void add_in_turn(const Call& call);
  void exchange_moments(int from, int to, bool all);
  void sweep_block(State& s, const Call& call, Index b);
  void sweep(State& s, const Call& call, Index count, const BlockSource<T>* source);
  void prepare(State& s, const Call& call) const;
  static void reset(State& s);
  template <class Sums>
  void reduce(const Sums& s);
  void add_sums(Eigen::VectorXd& sums, const Call& call, Index run, Index first, Index size);
  void report(const Call& call, Loss& loss) const;

  MatrixView<T> data_;
  extend::BoundModel<T> bound_;
  BoundObjective<T> objective_;
  std::unique_ptr<const FusedPass<T>> fused_;
  ranks::Shards shards_;
  bool labelled_ = false;
  Matrix<T> first_sample_;                    ///< of all data, on several ranks
  std::unique_ptr<SamplesOnRanks<T>> ranks_;  ///< null before the first call, and on one
  std::vector<RunSums> kept_;                 ///< of this rank's runs
  WithheldProducts<T> withheld_;
  Index block_size_ = 0, directions_ = 0;
  extend::Along along_ =
      extend::Along::none;  ///< with directions_, once block_size_ is known: the derivatives asked for
  evaluate::PerThread<State> threads_;
  Eigen::VectorXd total_sums_;
  Moments total_;
  std::vector<Moments> total_terms_, total_levels_;
};

// Members are defined outside of the class, so that programs which link scorematch::precompiled need not compile them.

template <class T>
void LossFunction<T>::evaluate(const LossOptions& options, bool with_gradient, Loss& loss) {
  const Call call = partitioned(options, with_gradient, loss.per_sample);
  loss.per_sample.resize(options.per_sample ? call.count : 0);
  total_ = Moments{};
  total_terms_.assign(objective_.term_names().size(), Moments{});
  total_levels_.assign(objective_.level_names().size(), Moments{});
  if (with_gradient) total_sums_.resize(call.sum_size);
  if (!shards_.alone())
    sum_on_ranks(call);
  else if (!with_gradient || !withheld_.sum(*this, call))
    sum(call, call.runs);
  report(call, loss);
  if (!with_gradient) return;
  loss.gradient.resize(parameter_count());
  bound_.finish(total_sums_, loss.gradient);
}

template <class T>
void LossFunction<T>::sum(const Call& call, Index runs) {
  const auto prepared = [&](State& s) { prepare(s, call); };
  const auto work = [&](State& s, Index run) {
    reset(s);
    if (call.with_gradient) s.sums.setZero();
    for (Index b = run * call.per_run; b < std::min(call.blocks, (run + 1) * call.per_run); ++b)
      sweep_block(s, call, b);
  };
  const auto add = [&](State& s, Index run, Index first, Index size) { add_sums(s.sums, call, run, first, size); };
  const auto reduce_and_add = [&](State& s, Index run) {
    reduce(s);
    add(s, run, 0, call.sum_size);
  };
  if (call.sum_size < 65536)
    evaluate::for_each_piece(runs, threads_, prepared, work, reduce_and_add);
  else
    evaluate::for_each_piece(
        runs, threads_, prepared, work, [&](State& s, Index) { reduce(s); }, call.sum_size, add);
}

// Each rank computes its runs, all at once; then the sums go from rank to rank in the order of the runs, in slices, so
// that a rank adds to one slice while the next adds to the one before. The last rank with a run has the whole sum.
template <class T>
void LossFunction<T>::sum_on_ranks(const Call& call) {
  extend::require(!call.options.per_sample, {"per_sample is asked for on ", shards_.size(),
                                             " ranks; each sample's own loss is known on one alone"});
  if (!ranks_) ranks_ = std::make_unique<SamplesOnRanks<T>>(shards_);
  if (call.with_gradient && withheld_.sum(*this, call)) return;
  ranks_->share_out(data_, call.options.columns, call.count, call.per_run * call.block, call.runs);
  ranks_->bring(call.options.labels, labelled_);
  const auto [first, end, begin, last_place] = ranks_->part();
  if (first == 0 && end > 0)
    sum(call, end);
  else if (end > first)
    keep_runs(call, first, end);
  add_in_turn(call);
}

// Brings the samples of the blocks from `round` on, of which each rank sweeps some; this one's first.
template <class T>
Index LossFunction<T>::bring_round(const Call& call, Index round, Index swept) {
  if (shards_.alone()) return 0;
  std::vector<typename SamplesOnRanks<T>::Part> parts(static_cast<std::size_t>(shards_.size()));
  for (int rank = 0; rank < shards_.size(); ++rank) {
    auto& part = parts[static_cast<std::size_t>(rank)];
    part.begin = std::min(call.count, (round + first_of_round(swept, rank)) * call.block);
    part.end = std::min(call.count, (round + first_of_round(swept, rank + 1)) * call.block);
  }
  ranks_->set_parts(data_, call.options.columns, std::move(parts));
  ranks_->bring(call.options.labels, labelled_);
  return first_of_round(swept, shards_.rank());
}

// Computes runs that are added up later.
template <class T>
void LossFunction<T>::keep_runs(const Call& call, Index first, Index end) {
  kept_.resize(static_cast<std::size_t>(end - first));
  for (RunSums& run : kept_) run.sums.resize(call.sum_size);
  evaluate::for_each_piece(
      end - first, threads_, [&](State& s) { prepare(s, call); },
      [&](State& s, Index k) {
        reset(s);
        if (call.with_gradient) s.sums.setZero();
        const Index run = first + k;
        for (Index b = run * call.per_run; b < std::min(call.blocks, (run + 1) * call.per_run); ++b)
          sweep_block(s, call, b);
      },
      [&](State& s, Index k) {
        RunSums& run = kept_[static_cast<std::size_t>(k)];
        run.sums.swap(s.sums);
        run.loss = s.loss;
        run.terms = s.terms;
        run.levels = s.levels;
      });
}

template <class T>
void LossFunction<T>::add_in_turn(const Call& call) {
  const int me = shards_.rank(), last = ranks_->last();
  const bool works = ranks_->has_runs(me);
  const int before = works ? ranks_->neighbour(me, -1) : -1, after = works ? ranks_->neighbour(me, 1) : -1;
  const Index first_run = ranks_->part().first_run;
  exchange_moments(before, -1, false);
  for (std::size_t k = 0; before >= 0 && k < kept_.size(); ++k) reduce(kept_[k]);
  exchange_moments(-1, after, false);
  ranks_->add_in_turn(total_sums_.data(), call.sum_size, [&](Index first, Index count) {
    for (std::size_t k = 0; before >= 0 && k < kept_.size(); ++k)
      add_sums(kept_[k].sums, call, first_run + static_cast<Index>(k), first, count);
  });
  exchange_moments(last, last, true);
}

// Receives them from a rank, and sends them to another; −1: none. `all`: from one to all.
template <class T>
void LossFunction<T>::exchange_moments(int from, int to, bool all) {
  std::vector<Moments> packed{total_};
  packed.insert(packed.end(), total_terms_.begin(), total_terms_.end());
  packed.insert(packed.end(), total_levels_.begin(), total_levels_.end());
  const std::size_t bytes = packed.size() * sizeof(Moments);
  const Communicator& communicator = shards_.communicator();
  if (all) communicator.broadcast(from, packed.data(), bytes);
  if (!all && to >= 0) communicator.send(to, packed.data(), bytes);
  if (from < 0) return;
  if (!all) communicator.receive(from, packed.data(), bytes);
  total_ = packed.front();
  std::copy_n(packed.begin() + 1, total_terms_.size(), total_terms_.begin());
  std::copy_n(packed.end() - static_cast<std::ptrdiff_t>(total_levels_.size()), total_levels_.size(),
              total_levels_.begin());
}

template <class T>
auto LossFunction<T>::partitioned(const LossOptions& options, bool with_gradient, Eigen::VectorXd& per_sample) -> Call {
  constexpr Index lanes = simd::width<simd::Lanes<T>>;
  constexpr Index fused_block = 2048;  // nothing is kept of a fused block, so that only the partition matters
  Call call{options, with_gradient, per_sample};
  call.count = options.columns.empty() ? samples() : static_cast<Index>(options.columns.size());
  call.sum_size = with_gradient ? bound_.sum_size() : 0;
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
  const Index most = std::max<Index>(8, std::min<Index>(64, (Index(1) << 24) / std::max<Index>(bound_.sum_size(), 1)));
  call.per_run = (call.blocks + most - 1) / most;
  call.runs = (call.blocks + call.per_run - 1) / call.per_run;
  return call;
}

// How many samples fit in the cache, for the derivatives that the objective asks for: prepare one sample to see.
template <class T>
Index LossFunction<T>::block_size() {
  if (block_size_ > 0) return block_size_;
  extend::Samples<T> sample;
  gather_samples<T>(shards_.alone() ? data_ : MatrixView<T>(first_sample_), {}, 0, 1, 1, 0, sample);
  extend::Points<T> points;
  extend::Room notes;
  prepare_points(objective_, sample, points, notes);
  along_ = points.along;
  directions_ = points.directions;
  return block_size_ = std::max<Index>(1, bound_.block_size(points.along, points.directions) / points.X.rows());
}

template <class T>
void LossFunction<T>::prepare(State& s, const Call& call) const {
  s.terms.resize(objective_.term_names().size());
  s.levels.resize(objective_.level_names().size());
  if (call.with_gradient) s.sums.resize(call.sum_size);
}

template <class T>
void LossFunction<T>::reset(State& s) {
  s.loss = Moments{};
  for (Moments& term : s.terms) term = Moments{};
  for (Moments& level : s.levels) level = Moments{};
}

template <class T>
void LossFunction<T>::sweep_block(State& s, const Call& call, Index b) {
  const Index first = b * call.block, count = std::min(call.block, call.count - first);
  if (!ranks_) {
    if (call.with_gradient && may_fuse() &&
        fused_->sweep(bound_, data_, call.options.columns.empty() ? nullptr : call.options.columns.data(), first, count,
                      s, call.options.per_sample ? call.per_sample.data() : nullptr))
      return;
    gather_samples(data_, call.options.columns, first, count, call.rows, call.options.draw, s.samples);
    sweep(s, call, count, nullptr);
  } else {
    const BlockSource<T> source = ranks_->block(first, count, s.in_pieces, s.labels_in_pieces);
    const MatrixView<T> here = source.view(data_.rows(), count);
    if (call.with_gradient && may_fuse() && fused_->sweep(bound_, here, nullptr, 0, count, s, nullptr)) return;
    gather_samples<T>(here, {}, 0, count, call.rows, call.options.draw, s.samples);
    number_samples(call.options.columns, first, count, s.samples);
    sweep(s, call, count, &source);
  }
  const T* value = s.losses.value.data();
  s.loss.add_all(value, count);
  if (call.options.per_sample)
    for (Index i = 0; i < count; ++i) call.per_sample[first + i] = static_cast<double>(value[i]);
  for (std::size_t k = 0; k < objective_.term_names().size(); ++k)
    s.terms[k].add_all(s.losses.terms.data() + static_cast<Index>(k) * call.rows, count);
  if (!objective_.level_names().empty())
    for (Index i = 0; i < count; ++i)
      s.levels[static_cast<std::size_t>(s.losses.level[i])].add(1, static_cast<double>(value[i]), 0);
}

// Values and losses of s.samples; with a gradient, their part of it is added to s.sums.
template <class T>
void LossFunction<T>::sweep(State& s, const Call& call, Index count, const BlockSource<T>* source) {
  prepare_points(objective_, s.samples, s.points, s.notes);
  if (source == nullptr)
    gather_labels(call.options.labels, s.samples, s.points);
  else
    gather_labels(*source, count, call.rows, s.points);
  s.points.gradient = call.with_gradient;
  bound_.evaluate(s.points, s.workspace, s.values);
  const Asked asked{call.rows, count, static_cast<Index>(s.terms.size()), static_cast<Index>(s.levels.size()),
                    call.with_gradient};
  score_points(objective_, s.samples, s.points, s.notes, asked, s.values, s.losses);
  if (!call.with_gradient) return;
  drop_padding(count, call.rows, s.losses.bar);
  bound_.pull_back(s.points, s.workspace, s.losses.bar, s.sums);
}

template <class T>
template <class Sums>
void LossFunction<T>::reduce(const Sums& s) {
  total_.add(s.loss.count, s.loss.mean, s.loss.squares);
  for (std::size_t k = 0; k < objective_.term_names().size(); ++k)
    total_terms_[k].add(s.terms[k].count, s.terms[k].mean, s.terms[k].squares);
  for (std::size_t k = 0; k < objective_.level_names().size(); ++k)
    total_levels_[k].add(s.levels[k].count, s.levels[k].mean, s.levels[k].squares);
}

// Elements first … first + size − 1 of a run's sums; those of the last run complete the mean.
template <class T>
void LossFunction<T>::add_sums(Eigen::VectorXd& own, const Call& call, Index run, Index first, Index size) {
  const double *sums = own.data() + first, scale = run + 1 < call.runs ? 1 : 1 / static_cast<double>(call.count);
  double* total = total_sums_.data() + first;
  if (run == 0 && scale == 1 && size == call.sum_size && size > 0)
    total_sums_.swap(own);
  else
    simd::for_lanes<simd::Lanes<double>>(size, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
      const V sum = simd::load<V>(sums + i);
      simd::store<V>(total + i, scale * (run == 0 ? sum : simd::load<V>(total + i) + sum));
    });
}

template <class T>
void LossFunction<T>::report(const Call& call, Loss& loss) const {
  loss.value = total_.mean;
  loss.standard_error = total_.standard_error();
  loss.samples = call.count;
  loss.terms.resize(objective_.term_names().size());
  for (std::size_t k = 0; k < objective_.term_names().size(); ++k) {
    loss.terms[k].name = objective_.term_names()[k];
    loss.terms[k].value = total_terms_[k].mean;
    loss.terms[k].standard_error = total_terms_[k].standard_error();
  }
  loss.levels.resize(objective_.level_names().size());
  for (std::size_t k = 0; k < objective_.level_names().size(); ++k) {
    const Moments& level = total_levels_[k];
    loss.levels[k].name = objective_.level_names()[k];
    loss.levels[k].value = level.count > 0 ? level.mean : std::numeric_limits<double>::quiet_NaN();
    loss.levels[k].standard_error = level.standard_error();
  }
}

}  // namespace objective
}  // namespace scorematch
