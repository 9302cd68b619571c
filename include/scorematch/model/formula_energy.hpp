// The score of an energy written as a formula: s = −∇ₓ f, and its curvature Σ_v vᵀ(∂s/∂x)v = −Σ_v vᵀ(∂²f/∂x²)v.
//
//   s alone                one order-0 sweep and its reverse for x
//   s and the trace        one order-2 sweep along the axes (the forward Laplacian)
//   given directions       one order-2 sweep along them, and s as above where it is asked for
//   θ of s                 one order-1 sweep along s̄: ∂θ(s̄ · s) = −∂θ ∂_{s̄} f. Its cost does not grow with d
//
// Where θ of s is asked for, these sweeps share their storage: what the first of them left is not computed again.
#pragma once

#include <memory>

#include "scorematch/model/bound_formula.hpp"

namespace scorematch {

namespace detail {

template <class T>
class FormulaEnergy : public BoundFormula<T> {
  using Base = BoundFormula<T>;
  using Base::direction_count;
  using Base::part_;
  using Base::record_;
  using typename Base::Jets;
  using typename Base::Record;
  using typename Base::Replay;

 public:
  using typename Base::Workspace;

  FormulaEnergy(std::shared_ptr<const Record> record, const Eigen::VectorXd& theta) : Base(std::move(record), theta) {}

  Index block_size(extend::Along along, Index directions) const {
    const Index curved = along == extend::Along::axes ? this->dimension() : directions;
    const Jets jets = along == extend::Along::none
                          ? Jets{0, 1}
                          : Jets{static_cast<int>(evaluate::chunk_of(curved)), along == extend::Along::given ? 1 : 0};
    return evaluate::block_size<T>(*record_, jets);
  }

  /// f: B numbers.
  void energy(const extend::Points<T>& points, Workspace& workspace, Vector<T>& f) const {
    Replay& replay = order_zero(points, workspace);
    forward(replay, points);
    f.resize(points.X.rows());
    evaluate::copy_row(replay.result(0, 0), T(1), f.data(), f.size());
  }

  void energy_and_score(const extend::Points<T>& points, Workspace& workspace, Vector<T>& f, Matrix<T>& S) const {
    Replay& replay = order_zero(points, workspace);
    forward(replay, points);
    f.resize(points.X.rows());
    evaluate::copy_row(replay.result(0, 0), T(1), f.data(), f.size());
    score_by_reverse(replay, points, S);
  }

  /// sums += Σ over rows of weight · ∂f/∂θ, in the record's own coordinates.
  void pull_back_energy(const extend::Points<T>& points, Workspace& workspace, const Vector<T>& weights,
                        Eigen::VectorXd& sums) const {
    Replay& replay = workspace.replay(*record_, *part_, {}, points.X.rows(), sums.data());
    evaluate::set_points(replay, *record_, points);
    replay.forward();
    replay.start_reverse({.theta = true});
    if (T* seed = replay.seed(0, 0)) std::copy_n(weights.data(), weights.size(), seed);
    replay.reverse();
  }

  void evaluate(const extend::Points<T>& points, Workspace& workspace, extend::ScoreValues<T>& values) const {
    const Index B = points.X.rows(), count = direction_count(points), chunk = evaluate::chunk_of(count);
    const bool shared = points.gradient && asks_score(points);  // pull_back takes the score's sweeps over
    if (asks_score(points)) {
      Replay& replay =
          shared ? sweeps(points, workspace, chunk, true, nullptr).order_zero() : order_zero(points, workspace);
      evaluate::set_points(replay, *record_, points);
      if (shared) {
        replay.forward();
        score_by_reverse(replay, points, values.S);
      } else {
        values.S.resize(B, points.X.cols());
        replay.forward_for_x();
        replay.reverse_for_x(T(-1), values.S.data());
      }
    }
    if (points.along == extend::Along::none && !shared) return;
    Replay& replay = sweeps(points, workspace, chunk, shared, nullptr);
    evaluate::set_points(replay, *record_, points);
    if (points.along == extend::Along::none) return;
    Matrix<T>& slopes = points.along == extend::Along::axes ? values.S : values.slopes;
    slopes.resize(B, count);
    values.curvature.setZero(B);
    for (Index first = 0; first < count; first += chunk) {
      evaluate::set_directions(replay, points, first, chunk);
      replay.forward({0, static_cast<int>(chunk), !shared, true});
      for (Index c = 0; c < std::min(chunk, count - first); ++c)
        evaluate::copy_row(replay.result(0, static_cast<int>(1 + c)), T(-1), slopes.col(first + c).data(), B);
      evaluate::add_row(replay.result(0, replay.jets().directions() + 1), T(-1), values.curvature.data(), B);
    }
  }

