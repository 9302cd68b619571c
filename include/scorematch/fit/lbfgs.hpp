// L-BFGS by LBFGSpp, behind a function that never throws and always ends at the best finite point seen.
#pragma once

#include <LBFGS.h>

#include <cmath>
#include <functional>
#include <limits>

#include "scorematch/types.hpp"

namespace scorematch::fitting {

/// Returns the loss at θ and writes its gradient.
using Function = std::function<double(const Eigen::VectorXd& theta, Eigen::VectorXd& gradient)>;

/// Told of every evaluation: its number, the loss, the gradient's norm, whether it is the best so far. False stops.
using Observer = std::function<bool(Index evaluation, double loss, double gradient_norm, bool best)>;

struct Minimum {
  Eigen::VectorXd theta;  ///< the best finite point seen; the start if there is none
  double loss = std::numeric_limits<double>::infinity();
  double gradient_norm = std::numeric_limits<double>::infinity();
  Index iterations = 0, evaluations = 0;
  Index non_finite = 0;  ///< evaluations whose loss or gradient was not finite
  bool started = false;  ///< loss and gradient were finite at the start
  bool converged = false;
  bool unbounded = false;  ///< the loss fell below −10¹⁰ max(1, |start|)
  bool stopped = false;    ///< by the observer
};

/// ‖gradient‖ ≤ tolerance · max(1, ‖θ‖) is convergence. Backtracking line search with the strong Wolfe conditions
/// (Nocedal & Wright 2006, §3.1, §7.2). Outside the loss's domain (a non-finite value) the search steps back.
template <class = void>  // a template, so that programs that never fit do not compile it
Minimum minimise(const Function& function, const Eigen::VectorXd& start, Index iterations, Index memory,
                 double tolerance, const Observer& observer) {
  struct End {};
  Minimum best;
  best.theta = start;
  Index lowered =
      0;  // evaluations that lowered the loss: what counts as iterations where LBFGSpp throws before it says
  double floor = -std::numeric_limits<double>::infinity();
  const auto small = [&](double gradient_norm, const Eigen::VectorXd& theta) {
    return gradient_norm <= tolerance * std::max(1.0, theta.norm());
  };
  const auto evaluate = [&](const Eigen::VectorXd& theta, Eigen::VectorXd& gradient) {
    double loss = function(theta, gradient);
    double gradient_norm = gradient.norm();
    const Index evaluation = best.evaluations++;
    const bool finite = std::isfinite(loss) && std::isfinite(gradient_norm);
    if (evaluation == 0) {
      best.started = finite;
      if (finite) floor = -1e10 * std::max(1.0, std::abs(loss));
    }
    const bool better = finite && loss < best.loss;
    if (better) {
      if (evaluation > 0) ++lowered;
      best.theta = theta;
      best.loss = loss;
      best.gradient_norm = gradient_norm;
    }
    if (!finite) ++best.non_finite;
    best.unbounded = best.unbounded || loss < floor;
    if (observer && !observer(evaluation, loss, gradient_norm, better)) best.stopped = true;
    if (best.stopped || best.unbounded || !best.started) throw End{};
    if (!finite) {  // a wall: +∞ makes the line search step back
      loss = std::numeric_limits<double>::infinity();
      gradient.setZero();
    }
    return loss;
  };

  LBFGSpp::LBFGSParam<double> parameters;
  parameters.m = static_cast<int>(memory);
  parameters.epsilon = parameters.epsilon_rel = tolerance;
  parameters.linesearch = LBFGSpp::LBFGS_LINESEARCH_BACKTRACKING_STRONG_WOLFE;
  parameters.max_linesearch = 40;
  while (best.iterations < iterations) {
    // A failed line search starts afresh from the best point, without the old curvature, while that still helps.
    const double before = best.loss;
    const Index lowered_before = lowered;
    Eigen::VectorXd theta = best.theta;
    double loss = 0;
    parameters.max_iterations = static_cast<int>(iterations - best.iterations);
    try {
      LBFGSpp::LBFGSSolver<double, LBFGSpp::LineSearchBacktracking> solver(parameters);
      best.iterations += solver.minimize(evaluate, theta, loss);
      break;
    } catch (const End&) {
      best.iterations += lowered - lowered_before;
      break;
    } catch (const std::exception&) {  // LBFGSpp's way to say that a line search failed
      best.iterations += lowered - lowered_before;
      const double rounding = std::isfinite(before) ? 1e-14 * std::abs(before) : 0;  // before the first attempt it is ∞
      if (!(best.loss < before - rounding)) break;
    }
  }
  best.converged = best.started && !best.unbounded && small(best.gradient_norm, best.theta);
  return best;
}

}  // namespace scorematch::fitting
