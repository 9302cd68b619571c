// The kernel Stein discrepancy of points from a law whose score is known, and its test.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/diagnostics/chain_points.hpp"
#include "scorematch/diagnostics/effective_sample_size.hpp"
#include "scorematch/diagnostics/text_table.hpp"
#include "scorematch/evaluate/gemm.hpp"
#include "scorematch/evaluate/padded_block.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/random/stream.hpp"
#include "scorematch/ranks/agreement.hpp"
#include "scorematch/ranks/communicator.hpp"
#include "scorematch/ranks/in_turn.hpp"
#include "scorematch/simd/arrays.hpp"
#include "scorematch/simd/functions.hpp"
#include "scorematch/simd/lanes.hpp"
#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// The matrix L of the kernel's distance (x − y)ᵀ L⁻¹ (x − y).
enum class KernelScale {
  identity,    ///< I: the units of x are those of the kernel
  diagonal,    ///< the variances of the points' coordinates
  covariance,  ///< the covariance of the points
  median,      ///< ℓ² I, ℓ the median distance between points (of at most 1000 of them, evenly taken)
};

/// The inverse multiquadric kernel k(x, y) = (c² + (x − y)ᵀ L⁻¹ (x − y))^b (Gorham & Mackey 2017).
struct KernelSteinOptions {
  double c = 1;            ///< > 0
  double exponent = -0.5;  ///< b, in (−1, 0): then the discrepancy tells when points do not converge
  KernelScale scale = KernelScale::identity;  ///< the matrix L
  Index max_points = 10'000;  ///< 1 … 10⁷: more points than this are refused, since the cost grows with their square
  /// Ranks that share the kernel's tiles. All give the same points, scores and options, and all get the same result,
  /// that of one process, bit for bit. Default: one process.
  Communicator communicator = {};

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require_positive(c, "KernelSteinOptions: c");
    extend::require(exponent > -1 && exponent < 0,
                    {"KernelSteinOptions: exponent is ", exponent, "; it must lie between -1 and 0"});
    extend::require_within(max_points, 1, 10'000'000, "KernelSteinOptions: max_points");
  }
};

/// How a discrepancy came about.
enum class KernelSteinStatus {
  computed,    ///< there is a number
  degenerate,  ///< the points leave no L: a coordinate is constant, the covariance singular, the median distance 0
  non_finite,  ///< a point or a score is not finite
};

/// The status in a word or two.
inline const char* to_string(KernelSteinStatus status) {
  switch (status) {
    case KernelSteinStatus::computed:
      return "computed";
    case KernelSteinStatus::degenerate:
      return "degenerate";
    case KernelSteinStatus::non_finite:
      return "not finite";
  }
  return "";
}

/// The discrepancy of n points.
struct [[nodiscard]] KernelSteinDiscrepancy {
  double value = std::numeric_limits<double>::quiet_NaN();  ///< the root of v_statistic
  double v_statistic = value;  ///< mean of k₀ over all pairs, also of a point with itself: ≥ 0, biased upwards
  double u_statistic = value;  ///< mean of k₀ over pairs of different points: unbiased, may be negative; NaN of one
                               ///< point, and where points have weights
  Index points = 0;            ///< n
  KernelSteinStatus status = KernelSteinStatus::computed;  ///< whether there is a number

  /// A line: the discrepancy, both statistics, and the status where it is not good.
  std::string text() const {
    return scorematch::detail::text(
        "n = ", points, ": kernel Stein discrepancy ", with_digits(value, 4), " (squared: V ",
        with_digits(v_statistic, 4), ", U ", with_digits(u_statistic, 4), ")",
        status == KernelSteinStatus::computed ? "" : scorematch::detail::text(", ", to_string(status)), '\n');
  }
};

