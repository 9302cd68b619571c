// Where the mass of exp(−f) lies: the minima of an energy and the widths there.
#pragma once

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "scorematch/mode/descent.hpp"
#include "scorematch/mode/places_to_look.hpp"
#include "scorematch/types.hpp"

namespace scorematch::likelihood {

/// A minimum of f, and the covariance of the normal law that is like exp(−f) there.
struct Mode {
  Eigen::VectorXd point;
  double energy = 0;
  Eigen::MatrixXd covariance;
  double log_mass = 0;  ///< −f + ½ log det(2π covariance), Laplace's estimate of the log of its share of Z
};

/// Narrows down how far to one side of a point f has risen by ½.
class Reach {
 public:
  Reach(double start, double longest) : distance_(start), longest_(longest) {}

  double distance() const { return distance_; }
  bool found() const { return found_; }

  /// By how much f has risen at the present distance.
  void see(double rise) {
    if (found_) return;
    const bool above = !(rise < 0.5);
    (above ? seen_above_ : seen_below_) = true;
    const bool flat = !above && distance_ >= longest_;
    found_ = (seen_above_ && seen_below_) || flat;
    if (flat) distance_ = std::numeric_limits<double>::infinity();
    if (!found_) distance_ *= above ? 0.5 : 2.0;
  }

 private:
  double distance_, longest_;
  bool seen_above_ = false, seen_below_ = false, found_ = false;
};

/// How far from x one must go along ±direction for f to rise by ½, the mean of both sides; +∞ if it does not before
/// `far` times the start.
template <class Function, class T>
double width_along(Function& energy, const Vector<T>& x, double f, const Vector<T>& direction, double start,
                   double far = 1e15) {
  Matrix<T> ends(x.size(), 2);
  Vector<T> values;
  Reach ahead(start, far * start), behind = ahead;
  for (int round = 0; round < 120 && !(ahead.found() && behind.found()); ++round) {
    ends.col(0) = x + ahead.distance() * direction;
    ends.col(1) = x + -behind.distance() * direction;
    energy.values(ends, values);
    ahead.see(values[0] - f);
    behind.see(values[1] - f);
  }
  return 0.5 * (ahead.distance() + behind.distance());
}

/// Whether a point lies within half a standard deviation of one of the modes.
template <class T>
bool is_known(const Vector<T>& point, const std::vector<Mode>& modes) {
  for (const Mode& mode : modes) {
    const Vector<T> scale = mode.covariance.diagonal().cwiseSqrt(), apart = point - mode.point;
    const Eigen::LLT<Matrix<T>> factor(
        Matrix<T>(scale.cwiseInverse().asDiagonal() * mode.covariance * scale.cwiseInverse().asDiagonal()));
    if (factor.matrixL().solve(Vector<T>(apart.cwiseQuotient(scale))).norm() < 0.5) return true;
  }
  return false;
}

/// The minima that a search came to.
struct Minima {
  std::vector<Mode> found;  ///< lowest first, those apart; if no place led to one, the lowest place reached
  bool converged = true;    ///< they are minima
  /// Where the search was still going down from below all minima when it lost the numbers or its patience: its last
  /// places, d × 5, the lowest last. Else empty.
  Eigen::MatrixXd falling;
};

/// Searches for the minima of f and measures the mass at each: by the Hessian where f is like a parabola, else by how
/// far one must go for f to rise.
template <class Function, class T>
class ModeSearch {
  using Walker = typename Descent<Function, T>::Walker;

 public:
  ModeSearch(Function& energy, const Vector<T>& unit)
      : energy_(energy), unit_(unit), d_(unit.size()), descent_(energy, unit) {}

