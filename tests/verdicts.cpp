// Fits do not care about units, and what they say of themselves is earned: every status is held against what is known
// otherwise.
//
// Seeds are fixed. Optima are known in closed form, or from the same data in other units.
#include "catch.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/energy/ready.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/io/csv.hpp"
#include "scorematch/likelihood/maximum_likelihood.hpp"
#include "scorematch/likelihood/noise_contrastive_estimation.hpp"
#include "scorematch/model/algebra.hpp"
#include "scorematch/model/at_sigma.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/perturbed.hpp"
#include "scorematch/objective/regularised_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::message_of;
using fixtures::normals;
using sm::FitMethod;
using sm::FitStatus;
using sm::Index;

namespace {

/// ½ exp(k) ‖x − m‖²: the read-me's energy.
sm::EnergyModel round_gaussian(Index d) {
  return sm::energy_model(
      d, [d](auto x, auto theta) { return 0.5 * exp(theta("log_stiffness")) * squared_norm(x - theta("centre", d)); });
}

/// The same as a class of a user's own.
class RoundGaussian {
 public:
  Index dimension() const { return theta_.size() - 1; }
  explicit RoundGaussian(Index d) : theta_(VectorXd::Zero(d + 1)) {}
  VectorXd parameters() const { return theta_; }
  void set_parameters(const VectorXd& theta) { theta_ = theta; }
  void gradient(Eigen::Ref<const MatrixXd> X, Eigen::Ref<MatrixXd> G) const {
    G = stiffness() * (X.colwise() - theta_.head(dimension()));
  }
  void laplacian(Eigen::Ref<const MatrixXd>, Eigen::Ref<VectorXd> L) const {
    L.setConstant(stiffness() * static_cast<double>(dimension()));
  }
  void pull_back(Eigen::Ref<const MatrixXd> X, Eigen::Ref<const MatrixXd> W, Eigen::Ref<VectorXd> g) const {
    g.head(dimension()) -= stiffness() * W.rowwise().sum();
    g[dimension()] += stiffness() * (W.array() * (X.colwise() - theta_.head(dimension())).array()).sum();
  }

 private:
  double stiffness() const { return std::exp(theta_[theta_.size() - 1]); }
  VectorXd theta_;
};

const sm::implicit_score_matching implicit;

/// ±1 + 0.3 z
MatrixXd two_wells(Index n, std::uint64_t seed) {
  const MatrixXd z = normals(2, n, seed);
  MatrixXd X(1, n);
  for (Index i = 0; i < n; ++i) X(0, i) = (z(0, i) > 0 ? 1 : -1) + 0.3 * z(1, i);
  return X;
}

MatrixXd raw(const std::string& file, const std::vector<std::string>& columns = {}) {
  return sm::read_csv("examples/data/" + file, columns);
}

MatrixXd covariance(const MatrixXd& X) {
  const MatrixXd centred = X.colwise() - X.rowwise().mean();
  return centred.lazyProduct(centred.transpose()) / static_cast<double>(X.cols());
}

struct Units {
  double shift, scale;
  MatrixXd of(const MatrixXd& X) const { return (X.array() * scale + shift).matrix(); }
  /// What rounding leaves of the samples' places, beside their spread.
  double rounding() const { return 2.2e-16 * std::abs(shift) / scale; }
};
const std::array<Units, 9> all_units = {
    {{0, 1e-6}, {0, 1}, {0, 1e6}, {1e3, 1e-6}, {1e3, 1}, {1e3, 1e6}, {1e6, 1e-6}, {1e6, 1}, {1e6, 1e6}}};

}  // namespace

// --- units ---

