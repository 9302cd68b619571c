// log_partition: log Z = log ∫ exp(−f(x)) dx of any energy.
#pragma once

#include "scorematch/partition/annealed_importance_sampling.hpp"
#include "scorematch/partition/importance_sampling.hpp"
#include "scorematch/partition/quadrature.hpp"

namespace scorematch {

namespace likelihood {

/// The normal law from which annealing starts: that of `near`, if there are enough points for a covariance, else that
/// of the minima of the energy.
template <class M>
annealed_importance_sampling<> annealing_from(const M& model, const Eigen::MatrixXd& near) {
  annealed_importance_sampling<> method;
  const Index d = static_cast<Index>(model.dimension());
  if (near.cols() > d) {
    const detail::DependentMatrix<M> centred = near.colwise() - near.rowwise().mean();
    const detail::DependentMatrix<M> covariance =
        centred * centred.transpose() / static_cast<double>(centred.cols() - 1);
    if (Eigen::LLT<detail::DependentMatrix<M>>(covariance).info() == Eigen::Success) {
      method.near = near;
      return method;
    }
  }
  auto energy = energy_function<double>(model);
  Survey<decltype(energy)> found;
  LogPartition none;
  if (survey(energy, places_to_look<M>(d, near), detail::DependentVector<M>(frame_of<M>(d, near).unit), 16, found,
             none)) {
    method.mean = found.mean;
    method.covariance = found.root * found.root.transpose();
  }
  return method;
}

}  // namespace likelihood

/// log Z by the method that fits: quadrature up to three dimensions; beyond, up to 64, importance sampling around the
/// minima of the energy where a pilot of it with 10 000 samples has weights to build on, and annealed importance
/// sampling where it has not, where it does not converge, or in more. `near`: points (d × n, data say) near which the
/// model's mass is; empty: about the origin.
///
///   const auto log_z = sm::log_partition(fit.model, data);
///   std::printf("%s: %.6f ± %.1e\n", to_string(log_z.status), log_z.value, log_z.error);
template <class M>
LogPartition log_partition(const M& model, const Eigen::MatrixXd& near = {}) {
  LogPartition result;
  if constexpr (detail::check_energy<M>()) {
    constexpr Index most_by_minima = 64;  // beyond, Hessians by differences cost more than they are worth
    const Index d = static_cast<Index>(model.dimension());
    if (d <= 3) return log_partition(model, quadrature{.near = near});
    if (d > most_by_minima) return log_partition(model, annealed_importance_sampling<>{.near = near});
    result = log_partition(model, importance_sampling{.samples = 10'000, .near = near});
    const auto undecided = [&] {
      return result.status == PartitionStatus::not_converged || result.status == PartitionStatus::degenerate;
    };
    Index evaluations = 0;
    if (result.status == PartitionStatus::converged || result.status == PartitionStatus::not_converged) {
      evaluations += result.evaluations;
      result = log_partition(model, importance_sampling{.near = near});
    }
    if (undecided()) {
      evaluations += result.evaluations;
      const LogPartition annealed = log_partition(model, likelihood::annealing_from(model, near));
      const bool better = annealed.status == PartitionStatus::converged ||
                          result.status == PartitionStatus::degenerate || annealed.error < result.error;
      if (!better) evaluations += annealed.evaluations - result.evaluations;
      if (better) result = annealed;
    }
    result.evaluations += evaluations;
  }
  return result;
}

}  // namespace scorematch