/// k₀, the Langevin Stein kernel of the inverse multiquadric, between points. With r = x − y, A = L⁻¹ and
/// q = c² + rᵀ A r:
///
///   k₀(x, y) = −4b(b−1) ‖A r‖² q^(b−2) − 2b (tr A + (s_x − s_y)ᵀ A r) q^(b−1) + s_x·s_y q^b
///
/// Its mean over y ~ p is 0 for every x.
class SteinKernel {
 public:
  /// points and scores: d × n, finite
  SteinKernel(const ChainView& points, const ChainView& scores, const KernelSteinOptions& options)
      : count_(points.cols()), d_(points.rows()), b_(options.exponent), c_squared_(options.c * options.c) {
    Eigen::MatrixXd X = points;
    for (Index i = 0; i < d_; ++i) {  // offsets leave
      const double first = X(i, 0);
      double mean = 0;
      for (Index n = 0; n < count_; ++n) mean += (X(i, n) -= first) / static_cast<double>(count_);
      for (Index n = 0; n < count_; ++n) X(i, n) -= mean;
    }
    const Eigen::MatrixXd inverse = inverse_root(X, options.scale);
    for (Index k = 0; k < inverse.size(); ++k) trace_ += inverse.data()[k] * inverse.data()[k];
    if (!usable_ || !(usable_ = std::isfinite(trace_))) return;
    const Index rows = evaluate::padded_rows<double>(count_);
    Eigen::MatrixXd block, transposed(d_, d_);
    for (Index k = 0; k < d_; ++k)
      for (Index i = 0; i < d_; ++i) transposed(i, k) = inverse(k, i);
    evaluate::gather_columns(X, 0, count_, rows, block);
    evaluate::gather_columns(scores, 0, count_, rows, scores_);
    score_columns_ = scores;
    left_.resize(rows, 2 * d_);
    w_.resize(rows, d_);
    using Gemm = evaluate::Gemm<double>;
    double *u = left_.data(), *y = u + rows * d_;
    Gemm::multiply(rows, d_, d_, scores_.data(), rows, transposed.data(), d_, u, rows, false);
    Gemm::multiply(rows, d_, d_, block.data(), rows, transposed.data(), d_, y, rows, false);
    Gemm::multiply(rows, d_, d_, y, rows, inverse.data(), d_, w_.data(), rows, false);
    usable_ = all_finite(left_) && all_finite(w_);
    right_.resize(2 * d_, count_);
    own_.resize(rows);
    for (Index i = 0; i < rows; ++i) own_[i] = 0;
    for (Index k = 0; k < d_; ++k) {
      for (Index i = 0; i < rows; ++i) own_[i] += u[k * rows + i] * y[k * rows + i];
      for (Index j = 0; j < count_; ++j) {
        right_(k, j) = y[k * rows + j];
        right_(d_ + k, j) = u[k * rows + j];
      }
    }
  }

  /// Whether the points leave an L.
  bool usable() const { return usable_; }
  /// The number of points, n.
  Index size() const { return count_; }

