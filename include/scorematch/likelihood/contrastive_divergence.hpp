// Contrastive divergence and its persistent form: the likelihood's gradient with samples from short chains.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/fit/minibatches.hpp"
#include "scorematch/likelihood/likelihood_fit.hpp"
#include "scorematch/ranks/agreement.hpp"
#include "scorematch/ranks/shards.hpp"
#include "scorematch/sampler/chain_blocks.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/sample.hpp"
#include "scorematch/sampler/sample_run.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch {

namespace likelihood {

/// Throws unless `rounds` times so many steps of a chain have addresses for their noise.
inline void require_addressed(Index steps, const char* argument, Index rounds = 1) {
  const Index most = detail::power_of_two(detail::field_bits) / std::max<Index>(1, rounds);
  extend::require(steps < most, {argument, " is ", steps, "; ", rounds == 1 ? "it" : "with so many iterations it",
                                 " must be below ", most});
}

}  // namespace likelihood

/// CD-k: the gradient (1/B) Σ ∂f/∂θ(x) − (1/B) Σ ∂f/∂θ(x'), where x' is a data point x after k steps of the kernel
/// under the present θ (G. E. Hinton, "Training products of experts by minimizing contrastive divergence", Neural
/// Comput. 14, 2002). Biased for finite k: it follows no function's gradient in general, yet with one unadjusted
/// Langevin step h it is h ∇J_ISM + O(h²) (A. Hyvärinen, "Connections between score matching, contrastive divergence,
/// and pseudolikelihood", IEEE Trans. Neural Netw. 18, 2007). Blind to modes without data, which no short chain
/// reaches.
template <class Kernel = langevin>
struct contrastive_divergence {
  Kernel kernel = {};      ///< the transition kernel with its options
  Index steps = 1;         ///< k ≥ 1
  std::uint64_t seed = 0;  ///< of the random numbers; any

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    kernel.validate();
    extend::require_at_least(steps, 1, "contrastive_divergence: steps");
    likelihood::require_addressed(steps, "contrastive_divergence: steps");
  }
};

/// The same with chains that go on from step to step of the fit instead of starting at the data (T. Tieleman, "Training
/// restricted Boltzmann machines using approximations to the likelihood gradient", ICML 2008): they follow the model as
/// long as θ moves slowly, and find modes without data.
template <class Kernel = langevin>
struct persistent_contrastive_divergence {
  Kernel kernel = {};      ///< the transition kernel with its options
  Index chains = 256;      ///< ≥ 1, side by side
  Index steps = 10;        ///< of the chains for a step of θ; ≥ 1
  std::uint64_t seed = 0;  ///< of the random numbers; any
  ChainStart start = {};   ///< points (d × chains), a callable π(Stream&), or N(0, I)

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    kernel.validate();
    extend::require_at_least(chains, 1, "persistent_contrastive_divergence: chains");
    extend::require_at_least(steps, 1, "persistent_contrastive_divergence: steps");
    likelihood::require_addressed(steps, "persistent_contrastive_divergence: steps");
  }
};

namespace likelihood {

/// gradient = mean ∂f/∂θ over the columns of X − the same over those of Y; returns mean f(X) − mean f(Y).
template <class T>
double contrast(EnergyFunction<T>& energy, const Matrix<T>& X, const Matrix<T>& Y, Eigen::VectorXd& gradient) {
  Matrix<T> both(X.rows(), X.cols() + Y.cols());
  both << X, Y;
  Eigen::VectorXd values(both.cols());
  const T of_data = static_cast<T>(1 / static_cast<double>(X.cols())),
          of_model = static_cast<T>(-1 / static_cast<double>(Y.cols()));
  energy.weighted_gradient(
      both,
      [&](Index first, const Vector<T>& f, Vector<T>& w) {
        values.segment(first, f.size()) = f.template cast<double>();
        for (Index i = 0; i < f.size(); ++i) w[i] = first + i < X.cols() ? of_data : of_model;
      },
      gradient);
  energy.complete(both, values);
  return values.head(X.cols()).mean() - values.tail(Y.cols()).mean();
}

/// Moves of the model's chains over the second half of a fit.
struct ChainMoves {
  double acceptance = 0;
  Index rounds = 0;
  Eigen::VectorXd of_chain;  ///< of persistent chains: the sum of their acceptances

