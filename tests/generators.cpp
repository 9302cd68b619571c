// Implicit models: what a generator's record shows about its density, and that density against closed forms and
// differences.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/density/gaussian_density.hpp"
#include "scorematch/implicit/generator.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/network/mlp.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using fixtures::refuses;
using sm::GeneratorStructure;
using sm::Index;

namespace {

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

/// Three nonlinear outputs, each with one new element of z, in the order x₂ (z₁), x₀ (z₁, z₂), x₁ (all).
sm::Generator twisted() {
  return sm::generator(3, 3, [](auto z, auto theta) {
    const auto x2 = theta("a", sm::start_at(0.7)) * z[1] + 0.1 * pow(z[1], 3);
    const auto x0 = z[2] * exp(0.3 * tanh(z[1])) + square(z[1]);
    const auto x1 = x0 * x2 + softplus(z[0]) + z[0] * sigmoid(x2) + 0.2 * sin(z[2]);
    return sm::concat(x0, x1, x2);
  });
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

// --- bad input ---

TEST_CASE("Generators refuse what they cannot use, and name it") {
  const auto good = affine(MatrixXd::Identity(2, 2), VectorXd::Zero(2));
  const auto deep =
      sm::generator(2, 2, [](auto z, auto theta) { return sm::mlp(z, theta, {.hidden = {4}, .outputs = 2}); });

  refuses([] { (void)sm::generator(2, 2, [](auto z, auto) { return sm::concat(z, z[0]); }); },
          "must return a vector of size 2", "returns a vector of size 3");
  refuses([] { (void)sm::generator(3, 2, [](auto z, auto) { return sum(z); }); }, "vector of size 2",
          "returns a number");
  refuses([] { (void)sm::generator(0, 2, [](auto z, auto) { return z; }); }, "noise_dimension is 0");
  refuses([] { (void)sm::generator(2, 0, [](auto z, auto) { return z; }); }, "generator: dimension is 0");
  refuses([] { (void)sm::generator(2, 2, [](auto z, auto sigma, auto) { return sigma * z; }); }, "sigma");
  refuses([&] { (void)sm::generate_with_density(deep, normals(2, 5, 1)); }, "generate_with_density", "neither affine");
  refuses([&] { (void)sm::generate(good, normals(3, 5, 1)); }, "Z has 3 rows", "takes 2 numbers of noise");
  refuses([&] { (void)sm::generate(good, 0); }, "generate: count is 0");
}
