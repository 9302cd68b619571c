// How a run of many chains learns its metric, its step and the length of its trajectories: from all chains together.
//
// Metric. Of independent normal coordinates with variances v_i, draws vary by v_i and scores by 1/v_i, so that
// √(Var x_i/Var s_i) = v_i whatever the draws are, stationary or not: exact from two draws on. In several dimensions
// the geometric mean of cov(x) and cov(s)⁻¹ is the covariance, from d + 1 draws on (Seyboldt, Carlson & Carpenter 2024,
// "Preconditioning Hamiltonian Monte Carlo by minimizing Fisher divergence"). Where the law is not normal it is the
// metric with the least Fisher divergence to the normal law.
//
// Step. Dual averaging (Nesterov 2009; Hoffman & Gelman 2014, §3.2) of the harmonic mean over all chains of their
// probabilities to accept, to the kernel's target, anew with each metric. The harmonic mean (Hoffman, Radul & Sountsov
// 2021) lets no few chains be stuck where the law is narrow, while most accept.
//
// Length. In the metric's coordinates the widest direction has variance λ, found by power iteration; a trajectory with
// times spread evenly up to 2.8 √λ makes the coordinates' worst autocorrelation least for its cost (for normal laws,
// over all directions that are narrower).
#pragma once

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <vector>

#include "scorematch/sampler/metric.hpp"
#include "scorematch/types.hpp"

namespace scorematch::sampling {

/// Which steps of a warm-up end a window, after which the metric is learned anew: 5, 15, 35, 75, …, each window twice
/// as long as the one before; the last 50 steps, or a quarter, are left to the step alone.
inline std::vector<Index> window_ends(Index warm_up) {
  std::vector<Index> ends;
  const Index last = warm_up - std::min<Index>(50, warm_up / 4);
  for (Index end = 5, length = 10; end + length <= last; end += length, length *= 2) ends.push_back(end);
  if (!ends.empty()) ends.back() = last;
  if (ends.empty() && warm_up > 1) ends.push_back(last);
  return ends;
}

/// Dual averaging of log ε.
class StepSearch {
 public:
  StepSearch(double step, double target) : target_(target) { restart(step); }

  void restart(double step) {
    centre_ = std::log(step);
    gap_ = mean_ = 0;
    count_ = 0;
  }

  /// Learns that steps of the present length were accepted with this mean probability; the next one's length.
  double next(double acceptance) {
    constexpr double gamma = 0.05, kappa = 0.75, t0 = 10;
    ++count_;
    const double t = static_cast<double>(count_), weight = 1 / (t + t0);
    gap_ += weight * (target_ - acceptance - gap_);
    const double now = centre_ - std::clamp(std::sqrt(t) / gamma * gap_, -300.0, 300.0);
    const double share = std::pow(t, -kappa);
    mean_ = share * now + (1 - share) * mean_;
    return std::exp(now);
  }

  /// The average, to go on with.
  double found() const { return count_ > 0 ? std::exp(mean_) : std::exp(centre_); }

 private:
  double target_, centre_ = 0, gap_ = 0, mean_ = 0;
  Index count_ = 0;
};

/// Draws and scores of a window, n × d each, in the model's own coordinates.
struct Window {
  Eigen::MatrixXd X, S;
  std::vector<char> group;  ///< which of two groups of chains each row comes from
  Index count = 0;

  Window(Index rows, Index dimension) : X(rows, dimension), S(rows, dimension), group(static_cast<std::size_t>(rows)) {}
  bool full() const { return count == X.rows(); }
  void clear() { count = 0; }
  /// Row i of x and s (B × d), if it is finite.
  template <class T>
  void add(const Matrix<T>& x, const Matrix<T>& s, Index i, bool second_group) {
    if (full()) return;
    for (Index j = 0; j < X.cols(); ++j) {
      X(count, j) = static_cast<double>(x(i, j));
      S(count, j) = static_cast<double>(s(i, j));
      if (!std::isfinite(X(count, j)) || !std::isfinite(S(count, j))) return;
    }
    group[static_cast<std::size_t>(count)] = second_group ? 1 : 0;
    ++count;
  }
};

/// A metric, and what trajectories in its coordinates want.
struct LearnedMetric {
  Metric metric;
  double widest = 1;  ///< √λ, the deviation of the widest direction in the metric's coordinates
};

/// What a window tells. A class template, so that a program compiles its decompositions only where it samples.
template <class T>
class MetricLearner {
  using DoubleMatrix = detail::DependentMatrix<T>;
  using DoubleVector = detail::DependentVector<T>;

 public:
  /// The metric of a window. `wanted`: which form; identity: the one that pays, dense where the draws suffice for it
  /// and show directions wider than the diagonal explains.
  static LearnedMetric learn(const Window& window, Metric::Form wanted) {
    constexpr Index dense_up_to = 200;
    const Index n = window.count, d = window.X.cols();
    LearnedMetric learned;
    if (n < 2) return learned;
    DoubleMatrix X = window.X.topRows(n), S = window.S.topRows(n);
    X.rowwise() -= DoubleVector(X.colwise().mean().transpose()).transpose();
    S.rowwise() -= DoubleVector(S.colwise().mean().transpose()).transpose();
    const DoubleVector deviations = deviations_of(X, S);
    learned.metric = Metric::diagonal(deviations);
    for (Index j = 0; j < d; ++j) {
      X.col(j) /= deviations[j];
      S.col(j) *= deviations[j];
    }
    const double spread = widest_variance(X, window.group), steepness = widest_variance(S, window.group);
    learned.widest = std::sqrt(spread);
    const bool possible = n >= 3 * d && d > 1 && varies_by_one(X) && varies_by_one(S);
    const bool pays = possible && d <= dense_up_to && std::sqrt(spread * steepness) > 2;
    if (wanted == Metric::Form::diagonal || !possible || (wanted == Metric::Form::identity && !pays)) return learned;
    constexpr double nothing = 1e-5;  // added to both: a direction in which nothing varies stays as it is
    DoubleMatrix C = X.transpose() * X / static_cast<double>(n), B = S.transpose() * S / static_cast<double>(n);
    C.diagonal().array() += nothing;
    B.diagonal().array() += nothing;
    DoubleMatrix root, inverse;
    root_of_mean(C, B, root, inverse);
    if (!root.allFinite() || !inverse.allFinite()) return learned;
    learned.metric =
        wanted == Metric::Form::low_rank ? of_low_rank(deviations, root) : Metric::from_root(deviations, root, inverse);
    learned.widest = std::sqrt(widest_variance(X * inverse.transpose(), window.group));
    return learned;
  }

