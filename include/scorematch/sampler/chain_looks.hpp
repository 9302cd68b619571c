// Whether chains have forgotten their starts, and are where the model's mass is: by looks at 64 of a run's states,
// or more of few chains.
//
// R̂. Each chain's looks are halved; R̂² = ((n − 1)/n W + B)/W with W the mean variance within a half and B the variance
// of the halves' means (Gelman & Rubin 1992; Gelman et al. 2013). Chains in different modes, and chains that still
// travel, have halves whose means differ by more than the halves are wide.
//
// Memory. Many short chains have a large R̂, although together they tell what there is to tell, if they have forgotten
// where they began: if, over the chains, a coordinate's mean in the second half does not correlate with the coordinate
// of the start. So a large R̂ counts where it does, and where that cannot be told (fewer than 100 chains, or one start).
// It must also be beyond what chance explains, which is more for few looks: 1.42 for one chain and 64 of them.
// It also counts where the chains hardly move, so that their means in the two halves correlate by more than 0.95: one
// chain far out, whose start was like the others', is such a case.
//
// Stein's identities. In the stationary state, for a law whose density falls to 0 at the edge of its support,
//   E[s_j] = 0   and   E[1 + (x_j − c) s_j] = 0
// for each coordinate j. Deviations of x times the first is by how many deviations a normal law's mean would be off,
// and the second by which part its variance is too small: chains that all wait at one place show it, whatever their R̂,
// and so does an unadjusted step that is too large. Chains are independent, so that the chains' own means give the
// errors; of fewer than 32 chains the means of eight stretches of each do.
//
// The energy is looked at like a coordinate: it tells how far out chains are, of which a symmetric law's coordinates
// say nothing, in narrow necks and in heavy tails.
//
// Drift. So do differences between the chains' halves, of which the mean must be 0.
//
// A mean fails where it is larger than what matters (`max_bias`) and than chance explains: Student's t with ν = M − 1
// for M chains is above √(ν(α^{−2/ν} − 1)) with a probability below α; α is 10⁻⁶ over the number of coordinates.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/sampler/metric.hpp"
#include "scorematch/sampler/target.hpp"

namespace scorematch::sampling {

/// Which states of a run are looked at.
struct LookPlan {
  static constexpr Index fewest = 8;
  Index first = 0, steps = 0, count = 0;

  /// `steps` after the first `burn_in`: 64 of each chain, more of fewer than 32 chains, up to 2048.
  LookPlan(Index burn_in, Index step_count, Index chains)
      : first(burn_in),
        steps(step_count),
        count(std::min(std::max<Index>(64, 2048 / chains / 2 * 2), step_count / 2 * 2)) {
    if (count < fewest) count = 0;
  }
  /// Into how many stretches each chain's looks are cut for Stein's identities.
  Index batches(Index chains) const { return chains < 32 && count > 0 ? 8 : 1; }
  /// The look that is due before step t + 1, after t steps; −1: none.
  Index look(Index t) const {
    if (count == 0 || t <= first) return -1;
    const Index k =
        ((t - first) * count - 1) / steps;  // look k is at the last t with k steps/count < t ≤ (k + 1) steps/count
    return ((t + 1 - first) * count - 1) / steps > k || t == first + steps ? k : -1;
  }
};

/// Sums over the looks at each chain of a block, in each half of the run, of x − c and its square, and of s and (x − c)
/// s. Where the energy is known, it is one more coordinate, the last, without a score.
struct ChainLooks {
  Eigen::MatrixXd x[2], xx[2];         // B × d, or B × (d + 1) with the energy
  std::vector<Eigen::MatrixXd> s, xs;  // B × d, one after another batch of looks
  Eigen::MatrixXd start;               // B × d: where the chains began, in the model's coordinates
  Eigen::VectorXd start_energy, look_energy;
  Index looks[2] = {0, 0};
  std::vector<Index> score_looks;  // of each batch

