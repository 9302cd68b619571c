// generate: many chains of any sampler of noise-conditional models, side by side.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/evaluate/padded_block.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/model/user_model.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/sampler/noise_conditional.hpp"
#include "scorematch/sampler/sample_run.hpp"

namespace scorematch {

/// Options of generate.
struct GenerateOptions {
  Index count = 1000;            ///< ≥ 1 samples, a chain each
  std::uint64_t seed = 0;        ///< of the random numbers; any
  std::vector<int> labels = {};  ///< the class of each, 0 … classes − 1, or −1 for none; needed where there are classes
  /// w: s(x, none) + w (s(x, label) − s(x, none)) instead of s(x, label); above 1 the class shows more, and variety
  /// less. Ho & Salimans (2022) call w − 1 their w: 0 there is 1 here. A w other than 0 and 1 takes two evaluations of
  /// the model for each of one; other than 1 it needs a model that learned the score without a class (label_dropout).
  double guidance = 1;
  /// Points at the largest σ (d × count), a callable π(Stream&), or N(0, (σ_max² + data_variance) I).
  ChainStart start = {};
  /// v ≥ 0. With v = 0 the start is that of the variance-exploding papers; with 1 that of the variance-preserving ones,
  /// x_T ~ N(0, I). Where σ_max does not drown the data the variance of the (centred) data is best.
  double data_variance = 0;
  /// The given numbers of each sample: d × count, NaN where a number is to be filled in. Empty: none is given.
  Eigen::MatrixXd known = {};
  Index resampling = 1;            ///< ≥ 1: with `known`, each step is done so many times, noise added between
  ProgressCallback progress = {};  ///< progress_line(), or your own
  /// Ranks that share the chains, 96 or so at a time: all give the same options (labels, start and known values of all
  /// samples), and all get all samples, those of one process, bit for bit. progress is rank 0's. Default: one process.
  Communicator communicator = {};

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require_within(count, 1, detail::power_of_two(detail::field_bits), "GenerateOptions: count");
    extend::require(std::isfinite(guidance),
                    {"GenerateOptions: guidance is ", guidance, "; it must be a finite number"});
    extend::require(std::isfinite(data_variance) && data_variance >= 0,
                    {"GenerateOptions: data_variance is ", data_variance, "; it must be a finite number from 0 on"});
    extend::require_at_least(resampling, 1, "GenerateOptions: resampling");
    extend::require(resampling == 1 || known.size() > 0,
                    {"GenerateOptions: resampling is ", resampling, ", but nothing is known that it could settle"});
  }

  /// Throws unless `known` is empty or dimension × count, of finite numbers and NaN.
  void validate_for(Index dimension) const {
    if (known.size() == 0) return;
    extend::require(known.rows() == dimension && known.cols() == count,
                    {"GenerateOptions: known is ", known.rows(), " × ", known.cols(), "; it must be ", dimension, " × ",
                     count, ", one column per sample, NaN where a number is to be filled in"});
    for (Index i = 0; i < known.size(); ++i)
      extend::require(
          !std::isinf(known.data()[i]),
          {"GenerateOptions: known has an infinite number in column ", i / dimension, ", row ", i % dimension,
           " (counted from 0); its entries must be finite, or NaN where a number is to be filled in"});
  }
};

/// How it ended: the first of diverged, stopped, unfinished, coarse that holds, else complete. `Generation::evidence`
/// says how many chains it concerns and what to do.
enum class GenerationStatus {
  complete,
  stopped,     ///< by the progress callback: the chains are where they were then, at the noise level `sigma`
  unfinished,  ///< at least one chain of an adaptive sampler ran out of steps, or cannot meet the tolerance in this
               ///< arithmetic; it is where it was then
  diverged,    ///< at least one chain left the finite numbers, and stays at its last finite state; or went a hundred
               ///< times farther from where its score says that the data are than it began, and than the largest σ
  ///< reaches; or Langevin's steps are unstable at some level, h times the slope of the score being above 2
  coarse,  ///< at some level h times the slope of the score, as the chains met it, is above 2/3: what Langevin's steps
           ///< leave there has a variance too large by half or more. Take a smaller step
};

