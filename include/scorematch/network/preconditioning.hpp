// Scaling what goes into and comes out of a noise-conditional network, so that it sees and makes numbers near 1 at
// every noise level (Karras, Aittala, Aila & Laine 2022, table 1, "EDM").
//
// The denoiser is D(x, σ) = c_skip x + c_out F(c_in x, c_noise), and s = (D − x)/σ², with
//   c_skip = σ_d²/(σ² + σ_d²)   c_out = σ σ_d/√(σ² + σ_d²)   c_in = 1/√(σ² + σ_d²)   c_noise = ¼ log σ.
// With F = 0 it is the score of N(0, σ_d²I) blurred by σ: what the network learns is how the data differ from that.
#pragma once

#include <type_traits>

#include "scorematch/formula/theta.hpp"

namespace scorematch {

/// Options of edm_score and edm_energy.
struct PreconditioningOptions {
  double sigma_data = 0.5;  ///< σ_d > 0: the standard deviation of the data, which should have mean 0
};

/// s(x, σ) = −x/(σ² + σ_d²) + σ_d/(σ √(σ² + σ_d²)) F(c_in x, ¼ log σ). `network` is called as F(scaled x, noise), and
/// returns a vector of x's size:
///   sm::score_model(2, [](auto x, auto sigma, auto theta) {
///     return sm::edm_score(x, sigma, {.sigma_data = 0.7}, [&](auto scaled, auto noise) {
///       return sm::mlp(sm::concat(scaled, noise), theta, {.hidden = {128, 128}, .outputs = 2});
///     });
///   });
template <class F>
formula::Value edm_score(const formula::Value& x, const formula::Value& sigma, const PreconditioningOptions& options,
                         F network) {
  extend::require_positive(options.sigma_data, "PreconditioningOptions: sigma_data");
  const double d = options.sigma_data;
  const formula::Value variance = square(sigma) + d * d, c_in = 1 / sqrt(variance);
  const formula::Value F_x = network(c_in * x, 0.25 * log(sigma));
  extend::require(F_x.size() == x.size(), {"edm_score: the network returns ", formula::shape_text(F_x),
                                           "; it must return a vector of size ", x.size(), ", that of x"});
  return (d * c_in / sigma) * F_x - x / variance;
}

/// The same for an energy, whose score −∇f is a gradient: f(x, σ) = ½‖x‖²/(σ² + σ_d²) − σ_d/σ F(c_in x, ¼ log σ), F a
/// number, so that s has the scales above with ∇F in place of F.
template <class F>
formula::Value edm_energy(const formula::Value& x, const formula::Value& sigma, const PreconditioningOptions& options,
                          F network) {
  extend::require_positive(options.sigma_data, "PreconditioningOptions: sigma_data");
  const double d = options.sigma_data;
  const formula::Value variance = square(sigma) + d * d;
  const formula::Value F_x = network((1 / sqrt(variance)) * x, 0.25 * log(sigma));
  extend::require(F_x.size() == 1,
                  {"edm_energy: the network returns ", formula::shape_text(F_x), "; it must return a number"});
  return 0.5 * squared_norm(x) / variance - (d / sigma) * F_x;
}

}  // namespace scorematch
