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
#include "scorematch/evaluate/padded_block.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/model/energy_function.hpp"
#include "scorematch/partition/draws.hpp"
#include "scorematch/partition/tails.hpp"
#include "scorematch/partition/weights.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/random/normal.hpp"
#include "scorematch/ranks/agreement.hpp"
#include "scorematch/ranks/parcel.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/transition_kernel.hpp"
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
/// and the kernel accepts as often as its `target_acceptance` says, or 57 % of its proposals; the kernel works in
/// coordinates in which the normal law is N(0, I). A mode that no chain reaches, behind a wall say, is not seen.
template <class Kernel = mala>
struct annealed_importance_sampling {
  Index chains = 1000;        ///< 2 … 10⁹
  Index temperatures = 1000;  ///< steps from the normal law to the model; 2 … 10⁹
  Kernel kernel = {};         ///< a Metropolis kernel with a `step`
  bool adapt = true;          ///< choose β and steps by pilot runs; else β is even and the step the kernel's own
  std::uint64_t seed = 0;     ///< of the random numbers; any
  Eigen::VectorXd mean = {};  ///< m; empty: the mean of `near`, or 0
  Eigen::MatrixXd covariance = {};  ///< C; empty: the covariance of `near`, or I
  Eigen::MatrixXd near = {};        ///< d × n, data say: where the model's mass is
  /// d × n exact (or nearly exact) draws of the model, from which the chains go back; empty: no upper bound but the
  /// forward estimate's own. Taken in turn if there are fewer than chains.
  Eigen::MatrixXd target_samples = {};
  ProgressCallback progress = {};  ///< progress_line(), or your own
  /// Ranks that share the chains there and back, 96 or so at a time; pilots and the chains that stay run on each. All
  /// give the same options, and all get the same result, that of one process, bit for bit. Default: one process.
  Communicator communicator = {};

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require_within(chains, 2, 1'000'000'000, "annealed_importance_sampling: chains");
    extend::require_within(temperatures, 2, 1'000'000'000, "annealed_importance_sampling: temperatures");
    kernel.validate();
    extend::require_no_temperature(kernel, "annealed_importance_sampling");
  }
};

namespace likelihood {

/// β_0 = 0 < β_1 < … < β_K = 1 and the kernel's step at each.
struct AnnealingPlan {
  std::vector<double> beta, step;
};

/// The options, whatever the kernel.
struct AnnealingOptions {
  Index chains, temperatures;
  bool adapt;
  std::uint64_t seed;
  ProgressCallback progress;
  Communicator communicator;
};

/// The chains of annealed importance sampling, in coordinates u, x = mean + root u.
template <class T>
class Annealing {
 public:
  Annealing(const extend::BoundModel<T>& bound, const sampling::BoundKernel<T>& kernel, const AnnealingOptions& options,
            const Eigen::MatrixXd& root, const Eigen::VectorXd& mean)
      : bound_(bound),
        kernel_(kernel),
        options_(options),
        root_(root.template cast<T>()),
        mean_(mean.template cast<T>()) {}

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
      plan.step.assign(plan.beta.size(), kernel_.step());
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
  Eigen::VectorXd log_weights(const AnnealingPlan& plan, const Eigen::MatrixXd* from, Eigen::MatrixXd* ends = nullptr) {
    const Index chains = options_.chains, steps = static_cast<Index>(plan.beta.size()) - 1;
    const sampling::ChainBlocks blocks(chains, simd::width<simd::Lanes<T>>);
    Eigen::VectorXd weights(chains);
    if (ends != nullptr) ends->resize(mean_.size(), chains);
    evaluate::PerThread<State> states;
    const detail::Stopwatch watch;
    // With progress, the blocks of chains are reported one group after another.
    const Index group = options_.progress ? std::max<Index>(4, (blocks.count + 19) / 20) : blocks.count;
    for (Index done = 0; done < blocks.count && !stopped_; done += group) {
      const Index until = std::min(blocks.count, done + group);
      const auto first_of = [&](int rank) { return done + rank * (until - done) / options_.communicator.size(); };
      const Index first_own = first_of(options_.communicator.rank()),
                  end_own = first_of(options_.communicator.rank() + 1);
      evaluate::for_each_piece(
          end_own - first_own, states, [](State&) {},
          [&](State& state, Index piece) {
            const Index first = blocks.first(first_own + piece), count = blocks.size(first_own + piece);
            start(state, from, first, count);
            Bridge<T> bridge(bound_, root_, mean_);
            if (from == nullptr)
              go_forward(state, bridge, plan, first);
            else
              go_back(state, bridge, plan, first);
            weights.segment(first, count) = state.log_w.head(count);
            if (ends != nullptr) evaluate::scatter_rows(state.chains.X, count, first, *ends);
            if (bridge.broken()) broken_ = true;
          });
      ranks::exchange(options_.communicator, [&](ranks::Parcel& parcel, int rank) {
        const Index first = blocks.first(first_of(rank)), end = blocks.first(first_of(rank + 1));
        for (Index c = first; c < end; ++c) parcel(weights[c]);
        for (Index i = first * mean_.size(); i < end * mean_.size() && ends != nullptr; ++i) parcel(ends->data()[i]);
      });
      evaluations_ += (blocks.first(until) - blocks.first(done)) * 2 * steps;
      if (options_.progress &&
          !options_.progress({from != nullptr ? "annealing back" : "annealing", blocks.first(until), chains,
                              weights.head(blocks.first(until)).mean(), "mean log weight", watch.seconds()}))
        stopped_ = blocks.first(until) < chains;
    }
    if (ranks::any(options_.communicator, broken_)) broken_ = true;
    return weights;
  }

