// Energies and scores linear in θ: proved on the record, and their losses are the quadratic functions of θ that closed
// forms take them for. Seeds are fixed: nothing here fails by chance.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <string>

#include "fixtures.hpp"
#include "scorematch/inference/closed_form.hpp"
#include "scorematch/model/algebra.hpp"
#include "scorematch/model/at_sigma.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using sm::Index;

namespace {

const sm::implicit_score_matching implicit;
const sm::denoising_score_matching denoising{.sigma = 0.5, .seed = 3, .frozen = true};
const sm::sliced_score_matching sliced{.projections = 2, .kind = sm::Projection::gaussian, .seed = 5, .frozen = true};

VectorXd random_theta(Index p, std::uint64_t seed) { return normals(p, 1, 1000 + seed); }

/// J(θ) = ½θᵀAθ + bᵀθ + c, wherever θ is, and its gradient: this finds a wrong sign or factor in any feature.
template <class M, class O>
void check_quadratic(const M& model, const O& objective, const MatrixXd& X, double tolerance = 1e-11) {
  const auto solution = sm::closed_form(model, objective, X);
  const Index p = solution.b.size();
  REQUIRE(solution.A.rows() == p);
  CHECK(solution.A == solution.A.transpose());
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    M moved = model;
    const VectorXd theta = random_theta(p, seed);
    moved.set_parameters(theta);
    const sm::Loss loss = sm::loss_and_gradient(moved, objective, X);
    const VectorXd A_theta = solution.A * theta;
    const double scale = std::abs(theta.dot(A_theta)) + std::abs(solution.b.dot(theta)) + std::abs(solution.c);
    CHECK(std::abs(0.5 * theta.dot(A_theta) + solution.b.dot(theta) + solution.c - loss.value) <= tolerance * scale);
    CHECK((A_theta + solution.b - loss.gradient).norm() <= tolerance * (A_theta.norm() + solution.b.norm()));
    CHECK(A_theta.norm() > 1e-3);
  }
  CHECK(sm::loss(solution.model, objective, X).value == solution.loss.value);
}

template <class M>
void check_all_losses(const M& model, const MatrixXd& X) {
  check_quadratic(model, implicit, X);
  check_quadratic(model, denoising, X);
  check_quadratic(model, sliced, X);
  const MatrixXd target = normals(X.rows(), X.cols(), 77);
  check_quadratic(model, sm::explicit_score_matching{target}, X);
}

}  // namespace

// --- what is linear ---

TEST_CASE("Linearity in theta is proved, or the operation that breaks it is named") {
  const auto reason = [](auto formula) { return sm::is_linear_in_parameters(sm::energy_model(2, formula)).reason; };
  CHECK(reason([](auto x, auto theta) { return theta("a") * squared_norm(x) + dot(theta("b", 2), exp(x)); }) == "");
  CHECK(reason([](auto x, auto) { return squared_norm(x); }) == "");
  CHECK(reason([](auto x, auto theta) { return where(x[0] > 0, theta("a") * x[0], 2 * theta("b") * x[1]); }) == "");
  CHECK(reason([](auto x, auto theta) { return exp(theta("log k")) * squared_norm(x); }) ==
        "exp of a value that depends on theta(\"log k\")");
  CHECK(reason([](auto x, auto theta) { return squared_norm(x - theta("m", 2)); }) ==
        "a product of two values, of which one depends on theta(\"m\") and the other on theta(\"m\")");
  CHECK(reason([](auto x, auto theta) { return theta("a") * theta("b") * x[0]; }) ==
        "a product of two values, of which one depends on theta(\"a\") and the other on theta(\"b\")");
  CHECK(reason([](auto x, auto theta) { return log_sum_exp(theta("a", 2) * x); }) ==
        "log_sum_exp of a value that depends on theta(\"a\")");
  CHECK(reason([](auto x, auto theta) { return where(x[0] > theta("t"), x[0], x[1]); }) ==
        "a comparison of a value that depends on theta(\"t\")");
  CHECK(reason([](auto x, auto theta) { return dot(theta("v", 3), theta("W", 3, 2) * x); }) ==
        "a product of two values, of which one depends on theta(\"v\") and the other on theta(\"W\")");
  CHECK(reason([](auto x, auto theta) { return sum(abs(theta("a") * x)); }) ==
        "abs of a value that depends on theta(\"a\")");
  CHECK(reason([](auto x, auto theta) { return x[0] / theta("a"); }) == "1/ of a value that depends on theta(\"a\")");
  CHECK_FALSE(sm::is_linear_in_parameters(sm::score_model(2, [](auto x, auto theta) {
                return tanh(theta("W", 2, 2) * x);
              })).linear);
}

// --- what A, b and c are ---

