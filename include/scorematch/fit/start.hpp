// Where a fit starts: a model's default θ suits data of mean 0 and deviation 1. Carried over to the data at hand, it
// says there what it says of standard data.
//
// The start θ₀ says s_θ₀(u) of u = (x − m)/S. Looked for is the θ with S s_θ(m + S u) = s_θ₀(u), by following the map
// from (0, 1) to (m, S) in steps: a Gauss–Newton step ahead along the path and some back onto it. A model that is
// closed under shifts and scales (most are) has such a θ; of others the nearest is found.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "scorematch/fit/data_scale.hpp"
#include "scorematch/fit/metric.hpp"
#include "scorematch/loss/score_rows.hpp"
#include "scorematch/model/user_model.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch::fitting {

/// A model's score as a function of θ.
struct ScoreField {
  Index parameters = 0;
  /// S (B × d) at the rows of X (B × d, B a multiple of 16)
  std::function<void(const Eigen::VectorXd& theta, const Eigen::MatrixXd& X, Eigen::MatrixXd& S)> values = {};
  /// visits ∂s_j(x_b)/∂θ for the elements of S in the order of its storage
  std::function<void(const Eigen::VectorXd& theta, const Eigen::MatrixXd& X, const objective::RowVisitor& visit)> rows =
      {};
};

/// Empty for models whose score takes a noise level: their scale is that of the level.
template <class M>
ScoreField score_field(const M& model) {
  if (extend::takes_sigma(model) || extend::classes_of(model) > 0) return {};
  const auto bound = std::make_shared<extend::BoundModel<double>>(detail::bind<double>(model));
  ScoreField field;
  field.parameters = bound->parameter_count();
  field.values = [bound](const Eigen::VectorXd& theta, const Eigen::MatrixXd& X, Eigen::MatrixXd& S) {
    bound->bind(theta);
    extend::Room workspace;
    extend::Points<double> points;
    points.X = X;
    extend::ScoreValues<double> values;
    bound->evaluate(points, workspace, values);
    S.swap(values.S);
  };
  field.rows = [bound](const Eigen::VectorXd& theta, const Eigen::MatrixXd& X, const objective::RowVisitor& visit) {
    bound->bind(theta);
    constexpr Index lanes = simd::width<simd::Lanes<double>>;
    objective::ScoreRows<double> rows(*bound);
    extend::Points<double> points;
    points.X.resize(lanes, X.cols());
    for (Index j = 0; j < X.cols(); ++j)
      for (Index first = 0; first < X.rows(); first += lanes) {
        for (Index k = 0; k < X.cols(); ++k)
          for (Index b = 0; b < lanes; ++b) points.X(b, k) = X(first + b, k);
        rows.at(points);
        for (Index b = 0; b < lanes; ++b) visit(rows.of_element(b, j, 1), 1);
      }
  };
  return field;
}

namespace inner {

template <class = void>
class CarriedStart {
 public:
  CarriedStart(const ScoreField& field, const DataScale& scale, const Eigen::MatrixXd& U)
      : field_(field), scale_(scale), U_(U) {}

  bool run(Eigen::VectorXd& theta) {
    field_.values(theta, U_, wanted_);
    size_ = norm(wanted_);
    if (!(size_ > 0) || !std::isfinite(size_)) return false;
    // Of a model with such a θ a residual of a thousandth tells it from others, of a mixture that lost a component,
    // say.
    const Eigen::VectorXd start = theta;
    for (const double tolerance : {1e-3, 0.1}) {
      tolerance_ = tolerance;
      steps_ = 0;
      theta = start;
      if (follow(theta, true) && (shift_at_once(theta) || follow(theta, false))) return true;
    }
    return false;
  }

 private:
  // A location moves by the very shift. Of the slope at no shift, which is right to three digits or more, numbers that
  // equal the shift of a coordinate are taken for it, and the others for 0: a shift of 10¹² deviations wants all its
  // digits. The residual says whether that was right.
  bool shift_at_once(Eigen::VectorXd& theta) {
    Eigen::VectorXd next = theta;
    const double before = residual(theta, at(false, 0), residual_);
    if (!ahead(next, false, 0, 1)) return false;
    bool any = false;
    for (Index i = 0; i < theta.size(); ++i) {
      const double slope = next[i] - theta[i];
      double location = 0;
      for (Index j = 0; j < scale_.mean.size(); ++j) {
        const double shift = scale_.mean[j], off = std::abs(slope - shift);
        if (off <= 1e-3 * std::abs(shift) && (location == 0 || off < std::abs(slope - location))) location = shift;
      }
      any = any || location != 0;
      next[i] = theta[i] + location;
    }
    if (!any) return false;
    if (!(correct(next, at(false, 1), before) <= 0.1 * tolerance_ * size_ + 1.5 * before)) return false;
    theta = next;
    return true;
  }

