// The spectra of symmetric matrices in units of their own, and readable bases of what they leave open.
#pragma once

#include <Eigen/Eigenvalues>

#include <algorithm>
#include <cmath>
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
ScaledSpectrum scaled_spectrum(const detail::DependentMatrix<D>& A) {
  ScaledSpectrum spectrum;
  spectrum.scale.resize(A.rows());
  for (Index k = 0; k < A.rows(); ++k) spectrum.scale[k] = A(k, k) > 0 ? 1 / std::sqrt(A(k, k)) : 1;
  detail::DependentMatrix<D> scaled = A;
  for (Index j = 0; j < A.cols(); ++j)
    for (Index i = 0; i < A.rows(); ++i) scaled(i, j) *= spectrum.scale[i] * spectrum.scale[j];
  const Eigen::SelfAdjointEigenSolver<detail::DependentMatrix<D>> solver(scaled);
  spectrum.values = solver.eigenvalues();
  spectrum.vectors = solver.eigenvectors();
  return spectrum;
}

/// A basis of the same space (the columns of N) with as many zeros as elimination gives: so that each direction names
/// few parameters. Columns of length 1.
template <class D = void>
detail::DependentMatrix<D> sparse_basis(detail::DependentMatrix<D> N) {
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
      if (j != column) N.col(j) -= detail::DependentVector<D>(N(pivot, j) * N.col(column));
  }
  for (Index j = 0; j < N.cols(); ++j) {
    for (Index k = 0; k < N.rows(); ++k)
      if (std::abs(N(k, j)) < 1e-9 * N.col(j).cwiseAbs().maxCoeff()) N(k, j) = 0;
    N.col(j).normalize();
  }
  return N;
}

}  // namespace scorematch::fitting
