// Maximum likelihood, exact: log Z and the expectation under the model by quadrature, in up to three dimensions.
#pragma once

#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "scorematch/inference/standard_errors.hpp"
#include "scorematch/likelihood/likelihood_fit.hpp"
#include "scorematch/partition/quadrature.hpp"
#include "scorematch/ranks/agreement.hpp"
#include "scorematch/ranks/shards.hpp"

namespace scorematch {

/// Minimises −(1/N) Σ_n log q_θ(x_n) = (1/N) Σ f_θ(x_n) + log Z(θ) (the study note's (1.7)–(1.12)); its gradient is
///   (1/N) Σ ∂f/∂θ(x_n) − E_q[∂f/∂θ]    (1.13)–(1.16),
/// with both log Z and E_q by quadrature at every step. θ for which the integral cannot be told are walls, from which
/// the line search steps back. Samples that agree in a direction (one sample, a constant row, a row that is a multiple
/// of another) make the likelihood of a model with a scale of its own grow without bound: the fit ends as diverged when
/// the model is a thousandth as wide there as it was at the start.
struct maximum_likelihood {
  /// The data are its `near`, unless points are given. Ranks are those of the fit.
  quadrature integral = {.tolerance = 1e-8};

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    integral.validate();
    extend::require(integral.communicator.alone(),
                    {"maximum_likelihood: integral has a communicator of its own; leave it out: the ranks of "
                     "FitOptions or StandardErrorOptions share the integral, too"});
  }
};

/// The gradient (1.16) with both expectations by samples, as that of a loss: the library's gradients point uphill on
/// what a fit makes small, here −(1/N) log-likelihood.
struct [[nodiscard]] LikelihoodGradient {
  Eigen::VectorXd gradient;        ///< of −(1/N) log-likelihood: E_data[∂f/∂θ] − E_q[∂f/∂θ]
  Eigen::VectorXd standard_error;  ///< from the spread between 32 interleaved groups of the samples of both
  Eigen::VectorXd data_term;       ///< E_data[∂f/∂θ]
  Eigen::VectorXd model_term;      ///< E_q[∂f/∂θ]
};

namespace likelihood {

/// log Z and E_q[∂f/∂θ] at one θ after another.
template <class Real>
class ExactExpectation {
 public:
  ExactExpectation(EnergyFunction<Real>& energy, const quadrature& method) : energy_(energy), method_(method) {}

  /// False where the integral cannot be told, to a relative error of 10⁻⁴ at least.
  bool at(const Vector<Real>& theta) {
    energy_.bound().bind(theta);
    if (theta_.size() != theta.size() || (theta_.array() != theta.array()).any()) {
      log_partition_ = Quadrature<EnergyFunction<Real>>(energy_, method_).run(&nodes_);
      theta_ = theta;
    }
    return std::isfinite(log_partition_.value) && log_partition_.error < 1e-4 &&
           log_partition_.status != PartitionStatus::non_finite;
  }

  const LogPartition& log_partition() const { return log_partition_; }
  const QuadratureNodes& nodes() const { return nodes_; }

  void gradient(Vector<Real>& expectation) {
    energy_.weighted_gradient(
        nodes_.points,
        [&](Index first, const Vector<Real>& f, Vector<Real>& w) { w = nodes_.probabilities.segment(first, f.size()); },
        expectation);
  }

