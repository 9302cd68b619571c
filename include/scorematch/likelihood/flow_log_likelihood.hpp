// The log-likelihood of data under a noise-conditional model, by the probability-flow ODE.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/evaluate/padded_block.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/model/user_model.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/sampler/dormand_prince.hpp"

namespace scorematch {

/// How tr(∂s/∂x) is taken along the flow.
enum class FlowTrace {
  automatic,  ///< exact up to 64 dimensions, else by Hutchinson's estimate
  exact,      ///< one direction an axis
  /// (1/M) Σ vᵀ(∂s/∂x)v over M directions of random signs, the same all along a sample's path (Grathwohl et al. 2019)
  hutchinson,
};

/// Options of flow_log_likelihood.
struct FlowLikelihoodOptions {
  double sigma_max = 80;     ///< where the flow ends and the law is taken for a Gaussian
  double sigma_min = 0.002;  ///< > 0: what the density is blurred by
  /// v ≥ 0: the law at σ_max is taken for N(0, (σ_max² + v) I), with GenerateOptions' v.
  double data_variance = 0;
  double tolerance = 1e-5;  ///< > 0, of a step: absolute, and relative to |x_j| and to |∫ tr|; in float not below 1e-6
  FlowTrace trace = FlowTrace::automatic;  ///< how tr(∂s/∂x) is found
  Index projections = 1;                   ///< M, 1 … 10⁶, of Hutchinson's estimate
  std::uint64_t seed = 0;                  ///< of its directions
  std::vector<int> labels = {};  ///< the class of each, 0 … classes − 1, or −1 for none; needed where there are classes
  double guidance = 1;           ///< as GenerateOptions' w: the density that guided samples have
  Index most_steps = 10000;        ///< ≥ 1 tried steps of a sample
  ProgressCallback progress = {};  ///< progress_line(), or your own

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    noise::require_range(sigma_min, sigma_max, 2, "FlowLikelihoodOptions");
    extend::require(
        std::isfinite(data_variance) && data_variance >= 0,
        {"FlowLikelihoodOptions: data_variance is ", data_variance, "; it must be a finite number from 0 on"});
    extend::require_positive(tolerance, "FlowLikelihoodOptions: tolerance");
    extend::require_within(projections, 1, 1'000'000, "FlowLikelihoodOptions: projections");
    extend::require_at_least(most_steps, 1, "FlowLikelihoodOptions: most_steps");
  }
};

/// How flow_log_likelihood ended.
enum class FlowStatus {
  complete,    ///< all samples arrived
  stopped,     ///< by the progress callback, or never begun for that reason
  unfinished,  ///< ran out of steps
  diverged,    ///< no step was small enough for finite numbers
};

/// The status in a word or two.
inline const char* to_string(FlowStatus status) {
  switch (status) {
    case FlowStatus::complete:
      return "complete";
    case FlowStatus::stopped:
      return "stopped";
    case FlowStatus::unfinished:
      return "unfinished";
    case FlowStatus::diverged:
      return "diverged";
  }
  return "";
}

/// Numbers in nats.
template <class T>
struct [[nodiscard]] FlowLogLikelihood {
  double total = 0;           ///< Σ log p(x_n); NaN unless every sample is complete
  double mean = 0;            ///< total/N
  double standard_error = 0;  ///< of the mean as an estimate of E[log p], from the spread between samples;
                              ///< with Hutchinson's estimate its noise is in that spread. N times it: of the total
  Eigen::VectorXd per_sample = {};             ///< N, log p(x_n); NaN where not complete
  std::vector<FlowStatus> sample_status = {};  ///< N
  Eigen::VectorXi evaluations = {};            ///< N: how often the model's score and trace were taken for each
  Matrix<T> latent = {};                       ///< d × N, x(σ_max): each sample's place in the noise, where it got to
  Index incomplete = 0;                        ///< samples that are not complete
  FlowStatus status = FlowStatus::complete;    ///< the worst of the samples'
};

