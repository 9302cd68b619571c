// Log densities as functions of values: closed forms, integrals and sums that are 1.
#include "catch.hpp"

#include <Eigen/LU>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/model/values.hpp"
#include "scorematch/posterior/domains.hpp"
#include "scorematch/posterior/log_density.hpp"
#include "scorematch/random/stream.hpp"
#include "value_functions.hpp"

namespace sm = scorematch;
namespace ld = sm::log_density;
using namespace fixtures;

namespace {

// Σ exp f over a grid of d dimensions from −`reach` to `reach`, times the cells' volume: the trapezoidal rule, whose
// error falls exponentially for functions that are analytic and vanish at the ends.
double integral(sm::Index d, const Function& f, double reach, double step) {
  const sm::Index n = static_cast<sm::Index>(2 * reach / step) + 1;
  sm::Index count = 1;
  for (sm::Index i = 0; i < d; ++i) count *= n;
  Eigen::MatrixXd X(d, count);
  for (sm::Index k = 0; k < count; ++k)
    for (sm::Index i = 0, rest = k; i < d; ++i, rest /= n) X(i, k) = -reach + step * static_cast<double>(rest % n);
  return sm::energy_of(model_of(d, f), X).array().exp().sum() * std::pow(step, static_cast<double>(d));
}

// ∫ exp f(x) dx over the line by x = sinh t: for heavy tails.
double integral_over_line(const Function& f) {
  return integral(
      1, [&](const Value& t) { return f(0.5 * (exp(t[0]) - exp(-t[0]))) + log(0.5 * (exp(t[0]) + exp(-t[0]))); }, 60,
      0.05);
}

// ∫ exp f(v) dv over a domain, by its map.
template <class Domain>
double integral_over(const Domain& domain, const Function& f, double reach, double step) {
  return integral(
      domain.free, [&](const Value& u) { return f(domain.value(u)) + domain.log_jacobian(u); }, reach, step);
}

}  // namespace

TEST_CASE("Continuous densities are their closed forms") {
  for (const double y : {-3.0, -0.2, 0.7, 4.0}) {
    const double z = (y - 0.5) / 2;
    CHECK(at([](const Value& x) { return ld::normal(x, 0.5, 2); }, {y}) ==
          Approx(std::log(std::exp(-z * z / 2) / (2 * std::sqrt(2 * pi)))).epsilon(1e-13));
    CHECK(at([](const Value& x) { return ld::student_t(x, 3, 0.5, 2); }, {y}) ==
          Approx(std::log(2 / (pi * std::sqrt(3.0) * std::pow(1 + z * z / 3, 2)) / 2)).epsilon(1e-13));
    CHECK(at([](const Value& x) { return ld::cauchy(x, 0.5, 2); }, {y}) ==
          Approx(-std::log(2 * pi * (1 + z * z))).epsilon(1e-13));
    CHECK(at([](const Value& x) { return ld::uniform(x, -3, 5); }, {y}) == Approx(-std::log(8.0)).epsilon(1e-13));
  }
  for (const double y : {0.03, 0.9, 2.5, 17.0}) {
    CHECK(at([](const Value& x) { return ld::half_normal(x, 3); }, {y}) ==
          Approx(std::log(2 / (3 * std::sqrt(2 * pi))) - y * y / 18).epsilon(1e-13));
    CHECK(at([](const Value& x) { return ld::half_cauchy(x, 3); }, {y}) ==
          Approx(-std::log(3 * pi / 2 * (1 + y * y / 9))).epsilon(1e-13));
    CHECK(at([](const Value& x) { return ld::exponential(x, 3); }, {y}) ==
          Approx(std::log(3.0) - 3 * y).epsilon(1e-13));
    CHECK(at([](const Value& x) { return ld::gamma(x, 4, 3); }, {y}) ==
          Approx(std::log(81.0 / 6 * y * y * y) - 3 * y).epsilon(1e-13));
    CHECK(at([](const Value& x) { return ld::log_normal(x, 1, 2); }, {y}) ==
          Approx(-std::pow((std::log(y) - 1) / 2, 2) / 2 - std::log(y * 2 * std::sqrt(2 * pi))).epsilon(1e-13));
  }
  for (const double y : {0.03, 0.5, 0.97})
    CHECK(at([](const Value& x) { return ld::beta(x, 2, 3); }, {y}) ==
          Approx(std::log(12 * y * (1 - y) * (1 - y))).epsilon(1e-12));
}

