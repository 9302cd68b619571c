// Draws against scores: Stein's identities.
//
// Seeds are fixed; where a rate is tested the comment says what it may be.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

#include "fixtures.hpp"
#include "scorematch/diagnostics/stein.hpp"

namespace sm = scorematch;
namespace dg = scorematch::diagnostics;
using dg::SteinStatus;
using Eigen::MatrixXd;
using fixtures::normals;
using sm::Index;

namespace {

constexpr double nan_number = std::numeric_limits<double>::quiet_NaN();

/// Stationary autoregressive chains of N(0, I), d × (chains · kept).
MatrixXd autoregressive(Index d, Index kept, Index chains, double phi, std::uint64_t seed) {
  MatrixXd x = normals(d, kept * chains, seed);
  for (Index k = 1; k < kept; ++k)
    x.middleCols(k * chains, chains) =
        phi * x.middleCols((k - 1) * chains, chains) + std::sqrt(1 - phi * phi) * x.middleCols(k * chains, chains);
  return x;
}

/// A user's class of N(μ, v I).
struct Normal {
  double mean = 0, variance = 1;
  Index dimension() const { return 2; }
  void gradient(Eigen::Ref<const MatrixXd> X, Eigen::Ref<MatrixXd> G) const { G = (X.array() - mean) / variance; }
};

}  // namespace

TEST_CASE("Stein's terms are what they say of a Gaussian that is off") {
  // N(.3, 1.21) against N(0, 1): sd s = −.33, 1 + (x − m) s = −.21; (2(x − m) + (x − m)² s)/sd = −m v/sd = −.33.
  const MatrixXd z = normals(1, 40000, 1), x = 1.1 * z.array() + .3;
  const dg::SteinTable table = dg::stein_table(x, -x, 4);
  const dg::SteinRow& row = table.rows[0];
  const auto near = [](const dg::SteinTerm& term, double expected) {
    CHECK(std::abs(term.mean - expected) < 4 * term.mcse);
    CHECK(term.z == Approx(term.mean / term.mcse));
    CHECK(term.ess == Approx(40000).epsilon(.1));
  };
  near(row.mean, -.33);
  near(row.variance, -.21);
  near(row.third, -.33);
  CHECK(table.status == SteinStatus::biased);
  CHECK(table.biased_terms == 3);
  CHECK(std::pow(1 - std::erfc(table.threshold / std::sqrt(2.)), 3) == Approx(.99).epsilon(1e-12));
  CHECK_THAT(table.text(), Catch::Matchers::ContainsSubstring("biased: E["));
}

TEST_CASE("Right draws pass at the stated rate, a wrong variance and a wrong mean do not") {
  // 200 seeds at a rate of 5 %: the 36 terms of right draws alarm in 10, at most 22 with probability .9998.
  Index alarms = 0, seen_variance = 0, seen_mean = 0, tolerated = 0, correlated = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const MatrixXd x = normals(12, 2000, 1000 + seed), y = autoregressive(3, 500, 4, .6, 5000 + seed);
    alarms += dg::stein_table(x, -x, 4, {.false_alarm_rate = .05}).status == SteinStatus::biased ? 1 : 0;
    correlated += dg::stein_table(y, -y, 4, {.false_alarm_rate = .05}).status == SteinStatus::biased ? 1 : 0;
    if (seed >= 40) continue;
    // The scores of N(0, 1/1.25): 1 + x s = 1 − 1.25; its error is √(2/2000) 1.25 = .04, 6.3 of which are .25
    const MatrixXd one = x.topRows(1);
    seen_variance += dg::stein_table(one, -1.25 * one, 4).status == SteinStatus::biased ? 1 : 0;
    seen_mean += dg::stein_table(one, .2 - one.array(), 4).status == SteinStatus::biased ? 1 : 0;
    // s of a variance that is off by 3 %, and 3 % do not matter
    tolerated += dg::stein_table(one, -1.03 * one, 4, {.tolerance = .03}).status == SteinStatus::biased ? 1 : 0;
  }
  CHECK(alarms <= 22);
  CHECK(correlated <= 22);
  CHECK(seen_variance >= 39);
  CHECK(seen_mean == 40);
  CHECK(tolerated <= 2);
}

