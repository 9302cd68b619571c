// Exact maximum likelihood: its gradient (the study note's (1.13)–(1.16)), its optimum, and the gradient by samples.
#include "catch.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "scorematch/energy/ready.hpp"
#include "scorematch/likelihood/maximum_likelihood.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/partition/log_partition.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/sample.hpp"
#include "user_models.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using sm::Index;

namespace {

MatrixXd skewed_data(Index d, Index n) {
  sm::Stream stream({5});
  MatrixXd X(d, n);
  for (Index i = 0; i < n; ++i) {
    const VectorXd z = stream.normals(d);
    X.col(i) = 0.7 * z.array() + 0.3 * z.array().square() + 0.4;
    if (d > 1) X(1, i) += 0.5 * X(0, i);
  }
  return X;
}

// quartic, with every kind of dependence on θ: linear, exponential, inside a nonlinear function
sm::EnergyModel quartic(Index d) {
  return sm::energy_model(d, [](auto x, auto theta) {
    return exp(theta("log_fourth", sm::start_at(-1.0))) * sum(square(square(x))) +
           theta("tilt", sm::start_at(0.3)) * x[0] + sum(softplus(theta("slope", sm::start_at(0.5)) * x));
  });
}

double exact_loss(sm::EnergyModel model, const VectorXd& theta, const MatrixXd& X) {
  model.set_parameters(theta);
  return -sm::log_likelihood(model, X, sm::log_partition(model, sm::quadrature{.near = X})).mean;
}

VectorXd central_differences(const sm::EnergyModel& model, const MatrixXd& X) {
  VectorXd gradient(model.parameters().size());
  for (Index k = 0; k < gradient.size(); ++k) {
    VectorXd up = model.parameters(), down = up;
    up[k] += 1e-4;
    down[k] -= 1e-4;
    gradient[k] = (exact_loss(model, up, X) - exact_loss(model, down, X)) / (up[k] - down[k]);
  }
  return gradient;
}

}  // namespace

TEST_CASE("I18: the exact likelihood's gradient is that of its value, E_data[∂f] − E_q[∂f]") {
  for (const Index d : {1, 2, 3}) {
    const MatrixXd X = skewed_data(d, 40);
    const auto model = quartic(d);
    // One evaluation of the fit shows the gradient's norm where it starts.
    const auto fit = sm::fit(model, sm::maximum_likelihood{}, X, {.iterations = 1, .carry_start = false});
    REQUIRE_FALSE(fit.history.empty());
    const VectorXd expected = central_differences(model, X);
    CHECK(fit.history.front().loss == Approx(exact_loss(model, model.parameters(), X)).epsilon(1e-9));
    CHECK(fit.history.front().gradient_norm == Approx(expected.norm()).epsilon(1e-6));
    // And component by component, with E_q by the quadrature's own nodes.
    sm::QuadratureNodes nodes;
    REQUIRE(sm::log_partition(model, sm::quadrature{}, &nodes).status == sm::PartitionStatus::converged);
    auto energy = sm::likelihood::energy_function<double>(model);
    VectorXd data_term, model_term;
    sm::likelihood::mean_gradient<double>(energy, X, data_term);
    energy.weighted_gradient(
        nodes.points,
        [&](Index first, const VectorXd& f, VectorXd& w) { w = nodes.probabilities.segment(first, f.size()); },
        model_term);
    CHECK((data_term - model_term - expected).norm() < 1e-6 * (1 + expected.norm()));
  }
}