  /// k₀ of the points first_row … first_row + rows − 1 with the points first_column …: the first rows of K, which has
  /// whole registers of them. first_row: a multiple of a register's numbers, at most 8.
  void tile(Index first_row, Index rows, Index first_column, Index columns, Eigen::MatrixXd& K,
            Eigen::MatrixXd& room) const {
    const Index stride = w_.rows(), high = evaluate::padded_rows<double>(rows);
    K.resize(high, columns);
    room.resize(high, columns);
    using Gemm = evaluate::Gemm<double>;
    Gemm::multiply(high, columns, d_, scores_.data() + first_row, stride, score_columns_.data() + first_column * d_, d_,
                   K.data(), high, false);
    Gemm::multiply(high, columns, 2 * d_, left_.data() + first_row, stride, right_.data() + first_column * 2 * d_,
                   2 * d_, room.data(), high, false);
    const double *y = left_.data() + stride * d_ + first_row, *w = w_.data() + first_row;
    for (Index j = 0; j < columns; ++j) {
      const double *y_j = right_.data() + (first_column + j) * 2 * d_, *w_j = w_.data() + first_column + j;
      simd::for_lanes<simd::Lanes<double>>(high, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
        V q = V{} + c_squared_, slope{};
        for (Index k = 0; k < d_; ++k) {  // differences, not products: equal points are at distance 0
          const V along = simd::load<V>(y + k * stride + i) - y_j[k],
                  across = simd::load<V>(w + k * stride + i) - w_j[k * stride];
          q += along * along;
          slope += across * across;
        }
        const V between = own_[first_column + j] + simd::load<V>(own_.data() + first_row + i) -
                          simd::load<V>(room.data() + j * high + i);
        const V bracket =
            simd::load<V>(K.data() + j * high + i) - (2 * b_ * (trace_ + between) + 4 * b_ * (b_ - 1) * slope / q) / q;
        simd::store<V>(K.data() + j * high + i, b_ == -0.5 ? V(bracket / simd::sqrt(q)) : bracket);
        simd::store<V>(room.data() + j * high + i, q);
      });
      if (b_ != -0.5)
        for (Index i = 0; i < high; ++i) K(i, j) *= std::pow(room(i, j), b_);
    }
  }

  /// k₀(x, x) of every point.
  Eigen::VectorXd diagonal() const {
    Eigen::VectorXd own(count_);
    for (Index i = 0; i < count_; ++i) {
      double square = 0;
      for (Index k = 0; k < d_; ++k) square += scores_(i, k) * scores_(i, k);
      own[i] = std::pow(c_squared_, b_) * (square - 2 * b_ * trace_ / c_squared_);
    }
    return own;
  }

 private:
  // C⁻¹, L = C Cᵀ; clears usable_ where there is none. X: d × n, of mean 0.
  Eigen::MatrixXd inverse_root(const Eigen::MatrixXd& X, KernelScale scale) {
    Eigen::MatrixXd inverse(d_, d_);
    for (Index j = 0; j < d_; ++j)
      for (Index i = 0; i < d_; ++i) inverse(i, j) = i == j ? 1 : 0;
    if (scale == KernelScale::identity) return inverse;
    Eigen::VectorXd sd(d_);
    const double median = scale == KernelScale::median ? median_distance(X) : 0;
    for (Index i = 0; i < d_; ++i) {
      double squares = 0;
      for (Index n = 0; n < count_; ++n) squares += X(i, n) * X(i, n);
      sd[i] = scale == KernelScale::median ? median : std::sqrt(squares / static_cast<double>(count_));
      usable_ = usable_ && sd[i] > 0;
    }
    if (!usable_) return inverse;
    if (scale == KernelScale::covariance) inverse = inverse_of_lower(cholesky_of_correlations(X, sd));
    for (Index j = 0; j < d_; ++j)
      for (Index i = 0; i < d_; ++i) inverse(i, j) /= sd[j];
    return inverse;
  }

  // The lower root of the correlations, in which units do not make a matrix singular.
  Eigen::MatrixXd cholesky_of_correlations(const Eigen::MatrixXd& X, const Eigen::VectorXd& sd) {
    Eigen::MatrixXd root = Eigen::MatrixXd::Zero(d_, d_);
    for (Index n = 0; n < count_; ++n)
      for (Index j = 0; j < d_; ++j)
        for (Index i = j; i < d_; ++i) root(i, j) += X(i, n) / sd[i] * (X(j, n) / sd[j]) / static_cast<double>(count_);
    for (Index j = 0; j < d_; ++j) {
      for (Index k = 0; k < j; ++k)
        for (Index i = j; i < d_; ++i) root(i, j) -= root(i, k) * root(j, k);
      usable_ = usable_ && root(j, j) > 1e-12;  // what is left of a variance of 1: rounding alone leaves 1e-15
      const double pivot = std::sqrt(std::max(root(j, j), 1e-300));
      for (Index i = j; i < d_; ++i) root(i, j) /= pivot;
    }
    return root;
  }

  static Eigen::MatrixXd inverse_of_lower(const Eigen::MatrixXd& root) {
    Eigen::MatrixXd inverse = Eigen::MatrixXd::Zero(root.rows(), root.cols());
    for (Index j = 0; j < root.cols(); ++j)
      for (Index i = j; i < root.rows(); ++i) {
        double sum = i == j ? 1 : 0;
        for (Index k = j; k < i; ++k) sum -= root(i, k) * inverse(k, j);
        inverse(i, j) = sum / root(i, i);
      }
    return inverse;
  }

  static double median_distance(const Eigen::MatrixXd& X) {
    const Index count = std::min<Index>(X.cols(), 1000);
    std::vector<double> distances;
    for (Index i = 0; i < count; ++i)
      for (Index j = 0; j < i; ++j) {
        const double *a = X.data() + i * X.cols() / count * X.rows(), *b = X.data() + j * X.cols() / count * X.rows();
        double square = 0;
        for (Index k = 0; k < X.rows(); ++k) square += (a[k] - b[k]) * (a[k] - b[k]);
        distances.push_back(std::sqrt(square));
      }
    if (distances.empty()) return 0;
    const auto middle = distances.begin() + static_cast<std::ptrdiff_t>(distances.size() / 2);
    std::nth_element(distances.begin(), middle, distances.end());
    return *middle;
  }

  Index count_, d_;
  double b_, c_squared_, trace_ = 0;  ///< tr L⁻¹
  // Points down the rows, padded to whole registers.
  Eigen::MatrixXd scores_;         ///< s
  Eigen::MatrixXd left_;           ///< u = C⁻¹ s and beside it y = C⁻¹ x
  Eigen::MatrixXd w_;              ///< L⁻¹ x
  Eigen::VectorXd own_;            ///< u·y
  Eigen::MatrixXd score_columns_;  ///< d × n: s
  Eigen::MatrixXd right_;          ///< 2d × n: y, below it u
  bool usable_ = true;
};