  void reset(Index rows, Index d, bool energy, Index batches) {
    for (int half : {0, 1}) {
      x[half].setZero(rows, d + (energy ? 1 : 0));
      xx[half].setZero(rows, d + (energy ? 1 : 0));
      looks[half] = 0;
    }
    s.assign(static_cast<std::size_t>(batches), Eigen::MatrixXd::Zero(rows, d));
    xs = s;
    score_looks.assign(s.size(), 0);
  }

  /// The number that a chain's start has for coordinate j; NaN: not known.
  double start_of(Index i, Index j) const {
    if (j < start.cols()) return start(i, j);
    return start_energy.size() > 0 ? start_energy[i] : std::numeric_limits<double>::quiet_NaN();
  }

  /// X and S are rows in the model's coordinates; S may be empty. The law of the chains is p^{1/temperature}, whose
  /// score is S/temperature.
  template <class T>
  void add(Index look, Index count, const Matrix<T>& X, const Matrix<T>& S, const Eigen::VectorXd& centre,
           double temperature) {
    const int half = 2 * look < count ? 0 : 1;
    const std::size_t batch = static_cast<std::size_t>(look * static_cast<Index>(s.size()) / count);
    for (Index j = 0; j < X.cols(); ++j)
      for (Index i = 0; i < X.rows(); ++i) {
        const double way = static_cast<double>(X(i, j)) - centre[j];
        x[half](i, j) += way;
        xx[half](i, j) += way * way;
        if (S.size() == 0) continue;
        const double score = static_cast<double>(S(i, j)) / temperature;
        s[batch](i, j) += score;
        xs[batch](i, j) += way * score;
      }
    ++looks[half];
    if (S.size() != 0) ++score_looks[batch];
  }

  /// The energies of the same states, less that of `centre`.
  void add_energies(int half, const Eigen::VectorXd& f, double centre) {
    const Index d = x[half].cols() - 1;
    for (Index i = 0; i < x[half].rows(); ++i) {
      const double way = f[i] - centre;
      x[half](i, d) += way;
      xx[half](i, d) += way * way;
    }
  }
};

/// Mean and variance of numbers, added one after another.
struct Moments {
  double count = 0, mean = 0, squares = 0;
  void add(double number) {
    ++count;
    const double before = number - mean;
    mean += before / count;
    squares += before * (number - mean);
  }
  double variance() const { return count > 1 ? squares / (count - 1) : 0; }
  /// The mean over its standard error; 0 where too few numbers tell.
  double z() const { return count > 1 && squares > 0 ? mean / std::sqrt(variance() / count) : 0; }
};

/// What a coordinate's looks tell.
struct CoordinateFindings {
  double deviation = 0;                   ///< of the coordinate, over all looks
  double r_hat = 1, r_hat_by_chance = 1;  ///< by chance: what independent looks stay below but once in 10⁷ runs
  bool forgotten = false;                 ///< the chains' means do not correlate with their starts
  Moments drift, shift, squeeze;          ///< over chains: second half less first; E[s]; E[1 + (x − c) s]
};

/// Over all coordinates, the worst of each kind, with the coordinate; −1: none.
struct LooksFindings {
  double r_hat = std::numeric_limits<double>::quiet_NaN();  ///< of all coordinates
  double remembering = 0;                                   ///< the largest R̂ of those whose starts are not forgotten
  double drift = 0, shift = 0, squeeze = 0;
  Index remembering_at = -1, drift_at = -1, shift_at = -1, squeeze_at = -1;

