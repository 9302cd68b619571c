// Implicit score matching: the score of the data without knowing it.
#pragma once

#include "scorematch/loss/loss.hpp"
#include "scorematch/objective/implicit_in_units.hpp"

namespace scorematch {

/// J = E[½‖s(x)‖² + tr(∂s/∂x)] (Hyvärinen 2005; the study note's equation 1.27).
///
/// Equals the explicit loss up to a constant when p s → 0 at infinity. For flexible models it is unbounded below
/// (peaks at the samples drive the trace to −∞): read both terms, on held-out data too.
/// The trace is exact: its cost grows with d; for large d take sliced_score_matching.
struct implicit_score_matching {
  template <class T>
  struct Notes {};

  /// The members of an Objective, as the role says of each (concepts.hpp).
  ///@{
  void validate() const {}
  bool deterministic() const { return true; }
  bool half_squared_score() const { return true; }
  std::array<const char*, 2> term_names() const { return {"half squared score", "trace"}; }
  /// The same with each coordinate in units of its own: what fits begin with where the data's units differ.
  objective::implicit_in_units in_units(const Eigen::VectorXd& units) const { return {units}; }

  template <class T>
  void prepare(const extend::Samples<T>& samples, extend::Points<T>& points, Notes<T>&) const {
    points.X = samples.X;
    points.along = extend::Along::axes;
  }

  template <class T>
  void score(const extend::Samples<T>&, const extend::Points<T>&, const Notes<T>&, const extend::ScoreValues<T>& values,
             extend::Losses<T>& losses) const {
    losses.terms.col(0) = T(0.5) * values.S.rowwise().squaredNorm();
    losses.terms.col(1) = values.curvature;
    losses.value = losses.terms.col(0) + losses.terms.col(1);
    losses.bar.S = values.S;
    losses.bar.curvature.setOnes(values.curvature.size());
  }
  ///@}

  /// The same for one point (or lanes of points): what fused loops take.
  template <class V, std::size_t d>
  void at_point(const std::array<V, d>& s, const V& curvature, V& value, std::array<V, 2>& terms,
                std::array<V, d>& s_bar, V& curvature_bar) const {
    terms[0] = s[0] * s[0];
    for (std::size_t j = 1; j < d; ++j) terms[0] += s[j] * s[j];
    terms[0] *= 0.5;
    terms[1] = curvature;
    value = terms[0] + terms[1];
    s_bar = s;
    curvature_bar = V{} + 1;
  }
};

}  // namespace scorematch
