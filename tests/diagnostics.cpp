// Diagnostics of draws against reference values, closed forms, and what must not change.
//
// The reference chains are given by formulas, so that no file is needed; their values are those of an independent
// implementation in double precision, to ten digits.
#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/diagnostics/convergence.hpp"
#include "scorematch/diagnostics/expectation.hpp"
#include "scorematch/diagnostics/summary.hpp"
#include "scorematch/diagnostics/trace_picture.hpp"

namespace sm = scorematch;
namespace dg = scorematch::diagnostics;
using dg::Reason;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using sm::Index;

namespace {

constexpr double nan_number = std::numeric_limits<double>::quiet_NaN();

double fractional(double number) { return number - std::floor(number); }

/// y ← φ y + f + g − 1 from 0, f and g low-discrepancy fractions; the last chain is shifted. N × M.
MatrixXd reference_chains(Index N, Index M, double phi, double shift) {
  MatrixXd x(N, M);
  for (Index m = 0; m < M; ++m) {
    double y = 0;
    for (Index t = 0; t < N; ++t) {
      const double u = static_cast<double>(t + 1), v = static_cast<double>(m);
      const double f = fractional(u * (v + 2) * .6180339887498949),
                   g = fractional(u * u * (v + 1) * .41421356237309515);
      y = phi * y + f + g - 1;
      x(t, m) = y + (m == M - 1 ? shift : 0);
    }
  }
  return x;
}

/// kept × chains, independent N(0, 1).
MatrixXd independent(Index kept, Index chains, std::uint64_t seed) { return normals(kept, chains, seed); }

void check(const dg::Diagnostic& found, double expected) {
  CHECK(found.reason == Reason::none);
  CHECK(found.value == Approx(expected).epsilon(1e-8).margin(0));
}

void check(const dg::Diagnostic& found, Reason reason) {
  CHECK(std::isnan(found.value));
  CHECK(std::string(to_string(found.reason)) == to_string(reason));
}

}  // namespace

TEST_CASE("Convergence diagnostics have the reference values") {
  const MatrixXd x = reference_chains(200, 4, .9, 0), y = reference_chains(200, 4, .9, .5);
  REQUIRE(x(0, 0) == Approx(-.34971846012711505).epsilon(1e-15));
  check(dg::split_r_hat(x), 1.014590185);
  check(dg::r_hat_bulk(x), 1.012635857);
  check(dg::r_hat_folded(x), 1.007982268);
  check(dg::r_hat(x), 1.012635857);
  check(dg::ess_mean_unsplit(x), 87.59647733);
  check(dg::ess_mean(x), 88.64709129);
  check(dg::ess_bulk(x), 91.93746929);
  check(dg::ess_quantile(x, .05), 307.4086621);
  check(dg::ess_quantile(x, .95), 118.4373308);
  check(dg::ess_tail(x), 118.4373308);
  check(dg::ess_sd(x), 130.5824598);
  check(dg::mcse_mean(x), .0851971259);
  check(dg::mcse_sd(x), .05194923437);

  check(dg::split_r_hat(y), 1.075457226);
  check(dg::r_hat_bulk(y), 1.074011709);
  check(dg::r_hat_folded(y), 1.006811863);
  check(dg::r_hat(y), 1.074011709);
  check(dg::ess_mean_unsplit(y), 63.29693362);
  check(dg::ess_mean(y), 67.53235237);
  check(dg::ess_bulk(y), 67.58936983);
  check(dg::ess_quantile(y, .05), 293.3864988);
  check(dg::ess_quantile(y, .95), 96.65171611);
  check(dg::ess_tail(y), 96.65171611);
  check(dg::ess_sd(y), 135.6262755);
  check(dg::mcse_mean(y), .1027778085);
  check(dg::mcse_sd(y), .05308928967);
}

