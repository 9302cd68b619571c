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

template <class D>
struct FeatureBasis {
  DependentMatrix<D> T;     ///< p × rank
  DependentMatrix<D> gram;  ///< rank × rank, E[(ΦT)ᵀΦT], its diagonal 1
  DependentMatrix<D> null;  ///< p × (p − rank): directions along which Φ is 0 to its own rounding
  bool repeated = false;    ///< A alone did not do

  Index rank() const { return T.cols(); }
};

/// Lower triangular L with G = L Lᵀ in the order of `order`, as far as the pivots are above `tolerance`; G has the
/// diagonal 1. Pivots are taken in the order of the columns where none is much larger: what is small stays small.
template <class D = void>
struct PivotedCholesky {
  std::vector<Index> order;
  DependentMatrix<D> L;  ///< q × rank, in that order
  Index rank = 0;
  double least_pivot = 1;

  PivotedCholesky(const DependentMatrix<D>& G, double tolerance) : L(G.rows(), G.rows()) {
    const Index q = G.rows();
    DependentVector<D> left = G.diagonal();
    for (Index k = 0; k < q; ++k) order.push_back(k);
    L.setZero();
    for (; rank < q; ++rank) {
      Index best = rank;
      for (Index k = rank; k < q; ++k)
        if (left[k] > 2 * left[best]) best = k;
      if (!(left[best] > tolerance)) {
        for (Index k = rank; k < q; ++k)
          if (left[k] > left[best]) best = k;
        if (!(left[best] > tolerance)) break;
      }
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
  DependentVector<D> solve(const DependentVector<D>& b) const {
    DependentVector<D> x(rank), result(rank);
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
};

/// A = E[ΦᵀΦ], finite; gram_of(T) = E[(ΦT)ᵀΦT], and may round T first. `tolerance` is A's rounding once its diagonal is
/// 1, `epsilon` that of a feature: a column of ΦT that is no larger than the rounding of its terms is 0.
template <class D, class GramOf>
FeatureBasis<D> feature_basis(const DependentMatrix<D>& A, GramOf gram_of, double tolerance, double epsilon) {
  const Index p = A.rows();
  const double well = std::min(0.1, 1e3 * tolerance);  // where the factor of what was summed up is good enough
  FeatureBasis<D> basis;
  basis.null.resize(p, 0);
  DependentMatrix<D> T = DependentMatrix<D>::Identity(p, p), G = A;
  const auto leave_open = [&](const DependentVector<D>& direction) {
    basis.null.conservativeResize(p, basis.null.cols() + 1);
    basis.null.col(basis.null.cols() - 1) = direction;
  };
  const DependentVector<D> sizes = A.diagonal().cwiseSqrt();
  for (int turn = 0;; ++turn) {
    std::vector<Index> kept;
    for (Index k = 0; k < T.cols(); ++k) {
      const double rounding = 4 * epsilon * T.col(k).cwiseAbs().dot(sizes);
      if (G(k, k) > rounding * rounding)
        kept.push_back(k);
      else
        leave_open(T.col(k));
    }
    const Index q = static_cast<Index>(kept.size());
    DependentMatrix<D> columns(p, q), scaled(q, q);
    for (Index j = 0; j < q; ++j) {
      const Index from = kept[static_cast<std::size_t>(j)];
      const double root = std::sqrt(G(from, from));
      columns.col(j) = T.col(from) / root;
      for (Index i = 0; i < q; ++i)
        scaled(i, j) = G(kept[static_cast<std::size_t>(i)], from) / root /
                       std::sqrt(G(kept[static_cast<std::size_t>(i)], kept[static_cast<std::size_t>(i)]));
    }
    for (Index j = 0; j < q; ++j) scaled(j, j) = 1;
    const PivotedCholesky<D> factor(scaled, tolerance);
    const Index r = factor.rank;
    const bool last = turn == 8;
    if ((r == q && factor.least_pivot > well) || last) {
      basis.T.resize(p, r);
      basis.gram.resize(r, r);
      for (Index j = 0; j < q; ++j) {
        const Index from = factor.order[static_cast<std::size_t>(j)];
        if (j >= r) {
          leave_open(columns.col(from));
          continue;
        }
        basis.T.col(j) = columns.col(from);
        for (Index i = 0; i < r; ++i) basis.gram(i, j) = scaled(factor.order[static_cast<std::size_t>(i)], from);
      }
      return basis;
    }
    // The columns with a pivot, made orthonormal; of the others what those do not explain.
    basis.repeated = true;
    T.resize(p, q);
    for (Index i = 0; i < q; ++i) {
      DependentVector<D> column = columns.col(factor.order[static_cast<std::size_t>(i)]);
      for (Index k = 0; k < std::min(i, r); ++k) column -= factor.L(i, k) * T.col(k);
      T.col(i) = column / (i < r ? factor.L(i, i) : std::sqrt(tolerance));
    }
    G = gram_of(T);
  }
}

}  // namespace scorematch::fitting