  // Along one leg, t from 0 to 1: first the scales, S = deviation^t about 0, then the shift, t · mean.
  bool follow(Eigen::VectorXd& theta, bool scales) {
    constexpr double least = 1.0 / 128;
    const bool nearest = tolerance_ > 0.01;  // where no θ follows: the nearest
    double t = 0, step = 1;
    Eigen::VectorXd next;
    while (t < 1) {
      if (++steps_ > 200) return false;
      const double to = std::min(1.0, t + step);
      const double before = residual(theta, at(scales, t), residual_);
      next = theta;
      const bool moves = ahead(next, scales, t, to);
      const double left = correct(next, at(scales, to), before);
      const bool follows = left <= tolerance_ * size_ + 1.5 * before;
      if (!moves && !follows && nearest) return true;  // as far as the model goes
      if (!follows && to - t > least) {
        step = 0.5 * (to - t);
        continue;
      }
      if (!follows && !nearest) return false;
      if (!std::isfinite(left)) return false;
      theta = next;
      t = to;
      step *= 2;
    }
    return true;
  }

  struct Map {
    Eigen::VectorXd shift, scale;
  };
  Map at(bool scales, double t) const {
    const Index d = scale_.mean.size();
    Map map{Eigen::VectorXd::Zero(d), Eigen::VectorXd::Zero(d)};
    for (Index j = 0; j < d; ++j) {
      map.scale[j] = scales ? std::pow(scale_.deviation[j], t) : scale_.deviation[j];
      map.shift[j] = scales ? 0 : t * scale_.mean[j];
    }
    return map;
  }

  static double norm(const Eigen::MatrixXd& A) {
    double sum = 0;
    for (Index i = 0; i < A.size(); ++i) sum += A.data()[i] * A.data()[i];
    return std::sqrt(sum);
  }

  void place(const Map& map) {
    X_.resize(U_.rows(), U_.cols());
    for (Index j = 0; j < U_.cols(); ++j)
      for (Index b = 0; b < U_.rows(); ++b) X_(b, j) = map.shift[j] + map.scale[j] * U_(b, j);
  }

  // S s_θ(m + S u) − wanted
  double residual(const Eigen::VectorXd& theta, const Map& map, Eigen::MatrixXd& r) {
    place(map);
    field_.values(theta, X_, r);
    for (Index j = 0; j < r.cols(); ++j)
      for (Index b = 0; b < r.rows(); ++b) r(b, j) = map.scale[j] * r(b, j) - wanted_(b, j);
    return norm(r);
  }

  // Solves min ‖r + J δ‖ for the columns of r at this θ and map; false where δ is not finite.
  bool least_squares(const Eigen::VectorXd& theta, const Map& map, const Eigen::MatrixXd& r, double damping,
                     Eigen::VectorXd& delta) {
    place(map);
    const Index B = U_.rows();
    MetricSum sum(theta.size(), metric_.gram, metric_.diagonal);
    gradient_.setZero(theta.size());
    Index k = 0;
    Eigen::VectorXd scaled(theta.size());
    field_.rows(theta, X_, [&](const Eigen::VectorXd& row, double) {
      const double by = map.scale[k / B], to = r.data()[k];
      for (Index i = 0; i < row.size(); ++i) {
        scaled[i] = by * row[i];
        gradient_[i] -= scaled[i] * to;
      }
      sum.add(scaled);
      ++k;
    });
    sum.finish(1);
    for (Index i = 0; i < gradient_.size(); ++i)
      if (!std::isfinite(gradient_[i]) || !std::isfinite(metric_.diagonal[i])) return false;
    solver_.factor(metric_, damping);
    solver_.solve(gradient_, delta);
    return true;
  }

  // θ as it moves with the map from t to `to`, to first order. False where no θ follows the move.
  bool ahead(Eigen::VectorXd& theta, bool scales, double t, double to) {
    constexpr double h = 1e-4;
    Eigen::MatrixXd forward, back;
    // The shift in units of the scale may be long: the difference is taken over a step that is short in them.
    double length = 1;
    for (Index j = 0; j < scale_.mean.size(); ++j)
      length = std::max(
          length, scales ? std::abs(std::log(scale_.deviation[j])) : std::abs(scale_.mean[j]) / scale_.deviation[j]);
    const double step = h / length;
    residual(theta, at(scales, t + step), forward);
    residual(theta, at(scales, t - step), back);
    const double wanted = (to - t) / (2 * step);
    for (Index i = 0; i < forward.size(); ++i) forward.data()[i] = wanted * (forward.data()[i] - back.data()[i]);
    Eigen::VectorXd delta;
    // the damping keeps numbers of θ still that say nearly the same
    if (!least_squares(theta, at(scales, t), forward, 1e-8, delta)) return false;
    // ‖r + Jδ‖² = ‖r‖² − gᵀδ at the minimum, g = −Jᵀr
    double explained = 0;
    for (Index i = 0; i < delta.size(); ++i) explained += gradient_[i] * delta[i];
    const double all = norm(forward) * norm(forward);
    for (Index i = 0; i < delta.size(); ++i) theta[i] += delta[i];
    return all == 0 || explained > 0.5 * all;
  }

