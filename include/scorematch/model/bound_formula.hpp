// Shared by the energy and the score of a formula when they are bound: the record, and its part that depends on θ
// alone.
#pragma once

#include <memory>
#include <utility>

#include "scorematch/evaluate/formula_workspace.hpp"

namespace scorematch {

namespace detail {

template <class T>
class BoundFormula {
 public:
  using Scalar = T;
  using Workspace = evaluate::FormulaWorkspace<T>;

  Index dimension() const { return record_->dimension; }
  Index parameter_count() const { return record_->parameter_count(); }
  Index sum_size() const { return part_->adjoint_size(); }
  void bind(const Eigen::VectorXd& theta) { part_->bind(theta); }
  void finish(Eigen::VectorXd& sums, Eigen::VectorXd& gradient) { part_->finish(sums, gradient); }

  /// The matrices whose products a workspace can withhold where the points ask for these derivatives; else null.
  const evaluate::ProductMatrices* product_matrices(extend::Along along, Index directions) const {
    return evaluate::may_withhold(along, directions) ? &part_->product_matrices() : nullptr;
  }

 protected:
  using Record = formula::Record;
  using Replay = evaluate::Replay<T>;
  using Jets = evaluate::Jets;

  BoundFormula(std::shared_ptr<const Record> record, const Eigen::VectorXd& theta)
      : record_(std::move(record)), part_(std::make_unique<evaluate::UniformPart<T>>(*record_)) {
    bind(theta);
  }

  /// How many directions the derivatives of these points are along.
  static Index direction_count(const extend::Points<T>& points) {
    return points.along == extend::Along::none   ? 0
           : points.along == extend::Along::axes ? points.X.cols()
                                                 : points.directions;
  }

  std::shared_ptr<const Record> record_;
  std::unique_ptr<evaluate::UniformPart<T>> part_;
};

}  // namespace detail

}  // namespace scorematch
