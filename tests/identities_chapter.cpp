// Identities of the study note's chapter that concern the score itself: Tweedie's formula, the variance of Hutchinson's
// estimate, Stein's identity.
//
// Seeds are fixed, so nothing here fails by chance. Had a seed been drawn by chance, each statistical check, |z| < 4.5,
// would fail a correct library with probability 7·10⁻⁶, all of them together with less than 10⁻³.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <functional>

#include "fixtures.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using sm::Index;

namespace {

constexpr double limit = 4.5;  // of a standard normal statistic

/// n draws of a distribution that is sampled from a stream: d × n.
MatrixXd draws(Index d, Index n, std::uint64_t seed, const std::function<VectorXd(sm::Stream&)>& distribution) {
  MatrixXd X(d, n);
  for (Index i = 0; i < n; ++i) {
    sm::Stream stream({seed, sm::extend::Purpose::user}, i);
    X.col(i) = distribution(stream);
  }
  return X;
}

/// Σ_k w_k N(m_k, v_k I)
struct Mixture {
  MatrixXd means;
  VectorXd weights, variances;

  /// Convolved with N(0, σ²I).
  Mixture blurred(double sigma) const { return {means, weights, variances.array() + sigma * sigma}; }

  /// w_k N(x; m_k, v_k I)
  double part(Index k, const VectorXd& x) const {
    return weights[k] * std::exp(-0.5 * (x - means.col(k)).squaredNorm() / variances[k]) /
           std::pow(2 * 3.141592653589793 * variances[k], 0.5 * static_cast<double>(x.size()));
  }

  sm::EnergyModel energy() const {
    const double d = static_cast<double>(means.rows());
    return sm::energy_model(means.rows(), [this, d](auto x, auto) {
      return -log_sum_exp(sm::stack(static_cast<int>(means.cols()), [&](int k) {
        return std::log(weights[k]) - 0.5 * d * std::log(variances[k]) -
               (0.5 / variances[k]) * squared_norm(x - VectorXd(means.col(k)));
      }));
    });
  }

  VectorXd draw(sm::Stream& stream) const {
    const double u = stream.uniform();
    Index k = 0;
    for (double below = weights[0]; u > below && k + 1 < weights.size(); below += weights[++k]) {
    }
    return means.col(k) + std::sqrt(variances[k]) * stream.normals(means.rows());
  }
};

Mixture mixture() {
  Mixture p{MatrixXd(2, 3), VectorXd(3), VectorXd(3)};
  p.means << -1, 1.2, 0.3,  //
      0.5, -0.4, 2;
  p.weights << 0.3, 0.5, 0.2;
  p.variances << 0.5, 0.8, 0.1;
  return p;
}

/// A field φ that is no gradient, and bounded up to a linear part.
sm::ScoreModel field(Index d, std::uint64_t seed) {
  return sm::score_model(d, [d, seed](auto x, auto) {
    const auto layer = [&](int rows, Index cols, std::uint64_t number) {
      MatrixXd W(rows, cols);
      sm::Stream stream({seed, sm::extend::Purpose::user}, 1, number);
      for (Index i = 0; i < W.size(); ++i) W.data()[i] = stream.normal() / std::sqrt(static_cast<double>(cols));
      return W;
    };
    return layer(static_cast<int>(d), 6, 1) * tanh(layer(6, d, 2) * x + VectorXd(layer(6, 1, 3))) - 0.3 * x;
  });
}

}  // namespace

// --- I7 ---

TEST_CASE("I7, Tweedie: E[x given x̃] = x̃ + σ² ∇ log p_σ(x̃), exactly for Gaussian mixtures") {
  // Given x̃ and the component, x is Gaussian with mean (v x̃ + σ² m)/(v + σ²) (Robbins 1956; Efron 2011).
  const Mixture p = mixture();
  const MatrixXd noisy = 2 * normals(2, 300, 1);
  for (const double sigma : {0.1, 0.7, 3.0}) {
    const Mixture blurred = p.blurred(sigma);
    MatrixXd mean = MatrixXd::Zero(2, noisy.cols());
    for (Index i = 0; i < noisy.cols(); ++i) {
      double total = 0;
      for (Index k = 0; k < 3; ++k) {
        const double part = blurred.part(k, noisy.col(i));
        total += part;
        mean.col(i) +=
            part / (p.variances[k] + sigma * sigma) * (p.variances[k] * noisy.col(i) + sigma * sigma * p.means.col(k));
      }
      mean.col(i) /= total;
    }
    const MatrixXd by_score = noisy + sigma * sigma * sm::score_of(blurred.energy(), noisy);
    CHECK((by_score - mean).cwiseAbs().maxCoeff() < 1e-13 * (1 + sigma * sigma) * noisy.cwiseAbs().maxCoeff());
    const Eigen::MatrixXf in_float = noisy.cast<float>();
    const MatrixXd score_in_float = sm::score_of(blurred.energy(), in_float).cast<double>();
    CHECK((noisy + sigma * sigma * score_in_float - mean).cwiseAbs().maxCoeff() < 1e-4 * (1 + sigma * sigma));
  }
}

