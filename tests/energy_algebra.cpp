// Sums, multiples, exponentials and mixtures of energies against the same formulas written by hand, and what they mean
// as densities. Seeds are fixed: nothing here fails by chance.
#include "catch.hpp"

#include <cmath>
#include <cstdio>
#include <string>

#include "fixtures.hpp"
#include "same_models.hpp"
#include "scorematch/diagnostics/check_derivatives.hpp"
#include "scorematch/io/parameters.hpp"
#include "scorematch/model/algebra.hpp"
#include "scorematch/model/at_sigma.hpp"
#include "scorematch/network/mlp.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::message_of;
using same_models::agree;
using same_models::moved;
using same_models::points;
using same_models::same_energies;
using same_models::same_scores;
using sm::Index;

namespace {

constexpr int d = 3;

// Formulas whose records hold every kind of operation that is treated by itself when a record becomes a part: products
// with and without bias, a symmetric constant form, uniform values that are repeated for the block, constants, concat.
const auto bowl = [](auto x, auto theta) {
  const Eigen::Matrix3d P = (Eigen::Matrix3d() << 2, 0.3, -0.2, 0.3, 1.5, 0.1, -0.2, 0.1, 1).finished();
  auto u = x - theta("centre", Eigen::Vector3d(0.1, -0.2, 0.3));
  return 0.5 * exp(theta("stiffness")) * quadratic_form(P, u) + where(x[0] > theta("edge"), 0.2, 0.1) * square(x[2]);
};
const auto network = [](auto x, auto theta) {
  return sm::mlp(sm::concat(x, exp(theta("extra")), 2.0), theta, {.hidden = {5, 4}, .seed = 2});
};
const auto wells = [](auto x, auto theta) {
  auto height = [&](int k) { return theta("height", d)[k] - square(x[k] - 0.5 * k); };
  return -log_sum_exp(sm::stack(d, height)) + log_sum_exp(theta("height", d)) + 0.1 * sum(pow(x, 4));
};

sm::EnergyModel bowl_model() { return moved(sm::energy_model(d, bowl), 11); }
sm::EnergyModel network_model() { return moved(sm::energy_model(d, network), 12); }
sm::EnergyModel wells_model() { return moved(sm::energy_model(d, wells), 13); }

/// The formula at the θ that the combined model starts at.
template <class F>
sm::EnergyModel by_hand(const sm::EnergyModel& combined, const F& formula) {
  auto model = sm::energy_model(combined.dimension(), formula);
  REQUIRE(model.named_parameters().size() == combined.named_parameters().size());
  model.set_named_parameters(combined.named_parameters());
  return model;
}

const double log_2pi = std::log(2 * 3.141592653589793);

}  // namespace

// --- the same formula written by hand ---

TEST_CASE("a + b is the formula with both terms") {
  const auto sum = bowl_model() + network_model() + wells_model();
  const auto formula = [](auto x, auto theta) { return bowl(x, theta) + network(x, theta) + wells(x, theta); };
  same_energies("double", sum, by_hand(sum, formula));
  same_energies<float>("float", sum, by_hand(sum, formula), 1e-5);
  CHECK(sm::check_derivatives(sum, points(d, 5)).passed);
}

TEST_CASE("beta * a, exp(a) and their like are the formula in that function") {
  const auto scaled = 0.7 * bowl_model();
  same_energies("0.7 a", scaled, by_hand(scaled, [](auto x, auto theta) { return 0.7 * bowl(x, theta); }));
  same_energies("a 0.7", bowl_model() * 0.7, scaled, 0);
  const auto flat = exp(0.3 * (bowl_model() + wells_model()));
  same_energies("exp", flat,
                by_hand(flat, [](auto x, auto theta) { return exp(0.3 * (bowl(x, theta) + wells(x, theta))); }));
  CHECK(sm::check_derivatives(flat, points(d, 5)).passed);
}