  void add(const Eigen::VectorXd& shares, bool persistent) {
    acceptance += shares.mean();
    ++rounds;
    if (!persistent) return;
    if (of_chain.size() == 0) of_chain.setZero(shares.size());
    of_chain += shares;
  }
  double mean() const { return acceptance / static_cast<double>(rounds); }
};

/// The status and evidence of a fit whose iterations are done, by what its chains did: `moves` in the second half, of
/// `steps` steps a round; `after` in a longer run under the fitted model.
template <class T>
void judge_chains(const ChainMoves& moves, bool adjusted, Index steps, const Draws<T>& after,
                  LikelihoodOutcome& result) {
  if (adjusted && moves.rounds > 0) {
    const double acceptance = moves.mean();
    Index resting = 0;
    for (Index c = 0; c < moves.of_chain.size(); ++c) resting += moves.of_chain[c] == 0 ? 1 : 0;
    if (acceptance < 0.01) {
      result.status = FitStatus::stuck;
      sampling::tell(result.evidence,
                     detail::text("of the proposals of the model's chains ", 100 * acceptance,
                                  " % were accepted in the second half of the fit (take a smaller step)"));
    } else if (resting > 0 && !sampling::rests_by_chance(acceptance, steps * moves.rounds, moves.of_chain.size())) {
      result.status = FitStatus::stuck;
      sampling::tell(result.evidence,
                     detail::text(sampling::share_of(resting, moves.of_chain.size()),
                                  " did not move in the second half of the fit (take a smaller step)"));
    }
  }
  if (after.status != SampleStatus::diverged && after.status != SampleStatus::stuck &&
      after.status != SampleStatus::outside)
    return;
  if (after.status == SampleStatus::diverged)
    result.status = FitStatus::diverged;
  else if (result.status == FitStatus::used_up || result.status == FitStatus::stopped)
    result.status = after.status == SampleStatus::stuck ? FitStatus::stuck : FitStatus::diverged;
  sampling::tell(result.evidence, detail::text("under the fitted model ", after.evidence));
}

template <class T>
void check_contrast(Index dimension, const MatrixView<T>& data, const ranks::Shards& shards,
                    const FitOptions& options) {
  options.validate();
  extend::require(options.method != FitMethod::lbfgs,
                  {"contrastive divergence follows no function that lbfgs could minimise; its method is adam"});
  const FitOptions usual;
  const auto unused = [](bool as_usual, const char* option, const char* why) {
    extend::require(as_usual,
                    {"FitOptions: ", option, " is given, but contrastive divergence ", why, "; leave it out"});
  };
  unused(options.tolerance == usual.tolerance, "tolerance", "takes all its iterations");
  unused(options.memory == usual.memory, "memory", "is fitted by adam, which keeps no corrections");
  unused(options.held_out.size() == 0, "held_out", "follows no loss that could be checked on other samples");
  unused(options.check_every == usual.check_every, "check_every", "checks nothing on held-out samples");
  unused(options.patience == usual.patience, "patience", "checks nothing on held-out samples");
  ranks::require_samples<T>(data, shards, dimension, "data");
}

/// The chains of a fit: `kernel` takes `steps` steps for each of θ, from the minibatch or, persistent, from where the
/// chains stand. Ranks share them where each gets some; fewer are moved on every rank alike.
template <class T>
struct ModelChains {
  sampling::BoundKernel<T> kernel;
  Index steps = 1;
  std::uint64_t seed = 0;
  Index persistent = 0;            ///< how many go on from step to step; 0: new ones at the data each time
  ChainStart state = {};           ///< where these stand
  Communicator communicator = {};  ///< ranks that share the chains

