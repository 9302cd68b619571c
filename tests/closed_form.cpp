// Models linear in θ, solved in closed form (their features: linear_features.cpp). Seeds are fixed: nothing here fails
// by chance.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "scorematch/energy/energy_model.hpp"
#include "scorematch/fit/closed_form.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/random/normal.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using sm::ClosedFormStatus;
using sm::Index;

namespace {

const sm::implicit_score_matching implicit;
const sm::denoising_score_matching denoising{.sigma = 0.5, .seed = 3, .frozen = true};
const sm::sliced_score_matching sliced{.projections = 2, .kind = sm::Projection::gaussian, .seed = 5, .frozen = true};

MatrixXd normals(Index d, Index n, std::uint64_t seed) {
  MatrixXd Z(n, d);
  sm::fill_normals<double>({seed, sm::Purpose::user}, sm::Ids::from(0), n, 0, d, Z.data(), n);
  return Z.transpose();
}

template <class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no exception";
}

}  // namespace
// --- the solution ---

// Identity I12.
TEST_CASE("θ* is where the gradient is 0, and where L-BFGS ends") {
  const MatrixXd X = normals(3, 400, 8);
  const auto model = sm::energy_model(3, [](auto x, auto theta) {
    return dot(theta("q", 3), square(square(x))) + 0.5 * dot(theta("k", 3), square(x)) - dot(theta("h", 3), x) +
           theta("J", 2)[0] * x[0] * x[1] + theta("J", 2)[1] * x[1] * x[2];
  });
  const auto check = [&](const auto& objective) {
    const auto solution = sm::closed_form(model, objective, X);
    CHECK(solution.status == ClosedFormStatus::solved);
    CHECK(solution.rank == 11);
    CHECK(solution.null_directions.empty());
    CHECK(solution.condition > 1);
    CHECK(std::isfinite(solution.condition));
    const double scale = (solution.A.cwiseAbs() * solution.model.parameters().cwiseAbs()).norm();
    CHECK(sm::loss_and_gradient(solution.model, objective, X).gradient.norm() <= 1e-12 * scale);
    CHECK(solution.loss.gradient.norm() <= 1e-12 * scale);
    const auto iterated = sm::fit(model, objective, X, {.iterations = 5000, .tolerance = 1e-10});
    CHECK((iterated.model.parameters() - solution.model.parameters()).norm() <=
          1e-6 * solution.model.parameters().norm());
    CHECK(solution.loss.value <= iterated.loss.value + 1e-13 * std::abs(iterated.loss.value));
  };
  check(implicit);
  check(denoising);
  check(sliced);
  check(sm::explicit_score_matching{[](const MatrixXd& Y) -> MatrixXd { return -Y.array().cube(); }});
}

// Identities I1 and I2.
TEST_CASE("A Gaussian by ISM: the inverse of the covariance, and −½ tr Λ") {
  const MatrixXd X = (normals(3, 500, 9).array() * 1.5 + 0.3).matrix();
  const auto model = sm::energy_model(
      3, [](auto x, auto theta) { return 0.5 * quadratic_form(theta("P", 3, 3), x) - dot(theta("h", 3), x); });
  const auto solution = sm::closed_form(model, implicit, X);
  const VectorXd mean = X.rowwise().mean();
  const MatrixXd precision = ((X.colwise() - mean) * (X.colwise() - mean).transpose() / 500.0).inverse();
  CHECK((solution.model.parameter("P") - precision).norm() <= 1e-11 * precision.norm());
  CHECK((solution.model.parameter("h") - precision * mean).norm() <= 1e-11 * precision.norm());
  CHECK(solution.loss.value == Approx(-0.5 * precision.trace()).epsilon(1e-12));
  // P and Pᵀ are the same energy: three directions are open, and the shortest solution is symmetric.
  CHECK(solution.status == ClosedFormStatus::rank_deficient);
  CHECK(solution.rank == 9);
  CHECK(solution.condition == std::numeric_limits<double>::infinity());
  REQUIRE(solution.null_directions.size() == 3);
  std::string texts;
  for (const auto& null : solution.null_directions) {
    CHECK((solution.A * null.direction).norm() <= 1e-12 * solution.A.norm());
    CHECK(null.direction.norm() == Approx(1));
    CHECK(std::abs(null.direction.dot(solution.model.parameters())) < 1e-12);
    texts += null.text + "\n";
  }
  for (const std::string name : {"P(0,1)", "P(1,0)", "P(0,2)", "P(2,0)", "P(1,2)", "P(2,1)"})
    CHECK_THAT(texts, ContainsSubstring("0.707 " + name));
  CHECK_THAT(texts, !ContainsSubstring("h["));
}