TEST_CASE("A fit in other units is the same fit: every objective, both optimisers", "[long]") {
  MatrixXd X = normals(2, 400, 1);
  X.row(1) = 0.6 * X.row(0) + 1.7 * X.row(1);
  const MatrixXd target = -X;  // the score of N(0, I): in units of scale, 1/scale times as large
  const auto in_units = [&](const auto& objective_for, FitMethod method, double tolerance) {
    VectorXd base;
    for (const std::size_t k : std::array<std::size_t, 9>{1, 0, 2, 3, 4, 5, 6, 7, 8}) {
      const Units units = all_units[k];
      const auto fit = sm::fit(round_gaussian(2), objective_for(units), units.of(X), {.method = method});
      VectorXd theta = fit.model.parameters();
      theta.head(2) = (theta.head(2).array() - units.shift) / units.scale;
      theta[2] += 2 * std::log(units.scale);
      if (k == 1) base = theta;
      INFO("shift " << units.shift << ", scale " << units.scale << ": " << to_string(fit.status) << ", "
                    << theta.transpose() << " instead of " << base.transpose());
      CHECK(fit.status == FitStatus::converged);
      // Of an offset of 10⁶ and a spread of 10⁻⁶ rounding leaves the samples' places, and θ, four digits.
      CHECK((theta - base).cwiseAbs().maxCoeff() < tolerance + 10 * units.rounding());
    }
    return base;
  };
  const auto both = [&](const auto& objective_for) {
    const VectorXd by_lbfgs = in_units(objective_for, FitMethod::lbfgs, 2e-8),
                   by_adam = in_units(objective_for, FitMethod::adam, 0.1);
    CHECK((by_lbfgs - by_adam).norm() < 0.1);
  };
  both([](const Units&) { return implicit; });
  both([&](const Units& units) { return sm::explicit_score_matching{MatrixXd(target / units.scale)}; });
  both([](const Units&) { return sm::sliced_score_matching{.projections = 2, .seed = 3, .frozen = true}; });
  both([](const Units&) {
    return sm::sliced_score_matching{.projections = 2, .exact_norm = false, .seed = 3, .frozen = true};
  });
  both([](const Units& units) {
    return sm::denoising_score_matching{.sigma = 0.5 * units.scale, .seed = 3, .frozen = true};
  });
  both([](const Units& units) { return sm::regularised_score_matching{.lambda = 0.1 * units.scale * units.scale}; });
  both([](const Units& units) { return sm::perturbed{implicit, {.sigma = 0.3 * units.scale, .frozen = true}}; });
}

TEST_CASE("Ready energies and a user's class in other units: the known optimum, or the same one") {
  const MatrixXd X = two_wells(500, 1);
  const double mean = X.mean(), variance = covariance(X)(0, 0);
  for (const Units units : {Units{0, 1e-9}, Units{0, 1}, Units{0, 1e9}, Units{200, 1}, Units{1e6, 1}, Units{1e9, 1}}) {
    INFO("shift " << units.shift << ", scale " << units.scale);
    const double rounding = 1e-8 + 10 * units.rounding();
    const auto gaussian = sm::fit(sm::gaussian(1), implicit, units.of(X));
    CHECK(gaussian.status == FitStatus::converged);
    CHECK((gaussian.model.parameter("mean")(0) - units.shift) / units.scale == Approx(mean).margin(rounding));
    CHECK(std::exp(-2 * gaussian.model.parameter("log_diagonal")(0)) / (units.scale * units.scale) ==
          Approx(variance).epsilon(2 * rounding));
    const auto own = sm::fit(RoundGaussian(1), implicit, units.of(X));
    CHECK(own.status == FitStatus::converged);
    CHECK((own.model.parameters()[0] - units.shift) / units.scale == Approx(mean).margin(rounding));
  }
  // A mixture and a law of heavy tails.
  const MatrixXd Z = normals(2, 400, 3), heavy = Z.row(0).array() / (0.5 + Z.row(1).array().abs());
  const auto mixture = sm::gaussian_mixture(1, {.means = (MatrixXd(1, 2) << -0.5, 0.7).finished()});
  VectorXd of_mixture, of_student;
  for (const Units units : {Units{0, 1}, Units{0, 1e-9}, Units{0, 1e9}, Units{200, 1}, Units{1e6, 1}}) {
    INFO("shift " << units.shift << ", scale " << units.scale);
    const auto two = sm::fit(mixture, implicit, units.of(X));
    CHECK(two.status == FitStatus::converged);
    VectorXd means = two.model.parameter("means").transpose();
    means = (means.array() - units.shift) / units.scale;
    const auto student = sm::fit(sm::student_t(1), implicit, units.of(heavy));
    CHECK(student.status == FitStatus::converged);
    VectorXd theta = student.model.parameters();
    theta[1] += std::log(units.scale);
    theta[2] = (theta[2] - units.shift) / units.scale;
    if (of_mixture.size() == 0) of_mixture = means;
    if (of_student.size() == 0) of_student = theta;
    CHECK((means - of_mixture).norm() < 1e-5 + 10 * units.rounding());
    CHECK((theta - of_student).norm() < 1e-5 + 10 * units.rounding());
  }
  // Each coordinate in units of its own.
  MatrixXd Y = normals(3, 300, 2);
  Y.row(2) += 0.8 * Y.row(0);
  const MatrixXd C = covariance(Y);
  for (const auto& scales :
       {std::array<double, 3>{1, 1, 1}, {0.1, 1, 10}, {1e-3, 1, 1e3}, {1e-9, 1, 1e9}, {1e9, 1, 1}, {1, 1e-6, 1e6}}) {
    MatrixXd in_units = Y;
    for (Index j = 0; j < 3; ++j) in_units.row(j) = (in_units.row(j).array() + 7) * scales[static_cast<std::size_t>(j)];
    const auto fit = sm::fit(sm::gaussian(3), implicit, in_units);
    INFO("scales " << scales[0] << ", " << scales[1] << ", " << scales[2]);
    CHECK(fit.status == FitStatus::converged);
    CHECK(fit.iterations < 30);
    MatrixXd P = sm::gaussian_precision(fit.model);
    for (Index i = 0; i < 3; ++i)
      for (Index j = 0; j < 3; ++j)
        P(i, j) *= scales[static_cast<std::size_t>(i)] * scales[static_cast<std::size_t>(j)];
    CHECK(P.lazyProduct(C).isIdentity(1e-7));
  }
}

