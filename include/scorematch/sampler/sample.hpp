// sample: many chains of any transition kernel, side by side.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/model/user_model.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/random/stream.hpp"
#include "scorematch/sampler/chain_start.hpp"
#include "scorematch/sampler/chain_verdict.hpp"
#include "scorematch/sampler/target.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch {

struct SampleOptions {
  Index chains = 1000;  ///< ≥ 1, independent, side by side
  Index steps = 1000;   ///< ≥ 1, a chain, after the burn-in
  Index burn_in = 0;    ///< ≥ 0 steps before, not kept
  Index thin = 0;       ///< keep every thin-th state after the burn-in; 0: the last state of each chain alone
  std::uint64_t seed = 0;
  /// Points (d × chains), a callable π(Stream&), or N(0, I): of these, points without a finite energy are drawn again,
  /// and a Metropolis kernel moves a point that it could not leave (in a tail so steep that its step overshoots) down
  /// the energy until it can.
  ChainStart start = {};
  std::uint64_t first_step = 0;    ///< to go on exactly where a result stopped: its next_step, with start = its state
  ProgressCallback progress = {};  ///< progress_line(), or your own

  void validate() const {
    require_at_least(chains, 1, "SampleOptions: chains");
    require_at_least(steps, 1, "SampleOptions: steps");
    require_at_least(burn_in, 0, "SampleOptions: burn_in");
    require(thin >= 0 && thin <= steps, {"SampleOptions: thin is ", thin, "; it must be from 0 to steps, ", steps});
    constexpr std::uint64_t end = detail::field_end;  // of the addresses of a chain's random numbers
    const auto ends_in_range = [&](Index number, const char* argument) {
      require(static_cast<std::uint64_t>(number) <= end, {argument, " is ", number, "; it must be at most 2^40"});
    };
    ends_in_range(chains, "SampleOptions: chains");
    ends_in_range(steps, "SampleOptions: steps");
    ends_in_range(burn_in, "SampleOptions: burn_in");
    const std::uint64_t total = static_cast<std::uint64_t>(burn_in) + static_cast<std::uint64_t>(steps);
    require(first_step < end && total <= end - first_step,
            {"SampleOptions: first_step is ", first_step, ", burn_in ", burn_in, " and steps ", steps,
             "; the last step must be below 2^40"});
  }

  /// Throws unless d × (chains · kept) numbers can be counted.
  void validate_for(Index dimension) const {
    const Index kept = thin > 0 ? steps / thin : 1;
    require(chains <= std::numeric_limits<Index>::max() / 8 / std::max<Index>(1, dimension) / kept,
            {"SampleOptions: ", chains, " chains with ", kept, " kept states of dimension ", dimension,
             " do not fit into memory; take a larger thin"});
  }
};

/// How a run ended: the first of diverged, stuck, outside, stopped, drifting that holds, else complete.
/// `Draws::evidence` says how many chains it concerns and what to do. None of it has a unit, and none certifies that
/// the chains have reached their stationary law. What is judged, and why: sampler/chain_verdict.hpp.
enum class SampleStatus {
  complete,  ///< every chain took its steps, moved, and ended where the energy is finite, and none ran away
  stopped,   ///< by the progress callback: what was kept until then is there
  stuck,     ///< at least one Metropolis chain never moved, or came to rest
  diverged,  ///< at least one chain grows without bound: its step is beyond 2/curvature, or nothing holds it
  outside,   ///< at least one chain ended where the energy is not finite
  drifting,  ///< the chains still travel at the end: the start is far, the run short, or the model not normalisable
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
    case SampleStatus::outside:
      return "outside";
    case SampleStatus::drifting:
      return "drifting";
  }
  return "";
}

