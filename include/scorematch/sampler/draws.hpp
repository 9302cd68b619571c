// What a run of chains is asked for, and what it returns.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/random/stream.hpp"
#include "scorematch/ranks/communicator.hpp"
#include "scorematch/sampler/chain_start.hpp"
#include "scorematch/sampler/metric.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// Where the chains of a run stopped, with all that decides how they go on: their coordinates, momenta and replicas,
/// the kernel as it was tuned, metric, seed and step. `Draws::resume_point`, for `SampleOptions::resume`.
class ResumePoint {
 public:
  ResumePoint() = default;
  /// Of a run in the arithmetic T, whose state is `held`; null: there is none, because of what `missing` says.
  template <class T>
  static ResumePoint of(std::shared_ptr<const T> held, const char* missing = "") {
    ResumePoint point;
    point.held_ = std::move(held);
    point.type_ = &tag_of<T>;
    point.missing_ = missing;
    return point;
  }
  /// Whether it is that of a run.
  bool given() const { return type_ != nullptr; }
  /// The state of a run. Throws std::invalid_argument if there is none, or if it is of another arithmetic.
  template <class T>
  const T& state() const {
    extend::require(held_ != nullptr, {"SampleOptions: resume has no chains: ", missing_});
    extend::require(type_ == &tag_of<T>,
                    {"SampleOptions: resume is of a run in another arithmetic (sample<float>, or sample<double>)"});
    return *static_cast<const T*>(held_.get());
  }

 private:
  template <class T>
  static constexpr char tag_of = 0;  // its address tells types apart
  std::shared_ptr<const void> held_;
  const char *type_ = nullptr, *missing_ = "";
};

/// Options of sample.
struct SampleOptions {
  Index chains = 1000;  ///< ≥ 1, independent, side by side
  Index steps = 1000;   ///< ≥ 1, a chain, after the burn-in
  Index burn_in = 0;    ///< ≥ 0 steps before, not kept
  /// ≥ 0 steps before these, by which metric, step and length of trajectories are learned from all chains together
  /// (sampler/adaptation.hpp), not kept. `automatic`: 400 where the library chooses the kernel, 0 where you do.
  Index warm_up = automatic;
  Index thin = 0;          ///< keep every thin-th state after the burn-in; 0: the last state of each chain alone
  std::uint64_t seed = 0;  ///< of the random numbers; any
  /// Points (d × chains), a callable π(Stream&), or N(0, I): of these, points without a finite energy are drawn again,
  /// and a Metropolis kernel moves a point that it could not leave (in a tail so steep that its step overshoots) down
  /// the energy until it can.
  ChainStart start = {};
  std::uint64_t first_step = 0;  ///< number of the first step, by which random numbers are found: a result's next_step
  /// A result's resume_point: sample(model, options) then goes on bit for bit where that run stopped, by its kernel.
  /// Beside it give steps, burn_in, thin, max_r_hat, max_bias and progress; the other options throw, and there is no
  /// warm-up.
  ResumePoint resume = {};
  Metric metric = {};  ///< the coordinates that the kernel works in; a warm-up begins there
  /// The form of the metric that a warm-up learns; identity: the one that pays.
  Metric::Form metric_form = Metric::Form::identity;
  /// > 1: chains whose means differ more, by split R̂ of any coordinate, and beyond chance (which a short run of
  /// few chains leaves much room to, sampler/chain_looks.hpp), are `not_converged`.
  double max_r_hat = 1.05;
  double max_bias = 0.1;           ///< > 0: of means in deviations, and of variances, as the scores tell it
  ProgressCallback progress = {};  ///< progress_line(), or your own
  /// Ranks that share the chains, 96 or so at a time: all give the same options (a start for all chains), and all get
  /// all draws, those of one process, bit for bit. progress is rank 0's. Default: one process.
  Communicator communicator = {};

  static constexpr Index automatic = -1;  ///< for `warm_up`: as the kernel was chosen

