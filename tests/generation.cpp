// What must be true of the samplers of noise-conditional models that go down a ladder of levels: orders of the ODE's
// methods, laws of the stochastic ones, labels, guidance, and what is filled in.
//
// On Gaussian data N(0, v) every score is −x/(v + σ²), so that a step multiplies x by a known number and adds a known
// variance: what each sampler must leave is computed beside it, exactly.
//
// Seeds are fixed, so nothing here fails by chance. Had a seed been drawn by chance, each statistical check, |z| < 4,
// would fail a correct library with probability 6·10⁻⁵, all of them (less than 100) together with less than 1 %.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "fixtures.hpp"
#include "scorematch/implicit/generator.hpp"
#include "scorematch/model/algebra.hpp"
#include "scorematch/model/at_sigma.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/sampler/annealed_langevin.hpp"
#include "scorematch/sampler/dpm_solver.hpp"
#include "scorematch/sampler/generate.hpp"
#include "scorematch/sampler/heun.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/reverse_sde.hpp"
#include "scorematch/sampler/underdamped_langevin.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::same_bits;
using sm::Index;

namespace {

constexpr double limit = 4;  // of a standard normal statistic

/// N(0, v I), blurred.
sm::EnergyModel gaussian(Index d, double v) {
  return sm::energy_model(d, [v](auto x, auto sigma, auto) { return 0.5 * squared_norm(x) / (v + square(sigma)); });
}

/// 0.8 N((5, 5), I) + 0.2 N((−5, −5), I), blurred: the toy of Song & Ermon 2019, section 3.2.2.
sm::EnergyModel two_modes() {
  return sm::energy_model(2, [](auto x, auto sigma, auto) {
    auto v = 1 + square(sigma);
    return -log_sum_exp(sm::concat(std::log(0.8) - 0.5 * squared_norm(x - Eigen::Vector2d(5, 5)) / v,
                                   std::log(0.2) - 0.5 * squared_norm(x - Eigen::Vector2d(-5, -5)) / v));
  });
}

/// Three classes, each N(centre, v I); none: N(0, v I).
sm::EnergyModel classes(double v) {
  return sm::energy_model(2, sm::classes{3}, [v](auto x, auto sigma, auto label, auto) {
    const MatrixXd centres = (MatrixXd(2, 3) << 3, -3, 0, 0, 1, -4).finished();
    return 0.5 * squared_norm(x - centres * label) / (v + square(sigma));
  });
}
const Eigen::Vector2d centre_of[3] = {{3, 0}, {-3, 1}, {0, -4}};

/// The Gaussian model as a user's class.
struct GaussianClass {
  double v = 0.7;
  Index dimension() const { return 2; }
  void score(Eigen::Ref<const MatrixXd> X, Eigen::Ref<const VectorXd> sigma, Eigen::Ref<MatrixXd> S) const {
    for (Index b = 0; b < X.cols(); ++b) S.col(b) = -X.col(b) / (v + sigma[b] * sigma[b]);
  }
};
static_assert(sm::ScoreClass<GaussianClass> && !sm::extend::has_score<GaussianClass>);

/// f = x²/20, at every noise level: a force beside a model's own.
struct Spring {
  Index dimension() const { return 2; }
  void gradient(Eigen::Ref<const MatrixXd> X, Eigen::Ref<MatrixXd> G) const { G = 0.1 * X; }
};

MatrixXd some_points(Index d, Index count, double deviation) {
  MatrixXd X(d, count);
  sm::Stream stream({3, sm::extend::Purpose::user}, 0);
  for (Index i = 0; i < X.size(); ++i) X.data()[i] = deviation * stream.normal();
  return X;
}

double share_of_first_mode(const MatrixXd& X) {
  double count = 0;
  for (Index i = 0; i < X.cols(); ++i) count += X.col(i).sum() > 0 ? 1 : 0;
  return count / static_cast<double>(X.cols());
}

/// Mean and variance of all numbers, as standard normal statistics against N(0, variance).
void check_gaussian(const MatrixXd& X, double variance) {
  const double n = static_cast<double>(X.size());
  CAPTURE(variance, X.squaredNorm() / n);
  CHECK(std::abs(X.sum() / std::sqrt(n * variance)) < limit);
  CHECK(std::abs(X.squaredNorm() / n / variance - 1) / std::sqrt(2 / n) < limit);
}

/// The largest error of a sampler without the step to 0, on the ODE from S = 10 to s = 0.1 over `steps` geometric
/// steps.
template <class Sampler>
double error_over(Index steps) {
  constexpr double v = 0.7, S = 10, s = 0.1;
  const MatrixXd start = some_points(2, 16, S);
  const auto end = sm::generate(
      gaussian(2, v),
      Sampler{.levels = sm::geometric_levels{.sigma_max = S, .sigma_min = s, .levels = steps + 1}, .denoise = false},
      {.count = 16, .start = start});
  REQUIRE(end.sigma == s);
  return (end.points - std::sqrt((v + s * s) / (v + S * S)) * start).cwiseAbs().maxCoeff();
}

template <class Sampler>
void check_order(double order) {
  const double coarse = error_over<Sampler>(100), fine = error_over<Sampler>(200);
  CAPTURE(coarse, fine);
  CHECK(std::log2(coarse / fine) == Approx(order).margin(0.12));
}

}  // namespace

