// Transition kernels against what is exact on normal laws: acceptances, stationary variances, diffusion, invariance.
//
// False alarms: each statistical check is at 5 standard errors of independent draws (6e-7 a check; some 100 checks).
#include "catch.hpp"

#include <cmath>
#include <numbers>
#include <vector>

#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/sampler/barker.hpp"
#include "scorematch/sampler/hmc.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/metric.hpp"
#include "scorematch/sampler/parallel_tempering.hpp"
#include "scorematch/sampler/sample.hpp"
#include "scorematch/sampler/underdamped_langevin.hpp"

namespace sm = scorematch;
using Eigen::Index;
using std::numbers::pi;

namespace {

sm::EnergyModel standard_normal(Index d) {
  return sm::energy_model(d, [](auto x, auto) { return 0.5 * sum(x * x); });
}

Eigen::MatrixXd normals(Index d, Index n, std::uint64_t seed) {
  sm::Stream stream({seed, sm::extend::Purpose::user}, 0);
  Eigen::MatrixXd x(d, n);
  for (Index j = 0; j < n; ++j) x.col(j) = stream.normals(d);
  return x;
}

// One step from exact draws: the mean of the probability to accept is what the formulas say.
template <class Kernel>
double acceptance_from_equilibrium(const Kernel& kernel, Index chains, std::uint64_t seed = 1) {
  const auto draws = sm::sample(standard_normal(1), kernel,
                                {.chains = chains, .steps = 1, .seed = seed, .start = normals(1, chains, seed + 100)});
  return draws.acceptance.mean();
}

void check_share(double found, double exact, Index draws) {
  INFO("found " << found << ", exact " << exact);
  CHECK(std::abs(found - exact) <= 5 * std::sqrt(exact * (1 - exact) / static_cast<double>(draws)) + 1e-12);
}

}  // namespace

TEST_CASE("HMC's acceptance on N(0, 1) is 1 − (2/π) atan √(μ/2)") {
  constexpr Index n = 200000;
  for (const auto& [step, leapfrogs] : std::vector<std::pair<double, Index>>{{0.5, 1}, {1, 1}, {1, 3}, {1.5, 1}}) {
    const double angle = std::acos(1 - step * step / 2);
    const double mu = std::pow(std::sin(static_cast<double>(leapfrogs) * angle), 2) * std::pow(step, 4) /
                      (32 * (1 - step * step / 4));
    const double exact = 1 - 2 / pi * std::atan(std::sqrt(mu / 2));
    INFO(step << " × " << leapfrogs);
    check_share(acceptance_from_equilibrium(sm::hmc{step, leapfrogs, 1}, n), exact, n);
  }
}

TEST_CASE("Kernels accept as exact figures on N(0, 1) say") {
  constexpr Index n = 200000;
  check_share(acceptance_from_equilibrium(sm::hmc{0.5, 1, 1}, n), 0.990053625, n);
  check_share(acceptance_from_equilibrium(sm::hmc{1, 1, 1}, n), 0.920833152, n);
  check_share(acceptance_from_equilibrium(sm::hmc{1.5, 1, 1}, n), 0.745848165, n);
  for (const auto& [step, exact] :
       std::vector<std::pair<double, double>>{{0.1, 0.992882671}, {0.5, 0.920833152}, {1, 0.783653104}})
    check_share(acceptance_from_equilibrium(sm::mala{step}, n), exact, n);
  for (const auto& [step, exact] :
       std::vector<std::pair<double, double>>{{0.5, 0.983833}, {1, 0.912303}, {2, 0.708413}})
    check_share(acceptance_from_equilibrium(sm::barker{step}, n), exact, n);
  // One leapfrog of the adjusted underdamped kernel is HMC's, whatever the momentum was before.
  check_share(acceptance_from_equilibrium(sm::adjusted_underdamped_langevin{1, 0.7, 1}, n), 0.920833152, n);
}

TEST_CASE("Barker's mean squared jump on N(0, 1) is exact") {
  constexpr Index n = 200000;
  for (const auto& [step, exact] :
       std::vector<std::pair<double, double>>{{0.5, 0.235173}, {1, 0.724563}, {2, 1.302969}}) {
    const Eigen::MatrixXd start = normals(1, n, 5);
    const auto draws = sm::sample(standard_normal(1), sm::barker{step}, {.chains = n, .steps = 1, .start = start});
    const Eigen::ArrayXd jumps = (draws.state - start).row(0).array().square();
    const double error = std::sqrt((jumps - jumps.mean()).square().mean() / static_cast<double>(n));
    INFO("step " << step);
    CHECK(std::abs(jumps.mean() - exact) < 5 * error);
  }
}

TEST_CASE("A trajectory of three leapfrogs of length 1 has period 6 on N(0, 1): jitter is what leaves it") {
  const Eigen::MatrixXd start = normals(1, 100, 3);
  const auto there = sm::sample(standard_normal(1), sm::hmc{1, 3, 1}, {.chains = 100, .steps = 1, .start = start});
  CHECK((there.state + start).cwiseAbs().maxCoeff() < 1e-12);
  const auto jittered = sm::sample(standard_normal(1), sm::hmc{1, 3, 0.1}, {.chains = 100, .steps = 2, .start = start});
  CHECK((jittered.state - start).cwiseAbs().mean() > 0.1);
}

