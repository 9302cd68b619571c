// Training implicit models: the gradient of the reverse divergence against that of its closed form, and where training
// ends.
//
// Seeds are fixed, so nothing here fails by chance. Had a seed been drawn by chance, each statistical check, |z| < 4.5,
// would fail a correct library with probability 7·10⁻⁶, all of them together with less than 10⁻³.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/density/gaussian_density.hpp"
#include "scorematch/implicit/reverse_kl.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/network/mlp.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using fixtures::refuses;
using sm::FitStatus;
using sm::GeneratorStructure;
using sm::Index;

namespace {

constexpr double limit = 4.5;  // of a standard normal statistic
constexpr double pi = 3.141592653589793;

/// x = A z + b, A any matrix.
sm::Generator affine(const MatrixXd& A, const VectorXd& b) {
  return sm::generator(A.cols(), A.rows(), [&](auto z, auto theta) { return theta("A", A) * z + theta("b", b); });
}

/// x₀ = a + exp(s) z₀, x₁ = b x₀² + exp(t) z₁
sm::Generator bent(double a, double s, double b, double t) {
  return sm::generator(2, 2, [=](auto z, auto theta) {
    const auto x0 = theta("a", sm::start_at(a)) + exp(theta("s", sm::start_at(s))) * z[0];
    return sm::concat(x0, theta("b", sm::start_at(b)) * square(x0) + exp(theta("t", sm::start_at(t))) * z[1]);
  });
}

/// The energy of what `bent` makes, less its log Z = log 2π + s + t.
sm::EnergyModel bent_energy(double a, double s, double b, double t) {
  return sm::energy_model(2, [=](auto x, auto) {
    return 0.5 * square((x[0] - a) * std::exp(-s)) + 0.5 * square((x[1] - b * square(x[0])) * std::exp(-t));
  });
}

struct Target {
  Eigen::Vector2d mean{0.5, -1};
  Eigen::Matrix2d covariance{{1.5, 0.6}, {0.6, 0.8}};

  sm::EnergyModel energy() const {
    const MatrixXd precision = covariance.inverse();
    return sm::energy_model(2, [&](auto x, auto) { return 0.5 * quadratic_form(precision, x - mean); });
  }
  double log_z() const { return std::log(2 * pi) + 0.5 * std::log(covariance.determinant()); }
};

double kl(const VectorXd& b, const MatrixXd& A, const Target& p) {
  return sm::gaussian_kl_divergence(b, A * A.transpose(), p.mean, p.covariance);
}

}  // namespace

// --- the gradient ---

TEST_CASE("The gradient of the reverse divergence is that of its closed form, and its errors are right") {
  const Target p;
  MatrixXd A(2, 2);
  A << 0.9, 0.4,  //
      -0.3, 1.3;
  const VectorXd b = Eigen::Vector2d(0.1, 0.2);
  const auto g = affine(A, b);  // φ: A column by column, then b
  VectorXd right(6);
  for (Index k = 0; k < 6; ++k) {
    const double h = 1e-6;
    const auto at = [&](double shift) {
      MatrixXd moved = A;
      VectorXd centre = b;
      (k < 4 ? moved.data()[k] : centre[k - 4]) += shift;
      return kl(centre, moved, p);
    };
    right[k] = (at(h) - at(-h)) / (2 * h);
  }
  double squares = 0;
  const int seeds = 200;
  for (int seed = 0; seed < seeds; ++seed) {
    const sm::ReverseKlEstimate found = sm::reverse_kl_gradient(g, p.energy(), 4000, static_cast<std::uint64_t>(seed));
    REQUIRE(found.gradient.size() == 6);
    const Eigen::ArrayXd z = (found.gradient - right).array() / found.gradient_error.array();
    squares += z.square().sum() / (6 * seeds);
    if (seed > 0) continue;
    CHECK(found.invertible);
    CHECK(found.samples == 4000);
    CHECK(z.abs().maxCoeff() < limit);
    CHECK(found.gradient_error.maxCoeff() < 0.1 * right.norm());
    // The value is D − log Z, with its terms.
    CHECK(std::abs(found.value + p.log_z() - kl(b, A, p)) < limit * found.standard_error);
    CHECK(found.standard_error < 0.1);
    REQUIRE(found.terms.size() == 2);
    CHECK(std::abs(found.terms[0].value + sm::gaussian_entropy(A * A.transpose())) <
          limit * found.terms[0].standard_error);
    CHECK(found.terms[0].value + found.terms[1].value == Approx(found.value).epsilon(1e-12));
  }
  // With 16 blocks the mean square of Student's t is 15/13 = 1.15; its own deviation here is near 0.06.
  INFO("mean square " << squares);
  CHECK(squares > 0.85);
  CHECK(squares < 1.45);

  // Where q = p nothing is left of the noise, in the gradient as in the value.
  const MatrixXd L = Eigen::LLT<MatrixXd>(p.covariance).matrixL();
  const sm::ReverseKlEstimate there = sm::reverse_kl_gradient(affine(L, p.mean), p.energy(), 1000);
  CHECK(there.gradient.norm() < 1e-13);
  CHECK(there.value == Approx(-p.log_z()).epsilon(1e-13));
  CHECK(there.standard_error < 1e-14);
}