  // Gauss–Newton steps back to where the residual is least; what it then is.
  double correct(Eigen::VectorXd& theta, const Map& map, double goal) {
    double now = residual(theta, map, residual_);
    double damping = 1e-8;
    Eigen::VectorXd delta, trial;
    Eigen::MatrixXd r;
    for (int k = 0; k < 12 && std::isfinite(now) && now > 1e-6 * size_; ++k) {
      if (!least_squares(theta, map, residual_, damping, delta)) break;
      trial = theta;
      for (Index i = 0; i < delta.size(); ++i) trial[i] += delta[i];
      const double then = residual(trial, map, r);
      if (then < now) {
        const bool slow = then > 0.9 * now && now < goal + 0.1 * size_;
        theta = trial;
        residual_.swap(r);
        now = then;
        damping *= 0.1;
        if (slow) break;
      } else {
        damping = std::max(10 * damping, 1e-2);
      }
    }
    return std::isfinite(now) ? now : std::numeric_limits<double>::infinity();
  }

  const ScoreField& field_;
  const DataScale& scale_;
  const Eigen::MatrixXd& U_;
  Eigen::MatrixXd wanted_, X_, residual_;
  Eigen::VectorXd gradient_;
  Metric metric_;
  MetricSolver solver_;
  double size_ = 0, tolerance_ = 0;
  int steps_ = 0;
};

}  // namespace inner

/// Some columns of the data in the units of `scale`, a row each.
template <class T>
Eigen::MatrixXd in_scale(const ScoreField& field, const DataScale& scale, const ranks::RankedData<T>& X) {
  const Index d = X.rows(), N = X.cols();
  // at least twice as many numbers as parameters
  const Index B = std::clamp<Index>((2 * field.parameters / d + 15) / 16 * 16, 64, 512);
  std::vector<Index> some;
  for (Index b = 0; b < B; ++b) some.push_back(N > B ? b * N / B : b % N);
  const Matrix<T> columns = X.columns(some);
  Eigen::MatrixXd U(B, d);
  for (Index b = 0; b < B; ++b)
    for (Index j = 0; j < d; ++j) U(b, j) = (static_cast<double>(columns(j, b)) - scale.mean[j]) / scale.deviation[j];
  return U;
}

/// Which numbers of θ move the score of such data; empty where that cannot be told.
template <class T>
std::vector<char> numbers_with_effect(const ScoreField& field, const DataScale& scale, const ranks::RankedData<T>& X,
                                      const Eigen::VectorXd& theta) {
  if (!field.rows) return {};
  std::vector<char> moves(static_cast<std::size_t>(theta.size()), 0);
  field.rows(theta, in_scale<T>(field, scale, X), [&](const Eigen::VectorXd& row, double) {
    for (Index i = 0; i < row.size(); ++i)
      if (row[i] != 0) moves[static_cast<std::size_t>(i)] = 1;
  });
  return moves;
}

/// Carries `theta`, a start for data of mean 0 and deviation 1, over to data of this scale; of the data some columns
/// show where. False, θ as it was, where there is nothing to carry or no way.
template <class T>
bool carry_start(const ScoreField& field, const DataScale& scale, const ranks::RankedData<T>& X,
                 Eigen::VectorXd& theta) {
  constexpr Index most_parameters = 500;
  if (!field.values || field.parameters == 0 || field.parameters > most_parameters || scale.is_standard()) return false;
  const Eigen::MatrixXd U = in_scale<T>(field, scale, X);
  Eigen::VectorXd carried = theta;
  if (!inner::CarriedStart<>(field, scale, U).run(carried)) return false;
  for (Index i = 0; i < carried.size(); ++i)
    if (!std::isfinite(carried[i])) return false;
  theta = carried;
  return true;
}
template <class T>
bool carry_start(const ScoreField& field, const DataScale& scale, const MatrixView<T>& X, Eigen::VectorXd& theta) {
  return carry_start<T>(field, scale, ranks::RankedData<T>{X, ranks::Shards()}, theta);
}

}  // namespace scorematch::fitting
