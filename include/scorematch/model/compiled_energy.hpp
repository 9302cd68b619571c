// An energy whose formula is compiled into the loops over samples: for small, fixed dimensions.
//
//   s, f and the Laplacian   the formula itself, on lanes of samples, with derivatives along the axes in registers
//   θ                        with at most eight numbers in θ (fewer above D = 5) and no σ, their tangents beside them;
//                            else the record
//   given directions         the record (model/formula_energy.hpp)
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "scorematch/compiled/call.hpp"
#include "scorematch/evaluate/formula_workspace.hpp"
#include "scorematch/model/bound_model.hpp"

namespace scorematch {

namespace detail {

template <class T, int D, class F>
class CompiledEnergy {
 public:
  using Scalar = T;
  using V = simd::Lanes<T>;
  static constexpr int dimension_at_compile_time = D;

  /// A formula's uniform values at one θ.
  struct Bound {
    std::uint64_t version = 0;  ///< of θ
    std::vector<double> numbers;
    std::vector<Index> place;  ///< in θ, of each tangent
    int tangents = 0;
    mutable std::vector<compiled::Line> scratch;  ///< for the formula's vectors: a Bound serves one thread
  };

  struct Workspace {
    extend::Room recorded;
    Bound first, second, tangents;
  };

  /// `recorded`: the same energy from the record, behind the seam, so that a program that links scorematch::precompiled
  /// does not compile the engine.
  CompiledEnergy(extend::BoundModel<T> recorded, std::shared_ptr<const formula::Record> record,
                 std::shared_ptr<const F> formula, const Eigen::VectorXd& theta)
      : recorded_(std::move(recorded)), record_(std::move(record)), formula_(std::move(formula)), theta_(theta) {}

  Index dimension() const { return D; }
  Index parameter_count() const { return recorded_.parameter_count(); }
  Index sum_size() const { return recorded_.sum_size(); }
  void finish(Eigen::VectorXd& sums, Eigen::VectorXd& gradient) { recorded_.finish(sums, gradient); }
  Index block_size(extend::Along along, Index directions) const { return recorded_.block_size(along, directions); }

  void bind(const Eigen::VectorXd& theta) {
    recorded_.bind(theta);
    theta_ = theta;
    ++version_;
  }

  void energy(const extend::Points<T>& points, Workspace& workspace, Vector<T>& f) const {
    evaluate::require_given(*record_, points);
    f.resize(points.X.rows());
    sweep<false>(points, bound<First>(workspace.first), f.data(), nullptr, nullptr);
  }

  void energy_and_score(const extend::Points<T>& points, Workspace& workspace, Vector<T>& f, Matrix<T>& S) const {
    evaluate::require_given(*record_, points);
    f.resize(points.X.rows());
    S.resize(points.X.rows(), D);
    sweep<false>(points, bound<First>(workspace.first), f.data(), S.data(), nullptr);
  }

  void pull_back_energy(const extend::Points<T>& points, Workspace& workspace, const Vector<T>& weights,
                        Eigen::VectorXd& sums) const {
    recorded_.pull_back_energy(points, workspace.recorded, weights, sums);
  }

  void evaluate(const extend::Points<T>& points, Workspace& workspace, extend::ScoreValues<T>& values) const {
    const Index B = points.X.rows();
    if (points.along == extend::Along::given || points.gradient)
      return recorded_.evaluate(points, workspace.recorded, values);
    evaluate::require_given(*record_, points);
    values.S.resize(B, D);
    if (points.along == extend::Along::none)
      return sweep<false>(points, bound<First>(workspace.first), nullptr, values.S.data(), nullptr);
    values.curvature.resize(B);
    sweep<true>(points, bound<Second>(workspace.second), nullptr, values.S.data(), values.curvature.data());
  }

  void pull_back(const extend::Points<T>& points, Workspace& workspace, const extend::ScoreAdjoints<T>& bar,
                 Eigen::VectorXd& sums) const {
    recorded_.pull_back(points, workspace.recorded, bar, sums);
  }

  // --- for loops that keep everything in registers (loss/fused_loss.hpp) ---

  /// f with its derivatives along the axes and its Laplacian, and their tangents with respect to θ.
  using Tangents = compiled::Jet<V, D, compiled::most_tangents<D>, true>;

  bool may_carry_tangents() const { return !record_->takes_sigma && parameter_count() <= Tangents::P; }

  /// The uniform values for at(); null where θ has too many numbers for tangents.
  const Bound* bound_tangents(Workspace& workspace) const {
    const Bound& known = bound<Tangents>(workspace.tangents);
    return known.tangents <= Tangents::P ? &known : nullptr;
  }

