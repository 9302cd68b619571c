// The reference workloads: the same shapes as the programs in benchmarks/peers.
#pragma once

#include <scorematch/model/energy_model.hpp>
#include <scorematch/model/score_model.hpp>
#include <scorematch/network/preconditioning.hpp>
#include <scorematch/network/residual_network.hpp>

#include <cmath>
#include <initializer_list>

namespace workload {

namespace sm = scorematch;
using Eigen::Index;

/// a x₀⁴ − b x₀² + c x₁²
inline auto double_well() {
  return sm::energy_model<2>([](auto x, auto theta) {
    auto square0 = square(x[0]);
    return theta("a", sm::start_at(1.0)) * square(square0) - theta("b", sm::start_at(2.0)) * square0 +
           theta("c", sm::start_at(0.5)) * square(x[1]);
  });
}

/// −log Σ_k exp(l_k − ½(u_k² + w_k²)), K Gaussians in the plane by their precision factors [[e^p, q], [0, e^r]]
inline auto mixture_formula(int K) {
  return [K](auto x, auto theta) {
    const auto block = [&](const char* name) { return theta(name, K, sm::start_normal{.sigma = 0.5, .seed = 1}); };
    auto a = x[0] - block("centre0");
    auto b = x[1] - block("centre1");
    auto u = a * exp(block("p")) + b * block("q");
    auto w = b * exp(block("r"));
    return -log_sum_exp(block("l") - 0.5 * (square(u) + square(w)));
  };
}
inline auto mixture(int K) { return sm::energy_model(2, mixture_formula(K)); }
inline auto compiled_mixture(int K) { return sm::energy_model<2>(mixture_formula(K)); }

/// ½ xᵀ P x
inline sm::EnergyModel gaussian(const Eigen::MatrixXd& precision) {
  return sm::energy_model(precision.rows(), [&](auto x, auto) { return 0.5 * quadratic_form(precision, x); });
}

template <class X, class Theta>
auto perceptron(X x, Theta theta, std::initializer_list<int> widths) {
  auto h = x;
  int layer = 0;
  for (const int width : widths) {
    if (layer > 0) h = tanh(h);
    const std::string index = std::to_string(++layer);
    h = theta("weight" + index, width, static_cast<int>(h.size()), sm::start_scaled_normal{.gain = 0.63, .seed = 2}) *
            h +
        theta("bias" + index, width);
  }
  return h;
}

/// f = W₃ tanh(W₂ tanh(W₁ x + b₁) + b₂) + b₃, with ½‖x‖² where it is to be sampled
inline sm::EnergyModel mlp_energy(Index dimension, int width, bool bowl = false) {
  return sm::energy_model(dimension, [=](auto x, auto theta) {
    auto f = perceptron(x, theta, {width, width, 1});
    return bowl ? f + 0.5 * squared_norm(x) : f;
  });
}

/// s(x, σ) = net(x, log σ)/σ with `layers` hidden layers
inline sm::ScoreModel mlp_score(int dimension, int width, int layers) {
  return sm::score_model(dimension, [=](auto x, auto sigma, auto theta) {
    auto input = concat(x, log(sigma));
    return (layers == 3 ? perceptron(input, theta, {width, width, width, dimension})
                        : perceptron(input, theta, {width, width, dimension})) /
           sigma;
  });
}

/// The network of examples/digits.cpp: two residual blocks of width 256, steered by noise level and class, inside EDM's
/// scaling.
inline sm::ScoreModel digits_score() {
  return sm::score_model(64, sm::classes{10}, [](auto x, auto sigma, auto label, auto theta) {
    return sm::edm_score(x, sigma, {.sigma_data = 0.5}, [&](auto scaled, auto noise) {
      auto condition = silu(sm::dense(sm::fourier_features(noise), theta, "noise", 64) +
                            theta("class", 64, 10, sm::start_normal{}) * label);
      return sm::residual_network(scaled, condition, theta, {.width = 256, .blocks = 2, .outputs = 64});
    });
  });
}

}  // namespace workload
