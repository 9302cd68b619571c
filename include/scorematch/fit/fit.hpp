// fit: a model, an objective, data → the fitted model and how it went.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/fit/fit_status.hpp"
#include "scorematch/fit/gradient_noise.hpp"
#include "scorematch/fit/inspect_data.hpp"
#include "scorematch/fit/minibatches.hpp"
#include "scorematch/fit/quasi_newton.hpp"
#include "scorematch/fit/start.hpp"
#include "scorematch/loss/loss.hpp"
#include "scorematch/loss/second_order.hpp"
#include "scorematch/model/parameter_names.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/ranks/agreement.hpp"
#include "scorematch/ranks/shards.hpp"

namespace scorematch {

/// How a fit searches for the least loss.
enum class FitMethod {
  automatic,  ///< lbfgs where the objective is deterministic, adam otherwise
  lbfgs,      ///< the whole data set at every evaluation; the objective's noise is kept at draw 0
  adam,       ///< minibatches in a pseudo-random order, new noise at every step
};

/// Options of fit. An option that the method in use does not look at throws.
struct FitOptions {
  FitMethod method = FitMethod::automatic;  ///< how the fit searches
  Index iterations = 0;                     ///< at most; 0: 1000 for lbfgs, 5000 (minibatches) for adam
  /// lbfgs: the fit has converged when the next step would change the score by no more than this part of its size
  /// (Fit::decrement); no units. 0: 1e-9 for double data, 1e-4 for float, where rounding allows, else a thousand times
  /// as much
  double tolerance = 0;
  Index memory = 10;            ///< lbfgs: corrections kept, ≥ 1
  Index batch = 128;            ///< adam: samples a minibatch, ≥ 1
  double learning_rate = 1e-2;  ///< adam: at the start; it falls to 0 along half a cosine. > 0
  std::uint64_t seed = 0;       ///< adam: of the minibatches' order
  /// Also try the model's start carried over to the data's mean and deviation, and begin at the one of the lower loss;
  /// false: the model's own start whatever the data's units are.
  bool carry_start = true;
  ProgressCallback progress = {};  ///< progress_line(), or your own

  /// Early stopping: samples that the fit does not see, d × K; empty for none. Their loss, at the objective's draw 0,
  /// is asked for now and then; the fit ends when it has not improved for long, and keeps the θ where it was least.
  Eigen::MatrixXd held_out = {};
  Index check_every =
      0;  ///< evaluations between two checks; 0: each lower loss for lbfgs, each pass over the data for adam
  Index patience = 10;  ///< checks without improvement until the fit ends, ≥ 1
  /// Ranks that fit together, of which each gives its own columns of the data and of held_out (d × 0 for none); all get
  /// the same result, that of one process with all columns, bit for bit. progress is rank 0's. Default: one process.
  Communicator communicator = {};

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require_at_least(iterations, 0, "FitOptions: iterations");
    extend::require(tolerance >= 0, {"FitOptions: tolerance is ", tolerance, "; it must be at least 0"});
    extend::require_at_least(memory, 1, "FitOptions: memory");
    extend::require_at_least(batch, 1, "FitOptions: batch");
    extend::require_positive(learning_rate, "FitOptions: learning_rate");
    extend::require_at_least(check_every, 0, "FitOptions: check_every");
    extend::require_at_least(patience, 1, "FitOptions: patience");
    extend::require(held_out.cols() > 0 || held_out.rows() == 0 || !communicator.alone(),
                    {"FitOptions: held_out has no columns; at least one sample is needed (or leave it empty, 0 × 0)"});
  }
};

/// The result of a fit, whatever happened. `model` holds the best finite parameters seen (adam: the last; before a
/// non-finite loss: those of the best pass); with held-out data those of the least held-out loss, whatever the status.
template <class M>
struct [[nodiscard]] Fit {
  M model;         ///< with the fitted θ
  Loss loss = {};  ///< of `model` on the whole data set, at the objective's draw 0, with its gradient
  FitStatus status = FitStatus::used_up;  ///< how it ended
  Index iterations = 0;                   ///< steps of θ
  Index evaluations = 0;                  ///< of the loss: of the whole data set, or of a minibatch
  Index non_finite = 0;                   ///< evaluations whose loss or gradient was not finite
  std::vector<FitStep> history = {};      ///< the course of the fit
  double held_out_loss = std::numeric_limits<double>::quiet_NaN();  ///< of `model`; NaN without held-out data
  /// How far the next step, −G⁻¹g by the gradient g and the Gauss–Newton matrix G, would change the score beside its
  /// size, each coordinate in units of the data's deviation: no units.
  double decrement = std::numeric_limits<double>::quiet_NaN();
  std::vector<std::string> warnings = {};  ///< what in the data or the model makes the fit doubtful, a sentence each
  Communication communication = {};        ///< of this rank, with the others

