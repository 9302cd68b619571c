// log Z by importance sampling from Student-t laws at the modes of exp(−f).
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/model/energy_function.hpp"
#include "scorematch/partition/draws.hpp"
#include "scorematch/partition/survey.hpp"
#include "scorematch/partition/weights.hpp"
#include "scorematch/random/chi_squared.hpp"
#include "scorematch/random/normal.hpp"
#include "scorematch/ranks/agreement.hpp"
#include "scorematch/sampler/mala.hpp"

namespace scorematch {

/// Z = E_r[exp(−f(x))/r(x)], x ~ r: a mixture of multivariate Student-t laws, a tenth of it with one degree of freedom,
/// whose heavy tails keep the weights bounded for models whose own are no heavier. They start at the minima of f with
/// the widths there (Laplace's method), and are then fitted to the weighted samples in a few rounds (O. Cappé et al.,
/// "Adaptive importance sampling in general mixture classes", Stat. Comput. 18, 2008). Good up to some ten dimensions;
/// beyond, or where `status` is degenerate, take annealed_importance_sampling.
struct importance_sampling {
  Index samples = 100'000;    ///< of the final estimate; 100 … 10⁹
  double degrees = 4;         ///< of freedom ν of the Student-t laws; > 0
  Index rounds = 4;           ///< 0 … 1000, of fitting the proposal, with a fifth of `samples` each
  Index most_modes = 16;      ///< ≥ 1
  std::uint64_t seed = 0;     ///< of the random numbers; any
  Eigen::MatrixXd near = {};  ///< points (d × n, data say) near which modes are to be looked for, beside the origin
  /// Ranks that share the energies of the samples; the survey's and the chains' are found by each. All give the same
  /// options, and all get the same result, that of one process, bit for bit. Default: one process.
  Communicator communicator = {};

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require_within(samples, 100, 1'000'000'000, "importance_sampling: samples");
    extend::require(degrees > 0 && degrees <= 1e6, {"importance_sampling: degrees is ", degrees,
                                                    "; it must lie above 0 and be at most 1e6, as good as normal"});
    extend::require_within(rounds, 0, 1000, "importance_sampling: rounds");
    extend::require_at_least(most_modes, 1, "importance_sampling: most_modes");
  }
};

namespace likelihood {

/// Σ_k share_k (0.9 t_ν + 0.1 t_1)(x; mean_k, root_k root_kᵀ)
template <class D = void>
class StudentMixture {
 public:
  StudentMixture(const std::vector<Mode>& modes, double degrees) : degrees_(degrees) {
    double most = -std::numeric_limits<double>::infinity();
    for (const Mode& mode : modes) most = std::max(most, mode.log_mass);
    for (const Mode& mode : modes)
      add(std::exp(std::max(mode.log_mass - most, -5.0)), mode.point, mode.covariance);  // even a faint mode is visited
    normalise();
  }

  /// X: d × n, of ids first_id, first_id + 1, …
  void draw(std::uint64_t seed, std::uint64_t step, Index n, detail::DependentMatrix<D>& X) const {
    const Index d = components_.front().mean.size();
    detail::DependentMatrix<D> Z(n, d);
    extend::fill_normals<double>({seed, extend::Purpose::partition}, extend::Ids::from(0), n, step, d, Z.data(), n);
    X.resize(d, n);
    for (Index i = 0; i < n; ++i) {
      Stream stream({seed, extend::Purpose::partition}, i, step + (std::uint64_t{1} << 39));
      double u = stream.uniform();
      std::size_t k = 0;
      while (k + 1 < components_.size() && u >= components_[k].share) u -= components_[k++].share;
      const double degrees = stream.uniform() < heavy_share ? heavy() : degrees_;
      const double scale = std::sqrt(degrees / detail::chi_squared(degrees, stream));
      const detail::DependentVector<D> z = scale * Z.row(i).transpose();
      X.col(i) = components_[k].mean + components_[k].root.template triangularView<Eigen::Lower>() * z;
    }
  }