 private:
  enum class Direction { forward, backward };

  /// What a thread keeps.
  struct State {
    extend::Chains<T> chains;
    Eigen::MatrixXd z;
    Eigen::VectorXd log_w;
  };

  void start(State& state, const Eigen::MatrixXd* from, Index first, Index count) const {
    extend::Chains<T>& c = state.chains;
    const Index rows = evaluate::padded_rows<T>(count), d = mean_.size();
    if (from == nullptr) {
      state.z.resize(count, d);
      extend::fill_normals<double>({options_.seed, extend::Purpose::partition}, extend::Ids::from(first), count, 0, d,
                                   state.z.data(), count);
      evaluate::gather_columns(state.z.transpose(), 0, count, rows, c.X);
    } else {
      evaluate::gather_columns(*from, first, count, rows, c.X);
    }
    c.reset_counts();
    c.own = {};
    state.log_w.setZero(rows);
  }

  // log w += (β' − β) (f₀ − f), with the energies where the bridge was asked last.
  static void add_weights(State& state, const Bridge<T>& bridge, double change) {
    for (Index i = 0; i < state.log_w.size(); ++i)
      state.log_w[i] += change * (static_cast<double>(bridge.base()[i]) - static_cast<double>(bridge.model()[i]));
  }

  void go_forward(State& state, Bridge<T>& bridge, const AnnealingPlan& plan, Index first) const {
    sampling::BoundKernel<T> kernel = kernel_;
    for (std::size_t k = 1; k < plan.beta.size(); ++k) {
      bridge.set(plan.beta[k]);
      kernel.set_step(plan.step[k]);
      kernel.start(bridge, state.chains);
      add_weights(state, bridge, plan.beta[k] - plan.beta[k - 1]);
      // The last step of a forward chain would move it where nobody looks.
      if (k + 1 < plan.beta.size()) kernel.advance(bridge, state.chains, noise(k, first, Direction::forward));
    }
  }

  void go_back(State& state, Bridge<T>& bridge, const AnnealingPlan& plan, Index first) const {
    sampling::BoundKernel<T> kernel = kernel_;
    extend::Chains<T>& c = state.chains;
    for (std::size_t k = plan.beta.size() - 1; k >= 1; --k) {
      bridge.set(plan.beta[k]);
      kernel.set_step(plan.step[k]);
      kernel.start(bridge, c);
      kernel.advance(bridge, c, noise(k, first, Direction::backward));
      bridge.set(plan.beta[k - 1]);
      bridge.energy_and_score(c.X, c.f, c.S);
      add_weights(state, bridge, plan.beta[k] - plan.beta[k - 1]);
    }
  }

  // Forward, backward and pilot chains share no random number.
  extend::ChainNoise noise(std::size_t k, Index first, Direction direction) const {
    return {options_.seed,
            static_cast<std::uint64_t>(k) + (std::uint64_t{direction == Direction::forward ? 1u : 2u} << 36), first};
  }

