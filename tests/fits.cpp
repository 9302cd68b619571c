// Fits: known parameters are found again, whatever happens ends in a status with the best finite parameters, and what
// is returned agrees with what sm::loss says.
//
// Seeds are fixed. Where an estimate is compared with the truth the allowed distance is about six standard deviations.
#include "catch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using sm::FitMethod;
using sm::FitStatus;
using sm::Index;

namespace {

/// Implicit score matching plus a constant: all that a new objective takes.
struct raised_implicit_score_matching {
  double raise = 1e6;

  template <class T>
  struct Notes {};

  void validate() const {
    sm::extend::require(std::isfinite(raise), {"raised_implicit_score_matching: raise is ", raise});
  }
  bool deterministic() const { return true; }
  std::array<const char*, 1> term_names() const { return {"implicit"}; }

  template <class T>
  void prepare(const sm::extend::Samples<T>& samples, sm::extend::Points<T>& points, Notes<T>&) const {
    points.X = samples.X;
    points.along = sm::extend::Along::axes;
  }

  template <class T>
  void score(const sm::extend::Samples<T>&, const sm::extend::Points<T>&, const Notes<T>&,
             const sm::extend::ScoreValues<T>& values, sm::extend::Losses<T>& losses) const {
    losses.terms.col(0) = T(0.5) * values.S.rowwise().squaredNorm() + values.curvature;
    losses.value = losses.terms.col(0).array() + static_cast<T>(raise);
    losses.bar.S = values.S;
    losses.bar.curvature.setOnes(values.curvature.size());
  }
};
static_assert(sm::extend::Objective<raised_implicit_score_matching, double>);

/// N(m, I/k)
sm::EnergyModel gaussian(Index d) {
  return sm::energy_model(d, [d](auto x, auto theta) {
    return 0.5 * exp(theta("log k", sm::start_at(1))) * squared_norm(x - theta("m", d));
  });
}

/// N(0, I/√a): not a number for a < 0.
sm::EnergyModel walled(double a) {
  return sm::energy_model(
      2, [a](auto x, auto theta) { return 0.5 * sqrt(theta("a", sm::start_at(a))) * squared_norm(x); });
}

/// On data at 0 its implicit loss is −2 exp(t): without bound.
sm::EnergyModel collapsing() {
  return sm::energy_model(2, [](auto x, auto theta) { return 0.5 * exp(theta("t")) * squared_norm(x); });
}

const sm::implicit_score_matching implicit;

}  // namespace

// --- known parameters ---

TEST_CASE("L-BFGS on the implicit loss finds a mixture of two Gaussians again") {
  const Index n = 20000;
  MatrixXd X(1, n);
  for (Index i = 0; i < n; ++i) {  // 0.4 N(−1.5, 0.7²) + 0.6 N(1.2, 1)
    sm::Stream stream({1, sm::extend::Purpose::user}, i);
    const bool first = stream.uniform() < 0.4;
    X(0, i) = first ? -1.5 + 0.7 * stream.normal() : 1.2 + stream.normal();
  }
  const auto model = sm::energy_model(1, [](auto x, auto theta) {
    const auto log_odds = theta("log odds");  // of the first
    const auto centres = theta("centres", Eigen::Vector2d(-1, 1));
    const auto log_widths = theta("log widths", 2);
    const auto log_weights = sm::concat(-softplus(-log_odds), -softplus(log_odds));
    return -log_sum_exp(log_weights - log_widths - 0.5 * square((x[0] - centres) / exp(log_widths)));
  });
  const auto fit = sm::fit(model, implicit, X);
  CHECK(fit.status == FitStatus::converged);
  CHECK(fit.non_finite == 0);
  const MatrixXd centres = fit.model.parameter("centres"), widths = fit.model.parameter("log widths").array().exp();
  CHECK(centres(0) == Approx(-1.5).margin(0.1));
  CHECK(centres(1) == Approx(1.2).margin(0.1));
  CHECK(widths(0) == Approx(0.7).margin(0.1));
  CHECK(widths(1) == Approx(1.0).margin(0.1));
  CHECK(1 / (1 + std::exp(-fit.model.parameter("log odds")(0))) == Approx(0.4).margin(0.05));

  auto truth = model;
  truth.set_parameters(
      (VectorXd(5) << -1.5, 1.2, std::log(0.4 / 0.6), std::log(0.7), 0).finished());  // centres, log odds, log widths
  CHECK(fit.loss.value <= sm::loss(truth, implicit, X).value);
  CHECK(fit.loss.value > sm::loss(truth, implicit, X).value - 6 * fit.loss.standard_error);
}

