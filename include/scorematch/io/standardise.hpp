// Data in units of their own: each coordinate with mean 0 and mean square 1, and back.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// z = (x − m) / s for each coordinate: what `standardise` finds, `apply` does and `undo` takes back. Saved with a
/// model by save_model(path, model, standardisation).
///
/// Densities change units, too: log p_X(x) = log p_Z(z) − Σ_j log s_j over the coordinates with s_j > 0, so an energy
/// of z is one of x up to a constant; a score is s_X(x) = s_Z(z) / s.
struct Standardisation {
  Eigen::VectorXd mean;       ///< m, of length d
  Eigen::VectorXd deviation;  ///< s, of length d; 0 for a coordinate that is constant, which is only shifted

  /// The size of x, d.
  Index dimension() const { return mean.size(); }

  /// The coordinates that are constant in the data: a model of them has no density. Counted from 0.
  std::vector<Index> constant() const {
    std::vector<Index> all;
    for (Index j = 0; j < deviation.size(); ++j)
      if (deviation[j] == 0) all.push_back(j);
    return all;
  }

  /// (X − m) / s, d × N, in X's scalar; computed in double. Throws std::invalid_argument for another number of rows.
  template <class Derived>
  Matrix<typename Derived::Scalar> apply(const Eigen::MatrixBase<Derived>& X) const {
    check(X.rows());
    Eigen::MatrixXd Z = X.template cast<double>();
    for (Index j = 0; j < Z.rows(); ++j) Z.row(j) = (Z.row(j).array() - mean[j]) / scale(j);
    return Z.cast<typename Derived::Scalar>();
  }

  /// m + s Z: the inverse.
  template <class Derived>
  Matrix<typename Derived::Scalar> undo(const Eigen::MatrixBase<Derived>& Z) const {
    check(Z.rows());
    Eigen::MatrixXd X = Z.template cast<double>();
    for (Index j = 0; j < X.rows(); ++j) X.row(j) = mean[j] + scale(j) * X.row(j).array();
    return X.cast<typename Derived::Scalar>();
  }

 private:
  double scale(Index j) const { return deviation[j] > 0 ? deviation[j] : 1; }
  void check(Index rows) const {
    extend::require(mean.size() == deviation.size(), {"Standardisation::mean has ", mean.size(),
                                                      " numbers and Standardisation::deviation ", deviation.size()});
    extend::require(rows == dimension(),
                    {"the matrix has ", rows, " rows; the standardisation is of ", dimension(), " coordinates"});
  }
};

/// The mean and the root of the mean square deviation (divided by N) of each row of X, d × N, one column per sample:
///
///   const sm::Standardisation units = sm::standardise(X);
///   const auto fit = sm::fit(model, objective, units.apply(X));
///   const Eigen::MatrixXd drawn = units.undo(sm::sample(fit.model, sm::mala{.step = 0.1}).state);
///
/// It is for statistics: one noise level σ, one ridge λ or one step means the same for coordinates in millimetres and
/// in grams. A fit does not need it for its arithmetic.
///
/// Throws std::invalid_argument unless d ≥ 1, N ≥ 1 and every entry is finite.
template <class Derived>
Standardisation standardise(const Eigen::MatrixBase<Derived>& X) {
  const Eigen::MatrixXd samples = X.template cast<double>();
  extend::require_at_least(samples.rows(), 1, "the number of rows of X");
  extend::require_samples<double>(samples, samples.rows(), "X");
  Standardisation result{Eigen::VectorXd(samples.rows()), Eigen::VectorXd(samples.rows())};
  for (Index j = 0; j < samples.rows(); ++j) {
    // About a sample, in units of the largest distance from it: neither a far origin nor an extreme unit costs digits.
    // (Halves, because a distance can be twice the largest double.)
    const double origin = samples(j, 0);
    const Eigen::ArrayXd halves = (samples.row(j).array() / 2 - origin / 2).transpose();
    const double unit = halves.abs().maxCoeff();
    result.mean[j] = origin;
    result.deviation[j] = 0;
    if (unit == 0) continue;
    const Eigen::ArrayXd u = halves / unit;
    const double mean = u.mean();
    result.mean[j] = origin + 2 * (unit * mean);
    result.deviation[j] = 2 * (unit * std::sqrt((u - mean).square().mean()));
  }
  return result;
}

}  // namespace scorematch