template <class T>
struct [[nodiscard]] Draws {
  Matrix<T> points;            ///< d × (chains · kept): all chains' first kept state, then all chains' second, …
  Matrix<T> state;             ///< d × chains: where each chain is now
  Eigen::VectorXd acceptance;  ///< chains: the share of steps that moved (1 for unadjusted chains that stayed finite)
  Index chains = 0, kept = 0;
  Index non_finite = 0;    ///< steps, over all chains, whose proposal, its energy or score was not finite
  Index lost_chains = 0;   ///< that diverged: grow without bound, or left the finite numbers (and stay where they were)
  Index never_moved = 0;   ///< Metropolis chains none of whose proposals was accepted
  Index came_to_rest = 0;  ///< those that moved, but not in the second half of the steps
  Index bad_starts = 0;    ///< starts whose energy is not finite, where the model knows its energy
  Index outside_chains = 0;     ///< last states whose energy is not finite, where the model knows its energy
  Index drifting_chains = 0;    ///< that travel beyond what their noise explains
  Index failed_chains = 0;      ///< that the status speaks of: diverged, stuck, outside or drifting
  std::uint64_t next_step = 0;  ///< first_step of a call that goes on from `state`
  SampleStatus status = SampleStatus::complete;
  std::string evidence =
      {};  ///< what speaks against "complete", with its remedy, in a sentence; empty where all is well

