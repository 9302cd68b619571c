// How far a step in θ moves the score: the Gauss–Newton matrix of a loss, which fits measure steps and gradients with.
//
// A loss of score matching is a quadratic function of the score, so that with v the numbers whose squares it sums up
//   loss(θ + δ) ≈ loss(θ) + gᵀδ + ½ δᵀGδ,   G = E Σ w (∂v/∂θ)(∂v/∂θ)ᵀ,
// up to the curvature of v(θ). G has the units of θ and of the data in it, so that √(δᵀGδ / E Σ w v²), the change of
// the score beside its size, has none.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "scorematch/evaluate/gemm.hpp"
#include "scorematch/simd/lanes.hpp"
#include "scorematch/types.hpp"

namespace scorematch::fitting {

/// Up to this many parameters G is kept whole, beyond that its diagonal.
inline constexpr Index most_dense = 1000;

struct Metric {
  Eigen::MatrixXd gram;      ///< G, p × p; empty where only the diagonal is kept
  Eigen::VectorXd diagonal;  ///< its diagonal
  double square = 0;         ///< E Σ w v², the square of the score's size
  /// The same of v beside its natural size, by which coordinates count alike whatever their units: what verdicts
  /// measure with.
  Eigen::MatrixXd relative_gram;
  Eigen::VectorXd relative_diagonal;
  double relative_square = 0;
  /// The mean loss minus that of a model whose score is 0 everywhere; NaN where this means nothing.
  double gain = std::numeric_limits<double>::quiet_NaN();
};

/// The metric at θ.
using MetricAt = std::function<void(const Eigen::VectorXd& theta, Metric& metric)>;

/// For functions of numbers without units, of order 1.
inline MetricAt unit_metric() {
  return [](const Eigen::VectorXd& theta, Metric& metric) {
    metric.diagonal.setConstant(theta.size(), 1);
    metric.relative_diagonal = metric.diagonal;
    metric.square = metric.relative_square = 1;
  };
}

/// Sums up rows of a Jacobian to the metric.
class MetricSum {
 public:
  MetricSum(Index parameters, Eigen::MatrixXd& gram, Eigen::VectorXd& diagonal)
      : parameters_(parameters), dense_(parameters <= most_dense), gram_(gram), diagonal_(diagonal) {
    diagonal_.setZero(parameters);
    if (dense_) {
      gram_.setZero(parameters, parameters);
      rows_.setZero(together, parameters);
    } else {
      gram_.resize(0, 0);
    }
  }

  void add(const Eigen::VectorXd& row, double factor = 1) {
    for (Index i = 0; i < parameters_; ++i) diagonal_[i] += (factor * row[i]) * (factor * row[i]);
    if (!dense_) return;
    for (Index i = 0; i < parameters_; ++i) rows_(filled_, i) = factor * row[i];
    if (++filled_ == together) flush();
  }

  /// Makes means of the sums.
  void finish(Index samples) {
    if (filled_ > 0) {
      for (Index i = 0; i < parameters_; ++i)
        for (Index r = filled_; r < together; ++r) rows_(r, i) = 0;
      flush();
    }
    const double scale = 1 / static_cast<double>(samples);
    for (Index i = 0; i < parameters_; ++i) diagonal_[i] *= scale;
    for (Index j = 0; j < gram_.cols(); ++j)
      for (Index i = j; i < parameters_; ++i) gram_(j, i) = gram_(i, j) *= scale;
  }

 private:
  static constexpr Index together = 256;

  // Below the diagonal alone, a panel of columns after another.
  void flush() {
    using Gemm = evaluate::Gemm<double>;
    room_.resize(static_cast<std::size_t>(Gemm::transposed_room));
    const Index p = parameters_;
    for (Index k = 0; k < p; k += Gemm::panel) {
      const Index panel = std::min(Gemm::panel, p - k);
      products_.assign(static_cast<std::size_t>(panel * (p - k)), 0);
      Gemm::multiply_transposed(panel, p - k, together, rows_.data() + k * together, together,
                                rows_.data() + k * together, together, products_.data(), room_.data());
      for (Index j = 0; j < p - k; ++j)
        for (Index i = 0; i < panel; ++i) gram_(k + j, k + i) += products_[static_cast<std::size_t>(j * panel + i)];
    }
    filled_ = 0;
  }

  Index parameters_;
  bool dense_;
  Eigen::MatrixXd& gram_;
  Eigen::VectorXd& diagonal_;
  Eigen::MatrixXd rows_;  ///< together × p
  Index filled_ = 0;
  std::vector<double> room_, products_;
};

/// Solves with G + damping · diag G, by Cholesky's factor in units in which the diagonal is 1, or with the diagonal
/// alone. Parameters that move nothing stay where they are.
class MetricSolver {
 public:
  /// Raises the damping until the factor exists: exact collinearity costs no more than that.
  void factor(const Metric& metric, double damping) { factor(metric.gram, metric.diagonal, damping); }

