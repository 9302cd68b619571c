// Shared by the samplers of noise-conditional models: scores at noise levels, blocks of chains, steps down a ladder.
//
// A score s(x, σ) is that of the data blurred by σz, z ~ N(0, I). A sampler starts where the noise drowns the data, at
// the largest σ, and goes down to the smallest; how is one header each:
//
//   annealed_langevin.hpp   Langevin's equation at each level in turn
//   reverse_sde.hpp         the diffusion run backwards, and with Langevin correctors between its steps
//   heun.hpp                the probability-flow ODE dx/dσ = −σ s(x, σ), level by level: euler, heun, rk4
//   dpm_solver.hpp          the same, two-step, exact in its linear part
//   probability_flow.hpp    the same, with steps of its own to a tolerance
//
// The variance-preserving process is the same ODE and the same diffusion seen through a scale (noise/levels.hpp).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <memory>
#include <vector>

#include "scorematch/concepts.hpp"
#include "scorematch/noise/levels.hpp"
#include "scorematch/sampler/row_norm.hpp"
#include "scorematch/sampler/target.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch {

namespace detail {

/// Watches the scores that a sampler computes, so that `generate` can judge. Of data blurred by σz, the score's slope
/// is at most 1/σ² in any direction, and σ²‖s‖ is the distance to the mean of the data given x.
template <class T>
class ScoreWatch {
 public:
  bool on = false;

  /// Room for all, so that steps do not allocate. The first `count` of the rows are chains.
  void start(Index rows, Index dimension, Index count, Index levels) {
    X_.resize(rows, dimension);
    S_.resize(rows, dimension);
    first_.setZero(count);
    last_.setZero(count);
    farthest_.setZero(count);
    slopes_.reserve(static_cast<std::size_t>(levels));
  }

  /// The scores S at X, all at one σ.
  void see(const Matrix<T>& X, double sigma, const Matrix<T>& S) {
    for (Index i = 0; i < last_.size(); ++i) {
      last_[i] = sigma * sigma * sampling::row_norm(S, i);
      if (!(last_[i] <= farthest_[i])) farthest_[i] = last_[i];
    }
    if (sigma_ == 0)
      first_ = last_;
    else if (sigma_ == sigma)
      add_slopes(X, S);
    X_ = X;
    S_ = S;
    sigma_ = sigma;
  }

  /// σ²‖s‖ of chain i where it was first seen, and the largest.
  double first_distance(Index i) const { return first_[i]; }
  double largest_distance(Index i) const { return farthest_[i]; }

  /// Of each level where the score was seen twice: σ² times the sum of the slopes over chains, and how many.
  struct Slope {
    double sigma = 0, sum = 0;
    Index chains = 0;
  };
  const std::vector<Slope>& slopes() const { return slopes_; }

 private:
  // −σ² Δs·Δx/‖Δx‖² between two points of each chain
  void add_slopes(const Matrix<T>& X, const Matrix<T>& S) {
    if (slopes_.empty() || slopes_.back().sigma != sigma_) slopes_.push_back({.sigma = sigma_});
    for (Index i = 0; i < last_.size(); ++i) {
      double largest = 0, bend = 0, square = 0;
      const auto way = [&](Index j) { return static_cast<double>(X(i, j)) - static_cast<double>(X_(i, j)); };
      for (Index j = 0; j < X.cols(); ++j) largest = std::max(largest, std::abs(way(j)));
      for (Index j = 0; j < X.cols(); ++j) {
        const double change = (static_cast<double>(S(i, j)) - static_cast<double>(S_(i, j))) / largest;
        bend -= change * (way(j) / largest);
        square += (way(j) / largest) * (way(j) / largest);
      }
      const double slope = sigma_ * sigma_ * bend / square;
      if (!std::isfinite(slope)) continue;  // it did not move, or left the finite numbers
      slopes_.back().sum += slope;
      ++slopes_.back().chains;
    }
  }

  Matrix<T> X_, S_;  // B × d: where the score was seen last
  double sigma_ = 0;
  Vector<double> first_, last_, farthest_;
  std::vector<Slope> slopes_;
};

}  // namespace detail

namespace extend {

/// A block of chains on their way down: rows are chains. B fills whole registers.
template <class T>
struct NoisyChains {
  Matrix<T> X;            ///< B × d
  Eigen::VectorXi label;  ///< B, the class that each is to be of, −1 for none; empty if the model has no classes
  Eigen::VectorXi evaluations;                 ///< B, scores that each has cost
  Eigen::Array<bool, Eigen::Dynamic, 1> lost;  ///< B, chains that left the finite numbers: they stay where they were
  Eigen::Array<bool, Eigen::Dynamic, 1> late;  ///< B, chains of an adaptive sampler that ran out of steps
  bool any_lost = false;                       ///< whether any of them is lost
  detail::ScoreWatch<T> watch = {};            ///< for the library: measures for the verdict

