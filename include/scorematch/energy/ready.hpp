// The ready energies. Each is one short formula, to be used inside another one or as a model:
//
//   sm::energy_model(2, [](auto x, auto theta) { return sm::ring(x, theta) + 0.1 * sm::banana(x, theta); });
//   sm::gaussian_mixture(2, {.components = 3, .seed = 1});
//   sm::energy_model<2>([](auto x, auto theta) { return sm::double_well(x, theta); });   // compiled
//
// One formula that uses an energy twice tells their parameters apart: sm::ring(x, named("outer", theta)).
#pragma once

#include "scorematch/energy/banana.hpp"
#include "scorematch/energy/double_well.hpp"
#include "scorematch/energy/gaussian.hpp"
#include "scorematch/energy/gaussian_bernoulli_rbm.hpp"
#include "scorematch/energy/gaussian_mixture.hpp"
#include "scorematch/energy/mlp_energy.hpp"
#include "scorematch/energy/natural_gaussian.hpp"
#include "scorematch/energy/pairwise_quartic.hpp"
#include "scorematch/energy/ring.hpp"
#include "scorematch/energy/student_t.hpp"
