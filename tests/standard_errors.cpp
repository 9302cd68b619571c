// Standard errors: the sandwich is the one made by hand, and parameters that the data do not tell are named (how often
// intervals cover the truth: coverage.cpp). Seeds are fixed.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "fixtures.hpp"
#include "scorematch/energy/natural_gaussian.hpp"
#include "scorematch/energy/student_t.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/inference/standard_errors.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::message_of;
using fixtures::normals;
using sm::ErrorStatus;
using sm::Index;
using sm::Weakness;

namespace {

const sm::implicit_score_matching implicit;

/// The sandwich by hand: H by differences of sm::loss's gradient, V from one sm::loss a sample.
template <class M, class O>
MatrixXd sandwich(const M& model, const O& objective, const MatrixXd& X) {
  const VectorXd theta = model.parameters();
  const Index p = theta.size(), n = X.cols();
  const auto gradient = [&](const VectorXd& at, Index column) {
    M moved = model;
    moved.set_parameters(at);
    const std::vector<Index> one = {column};
    return VectorXd(column < 0
                        ? sm::loss_and_gradient(moved, objective, X).gradient
                        : sm::loss_and_gradient(moved, objective, X, {.columns = {one.data(), one.size()}}).gradient);
  };
  MatrixXd H(p, p), G(p, n);
  for (Index k = 0; k < p; ++k)
    H.col(k) =
        (gradient(theta + 1e-5 * VectorXd::Unit(p, k), -1) - gradient(theta - 1e-5 * VectorXd::Unit(p, k), -1)) / 2e-5;
  for (Index i = 0; i < n; ++i) G.col(i) = gradient(theta, i);
  const MatrixXd centred = G.colwise() - G.rowwise().mean();
  const MatrixXd V = centred * centred.transpose() / static_cast<double>(n - 1), K = H.inverse();
  return K * V * K.transpose() / static_cast<double>(n);
}

/// w N(−m, 1) + (1 − w) N(m, 1), its weight and centres free
sm::EnergyModel two_modes(double m) {
  return sm::energy_model(1, [m](auto x, auto theta) {
    auto odds = theta("log_odds");
    auto centre = theta("centre", Eigen::Vector2d(-m, m));
    return -log_sum_exp(sm::concat(-softplus(-odds) - 0.5 * square(x[0] - centre[0]),
                                   -softplus(odds) - 0.5 * square(x[0] - centre[1])));
  });
}

MatrixXd two_modes_data(double m, Index n) {
  MatrixXd X(1, n);
  for (Index i = 0; i < n; ++i) {
    sm::Stream stream({1, sm::extend::Purpose::user}, i);
    X(0, i) = (stream.uniform() < 0.3 ? -m : m) + stream.normal();
  }
  return X;
}

}  // namespace

TEST_CASE("The sandwich is the one made by hand, for linear and other models and every loss") {
  const MatrixXd X = normals(2, 203, 1) * 1.2;
  const auto check = [&](auto model, const auto& objective) {
    const auto fit = sm::fit(model, objective, X, {.tolerance = 1e-9});
    const auto errors = sm::standard_errors(fit, objective, X);
    const MatrixXd expected = sandwich(fit.model, objective, X);
    INFO(errors.text());
    CHECK((errors.covariance - expected).norm() <= 1e-6 * expected.norm());
    CHECK(errors.status == ErrorStatus::identified);
    CHECK(errors.weak.empty());
    CHECK(errors.samples == 203);
    for (Index k = 0; k < expected.rows(); ++k) {
      const auto& error = errors.parameters[static_cast<std::size_t>(k)];
      CHECK(error.standard_error == Approx(std::sqrt(expected(k, k))).epsilon(1e-5));
      CHECK(error.upper - error.estimate == Approx(1.959963984540054 * error.standard_error));
      CHECK(error.estimate - error.lower == Approx(1.959963984540054 * error.standard_error));
      CHECK(error.estimate == fit.model.parameters()[k]);
    }
  };
  const auto linear = sm::energy_model(2, [](auto x, auto theta) {
    return dot(theta("k", 2), square(x)) + dot(theta("q", 2), square(square(x))) - theta("h") * x[0] + 0.1 * x[1];
  });
  const auto curved = sm::energy_model(
      2, [](auto x, auto theta) { return 0.5 * dot(exp(theta("log_k", 2)), square(x - theta("m", 2))); });
  const sm::denoising_score_matching denoising{.sigma = 0.5, .frozen = true};
  const sm::sliced_score_matching sliced{.projections = 2, .exact_norm = false, .frozen = true};
  check(linear, implicit);
  check(linear, denoising);
  check(curved, implicit);
  check(curved, denoising);
  check(curved, sliced);
}

