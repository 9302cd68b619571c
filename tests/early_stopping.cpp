// Early stopping: a fit on few samples ends where the loss on others was least. Seeds are fixed.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "fixtures.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using fixtures::message_of;
using fixtures::normals;
using sm::FitMethod;
using sm::FitStatus;
using sm::Index;

namespace {

const sm::implicit_score_matching implicit;

sm::EnergyModel network(Index d, int width = 5) {
  return sm::energy_model(d, [width](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {width, width}, .seed = 3}) + 0.5 * exp(theta("log_k")) * squared_norm(x);
  });
}

}  // namespace

TEST_CASE("Early stopping keeps the parameters of the least held-out loss", "[long]") {
  const MatrixXd X = normals(1, 25, 9), held_out = normals(1, 200, 10);
  const auto model = network(1, 16);
  const auto check = [&](const sm::FitOptions& options) {
    const auto fit = sm::fit(model, implicit, X, options);
    CHECK(fit.status == FitStatus::early_stopped);
    double least = std::numeric_limits<double>::infinity();
    Index checks = 0, after_best = 0;
    for (const sm::FitStep& step : fit.history) {
      if (std::isnan(step.held_out)) continue;
      ++checks;
      ++after_best;
      if (step.held_out < least) {
        least = step.held_out;
        after_best = 0;
      }
    }
    CHECK(fit.held_out_loss == least);
    CHECK(after_best == options.patience);
    CHECK(checks > options.patience);
    CHECK(sm::loss(fit.model, implicit, held_out).value == least);
    CHECK(fit.loss.value == sm::loss(fit.model, implicit, X).value);
    // Without it the training loss goes on falling, and the held-out loss suffers.
    sm::FitOptions blind = options;
    blind.held_out.resize(0, 0);
    blind.patience = sm::FitOptions{}.patience;
    blind.check_every = 0;
    const auto longer = sm::fit(model, implicit, X, blind);
    if (options.method != FitMethod::adam) {  // adam may end where the loss fell without bound, and go back
      CHECK(longer.loss.value < fit.loss.value);
      CHECK(sm::loss(longer.model, implicit, held_out).value > least);
    }
    CHECK(std::isnan(longer.held_out_loss));
    CHECK(std::isnan(longer.history.back().held_out));
    return fit;
  };
  (void)check({.iterations = 300, .held_out = held_out, .patience = 20});
  (void)check({.iterations = 300, .held_out = held_out, .check_every = 3, .patience = 8});
  (void)check(
      {.method = FitMethod::adam, .iterations = 3000, .learning_rate = 0.03, .held_out = held_out, .patience = 200});
  const auto fit = check({.method = FitMethod::adam,
                          .iterations = 3000,
                          .batch = 10,
                          .learning_rate = 0.03,
                          .held_out = held_out,
                          .check_every = 7,
                          .patience = 60});
  for (const sm::FitStep& step : fit.history) CHECK(std::isnan(step.held_out) == (step.evaluations % 7 != 0));
}

TEST_CASE("Held-out data do not change the way of a fit, only where it ends") {
  const MatrixXd X = normals(2, 300, 11), held_out = normals(2, 100, 12);
  const sm::denoising_score_matching objective{.sigma = 0.5};
  for (const FitMethod method : {FitMethod::lbfgs, FitMethod::adam}) {
    const auto with = sm::fit(network(2), objective, X,
                              {.method = method, .iterations = 30, .held_out = held_out, .patience = 1000}),
               without = sm::fit(network(2), objective, X, {.method = method, .iterations = 30});
    CHECK(with.status == without.status);
    REQUIRE(with.history.size() == without.history.size());
    for (std::size_t i = 0; i < with.history.size(); ++i) CHECK(with.history[i].loss == without.history[i].loss);
    CHECK(with.held_out_loss == sm::loss(with.model, objective, held_out).value);
  }
  // Float data: held-out data are converted.
  const auto in_float = sm::fit(network(2), objective, Eigen::MatrixXf(X.cast<float>()),
                                {.method = FitMethod::lbfgs, .iterations = 10, .held_out = held_out});
  CHECK(in_float.held_out_loss == sm::loss(in_float.model, objective, Eigen::MatrixXf(held_out.cast<float>())).value);
}

TEST_CASE("Early stopping: options out of range") {
  const MatrixXd X = normals(2, 10, 13);
  const auto model = network(2);
  const auto refused = [&](auto f, const std::string& part) { CHECK_THAT(message_of(f), ContainsSubstring(part)); };
  refused([&] { (void)sm::fit(model, implicit, X, {.held_out = MatrixXd(2, 0)}); }, "held_out has no columns");
  refused([&] { (void)sm::fit(model, implicit, X, {.held_out = normals(3, 5, 1)}); },
          "FitOptions: held_out has 3 rows and 5 columns; the model has dimension 2");
  MatrixXd bad = X;
  bad(1, 2) = std::nan("");
  refused([&] { (void)sm::fit(model, implicit, X, {.held_out = bad}); }, "held_out has nan in column 2, row 1");
  refused([&] { (void)sm::fit(model, implicit, X, {.patience = 0}); }, "FitOptions: patience is 0");
  refused([&] { (void)sm::fit(model, implicit, X, {.check_every = -1}); }, "FitOptions: check_every is -1");
  CHECK(std::string(sm::to_string(FitStatus::early_stopped)) == "early-stopped");
}