TEST_CASE("I7: denoising score matching learns the posterior mean") {
  // For N(m, vI) data E[x given x̃] = (v x̃ + σ² m)/(v + σ²), and a linear score can say so.
  const double v = 0.8, sigma = 0.6;
  const Index n = 40000;
  const MatrixXd X = (std::sqrt(v) * normals(2, n, 2)).colwise() + Eigen::Vector2d(0.5, -1);
  const auto model = sm::score_model(2, [](auto x, auto theta) { return theta("a", 2) - theta("k") * x; });
  const auto fit = sm::fit(model, sm::denoising_score_matching{.sigma = sigma, .frozen = true}, X);
  REQUIRE(fit.status == sm::FitStatus::converged);
  const MatrixXd noisy = 1.5 * normals(2, 50, 3);
  const MatrixXd mean = (v * noisy).colwise() + sigma * sigma * Eigen::Vector2d(0.5, -1);
  // The least squares' deviation at x̃ is 0.5 √(1 + ‖x̃ − m‖²/(2.3))/√n: 0.04 is 4.5 of them at a distance of 5.
  CHECK((noisy + sigma * sigma * sm::score_of(fit.model, noisy) - mean / (v + sigma * sigma)).cwiseAbs().maxCoeff() <
        0.04);
}

// --- I8 ---

TEST_CASE("I8: the variance of Hutchinson's estimate of a trace") {
  // vᵀAv with A symmetric: signs 2Σ_{i≠j} a_ij², Gaussian 2‖A‖_F² (Hutchinson 1990), on the sphere ‖v‖² = d
  // (2d‖A‖_F² − 2(tr A)²)/(d + 2). Divided by M for M projections.
  const Index d = 4, n = 100000;
  MatrixXd A(4, 4);
  A << 1.5, 0.4, -0.3, 0.1,  //
      0.4, 0.8, 0.6, 0,      //
      -0.3, 0.6, 2.0, 0.5,   //
      0.1, 0, 0.5, 1.1;
  const double rounding = 1e-20;  // what is left of a variance of 0: the square of a mean of 10⁵ numbers' rounding
  const auto check = [&](const MatrixXd& matrix, sm::Projection kind, double variance) {
    const auto model = sm::energy_model(d, [&](auto x, auto) { return 0.5 * quadratic_form(matrix, x); });
    const MatrixXd X = normals(d, 1, 4).replicate(1, n);  // one point, n times: the projections alone vary
    for (const int projections : {1, 3}) {
      INFO("projection " << static_cast<int>(kind) << ", " << projections);
      const sm::sliced_score_matching objective{.projections = projections, .kind = kind, .seed = 6};
      const sm::Loss loss = sm::loss(model, objective, X, {.per_sample = true});
      const Eigen::ArrayXd squares = (loss.per_sample.array() - loss.per_sample.mean()).square();
      const double error = std::sqrt((squares - squares.mean()).square().mean() / static_cast<double>(n));
      const double right = variance / projections;
      CHECK(std::abs(squares.mean() - right) <= limit * error + rounding);
      CHECK(error <= 0.05 * right + rounding);
      // The library's standard error is that of the mean of n such losses.
      CHECK(loss.standard_error * loss.standard_error * static_cast<double>(n - 1) ==
            Approx(squares.mean()).epsilon(1e-9).margin(rounding));
      CHECK(std::abs(loss.terms[1].value + matrix.trace()) <= limit * loss.terms[1].standard_error + 1e-12);
    }
  };
  const double all = A.squaredNorm(), off_diagonal = all - A.diagonal().squaredNorm(), trace = A.trace();
  check(A, sm::Projection::rademacher, 2 * off_diagonal);
  check(A, sm::Projection::gaussian, 2 * all);
  check(A, sm::Projection::sphere, (2 * 4 * all - 2 * trace * trace) / 6);

  const MatrixXd diagonal = A.diagonal().asDiagonal();
  check(diagonal, sm::Projection::rademacher, 0);
  check(diagonal, sm::Projection::gaussian, 2 * diagonal.squaredNorm());
}