  /// A line: how it ended and the loss with its standard error; then a line for each warning.
  std::string text() const {
    std::string all = scorematch::detail::text(to_string(status), " after ", iterations, " iterations: loss ",
                                               loss.value, " ± ", loss.standard_error, '\n');
    for (const std::string& warning : warnings) all += "  " + warning + '\n';
    return all;
  }
};

namespace fitting {

/// How a fit went, whatever the model.
struct FitRun {
  FitStatus status = FitStatus::used_up;
  double loss = 0;  ///< lbfgs: the least
  Index iterations = 0, evaluations = 0, non_finite = 0;
  double decrement = std::numeric_limits<double>::quiet_NaN();
  double resolved = 0;  ///< what rounding of θ may change the score by, beside its size
  std::vector<FitStep> history = {};
  bool ended = false;                       ///< by the progress callback, before the search by the loss itself
  bool unbounded = false;                   ///< below the floor in the data's own units
  bool saddle = false;                      ///< stationary where the loss curves down
  bool left_units = false;                  ///< the optimum in the data's own units is another
  std::vector<Index> lost = {}, idle = {};  ///< numbers of θ that change nothing any more, or never did
};

/// Tells it in the fields of what a fit returns.
template <class Result>
void report(FitRun run, Result& result) {
  result.status = run.status;
  result.iterations = run.iterations;
  result.evaluations = run.evaluations;
  result.non_finite = run.non_finite;
  result.history = std::move(run.history);
  if constexpr (requires { result.decrement; }) result.decrement = run.decrement;
}

/// The metric of a loss; `function` must outlive what is returned. Where the data's units are even, all the coordinates
/// count alike in G itself.
template <class T>
MetricAt metric_of(objective::LossFunction<T>& function, const Eigen::VectorXd& deviations, bool even) {
  return [&function, deviations, even](const Eigen::VectorXd& theta, Metric& metric) {
    function.bind(theta);
    const Index p = function.parameter_count(), dimension = function.data().rows();
    const Index rows = p > most_dense ? 256 : std::clamp<Index>(36 * p, 512, 36864);
    MetricSum sum(p, metric.gram, metric.diagonal);
    std::optional<MetricSum> relative;
    if (!even) relative.emplace(p, metric.relative_gram, metric.relative_diagonal);
    const objective::SecondOrder second =
        objective::second_order<T>(function, (rows + dimension - 1) / dimension, deviations,
                                   [&](const Eigen::VectorXd& row, double natural_square) {
                                     sum.add(row);
                                     if (relative)
                                       relative->add(row, natural_square > 0 ? 1 / std::sqrt(natural_square) : 0);
                                   });
    sum.finish(second.samples);
    metric.square = second.square;
    metric.gain = second.gain;
    if (relative) {
      relative->finish(second.samples);
      metric.relative_square = second.relative_square;
    } else {
      metric.relative_gram = metric.gram;
      metric.relative_diagonal = metric.diagonal;
      metric.relative_square = metric.square;
    }
  };
}

/// How a search is to end, for losses in the arithmetic T.
template <class T>
Search search_for(const FitOptions& options, double floor) {
  const bool in_float = std::is_same_v<T, float>;
  Search search{.iterations = options.iterations > 0 ? options.iterations : 1000,
                .memory = options.memory,
                .noise = in_float ? 1e-6 : 1e-14,
                .floor = floor};
  search.tolerance = options.tolerance > 0 ? options.tolerance : in_float ? 1e-4 : 1e-9;
  search.resolution = options.tolerance > 0 ? options.tolerance : in_float ? 2e-3 : 1e-6;
  return search;
}

/// The loss on the whole data set, at draw 0.
template <class T>
Function on_all_data(objective::LossFunction<T>& function) {
  return [&function, loss = Loss{}](const Eigen::VectorXd& theta, Eigen::VectorXd& gradient) mutable {
    function.bind(theta);
    function.evaluate({}, true, loss);
    gradient = loss.gradient;
    return loss.value;
  };
}

/// Up to this many dimensions: its directions are d² numbers a sample.
inline constexpr Index most_in_units = 64;

/// Begins a run: moves θ to the minimum of `in_units`, the same loss with each coordinate in the data's own units,
/// unless that raises `loss`. Of `search` it takes iterations, and sets what was learned. The losses that it reports
/// are those of `loss`. Where the loss in units falls below `floor` the run is `unbounded`.
inline FitRun begin_in_units(const Function& in_units, const MetricAt& metric, double floor, const Function& loss,
                             const FitOptions& options, Search& search, Eigen::VectorXd& theta) {
  const detail::Stopwatch watch;
  FitRun run;
  Eigen::VectorXd present, gradient;
  double least = 0;
  Search here = search;
  here.floor = floor;
  const Minimum minimum = minimise(
      [&](const Eigen::VectorXd& at, Eigen::VectorXd& slope) {
        present = at;
        return in_units(at, slope);
      },
      metric, theta, here,
      [&](Index evaluation, double, double, bool best) {
        const double value = loss(present, gradient);
        run.history.push_back({evaluation + 1, value, gradient.norm()});
        if (evaluation == 0) least = value;
        if (best && value < search.floor) return false;  // the search by the loss itself says what this is
        run.ended = options.progress && !options.progress({"fit", std::min(evaluation, search.iterations - 1),
                                                           search.iterations, value, "loss", watch.seconds()});
        return !run.ended;
      });
  if (run.ended) run.status = FitStatus::stopped;
  run.iterations = minimum.iterations;
  run.evaluations = minimum.evaluations;
  run.non_finite = minimum.non_finite;
  run.lost = minimum.lost;
  run.idle = minimum.idle;
  search.iterations -= minimum.iterations;
  run.unbounded = minimum.unbounded;
  if (!(loss(minimum.theta, gradient) <= least)) return run;
  theta = minimum.theta;
  search.settled_where_hidden = minimum.converged;
  return run;
}

/// Minimises `loss` from θ, which becomes the best point; goes on with `run`.
inline FitRun by_lbfgs(const Function& loss, const MetricAt& metric, HeldOut& held_out, const FitOptions& options,
                       const Search& search, Eigen::VectorXd& theta, FitRun run = {}) {
  const detail::Stopwatch watch;
  const Index before = run.evaluations, done = run.iterations, iterations = done + search.iterations;
  Eigen::VectorXd present;  // θ of the evaluation that the observer is told of
  const Minimum minimum = minimise(
      [&](const Eigen::VectorXd& at, Eigen::VectorXd& gradient) {
        if (held_out.watching()) present = at;
        return loss(at, gradient);
      },
      metric, theta, search,
      [&](Index evaluation, double value, double gradient_norm, bool best) {
        run.history.push_back({before + evaluation + 1, value, gradient_norm});
        if (held_out.watching() && (options.check_every > 0 ? evaluation % options.check_every == 0 : best))
          held_out.check(present, run.history.back());
        if (held_out.ran_out()) return false;
        return !options.progress || options.progress({"fit", std::min(done + evaluation, iterations - 1), iterations,
                                                      value, "loss", watch.seconds()});
      });
  theta = minimum.theta;
  run.loss = minimum.loss;
  run.iterations += minimum.iterations;
  run.evaluations += minimum.evaluations;
  run.non_finite += minimum.non_finite;
  run.decrement = minimum.decrement;
  run.resolved = minimum.resolved;
  run.saddle = minimum.saddle;
  run.left_units = search.settled_where_hidden && minimum.iterations > 0;
  if (before == 0) run.idle = minimum.idle;
  for (const Index i : minimum.lost)
    if (std::find(run.lost.begin(), run.lost.end(), i) == run.lost.end()) run.lost.push_back(i);
  if (options.progress) (void)options.progress({"fit", iterations, iterations, minimum.loss, "loss", watch.seconds()});
  const bool used_up = minimum.iterations >= search.iterations, converged = minimum.converged && run.lost.empty();
  run.status = !minimum.started     ? FitStatus::non_finite
               : held_out.ran_out() ? FitStatus::early_stopped
               : minimum.unbounded  ? FitStatus::diverged
               : minimum.stopped    ? FitStatus::stopped
               : run.unbounded      ? FitStatus::diverged
               : converged          ? FitStatus::converged
               : used_up            ? FitStatus::used_up
                                    : FitStatus::stalled;
  // Stationary, or so flat that nothing can be told: the score is next to 0 by the data's scale.
  const bool flat = minimum.gain <= 1e-6 * search.natural;
  if (minimum.gain >= 0 && !used_up &&
      (run.status == FitStatus::converged || (run.status == FitStatus::stalled && flat)))
    run.status = FitStatus::plateau;
  return run;
}

/// The coordinates φ that Adam moves in, θ = θ₀ + scale φ: a unit of each changes the score by its own size. So Adam's
/// steps, and the size below which it takes a gradient for 0, have the units of no data.
struct AdamUnits {
  Eigen::VectorXd start = {}, scale = {};  ///< empty: θ itself
  double loss = 1;                         ///< what the loss is divided by
};

inline AdamUnits adam_units(const MetricAt& metric_at, const Eigen::VectorXd& theta) {
  Metric metric;
  metric_at(theta, metric);
  if (!(metric.square > 0) || !std::isfinite(metric.square)) return {};
  AdamUnits units{.start = theta, .scale = theta, .loss = metric.square};
  for (Index i = 0; i < theta.size(); ++i) {
    if (!std::isfinite(metric.diagonal[i])) return {};
    units.scale[i] = metric.diagonal[i] > 0 ? std::sqrt(metric.square / metric.diagonal[i]) : 1;
  }
  return units;
}

/// Minimises `loss_at` by minibatches of `samples`.
inline FitRun by_adam(const LossAt& loss_at, const MetricAt& metric_at, const AdamUnits& units, Index samples,
                      double floor, HeldOut& held_out, const FitOptions& options, Eigen::VectorXd& theta) {
  const MinibatchPlan plan{.samples = samples,
                           .batch = std::min(options.batch, samples),
                           .steps = options.iterations > 0 ? options.iterations : 5000,
                           .learning_rate = {.peak = options.learning_rate},
                           .seed = options.seed,
                           .check_every = options.check_every,
                           .floor = floor,
                           .progress = options.progress};
  const bool scaled = units.scale.size() > 0;
  const auto in_theta = [&](const Eigen::VectorXd& phi) {
    Eigen::VectorXd at = phi;
    if (scaled)
      for (Index i = 0; i < at.size(); ++i) at[i] = units.start[i] + units.scale[i] * phi[i];
    return at;
  };
  LossAt of_phi = loss_at;
  if (scaled) {
    of_phi = [&](const Eigen::VectorXd& phi, const LossOptions& what, bool with_gradient, Loss& loss) {
      loss_at(in_theta(phi), what, with_gradient, loss);
      if (!with_gradient) return;
      for (Index i = 0; i < phi.size(); ++i) loss.gradient[i] *= units.scale[i] / units.loss;
    };
    if (held_out.watching())
      held_out.loss_at = [&in_theta, of_theta = held_out.loss_at](const Eigen::VectorXd& phi) {
        return of_theta(in_theta(phi));
      };
    theta.setZero();
  }
  MinibatchState state{.theta = theta, .held_out = held_out};
  MinibatchLoop loop(plan, of_phi, state);
  const FitStatus end = loop.run();
  if (end == FitStatus::used_up) loop.close();
  theta = in_theta(end == FitStatus::diverged || end == FitStatus::non_finite ? state.best_pass : state.theta);
  held_out = std::move(state.held_out);
  if (held_out.any()) held_out.best = in_theta(held_out.best);
  FitRun run;
  run.history = std::move(state.history);
  run.iterations = state.adam.step;
  run.evaluations = loop.evaluations();
  run.non_finite = loop.non_finite();
  run.status = end;
  if (end == FitStatus::used_up &&
      arrived(loss_at, metric_at, samples, static_cast<std::uint64_t>(plan.steps) + 1,
              plan.steps * plan.batch / (10 * samples), theta, run.decrement))  // a tenth of the fit's own evaluations
    run.status = FitStatus::converged;
  return run;
}

/// Throws std::invalid_argument where an option is set that the method does not look at.
inline void require_used(const FitOptions& options, bool lbfgs, const char* method) {
  const FitOptions unset;
  const auto require_unset = [&](bool is_unset, const char* name) {
    extend::require(is_unset, {"FitOptions: ", name, " is set, but ", method, " does not use it"});
  };
  if (lbfgs) {
    require_unset(options.batch == unset.batch, "batch");
    require_unset(options.learning_rate == unset.learning_rate, "learning_rate");
    require_unset(options.seed == unset.seed, "seed");
  } else {
    require_unset(options.tolerance == unset.tolerance, "tolerance");
    require_unset(options.memory == unset.memory, "memory");
  }
}

/// The same for what watches held-out data.
inline void require_no_held_out(const FitOptions& options, const char* method) {
  const FitOptions unset;
  extend::require(options.held_out.size() == 0,
                  {"FitOptions: held_out is given, but ", method, " watches no held-out data"});
  extend::require(options.check_every == unset.check_every && options.patience == unset.patience,
                  {"FitOptions: ", options.patience == unset.patience ? "check_every" : "patience",
                   " is set, but there are no held_out data to be checked"});
}

/// A model and an objective as a fit needs them, whatever their types are: losses as functions of θ.
template <class T>
struct FitProblem {
  /// of this rank's data, and who has which
  using LossOn = std::function<objective::LossFunction<T>(const MatrixView<T>& data, const ranks::Shards& shards)>;