TEST_CASE("Langevin leaves the weights of the start's basins, annealed Langevin mends them", "[long]") {
  // The 20 000 chains' own standard deviation is 0.003. Song & Ermon's ε = 0.1 is h = 0.05 here.
  constexpr double h = 0.05;
  const auto uniform = [](sm::Stream& stream) {
    VectorXd x(2);
    for (double& number : x) number = 16 * stream.uniform() - 8;
    return x;
  };
  const auto plain = sm::generate(two_modes(), sm::annealed_langevin{.levels = {1e-3}, .steps = 1000, .step = h},
                                  {.count = 20000, .start = uniform});
  CHECK(share_of_first_mode(plain.points) == Approx(0.51).margin(0.01));
  const sm::annealed_langevin annealed{
      .levels = sm::geometric_levels{.sigma_max = 20, .sigma_min = 1, .levels = 10}, .steps = 100, .step = h};
  const auto mended = sm::generate(two_modes(), annealed, {.count = 20000, .seed = 1, .start = uniform});
  CHECK(share_of_first_mode(mended.points) == Approx(0.78).margin(0.01));
  CHECK(mended.status == sm::GenerationStatus::complete);
  CHECK(mended.sigma == 1);
  CHECK((mended.evaluations.array() == 1000).all());
}

TEST_CASE("The methods of the probability-flow ODE have their orders") {
  check_order<sm::euler>(1);
  check_order<sm::heun>(2);
  check_order<sm::dpm_solver>(2);
  check_order<sm::rk4>(4);
}

TEST_CASE("A step to 0 is Tweedie's formula, the mean of the data given x") {
  constexpr double v = 0.7, s = 0.5;
  const MatrixXd start = some_points(2, 5, 1);
  const auto check = [&](const auto& sampler) {
    const auto end = sm::generate(gaussian(2, v), sampler, {.count = 5, .start = start});
    CHECK((end.points - v / (v + s * s) * start).cwiseAbs().maxCoeff() < 1e-14);
    CHECK(end.sigma == 0);
    CHECK(end.evaluations[0] == 1);
  };
  const sm::Levels one(std::vector<double>{s});
  check(sm::euler{.levels = one});
  check(sm::heun{.levels = one});
  check(sm::rk4{.levels = one});
  check(sm::dpm_solver{.levels = one});
  check(sm::reverse_sde{.levels = one});
  check(sm::predictor_corrector{.levels = one});
}

