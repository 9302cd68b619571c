// log Z by quadrature, importance sampling and annealed importance sampling, against energies whose log Z is known.
//
// Seeds are fixed, so nothing here fails by chance. Had they been drawn by chance: |z| < 4 fails a correct library with
// probability 6·10⁻⁵ a check (some 60 of them), counts of covered intervals as said beside them.
#include "catch.hpp"

#include <Eigen/Cholesky>
#include <Eigen/LU>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/likelihood/log_likelihood.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/partition/log_partition.hpp"

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

TEST_CASE("Quadrature is right to 1e-10 for smooth energies in two and three dimensions", "[long]") {
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

TEST_CASE("Importance sampling is within its error, at every seed and up to twenty dimensions", "[long]") {
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

TEST_CASE("Without a method: quadrature up to three dimensions, beyond what a pilot finds to converge", "[long]") {
  CHECK(sm::log_partition(normal(2)).effective_sample_size == 0);
  const auto z = sm::log_partition(normal(4));
  CHECK(z.effective_sample_size > 50'000);  // importance sampling
  CHECK(std::abs(z.value - 2 * log_two_pi) < 4 * z.error);
  // 1024 wells: of these sixteen are found, so that importance weights are poor and annealing takes over.
  const auto well = sm::energy_model(1, [](auto x, auto) { return 2 * square(square(x[0]) - 1.0); });
  const auto wells =
      sm::log_partition(sm::energy_model(10, [](auto x, auto) { return 2 * sum(square(square(x) - 1.0)); }));
  CHECK(wells.status == PartitionStatus::converged);
  CHECK(wells.effective_sample_size < 1000);
  CHECK(std::abs(wells.value - 10 * sm::log_partition(well).value) < 4 * wells.error);
  // A regression's posterior, columns of scales 1, 30 and 1000, two of them nearly equal: log Z in closed form.
  sm::Stream stream({7});
  MatrixXd A(40, 5);
  for (Index i = 0; i < 40; ++i) {
    const VectorXd z_i = stream.normals(5);
    A.row(i) << z_i[0], 30 * z_i[1], z_i[0] + 0.01 * z_i[2], z_i[3], 1000 + z_i[4];
  }
  const VectorXd y = A.col(0) - 2 * A.col(1) + 0.1 * A.col(4) + 0.1 * stream.normals(40);
  const auto posterior =
      sm::energy_model(5, [&](auto x, auto) { return 50 * squared_norm(A * x - y) + 0.005 * squared_norm(x); });
  const MatrixXd precision = 100 * A.transpose() * A + 0.01 * MatrixXd::Identity(5, 5);
  const Eigen::LLT<MatrixXd> factor(precision);
  const VectorXd mean = factor.solve(100 * A.transpose() * y);
  const MatrixXd L = factor.matrixL();
  const double truth =
      2.5 * log_two_pi - L.diagonal().array().log().sum() - 0.5 * (100 * y.squaredNorm() - 100 * y.dot(A * mean));
  const auto regression = sm::log_partition(posterior);
  CHECK(regression.status == PartitionStatus::converged);
  CHECK(std::abs(regression.value - truth) < 4 * regression.error);
  CHECK(regression.error < 0.01);
}

// --- what a status promises ---

TEST_CASE("Every method says at once, without a signal, that an energy is nowhere a number") {
  const auto check = [](const auto& model) {
    const Index d = model.dimension();
    for (const sm::LogPartition& z :
         {sm::log_partition(model), d <= 3 ? sm::log_partition(model, sm::quadrature{}) : sm::log_partition(model),
          sm::log_partition(model, sm::importance_sampling{}),
          sm::log_partition(model, sm::annealed_importance_sampling<>{}),
          sm::log_partition<float>(model, sm::annealed_importance_sampling<>{.adapt = false}),
          sm::log_partition(model, MatrixXd::Ones(d, 3))}) {
      CHECK(z.status == PartitionStatus::non_finite);
      CHECK(std::isnan(z.value));
      CHECK_FALSE(z.evidence.empty());
      CHECK(z.evaluations < 1000);
    }
  };
  for (const Index d : {1, 3, 5}) {
    auto model =
        sm::energy_model(d, [](auto x, auto theta) { return 0.5 * exp(theta("k")) * squared_norm(x) + theta("c"); });
    for (const double k : {std::nan(""), 800.0}) {
      model.set_parameters(Eigen::Vector2d(0, k));
      check(model);
    }
    check(sm::energy_model(d, [](auto x, auto) { return log(-1 - squared_norm(x)); }));
  }
  auto compiled = sm::energy_model<2>([](auto x, auto theta) { return 0.5 * theta("k") * squared_norm(x); });
  compiled.set_parameters(VectorXd::Constant(1, std::nan("")));
  check(compiled);
  // NaN in a part of space that chains and samples meet
  const auto part = sm::energy_model(4, [](auto x, auto) { return 0.5 * squared_norm(x) + 0 * log(x[0] + 2); });
  CHECK(sm::log_partition(part, sm::annealed_importance_sampling<>{.temperatures = 100}).status ==
        PartitionStatus::non_finite);
  CHECK(sm::log_partition(part, sm::importance_sampling{.samples = 1000}).status == PartitionStatus::non_finite);
}

TEST_CASE("Quadrature knows no units of x, down to the rounding of x and f, and says where that ends it") {
  for (const double s : {1e-9, 1.0, 1e9}) {
    CAPTURE(s);
    check_quadrature(sm::energy_model(1, [s](auto x, auto) { return log1p(square(x[0] / s - 4)); }), std::log(pi * s));
    check_quadrature(sm::energy_model(1,
                                      [s](auto x, auto) {
                                        const auto y = x[0] / s - 7;
                                        return -log_sum_exp(sm::concat(-0.5 * square(y - 30), -0.5 * square(y + 30)));
                                      }),
                     0.5 * log_two_pi + std::log(2 * s));
    check_quadrature(sm::energy_model(2, [s](auto x, auto) { return 2.5 * log1p(squared_norm(x / s - 4) / 3.0); }),
                     log_two_pi + 2 * std::log(s));
  }
  check_quadrature(
      sm::energy_model(2, [](auto x, auto) { return 0.5 * square(x[0] / 1e-9 - 5) + 0.5 * square(x[1] / 1e9 + 3); }),
      log_two_pi);
  for (const double width : {1e-150, 1e-12})
    check_quadrature(sm::energy_model(1, [width](auto x, auto) { return 0.5 * square(x[0] / width); }),
                     0.5 * log_two_pi + std::log(width));
  const auto rounded = [](auto formula, double truth) {
    const auto z = sm::log_partition(sm::energy_model(1, formula));
    CAPTURE(z.value - truth, z.error, z.evidence);
    CHECK(z.status == PartitionStatus::not_converged);
    CHECK(std::abs(z.value - truth) < z.error);
    CHECK(z.error < 1e-3);
    CHECK(z.evidence.find("rounding") != std::string::npos);
    CHECK(z.evaluations < 20'000);
  };
  rounded([](auto x, auto) { return 0.5 * square(x[0] - 1e8); }, 0.5 * log_two_pi);
  rounded([](auto x, auto) { return 0.5 * square((x[0] + 1e5) / 1e-3); }, 0.5 * log_two_pi + std::log(1e-3));
  rounded([](auto x, auto) { return 0.5 * square(x[0]) + 1e8; }, 0.5 * log_two_pi - 1e8);
  rounded([](auto x, auto) { return 0.5 * square(x[0] + 1e6) - 1e6 * x[0] - 5e11; }, 0.5 * log_two_pi);
  for (const double width : {1e-17, 1e-150}) {  // narrower than the numbers near 0.3 are apart
    const auto z =
        sm::log_partition(sm::energy_model(1, [width](auto x, auto) { return 0.5 * square((x[0] - 0.3) / width); }));
    CHECK(z.status == PartitionStatus::not_converged);
    CHECK(std::isinf(z.error));
    CHECK(z.evaluations < 20'000);
  }
}

TEST_CASE("Posteriors of means and log variances are normalisable where they are, and are not where they are not") {
  // n u + b e^{−2u}: ½ Γ(n/2) b^{−n/2}
  for (const double n : {0.1, 5.0, 1e4}) {
    CAPTURE(n);
    check_quadrature(sm::energy_model(1, [n](auto u, auto) { return n * u[0] + 3 * exp(-2 * u[0]); }),
                     std::log(0.5) + std::lgamma(n / 2) - n / 2 * std::log(3.0));
  }
  // A regression's: two coefficients far from orthogonal, and log σ
  const auto posterior = sm::energy_model(3, [](auto u, auto) {
    const auto slope = u[1] - 2, level = u[0] + 3 + 50 * slope;
    return 20 * (square(level) + 100 * square(slope) + 1) * exp(-2 * u[2]) + 40 * u[2];
  });
  // ∫ over both: (π/20) e^{2w}/10; then n = 38, b = 20
  const auto z = sm::log_partition(posterior, sm::quadrature{.tolerance = 1e-7});
  CHECK(z.status == PartitionStatus::converged);
  CHECK(std::abs(z.value - (std::log(pi / 200) + std::log(0.5) + std::lgamma(19.0) - 19 * std::log(20.0))) < 1e-6);
  // A funnel: x₀ ~ N(0, 9), x₁ ~ N(0, e^{x₀})
  check_quadrature(
      sm::energy_model(2,
                       [](auto x, auto) { return square(x[0]) / 18.0 + 0.5 * square(x[1]) * exp(-x[0]) + 0.5 * x[0]; }),
      log_two_pi + std::log(3.0));
  const auto status = [](auto formula, Index d) { return sm::log_partition(sm::energy_model(d, formula)).status; };
  // Random effects without a prior on their log variance: the mass around θ = μ, u → −∞ does not fall.
  CHECK(status([](auto x, auto) { return 0.5 * (square(x[0] - 1) + square(x[1] - 1)) * exp(-2 * x[2]) + 2 * x[2]; },
               3) == PartitionStatus::not_normalisable);
  CHECK(status([](auto x, auto) { return 3 * exp(-2 * x[0]); }, 1) == PartitionStatus::not_normalisable);
  CHECK(status([](auto x, auto) { return x[0] + square(x[1]); }, 2) == PartitionStatus::not_normalisable);
  // A logistic regression of two classes that a line parts
  CHECK(status([](auto x, auto) { return softplus(-x[0] - x[1]) + softplus(-2 * x[0] - x[1]); }, 2) ==
        PartitionStatus::not_normalisable);
}

TEST_CASE("A search for minima returns minima, each once, and a ray's far end is what it is judged by") {
  const auto model = sm::energy_model(3, [](auto u, auto) {
    const auto db = u[1] - 1, da = u[0] - 1 + 100 * db;
    return 217 * (square(da) + 225 * square(db) + 1) * exp(-2 * u[2]) + 434 * u[2];
  });
  auto energy = sm::likelihood::energy_function<double>(model);
  const auto modes = sm::likelihood::find_minima(energy, sm::likelihood::places_to_look(3, MatrixXd()),
                                                 VectorXd(VectorXd::Ones(3)), 32);
  REQUIRE(modes.found.size() == 1);
  CHECK((modes.found[0].point - Eigen::Vector3d(1, 1, 0)).norm() < 1e-6);
  CHECK(std::abs(sm::log_partition(model, sm::quadrature{.tolerance = 1e-6}).value + 226.402372) < 2e-6);
  // A saddle on a place to look is none.
  auto two = sm::likelihood::energy_function<double>(two_modes());
  CHECK(sm::likelihood::find_minima(two, sm::likelihood::places_to_look(2, MatrixXd()), VectorXd(VectorXd::Ones(2)), 32)
            .found.size() == 2);
}

TEST_CASE("Tails too long for any Z are named by every method, in any dimension") {
  for (const Index d : {4, 5, 10}) {
    const auto half = sm::energy_model(d, [](auto x, auto) { return 0.5 * log1p(squared_norm(x)); });
    const auto flat = sm::energy_model(d, [](auto x, auto) { return 0.5 * squared_norm(x) - 0.5 * square(x[1]); });
    for (const auto& model : {half, flat})
      for (const sm::LogPartition& z : {sm::log_partition(model), sm::log_partition(model, sm::importance_sampling{}),
                                        sm::log_partition(model, sm::annealed_importance_sampling<>{}),
                                        sm::log_partition(model, sm::annealed_importance_sampling<>{
                                                                     .covariance = 1e6 * MatrixXd::Identity(d, d)})}) {
        CHECK(z.status == PartitionStatus::not_normalisable);
        CHECK(std::isinf(z.value));
        CHECK(z.evidence.find("along the direction") != std::string::npos);
      }
  }
}

TEST_CASE("Annealing and importance sampling do not say converged of what they have not reached", "[long]") {
  // x₀ ~ N(0, 9), x_i ~ N(0, e^{x₀}): the neck is never entered, the mouth never left, and weights alone do not show
  // it.
  for (const Index d : {4, 10, 20}) {
    const auto funnel = sm::energy_model(d, [d](auto x, auto) {
      return square(x[0]) / 18.0 + 0.5 * (squared_norm(x) - square(x[0])) * exp(-x[0]) +
             0.5 * static_cast<double>(d - 1) * x[0];
    });
    const double truth = 0.5 * static_cast<double>(d) * log_two_pi + std::log(3.0);
    sm::Stream stream({5});
    MatrixXd exact(d, 200);
    for (Index i = 0; i < 200; ++i) {
      exact.col(i) = stream.normals(d);
      exact(0, i) *= 3;
      exact.col(i).tail(d - 1) *= std::exp(exact(0, i) / 2);
    }
    for (unsigned seed = 0; seed < 4; ++seed) {
      const sm::annealed_importance_sampling<> method{.chains = 500, .temperatures = 250, .seed = seed};
      const auto z = sm::log_partition(funnel, method);
      CAPTURE(d, seed, z.value - truth, z.error);
      CHECK(z.status != PartitionStatus::converged);
      auto with_samples = method;
      with_samples.target_samples = exact;
      const auto both = sm::log_partition(funnel, with_samples);
      CHECK(both.status != PartitionStatus::converged);
      CHECK(both.upper > truth);
    }
    CHECK(sm::log_partition(funnel, sm::importance_sampling{.samples = 10'000}).status != PartitionStatus::converged);
  }
  // Scales 900 times apart: every chain's steps fit the narrow coordinate.
  const auto scales = sm::energy_model(
      3, [](auto x, auto) { return 0.5 * square(x[0] / 30) + 0.5 * square(30 * x[1]) + 0.5 * square(x[2]); });
  for (unsigned seed = 0; seed < 3; ++seed)
    CHECK(sm::log_partition(scales, sm::annealed_importance_sampling<>{.temperatures = 300, .seed = seed}).status !=
          PartitionStatus::converged);
  // Walls and heavy tails that importance sampling does reach
  const auto wall = sm::energy_model(
      4, [](auto x, auto) { return where(x[0] > 0, sum(abs(x)), std::numeric_limits<double>::infinity()); });
  const auto behind = sm::log_partition(wall, sm::annealed_importance_sampling<>{.temperatures = 300});
  CHECK(behind.status == PartitionStatus::converged);
  CHECK(std::abs(behind.value - 3 * std::log(2.0)) < 4 * behind.error);
  const auto cauchy = sm::energy_model(4, [](auto x, auto) { return 2.5 * log1p(squared_norm(x)); });
  const auto heavy = sm::log_partition(cauchy, sm::importance_sampling{.samples = 40'000});
  CAPTURE(heavy.evidence, heavy.value, heavy.error);
  CHECK(heavy.status != PartitionStatus::degenerate);  // weights are bounded: a tenth of the draws are Cauchy's
  CHECK(std::abs(heavy.value - (2 * std::log(pi) + std::lgamma(0.5) - std::lgamma(2.5))) < 4 * heavy.error);
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
  Eigen::Matrix2d bad = Eigen::Matrix2d::Identity();
  bad(0, 1) = 0.5;
  CHECK_THROWS_WITH(sm::log_partition(normal(2), annealed{.covariance = bad}), Contains("covariance is not symmetric"));
  for (const double number : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    bad = Eigen::Matrix2d::Identity();
    bad(1, 1) = number;
    CHECK_THROWS_WITH(sm::log_partition(normal(2), annealed{.covariance = bad}), Contains("covariance has"));
    CHECK_THROWS_WITH(sm::log_partition(normal(2), annealed{.mean = Vector2d(0, number)}), Contains("mean has"));
    const MatrixXd points = MatrixXd::Constant(2, 3, number);
    CHECK_THROWS_WITH(sm::log_partition(normal(2), annealed{.near = points}), Contains("near has"));
    CHECK_THROWS_WITH(sm::log_partition(normal(2), sm::quadrature{.near = points}), Contains("quadrature: near has"));
    CHECK_THROWS_WITH(sm::log_partition(normal(2), sm::importance_sampling{.near = points}),
                      Contains("importance_sampling: near has"));
  }
  CHECK_THROWS_WITH(sm::log_partition(normal(1), sm::importance_sampling{.degrees = 1e308}), Contains("at most 1e6"));
  CHECK_THROWS_WITH(sm::log_partition(normal(1), sm::importance_sampling{.rounds = std::numeric_limits<Index>::max()}),
                    Contains("at most 1000"));
}
