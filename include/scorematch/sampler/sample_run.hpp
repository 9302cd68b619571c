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
#include "scorematch/sampler/adaptation.hpp"
#include "scorematch/sampler/chain_blocks.hpp"
#include "scorematch/sampler/chain_looks.hpp"
#include "scorematch/sampler/chain_verdict.hpp"
#include "scorematch/sampler/draws.hpp"
#include "scorematch/sampler/metric.hpp"
#include "scorematch/sampler/transition_kernel.hpp"

namespace scorematch::sampling {

/// Whether a run is judged as a whole, or is one of many short ones whose caller judges them together, and has seen to
/// it that ranks agree.
enum class Judging { full, of_moves };

/// What was counted over the chains of a run, each chain once.
struct RunFindings {
  Index unstable = 0, growing = 0;
  double acceptance = 0;  ///< the mean
  Ways ways;
  LooksFindings looks;
  Index first_bad_start = -1;
  bool judged = false;   ///< as a whole
  bool adjusted = true;  ///< a Metropolis kernel's
  bool walls = false;    ///< one proposal of 100 was not finite: Stein's identities need not hold
};

/// The status of chains that took all their steps, each by itself without a fault.
template <class T>
void conclude_by_looks(const RunFindings& found, double max_r_hat, Draws<T>& draws) {
  const LooksFindings& looks = found.looks;
  std::string& evidence = draws.evidence;
  const auto name = [&](Index j) {
    return j < draws.state.rows() ? detail::text("x[", j, "]") : std::string("the energy");
  };
  const auto percent = [](double share) { return std::round(1000 * std::abs(share)) / 10; };
  if (looks.remembering > max_r_hat)
    tell(evidence,
         detail::text("the chains differ: split R-hat of ", name(looks.remembering_at), " is ", looks.remembering,
                      looks.remembering_at < draws.state.rows()
                          ? " (take more steps, a longer burn-in, or, where chains are in different modes, a "
                            "kernel that goes between them)"
                          : " (take more steps; heavy tails and narrow necks are crossed slowly, and are "
                            "better written in other coordinates)"));
  if (looks.drift_at >= 0)
    tell(evidence, detail::text("the chains still move together: the mean of ", name(looks.drift_at), " went ",
                                std::abs(looks.drift),
                                " deviations from the first half of the run to the second "
                                "(take a longer burn-in)"));
  if (found.judged && std::isnan(looks.r_hat))
    tell(evidence, detail::text("too few steps to tell whether the chains have converged (take at least ",
                                LookPlan::fewest, " after the burn-in)"));
  draws.status = evidence.empty() ? SampleStatus::complete : SampleStatus::not_converged;
  if (found.walls || (looks.shift_at < 0 && looks.squeeze_at < 0)) return;
  const bool step = !found.adjusted && evidence.empty();
  if (looks.shift_at >= 0)
    tell(evidence, detail::text("the score of x[", looks.shift_at,
                                "] has a mean that is not 0: for a normal law the "
                                "draws' mean would be ",
                                std::abs(looks.shift), " deviations off"));
  if (looks.squeeze_at >= 0)
    tell(evidence, detail::text("by the scores, x[", looks.squeeze_at, "] has a variance that is too ",
                                looks.squeeze > 0 ? "small" : "large", " by ", percent(looks.squeeze), " %"));
  evidence += step ? " (take a smaller step, or a Metropolis kernel)"
                   : " (the chains are not where the model's mass is: start nearer, or take more steps; or the model's "
                     "gradient is not its energy's)";
  draws.status = step ? SampleStatus::biased : SampleStatus::not_converged;
}

/// Chooses the status, and says why; `steps` were done.
template <class T>
void conclude(const RunFindings& found, bool stopped, Index steps, double max_r_hat, Draws<T>& draws) {
  const Index late = steps - steps / 2, chains = draws.chains;
  const bool never = steps > 0 && draws.never_moved > 0 &&
                     (draws.never_moved == chains || !rests_by_chance(found.acceptance, steps, chains)),
             rests =
                 steps > 0 && draws.came_to_rest > 0 && !stopped && !rests_by_chance(found.acceptance, late, chains);
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
  } else {
    conclude_by_looks(found, max_r_hat, draws);
  }
  if (draws.bad_starts > 0)
    tell(evidence, detail::text(share_of(draws.bad_starts, chains),
                                " started where the energy is not finite, the first is chain ", found.first_bad_start));
}

/// What decides how chains go on.
template <class T>
struct RunState {
  BoundKernel<T> kernel;
  Index chains = 0, dimension = 0;
  std::uint64_t seed = 0, next_step = 0;
  Metric metric;
  std::vector<extend::Chains<T>> blocks;  // X in the metric's coordinates, S, f, lost, own; of other ranks, nothing
  int rank = 0, ranks = 1;
};

/// A thread's target: the model, in the coordinates of the metric where there is one.
template <class T>
class RunTarget {
 public:
  explicit RunTarget(const extend::BoundModel<T>& bound) : model_(bound) {}

  /// Goes over to the metric of this version, if it is not there yet.
  void follow(const Metric& metric, int version) {
    if (version == version_) return;
    map_ = MetricMap<T>(metric);
    version_ = version;
  }
  extend::Target<T>& get() {
    if (map_.is_identity()) return model_;
    return in_metric_;
  }
  const MetricMap<T>& map() const { return map_; }
  detail::ModelTarget<T>& model() { return model_; }