TEST_CASE("mixture is the log-sum-exp of its components, with weights that add up to 1") {
  const auto mixture = moved(sm::mixture({bowl_model(), network_model(), wells_model()}));
  const auto formula = [](auto x, auto theta) {
    auto weights = theta("log_weights", 3);
    auto f = sm::concat(bowl(x, theta), network(x, theta), wells(x, theta));
    return -log_sum_exp(weights - log_sum_exp(weights) - f);
  };
  same_energies("mixture", mixture, by_hand(mixture, formula));
  CHECK(sm::check_derivatives(mixture, points(d, 5)).passed);

  // of one component it is that component, whatever its weight
  auto alone = sm::mixture({bowl_model()});
  alone.set_named_parameters([&] {
    auto all = alone.named_parameters();
    for (auto& parameter : all)
      if (parameter.name == "log_weights") parameter.values[0] = 3;
    return all;
  }());
  const MatrixXd X = points(d, 9);
  agree("energy", sm::energy_of(alone, X), sm::energy_of(bowl_model(), X), 1e-14);

  // at the start, equal weights: f = log K − log Σ exp(−f_k)
  const auto equal = sm::mixture({bowl_model(), wells_model()});
  const VectorXd p = (-sm::energy_of(bowl_model(), X)).array().exp() + (-sm::energy_of(wells_model(), X)).array().exp();
  agree("equal weights", sm::energy_of(equal, X), VectorXd(-(0.5 * p.array()).log()), 1e-13);
}

TEST_CASE("A formula without x, or without parameters, is a part like any other") {
  const auto constant = sm::energy_model(d, [](auto, auto theta) { return theta("c", sm::start_at(1.5)); });
  const auto plain = sm::energy_model(d, [](auto x, auto) { return 0.5 * squared_norm(x); });
  const MatrixXd X = points(d, 9);
  const VectorXd half = 0.5 * X.colwise().squaredNorm().transpose();
  agree("constant + plain", sm::energy_of(constant + plain, X), VectorXd(half.array() + 1.5), 1e-14);
  agree("2 constant", sm::energy_of(2.0 * constant, X), VectorXd(VectorXd::Constant(9, 3)), 1e-14);
  agree("plain + plain", sm::energy_of(plain + plain, X), VectorXd(2 * half), 1e-14);
  CHECK((plain + plain).parameters().size() == 0);
}

TEST_CASE("Noise-conditional energies: either part or both take sigma") {
  const auto noisy = [](auto x, auto sigma, auto theta) {
    return 0.5 * squared_norm(x) / (theta("v", sm::start_at(1.2)) + square(sigma));
  };
  const auto b = bowl_model();
  const auto a = sm::energy_model(d, noisy);
  const auto other = sm::energy_model(
      d, [](auto x, auto sigma, auto theta) { return theta("tilt", sm::start_at(0.3)) * sigma * x[1]; });
  const auto first = a + b, second = b + a, both = a + other;
  REQUIRE(first.takes_sigma());
  const auto by_hand_first =
      by_hand(first, [&](auto x, auto sigma, auto theta) { return noisy(x, sigma, theta) + bowl(x, theta); });
  const sm::denoising_score_matching objective{.sigma = 0.4, .seed = 3};
  same_models::same_loss("a + b", first, by_hand_first, objective, points(d, 37), 1e-12);
  same_models::same_loss("b + a", second, by_hand_first, objective, points(d, 37), 1e-12);
  same_scores(
      "both", sm::at_sigma(both, 0.5),
      sm::at_sigma(by_hand(both, [&](auto x, auto sigma,
                                     auto theta) { return noisy(x, sigma, theta) + theta("tilt") * sigma * x[1]; }),
                   0.5));
}

