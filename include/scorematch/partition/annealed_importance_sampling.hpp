// log Z by annealed importance sampling, forward and backward: two-sided bounds in any dimension.
#pragma once

#include <Eigen/Cholesky>
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/density/gaussian_density.hpp"
#include "scorematch/evaluate/formula_workspace.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/partition/draws.hpp"
#include "scorematch/partition/energy_function.hpp"
#include "scorematch/partition/tails.hpp"
#include "scorematch/partition/weights.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/random/normal.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/sample.hpp"
#include "scorematch/sampler/target.hpp"
#include "scorematch/simd/arrays.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch {

/// Chains go from a normal law N(m, C), whose normaliser is known, to exp(−f) along exp(−(1 − β) f₀ − β f), β from 0 to
/// 1, one step of a Metropolis kernel at each β; each chain's weight, the product of the ratios that it met, has mean Z
/// (R. M. Neal, "Annealed importance sampling", Stat. Comput. 11, 2001), so that E[log w] ≤ log Z. Chains that start at
/// exact draws of the model and go back give E[log w] ≥ log Z (R. Grosse et al., "Sandwiching the marginal likelihood
/// using bidirectional Monte Carlo", 2015).
///
/// The β and the kernel's step at each are chosen by two pilot runs, so that every ratio has about the same variance
/// and about 57 % of the proposals are accepted; the kernel works in coordinates in which the normal law is N(0, I).
/// What no chain reaches is not seen: a mode behind a wall, say.
template <class Kernel = mala>
struct annealed_importance_sampling {
  Index chains = 1000;        ///< 2 … 10⁹
  Index temperatures = 1000;  ///< steps from the normal law to the model; 2 … 10⁹
  Kernel kernel = {};         ///< a Metropolis kernel with a `step`
  bool adapt = true;          ///< choose β and steps by pilot runs; else β is even and the step the kernel's own
  std::uint64_t seed = 0;
  Eigen::VectorXd mean = {};        ///< m; empty: the mean of `near`, or 0
  Eigen::MatrixXd covariance = {};  ///< C; empty: the covariance of `near`, or I
  Eigen::MatrixXd near = {};        ///< d × n, data say: where the model's mass is
  /// d × n exact (or nearly exact) draws of the model, from which the chains go back; empty: no upper bound but the
  /// forward estimate's own. Taken in turn if there are fewer than chains.
  Eigen::MatrixXd target_samples = {};
  ProgressCallback progress = {};  ///< progress_line(), or your own

