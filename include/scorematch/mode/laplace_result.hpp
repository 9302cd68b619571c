// Laplace's approximation: normal laws at the minima of an energy.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/mode/modes_result.hpp"
#include "scorematch/random/stream.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// Whether there are normal laws at minima, and if not why.
enum class LaplaceStatus {
  at_minima,    ///< every normal law stands at a confirmed minimum, and no start led lower: read `misfit`, too
  singular,     ///< the lowest place has a curvature that is not positive definite: no law
  not_minimum,  ///< the lowest place is no confirmed minimum otherwise: a kink, an unfinished search: no law
  unbounded,    ///< the energy looks unbounded below: no law
  non_finite,   ///< the energy is finite at no start: no law
};

/// The status in a word or two.
inline const char* to_string(LaplaceStatus status) {
  switch (status) {
    case LaplaceStatus::at_minima:
      return "at minima";
    case LaplaceStatus::singular:
      return "singular";
    case LaplaceStatus::not_minimum:
      return "not a minimum";
    case LaplaceStatus::unbounded:
      return "unbounded";
    case LaplaceStatus::non_finite:
      return "non-finite";
  }
  return "";
}

/// q(x) = Σ_k w_k N(x; m_k, H_k⁻¹) at K minima m_k of f with Hessians H_k, w_k ∝ exp(−f(m_k)) (2π)^(d/2) det H_k^(−½).
/// Empty unless the status is `at_minima`.
struct [[nodiscard]] Laplace {
  Eigen::MatrixXd means;               ///< d × K, the heaviest first
  std::vector<Eigen::MatrixXd> roots;  ///< K lower triangular factors, each d × d: H_k⁻¹ = L_k L_kᵀ
  Eigen::VectorXd weights;             ///< K, sum 1
  /// log Z = log Σ_k exp(−f(m_k)) (2π)^(d/2) det H_k^(−½): exact for a normal law
  double log_partition = std::numeric_limits<double>::quiet_NaN();
  Eigen::VectorXd mean;        ///< d, of q
  Eigen::MatrixXd covariance;  ///< d × d, of q: a metric for samplers
  Eigen::MatrixXd root;        ///< d × d, lower triangular, root rootᵀ = covariance
  /// The standard deviation of −f − log q over 200 draws of q, +∞ where f is infinite at one: 0 where q is exp(−f)/Z
  /// itself. Above 1 the approximation is rough: importance_draws, or a sampler, tells more.
  double misfit = std::numeric_limits<double>::quiet_NaN();
  Modes modes;                                       ///< what was found
  LaplaceStatus status = LaplaceStatus::non_finite;  ///< how it ended
  std::string evidence = {};                         ///< why there is no law, in a sentence; empty where there is one

  /// n draws of q: d × n; draw i is the same whatever n is. Throws std::invalid_argument unless n ≥ 0, and where there
  /// is no law.
  template <class D = void>
  detail::DependentMatrix<D> draws(Index n, std::uint64_t seed = 0) const {
    extend::require(status == LaplaceStatus::at_minima, {"Laplace: there is no law to draw from: ", evidence});
    extend::require_at_least(n, 0, "Laplace: n");
    detail::DependentMatrix<D> X(means.rows(), n);
    for (Index i = 0; i < n; ++i) {
      Stream stream({seed, extend::Purpose::chain_start}, i, std::uint64_t{3} << 37);
      double u = stream.uniform();
      Index k = 0;
      while (k + 1 < weights.size() && u >= weights[k]) u -= weights[k++];
      const detail::DependentVector<D> z = stream.normals(means.rows());
      X.col(i) = means.col(k) + roots[static_cast<std::size_t>(k)].template triangularView<Eigen::Lower>() * z;
    }
    return X;
  }

  /// log q at every column of X (d × N): N numbers. Throws std::invalid_argument where there is no law.
  template <class D = void>
  detail::DependentVector<D> log_density(const detail::DependentMatrix<D>& X) const {
    extend::require(status == LaplaceStatus::at_minima, {"Laplace: there is no law: ", evidence});
    extend::require_samples<double>(X, means.rows(), "X");
    constexpr double log_two_pi = 1.8378770664093454836;
    detail::DependentMatrix<D> parts(means.cols(), X.cols());
    for (Index k = 0; k < means.cols(); ++k) {
      const detail::DependentMatrix<D>& L = roots[static_cast<std::size_t>(k)];
      const detail::DependentMatrix<D> Y =
          L.template triangularView<Eigen::Lower>().solve(X.colwise() - detail::DependentVector<D>(means.col(k)));
      const double front =
          std::log(weights[k]) - L.diagonal().array().log().sum() - 0.5 * static_cast<double>(X.rows()) * log_two_pi;
      parts.row(k) = front - 0.5 * Y.colwise().squaredNorm().array();
    }
    detail::DependentVector<D> log_q(X.cols());
    for (Index i = 0; i < X.cols(); ++i) {
      const double most = parts.col(i).maxCoeff();
      log_q[i] = most == -std::numeric_limits<double>::infinity()
                     ? most
                     : most + std::log((parts.col(i).array() - most).exp().sum());
    }
    return log_q;
  }

  /// A line: the status, the number of minima, log Z and the misfit; then the evidence, or the modes' warnings.
  std::string text() const {
    std::string all = scorematch::detail::text(to_string(status), ": ", means.cols(), " normal laws, log Z ",
                                               log_partition, ", log weights of draws spread by ", misfit, '\n');
    if (!evidence.empty()) all += "  " + evidence + '\n';
    for (const std::string& warning : modes.warnings) all += "  " + warning + '\n';
    return all;
  }
};

}  // namespace scorematch
