// Whether ∫ exp(−f) can be finite, as far as rays from the middle of the mass can see.
#pragma once

#include <Eigen/QR>
#include <cmath>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/likelihood/modes.hpp"

namespace scorematch::likelihood {

/// Empty if the density falls fast enough along every ray tried, else a sentence on one along which it does not.
///
/// Along a ray x = m + r u, the mass between r and 2 r is about r exp(−f) times the widths across the ray; ∫ exp(−f) is
/// finite only if that falls as r grows. Rays: the axes, diagonals, the directions of the covariance and 24 random
/// ones, out to 2²⁴ standard deviations.
template <class Function>
std::string evidence_of_infinite_mass(Function& energy, const DependentVector<Function>& mean,
                                      const DependentMatrix<Function>& covariance) {
  const Index d = mean.size();
  std::vector<DependentVector<Function>> rays;
  const DependentMatrix<Function> root = Eigen::LLT<DependentMatrix<Function>>(covariance).matrixL();
  for (Index j = 0; j < d; ++j) {
    rays.push_back(DependentVector<Function>::Unit(d, j));
    rays.push_back(root.col(j).normalized());
  }
  if (d == 2 || d == 3)
    for (int corner = 0; corner < (1 << (d - 1)); ++corner) {
      DependentVector<Function> diagonal = DependentVector<Function>::Ones(d);
      for (Index j = 1; j < d; ++j)
        if (corner >> (j - 1) & 1) diagonal[j] = -1;
      rays.push_back(diagonal.normalized());
    }
  Stream stream({0, Purpose::partition}, 1, std::uint64_t{1} << 38);
  for (int k = 0; k < 12 && d > 1; ++k) {
    const DependentVector<Function> direction = stream.normals(d);
    rays.push_back(direction.normalized());
  }
  for (std::size_t k = 0, n = rays.size(); k < n; ++k) rays.push_back(-rays[k]);

  constexpr int radii = 25, apart = 4;
  const double spread = std::sqrt(covariance.diagonal().maxCoeff());
  DependentMatrix<Function> X(d, static_cast<Index>(rays.size()) * radii);
  DependentVector<Function> f;
  for (std::size_t k = 0; k < rays.size(); ++k)
    for (int i = 0; i < radii; ++i) X.col(static_cast<Index>(k) * radii + i) = mean + std::ldexp(spread, i) * rays[k];
  energy.values(X, f);

  for (std::size_t k = 0; k < rays.size(); ++k) {
    const auto value = [&](int i) { return f[static_cast<Index>(k) * radii + i]; };
    int last = 0;  // the furthest radius up to which f is finite
    while (last + 1 < radii && std::isfinite(value(last + 1))) ++last;
    if (last + 1 < radii && value(last + 1) > 0) continue;  // +∞: no mass beyond
    if (last < apart) continue;
    const double rise = value(last) - value(last - apart), fold = apart * std::log(2.0);
    if (rise > static_cast<double>(d) * fold + 1e-6) continue;  // falls faster than the volume grows
    const auto log_mass = [&](int i) {
      const double r = std::ldexp(spread, i);
      double mass = std::log(r) - value(i);
      if (d == 1) return mass;
      const DependentMatrix<Function> ray = rays[k];
      const DependentMatrix<Function> basis = Eigen::HouseholderQR<DependentMatrix<Function>>(ray).householderQ();
      for (Index j = 1; j < d; ++j)
        mass += std::log(std::min(r, width_along(energy, DependentVector<Function>(mean + r * rays[k]), value(i),
                                                 DependentVector<Function>(basis.col(j)), r, 1.0)));
      return mass;
    };
    const double growth = (log_mass(last) - log_mass(last - apart)) / fold;
    if (growth < -1e-6) continue;
    std::string direction;
    for (Index j = 0; j < d; ++j) direction += (j > 0 ? ", " : "") + text(std::round(rays[k][j] * 1e4) / 1e4);
    return text("along the direction (", direction, ") the energy goes from ", value(last - apart), " to ", value(last),
                " between the distances ", std::ldexp(spread, last - apart), " and ", std::ldexp(spread, last),
                ", so that the mass between r and 2 r goes like r^", std::abs(growth) < 1e-6 ? 0.0 : growth,
                "; for a finite Z it must fall");
  }
  return {};
}

}  // namespace scorematch::likelihood
