// A model's score, its trace tr(∂s/∂x), and its energy at points: for looking at it, and for code of one's own.
#pragma once

#include <algorithm>

#include "scorematch/check.hpp"
#include "scorematch/evaluate/padded_block.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/model/user_model.hpp"

namespace scorematch {

namespace detail {

/// A thread's room for values at points.
template <class T>
struct ValuesState {
  extend::Room workspace;
  extend::Points<T> points;
  extend::ScoreValues<T> values;
  Vector<T> f;
};

// Calls read(state, first column, count) block by block on all threads; the points are in the state.
template <class T, class Read>
void for_each_block(const extend::BoundModel<T>& bound, MatrixView<T> X, extend::Along along, Read read) {
  extend::require_samples<T>(X, bound.dimension(), "X");
  const Index block = std::min<Index>(bound.block_size(along, 0), X.cols()), rows = evaluate::padded_rows<T>(block);
  evaluate::PerThread<ValuesState<T>> states;
  evaluate::for_each_piece((X.cols() + block - 1) / block, states, [](ValuesState<T>&) {},
                           [&](ValuesState<T>& state, Index b) {
                             const Index first = b * block, count = std::min(block, X.cols() - first);
                             state.points.along = along;
                             evaluate::gather_columns(X, first, count, rows, state.points.X);
                             read(state, first, count);
                           });
}

template <class T>
void score(const extend::BoundModel<T>& bound, MatrixView<T> X, Matrix<T>& S) {
  for_each_block<T>(bound, X, extend::Along::none, [&](ValuesState<T>& state, Index first, Index count) {
    bound.evaluate(state.points, state.workspace, state.values);
    evaluate::scatter_rows(state.values.S, count, first, S);
  });
}

template <class T>
void trace(const extend::BoundModel<T>& bound, MatrixView<T> X, Vector<T>& trace) {
  for_each_block<T>(bound, X, extend::Along::axes, [&](ValuesState<T>& state, Index first, Index count) {
    bound.evaluate(state.points, state.workspace, state.values);
    trace.segment(first, count) = state.values.curvature.head(count);
  });
}

template <class T>
void energy(const extend::BoundModel<T>& bound, MatrixView<T> X, Vector<T>& f) {
  for_each_block<T>(bound, X, extend::Along::none, [&](ValuesState<T>& state, Index first, Index count) {
    bound.energy(state.points, state.workspace, state.f);
    f.segment(first, count) = state.f.head(count);
  });
}

}  // namespace detail

/// s = ∇ log p at every column of X (d × N): d × N. Throws std::invalid_argument as `loss` does.
template <class M, class Derived>
auto score_of(const M& model, const Eigen::MatrixBase<Derived>& X) {
  using T = typename Derived::Scalar;
  Matrix<T> S(X.rows(), X.cols());
  if constexpr (detail::check_model<M>()) detail::score<T>(detail::bind<T>(model), X.derived(), S);
  return S;
}

/// tr(∂s/∂x) at every column of X (d × N): N numbers. For an energy it is −Δf.
template <class M, class Derived>
auto trace_of(const M& model, const Eigen::MatrixBase<Derived>& X) {
  using T = typename Derived::Scalar;
  Vector<T> trace(X.cols());
  if constexpr (detail::check_model<M>()) detail::trace<T>(detail::bind<T>(model), X.derived(), trace);
  return trace;
}

/// f at every column of X (d × N), so that log p = −f − log Z: N numbers.
template <class M, class Derived>
auto energy_of(const M& model, const Eigen::MatrixBase<Derived>& X) {
  using T = typename Derived::Scalar;
  Vector<T> f(X.cols());
  if constexpr (detail::check_model<M>()) {
    static_assert(detail::KnowsEnergy<M>,
                  "energy_of needs an energy: an energy_model, or a class that provides  "
                  "void energy(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<Eigen::VectorXd> f) const");
    if constexpr (detail::KnowsEnergy<M>) detail::energy<T>(detail::bind<T>(model), X.derived(), f);
  }
  return f;
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled.hpp"
#endif