 private:
  EnergyFunction<Real>& energy_;
  const quadrature& method_;
  QuadratureNodes nodes_;
  LogPartition log_partition_;
  Vector<Real> theta_;  ///< of both
};

/// The mean of ∂f/∂θ over the columns of X.
template <class T>
void mean_gradient(EnergyFunction<T>& energy, MatrixView<T> X, Eigen::VectorXd& gradient,
                   double* mean_energy = nullptr) {
  const T weight = static_cast<T>(1 / static_cast<double>(X.cols()));
  Eigen::VectorXd values(X.cols());
  energy.weighted_gradient(
      X,
      [&](Index first, const Vector<T>& f, Vector<T>& w) {
        values.segment(first, f.size()) = f.template cast<double>();
        w.setConstant(weight);
      },
      gradient);
  if (mean_energy != nullptr) *mean_energy = energy.sum(X, values) / static_cast<double>(X.cols());
}

/// The mean and its standard error, over 32 interleaved groups of columns (fewer where there are fewer columns).
template <class T>
void grouped_gradient(EnergyFunction<T>& energy, MatrixView<T> X, Vector<T>& mean, Vector<T>& error) {
  const Index groups = std::min<Index>(32, X.cols());
  Matrix<T> means(energy.bound().parameter_count(), groups);
  Vector<T> gradient;
  Matrix<T> group;
  mean.setZero(means.rows());
  for (Index g = 0; g < groups; ++g) {
    const Index count = (X.cols() - g + groups - 1) / groups;
    group.resize(X.rows(), count);
    for (Index i = 0; i < count; ++i) group.col(i) = X.col(g + i * groups);
    mean_gradient<T>(energy, group, gradient);
    means.col(g) = gradient;
    mean += gradient * (static_cast<double>(count) / static_cast<double>(X.cols()));
  }
  error.setConstant(mean.size(), std::numeric_limits<double>::infinity());
  if (groups > 1)
    error = ((means.colwise() - mean).rowwise().squaredNorm() / static_cast<double>(groups * (groups - 1))).cwiseSqrt();
}

template <class T>
void difference_of_means(EnergyFunction<T>& energy, const Matrix<T>& data, const Matrix<T>& samples,
                         LikelihoodGradient& result) {
  Vector<T> data_error, model_error;
  grouped_gradient<T>(energy, data, result.data_term, data_error);
  grouped_gradient<T>(energy, samples, result.model_term, model_error);
  result.gradient = result.data_term - result.model_term;
  result.standard_error = (data_error.cwiseAbs2() + model_error.cwiseAbs2()).cwiseSqrt();
}

/// Directions v in which all columns of X (d × N) agree, vᵀ(x/scale) being the same number for all, as columns: none
/// where the samples fill the space. `scale`: of each row.
template <class Real>
Matrix<Real> flat_directions(const Matrix<Real>& X, Vector<Real>& scale) {
  const Index d = X.rows(), n = X.cols();
  constexpr double epsilon = std::numeric_limits<double>::epsilon();
  scale.resize(d);
  Matrix<Real> rows(n, d);
  double noise = 0;
  for (Index j = 0; j < d; ++j) {
    const double most = X.row(j).cwiseAbs().maxCoeff(), unit = most > 0 ? most : 1;
    rows.col(j) = X.row(j).transpose() / unit;
    rows.col(j).array() -= rows.col(j).mean();
    const double length = rows.col(j).norm() / std::sqrt(static_cast<double>(n));
    const bool differs = length > 16 * epsilon;
    scale[j] = differs ? unit * length : unit;
    if (!differs) rows.col(j).setZero();
    if (differs) rows.col(j) /= rows.col(j).norm();
    if (differs) noise = std::max(noise, 16 * epsilon / length);
  }
  // With R from the factorisation of the columns, the longest first: R₁₁ y₁ + R₁₂ y₂ = 0.
  Matrix<Real> padded = Matrix<Real>::Zero(std::max(n, d), d);
  padded.topRows(n) = rows;
  const Eigen::ColPivHouseholderQR<Matrix<Real>> factor(padded);
  const Matrix<Real> R = factor.matrixR().topRows(d);
  Index rank = 0;
  while (rank < d && std::abs(R(rank, rank)) > std::max(10 * noise, 1e-14)) ++rank;
  Matrix<Real> flat = Matrix<Real>::Zero(d, d - rank);
  if (rank == d) return flat;
  for (Index k = 0; k < d - rank; ++k) {
    flat(rank + k, k) = 1;
    if (rank > 0)
      flat.col(k).head(rank) = -R.topLeftCorner(rank, rank)
                                    .template triangularView<Eigen::Upper>()
                                    .solve(Vector<Real>(R.col(rank + k).head(rank)));
  }
  return factor.colsPermutation() * flat;
}

/// Where samples agree in a direction a model may grow narrower along it for ever, and its likelihood without bound.
template <class Real>
class Collapse {
 public:
  explicit Collapse(const Matrix<Real>& X) : directions_(flat_directions<Real>(X, scale_)) {
    if (directions_.cols() == 0) return;
    start_.resize(0);
    magnitude_ = (directions_.cwiseAbs().transpose() * X.cwiseAbs().rowwise().maxCoeff().cwiseQuotient(scale_));
  }