  /// Takes coordinate j in. A mean counts where it is beyond chance for one of d coordinates and above `matters`.
  void add(const CoordinateFindings& found, Index j, Index d, double matters) {
    if (std::isnan(r_hat) || found.r_hat > r_hat) r_hat = found.r_hat;
    if (!found.forgotten && found.r_hat > std::max(remembering, found.r_hat_by_chance)) {
      remembering = found.r_hat;
      remembering_at = j;
    }
    const auto worst = [&](const Moments& mean, double unit, double& size, Index& at) {
      const double nu = mean.count - 1, now = mean.mean * unit;
      if (nu < 3 || !(std::abs(now) > matters) || !(std::abs(now) > std::abs(size))) return;
      const double chance = std::sqrt(nu * (std::pow(1e-6 / static_cast<double>(d), -2 / nu) - 1));
      if (!(std::abs(mean.z()) > chance) && mean.squares > 0) return;
      size = now;
      at = j;
    };
    worst(found.drift, found.deviation > 0 ? 1 / found.deviation : 0, drift, drift_at);
    worst(found.shift, found.deviation, shift, shift_at);
    worst(found.squeeze, 1, squeeze, squeeze_at);
  }
};

/// Sums of pairs, for their correlation.
struct Pairs {
  Moments a, b;
  double products = 0;
  void add(double x, double y) {
    const double before = x - a.mean;
    a.add(x);
    b.add(y);
    products += before * (y - b.mean);
  }
  /// Whether |r| is below `limit`, where both vary.
  bool correlate_below(double limit) const {
    return a.squares > 0 && b.squares > 0 && std::abs(products) < limit * std::sqrt(a.squares) * std::sqrt(b.squares);
  }
  /// Whether so many pairs as there are tell that nothing correlates: |r| < 4/√M + 0.05.
  bool independent() const { return a.count >= 100 && correlate_below(4 / std::sqrt(a.count) + 0.05); }
};

/// Looks at all blocks, `each(work)` calling work(looks, chains) for each block with its number of chains.
template <class Each>
CoordinateFindings judge_coordinate(Index j, Each each) {
  CoordinateFindings found;
  Moments halves, total;
  Pairs memory, persistence;
  double within = 0, half_count = 0, looks = 0;
  each([&](const ChainLooks& l, Index chains) {
    for (Index i = 0; i < chains; ++i)
      for (int half : {0, 1}) total.add(l.x[half](i, j) / static_cast<double>(l.looks[half]));
  });
  each([&](const ChainLooks& l, Index chains) {
    looks = static_cast<double>(l.looks[0]);
    for (Index i = 0; i < chains; ++i) {
      double mean[2];
      for (int half : {0, 1}) {
        const double n = static_cast<double>(l.looks[half]);
        mean[half] = l.x[half](i, j) / n;
        within += std::max(0.0, l.xx[half](i, j) - n * mean[half] * mean[half]) / (n - 1);
        halves.add(mean[half]);
        ++half_count;
      }
      found.drift.add(mean[1] - mean[0]);
      persistence.add(mean[0], mean[1]);
      if (l.start.size() > 0) memory.add(l.start_of(i, j), mean[1]);
      for (std::size_t batch = 0; batch < l.s.size(); ++batch) {
        if (l.score_looks[batch] == 0 || j >= l.s[batch].cols()) continue;
        const double n = static_cast<double>(l.score_looks[batch]), s = l.s[batch](i, j);
        found.shift.add(s / n);
        found.squeeze.add(1 + (l.xs[batch](i, j) - total.mean * s) / n);  // about the chains' mean
      }
    }
  });
  if (half_count == 0) return found;
  within /= half_count;
  found.forgotten = memory.independent() && persistence.correlate_below(0.95);
  const double between = halves.variance();
  found.deviation = std::sqrt((looks - 1) / looks * within + between);
  // (χ²_ν/ν − 1)/n for ν + 1 halves of n looks, χ² by Wilson & Hilferty 1931
  const double nu = std::max(1.0, half_count - 1), spread = 2 / (9 * nu);
  const double quantile = std::pow(1 - spread + 5.2 * std::sqrt(spread), 3);
  found.r_hat_by_chance = std::sqrt(1 + (quantile - 1) / looks);
  if (within > 0)
    found.r_hat = std::sqrt(((looks - 1) / looks * within + between) / within);
  else if (between > 0)
    found.r_hat = std::numeric_limits<double>::infinity();
  return found;
}

}  // namespace scorematch::sampling
