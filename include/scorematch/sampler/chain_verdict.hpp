// By what a run of chains is judged, so that "complete" is a promise that could have been broken. No rule has a unit:
// x → λx, h → λ²h gives the same verdict.
//
// An unstable step. Of an unadjusted Langevin chain x_{t+1} = x_t + h s(x_t) + ξ_t, E‖ξ_t‖² = 2hτd, let Δx_t be a step
// and Δs_t the change of the score over it. Then hΔs_t = Δx_{t+1} − ξ_{t+1} − Δx_t + ξ_t, so in a stationary state,
// where E[Δx_{t+1}·Δx_t] ≥ −E‖Δx‖²,
//   −h E[Δs·Δx]/E‖Δx‖² ≤ 2 − 2hτd/E‖Δx‖² < 2
// for whatever law. For a quadratic energy the left side is a mean of the curvatures times h: above 2 each step
// overshoots by more than the one before. A chain for which it is above 2, and whose drift has come to exceed the noise
// by far, grows without bound, however far from overflow it is.
//
// Travel. A stationary chain goes no farther than its noise alone would carry it: over n steps the mean square of a
// coordinate's way is at most 2hτn for the reversible diffusion. Let D be a way over √(2hτn). A chain with ‖D‖ ≫ √d
// over the last quarter of its steps, and as far over the quarter before, travels: no law holds it, or the run is too
// short to find out. So do chains whose mean of D is many standard errors from 0, and no small part of the diffusion. A
// way that grows from quarter to quarter is divergence.
//
// Rest. A Metropolis chain that has not moved over the second half of its steps is at rest, unless so few steps can
// leave one at rest by chance.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

#include "scorematch/check.hpp"
#include "scorematch/sampler/row_norm.hpp"
#include "scorematch/sampler/target.hpp"

namespace scorematch::sampling {

/// Which steps of a run are looked at.
struct WatchPlan {
  static constexpr Index pairs = 16, shortest = 4, shortest_quarter = 25;

  Index total = 0, half = 0, quarter = 0, stride = 2;

  explicit WatchPlan(Index steps)
      : total(steps), half(steps / 2), quarter(steps / 4), stride(std::max<Index>(2, (steps - half) / pairs)) {}

  /// Whether the secant of the score over step t, and so the scores at steps t and t + 1, are looked at.
  bool secant(Index t) const {
    const Index back = total - 2 - t;
    return total >= shortest && t >= half && back >= 0 && back % stride == 0 && back / stride < pairs;
  }
  bool judges_travel() const { return quarter >= shortest_quarter; }

  /// The first step from t on that is looked at.
  Index next(Index t) const {
    Index first = total;
    const auto candidate = [&](Index step) {
      if (step >= t) first = std::min(first, step);
    };
    for (const Index step : {half, total - 2 * quarter, total - quarter}) candidate(step);
    if (total >= shortest)
      for (Index back = total - 2; back >= half && (total - 2 - back) / stride < pairs; back -= stride) {
        candidate(back);
        candidate(back + 1);
      }
    return first;
  }
};

/// Facts about one chain at its end.
struct ChainFindings {
  bool unstable = false;    ///< h times the curvature is above 2, and the drift exceeds the noise
  bool growing = false;     ///< its way grows
  bool travelling = false;  ///< its way is far beyond diffusion's
};

/// The ways of all chains of a run.
struct Ways {
  Eigen::VectorXd third, last;  ///< sums of D over the chains
  double squares = 0;           ///< Σ‖D‖² over the last quarter
  Index chains = 0;

  explicit Ways(Index dimension) : third(Eigen::VectorXd::Zero(dimension)), last(Eigen::VectorXd::Zero(dimension)) {}

  void add(const Ways& other) {
    third += other.third;
    last += other.last;
    squares += other.squares;
    chains += other.chains;
  }

  /// Whether the chains travel together.
  bool together() const {
    if (chains == 0) return false;
    const double count = static_cast<double>(chains), d = static_cast<double>(last.size());
    const double way = last.norm() / count, before = third.norm() / count, along = third.dot(last) / (count * count);
    const double spread = std::sqrt(std::max(1.0, (squares / count - way * way) / d));  // a coordinate's, among chains
    const double limit = spread * (std::sqrt(d) + 8) / std::sqrt(count);                // e⁻³² by chance
    return way > 0.5 && way > limit && before > limit && along > 0.7 * before * before;
  }
};

/// Watches a block of chains.
template <class T>
class ChainWatch {
 public:
  /// `secants`: whether scores are compared (unadjusted Langevin).
  void start(const extend::Chains<T>& chains, bool secants) {
    const Index B = chains.X.rows(), d = chains.X.cols();
    next_ = 0;
    accepted_.setZero(B);
    middle_.resize(B, d);
    late_.resize(B, d);
    if (!secants) return;
    X_.resize(B, d);
    S_.resize(B, d);
    X_next_.resize(B, d);
    bend_.setZero(B);
    weight_.setZero(B);
    scale_.setZero(B);
    drift_.setZero(B);
  }

  void before(Index t, const WatchPlan& plan, extend::Chains<T>& chains) {
    if (t < next_) return;
    now_ = true;
    next_ = plan.next(t + 1);
    if (t == plan.half) accepted_ = chains.accepted;
    if (t == plan.total - 2 * plan.quarter) middle_ = chains.X;
    if (t == plan.total - plan.quarter) late_ = chains.X;
    if (X_.size() == 0) return;
    const bool first = plan.secant(t), second = t > 0 && plan.secant(t - 1);
    chains.keep_score = first || second;
    if (first) X_ = chains.X;
    if (second) X_next_ = chains.X;
  }

