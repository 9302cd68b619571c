// From many places at once down to the minima of an energy.
#pragma once

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "scorematch/types.hpp"

namespace scorematch::likelihood {

/// Newton's method with a trust region from many places at once. An energy's natural unit of length along a coordinate
/// is that along which it changes by about 1: max(√|H_jj|, |∂f/∂x_j|) is its inverse, so that the regions, the steps of
/// the differences and what counts as a minimum know no units of x.
template <class Function, class T>
class Descent {
 public:
  struct Walker {
    Vector<T> x, s, step;  ///< s = −∇f; the differences' steps
    Matrix<T> H;
    double f = 0, radius = 0;
    bool settled = false, converged = false, merged = false;
    bool step_grown = false;  ///< since it was last looked from here
    Index lowered = 0;        ///< steps that lowered f
    Matrix<T> passed;         ///< d × 4: where it was before the last four of them
  };

  /// How finely steps fill the region. Coarse: by factors of 4, and at most a thousand lengths; on long slopes steps
  /// then stop growing, which tells log Z's tails nothing new. Fine: by factors below that by which regions grow.
  enum class Damping { coarse, fine };

  Descent(Function& energy, const Vector<T>& unit, Damping damping = Damping::coarse)
      : energy_(energy), unit_(unit), d_(unit.size()), damping_(damping) {}

  /// From the `most` lowest of the places (d × n); those whose energy is not finite are avoided.
  std::vector<Walker> from(const Matrix<T>& places, Index most) {
    std::vector<Walker> walkers = set_out(places, most);
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
    for (Walker* walker : walkers) walker->step_grown = false;
    if constexpr (requires { energy_.exact_curvature(); })
      if (energy_.exact_curvature()) return look_exactly(walkers);
    Matrix<T> X, S;
    Vector<T> f;
    for (int round = 0; round < 10 && !walkers.empty(); ++round) {
      lay_out_stencils(walkers, X);
      energy_.values_and_scores(X, f, S);
      std::vector<Walker*> again;
      for (std::size_t k = 0; k < walkers.size(); ++k)
        if (!take_differences(*walkers[k], X, S, static_cast<Index>(k) * stencil())) again.push_back(walkers[k]);
      walkers.swap(again);
    }
  }

  /// Along each coordinate √|H_jj| or |s_j|, whichever is more, or 1/unit where f does not change at all.
  Vector<T> inverse_lengths(const Walker& walker) const {
    Vector<T> inverse(d_);
    for (Index j = 0; j < d_; ++j) {
      const double length = std::max(std::sqrt(std::abs(walker.H(j, j))), std::abs(walker.s[j]));
      inverse[j] = std::isfinite(length) && length > 0 ? length : 1 / unit_[j];
    }
    return inverse;
  }

 private:
  // Where a walker would go, how far that is in units of its lengths, and by how much f would fall.
  struct Move {
    Vector<T> step;
    double length = 0, predicted = 0;
  };
  struct NewtonStep {
    Vector<T> step;
    bool convex;  // H was positive definite, and its step within the region
  };

  std::vector<Walker> set_out(const Matrix<T>& places, Index most) {
    Vector<T> f;
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
    return walkers;
  }

  // Of an energy that knows its curvature along any direction: the Hessian itself in few dimensions; in more its
  // diagonal, by which the differences' steps are a hundredth of the length over which f's slope changes.
  void look_exactly(const std::vector<Walker*>& walkers) {
    constexpr Index few = 24;
    Matrix<T> X, S;
    Vector<T> f;
    for (Walker* walker : walkers) {
      if (d_ <= few) {
        energy_.values_and_scores(walker->x, f, S);
        walker->s = S.col(0);
        const Vector<T> lengths =
            walker->H.size() > 0 && walker->H.allFinite() ? inverse_lengths(*walker) : Vector<T>(unit_.cwiseInverse());
        walker->H = energy_.hessian(walker->x, lengths);
        continue;
      }
      const Vector<T> diagonal = energy_.curvatures_along_axes(walker->x, unit_);
      for (Index j = 0; j < d_; ++j) {
        const double length = 1 / std::sqrt(std::abs(diagonal[j]));
        if (std::isfinite(length)) walker->step[j] = std::max(1e-2 * length, least_step(walker->x, j));
      }
      lay_out_stencils({walker}, X);
      energy_.values_and_scores(X, f, S);
      take_differences(*walker, X, S, 0);
      for (Index j = 0; j < d_; ++j)
        if (std::isfinite(diagonal[j])) walker->H(j, j) = diagonal[j];
    }
  }