TEST_CASE("Errors are named, and made into a table; a level sets the interval's width") {
  const MatrixXd X = normals(2, 500, 2);
  const auto model = sm::energy_model(
      2, [](auto x, auto theta) { return 0.5 * theta("k") * squared_norm(x) - dot(theta("h", 2), x); });
  const auto fit = sm::closed_form(model, implicit, X);
  const auto errors = sm::standard_errors(fit, implicit, X);
  REQUIRE(errors.parameters.size() == 3);
  CHECK(errors.parameters[0].name == "h[0]");
  CHECK(errors.parameters[1].name == "h[1]");
  CHECK(errors.parameters[2].name == "k");
  CHECK_THAT(errors.text(), ContainsSubstring("h[1]") && !ContainsSubstring("warning"));
  const auto narrow = sm::standard_errors(fit, implicit, X, {.level = 0.5});
  CHECK((narrow.parameters[2].upper - narrow.parameters[2].lower) / (2 * narrow.parameters[2].standard_error) ==
        Approx(0.6744897501960817));
  CHECK(errors.remaining_step.norm() < 1e-10);
  // A gradient that is not 0: the step that is left is the way to the minimum, since the loss is quadratic.
  auto moved = fit.model;
  moved.set_parameters(fit.model.parameters() + Eigen::Vector3d(0.01, -0.02, 0.03));
  CHECK((sm::standard_errors(moved, implicit, X).remaining_step + Eigen::Vector3d(0.01, -0.02, 0.03)).norm() < 1e-10);
}

TEST_CASE("The same bits for any number of threads; float data") {
  const MatrixXd X = normals(2, 1000, 3);
  const auto model = sm::energy_model(
      2, [](auto x, auto theta) { return 0.5 * exp(theta("log_k")) * squared_norm(x - theta("m", 2)); });
  const auto fit = sm::fit(model, implicit, X, {.tolerance = 1e-9});
  const auto errors = sm::standard_errors(fit, implicit, X);
#ifdef _OPENMP
  const int before = omp_get_max_threads();
  for (const int threads : {1, 3}) {
    omp_set_num_threads(threads);
    CHECK(sm::standard_errors(fit, implicit, X).covariance == errors.covariance);
  }
  omp_set_num_threads(before);
#endif
  const Eigen::MatrixXf X_float = X.cast<float>();
  const auto in_float = sm::standard_errors(fit, implicit, X_float);
  CHECK(in_float.status == ErrorStatus::identified);
  CHECK((in_float.covariance - errors.covariance).norm() <= 1e-3 * errors.covariance.norm());
}

// --- what is not identified ---