namespace likelihood {

template <class M, class T>
void validate_flow(const M& model, const MatrixView<T>& X, const FlowLikelihoodOptions& options) {
  extend::require_samples<T>(X, static_cast<Index>(model.dimension()), "flow_log_likelihood: X");
  extend::require(
      extend::takes_sigma(model),
      {"flow_log_likelihood needs a noise-conditional model, and this one takes no sigma: write its formula as "
       "[](auto x, auto sigma, auto theta) …, and learn it at many levels"});
  options.validate();
  sampling::require_guidance(model, options.labels, X.cols(), options.guidance, "FlowLikelihoodOptions");
}

/// One call of flow_log_likelihood: an ordinary class, compiled once a scalar.
template <class T>
class FlowRun {
 public:
  FlowRun(const extend::BoundModel<T>& bound, Index classes, MatrixView<T> X, const FlowLikelihoodOptions& options,
          FlowLogLikelihood<T>& result)
      : bound_(bound),
        X_(X),
        options_(options),
        result_(result),
        classes_(classes),
        exact_(options.trace == FlowTrace::exact || (options.trace == FlowTrace::automatic && X.rows() <= most_exact)),
        directions_(exact_ ? 0 : options.projections),
        block_(std::min<Index>(X.cols(),
                               bound.block_size(exact_ ? extend::Along::axes : extend::Along::given, directions_))),
        steps_{options.tolerance, options.most_steps},
        variance_(options.sigma_max * options.sigma_max + options.data_variance) {}

  void run() {
    const Index N = X_.cols(), blocks = (N + block_ - 1) / block_;
    result_.per_sample.setConstant(N, std::numeric_limits<double>::quiet_NaN());
    result_.sample_status.assign(static_cast<std::size_t>(N), FlowStatus::stopped);
    result_.evaluations.setZero(N);
    result_.latent = X_;
    const detail::Stopwatch watch;
    const Index stride = options_.progress ? std::max<Index>(4, blocks / 100) : blocks;
    double sum = 0;
    Index done = 0;
    bool stopped = false;
    while (done < blocks && !stopped) {
      const Index from = done;
      done = std::min(blocks, from + stride);
      evaluate::for_each_piece(
          done - from, states_, [&](State& state) { prepare(state); },
          [&](State& state, Index b) { run_block(state, (from + b) * block_); });
      const Index samples = std::min(N, done * block_);
      for (Index n = from * block_; n < samples; ++n) sum += result_.per_sample[n];
      if (options_.progress)
        stopped = !options_.progress({.task = "likelihood",
                                      .done = samples,
                                      .of = N,
                                      .value = sum / static_cast<double>(samples),
                                      .value_name = "mean log p",
                                      .seconds = watch.seconds()}) &&
                  done < blocks;
    }
    sum_up(done == blocks ? sum : std::numeric_limits<double>::quiet_NaN());
  }

 private:
  static constexpr Index most_exact = 64;

  struct State {
    std::unique_ptr<extend::NoiseConditionalTarget<T>> target;
    sampling::FlowPaths<T> paths;
    Matrix<T> X, V;
    Eigen::VectorXi label;
  };

  void prepare(State& state) const {
    if (!state.target) state.target = std::make_unique<extend::NoiseConditionalTarget<T>>(bound_, options_.guidance);
    if (exact_) state.target->ask_exact_trace();
    state.paths.with_integral = true;
  }

  void run_block(State& state, Index first) {
    const Index count = std::min(block_, X_.cols() - first), rows = evaluate::padded_rows<T>(block_);
    evaluate::gather_columns(X_, first, count, rows, state.X);
    state.label.resize(classes_ > 0 ? rows : 0);
    for (Index i = 0; i < state.label.size(); ++i)
      state.label[i] =
          options_.labels.empty() ? -1 : options_.labels[static_cast<std::size_t>(first + std::min(i, count - 1))];
    if (!exact_) choose_directions(state, first, count, rows);
    steps_.start(*state.target, state.label, state.X, options_.sigma_min, options_.sigma_max, state.paths);
    while (!steps_.attempt(*state.target, state.label, state.X, options_.sigma_max, state.paths)) {
    }
    for (Index i = 0; i < count; ++i) keep(state, i, first + i);
  }

  // Random signs, the same all along a sample's path.
  void choose_directions(State& state, Index first, Index count, Index rows) const {
    const Index numbers = directions_ * X_.rows();
    state.V.resize(rows, numbers);
    extend::fill_signs<T>({options_.seed, extend::Purpose::projection}, extend::Ids::from(first), count, 0, numbers,
                          state.V.data(), rows);
    for (Index j = 0; j < numbers; ++j)
      for (Index i = count; i < rows; ++i) state.V(i, j) = state.V(count - 1, j);
    state.target->ask_trace_along(state.V, directions_);
  }