TEST_CASE("A bias within the tolerance is no alarm, a larger one is") {
  // 1 + x s = −.1 ± .011: nine errors from 0
  const MatrixXd x = normals(1, 20000, 12), s = -1.1 * x;
  CHECK(dg::stein_table(x, s, 4).status == SteinStatus::biased);
  CHECK(dg::stein_table(x, s, 4, {.tolerance = .1}).status == SteinStatus::passed);
  CHECK(dg::stein_table(x, s, 4, {.tolerance = .05}).status == SteinStatus::biased);
}

TEST_CASE("Offsets and units do not change Stein's table") {
  const MatrixXd x = normals(2, 3000, 3), s = -1.3 * x.array() + .1;
  const dg::SteinTable table = dg::stein_table(x, s, 3);
  for (const double unit : {1e-9, 1., 1e9})
    for (const double offset : {0., 1e6}) {
      const dg::SteinTable other = dg::stein_table((unit * (x.array() + offset)).matrix(), s / unit, 3);
      for (std::size_t i = 0; i < 2; ++i) {
        CHECK(other.rows[i].mean.z == Approx(table.rows[i].mean.z).epsilon(1e-6));
        CHECK(other.rows[i].variance.z == Approx(table.rows[i].variance.z).epsilon(1e-6));
        CHECK(other.rows[i].third.z == Approx(table.rows[i].third.z).epsilon(1e-6));
      }
    }
}

TEST_CASE("Stein's table takes a model, in double") {
  const MatrixXd x = normals(2, 2000, 4).array() + 1e4;
  const dg::SteinTable right = dg::stein_table(Normal{1e4, 1}, x, 4), wrong = dg::stein_table(Normal{1e4, 2}, x, 4);
  CHECK(right.status == SteinStatus::passed);
  CHECK(wrong.status == SteinStatus::biased);
  CHECK(right.rows[1].variance.z == Approx(dg::stein_table(x, 1e4 - x.array(), 4).rows[1].variance.z));
  CHECK(right.detectable > 0);
  CHECK(right.detectable < .2);
  MatrixXd bad = x;
  bad(1, 7) = nan_number;
  CHECK(dg::stein_table(Normal{1e4, 1}, bad, 4).status == SteinStatus::non_finite);
}

TEST_CASE("Stein's table says nothing where it cannot") {
  const auto status = [](const MatrixXd& x, Index chains, dg::SteinOptions options = {}) {
    return dg::stein_table(x, -x, chains, options).status;
  };
  const MatrixXd x = normals(2, 1200, 5);
  CHECK(status(x, 4) == SteinStatus::passed);
  CHECK(status(x.leftCols(80), 4) == SteinStatus::not_enough_draws);
  CHECK(status(x, 600) == SteinStatus::passed);   // two draws of each of 600 chains
  CHECK(status(x, 1200) == SteinStatus::passed);  // one of each
  CHECK(status(x.leftCols(40), 40) == SteinStatus::not_enough_draws);
  CHECK(status(autoregressive(1, 300, 4, .98, 1), 4) == SteinStatus::not_enough_draws);
  MatrixXd resting = x;
  resting.row(1).setZero();  // s = 0 there, too: nothing is learned
  CHECK(status(resting, 4) == SteinStatus::not_enough_draws);
  CHECK(status(x.col(0).replicate(1, 1200), 4) == SteinStatus::not_enough_draws);
  CHECK(status(MatrixXd(2, 0), 4) == SteinStatus::not_enough_draws);
  CHECK(status(MatrixXd(0, 0), 4) == SteinStatus::not_enough_draws);
  MatrixXd bad = -x;
  bad(0, 3) = std::numeric_limits<double>::infinity();
  CHECK(dg::stein_table(x, bad, 4).status == SteinStatus::non_finite);
  CHECK_THAT(dg::stein_table(x, bad, 4).text(), Catch::Matchers::ContainsSubstring("not finite"));
  fixtures::refuses([&] { (void)dg::stein_table(x, x.topRows(1), 4); }, "scores is 1 × 1200");
  fixtures::refuses([&] { (void)status(x, 7); }, "7 chains");
  fixtures::refuses([&] { (void)status(x, 4, {.false_alarm_rate = 0}); }, "false_alarm_rate");
  fixtures::refuses([&] { (void)status(x, 4, {.tolerance = -1}); }, "tolerance");
  fixtures::refuses([&] { (void)status(x, 4, {.names = {"a"}}); }, "1 entries for 2");
}
