// Log densities as functions of values: derivatives, far ends, what lies outside of a support, errors.
#include "catch.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/diagnostics/check_derivatives.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/posterior/log_density.hpp"
#include "value_functions.hpp"

namespace sm = scorematch;
namespace ld = sm::log_density;
using namespace fixtures;

namespace {

void check_slopes(const sm::EnergyModel& model, const Eigen::MatrixXd& X) {
  const auto report = sm::check_derivatives(model, X);
  INFO(report.text());
  CHECK(report.passed);
}

}  // namespace

TEST_CASE("log_add_exp is smooth and does not overflow") {
  const Function f = [](const Value& x) { return sm::log_add_exp(x[0], x[1]); };
  CHECK(at(f, {0.3, -1.2}) == Approx(std::log(std::exp(0.3) + std::exp(-1.2))).epsilon(1e-14));
  CHECK(at(f, {800, 799}) == Approx(800 + std::log1p(std::exp(-1.0))).epsilon(1e-14));
  CHECK(at(f, {-1e6, -1e6}) == Approx(-1e6 + std::log(2.0)).epsilon(1e-14));
  CHECK(at([](const Value& x) { return sm::log_add_exp(x[0], -infinity); }, {3}) == 3);
  CHECK(at([](const Value& x) { return sm::log_add_exp(where(x[0] > 0, -infinity, x[0]), -infinity); }, {3}) ==
        -infinity);
  Eigen::MatrixXd X(2, 3);
  X << 0.5, 1.0, -2.0, 0.5, 3.0, -2.0;  // two of them on the line where both are alike
  check_slopes(model_of(2, f), X);
  const Eigen::MatrixXd S = sm::score_of(model_of(2, f), X);
  CHECK(S(0, 0) == Approx(-0.5).epsilon(1e-14));
  CHECK(S(1, 2) == Approx(-0.5).epsilon(1e-14));
}

TEST_CASE("Derivatives of every density") {
  const Eigen::Vector3d y(0.4, 1.0, 2.6);
  const Eigen::Vector3i k(1, 0, 1);
  Eigen::MatrixXd X(3, 4);
  X << 0.4, -1.3, 2.2, 0.1, -0.5, 0.6, 1.1, -2.0, 0.2, 0.9, -0.8, 1.5;
  const std::vector<Function> functions = {
      [&](const Value& x) { return ld::normal(y, x[0], exp(x[1])); },
      [&](const Value& x) { return ld::student_t(y, exp(x[2]), x[0], exp(x[1])); },
      [&](const Value& x) { return ld::cauchy(x[0], y, exp(x[1])); },
      [&](const Value& x) { return ld::half_normal(exp(x[0]), exp(x[1])); },
      [&](const Value& x) { return ld::half_cauchy(exp(x[0]), exp(x[1])); },
      [&](const Value& x) { return ld::exponential(exp(x[0]), exp(x[1])); },
      [&](const Value& x) { return ld::gamma(exp(x[0]), exp(x[1]), exp(x[2])); },
      [&](const Value& x) { return ld::beta(sigmoid(x[0]), exp(x[1]), exp(x[2])); },
      [&](const Value& x) { return ld::uniform(sigmoid(x[0]), -exp(x[1]), 1.0 + exp(x[2])); },
      [&](const Value& x) { return ld::log_normal(exp(x[0]), x[1], exp(x[2])); },
      [&](const Value& x) { return ld::bernoulli_logit(k, y * x[0] + x[1]); },
      [&](const Value& x) { return ld::binomial_logit(k, 3, y * x[0] + x[1]); },
      [&](const Value& x) { return ld::poisson(k, exp(y * x[0] + x[1])); },
      [&](const Value& x) { return ld::poisson_log(k, y * x[0] + x[1]); },
      [&](const Value& x) { return ld::categorical(k, x); },
      [&](const Value& x) { return ld::categorical(2, x); },
      [&](const Value& x) { return ld::lkj(sm::correlation_cholesky(x, 3), 2.5); },
      [&](const Value& x) { return ld::lkj(sm::correlation_cholesky(x, 3), exp(x[0])); }};
  for (std::size_t i = 0; i < functions.size(); ++i) {
    INFO("function " << i);
    check_slopes(model_of(3, functions[i]), X);
  }
}