TEST_CASE("The gradient for triangular maps, against differences of the divergence with the noise held") {
  // E[∂ log q] = 0 holds in the mean alone, so the two differ by noise: compared within its errors.
  const auto target = bent_energy(0, 0.2, 0.5, 0);
  const auto value = [&](const VectorXd& phi) {
    auto g = bent(0, 0, 0, 0);
    g.set_parameters(phi);
    return sm::reverse_kl_gradient(g, target, 20000, 5);
  };
  const VectorXd phi = bent(0.3, 0.1, 0.2, -0.3).parameters();
  const sm::ReverseKlEstimate found = value(phi);
  for (Index k = 0; k < 4; ++k) {
    VectorXd up = phi, down = phi;
    up[k] += 1e-5;
    down[k] -= 1e-5;
    const double change = (value(up).value - value(down).value) / 2e-5;
    CHECK(std::abs(found.gradient[k] - change) < limit * (found.gradient_error[k] + 0.02));
    CHECK(found.gradient_error[k] < 0.1);
  }
}

// --- training ---

TEST_CASE("An affine generator becomes its Gaussian target exactly") {
  const Target p;
  const auto start = affine(MatrixXd::Identity(2, 2), VectorXd::Zero(2));
  const sm::ReverseKlFit fit = sm::fit(start, sm::reverse_kl{.iterations = 2500, .batch = 64}, p.energy());
  CHECK(fit.status == FitStatus::used_up);
  CHECK(fit.iterations == 2500);
  const MatrixXd A = fit.generator.parameter("A"), b = fit.generator.parameter("b");
  CHECK((b - p.mean).norm() < 1e-6);
  CHECK((A * A.transpose() - p.covariance).norm() < 1e-6);
  CHECK(fit.last.samples == 16 * 64);
  CHECK(fit.last.value == Approx(-p.log_z()).epsilon(1e-9));
  CHECK(fit.last.gradient_error.maxCoeff() < 1e-6);
  CHECK(fit.history.size() >= 100);
  CHECK(fit.history.front().iteration == 0);
  CHECK(fit.history.back().iteration == 2499);
  CHECK(fit.history.front().value > fit.history.back().value + 0.1);

  // Again: the same bits. Float: the same distribution, to float's precision (A is free up to a rotation).
  CHECK(sm::fit(start, sm::reverse_kl{.iterations = 2500, .batch = 64}, p.energy()).generator.parameters() ==
        fit.generator.parameters());
  const auto in_float = sm::fit<float>(start, sm::reverse_kl{.iterations = 2500, .batch = 64}, p.energy());
  const MatrixXd in_float_A = in_float.generator.parameter("A");
  CHECK((in_float_A * in_float_A.transpose() - p.covariance).norm() < 1e-4);

  // A lower triangular factor: its signs apart, it is Cholesky's.
  const auto triangular = sm::generator(2, 2, [](auto z, auto theta) {
    return sm::stack(2, [&](int k) {
      return theta("b", 2)[k] + dot(theta("row" + std::to_string(k), k + 1, sm::start_at(0.5)), head(z, k + 1));
    });
  });
  CHECK(triangular.structure() == GeneratorStructure::affine);
  const auto factored = sm::fit(triangular, sm::reverse_kl{.iterations = 2500, .batch = 64}, p.energy());
  const MatrixXd L = Eigen::LLT<MatrixXd>(p.covariance).matrixL();
  CHECK(std::abs(factored.generator.parameter("row0")(0)) == Approx(L(0, 0)).epsilon(1e-5));
  CHECK(std::abs(factored.generator.parameter("row1")(1)) == Approx(L(1, 1)).epsilon(1e-5));
  CHECK(std::abs(factored.generator.parameter("row1")(0)) == Approx(L(1, 0)).epsilon(1e-5));
}

