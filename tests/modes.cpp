// find_modes, laplace and overdispersed_starts against normal laws, mixtures, wells and energies that have no minimum.
//
// Seeds are fixed. Had they been drawn: bounds of 4.5 standard errors fail a correct library with probability 7·10⁻⁶ a
// check, some 20 of them.
#include "catch.hpp"

#include <Eigen/LU>
#include <cmath>
#include <limits>
#include <string>

#include "fixtures.hpp"
#include "scorematch/mode/overdispersed_starts.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/values.hpp"

namespace {

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::refuses;
using sm::Index;
using sm::LaplaceStatus;
using sm::ModeKind;
using sm::ModesStatus;
using sm::StartsStatus;

const double log_two_pi = std::log(2 * 3.14159265358979323846);

// A normal law: A diag(1/scale)(x − centre) ~ N(0, I), A lower bidiagonal with 1 and −ρ, so that det A = 1.
struct NormalLaw {
  VectorXd centre, scale;
  MatrixXd A;

  // Scales from 1e−9 to 1e9, the modes at 1e6 and at a thousand deviations.
  NormalLaw(Index d, double rho, double widest) : centre(d), scale(d), A(MatrixXd::Identity(d, d)) {
    for (Index j = 0; j < d; ++j) {
      scale[j] = std::pow(widest, d == 1 ? 1 : 2.0 * static_cast<double>(j) / static_cast<double>(d - 1) - 1);
      centre[j] = scale[j] > 1e-4 && j % 2 == 0 ? 1e6 : 1e3 * scale[j];
      if (j > 0) A(j, j - 1) = -rho;
    }
  }

  double energy(const VectorXd& x) const { return 0.5 * (A * (x - centre).cwiseQuotient(scale)).squaredNorm(); }
  double log_z() const { return 0.5 * static_cast<double>(centre.size()) * log_two_pi + scale.array().log().sum(); }
  MatrixXd covariance() const {
    const MatrixXd root = scale.asDiagonal() * MatrixXd(A.inverse());
    return root * root.transpose();
  }
  sm::EnergyModel formula() const {
    return sm::energy_model(centre.size(),
                            [this](auto x, auto) { return 0.5 * squared_norm(A * ((x - centre) / scale)) + 2.5; });
  }
};

// The same as a user's class, without second derivatives.
struct NormalClass {
  NormalLaw law;

  Index dimension() const { return law.centre.size(); }
  void energy(Eigen::Ref<const MatrixXd> X, Eigen::Ref<VectorXd> f) const {
    for (Index i = 0; i < X.cols(); ++i) f[i] = law.energy(X.col(i));
  }
  void gradient(Eigen::Ref<const MatrixXd> X, Eigen::Ref<MatrixXd> G) const {
    const VectorXd inverse = law.scale.cwiseInverse();
    G = inverse.asDiagonal() * (law.A.transpose() * (law.A * (inverse.asDiagonal() * (X.colwise() - law.centre))));
  }
};

double worst_entry(const MatrixXd& found, const MatrixXd& truth) {
  const VectorXd scale = truth.diagonal().cwiseSqrt();
  const MatrixXd off = scale.cwiseInverse().asDiagonal() * (found - truth) * scale.cwiseInverse().asDiagonal();
  return off.cwiseAbs().maxCoeff();
}

template <class F>
sm::EnergyModel line(F formula) {
  return sm::energy_model(1, [formula](auto x, auto) { return formula(x[0]); });
}

// −x/2 − 6x² + x⁴ + y²/2 for each pair of coordinates
sm::EnergyModel many_wells(int copies) {
  return sm::energy_model(2 * copies, [copies](auto x, auto) {
    return sm::sum(copies, [&](int k) {
      const auto a = x[2 * k], b = x[2 * k + 1];
      return -0.5 * a - 6 * square(a) + square(square(a)) + 0.5 * square(b);
    });
  });
}

void check_normal_law(Index d, double rho, double widest) {
  CAPTURE(d, widest);
  const NormalLaw truth(d, rho, widest);
  const auto law = sm::laplace(truth.formula());
  INFO(law.text());
  REQUIRE(law.status == LaplaceStatus::at_minima);
  CHECK(law.means.cols() == 1);
  CHECK((law.mean - truth.centre).cwiseQuotient(truth.scale).norm() < 1e-5);
  // numbers at 1e6 resolve a scale of 1e-4 to 1e-6 of it: f at the mode is known to the square of that
  CHECK(std::abs(law.log_partition + 2.5 - truth.log_z()) < 1e-10 * std::max(1.0, 0.01 * static_cast<double>(d)));
  CHECK(worst_entry(law.covariance, truth.covariance()) < 1e-9);
  CHECK(worst_entry(law.root * law.root.transpose(), truth.covariance()) < 1e-9);
  CHECK(law.root.isLowerTriangular(0));
  CHECK(law.misfit < 1e-4);
}

}  // namespace