TEST_CASE("The weight of separated modes is flagged, its centres are not; overlapping modes are identified") {
  for (const double m : {1.5, 2.0}) {
    const MatrixXd X = two_modes_data(m, 10000);
    const auto fit = sm::fit(two_modes(m), implicit, X);
    const auto errors = sm::standard_errors(fit, implicit, X);
    INFO("m = " << m << "\n" << errors.text());
    CHECK(errors.status == ErrorStatus::identified);
    CHECK(std::abs(errors.parameters[2].estimate - std::log(0.3 / 0.7)) < 5 * errors.parameters[2].standard_error);
  }
  for (const double m : {4.0, 5.0, 6.0}) {
    const MatrixXd X = two_modes_data(m, 10000);
    const auto fit = sm::fit(two_modes(m), implicit, X);
    const auto errors = sm::standard_errors(fit, implicit, X);
    INFO("m = " << m << "\n" << errors.text());
    CHECK(errors.status == ErrorStatus::not_identified);
    REQUIRE(errors.weak.size() == 1);
    CHECK(errors.weak[0].text == "log_odds");
    CHECK(errors.weak[0].weakness == Weakness::few_samples);
    CHECK_THAT(errors.text(), ContainsSubstring("warning: log_odds: the estimate rests on about"));
    CHECK(errors.parameters[0].effective_samples > 500);
  }
}

TEST_CASE("Flat directions have infinite errors and are named; the others keep theirs") {
  const MatrixXd X = normals(2, 400, 5);
  const auto check = [&](auto model, const std::string& direction, Index flat_a, Index flat_b, Index kept) {
    const auto fit = sm::fit(model, implicit, X);
    const auto errors = sm::standard_errors(fit, implicit, X);
    INFO(errors.text());
    CHECK(errors.status == ErrorStatus::not_identified);
    REQUIRE(errors.weak.size() == 1);
    CHECK(errors.weak[0].weakness == Weakness::flat);
    CHECK(errors.weak[0].text == direction);
    const auto at = [&](Index k) { return errors.parameters[static_cast<std::size_t>(k)]; };
    CHECK(std::isinf(at(flat_a).standard_error));
    CHECK(std::isinf(at(flat_b).standard_error));
    CHECK(at(flat_a).lower == -std::numeric_limits<double>::infinity());
    CHECK(at(kept).standard_error == Approx(std::sqrt(2.0 / 400)).epsilon(0.5));
  };
  check(sm::energy_model(2,
                         [](auto x, auto theta) {
                           return 0.5 * (theta("a") + theta("b")) * square(x[0]) + 0.5 * theta("c") * square(x[1]);
                         }),
        "0.707 a − 0.707 b", 0, 1, 2);
  // Not linear: k = exp(a + b)
  check(sm::energy_model(2,
                         [](auto x, auto theta) {
                           return 0.5 * exp(theta("a") + theta("b")) * square(x[0]) + 0.5 * theta("c") * square(x[1]);
                         }),
        "0.707 a − 0.707 b", 0, 1, 2);
  check(sm::energy_model(2,
                         [](auto x, auto theta) {
                           return 0.5 * exp(theta("k")) * square(x[0]) + 0.5 * theta("c") * square(x[1]) +
                                  tanh(theta("offset"));
                         }),
        "offset", 2, 2, 0);
}

TEST_CASE("An interval over which the curvature changes much is flagged") {
  // f = sigmoid(a) x² on data of variance 0.5025: the optimum, sigmoid(a) = 0.995, is near the end of what a can say.
  MatrixXd X = normals(1, 300, 6);
  X *= std::sqrt(0.5025 * 300) / X.norm();
  const auto model =
      sm::energy_model(1, [](auto x, auto theta) { return sigmoid(theta("a", sm::start_at(3.0))) * square(x[0]); });
  const auto errors = sm::standard_errors(sm::fit(model, implicit, X, {.tolerance = 1e-10}), implicit, X);
  INFO(errors.text());
  CHECK(errors.status == ErrorStatus::not_identified);
  REQUIRE(errors.weak.size() == 1);
  CHECK(errors.weak[0].weakness == Weakness::not_quadratic);
}