TEST_CASE("L-BFGS on frozen noise finds that noise's minimum") {
  const Index n = 5000;
  const MatrixXd X = normals(2, n, 2).array() * 1.3;
  const auto centred =
      sm::energy_model(2, [](auto x, auto theta) { return 0.5 * theta("k", sm::start_at(3)) * squared_norm(x); });

  // s = −k x̃ against −z/σ: k = Σ x̃ᵀz / (σ Σ‖x̃‖²), near 1/(v + σ²)
  const sm::denoising_score_matching denoising{.sigma = 0.5, .seed = 4, .frozen = true};
  MatrixXd Z(n, 2);
  sm::extend::fill_normals<double>({4, sm::extend::Purpose::perturbation}, sm::extend::Ids::from(0), n, 0, 2, Z.data(),
                                   n);
  const MatrixXd noisy = X + 0.5 * Z.transpose();
  const auto by_denoising = sm::fit(centred, denoising, X);
  CHECK(by_denoising.status == FitStatus::converged);
  const double k = by_denoising.model.parameters()[0];
  CHECK(k == Approx(noisy.cwiseProduct(Z.transpose()).sum() / (0.5 * noisy.squaredNorm())).epsilon(1e-6));
  CHECK(k == Approx(1 / (1.69 + 0.25)).epsilon(0.1));

  // ½ k²‖x‖² − k‖v‖²: k = Σ‖v‖² / Σ‖x‖², near 1/v
  const sm::sliced_score_matching sliced{.kind = sm::Projection::gaussian, .seed = 5, .frozen = true};
  MatrixXd V(n, 2);
  sm::extend::fill_normals<double>({5, sm::extend::Purpose::projection}, sm::extend::Ids::from(0), n, 0, 2, V.data(),
                                   n);
  const auto by_slices = sm::fit(centred, sliced, X);
  CHECK(by_slices.status == FitStatus::converged);
  CHECK(by_slices.model.parameters()[0] == Approx(V.squaredNorm() / X.squaredNorm()).epsilon(1e-6));
  CHECK(by_slices.model.parameters()[0] == Approx(1 / 1.69).epsilon(0.1));
}

TEST_CASE("Adam on fresh noise comes close to the known optimum") {
  const Index n = 4000;
  const MatrixXd X = (normals(2, n, 3).array() * 0.8).matrix().colwise() + Eigen::Vector2d(0.5, -1);
  const double variance = (X.colwise() - X.rowwise().mean()).squaredNorm() / (2.0 * n);
  const auto fit = sm::fit(gaussian(2), sm::denoising_score_matching{.sigma = 0.4}, X, {.iterations = 2500});
  CHECK(fit.status == FitStatus::converged);  // the gradient is within its standard error
  CHECK(fit.iterations == 2500);
  CHECK(fit.evaluations == 2500);
  CHECK(std::exp(fit.model.parameter("log k")(0)) == Approx(1 / (variance + 0.16)).epsilon(0.05));
  CHECK((fit.model.parameter("m") - X.rowwise().mean()).norm() < 0.05);
  CHECK(fit.history.size() == (2500 + 31) / 32);  // passes of 32 minibatches of 128
  CHECK(fit.history.back().evaluations == 2500);
  CHECK(fit.history.back().loss < fit.history.front().loss);
}

TEST_CASE("Float data: the same optimum, to float's precision") {
  const MatrixXd X = normals(3, 500, 4).array() * 0.7 + 0.2;
  const auto fit = sm::fit(gaussian(3), implicit, X);
  const auto in_float = sm::fit(gaussian(3), implicit, Eigen::MatrixXf(X.cast<float>()));
  CHECK(fit.status == FitStatus::converged);
  CHECK(in_float.status == FitStatus::converged);
  CHECK((fit.model.parameters() - in_float.model.parameters()).norm() < 2e-3);
  CHECK((fit.model.parameter("m") - X.rowwise().mean()).norm() < 1e-5);
}

// --- what is returned ---

