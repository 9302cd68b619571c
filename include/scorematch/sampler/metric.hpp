// The coordinates that a kernel works in: x = A y, so that the law of y has a covariance near the identity.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include "scorematch/check.hpp"
#include "scorematch/evaluate/gemm.hpp"
#include "scorematch/sampler/target.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// A linear map x = A y. A kernel that takes a step h in y takes it with the metric A Aᵀ in x: Langevin's step becomes
/// x + h A Aᵀ s(x) + √(2h) A z. Best where A Aᵀ is the covariance of the law. Diagonal, of low rank (a diagonal matrix
/// and a few directions), or dense; without one A = I.
class Metric {
 public:
  /// How A is made up.
  enum class Form { identity, diagonal, low_rank, dense };

  Metric() = default;

  /// A = diag(deviations): d numbers above 0, the standard deviation of each coordinate.
  static Metric diagonal(const Eigen::VectorXd& deviations) {
    Metric metric;
    metric.form_ = Form::diagonal;
    metric.scale_ = deviations;
    for (Index j = 0; j < deviations.size(); ++j)
      extend::require(std::isfinite(deviations[j]) && deviations[j] > 0,
                      {"Metric: deviation ", j, " is ", deviations[j], "; it must be a finite number above 0"});
    return metric;
  }

  /// A = diag(deviations) (I + U (diag(√variances) − I) Uᵀ): U is d × r with orthonormal columns, the directions whose
  /// variance, in units of the deviations, is not 1.
  static Metric low_rank(const Eigen::VectorXd& deviations, const Eigen::MatrixXd& directions,
                         const Eigen::VectorXd& variances) {
    Metric metric = diagonal(deviations);
    metric.form_ = Form::low_rank;
    const Index d = deviations.size(), r = directions.cols();
    extend::require(directions.rows() == d && r == variances.size(),
                    {"Metric: directions are ", directions.rows(), " × ", r, " with ", variances.size(),
                     " variances; they must be ", d, " × (number of variances)"});
    for (Index a = 0; a < r; ++a)
      for (Index b = 0; b <= a; ++b) {
        double product = a == b ? -1 : 0;
        for (Index j = 0; j < d; ++j) product += directions(j, a) * directions(j, b);
        extend::require(std::abs(product) <= 1e-6, {"Metric: the directions must be orthonormal"});
      }
    metric.directions_ = directions;
    metric.stretch_.resize(r);
    for (Index k = 0; k < r; ++k) {
      extend::require(std::isfinite(variances[k]) && variances[k] > 0,
                      {"Metric: variance ", k, " is ", variances[k], "; it must be a finite number above 0"});
      metric.stretch_[k] = std::sqrt(variances[k]);
    }
    return metric;
  }

  /// A Aᵀ = covariance, d × d, symmetric and positive definite.
  static Metric dense(const Eigen::MatrixXd& covariance) {
    const Index d = covariance.rows();
    extend::require(d == covariance.cols(),
                    {"Metric: the covariance is ", d, " × ", covariance.cols(), "; it must be square"});
    Eigen::VectorXd deviations(d);
    for (Index j = 0; j < d; ++j) deviations[j] = std::sqrt(std::max(0.0, covariance(j, j)));
    (void)diagonal(deviations);
    // Cholesky's root in units of the deviations, whose squares may differ by more than a double resolves.
    Eigen::MatrixXd root(d, d);
    root.setZero();
    for (Index j = 0; j < d; ++j)
      for (Index i = j; i < d; ++i) {
        double rest = covariance(i, j) / (deviations[i] * deviations[j]);
        for (Index k = 0; k < j; ++k) rest -= root(i, k) * root(j, k);
        extend::require(i > j ? std::isfinite(rest) : rest > 1e-14,
                        {"Metric: the covariance is not positive definite, or not finite"});
        root(i, j) = i == j ? std::sqrt(rest) : rest / root(j, j);
      }
    Eigen::MatrixXd inverse(d, d);  // of the root, by forward substitution
    inverse.setZero();
    for (Index j = 0; j < d; ++j)
      for (Index i = j; i < d; ++i) {
        double rest = i == j ? 1 : 0;
        for (Index k = j; k < i; ++k) rest -= root(i, k) * inverse(k, j);
        inverse(i, j) = rest / root(i, i);
      }
    return from_root(deviations, root, inverse);
  }

