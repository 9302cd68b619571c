// The search behind find_modes: starts, descent, and the judgement of each end.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/mode/descent.hpp"
#include "scorematch/mode/hessian.hpp"
#include "scorematch/mode/modes_result.hpp"
#include "scorematch/mode/places_to_look.hpp"
#include "scorematch/model/energy_function.hpp"
#include "scorematch/random/normal.hpp"
#include "scorematch/types.hpp"

namespace scorematch::likelihood {

/// Which coordinate keeps the energy at x from being finite: one whose change alone makes it so, else one with a score
/// that is not finite. In words: "the energy is nan; it is finite if coordinate 2, there −1, is 1".
template <class T>
std::string what_is_not_finite(EnergyFunction<T>& energy, const Vector<T>& x) {
  const Index d = x.size();
  constexpr Index tries = 6;
  Matrix<T> X = x.replicate(1, d * tries), S;
  for (Index j = 0; j < d; ++j) {
    const double there = x[j], others[tries] = {-there, 0, 1, -1, 1e-3 * there, 0.5};
    for (Index k = 0; k < tries; ++k) X(j, j * tries + k) = others[k];
  }
  Vector<T> f, moved;
  energy.values_and_scores(x, f, S);
  energy.values(X, moved);
  const std::string so = std::isfinite(f[0]) ? detail::text("the energy is ", f[0], ", but its score is not finite")
                                             : detail::text("the energy is ", f[0]);
  if (!std::isfinite(f[0]))
    for (Index i = 0; i < moved.size(); ++i)
      if (std::isfinite(moved[i]))
        return detail::text(so, "; it is finite if coordinate ", i / tries, ", there ", x[i / tries], ", is ",
                            X(i / tries, i));
  for (Index j = 0; j < d; ++j)
    if (!std::isfinite(S(j, 0)))
      return detail::text(so, "; the score of coordinate ", j, ", there ", x[j], ", is ", S(j, 0));
  return detail::text(so, "; no coordinate alone is the cause");
}

template <class T>
class ModeFinder {
  using Search = Descent<CurvedEnergy<T, EnergyFunction<T>>, T>;
  using Walker = typename Search::Walker;

 public:
  ModeFinder(EnergyFunction<T>& energy, const ModesOptions& options, bool exact)
      : energy_(energy), options_(options), exact_(exact), d_(energy.dimension()) {
    options.validate();
    if (options.starts.size() > 0) extend::require_samples<double>(options.starts, d_, "ModesOptions: starts");
  }

  Modes run() {
    const Matrix<T> places = options_.starts.size() > 0 ? finite_of(options_.starts) : own_places();
    modes_.starts = places.cols();
    if (places.cols() == 0) {
      modes_.status = ModesStatus::non_finite;
      modes_.evidence = bad_start_;
    } else {
      const Vector<T> unit = frame_of<T>(d_, Matrix<T>(options_.starts)).unit;
      CurvedEnergy<T, EnergyFunction<T>> curved(energy_, exact_);
      Search search(curved, unit, Search::Damping::fine);
      std::vector<Walker> walkers = search.from(places, places.cols());
      std::stable_sort(walkers.begin(), walkers.end(), [](const Walker& a, const Walker& b) { return a.f < b.f; });
      judge_ends(search, walkers);
      list_places();
      if (!fall_below(walkers)) judge_all();
      warn();
    }
    modes_.evaluations = energy_.evaluations();
    return std::move(modes_);
  }

 private:
  struct Place {
    Vector<T> x, s;
    double f = 0, decrement = std::numeric_limits<double>::quiet_NaN();
    ScaledHessian<T> H;
    ModeKind kind = ModeKind::unfinished;
    int visits = 1;
    std::string why;
  };

  // --- starts ---

  // Those with a finite energy and score; the first other one is described.
  Matrix<T> finite_of(const Matrix<T>& X) {
    Vector<T> f;
    Matrix<T> S, good(d_, X.cols());
    energy_.values_and_scores(X, f, S);
    Index count = 0;
    for (Index i = 0; i < X.cols(); ++i) {
      if (std::isfinite(f[i]) && S.col(i).allFinite()) {
        good.col(count++) = X.col(i);
        continue;
      }
      if (modes_.bad_starts++ == 0)
        bad_start_ = detail::text("start ", i, " (counted from 0): ", what_is_not_finite<T>(energy_, X.col(i)));
    }
    return good.leftCols(count);
  }

