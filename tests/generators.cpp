// Implicit models: what a generator's record shows about its density, that density against closed forms and
// differences, the gradient of the reverse divergence against that of its closed form, and where training ends.
//
// Seeds are fixed, so nothing here fails by chance. Had a seed been drawn by chance, each statistical check, |z| < 4.5,
// would fail a correct library with probability 7·10⁻⁶, all of them together with less than 10⁻³.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/energy/energy_model.hpp"
#include "scorematch/formula/mlp.hpp"
#include "scorematch/likelihood/gaussian.hpp"
#include "scorematch/likelihood/reverse_kl.hpp"
#include "scorematch/score/score_model.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using sm::GeneratorStructure;
using sm::Index;
using sm::ReverseKlStatus;

namespace {

constexpr double limit = 4.5;  // of a standard normal statistic
constexpr double pi = 3.141592653589793;

MatrixXd normals(Index d, Index n, std::uint64_t seed) {
  MatrixXd Z(n, d);
  sm::fill_normals<double>({seed, sm::Purpose::user}, sm::Ids::from(0), n, 0, d, Z.data(), n);
  return Z.transpose();
}

/// Checks that f throws a std::invalid_argument with all these parts.
template <class F, class... Parts>
void refuses(F f, const Parts&... parts) {
  std::string message = "no exception";
  try {
    f();
  } catch (const std::invalid_argument& error) {
    message = error.what();
  }
  for (const std::string& part : {std::string(parts)...}) CHECK_THAT(message, ContainsSubstring(part));
}

/// x = A z + b, A any matrix.
sm::Generator affine(const MatrixXd& A, const VectorXd& b) {
  return sm::generator(A.cols(), A.rows(), [&](auto z, auto theta) { return theta("A", A) * z + theta("b", b); });
}

/// x₀ = a + exp(s) z₀, x₁ = b x₀² + exp(t) z₁
sm::Generator bent(double a, double s, double b, double t) {
  return sm::generator(2, 2, [=](auto z, auto theta) {
    const auto x0 = theta("a", sm::start(a)) + exp(theta("s", sm::start(s))) * z[0];
    return sm::concat(x0, theta("b", sm::start(b)) * square(x0) + exp(theta("t", sm::start(t))) * z[1]);
  });
}

/// The energy of what `bent` makes, less its log Z = log 2π + s + t.
sm::EnergyModel bent_energy(double a, double s, double b, double t) {
  return sm::energy_model(2, [=](auto x, auto) {
    return 0.5 * square((x[0] - a) * std::exp(-s)) + 0.5 * square((x[1] - b * square(x[0])) * std::exp(-t));
  });
}

/// Three nonlinear outputs, each with one new element of z, in the order x₂ (z₁), x₀ (z₁, z₂), x₁ (all).
sm::Generator twisted() {
  return sm::generator(3, 3, [](auto z, auto theta) {
    const auto x2 = theta("a", sm::start(0.7)) * z[1] + 0.1 * pow(z[1], 3);
    const auto x0 = z[2] * exp(0.3 * tanh(z[1])) + square(z[1]);
    const auto x1 = x0 * x2 + softplus(z[0]) + z[0] * sigmoid(x2) + 0.2 * sin(z[2]);
    return sm::concat(x0, x1, x2);
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

template <class F>
sm::Generator three(F formula) {
  return sm::generator(3, 3, formula);
}

}  // namespace

// --- structure ---

TEST_CASE("Which outputs depend on which inputs is read from the record") {
  const auto depends = [](auto formula, const std::vector<std::string>& rows) {
    const sm::formula::Record record = sm::formula::record(3, formula);
    const sm::formula::Dependence dependence(record);
    for (std::size_t i = 0; i < rows.size(); ++i)
      for (std::size_t j = 0; j < 3; ++j) {
        INFO("output " << i << ", input " << j);
        CHECK(dependence(static_cast<Index>(i), static_cast<Index>(j)) == (rows[i][j] == '1'));
      }
  };
  depends([](auto z, auto) { return sm::concat(z[2], z[0] * z[1], 3.0); }, {"001", "110", "000"});
  depends([](auto z, auto theta) { return tanh(z) + theta("m", 3); }, {"100", "010", "001"});
  depends([](auto z, auto theta) { return z * theta("k") + sum(head(z, 2)); }, {"110", "110", "111"});
  depends([](auto z, auto theta) { return theta("W", 3, 3) * z; }, {"111", "111", "111"});
  Eigen::Matrix3d A;
  A << 1, 0, 0,  //
      2, 0, 3,   //
      0, 0, 4;
  depends([&](auto z, auto) { return A * z; }, {"100", "101", "001"});
  depends([&](auto z, auto theta) { return A * exp(z) + theta("m", 3); }, {"100", "101", "001"});
  depends([&](auto z, auto) { return sm::stack(2, [&](int k) { return dot(VectorXd(A.row(k)), z); }); },
          {"100", "101"});
  depends([](auto z, auto) { return sm::where(z[0] > 0, z, -z); }, {"100", "110", "101"});
  depends([](auto z, auto) { return sm::concat(log_sum_exp(tail(z, 2)), squared_norm(head(z, 2))); }, {"011", "110"});
}

TEST_CASE("Affine and triangular generators are recognised, in any order") {
  const auto structure = [](auto formula) { return three(formula).structure(); };
  CHECK(structure([](auto z, auto theta) { return theta("W", 3, 3) * z + theta("b", 3); }) ==
        GeneratorStructure::affine);
  CHECK(structure([](auto z, auto) { return 2 * z; }) == GeneratorStructure::affine);
  CHECK(structure([](auto z, auto) { return abs(z); }) == GeneratorStructure::triangular);  // not one plane
  CHECK(structure([](auto z, auto theta) { return theta("W", 3, 3) * tanh(z); }) == GeneratorStructure::general);
  CHECK(structure([](auto z, auto) { return sm::concat(z[0] + z[1], z[1] * z[0], z[2]); }) ==
        GeneratorStructure::general);
  CHECK(structure([](auto z, auto) { return sm::concat(exp(z[0]), exp(z[0]), z[2]); }) == GeneratorStructure::general);
  CHECK(twisted().structure() == GeneratorStructure::triangular);
  CHECK(bent(0, 0, 1, 0).structure() == GeneratorStructure::triangular);
  // A coupling layer (Dinh, Sohl-Dickstein & Bengio 2017): the second half scaled and shifted by a network of the first
  const auto coupling = sm::generator(4, 4, [](auto z, auto theta) {
    const auto first = head(z, 2), second = tail(z, 2);
    const auto net = sm::mlp(first, theta, {.hidden = {8}, .outputs = 4});
    return sm::concat(first, second * exp(head(net, 2)) + tail(net, 2));
  });
  CHECK(coupling.structure() == GeneratorStructure::triangular);
  CHECK(sm::generator(5, 2, [](auto z, auto theta) { return theta("W", 2, 5) * z; }).structure() ==
        GeneratorStructure::general);
}

// --- density ---

TEST_CASE("The density of an affine generator is N(b, A Aᵀ)") {
  MatrixXd A(3, 3);
  A << 1, 0.3, -0.2,   //
      0.5, -0.8, 0.1,  //
      -0.3, 0.2, 0.6;
  const VectorXd b = Eigen::Vector3d(0.5, -1, 2);
  const MatrixXd Z = normals(3, 333, 1), covariance = A * A.transpose();
  const auto made = sm::generate_with_density(affine(A, b), Z);
  CHECK(made.invertible);
  CHECK((made.points - ((A * Z).colwise() + b)).cwiseAbs().maxCoeff() < 1e-14);
  CHECK((made.log_density - sm::gaussian_density(b, covariance)(made.points)).cwiseAbs().maxCoeff() < 1e-13);
  const MatrixXd score = -covariance.inverse() * (made.points.colwise() - b);
  CHECK((made.score - score).cwiseAbs().maxCoeff() < 1e-12 * score.cwiseAbs().maxCoeff());
  CHECK(sm::generate(affine(A, b), Z) == made.points);

  const Eigen::MatrixXf z = Z.cast<float>();
  const auto in_float = sm::generate_with_density(affine(A, b), z);
  CHECK((in_float.log_density.cast<double>() - made.log_density).cwiseAbs().maxCoeff() < 1e-4);
  CHECK((in_float.score.cast<double>() - made.score).cwiseAbs().maxCoeff() < 1e-4);

  A.row(2) = A.row(1);
  CHECK_FALSE(sm::generate_with_density(affine(A, b), Z).invertible);
}

TEST_CASE("The density of a triangular generator, against closed forms") {
  const double a = 0.4, s = 0.3, b = 0.7, t = -0.5;
  const auto made = sm::generate_with_density(bent(a, s, b, t), normals(2, 500, 2));
  const auto energy = bent_energy(a, s, b, t);
  CHECK(made.invertible);
  const VectorXd right = -sm::energy_of(energy, made.points).array() - (std::log(2 * pi) + s + t);
  CHECK((made.log_density - right).cwiseAbs().maxCoeff() < 1e-12 * right.cwiseAbs().maxCoeff());
  const MatrixXd score = sm::score_of(energy, made.points);
  CHECK((made.score - score).cwiseAbs().maxCoeff() < 1e-12 * score.cwiseAbs().maxCoeff());

  // x = z + 0.3 z³: q = N(z)/(1 + 0.9 z²), s_q = (−z − 1.8 z/(1 + 0.9 z²))/(1 + 0.9 z²)
  const auto cubic = sm::generator(1, 1, [](auto z, auto) { return z + 0.3 * pow(z, 3); });
  const MatrixXd Z = normals(1, 100, 3);
  const auto one = sm::generate_with_density(cubic, Z);
  const Eigen::ArrayXd z = Z.transpose().array(), slope = 1 + 0.9 * z.square();
  CHECK((one.log_density.array() - (-0.5 * z.square() - 0.5 * std::log(2 * pi) - slope.log())).abs().maxCoeff() <
        1e-13);
  CHECK((one.score.transpose().array() - (-z - 1.8 * z / slope) / slope).abs().maxCoeff() < 1e-13);
}

TEST_CASE("The density and score of triangular generators, against differences") {
  const auto check = [](const sm::Generator& g, Index n) {
    const Index d = g.dimension();
    const MatrixXd Z = normals(d, n, 4);
    const auto made = sm::generate_with_density(g, Z);
    REQUIRE(made.invertible);
    const double h = 1e-5;
    std::vector<MatrixXd> slopes;  // ∂x/∂z_i at all points
    MatrixXd pulled(d, n);         // (∂x/∂z)ᵀ s_q, which is ∇_z log q(g(z))
    for (Index i = 0; i < d; ++i) {
      MatrixXd up = Z, down = Z;
      up.row(i).array() += h;
      down.row(i).array() -= h;
      const auto above = sm::generate_with_density(g, up), below = sm::generate_with_density(g, down);
      slopes.push_back((above.points - below.points) / (2 * h));
      pulled.row(i) = slopes.back().cwiseProduct(made.score).colwise().sum();
      const VectorXd change = (above.log_density - below.log_density) / (2 * h);
      CHECK((pulled.row(i).transpose() - change).cwiseAbs().maxCoeff() < 1e-7 * (1 + change.cwiseAbs().maxCoeff()));
    }
    for (Index k = 0; k < n; ++k) {
      MatrixXd J(d, d);
      for (Index i = 0; i < d; ++i) J.col(i) = slopes[static_cast<std::size_t>(i)].col(k);
      const double log_q = -0.5 * Z.col(k).squaredNorm() - 0.5 * static_cast<double>(d) * std::log(2 * pi) -
                           std::log(std::abs(J.determinant()));
      CHECK(made.log_density[k] == Approx(log_q).epsilon(0).margin(1e-7));
    }
  };
  check(twisted(), 60);
  // More inputs than one sweep carries
  check(sm::generator(70, 70,
                      [](auto z, auto) {
                        return sm::stack(70, [&](int k) {
                          return k == 0 ? z[0] + 0.1 * pow(z[0], 3) : z[k] * exp(0.2 * tanh(z[k - 1])) + sin(z[0]);
                        });
                      }),
        4);
}

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
  const int seeds = 30;
  for (int seed = 0; seed < seeds; ++seed) {
    const sm::ReverseKl found = sm::reverse_kl_gradient(g, p.energy(), 4000, static_cast<std::uint64_t>(seed));
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
    CHECK(found.standard_error < 0.05);
    REQUIRE(found.terms.size() == 2);
    CHECK(std::abs(found.terms[0].value + sm::gaussian_entropy(A * A.transpose())) <
          limit * found.terms[0].standard_error);
    CHECK(found.terms[0].value + found.terms[1].value == Approx(found.value).epsilon(1e-12));
  }
  // 180 squares, of which those of one seed depend on each other: a deviation of some 0.2.
  CHECK(squares > 0.6);
  CHECK(squares < 1.6);

  // Where q = p nothing is left of the noise, in the gradient as in the value.
  const MatrixXd L = Eigen::LLT<MatrixXd>(p.covariance).matrixL();
  const sm::ReverseKl there = sm::reverse_kl_gradient(affine(L, p.mean), p.energy(), 1000);
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
  const sm::ReverseKl found = value(phi);
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
  const sm::ReverseKlFit fit = sm::reverse_kl(start, p.energy(), {.iterations = 2500, .batch = 64});
  CHECK(fit.status == ReverseKlStatus::stopped);
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

  // Again: the same bits. Float: the same generator, to float's precision.
  CHECK(sm::reverse_kl(start, p.energy(), {.iterations = 2500, .batch = 64}).generator.parameters() ==
        fit.generator.parameters());
  const auto in_float = sm::reverse_kl<float>(start, p.energy(), {.iterations = 2500, .batch = 64});
  CHECK((in_float.generator.parameters() - fit.generator.parameters()).norm() < 1e-3);

  // A lower triangular factor: its signs apart, it is Cholesky's.
  const auto triangular = sm::generator(2, 2, [](auto z, auto theta) {
    return sm::stack(2, [&](int k) {
      return theta("b", 2)[k] + dot(theta("row" + std::to_string(k), k + 1, sm::start(0.5)), head(z, k + 1));
    });
  });
  CHECK(triangular.structure() == GeneratorStructure::affine);
  const auto factored = sm::reverse_kl(triangular, p.energy(), {.iterations = 2500, .batch = 64});
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
  const auto by_energy = sm::reverse_kl(bent(0, 0, 0, 0), target, {.iterations = 3000, .batch = 64});
  const auto by_score = sm::reverse_kl(bent(0, 0, 0, 0), score, {.iterations = 3000, .batch = 64});
  CHECK((by_energy.generator.parameters() - right).norm() < 1e-5);
  CHECK((by_score.generator.parameters() - right).norm() < 1e-5);
  CHECK(by_energy.last.value == Approx(-(std::log(2 * pi) + 0.3 - 0.4)).epsilon(1e-8));
  // The score knows no energy, and so no value.
  CHECK(std::isnan(by_score.last.value));
  REQUIRE(by_score.last.terms.size() == 1);
  CHECK(by_score.last.terms[0].name == "negative entropy");
}

TEST_CASE("A learnt score beside the generator: q * N(0, σ²I) becomes the target") {
  const Target p;
  const double sigma = 0.5;
  const auto linear =
      sm::score_model(2, [](auto x, auto theta) { return theta("c", 2) - theta("K", MatrixXd::Identity(2, 2)) * x; });
  const sm::ReverseKlOptions options{
      .iterations = 1500, .batch = 256, .learning_rate = 0.02, .seed = 3, .sigma = sigma, .score_learning_rate = 0.02};
  const MatrixXd expected = p.covariance - sigma * sigma * MatrixXd::Identity(2, 2);
  const auto check = [&](const sm::Generator& generator, double margin) {
    const auto fit = sm::reverse_kl(generator, p.energy(), linear, options);
    CHECK(fit.status == ReverseKlStatus::stopped);
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

TEST_CASE("Training that cannot go on says why, and keeps the last generator that could") {
  const auto standard = sm::energy_model(1, [](auto x, auto) { return 0.5 * squared_norm(x); });
  const auto folded = sm::generator(1, 1, [](auto z, auto theta) { return theta("k", sm::start(1)) * square(z); });
  REQUIRE(folded.structure() == GeneratorStructure::triangular);
  CHECK_FALSE(sm::generate_with_density(folded, normals(1, 50, 8)).invertible);
  const auto by_fold = sm::reverse_kl(folded, standard, {.iterations = 10});
  CHECK(by_fold.status == ReverseKlStatus::not_invertible);
  CHECK(std::string(to_string(by_fold.status)) == "not invertible");
  CHECK(by_fold.iterations == 0);
  CHECK(by_fold.generator.parameters() == folded.parameters());
  CHECK_FALSE(sm::reverse_kl_gradient(folded, standard, 64).invertible);

  const auto half = sm::energy_model(1, [](auto x, auto) { return log(x[0]) + x[0]; });  // NaN below 0
  const auto scaled = sm::generator(1, 1, [](auto z, auto theta) { return exp(theta("s")) * z; });
  const auto by_wall = sm::reverse_kl(scaled, half, {.iterations = 10});
  CHECK(by_wall.status == ReverseKlStatus::non_finite);
  CHECK(by_wall.generator.parameters() == scaled.parameters());
  CHECK_FALSE(std::isfinite(by_wall.last.value));

  // The progress callback stops it.
  const auto stopped = sm::reverse_kl(
      scaled, standard, {.iterations = 10, .progress = [](const sm::Progress& now) { return now.done < 4; }});
  CHECK(stopped.status == ReverseKlStatus::stopped);
  CHECK(stopped.iterations == 4);
}

// --- bad input ---

TEST_CASE("Generators refuse what they cannot use, and name it") {
  const Target p;
  const auto wide = affine(MatrixXd::Ones(2, 3), VectorXd::Zero(2));
  const auto deep =
      sm::generator(2, 2, [](auto z, auto theta) { return sm::mlp(z, theta, {.hidden = {4}, .outputs = 2}); });
  const auto good = affine(MatrixXd::Identity(2, 2), VectorXd::Zero(2));
  const auto score3 = sm::score_model(3, [](auto x, auto theta) { return theta("k") * x; });
  const auto score2 = sm::score_model(2, [](auto x, auto theta) { return theta("k") * x; });

  refuses([] { (void)sm::generator(2, 2, [](auto z, auto) { return sm::concat(z, z[0]); }); },
          "must return a vector of size 2", "returns a vector of size 3");
  refuses([] { (void)sm::generator(3, 2, [](auto z, auto) { return sum(z); }); }, "vector of size 2",
          "returns a number");
  refuses([] { (void)sm::generator(0, 2, [](auto z, auto) { return z; }); }, "noise_dimension is 0");
  refuses([] { (void)sm::generator(2, 0, [](auto z, auto) { return z; }); }, "generator: dimension is 0");
  refuses([] { (void)sm::generator(2, 2, [](auto z, auto sigma, auto) { return sigma * z; }); }, "sigma");
  refuses([&] { (void)sm::reverse_kl(wide, p.energy()); }, "reverse_kl", "makes 2 numbers of 3 of noise",
          "give a score model");
  refuses([&] { (void)sm::reverse_kl(deep, p.energy()); }, "neither affine in z, nor triangular", "give a score model");
  refuses([&] { (void)sm::reverse_kl_gradient(deep, p.energy(), 100); }, "reverse_kl_gradient", "neither affine");
  refuses([&] { (void)sm::reverse_kl_gradient(good, p.energy(), 10); }, "samples is 10");
  refuses([&] { (void)sm::generate_with_density(deep, normals(2, 5, 1)); }, "generate_with_density", "neither affine");
  refuses([&] { (void)sm::generate(good, normals(3, 5, 1)); }, "Z has 3 rows", "takes 2 numbers of noise");
  refuses([&] { (void)sm::generate(good, 0); }, "generate: count is 0");
  refuses([&] { (void)sm::reverse_kl(good, sm::energy_model(3, [](auto x, auto) { return sum(x); })); },
          "the target has dimension 3", "points of 2");
  refuses([&] { (void)sm::reverse_kl(good, p.energy(), score3); }, "score to be learnt has dimension 3", "points of 2");
  refuses([&] { (void)sm::reverse_kl(good, p.energy(), {.iterations = 0}); }, "ReverseKlOptions: iterations is 0");
  refuses([&] { (void)sm::reverse_kl(good, p.energy(), {.batch = 1}); }, "ReverseKlOptions: batch is 1");
  refuses([&] { (void)sm::reverse_kl(good, p.energy(), {.learning_rate = -1}); }, "learning_rate is -1");
  refuses([&] { (void)sm::reverse_kl(good, p.energy(), score2, {.sigma = 0}); }, "ReverseKlOptions: sigma is 0");
  refuses([&] { (void)sm::reverse_kl(good, p.energy(), score2, {.score_steps = 0}); }, "score_steps is 0");
}