TEST_CASE("Stochastic samplers leave the variance that their steps add up to") {
  constexpr double v = 0.7;
  constexpr Index count = 20000;
  const double temperature = GENERATE(1.0, 0.6);
  CAPTURE(temperature);
  const sm::Levels levels = sm::edm_levels{.sigma_max = 20, .sigma_min = 0.05, .levels = 12};
  const auto s = [&](double sigma) { return -1 / (v + sigma * sigma); };  // times x

  SECTION("reverse_sde") {
    double V = 20 * 20;
    for (Index i = 0; i + 1 < levels.size(); ++i) {
      const double change = levels[i] * levels[i] - levels[i + 1] * levels[i + 1];
      V = std::pow(1 + change * s(levels[i]), 2) * V + change * temperature;
    }
    const auto end =
        sm::generate(gaussian(1, v), sm::reverse_sde{.levels = levels, .temperature = temperature, .denoise = false},
                     {.count = count});
    check_gaussian(end.points, V);
    CHECK(end.sigma == 0.05);
  }
  SECTION("predictor_corrector") {
    double V = 20 * 20;
    for (Index i = 0; i + 1 < levels.size(); ++i) {
      const double change = levels[i] * levels[i] - levels[i + 1] * levels[i + 1];
      V = std::pow(1 + change * s(levels[i]), 2) * V + change * temperature;
      const double h = 2 * std::pow(0.3 * levels[i + 1], 2);
      for (int k = 0; k < 2; ++k) V = std::pow(1 + h * s(levels[i + 1]), 2) * V + 2 * h * temperature;
    }
    const auto end = sm::generate(gaussian(1, v),
                                  sm::predictor_corrector{.levels = levels,
                                                          .corrector_steps = 2,
                                                          .signal_to_noise = 0.3,
                                                          .temperature = temperature,
                                                          .denoise = false},
                                  {.count = count});
    check_gaussian(end.points, V);
    CHECK(end.evaluations[0] == 11 * 3);
  }
  SECTION("annealed_langevin") {
    double V = 20 * 20 + 3;
    for (Index i = 0; i < levels.size(); ++i) {
      const double h = 2e-4 * std::pow(levels[i] / 0.05, 2);
      for (int k = 0; k < 5; ++k) V = std::pow(1 + h * s(levels[i]), 2) * V + 2 * h * temperature;
    }
    const auto end = sm::generate(
        gaussian(1, v), sm::annealed_langevin{.levels = levels, .steps = 5, .step = 2e-4, .temperature = temperature},
        {.count = count, .data_variance = 3});
    check_gaussian(end.points, V);
  }
  SECTION("heun with churn, which is at most √2 − 1") {
    const double churn = GENERATE(3.0, 100.0), gamma = std::min(churn / 12, std::sqrt(2.0) - 1);
    double V = 20 * 20;
    const auto slope = [&](double sigma) { return -sigma * s(sigma); };
    for (Index i = 0; i < levels.size(); ++i) {
      const double next = i + 1 < levels.size() ? levels[i + 1] : 0;
      double sigma = levels[i];
      if (sigma >= 0.2 && sigma <= 5) {
        sigma *= 1 + gamma;
        V += temperature * (sigma * sigma - levels[i] * levels[i]);
      }
      const double h = next - sigma, euler = 1 + h * slope(sigma);
      V *= std::pow(next == 0 ? euler : 1 + 0.5 * h * (slope(sigma) + slope(next) * euler), 2);
    }
    const auto end = sm::generate(
        gaussian(1, v),
        sm::heun{
            .levels = levels, .churn = churn, .churn_min = 0.2, .churn_max = 5, .churn_noise = std::sqrt(temperature)},
        {.count = count});
    check_gaussian(end.points, V);
  }
}

TEST_CASE("With many levels the law is that of the data, its variance times the temperature", "[long]") {
  constexpr double v = 0.7;
  const double temperature = GENERATE(1.0, 0.5);
  const sm::Levels levels = sm::edm_levels{.sigma_max = 40, .sigma_min = 0.01, .levels = 600};
  const auto sde = sm::generate(gaussian(5, v), sm::reverse_sde{.levels = levels, .temperature = temperature},
                                {.count = 2000, .data_variance = 0.7});
  const auto pc = sm::generate(gaussian(5, v), sm::predictor_corrector{.levels = levels, .temperature = temperature},
                               {.count = 2000, .data_variance = 0.7});
  // 10 000 numbers: the standard deviation of their variance is 0.014 of it; the bias of the steps is below 0.01
  CHECK(sde.points.squaredNorm() / 10000 == Approx(temperature * v).epsilon(0.066));
  CHECK(pc.points.squaredNorm() / 10000 == Approx(temperature * v).epsilon(0.066));
}

TEST_CASE("Another corrector brings chains to the law of each level") {
  // Sixty steps forget what the predictor left; BAOAB's variance is exact, v + σ² after the last level.
  constexpr Index count = 20000;
  const double v = 0.7;
  const sm::Levels levels = {3.0, 1.0};
  const sm::predictor_corrector sampler{
      .levels = levels, .corrector_steps = 60, .denoise = false, .corrector = sm::underdamped_langevin{.step = 0.5}};
  const auto end = sm::generate(gaussian(1, v), sampler, {.count = count});
  CHECK(end.points.squaredNorm() / count == Approx(v + 1).epsilon(5 * std::sqrt(2.0 / count)));
  // Langevin's, given, is the one that signal_to_noise names.
  const auto named = sm::generate(gaussian(2, v), sm::predictor_corrector{.levels = levels}, {.count = 100});
  const auto given = sm::generate(
      gaussian(2, v), sm::predictor_corrector{.levels = levels, .corrector = sm::langevin{.step = 2 * 0.16 * 0.16}},
      {.count = 100});
  CHECK((named.points - given.points).cwiseAbs().maxCoeff() < 1e-14);
  const auto refused = [&](const sm::predictor_corrector& wrong, const char* why) {
    CHECK_THROWS_WITH(sm::generate(gaussian(1, v), wrong), ContainsSubstring(why));
  };
  refused({.signal_to_noise = 0.3, .corrector = sm::langevin{}}, "leave signal_to_noise out");
  refused({.temperature = 0.5, .corrector = sm::langevin{}}, "temperature is 0.5, but the corrector's is 1");
  refused({.corrector = sm::langevin{.step = -1}}, "step is -1");
}

