// What is known of Gaussians in closed form: their log density, entropy, and divergence from each other.
#pragma once

#include <Eigen/Cholesky>

#include <cmath>

#include "scorematch/likelihood/density.hpp"

namespace scorematch {

namespace detail {

/// Σ = L Lᵀ. Throws std::invalid_argument unless Σ is d × d, finite, symmetric and positive definite.
template <class = void>
Eigen::LLT<Eigen::MatrixXd> cholesky_of_covariance(const Eigen::MatrixXd& covariance, Index dimension,
                                                   const char* argument) {
  require(
      covariance.rows() == dimension && covariance.cols() == dimension,
      {argument, " is ", covariance.rows(), " × ", covariance.cols(), "; it must be ", dimension, " × ", dimension});
  require_samples<double>(covariance, dimension, argument);
  for (Index j = 0; j < dimension; ++j)
    for (Index i = 0; i < j; ++i)
      require(std::abs(covariance(i, j) - covariance(j, i)) <=
                  1e-10 * std::sqrt(std::abs(covariance(i, i) * covariance(j, j))),
              {argument, " is not symmetric: ", covariance(i, j), " in row ", i, ", column ", j, ", and ",
               covariance(j, i), " across"});
  Eigen::LLT<Eigen::MatrixXd> factor(covariance);
  require(factor.info() == Eigen::Success, {argument, " is not positive definite"});
  return factor;
}

/// log det Σ
inline double log_determinant(const Eigen::LLT<Eigen::MatrixXd>& factor) {
  double half = 0;
  for (Index i = 0; i < factor.matrixLLT().rows(); ++i) half += std::log(factor.matrixLLT()(i, i));
  return 2 * half;
}

inline constexpr double log_two_pi = 1.8378770664093454836;

}  // namespace detail

/// N(mean, covariance), normalised. Throws std::invalid_argument, naming the argument, for sizes that do not agree and
/// a covariance that is not symmetric and positive definite.
template <class = void>
Density gaussian_density(const Eigen::VectorXd& mean, const Eigen::MatrixXd& covariance) {
  const Index d = mean.size();
  const auto factor = detail::cholesky_of_covariance(covariance, d, "gaussian_density: covariance");
  const double constant = -0.5 * (static_cast<double>(d) * detail::log_two_pi + detail::log_determinant(factor));
  return Density(d, [mean, factor, constant](const Eigen::MatrixXd& X) -> Eigen::VectorXd {
    const Eigen::MatrixXd whitened = factor.matrixL().solve(X.colwise() - mean);
    return (constant - 0.5 * whitened.colwise().squaredNorm().array()).matrix().transpose();
  });
}

/// The entropy of N(·, covariance): ½ log det(2πe Σ), in nats. Throws as gaussian_density does.
template <class = void>
double gaussian_entropy(const Eigen::MatrixXd& covariance) {
  const Index d = covariance.rows();
  const auto factor = detail::cholesky_of_covariance(covariance, d, "gaussian_entropy: covariance");
  return 0.5 * (static_cast<double>(d) * (1 + detail::log_two_pi) + detail::log_determinant(factor));
}

/// D(p‖q) of p = N(μ_p, Σ_p) from q = N(μ_q, Σ_q), in nats:
///   ½ [tr(Σ_q⁻¹Σ_p) + (μ_q − μ_p)ᵀ Σ_q⁻¹ (μ_q − μ_p) − d + log(det Σ_q/det Σ_p)]
/// Throws as gaussian_density does.
template <class = void>
double gaussian_kl_divergence(const Eigen::VectorXd& mean_p, const Eigen::MatrixXd& covariance_p,
                              const Eigen::VectorXd& mean_q, const Eigen::MatrixXd& covariance_q) {
  const Index d = mean_p.size();
  require(mean_q.size() == d, {"gaussian_kl_divergence: mean_q has ", mean_q.size(), " numbers, mean_p ", d,
                               "; the dimensions must agree"});
  const auto factor_p = detail::cholesky_of_covariance(covariance_p, d, "gaussian_kl_divergence: covariance_p");
  const auto factor_q = detail::cholesky_of_covariance(covariance_q, d, "gaussian_kl_divergence: covariance_q");
  const Eigen::MatrixXd L = factor_p.matrixL(), ratio = factor_q.matrixL().solve(L);
  const Eigen::VectorXd between = mean_q - mean_p, shift = factor_q.matrixL().solve(between);
  return 0.5 * (ratio.squaredNorm() + shift.squaredNorm() - static_cast<double>(d) + detail::log_determinant(factor_q) -
                detail::log_determinant(factor_p));
}

}  // namespace scorematch
