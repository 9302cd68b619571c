// log_partition: log Z = log ∫ exp(−f(x)) dx of any energy.
#pragma once

#include "scorematch/likelihood/annealed_importance_sampling.hpp"
#include "scorematch/likelihood/importance_sampling.hpp"
#include "scorematch/likelihood/quadrature.hpp"

namespace scorematch {

/// log Z by the method that fits the dimension: quadrature up to three, annealed importance sampling beyond. `near`:
/// points (d × n, data say) near which the model's mass is; empty: about the origin.
///
///   const auto log_z = sm::log_partition(fit.model, data);
///   std::printf("%s: %.6f ± %.1e\n", to_string(log_z.status), log_z.value, log_z.error);
template <class M>
LogPartition log_partition(const M& model, const Eigen::MatrixXd& near = {}) {
  LogPartition result;
  if constexpr (check_energy<M>()) {
    if (static_cast<Index>(model.dimension()) <= 3)
      result = log_partition(model, quadrature{.near = near});
    else
      result = log_partition(model, annealed_importance_sampling<>{.near = near});
  }
  return result;
}

}  // namespace scorematch
