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

namespace scorematch {

/// Minimises −(1/N) Σ_n log q_θ(x_n) = (1/N) Σ f_θ(x_n) + log Z(θ) (the study note's (1.7)–(1.12)); its gradient is
///   (1/N) Σ ∂f/∂θ(x_n) − E_q[∂f/∂θ]    (1.13)–(1.16),
/// with both log Z and E_q by quadrature at every step. θ for which the integral cannot be told are walls, from which
/// the line search steps back. Samples that agree in a direction (one sample, a constant row, a row that is a multiple
/// of another) make the likelihood of a model with a scale of its own grow without bound: the fit ends as diverged when
/// the model is a thousandth as wide there as it was at the start.
struct maximum_likelihood {
  quadrature integral = {.tolerance = 1e-8};  ///< the data are added to its `near`

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const { integral.validate(); }
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
template <class Energy>
class ExactExpectation {
 public:
  ExactExpectation(Energy& energy, const quadrature& method) : energy_(energy), method_(method) {}

  /// False where the integral cannot be told, to a relative error of 10⁻⁴ at least.
  bool at(const Eigen::VectorXd& theta) {
    energy_.bound().bind(theta);
    if (theta_.size() != theta.size() || (theta_.array() != theta.array()).any()) {
      log_partition_ = Quadrature<Energy>(energy_, method_).run(&nodes_);
      theta_ = theta;
    }
    return std::isfinite(log_partition_.value) && log_partition_.error < 1e-4 &&
           log_partition_.status != PartitionStatus::non_finite;
  }

  const LogPartition& log_partition() const { return log_partition_; }
  const QuadratureNodes& nodes() const { return nodes_; }

  void gradient(Eigen::VectorXd& expectation) {
    energy_.weighted_gradient(
        nodes_.points,
        [&](Index first, const Eigen::VectorXd& f, Eigen::VectorXd& w) {
          w = nodes_.probabilities.segment(first, f.size());
        },
        expectation);
  }