TEST_CASE("Annealed Langevin at a temperature leaves that power of the density, weights included") {
  // 0.7 N(1.5, 1) + 0.3 N(−1.5, 1), blurred by the last level
  constexpr double smallest = 0.3, temperature = 0.5, v = 1 + smallest * smallest;
  constexpr Index count = 4000;
  const auto model = sm::energy_model(1, [](auto x, auto sigma, auto) {
    auto s = 1 + square(sigma);
    return -log_sum_exp(
        sm::concat(std::log(0.7) - 0.5 * square(x[0] - 1.5) / s, std::log(0.3) - 0.5 * square(x[0] + 1.5) / s));
  });
  const auto end = sm::generate(
      model,
      sm::annealed_langevin{.levels = sm::geometric_levels{.sigma_max = 8, .sigma_min = smallest, .levels = 15},
                            .steps = 100,
                            .step = 0.1 * smallest * smallest,
                            .temperature = temperature},
      {.count = count});
  double all = 0, above = 0, second = 0;
  for (int i = 0; i < 4000; ++i) {
    const double x = -10 + 0.005 * (i + 0.5);
    const double p =
        0.7 * std::exp(-0.5 * (x - 1.5) * (x - 1.5) / v) + 0.3 * std::exp(-0.5 * (x + 1.5) * (x + 1.5) / v);
    const double power = std::pow(p, 1 / temperature);
    all += power;
    above += x > 0 ? power : 0;
    second += x * x * power;
  }
  // The standard deviations are 0.006 and 0.03; the margins leave room for what finite steps are wrong by.
  CHECK(share_of_first_mode(end.points) == Approx(above / all).margin(0.03));
  CHECK(end.points.squaredNorm() / count == Approx(second / all).margin(0.15));
  CHECK(above / all > 0.8);
}

TEST_CASE("Chains with a label end at its mode") {
  std::vector<int> labels(400);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int>(i % 4) - 1;
  const auto end = sm::generate(classes(0.04), sm::heun{.levels = sm::edm_levels{.sigma_max = 40, .levels = 20}},
                                {.count = 400, .labels = labels});
  for (Index i = 0; i < 400; ++i) {  // each coordinate has deviation 0.2
    const int label = labels[static_cast<std::size_t>(i)];
    const Eigen::Vector2d centre = label < 0 ? Eigen::Vector2d(0, 0) : centre_of[label];
    CAPTURE(i, label);
    CHECK((end.points.col(i) - centre).norm() < 1.3);
  }
  CHECK(end.evaluations[7] == 39);
}

TEST_CASE("Guidance draws a line through the scores without and with the label") {
  // The guided score is that of N(w centre, v): the same chains as without a label, moved.
  constexpr double v = 0.5, w = 2.5;
  const std::vector<int> labels = {0, 1, 2, -1, 2, 1, 0};
  const sm::heun sampler{.levels = sm::edm_levels{.sigma_max = 10, .levels = 15}};
  const MatrixXd start = some_points(2, 7, 10);
  MatrixXd moved = start;
  for (Index i = 0; i < 7; ++i)
    if (labels[static_cast<std::size_t>(i)] >= 0) moved.col(i) += w * centre_of[labels[static_cast<std::size_t>(i)]];
  const auto guided = sm::generate(classes(v), sampler, {.count = 7, .labels = labels, .guidance = w, .start = moved});
  const std::vector<int> no_labels(7, -1);
  const auto free = sm::generate(classes(v), sampler, {.count = 7, .labels = no_labels, .start = start});
  for (Index i = 0; i < 7; ++i) {
    const int label = labels[static_cast<std::size_t>(i)];
    const Eigen::Vector2d by = label < 0 ? Eigen::Vector2d(0, 0) : Eigen::Vector2d(w * centre_of[label]);
    CHECK((guided.points.col(i) - free.points.col(i) - by).norm() < 1e-12);
  }
  CHECK(guided.evaluations[0] == 2 * free.evaluations[0]);
  const auto none = sm::generate(classes(v), sampler, {.count = 7, .labels = labels, .guidance = 0, .start = start});
  CHECK(same_bits<double>(none.points, free.points));
}