  Eigen::VectorXd start = {};
  ScoreField score = {};
  std::function<std::vector<std::string>()> names = {};  ///< of the numbers of θ
  bool deterministic = true;
  LossOn loss = {};
  LossOn with_new_noise = {};      ///< the same at another draw; empty where there is no noise
  LossOn by_control_variate = {};  ///< the same with its noise taken out; empty where it cannot be, or is already
  LossOn by_control_variate_with_new_noise = {};
  /// The same with each coordinate in units of its own; empty where the objective has no such form.
  std::function<objective::LossFunction<T>(const MatrixView<T>& data, const ranks::Shards& shards,
                                           const Eigen::VectorXd& deviations)>
      in_units = {};
};

/// Model and objective must outlive what is returned.
template <class T, class M, class O>
FitProblem<T> fit_problem(const M& model, const O& objective) {
  using View = const MatrixView<T>&;
  using Shards = const ranks::Shards&;
  FitProblem<T> problem{
      .start = model.parameters(),
      .score = score_field(model),
      .names = [&] { return parameter_names(model); },
      .deterministic = objective.deterministic(),
      .loss = [&](View data, Shards shards) { return objective::loss_function<T>(model, objective, data, shards); }};
  if constexpr (requires { objective.with_new_noise(); })
    problem.with_new_noise = [&](View data, Shards shards) {
      return objective::loss_function<T>(model, objective.with_new_noise(), data, shards);
    };
  if constexpr (requires { objective.control_variate; })
    if (!objective.control_variate) {
      O steady = objective;
      steady.control_variate = true;
      problem.by_control_variate = [&, steady](View data, Shards shards) {
        return objective::loss_function<T>(model, steady, data, shards);
      };
      problem.by_control_variate_with_new_noise = [&, steady](View data, Shards shards) {
        return objective::loss_function<T>(model, steady.with_new_noise(), data, shards);
      };
    }
  if constexpr (requires(const Eigen::VectorXd& deviations) { objective.in_units(deviations); })
    problem.in_units = [&](View data, Shards shards, const Eigen::VectorXd& deviations) {
      return objective::loss_function<T>(model, objective.in_units(deviations), data, shards);
    };
  return problem;
}

/// One fit: of a FitProblem, by one of the two methods.
template <class T>
class FitSearch {
 public:
  FitSearch(const FitProblem<T>& problem, MatrixView<T> data, const FitOptions& options)
      : problem_(problem),
        options_(options),
        data_(data),
        shards_(options.communicator, data.cols()),
        function_(problem.loss(data, shards_)) {}

