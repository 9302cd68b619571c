// Dormand and Prince's Runge–Kutta pair of orders 5 and 4 on the probability-flow ODE, each row with its own steps.
//
//   dx/dσ = −σ s(x, σ),   and, where it is wanted, dℓ/dσ = −σ tr(∂s/∂x)
//
// (Dormand & Prince 1980; Hairer, Nørsett & Wanner 1993, table II.5.2.) Rows share the evaluations of the model and
// nothing else: each has its σ and its step, accepts or rejects for itself, and rests once it has arrived, so that its
// path does not depend on its neighbours.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "scorematch/sampler/noise_conditional.hpp"

namespace scorematch::sampling {

/// Where a row is on its way.
enum class Path : char {
  going,
  arrived,
  late,  ///< ran out of steps, or of digits for its tolerance
  lost,  ///< no step was small enough for finite numbers
};

/// The paths of a block between two attempts.
template <class T>
struct FlowPaths {
  Matrix<T> slope;              ///< B × d: dx/dσ at x
  Vector<double> sigma, step;   ///< B: where each row is, and the step that it tries next, negative on the way down
  Vector<double> rate;          ///< B, dℓ/dσ at x
  Vector<double> integral;      ///< B, ℓ
  Eigen::VectorXi evaluations;  ///< B
  Eigen::Array<Path, Eigen::Dynamic, 1> path;
  Index attempts = 0;
  bool with_integral = false;
  Vector<T> h, stage_sigma;  // scratch of an attempt
  std::array<Vector<double>, 7> rates;

  /// Rows that are not on their way any more.
  Index rested() const {
    Index count = 0;
    for (Index i = 0; i < path.size(); ++i) count += path[i] != Path::going ? 1 : 0;
    return count;
  }
};

struct DormandPrince {
  double tolerance = 1e-5;  ///< of a step: absolute, and relative to |x_j|; root mean square over j
  Index most_attempts = 10000;