 private:
  detail::ModelTarget<T> model_;
  MetricMap<T> map_;
  int version_ = -1;
  MetricTarget<T> in_metric_{model_, map_};
};

template <class T>
class SampleRun {
 public:
  SampleRun(const extend::BoundModel<T>& bound, const BoundKernel<T>& kernel, const SampleOptions& options,
            Judging judging, Draws<T>& draws, const RunState<T>* resumed = nullptr)
      : kernel_(kernel),
        options_(options),
        draws_(draws),
        resumed_(resumed),
        full_(judging == Judging::full),
        adjusted_(kernel.adjusted()),
        knows_energy_(bound.abilities().energy),
        langevin_(kernel.is_langevin()),
        d_(bound.dimension()),
        warm_up_(options.warm_up_steps()),
        total_(options.burn_in + options.steps),
        thin_(options.thin > 0 ? options.thin : options.steps),
        start_(options.start, d_, options.chains, options.seed, "SampleOptions: start"),
        metric_(options.metric),
        blocks_(
            options.chains, [&bound] { return std::make_unique<RunTarget<T>>(bound); }, options.communicator),
        plan_(total_),
        looks_(look_plan(options)),
        centre_(Eigen::VectorXd::Zero(d_)) {}

  void run() {
    draws_.chains = options_.chains;
    draws_.points.resize(d_, options_.chains * (options_.steps / thin_));
    draws_.state.resize(d_, options_.chains);
    if (knows_energies()) draws_.energies.resize(draws_.points.cols());
    each([&](RunTarget<T>& target, Index b) { start(target, b); });
    const detail::Stopwatch watch;
    stopped_ = !warm_up(watch);
    const bool ready = !stopped_;
    if (stopped_) total_ = 0;
    each([&](RunTarget<T>& target, Index b) { begin(target, b); });
    share_centre();
    if (!stopped_)
      stopped_ = in_strides(
          total_, options_.progress,
          [&](Index from, Index until) {
            each([&](RunTarget<T>& target, Index b) { advance(target, b, from, until); });
            done_ = until;
          },
          [&](Index done) {
            blocks_.exchange([&](ranks::Parcel& parcel, Index b) { parcel(blocks_[b].chains.accepted); });
            return options_.progress({"sample", done, total_, acceptance(), "acceptance", watch.seconds()});
          });
    drop_unkept();
    each([&](RunTarget<T>& target, Index b) { finish(target, b); });
    share_draws();
    judge();
    if (full_)
      draws_.resume_point =
          ready ? resume_point() : ResumePoint::of<RunState<T>>(nullptr, "its run was stopped in the warm-up");
  }

 private:
  using Target = extend::Target<T>;

  struct Block {
    extend::Chains<T> chains;  ///< in the metric's coordinates
    ChainWatch<T> watch;
    ChainLooks looks;
    Matrix<T> X, S;              ///< scratch: states and scores in the model's own coordinates
    Matrix<T> look_Y, S_y;       ///< scratch: the chains before a step that is looked at, and their scores
    Vector<double> accepted;     ///< when the present window of the warm-up began
    Vector<double> probability;  ///< of each chain to accept, over its last steps of the warm-up
    double sum = 0;              ///< over its chains, of what all blocks are asked for
    Ways ways = Ways(0);
    Index bad_starts = 0, first_bad_start = -1, outside = 0;
    std::uint64_t evaluations = 0;
  };

  // work(target, b) for every block, on all threads: each thread's target follows the metric, which a warm-up changes.
  template <class Work>
  void each(Work work) {
    blocks_.each([&](RunTarget<T>& target, Index b) {
      target.follow(metric_, version_);
      work(target, b);
    });
  }

  // Takes the chains, which the run no longer needs.
  ResumePoint resume_point() {
    auto state = std::make_shared<RunState<T>>(RunState<T>{kernel_,
                                                           options_.chains,
                                                           d_,
                                                           options_.seed,
                                                           draws_.next_step,
                                                           metric_,
                                                           {},
                                                           blocks_.ranks().rank(),
                                                           blocks_.ranks().size()});
    for (Index b = 0; b < blocks_.cut().count; ++b) {
      extend::Chains<T>&from = blocks_[b].chains, &to = state->blocks.emplace_back();
      to.X.swap(from.X);
      to.S.swap(from.S);
      to.f.swap(from.f);
      to.lost.swap(from.lost);
      to.any_lost = from.any_lost;
      to.own = std::move(from.own);
    }
    return ResumePoint::of<RunState<T>>(std::move(state));
  }

