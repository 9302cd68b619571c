// The ready energies: their formulas by hand, their normalisers, what their parameters mean, and what they refuse.
// Integrals are trapezoidal sums of smooth integrands that vanish at the ends. Seeds are fixed: nothing fails by
// chance.
#include "catch.hpp"

#include <cmath>
#include <limits>
#include <string>

#include "fixtures.hpp"
#include "same_models.hpp"
#include "scorematch/diagnostics/check_derivatives.hpp"
#include "scorematch/energy/ready.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::message_of;
using same_models::agree;
using same_models::moved;
using same_models::points;
using sm::Index;

namespace {

const double pi = 3.14159265358979323846;

/// The parameter as numbers.
VectorXd numbers(const sm::EnergyModel& model, const std::string& name) { return model.parameter(name).reshaped(); }
double number(const sm::EnergyModel& model, const std::string& name) { return model.parameter(name)(0); }

/// Checks f and s = −∇f against a function of one point that returns f, its gradient by differences of order h⁴: the
/// derivatives are then held to check_derivatives.
template <class F>
void is_by_hand(const sm::EnergyModel& model, F f) {
  const Index d = model.dimension();
  const MatrixXd X = points(d, 7);
  VectorXd energies(7);
  MatrixXd scores(d, 7);
  for (Index i = 0; i < 7; ++i) {
    energies[i] = f(VectorXd(X.col(i)));
    for (Index j = 0; j < d; ++j) {
      const auto at = [&](double h) { return f(VectorXd(X.col(i) + h * VectorXd::Unit(d, j))); };
      const double h = 1e-3;
      scores(j, i) = -(8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
    }
  }
  agree("energy", sm::energy_of(model, X), energies, 1e-13);
  agree("score", sm::score_of(model, X), scores, 1e-7);
  const auto report = sm::check_derivatives(model, X);
  INFO(report.text());
  CHECK(report.passed);
}

/// log ∫ exp(−f) on [−reach, reach]ᵈ, d = 1 or 2.
double log_partition(const sm::EnergyModel& model, double reach, Index n) {
  const Index d = model.dimension();
  const double step = 2 * reach / static_cast<double>(n - 1);
  MatrixXd X(d, d == 1 ? n : n * n);
  for (Index i = 0; i < X.cols(); ++i) {
    X(0, i) = -reach + step * static_cast<double>(i % n);
    if (d == 2) X(1, i) = -reach + step * static_cast<double>(i / n);
  }
  return std::log((-sm::energy_of(model, X)).array().exp().sum()) + static_cast<double>(d) * std::log(step);
}

/// Lᵀu by its definition.
VectorXd upper_times(const VectorXd& log_diagonal, const VectorXd& below, const VectorXd& u) {
  const Index d = u.size();
  MatrixXd L = MatrixXd::Zero(d, d);
  Index at = 0;
  for (Index j = 0; j < d; ++j) {
    L(j, j) = std::exp(log_diagonal[j]);
    for (Index i = j + 1; i < d; ++i) L(i, j) = below[at++];
  }
  return L.transpose().lazyProduct(u);
}

VectorXd below_of(const sm::EnergyModel& model) {
  return model.dimension() == 1 ? VectorXd() : numbers(model, "below");
}

}  // namespace

// --- the formulas by hand ---

TEST_CASE("gaussian: by hand, its normaliser, and its precision") {
  for (const Index d : {1, 2, 4}) {
    const auto model = moved(sm::gaussian(d));
    is_by_hand(model, [&](const VectorXd& x) {
      return 0.5 *
             upper_times(numbers(model, "log_diagonal"), below_of(model), x - numbers(model, "mean")).squaredNorm();
    });
    if (d <= 2)
      CHECK(log_partition(model, 12, 241) ==
            Approx(0.5 * static_cast<double>(d) * std::log(2 * pi) - numbers(model, "log_diagonal").sum())
                .epsilon(1e-10));
    const VectorXd u = points(d, 1);
    CHECK(u.dot(sm::gaussian_precision(model).lazyProduct(u)) ==
          Approx(2 * sm::energy_of(model, MatrixXd(u + numbers(model, "mean")))[0]));
  }
  const Eigen::Matrix3d P = (Eigen::Matrix3d() << 2, 0.3, -0.2, 0.3, 1.5, 0.1, -0.2, 0.1, 1).finished();
  const Eigen::Vector3d mean(1, -2, 0.5);
  const auto model = sm::gaussian(3, {.mean = mean, .precision = P});
  agree("precision", sm::gaussian_precision(model), P, 1e-14);
  const MatrixXd X = points(3, 9), centred = X.colwise() - mean;
  agree("energy", sm::energy_of(model, X),
        VectorXd(0.5 * (centred.array() * P.lazyProduct(centred).array()).colwise().sum()), 1e-13);
}

TEST_CASE("gaussian_mixture: by hand, its normaliser, and its weights as shares") {
  for (const Index d : {1, 2, 3}) {
    const auto model = moved(sm::gaussian_mixture(d, {.components = 3, .spread = 2, .seed = 4}));
    is_by_hand(model, [&](const VectorXd& x) {
      const VectorXd w = numbers(model, "log_weights").array().exp();
      double p = 0;
      for (Index k = 0; k < 3; ++k) {
        const VectorXd log_diagonal = model.parameter("log_diagonals").col(k), mean = model.parameter("means").col(k);
        const VectorXd below = d == 1 ? VectorXd() : VectorXd(model.parameter("below").col(k));
        p += w[k] / w.sum() *
             std::exp(log_diagonal.sum() - 0.5 * upper_times(log_diagonal, below, x - mean).squaredNorm());
      }
      return -std::log(p);
    });
    if (d <= 2)
      CHECK(log_partition(model, 24, 641) == Approx(0.5 * static_cast<double>(d) * std::log(2 * pi)).epsilon(1e-10));
  }
  is_by_hand(sm::gaussian_mixture(2, {.components = 1}), [](const VectorXd& x) {
    return 0.5 * (x - numbers(sm::gaussian_mixture(2, {.components = 1}), "means")).squaredNorm();
  });

  // two components of different widths: each has its own share of the mass
  auto model = sm::gaussian_mixture(1, {.components = 2, .means = Eigen::RowVector2d(-10, 10)});
  auto parameters = model.named_parameters();
  for (auto& parameter : parameters) {
    if (parameter.name == "log_weights") parameter.values = Eigen::Vector2d(std::log(0.2) + 5, std::log(0.8) + 5);
    if (parameter.name == "log_diagonals") parameter.values = Eigen::Vector2d(1, -0.5);
  }
  model.set_named_parameters(parameters);
  const MatrixXd X = VectorXd::LinSpaced(4001, -10, 10).transpose().array() - 10.0;
  const double left = (-sm::energy_of(model, X)).array().exp().sum() * 0.005 / std::sqrt(2 * pi);
  CHECK(left == Approx(0.2).epsilon(1e-6));
}

TEST_CASE("double_well: by hand, and its normaliser") {
  for (const Index d : {1, 2, 3}) {
    const auto model = moved(sm::double_well(d, {.height = 1.5, .width = 1.3, .stiffness = 2}));
    const double h = std::exp(number(model, "log_height")), w = std::exp(number(model, "log_width")),
                 k = d == 1 ? 1 : std::exp(number(model, "log_stiffness"));
    is_by_hand(model, [&](const VectorXd& x) {
      return h * std::pow(x[0] * x[0] / (w * w) - 1, 2) + 0.5 * k * x.tail(d - 1).squaredNorm();
    });
    const double plus = std::cyl_bessel_i(0.25, h / 2),  // I_{−ν} = I_ν + (2/π) sin(νπ) K_ν
        minus = plus + 2 / pi * std::sin(0.25 * pi) * std::cyl_bessel_k(0.25, h / 2);
    if (d <= 2)
      CHECK(log_partition(model, 8, 321) == Approx(std::log(w * pi / 2 * (plus + minus)) - h / 2 +
                                                   0.5 * static_cast<double>(d - 1) * std::log(2 * pi / k))
                                                .epsilon(1e-10));
  }
}

TEST_CASE("banana: by hand, its normaliser and its moments") {
  for (const Index d : {2, 4}) {
    const auto model = moved(sm::banana(d, {.along = 0.9, .across = 0.6, .bend = 0.5}));
    const double s = std::exp(number(model, "log_along")), t = std::exp(number(model, "log_across")),
                 b = number(model, "bend");
    is_by_hand(model, [&](const VectorXd& x) {
      return 0.5 * std::pow(x[0] / s, 2) + 0.5 * std::pow((x[1] - b * (x[0] * x[0] - s * s)) / t, 2) +
             0.5 * x.tail(d - 2).squaredNorm();
    });
    if (d > 2) continue;
    const double reach = 40;
    const Index n = 801;
    CHECK(log_partition(model, reach, n) == Approx(std::log(2 * pi * s * t)).epsilon(1e-9));
    MatrixXd X(2, n * n);
    for (Index i = 0; i < n * n; ++i)
      X.col(i) << -reach + 0.1 * static_cast<double>(i % n), -reach + 0.1 * static_cast<double>(i / n);
    Eigen::ArrayXd p = (-sm::energy_of(model, X)).array().exp();
    p /= p.sum();
    const Eigen::ArrayXd x = X.row(0).transpose(), y = X.row(1).transpose();
    CHECK(std::abs((p * y).sum()) < 1e-9);
    CHECK((p * x * x).sum() == Approx(s * s).epsilon(1e-9));
    CHECK((p * y * y).sum() == Approx(t * t + 2 * b * b * std::pow(s, 4)).epsilon(1e-9));
    CHECK(std::abs((p * x * y).sum()) < 1e-9);
  }
}

TEST_CASE("ring: by hand, and its normaliser") {
  for (const Index d : {1, 2, 3}) {
    const auto model = moved(sm::ring(d, {.radius = 1.5, .width = 0.5}));
    const double r = std::exp(number(model, "log_radius")), w = std::exp(number(model, "log_width"));
    is_by_hand(model, [&](const VectorXd& x) { return 0.5 * std::pow((x.squaredNorm() - r * r) / (2 * r * w), 2); });
    if (d == 2)
      CHECK(log_partition(model, 6, 601) ==
            Approx(std::log(pi * std::sqrt(2 * pi) * 2 * r * w * 0.5 * std::erfc(-r / (2 * w) / std::sqrt(2))))
                .epsilon(1e-9));
  }
  // 0.3 wide, as its option says
  const auto model = sm::ring(2, {.radius = 100, .width = 0.3});
  CHECK(sm::energy_of(model, Eigen::MatrixXd(Eigen::Vector2d(100.3, 0)))[0] == Approx(0.5).epsilon(0.005));
}

TEST_CASE("student_t: by hand, and its normaliser") {
  for (const Index d : {1, 3}) {
    const auto model = moved(sm::student_t(d, {.degrees = 20}));
    const double nu = std::exp(number(model, "log_degrees")), n = static_cast<double>(d);
    is_by_hand(model, [&](const VectorXd& x) {
      const double square =
          upper_times(numbers(model, "log_diagonal"), below_of(model), x - numbers(model, "mean")).squaredNorm();
      return 0.5 * (nu + n) * std::log(1 + square / nu);
    });
    if (d == 1)
      CHECK(log_partition(model, 200, 40001) ==
            Approx(std::lgamma(nu / 2) - std::lgamma((nu + n) / 2) + 0.5 * n * std::log(nu * pi) -
                   numbers(model, "log_diagonal").sum())
                .epsilon(1e-9));
  }
}

TEST_CASE("pairwise_quartic: by hand") {
  for (const Index d : {1, 2, 4}) {
    const auto model = moved(sm::pairwise_quartic(d));
    is_by_hand(model, [&](const VectorXd& x) {
      double f = 0;
      for (Index i = 0; i < d; ++i) {
        f += numbers(model, "linear")[i] * x[i] + numbers(model, "quadratic")[i] * x[i] * x[i] +
             numbers(model, "quartic")[i] * std::pow(x[i], 4);
        for (Index j = 0; j < i; ++j)
          f += numbers(model, "pair")[sm::detail::pair_place(d, i, j)] * x[i] * x[j] +
               numbers(model, "pair_quartic")[sm::detail::pair_place(d, j, i)] * x[i] * x[i] * x[j] * x[j];
      }
      return f;
    });
  }
  CHECK(sm::energy_of(sm::pairwise_quartic(3), MatrixXd(Eigen::Vector3d(1, 2, 3)))[0] == 7);
}

TEST_CASE("gaussian_bernoulli_rbm: by hand, and its normaliser as a sum over hidden states") {
  const auto cold = moved(sm::gaussian_bernoulli_rbm(3, {.hidden = 4, .sigma = 0.6}));
  is_by_hand(cold, [&](const VectorXd& x) {
    const VectorXd a = cold.parameter("weights").lazyProduct(x) + numbers(cold, "hidden_bias");
    return -(numbers(cold, "visible_bias").dot(x) - 0.5 * x.squaredNorm() + a.array().exp().log1p().sum()) / 0.36;
  });

  const auto model = moved(sm::gaussian_bernoulli_rbm(2, {.hidden = 3}));
  const MatrixXd W = model.parameter("weights");
  double states = 0;
  for (int state = 0; state < 8; ++state) {
    const Eigen::Vector3d h(state & 1, state >> 1 & 1, state >> 2 & 1);
    const VectorXd centre = numbers(model, "visible_bias") + W.transpose().lazyProduct(h);
    states += std::exp(h.dot(numbers(model, "hidden_bias")) + 0.5 * centre.squaredNorm());
  }
  CHECK(log_partition(model, 14, 281) == Approx(std::log(2 * pi * states)).epsilon(1e-10));
}

TEST_CASE("mlp_energy: a perceptron in a bowl") {
  const auto model = moved(sm::mlp_energy(2, {.hidden = {4}, .seed = 2}));
  is_by_hand(model, [&](const VectorXd& x) {
    const VectorXd h =
        (model.parameter("mlp.weight1").lazyProduct(x) + numbers(model, "mlp.bias1")).array().tanh().matrix();
    return numbers(model, "mlp.weight2").dot(h) + number(model, "mlp.bias2") +
           0.5 * std::exp(number(model, "log_bowl")) * x.squaredNorm();
  });
  CHECK(std::isfinite(log_partition(model, 12, 121)));
}

// --- use and misuse ---

TEST_CASE("Inside a formula, with names, and as float") {
  const auto model = sm::energy_model(2, [](auto x, auto theta) {
    return sm::ring(x, sm::named("outer", theta)) + 0.1 * sm::ring(x, sm::named("inner", theta), {.radius = 1});
  });
  CHECK(number(model, "outer.log_radius") == Approx(std::log(2.0)));
  CHECK(number(model, "inner.log_radius") == 0);
  const auto mixture = moved(sm::gaussian_mixture(2, {.components = 3}));
  agree("float", sm::score_of(mixture, points<float>(2, 20)), sm::score_of(mixture, points(2, 20)), 1e-5);
}

TEST_CASE("Options out of range are named") {
  CHECK_THAT(message_of([] { (void)sm::gaussian(0); }), ContainsSubstring("dimension is 0"));
  CHECK_THAT(message_of([] { (void)sm::gaussian(2, {.mean = VectorXd::Zero(3)}); }),
             ContainsSubstring("GaussianOptions: mean has 3 numbers; the dimension is 2"));
  CHECK_THAT(message_of([] { (void)sm::gaussian(2, {.precision = MatrixXd::Identity(3, 3)}); }),
             ContainsSubstring("GaussianOptions: precision is 3 × 3"));
  CHECK_THAT(message_of([] { (void)sm::gaussian(2, {.precision = -MatrixXd::Identity(2, 2)}); }),
             ContainsSubstring("not symmetric and positive definite"));
  CHECK_THAT(message_of([] {
               (void)sm::gaussian(2, {.precision = Eigen::Matrix2d{{1, 0.5}, {0.2, 1}}});
             }),
             ContainsSubstring("not symmetric and positive definite"));
  CHECK_THAT(message_of([] { (void)sm::gaussian_mixture(2, {.components = 0}); }),
             ContainsSubstring("components is 0"));
  CHECK_THAT(message_of([] { (void)sm::gaussian_mixture(2, {.components = 3, .means = MatrixXd::Zero(2, 2)}); }),
             ContainsSubstring("means is 2 × 2; it must be 2 × 3"));
  CHECK_THAT(message_of([] { (void)sm::gaussian_mixture(2, {.spread = 0}); }), ContainsSubstring("spread is 0"));
  CHECK_THAT(message_of([] { (void)sm::double_well(1, {.height = -1}); }), ContainsSubstring("height is -1"));
  CHECK_THAT(message_of([] { (void)sm::double_well(1, {.width = 0}); }), ContainsSubstring("width is 0"));
  CHECK_THAT(message_of([] { (void)sm::double_well(2, {.stiffness = 0}); }), ContainsSubstring("stiffness is 0"));
  CHECK_THAT(message_of([] { (void)sm::banana(1); }), ContainsSubstring("banana: dimension is 1"));
  CHECK_THAT(message_of([] { (void)sm::banana(2, {.along = 0}); }), ContainsSubstring("along is 0"));
  CHECK_THAT(message_of([] { (void)sm::banana(2, {.across = -2}); }), ContainsSubstring("across is -2"));
  CHECK_THAT(message_of([] { (void)sm::banana(2, {.bend = std::nan("")}); }), ContainsSubstring("bend is nan"));
  CHECK_THAT(message_of([] { (void)sm::ring(2, {.radius = 0}); }), ContainsSubstring("radius is 0"));
  CHECK_THAT(message_of([] { (void)sm::ring(2, {.width = HUGE_VAL}); }), ContainsSubstring("width is inf"));
  CHECK_THAT(message_of([] { (void)sm::student_t(2, {.degrees = 0}); }), ContainsSubstring("degrees is 0"));
  CHECK_THAT(message_of([] { (void)sm::gaussian_bernoulli_rbm(2, {.hidden = 0}); }), ContainsSubstring("hidden is 0"));
  CHECK_THAT(message_of([] { (void)sm::gaussian_bernoulli_rbm(2, {.sigma = 0}); }), ContainsSubstring("sigma is 0"));
  CHECK_THAT(message_of([] { (void)sm::mlp_energy(2, {.outputs = 2}); }), ContainsSubstring("outputs is 2"));
  CHECK_THAT(message_of([] { (void)sm::detail::pair_place(3, 1, 1); }),
             ContainsSubstring("pair_place: i is 1 and j is 1"));
  CHECK_THAT(message_of([] { (void)sm::detail::pair_place(3, 3, 1); }), ContainsSubstring("from 0 to 2"));
  CHECK_THAT(message_of([] {
               (void)sm::energy_model(2, [](auto x, auto theta) { return x[0] * column(theta("A", 2, 2), 2)[0]; });
             }),
             ContainsSubstring("a formula takes column 2 of a 2 × 2 matrix; it has 2"));
}
