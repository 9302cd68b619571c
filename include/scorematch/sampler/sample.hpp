// sample: many chains of any transition kernel, side by side.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <type_traits>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/random/stream.hpp"
#include "scorematch/sampler/target.hpp"
#include "scorematch/score/user_model.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch {

/// Where chains start: N(0, I), given points, or a distribution π.
class ChainStart {
 public:
  ChainStart() = default;

  /// d × chains, a column a chain.
  template <class Derived>
  ChainStart(const Eigen::MatrixBase<Derived>& points) : points_(points.template cast<double>()), given_(true) {}

  /// π, drawn once a chain: a callable Eigen::VectorXd(Stream&), with stream.normal(), stream.uniform(), ….
  template <class F>
  requires(!requires { typename F::PlainObject; } /* Eigen's own: callable too, with indices */) &&
      std::is_invocable_r_v<Eigen::VectorXd, F&, Stream&> ChainStart(F distribution)
      : distribution_(std::move(distribution)) {}

  /// d × chains. Throws std::invalid_argument for another shape or a non-finite number; `argument` is what the user
  /// calls the start.
  Eigen::MatrixXd points(Index dimension, Index chains, std::uint64_t seed,
                         const char* argument = "SampleOptions: start") const {
    if (given_) {
      require(points_.rows() == dimension && points_.cols() == chains,
              {argument, " is ", points_.rows(), " × ", points_.cols(), "; it must be ", dimension, " × ", chains,
               ", a column a chain"});
      require_samples<double>(points_, dimension, argument);
      return points_;
    }
    Eigen::MatrixXd points(dimension, chains);
    if (standard_normal()) {
      Eigen::MatrixXd z;
      draw(0, chains, dimension, seed, z);
      return z.transpose();
    }
    for (Index c = 0; c < chains; ++c) {
      Stream stream({seed, Purpose::chain_start}, c);
      const Eigen::VectorXd x = distribution_(stream);
      require(x.size() == dimension,
              {argument, " returned a point of size ", x.size(), "; the model has dimension ", dimension});
      for (Index j = 0; j < dimension; ++j) points(j, c) = x[j];
    }
    require_samples<double>(points, dimension, argument);
    return points;
  }

  /// Whether it is N(0, I), which threads may draw apart.
  bool standard_normal() const { return !given_ && !distribution_; }

  /// Chains first … first + count − 1 of N(0, I): count × d.
  static void draw(Index first, Index count, Index dimension, std::uint64_t seed, Eigen::MatrixXd& z) {
    z.resize(count, dimension);
    fill_normals<double>({seed, Purpose::chain_start}, Ids::from(first), count, 0, dimension, z.data(), count);
  }

 private:
  Eigen::MatrixXd points_;
  bool given_ = false;
  std::function<Eigen::VectorXd(Stream&)> distribution_;
};

struct SampleOptions {
  Index chains = 1000;  ///< ≥ 1, independent, side by side
  Index steps = 1000;   ///< ≥ 1, a chain, after the burn-in
  Index burn_in = 0;    ///< ≥ 0 steps before, not kept
  Index thin = 0;       ///< keep every thin-th state after the burn-in; 0: the last state of each chain alone
  std::uint64_t seed = 0;
  ChainStart start = {};           ///< points (d × chains), a callable π(Stream&), or N(0, I)
  std::uint64_t first_step = 0;    ///< to go on exactly where a result stopped: its next_step, with start = its state
  ProgressCallback progress = {};  ///< progress_line(), or your own

  void validate() const {
    require_at_least(chains, 1, "SampleOptions: chains");
    require_at_least(steps, 1, "SampleOptions: steps");
    require_at_least(burn_in, 0, "SampleOptions: burn_in");
    require(thin >= 0 && thin <= steps, {"SampleOptions: thin is ", thin, "; it must be from 0 to steps, ", steps});
  }
};

enum class SampleStatus {
  complete,
  stopped,   ///< by the progress callback: what was kept until then is there
  stuck,     ///< no proposal of any chain was accepted
  diverged,  ///< at least one unadjusted chain left the finite numbers; it stays at its last finite state
};

