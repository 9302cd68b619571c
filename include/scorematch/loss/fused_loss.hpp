// Loss and θ-gradient in one pass, everything in registers: for compiled models and objectives of a point alone.
//
// An objective may offer
//   at_point(s, curvature, value, terms, s_bar, curvature_bar)
// on numbers or lanes of numbers: what its `score` does for a block, along the axes.
#pragma once

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "scorematch/compiled/jet.hpp"
#include "scorematch/concepts.hpp"
#include "scorematch/loss/answers.hpp"
#include "scorematch/loss/loss_loop.hpp"
#include "scorematch/loss/moments.hpp"

namespace scorematch::objective {

template <class Bound, class O>
concept Fusable = requires(const Bound& bound, typename Bound::Workspace& workspace, const O& objective,
                           const std::array<typename Bound::V, Bound::dimension_at_compile_time>& s,
                           std::array<typename Bound::V, Bound::dimension_at_compile_time>& s_bar,
                           typename Bound::V& number,
                           std::array<typename Bound::V, std::tuple_size_v<decltype(objective.term_names())>>& terms) {
  { bound.may_carry_tangents() } -> std::same_as<bool>;
  bound.bound_tangents(workspace);
  objective.at_point(s, number, number, terms, s_bar, number);
};

/// Mean and squared deviations of numbers that come in lanes, about a number near their mean.
template <class V>
struct LaneMoments {
  V centre = {}, sum = {}, squares = {};

  SCOREMATCH_INLINE void add(V deviation) {
    sum += deviation;
    squares += deviation * deviation;
  }