TEST_CASE("A saddle is no optimum: a fit leaves it") {
  const MatrixXd half = two_wells(200, 5);
  MatrixXd X(1, 400);
  X << half, -half;
  // Where b counts by its square alone, b = 0 moves nothing at first order.
  const auto wells = sm::energy_model(
      1, [](auto x, auto theta) { return exp(theta("log_height")) * square(square(x[0]) - square(theta("b"))); });
  const auto found = sm::fit(wells, implicit, X);
  CHECK(found.status == FitStatus::converged);
  CHECK(std::abs(found.model.parameter("b")(0)) == Approx(1.05).margin(0.1));
}

TEST_CASE("A number of theta that runs off to where it changes nothing is named") {
  // The tails of normal data are lighter than Student's.
  const auto fit = sm::fit(sm::student_t(1), implicit, MatrixXd(normals(1, 400, 2).array().cwiseMax(-2).cwiseMin(2)));
  CHECK(fit.status == FitStatus::stalled);
  REQUIRE(!fit.warnings.empty());
  CHECK_THAT(fit.warnings.back(), ContainsSubstring("log_degrees ran off"));
}

TEST_CASE("Raw data: the known optimum without standardising") {
  const MatrixXd flipper = raw("penguins.csv", {"flipper_length_mm"}),
                 penguins =
                     raw("penguins.csv", {"bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"});
  const auto fit = sm::fit(sm::gaussian(4), implicit, penguins);
  CHECK(fit.status == FitStatus::converged);
  // E of the loss at the sample's mean and covariance is −½ tr Σ⁻¹
  CHECK(sm::gaussian_precision(fit.model).lazyProduct(covariance(penguins)).isIdentity(1e-6));
  CHECK((fit.model.parameter("mean") - penguins.rowwise().mean()).norm() < 1e-3);

  // 14 columns of wines, in units from a twentieth to some hundreds, the cultivar among them.
  const MatrixXd wine = raw("wine.csv"), C = covariance(wine);
  const VectorXd deviations = C.diagonal().cwiseSqrt();
  const auto wines = sm::fit(sm::gaussian(wine.rows()), implicit, wine);
  CHECK(wines.status == FitStatus::converged);
  CHECK(wines.loss.value == Approx(-127.98748).epsilon(1e-7));  // −½ tr C⁻¹
  const MatrixXd P = deviations.asDiagonal() * sm::gaussian_precision(wines.model) * deviations.asDiagonal(),
                 R = deviations.cwiseInverse().asDiagonal() * C * deviations.cwiseInverse().asDiagonal();
  CHECK(P.lazyProduct(R).isIdentity(1e-6));

  const double mean = flipper.mean(), variance = covariance(flipper)(0, 0);
  const auto round = sm::fit(round_gaussian(1), implicit, flipper);
  CHECK(round.status == FitStatus::converged);
  CHECK(round.model.parameter("centre")(0) == Approx(mean).epsilon(1e-9));
  CHECK(std::exp(round.model.parameter("log_stiffness")(0)) == Approx(1 / variance).epsilon(1e-8));
  // Lengths of two islands' birds: 190 and 216 mm.
  const MatrixXd means = sm::fit(sm::gaussian_mixture(1), implicit, flipper).model.parameter("means");
  CHECK(means.minCoeff() == Approx(190.9).margin(0.1));
  CHECK(means.maxCoeff() == Approx(216.5).margin(0.1));
  // The tails of these are lighter than normal: Student's t with more and more degrees of freedom.
  const auto heavy = sm::fit(sm::student_t(1), implicit, flipper);
  CHECK(heavy.model.parameter("mean")(0) == Approx(mean).epsilon(1e-6));

  const MatrixXd bills = penguins.topRows(2);
  const auto noisy = sm::fit(round_gaussian(2), sm::denoising_score_matching{.sigma = 0.3}, bills);
  CHECK(noisy.status == FitStatus::converged);
  // σ is a fifteenth of the spread, so that the noise of the target is large: some five standard errors of its centre
  CHECK((noisy.model.parameter("centre") - bills.rowwise().mean()).norm() < 3);

  const auto started = sm::fit(sm::gaussian(1, {.mean = VectorXd::Constant(1, 1e6)}), implicit,
                               MatrixXd((0.88 * normals(1, 500, 3)).array() + 1e6));
  CHECK(started.status == FitStatus::converged);
  CHECK(std::exp(-started.model.parameter("log_diagonal")(0)) == Approx(0.88).epsilon(0.1));
}