  /// From places (d × n); at most `most` minima.
  Minima run(const Matrix<T>& places, Index most) {
    Minima modes;
    std::vector<Walker> walkers = descent_.from(places, 2 * std::min(most, places.cols()));
    std::stable_sort(walkers.begin(), walkers.end(), [](const Walker& a, const Walker& b) { return a.f < b.f; });
    std::vector<Walker*> ends;
    for (Walker& walker : walkers)
      if (walker.converged) ends.push_back(&walker);
    if (ends.empty() && !walkers.empty()) {  // then none has merged either
      ends.push_back(&walkers.front());
      modes.converged = false;
    }
    modes.falling = last_places_of_a_fall(walkers);
    descent_.look(ends);
    for (const Walker* end : ends) {
      if (is_known(end->x, modes.found)) continue;
      modes.found.push_back(mode_at(*end));
      if (static_cast<Index>(modes.found.size()) == most) break;
    }
    return modes;
  }

 private:
  struct Widths {
    Vector<T> along_axes;
    bool as_curved;  // they are those of the parabola that the Hessian describes
  };

  // Of the lowest walker, if it is below all minima and was going down to the last.
  static Matrix<T> last_places_of_a_fall(const std::vector<Walker>& walkers) {
    Matrix<T> falling;
    const auto lowest =
        std::find_if(walkers.begin(), walkers.end(), [](const Walker& walker) { return !walker.merged; });
    if (lowest == walkers.end() || lowest->converged || lowest->lowered < 4) return falling;
    falling.resize(lowest->x.size(), 5);
    for (Index k = 0; k < 4; ++k) falling.col(k) = lowest->passed.col(k);
    falling.col(4) = lowest->x;
    return falling;
  }

  Mode mode_at(const Walker& end) {
    Mode mode{end.x, end.f, Matrix<T>::Identity(d_, d_)};
    const Vector<T> scale = descent_.inverse_lengths(end);
    const std::optional<Matrix<T>> inverse = inverse_hessian(end, scale);
    if (inverse) mode.covariance = *inverse;
    Widths widths = widths_at(mode, end, scale, inverse.has_value());
    // Where f is not like a parabola (a kink, a fourth power, a flat valley) the widths speak instead of the Hessian.
    bool like = widths.as_curved;
    if (like && d_ > 1) like = is_like_a_bowl(mode);
    if (!like) mode.covariance = covariance_by_widths(mode, widths.along_axes);
    mode.log_mass = laplace_log_mass(mode);
    return mode;
  }

  // In units in which the diagonal is 1: a factorisation knows no units, but what under- and overflows does. None where
  // H is not positive definite.
  std::optional<Matrix<T>> inverse_hessian(const Walker& end, const Vector<T>& scale) const {
    const Eigen::LLT<Matrix<T>> factor(
        Matrix<T>(scale.cwiseInverse().asDiagonal() * end.H * scale.cwiseInverse().asDiagonal()));
    if (!end.H.allFinite() || factor.info() != Eigen::Success) return {};
    return Matrix<T>(scale.cwiseInverse().asDiagonal() * Matrix<T>(factor.solve(Matrix<T>::Identity(d_, d_))) *
                     scale.cwiseInverse().asDiagonal());
  }

  Widths widths_at(const Mode& mode, const Walker& end, const Vector<T>& scale, bool curved) {
    Widths widths{Vector<T>(d_), curved && mode.covariance.allFinite()};
    for (Index j = 0; j < d_; ++j) {
      // not less than the numbers there are apart, or f would seem flat
      const double start = std::max(curved ? 1 / std::sqrt(end.H(j, j)) : 1 / scale[j],
                                    4 * std::numeric_limits<double>::epsilon() * std::abs(mode.point[j]));
      const double width = width_along(energy_, mode.point, mode.energy, axis(j), start);
      widths.along_axes[j] = width;
      widths.as_curved =
          widths.as_curved && width < 4 * start && width > 0.25 * start && start * start * end.H(j, j) < 1.1;
    }
    return widths;
  }

