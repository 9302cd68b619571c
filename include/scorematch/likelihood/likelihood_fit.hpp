// What fits of an energy itself, not of its score, share: the result, and the check of what the model must offer.
#pragma once

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/fit/fit.hpp"
#include "scorematch/likelihood/energy_function.hpp"
#include "scorematch/likelihood/log_likelihood.hpp"
#include "scorematch/likelihood/partition_result.hpp"

namespace scorematch {

/// What a fit by likelihood, contrastive divergence or noise contrastive estimation returns, whatever happened.
template <class M>
struct [[nodiscard]] LikelihoodFit {
  M model;
  double loss = 0;  ///< what was minimised, at `model`; see each method
  FitStatus status = FitStatus::stopped;
  Index iterations = 0, evaluations = 0;
  Index non_finite = 0;  ///< evaluations whose loss or gradient was not finite
  std::vector<FitStep> history = {};
  LogPartition log_partition = {};  ///< of `model`, where the method learns it
  /// Contrastive divergence: the mean acceptance of the model's chains over the second half of the iterations.
  double acceptance = std::numeric_limits<double>::quiet_NaN();
  std::string evidence = {};  ///< what speaks for a status that is no good end, with its remedy; else empty
};

/// One sentence for what a class lacks to have its energy itself trained.
template <class M>
constexpr bool check_trainable_energy() {
  if constexpr (check_energy<M>()) {
    if constexpr (!Model<M>)
      static_assert(has_parameters<M> && has_energy_pull_back<M>,
                    "a class whose likelihood is to be climbed must provide  Eigen::VectorXd parameters() const,  "
                    "void set_parameters(const Eigen::VectorXd& theta)  and  "
                    "void pull_back_energy(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<const Eigen::VectorXd> w, "
                    "Eigen::Ref<Eigen::VectorXd> g) const,  which adds to g the derivative with respect to theta of "
                    "the sum over columns of w · energy(X)");
    return BoundTrainableEnergy<decltype(bind<double>(std::declval<const M&>())), double>;
  }
  return false;
}

namespace likelihood {

/// Minimises loss(θ, gradient) from the model's θ by L-BFGS, with fit's options.
template <class M>
void by_lbfgs(const fitting::Function& loss, Eigen::VectorXd& theta, const FitOptions& options,
              LikelihoodFit<M>& result) {
  fitting::HeldOut nothing;
  fitting::FitRun run =
      fitting::by_lbfgs(loss, nothing, options, options.tolerance > 0 ? options.tolerance : 1e-6, theta);
  result.loss = run.loss;
  fitting::report(std::move(run), result);
}

}  // namespace likelihood

}  // namespace scorematch