  /// A = diag(deviations) root, root d × d and of full rank, with its inverse.
  static Metric from_root(const Eigen::VectorXd& deviations, const Eigen::MatrixXd& root,
                          const Eigen::MatrixXd& inverse) {
    Metric metric;
    metric.form_ = Form::dense;
    metric.scale_ = deviations;
    metric.root_ = root;
    metric.inverse_ = inverse;
    for (Index j = 0; j < root.cols(); ++j)
      for (Index i = 0; i < root.rows(); ++i) {
        metric.root_(i, j) *= deviations[i];
        metric.inverse_(i, j) /= deviations[j];
      }
    return metric;
  }

  /// How A is made up.
  Form form() const { return form_; }
  /// Whether A = I.
  bool is_identity() const { return form_ == Form::identity; }

  /// A Aᵀ, for a target of dimension d.
  Eigen::MatrixXd covariance(Index d) const {
    Eigen::MatrixXd A(d, d), all(d, d);
    for (Index j = 0; j < d; ++j)
      for (Index i = 0; i < d; ++i) {
        A(i, j) = i == j ? 1 : 0;
        for (Index k = 0; k < stretch_.size(); ++k)
          A(i, j) += directions_(i, k) * (stretch_[k] - 1) * directions_(j, k);
        if (form_ == Form::diagonal || form_ == Form::low_rank) A(i, j) *= scale_[i];
        if (form_ == Form::dense) A(i, j) = root_(i, j);
      }
    for (Index j = 0; j < d; ++j)
      for (Index i = 0; i < d; ++i) {
        all(i, j) = 0;
        for (Index k = 0; k < d; ++k) all(i, j) += A(i, k) * A(j, k);
      }
    return all;
  }

  /// Throws unless it is for dimension d.
  void validate_for(Index d, const char* argument) const {
    extend::require(is_identity() || scale_.size() == d,
                    {argument, " is for dimension ", scale_.size(), "; the model has dimension ", d});
  }

  /// The parts of A, of which `form` says how they make it up: deviations (d), root (d × d, A itself where dense) and
  /// its inverse, directions (d × r), and the square roots of their variances (r).
  ///@{
  const Eigen::VectorXd& deviations() const { return scale_; }
  const Eigen::MatrixXd& root() const { return root_; }
  const Eigen::MatrixXd& inverse() const { return inverse_; }
  const Eigen::MatrixXd& directions() const { return directions_; }
  const Eigen::VectorXd& stretch() const { return stretch_; }
  ///@}

  /// "diagonal", "dense", …
  std::string text() const {
    switch (form_) {
      case Form::identity:
        return "identity";
      case Form::diagonal:
        return "diagonal";
      case Form::low_rank:
        return detail::text("diagonal and ", directions_.cols(), " directions");
      case Form::dense:
        return "dense";
    }
    return "";
  }

 private:
  Form form_ = Form::identity;
  Eigen::VectorXd scale_;
  Eigen::MatrixXd directions_;      // d × r
  Eigen::VectorXd stretch_;         // r
  Eigen::MatrixXd root_, inverse_;  // A and A⁻¹
};