  static Index not_finite(const Vector<T>& f, Index count) {
    Index number = 0;
    for (Index i = 0; i < count; ++i) number += std::isfinite(f[i]) ? 0 : 1;
    return number;
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Starts
  // -------------------------------------------------------------------------------------------------------------------

  void start(RunTarget<T>& target, Index b) {
    Block& block = blocks_[b];
    extend::Chains<T>& c = block.chains;
    if (resumed_) {
      c = resumed_->blocks[static_cast<std::size_t>(b)];
      c.reset_counts_of_steps();
      require_same_model(target, block);
      if (looks_.count > 0) remember_start(target, block);
      return;
    }
    const Index first = blocks_.cut().first(b), count = blocks_.cut().size(b);
    gather(target, first, count, c.X);
    c.S.resize(c.X.rows(), d_);
    c.reset_counts();
    if (knows_energy_ && (adjusted_ || full_)) {
      energies(target.get(), c);
      if (start_.normal()) draw_again(target, c, first, count);
      block.bad_starts = not_finite(c.f, count);
      for (Index i = count - 1; i >= 0; --i)
        if (!std::isfinite(c.f[i])) block.first_bad_start = first + i;
    }
    if (knows_energy_ && start_.normal() && warm_up_ == 0) kernel_.settle(target.get(), c);
    if (!adjusted_) kernel_.start(target.get(), c);
    if (full_ && looks_.count > 0) remember_start(target, block);
  }

  // Scores, and energies, that the chains brought along are this model's, up to rounding.
  void require_same_model(RunTarget<T>& target, Block& block) const {
    if (!kernel_.keeps_score()) return;
    extend::Chains<T>& c = block.chains;
    if (adjusted_)
      target.get().energy_and_score(c.X, c.proposal_f, c.proposal_S);
    else
      c.proposal_S = target.get().score(c.X);
    const double rounding = std::sqrt(static_cast<double>(std::numeric_limits<T>::epsilon()));
    bool same = true;
    for (Index i = 0; i < c.X.rows(); ++i) {
      const auto differ = [&](double a, double b) { return std::abs(a - b) > rounding * (1 + std::abs(a)); };
      if (c.lost[i]) continue;
      for (Index j = 0; j < d_; ++j) same = same && !differ(c.S(i, j), c.proposal_S(i, j));
      if (adjusted_) same = same && !differ(c.f[i], c.proposal_f[i]);
    }
    extend::require(same, {"SampleOptions: resume is of another model: its chains have other energies or scores here "
                           "(with other parameters begin anew, from .start = draws.state)"});
  }

  void remember_start(RunTarget<T>& target, Block& block) const {
    block.looks.start = to_model(target, block.chains.X, block.X).template cast<double>();
    if (knows_energies()) block.looks.start_energy = block.chains.f.template cast<double>();
  }

  void gather(RunTarget<T>& target, Index first, Index count, Matrix<T>& Y, std::uint64_t attempt = 0) const {
    start_.gather(first, count, Y, attempt);
    if (target.map().is_identity()) return;
    const Matrix<T> X = Y;
    target.map().to_y(X, Y);
  }

  void energies(Target& target, extend::Chains<T>& c) const {
    if (adjusted_)
      kernel_.start(target, c);
    else
      target.energy_and_score(c.X, c.f, c.S);
  }

  // Puts the starts of a block that have no finite energy elsewhere: N(0, I) once more.
  void draw_again(RunTarget<T>& target, extend::Chains<T>& c, Index first, Index count) const {
    constexpr std::uint64_t attempts = 64;
    Matrix<T> other;
    for (std::uint64_t attempt = 1; attempt <= attempts && !c.f.head(count).allFinite(); ++attempt) {
      gather(target, first, count, other, attempt);
      for (Index i = 0; i < c.X.rows(); ++i)
        if (!std::isfinite(c.f[i])) c.X.row(i) = other.row(i);
      energies(target.get(), c);
    }
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Warm-up
  // -------------------------------------------------------------------------------------------------------------------

  // Where the last states alone are kept, the way there does not matter: the last quarter of the steps is looked at.
  static LookPlan look_plan(const SampleOptions& options) {
    if (options.thin > 0) return LookPlan(options.burn_in, options.steps, options.chains);
    const Index last = std::max(options.steps / 4, std::min<Index>(options.steps, LookPlan::fewest));
    return LookPlan(options.burn_in + options.steps - last, last, options.chains);
  }

  // Whether it was done; false: the progress callback stopped it.
  bool warm_up(const detail::Stopwatch& watch) {
    if (warm_up_ == 0) return true;
    const bool by_error = kernel_.has_step() && kernel_.target_error() > 0;
    const bool finds_step = by_error || (kernel_.has_step() && !std::isnan(kernel_.target_acceptance()));
    StepSearch search(kernel_.step(), kernel_.target_acceptance());
    const std::vector<Index> ends = window_ends(warm_up_);
    Window window(std::max({Index{1000}, std::min<Index>(10 * d_, 4000), 4 * d_}), d_);
    starts_into(window);
    if (window.count > 1) learn(window, search);
    descend(window, search);
    std::size_t next = 0;
    const Index stride = std::clamp<Index>(warm_up_ / 100, 1, 1000);
    for (Index t = 0, begin = 0; t < warm_up_; ++t) {
      each([&](RunTarget<T>& target, Index b) {
        extend::Chains<T>& c = blocks_[b].chains;
        c.measure = finds_step;
        kernel_.advance(target.get(), c, noise(t, b));
      });
      if (by_error)
        kernel_.set_step(search.next_by_error(mean_squared_error()));
      else if (finds_step)
        kernel_.set_step(search.next(mean_probability()));
      if (by_error) restart_lost();
      if (finds_step) set_length();
      if (next < ends.size()) {
        const Index length = ends[next] - begin;
        if (t + 1 > begin + length / 2) {
          refresh_scores();
          collect(window, length - length / 2, t);
        }
        if (t + 1 == ends[next]) {
          restart_frozen(t + 1 - begin);
          share_for_kernel();
          kernel_.learn(all_chains());
          learn(window, search);
          begin = ends[next++];
        }
      }
      if (options_.progress && (t + 1) % stride == 0 &&
          !options_.progress(
              {"warm up", t + 1, warm_up_, kernel_.has_step() ? kernel_.step() : 0, "step", watch.seconds()}))
        return false;
    }
    if (finds_step) kernel_.set_step(search.found());
    set_length();
    return true;
  }

  // Chains that are far from the mass go down the energy first, in the metric's coordinates, where a step of length 1
  // against the gradient leads a normal law to its mean; the metric is learned anew now and then. There the score of a
  // typical state has ‖s‖² near d: a chain whose score is shorter than twice as long stays where it is. Of a model
  // without an energy ‖s‖² falls in its place.
  void descend(Window& window, StepSearch& search) {
    if (!kernel_.keeps_score()) return;
    for (int round = 0; round < 20; ++round) {
      std::vector<char> moved(static_cast<std::size_t>(blocks_.cut().count), 0);
      each([&](RunTarget<T>& target, Index b) {
        moved[static_cast<std::size_t>(b)] = go_down(target.get(), blocks_[b].chains) ? 1 : 0;
      });
      if (!ranks::any(blocks_.ranks(), std::count(moved.begin(), moved.end(), 1) > 0)) return;
      collect(window, 1);
      if (window.count > 1) learn(window, search);
    }
  }

  // Some steps of a block; whether a chain that is far went on.
  bool go_down(Target& target, extend::Chains<T>& c) const {
    const Index B = c.X.rows();
    const double near = 4 * static_cast<double>(d_);
    Vector<double> length = Vector<double>::Ones(B);
    bool any = false;
    for (int step = 0; step < 20; ++step) {
      bool far = false;
      c.proposal = c.X;
      for (Index i = 0; i < B; ++i) {
        const double norm = c.S.row(i).template cast<double>().squaredNorm();
        if (!(norm > near) || !std::isfinite(norm)) length[i] = 0;
        far = far || length[i] > 0;
        c.proposal.row(i) += static_cast<T>(length[i]) * c.S.row(i);
      }
      if (!far) break;
      if (adjusted_)
        target.energy_and_score(c.proposal, c.proposal_f, c.proposal_S);
      else
        c.proposal_S = target.score(c.proposal);
      for (Index i = 0; i < B; ++i) {
        if (length[i] == 0) continue;
        const bool falls =
            adjusted_ ? c.proposal_f[i] < c.f[i] : c.proposal_S.row(i).squaredNorm() < c.S.row(i).squaredNorm();
        if (!falls || !c.proposal_S.row(i).allFinite()) {
          length[i] /= 8;
          continue;
        }
        c.X.row(i) = c.proposal.row(i);
        c.S.row(i) = c.proposal_S.row(i);
        if (adjusted_) c.f[i] = c.proposal_f[i];
        length[i] = std::min(1.0, 2 * length[i]);
        any = true;
      }
    }
    return any;
  }

  extend::ChainNoise noise(Index t, Index b) const {
    return {options_.seed, options_.first_step + static_cast<std::uint64_t>(t), blocks_.cut().first(b)};
  }

  // Trajectories spread up to 2.8 deviations of the widest direction.
  void set_length() {
    if (kernel_.leapfrogs() == 0) return;
    const double wanted = std::ceil(2.8 * widest_ / kernel_.step());
    kernel_.set_leapfrogs(static_cast<Index>(std::clamp(wanted, 1.0, 1000.0)));
  }

  // The harmonic mean over the chains of the probabilities to accept; what is below a hundredth counts as that. Of
  // kernels without trajectories, whose acceptance differs much from step to step, over their last ten steps or so.
  double mean_probability() {
    for (Index b = blocks_.first_own(); b < blocks_.end_own(); ++b) {
      Block& block = blocks_[b];
      const Vector<double>& now = block.chains.probability;
      if (block.probability.size() != now.size())
        block.probability = now;
      else
        block.probability += (kernel_.leapfrogs() > 0 ? 1 : 0.1) * (now - block.probability);
      block.sum = block.probability.head(blocks_.cut().size(b)).array().max(0.01).inverse().sum();
    }
    return static_cast<double>(options_.chains) / sum_of_blocks();
  }

  // Of what each rank found for its own blocks.
  double sum_of_blocks() {
    blocks_.exchange([&](ranks::Parcel& parcel, Index b) { parcel(blocks_[b].sum); });
    double sum = 0;
    for (Index b = 0; b < blocks_.cut().count; ++b) sum += blocks_[b].sum;
    return sum;
  }

  // Of the last step, over all chains, in units of the error wanted; a chain counts for at most 1000, so that no few
  // chains far out rule the step.
  double mean_squared_error() {
    blocks_.exchange([&](ranks::Parcel& parcel, Index b) { parcel(blocks_[b].chains.squared_error); });
    double sum = 0;
    for (Index b = 0; b < blocks_.cut().count; ++b)
      for (Index i = 0; i < blocks_.cut().size(b); ++i) {
        const double multiple = blocks_[b].chains.squared_error[i] / kernel_.target_error();
        sum += multiple < 1000 ? multiple : 1000;  // so does NaN
      }
    return sum / static_cast<double>(options_.chains);
  }

  // Chains that left the finite numbers in the warm-up, or the mass, by a step that was too large, go where another
  // chain is. They are the few whose energy errors are a thousand times those wanted.
  void restart_lost() {
    const auto astray = [&](const extend::Chains<T>& c, Index i) {
      return c.lost[i] || !(c.squared_error[i] < 1e6 * kernel_.target_error());
    };
    for (Index b = blocks_.first_own(); b < blocks_.end_own(); ++b) {
      extend::Chains<T>& c = blocks_[b].chains;
      Index other = 0, number = 0;
      for (Index i = 0; i < c.X.rows(); ++i) number += astray(c, i) ? 1 : 0;
      if (number == 0 || (5 * number > c.X.rows() && !c.any_lost)) continue;
      while (other < c.X.rows() && astray(c, other)) ++other;
      if (other == c.X.rows()) continue;
      for (Index i = 0; i < c.X.rows(); ++i) {
        if (!astray(c, i)) continue;
        c.X.row(i) = c.X.row(other);
        c.S.row(i) = c.S.row(other);
        c.lost[i] = false;
        if (i < blocks_.cut().size(b)) ++draws_.restarted;
      }
      c.any_lost = false;
    }
  }

  // What the kernel itself learns from.
  void share_for_kernel() {
    if (kernel_.shares_what_it_learns_from())
      blocks_.exchange([&](ranks::Parcel& parcel, Index b) { kernel_.share(parcel, blocks_[b].chains); });
  }

  std::vector<extend::Chains<T>*> all_chains() {
    std::vector<extend::Chains<T>*> all;
    for (Index b = 0; b < blocks_.cut().count; ++b) all.push_back(&blocks_[b].chains);
    return all;
  }

  // Fills a window with chains of the present step, spread over the chains, so that `steps` such calls fill it. Two
  // groups of chains; of one chain, stretches of eight steps in turn.
  void collect(Window& window, Index steps, Index t = 0) {
    struct Chosen {
      Index block, row;
      bool second_group;
    };
    std::vector<Chosen> chosen;
    const Index wanted = std::min(options_.chains, (window.X.rows() + steps - 1) / steps);
    for (Index k = 0; k < wanted; ++k) {
      const Index chain = (k * options_.chains / wanted + t) % options_.chains, b = blocks_.block_of(chain);
      const Index group = wanted > 1 ? chain * wanted / options_.chains : t / 8;
      chosen.push_back({b, chain - blocks_.cut().first(b), group % 2 == 1});
    }
    if (blocks_.ranks().alone()) {
      for (const Chosen& one : chosen) {
        const extend::Chains<T>& c = blocks_[one.block].chains;
        if (!c.lost[one.row]) window.add(c.X, c.S, one.row, one.second_group);
      }
      return;
    }
    Matrix<T> X(wanted, d_), S(wanted, d_);
    std::vector<char> lost(chosen.size());
    ranks::exchange(blocks_.ranks(), [&](ranks::Parcel& parcel, int rank) {
      for (std::size_t k = 0; k < chosen.size(); ++k) {
        if (!blocks_.owns(chosen[k].block, rank)) continue;
        const extend::Chains<T>& c = blocks_[chosen[k].block].chains;
        const Index row = static_cast<Index>(k);
        if (parcel.packing) {
          lost[k] = c.lost[chosen[k].row] ? 1 : 0;
          X.row(row) = c.X.row(chosen[k].row);
          S.row(row) = c.S.row(chosen[k].row);
        }
        parcel(lost[k]);
        for (Index j = 0; j < d_; ++j) parcel(X(row, j), S(row, j));
      }
    });
    for (std::size_t k = 0; k < chosen.size(); ++k)
      if (lost[k] == 0) window.add(X, S, static_cast<Index>(k), chosen[k].second_group);
  }

  // Kernels that keep no score have the one of another state in S, or none.
  void refresh_scores() {
    if (kernel_.keeps_score()) return;
    each([&](RunTarget<T>& target, Index b) { blocks_[b].chains.S = target.get().score(blocks_[b].chains.X); });
  }

  void starts_into(Window& window) {
    refresh_scores();
    collect(window, 1);
  }

  // The metric of a window of states in the present one's coordinates; all chains go over to its coordinates.
  void learn(Window& window, StepSearch& search) {
    const MetricMap<double> old(metric_);
    Window own(window.X.rows(), d_);
    Eigen::MatrixXd X, S;
    old.to_x(window.X, X);
    old.score_to_x(window.S, S);
    own.X = X;
    own.S = S;
    own.group = window.group;
    own.count = window.count;
    window.clear();
    if (own.count < 2) return;
    LearnedMetric learned = MetricLearner::learn(own, options_.metric_form);
    widest_ = learned.widest;
    metric_ = learned.metric;
    ++version_;
    each([&](RunTarget<T>& target, Index b) {
      extend::Chains<T>& c = blocks_[b].chains;
      MetricMap<T>(old_).to_x(c.X, blocks_[b].X);
      target.map().to_y(blocks_[b].X, c.X);
      kernel_.start(target.get(), c);
    });
    old_ = metric_;
    search.restart(kernel_.step());
  }

  // Chains that no proposal of a window moved, where most chains move, go where another chain is.
  void restart_frozen(Index steps) {
    for (Index b = blocks_.first_own(); b < blocks_.end_own(); ++b) {
      Block& block = blocks_[b];
      if (block.accepted.size() == 0) block.accepted.setZero(block.chains.accepted.size());
      block.sum = (block.chains.accepted - block.accepted).head(blocks_.cut().size(b)).sum();
    }
    const double moved = sum_of_blocks();
    const bool most_move = adjusted_ && moved > 0.3 * static_cast<double>(steps * options_.chains) && steps >= 10;
    for (Index b = blocks_.first_own(); b < blocks_.end_own(); ++b) {
      Block& block = blocks_[b];
      extend::Chains<T>& c = block.chains;
      for (Index i = 0; i < blocks_.cut().size(b) && most_move; ++i) {
        if (c.accepted[i] > block.accepted[i]) continue;
        for (Index k = 1; k < blocks_.cut().size(b); ++k) {
          const Index other = (i + k) % blocks_.cut().size(b);
          if (!(c.accepted[other] > block.accepted[other])) continue;
          c.X.row(i) = c.X.row(other);
          ++draws_.restarted;
          break;
        }
      }
      block.accepted = c.accepted;
    }
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Steps
  // -------------------------------------------------------------------------------------------------------------------

  void begin(RunTarget<T>& target, Index b) {
    Block& block = blocks_[b];
    extend::Chains<T>& c = block.chains;
    c.measure = false;
    if (warm_up_ > 0) c.reset_counts_of_steps();
    if (full_) block.watch.start(c, !adjusted_ && langevin_);
    if (full_ && looks_.count > 0) block.looks.reset(c.X.rows(), d_, knows_energies(), looks_.batches(options_.chains));
    if (b != 0) return;
    centre_ = to_model(target, c.X, block.X).row(0).transpose().template cast<double>();
    if (knows_energies() && std::isfinite(c.f[0])) energy_centre_ = static_cast<double>(c.f[0]);
  }

  void advance(RunTarget<T>& target, Index b, Index from, Index until) {
    Block& block = blocks_[b];
    extend::Chains<T>& c = block.chains;
    const Index first = blocks_.cut().first(b), count = blocks_.cut().size(b);
    const std::uint64_t before = target.model().calls();
    for (Index t = from; t < until; ++t) {
      const Index look = full_ ? looks_.look(t) : -1;
      block.watch.before(t, plan_, c);
      if (look >= 0) before_look(c, block);
      kernel_.advance(target.get(), c, noise(warm_up_ + t, b));
      if (look >= 0) add_look(target, look, block);
      block.watch.after(t, plan_, c);
      const Index kept = t + 1 - options_.burn_in;
      if (kept <= 0 || kept % thin_ != 0) continue;
      const Index column = (kept / thin_ - 1) * options_.chains + first;
      evaluate::scatter_rows(to_model(target, c.X, block.X), count, column, draws_.points);
      if (draws_.energies.size() > 0) std::copy_n(c.f.data(), count, draws_.energies.data() + column);
    }
    block.evaluations += (target.model().calls() - before) * static_cast<std::uint64_t>(count);
  }

  // Rows of the metric's coordinates in the model's: X itself where these are the same.
  const Matrix<T>& to_model(RunTarget<T>& target, const Matrix<T>& Y, Matrix<T>& room) const {
    if (target.map().is_identity()) return Y;
    target.map().to_x(Y, room);
    return room;
  }

  // What the looks are taken about: chain 0's state.
  void share_centre() {
    ranks::broadcast(blocks_.ranks(), 0, energy_centre_);
    blocks_.ranks().broadcast(0, centre_.data(), static_cast<std::size_t>(d_) * sizeof(double));
  }

  // All ranks get all draws, and what the verdict looks at.
  void share_draws() {
    const auto columns = [](ranks::Parcel& parcel, auto& numbers, Index first, Index count) {
      const Index rows = numbers.rows();
      for (Index i = first * rows; i < (first + count) * rows; ++i) parcel(numbers.data()[i]);
    };
    draws_.acceptance.resize(options_.chains);
    for (Index b = blocks_.first_own(); b < blocks_.end_own(); ++b)
      for (Index i = 0; i < blocks_.cut().size(b); ++i)
        draws_.acceptance[blocks_.cut().first(b) + i] =
            done_ > 0 ? blocks_[b].chains.accepted[i] / static_cast<double>(done_) : 0;
    blocks_.exchange([&](ranks::Parcel& parcel, Index b) {
      const Index first = blocks_.cut().first(b), count = blocks_.cut().size(b);
      columns(parcel, draws_.state, first, count);
      for (Index k = 0; k < draws_.kept; ++k) {
        columns(parcel, draws_.points, k * options_.chains + first, count);
        for (Index i = 0; i < count && draws_.energies.size() > 0; ++i)
          parcel(draws_.energies[k * options_.chains + first + i]);
      }
      for (Index i = 0; i < count; ++i) parcel(draws_.acceptance[first + i]);
      ChainLooks& l = blocks_[b].looks;
      parcel(l.x[0], l.x[1], l.xx[0], l.xx[1], l.s, l.xs, l.start, l.start_energy, l.looks, l.score_looks);
    });
  }

  // What each rank counted for its own chains, and the ways of each block, in their order.
  void share_counts(RunFindings& found) {
    blocks_.exchange([&](ranks::Parcel& parcel, Index b) {
      Ways& ways = blocks_[b].ways;
      parcel(ways.third, ways.last, ways.squares, ways.chains);
    });
    for (Index b = 0; b < blocks_.cut().count; ++b) found.ways.add(blocks_[b].ways);
    if (blocks_.ranks().alone()) return;
    struct Counts {
      Index bad_starts, outside, non_finite, divergent, lost, never_moved, came_to_rest, drifting, restarted;
      Index unstable, growing, first_bad_start;
      std::uint64_t evaluations;
    };
    Draws<T>& d = draws_;
    const Counts own{d.bad_starts,  d.outside_chains,      d.non_finite,      d.divergent, d.lost_chains,
                     d.never_moved, d.came_to_rest,        d.drifting_chains, d.restarted, found.unstable,
                     found.growing, found.first_bad_start, d.evaluations};
    d.bad_starts = d.outside_chains = d.non_finite = d.divergent = d.lost_chains = d.never_moved = 0;
    d.came_to_rest = d.drifting_chains = d.restarted = found.unstable = found.growing = 0;
    d.evaluations = 0;
    found.first_bad_start = -1;
    for (const Counts& one : ranks::gather(blocks_.ranks(), own)) {
      d.bad_starts += one.bad_starts;
      d.outside_chains += one.outside;
      d.non_finite += one.non_finite;
      d.divergent += one.divergent;
      d.lost_chains += one.lost;
      d.never_moved += one.never_moved;
      d.came_to_rest += one.came_to_rest;
      d.drifting_chains += one.drifting;
      d.restarted += one.restarted;
      d.evaluations += one.evaluations;
      found.unstable += one.unstable;
      found.growing += one.growing;
      if (found.first_bad_start < 0) found.first_bad_start = one.first_bad_start;
    }
  }

  // Whether the energy of each state is known.
  bool knows_energies() const { return adjusted_ && kernel_.keeps_score(); }

  // A look is at the state before a step: there the score is known, or the step computes it.
  void before_look(extend::Chains<T>& c, Block& block) const {
    block.look_Y = c.X;
    if (knows_energies()) block.looks.look_energy = c.f.template cast<double>();
    if (kernel_.keeps_score())
      block.S = c.S;
    else
      c.keep_score = true;
  }

  void add_look(RunTarget<T>& target, Index look, Block& block) {
    extend::Chains<T>& c = block.chains;
    const bool langevin_score = !kernel_.keeps_score() && langevin_ && !adjusted_;
    c.keep_score = false;
    if (langevin_score) block.S = c.S;
    if (!kernel_.keeps_score() && !langevin_score) block.S.resize(0, 0);
    if (block.S.size() > 0 && !target.map().is_identity()) {
      block.S_y.swap(block.S);
      target.map().score_to_x(block.S_y, block.S);
    }
    const int half = 2 * look < looks_.count ? 0 : 1;
    block.looks.add(look, looks_.count, to_model(target, block.look_Y, block.X), block.S, centre_,
                    langevin_ ? kernel_.temperature() : 1);
    if (knows_energies()) block.looks.add_energies(half, block.looks.look_energy, energy_centre_);
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
    if (draws_.energies.size() > 0) draws_.energies.conservativeResize(draws_.points.cols());
  }

  void finish(RunTarget<T>& target, Index b) {
    Block& block = blocks_[b];
    evaluate::scatter_rows(to_model(target, block.chains.X, block.X), blocks_.cut().size(b), blocks_.cut().first(b),
                           draws_.state);
    if (!knows_energy_ || (!adjusted_ && !full_)) return;
    if (!adjusted_) target.get().energy_and_score(block.chains.X, block.chains.f, block.chains.S);
    block.outside = not_finite(block.chains.f, blocks_.cut().size(b));
  }

  void judge() {
    RunFindings found{.ways = Ways(d_), .looks = {}};
    draws_.next_step = options_.first_step + static_cast<std::uint64_t>(warm_up_ + done_);
    draws_.step = kernel_.has_step() ? kernel_.step() : 0;
    draws_.leapfrogs = kernel_.leapfrogs();
    draws_.metric = metric_;
    const ChainBlocks& cut = blocks_.cut();
    for (Index b = blocks_.first_own(); b < blocks_.end_own(); ++b) {
      Block& block = blocks_[b];
      block.ways = Ways(d_);
      draws_.bad_starts += block.bad_starts;
      if (found.first_bad_start < 0) found.first_bad_start = block.first_bad_start;
      draws_.outside_chains += block.outside;
      draws_.evaluations += block.evaluations;
      for (Index i = 0; i < cut.size(b); ++i) {
        draws_.non_finite += static_cast<Index>(block.chains.non_finite[i]);
        draws_.divergent += static_cast<Index>(block.chains.divergent[i]);
        judge_chain(block, i, found, block.ways);
      }
    }
    share_counts(found);
    found.acceptance = draws_.acceptance.mean();
    found.judged = full_;
    found.adjusted = adjusted_;
    found.walls = static_cast<double>(draws_.non_finite) > 0.01 * static_cast<double>(done_ * options_.chains);
    if (full_ && !stopped_) judge_looks(found.looks);
    draws_.r_hat = found.looks.r_hat;
    conclude(found, stopped_, done_, options_.max_r_hat, draws_);
  }

  void judge_looks(LooksFindings& found) const {
    if (looks_.count == 0) return;
    for (Index j = 0; j < d_ + (knows_energies() ? 1 : 0); ++j)
      found.add(judge_coordinate(j,
                                 [&](auto look) {
                                   for (Index b = 0; b < blocks_.cut().count; ++b)
                                     look(blocks_[b].looks, blocks_.cut().size(b));
                                 }),
                j, d_, options_.max_bias);
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

  BoundKernel<T> kernel_;
  const SampleOptions& options_;
  Draws<T>& draws_;
  const RunState<T>* resumed_;  ///< where another run stopped, if this one goes on from there
  bool full_, adjusted_, knows_energy_, langevin_;
  Index d_, warm_up_, total_, thin_, done_ = 0;
  StartPoints start_;
  Metric metric_, old_ = metric_;
  int version_ = 0;  ///< of the metric
  double widest_ = 1;
  ChainLoop<T, RunTarget<T>, Block> blocks_;
  WatchPlan plan_;
  LookPlan looks_;
  Eigen::VectorXd centre_;
  double energy_centre_ = 0;
  bool stopped_ = false;
};

/// In what the ranks of a run must agree.
inline std::vector<ranks::Common> common_facts(const SampleOptions& options, Index dimension, const char* arithmetic) {
  using scorematch::detail::text;
  return {{"the model's dimension", text(dimension)},
          {"the arithmetic", arithmetic},
          {"SampleOptions: chains", text(options.chains)},
          {"SampleOptions: steps", text(options.steps)},
          {"SampleOptions: burn_in", text(options.burn_in)},
          {"SampleOptions: warm_up", text(options.warm_up)},
          {"SampleOptions: thin", text(options.thin)},
          {"SampleOptions: seed", text(options.seed)},
          {"SampleOptions: first_step", text(options.first_step)},
          {"SampleOptions: max_r_hat", text(options.max_r_hat)},
          {"SampleOptions: max_bias", text(options.max_bias)}};
}

/// Throws where ranks cannot share the chains of a run; `resumed`: where it goes on, or null.
template <class T>
void require_shareable(const BoundKernel<T>& kernel, const SampleOptions& options, Index dimension,
                       const RunState<T>* resumed) {
  const Communicator& communicator = options.communicator;
  extend::require(!kernel.learns() || kernel.shares_what_it_learns_from() || options.warm_up_steps() == 0,
                  {"SampleOptions: warm_up is ", options.warm_up,
                   ", but the kernel learns from all chains, and has no  share(parcel, chains)  that brings those of "
                   "other ranks: warm up on one, and give its kernel and metric to them"});
  extend::require(!resumed || (resumed->ranks == communicator.size() && resumed->rank == communicator.rank()),
                  {"SampleOptions: resume is of a run on ", resumed ? resumed->ranks : 1,
                   " ranks; its chains go on where they are, on as many"});
  if (!resumed && !options.start.standard_normal())
    (void)StartPoints(options.start, dimension, options.chains, options.seed, "SampleOptions: start");
}

/// A run, by all ranks together where there are several.
template <class T, class Check>
void run_on_ranks(const extend::BoundModel<T>& bound, const BoundKernel<T>& kernel, const SampleOptions& options,
                  Draws<T>& draws, Judging judging, const RunState<T>* resumed, Check check) {
  const Communicator& communicator = options.communicator;
  if (communicator.alone()) {
    check();
    extend::require(!resumed || resumed->ranks == 1,
                    {"SampleOptions: resume is of a run on ", resumed ? resumed->ranks : 1,
                     " ranks; its chains go on where they are, on as many"});
    return SampleRun<T>(bound, kernel, options, judging, draws, resumed).run();
  }
  if (judging == Judging::of_moves) return SampleRun<T>(bound, kernel, options, judging, draws, resumed).run();
  const Communication before = communicator.communication();
  ranks::on_ranks(communicator, [&] {
    ranks::agree(communicator, [&] {
      check();
      require_shareable(kernel, options, bound.dimension(), resumed);
    });
    ranks::require_same(communicator,
                        common_facts(options, bound.dimension(), sizeof(T) == sizeof(float) ? "float" : "double"));
    SampleOptions shared = options;
    shared.progress = ranks::shared_progress(communicator, options.progress);
    SampleRun<T>(bound, kernel, shared, judging, draws, resumed).run();
  });
  draws.communication = communicator.communication().since(before);
}

template <class T>
void run(const extend::BoundModel<T>& bound, const BoundKernel<T>& kernel, const SampleOptions& options,
         Draws<T>& draws, Judging judging) {
  run_on_ranks<T>(bound, kernel, options, draws, judging, nullptr, [&] {
    extend::require(
        !options.resume.given(),
        {"SampleOptions: resume goes on by the kernel that made it: call sample(model, options), without a kernel"});
    kernel.validate();
    options.validate();
    options.validate_for(bound.dimension());
  });
}

/// Throws where an option is given that a run which goes on does not look at.
inline void require_no_other_start(const SampleOptions& options, Index chains, std::uint64_t seed) {
  const SampleOptions usual;
  const auto unused = [](bool as_usual, const char* option) {
    extend::require(as_usual, {"SampleOptions: ", option,
                               " is given beside resume, but a run that goes on has its own; leave it out"});
  };
  unused(options.chains == usual.chains || options.chains == chains, "chains");
  unused(options.seed == usual.seed || options.seed == seed, "seed");
  unused(options.start.standard_normal(), "start");
  unused(options.first_step == usual.first_step, "first_step");
  unused(options.warm_up_steps() == 0, "warm_up");
  unused(options.metric.is_identity(), "metric");
  unused(options.metric_form == usual.metric_form, "metric_form");
}

/// Goes on where another run stopped.
template <class T>
void resume(const extend::BoundModel<T>& bound, SampleOptions options, Draws<T>& draws) {
  const RunState<T>* state = nullptr;
  ranks::agree(options.communicator, [&] {
    state = &options.resume.template state<RunState<T>>();
    extend::require(state->dimension == bound.dimension(), {"SampleOptions: resume is of a model of dimension ",
                                                            state->dimension, "; this one has ", bound.dimension()});
    extend::require(
        !state->kernel.adjusted() || bound.abilities().energy,
        {"SampleOptions: resume is of a Metropolis kernel, which accepts by the energy; this model has none"});
    require_no_other_start(options, state->chains, state->seed);
  });
  options.chains = state->chains;
  options.warm_up = 0;
  options.seed = state->seed;
  options.first_step = state->next_step;
  options.start = {};
  options.metric = state->metric;
  run_on_ranks<T>(bound, state->kernel, options, draws, Judging::full, state, [&] {
    options.validate();
    options.keep_many();
    options.validate_for(bound.dimension());
  });
}

}  // namespace scorematch::sampling
