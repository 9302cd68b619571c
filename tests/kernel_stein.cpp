// The kernel Stein discrepancy, its test, and Stein thinning.
//
// Seeds are fixed; where a rate is tested the comment says what it may be. Closed forms are those of Gaussians.
#include "catch.hpp"

#include <Eigen/LU>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/diagnostics/kernel_stein.hpp"
#include "scorematch/diagnostics/stein_thinning.hpp"

namespace sm = scorematch;
namespace dg = scorematch::diagnostics;
using dg::KernelScale;
using Eigen::MatrixXd;
using Eigen::VectorXd;
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

double k0(const VectorXd& x, const VectorXd& y, const VectorXd& s, const VectorXd& t, const MatrixXd& A, double c,
          double b) {
  const VectorXd r = x - y;
  const double q = c * c + r.dot(A * r);
  return -4 * b * (b - 1) * (A * r).squaredNorm() * std::pow(q, b - 2) -
         2 * b * (A.trace() + (s - t).dot(A * r)) * std::pow(q, b - 1) + s.dot(t) * std::pow(q, b);
}

/// Points of a grid and weights of N(m, v) on it, d = 1 or 2: the trapezoid's rule, exact to rounding but for the ends.
struct Grid {
  MatrixXd points;
  VectorXd weights;

  Grid(Index d, double mean, double variance, double spacing) {
    const double sd = std::sqrt(variance);
    const Index side = 2 * static_cast<Index>(7.5 / spacing) + 1, count = d == 1 ? side : side * side;
    points.resize(d, count);
    weights.resize(count);
    for (Index k = 0; k < count; ++k) {
      double square = 0;
      for (Index i = 0; i < d; ++i) {
        const double z = spacing * static_cast<double>((i == 0 ? k % side : k / side) - side / 2);
        points(i, k) = (i == 0 ? mean : 0) + sd * z;
        square += z * z;
      }
      weights[k] = std::exp(-.5 * square);
    }
    weights /= weights.sum();
  }
};

}  // namespace

TEST_CASE("The kernel Stein discrepancy of four points is that by hand") {
  MatrixXd x(2, 4);
  x << 0, 1, 0, -1, 0, 0, 2, -1;
  const auto found = dg::kernel_stein_discrepancy(x, -x);
  CHECK(found.value == Approx(.7492507195).epsilon(1e-9));
  CHECK(found.u_statistic == Approx(-.5014978124).epsilon(1e-9));
  CHECK(found.v_statistic == Approx(found.value * found.value));
  CHECK(dg::kernel_stein_discrepancy(x, -x, {}, VectorXd::Constant(4, .25)).value == Approx(found.value));
  // One point: k₀(x, x) = d + ‖s‖²
  CHECK(dg::kernel_stein_discrepancy(x.rightCols(1), -x.rightCols(1)).v_statistic == Approx(4));
}

TEST_CASE("The Stein kernel is its formula, for every scale, constant and exponent") {
  const MatrixXd x = MatrixXd(Eigen::Vector3d(1, 2, .5).asDiagonal()) * normals(3, 300, 6).topRows(3),
                 s = normals(3, 300, 7);
  const MatrixXd centred = x.colwise() - VectorXd(x.rowwise().mean());
  const MatrixXd covariance = centred * centred.transpose() / 300;
  std::vector<double> distances;
  for (Index i = 0; i < 300; ++i)
    for (Index j = 0; j < i; ++j) distances.push_back((x.col(i) - x.col(j)).norm());
  std::sort(distances.begin(), distances.end());
  const double median = distances[distances.size() / 2];
  const auto matrix_of = [&](KernelScale scale) -> MatrixXd {
    if (scale == KernelScale::diagonal) return covariance.diagonal().asDiagonal();
    if (scale == KernelScale::covariance) return covariance;
    return (scale == KernelScale::median ? median * median : 1) * MatrixXd::Identity(3, 3);
  };
  for (const KernelScale scale :
       {KernelScale::identity, KernelScale::diagonal, KernelScale::covariance, KernelScale::median})
    for (const double b : {-.5, -.3}) {
      const MatrixXd A = Eigen::Matrix3d(matrix_of(scale)).inverse();
      const dg::SteinKernel kernel(x, s, {.c = .7, .exponent = b, .scale = scale});
      REQUIRE(kernel.usable());
      MatrixXd K, room;
      kernel.tile(8, 3, 150, 4, K, room);
      for (Index i = 0; i < 3; ++i)
        for (Index j = 0; j < 4; ++j)
          CHECK(K(i, j) ==
                Approx(k0(x.col(8 + i), x.col(150 + j), s.col(8 + i), s.col(150 + j), A, .7, b)).epsilon(1e-10));
      kernel.tile(16, 1, 16, 1, K, room);
      CHECK(kernel.diagonal()[16] == Approx(K(0, 0)).epsilon(1e-12));
      double sum = 0;  // over tiles
      for (Index i = 0; i < 300; ++i)
        for (Index j = 0; j < 300; ++j) sum += k0(x.col(i), x.col(j), s.col(i), s.col(j), A, .7, b);
      CHECK(dg::kernel_stein_discrepancy(x, s, {.c = .7, .exponent = b, .scale = scale}).v_statistic ==
            Approx(sum / 9e4).epsilon(1e-10));
    }
}

