// One run of many chains of a kernel, side by side: an ordinary class, compiled once a scalar.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "scorematch/evaluate/padded_block.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/sampler/chain_blocks.hpp"
#include "scorematch/sampler/chain_verdict.hpp"
#include "scorematch/sampler/draws.hpp"
#include "scorematch/sampler/transition_kernel.hpp"

namespace scorematch::sampling {

/// Whether a run is judged as a whole, or is one of many short ones whose caller judges them together.
enum class Judging { full, of_moves };

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
    if (left > 0) tell(evidence, detail::text(share_of(left, chains), " left the finite numbers", smaller));
    if (found.unstable > 0)
      tell(evidence, detail::text(share_of(found.unstable, chains),
                                  " grow without bound: their step is beyond 2/curvature", smaller));
    if (found.growing > 0)
      tell(evidence,
           detail::text(share_of(found.growing, chains),
                        " run away ever faster: the density grows without bound in their direction (is the model "
                        "normalisable, and the sign of its score right?)"));
  } else if (never || rests) {
    draws.status = SampleStatus::stuck;
    draws.failed_chains = (never ? draws.never_moved : 0) + (rests ? draws.came_to_rest : 0);
    if (never)
      tell(evidence,
           detail::text(share_of(draws.never_moved, chains),
                        " never moved, for no proposal of theirs was accepted (take a smaller step, or starts of your "
                        "own where the density is not negligible)"));
    if (rests)
      tell(evidence, detail::text(share_of(draws.came_to_rest, chains),
                                  " have not moved over the second half of their steps", smaller));
  } else if (draws.outside_chains > 0) {
    draws.status = SampleStatus::outside;
    draws.failed_chains = draws.outside_chains;
    tell(evidence,
         detail::text(share_of(draws.outside_chains, chains),
                      " ended where the energy is not finite (an unadjusted step does not see a wall: take mala, or a "
                      "change of variables that makes the support the whole space)"));
  } else if (stopped) {
    draws.status = SampleStatus::stopped;
  } else if (draws.drifting_chains > 0) {
    draws.status = SampleStatus::drifting;
    draws.failed_chains = draws.drifting_chains;
    tell(evidence,
         detail::text(
             share_of(draws.drifting_chains, chains),
             together ? " travel, as far in the last quarter of their steps as in the one before"
                      : " travel farther than their noise explains, in the last quarter of their steps as in the one "
                        "before",
             " (start nearer, take more steps, or see whether the model is normalisable)"));
  }
  if (draws.bad_starts > 0)
    tell(evidence, detail::text(share_of(draws.bad_starts, chains), " started where the energy is not finite"));
}

template <class T>
class SampleRun {
 public:
  SampleRun(const extend::BoundModel<T>& bound, const BoundKernel<T>& kernel, const SampleOptions& options,
            Judging judging, Draws<T>& draws)
      : kernel_(kernel),
        options_(options),
        draws_(draws),
        full_(judging == Judging::full),
        adjusted_(kernel.adjusted()),
        knows_energy_(bound.abilities().energy),
        langevin_(kernel.is_langevin()),
        d_(bound.dimension()),
        total_(options.burn_in + options.steps),
        thin_(options.thin > 0 ? options.thin : options.steps),
        start_(options.start, d_, options.chains, options.seed, "SampleOptions: start"),
        blocks_(options.chains, [&bound] { return std::make_unique<detail::ModelTarget<T>>(bound); }),
        plan_(total_) {}

  void run() {
    draws_.chains = options_.chains;
    draws_.points.resize(d_, options_.chains * (options_.steps / thin_));
    draws_.state.resize(d_, options_.chains);
    blocks_.each([&](detail::ModelTarget<T>& target, Index b) { start(target, b); });
    const detail::Stopwatch watch;
    stopped_ = in_strides(
        total_, options_.progress,
        [&](Index from, Index until) {
          blocks_.each([&](detail::ModelTarget<T>& target, Index b) { advance(target, b, from, until); });
          done_ = until;
        },
        [&](Index done) {
          return options_.progress({"sample", done, total_, acceptance(), "acceptance", watch.seconds()});
        });
    drop_unkept();
    blocks_.each([&](detail::ModelTarget<T>& target, Index b) { finish(target, b); });
    judge();
  }

 private:
  struct Block {
    extend::Chains<T> chains;
    ChainWatch<T> watch;
    Index bad_starts = 0, outside = 0;
  };

  static Index not_finite(const Vector<T>& f, Index count) {
    Index number = 0;
    for (Index i = 0; i < count; ++i) number += std::isfinite(f[i]) ? 0 : 1;
    return number;
  }

  void start(detail::ModelTarget<T>& target, Index b) {
    Block& block = blocks_[b];
    extend::Chains<T>& c = block.chains;
    const Index first = blocks_.cut().first(b), count = blocks_.cut().size(b);
    start_.gather(first, count, c.X);
    c.S.resize(c.X.rows(), d_);
    c.reset_counts();
    if (full_) block.watch.start(c, !adjusted_ && langevin_);
    if (knows_energy_ && (adjusted_ || full_)) {
      energies(target, c);
      if (start_.normal()) draw_again(target, c, first, count);
      block.bad_starts = not_finite(c.f, count);
    }
    if (knows_energy_ && start_.normal()) kernel_.settle(target, c);
    if (!adjusted_) kernel_.start(target, c);
  }

  void energies(detail::ModelTarget<T>& target, extend::Chains<T>& c) const {
    if (adjusted_)
      kernel_.start(target, c);
    else
      target.energy_and_score(c.X, c.f, c.S);
  }

