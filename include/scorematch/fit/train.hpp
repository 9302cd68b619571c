// train: what fit does by minibatches, for trainings of hours: learning-rate schedules, clipping, averages of θ, and
// checkpoints from which a stopped one goes on to the same bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/fit/checkpoint.hpp"
#include "scorematch/fit/data_scale.hpp"
#include "scorematch/fit/fit_status.hpp"
#include "scorematch/fit/learning_rate.hpp"
#include "scorematch/fit/minibatches.hpp"
#include "scorematch/loss/loss.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/ranks/agreement.hpp"
#include "scorematch/ranks/shards.hpp"

namespace scorematch {

/// Samples as an option holds them, in double: of a matrix or block of either scalar, d × K.
struct HeldOutSamples {
  HeldOutSamples() = default;
  /// Copies X.
  template <class Derived>
  HeldOutSamples(const Eigen::MatrixBase<Derived>& X) : columns(X.template cast<double>()) {}

  Eigen::MatrixXd columns;  ///< d × K
};

/// Options of train.
struct TrainOptions {
  Index steps = 10000;              ///< minibatches in all, ≥ 1; those of earlier calls, by a checkpoint, count
  Index batch = 128;                ///< samples a minibatch, ≥ 1; new noise at every step
  LearningRate learning_rate = {};  ///< {.peak = 1e-3, .warm_up = 0, .final = 0, .decay = Decay::cosine}
  double clip = 0;                  ///< the gradient's norm at most: a longer one is scaled down to it; 0: no limit
  /// Decay δ in [0, 1) of the moving average of θ, a ← a + (1 − δ)(θ − a), which the result holds instead of the last
  /// θ; 0: none. At step t δ is at most (1 + t)/(10 + t), so that the start is soon forgotten.
  double average = 0.999;

  /// The class of each column of the data, 0 … classes − 1 or −1 for none, for a model whose formula takes a label;
  /// empty for no classes.
  std::vector<int> labels = {};
  /// In [0, 1]: at each use of a sample its label is dropped (−1) with this probability, so that the model learns the
  /// score without a class as well (Ho & Salimans 2022).
  double label_dropout = 0;

  /// Early stopping, as in fit: samples that the training does not see, d × K; empty for none. The loss of the averaged
  /// θ on them, at the objective's draw 0, is asked for now and then; the result holds the θ where it was least.
  HeldOutSamples held_out = {};
  std::vector<int> held_out_labels = {};  ///< of its columns; needed where there are labels. None is dropped
  Index check_every = 0;  ///< steps between two checks; 0: a pass over the data. Once more after the last step
  Index patience = 10;    ///< checks without improvement until the training ends, ≥ 1

  /// A file to go on from, where it exists, and to be written from the start on; empty for none.
  std::string checkpoint = {};
  double checkpoint_every = 60;  ///< seconds between two of them, ≥ 0; 0: after every step

  std::uint64_t seed = 0;  ///< of the minibatches' order
  ProgressCallback progress =
      {};  ///< progress_line(), or your own; returning false stops, and the checkpoint is written

  /// Ranks that train together, of which each gives its own columns of the data and of held_out (d × 0 for none) with
  /// their labels; all get the same result, that of one process with all columns, bit for bit. Rank 0 alone reads and
  /// writes the checkpoint, which any number of ranks goes on from, and calls progress. Default: one process.
  Communicator communicator = {};

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require_at_least(steps, 1, "TrainOptions: steps");
    extend::require_at_least(batch, 1, "TrainOptions: batch");
    learning_rate.validate();
    extend::require(std::isfinite(clip) && clip >= 0,
                    {"TrainOptions: clip is ", clip, "; it must be above 0, or 0 for no limit"});
    extend::require(average >= 0 && average < 1, {"TrainOptions: average is ", average, "; it must be in [0, 1)"});
    extend::require(label_dropout >= 0 && label_dropout <= 1,
                    {"TrainOptions: label_dropout is ", label_dropout, "; it must be in [0, 1]"});
    const bool alone = communicator.alone();  // a rank may have no data
    extend::require(label_dropout == 0 || !labels.empty() || !alone,
                    {"TrainOptions: label_dropout is ", label_dropout, ", but there are no labels to be dropped"});
    extend::require(held_out_labels.empty() || (held_out.columns.cols() > 0 && (!labels.empty() || !alone)),
                    {"TrainOptions: held_out_labels are given without ", labels.empty() ? "labels" : "held_out"});
    extend::require(
        held_out.columns.cols() == 0 || labels.empty() || !held_out_labels.empty(),
        {"TrainOptions: held_out_labels are missing, as labels are given (-1 for each column stands for none)"});
    extend::require_at_least(check_every, 0, "TrainOptions: check_every");
    extend::require_at_least(patience, 1, "TrainOptions: patience");
    extend::require(checkpoint_every >= 0,
                    {"TrainOptions: checkpoint_every is ", checkpoint_every, "; it must be at least 0"});
    extend::require(held_out.columns.cols() > 0 || held_out.columns.rows() == 0 || !alone,
                    {"TrainOptions: held_out has no columns; at least one sample is needed (or leave it empty)"});
  }
};