TEST_CASE("The control variate takes the noise of the target out of the denoising loss, and nothing else") {
  const MatrixXd X = raw("penguins.csv", {"bill_length_mm", "bill_depth_mm"});
  auto model = round_gaussian(2);
  model.set_parameters((VectorXd(3) << 43, 18, -3).finished());
  // Its mean is 0: over many draws both losses agree, the one with far less spread.
  double plain = 0, with = 0, plain_square = 0, with_square = 0;
  constexpr int draws = 400;
  for (std::uint64_t draw = 0; draw < draws; ++draw) {
    const double a = sm::loss(model, sm::denoising_score_matching{.sigma = 0.3}, X, {.draw = draw}).terms[2].value,
                 b = sm::loss(model, sm::denoising_score_matching{.sigma = 0.3, .control_variate = true}, X,
                              {.draw = draw})
                         .terms[2]
                         .value;
    plain += a / draws;
    with += b / draws;
    plain_square += a * a / draws;
    with_square += b * b / draws;
  }
  const double plain_deviation = std::sqrt(plain_square - plain * plain),
               with_deviation = std::sqrt(with_square - with * with);
  CHECK(std::abs(plain - with) < 5 * plain_deviation / std::sqrt(draws));
  CHECK(with_deviation < 0.1 * plain_deviation);
  // Frozen noise: the plain loss's own minimum is far from the data, this one's is not.
  const sm::denoising_score_matching frozen{.sigma = 0.3, .frozen = true, .control_variate = true};
  const auto fit = sm::fit(round_gaussian(2), frozen, X);
  CHECK(fit.status == FitStatus::converged);
  CHECK((fit.model.parameter("centre") - X.rowwise().mean()).norm() < 0.2);
  // Where one draw decides, the fit takes it by itself, and says so.
  for (const std::uint64_t seed : {0u, 1u, 2u}) {
    const auto without =
        sm::fit(round_gaussian(2), sm::denoising_score_matching{.sigma = 0.3, .seed = seed, .frozen = true}, X);
    CHECK(without.status == FitStatus::converged);
    CHECK((without.model.parameter("centre") - X.rowwise().mean()).norm() < 0.5);
    REQUIRE(!without.warnings.empty());
    CHECK_THAT(without.warnings.back(), ContainsSubstring("control_variate = true"));
  }
  const sm::Loss at = sm::loss_and_gradient(model, frozen, X);
  for (Index k = 0; k < 3; ++k) {
    auto up = model, down = model;
    VectorXd theta = model.parameters();
    theta[k] += 1e-5;
    up.set_parameters(theta);
    theta[k] -= 2e-5;
    down.set_parameters(theta);
    CHECK(at.gradient[k] ==
          Approx((sm::loss(up, frozen, X).value - sm::loss(down, frozen, X).value) / 2e-5).epsilon(1e-6).margin(1e-9));
  }
}