// --- I17 ---

namespace {

/// Checks E_p[s·φ + ∇·φ] = 0 for exact draws X of the model's density: the equation that turns the explicit loss into
/// the implicit one (the study note's equation 1.39), and that a score of another scale or sign does not fulfil.
template <class M>
void check_stein(const M& model, const MatrixXd& X) {
  const MatrixXd S = sm::score_of(model, X);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const auto phi = field(X.rows(), seed);
    const MatrixXd F = sm::score_of(phi, X);
    const Eigen::ArrayXd along = S.cwiseProduct(F).colwise().sum().transpose(), divergence = sm::trace_of(phi, X);
    const auto z = [&](double scale) {
      const Eigen::ArrayXd terms = scale * along + divergence;
      return terms.mean() / std::sqrt((terms - terms.mean()).square().sum()) * static_cast<double>(X.cols());
    };
    CHECK(std::abs(z(1)) < limit);
    CHECK(std::abs(z(0.9)) > limit);
    CHECK(std::abs(z(-1)) > 10 * limit);
  }
}

}  // namespace

TEST_CASE("I17, Stein: E[s·φ + ∇·φ] = 0 over exact draws of the model") {
  const Index n = 100000;
  SECTION("a Gaussian with any covariance") {
    MatrixXd L(3, 3);
    L << 1, 0, 0,     //
        0.5, 0.8, 0,  //
        -0.3, 0.2, 0.6;
    const VectorXd mean = VectorXd::Constant(3, 0.4);
    // Its precision by its factor: ½‖L⁻¹(x − m)‖², L⁻¹ row by row.
    const auto model = sm::energy_model(3, [&](auto x, auto) {
      const auto y = x - mean;
      const auto a = y[0] / L(0, 0), b = (y[1] - L(1, 0) * a) / L(1, 1);
      return 0.5 * (square(a) + square(b) + square((y[2] - L(2, 0) * a - L(2, 1) * b) / L(2, 2)));
    });
    check_stein(model, (L * normals(3, n, 5)).colwise() + mean);
  }
  SECTION("a Gaussian mixture") {
    const Mixture p = mixture();
    check_stein(p.energy(), draws(2, n, 6, [&](sm::Stream& stream) { return p.draw(stream); }));
  }
  SECTION("Student's t in two dimensions, with five degrees of freedom") {
    const auto model = sm::energy_model(2, [](auto x, auto) { return 3.5 * log1p(squared_norm(x) / 5); });
    check_stein(model, draws(2, n, 7, [](sm::Stream& stream) -> VectorXd {
                  return stream.normals(2) / std::sqrt(stream.normals(5).squaredNorm() / 5);
                }));
  }
  SECTION("a banana: x₀ ~ N(0, 1.5²), x₁ ~ N(0.7 x₀², 0.5²)") {
    const auto model = sm::energy_model(
        2, [](auto x, auto) { return 0.5 * square(x[0] / 1.5) + 0.5 * square((x[1] - 0.7 * square(x[0])) / 0.5); });
    check_stein(model, draws(2, n, 8, [](sm::Stream& stream) -> VectorXd {
                  const double a = 1.5 * stream.normal();
                  return Eigen::Vector2d(a, 0.7 * a * a + 0.5 * stream.normal());
                }));
  }
  SECTION("a ring: the squared radius is N(4, 1), where it is positive") {
    const auto model = sm::energy_model(2, [](auto x, auto) { return 0.5 * square(squared_norm(x) - 4); });
    check_stein(model, draws(2, n, 9, [](sm::Stream& stream) -> VectorXd {
                  double squared = 0;
                  do squared = 4 + stream.normal();
                  while (squared <= 0);
                  const double turn = 2 * 3.141592653589793 * stream.uniform();
                  return std::sqrt(squared) * Eigen::Vector2d(std::cos(turn), std::sin(turn));
                }));
  }
  SECTION("a compiled model") {
    const auto model = sm::energy_model<2>([](auto x, auto) { return 0.5 * squared_norm(x) + 0.8 * x[0] * x[1]; });
    // Precision (1, 0.8; 0.8, 1): x₀ ~ N(0, 1/0.36), and given it x₁ ~ N(−0.8 x₀, 1)
    check_stein(model, draws(2, n, 10, [](sm::Stream& stream) -> VectorXd {
                  const double a = stream.normal() / 0.6;
                  return Eigen::Vector2d(a, -0.8 * a + stream.normal());
                }));
  }
}