  // Puts the starts of a block that have no finite energy elsewhere: N(0, I) once more.
  void draw_again(detail::ModelTarget<T>& target, extend::Chains<T>& c, Index first, Index count) const {
    constexpr std::uint64_t attempts = 64;
    Matrix<T> other;
    for (std::uint64_t attempt = 1; attempt <= attempts && !c.f.head(count).allFinite(); ++attempt) {
      start_.gather(first, count, other, attempt);
      for (Index i = 0; i < c.X.rows(); ++i)
        if (!std::isfinite(c.f[i])) c.X.row(i) = other.row(i);
      energies(target, c);
    }
  }

  void advance(detail::ModelTarget<T>& target, Index b, Index from, Index until) {
    Block& block = blocks_[b];
    extend::Chains<T>& c = block.chains;
    const Index first = blocks_.cut().first(b), count = blocks_.cut().size(b);
    for (Index t = from; t < until; ++t) {
      block.watch.before(t, plan_, c);
      kernel_.advance(target, c, {options_.seed, options_.first_step + static_cast<std::uint64_t>(t), first});
      block.watch.after(t, plan_, c);
      const Index kept = t + 1 - options_.burn_in;
      if (kept > 0 && kept % thin_ == 0)
        evaluate::scatter_rows(c.X, count, (kept / thin_ - 1) * options_.chains + first, draws_.points);
    }
  }

  double acceptance() const {
    double moved = 0;
    for (Index b = 0; b < blocks_.cut().count; ++b) {
      const Vector<double>& accepted = blocks_[b].chains.accepted;
      for (Index i = 0; i < accepted.size(); ++i) moved += accepted[i] / static_cast<double>(accepted.size());
    }
    return moved / static_cast<double>(blocks_.cut().count * done_);
  }

  // Of a run that was stopped.
  void drop_unkept() {
    draws_.kept = std::max<Index>(0, done_ - options_.burn_in) / thin_;
    if (draws_.kept == options_.steps / thin_) return;
    Matrix<T> kept(d_, options_.chains * draws_.kept);
    std::copy_n(draws_.points.data(), kept.size(), kept.data());
    draws_.points.swap(kept);
  }

  void finish(detail::ModelTarget<T>& target, Index b) {
    Block& block = blocks_[b];
    evaluate::scatter_rows(block.chains.X, blocks_.cut().size(b), blocks_.cut().first(b), draws_.state);
    if (!knows_energy_ || (!adjusted_ && !full_)) return;
    if (!adjusted_) target.energy_and_score(block.chains.X, block.chains.f, block.chains.S);
    block.outside = not_finite(block.chains.f, blocks_.cut().size(b));
  }

  void judge() {
    RunFindings found{.ways = Ways(d_)};
    draws_.next_step = options_.first_step + static_cast<std::uint64_t>(done_);
    draws_.acceptance.resize(options_.chains);
    const ChainBlocks& cut = blocks_.cut();
    for (Index b = 0; b < cut.count; ++b) {
      const Block& block = blocks_[b];
      Ways ways(d_);
      draws_.bad_starts += block.bad_starts;
      draws_.outside_chains += block.outside;
      for (Index i = 0; i < cut.size(b); ++i) {
        draws_.acceptance[cut.first(b) + i] = block.chains.accepted[i] / static_cast<double>(done_);
        draws_.non_finite += static_cast<Index>(block.chains.non_finite[i]);
        judge_chain(block, i, found, ways);
      }
      found.ways.add(ways);
    }
    found.acceptance = draws_.acceptance.mean();
    conclude(found, stopped_, done_, draws_);
  }

  void judge_chain(const Block& block, Index i, RunFindings& found, Ways& ways) {
    const extend::Chains<T>& c = block.chains;
    if (c.lost[i]) {
      if (!beyond_wall(c, i)) ++draws_.lost_chains;
      return;
    }
    if (adjusted_ && c.accepted[i] == 0)
      ++draws_.never_moved;
    else if (adjusted_ && full_ && !stopped_ && !block.watch.moved_late(c, i))
      ++draws_.came_to_rest;
    if (!langevin_ || !full_ || stopped_) return;
    ChainFindings chain;
    if (!adjusted_) chain.unstable = block.watch.unstable(i, kernel_.step(), kernel_.temperature());
    if (plan_.judges_travel()) block.watch.travel(c, i, plan_, 2 * kernel_.step() * kernel_.temperature(), chain, ways);
    found.unstable += chain.unstable ? 1 : 0;
    found.growing += chain.growing && !chain.unstable ? 1 : 0;
    if (chain.unstable || chain.growing)
      ++draws_.lost_chains;
    else if (chain.travelling)
      ++draws_.drifting_chains;
  }

  // Beyond a wall, where no score leads on, is not out of all bounds: such a chain counts as one that ended outside.
  bool beyond_wall(const extend::Chains<T>& c, Index i) const {
    if (!knows_energy_ || adjusted_ || !full_ || std::isfinite(c.f[i])) return false;
    return static_cast<double>(c.X.row(i).cwiseAbs().maxCoeff()) <
           std::pow(static_cast<double>(std::numeric_limits<T>::max()), 0.125);
  }

  const BoundKernel<T>& kernel_;
  const SampleOptions& options_;
  Draws<T>& draws_;
  bool full_, adjusted_, knows_energy_, langevin_;
  Index d_, total_, thin_, done_ = 0;
  StartPoints start_;
  ChainLoop<T, detail::ModelTarget<T>, Block> blocks_;
  WatchPlan plan_;
  bool stopped_ = false;
};

template <class T>
void run(const extend::BoundModel<T>& bound, const BoundKernel<T>& kernel, const SampleOptions& options,
         Draws<T>& draws, Judging judging) {
  kernel.validate();
  options.validate();
  options.validate_for(bound.dimension());
  SampleRun<T>(bound, kernel, options, judging, draws).run();
}

}  // namespace scorematch::sampling
