// log Z by quadrature, importance sampling and annealed importance sampling, against energies whose log Z is known.
//
// Seeds are fixed, so nothing here fails by chance. Had they been drawn by chance: |z| < 4 fails a correct library with
// probability 6·10⁻⁵ a check (some 60 of them), counts of covered intervals as said beside them.
#include "catch.hpp"

#include <Eigen/LU>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/energy/energy_model.hpp"
#include "scorematch/likelihood/log_likelihood.hpp"
#include "scorematch/likelihood/log_partition.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::Vector2d;
using Eigen::VectorXd;
using sm::Index;
using sm::PartitionStatus;

namespace {

const double log_two_pi = std::log(2 * 3.14159265358979323846), pi = 3.14159265358979323846;

sm::EnergyModel normal(Index d, double centre = 1) {
  return sm::energy_model(d, [centre](auto x, auto) { return 0.5 * squared_norm(x - centre); });
}

// ½ e^{−‖x − (3, 3)‖²/2} + … : log Z = log 4π
sm::EnergyModel two_modes() {
  return sm::energy_model(2, [](auto x, auto) {
    return -log_sum_exp(sm::concat(-0.5 * squared_norm(x - Vector2d(3, 3)), -0.5 * squared_norm(x - Vector2d(-3, -3))));
  });
}

MatrixXd draws_of_two_modes(Index n) {
  sm::Stream stream({11});
  MatrixXd X(2, n);
  for (Index i = 0; i < n; ++i) X.col(i) = stream.normals(2).array() + (stream.uniform() < 0.5 ? 3.0 : -3.0);
  return X;
}

template <class M>
void check_quadrature(const M& model, double truth, const sm::quadrature& method = {}) {
  const sm::LogPartition z = sm::log_partition(model, method);
  CAPTURE(to_string(z.status), z.evidence, z.error, z.evaluations);
  CHECK(z.status == PartitionStatus::converged);
  CHECK(std::abs(z.value - truth) < 1e-10);
  CHECK(z.error <= method.tolerance);
  CHECK(z.lower <= truth + 1e-13);
  CHECK(z.upper >= truth - 1e-13);
}

}  // namespace

TEST_CASE("Quadrature is right to 1e-10 for smooth energies in one dimension") {
  check_quadrature(normal(1), 0.5 * log_two_pi);
  check_quadrature(sm::energy_model(1, [](auto x, auto) { return square(square(x[0])); }),
                   std::log(2 * std::tgamma(1.25)));
  // Cauchy's and Student's tails
  check_quadrature(sm::energy_model(1, [](auto x, auto) { return log1p(square(x[0])); }), std::log(pi));
  check_quadrature(sm::energy_model(1, [](auto x, auto) { return 2 * log1p(square(x[0]) / 3.0); }),
                   std::log(std::sqrt(3 * pi) * std::tgamma(1.5) / std::tgamma(2.0)));
  // exp(−a cosh x) = 2 K₀(a), K₀(1) from DLMF 10.32.9
  check_quadrature(sm::energy_model(1, [](auto x, auto) { return 0.5 * (exp(x[0]) + exp(-x[0])); }),
                   std::log(2 * 0.42102443824070833334));
  // a kink where the search for the minimum ends
  check_quadrature(sm::energy_model(1, [](auto x, auto) { return abs(x[0] - 0.3); }), std::log(2.0));
}

TEST_CASE("Quadrature finds scale, place and correlation by itself") {
  for (const double scale : {1e-4, 1.0, 1e4, 1e8}) {
    CAPTURE(scale);
    check_quadrature(
        sm::energy_model(
            2, [scale](auto x, auto) { return 0.5 * squared_norm((x - Vector2d(3 * scale, -40 * scale)) / scale); }),
        log_two_pi + 2 * std::log(scale));
  }
  for (const double correlation : {0.9, 0.999, 0.99999}) {
    CAPTURE(correlation);
    Eigen::Matrix2d covariance;
    covariance << 1, correlation, correlation, 1;
    const MatrixXd precision = covariance.inverse();
    check_quadrature(sm::energy_model(2, [precision](auto x, auto) { return 0.5 * quadratic_form(precision, x); }),
                     log_two_pi + 0.5 * std::log(covariance.determinant()));
  }
}