TEST_CASE("What is known stays exactly, and the rest follows it approximately") {
  // N(0, ((1, 0.8), (0.8, 1))): given x_0 = a, x_1 is N(0.8 a, 0.36).
  const auto model = sm::energy_model(2, [](auto x, auto sigma, auto) {
    auto s = 1 + square(sigma);
    return 0.5 * (s * squared_norm(x) - 1.6 * x[0] * x[1]) / (square(s) - 0.64);
  });
  constexpr Index count = 2000;
  MatrixXd known = MatrixXd::Constant(2, count, std::numeric_limits<double>::quiet_NaN());
  known.row(0).setConstant(1.2);
  const auto check = [&](const auto& sampler, Index resampling, double mean, double variance, double margin) {
    const auto end =
        sm::generate(model, sampler, {.count = count, .data_variance = 1, .known = known, .resampling = resampling});
    CHECK((end.points.row(0).array() == 1.2).all());
    const double found = end.points.row(1).mean();
    CHECK(found == Approx(mean).margin(margin));
    CHECK((end.points.row(1).array() - found).square().mean() == Approx(variance).margin(margin));
  };
  // The standard deviations of mean and variance are 0.014; the margins are for what the method itself is wrong by.
  const sm::Levels levels = sm::geometric_levels{.sigma_max = 10, .sigma_min = 0.02, .levels = 40};
  const sm::geometric_levels few{.sigma_max = 10, .sigma_min = 0.05, .levels = 20};
  check(sm::annealed_langevin{.levels = few, .steps = 100, .step = 5e-4}, 1, 0.96, 0.36, 0.06);
  check(sm::reverse_sde{.levels = levels}, 10, 0.96, 0.36, 0.06);
  // Once through, the diffusion settles where the known number is still noisy: its mean solves
  //   dm/dw = ((1 + w) m − 0.8 a)/((1 + w)² − 0.64),  w = σ² from 100 down to 0
  // if the steps are small.
  double m = 0, w = 100;
  for (int k = 0; k < 200000; ++k) {
    const double next = 100 * std::pow(1 - (k + 1) / 200000.0, 4), middle = 0.5 * (w + next);
    m += (next - w) * ((1 + middle) * m - 0.96) / ((1 + middle) * (1 + middle) - 0.64);
    w = next;
  }
  const auto once = sm::generate(model, sm::reverse_sde{.levels = sm::edm_levels{.sigma_max = 10, .levels = 400}},
                                 {.count = count, .data_variance = 1, .known = known});
  CHECK(once.points.row(1).mean() == Approx(m).margin(0.06));
  CHECK(m < 0.7);
}

TEST_CASE("Generated samples are the same bits for any number of threads, whatever the other chains are") {
  const std::vector<int> labels(300, 2);
  const auto check = [&](const auto& sampler) {
    const auto many = sm::generate(classes(0.5), sampler, {.count = 300, .seed = 9, .labels = labels, .guidance = 1.5});
#ifdef _OPENMP
    const int before = omp_get_max_threads();
    for (const int threads : {1, 2, 3}) {
      omp_set_num_threads(threads);
      CHECK(same_bits<double>(
          many.points,
          sm::generate(classes(0.5), sampler, {.count = 300, .seed = 9, .labels = labels, .guidance = 1.5}).points));
    }
    omp_set_num_threads(before);
#endif
    const auto few = sm::generate(
        classes(0.5), sampler, {.count = 3, .seed = 9, .labels = {labels[0], labels[1], labels[2]}, .guidance = 1.5});
    CHECK((few.points - many.points.leftCols(3)).cwiseAbs().maxCoeff() < 1e-12);
    const auto other = sm::generate(
        classes(0.5), sampler, {.count = 3, .seed = 8, .labels = {labels[0], labels[1], labels[2]}, .guidance = 1.5});
    CHECK((few.points - other.points).cwiseAbs().minCoeff() > 1e-6);
  };
  const sm::Levels levels = sm::edm_levels{.sigma_max = 10, .levels = 8};
  check(sm::heun{.levels = levels, .churn = 2});
  check(sm::dpm_solver{.levels = levels});
  check(sm::predictor_corrector{.levels = levels});
  check(sm::annealed_langevin{.levels = levels, .steps = 3});
  const auto from_draws = [&](Index count) -> MatrixXd {
    const auto drawn = [](sm::Stream& stream) -> VectorXd { return 10 * stream.normals(2); };
    return sm::generate(gaussian(2, 1), sm::heun{.levels = levels}, {.count = count, .seed = 9, .start = drawn}).points;
  };
  const MatrixXd three = from_draws(3);
  CHECK((three - from_draws(300).leftCols(3)).cwiseAbs().maxCoeff() < 1e-12);
  CHECK((three.col(0) - three.col(1)).cwiseAbs().minCoeff() > 1e-6);
}

