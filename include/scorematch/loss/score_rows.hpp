// How single numbers of a model's score move with θ: rows of the Jacobian ∂s/∂θ, one reverse sweep each.
#pragma once

#include <functional>

#include "scorematch/model/bound_model.hpp"

namespace scorematch::objective {

/// Called with one row after another, p numbers, and the square of the size that the number of the score has by the
/// data's own scale: Σ_j v_j²/S_j² for vᵀs, S_j being the deviation of coordinate j.
using RowVisitor = std::function<void(const Eigen::VectorXd& row, double natural_square)>;

template <class T>
class ScoreRows {
 public:
  explicit ScoreRows(extend::BoundModel<T>& bound) : bound_(bound) {}

  /// The rows that follow are those of the score at these points.
  void at(const extend::Points<T>& points) {
    points_ = points;
    points_.along = extend::Along::none;
    points_.directions = 0;
    points_.score = points_.gradient = true;
  }

  /// weight · ∂s_j(x_b)/∂θ
  const Eigen::VectorXd& of_element(Index b, Index j, T weight) {
    bar_.S.setZero(points_.X.rows(), points_.X.cols());
    bar_.S(b, j) = weight;
    return row();
  }

  /// weight · ∂(vᵀs(x_b))/∂θ, v being direction m of the points that V came with
  const Eigen::VectorXd& of_slope(Index b, Index m, T weight) {
    const Index d = points_.X.cols();
    bar_.S.setZero(points_.X.rows(), d);
    for (Index j = 0; j < d; ++j) bar_.S(b, j) = weight * points_.V(b, m * d + j);
    return row();
  }

 private:
  const Eigen::VectorXd& row() {
    bound_.evaluate(points_, workspace_, values_);  // pull_back may use up what evaluate left
    sums_.setZero(bound_.sum_size());
    bound_.pull_back(points_, workspace_, bar_, sums_);
    row_.resize(bound_.parameter_count());
    bound_.finish(sums_, row_);
    return row_;
  }

  extend::BoundModel<T>& bound_;
  extend::Room workspace_;
  extend::Points<T> points_;
  extend::ScoreValues<T> values_;
  extend::ScoreAdjoints<T> bar_;
  Eigen::VectorXd sums_, row_;
};

}  // namespace scorematch::objective
