// Descents on minibatches: fit() by Adam, train() and contrastive divergence share their order, the means over a pass,
// and the watch over held-out data that ends them early. The steps themselves are those of fit/adam_loop.hpp.
//
// It knows losses as functions of θ only, so that it is compiled once whatever the model and the objective are.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/fit/adam_loop.hpp"
#include "scorematch/loss/loss_loop.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/random/normal.hpp"
#include "scorematch/random/stream.hpp"

namespace scorematch {

/// One evaluation of lbfgs; of minibatches one pass over the data (their mean), or a check of held-out data in between
/// (the last minibatch).
struct FitStep {
  Index evaluations = 0;                                       ///< of the loss, from the beginning to here
  double loss = 0;                                             ///< the loss at this step
  double gradient_norm = 0;                                    ///< ‖∂loss/∂θ‖
  double held_out = std::numeric_limits<double>::quiet_NaN();  ///< the held-out loss; NaN where it was not asked for
};

namespace fitting {

/// Evaluates a loss at θ, with its gradient or without.
using LossAt =
    std::function<void(const Eigen::VectorXd& theta, const LossOptions& options, bool with_gradient, Loss& loss)>;

/// Watches the loss on data that the fit does not see.
struct HeldOut {
  std::function<double(const Eigen::VectorXd& theta)> loss_at = {};  ///< empty: nothing is watched
  Index patience = 1;

  Eigen::VectorXd best = {};  ///< θ of the least loss so far; empty before the first finite one
  double best_loss = std::numeric_limits<double>::infinity();
  Index since_best = 0;  ///< checks

  bool watching() const { return loss_at != nullptr; }
  bool any() const { return best.size() > 0; }
  bool ran_out() const { return watching() && since_best >= patience; }

  /// Asks for the loss at θ and notes it in `step`. A θ without a finite loss is no improvement.
  void check(const Eigen::VectorXd& theta, FitStep& step) {
    step.held_out = loss_at(theta);
    ++since_best;
    if (!std::isfinite(step.held_out) || !(step.held_out < best_loss)) return;
    best_loss = step.held_out;
    best = theta;
    since_best = 0;
  }
};

/// A loss as a function of θ; it must outlive what is returned.
template <class T>
LossAt loss_at(objective::LossFunction<T>& function) {
  return [&function](const Eigen::VectorXd& theta, const LossOptions& options, bool with_gradient, Loss& loss) {
    function.bind(theta);
    function.evaluate(options, with_gradient, loss);
  };
}

/// Watches a loss on held-out data, which must outlive what is returned.
template <class T>
HeldOut watch(objective::LossFunction<T>& function, const LossOptions& options, Index patience) {
  return {.loss_at =
              [&function, options, loss = Loss{}](const Eigen::VectorXd& theta) mutable {
                function.bind(theta);
                function.evaluate(options, false, loss);
                return loss.value;
              },
          .patience = patience};
}

/// The plan of the loop, which does not change it.
struct MinibatchPlan {
  const char* task = "fit";
  const char* value_name = "loss";
  Index samples = 1, batch = 1;  ///< batch ≤ samples
  Index steps = 1;
  LearningRate learning_rate = {};
  double clip = 0, average = 0;      ///< as in AdamPlan
  std::uint64_t seed = 0;            ///< of the minibatches' order, and of which labels are dropped
  std::span<const int> labels = {};  ///< of the samples first_own … that this process has, or none
  Index first_own = 0;               ///< 0 where it has all
  double label_dropout = 0;          ///< probability that one use of a label is replaced by −1
  Index check_every = 0;             ///< steps between two checks of held-out data; 0: a pass
  double floor = -std::numeric_limits<double>::infinity();  ///< a loss below is a divergence
  ProgressCallback progress = {};

  Index per_pass() const { return (samples + batch - 1) / batch; }
  AdamPlan by_adam() const { return {task, value_name, steps, learning_rate, clip, average, progress}; }
};

/// All that decides what the loop does next: together with the plan it is the training, whenever it was stopped.
struct MinibatchState {
  Eigen::VectorXd theta = {};
  Eigen::VectorXd average = {};  ///< of θ; empty where there is none
  Adam adam = {};                ///< its moments, and the number of steps taken
  HeldOut held_out = {};

  Eigen::VectorXd at_pass = {}, best_pass = {};  ///< θ at the start of this pass, and of the best one
  double best_pass_loss = std::numeric_limits<double>::infinity();
  double pass_loss = 0, pass_gradient = 0;  ///< sums over this pass's minibatches
  std::vector<FitStep> history = {};

  /// θ if the training ends here: the average where there is one.
  const Eigen::VectorXd& present() const { return average.size() > 0 ? average : theta; }
  /// The same, or θ of the least held-out loss.
  const Eigen::VectorXd& answer() const { return held_out.any() ? held_out.best : present(); }
};

class MinibatchLoop final : Descent {
 public:
  /// Is called after each step, with the seconds since the beginning and the state as it then is; what it returns is a
  /// warning for the progress callback, "" for none.
  using Keep = std::function<std::string(double seconds)>;

  /// `state` starts with θ, `state.held_out` with what it watches; or it is one that was kept.
  MinibatchLoop(const MinibatchPlan& plan, LossAt loss_at, MinibatchState& state)
      : plan_(plan), loss_at_(std::move(loss_at)), s_(state) {
    if (s_.adam.step > 0) return;
    if (plan.average > 0) s_.average = s_.theta;
    s_.best_pass = s_.theta;
  }

  Index evaluations() const { return evaluations_; }
  Index non_finite() const { return non_finite_; }

