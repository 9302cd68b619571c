// The Gaussian in its natural parameters: linear in θ, so that closed_form solves it.
#pragma once

#include <Eigen/LU>

#include "scorematch/energy/gaussian.hpp"

namespace scorematch {

/// Where a natural Gaussian's parameters start, and where its coordinates do.
struct NaturalGaussianOptions {
  GaussianOptions gaussian = {};  ///< its mean and precision at the start
  Eigen::VectorXd offset = {};    ///< c, d numbers; empty: 0. About the data's mean: better conditioned, else the same

  /// Throws std::invalid_argument unless every option is in its range and suits dimension d.
  template <class D = void>
  void validate(Index d) const {
    gaussian.validate<D>(d);
    extend::require(offset.size() == 0 || offset.size() == d,
                    {"NaturalGaussianOptions: offset has ", offset.size(), " numbers; the dimension is ", d});
    for (Index i = 0; i < offset.size(); ++i)
      extend::require(std::isfinite(offset[i]),
                      {"NaturalGaussianOptions: offset has ", offset[i], "; its numbers must be finite"});
  }
};

/// f = ½ (x − c)ᵀ Λ (x − c) − hᵀ (x − c): the mean is c + Λ⁻¹h.
///
///   "linear"    h, d numbers
///   "diagonal"  Λ_ii, d numbers
///   "pair"      Λ_ij below the diagonal, d(d − 1)/2 numbers (none for d = 1); pair_place(d, i, j) says where
///
/// f is linear in θ, so that score matching has a closed form (closed_form): for the implicit loss the data's mean and
/// the inverse of their covariance. Nothing keeps Λ positive definite; `gaussian` has the same energies with a Λ that
/// is.
template <ready::FormulaVector X, class Theta>
SCOREMATCH_INLINE auto natural_gaussian(const X& x, const Theta& theta, const NaturalGaussianOptions& options = {}) {
  const int d = static_cast<int>(x.size());
  if constexpr (ready::is_recorded<X>) options.validate(d);
  const auto start_of = [&](auto number) {  // number(Λ, h, block) fills in where a mean or a precision is given
    return [&options, d, number](const std::string&, Eigen::MatrixXd& block) {
      Eigen::MatrixXd precision = options.gaussian.precision;
      if (precision.size() == 0) precision.setIdentity(d, d);
      Eigen::VectorXd mean = options.gaussian.mean;
      if (mean.size() == 0) mean.setZero(d);
      if (options.offset.size() > 0) mean -= options.offset;
      number(precision, mean, block);
    };
  };
  const auto linear = start_of([](const auto& precision, const auto& mean, auto& block) { block = precision * mean; });
  const auto diagonal = start_of([](const auto& precision, const auto&, auto& block) { block = precision.diagonal(); });
  const auto pair = start_of([](const auto& precision, const auto&, auto& block) {
    for (Index j = 0; j < precision.cols(); ++j)
      for (Index i = j + 1; i < precision.rows(); ++i)
        block(ready::place_below(precision.rows(), i, j)) = precision(i, j);
  });
  const Eigen::VectorXd offset = options.offset.size() > 0 ? options.offset : Eigen::VectorXd::Zero(d).eval();
  const auto u = x - offset;
  const auto alone = 0.5 * dot(theta("diagonal", d, diagonal), square(u)) - dot(theta("linear", d, linear), u);
  if (d == 1) return alone;
  return alone +
         dot(theta("pair", d * (d - 1) / 2, pair), stack(d - 1, [&](int j) { return u[j] * tail(u, d - 1 - j); }));
}

/// The same as a model: natural_gaussian(2), natural_gaussian(2, {.offset = X.rowwise().mean()}).
template <class = void>
EnergyModel natural_gaussian(Index dimension, const NaturalGaussianOptions& options = {}) {
  return energy_model(dimension, [&](const auto& x, const auto& theta) { return natural_gaussian(x, theta, options); });
}

/// Mean and precision of a model whose parameters are those of `natural_gaussian`, with that offset: gaussian(d, …) of
/// them is the same model where the precision is positive definite. `prefix` stands before the parameters' names.
template <class D = void>
GaussianOptions natural_gaussian_moments(const FormulaModel& model, const Eigen::VectorXd& offset = {},
                                         const std::string& prefix = {}) {
  const Eigen::MatrixXd diagonal = model.parameter(prefix + "diagonal");
  const Index d = diagonal.size();
  extend::require(offset.size() == 0 || offset.size() == d,
                  {"natural_gaussian_moments: offset has ", offset.size(), " numbers; the dimension is ", d});
  detail::DependentMatrix<D> precision = detail::DependentMatrix<D>::Zero(d, d);
  for (Index j = 0; j < d; ++j) precision(j, j) = diagonal(j);
  if (d > 1) {
    const Eigen::MatrixXd pair = model.parameter(prefix + "pair");
    for (Index j = 0; j < d; ++j)
      for (Index i = j + 1; i < d; ++i) precision(i, j) = precision(j, i) = pair(ready::place_below(d, i, j));
  }
  const detail::DependentVector<D> h = model.parameter(prefix + "linear");
  detail::DependentVector<D> scale = precision.diagonal().cwiseAbs().cwiseSqrt();  // coordinates may have any units
  for (Index j = 0; j < d; ++j) scale[j] = scale[j] > 0 ? 1 / scale[j] : 1;
  const detail::DependentMatrix<D> scaled = scale.asDiagonal() * precision * scale.asDiagonal();
  const Eigen::PartialPivLU<detail::DependentMatrix<D>> decomposed(scaled);
  detail::DependentVector<D> mean = scale.cwiseProduct(decomposed.solve(scale.cwiseProduct(h)));
  if (offset.size() > 0) mean += offset;
  return {.mean = mean, .precision = precision};
}

}  // namespace scorematch