TEST_CASE("Far ends") {
  CHECK(at([](const Value& x) { return ld::normal(x, 0.0, 1.0); }, {1e6}) ==
        Approx(-0.5e12 - 0.5 * std::log(2 * pi)).epsilon(1e-15));
  CHECK(at([](const Value& x) { return ld::normal(0.0, 0.0, x); }, {1e-300}) ==
        Approx(300 * std::log(10.0) - 0.5 * std::log(2 * pi)).epsilon(1e-13));
  CHECK(at([](const Value& x) { return ld::normal(x, 0.0, 1e-300); }, {1e-300}) ==
        Approx(-0.5 + 300 * std::log(10.0) - 0.5 * std::log(2 * pi)).epsilon(1e-13));
  CHECK(at([](const Value& x) { return ld::cauchy(x, 0.0, 1.0); }, {-1e6}) ==
        Approx(-std::log(pi) - 12 * std::log(10.0)).epsilon(1e-12));
  CHECK(at([](const Value& x) { return ld::student_t(x, 1.0, 0.0, 1.0); }, {1e6}) ==
        Approx(-std::log(pi) - 12 * std::log(10.0)).epsilon(1e-12));
  // Many degrees of freedom: normal, up to the digits of log Γ(ν/2), which is 10⁷ here.
  CHECK(at([](const Value& x) { return ld::student_t(x, 1e6, 0.0, 1.0); }, {0.7}) ==
        Approx(-0.245 - 0.5 * std::log(2 * pi)).epsilon(1e-6));
  CHECK(at([](const Value& x) { return ld::gamma(x, 2.0, 1.0); }, {1e-300}) ==
        Approx(-300 * std::log(10.0)).epsilon(1e-13));
  CHECK(
      at([](const Value& x) { return ld::log_normal(x, 0.0, 1.0); }, {1e-300}) ==
      Approx(-0.5 * std::pow(300 * std::log(10.0), 2) + 300 * std::log(10.0) - 0.5 * std::log(2 * pi)).epsilon(1e-13));
  CHECK(at([](const Value& x) { return ld::beta(x, 2.0, 2.0); }, {1e-300}) ==
        Approx(std::log(6.0) - 300 * std::log(10.0)).epsilon(1e-13));
  for (const double l : {800.0, -800.0, 1e6}) {
    INFO(l);
    CHECK(at([](const Value& x) { return ld::bernoulli_logit(1, x); }, {l}) == Approx(std::min(l, 0.0)));
    CHECK(at([](const Value& x) { return ld::bernoulli_logit(0, x); }, {l}) == Approx(std::min(-l, 0.0)));
    CHECK(at([](const Value& x) { return ld::binomial_logit(1, 1, x); }, {l}) == Approx(std::min(l, 0.0)));
    CHECK(at([](const Value& x) { return ld::categorical(0, x); }, {l, 0.0}) == Approx(std::min(l, 0.0)));
  }
  CHECK(at([](const Value& x) { return ld::bernoulli_logit(1, x); }, {40}) == Approx(-std::exp(-40.0)).epsilon(1e-12));
  CHECK(at([](const Value& x) { return ld::categorical(0, x); }, {1e6, 1e6}) == Approx(-std::log(2.0)).epsilon(1e-12));
  CHECK(at([](const Value& x) { return ld::poisson_log(0, x); }, {-800}) == 0);
}

