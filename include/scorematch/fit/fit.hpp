// fit: a model, an objective, data → the fitted model and how it went.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "scorematch/fit/lbfgs.hpp"
#include "scorematch/fit/minibatches.hpp"
#include "scorematch/objective/loss.hpp"
#include "scorematch/progress.hpp"

namespace scorematch {

enum class Method {
  automatic,  ///< lbfgs where the objective is deterministic, adam otherwise
  lbfgs,      ///< the whole data set at every evaluation; the objective's noise is kept at draw 0
  adam,       ///< minibatches in a pseudo-random order, new noise at every step
};

struct FitOptions {
  Method method = Method::automatic;
  Index iterations = 0;  ///< at most; 0: 1000 for lbfgs, 5000 (minibatches) for adam
  double tolerance =
      0;  ///< lbfgs: ‖gradient‖ ≤ tolerance · max(1, ‖θ‖) is convergence; 0: 1e-6 for double data, 1e-3 for float
  Index memory = 10;               ///< lbfgs: corrections kept, ≥ 1
  Index batch = 128;               ///< adam: samples a minibatch, ≥ 1
  double learning_rate = 1e-2;     ///< adam: at the start; it falls to 0 along half a cosine. > 0
  std::uint64_t seed = 0;          ///< adam: of the minibatches' order
  ProgressCallback progress = {};  ///< progress_line(), or your own

  /// Early stopping: samples that the fit does not see, d × K; empty for none. Their loss, at the objective's draw 0,
  /// is asked for now and then; the fit ends when it has not improved for long, and keeps the θ where it was least.
  Eigen::MatrixXd held_out = {};
  Index check_every =
      0;  ///< evaluations between two checks; 0: each lower loss for lbfgs, each pass over the data for adam
  Index patience = 10;  ///< checks without improvement until the fit ends, ≥ 1

