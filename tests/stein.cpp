// I17, Stein's identity E_p[s·φ + ∇·φ] = 0 (the study note's equation 1.39), for every energy that ships and for models
// made of them: by quadrature over the plane, where the trapezoidal rule is exact to rounding for what is smooth and
// vanishes at the ends. (By exact draws, for densities with heavy tails too: tests/identities_chapter.cpp.)
#include "catch.hpp"

#include <cmath>
#include <cstdint>

#include "scorematch/energy/ready.hpp"
#include "scorematch/model/algebra.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/random/normal.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using sm::Index;

namespace {

VectorXd normals(Index n, std::uint64_t seed) { return sm::Stream({seed, sm::extend::Purpose::user}).normals(n); }

/// A field that is no gradient.
sm::ScoreModel field() {
  return sm::score_model(2, [](auto x, auto) {
    return sm::concat(sin(x[0] + 0.5 * x[1]) + 0.3 * x[1], cos(0.7 * x[0] * x[1]) - 0.4 * x[0] + 0.2 * x[1]);
  });
}

/// E_p[scale s·φ + ∇·φ], p proportional to exp(−f) on a grid of the square of half side `reach`.
template <class M>
double stein(const M& model, double reach, double scale) {
  constexpr Index side = 401;
  MatrixXd X(2, side * side);
  for (Index i = 0; i < X.cols(); ++i)
    X.col(i) << reach * (2 * static_cast<double>(i % side) / (side - 1) - 1),
        reach * (2 * static_cast<double>(i / side) / (side - 1) - 1);
  const VectorXd f = sm::energy_of(model, X);
  const VectorXd p = (f.minCoeff() - f.array()).exp();
  double edge = 0;  // what the square leaves out must not matter
  for (Index i = 0; i < X.cols(); ++i)
    if (X.col(i).cwiseAbs().maxCoeff() > 0.999 * reach) edge = std::max(edge, p[i]);
  CHECK(edge < 1e-11);
  const auto phi = field();
  const VectorXd along = sm::score_of(model, X).cwiseProduct(sm::score_of(phi, X)).colwise().sum();
  return p.dot(scale * along + sm::trace_of(phi, X)) / p.sum();
}

template <class M>
void check_stein(const char* name, const M& model, double reach) {
  INFO(name);
  CHECK(std::abs(stein(model, reach, 1)) < 1e-8);
  CHECK(std::abs(stein(model, reach, 0.98)) > 1e-4);  // a score of another scale is found out
}

/// The model with its parameters moved at random by some `size`.
template <class M>
M moved(M model, double size, std::uint64_t seed) {
  model.set_parameters(model.parameters() + size * normals(model.parameters().size(), seed));
  return model;
}

}  // namespace

TEST_CASE("I17, Stein: the ready energies") {
  check_stein("gaussian", moved(sm::gaussian(2), 0.3, 1), 22);
  check_stein("mixture of Gaussians", moved(sm::gaussian_mixture(2, {.components = 3, .seed = 2}), 0.2, 2), 14);
  check_stein("banana", moved(sm::banana(2, {.along = 1, .across = 0.7, .bend = 0.3}), 0.1, 3), 20);
  check_stein("double well", moved(sm::double_well(2), 0.2, 4), 10);
  check_stein("ring", moved(sm::ring(2), 0.1, 5), 8);
  check_stein("restricted Boltzmann machine", moved(sm::gaussian_bernoulli_rbm(2, {.hidden = 5, .sigma = 0.8}), 0.3, 6),
              12);
  check_stein("network", moved(sm::mlp_energy(2, {.hidden = {6}, .seed = 7}), 0.2, 7), 12);
  auto quartic = sm::pairwise_quartic(2);
  quartic.set_named_parameters({{"linear", 2, 1, Eigen::Vector2d(0.3, -0.2)},
                                {"quadratic", 2, 1, Eigen::Vector2d(-0.4, 0.5)},
                                {"quartic", 2, 1, Eigen::Vector2d(0.3, 0.2)},
                                {"pair", 1, 1, VectorXd::Constant(1, 0.4)},
                                {"pair_quartic", 1, 1, VectorXd::Constant(1, 0.1)}});
  check_stein("quartic", quartic, 6);
}

TEST_CASE("I17, Stein: models made of models") {
  const auto a = moved(sm::gaussian(2), 0.3, 8),
             b = moved(sm::banana(2, {.along = 1, .across = 0.7, .bend = 0.3}), 0.1, 9);
  check_stein("sum", sm::named("a", a) + b, 20);
  check_stein("scaled", 0.7 * b, 20);
  check_stein("exponential", exp(0.5 * a), 8);
  check_stein("mixture", sm::mixture({sm::named("a", a), sm::named("b", b)}), 22);
  check_stein("compiled", sm::energy_model<2>([](auto x, auto theta) { return sm::double_well(x, theta); }), 10);
}
