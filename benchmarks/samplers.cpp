// Langevin steps and normal numbers on the reference workloads. Items processed are chain-steps, or normals.
#include <benchmark/benchmark.h>

#include <scorematch/model/values.hpp>
#include <scorematch/random/normal.hpp>
#include <scorematch/sampler/langevin.hpp>
#include <scorematch/sampler/sample.hpp>

#include <cmath>
#include <vector>

#include "rows.hpp"
#include "workloads.hpp"

namespace {

namespace sm = scorematch;
using Eigen::Index;

constexpr double step = 0.01;
using sm::sampling::chains_a_block;

// Of a pair of normals: two uniforms 4, log 20, √ of a product 2, sine and cosine 20, two products; half of it.
constexpr double flop_per_normal = 24;

// x + h s + √(2h) z of d numbers, with z
constexpr double update_flop(Index d) { return static_cast<double>(d) * (4 + flop_per_normal); }

// One step of every chain is x + h s(x) + √(2h) z, with the score and the noise computed apart. The status is not
// looked at: one step is no complete run.
template <class T, class M>
bool one_step_is_right(const M& model, Index chains) {
  const Index d = static_cast<Index>(model.dimension());
  const Eigen::MatrixXd start = sm::Stream({5, sm::extend::Purpose::user}).normals(d * chains).reshaped(d, chains);
  const auto draws = sm::sample<T>(model, sm::langevin{.step = step}, {.chains = chains, .steps = 1, .start = start});
  sm::Matrix<T> Z(chains, d);
  sm::extend::ChainNoise{0, 0, 0}.normals(Z);
  const sm::Matrix<T> X = start.cast<T>(), S = sm::score_of(model, X),
                      expected = X + static_cast<T>(step) * S + static_cast<T>(std::sqrt(2 * step)) * Z.transpose();
  const T tolerance = (sizeof(T) == 4 ? T(1e-5) : T(1e-12)) * (1 + expected.cwiseAbs().maxCoeff());
  return (draws.points - expected).cwiseAbs().maxCoeff() <= tolerance;
}

// Times sm::sample from start to end, a thousand chains and a thousand steps a call, after checking one step: the looks
// at some sixty of the steps, by which a run is judged, are part of it.
template <class T, class M>
void time_sampler(benchmark::State& state, const M& model, Index chains, Index steps,
                  const workload::Arithmetic& arithmetic) {
  if (!one_step_is_right<T>(model, chains)) {
    state.SkipWithError("a step is wrong");
    return;
  }
  const sm::SampleOptions options{.chains = chains, .steps = steps};
  workload::GemmRates<T> gemm(arithmetic, chains_a_block, chains);
  sm::Draws<T> draws;
  gemm.measure();
  const sm::detail::Stopwatch watch;
  for (auto _ : state) {
    draws = sm::sample<T>(model, sm::langevin{.step = step}, options);
    benchmark::DoNotOptimize(draws.points.data());
  }
  const double seconds = watch.seconds();
  gemm.measure();
  if (draws.status == sm::SampleStatus::diverged || !draws.points.allFinite())
    state.SkipWithError("the chains diverged");
  workload::report(state, seconds, chains * steps, arithmetic, gemm);
}

// The chains' law after five times the longest relaxation: tr(P Cov)/d = 1 up to the step's bias (3 % here) and the
// spread of 1024 chains (1 %); 10 % is far outside both.
template <class T, class M>
bool law_is_right(const M& model, const Eigen::MatrixXd& precision) {
  const auto draws = sm::sample<T>(model, sm::langevin{.step = step}, {.chains = 1024, .steps = 500});
  const Eigen::MatrixXd X = draws.points.template cast<double>(), centred = X.colwise() - X.rowwise().mean();
  const double found = (precision * centred * centred.transpose()).trace() / static_cast<double>(X.size());
  return std::abs(found - 1) < 0.1;
}

template <class T>
void gaussian(benchmark::State& state) {
  const Eigen::MatrixXd A = sm::Stream({3, sm::extend::Purpose::user}).normals(256).reshaped(16, 16);
  const Eigen::MatrixXd precision = A * A.transpose() / 16 + Eigen::MatrixXd::Identity(16, 16);
  const auto model = workload::gaussian(precision);
  if (!law_is_right<T>(model, precision)) {
    state.SkipWithError("the chains have another law");
    return;
  }
  time_sampler<T>(state, model, 1024, 1000, {2 * 16 * 16 + update_flop(16)});
}

template <class T>
void normals(benchmark::State& state) {
  constexpr Index count = 1 << 20, columns = 16;
  sm::Vector<T> z(count);
  std::uint64_t draw = 0;
  const sm::detail::Stopwatch watch;
  for (auto _ : state) {
    sm::extend::fill_normals<T>({1, sm::extend::Purpose::user}, sm::extend::Ids::from(0), count / columns, draw++,
                                columns, z.data(), count / columns);
    benchmark::DoNotOptimize(z.data());
  }
  const double seconds = watch.seconds();
  // Mean, second and fourth moment of the last draw, each within six of its standard deviations 1, √2 and √96 over
  // √count.
  const Eigen::ArrayXd numbers = z.template cast<double>().array();
  const auto off = [&](double found, double expected, double variance) {
    return !(std::abs(found - expected) <= 6 * std::sqrt(variance / static_cast<double>(count)));
  };
  if (off(numbers.mean(), 0, 1) || off(numbers.square().mean(), 1, 2) || off(numbers.square().square().mean(), 3, 96))
    state.SkipWithError("the numbers are not normal");
  workload::report(state, seconds, count, {flop_per_normal});
}

template <class T>
void add_all() {
  namespace w = workload;
  w::add<T>("ula_mixture_2d_k8", [](benchmark::State& s) {
    // A component: its weight 34, exp among it, and its slopes and their share of the score 8.
    time_sampler<T>(s, w::compiled_mixture(8), 4096, 1000, {8 * 42 + update_flop(2)});
  });
  w::add<T>("ula_gaussian_16d", gaussian<T>);
  w::add<T>("ula_mlp_10_64_64", [](benchmark::State& s) {
    time_sampler<T>(s, w::mlp_energy(10, 64, true), 1024, 500, w::energy_score(10, 64));
  });
  w::add<T>("standard_normals", normals<T>);
}

const bool registered = [] {
  add_all<double>();
  add_all<float>();
  return true;
}();

}  // namespace