TEST_CASE("Outside of its support a density is 0, with slope 0") {
  const auto outside = [](const Function& f, double y) {
    const Eigen::MatrixXd X = Eigen::MatrixXd::Constant(1, 1, y);
    CHECK(sm::energy_of(model_of(1, f), X)[0] == -infinity);
    CHECK(std::isfinite(sm::score_of(model_of(1, f), X)(0, 0)));
  };
  for (const double y : {-1e-300, -2.0}) {
    outside([](const Value& x) { return ld::half_normal(x, 1); }, y);
    outside([](const Value& x) { return ld::half_cauchy(x, 1); }, y);
    outside([](const Value& x) { return ld::exponential(x, 1); }, y);
    outside([](const Value& x) { return ld::gamma(x, 2, 1); }, y);
    outside([](const Value& x) { return ld::log_normal(x, 0, 1); }, y);
    outside([](const Value& x) { return ld::beta(x, 2, 2); }, y);
    outside([](const Value& x) { return ld::uniform(x, 0, 1); }, y);
  }
  outside([](const Value& x) { return ld::beta(x, 2, 2); }, 1.5);
  outside([](const Value& x) { return ld::uniform(x, 0, 1); }, 1.5);
  CHECK(at([](const Value& x) { return ld::uniform(x, 0, 1); }, {1}) == 0);
  CHECK(at([](const Value& x) { return ld::exponential(x, 1); }, {0}) == 0);
  CHECK(std::isnan(at([](const Value& x) { return ld::exponential(log(x), 1); }, {-1})));
}

TEST_CASE("Numbers that a law does not allow are named") {
  const auto message = [](const Function& f) {
    try {
      (void)model_of(2, f);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  const auto names = [&](const Function& f, const std::string& words) {
    CHECK_THAT(message(f), Catch::Contains(words));
  };
  const Eigen::Vector2d bad(1, -1);
  names([](const Value& x) { return ld::normal(x, 0, 0); }, "normal: scale is 0");
  names([&](const Value& x) { return ld::normal(x, 0, bad); }, "normal: scale is -1 at element 1");
  names([](const Value& x) { return ld::normal(x, infinity, 1); }, "normal: mean");
  names([](const Value& x) { return ld::student_t(x, -1, 0, 1); }, "student_t: degrees");
  names([](const Value& x) { return ld::student_t(x, 1, 0, 0); }, "student_t: scale");
  names([](const Value& x) { return ld::cauchy(x, 0, -2); }, "cauchy: scale");
  names([](const Value& x) { return ld::half_normal(x, -2); }, "half_normal: scale");
  names([&](const Value& x) { return ld::half_normal(bad, exp(x)); }, "half_normal: y");
  names([](const Value& x) { return ld::half_cauchy(x, std::nan("")); }, "half_cauchy: scale");
  names([](const Value& x) { return ld::exponential(x, 0); }, "exponential: rate");
  names([](const Value& x) { return ld::exponential(-1, exp(x)); }, "exponential: y");
  names([](const Value& x) { return ld::gamma(x, 0, 1); }, "gamma: shape");
  names([](const Value& x) { return ld::gamma(x, 1, 0); }, "gamma: rate");
  names([](const Value& x) { return ld::gamma(0, 1, exp(x)); }, "gamma: y");
  names([](const Value& x) { return ld::beta(x, 0, 1); }, "beta: a");
  names([](const Value& x) { return ld::beta(x, 1, -1); }, "beta: b");
  names([](const Value& x) { return ld::beta(1, 1, exp(x)); }, "beta: y");
  names([](const Value& x) { return ld::uniform(x, 2, 2); }, "low must be below high");
  names([](const Value& x) { return ld::log_normal(-1, x, 1); }, "log_normal: y");
  names([](const Value& x) { return ld::bernoulli_logit(2, x); }, "bernoulli_logit: y is 2");
  names([](const Value& x) { return ld::bernoulli_logit(0.5, x); }, "whole number");
  names([](const Value& x) { return ld::binomial_logit(4, 3, x); }, "binomial_logit: y is 4 at element 0 of 3 trials");
  names([](const Value& x) { return ld::binomial_logit(-1, 3, x); }, "binomial_logit: y is -1");
  names([&](const Value& x) { return ld::poisson(bad, exp(x)); }, "poisson: y is -1 at element 1");
  names([](const Value& x) { return ld::poisson_log(0.5, x); }, "poisson_log: y is 0.5");
  names([](const Value& x) { return ld::categorical(2, x); }, "categorical: y is 2");
  names([](const Value& x) { return ld::lkj(x, 1.0); }, "lkj: the Cholesky factor has 2 elements");
  names([](const Value& x) { return ld::lkj(sm::correlation_cholesky(x[0], 2), 0.0); }, "lkj: eta");
}
