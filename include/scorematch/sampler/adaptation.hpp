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
// 2021) lets no few chains be stuck where the law is narrow, while most accept. Of an unadjusted kernel with a bias:
// stochastic approximation of the step whose mean squared energy error is the one that goes with the bias, as it grows
// with the sixth power of the step (Robnik, De Luca, Silverstein & Seljak 2023 choose the step of microcanonical
// dynamics so).
//
// Length. In the metric's coordinates the widest direction has variance λ, found by power iteration; a trajectory with
// times spread evenly up to 2.8 √λ makes the coordinates' worst autocorrelation least for its cost (for normal laws,
// over all directions that are narrower).
#pragma once

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
    centre_ = now_ = std::log(step);
    gap_ = mean_ = 0;
    count_ = 0;
  }

  /// Learns that steps of the present length were accepted with this mean probability; the next one's length.
  double next(double acceptance) {
    constexpr double gamma = 0.05, kappa = 0.75, t0 = 10;
    ++count_;
    const double t = static_cast<double>(count_), weight = 1 / (t + t0);
    gap_ += weight * (target_ - acceptance - gap_);
    return average(centre_ - std::clamp(std::sqrt(t) / gamma * gap_, -300.0, 300.0), std::pow(t, -kappa));
  }

  /// Learns that steps of the present length had this multiple of the energy error wanted, squared; the next one's
  /// length.
  double next_by_error(double multiple) {
    ++count_;
    const double t = static_cast<double>(count_), rate = 1 / std::sqrt(std::max(1.0, t / 10));
    return average(now_ - rate * std::clamp(std::log(multiple), -6.0, 6.0) / 6, std::pow(t, -0.75));
  }

  /// The average, to go on with.
  double found() const { return count_ > 0 ? std::exp(mean_) : std::exp(centre_); }

 private:
  double average(double now, double share) {
    now_ = now;
    mean_ = share * now + (1 - share) * mean_;
    return std::exp(now);
  }

  double target_, centre_ = 0, now_ = 0, gap_ = 0, mean_ = 0;
  Index count_ = 0;
};

/// Draws and scores of a window, n × d each, in the model's own coordinates.
struct Window {
  Eigen::MatrixXd X, S;
  std::vector<char> group;  ///< which of two groups of chains each row comes from
  Index count = 0;

  /// Room for `rows` draws, or some more: products of matrices take whole registers of rows.
  Window(Index rows, Index dimension)
      : X(Eigen::MatrixXd::Zero((rows + 15) / 16 * 16, dimension)), S(X), group(static_cast<std::size_t>(X.rows())) {}
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

// The learner's matrices are small and its work is done a few times a run: plain loops, for Eigen's decompositions and
// products would cost every program that samples 25 s of compile time.

/// The eigenvalues of a symmetric matrix and its eigenvectors, V's columns, by Jacobi's rotations: A V = V
/// diag(values).
inline void eigenvectors_of(Eigen::MatrixXd A, Eigen::VectorXd& values, Eigen::MatrixXd& V) {
  const Index d = A.rows();
  V.resize(d, d);
  for (Index j = 0; j < d; ++j)
    for (Index i = 0; i < d; ++i) V(i, j) = i == j ? 1 : 0;
  for (int sweep = 0; sweep < 30; ++sweep) {
    double off = 0, all = 0;
    for (Index j = 0; j < d; ++j)
      for (Index i = 0; i < d; ++i) {
        all += A(i, j) * A(i, j);
        if (i != j) off += A(i, j) * A(i, j);
      }
    if (!(off > 1e-28 * all)) break;
    for (Index p = 0; p < d; ++p)
      for (Index q = p + 1; q < d; ++q) {
        if (A(p, q) == 0) continue;
        const double half = 0.5 * (A(q, q) - A(p, p)) / A(p, q);
        const double t = (half < 0 ? -1 : 1) / (std::abs(half) + std::hypot(half, 1.0));
        const double c = 1 / std::hypot(t, 1.0), sine = t * c;
        const auto rotate = [&](double* a, double* b) {
          for (Index i = 0; i < d; ++i) {
            const double x = a[i], y = b[i];
            a[i] = c * x - sine * y;
            b[i] = sine * x + c * y;
          }
        };
        rotate(A.data() + p * d, A.data() + q * d);
        for (Index i = 0; i < d; ++i) {
          const double x = A(p, i), y = A(q, i);
          A(p, i) = c * x - sine * y;
          A(q, i) = sine * x + c * y;
        }
        rotate(V.data() + p * d, V.data() + q * d);
      }
  }
  values.resize(d);
  for (Index j = 0; j < d; ++j) values[j] = A(j, j);
}

/// What a window tells.
class MetricLearner {
 public:
  /// The metric of a window. `wanted`: which form; identity: the one that pays, dense where the draws suffice for it
  /// and show directions wider than the diagonal explains.
  static LearnedMetric learn(const Window& window, Metric::Form wanted) {
    constexpr Index dense_up_to = 200;
    const Index n = window.count, d = window.X.cols();
    LearnedMetric learned;
    if (n < 2) return learned;
    Eigen::MatrixXd X = centred(window.X, n), S = centred(window.S, n);
    const Eigen::VectorXd deviations = deviations_of(X, S);
    learned.metric = Metric::diagonal(deviations);
    for (Index j = 0; j < d; ++j)
      for (Index i = 0; i < n; ++i) {
        X(i, j) /= deviations[j];
        S(i, j) *= deviations[j];
      }
    const double spread = widest_variance(X, window.group), steepness = widest_variance(S, window.group);
    learned.widest = std::sqrt(spread);
    const bool possible = n >= 3 * d && d > 1 && varies_by_one(X) && varies_by_one(S);
    const bool pays = possible && d <= dense_up_to && std::sqrt(spread * steepness) > 2;
    if (wanted == Metric::Form::diagonal || !possible || (wanted == Metric::Form::identity && !pays)) return learned;
    Eigen::MatrixXd root, inverse;
    if (!root_of_mean(covariance(X), covariance(S), root, inverse)) return learned;
    learned.metric =
        wanted == Metric::Form::low_rank ? of_low_rank(deviations, root) : Metric::from_root(deviations, root, inverse);
    learned.widest = std::sqrt(widest_variance(product(X, inverse, true), window.group));
    return learned;
  }