inline const char* to_string(SampleStatus status) {
  switch (status) {
    case SampleStatus::complete:
      return "complete";
    case SampleStatus::stopped:
      return "stopped";
    case SampleStatus::stuck:
      return "stuck";
    case SampleStatus::diverged:
      return "diverged";
  }
  return "";
}

template <class T>
struct [[nodiscard]] Draws {
  Matrix<T> points;            ///< d × (chains · kept): all chains' first kept state, then all chains' second, …
  Matrix<T> state;             ///< d × chains: where each chain is now
  Eigen::VectorXd acceptance;  ///< chains: the share of steps that moved (1 for unadjusted chains that stayed finite)
  Index chains = 0, kept = 0;
  Index non_finite = 0;         ///< steps, over all chains, whose proposal, its energy or score was not finite
  Index lost_chains = 0;        ///< unadjusted chains that left the finite numbers
  std::uint64_t next_step = 0;  ///< first_step of a call that goes on from `state`
  SampleStatus status = SampleStatus::complete;

  /// The kept states of one chain: d × kept.
  Matrix<T> chain(Index c) const {
    Matrix<T> states(points.rows(), kept);
    for (Index k = 0; k < kept; ++k) states.col(k) = points.col(k * chains + c);
    return states;
  }
};

namespace sampling {

/// Chains that advance side by side at most: state, score and noise stay in cache, and fill whole tiles of matrix
/// products.
inline constexpr Index chains_a_block = 96;

/// Chains in blocks of whole registers, as equal as can be, four blocks or a multiple of it where there are so many, so
/// that threads share them evenly. Depends on the number of chains alone.
struct ChainBlocks {
  Index chains, lanes, registers, count;

