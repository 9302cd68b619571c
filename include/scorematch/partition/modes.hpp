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

/// Where to look, and in which units: a place in the middle and a length for each coordinate.
struct Frame {
  Eigen::VectorXd middle, unit;
};

/// The mean and the standard deviations of `near` (d × n); without points the origin and 1. A coordinate in which the
/// points do not differ takes the least deviation of the others.
template <class D = void>
Frame frame_of(Index d, const DependentMatrix<D>& near) {
  Frame frame{DependentVector<D>::Zero(d), DependentVector<D>::Ones(d)};
  if (near.cols() == 0) return frame;
  double least = std::numeric_limits<double>::infinity();
  for (Index j = 0; j < d; ++j) {
    const double most = near.row(j).cwiseAbs().maxCoeff(), scale = most > 0 ? most : 1;  // squares do not overflow
    double mean = 0, squares = 0;
    for (Index i = 0; i < near.cols(); ++i) mean += near(j, i) / scale / static_cast<double>(near.cols());
    for (Index i = 0; i < near.cols(); ++i) squares += (near(j, i) / scale - mean) * (near(j, i) / scale - mean);
    frame.middle[j] = scale * mean;
    frame.unit[j] = scale * std::sqrt(squares / static_cast<double>(near.cols()));
    if (!(frame.unit[j] > 1e-13 * scale)) frame.unit[j] = 0;  // no more than the rounding of equal numbers
    if (frame.unit[j] > 0) least = std::min(least, frame.unit[j]);
  }
  for (Index j = 0; j < d; ++j)
    if (!(frame.unit[j] > 0)) frame.unit[j] = std::isfinite(least) ? least : 1;
  return frame;
}

/// Appends middle + root (2ᵏ e) for k = from … to, e along the axes, both ways (d ≤ 3), and in four random directions.
template <class D = void>
void add_shells(const DependentVector<D>& middle, const DependentMatrix<D>& root, int from, int to,
                std::vector<DependentVector<D>>& places) {
  const Index d = middle.size();
  Stream stream({0, Purpose::partition}, 0, std::uint64_t{1} << 38);
  for (int k = from; k <= to; ++k) {
    const double radius = std::ldexp(1.0, k);
    if (d <= 3)
      for (Index j = 0; j < d; ++j)
        for (const double sign : {-1.0, 1.0}) places.push_back(middle + sign * radius * root.col(j));
    for (int copy = 0; copy < 4; ++copy) {
      const DependentVector<D> direction = stream.normals(d);
      places.push_back(middle + radius / direction.norm() * (root * direction));
    }
  }
}

/// One place a column.
template <class D = void>
DependentMatrix<D> side_by_side(Index d, const std::vector<DependentVector<D>>& places) {
  DependentMatrix<D> all(d, static_cast<Index>(places.size()));
  for (Index i = 0; i < all.cols(); ++i) all.col(i) = places[static_cast<std::size_t>(i)];
  return all;
}