  /// log r at every column of X, and each component's share of r there (K × n).
  void log_density(const detail::DependentMatrix<D>& X, detail::DependentVector<D>& log_r,
                   detail::DependentMatrix<D>& shares) const {
    const double d = static_cast<double>(X.rows());
    const auto constant = [d](double degrees) {
      return std::lgamma(0.5 * (degrees + d)) - std::lgamma(0.5 * degrees) -
             0.5 * d * std::log(degrees * 3.141592653589793);
    };
    const double light = constant(degrees_) + std::log1p(-heavy_share),
                 heavier = constant(heavy()) + std::log(heavy_share);
    shares.resize(static_cast<Index>(components_.size()), X.cols());
    for (std::size_t k = 0; k < components_.size(); ++k) {
      const Component& c = components_[k];
      const detail::DependentMatrix<D> Y = c.root.template triangularView<Eigen::Lower>().solve(X.colwise() - c.mean);
      const double front = std::log(c.share) - c.root.diagonal().array().log().sum();
      for (Index i = 0; i < X.cols(); ++i) {
        const double square = Y.col(i).squaredNorm(), a = light - 0.5 * (degrees_ + d) * std::log1p(square / degrees_),
                     b = heavier - 0.5 * (heavy() + d) * std::log1p(square / heavy());
        shares(static_cast<Index>(k), i) = front + std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
      }
    }
    log_r.resize(X.cols());
    for (Index i = 0; i < X.cols(); ++i) {
      const double most = shares.col(i).maxCoeff();
      shares.col(i) = (shares.col(i).array() - most).exp();
      const double sum = shares.col(i).sum();
      log_r[i] = most + std::log(sum);
      shares.col(i) /= sum;
    }
  }

  /// The mean and the scale of the whole, the components' own and that between them: a covariance but for the tails.
  void moments(detail::DependentVector<D>& mean, detail::DependentMatrix<D>& covariance) const {
    mean.setZero(components_.front().mean.size());
    covariance.setZero(mean.size(), mean.size());
    for (const Component& c : components_) mean += c.share * c.mean;
    for (const Component& c : components_)
      covariance += c.share * (c.root * c.root.transpose() + (c.mean - mean) * (c.mean - mean).transpose());
  }

  /// One step of expectation–maximisation towards the weighted samples.
  void fit_to(const detail::DependentMatrix<D>& X, const detail::DependentArray<D>& weights,
              const detail::DependentMatrix<D>& shares) {
    const Index d = X.rows();
    std::vector<Component> before;
    before.swap(components_);
    for (std::size_t k = 0; k < before.size(); ++k) {
      const Component& c = before[k];
      const detail::DependentArray<D> r = shares.row(static_cast<Index>(k)).transpose().array() * weights;
      const double mass = r.sum(), worth = mass * mass / std::max(r.square().sum(), 1e-300);
      if (!(mass > 1e-6)) continue;               // no mass here after all
      if (worth < 10 * static_cast<double>(d)) {  // too few to estimate a covariance from
        add(mass, c.mean, c.root * c.root.transpose());
        continue;
      }
      const detail::DependentMatrix<D> Y = c.root.template triangularView<Eigen::Lower>().solve(X.colwise() - c.mean);
      const detail::DependentArray<D> u =
          r * (degrees_ + static_cast<double>(d)) / (degrees_ + Y.colwise().squaredNorm().transpose().array());
      const detail::DependentVector<D> mean = X * u.matrix() / u.sum();
      const detail::DependentMatrix<D> centred = X.colwise() - mean;
      add(mass, mean, centred * u.matrix().asDiagonal() * centred.transpose() / mass);
    }
    if (components_.empty()) components_ = before;
    normalise();
  }

 private:
  struct Component {
    double share;
    detail::DependentVector<D> mean;
    detail::DependentMatrix<D> root;
  };

  void add(double share, const detail::DependentVector<D>& mean, const detail::DependentMatrix<D>& covariance) {
    const Eigen::LLT<detail::DependentMatrix<D>> factor(covariance);
    if (factor.info() == Eigen::Success) components_.push_back({share, mean, factor.matrixL()});
  }