  void validate() const {
    require_within(chains, 2, 1'000'000'000, "annealed_importance_sampling: chains");
    require_within(temperatures, 2, 1'000'000'000, "annealed_importance_sampling: temperatures");
    kernel.validate();
  }
};

namespace likelihood {

/// β_0 = 0 < β_1 < … < β_K = 1 and the kernel's step at each.
struct AnnealingPlan {
  std::vector<double> beta, step;
};

template <class T, class Bound, class Kernel>
class Annealing {
 public:
  Annealing(const Bound& bound, const annealed_importance_sampling<Kernel>& options, const DependentMatrix<Bound>& root,
            const DependentVector<Bound>& mean)
      : bound_(bound), options_(options), root_(root.template cast<T>()), mean_(mean.template cast<T>()) {}

  Index evaluations() const { return evaluations_; }
  bool stopped() const { return stopped_; }
  bool broken() const { return broken_; }

  AnnealingPlan plan() {
    AnnealingPlan plan;
    const Index K = options_.temperatures;
    if (!options_.adapt) {
      plan.beta.resize(static_cast<std::size_t>(K) + 1);
      for (Index k = 0; k <= K; ++k)
        plan.beta[static_cast<std::size_t>(k)] = static_cast<double>(k) / static_cast<double>(K);
      plan.step.assign(plan.beta.size(), options_.kernel.step);
      return plan;
    }
    // A first pilot on β that are dense near 0, where the normal law's tails meet the model's walls; then one more on
    // those it proposes.
    const Index pilot = std::clamp<Index>(K / 4, 20, 250);
    plan.beta.resize(static_cast<std::size_t>(pilot) + 1);
    for (Index k = 0; k <= pilot; ++k)
      plan.beta[static_cast<std::size_t>(k)] = std::pow(static_cast<double>(k) / static_cast<double>(pilot), 4);
    for (const Index next : {pilot, K}) {
      std::vector<double> deviation;
      tune(plan, deviation);
      plan = respaced(plan, deviation, next);
    }
    return plan;
  }

  /// The log weights of all chains: forward from N(0, I), or backward from the given u (d × chains). `ends`, if given:
  /// where the chains end, d × chains.
  DependentVector<Bound> log_weights(const AnnealingPlan& plan, const DependentMatrix<Bound>* from,
                                     DependentMatrix<Bound>* ends = nullptr) {
    const Index d = mean_.size(), lanes = simd::width<simd::Lanes<T>>, chains = options_.chains;
    const Index K = static_cast<Index>(plan.beta.size()) - 1;
    const sampling::ChainBlocks blocks(chains, lanes);
    const bool backward = from != nullptr;
    DependentVector<Bound> weights(chains);
    if (ends != nullptr) ends->resize(d, chains);
    struct State {
      Chains<T> chains;
      DependentMatrix<Bound> z;
      DependentVector<Bound> log_w;
    };
    evaluate::PerThread<State> states;
    const Stopwatch watch;
    // With progress, the blocks of chains are reported one group after another.
    const Index group = options_.progress ? std::max<Index>(4, (blocks.count + 19) / 20) : blocks.count;
    for (Index done = 0; done < blocks.count && !stopped_; done += group) {
      const Index until = std::min(blocks.count, done + group);
      evaluate::for_each_piece(
          until - done, states, [](State&) {},
          [&](State& state, Index piece) {
            const Index b = done + piece, first = blocks.first(b), count = blocks.size(b),
                        rows = (count + lanes - 1) / lanes * lanes;
            Chains<T>& c = state.chains;
            if (!backward) {
              state.z.resize(count, d);
              fill_normals<double>({options_.seed, Purpose::partition}, Ids::from(first), count, 0, d, state.z.data(),
                                   count);
            }
            c.X.resize(rows, d);
            for (Index j = 0; j < d; ++j)
              for (Index i = 0; i < rows; ++i) {
                const Index at = std::min(i, count - 1);
                c.X(i, j) = static_cast<T>(backward ? (*from)(j, first + at) : state.z(at, j));
              }
            start(c);
            Bridge<T, Bound> bridge(bound_, root_, mean_);
            Kernel kernel = options_.kernel;
            state.log_w.setZero(rows);
            for (Index k = backward ? K : 1; backward ? k >= 1 : k <= K; k += backward ? -1 : 1) {
              const std::size_t now = static_cast<std::size_t>(k), before = now - 1;
              const double change = plan.beta[now] - plan.beta[before];
              if (backward) {
                advance(bridge, kernel, c, plan, now, first);
                bridge.set(plan.beta[before]);
                bridge.energy_and_score(c.X, c.f, c.S);
              } else {
                bridge.set(plan.beta[now]);
                kernel.step = plan.step[now];
                kernel.start(bridge, c);
              }
              for (Index i = 0; i < rows; ++i)
                state.log_w[i] +=
                    change * (static_cast<double>(bridge.base()[i]) - static_cast<double>(bridge.model()[i]));
              // The last step of a forward chain would move it where nobody looks.
              if (!backward && k < K) kernel.advance(bridge, c, noise(k, first, Direction::forward));
            }
            weights.segment(first, count) = state.log_w.head(count);
            if (ends != nullptr)
              for (Index i = 0; i < count; ++i)
                for (Index j = 0; j < d; ++j) (*ends)(j, first + i) = static_cast<double>(c.X(i, j));
            if (bridge.broken()) broken_ = true;
          });
      evaluations_ += (blocks.first(until) - blocks.first(done)) * 2 * K;
      if (options_.progress &&
          !options_.progress({backward ? "annealing back" : "annealing", blocks.first(until), chains,
                              weights.head(blocks.first(until)).mean(), "mean log weight", watch.seconds()}))
        stopped_ = blocks.first(until) < chains;
    }
    return weights;
  }

 private:
  enum class Direction { forward, backward };

  static void start(Chains<T>& c) {
    const Index rows = c.X.rows();
    c.accepted.setZero(rows);
    c.non_finite.setZero(rows);
    c.lost.setConstant(rows, false);
  }

  // Forward, backward and pilot chains share no random number.
  ChainNoise noise(Index k, Index first, Direction direction) const {
    return {options_.seed,
            static_cast<std::uint64_t>(k) + (std::uint64_t{direction == Direction::forward ? 1u : 2u} << 36), first};
  }

  void advance(Bridge<T, Bound>& bridge, Kernel& kernel, Chains<T>& c, const AnnealingPlan& plan, std::size_t k,
               Index first) {
    bridge.set(plan.beta[k]);
    kernel.step = plan.step[k];
    kernel.start(bridge, c);
    kernel.advance(bridge, c, noise(static_cast<Index>(k), first, Direction::backward));
  }

  // A few chains along plan.beta, five steps at each: sets plan.step, and the standard deviation of f₀ − f at each β.
  void tune(AnnealingPlan& plan, std::vector<double>& deviation) {
    constexpr Index count = 96, steps = 5;
    const Index d = mean_.size();
    Chains<T> c;
    DependentMatrix<Bound> z(count, d);
    const std::uint64_t round = pilots_++;
    fill_normals<double>({options_.seed, Purpose::partition}, Ids::from(0), count, 1 + round, d, z.data(), count);
    c.X = z.template cast<T>();
    start(c);
    Bridge<T, Bound> bridge(bound_, root_, mean_);
    Kernel kernel = options_.kernel;
    double log_step = std::log(0.5 / std::cbrt(static_cast<double>(d)));
    plan.step.resize(plan.beta.size());
    deviation.resize(plan.beta.size());
    for (std::size_t k = 0; k < plan.beta.size(); ++k) {
      bridge.set(plan.beta[k]);
      for (Index t = 0; t < steps; ++t) {
        kernel.step = std::exp(log_step);
        kernel.start(bridge, c);
        if (t == 0) {
          double mean = 0, squares = 0, n = 0;
          for (Index i = 0; i < count; ++i) {
            const double difference = static_cast<double>(bridge.base()[i]) - static_cast<double>(bridge.model()[i]);
            if (!std::isfinite(difference)) continue;
            n += 1;
            const double delta = difference - mean;
            mean += delta / n;
            squares += delta * (difference - mean);
          }
          deviation[k] = n > 1 ? std::sqrt(squares / (n - 1)) : 0;
        }
        c.accepted.setZero();
        kernel.advance(
            bridge, c,
            {options_.seed, (std::uint64_t{3} << 36) + (round << 30) + k * steps + static_cast<std::uint64_t>(t), 0});
        log_step += 0.5 * (c.accepted.mean() - 0.57);
      }
      plan.step[k] = std::exp(log_step);
      evaluations_ += 2 * steps * count;
    }
    if (bridge.broken()) broken_ = true;
  }

  // K + 1 values of β between which the integral of the deviation, the thermodynamic length, is the same.
  static AnnealingPlan respaced(const AnnealingPlan& plan, const std::vector<double>& deviation, Index K) {
    std::vector<double> length(plan.beta.size(), 0);
    for (std::size_t k = 1; k < length.size(); ++k)
      length[k] = length[k - 1] + (plan.beta[k] - plan.beta[k - 1]) * (0.5 * (deviation[k] + deviation[k - 1]) + 1e-3);
    AnnealingPlan next;
    std::size_t at = 1;
    for (Index k = 0; k <= K; ++k) {
      const double wanted = length.back() * static_cast<double>(k) / static_cast<double>(K);
      while (at + 1 < length.size() && length[at] < wanted) ++at;
      const double share = std::clamp((wanted - length[at - 1]) / (length[at] - length[at - 1]), 0.0, 1.0);
      next.beta.push_back(k == 0 ? 0 : k == K ? 1 : plan.beta[at - 1] + share * (plan.beta[at] - plan.beta[at - 1]));
      next.step.push_back(std::exp((1 - share) * std::log(plan.step[at - 1]) + share * std::log(plan.step[at])));
    }
    return next;
  }

  const Bound& bound_;
  const annealed_importance_sampling<Kernel>& options_;
  Matrix<T> root_;
  Vector<T> mean_;
  std::uint64_t pilots_ = 0;
  Index evaluations_ = 0;
  bool stopped_ = false;
  std::atomic<bool> broken_ = false;  // f was NaN or −∞
};

}  // namespace likelihood

/// log Z by annealed importance sampling.
///
///   const auto log_z = sm::log_partition(model, sm::annealed_importance_sampling<>{.near = data});
///
/// `value`, `error` and `effective_sample_size` are the forward chains'. `lower` is their mean log weight less two
/// standard errors; with `target_samples` `upper` is the backward chains' mean log weight plus two: each holds with a
/// probability of some 98 %, the upper one only as far as those samples are exact. `converged` is said where the
/// weights are many and light enough, the chains' ends pass for draws of the model (the kernel moves there, and Stein's
/// identities hold along the way of chains that go on), and the way back from there, or from `target_samples`, agrees:
/// the chains go on for half as many steps as they came, and all the way back, which makes 2.5 times the evaluations of
/// the forward chains. Where these doubts speak the status is not_converged, and `error` at least the gap between the
/// ways. The same bits for any number of threads. T: float or double. Throws std::invalid_argument for options out of
/// range or of the wrong shape, and a mean or covariance that is not finite, not symmetric or not positive definite.
template <class T = double, class M, class Kernel>
LogPartition log_partition(const M& model, const annealed_importance_sampling<Kernel>& method) {
  LogPartition result;
  static_assert(Kernel::adjusted,
                "annealed importance sampling needs a Metropolis kernel (mala): the weights are right "
                "only if each step leaves its density as it is");
  if constexpr (check_energy<M>() && Kernel::adjusted) {
    method.validate();
    const Index d = static_cast<Index>(model.dimension());
    const auto check = [&](const DependentMatrix<M>& points, const char* name) {
      if (points.size() > 0) require_samples<double>(points, d, name);
    };
    check(method.near, "annealed_importance_sampling: near");
    check(method.target_samples, "annealed_importance_sampling: target_samples");
    DependentVector<M> mean = method.mean;
    if (mean.size() == 0)
      mean = method.near.size() > 0 ? DependentVector<M>(method.near.rowwise().mean()) : DependentVector<M>::Zero(d);
    require(mean.size() == d,
            {"annealed_importance_sampling: mean has ", mean.size(), " numbers; the model has dimension ", d});
    require_samples<double>(mean, d, "annealed_importance_sampling: mean");
    DependentMatrix<M> covariance = method.covariance;
    if (covariance.size() == 0 && method.near.cols() > 1) {
      const DependentMatrix<M> centred = method.near.colwise() - method.near.rowwise().mean();
      covariance = centred * centred.transpose() / static_cast<double>(centred.cols() - 1);
    } else if (covariance.size() == 0) {
      covariance.setIdentity(d, d);
    }
    const DependentMatrix<M> root =
        detail::cholesky_of_covariance<double>(covariance, d,
                                               method.covariance.size() > 0
                                                   ? "annealed_importance_sampling: covariance"
                                                   : "annealed_importance_sampling: the covariance of near")
            .matrixL();
    const double log_base = root.diagonal().array().log().sum() + 0.5 * static_cast<double>(d) * detail::log_two_pi;

    // The tails, from draws of the normal law on: the chains could only show that they are long.
    auto energy = likelihood::energy_function<double>(model);
    constexpr Index draws = 96;
    DependentMatrix<M> z(draws, d), X;
    fill_normals<double>({method.seed, Purpose::partition}, Ids::from(0), draws, 0, d, z.data(), draws);
    X = (root * z.transpose()).colwise() + mean;
    DependentVector<M> f;
    energy.values(X, f);
    result.evaluations = energy.evaluations();
    for (Index i = 0; i < draws; ++i)
      if (!(f[i] > -std::numeric_limits<double>::infinity())) {
        result.status = PartitionStatus::non_finite;
        result.evidence = text("the energy is ", f[i], " at a draw of the normal law");
        return result;
      }
    if (!f.array().isFinite().any()) {
      result.status = PartitionStatus::non_finite;
      result.evidence = text("the energy is not finite at any of ", draws,
                             " draws of the normal law; name points where it is (near, or mean and covariance)");
      return result;
    }
    const likelihood::Tails tails = likelihood::follow_tails(energy, mean, root, DependentMatrix<M>(d, 0),
                                                             DependentVector<M>(root.rowwise().norm()), f.minCoeff());
    const Index looked = energy.evaluations();
    if (!tails.evidence.empty()) {
      result.status = PartitionStatus::not_normalisable;
      result.evidence = tails.evidence;
      result.value = result.upper = std::numeric_limits<double>::infinity();
      result.evaluations = looked;
      return result;
    }

    const auto bound = bind<T>(model);
    likelihood::Annealing<T, std::remove_const_t<decltype(bound)>, Kernel> annealing(bound, method, root, mean);
    Index stayed = 0;
    const auto ended = [&](const char* before) {
      result.evaluations = looked + stayed + annealing.evaluations();
      if (annealing.broken()) {
        result = {.evaluations = result.evaluations,
                  .status = PartitionStatus::non_finite,
                  .evidence = "the energy was NaN or −∞ where the chains went"};
        return true;
      }
      if (!annealing.stopped()) return false;
      result.status = PartitionStatus::stopped;
      result.evidence = text("stopped before all chains had ", before);
      return true;
    };
    const likelihood::AnnealingPlan plan = annealing.plan();
    if (ended("started")) return result;
    DependentMatrix<M> ends;
    const DependentVector<M> forward = annealing.log_weights(plan, nullptr, &ends);
    if (ended("run")) return result;
    const auto standard_error = [](const DependentVector<M>& x) {
      return std::sqrt((x.array() - x.mean()).square().mean() / static_cast<double>(x.size() - 1));
    };
    likelihood::from_log_weights<M>(forward.array() + log_base, result);
    if (result.status == PartitionStatus::non_finite) return result;
    if (forward.allFinite()) result.lower = forward.mean() + log_base - 2 * standard_error(forward);
    const bool given = method.target_samples.size() > 0;
    if (!given && result.status == PartitionStatus::degenerate) return result;

    // The judgement: what the ends are worth, and whether the way back agrees.
    const DependentArray<M> w = (forward.array() - forward.maxCoeff()).exp();
    std::string doubt;
    if (result.status == PartitionStatus::converged) {
      Kernel kernel = method.kernel;
      kernel.step = plan.step.back();
      const likelihood::StayingChains staying =
          likelihood::stay<T>(bound, kernel, DependentMatrix<M>(root), DependentVector<M>(mean), method.seed,
                              std::max<Index>(method.temperatures / 2, 20), ends);
      stayed = staying.evaluations;
      doubt = likelihood::doubts_on_draws<M>(w, staying);
    }
    DependentMatrix<M> from(d, method.chains);
    if (given)
      for (Index c = 0; c < method.chains; ++c)
        from.col(c) = root.template triangularView<Eigen::Lower>().solve(
            method.target_samples.col(c % method.target_samples.cols()) - mean);
    else
      from = likelihood::resampled<M>(ends, w, method.chains);
    const DependentVector<M> backward = annealing.log_weights(plan, &from);
    if (ended(given ? "gone back: there is no upper bound" : "gone back")) return result;
    if (given) result.upper = backward.mean() + log_base + 2 * standard_error(backward);
    const double worth =
        given ? std::min<double>(static_cast<double>(method.target_samples.cols()), static_cast<double>(method.chains))
              : result.effective_sample_size;
    const auto [there, there_error] = likelihood::weighted_mean<M>(forward, w);
    const double back_error = standard_error(backward) * std::sqrt(static_cast<double>(method.chains) / worth),
                 gap = backward.mean() - there;
    if (likelihood::disagree(gap, std::hypot(there_error, back_error)) && doubt.empty())
      doubt = text("the ways there and back do not agree: the mean log weight of chains that go back is ",
                   backward.mean() + log_base, " ± ", back_error, ", and by those that came it should be ",
                   there + log_base, " ± ", there_error);
    if (!doubt.empty() && result.status == PartitionStatus::converged) {
      result.status = PartitionStatus::not_converged;
      result.evidence = doubt;
      result.error = std::max(result.error, std::abs(gap));
      if (!given) result.upper = result.value + 2 * result.error;
    }
  }
  return result;
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled_likelihood.hpp"
#endif
