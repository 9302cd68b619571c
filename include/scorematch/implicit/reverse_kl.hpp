// Training an implicit model by its reverse divergence: the study note's equations 1.19–1.22.
//
// D(q_φ‖p) = E_z[log q_φ(g_φ(z)) − log p(g_φ(z))]. Its derivative through log q_φ itself has mean 0 (E_q ∂_φ log q =
// 0), and what is left is
//   ∇_φ D = E_z[(s_q(x) − s_p(x))ᵀ ∂g_φ(z)/∂φ],  x = g_φ(z)
// (Roeder, Wu & Duvenaud 2017): no normaliser of p is needed, and its noise vanishes where q = p. s_q is known where
// the generator is affine or triangular; else it is learned by denoising score matching beside it.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "scorematch/evaluate/padded_block.hpp"
#include "scorematch/fit/adam_loop.hpp"
#include "scorematch/fit/fit_status.hpp"
#include "scorematch/implicit/generator.hpp"
#include "scorematch/loss/loss.hpp"
#include "scorematch/model/user_model.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/progress.hpp"

namespace scorematch {

/// E_q[log q + f] and its gradient, estimated from draws of the generator.
struct [[nodiscard]] ReverseKlEstimate {
  /// E_q[log q + f] = D(q‖p) − log Z, so that minus it is a lower bound of log Z. NaN where the target has no energy or
  /// the generator's score is learned: then only the gradient is known.
  double value = std::numeric_limits<double>::quiet_NaN();
  double standard_error = std::numeric_limits<double>::quiet_NaN();  ///< of `value`, from the spread of the draws
  std::vector<Estimate> terms = {};     ///< of those known: "negative entropy" E_q[log q], "energy" E_q[f]  (1.22)
  Eigen::VectorXd gradient = {};        ///< E[(s_q − s_p)ᵀ ∂g/∂φ]
  Eigen::VectorXd gradient_error = {};  ///< its standard errors, from the spread between blocks of draws
  Index samples = 0;                    ///< draws of the generator
  bool invertible = true;               ///< as in Generated; true where the generator's score is learned
};

/// Fits a generator q to an energy f by the gradient of D(q‖p) = E_q[log q + f] + log Z, estimated from the generator's
/// draws (the study note's equations 1.19–1.22): fit(generator, reverse_kl{}, target).
struct reverse_kl {
  Index iterations = 2000;      ///< 1 … 2⁴⁰ − 1, of Adam, with new noise at each
  Index batch = 256;            ///< 2 … 10⁹ draws an iteration
  double learning_rate = 1e-2;  ///< > 0, at the start; it falls to 0 along half a cosine
  std::uint64_t seed = 0;       ///< of the random numbers; any
  // Where the generator's score is learned:
  double sigma = 0.1;                 ///< > 0, the noise of denoising score matching, in the units of x
  Index score_steps = 5;              ///< 1 … 10⁶, of Adam on the score for each of the generator
  Index first_score_steps = 200;      ///< 1 … 10⁹, before the first of the generator
  double score_learning_rate = 1e-2;  ///< > 0
  ProgressCallback progress = {};     ///< progress_line(), or your own

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    constexpr Index most = detail::power_of_two(detail::field_bits) - 1;  // addresses of the noise
    extend::require_within(iterations, 1, most, "reverse_kl: iterations");
    extend::require_within(batch, 2, 1'000'000'000, "reverse_kl: batch");
    extend::require_positive(learning_rate, "reverse_kl: learning_rate");
    extend::require_positive(sigma, "reverse_kl: sigma");
    extend::require_within(score_steps, 1, 1'000'000, "reverse_kl: score_steps");
    extend::require_within(first_score_steps, 1, 1'000'000'000, "reverse_kl: first_score_steps");
    extend::require_positive(score_learning_rate, "reverse_kl: score_learning_rate");
  }
};

/// One iteration of a fit by reverse_kl.
struct ReverseKlStep {
  Index iteration = 0;        ///< its number, from 0 on
  double value = 0;           ///< E_q[log q + f] of the iteration's draws, as in ReverseKlEstimate
  double standard_error = 0;  ///< of `value`
  double gradient_norm = 0;   ///< ‖∂/∂φ‖
};

/// The result of a fit by reverse_kl, whatever happened: the last generator whose gradient was finite.
struct [[nodiscard]] ReverseKlFit {
  Generator generator;                      ///< with the fitted φ
  ReverseKlEstimate last = {};              ///< of `generator`, on 16 batches of new noise
  FitStatus status = FitStatus::used_up;    ///< how it ended
  Index iterations = 0;                     ///< taken
  std::vector<ReverseKlStep> history = {};  ///< a hundred of the iterations, the first and the last among them
};

/// The same with the score that was learned beside it: of the generator's draws blurred by σ.
template <class S>
struct [[nodiscard]] LearnedReverseKlFit : ReverseKlFit {
  S score;  ///< the learned score model
};

namespace implicit {

/// s_q and log q by the generator's own slopes.
template <class T>
struct KnownDensity {
  static constexpr bool known = true;
  struct Workspace {};