  // A few chains along plan.beta, five steps at each: sets plan.step, and the standard deviation of f₀ − f at each β.
  void tune(AnnealingPlan& plan, std::vector<double>& deviation) {
    constexpr Index count = 96, steps = 5;
    const Index d = mean_.size();
    extend::Chains<T> c;
    Eigen::MatrixXd z(count, d);
    const std::uint64_t round = pilots_++;
    extend::fill_normals<double>({options_.seed, extend::Purpose::partition}, extend::Ids::from(0), count, 1 + round, d,
                                 z.data(), count);
    c.X = z.template cast<T>();
    c.reset_counts();
    Bridge<T> bridge(bound_, root_, mean_);
    sampling::BoundKernel<T> kernel = kernel_;
    const double wanted = std::isnan(kernel.target_acceptance()) ? 0.57 : kernel.target_acceptance();
    double log_step = std::log(0.5 / std::cbrt(static_cast<double>(d)));
    plan.step.resize(plan.beta.size());
    deviation.resize(plan.beta.size());
    for (std::size_t k = 0; k < plan.beta.size(); ++k) {
      bridge.set(plan.beta[k]);
      for (Index t = 0; t < steps; ++t) {
        kernel.set_step(std::exp(log_step));
        kernel.start(bridge, c);
        if (t == 0) deviation[k] = deviation_of_difference(bridge);
        c.accepted.setZero();
        kernel.advance(
            bridge, c,
            {options_.seed, (std::uint64_t{3} << 36) + (round << 30) + k * steps + static_cast<std::uint64_t>(t), 0});
        log_step += 0.5 * (c.accepted.mean() - wanted);
      }
      plan.step[k] = std::exp(log_step);
      evaluations_ += 2 * steps * count;
    }
    if (bridge.broken()) broken_ = true;
  }

  // The standard deviation of f₀ − f over the chains where it is finite.
  static double deviation_of_difference(const Bridge<T>& bridge) {
    double mean = 0, squares = 0, n = 0;
    for (Index i = 0; i < bridge.base().size(); ++i) {
      const double difference = static_cast<double>(bridge.base()[i]) - static_cast<double>(bridge.model()[i]);
      if (!std::isfinite(difference)) continue;
      n += 1;
      const double delta = difference - mean;
      mean += delta / n;
      squares += delta * (difference - mean);
    }
    return n > 1 ? std::sqrt(squares / (n - 1)) : 0;
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

  const extend::BoundModel<T>& bound_;
  const sampling::BoundKernel<T>& kernel_;
  const AnnealingOptions& options_;
  Matrix<T> root_;
  Vector<T> mean_;
  std::uint64_t pilots_ = 0;
  Index evaluations_ = 0;
  bool stopped_ = false;
  std::atomic<bool> broken_ = false;  // f was NaN or −∞
};

/// An estimate of log Z by annealing, step by step. Real is double: a parameter, so that a program which does not
/// anneal does not compile the linear algebra.
template <class T, class Real = double>
class AnnealedEstimate {
 public:
  AnnealedEstimate(const extend::BoundModel<T>& bound, EnergyFunction<Real>& energy,
                   const sampling::BoundKernel<T>& kernel, const AnnealingOptions& options, const Vector<Real>& mean,
                   const Matrix<Real>& root, const Matrix<Real>& target_samples, LogPartition& result)
      : energy_(energy),
        kernel_(kernel),
        options_(options),
        mean_(mean),
        root_(root),
        target_samples_(target_samples),
        result_(result),
        bound_(bound),
        annealing_(bound_, kernel, options, root, mean),
        log_base_(root.diagonal().array().log().sum() + 0.5 * static_cast<double>(mean.size()) * detail::log_two_pi) {}

  void run() {
    if (!has_tails()) return;
    const AnnealingPlan plan = annealing_.plan();
    if (ended("started")) return;
    Matrix<Real> ends;
    const Vector<Real> forward = annealing_.log_weights(plan, nullptr, &ends);
    if (ended("run")) return;
    from_log_weights<T>(forward.array() + log_base_, result_);
    if (result_.status == PartitionStatus::non_finite) return;
    if (forward.allFinite()) result_.lower = forward.mean() + log_base_ - 2 * standard_error(forward);
    if (!given() && result_.status == PartitionStatus::degenerate) return;
    judge(plan, forward, ends);
  }

 private:
  bool given() const { return target_samples_.size() > 0; }

  static double standard_error(const Vector<Real>& x) {
    return std::sqrt((x.array() - x.mean()).square().mean() / static_cast<double>(x.size() - 1));
  }