TEST_CASE("Of a normal law log Z, mean and covariance are exact, whatever its scales, place and dimension") {
  check_normal_law(1, 0, 1e-3);
  check_normal_law(1, 0, 1e9);
  check_normal_law(2, 0.9, 1e9);
  check_normal_law(5, 0.8, 1e4);
  check_normal_law(7, 0.5, 1e9);
  check_normal_law(30, 0.5, 1e9);
}

TEST_CASE("Of a normal law of two hundred dimensions they are, too", "[long]") { check_normal_law(200, 0.5, 1e9); }

TEST_CASE("A class that knows its gradient alone is as good") {
  const NormalLaw truth(4, 0.7, 1e4);
  const auto law = sm::laplace(NormalClass{truth}, {.modes = {.starts = truth.centre + 30 * truth.scale}});
  INFO(law.text() + law.modes.text());
  REQUIRE(law.status == LaplaceStatus::at_minima);
  CHECK(std::abs(law.log_partition - truth.log_z()) < 1e-9);
  CHECK(worst_entry(law.covariance, truth.covariance()) < 1e-8);
  const NormalLaw near(3, 0.7, 10);
  const auto from_normal = sm::laplace(NormalClass{near});
  INFO(from_normal.text() + from_normal.modes.text());
  REQUIRE(from_normal.status == LaplaceStatus::at_minima);
  CHECK(std::abs(from_normal.log_partition - near.log_z()) < 1e-10);
}

TEST_CASE("Both modes of a mixture are found, with their weights") {
  const Eigen::Vector2d there(1e6 + 6, 3), here(1e6 - 6, -3);
  const auto model = sm::energy_model(2, [=](auto x, auto) {
    return -log_sum_exp(sm::concat(std::log(0.25) - 0.5 * squared_norm(x - there) - log_two_pi,
                                   std::log(0.75) - 2.0 * squared_norm(x - here) - log_two_pi + 2 * std::log(2.0)));
  });
  const auto law = sm::laplace(model);
  INFO(law.modes.text());
  REQUIRE(law.status == LaplaceStatus::at_minima);
  // from N(0, I) one of them may be missed: starts on both sides
  MatrixXd starts(2, 2);
  starts << 1e6 + 9, 1e6 - 9, 0, 0;
  const auto both = sm::laplace(model, {.modes = {.starts = starts}});
  INFO(both.modes.text());
  REQUIRE(both.means.cols() == 2);
  CHECK(std::abs(both.log_partition) < 1e-9);
  CHECK(std::abs(both.weights[0] - 0.75) < 1e-9);
  CHECK((both.means.col(0) - here).norm() < 1e-8);
  CHECK((both.means.col(1) - there).norm() < 1e-8);
  const MatrixXd covariance = 0.25 * MatrixXd::Identity(2, 2) + 0.75 * 0.25 * MatrixXd::Identity(2, 2) +
                              0.1875 * (there - here) * (there - here).transpose();
  CHECK(worst_entry(both.covariance, covariance) < 1e-9);
  CHECK(worst_entry(both.root * both.root.transpose(), covariance) < 1e-9);
  CHECK(both.misfit < 1e-6);
  const auto lowest = sm::laplace(model, {.modes = {.starts = starts}, .mixture = false});
  CHECK(lowest.means.cols() == 1);
  CHECK(std::abs(lowest.log_partition - std::log(0.75)) < 1e-9);
  // draws: the share of the heavier law, and its density there
  const MatrixXd X = both.draws(4000, 1);
  const double share = static_cast<double>((X.row(1).array() < 0).count()) / 4000;
  CHECK(std::abs(share - 0.75) < 4.5 * std::sqrt(0.1875 / 4000));
  CHECK((both.log_density(X) + sm::energy_of(model, X)).cwiseAbs().maxCoeff() < 1e-6);
  CHECK(both.draws(10, 1) == X.leftCols(10));
}

