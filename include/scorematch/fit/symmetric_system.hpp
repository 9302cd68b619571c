// Symmetric positive semi-definite systems A θ = −b that may be singular: their rank, what they leave open, and the
// shortest solution.
#pragma once

#include <Eigen/Eigenvalues>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "scorematch/types.hpp"

namespace scorematch::fitting {

/// The eigenvectors of a symmetric matrix in units in which its diagonal is 1: what is small is judged against the
/// scale of its own parameters.
struct ScaledSpectrum {
  Eigen::VectorXd scale;    ///< 1/√A_kk, 1 where A_kk ≤ 0
  Eigen::VectorXd values;   ///< eigenvalues of scale A scale, increasing
  Eigen::MatrixXd vectors;  ///< its eigenvectors, one a column
};

/// A finite.
template <class D = void>
ScaledSpectrum scaled_spectrum(const DependentMatrix<D>& A) {
  ScaledSpectrum spectrum;
  spectrum.scale.resize(A.rows());
  for (Index k = 0; k < A.rows(); ++k) spectrum.scale[k] = A(k, k) > 0 ? 1 / std::sqrt(A(k, k)) : 1;
  DependentMatrix<D> scaled = A;
  for (Index j = 0; j < A.cols(); ++j)
    for (Index i = 0; i < A.rows(); ++i) scaled(i, j) *= spectrum.scale[i] * spectrum.scale[j];
  const Eigen::SelfAdjointEigenSolver<DependentMatrix<D>> solver(scaled);
  spectrum.values = solver.eigenvalues();
  spectrum.vectors = solver.eigenvectors();
  return spectrum;
}

/// A basis of the same space (the columns of N) with as many zeros as elimination gives: so that each direction names
/// few parameters. Columns of length 1.
template <class D = void>
DependentMatrix<D> sparse_basis(DependentMatrix<D> N) {
  std::vector<char> used(static_cast<std::size_t>(N.rows()), 0);
  for (Index column = 0; column < N.cols(); ++column) {
    Index pivot = -1, from = column;
    double largest = 0;
    for (Index j = column; j < N.cols(); ++j)
      for (Index k = 0; k < N.rows(); ++k)
        if (!used[static_cast<std::size_t>(k)] && std::abs(N(k, j)) > largest * (1 + 1e-9)) {
          largest = std::abs(N(k, j));
          pivot = k;
          from = j;
        }
    if (pivot < 0) break;
    used[static_cast<std::size_t>(pivot)] = 1;
    N.col(column).swap(N.col(from));
    N.col(column) /= N(pivot, column);
    for (Index j = 0; j < N.cols(); ++j)
      if (j != column) N.col(j) -= DependentVector<D>(N(pivot, j) * N.col(column));
  }
  for (Index j = 0; j < N.cols(); ++j) {
    for (Index k = 0; k < N.rows(); ++k)
      if (std::abs(N(k, j)) < 1e-9 * N.col(j).cwiseAbs().maxCoeff()) N(k, j) = 0;
    N.col(j).normalize();
  }
  return N;
}

struct SystemSolution {
  Eigen::VectorXd theta;  ///< the shortest of those that minimise ½θᵀAθ + bᵀθ
  Eigen::MatrixXd null;   ///< a basis of A's null space: p × (p − rank)
  Index rank = 0;
  double condition = 0;  ///< of A with its diagonal scaled to 1, largest by smallest eigenvalue; ∞ where rank < p
  bool bounded = true;   ///< b has no part in the null space: there is a minimum
};

/// Eigenvalues of the scaled A up to `tolerance` times the largest are taken for 0.
template <class D = void>
SystemSolution solve_semi_definite(const DependentMatrix<D>& A, const DependentVector<D>& b, double tolerance) {
  SystemSolution solution;
  const ScaledSpectrum spectrum = scaled_spectrum(A);
  const Index p = A.rows();
  const double largest = spectrum.values[p - 1], least = tolerance * largest;
  Index open = 0;
  while (open < p && !(spectrum.values[open] > least)) ++open;
  solution.rank = p - open;
  solution.condition = open == 0 ? largest / spectrum.values[0] : std::numeric_limits<double>::infinity();

  const DependentMatrix<D>& vectors = spectrum.vectors;
  const DependentVector<D>& scale = spectrum.scale;
  const DependentVector<D> scaled_b = scale.cwiseProduct(b), parts = vectors.transpose() * scaled_b;
  DependentVector<D> along = parts;
  for (Index k = 0; k < p; ++k) along[k] = k < open ? 0 : -parts[k] / spectrum.values[k];
  solution.theta = scale.cwiseProduct(vectors * along);
  if (open == 0) return solution;

  solution.bounded = parts.head(open).norm() <= std::sqrt(tolerance) * scaled_b.norm();
  solution.null = sparse_basis<D>(scale.asDiagonal() * vectors.leftCols(open));
  DependentMatrix<D> Q = solution.null;  // orthonormal (Gram and Schmidt, twice), to take θ's part in it away
  for (int turn = 0; turn < 2; ++turn)
    for (Index j = 0; j < open; ++j) {
      for (Index k = 0; k < j; ++k) Q.col(j) -= DependentVector<D>(Q.col(k).dot(Q.col(j)) * Q.col(k));
      Q.col(j).normalize();
    }
  DependentVector<D> theta = solution.theta;
  for (Index j = 0; j < open; ++j) theta -= DependentVector<D>(Q.col(j).dot(theta) * Q.col(j));
  solution.theta = theta;
  return solution;
}

}  // namespace scorematch::fitting
