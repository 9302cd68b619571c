// The implicit loss in units of the data's own, coordinate by coordinate: what fits search by before they search by the
// loss itself.
#pragma once

#include "scorematch/loss/loss.hpp"

namespace scorematch::objective {

/// J = E[Σ_j (½(S_j s_j)² + S_j² ∂s_j/∂x_j)], S_j the unit of coordinate j: implicit score matching (Hyvärinen 2005) of
/// the data x_j/S_j, by the slopes along the directions S_j e_j. Each coordinate counts alike, whatever its units; the
/// loss itself is a sum in which those of large units are lost behind those of small ones. Of a model that can say what
/// the data say both have the same minimum.
struct implicit_in_units {
  Eigen::VectorXd units;  ///< S, d numbers > 0

  template <class T>
  struct Notes {};

  void validate() const {}
  bool deterministic() const { return true; }
  std::array<const char*, 2> term_names() const { return {"half squared score", "trace"}; }

  template <class T>
  void prepare(const extend::Samples<T>& samples, extend::Points<T>& points, Notes<T>&) const {
    const Index B = samples.X.rows(), d = samples.X.cols();
    points.X = samples.X;
    points.along = extend::Along::given;
    points.directions = d;
    points.score = false;
    points.V.setZero(B, d * d);
    for (Index j = 0; j < d; ++j)
      for (Index b = 0; b < B; ++b) points.V(b, j * d + j) = static_cast<T>(units[j]);
  }

  template <class T>
  void score(const extend::Samples<T>&, const extend::Points<T>&, const Notes<T>&, const extend::ScoreValues<T>& values,
             extend::Losses<T>& losses) const {
    losses.terms.col(0) = T(0.5) * values.slopes.rowwise().squaredNorm();
    losses.terms.col(1) = values.curvature;
    losses.value = losses.terms.col(0) + losses.terms.col(1);
    losses.bar.slopes = values.slopes;
    losses.bar.curvature.setOnes(values.curvature.size());
  }
};

}  // namespace scorematch::objective