  ChainBlocks(Index chain_count, Index lane_count)
      : chains(chain_count), lanes(lane_count), registers((chains + lanes - 1) / lanes) {
    count = (chains + chains_a_block - 1) / chains_a_block;
    if (count > 3) count = std::min((count + 3) / 4 * 4, registers);
  }
  Index first(Index b) const { return std::min(chains, b * registers / count * lanes); }
  Index size(Index b) const { return first(b + 1) - first(b); }
};

template <class T, AnyModel M, class Kernel>
void run(const M& model, const Kernel& kernel, const SampleOptions& options, Draws<T>& draws) {
  kernel.validate();
  options.validate();
  const auto bound = bind<T>(model);
  using Bound = std::remove_const_t<decltype(bound)>;
  const Stopwatch watch;
  const Index d = bound.dimension(), lanes = simd::width<simd::Lanes<T>>;
  const ChainBlocks blocks(options.chains, lanes);
  const bool normal = options.start.standard_normal();
  const Eigen::MatrixXd start = normal ? Eigen::MatrixXd() : options.start.points(d, options.chains, options.seed);
  const Index total = options.burn_in + options.steps;
  const Index thin = options.thin > 0 ? options.thin : options.steps, all_kept = options.steps / thin;

  draws.chains = options.chains;
  draws.points.resize(d, options.chains * all_kept);
  draws.state.resize(d, options.chains);
  std::vector<Chains<T>> chains(static_cast<std::size_t>(blocks.count));
  const auto copy_out = [&](Index b, Matrix<T>& to, Index column) {
    const Chains<T>& c = chains[static_cast<std::size_t>(b)];
    for (Index i = 0; i < blocks.size(b); ++i)
      for (Index j = 0; j < d; ++j) to(j, column + blocks.first(b) + i) = c.X(i, j);
  };

  struct State {
    std::unique_ptr<Target<T, Bound>> target;
    Eigen::MatrixXd z;
  };
  evaluate::PerThread<State> states;
  const auto prepare = [&](State& state) {
    if (!state.target) state.target = std::make_unique<Target<T, Bound>>(bound);
  };
  evaluate::for_each_piece(blocks.count, states, prepare, [&](State& state, Index b) {
    Chains<T>& c = chains[static_cast<std::size_t>(b)];
    const Index count = blocks.size(b), rows = (count + lanes - 1) / lanes * lanes;
    if (normal) ChainStart::draw(blocks.first(b), count, d, options.seed, state.z);
    c.X.resize(rows, d);
    for (Index j = 0; j < d; ++j)
      for (Index i = 0; i < rows; ++i) {
        const Index chain = std::min(i, count - 1);
        c.X(i, j) = static_cast<T>(normal ? state.z(chain, j) : start(j, blocks.first(b) + chain));
      }
    c.accepted.setZero(rows);
    c.non_finite.setZero(rows);
    c.lost.setConstant(rows, false);
    kernel.start(*state.target, c);
  });

  // With progress, all chains advance together, some steps at a time: a stop finds them at the same step.
  const Index stride = options.progress ? std::max<Index>(1, total / 100) : total;
  Index done = 0;
  bool stopped = false;
  while (done < total && !stopped) {
    const Index until = std::min(total, done + stride);
    evaluate::for_each_piece(blocks.count, states, prepare, [&](State& state, Index b) {
      Chains<T>& c = chains[static_cast<std::size_t>(b)];
      for (Index t = done; t < until; ++t) {
        kernel.advance(*state.target, c,
                       ChainNoise{options.seed, options.first_step + static_cast<std::uint64_t>(t), blocks.first(b)});
        const Index kept = t + 1 - options.burn_in;
        if (kept > 0 && kept % thin == 0) copy_out(b, draws.points, (kept / thin - 1) * options.chains);
      }
    });
    done = until;
    if (!options.progress) continue;
    double moved = 0;
    for (const Chains<T>& c : chains)
      for (Index i = 0; i < c.accepted.size(); ++i) moved += c.accepted[i] / static_cast<double>(c.accepted.size());
    stopped = !options.progress({"sample", done, total, moved / static_cast<double>(blocks.count * done), "acceptance",
                                 watch.seconds()}) &&
              done < total;
  }

  draws.kept = std::max<Index>(0, done - options.burn_in) / thin;
  if (draws.kept < all_kept) {
    Matrix<T> kept(d, options.chains * draws.kept);
    std::copy_n(draws.points.data(), kept.size(), kept.data());
    draws.points.swap(kept);
  }
  evaluate::for_each_piece(blocks.count, states, prepare, [&](State&, Index b) { copy_out(b, draws.state, 0); });
  bool any_moved = false;
  draws.next_step = options.first_step + static_cast<std::uint64_t>(done);
  draws.acceptance.resize(options.chains);
  for (Index b = 0; b < blocks.count; ++b) {
    const Chains<T>& c = chains[static_cast<std::size_t>(b)];
    const Index count = blocks.size(b);
    for (Index i = 0; i < count; ++i) {
      const double moved = c.accepted[i] / static_cast<double>(done);
      draws.acceptance[blocks.first(b) + i] = moved;
      any_moved = any_moved || moved > 0;
      draws.non_finite += static_cast<Index>(c.non_finite[i]);
      if (c.lost[i]) ++draws.lost_chains;
    }
  }
  if (draws.lost_chains > 0)
    draws.status = SampleStatus::diverged;
  else if (!any_moved)
    draws.status = SampleStatus::stuck;
  else if (stopped)
    draws.status = SampleStatus::stopped;
}

}  // namespace sampling

/// Runs `kernel` (langevin, mala, …) on `model` (an energy, a score, a user's class).
///
///   auto draws = sm::sample(fit.model, sm::mala{.step = 0.1}, {.chains = 100, .steps = 2000, .burn_in = 500, .thin =
///   10});
///
/// The same bits for any number of threads. A chain's random numbers do not depend on how many others run, its states
/// only through the rounding of matrix products (of networks, say). T: float or double. Throws std::invalid_argument
/// for options out of range or a start of the wrong shape.
template <class T = double, class M, class Kernel>
Draws<T> sample(const M& model, const Kernel& kernel, const SampleOptions& options = {}) {
  Draws<T> draws;
  constexpr bool kernel_known = requires { Kernel::adjusted; };
  static_assert(kernel_known,
                "sample takes a transition kernel, langevin or mala; samplers that go down noise levels (heun, …) "
                "belong to generate");
  if constexpr (kernel_known && check_model<M>()) {
    constexpr bool possible = !Kernel::adjusted || KnowsEnergy<M, T>;
    static_assert(
        possible,
        "a Metropolis kernel accepts by the energy: the model must be an energy_model, or a class that provides  "
        "void energy(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<Eigen::VectorXd> f) const");
    if constexpr (possible) sampling::run(model, kernel, options, draws);
  }
  return draws;
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled.hpp"
#endif