  // Row i of a block that has arrived: sample n.
  void keep(const State& state, Index i, Index n) {
    constexpr double log_2_pi = 1.8378770664093454836;
    const Index d = X_.rows();
    double squares = 0;
    for (Index j = 0; j < d; ++j) {
      result_.latent(j, n) = state.X(i, j);
      squares += static_cast<double>(state.X(i, j)) * static_cast<double>(state.X(i, j));
    }
    result_.evaluations[n] = state.paths.evaluations[i];
    const sampling::Path path = state.paths.path[i];
    result_.sample_status[static_cast<std::size_t>(n)] = path == sampling::Path::arrived ? FlowStatus::complete
                                                         : path == sampling::Path::late  ? FlowStatus::unfinished
                                                                                         : FlowStatus::diverged;
    if (path == sampling::Path::arrived)
      result_.per_sample[n] = -0.5 * (squares / variance_ + static_cast<double>(d) * (std::log(variance_) + log_2_pi)) +
                              state.paths.integral[i];
  }

  void sum_up(double total) {
    const Index N = X_.cols();
    const double n = static_cast<double>(N);
    result_.total = total;
    result_.mean = total / n;
    double squares = 0;
    for (Index i = 0; i < N; ++i) {
      squares += (result_.per_sample[i] - result_.mean) * (result_.per_sample[i] - result_.mean);
      const FlowStatus status = result_.sample_status[static_cast<std::size_t>(i)];
      result_.incomplete += status == FlowStatus::complete ? 0 : 1;
      result_.status = std::max(result_.status, status);
    }
    if (N > 1) result_.standard_error = std::sqrt(squares / (n - 1) / n);
  }

  const extend::BoundModel<T>& bound_;
  MatrixView<T> X_;
  const FlowLikelihoodOptions& options_;
  FlowLogLikelihood<T>& result_;
  Index classes_;
  bool exact_;  ///< the trace: one direction an axis
  Index directions_, block_;
  sampling::DormandPrince steps_;
  double variance_;  ///< of a coordinate at σ_max
  evaluate::PerThread<State> states_;
};

template <class T>
void flow(const extend::BoundModel<T>& bound, Index classes, MatrixView<T> X, const FlowLikelihoodOptions& options,
          FlowLogLikelihood<T>& result) {
  FlowRun<T>(bound, classes, X, options, result).run();
}

}  // namespace likelihood

/// log p(x) of every column of X (d × N), p being the density of what probability_flow generates at σ_min: that of the
/// data blurred by σ_min z, if the score is right. Along the ODE dx/dσ = −σ s(x, σ) from σ_min up to σ_max
///   log p(x(σ_min)) = log N(x(σ_max); 0, (σ_max² + v) I) − ∫ σ tr(∂s/∂x) dσ
/// (Song et al. 2021, appendix D.2, in these variables), by Dormand and Prince's pair on x and the integral together,
/// each sample with its own steps.
///
///   auto ll = sm::flow_log_likelihood(fit.model, test, {.sigma_max = 20, .sigma_min = 0.01});
///   std::printf("%.3f ± %.3f nats\n", ll.mean, ll.standard_error);
///
/// A score learned with error is of no density at every level at once, and p is only near the blurred data; p still is
/// a density that integrates to 1, up to the tolerance. A trace costs d directions exactly, `projections` otherwise;
/// that estimate is unbiased for log p, and its noise is independent from sample to sample. A sample that does not get
/// to σ_max has a status and NaN. The same bits for any number of threads; a sample's path does not depend on the
/// others'. Throws std::invalid_argument as `loss` does, for options out of range, a model that takes no sigma, and
/// labels of the wrong size.
template <class M, class Derived>
auto flow_log_likelihood(const M& model, const Eigen::MatrixBase<Derived>& X,
                         const FlowLikelihoodOptions& options = {}) {
  using T = typename Derived::Scalar;
  FlowLogLikelihood<T> result;
  if constexpr (detail::check_model<M>()) {
    constexpr bool possible = Model<M> || extend::has_score_at_sigma<M>;
    static_assert(possible,
                  "a class given to flow_log_likelihood must provide  void score(Eigen::Ref<const Eigen::MatrixXd> X, "
                  "Eigen::Ref<const Eigen::VectorXd> sigma, Eigen::Ref<Eigen::MatrixXd> S) const");
    if constexpr (possible) {
      likelihood::validate_flow<M, T>(model, X.derived(), options);
      likelihood::flow<T>(detail::bind<T>(model), extend::classes_of(model), X.derived(), options, result);
    }
  }
  return result;
}

}  // namespace scorematch