  /// The steps of a warm-up.
  Index warm_up_steps() const { return std::max<Index>(0, warm_up); }

  /// Chooses thin, where it is 0, so that up to 65536 states are kept, evenly spaced.
  void keep_many() {
    if (thin == 0) thin = std::clamp<Index>((chains * steps + 65535) / 65536, 1, steps);
  }

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require(warm_up == automatic || warm_up >= 0,
                    {"SampleOptions: warm_up is ", warm_up, "; it must be 0 or more"});
    extend::require(max_r_hat > 1, {"SampleOptions: max_r_hat is ", max_r_hat, "; it must be above 1"});
    extend::require(max_bias > 0, {"SampleOptions: max_bias is ", max_bias, "; it must be above 0"});
    extend::require_at_least(chains, 1, "SampleOptions: chains");
    extend::require_at_least(steps, 1, "SampleOptions: steps");
    extend::require_at_least(burn_in, 0, "SampleOptions: burn_in");
    extend::require(thin >= 0 && thin <= steps,
                    {"SampleOptions: thin is ", thin, "; it must be from 0 to steps, ", steps});
    constexpr std::uint64_t end = detail::field_end;  // of the addresses of a chain's random numbers
    const auto ends_in_range = [&](Index number, const char* argument) {
      extend::require(static_cast<std::uint64_t>(number) <= end,
                      {argument, " is ", number, "; it must be at most 2^40"});
    };
    ends_in_range(chains, "SampleOptions: chains");
    ends_in_range(steps, "SampleOptions: steps");
    ends_in_range(burn_in, "SampleOptions: burn_in");
    ends_in_range(warm_up_steps(), "SampleOptions: warm_up");
    const std::uint64_t total = static_cast<std::uint64_t>(warm_up_steps()) + static_cast<std::uint64_t>(burn_in) +
                                static_cast<std::uint64_t>(steps);
    extend::require(first_step < end && total <= end - first_step,
                    {"SampleOptions: first_step is ", first_step, ", burn_in ", burn_in, " and steps ", steps,
                     "; the last step must be below 2^40"});
  }

  /// Throws unless d × (chains · kept) numbers can be counted.
  void validate_for(Index dimension) const {
    metric.validate_for(dimension, "SampleOptions: metric");
    const Index kept = thin > 0 ? steps / thin : 1;
    extend::require(chains <= std::numeric_limits<Index>::max() / 8 / std::max<Index>(1, dimension) / kept,
                    {"SampleOptions: ", chains, " chains with ", kept, " kept states of dimension ", dimension,
                     " do not fit into memory; take a larger thin"});
  }
};

/// How a run ended: the first of diverged, stuck, outside, stopped, drifting, not_converged, biased that holds, else
/// complete. `Draws::evidence` says how many chains or which coordinate it concerns, and what to do. None of it has a
/// unit. What is judged, and why: sampler/chain_verdict.hpp and sampler/chain_looks.hpp.
enum class SampleStatus {
  complete,  ///< every chain took its steps, moved, and ended where the energy is finite, and none ran away
  stopped,   ///< by the progress callback: what was kept until then is there
  stuck,     ///< at least one Metropolis chain never moved, or came to rest
  diverged,  ///< at least one chain grows without bound: its step is beyond 2/curvature, or nothing holds it
  outside,   ///< at least one chain ended where the energy is not finite
  drifting,  ///< the chains still travel at the end: the start is far, the run short, or the model not normalisable
  not_converged,  ///< the chains have not forgotten where they began, or are not where the scores' mean is 0, or took
                  ///< too few steps to tell
  biased,         ///< an unadjusted kernel's step is too large: the scores show another variance or mean
};

/// The status in a word or two.
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
    case SampleStatus::not_converged:
      return "not converged";
    case SampleStatus::biased:
      return "biased";
  }
  return "";
}

