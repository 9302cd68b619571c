// A basis of θ in which the features of a model that is affine in θ are nearly orthonormal.
//
// A = E[ΦᵀΦ] alone does not tell features apart that are closer than the root of its rounding: data of mean 10⁶ and
// standard deviation 1 have features x and 1 with 1 − r² = 10⁻¹². As the Cholesky QR algorithm does when it is repeated
// (Yamamoto, Nakatsukasa, Yanagisawa & Fukaya 2015; with a shift, Fukaya et al. 2020), Φ is multiplied by the inverse
// of A's factor, which loses little, and the Gram matrix of the product is accumulated anew.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "scorematch/types.hpp"

namespace scorematch::fitting {

template <class Real>
struct FeatureBasis {
  Matrix<Real> T;         ///< p × rank
  Matrix<Real> gram;      ///< rank × rank, E[(ΦT)ᵀΦT], its diagonal 1
  Matrix<Real> null;      ///< p × (p − rank): directions along which Φ is 0 to its own rounding
  bool repeated = false;  ///< A alone did not do

  Index rank() const { return T.cols(); }
};

/// Lower triangular L with G = L Lᵀ in the order of `order`, as far as the pivots are above `tolerance`; G has the
/// diagonal 1. Pivots are taken in the order of the columns where none is much larger: what is small stays small.
template <class Real>
struct PivotedCholesky {
  std::vector<Index> order;
  Matrix<Real> L;  ///< q × rank, in that order
  Index rank = 0;
  double least_pivot = 1;

  PivotedCholesky(const Matrix<Real>& G, double tolerance) : L(G.rows(), G.rows()) {
    const Index q = G.rows();
    Vector<Real> left = G.diagonal();
    for (Index k = 0; k < q; ++k) order.push_back(k);
    L.setZero();
    for (; rank < q; ++rank) {
      const Index best = next_pivot(left, tolerance);
      if (!(left[best] > tolerance)) break;
      least_pivot = std::min(least_pivot, left[best]);
      std::swap(order[index(rank)], order[index(best)]);
      std::swap(left[rank], left[best]);
      L.row(rank).swap(L.row(best));
      const double root = std::sqrt(left[rank]);
      L(rank, rank) = root;
      for (Index i = rank + 1; i < q; ++i) {
        double sum = G(order[index(i)], order[index(rank)]);
        for (Index k = 0; k < rank; ++k) sum -= L(i, k) * L(rank, k);
        L(i, rank) = sum / root;
        left[i] -= L(i, rank) * L(i, rank);
      }
    }
    L.conservativeResize(q, rank);
  }

  /// (L₁ L₁ᵀ)⁻¹ b of the first `rank` rows, in the order of the columns: where all of them have a pivot.
  Vector<Real> solve(const Vector<Real>& b) const {
    Vector<Real> x(rank), result(rank);
    for (Index i = 0; i < rank; ++i) {
      double sum = b[order[index(i)]];
      for (Index k = 0; k < i; ++k) sum -= L(i, k) * x[k];
      x[i] = sum / L(i, i);
    }
    for (Index i = rank; i-- > 0;) {
      double sum = x[i];
      for (Index k = i + 1; k < rank; ++k) sum -= L(k, i) * x[k];
      x[i] = sum / L(i, i);
    }
    for (Index i = 0; i < rank; ++i) result[order[index(i)]] = x[i];
    return result;
  }

 private:
  static std::size_t index(Index i) { return static_cast<std::size_t>(i); }