/// The status in a word or two.
inline const char* to_string(GenerationStatus status) {
  switch (status) {
    case GenerationStatus::complete:
      return "complete";
    case GenerationStatus::stopped:
      return "stopped";
    case GenerationStatus::unfinished:
      return "unfinished";
    case GenerationStatus::diverged:
      return "diverged";
    case GenerationStatus::coarse:
      return "coarse";
  }
  return "";
}

/// The result of generate: the samples, whatever happened.
template <class T>
struct [[nodiscard]] Generation {
  Matrix<T> points;             ///< d × count
  Eigen::VectorXi evaluations;  ///< count: how often the model's score was taken for each
  double sigma = 0;  ///< the noise level where the chains are: 0 after a denoising step; NaN where each has its own
  Index lost_chains = 0;        ///< that diverged
  Index unfinished_chains = 0;  ///< of an adaptive sampler, that ran out of steps, or of digits for its tolerance
  /// The largest over the levels of h times the mean slope of the score, where Langevin's steps are taken: they are
  /// unstable from 2 on, and leave a variance 1/(1 − ½ of it) times too large. NaN where none are, or none was seen.
  double step_times_slope = std::numeric_limits<double>::quiet_NaN();
  GenerationStatus status = GenerationStatus::complete;  ///< how it ended
  std::string evidence =
      {};  ///< what speaks against "complete", with its remedy, in a sentence; empty where all is well
  Communication communication = {};  ///< of this rank, with the others

  /// A line: how it ended, samples, evaluations of each and the noise level; then the evidence, if there is any.
  std::string text() const {
    return scorematch::detail::text(to_string(status), ": ", points.cols(), " samples, ",
                                    evaluations.size() > 0 ? evaluations.cast<double>().mean() : 0,
                                    " evaluations of each, at sigma ", sigma, '\n',
                                    evidence.empty() ? "" : "  " + evidence + '\n');
  }
};

namespace sampling {

/// The given numbers of a block's samples: B × d, NaN where none is given.
template <class T>
struct KnownValues {
  Matrix<T> values, Z;

  /// Known numbers replace the chains' own, at the noise level σ: x_known + σ z.
  void impose(extend::NoisyChains<T>& chains, double sigma, const extend::ChainNoise& noise) {
    if (values.size() == 0) return;
    Z.resize(values.rows(), values.cols());
    if (sigma > 0)
      extend::fill_normals<T>({noise.seed, extend::Purpose::known_values}, extend::Ids::from(noise.first_chain),
                              Z.rows(), 2 * noise.step, Z.cols(), Z.data(), Z.rows());
    else
      Z.setZero();
    for (Index j = 0; j < values.cols(); ++j)
      for (Index i = 0; i < values.rows(); ++i)
        if (!std::isnan(values(i, j))) chains.X(i, j) = values(i, j) + static_cast<T>(sigma) * Z(i, j);
  }