TEST_CASE("The noise of a step is that of the chain") {
  // From 0, where the score is 0, one step of the reverse diffusion is √(σ² − σ'²) z.
  constexpr Index count = 300;
  const auto end = sm::generate(gaussian(2, 1), sm::reverse_sde{.levels = {1.0, 0.6}, .denoise = false},
                                {.count = count, .seed = 5, .start = MatrixXd::Zero(2, count)});
  MatrixXd Z(count, 2);
  sm::extend::fill_normals<double>({5, sm::extend::Purpose::chain_noise}, sm::extend::Ids::from(0), count, 0, 2,
                                   Z.data(), count);
  CHECK((end.points - 0.8 * Z.transpose()).cwiseAbs().maxCoeff() < 1e-15);
  // With resampling a step is taken again, from where noise of its own lifts it to; the coordinates are independent.
  MatrixXd known = MatrixXd::Constant(2, count, std::numeric_limits<double>::quiet_NaN());
  known.row(0).setZero();
  const auto twice =
      sm::generate(gaussian(2, 1), sm::reverse_sde{.levels = {1.0, 0.6}, .denoise = false},
                   {.count = count, .seed = 5, .start = MatrixXd::Zero(2, count), .known = known, .resampling = 2});
  MatrixXd second(count, 2), up(count, 2);
  sm::extend::fill_normals<double>({5, sm::extend::Purpose::chain_noise}, sm::extend::Ids::from(0), count, 1, 2,
                                   second.data(), count);
  sm::extend::fill_normals<double>({5, sm::extend::Purpose::known_values}, sm::extend::Ids::from(0), count, 1, 2,
                                   up.data(), count);
  const VectorXd x = (1 - 0.64 / 2) * (0.8 * Z.col(1) + 0.8 * up.col(1)) + 0.8 * second.col(1);
  CHECK((twice.points.row(1).transpose() - x).cwiseAbs().maxCoeff() < 1e-14);
  CHECK((twice.points.row(0).array() == 0).all());
}

TEST_CASE("Float follows double, a user's class its formula") {
  const MatrixXd start = some_points(2, 50, 10);
  const sm::rk4 sampler{.levels = sm::edm_levels{.sigma_max = 10, .levels = 20}};
  const sm::Generation<double> a = sm::generate(gaussian(2, 0.7), sampler, {.count = 50, .start = start});
  const sm::Generation<float> b = sm::generate<float>(gaussian(2, 0.7), sampler, {.count = 50, .start = start});
  const sm::Generation<double> c = sm::generate(GaussianClass{}, sampler, {.count = 50, .start = start});
  CHECK((a.points - b.points.cast<double>()).cwiseAbs().maxCoeff() < 1e-5);
  CHECK((a.points - c.points).cwiseAbs().maxCoeff() < 1e-13);
}

TEST_CASE("A sum with a model that takes sigma takes it too") {
  const MatrixXd start = some_points(2, 20, 3);
  const sm::rk4 sampler{.levels = sm::edm_levels{.sigma_max = 3, .levels = 10}};
  const auto both = sm::energy_model(
      2, [](auto x, auto sigma, auto) { return (0.05 + 0.5 / (0.7 + square(sigma))) * squared_norm(x); });
  const auto expected = sm::generate(both, sampler, {.count = 20, .start = start});
  const auto sum = sm::generate(gaussian(2, 0.7) + Spring{}, sampler, {.count = 20, .start = start});
  CHECK((sum.points - expected.points).cwiseAbs().maxCoeff() < 1e-13);
  CHECK_THROWS_WITH(sm::generate(sm::at_sigma(both, 0.5), sampler), ContainsSubstring("takes no sigma"));
}