/// The first block of rows of a rank: the later a block, the fewer tiles it has, of which all ranks get as many.
inline Index first_block_of(Index blocks, int rank, int ranks) {
  const Index all = blocks * (blocks + 1) / 2;
  Index block = 0, tiles = 0;
  while (block < blocks && tiles * ranks < all * rank) tiles += blocks - block++;
  return block;
}

/// Σ_ij W_ib W_jb k₀(x_i, x_j) for each column b of W (n × B), tile by tile: the kernel is never kept as a whole.
inline Eigen::VectorXd quadratic_forms(const SteinKernel& kernel, const Eigen::MatrixXd& W,
                                       const Communicator& communicator) {
  constexpr Index side = 128;
  const Index n = kernel.size(), blocks = (n + side - 1) / side,
              first_own = first_block_of(blocks, communicator.rank(), communicator.size()),
              own = first_block_of(blocks, communicator.rank() + 1, communicator.size()) - first_own;
  struct State {
    Eigen::MatrixXd K, room, product;
    Eigen::VectorXd sums;
  };
  Eigen::VectorXd total;
  total.setZero(W.cols());
  Eigen::MatrixXd kept(W.cols(), communicator.first() ? 0 : own);  // until the ranks before have added theirs
  evaluate::PerThread<State> states;
  evaluate::for_each_piece(
      own, states, [](State&) {},
      [&](State& state, Index block) {
        const Index first = (first_own + block) * side, rows = std::min(side, n - first);
        state.sums.setZero(W.cols());
        for (Index column = first; column < n; column += side) {
          const Index columns = std::min(side, n - column);
          kernel.tile(first, rows, column, columns, state.K, state.room);
          state.product.resize(state.K.rows(), W.cols());
          evaluate::Gemm<double>::multiply(state.K.rows(), W.cols(), columns, state.K.data(), state.K.rows(),
                                           W.data() + column, n, state.product.data(), state.K.rows(), false);
          const double twice = column == first ? 1 : 2;
          for (Index b = 0; b < W.cols(); ++b) {
            const double *w = W.data() + b * n + first, *product = state.product.data() + b * state.K.rows();
            double sum = 0;
            for (Index i = 0; i < rows; ++i) sum += w[i] * product[i];
            state.sums[b] += twice * sum;
          }
        }
      },
      [&](State& state, Index block) {
        for (Index b = 0; b < total.size(); ++b)
          if (communicator.first())
            total[b] += state.sums[b];
          else
            kept(b, block) = state.sums[b];
      });
  ranks::in_turn(communicator, total.data(), static_cast<std::size_t>(total.size()) * sizeof(double), [&] {
    for (Index block = 0; block < kept.cols(); ++block)
      for (Index b = 0; b < total.size(); ++b) total[b] += kept(b, block);
  });
  return total;
}

