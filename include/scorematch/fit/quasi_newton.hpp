// Minimises a loss by Gauss–Newton and quasi-Newton steps, in the units of the loss itself: the path, its end and the
// verdict do not depend on the units of θ, of the data, or of the loss.
//
//   direction  δ = −H g, H the L-BFGS two-loop product (Nocedal & Wright 2006, algorithm 7.4) whose first matrix is the
//              inverse of the metric G (fit/metric.hpp)
//   damping    δ solves (G + μ diag G) δ = −g, μ after Levenberg and Marquardt: it shortens the step in directions that
//              G hardly holds
//   step       backtracking until the loss falls enough (Armijo), or, where rounding hides its fall, until the slope
//              does (Hager & Zhang 2005, "approximate Wolfe"); at first no step changes the score by more than a third
//              of its size
//   refresh    G is taken anew, and the corrections are dropped, once the score has changed by a fifth of its size, or
//              a step by G was damped or cut
//   curvature  of up to 60 parameters the Hessian itself by differences of gradients: where G is a bad guide (few steps
//              have brought little) for the steps, and at the end, where it tells a minimum from a saddle, which the
//              search leaves again
//   verdict    the change of the score that the next step −G⁻¹g would make beside the score's size, coordinate by
//              coordinate in units of the data, so that none hides behind others
#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <limits>
#include <vector>

#include "scorematch/fit/metric.hpp"
#include "scorematch/types.hpp"