/// Points from which to look: the origin and places around it at distances from 1/8 to 2¹⁰; those in `near` (d × n, at
/// most 64 of them), and around their mean at 1/8 to 2¹⁰ of their deviations. d × any number.
template <class D = void>
DependentMatrix<D> places_to_look(Index d, const DependentMatrix<D>& near) {
  constexpr Index most_near = 64;
  std::vector<DependentVector<D>> places;
  places.push_back(DependentVector<D>::Zero(d));
  add_shells<D>(DependentVector<D>::Zero(d), DependentMatrix<D>::Identity(d, d), -3, 10, places);
  if (near.cols() > 0) {
    const Frame frame = frame_of<D>(d, near);
    places.push_back(frame.middle);
    add_shells<D>(frame.middle, frame.unit.asDiagonal(), -3, 10, places);
    for (Index i = 0, n = std::min(near.cols(), most_near); i < n; ++i) places.push_back(near.col(i * near.cols() / n));
  }
  return side_by_side<D>(d, places);
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

/// Whether a point lies within half a standard deviation of one of the modes.
template <class D = void>
bool is_known(const DependentVector<D>& point, const std::vector<Mode>& modes) {
  for (const Mode& mode : modes) {
    const DependentVector<D> scale = mode.covariance.diagonal().cwiseSqrt(), apart = point - mode.point;
    const Eigen::LLT<DependentMatrix<D>> factor(
        DependentMatrix<D>(scale.cwiseInverse().asDiagonal() * mode.covariance * scale.cwiseInverse().asDiagonal()));
    if (factor.matrixL().solve(DependentVector<D>(apart.cwiseQuotient(scale))).norm() < 0.5) return true;
  }
  return false;
}

/// Newton's method with a trust region from many places at once. An energy's natural unit of length along a coordinate
/// is that along which it changes by about 1: max(√|H_jj|, |∂f/∂x_j|) is its inverse, so that the regions, the steps of
/// the differences and what counts as a minimum know no units of x.
template <class Function>
class Descent {
  using MatrixXd = DependentMatrix<Function>;
  using VectorXd = DependentVector<Function>;

 public:
  struct Walker {
    VectorXd x, s, step;  ///< s = −∇f; the differences' steps
    MatrixXd H;
    double f = 0, radius = 0;
    bool settled = false, converged = false, merged = false;
    Index lowered = 0;  ///< steps that lowered f
    MatrixXd passed;    ///< d × 4: where it was before the last four of them
  };

  Descent(Function& energy, const VectorXd& unit) : energy_(energy), unit_(unit), d_(unit.size()) {}

  /// From the `most` lowest of the places (d × n); those whose energy is not finite are avoided.
  std::vector<Walker> from(const MatrixXd& places, Index most) {
    VectorXd f;
    energy_.values(places, f);
    std::vector<Index> order;
    for (Index i = 0; i < places.cols(); ++i)
      if (std::isfinite(f[i])) order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return f[a] < f[b]; });
    if (static_cast<Index>(order.size()) > most) order.resize(static_cast<std::size_t>(most));
    std::vector<Walker> walkers;
    for (const Index i : order) {
      Walker walker;
      walker.x = places.col(i);
      walker.f = f[i];
      walker.step = 1e-4 * unit_;
      walkers.push_back(walker);
    }
    for (int iteration = 0; iteration < 200; ++iteration) {
      std::vector<Walker*> active;
      for (Walker& walker : walkers)
        if (!walker.settled) active.push_back(&walker);
      if (active.empty()) break;
      look(active);
      advance(active, iteration == 0);
      merge(walkers);
    }
    return walkers;
  }

  /// Sets scores, Hessians and the steps that suit them.
  void look(std::vector<Walker*> walkers) {
    std::vector<char> grown(walkers.size(), 0);
    const Index stencil = 2 * d_ + 1;
    for (int round = 0; round < 10 && !walkers.empty(); ++round) {
      MatrixXd X(d_, static_cast<Index>(walkers.size()) * stencil), S;
      VectorXd f;
      for (std::size_t k = 0; k < walkers.size(); ++k) {
        const Walker& walker = *walkers[k];
        const Index first = static_cast<Index>(k) * stencil;
        for (Index column = 0; column < stencil; ++column) X.col(first + column) = walker.x;
        for (Index j = 0; j < d_; ++j) {
          X(j, first + 1 + 2 * j) += walker.step[j];
          X(j, first + 2 + 2 * j) -= walker.step[j];
        }
      }
      energy_.values_and_scores(X, f, S);
      std::vector<Walker*> again;
      std::vector<char> again_grown;
      for (std::size_t k = 0; k < walkers.size(); ++k) {
        Walker& walker = *walkers[k];
        const Index first = static_cast<Index>(k) * stencil;
        walker.s = S.col(first);
        walker.H.resize(d_, d_);
        bool unsuited = false;
        for (Index j = 0; j < d_; ++j) {
          const Index ahead = first + 1 + 2 * j, behind = ahead + 1;
          // the distance between the two points as they were rounded
          walker.H.col(j) = (S.col(behind) - S.col(ahead)) / (X(j, ahead) - X(j, behind));
          const double better = better_step(walker, j, walker.H(j, j), grown[k]);
          unsuited = unsuited || better != walker.step[j];
          walker.step[j] = better;
        }
        walker.H = (0.5 * (walker.H + walker.H.transpose())).eval();
        if (!unsuited) continue;
        again.push_back(&walker);
        again_grown.push_back(grown[k]);
      }
      walkers.swap(again);
      grown.swap(again_grown);
    }
  }

  /// The least step along coordinate j of which a difference of scores can be taken.
  static double least_step(const VectorXd& x, Index j) {
    return std::max(1e3 * std::numeric_limits<double>::epsilon() * std::abs(x[j]), 1e-280);
  }

  /// √|H_jj| or |s_j|, whichever is more, or 1/unit where f does not change at all.
  double inverse_length(const Walker& walker, Index j) const {
    const double length = std::max(std::sqrt(std::abs(walker.H(j, j))), std::abs(walker.s[j]));
    return std::isfinite(length) && length > 0 ? length : 1 / unit_[j];
  }

 private:
  // The step that suits a curvature found with the present one: a thousandth of the length over which f's slope
  // changes.
  double better_step(const Walker& walker, Index j, double curvature, char& grown) const {
    const double step = walker.step[j], least = least_step(walker.x, j);
    if (step < least) return least;
    if (!std::isfinite(walker.s[j])) return step;
    if (!std::isfinite(curvature)) return std::max(1e-3 * step, least);
    const double length = 1 / std::sqrt(std::abs(curvature));
    if (step > 0.02 * length) return std::max(1e-3 * length, least);
    if (grown) return step;
    const double wanted = curvature == 0 ? (walker.s[j] != 0 ? 0.1 / std::abs(walker.s[j]) : unit_[j]) : 1e-3 * length;
    if (!(step < 1e-3 * wanted) || !std::isfinite(wanted)) return step;
    grown = 1;  // once: of a fourth power's minimum every step finds another curvature
    return wanted;
  }

  // Walkers that come to where another one has ended go no further.
  static void merge(std::vector<Walker>& walkers) {
    for (Walker& walker : walkers) {
      if (walker.settled) continue;
      for (const Walker& end : walkers) {
        const VectorXd apart = walker.x - end.x;
        if (end.converged && apart.dot(end.H * apart) < 0.01) walker.settled = walker.merged = true;
      }
    }
  }

  static void remember(Walker& walker) {
    if (walker.lowered++ == 0) walker.passed = walker.x.replicate(1, 4);
    for (Index k = 0; k < 3; ++k) walker.passed.col(k) = VectorXd(walker.passed.col(k + 1));
    walker.passed.col(3) = walker.x;
  }

  void advance(const std::vector<Walker*>& walkers, bool first) {
    const Index n = static_cast<Index>(walkers.size());
    MatrixXd trial(d_, n), P(d_, n);
    VectorXd predicted(n), length(n), scale(d_), f;
    for (Index i = 0; i < n; ++i) {
      Walker& walker = *walkers[static_cast<std::size_t>(i)];
      trial.col(i) = walker.x;
      length[i] = 0;
      if (!walker.s.allFinite() || !walker.H.allFinite()) {
        walker.settled = true;
        continue;
      }
      for (Index j = 0; j < d_; ++j) scale[j] = inverse_length(walker, j);
      VectorXd p = newton_step(walker, scale, first);
      predicted[i] = 0.5 * walker.s.dot(p);
      const bool convex = regularised_ == 0;
      // Below that decrease the place is within 10⁻⁶ standard deviations of the minimum, or f is at its rounding.
      const double rounding = 4 * std::numeric_limits<double>::epsilon() * std::abs(walker.f);
      if (predicted[i] < 1e-12 || (convex && predicted[i] < rounding)) {
        if (convex) {
          walker.settled = walker.converged = true;
        } else if (walker.H.isZero(0)) {
          walker.settled = true;  // flat: nowhere to go
        } else {                  // at a saddle or on a crest: off it
          p = 0.1 * downhill(walker.H, scale);
        }
        if (walker.settled) continue;
      }
      length[i] = p.cwiseProduct(scale).norm();
      P.col(i) = p;
      trial.col(i) += p;
    }
    energy_.values(trial, f);
    for (Index i = 0; i < n; ++i) {
      Walker& walker = *walkers[static_cast<std::size_t>(i)];
      if (walker.settled) continue;
      if (f[i] < walker.f && std::isfinite(f[i])) {
        const bool as_predicted = walker.f - f[i] > 0.3 * predicted[i];
        remember(walker);
        walker.x = trial.col(i);
        walker.f = f[i];
        if (as_predicted) walker.radius = std::max(walker.radius, 3 * length[i]);
        if (walker.x.cwiseAbs().maxCoeff() > 1e150) walker.settled = true;  // it falls without bound
      } else {
        walker.radius = 0.25 * std::min(walker.radius, length[i]);
        bool moves = false;
        for (Index j = 0; j < d_; ++j) moves = moves || std::abs(P(j, i)) > 4e-16 * std::abs(walker.x[j]);
        // A kink, or f at its rounding: no step lowers it.
        if (walker.radius < 1e-10 || !moves) walker.settled = walker.converged = true;
      }
    }
  }

  // About the direction of the least curvature, of length 1 in units of 1/scale: power iteration.
  VectorXd downhill(const MatrixXd& H, const VectorXd& scale) const {
    const MatrixXd scaled = scale.cwiseInverse().asDiagonal() * H * scale.cwiseInverse().asDiagonal();
    const double bound = scaled.norm();
    VectorXd v(d_);
    for (Index j = 0; j < d_; ++j) v[j] = 1 + 0.1 * static_cast<double>(j % 7);
    for (int k = 0; k < 60; ++k) v = VectorXd(bound * v - scaled * v).normalized();
    return v.cwiseQuotient(scale);
  }

  // (H + λ diag(scale²)) p = s with the least λ that makes it positive definite and ‖p‖ ≤ radius in units of 1/scale.
  // Where the first place is in a bowl, the region is as large as its step.
  VectorXd newton_step(Walker& walker, const VectorXd& scale, bool first) {
    const MatrixXd H = scale.cwiseInverse().asDiagonal() * walker.H * scale.cwiseInverse().asDiagonal();
    const VectorXd s = walker.s.cwiseQuotient(scale);
    regularised_ = 0;
    if (first) walker.radius = std::numeric_limits<double>::infinity();
    for (int tries = 0; tries < 80; ++tries) {
      const Eigen::LLT<MatrixXd> factor(H + regularised_ * MatrixXd::Identity(d_, d_));
      if (factor.info() == Eigen::Success) {
        const VectorXd p = factor.solve(s);
        if (p.allFinite() && p.norm() <= walker.radius) {
          if (first) walker.radius = std::max(1.0, p.norm());
          return p.cwiseQuotient(scale);
        }
      }
      if (first && tries == 0) walker.radius = 1;
      regularised_ = std::max(4 * regularised_, 1e-3);
    }
    return (std::min(walker.radius, s.norm()) / std::max(s.norm(), 1e-300) * s).cwiseQuotient(scale);
  }

  Function& energy_;
  VectorXd unit_;
  Index d_;
  double regularised_ = 0;  // λ of the last step
};

