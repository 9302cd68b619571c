// Training and sampling a score-based generative model. Items processed are samples of a minibatch, or images.
#include <benchmark/benchmark.h>

#include <scorematch/fit/adam.hpp>
#include <scorematch/objective/denoising_score_matching.hpp>

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
  const sm::denoising_score_matching objective{.sigma = sm::log_normal{}, .weight = sm::Weight::edm, .sigma_data = 0.5};
  auto function = sm::objective::loss_function<T>(model, objective, data);
  sm::fitting::Adam adam{.rate = {.peak = 1e-3, .decay = sm::Decay::constant}};
  Eigen::VectorXd theta = model.parameters(), average = theta;
  sm::Loss loss;
  const workload::Arithmetic arithmetic = digits_arithmetic(true);
  workload::GemmRates<T> gemm(arithmetic, batch, batch);
  std::uint64_t step = 0;
  const auto take_step = [&] {
    const std::vector<Index> order = sm::permutation(1, step, samples);
    function.bound().bind(theta);
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
  const sm::Stopwatch watch;
  for (auto _ : state) benchmark::DoNotOptimize(take_step());
  const double seconds = watch.seconds();
  gemm.measure();
  workload::report(state, seconds, batch, arithmetic, gemm);
}

template <class T>
void add_all() {
  workload::add<T>("train_digits_64_256", train<T>);
}

const bool registered = [] {
  add_all<double>();
  add_all<float>();
  return true;
}();

}  // namespace
