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

namespace detail {

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
    for (const Index row : constant) all += scorematch::detail::text("row ", row, " of the data is constant\n");
    for (const std::string& combination : dependent)
      all += combination + " is constant over the data (rows in units of their deviations)\n";
    return all;
  }
};

}  // namespace detail

namespace fitting {

/// The rows of data without their means, in units of their deviations.
template <class Real>
struct RowsInUnits {
  Matrix<Real> rows;
  std::vector<Index> constant, varying;  ///< constant ones are not in units
  Vector<Real> rounding;                 ///< of the entries of each row, 0 of constant ones
};

template <class Derived, class Real = double>
RowsInUnits<Real> rows_in_units(const Eigen::MatrixBase<Derived>& X) {
  const Index d = X.rows();
  RowsInUnits<Real> result{X.template cast<double>(), {}, {}, Vector<Real>::Zero(d)};
  Matrix<Real>& Z = result.rows;
  for (Index i = 0; i < d; ++i) {
    const double size = Z.row(i).cwiseAbs().maxCoeff(), first = Z(i, 0);
    Z.row(i).array() -= first;
    Z.row(i).array() -= Z.row(i).mean();
    const double deviation = std::sqrt(Z.row(i).squaredNorm() / static_cast<double>(X.cols()));
    if ((X.row(i).array() == X(i, 0)).all() || !(deviation > 0)) {
      result.constant.push_back(i);
      continue;
    }
    Z.row(i) /= deviation;
    result.rounding[i] =
        static_cast<double>(std::numeric_limits<typename Derived::Scalar>::epsilon()) * size / deviation;
    result.varying.push_back(i);
  }
  return result;
}

/// The combinations of rows that vanish to rounding, one a column: by Gram and Schmidt, twice, the row with the most
/// left first. The rest of a row is judged by its own rounding.
template <class Real>
Matrix<Real> vanishing_combinations(const RowsInUnits<Real>& data) {
  const Index q = static_cast<Index>(data.varying.size()), d = data.rows.rows(), N = data.rows.cols();
  Matrix<Real> left(q, N), combination = Matrix<Real>::Zero(q, d), null(d, 0);
  for (Index k = 0; k < q; ++k) {
    left.row(k) = data.rows.row(data.varying[static_cast<std::size_t>(k)]);
    combination(k, data.varying[static_cast<std::size_t>(k)]) = 1;
  }
  const double root = std::sqrt(static_cast<double>(N));
  std::vector<Index> others;
  for (Index k = 0; k < q; ++k) others.push_back(k);
  while (!others.empty()) {
    std::vector<Real> lengths;
    for (const Index k : others) lengths.push_back(left.row(k).norm());
    const auto longest = std::max_element(lengths.begin(), lengths.end());
    const double most = *longest;
    const Index best = others[static_cast<std::size_t>(longest - lengths.begin())];
    others.erase(others.begin() + (longest - lengths.begin()));
    const double lost = combination.row(best).cwiseAbs() * data.rounding.cwiseMax(1e-15);
    if (most / root <= 8 * lost) {
      null.conservativeResize(d, null.cols() + 1);
      null.col(null.cols() - 1) = combination.row(best).transpose();
      continue;
    }
    const Vector<Real> unit = left.row(best).transpose() / most;
    const Vector<Real> of_unit = combination.row(best).transpose() / most;
    for (int again = 0; again < 2; ++again)
      for (const Index k : others) {
        const double share = left.row(k).dot(unit);
        left.row(k) -= share * unit.transpose();
        combination.row(k) -= share * of_unit.transpose();
      }
  }
  return null;
}

}  // namespace fitting

/// Rows of X (d × N) that are constant, and combinations of the others that are so to rounding: duplicates, sums,
/// one-hot codes, N ≤ d samples. Rows may have names.
template <class Derived, class Real = double>
detail::DegenerateRows degenerate_rows(const Eigen::MatrixBase<Derived>& X,
                                       const std::vector<std::string>& names = {}) {
  const fitting::RowsInUnits<Real> data = fitting::rows_in_units(X);
  detail::DegenerateRows found{.constant = data.constant};
  Matrix<Real> null = fitting::vanishing_combinations(data);
  if (null.cols() == 0) return found;
  std::vector<std::string> row_names = names;
  for (Index i = static_cast<Index>(names.size()); i < X.rows(); ++i) row_names.push_back(detail::text("row ", i));
  null = fitting::sparse_basis<>(null);
  for (Index k = 0; k < null.cols(); ++k) {
    // each row in units of its deviation: in the data's own, rows in large units would hide
    Vector<Real> direction = null.col(k);
    direction.normalize();
    found.dependent.push_back(fitting::describe(direction, row_names));
  }
  return found;
}

}  // namespace scorematch