/// The result of a training, whatever happened. `model` holds the average of θ (the last θ where there is none); with
/// held-out data the one of the least held-out loss. A loss that diverged or was not finite is no step: `model` then
/// holds, without held-out data, the θ at the start of the best pass, and the checkpoint stays as it was last written.
template <class M>
struct [[nodiscard]] Training {
  M model;                                 ///< with the trained θ
  Loss loss = {};                          ///< of `model` on the whole data set, at the objective's draw 0; no gradient
  FitStatus status = FitStatus::finished;  ///< how it ended
  Index steps = 0;                         ///< taken in all
  Index resumed_at = 0;                    ///< of these, found in the checkpoint
  Index non_finite = 0;                    ///< minibatches of this call whose loss or gradient was not finite: 0 or 1
  std::vector<FitStep> history = {};       ///< the course of the training, earlier calls' too
  double held_out_loss = std::numeric_limits<double>::quiet_NaN();  ///< of `model`; NaN without held-out data
  /// Why the last attempt to write the checkpoint failed (a full disk, say); empty where it did not. A training goes on
  /// without, and tries again.
  std::string checkpoint_error = {};
  Communication communication = {};  ///< of this rank, with the others

  /// A line: how it ended, the loss with its standard error and that of held-out data; then what the checkpoint lacks.
  std::string text() const {
    std::string all = scorematch::detail::text(to_string(status), " after ", steps, " steps: loss ", loss.value, " ± ",
                                               loss.standard_error);
    if (!std::isnan(held_out_loss)) all += scorematch::detail::text(", of held-out data ", held_out_loss);
    all += '\n';
    if (!checkpoint_error.empty()) all += "  " + checkpoint_error + '\n';
    return all;
  }
};

namespace fitting {

/// Writes a training's checkpoints now and then.
class CheckpointKeeper {
 public:
  CheckpointKeeper(const TrainOptions& options, Checkpoint head)
      : file_(options.checkpoint), every_(options.checkpoint_every), head_(head), ranks_(options.communicator) {}

  const std::string& error() const { return error_; }
  const CheckpointFile& file() const { return file_; }

  bool exists() const {
    bool found = ranks_.first() && file_.exists();
    ranks::broadcast(ranks_, 0, found);
    return found;
  }

  /// Makes `state` that of the file, which rank 0 reads. Throws what CheckpointFile::read does, and
  /// std::invalid_argument where the file is of another training.
  void restore(const MinibatchPlan& plan, MinibatchState& state) {
    ranks::agree(ranks_, [&] {
      if (ranks_.first()) read(plan, state);
    });
    if (ranks_.alone()) return;
    std::string bytes;
    ByteWriter out(bytes);
    if (ranks_.first()) visit_state(out, state);
    ranks::broadcast(ranks_, 0, bytes);
    ByteReader in(file_.path(), bytes);
    if (!ranks_.first()) visit_state(in, state);
    ranks::broadcast(ranks_, 0, restored_loss_);
    ranks::broadcast(ranks_, 0, restored_spread_);
  }

  void remove_left_overs() const {
    if (ranks_.first()) file_.remove_left_overs();
  }

 private:
  void read(const MinibatchPlan& plan, MinibatchState& state) {
    Checkpoint found;
    file_.read(found, state);
    const std::string& path = file_.path();
    require_same_shapes(path, found.shapes, head_.shapes);
    require_same_facts(path, found.facts, head_.facts);
    extend::require(state.adam.step <= plan.steps, {"'", path, "' is at step ", state.adam.step, "; steps is ",
                                                    plan.steps, ", which this training has left behind"});
    extend::require(head_.patience >= found.patience,
                    {"'", path, "' is a checkpoint of a training with patience ", found.patience, "; here it is ",
                     head_.patience, ", but it may only grow: another would have ended at another step"});
    restored_loss_ = found.next_loss;
    restored_spread_ = found.next_spread;
  }