TEST_CASE("Scores of formulas: sums and multiples are score_models by name") {
  const auto turn = [](auto x, auto theta) { return sm::concat(x[1], -x[0]) * theta("turn", sm::start_at(0.4)) - x; };
  const auto pull = [](auto x, auto theta) { return sm::mlp(x, theta, {.hidden = {4}, .outputs = 2}); };
  const sm::ScoreModel sum = sm::score_model(2, turn) + 0.5 * moved(sm::score_model(2, pull));
  auto expected = sm::score_model(2, [&](auto x, auto theta) { return turn(x, theta) + 0.5 * pull(x, theta); });
  expected.set_named_parameters(sum.named_parameters());
  same_scores("sum", sum, expected);
}

// --- what they mean as densities ---

TEST_CASE("A product of two Gaussians is the Gaussian with the sum of their precisions") {
  const Eigen::Matrix2d A = (Eigen::Matrix2d() << 2, 0.5, 0.5, 1).finished(),
                        B = (Eigen::Matrix2d() << 1, -0.3, -0.3, 3).finished();
  const Eigen::Vector2d a(0.5, -1), b(-1.5, 2);
  const auto gaussian = [](const Eigen::Matrix2d& P, const Eigen::Vector2d& m) {
    return sm::energy_model(2, [&](auto x, auto) { return 0.5 * quadratic_form(P, x - m); });
  };
  const Eigen::Matrix2d P = A + B;
  const Eigen::Vector2d right = A * a + B * b;  // (A + B) m = A a + B b, by Cramer's rule
  const double determinant = P(0, 0) * P(1, 1) - P(0, 1) * P(1, 0);
  const Eigen::Vector2d m((right[0] * P(1, 1) - right[1] * P(0, 1)) / determinant,
                          (right[1] * P(0, 0) - right[0] * P(1, 0)) / determinant);
  same_scores("product", gaussian(A, a) + gaussian(B, b), gaussian(P, m), 1e-13);
  same_scores("temperature", 2.5 * gaussian(A, a), gaussian(2.5 * A, a), 1e-13);
}

TEST_CASE("A mixture of normalised energies has its weights as shares") {
  const auto gaussian = [](double m) {
    return sm::energy_model(1, [m](auto x, auto) { return 0.5 * square(x[0] - m) + 0.5 * log_2pi; });
  };
  auto mixture = sm::mixture({gaussian(-6), gaussian(6)});
  mixture.set_parameters(Eigen::Vector2d(1 + std::log(0.3), 1 + std::log(0.7)));
  const MatrixXd X = VectorXd::LinSpaced(401, -16, 16).transpose();
  const VectorXd p = (-sm::energy_of(mixture, X)).array().exp() * 0.08;
  CHECK(p.sum() == Approx(1).epsilon(1e-12));
  CHECK(p.head(200).sum() == Approx(0.3).epsilon(1e-8));
}

// --- parameters ---

TEST_CASE("Names are kept, θ is carried over, and the parts stay as they were") {
  const auto a = bowl_model();
  const auto b = sm::named("prior", wells_model());
  auto sum = a + b;
  std::string names;
  for (const auto& parameter : sum.named_parameters()) names += parameter.name + " ";
  CHECK(names == "centre edge prior.height stiffness ");
  CHECK(sum.parameter("centre") == a.parameter("centre"));
  CHECK(sum.parameter("prior.height") == wells_model().parameter("height"));
  CHECK(sm::named("outer", b).parameter("outer.prior.height") == wells_model().parameter("height"));
  sum.set_parameters(VectorXd::Zero(sum.parameters().size()));
  CHECK(a.parameters() == bowl_model().parameters());
  same_scores("renamed", b, wells_model(), 0);
}