/// The result of sample: states of chains, whatever happened.
template <class T>
struct [[nodiscard]] Draws {
  Matrix<T> points;            ///< d × (chains · kept): all chains' first kept state, then all chains' second, …
  Matrix<T> state;             ///< d × chains: where each chain is now
  Eigen::VectorXd acceptance;  ///< chains: the share of steps that moved (1 for unadjusted chains that stayed finite)
  Index chains = 0;            ///< how many
  Index kept = 0;              ///< states of each
  Vector<T> energies;   ///< chains · kept: f at each column of points, of the library's Metropolis kernels; else empty
  Index divergent = 0;  ///< steps, over all chains, whose log acceptance ratio was below −1000: the energy jumped
  Index non_finite = 0;    ///< steps, over all chains, whose proposal, its energy or score was not finite
  Index lost_chains = 0;   ///< that diverged: grow without bound, or left the finite numbers (and stay where they were)
  Index never_moved = 0;   ///< Metropolis chains none of whose proposals was accepted
  Index came_to_rest = 0;  ///< those that moved, but not in the second half of the steps
  Index bad_starts = 0;    ///< starts whose energy is not finite, where the model knows its energy
  Index outside_chains = 0;   ///< last states whose energy is not finite, where the model knows its energy
  Index drifting_chains = 0;  ///< that travel beyond what their noise explains
  Index failed_chains = 0;    ///< that the status speaks of: diverged, stuck, outside or drifting
  Index restarted = 0;  ///< chains that never moved in a part of the warm-up, or left the finite numbers, and were put
                        ///< where another is
  double r_hat = 1;     ///< the largest split R̂ of a coordinate over the states looked at; NaN: too short to tell
  std::uint64_t evaluations = 0;  ///< scores, each at one point, over all chains, after the warm-up
  double step = 0;                ///< the kernel's, as a warm-up found it, for a later call; 0 where it has none
  Index leapfrogs = 0;            ///< the kernel's, as a warm-up found it; 0 where it has none
  Metric metric = {};             ///< as a warm-up found it
  std::uint64_t next_step = 0;    ///< the number of the step that comes next
  ResumePoint resume_point = {};  ///< SampleOptions::resume of a call that goes on where this one stopped
  SampleStatus status = SampleStatus::complete;  ///< how it ended
  std::string evidence =
      {};  ///< what speaks against "complete", with its remedy, in a sentence; empty where all is well
  Communication communication = {};  ///< of this rank, with the others

  /// The share of the chains that the status speaks of.
  double failed_share() const {
    return chains > 0 ? static_cast<double>(failed_chains) / static_cast<double>(chains) : 0;
  }

  /// A line: how it ended, chains, kept states and the mean acceptance; then the evidence, if there is any.
  std::string text() const {
    return scorematch::detail::text(to_string(status), ": ", chains, " chains, ", kept,
                                    " kept states of each, acceptance ", acceptance.size() > 0 ? acceptance.mean() : 0,
                                    '\n', evidence.empty() ? "" : "  " + evidence + '\n');
  }

  /// The table of mean, error, deviation, quantiles, effective samples and R̂ of each coordinate, and a verdict:
  ///
  ///   std::printf("%s", draws.summary({"mu", "log tau"}).text().c_str());
  ///
  /// names: d of them, or none for x[0], x[1], …; options: diagnostics::SummaryOptions. It needs
  /// scorematch/diagnostics/summary.hpp, which scorematch.hpp includes, and states that were kept (thin > 0).
  template <class Names = std::vector<std::string>, class... Options>
  auto summary(const Names& names = {}, const Options&... options) const {
    return summary_of(*this, names, options...);
  }

  /// The kept states of one chain: d × kept.
  Matrix<T> chain(Index c) const {
    Matrix<T> states(points.rows(), kept);
    for (Index k = 0; k < kept; ++k) states.col(k) = points.col(k * chains + c);
    return states;
  }
};

}  // namespace scorematch