  // The tails, from draws of the normal law on: the chains could only show that they are long.
  bool has_tails() {
    constexpr Index draws = 96;
    const Index d = mean_.size();
    Matrix<Real> z(draws, d);
    extend::fill_normals<Real>({options_.seed, extend::Purpose::partition}, extend::Ids::from(0), draws, 0, d, z.data(),
                               draws);
    const Matrix<Real> X = (root_ * z.transpose()).colwise() + mean_;
    Vector<Real> f;
    energy_.values(X, f);
    result_.evaluations = energy_.evaluations();
    result_.status = PartitionStatus::non_finite;
    for (Index i = 0; i < draws; ++i)
      if (!(f[i] > -std::numeric_limits<double>::infinity())) {
        result_.evidence = detail::text("the energy is ", f[i], " at a draw of the normal law");
        return false;
      }
    if (!f.array().isFinite().any()) {
      result_.evidence =
          detail::text("the energy is not finite at any of ", draws,
                       " draws of the normal law; name points where it is (near, or mean and covariance)");
      return false;
    }
    const Tails tails =
        follow_tails(energy_, mean_, root_, Matrix<Real>(d, 0), Vector<Real>(root_.rowwise().norm()), f.minCoeff());
    looked_ = energy_.evaluations();
    result_.evaluations = looked_;
    if (tails.evidence.empty()) return true;
    result_.status = PartitionStatus::not_normalisable;
    result_.evidence = tails.evidence;
    result_.value = result_.upper = std::numeric_limits<double>::infinity();
    return false;
  }

  bool ended(const char* before) {
    result_.evaluations = looked_ + stayed_ + annealing_.evaluations();
    if (annealing_.broken()) {
      result_ = {.evaluations = result_.evaluations,
                 .status = PartitionStatus::non_finite,
                 .evidence = "the energy was NaN or −∞ where the chains went"};
      return true;
    }
    if (!annealing_.stopped()) return false;
    result_.status = PartitionStatus::stopped;
    result_.evidence = detail::text("stopped before all chains had ", before);
    return true;
  }

  // Judges the ends, and whether the way back agrees.
  void judge(const AnnealingPlan& plan, const Vector<Real>& forward, Matrix<Real>& ends) {
    const Eigen::Array<Real, Eigen::Dynamic, 1> w = (forward.array() - forward.maxCoeff()).exp();
    std::string doubt;
    if (result_.status == PartitionStatus::converged) {
      sampling::BoundKernel<T> kernel = kernel_;
      kernel.set_step(plan.step.back());
      const StayingChains staying =
          stay<T>(bound_, kernel, root_, mean_, options_.seed, std::max<Index>(options_.temperatures / 2, 20), ends);
      stayed_ = staying.evaluations;
      doubt = doubts_on_draws<T>(w, staying);
    }
    const Matrix<Real> from = given() ? starts_back() : resampled<T>(ends, w, options_.chains);
    const Vector<Real> backward = annealing_.log_weights(plan, &from);
    if (ended(given() ? "gone back: there is no upper bound" : "gone back")) return;
    if (given()) result_.upper = backward.mean() + log_base_ + 2 * standard_error(backward);
    const double worth =
        given() ? std::min<double>(static_cast<double>(target_samples_.cols()), static_cast<double>(options_.chains))
                : result_.effective_sample_size;
    const auto [there, there_error] = weighted_mean<T>(forward, w);
    const double back_error = standard_error(backward) * std::sqrt(static_cast<double>(options_.chains) / worth),
                 gap = backward.mean() - there;
    if (disagree(gap, std::hypot(there_error, back_error)) && doubt.empty())
      doubt = detail::text("the ways there and back do not agree: the mean log weight of chains that go back is ",
                           backward.mean() + log_base_, " ± ", back_error, ", and by those that came it should be ",
                           there + log_base_, " ± ", there_error);
    if (doubt.empty() || result_.status != PartitionStatus::converged) return;
    result_.status = PartitionStatus::not_converged;
    result_.evidence = doubt;
    result_.error = std::max(result_.error, std::abs(gap));
    if (!given()) result_.upper = result_.value + 2 * result_.error;
  }

  // The target's samples in the coordinates of the chains, in turn.
  Matrix<Real> starts_back() const {
    Matrix<Real> from(mean_.size(), options_.chains);
    for (Index c = 0; c < options_.chains; ++c)
      from.col(c) =
          root_.template triangularView<Eigen::Lower>().solve(target_samples_.col(c % target_samples_.cols()) - mean_);
    return from;
  }

