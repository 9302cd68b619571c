// Contrastive divergence, its persistent form, and noise contrastive estimation.
//
// Seeds are fixed. Each statistical check, |z| < 4, would fail a correct library with probability 6·10⁻⁵.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/likelihood/contrastive_divergence.hpp"
#include "scorematch/likelihood/maximum_likelihood.hpp"
#include "scorematch/likelihood/noise_contrastive_estimation.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/partition/log_partition.hpp"
#include "scorematch/sampler/mala.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using sm::Index;

namespace {

MatrixXd normal_data(Index d, Index n, std::uint64_t seed = 3) {
  MatrixXd Z(n, d);
  sm::extend::fill_normals<double>({seed, sm::extend::Purpose::user}, sm::extend::Ids::from(0), n, 0, d, Z.data(), n);
  return Z.transpose();
}

sm::EnergyModel gaussian() {
  return sm::energy_model(2, [](auto x, auto theta) {
    return 0.5 * exp(theta("log_precision", sm::start_at(-0.5))) * squared_norm(x - theta("mean", 2));
  });
}

sm::EnergyModel quartic() {
  return sm::energy_model(1, [](auto x, auto theta) {
    return theta("fourth", sm::start_at(0.25)) * square(square(x[0])) +
           theta("second", sm::start_at(0.3)) * square(x[0]) + softplus(theta("slope", sm::start_at(0.8)) * x[0]);
  });
}

// A user's class: f = ½ k ‖x‖², with its θ-derivatives.
struct Spring {
  VectorXd theta = VectorXd::Constant(1, 0.4);
  Index dimension() const { return 2; }
  void energy(sm::InputPoints X, sm::OutputNumbers f) const {
    f = 0.5 * theta[0] * X.colwise().squaredNorm().transpose();
  }
  void gradient(sm::InputPoints X, sm::OutputPoints G) const { G = theta[0] * X; }
  VectorXd parameters() const { return theta; }
  void set_parameters(const VectorXd& to) { theta = to; }
  void pull_back_energy(sm::InputPoints X, Eigen::Ref<const VectorXd> w, sm::OutputNumbers g) const {
    g[0] += 0.5 * X.colwise().squaredNorm() * w;
  }
};

}  // namespace