  /// Whether the model with these nodes is a thousandth as wide along such a direction as the first one was, or nearly
  /// as narrow as the numbers there are apart.
  bool reached(const QuadratureNodes& nodes) {
    if (directions_.cols() == 0) return false;
    const Matrix<Real> along = directions_.transpose() * scale_.cwiseInverse().asDiagonal() * nodes.points;
    const Vector<Real> mean = along * nodes.probabilities;
    const Vector<Real> width = ((along.colwise() - mean).cwiseAbs2() * nodes.probabilities).cwiseSqrt();
    if (start_.size() == 0) start_ = width;
    for (Index k = 0; k < width.size(); ++k)
      if (width[k] < 1e-3 * start_[k] || width[k] < 1e-10 * magnitude_[k]) return true;
    return false;
  }

 private:
  Vector<Real> scale_, start_, magnitude_;
  Matrix<Real> directions_;
};

/// In what the ranks of a fit by maximum likelihood must agree.
inline std::vector<ranks::Common> common_facts(const maximum_likelihood& method) {
  return {{"maximum_likelihood: integral.tolerance", scorematch::detail::text(method.integral.tolerance)},
          {"maximum_likelihood: integral.most_evaluations", scorematch::detail::text(method.integral.most_evaluations)},
          {"maximum_likelihood: integral.near", ranks::digest_of_matrix(method.integral.near)}};
}

/// The fit of the model whose energy is given; θ becomes the answer. X: of all ranks, on each.
template <class Real>
void maximise(const maximum_likelihood& method, EnergyFunction<Real>& energy, const ModelAtStart& model,
              const Matrix<Real>& X, const FitOptions& options, Vector<Real>& theta, LikelihoodOutcome& result) {
  quadrature integral = method.integral;
  integral.progress = {};
  if (integral.near.size() == 0) integral.near = X;
  energy.share(options.communicator);
  ExactExpectation<Real> expectation(energy, integral);
  Vector<Real> model_term;
  Collapse<Real> collapse(X);
  bool collapsed = false;
  FitOptions until_collapse = options;
  until_collapse.progress = [&](const Progress& progress) {
    const bool go_on = !options.progress || options.progress(progress);
    return go_on && !collapsed;
  };
  const auto loss = [&](const Vector<Real>& at, Vector<Real>& gradient) {
    gradient.setZero(at.size());
    if (!expectation.at(at)) return std::numeric_limits<double>::infinity();
    double mean_energy = 0;
    mean_gradient<Real>(energy, X, gradient, &mean_energy);
    expectation.gradient(model_term);
    gradient -= model_term;
    collapsed = collapsed || collapse.reached(expectation.nodes());
    return mean_energy + expectation.log_partition().value;
  };
  const auto nodes = [&](const Vector<Real>& at, const Matrix<Real>*& points, Vector<Real>& weights) {
    (void)expectation.at(at);
    points = &expectation.nodes().points;
    weights = expectation.nodes().probabilities;
  };
  fitting::DataScale units;
  ranks::agree(options.communicator, [&] { units = fitting::inspect_data<double>(X, result.warnings); });
  Vector<Real> gradient;
  theta = start_for<Real>(model, X, units, options, [&](const Vector<Real>& at) { return loss(at, gradient); });
  by_lbfgs(loss, information<Real>(energy, nodes, true), likelihood_floor(units), theta, until_collapse, result);
  if (collapsed) result.status = FitStatus::diverged;
  (void)expectation.at(theta);
  result.log_partition = expectation.log_partition();
}

/// A fit by likelihood, as standard errors need it (inference/standard_errors.hpp).
template <class Real>
class ExactFit final : public fitting::MeanOfLosses {
 public:
  /// `data`: of all ranks, on each; `shards`: who gave which columns.
  ExactFit(EnergyFunction<Real> energy, const Vector<Real>& theta, const quadrature& integral, const Matrix<Real>& data,
           const ranks::Shards& shards)
      : theta_(theta), data_(data), shards_(shards), energy_(std::move(energy)), expectation_(energy_, integral) {
    energy_.share(shards.communicator());
  }

