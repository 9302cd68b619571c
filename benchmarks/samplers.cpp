// Langevin steps and normal numbers on the reference workloads. Items processed are chain-steps, or normals.
#include <benchmark/benchmark.h>

#include <scorematch/random/normal.hpp>
#include <scorematch/sampler/langevin.hpp>
#include <scorematch/sampler/sample.hpp>

#include <string>
#include <vector>

#include "workloads.hpp"

namespace {

namespace sm = scorematch;
using Eigen::Index;

template <class T>
void run(benchmark::State& state, const sm::EnergyModel& model, Index chains, Index steps) {
  const sm::SampleOptions options{.chains = chains, .steps = steps};
  for (auto _ : state) {
    const auto draws = sm::sample<T>(model, sm::langevin{.step = 0.01}, options);
    if (draws.status != sm::SampleStatus::complete) state.SkipWithError("the chains diverged");
    benchmark::DoNotOptimize(draws.points.data());
  }
  state.SetItemsProcessed(state.iterations() * chains * steps);
}

template <class T>
void normals(benchmark::State& state) {
  constexpr Index count = 1 << 20, columns = 16;
  std::vector<T> z(count);
  std::uint64_t step = 0;
  for (auto _ : state) {
    sm::fill_normals<T>({1, sm::Purpose::user}, sm::Ids::from(0), count / columns, step++, columns, z.data(),
                        count / columns);
    benchmark::DoNotOptimize(z.data());
  }
  state.SetItemsProcessed(state.iterations() * count);
}

template <class T>
void add(const std::string& name, void (*body)(benchmark::State&)) {
  benchmark::RegisterBenchmark((name + (sizeof(T) == 4 ? "/f32" : "/f64")).c_str(), body)
      ->Unit(benchmark::kMicrosecond);
}

template <class T>
void add_all() {
  add<T>("ula_mixture_2d_k8", [](benchmark::State& s) { run<T>(s, workload::mixture(8), 4096, 100); });
  add<T>("ula_gaussian_16d", [](benchmark::State& s) {
    const Eigen::MatrixXd A = sm::Stream({3, sm::Purpose::user}).normals(256).reshaped(16, 16);
    run<T>(s, workload::gaussian(A * A.transpose() / 16 + Eigen::MatrixXd::Identity(16, 16)), 1024, 100);
  });
  add<T>("ula_mlp_10_64_64", [](benchmark::State& s) { run<T>(s, workload::mlp_energy(10, 64, true), 1024, 50); });
  add<T>("standard_normals", normals<T>);
}

const bool registered = [] {
  add_all<double>();
  add_all<float>();
  return true;
}();

}  // namespace