TEST_CASE("The wells of many wells are told apart, the list's end is said") {
  const auto one = sm::laplace(many_wells(1));
  INFO(one.modes.text());
  REQUIRE(one.means.cols() == 2);
  CHECK(std::abs(one.weights[0] - 0.844307095702) < 0.005);
  CHECK(std::abs(one.log_partition - 10.293479707073868) < 0.05);
  CHECK(one.misfit < 0.5);
  const auto sixteen = sm::find_modes(many_wells(16), {.random_starts = 40, .most = 5});
  INFO(sixteen.text());
  CHECK(sixteen.status == ModesStatus::found);
  CHECK(sixteen.points.cols() == 5);
  REQUIRE(sixteen.warnings.size() == 1);
  CHECK_THAT(sixteen.warnings[0], ContainsSubstring("more than 5"));
  for (Index k = 0; k < 5; ++k) {
    CHECK(sixteen.confirmed(k));
    CHECK((k == 0 || sixteen.energies[k] >= sixteen.energies[k - 1]));
  }
}

TEST_CASE("A banana's minimum is found on any scale, and its misfit is told") {
  for (const double scale : {1e-6, 1.0, 1e6}) {
    CAPTURE(scale);
    const auto law = sm::laplace(sm::energy_model(2, [scale](auto x, auto) {
      const auto a = x[0] / scale, b = x[1] * scale;
      return 0.5 * square(a - 1) + 50 * square(b - square(a));
    }));
    INFO(law.text() + law.modes.text());
    REQUIRE(law.status == LaplaceStatus::at_minima);
    CHECK(std::abs(law.means(0, 0) / scale - 1) < 1e-8);
    CHECK(std::abs(law.means(1, 0) * scale - 1) < 1e-8);
    // the Hessian there: [1 + 400, −200; −200, 100]
    const MatrixXd H = (MatrixXd(2, 2) << 401 / scale / scale, -200, -200, 100 * scale * scale).finished();
    CHECK(worst_entry(law.modes.curvatures[0], H) < 1e-10);
    CHECK(law.misfit > 1);
  }
}

TEST_CASE("An energy without a minimum has no mode, and the status says why") {
  struct Case {
    const char* name;
    sm::EnergyModel model;
    ModesStatus status;
    LaplaceStatus law;
  };
  const auto two = [](auto formula) { return sm::energy_model(2, formula); };
  const Case cases[] = {
      {"a slope", two([](auto x, auto) { return x[0] + square(x[1]); }), ModesStatus::unbounded,
       LaplaceStatus::unbounded},
      {"a saddle", two([](auto x, auto) { return square(x[1]) - square(x[0]); }), ModesStatus::unbounded,
       LaplaceStatus::unbounded},
      {"a logarithm", line([](auto x) { return -log1p(square(x)); }), ModesStatus::unbounded, LaplaceStatus::unbounded},
      {"a pole", line([](auto x) { return log(abs(x)); }), ModesStatus::unbounded, LaplaceStatus::unbounded},
      {"a plateau", two([](auto x, auto) { return 0 * squared_norm(x) + 3.0; }), ModesStatus::unconfirmed,
       LaplaceStatus::singular},
      {"a valley", two([](auto x, auto) { return square(x[0] - x[1]); }), ModesStatus::unconfirmed,
       LaplaceStatus::singular},
      {"a fourth power", line([](auto x) { return square(square(x - 2)); }), ModesStatus::unconfirmed,
       LaplaceStatus::singular},
      {"a number nowhere", line([](auto x) { return log(-square(x) - 1); }), ModesStatus::non_finite,
       LaplaceStatus::non_finite},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const auto modes = sm::find_modes(c.model);
    INFO(modes.text());
    CHECK(modes.status == c.status);
    CHECK(!modes.evidence.empty());
    const auto law = sm::laplace(c.model);
    CHECK(law.status == c.law);
    CHECK(std::isnan(law.log_partition));
    CHECK(law.means.size() == 0);
    CHECK(law.evidence == modes.evidence);
    refuses([&] { static_cast<void>(law.draws(3)); }, "no law", law.evidence);
  }
  // exp(−x) falls for ever, ever more slowly
  const auto slow = sm::find_modes(line([](auto x) { return exp(-x); }));
  CHECK(slow.status == ModesStatus::unconfirmed);
  const MatrixXd start = MatrixXd::Zero(1, 1);
  const auto from_origin = sm::find_modes(line([](auto x) { return exp(-x); }), {.starts = start});
  INFO(from_origin.text());
  CHECK(from_origin.status == ModesStatus::unconfirmed);
  // a kink elsewhere than at a number where the slope is 0
  const auto kink = sm::find_modes(line([](auto x) { return 2 * abs(x - 0.3) + x; }));
  INFO(kink.text());
  CHECK(kink.status == ModesStatus::unconfirmed);
}

