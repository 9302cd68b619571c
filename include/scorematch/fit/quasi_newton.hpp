// Minimises a loss by Gauss–Newton and quasi-Newton steps, in the units of the loss itself: the path, its end and the verdict do
// not depend on the units of θ, of the data, or of the loss.
//
//   direction   δ = −H g, H the L-BFGS two-loop product (Nocedal & Wright 2006, algorithm 7.4) whose first matrix is the inverse
//               of the metric G (fit/metric.hpp)
//   damping     δ solves (G + μ diag G) δ = −g, μ after Levenberg and Marquardt: it shortens the step in directions that G hardly holds
//   step        backtracking until the loss falls enough (Armijo), or, where rounding hides its fall, until the slope does
//               (Hager & Zhang 2005, "approximate Wolfe"); at first no step changes the score by more than a third of its size
//   refresh     G is taken anew, and the corrections are dropped, once the score has changed by a fifth of its size, or a step by G
//               was damped or cut
//   verdict     the change of the score that the next step −G⁻¹g would make beside the score's size, coordinate by coordinate in units
//               of the data, so that none hides behind others
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
  /// A loss below is taken for one that falls without bound.
  double floor = -std::numeric_limits<double>::infinity();
};

struct Minimum {
  Eigen::VectorXd theta;  ///< the best finite point seen; the start if there is none
  double loss = std::numeric_limits<double>::infinity();
  double gradient_norm = std::numeric_limits<double>::infinity();
  /// The change of the score by the step −G⁻¹g, beside its size; without units; NaN where it was not computed
  double decrement = std::numeric_limits<double>::quiet_NaN();
  double gain = std::numeric_limits<double>::quiet_NaN();  ///< the metric's, at θ
  Index iterations = 0, evaluations = 0;
  Index non_finite = 0;    ///< evaluations whose loss or gradient was not finite
  bool started = false;    ///< loss and gradient were finite at the start
  bool converged = false;  ///< the decrement is small
  bool unbounded = false;  ///< the loss fell below the floor
  bool stopped = false;    ///< by the observer
  std::vector<Index> lost;  ///< numbers of θ that ran to where they change nothing any more
  std::vector<Index> idle;  ///< that never did
};

namespace detail {

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
    first_square_ = metric_.square;
    for (int failures = 0, idle = 0;;) {
      const double before = best_.decrement;
      if (small(now)) {
        if (!fresh_) {
          refresh(now);
          continue;
        }
        best_.converged = true;
        break;
      }
      if (best_.iterations >= search_.iterations) break;
      Point next;
      const bool lower = step(now, next);
      if (ends()) break;
      if (lower) {
        ++best_.iterations;
        failures = 0;
        // A fall that rounding could explain, without a smaller decrement, leads nowhere.
        idle = now.loss - next.loss > 10 * rounding_at(now) || best_.decrement < 0.5 * before ? 0 : idle + 1;
        remember(now, next);
        now = std::move(next);
        if (idle == 20) break;
        if (metric_.gram.size() > 0 ? path_ > 0.2 || left_metric_ : path_ > 1) refresh(now);
        continue;
      }
      // Afresh from here, and then nearer to the steepest descent: where G is no guide to the loss's curvature.
      if (!fresh_ || !corrections_.empty()) {
        refresh(now);
        continue;
      }
      if (++failures > 6) break;
      damping_ = std::max(100 * damping_, 1e-8);
      solver_.factor(metric_, damping_);
      radius_ *= 0.25;
    }
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

