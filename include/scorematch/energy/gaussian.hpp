// The Gaussian, its precision by the Cholesky factor: positive definite at every θ.
#pragma once

#include <Eigen/Cholesky>

#include <algorithm>
#include <cmath>

#include "scorematch/energy/parts.hpp"

namespace scorematch {

/// Where a Gaussian's parameters start.
struct GaussianOptions {
  Eigen::VectorXd mean = {};       ///< d numbers; empty: 0
  Eigen::MatrixXd precision = {};  ///< d × d, symmetric and positive definite; empty: the unit matrix

  /// Throws std::invalid_argument for other sizes, and a precision that is not symmetric and positive definite.
  template <class D = void>  // templates, so that programs without Gaussians do not compile Eigen's decomposition
  void validate(Index d) const {
    extend::require(mean.size() == 0 || mean.size() == d,
                    {"GaussianOptions: mean has ", mean.size(), " numbers; the dimension is ", d});
    extend::require(
        precision.size() == 0 || (precision.rows() == d && precision.cols() == d),
        {"GaussianOptions: precision is ", precision.rows(), " × ", precision.cols(), "; the dimension is ", d});
    if (precision.size() > 0) (void)factor<D>();
  }

  /// L with L Lᵀ = precision.
  template <class D = void>
  Eigen::MatrixXd factor() const {
    const detail::DependentMatrix<D> given = precision;
    const Eigen::LLT<detail::DependentMatrix<D>> decomposed(given);
    extend::require(decomposed.info() == Eigen::Success && given.isApprox(given.transpose(), 1e-10),
                    {"GaussianOptions: precision is not symmetric and positive definite"});
    return decomposed.matrixL();
  }
};

/// f = ½‖Lᵀ(x − μ)‖², the precision being L Lᵀ. log Z = ½ d log 2π − Σ log_diagonal.
///
///   "mean"          μ, d numbers
///   "log_diagonal"  the logarithms of L's diagonal, d numbers
///   "below"         what is below it, column by column, d(d − 1)/2 numbers (none for d = 1)
template <ready::FormulaVector X, class Theta>
SCOREMATCH_INLINE auto gaussian(const X& x, const Theta& theta, const GaussianOptions& options = {}) {
  const int d = static_cast<int>(x.size());
  if constexpr (ready::is_recorded<X>) options.validate(d);
  const auto log_diagonal = [&](const std::string&, Eigen::MatrixXd& block) {
    std::fill_n(block.data(), block.size(), 0.0);
    if (options.precision.size() == 0) return;
    const Eigen::MatrixXd L = options.factor();
    for (Index j = 0; j < d; ++j) block(j, 0) = std::log(L(j, j));
  };
  const auto below = [&](const std::string&, Eigen::MatrixXd& block) {
    std::fill_n(block.data(), block.size(), 0.0);
    if (options.precision.size() == 0) return;
    const Eigen::MatrixXd L = options.factor();
    for (Index j = 0; j < d; ++j)
      for (Index i = j + 1; i < d; ++i) block(ready::place_below(d, i, j)) = L(i, j);
  };
  const auto u = x - theta("mean", d, ready::given_or<Eigen::VectorXd, start_at>{options.mean, start_at(0)});
  const auto scaled = exp(theta("log_diagonal", d, log_diagonal)) * u;
  if (d == 1) return 0.5 * squared_norm(scaled);
  return 0.5 *
         (squared_norm(ready::upper_part(scaled, theta("below", d * (d - 1) / 2, below), u)) + square(scaled[d - 1]));
}

/// The same as a model: gaussian(2), gaussian(2, {.mean = m, .precision = P}).
template <class = void>
EnergyModel gaussian(Index dimension, const GaussianOptions& options = {}) {
  return energy_model(dimension, [&](const auto& x, const auto& theta) { return gaussian(x, theta, options); });
}

/// L Lᵀ of a model whose parameters are those of `gaussian`, after `prefix` ("prior." where they were named).
template <class D = void>
Eigen::MatrixXd gaussian_precision(const FormulaModel& model, const std::string& prefix = {}) {
  const Eigen::MatrixXd log_diagonal = model.parameter(prefix + "log_diagonal");
  const Index d = log_diagonal.size();
  detail::DependentMatrix<D> L = detail::DependentMatrix<D>::Zero(d, d);
  for (Index j = 0; j < d; ++j) L(j, j) = std::exp(log_diagonal(j));
  if (d > 1) {
    const Eigen::MatrixXd below = model.parameter(prefix + "below");
    for (Index j = 0; j < d; ++j)
      for (Index i = j + 1; i < d; ++i) L(i, j) = below(ready::place_below(d, i, j));
  }
  return L.lazyProduct(L.transpose());
}

}  // namespace scorematch