TEST_CASE("A parameter that the data say nothing about is named") {
  const auto model = sm::energy_model(2, [](auto x, auto theta) {
    return theta("a") * squared_norm(x) + theta("offset") + theta("never") * where(x[0] > 100, x[0], 0 * x[0]);
  });
  const auto solution = sm::closed_form(model, implicit, normals(2, 100, 10));
  CHECK(solution.status == ClosedFormStatus::rank_deficient);
  CHECK(solution.rank == 1);
  REQUIRE(solution.null_directions.size() == 2);
  CHECK(solution.null_directions[0].text + solution.null_directions[1].text == "neveroffset");
  CHECK(solution.model.parameter("offset")(0) == 0);
  CHECK(solution.model.parameter("never")(0) == 0);
  CHECK(solution.model.parameter("a")(0) > 0);
}

TEST_CASE("Fewer samples than the features need: ISM falls without bound; a ridge holds it") {
  const MatrixXd X = normals(1, 2, 11);
  const auto model = sm::energy_model(1, [](auto x, auto theta) {
    auto centres = Eigen::VectorXd::LinSpaced(8, -2, 2).eval();
    return -dot(theta("w", 8), exp(-2 * square(x[0] - centres)));
  });
  const auto open = sm::closed_form(model, implicit, X);
  CHECK(open.status == ClosedFormStatus::unbounded);
  CHECK(open.rank == 2);
  CHECK(open.null_directions.size() == 6);
  // It does fall: b has a part along a null direction, where there is no curvature.
  double steepest = 0;
  for (const auto& null : open.null_directions) steepest = std::max(steepest, std::abs(open.b.dot(null.direction)));
  CHECK(steepest > 1e-3);
  const auto held = sm::closed_form(model, implicit, X, {.ridge = 0.1});
  CHECK(held.status == ClosedFormStatus::solved);
  CHECK(held.rank == 2);
  CHECK(held.null_directions.size() == 6);
  CHECK(std::isfinite(held.condition));
  const VectorXd theta = held.model.parameters();
  CHECK((held.A * theta + 0.1 * theta + held.b).norm() <= 1e-11 * held.b.norm());  // of J + ½ ridge ‖θ‖²
  // DSM has a target at every point: b lies in the range of A.
  CHECK(sm::closed_form(model, denoising, X).status == ClosedFormStatus::rank_deficient);
}

TEST_CASE("Features far apart in scale are not mistaken for a singular system") {
  const MatrixXd X = normals(1, 500, 12);
  const auto model = sm::energy_model(1, [](auto x, auto theta) {
    return 1e-9 * theta("small") * square(square(x[0])) + 1e9 * theta("large") * square(x[0]);
  });
  const auto solution = sm::closed_form(model, implicit, X);
  CHECK(solution.status == ClosedFormStatus::solved);
  CHECK(solution.condition < 100);
  const auto plain = sm::closed_form(
      sm::energy_model(
          1, [](auto x, auto theta) { return theta("q") * square(square(x[0])) + theta("k") * square(x[0]); }),
      implicit, X);
  CHECK(1e-9 * solution.model.parameter("small")(0) == Approx(plain.model.parameter("q")(0)).epsilon(1e-9));
  CHECK(1e9 * solution.model.parameter("large")(0) == Approx(plain.model.parameter("k")(0)).epsilon(1e-9));
}