  /// What rounding may add to the loss.
  double rounding_at(const Point& at) const { return search_.noise * (std::abs(at.loss) + metric_.square); }

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
    if (!std::isfinite(metric_.square)) metric_.square = 0;
    // A number that moves no score but the loss (its trace, say): no step of it is to change the loss by more than its size.
    const double size = std::abs(at.loss) + metric_.square;
    for (Index i = 0; i < at.theta.size(); ++i)
      if (metric_.diagonal[i] == 0 && at.gradient[i] != 0) {
        metric_.diagonal[i] = at.gradient[i] * at.gradient[i] / (size > 0 ? size : 1);
        metric_.relative_diagonal[i] = metric_.relative_square * metric_.diagonal[i] / (size > 0 ? size : 1);
        if (metric_.gram.size() > 0) metric_.relative_gram(i, i) = metric_.relative_diagonal[i];
        if (metric_.gram.size() > 0) metric_.gram(i, i) = metric_.diagonal[i];
      }
    solver_.factor(metric_, damping_);
  }

  double decrement(const Point& at) {
    const MetricSolver* solver = &solver_;
    if (damping_ > 0) {  // a damped step is no measure
      undamped_.factor(metric_, 0);
      solver = &undamped_;
    }
    solver->solve(at.gradient, direction_);
    return decrement_by(metric_, at, direction_);
  }

  // Two measures, of which the larger counts: gᵀG⁻¹g sees what moves the loss and not the score, the other every coordinate.
  static double decrement_by(const Metric& metric, const Point& at, const Eigen::VectorXd& delta) {
    const double of_loss = std::max(dot(at.gradient, delta), 0.0),
                 of_score = squared_length(metric.relative_gram, metric.relative_diagonal, delta);
    return std::sqrt(std::max(of_loss == 0 ? 0 : of_loss / metric.square,
                              of_score == 0 ? 0 : of_score / metric.relative_square));
  }

  /// The decrement of a trial: its metric is taken for this alone.
  double decrement_at(const Point& trial) {
    Metric metric;
    metric_at_(trial.theta, metric);
    undamped_.factor(metric, 0);
    Eigen::VectorXd delta;
    undamped_.solve(trial.gradient, delta);
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
    if (!corrections_.empty() && metric_.gram.size() == 0) {  // the size of a diagonal is worth less than that of a step
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

  // From `now` along the direction; false where no step lowers the loss.
  bool step(const Point& now, Point& next) {
    choose_direction(now);
    const double slope = dot(now.gradient, direction_);
    if (!(slope < 0)) return false;
    const double size = std::sqrt(metric_.square);
    const double length = std::sqrt(squared_length(metric_.gram, metric_.diagonal, direction_));
    const bool limited = size > 0 && length > radius_ * size;
    const double first = limited ? radius_ * size / length : 1;
    const double rounding = rounding_at(now);
    const auto accepts = [&](const Point& trial, double t) {
      if (!trial.finite) return false;
      if (trial.loss <= now.loss + 1e-4 * t * slope) return true;
      const double at_trial = dot(trial.gradient, direction_);
      if (trial.loss > now.loss + rounding) return false;
      if (at_trial >= 0.9 * slope && at_trial <= -0.8 * slope) return true;
      // Coordinates that the others hide from the loss: the decrement sees them.
      return t == 1 && best_.decrement < 1e-2 && decrement_at(trial) < 0.5 * best_.decrement;
    };
    const auto at = [&](double t, Point& trial) {
      trial.theta.resize(now.theta.size());
      for (Index i = 0; i < now.theta.size(); ++i) trial.theta[i] = now.theta[i] + t * direction_[i];
      evaluate(trial);
      return !ends();
    };
    double t = first;
    for (int trials = 0;; ++trials) {
      if (!at(t, next)) return false;
      if (accepts(next, t)) break;
      if (trials == 40) return false;
      // The least of the parabola through value, slope and value; a tenth where there is no value.
      double shorter = 0.1;
      if (next.finite) shorter = -slope * t / (2 * (next.loss - now.loss - slope * t));
      t *= std::isfinite(shorter) ? std::clamp(shorter, 0.1, 0.5) : 0.1;
    }
    left_metric_ = t < 0.9 || damping_ > 1e-6;  // G did not hold as far as its own step
    // Levenberg and Marquardt's damping shortens a step where G hardly holds it, and leaves the others.
    if (t < 0.3 * first)
      damping_ = std::clamp(damping_ * std::min(first / t, 100.0), 1e-12, 1e3);
    else if (t >= first)
      damping_ = damping_ > 1e-14 ? 0.1 * damping_ : 0;
    if (t < first) {
      radius_ = std::clamp(t * length / std::max(size, 1e-300), 0.1, radius_);
    } else if (limited) {
      radius_ = std::min(2 * radius_, 1e3);
    } else {
      radius_ = std::max(radius_, 0.5);
      // Far from the end of the fall along this line: go on.
      Point farther;
      while (dot(next.gradient, direction_) < 0.9 * slope && t < 64) {
        if (!at(2 * t, farther) || !farther.finite || !(farther.loss < next.loss)) break;
        t *= 2;
        std::swap(next, farther);
      }
    }
    path_ += t * length / std::max(size, 1e-300);
    return !ends();
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
    if (!(c.product > 1e-10 * std::sqrt(squared_length(metric_.gram, metric_.diagonal, c.step) * dot(c.change, scratch_)))) return;
    corrections_.push_back(std::move(c));
    if (static_cast<Index>(corrections_.size()) > search_.memory) corrections_.pop_front();
  }

  // Where the search ended. Rounding may let a path's loss rise a little: the last point counts unless one was clearly lower.
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
    if (best_.iterations < search_.iterations) best_.converged = best_.decrement <= search_.resolution;
    for (Index i = 0; i < now.theta.size(); ++i) {
      // Rounding leaves of a vanished effect some 10⁻³² of what it was, in squares; of one in other units θ tells.
      constexpr double nothing = 1e-24;
      const double first = first_diagonal_[i], last = metric_.diagonal[i],
                   of_itself = last * now.theta[i] * now.theta[i];
      if (first > 0 && last * first_square_ <= nothing * first * metric_.square && of_itself <= nothing * metric_.square)
        best_.lost.push_back(i);
      if (first == 0 && now.gradient[i] == 0) best_.idle.push_back(i);
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
  double first_square_ = 0;
  MetricSolver solver_, undamped_;
  std::deque<Correction> corrections_;
  Eigen::VectorXd direction_, scratch_;
  double radius_ = 0.3;   ///< the longest step, in sizes of the score
  double damping_ = 0.1;   ///< Levenberg and Marquardt's
  double path_ = 0;     ///< what the score has changed by since the metric was taken, in its own size
  bool left_metric_ = false;
  bool fresh_ = false;  ///< the metric is that of the present θ
};

}  // namespace detail

/// Minimises `function` from `start`. Exceptions of function, metric and observer reach the caller.
template <class = void>  // a template, so that programs that never fit do not compile it
Minimum minimise(const Function& function, const MetricAt& metric, const Eigen::VectorXd& start, const Search& search,
                 const Observer& observer) {
  return detail::Minimiser(function, metric, search, observer).run(start);
}

}  // namespace scorematch::fitting