TEST_CASE("No minimum, no finite gradient") {
  const MatrixXd X = normals(1, 300, 7);
  const auto model =
      sm::energy_model(1, [](auto x, auto theta) { return 0.5 * theta("k", sm::start_at(3.0)) * square(x[0]); });
  CHECK(sm::standard_errors(model, implicit, X).status == ErrorStatus::not_a_minimum);  // far from k = 1
  const auto saddle = sm::energy_model(1, [](auto x, auto theta) { return 0.5 * square(x[0]) * cos(theta("a")); });
  CHECK(sm::standard_errors(saddle, implicit, X).status != ErrorStatus::identified);
  // The best a is −∞ (there is no such term in the data's density): wherever a fit stops, it has not arrived.
  const auto endless = sm::energy_model(2, [](auto x, auto theta) {
    return 0.5 * exp(theta("log_k")) * squared_norm(x - theta("m", 2)) +
           0.1 * exp(theta("a")) * square(x[0]) * square(x[1]);
  });
  const MatrixXd plane = normals(2, 203, 1) * 1.2;
  const auto stopped = sm::standard_errors(sm::fit(endless, implicit, plane), implicit, plane);
  INFO(stopped.text());
  CHECK(stopped.status != ErrorStatus::identified);
  const auto wall = sm::energy_model(1, [](auto x, auto theta) { return sqrt(theta("a")) * square(x[0]); });  // a = 0
  const auto errors = sm::standard_errors(wall, implicit, X);
  CHECK(errors.status == ErrorStatus::non_finite);
  CHECK(std::isinf(errors.parameters[0].standard_error));
  CHECK_THAT(errors.text(), ContainsSubstring("warning"));
}

TEST_CASE("Where a fit stopped beside a flat minimum the parameter is open, not theta no minimum") {
  // Normal data: the best ν of a Student t is ∞, and the loss falls to it like 1/ν.
  for (const Index d : {2, 3})
    for (const std::uint64_t seed : {11u, 12u, 13u}) {
      const MatrixXd X = normals(d, 400, seed);
      auto model = sm::student_t(d, {.degrees = 1e9});
      VectorXd theta = model.parameters();
      const auto normal = sm::closed_form(sm::natural_gaussian(d), implicit, X);
      const auto start = sm::gaussian(d, sm::natural_gaussian_moments(normal.model));
      for (const auto& [name, value] :
           {std::pair("mean", start.parameter("mean")), std::pair("log_diagonal", start.parameter("log_diagonal")),
            std::pair("below", start.parameter("below"))}) {
        auto all = model.named_parameters();
        for (auto& block : all)
          if (block.name == name) block.values = value;
        model.set_named_parameters(all);
      }
      // The fit is right but for its last digits.
      for (const double left : {0.0, 1e-8, 1e-6}) {
        auto stopped = model;
        stopped.set_parameters(model.parameters() + left * normals(model.parameters().size(), 1, seed + 100));
        const auto errors = sm::standard_errors(stopped, implicit, X);
        INFO("d = " << d << ", seed " << seed << ", " << left << "\n" << errors.text());
        CHECK(errors.status == ErrorStatus::not_identified);
        bool named = false;
        for (const auto& weak : errors.weak) named = named || weak.text == "log_degrees";
        CHECK(named);
        for (const auto& error : errors.parameters)
          if (error.name == "mean[0]") CHECK(error.standard_error == Approx(std::sqrt(1.0 / 400)).epsilon(0.5));
      }
    }
  // Six directions of which the loss does not know, at a θ that is near its minimum
  const MatrixXd X = normals(2, 300, 14);
  const auto many = sm::energy_model(2, [](auto x, auto theta) {
    auto k = theta("k", 7);
    return 0.5 * exp(sum(k) + 0.1 * sum(square(k)) - 0.1 * sum(square(k))) * squared_norm(x - theta("m", 2));
  });
  const auto fit = sm::fit(many, implicit, X, {.tolerance = 1e-9});
  for (const double left : {0.0, 1e-7, 1e-5}) {
    auto stopped = fit.model;
    stopped.set_parameters(fit.model.parameters() + left * normals(9, 1, 15));
    const auto errors = sm::standard_errors(stopped, implicit, X);
    INFO(left << "\n" << errors.text());
    CHECK(errors.status == ErrorStatus::not_identified);
    CHECK(errors.weak.size() == 6);
  }
  // Beside a valley its floor is curved by as much as the gradient is away from 0, up or down: k = a b c
  const auto valley = sm::energy_model(2, [](auto x, auto theta) {
    const auto one = sm::start_at(1);
    return 0.5 * theta("a", one) * theta("b", one) * theta("c", one) * squared_norm(x);
  });
  const double best = 2 * 300 / X.squaredNorm();
  for (const double beside : {-1e-5, -1e-6, 1e-6, 1e-5}) {
    auto at = valley;
    at.set_parameters(Eigen::Vector3d(0.5, 2, best * (1 + beside)));
    const auto errors = sm::standard_errors(at, implicit, X);
    INFO(beside << "\n" << errors.text());
    CHECK(errors.status == ErrorStatus::not_identified);
    CHECK(errors.weak.size() == 2);
    for (const auto& weak : errors.weak) CHECK(weak.weakness == Weakness::flat);
  }
  // A saddle is none, wherever a little beside it θ is.
  const auto saddle = sm::energy_model(2, [](auto x, auto theta) {
    return 0.5 * squared_norm(x) * (1 + square(theta("a")) * (square(theta("a")) - 1));
  });
  for (const double beside : {0.0, 1e-6}) {
    auto at = saddle;
    at.set_parameters(VectorXd::Constant(1, beside));
    const MatrixXd wide = 1.3 * X;  // wants a smaller precision: falls away from a = 0
    CHECK(sm::standard_errors(at, implicit, wide).status == ErrorStatus::not_a_minimum);
  }
}

