// What results say of themselves in a few lines: the status first, then the number with its error, then every doubt.
#include "catch.hpp"

#include <string>

#include "fixtures.hpp"
#include "scorematch/energy/gaussian.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/fit/train.hpp"
#include "scorematch/likelihood/maximum_likelihood.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/partition/quadrature.hpp"
#include "scorematch/sampler/generate.hpp"
#include "scorematch/sampler/heun.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/sample.hpp"

namespace {

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using Eigen::MatrixXd;
using fixtures::message_of;
using fixtures::normals;

std::string number(double value) { return sm::detail::text(value); }

}  // namespace

TEST_CASE("A fit says how it ended, its loss with the error, and each warning") {
  const MatrixXd X = normals(2, 200, 5);
  auto fit = sm::fit(sm::gaussian(2), sm::implicit_score_matching{}, X);
  CHECK(fit.text() == "converged after " + number(static_cast<double>(fit.iterations)) + " iterations: loss " +
                          number(fit.loss.value) + " ± " + number(fit.loss.standard_error) + "\n");
  fit.warnings = {"a doubt", "another"};
  CHECK_THAT(fit.text(), ContainsSubstring("\n  a doubt\n  another\n"));

  const auto likelihood = sm::fit(sm::gaussian(2), sm::maximum_likelihood{}, X);
  CHECK_THAT(likelihood.text(), StartsWith("converged after ") && ContainsSubstring(number(likelihood.loss)));
}

TEST_CASE("A training says its steps and the loss of held-out data") {
  const MatrixXd X = normals(1, 64, 5);
  const auto training = sm::train(sm::gaussian(1), sm::denoising_score_matching{}, X,
                                  {.steps = 4, .batch = 32, .held_out = {normals(1, 16, 6)}, .check_every = 1});
  CHECK_THAT(training.text(), StartsWith("finished after 4 steps: loss " + number(training.loss.value) + " ± ") &&
                                  ContainsSubstring(", of held-out data " + number(training.held_out_loss) + "\n"));
}

TEST_CASE("Chains say how they ended, and what speaks against them") {
  const auto good = sm::sample(sm::gaussian(1), sm::langevin{.step = 0.1}, {.chains = 10, .steps = 4000, .thin = 2000});
  CHECK(good.text() == "complete: 10 chains, 2 kept states of each, acceptance 1\n");
  const auto bad = sm::sample(sm::gaussian(1), sm::langevin{.step = 10}, {.chains = 10, .steps = 100});
  CHECK_THAT(bad.text(), StartsWith("diverged: 10 chains") && ContainsSubstring("\n  " + bad.evidence + "\n"));

  const auto blurred =
      sm::energy_model(1, [](auto x, auto sigma, auto) { return 0.5 * square(x[0]) / (1.0 + square(sigma)); });
  const auto samples = sm::generate(blurred, sm::heun{.levels = sm::edm_levels{.levels = 10}}, {.count = 20});
  CHECK(samples.text() == "complete: 20 samples, 19 evaluations of each, at sigma 0\n");
}

TEST_CASE("log Z says its value, its error and what speaks against it") {
  const auto finite = sm::log_partition(sm::gaussian(1), sm::quadrature{});
  CHECK(finite.text() == "converged: log Z = " + number(finite.value) + " ± " + number(finite.error) + ", from " +
                             number(static_cast<double>(finite.evaluations)) + " evaluations of the energy\n");
  const auto infinite =
      sm::log_partition(sm::energy_model(1, [](auto x, auto) { return 0.0 * x[0]; }), sm::quadrature{});
  CHECK_THAT(infinite.text(), StartsWith("not normalisable: ") && ContainsSubstring("\n  " + infinite.evidence + "\n"));
}

TEST_CASE("Options say what is wrong with them before anything is computed") {
  const auto message = [](const auto& options) { return message_of([&] { options.validate(); }); };
  CHECK_THAT(message(sm::GenerateOptions{.count = 0}), ContainsSubstring("GenerateOptions: count is 0"));
  CHECK_THAT(message(sm::GenerateOptions{.data_variance = -1}), ContainsSubstring("data_variance is -1"));
  CHECK_THAT(message(sm::GenerateOptions{.resampling = 2}), ContainsSubstring("nothing is known"));
  CHECK_THAT(message(sm::LossOptions{.block = -1}), ContainsSubstring("LossOptions: block is -1"));
  CHECK(message(sm::GenerateOptions{}) == "no exception");
}
