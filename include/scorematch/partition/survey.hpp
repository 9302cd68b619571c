// What is looked for before any method integrates: where the mass of exp(−f) lies, and whether it can be finite.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/density/partition_result.hpp"
#include "scorematch/partition/modes.hpp"
#include "scorematch/partition/tails.hpp"

namespace scorematch::likelihood {

/// The minima of an energy and the mass's mean and root covariance, by the normal laws at the minima.
template <class Function>
struct Survey {
  std::vector<Mode> modes;  ///< lowest first
  DependentVector<Function> mean;
  DependentMatrix<Function> root;  ///< lower triangular
  double least = 0;                ///< the lowest minimum
};

/// Looks from `places` (d × n), then from around what was found, in its units, until that leads to nothing new; then
/// follows the tails. False, with status, evidence and, where Z is infinite, value in `result`, where it makes no sense
/// to integrate: f is finite at no place, or falls without bound, or falls too slowly along a ray.
template <class Function>
bool survey(Function& energy, const DependentMatrix<Function>& places, const DependentVector<Function>& unit,
            Index most_modes, Survey<Function>& found, LogPartition& result) {
  using MatrixXd = DependentMatrix<Function>;
  using VectorXd = DependentVector<Function>;
  const Index d = places.rows();
  const auto infinite = [&](const std::string& evidence) {
    result.status = PartitionStatus::not_normalisable;
    result.evidence = evidence;
    result.value = result.upper = std::numeric_limits<double>::infinity();
    return false;
  };
  MatrixXd from = places, falling;
  found.modes.clear();
  constexpr int rounds = 5;
  for (int round = 0; round < rounds; ++round) {
    const Modes modes = find_modes(energy, from, unit, round == 0 ? most_modes : std::min<Index>(most_modes, 8));
    if (round == 0 && modes.found.empty()) {
      result.status = PartitionStatus::non_finite;
      result.evidence = text("the energy is not finite at any of the ", places.cols(),
                             " places where its minima were looked for; name points where it is (near)");
      return false;
    }
    if (modes.falling.size() > 0) falling = modes.falling;
    bool new_ones = false;
    if (round == 0) {
      found.modes = modes.found;
      new_ones = true;
    } else if (modes.converged) {
      new_ones = add_modes(modes.found, most_modes, found.modes);
    }
    found.least = found.modes.front().energy;
    MatrixXd covariance;
    moments_of(found.modes, found.mean, covariance);
    const VectorXd scale = covariance.diagonal().cwiseSqrt();
    const Eigen::LLT<MatrixXd> factor(
        MatrixXd(scale.cwiseInverse().asDiagonal() * covariance * scale.cwiseInverse().asDiagonal()));
    found.root = scale.asDiagonal() * MatrixXd(factor.matrixL());
    if (!found.mean.allFinite() || !found.root.allFinite() || factor.info() != Eigen::Success ||
        !(found.root.diagonal().minCoeff() > 0) || found.mean.cwiseAbs().maxCoeff() > 1e140)
      return infinite(text("the energy falls without bound: it was found to be ", found.least, " at a distance of ",
                           found.modes.front().point.norm(), " from the origin"));
    std::vector<VectorXd> next;
    if (new_ones && round < rounds - 1) {
      next.push_back(found.mean);
      add_shells<Function>(found.mean, found.root, -1, 6, next);
    } else {
      MatrixXd minima(d, std::min<Index>(static_cast<Index>(found.modes.size()), 8));
      for (Index i = 0; i < minima.cols(); ++i) minima.col(i) = found.modes[static_cast<std::size_t>(i)].point;
      const Tails tails = follow_tails(energy, found.mean, found.root, minima, unit, found.least);
      if (!tails.evidence.empty()) return infinite(tails.evidence);
      if (falling.size() > 0)
        if (const std::string evidence = evidence_of_a_fall(energy, falling); !evidence.empty())
          return infinite(evidence);
      if (tails.lower.size() == 0 || round == rounds - 1) break;
      next.push_back(tails.lower);
    }
    from = side_by_side<Function>(d, next);
  }
  return true;
}

}  // namespace scorematch::likelihood