TEST_CASE("Quadrature is right to 1e-10 for smooth energies in two and three dimensions") {
  check_quadrature(normal(2), log_two_pi);
  check_quadrature(normal(3), 1.5 * log_two_pi);
  check_quadrature(two_modes(), std::log(4 * pi));
  // Student's t, ν = 3
  check_quadrature(sm::energy_model(2, [](auto x, auto) { return 2.5 * log1p(squared_norm(x) / 3.0); }), log_two_pi);
  // A banana: x₁ ~ N(0, 1), x₂ given x₁ ~ N(x₁², 0.1²). Its ridge runs to where the first boxes do not look.
  check_quadrature(
      sm::energy_model(2, [](auto x, auto) { return 0.5 * square(x[0]) + 50 * square(x[1] - square(x[0])); }),
      log_two_pi - std::log(10.0));
  // A ring: ∫ r exp(−50(r − 3)²) dr from 0 on, in closed form
  const double ring = 3 * std::sqrt(pi / 50) * 0.5 * (1 + std::erf(3 * std::sqrt(50.0))) + std::exp(-450.0) / 100;
  check_quadrature(sm::energy_model(2, [](auto x, auto) { return 50 * square(norm(x) - 3); }), std::log(2 * pi * ring));
  // Eight wells: the cube of the one-dimensional integral
  const auto well = sm::energy_model(1, [](auto x, auto) { return square(square(x[0]) - 1.0); });
  check_quadrature(sm::energy_model(3, [](auto x, auto) { return sum(square(square(x) - 1.0)); }),
                   3 * sm::log_partition(well, sm::quadrature{.tolerance = 1e-13}).value,
                   {.most_evaluations = 60'000'000});
}

TEST_CASE("A narrow mode far away is found from points near it") {
  // N((5, 5), I) and, with mass 1/400 of it, a mode of width 0.05
  const auto model = sm::energy_model(2, [](auto x, auto) {
    return -log_sum_exp(
        sm::concat(-0.5 * squared_norm(x - Vector2d(5, 5)), -200 * squared_norm(x - Vector2d(-25, -60))));
  });
  MatrixXd near(2, 2);
  near << 5, -25.02, 4, -59.97;
  check_quadrature(model, std::log(2 * pi + pi / 200), {.near = near});
}

TEST_CASE("The quadrature's nodes are a rule for expectations") {
  sm::QuadratureNodes nodes;
  const auto z = sm::log_partition(two_modes(), sm::quadrature{}, &nodes);
  REQUIRE(z.status == PartitionStatus::converged);
  CHECK(std::abs(nodes.probabilities.sum() - 1) < 1e-12);
  CHECK(nodes.probabilities.minCoeff() >= 0);
  const VectorXd mean = nodes.points * nodes.probabilities;
  CHECK(mean.norm() < 1e-9);
  const MatrixXd second = nodes.points * nodes.probabilities.asDiagonal() * nodes.points.transpose();
  CHECK(std::abs(second(0, 0) - 10) < 1e-8);  // 1 + 3²
  CHECK(std::abs(second(0, 1) - 9) < 1e-8);
}