/// Throws on all ranks unless all have these numbers.
inline void require_same_points(const Eigen::Ref<const Eigen::MatrixXd>& points,
                                const Eigen::Ref<const Eigen::MatrixXd>& scores, const Eigen::VectorXd& weights,
                                const KernelSteinOptions& options) {
  if (options.communicator.alone()) return;
  using scorematch::detail::text;
  ranks::require_same(options.communicator, {{"the points", ranks::digest_of_matrix(points)},
                                             {"the scores", ranks::digest_of_matrix(scores)},
                                             {"the weights", ranks::digest_of(weights)},
                                             {"KernelSteinOptions: c", text(options.c)},
                                             {"KernelSteinOptions: exponent", text(options.exponent)},
                                             {"KernelSteinOptions: scale", text(static_cast<int>(options.scale))}});
}

/// Throws std::invalid_argument unless both are d × n, n ≥ 1 and at most max_points.
inline void require_points_and_scores(const Eigen::Ref<const Eigen::MatrixXd>& points,
                                      const Eigen::Ref<const Eigen::MatrixXd>& scores,
                                      const KernelSteinOptions& options, const char* function) {
  options.validate();
  extend::require(points.cols() >= 1 && points.rows() >= 1, {function, ": there are no points"});
  extend::require(scores.rows() == points.rows() && scores.cols() == points.cols(),
                  {function, ": scores is ", scores.rows(), " × ", scores.cols(), ", points ", points.rows(), " × ",
                   points.cols(), "; both must be d × n"});
  extend::require(points.cols() <= options.max_points, {function, ": there are ", points.cols(),
                                                        " points, and the cost grows with their square; thin them to ",
                                                        options.max_points, ", or raise max_points"});
}

/// The kernel Stein discrepancy of points from the law p with score s = ∇ log p (Liu, Lee & Jordan 2016; Chwialkowski,
/// Strathmann & Gretton 2016; Gorham & Mackey 2017):
///
///   KSD² = Σ_ij w_i w_j k₀(x_i, x_j)
///
/// 0 in the limit of many points where they are of p. Like Stein's identities it is blind to how modes far apart share
/// the mass. points and scores: d × n; weights: n numbers that sum to 1, or none for 1/n each. Cost: n² d; the memory
/// is that of the points. Throws std::invalid_argument for shapes that do not fit, and for more than max_points points.
inline KernelSteinDiscrepancy kernel_stein_discrepancy(const Eigen::Ref<const Eigen::MatrixXd>& points,
                                                       const Eigen::Ref<const Eigen::MatrixXd>& scores,
                                                       const KernelSteinOptions& options = {},
                                                       const Eigen::VectorXd& weights = {}) {
  ranks::agree(options.communicator, [&] {
    require_points_and_scores(points, scores, options, "kernel_stein_discrepancy");
    extend::require(
        weights.size() == 0 || weights.size() == points.cols(),
        {"kernel_stein_discrepancy: weights has ", weights.size(), " numbers for ", points.cols(), " points"});
  });
  require_same_points(points, scores, weights, options);
  KernelSteinDiscrepancy result;
  result.points = points.cols();
  result.status = KernelSteinStatus::non_finite;
  if (!all_finite(points) || !all_finite(scores) || !all_finite(weights.data(), weights.size())) return result;
  const SteinKernel kernel(points, scores, options);
  result.status = KernelSteinStatus::degenerate;
  if (!kernel.usable()) return result;
  const double n = static_cast<double>(points.cols());
  const bool weighted = weights.size() > 0;
  Eigen::MatrixXd W(points.cols(), 1);
  for (Index i = 0; i < points.cols(); ++i) W(i, 0) = weighted ? weights[i] : 1 / n;
  result.v_statistic = quadratic_forms(kernel, W, options.communicator)[0];
  result.value = std::sqrt(std::max(0.0, result.v_statistic));
  const Eigen::VectorXd own = kernel.diagonal();
  const double trace = std::accumulate(own.data(), own.data() + own.size(), 0.0);
  if (!weighted && n > 1) result.u_statistic = (n * result.v_statistic - trace / n) / (n - 1);
  result.status = std::isfinite(result.value) ? KernelSteinStatus::computed : KernelSteinStatus::non_finite;
  return result;
}

