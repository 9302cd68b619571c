// Bennett's acceptance ratio against free-energy differences that are known, its error against the spread of estimates.
//
// Seeds are fixed. Had they been drawn: |z| < 4.5 fails a correct library with probability 7·10⁻⁶ a check; the spread
// of 200 estimates is known to 5 %, and 20 % are allowed (four standard deviations).
#include "catch.hpp"

#include <cmath>
#include <limits>

#include "fixtures.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/partition/bennett.hpp"

namespace {

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using fixtures::refuses;
using sm::BennettStatus;
using sm::Index;

constexpr double infinity = std::numeric_limits<double>::infinity();

// ½ k (x − centre)²
sm::EnergyModel spring(double k, double centre = 0) {
  return sm::energy_model(1, [k, centre](auto x, auto) { return 0.5 * k * square(x[0] - centre); });
}

MatrixXd draws(double k, double centre, Index n, std::uint64_t seed) {
  return (normals(1, n, seed) / std::sqrt(k)).array() + centre;
}

struct Works {
  VectorXd forward, backward;
};

// Between springs of stiffness 1 and k.
Works works(double k, double shift, Index n_a, Index n_b, std::uint64_t seed) {
  const VectorXd x = draws(1, 0, n_a, 2 * seed).transpose(), y = draws(k, shift, n_b, 2 * seed + 1).transpose();
  const auto difference = [&](const VectorXd& z) -> VectorXd {
    return 0.5 * k * (z.array() - shift).square() - 0.5 * z.array().square();
  };
  return {difference(x), -difference(y)};
}

}  // namespace

TEST_CASE("Between two springs the free energy differs by half the log of the stiffnesses' ratio") {
  for (const double k : {0.25, 4.0, 50.0}) {
    CAPTURE(k);
    const auto result =
        sm::free_energy_difference(spring(1), draws(1, 0, 4000, 1), spring(k, 0.5), draws(k, 0.5, 2000, 2));
    CHECK(result.status == BennettStatus::estimated);
    CHECK(result.evidence.empty());
    CHECK(std::abs(result.value - 0.5 * std::log(k)) < 4.5 * result.standard_error);
    CHECK(result.standard_error < 0.1);
    CHECK((result.overlap > 0 && result.overlap < 1));
  }
}

TEST_CASE("Laws that differ by a constant have that difference exactly") {
  const auto a = sm::energy_model(2, [](auto x, auto) { return 0.5 * squared_norm(x); });
  const auto b = sm::energy_model(2, [](auto x, auto) { return 0.5 * squared_norm(x) + 7.25; });
  const auto result = sm::free_energy_difference(a, normals(2, 50, 1), b, normals(2, 300, 2));
  CHECK(result.status == BennettStatus::estimated);
  CHECK(std::abs(result.value - 7.25) < 1e-12);
  CHECK(result.standard_error < 1e-7);
  CHECK(std::abs(result.overlap - 1) < 1e-12);
}

TEST_CASE("The error is the spread of the estimates, for any shares of draws") {
  struct Case {
    double k, shift;
    Index n_a, n_b;
  };
  for (const Case c : {Case{4, 0, 400, 400}, Case{9, 1, 1000, 200}, Case{0.3, 2, 300, 1500}}) {
    CAPTURE(c.k, c.n_a, c.n_b);
    constexpr int seeds = 200;
    double sum = 0, squares = 0, variance = 0;
    for (int seed = 0; seed < seeds; ++seed) {
      const Works w = works(c.k, c.shift, c.n_a, c.n_b, 100 + static_cast<std::uint64_t>(seed));
      const auto result = sm::bar(w.forward, w.backward);
      CHECK(result.status == BennettStatus::estimated);
      const double off = result.value - 0.5 * std::log(c.k);
      sum += off;
      squares += off * off;
      variance += result.standard_error * result.standard_error / seeds;
    }
    const double mean = sum / seeds, spread = std::sqrt(squares / seeds - mean * mean);
    CHECK(std::abs(mean) < 4.5 * spread / std::sqrt(seeds));
    CHECK(spread / std::sqrt(variance) > 0.8);
    CHECK(spread / std::sqrt(variance) < 1.2);
  }
}

TEST_CASE("Little overlap is said, and the number then lies within its error as often as not") {
  int little = 0, none = 0, far = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Works w = works(1, 4.5, 300, 300, 1000 + seed);  // ΔF = 0
    const auto result = sm::bar(w.forward, w.backward);
    little += result.status == BennettStatus::little_overlap;
    none += result.status == BennettStatus::no_overlap;
    if (result.status == BennettStatus::no_overlap) {
      CHECK(std::isnan(result.value));
      continue;
    }
    if (result.status == BennettStatus::little_overlap) CHECK(!result.evidence.empty());
    far += std::abs(result.value) > 3 * result.standard_error;
  }
  CAPTURE(little, none, far);
  CHECK(little > 100);
  CHECK(far < 12);
}