TEST_CASE("Inside a formula, named(prefix, theta) names the parameters of a part") {
  const auto formula = [](auto x, auto theta) {
    return wells(x, sm::named("a", theta)) + wells(2.0 * x, sm::named("b", sm::named("a", theta))) +
           network(x, named("net", theta));
  };
  const auto model = sm::energy_model(d, formula);
  CHECK(model.parameter("a.height").size() == d);
  CHECK(model.parameter("a.b.height").size() == d);
  CHECK(model.parameter("net.mlp.weight1").size() == 25);
  CHECK_THAT(message_of([] {
               (void)sm::energy_model(1, [](auto x, auto theta) { return x[0] * sm::named("", theta)("a"); });
             }),
             ContainsSubstring("named(\"\", theta) has an empty name"));
}

TEST_CASE("A combined model is saved and loaded by name") {
  const std::string path = "/tmp/scorematch_test_energy_algebra.model";
  const auto saved = moved(sm::mixture({sm::named("a", bowl_model()), exp(0.1 * wells_model())}), 3);
  sm::save_model(path, saved);
  auto loaded = sm::mixture({sm::named("a", sm::energy_model(d, bowl)), exp(0.1 * sm::energy_model(d, wells))});
  sm::load_model(path, loaded);
  std::remove(path.c_str());
  CHECK(loaded.parameters() == saved.parameters());
  const MatrixXd X = points(d, 5);
  CHECK(sm::energy_of(loaded, X) == sm::energy_of(saved, X));
}

// --- errors ---

TEST_CASE("A name in two parts throws, and says what to write") {
  const std::string message = message_of([] { (void)(bowl_model() + bowl_model()); });
  CHECK_THAT(message, ContainsSubstring("the parameter \"centre\" occurs twice"));
  CHECK_THAT(message, ContainsSubstring("named(\"prior\", model)"));
  CHECK_THAT(message_of([] {
               (void)sm::mixture({wells_model(), network_model(), wells_model()});
             }),
             ContainsSubstring("\"height\" occurs twice"));
  CHECK_THAT(message_of([] {
               (void)sm::mixture({sm::mixture({wells_model(), bowl_model()}), network_model()});
             }),
             ContainsSubstring("\"log_weights\" occurs twice"));
  CHECK_THAT(message_of([] { (void)(sm::named("a", wells_model()) + sm::named("a", wells_model())); }),
             ContainsSubstring("\"a.height\" occurs twice"));
  CHECK_NOTHROW(sm::named("a", wells_model()) + wells_model());
}

TEST_CASE("Dimensions, beta, and what is empty") {
  const auto plane = sm::energy_model(2, [](auto x, auto) { return squared_norm(x); });
  CHECK_THAT(message_of([&] { (void)(bowl_model() + plane); }),
             ContainsSubstring("a model of dimension 3 is combined with one of dimension 2"));
  CHECK_THAT(message_of([&] {
               (void)sm::mixture({plane, bowl_model()});
             }),
             ContainsSubstring("a model of dimension 2 is combined with one of dimension 3"));
  for (const double beta : {0.0, -1.0, HUGE_VAL, std::nan("")})
    CHECK_THAT(message_of([&] { (void)(beta * plane); }), ContainsSubstring("beta is "));
  CHECK_THAT(message_of([&] { (void)(plane * -2.0); }), ContainsSubstring("beta is -2"));
  CHECK_THAT(message_of([] { (void)sm::mixture({}); }), ContainsSubstring("mixture has no components"));
  CHECK_THAT(message_of([&] { (void)sm::named("", plane); }), ContainsSubstring("empty name"));
}

namespace user {

template <class A, class B>
auto scaled(const A& a, const B& b) {
  return a * b + 1.0;
}
template <class A, class B>
auto product(const A& a, const B& b) {
  return a * b + 2.0;
}

}  // namespace user

TEST_CASE("A formula calls the user's own functions, whatever the library's are named") {
  const auto model = sm::energy_model(1, [](auto x, auto) {
    using namespace user;
    return scaled(x[0], 2.0) + product(x[0], x[0]);
  });
  CHECK(sm::energy_of(model, Eigen::MatrixXd::Constant(1, 1, 3.0))[0] == 6 + 1 + 9 + 2);
}
