// A score written as a formula with d elements: s itself, and Σ_v vᵀ(∂s/∂x)v from one order-1 sweep along the v.
#pragma once

#include <memory>

#include "scorematch/model/bound_formula.hpp"

namespace scorematch {

namespace detail {

template <class T>
class FormulaScore : public BoundFormula<T> {
  using Base = BoundFormula<T>;
  using Base::direction_count;
  using Base::part_;
  using Base::record_;
  using typename Base::Jets;
  using typename Base::Record;
  using typename Base::Replay;

 public:
  using typename Base::Workspace;

  FormulaScore(std::shared_ptr<const Record> record, const Eigen::VectorXd& theta) : Base(std::move(record), theta) {}

  Index block_size(extend::Along along, Index directions) const {
    const Index straight = along == extend::Along::none   ? 0
                           : along == extend::Along::axes ? this->dimension()
                                                          : directions;
    return evaluate::block_size<T>(*record_, Jets{0, static_cast<int>(evaluate::chunk_of(straight))});
  }

  void evaluate(const extend::Points<T>& points, Workspace& workspace, extend::ScoreValues<T>& values) const {
    const Index B = points.X.rows(), d = points.X.cols(), count = direction_count(points),
                chunk = evaluate::chunk_of(count);
    values.S.resize(B, d);
    if (points.along != extend::Along::none) values.curvature.setZero(B);
    for (Index first = 0; first == 0 || first < count; first += std::max<Index>(chunk, 1)) {
      Replay& replay = sweep(points, workspace, first, chunk, nullptr);
      if (first == 0)
        for (Index j = 0; j < d; ++j) evaluate::copy_row(replay.result(j, 0), T(1), values.S.col(j).data(), B);
      for (Index c = 0; c < std::min(chunk, count - first); ++c)
        for_each_component(points, first + c, [&](Index j, const T* v) {
          const T* slope = replay.result(j, static_cast<int>(1 + c));
          if (v == nullptr)
            evaluate::add_row(slope, T(1), values.curvature.data(), B);
          else if (slope != nullptr)
            for (Index i = 0; i < B; ++i) values.curvature[i] += v[i] * slope[i];
        });
    }
    if (points.along != extend::Along::given) return;
    values.slopes.setZero(B, points.directions);
    for (Index m = 0; m < points.directions; ++m)
      for (Index j = 0; j < d; ++j)
        values.slopes.col(m).array() += points.V.col(m * d + j).array() * values.S.col(j).array();
  }

  void pull_back(const extend::Points<T>& points, Workspace& workspace, const extend::ScoreAdjoints<T>& bar,
                 Eigen::VectorXd& sums) const {
    const Index B = points.X.rows(), d = points.X.cols(), count = direction_count(points),
                chunk = evaluate::chunk_of(count);
    if (workspace.withholds()) evaluate::require_may_withhold(points.along, count);
    for (Index first = 0; first == 0 || first < count; first += std::max<Index>(chunk, 1)) {
      Replay& replay = count <= chunk ? workspace.replay(*record_, *part_, {0, static_cast<int>(chunk)}, B, sums.data())
                                      : sweep(points, workspace, first, chunk, sums.data());
      replay.start_reverse({.theta = true});
      if (first == 0)
        for (Index j = 0; j < d; ++j)
          if (T* seed = replay.seed(j, 0)) {
            if (points.score) evaluate::copy_row(bar.S.col(j).data(), T(1), seed, B);
            if (points.along == extend::Along::given)
              for (Index m = 0; m < count; ++m)
                for (Index i = 0; i < B; ++i) seed[i] += bar.slopes(i, m) * points.V(i, m * d + j);
          }
      for (Index c = 0; c < std::min(chunk, count - first); ++c)
        for_each_component(points, first + c, [&](Index j, const T* v) {
          if (T* seed = replay.seed(j, static_cast<int>(1 + c)))
            for (Index i = 0; i < B; ++i) seed[i] = bar.curvature[i] * (v == nullptr ? T(1) : v[i]);
        });
      replay.reverse();
    }
  }

 private:
  // Calls visit(j, v_j) for the components of direction c that are not 0; v_j is null for a unit vector's 1.
  template <class Visit>
  static void for_each_component(const extend::Points<T>& points, Index c, Visit visit) {
    const Index d = points.X.cols();
    if (points.along == extend::Along::axes) return visit(c, nullptr);
    for (Index j = 0; j < d; ++j) visit(j, points.V.col(c * d + j).data());
  }

  Replay& sweep(const extend::Points<T>& points, Workspace& workspace, Index first, Index chunk, double* sums) const {
    Replay& replay = workspace.replay(*record_, *part_, {0, static_cast<int>(chunk)}, points.X.rows(), sums);
    evaluate::set_points(replay, *record_, points);
    if (chunk > 0) evaluate::set_directions(replay, points, first, chunk);
    replay.forward();
    return replay;
  }
};

}  // namespace detail

}  // namespace scorematch