  bool shared(Index count) const {
    return sampling::ChainBlocks(count, simd::width<simd::Lanes<T>>).count >= communicator.size();
  }
  /// Throws what the runs of a fit in so many dimensions, each of `count` chains, would throw.
  void check(Index dimension, Index count) const {
    const SampleOptions first = options(0, steps, state, count);
    first.validate();
    first.validate_for(dimension);
    sampling::require_shareable<T>(kernel, first, dimension, nullptr);
  }
  /// The run of iteration i, and of how many steps.
  SampleOptions options(Index i, Index length, const ChainStart& start, Index count) const {
    return {.chains = count,
            .steps = length,
            .seed = seed,
            .start = start,
            .first_step = static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(steps),
            .communicator = shared(count) ? communicator : Communicator()};
  }
  /// Moves the chains of iteration i; a short run is not judged.
  Draws<T> move(const extend::BoundModel<T>& model, const Matrix<T>& positive, Index i) {
    Draws<T> draws;
    const SampleOptions how = persistent > 0 ? options(i, steps, state, persistent)
                                             : options(i, steps, ChainStart(positive), positive.cols());
    sampling::run<T>(model, kernel, how, draws, sampling::Judging::of_moves);
    if (persistent > 0) state = ChainStart(draws.state);
    return draws;
  }
  /// A longer run under the fitted model.
  Draws<T> look(const extend::BoundModel<T>& model, const ranks::RankedData<T>& data, Index i) const {
    Draws<T> draws;
    const Index count = persistent > 0 ? persistent : std::min<Index>(256, data.cols());
    std::vector<Index> first(static_cast<std::size_t>(persistent > 0 ? 0 : count));
    std::iota(first.begin(), first.end(), Index{0});
    const ChainStart start = persistent > 0 ? state : ChainStart(data.columns(first));
    sampling::run<T>(model, kernel, options(i, std::max<Index>(100, steps), start, count), draws,
                     sampling::Judging::full);
    return draws;
  }
};

/// Iteration i met what is not finite, or lost chains.
template <class T>
void tell_broken_iteration(Index i, const Draws<T>& draws, LikelihoodOutcome& result) {
  if (draws.lost_chains > 0) {
    result.status = FitStatus::diverged;
    result.evidence = detail::text("at iteration ", i, " ", draws.evidence);
    return;
  }
  result.status = i == 0 ? FitStatus::non_finite : FitStatus::diverged;
  result.evidence = detail::text(
      "at iteration ", i,
      " the energy or its gradient is not finite at the data or at the model's samples (do the data lie where the "
      "model has a density, and are the steps small enough?)");
}

/// Adam on minibatches of the contrast, whose energy gap stands in for a loss, from θ, which becomes the fitted one.
template <class T>
void by_contrast(EnergyFunction<T>& energy, const ranks::RankedData<T>& data, const FitOptions& options,
                 ModelChains<T>& chains, Eigen::VectorXd& theta, LikelihoodOutcome& result) {
  const Index iterations = options.iterations > 0 ? options.iterations : 5000;
  const fitting::MinibatchPlan plan{.value_name = "energy gap",
                                    .samples = data.cols(),
                                    .batch = std::min(options.batch, data.cols()),
                                    .steps = iterations,
                                    .learning_rate = {.peak = options.learning_rate},
                                    .seed = options.seed,
                                    .progress = options.progress};
  ChainMoves moves;
  Matrix<T> positive;
  Draws<T> draws;
  fitting::MinibatchState state{.theta = theta};
  fitting::MinibatchLoop loop(
      plan,
      [&](const Eigen::VectorXd& at, const LossOptions& what, bool, Loss& gap) {
        positive = data.columns(what.columns);
        energy.bound().bind(at);
        const Index i = state.adam.step;
        draws = chains.move(energy.bound(), positive, i);
        if (i >= iterations / 2) moves.add(draws.acceptance, chains.persistent > 0);
        gap.value = contrast<T>(energy, positive, draws.state, gap.gradient);
        if (draws.lost_chains > 0) gap.value = std::numeric_limits<double>::quiet_NaN();
      },
      state);
  result.status = loop.run();
  result.iterations = state.adam.step;
  result.evaluations = loop.evaluations();
  result.non_finite = loop.non_finite();
  theta = state.theta;
  if (result.iterations > 0) result.loss = loop.pass_mean();
  if (moves.rounds > 0) result.acceptance = moves.mean();
  const bool broken = loop.non_finite() > 0;
  if (result.status == FitStatus::used_up) loop.close();
  result.history = std::move(state.history);
  if (broken) return tell_broken_iteration(result.iterations, draws, result);
  energy.bound().bind(theta);
  judge_chains(moves, chains.kernel.adjusted(), chains.steps, chains.look(energy.bound(), data, result.iterations),
               result);
}

/// Throws unless the noise of all iterations has addresses.
inline void require_iterations_addressed(const FitOptions& options, Index steps) {
  const Index iterations = options.iterations > 0 ? options.iterations : 5000;
  require_addressed(iterations, "FitOptions: iterations");
  require_addressed(steps, "contrastive divergence: steps", iterations + 1);
}

/// In what the ranks of a fit by contrastive divergence must agree.
template <class T>
std::vector<ranks::Common> common_facts(const ModelChains<T>& chains) {
  using scorematch::detail::text;
  return {{"contrastive divergence: the kernel's step", text(chains.kernel.step())},
          {"contrastive divergence: steps", text(chains.steps)},
          {"contrastive divergence: chains", text(chains.persistent)},
          {"contrastive divergence: seed", text(chains.seed)}};
}

/// The fit of a model by a method of this header, which validate() checks.
template <class T, class M, class Validate>
void fit_by_contrast(const MatrixView<T>& own, const FitOptions& options, Validate validate, ModelChains<T> chains,
                     LikelihoodFit<M>& result) {
  const Communicator& communicator = options.communicator;
  const Communication before = communicator.communication();
  ranks::on_ranks(communicator, [&] {
    const ranks::Shards shards(communicator, own.cols());
    const Index d = static_cast<Index>(result.model.dimension());
    chains.communicator = communicator;
    Eigen::VectorXd theta = result.model.parameters();
    ranks::agree(communicator, [&] {
      validate();
      check_contrast<T>(d, own, shards, options);
      require_iterations_addressed(options, chains.steps);
      if (!communicator.alone())
        chains.check(d, chains.persistent > 0 ? chains.persistent : std::min(options.batch, shards.total(own.cols())));
    });
    if (!communicator.alone()) {
      std::vector<ranks::Common> facts = fitting::common_facts<T>(options, theta, own.rows());
      for (ranks::Common& fact : common_facts(chains)) facts.push_back(std::move(fact));
      ranks::require_same(communicator, facts);
    }
    FitOptions shared = options;
    shared.progress = ranks::shared_progress(communicator, options.progress);
    EnergyFunction<T> energy = energy_function<T>(result.model);
    energy.share(communicator);
    by_contrast<T>(energy, ranks::RankedData<T>{own, shards}, shared, chains, theta, result);
    result.model.set_parameters(theta);
  });
  result.communication = communicator.communication().since(before);
}

}  // namespace likelihood

