// Where the mass of exp(−f) lies: the minima of an energy and the widths there.
#pragma once

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "scorematch/random/stream.hpp"
#include "scorematch/types.hpp"

namespace scorematch::likelihood {

/// A minimum of f, and the covariance of the normal law that is like exp(−f) there.
struct Mode {
  Eigen::VectorXd point;
  double energy = 0;
  Eigen::MatrixXd covariance;
  double log_mass = 0;  ///< −f + ½ log det(2π covariance), Laplace's estimate of the log of its share of Z
};

/// Points from which to look: the origin and places around it at distances from 1/8 to 2¹⁰, those in `near` (d × n, at
/// most 64 of them) and around their mean. d × any number.
template <class D = void>
DependentMatrix<D> places_to_look(Index d, const DependentMatrix<D>& near) {
  constexpr Index most_near = 64;
  std::vector<DependentVector<D>> places;
  places.push_back(DependentVector<D>::Zero(d));
  Stream stream({0, Purpose::partition}, 0, std::uint64_t{1} << 38);
  for (int k = -3; k <= 10; ++k) {
    const double radius = std::ldexp(1.0, k);
    if (d <= 3)
      for (Index j = 0; j < d; ++j)
        for (const double sign : {-1.0, 1.0}) places.push_back(sign * radius * DependentVector<D>::Unit(d, j));
    for (int copy = 0; copy < 4; ++copy) {
      const DependentVector<D> direction = stream.normals(d);
      places.push_back(radius * direction.normalized());
    }
  }
  if (near.cols() > 0) {
    places.push_back(near.rowwise().mean());
    for (Index i = 0, n = std::min(near.cols(), most_near); i < n; ++i) places.push_back(near.col(i * near.cols() / n));
  }
  DependentMatrix<D> all(d, static_cast<Index>(places.size()));
  for (Index i = 0; i < all.cols(); ++i) all.col(i) = places[static_cast<std::size_t>(i)];
  return all;
}

/// How far from x one must go along ±direction for f to rise by ½, the mean of both sides; +∞ if it does not before
/// `far` times the start.
template <class Function>
double width_along(Function& energy, const DependentVector<Function>& x, double f,
                   const DependentVector<Function>& direction, double start, double far = 1e15) {
  DependentMatrix<Function> ends(x.size(), 2);
  DependentVector<Function> values;
  double reach[2] = {start, start};
  bool rising[2] = {}, falling[2] = {}, done[2] = {};
  for (int round = 0; round < 120 && !(done[0] && done[1]); ++round) {
    for (int side = 0; side < 2; ++side) ends.col(side) = x + (side == 0 ? reach[0] : -reach[1]) * direction;
    energy.values(ends, values);
    for (int side = 0; side < 2; ++side) {
      if (done[side]) continue;
      const bool above = !(values[side] - f < 0.5);
      (above ? falling : rising)[side] = true;
      const bool flat = !above && reach[side] >= far * start;
      done[side] = (falling[side] && rising[side]) || flat;
      if (flat) reach[side] = std::numeric_limits<double>::infinity();
      if (!done[side]) reach[side] *= above ? 0.5 : 2.0;
    }
  }
  return 0.5 * (reach[0] + reach[1]);
}

/// The minima of f near the places given, lowest first, at most `most`, those apart; Newton's method with a trust
/// region on many places at once. Energies that are not finite are avoided. `energy` offers values and
/// values_and_scores.
template <class Function>
std::vector<Mode> find_modes(Function& energy, const DependentMatrix<Function>& places, Index most) {
  const Index d = places.rows();
  DependentVector<Function> f;
  energy.values(places, f);
  std::vector<Index> order;
  for (Index i = 0; i < places.cols(); ++i)
    if (std::isfinite(f[i])) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return f[a] < f[b]; });
  const Index count = std::min<Index>(static_cast<Index>(order.size()), 2 * most);
  DependentMatrix<Function> X(d, count);
  DependentVector<Function> at(count), radius(count);
  for (Index i = 0; i < count; ++i) {
    X.col(i) = places.col(order[static_cast<std::size_t>(i)]);
    at[i] = f[order[static_cast<std::size_t>(i)]];
    radius[i] = 0.5 * (1 + X.col(i).norm());
  }

  // Score and Hessian of each place by central differences of the score.
  DependentMatrix<Function> stencil(d, count * (2 * d + 1)), S;
  DependentVector<Function> step(count);
  const auto hessian = [&](Index i, DependentMatrix<Function>& H) {
    for (Index j = 0; j < d; ++j)
      H.col(j) = (S.col(i * (2 * d + 1) + 2 + 2 * j) - S.col(i * (2 * d + 1) + 1 + 2 * j)) / (2 * step[i]);
    H = (0.5 * (H + H.transpose())).eval();
  };
  DependentMatrix<Function> H(d, d), trial(d, count);
  DependentVector<Function> trial_f;
  std::vector<char> settled(static_cast<std::size_t>(count), 0);
  const auto look = [&] {
    for (Index i = 0; i < count; ++i) {
      step[i] = 1e-5 * std::max({1e-3, radius[i], 1e-6 * X.col(i).norm()});
      stencil.col(i * (2 * d + 1)) = X.col(i);
      for (Index j = 0; j < d; ++j)
        for (int side = 0; side < 2; ++side)  // first ahead, then behind: s falls along f's curvature
          stencil.col(i * (2 * d + 1) + 1 + 2 * j + side) =
              X.col(i) + (side == 0 ? step[i] : -step[i]) * DependentVector<Function>::Unit(d, j);
    }
    energy.values_and_scores(stencil, f, S);
  };
  for (int iteration = 0; iteration < 60; ++iteration) {
    look();
    bool any = false;
    for (Index i = 0; i < count; ++i) {
      trial.col(i) = X.col(i);
      if (settled[static_cast<std::size_t>(i)]) continue;
      const DependentVector<Function> s = S.col(i * (2 * d + 1));
      hessian(i, H);
      if (!s.allFinite() || !H.allFinite() || s.norm() == 0) {
        settled[static_cast<std::size_t>(i)] = 1;
        continue;
      }
      // (H + λ I) p = s with the least λ that makes it positive definite and ‖p‖ ≤ radius
      double lambda = 0;
      DependentVector<Function> p;
      for (int tries = 0; tries < 60; ++tries) {
        Eigen::LLT<DependentMatrix<Function>> factor(H + lambda * DependentMatrix<Function>::Identity(d, d));
        if (factor.info() == Eigen::Success) {
          p = factor.solve(s);
          if (p.allFinite() && p.norm() <= radius[i]) break;
        }
        lambda = std::max(4 * lambda, std::max(1e-3 * H.diagonal().cwiseAbs().maxCoeff(), 1e-3 * s.norm() / radius[i]));
      }
      if (!p.allFinite() || p.size() == 0) p = s * (radius[i] / s.norm());
      settled[static_cast<std::size_t>(i)] = s.dot(p) < 1e-12;
      trial.col(i) += p;
      any = true;
    }
    if (!any) break;
    energy.values(trial, trial_f);
    for (Index i = 0; i < count; ++i) {
      const double length = (trial.col(i) - X.col(i)).norm();
      if (trial_f[i] < at[i]) {
        X.col(i) = trial.col(i);
        at[i] = trial_f[i];
        if (length > 0.5 * radius[i]) radius[i] *= 3;
      } else if (length > 0) {
        radius[i] = 0.25 * std::min(radius[i], length);
        if (radius[i] < 1e-13 * (1 + X.col(i).norm())) settled[static_cast<std::size_t>(i)] = 1;
      }
    }
  }
  radius.setOnes();
  look();

  std::vector<Index> sorted(static_cast<std::size_t>(count));
  for (Index i = 0; i < count; ++i) sorted[static_cast<std::size_t>(i)] = i;
  std::stable_sort(sorted.begin(), sorted.end(), [&](Index a, Index b) { return at[a] < at[b]; });
  std::vector<Mode> modes;
  for (const Index i : sorted) {
    bool known = false;
    for (const Mode& mode : modes) {
      const DependentVector<Function> apart = X.col(i) - mode.point;
      Eigen::LLT<DependentMatrix<Function>> factor(mode.covariance);
      known = known || factor.matrixL().solve(apart).norm() < 0.5;
    }
    if (known) continue;
    Mode mode{X.col(i), at[i], DependentMatrix<Function>::Identity(d, d)};
    hessian(i, H);
    Eigen::LLT<DependentMatrix<Function>> factor(H);
    const bool curved = H.allFinite() && factor.info() == Eigen::Success;
    if (curved) mode.covariance = factor.solve(DependentMatrix<Function>::Identity(d, d));
    // Where f is not like a parabola (a kink, a fourth power, a flat valley) the widths speak instead of the Hessian.
    DependentVector<Function> width(d);
    bool like = curved && mode.covariance.allFinite();
    for (Index j = 0; j < d; ++j) {
      const double start = like && curved ? 1 / std::sqrt(H(j, j)) : 1.0;
      width[j] = width_along(energy, mode.point, mode.energy, DependentVector<Function>::Unit(d, j), start);
      like = like && width[j] < 4 * start && width[j] > 0.25 * start;
    }
    if (!like) {
      double least = 1;  // stands for the width of directions along which f is flat
      for (Index j = 0; j < d; ++j)
        if (std::isfinite(width[j])) least = std::min(least, width[j]);
      for (Index j = 0; j < d; ++j)
        if (!std::isfinite(width[j])) width[j] = least;
      mode.covariance = width.cwiseAbs2().asDiagonal();
    }
    Eigen::LLT<DependentMatrix<Function>> root(mode.covariance);
    mode.log_mass = -mode.energy + DependentMatrix<Function>(root.matrixL()).diagonal().array().log().sum() +
                    0.5 * static_cast<double>(d) * 1.8378770664093454836 /* log 2π */;
    modes.push_back(mode);
    if (static_cast<Index>(modes.size()) == most) break;
  }
  return modes;
}

/// The mean and covariance of the mixture of normal laws at the modes, each weighed by its mass.
template <class D = void>
void moments_of(const std::vector<Mode>& modes, DependentVector<D>& mean, DependentMatrix<D>& covariance) {
  double most = -std::numeric_limits<double>::infinity(), total = 0;
  for (const Mode& mode : modes) most = std::max(most, mode.log_mass);
  mean.setZero(modes.front().point.size());
  covariance.setZero(mean.size(), mean.size());
  for (const Mode& mode : modes) {
    const double mass = std::exp(mode.log_mass - most);
    total += mass;
    for (Index j = 0; j < mean.size(); ++j) mean[j] += mass * mode.point[j];
  }
  mean /= total;
  for (const Mode& mode : modes) {
    const DependentVector<D> apart = mode.point - mean;
    covariance += std::exp(mode.log_mass - most) / total * (mode.covariance + apart * apart.transpose());
  }
}

}  // namespace scorematch::likelihood