TEST_CASE("The loss of an energy is the quadratic function, whatever operations θ goes through") {
  const Eigen::Matrix3d C = normals(3, 3, 1);
  const VectorXd v = normals(3, 1, 2);
  const MatrixXd X = normals(3, 53, 3);
  const auto check = [&](const char* name, auto formula) {
    INFO(name);
    check_all_losses(sm::energy_model(3, formula), X);
  };
  check("numbers and elements", [](auto x, auto theta) {
    auto J = theta("J", 4);
    return J[0] * x[0] * x[1] + J[2] * x[1] * x[2] - 2 * J[3] * square(x[0]) + theta("c") * sum(sin(x)) + cos(x[1]);
  });
  check("a vector", [](auto x, auto theta) { return dot(theta("a", 3), square(square(x))) / 3 - 0.5 * sum(x); });
  check("a quadratic form", [](auto x, auto theta) { return quadratic_form(theta("P", 3, 3), x); });
  check("matrices", [&](auto x, auto theta) {
    auto W = theta("W", 4, 3);
    return dot(tanh(C * x), C * (transpose(W) * sin(W.rows() == 4 ? sm::concat(x, x[0] * x[1]) : x))) +
           sum(W * exp(-square(x)));
  });
  check("constant matrices on vectors of theta", [&](auto x, auto theta) {
    return dot(square(x), C * theta("a", 3) + theta("b", 3)) + dot(theta("a", 3), x * v);
  });
  check("products of matrices", [&](auto x, auto theta) { return dot(x * x, (theta("W", 3, 3) * C) * cos(x)); });
  check("broadcasts", [&](auto x, auto theta) {
    auto a = theta("a");
    return sum(a * square(x) + theta("b", 3)) + dot(x - a, square(x)) + sum(theta("u", 3) - a * v) * x[2] * x[0];
  });
  check("choices", [](auto x, auto theta) {
    return where(x[0] > 0.2, theta("a") * x[0] * x[1], theta("b") * square(x[1]) * x[2]) +
           sum(where(x < 0, theta("u", 3) * x, theta("a") * square(x)));
  });
  check("pieces", [](auto x, auto theta) {
    auto all = sm::concat(theta("a", 2), theta("b"), theta("c", 3));
    return dot(head(all, 3), sin(x)) + dot(segment(all, 1, 3), square(x)) +
           dot(tail(all, 4), sm::concat(x, x[0] * x[2]));
  });
  check("a mask on a matrix",
        [&](auto x, auto theta) { return dot(x, (C * x) * theta("s")) + dot(sin(x), theta("W", 3, 3) * x); });
}

TEST_CASE("The loss of a score is the quadratic function too") {
  const Eigen::Matrix3d C = normals(3, 3, 1);
  const MatrixXd X = normals(3, 41, 4);
  check_all_losses(sm::score_model(3, [](auto x, auto theta) { return theta("W", 3, 3) * sin(x) - x; }), X);
  check_all_losses(
      sm::score_model(3,
                      [](auto x, auto theta) { return sm::concat(theta("a") * x[1], theta("b", 2) * square(x[0])); }),
      X);
  check_all_losses(
      sm::score_model(3, [&](auto x, auto theta) { return C * (theta("u", 3) * tanh(x)) + theta("v", 3) * x[0]; }), X);
  check_all_losses(sm::score_model(1, [](auto x, auto theta) { return theta("a") * x + theta("b") * x * x; }),
                   normals(1, 30, 5));
}

TEST_CASE("Noise levels, compiled models, many dimensions, blocks of any size") {
  const MatrixXd X = normals(2, 700, 6);
  const auto noisy = sm::energy_model(2, [](auto x, auto sigma, auto theta) {
    return dot(theta("a", 2), square(x)) / (1 + square(sigma)) + sin(x[0]);
  });
  check_quadratic(noisy, denoising, X);
  check_quadratic(sm::at_sigma(noisy, 0.7), implicit, X);
  const auto labelled = sm::energy_model(2, sm::classes{3}, [](auto x, auto sigma, auto label, auto theta) {
    return dot(theta("a", 3), label) * squared_norm(x) / (1 + square(sigma)) + theta("b") * x[0];
  });
  check_quadratic(sm::at_sigma(labelled, 0.7, 1), implicit, X);
  check_quadratic(sm::energy_model<2>([](auto x, auto theta) {
                    return theta("a") * square(square(x[0])) + theta("b") * x[0] * x[1] + theta("c") * square(x[1]);
                  }),
                  implicit, X);
  const auto wide = sm::energy_model(70, [](auto x, auto theta) {  // two chunks of axes
    return dot(theta("a", 70), square(x)) + theta("b") * squared_norm(x) * x[69];
  });
  check_quadratic(wide, implicit, normals(70, 300, 7));
}

TEST_CASE("Sums, multiples and renamed copies of linear energies are linear") {
  const auto well = sm::energy_model(2, [](auto x, auto theta) { return theta("a") * square(square(x[0])); });
  const auto bowl = sm::energy_model(2, [](auto x, auto theta) { return dot(theta("k", 2), square(x)); });
  const auto all = 0.5 * (well + bowl) + sm::named("other", well);
  CHECK(sm::is_linear_in_parameters(all).linear);
  CHECK(all.parameters().size() == 4);
  MatrixXd X = normals(2, 90, 16);
  check_quadratic(all, implicit, X);
}
