// Sums with users' classes in them: their names and files, fits, samples and errors. (Their derivatives:
// energy_sums.cpp.)
#include "catch.hpp"

#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "fixtures.hpp"
#include "same_models.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/io/parameters.hpp"
#include "scorematch/model/algebra.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/sample.hpp"
#include "user_models.hpp"

using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::message_of;
using same_models::moved;
using user_models::Complete;
using user_models::CompleteScore;
using user_models::d;
using sm::operator*;  // with users' classes alone, nothing else leads there

namespace {

/// A term for user_models::formula(), whose parameters are "a" and "b": with `name` its own comes before or behind.
sm::EnergyModel ripple(const std::string& name) {
  return moved(sm::energy_model(d, [&](auto x, auto theta) {
    return theta(name, sm::start_at(0.6)) * sum(cos(x)) + 0.2 * square(theta(name)) * x[0] * x[1];
  }));
}

/// The score of ripple(name), which is a gradient although nothing says so.
sm::ScoreModel ripple_score(const std::string& name) {
  auto model = sm::score_model(d, [&](auto x, auto theta) {
    auto a = theta(name);
    return a * sin(x) - 0.2 * square(a) * sm::concat(x[1], x[0], 0.0);
  });
  model.set_parameters(ripple(name).parameters());
  return model;
}

/// A part without pull_back but with parameters: they are its own affair.
struct Spring {
  double stiffness = 0.7;
  Eigen::Index dimension() const { return d; }
  void energy(InputPoints X, OutputNumbers f) const { f = 0.5 * stiffness * X.colwise().squaredNorm().transpose(); }
  void gradient(InputPoints X, OutputPoints G) const { G = stiffness * X; }
  VectorXd parameters() const { return VectorXd::Constant(1, stiffness); }
  void set_parameters(const VectorXd& theta) { stiffness = theta[0]; }
};

}  // namespace

TEST_CASE("Users' classes get names, and with them a sum and a file") {
  const std::string path = "/tmp/scorematch_test_energy_sums.model";
  const auto saved = moved(sm::named("force", Complete{}) + sm::named("other", sm::named("force", Complete{})) +
                           sm::named("term", 2.0 * ripple("c")));
  std::string names;
  for (const auto& parameter : saved.named_parameters()) names += parameter.name + " ";
  CHECK(names == "force other.force term.c ");
  sm::save_model(path, saved);
  auto loaded = sm::named("force", Complete{}) + sm::named("other", sm::named("force", Complete{})) +
                sm::named("term", 2.0 * ripple("c"));
  CHECK(loaded.parameters() != saved.parameters());
  sm::load_model(path, loaded);
  CHECK(loaded.parameters() == saved.parameters());
  auto another = sm::named("force", Complete{}) + ripple("c");
  CHECK_THROWS_AS(sm::load_model(path, another), std::invalid_argument);
  std::remove(path.c_str());

  auto wrong = saved.named_parameters();
  wrong.back().name = "term.d";
  CHECK_THAT(message_of([&] { loaded.set_named_parameters(wrong); }), ContainsSubstring("\"term.c\""));
  wrong = saved.named_parameters();
  wrong[0].values = VectorXd::Ones(3);
  CHECK_THAT(message_of([&] { loaded.set_named_parameters(wrong); }),
             ContainsSubstring("the parameter \"force\" must be given, with 2 numbers"));
  CHECK(loaded.parameters() == saved.parameters());
}

TEST_CASE("A class without pull_back is a fixed part of a fit") {
  auto sum = Spring{} + ripple("c");
  REQUIRE(sum.parameters().size() == 1);
  const auto by_hand = sm::energy_model(d, [](auto x, auto) { return 0.35 * squared_norm(x); }) + ripple("c");
  same_models::agree("spring", sm::energy_of(sum, user_models::points()), sm::energy_of(by_hand, user_models::points()),
                     1e-13);
  const MatrixXd X = same_models::points(d, 200);
  const auto fit = sm::fit(sum, sm::implicit_score_matching{}, X);
  const auto expected = sm::fit(by_hand, sm::implicit_score_matching{}, X);
  CHECK(fit.status == sm::FitStatus::converged);
  CHECK(fit.model.first().stiffness == 0.7);
  CHECK(fit.model.parameters()[0] == Approx(expected.model.parameters()[0]).epsilon(1e-6));
}

TEST_CASE("Kernels: a sum is sampled as its formula is, by Metropolis where both know their energies") {
  const auto sum = Complete{} + ripple("c");
  const auto by_hand = user_models::formula() + ripple("c");
  static_assert(sm::detail::KnowsEnergy<std::remove_const_t<decltype(sum)>>);
  static_assert(!sm::detail::KnowsEnergy<decltype(Complete{} + ripple_score("c"))>);
  static_assert(!sm::detail::KnowsEnergy<decltype(2.0 * CompleteScore{})>);
  const sm::SampleOptions options{.chains = 33, .steps = 20, .seed = 5};
  same_models::agree("MALA", sm::sample(sum, sm::mala{.step = 0.1}, options).points,
                     sm::sample(by_hand, sm::mala{.step = 0.1}, options).points, 1e-10);
  same_models::agree("Langevin",
                     sm::sample(CompleteScore{} + ripple_score("c"), sm::langevin{.step = 0.02}, options).points,
                     sm::sample(by_hand, sm::langevin{.step = 0.02}, options).points, 1e-10);
}

TEST_CASE("Errors name what differs") {
  const auto plane = sm::energy_model(2, [](auto x, auto) { return squared_norm(x); });
  CHECK_THAT(message_of([&] { (void)(Complete{} + plane); }),
             ContainsSubstring("a model of dimension 3 is combined with one of dimension 2"));
  CHECK_THAT(message_of([] { (void)(user_models::formula() + (Complete{} + ripple("b"))); }),
             ContainsSubstring("the parameter \"b\" occurs twice"));
  CHECK_THAT(message_of([] { (void)(ripple("c") + ripple_score("c")); }), ContainsSubstring("named(\"prior\", model)"));
  CHECK_THAT(message_of([] { (void)(0.0 * Complete{}); }), ContainsSubstring("beta is 0"));
  CHECK_THAT(message_of([] { (Complete{} + ripple("c")).set_parameters(VectorXd::Zero(2)); }),
             ContainsSubstring("theta has 2 numbers; this model has 3"));
}