TEST_CASE("A minimum far from every start is found by its slope; a low kink hides no minimum") {
  const auto far = sm::find_modes(line([](auto x) { return 3 * log1p(square((x - 1e6) / 1e-3)); }));
  INFO(far.text());
  REQUIRE(far.status == ModesStatus::found);
  CHECK(std::abs(far.points(0, 0) - 1e6) < 1e-9);
  CHECK(std::abs(far.curvatures[0](0, 0) / 6e6 - 1) < 1e-6);
}

namespace {

// Energy and gradient that do not belong together: descent is uphill.
struct WrongSign {
  Index dimension() const { return 2; }
  void energy(Eigen::Ref<const MatrixXd> X, Eigen::Ref<VectorXd> f) const {
    f = 0.5 * (X.array() - 1).matrix().colwise().squaredNorm().transpose();
  }
  void gradient(Eigen::Ref<const MatrixXd> X, Eigen::Ref<MatrixXd> G) const { G = (1 - X.array()).matrix(); }
};

// A shift between the energy and the gradient: where the score is 0 the energy still falls.
struct Shifted : WrongSign {
  void gradient(Eigen::Ref<const MatrixXd> X, Eigen::Ref<MatrixXd> G) const { G = (X.array() - 1.5).matrix(); }
};

}  // namespace

TEST_CASE("A gradient that is not the energy's confirms no minimum") {
  CHECK(sm::find_modes(WrongSign{}).status != ModesStatus::found);
  CHECK(sm::find_modes(Shifted{}).status != ModesStatus::found);
}

TEST_CASE("Starts without a finite energy are named by number and coordinate") {
  const auto model = sm::energy_model(3, [](auto x, auto) { return squared_norm(x) - log(x[1]); });
  MatrixXd starts = MatrixXd::Ones(3, 3);
  starts(1, 2) = -4;
  const auto modes = sm::find_modes(model, {.starts = starts});
  CHECK(modes.status == ModesStatus::found);
  CHECK(modes.starts == 2);
  CHECK(modes.bad_starts == 1);
  REQUIRE(modes.warnings.size() == 1);
  CHECK_THAT(modes.warnings[0], ContainsSubstring("start 2") && ContainsSubstring("coordinate 1, there -4"));
  const auto none = sm::find_modes(model, {.starts = starts.col(2)});
  CHECK(none.status == ModesStatus::non_finite);
  CHECK_THAT(none.text(), StartsWith("non-finite") && ContainsSubstring("coordinate 1, there -4"));
  // ten coordinates that must be positive: one draw of N(0, I) in a thousand is inside
  const auto positive = sm::find_modes(sm::energy_model(10, [](auto x, auto) { return sum(x) - 3 * sum(log(x)); }));
  INFO(positive.text());
  REQUIRE(positive.status == ModesStatus::found);
  CHECK((positive.points.array() - 3).abs().maxCoeff() < 1e-6);
}

TEST_CASE("Numbers too coarse for a mode are warned of") {
  const auto coarse = sm::find_modes(line([](auto x) { return 0.5 * square((x - 1e9) / 1e-6); }));
  INFO(coarse.text());
  REQUIRE(coarse.warnings.size() == 1);
  CHECK_THAT(coarse.warnings[0], ContainsSubstring("coordinate 0"));
  // an energy whose rounding hides its rise
  const auto large = sm::find_modes(line([](auto x) { return 1e17 + 0.5 * square(x); }));
  INFO(large.text());
  CHECK(large.status == ModesStatus::unconfirmed);
}