  // Draws of N(0, I) until enough have a finite energy, some of them mirrored to where all coordinates are positive, or
  // of another size; and the lowest places around the origin.
  Matrix<T> own_places() {
    const Index wanted = options_.random_starts > 0 ? options_.random_starts : std::clamp<Index>(800 / d_, 4, 16);
    constexpr std::uint64_t attempts = 60;
    std::vector<Vector<T>> places;
    Matrix<T> Z(wanted, d_);
    for (std::uint64_t attempt = 0; attempt < attempts && static_cast<Index>(places.size()) < wanted; ++attempt) {
      extend::fill_normals<double>({options_.seed, extend::Purpose::chain_start}, extend::Ids::from(0), wanted,
                                   attempt + (std::uint64_t{1} << 38), d_, Z.data(), wanted);
      constexpr double sizes[] = {1, 0.1, 10};
      Matrix<T> X = sizes[attempt / 2 % 3] * Z.transpose();
      if (attempt % 2 == 1) X = X.cwiseAbs().eval();
      const Index bad = modes_.bad_starts;
      const Matrix<T> good = finite_of(X);
      if (attempt > 0) modes_.bad_starts = bad;  // of the first draws alone: the others were never asked for
      for (Index i = 0; i < good.cols() && static_cast<Index>(places.size()) < wanted; ++i)
        places.push_back(good.col(i));
    }
    const Index bad = modes_.bad_starts;
    const Matrix<T> around = finite_of(places_to_look<T>(d_, Matrix<T>()));
    modes_.bad_starts = bad;
    add_lowest(around, std::max<Index>(1, wanted / 2), places);
    return side_by_side<T>(d_, places);
  }