  bool quadratic() const override { return false; }
  bool deterministic() const override { return true; }
  Eigen::MatrixXd curvature() override { return {}; }

  Eigen::VectorXd gradient(const Eigen::VectorXd& theta) override {
    Vector<Real> data_term, model_term;
    if (!expectation_.at(theta)) return Vector<Real>::Constant(theta.size(), std::numeric_limits<double>::quiet_NaN());
    mean_gradient<Real>(energy_, data_, data_term);
    expectation_.gradient(model_term);
    return data_term - model_term;
  }

  fitting::GradientSums sums(const Eigen::MatrixXd& influence, const Eigen::VectorXd& centre) override {
    fitting::GradientSums total(theta_.size());
    Vector<Real> model_term;
    (void)expectation_.at(theta_);
    expectation_.gradient(model_term);
    for (int rank = 0; rank < shards_.size(); ++rank) add_samples(rank, model_term, influence, centre, total);
    return total;
  }

 private:
  // The gradients of the samples that a rank gave: it finds them, and all ranks add them up, one after another.
  void add_samples(int rank, const Vector<Real>& model_term, const Matrix<Real>& influence, const Vector<Real>& centre,
                   fitting::GradientSums& total) {
    const Index first = shards_.alone() ? 0 : shards_.begin(rank),
                end = shards_.alone() ? data_.cols() : shards_.end(rank), p = theta_.size(),
                at_once = std::max<Index>(1, (Index{1} << 22) / std::max<Index>(1, p));  // 32 MB
    Matrix<Real> G(p, 1), found;
    Vector<Real> own;
    for (Index from = first; from < end; from += at_once) {
      found.resize(p, std::min(at_once, end - from));
      for (Index k = 0; k < found.cols() && rank == shards_.rank(); ++k) {
        mean_gradient<Real>(energy_, data_.col(from + k), own);
        found.col(k) = own - model_term;
      }
      shards_.communicator().broadcast(rank, found.data(), static_cast<std::size_t>(found.size()) * sizeof(Real));
      for (Index k = 0; k < found.cols(); ++k) {
        G = found.col(k);
        total.add(G, influence, centre);
      }
    }
  }

  const Vector<Real>& theta_;
  const Matrix<Real>& data_;
  ranks::Shards shards_;
  EnergyFunction<Real> energy_;
  ExactExpectation<Real> expectation_;
};

inline void require_integrable(const maximum_likelihood& method, Index d) {
  extend::require(d <= 3, {"maximum_likelihood integrates over up to three dimensions; this model has ", d,
                           " (persistent_contrastive_divergence and noise_contrastive_estimation work in any)"});
  const Eigen::MatrixXd& near = method.integral.near;
  if (near.size() > 0) extend::require_samples<double>(near, d, "maximum_likelihood: integral.near");
}

/// Throws, on all ranks, what is wrong with what standard errors are given; `own`: this rank's data.
inline void check_errors(const maximum_likelihood& method, const MatrixView<double>& own, Index dimension,
                         const Eigen::VectorXd& theta, const ranks::Shards& shards,
                         const StandardErrorOptions& options) {
  ranks::agree(shards.communicator(), [&] {
    method.validate();
    require_integrable(method, dimension);
    ranks::require_samples<double>(own, shards, dimension, "data");
    options.validate();
    fitting::require_enough(shards.total(own.cols()), theta.size());
  });
  if (shards.alone()) return;
  std::vector<ranks::Common> facts = common_facts(method);
  facts.push_back({"the rows of the data", scorematch::detail::text(own.rows())});
  facts.push_back({"theta", ranks::digest_of(theta)});
  facts.push_back({"StandardErrorOptions: level", scorematch::detail::text(options.level)});
  ranks::require_same(shards.communicator(), facts);
}

}  // namespace likelihood