  /// The share of the chains that the status speaks of.
  double failed_share() const {
    return chains > 0 ? static_cast<double>(failed_chains) / static_cast<double>(chains) : 0;
  }

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

/// Whether a run is judged as a whole, or is one of many short ones whose caller judges them together.
enum class Judging { full, of_moves };

/// Puts the starts of a block that have no finite energy, of f, elsewhere: N(0, I) once more.
template <class T, class Evaluate>
void draw_again(Chains<T>& c, const Vector<T>& f, Index first, Index count, std::uint64_t seed, Evaluate evaluate) {
  constexpr std::uint64_t attempts = 64;
  Eigen::MatrixXd z;
  for (std::uint64_t attempt = 1; attempt <= attempts && !f.head(count).allFinite(); ++attempt) {
    ChainStart::draw(first, count, c.X.cols(), seed, z, attempt);
    for (Index i = 0; i < c.X.rows(); ++i) {
      if (std::isfinite(f[i])) continue;
      for (Index j = 0; j < c.X.cols(); ++j) c.X(i, j) = static_cast<T>(z(std::min(i, count - 1), j));
    }
    evaluate();
  }
}

/// What was counted over the chains of a run, each chain once.
struct RunFindings {
  Index unstable = 0, growing = 0;
  double acceptance = 0;  ///< the mean
  Ways ways;
};

/// Chooses the status, and says why; `steps` were done.
template <class T>
void conclude(const RunFindings& found, bool stopped, Index steps, Draws<T>& draws) {
  const Index late = steps - steps / 2;
  const bool long_enough = steps >= 50;
  const Index chains = draws.chains;
  const bool never = draws.never_moved > 0 &&
                     (draws.never_moved == chains || long_enough || !rests_by_chance(found.acceptance, steps, chains)),
             rests = draws.came_to_rest > 0 && !stopped && !rests_by_chance(found.acceptance, late, chains);
  const bool together = found.ways.together();
  if (together) draws.drifting_chains = chains - draws.lost_chains;
  std::string& evidence = draws.evidence;
  const char* smaller = " (take a smaller step)";
  if (draws.lost_chains > 0) {
    draws.status = SampleStatus::diverged;
    draws.failed_chains = draws.lost_chains;
    const Index left = draws.lost_chains - found.unstable - found.growing;
    if (left > 0) tell(evidence, text(share_of(left, chains), " left the finite numbers", smaller));
    if (found.unstable > 0)
      tell(evidence,
           text(share_of(found.unstable, chains), " grow without bound: their step is beyond 2/curvature", smaller));
    if (found.growing > 0)
      tell(evidence, text(share_of(found.growing, chains),
                          " run away ever faster: the density grows without bound in their direction (is the model "
                          "normalisable, and the sign of its score right?)"));
  } else if (never || rests) {
    draws.status = SampleStatus::stuck;
    draws.failed_chains = (never ? draws.never_moved : 0) + (rests ? draws.came_to_rest : 0);
    if (never)
      tell(evidence,
           text(share_of(draws.never_moved, chains),
                " never moved, for no proposal of theirs was accepted (take a smaller step, or starts of your "
                "own where the density is not negligible)"));
    if (rests)
      tell(evidence,
           text(share_of(draws.came_to_rest, chains), " have not moved over the second half of their steps", smaller));
  } else if (draws.outside_chains > 0) {
    draws.status = SampleStatus::outside;
    draws.failed_chains = draws.outside_chains;
    tell(evidence,
         text(share_of(draws.outside_chains, chains),
              " ended where the energy is not finite (an unadjusted step does not see a wall: take mala, or a "
              "change of variables that makes the support the whole space)"));
  } else if (stopped) {
    draws.status = SampleStatus::stopped;
  } else if (draws.drifting_chains > 0) {
    draws.status = SampleStatus::drifting;
    draws.failed_chains = draws.drifting_chains;
    tell(evidence,
         text(share_of(draws.drifting_chains, chains),
              together ? " travel, as far in the last quarter of their steps as in the one before"
                       : " travel farther than their noise explains, in the last quarter of their steps as in the one "
                         "before",
              " (start nearer, take more steps, or see whether the model is normalisable)"));
  }
  if (draws.bad_starts > 0)
    tell(evidence, text(share_of(draws.bad_starts, chains), " started where the energy is not finite"));
}

template <class T, AnyModel M, class Kernel>
void run(const M& model, const Kernel& kernel, const SampleOptions& options, Draws<T>& draws, Judging judging) {
  kernel.validate();
  options.validate();
  const auto bound = bind<T>(model);
  using Bound = std::remove_const_t<decltype(bound)>;
  constexpr bool adjusted = Kernel::adjusted, knows_energy = BoundEnergy<Bound, T>;
  constexpr bool langevin_like = requires { kernel.step, kernel.temperature; };
  const Stopwatch watch;
  const Index d = bound.dimension(), lanes = simd::width<simd::Lanes<T>>;
  options.validate_for(d);
  const ChainBlocks blocks(options.chains, lanes);
  const bool normal = options.start.standard_normal(), full = judging == Judging::full;
  const Eigen::MatrixXd start = normal ? Eigen::MatrixXd() : options.start.points(d, options.chains, options.seed);
  const Index total = options.burn_in + options.steps;
  const Index thin = options.thin > 0 ? options.thin : options.steps, all_kept = options.steps / thin;
  const WatchPlan plan(total);

  draws.chains = options.chains;
  draws.points.resize(d, options.chains * all_kept);
  draws.state.resize(d, options.chains);
  struct Block {
    Chains<T> chains;
    ChainWatch<T> watch;
    Index bad_starts = 0, outside = 0;
  };
  std::vector<Block> all(static_cast<std::size_t>(blocks.count));
  const auto copy_out = [&](Index b, Matrix<T>& to, Index column) {
    const Chains<T>& c = all[static_cast<std::size_t>(b)].chains;
    for (Index i = 0; i < blocks.size(b); ++i)
      for (Index j = 0; j < d; ++j) to(j, column + blocks.first(b) + i) = c.X(i, j);
  };
  const auto not_finite = [](const Vector<T>& f, Index count) {
    Index number = 0;
    for (Index i = 0; i < count; ++i) number += std::isfinite(f[i]) ? 0 : 1;
    return number;
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
    Block& block = all[static_cast<std::size_t>(b)];
    Chains<T>& c = block.chains;
    const Index count = blocks.size(b), rows = (count + lanes - 1) / lanes * lanes;
    if (normal) ChainStart::draw(blocks.first(b), count, d, options.seed, state.z);
    c.X.resize(rows, d);
    for (Index j = 0; j < d; ++j)
      for (Index i = 0; i < rows; ++i) {
        const Index chain = std::min(i, count - 1);
        c.X(i, j) = static_cast<T>(normal ? state.z(chain, j) : start(j, blocks.first(b) + chain));
      }
    c.S.resize(rows, d);
    c.accepted.setZero(rows);
    c.non_finite.setZero(rows);
    c.lost.setConstant(rows, false);
    if (full) block.watch.start(c, !adjusted && langevin_like);
    if constexpr (knows_energy) {
      const auto energies = [&] {
        if constexpr (adjusted)
          kernel.start(*state.target, c);
        else
          state.target->energy_and_score(c.X, c.f, c.S);
      };
      if (adjusted || full) {
        energies();
        if (normal) draw_again(c, c.f, blocks.first(b), count, options.seed, energies);
        block.bad_starts = not_finite(c.f, count);
      }
      if constexpr (requires { kernel.settle(*state.target, c); })
        if (normal) kernel.settle(*state.target, c);
    }
    if constexpr (!adjusted) kernel.start(*state.target, c);
  });