TEST_CASE("An energy that is not normalisable as far as can be seen is named, with the evidence") {
  const auto flat = sm::log_partition(sm::energy_model(2, [](auto x, auto) { return 0.5 * square(x[0]); }));
  CHECK(flat.status == PartitionStatus::not_normalisable);
  CHECK(flat.evidence.find("along the direction (0, 1)") != std::string::npos);
  CHECK(flat.evidence.find("like r^1") != std::string::npos);
  CHECK(std::isinf(flat.value));
  const auto status = [](auto formula, Index d) { return sm::log_partition(sm::energy_model(d, formula)).status; };
  CHECK(status([](auto x, auto) { return -square(x[0]); }, 1) == PartitionStatus::not_normalisable);
  CHECK(status([](auto x, auto) { return squared_norm(x) - 0.01 * square(square(x[0])); }, 2) ==
        PartitionStatus::not_normalisable);
  // 1/√(1 + x²) and 1/|xy|: the mass grows like a logarithm
  CHECK(status([](auto x, auto) { return 0.5 * log1p(square(x[0])); }, 1) == PartitionStatus::not_normalisable);
  CHECK(status([](auto x, auto) { return square(x[0]) * square(x[1]); }, 2) == PartitionStatus::not_normalisable);
  // Student's t with too few degrees for its dimension: exponent 1.9 < 2; and just enough
  CHECK(status([](auto x, auto) { return 0.95 * log1p(squared_norm(x)); }, 2) == PartitionStatus::not_normalisable);
  CHECK(status([](auto x, auto) { return 1.5 * log1p(squared_norm(x)); }, 2) == PartitionStatus::converged);
  // Flat along an axis, but on a cusp that narrows fast enough: finite, but hard.
  const auto cusp =
      sm::log_partition(sm::energy_model(2, [](auto x, auto) { return square(x[0]) * (1 + square(square(x[1]))); }),
                        sm::quadrature{.most_evaluations = 1'000'000});
  CHECK(cusp.status == PartitionStatus::not_converged);
  CHECK(std::abs(cusp.value - std::log(std::sqrt(pi) * 3.7081493546027437)) < 1e-2);
}

