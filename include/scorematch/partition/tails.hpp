// Whether ∫ exp(−f) can be finite, as far as rays from the middle of the mass can see.
#pragma once

#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/partition/modes.hpp"

namespace scorematch::likelihood {

/// What the rays met.
struct Tails {
  std::string evidence = {};  ///< of infinite mass, a sentence on one ray; empty if the density falls along all of them
  /// The lowest point met, if it lies clearly below the minima known; else empty.
  Eigen::VectorXd lower = {};
};

/// Empty unless a search for minima went down a valley that holds infinite mass: `falling`, d × 5, are its last places.
/// The mass around a place is exp(−f) times the widths there; where it does not fall while f does, each further unit of
/// the valley holds as much as the last.
template <class Function>
std::string evidence_of_a_fall(Function& energy, const DependentMatrix<Function>& falling) {
  const Index d = falling.rows();
  DependentVector<Function> f, mass(3);
  energy.values(falling, f);
  if (!f.allFinite()) return {};
  const DependentMatrix<Function> way = falling.col(4) - falling.col(0);
  const double length = way.cwiseAbs().maxCoeff();
  if (!(length > 0) || !std::isfinite(length)) return {};
  const DependentMatrix<Function> basis =
      Eigen::HouseholderQR<DependentMatrix<Function>>(DependentMatrix<Function>(way / length)).householderQ();
  for (Index k = 0; k < 3; ++k) {
    const DependentVector<Function> at = falling.col(2 * k);
    mass[k] = -f[2 * k];
    for (Index j = 0; j < d; ++j)
      mass[k] += std::log(width_along(energy, at, f[2 * k], DependentVector<Function>(basis.col(j)), length));
  }
  if (!(mass[1] > mass[0] - 0.1 && mass[2] > mass[1] - 0.1)) return {};
  std::string place;
  for (Index j = 0; j < d; ++j) place += (j > 0 ? ", " : "") + text(falling(j, 4));
  return text("the energy falls without bound as far as it can be followed, from ", f[0], " to ", f[4],
              " at the point (", place, "), and the mass around does not fall");
}

/// Follows the energy along rays x = m + r u, r to 2¹⁰⁰ standard deviations.
///
/// The mass between r and 2 r is about r exp(−f) times the widths across the ray; ∫ exp(−f) is finite only if that
/// falls as r grows. It is judged at the far end, over two spans of four octaves each: nearer, a ray may come to the
/// mass that it left. Where f falls on the way out the integral is infinite only if it also goes below the least energy
/// known: by itself a fall from 10⁹ to 10⁴ is no evidence. Rays: the axes, the directions of the covariance, diagonals
/// and 12 random ones, both ways; from `others` (d × n, minima) the axes. They begin at a standard deviation, or a
/// `unit` where that is longer. `least`: the lowest energy known.
template <class Function>
Tails follow_tails(Function& energy, const DependentVector<Function>& mean, const DependentMatrix<Function>& root,
                   const DependentMatrix<Function>& others, const DependentVector<Function>& unit, double least) {
  const Index d = mean.size();
  std::vector<DependentVector<Function>> rays, origins;
  const bool turned = !root.isDiagonal(0);
  for (Index j = 0; j < d; ++j) {
    rays.push_back(DependentVector<Function>::Unit(d, j) * root.row(j).norm());
    if (turned) rays.push_back(root.col(j));
  }
  if (d == 2 || d == 3)
    for (int corner = 0; corner < (1 << (d - 1)); ++corner) {
      DependentVector<Function> diagonal = root.rowwise().norm();
      for (Index j = 1; j < d; ++j)
        if (corner >> (j - 1) & 1) diagonal[j] *= -1;
      rays.push_back(diagonal);
    }
  Stream stream({0, Purpose::partition}, 1, std::uint64_t{1} << 38);
  for (int k = 0; k < 12 && d > 1; ++k) {
    const DependentVector<Function> direction = stream.normals(d);
    rays.push_back(root * direction / direction.norm());
  }
  origins.assign(rays.size(), mean);
  for (Index i = 0; i < others.cols(); ++i)
    for (Index j = 0; j < d; ++j) {
      rays.push_back(DependentVector<Function>::Unit(d, j) * root.row(j).norm());
      origins.push_back(others.col(i));
    }
  for (std::size_t k = 0, n = rays.size(); k < n; ++k) {
    rays.push_back(-rays[k]);
    origins.push_back(origins[k]);
  }
  for (DependentVector<Function>& ray : rays) ray *= std::max(1.0, 1 / ray.cwiseQuotient(unit).cwiseAbs().maxCoeff());

  constexpr int radii = 26, octaves = 4;  // from 1 to 2¹⁰⁰
  constexpr int last_wall = 15;           // beyond 2⁶⁰ a wall is an overflow
  const double fold = octaves * std::log(2.0), dimension = static_cast<double>(d);
  Tails tails;
  double lowest = least - 1e-3 * std::max(1.0, std::abs(least));
  const std::size_t at_once = static_cast<std::size_t>(std::max<Index>(1, 262144 / (radii * d)));
  DependentMatrix<Function> X;
  DependentVector<Function> f;
  for (std::size_t begin = 0; begin < rays.size(); begin += at_once) {
    const std::size_t end = std::min(rays.size(), begin + at_once);
    X.resize(d, static_cast<Index>(end - begin) * radii);
    for (std::size_t k = begin; k < end; ++k)
      for (int i = 0; i < radii; ++i)
        X.col(static_cast<Index>(k - begin) * radii + i) = origins[k] + std::ldexp(1.0, octaves * i) * rays[k];
    energy.values(X, f);
    for (Index i = 0; i < X.cols(); ++i)
      if (std::isfinite(f[i]) && f[i] < lowest) {
        lowest = f[i];
        tails.lower = X.col(i);
      }
    for (std::size_t k = begin; k < end && tails.evidence.empty(); ++k) {
      const auto value = [&](int i) { return f[static_cast<Index>(k - begin) * radii + i]; };
      int last = 0;  // the furthest radius up to which f is finite
      while (last + 1 < radii && std::isfinite(value(last + 1))) ++last;
      if (last < 2) continue;
      if (last < last_wall && value(last + 1) > 0) continue;  // +∞: no mass beyond
      // Falls faster than the volume grows?
      if (value(last) - value(last - 1) > dimension * fold + 1e-6) continue;
      const DependentMatrix<Function> ray = rays[k] / rays[k].cwiseAbs().maxCoeff();
      const DependentMatrix<Function> basis = Eigen::HouseholderQR<DependentMatrix<Function>>(ray).householderQ();
      const auto log_mass = [&](int i) {
        const double r = std::ldexp(1.0, octaves * i) * rays[k].norm();
        double mass = std::log(r) - value(i);
        for (Index j = 1; j < d; ++j)
          mass += std::log(std::min(
              r, width_along(energy, DependentVector<Function>(origins[k] + std::ldexp(1.0, octaves * i) * rays[k]),
                             value(i), DependentVector<Function>(basis.col(j)), r, 1.0)));
        return mass;
      };
      const double outer = log_mass(last), inner = log_mass(last - 1);
      const double growth = (outer - inner) / fold, before = (inner - log_mass(last - 2)) / fold;
      if (!(growth >= -1e-6 && before >= -1e-6)) continue;
      if (std::max(growth, before) > dimension + 0.5 && !(value(last) < least)) continue;
      std::string direction;
      const double length = rays[k].norm();
      for (Index j = 0; j < d; ++j)
        direction += (j > 0 ? ", " : "") + text(std::round(rays[k][j] / length * 1e4) / 1e4);
      tails.evidence =
          text("along the direction (", direction, ") the energy goes from ", value(last - 1), " to ", value(last),
               " between the distances ", std::ldexp(length, octaves * (last - 1)), " and ",
               std::ldexp(length, octaves * last), ", so that the mass between r and 2 r goes like r^",
               std::abs(growth) < 1e-6 ? 0.0 : std::round(growth * 1e4) / 1e4, "; for a finite Z it must fall");
    }
  }
  return tails;
}

}  // namespace scorematch::likelihood