namespace scorematch::fitting {

/// Returns the loss at θ and writes its gradient.
using Function = std::function<double(const Eigen::VectorXd& theta, Eigen::VectorXd& gradient)>;

/// Told of every evaluation: its number, the loss, the gradient's norm, whether it is the best so far. False stops.
using Observer = std::function<bool(Index evaluation, double loss, double gradient_norm, bool best)>;

struct Search {
  Index iterations = 1000;
  Index memory = 10;         ///< corrections kept, ≥ 1
  double tolerance = 1e-9;   ///< decrement that ends the search
  double resolution = 1e-6;  ///< decrement that counts as converged where rounding hides any further fall
  double noise = 1e-14;      ///< relative rounding error of the loss
  double natural =
      0;  ///< the square of the score's size by the data's own scale: what counts where the score is 0 everywhere
  /// Whether the start is stationary as far as this function's metric cannot tell: then the search ends there if it is
  /// stationary as far as the metric can, along directions that have at least a millionth of their numbers' effects.
  bool settled_where_hidden = false;
  /// A loss below is taken for one that falls without bound.
  double floor = -std::numeric_limits<double>::infinity();
};

struct Minimum {
  Eigen::VectorXd theta;  ///< the best finite point seen; the start if there is none
  double loss = std::numeric_limits<double>::infinity();
  double gradient_norm = std::numeric_limits<double>::infinity();
  /// The change of the score by the rounding of θ, beside its size: no decrement can be told from 0 below
  double resolved = 0;
  /// The change of the score by the step −G⁻¹g, beside its size; without units; NaN where it was not computed
  double decrement = std::numeric_limits<double>::quiet_NaN();
  double gain = std::numeric_limits<double>::quiet_NaN();  ///< the metric's, at θ
  Index iterations = 0, evaluations = 0;
  Index non_finite = 0;     ///< evaluations whose loss or gradient was not finite
  bool started = false;     ///< loss and gradient were finite at the start
  bool converged = false;   ///< the decrement is small
  bool unbounded = false;   ///< the loss fell below the floor
  bool stopped = false;     ///< by the observer
  bool saddle = false;      ///< stationary, but along a direction the loss curves down
  std::vector<Index> lost;  ///< numbers of θ that ran to where they change nothing any more
  std::vector<Index> idle;  ///< that never did
};

namespace inner {

inline double dot(const Eigen::VectorXd& a, const Eigen::VectorXd& b) {
  double sum = 0;
  for (Index i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

class Minimiser {
 public:
  Minimiser(const Function& function, const MetricAt& metric_at, const Search& search, const Observer& observer)
      : function_(function), metric_at_(metric_at), search_(search), observer_(observer) {}

  Minimum run(const Eigen::VectorXd& start) {
    best_.theta = start;
    Point now;
    now.theta = start;
    evaluate(now);
    best_.started = now.finite;
    if (!now.finite || ends()) return best_;
    refresh(now);
    first_diagonal_ = metric_.diagonal;
    if (!search_.settled_where_hidden || !settles_at_start(now))
      while (iterate(now)) continue;
    settle(now);
    return best_;
  }

 private:
  struct Point {
    Eigen::VectorXd theta, gradient;
    double loss = std::numeric_limits<double>::infinity();
    bool finite = false;
  };
  struct Correction {
    Eigen::VectorXd step, change;  ///< of θ, of the gradient
    double product;
  };

  bool ends() const { return best_.stopped || best_.unbounded; }

  // Whether the start is stationary along the directions that the metric tells best.
  bool settles_at_start(const Point& start) {
    undamped_.factor(metric_, 1e-6);
    is_metrics_ = false;
    undamped_.solve(start.gradient, direction_);
    best_.decrement = decrement_by(metric_, start, direction_);
    confirmed_ = best_.decrement <= search_.resolution;
    return confirmed_;
  }

  // From one point of the path to the next; false where the search is over.
  bool iterate(Point& now) {
    const double before = best_.decrement;
    if (small(now)) return leaves_end(now);
    if (be_newton_if_slow(now) && curves_down(now) && leave_saddle(now)) {
      if (ends()) return false;
      refresh(now);
      return true;
    }
    if (best_.iterations >= search_.iterations) return false;
    Point next;
    const bool lower = step(now, next);
    if (ends()) return false;
    return lower ? accept(now, next, before) : retry(now);
  }

  // Where the decrement is small: looked at by a fresh metric, and left again if it is no minimum.
  bool leaves_end(Point& now) {
    if (!fresh_) {
      refresh(now);
      return true;
    }
    if (is_minimum(now) || best_.iterations >= search_.iterations) return false;
    if (best_.saddle && !leave_saddle(now)) return false;
    if (ends()) return false;
    refresh(now);
    return true;
  }

  bool accept(Point& now, Point& next, double decrement_before) {
    ++best_.iterations;
    failures_ = 0;
    // A fall that rounding could explain, without a smaller decrement, leads nowhere.
    const bool leads_on = now.loss - next.loss > 10 * rounding_at(now) || best_.decrement < 0.5 * decrement_before;
    in_vain_ = leads_on ? 0 : in_vain_ + 1;
    remember(now, next);
    now = std::move(next);
    if (in_vain_ == 20) return false;
    if (newton_ || (metric_.gram.size() > 0 ? path_ > 0.2 || left_metric_ : path_ > 1)) refresh(now);
    return true;
  }

  // Afresh from here, and then nearer to the steepest descent: where G is no guide to the loss's curvature.
  bool retry(const Point& now) {
    if (!fresh_ || !corrections_.empty()) {
      refresh(now);
      return true;
    }
    if (++failures_ > 6) return false;
    damping_ = std::max(100 * damping_, 1e-8);
    factor();
    radius_ *= 0.25;
    return true;
  }

  /// The error of the loss by rounding.
  double rounding_at(const Point& at) const { return search_.noise * (std::abs(at.loss) + metric_.square); }

  /// The relative change of the score by rounding of θ.
  double resolved_at(const Point& at) const {
    double most = 0;
    for (Index i = 0; i < at.theta.size(); ++i) {
      const double of_all = metric_.square > 0 ? metric_.diagonal[i] / metric_.square : 0,
                   by_coordinate =
                       metric_.relative_square > 0 ? metric_.relative_diagonal[i] / metric_.relative_square : 0;
      most = std::max(most, std::sqrt(std::max(of_all, by_coordinate)) * std::abs(at.theta[i]));
    }
    return std::numeric_limits<double>::epsilon() * most;
  }

  void evaluate(Point& at) {
    at.loss = function_(at.theta, at.gradient);
    const double norm = std::sqrt(dot(at.gradient, at.gradient));
    at.finite = std::isfinite(at.loss) && std::isfinite(norm);
    const bool better = at.finite && at.loss < best_.loss;
    if (better) {
      best_.theta = at.theta;
      best_.loss = at.loss;
      best_.gradient_norm = norm;
    }
    if (!at.finite) ++best_.non_finite;
    best_.unbounded = best_.unbounded || (at.finite && at.loss < search_.floor);
    if (observer_ && !observer_(best_.evaluations, at.loss, norm, better)) best_.stopped = true;
    ++best_.evaluations;
  }

  void refresh(const Point& at) {
    corrections_.clear();
    path_ = 0;
    fresh_ = true;
    metric_at_(at.theta, metric_);
    is_metrics_ = false;
    if (!std::isfinite(metric_.square)) metric_.square = 0;
    if (metric_.square == 0) metric_.square = metric_.relative_square = search_.natural;
    look_for_lost(at);
    if (newton_) differentiate(at);
    factor();
  }

  void factor() {
    if (newton_)  // a direction of θ that changes nothing, of two weights together, say, is left alone
      solver_.factor(hessian_, metric_.diagonal, std::max(damping_, 1e-8));
    else
      solver_.factor(metric_, damping_);
  }

  // A number of θ whose effect has shrunk to 10⁻⁸ of what it was, or is small beside that of one more, or twice as
  // much: where the loss curves as G says, it is one in other units; where not, G, the square of a vanishing slope,
  // would have it leap to where it changes nothing. One with no effect left is lost.
  void look_for_lost(const Point& at) {
    const Index p = at.theta.size();
    if (most_.size() == 0) most_.setZero(p);
    still_.assign(static_cast<std::size_t>(p), 0);
    if (!(metric_.square > 0)) return;
    int tries = 30;  // of a network hundreds may be weak: their damping has to do
    for (Index i = 0; i < p; ++i) {
      // What rounding makes of no effect: neither one more nor twice as much is seen.
      const double unit = std::max(std::abs(at.theta[i]), 1.0);
      if (std::sqrt(metric_.diagonal[i] / metric_.square) * unit < 1e-13)
        replace_no_effect(at, i, unit, tries);
      else
        raise_weak_effect(at, i, unit, tries);
    }
  }

  // A number that does not move the score may yet move the loss: by its trace, or where the square of the number counts
  // alone. By its own curvature then, or, where that is nothing, so that no step changes the loss by more than its
  // size.
  void replace_no_effect(const Point& at, Index i, double unit, int& tries) {
    double own = 0;
    const double size = std::abs(at.loss) + metric_.square, slope = std::abs(at.gradient[i]),
                 curvature = --tries >= 0 ? std::abs(curvature_of(at, i, 1e-2 * unit)) : 0;
    if (curvature * unit * unit > 1e-8 * size && std::isfinite(curvature))
      own = curvature;
    else if (slope * unit > 1e-14 * size)
      own = slope * slope / size;
    else
      still_[static_cast<std::size_t>(i)] = most_[i] > 0;
    metric_.diagonal[i] = own;
    metric_.relative_diagonal[i] = metric_.relative_square * own / size;
    if (metric_.gram.size() > 0) {
      metric_.relative_gram(i, i) = metric_.relative_diagonal[i];
      metric_.gram(i, i) = own;
    }
  }

  void raise_weak_effect(const Point& at, Index i, double unit, int& tries) {
    double& own = metric_.diagonal[i];
    most_[i] = std::max(most_[i], own / metric_.square);
    const double lost = 1e-16 * most_[i] * metric_.square, weak = 1e-8 * metric_.square / (unit * unit);
    if (!(own < std::max(lost, weak)) || --tries < 0) return;
    const double curvature = curvature_of(at, i, 1e-2 * std::min(unit, 1 / std::sqrt(most_[i])));
    if (curvature > 0.1 * own && curvature < 10 * own) return;
    still_[static_cast<std::size_t>(i)] = own < lost;
    own = std::max({lost, weak, std::isfinite(curvature) ? curvature : 0});
    if (metric_.gram.size() > 0) metric_.gram(i, i) = own;
  }

  double curvature_of(const Point& at, Index i, double step) {
    Eigen::VectorXd theta = at.theta, ahead, behind;
    theta[i] = at.theta[i] - step;
    (void)function_(theta, behind);
    theta[i] = at.theta[i] + step;
    (void)function_(theta, ahead);
    return (ahead[i] - behind[i]) / (2 * step);
  }

  // The Hessian by central differences of gradients over steps that change the score by a thousandth of its size.
  void differentiate(const Point& at) {
    const Index p = at.theta.size();
    hessian_.setZero(p, p);
    Eigen::VectorXd theta = at.theta, ahead, behind;
    for (Index i = 0; i < p; ++i) {
      if (!(metric_.diagonal[i] > 0) || still_[static_cast<std::size_t>(i)]) continue;
      const double step = 1e-3 * std::sqrt(metric_.square / metric_.diagonal[i]);
      theta[i] = at.theta[i] - step;
      double taken = -theta[i];  // as rounding leaves it
      (void)function_(theta, behind);
      theta[i] = at.theta[i] + step;
      taken += theta[i];
      (void)function_(theta, ahead);
      theta[i] = at.theta[i];
      for (Index k = 0; k < p; ++k) {
        const double slope = taken != 0 ? (ahead[k] - behind[k]) / taken : 0;
        const double half = std::isfinite(slope) ? 0.5 * slope : 0;
        hessian_(k, i) += half;
        hessian_(i, k) += half;
      }
    }
    for (Index i = 0; i < p; ++i) {  // of what changes nothing rounding alone would speak
      if (!still_[static_cast<std::size_t>(i)]) continue;
      for (Index k = 0; k < p; ++k) hessian_(k, i) = hessian_(i, k) = 0;
      hessian_(i, i) = metric_.diagonal[i];
    }
  }

  bool may_differentiate(const Point& at) const {
    return at.theta.size() <= most_newton && metric_.gram.size() > 0 && metric_.square > 0 && resolved_at(at) < 1e-6;
  }

  // After ten steps near the end that have not brought the decrement down to a tenth: G is no guide to the curvature.
  // True where they now begin.
  bool be_newton_if_slow(const Point& at) {
    constexpr Index enough = 40;
    if (newton_ && best_.iterations >= since_ + enough) {  // nor is the Hessian; a good one needs far less
      newton_ = false;
      tired_ = true;
      refresh(at);
    }
    if (newton_ || tired_) return false;
    if (best_.decrement > 1 || best_.decrement < 0.1 * then_ || !(then_ > 0)) {
      since_ = best_.iterations;
      then_ = best_.decrement;
    } else if (best_.iterations >= since_ + 10 && may_differentiate(at)) {
      newton_ = true;
      since_ = best_.iterations;
      damping_ = 0;
      refresh(at);
    }
    return newton_;
  }

  // Whether the Hessian at hand has a clearly negative eigenvalue, in units of the metric; leaves its factor in
  // undamped_.
  bool curves_down(const Point& at) {
    undamped_ = {};  // so that its damping is the least that serves
    undamped_.factor(hessian_, metric_.diagonal, 0);
    is_metrics_ = false;
    double steepest = 1;
    for (Index i = 0; i < at.theta.size(); ++i)
      if (metric_.diagonal[i] > 0) steepest = std::max(steepest, hessian_(i, i) / metric_.diagonal[i]);
    return undamped_.damping() > 1e-4 * steepest;
  }

  // The curvature itself must confirm a small decrement by G, where it can be had: the loss curves up,
  // and the Newton step is small, too. If not, a saddle, or G was no guide.
  bool is_minimum(const Point& at) {
    best_.saddle = false;
    if (!may_differentiate(at)) return true;
    if (!newton_) differentiate(at);
    best_.saddle = curves_down(at);
    if (best_.saddle) return false;
    undamped_.solve(at.gradient, direction_);
    const double by_curvature = undamped_.damping() > 0 ? 0 : decrement_by(metric_, at, direction_);
    if (by_curvature <= std::max(search_.resolution, 4 * resolved_at(at)) || newton_) return true;
    newton_ = !tired_;
    since_ = best_.iterations;
    return !newton_;
  }

  // From a saddle along the direction in which the loss curves down most: by inverse iteration with what factor is at
  // hand. False where that lowers the loss nowhere.
  bool leave_saddle(Point& now) {
    const Index p = now.theta.size();
    Eigen::VectorXd v(p);
    for (Index i = 0; i < p; ++i)
      v[i] = metric_.diagonal[i] > 0 ? (1 + 0.37 * static_cast<double>(i % 7)) * std::sqrt(metric_.diagonal[i]) : 0;
    for (int k = 0; k < 20; ++k) {
      undamped_.solve(v, direction_);
      const double length = length_of_direction(now);
      if (!(length > 0)) return false;
      for (Index i = 0; i < p; ++i) {
        direction_[i] *= 0.1 / length;
        v[i] = metric_.diagonal[i] * direction_[i];
      }
    }
    for (double t = 1; std::abs(t) > 1e-3; t *= -0.5) {  // both ways
      Point next;
      next.theta.resize(p);
      for (Index i = 0; i < p; ++i) next.theta[i] = now.theta[i] + t * direction_[i];
      evaluate(next);
      if (ends()) return true;
      if (!next.finite || !(next.loss < now.loss - rounding_at(now))) continue;
      now = std::move(next);
      ++best_.iterations;
      best_.saddle = false;
      return true;
    }
    return false;
  }

  double decrement(const Point& at) {
    const MetricSolver* solver = &solver_;
    if (damping_ > 0 || newton_) {  // a damped step is no measure
      if (!is_metrics_) undamped_.factor(metric_, 0);
      is_metrics_ = true;
      solver = &undamped_;
    }
    solver->solve(at.gradient, direction_);
    return decrement_by(metric_, at, direction_);
  }

  // Two measures, of which the larger counts: gᵀG⁻¹g sees what moves the loss and not the score, the other every
  // coordinate.
  static double decrement_by(const Metric& metric, const Point& at, const Eigen::VectorXd& delta) {
    const double of_loss = std::max(dot(at.gradient, delta), 0.0),
                 of_score = squared_length(metric.relative_gram, metric.relative_diagonal, delta);
    return std::sqrt(
        std::max(of_loss == 0 ? 0 : of_loss / metric.square, of_score == 0 ? 0 : of_score / metric.relative_square));
  }

  /// The decrement of a trial: its metric is taken for this alone.
  double decrement_at(const Point& trial) {
    Metric metric;
    metric_at_(trial.theta, metric);
    MetricSolver solver;
    solver.factor(metric, 0);
    Eigen::VectorXd delta;
    solver.solve(trial.gradient, delta);
    return decrement_by(metric, trial, delta);
  }

  bool small(const Point& at) {
    best_.decrement = decrement(at);
    return best_.decrement <= search_.tolerance;
  }

  // direction_ = −H g
  void choose_direction(const Point& at) {
    Eigen::VectorXd q = at.gradient;
    std::vector<double> alpha(corrections_.size());
    for (std::size_t k = corrections_.size(); k-- > 0;) {
      const Correction& c = corrections_[k];
      alpha[k] = dot(c.step, q) / c.product;
      for (Index i = 0; i < q.size(); ++i) q[i] -= alpha[k] * c.change[i];
    }
    solver_.solve(q, direction_);
    if (!corrections_.empty() &&
        metric_.gram.size() == 0) {  // the size of a diagonal is worth less than that of a step
      const Correction& last = corrections_.back();
      solver_.solve(last.change, scratch_);
      const double size = last.product / dot(last.change, scratch_);
      for (Index i = 0; i < q.size(); ++i) direction_[i] *= size;
    }
    for (std::size_t k = 0; k < corrections_.size(); ++k) {
      const Correction& c = corrections_[k];
      const double beta = dot(c.change, direction_) / c.product;
      for (Index i = 0; i < q.size(); ++i) direction_[i] += (alpha[k] - beta) * c.step[i];
    }
    for (Index i = 0; i < q.size(); ++i) direction_[i] = -direction_[i];
  }

  /// How far a whole step would change the score, beside its size: in all, or in a coordinate's own units, where that
  /// is more.
  double length_of_direction(const Point& from) const {
    const double in_all = squared_length(metric_.gram, metric_.diagonal, direction_),
                 by_coordinate = squared_length(metric_.relative_gram, metric_.relative_diagonal, direction_);
    double square = metric_.square > 0 ? in_all / metric_.square : 0;
    if (metric_.relative_square > 0) square = std::max(square, by_coordinate / metric_.relative_square);
    // Nor does a number of θ that changes little leap to where it changes nothing: beside what it is (or 1), and what
    // it changed once.
    for (Index i = 0; i < direction_.size(); ++i) {
      const double leap = 0.1 * direction_[i] / std::max(1.0, std::abs(from.theta[i]));
      square = std::max({square, 0.01 * most_[i] * direction_[i] * direction_[i], leap * leap});
    }
    return std::sqrt(square);
  }

  // From `now` along the direction; false where no step lowers the loss.
  bool step(const Point& now, Point& next) {
    choose_direction(now);
    const double slope = dot(now.gradient, direction_);
    if (!(slope < 0)) return false;
    const double length = length_of_direction(now);
    const bool limited = length > radius_;
    const double first = limited ? radius_ / length : 1;
    double t = first;
    for (int trials = 0;; ++trials) {
      if (!go(now, t, next)) return false;
      if (accepts(now, slope, next, t)) break;
      if (trials == 40) return false;
      // The least of the parabola through value, slope and value; a tenth where there is no value.
      double shorter = 0.1;
      if (next.finite) shorter = -slope * t / (2 * (next.loss - now.loss - slope * t));
      t *= std::isfinite(shorter) ? std::clamp(shorter, 0.1, 0.5) : 0.1;
    }
    adapt_damping(t, first);
    if (t < first) {
      radius_ = std::clamp(t * length, 0.1, radius_);
    } else if (limited) {
      radius_ = std::min(2 * radius_, 1e3);
    } else {
      radius_ = std::max(radius_, 0.5);
      t = go_farther(now, slope, t, next);
    }
    path_ += t * length;
    return !ends();
  }

  // To now + t direction; false to end.
  bool go(const Point& now, double t, Point& trial) {
    trial.theta.resize(now.theta.size());
    for (Index i = 0; i < now.theta.size(); ++i) trial.theta[i] = now.theta[i] + t * direction_[i];
    evaluate(trial);
    return !ends();
  }

  bool accepts(const Point& now, double slope, const Point& trial, double t) {
    if (!trial.finite) return false;
    if (trial.loss <= now.loss + 1e-4 * t * slope) return true;
    const double rounding = rounding_at(now), at_trial = dot(trial.gradient, direction_);
    if (trial.loss > now.loss + rounding) return false;
    if (at_trial >= 0.9 * slope && at_trial <= -0.8 * slope) return true;
    // Coordinates that the others hide from the loss: the decrement sees them.
    return std::abs(trial.loss - now.loss) <= rounding && decrement_at(trial) < (1 - 0.5 * t) * best_.decrement;
  }

  // Levenberg and Marquardt's damping shortens a step where G hardly holds it, and leaves the others.
  void adapt_damping(double t, double first) {
    left_metric_ = t < 0.9 || damping_ > 1e-6;  // G did not hold as far as its own step
    if (t < 0.3 * first)
      damping_ = std::clamp(damping_ * std::min(first / t, 100.0), 1e-12, 1e3);
    else if (t >= first)
      damping_ = damping_ > 1e-14 ? 0.1 * damping_ : 0;
  }

  // Twice as far again and again while the end of the fall along this line is far; returns how far.
  double go_farther(const Point& now, double slope, double t, Point& next) {
    Point farther;
    while (dot(next.gradient, direction_) < 0.9 * slope && t < 64) {
      if (!go(now, 2 * t, farther) || !farther.finite || !(farther.loss < next.loss)) break;
      t *= 2;
      std::swap(next, farther);
    }
    return t;
  }

  void remember(const Point& now, const Point& next) {
    Correction c;
    const Index p = now.theta.size();
    c.step.resize(p);
    c.change.resize(p);
    for (Index i = 0; i < p; ++i) {
      c.step[i] = next.theta[i] - now.theta[i];
      c.change[i] = next.gradient[i] - now.gradient[i];
    }
    c.product = dot(c.step, c.change);
    fresh_ = false;
    // Without positive curvature along the step H would not stay positive definite.
    solver_.solve(c.change, scratch_);
    if (!(c.product >
          1e-10 * std::sqrt(squared_length(metric_.gram, metric_.diagonal, c.step) * dot(c.change, scratch_))))
      return;
    corrections_.push_back(std::move(c));
    if (static_cast<Index>(corrections_.size()) > search_.memory) corrections_.pop_front();
  }

  // Where the search ended. Rounding may let a path's loss rise a little: the last point counts unless one was clearly
  // lower.
  void settle(const Point& now) {
    if (ends() || !now.finite) return;
    if (best_.loss < now.loss - rounding_at(now)) {
      best_.converged = false;
      return;
    }
    best_.theta = now.theta;
    best_.loss = now.loss;
    best_.gradient_norm = std::sqrt(dot(now.gradient, now.gradient));
    if (!fresh_) {
      refresh(now);
      best_.decrement = decrement(now);
    }
    best_.gain = metric_.gain;
    best_.resolved = resolved_at(now);
    if (best_.iterations < search_.iterations && !best_.saddle)
      best_.converged =
          best_.decrement <= std::max(search_.resolution, 4 * best_.resolved) && (confirmed_ || is_minimum(now));
    for (Index i = 0; i < now.theta.size(); ++i) {
      if (still_[static_cast<std::size_t>(i)]) best_.lost.push_back(i);
      if (first_diagonal_[i] == 0 && metric_.diagonal[i] == 0) best_.idle.push_back(i);
    }
    if (!best_.lost.empty()) best_.converged = false;
  }

  const Function& function_;
  const MetricAt& metric_at_;
  const Search& search_;
  const Observer& observer_;
  Minimum best_;
  Metric metric_;
  Eigen::VectorXd first_diagonal_;  ///< of the metric at the start
  MetricSolver solver_, undamped_;
  std::deque<Correction> corrections_;
  Eigen::VectorXd direction_, scratch_;
  static constexpr Index most_newton = 60;  ///< parameters of which a Hessian by differences costs little
  Eigen::MatrixXd hessian_;
  Eigen::VectorXd most_;     ///< of the metric's diagonal beside its square
  std::vector<char> still_;  ///< numbers of θ that change next to nothing any more
  bool newton_ = false;      ///< steps by the Hessian instead of G
  bool is_metrics_ = false;  ///< undamped_ holds the factor of the present metric
  bool confirmed_ = false;   ///< by another measure
  bool tired_ = false;       ///< they have been tried, in vain
  Index since_ = 0;          ///< the iteration at which the decrement was `then_`, or Newton's steps began
  double then_ = 0;
  double radius_ = 0.3;   ///< the longest step, in sizes of the score
  double damping_ = 0.1;  ///< Levenberg and Marquardt's
  int failures_ = 0;      ///< steps in a row that did not lower the loss
  int in_vain_ = 0;       ///< steps in a row that led nowhere
  double path_ = 0;       ///< what the score has changed by since the metric was taken, in its own size
  bool left_metric_ = false;
  bool fresh_ = false;  ///< the metric is that of the present θ
};

}  // namespace inner

/// Minimises `function` from `start`. Exceptions of function, metric and observer reach the caller.
inline Minimum minimise(const Function& function, const MetricAt& metric, const Eigen::VectorXd& start,
                        const Search& search, const Observer& observer) {
  return inner::Minimiser(function, metric, search, observer).run(start);
}

}  // namespace scorematch::fitting
