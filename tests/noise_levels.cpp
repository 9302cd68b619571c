// Ladders of noise levels against the formulas that define them, and laws of the level against their distributions.
//
// Seeds are fixed, so nothing here fails by chance. Had a seed been drawn by chance, each statistical check would fail
// a correct library with probability below 10⁻⁴.
#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "scorematch/noise/law.hpp"
#include "scorematch/noise/levels.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using sm::Index;

namespace {

constexpr double pi = 3.141592653589793;

/// The largest second difference of numbers that should lie on a line, relative to their largest.
double bend(const std::vector<double>& numbers) {
  double worst = 0, largest = 0;
  for (const double number : numbers) largest = std::max(largest, std::abs(number));
  for (std::size_t i = 1; i + 1 < numbers.size(); ++i)
    worst = std::max(worst, std::abs(numbers[i - 1] - 2 * numbers[i] + numbers[i + 1]));
  return worst / largest;
}

template <class F>
std::vector<double> each(const sm::Levels& levels, F function) {
  std::vector<double> images;
  for (const double sigma : levels.sigmas()) images.push_back(function(sigma));
  return images;
}

/// α of the variance-preserving process at the noise level σ = √(1 − α²)/α.
double alpha_of(double sigma) { return 1 / std::sqrt(1 + sigma * sigma); }

/// Draws of a law: σ and the number of the group, for samples 0 … count − 1.
template <class T>
struct Draws {
  sm::Vector<T> sigma;
  Eigen::VectorXi group;

  Draws(const sm::NoiseLaw& law, Index count, std::uint64_t seed, std::uint64_t draw = 0) {
    std::vector<std::int64_t> ids(static_cast<std::size_t>(count));
    std::iota(ids.begin(), ids.end(), std::int64_t{0});
    law.draw<T>(seed, ids.data(), count, draw, sigma, group);
  }