TEST_CASE("Float data: sums in double, the same solution to float's precision") {
  const MatrixXd X = normals(3, 20000, 13);
  const auto model = sm::energy_model(3, [](auto x, auto theta) {
    return 0.5 * quadratic_form(theta("P", 3, 3), x) - dot(theta("h", 3), x) + dot(theta("q", 3), square(square(x)));
  });
  const auto right = sm::closed_form(model, implicit, X);
  const auto in_float = sm::closed_form(model, implicit, Eigen::MatrixXf(X.cast<float>()));
  CHECK(in_float.status == right.status);
  CHECK(in_float.rank == right.rank);
  CHECK((in_float.A - right.A).norm() <= 1e-6 * right.A.norm());
  CHECK((in_float.model.parameters() - right.model.parameters()).norm() <= 1e-4 * right.model.parameters().norm());
}

TEST_CASE("The same bits for any number of threads") {
#ifdef _OPENMP
  const int before = omp_get_max_threads();
  const MatrixXd X = normals(3, 3000, 14);
  const auto model = sm::energy_model(
      3, [](auto x, auto theta) { return quadratic_form(theta("P", 3, 3), x) + dot(theta("h", 3), x); });
  omp_set_num_threads(1);
  const auto one = sm::closed_form(model, denoising, X);
  for (const int threads : {2, 3, 5}) {
    omp_set_num_threads(threads);
    const auto many = sm::closed_form(model, denoising, X);
    CHECK(many.A == one.A);
    CHECK(many.b == one.b);
    CHECK(many.model.parameters() == one.model.parameters());
    CHECK(many.loss.value == one.loss.value);
  }
  omp_set_num_threads(before);
#endif
}

// --- bad input ---

TEST_CASE("What cannot be solved is refused, or a status") {
  const MatrixXd X = normals(2, 50, 15);
  const auto linear = sm::energy_model(2, [](auto x, auto theta) { return theta("a") * squared_norm(x); });
  const auto refused = [&](auto f, const std::string& part) { CHECK_THAT(message_of(f), ContainsSubstring(part)); };
  const auto curved = sm::energy_model(2, [](auto x, auto theta) { return exp(theta("log k")) * squared_norm(x); });
  refused(
      [&] { (void)sm::closed_form(curved, implicit, X); },
      "the model is not linear in its parameters: its formula takes exp of a value that depends on theta(\"log k\")");
  refused(
      [&] { (void)sm::closed_form(sm::energy_model(2, [](auto x, auto) { return squared_norm(x); }), implicit, X); },
      "the model has no parameters");
  refused([&] { (void)sm::closed_form(linear, implicit, X, {.ridge = -1}); },
          "ClosedFormOptions: ridge is -1; it must be at least 0");
  refused([&] { (void)sm::closed_form(linear, implicit, X, {.ridge = std::nan("")}); }, "ridge is nan");
  refused([&] { (void)sm::closed_form(linear, implicit, normals(3, 5, 1)); }, "data has 3 rows and 5 columns");
  refused([&] { (void)sm::closed_form(linear, implicit, MatrixXd(2, 0)); }, "no columns");
  refused([&] { (void)sm::closed_form(linear, sm::denoising_score_matching{.sigma = -1}, X); }, "sigma is -1");
  refused([&] { (void)sm::closed_form(linear, sm::sliced_score_matching{.exact_norm = false}, X); }, "exact_norm");
  const auto needs_sigma =
      sm::energy_model(2, [](auto x, auto sigma, auto theta) { return theta("a") * sigma * squared_norm(x); });
  refused([&] { (void)sm::closed_form(needs_sigma, implicit, X); }, "sigma");

  const auto broken = sm::energy_model(2, [](auto x, auto theta) { return theta("a") / x[0]; });
  MatrixXd at_zero = X;
  at_zero(0, 7) = 0;
  const auto solution = sm::closed_form(broken, implicit, at_zero);
  CHECK(solution.status == ClosedFormStatus::non_finite);
  CHECK(solution.model.parameters() == broken.parameters());
}

TEST_CASE("Statuses of closed forms have names") {
  CHECK(std::string(sm::to_string(ClosedFormStatus::solved)) == "solved");
  CHECK(std::string(sm::to_string(ClosedFormStatus::rank_deficient)) == "rank-deficient");
  CHECK(std::string(sm::to_string(ClosedFormStatus::unbounded)) == "unbounded");
  CHECK(std::string(sm::to_string(ClosedFormStatus::non_finite)) == "non-finite");
}