  Eigen::VectorXd theta;  ///< the answer
  Loss loss;              ///< there
  double held_out_loss = std::numeric_limits<double>::quiet_NaN();
  std::vector<std::string> warnings;

  FitRun run() {
    lbfgs_ = options_.method == FitMethod::lbfgs || (options_.method == FitMethod::automatic && problem_.deterministic);
    watches_ = ranks::any(options_.communicator, options_.held_out.cols() > 0);
    ranks::agree(options_.communicator, [&] {
      require_used(options_, lbfgs_, lbfgs_ ? "the method lbfgs" : "the method adam");
      if (!watches_) require_no_held_out(options_, "this fit");
    });
    scale_ = inspect_data<T>(all_data(), warnings);
    choose_start();
    watch_held_out();
    function_.bind(theta);
    floor_ = scale_.loss_floor(objective::second_order<T>(function_, 16, scale_.deviation, {}).weight);
    metric_ = metric_of(function_, scale_.deviation, !scale_.is_uneven());
    start_ = theta;
    FitRun run = lbfgs_ ? search_by_lbfgs() : search_by_adam();
    if (held_out_.any()) {
      theta = held_out_.best;
      held_out_loss = held_out_.best_loss;
    }
    function_.bind(theta);
    function_.evaluate({}, true, loss);
    judge_plateau(run);
    if (lbfgs_ && (run.status == FitStatus::converged || run.status == FitStatus::stalled)) judge_noise(run);
    tell_lost_from_idle(run);
    warn_of(run);
    return run;
  }