/// The minima that a search came to.
struct Modes {
  std::vector<Mode> found;  ///< lowest first, those apart; if no place led to one, the lowest place reached
  bool converged = true;    ///< they are minima
  /// Where the search was still going down from below all minima when it lost the numbers or its patience: its last
  /// places, d × 5, the lowest last. Else empty.
  Eigen::MatrixXd falling;
};

/// Whether f at some corner of the box of a mode's standard deviations is of the order of a parabola's, d/2.
template <class Function>
bool is_like_a_bowl(Function& energy, const Mode& mode) {
  const Index d = mode.point.size(), corners = d <= 3 ? Index{1} << d : 8;
  const DependentMatrix<Function> root = Eigen::LLT<DependentMatrix<Function>>(mode.covariance).matrixL();
  DependentMatrix<Function> X(d, corners);
  DependentVector<Function> signs(d), f;
  for (Index corner = 0; corner < corners; ++corner) {
    for (Index j = 0; j < d; ++j) signs[j] = (corner >> (j % 3) & 1) != 0 ? 1 : -1;
    X.col(corner) = mode.point + root * signs;
  }
  energy.values(X, f);
  return f.minCoeff() - mode.energy < 100 * static_cast<double>(d);
}

/// The minima of f near the places given (d × n), at most `most`; none where f is not finite at any place. `unit`: a
/// length for each coordinate, where f itself tells none. `energy` offers values and values_and_scores.
template <class Function>
Modes find_modes(Function& energy, const DependentMatrix<Function>& places, const DependentVector<Function>& unit,
                 Index most) {
  using Walker = typename Descent<Function>::Walker;
  const Index d = places.rows();
  Modes modes;
  Descent<Function> descent(energy, unit);
  std::vector<Walker> walkers = descent.from(places, 2 * std::min(most, places.cols()));
  std::stable_sort(walkers.begin(), walkers.end(), [](const Walker& a, const Walker& b) { return a.f < b.f; });
  std::vector<Walker*> ends;
  for (Walker& walker : walkers)
    if (walker.converged) ends.push_back(&walker);
  if (ends.empty() && !walkers.empty()) {  // then none has merged either
    ends.push_back(&walkers.front());
    modes.converged = false;
  }
  for (const Walker& walker : walkers) {
    if (walker.merged) continue;
    if (walker.converged || walker.lowered < 4) break;
    modes.falling.resize(d, 5);
    for (Index k = 0; k < 4; ++k) modes.falling.col(k) = walker.passed.col(k);
    modes.falling.col(4) = walker.x;
    break;
  }
  descent.look(ends);
  for (const Walker* end : ends) {
    if (is_known<Function>(end->x, modes.found)) continue;
    Mode mode{end->x, end->f, DependentMatrix<Function>::Identity(d, d)};
    DependentVector<Function> scale(d), width(d);
    for (Index j = 0; j < d; ++j) scale[j] = descent.inverse_length(*end, j);
    // In units in which the diagonal is 1: a factorisation knows no units, but what under- and overflows does.
    Eigen::LLT<DependentMatrix<Function>> factor(
        DependentMatrix<Function>(scale.cwiseInverse().asDiagonal() * end->H * scale.cwiseInverse().asDiagonal()));
    const bool curved = end->H.allFinite() && factor.info() == Eigen::Success;
    if (curved)
      mode.covariance = scale.cwiseInverse().asDiagonal() *
                        DependentMatrix<Function>(factor.solve(DependentMatrix<Function>::Identity(d, d))) *
                        scale.cwiseInverse().asDiagonal();
    // Where f is not like a parabola (a kink, a fourth power, a flat valley) the widths speak instead of the Hessian.
    bool like = curved && mode.covariance.allFinite();
    for (Index j = 0; j < d; ++j) {
      // not less than the numbers there are apart, or f would seem flat
      const double start = std::max(curved ? 1 / std::sqrt(end->H(j, j)) : 1 / scale[j],
                                    4 * std::numeric_limits<double>::epsilon() * std::abs(mode.point[j]));
      width[j] = width_along(energy, mode.point, mode.energy, DependentVector<Function>::Unit(d, j), start);
      like = like && width[j] < 4 * start && width[j] > 0.25 * start && start * start * end->H(j, j) < 1.1;
    }
    if (like && d > 1) like = is_like_a_bowl(energy, mode);
    if (!like) {
      double least = std::numeric_limits<double>::infinity();  // stands for directions along which f is flat
      for (Index j = 0; j < d; ++j) least = std::min(least, width[j] / unit[j]);
      if (!std::isfinite(least)) least = 1;
      for (Index j = 0; j < d; ++j)
        if (!std::isfinite(width[j])) width[j] = least * unit[j];
      // A valley that is wide only at its bottom (x²(1 + y⁴)) is as wide as a standard deviation up its side.
      DependentVector<Function> narrow = width, f;
      for (Index i = 0; i < d; ++i) {
        const DependentVector<Function> up = mode.point + width[i] * DependentVector<Function>::Unit(d, i);
        energy.values(up, f);
        for (Index j = 0; j < d && std::isfinite(f[0]); ++j)
          if (j != i && width[i] / unit[i] < width[j] / unit[j])
            narrow[j] =
                std::min(narrow[j], width_along(energy, up, f[0], DependentVector<Function>::Unit(d, j), width[j]));
      }
      mode.covariance = narrow.cwiseAbs2().asDiagonal();
    }
    const DependentVector<Function> deviation = mode.covariance.diagonal().cwiseSqrt();
    const Eigen::LLT<DependentMatrix<Function>> root(DependentMatrix<Function>(
        deviation.cwiseInverse().asDiagonal() * mode.covariance * deviation.cwiseInverse().asDiagonal()));
    mode.log_mass = -mode.energy + deviation.array().log().sum() +
                    DependentMatrix<Function>(root.matrixL()).diagonal().array().log().sum() +
                    0.5 * static_cast<double>(d) * 1.8378770664093454836 /* log 2π */;
    modes.found.push_back(mode);
    if (static_cast<Index>(modes.found.size()) == most) break;
  }
  return modes;
}

/// Adds those of `more` that are none of `modes`, lowest first, at most `most` in all; whether there were any.
template <class D = void>
bool add_modes(const std::vector<Mode>& more, Index most, std::vector<Mode>& modes) {
  const std::size_t before = modes.size();
  for (const Mode& mode : more) {
    if (static_cast<Index>(modes.size()) >= most) break;
    if (!is_known<D>(mode.point, modes)) modes.push_back(mode);
  }
  std::stable_sort(modes.begin(), modes.end(), [](const Mode& a, const Mode& b) { return a.energy < b.energy; });
  return modes.size() > before;
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
