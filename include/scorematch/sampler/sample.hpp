// sample: many chains of any transition kernel, side by side.
#pragma once

#include "scorematch/model/user_model.hpp"
#include "scorematch/sampler/sample_run.hpp"

namespace scorematch {

/// Runs `kernel` (langevin, mala, …) on `model` (an energy, a score, a user's class).
///
///   auto draws = sm::sample(fit.model, sm::mala{.step = 0.1}, {.chains = 100, .steps = 2000, .burn_in = 500, .thin =
///   10});
///
/// The same bits for any number of threads. A chain's random numbers do not depend on how many others run, its states
/// only through the rounding of matrix products (of networks, say). T: float or double. Throws std::invalid_argument
/// for options out of range or a start of the wrong shape.
template <class T = double, class M, class Kernel>
Draws<T> sample(const M& model, const Kernel& kernel, const SampleOptions& options = {}) {
  Draws<T> draws;
  if constexpr (detail::check_kernel<Kernel, T>() && detail::check_model<M>()) {
    constexpr bool possible = !Kernel::adjusted || detail::KnowsEnergy<M>;
    static_assert(
        possible,
        "a Metropolis kernel accepts by the energy: the model must be an energy_model, or a class that provides  "
        "void energy(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<Eigen::VectorXd> f) const");
    if constexpr (possible)
      sampling::run<T>(detail::bind<T>(model), sampling::bound_kernel<T>(kernel), options, draws,
                       sampling::Judging::full);
  }
  return draws;
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled.hpp"
#endif