/// Fits by exact maximum likelihood, from the model's present θ: `loss` is −(1/N) log-likelihood, in nats.
///
///   auto fit = sm::fit(energy, sm::maximum_likelihood{}, data);
///   auto likelihood = sm::log_likelihood(fit.model, held_out, fit.log_partition);
///
/// X: d × N, d ≤ 3; on several ranks each gives its own columns, and gets those of all. Throws std::invalid_argument as
/// fit does, and for more dimensions. `status` is non_finite where the model at the start is not normalisable:
/// `log_partition.evidence` says why.
template <class M, class Derived>
LikelihoodFit<M> fit(const M& model, const maximum_likelihood& method, const Eigen::MatrixBase<Derived>& X,
                     const FitOptions& options = {}) {
  LikelihoodFit<M> result{{}, model};
  if constexpr (detail::check_trainable_energy<M>()) {
    const Index d = static_cast<Index>(model.dimension());
    const Matrix<double> own = X.template cast<double>();
    const likelihood::ModelAtStart start = likelihood::at_start(model);
    const auto check = [&](Index) {
      method.validate();
      options.validate();
      likelihood::require_used(options, "maximum_likelihood");
      likelihood::require_integrable(method, d);
    };
    const auto facts = [&] { return likelihood::common_facts(method); };
    likelihood::on_ranks({own, d, start.theta, check, facts}, options, result,
                         [&](const Matrix<double>& data, const FitOptions& shared) {
                           auto energy = likelihood::energy_function<double>(model);
                           Eigen::VectorXd theta;
                           likelihood::maximise<double>(method, energy, start, data, shared, theta, result);
                           result.model.set_parameters(theta);
                         });
  }
  return result;
}

/// The gradient of −(1/N) log-likelihood by samples, of the sign of contrastive_gradient and every loss's: X of the
/// data, Y of the model (from any sampler), both one column per sample. Its error counts the samples as independent: of
/// a chain take draws far apart.
///
///   auto draws = sm::sample(model, sm::mala{.step = 0.1}, {.chains = 4000, .steps = 1000});
///   auto g = sm::likelihood_gradient(model, data, draws.points);
template <class M, class A, class B>
LikelihoodGradient likelihood_gradient(const M& model, const Eigen::MatrixBase<A>& X, const Eigen::MatrixBase<B>& Y) {
  LikelihoodGradient result;
  if constexpr (detail::check_trainable_energy<M>()) {
    const Index d = static_cast<Index>(model.dimension());
    const Matrix<double> data = X.template cast<double>(), samples = Y.template cast<double>();
    extend::require_samples<double>(data, d, "data");
    extend::require_samples<double>(samples, d, "samples of the model");
    auto energy = likelihood::energy_function<double>(model);
    likelihood::difference_of_means<double>(energy, data, samples, result);
  }
  return result;
}

/// Standard errors of a fit by exact maximum likelihood, by the sandwich, which holds even where the model is wrong:
///
///   auto errors = sm::standard_errors(fit, sm::maximum_likelihood{}, data);
///
/// Cost: 2p + 2 gradients (4p + 2 with the check of the intervals), each with its quadrature, and a sweep a sample.
template <class M, class Derived>
requires detail::AnyModel<M> StandardErrors standard_errors(const M& model, const maximum_likelihood& method,
                                                            const Eigen::MatrixBase<Derived>& X,
                                                            const StandardErrorOptions& options = {}) {
  StandardErrors result;
  if constexpr (detail::check_trainable_energy<M>()) {
    const Communicator& communicator = options.communicator;
    const Communication before = communicator.communication();
    const Eigen::MatrixXd own = X.template cast<double>();
    ranks::on_ranks(communicator, [&] {
      const ranks::Shards shards(communicator, own.cols());
      const Eigen::VectorXd theta = model.parameters();
      likelihood::check_errors(method, own, static_cast<Index>(model.dimension()), theta, shards, options);
      const Eigen::MatrixXd data = ranks::RankedData<double>{MatrixView<double>(own), shards}.all();
      quadrature integral = method.integral;
      integral.progress = {};
      if (integral.near.size() == 0) integral.near = data;
      likelihood::ExactFit<double> exact(likelihood::energy_function<double>(model), theta, integral, data, shards);
      fitting::sandwich<double>(exact, theta, parameter_names(model), data.cols(), options, result);
    });
    result.communication = communicator.communication().since(before);
  }
  return result;
}

/// The same of a fit.
template <class M, class Derived>
StandardErrors standard_errors(const LikelihoodFit<M>& fitted, const maximum_likelihood& method,
                               const Eigen::MatrixBase<Derived>& X, const StandardErrorOptions& options = {}) {
  return standard_errors(fitted.model, method, X, options);
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled_likelihood.hpp"
#endif