  std::vector<double> counts(Index groups) const {
    std::vector<double> all(static_cast<std::size_t>(groups), 0.0);
    for (Index i = 0; i < group.size(); ++i) ++all[static_cast<std::size_t>(group[i])];
    return all;
  }
};

/// Σ (found − expected)²/expected over equally likely cells.
double chi_squared(const std::vector<double>& counts) {
  const double expected = std::accumulate(counts.begin(), counts.end(), 0.0) / static_cast<double>(counts.size());
  double sum = 0;
  for (const double count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

/// The largest distance between the distribution of numbers and that of a uniform one on (0, 1), times √n.
double kolmogorov(std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  const auto n = static_cast<double>(numbers.size());
  double worst = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i)
    worst = std::max({worst, numbers[i] - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - numbers[i]});
  return worst * std::sqrt(n);
}

/// How many of the ranks, from 0 to 1, are not in the eighth of their number, to a float's rounding.
Index outside(const std::vector<double>& ranks, const Eigen::VectorXi& eighth) {
  Index count = 0;
  for (std::size_t i = 0; i < ranks.size(); ++i)
    count += std::abs(8 * ranks[i] - eighth[static_cast<Index>(i)] - 0.5) > 0.5 + 1e-4;
  return count;
}

}  // namespace

TEST_CASE("A geometric ladder has one ratio, a linear one one difference, and both their ends exactly") {
  const sm::Levels geometric = sm::geometric_levels{.sigma_max = 20, .sigma_min = 0.1, .levels = 11};
  CHECK(geometric.size() == 11);
  CHECK(geometric.largest() == 20);
  CHECK(geometric.smallest() == 0.1);
  for (Index i = 1; i < 11; ++i)
    CHECK(geometric[i] / geometric[i - 1] == Approx(std::pow(0.1 / 20, 0.1)).epsilon(1e-13));
  const sm::Levels linear = sm::linear_levels{.sigma_max = 2, .sigma_min = 0.5, .levels = 7};
  CHECK(linear.largest() == 2);
  CHECK(linear.smallest() == 0.5);
  for (Index i = 1; i < 7; ++i) CHECK(linear[i - 1] - linear[i] == Approx(0.25).epsilon(1e-13));
}

TEST_CASE("EDM's ladder: the roots of the levels are evenly spaced; rho = 1 is linear, a large one nearly geometric") {
  const sm::edm_levels policy{.sigma_max = 80, .sigma_min = 0.002, .rho = 7, .levels = 18};
  const sm::Levels levels = policy;
  CHECK(levels.largest() == 80);
  CHECK(levels.smallest() == 0.002);
  CHECK(bend(each(levels, [](double sigma) { return std::pow(sigma, 1.0 / 7); })) < 1e-14);
  const sm::Levels three = sm::edm_levels{.sigma_max = 80, .sigma_min = 0.002, .rho = 7, .levels = 3};
  CHECK(three[1] == Approx(std::pow(0.5 * (std::pow(80, 1.0 / 7) + std::pow(0.002, 1.0 / 7)), 7)).epsilon(1e-13));
  const sm::Levels straight = sm::edm_levels{.sigma_max = 3, .sigma_min = 1, .rho = 1, .levels = 5};
  CHECK(bend(straight.sigmas()) < 1e-15);
  const sm::Levels curved = sm::edm_levels{.sigma_max = 3, .sigma_min = 1, .rho = 1e6, .levels = 3};
  CHECK(curved[1] == Approx(std::sqrt(3.0)).epsilon(1e-6));
}

TEST_CASE("The variance-preserving ladder is √(1 − α²)/α with α = exp(−½ ∫β dt), at even times") {
  const sm::variance_preserving_levels policy{.beta_min = 0.1, .beta_max = 20, .epsilon = 1e-3, .levels = 9};
  const sm::Levels levels = policy;
  for (Index i = 0; i < 9; ++i) {
    const double t = 1 + static_cast<double>(i) / 8 * (policy.epsilon - 1);
    double integral = 0;  // of β from 0 to t: the midpoint rule is exact for what is linear
    for (int k = 0; k < 100; ++k)
      integral += t / 100 * (policy.beta_min + (k + 0.5) / 100 * t * (policy.beta_max - policy.beta_min));
    const double alpha = std::exp(-0.5 * integral);
    CHECK(levels[i] == Approx(std::sqrt(1 - alpha * alpha) / alpha).epsilon(1e-10));
    // x/α has that noise level when x = αx₀ + √(1 − α²) z
    CHECK(alpha_of(levels[i]) == Approx(alpha).epsilon(1e-12));
  }
  CHECK(levels.largest() == Approx(std::sqrt(std::exp(0.5 * (0.1 + 20)) - 1)).epsilon(1e-12));
}

TEST_CASE("The cosine ladder: α is a cosine at even times, 1 at time 0") {
  const sm::cosine_levels policy{.offset = 0.008, .t_max = 0.9, .t_min = 0.1, .levels = 9};
  const double at_zero = std::cos(0.5 * pi * 0.008 / 1.008);
  const std::vector<double> angles =
      each(policy, [&](double sigma) { return std::acos(alpha_of(sigma) * at_zero) * 2 / pi * 1.008 - 0.008; });
  for (std::size_t i = 0; i < 9; ++i) CHECK(angles[i] == Approx(0.9 - 0.1 * static_cast<double>(i)).epsilon(1e-12));
  CHECK(sm::Levels(sm::cosine_levels{.t_min = 1e-9}).smallest() < 1e-4);
  CHECK(sm::Levels(sm::cosine_levels{}).largest() == Approx(118).epsilon(0.01));
}

TEST_CASE("A ladder may have one level, and be any list that decreases") {
  CHECK(sm::Levels(sm::geometric_levels{.sigma_max = 2, .sigma_min = 2, .levels = 1}).sigmas() ==
        std::vector<double>{2});
  CHECK(sm::Levels(sm::edm_levels{.levels = 1}).sigmas() == std::vector<double>{80});
  CHECK(sm::Levels(sm::cosine_levels{.levels = 2}).size() == 2);
  const sm::NoiseLaw law = std::vector<double>{3, 1, 0.5};  // as `.sigma = std::vector<double>{…}` makes it
  CHECK(law.level_names() == std::vector<std::string>{"sigma 3", "sigma 1", "sigma 0.5"});
  const sm::Levels own(std::vector<double>{3, 1, 0.5});
  CHECK(own[1] == 1);
  const sm::Levels copy = own;
  CHECK(copy.sigmas() == own.sigmas());
}

TEST_CASE("Levels that are none are refused, with what is wrong and what is allowed") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  using list = std::vector<double>;
  CHECK_THROWS_WITH(sm::Levels(list{}), ContainsSubstring("the noise levels are empty"));
  CHECK_THROWS_WITH(sm::Levels(list{2, 1, 1}), ContainsSubstring("noise level 2 is 1 and level 1 is 1; levels must "
                                                                 "decrease"));
  CHECK_THROWS_WITH(sm::Levels(list{1, 2}), ContainsSubstring("noise level 1 is 2 and level 0 is 1"));
  CHECK_THROWS_WITH(sm::Levels(list{1, 0}), ContainsSubstring("noise level 1 is 0; every level must be a finite"));
  CHECK_THROWS_WITH(sm::Levels(list{1, -1}), ContainsSubstring("noise level 1 is -1"));
  CHECK_THROWS_WITH(sm::Levels(list{nan}), ContainsSubstring("noise level 0 is nan"));
  CHECK_THROWS_WITH(sm::Levels(list{infinity, 1}), ContainsSubstring("noise level 0 is inf"));