TEST_CASE("FitMethod::automatic: L-BFGS for a deterministic objective, else Adam") {
  const MatrixXd X = normals(2, 200, 5);
  CHECK(sm::fit(gaussian(2), implicit, X).status == FitStatus::converged);
  CHECK(sm::fit(gaussian(2), sm::denoising_score_matching{.frozen = true}, X).status == FitStatus::converged);
  const auto fresh = sm::fit(gaussian(2), sm::denoising_score_matching{.sigma = 0.5}, X, {.iterations = 20});
  CHECK(fresh.status == FitStatus::used_up);
  CHECK(fresh.evaluations == 20);
  // FitMethod::lbfgs keeps fresh noise at draw 0.
  const auto kept = sm::fit(gaussian(2), sm::denoising_score_matching{.sigma = 0.5}, X, {.method = FitMethod::lbfgs});
  const auto frozen = sm::fit(gaussian(2), sm::denoising_score_matching{.sigma = 0.5, .frozen = true}, X);
  CHECK(kept.status == FitStatus::converged);
  CHECK(kept.model.parameters() == frozen.model.parameters());
}

TEST_CASE("The loss, the counts and the history of a fit agree with each other and with sm::loss") {
  const MatrixXd X = normals(2, 300, 6);
  const auto network = sm::energy_model(
      2, [](auto x, auto theta) { return sm::mlp(x, theta, {.hidden = {6}}) + 0.5 * squared_norm(x); });
  const auto agrees = [&](const auto& fit, const auto& objective) {
    const sm::Loss loss = sm::loss_and_gradient(fit.model, objective, X);
    CHECK(fit.loss.value == loss.value);
    CHECK(fit.loss.standard_error == loss.standard_error);
    CHECK(fit.loss.gradient == loss.gradient);
    CHECK(fit.loss.samples == 300);
    REQUIRE(fit.loss.terms.size() == loss.terms.size());
    for (std::size_t k = 0; k < loss.terms.size(); ++k) {
      CHECK(fit.loss.terms[k].name == loss.terms[k].name);
      CHECK(fit.loss.terms[k].value == loss.terms[k].value);
      CHECK(fit.loss.terms[k].standard_error == loss.terms[k].standard_error);
    }
    CHECK(fit.history.front().loss > fit.loss.value);
  };
  const auto by_lbfgs = sm::fit(network, implicit, X, {.iterations = 5});
  agrees(by_lbfgs, implicit);
  CHECK(by_lbfgs.status == FitStatus::used_up);
  CHECK(by_lbfgs.iterations == 5);
  REQUIRE(static_cast<Index>(by_lbfgs.history.size()) == by_lbfgs.evaluations);
  CHECK(by_lbfgs.history.front().loss == sm::loss(network, implicit, X).value);
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < by_lbfgs.history.size(); ++i) {
    CHECK(by_lbfgs.history[i].evaluations == static_cast<Index>(i) + 1);
    least = std::min(least, by_lbfgs.history[i].loss);
  }
  CHECK(by_lbfgs.loss.value == least);  // the best parameters seen

  const sm::denoising_score_matching fresh{.sigma = 0.5};
  const auto by_adam = sm::fit(network, fresh, X, {.iterations = 5, .batch = 120});
  agrees(by_adam, fresh);
  CHECK(by_adam.status == FitStatus::used_up);
  CHECK(by_adam.iterations == 5);
  CHECK(by_adam.evaluations == 5);
  REQUIRE(by_adam.history.size() == 2);  // a pass of three minibatches, and two of the next
  CHECK(by_adam.history[0].evaluations == 3);
  CHECK(by_adam.history[1].evaluations == 5);

  // Another seed, another order of the minibatches.
  CHECK(sm::fit(network, fresh, X, {.iterations = 5, .batch = 120}).model.parameters() == by_adam.model.parameters());
  CHECK(sm::fit(network, fresh, X, {.iterations = 5, .batch = 120, .seed = 1}).model.parameters() !=
        by_adam.model.parameters());
}

TEST_CASE("Adam draws new noise at every step, and frozen noise once") {
  const MatrixXd X = normals(2, 150, 9);
  const sm::denoising_score_matching fresh{.sigma = 0.5, .seed = 3}, frozen{.sigma = 0.5, .seed = 3, .frozen = true};
  const sm::FitOptions still{
      .method = FitMethod::adam, .iterations = 4, .batch = 1000, .learning_rate = 1e-300};  // θ stays
  const auto moving = sm::fit(gaussian(2), fresh, X, still), same = sm::fit(gaussian(2), frozen, X, still);
  REQUIRE(moving.history.size() == 4);
  REQUIRE(same.history.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(moving.history[i].loss == Approx(sm::loss(gaussian(2), fresh, X, {.draw = i + 1}).value).epsilon(1e-12));
    CHECK(same.history[i].loss == Approx(sm::loss(gaussian(2), frozen, X).value).epsilon(1e-12));
  }
}

