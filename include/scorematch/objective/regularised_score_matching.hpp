// Regularised score matching: implicit score matching that pays for curvature, so that it does not overfit to peaks.
#pragma once

#include "scorematch/loss/loss.hpp"

namespace scorematch {

/// J = E[½‖s‖² + tr(∂s/∂x) + λ Σ_i (∂s_i/∂x_i)²] (D. P. Kingma & Y. LeCun, "Regularized estimation of image statistics
/// by score matching", NIPS 2010; ∂s_i/∂x_i = −∂²f/∂x_i²). It stands for the implicit loss on data blurred by noise of
/// variance 2λ, of whose expansion it keeps one term. Peaks at the samples, which send the trace to −∞ linearly in the
/// curvature, cost its square here: the loss is bounded below by −d/(4λ).
///
/// λ has the unit of x². The cost is that of d sweeps of order 2 along one axis each, since every ∂s_i/∂x_i is asked
/// for apart.
struct regularised_score_matching {
  double lambda = 0.01;  ///< λ ≥ 0; 0 is implicit_score_matching

  template <class T>
  struct Notes {};

  /// The members of an Objective, as the role says of each (concepts.hpp).
  ///@{
  void validate() const {
    extend::require(std::isfinite(lambda) && lambda >= 0,
                    {"regularised_score_matching: lambda is ", lambda, "; it must be at least 0"});
  }
  bool deterministic() const { return true; }
  /// The last is Σ_i (∂s_i/∂x_i)², without λ.
  std::array<const char*, 3> term_names() const { return {"half squared score", "trace", "squared curvatures"}; }

  /// Each sample is asked for d times, along one axis each: row i B + b is sample b, axis i. Its slope is s_i, its
  /// curvature ∂s_i/∂x_i.
  template <class T>
  void prepare(const extend::Samples<T>& samples, extend::Points<T>& points, Notes<T>&) const {
    const Index B = samples.X.rows(), d = samples.X.cols();
    points.X = samples.X.replicate(d, 1);
    points.V.setZero(d * B, d);
    for (Index i = 0; i < d; ++i) points.V.col(i).segment(i * B, B).setOnes();
    points.directions = 1;
    points.along = extend::Along::given;
    points.score = false;
  }

  template <class T>
  void score(const extend::Samples<T>& samples, const extend::Points<T>&, const Notes<T>&,
             const extend::ScoreValues<T>& values, extend::Losses<T>& losses) const {
    const Index B = samples.X.rows(), d = samples.X.cols();
    const Eigen::Map<const Matrix<T>> s(values.slopes.data(), B, d), curvature(values.curvature.data(), B, d);
    losses.terms.col(0) = T(0.5) * s.rowwise().squaredNorm();
    losses.terms.col(1) = curvature.rowwise().sum();
    losses.terms.col(2) = curvature.rowwise().squaredNorm();
    losses.value = losses.terms.col(0) + losses.terms.col(1) + static_cast<T>(lambda) * losses.terms.col(2);
    losses.bar.slopes = values.slopes;
    losses.bar.curvature = (T(1) + static_cast<T>(2 * lambda) * values.curvature.array()).matrix();
  }
  ///@}
};

}  // namespace scorematch
