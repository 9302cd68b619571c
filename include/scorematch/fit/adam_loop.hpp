// The loop around Adam: fit() and train() on minibatches (fit/minibatches.hpp), contrastive divergence, which is a fit
// on minibatches of what stands in for a loss, and a generator's fit by reverse_kl.
//
// It knows gradients as functions of θ alone, so that a program compiles it once, whatever its models and losses.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "scorematch/fit/adam.hpp"
#include "scorematch/fit/fit_status.hpp"
#include "scorematch/fit/learning_rate.hpp"
#include "scorematch/progress.hpp"

namespace scorematch::fitting {

/// What the loop does at every step whatever the gradient is.
struct AdamPlan {
  const char* task = "fit";
  const char* value_name = "loss";  ///< of what the progress callback is told
  Index steps = 1;
  LearningRate learning_rate = {};
  double clip = 0;     ///< the gradient's norm at most; 0: no limit
  double average = 0;  ///< decay of the moving average of θ; 0: none
  ProgressCallback progress = {};
};

/// The gradients that the loop goes down, and what is done beside its steps.
class Descent {
 public:
  /// What is found at θ; the gradient stays until the next call.
  struct Slope {
    double value = 0;  ///< of the loss, or of what stands in for it
    const Eigen::VectorXd& gradient;
  };

  virtual ~Descent() = default;

  /// Whether the loop ends before its next step, as early_stopped.
  virtual bool ran_out() const { return false; }
  /// The slope of step i, counted from 0.
  virtual Slope slope(Index i, const Eigen::VectorXd& theta) = 0;
  /// A status where step i is not to be taken: the loop ends with it.
  virtual std::optional<FitStatus> obstacle(Index i, double value, double gradient_norm) = 0;
  /// Step i is taken.
  virtual void taken(Index i, double value, double gradient_norm, double seconds) = 0;
  /// What else the progress callback is told.
  virtual void complete(Progress&) const {}
};

/// Takes the steps that are left, those after `adam.step`, from θ; `average` is moved along where the plan has one. The
/// status is used_up after the last one; where the progress callback says so it is stopped, unless none is left.
inline FitStatus descend(const AdamPlan& plan, Descent& descent, Adam& adam, Eigen::VectorXd& theta,
                         Eigen::VectorXd& average) {
  const detail::Stopwatch watch;
  const Index began = adam.step;
  Norm norm;
  adam.rate = plan.learning_rate;
  adam.steps = plan.steps;
  while (!descent.ran_out()) {
    const Index i = adam.step;
    if (i >= plan.steps) return FitStatus::used_up;
    const Descent::Slope slope = descent.slope(i, theta);
    const double gradient_norm = norm.of(slope.gradient);
    if (const auto obstacle = descent.obstacle(i, slope.value, gradient_norm)) return *obstacle;
    const double scale = plan.clip > 0 && gradient_norm > plan.clip ? plan.clip / gradient_norm : 1;
    if (plan.average > 0) {
      const double t = static_cast<double>(i + 1);
      adam.update(slope.gradient, theta, scale, average, 1 - std::min(plan.average, (1 + t) / (10 + t)));
    } else {
      adam.update(slope.gradient, theta, scale);
    }
    descent.taken(i, slope.value, gradient_norm, watch.seconds());
    if (!plan.progress) continue;
    const bool ends = descent.ran_out() || i + 1 == plan.steps;  // after the last step nothing can be stopped
    Progress progress{.task = plan.task,
                      .done = i + 1,
                      .of = ends ? i + 1 : plan.steps,
                      .value = slope.value,
                      .value_name = plan.value_name,
                      .seconds = watch.seconds(),
                      .began = began};
    descent.complete(progress);
    if (!plan.progress(progress) && !ends) return FitStatus::stopped;
  }
  return FitStatus::early_stopped;
}

}  // namespace scorematch::fitting