TEST_CASE("Parameters may be values, numbers or vectors; vectors add up") {
  const Eigen::Vector3d y(0.4, 1.0, 2.6), s(0.5, 1.0, 3.0);
  const Values x = {0.7, 1.3};  // a location and a scale
  const auto each = [&](const auto& one) {
    double all = 0;
    for (int i = 0; i < 3; ++i) all += one(i);
    return all;
  };
  const auto close = [](double found, double expected) { CHECK(found == Approx(expected).epsilon(1e-12)); };
  close(at([&](const Value& v) { return ld::normal(y, v[0], v[1]); }, x),
        each([&](int i) { return at([&](const Value& v) { return ld::normal(y[i], v[0], v[1]); }, x); }));
  close(at([&](const Value& v) { return ld::normal(v[0], y, s); }, x),
        each([&](int i) { return at([&](const Value& v) { return ld::normal(v[0], y[i], s[i]); }, x); }));
  close(at([&](const Value& v) { return ld::student_t(y, v[1], v[0], s); }, x),
        each([&](int i) { return at([&](const Value& v) { return ld::student_t(y[i], v[1], v[0], s[i]); }, x); }));
  close(at([&](const Value& v) { return ld::student_t(v[0], y, 0, v[1]); }, x),
        each([&](int i) { return at([&](const Value& v) { return ld::student_t(v[0], y[i], 0, v[1]); }, x); }));
  close(at([&](const Value& v) { return ld::cauchy(v[0], 0, s); }, x),
        each([&](int i) { return at([&](const Value& v) { return ld::cauchy(v[0], 0, s[i]); }, x); }));
  close(at([&](const Value& v) { return ld::gamma(y, v[1], s); }, x),
        each([&](int i) { return at([&](const Value& v) { return ld::gamma(y[i], v[1], s[i]); }, x); }));
  close(at([&](const Value& v) { return ld::gamma(v[1], s, y); }, x),
        each([&](int i) { return at([&](const Value& v) { return ld::gamma(v[1], s[i], y[i]); }, x); }));
  close(at([&](const Value& v) { return ld::beta(v[0], s, y); }, x),
        each([&](int i) { return at([&](const Value& v) { return ld::beta(v[0], s[i], y[i]); }, x); }));
  close(at([&](const Value& v) { return ld::exponential(y, v[1]); }, x),
        each([&](int i) { return at([&](const Value& v) { return ld::exponential(y[i], v[1]); }, x); }));
  close(at([&](const Value& v) { return ld::half_normal(y, v[1]); }, x),
        each([&](int i) { return at([&](const Value& v) { return ld::half_normal(y[i], v[1]); }, x); }));
  close(at([&](const Value& v) { return ld::half_cauchy(v[1], s); }, x),
        each([&](int i) { return at([&](const Value& v) { return ld::half_cauchy(v[1], s[i]); }, x); }));
  close(at([&](const Value& v) { return ld::log_normal(y, v[0], v[1]); }, x),
        each([&](int i) { return at([&](const Value& v) { return ld::log_normal(y[i], v[0], v[1]); }, x); }));
  close(at([&](const Value& v) { return ld::uniform(v[0], -y, s); }, {0.2, 1}), each([&](int i) {
          return at([&](const Value& v) { return ld::uniform(v[0], -y[i], s[i]); }, {0.2, 1});
        }));
}

// A grid's error is below 10⁻⁸ here: what the ends leave out, and what the rule does (see `integral`).
TEST_CASE("Densities integrate to 1, over their support and by the maps to it") {
  const auto is_one = [](double found) { CHECK(found == Approx(1).epsilon(1e-8)); };
  is_one(integral_over_line([](const Value& x) { return ld::normal(x, 0.3, 1.7); }));
  is_one(integral_over_line([](const Value& x) { return ld::student_t(x, 2.5, 0.3, 1.7); }));
  is_one(integral_over_line([](const Value& x) { return ld::cauchy(x, 0.3, 1.7); }));
  const sm::domain::above positive;
  is_one(integral_over(
      positive, [](const Value& v) { return ld::half_normal(v, 1.7); }, 40, 0.1));
  is_one(integral_over(
      positive, [](const Value& v) { return ld::half_cauchy(v, 1.7); }, 40, 0.1));
  is_one(integral_over(
      positive, [](const Value& v) { return ld::exponential(v, 1.7); }, 40, 0.1));
  is_one(integral_over(
      positive, [](const Value& v) { return ld::gamma(v, 0.7, 1.7); }, 40, 0.1));
  is_one(integral_over(
      positive, [](const Value& v) { return ld::gamma(v, 11.5, 0.3); }, 40, 0.1));
  is_one(integral_over(
      positive, [](const Value& v) { return ld::log_normal(v, 0.3, 1.7); }, 40, 0.1));
  is_one(integral_over(
      sm::domain::above{.low = -2.5}, [](const Value& v) { return ld::exponential(v + 2.5, 2); }, 40, 0.1));
  is_one(integral_over(
      sm::domain::interval{}, [](const Value& v) { return ld::beta(v, 0.8, 3.5); }, 36, 0.1));
  is_one(integral_over(
      sm::domain::interval{.low = -2, .high = 5}, [](const Value& v) { return ld::uniform(v, -2, 5); }, 36, 0.1));
  // 2! of two independent numbers in order; the flat law on the triangle, 2!.
  is_one(integral_over(
      sm::domain::ordered{}, [](const Value& v) { return ld::normal(v, 0.0, 1.0) + std::log(2.0); }, 22, 0.15));
  is_one(integral_over(
      sm::domain::simplex{.size = 3}, [](const Value& v) { return 0.0 * v[0] + std::log(2.0); }, 22, 0.2));
}

