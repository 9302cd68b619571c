// Denoising score matching: the score of the data blurred by Gaussian noise, at one noise level or at many.
#pragma once

#include <cmath>

#include "scorematch/loss/loss.hpp"
#include "scorematch/noise/law.hpp"
#include "scorematch/noise/resolution.hpp"
#include "scorematch/random/normal.hpp"

namespace scorematch {

/// J = ½ E λ(σ) ‖s(x + σz, σ) + z/σ‖², z ~ N(0, I) (Vincent 2011; the study note's equations 1.46–1.51; with its ε = σz
/// the target −ε/σ² is −z/σ). It learns the score of p_σ = p * N(0, σ²I), not of p: for N(0, v) data the best precision
/// is 1/(v + σ²). Its value contains a constant that grows like d/(2σ²): do not compare it across σ, nor with the
/// implicit loss.
///
/// z is the noise that is left in x + σz when that is rounded, ((x + σz) − x)/σ. Throws std::invalid_argument where
/// rounding changes its variance by more than a hundredth (σ = 0.1 beside float data of 10⁶, say).
///
/// With a ladder of levels or a law of σ each sample draws its own σ (Song & Ermon 2019, equation 6), for a model whose
/// formula takes it: s(x, sigma, theta). `Loss::levels` then has the loss of each level.
///
///   sm::denoising_score_matching{.sigma = 0.3}
///   sm::denoising_score_matching{.sigma = sm::geometric_levels{.sigma_max = 20, .sigma_min = 0.1, .levels = 10},
///                                .weight = sm::Weight::sigma_squared}
struct denoising_score_matching {
  NoiseLaw sigma = 0.1;         ///< σ > 0, a standard deviation in the units of the data; or levels of it, or a law
  std::uint64_t seed = 0;       ///< of the noise; any
  bool frozen = false;          ///< the same noise at every step of a fit: the loss is deterministic
  Weight weight = Weight::one;  ///< λ(σ), what the loss at σ is multiplied by
  double sigma_data = 1;        ///< for Weight::edm: the standard deviation of the data, > 0
  /// Takes from each sample's loss λ s(x)·z/σ, whose mean is 0: the score is then asked for at x, too, which costs as
  /// much again, and the loss's and its gradient's variance no longer grows as 1/σ² as σ falls. For σ that is small
  /// beside the data's structure.
  bool control_variate = false;

  /// Handed from prepare to score.
  template <class T>
  struct Notes {
    Matrix<T> z;            ///< B × d, as it was realised
    Eigen::VectorXi level;  ///< B, the number of the level; empty for one σ
    Vector<T> lambda;       ///< B, λ(σ)
  };

  /// The members of an Objective, as the role says of each (concepts.hpp).
  ///@{
  void validate() const {
    sigma.validate("denoising_score_matching: sigma");
    extend::require_positive(sigma_data, "denoising_score_matching: sigma_data");
  }
  template <class T>
  void validate_data(const MatrixView<T>& data) const {
    noise::require_resolved<T>(data, sigma.smallest(), "denoising_score_matching: sigma");
  }
  bool deterministic() const { return frozen; }
  denoising_score_matching with_new_noise() const {
    denoising_score_matching result = *this;
    result.frozen = false;
    return result;
  }
  bool half_squared_score() const { return weight == Weight::one && !control_variate; }
  /// The loss is the last term plus ½ E λ‖z/σ‖², which knows nothing of the model: the last term estimates the implicit
  /// loss on p_σ, with less noise.
  std::array<const char*, 3> term_names() const { return {"half squared score", "score along noise", "sum of both"}; }
  /// Each level's loss is told apart; see NoiseLaw.
  std::vector<std::string> level_names() const { return sigma.level_names(); }

  template <class T>
  void prepare(const extend::Samples<T>& samples, extend::Points<T>& points, Notes<T>& notes) const {
    const Index B = samples.X.rows(), d = samples.X.cols();
    const std::uint64_t draw = frozen ? 0 : samples.draw;
    notes.z.resize(B, d);
    extend::fill_normals<T>({seed, extend::Purpose::perturbation}, samples.index.data(), B, draw, d, notes.z.data(), B);
    sigma.draw(seed, samples.index.data(), B, draw, points.sigma, notes.level);
    points.X.resize(control_variate ? 2 * B : B, d);  // rows B + i: sample i itself
    if (control_variate) {
      points.sigma.conservativeResize(2 * B);
      for (Index i = 0; i < B; ++i) points.sigma[B + i] = points.sigma[i];
    }
    for (Index j = 0; j < d; ++j)
      for (Index i = 0; i < B; ++i) {
        const T x = samples.X(i, j), moved = x + points.sigma[i] * notes.z(i, j);
        points.X(i, j) = moved;
        if (control_variate) points.X(B + i, j) = x;
        notes.z(i, j) = (moved - x) / points.sigma[i];
      }
    points.along = extend::Along::none;
    notes.lambda.resize(B);
    for (Index i = 0; i < B; ++i)
      notes.lambda[i] = static_cast<T>(sigma.weight(weight, static_cast<double>(points.sigma[i]),
                                                    notes.level.size() > 0 ? notes.level[i] : 0, sigma_data));
  }

  template <class T>
  void score(const extend::Samples<T>&, const extend::Points<T>& points, const Notes<T>& notes,
             const extend::ScoreValues<T>& values, extend::Losses<T>& losses) const {
    const Index B = notes.z.rows(), d = values.S.cols(), height = values.S.rows();
    losses.bar.S.resize(height, d);
    losses.level = notes.level;
    const auto rows = [&]<class V>(Index i, V) {  // those of one register
      const V inverse = 1 / simd::load<V>(points.sigma.data() + i), lambda = simd::load<V>(notes.lambda.data() + i);
      V value{}, half{}, along{};
      for (Index j = 0; j < d; ++j) {
        const V s = simd::load<V>(values.S.data() + j * height + i), z = simd::load<V>(notes.z.data() + j * B + i);
        const V target = inverse * z, difference = s + target;
        value += difference * difference;
        half += s * s;
        along += s * target;
        simd::store<V>(losses.bar.S.data() + j * height + i, lambda * difference);
        if (height == B) continue;
        const V at_sample = simd::load<V>(values.S.data() + j * height + B + i) * target;
        along -= at_sample;
        value -= at_sample + at_sample;
        simd::store<V>(losses.bar.S.data() + j * height + B + i, -lambda * target);
      }
      simd::store<V>(losses.value.data() + i, T(0.5) * lambda * value);
      simd::store<V>(losses.terms.data() + i, T(0.5) * lambda * half);
      simd::store<V>(losses.terms.data() + B + i, lambda * along);
      simd::store<V>(losses.terms.data() + 2 * B + i, lambda * (T(0.5) * half + along));
    };
    constexpr Index lanes = simd::width<simd::Lanes<T>>;
    Index i = 0;
    for (; i + lanes <= B; i += lanes) rows(i, simd::Lanes<T>{});
    for (; i < B; ++i) rows(i, T{});
  }
  ///@}
};

}  // namespace scorematch
