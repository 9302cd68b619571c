// Models linear in θ, solved in closed form (their features: linear_features.cpp). Seeds are fixed: nothing here fails
// by chance.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include <Eigen/LU>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "fixtures.hpp"
#include "scorematch/energy/natural_gaussian.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/inference/closed_form.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::message_of;
using fixtures::normals;
using sm::ClosedFormStatus;
using sm::Index;

namespace {

const sm::implicit_score_matching implicit;
const sm::denoising_score_matching denoising{.sigma = 0.5, .seed = 3, .frozen = true};
const sm::sliced_score_matching sliced{.projections = 2, .kind = sm::Projection::gaussian, .seed = 5, .frozen = true};

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

namespace {

/// The Gaussian of largest likelihood, in long double: what implicit score matching of a free Gaussian must give.
struct Moments {
  MatrixXd precision;
  VectorXd mean;

  explicit Moments(const MatrixXd& X) {
    using Wide = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;
    const Wide wide = X.cast<long double>();
    const Eigen::Matrix<long double, Eigen::Dynamic, 1> m = wide.rowwise().mean();
    const Wide centred = wide.colwise() - m, covariance = centred * centred.transpose() / (long double)(X.cols());
    Eigen::Matrix<long double, Eigen::Dynamic, 1> scale = covariance.diagonal().cwiseSqrt().cwiseInverse();
    const Wide correlation = scale.asDiagonal() * covariance * scale.asDiagonal(),
               inverse = scale.asDiagonal() * correlation.inverse() * scale.asDiagonal();
    precision = inverse.cast<double>();
    mean = m.cast<double>();
  }
};

/// The largest error of any number of the precision and of the mean, each beside its own units.
double worst_error(const sm::GaussianOptions& found, const Moments& right) {
  const VectorXd unit = right.precision.diagonal().cwiseSqrt();  // of 1/x
  double worst = 0;
  for (Index i = 0; i < unit.size(); ++i) {
    worst = std::max(worst, std::abs(found.mean[i] - right.mean[i]) * unit[i]);
    for (Index j = 0; j < unit.size(); ++j)
      worst = std::max(worst, std::abs(found.precision(i, j) - right.precision(i, j)) / (unit[i] * unit[j]));
  }
  return worst;
}

}  // namespace

TEST_CASE("A Gaussian's closed form does not care about units and origin") {
  const MatrixXd U = normals(2, 400, 21);
  MatrixXd mixed(2, 400);
  mixed.row(0) = U.row(0);
  mixed.row(1) = 0.5 * U.row(0) + U.row(1);
  for (const auto& [first, second] : {std::pair(1.0, 1.0), std::pair(1e-9, 1e9), std::pair(1e9, 1e-9),
                                      std::pair(1e-6, 1e3), std::pair(1e-12, 1e12), std::pair(1e5, 1e5)})
    for (const double shift : {0.0, -30.0, 1e3, 1e6}) {
      const Eigen::Vector2d scale(first, second);
      const MatrixXd X = scale.asDiagonal() * (mixed.array() + shift).matrix();
      const auto solution = sm::closed_form(sm::natural_gaussian(2), implicit, X);
      const double error = worst_error(sm::natural_gaussian_moments(solution.model), Moments(X));
      INFO(first << " " << second << " + " << shift << ": " << error << ", condition " << solution.condition);
      CHECK(solution.status == ClosedFormStatus::solved);
      CHECK(solution.rank == 5);
      CHECK(error < 1e-13 * (10 + std::pow(std::abs(shift), 1.0) * 100));
      // With an offset near the mean there is nothing to lose.
      const VectorXd offset = X.rowwise().mean();
      const auto centred = sm::closed_form(sm::natural_gaussian(2, {.offset = offset}), implicit, X);
      CHECK(worst_error(sm::natural_gaussian_moments(centred.model, offset), Moments(X)) < 1e-9);
      CHECK(centred.loss.value == Approx(solution.loss.value).epsilon(1e-8));
      CHECK(centred.condition < 20);
    }
}

TEST_CASE("Columns that are nearly collinear are told apart, as far as the data tell them") {
  const MatrixXd U = normals(3, 300, 22);
  for (const double apart : {1e-2, 1e-5, 1e-7, 1e-9}) {
    MatrixXd X = U;
    X.row(2) = U.row(0) + U.row(1) + apart * U.row(2);
    const VectorXd offset = X.rowwise().mean();
    const auto solution = sm::closed_form(sm::natural_gaussian(3, {.offset = offset}), implicit, X);
    // By way of what the third column has of its own, where moments are well conditioned.
    MatrixXd own = X;
    for (Index i = 0; i < X.cols(); ++i)
      own(2, i) = static_cast<double>((static_cast<long double>(X(2, i)) - X(0, i) - X(1, i)) / apart);
    const MatrixXd W{{1, 0, 0}, {0, 1, 0}, {-1 / apart, -1 / apart, 1 / apart}};
    const MatrixXd right = W.transpose() * Moments(own).precision * W;
    const double error = (solution.model.parameter("diagonal") - right.diagonal()).norm() / right.diagonal().norm();
    INFO(apart << ": " << error << ", condition " << solution.condition);
    CHECK(solution.status == ClosedFormStatus::solved);
    CHECK(solution.condition > 0.01 / (apart * apart));
    CHECK(error < 1e-14 / apart);  // no more is left of the third column's own
  }
  // What is collinear to the last bit, or to its rounding, is open: along it the implicit loss falls without bound.
  MatrixXd X = U;
  X.row(2) = U.row(0);
  CHECK(sm::closed_form(sm::natural_gaussian(3), implicit, X).status == ClosedFormStatus::unbounded);
  X.row(2) = (0.1 * U.row(0) + 0.3 * U.row(1)).eval();
  const auto open = sm::closed_form(sm::natural_gaussian(3), implicit, X);
  CHECK(open.status == ClosedFormStatus::unbounded);
  CHECK(open.rank == 8);
  X = (X.array() + 1e6).matrix();
  X.row(2) = X.row(1);
  CHECK(sm::closed_form(sm::natural_gaussian(3), implicit, X).status == ClosedFormStatus::unbounded);
}

TEST_CASE("Where rounding leaves too little of the data, the closed form says so") {
  const MatrixXd Z = normals(1, 500, 23);
  for (const double shift : {1e9, 1e12, 1e15}) {
    const MatrixXd X = (Z.array() + shift).matrix();
    const auto solution = sm::closed_form(sm::natural_gaussian(1), implicit, X);
    const double error = worst_error(sm::natural_gaussian_moments(solution.model), Moments(X));
    INFO(shift << ": " << error << ", " << sm::to_string(solution.status));
    CHECK((error < 1e-4 || solution.status != ClosedFormStatus::solved));
  }
  const MatrixXd far = (Z.array() + 1e15).matrix();
  CHECK(sm::closed_form(sm::natural_gaussian(1), implicit, far).status != ClosedFormStatus::solved);
  // Float: x² − 2 m x of a mean of 10⁴ has no digits left.
  const Eigen::MatrixXf in_float = (Z.array() + 1e5).matrix().cast<float>();
  const auto solution = sm::closed_form(sm::natural_gaussian(1), implicit, in_float);
  INFO(sm::natural_gaussian_moments(solution.model).precision << " " << sm::to_string(solution.status));
  CHECK((solution.status != ClosedFormStatus::solved ||
         worst_error(sm::natural_gaussian_moments(solution.model), Moments(in_float.cast<double>())) < 0.1));
}

TEST_CASE("The denoising loss far from the origin has the solution of the same data at it") {
  const MatrixXd Z = normals(2, 400, 24);
  const auto near = sm::closed_form(sm::natural_gaussian(2), denoising, Z);
  const auto far =
      sm::closed_form(sm::natural_gaussian(2), denoising, MatrixXd(Z.colwise() + VectorXd::Constant(2, 1e6)));
  const sm::GaussianOptions a = sm::natural_gaussian_moments(near.model), b = sm::natural_gaussian_moments(far.model);
  CHECK(far.status == ClosedFormStatus::solved);
  CHECK((a.precision - b.precision).norm() < 1e-7);
  CHECK((a.mean.array() + 1e6 - b.mean.array()).matrix().norm() < 1e-7);
}

TEST_CASE("A natural Gaussian is the Gaussian of its moments") {
  const MatrixXd X = normals(3, 50, 25);
  const MatrixXd P{{2, 0.3, -0.2}, {0.3, 1, 0.1}, {-0.2, 0.1, 3}};
  const sm::GaussianOptions given{.mean = Eigen::Vector3d(1, -2, 0.5), .precision = P};
  for (const VectorXd& offset : {VectorXd(), VectorXd(Eigen::Vector3d(3, 1, -1))}) {
    const auto natural = sm::natural_gaussian(3, {.gaussian = given, .offset = offset});
    const auto cholesky = sm::gaussian(3, given);
    CHECK((sm::score_of(natural, X) - sm::score_of(cholesky, X)).norm() < 1e-12);
    const sm::GaussianOptions back = sm::natural_gaussian_moments(natural, offset);
    CHECK((back.mean - given.mean).norm() < 1e-13);
    CHECK((back.precision - P).norm() < 1e-13);
    CHECK(sm::is_linear_in_parameters(natural).linear);
  }
  CHECK(sm::natural_gaussian(1).parameters() == VectorXd(Eigen::Vector2d(1, 0)));
  CHECK_THAT(message_of([] { (void)sm::natural_gaussian(2, {.offset = VectorXd::Zero(3)}); }),
             ContainsSubstring("offset has 3 numbers; the dimension is 2"));
  CHECK_THAT(message_of([&] { (void)sm::closed_form(sm::gaussian(3), implicit, X); }),
             ContainsSubstring("natural_gaussian is the same energy, linear in its parameters"));
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
  CHECK(std::string(sm::to_string(ClosedFormStatus::inaccurate)) == "inaccurate");
  CHECK(std::string(sm::to_string(ClosedFormStatus::non_finite)) == "non-finite");
}