  /// All chains go to `next` (B × d, used up), but those that would leave the finite numbers.
  void move(Matrix<T>& next) {
    SCOREMATCH_KEEP_ORDER;  // differences of a number with itself
    using V = simd::Lanes<T>;
    V differences = V{};  // 0 as long as all is finite, else NaN
    for (Index i = 0; i < next.size(); i += simd::width<V>) {
      const V there = simd::load<V>(next.data() + i);
      differences += simd::as_written(there - there);
    }
    if (any_lost || !(simd::sum_of_lanes(differences) == 0)) keep_lost(next);
    X.swap(next);
  }

 private:
  void keep_lost(Matrix<T>& next) {
    for (Index i = 0; i < X.rows(); ++i) {
      bool finite = true;
      for (Index j = 0; j < X.cols(); ++j) finite = finite && std::isfinite(next(i, j));
      if (!lost[i] && finite) continue;
      lost[i] = any_lost = true;
      for (Index j = 0; j < X.cols(); ++j) next(i, j) = X(i, j);
    }
  }
};

/// A bound noise-conditional model as the target of blocks of chains, one a thread.
///
/// With labels and a guidance w ≠ 1 the score is that of classifier-free guidance, s(x, none) + w (s(x, label) −
/// s(x, none)) (Ho & Salimans 2022; their w is this one less 1), from two evaluations.
template <class T>
class NoiseConditionalTarget {
 public:
  /// Of a bound model, which must outlive it, and a guidance w.
  NoiseConditionalTarget(const BoundModel<T>& bound, double guidance) : bound_(&bound), guidance_(guidance) {}

  /// s at every row of X (lent for the call), all at one σ: S is B × d.
  void score(NoisyChains<T>& chains, Matrix<T>& X, double sigma, Matrix<T>& S) {
    points_.sigma.setConstant(X.rows(), static_cast<T>(sigma));
    evaluate(X, chains.label, S, nullptr);
    for (Index i = 0; i < X.rows(); ++i) chains.evaluations[i] += evaluations();
    if (chains.watch.on) chains.watch.see(X, sigma, S);
  }

  /// The same with a σ a row; the trace tr(∂s/∂x) of each row too where `trace` is given and was asked for. Evaluations
  /// are the caller's to count.
  void score(const Eigen::VectorXi& label, Matrix<T>& X, const Vector<T>& sigma, Matrix<T>& S,
             Vector<double>* trace = nullptr) {
    points_.sigma = sigma;
    evaluate(X, label, S, trace);
  }

  /// Evaluations of the model that a score costs.
  int evaluations() const { return guidance_ == 0 || guidance_ == 1 ? 1 : 2; }

  /// From now on the exact trace, one direction for each axis.
  void ask_exact_trace() { points_.along = Along::axes; }

  /// From now on its estimate (1/M) Σ vᵀ(∂s/∂x)v by the M directions of each row in V (B × (M d), used up).
  void ask_trace_along(Matrix<T>& V, Index directions) {
    points_.along = Along::given;
    points_.V.swap(V);
    points_.directions = directions;
  }

  /// Room for matrices between two evaluations, kept so that steps do not allocate.
  Matrix<T>& scratch(int k) { return scratch_[static_cast<std::size_t>(k)]; }

 private:
  void evaluate(Matrix<T>& X, const Eigen::VectorXi& label, Matrix<T>& S, Vector<double>* trace) {
    points_.X.swap(X);
    if (guidance_ == 0)
      points_.label.setConstant(label.size(), -1);
    else
      points_.label = label;
    values_.S.swap(S);
    bound_->evaluate(points_, workspace_, values_);
    values_.S.swap(S);
    const double share = points_.along == Along::given ? 1.0 / static_cast<double>(points_.directions) : 1.0;
    if (trace != nullptr) {
      trace->resize(S.rows());
      for (Index i = 0; i < S.rows(); ++i) (*trace)[i] = share * static_cast<double>(values_.curvature[i]);
    }
    if (evaluations() == 2) {
      points_.label.setConstant(label.size(), -1);
      bound_->evaluate(points_, workspace_, values_);
      const T w = static_cast<T>(guidance_);
      for (Index i = 0; i < S.size(); ++i) S.data()[i] = values_.S.data()[i] + w * (S.data()[i] - values_.S.data()[i]);
      if (trace != nullptr)
        for (Index i = 0; i < S.rows(); ++i) {
          const double none = share * static_cast<double>(values_.curvature[i]);
          (*trace)[i] = none + guidance_ * ((*trace)[i] - none);
        }
    }
    points_.X.swap(X);
  }

