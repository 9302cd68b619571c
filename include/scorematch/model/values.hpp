// A model's score, divergence and energy at points: for looking at it, and for code of one's own.
#pragma once

#include <type_traits>

#include "scorematch/check.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/model/user_model.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch {

namespace detail {

// Calls read(bound, state, first column, count) block by block on all threads; the points are in the state.
template <class T, AnyModel M, class Read>
void for_each_block(const M& model, MatrixView<T> X, Along along, Read read) {
  require_samples<T>(X, static_cast<Index>(model.dimension()), "X");
  const auto bound = bind<T>(model);
  using Bound = std::remove_const_t<decltype(bound)>;
  struct State {
    typename Bound::Workspace workspace;
    Points<T> points;
    ScoreValues<T> values;
    Vector<T> f;
  };
  constexpr Index lanes = simd::width<simd::Lanes<T>>;
  const Index block = std::min<Index>(bound.block_size(along, 0), X.cols()), rows = (block + lanes - 1) / lanes * lanes;
  evaluate::PerThread<State> states;
  evaluate::for_each_piece((X.cols() + block - 1) / block, states, [](State&) {},
                           [&](State& state, Index b) {
                             const Index first = b * block, count = std::min(block, X.cols() - first);
                             state.points.along = along;
                             state.points.X.resize(rows, X.rows());
                             for (Index i = 0; i < rows; ++i)
                               state.points.X.row(i) = X.col(first + std::min(i, count - 1)).transpose();
                             read(bound, state, first, count);
                           });
}

template <class T, class M>
void score(const M& model, MatrixView<T> X, Matrix<T>& S) {
  for_each_block<T>(model, X, Along::none, [&](const auto& bound, auto& state, Index first, Index count) {
    bound.evaluate(state.points, state.workspace, state.values);
    S.middleCols(first, count) = state.values.S.topRows(count).transpose();
  });
}

template <class T, class M>
void divergence(const M& model, MatrixView<T> X, Vector<T>& divergence) {
  for_each_block<T>(model, X, Along::axes, [&](const auto& bound, auto& state, Index first, Index count) {
    bound.evaluate(state.points, state.workspace, state.values);
    divergence.segment(first, count) = state.values.curvature.head(count);
  });
}

template <class T, class M>
void energy(const M& model, MatrixView<T> X, Vector<T>& f) {
  for_each_block<T>(model, X, Along::none, [&](const auto& bound, auto& state, Index first, Index count) {
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
  if constexpr (check_model<M>()) detail::score<T, M>(model, X.derived(), S);
  return S;
}

/// tr(∂s/∂x) at every column of X (d × N): N numbers. For an energy it is −Δf.
template <class M, class Derived>
auto divergence_of(const M& model, const Eigen::MatrixBase<Derived>& X) {
  using T = typename Derived::Scalar;
  Vector<T> divergence(X.cols());
  if constexpr (check_model<M>()) detail::divergence<T, M>(model, X.derived(), divergence);
  return divergence;
}

/// f at every column of X (d × N), so that log p = −f − log Z: N numbers.
template <class M, class Derived>
auto energy_of(const M& model, const Eigen::MatrixBase<Derived>& X) {
  using T = typename Derived::Scalar;
  Vector<T> f(X.cols());
  if constexpr (check_model<M>()) {
    static_assert(KnowsEnergy<M, T>,
                  "energy_of needs an energy: an energy_model, or a class that provides  "
                  "void energy(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<Eigen::VectorXd> f) const");
    if constexpr (KnowsEnergy<M, T>) detail::energy<T, M>(model, X.derived(), f);
  }
  return f;
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled.hpp"
#endif
