// Noise contrastive estimation: θ and log Z by telling data from noise.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "scorematch/density/gaussian_density.hpp"
#include "scorematch/likelihood/likelihood_fit.hpp"
#include "scorematch/random/normal.hpp"
#include "scorematch/ranks/agreement.hpp"

namespace scorematch {

/// Minimises, over θ and a constant c beside it,
///   J = −(1/N) Σ_data log σ(G(x)) − (1/N) Σ_noise log σ(−G(y)),   G = −f_θ + c − log p_noise − log ν,
/// σ the logistic function and ν the noise points a sample: the loss of the best classifier of data against noise. At
/// its minimum exp(−f + c) is normalised, so that −c estimates log Z (M. U. Gutmann, A. Hyvärinen, "Noise-contrastive
/// estimation of unnormalized statistical models", JMLR 13, 2012). The closer the noise is to the data, the better;
/// where they hardly overlap the estimate is poor.
struct noise_contrastive_estimation {
  Index noise_per_sample = 10;  ///< ν ≥ 1
  double spread = 1;            ///< > 0: without a `density` the noise is N(mean, spread² covariance) of the data
  std::uint64_t seed = 0;       ///< of the noise; any
  std::optional<Density> density = {};  ///< the noise's own law, with
  Eigen::MatrixXd noise = {};           ///< draws of it, d × (ν N)

  /// Throws std::invalid_argument unless every option is in its range, and `density` and `noise` come together.
  void validate() const {
    extend::require_at_least(noise_per_sample, 1, "noise_contrastive_estimation: noise_per_sample");
    extend::require(
        spread > 0 && spread * spread > 0 && std::isfinite(spread * spread),
        {"noise_contrastive_estimation: spread is ", spread, "; it and its square must be finite numbers above 0"});
    extend::require(density.has_value() == (noise.size() > 0),
                    {"noise_contrastive_estimation: density and noise come together; only ",
                     density.has_value() ? "density" : "noise", " is given"});
  }
};

namespace likelihood {

/// The loss and its gradient with respect to (θ, c) on given data and noise.
template <class Real>
class NoiseContrast {
 public:
  /// log densities of the noise at the data and at the noise
  NoiseContrast(EnergyFunction<Real>& energy, const Matrix<Real>& data, const Matrix<Real>& noise,
                const Vector<Real>& at_data, const Vector<Real>& at_noise)
      : energy_(energy),
        samples_(data.cols()),
        log_ratio_(std::log(static_cast<double>(noise.cols()) / static_cast<double>(data.cols()))) {
    all_.resize(data.rows(), data.cols() + noise.cols());
    all_ << data, noise;
    log_noise_.resize(all_.cols());
    log_noise_ << at_data, at_noise;
  }

  /// log of the mean of exp(−f)/p_noise over the noise: log Z by importance sampling, where c may start.
  double log_partition_at(const Vector<Real>& theta) {
    energy_.bound().bind(theta);
    Vector<Real> f;
    energy_.values(all_, f);
    const Eigen::Array<Real, Eigen::Dynamic, 1> log_w = (-f - log_noise_).tail(all_.cols() - samples_).array();
    const double most = log_w.maxCoeff();
    return most + std::log((log_w - most).exp().mean());
  }

  /// The points and their weights in the loss's second derivative, σ(G) σ(−G)/N.
  void weights(const Vector<Real>& theta_and_c, const Matrix<Real>*& points, Vector<Real>& w) {
    const Index p = theta_and_c.size() - 1;
    energy_.bound().bind(theta_and_c.head(p));
    energy_.values(all_, w);
    for (Index n = 0; n < w.size(); ++n) {
      const double g = -w[n] + theta_and_c[p] - log_noise_[n] - log_ratio_;
      w[n] = 1 / ((1 + std::exp(g)) * (1 + std::exp(-g)) * static_cast<double>(samples_));
    }
    points = &all_;
  }