 public:
  /// Throws std::invalid_argument unless the next minibatch's loss is what it was when the file was written, to
  /// rounding.
  void require_same_loss(MinibatchLoop& loop, const MinibatchState& state, double tolerance) {
    loop.evaluate(state.adam.step, false, next_);
    const double difference = std::abs(next_.value - restored_loss_);
    ranks::agree(ranks_, [&] {
      extend::require(difference <= tolerance * (std::abs(restored_loss_) + restored_spread_) ||
                          (!std::isfinite(next_.value) && !std::isfinite(restored_loss_)),
                      {"'", file_.path(), "' is a checkpoint of another training: the loss of its next minibatch was ",
                       restored_loss_, " when it was written and is ", next_.value,
                       " here, so the objective, its options or the model's formula differ"});
    });
  }

  void pack(MinibatchLoop& loop, MinibatchState& state) {
    loop.evaluate(state.adam.step, false, next_);
    head_.next_loss = next_.value;
    head_.next_spread = next_.standard_error * std::sqrt(static_cast<double>(next_.samples));
    if (ranks_.first()) file_.pack(head_, state);
  }

  void write_packed(const Eigen::VectorXd& answer) {
    ranks::agree(ranks_, [&] {
      if (ranks_.first()) file_.write(answer);
    });
  }

  /// The same where a failure is no end: it is kept in `error`.
  void try_write_packed(const Eigen::VectorXd& answer) {
    error_.clear();
    try {
      if (ranks_.first()) file_.write(answer);
    } catch (const std::runtime_error& failure) {
      error_ = failure.what();
    }
    if (!ranks_.alone()) ranks::broadcast(ranks_, 0, error_);
  }

  /// Writes where it is time to. A warning, or "".
  const std::string& after_step(double seconds, MinibatchLoop& loop, MinibatchState& state) {
    bool due = seconds - written_at_ >= every_;
    ranks::broadcast(ranks_, 0, due);  // rank 0's clock
    if (!due) return error_;
    written_at_ = seconds;
    pack(loop, state);
    try_write_packed({});
    return error_;
  }

 private:
  CheckpointFile file_;
  double every_, written_at_ = 0;
  Checkpoint head_;
  Communicator ranks_;
  Loss next_;
  double restored_loss_ = 0, restored_spread_ = 0;
  std::string error_;
};

/// The part of a training that does not depend on the types of model and objective.
struct TrainingRun {
  MinibatchPlan plan = {};
  MinibatchState state = {};
  LossAt loss_at = {};
  Checkpoint head = {};
  double same_loss = 0;  ///< tolerance for a loss to count as the same