TEST_CASE("The gradient (1.16) by samples is the exact one within its error") {
  const MatrixXd X = skewed_data(1, 500);
  const auto model = quartic(1);
  const VectorXd exact = central_differences(model, X);
  // |z| < 4: a correct library fails with probability 2·10⁻⁴, had the seed been drawn by chance
  const auto draws = sm::sample(model, sm::mala{.step = 0.03}, {.chains = 20'000, .steps = 500, .seed = 4});
  const auto sampled = sm::likelihood_gradient(model, X, draws.points);
  REQUIRE(sampled.gradient.size() == 3);
  const auto only_model = sm::likelihood_gradient(model, draws.points, draws.points);
  for (Index k = 0; k < 3; ++k) {
    // the data are the same on both sides: only the model's samples bring error
    const double error = only_model.standard_error[k] / std::sqrt(2.0);
    CAPTURE(k, sampled.gradient[k], exact[k], error);
    CHECK(std::abs(sampled.gradient[k] - exact[k]) < 4 * error);
    CHECK(error < 0.05 * sampled.model_term.norm());
  }
  CHECK(only_model.gradient.norm() == 0);
  CHECK((sampled.gradient - (sampled.data_term - sampled.model_term)).norm() == 0);
}

TEST_CASE("Standard errors of the sampled gradient are those of its repetition") {
  const auto normal = sm::energy_model(
      1, [](auto x, auto theta) { return 0.5 * exp(theta("log_precision")) * square(x[0] - theta("mean")); });
  // 200 data sets of 320 each: the mean of (gradient/error)² is 1 within 4 · √(2/200) (t with 31 degrees: 1.07)
  VectorXd squares = VectorXd::Zero(2);
  for (unsigned seed = 0; seed < 200; ++seed) {
    sm::Stream stream({seed});
    const MatrixXd X = stream.normals(320).transpose(), Y = stream.normals(320).transpose();
    const auto g = sm::likelihood_gradient(normal, X, Y);
    squares += g.gradient.cwiseQuotient(g.standard_error).cwiseAbs2();
  }
  for (Index k = 0; k < 2; ++k) CHECK(std::abs(squares[k] / 200 - 1.07) < 0.43);
}

TEST_CASE("Maximum likelihood of a normal law is the sample mean and the 1/n covariance") {
  const MatrixXd unit = MatrixXd::Identity(2, 2);
  const auto normal = sm::energy_model(2, [unit](auto x, auto theta) {
    return 0.5 * squared_norm(transpose(theta("root", unit)) * (x - theta("mean", 2)));
  });
  const MatrixXd X = skewed_data(2, 60);
  const auto fit = sm::fit(normal, sm::maximum_likelihood{}, X);
  REQUIRE(fit.status == sm::FitStatus::converged);
  const VectorXd mean = X.rowwise().mean();
  const MatrixXd centred = X.colwise() - mean, covariance = centred * centred.transpose() / 60,
                 root = fit.model.parameter("root"), precision = root * root.transpose();
  CHECK((fit.model.parameter("mean") - mean).norm() < 1e-5);
  CHECK((precision * covariance - MatrixXd::Identity(2, 2)).norm() < 1e-4);
  // −log-likelihood there: ½ log det(2πe Σ)
  CHECK(fit.loss == Approx(std::log(2 * 3.14159265358979) + 1 +
                           0.5 * std::log(covariance(0, 0) * covariance(1, 1) - covariance(0, 1) * covariance(0, 1))));
  CHECK(fit.log_partition.status == sm::PartitionStatus::converged);
  CHECK(fit.loss == Approx(-sm::log_likelihood(fit.model, X, fit.log_partition).mean));
}

TEST_CASE("Maximum likelihood of a mixture is where expectation–maximisation stops") {
  const auto mixture = sm::energy_model(1, [](auto x, auto theta) {
    const auto component = [&](auto centre, auto log_precision) {
      return 0.5 * log_precision - 0.5 * exp(log_precision) * square(x[0] - centre);
    };
    const auto odds = theta("log_odds");
    return -log_sum_exp(sm::concat(odds + component(theta("left", sm::start_at(-1.0)), theta("left_log_precision")),
                                   component(theta("right", sm::start_at(2.0)), theta("right_log_precision"))));
  });
  sm::Stream stream({9});
  MatrixXd X(1, 200);
  for (Index i = 0; i < 200; ++i) X(0, i) = stream.uniform() < 0.3 ? -2 + 0.5 * stream.normal() : 1.5 + stream.normal();
  const auto fit = sm::fit(mixture, sm::maximum_likelihood{}, X);
  REQUIRE(fit.status == sm::FitStatus::converged);
  double share = 0.5, mean[2] = {-1, 2}, variance[2] = {1, 1};
  for (int round = 0; round < 2000; ++round) {
    double mass[2] = {}, sum[2] = {}, squares[2] = {};
    for (Index i = 0; i < 200; ++i) {
      double p[2];
      for (int k = 0; k < 2; ++k)
        p[k] = (k == 0 ? share : 1 - share) / std::sqrt(variance[k]) *
               std::exp(-0.5 * (X(0, i) - mean[k]) * (X(0, i) - mean[k]) / variance[k]);
      for (int k = 0; k < 2; ++k) {
        const double r = p[k] / (p[0] + p[1]);
        mass[k] += r;
        sum[k] += r * X(0, i);
        squares[k] += r * X(0, i) * X(0, i);
      }
    }
    share = mass[0] / 200;
    for (int k = 0; k < 2; ++k) {
      mean[k] = sum[k] / mass[k];
      variance[k] = squares[k] / mass[k] - mean[k] * mean[k];
    }
  }
  CHECK(fit.model.parameter("left")(0, 0) == Approx(mean[0]).epsilon(1e-4));
  CHECK(fit.model.parameter("right")(0, 0) == Approx(mean[1]).epsilon(1e-4));
  CHECK(std::exp(-fit.model.parameter("left_log_precision")(0, 0)) == Approx(variance[0]).epsilon(1e-3));
  const double odds = std::exp(fit.model.parameter("log_odds")(0, 0));
  CHECK(odds / (1 + odds) == Approx(share).epsilon(1e-3));
}

TEST_CASE("Standard errors of maximum likelihood are the sandwich of the closed form") {
  // N(m, e^{−a}): ∂ℓ/∂m = −e^a (x − m), ∂ℓ/∂a = ½ e^a (x − m)² − ½; H = diag(e^a, ½) at the estimate
  const auto normal =
      sm::energy_model(1, [](auto x, auto theta) { return 0.5 * exp(theta("a")) * square(x[0] - theta("m")); });
  const MatrixXd X = skewed_data(1, 150);
  const auto fit = sm::fit(normal, sm::maximum_likelihood{}, X);
  REQUIRE(fit.status == sm::FitStatus::converged);
  const auto errors = sm::standard_errors(fit, sm::maximum_likelihood{}, X);
  CHECK(errors.status == sm::ErrorStatus::identified);
  const double mean = X.mean(), variance = (X.array() - mean).square().mean();
  const Eigen::ArrayXd u = (X.row(0).transpose().array() - mean);
  const double var_mean = variance * 150 / 149 / 150,
               var_a = 4 * (0.25 * (u.square() / variance - 1).square().sum() / 149) / 150,
               both = 2 * variance * (-0.5 * (u / variance * (u.square() / variance - 1)).sum() / 149) / 150;
  CHECK(errors.covariance(0, 0) == Approx(var_a).epsilon(1e-4));
  CHECK(errors.covariance(1, 1) == Approx(var_mean).epsilon(1e-4));
  CHECK(errors.covariance(0, 1) == Approx(both).epsilon(1e-4));
  CHECK(errors.parameters[0].name == "a");
}

TEST_CASE("A compiled model and the recorded one have the same likelihood fit") {
  const auto formula = [](auto x, auto theta) {
    return 0.5 * exp(theta("a")) * squared_norm(x) + softplus(theta("b") * x[0]);
  };
  const MatrixXd X = skewed_data(2, 50);
  const auto recorded = sm::fit(sm::energy_model(2, formula), sm::maximum_likelihood{}, X);
  const auto compiled = sm::fit(sm::energy_model<2>(formula), sm::maximum_likelihood{}, X);
  CHECK((recorded.model.parameters() - compiled.model.parameters()).norm() < 1e-5);
}

TEST_CASE("Maximum likelihood from a model that is not normalisable ends with the evidence") {
  const auto flat = sm::energy_model(1, [](auto x, auto theta) { return theta("a") * square(x[0]); });
  const auto fit = sm::fit(flat, sm::maximum_likelihood{}, skewed_data(1, 20));
  CHECK(fit.status == sm::FitStatus::non_finite);
  CHECK(fit.log_partition.status == sm::PartitionStatus::not_normalisable);
  CHECK_FALSE(fit.log_partition.evidence.empty());
  // From a = 1 the wall at a = 0 is never crossed.
  const auto bowl =
      sm::energy_model(1, [](auto x, auto theta) { return theta("a", sm::start_at(1.0)) * square(x[0]); });
  const MatrixXd X = skewed_data(1, 20);
  const auto good = sm::fit(bowl, sm::maximum_likelihood{}, X);
  CHECK(good.status == sm::FitStatus::converged);
  CHECK(good.model.parameters()[0] == Approx(0.5 / (X.squaredNorm() / 20)).epsilon(1e-5));
}

TEST_CASE("A likelihood that grows without bound ends as diverged, whatever the samples agree in") {
  const MatrixXd X = skewed_data(2, 30);
  MatrixXd constant = X, multiple = X;
  constant.row(1).setConstant(4);
  multiple.row(0) = 3 * X.row(1).array() + 1;
  const auto status = [](Index d, const MatrixXd& data, Index iterations = 0) {
    const auto fit = sm::fit(sm::gaussian(d), sm::maximum_likelihood{}, data, {.iterations = iterations});
    CHECK(fit.iterations <= 100);
    CHECK(fit.loss < fit.history.front().loss);
    return fit.status;
  };
  CHECK(status(1, MatrixXd::Constant(1, 1, -0.7)) == sm::FitStatus::diverged);
  CHECK(status(1, MatrixXd::Constant(1, 9, 2.0)) == sm::FitStatus::diverged);
  CHECK(status(1, MatrixXd::Zero(1, 20)) == sm::FitStatus::diverged);
  CHECK(status(2, MatrixXd::Constant(2, 1, 2.0), 30) == sm::FitStatus::diverged);
  CHECK(status(2, constant) == sm::FitStatus::diverged);
  VectorXd unit;
  const MatrixXd flat = sm::likelihood::flat_directions(multiple, unit);
  REQUIRE(flat.cols() == 1);
  const VectorXd along = (flat.col(0).cwiseQuotient(unit).transpose() * multiple).transpose();
  CHECK(along.maxCoeff() - along.minCoeff() < 1e-12 * along.cwiseAbs().maxCoeff());
  CHECK(sm::likelihood::flat_directions(X, unit).cols() == 0);
  // A model whose width is fixed has a maximum there all the same.
  const auto mean_alone = sm::energy_model(1, [](auto x, auto theta) { return 0.5 * square(x[0] - theta("mean")); });
  for (const Index n : {1, 9}) {
    const auto fit = sm::fit(mean_alone, sm::maximum_likelihood{}, MatrixXd::Constant(1, n, 5.0));
    CHECK(fit.status == sm::FitStatus::converged);
    CHECK(fit.model.parameters()[0] == Approx(5));
  }
}

TEST_CASE("Samples and parameters at the ends of the numbers end a likelihood fit with a status") {
  auto scale = sm::energy_model(1, [](auto x, auto theta) { return 0.5 * exp(theta("k")) * square(x[0]); });
  MatrixXd X(1, 4);
  X << 1, -1, 2, -2;
  const auto tiny = sm::fit(scale, sm::maximum_likelihood{}, MatrixXd(1e-170 * X));
  CHECK(tiny.status != sm::FitStatus::converged);  // the optimum's precision, 1e340, is no number
  CHECK(sm::fit(scale, sm::maximum_likelihood{}, MatrixXd(1e-100 * X)).model.parameters()[0] ==
        Approx(200 * std::log(10.0) - std::log(2.5)).epsilon(1e-6));
  for (const double k : {800.0, std::numeric_limits<double>::quiet_NaN()}) {
    scale.set_parameters(VectorXd::Constant(1, k));
    const auto fit = sm::fit(scale, sm::maximum_likelihood{}, X);
    CHECK(fit.status == sm::FitStatus::non_finite);
    CHECK(fit.log_partition.status == sm::PartitionStatus::non_finite);
  }
}

TEST_CASE("Broken preconditions of maximum likelihood throw, naming the argument") {
  using Catch::Contains;
  const auto four = sm::energy_model(4, [](auto x, auto) { return squared_norm(x); });
  CHECK_THROWS_WITH(sm::fit(four, sm::maximum_likelihood{}, MatrixXd::Zero(4, 3)),
                    Contains("up to three dimensions; this model has 4"));
  CHECK_THROWS_WITH(sm::fit(quartic(2), sm::maximum_likelihood{}, MatrixXd::Zero(3, 3)), Contains("data has 3 rows"));
  CHECK_THROWS_WITH(sm::fit(quartic(2), sm::maximum_likelihood{.integral = {.tolerance = 2}}, MatrixXd::Zero(2, 3)),
                    Contains("tolerance is 2"));
  CHECK_THROWS_WITH(sm::likelihood_gradient(quartic(1), MatrixXd::Zero(1, 3), MatrixXd::Zero(2, 3)),
                    Contains("samples of the model has 2 rows"));
}