TEST_CASE("An odd length drops the middle draw, and antithetic chains are worth more than their draws") {
  // The halves of 201 draws are those of the 200 around the middle one.
  const MatrixXd x = reference_chains(201, 4, .9, 0);
  MatrixXd without(200, 4);
  without << x.topRows(100), x.bottomRows(100);
  for (const auto diagnostic : {dg::split_r_hat, dg::r_hat_bulk, dg::ess_mean, dg::ess_bulk})
    check(diagnostic(x), diagnostic(without).value);
  check(dg::split_r_hat(x), 1.01485087846);
  check(dg::ess_mean_unsplit(x), 88.2184117353);
  check(dg::ess_tail(x), 121.412254909);

  // φ = −0.9: ρ_t changes sign, pairs of lags are small, and τ reaches its bound 1/log₁₀ S. The spread remembers.
  const MatrixXd y = reference_chains(200, 4, -.9, 0);
  check(dg::ess_mean(y), 800 * std::log10(800.));
  check(dg::ess_tail(y), 84.9113663799);
  check(dg::mcse_quantile(y, .5), .0255616756868);
  check(dg::split_r_hat(y), .995049343534);
  check(dg::r_hat(y), 1.1056828487);
  check(dg::ess_mean(reference_chains(500, 7, -.5, 0)), 9553.24099018);

  // Up and down by turns: where even the first pair of lags sums to less than 0, no more than S/2 is claimed.
  MatrixXd turns = 1e-3 * reference_chains(100, 3, 0, 0);
  for (Index k = 0; k < 100; ++k) turns.row(k).array() += k % 2 == 0 ? 1 : -1;
  check(dg::ess_mean(turns), 150);
  check(dg::ess_bulk(turns), 743.136376416);
  check(dg::ess_tail(turns), 342.987679765);
  check(dg::r_hat(turns), .995516359066);
}

TEST_CASE("Quantiles' errors, nested R-hat and E-BFMI have reference values") {
  const MatrixXd x = reference_chains(200, 4, .9, 0);
  check(dg::mcse_quantile(x, .05), .0865295103114);
  check(dg::mcse_quantile(x, .5), .0939372252233);
  check(dg::mcse_quantile(x, .95), .156007675444);

  // By hand: superchains {0, 2} of means 1, 3 and {5, 7} of means 5.5, 7.5; variances within 2 and ½.
  MatrixXd y(2, 4);
  y << 0, 2, 5, 7, 2, 4, 6, 8;
  const double within = .5 * (2 + 2 + .5 + 2);
  check(dg::nested_r_hat(y, {0, 0, 1, 1}), std::sqrt(1 + .5 * 4.5 * 4.5 / within));
  check(dg::nested_r_hat(y.topRows(1), {4, 4, 9, 9}), std::sqrt(1 + .5 * 25 / 2));  // one draw: W = 0, B = 2
  MatrixXd mixed(2, 4);
  mixed << y.col(2), y.col(0), y.col(1), y.col(3);
  CHECK(dg::nested_r_hat(mixed, {7, 3, 3, 7}).value == Approx(dg::nested_r_hat(y, {0, 0, 1, 1}).value).epsilon(1e-14));
  check(dg::nested_r_hat(y.topRows(1), {0, 1, 2, 3}), Reason::too_few_draws);
  check(dg::nested_r_hat(y, {0, 0, 0, 0}), Reason::one_chain);
  fixtures::refuses([&] { (void)dg::nested_r_hat(y, {0, 0, 0, 1}); }, "superchain 0 has 3 chains");
  fixtures::refuses([&] { (void)dg::nested_r_hat(y, {0, 0, 1}); }, "3 numbers for 4 chains");

  VectorXd energies(4);
  energies << 1, 3, 2, 6;  // differences 4 + 1 + 16, deviations 4 + 0 + 1 + 9
  check(dg::e_bfmi(energies), 21. / 14);
  MatrixXd both(4, 2);
  both << energies, (VectorXd(4) << 0, 1, 2, 3).finished();
  check(dg::e_bfmi(both), 3. / 5);
  CHECK(dg::e_bfmi(MatrixXd(1e6 + 1e-3 * both.array())).value == Approx(.6).epsilon(1e-6));
}

