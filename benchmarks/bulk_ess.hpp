// Provisional: the effective sample size of the samplers' benchmark, until the library has its own.
#pragma once

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace targets {

/// Φ⁻¹(p), 0 < p < 1, by bisection: slow, but without a table of coefficients.
inline double normal_quantile(double p) {
  double low = -40, high = 40;
  for (int k = 0; k < 60; ++k) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

/// Each number replaced by Φ⁻¹((r − 3/8)/(S + 1/4)), r its rank among all S, ties averaged.
inline Eigen::MatrixXd rank_normalised(const Eigen::MatrixXd& X) {
  const Eigen::Index S = X.size();
  std::vector<Eigen::Index> order(static_cast<std::size_t>(S));
  std::iota(order.begin(), order.end(), Eigen::Index{0});
  const double* x = X.data();
  std::sort(order.begin(), order.end(), [x](Eigen::Index a, Eigen::Index b) { return x[a] < x[b]; });
  Eigen::MatrixXd Z(X.rows(), X.cols());
  for (Eigen::Index from = 0; from < S;) {
    const auto at = [&](Eigen::Index k) { return order[static_cast<std::size_t>(k)]; };
    Eigen::Index to = from;
    while (to + 1 < S && x[at(to + 1)] == x[at(from)]) ++to;
    const double rank = 1 + static_cast<double>(from + to) / 2;
    const double z = normal_quantile((rank - 0.375) / (static_cast<double>(S) + 0.25));
    for (; from <= to; ++from) Z.data()[at(from)] = z;
  }
  return Z;
}

/// The bulk effective sample size of one coordinate, draws × chains: ranks normalised, chains split in halves, Geyer's
/// initial monotone sequence (Vehtari et al. 2021, eqs. 10–14). NaN for draws that do not vary, or are not finite.
inline double bulk_ess(const Eigen::MatrixXd& draws) {
  const Eigen::Index n = draws.rows() / 2, chains = 2 * draws.cols();
  if (!draws.allFinite()) return NAN;
  Eigen::MatrixXd halves(n, chains);
  halves << draws.topRows(n), draws.bottomRows(n);
  Eigen::MatrixXd Z = rank_normalised(halves);
  const Eigen::RowVectorXd means = Z.colwise().mean();
  Z.rowwise() -= means;
  const double N = static_cast<double>(n), S = N * static_cast<double>(chains);
  const auto autocovariance = [&](Eigen::Index lag) {  // the mean over chains, biased
    return (Z.topRows(n - lag).array() * Z.bottomRows(n - lag).array()).sum() / S;
  };
  const double within = autocovariance(0) * N / (N - 1);
  const double between = (means.array() - means.mean()).square().sum() / static_cast<double>(chains - 1);
  const double total = within * (N - 1) / N + between;
  if (!(total > 0)) return NAN;
  const auto rho = [&](Eigen::Index lag) { return lag == 0 ? 1 : 1 - (within - autocovariance(lag)) / total; };
  double tau = -1, least = INFINITY, last = 0;
  Eigen::Index lag = 0;
  for (; lag + 4 < n; lag += 2) {
    const double even = rho(lag), pair = even + rho(lag + 1);
    last = std::max(even, 0.0);
    if (!(pair > 0)) break;
    least = std::min(least, pair);
    tau += 2 * least;
    last = 0;
  }
  return S / std::max(tau + last, 1 / std::log10(S));
}

}  // namespace targets
