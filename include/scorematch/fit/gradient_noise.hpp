// Judges a θ by the gradient's own noise: whether a noisy search has arrived there, and how far it depends on the
// noise drawn.
//
// Gradients are measured as the change of the score by the step −G⁻¹g beside the score's size (fit/metric.hpp): no
// units.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "scorematch/fit/metric.hpp"
#include "scorematch/fit/minibatches.hpp"
#include "scorematch/types.hpp"

namespace scorematch::fitting {

/// Gradients at one θ, their mean and their spread, in the metric there.
class GradientSample {
 public:
  /// With `damping` beside the diagonal of G: directions that G hardly holds tell nothing of noise.
  GradientSample(const MetricAt& metric_at, const Eigen::VectorXd& theta, double damping = 1e-6) : mean_(theta) {
    mean_.setZero();
    metric_at(theta, metric_);
    solver_.factor(metric_, damping);
  }

  void add(const Eigen::VectorXd& gradient) {
    gradients_.push_back(gradient);
    for (Index i = 0; i < mean_.size(); ++i)
      mean_[i] += (gradient[i] - mean_[i]) / static_cast<double>(gradients_.size());
  }

  /// The squared length of the mean's step, beside the score's.
  double square_of_mean() const { return square(mean_) / metric_.square; }
  /// The mean squared length of the step by which one of them differs from their mean; at least two.
  double variance() const {
    double sum = 0;
    Eigen::VectorXd difference(mean_.size());
    for (const Eigen::VectorXd& gradient : gradients_) {
      for (Index i = 0; i < mean_.size(); ++i) difference[i] = gradient[i] - mean_[i];
      sum += square(difference);
    }
    return sum / static_cast<double>(gradients_.size() - 1) / metric_.square;
  }
  /// That of their mean.
  double variance_of_mean() const { return variance() / static_cast<double>(gradients_.size()); }
  bool has_size() const { return metric_.square > 0; }

 private:
  double square(const Eigen::VectorXd& gradient) const {
    Eigen::VectorXd step;
    solver_.solve(gradient, step);
    double sum = 0;
    for (Index i = 0; i < step.size(); ++i) sum += gradient[i] * step[i];
    return sum;
  }

  Metric metric_;
  MetricSolver solver_;
  Eigen::VectorXd mean_;
  std::vector<Eigen::VectorXd> gradients_;
};

/// Whether a noisy search has arrived: the step from θ would change the score by less than a tenth of its size, and the
/// gradient is within its standard error over the samples (T² ≤ 6 times what chance gives: a false alarm in some 1 % of
/// fits). `draws` limits how often the noise is drawn; `decrement` becomes that of the mean gradient. Without the whole
/// metric, and so beyond `most_dense` parameters, no step can be told to be small: never.
inline bool arrived(const LossAt& loss_at, const MetricAt& metric_at, Index samples, std::uint64_t first_draw,
                    Index draws, const Eigen::VectorXd& theta, double& decrement) {
  constexpr double small = 0.1, noise_wanted = 0.03;  // of the score's size
  const Index groups = std::min<Index>(32, samples), p = theta.size();
  if (groups < 2 || p > most_dense) return false;
  GradientSample of_draws(metric_at, theta);
  std::vector<Eigen::VectorXd> of_group(static_cast<std::size_t>(groups), Eigen::VectorXd::Zero(p));
  std::vector<Index> columns;
  Loss loss;
  Index drawn = 0;
  while (drawn < std::max<Index>(draws, 2)) {
    Eigen::VectorXd together = Eigen::VectorXd::Zero(p);
    for (Index k = 0; k < groups; ++k) {
      columns.clear();
      for (Index n = k; n < samples; n += groups) columns.push_back(n);
      loss_at(theta, {.columns = columns, .draw = first_draw + static_cast<std::uint64_t>(drawn)}, true, loss);
      for (Index i = 0; i < p; ++i) {
        of_group[static_cast<std::size_t>(k)][i] += loss.gradient[i];
        together[i] += loss.gradient[i] / static_cast<double>(groups);
      }
    }
    of_draws.add(together);
    if (++drawn > 1 && of_draws.variance_of_mean() <= noise_wanted * noise_wanted) break;
  }
  decrement = std::sqrt(of_draws.square_of_mean());
  if (decrement <= 1e-6) return true;  // there is no noise: its error is 0, too
  if (!(decrement <= small)) return false;
  GradientSample of_groups(metric_at, theta);
  for (Eigen::VectorXd& gradient : of_group) {
    for (Index i = 0; i < p; ++i) gradient[i] /= static_cast<double>(drawn);
    of_groups.add(gradient);
  }
  return of_draws.square_of_mean() <= 6 * of_groups.variance_of_mean();
}

/// Of noise_of_optimum: an optimum that moves by more is the noise's.
inline constexpr double too_noisy = 1.0 / 3;

/// How far another draw of the noise would move the optimum, as a change of the score beside its size: by the spread of
/// the gradient over draws. 0 beyond `most_dense` parameters, where no step can be told.
inline double noise_of_optimum(const LossAt& loss_at, const MetricAt& metric_at, const Eigen::VectorXd& theta) {
  constexpr std::uint64_t draws = 12;
  if (theta.size() > most_dense) return 0;
  GradientSample sample(metric_at, theta);
  if (!sample.has_size()) return 0;
  Loss loss;
  for (std::uint64_t draw = 1; draw <= draws; ++draw) {
    loss_at(theta, {.draw = draw}, true, loss);
    sample.add(loss.gradient);
  }
  return std::sqrt(sample.variance());
}

}  // namespace scorematch::fitting