  void validate() const {
    require_at_least(iterations, 0, "FitOptions: iterations");
    require(tolerance >= 0, {"FitOptions: tolerance is ", tolerance, "; it must be at least 0"});
    require_at_least(memory, 1, "FitOptions: memory");
    require_at_least(batch, 1, "FitOptions: batch");
    require_positive(learning_rate, "FitOptions: learning_rate");
    require_at_least(check_every, 0, "FitOptions: check_every");
    require_at_least(patience, 1, "FitOptions: patience");
    require(held_out.cols() > 0 || held_out.rows() == 0,
            {"FitOptions: held_out has no columns; at least one sample is needed (or leave it empty, 0 × 0)"});
  }
};

enum class FitStatus {
  converged,  ///< lbfgs: the gradient is small
  stopped,    ///< after the iterations allowed (adam's usual end), or by the progress callback
  stalled,    ///< lbfgs: no further decrease can be resolved at working precision, or a wall of non-finite losses is in
              ///< the way
  early_stopped,  ///< the held-out loss had stopped to improve
  diverged,       ///< the loss falls without bound
  non_finite,     ///< the loss or its gradient was not finite where the fit started, or, in adam, where it went
  stuck,          ///< contrastive divergence: chains of the model do not move, so that nothing was learnt from them
};

inline const char* to_string(FitStatus status) {
  switch (status) {
    case FitStatus::converged:
      return "converged";
    case FitStatus::stopped:
      return "stopped";
    case FitStatus::stalled:
      return "stalled";
    case FitStatus::early_stopped:
      return "early-stopped";
    case FitStatus::diverged:
      return "diverged";
    case FitStatus::non_finite:
      return "non-finite";
    case FitStatus::stuck:
      return "stuck";
  }
  return "";
}

/// What a fit returns, whatever happened. `model` holds the best finite parameters seen (adam: the last; before a
/// non-finite loss: those of the best pass); with held-out data those of the least held-out loss, whatever the status.
template <class M>
struct [[nodiscard]] Fit {
  M model;
  Loss loss = {};  ///< of `model` on the whole data set, at the objective's draw 0, with its gradient
  FitStatus status = FitStatus::stopped;
  Index iterations = 0, evaluations = 0;
  Index non_finite = 0;  ///< evaluations whose loss or gradient was not finite
  std::vector<FitStep> history = {};
  double held_out_loss = std::numeric_limits<double>::quiet_NaN();  ///< of `model`; NaN without held-out data
};

namespace fitting {

/// How a fit went, whatever the model.
struct FitRun {
  FitStatus status = FitStatus::stopped;
  double loss = 0;  ///< lbfgs: the least
  Index iterations = 0, evaluations = 0, non_finite = 0;
  std::vector<FitStep> history = {};
};

/// Tells it in the fields of what a fit returns.
template <class Result>
void report(FitRun run, Result& result) {
  result.status = run.status;
  result.iterations = run.iterations;
  result.evaluations = run.evaluations;
  result.non_finite = run.non_finite;
  result.history = std::move(run.history);
}

/// The loss on the whole data set, at draw 0.
template <class T>
Function on_all_data(objective::LossLoop<T>& function) {
  return [&function, loss = Loss{}](const Eigen::VectorXd& theta, Eigen::VectorXd& gradient) mutable {
    function.bind(theta);
    function.evaluate({}, true, loss);
    gradient = loss.gradient;
    return loss.value;
  };
}

/// Minimises `loss` from θ, which becomes the best point. `tolerance` > 0 takes the place of options.tolerance.
template <class = void>
FitRun by_lbfgs(const Function& loss, HeldOut& held_out, const FitOptions& options, double tolerance,
                Eigen::VectorXd& theta) {
  const Stopwatch watch;
  const Index iterations = options.iterations > 0 ? options.iterations : 1000;
  FitRun run;
  Eigen::VectorXd present;  // θ of the evaluation that the observer is told of
  const Minimum minimum = minimise(
      [&](const Eigen::VectorXd& at, Eigen::VectorXd& gradient) {
        if (held_out.watching()) present = at;
        return loss(at, gradient);
      },
      theta, iterations, options.memory, tolerance,
      [&](Index evaluation, double value, double gradient_norm, bool best) {
        run.history.push_back({evaluation + 1, value, gradient_norm});
        if (held_out.watching() && (options.check_every > 0 ? evaluation % options.check_every == 0 : best))
          held_out.check(present, run.history.back());
        if (held_out.ran_out()) return false;
        return !options.progress || options.progress({"fit", std::min(evaluation, iterations - 1), iterations, value,
                                                      "loss", watch.seconds()});
      });
  theta = minimum.theta;
  run.loss = minimum.loss;
  run.iterations = minimum.iterations;
  run.evaluations = minimum.evaluations;
  run.non_finite = minimum.non_finite;
  if (options.progress) (void)options.progress({"fit", iterations, iterations, minimum.loss, "loss", watch.seconds()});
  run.status = !minimum.started                                      ? FitStatus::non_finite
               : held_out.ran_out()                                  ? FitStatus::early_stopped
               : minimum.unbounded                                   ? FitStatus::diverged
               : minimum.converged                                   ? FitStatus::converged
               : minimum.stopped || minimum.iterations >= iterations ? FitStatus::stopped
                                                                     : FitStatus::stalled;
  return run;
}

/// The same by minibatches of `samples`.
template <class = void>
FitRun by_adam(const LossAt& loss_at, Index samples, HeldOut& held_out, const FitOptions& options,
               Eigen::VectorXd& theta) {
  const MinibatchPlan plan{.samples = samples,
                           .batch = std::min(options.batch, samples),
                           .steps = options.iterations > 0 ? options.iterations : 5000,
                           .learning_rate = {.peak = options.learning_rate},
                           .seed = options.seed,
                           .check_every = options.check_every,
                           .progress = options.progress};
  MinibatchState state{.theta = theta, .held_out = held_out};
  MinibatchLoop loop(plan, loss_at, state);
  const MinibatchEnd end = loop.run([](double) { return std::string(); });
  if (end == MinibatchEnd::all_steps) loop.close();
  theta = end == MinibatchEnd::diverged || end == MinibatchEnd::non_finite ? state.best_pass : state.theta;
  held_out = std::move(state.held_out);
  FitRun run;
  run.history = std::move(state.history);
  run.iterations = state.adam.step;
  run.evaluations = loop.evaluations();
  run.non_finite = loop.non_finite();
  run.status = end == MinibatchEnd::early_stopped ? FitStatus::early_stopped
               : end == MinibatchEnd::diverged    ? FitStatus::diverged
               : end == MinibatchEnd::non_finite  ? FitStatus::non_finite
                                                  : FitStatus::stopped;
  return run;
}

template <class T, class M, class O>
void run(const O& objective, MatrixView<T> data, const FitOptions& options, Fit<M>& result) {
  options.validate();
  auto function = objective::loss_function<T>(result.model, objective, data);
  Eigen::VectorXd theta = result.model.parameters();
  const bool lbfgs =
      options.method == Method::lbfgs || (options.method == Method::automatic && objective.deterministic());
  const double tolerance = options.tolerance > 0 ? options.tolerance : std::is_same_v<T, float> ? 1e-3 : 1e-6;
  const Matrix<T> held_out_data = options.held_out.template cast<T>();
  std::unique_ptr<decltype(function)> on_held_out;
  if (held_out_data.cols() > 0) {
    require_samples<T>(held_out_data, data.rows(), "FitOptions: held_out");
    on_held_out = std::make_unique<decltype(function)>(
        objective::loss_function<T>(result.model, objective, MatrixView<T>(held_out_data)));
  }
  HeldOut held_out;
  if (on_held_out) held_out = watch(*on_held_out, {}, options.patience);
  report(lbfgs ? by_lbfgs(on_all_data(function), held_out, options, tolerance, theta)
               : by_adam(loss_at(function), function.samples(), held_out, options, theta),
         result);
  if (held_out.any()) {
    theta = held_out.best;
    result.held_out_loss = held_out.best_loss;
  }
  result.model.set_parameters(theta);
  function.bind(theta);
  function.evaluate({}, true, result.loss);
}

}  // namespace fitting

/// Minimises the objective's loss over θ, from the model's present θ. Reproducible: the same bits for any number of
/// threads. Never throws for a numerical outcome: read `status`.
///
///   auto fit = sm::fit(energy, sm::implicit_score_matching{}, data);
///   auto fit = sm::fit(energy, sm::denoising_score_matching{.sigma = 0.3}, data, {.progress = sm::progress_line()});
///
/// X: d × N, a column a sample. Throws std::invalid_argument for empty data, a wrong row count, a non-finite entry
/// (with its column), options out of range.
template <class M, class O, class Derived>
Fit<M> fit(const M& model, const O& objective, const Eigen::MatrixBase<Derived>& X, const FitOptions& options = {}) {
  Fit<M> result{.model = model};
  if constexpr (check_trainable_model<M>())
    fitting::run<typename Derived::Scalar>(objective, X.derived(), options, result);
  return result;
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled.hpp"
#endif