  void add_lowest(const Matrix<T>& X, Index count, std::vector<Vector<T>>& places) {
    Vector<T> f;
    energy_.values(X, f);
    std::vector<Index> order;
    for (Index i = 0; i < X.cols(); ++i) order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return f[a] < f[b]; });
    for (Index i = 0; i < std::min(count, X.cols()); ++i) places.push_back(X.col(order[static_cast<std::size_t>(i)]));
  }

  // --- ends ---

  // Each end that no other has come to is looked at closely. Of those that are no minima the lowest suffices.
  void judge_ends(Search& search, std::vector<Walker>& walkers) {
    bool other = false;
    Index minima = 0;
    for (Walker& walker : walkers) {
      if (walker.merged || seen(walker)) continue;
      if (!walker.converged && other) continue;
      if (minima >= options_.most && walker.converged) {
        full_ = true;
        continue;
      }
      search.look({&walker});
      Place place = look_closely(search, walker);
      if (known(place)) continue;
      const bool minimum = place.kind == ModeKind::minimum;
      if (!minimum && other) continue;
      (minimum ? minima : count_) += 1;
      other = other || !minimum;
      places_.push_back(std::move(place));
    }
    for (const Walker& walker : walkers)
      if (walker.merged) seen(walker);
  }

  // Half a standard deviation by either's Hessian is the same place: ends agree to far less.
  static bool near(const Vector<T>& apart, const Matrix<T>& H) { return apart.dot(H * apart) < 0.25; }

  bool seen(const Walker& walker) {
    if (walker.H.size() == 0 || !walker.H.allFinite()) return false;
    for (Place& place : places_) {
      const Vector<T> apart = walker.x - place.x;
      if (!near(apart, place.H.matrix()) || !(walker.merged || near(apart, walker.H))) continue;
      ++place.visits;
      return true;
    }
    return false;
  }

  bool known(const Place& one) {
    for (Place& place : places_) {
      const Vector<T> apart = one.x - place.x;
      if (!near(apart, place.H.matrix()) || !near(apart, one.H.matrix())) continue;
      ++place.visits;
      return true;
    }
    return false;
  }

  ScaledHessian<T> hessian(const Vector<T>& x, const Vector<T>& inverse_length) {
    return exact_ ? exact_hessian(energy_, x, inverse_length) : hessian_by_differences(energy_, x, inverse_length);
  }

  Place look_closely(const Search& search, const Walker& walker) {
    Place place;
    place.x = walker.x;
    place.s = walker.s;
    place.f = walker.f;
    place.H = hessian(walker.x, search.inverse_lengths(walker));
    if (!place.H.finite() || !place.s.allFinite()) {
      place.why = "its score or curvature is not finite";
      return place;
    }
    if (place.H.positive_definite()) polish(place);
    judge(place, walker);
    return place;
  }

  // Newton's steps as long as they lower the decrement ½ sᵀH⁻¹s: the score sees what f's rounding hides.
  void polish(Place& place) {
    const Vector<T> from = place.x;
    place.decrement = 0.5 * place.s.dot(place.H.solve(place.s));
    if (!(place.decrement < 0.1)) return;
    for (int k = 0; k < 6 && place.decrement > 0; ++k) {
      const Vector<T> x = place.x + place.H.solve(place.s);
      Vector<T> f;
      Matrix<T> S;
      energy_.values_and_scores(x, f, S);
      const Vector<T> s = S.col(0);
      if (!std::isfinite(f[0]) || !s.allFinite()) break;
      const double decrement = 0.5 * s.dot(place.H.solve(s));
      if (!(decrement < place.decrement)) break;
      place.x = x;
      place.s = s;
      place.f = f[0];
      place.decrement = decrement;
    }
    const Vector<T> moved = (place.x - from).cwiseProduct(place.H.scale);
    if (!(moved.norm() > 1e-9)) return;
    ScaledHessian<T> there = hessian(place.x, place.H.scale);
    if (!there.finite() || !there.positive_definite()) return;
    place.H = std::move(there);
    place.decrement = 0.5 * place.s.dot(place.H.solve(place.s));
  }

  void judge(Place& place, const Walker& walker) {
    const Vector<T> slopes = place.s.cwiseQuotient(place.H.scale);
    if (!place.H.positive_definite()) {
      const bool still = slopes.norm() < 1e-4;
      place.kind = still ? ModeKind::singular : walker.converged ? ModeKind::kink : ModeKind::unfinished;
      place.why = still ? detail::text("the curvature is not positive definite: along a direction, mostly coordinate ",
                                       place.H.flattest_coordinate(), ", the energy is flat or bends down")
                        : not_zero(place, slopes);
    } else if (!(place.decrement < 1e-8) && !at_resolution(place)) {
      place.kind = walker.converged ? ModeKind::kink : ModeKind::unfinished;
      place.why = not_zero(place, slopes);
    } else {
      place.why = why_not_rising(place);
      place.kind = place.why.empty() ? ModeKind::minimum : ModeKind::unresolved;
    }
  }

  static std::string not_zero(const Place& place, const Vector<T>& slopes) {
    Index worst = 0;
    slopes.cwiseAbs().maxCoeff(&worst);
    return detail::text("the score of coordinate ", worst, " is ", place.s[worst],
                        " where the search ended: a kink, a score "
                        "that is not the energy's, or a long way still to go");
  }

  // Whether Newton's step is below what the numbers x_j resolve.
  static bool at_resolution(const Place& place) {
    const Vector<T> step = place.H.solve(place.s);
    for (Index j = 0; j < step.size(); ++j)
      if (!(std::abs(step[j]) <= 8 * std::numeric_limits<double>::epsilon() * std::abs(place.x[j])) &&
          !(std::abs(step[j]) * place.H.scale[j] < 1e-4))
        return false;
    return true;
  }

  // f must rise both ways along the columns of H^(−½) by at least a quarter of ½t², for some t from 0.3 to 0.01.
  std::string why_not_rising(const Place& place) {
    const Matrix<T> root = place.H.inverse_root();
    const double rounding = 8 * std::numeric_limits<double>::epsilon() * std::abs(place.f);
    Matrix<T> X(d_, 2 * d_);
    Vector<T> f;
    double rise = 0, t = 0;
    for (const double part : {0.3, 0.1, 0.03, 0.01}) {
      if (rounding > 0.05 * part * part) break;
      t = part;
      X.leftCols(d_) = (t * root).colwise() + place.x;
      X.rightCols(d_) = (-t * root).colwise() + place.x;
      energy_.values(X, f);
      rise = f.minCoeff() - place.f;
      if (rise > 0.125 * t * t && !f.hasNaN()) return {};
    }
    if (t == 0) return detail::text("the energy, ", place.f, ", is too large for its rise by ½ to be seen");
    return detail::text("the energy does not rise as its curvature says: at ", t, " standard deviations by ", rise,
                        " instead of ", 0.5 * t * t);
  }

  // --- the whole ---

  void list_places() {
    std::stable_sort(places_.begin(), places_.end(), [](const Place& a, const Place& b) { return a.f < b.f; });
    // A place that is no minimum counts only where it is the lowest.
    for (std::size_t k = places_.size(); k-- > 1;)
      if (places_[k].kind != ModeKind::minimum) places_.erase(places_.begin() + static_cast<std::ptrdiff_t>(k));
    const Index n = static_cast<Index>(places_.size());
    modes_.points.resize(d_, n);
    modes_.energies.resize(n);
    modes_.decrements.resize(n);
    modes_.visits.resize(n);
    for (Index k = 0; k < n; ++k) {
      const Place& place = places_[static_cast<std::size_t>(k)];
      modes_.points.col(k) = place.x;
      modes_.energies[k] = place.f;
      modes_.decrements[k] = place.decrement;
      modes_.visits[k] = place.visits;
      modes_.curvatures.push_back(place.H.matrix());
      modes_.kinds.push_back(place.kind);
    }
  }

  // Whether the lowest walker fell to the last, below all minima, by steps that lowered f no less than those before.
  bool fall_below(const std::vector<Walker>& walkers) {
    for (const Walker& walker : walkers) {
      if (walker.merged || walker.converged || walker.lowered < 5) continue;
      if (!places_.empty() && places_.front().kind == ModeKind::minimum && !(walker.f < places_.front().f)) break;
      Vector<T> f;
      energy_.values(walker.passed, f);
      double before = f[0] - f[1];
      bool falling = before > 0;
      for (Index k = 1; k < 4; ++k) {
        const double fall = f[k] - (k < 3 ? f[k + 1] : walker.f);
        falling = falling && fall > 0.7 * before && fall > 1e-12 * std::abs(walker.f);
        before = fall;
      }
      if (!falling) continue;
      modes_.status = ModesStatus::unbounded;
      modes_.evidence = detail::text("the energy falls without bound, as far as it was followed: it was ", walker.f,
                                     " and still falling after ", walker.lowered, " steps, at a distance of ",
                                     walker.x.norm(), " from the origin");
      return true;
    }
    return false;
  }

  void judge_all() {
    if (!places_.empty() && places_.front().kind == ModeKind::minimum) {
      modes_.status = ModesStatus::found;
      return;
    }
    modes_.status = ModesStatus::unconfirmed;
    modes_.evidence = places_.empty() ? "no start led to a place where the energy can be judged"
                                      : "the lowest place reached is not a confirmed minimum: " + places_.front().why;
  }

  void warn() {
    if (modes_.bad_starts > 0)
      modes_.warnings.push_back(detail::text(modes_.bad_starts, " starts were not followed; ", bad_start_));
    if (full_)
      modes_.warnings.push_back(detail::text("there are more than ", options_.most, " minima: the lowest are listed"));
    for (const Place& place : places_)
      for (Index j = 0; j < d_; ++j)
        if (std::abs(place.x[j]) * std::numeric_limits<double>::epsilon() * place.H.scale[j] > 0.01) {
          modes_.warnings.push_back(
              detail::text("coordinate ", j, " is ", place.x[j],
                           " at a mode, and numbers of that size lie farther apart than a hundredth of "
                           "its standard deviation: shift it"));
          return;
        }
  }

  EnergyFunction<T>& energy_;
  const ModesOptions& options_;
  bool exact_;
  Index d_, count_ = 0;
  bool full_ = false;
  std::string bad_start_;
  std::vector<Place> places_;
  Modes modes_;
};

}  // namespace scorematch::likelihood
