// Denoising score matching: the score of the data blurred by Gaussian noise.
#pragma once

#include "scorematch/objective/loss.hpp"
#include "scorematch/random/normal.hpp"

namespace scorematch {

/// J = ½ E‖s(x + σz) + z/σ‖², z ~ N(0, I) (Vincent 2011; the study note's equations 1.46–1.51; with its ε = σz the
/// target −ε/σ² is −z/σ). It learns the score of p_σ = p * N(0, σ²I), not of p: for N(0, v) data the best precision is
/// 1/(v + σ²). Its value contains a constant that grows like d/(2σ²): do not compare it across σ, nor with the implicit
/// loss.
struct denoising_score_matching {
  double sigma = 0.1;  ///< σ > 0, a standard deviation in the units of the data
  std::uint64_t seed = 0;
  bool frozen = false;  ///< the same noise at every step of a fit: the loss is deterministic

  template <class T>
  struct Notes {
    Matrix<T> z;  ///< B × d
  };

  void validate() const { require_positive(sigma, "denoising_score_matching: sigma"); }
  bool deterministic() const { return frozen; }
  bool half_squared_score() const { return true; }
  /// The loss is the last term plus ½ E‖z/σ‖², which knows nothing of the model: the last term estimates the implicit
  /// loss on p_σ, with less noise.
  std::array<const char*, 3> term_names() const { return {"half squared score", "score along noise", "sum of both"}; }

  template <class T>
  void prepare(const Samples<T>& samples, Points<T>& points, Notes<T>& notes) const {
    const Index B = samples.X.rows(), d = samples.X.cols();
    notes.z.resize(B, d);
    fill_normals<T>({seed, Purpose::perturbation}, samples.index.data(), B, frozen ? 0 : samples.draw, d,
                    notes.z.data(), B);
    points.X = samples.X + static_cast<T>(sigma) * notes.z;
    points.sigma.setConstant(B, static_cast<T>(sigma));
    points.along = Along::none;
  }

  template <class T>
  void score(const Samples<T>&, const Points<T>&, const Notes<T>& notes, const ScoreValues<T>& values,
             Losses<T>& losses) const {
    const T inverse = static_cast<T>(1 / sigma);
    losses.bar.S = values.S + inverse * notes.z;
    losses.value = T(0.5) * losses.bar.S.rowwise().squaredNorm();
    losses.terms.col(0) = T(0.5) * values.S.rowwise().squaredNorm();
    losses.terms.col(1) = inverse * values.S.cwiseProduct(notes.z).rowwise().sum();
    losses.terms.col(2) = losses.terms.col(0) + losses.terms.col(1);
  }
};

}  // namespace scorematch