  Index stencil() const { return 2 * d_ + 1; }

  // Each walker's place, and those a step ahead and behind along each coordinate.
  void lay_out_stencils(const std::vector<Walker*>& walkers, Matrix<T>& X) const {
    X.resize(d_, static_cast<Index>(walkers.size()) * stencil());
    for (std::size_t k = 0; k < walkers.size(); ++k) {
      const Walker& walker = *walkers[k];
      const Index first = static_cast<Index>(k) * stencil();
      for (Index column = 0; column < stencil(); ++column) X.col(first + column) = walker.x;
      for (Index j = 0; j < d_; ++j) {
        X(j, first + 1 + 2 * j) += walker.step[j];
        X(j, first + 2 + 2 * j) -= walker.step[j];
      }
    }
  }

  // Score and Hessian from the stencil that begins at column `first`; whether its steps suited what was found.
  bool take_differences(Walker& walker, const Matrix<T>& X, const Matrix<T>& S, Index first) const {
    walker.s = S.col(first);
    walker.H.resize(d_, d_);
    bool suited = true;
    for (Index j = 0; j < d_; ++j) {
      const Index ahead = first + 1 + 2 * j, behind = ahead + 1;
      // the distance between the two points as they were rounded
      walker.H.col(j) = (S.col(behind) - S.col(ahead)) / (X(j, ahead) - X(j, behind));
      const double better = better_step(walker, j);
      suited = suited && better == walker.step[j];
      walker.step[j] = better;
    }
    walker.H = (0.5 * (walker.H + walker.H.transpose())).eval();
    return suited;
  }

  /// The least step along coordinate j of which a difference of scores can be taken.
  static double least_step(const Vector<T>& x, Index j) {
    return std::max(1e3 * std::numeric_limits<double>::epsilon() * std::abs(x[j]), 1e-280);
  }

  // The step that suits the curvature found with the present one: a thousandth of the length over which f's slope
  // changes.
  double better_step(Walker& walker, Index j) const {
    const double step = walker.step[j], curvature = walker.H(j, j), least = least_step(walker.x, j);
    if (step < least) return least;
    if (!std::isfinite(walker.s[j])) return step;
    if (!std::isfinite(curvature)) return std::max(1e-3 * step, least);
    const double length = 1 / std::sqrt(std::abs(curvature));
    if (step > 0.02 * length) return std::max(1e-3 * length, least);
    if (walker.step_grown) return step;
    const double wanted = curvature == 0 ? (walker.s[j] != 0 ? 0.1 / std::abs(walker.s[j]) : unit_[j]) : 1e-3 * length;
    if (!(step < 1e-3 * wanted) || !std::isfinite(wanted)) return step;
    walker.step_grown = true;  // once: of a fourth power's minimum every step finds another curvature
    return wanted;
  }

  // Walkers that come to where another one has ended go no further.
  static void merge(std::vector<Walker>& walkers) {
    for (Walker& walker : walkers) {
      if (walker.settled) continue;
      for (const Walker& end : walkers) {
        const Vector<T> apart = walker.x - end.x;
        if (end.converged && apart.dot(end.H * apart) < 0.01) walker.settled = walker.merged = true;
      }
    }
  }

  void advance(const std::vector<Walker*>& walkers, bool first) {
    Matrix<T> trials(d_, static_cast<Index>(walkers.size()));
    Vector<T> f;
    std::vector<Move> moves;
    for (std::size_t i = 0; i < walkers.size(); ++i) {
      Walker& walker = *walkers[i];
      moves.push_back(propose(walker, first));
      trials.col(static_cast<Index>(i)) = walker.x;
      if (!walker.settled) trials.col(static_cast<Index>(i)) += moves[i].step;
    }
    energy_.values(trials, f);
    for (std::size_t i = 0; i < walkers.size(); ++i) {
      const Index column = static_cast<Index>(i);
      if (!walkers[i]->settled) judge(*walkers[i], moves[i], trials.col(column), f[column]);
    }
  }