TEST_CASE("Quantiles of the normal and the beta law are exact") {
  for (const double p : {1e-300, 1e-10, .01, .3, .5, .7, .999}) {
    const double x = dg::normal_quantile(p);
    // Φ(x) = p, up to what rounding of x makes of it
    CHECK(dg::normal_probability(x) == Approx(p).epsilon(1e-15 * (4 + x * x)).margin(0));
  }
  CHECK(dg::normal_quantile(.975) == Approx(1.959963984540054).epsilon(1e-15));
  CHECK(std::isinf(dg::normal_quantile(0)));
  CHECK(std::isnan(dg::normal_quantile(-1)));
  // I_x(1, b) = 1 − (1 − x)^b and I_x(a, 1) = x^a
  for (const double p : {.1586553, .8413447})
    for (const double shape : {1., 3.5, 50.3, 1e4, 1e6}) {
      CHECK(dg::beta_quantile(p, shape, 1) == Approx(std::pow(p, 1 / shape)).epsilon(1e-12).margin(0));
      CHECK(dg::beta_quantile(p, 1, shape) == Approx(-std::expm1(std::log1p(-p) / shape)).epsilon(1e-10).margin(0));
      CHECK(dg::beta_quantile(p, shape, 7.2) == Approx(1 - dg::beta_quantile(1 - p, 7.2, shape)).epsilon(1e-12));
      CHECK(dg::beta_quantile(.5, shape, shape) == Approx(.5).epsilon(1e-12));
    }
}

TEST_CASE("Autocovariances are those of the definition") {
  const MatrixXd x = reference_chains(37, 3, .5, 1);
  const VectorXd fast = dg::mean_autocovariance(x);
  for (Index t = 0; t < 37; ++t) {
    double sum = 0;
    for (Index c = 0; c < 3; ++c)
      for (Index i = 0; i + t < 37; ++i) sum += (x(i, c) - x.col(c).mean()) * (x(i + t, c) - x.col(c).mean());
    CHECK(fast[t] == Approx(sum / (37 * 3)).margin(1e-14));
  }
}

TEST_CASE("R-hat and rank-based sizes are the same under increasing maps, and for other units") {
  const MatrixXd x = reference_chains(150, 3, .7, .3), same = x.array().exp();
  check(dg::r_hat_bulk(same), dg::r_hat_bulk(x).value);
  check(dg::ess_bulk(same), dg::ess_bulk(x).value);
  check(dg::ess_tail(same), dg::ess_tail(x).value);
  check(dg::ess_bulk(-x), dg::ess_bulk(x).value);
  for (const double scale : {1e-300, 1e-9, 1e9, 1e300}) {
    const MatrixXd other = scale * x;
    for (const auto diagnostic : {dg::split_r_hat, dg::r_hat, dg::ess_mean, dg::ess_sd, dg::ess_tail})
      check(diagnostic(other), diagnostic(x).value);
    check(dg::mcse_mean(other), scale * dg::mcse_mean(x).value);
    check(dg::mcse_sd(other), scale * dg::mcse_sd(x).value);
    check(dg::mcse_quantile(other, .3), scale * dg::mcse_quantile(x, .3).value);
  }
  const MatrixXd far = x.array() + 1e6;  // rounded to 1e-10
  for (const auto diagnostic : {dg::split_r_hat, dg::r_hat, dg::ess_mean, dg::ess_sd, dg::mcse_mean, dg::mcse_sd})
    CHECK(diagnostic(far).value == Approx(diagnostic(x).value).epsilon(1e-7));
}

