// Training and sampling a score-based generative model. Items processed are samples of a minibatch, or images.
#include <benchmark/benchmark.h>

#include <scorematch/fit/adam.hpp>
#include <scorematch/objective/denoising_score_matching.hpp>
#include <scorematch/sampler/generate.hpp>
#include <scorematch/sampler/heun.hpp>

#include <cmath>
#include <span>
#include <vector>

#include "loss_rows.hpp"
#include "workloads.hpp"

namespace {

namespace sm = scorematch;
using Eigen::Index;

std::vector<int> labels_in_turn(Index count) {
  std::vector<int> labels;
  for (Index i = 0; i < count; ++i) labels.push_back(static_cast<int>(i % 10));
  return labels;
}

// The products of the digits network: its stream, the condition's share in each block, and the embedding of the noise.
workload::Arithmetic digits_arithmetic(bool gradient) {
  const workload::Rows first{1, 0, gradient ? 1 : 0}, other{1, gradient ? 1 : 0, gradient ? 1 : 0};
  workload::Arithmetic arithmetic;
  arithmetic.layers = {{64, 256, first}, {256, 256, other}, {64, 256, other}, {256, 256, other}, {256, 256, other},
                       {64, 256, other}, {256, 256, other}, {256, 64, other}, {32, 64, first},   {10, 64, first}};
  for (const auto& [in, out, rows] : arithmetic.layers)
    arithmetic.flop += 2 * static_cast<double>((rows.forward + rows.adjoint + rows.gradient) * in * out);
  return arithmetic;
}

// A whole step of training: minibatch, loss, gradient, Adam, moving average of the parameters.
template <class T>
void train(benchmark::State& state) {
  constexpr Index samples = 1200, batch = 128;
  const std::vector<int> labels = labels_in_turn(samples);
  const sm::Matrix<T> centres = workload::normal_data<T>(64, 10, 0.45);
  sm::Matrix<T> data = workload::normal_data<T>(64, samples, 0.2);
  for (Index i = 0; i < samples; ++i) data.col(i) += centres.col(i % 10);
  const auto model = workload::digits_score();
  const sm::denoising_score_matching objective{
      .sigma = sm::log_normal_sigma{}, .weight = sm::Weight::edm, .sigma_data = 0.5};
  auto function = sm::objective::loss_function<T>(model, objective, data);
  sm::fitting::Adam adam{.rate = {.peak = 1e-3, .decay = sm::Decay::constant}};
  Eigen::VectorXd theta = model.parameters(), average = theta;
  sm::Loss loss;
  const workload::Arithmetic arithmetic = digits_arithmetic(true);
  workload::GemmRates<T> gemm(arithmetic, batch, batch);
  std::uint64_t step = 0;
  const auto take_step = [&] {
    const std::vector<Index> order = sm::detail::permutation(1, step, samples);
    function.bind(theta);
    function.evaluate({.columns = std::span(order).first(batch), .labels = labels, .draw = ++step}, true, loss);
    adam.update(loss.gradient, theta, 1, average, 0.002);
    return loss.value;
  };
  // At the start the network is 0 and the loss that of knowing the variance alone, about d/2; training lowers it.
  const double at_start = take_step();
  for (int i = 0; i < 100; ++i) take_step();
  if (!(at_start > 25 && at_start < 40 && take_step() < 0.7 * at_start)) {
    state.SkipWithError("the training does not train");
    return;
  }
  gemm.measure();
  const sm::detail::Stopwatch watch;
  for (auto _ : state) benchmark::DoNotOptimize(take_step());
  const double seconds = watch.seconds();
  gemm.measure();
  workload::report(state, seconds, batch, arithmetic, gemm);
}

// 1000 images by 50 steps of Heun's method, 99 scores each. Before it has learned anything the network is 0, and EDM's
// scaling makes it the score of N(0, ¼ I) blurred: that is the law of what must come out, up to the steps' error of 1 %
// and the spread of 64 000 numbers.
template <class T>
void heun(benchmark::State& state) {
  constexpr Index images = 1000;
  const std::vector<int> labels = labels_in_turn(images);
  const auto model = workload::digits_score();
  workload::Arithmetic arithmetic = digits_arithmetic(false);
  arithmetic.flop *= 99;
  workload::GemmRates<T> gemm(arithmetic, sm::sampling::chains_a_block, images);
  sm::Generation<T> drawn;
  gemm.measure();
  const sm::detail::Stopwatch watch;
  for (auto _ : state) {
    drawn =
        sm::generate<T>(model, sm::heun{.levels = sm::edm_levels{.levels = 50}}, {.count = images, .labels = labels});
    benchmark::DoNotOptimize(drawn.points.data());
  }
  const double seconds = watch.seconds();
  gemm.measure();
  const double variance = drawn.points.template cast<double>().squaredNorm() / static_cast<double>(drawn.points.size());
  if (drawn.status != sm::GenerationStatus::complete || drawn.evaluations[0] != 99 ||
      !(std::abs(variance - 0.25) < 0.01))
    state.SkipWithError("the images have another law");
  workload::report(state, seconds, images, arithmetic, gemm);
}

template <class T>
void add_all() {
  workload::add<T>("train_digits_64_256", train<T>);
  workload::add<T>("heun_digits_64_256", heun<T>);
}

const bool registered = [] {
  add_all<double>();
  add_all<float>();
  return true;
}();

}  // namespace