 private:
  Energy& energy_;
  const quadrature& method_;
  QuadratureNodes nodes_;
  LogPartition log_partition_;
  detail::DependentVector<Energy> theta_;  ///< of both
};

/// The mean of ∂f/∂θ over the columns of X.
template <class T, class Energy>
void mean_gradient(Energy& energy, MatrixView<T> X, detail::DependentVector<Energy>& gradient,
                   double* mean_energy = nullptr) {
  const T weight = static_cast<T>(1 / static_cast<double>(X.cols()));
  detail::DependentVector<Energy> values(X.cols());
  energy.weighted_gradient(
      X,
      [&](Index first, const Vector<T>& f, Vector<T>& w) {
        values.segment(first, f.size()) = f.template cast<double>();
        w.setConstant(weight);
      },
      gradient);
  if (mean_energy != nullptr) *mean_energy = values.mean();
}

/// The mean and its standard error, over 32 interleaved groups of columns (fewer where there are fewer columns).
template <class T, class Energy>
void grouped_gradient(Energy& energy, MatrixView<T> X, detail::DependentVector<Energy>& mean,
                      detail::DependentVector<Energy>& error) {
  const Index groups = std::min<Index>(32, X.cols());
  detail::DependentMatrix<Energy> means(energy.bound().parameter_count(), groups);
  detail::DependentVector<Energy> gradient;
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

/// Directions v in which all columns of X (d × N) agree, vᵀ(x/scale) being the same number for all, as columns: none
/// where the samples fill the space. `scale`: of each row.
template <class D = void>
detail::DependentMatrix<D> flat_directions(const detail::DependentMatrix<D>& X, detail::DependentVector<D>& scale) {
  const Index d = X.rows(), n = X.cols();
  constexpr double epsilon = std::numeric_limits<double>::epsilon();
  scale.resize(d);
  detail::DependentMatrix<D> rows(n, d);
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
  detail::DependentMatrix<D> padded = detail::DependentMatrix<D>::Zero(std::max(n, d), d);
  padded.topRows(n) = rows;
  const Eigen::ColPivHouseholderQR<detail::DependentMatrix<D>> factor(padded);
  const detail::DependentMatrix<D> R = factor.matrixR().topRows(d);
  Index rank = 0;
  while (rank < d && std::abs(R(rank, rank)) > std::max(10 * noise, 1e-14)) ++rank;
  detail::DependentMatrix<D> flat = detail::DependentMatrix<D>::Zero(d, d - rank);
  if (rank == d) return flat;
  for (Index k = 0; k < d - rank; ++k) {
    flat(rank + k, k) = 1;
    if (rank > 0)
      flat.col(k).head(rank) = -R.topLeftCorner(rank, rank)
                                    .template triangularView<Eigen::Upper>()
                                    .solve(detail::DependentVector<D>(R.col(rank + k).head(rank)));
  }
  return factor.colsPermutation() * flat;
}

/// Where samples agree in a direction a model may grow narrower along it for ever, and its likelihood without bound.
template <class D = void>
class Collapse {
 public:
  explicit Collapse(const detail::DependentMatrix<D>& X) : directions_(flat_directions<D>(X, scale_)) {
    if (directions_.cols() == 0) return;
    start_.resize(0);
    magnitude_ = (directions_.cwiseAbs().transpose() * X.cwiseAbs().rowwise().maxCoeff().cwiseQuotient(scale_));
  }

  /// Whether the model with these nodes is a thousandth as wide along such a direction as the first one was, or nearly
  /// as narrow as the numbers there are apart.
  bool reached(const QuadratureNodes& nodes) {
    if (directions_.cols() == 0) return false;
    const detail::DependentMatrix<D> along =
        directions_.transpose() * scale_.cwiseInverse().asDiagonal() * nodes.points;
    const detail::DependentVector<D> mean = along * nodes.probabilities;
    const detail::DependentVector<D> width = ((along.colwise() - mean).cwiseAbs2() * nodes.probabilities).cwiseSqrt();
    if (start_.size() == 0) start_ = width;
    for (Index k = 0; k < width.size(); ++k)
      if (width[k] < 1e-3 * start_[k] || width[k] < 1e-10 * magnitude_[k]) return true;
    return false;
  }

 private:
  detail::DependentVector<D> scale_, start_, magnitude_;
  detail::DependentMatrix<D> directions_;
};

template <class M>
void maximise(const maximum_likelihood& method, const detail::DependentMatrix<M>& X, const FitOptions& options,
              LikelihoodFit<M>& result) {
  quadrature integral = method.integral;
  integral.progress = {};
  if (integral.near.size() == 0) integral.near = X;
  auto energy = energy_function<double>(result.model);
  ExactExpectation<decltype(energy)> expectation(energy, integral);
  detail::DependentVector<M> model_term;
  Collapse<M> collapse(X);
  bool collapsed = false;
  FitOptions until_collapse = options;
  until_collapse.progress = [&](const Progress& progress) {
    const bool go_on = !options.progress || options.progress(progress);
    return go_on && !collapsed;
  };
  const auto loss = [&](const detail::DependentVector<M>& at, detail::DependentVector<M>& gradient) {
    gradient.setZero(at.size());
    if (!expectation.at(at)) return std::numeric_limits<double>::infinity();
    double mean_energy = 0;
    mean_gradient<double>(energy, X, gradient, &mean_energy);
    expectation.gradient(model_term);
    gradient -= model_term;
    collapsed = collapsed || collapse.reached(expectation.nodes());
    return mean_energy + expectation.log_partition().value;
  };
  const auto nodes = [&](const detail::DependentVector<M>& at, const detail::DependentMatrix<M>*& points,
                         detail::DependentVector<M>& weights) {
    (void)expectation.at(at);
    points = &expectation.nodes().points;
    weights = expectation.nodes().probabilities;
  };
  const fitting::DataScale units = fitting::inspect_data<double>(X, result.warnings);
  detail::DependentVector<M> gradient;
  detail::DependentVector<M> theta = start_for(
      result.model, X, units, options, [&](const detail::DependentVector<M>& at) { return loss(at, gradient); });
  by_lbfgs(loss, information(energy, nodes, true), likelihood_floor(units), theta, until_collapse, result);
  if (collapsed) result.status = FitStatus::diverged;
  result.model.set_parameters(theta);
  (void)expectation.at(theta);
  result.log_partition = expectation.log_partition();
}

/// A fit by likelihood, as standard errors need it (inference/standard_errors.hpp).
template <class M>
class ExactFit {
  using Energy = decltype(energy_function<double>(std::declval<const M&>()));

 public:
  ExactFit(const M& model, const quadrature& integral, const Eigen::MatrixXd& data)
      : theta_(model.parameters()),
        integral_(integral),
        data_(data),
        energy_(energy_function<double>(model)),
        expectation_(energy_, integral_) {}

  bool quadratic() const { return false; }
  bool deterministic() const { return true; }
  Eigen::MatrixXd curvature() const { return {}; }

  Eigen::VectorXd gradient(const Eigen::VectorXd& theta) {
    detail::DependentVector<M> data_term, model_term;
    if (!expectation_.at(theta))
      return detail::DependentVector<M>::Constant(theta.size(), std::numeric_limits<double>::quiet_NaN());
    mean_gradient<double>(energy_, data_, data_term);
    expectation_.gradient(model_term);
    return data_term - model_term;
  }

  fitting::GradientSums sums(const Eigen::MatrixXd& influence, const Eigen::VectorXd& centre) {
    const Index p = theta_.size();
    fitting::GradientSums total(p);
    detail::DependentVector<M> model_term, own;
    (void)expectation_.at(theta_);
    expectation_.gradient(model_term);
    detail::DependentMatrix<M> G(p, 1);
    for (Index n = 0; n < data_.cols(); ++n) {
      mean_gradient<double>(energy_, data_.col(n), own);
      G = own - model_term;
      total.add(G, influence, centre);
    }
    return total;
  }

 private:
  Eigen::VectorXd theta_;
  const quadrature& integral_;
  const Eigen::MatrixXd& data_;
  Energy energy_;
  ExactExpectation<Energy> expectation_;
};

}  // namespace likelihood

/// Fits by exact maximum likelihood, from the model's present θ: `loss` is −(1/N) log-likelihood, in nats.
///
///   auto fit = sm::fit(energy, sm::maximum_likelihood{}, data);
///   auto likelihood = sm::log_likelihood(fit.model, held_out, fit.log_partition);
///
/// X: d × N, d ≤ 3. Throws std::invalid_argument as fit does, and for more dimensions. `status` is non_finite where the
/// model at the start is not normalisable: `log_partition.evidence` says why.
template <class M, class Derived>
LikelihoodFit<M> fit(const M& model, const maximum_likelihood& method, const Eigen::MatrixBase<Derived>& X,
                     const FitOptions& options = {}) {
  LikelihoodFit<M> result{{}, model};
  if constexpr (detail::check_trainable_energy<M>()) {
    method.validate();
    options.validate();
    likelihood::require_used(options, "maximum_likelihood");
    const Index d = static_cast<Index>(model.dimension());
    extend::require(d <= 3, {"maximum_likelihood integrates over up to three dimensions; this model has ", d,
                             " (persistent_contrastive_divergence and noise_contrastive_estimation work in any)"});
    const detail::DependentMatrix<M> data = X.template cast<double>();
    extend::require_samples<double>(data, d, "data");
    likelihood::maximise(method, data, options, result);
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
    const detail::DependentMatrix<M> data = X.template cast<double>(), samples = Y.template cast<double>();
    extend::require_samples<double>(data, d, "data");
    extend::require_samples<double>(samples, d, "samples of the model");
    auto energy = likelihood::energy_function<double>(model);
    detail::DependentVector<M> data_error, model_error;
    likelihood::grouped_gradient<double>(energy, data, result.data_term, data_error);
    likelihood::grouped_gradient<double>(energy, samples, result.model_term, model_error);
    result.gradient = result.data_term - result.model_term;
    result.standard_error = (data_error.cwiseAbs2() + model_error.cwiseAbs2()).cwiseSqrt();
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
    method.validate();
    const Eigen::MatrixXd data = X.template cast<double>();
    extend::require_samples<double>(data, static_cast<Index>(model.dimension()), "data");
    quadrature integral = method.integral;
    integral.progress = {};
    if (integral.near.size() == 0) integral.near = data;
    likelihood::ExactFit<M> exact(model, integral, data);
    fitting::sandwich<double>(exact, model.parameters(), parameter_names(model), data.cols(), options, result);
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