  // The next move of a walker; settles it where there is none.
  Move propose(Walker& walker, bool first) const {
    Move move;
    if (!walker.s.allFinite() || !walker.H.allFinite()) {
      walker.settled = true;
      return move;
    }
    const Vector<T> scale = inverse_lengths(walker);
    const NewtonStep newton = newton_step(walker, scale, first);
    move.step = newton.step;
    move.predicted = 0.5 * walker.s.dot(move.step);
    // Below that decrease the place is within 10⁻⁶ standard deviations of the minimum, or f is at its rounding.
    const double rounding = 4 * std::numeric_limits<double>::epsilon() * std::abs(walker.f);
    if (move.predicted < 1e-12 || (newton.convex && move.predicted < rounding)) {
      if (newton.convex) {
        walker.settled = walker.converged = true;
      } else if (walker.H.isZero(0)) {
        walker.settled = true;  // flat: nowhere to go
      } else {                  // at a saddle or on a crest: off it
        move.step = 0.1 * downhill(walker.H, scale);
      }
      if (walker.settled) return move;
    }
    move.length = move.step.cwiseProduct(scale).norm();
    return move;
  }

  // Goes where a move leads if f falls there, else makes the region smaller; settles the walker where no step helps.
  static void judge(Walker& walker, const Move& move, const Vector<T>& trial, double f) {
    if (f < walker.f && std::isfinite(f)) {
      const bool as_predicted = walker.f - f > 0.3 * move.predicted;
      remember_place(walker);
      walker.x = trial;
      walker.f = f;
      if (as_predicted) walker.radius = std::max(walker.radius, 3 * move.length);
      if (walker.x.cwiseAbs().maxCoeff() > 1e150) walker.settled = true;  // it falls without bound
      return;
    }
    walker.radius = 0.25 * std::min(walker.radius, move.length);
    bool moves = false;
    for (Index j = 0; j < walker.x.size(); ++j) moves = moves || std::abs(move.step[j]) > 4e-16 * std::abs(walker.x[j]);
    // A kink, or f at its rounding: no step lowers it.
    if (walker.radius < 1e-10 || !moves) walker.settled = walker.converged = true;
  }

  static void remember_place(Walker& walker) {
    if (walker.lowered++ == 0) walker.passed = walker.x.replicate(1, 4);
    for (Index k = 0; k < 3; ++k) walker.passed.col(k) = Vector<T>(walker.passed.col(k + 1));
    walker.passed.col(3) = walker.x;
  }

  // About the direction of the least curvature, of length 1 in units of 1/scale: power iteration.
  static Vector<T> downhill(const Matrix<T>& H, const Vector<T>& scale) {
    const Matrix<T> scaled = scale.cwiseInverse().asDiagonal() * H * scale.cwiseInverse().asDiagonal();
    const double bound = scaled.norm();
    Vector<T> v(scale.size());
    for (Index j = 0; j < v.size(); ++j) v[j] = 1 + 0.1 * static_cast<double>(j % 7);
    for (int k = 0; k < 60; ++k) v = Vector<T>(bound * v - scaled * v).normalized();
    return v.cwiseQuotient(scale);
  }

  // (H + λ diag(scale²)) p = s with the least λ that makes it positive definite and ‖p‖ ≤ radius in units of 1/scale.
  // Where the first place is in a bowl, the region is as large as its step.
  NewtonStep newton_step(Walker& walker, const Vector<T>& scale, bool first) const {
    const Matrix<T> H = scale.cwiseInverse().asDiagonal() * walker.H * scale.cwiseInverse().asDiagonal();
    const Vector<T> s = walker.s.cwiseQuotient(scale);
    double lambda = 0;
    if (first) walker.radius = std::numeric_limits<double>::infinity();
    for (int tries = 0; tries < (damping_ == Damping::coarse ? 80 : 160); ++tries) {
      const Eigen::LLT<Matrix<T>> factor(H + lambda * Matrix<T>::Identity(d_, d_));
      if (factor.info() == Eigen::Success) {
        const Vector<T> p = factor.solve(s);
        if (p.allFinite() && p.norm() <= walker.radius) {
          if (first) walker.radius = std::max(1.0, p.norm());
          return {p.cwiseQuotient(scale), lambda == 0};
        }
      }
      if (first && tries == 0) walker.radius = 1;
      lambda = damping_ == Damping::coarse
                   ? std::max(4 * lambda, 1e-3)
                   : std::max({2 * lambda, std::min(1e-3, 0.5 * s.norm() / walker.radius), 1e-16});
    }
    return {(std::min(walker.radius, s.norm()) / std::max(s.norm(), 1e-300) * s).cwiseQuotient(scale), false};
  }

  Function& energy_;
  Vector<T> unit_;
  Index d_;
  Damping damping_;
};

}  // namespace scorematch::likelihood