TEST_CASE("The LKJ law") {
  const auto lkj = [](double eta) { return [eta](const auto& cholesky) { return ld::lkj(cholesky, eta); }; };
  for (const double eta : {0.8, 1.0, 4.0}) {
    CHECK(integral_over(sm::domain::correlation{}, lkj(eta), 30, 0.1) == Approx(1).epsilon(1e-8));
    CHECK(integral_over(sm::domain::correlation{.order = 3}, lkj(eta), 12 / eta, 12 / eta / 40) ==
          Approx(1).epsilon(1e-8));
  }
  // Two variables: flat on (−1, 1); three: the volume of all correlation matrices is π²/2 (Rousseeuw & Molenberghs
  // 1994).
  const auto flat = [](sm::Index order) {
    return [order](const Value& u) { return ld::lkj(sm::correlation_cholesky(u, order), 1.0); };
  };
  CHECK(at(flat(2), {0.7}) == Approx(-std::log(2.0)).epsilon(1e-13));
  CHECK(at(flat(3), {0.7, -2.0, 0.3}) == Approx(-std::log(pi * pi / 2)).epsilon(1e-13));
  const sm::domain::correlation domain{.order = 4};
  Eigen::VectorXd u(6);
  u << 0.4, -1.2, 0.3, 2.0, -0.1, 0.8;
  Eigen::Matrix4d R = Eigen::Matrix4d::Identity();
  const Eigen::VectorXd below = domain.constrain(u);
  for (sm::Index i = 1, f = 0; i < 4; ++i)
    for (sm::Index j = 0; j < i; ++j, ++f) R(i, j) = R(j, i) = below[f];
  const Values point(u.data(), u.data() + 6);
  const auto at_eta = [&](double eta) {
    return at([&](const Value& x) { return ld::lkj(sm::correlation_cholesky(x, 4), eta); }, point);
  };
  const auto constant = [](double eta) { return ld::engine::log_lkj_constant(eta, 4); };
  CHECK(at_eta(2.5) + constant(2.5) == Approx(1.5 * std::log(R.determinant())).epsilon(1e-12));
  // L is R's factor: L times a vector has the length that R gives it.
  const Eigen::Vector4d v(0.3, -1.0, 2.0, 0.7);
  const double length = at(
      [&](const Value& x) {
        const auto vector = sm::concat(0.0 * x[0] + v[0], v[1], v[2], v[3]);
        return squared_norm(sm::lower_times(sm::correlation_cholesky(x, 4), vector));
      },
      point);
  Eigen::Matrix4d L = Eigen::Matrix4d::Zero();
  for (sm::Index i = 0; i < 4; ++i)
    for (sm::Index j = 0; j <= i; ++j)
      L(i, j) = at([&](const Value& x) { return sm::correlation_cholesky(x, 4)[i * (i + 1) / 2 + j]; }, point);
  CHECK((L * L.transpose() - R).norm() < 1e-13);
  CHECK(length == Approx((L * v).squaredNorm()).epsilon(1e-13));
}

