// Contrastive divergence and its persistent form: the likelihood's gradient with samples from short chains.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "scorematch/fit/adam.hpp"
#include "scorematch/likelihood/likelihood_fit.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/sample.hpp"

namespace scorematch {

/// CD-k: the gradient (1/B) Σ ∂f/∂θ(x) − (1/B) Σ ∂f/∂θ(x'), where x' is a data point x after k steps of the kernel
/// under the present θ (G. E. Hinton, "Training products of experts by minimizing contrastive divergence", Neural
/// Comput. 14, 2002). Biased for finite k: it follows no function's gradient in general, yet with one unadjusted
/// Langevin step h it is h ∇J_ISM + O(h²) (A. Hyvärinen, "Connections between score matching, contrastive divergence,
/// and pseudolikelihood", IEEE Trans. Neural Netw. 18, 2007). Blind to modes without data, which no short chain
/// reaches.
template <class Kernel = langevin>
struct contrastive_divergence {
  Kernel kernel = {};
  Index steps = 1;  ///< k ≥ 1
  std::uint64_t seed = 0;

  void validate() const {
    kernel.validate();
    require_at_least(steps, 1, "contrastive_divergence: steps");
  }
};

/// The same with chains that go on from step to step of the fit instead of starting at the data (T. Tieleman, "Training
/// restricted Boltzmann machines using approximations to the likelihood gradient", ICML 2008): they follow the model as
/// long as θ moves slowly, and find modes without data.
template <class Kernel = langevin>
struct persistent_contrastive_divergence {
  Kernel kernel = {};
  Index chains = 256;  ///< ≥ 1
  Index steps = 10;    ///< of the chains for a step of θ; ≥ 1
  std::uint64_t seed = 0;
  ChainStart start = {};  ///< points (d × chains), a callable π(Stream&), or N(0, I)

