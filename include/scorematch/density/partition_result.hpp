// The result of every way to log Z.
#pragma once

#include <limits>
#include <string>

#include "scorematch/check.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// How a computation of log Z ended, and so whether its number can be trusted.
enum class PartitionStatus {
  converged,         ///< the error asked for is reached; by sampling: the weights are many enough to judge it
  not_converged,     ///< the evaluations allowed did not suffice: read `error` and `evidence`
  not_normalisable,  ///< ∫ exp(−f) looks infinite: read `evidence`
  degenerate,        ///< by sampling: a few samples carry the estimate, so that neither it nor its error can be trusted
  non_finite,        ///< the energy was NaN or −∞ where it was asked
  stopped,           ///< by the progress callback
};

/// The status in a word or two.
inline const char* to_string(PartitionStatus status) {
  switch (status) {
    case PartitionStatus::converged:
      return "converged";
    case PartitionStatus::not_converged:
      return "not converged";
    case PartitionStatus::not_normalisable:
      return "not normalisable";
    case PartitionStatus::degenerate:
      return "degenerate";
    case PartitionStatus::non_finite:
      return "non-finite";
    case PartitionStatus::stopped:
      return "stopped";
  }
  return "";
}

/// log Z(θ) = log ∫ exp(−f_θ(x)) dx (the study note's (1.2)), and how well it is known.
struct [[nodiscard]] LogPartition {
  double value = std::numeric_limits<double>::quiet_NaN();  ///< log Z, in nats
  /// Of `value`: by quadrature an estimate of its error (usually far too large), by sampling its standard error.
  double error = std::numeric_limits<double>::infinity();
  /// By quadrature value ∓ error; by sampling two standard errors around it; with annealed importance sampling in both
  /// directions two-sided bounds.
  double lower = -std::numeric_limits<double>::infinity();
  double upper = std::numeric_limits<double>::infinity();  ///< the upper end of the same
  /// By sampling: (Σw)²/Σw², the number of independent exact draws that would do as well. By quadrature 0.
  double effective_sample_size = 0;
  Index evaluations = 0;                                    ///< of the energy
  PartitionStatus status = PartitionStatus::not_converged;  ///< how it ended
  std::string evidence = {};  ///< what speaks for the status, in a sentence; empty where all is well

  /// A line: how it ended, log Z with its error, and the evaluations; then the evidence, if there is any.
  std::string text() const {
    return scorematch::detail::text(to_string(status), ": log Z = ", value, " ± ", error, ", from ", evaluations,
                                    " evaluations of the energy\n", evidence.empty() ? "" : "  " + evidence + '\n');
  }
};

}  // namespace scorematch