TEST_CASE("Data too far from the origin for their arithmetic are refused by name") {
  const MatrixXd X = (normals(2, 100, 1).array() + 1e7).matrix(),
                 far = (1e3 * normals(2, 100, 1).array() + 1e18).matrix();
  CHECK(sm::fit(sm::gaussian(2), implicit, X).status == FitStatus::converged);
  CHECK_THAT(
      message_of([&] { (void)sm::fit(sm::gaussian(2), implicit, Eigen::MatrixXf((X.array() * 3).cast<float>())); }),
      ContainsSubstring("row 0") && ContainsSubstring("float resolves"));
  CHECK_THAT(message_of([&] { (void)sm::fit(sm::gaussian(2), implicit, far); }), ContainsSubstring("double resolves"));
}

// --- statuses ---

TEST_CASE("A double well is found from its default start, whatever the seed", "[long]") {
  Index right = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const auto fit = sm::fit(sm::double_well(1), implicit, two_wells(500, seed));
    CHECK(fit.status == FitStatus::converged);
    right += std::abs(std::exp(fit.model.parameter("log_width")(0)) - 1.1) < 0.05 && fit.loss.value < -2.5;
  }
  CHECK(right == 40);
}

TEST_CASE("A loss no lower than that of a score of 0 is no fit") {
  // b·x alone: ½b² is least at b = 0.
  const auto linear = sm::energy_model(1, [](auto x, auto theta) { return theta("b", sm::start_at(0.5)) * x[0]; });
  const auto fit = sm::fit(linear, implicit, normals(1, 100, 1));
  CHECK(fit.status == FitStatus::plateau);
  // So far out that the score is 0 to rounding.
  const auto lost = sm::fit(sm::double_well(1, {.width = 1e80}), implicit, two_wells(100, 1), {.carry_start = false});
  CHECK(lost.status != FitStatus::converged);
  // What it learns of one draw of the noise is noise.
  CHECK(sm::fit(linear, sm::denoising_score_matching{.sigma = 0.3, .frozen = true}, normals(1, 100, 1)).status ==
        FitStatus::noisy);
}