  FitStatus status = FitStatus::finished;
  Index resumed_at = 0, non_finite = 0;
  std::string checkpoint_error = {};
  Eigen::VectorXd answer = {};
};

inline void run_training(const TrainOptions& options, TrainingRun& run) {
  std::unique_ptr<CheckpointKeeper> keeper;
  bool restored = false;
  if (!options.checkpoint.empty()) {
    keeper = std::make_unique<CheckpointKeeper>(options, run.head);
    restored = keeper->exists();
    if (restored) keeper->restore(run.plan, run.state);
  }
  MinibatchState& state = run.state;
  run.resumed_at = state.adam.step;
  MinibatchLoop loop(run.plan, run.loss_at, state);
  if (keeper) {
    if (restored) keeper->require_same_loss(loop, state, run.same_loss);
    keeper->remove_left_overs();
    if (!restored) {  // now, so that a path that cannot be written is known before hours have passed
      keeper->pack(loop, state);
      keeper->write_packed({});
    }
  }
  const FitStatus end =
      loop.run([&](double seconds) { return keeper ? keeper->after_step(seconds, loop, state) : std::string(); });

  const bool broken = end == FitStatus::diverged || end == FitStatus::non_finite;
  const bool write = keeper && !broken && state.adam.step > run.resumed_at;
  if (write) keeper->pack(loop, state);
  const Eigen::VectorXd* answer = broken && !state.held_out.any() ? &state.best_pass : &state.answer();
  bool closing_improved = false;
  if (end == FitStatus::used_up) {
    const double before = state.held_out.best_loss;
    loop.close();
    closing_improved = state.held_out.best_loss < before;
    answer = &state.answer();
  }
  if (write) keeper->try_write_packed(closing_improved ? *answer : Eigen::VectorXd());
  run.answer = *answer;
  run.non_finite = loop.non_finite();
  if (keeper) run.checkpoint_error = keeper->error();
  run.status = end == FitStatus::used_up ? FitStatus::finished : end;
}

/// A number as its shortest text that reads back as the same.
template <class T>
std::string exact_text(T number) {
  std::string digits;
  io::append_number(digits, number);
  return digits;
}

template <class T>
std::string described(const ranks::RankedData<T>& X) {
  if (X.cols() == 0) return "none";
  std::vector<Digest> digests(1);  // of all columns in their order
  X.shards.in_turn(digests, [&] { digests.front().add_columns<T>(X.own); });
  const Digest& digest = digests.front();
  return detail::text(X.rows(), " × ", X.cols(), std::is_same_v<T, float> ? " in float" : " in double", " with digest ",
                      digest.text());
}

inline std::string described(const std::vector<int>& labels, const ranks::Shards& shards) {
  if (!ranks::any(shards.communicator(), !labels.empty())) return "none";
  std::vector<Digest> digests(1);
  shards.in_turn(digests, [&] {
    for (const int label : labels) digests.front().add(static_cast<std::uint64_t>(label));
  });
  return detail::text(shards.total(static_cast<Index>(labels.size())), " with digest ", digests.front().text());
}

/// Facts in which a training that goes on must agree, as far as options and data tell.
template <class T>
std::vector<Fact> facts_of(const TrainOptions& options, const MinibatchPlan& plan, const ranks::RankedData<T>& data,
                           const ranks::RankedData<T>& held_out, const std::string& loss_terms) {
  const LearningRate& rate = options.learning_rate;
  std::vector<Fact> facts = {
      {"the data", described<T>(data)},
      {"batch", exact_text(plan.batch)},
      {"seed", exact_text(options.seed)},
      {"learning_rate.peak", exact_text(rate.peak)},
      {"learning_rate.warm_up", exact_text(rate.warm_up)},
      {"learning_rate.decay", to_string(rate.decay)},
      {"clip", exact_text(options.clip)},
      {"average", exact_text(options.average)},
      {"held_out", described<T>(held_out)},
      {"check_every", exact_text(options.check_every)},
      {"labels", described(options.labels, data.shards)},
      {"label_dropout", exact_text(options.label_dropout)},
      {"held_out_labels", described(options.held_out_labels, held_out.shards)},
      {"the objective's list of terms", loss_terms},
  };
  if (rate.decay == Decay::cosine) {
    facts.push_back({"learning_rate.final", exact_text(rate.final)});
    facts.push_back({"steps, on which a cosine depends,", exact_text(plan.steps)});
  }
  return facts;
}

/// A model and an objective as a training needs them, whatever their types are.
template <class T>
struct TrainingProblem {
  Eigen::VectorXd start = {};
  Index classes = 0;
  /// of this rank's data, and who has which
  std::function<objective::LossFunction<T>(const MatrixView<T>& data, const ranks::Shards& shards)> loss = {};
  std::function<std::vector<Shape>()> shapes = {};  ///< of the parameters
};

/// The result of a training, without its model.
struct TrainingOutcome {
  TrainingRun run = {};
  Loss loss = {};
};

/// A training's data, held-out data and losses.
template <class T>
struct TrainingData {
  TrainingData(const TrainingProblem<T>& problem, MatrixView<T> own, const TrainOptions& options)
      : data(own),
        shards(options.communicator, own.cols()),
        function(problem.loss(data, shards)),
        held_out(options.held_out.columns.template cast<T>()) {
    const Communicator& communicator = options.communicator;
    const bool labelled = ranks::any(communicator, !options.labels.empty()),
               watches = ranks::any(communicator, held_out.cols() > 0);
    if (!communicator.alone() && held_out.cols() == 0) held_out.resize(data.rows(), 0);
    held_out_shards = ranks::Shards(communicator, held_out.cols());
    ranks::agree(communicator, [&] {
      const bool has_labels = labelled && data.cols() > 0;
      extend::require(!has_labels || !options.labels.empty(),
                      {"TrainOptions: labels are missing on this rank, as others give them"});
      extend::require_labels(options.labels, data.cols(), problem.classes, "TrainOptions: labels");
      extend::require(!has_labels || held_out.cols() == 0 || !options.held_out_labels.empty(),
                      {"TrainOptions: held_out_labels are missing, as labels are given"});
      if (!watches) return;
      ranks::require_samples<T>(held_out, held_out_shards, data.rows(), "TrainOptions: held_out");
      extend::require_labels(options.held_out_labels, held_out.cols(), problem.classes,
                             "TrainOptions: held_out_labels");
    });
    function.set_labelled(labelled);
    if (!watches) return;
    on_held_out = std::make_unique<objective::LossFunction<T>>(problem.loss(held_out, held_out_shards));
    on_held_out->set_labelled(labelled);
  }

