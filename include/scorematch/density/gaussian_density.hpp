// Gaussians in closed form: their log density, entropy, and divergence from each other.
#pragma once

#include <Eigen/Cholesky>

#include <cmath>
#include <concepts>
#include <type_traits>

#include "scorematch/density/density.hpp"

namespace scorematch {

namespace detail {

/// Σ = L Lᵀ. Throws std::invalid_argument unless Σ is d × d, finite, symmetric and positive definite.
template <class T>  // double; so that only programs that ask for it compile a factorisation
Eigen::LLT<Matrix<T>> cholesky_of_covariance(const Matrix<T>& covariance, Index dimension, const char* argument) {
  extend::require(
      covariance.rows() == dimension && covariance.cols() == dimension,
      {argument, " is ", covariance.rows(), " × ", covariance.cols(), "; it must be ", dimension, " × ", dimension});
  extend::require_samples<T>(covariance, dimension, argument);
  for (Index j = 0; j < dimension; ++j)
    for (Index i = 0; i < j; ++i)
      extend::require(std::abs(covariance(i, j) - covariance(j, i)) <=
                          1e-10 * std::sqrt(std::abs(covariance(i, i) * covariance(j, j))),
                      {argument, " is not symmetric: ", covariance(i, j), " in row ", i, ", column ", j, ", and ",
                       covariance(j, i), " across"});
  Eigen::LLT<Matrix<T>> factor(covariance);
  extend::require(factor.info() == Eigen::Success, {argument, " is not positive definite"});
  return factor;
}

/// log det Σ
template <class Factor>
double log_determinant(const Factor& factor) {
  double half = 0;
  for (Index i = 0; i < factor.matrixLLT().rows(); ++i) half += std::log(factor.matrixLLT()(i, i));
  return 2 * half;
}

inline constexpr double log_two_pi = 1.8378770664093454836;

}  // namespace detail

/// N(mean, covariance), normalised. Throws std::invalid_argument, naming the argument, for sizes that do not agree and
/// a covariance that is not symmetric and positive definite.
template <std::same_as<double> T = double>
Density gaussian_density(const std::type_identity_t<Vector<T>>& mean,
                         const std::type_identity_t<Matrix<T>>& covariance) {
  const Index d = mean.size();
  const auto factor = detail::cholesky_of_covariance<T>(covariance, d, "gaussian_density: covariance");
  const double constant = -0.5 * (static_cast<double>(d) * detail::log_two_pi + detail::log_determinant(factor));
  return Density(d, [mean, factor, constant](const Eigen::MatrixXd& X) -> Eigen::VectorXd {
    const Matrix<T> whitened = factor.matrixL().solve(X.colwise() - mean);
    return (constant - 0.5 * whitened.colwise().squaredNorm().array()).matrix().transpose();
  });
}

/// The entropy of N(·, covariance): ½ log det(2πe Σ), in nats. Throws as gaussian_density does.
template <std::same_as<double> T = double>
double gaussian_entropy(const std::type_identity_t<Matrix<T>>& covariance) {
  const Index d = covariance.rows();
  const auto factor = detail::cholesky_of_covariance<T>(covariance, d, "gaussian_entropy: covariance");
  return 0.5 * (static_cast<double>(d) * (1 + detail::log_two_pi) + detail::log_determinant(factor));
}

/// D(p‖q) of p = N(μ_p, Σ_p) from q = N(μ_q, Σ_q), in nats:
///   ½ [tr(Σ_q⁻¹Σ_p) + (μ_q − μ_p)ᵀ Σ_q⁻¹ (μ_q − μ_p) − d + log(det Σ_q/det Σ_p)]
/// Throws as gaussian_density does.
template <std::same_as<double> T = double>
double gaussian_kl_divergence(const std::type_identity_t<Vector<T>>& mean_p,
                              const std::type_identity_t<Matrix<T>>& covariance_p,
                              const std::type_identity_t<Vector<T>>& mean_q,
                              const std::type_identity_t<Matrix<T>>& covariance_q) {
  const Index d = mean_p.size();
  extend::require(mean_q.size() == d, {"gaussian_kl_divergence: mean_q has ", mean_q.size(), " numbers, mean_p ", d,
                                       "; the dimensions must agree"});
  const auto factor_p = detail::cholesky_of_covariance<T>(covariance_p, d, "gaussian_kl_divergence: covariance_p");
  const auto factor_q = detail::cholesky_of_covariance<T>(covariance_q, d, "gaussian_kl_divergence: covariance_q");
  const Matrix<T> L = factor_p.matrixL(), ratio = factor_q.matrixL().solve(L);
  const Vector<T> between = mean_q - mean_p, shift = factor_q.matrixL().solve(between);
  return 0.5 * (ratio.squaredNorm() + shift.squaredNorm() - static_cast<double>(d) + detail::log_determinant(factor_q) -
                detail::log_determinant(factor_p));
}

}  // namespace scorematch
