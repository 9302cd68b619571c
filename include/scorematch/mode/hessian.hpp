// The Hessian of an energy at a point, in units in which its diagonal is 1.
#pragma once

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "scorematch/types.hpp"

namespace scorematch::likelihood {

/// H = diag(scale) R diag(scale), R's diagonal ±1, or 0 where f does not bend. Factorisations of R know no units.
template <class T>
struct ScaledHessian {
  Vector<T> scale;   ///< √|H_jj|, or the inverse length that was given where that is 0
  Matrix<T> R;       ///< symmetric
  double error = 0;  ///< about the largest error of an entry of R

  Matrix<T> matrix() const { return scale.asDiagonal() * R * scale.asDiagonal(); }
  bool finite() const { return scale.allFinite() && R.allFinite(); }

  /// From H itself.
  static ScaledHessian of(const Matrix<T>& H) {
    ScaledHessian all;
    all.scale = H.diagonal().cwiseAbs().cwiseSqrt();
    for (Index j = 0; j < H.rows(); ++j)
      if (!(all.scale[j] > 0)) all.scale[j] = 1;
    all.R = all.scale.cwiseInverse().asDiagonal() * H * all.scale.cwiseInverse().asDiagonal();
    return all;
  }

  /// The least eigenvalue of R that is told from 0.
  double least_told() const {
    const double d = static_cast<double>(R.rows());
    return d * std::max(error, 16 * std::numeric_limits<double>::epsilon());
  }

  /// Whether every eigenvalue of R is above what can be told from 0.
  bool positive_definite() const {
    const Index d = R.rows();
    return finite() && Eigen::LLT<Matrix<T>>(R - least_told() * Matrix<T>::Identity(d, d)).info() == Eigen::Success;
  }

  /// H⁻¹ s, R positive definite.
  Vector<T> solve(const Vector<T>& s) const {
    const Vector<T> scaled = s.cwiseQuotient(scale);
    return Vector<T>(Eigen::LLT<Matrix<T>>(R).solve(scaled)).cwiseQuotient(scale);
  }

  /// The lower triangular L with L Lᵀ = H⁻¹, R positive definite: with the rows and columns of R turned round, the
  /// factor of R itself is that of the inverse.
  Matrix<T> inverse_root() const {
    const Index d = R.rows();
    const Matrix<T> turned = Eigen::LLT<Matrix<T>>(R.reverse()).matrixL();
    const Matrix<T> upper = turned.reverse();  // R = upper upperᵀ
    Matrix<T> lower = Matrix<T>::Identity(d, d);
    upper.transpose().template triangularView<Eigen::Lower>().solveInPlace(lower);
    return scale.cwiseInverse().asDiagonal() * lower;
  }

  /// log det H, R positive definite.
  double log_determinant() const {
    const Matrix<T> L = Eigen::LLT<Matrix<T>>(R).matrixL();
    return 2 * (scale.array().log().sum() + L.diagonal().array().log().sum());
  }

  /// The coordinate with the largest part in the direction, in these units, along which f bends least.
  Index flattest_coordinate() const {
    const Index d = R.rows();
    double shift = least_told();
    Eigen::LLT<Matrix<T>> factor;
    for (int k = 0; k < 60; ++k, shift *= 4) {
      factor.compute(R + shift * Matrix<T>::Identity(d, d));
      if (factor.info() == Eigen::Success) break;
    }
    Vector<T> v(d);
    for (Index j = 0; j < d; ++j) v[j] = 1 + 0.1 * static_cast<double>(j % 7);
    for (int k = 0; k < 5; ++k) v = Vector<T>(factor.solve(v)).normalized();
    Index largest = 0;
    v.cwiseAbs().maxCoeff(&largest);
    return largest;
  }
};

/// The exact one, where the model's curvature along given directions is exact: d along the axes, and one for each pair,
///   R_ij = ½ [(e_i + e_j)ᵀR(e_i + e_j) − R_ii − R_jj].
/// `inverse_length`: where f does not bend along an axis.
template <class Function, class T>
ScaledHessian<T> exact_hessian(Function& energy, const Vector<T>& x, const Vector<T>& inverse_length) {
  const Index d = x.size();
  ScaledHessian<T> all;
  Vector<T> q;
  energy.curvatures(x.replicate(1, d), Matrix<T>(inverse_length.cwiseInverse().asDiagonal()), q);
  all.scale = inverse_length;
  all.R.setZero(d, d);
  for (Index j = 0; j < d; ++j) {
    if (q[j] == 0) continue;
    all.scale[j] = inverse_length[j] * std::sqrt(std::abs(q[j]));
    all.R(j, j) = q[j] > 0 ? 1 : q[j] < 0 ? -1 : q[j];
  }
  for (Index j = 1; j < d; ++j) {
    Matrix<T> V = Matrix<T>::Zero(d, j);
    for (Index i = 0; i < j; ++i) {
      V(i, i) = 1 / all.scale[i];
      V(j, i) = 1 / all.scale[j];
    }
    energy.curvatures(x.replicate(1, j), V, q);
    for (Index i = 0; i < j; ++i) all.R(i, j) = all.R(j, i) = 0.5 * (q[i] - all.R(i, i) - all.R(j, j));
  }
  return all;
}

/// An energy function that tells its Hessian to a search: exactly, where its curvature along a direction is exact.
template <class T, class Function>
class CurvedEnergy {
 public:
  CurvedEnergy(Function& energy, bool exact) : energy_(energy), exact_(exact) {}