 private:
  ranks::RankedData<T> all_data() const { return {data_, shards_}; }

  // The model's own θ or, where its loss is lower, that carried over to the data.
  void choose_start() {
    theta = problem_.start;
    if (!options_.carry_start) return;
    Eigen::VectorXd carried = theta;
    if (!carry_start<T>(problem_.score, scale_, all_data(), carried)) return;
    Loss own, there;
    function_.bind(theta);
    function_.evaluate({}, false, own);
    function_.bind(carried);
    function_.evaluate({}, false, there);
    if (there.value < own.value) theta = carried;
  }

  void watch_held_out() {
    if (!watches_) return;
    held_out_data_ = options_.held_out.template cast<T>();
    if (!shards_.alone() && held_out_data_.cols() == 0) held_out_data_.resize(data_.rows(), 0);
    held_out_shards_ = ranks::Shards(options_.communicator, held_out_data_.cols());
    ranks::agree(options_.communicator, [&] {
      ranks::require_samples<T>(held_out_data_, held_out_shards_, data_.rows(), "FitOptions: held_out");
    });
    on_held_out_ = std::make_unique<objective::LossFunction<T>>(problem_.loss(held_out_data_, held_out_shards_));
    held_out_ = watch(*on_held_out_, {}, options_.patience);
  }