  CHECK_THROWS_WITH(sm::geometric_levels{.levels = 0}.sigmas(),
                    ContainsSubstring("geometric_levels: levels is 0; it must be at "
                                      "least 1"));
  CHECK_THROWS_WITH(
      (sm::geometric_levels{.sigma_max = 1, .sigma_min = 2}.sigmas()),
      ContainsSubstring("geometric_levels: sigma_max is 1; it must be a finite number above sigma_min, 2"));
  CHECK_THROWS_WITH((sm::geometric_levels{.sigma_max = 1, .sigma_min = 0}.sigmas()),
                    ContainsSubstring("geometric_levels: sigma_min is 0"));
  CHECK_THROWS_WITH((sm::linear_levels{.sigma_max = nan}.sigmas()),
                    ContainsSubstring("linear_levels: sigma_max is nan"));
  CHECK_THROWS_WITH((sm::linear_levels{.sigma_min = -1}.sigmas()), ContainsSubstring("linear_levels: sigma_min is -1"));
  CHECK_THROWS_WITH((sm::edm_levels{.rho = 0.5}.sigmas()), ContainsSubstring("edm_levels: rho is 0.5"));
  CHECK_THROWS_WITH((sm::edm_levels{.levels = -3}.sigmas()), ContainsSubstring("edm_levels: levels is -3"));
  CHECK_THROWS_WITH((sm::variance_preserving_levels{.beta_min = 0}.sigmas()), ContainsSubstring("beta_min is 0"));
  CHECK_THROWS_WITH((sm::variance_preserving_levels{.beta_min = 2, .beta_max = 1}.sigmas()),
                    ContainsSubstring("beta_max is 1; it must be a finite number from beta_min, 2, on"));
  CHECK_THROWS_WITH((sm::variance_preserving_levels{.epsilon = 1}.sigmas()), ContainsSubstring("epsilon is 1"));
  CHECK_THROWS_WITH((sm::variance_preserving_levels{.epsilon = nan}.sigmas()), ContainsSubstring("epsilon is nan"));
  CHECK_THROWS_WITH((sm::variance_preserving_levels{.levels = 0}.sigmas()), ContainsSubstring("levels is 0"));
  CHECK_THROWS_WITH((sm::cosine_levels{.offset = -1}.sigmas()), ContainsSubstring("offset is -1"));
  CHECK_THROWS_WITH((sm::cosine_levels{.t_max = 1}.sigmas()),
                    ContainsSubstring("t_max 1; they must be 0 < t_min < t_max < 1"));
  CHECK_THROWS_WITH((sm::cosine_levels{.levels = 0}.sigmas()), ContainsSubstring("levels is 0"));
}

TEST_CASE("A law that is none is refused") {
  const auto validate = [](const sm::NoiseLaw& law) { law.validate("sigma"); };
  CHECK_NOTHROW(validate(0.3));
  CHECK_NOTHROW(validate(sm::log_normal_sigma{}));
  CHECK_NOTHROW(validate(sm::log_uniform_sigma{}));
  CHECK_THROWS_WITH(validate(0.0), ContainsSubstring("sigma is 0; it must be a finite number above 0"));
  CHECK_THROWS_WITH(validate(std::nan("")), ContainsSubstring("sigma is nan"));
  CHECK_THROWS_WITH(validate(sm::log_normal_sigma{.mean = 0, .deviation = 0}), ContainsSubstring("deviation 0"));
  CHECK_THROWS_WITH(validate(sm::log_normal_sigma{.mean = std::nan("")}), ContainsSubstring("mean nan"));
  CHECK_THROWS_WITH(validate(sm::log_uniform_sigma{.sigma_max = 1, .sigma_min = 1}),
                    ContainsSubstring("sigma_max is 1"));
  CHECK_THROWS_WITH(validate(sm::log_uniform_sigma{.sigma_max = 1, .sigma_min = 0}),
                    ContainsSubstring("sigma_min is 0"));
}

