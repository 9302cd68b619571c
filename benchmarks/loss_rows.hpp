// Rows that time a loss with its θ-gradient.
#pragma once

#include <scorematch/loss/loss.hpp>
#include <scorematch/random/stream.hpp>

#include <algorithm>
#include <cmath>

#include "rows.hpp"

namespace workload {

/// d × n
template <class T>
sm::Matrix<T> normal_data(Index d, Index n, double scale) {
  sm::Stream stream({7, sm::extend::Purpose::user});
  return (scale * stream.normals(d * n).reshaped(d, n)).template cast<T>();
}

/// Times loss and gradient, after checking both against a difference quotient of the loss.
template <class T, class M, class O>
void time_loss(benchmark::State& state, const M& model, const O& objective, const sm::Matrix<T>& data,
               const Arithmetic& arithmetic) {
  auto function = sm::objective::loss_function<T>(model, objective, data);
  sm::Loss loss, up, down;
  function.evaluate({}, true, loss);
  const Eigen::VectorXd theta = model.parameters(),
                        direction = Eigen::VectorXd::Ones(theta.size()) / std::sqrt(static_cast<double>(theta.size()));
  const double h = sizeof(T) == 4 ? 1e-2 : 1e-4;
  function.bind(theta + h * direction);
  function.evaluate({}, false, up);
  function.bind(theta - h * direction);
  function.evaluate({}, false, down);
  function.bind(theta);
  const double expected = (up.value - down.value) / (2 * h), found = loss.gradient.dot(direction),
               scale = loss.gradient.norm() + std::abs(loss.value);
  if (!(std::abs(found - expected) <= (sizeof(T) == 4 ? 2e-2 : 1e-4) * scale)) {
    state.SkipWithError("the gradient is wrong");
    return;
  }

  const Index block = std::min(function.bound().block_size(arithmetic.along, arithmetic.directions), data.cols());
  GemmRates<T> gemm(arithmetic, block, data.cols());
  gemm.measure();
  const sm::detail::Stopwatch watch;
  for (auto _ : state) {
    function.evaluate({}, true, loss);
    benchmark::DoNotOptimize(loss.gradient.data());
  }
  const double seconds = watch.seconds();
  gemm.measure();
  report(state, seconds, data.cols(), arithmetic, gemm);
}

}  // namespace workload
