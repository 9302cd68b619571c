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

template <class T>
class SampleRun {
 public:
  SampleRun(const BoundModel<T>& bound, const BoundKernel<T>& kernel, const SampleOptions& options, Judging judging,
            Draws<T>& draws)
      : bound_(bound),
        kernel_(kernel),
        options_(options),
        draws_(draws),
        full_(judging == Judging::full),
        adjusted_(kernel.adjusted()),
        knows_energy_(bound.abilities().energy),
        langevin_(kernel.is_langevin()),
        normal_(options.start.standard_normal()),
        d_(bound.dimension()),
        total_(options.burn_in + options.steps),
        thin_(options.thin > 0 ? options.thin : options.steps),
        cut_(options.chains, simd::width<simd::Lanes<T>>),
        plan_(total_) {}

  void run() {
    options_.validate_for(d_);
    if (!normal_) start_ = options_.start.points(d_, options_.chains, options_.seed);
    draws_.chains = options_.chains;
    draws_.points.resize(d_, options_.chains * (options_.steps / thin_));
    draws_.state.resize(d_, options_.chains);
    blocks_.resize(static_cast<std::size_t>(cut_.count));
    for_each_block([&](State& state, Index b) { start(state, b); });
    advance_all();
    drop_unkept();
    for_each_block([&](State& state, Index b) { finish(state, b); });
    judge();
  }

 private:
  struct Block {
    Chains<T> chains;
    ChainWatch<T> watch;
    Index bad_starts = 0, outside = 0;
  };
  struct State {
    std::unique_ptr<ModelTarget<T>> target;
    Eigen::MatrixXd z;
  };

  template <class Work>
  void for_each_block(Work work) {
    evaluate::for_each_piece(
        cut_.count, states_,
        [&](State& state) {
          if (!state.target) state.target = std::make_unique<ModelTarget<T>>(bound_);
        },
        work);
  }

  static Index not_finite(const Vector<T>& f, Index count) {
    Index number = 0;
    for (Index i = 0; i < count; ++i) number += std::isfinite(f[i]) ? 0 : 1;
    return number;
  }

  void start(State& state, Index b) {
    Block& block = blocks_[static_cast<std::size_t>(b)];
    Chains<T>& c = block.chains;
    const Index first = cut_.first(b), count = cut_.size(b), rows = evaluate::padded_rows<T>(count);
    if (normal_) {
      ChainStart::draw(first, count, d_, options_.seed, state.z);
      evaluate::gather_columns(state.z.transpose(), 0, count, rows, c.X);
    } else {
      evaluate::gather_columns(start_, first, count, rows, c.X);
    }
    c.S.resize(rows, d_);
    c.reset_counts();
    if (full_) block.watch.start(c, !adjusted_ && langevin_);
    if (knows_energy_ && (adjusted_ || full_)) {
      energies(*state.target, c);
      if (normal_) draw_again(state, c, first, count);
      block.bad_starts = not_finite(c.f, count);
    }
    if (knows_energy_ && normal_) kernel_.settle(*state.target, c);
    if (!adjusted_) kernel_.start(*state.target, c);
  }

  void energies(ModelTarget<T>& target, Chains<T>& c) const {
    if (adjusted_)
      kernel_.start(target, c);
    else
      target.energy_and_score(c.X, c.f, c.S);
  }

  // Puts the starts of a block that have no finite energy elsewhere: N(0, I) once more.
  void draw_again(State& state, Chains<T>& c, Index first, Index count) const {
    constexpr std::uint64_t attempts = 64;
    for (std::uint64_t attempt = 1; attempt <= attempts && !c.f.head(count).allFinite(); ++attempt) {
      ChainStart::draw(first, count, d_, options_.seed, state.z, attempt);
      for (Index i = 0; i < c.X.rows(); ++i) {
        if (std::isfinite(c.f[i])) continue;
        for (Index j = 0; j < d_; ++j) c.X(i, j) = static_cast<T>(state.z(std::min(i, count - 1), j));
      }
      energies(*state.target, c);
    }
  }

  // With progress, all chains advance together, some steps at a time: a stop finds them at the same step.
  void advance_all() {
    const Stopwatch watch;
    const Index stride = options_.progress ? std::clamp<Index>(total_ / 100, 1, 1000) : total_;
    while (done_ < total_ && !stopped_) {
      const Index until = std::min(total_, done_ + stride);
      for_each_block([&](State& state, Index b) { advance(state, b, until); });
      done_ = until;
      if (options_.progress)
        stopped_ = !options_.progress({"sample", done_, total_, acceptance(), "acceptance", watch.seconds()}) &&
                   done_ < total_;
    }
  }