  double operator()(const Vector<Real>& theta_and_c, Vector<Real>& gradient) {
    const Index p = theta_and_c.size() - 1;
    const double c = theta_and_c[p], scale = 1 / static_cast<double>(samples_);
    energy_.bound().bind(theta_and_c.head(p));
    Vector<Real> losses(all_.cols()), slopes(all_.cols()), of_theta;
    energy_.weighted_gradient(
        all_,
        [&](Index first, const Vector<Real>& f, Vector<Real>& w) {
          for (Index i = 0; i < f.size(); ++i) {
            const Index n = first + i;
            const double g = -f[i] + c - log_noise_[n] - log_ratio_, sign = n < samples_ ? -1 : 1;
            // −log σ(−sign g) = softplus(sign g), and its slope
            losses[n] = std::max(sign * g, 0.0) + std::log1p(std::exp(-std::abs(g)));
            slopes[n] = sign * scale / (1 + std::exp(-sign * g));
            w[i] = -slopes[n];  // G falls as f rises
          }
        },
        of_theta);
    gradient.resize(p + 1);
    gradient.head(p) = of_theta;
    gradient[p] = energy_.sum(all_, slopes);
    return energy_.sum(all_, losses) * scale;
  }

 private:
  EnergyFunction<Real>& energy_;
  Index samples_;
  double log_ratio_;
  Matrix<Real> all_;
  Vector<Real> log_noise_;
};

/// The noise's points (d × (ν N)), and their law.
template <class Real>
struct Noise {
  Matrix<Real> points;
  Density density;
};

/// Draws of N(mean, spread² covariance) of the data.
template <class Real>
Noise<Real> normal_noise(const noise_contrastive_estimation& method, const Matrix<Real>& data) {
  const Index d = data.rows(), N = data.cols(), count = method.noise_per_sample * N;
  const Vector<Real> mean = data.rowwise().mean();
  const Matrix<Real> centred = data.colwise() - mean, covariance = method.spread * method.spread * centred *
                                                                   centred.transpose() / static_cast<double>(N);
  const Eigen::LLT<Matrix<Real>> factor(covariance);
  extend::require(factor.info() == Eigen::Success && factor.rcond() > 1e-14,
                  {"noise_contrastive_estimation: the covariance of the data is singular (", N,
                   " samples of dimension ", d, "); give density and noise"});
  Matrix<Real> z(count, d);
  extend::fill_normals<double>({method.seed, extend::Purpose::contrast}, extend::Ids::from(0), count, 0, d, z.data(),
                               count);
  return {(factor.matrixL() * z.transpose()).colwise() + mean, gaussian_density(mean, covariance)};
}

/// The user's, or normal noise.
template <class Real>
Noise<Real> noise_for(const noise_contrastive_estimation& method, const Matrix<Real>& data) {
  const Index d = data.rows(), count = method.noise_per_sample * data.cols();
  const Noise<Real> noise = method.density ? Noise<Real>{method.noise, *method.density} : normal_noise(method, data);
  extend::require(noise.points.rows() == d && noise.points.cols() == count,
                  {"noise_contrastive_estimation: noise is ", noise.points.rows(), " × ", noise.points.cols(),
                   "; it must be ", d, " × ", count, ", noise_per_sample times the samples"});
  return noise;
}

/// In what the ranks of a fit by this method must agree.
inline std::vector<ranks::Common> common_facts(const noise_contrastive_estimation& method) {
  using scorematch::detail::text;
  return {{"noise_contrastive_estimation: noise_per_sample", text(method.noise_per_sample)},
          {"noise_contrastive_estimation: spread", text(method.spread)},
          {"noise_contrastive_estimation: seed", text(method.seed)},
          {"noise_contrastive_estimation: noise", ranks::digest_of_matrix(method.noise)}};
}

/// The noise is kept: at most 2³⁶ numbers, half a terabyte.
inline void require_room_for_noise(const noise_contrastive_estimation& method, Index d, Index N) {
  const Index most = detail::power_of_two(36) / std::max<Index>(1, d * N);
  extend::require(method.noise_per_sample <= most,
                  {"noise_contrastive_estimation: noise_per_sample is ", method.noise_per_sample, "; for ", N,
                   " samples of dimension ", d, " it must be at most ", most, ", since all noise is kept in memory"});
}

/// Minimises J over θ, which begins at the start that suits the data, and c; `fitted` is θ.
template <class Real>
void minimise_contrast(const noise_contrastive_estimation& method, EnergyFunction<Real>& energy,
                       const ModelAtStart& model, const Matrix<Real>& data, const FitOptions& options,
                       Vector<Real>& fitted, LikelihoodOutcome& result) {
  using Theta = Vector<Real>;
  std::optional<Noise<Real>> noise;
  Theta at_data, at_noise;
  fitting::DataScale units;
  ranks::agree(options.communicator, [&] {
    noise = noise_for(method, data);
    at_data = noise->density(data);
    at_noise = noise->density(noise->points);
    units = fitting::inspect_data<double>(data, result.warnings);
  });
  if (!options.communicator.alone())
    ranks::require_same(options.communicator,
                        {{"noise_contrastive_estimation: density, at the data", ranks::digest_of(at_data)}});
  energy.share(options.communicator);
  NoiseContrast<Real> contrast(energy, data, noise->points, at_data, at_noise);
  noise.reset();
  const auto with_constant = [&](const Theta& at) {
    Theta both(at.size() + 1);
    both << at, -contrast.log_partition_at(at);
    return both;
  };
  const auto loss = [&](const Theta& at, Theta& slopes) { return contrast(at, slopes); };
  const auto weights = [&](const Theta& at, const Matrix<Real>*& points, Theta& w) { contrast.weights(at, points, w); };
  Theta gradient;
  const Theta start = start_for<Real>(model, data, units, options,
                                      [&](const Theta& at) { return contrast(with_constant(at), gradient); });
  Theta theta = with_constant(start);
  by_lbfgs(loss, information<Real>(energy, weights, false, true), -std::numeric_limits<double>::infinity(), theta,
           options, result);
  fitted = theta.head(start.size());
  LogPartition& log_partition = result.log_partition;
  log_partition.value = -theta[start.size()];
  log_partition.evaluations = energy.evaluations();
  const bool converged = result.status == FitStatus::converged;
  log_partition.status = converged ? PartitionStatus::converged : PartitionStatus::not_converged;
  if (!converged) log_partition.evidence = detail::text("the fit ended ", to_string(result.status));
}

}  // namespace likelihood

/// Fits θ and log Z by noise contrastive estimation with L-BFGS: `loss` is J, `log_partition.value` is −c; its `error`
/// is not estimated (∞): estimate it by repeating with other seeds. In any dimension; the noise is drawn once.
///
///   auto fit = sm::fit(energy, sm::noise_contrastive_estimation{.noise_per_sample = 20}, data);
///
/// X: d × N; on several ranks each gives its own columns, and all the same `density` and `noise`, that of all samples.
/// Throws std::invalid_argument as fit does, for noise of another shape than d × (ν N), and where the data's
/// covariance is singular, so that no normal noise covers them.
template <class M, class Derived>
LikelihoodFit<M> fit(const M& model, const noise_contrastive_estimation& method, const Eigen::MatrixBase<Derived>& X,
                     const FitOptions& options = {}) {
  LikelihoodFit<M> result{{}, model};
  if constexpr (detail::check_trainable_energy<M>()) {
    const Index d = static_cast<Index>(model.dimension());
    const Eigen::MatrixXd own = X.template cast<double>();
    const likelihood::ModelAtStart start = likelihood::at_start(model);
    const auto check = [&](Index samples) {
      method.validate();
      options.validate();
      likelihood::require_room_for_noise(method, d, samples);
      likelihood::require_used(options, "noise_contrastive_estimation");
    };
    const auto facts = [&] { return likelihood::common_facts(method); };
    likelihood::on_ranks({own, d, start.theta, check, facts}, options, result,
                         [&](const Eigen::MatrixXd& data, const FitOptions& shared) {
                           auto energy = likelihood::energy_function<double>(model);
                           Eigen::VectorXd theta;
                           likelihood::minimise_contrast<double>(method, energy, start, data, shared, theta, result);
                           result.model.set_parameters(theta);
                         });
  }
  return result;
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled_likelihood.hpp"
#endif