  // Whether f at some corner of the box of a mode's standard deviations is of the order of a parabola's, d/2.
  bool is_like_a_bowl(const Mode& mode) {
    const Index corners = d_ <= 3 ? Index{1} << d_ : 8;
    const Matrix<T> root = Eigen::LLT<Matrix<T>>(mode.covariance).matrixL();
    Matrix<T> X(d_, corners);
    Vector<T> signs(d_), f;
    for (Index corner = 0; corner < corners; ++corner) {
      for (Index j = 0; j < d_; ++j) signs[j] = (corner >> (j % 3) & 1) != 0 ? 1 : -1;
      X.col(corner) = mode.point + root * signs;
    }
    energy_.values(X, f);
    return f.minCoeff() - mode.energy < 100 * static_cast<double>(d_);
  }

  Matrix<T> covariance_by_widths(const Mode& mode, Vector<T> width) {
    double least = std::numeric_limits<double>::infinity();  // stands for directions along which f is flat
    for (Index j = 0; j < d_; ++j) least = std::min(least, width[j] / unit_[j]);
    if (!std::isfinite(least)) least = 1;
    for (Index j = 0; j < d_; ++j)
      if (!std::isfinite(width[j])) width[j] = least * unit_[j];
    return widths_up_the_sides(mode, width).cwiseAbs2().asDiagonal();
  }

  // A valley that is wide only at its bottom (x²(1 + y⁴)) is as wide as a standard deviation up its side.
  Vector<T> widths_up_the_sides(const Mode& mode, const Vector<T>& width) {
    Vector<T> narrow = width, f;
    for (Index i = 0; i < d_; ++i) {
      const Vector<T> up = mode.point + width[i] * axis(i);
      energy_.values(up, f);
      if (!std::isfinite(f[0])) continue;
      for (Index j = 0; j < d_; ++j)
        if (j != i && width[i] / unit_[i] < width[j] / unit_[j])
          narrow[j] = std::min(narrow[j], width_along(energy_, up, f[0], axis(j), width[j]));
    }
    return narrow;
  }

  double laplace_log_mass(const Mode& mode) const {
    constexpr double log_two_pi = 1.8378770664093454836;
    const Vector<T> deviation = mode.covariance.diagonal().cwiseSqrt();
    const Eigen::LLT<Matrix<T>> root(
        Matrix<T>(deviation.cwiseInverse().asDiagonal() * mode.covariance * deviation.cwiseInverse().asDiagonal()));
    return -mode.energy + deviation.array().log().sum() + Matrix<T>(root.matrixL()).diagonal().array().log().sum() +
           0.5 * static_cast<double>(d_) * log_two_pi;
  }

  Vector<T> axis(Index j) const { return Vector<T>::Unit(d_, j); }

  Function& energy_;
  Vector<T> unit_;
  Index d_;
  Descent<Function, T> descent_;
};

/// The minima of f near the places given (d × n), at most `most`; none where f is not finite at any place. `unit`: a
/// length for each coordinate, where f itself tells none. `energy` offers values and values_and_scores.
template <class Function, class T>
Minima find_minima(Function& energy, const Matrix<T>& places, const Vector<T>& unit, Index most) {
  return ModeSearch<Function, T>(energy, unit).run(places, most);
}

/// Adds those of `more` that are none of `modes`, lowest first, at most `most` in all; whether there were any.
template <class T = double>
bool add_modes(const std::vector<Mode>& more, Index most, std::vector<Mode>& modes) {
  const std::size_t before = modes.size();
  for (const Mode& mode : more) {
    if (static_cast<Index>(modes.size()) >= most) break;
    if (!is_known<T>(mode.point, modes)) modes.push_back(mode);
  }
  std::stable_sort(modes.begin(), modes.end(), [](const Mode& a, const Mode& b) { return a.energy < b.energy; });
  return modes.size() > before;
}

/// The mean and covariance of the mixture of normal laws at the modes, each weighed by its mass.
template <class T>
void moments_of(const std::vector<Mode>& modes, Vector<T>& mean, Matrix<T>& covariance) {
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
    const Vector<T> apart = mode.point - mean;
    covariance += std::exp(mode.log_mass - most) / total * (mode.covariance + apart * apart.transpose());
  }
}

}  // namespace scorematch::likelihood