  /// Back up a step: noise lifts σ' to σ again.
  void lift(extend::NoisyChains<T>& chains, extend::NoiseStep step, const extend::ChainNoise& noise) {
    const T root = static_cast<T>(std::sqrt(step.sigma * step.sigma - step.next * step.next));
    extend::fill_normals<T>({noise.seed, extend::Purpose::known_values}, extend::Ids::from(noise.first_chain), Z.rows(),
                            2 * noise.step + 1, Z.cols(), Z.data(), Z.rows());
    for (Index j = 0; j < Z.cols(); ++j)
      for (Index i = 0; i < Z.rows(); ++i)
        if (!chains.lost[i]) chains.X(i, j) += root * Z(i, j);
  }
};

/// Throws std::invalid_argument for options out of range.
template <class M, class T>
void validate_generate(const M& model, const BoundSampler<T>& sampler, const GenerateOptions& options) {
  sampler.validate();
  extend::require(
      extend::takes_sigma(model),
      {"generate needs a noise-conditional model, and this one takes no sigma: write its formula as "
       "[](auto x, auto sigma, auto theta) …, and learn it at many levels. (For samples of a model without: sample)"});
  options.validate();
  require_guidance(model, options.labels, options.count, options.guidance, "GenerateOptions");
  if (!sampler.adaptive()) require_step_count(sampler.step_count(), options.resampling, "GenerateOptions: resampling");
  extend::require(
      !sampler.adaptive() || options.known.size() == 0,
      {"GenerateOptions: known is given, but probability_flow has no levels at which it could be put in; take "
       "predictor_corrector or annealed_langevin"});
  options.validate_for(static_cast<Index>(model.dimension()));
}

/// Chooses the status, and says why; `far` of the lost chains are finite.
template <class T>
void conclude(Index far, bool stopped, Index count, Generation<T>& result) {
  std::string& evidence = result.evidence;
  const bool coarse = result.step_times_slope > 2.0 / 3;
  if (result.lost_chains > 0 || result.step_times_slope > 2) {
    result.status = GenerationStatus::diverged;
    if (result.lost_chains > far)
      tell(evidence, detail::text(share_of(result.lost_chains - far, count), " left the finite numbers"));
    if (far > 0)
      tell(evidence, detail::text(share_of(far, count),
                                  " went farther from where the score says that the data are than they began"));
  } else if (stopped) {
    result.status = GenerationStatus::stopped;
  } else if (result.unfinished_chains > 0) {
    result.status = GenerationStatus::unfinished;
    tell(evidence, detail::text(share_of(result.unfinished_chains, count),
                                " did not arrive (raise most_steps, or tolerance where rounding is larger than it)"));
  } else if (coarse) {
    result.status = GenerationStatus::coarse;
  }
  if (coarse)
    tell(evidence,
         detail::text("at some level the step times the slope of the score is ", result.step_times_slope,
                      ", and Langevin's steps are unstable from 2 on, wide from 2/3 on (take a smaller step)"));
}

/// One call of generate: an ordinary class, compiled once a scalar.
template <class T>
class GenerateRun {
  using Target = extend::NoiseConditionalTarget<T>;

 public:
  GenerateRun(const extend::BoundModel<T>& bound, Index classes, const BoundSampler<T>& sampler,
              const GenerateOptions& options, Generation<T>& result)
      : sampler_(sampler),
        options_(options),
        result_(result),
        d_(bound.dimension()),
        classes_(classes),
        repeats_(options.known.size() > 0 ? options.resampling : 1),
        deviation_(std::sqrt(sampler.starts_at() * sampler.starts_at() + options.data_variance)),
        start_(options.start, d_, options.count, options.seed, "GenerateOptions: start", deviation_),
        blocks_(
            options.count, [&bound, &options] { return std::make_unique<Target>(bound, options.guidance); },
            options.communicator) {}

  void run() {
    blocks_.each([&](Target&, Index b) { start(b); });
    if (sampler_.adaptive())
      attempt_all();
    else
      go_down();
    result_.points.resize(d_, options_.count);
    result_.evaluations.resize(options_.count);
    blocks_.each([&](Target&, Index b) { finish(b); });
    share_samples();
    judge();
  }

 private:
  struct Block {
    extend::NoisyChains<T> chains;
    extend::Room notes;
    KnownValues<T> known;
    bool arrived = false;
    double share = 0;                                                ///< of its way
    std::vector<typename detail::ScoreWatch<T>::Slope> slopes = {};  ///< as its watch saw them
  };