TEST_CASE("What has no number has a reason") {
  const MatrixXd x = independent(40, 3, 1);
  const auto all = {dg::split_r_hat,      dg::r_hat_bulk, dg::r_hat_folded, dg::r_hat,
                    dg::ess_mean_unsplit, dg::ess_mean,   dg::ess_bulk,     dg::ess_tail,
                    dg::ess_sd,           dg::mcse_mean,  dg::mcse_sd,      dg::e_bfmi};
  for (const double bad : {nan_number, std::numeric_limits<double>::infinity()}) {
    MatrixXd y = x;
    y(7, 1) = bad;
    for (const auto diagnostic : all) check(diagnostic(y), Reason::non_finite);
    check(dg::mcse_quantile(y, .5), Reason::non_finite);
    check(dg::nested_r_hat(y, {0, 1, 2}), Reason::non_finite);
  }
  for (const auto diagnostic : all) {
    check(diagnostic(x.topRows(3)), Reason::too_few_draws);
    check(diagnostic(MatrixXd(0, 3)), Reason::too_few_draws);
    check(diagnostic(MatrixXd(3, 0)), Reason::too_few_draws);
    check(diagnostic(MatrixXd::Constant(40, 3, .1)), Reason::constant);
    check(diagnostic(MatrixXd::Constant(40, 3, 1e6 + .1)), Reason::constant);
  }
  for (const auto diagnostic : {dg::split_r_hat, dg::r_hat_bulk, dg::r_hat_folded, dg::r_hat})
    check(diagnostic(x.col(0)), Reason::one_chain);
  CHECK(dg::ess_bulk(x.col(0)).has_value());
  check(dg::ess_mean(x.topRows(11)), Reason::too_few_draws);  // where S/2 would be the answer for all draws
  CHECK(dg::ess_mean(x.topRows(12)).has_value());
  CHECK(dg::r_hat(x.topRows(4)).has_value());

  // Chains that rest at points of their own: between is all there is.
  const MatrixXd resting = Eigen::RowVector3d(1, 2, 3).replicate(40, 1);
  check(dg::r_hat(resting), Reason::constant_chains);
  check(dg::ess_mean(resting), Reason::constant_chains);
  check(dg::nested_r_hat(resting, {0, 1, 2}), Reason::constant_chains);
  // So many zeros that the quantile at 0.05 leaves none above it
  MatrixXd zeros = MatrixXd::Zero(40, 3);
  zeros(3, 1) = -1;
  check(dg::ess_quantile(zeros, .5), Reason::tied);
  CHECK_THROWS_AS((void)dg::ess_quantile(x, 1), std::invalid_argument);
}

TEST_CASE("Draws of two values have numbers") {
  MatrixXd x(200, 4);  // of ±1, as often each: |x − median| is the same for all
  for (Index k = 0; k < x.size(); ++k) x.data()[k] = (k / 2) % 2 == 0 ? 1 : -1;
  CHECK(dg::r_hat(x).has_value());
  check(dg::r_hat_folded(x), Reason::constant);
  CHECK(dg::ess_mean(x).has_value());
}

TEST_CASE("Independent draws are worth their number, and their errors are those of theory") {
  // The mean of 50 repetitions: ESS of 4 × 500 draws scatters by some 8 %, of which 50 leave 1.2 %.
  double bulk = 0, tail = 0, sd = 0, median = 0;
  Index alarms = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const MatrixXd x = independent(500, 4, seed);
    bulk += dg::ess_bulk(x).value / 2000 / 50;
    tail += dg::ess_quantile(x, .05).value / 2000 / 50;
    sd += dg::mcse_sd(x).value / std::sqrt(.5 / 2000) / 50;                                        // Var = σ²/2S
    median += dg::mcse_quantile(x, .5).value / std::sqrt(.25 / 2000 * 2 * 3.14159265358979) / 50;  // p(1−p)/(S p(0)²)
    alarms += dg::r_hat(x).value > 1.01 ? 1 : 0;
  }
  CHECK(bulk == Approx(1).margin(.05));
  CHECK(tail == Approx(1).margin(.06));
  CHECK(sd == Approx(1).margin(.05));
  CHECK(median == Approx(1).margin(.08));
  CHECK(alarms <= 1);
}

TEST_CASE("An autoregressive chain's effective size is that of theory") {
  // τ = (1 + φ)/(1 − φ) for the mean, (1 + φ²)/(1 − φ²) for the variance; 8 × 4000 draws, four standard errors.
  for (const double phi : {.8, -.5}) {
    MatrixXd x = independent(4000, 8, 3);
    x.row(0) /= std::sqrt(1 - phi * phi);
    for (Index t = 1; t < x.rows(); ++t) x.row(t) += phi * x.row(t - 1);
    CHECK(dg::ess_mean(x).value == Approx(32000 * (1 - phi) / (1 + phi)).epsilon(.12));
    CHECK(dg::ess_sd(x).value == Approx(32000 * (1 - phi * phi) / (1 + phi * phi)).epsilon(.12));
  }
}