TEST_CASE("A callback stops generation at a noise level, and lost chains are counted") {
  int calls = 0;
  double last_sigma = 100;
  const auto stopped =
      sm::generate(gaussian(2, 0.7), sm::euler{.levels = sm::edm_levels{.sigma_max = 10, .levels = 30}},
                   {.count = 10, .progress = [&](const sm::Progress& p) {
                      CHECK(p.of == 30);
                      CHECK(p.value < last_sigma);
                      last_sigma = p.value;
                      return ++calls < 7;
                    }});
  CHECK(stopped.status == sm::GenerationStatus::stopped);
  CHECK(stopped.sigma == last_sigma);
  CHECK(stopped.evaluations[3] == 7);

  const auto wall = sm::energy_model(1, [](auto x, auto, auto) { return sqrt(x[0] + 3) * 1e-3; });  // NaN below −3
  MatrixXd start(1, 40);
  start.setConstant(2);
  start(0, 5) = start(0, 21) = -4;
  const auto lost = sm::generate(wall, sm::euler{.levels = sm::edm_levels{.sigma_max = 1, .levels = 5}},
                                 {.count = 40, .start = start});
  CHECK(lost.status == sm::GenerationStatus::diverged);
  CHECK(lost.lost_chains == 2);
  CHECK(lost.points(0, 5) == -4);
  CHECK(lost.points.allFinite());
  CHECK(std::string(to_string(lost.status)) == "diverged");
}

TEST_CASE("Options of generate out of range are named") {
  const auto model = gaussian(2, 1);
  const std::vector<int> three = {0, 1, 2}, four = {0, 1, 3};
  const auto plain = sm::energy_model(2, [](auto x, auto) { return squared_norm(x); });
  const sm::heun heun;
  CHECK_THROWS_WITH(sm::generate(plain, heun), ContainsSubstring("takes no sigma"));
  CHECK_THROWS_WITH(sm::generate(model, heun, {.count = 0}), ContainsSubstring("count is 0"));
  CHECK_THROWS_WITH(sm::generate(model, heun, {.count = 3, .labels = three}), ContainsSubstring("takes no label"));
  CHECK_THROWS_WITH(sm::generate(classes(1), heun, {.count = 4, .labels = three}),
                    ContainsSubstring("3 numbers for 4"));
  CHECK_THROWS_WITH(sm::generate(classes(1), heun, {.count = 3, .labels = four}),
                    ContainsSubstring("has 3 for column 2"));
  CHECK_THROWS_WITH(sm::generate(classes(1), heun, {.guidance = 2}), ContainsSubstring("labels are missing"));
  CHECK_THROWS_WITH(sm::generate(model, heun, {.count = 3, .start = MatrixXd::Zero(2, 2)}),
                    ContainsSubstring("GenerateOptions: start is 2 × 2"));
  CHECK_THROWS_WITH(sm::generate(model, heun, {.count = 3, .known = MatrixXd::Zero(3, 2)}),
                    ContainsSubstring("known is 3 × 2"));
  CHECK_THROWS_WITH(sm::generate(model, heun, {.count = 3, .known = MatrixXd::Constant(2, 3, INFINITY)}),
                    ContainsSubstring("infinite"));
  CHECK_THROWS_WITH(sm::generate(model, heun, {.data_variance = -1}), ContainsSubstring("data_variance is -1"));
  CHECK_THROWS_WITH(sm::generate(model, heun, {.resampling = 0}), ContainsSubstring("resampling is 0"));
  CHECK_THROWS_WITH(sm::generate(model, heun, {.resampling = 5}), ContainsSubstring("resampling is 5, but nothing"));
  CHECK_THROWS_WITH(sm::generate(model, sm::heun{.churn = -1}), ContainsSubstring("churn is -1"));
  CHECK_THROWS_WITH(sm::generate(model, sm::euler{.levels = {2.0}, .denoise = false}),
                    ContainsSubstring("one noise level"));
  CHECK_THROWS_WITH(sm::generate(model, sm::euler{.levels = {1.0, 2.0}}), ContainsSubstring("must decrease"));
  CHECK_THROWS_WITH(sm::generate(model, sm::reverse_sde{.temperature = 0}), ContainsSubstring("temperature is 0"));
  CHECK_THROWS_WITH(sm::generate(model, sm::annealed_langevin{.step = -1}), ContainsSubstring("step is -1"));
  CHECK_THROWS_WITH(sm::generate(model, sm::annealed_langevin{.steps = 0}), ContainsSubstring("steps is 0"));
  CHECK_THROWS_WITH(sm::generate(model, sm::predictor_corrector{.signal_to_noise = 0}),
                    ContainsSubstring("signal_to_noise is 0"));
}

TEST_CASE("Implicit models are generated from as before") {
  const auto shift = sm::generator(1, 1, [](auto z, auto) { return z + 1; });
  CHECK(sm::generate(shift, 5).cols() == 5);
  CHECK(sm::generate<float>(shift, 5, 3).rows() == 1);
  CHECK(sm::generate(shift, MatrixXd::Zero(1, 2).eval())(0, 1) == 1);
}

