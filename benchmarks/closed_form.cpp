// Energies linear in θ, solved in closed form. Items processed are samples.
//
// Arithmetic: the matrix product that cannot be avoided, AᵀA of the d × p derivatives of the features of each sample,
// counted in full though the half below the diagonal is left out: 2 d p². `gemm_share` holds the whole call (features,
// products, the losses at θ = 0 and θ*, the solution) against Eigen's product of the same shape, in blocks that stay in
// the cache; 0.5 is twice the time of that product.
#include <benchmark/benchmark.h>

#include <scorematch/energy/pairwise_quartic.hpp>
#include <scorematch/inference/closed_form.hpp>
#include <scorematch/objective/implicit_score_matching.hpp>

#include "loss_rows.hpp"

namespace {

namespace sm = scorematch;
using Eigen::Index;

template <class T>
void pairwise_quartic(benchmark::State& state) {
  constexpr Index d = 10, samples = 1000000, rows_of_a_block = 480;
  const sm::EnergyModel model = sm::pairwise_quartic(d);
  const Index p = model.parameters().size();
  const sm::Matrix<T> data = workload::normal_data<T>(d, samples, 1);
  workload::GemmRate<T> gemm({{p, rows_of_a_block, p}});
  gemm.measure(0.2);
  const sm::detail::Stopwatch watch;
  for (auto _ : state) {
    const auto fit = sm::closed_form(model, sm::implicit_score_matching{}, data);
    if (fit.status != sm::ClosedFormStatus::solved || !(fit.loss.gradient.norm() < 1e-3)) {
      state.SkipWithError("not solved");
      return;
    }
  }
  const double seconds = watch.seconds();
  gemm.measure(0.2);
  workload::report(state, seconds, samples, {2.0 * d * static_cast<double>(p * p)});
  state.counters["gemm_share"] = 1e9 * state.counters["GFLOP/s"].value / gemm.flop_per_second();
}

const bool registered = [] {
  workload::add<double>("closed_form_pairwise_quartic_10d", pairwise_quartic<double>);
  workload::add<float>("closed_form_pairwise_quartic_10d", pairwise_quartic<float>);
  return true;
}();

}  // namespace