  void evaluate(const GeneratorMap<T>& map, const Matrix<T>& Z, const extend::Points<T>&,
                typename GeneratorMap<T>::Workspace& workspace, Workspace&,
                typename GeneratorMap<T>::LogDensity& density) const {
    map.log_density(Z, workspace, density);
  }
};

/// s_q by a bound score that was learned at the noise level sigma.
template <class T>
struct LearnedScore {
  static constexpr bool known = false;
  extend::BoundModel<T> bound;
  double sigma;

  struct Workspace {
    extend::Room workspace;
    extend::Points<T> points;
    extend::ScoreValues<T> values;
  };

  void evaluate(const GeneratorMap<T>&, const Matrix<T>&, const extend::Points<T>& points,
                typename GeneratorMap<T>::Workspace&, Workspace& own,
                typename GeneratorMap<T>::LogDensity& density) const {
    own.points.X = points.X;
    own.points.sigma.setConstant(points.X.rows(), static_cast<T>(sigma));
    bound.evaluate(own.points, own.workspace, own.values);
    density.score = own.values.S;
  }
};

/// Estimates value and gradient, again and again: buffers are kept between calls.
template <class T, class Own>
class Estimator {
 public:
  Estimator(const Generator& generator, extend::BoundModel<T> target, Own own)
      : map_(generator.map<T>()), target_(std::move(target)), own_(std::move(own)), d_(generator.dimension()) {}

  GeneratorMap<T>& map() { return map_; }
  Own& own() { return own_; }

  /// Draws of the generator, a column each.
  void draw(extend::StreamKey key, std::uint64_t step, Matrix<T>& X) {
    const Index block = std::min(X.cols(), map_.block_size(false));
    evaluate::for_each_piece((X.cols() + block - 1) / block, states_, [](State&) {},
                             [&](State& s, Index b) {
                               const Index first = b * block, count = std::min(block, X.cols() - first);
                               noise(key, step, first, count, s);
                               map_.generate(s.Z, s.workspace, s.points.X);
                               X.middleCols(first, count) = s.points.X.topRows(count).transpose();
                             });
  }

  /// The mean over `N` draws of a step; `with_error`: the gradient's errors too.
  void estimate(extend::StreamKey key, std::uint64_t step, Index N, bool with_error, ReverseKlEstimate& result) {
    // For an error there must be blocks to compare: 16 at least.
    const Index block = std::min(with_error ? std::max<Index>(1, N / 16) : N, map_.block_size(known));
    Sums total{.signs = std::vector<char>(known ? static_cast<std::size_t>(d_) : 0, 0),
               .gradient = Eigen::VectorXd::Zero(map_.sum_size())};
    evaluate::for_each_piece(
        (N + block - 1) / block, states_, [](State&) {},
        [&](State& s, Index b) { sweep(key, step, b * block, std::min(block, N - b * block), N, s); },
        [&](State& s, Index b) { add(s, std::min(block, N - b * block), N, with_error, total); });
    result.samples = N;
    map_.finish(total.gradient, result.gradient);
    result.invertible = !known || detail::one_sign(total.signs);
    result.terms.clear();
    if (known) result.terms.push_back({"negative entropy", total.log_q.mean, total.log_q.standard_error()});
    if (knows_energy()) result.terms.push_back({"energy", total.energy.mean, total.energy.standard_error()});
    if (known && knows_energy()) result.value = total.both.mean, result.standard_error = total.both.standard_error();
    if (with_error) total.gradient_error(result.gradient, result.gradient_error);
  }