  void after(Index t, const WatchPlan& plan, extend::Chains<T>& chains) {
    if (!now_) return;
    now_ = chains.keep_score = false;
    if (X_.size() == 0) return;
    if (t > 0 && plan.secant(t - 1)) compare(chains.S);
    if (plan.secant(t)) S_ = chains.S;
  }

  /// Whether chain i moved in the second half.
  bool moved_late(const extend::Chains<T>& chains, Index i) const { return chains.accepted[i] > accepted_[i]; }

  /// Unadjusted Langevin's chain i, its step h and temperature τ.
  bool unstable(Index i, double h, double temperature) const {
    const double d = static_cast<double>(X_.cols());
    return weight_[i] > 0 && -h * bend_[i] > 2 * (1 - 1e-9) * weight_[i] &&
           std::sqrt(h / (2 * temperature * d)) * drift_[i] > 5;
  }

  /// Chain i's way over the last quarters in units of diffusion, of variance `diffusion` per step and coordinate; added
  /// to `ways` where it does not run away.
  void travel(const extend::Chains<T>& chains, Index i, const WatchPlan& plan, double diffusion, ChainFindings& found,
              Ways& ways) const {
    const Index d = middle_.cols();
    const double unit = 1 / std::sqrt(diffusion * static_cast<double>(plan.quarter));
    double before = 0, now = 0, along = 0;
    const auto third = [&](Index j) {
      return unit * (static_cast<double>(late_(i, j)) - static_cast<double>(middle_(i, j)));
    };
    const auto last = [&](Index j) {
      return unit * (static_cast<double>(chains.X(i, j)) - static_cast<double>(late_(i, j)));
    };
    for (Index j = 0; j < d; ++j) {
      before += third(j) * third(j);
      now += last(j) * last(j);
      along += third(j) * last(j);
    }
    const double limit = std::sqrt(static_cast<double>(d)) + 8;  // e⁻³² by chance
    found.growing = !(std::sqrt(now) < 100 * limit) && !(now < 4 * before);
    found.travelling = std::sqrt(now) > limit && std::sqrt(before) > limit && along > 0.7 * before;
    if (found.growing || found.unstable) return;
    ++ways.chains;
    ways.squares += now;
    for (Index j = 0; j < d; ++j) {
      ways.third[j] += third(j);
      ways.last[j] += last(j);
    }
  }

 private:
  // Adds Δs·Δx and ‖Δx‖² over a step of each chain, both over scale², which keeps squares from overflowing. Steps
  // within rounding tell nothing.
  void compare(const Matrix<T>& S_next) {
    constexpr double least = 64 * static_cast<double>(std::numeric_limits<T>::epsilon());
    for (Index i = 0; i < X_.rows(); ++i) {
      double largest = 0, size = 0;
      for (Index j = 0; j < X_.cols(); ++j) {
        const double x = static_cast<double>(X_(i, j));
        largest = std::max(largest, std::abs(static_cast<double>(X_next_(i, j)) - x));
        size = std::max(size, std::abs(x));
      }
      drift_[i] = row_norm(S_next, i);
      if (!(largest > least * size) || !std::isfinite(largest)) continue;
      if (largest > scale_[i]) {
        const double ratio = scale_[i] / largest;
        bend_[i] *= ratio * ratio;
        weight_[i] *= ratio * ratio;
        scale_[i] = largest;
      }
      for (Index j = 0; j < X_.cols(); ++j) {
        const double way = (static_cast<double>(X_next_(i, j)) - static_cast<double>(X_(i, j))) / scale_[i];
        const double change = static_cast<double>(S_next(i, j)) - static_cast<double>(S_(i, j));
        bend_[i] += way * (change / scale_[i]);
        weight_[i] += way * way;
      }
    }
  }

  Index next_ = 0;                                // the next step that is looked at
  bool now_ = false;                              // whether this one is
  Vector<double> accepted_;                       // B: steps that had moved at half time
  Matrix<T> middle_, late_;                       // B × d: where the chains were at half time and at three quarters
  Matrix<T> X_, S_, X_next_;                      // B × d, and of the present pair of steps
  Vector<double> bend_, weight_, scale_, drift_;  // B: Σ Δs·Δx and Σ‖Δx‖² over scale², and the last ‖s‖
};

/// Whether a run of `steps` steps can leave one of `chains` chains at rest by chance, where a step moves with
/// probability `acceptance`: in more than one run of a hundred.
inline bool rests_by_chance(double acceptance, Index steps, Index chains) {
  return acceptance >= 0.01 &&
         static_cast<double>(chains) * std::pow(1 - acceptance, static_cast<double>(steps)) >= 0.01;
}

/// "34 of 1000 chains (3.4 %)"
inline std::string share_of(Index count, Index chains) {
  char text[96];
  std::snprintf(text, sizeof text, "%lld of %lld chains (%.3g %%)", static_cast<long long>(count),
                static_cast<long long>(chains), 100.0 * static_cast<double>(count) / static_cast<double>(chains));
  return text;
}

/// Adds a sentence.
inline void tell(std::string& evidence, const std::string& sentence) {
  if (!evidence.empty()) evidence += "; ";
  evidence += sentence;
}

}  // namespace scorematch::sampling