  static constexpr double c[7] = {0, 1.0 / 5, 3.0 / 10, 4.0 / 5, 8.0 / 9, 1, 1};
  static constexpr double a[7][6] = {
      {},
      {1.0 / 5},
      {3.0 / 40, 9.0 / 40},
      {44.0 / 45, -56.0 / 15, 32.0 / 9},
      {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
      {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
      {35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84},  // the solution of order 5
  };
  /// Order 5 less order 4.
  static constexpr double error[7] = {71.0 / 57600,      0,          -71.0 / 16695, 71.0 / 1920,
                                      -17253.0 / 339200, 22.0 / 525, -1.0 / 40};

  /// Slopes at the start; the first step to try is half of the σ there, or all of the way.
  template <class T>
  void start(extend::NoiseConditionalTarget<T>& target, const Eigen::VectorXi& label, Matrix<T>& X, double from,
             double to, FlowPaths<T>& paths) const {
    const Index B = X.rows();
    paths.sigma.setConstant(B, from);
    paths.step.setConstant(B, to > from ? std::min(0.5 * from, to - from) : std::max(-0.5 * from, to - from));
    paths.integral.setZero(B);
    paths.evaluations.setConstant(B, target.evaluations());
    paths.path.setConstant(B, Path::going);
    paths.attempts = 0;
    paths.stage_sigma.setConstant(B, static_cast<T>(from));
    slopes(target, label, X, paths.stage_sigma, paths.slope, paths.with_integral ? &paths.rate : nullptr);
  }

  /// One attempt at a step for each row on its way to σ = `to`. True when none is left.
  template <class T>
  bool attempt(extend::NoiseConditionalTarget<T>& target, const Eigen::VectorXi& label, Matrix<T>& X, double to,
               FlowPaths<T>& paths) const {
    using V = simd::Lanes<T>;
    constexpr Index lanes = simd::width<V>;
    const Index B = X.rows(), d = X.cols();
    Matrix<T>& trial = target.scratch(0);
    Vector<T>&h = paths.h, &sigma = paths.stage_sigma;
    h.resize(B);
    sigma.resize(B);
    if (paths.with_integral) paths.rates[0] = paths.rate;
    const Matrix<T>* K[7] = {&paths.slope};
    for (int k = 1; k < 7; ++k) K[k] = &target.scratch(k);
    for (Index i = 0; i < B; ++i) {
      const bool going = paths.path[i] == Path::going;
      const double left = to - paths.sigma[i];
      if (std::abs(paths.step[i]) > std::abs(left)) paths.step[i] = left;
      h[i] = static_cast<T>(going ? paths.step[i] : 0);
      if (going) paths.evaluations[i] += 6 * target.evaluations();
    }
    trial.resize(B, d);
    for (int stage = 1; stage < 7; ++stage) {
      for (Index j = 0; j < d; ++j)
        for (Index i = 0; i < B; i += lanes) {
          V sum = V{};
          for (int k = 0; k < stage; ++k)
            sum += simd::broadcast<V>(static_cast<T>(a[stage][k])) * simd::load<V>(K[k]->data() + j * B + i);
          simd::store<V>(trial.data() + j * B + i,
                         simd::load<V>(X.data() + j * B + i) + simd::load<V>(h.data() + i) * sum);
        }
      for (Index i = 0; i < B; ++i)
        sigma[i] = static_cast<T>(paths.sigma[i] + (paths.path[i] == Path::going ? c[stage] * paths.step[i] : 0));
      slopes(target, label, trial, sigma, target.scratch(stage),
             paths.with_integral ? &paths.rates[static_cast<std::size_t>(stage)] : nullptr);
    }
    ++paths.attempts;
    judge(X, trial, K, to, paths);
    return paths.rested() == B;
  }

 private:
  /// K = −σ s, and the rate −σ tr(∂s/∂x).
  template <class T>
  static void slopes(extend::NoiseConditionalTarget<T>& target, const Eigen::VectorXi& label, Matrix<T>& X,
                     const Vector<T>& sigma, Matrix<T>& K, Vector<double>* rate) {
    target.score(label, X, sigma, K, rate);
    for (Index j = 0; j < K.cols(); ++j)
      for (Index i = 0; i < K.rows(); ++i) K(i, j) *= -sigma[i];
    if (rate != nullptr)
      for (Index i = 0; i < K.rows(); ++i) (*rate)[i] *= -static_cast<double>(sigma[i]);
  }

  /// Accepts or rejects the trial of each row, and chooses its next step.
  template <class T>
  void judge(Matrix<T>& X, const Matrix<T>& trial, const Matrix<T>* const (&K)[7], double to,
             FlowPaths<T>& paths) const {
    const std::array<Vector<double>, 7>& rates = paths.rates;
    const Index B = X.rows(), d = X.cols();
    for (Index i = 0; i < B; ++i) {
      if (paths.path[i] != Path::going) continue;
      double squares = 0, sizes = 0;  // the sum of sizes is finite where all is
      for (Index j = 0; j < d; ++j) {
        double difference = 0;
        for (int k = 0; k < 7; ++k) difference += error[k] * static_cast<double>((*K[k])(i, j));
        difference *= paths.step[i];
        const double size =
            std::max(std::abs(static_cast<double>(X(i, j))), std::abs(static_cast<double>(trial(i, j))));
        const double share = difference / (tolerance * (1 + size));
        squares += share * share;
        sizes += std::abs(difference) + std::abs(static_cast<double>(trial(i, j)));
      }
      double worst = std::sqrt(squares / static_cast<double>(d)), gain = 0;
      if (paths.with_integral) {
        double difference = 0;
        for (int k = 0; k < 7; ++k) difference += error[k] * rates[static_cast<std::size_t>(k)][i];
        for (int k = 0; k < 6; ++k) gain += a[6][k] * rates[static_cast<std::size_t>(k)][i];
        gain *= paths.step[i];
        const double size = std::max(std::abs(paths.integral[i]), std::abs(paths.integral[i] + gain));
        const double share = std::abs(difference * paths.step[i]) / (tolerance * (1 + size));
        sizes += std::abs(difference) + std::abs(gain);
        worst = share <= worst ? worst : share;  // NaN stays
      }
      const bool good = worst <= 1;
      const double factor =
          std::isfinite(worst) ? std::clamp(0.9 * std::pow(worst, -0.2), 0.2, good ? 10.0 : 1.0) : 0.2;
      if (good) {
        const bool last = paths.step[i] == to - paths.sigma[i];
        paths.sigma[i] = last ? to : paths.sigma[i] + paths.step[i];
        for (Index j = 0; j < d; ++j) {
          X(i, j) = trial(i, j);
          paths.slope(i, j) = (*K[6])(i, j);
        }
        if (paths.with_integral) {
          paths.integral[i] += gain;
          paths.rate[i] = rates[6][i];
        }
        if (last) paths.path[i] = Path::arrived;
      }
      paths.step[i] *= factor;
      if (paths.path[i] != Path::going) continue;
      if (std::abs(paths.step[i]) < 16 * std::numeric_limits<T>::epsilon() * paths.sigma[i])
        paths.path[i] = std::isfinite(sizes) ? Path::late : Path::lost;
      else if (paths.attempts >= most_attempts)
        paths.path[i] = Path::late;
    }
  }
};

}  // namespace scorematch::sampling
