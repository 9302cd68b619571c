// Whether weighted points pass for draws of exp(−f): chains that go on from them tell.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "scorematch/check.hpp"
#include "scorematch/evaluate/formula_workspace.hpp"
#include "scorematch/evaluate/padded_block.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/sampler/chain_blocks.hpp"
#include "scorematch/sampler/transition_kernel.hpp"
#include "scorematch/simd/arrays.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch::likelihood {

/// A bound energy in the coordinates u, x = m + L u, at inverse temperature β: (1 − β) ½‖u‖² + β f(m + L u). The
/// target of the kernels; it keeps the energy of both ends for the weights.
template <class T>
class Bridge final : public extend::Target<T> {
 public:
  Bridge(const extend::BoundModel<T>& bound, const Matrix<T>& root, const Vector<T>& mean)
      : target_(bound), root_(root), mean_(mean) {}

  void set(double beta) { beta_ = static_cast<T>(beta); }

  const Matrix<T>& score(Matrix<T>& U) override {
    energy_and_score(U, f_, S_);
    return S_;
  }

  void energy_and_score(Matrix<T>& U, Vector<T>& f, Matrix<T>& S) override {
    const Index B = U.rows(), d = U.cols();
    X_.resize(B, d);
    for (Index j = 0; j < d; ++j) {
      T* x = X_.data() + j * B;
      std::fill_n(x, B, mean_[j]);
      for (Index l = 0; l <= j; ++l)
        if (root_(j, l) != T(0)) evaluate::add_row(U.data() + l * B, root_(j, l), x, B);
    }
    target_.energy_and_score(X_, model_, model_S_);
    for (Index i = 0; i < B; ++i)
      if (!(model_[i] > -std::numeric_limits<T>::infinity()) && U.row(i).cwiseAbs().maxCoeff() < far) broken_ = true;
    base_.resize(B);
    std::fill_n(base_.data(), B, T(0));
    f.resize(B);
    S.resize(B, d);
    for (Index j = 0; j < d; ++j) {
      const T* u = U.data() + j * B;
      T* s = S.data() + j * B;
      T* base = base_.data();
      simd::for_lanes<simd::Lanes<T>>(B, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
        const V here = simd::load<V>(u + i);
        simd::store<V>(base + i, simd::load<V>(base + i) + T(0.5) * here * here);
        simd::store<V>(s + i, (beta_ - T(1)) * here);
      });
      for (Index l = j; l < d; ++l)
        if (const T factor = beta_ * root_(l, j); factor != T(0))
          evaluate::add_row(model_S_.data() + l * B, factor, s, B);
    }
    // β = 0 keeps an infinite f of the model out: 0 · ∞ is no number.
    for (Index i = 0; i < B; ++i) f[i] = (T(1) - beta_) * base_[i] + (beta_ == T(0) ? T(0) : beta_ * model_[i]);
  }

  /// Whether f was NaN or −∞ at a point up to a thousand deviations away; further out its arithmetic may overflow.
  bool broken() const { return broken_; }

  /// Of the points last asked for: ½‖u‖² and f(m + L u).
  const Vector<T>& base() const { return base_; }
  const Vector<T>& model() const { return model_; }

 private:
  detail::ModelTarget<T> target_;
  Vector<T> f_;
  Matrix<T> S_;
  const Matrix<T>& root_;
  const Vector<T>& mean_;
  static constexpr T far = 1000;
  T beta_ = 0;
  bool broken_ = false;
  Matrix<T> X_, model_S_;
  Vector<T> model_, base_;
};

/// Findings of chains that went on at β = 1.
struct StayingChains {
  Eigen::MatrixXd terms;     ///< of each chain the mean along its way of s_j and of u_j s_j + 1: 2 d × chains
  Eigen::VectorXd accepted;  ///< of each the share of proposals accepted
  bool walls = false;        ///< f was infinite at a proposal
  Index evaluations = 0;
};

