// Whether ∫ exp(−f) can be finite, as far as rays from the middle of the mass can see.
#pragma once

#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/mode/minima.hpp"

namespace scorematch::likelihood {

/// Findings of the rays.
struct Tails {
  std::string evidence = {};  ///< of infinite mass, a sentence on one ray; empty if the density falls along all of them
  /// The lowest point met, if it lies clearly below the minima known; else empty.
  Eigen::VectorXd lower = {};
};

/// Empty unless a search for minima went down a valley that holds infinite mass: `falling`, d × 5, are its last places.
/// The mass around a place is exp(−f) times the widths there; where it does not fall while f does, each further unit of
/// the valley holds as much as the last.
template <class Function, class T>
std::string evidence_of_a_fall(Function& energy, const Matrix<T>& falling) {
  const Index d = falling.rows();
  Vector<T> f, mass(3);
  energy.values(falling, f);
  if (!f.allFinite()) return {};
  const Matrix<T> way = falling.col(4) - falling.col(0);
  const double length = way.cwiseAbs().maxCoeff();
  if (!(length > 0) || !std::isfinite(length)) return {};
  const Matrix<T> basis = Eigen::HouseholderQR<Matrix<T>>(Matrix<T>(way / length)).householderQ();
  for (Index k = 0; k < 3; ++k) {
    const Vector<T> at = falling.col(2 * k);
    mass[k] = -f[2 * k];
    for (Index j = 0; j < d; ++j)
      mass[k] += std::log(width_along(energy, at, f[2 * k], Vector<T>(basis.col(j)), length));
  }
  if (!(mass[1] > mass[0] - 0.1 && mass[2] > mass[1] - 0.1)) return {};
  std::string place;
  for (Index j = 0; j < d; ++j) place += (j > 0 ? ", " : "") + detail::text(falling(j, 4));
  return detail::text("the energy falls without bound as far as it can be followed, from ", f[0], " to ", f[4],
                      " at the point (", place, "), and the mass around does not fall");
}

/// The points origin + r step, r ≥ 1.
template <class T>
struct Ray {
  Vector<T> origin, step;

  static constexpr int radii = 26, octaves = 4;  ///< r = 1, 2⁴, … 2¹⁰⁰
  static double radius(int i) { return std::ldexp(1.0, octaves * i); }