TEST_CASE("Averaging draws of the noise brings errors down to those of the samples") {
  const MatrixXd X = normals(1, 2000, 8);
  const auto model = sm::energy_model(1, [](auto x, auto theta) { return 0.5 * theta("k") * square(x[0]); });
  const sm::denoising_score_matching fresh{.sigma = 0.3};
  const auto fit = sm::closed_form(model, fresh, X);
  const double one = sm::standard_errors(fit, fresh, X).parameters[0].standard_error;
  const double many = sm::standard_errors(fit, fresh, X, {.draws = 50}).parameters[0].standard_error;
  CHECK(std::pow(one, 2) * 2000 == Approx(1 / (0.09 * 1.09 * 1.09)).epsilon(0.2));
  // Without noise: k = 1/(v̂ + σ²), whose variance is Var(v̂)/(v + σ²)⁴ = 2/1.09⁴; each draw adds its share.
  CHECK(std::pow(many, 2) * 2000 == Approx(2 / std::pow(1.09, 4) + 1 / (0.09 * 1.09 * 1.09) / 50).epsilon(0.2));
}

TEST_CASE("Standard errors: bad input") {
  const MatrixXd X = normals(2, 50, 9);
  const auto model = sm::energy_model(2, [](auto x, auto theta) { return theta("a") * squared_norm(x); });
  const auto refused = [&](auto f, const std::string& part) { CHECK_THAT(message_of(f), ContainsSubstring(part)); };
  refused([&] { (void)sm::standard_errors(model, implicit, X, {.level = 1}); },
          "level is 1; it must be between 0 and 1");
  refused([&] { (void)sm::standard_errors(model, implicit, X, {.draws = 0}); }, "draws is 0; it must be at least 1");
  refused([&] { (void)sm::standard_errors(model, implicit, normals(3, 5, 1)); }, "data has 3 rows and 5 columns");
  refused([&] { (void)sm::standard_errors(model, implicit, normals(2, 1, 1)); }, "at least 2 samples");
  refused(
      [&] {
        (void)sm::standard_errors(sm::energy_model(2, [](auto x, auto) { return squared_norm(x); }), implicit, X);
      },
      "the model has no parameters");
  CHECK(std::string(sm::to_string(ErrorStatus::identified)) == "identified");
  CHECK(std::string(sm::to_string(ErrorStatus::not_identified)) == "not identified");
  CHECK(std::string(sm::to_string(ErrorStatus::not_a_minimum)) == "not a minimum");
  CHECK(std::string(sm::to_string(ErrorStatus::non_finite)) == "non-finite");
}