  bool exact_curvature() const { return exact_; }
  void values(const Matrix<T>& X, Vector<T>& f) { energy_.values(X, f); }
  void values_and_scores(const Matrix<T>& X, Vector<T>& f, Matrix<T>& S) { energy_.values_and_scores(X, f, S); }

  Matrix<T> hessian(const Vector<T>& x, const Vector<T>& inverse_length) {
    return exact_hessian(energy_, x, inverse_length).matrix();
  }

  /// The Hessian's diagonal, asked along vectors of the lengths given.
  Vector<T> curvatures_along_axes(const Vector<T>& x, const Vector<T>& length) {
    Vector<T> q;
    energy_.curvatures(x.replicate(1, x.size()), Matrix<T>(length.asDiagonal()), q);
    return q.cwiseQuotient(length.cwiseAbs2());
  }

 private:
  Function& energy_;
  bool exact_;
};

/// By central differences of scores with steps of 0.1 · 4⁻ᵏ lengths, extrapolated to 0 (Richardson): of each column the
/// two that agree best. 12 d scores.
template <class Function, class T>
ScaledHessian<T> hessian_by_differences(Function& energy, const Vector<T>& x, const Vector<T>& inverse_length) {
  constexpr Index rungs = 6;
  const Index d = x.size();
  Matrix<T> X = x.replicate(1, 2 * rungs * d), S;
  for (Index j = 0; j < d; ++j)
    for (Index k = 0; k < rungs; ++k) {
      const double step = 0.1 * std::pow(0.25, static_cast<double>(k)) / inverse_length[j];
      X(j, 2 * (j * rungs + k)) += step;
      X(j, 2 * (j * rungs + k) + 1) -= step;
    }
  Vector<T> f;
  energy.values_and_scores(X, f, S);
  Matrix<T> H(d, d);
  double error = 0;
  for (Index j = 0; j < d; ++j) {
    std::vector<Vector<T>> limits;
    Vector<T> before;
    for (Index k = 0; k < rungs; ++k) {
      const Index ahead = 2 * (j * rungs + k);
      const double apart = (X(j, ahead) - X(j, ahead + 1)) * inverse_length[j];
      const Vector<T> slope = (S.col(ahead + 1) - S.col(ahead)).cwiseQuotient(inverse_length) / apart;
      if (k > 0) limits.push_back((16 * slope - before) / 15);
      before = slope;
    }
    double least = std::numeric_limits<double>::infinity();
    H.col(j).setConstant(std::numeric_limits<double>::quiet_NaN());
    for (std::size_t k = 0; k + 1 < limits.size(); ++k) {
      const double gap = (limits[k] - limits[k + 1]).cwiseAbs().maxCoeff();
      if (!(gap < least)) continue;
      least = gap;
      H.col(j) = limits[k];
    }
    error = std::max(error, least);
  }
  const Matrix<T> symmetric = 0.5 * (H + H.transpose());
  error = std::max(error, (H - symmetric).cwiseAbs().maxCoeff());
  ScaledHessian<T> all = ScaledHessian<T>::of(symmetric);
  const double smallest = std::min(1.0, all.scale.minCoeff());
  all.error = error / (smallest * smallest);
  all.scale = all.scale.cwiseProduct(inverse_length);
  return all;
}

}  // namespace scorematch::likelihood