TEST_CASE("Where the loss has no bound the fit says so, and which of the data do it") {
  const MatrixXd Z = normals(3, 300, 2);
  const auto ends = [](const MatrixXd& X, const std::string& words) {
    const auto fit = sm::fit(sm::gaussian(X.rows()), implicit, X);
    INFO(words);
    CHECK(fit.status == FitStatus::diverged);
    REQUIRE(!fit.warnings.empty());
    CHECK_THAT(fit.warnings.front(), ContainsSubstring(words) && ContainsSubstring("no width to be learned"));
  };
  MatrixXd X = Z;
  X.row(2) = X.row(0);
  ends(X, "0.707 row");
  X.row(2) = 1e6 * X.row(0).array() - 3;
  ends(X, "row 2");
  X.row(2) = 2 * X.row(0) - X.row(1);
  ends(X, "row 2");
  X = Z;
  X.row(1).setConstant(5);
  ends(X, "row 1 of the data is constant");
  ends(MatrixXd(Z.leftCols(2)), "constant over the data");
  MatrixXd one_hot = MatrixXd::Zero(3, 300);
  for (Index i = 0; i < 300; ++i) one_hot(i % 3, i) = 1;
  ends(one_hot, "row 2");
  // Raw measurements, in units that differ by a factor of 400: each repeated, summed, or too few.
  const MatrixXd birds = raw("penguins.csv", {"bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"});
  const auto with = [&](const MatrixXd& row) {
    MatrixXd all(5, birds.cols());
    all << birds, row;
    return all;
  };
  for (Index j = 0; j < 4; ++j) ends(with(birds.row(j)), "row 4");
  ends(with(10 * birds.row(2)), "row 4");
  ends(with(birds.row(0) + birds.row(3)), "row 4");
  ends(with(MatrixXd::Constant(1, birds.cols(), 3)), "row 4 of the data is constant");
  ends(MatrixXd(birds.leftCols(3)), "constant over the data");
  // Noise, or a model without such a direction, bounds it.
  CHECK(sm::fit(sm::gaussian(3), sm::denoising_score_matching{.sigma = 0.3, .frozen = true}, one_hot).status ==
        FitStatus::converged);
  CHECK(sm::fit(round_gaussian(3), implicit, one_hot).status == FitStatus::converged);
}

TEST_CASE("Losses of any size: no floor is absolute, and an optimum is recognised") {
  const MatrixXd X = 1e-6 * normals(1, 500, 4);
  for (const FitMethod method : {FitMethod::lbfgs, FitMethod::adam}) {
    const auto fit = sm::fit(sm::gaussian(1), implicit, X, {.method = method});
    CHECK(fit.status == FitStatus::converged);
    CHECK(fit.loss.value == Approx(-0.5 / covariance(X)(0, 0)).epsilon(1e-5));
    CHECK(fit.loss.value < -1e11);
  }
  const auto fit = sm::fit(sm::gaussian(1), implicit, X), again = sm::fit(fit.model, implicit, X);
  CHECK(again.status == FitStatus::converged);
  CHECK(again.evaluations == 1);
}

TEST_CASE("Adam converges where its gradient is within its error, and says so where it is not") {
  const MatrixXd X = normals(2, 1000, 5).array() * 3 + 40;
  const auto arrived = sm::fit(round_gaussian(2), implicit, X, {.method = FitMethod::adam});
  CHECK(arrived.status == FitStatus::converged);
  const auto early =
      sm::fit(round_gaussian(2), implicit, X, {.method = FitMethod::adam, .iterations = 10, .carry_start = false});
  CHECK(early.status == FitStatus::used_up);
  const auto slow = sm::fit(round_gaussian(2), sm::denoising_score_matching{.sigma = 0.5}, X,
                            {.iterations = 1000, .learning_rate = 1e-7, .carry_start = false});
  CHECK(slow.status == FitStatus::used_up);
}

TEST_CASE("What a callback or a model throws reaches the caller") {
  const MatrixXd X = two_wells(200, 1);
  int calls = 0;
  const sm::FitOptions throws{.progress = [&](const sm::Progress&) -> bool {
    if (++calls == 3) throw std::runtime_error("from the callback");
    return true;
  }};
  CHECK_THROWS_WITH(sm::fit(sm::double_well(1), implicit, X, throws), "from the callback");
  CHECK(calls == 3);
}

TEST_CASE("A stop by the callback is a stop, in the data's units, too") {
  const MatrixXd X = raw("penguins.csv", {"bill_length_mm", "body_mass_g"});
  int calls = 0;
  const auto fit =
      sm::fit(sm::gaussian(2), implicit, X, {.progress = [&](const sm::Progress&) { return ++calls != 2; }});
  CHECK(fit.status == FitStatus::stopped);
  CHECK(calls == 2);
  CHECK(fit.evaluations == 2);
  CHECK(fit.history.size() == 2);
}

