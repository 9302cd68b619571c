// The library's effective sample size for driver.cpp: a file of its own, since Stan's headers are compiled as C++14.
#include "scorematch/diagnostics/effective_sample_size.hpp"

/// draws: kept × chains, column by column.
double bulk_ess(const double* draws, long kept, long chains) {
  return scorematch::diagnostics::ess_bulk(Eigen::Map<const Eigen::MatrixXd>(draws, kept, chains)).value;
}