TEMPLATE_TEST_CASE("Levels are drawn as often as the law says", "", float, double) {
  constexpr Index n = 40000;
  SECTION("one sigma for all") {
    const sm::NoiseLaw law = 0.3;
    const Draws<TestType> draws(law, 5, 1);
    CHECK(law.single());
    CHECK(draws.sigma == sm::Vector<TestType>::Constant(5, TestType(0.3)));
    CHECK(draws.group.size() == 0);
    CHECK(law.level_names().empty());
  }
  SECTION("a ladder: each level as often") {
    const sm::Levels levels = sm::geometric_levels{.sigma_max = 5, .sigma_min = 0.1, .levels = 6};
    const sm::NoiseLaw law = levels;
    const Draws<TestType> draws(law, n, 2);
    Index wrong = 0;
    for (Index i = 0; i < n; ++i) wrong += draws.sigma[i] != static_cast<TestType>(levels[draws.group[i]]);
    CHECK(wrong == 0);
    CHECK(chi_squared(draws.counts(6)) < 25.7);  // χ² with 5 degrees of freedom: 10⁻⁴
    REQUIRE(law.level_names().size() == 6);
    CHECK(law.level_names().front() == "sigma 5");
    CHECK(law.level_names().back() == "sigma 0.1");
  }
  SECTION("log-uniform") {
    const sm::NoiseLaw law = sm::log_uniform_sigma{.sigma_max = 20, .sigma_min = 0.1};
    const Draws<TestType> draws(law, n, 3);
    std::vector<double> ranks;
    for (Index i = 0; i < n; ++i) ranks.push_back(std::log(static_cast<double>(draws.sigma[i]) / 20) / std::log(0.005));
    CHECK(outside(ranks, draws.group) == 0);  // the groups are eighths of log σ
    CHECK(kolmogorov(ranks) < 2.23);          // Kolmogorov's distribution: 10⁻⁴
    CHECK(chi_squared(draws.counts(8)) < 29.9);
    REQUIRE(law.level_names().size() == 8);
    CHECK(law.level_names().front() == "sigma 20 to 10.3");
    CHECK(law.level_names().back() == "sigma 0.194 to 0.1");
  }
  SECTION("log-normal") {
    const sm::NoiseLaw law = sm::log_normal_sigma{.mean = -1.2, .deviation = 1.2};
    const Draws<TestType> draws(law, n, 4);
    const Eigen::VectorXd z = (draws.sigma.template cast<double>().array().log() + 1.2) / 1.2;
    std::vector<double> ranks;
    for (Index i = 0; i < n; ++i) ranks.push_back(0.5 * std::erfc(z[i] / std::sqrt(2.0)));
    CHECK(outside(ranks, draws.group) == 0);  // the groups are eighths of probability, the largest σ first
    CHECK(std::abs(z.mean()) < 4 / std::sqrt(n));
    CHECK(std::abs(z.squaredNorm() / n - 1) < 4 * std::sqrt(2.0 / n));
    CHECK(kolmogorov(ranks) < 2.23);
    CHECK(chi_squared(draws.counts(8)) < 29.9);  // 7 degrees of freedom
    REQUIRE(law.level_names().size() == 8);
    CHECK(law.level_names().front() == "sigma inf to 1.2");  // exp(−1.2 + 1.2 · 1.15035)
    CHECK(law.level_names().back() == "sigma 0.0757 to 0");
  }
}

TEMPLATE_TEST_CASE("A sample's level is its own: the same bits in any block and any order", "", float, double) {
  for (const sm::NoiseLaw& law : {sm::NoiseLaw(sm::geometric_levels{.levels = 7}),
                                  sm::NoiseLaw(sm::log_uniform_sigma{}), sm::NoiseLaw(sm::log_normal_sigma{})}) {
    constexpr Index n = 100;
    const Draws<TestType> all(law, n, 5, 3);
    sm::Vector<TestType> sigma;
    Eigen::VectorXi group;
    for (Index i = 0; i < n; i += 7) {  // backwards, each beside another, and one alone
      const std::int64_t ids[] = {n - 1 - i, i, 0};
      law.draw<TestType>(5, ids, 3, 3, sigma, group);
      REQUIRE(sigma[0] == all.sigma[n - 1 - i]);
      REQUIRE(sigma[1] == all.sigma[i]);
      REQUIRE(group[1] == all.group[i]);
      law.draw<TestType>(5, ids + 1, 1, 3, sigma, group);
      REQUIRE(sigma[0] == all.sigma[i]);
    }
    CHECK(Draws<TestType>(law, n, 5, 4).sigma != all.sigma);
    CHECK(Draws<TestType>(law, n, 6, 3).sigma != all.sigma);
  }
}