  void pull_back(const extend::Points<T>& points, Workspace& workspace, const extend::ScoreAdjoints<T>& bar,
                 Eigen::VectorXd& sums) const {
    const Index B = points.X.rows(), count = direction_count(points), chunk = evaluate::chunk_of(count);
    if (workspace.withholds()) evaluate::require_may_withhold(points.along, count);
    const Matrix<T>& slopes_bar = points.along == extend::Along::axes ? bar.S : bar.slopes;
    const int curved = static_cast<int>(chunk);
    const bool stands = count <= chunk;  // the one chunk's rows, since evaluate
    for (Index first = 0; first == 0 || first < count; first += std::max<Index>(chunk, 1)) {
      const bool along_score = first == 0 && asks_score(points);
      Replay& replay = sweeps(points, workspace, chunk, along_score, sums.data());
      if (first > 0) evaluate::set_points(replay, *record_, points);
      if (!stands) evaluate::set_directions(replay, points, first, chunk);
      if (along_score) {
        replay.set_direction(curved, bar.S.data(), bar.S.outerStride());
        replay.forward({stands ? curved : 0, curved + 1, false, !stands});
        replay.start_reverse_after_order_zero(bar.curvature.data());
      } else {
        if (!stands) replay.forward();
        replay.start_reverse({.theta = true});
        if (T* seed = replay.seed(0, 1 + curved)) evaluate::copy_row(bar.curvature.data(), T(-1), seed, B);
      }
      for (Index c = 0; c < std::min(chunk, count - first); ++c)
        if (T* seed = replay.seed(0, static_cast<int>(1 + c)))
          evaluate::copy_row(slopes_bar.col(first + c).data(), T(-1), seed, B);
      replay.reverse();
    }
  }

 private:
  // The score is asked for itself, not for its slopes alone.
  static bool asks_score(const extend::Points<T>& points) {
    return points.along == extend::Along::none || (points.along == extend::Along::given && points.score);
  }

  Replay& order_zero(const extend::Points<T>& points, Workspace& workspace) const {
    return workspace.replay(*record_, *part_, {}, points.X.rows(), nullptr);
  }

  void forward(Replay& replay, const extend::Points<T>& points) const {
    evaluate::set_points(replay, *record_, points);
    replay.forward();
  }

  void score_by_reverse(Replay& replay, const extend::Points<T>& points, Matrix<T>& S) const {
    const Index B = points.X.rows();
    S.resize(B, points.X.cols());
    replay.start_reverse({.x = true}, S.data());
    if (T* seed = replay.seed(0, 0)) std::fill_n(seed, B, T(-1));
    replay.reverse();
  }

  // Order 2 along a chunk of directions; and, `with_score`, order 1 along one more, and the score's own sweeps within.
  Replay& sweeps(const extend::Points<T>& points, Workspace& workspace, Index chunk, bool with_score,
                 double* sums) const {
    return workspace.replay(*record_, *part_, {static_cast<int>(chunk), with_score ? 1 : 0}, points.X.rows(), sums);
  }
};

}  // namespace detail

}  // namespace scorematch
