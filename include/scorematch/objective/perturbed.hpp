// perturbed: any objective, on data blurred by Gaussian noise.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "scorematch/loss/loss.hpp"
#include "scorematch/noise/resolution.hpp"
#include "scorematch/random/normal.hpp"

namespace scorematch {

/// The noise of `perturbed`.
struct Perturbation {
  double sigma = 0.1;      ///< σ > 0, a standard deviation in the units of the data
  std::uint64_t seed = 0;  ///< of the noise; any
  bool frozen = false;     ///< the same noise at every step of a fit
};

/// `objective` at x + σz instead of x, z ~ N(0, I): a loss on the perturbed density p_σ = p * N(0, σ²I) (the study
/// note's equations 1.42–1.45), which is smooth and positive everywhere, so that nothing is gained by peaks at the
/// samples.
///
///   sm::perturbed{sm::implicit_score_matching{}, {.sigma = 0.3}}                     equation 1.45
///   sm::perturbed{sm::explicit_score_matching{score_of_p_sigma}, {.sigma = 0.3}}     equation 1.44
///
/// The target of the explicit loss is the score of p_σ, a callable: known, or kernel_density_score{data, 0.3}. With
/// that one, denoising_score_matching has the same θ-gradient in the mean, at less cost (Vincent 2011, §4). The noise
/// is new at every step of a fit unless `frozen`; it is another than that of denoising_score_matching, and refused
/// where rounding leaves too little of it. Models that take sigma are given this one, unless the objective gives
/// another.
template <class O>
struct perturbed {
  O objective;              ///< the loss at x + σz
  Perturbation noise = {};  ///< σ, its seed, and whether it is frozen

  /// Handed from prepare to score.
  template <class T>
  struct Notes {
    Matrix<T> z;                          ///< B × d
    extend::Samples<T> samples;           ///< as `objective` sees them
    typename O::template Notes<T> inner;  ///< those of `objective`
  };

  /// The members of an Objective, as the role says of each (concepts.hpp).
  ///@{
  void validate() const {
    extend::require_positive(noise.sigma, "perturbed: sigma");
    objective.validate();
  }

  void validate_for(Index dimension, Index samples) const {
    if constexpr (requires { O::is_matrix; })
      static_assert(
          !O::is_matrix,
          "perturbed moves the samples: the explicit loss needs a target that is a callable, the score of the "
          "perturbed density at any point (a matrix has it at the data alone)");
    if constexpr (requires { objective.validate_for(dimension, samples); }) objective.validate_for(dimension, samples);
  }

  template <class T>
  void validate_data(const MatrixView<T>& data) const {
    noise::require_resolved<T>(data, noise.sigma, "perturbed: sigma");
    if constexpr (requires { objective.template validate_data<T>(data); }) objective.template validate_data<T>(data);
  }

  bool deterministic() const { return noise.frozen && objective.deterministic(); }
  perturbed with_new_noise() const {
    Perturbation thawed = noise;
    thawed.frozen = false;
    if constexpr (requires { objective.with_new_noise(); })
      return {objective.with_new_noise(), thawed};
    else
      return {objective, thawed};
  }
  bool half_squared_score() const requires requires(const O& o) { o.half_squared_score(); }
  { return objective.half_squared_score(); }
  auto term_names() const { return objective.term_names(); }

  template <class T>
  void prepare(const extend::Samples<T>& samples, extend::Points<T>& points, Notes<T>& notes) const {
    const Index B = samples.X.rows(), d = samples.X.cols();
    notes.z.resize(B, d);
    extend::fill_normals<T>({noise.seed, extend::Purpose::smoothing}, samples.index.data(), B,
                            noise.frozen ? 0 : samples.draw, d, notes.z.data(), B);
    notes.samples = samples;
    notes.samples.X += static_cast<T>(noise.sigma) * notes.z;
    objective::Answers<T>::mark(points.sigma);
    objective.prepare(notes.samples, points, notes.inner);
    if (objective::Answers<T>::marked(points.sigma) >= 0 || points.sigma.size() == 0)
      points.sigma.setConstant(points.X.rows(), static_cast<T>(noise.sigma));
  }

  template <class T>
  void score(const extend::Samples<T>&, const extend::Points<T>& points, const Notes<T>& notes,
             const extend::ScoreValues<T>& values, extend::Losses<T>& losses) const {
    objective.score(notes.samples, points, notes.inner, values, losses);
  }
  ///@}
};

/// Of any objective.
///@{
template <class O>
perturbed(const O&) -> perturbed<O>;
template <class O>
perturbed(const O&, const Perturbation&) -> perturbed<O>;
///@}

/// The score of a kernel density estimate p̂_σ(x) = (1/N) Σ_i N(x; x_i, σ²I), exactly:
///   ∇ log p̂_σ(x) = Σ_i w_i(x) (x_i − x)/σ²,  w the softmax of −‖x − x_i‖²/(2σ²)
/// A target for explicit_score_matching. N d operations a point.
struct kernel_density_score {
  Eigen::MatrixXd data;  ///< d × N, one column per sample
  double sigma = 0.1;    ///< > 0

  /// At every column of X (d × M): d × M. Throws std::invalid_argument for sigma out of range, for no data, and for X
  /// of another dimension.
  Eigen::MatrixXd operator()(const Eigen::MatrixXd& X) const {
    const Index d = X.rows();
    extend::require_positive(sigma, "kernel_density_score: sigma");
    extend::require(data.cols() >= 1, {"kernel_density_score: data has no columns; at least one sample is needed"});
    extend::require(X.rows() == data.rows(),
                    {"kernel_density_score: data has ", data.rows(), " rows, but the points have ", X.rows()});
    Eigen::MatrixXd S(d, X.cols());
    std::vector<double> squares(static_cast<std::size_t>(data.cols()));
    for (Index j = 0; j < X.cols(); ++j) {
      double nearest = std::numeric_limits<double>::infinity(), total = 0;
      for (Index i = 0; i < data.cols(); ++i) {
        double& square = squares[static_cast<std::size_t>(i)] = 0;
        for (Index k = 0; k < d; ++k) square += (X(k, j) - data(k, i)) * (X(k, j) - data(k, i));
        nearest = std::min(nearest, square);
      }
      for (Index k = 0; k < d; ++k) S(k, j) = 0;
      for (Index i = 0; i < data.cols(); ++i) {
        const double weight = std::exp((nearest - squares[static_cast<std::size_t>(i)]) / (2 * sigma * sigma));
        total += weight;
        for (Index k = 0; k < d; ++k) S(k, j) += weight * (data(k, i) - X(k, j));
      }
      for (Index k = 0; k < d; ++k) S(k, j) /= sigma * sigma * total;
    }
    return S;
  }
};

}  // namespace scorematch