  SCOREMATCH_INLINE Tangents at(const V (&x)[D], const Bound& known) const { return run<Tangents>({x}, known); }

 private:
  using First = compiled::Jet<V, D, 0, false>;
  using Second = compiled::Jet<V, D, 0, true>;

  // Asked here so that the formula is instantiated before the loops that call it: g++ optimises functions in that
  // order, and can flatten into a loop only what it has seen to. A formula with a lambda of its own took 5.3 ns else,
  // not 1.2.
  static_assert(compiled::CompiledFormula<F, First> && compiled::CompiledFormula<F, Second> &&
                compiled::CompiledFormula<F, Tangents>);

  /// Lanes of samples, with their noise levels and classes where the formula takes them.
  struct Lanes {
    const V (&x)[D];
    V sigma = {}, label = {};
  };

  template <class J>
  SCOREMATCH_INLINE_WITH_CALLS J run(const Lanes& lanes, compiled::Slots<J::P>& slots) const {
    using Theta = compiled::CompiledTheta<J::P>;
    compiled::Input<J> x;
    x.slots = &slots;
    for (int j = 0; j < D; ++j) x.x[j] = lanes.x[j];
    const Theta theta(slots);
    if constexpr (!compiled::TakesSigma<F, J>)
      return compiled::element_of<J>((*formula_)(x, theta), 0);
    else
      return compiled::element_of<J>(
          compiled::call(*formula_, x, compiled::noise_level<J>(lanes.sigma, &slots),
                         compiled::class_vector<J>(lanes.label, record_->classes, &slots), theta),
          0);
  }

  template <class J>
  SCOREMATCH_INLINE J run(const Lanes& lanes, const Bound& known) const {
    compiled::Slots<J::P> slots;
    slots.numbers = known.numbers.data();
    slots.free = known.scratch.data();
    return run<J>(lanes, slots);
  }

  // Once a θ. g++ 12's vectoriser of straight code (slp) crashes on some formulas here (AVX-512, -O2), and has nothing
  // to gain.
  template <class J>
#if defined(__GNUC__) && !defined(__clang__)
  [[gnu::optimize("no-tree-slp-vectorize")]]
#endif
  [[gnu::noinline]] const Bound&
  bound(Bound& known) const {
    if (known.version == version_) return known;
    compiled::Slots<J::P> slots;
    known.numbers.clear();
    known.place.clear();
    slots.binding = true;
    slots.store = &known.numbers;
    slots.record = record_.get();
    slots.theta = theta_.data();
    slots.place = &known.place;
    std::vector<std::unique_ptr<compiled::Line[]>> scratch;
    if (known.scratch.empty())
      slots.scratch = &scratch;
    else
      slots.free = known.scratch.data();
    V x[D] = {};
    run<J>({x}, slots);
    known.tangents = slots.tangents;
    if (known.scratch.empty()) known.scratch.resize(static_cast<std::size_t>(slots.lines));
    known.version = version_;
    return known;
  }

  // f, s and −Δf at every row of the points; null pointers are not written.
  template <bool second>
  SCOREMATCH_FLATTEN void sweep(const extend::Points<T>& points, const Bound& known, T* f, T* S, T* curvature) const {
    using J = std::conditional_t<second, Second, First>;
    const Index B = points.X.rows();
    const T* X = points.X.data();
    const T* sigma = record_->takes_sigma ? points.sigma.data() : nullptr;
    const int* label = record_->classes > 0 ? points.label.data() : nullptr;
    for (Index i = 0; i < B; i += simd::width<V>) {
      V x[D];
      for (int j = 0; j < D; ++j) x[j] = simd::load<V>(X + j * B + i);
      Lanes lanes{x};
      if (sigma != nullptr) lanes.sigma = simd::load<V>(sigma + i);
      if (label != nullptr)
        for (Index k = 0; k < simd::width<V>; ++k) lanes.label[k] = static_cast<T>(label[i + k]);
      const J r = run<J>(lanes, known);
      if (f != nullptr) simd::store<V>(f + i, r.get(0, 0));
      if (S != nullptr)
        compiled::each<D>([&](auto j) SCOREMATCH_INLINE_LAMBDA {
          simd::store<V>(S + j * B + i, r.has(0, 1 + j) ? -r.get(0, 1 + j) : V{});
        });
      if constexpr (second)
        if (curvature != nullptr) simd::store<V>(curvature + i, r.has(0, J::laplacian) ? -r.get(0, J::laplacian) : V{});
    }
  }

  extend::BoundModel<T> recorded_;
  std::shared_ptr<const formula::Record> record_;
  std::shared_ptr<const F> formula_;
  Eigen::VectorXd theta_;
  std::uint64_t version_ = 1;
};

}  // namespace detail

}  // namespace scorematch