  /// The loss of minibatch i (counted from 0) at the present θ. New noise for each.
  void evaluate(Index i, bool with_gradient, Loss& loss) {
    const Index pass = i / plan_.per_pass(), first = first_of(i);
    if (pass != order_of_) {
      order_ = detail::permutation(plan_.seed, static_cast<std::uint64_t>(pass), plan_.samples);
      order_of_ = pass;
    }
    const std::span<const Index> columns(order_.data() + first, static_cast<std::size_t>(count_of(i)));
    loss_at_(s_.theta, {.columns = columns, .labels = labels_of(i, columns), .draw = static_cast<std::uint64_t>(i) + 1},
             with_gradient, loss);
  }

  /// Takes what steps are left. Where a loss or its gradient is not finite, or the loss falls without bound, that step
  /// is not taken and the state stays; what the training has come to is then `best_pass`.
  FitStatus run(Keep keep = {}) {
    keep_ = std::move(keep);
    return descend(plan_.by_adam(), *this, s_.adam, s_.theta, s_.average);
  }

  /// The mean loss over the present pass so far.
  double pass_mean() const { return s_.pass_loss / static_cast<double>(seen_in_pass()); }

  /// After all steps: notes a pass that they left incomplete, and checks the held-out data once more, unless the last
  /// step did. A training that went on instead would do neither.
  void close() {
    const bool complete = s_.adam.step % plan_.per_pass() == 0;
    if (!complete) note_pass();
    if (s_.held_out.watching() && std::isnan(s_.history.back().held_out))
      s_.held_out.check(s_.present(), s_.history.back());
  }

 private:
  bool ran_out() const override { return s_.held_out.ran_out(); }

  Slope slope(Index i, const Eigen::VectorXd&) override {
    evaluate(i, true, loss_);
    ++evaluations_;
    return {loss_.value, loss_.gradient};
  }

  std::optional<FitStatus> obstacle(Index i, double value, double gradient_norm) override {
    const bool finite = std::isfinite(value) && std::isfinite(gradient_norm);
    if (!finite) ++non_finite_;
    if (!finite || value < plan_.floor) return finite || value < 0 ? FitStatus::diverged : FitStatus::non_finite;
    if (i % plan_.per_pass() == 0) {
      s_.at_pass = s_.present();
      s_.pass_loss = s_.pass_gradient = 0;
    }
    return {};
  }

  void taken(Index i, double value, double gradient_norm, double seconds) override {
    s_.pass_loss += value * static_cast<double>(count_of(i));
    s_.pass_gradient += gradient_norm;
    const bool pass_ends = (i + 1) % plan_.per_pass() == 0;
    if (pass_ends) {
      note_pass();
      const double mean = s_.history.back().loss;
      if (mean < s_.best_pass_loss) {
        s_.best_pass_loss = mean;
        s_.best_pass = s_.at_pass;
      }
    }
    if (s_.held_out.watching() && (plan_.check_every > 0 ? (i + 1) % plan_.check_every == 0 : pass_ends)) {
      if (!noted()) s_.history.push_back({i + 1, value, gradient_norm});
      s_.held_out.check(s_.present(), s_.history.back());
      held_out_loss_ = s_.history.back().held_out;
    }
    if (keep_) warning_ = keep_(seconds);
  }

  void complete(Progress& progress) const override {
    progress.held_out = held_out_loss_;
    progress.warning = warning_;
  }

  Index first_of(Index i) const { return i % plan_.per_pass() * plan_.batch; }
  Index count_of(Index i) const { return std::min(plan_.batch, plan_.samples - first_of(i)); }

  // A sample's label is dropped by a number at its own address: the same for any order, batch and number of threads.
  std::span<const int> labels_of(Index i, std::span<const Index> columns) {
    if (plan_.label_dropout == 0 || plan_.labels.empty()) return plan_.labels;
    labels_.resize(plan_.labels.size());
    ids_.assign(columns.begin(), columns.end());
    uniform_.resize(columns.size());
    const Index count = static_cast<Index>(columns.size());
    extend::fill_uniforms<double>({plan_.seed, extend::Purpose::label_dropout}, ids_.data(), count,
                                  static_cast<std::uint64_t>(i), 1, uniform_.data(), count);
    for (std::size_t k = 0; k < columns.size(); ++k) {
      const Index own = columns[k] - plan_.first_own;
      if (own < 0 || own >= static_cast<Index>(labels_.size())) continue;  // another rank's
      const std::size_t column = static_cast<std::size_t>(own);
      labels_[column] = uniform_[k] < plan_.label_dropout ? -1 : plan_.labels[column];
    }
    return labels_;
  }

  Index seen_in_pass() const { return first_of(s_.adam.step - 1) + count_of(s_.adam.step - 1); }
  bool noted() const { return !s_.history.empty() && s_.history.back().evaluations == s_.adam.step; }

  // The means over this pass so far.
  void note_pass() {
    const Index i = s_.adam.step - 1;
    if (!noted()) s_.history.push_back({.evaluations = i + 1});
    s_.history.back().loss = pass_mean();
    s_.history.back().gradient_norm = s_.pass_gradient / static_cast<double>(i % plan_.per_pass() + 1);
  }

  const MinibatchPlan& plan_;
  LossAt loss_at_;
  MinibatchState& s_;
  Keep keep_;
  std::string warning_;
  Loss loss_;
  std::vector<Index> order_;
  Index order_of_ = -1;      ///< the pass
  std::vector<int> labels_;  ///< valid for the columns of the present minibatch
  std::vector<std::int64_t> ids_;
  std::vector<double> uniform_;
  Index evaluations_ = 0, non_finite_ = 0;
  double held_out_loss_ = std::numeric_limits<double>::quiet_NaN();
};

}  // namespace fitting
}  // namespace scorematch