  ranks::RankedData<T> all() const { return {data, shards}; }
  std::string terms() const {
    std::string names;
    for (const std::string& name : function.objective().term_names()) names += (names.empty() ? "" : ", ") + name;
    return names;
  }

  MatrixView<T> data;
  ranks::Shards shards, held_out_shards;
  objective::LossFunction<T> function;
  Matrix<T> held_out;
  std::unique_ptr<objective::LossFunction<T>> on_held_out = {};
};

template <class T>
TrainingOutcome train_together(const TrainingProblem<T>& problem, MatrixView<T> data, const TrainOptions& options) {
  TrainingData<T> on(problem, data, options);
  const Index samples = on.function.samples();
  TrainingOutcome outcome{.run = {.plan = {.task = "train",
                                           .samples = samples,
                                           .batch = std::min(options.batch, samples),
                                           .steps = options.steps,
                                           .learning_rate = options.learning_rate,
                                           .clip = options.clip,
                                           .average = options.average,
                                           .seed = options.seed,
                                           .labels = options.labels,
                                           .first_own = on.shards.first(),
                                           .label_dropout = options.label_dropout,
                                           .check_every = options.check_every,
                                           .floor = data_scale<T>(on.all()).loss_floor(),
                                           .progress = options.progress},
                                  .state = {.theta = problem.start},
                                  .loss_at = loss_at(on.function),
                                  .same_loss = std::is_same_v<T, float> ? 1e-3 : 1e-6}};
  TrainingRun& run = outcome.run;
  if (on.on_held_out)
    run.state.held_out = watch(*on.on_held_out, {.labels = options.held_out_labels}, options.patience);
  if (!options.checkpoint.empty()) {
    const MatrixView<T> held_out = on.held_out;
    run.head = {.shapes = problem.shapes(),
                .facts = facts_of<T>(options, run.plan, on.all(), {held_out, on.held_out_shards}, on.terms()),
                .patience = options.patience};
  }
  run_training(options, run);
  run.loss_at(run.answer, {.labels = options.labels}, false, outcome.loss);
  run.loss_at = {};  // their functions end here
  run.state.held_out.loss_at = {};
  return outcome;
}

/// In what the ranks of a training must agree.
template <class T>
std::vector<ranks::Common> common_facts(const TrainOptions& options, const Eigen::VectorXd& start, Index rows) {
  const LearningRate& rate = options.learning_rate;
  return {{"the rows of the data", exact_text(rows)},
          {"the data's arithmetic", sizeof(T) == 4 ? "float" : "double"},
          {"theta", ranks::digest_of(start)},
          {"TrainOptions: steps", exact_text(options.steps)},
          {"TrainOptions: batch", exact_text(options.batch)},
          {"TrainOptions: learning_rate.peak", exact_text(rate.peak)},
          {"TrainOptions: learning_rate.warm_up", exact_text(rate.warm_up)},
          {"TrainOptions: learning_rate.final", exact_text(rate.final)},
          {"TrainOptions: learning_rate.decay", to_string(rate.decay)},
          {"TrainOptions: clip", exact_text(options.clip)},
          {"TrainOptions: average", exact_text(options.average)},
          {"TrainOptions: label_dropout", exact_text(options.label_dropout)},
          {"TrainOptions: check_every", exact_text(options.check_every)},
          {"TrainOptions: patience", exact_text(options.patience)},
          {"TrainOptions: seed", exact_text(options.seed)},
          {"TrainOptions: checkpoint", options.checkpoint}};
}

template <class T>
TrainingOutcome train(const TrainingProblem<T>& problem, MatrixView<T> data, const TrainOptions& options) {
  const Communicator& communicator = options.communicator;
  if (communicator.alone()) return train_together<T>(problem, data, options);
  TrainingOutcome outcome;
  ranks::on_ranks(communicator, [&] {
    ranks::agree(communicator, [&] { options.validate(); });
    ranks::require_same(communicator, common_facts<T>(options, problem.start, data.rows()));
    TrainOptions shared = options;
    shared.progress = ranks::shared_progress(communicator, options.progress);
    outcome = train_together<T>(problem, data, shared);
  });
  return outcome;
}

template <class T, class M, class O>
void run(const O& objective, MatrixView<T> data, const TrainOptions& options, Training<M>& result) {
  if (options.communicator.alone()) options.validate();
  const Communication before = options.communicator.communication();
  const M& model = result.model;
  const TrainingProblem<T> problem{.start = model.parameters(),
                                   .classes = extend::classes_of(model),
                                   .loss =
                                       [&](const MatrixView<T>& samples, const ranks::Shards& shards) {
                                         return objective::loss_function<T>(model, objective, samples, shards);
                                       },
                                   .shapes = [&] { return shapes_of(model); }};
  TrainingOutcome outcome = train<T>(problem, data, options);
  result.communication = options.communicator.communication().since(before);
  TrainingRun& run = outcome.run;
  result.status = run.status;
  result.steps = run.state.adam.step;
  result.resumed_at = run.resumed_at;
  result.non_finite = run.non_finite;
  result.history = std::move(run.state.history);
  if (run.state.held_out.any()) result.held_out_loss = run.state.held_out.best_loss;
  result.checkpoint_error = std::move(run.checkpoint_error);
  result.model.set_parameters(run.answer);
  result.loss = std::move(outcome.loss);
}

}  // namespace fitting

