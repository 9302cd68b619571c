// The score of an energy written as a formula: s = −∇ₓ f, and its curvature Σ_v vᵀ(∂s/∂x)v = −Σ_v vᵀ(∂²f/∂x²)v.
//
//   s alone                one order-0 sweep and its reverse for x
//   s and the trace        one order-2 sweep along the axes (the forward Laplacian)
//   given directions       one order-2 sweep along them, and s as above where it is asked for
//   θ of s alone           one order-1 sweep along s̄: ∂θ(s̄ · s) = −∂θ ∂_{s̄} f. Its cost does not grow with d
#pragma once

#include <memory>

#include "scorematch/evaluate/formula_workspace.hpp"

namespace scorematch {

template <class T>
class FormulaEnergy {
  using Record = formula::Record;
  using Replay = evaluate::Replay<T>;
  using Jets = evaluate::Jets;

 public:
  using Scalar = T;
  using Workspace = evaluate::FormulaWorkspace<T>;

  FormulaEnergy(std::shared_ptr<const Record> record, const Eigen::VectorXd& theta)
      : record_(std::move(record)), part_(std::make_unique<evaluate::UniformPart<T>>(*record_)) {
    bind(theta);
  }

  Index dimension() const { return record_->dimension; }
  Index parameter_count() const { return record_->parameter_count(); }
  Index sum_size() const { return part_->adjoint_size(); }
  void bind(const Eigen::VectorXd& theta) { part_->bind(theta); }
  void finish(Eigen::VectorXd& sums, Eigen::VectorXd& gradient) { part_->finish(sums, gradient); }

  Index block_size(Along along, Index directions) const {
    const Index curved = along == Along::axes ? dimension() : directions;
    const Jets jets = along == Along::none
                          ? Jets{0, 1}
                          : Jets{static_cast<int>(evaluate::chunk_of(curved)), along == Along::given ? 1 : 0};
    return evaluate::block_size<T>(*record_, jets);
  }

  /// f: B numbers.
  void energy(const Points<T>& points, Workspace& workspace, Vector<T>& f) const {
    Replay& replay = order_zero(points, workspace);
    replay.forward();
    f.resize(points.X.rows());
    evaluate::copy_row(replay.result(0, 0), T(1), f.data(), f.size());
  }

  void energy_and_score(const Points<T>& points, Workspace& workspace, Vector<T>& f, Matrix<T>& S) const {
    Replay& replay = order_zero(points, workspace);
    replay.forward();
    f.resize(points.X.rows());
    evaluate::copy_row(replay.result(0, 0), T(1), f.data(), f.size());
    score_by_reverse(replay, points, S);
  }

  void evaluate(const Points<T>& points, Workspace& workspace, ScoreValues<T>& values) const {
    const Index B = points.X.rows(), d = points.X.cols();
    if (points.along != Along::axes && points.score) {
      Replay& replay = order_zero(points, workspace);
      replay.forward();
      score_by_reverse(replay, points, values.S);
    }
    if (points.along == Along::none) return;
    if (points.along == Along::axes)
      values.S.resize(B, d);
    else
      values.slopes.resize(B, points.directions);
    Matrix<T>& slopes = points.along == Along::axes ? values.S : values.slopes;
    values.curvature.setZero(B);
    const Index count = directions(points), chunk = evaluate::chunk_of(count);
    for (Index first = 0; first < count; first += chunk) {
      Replay& replay = curved_sweep(points, workspace, first, chunk, nullptr, nullptr);
      for (Index c = 0; c < std::min(chunk, count - first); ++c)
        evaluate::copy_row(replay.result(0, static_cast<int>(1 + c)), T(-1), slopes.col(first + c).data(), B);
      evaluate::add_row(replay.result(0, replay.jets().directions() + 1), T(-1), values.curvature.data(), B);
    }
  }

  void pull_back(const Points<T>& points, Workspace& workspace, const ScoreAdjoints<T>& bar,
                 Eigen::VectorXd& sums) const {
    const Index B = points.X.rows();
    if (points.along == Along::none) {
      Replay& replay = workspace.replay(*record_, *part_, {0, 1}, B, sums.data());
      evaluate::set_points(replay, *record_, points);
      replay.set_direction(0, bar.S.data(), bar.S.outerStride());
      replay.forward();
      replay.start_reverse({.theta = true});
      if (T* seed = replay.seed(0, 1)) std::fill_n(seed, B, T(-1));
      replay.reverse();
      return;
    }
    const bool with_score = points.along == Along::given && points.score;
    const Matrix<T>& slopes_bar = points.along == Along::axes ? bar.S : bar.slopes;
    const Index count = directions(points), chunk = evaluate::chunk_of(count);
    for (Index first = 0; first < count; first += chunk) {
      const bool along_score = with_score && first == 0;
      // One chunk, nothing more to carry: evaluate's forward sweep still stands.
      const bool stands = count <= chunk && !along_score;
      Replay& replay = stands
                           ? workspace.replay(*record_, *part_, {static_cast<int>(chunk), 0}, B, sums.data())
                           : curved_sweep(points, workspace, first, chunk, along_score ? &bar.S : nullptr, sums.data());
      replay.start_reverse({.theta = true});
      for (Index c = 0; c < std::min(chunk, count - first); ++c)
        if (T* seed = replay.seed(0, static_cast<int>(1 + c)))
          evaluate::copy_row(slopes_bar.col(first + c).data(), T(-1), seed, B);
      if (T* seed = along_score ? replay.seed(0, static_cast<int>(1 + chunk)) : nullptr) std::fill_n(seed, B, T(-1));
      if (T* seed = replay.seed(0, replay.jets().directions() + 1))
        evaluate::copy_row(bar.curvature.data(), T(-1), seed, B);
      replay.reverse();
    }
  }

 private:
  static Index directions(const Points<T>& points) {
    return points.along == Along::axes ? points.X.cols() : points.directions;
  }

  Replay& order_zero(const Points<T>& points, Workspace& workspace) const {
    Replay& replay = workspace.replay(*record_, *part_, {}, points.X.rows(), nullptr);
    evaluate::set_points(replay, *record_, points);
    return replay;
  }

  void score_by_reverse(Replay& replay, const Points<T>& points, Matrix<T>& S) const {
    const Index B = points.X.rows();
    S.resize(B, points.X.cols());
    replay.start_reverse({.x = true}, S.data());
    if (T* seed = replay.seed(0, 0)) std::fill_n(seed, B, T(-1));
    replay.reverse();
  }

  Replay& curved_sweep(const Points<T>& points, Workspace& workspace, Index first, Index chunk,
                       const Matrix<T>* straight, double* sums) const {
    Replay& replay = workspace.replay(*record_, *part_, {static_cast<int>(chunk), straight != nullptr ? 1 : 0},
                                      points.X.rows(), sums);
    evaluate::set_points(replay, *record_, points);
    evaluate::set_directions(replay, points, first, chunk);
    if (straight != nullptr) replay.set_direction(static_cast<int>(chunk), straight->data(), straight->outerStride());
    replay.forward();
    return replay;
  }

  std::shared_ptr<const Record> record_;
  std::unique_ptr<evaluate::UniformPart<T>> part_;
};

}  // namespace scorematch