  Vector<T> at(int i) const { return origin + radius(i) * step; }
  double distance(int i) const { return std::ldexp(step.norm(), octaves * i); }
  /// Its direction, of length 1, to four digits.
  std::string direction() const {
    std::string all;
    const double length = step.norm();
    for (Index j = 0; j < step.size(); ++j)
      all += (j > 0 ? ", " : "") + detail::text(std::round(step[j] / length * 1e4) / 1e4);
    return all;
  }
};

/// Appends rays from the mean: along the axes, the directions of the covariance, diagonals and 12 random ones.
template <class T>
void add_rays_from_mean(const Vector<T>& mean, const Matrix<T>& root, std::vector<Ray<T>>& rays) {
  const Index d = mean.size();
  const bool turned = !root.isDiagonal(0);
  for (Index j = 0; j < d; ++j) {
    rays.push_back({mean, Vector<T>::Unit(d, j) * root.row(j).norm()});
    if (turned) rays.push_back({mean, root.col(j)});
  }
  if (d == 2 || d == 3)
    for (int corner = 0; corner < (1 << (d - 1)); ++corner) {
      Vector<T> diagonal = root.rowwise().norm();
      for (Index j = 1; j < d; ++j)
        if (corner >> (j - 1) & 1) diagonal[j] *= -1;
      rays.push_back({mean, diagonal});
    }
  Stream stream({0, extend::Purpose::partition}, 1, std::uint64_t{1} << 38);
  for (int k = 0; k < 12 && d > 1; ++k) {
    const Vector<T> direction = stream.normals(d);
    rays.push_back({mean, root * direction / direction.norm()});
  }
}

/// Rays from the mean, and along the axes from `others` (d × n), each both ways. They begin at a standard deviation, or
/// a `unit` where that is longer.
template <class T>
std::vector<Ray<T>> rays_outwards(const Vector<T>& mean, const Matrix<T>& root, const Matrix<T>& others,
                                  const Vector<T>& unit) {
  const Index d = mean.size();
  std::vector<Ray<T>> rays;
  add_rays_from_mean(mean, root, rays);
  for (Index i = 0; i < others.cols(); ++i)
    for (Index j = 0; j < d; ++j) rays.push_back({others.col(i), Vector<T>::Unit(d, j) * root.row(j).norm()});
  for (std::size_t k = 0, n = rays.size(); k < n; ++k) rays.push_back({rays[k].origin, -rays[k].step});
  for (Ray<T>& ray : rays) ray.step *= std::max(1.0, 1 / ray.step.cwiseQuotient(unit).cwiseAbs().maxCoeff());
  return rays;
}

/// log of r exp(−f) times the widths across the ray at its i-th radius: of the mass between r and 2 r.
template <class Function, class T>
double log_mass_around(Function& energy, const Ray<T>& ray, int i, double f, const Matrix<T>& basis) {
  const double r = Ray<T>::radius(i) * ray.step.norm();
  double mass = std::log(r) - f;
  for (Index j = 1; j < ray.step.size(); ++j)
    mass += std::log(std::min(r, width_along(energy, ray.at(i), f, Vector<T>(basis.col(j)), r, 1.0)));
  return mass;
}

/// Of infinite mass along a ray, with the energies f at its radii: judged at the far end, over the last two spans of
/// radii. Empty if the mass falls there.
template <class Function, class T>
std::string evidence_along(Function& energy, const Ray<T>& ray, const double* f, double least) {
  constexpr int last_wall = 15;  // beyond 2⁶⁰ a wall is an overflow
  const double fold = Ray<T>::octaves * std::log(2.0), dimension = static_cast<double>(ray.step.size());
  int last = 0;  // the furthest radius up to which f is finite
  while (last + 1 < Ray<T>::radii && std::isfinite(f[last + 1])) ++last;
  if (last < 2) return {};
  if (last < last_wall && f[last + 1] > 0) return {};              // +∞: no mass beyond
  if (f[last] - f[last - 1] > dimension * fold + 1e-6) return {};  // falls faster than the volume grows
  const Matrix<T> way = ray.step / ray.step.cwiseAbs().maxCoeff();
  const Matrix<T> basis = Eigen::HouseholderQR<Matrix<T>>(way).householderQ();
  const double outer = log_mass_around(energy, ray, last, f[last], basis),
               inner = log_mass_around(energy, ray, last - 1, f[last - 1], basis);
  const double growth = (outer - inner) / fold,
               before = (inner - log_mass_around(energy, ray, last - 2, f[last - 2], basis)) / fold;
  if (!(growth >= -1e-6 && before >= -1e-6)) return {};
  if (std::max(growth, before) > dimension + 0.5 && !(f[last] < least)) return {};
  return detail::text("along the direction (", ray.direction(), ") the energy goes from ", f[last - 1], " to ", f[last],
                      " between the distances ", ray.distance(last - 1), " and ", ray.distance(last),
                      ", so that the mass between r and 2 r goes like r^",
                      std::abs(growth) < 1e-6 ? 0.0 : std::round(growth * 1e4) / 1e4, "; for a finite Z it must fall");
}

/// Follows the energy along rays x = m + r u, r to 2¹⁰⁰ standard deviations.
///
/// The mass between r and 2 r is about r exp(−f) times the widths across the ray; ∫ exp(−f) is finite only if that
/// falls as r grows. It is judged at the far end, over two spans of four octaves each: nearer, a ray may come to the
/// mass that it left. Where f falls on the way out the integral is infinite only if it also goes below the least energy
/// known: by itself a fall from 10⁹ to 10⁴ is no evidence. Rays: the axes, the directions of the covariance, diagonals
/// and 12 random ones, both ways; from `others` (d × n, minima) the axes. They begin at a standard deviation, or a
/// `unit` where that is longer. `least`: the lowest energy known.
template <class Function, class T>
Tails follow_tails(Function& energy, const Vector<T>& mean, const Matrix<T>& root, const Matrix<T>& others,
                   const Vector<T>& unit, double least) {
  constexpr int radii = Ray<T>::radii;
  const Index d = mean.size();
  const std::vector<Ray<T>> rays = rays_outwards(mean, root, others, unit);
  Tails tails;
  double lowest = least - 1e-3 * std::max(1.0, std::abs(least));
  const std::size_t at_once = static_cast<std::size_t>(std::max<Index>(1, 262144 / (radii * d)));
  Matrix<T> X;
  Vector<T> f;
  for (std::size_t begin = 0; begin < rays.size(); begin += at_once) {
    const std::size_t count = std::min(rays.size() - begin, at_once);
    X.resize(d, static_cast<Index>(count) * radii);
    for (std::size_t k = 0; k < count; ++k)
      for (int i = 0; i < radii; ++i) X.col(static_cast<Index>(k) * radii + i) = rays[begin + k].at(i);
    energy.values(X, f);
    for (Index i = 0; i < X.cols(); ++i)
      if (std::isfinite(f[i]) && f[i] < lowest) {
        lowest = f[i];
        tails.lower = X.col(i);
      }
    for (std::size_t k = 0; k < count && tails.evidence.empty(); ++k)
      tails.evidence = evidence_along(energy, rays[begin + k], f.data() + k * radii, least);
  }
  return tails;
}

}  // namespace scorematch::likelihood
