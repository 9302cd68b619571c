// Diagnostics of draws against reference values, closed forms, and what must not change.
//
// The reference chains are given by formulas, so that no file is needed; their values are those of an independent
// implementation in double precision, to ten digits.
#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/diagnostics/convergence.hpp"

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