TEST_CASE("Weights are what they are defined as") {
  const sm::NoiseLaw law = sm::log_uniform_sigma{.sigma_max = 5, .sigma_min = 0.1};
  for (const double sigma : {0.1, 0.7, 4.0}) {
    CHECK(law.weight(sm::Weight::one, sigma, 0, 0.5) == 1);
    CHECK(law.weight(sm::Weight::sigma_squared, sigma, 0, 0.5) == sigma * sigma);
    // EDM weighs the denoiser D = x + σ² s by (σ² + σ_data²)/(σ σ_data)²; ‖D − y‖² is σ⁴ times the score's distance
    const double of_denoiser = (sigma * sigma + 0.25) / std::pow(sigma * 0.5, 2);
    CHECK(law.weight(sm::Weight::edm, sigma, 0, 0.5) == Approx(of_denoiser * std::pow(sigma, 4)).epsilon(1e-14));
  }
}

TEST_CASE("The likelihood's weight makes E λ g(σ)/2 the integral ∫ σ g(σ) dσ") {
  // g: what E‖s + z/σ‖² is in one dimension for data N(0, 1) and s = −x/(½ + σ²); the integral from 0.1 to 5 by its
  // antiderivative, in q = σ²: ½ ∫ (1 + q)/(½ + q)² − 2/(½ + q) + 1/q dq
  const auto g = [](double sigma) {
    const double q = sigma * sigma, w = 0.5 + q;
    return (1 + q) / (w * w) - 2 / w + 1 / q;
  };
  const auto antiderivative = [](double q) {
    const double w = 0.5 + q;
    return 0.5 * (std::log(w) - 0.5 / w - 2 * std::log(w) + std::log(q));
  };
  const double most = 5, least = 0.1, integral = antiderivative(most * most) - antiderivative(least * least);
  SECTION("log-uniform: over u with log σ linear in it") {
    const sm::NoiseLaw law = sm::log_uniform_sigma{.sigma_max = most, .sigma_min = least};
    constexpr int cells = 20000;
    double mean = 0;
    for (int k = 0; k < cells; ++k) {
      const double sigma = most * std::pow(least / most, (k + 0.5) / cells);
      mean += 0.5 * law.weight(sm::Weight::likelihood, sigma, 0, 1) * g(sigma) / cells;
    }
    CHECK(mean == Approx(integral).epsilon(1e-7));
  }
  SECTION("a ladder: to the second order in its steps, over any spacing") {
    for (const double rho : {1.0, 7.0}) {
      const auto error = [&](Index levels) {
        const sm::Levels ladder = sm::edm_levels{.sigma_max = most, .sigma_min = least, .rho = rho, .levels = levels};
        const sm::NoiseLaw law = ladder;
        double mean = 0;
        for (Index k = 0; k < levels; ++k)
          mean += 0.5 * law.weight(sm::Weight::likelihood, ladder[k], static_cast<int>(k), 1) * g(ladder[k]) /
                  static_cast<double>(levels);
        return mean - integral;
      };
      CHECK(std::abs(error(2001)) < 2e-4 * integral);
      CHECK(error(1001) / error(2001) == Approx(4).epsilon(0.05));
    }
  }
  SECTION("log-normal: over z, for a g that makes the integral finite, ∫ σ exp(−σ²) dσ = ½") {
    const double mean = -0.4, deviation = 0.8, step = 0.01;
    const sm::NoiseLaw law = sm::log_normal_sigma{.mean = mean, .deviation = deviation};
    double sum = 0;
    for (double z = -30; z < 10; z += step) {
      const double sigma = std::exp(mean + deviation * z);
      const double density = std::exp(-0.5 * z * z) / std::sqrt(2 * pi);
      sum += step * density * 0.5 * law.weight(sm::Weight::likelihood, sigma, 0, 1) * std::exp(-sigma * sigma);
    }
    CHECK(sum == Approx(0.5).epsilon(1e-8));
  }
  SECTION("one sigma weighs 1") {
    CHECK(sm::NoiseLaw(0.3).weight(sm::Weight::likelihood, 0.3, 0, 1) == 1);
    CHECK(sm::NoiseLaw(sm::geometric_levels{.levels = 1}).weight(sm::Weight::likelihood, 50, 0, 1) == 1);
  }
}
