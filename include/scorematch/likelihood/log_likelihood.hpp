// The log-likelihood of data under an energy whose log Z is known.
#pragma once

#include <cmath>

#include "scorematch/check.hpp"
#include "scorematch/density/partition_result.hpp"
#include "scorematch/model/values.hpp"

namespace scorematch {

/// Numbers in nats.
struct [[nodiscard]] LogLikelihood {
  double total = 0;                 ///< Σ_n log q(x_n) = −Σ f(x_n) − N log Z (the study note's (1.11))
  double mean = 0;                  ///< total/N
  double standard_error = 0;        ///< of the mean as an estimate of E_p[log q], from the spread between samples
  double partition_error = 0;       ///< of the mean, from log Z's own error: the same for every sample
  Eigen::VectorXd per_sample = {};  ///< N
};

/// X: d × N. Throws std::invalid_argument for a log Z that is not finite, and as `energy_of` does.
template <class M, class Derived>
LogLikelihood log_likelihood(const M& model, const Eigen::MatrixBase<Derived>& X, const LogPartition& log_partition) {
  extend::require(std::isfinite(log_partition.value),
                  {"log_likelihood: log Z is ", log_partition.value, " (", to_string(log_partition.status),
                   "): ", log_partition.evidence.empty() ? "no value" : log_partition.evidence});
  LogLikelihood result;
  const auto f = energy_of(model, X);
  const double n = static_cast<double>(f.size());
  result.per_sample.resize(f.size());
  for (Index i = 0; i < f.size(); ++i) {
    result.per_sample[i] = -static_cast<double>(f[i]) - log_partition.value;
    result.total += result.per_sample[i];
  }
  result.mean = result.total / n;
  double squares = 0;
  for (const double log_q : result.per_sample) squares += (log_q - result.mean) * (log_q - result.mean);
  if (n > 1) result.standard_error = std::sqrt(squares / (n - 1) / n);
  result.partition_error = log_partition.error;
  return result;
}

}  // namespace scorematch