TEST_CASE("Splittings of the underdamped equation have their exact variance on N(0, 1)") {
  const double h = 1;
  constexpr Index n = 40000;
  const auto variance = [&](sm::Splitting splitting) {
    const auto draws = sm::sample(standard_normal(1), sm::underdamped_langevin{h, 1, splitting},
                                  {.chains = n, .steps = 1, .burn_in = 60, .start = normals(1, n, 8)});
    return draws.state.row(0).array().square().mean();
  };
  const double tolerance = 5 * std::sqrt(2.0 / n);
  CHECK(std::abs(variance(sm::Splitting::baoab) - 1) < tolerance);
  const double obabo = 1 / (1 - h * h / 4);
  CHECK(std::abs(variance(sm::Splitting::obabo) / obabo - 1) < tolerance);
  // The step for a bias of OBABO's variance.
  const auto chosen = sm::underdamped_langevin::with_bias(1.0 / 3);
  CHECK(chosen.step == Approx(1));
}

TEST_CASE("The energy errors of a step are those that its bias stands for") {
  constexpr Index n = 40000;
  for (const sm::Splitting splitting : {sm::Splitting::baoab, sm::Splitting::obabo}) {
    const auto kernel = sm::underdamped_langevin::with_bias(0.2, 0.5, splitting);
    const auto draws = sm::sample(standard_normal(1), kernel,
                                  {.chains = n, .steps = 2, .burn_in = 60, .thin = 1, .start = normals(1, n, 4)});
    const Eigen::ArrayXd x = draws.points.row(0).head(n).array(), next = draws.points.row(0).tail(n).array();
    const Eigen::ArrayXd errors = (kernel.step * kernel.step / 8 * (next.square() - x.square())).square();
    const double chance = std::sqrt((errors - errors.mean()).square().mean() / n);
    CHECK(std::abs(errors.mean() - kernel.target_error()) < 5 * chance);
    // On a normal law a warm-up therefore ends at the step for the bias, in whatever units.
    const auto tuned = sm::sample(sm::score_model(2, [](auto y, auto) { return -Eigen::Vector2d(1e6, 1e-6) * y; }),
                                  kernel, {.chains = 256, .steps = 100, .warm_up = 200});
    CHECK(tuned.step == Approx(kernel.step).epsilon(0.02));
    CHECK(tuned.restarted == 0);
  }
}

TEST_CASE("BAOAB diffuses freely with constant (h/2) coth(γh/2)") {
  const auto flat = sm::score_model(1, [](auto x, auto) { return 0.0 * x; });
  constexpr Index n = 20000, steps = 400;
  for (const auto& [h, exact] : std::vector<std::pair<double, double>>{{0.5, 1.0207470413}, {1, 1.0819767069}}) {
    const auto way = [&](Index count) {
      const auto draws = sm::sample(flat, sm::underdamped_langevin{h, 1},
                                    {.chains = n, .steps = count, .start = Eigen::MatrixXd::Zero(1, n)});
      return draws.state.row(0).array().square().mean();
    };
    // ⟨x²⟩ = 2 D t + constant
    const double slope = (way(steps) - way(steps / 2)) / (2 * h * static_cast<double>(steps / 2));
    INFO("h " << h);
    CHECK(std::abs(slope - exact) < 5 * exact * std::sqrt(2.0 * (1 + 0.25) * 4 / n));
  }
}

TEST_CASE("One step of each adjusted kernel keeps its law: preconditioned and tempered forms, too") {
  // N(0, diag(1, 4)), correlated by the metric alone: first and second moments and the fourth stay.
  const auto model = sm::energy_model(2, [](auto x, auto) { return 0.5 * x[0] * x[0] + 0.125 * x[1] * x[1]; });
  constexpr Index n = 100000;
  Eigen::MatrixXd start = normals(2, n, 21);
  start.row(1) *= 2;
  Eigen::Matrix2d covariance;
  covariance << 2, 0.9, 0.9, 1;
  Eigen::VectorXd deviations(2), stretch(1);
  deviations << 0.5, 3;
  stretch << 4;
  Eigen::MatrixXd direction(2, 1);
  direction << 0.6, 0.8;
  const std::vector<sm::Metric> metrics = {{},
                                           sm::Metric::diagonal(deviations),
                                           sm::Metric::dense(covariance),
                                           sm::Metric::low_rank(deviations, direction, stretch)};
  const auto check = [&](const auto& kernel, const char* name) {
    for (const sm::Metric& metric : metrics) {
      const auto draws =
          sm::sample(model, kernel, {.chains = n, .steps = 3, .seed = 4, .start = start, .metric = metric});
      INFO(name << ", " << metric.text() << ", acceptance " << draws.acceptance.mean());
      CHECK(draws.acceptance.mean() > 0.2);
      CHECK((draws.state - start).cwiseAbs().mean() > 0.05);
      const auto z = [&](Eigen::ArrayXd numbers, double exact) {
        const double error = std::sqrt((numbers - numbers.mean()).square().mean() / n);
        return std::abs(numbers.mean() - exact) / error;
      };
      const Eigen::ArrayXd a = draws.state.row(0).array(), b = draws.state.row(1).array() / 2;
      CHECK(z(a, 0) < 5);
      CHECK(z(b, 0) < 5);
      CHECK(z(a.square(), 1) < 5);
      CHECK(z(b.square(), 1) < 5);
      CHECK(z(a * b, 0) < 5);
      CHECK(z(a.square().square(), 3) < 5);
      CHECK(z(b.square().square(), 3) < 5);
    }
  };
  check(sm::hmc{0.5, 4, 0.3}, "hmc");
  check(sm::mala{0.3}, "mala");
  check(sm::barker{0.8}, "barker");
  check(sm::adjusted_underdamped_langevin{0.5, 1, 2}, "adjusted underdamped Langevin");
}

