// What docs/equations.md says of energies, likelihoods and the partition function, where no other test shows it.
#include "catch.hpp"

#include <cmath>

#include "scorematch/density/density.hpp"
#include "scorematch/divergence/divergence.hpp"
#include "scorematch/likelihood/log_likelihood.hpp"
#include "scorematch/model/algebra.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/partition/quadrature.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using sm::Index;

namespace {

constexpr double pi = 3.141592653589793;

sm::LogPartition log_partition(const sm::EnergyModel& model, sm::QuadratureNodes* nodes = nullptr) {
  const sm::LogPartition z = sm::log_partition(model, sm::quadrature{.tolerance = 1e-13}, nodes);
  REQUIRE(std::isfinite(z.value));
  REQUIRE(z.error < 1e-11);
  return z;
}

/// f = a x⁴ + b x² + c x, at θ = (a, b, c)
sm::EnergyModel quartic(const Eigen::Vector3d& theta) {
  auto model = sm::energy_model(1, [](auto x, auto parameter) {
    return parameter("a") * pow(x[0], 4) + parameter("b") * square(x[0]) + parameter("c") * x[0];
  });
  model.set_parameters(theta);
  return model;
}

const Eigen::Vector3d theta(0.3, -0.8, 0.2);

}  // namespace

TEST_CASE("(1.6): the sum of two energies has the product of the densities, up to the factor Z₁ Z₂/Z") {
  // N(0.5, 1) and N(−1, 0.25): ∫ q₁ q₂ dx = N(0.5; −1, 1.25), so that q₁ q₂ itself is no density.
  const auto first = sm::energy_model(1, [](auto x, auto) { return 0.5 * square(x[0] - 0.5); });
  const auto second = sm::energy_model(1, [](auto x, auto) { return 2 * square(x[0] + 1); });
  const sm::EnergyModel both = first + second;
  const sm::LogPartition z1 = log_partition(first), z2 = log_partition(second), z = log_partition(both);
  const double log_integral = -0.5 * 1.5 * 1.5 / 1.25 - 0.5 * std::log(2 * pi * 1.25);
  CHECK(z.value - z1.value - z2.value == Approx(log_integral).epsilon(1e-10));

  const MatrixXd X = VectorXd::LinSpaced(9, -3, 2).transpose();
  const VectorXd log_product = sm::density(first, z1)(X) + sm::density(second, z2)(X);
  CHECK((sm::density(both, z)(X) - log_product).isConstant(-log_integral, 1e-9));
}

TEST_CASE("(1.13)–(1.16): ∂ log Z/∂θ is −E_q[∂f/∂θ], and the log-likelihood's gradient follows") {
  MatrixXd X(1, 4);
  X << -1.5, 0.3, 0.9, 2;
  const auto features = [](double x) { return Eigen::Vector3d(std::pow(x, 4), x * x, x); };  // ∂f/∂θ

  sm::QuadratureNodes nodes;
  const sm::LogPartition z = log_partition(quartic(theta), &nodes);
  Eigen::Vector3d expected = Eigen::Vector3d::Zero(), gradient = Eigen::Vector3d::Zero();
  for (Index k = 0; k < nodes.probabilities.size(); ++k)
    expected += nodes.probabilities[k] * features(nodes.points(0, k));
  for (Index i = 0; i < X.cols(); ++i) gradient += expected - features(X(0, i));

  for (Index k = 0; k < 3; ++k) {
    const auto moved = [&](double by) { return quartic(theta + by * Eigen::Vector3d::Unit(k)); };
    const auto slope = [&](auto of) {  // central differences of orders 2 and 4
      const auto difference = [&](double h) { return (of(moved(h)) - of(moved(-h))) / (2 * h); };
      return (4 * difference(1e-3) - difference(2e-3)) / 3;
    };
    CHECK(slope([](const auto& model) { return log_partition(model).value; }) ==
          Approx(-expected[k]).epsilon(1e-8));  // (1.14), (1.15)
    CHECK(slope([&](const auto& model) { return sm::log_likelihood(model, X, log_partition(model)).total; }) ==
          Approx(gradient[k]).epsilon(1e-8));  // (1.16)
  }
  CHECK(z.error < 1e-11);
}

TEST_CASE("(1.18): where the forward divergence is least in θ, the mean log-likelihood is largest") {
  // Over the same samples of p, D(p‖q_θ) + mean log q_θ = mean log p, whatever θ is.
  const Eigen::RowVectorXd X = VectorXd::LinSpaced(50, -2, 2.5);
  const auto p = sm::density(
      1, [](const MatrixXd& Y) -> VectorXd { return -0.5 * Y.row(0).array().square() - 0.5 * std::log(2 * pi); });
  const double mean_log_p = p(X).mean();
  double largest = 0, smallest = 0;
  for (const double a : {0.1, 0.3, 0.9}) {
    const sm::EnergyModel model = quartic({a, -0.5, 0.1});
    const sm::LogPartition z = log_partition(model);
    const double divergence = sm::kl_divergence(X, p, sm::density(model, z)).value,
                 likelihood = sm::log_likelihood(model, X, z).mean;
    CHECK(divergence + likelihood == Approx(mean_log_p).epsilon(1e-12));
    smallest = a == 0.1 ? divergence : std::min(smallest, divergence);
    largest = a == 0.1 ? divergence : std::max(largest, divergence);
  }
  CHECK(largest - smallest > 0.1);  // each of them does depend on θ
}

TEST_CASE("(1.23)–(1.25): the score is ∇ log p = −∇f, whatever log Z is") {
  const auto model = sm::energy_model(
      2, [](auto x, auto) { return 0.5 * squared_norm(x) + sin(x[0] * x[1]) - log(1 + exp(x[0] - 2 * x[1])); });
  MatrixXd X(2, 3);
  X << 0.3, -1.2, 2,  //
      -0.7, 0.4, 1;
  const MatrixXd S = sm::score_of(model, X);
  for (const double log_z : {0.0, 17.0}) {
    const sm::Density p = sm::density(model, log_z);
    for (Index j = 0; j < 2; ++j) {
      const auto difference = [&](double h) -> VectorXd {
        MatrixXd above = X, below = X;
        above.row(j).array() += h;
        below.row(j).array() -= h;
        return (p(above) - p(below)) / (2 * h);
      };
      const VectorXd slope = (4 * difference(1e-3) - difference(2e-3)) / 3;
      CHECK((S.row(j).transpose() - slope).cwiseAbs().maxCoeff() < 1e-9);
    }
  }
}