  void start(Index b) {
    extend::NoisyChains<T>& c = blocks_[b].chains;
    const Index first = blocks_.cut().first(b), count = blocks_.cut().size(b);
    start_.gather(first, count, c.X);
    const Index rows = c.X.rows();
    if (classes_ > 0) c.label.setConstant(rows, -1);
    if (!options_.labels.empty())
      for (Index i = 0; i < rows; ++i)
        c.label[i] = options_.labels[static_cast<std::size_t>(first + std::min(i, count - 1))];
    c.evaluations.setZero(rows);
    c.lost.setConstant(rows, false);
    c.late.setConstant(rows, false);
    if (!sampler_.adaptive()) c.watch.start(rows, d_, count, std::min<Index>(4096, sampler_.step_count() + 1));
    if (options_.known.size() > 0)
      evaluate::gather_columns(options_.known, first, count, rows, blocks_[b].known.values);
  }

  // Adaptive: each chain by its own steps. With progress some steps at a time.
  void attempt_all() {
    constexpr Index thousandths = 1000;
    const detail::Stopwatch watch;
    Index done = 0;
    while (done < thousandths && !stopped_) {
      blocks_.each([&](Target& target, Index b) {
        Block& block = blocks_[b];
        for (Index t = 0; (t < 5 || !options_.progress) && !block.arrived; ++t)
          block.arrived = sampler_.attempt(target, block.chains, block.notes);
      });
      double share = 1;
      bool arrived = true;
      for (Index b = blocks_.first_own(); b < blocks_.end_own(); ++b)
        if (!blocks_[b].arrived) blocks_[b].share = sampler_.share(blocks_[b].notes);
      blocks_.exchange([&](ranks::Parcel& parcel, Index b) { parcel(blocks_[b].arrived, blocks_[b].share); });
      for (Index b = 0; b < blocks_.cut().count; ++b) {
        if (!blocks_[b].arrived) share = std::min(share, blocks_[b].share);
        arrived = arrived && blocks_[b].arrived;
      }
      done = arrived ? thousandths : static_cast<Index>(share * (thousandths - 1));  // near the end share rounds to 1
      if (!options_.progress) break;
      stopped_ = !options_.progress({"generate", done, thousandths, share, "share of log sigma", watch.seconds()}) &&
                 done < thousandths;
    }
    result_.sigma = stopped_ ? std::numeric_limits<double>::quiet_NaN() : sampler_.ends_at();
  }

  void go_down() {
    const detail::Stopwatch watch;
    const Index total = sampler_.step_count();
    stopped_ = in_strides(
        total, options_.progress,
        [&](Index from, Index until) {
          blocks_.each([&](Target& target, Index b) {
            for (Index t = from; t < until; ++t) step_down(target, b, t);
          });
          result_.sigma = sampler_.at(until - 1).next;
        },
        [&](Index done) {
          return options_.progress({"generate", done, total, result_.sigma, "sigma", watch.seconds()});
        });
  }

  void step_down(Target& target, Index b, Index t) {
    extend::NoisyChains<T>& chains = blocks_[b].chains;
    KnownValues<T>& known = blocks_[b].known;
    const extend::NoiseStep step = sampler_.at(t);
    chains.watch.on = watched(t);
    for (Index k = 0; k < repeats_; ++k) {
      const extend::ChainNoise noise{options_.seed, static_cast<std::uint64_t>(t * repeats_ + k),
                                     blocks_.cut().first(b)};
      known.impose(chains, step.sigma, noise);
      sampler_.advance(target, chains, blocks_[b].notes, t, noise);
      if (step.next == 0) break;
      if (k + 1 < repeats_) known.lift(chains, step, noise);
    }
  }

  // Whether the scores of a step are looked at: at the two ends, between, and, where Langevin's steps are taken, the
  // last of each level.
  bool watched(Index t) const {
    const Index total = sampler_.step_count(), every = std::max<Index>(1, total / 32);
    if (t % every == 0 || t + 1 == total) return true;
    if (std::isnan(sampler_.langevin_ratio())) return false;
    return sampler_.at(std::min(t + 3, total - 1)).next != sampler_.at(t).sigma || t + 4 >= total;
  }