namespace {

/// d × (chains · kept) of draws that are kept × chains for each coordinate.
MatrixXd interleaved(const std::vector<MatrixXd>& coordinates) {
  const Index kept = coordinates[0].rows(), chains = coordinates[0].cols();
  MatrixXd points(static_cast<Index>(coordinates.size()), kept * chains);
  for (std::size_t i = 0; i < coordinates.size(); ++i)
    for (Index k = 0; k < kept; ++k)
      for (Index c = 0; c < chains; ++c) points(static_cast<Index>(i), k * chains + c) = coordinates[i](k, c);
  return points;
}

}  // namespace

TEST_CASE("The summary's rows are those of the diagnostics, and its verdict theirs") {
  const MatrixXd a = independent(500, 4, 11), b = 3 * reference_chains(500, 4, .2, 0).array() + 1e6;
  const MatrixXd points = interleaved({a, b});
  const dg::Summary table =
      dg::summary(points, 4, {"a", "größe"}, {.functions = {{"a²", [](const VectorXd& x) { return x[0] * x[0]; }}}});
  REQUIRE(table.rows.size() == 3);
  CHECK(std::string(to_string(table.status)) == "good");
  const dg::SummaryRow& row = *table.find("größe");
  CHECK(row.mean == Approx(b.mean()).epsilon(1e-14));
  CHECK(row.sd == Approx(std::sqrt((b.array() - b.mean()).square().sum() / 1999)).epsilon(1e-7));
  CHECK(row.mcse == dg::mcse_mean(b).value);
  CHECK(row.ess_bulk == dg::ess_bulk(b).value);
  CHECK(row.ess_tail == dg::ess_tail(b).value);
  CHECK(row.r_hat == dg::r_hat(b).value);
  CHECK(table.find("a")->q05 == Approx(-1.645).margin(.15));
  CHECK(table.find("a²")->mean == Approx(a.squaredNorm() / 2000).epsilon(1e-12));
  CHECK(table.find("nothing") == nullptr);
  const std::string text = table.text();
  CHECK_THAT(text, Catch::Matchers::ContainsSubstring("\ngood: R-hat at most 1.00"));
  std::size_t ends[4], place = 0;  // columns of the first lines end together, letters with two bytes or not
  for (std::size_t line = 0; line < 4; ++line) {
    const std::size_t end = text.find('\n', place);
    ends[line] = dg::letters_of(text.substr(place, end - place));
    place = end + 1;
  }
  for (std::size_t line = 1; line < 4; ++line) CHECK(ends[line] == ends[0]);
  CHECK(dg::summary(dg::ChainPoints{points, 4}).rows[1].name == "x[1]");
}