  const BoundModel<T>* bound_;
  Room workspace_;
  Points<T> points_;
  ScoreValues<T> values_;
  double guidance_;
  std::array<Matrix<T>, 9> scratch_;
};

/// A matrix and the number it is multiplied by.
template <class T>
struct Term {
  double factor;            ///< the number
  const Matrix<T>& matrix;  ///< B × d; it must outlive the term
};

/// out = Σ factor · matrix; all of one shape, B × d with B whole registers. `out` is none of the matrices.
template <class T, std::size_t n>
void combine(Matrix<T>& out, const Term<T> (&terms)[n]) {
  using V = simd::Lanes<T>;
  const Matrix<T>& first = terms[0].matrix;
  out.resize(first.rows(), first.cols());
  V factor[n];
  const T* from[n];
  for (std::size_t k = 0; k < n; ++k) {
    factor[k] = simd::broadcast<V>(static_cast<T>(terms[k].factor));
    from[k] = terms[k].matrix.data();
  }
  for (Index i = 0; i < out.size(); i += simd::width<V>) {
    V sum = factor[0] * simd::load<V>(from[0] + i);
    for (std::size_t k = 1; k < n; ++k) sum += factor[k] * simd::load<V>(from[k] + i);
    simd::store<V>(out.data() + i, sum);
  }
}

/// One step of a ladder: from a noise level to the next, or to 0.
struct NoiseStep {
  double sigma = 0;  ///< where the step begins
  double next = 0;   ///< where it ends; 0: with the mean of the data given x
};

}  // namespace extend

namespace sampling {

/// Throws unless each of `count` samples has a class of the model where it has classes, and guidance has something to
/// guide by. `options` names the struct that holds both.
template <class M>
void require_guidance(const M& model, const std::vector<int>& labels, Index count, double guidance,
                      const char* options) {
  const Index classes = extend::classes_of(model);
  extend::require(
      classes == 0 || !labels.empty(),
      {options, ": labels are missing, and the model has ", classes, " classes; give each of the ", count,
       " samples its own, from 0 to ", classes - 1, " (or -1 for none, if it has learned without labels, too)"});
  extend::require_labels(labels, count, classes, detail::text(options, ": labels").c_str());
  extend::require(std::isfinite(guidance), {options, ": guidance is ", guidance, "; it must be a finite number"});
  extend::require(guidance == 1 || !labels.empty(),
                  {options, ": guidance is ", guidance, ", but no labels are given to be guided by"});
}

/// Steps from each level to the next and, with `denoise`, from the last to 0.
inline Index steps_down(const Levels& levels, bool denoise) { return levels.size() - (denoise ? 0 : 1); }

inline extend::NoiseStep step_down(const Levels& levels, Index step) {
  return {levels[step], step + 1 < levels.size() ? levels[step + 1] : 0};
}

/// Throws unless the steps of all levels have addresses for their noise: `steps` is what the user chose for each.
inline void require_step_count(Index levels, Index steps, const char* argument) {
  const Index most = detail::power_of_two(detail::field_bits) / levels / 2;
  extend::require(steps < most, {argument, " is ", steps, "; with ", levels, " levels it must be below ", most});
}

inline void require_steps(const Levels& levels, bool denoise, const char* sampler) {
  extend::require(
      steps_down(levels, denoise) >= 1,
      {sampler, ": there is one noise level and denoise is false, so that nothing would be done; give more levels"});
}

}  // namespace sampling

namespace extend {

/// A sampler of noise-conditional models that goes down a ladder.
///   validate          throws on options out of range
///   starts_at         the σ at which its chains start
///   step_count, at    how many steps, and from which σ to which each of them goes
///   Notes<T>          what it keeps from step to step for a block of chains
///   advance           one step of a block: a pure function of the chains, the step and its noise
/// One whose steps at a level σ are Langevin's says in `langevin_ratio` what h/σ² is: the score's slope reaches 1/σ²,
/// so that a step is unstable from 2 on. A step that draws noise n times gives each an address of its own, noise.step ·
/// n + 0, 1, … n − 1 (predictor_corrector).
template <class S, class T = double>
concept LadderSampler = std::copyable<S> &&
    requires(const S& sampler, NoiseConditionalTarget<T>& target, NoisyChains<T>& chains,
             typename S::template Notes<T>& notes, Index step, const ChainNoise& noise) {
  sampler.validate();
  { sampler.starts_at() } -> std::convertible_to<double>;
  { sampler.step_count() } -> std::convertible_to<Index>;
  { sampler.at(step) } -> std::same_as<NoiseStep>;
  sampler.advance(target, chains, notes, step, noise);
};

/// One that chooses each chain's steps itself: `attempt` tries one step of each chain of a block and tells whether all
/// have arrived; `share` how far the last of them is, from 0 to 1.
template <class S, class T = double>
concept AdaptiveSampler = std::copyable<S> && requires(const S& sampler, NoiseConditionalTarget<T>& target,
                                                       NoisyChains<T>& chains, typename S::template Notes<T>& notes) {
  sampler.validate();
  { sampler.starts_at() } -> std::convertible_to<double>;
  { sampler.ends_at() } -> std::convertible_to<double>;
  { sampler.attempt(target, chains, notes) } -> std::same_as<bool>;
  { sampler.share(notes) } -> std::convertible_to<double>;
};

template <class S, class T = double>
concept NoiseConditionalSampler = LadderSampler<S, T> || AdaptiveSampler<S, T>;  ///< Either of them

}  // namespace extend