/// Chains go on from `points`, a column u each (x = mean + root u), at β = 1 for `steps` ≥ 1 steps, and leave there
/// where they end.
template <class T>
StayingChains stay(const extend::BoundModel<T>& bound, const sampling::BoundKernel<T>& kernel,
                   const Eigen::MatrixXd& root, const Eigen::VectorXd& mean, std::uint64_t seed, Index steps,
                   Eigen::MatrixXd& points) {
  const Index d = points.rows();
  const sampling::ChainBlocks blocks(points.cols(), simd::width<simd::Lanes<T>>);
  const Matrix<T> root_T = root.template cast<T>();
  const Vector<T> mean_T = mean.template cast<T>();
  StayingChains result;
  result.terms.setZero(2 * d, points.cols());
  result.accepted.resize(points.cols());
  result.evaluations = points.cols() * (steps + 1);
  std::atomic<bool> walls = false;
  const double share = 1 / static_cast<double>(steps + 1);
  evaluate::PerThread<extend::Chains<T>> states;
  evaluate::for_each_piece(
      blocks.count, states, [](extend::Chains<T>&) {},
      [&](extend::Chains<T>& c, Index b) {
        const Index first = blocks.first(b), count = blocks.size(b);
        evaluate::gather_columns(points, first, count, evaluate::padded_rows<T>(count), c.X);
        c.reset_counts();
        c.own = {};
        Bridge<T> bridge(bound, root_T, mean_T);
        bridge.set(1);
        kernel.start(bridge, c);
        for (Index t = 0; t <= steps; ++t) {
          if (t > 0) kernel.advance(bridge, c, {seed, static_cast<std::uint64_t>(t) + (std::uint64_t{4} << 36), first});
          for (Index i = 0; i < count; ++i)
            for (Index j = 0; j < d; ++j) {
              const double s = static_cast<double>(c.S(i, j)), u = static_cast<double>(c.X(i, j));
              result.terms(j, first + i) += share * s;
              result.terms(d + j, first + i) += share * (u * s + 1);
            }
        }
        result.accepted.segment(first, count) = c.accepted.head(count) / static_cast<double>(steps);
        evaluate::scatter_rows(c.X, count, first, points);
        if (c.non_finite.sum() > 0) walls = true;
      });
  result.walls = walls;
  return result;
}

/// The mean of `values` with given weights, and its standard error. −∞, the logarithm of a weight 0, has no say.
template <class D = void>
std::pair<double, double> weighted_mean(const detail::DependentVector<D>& values,
                                        const detail::DependentArray<D>& weights) {
  const double sum = weights.sum();
  constexpr double none = -std::numeric_limits<double>::infinity();
  double mean = 0, squares = 0;
  for (Index i = 0; i < values.size(); ++i)
    if (values[i] != none) mean += weights[i] / sum * values[i];
  for (Index i = 0; i < values.size(); ++i)
    if (values[i] != none) squares += weights[i] / sum * (weights[i] / sum) * (values[i] - mean) * (values[i] - mean);
  return {mean, std::sqrt(squares)};
}

/// What speaks against weighted points as draws of the model, or nothing. Their weights alone cannot tell: where no
/// point is there is no weight. Two signs:
/// - points of some weight at which the kernel hardly moves: a neck narrower than its step, into which it does not
/// find;
/// - E[s_j] = 0 and E[u_j s_j] = −1, Stein's identities, do not hold along chains that go on from there: mass flows to
///   where none was. (Beyond `limit` standard errors, which draws of the model pass in at most one of 200 runs.) They
///   need a density that is 0 at its borders: not judged where f is infinite somewhere.
template <class D = void>
std::string doubts_on_draws(const detail::DependentArray<D>& weights, const StayingChains& staying) {
  constexpr double hardly = 0.1, most_stuck = 0.005, false_alarms = 0.005;
  double stuck = 0;
  for (Index c = 0; c < weights.size(); ++c)
    if (staying.accepted[c] < hardly) stuck += weights[c];
  stuck /= weights.sum();
  if (stuck > most_stuck)
    return detail::text(100 * stuck,
                        " % of the weight lies where a chain's proposals are hardly ever accepted: the mass there is ",
                        "narrower than the kernel's step, and is not found as often as it should be");
  if (staying.walls) return {};
  const Index d = staying.terms.rows() / 2;
  const double limit = std::sqrt(2 * std::log(static_cast<double>(2 * d) / false_alarms));  // erfc(x/√2) < exp(−x²/2)
  for (Index k = 0; k < 2 * d; ++k) {
    const auto [mean, error] = weighted_mean<D>(staying.terms.row(k).transpose(), weights);
    if (!(std::abs(mean) <= limit * error))
      return detail::text("the points are not draws of the model: by Stein's identity ", k < d ? "s" : "u s + 1",
                          " of coordinate ", k % d, " has mean 0, and they have ", mean, " ± ", error);
  }
  return {};
}

/// Whether a mean log weight at draws of the model, less the one that the weights themselves promise, is none. Of mass
/// that is missing it is above 0: one draw in 160 of a normal law lies above 2.5.
inline bool disagree(double gap, double error) {
  constexpr double most_above = 2.5, most_below = 4;
  return !(gap <= most_above * error) || !(gap >= -most_below * error);
}

/// `count` columns of X in proportion to their weights: systematic resampling.
template <class D = void>
detail::DependentMatrix<D> resampled(const detail::DependentMatrix<D>& X, const detail::DependentArray<D>& weights,
                                     Index count) {
  detail::DependentMatrix<D> chosen(X.rows(), count);
  const double step = weights.sum() / static_cast<double>(count);
  double sum = weights[0];
  for (Index i = 0, k = 0; i < count; ++i) {
    while (sum < (static_cast<double>(i) + 0.5) * step && k + 1 < X.cols()) sum += weights[++k];
    chosen.col(i) = X.col(k);
  }
  return chosen;
}

}  // namespace scorematch::likelihood
