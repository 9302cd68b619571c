// A few points that stand for many: those that make the kernel Stein discrepancy small.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/diagnostics/kernel_stein.hpp"
#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// Options of stein_thinning.
struct SteinThinningOptions {
  KernelSteinOptions kernel = {.max_points = 1'000'000};  ///< the cost is count · n · d
  /// Δ log p of each of the n points (trace_of(model, X)), whose positive part is added to k₀(x, x): without it saddle
  /// points and minima of p are taken, where the score is small. Empty: no correction.
  Eigen::VectorXd laplacians = {};
  /// log p of each of the n points, up to a constant (−energy_of(model, X)): with it modes of low probability are not
  /// preferred for being many. Empty: no entropy term.
  Eigen::VectorXd log_densities = {};
  double entropy_weight = 1;  ///< ≥ 0, in units of 1/count

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    kernel.validate();
    extend::require(
        std::isfinite(entropy_weight) && entropy_weight >= 0,
        {"SteinThinningOptions: entropy_weight is ", entropy_weight, "; it must be a finite number, at least 0"});
  }

  /// Throws unless what is given is given of n points.
  void validate_for(Index n) const {
    const auto fits = [&](const Eigen::VectorXd& numbers, const char* name) {
      extend::require(numbers.size() == 0 || numbers.size() == n,
                      {"SteinThinningOptions: ", name, " has ", numbers.size(), " numbers for ", n,
                       " points; give one for each, or none"});
    };
    fits(laplacians, "laplacians");
    fits(log_densities, "log_densities");
  }
};

/// Points chosen to have a small kernel Stein discrepancy.
struct [[nodiscard]] SteinThinning {
  std::vector<Index> indices = {};  ///< columns of points, as they were chosen; a point may be chosen again
  double discrepancy = std::numeric_limits<double>::quiet_NaN();  ///< kernel Stein discrepancy of the chosen
  KernelSteinStatus status = KernelSteinStatus::computed;         ///< whether points could be chosen

  /// A line: how many points, their discrepancy, and the status.
  std::string text() const {
    return scorematch::detail::text(to_string(status), ": ", static_cast<Index>(indices.size()),
                                    " points, kernel Stein discrepancy ", with_digits(discrepancy, 4), '\n');
  }
};

/// `count` of the points, chosen one after another (Riabiz, Chen, Cockayne, Swietach, Niederer, Mackey & Oates 2022),
/// with the regularisation of Bénard, Staber & Da Veiga (2023, arXiv 2301.13528) where its ingredients are given: the
/// t-th is
///
///   argmin_x  ½ (k₀(x, x) + (Δ log p(x))⁺) + Σ_{u < t} k₀(x_u, x) − ½ λ t log p(x),   λ = entropy_weight/count
///
/// and of equal points the first. It leaves out burn-in and corrects a sampler's bias. points and scores: d × n; count
/// ≥ 1. Cost: count · n · d. Throws std::invalid_argument for shapes and options that do not fit.
inline SteinThinning stein_thinning(const Eigen::Ref<const Eigen::MatrixXd>& points,
                                    const Eigen::Ref<const Eigen::MatrixXd>& scores, Index count,
                                    const SteinThinningOptions& options = {}) {
  options.validate();
  require_points_and_scores(points, scores, options.kernel, "stein_thinning");
  options.validate_for(points.cols());
  extend::require_within(count, 1, 10'000'000, "stein_thinning: count");
  SteinThinning result;
  result.status = KernelSteinStatus::non_finite;
  if (!all_finite(points) || !all_finite(scores)) return result;
  for (const Eigen::VectorXd* given : {&options.laplacians, &options.log_densities})
    if (!all_finite(given->data(), given->size())) return result;
  const SteinKernel kernel(points, scores, options.kernel);
  result.status = KernelSteinStatus::degenerate;
  if (!kernel.usable()) return result;
  const Eigen::VectorXd own = kernel.diagonal();
  Eigen::VectorXd objective(points.cols()), before(points.cols());  // before: Σ over the chosen of k₀
  for (Index i = 0; i < points.cols(); ++i) {
    objective[i] = 0.5 * own[i] + (options.laplacians.size() > 0 ? 0.5 * std::max(0.0, options.laplacians[i]) : 0);
    before[i] = 0;
  }
  const double entropy = 0.5 * options.entropy_weight / static_cast<double>(count);
  double sum = 0;
  Eigen::MatrixXd column, room;
  for (Index t = 0; t < count; ++t) {
    Index best = 0;
    for (Index i = 0; i < points.cols(); ++i) {
      if (options.log_densities.size() > 0) objective[i] -= entropy * options.log_densities[i];
      if (objective[i] + before[i] < objective[best] + before[best]) best = i;
    }
    result.indices.push_back(best);
    sum += own[best] + 2 * before[best];
    kernel.tile(0, points.cols(), best, 1, column, room);
    for (Index i = 0; i < points.cols(); ++i) before[i] += column(i, 0);
  }
  result.discrepancy = std::sqrt(std::max(0.0, sum)) / static_cast<double>(count);
  result.status = std::isfinite(result.discrepancy) ? KernelSteinStatus::computed : KernelSteinStatus::non_finite;
  return result;
}

}  // namespace scorematch::diagnostics