TEST_CASE("The kernel Stein discrepancy has its closed forms") {
  // q = N(m, 1) or N(0, v), p = N(0, 1); a grid with weights stands for q
  const auto squared = [](const Grid& q) {
    return dg::kernel_stein_discrepancy(q.points, -q.points, {}, q.weights).v_statistic;
  };
  for (const double m : {.5, 2.}) CHECK(squared(Grid(1, m, 1, .1)) == Approx(m * m * .7057570043).epsilon(1e-9));
  CHECK(squared(Grid(1, 0, .5, .1)) == Approx(.0561872780).epsilon(2e-9));
  CHECK(squared(Grid(1, 0, 2, .05)) == Approx(.0672628609).epsilon(2e-9));
  CHECK(std::abs(squared(Grid(1, 0, 1, .1))) < 1e-12);
  CHECK(squared(Grid(2, 1, 1, .3)) == Approx(.5456413608).epsilon(1e-7));
  // d = 5 and 10 by draws: over 16 sets of 500 the U-statistic has the mean ‖m‖² E_d, within four standard errors
  for (const auto& [d, expected] : {std::pair<Index, double>{5, .3423138279}, {10, .2342507033}}) {
    VectorXd u(16);
    for (Index k = 0; k < 16; ++k) {
      MatrixXd x = normals(d, 500, 100 + static_cast<std::uint64_t>(k));
      x.row(0).array() += 2;
      u[k] = dg::kernel_stein_discrepancy(x, -x).u_statistic;
    }
    const double error = std::sqrt((u.array() - u.mean()).square().sum() / (15. * 16));
    CHECK(std::abs(u.mean() - 4 * expected) < 4 * error);
    CHECK(error < .1 * expected);
  }
}

TEST_CASE("The kernel Stein discrepancy says what it cannot do") {
  const MatrixXd x = normals(2, 50, 8);
  MatrixXd flat = x, bad = x, doubled = x;
  flat.row(0).setConstant(3);
  bad(0, 0) = nan_number;
  doubled.row(1) = 2 * x.row(0);
  const auto status = [](const MatrixXd& at, KernelScale scale) {
    return dg::kernel_stein_discrepancy(at, -at, {.scale = scale}).status;
  };
  CHECK(status(flat, KernelScale::identity) == dg::KernelSteinStatus::computed);
  CHECK(status(flat, KernelScale::diagonal) == dg::KernelSteinStatus::degenerate);
  CHECK(status(flat, KernelScale::covariance) == dg::KernelSteinStatus::degenerate);
  CHECK(status(doubled, KernelScale::covariance) == dg::KernelSteinStatus::degenerate);
  CHECK(status(MatrixXd::Ones(2, 50), KernelScale::median) == dg::KernelSteinStatus::degenerate);
  CHECK(status(bad, KernelScale::identity) == dg::KernelSteinStatus::non_finite);
  CHECK(status(1e-9 * x, KernelScale::covariance) == dg::KernelSteinStatus::computed);
  CHECK(std::isnan(dg::kernel_stein_discrepancy(bad, -bad).value));
  CHECK_THAT(dg::kernel_stein_discrepancy(bad, -bad).text(), Catch::Matchers::ContainsSubstring("not finite"));
  // An offset is none where L follows the points.
  const MatrixXd far = x.array() + 1e6;
  CHECK(dg::kernel_stein_discrepancy(far, -x).value == Approx(dg::kernel_stein_discrepancy(x, -x).value).epsilon(1e-8));
  fixtures::refuses([&] { (void)dg::kernel_stein_discrepancy(x, -x, {.max_points = 49}); }, "50 points", "49",
                    "max_points");
  fixtures::refuses([&] { (void)dg::kernel_stein_discrepancy(x, -x.leftCols(2)); }, "2 × 2");
  fixtures::refuses([&] { (void)dg::kernel_stein_discrepancy(MatrixXd(2, 0), MatrixXd(2, 0)); }, "no points");
  fixtures::refuses([&] { (void)dg::kernel_stein_discrepancy(x, -x, {.exponent = -1}); }, "exponent");
  fixtures::refuses([&] { (void)dg::kernel_stein_discrepancy(x, -x, {.c = 0}); }, "c is 0");
  fixtures::refuses([&] { (void)dg::kernel_stein_discrepancy(x, -x, {}, VectorXd::Ones(3)); }, "weights has 3");
}