TEST_CASE("Overdispersed starts are as wide as asked, around every minimum") {
  const NormalLaw truth(3, 0.5, 1e9);
  const auto model = truth.formula();
  for (const double widening : {1.0, 2.0, 5.0}) {
    const auto starts = sm::overdispersed_starts(model, 2000, {.widening = widening, .seed = 3});
    REQUIRE(starts.status == StartsStatus::at_minima);
    // A(x − m)/scale has variance widening² in each coordinate
    const MatrixXd U = truth.A * (truth.scale.cwiseInverse().asDiagonal() * (starts.points.colwise() - truth.centre));
    for (Index j = 0; j < 3; ++j)
      CHECK(std::abs(U.row(j).squaredNorm() / 2000 / (widening * widening) - 1) < 4.5 * std::sqrt(2.0 / 2000));
    CHECK((starts.energies - sm::energy_of(model, starts.points)).cwiseAbs().maxCoeff() < 1e-9);
  }
  const auto heavy = sm::overdispersed_starts(model, 2000, {.widening = 1, .degrees = 10, .seed = 3});
  const MatrixXd U = truth.A * (truth.scale.cwiseInverse().asDiagonal() * (heavy.points.colwise() - truth.centre));
  CHECK(std::abs(U.squaredNorm() / 6000 / 1.25 - 1) < 0.15);  // ν/(ν − 2)
  // two wells, one of them e⁻⁴ as heavy: both have starts
  const auto wells = sm::overdispersed_starts(
      line([](auto x) { return -log_sum_exp(sm::concat(-0.5 * square(x - 8), -0.5 * square(x + 8) - 4.0)); }), 40);
  INFO(wells.text());
  REQUIRE(wells.minima.cols() == 2);
  const Index faint = (wells.points.array() < 0).count();
  CHECK(std::abs(static_cast<double>(faint) - 40 * std::exp(-2.0) / (1 + std::exp(-2.0))) < 2);
}

TEST_CASE("Starts outside the support are drawn again, and counted") {
  const auto gamma = sm::energy_model(2, [](auto x, auto) { return sum(x) - 1.2 * sum(log(x)); });
  const auto starts = sm::overdispersed_starts(gamma, 200, {.widening = 3});
  INFO(starts.text());
  REQUIRE(starts.status == StartsStatus::at_minima);
  CHECK(starts.points.minCoeff() > 0);
  CHECK(starts.energies.allFinite());
  CHECK((starts.redrawn.array() > 0).count() > 50);
  // no minimum, but a place: by widths
  const auto quartic = sm::overdispersed_starts(line([](auto x) { return square(square(x - 2)); }), 100);
  INFO(quartic.text());
  REQUIRE(quartic.status == StartsStatus::by_widths);
  CHECK(!quartic.evidence.empty());
  CHECK((quartic.points.array() - 2).abs().maxCoeff() < 2 * 4.5 * std::pow(0.5, 0.25));
  // nothing to start from
  const auto none = sm::overdispersed_starts(line([](auto x) { return x; }), 10);
  CHECK(none.status == StartsStatus::none);
  CHECK(none.points.size() == 0);
  CHECK_THAT(none.text(), StartsWith("none: 0 starts") && ContainsSubstring("falls without bound"));
}

TEST_CASE("What the calls cannot take is refused by name") {
  const auto model = line([](auto x) { return square(x); });
  refuses([&] { static_cast<void>(sm::find_modes(model, {.starts = MatrixXd::Zero(2, 3)})); }, "starts", "2 rows");
  refuses([&] { static_cast<void>(sm::find_modes(model, {.starts = MatrixXd::Constant(1, 1, NAN)})); }, "starts");
  refuses([&] { static_cast<void>(sm::find_modes(model, {.random_starts = -1})); }, "random_starts");
  refuses([&] { static_cast<void>(sm::find_modes(model, {.most = 0})); }, "most");
  refuses([&] { static_cast<void>(sm::overdispersed_starts(model, 0)); }, "chains");
  refuses([&] { static_cast<void>(sm::overdispersed_starts(model, 3, {.widening = 0})); }, "widening");
  refuses([&] { static_cast<void>(sm::overdispersed_starts(model, 3, {.degrees = NAN})); }, "degrees");
}