TEST_CASE("From a start from which no way leads nothing is claimed") {
  const MatrixXd X = raw("penguins.csv", {"bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"});
  for (const double far : {-20.0, 20.0, 1e3}) {
    auto model = sm::gaussian(4);
    model.set_parameters(VectorXd::Constant(14, far));
    const auto fit = sm::fit(model, implicit, X, {.iterations = 100});
    INFO(far << ": " << to_string(fit.status) << ", loss " << fit.loss.value);
    CHECK((fit.status == FitStatus::stalled || fit.status == FitStatus::used_up ||
           fit.status == FitStatus::non_finite || (fit.status == FitStatus::converged && fit.loss.value < -0.2549)));
  }
}

TEST_CASE("An option that a method does not look at throws") {
  const MatrixXd X = normals(2, 50, 1);
  const auto with = [&](const sm::FitOptions& options) {
    return message_of([&] { (void)sm::fit(round_gaussian(2), implicit, X, options); });
  };
  CHECK_THAT(with({.batch = 10}), ContainsSubstring("batch is set, but the method lbfgs does not use it"));
  CHECK_THAT(with({.learning_rate = 0.5}), ContainsSubstring("learning_rate"));
  CHECK_THAT(with({.seed = 3}), ContainsSubstring("seed"));
  CHECK_THAT(with({.method = FitMethod::adam, .tolerance = 1e-3}), ContainsSubstring("tolerance"));
  CHECK_THAT(with({.method = FitMethod::adam, .memory = 3}), ContainsSubstring("memory"));
  CHECK_THAT(with({.patience = 3}), ContainsSubstring("no held_out data"));
  CHECK_THAT(with({.check_every = 3}), ContainsSubstring("no held_out data"));
}

/// Models made of a model offer all that it offers.
template <class M>
constexpr bool offers_all = sm::extend::abilities_of<M>().energy&& sm::extend::abilities_of<M>().energy_gradient;
static_assert(offers_all<sm::EnergyModel>);
static_assert(offers_all<decltype(sm::at_sigma(std::declval<sm::EnergyModel>(), 0.3))>);
static_assert(offers_all<decltype(std::declval<sm::EnergyModel>() + std::declval<sm::EnergyModel>())>);
static_assert(offers_all<decltype(2.0 * std::declval<sm::EnergyModel>())>);
static_assert(offers_all<decltype(sm::named("a", std::declval<sm::EnergyModel>()))>);
static_assert(offers_all<decltype(sm::exp(std::declval<sm::EnergyModel>()))>);
static_assert(offers_all<decltype(sm::mixture({std::declval<sm::EnergyModel>(), std::declval<sm::EnergyModel>()}))>);

TEST_CASE("A noise-conditional energy at one level is fitted by likelihood") {
  const MatrixXd X = 1.3 * normals(1, 400, 6);
  const auto model = sm::energy_model(
      1, [](auto x, auto sigma, auto theta) { return 0.5 * exp(theta("log_k")) * square(x[0]) / (1 + square(sigma)); });
  const auto fit = sm::fit(sm::at_sigma(model, 2), sm::maximum_likelihood{}, X);
  CHECK(fit.status == FitStatus::converged);
  // exp(k)/(1 + σ²) is one over the mean square
  CHECK(std::exp(fit.model.parameters()[0]) == Approx(5 * 400 / X.squaredNorm()).epsilon(1e-6));
  CHECK_THAT(message_of([&] { (void)sm::fit(sm::gaussian(1), sm::maximum_likelihood{}, X, {.held_out = X}); }),
             ContainsSubstring("maximum_likelihood watches no held-out data"));
  CHECK_THAT(message_of([&] { (void)sm::fit(sm::gaussian(1), sm::maximum_likelihood{}, X, {.patience = 3}); }),
             ContainsSubstring("patience"));
  CHECK_THAT(message_of([&] { (void)sm::fit(sm::gaussian(1), sm::maximum_likelihood{}, X, {.learning_rate = 0.3}); }),
             ContainsSubstring("learning_rate"));
}