TEST_CASE("The kernel Stein test passes right draws at its rate, correlated ones too, and sees wrong ones") {
  // 100 seeds at a rate of 5 %: 13 or fewer with probability .9995.
  const dg::KernelSteinTestOptions options{.resamples = 199, .false_alarm_rate = .05};
  Index alarms = 0, correlated = 0, wide = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const MatrixXd x = normals(2, 200, 300 + seed), y = autoregressive(1, 200, 4, .6, 700 + seed);
    alarms += dg::kernel_stein_test(x, -x, 4, options).status == dg::KernelSteinVerdict::biased ? 1 : 0;
    if (seed < 50)
      correlated += dg::kernel_stein_test(y, -y, 4, options).status == dg::KernelSteinVerdict::biased ? 1 : 0;
    if (seed < 20)
      wide += dg::kernel_stein_test(x, -2 * x, 4, options).status == dg::KernelSteinVerdict::biased ? 1 : 0;
  }
  CHECK(alarms <= 13);
  CHECK(correlated <= 9);  // of 50: .9992
  CHECK(wide >= 18);
  const MatrixXd x = normals(2, 200, 1);
  const auto once = dg::kernel_stein_test(x, -x, 4), again = dg::kernel_stein_test(x, -x, 4);
  CHECK(once.p_value == again.p_value);
  CHECK(once.p_value != dg::kernel_stein_test(x, -x, 4, {.seed = 1}).p_value);
  CHECK(once.flip == .5);
  CHECK(dg::kernel_stein_test(x, -x, 200).ess == 200);  // one draw of each chain
  CHECK(dg::kernel_stein_test(x.leftCols(80), -x.leftCols(80), 4).status == dg::KernelSteinVerdict::not_enough_draws);
  CHECK_THAT(once.text(), Catch::Matchers::ContainsSubstring("passed: p-value"));
  fixtures::refuses([&] { (void)dg::kernel_stein_test(x, -x, 4, {.resamples = 50}); }, "least p-value");
  fixtures::refuses([&] { (void)dg::kernel_stein_test(x, -x, 4, {.flip = .6}); }, "flip");
}

TEST_CASE("Bootstrap signs remember as their flips say") {
  const MatrixXd W = dg::bootstrap_signs(400, 3, .2, {.resamples = 100});
  double product = 0;
  for (Index k = 1; k < 400; ++k)
    product += W.middleRows(3 * k, 3).cwiseProduct(W.middleRows(3 * (k - 1), 3)).sum() / (399. * 300);
  CHECK(product == Approx(.6).margin(.01));
  CHECK(std::abs(W.mean()) < .03);
}

TEST_CASE("Stein thinning chooses well, and the Laplacian keeps it from saddle points") {
  // Half of the draws are far out: none of these is chosen.
  MatrixXd x = normals(2, 400, 9);
  x.rightCols(200).array() += 6;
  const auto thinned = dg::stein_thinning(x, -x, 20);
  REQUIRE(thinned.indices.size() == 20);
  for (const Index i : thinned.indices) CHECK(i < 200);
  MatrixXd chosen(2, 20);
  for (Index k = 0; k < 20; ++k) chosen.col(k) = x.col(thinned.indices[static_cast<std::size_t>(k)]);
  CHECK(thinned.discrepancy == Approx(dg::kernel_stein_discrepancy(chosen, -chosen).value));
  CHECK(thinned.discrepancy < dg::kernel_stein_discrepancy(x.leftCols(20), -x.leftCols(20)).value);
  const auto first = dg::stein_thinning(x, -x, 1).indices[0];
  for (Index i = 0; i < 400; ++i) CHECK(x.col(first).norm() <= x.col(i).norm());

  // ½N(−3, 1) + ½N(3, 1): at 0 the score is 0 and log p has a minimum, (log p)″ = 8.
  MatrixXd y(1, 61);
  VectorXd laplacians(61), log_p(61);
  MatrixXd s(1, 61);
  for (Index i = 0; i < 61; ++i) {
    const double at = .15 * static_cast<double>(i - 30), t = std::tanh(3 * at);
    y(0, i) = at;
    s(0, i) = -at + 3 * t;
    laplacians[i] = -1 + 9 * (1 - t * t);
    log_p[i] = -.5 * at * at + std::log(std::cosh(3 * at));
  }
  const auto near_0 = [&](const dg::SteinThinning& found) {
    Index count = 0;
    for (const Index i : found.indices) count += std::abs(y(0, i)) < .5 ? 1 : 0;
    return count;
  };
  CHECK(near_0(dg::stein_thinning(y, s, 30)) >= 1);
  CHECK(near_0(dg::stein_thinning(y, s, 30, {.laplacians = laplacians})) == 0);
  // The entropy term alone prefers where p is high.
  const auto weighted = dg::stein_thinning(y, s, 30, {.log_densities = log_p, .entropy_weight = 3000});
  for (const Index i : weighted.indices) CHECK(std::abs(std::abs(y(0, i)) - 3) < .1);

  s(0, 3) = nan_number;
  CHECK(dg::stein_thinning(y, s, 3).status == dg::KernelSteinStatus::non_finite);
  fixtures::refuses([&] { (void)dg::stein_thinning(x, -x, 0); }, "count is 0");
  fixtures::refuses([&] { (void)dg::stein_thinning(x, -x, 3, {.laplacians = laplacians}); }, "61 numbers for 400");
}