 private:
  // The first n rows, less their mean.
  static Eigen::MatrixXd centred(const Eigen::MatrixXd& all, Index n) {
    Eigen::MatrixXd M(n, all.cols());
    for (Index j = 0; j < M.cols(); ++j) {
      double mean = 0;
      for (Index i = 0; i < n; ++i) mean += (all(i, j) - all(0, j)) / static_cast<double>(n);
      for (Index i = 0; i < n; ++i) M(i, j) = all(i, j) - all(0, j) - mean;
    }
    return M;
  }

  // The norm of a column, of numbers whose squares may overflow.
  static double norm(const Eigen::MatrixXd& M, Index j) {
    double largest = 0, sum = 0;
    for (Index i = 0; i < M.rows(); ++i) largest = std::max(largest, std::abs(M(i, j)));
    if (!(largest > 0)) return 0;
    for (Index i = 0; i < M.rows(); ++i) sum += (M(i, j) / largest) * (M(i, j) / largest);
    return largest * std::sqrt(sum);
  }

  // (Var x_j/Var s_j)^¼, the deviations of the diagonal metric; where a coordinate's score does not vary (a flat law),
  // its own deviation; where neither does, 1.
  static Eigen::VectorXd deviations_of(const Eigen::MatrixXd& X, const Eigen::MatrixXd& S) {
    Eigen::VectorXd deviations(X.cols());
    for (Index j = 0; j < X.cols(); ++j) {
      const double x = norm(X, j), s = norm(S, j);
      double deviation = std::sqrt(x / s);
      if (!(std::isfinite(deviation) && deviation > 0)) deviation = x / std::sqrt(static_cast<double>(X.rows()));
      if (!(std::isfinite(deviation) && deviation > 0)) deviation = 1;
      deviations[j] = std::clamp(deviation, 1e-100, 1e100);
    }
    return deviations;
  }

  // Of a normal law's stationary draws both vary by 1 here; far from it a covariance is not worth its digits.
  static bool varies_by_one(const Eigen::MatrixXd& M) {
    for (Index j = 0; j < M.cols(); ++j) {
      const double deviation = norm(M, j) / std::sqrt(static_cast<double>(M.rows()));
      if (!(deviation > 0.1 && deviation < 10)) return false;
    }
    return true;
  }

  // A B, or A Bᵀ.
  static Eigen::MatrixXd product(const Eigen::MatrixXd& A, const Eigen::MatrixXd& B, bool transposed = false) {
    const Index columns = transposed ? B.rows() : B.cols(), inner = A.cols();
    Eigen::MatrixXd C(A.rows(), columns);
    for (Index j = 0; j < columns; ++j) {
      double* to = C.data() + j * C.rows();
      for (Index i = 0; i < C.rows(); ++i) to[i] = 0;
      for (Index k = 0; k < inner; ++k) {
        const double factor = transposed ? B(j, k) : B(k, j);
        const double* from = A.data() + k * A.rows();
        for (Index i = 0; i < C.rows(); ++i) to[i] += factor * from[i];
      }
    }
    return C;
  }

  // MᵀM/n, and a little more on the diagonal: a direction in which nothing varies stays as it is.
  static Eigen::MatrixXd covariance(const Eigen::MatrixXd& M) {
    const Index n = M.rows(), d = M.cols();
    Eigen::MatrixXd C(d, d);
    for (Index a = 0; a < d; ++a)
      for (Index b = 0; b <= a; ++b) {
        double sum = 0;
        for (Index i = 0; i < n; ++i) sum += M(i, a) * M(i, b);
        C(a, b) = C(b, a) = sum / static_cast<double>(n) + (a == b ? 1e-5 : 0);
      }
    return C;
  }