  Search search() const { return search_for<T>(options_, floor_); }

  FitRun search_by_lbfgs() {
    FitRun run;
    Search how = search();
    how.natural = scale_.score_square();
    if (problem_.in_units && (scale_.is_uneven() || scale_.degenerate) && !watches_ && data_.rows() <= most_in_units) {
      auto in_units = problem_.in_units(data_, shards_, scale_.deviation);
      run = begin_in_units(on_all_data(in_units), metric_of(in_units, scale_.deviation, true),
                           scale_.implicit_floor_in_units(), on_all_data(function_), options_, how, theta);
    }
    if (run.ended) return run;
    return by_lbfgs(on_all_data(function_), metric_, held_out_, options_, how, theta, std::move(run));
  }

  FitRun search_by_adam() {
    const AdamUnits units =
        scale_.is_standard() || theta.size() > most_dense ? AdamUnits{} : adam_units(metric_, theta);
    return by_adam(loss_at(function_), metric_, units, function_.samples(), floor_, held_out_, options_, theta);
  }

  // A plateau that some of the samples show must be one for all of them.
  void judge_plateau(FitRun& run) {
    if (run.status != FitStatus::plateau) return;
    if (objective::second_order<T>(function_, function_.samples(), scale_.deviation, {}).gain < 0)
      run.status = run.decrement <= search().resolution ? FitStatus::converged : FitStatus::stalled;
  }