namespace sampling {

/// Any of them as a value, so that the loop over chains is compiled once a scalar.
template <class T>
class BoundSampler {
 public:
  using Target = extend::NoiseConditionalTarget<T>;

  template <class S>
  requires(!std::same_as<S, BoundSampler> &&
           extend::NoiseConditionalSampler<S, T>) explicit BoundSampler(const S& sampler)
      : held_(std::make_unique<Held<S>>(sampler)) {}

  void validate() const { held_->validate(); }
  bool adaptive() const { return held_->adaptive(); }
  double starts_at() const { return held_->starts_at(); }
  /// A ladder's steps; 0 of an adaptive sampler.
  Index step_count() const { return held_->step_count(); }
  extend::NoiseStep at(Index step) const { return held_->at(step); }
  double langevin_ratio() const { return held_->langevin_ratio(); }  ///< NaN where its steps are not Langevin's
  void advance(Target& target, extend::NoisyChains<T>& chains, extend::Room& notes, Index step,
               const extend::ChainNoise& noise) const {
    held_->advance(target, chains, notes, step, noise);
  }
  double ends_at() const { return held_->ends_at(); }
  bool attempt(Target& target, extend::NoisyChains<T>& chains, extend::Room& notes) const {
    return held_->attempt(target, chains, notes);
  }
  double share(extend::Room& notes) const { return held_->share(notes); }

 private:
  struct Anything {
    virtual ~Anything() = default;
    virtual void validate() const = 0;
    virtual bool adaptive() const = 0;
    virtual double starts_at() const = 0;
    virtual double ends_at() const = 0;
    virtual Index step_count() const = 0;
    virtual extend::NoiseStep at(Index step) const = 0;
    virtual double langevin_ratio() const = 0;
    virtual void advance(Target&, extend::NoisyChains<T>&, extend::Room& notes, Index step,
                         const extend::ChainNoise&) const = 0;
    virtual bool attempt(Target&, extend::NoisyChains<T>&, extend::Room& notes) const = 0;
    virtual double share(extend::Room& notes) const = 0;
  };

  template <class S>
  struct Held final : Anything {
    using Notes = typename S::template Notes<T>;
    static constexpr bool is_ladder = extend::LadderSampler<S, T>;

    explicit Held(const S& what) : sampler(what) {}
    void validate() const override { sampler.validate(); }
    bool adaptive() const override { return !is_ladder; }
    double starts_at() const override { return sampler.starts_at(); }
    double ends_at() const override {
      if constexpr (is_ladder)
        return sampler.at(sampler.step_count() - 1).next;
      else
        return sampler.ends_at();
    }
    Index step_count() const override {
      if constexpr (is_ladder)
        return sampler.step_count();
      else
        return 0;
    }
    extend::NoiseStep at(Index step) const override {
      if constexpr (is_ladder)
        return sampler.at(step);
      else
        return {};
    }
    double langevin_ratio() const override {
      if constexpr (requires { sampler.langevin_ratio(); })
        return sampler.langevin_ratio();
      else
        return std::numeric_limits<double>::quiet_NaN();
    }
    void advance(Target& target, extend::NoisyChains<T>& chains, extend::Room& notes, Index step,
                 const extend::ChainNoise& noise) const override {
      if constexpr (is_ladder) sampler.advance(target, chains, notes.of<Notes>(), step, noise);
    }
    bool attempt(Target& target, extend::NoisyChains<T>& chains, extend::Room& notes) const override {
      if constexpr (is_ladder)
        return true;
      else
        return sampler.attempt(target, chains, notes.of<Notes>());
    }
    double share(extend::Room& notes) const override {
      if constexpr (is_ladder)
        return 1;
      else
        return sampler.share(notes.of<Notes>());
    }

    S sampler;
  };

  std::unique_ptr<Anything> held_;
};

}  // namespace sampling
}  // namespace scorematch