TEST_CASE("Langevin's step at a level has its stability limit, in any unit") {
  using sm::GenerationStatus;
  for (const double unit : {1e-9, 1.0, 1e9}) {
    const auto model = sm::energy_model(1, [unit](auto x, auto sigma, auto) {
      auto v = unit * unit + square(sigma);
      return -log_sum_exp(sm::concat(std::log(0.8) - 0.5 * square(x[0] - 5 * unit) / v,
                                     std::log(0.2) - 0.5 * square(x[0] + 5 * unit) / v));
    });
    const sm::Levels levels = sm::geometric_levels{.sigma_max = 20 * unit, .sigma_min = unit, .levels = 10};
    const auto annealed = [&](double ratio) {
      return sm::generate(model, sm::annealed_langevin{.levels = levels, .steps = 60, .step = ratio * unit * unit},
                          {.count = 300});
    };
    const auto corrected = [&](double r) {
      return sm::generate(model, sm::predictor_corrector{.levels = levels, .corrector_steps = 5, .signal_to_noise = r},
                          {.count = 300});
    };
    CAPTURE(unit);
    for (const double ratio : {0.05, 0.3, 0.5}) {
      const auto end = annealed(ratio);
      CHECK(end.status == GenerationStatus::complete);
      CHECK(end.evidence.empty());
      CHECK(end.step_times_slope < ratio);  // the slope is at most 1/σ²
      CHECK(end.step_times_slope > 0.8 * ratio);
    }
    for (const double ratio : {1.25, 1.6, 1.9}) {
      const auto end = annealed(ratio);
      CHECK(end.status == GenerationStatus::coarse);
      CHECK(end.lost_chains == 0);
      CHECK(end.evidence.find("unstable from 2 on") != std::string::npos);
    }
    for (const double ratio : {2.5, 10.0}) CHECK(annealed(ratio).status == GenerationStatus::diverged);
    CHECK(corrected(0.16).status == GenerationStatus::complete);
    CHECK(corrected(0.8).status == GenerationStatus::coarse);
    CHECK(corrected(1.5).status == GenerationStatus::diverged);
  }
  CHECK(std::string(sm::to_string(GenerationStatus::coarse)) == "coarse");
}

TEST_CASE("Chains that stray are told, far data are not straying") {
  using sm::GenerationStatus;
  // A score of the wrong sign carries chains away, short of overflow.
  const auto wrong =
      sm::energy_model(1, [](auto x, auto sigma, auto) { return -0.5 * square(x[0]) / (1 + square(sigma)); });
  const auto strayed = sm::generate(wrong, sm::reverse_sde{}, {.count = 40});
  CHECK(strayed.status == GenerationStatus::diverged);
  CHECK(strayed.lost_chains > 30);
  CHECK(strayed.points.allFinite());
  CHECK(strayed.evidence.find("farther from where the score says") != std::string::npos);
  const auto far =
      sm::energy_model(1, [](auto x, auto sigma, auto) { return 0.5 * square(x[0] - 1e6) / (1 + square(sigma)); });
  CHECK(sm::generate(far, sm::reverse_sde{}, {.count = 40}).status == GenerationStatus::complete);
  CHECK(sm::generate(far, sm::heun{}, {.count = 40}).status == GenerationStatus::complete);
  CHECK(sm::generate(far, sm::annealed_langevin{.steps = 20}, {.count = 40}).status == GenerationStatus::complete);
  CHECK(sm::generate(gaussian(2, 1e6), sm::heun{.levels = sm::edm_levels{.sigma_max = 1, .levels = 4}}, {.count = 40})
            .status == GenerationStatus::complete);
}

TEST_CASE("Numbers of steps that have no noise of their own are refused") {
  const Index huge = Index{1} << 62;
  const auto model = gaussian(1, 1);
  CHECK_THROWS_WITH(sm::generate(model, sm::annealed_langevin{.steps = huge}), ContainsSubstring("steps is 46116"));
  CHECK_THROWS_WITH(sm::generate(model, sm::predictor_corrector{.corrector_steps = huge}),
                    ContainsSubstring("corrector_steps is 46116"));
  CHECK_THROWS_WITH(sm::generate(model, sm::heun{}, {.count = huge}), ContainsSubstring("count is 46116"));
  CHECK_THROWS_WITH(sm::generate(model, sm::heun{}, {.count = 1, .known = MatrixXd::Zero(1, 1), .resampling = huge}),
                    ContainsSubstring("resampling is 46116"));
}
