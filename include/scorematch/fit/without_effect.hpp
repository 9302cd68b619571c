// What a fit cannot tell, by name: parameters that have no effect on the loss, and rows of the data that are constant
// or follow from others.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/fit/symmetric_system.hpp"
#include "scorematch/loss/loss.hpp"
#include "scorematch/model/parameter_names.hpp"
#include "scorematch/random/stream.hpp"

namespace scorematch {

/// The names of the numbers of θ whose gradient is exactly 0 at the model's θ and at three pseudo-random ones around
/// it, on the first thousand samples: the loss does not depend on them (an additive constant of an energy; 1/2 in a
/// formula, which is 0). Points whose gradient is not finite say nothing; without a finite one nothing is named.
template <class M, class O, class Derived>
std::vector<std::string> parameters_without_effect(const M& model, const O& objective,
                                                   const Eigen::MatrixBase<Derived>& X) {
  using T = typename Derived::Scalar;
  const Matrix<T> some = X.leftCols(std::min<Index>(X.cols(), 1000));
  const DependentVector<M> theta = model.parameters();
  std::vector<char> still(static_cast<std::size_t>(theta.size()), 1);
  bool seen = false;
  auto function = objective::loss_function<T>(model, objective, MatrixView<T>(some));
  Loss loss;
  Stream stream({.seed = 1});
  for (int turn = 0; turn < 4; ++turn) {
    DependentVector<M> at = theta;
    if (turn > 0)
      for (Index k = 0; k < at.size(); ++k) at[k] += 0.3 * std::max(1.0, std::abs(at[k])) * stream.normal();
    function.bind(at);
    function.evaluate({}, true, loss);
    if (!loss.gradient.allFinite()) continue;
    seen = true;
    for (Index k = 0; k < at.size(); ++k)
      if (loss.gradient[k] != 0) still[static_cast<std::size_t>(k)] = 0;
  }
  std::vector<std::string> names;
  if (!seen) return names;
  const std::vector<std::string> all = parameter_names(model);
  for (std::size_t k = 0; k < still.size(); ++k)
    if (still[k]) names.push_back(all[k]);
  return names;
}

/// Rows of data that no density on ℝᵈ can have.
struct DegenerateRows {
  std::vector<Index> constant = {};  ///< rows with one value
  std::vector<std::string> dependent =
      {};  ///< combinations of other rows that are constant: "0.707 row 1 − 0.707 row 3"

  bool any() const { return !constant.empty() || !dependent.empty(); }
  /// A line for each; empty if there is none.
  std::string text() const {
    std::string all;
    for (const Index row : constant) all += scorematch::text("row ", row, " of the data is constant\n");
    for (const std::string& combination : dependent)
      all += combination + " is constant over the data (rows in units of their deviations)\n";
    return all;
  }
};

/// Rows of X (d × N) that are constant, and combinations of the others that are so to rounding: duplicates, sums,
/// one-hot codes, N ≤ d samples. Rows may have names.
template <class Derived>
DegenerateRows degenerate_rows(const Eigen::MatrixBase<Derived>& X, const std::vector<std::string>& names = {}) {
  using T = typename Derived::Scalar;
  DegenerateRows found;
  const Index d = X.rows(), N = X.cols();
  DependentMatrix<Derived> Z = X.template cast<double>();
  std::vector<std::string> row_names;
  DependentVector<Derived> rounding(d);
  std::vector<Index> varying;
  for (Index i = 0; i < d; ++i) {
    row_names.push_back(static_cast<std::size_t>(i) < names.size() ? names[static_cast<std::size_t>(i)]
                                                                   : text("row ", i));
    const double size = Z.row(i).cwiseAbs().maxCoeff(), first = Z(i, 0);
    Z.row(i).array() -= first;
    Z.row(i).array() -= Z.row(i).mean();
    const double deviation = std::sqrt(Z.row(i).squaredNorm() / static_cast<double>(N));
    if ((X.row(i).array() == X(i, 0)).all() || !(deviation > 0)) {
      found.constant.push_back(i);
      continue;
    }
    Z.row(i) /= deviation;
    rounding[i] = static_cast<double>(std::numeric_limits<T>::epsilon()) * size / deviation;
    varying.push_back(i);
  }
  // Gram and Schmidt, twice, the row with the most left first: what is left of a row is judged by its own rounding.
  const Index q = static_cast<Index>(varying.size());
  DependentMatrix<Derived> left(q, N), combination = DependentMatrix<Derived>::Zero(q, d);
  for (Index k = 0; k < q; ++k) {
    left.row(k) = Z.row(varying[static_cast<std::size_t>(k)]);
    combination(k, varying[static_cast<std::size_t>(k)]) = 1;
  }
  const double root = std::sqrt(static_cast<double>(N));
  std::vector<char> done(static_cast<std::size_t>(q), 0);
  DependentMatrix<Derived> null(d, 0);
  for (Index turn = 0; turn < q; ++turn) {
    Index best = -1;
    double most = -1;
    for (Index k = 0; k < q; ++k)
      if (!done[static_cast<std::size_t>(k)] && left.row(k).norm() > most) {
        best = k;
        most = left.row(k).norm();
      }
    done[static_cast<std::size_t>(best)] = 1;
    const double lost = combination.row(best).cwiseAbs() * rounding.cwiseMax(1e-15);
    if (most / root <= 8 * lost) {
      null.conservativeResize(d, null.cols() + 1);
      null.col(null.cols() - 1) = combination.row(best).transpose();
      continue;
    }
    const DependentVector<Derived> unit = left.row(best).transpose() / most;
    const DependentVector<Derived> of_unit = combination.row(best).transpose() / most;
    for (int again = 0; again < 2; ++again)
      for (Index k = 0; k < q; ++k) {
        if (done[static_cast<std::size_t>(k)]) continue;
        const double share = left.row(k).dot(unit);
        left.row(k) -= share * unit.transpose();
        combination.row(k) -= share * of_unit.transpose();
      }
  }
  if (null.cols() == 0) return found;
  null = fitting::sparse_basis<>(null);
  for (Index k = 0; k < null.cols(); ++k) {
    // each row in units of its deviation: in the data's own, rows in large units would hide
    DependentVector<Derived> direction = null.col(k);
    direction.normalize();
    found.dependent.push_back(fitting::describe(direction, row_names));
  }
  return found;
}

}  // namespace scorematch
