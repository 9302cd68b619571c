// Sliced score matching: the trace by random projections.
#pragma once

#include "scorematch/loss/loss.hpp"
#include "scorematch/random/normal.hpp"

namespace scorematch {

/// How projections v are drawn; all have E[v vᵀ] = I, so that E[vᵀ(∂s/∂x)v] is the trace.
/// On the sphere ‖v‖² = d. For a symmetric ∂s/∂x Rademacher signs have the smallest variance of the three.
enum class Projection { rademacher, gaussian, sphere };

/// J = E[½‖s‖² + (1/M) Σ_m v_mᵀ(∂s/∂x)v_m], the variance-reduced form (Song, Garg, Shi & Ermon 2019, equation 8), or
/// with exact_norm = false J = E[(1/M) Σ_m (½(v_mᵀs)² + v_mᵀ(∂s/∂x)v_m)] (equation 7). Both have the mean of implicit
/// score matching; the cost grows with M, not with d.
struct sliced_score_matching {
  int projections = 1;                       ///< M, 1 … 10⁶, a sample
  Projection kind = Projection::rademacher;  ///< the law of the projections
  bool exact_norm = true;                    ///< ½‖s‖² itself instead of its projection
  std::uint64_t seed = 0;                    ///< of the projections; any
  bool frozen = false;                       ///< the same projections at every step of a fit: the loss is deterministic

  template <class T>
  struct Notes {};

  /// The members of an Objective, as the role says of each (concepts.hpp).
  ///@{
  void validate() const { extend::require_within(projections, 1, 1'000'000, "sliced_score_matching: projections"); }
  bool deterministic() const { return frozen; }
  sliced_score_matching with_new_noise() const {
    sliced_score_matching result = *this;
    result.frozen = false;
    return result;
  }
  bool half_squared_score() const { return exact_norm; }
  std::array<const char*, 2> term_names() const { return {"half squared score", "sliced trace"}; }

  template <class T>
  void prepare(const extend::Samples<T>& samples, extend::Points<T>& points, Notes<T>&) const {
    const Index B = samples.X.rows(), d = samples.X.cols(), M = projections;
    points.X = samples.X;
    points.along = extend::Along::given;
    points.directions = M;
    points.score = exact_norm;
    points.V.resize(B, M * d);
    const extend::StreamKey key{seed, extend::Purpose::projection};
    const std::uint64_t draw = frozen ? 0 : samples.draw;
    if (kind == Projection::rademacher)
      return extend::fill_signs<T>(key, samples.index.data(), B, draw, M * d, points.V.data(), B);
    extend::fill_normals<T>(key, samples.index.data(), B, draw, M * d, points.V.data(), B);
    if (kind == Projection::gaussian) return;
    for (Index m = 0; m < M; ++m)
      for (Index i = 0; i < B; ++i) {
        auto v = points.V.row(i).segment(m * d, d);
        v *= std::sqrt(static_cast<T>(d)) / v.norm();
      }
  }

  template <class T>
  void score(const extend::Samples<T>&, const extend::Points<T>&, const Notes<T>&, const extend::ScoreValues<T>& values,
             extend::Losses<T>& losses) const {
    const T share = T(1) / static_cast<T>(projections);
    if (exact_norm) {
      losses.terms.col(0) = T(0.5) * values.S.rowwise().squaredNorm();
      losses.bar.S = values.S;
      losses.bar.slopes.setZero(values.slopes.rows(), values.slopes.cols());
    } else {
      losses.terms.col(0) = T(0.5) * share * values.slopes.rowwise().squaredNorm();
      losses.bar.slopes = share * values.slopes;
    }
    losses.terms.col(1) = share * values.curvature;
    losses.value = losses.terms.col(0) + losses.terms.col(1);
    losses.bar.curvature.setConstant(values.curvature.size(), share);
  }
  ///@}
};

}  // namespace scorematch
