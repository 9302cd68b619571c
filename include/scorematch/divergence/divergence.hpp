// How far two distributions are apart: Kullback and Leibler's divergence, and Fisher's.
#pragma once

#include <type_traits>

#include "scorematch/divergence/entropy.hpp"

namespace scorematch {

/// D(p‖q) = E_p[log p − log q] (the study note's equations 1.17–1.18), over samples X of p (d × N), in nats:
///
///   auto forward = sm::kl_divergence(samples_of_p, p, q);   // what maximum likelihood makes small (1.17)
///   auto reverse = sm::kl_divergence(samples_of_q, q, p);   // what implicit models make small (1.19)
///
/// Its terms are (1.18)'s: E_p[log p], the negative entropy, and −E_p[log q], the cross-entropy. q = 0 at a sample of p
/// makes it +∞, with status `infinite`. The errors of both log Z are in the standard error. Throws
/// std::invalid_argument for densities of different dimensions, and data of another, empty, or not finite.
template <class Derived>
Divergence kl_divergence(const Eigen::MatrixBase<Derived>& X, const Density& p, const Density& q) {
  extend::require(p.dimension() == q.dimension(),
                  {"kl_divergence: p has dimension ", p.dimension(), ", q ", q.dimension(), "; they must agree"});
  const auto points = detail::in_double(X);
  const auto log_p = p(points), log_q = q(points);
  Divergence result;
  detail::mean_of(Eigen::VectorXd(log_p - log_q), result);
  result.standard_error =
      std::hypot(result.standard_error, std::hypot(p.log_partition_error(), q.log_partition_error()));
  result.terms = {detail::mean_of("negative entropy", log_p),
                  detail::mean_of("cross-entropy", Eigen::VectorXd(-log_q))};
  for (Index i = 0; i < log_p.size(); ++i)  // +∞ because p itself is infinite, say, is another matter than q = 0
    if (!std::isfinite(log_p[i])) result.status = DivergenceStatus::non_finite;
  return result;
}

/// D(p‖q) from samples of both, X of p (d × N) and Y of q (d × M), with neither density known:
///   (d/N) Σ_i log(ν_i/ρ_i) + log(M/(N − 1)),   ρ_i, ν_i the distances from x_i to its k-th neighbour in X and in Y
/// (Wang, Kulkarni & Verdú 2009); d is the dimension of the plane that all lie in. Where only X's or only Y's lie in a
/// smaller one, the divergence is +∞. Samples of X that are copies, of each other or of Y's, make the status `tied`.
/// Bias, standard error, cost and errors as for `entropy` by nearest neighbours; where q has far thinner tails than p
/// the bias is large: no sample of q tells how thin.
template <class D1, class D2>
Divergence kl_divergence(const Eigen::MatrixBase<D1>& X, const Eigen::MatrixBase<D2>& Y,
                         const NearestNeighbours& options = {}) {
  options.validate();
  const auto from = detail::in_double(X), to = detail::in_double(Y);
  extend::require(to.rows() == from.rows(), {"kl_divergence: X has ", from.rows(), " rows, Y ", to.rows(),
                                             "; both must be d × N, one column per sample"});
  extend::require_samples<double>(from, from.rows(), "X");
  extend::require_samples<double>(to, to.rows(), "Y");
  const int k = options.neighbours;
  detail::require_neighbours(from.cols(), k, "X");
  detail::require_neighbours(to.cols(), k, "Y");
  Divergence result;
  result.samples = from.cols();
  Eigen::MatrixXd both(from.rows(), from.cols() + to.cols());
  both << from, to;
  const Index dimension = detail::dimension_of_plane(both);
  if (detail::dimension_of_plane(from) < dimension || detail::dimension_of_plane(to) < dimension) {
    result.value = std::numeric_limits<double>::infinity();
    result.standard_error = std::numeric_limits<double>::quiet_NaN();
    result.status = DivergenceStatus::infinite;
    return result;
  }
  const auto estimate = [k, dimension](const auto& P, const auto& Q) {
    const auto log_far = detail::log_distances(P, Q, k), log_near = detail::log_own_distances(P, k);
    return static_cast<double>(dimension) * (log_far - log_near).mean() +
           std::log(static_cast<double>(Q.cols()) / static_cast<double>(P.cols() - 1));
  };
  result.value = estimate(from, to);
  const Index groups = detail::groups_of(std::min(from.cols(), to.cols()), k);
  result.standard_error = detail::error_by_groups(
      groups, [&](Index g) { return estimate(detail::every(from, g, groups), detail::every(to, g, groups)); });
  detail::judge_ties(detail::count_tied(from) + detail::count_tied(from, to), from.cols(), result);
  if (result.status != DivergenceStatus::estimated) result.standard_error = std::numeric_limits<double>::quiet_NaN();
  return result;
}

/// D(p‖q) from samples X of p (d × N), whose density is unknown, and q's density: the entropy by nearest neighbours,
/// and −E_p[log q]; +∞ for samples in a plane. Bias, standard error, ties and errors as for these.
template <class Derived>
Divergence kl_divergence(const Eigen::MatrixBase<Derived>& X, const Density& q, const NearestNeighbours& options = {}) {
  options.validate();
  const auto points = detail::in_double(X);
  const auto log_q = q(points);
  const int k = options.neighbours;
  detail::require_neighbours(points.cols(), k, "X");
  Divergence result;
  detail::mean_of(Eigen::VectorXd(-log_q), result);
  const double own = detail::neighbour_entropy(points, k);
  result.terms = {{"negative entropy", -own, entropy(points, options).standard_error},
                  {"cross-entropy", result.value, result.standard_error}};
  result.value -= own;
  const Index groups = detail::groups_of(points.cols(), k);
  result.standard_error = detail::error_by_groups(groups, [&](Index g) {
    return -detail::every(Eigen::MatrixXd(log_q.transpose()), g, groups).mean() -
           detail::neighbour_entropy(detail::every(points, g, groups), k);
  });
  result.standard_error = std::hypot(result.standard_error, q.log_partition_error());
  if (result.status == DivergenceStatus::estimated) {
    detail::judge_ties(detail::count_tied(points), points.cols(), result);
    if (detail::dimension_of_plane(points) < points.rows()) {
      result.value = std::numeric_limits<double>::infinity();
      result.status = DivergenceStatus::infinite;
    }
  }
  if (result.status != DivergenceStatus::estimated) result.standard_error = std::numeric_limits<double>::quiet_NaN();
  return result;
}

namespace detail {

/// Scores at X: a matrix as it is, or a model's.
template <class S>
Eigen::MatrixXd scores_at(const Eigen::MatrixXd& X, const S& scores, const char* argument) {
  if constexpr (requires { typename S::PlainObject; }) {  // Eigen's
    extend::require(scores.rows() == X.rows() && scores.cols() == X.cols(),
                    {"fisher_divergence: ", argument, " is ", scores.rows(), " × ", scores.cols(), "; the samples are ",
                     X.rows(), " × ", X.cols(), ", and it must have a column for each"});
    return scores.template cast<double>();
  } else {
    if constexpr (detail::check_model<S>()) return score_of(scores, X);
    return {};
  }
}

}  // namespace detail

/// Fisher's divergence ½ E_p‖s_p(x) − s_q(x)‖², over samples X of p (d × N): no normaliser is needed. p and q are each
/// a model (an energy, a score, a user's class) or a d × N matrix of scores at X. It is the explicit loss (1.26), which
/// training makes small, as a number to report. Blind to the weights of well-separated modes. Throws
/// std::invalid_argument for data and scores of another shape, and non-finite data.
template <class Derived, class P, class Q>
Divergence fisher_divergence(const Eigen::MatrixBase<Derived>& X, const P& p, const Q& q) {
  const auto points = detail::in_double(X);
  extend::require_samples<double>(points, points.rows(), "X");
  const auto s_p = detail::scores_at(points, p, "p"), s_q = detail::scores_at(points, q, "q");
  Divergence result;
  detail::mean_of(Eigen::VectorXd(0.5 * (s_p - s_q).colwise().squaredNorm().transpose()), result);
  return result;
}

}  // namespace scorematch