  void finish(Moments& moments, Index samples) const {
    for (Index lane = 0; lane < simd::width<V>; ++lane) {
      const double n = static_cast<double>((samples - lane + simd::width<V> - 1) / simd::width<V>);
      if (lane >= samples) break;
      const double s = static_cast<double>(sum[lane]), mean = s / n;
      moments.add(n, static_cast<double>(centre[lane]) + mean, static_cast<double>(squares[lane]) - s * mean);
    }
  }
};

/// W samples of the data as lanes, coordinate by coordinate; beyond the last one it is repeated.
template <class V, int D>
SCOREMATCH_INLINE void gather(const simd::Scalar<V>* data, Index stride, const Index* columns, Index first, Index count,
                              V (&x)[D]) {
  using T = simd::Scalar<V>;
  constexpr Index width = simd::width<V>;
  if (columns == nullptr && stride == D && count >= width && D <= 2) {
    const T* from = data + first * D;
    if constexpr (D == 1) {
      x[0] = simd::load<V>(from);
    } else if constexpr (D == 2) {
      simd::split_pairs(simd::load<V>(from), simd::load<V>(from + width), x[0], x[1]);
    }
    return;
  }
  T numbers[D][width];
  for (Index i = 0; i < width; ++i) {
    const Index at = first + (i < count ? i : count - 1);
    const T* from = data + (columns == nullptr ? at : columns[at]) * stride;
    for (int j = 0; j < D; ++j) numbers[j][i] = from[j];
  }
  for (int j = 0; j < D; ++j) x[j] = simd::load<V>(numbers[j]);
}

/// Throws std::invalid_argument unless at_point has set everything.
template <class T, std::size_t terms, std::size_t d>
[[gnu::noinline]] void require_point(T value, const std::array<T, terms>& term, const std::array<T, d>& s_bar,
                                     T curvature_bar) {
  const auto unset = [](T number) { return Marks<T>::is(Blank::unset, number); };
  const char* missing = unset(value) ? "value" : unset(curvature_bar) ? "curvature_bar" : "";
  for (const T number : s_bar)
    if (unset(number)) missing = "s_bar";
  for (const T number : term)
    if (unset(number)) missing = "terms";
  extend::require(*missing == 0, {missing, " was not set by the objective's at_point (set it with =, not with +=)"});
}

/// The same of the first of the samples in lanes.
template <class T, class V, std::size_t terms, std::size_t d>
SCOREMATCH_INLINE void require_first_lane(const V& value, const std::array<V, terms>& term,
                                          const std::array<V, d>& s_bar, const V& curvature_bar) {
  std::array<T, terms> first_term;
  std::array<T, d> first_bar;
  compiled::each<static_cast<int>(terms)>([&](auto k) SCOREMATCH_INLINE_LAMBDA { first_term[k] = term[k][0]; });
  compiled::each<static_cast<int>(d)>([&](auto j) SCOREMATCH_INLINE_LAMBDA { first_bar[j] = s_bar[j][0]; });
  require_point<T>(value[0], first_term, first_bar, curvature_bar[0]);
}

/// Loss, terms and θ-gradient of `count` samples from `first` on. `per_sample` may be null.
template <class T, class Bound, class O>
SCOREMATCH_FLATTEN void fused_pass(const Bound& bound, const typename Bound::Bound& known, const O& objective,
                                   const T* data, Index stride, const Index* columns, Index first, Index count,
                                   Moments& loss, std::vector<Moments>& terms, double* sums, double* per_sample) {
  using V = typename Bound::V;
  using J = typename Bound::Tangents;
  constexpr int D = Bound::dimension_at_compile_time, P = J::P;
  constexpr int term_count = static_cast<int>(std::tuple_size_v<decltype(objective.term_names())>);
  constexpr Index width = simd::width<V>;
  LaneMoments<V> loss_moments, term_moments[term_count];
  V gradient[P] = {};
  std::array<T, static_cast<std::size_t>(width)> lane_numbers;
  for (Index i = 0; i < width; ++i) lane_numbers[static_cast<std::size_t>(i)] = static_cast<T>(i);
  const V lanes = simd::load<V>(lane_numbers.data()), unset = simd::broadcast<V>(Marks<T>::number(Blank::unset));
  for (Index i = 0; i < count; i += width) {
    V x[D];
    gather<V, D>(data, stride, columns, first + i, count - i, x);
    const J f = bound.at(x, known);
    std::array<V, D> s, s_bar;
    compiled::each<D>([&](auto j) SCOREMATCH_INLINE_LAMBDA { s[j] = f.has(0, 1 + j) ? -f.get(0, 1 + j) : V{}; });
    const V curvature = f.has(0, J::laplacian) ? -f.get(0, J::laplacian) : V{};
    V value = unset, curvature_bar = unset;
    std::array<V, term_count> term;
    term.fill(unset);
    s_bar.fill(unset);
    objective.at_point(s, curvature, value, term, s_bar, curvature_bar);
    if (i == 0) require_first_lane<T>(value, term, s_bar, curvature_bar);
    V change[P];  // of each sample's loss with θ
    compiled::each<P>([&](auto p) SCOREMATCH_INLINE_LAMBDA {
      V total = V{};
      compiled::each<D>([&](auto j) SCOREMATCH_INLINE_LAMBDA {
        if (f.has(1 + p, 1 + j)) total -= s_bar[j] * f.get(1 + p, 1 + j);
      });
      if (f.has(1 + p, J::laplacian)) total -= curvature_bar * f.get(1 + p, J::laplacian);
      change[p] = total;
    });
    if (i == 0) {
      loss_moments.centre = value;
      for (int k = 0; k < term_count; ++k) term_moments[k].centre = term[static_cast<std::size_t>(k)];
    }
    V deviation = value - loss_moments.centre;
    if (i + width > count) {  // padding has no part in the sums
      const auto present = lanes < simd::broadcast<V>(static_cast<T>(count - i));
      deviation = simd::select(present, deviation, V{});
      for (int k = 0; k < term_count; ++k) {
        const auto at = static_cast<std::size_t>(k);
        term[at] = simd::select(present, term[at], term_moments[k].centre);
      }
      for (int p = 0; p < P; ++p) change[p] = simd::select(present, change[p], V{});
    }
    loss_moments.add(deviation);
    for (int k = 0; k < term_count; ++k)
      term_moments[k].add(term[static_cast<std::size_t>(k)] - term_moments[k].centre);
    for (int p = 0; p < P; ++p) gradient[p] += change[p];
    if (per_sample != nullptr)
      for (Index lane = 0; lane < width && i + lane < count; ++lane)
        per_sample[first + i + lane] = static_cast<double>(value[lane]);
  }
  loss_moments.finish(loss, count);
  for (int k = 0; k < term_count; ++k) term_moments[k].finish(terms[static_cast<std::size_t>(k)], count);
  for (std::size_t p = 0; p < known.place.size(); ++p) sums[known.place[p]] += simd::sum_of_lanes(gradient[p]);
}

template <class T, class Bound, class O>
class FusedPassOf final : public FusedPass<T> {
 public:
  explicit FusedPassOf(const O& objective) : objective_(objective) {}

  bool possible(const extend::BoundModel<T>& bound) const override {
    return bound.template as<Bound>().may_carry_tangents();
  }

  bool sweep(const extend::BoundModel<T>& bound, const MatrixView<T>& data, const Index* columns, Index first,
             Index count, BlockState<T>& state, double* per_sample) const override {
    const Bound& own = bound.template as<Bound>();
    const auto* known = own.bound_tangents(state.workspace.template of<typename Bound::Workspace>());
    if (known == nullptr) return false;
    fused_pass(own, *known, objective_, data.data(), data.outerStride(), columns, first, count, state.loss, state.terms,
               state.sums.data(), per_sample);
    return true;
  }

 private:
  O objective_;
};

/// The fused pass of a model's class and an objective; null where there is none.
template <class T, class M, class O>
std::unique_ptr<const FusedPass<T>> fused_pass_of(const O& objective) {
  if constexpr (Model<M>) {
    using Bound = decltype(std::declval<const M&>().template at<T>());
    if constexpr (Fusable<Bound, O>) return std::make_unique<const FusedPassOf<T, Bound, O>>(objective);
  }
  (void)objective;
  return nullptr;
}

}  // namespace scorematch::objective