TEST_CASE("Without overlap there is no number, however large the works are") {
  const Works w = works(1, 40, 300, 300, 1);
  const auto result = sm::bar(w.forward, w.backward);
  CHECK(result.status == BennettStatus::no_overlap);
  CHECK(std::isnan(result.value));
  CHECK(std::isnan(result.standard_error));
  CHECK(result.overlap < 1e-50);
  CHECK_THAT(result.text(), StartsWith("no overlap: ") && ContainsSubstring("least forward work"));
  // hard walls that no draw passes
  const VectorXd walls = VectorXd::Constant(30, infinity);
  CHECK(sm::bar(walls, walls).status == BennettStatus::no_overlap);
  CHECK(sm::bar(walls, VectorXd::Zero(30)).status == BennettStatus::no_overlap);
  CHECK(sm::bar(VectorXd::Zero(1), VectorXd::Zero(1)).status == BennettStatus::no_overlap);  // one draw tells nothing
}

TEST_CASE("Large works and offsets change nothing but the value") {
  const Works w = works(4, 0.5, 500, 700, 3);
  const auto plain = sm::bar(w.forward, w.backward);
  for (const double offset : {1e6, -1e6, 1e3}) {
    CAPTURE(offset);
    const auto shifted = sm::bar(w.forward.array() + offset, w.backward.array() - offset);
    CHECK(shifted.status == plain.status);
    CHECK(std::abs(shifted.value - offset - plain.value) < 1e-8);
    CHECK(std::abs(shifted.standard_error - plain.standard_error) < 1e-8);
  }
  // the other way round the same, up to the sign
  const auto back = sm::bar(w.backward, w.forward);
  CHECK(std::abs(back.value + plain.value) < 1e-12);
  CHECK(std::abs(back.overlap - plain.overlap) < 1e-12);
}

TEST_CASE("Walls that half of the draws meet make Z half as large") {
  // b is a, but for x > 0: Z_b = Z_a/2. Every draw of b lies in a.
  const VectorXd x = normals(1, 1000, 5).transpose();
  const VectorXd forward = (x.array() > 0).select(VectorXd::Zero(1000), infinity);
  const auto result = sm::bar(forward, VectorXd::Zero(1000));
  CHECK(result.status == BennettStatus::estimated);
  // Bennett's ratio here is the share of forward draws that pass
  const double passed = static_cast<double>((x.array() > 0).count()) / 1000;
  CHECK(std::abs(result.value + std::log(passed)) < 1e-12);
  CHECK(std::abs(result.standard_error - std::sqrt((1 / passed - 1) / 1000)) < 1e-12);
}

TEST_CASE("Correlated draws count as often as they are worth") {
  const Works w = works(4, 0.5, 600, 600, 8);
  VectorXd forward(2400), backward(2400);
  for (Index i = 0; i < 2400; ++i) {
    forward[i] = w.forward[i / 4];
    backward[i] = w.backward[i / 4];
  }
  const auto plain = sm::bar(w.forward, w.backward),
             repeated = sm::bar(forward, backward, {.effective_forward = 600, .effective_backward = 600});
  CHECK(std::abs(repeated.value - plain.value) < 1e-12);
  CHECK(std::abs(repeated.standard_error - plain.standard_error) < 1e-12);
  CHECK(std::abs(repeated.forward_draws - plain.forward_draws) < 1e-8);
}

TEST_CASE("Works that contradict the second law, and works that are no numbers, are named") {
  const Works w = works(4, 0.5, 500, 500, 3);
  const auto wrong_sign = sm::bar(w.forward, VectorXd(-w.backward));
  const auto both = sm::bar(VectorXd(-w.forward), VectorXd(-w.backward));
  CHECK(both.status == BennettStatus::inconsistent);
  CHECK(std::isnan(both.value));
  CHECK_THAT(both.evidence, ContainsSubstring("second law"));
  static_cast<void>(wrong_sign);  // a legal pair of works: no check can tell
  VectorXd bad = w.forward;
  bad[7] = std::numeric_limits<double>::quiet_NaN();
  const auto nan = sm::bar(bad, w.backward);
  CHECK(nan.status == BennettStatus::non_finite);
  CHECK_THAT(nan.evidence, ContainsSubstring("forward work 7"));
  bad[7] = -infinity;
  CHECK(sm::bar(w.forward, bad).status == BennettStatus::non_finite);
}

TEST_CASE("What the call cannot take is refused by name") {
  const VectorXd one = VectorXd::Zero(3);
  refuses([&] { static_cast<void>(sm::bar(VectorXd(), one)); }, "forward works");
  refuses([&] { static_cast<void>(sm::bar(one, VectorXd())); }, "backward works");
  refuses([&] { static_cast<void>(sm::bar(one, one, {.effective_forward = -1})); }, "effective_forward");
  refuses([&] { static_cast<void>(sm::bar(one, one, {.effective_backward = 4})); }, "effective_backward", "3");
  const auto two = sm::energy_model(2, [](auto x, auto) { return 0.5 * squared_norm(x); });
  refuses([&] { static_cast<void>(sm::free_energy_difference(spring(1), one.transpose(), two, MatrixXd::Zero(2, 3))); },
          "dimension 1", "2");
  refuses([&] { static_cast<void>(sm::free_energy_difference(two, MatrixXd(2, 0), two, MatrixXd::Zero(2, 3))); },
          "points_a");
}