 private:
  // √(Var x_j/Var s_j)^½, the deviations of the diagonal metric; where a coordinate's score does not vary (a flat law),
  // its own deviation; where neither does, 1.
  static DoubleVector deviations_of(const DoubleMatrix& X, const DoubleMatrix& S) {
    DoubleVector deviations(X.cols());
    for (Index j = 0; j < X.cols(); ++j) {
      const double x = X.col(j).stableNorm(), s = S.col(j).stableNorm(), n = std::sqrt(static_cast<double>(X.rows()));
      double deviation = std::sqrt(x / s);
      if (!(std::isfinite(deviation) && deviation > 0)) deviation = x / n;
      if (!(std::isfinite(deviation) && deviation > 0)) deviation = 1;
      deviations[j] = std::clamp(deviation, 1e-100, 1e100);
    }
    return deviations;
  }

  // Of a normal law's stationary draws both vary by 1 here; far from it a covariance is not worth its digits.
  static bool varies_by_one(const DoubleMatrix& M) {
    for (Index j = 0; j < M.cols(); ++j) {
      const double variance = M.col(j).squaredNorm() / static_cast<double>(M.rows());
      if (!(variance > 0.01 && variance < 100)) return false;
    }
    return true;
  }

  // The variance of M's rows along the direction in which they vary most, found by power iteration on the rows of one
  // group of chains and measured on those of the other: so that in many dimensions noise is not taken for a wide
  // direction.
  static double widest_variance(const DoubleMatrix& M, const std::vector<char>& group) {
    Index count[2] = {0, 0};
    DoubleMatrix one(M.rows(), M.cols()), other(M.rows(), M.cols());
    for (Index i = 0; i < M.rows(); ++i) {
      const int which = group[static_cast<std::size_t>(i)] == 0 ? 0 : 1;
      (which == 0 ? one : other).row(count[which]++) = M.row(i);
    }
    if (count[0] < 2 || count[1] < 2) return 1;
    one.conservativeResize(count[0], M.cols());
    other.conservativeResize(count[1], M.cols());
    DoubleVector v(M.cols()), along;
    for (Index j = 0; j < v.size(); ++j) v[j] = 1 + 0.5 * std::sin(static_cast<double>(j));
    for (int round = 0; round < 30; ++round) {
      along.noalias() = one * v;
      v.noalias() = one.transpose() * along;
      const double length = v.norm();
      if (!(length > 0) || !std::isfinite(length)) return 1;
      v /= length;
    }
    along.noalias() = other * v;
    return std::max(1.0, along.squaredNorm() / static_cast<double>(count[1]));
  }

  // The root R of the geometric mean of C and B⁻¹, R Rᵀ = C # B⁻¹: with B = L Lᵀ and LᵀCL = V D Vᵀ it is L⁻ᵀ V D^¼, and
  // its inverse D^−¼ Vᵀ Lᵀ.
  static void root_of_mean(const DoubleMatrix& C, const DoubleMatrix& B, DoubleMatrix& root, DoubleMatrix& inverse) {
    const Eigen::LLT<DoubleMatrix> cholesky(B);
    const DoubleMatrix L = cholesky.matrixL();
    const Eigen::SelfAdjointEigenSolver<DoubleMatrix> middle(DoubleMatrix(L.transpose() * C * L));
    const DoubleVector roots = middle.eigenvalues().array().max(0).sqrt().sqrt().matrix();
    inverse = middle.eigenvectors().transpose() * L.transpose();
    root = middle.eigenvectors();
    for (Index k = 0; k < roots.size(); ++k) {
      root.col(k) *= roots[k];
      inverse.row(k) /= roots[k];
    }
    L.transpose().template triangularView<Eigen::Upper>().solveInPlace(root);
  }

  // The directions whose variance differs from 1 by more than a factor of two.
  static Metric of_low_rank(const DoubleVector& deviations, const DoubleMatrix& root) {
    const Eigen::SelfAdjointEigenSolver<DoubleMatrix> parts(DoubleMatrix(root * root.transpose()));
    DoubleMatrix directions(root.rows(), root.rows());
    DoubleVector variances(root.rows());
    Index kept = 0;
    for (Index k = 0; k < root.rows(); ++k) {
      const double variance = parts.eigenvalues()[k];
      if (variance <= 2 && variance >= 0.5) continue;
      directions.col(kept) = parts.eigenvectors().col(k);
      variances[kept++] = variance;
    }
    directions.conservativeResize(root.rows(), kept);
    variances.conservativeResize(kept);
    return Metric::low_rank(deviations, directions, variances);
  }
};

}  // namespace scorematch::sampling