  EnergyFunction<Real>& energy_;
  const sampling::BoundKernel<T>& kernel_;
  const AnnealingOptions& options_;
  const Vector<Real>& mean_;
  const Matrix<Real>&root_, &target_samples_;
  LogPartition& result_;
  const extend::BoundModel<T>& bound_;
  Annealing<T> annealing_;
  double log_base_;
  Index looked_ = 0, stayed_ = 0;
};

template <class T>
void anneal(const extend::BoundModel<T>& bound, EnergyFunction<double>& energy, const sampling::BoundKernel<T>& kernel,
            const AnnealingOptions& options, const Eigen::VectorXd& mean, const Eigen::MatrixXd& root,
            const Eigen::MatrixXd& target_samples, LogPartition& result) {
  AnnealedEstimate<T>(bound, energy, kernel, options, mean, root, target_samples, result).run();
}

/// The normal law that annealing starts from: N(mean, root rootᵀ). Throws std::invalid_argument for options of the
/// wrong shape and a covariance that is not symmetric and positive definite.
template <class Real = double>
void annealing_base(const Matrix<Real>& near, Vector<Real>& mean, Matrix<Real>& covariance, Index d,
                    Matrix<Real>& root) {
  const bool given = covariance.size() > 0;
  if (near.size() > 0) extend::require_samples<Real>(near, d, "annealed_importance_sampling: near");
  if (mean.size() == 0 && near.size() > 0)
    mean = near.rowwise().mean();
  else if (mean.size() == 0)
    mean.setZero(d);
  extend::require(mean.size() == d,
                  {"annealed_importance_sampling: mean has ", mean.size(), " numbers; the model has dimension ", d});
  extend::require_samples<Real>(mean, d, "annealed_importance_sampling: mean");
  if (!given && near.cols() > 1) {
    const Matrix<Real> centred = near.colwise() - near.rowwise().mean();
    covariance = centred * centred.transpose() / static_cast<Real>(centred.cols() - 1);
  } else if (!given) {
    covariance.setIdentity(d, d);
  }
  root = detail::cholesky_of_covariance<Real>(covariance, d,
                                              given ? "annealed_importance_sampling: covariance"
                                                    : "annealed_importance_sampling: the covariance of near")
             .matrixL();
}

/// In what the ranks of a call must agree.
template <class Real>
std::vector<ranks::Common> annealing_facts(Index chains, Index temperatures, bool adapt, std::uint64_t seed,
                                           const Vector<Real>& mean, const Matrix<Real>& root,
                                           const Matrix<Real>& target_samples) {
  using scorematch::detail::text;
  const auto digest = [](const Matrix<Real>& numbers) {
    return ranks::digest_of(Eigen::Map<const Vector<Real>>(numbers.data(), numbers.size()));
  };
  return {{"annealed_importance_sampling: chains", text(chains)},
          {"annealed_importance_sampling: temperatures", text(temperatures)},
          {"annealed_importance_sampling: adapt", adapt ? "true" : "false"},
          {"annealed_importance_sampling: seed", text(seed)},
          {"annealed_importance_sampling: the mean it starts from", digest(mean)},
          {"annealed_importance_sampling: the covariance it starts from", digest(root)},
          {"annealed_importance_sampling: target_samples", digest(target_samples)}};
}

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
  constexpr bool has_step = requires(Kernel & kernel) { kernel.step = 1.0; };
  static_assert(has_step, "annealed importance sampling adapts the kernel's step: it must have  double step");
  if constexpr (detail::check_kernel<Kernel, T>() && detail::check_energy<M>() && Kernel::adjusted && has_step) {
    const Communicator& ranks = method.communicator;
    ranks::on_ranks(ranks, [&] {
      const Index d = static_cast<Index>(model.dimension());
      Eigen::VectorXd mean = method.mean;
      Eigen::MatrixXd covariance = method.covariance, root;
      ranks::agree(ranks, [&] {
        method.validate();
        likelihood::annealing_base<double>(method.near, mean, covariance, d, root);
        if (method.target_samples.size() > 0)
          extend::require_samples<double>(method.target_samples, d, "annealed_importance_sampling: target_samples");
      });
      ranks::require_same(ranks, likelihood::annealing_facts<double>(method.chains, method.temperatures, method.adapt,
                                                                     method.seed, mean, root, method.target_samples));
      ranks::require_same_theta(ranks, model);
      auto energy = likelihood::energy_function<double>(model);
      energy.share(ranks);
      const auto bound = detail::bind<T>(model);
      const likelihood::AnnealingOptions options{
          method.chains, method.temperatures, method.adapt, method.seed, ranks::shared_progress(ranks, method.progress),
          ranks};
      const auto kernel = sampling::bound_kernel<T>(method.kernel);
      likelihood::anneal<T>(bound, energy, kernel, options, mean, root, method.target_samples, result);
    });
  }
  return result;
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled_likelihood.hpp"
#endif
