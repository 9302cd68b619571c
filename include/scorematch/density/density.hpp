// A normalised log density: what divergences and entropies are made of.
#pragma once

#include <cmath>
#include <functional>
#include <type_traits>
#include <utility>

#include "scorematch/callable.hpp"
#include "scorematch/check.hpp"
#include "scorematch/density/partition_result.hpp"
#include "scorematch/model/values.hpp"

namespace scorematch {

/// log p at points, −∞ where p = 0. Works in double. Made by `density`.
class Density {
 public:
  /// log p at the columns of a d × N matrix: N numbers.
  using LogDensity = std::function<Eigen::VectorXd(const Eigen::MatrixXd&)>;

  /// Throws std::invalid_argument for dimension < 1 and an error that is negative or not finite.
  template <class F>
  requires std::is_invocable_r_v<Eigen::VectorXd, const F&, const Eigen::MatrixXd&> Density(
      Index dimension, F log_density, double log_partition_error = 0)
      : dimension_(dimension), log_density_(std::move(log_density)), log_partition_error_(log_partition_error) {
    static_assert(detail::returns_numbers<const F&, const Eigen::MatrixXd&>,
                  "a log density returns an Eigen expression, whose numbers are gone once it has returned: state the "
                  "type, [](const Eigen::MatrixXd& X) -> Eigen::VectorXd { … }");
    extend::require_at_least(dimension, 1, "density: dimension");
    extend::require(
        std::isfinite(log_partition_error) && log_partition_error >= 0,
        {"density: log_partition_error is ", log_partition_error, "; it must be a finite number, at least 0"});
  }

  /// The size of x, d.
  Index dimension() const { return dimension_; }

  /// log p at every column of X (d × N): N numbers. Throws std::invalid_argument for another shape, a non-finite entry
  /// of X, and a callable that returns another count than N.
  Eigen::VectorXd operator()(const Eigen::MatrixXd& X) const {
    extend::require_samples<double>(X, dimension_, "X");
    Eigen::VectorXd log_p = log_density_(X);
    extend::require(log_p.size() == X.cols(), {"density: the log density returned ", log_p.size(), " numbers for ",
                                               X.cols(), " points; it must return one for each"});
    return log_p;
  }

  /// Standard error of the log Z that went into it: one number for all points, no average over samples makes it less.
  double log_partition_error() const { return log_partition_error_; }

 private:
  Index dimension_;
  LogDensity log_density_;
  double log_partition_error_;
};

/// log p = −f − log Z of an energy model (or a user's class that knows its energy), at its present θ.
///
///   const auto q = sm::density(fit.model, 1.84, 0.01);
///
/// Throws std::invalid_argument unless log Z is finite, and its standard error finite and at least 0.
template <detail::AnyModel M>
Density density(const M& model, double log_partition, double log_partition_error = 0) {
  static_assert(detail::KnowsEnergy<M>,
                "density(model, log_partition) needs an energy: an energy_model, or a class that provides  "
                "void energy(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<Eigen::VectorXd> f) const");
  extend::require(std::isfinite(log_partition),
                  {"density: log_partition is ", log_partition, "; it must be a finite number, log Z"});
  return Density(
      static_cast<Index>(model.dimension()),
      [model, log_partition](const Eigen::MatrixXd& X) -> Eigen::VectorXd {
        if constexpr (detail::KnowsEnergy<M>)
          return -energy_of(model, X).array() - log_partition;
        else
          return {};
      },
      log_partition_error);
}

/// The same with the log Z that `log_partition` found, and its error.
///
///   const auto q = sm::density(fit.model, sm::log_partition(fit.model));
///
/// Throws std::invalid_argument, saying what spoke against it, where no finite log Z was found.
template <detail::AnyModel M>
Density density(const M& model, const LogPartition& log_partition) {
  extend::require(
      std::isfinite(log_partition.value) && std::isfinite(log_partition.error),
      {"density: log Z is ", log_partition.value, " ± ", log_partition.error, " (", to_string(log_partition.status),
       "): ", log_partition.evidence.empty() ? "no value" : log_partition.evidence});
  return density(model, log_partition.value, log_partition.error);
}

/// A log density in code: log_density(X) is log p at every column of X, N numbers for d × N of double.
///
///   const auto p = sm::density(2, [](const Eigen::MatrixXd& X) -> Eigen::VectorXd { … });
template <class F>
requires(!detail::AnyModel<F> && std::is_invocable_r_v<Eigen::VectorXd, const F&, const Eigen::MatrixXd&>) Density
    density(Index dimension, F log_density) {
  return Density(dimension, std::move(log_density));
}

}  // namespace scorematch