TEST_CASE("The progress callback sees the fit go by, and can stop it") {
  const MatrixXd X = normals(2, 300, 7);
  const auto network = sm::energy_model(
      2, [](auto x, auto theta) { return sm::mlp(x, theta, {.hidden = {6}}) + 0.5 * squared_norm(x); });
  for (const FitMethod method : {FitMethod::lbfgs, FitMethod::adam}) {
    std::vector<sm::Progress> seen;
    sm::FitOptions options{.method = method, .iterations = 12};
    if (method == FitMethod::adam) options.batch = 100;
    const auto silent = sm::fit(network, implicit, X, options);
    options.progress = [&](const sm::Progress& p) {
      seen.push_back(p);
      return true;
    };
    const auto watched = sm::fit(network, implicit, X, options);
    CHECK(watched.model.parameters() == silent.model.parameters());
    REQUIRE(static_cast<Index>(seen.size()) >= watched.evaluations);
    CHECK(seen.back().done == 12);
    for (std::size_t i = 0; i < seen.size(); ++i) {
      CHECK(std::string(seen[i].task) == "fit");
      CHECK(std::string(seen[i].value_name) == "loss");
      CHECK(seen[i].of == 12);
      if (i > 0) CHECK(seen[i].done >= seen[i - 1].done);
    }
    if (method == FitMethod::lbfgs) CHECK(seen.front().value == watched.history.front().loss);

    Index calls = 0;
    options.progress = [&](const sm::Progress&) { return ++calls < 3; };
    const auto stopped = sm::fit(network, implicit, X, options);
    CHECK(stopped.status == FitStatus::stopped);
    CHECK(stopped.evaluations == 3);
    CHECK(stopped.iterations <= 3);
    CHECK(stopped.loss.value <= silent.history.front().loss);
  }
}

// --- statuses ---

TEST_CASE("L-BFGS: every outcome is a status with the best finite parameters") {
  const MatrixXd X = 5 * normals(2, 100, 8), zeros = MatrixXd::Zero(2, 5);

  SECTION("a wall on the way: the search steps back from it, and converges") {
    const auto fit = sm::fit(walled(1e4), implicit, X, {.carry_start = false});
    CHECK(fit.status == FitStatus::converged);
    CHECK(fit.non_finite > 0);
    // ½ a ‖x‖² − 2 √a is least at √a = 2/mean ‖x‖²
    CHECK(std::sqrt(fit.model.parameters()[0]) == Approx(2 * 100 / X.squaredNorm()).epsilon(1e-5));
  }
  SECTION("a wall before the minimum") {
    const auto model = sm::energy_model(2, [](auto x, auto theta) {
      const auto a = theta("a", sm::start_at(0.1));
      return 0.5 * (a + 0 * sqrt(1 - a)) * squared_norm(x);  // not a number for a > 1
    });
    const auto fit = sm::fit(model, implicit, MatrixXd(X / 20));  // without the wall a would be near 16
    CHECK(fit.status == FitStatus::stalled);
    CHECK(fit.non_finite > 0);
    CHECK(fit.model.parameters()[0] <= 1);
    CHECK(fit.model.parameters()[0] > 0.9);
    CHECK(std::isfinite(fit.loss.value));
  }
  SECTION("not a number at the start") {
    const auto fit = sm::fit(walled(-1), implicit, X);
    CHECK(fit.status == FitStatus::non_finite);
    CHECK(fit.model.parameters()[0] == -1);
    CHECK(std::isnan(fit.loss.value));  // nothing is repaired
    CHECK(fit.evaluations == 1);
    CHECK(fit.iterations == 0);
    CHECK(fit.non_finite == 1);
  }
  SECTION("unbounded below") {
    const auto fit = sm::fit(collapsing(), implicit, zeros);
    CHECK(fit.status == FitStatus::diverged);
    CHECK(fit.model.parameters().allFinite());
    CHECK(fit.loss.value < -1e6);
    CHECK(std::isfinite(fit.loss.value));
  }
  SECTION("flat to rounding: 10⁶ beside a loss of order 1") {
    const auto right = sm::fit(gaussian(2), implicit, X);
    const auto fit = sm::fit(gaussian(2), raised_implicit_score_matching{}, X);
    CHECK((fit.status == FitStatus::stalled || fit.status == FitStatus::converged));
    CHECK((fit.model.parameters() - right.model.parameters()).norm() < 1e-2);
    CHECK(fit.loss.value - 1e6 == Approx(right.loss.value).margin(1e-8));
    CHECK(fit.loss.terms[0].name == "implicit");
    CHECK(fit.loss.terms[0].value == Approx(right.loss.value).margin(1e-8));
    // With no constant it is the library's own objective.
    CHECK((sm::fit(gaussian(2), raised_implicit_score_matching{0}, X).model.parameters() - right.model.parameters())
              .norm() < 1e-8);
  }
  SECTION("nothing to do") {
    const auto there = sm::fit(gaussian(2), implicit, X);
    const auto again = sm::fit(there.model, implicit, X);
    CHECK(again.status == FitStatus::converged);
    CHECK(again.evaluations == 1);
    CHECK(again.model.parameters() == there.model.parameters());
  }
}