  // Computes how far the optimum is that of the one draw of the noise that the search saw. Where it is, and a control
  // variate takes that noise out of the loss, the fit is made by that one; else the run is `noisy`.
  void judge_noise(FitRun& run) {
    if (!problem_.with_new_noise) return;
    const double noise = noise_at(problem_.with_new_noise, theta);
    const auto warn = [&](const char* what) {
      warnings.push_back(detail::text("of another draw of the noise the score at the optimum would differ by ", noise,
                                      " of its size", what));
    };
    if (noise > too_noisy && problem_.by_control_variate && !held_out_.watching() && fit_by_control_variate(run))
      return warn(
          ": the fit took its control variate, which has the same mean (.control_variate = true does so at once)");
    if (noise > too_noisy && run.status == FitStatus::converged) run.status = FitStatus::noisy;
    if (noise > 0.1) warn(" (take more samples, or adam, which draws anew at every step)");
  }

  double noise_at(const typename FitProblem<T>::LossOn& with_new_noise, const Eigen::VectorXd& at) {
    auto afresh = with_new_noise(data_, shards_);
    return noise_of_optimum(loss_at(afresh), metric_, at);
  }

  // Whether it succeeded.
  bool fit_by_control_variate(FitRun& run) {
    auto steady = problem_.by_control_variate(data_, shards_);
    FitRun by_variate = run;
    by_variate.lost.clear();
    Eigen::VectorXd at = start_;
    by_variate = by_lbfgs(on_all_data(steady), metric_of(steady, scale_.deviation, !scale_.is_uneven()), held_out_,
                          options_, search(), at, std::move(by_variate));
    if (by_variate.status != FitStatus::converged ||
        noise_at(problem_.by_control_variate_with_new_noise, at) > too_noisy)
      return false;
    run = std::move(by_variate);
    theta = at;
    function_.bind(theta);
    function_.evaluate({}, true, loss);
    return true;
  }

  // A number of θ that has no effect, but had one where the model itself starts, lost it on the way.
  void tell_lost_from_idle(FitRun& run) {
    if (run.idle.empty()) return;
    const std::vector<char> moves = numbers_with_effect<T>(problem_.score, scale_, all_data(), problem_.start);
    std::erase_if(run.idle, [&](Index i) {
      const bool lost = !moves.empty() && moves[static_cast<std::size_t>(i)] != 0;
      if (lost) run.lost.push_back(i);
      return lost;
    });
    if (!run.lost.empty() && run.status == FitStatus::converged) run.status = FitStatus::stalled;
  }

  // Tells what of a run makes its result doubtful.
  void warn_of(const FitRun& run) {
    const auto warn = [&](auto... parts) { warnings.push_back(detail::text(parts...)); };
    if (run.resolved > search().resolution)
      warn("the data are so far from the origin that rounding of theta changes the score by ", run.resolved,
           " of its size: subtract a number near their mean for more digits");
    if (run.saddle)
      warn("theta is stationary, but along some direction the loss curves down: a saddle; start elsewhere");
    if (run.left_units)
      warn("the units of the data's rows differ by a factor of ", scale_.unevenness(),
           ": rows of large units hardly count in the loss, and of data in units of their own (standardise) this "
           "model's optimum is another");
    if (run.lost.empty() && run.idle.empty()) return;
    const std::vector<std::string> names = problem_.names();
    for (const Index i : run.lost)
      warn(names[static_cast<std::size_t>(i)], " ran off to ", theta[i],
           ", where it changes the score no more: the optimum is not at a finite theta, or was missed");
    for (const Index i : run.idle)
      warn(names[static_cast<std::size_t>(i)],
           " has no effect on the score of any sample: was 1/2 written, which is 0, for 0.5?");
  }