 private:
  static constexpr bool known = Own::known;  ///< log q

  bool knows_energy() const { return target_.abilities().energy; }

  /// What blocks of draws add up to.
  struct Sums {
    objective::Moments both = {}, log_q = {}, energy = {};
    std::vector<char> signs = {};
    Eigen::VectorXd gradient = {};
    std::vector<Eigen::VectorXd> of_block = {};  ///< gradients, where their spread is wanted
    std::vector<double> share = {};              ///< of the draws, that each has

    void gradient_error(const Eigen::VectorXd& mean, Eigen::VectorXd& error) const {
      const double count = static_cast<double>(of_block.size());
      error.setZero(mean.size());
      for (Index i = 0; i < mean.size(); ++i) {
        double squares = 0;
        for (std::size_t b = 0; b < of_block.size(); ++b) {
          const double away = of_block[b][i] - share[b] * mean[i];
          squares += away * away;
        }
        error[i] = std::sqrt(squares * count / (count - 1));
      }
    }
  };

  struct State {
    typename GeneratorMap<T>::Workspace workspace;
    typename GeneratorMap<T>::LogDensity density;
    typename Own::Workspace own_workspace;
    extend::Room target_workspace;
    Matrix<T> Z, weights;
    extend::Points<T> points;
    extend::ScoreValues<T> target;
    Vector<T> f;
    Eigen::VectorXd sums;
  };

  // A block of draws with their part of the gradient.
  void sweep(extend::StreamKey key, std::uint64_t step, Index first, Index count, Index N, State& s) {
    noise(key, step, first, count, s);
    map_.generate(s.Z, s.workspace, s.points.X);
    s.points.along = extend::Along::none;
    own_.evaluate(map_, s.Z, s.points, s.workspace, s.own_workspace, s.density);
    s.weights = s.density.score;
    if (knows_energy())
      target_.energy_and_score(s.points, s.target_workspace, s.f, s.target.S);
    else
      target_.evaluate(s.points, s.target_workspace, s.target);
    s.weights -= s.target.S;
    s.weights *= static_cast<T>(1 / static_cast<double>(N));
    s.weights.bottomRows(s.weights.rows() - count).setZero();  // padding
    s.sums.setZero(map_.sum_size());
    map_.pull_back(s.Z, s.workspace, s.weights, s.sums);
  }

  void add(State& s, Index count, Index N, bool with_error, Sums& total) {
    total.gradient += s.sums;
    if (with_error) {
      total.of_block.emplace_back();
      map_.finish(s.sums, total.of_block.back());
      total.share.push_back(static_cast<double>(count) / static_cast<double>(N));
    }
    if constexpr (known) {
      for (std::size_t k = 0; k < total.signs.size(); ++k) total.signs[k] |= s.density.signs[k];
      total.log_q.add_all(s.density.log_q.data(), count);
    }
    if (!knows_energy()) return;
    total.energy.add_all(s.f.data(), count);
    if constexpr (known) {
      s.f += s.density.log_q;
      total.both.add_all(s.f.data(), count);
    }
  }

  void noise(extend::StreamKey key, std::uint64_t step, Index first, Index count, State& s) const {
    const Index rows = evaluate::padded_rows<T>(count), m = map_.noise_dimension();
    s.Z.resize(rows, m);
    extend::fill_normals<T>(key, extend::Ids::from(first), count, step, m, s.Z.data(), rows);
    for (Index i = count; i < rows; ++i) s.Z.row(i) = s.Z.row(count - 1);
  }

  GeneratorMap<T> map_;
  extend::BoundModel<T> target_;
  Own own_;
  Index d_;
  evaluate::PerThread<State> states_;
};

template <class M>
void require_target(const Generator& generator, const M& target, const char* who) {
  extend::require(static_cast<Index>(target.dimension()) == generator.dimension(),
                  {who, ": the target has dimension ", static_cast<Index>(target.dimension()),
                   ", the generator makes points of ", generator.dimension(), "; they must agree"});
}

/// Estimates at φ, whatever the target and the generator are.
struct Estimates {
  std::function<void(Index i, const Eigen::VectorXd& phi, ReverseKlEstimate&)> of_step = {};
  std::function<void(const Eigen::VectorXd& phi, ReverseKlEstimate&)> last = {};  ///< at the end, with errors
};

/// The descent of a generator.
class GeneratorDescent final : public fitting::Descent {
 public:
  GeneratorDescent(const Estimates& estimates, const Eigen::VectorXd& start, Index iterations,
                   std::vector<ReverseKlStep>& history)
      : estimates_(estimates), iterations_(iterations), history_(history), before_(start) {}