  // The variance of M's rows along the direction in which they vary most, found by power iteration on the rows of one
  // group of chains and measured on those of the other: so that in many dimensions noise is not taken for a wide
  // direction.
  static double widest_variance(const Eigen::MatrixXd& M, const std::vector<char>& group) {
    const Index n = M.rows(), d = M.cols();
    Eigen::VectorXd v(d), along(n);
    for (Index j = 0; j < d; ++j) v[j] = 1 + 0.5 * std::sin(static_cast<double>(j));
    const auto project = [&](char which) {  // the rows of a group along v; returns how many there are
      Index count = 0;
      for (Index i = 0; i < n; ++i) along[i] = 0;
      for (Index j = 0; j < d; ++j)
        for (Index i = 0; i < n; ++i) along[i] += v[j] * M(i, j);
      for (Index i = 0; i < n; ++i) {
        const bool in = (group[static_cast<std::size_t>(i)] == 0) == (which == 0);
        count += in ? 1 : 0;
        if (!in) along[i] = 0;
      }
      return count;
    };
    for (int round = 0; round < 30; ++round) {
      if (project(0) < 2) return 1;
      double square = 0;
      for (Index j = 0; j < d; ++j) {
        v[j] = 0;
        for (Index i = 0; i < n; ++i) v[j] += M(i, j) * along[i];
        square += v[j] * v[j];
      }
      const double length = std::sqrt(square);
      if (!(length > 0) || !std::isfinite(length)) return 1;
      for (Index j = 0; j < d; ++j) v[j] /= length;
    }
    const Index others = project(1);
    if (others < 2) return 1;
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += along[i] * along[i];
    return std::max(1.0, sum / static_cast<double>(others));
  }

  // The root R of the geometric mean of C and B⁻¹, R Rᵀ = C # B⁻¹: with B = L Lᵀ and LᵀCL = V D Vᵀ it is L⁻ᵀ V D^¼, and
  // its inverse D^−¼ Vᵀ Lᵀ. Whether B is positive definite and all is finite.
  static bool root_of_mean(const Eigen::MatrixXd& C, const Eigen::MatrixXd& B, Eigen::MatrixXd& root,
                           Eigen::MatrixXd& inverse) {
    const Index d = C.rows();
    Eigen::MatrixXd L(d, d), upper(d, d);  // L and Lᵀ
    for (Index j = 0; j < d; ++j)
      for (Index i = 0; i < d; ++i) {
        L(i, j) = 0;
        if (i < j) continue;
        double rest = B(i, j);
        for (Index k = 0; k < j; ++k) rest -= L(i, k) * L(j, k);
        if (i == j && !(rest > 0)) return false;
        L(i, j) = i == j ? std::sqrt(rest) : rest / L(j, j);
      }
    for (Index j = 0; j < d; ++j)
      for (Index i = 0; i < d; ++i) upper(i, j) = L(j, i);
    Eigen::VectorXd values;
    Eigen::MatrixXd V;
    eigenvectors_of(product(upper, product(C, L)), values, V);
    inverse.resize(d, d);
    const Eigen::MatrixXd turned = product(L, V);  // (Vᵀ Lᵀ)ᵀ
    root = V;
    bool finite = true;
    for (Index k = 0; k < d; ++k) {
      const double scale = std::sqrt(std::sqrt(std::max(0.0, values[k])));
      for (Index i = d - 1; i >= 0; --i) {  // Lᵀ r = v D^¼ by back substitution
        double rest = V(i, k) * scale;
        for (Index j = i + 1; j < d; ++j) rest -= L(j, i) * root(j, k);
        root(i, k) = rest / L(i, i);
      }
      for (Index j = 0; j < d; ++j) {
        inverse(k, j) = turned(j, k) / scale;
        finite = finite && std::isfinite(inverse(k, j)) && std::isfinite(root(j, k));
      }
    }
    return finite;
  }

  // The directions whose variance differs from 1 by more than a factor of two.
  static Metric of_low_rank(const Eigen::VectorXd& deviations, const Eigen::MatrixXd& root) {
    const Index d = root.rows();
    Eigen::VectorXd values;
    Eigen::MatrixXd V;
    eigenvectors_of(product(root, root, true), values, V);
    std::vector<Index> kept;
    for (Index k = 0; k < d; ++k)
      if (values[k] > 2 || values[k] < 0.5) kept.push_back(k);
    Eigen::MatrixXd directions(d, static_cast<Index>(kept.size()));
    Eigen::VectorXd variances(directions.cols());
    for (Index k = 0; k < directions.cols(); ++k) {
      const Index from = kept[static_cast<std::size_t>(k)];
      variances[k] = values[from];
      for (Index i = 0; i < d; ++i) directions(i, k) = V(i, from);
    }
    return Metric::low_rank(deviations, directions, variances);
  }
};

}  // namespace scorematch::sampling