/// Options of kernel_stein_test.
struct KernelSteinTestOptions {
  KernelSteinOptions kernel = {};  ///< the kernel
  Index resamples = 500;           ///< of the wild bootstrap, 19 … 10⁶
  double false_alarm_rate = 0.01;  ///< in (0, 1), above 1/(resamples + 1)
  /// The probability, in (0, ½], that the bootstrap's sign changes from a draw of a chain to the next: ½ for
  /// independent draws; 0: by the autocorrelation of the scores.
  double flip = 0;
  double min_ess = 100;    ///< > 0: effective draws, below which nothing is said
  std::uint64_t seed = 0;  ///< of the bootstrap

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    kernel.validate();
    extend::require_within(resamples, 19, 1'000'000, "KernelSteinTestOptions: resamples");
    extend::require(false_alarm_rate < 1 && false_alarm_rate * static_cast<double>(resamples + 1) >= 1,
                    {"KernelSteinTestOptions: false_alarm_rate is ", false_alarm_rate, " and resamples ", resamples,
                     "; the rate must be below 1 and at least 1/(resamples + 1), the least p-value there can be"});
    extend::require(flip >= 0 && flip <= 0.5, {"KernelSteinTestOptions: flip is ", flip, "; it must be from 0 to 0.5"});
    extend::require_positive(min_ess, "KernelSteinTestOptions: min_ess");
  }
};

/// What the test says.
enum class KernelSteinVerdict {
  passed,            ///< p-value above the false-alarm rate
  biased,            ///< the points are not draws of the model
  not_enough_draws,  ///< fewer than min_ess effective draws, or their number is not known
  degenerate,        ///< see KernelSteinStatus
  non_finite,
};

/// The verdict in a word or two.
inline const char* to_string(KernelSteinVerdict verdict) {
  switch (verdict) {
    case KernelSteinVerdict::passed:
      return "passed";
    case KernelSteinVerdict::biased:
      return "biased";
    case KernelSteinVerdict::not_enough_draws:
      return "not enough draws";
    case KernelSteinVerdict::degenerate:
      return "degenerate";
    case KernelSteinVerdict::non_finite:
      return "not finite";
  }
  return "";
}

/// A test of whether draws are those of the model.
struct [[nodiscard]] KernelSteinTest {
  KernelSteinDiscrepancy discrepancy = {};                    ///< of the draws
  double p_value = std::numeric_limits<double>::quiet_NaN();  ///< of the discrepancy if the draws are right
  double ess = p_value;                                       ///< effective draws of the scores' worst coordinate
  double flip = p_value;                                      ///< that was used
  KernelSteinVerdict status = KernelSteinVerdict::not_enough_draws;  ///< the verdict

  /// Two lines: the status and the p-value; the discrepancy.
  std::string text() const {
    return scorematch::detail::text(to_string(status), ": p-value ", with_digits(p_value, 3), ", ESS ",
                                    with_digits(ess, 4), "\n  ", discrepancy.text());
  }
};

/// Signs of the wild bootstrap, n × resamples: along each chain they change with probability `flip` (Chwialkowski,
/// Strathmann & Gretton 2016, eq. 5), so that they remember as long as the chain does.
inline Eigen::MatrixXd bootstrap_signs(Index kept, Index chains, double flip, const KernelSteinTestOptions& options) {
  Eigen::MatrixXd W(kept * chains, options.resamples);
  for (Index b = 0; b < options.resamples; ++b)
    for (Index c = 0; c < chains; ++c) {
      Stream stream({options.seed, extend::Purpose::resampling}, b, static_cast<std::uint64_t>(c));
      double sign = stream.uniform() < 0.5 ? -1 : 1;
      for (Index k = 0; k < kept; ++k) {
        if (k > 0 && stream.uniform() < flip) sign = -sign;
        W(k * chains + c, b) = sign;
      }
    }
  return W;
}