  void normalise() {
    double sum = 0;
    for (const Component& c : components_) sum += c.share;
    for (Component& c : components_) c.share /= sum;
  }

  // A tenth of the draws have Cauchy's tails, so that the weights stay bounded for a model that has such.
  static constexpr double heavy_share = 0.1;
  double heavy() const { return std::min(degrees_, 1.0); }

  double degrees_;
  std::vector<Component> components_;
};

}  // namespace likelihood

namespace likelihood {

/// Whether the weighted samples pass for draws of the model: `draws` of them go on as chains, in coordinates in which
/// the proposal's scale is I. Stein's identities must hold along their ways, and the mean log weight at their ends be
/// the one that the weights promise, E_q[log w] = Σ w log w/Σ w: where samples are missing chains find larger weights.
template <class M, class D = M>
void judge_draws(const M& model, const importance_sampling& method, const StudentMixture<D>& proposal,
                 const detail::DependentMatrix<D>& X, const detail::DependentVector<D>& log_r,
                 const detail::DependentVector<D>& f, LogPartition& result) {
  constexpr Index draws = 1000, steps = 200, tuning = 40;
  const Index d = X.rows();
  const detail::DependentVector<D> log_w = -f - log_r;
  const detail::DependentArray<D> w = (log_w.array() - log_w.maxCoeff()).exp();
  detail::DependentVector<D> mean;
  detail::DependentMatrix<D> covariance;
  proposal.moments(mean, covariance);
  const detail::DependentVector<D> scale = covariance.diagonal().cwiseSqrt();
  const Eigen::LLT<detail::DependentMatrix<D>> factor(
      detail::DependentMatrix<D>(scale.cwiseInverse().asDiagonal() * covariance * scale.cwiseInverse().asDiagonal()));
  std::string doubt;
  double gap = 0;
  if (factor.info() != Eigen::Success) {
    doubt = "the proposal's covariance is singular";
  } else {
    const detail::DependentMatrix<D> root = scale.asDiagonal() * detail::DependentMatrix<D>(factor.matrixL());
    detail::DependentMatrix<D> U = root.template triangularView<Eigen::Lower>().solve(
        resampled<D>(X, w, std::min<Index>(draws, X.cols())).colwise() - mean);
    const auto bound = detail::bind<double>(model);
    const detail::DependentArray<D> equal = detail::DependentArray<D>::Ones(U.cols());
    mala kernel{.step = 0.5 / std::cbrt(static_cast<double>(d))};
    for (int round = 0; round < 6; ++round) {  // towards the acceptance that suits the kernel; the ways do not count
      detail::DependentMatrix<D> some = U.leftCols(std::min<Index>(96, U.cols()));
      const StayingChains trial = stay<double>(bound, sampling::bound_kernel<double>(kernel), root, mean,
                                               method.seed + 1 + static_cast<std::uint64_t>(round), tuning / 4, some);
      result.evaluations += trial.evaluations;
      kernel.step *= std::exp(2 * (trial.accepted.mean() - 0.57));
    }
    const StayingChains staying =
        stay<double>(bound, sampling::bound_kernel<double>(kernel), root, mean, method.seed, steps, U);
    result.evaluations += staying.evaluations;
    doubt = doubts_on_draws<D>(equal, staying);
    const detail::DependentMatrix<D> ends = (root * U).colwise() + mean;
    auto energy = energy_function<double>(model);
    detail::DependentVector<D> f_end, log_r_end;
    detail::DependentMatrix<D> shares;
    energy.values(ends, f_end);
    proposal.log_density(ends, log_r_end, shares);
    const detail::DependentVector<D> at_ends = -f_end - log_r_end;
    const auto [promised, promised_error] = weighted_mean<D>(log_w, w);
    const auto [found, found_error] = weighted_mean<D>(at_ends, equal);
    gap = found - promised;
    if (doubt.empty() && disagree(gap, std::hypot(promised_error, found_error)))
      doubt =
          detail::text("chains from the samples come to larger weights: the mean log weight at their ends is ", found,
                       " ± ", found_error, ", and by the samples it should be ", promised, " ± ", promised_error);
  }
  if (doubt.empty()) return;
  result.status = PartitionStatus::not_converged;
  result.evidence = doubt;
  result.error = std::max(result.error, std::abs(gap));
  result.upper = result.value + 2 * result.error;
}

}  // namespace likelihood

namespace likelihood {

/// The points of the last round of importance sampling, and what they tell of log Z.
template <class D = void>
struct WeighedPoints {
  detail::DependentMatrix<D> X;         ///< d × samples; empty where the survey of the energy ended the search
  detail::DependentVector<D> f, log_r;  ///< the energy, and the proposal's log density
};

template <class M>
LogPartition weighed_points(const M& model, const importance_sampling& method, WeighedPoints<M>& drawn) {
  LogPartition result;
  const Index d = static_cast<Index>(model.dimension());
  ranks::agree(method.communicator, [&] {
    method.validate();
    extend::require(method.near.size() == 0 || method.near.rows() == d,
                    {"importance_sampling: near is ", method.near.rows(), " × ", method.near.cols(), "; it must have ",
                     d, " rows, one column per point"});
    if (method.near.size() > 0) extend::require_samples<double>(method.near, d, "importance_sampling: near");
  });
  ranks::require_same(method.communicator, {{"importance_sampling: samples", detail::text(method.samples)},
                                            {"importance_sampling: degrees", detail::text(method.degrees)},
                                            {"importance_sampling: rounds", detail::text(method.rounds)},
                                            {"importance_sampling: most_modes", detail::text(method.most_modes)},
                                            {"importance_sampling: seed", detail::text(method.seed)},
                                            {"importance_sampling: near", ranks::digest_of_matrix(method.near)}});
  ranks::require_same_theta(method.communicator, model);
  auto energy = likelihood::energy_function<double>(model);
  energy.share(method.communicator);
  Survey<decltype(energy)> found;
  if (!survey(energy, places_to_look<M>(d, method.near), detail::DependentVector<M>(frame_of<M>(d, method.near).unit),
              method.most_modes, found, result)) {
    result.evaluations = energy.evaluations();
    return result;
  }
  StudentMixture<M> proposal(found.modes, method.degrees);
  detail::DependentMatrix<M> shares;
  for (Index round = 0; round <= method.rounds; ++round) {
    const bool last = round == method.rounds;
    proposal.draw(method.seed, static_cast<std::uint64_t>(round),
                  last ? method.samples : method.samples / 5 + (method.samples % 5 != 0), drawn.X);
    energy.values(drawn.X, drawn.f);
    proposal.log_density(drawn.X, drawn.log_r, shares);
    const detail::DependentVector<M> log_weights = -drawn.f - drawn.log_r;
    from_log_weights(log_weights, result);
    if (last || result.status == PartitionStatus::non_finite || !std::isfinite(result.value)) break;
    const detail::DependentArray<M> weights = (log_weights.array() - log_weights.maxCoeff()).exp();
    proposal.fit_to(drawn.X, weights / weights.sum(), shares);
  }
  result.evaluations = energy.evaluations();
  if (result.status == PartitionStatus::converged)
    judge_draws(model, method, proposal, drawn.X, drawn.log_r, drawn.f, result);
  return result;
}

}  // namespace likelihood

/// log Z by importance sampling: unbiased for Z, so a little low for log Z; the same bits for any number of threads.
/// `converged` is said where the weights are many and light enough, and a thousand chains that go on from the samples
/// for 200 steps find nothing that these had missed.
///
///   const auto log_z = sm::log_partition(model, sm::importance_sampling{.samples = 100'000, .near = data});
template <class M>
LogPartition log_partition(const M& model, const importance_sampling& method) {
  if constexpr (detail::check_energy<M>()) {
    LogPartition result;
    ranks::on_ranks(method.communicator, [&] {
      likelihood::WeighedPoints<M> drawn;
      result = likelihood::weighed_points(model, method, drawn);
    });
    return result;
  }
  return {};
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled_likelihood.hpp"
#endif