  void finish(Index b) {
    extend::NoisyChains<T>& c = blocks_[b].chains;
    const Index first = blocks_.cut().first(b), count = blocks_.cut().size(b);
    blocks_[b].known.impose(c, 0, {});
    evaluate::scatter_rows(c.X, count, first, result_.points);
    result_.evaluations.segment(first, count) = c.evaluations.head(count);
  }

  // All ranks get all samples, and what the verdict looks at.
  void share_samples() {
    for (Index b = blocks_.first_own(); b < blocks_.end_own(); ++b)
      blocks_[b].slopes = blocks_[b].chains.watch.slopes();
    blocks_.exchange([&](ranks::Parcel& parcel, Index b) {
      const Index first = blocks_.cut().first(b), count = blocks_.cut().size(b);
      for (Index i = first * d_; i < (first + count) * d_; ++i) parcel(result_.points.data()[i]);
      for (Index i = first; i < first + count; ++i) parcel(result_.evaluations[i]);
      parcel(blocks_[b].slopes);
    });
  }

  void judge() {
    const double reach = deviation_ * std::sqrt(static_cast<double>(d_));
    Index far = 0;
    std::vector<typename detail::ScoreWatch<T>::Slope> slopes;
    for (Index b = blocks_.first_own(); b < blocks_.end_own(); ++b) {
      const extend::NoisyChains<T>& c = blocks_[b].chains;
      for (Index i = 0; i < blocks_.cut().size(b); ++i) {
        const bool strayed = !sampler_.adaptive() && !stopped_ && !c.lost[i] &&
                             !(c.watch.largest_distance(i) <= 100 * std::max(reach, c.watch.first_distance(i)));
        far += strayed ? 1 : 0;
        result_.lost_chains += c.lost[i] || strayed ? 1 : 0;
        result_.unfinished_chains += c.late[i] ? 1 : 0;
      }
    }
    for (Index b = 0; b < blocks_.cut().count; ++b) {
      const auto& seen = blocks_[b].slopes;
      slopes.resize(std::max(slopes.size(), seen.size()));
      for (std::size_t k = 0; k < seen.size(); ++k) {
        slopes[k].sum += seen[k].sum;
        slopes[k].chains += seen[k].chains;
      }
    }
    share_counts(far);
    const double ratio = sampler_.langevin_ratio();
    for (const auto& slope : slopes) {
      const double product = ratio * slope.sum / static_cast<double>(slope.chains);
      if (!std::isnan(product) && !(product <= result_.step_times_slope)) result_.step_times_slope = product;
    }
    conclude(far, stopped_, options_.count, result_);
  }

  void share_counts(Index& far) {
    if (blocks_.ranks().alone()) return;
    struct Counts {
      Index far, lost, unfinished;
    };
    const Counts own{far, result_.lost_chains, result_.unfinished_chains};
    far = result_.lost_chains = result_.unfinished_chains = 0;
    for (const Counts& one : ranks::gather(blocks_.ranks(), own)) {
      far += one.far;
      result_.lost_chains += one.lost;
      result_.unfinished_chains += one.unfinished;
    }
  }

