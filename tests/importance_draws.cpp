// Importance draws against laws whose moments and log Z are known.
//
// Seeds are fixed. Had they been drawn: bounds of 4.5 standard errors fail a correct library with probability 7·10⁻⁶ a
// check, six of them.
#include "catch.hpp"

#include <cmath>
#include <set>

#include "fixtures.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/partition/importance_draws.hpp"

namespace {

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::refuses;
using sm::Index;

}  // namespace

TEST_CASE("Importance draws have the moments of the law, on raw scales") {
  // x ~ N((1e6, −2e−9), diag(1e3, 1e−9)²) with correlation ½
  const auto model = sm::energy_model(2, [](auto x, auto) {
    const auto a = (x[0] - 1e6) / 1e3, b = (x[1] + 2e-9) / 1e-9;
    return (square(a) - a * b + square(b)) / 1.5;
  });
  const MatrixXd near = (MatrixXd(2, 2) << 0.9e6, 1.1e6, 1e-9, -3e-9).finished();
  const auto draws = sm::importance_draws(model, {.samples = 20'000, .near = near});
  CAPTURE(draws.text());
  REQUIRE(draws.status == sm::ImportanceStatus::reliable);
  CHECK(draws.points.cols() == 20'000);
  CHECK(draws.weights.shape < 0.5);
  CHECK(draws.weights.effective_sample_size > 5000);
  const double bound = 4.5 / std::sqrt(draws.weights.effective_sample_size);
  const VectorXd mean = draws.points * draws.weights.weights();
  CHECK(std::abs(mean[0] - 1e6) < bound * 1e3);
  CHECK(std::abs(mean[1] + 2e-9) < bound * 1e-9);
  const MatrixXd centred = draws.points.colwise() - mean;
  const double covariance =
      (draws.weights.weights().array() * centred.row(0).transpose().array() * centred.row(1).transpose().array()).sum();
  CHECK(std::abs(covariance / 1e-6 - 0.5) < 1.5 * bound);
  CHECK(std::abs(draws.log_partition.value - std::log(2 * 3.14159265358979323846 * 1e-6 * std::sqrt(0.75))) <
        4.5 * draws.log_partition.error);
  const MatrixXd few = draws.resampled({.count = 500, .replacement = false, .seed = 1});
  std::set<double> different(few.data(), few.data() + few.size());
  CHECK(different.size() == 1000);
  CHECK(std::abs(few.row(0).mean() - 1e6) < 4.5e3 / std::sqrt(500.0));
}

TEST_CASE("Where there are no draws, or none to trust, the status says so") {
  const auto falling = sm::energy_model(1, [](auto x, auto) { return -square(x[0]); });
  const auto none = sm::importance_draws(falling, {.samples = 1000});
  CHECK(none.status == sm::ImportanceStatus::none);
  CHECK(none.points.size() == 0);
  CHECK(!none.evidence.empty());
  refuses([&] { static_cast<void>(none.resampled()); }, "no draws");
  // a shell of radius 50 in 20 dimensions: no law around its centre fits
  const auto shell = sm::energy_model(20, [](auto x, auto) { return 50 * square(norm(x) - 50); });
  const auto poor = sm::importance_draws(shell, {.samples = 2000, .rounds = 0});
  CAPTURE(poor.text());
  CHECK(poor.status == sm::ImportanceStatus::unreliable);
  CHECK(!poor.evidence.empty());
}