/// Effective draws of the worst coordinate of the scores; NaN where that is not known.
inline double ess_of_scores(const ChainPoints& scores) {
  double least = static_cast<double>(scores.points.cols());
  if (scores.kept() == 1) return least;  // independent chains
  for (Index i = 0; i < scores.points.rows(); ++i) {
    const Diagnostic ess = ess_mean(scores.coordinate(i));
    if (!ess.has_value()) return ess.value;
    least = std::min(least, ess.value);
  }
  return least;
}

/// Whether draws are of the model, by the V-statistic of their kernel Stein discrepancy and the wild bootstrap: it is
/// compared with Σ_ij W_i W_j k₀(x_i, x_j)/n² of random signs W that remember three autocorrelation times of the
/// scores. The p-value is (1 + number of those as large)/(1 + resamples). One kept draw of each chain counts as
/// independent.
///
/// scores: d × (chains · kept), s at each of the points. Cost: n² (d + resamples). Throws as kernel_stein_discrepancy.
inline KernelSteinTest kernel_stein_test(const ChainPoints& draws, const Eigen::Ref<const Eigen::MatrixXd>& scores,
                                         const KernelSteinTestOptions& options = {}) {
  const Communicator& communicator = options.kernel.communicator;
  ranks::agree(communicator, [&] {
    options.validate();
    draws.validate();
  });
  if (!communicator.alone())
    ranks::require_same(communicator,
                        {{"the chains", scorematch::detail::text(draws.chains)},
                         {"KernelSteinTestOptions: resamples", scorematch::detail::text(options.resamples)},
                         {"KernelSteinTestOptions: flip", scorematch::detail::text(options.flip)},
                         {"KernelSteinTestOptions: min_ess", scorematch::detail::text(options.min_ess)},
                         {"KernelSteinTestOptions: seed", scorematch::detail::text(options.seed)}});
  KernelSteinTest test;
  test.discrepancy = kernel_stein_discrepancy(draws.points, scores, options.kernel);
  if (test.discrepancy.status != KernelSteinStatus::computed) {
    test.status = test.discrepancy.status == KernelSteinStatus::degenerate ? KernelSteinVerdict::degenerate
                                                                           : KernelSteinVerdict::non_finite;
    return test;
  }
  const double n = static_cast<double>(draws.points.cols());
  test.ess = ess_of_scores({scores, draws.chains});
  if (!(test.ess >= options.min_ess)) return test;
  const double time = n / test.ess;
  test.flip = options.flip > 0 ? options.flip : time < 1.2 ? 0.5 : 0.5 * -std::expm1(-1 / (3 * time));
  const SteinKernel kernel(draws.points, scores, options.kernel);
  const Eigen::VectorXd wild =
      quadratic_forms(kernel, bootstrap_signs(draws.kept(), draws.chains, test.flip, options), communicator);
  const double observed = n * n * test.discrepancy.v_statistic;
  const auto as_large = std::count_if(wild.data(), wild.data() + wild.size(), [&](double v) { return v >= observed; });
  test.p_value = static_cast<double>(1 + as_large) / static_cast<double>(1 + options.resamples);
  test.status = test.p_value <= options.false_alarm_rate ? KernelSteinVerdict::biased : KernelSteinVerdict::passed;
  return test;
}

/// The same of points (d × (chains · kept), as ChainPoints has them) and the number of chains.
inline KernelSteinTest kernel_stein_test(const Eigen::Ref<const Eigen::MatrixXd>& points,
                                         const Eigen::Ref<const Eigen::MatrixXd>& scores, Index chains,
                                         const KernelSteinTestOptions& options = {}) {
  return kernel_stein_test(ChainPoints{points, chains}, scores, options);
}

}  // namespace scorematch::diagnostics
