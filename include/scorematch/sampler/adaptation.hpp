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
  /// Rows that are finite.
  void add(const Eigen::RowVectorXd& x, const Eigen::RowVectorXd& s, bool second_group) {
    if (full() || !x.allFinite() || !s.allFinite()) return;
    X.row(count) = x;
    S.row(count) = s;
    group[static_cast<std::size_t>(count)] = second_group ? 1 : 0;
    ++count;
  }
};

/// What a window tells.
struct LearnedMetric {
  Metric metric;
  double widest = 1;  ///< √λ, the deviation of the widest direction in the metric's coordinates
};

/// √(Var x_j/Var s_j), the deviations of the diagonal metric; where a coordinate's score does not vary (a flat law),
/// its own deviation; where neither does, 1.
inline Eigen::VectorXd deviations_of(const Eigen::MatrixXd& X, const Eigen::MatrixXd& S) {
  Eigen::VectorXd deviations(X.cols());
  for (Index j = 0; j < X.cols(); ++j) {
    // log: squares of scores of 1e200 overflow
    const double x = X.col(j).norm(), s = S.col(j).norm(), n = std::sqrt(static_cast<double>(X.rows()));
    double deviation = std::sqrt(x / s);
    if (!(std::isfinite(deviation) && deviation > 0)) deviation = x / n;
    if (!(std::isfinite(deviation) && deviation > 0)) deviation = 1;
    deviations[j] = std::clamp(deviation, 1e-100, 1e100);
  }
  return deviations;
}

/// The variance of M's rows along the direction in which they vary most, found by power iteration on the rows of one
/// group of chains and measured on those of the other: so that in many dimensions noise is not taken for a wide
/// direction.
inline double widest_variance(const Eigen::MatrixXd& M, const std::vector<char>& group) {
  std::vector<Index> rows[2];
  for (Index i = 0; i < M.rows(); ++i) rows[group[static_cast<std::size_t>(i)] == 0 ? 0 : 1].push_back(i);
  if (rows[0].size() < 2 || rows[1].size() < 2) return 1;
  const Eigen::MatrixXd one = M(rows[0], Eigen::all), other = M(rows[1], Eigen::all);
  Eigen::VectorXd v(M.cols());
  for (Index j = 0; j < v.size(); ++j) v[j] = 1 + 0.5 * std::sin(static_cast<double>(j));
  for (int round = 0; round < 30; ++round) {
    v = (one.transpose() * (one * v)).eval();
    const double length = v.norm();
    if (!(length > 0) || !std::isfinite(length)) return 1;
    v /= length;
  }
  return std::max(1.0, (other * v).squaredNorm() / static_cast<double>(other.rows()));
}

/// The root R of the geometric mean of C and B⁻¹, R Rᵀ = C # B⁻¹: with B = L Lᵀ and LᵀCL = V D Vᵀ it is L⁻ᵀ V D^¼.
inline Eigen::MatrixXd root_of_mean(const Eigen::MatrixXd& C, const Eigen::MatrixXd& B) {
  const Eigen::LLT<Eigen::MatrixXd> cholesky(B);
  const Eigen::MatrixXd L = cholesky.matrixL();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> middle(L.transpose() * C * L);
  const Eigen::VectorXd roots = middle.eigenvalues().cwiseMax(0).cwiseSqrt().cwiseSqrt();
  return L.transpose().triangularView<Eigen::Upper>().solve(middle.eigenvectors() * roots.asDiagonal());
}

/// The metric of a window. `wanted`: which form; identity: the one that pays, dense where the draws suffice for it and
/// show directions wider than the diagonal explains.
inline LearnedMetric learn_metric(Window& window, Metric::Form wanted) {
  constexpr Index dense_up_to = 200;
  const Index n = window.count, d = window.X.cols();
  LearnedMetric learned;
  if (n < 2) return learned;
  Eigen::MatrixXd X = window.X.topRows(n), S = window.S.topRows(n);
  X.rowwise() -= X.colwise().mean().eval();
  S.rowwise() -= S.colwise().mean().eval();
  const Eigen::VectorXd deviations = deviations_of(X, S);
  learned.metric = Metric::diagonal(deviations);
  X = X * deviations.cwiseInverse().asDiagonal();
  S = S * deviations.asDiagonal();
  const double spread = widest_variance(X, window.group), steepness = widest_variance(S, window.group);
  learned.widest = std::sqrt(spread);
  // Of a normal law's stationary draws both vary by 1 here; far from it a covariance is not worth its digits.
  const auto near_one = [n](const Eigen::MatrixXd& M) {
    const Eigen::ArrayXd squares = M.colwise().squaredNorm().array() / static_cast<double>(n);
    return squares.minCoeff() > 0.01 && squares.maxCoeff() < 100;
  };
  const bool possible = n >= 3 * d && d > 1 && near_one(X) && near_one(S);
  const bool pays = possible && d <= dense_up_to && std::sqrt(spread * steepness) > 2;
  if (wanted == Metric::Form::diagonal || !possible || (wanted == Metric::Form::identity && !pays)) return learned;
  constexpr double nothing = 1e-5;  // added to both: a direction in which nothing varies stays as it is
  const double count = static_cast<double>(n);
  Eigen::MatrixXd C = X.transpose() * X / count, B = S.transpose() * S / count;
  C.diagonal().array() += nothing;
  B.diagonal().array() += nothing;
  const Eigen::MatrixXd root = root_of_mean(C, B);
  if (!root.allFinite()) return learned;
  if (wanted == Metric::Form::low_rank) {
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> parts(root * root.transpose());
    std::vector<Index> kept;  // directions whose variance differs from 1 by more than a factor of two
    for (Index k = 0; k < d; ++k)
      if (parts.eigenvalues()[k] > 2 || parts.eigenvalues()[k] < 0.5) kept.push_back(k);
    learned.metric = Metric::low_rank(deviations, parts.eigenvectors()(Eigen::all, kept), parts.eigenvalues()(kept));
  } else {
    learned.metric = Metric::from_root(deviations, root);
  }
  X = X * root.inverse().transpose();
  learned.widest = std::sqrt(widest_variance(X, window.group));
  return learned;
}

}  // namespace scorematch::sampling
