// Huberised denoising score matching: samples with large residuals r weigh less. With z ~ N(0, I) and x̃ = x + σz,
//   J = E ρ(r),   r = σ‖s(x̃, σ) + (x̃ − x)/σ²‖,   ρ(r) = ½r² for r ≤ δ, δ(r − δ/2) above
// (ρ: Huber 1964, "Robust estimation of a location parameter"; denoising: Vincent 2011). Where δ is above every r, J is
// the loss of denoising_score_matching with the weight σ². The best score has E r² ≤ d, in d dimensions.
#pragma once

#include <scorematch/scorematch.hpp>

namespace sm = scorematch;
struct huberised_denoising {
  double sigma = 0.1, delta = 3;  // σ > 0, in the units of the data; δ > 0, without a unit
  std::uint64_t seed = 0;
  template <class T>
  using Notes = sm::Matrix<T>;  // z as x̃ − x has it after rounding, B × d
  void validate() const {
    sm::extend::require_positive(sigma, "huberised_denoising: sigma");
    sm::extend::require_positive(delta, "huberised_denoising: delta");
  }
  bool deterministic() const { return false; }
  std::array<const char*, 1> term_names() const { return {"half squared residual"}; }  // ½r², for comparison
  template <class T>
  void prepare(const sm::extend::Samples<T>& samples, sm::extend::Points<T>& points, Notes<T>& z) const {
    const Eigen::Index B = samples.X.rows(), d = samples.X.cols();
    z.resize(B, d);
    sm::extend::fill_normals<T>({seed, sm::extend::Purpose::perturbation}, samples.index.data(), B, samples.draw, d,
                                z.data(), B);
    points.X = samples.X + static_cast<T>(sigma) * z;
    z = (points.X - samples.X) / static_cast<T>(sigma);
    points.sigma.setConstant(B, static_cast<T>(sigma));
  }
  template <class T>
  void score(const sm::extend::Samples<T>&, const sm::extend::Points<T>&, const Notes<T>& z,
             const sm::extend::ScoreValues<T>& values, sm::extend::Losses<T>& losses) const {
    losses.bar.S = static_cast<T>(sigma) * values.S + z;
    const sm::Vector<T> r = losses.bar.S.rowwise().norm(), capped = r.cwiseMin(static_cast<T>(delta));
    losses.value = (capped.array() * (r - capped / 2).array()).matrix();
    losses.terms = r.array().square().matrix() / 2;
    losses.bar.S.array().colwise() *= static_cast<T>(sigma * delta) / r.array().max(static_cast<T>(delta));
  }
};