TEST_CASE("Probabilities of counts and classes") {
  const double l = 0.8, p = 1 / (1 + std::exp(-l));
  double sum = 0;
  for (int k = 0; k <= 12; ++k) {
    const double found = at([&](const Value& x) { return ld::binomial_logit(k, 12, x); }, {l});
    CHECK(found == Approx(std::lgamma(13) - std::lgamma(k + 1) - std::lgamma(13 - k) + k * std::log(p) +
                          (12 - k) * std::log(1 - p))
                       .epsilon(1e-12));
    sum += std::exp(found);
  }
  CHECK(sum == Approx(1).epsilon(1e-12));
  CHECK(at([](const Value& x) { return ld::bernoulli_logit(1, x); }, {l}) == Approx(std::log(p)).epsilon(1e-13));
  CHECK(at([](const Value& x) { return ld::bernoulli_logit(0, x); }, {l}) == Approx(std::log(1 - p)).epsilon(1e-13));
  double rate_sum = 0, log_sum = 0;
  for (int k = 0; k < 80; ++k) {
    rate_sum += std::exp(at([&](const Value& x) { return ld::poisson(k, x); }, {7.5}));
    log_sum += std::exp(at([&](const Value& x) { return ld::poisson_log(k, x); }, {std::log(7.5)}));
  }
  CHECK(rate_sum == Approx(1).epsilon(1e-12));
  CHECK(log_sum == Approx(1).epsilon(1e-12));
  const Values logits = {0.3, -1.0, 2.0};
  double class_sum = 0;
  for (int k = 0; k < 3; ++k) class_sum += std::exp(at([&](const Value& x) { return ld::categorical(k, x); }, logits));
  CHECK(class_sum == Approx(1).epsilon(1e-13));

  // Vectors of data.
  const Eigen::Vector4i classes(2, 0, 2, 1), counts(3, 0, 7, 1), trials(5, 2, 7, 9), flags(1, 0, 0, 1);
  const Eigen::Vector4d slopes(0.1, -1, 2, 0.5);
  double by_class = 0, by_count = 0, by_rate = 0, by_trial = 0, by_flag = 0;
  for (int i = 0; i < 4; ++i) {
    by_class += at([&](const Value& x) { return ld::categorical(classes[i], x); }, logits);
    by_count += at([&](const Value& x) { return ld::poisson_log(counts[i], slopes[i] * x); }, {l});
    by_rate += at([&](const Value& x) { return ld::poisson(counts[i], x); }, {l});
    by_trial += at([&](const Value& x) { return ld::binomial_logit(counts[i], trials[i], x); }, {l});
    by_flag += at([&](const Value& x) { return ld::bernoulli_logit(flags[i], slopes[i] * x); }, {l});
  }
  CHECK(at([&](const Value& x) { return ld::categorical(classes, x); }, logits) == Approx(by_class).epsilon(1e-13));
  CHECK(at([&](const Value& x) { return ld::poisson_log(counts, slopes * x); }, {l}) ==
        Approx(by_count).epsilon(1e-13));
  CHECK(at([&](const Value& x) { return ld::poisson(counts, x); }, {l}) == Approx(by_rate).epsilon(1e-13));
  CHECK(at([&](const Value& x) { return ld::binomial_logit(counts, trials, x); }, {l}) ==
        Approx(by_trial).epsilon(1e-13));
  CHECK(at([&](const Value& x) { return ld::bernoulli_logit(flags, slopes * x); }, {l}) ==
        Approx(by_flag).epsilon(1e-13));
}

TEST_CASE("lgamma") {
  for (const double x : {1e-300, 1e-9, 0.3, 1.0, 1.4616, 2.0, 9.9999, 10.0, 37.5, 1e6, 1e300})
    CHECK(at([](const Value& v) { return lgamma(v); }, {x}) == Approx(std::lgamma(x)).epsilon(1e-14).margin(2e-14));
  CHECK(at([](const Value& v) { return lgamma(v); }, {0}) == infinity);
  CHECK(std::isnan(at([](const Value& v) { return lgamma(v); }, {-0.5})));
  const Eigen::MatrixXd one = Eigen::MatrixXd::Constant(1, 1, 1.0);
  const auto model = model_of(1, [](const Value& v) { return lgamma(v); });
  CHECK(sm::score_of(model, one)(0, 0) == Approx(0.5772156649015329).epsilon(1e-14));  // Euler's constant
  CHECK(sm::trace_of(model, one)(0) == Approx(-pi * pi / 6).epsilon(1e-14));
}

TEST_CASE("A logistic regression's score is that of the textbook") {
  constexpr sm::Index N = 768, k = 8;
  const Eigen::MatrixXd X = sm::Stream({.seed = 3}).normals(N * k).reshaped(N, k);
  const Eigen::VectorXd y = X.col(0).unaryExpr([](double number) { return number > 0 ? 1.0 : 0.0; });
  const auto posterior =
      sm::energy_model(k, [&](auto x, auto) { return -(ld::bernoulli_logit(y, X * x) + ld::normal(x, 0.0, 2.5)); });
  const Eigen::VectorXd beta = Eigen::VectorXd::LinSpaced(k, -0.4, 0.6);
  const Eigen::VectorXd p = 1 / (1 + (-(X * beta).array()).exp());
  const Eigen::VectorXd expected = X.transpose() * (y - p) - beta / 6.25;
  CHECK((sm::score_of(posterior, beta) - expected).norm() < 1e-10 * expected.norm());
}
