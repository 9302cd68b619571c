// sample: many chains of any transition kernel, side by side.
#pragma once

#include <algorithm>
#include <cmath>

#include "scorematch/model/user_model.hpp"
#include "scorematch/sampler/hmc.hpp"
#include "scorematch/sampler/sample_run.hpp"
#include "scorematch/sampler/underdamped_langevin.hpp"

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
requires(!std::same_as<Kernel, SampleOptions>) Draws<T> sample(const M& model, const Kernel& kernel,
                                                               const SampleOptions& options = {}) {
  Draws<T> draws;
  if constexpr (detail::check_kernel<Kernel, T>() && detail::check_model<M>()) {
    constexpr bool possible = !Kernel::adjusted || detail::KnowsEnergy<M>;
    static_assert(
        possible,
        "a Metropolis kernel accepts by the energy: the model must be an energy_model, or a class that provides  "
        "void energy(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<Eigen::VectorXd> f) const");
    ranks::require_same_theta(options.communicator, model);
    if constexpr (possible)
      sampling::run<T>(detail::bind<T>(model), sampling::bound_kernel<T>(kernel), options, draws,
                       sampling::Judging::full);
  }
  return draws;
}

/// Draws of a model by a kernel that the library chooses, and tunes in a warm-up over all chains together:
///
///   const auto draws = sm::sample(model, {.chains = 64});
///
/// A model with an energy is sampled by hmc, exactly; one with a score alone by underdamped_langevin with the step that
/// has a bias of 1 % of the variance on a normal law. Metric, step and length of trajectories are in the result
/// (`metric`, `step`, `leapfrogs`). With thin = 0 up to 65536 states are kept, evenly spaced; `warm_up` must be at
/// least 20 steps. With `resume` the chains of a run, of this or any kernel, go on where it stopped, bit for bit:
///
///   const auto more = sm::sample(model, {.steps = 5000, .resume = draws.resume_point});
template <class T = double, class M>
Draws<T> sample(const M& model, SampleOptions options = {}) {
  Draws<T> draws;
  if constexpr (detail::check_model<M>()) {
    ranks::require_same_theta(options.communicator, model);
    const extend::BoundModel<T> bound = detail::bind<T>(model);
    if (options.resume.given()) {
      sampling::resume<T>(bound, options, draws);
      return draws;
    }
    if (options.warm_up == SampleOptions::automatic) options.warm_up = 400;
    ranks::agree(options.communicator, [&] {
      extend::require(
          options.warm_up >= 20,
          {"SampleOptions: warm_up is ", options.warm_up,
           "; sample(model, options) tunes its kernel in the warm-up and needs at least 20 steps of it (to go "
           "on with chains that are tuned, give .resume = draws.resume_point)"});
      options.validate();
    });
    options.keep_many();
    const double step = std::pow(static_cast<double>(std::max<Index>(1, bound.dimension())), -0.25);
    if constexpr (detail::KnowsEnergy<M>)
      sampling::run<T>(bound, sampling::bound_kernel<T>(hmc{.step = step, .leapfrogs = 3}), options, draws,
                       sampling::Judging::full);
    else
      sampling::run<T>(bound, sampling::bound_kernel<T>(underdamped_langevin::with_bias(0.01)), options, draws,
                       sampling::Judging::full);
  }
  return draws;
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled.hpp"
#endif