  void advance(State& state, Index b, Index until) {
    Block& block = blocks_[static_cast<std::size_t>(b)];
    Chains<T>& c = block.chains;
    for (Index t = done_; t < until; ++t) {
      block.watch.before(t, plan_, c);
      kernel_.advance(*state.target, c,
                      {options_.seed, options_.first_step + static_cast<std::uint64_t>(t), cut_.first(b)});
      block.watch.after(t, plan_, c);
      const Index kept = t + 1 - options_.burn_in;
      if (kept > 0 && kept % thin_ == 0)
        evaluate::scatter_rows(c.X, cut_.size(b), (kept / thin_ - 1) * options_.chains + cut_.first(b), draws_.points);
    }
  }

  double acceptance() const {
    double moved = 0;
    for (const Block& block : blocks_)
      for (Index i = 0; i < block.chains.accepted.size(); ++i)
        moved += block.chains.accepted[i] / static_cast<double>(block.chains.accepted.size());
    return moved / static_cast<double>(cut_.count * done_);
  }

  // Of a run that was stopped.
  void drop_unkept() {
    draws_.kept = std::max<Index>(0, done_ - options_.burn_in) / thin_;
    if (draws_.kept == options_.steps / thin_) return;
    Matrix<T> kept(d_, options_.chains * draws_.kept);
    std::copy_n(draws_.points.data(), kept.size(), kept.data());
    draws_.points.swap(kept);
  }

  void finish(State& state, Index b) {
    Block& block = blocks_[static_cast<std::size_t>(b)];
    evaluate::scatter_rows(block.chains.X, cut_.size(b), cut_.first(b), draws_.state);
    if (!knows_energy_ || (!adjusted_ && !full_)) return;
    if (!adjusted_) state.target->energy_and_score(block.chains.X, block.chains.f, block.chains.S);
    block.outside = not_finite(block.chains.f, cut_.size(b));
  }

  void judge() {
    RunFindings found{.ways = Ways(d_)};
    draws_.next_step = options_.first_step + static_cast<std::uint64_t>(done_);
    draws_.acceptance.resize(options_.chains);
    for (Index b = 0; b < cut_.count; ++b) {
      const Block& block = blocks_[static_cast<std::size_t>(b)];
      Ways ways(d_);
      draws_.bad_starts += block.bad_starts;
      draws_.outside_chains += block.outside;
      for (Index i = 0; i < cut_.size(b); ++i) {
        draws_.acceptance[cut_.first(b) + i] = block.chains.accepted[i] / static_cast<double>(done_);
        draws_.non_finite += static_cast<Index>(block.chains.non_finite[i]);
        judge_chain(block, i, found, ways);
      }
      found.ways.add(ways);
    }
    found.acceptance = draws_.acceptance.mean();
    conclude(found, stopped_, done_, draws_);
  }

  void judge_chain(const Block& block, Index i, RunFindings& found, Ways& ways) {
    const Chains<T>& c = block.chains;
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
  bool beyond_wall(const Chains<T>& c, Index i) const {
    if (!knows_energy_ || adjusted_ || !full_ || std::isfinite(c.f[i])) return false;
    return static_cast<double>(c.X.row(i).cwiseAbs().maxCoeff()) <
           std::pow(static_cast<double>(std::numeric_limits<T>::max()), 0.125);
  }

  const BoundModel<T>& bound_;
  const BoundKernel<T>& kernel_;
  const SampleOptions& options_;
  Draws<T>& draws_;
  bool full_, adjusted_, knows_energy_, langevin_, normal_;
  Index d_, total_, thin_, done_ = 0;
  ChainBlocks cut_;
  WatchPlan plan_;
  bool stopped_ = false;
  Eigen::MatrixXd start_;  ///< d × chains, unless it is N(0, I)
  std::vector<Block> blocks_;
  evaluate::PerThread<State> states_;
};

template <class T>
void run(const BoundModel<T>& bound, const BoundKernel<T>& kernel, const SampleOptions& options, Draws<T>& draws,
         Judging judging) {
  kernel.validate();
  options.validate();
  SampleRun<T>(bound, kernel, options, judging, draws).run();
}

}  // namespace scorematch::sampling
