// The targets of the samplers' benchmark: posteriors and laws with the same log densities as
// benchmarks/peers/stan/*.stan, over the same unconstrained x, from the same files in benchmarks/data.
#pragma once

#include <scorematch/energy/banana.hpp>
#include <scorematch/io/csv.hpp>
#include <scorematch/model/energy_model.hpp>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace targets {

namespace sm = scorematch;
using Eigen::Index;

/// Columns of a file in `folder`: one row of numbers each.
inline Eigen::MatrixXd read(const std::string& folder, const char* file, const std::vector<std::string>& columns) {
  return sm::read_csv(folder + "/" + file, columns);
}

/// −log of the half-Cauchy density of e^l with scale s, times e^l, up to a constant.
SCOREMATCH_INLINE auto log_half_cauchy(const auto& l, double s) { return log1p(square(exp(l) / s)) - l; }

/// Eight schools, non-centred, d = 10: x = (μ, log τ, z), y_j ~ N(μ + τ z_j, e_j²), z_j ~ N(0, 1), μ ~ N(0, 5²),
/// τ ~ half-Cauchy(5). D. B. Rubin, J. Educational Statistics 6 (1981).
inline auto eight_schools(const std::string& folder) {
  const Eigen::MatrixXd table = read(folder, "eight_schools.csv", {"effect", "error"});
  const Eigen::VectorXd scaled = table.row(0).cwiseQuotient(table.row(1)), weight = table.row(1).cwiseInverse();
  return sm::energy_model(scaled.size() + 2, [&](auto x, auto) {
    const auto z = tail(x, scaled.size());
    const auto residual = (x[0] + exp(x[1]) * z) * weight - scaled;
    return 0.5 * square(x[0] / 5.0) + log_half_cauchy(x[1], 5) + 0.5 * squared_norm(z) + 0.5 * squared_norm(residual);
  });
}

/// An autoregression of order 5, d = 7: x = (a, b_1 … b_5, log σ), y_t ~ N(a + Σ_k b_k y_{t−k}, σ²), a, b_k ~ N(0,
/// 10²), σ ~ half-Cauchy(2.5).
inline auto autoregression(const std::string& folder) {
  constexpr Index order = 5;
  const Eigen::VectorXd y = read(folder, "autoregression.csv", {"y"}).row(0);
  const Index n = y.size() - order;
  Eigen::MatrixXd design(n, order + 1);
  design.col(0).setOnes();
  for (Index k = 1; k <= order; ++k) design.col(k) = y.segment(order - k, n);
  const Eigen::VectorXd now = y.tail(n);
  return sm::energy_model(order + 2, [&](auto x, auto) {
    const auto coefficients = head(x, order + 1);
    const auto log_sigma = x[order + 1];
    return squared_norm(coefficients) / 200.0 + log_half_cauchy(log_sigma, 2.5) + static_cast<double>(n) * log_sigma +
           0.5 * exp(-2.0 * log_sigma) * squared_norm(design * coefficients - now);
  });
}

/// A logistic regression, d = 31: x = (a, b_1 … b_30), y_n ~ Bernoulli(1/(1 + exp(−a − b·row_n))), a, b_k ~ N(0, 2.5²).
inline auto logistic(const std::string& folder) {
  const Eigen::MatrixXd table = sm::read_csv(folder + "/logistic.csv");
  const Index last = table.rows() - 1;  // of each column, whether it is benign
  Eigen::MatrixXd signed_rows(table.cols(), table.rows());
  signed_rows << Eigen::VectorXd::Ones(table.cols()), table.topRows(last).transpose();
  for (Index n = 0; n < table.cols(); ++n) signed_rows.row(n) *= 1 - 2 * table(last, n);
  return sm::energy_model(
      table.rows(), [&](auto x, auto) { return sum(softplus(signed_rows * x)) + squared_norm(x) / (2 * 2.5 * 2.5); });
}

/// Independent N(0, v_i), d = 100, v from 10^−1.5 to 10^1.5.
inline auto gaussian(const std::string& folder) {
  const Eigen::VectorXd variance = read(folder, "gaussian.csv", {"variance"}).row(0);
  return sm::energy_model(variance.size(),
                          [&](auto x, auto) { return 0.5 * squared_norm(variance.cwiseInverse().cwiseSqrt() * x); });
}

/// diag(v)^(−1/2) Qᵀ, Q = H₁ H₂ H₃ with the Householder reflections of the file's three vectors.
inline Eigen::MatrixXd rotated_factor(const std::string& folder) {
  const Eigen::MatrixXd table = read(folder, "gaussian.csv", {"variance", "reflection1", "reflection2", "reflection3"});
  Eigen::MatrixXd A = table.row(0).cwiseInverse().cwiseSqrt().asDiagonal();
  for (Index k = 3; k >= 1; --k) {
    const Eigen::VectorXd w = table.row(k);
    A -= (A * w) * (2 / w.squaredNorm()) * w.transpose();
  }
  return A;
}

/// The same Gaussian rotated by Q: f = ½ ‖A x‖².
inline auto gaussian_rotated(const std::string& folder) {
  const Eigen::MatrixXd A = rotated_factor(folder);
  return sm::energy_model(A.cols(), [&](auto x, auto) { return 0.5 * squared_norm(A * x); });
}

/// The twisted Gaussian, d = 2: x₀ ~ N(0, 10²), x₁ ~ N(0.03 (x₀² − 100), 1).
inline auto banana(const std::string& folder) {
  const Eigen::VectorXd row = read(folder, "banana.csv", {"along", "across", "bend"}).col(0);
  const sm::BananaOptions options{.along = row[0], .across = row[1], .bend = row[2]};
  return sm::energy_model<2>([=](auto x, auto theta) { return sm::banana(x, theta, options); });
}

/// Stochastic volatility, non-centred, d = T + 3: x = (μ, logit p, log σ, z), φ = 2p − 1, y_t ~ N(0, exp h_t),
/// h_1 = μ + σ z_1, h_t = μ + φ (h_{t−1} − μ) + σ z_t, z_t ~ N(0, 1), μ ~ N(0, 5²), p ~ Beta(20, 1.5),
/// log σ ~ N(−1.2, 0.5²).
inline auto stochastic_volatility(const std::string& folder) {
  const Eigen::VectorXd square_y = read(folder, "stochastic_volatility.csv", {"y"}).row(0).array().square();
  const Index T = square_y.size();
  return sm::energy_model(T + 3, [&](auto x, auto) {
    const auto z = tail(x, T);
    const auto phi = 2.0 * sigmoid(x[1]) - 1.0;
    const auto noise = exp(x[2]) * z;
    auto h = noise[0];
    const auto path = sm::stack(static_cast<int>(T),
                                [&](int t) {
                                  if (t > 0) h = phi * h + noise[t];
                                  return h;
                                }) +
                      x[0];
    return 0.5 * square(x[0] / 5.0) + 20.0 * softplus(-x[1]) + 1.5 * softplus(x[1]) + 2.0 * square(x[2] + 1.2) +
           0.5 * squared_norm(z) + 0.5 * sum(path) + 0.5 * dot(square_y, exp(-path));
  });
}

/// Calls visit(name, model) for each target.
template <class Visit>
void for_each(const std::string& folder, Visit visit) {
  visit("eight_schools", eight_schools(folder));
  visit("autoregression", autoregression(folder));
  visit("logistic", logistic(folder));
  visit("gaussian", gaussian(folder));
  visit("gaussian_rotated", gaussian_rotated(folder));
  visit("banana", banana(folder));
  visit("stochastic_volatility", stochastic_volatility(folder));
}

}  // namespace targets
