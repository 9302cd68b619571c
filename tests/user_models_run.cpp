// Users' classes in fits and samplers, against the same energy written as a formula.
#include "catch.hpp"

#include "user_models.hpp"

#include "scorematch/fit/fit.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/sample.hpp"

using namespace user_models;

namespace {

// The same random numbers and, to rounding, the same states: the energy is convex, so rounding does not grow.
template <class M, class Kernel>
void check_draws(const M& model, const Kernel& kernel) {
  const sm::SampleOptions options{.chains = 70, .steps = 400, .burn_in = 50, .thin = 100, .seed = 5};
  const sm::Draws<double> expected = sm::sample(formula(), kernel, options), found = sm::sample(model, kernel, options);
  CHECK(found.status == sm::SampleStatus::complete);
  CHECK(relative(found.points, expected.points) < 1e-11);
  CHECK(found.acceptance == expected.acceptance);
}

}  // namespace

TEST_CASE("a class is fitted as the same formula is") {
  // Data of another member of the family: a step of the fit has somewhere to go.
  sm::EnergyModel source = formula();
  source.set_parameters(Eigen::Vector2d(0.5, 1.5));
  const Eigen::MatrixXd X = sm::sample(source, sm::mala{.step = 0.1}, {.chains = 400, .steps = 200, .seed = 3}).points;

  const auto check_lbfgs = [&](const auto& model, const auto& objective) {
    const auto expected = sm::fit(formula(), objective, X);
    const auto found = sm::fit(model, objective, X);
    CHECK(found.status == sm::FitStatus::converged);
    CHECK(relative(found.model.parameters(), expected.model.parameters()) < 1e-6);
    CHECK(found.loss.value == Approx(expected.loss.value).epsilon(1e-8));
    CHECK(relative(found.model.parameters(), model.parameters()) > 0.3);  // it went somewhere
  };
  SECTION("implicit, gradient and pull_back only") { check_lbfgs(Own<trainable>{}, sm::implicit_score_matching{}); }
  SECTION("implicit, all") { check_lbfgs(Complete{}, sm::implicit_score_matching{}); }
  SECTION("implicit, a score") { check_lbfgs(CompleteScore{}, sm::implicit_score_matching{}); }
  SECTION("sliced") { check_lbfgs(Own<trainable>{}, sm::sliced_score_matching{.projections = 2, .frozen = true}); }
  SECTION("explicit: the target is in the family, so the fit finds it") {
    const auto target = [&](const Eigen::MatrixXd& at) { return sm::score_of(source, at); };
    const auto fit = sm::fit(Own<trainable>{}, sm::explicit_score_matching{target}, X);
    CHECK(fit.status == sm::FitStatus::converged);
    CHECK(relative(fit.model.parameters(), source.parameters()) < 1e-6);
  }
  SECTION("denoising, by adam: the same minibatches, noise and steps") {
    const sm::FitOptions options{.method = sm::FitMethod::adam, .iterations = 60, .batch = 50};
    const sm::denoising_score_matching objective{.sigma = 0.3};
    const auto expected = sm::fit(formula(), objective, X, options);
    CHECK(relative(sm::fit(Own<trainable>{}, objective, X, options).model.parameters(), expected.model.parameters()) <
          1e-10);
  }
}

TEST_CASE("a class is sampled as the same formula is") {
  SECTION("langevin needs the gradient alone") { check_draws(Own<least>{}, sm::langevin{.step = 0.05}); }
  SECTION("or the score") { check_draws(Own<as_score>{}, sm::langevin{.step = 0.05}); }
  SECTION("mala needs the energy too") { check_draws(Own<energy>{}, sm::mala{.step = 0.2}); }
  SECTION("which may stand beside a score") { check_draws(Own<as_score | energy>{}, sm::mala{.step = 0.2}); }
}