TEST_CASE("L-BFGS starts afresh after its first failed line search") {
  // ½ θ², whose third to 43rd evaluations, the 41 trials of the second line search, are walls.
  int evaluations = 0;
  const auto function = [&](const Eigen::VectorXd& theta, Eigen::VectorXd& gradient) {
    const int number = ++evaluations;
    gradient = theta;
    return number > 2 && number <= 43 ? std::numeric_limits<double>::infinity() : 0.5 * theta.squaredNorm();
  };
  const auto minimum = sm::fitting::minimise(function, sm::fitting::unit_metric(), Eigen::VectorXd::Constant(1, 5.0),
                                             {.iterations = 100, .tolerance = 1e-8}, {});
  CHECK(minimum.converged);
  CHECK(minimum.non_finite == 41);
  CHECK(std::abs(minimum.theta[0]) < 1e-7);
}

TEST_CASE("Adam: every outcome is a status with the best finite parameters") {
  const MatrixXd X = 5 * normals(2, 100, 8), zeros = MatrixXd::Zero(2, 5);
  const sm::FitOptions options{.method = FitMethod::adam, .iterations = 300, .learning_rate = 0.1};

  SECTION("a wall on the way") {
    sm::FitOptions fast = options;
    fast.learning_rate = 3;
    fast.carry_start = false;
    const auto fit = sm::fit(walled(0.25), implicit, X, fast);  // its steps run past 0.0016, the minimum
    CHECK(fit.status == FitStatus::non_finite);
    CHECK(fit.non_finite == 1);
    CHECK(fit.model.parameters()[0] > 0);
    CHECK(fit.model.parameters()[0] <= 0.25);
    CHECK(std::isfinite(fit.loss.value));
    for (const sm::FitStep& step : fit.history) CHECK(fit.loss.value <= step.loss + 1e-12);
  }
  SECTION("not a number at the start") {
    const auto fit = sm::fit(walled(-1), implicit, X, options);
    CHECK(fit.status == FitStatus::non_finite);
    CHECK(fit.model.parameters()[0] == -1);
    CHECK(std::isnan(fit.loss.value));
    CHECK(fit.evaluations == 1);
    CHECK(fit.iterations == 0);
  }
  SECTION("unbounded below") {
    sm::FitOptions fast = options;
    fast.learning_rate = 1;
    const auto fit = sm::fit(collapsing(), implicit, zeros, fast);
    CHECK(fit.status == FitStatus::diverged);
    CHECK(fit.model.parameters().allFinite());
    CHECK(fit.loss.value < -1e5);
    CHECK(std::isfinite(fit.loss.value));
  }
  SECTION("flat to rounding") {
    const auto right = sm::fit(gaussian(2), implicit, X, options),
               fit = sm::fit(gaussian(2), raised_implicit_score_matching{}, X, options);
    CHECK(fit.status == right.status);
    CHECK((fit.model.parameters() - right.model.parameters()).norm() < 1e-12);  // Adam reads the gradient alone
  }
}

TEST_CASE("Statuses have names") {
  CHECK(std::string(sm::to_string(FitStatus::converged)) == "converged");
  CHECK(std::string(sm::to_string(FitStatus::stopped)) == "stopped");
  CHECK(std::string(sm::to_string(FitStatus::used_up)) == "iterations used up");
  CHECK(std::string(sm::to_string(FitStatus::stalled)) == "stalled");
  CHECK(std::string(sm::to_string(FitStatus::plateau)) == "plateau");
  CHECK(std::string(sm::to_string(FitStatus::noisy)) == "noisy");
  CHECK(std::string(sm::to_string(FitStatus::diverged)) == "diverged");
  CHECK(std::string(sm::to_string(FitStatus::non_finite)) == "non-finite");
}