TEST_CASE("I13: CD-1 with one Langevin step h is h ∇J_ISM + O(h²)") {
  // The difference of the two, over h, falls linearly in h: its slope is the O(h²) term. The noise of 6·10⁶
  // draws leaves some 5·10⁻³/√h.
  const MatrixXd X = 0.8 * normal_data(1, 100'000).array() + 0.3;
  const auto model = quartic();
  const VectorXd ism = sm::loss_and_gradient(model, sm::implicit_score_matching{}, X).gradient;
  REQUIRE(ism.norm() > 0.1);
  std::vector<double> apart;
  for (const double h : {0.02, 0.01, 0.005}) {
    VectorXd mean = VectorXd::Zero(3), squares = VectorXd::Zero(3);
    constexpr unsigned draws = 60;
    for (unsigned draw = 0; draw < draws; ++draw) {
      const VectorXd g =
          sm::contrastive_gradient(model, sm::contrastive_divergence<sm::langevin>{.kernel = {.step = h}}, X, draw) / h;
      mean += g / draws;
      squares += g.cwiseAbs2() / draws;
    }
    const double noise = ((squares - mean.cwiseAbs2()) / draws).cwiseSqrt().norm(), error = (mean - ism).norm();
    CAPTURE(h, mean.transpose(), ism.transpose(), noise, error);
    CHECK(error < 10 * h * ism.norm() + 4 * noise);
    CHECK(mean.dot(ism) > 0.75 * ism.squaredNorm());  // neither the sign nor a factor 2 is wrong
    apart.push_back(error);
  }
  CHECK(apart[2] < 0.6 * apart[1]);
  CHECK(apart[1] < 0.6 * apart[0]);
  CHECK(apart[2] < 0.06 * ism.norm());
}

TEST_CASE("Contrastive divergence, persistent or not, finds a normal law's mean and precision") {
  const MatrixXd X = (0.5 * normal_data(2, 4000)).colwise() + Eigen::Vector2d(1, -2);
  const VectorXd mean = X.rowwise().mean();
  const double precision = 2 * 4000 / (X.colwise() - mean).squaredNorm();
  const sm::FitOptions options{.iterations = 1500, .batch = 500, .learning_rate = 0.02};
  const auto check = [&](const auto& fit) {
    CHECK(fit.status == sm::FitStatus::used_up);
    CHECK((fit.model.parameter("mean") - mean).norm() < 0.02);
    CHECK(std::exp(fit.model.parameter("log_precision")(0, 0)) == Approx(precision).epsilon(0.05));
    CHECK(std::abs(fit.loss) < 0.1);
    CHECK(fit.history.size() == 188);  // passes of 8 minibatches, the last unfinished
  };
  check(sm::fit(gaussian(), sm::contrastive_divergence<sm::mala>{.kernel = {.step = 0.1}, .steps = 3}, X, options));
  check(sm::fit(gaussian(), sm::persistent_contrastive_divergence<sm::mala>{.kernel = {.step = 0.1}, .chains = 500}, X,
                options));
  // in float too
  const sm::Matrix<float> single = X.cast<float>();
  check(
      sm::fit(gaussian(), sm::contrastive_divergence<sm::mala>{.kernel = {.step = 0.1}, .steps = 3}, single, options));
}

TEST_CASE("Persistent chains find a mode without data, chains from the data do not") {
  // The tilt of two deep wells at ±1, while all data lie in the right one.
  const auto wells =
      sm::energy_model(1, [](auto x, auto theta) { return 3 * square(square(x[0]) - 1) + theta("tilt") * x[0]; });
  const MatrixXd X = 0.15 * normal_data(1, 1000).array() + 1;
  const sm::FitOptions options{.iterations = 400, .batch = 1000, .learning_rate = 0.05};
  const auto share_on_the_right = [](const sm::EnergyModel& model) {
    sm::QuadratureNodes nodes;
    REQUIRE(sm::log_partition(model, sm::quadrature{}, &nodes).status == sm::PartitionStatus::converged);
    double share = 0;
    for (Index k = 0; k < nodes.points.cols(); ++k)
      if (nodes.points(0, k) > 0) share += nodes.probabilities[k];
    return share;
  };
  const sm::mala kernel{.step = 0.05};
  const auto local = sm::fit(wells, sm::contrastive_divergence<sm::mala>{.kernel = kernel, .steps = 2}, X, options);
  const auto persistent =
      sm::fit(wells, sm::persistent_contrastive_divergence<sm::mala>{.kernel = kernel, .chains = 1000}, X, options);
  CHECK(share_on_the_right(persistent.model) > 0.95);
  CHECK(share_on_the_right(local.model) < share_on_the_right(persistent.model));
}

TEST_CASE("A user's class is trained by its pull_back_energy") {
  const MatrixXd X = 2 * normal_data(2, 2000);
  const auto fit = sm::fit(Spring{}, sm::contrastive_divergence<sm::mala>{.kernel = {.step = 1}, .steps = 5}, X,
                           {.iterations = 300, .batch = 2000, .learning_rate = 0.02});
  CHECK(fit.model.theta[0] == Approx(2 * 2000 / X.squaredNorm()).epsilon(0.05));
  const auto noise = sm::fit(Spring{}, sm::noise_contrastive_estimation{}, X);
  CHECK(noise.model.theta[0] == Approx(2 * 2000 / X.squaredNorm()).epsilon(0.05));
}

TEST_CASE("A fit whose chains do not move, or grow without bound, says so") {
  const MatrixXd X = 0.5 * normal_data(1, 600).array() + 3;
  const auto model = sm::energy_model(1, [](auto x, auto theta) {
    return 0.5 * exp(theta("log_precision", sm::start_at(1.0))) * square(x[0] - theta("mean", sm::start_at(2.5)));
  });
  const sm::FitOptions options{.iterations = 200, .batch = 200, .learning_rate = 0.02};
  for (const double h : {30.0, 1e3, 1e6}) {
    CAPTURE(h);
    const auto short_chains =
        sm::fit(model, sm::contrastive_divergence<sm::mala>{.kernel = {.step = h}, .steps = 2}, X, options);
    const auto persistent = sm::fit(
        model, sm::persistent_contrastive_divergence<sm::mala>{.kernel = {.step = h}, .chains = 200}, X, options);
    CHECK(short_chains.status == sm::FitStatus::stuck);
    CHECK(persistent.status == sm::FitStatus::stuck);
    CHECK(short_chains.acceptance < 0.05);
    CHECK(!short_chains.evidence.empty());
    CHECK(!persistent.evidence.empty());
    CHECK(std::string(sm::to_string(persistent.status)) == "stuck");
  }
  for (const double h : {3.0, 30.0}) {  // beyond 2/curvature
    CAPTURE(h);
    const auto short_chains =
        sm::fit(model, sm::contrastive_divergence<>{.kernel = {.step = h}, .steps = 3}, X, options);
    const auto persistent =
        sm::fit(model, sm::persistent_contrastive_divergence<>{.kernel = {.step = h}, .chains = 200}, X, options);
    CHECK(short_chains.status == sm::FitStatus::diverged);
    CHECK(persistent.status == sm::FitStatus::diverged);
    CHECK(!short_chains.evidence.empty());
    CHECK(!persistent.evidence.empty());
  }
  const auto quartic_law = quartic();  // 100 − 1 · 100³ and away, in a few steps
  CHECK(sm::contrastive_gradient(quartic_law, sm::contrastive_divergence<>{.kernel = {.step = 1}, .steps = 20},
                                 MatrixXd::Constant(1, 3, 100.0))
            .hasNaN());
  // Persistent chains of which some stay behind, where the well's tail overshoots.
  const auto well =
      sm::energy_model(1, [](auto x, auto theta) { return 2 * square(square(x[0]) - 1) + theta("tilt") * x[0]; });
  MatrixXd start = MatrixXd::Constant(1, 100, 1.0);
  start(0, 7) = 4;
  const sm::persistent_contrastive_divergence<sm::mala> method{.kernel = {.step = 0.1}, .chains = 100, .start = start};
  const MatrixXd right = 0.1 * normal_data(1, 300).array() + 1;
  const auto partly = sm::fit(well, method, right, {.iterations = 60});
  CHECK(partly.status == sm::FitStatus::stuck);
  CHECK(partly.evidence.find("1 of 100 chains (1 %)") != std::string::npos);
  const auto good =
      sm::fit(model, sm::contrastive_divergence<sm::mala>{.kernel = {.step = 0.1}, .steps = 3}, X, options);
  CHECK(good.status == sm::FitStatus::used_up);
  CHECK(good.evidence.empty());
  CHECK(good.acceptance > 0.5);
}

TEST_CASE("The gradients by samples have the sign of every loss's: a fit goes against them") {
  const MatrixXd X = 0.7 * normal_data(1, 4000).array() + 0.4;
  const auto model = quartic();
  const auto draws = sm::sample(model, sm::mala{.step = 0.05}, {.chains = 4000, .steps = 300, .seed = 2});
  const VectorXd likelihood = sm::likelihood_gradient(model, X, draws.points).gradient;
  const VectorXd contrast =
      sm::contrastive_gradient(model, sm::contrastive_divergence<sm::mala>{.kernel = {.step = 0.05}, .steps = 300}, X);
  // long chains from the data are draws of the model: the same gradient, to the noise of 4000 draws each
  CHECK((likelihood - contrast).norm() < 0.15 * likelihood.norm());
  // downhill on −(1/N) log-likelihood
  auto further = model;
  further.set_parameters(model.parameters() - 0.05 * likelihood);
  const auto loss = [&](const auto& at) { return -sm::log_likelihood(at, X, sm::log_partition(at)).mean; };
  CHECK(loss(further) < loss(model));
}

TEST_CASE("Fits by contrast are the same bits again") {
  const MatrixXd X = normal_data(2, 300);
  const auto run = [&] {
    return sm::fit(gaussian(), sm::persistent_contrastive_divergence<>{.chains = 50}, X, {.iterations = 20})
        .model.parameters();
  };
  CHECK(run() == run());
}

TEST_CASE("The loss of noise contrastive estimation has the gradient it says") {
  const auto model = quartic();
  auto energy = sm::likelihood::energy_function<double>(model);
  const MatrixXd X = 0.8 * normal_data(1, 37).array() + 0.3, Y = normal_data(1, 74, 8);
  const auto density = sm::gaussian_density(VectorXd::Zero(1), MatrixXd::Identity(1, 1));
  sm::likelihood::NoiseContrast contrast(energy, X, Y, density(X), density(Y));
  VectorXd theta(4), gradient, other;
  theta << model.parameters(), -1.1;
  const double loss = contrast(theta, gradient);
  for (Index k = 0; k < 4; ++k) {
    VectorXd up = theta, down = theta;
    up[k] += 1e-5;
    down[k] -= 1e-5;
    CHECK(gradient[k] == Approx((contrast(up, other) - contrast(down, other)) / (up[k] - down[k])).epsilon(1e-7));
  }
  // and the value of its definition
  double expected = 0;
  for (Index i = 0; i < 37; ++i) {
    const double g = -sm::energy_of(model, X.col(i))[0] - 1.1 - density(X.col(i))[0] - std::log(2.0);
    expected += std::log1p(std::exp(-g)) / 37;
  }
  for (Index i = 0; i < 74; ++i) {
    const double g = -sm::energy_of(model, Y.col(i))[0] - 1.1 - density(Y.col(i))[0] - std::log(2.0);
    expected += std::log1p(std::exp(g)) / 37;
  }
  CHECK(loss == Approx(expected).epsilon(1e-12));
}

TEST_CASE("I16: at the true θ and log Z the expected gradient of noise contrastive estimation is 0") {
  // f = ½ e^a ‖x − m‖² at its truth, 200 data sets: every component's mean is 0 within 4 standard errors.
  const auto model = gaussian();
  const double log_z = sm::log_partition(model).value;
  auto energy = sm::likelihood::energy_function<double>(model);
  const auto density = sm::gaussian_density(Eigen::Vector2d(0.3, 0), 2 * MatrixXd::Identity(2, 2));
  VectorXd theta(4), gradient, sum = VectorXd::Zero(4), squares = sum;
  theta << model.parameters(), -log_z;
  VectorXd off = theta, off_sum = sum;
  off[3] += 0.2;
  constexpr int sets = 200;
  for (unsigned set = 0; set < sets; ++set) {
    const MatrixXd X = std::exp(0.25) * normal_data(2, 200, 2 * set),
                   Y = (std::sqrt(2.0) * normal_data(2, 400, 2 * set + 1)).colwise() + Eigen::Vector2d(0.3, 0);
    sm::likelihood::NoiseContrast contrast(energy, X, Y, density(X), density(Y));
    contrast(theta, gradient);
    sum += gradient;
    squares += gradient.cwiseAbs2();
    contrast(off, gradient);
    off_sum += gradient;
  }
  for (Index k = 0; k < 4; ++k) CHECK(std::abs(sum[k]) < 4 * std::sqrt(squares[k]));
  CHECK(std::abs(off_sum[3]) > 8 * std::sqrt(squares[3]));  // while at a wrong log Z it is not
}

TEST_CASE("Noise contrastive estimation finds θ and log Z") {
  const MatrixXd X = (0.5 * normal_data(2, 20'000)).colwise() + Eigen::Vector2d(1, -2);
  const auto fit = sm::fit(gaussian(), sm::noise_contrastive_estimation{.noise_per_sample = 10, .spread = 1.2}, X);
  REQUIRE(fit.status == sm::FitStatus::converged);
  CHECK((fit.model.parameter("mean") - X.rowwise().mean()).norm() < 0.02);
  const auto exact = sm::log_partition(fit.model, sm::quadrature{.near = X});
  CHECK(std::abs(fit.log_partition.value - exact.value) < 0.03);
  CHECK(fit.log_partition.status == sm::PartitionStatus::converged);
  // with a law of one's own: Student's t would do, here the uniform on a square
  const sm::Density uniform = sm::density(2, [](const MatrixXd& Y) -> VectorXd {
    VectorXd log_p(Y.cols());
    for (Index i = 0; i < Y.cols(); ++i)
      log_p[i] = (Y.col(i) - Eigen::Vector2d(1, -2)).cwiseAbs().maxCoeff() <= 3 ? -std::log(36.0) : -1e300;
    return log_p;
  });
  sm::Stream stream({1});
  MatrixXd noise(2, 100'000);
  for (Index i = 0; i < noise.cols(); ++i)
    noise.col(i) = Eigen::Vector2d(1 + 6 * (stream.uniform() - 0.5), -2 + 6 * (stream.uniform() - 0.5));
  const auto square = sm::fit(
      gaussian(), sm::noise_contrastive_estimation{.noise_per_sample = 5, .density = uniform, .noise = noise}, X);
  CHECK((square.model.parameters() - fit.model.parameters()).norm() < 0.05);
}

TEST_CASE("Broken preconditions of fits by contrast throw, naming the argument") {
  using Catch::Contains;
  const MatrixXd X = normal_data(2, 10);
  CHECK_THROWS_WITH(sm::fit(gaussian(), sm::contrastive_divergence<>{.steps = 0}, X), Contains("steps is 0"));
  CHECK_THROWS_WITH(sm::fit(gaussian(), sm::persistent_contrastive_divergence<>{.chains = 0}, X),
                    Contains("chains is 0"));
  CHECK_THROWS_WITH(sm::fit(gaussian(), sm::contrastive_divergence<>{}, X, {.method = sm::FitMethod::lbfgs}),
                    Contains("its method is adam"));
  // an option that would do nothing
  const auto refused = [&](const sm::FitOptions& options, const char* part) {
    CHECK_THROWS_WITH(sm::fit(gaussian(), sm::contrastive_divergence<>{}, X, options), Contains(part));
    CHECK_THROWS_WITH(sm::fit(gaussian(), sm::persistent_contrastive_divergence<>{}, X, options), Contains(part));
  };
  refused({.tolerance = 1e-3}, "tolerance is given");
  refused({.memory = 5}, "memory is given");
  refused({.held_out = X}, "held_out is given");
  refused({.check_every = 3}, "check_every is given");
  refused({.patience = 3}, "patience is given");
  CHECK_THROWS_WITH(sm::fit(gaussian(), sm::contrastive_divergence<>{.steps = Index{1} << 62}, X),
                    Contains("steps is 4611686018427387904"));
  CHECK_THROWS_WITH(sm::contrastive_gradient(gaussian(), sm::contrastive_divergence<>{}, X, std::uint64_t{1} << 63),
                    Contains("draw is 9223372036854775808"));
  CHECK_THROWS_WITH(sm::fit(gaussian(), sm::contrastive_divergence<>{}, MatrixXd::Zero(3, 2)),
                    Contains("data has 3 rows"));
  using nce = sm::noise_contrastive_estimation;
  CHECK_THROWS_WITH(sm::fit(gaussian(), nce{.noise_per_sample = 0}, X), Contains("noise_per_sample is 0"));
  for (const Index many : {Index{1} << 60, std::numeric_limits<Index>::max()})
    CHECK_THROWS_WITH(sm::fit(gaussian(), nce{.noise_per_sample = many}, X), Contains("it must be at most 3435973836"));
  CHECK_THROWS_WITH(sm::fit(gaussian(), nce{.noise = MatrixXd::Zero(2, 100)}, X), Contains("only noise is given"));
  CHECK_THROWS_WITH(sm::fit(gaussian(), nce{}, MatrixXd::Zero(2, 5)), Contains("covariance of the data is singular"));
  const auto density = sm::gaussian_density(VectorXd::Zero(2), MatrixXd::Identity(2, 2));
  CHECK_THROWS_WITH(sm::fit(gaussian(), nce{.density = density, .noise = MatrixXd::Zero(2, 99)}, X),
                    Contains("noise is 2 × 99; it must be 2 × 100"));
}