  // Of what is left of the diagonal the first one that none is much larger than; the largest if that would not do.
  Index next_pivot(const Vector<Real>& left, double tolerance) const {
    for (const double larger : {2.0, 1.0}) {
      Index best = rank;
      for (Index k = rank; k < left.size(); ++k)
        if (left[k] > larger * left[best]) best = k;
      if (left[best] > tolerance || larger == 1) return best;
    }
    return rank;
  }
};

/// Columns of a basis along which Φ has the length 1, and the Gram matrix there.
template <class Real>
struct UnitColumns {
  Matrix<Real> T, gram;
};

template <class Real>
void append_column(const Vector<Real>& column, Matrix<Real>& columns) {
  columns.conservativeResize(column.size(), columns.cols() + 1);
  columns.col(columns.cols() - 1) = column;
}

/// Those columns of T, whose Gram matrix is G, that are larger than their rounding, in units of their lengths; the
/// others are appended to `null`. `sizes`: the features' own lengths.
template <class Real>
UnitColumns<Real> unit_columns(const Matrix<Real>& T, const Matrix<Real>& G, const Vector<Real>& sizes, double epsilon,
                               Matrix<Real>& null) {
  std::vector<Index> kept;
  for (Index k = 0; k < T.cols(); ++k) {
    const double rounding = 4 * epsilon * T.col(k).cwiseAbs().dot(sizes);
    if (G(k, k) > rounding * rounding)
      kept.push_back(k);
    else
      append_column(Vector<Real>(T.col(k)), null);
  }
  const Index q = static_cast<Index>(kept.size());
  UnitColumns<Real> unit{Matrix<Real>(T.rows(), q), Matrix<Real>(q, q)};
  for (Index j = 0; j < q; ++j) {
    const Index from = kept[static_cast<std::size_t>(j)];
    const double root = std::sqrt(G(from, from));
    unit.T.col(j) = T.col(from) / root;
    for (Index i = 0; i < q; ++i) {
      const Index to = kept[static_cast<std::size_t>(i)];
      unit.gram(i, j) = G(to, from) / root / std::sqrt(G(to, to));
    }
  }
  for (Index j = 0; j < q; ++j) unit.gram(j, j) = 1;
  return unit;
}

/// The columns with a pivot, made orthonormal; of the others what those do not explain.
template <class Real>
Matrix<Real> orthonormal(const UnitColumns<Real>& unit, const PivotedCholesky<Real>& factor, double tolerance) {
  Matrix<Real> T(unit.T.rows(), unit.T.cols());
  for (Index i = 0; i < T.cols(); ++i) {
    Vector<Real> column = unit.T.col(factor.order[static_cast<std::size_t>(i)]);
    for (Index k = 0; k < std::min(i, factor.rank); ++k) column -= factor.L(i, k) * T.col(k);
    T.col(i) = column / (i < factor.rank ? factor.L(i, i) : std::sqrt(tolerance));
  }
  return T;
}

/// The columns with a pivot are the basis, the others are left open.
template <class Real>
void take_columns(const UnitColumns<Real>& unit, const PivotedCholesky<Real>& factor, FeatureBasis<Real>& basis) {
  const Index r = factor.rank;
  basis.T.resize(unit.T.rows(), r);
  basis.gram.resize(r, r);
  for (Index j = 0; j < unit.T.cols(); ++j) {
    const Index from = factor.order[static_cast<std::size_t>(j)];
    if (j >= r) {
      append_column(Vector<Real>(unit.T.col(from)), basis.null);
      continue;
    }
    basis.T.col(j) = unit.T.col(from);
    for (Index i = 0; i < r; ++i) basis.gram(i, j) = unit.gram(factor.order[static_cast<std::size_t>(i)], from);
  }
}

/// A = E[ΦᵀΦ], finite; gram_of(T) = E[(ΦT)ᵀΦT], and may round T first. `tolerance` is A's rounding once its diagonal is
/// 1, `epsilon` that of a feature: a column of ΦT that is no larger than the rounding of its terms is 0.
template <class Real, class GramOf>
FeatureBasis<Real> feature_basis(const Matrix<Real>& A, GramOf gram_of, double tolerance, double epsilon) {
  constexpr int most_turns = 8;
  const Index p = A.rows();
  const double well = std::min(0.1, 1e3 * tolerance);  // where the factor of what was summed up is good enough
  FeatureBasis<Real> basis;
  basis.null.resize(p, 0);
  Matrix<Real> T = Matrix<Real>::Identity(p, p), G = A;
  const Vector<Real> sizes = A.diagonal().cwiseSqrt();
  for (int turn = 0;; ++turn) {
    const UnitColumns<Real> unit = unit_columns(T, G, sizes, epsilon, basis.null);
    const PivotedCholesky<Real> factor(unit.gram, tolerance);
    const bool well_conditioned = factor.rank == unit.T.cols() && factor.least_pivot > well;
    if (well_conditioned || turn == most_turns) {
      take_columns(unit, factor, basis);
      return basis;
    }
    basis.repeated = true;
    T = orthonormal(unit, factor, tolerance);
    G = gram_of(T);
  }
}

}  // namespace scorematch::fitting
