// The restricted Boltzmann machine with Gaussian visible and binary hidden units, the hidden ones summed out.
#pragma once

#include "scorematch/energy/parts.hpp"

namespace scorematch {

/// Options of gaussian_bernoulli_rbm.
struct GaussianBernoulliRbmOptions {
  int hidden = 16;         ///< number of hidden units, H, 1 … 10⁶
  double sigma = 1;        ///< σ > 0; the energy is that of σ = 1 over the temperature σ². Not fitted
  std::uint64_t seed = 0;  ///< of the start: N(0, 1/d) for weights, 0 for biases

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require_within(hidden, 1, 1'000'000, "GaussianBernoulliRbmOptions: hidden");
    extend::require(
        sigma > 0 && std::isfinite(sigma * sigma) && std::isfinite(1 / (sigma * sigma)),
        {"GaussianBernoulliRbmOptions: sigma is ", sigma, "; it must be above 0, its square and 1/sigma^2 finite"});
  }
};

/// f = −(1/σ²) (⟨c, x⟩ − ½‖x‖² + Σ_k softplus((W x + b)_k)) (Vincent 2011, equation 13: fitting it by denoising score
/// matching at the noise level σ is training the autoencoder x̃ → Wᵀ sigmoid(W x̃ + b) + c, for every σ).
/// For σ = 1 it is the free energy −log Σ_h exp(−E(x, h)), h ∈ {0, 1}ᴴ, and p a mixture of 2ᴴ Gaussians:
/// log Z = ½ d log 2π + log Σ_h exp(⟨h, b⟩ + ½‖c + Wᵀh‖²).
///
///   "weights" W, H × d;  "hidden_bias" b, H numbers;  "visible_bias" c, d numbers
template <ready::FormulaVector X, class Theta>
SCOREMATCH_INLINE auto gaussian_bernoulli_rbm(const X& x, const Theta& theta,
                                              const GaussianBernoulliRbmOptions& options = {}) {
  const int d = static_cast<int>(x.size()), H = options.hidden;
  if constexpr (ready::is_recorded<X>) options.validate();
  const auto input =
      theta("weights", H, d, start_scaled_normal{.gain = 1, .seed = options.seed}) * x + theta("hidden_bias", H);
  return (0.5 * squared_norm(x) - dot(theta("visible_bias", d), x) - sum(softplus(input))) /
         (options.sigma * options.sigma);
}

/// The same as a model: gaussian_bernoulli_rbm(64, {.hidden = 100, .sigma = 0.5}).
template <class = void>
EnergyModel gaussian_bernoulli_rbm(Index dimension, const GaussianBernoulliRbmOptions& options = {}) {
  return energy_model(dimension,
                      [&](const auto& x, const auto& theta) { return gaussian_bernoulli_rbm(x, theta, options); });
}

}  // namespace scorematch
