// The coordinates that a kernel works in: x = A y, so that the law of y has a covariance near the identity.
#pragma once

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
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
    extend::require(directions.rows() == deviations.size() && directions.cols() == variances.size(),
                    {"Metric: directions are ", directions.rows(), " × ", directions.cols(), " with ", variances.size(),
                     " variances; they must be ", deviations.size(), " × (number of variances)"});
    const Index r = directions.cols();
    extend::require((directions.transpose() * directions - Eigen::MatrixXd::Identity(r, r)).norm() <= 1e-6,
                    {"Metric: the directions must be orthonormal"});
    for (Index k = 0; k < r; ++k)
      extend::require(std::isfinite(variances[k]) && variances[k] > 0,
                      {"Metric: variance ", k, " is ", variances[k], "; it must be a finite number above 0"});
    metric.directions_ = directions;
    metric.stretch_ = variances.cwiseSqrt();
    return metric;
  }

  /// A Aᵀ = covariance, d × d, symmetric and positive definite.
  static Metric dense(const Eigen::MatrixXd& covariance) {
    extend::require(
        covariance.rows() == covariance.cols() && covariance.allFinite(),
        {"Metric: the covariance is ", covariance.rows(), " × ", covariance.cols(), "; it must be square and finite"});
    // In units of the deviations first, whose squares may differ by more than a double resolves.
    const Eigen::VectorXd deviations = covariance.diagonal().cwiseMax(0).cwiseSqrt();
    Metric metric = diagonal(deviations);
    const Eigen::VectorXd inverse = deviations.cwiseInverse();
    const Eigen::LLT<Eigen::MatrixXd> root(inverse.asDiagonal() * covariance * inverse.asDiagonal());
    extend::require(root.info() == Eigen::Success, {"Metric: the covariance is not positive definite"});
    return from_root(deviations, root.matrixL());
  }

  /// A = diag(deviations) root, root d × d and of full rank.
  static Metric from_root(const Eigen::VectorXd& deviations, const Eigen::MatrixXd& root) {
    Metric metric;
    metric.form_ = Form::dense;
    metric.scale_ = deviations;
    metric.root_ = deviations.asDiagonal() * root;
    metric.inverse_ = root.inverse() * deviations.cwiseInverse().asDiagonal();
    return metric;
  }

  /// How A is made up.
  Form form() const { return form_; }
  /// Whether A = I.
  bool is_identity() const { return form_ == Form::identity; }

  /// A Aᵀ, for a target of dimension d.
  Eigen::MatrixXd covariance(Index d) const {
    Eigen::MatrixXd A = Eigen::MatrixXd::Identity(d, d);
    if (form_ == Form::dense)
      A = root_;
    else if (form_ != Form::identity) {
      if (form_ == Form::low_rank)
        A += directions_ * (stretch_.array() - 1).matrix().asDiagonal() * directions_.transpose();
      A = scale_.asDiagonal() * A;
    }
    return A * A.transpose();
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
  explicit MetricMap(const Metric& metric)
      : form_(metric.form()),
        scale_(metric.deviations().cast<T>()),
        inverse_scale_(metric.deviations().cwiseInverse().cast<T>()),
        root_(metric.root().cast<T>()),
        root_transposed_(metric.root().transpose().cast<T>()),
        inverse_(metric.inverse().cast<T>()),
        inverse_transposed_(metric.inverse().transpose().cast<T>()),
        directions_(metric.directions().cast<T>()),
        wider_((metric.stretch().array() - 1).matrix().cast<T>().asDiagonal() *
               metric.directions().transpose().cast<T>()),
        narrower_((metric.stretch().array().inverse() - 1).matrix().cast<T>().asDiagonal() *
                  metric.directions().transpose().cast<T>()) {}

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