TEST_CASE("Likelihoods in other units are the same likelihoods") {
  const MatrixXd X = two_wells(300, 3);
  for (const Units units : {Units{0, 1}, Units{0, 1e-6}, Units{200, 10}, Units{1e6, 1}}) {
    INFO("shift " << units.shift << ", scale " << units.scale);
    const auto exact = sm::fit(sm::gaussian(1), sm::maximum_likelihood{}, units.of(X));
    CHECK(exact.status == FitStatus::converged);
    CHECK((exact.model.parameter("mean")(0) - units.shift) / units.scale ==
          Approx(X.mean()).margin(1e-6 + 10 * units.rounding()));
    CHECK(std::exp(-exact.model.parameter("log_diagonal")(0)) / units.scale ==
          Approx(std::sqrt(covariance(X)(0, 0))).epsilon(1e-5));
    const auto contrast = sm::fit(sm::gaussian(1), sm::noise_contrastive_estimation{}, units.of(X));
    CHECK(contrast.status == FitStatus::converged);
    CHECK((contrast.model.parameter("mean")(0) - units.shift) / units.scale == Approx(X.mean()).margin(0.1));
  }
}

// --- random starts ---

TEST_CASE("From 200 random starts, on ten problems: no fit converges away from a stationary point", "[long]") {
  constexpr Index starts = 20;  // a problem
  const MatrixXd wells = two_wells(200, 7), plane = normals(2, 200, 8), skewed = plane.array().exp().matrix();
  MatrixXd tilted = plane;
  tilted.row(1) = 0.9 * plane.row(0) + 0.3 * plane.row(1);
  struct Problem {
    const char* name;
    sm::EnergyModel model;
    MatrixXd X;
  };
  const std::vector<Problem> problems = {
      {"gaussian", sm::gaussian(1), MatrixXd(200.9 + 14 * plane.row(0).array())},
      {"gaussian, two dimensions", sm::gaussian(2), tilted},
      {"the read-me's", round_gaussian(2), MatrixXd(tilted.array() * 1e3 + 40)},
      {"double well", sm::double_well(1), wells},
      {"student_t", sm::student_t(1), MatrixXd((plane.row(0).array() / (0.3 + plane.row(1).array().abs())))},
      {"mixture", sm::gaussian_mixture(1), wells},
      {"banana", sm::banana(2), skewed},
      {"ring", sm::ring(2), plane},
      {"quartic", sm::pairwise_quartic(2), tilted},
      {"quartic well",
       sm::energy_model(1,
                        [](auto x, auto theta) {
                          return theta("a") * square(square(x[0])) + theta("b") * square(x[0]) + theta("c") * x[0];
                        }),
       wells},
  };
  std::uint64_t seed = 0;
  for (const Problem& problem : problems) {
    const VectorXd start = problem.model.parameters();
    std::vector<double> losses;
    Index converged = 0, away = 0;
    for (Index k = 0; k < starts; ++k) {
      auto model = problem.model;
      model.set_parameters(start + 1.5 * normals(start.size(), 1, 1000 + ++seed));
      const auto fit = sm::fit(model, implicit, problem.X, {.iterations = 200});
      if (fit.status != FitStatus::converged) continue;
      ++converged;
      losses.push_back(fit.loss.value);
      // Each number's slope beside those of single samples.
      VectorXd squares = VectorXd::Zero(start.size());
      for (Index n = 0; n < 40; ++n)
        squares += sm::loss_and_gradient(fit.model, implicit, problem.X.col(5 * n)).gradient.cwiseAbs2() / 40;
      for (Index i = 0; i < start.size(); ++i)
        if (std::abs(fit.loss.gradient[i]) > 1e-4 * std::sqrt(squares[i]) + 1e-12) {
          ++away;
          break;
        }
    }
    double least = std::numeric_limits<double>::infinity();
    for (const double loss : losses) least = std::min(least, loss);
    Index global = 0;
    for (const double loss : losses) global += loss < least + 1e-6 * std::abs(least);
    INFO(problem.name);
    CHECK(away == 0);
    std::printf("%s: %d of %d converged, %d to the least loss found, %.6g\n", problem.name, static_cast<int>(converged),
                static_cast<int>(starts), static_cast<int>(global), least);
  }
}