TEST_CASE("A triangular generator becomes a banana, for energies and score models alike") {
  const auto target = bent_energy(0.5, 0.3, 0.6, -0.4);
  const auto score = sm::score_model(2, [](auto x, auto) {  // the same, as a score
    const double wide = std::exp(-0.6), narrow = std::exp(0.8);
    const auto off = narrow * (x[1] - 0.6 * square(x[0]));
    return sm::concat(-wide * (x[0] - 0.5) + 1.2 * x[0] * off, -off);
  });
  const VectorXd right = bent(0.5, 0.3, 0.6, -0.4).parameters();
  const auto by_energy = sm::fit(bent(0, 0, 0, 0), sm::reverse_kl{.iterations = 3000, .batch = 64}, target);
  const auto by_score = sm::fit(bent(0, 0, 0, 0), sm::reverse_kl{.iterations = 3000, .batch = 64}, score);
  CHECK((by_energy.generator.parameters() - right).norm() < 1e-5);
  CHECK((by_score.generator.parameters() - right).norm() < 1e-5);
  CHECK(by_energy.last.value == Approx(-(std::log(2 * pi) + 0.3 - 0.4)).epsilon(1e-8));
  // The score knows no energy, and so no value.
  CHECK(std::isnan(by_score.last.value));
  REQUIRE(by_score.last.terms.size() == 1);
  CHECK(by_score.last.terms[0].name == "negative entropy");
}

TEST_CASE("A learned score beside the generator: q * N(0, σ²I) becomes the target") {
  const Target p;
  const double sigma = 0.5;
  const auto linear =
      sm::score_model(2, [](auto x, auto theta) { return theta("c", 2) - theta("K", MatrixXd::Identity(2, 2)) * x; });
  const sm::reverse_kl options{
      .iterations = 1500, .batch = 256, .learning_rate = 0.02, .seed = 3, .sigma = sigma, .score_learning_rate = 0.02};
  const MatrixXd expected = p.covariance - sigma * sigma * MatrixXd::Identity(2, 2);
  const auto check = [&](const sm::Generator& generator, double margin) {
    const auto fit = sm::fit(generator, options, p.energy(), linear);
    CHECK(fit.status == FitStatus::used_up);
    CHECK(fit.iterations == 1500);
    const MatrixXd X = sm::generate(fit.generator, 20000, 7);
    const VectorXd mean = X.rowwise().mean();
    const MatrixXd centred = X.colwise() - mean, covariance = centred * centred.transpose() / 20000;
    CHECK((mean - p.mean).norm() < margin);
    CHECK((covariance - expected).norm() < margin);
    // The score beside it has become the target's.
    CHECK((fit.score.parameter("K") - p.covariance.inverse()).norm() < margin);
    REQUIRE(fit.last.terms.size() == 1);
    CHECK(fit.last.terms[0].name == "energy");
    CHECK(std::isnan(fit.last.value));
  };
  check(affine(MatrixXd::Identity(2, 2), VectorXd::Zero(2)), 0.1);
  // More noise than dimensions, whose density is not known
  MatrixXd wide(2, 4);
  wide << 0.5, 0.1, 0, 0.4,  //
      0, 0.3, 0.6, -0.2;
  check(affine(wide, VectorXd::Zero(2)), 0.1);
}

#ifdef _OPENMP
TEST_CASE("Training and estimates are the same bits for any number of threads") {
  const int all = omp_get_max_threads();
  const auto target = bent_energy(0.5, 0.3, 0.6, -0.4);
  const auto score =
      sm::score_model(2, [](auto x, auto theta) { return sm::mlp(x, theta, {.hidden = {8}, .outputs = 2}) - x; });
  const auto run = [&](int threads) {
    omp_set_num_threads(threads);
    const auto estimate = sm::reverse_kl_gradient(bent(0, 0, 0, 0), target, 1000);
    const auto known = sm::fit(bent(0, 0, 0, 0), sm::reverse_kl{.iterations = 30, .batch = 700}, target);
    const auto learned =
        sm::fit(bent(0, 0, 0, 0), sm::reverse_kl{.iterations = 5, .batch = 700, .first_score_steps = 5}, target, score);
    VectorXd numbers(4 + 4 + 1 + 4 + 4);
    numbers << estimate.gradient, estimate.gradient_error, estimate.value, known.generator.parameters(),
        learned.generator.parameters();
    return numbers;
  };
  const VectorXd one = run(1), three = run(3);
  omp_set_num_threads(all);
  CHECK(one == three);
}
#endif