  Slope slope(Index i, const Eigen::VectorXd& phi) override {
    present_ = phi;
    estimates_.of_step(i, phi, estimate_);
    return {estimate_.value, estimate_.gradient};
  }

  std::optional<FitStatus> obstacle(Index i, double value, double gradient_norm) override {
    if (i % std::max<Index>(1, iterations_ / 100) == 0 || i + 1 == iterations_)
      history_.push_back({i, value, estimate_.standard_error, gradient_norm});
    if (!estimate_.invertible) return FitStatus::not_invertible;
    bool finite = std::isfinite(gradient_norm);  // the value itself may be unknown
    for (const Estimate& term : estimate_.terms) finite = finite && std::isfinite(term.value);
    if (!finite) return FitStatus::non_finite;
    before_ = present_;
    return {};
  }

  void taken(Index, double, double, double) override {}

  /// φ of the last estimate that was no obstacle, or the start.
  const Eigen::VectorXd& before() const { return before_; }

 private:
  const Estimates& estimates_;
  Index iterations_;
  std::vector<ReverseKlStep>& history_;
  ReverseKlEstimate estimate_;
  Eigen::VectorXd before_, present_;
};

inline void train(const reverse_kl& options, const Estimates& estimates, ReverseKlFit& result) {
  fitting::Adam adam;
  Eigen::VectorXd phi = result.generator.parameters(), none;
  GeneratorDescent descent(estimates, phi, options.iterations, result.history);
  result.status = fitting::descend({.task = "generator",
                                    .value_name = "log q + f",
                                    .steps = options.iterations,
                                    .learning_rate = {.peak = options.learning_rate},
                                    .progress = options.progress},
                                   descent, adam, phi, none);
  result.iterations = adam.step;
  if (result.status != FitStatus::used_up && result.status != FitStatus::stopped) phi = descent.before();
  result.generator.set_parameters(phi);
  estimates.last(phi, result.last);
}

}  // namespace implicit

/// E_q[log q + f] and its gradient for φ at the generator's present φ, from `samples` draws, with Monte-Carlo errors of
/// both. The target p is an energy, a score model or a user's class. Throws std::invalid_argument where the generator's
/// density is not known (it must be affine or triangular), dimensions do not agree, or samples not from 32 to 10⁹.
template <class T = double, detail::AnyModel M>
ReverseKlEstimate reverse_kl_gradient(const Generator& generator, const M& target, Index samples,
                                      std::uint64_t seed = 0) {
  extend::require_within(samples, 32, 1'000'000'000, "reverse_kl_gradient: samples");
  implicit::require_target(generator, target, "reverse_kl_gradient");
  generator.require_density("reverse_kl_gradient", "");
  ReverseKlEstimate result;
  using Estimator = implicit::Estimator<T, implicit::KnownDensity<T>>;
  Estimator(generator, detail::bind<T>(target), {})
      .estimate({seed, extend::Purpose::generator_noise}, 0, samples, true, result);
  return result;
}

/// Makes D(q_φ‖p) small over φ by Adam (1.19), for a generator whose density is known from its record: affine or
/// triangular.
///
///   auto fit = sm::fit(generator, sm::reverse_kl{.iterations = 3000}, target);
///
/// The target p is an energy, a score model or a user's class; no normaliser is needed. Reverse divergence forgives q
/// no point where p is small, and does not mind if q misses a mode of p. Reproducible: the same bits for any number of
/// threads. Throws std::invalid_argument where the density is not known, dimensions do not agree, or an option is out
/// of range; numerical outcomes are in `status`.
template <class T = double, detail::AnyModel M>
ReverseKlFit fit(const Generator& generator, const reverse_kl& options, const M& target) {
  options.validate();
  implicit::require_target(generator, target, "reverse_kl");
  generator.require_density("reverse_kl",
                            "; give a score model to be learned beside it: fit(generator, reverse_kl{}, target, "
                            "score_model)");
  ReverseKlFit result{.generator = generator};
  implicit::Estimator<T, implicit::KnownDensity<T>> estimator(generator, detail::bind<T>(target), {});
  const extend::StreamKey key{options.seed, extend::Purpose::generator_noise};
  const auto estimate = [&](Index step, Index samples, bool with_error, const Eigen::VectorXd& phi,
                            ReverseKlEstimate& out) {
    estimator.map().bind(phi);
    estimator.estimate(key, static_cast<std::uint64_t>(step), samples, with_error, out);
  };
  implicit::train(
      options,
      {.of_step = [&](Index i, const Eigen::VectorXd& phi,
                      ReverseKlEstimate& out) { estimate(i, options.batch, false, phi, out); },
       .last = [&](const Eigen::VectorXd& phi,
                   ReverseKlEstimate& out) { estimate(options.iterations, 16 * options.batch, true, phi, out); }},
      result);
  return result;
}

/// The same for any generator: its score is learned beside it, by denoising score matching with options.sigma on fresh
/// draws, `score_steps` steps for each of the generator's.
///
///   auto score = sm::score_model(2, [](auto x, auto theta) { return sm::mlp(x, theta, {.outputs = 2}) - x; });
///   auto fit = sm::fit(generator, sm::reverse_kl{.sigma = 0.1}, target, score);
///
/// The learned score is that of q * N(0, σ²I), so that at the end this law agrees with p: the generator's variances
/// are σ² too small. Throws std::invalid_argument for dimensions that do not agree and options out of range.
template <class T = double, detail::AnyModel M, detail::AnyTrainableModel S>
LearnedReverseKlFit<S> fit(const Generator& generator, const reverse_kl& options, const M& target, const S& score) {
  options.validate();
  implicit::require_target(generator, target, "reverse_kl");
  extend::require(static_cast<Index>(score.dimension()) == generator.dimension(),
                  {"reverse_kl: the score to be learned has dimension ", static_cast<Index>(score.dimension()),
                   ", the generator makes points of ", generator.dimension(), "; they must agree"});
  LearnedReverseKlFit<S> result{{.generator = generator}, score};
  using Learned = implicit::LearnedScore<T>;
  implicit::Estimator<T, Learned> estimator(generator, detail::bind<T>(target),
                                            Learned{detail::bind<T>(score), options.sigma});
  const extend::StreamKey key{options.seed, extend::Purpose::generator_noise};
  const denoising_score_matching denoising{.sigma = options.sigma, .seed = options.seed};

  Matrix<T> draws = Matrix<T>::Zero(generator.dimension(), options.batch);  // the loss keeps looking at it
  auto loss_function = objective::loss_function<T>(score, denoising, draws);
  Eigen::VectorXd theta = score.parameters();
  fitting::Adam adam{.rate = {.peak = options.score_learning_rate},
                     .steps = options.first_score_steps + options.iterations * options.score_steps};
  std::uint64_t step = 0;  // of all draws
  Loss loss;
  // Part of the gradient, no fit of its own: it takes all its steps, and if it fails the generator's gradient tells.
  const auto learn = [&](Index steps) {
    for (Index k = 0; k < steps; ++k) {
      estimator.draw(key, step, draws);
      loss_function.bind(theta);
      loss_function.evaluate({.draw = step++}, true, loss);
      adam.update(loss.gradient, theta);
    }
    estimator.own().bound.bind(theta);
  };
  const auto estimate = [&](Index samples, bool with_error, const Eigen::VectorXd& phi, ReverseKlEstimate& out) {
    estimator.map().bind(phi);
    estimator.estimate(key, step++, samples, with_error, out);
  };
  implicit::train(options,
                  {.of_step =
                       [&](Index i, const Eigen::VectorXd& phi, ReverseKlEstimate& out) {
                         estimator.map().bind(phi);
                         learn(i == 0 ? options.first_score_steps : options.score_steps);
                         estimate(options.batch, false, phi, out);
                       },
                   .last = [&](const Eigen::VectorXd& phi,
                               ReverseKlEstimate& out) { estimate(16 * options.batch, true, phi, out); }},
                  result);
  result.score.set_parameters(theta);
  return result;
}

}  // namespace scorematch
