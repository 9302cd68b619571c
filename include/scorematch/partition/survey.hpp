// The survey before any method integrates: where the mass of exp(−f) lies, and whether it can be finite.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/density/partition_result.hpp"
#include "scorematch/mode/minima.hpp"
#include "scorematch/partition/tails.hpp"

namespace scorematch::likelihood {

/// The minima of an energy and the mass's mean and root covariance, by the normal laws at the minima.
template <class Function>
struct Survey {
  std::vector<Mode> modes;  ///< lowest first
  Eigen::VectorXd mean;
  Eigen::MatrixXd root;  ///< lower triangular
  double least = 0;      ///< the lowest minimum
};

/// Takes mean and root covariance from the minima found; false where the search ran off to infinity.
template <class Function, class T = double>
bool take_moments(Survey<Function>& found) {
  found.least = found.modes.front().energy;
  Vector<T> mean;
  Matrix<T> covariance;
  moments_of(found.modes, mean, covariance);
  const Vector<T> scale = covariance.diagonal().cwiseSqrt();
  const Eigen::LLT<Matrix<T>> factor(
      Matrix<T>(scale.cwiseInverse().asDiagonal() * covariance * scale.cwiseInverse().asDiagonal()));
  found.root = scale.asDiagonal() * Matrix<T>(factor.matrixL());
  found.mean = mean;
  return found.mean.allFinite() && found.root.allFinite() && factor.info() == Eigen::Success &&
         found.root.diagonal().minCoeff() > 0 && !(found.mean.cwiseAbs().maxCoeff() > 1e140);
}

/// Whether the mass at infinity is finite, as far as rays and the last fall (d × 5, or empty) show: else the evidence.
template <class Function, class T>
Tails tails_of(Function& energy, const Survey<Function>& found, const Vector<T>& unit, const Matrix<T>& falling) {
  Matrix<T> minima(unit.size(), std::min<Index>(static_cast<Index>(found.modes.size()), 8));
  for (Index i = 0; i < minima.cols(); ++i) minima.col(i) = found.modes[static_cast<std::size_t>(i)].point;
  Tails tails = follow_tails(energy, found.mean, found.root, minima, unit, found.least);
  if (tails.evidence.empty() && falling.size() > 0) tails.evidence = evidence_of_a_fall(energy, falling);
  return tails;
}

/// Looks from `places` (d × n), then from around what was found, in its units, until that leads to nothing new; then
/// follows the tails. False, with status, evidence and, where Z is infinite, value in `result`, where it makes no sense
/// to integrate: f is finite at no place, or falls without bound, or falls too slowly along a ray.
template <class Function, class T>
bool survey(Function& energy, const Matrix<T>& places, const Vector<T>& unit, Index most_modes, Survey<Function>& found,
            LogPartition& result) {
  const auto infinite = [&](const std::string& evidence) {
    result.status = PartitionStatus::not_normalisable;
    result.evidence = evidence;
    result.value = result.upper = std::numeric_limits<double>::infinity();
    return false;
  };
  Matrix<T> from = places, falling;
  found.modes.clear();
  constexpr int rounds = 5;
  for (int round = 0; round < rounds; ++round) {
    const Minima modes = find_minima(energy, from, unit, round == 0 ? most_modes : std::min<Index>(most_modes, 8));
    if (round == 0 && modes.found.empty()) {
      result.status = PartitionStatus::non_finite;
      result.evidence = detail::text("the energy is not finite at any of the ", places.cols(),
                                     " places where its minima were looked for; name points where it is (near)");
      return false;
    }
    if (modes.falling.size() > 0) falling = modes.falling;
    if (round == 0) found.modes = modes.found;
    const bool new_ones = round == 0 || (modes.converged && add_modes(modes.found, most_modes, found.modes));
    if (!take_moments(found))
      return infinite(detail::text("the energy falls without bound: it was found to be ", found.least,
                                   " at a distance of ", found.modes.front().point.norm(), " from the origin"));
    std::vector<Vector<T>> next;
    if (new_ones && round < rounds - 1) {
      next.push_back(found.mean);
      add_shells(found.mean, found.root, -1, 6, next);
    } else {
      const Tails tails = tails_of(energy, found, unit, falling);
      if (!tails.evidence.empty()) return infinite(tails.evidence);
      if (tails.lower.size() == 0 || round == rounds - 1) break;
      next.push_back(tails.lower);
    }
    from = side_by_side(places.rows(), next);
  }
  return true;
}

}  // namespace scorematch::likelihood