/// Minimises the objective's loss over θ by Adam on minibatches, from the model's present θ, for as long as it takes.
///
///   auto training = sm::train(network, sm::denoising_score_matching{.sigma = 0.3}, X,
///                             {.steps = 20000, .batch = 256, .learning_rate = {.peak = 2e-3, .warm_up = 500}, .clip =
///                             1,
///                              .held_out = X_held_out, .patience = 20, .checkpoint = "network.checkpoint",
///                              .progress = sm::progress_line()});
///
/// Reproducible: the same bits for any number of threads, and however often it was stopped in between. A call with a
/// checkpoint that exists goes on from it, whatever θ the model has; where no step is left it returns at once, with the
/// same result. The file is replaced in one go: stopped at any moment, even by kill -9, it is the last one or the one
/// before. A training goes on only with the data, options, model and objective that it began with. You may change
/// progress and checkpoint_every, and raise patience and, unless a cosine depends on them, steps.
///
/// X: d × N, one column per sample. Throws std::invalid_argument for empty data, a wrong row count, a non-finite entry
/// (with its column), options out of range, and for a checkpoint of another training, naming what differs;
/// std::runtime_error for a file that is no checkpoint, damaged or of a newer format, and where none can be written at
/// the start. Such a file is left as it is. Numerical outcomes are in `status`.
template <class M, class O, class Derived>
Training<M> train(const M& model, const O& objective, const Eigen::MatrixBase<Derived>& X,
                  const TrainOptions& options = {}) {
  Training<M> result{.model = model};
  if constexpr (detail::check_trainable_model<M>() && objective::check_objective_class<O, typename Derived::Scalar>())
    fitting::run<typename Derived::Scalar>(objective, X.derived(), options, result);
  return result;
}

/// Gives the model the parameters for use of a training's checkpoint, whether it has finished or not: what train's
/// result would hold if it were stopped there. Throws std::runtime_error where the file cannot be read or is no sound
/// checkpoint, std::invalid_argument, naming the first parameter that differs, where it is of another model; the model
/// is then unchanged.
template <class M>
void load_checkpoint(const std::string& path, M& model) {
  static_assert(extend::has_parameters<M>,
                "a model that takes a checkpoint's parameters must provide  Eigen::VectorXd parameters() const  and  "
                "void set_parameters(const Eigen::VectorXd& theta)");
  fitting::Checkpoint checkpoint;
  fitting::MinibatchState state;
  fitting::CheckpointFile(path).read(checkpoint, state);
  fitting::require_same_shapes(path, checkpoint.shapes, fitting::shapes_of(model));
  model.set_parameters(checkpoint.answer);
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled.hpp"
#endif