  // With progress, all chains advance together, some steps at a time: a stop finds them at the same step.
  const Index stride = options.progress ? std::clamp<Index>(total / 100, 1, 1000) : total;
  Index done = 0;
  bool stopped = false;
  while (done < total && !stopped) {
    const Index until = std::min(total, done + stride);
    evaluate::for_each_piece(blocks.count, states, prepare, [&](State& state, Index b) {
      Block& block = all[static_cast<std::size_t>(b)];
      Chains<T>& c = block.chains;
      for (Index t = done; t < until; ++t) {
        block.watch.before(t, plan, c);
        kernel.advance(*state.target, c,
                       ChainNoise{options.seed, options.first_step + static_cast<std::uint64_t>(t), blocks.first(b)});
        block.watch.after(t, plan, c);
        const Index kept = t + 1 - options.burn_in;
        if (kept > 0 && kept % thin == 0) copy_out(b, draws.points, (kept / thin - 1) * options.chains);
      }
    });
    done = until;
    if (!options.progress) continue;
    double moved = 0;
    for (const Block& block : all)
      for (Index i = 0; i < block.chains.accepted.size(); ++i)
        moved += block.chains.accepted[i] / static_cast<double>(block.chains.accepted.size());
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
  evaluate::for_each_piece(blocks.count, states, prepare, [&](State& state, Index b) {
    copy_out(b, draws.state, 0);
    Block& block = all[static_cast<std::size_t>(b)];
    if constexpr (knows_energy) {
      if (!adjusted && !full) return;
      if constexpr (!adjusted) state.target->energy_and_score(block.chains.X, block.chains.f, block.chains.S);
      block.outside = not_finite(block.chains.f, blocks.size(b));
    }
    (void)state;
    (void)block;
  });
  RunFindings all_found{.ways = Ways(d)};
  draws.next_step = options.first_step + static_cast<std::uint64_t>(done);
  draws.acceptance.resize(options.chains);
  for (Index b = 0; b < blocks.count; ++b) {
    const Block& block = all[static_cast<std::size_t>(b)];
    const Chains<T>& c = block.chains;
    Ways ways(d);
    draws.bad_starts += block.bad_starts;
    draws.outside_chains += block.outside;
    for (Index i = 0; i < blocks.size(b); ++i) {
      draws.acceptance[blocks.first(b) + i] = c.accepted[i] / static_cast<double>(done);
      draws.non_finite += static_cast<Index>(c.non_finite[i]);
      if (c.lost[i]) {
        // Beyond a wall, where no score leads on, is not out of all bounds: such a chain counts as one that ended
        // outside.
        bool beyond_wall = false;
        if constexpr (knows_energy && !adjusted)
          beyond_wall = full && !std::isfinite(c.f[i]) &&
                        static_cast<double>(c.X.row(i).cwiseAbs().maxCoeff()) <
                            std::pow(static_cast<double>(std::numeric_limits<T>::max()), 0.125);
        if (!beyond_wall) ++draws.lost_chains;
        continue;
      }
      if (adjusted) {
        if (c.accepted[i] == 0)
          ++draws.never_moved;
        else if (full && !stopped && !block.watch.moved_late(c, i))
          ++draws.came_to_rest;
      }
      if constexpr (langevin_like) {
        if (!full || stopped) continue;
        ChainFindings found;
        if constexpr (!adjusted) found.unstable = block.watch.unstable(i, kernel.step, kernel.temperature);
        if (plan.judges_travel()) block.watch.travel(c, i, plan, 2 * kernel.step * kernel.temperature, found, ways);
        all_found.unstable += found.unstable ? 1 : 0;
        all_found.growing += found.growing && !found.unstable ? 1 : 0;
        if (found.unstable || found.growing)
          ++draws.lost_chains;
        else if (found.travelling)
          ++draws.drifting_chains;
      }
    }
    all_found.ways.add(ways);
  }
  all_found.acceptance = draws.acceptance.mean();
  conclude(all_found, stopped, done, draws);
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
    if constexpr (possible) sampling::run(model, kernel, options, draws, sampling::Judging::full);
  }
  return draws;
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled.hpp"
#endif
