// A residual network as a formula, which a condition (noise level, class, …) may steer.
#pragma once

#include <string>

#include "scorematch/network/layers.hpp"

namespace scorematch {

/// Options of residual_network.
struct ResidualNetworkOptions {
  int width = 128;                           ///< of the stream that the blocks add to, 1 … 10⁶
  int blocks = 3;                            ///< 1 … 10⁴
  int outputs = 1;                           ///< 1 … 10⁶
  Activation activation = Activation::silu;  ///< in the blocks
  std::string name = "net";                  ///< of its parameters: "net.in.weight", "net.block1.first.weight", …
  std::uint64_t seed = 0;                    ///< of the start
};

/// h₀ = W x + b;  h_k = h_{k−1} + B_k a(A_k a(h_{k−1}) + U_k c + a_k) + b_k;  out = W' a(h) + b', a vector of size
/// `outputs` (He, Zhang, Ren & Sun 2016; the condition c as in Song et al. 2021). B_k and W' start at 0:
/// each block is the identity at first, and the network 0, so that what it corrects is the start.
///
///   auto c = silu(sm::dense(sm::fourier_features(log(sigma)), theta, "noise", 64) + theta("class", 64, 10) * label);
///   return sm::residual_network(x, c, theta, {.width = 256, .blocks = 3, .outputs = 64});
template <class X, class Theta>
X residual_network(const X& x, const X& condition, const Theta& theta, const ResidualNetworkOptions& options = {}) {
  if constexpr (formula::require_recorded<X>()) {
    extend::require_within(options.width, 1, 1'000'000, "ResidualNetworkOptions: width");
    extend::require_within(options.blocks, 1, 10'000, "ResidualNetworkOptions: blocks");
    extend::require_within(options.outputs, 1, 1'000'000, "ResidualNetworkOptions: outputs");
    const start_scaled_normal weight{.gain = 1.4142135623730951, .seed = options.seed};
    X h = dense(x, theta, options.name + ".in", options.width, start_scaled_normal{.gain = 1, .seed = options.seed});
    for (int k = 1; k <= options.blocks; ++k) {
      const std::string name = options.name + ".block" + detail::text(k);
      const X inner = dense(activate(options.activation, h), theta, name + ".first", options.width, weight);
      const X steered = inner + theta(name + ".condition", options.width, static_cast<int>(condition.size()),
                                      start_scaled_normal{.gain = 1, .seed = options.seed}) *
                                    condition;
      h = h + dense(activate(options.activation, steered), theta, name + ".second", options.width, start_at(0));
    }
    return dense(activate(options.activation, h), theta, options.name + ".out", options.outputs, start_at(0));
  } else {
    return x;
  }
}

}  // namespace scorematch