TEST_CASE("Training that cannot go on says why, and keeps the last generator that could") {
  const auto standard = sm::energy_model(1, [](auto x, auto) { return 0.5 * squared_norm(x); });
  const auto folded = sm::generator(1, 1, [](auto z, auto theta) { return theta("k", sm::start_at(1)) * square(z); });
  REQUIRE(folded.structure() == GeneratorStructure::triangular);
  CHECK_FALSE(sm::generate_with_density(folded, normals(1, 50, 8)).invertible);
  const auto by_fold = sm::fit(folded, sm::reverse_kl{.iterations = 10}, standard);
  CHECK(by_fold.status == FitStatus::not_invertible);
  CHECK(std::string(to_string(by_fold.status)) == "not invertible");
  CHECK(by_fold.iterations == 0);
  CHECK(by_fold.generator.parameters() == folded.parameters());
  CHECK_FALSE(sm::reverse_kl_gradient(folded, standard, 64).invertible);

  const auto half =
      sm::energy_model(1, [](auto x, auto) { return log(x[0]) + x[0]; });  // NaN below 0, with a finite slope
  const auto scaled = sm::generator(1, 1, [](auto z, auto theta) { return exp(theta("s")) * z; });
  const auto by_wall = sm::fit(scaled, sm::reverse_kl{.iterations = 10}, half);
  CHECK(by_wall.status == FitStatus::non_finite);
  CHECK(by_wall.generator.parameters() == scaled.parameters());
  CHECK_FALSE(std::isfinite(by_wall.last.value));

  // The progress callback stops it.
  const auto stopped = sm::fit(
      scaled, sm::reverse_kl{.iterations = 10, .progress = [](const sm::Progress& now) { return now.done < 4; }},
      standard);
  CHECK(stopped.status == FitStatus::stopped);
  CHECK(stopped.iterations == 4);
}

// --- bad input ---

TEST_CASE("Reverse divergence refuses what it cannot use, and names it") {
  const Target p;
  const auto wide = affine(MatrixXd::Ones(2, 3), VectorXd::Zero(2));
  const auto deep =
      sm::generator(2, 2, [](auto z, auto theta) { return sm::mlp(z, theta, {.hidden = {4}, .outputs = 2}); });
  const auto good = affine(MatrixXd::Identity(2, 2), VectorXd::Zero(2));
  const auto score3 = sm::score_model(3, [](auto x, auto theta) { return theta("k") * x; });
  const auto score2 = sm::score_model(2, [](auto x, auto theta) { return theta("k") * x; });

  refuses([&] { (void)sm::fit(wide, sm::reverse_kl{}, p.energy()); }, "reverse_kl", "makes 2 numbers of 3 of noise",
          "give a score model");
  refuses([&] { (void)sm::fit(deep, sm::reverse_kl{}, p.energy()); }, "neither affine in z, nor triangular",
          "give a score model");
  refuses([&] { (void)sm::reverse_kl_gradient(deep, p.energy(), 100); }, "reverse_kl_gradient", "neither affine");
  refuses([&] { (void)sm::reverse_kl_gradient(good, p.energy(), 10); }, "samples is 10");
  refuses([&] { (void)sm::fit(good, sm::reverse_kl{}, sm::energy_model(3, [](auto x, auto) { return sum(x); })); },
          "the target has dimension 3", "points of 2");
  refuses([&] { (void)sm::fit(good, sm::reverse_kl{}, p.energy(), score3); }, "score to be learned has dimension 3",
          "points of 2");
  refuses([&] { (void)sm::fit(good, sm::reverse_kl{.iterations = 0}, p.energy()); }, "reverse_kl: iterations is 0");
  refuses([&] { (void)sm::fit(good, sm::reverse_kl{.batch = 1}, p.energy()); }, "reverse_kl: batch is 1");
  refuses([&] { (void)sm::fit(good, sm::reverse_kl{.learning_rate = -1}, p.energy()); }, "learning_rate is -1");
  refuses([&] { (void)sm::fit(good, sm::reverse_kl{.sigma = 0}, p.energy(), score2); }, "reverse_kl: sigma is 0");
  refuses([&] { (void)sm::fit(good, sm::reverse_kl{.score_steps = 0}, p.energy(), score2); }, "score_steps is 0");
}