  const FitProblem<T>& problem_;
  const FitOptions& options_;
  MatrixView<T> data_;
  ranks::Shards shards_, held_out_shards_;
  objective::LossFunction<T> function_;
  bool watches_ = false;  ///< held-out data, on any rank
  Matrix<T> held_out_data_;
  std::unique_ptr<objective::LossFunction<T>> on_held_out_;
  HeldOut held_out_;
  DataScale scale_;
  MetricAt metric_;
  Eigen::VectorXd start_;
  double floor_ = 0;
  bool lbfgs_ = true;
};

/// In what the ranks of a fit must agree.
template <class T>
std::vector<ranks::Common> common_facts(const FitOptions& options, const Eigen::VectorXd& start, Index rows) {
  using scorematch::detail::text;
  return {{"the rows of the data", text(rows)},
          {"the data's arithmetic", sizeof(T) == 4 ? "float" : "double"},
          {"theta", ranks::digest_of(start)},
          {"FitOptions: method", text(static_cast<int>(options.method))},
          {"FitOptions: iterations", text(options.iterations)},
          {"FitOptions: tolerance", text(options.tolerance)},
          {"FitOptions: memory", text(options.memory)},
          {"FitOptions: batch", text(options.batch)},
          {"FitOptions: learning_rate", text(options.learning_rate)},
          {"FitOptions: seed", text(options.seed)},
          {"FitOptions: carry_start", options.carry_start ? "true" : "false"},
          {"FitOptions: check_every", text(options.check_every)},
          {"FitOptions: patience", text(options.patience)}};
}

/// The result of a fit, without its model.
struct FitOutcome {
  FitRun run = {};
  Eigen::VectorXd theta = {};
  Loss loss = {};
  double held_out_loss = std::numeric_limits<double>::quiet_NaN();
  std::vector<std::string> warnings = {};
};

template <class T>
FitOutcome search(const FitProblem<T>& problem, MatrixView<T> data, const FitOptions& options) {
  const auto found_by = [&](const FitOptions& how) -> FitOutcome {
    FitSearch<T> search(problem, data, how);
    FitRun run = search.run();
    return {std::move(run), std::move(search.theta), std::move(search.loss), search.held_out_loss,
            std::move(search.warnings)};
  };
  const Communicator& communicator = options.communicator;
  if (communicator.alone()) return found_by(options);
  FitOutcome outcome;
  ranks::on_ranks(communicator, [&] {
    ranks::agree(communicator, [&] { options.validate(); });
    ranks::require_same(communicator, common_facts<T>(options, problem.start, data.rows()));
    FitOptions shared = options;
    shared.progress = ranks::shared_progress(communicator, options.progress);
    outcome = found_by(shared);
  });
  return outcome;
}

template <class T, class M, class O>
void run(const O& objective, MatrixView<T> data, const FitOptions& options, Fit<M>& result) {
  if (options.communicator.alone()) options.validate();
  const Communication before = options.communicator.communication();
  FitOutcome outcome = search<T>(fit_problem<T>(result.model, objective), data, options);
  result.communication = options.communicator.communication().since(before);
  result.model.set_parameters(outcome.theta);
  result.loss = std::move(outcome.loss);
  result.held_out_loss = outcome.held_out_loss;
  result.warnings = std::move(outcome.warnings);
  report(std::move(outcome.run), result);
}

}  // namespace fitting

/// Minimises the objective's loss over θ, from the model's present θ. Reproducible: the same bits for any number of
/// threads. Never throws for a numerical outcome: read `status`.
///
///   auto fit = sm::fit(energy, sm::implicit_score_matching{}, data);
///   auto fit = sm::fit(energy, sm::denoising_score_matching{.sigma = 0.3}, data, {.progress = sm::progress_line()});
///
/// The implicit loss of data whose coordinates are in units that differ is first minimised in units of their
/// deviations, then as it is. Where frozen noise would decide the optimum of denoising_score_matching, its control
/// variate is taken; a warning says so, and Fit::loss is still that of `objective`.
///
/// X: d × N, one column per sample. Throws std::invalid_argument for empty data, a wrong row count, a non-finite entry
/// (with its column), options out of range.
template <class M, class O, class Derived>
Fit<M> fit(const M& model, const O& objective, const Eigen::MatrixBase<Derived>& X, const FitOptions& options = {}) {
  Fit<M> result{.model = model};
  if constexpr (detail::check_trainable_model<M>() && objective::check_objective_class<O, typename Derived::Scalar>())
    fitting::run<typename Derived::Scalar>(objective, X.derived(), options, result);
  return result;
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled.hpp"
#endif