  void validate() const {
    kernel.validate();
    require_at_least(chains, 1, "persistent_contrastive_divergence: chains");
    require_at_least(steps, 1, "persistent_contrastive_divergence: steps");
  }
};

namespace likelihood {

/// gradient = mean ∂f/∂θ over the columns of X − the same over those of Y; returns mean f(X) − mean f(Y).
template <class T, class Energy>
double contrast(Energy& energy, const Matrix<T>& X, const Matrix<T>& Y, Eigen::VectorXd& gradient) {
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
  return values.head(X.cols()).mean() - values.tail(Y.cols()).mean();
}

/// The loop that both share: Adam over minibatches; negative(model, batch, iteration) gives the model's samples.
template <class T, class M, class Negative>
void by_contrast(MatrixView<T> data, const FitOptions& options, Negative negative, LikelihoodFit<M>& result) {
  const Stopwatch watch;
  const Index samples = data.cols(), batch = std::min(options.batch, samples), per_pass = (samples + batch - 1) / batch,
              iterations = options.iterations > 0 ? options.iterations : 5000;
  fitting::Adam adam{.rate = {.peak = options.learning_rate}, .steps = iterations};
  auto energy = energy_function<T>(result.model);
  Eigen::VectorXd theta = result.model.parameters(), gradient;
  Matrix<T> positive;
  std::vector<Index> order;
  double gap = 0, norm = 0;
  Index in_history = 0;
  result.status = FitStatus::stopped;
  for (Index i = 0; i < iterations; ++i) {
    const Index in_pass = i % per_pass;
    if (in_pass == 0) {
      order = permutation(options.seed, static_cast<std::uint64_t>(i / per_pass), samples);
      gap = norm = 0;
      in_history = 0;
    }
    const Index first = in_pass * batch, count = std::min(batch, samples - first);
    positive.resize(data.rows(), count);
    for (Index c = 0; c < count; ++c) positive.col(c) = data.col(order[static_cast<std::size_t>(first + c)]);
    result.model.set_parameters(theta);
    const Matrix<T> model_samples = negative(result.model, positive, i);
    energy.bound().bind(theta);
    const double difference = contrast<T>(energy, positive, model_samples, gradient);
    ++result.evaluations;
    if (!std::isfinite(difference) || !gradient.allFinite() || !model_samples.allFinite()) {
      ++result.non_finite;
      result.status = i == 0 ? FitStatus::non_finite : FitStatus::diverged;
      break;  // the model keeps the θ before
    }
    adam.update(gradient, theta);
    ++result.iterations;
    gap += difference;
    norm += gradient.norm();
    ++in_history;
    result.loss = gap / static_cast<double>(in_history);
    if (in_pass + 1 == per_pass || i + 1 == iterations)
      result.history.push_back({result.evaluations, result.loss, norm / static_cast<double>(in_history)});
    if (options.progress && !options.progress({"fit", i + 1, iterations, difference, "energy gap", watch.seconds()}))
      break;
  }
  if (result.status == FitStatus::stopped) result.model.set_parameters(theta);
}

template <class T, class M>
void check_contrast(const M& model, MatrixView<T> data, const FitOptions& options) {
  options.validate();
  require(options.method != Method::lbfgs,
          {"contrastive divergence follows no function that lbfgs could minimise; its method is adam"});
  require_samples<T>(data, static_cast<Index>(model.dimension()), "data");
}

}  // namespace likelihood

/// The gradient that CD-k takes at the model's θ on all of X, with draw `draw` of the chains' noise.
template <class M, class Kernel, class Derived>
Eigen::VectorXd contrastive_gradient(const M& model, const contrastive_divergence<Kernel>& method,
                                     const Eigen::MatrixBase<Derived>& X, std::uint64_t draw = 0) {
  using T = typename Derived::Scalar;
  Eigen::VectorXd gradient;
  if constexpr (check_trainable_energy<M>()) {
    method.validate();
    const Matrix<T> data = X;
    require_samples<T>(data, static_cast<Index>(model.dimension()), "data");
    const auto draws = sample<T>(model, method.kernel,
                                 {.chains = data.cols(),
                                  .steps = method.steps,
                                  .seed = method.seed,
                                  .start = data,
                                  .first_step = draw * static_cast<std::uint64_t>(method.steps)});
    auto energy = likelihood::energy_function<T>(model);
    (void)likelihood::contrast<T>(energy, data, draws.state, gradient);
  }
  return gradient;
}

/// Fits by contrastive divergence with Adam, from the model's present θ. `loss`, and that of the history, is the energy
/// gap E_data[f] − E_model[f], a sign of life and no objective: it wanders about 0. The model is that of the last step.
/// options: iterations, batch, learning_rate, seed, progress. Throws std::invalid_argument as fit does.
///
///   auto fit = sm::fit(energy, sm::contrastive_divergence<sm::mala>{.kernel = {.step = 0.05}, .steps = 5}, data);
template <class M, class Kernel, class Derived>
LikelihoodFit<M> fit(const M& model, const contrastive_divergence<Kernel>& method, const Eigen::MatrixBase<Derived>& X,
                     const FitOptions& options = {}) {
  using T = typename Derived::Scalar;
  LikelihoodFit<M> result{.model = model};
  if constexpr (check_trainable_energy<M>()) {
    method.validate();
    const MatrixView<T> data = X.derived();
    likelihood::check_contrast<T>(model, data, options);
    likelihood::by_contrast<T>(
        data, options,
        [&](const M& now, const Matrix<T>& positive, Index iteration) -> Matrix<T> {
          return sample<T>(now, method.kernel,
                           {.chains = positive.cols(),
                            .steps = method.steps,
                            .seed = method.seed,
                            .start = positive,
                            .first_step = static_cast<std::uint64_t>(iteration * method.steps)})
              .state;
        },
        result);
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
  LikelihoodFit<M> result{.model = model};
  if constexpr (check_trainable_energy<M>()) {
    method.validate();
    const MatrixView<T> data = X.derived();
    likelihood::check_contrast<T>(model, data, options);
    ChainStart state = method.start;
    likelihood::by_contrast<T>(
        data, options,
        [&](const M& now, const Matrix<T>&, Index iteration) -> Matrix<T> {
          const auto draws = sample<T>(now, method.kernel,
                                       {.chains = method.chains,
                                        .steps = method.steps,
                                        .seed = method.seed,
                                        .start = state,
                                        .first_step = static_cast<std::uint64_t>(iteration * method.steps)});
          state = ChainStart(draws.state);
          return draws.state;
        },
        result);
  }
  return result;
}

}  // namespace scorematch