  const BoundSampler<T>& sampler_;
  const GenerateOptions& options_;
  Generation<T>& result_;
  Index d_, classes_, repeats_;
  double deviation_;  ///< of the start
  StartPoints start_;
  ChainLoop<T, Target, Block> blocks_;
  bool stopped_ = false;
};

template <class T>
void run(const extend::BoundModel<T>& bound, Index classes, const BoundSampler<T>& sampler,
         const GenerateOptions& options, Generation<T>& result) {
  const Communicator& communicator = options.communicator;
  if (communicator.alone()) return GenerateRun<T>(bound, classes, sampler, options, result).run();
  const Communication before = communicator.communication();
  ranks::on_ranks(communicator, [&] {
    ranks::agree(communicator, [&] {
      if (!options.start.standard_normal())
        (void)StartPoints(options.start, bound.dimension(), options.count, options.seed, "GenerateOptions: start");
    });
    GenerateOptions shared = options;
    shared.progress = ranks::shared_progress(communicator, options.progress);
    GenerateRun<T>(bound, classes, sampler, shared, result).run();
  });
  result.communication = communicator.communication().since(before);
}

/// In what the ranks of a call must agree.
template <class T>
std::vector<ranks::Common> common_facts(const GenerateOptions& options, Index dimension) {
  using scorematch::detail::text;
  return {{"the model's dimension", text(dimension)},
          {"the arithmetic", sizeof(T) == sizeof(float) ? "float" : "double"},
          {"GenerateOptions: count", text(options.count)},
          {"GenerateOptions: seed", text(options.seed)},
          {"GenerateOptions: guidance", text(options.guidance)},
          {"GenerateOptions: data_variance", text(options.data_variance)},
          {"GenerateOptions: resampling", text(options.resampling)},
          {"GenerateOptions: known", text(options.known.size())}};
}

}  // namespace sampling

/// Samples of a noise-conditional model s(x, σ): an energy_model or score_model whose formula takes sigma, or a class
/// with `score(X, sigma, S)`. Samplers: annealed_langevin, reverse_sde, predictor_corrector, euler, heun, rk4,
/// dpm_solver, probability_flow.
///
///   auto digits = sm::generate(fit.model, sm::heun{.levels = sm::edm_levels{.sigma_max = 80, .levels = 50}},
///                              {.count = 1000, .seed = 1, .labels = labels});
///   digits.points                                                    d × count
///
/// **Filling in** (`known`): at each step the known numbers are put in at its noise level, x_known + σz with new z
/// (Song et al. 2021, appendix I.2), and at the end they are exactly the given ones. The rest is drawn approximately
/// given them: a step sees known numbers that are noisier than they are, and goes on before the rest has settled.
/// Langevin steps at small levels let it settle, and `resampling` r > 1, which takes each step r times with noise in
/// between (Lugmayr et al. 2022, RePaint). Of a Gaussian with correlation 0.8, given one coordinate to be 1.2, the
/// other should have mean 0.96 and variance 0.36; it has
///   annealed_langevin, 20 levels × 100 steps   0.95, 0.37
///   reverse_sde, 50 levels                     0.58, 0.58   r = 5: 0.87, 0.40   r = 20: 0.94, 0.38
///   heun, 50 levels                            0.41, 0.61   r = 10: 0.88, 0.39
///
/// The same bits for any number of threads. A chain's random numbers do not depend on how many others run, its states
/// only through the rounding of matrix products. T: float or double. Throws std::invalid_argument for options out of
/// range, a model that takes no sigma, and labels, start or known values of the wrong shape.
template <class T = double, class M, extend::NoiseConditionalSampler<T> Sampler>
Generation<T> generate(const M& model, const Sampler& sampler, const GenerateOptions& options = {}) {
  Generation<T> result;
  if constexpr (detail::check_model<M>()) {
    constexpr bool possible = Model<M> || extend::has_score_at_sigma<M>;
    static_assert(possible,
                  "a class given to generate must provide  void score(Eigen::Ref<const Eigen::MatrixXd> X, "
                  "Eigen::Ref<const Eigen::VectorXd> sigma, Eigen::Ref<Eigen::MatrixXd> S) const");
    if constexpr (possible) {
      const sampling::BoundSampler<T> any(sampler);
      ranks::on_ranks(options.communicator, [&] {
        ranks::agree(options.communicator, [&] { sampling::validate_generate(model, any, options); });
        ranks::require_same(options.communicator,
                            sampling::common_facts<T>(options, static_cast<Index>(model.dimension())));
        ranks::require_same_theta(options.communicator, model);
      });
      sampling::run<T>(detail::bind<T>(model), extend::classes_of(model), any, options, result);
    }
  }
  return result;
}

}  // namespace scorematch