namespace sampling {

/// A metric's products with the rows of B × d matrices, in the arithmetic T.
template <class T>
class MetricMap {
 public:
  MetricMap() = default;
  explicit MetricMap(const Metric& metric) : form_(metric.form()) {
    const Index d = metric.deviations().size(), r = metric.stretch().size();
    scale_ = metric.deviations().template cast<T>();
    inverse_scale_ = scale_.cwiseInverse();
    root_ = metric.root().template cast<T>();
    root_transposed_ = root_.transpose();
    inverse_ = metric.inverse().template cast<T>();
    inverse_transposed_ = inverse_.transpose();
    directions_ = metric.directions().template cast<T>();
    wider_.resize(r, d);
    narrower_.resize(r, d);
    for (Index j = 0; r > 0 && j < d; ++j)
      for (Index k = 0; k < r; ++k) {
        wider_(k, j) = static_cast<T>((metric.stretch()[k] - 1) * metric.directions()(j, k));
        narrower_(k, j) = static_cast<T>((1 / metric.stretch()[k] - 1) * metric.directions()(j, k));
      }
  }

  bool is_identity() const { return form_ == Metric::Form::identity; }

  /// x = A y
  void to_x(const Matrix<T>& Y, Matrix<T>& X) const { forward(Y, X, root_transposed_, wider_, scale_, false); }
  /// y = A⁻¹ x
  void to_y(const Matrix<T>& X, Matrix<T>& Y) const {
    forward(X, Y, inverse_transposed_, narrower_, inverse_scale_, true);
  }
  /// ∂/∂y = Aᵀ ∂/∂x
  void score_to_y(const Matrix<T>& S, Matrix<T>& S_y) const { forward(S, S_y, root_, wider_, scale_, true); }
  void score_to_x(const Matrix<T>& S_y, Matrix<T>& S) const {
    forward(S_y, S, inverse_, narrower_, inverse_scale_, false);
  }

 private:
  using Product = evaluate::Gemm<T>;

  // to = from · `whole` where dense; else from scaled (first or last) and stretched along the directions.
  void forward(const Matrix<T>& from, Matrix<T>& to, const Matrix<T>& whole, const Matrix<T>& stretch,
               const Vector<T>& scale, bool scale_first) const {
    const Index B = from.rows(), d = from.cols();
    to.resize(B, d);
    if (form_ == Metric::Form::dense)
      return Product::multiply(B, d, d, from.data(), B, whole.data(), d, to.data(), B, false);
    to = from;
    if (form_ == Metric::Form::identity) return;
    if (scale_first) rescale(scale, to);
    if (form_ == Metric::Form::low_rank) {
      const Index r = directions_.cols();
      along_.resize(B, r);
      Product::multiply(B, r, d, to.data(), B, directions_.data(), d, along_.data(), B, false);
      Product::multiply(B, d, r, along_.data(), B, stretch.data(), r, to.data(), B, true);
    }
    if (!scale_first) rescale(scale, to);
  }

  static void rescale(const Vector<T>& scale, Matrix<T>& M) {
    for (Index j = 0; j < M.cols(); ++j) M.col(j) *= scale[j];
  }

  Metric::Form form_ = Metric::Form::identity;
  Vector<T> scale_, inverse_scale_;
  Matrix<T> root_, root_transposed_, inverse_, inverse_transposed_;
  Matrix<T> directions_, wider_, narrower_;  // d × r, r × d, r × d
  mutable Matrix<T> along_;                  // B × r; each thread has a map of its own
};

/// A target in the coordinates of a metric: log p(A y), whose score is Aᵀ s(A y).
template <class T>
class MetricTarget final : public extend::Target<T> {
 public:
  MetricTarget(extend::Target<T>& target, MetricMap<T>& map) : target_(&target), map_(&map) {}

  const Matrix<T>& score(Matrix<T>& Y) override {
    map_->to_x(Y, X_);
    map_->score_to_y(target_->score(X_), S_y_);
    return S_y_;
  }
  void energy_and_score(Matrix<T>& Y, Vector<T>& f, Matrix<T>& S_y) override {
    map_->to_x(Y, X_);
    target_->energy_and_score(X_, f, S_);
    map_->score_to_y(S_, S_y);
  }

 private:
  extend::Target<T>* target_;
  MetricMap<T>* map_;
  Matrix<T> X_, S_, S_y_;
};

}  // namespace sampling
}  // namespace scorematch