TEST_CASE("Quadrature that cannot reach its tolerance says so, with an error that covers the truth") {
  // (1 + x²)^{−0.6}: tails that reach beyond all numbers that the map can tell apart
  const double truth = std::lgamma(0.1) + 0.5 * std::log(pi) - std::lgamma(0.6);
  const auto slow = sm::log_partition(sm::energy_model(1, [](auto x, auto) { return 0.6 * log1p(square(x[0])); }));
  CHECK(slow.status == PartitionStatus::not_converged);
  CHECK(slow.evidence.find("tails") != std::string::npos);
  CHECK(std::abs(slow.value - truth) < slow.error);
  const auto few = sm::log_partition(normal(3), sm::quadrature{.most_evaluations = 200'000});
  CHECK(few.status == PartitionStatus::not_converged);
  CHECK(few.evaluations < 300'000);
  CHECK_FALSE(few.evidence.empty());
}

TEST_CASE("A NaN of the energy is a status that names the point") {
  const auto model = sm::energy_model(1, [](auto x, auto) { return 0.5 * square(x[0]) + 0.0 * log(x[0] + 5); });
  const auto z = sm::log_partition(model);
  CHECK(z.status == PartitionStatus::non_finite);
  CHECK(z.evidence.find("nan at the point (-") != std::string::npos);
}

TEST_CASE("A progress callback stops quadrature and annealing") {
  int calls = 0;
  const sm::ProgressCallback stop = [&](const sm::Progress&) { return ++calls < 2; };
  CHECK(sm::log_partition(normal(3), sm::quadrature{.progress = stop}).status == PartitionStatus::stopped);
  calls = 0;
  CHECK(sm::log_partition(normal(3), sm::annealed_importance_sampling<>{.temperatures = 20, .progress = stop}).status ==
        PartitionStatus::stopped);
}

TEST_CASE("Importance sampling is within its error, at every seed and up to twenty dimensions") {
  for (const Index d : {1, 3, 8, 20}) {
    const auto z = sm::log_partition(normal(d), sm::importance_sampling{.samples = 20'000, .seed = 1});
    CAPTURE(d, z.value, z.error);
    CHECK(z.status == PartitionStatus::converged);
    CHECK(std::abs(z.value - 0.5 * static_cast<double>(d) * log_two_pi) < 4 * z.error);
    CHECK(z.effective_sample_size > 5'000);
  }
  // value ± error over 200 seeds: the deviations, in standard errors, have mean 0 and variance 1 (each |z| < 4).
  double sum = 0, squares = 0;
  constexpr int runs = 200;
  for (unsigned seed = 0; seed < runs; ++seed) {
    const auto z = sm::log_partition(two_modes(), sm::importance_sampling{.samples = 2'000, .rounds = 1, .seed = seed});
    const double deviation = (z.value - std::log(4 * pi)) / z.error;
    sum += deviation;
    squares += deviation * deviation;
  }
  CHECK(std::abs(sum / std::sqrt(runs)) < 4);
  CHECK(std::abs(squares - runs) / std::sqrt(2.0 * runs) < 4);
}

TEST_CASE("Importance weights too heavy to trust are a status, not a number to believe") {
  const auto banana = sm::energy_model(3, [](auto x, auto) {
    return 0.5 * square(x[0]) + 5 * square(x[1] - square(x[0])) + 5 * square(x[2] - square(x[1]));
  });
  const auto z = sm::log_partition(banana, sm::importance_sampling{});
  CHECK(z.status == PartitionStatus::degenerate);
  CHECK_FALSE(z.evidence.empty());
  // the Pareto shape of weights with known tails: u^{−k}
  for (const double k : {0.2, 0.5, 0.9}) {
    sm::Stream stream({3});
    VectorXd log_weights(100'000);
    for (Index i = 0; i < log_weights.size(); ++i) log_weights[i] = -k * std::log(stream.uniform());
    CHECK(std::abs(sm::likelihood::pareto_shape(log_weights) - k) < 0.15);
  }
}

TEST_CASE("Annealed importance sampling brackets a known log Z from both sides") {
  const double truth = std::log(4 * pi);
  for (unsigned seed = 0; seed < 5; ++seed) {
    const auto z = sm::log_partition(
        two_modes(), sm::annealed_importance_sampling<>{
                         .chains = 500, .temperatures = 200, .seed = seed, .target_samples = draws_of_two_modes(500)});
    CAPTURE(seed, z.lower, z.value, z.upper);
    CHECK(z.status == PartitionStatus::converged);
    CHECK(z.lower < truth);
    CHECK(z.upper > truth);
    CHECK(z.upper - z.lower < 0.4);
    CHECK(std::abs(z.value - truth) < 4 * z.error);
  }
  // Ten dimensions, 1024 wells: ten times the one-dimensional log Z
  const auto well = sm::energy_model(1, [](auto x, auto) { return 2 * square(square(x[0]) - 1.0); });
  const auto wells = sm::energy_model(10, [](auto x, auto) { return 2 * sum(square(square(x) - 1.0)); });
  const double ten = 10 * sm::log_partition(well).value;
  const auto z = sm::log_partition(wells, sm::annealed_importance_sampling<>{.chains = 400, .temperatures = 400});
  CHECK(z.lower < ten);
  CHECK(std::abs(z.value - ten) < 4 * z.error);
  CHECK(z.error < 0.05);
}

TEST_CASE("Backward chains from wrong samples do not pretend to a bound below the truth's") {
  // From one mode alone the backward weights know half the mass: the bound falls by log 2 at most, towards it.
  const auto z = sm::log_partition(
      two_modes(), sm::annealed_importance_sampling<>{
                       .chains = 500, .temperatures = 200, .target_samples = MatrixXd::Constant(2, 1, 3.0)});
  CHECK(z.upper > std::log(2 * pi) - 0.1);
}

TEST_CASE("Annealing is unbiased for Z in float and double, with and without pilots, at any number of temperatures") {
  const double truth = 1.5 * log_two_pi;
  for (const bool adapt : {true, false})
    for (const Index temperatures : {2, 10, 100}) {
      sm::annealed_importance_sampling<> method{
          .chains = 4000, .temperatures = temperatures, .kernel = {.step = 0.3}, .adapt = adapt, .seed = 5};
      const auto model = normal(3, 0.5);
      const auto z = sm::log_partition(model, method), single = sm::log_partition<float>(model, method);
      CAPTURE(adapt, temperatures, z.value, z.error, single.value);
      CHECK(std::abs(z.value - truth) < 4 * z.error);
      CHECK(std::abs(single.value - truth) < 4 * single.error);
      CHECK(z.lower < truth);
    }
  // A base that is the model itself has weights of 1: exact.
  const auto z = sm::log_partition(normal(3, 0.0), sm::annealed_importance_sampling<>{.chains = 10, .temperatures = 2});
  CHECK(std::abs(z.value - truth) < 1e-12);
  CHECK(z.effective_sample_size == Approx(10));
}

TEST_CASE("Sampled partition functions are the same bits again") {
  const sm::annealed_importance_sampling<> annealing{.chains = 100, .temperatures = 20};
  const double a = sm::log_partition(two_modes(), annealing).value, b = sm::log_partition(two_modes(), annealing).value;
  CHECK(std::memcmp(&a, &b, sizeof a) == 0);
  const double c = sm::log_partition(two_modes(), sm::importance_sampling{}).value,
               e = sm::log_partition(two_modes(), sm::importance_sampling{}).value;
  CHECK(std::memcmp(&c, &e, sizeof c) == 0);
}

TEST_CASE("Without a method: quadrature up to three dimensions, annealing beyond") {
  CHECK(sm::log_partition(normal(2)).effective_sample_size == 0);
  const auto z = sm::log_partition(normal(4));
  CHECK(z.effective_sample_size > 0);
  CHECK(std::abs(z.value - 2 * log_two_pi) < 4 * z.error);
}

TEST_CASE("log_likelihood is the sum of −f − log Z") {
  const MatrixXd X = draws_of_two_modes(50);
  const auto z = sm::log_partition(normal(2, 0.5), X);
  const sm::LogLikelihood likelihood = sm::log_likelihood(normal(2, 0.5), X, z);
  double total = 0;
  for (Index i = 0; i < 50; ++i) total += -0.5 * (X.col(i).array() - 0.5).square().sum() - log_two_pi;
  CHECK(likelihood.total == Approx(total).epsilon(1e-10));
  CHECK(likelihood.mean == Approx(total / 50).epsilon(1e-10));
  const double spread = (likelihood.per_sample.array() - likelihood.mean).square().sum() / 49;
  CHECK(likelihood.standard_error == Approx(std::sqrt(spread / 50)).epsilon(1e-10));
  CHECK(likelihood.partition_error == z.error);
  const auto infinite = sm::log_partition(sm::energy_model(2, [](auto x, auto) { return square(x[0]); }));
  CHECK_THROWS_WITH(sm::log_likelihood(normal(2), X, infinite), Catch::Contains("log Z is inf (not normalisable)"));
}

TEST_CASE("Broken preconditions of partition functions throw, naming the argument") {
  using Catch::Contains;
  CHECK_THROWS_WITH(sm::log_partition(normal(4), sm::quadrature{}),
                    Contains("up to three dimensions; this model has 4"));
  CHECK_THROWS_WITH(sm::log_partition(normal(1), sm::quadrature{.tolerance = 0}),
                    Contains("quadrature: tolerance is 0"));
  CHECK_THROWS_WITH(sm::log_partition(normal(2), sm::quadrature{.near = MatrixXd::Zero(3, 5)}),
                    Contains("near is 3 × 5; it must have 2 rows"));
  CHECK_THROWS_WITH(sm::log_partition(normal(1), sm::importance_sampling{.samples = 0}), Contains("samples is 0"));
  CHECK_THROWS_WITH(sm::log_partition(normal(1), sm::importance_sampling{.degrees = 0}), Contains("degrees is 0"));
  using annealed = sm::annealed_importance_sampling<>;
  CHECK_THROWS_WITH(sm::log_partition(normal(1), annealed{.chains = 0}),
                    Contains("chains is 0; it must be at least 2"));
  CHECK_THROWS_WITH(sm::log_partition(normal(1), annealed{.temperatures = 1}), Contains("temperatures is 1"));
  CHECK_THROWS_WITH(sm::log_partition(normal(2), annealed{.mean = VectorXd::Zero(3)}), Contains("mean has 3 numbers"));
  CHECK_THROWS_WITH(sm::log_partition(normal(2), annealed{.covariance = MatrixXd::Zero(2, 2)}),
                    Contains("not positive definite"));
  CHECK_THROWS_WITH(sm::log_partition(normal(2), annealed{.target_samples = MatrixXd::Zero(3, 2)}),
                    Contains("target_samples has 3 rows"));
}
