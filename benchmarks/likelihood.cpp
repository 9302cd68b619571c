// log Z by annealed importance sampling and by quadrature. Items processed are the steps of one chain, each at a
// temperature of its own, or evaluations of the energy.
#include <benchmark/benchmark.h>

#include <scorematch/model/energy_model.hpp>
#include <scorematch/partition/annealed_importance_sampling.hpp>
#include <scorematch/partition/quadrature.hpp>

#include <cmath>
#include <utility>

#include "rows.hpp"
#include "workloads.hpp"

namespace {

namespace sm = scorematch;
using Eigen::Index;

// ∫ exp(l − ½(u² + w²)) dx = 2π exp(l − p − r) of each component.
template <class M>
double log_partition_of_mixture(const M& model) {
  const Eigen::ArrayXXd parts = (model.parameter("l") - model.parameter("p") - model.parameter("r")).array();
  return std::log(2 * 3.14159265358979323846 * parts.exp().sum());
}

// One call is all a user's is: pilot runs, then 1000 chains of 1000 temperatures.
template <class T>
void annealing(benchmark::State& state) {
  constexpr Index chains = 1000, temperatures = 1000;
  const auto model = workload::compiled_mixture(8);
  const double truth = log_partition_of_mixture(model);
  sm::annealed_importance_sampling<> method{.chains = chains, .temperatures = temperatures};
  sm::LogPartition z;
  const sm::detail::Stopwatch watch;
  for (auto _ : state) {
    z = sm::log_partition<T>(model, method);
    benchmark::DoNotOptimize(std::as_const(z.value));  // as a variable it may be lost: "+m,r" of a double, g++ 12
  }
  const double seconds = watch.seconds();
  // Six standard errors, and float's rounding of a thousand terms.
  if (z.status != sm::PartitionStatus::converged || !(std::abs(z.value - truth) < 6 * z.error + 1e-4) ||
      !(z.error < 0.01))
    state.SkipWithError("log Z is wrong");
  // A component of the score 42 (see ula_mixture_2d_k8), two normals 48, the proposal 8; the proposal's density both
  // ways 14, the acceptance's logarithm and its comparison 22, the energies of both ends and the weight 12.
  workload::report(state, seconds, chains * temperatures, {8 * 42 + 48 + 8 + 14 + 22 + 12});
  state.counters["log_Z_error"] = z.error;
}

// Σ y_i⁴ + ½ y_i², y = R x, with R a rotation: nothing that lies along the axes. log Z = 3 log ∫ exp(−y⁴ − ½ y²) dy,
// ∫ exp(−a y⁴ − b y²) dy = ½ √(b/a) exp(b²/8a) K_¼(b²/8a) (DLMF 10.32.10, Gradshteyn & Ryzhik 3.323.3).
void quadrature(benchmark::State& state) {
  const auto model = sm::energy_model<3>([](auto x, auto) {
    const double third = 1.0 / 3;
    auto u = third * (2.0 * x[0] - x[1] + 2.0 * x[2]);
    auto v = third * (2.0 * x[0] + 2.0 * x[1] - x[2]);
    auto w = third * (-x[0] + 2.0 * x[1] + 2.0 * x[2]);
    auto well = [](auto y) { return square(square(y)) + 0.5 * square(y); };
    return well(u) + well(v) + well(w);
  });
  const double a = 1, b = 0.5, argument = b * b / (8 * a);
  const double truth = 3 * std::log(0.5 * std::sqrt(b / a) * std::exp(argument) * std::cyl_bessel_k(0.25, argument));
  sm::LogPartition z;
  const sm::detail::Stopwatch watch;
  for (auto _ : state) {
    z = sm::log_partition(model, sm::quadrature{});
    benchmark::DoNotOptimize(std::as_const(z.value));
  }
  const double seconds = watch.seconds();
  if (z.status != sm::PartitionStatus::converged || !(std::abs(z.value - truth) < 1e-10))
    state.SkipWithError("log Z is wrong");
  // The energy: a rotation 18, three wells of 5, two sums; exp and the two rules' sums 24.
  workload::report(state, seconds, z.evaluations, {18 + 15 + 2 + 24});
  state.counters["evaluations"] = static_cast<double>(z.evaluations);
  state.counters["log_Z_error"] = std::abs(z.value - truth);
}

const bool registered = [] {
  workload::add<double>("ais_mixture_2d_1000x1000", annealing<double>);
  workload::add<float>("ais_mixture_2d_1000x1000", annealing<float>);
  workload::add<double>("quadrature_3d", quadrature);
  return true;
}();

}  // namespace