TEST_CASE("Parallel tempering keeps the law at τ = 1 and at each other temperature") {
  // f = x²/2: at τ the variance is τ. The hottest replica is not seen, but were it wrong, swaps would carry it down.
  constexpr Index n = 20000;
  const auto draws = sm::sample(standard_normal(1),
                                sm::parallel_tempering<>{.kernel = {0.6, 3, 0.3}, .temperatures = 4, .hottest = 20},
                                {.chains = n, .steps = 1, .burn_in = 60, .start = normals(1, n, 31)});
  const Eigen::ArrayXd x = draws.state.row(0).array();
  CHECK(std::abs(x.mean()) < 5 / std::sqrt(static_cast<double>(n)));
  CHECK(std::abs(x.square().mean() - 1) < 5 * std::sqrt(2.0 / n));
}

TEST_CASE("Parallel tempering finds the weights of wells that hmc does not leave") {
  // Eight wells and eight harmonic coordinates: U(x, y) = −x/2 − 6x² + x⁴ + y²/2, the right well's weight
  // 0.844307095702, E x = 1.187960983.
  const auto wells = sm::energy_model(16, [](auto x, auto) {
    auto a = head(x, 8);
    auto b = tail(x, 8);
    return sum(-0.5 * a - 6.0 * a * a + square(a * a) + 0.5 * b * b);
  });
  const auto stuck = sm::sample(wells, sm::hmc{0.25, 6}, {.chains = 16, .steps = 200, .burn_in = 50, .thin = 2});
  CHECK(stuck.status == sm::SampleStatus::not_converged);
  const auto draws =
      sm::sample(wells, sm::parallel_tempering<>{.kernel = {0.25, 6}, .temperatures = 6, .hottest = 12},
                 {.chains = 64, .steps = 600, .burn_in = 300, .warm_up = 300, .thin = 10, .max_r_hat = 1.5});
  INFO(draws.text());
  CHECK(draws.status == sm::SampleStatus::complete);
  const double right = (draws.points.topRows(8).array() > 0).cast<double>().mean();
  // 8 × 64 wells, each worth some 10 independent draws here: an error of 0.005
  CHECK(std::abs(right - 0.844307095702) < 0.025);
  CHECK(std::abs(draws.points.topRows(8).mean() - 1.187960983) < 0.09);
}

TEST_CASE("A ladder of temperatures, and each kernel's options, are checked") {
  const auto model = standard_normal(2);
  const auto refuses = [&](const auto& kernel, const char* words) {
    try {
      (void)sm::sample(model, kernel, {.chains = 4, .steps = 4});
      FAIL("accepted");
    } catch (const std::invalid_argument& error) {
      INFO(error.what());
      CHECK(std::string(error.what()).find(words) != std::string::npos);
    }
  };
  refuses(sm::hmc{0, 3}, "hmc: step");
  refuses(sm::hmc{0.1, 0}, "hmc: leapfrogs");
  refuses(sm::hmc{0.1, 3, 0}, "hmc: shortest");
  refuses(sm::barker{-1}, "barker: step");
  refuses(sm::underdamped_langevin{0.1, 0}, "underdamped_langevin: friction");
  refuses(sm::adjusted_underdamped_langevin{0.1, 1, 0}, "leapfrogs");
  refuses(sm::parallel_tempering<>{.temperatures = 1}, "temperatures");
  refuses(sm::parallel_tempering<>{.hottest = 1}, "hottest");
  refuses(sm::parallel_tempering<>{.ladder = {1, 3, 2}}, "ladder[2]");
  CHECK_THROWS_WITH(sm::Metric::diagonal(Eigen::Vector2d(1, 0)), Catch::Contains("deviation 1 is 0"));
  CHECK_THROWS_WITH(sm::Metric::dense(Eigen::Matrix2d::Ones()), Catch::Contains("not positive definite"));
  CHECK_THROWS_WITH(
      sm::sample(model, sm::mala{}, {.chains = 2, .steps = 2, .metric = sm::Metric::diagonal(Eigen::Vector3d::Ones())}),
      Catch::Contains("dimension 3; the model has dimension 2"));
}
