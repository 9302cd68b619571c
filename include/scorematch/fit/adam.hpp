// Adam (Kingma & Ba 2015, algorithm 1), and what else passes over all of θ at every step: the gradient's norm, and the
// moving average of θ.
//
// A step of a network of some 10⁵ parameters reads and writes more memory than the caches near the core hold, so all
// that happens to one parameter happens in one pass, which threads share out. Each parameter is computed by itself, and
// the norm's parts are added in their order: the same bits for any number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "scorematch/evaluate/threads.hpp"
#include "scorematch/fit/learning_rate.hpp"
#include "scorematch/simd/functions.hpp"
#include "scorematch/simd/lanes.hpp"
#include "scorematch/types.hpp"

namespace scorematch::fitting {

/// ‖g‖, summed in an order that no number of threads changes. Not finite where an element of g is not.
class Norm {
 public:
  static constexpr Index shared_from = 64;  ///< pieces: half a millisecond's work

  double of(const Eigen::VectorXd& g) {
    squares_.resize(static_cast<std::size_t>(evaluate::Pieces::count(g.size())));
    pieces_.over(g.size(), shared_from, [&](Index piece, Index first, Index count) {
      squares_[static_cast<std::size_t>(piece)] = square_sum(g.data() + first, count);
    });
    double sum = 0;
    for (const double part : squares_) sum += part;
    return std::sqrt(sum);
  }

 private:
  [[gnu::noinline]] static double square_sum(const double* g, Index count) {
    using V = simd::Lanes<double>;
    constexpr Index width = simd::width<V>;
    V sums[4] = {};  // additions wait for each other; those of four sums do not
    Index i = 0;
    for (; i + 4 * width <= count; i += 4 * width)
      for (Index k = 0; k < 4; ++k) {
        const V numbers = simd::load<V>(g + i + k * width);
        sums[k] += numbers * numbers;
      }
    double sum = simd::sum_of_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (; i < count; ++i) sum += g[i] * g[i];
    return sum;
  }

  evaluate::Pieces pieces_;
  std::vector<double> squares_;
};

struct Adam {
  static constexpr Index shared_from = 8;  ///< pieces: half a millisecond's work

  LearningRate rate = {};
  Index steps = 1;  ///< in all: where the rate's cosine ends
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;

  Eigen::VectorXd mean = {}, square = {};
  Index step = 0;  ///< taken so far
  evaluate::Pieces pieces = {};

  /// θ ← θ − rate · m̂/(√v̂ + ε), m and v the moving means of scale · g and its squares, m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 −
  /// β₂ᵗ).
  void update(const Eigen::VectorXd& gradient, Eigen::VectorXd& theta, double scale = 1) {
    advance(gradient, theta, scale, nullptr, 0);
  }

  /// The same, and average ← average + share · (θ − average).
  void update(const Eigen::VectorXd& gradient, Eigen::VectorXd& theta, double scale, Eigen::VectorXd& average,
              double share) {
    advance(gradient, theta, scale, average.data(), share);
  }

 private:
  struct Factors {
    double scale, beta1, rest1, beta2, rest2, rate, square_scale, epsilon, share;
  };

  void advance(const Eigen::VectorXd& gradient, Eigen::VectorXd& theta, double scale, double* average, double share) {
    if (step == 0) {
      mean.resize(theta.size());
      square.resize(theta.size());
      std::fill_n(mean.data(), mean.size(), 0.0);
      std::fill_n(square.data(), square.size(), 0.0);
    }
    ++step;
    const double t = static_cast<double>(step);
    const Factors factors{.scale = scale,
                          .beta1 = beta1,
                          .rest1 = 1 - beta1,
                          .beta2 = beta2,
                          .rest2 = 1 - beta2,
                          .rate = rate.at(step, steps) / (1 - std::pow(beta1, t)),
                          .square_scale = 1 / (1 - std::pow(beta2, t)),
                          .epsilon = epsilon,
                          .share = share};
    pieces.over(theta.size(), shared_from, [&](Index, Index first, Index count) {
      if (average == nullptr)
        pass<false>(factors, count, gradient.data() + first, mean.data() + first, square.data() + first,
                    theta.data() + first, nullptr);
      else
        pass<true>(factors, count, gradient.data() + first, mean.data() + first, square.data() + first,
                   theta.data() + first, average + first);
    });
  }

  template <bool averages>
  [[gnu::noinline]] static void pass(const Factors& f, Index count, const double* gradient, double* mean,
                                     double* square, double* theta, double* average) {
    using V = simd::Lanes<double>;
    constexpr Index width = simd::width<V>;
    const V scale = simd::broadcast<V>(f.scale), beta1 = simd::broadcast<V>(f.beta1),
            rest1 = simd::broadcast<V>(f.rest1), beta2 = simd::broadcast<V>(f.beta2),
            rest2 = simd::broadcast<V>(f.rest2), rate = simd::broadcast<V>(f.rate),
            square_scale = simd::broadcast<V>(f.square_scale), epsilon = simd::broadcast<V>(f.epsilon),
            share = simd::broadcast<V>(f.share);
    const auto one_register = [&](const double* g_at, double* m_at, double* v_at, double* theta_at,
                                  double* average_at) SCOREMATCH_INLINE_LAMBDA {
      const V g = scale * simd::load<V>(g_at);
      const V m = beta1 * simd::load<V>(m_at) + rest1 * g;
      const V v = beta2 * simd::load<V>(v_at) + rest2 * (g * g);
      const V moved = simd::load<V>(theta_at) - rate * m / (simd::sqrt(square_scale * v) + epsilon);
      simd::store(m_at, m);
      simd::store(v_at, v);
      simd::store(theta_at, moved);
      if constexpr (averages) {
        const V before = simd::load<V>(average_at);
        simd::store(average_at, before + share * (moved - before));
      }
    };
    Index i = 0;
    for (; i + width <= count; i += width)
      one_register(gradient + i, mean + i, square + i, theta + i, averages ? average + i : nullptr);
    if (i == count) return;
    double rest[5][width] = {};
    const std::size_t bytes = static_cast<std::size_t>(count - i) * sizeof(double);
    std::memcpy(rest[0], gradient + i, bytes);
    std::memcpy(rest[1], mean + i, bytes);
    std::memcpy(rest[2], square + i, bytes);
    std::memcpy(rest[3], theta + i, bytes);
    if constexpr (averages) std::memcpy(rest[4], average + i, bytes);
    one_register(rest[0], rest[1], rest[2], rest[3], rest[4]);
    std::memcpy(mean + i, rest[1], bytes);
    std::memcpy(square + i, rest[2], bytes);
    std::memcpy(theta + i, rest[3], bytes);
    if constexpr (averages) std::memcpy(average + i, rest[4], bytes);
  }
};

}  // namespace scorematch::fitting