/// The gradient that CD-k takes at the model's θ on all of X, with draw `draw` of the chains' noise: as for every loss
/// of the library, a fit goes against it. In expectation, and for many steps, it is likelihood_gradient's. NaN where a
/// chain left the finite numbers: there is no contrast with where it last was.
template <class M, class Kernel, class Derived>
Eigen::VectorXd contrastive_gradient(const M& model, const contrastive_divergence<Kernel>& method,
                                     const Eigen::MatrixBase<Derived>& X, std::uint64_t draw = 0) {
  using T = typename Derived::Scalar;
  Eigen::VectorXd gradient;
  if constexpr (detail::check_trainable_energy<M>()) {
    method.validate();
    const Matrix<T> data = X;
    extend::require_samples<T>(data, static_cast<Index>(model.dimension()), "data");
    const std::uint64_t most = detail::field_end / static_cast<std::uint64_t>(method.steps);
    extend::require(draw < most, {"contrastive_gradient: draw is ", draw, "; with ", method.steps,
                                  " steps it must be below ", most});
    auto energy = likelihood::energy_function<T>(model);
    likelihood::ModelChains<T> chains{
        .kernel = sampling::bound_kernel<T>(method.kernel), .steps = method.steps, .seed = method.seed};
    const Draws<T> draws = chains.move(energy.bound(), data, static_cast<Index>(draw));
    (void)likelihood::contrast<T>(energy, data, draws.state, gradient);
    if (draws.lost_chains > 0) gradient.setConstant(std::numeric_limits<double>::quiet_NaN());
  }
  return gradient;
}

/// Fits by contrastive divergence with Adam, from the model's present θ. `loss`, and that of the history, is the energy
/// gap E_data[f] − E_model[f], a sign of life and no objective: it wanders about 0. The model is that of the last step.
/// A fit is as good as its chains: `status` is stuck where they do not move, and diverged where they grow without
/// bound, during the fit or in a run under the fitted model; `evidence` says how many. options: iterations, batch,
/// learning_rate, seed, progress, communicator (each rank gives its own columns; a minibatch goes to all); the others
/// throw. Throws std::invalid_argument as fit does.
///
///   auto fit = sm::fit(energy, sm::contrastive_divergence<sm::mala>{.kernel = {.step = 0.05}, .steps = 5}, data);
template <class M, class Kernel, class Derived>
LikelihoodFit<M> fit(const M& model, const contrastive_divergence<Kernel>& method, const Eigen::MatrixBase<Derived>& X,
                     const FitOptions& options = {}) {
  using T = typename Derived::Scalar;
  LikelihoodFit<M> result{{}, model};
  if constexpr (detail::check_trainable_energy<M>()) {
    likelihood::fit_by_contrast<T>(
        X.derived(), options, [&] { method.validate(); },
        {.kernel = sampling::bound_kernel<T>(method.kernel), .steps = method.steps, .seed = method.seed}, result);
  }
  return result;
}

/// The same with persistent chains.
///
///   auto fit = sm::fit(energy, sm::persistent_contrastive_divergence<sm::mala>{.kernel = {.step = 0.1}}, data);
template <class M, class Kernel, class Derived>
LikelihoodFit<M> fit(const M& model, const persistent_contrastive_divergence<Kernel>& method,
                     const Eigen::MatrixBase<Derived>& X, const FitOptions& options = {}) {
  using T = typename Derived::Scalar;
  LikelihoodFit<M> result{{}, model};
  if constexpr (detail::check_trainable_energy<M>()) {
    likelihood::fit_by_contrast<T>(
        X.derived(), options, [&] { method.validate(); },
        {.kernel = sampling::bound_kernel<T>(method.kernel),
         .steps = method.steps,
         .seed = method.seed,
         .persistent = method.chains,
         .state = method.start},
        result);
  }
  return result;
}

}  // namespace scorematch
