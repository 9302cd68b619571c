// Entropies and what they are estimated with: means over samples that keep what is not finite in view, and nearest
// neighbours.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "scorematch/density/density.hpp"
#include "scorematch/divergence/nearest_neighbours.hpp"
#include "scorematch/loss/loss.hpp"

namespace scorematch {

/// Whether the number of a Divergence can be used.
enum class DivergenceStatus {
  estimated,  ///< every number that went into it was finite
  /// A density is 0 at a sample where it must not be: the value is +∞, and this is not a rounding matter. Nearest
  /// neighbours: the samples lie in a plane, so that they have no density: an entropy is −∞, a divergence from samples
  /// outside it +∞.
  infinite,
  tied,        ///< nearest neighbours: samples lie at the very same point, which those of a density do not, too many to
               ///< matter not
  non_finite,  ///< a log density or score was NaN, +∞, or p = 0 at one of p's own samples
};

/// The status in a word or two.
inline const char* to_string(DivergenceStatus status) {
  switch (status) {
    case DivergenceStatus::estimated:
      return "estimated";
    case DivergenceStatus::infinite:
      return "infinite";
    case DivergenceStatus::tied:
      return "tied";
    case DivergenceStatus::non_finite:
      return "non-finite";
  }
  return "";
}

/// An entropy or a divergence, in nats, estimated from samples. Nothing is repaired: where `status` is not `estimated`,
/// `value` is what arithmetic makes of it (+∞ or NaN) and the standard error is NaN.
struct [[nodiscard]] Divergence {
  double value = 0;                  ///< the estimate, in nats
  double standard_error = 0;         ///< for independent samples; a bias is not in it
  std::vector<Estimate> terms = {};  ///< parts worth reading apart
  Index samples = 0;                 ///< how many it is from
  Index non_finite = 0;              ///< samples whose part was not finite
  Index tied = 0;                    ///< nearest neighbours: samples at the very same point as another
  DivergenceStatus status = DivergenceStatus::estimated;  ///< whether `value` is a number to use
};

/// How entropies and divergences are estimated from samples alone.
struct NearestNeighbours {
  int neighbours = 4;  ///< k ≥ 1: more have less variance and more bias

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const { extend::require_at_least(neighbours, 1, "NearestNeighbours: neighbours"); }
};

namespace detail {

/// A plain matrix of X's numbers.
template <class Derived>
Eigen::MatrixXd in_double(const Eigen::MatrixBase<Derived>& X) {
  return X.template cast<double>();
}

/// The mean with its error. Numbers at +∞ alone make it `infinite`, any others that are not finite `non_finite`.
template <class Numbers>  // templates, so that programs without entropies do not compile them
void mean_of(const Numbers& numbers, Divergence& result) {
  result.samples = numbers.size();
  objective::Moments moments;
  moments.add_all(numbers.data(), numbers.size());
  bool only_infinite = true;
  for (Index i = 0; i < numbers.size(); ++i) {
    if (std::isfinite(numbers[i])) continue;
    ++result.non_finite;
    only_infinite = only_infinite && numbers[i] > 0;
  }
  result.value = moments.mean;
  result.standard_error = moments.standard_error();
  if (result.non_finite == 0) return;
  result.standard_error = std::numeric_limits<double>::quiet_NaN();
  result.value = only_infinite ? std::numeric_limits<double>::infinity() : numbers.mean();
  result.status = only_infinite ? DivergenceStatus::infinite : DivergenceStatus::non_finite;
}

template <class Numbers>
Estimate mean_of(const char* name, const Numbers& numbers) {
  objective::Moments moments;
  moments.add_all(numbers.data(), numbers.size());
  return {name, moments.mean, moments.standard_error()};
}

/// A statistic's standard error from its spread over disjoint groups of the samples, `count` of them: for statistics
/// whose terms are not independent. of_group(g) is the statistic of group g.
template <class OfGroup>
double error_by_groups(Index count, OfGroup of_group) {
  objective::Moments moments;
  for (Index g = 0; g < count; ++g) {
    const double value = of_group(g);
    moments.add(1, value, 0);
  }
  return count > 1 ? moments.standard_error() : std::numeric_limits<double>::quiet_NaN();
}

/// Columns group, group + groups, group + 2 groups, … of X.
template <class M>
M every(const M& X, Index group, Index groups) {
  M some(X.rows(), (X.cols() - group + groups - 1) / groups);
  for (Index i = 0; i < some.cols(); ++i) some.col(i) = X.col(group + i * groups);
  return some;
}

/// Groups that each keep a good many more than k samples; at most 20.
inline Index groups_of(Index samples, int k) { return std::min<Index>(20, samples / (10 * (k + 1))); }

/// ψ(n) = Γ'(n)/Γ(n) of a whole number n ≥ 1, exact to rounding: its recurrence up to 15, then Stirling's series.
inline double digamma(Index n) {
  double shift = 0;
  for (; n < 15; ++n) shift -= 1 / static_cast<double>(n);
  const double x = static_cast<double>(n), r = 1 / (x * x);
  return shift + std::log(x) - 0.5 / x -
         r * (1.0 / 12 - r * (1.0 / 120 - r * (1.0 / 252 - r * (1.0 / 240 - r * (1.0 / 132)))));
}

/// log of the volume of the unit ball in d dimensions
inline double log_unit_ball(Index d) {
  const double half = 0.5 * static_cast<double>(d);
  return half * std::log(3.14159265358979323846) - std::lgamma(half + 1);
}

/// log of each sample's distance to its k-th neighbour among the others
template <class T>
Vector<T> log_own_distances(const Matrix<T>& X, int k) {
  return detail::NeighbourTree<T>(X).distances(X, k, true).array().log();
}

/// log of each column of X's distance to its k-th neighbour among those of Y
template <class T>
Vector<T> log_distances(const Matrix<T>& X, const Matrix<T>& Y, int k) {
  return detail::NeighbourTree<T>(Y).distances(X, k, false).array().log();
}

template <class T>
double neighbour_entropy(const Matrix<T>& X, int k) {
  const double d = static_cast<double>(X.rows());
  return digamma(X.cols()) - digamma(k) + log_unit_ball(X.rows()) + d * log_own_distances(X, k).mean();
}

/// How many columns lie at the very same point as another one: of the same matrix, or of `Y`.
template <class T>
Index count_tied(const Matrix<T>& X) {
  return (detail::NeighbourTree<T>(X).distances(X, 1, true).array() == 0).count();
}
template <class T>
Index count_tied(const Matrix<T>& X, const Matrix<T>& Y) {
  return (detail::NeighbourTree<T>(Y).distances(X, 1, false).array() == 0).count();
}

/// Samples at the same point as another make the k-th neighbour the (k − 1)-th, which is nearer by 1/(k − 1) of a nat.
/// Whether a share `tied` of them matters beside the standard error: makes the status `tied`.
inline void judge_ties(Index tied, Index samples, Divergence& result) {
  result.tied = tied;
  const double share = static_cast<double>(tied) / static_cast<double>(samples);
  const bool slight = std::isfinite(result.value) && share <= 0.1 * result.standard_error;
  if (tied > 0 && !slight) result.status = DivergenceStatus::tied;
}

/// The dimension of the plane that the columns of X lie in, at the precision of their numbers, whatever the units of
/// the rows: Gram and Schmidt's method on the centred rows, the longest rest first.
template <class T>
Index dimension_of_plane(const Matrix<T>& X) {
  const Index d = X.rows(), n = X.cols();
  constexpr double epsilon = std::numeric_limits<double>::epsilon();
  Matrix<T> rows(n, d);
  Vector<T> noise(d);  // of each row, in units of its length
  for (Index j = 0; j < d; ++j) {
    const double most = X.row(j).cwiseAbs().maxCoeff(), scale = most > 0 ? most : 1;
    rows.col(j) = X.row(j).transpose() / scale;
    rows.col(j).array() -= rows.col(j).mean();
    const double length = rows.col(j).norm();
    noise[j] = length > 0 ? 16 * epsilon * std::sqrt(static_cast<double>(n)) / length : 1;
    if (length > 0) rows.col(j) /= length;
  }
  Index rank = 0;
  std::vector<char> used(static_cast<std::size_t>(d), 0);
  while (rank < d) {
    Index next = -1;
    double longest = 0;
    for (Index j = 0; j < d; ++j) {
      const double length = rows.col(j).norm();
      if (!used[static_cast<std::size_t>(j)] && length > std::max(noise[j], 16 * epsilon) && length > longest) {
        next = j;
        longest = length;
      }
    }
    if (next < 0) break;
    used[static_cast<std::size_t>(next)] = 1;
    ++rank;
    const Vector<T> axis = rows.col(next) / longest;
    for (Index j = 0; j < d; ++j) {
      if (used[static_cast<std::size_t>(j)]) continue;
      for (int twice = 0; twice < 2; ++twice) rows.col(j) -= axis.dot(rows.col(j)) * axis;
      noise[j] += noise[next] / longest;  // what it takes over of the other's noise
    }
  }
  return rank;
}

inline void require_neighbours(Index samples, int k, const char* argument) {
  extend::require(samples > k, {argument, " has ", samples, " columns; for ", k,
                                " nearest neighbours it needs at least ", Index{k} + 1});
}

}  // namespace detail

/// The entropy −E_p[log p(x)] of p, over samples X of p (d × N), in nats. Throws std::invalid_argument for data of
/// another dimension, empty, or not finite.
template <class Derived>
Divergence entropy(const Eigen::MatrixBase<Derived>& X, const Density& p) {
  Divergence result;
  const auto log_p = p(detail::in_double(X));
  detail::mean_of(Eigen::VectorXd(-log_p), result);
  if (result.status == DivergenceStatus::infinite) result.status = DivergenceStatus::non_finite;  // p = 0 at its sample
  result.standard_error = std::hypot(result.standard_error, p.log_partition_error());
  return result;
}

/// The entropy of the density that X (d × N) was drawn from, of which nothing else is known:
///   ψ(N) − ψ(k) + log c_d + (d/N) Σ_i log ε_i,   ε_i the distance from x_i to its k-th nearest neighbour
/// (Kozachenko & Leonenko 1987; k > 1: Goria, Leonenko, Mergel & Novi Inverardi 2005). Its bias falls like N^(−2/d),
/// and is not in the standard error, which comes from the spread over groups of the samples (NaN below 20 (k + 1)
/// samples). Samples in a plane (a constant row, one row a multiple of another) have no density: −∞, `infinite`; many
/// equal ones make the status `tied`. Cost: N log N in few dimensions. Throws std::invalid_argument for fewer than k +
/// 1 samples and non-finite entries.
template <class Derived>
Divergence entropy(const Eigen::MatrixBase<Derived>& X, const NearestNeighbours& options = {}) {
  options.validate();
  const auto points = detail::in_double(X);
  extend::require_samples<double>(points, X.rows(), "X");
  const int k = options.neighbours;
  detail::require_neighbours(points.cols(), k, "X");
  Divergence result;
  result.samples = points.cols();
  result.value = detail::neighbour_entropy(points, k);
  const Index groups = detail::groups_of(points.cols(), k);
  result.standard_error = detail::error_by_groups(
      groups, [&](Index g) { return detail::neighbour_entropy(detail::every(points, g, groups), k); });
  detail::judge_ties(detail::count_tied(points), points.cols(), result);
  if (detail::dimension_of_plane(points) < points.rows()) {
    result.value = -std::numeric_limits<double>::infinity();
    result.status = DivergenceStatus::infinite;
  }
  if (result.status != DivergenceStatus::estimated) result.standard_error = std::numeric_limits<double>::quiet_NaN();
  return result;
}

}  // namespace scorematch