TEST_CASE("The summary is not good where it cannot be") {
  const auto status = [](const MatrixXd& x, dg::SummaryOptions options = {}) {
    return dg::summary(interleaved({x}), x.cols(), {}, options).status;
  };
  MatrixXd x = independent(500, 4, 5);
  CHECK(status(x) == dg::SummaryStatus::good);
  CHECK(status(x, {.min_ess = 4000}) == dg::SummaryStatus::few_draws);
  MatrixXd modes = x;  // two chains in each mode
  modes.leftCols(2).array() += 6;
  CHECK(status(modes) == dg::SummaryStatus::chains_disagree);
  MatrixXd far = x;  // one chain far away
  far.col(3).array() += 2;
  CHECK(status(far) == dg::SummaryStatus::chains_disagree);
  MatrixXd wide = x;  // one chain that spreads wider: only the folded R̂ sees it
  wide.col(2) *= 3;
  CHECK(dg::r_hat_bulk(wide).value < 1.01);
  CHECK(status(wide) == dg::SummaryStatus::chains_disagree);
  MatrixXd drifting = x;  // all chains go the same way: halves differ
  for (Index k = 0; k < 500; ++k) drifting.row(k).array() += .004 * static_cast<double>(k);
  CHECK(status(drifting) == dg::SummaryStatus::chains_disagree);
  MatrixXd resting = x;
  resting.col(1).setConstant(.1);
  CHECK(status(resting) == dg::SummaryStatus::stuck);
  CHECK(status(MatrixXd::Zero(500, 4)) == dg::SummaryStatus::stuck);
  CHECK(status(x.leftCols(1)) == dg::SummaryStatus::no_number);
  CHECK(status(x.topRows(1)) == dg::SummaryStatus::no_number);
  CHECK(status(MatrixXd(0, 4)) == dg::SummaryStatus::no_number);
  x(3, 3) = nan_number;
  CHECK(status(x) == dg::SummaryStatus::no_number);
  CHECK_THAT(dg::summary(interleaved({x}), 4).text(), Catch::Matchers::ContainsSubstring("not finite"));
  // A coordinate that rests beside one that moves
  CHECK(dg::summary(interleaved({MatrixXd::Zero(500, 4), independent(500, 4, 6)}), 4).status ==
        dg::SummaryStatus::no_number);
  CHECK(dg::summary(MatrixXd(0, 0), 4).status == dg::SummaryStatus::no_number);

  // Many short chains: the classic R̂ stays above 1.01, the nested one passes.
  MatrixXd many = independent(40, 256, 8);
  for (Index t = 1; t < 40; ++t) many.row(t) = .8 * many.row(t - 1) + .6 * many.row(t);
  std::vector<Index> superchains;
  for (Index c = 0; c < 256; ++c) superchains.push_back(c % 4);
  CHECK(status(many) == dg::SummaryStatus::chains_disagree);
  CHECK(status(many, {.superchains = superchains}) == dg::SummaryStatus::good);

  fixtures::refuses([&] { (void)dg::summary(MatrixXd::Zero(2, 10), 4); }, "10 columns", "4 chains");
  fixtures::refuses([&] { (void)dg::summary(MatrixXd::Zero(2, 12), 4, {"a"}); }, "1 entries for 2");
  fixtures::refuses([&] { (void)status(x, {.max_r_hat = 1}); }, "max_r_hat is 1");
  fixtures::refuses([&] { (void)status(x, {.min_ess = nan_number}); }, "min_ess");
  fixtures::refuses([&] { (void)status(x, {.functions = {{"f", {}}}}); }, "'f'");
}

TEST_CASE("Heavy tails are told, of which no mean settles, and light ones pass") {
  // x = F⁻¹(Φ(z)) of independent z; k = 1/ν for Student's t. With 2000 draws, 134 in a tail, k̂ has a deviation of some
  // (1 + k)/√134: the laws below are 3.4 of them or more from 0.7, on either side (1 in 3000 each, one-sided).
  const auto map = [](std::uint64_t seed, auto quantile) {
    return MatrixXd(independent(500, 4, seed).unaryExpr([&](double z) { return quantile(dg::normal_probability(z)); }));
  };
  const auto index_of = [](const MatrixXd& x) { return dg::summary(interleaved({x}), 4).rows[0].tail_index; };
  const auto status = [](const MatrixXd& x) { return dg::summary(interleaved({x}), 4).status; };
  const MatrixXd cauchy = map(3, [](double p) { return std::tan(3.14159265358979323846 * (p - 0.5)); });
  const MatrixXd exponential = map(4, [](double p) { return -std::log1p(-p); });
  const MatrixXd pareto_2 = map(5, [](double p) { return -1e6 - 1e-3 / (p * p); });  // the lower tail, k = 2
  CHECK(index_of(cauchy) == Approx(1).margin(0.35));
  CHECK(std::abs(index_of(exponential)) < 0.3);
  CHECK(index_of(independent(500, 4, 5)) < 0.3);
  CHECK(status(exponential) == dg::SummaryStatus::good);
  CHECK(status(cauchy) == dg::SummaryStatus::heavy_tails);
  CHECK(status(pareto_2) == dg::SummaryStatus::heavy_tails);
  CHECK_THAT(dg::summary(interleaved({cauchy}), 4, {"c"}).text(), Catch::Matchers::ContainsSubstring("the tail of c"));
  CHECK(dg::mean_of(cauchy).status == dg::ExpectationStatus::heavy_tails);
  CHECK(dg::mean_of(exponential).status == dg::ExpectationStatus::estimated);
  // Whole numbers, many of them equal: their tails are of no law, and say nothing.
  CHECK(status(independent(500, 4, 6).array().round().matrix()) == dg::SummaryStatus::good);
}

