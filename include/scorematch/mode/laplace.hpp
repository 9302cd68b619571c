// laplace: the normal approximation of exp(−f)/Z at its mode, or a mixture over its modes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/mode/laplace_result.hpp"
#include "scorematch/mode/modes.hpp"

namespace scorematch {

/// Options of laplace.
struct LaplaceOptions {
  ModesOptions modes = {};  ///< where to look for the minima
  bool mixture = true;      ///< over all minima found; false: the lowest alone

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const { modes.validate(); }
};

namespace likelihood {

/// The mean, covariance and its root of the mixture, in units in which the covariance's diagonal is 1.
template <class D>
void set_moments(Laplace& law) {
  const Index d = law.means.rows();
  const detail::DependentVector<D> weights = law.weights;
  const detail::DependentMatrix<D>&means = law.means, &covariance = law.covariance;
  const detail::DependentVector<D> first = law.means.col(0);  // differences from it: means may be far from 0
  law.mean = first + (means.colwise() - first) * weights;
  law.covariance.setZero(d, d);
  for (Index k = 0; k < law.means.cols(); ++k) {
    const detail::DependentMatrix<D> L = law.roots[static_cast<std::size_t>(k)];
    const detail::DependentVector<D> apart = law.means.col(k) - law.mean;
    law.covariance += weights[k] * (L * L.transpose() + apart * apart.transpose());
  }
  if (law.means.cols() == 1) {
    law.root = law.roots.front();
    return;
  }
  const detail::DependentVector<D> scale = covariance.diagonal().cwiseSqrt();
  const detail::DependentMatrix<D> unit =
      scale.cwiseInverse().asDiagonal() * covariance * scale.cwiseInverse().asDiagonal();
  law.root = scale.asDiagonal() * detail::DependentMatrix<D>(Eigen::LLT<detail::DependentMatrix<D>>(unit).matrixL());
}

inline LaplaceStatus laplace_status(const Modes& modes) {
  switch (modes.status) {
    case ModesStatus::found:
      return LaplaceStatus::at_minima;
    case ModesStatus::unbounded:
      return LaplaceStatus::unbounded;
    case ModesStatus::non_finite:
      return LaplaceStatus::non_finite;
    case ModesStatus::unconfirmed:
      break;
  }
  return !modes.kinds.empty() && modes.kinds.front() == ModeKind::singular ? LaplaceStatus::singular
                                                                           : LaplaceStatus::not_minimum;
}

/// Fills means, roots, weights, log Z and moments from confirmed minima.
template <class D>
void set_laws(Laplace& law, bool mixture) {
  constexpr double log_two_pi = 1.8378770664093454836;
  const Modes& modes = law.modes;
  const Index d = modes.points.rows(), K = mixture ? modes.points.cols() : 1;
  std::vector<ScaledHessian<typename detail::Dependent<double, D>::type>> hessians;
  detail::DependentVector<D> log_mass(K);
  for (Index k = 0; k < K; ++k) {
    hessians.push_back(
        ScaledHessian<typename detail::Dependent<double, D>::type>::of(modes.curvatures[static_cast<std::size_t>(k)]));
    log_mass[k] = -modes.energies[k] + modes.decrements[k] + 0.5 * static_cast<double>(d) * log_two_pi -
                  0.5 * hessians.back().log_determinant();
  }
  std::vector<Index> order(static_cast<std::size_t>(K));
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return log_mass[a] > log_mass[b]; });
  const double most = log_mass.maxCoeff();
  const detail::DependentArray<D> mass = (log_mass.array() - most).exp();
  law.log_partition = most + std::log(mass.sum());
  law.means.resize(d, K);
  law.weights.resize(K);
  for (Index i = 0; i < K; ++i) {
    const Index k = order[static_cast<std::size_t>(i)];
    law.means.col(i) = modes.points.col(k);
    law.weights[i] = mass[k] / mass.sum();
    law.roots.push_back(hessians[static_cast<std::size_t>(k)].inverse_root());
  }
  set_moments<D>(law);
}

template <class T>
Laplace laplace_of(EnergyFunction<T>& energy, bool exact, const LaplaceOptions& options) {
  options.validate();
  Laplace law;
  law.modes = ModeFinder<T>(energy, options.modes, exact).run();
  law.status = laplace_status(law.modes);
  if (law.status != LaplaceStatus::at_minima) {
    law.evidence = law.modes.evidence;
    return law;
  }
  set_laws<void>(law, options.mixture);
  const Matrix<T> X = law.draws(200, options.modes.seed);
  Vector<T> f;
  energy.values(X, f);
  const Vector<T> log_w = -f - law.log_density(X);
  law.misfit = log_w.allFinite() ? std::sqrt((log_w.array() - log_w.mean()).square().mean())
                                 : std::numeric_limits<double>::infinity();
  return law;
}

}  // namespace likelihood

/// Laplace's approximation: by a quadratic f at each of its minima,
///   exp(−f(x)) ≈ Σ_k exp(−f(m_k)) exp(−½ (x − m_k)ᵀ H_k (x − m_k)),   log Z ≈ log Σ_k exp(−f(m_k)) (2π)^(d/2) det
///   H_k^(−½)
/// (exact for a normal law; for mixtures up to what the components overlap). There is a law only where the lowest place
/// found is a confirmed minimum; `misfit` says how far f is from the law there. Throws as find_modes does.
///
///   const auto law = sm::laplace(posterior);
///   const auto starts = law.draws(64);
template <class M>
Laplace laplace(const M& model, const LaplaceOptions& options = {}) {
  if constexpr (detail::check_energy<M>()) {
    auto energy = likelihood::energy_function<double>(model);
    return likelihood::laplace_of(energy, likelihood::exact_curvature<M>, options);
  }
  return {};
}

}  // namespace scorematch