  /// The same for A + damping diag(units), A symmetric, in units in which `units` are 1.
  void factor(const Eigen::MatrixXd& A, const Eigen::VectorXd& units, double damping) {
    const Index p = units.size();
    scale_.resize(p);
    double largest = 0;
    for (Index i = 0; i < p; ++i) largest = std::max(largest, units[i]);
    const bool dense = A.size() > 0;
    for (Index i = 0; i < p; ++i) {
      double own = units[i];
      if (!dense) own = std::max(own, 1e-8 * largest);  // few rows were looked at: one that did not move may yet
      scale_[i] = own > 0 && std::isfinite(own) ? 1 / std::sqrt(own) : 0;
    }
    damping_ = damping;
    factor_.resize(0, 0);
    if (!dense) return;
    for (;;
         damping_ = std::max({10 * damping_, 1e-15, 1e-2 * needed_})) {  // what it took last time tells where to go on
      if (!decompose(A) && damping_ <= 1e3) continue;
      needed_ = damping_ > damping ? damping_ : 0;
      return;
    }
  }
  /// The damping that it took.
  double damping() const { return damping_; }

  /// δ = (G + damping diag G)⁻¹ g
  void solve(const Eigen::VectorXd& g, Eigen::VectorXd& delta) const {
    const Index p = scale_.size();
    delta.resize(p);
    for (Index i = 0; i < p; ++i) delta[i] = scale_[i] * g[i];
    if (factor_.size() > 0) {
      for (Index j = 0; j < p; ++j) {
        delta[j] /= factor_(j, j);
        for (Index i = j + 1; i < p; ++i) delta[i] -= factor_(i, j) * delta[j];
      }
      for (Index j = p - 1; j >= 0; --j) {
        double sum = delta[j];
        for (Index i = j + 1; i < p; ++i) sum -= factor_(i, j) * delta[i];
        delta[j] = sum / factor_(j, j);
      }
    } else {
      for (Index i = 0; i < p; ++i) delta[i] /= 1 + damping_;
    }
    for (Index i = 0; i < p; ++i) delta[i] *= scale_[i];
  }

 private:
  bool decompose(const Eigen::MatrixXd& A) {
    const Index p = scale_.size();
    factor_.resize(p, p);
    for (Index j = 0; j < p; ++j)
      for (Index i = j; i < p; ++i)
        factor_(i, j) = A(i, j) * scale_[i] * scale_[j] + (i == j ? scale_[i] > 0 ? damping_ : 1 : 0);
    // By panels of columns, so that the rest of the matrix is read once for each.
    for (Index first = 0; first < p; first += panel) {
      const Index last = std::min(first + panel, p);
      for (Index j = first; j < last; ++j) {
        subtract(first, j, j);
        const double pivot = factor_(j, j);
        if (!(pivot > 1e-15 * static_cast<double>(p))) return false;
        const double root = 1 / std::sqrt(pivot);
        for (Index i = j; i < p; ++i) factor_(i, j) *= root;
      }
      for (Index k = last; k < p; ++k) subtract(first, last, k);
    }
    return true;
  }

  static constexpr Index panel = 8;

  // Column k, from its diagonal on, less its products with the columns from `first` to `last`.
  void subtract(Index first, Index last, Index k) {
    using V = simd::Lanes<double>;
    constexpr Index width = simd::width<V>;
    const Index p = scale_.size(), count = last - first;
    const double* columns[panel] = {};
    double by[panel] = {};
    for (Index m = 0; m < count; ++m) {
      columns[m] = &factor_(0, first + m);
      by[m] = columns[m][k];
    }
    double* to = &factor_(0, k);
    Index i = k;
    for (; i + width <= p; i += width) {
      V rest = simd::load<V>(to + i);
      for (Index m = 0; m < count; ++m) rest -= by[m] * simd::load<V>(columns[m] + i);
      simd::store<V>(to + i, rest);
    }
    for (; i < p; ++i)
      for (Index m = 0; m < count; ++m) to[i] -= by[m] * columns[m][i];
  }

  Eigen::VectorXd scale_;   ///< 1/√G_ii
  Eigen::MatrixXd factor_;  ///< lower
  double damping_ = 0, needed_ = 0;
};

/// δᵀGδ, G whole or its diagonal
inline double squared_length(const Eigen::MatrixXd& gram, const Eigen::VectorXd& diagonal,
                             const Eigen::VectorXd& delta) {
  const Index p = delta.size();
  double sum = 0;
  if (gram.size() > 0) {
    for (Index j = 0; j < p; ++j) {
      double column = 0;
      for (Index i = 0; i < p; ++i) column += gram(i, j) * delta[i];
      sum += column * delta[j];
    }
  } else {
    for (Index i = 0; i < p; ++i) sum += diagonal[i] * delta[i] * delta[i];
  }
  return std::max(sum, 0.0);
}

}  // namespace scorematch::fitting