TEST_CASE("Tables of other programs are put in order by the numbers of chains") {
  MatrixXd table(1, 6);
  table << 10, 11, 20, 12, 21, 22;
  const dg::ChainPoints chains = dg::chain_points(table, {1, 1, 2, 1, 2, 2});
  CHECK(chains.chains == 2);
  MatrixXd expected(3, 2);
  expected << 10, 20, 11, 21, 12, 22;
  CHECK(chains.coordinate(0) == expected);
  fixtures::refuses(
      [&] {
        (void)dg::chain_points(table, {1, 1, 2, 1, 2, 5});
      },
      "chain 2 has 2 samples", "chain 1 has 3");
  fixtures::refuses([&] { (void)dg::chain_points(table, {1, 1}); }, "2 numbers for 6");
  fixtures::refuses([&] { (void)dg::chain_points(MatrixXd(1, 0), {}); }, "no columns");
}

TEST_CASE("An expectation has the error of correlated draws, and covers the truth as often as it says") {
  // E[x²] = 1 of autoregressive chains, 200 seeds: |error| ≤ 2 MCSE in 95 %; four standard deviations below are 88 %.
  Index inside = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    MatrixXd x = std::sqrt(.75) * independent(300, 4, 100 + seed);
    x.row(0) /= std::sqrt(.75);
    for (Index t = 1; t < x.rows(); ++t) x.row(t) += .5 * x.row(t - 1);
    const auto square = dg::expectation(interleaved({x}), 4, [](const VectorXd& at) { return at[0] * at[0]; });
    inside += std::abs(square.mean - 1) <= 2 * square.mcse ? 1 : 0;
  }
  CHECK(inside >= 176);

  const MatrixXd x = independent(300, 4, 2);
  const auto of = [&](const std::function<double(const VectorXd&)>& f) {
    return dg::expectation(interleaved({x}), 4, f);
  };
  CHECK(of([](const VectorXd& at) { return at[0]; }).status == dg::ExpectationStatus::estimated);
  CHECK(of([](const VectorXd&) { return 2.; }).status == dg::ExpectationStatus::no_number);
  CHECK(of([](const VectorXd&) { return 2.; }).reason == Reason::constant);
  CHECK(of([](const VectorXd&) { return 2.; }).mean == 2);
  CHECK(of([](const VectorXd& at) { return std::log(at[0]); }).reason == Reason::non_finite);
  MatrixXd modes = x;
  modes.leftCols(2).array() += 6;
  CHECK(dg::mean_of(modes).status == dg::ExpectationStatus::chains_disagree);
  CHECK(dg::mean_of(x.topRows(12)).status == dg::ExpectationStatus::few_draws);
  CHECK_THAT(dg::mean_of(x).text(), Catch::Matchers::ContainsSubstring("estimated"));
}

TEST_CASE("The picture of traces is written, with a block for each panel") {
  const std::string path = "trace_picture_test";
  const MatrixXd points = interleaved({independent(50, 3, 1), MatrixXd::Constant(50, 3, 2.)});
  dg::write_trace_picture(path, points, 3, {"it's", "b"});
  const std::string data = sm::io::read_file(path + ".dat"), script = sm::io::read_file(path + ".gnuplot");
  Index blocks = 0;
  for (std::size_t at = data.find("# "); at != std::string::npos; at = data.find("# ", at + 1)) ++blocks;
  CHECK(blocks == 6);
  CHECK_THAT(script, Catch::Matchers::ContainsSubstring("'it''s'"));
  std::remove((path + ".dat").c_str());
  std::remove((path + ".gnuplot").c_str());
  // Ranks of chains of one law fill each bin alike; those of a chain above the others the last bins.
  MatrixXd x = independent(1000, 4, 4);
  x.col(3).array() += 10;
  const MatrixXd ranks = dg::rank_block(x, 4, 4);
  CHECK(ranks(3, 4) == Approx(4));
  CHECK(ranks.rightCols(4).sum() == Approx(16));
  CHECK(dg::autocorrelation_block(x, 4, 10)(0, 2) == 1);
  fixtures::refuses([&] { dg::write_trace_picture(path, MatrixXd(2, 0), 1); }, "no draws");
  fixtures::refuses([&] { dg::write_trace_picture(path, points, 3, {}, {.coordinates = {2}}); }, "coordinates");
}
