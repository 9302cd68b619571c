// Pareto-smoothed weights and resampling against laws whose tails and means are known.
//
// Seeds are fixed. Had they been drawn: bounds of 4.5 standard errors fail a correct library with probability 7·10⁻⁶ a
// check, some 40 of them.
#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/partition/pareto_smooth.hpp"

namespace {

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using Eigen::ArrayXd;
using Eigen::VectorXd;
using fixtures::normals;
using fixtures::refuses;
using sm::Index;
using sm::WeightStatus;

constexpr double infinity = std::numeric_limits<double>::infinity();

// The n quantiles (i − ½)/n of a generalised Pareto law, ascending: a sample without noise.
ArrayXd pareto_quantiles(double shape, double scale, Index n) {
  ArrayXd x(n);
  for (Index i = 0; i < n; ++i) {
    const double q = 1 - (static_cast<double>(i) + 0.5) / static_cast<double>(n);  // P(X > x)
    x[i] = shape == 0 ? -scale * std::log(q) : scale * (std::pow(q, -shape) - 1) / shape;
  }
  return x;
}

// Logs of n weights u^(−k), u uniform: the law of their tail has shape k exactly.
VectorXd pareto_weights(double k, Index n, std::uint64_t seed) {
  sm::Stream stream({seed});
  VectorXd log_w(n);
  for (Index i = 0; i < n; ++i) log_w[i] = -k * std::log(stream.uniform());
  return log_w;
}

}  // namespace

TEST_CASE("The fit finds shape and scale of exact Pareto tails, in any unit") {
  for (const double shape : {-0.4, 0.0, 0.2, 0.5, 0.7, 1.0, 1.5})
    for (const double scale : {1e-9, 1.0, 1e9}) {
      CAPTURE(shape, scale);
      const auto fit = sm::likelihood::fit_generalised_pareto(pareto_quantiles(shape, scale, 20'000));
      CHECK(std::abs(fit.shape - shape) < 0.01);
      CHECK(std::abs(fit.scale / scale - 1) < 0.01);
      CHECK(std::abs(fit.quantile(0.5) / scale - (shape == 0 ? std::log(2.0) : (std::pow(2.0, shape) - 1) / shape)) <
            0.01);
    }
}

TEST_CASE("Weights with a Pareto tail have its shape, whatever their size") {
  for (const double k : {0.2, 0.5, 0.9, 1.3}) {
    CAPTURE(k);
    const Index n = 40'000, tail = 600;
    const VectorXd log_w = pareto_weights(k, n, 3);
    const auto smooth = sm::pareto_smooth(log_w);
    CHECK(smooth.tail == tail);
    // the estimate's deviation is (1 + k)/√tail (Zhang & Stephens); the prior pulls by 10/610 of the distance to ½
    CHECK(std::abs(smooth.shape - (600 * k + 5) / 610) < 4.5 * (1 + k) / std::sqrt(600.0));
    ArrayXd w = (log_w.array() - log_w.maxCoeff()).exp();
    std::sort(w.begin(), w.end());
    const double raw = sm::likelihood::fit_generalised_pareto(ArrayXd(w.tail(tail) - w[n - tail - 1])).shape;
    CHECK(std::abs(smooth.shape - (600 * raw + 5) / 610) < 1e-9);
    CHECK((smooth.status == WeightStatus::reliable) == (k < 0.7));
    CHECK(smooth.evidence.empty() == (k < 0.7));
    CHECK(std::abs(smooth.weights().sum() - 1) < 1e-12);
    const auto shifted = sm::pareto_smooth(log_w.array() - 5000);
    CHECK(std::abs(shifted.shape - smooth.shape) < 1e-9);
    CHECK(std::abs(shifted.log_mean_weight + 5000 - smooth.log_mean_weight) < 1e-8);
    CHECK(std::abs(shifted.effective_sample_size / smooth.effective_sample_size - 1) < 1e-9);
  }
}

TEST_CASE("Smoothing keeps the order, the bulk, and the largest weight's bound") {
  const VectorXd log_w = pareto_weights(0.6, 1000, 5);
  const auto smooth = sm::pareto_smooth(log_w);
  CHECK(smooth.tail == 95);  // ⌈3 √1000⌉
  std::vector<Index> order(1000);
  for (Index i = 0; i < 1000; ++i) order[static_cast<std::size_t>(i)] = i;
  std::sort(order.begin(), order.end(), [&](Index a, Index b) { return log_w[a] < log_w[b]; });
  const double factor = smooth.log_weights[order[0]] - log_w[order[0]];
  for (std::size_t i = 0; i < 1000; ++i) {
    const Index at = order[i];
    if (i > 0) CHECK(smooth.log_weights[at] >= smooth.log_weights[order[i - 1]]);
    if (i < 905) CHECK(std::abs(smooth.log_weights[at] - log_w[at] - factor) < 1e-12);
    CHECK(smooth.log_weights[at] <= log_w.maxCoeff() + factor + 1e-12);
  }
  // Zhang & Stephens' law through the tail: its median is the middle of the smoothed weights
  const double middle = std::exp(smooth.log_weights[order[952]] - factor);
  CHECK(std::abs(middle / std::exp(log_w[order[952]]) - 1) < 0.1);
}

TEST_CASE("Light and heavy proposals are told apart by k") {
  const Index n = 10'000;
  const ArrayXd z = normals(1, n, 7).transpose().array();
  // N(0, 1) from N(0, s²): the weights exp(−x²/2 + x²/(2 s²)) have the tail index k = 1 − s² for s < 1, far out
  for (const double s : {0.35, 0.8, 0.95}) {
    CAPTURE(s);
    const ArrayXd x = s * z;
    const auto smooth = sm::pareto_smooth(VectorXd(-0.5 * x.square() + 0.5 * z.square()));
    CHECK(std::abs(smooth.shape - (1 - s * s)) < 0.25);
    CHECK((smooth.status == WeightStatus::reliable) == (s > 0.6));
  }
  // wider than the target: bounded weights
  const ArrayXd wide = 2 * z;
  const auto bounded = sm::pareto_smooth(VectorXd(-0.5 * wide.square() + 0.5 * z.square()));
  CHECK(bounded.status == WeightStatus::reliable);
  CHECK(bounded.shape < 0.2);
  // log E[w] of N(0, 1) from N(0, 4), r without its constant: log ½
  CHECK(std::abs(bounded.log_mean_weight - std::log(0.5)) < 0.03);
  // Cauchy's law from a normal one: weights whose mean is hardly finite
  const auto heavy = sm::pareto_smooth(VectorXd(-(1 + z.square()).log() + 0.5 * z.square()));
  CHECK(heavy.status == WeightStatus::unreliable);
  CHECK(heavy.shape > 0.7);
}

TEST_CASE("Smoothing steadies the mean of heavy weights") {
  // weights u^(−0.6): mean 1/0.4. Relative errors over 200 runs of 500 weights.
  double raw = 0, smoothed = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const VectorXd log_w = pareto_weights(0.6, 500, 100 + seed);
    const double truth = std::log(1 / 0.4);
    raw += std::pow(std::exp(std::log(log_w.array().exp().mean()) - truth) - 1, 2) / 200;
    smoothed += std::pow(std::exp(sm::pareto_smooth(log_w).log_mean_weight - truth) - 1, 2) / 200;
  }
  CAPTURE(raw, smoothed);
  CHECK(smoothed < raw);
}

TEST_CASE("Weights that cannot be judged get a name instead of a shape") {
  CHECK(sm::pareto_smooth(VectorXd::Zero(1)).status == WeightStatus::too_few);
  CHECK(sm::pareto_smooth(VectorXd::Zero(24)).status == WeightStatus::too_few);
  CHECK(std::isnan(sm::pareto_smooth(VectorXd::Zero(24)).shape));
  const auto equal = sm::pareto_smooth(VectorXd::Constant(1000, 1e6));
  CHECK(equal.status == WeightStatus::reliable);
  CHECK(equal.shape == -infinity);
  CHECK(std::abs(equal.effective_sample_size - 1000) < 1e-6);
  CHECK(equal.log_mean_weight == 1e6);
  const auto zero = sm::pareto_smooth(VectorXd::Constant(100, -infinity));
  CHECK(zero.status == WeightStatus::no_mass);
  VectorXd bad = VectorXd::Zero(100);
  bad[3] = std::numeric_limits<double>::quiet_NaN();
  CHECK(sm::pareto_smooth(bad).status == WeightStatus::non_finite);
  CHECK_THAT(sm::pareto_smooth(bad).text(), StartsWith("non-finite") && ContainsSubstring("log weight 3"));
  bad[3] = infinity;
  CHECK(sm::pareto_smooth(bad).status == WeightStatus::non_finite);
  // one weight that is all of the sum
  for (const double ahead : {50.0, 1e5}) {
    VectorXd one = 1e-3 * normals(1, 1000, 3).transpose();
    one[500] += ahead;
    CAPTURE(ahead);
    CHECK(sm::pareto_smooth(one).status == WeightStatus::unreliable);
  }
  // weights 0 among others: hard walls
  VectorXd walls = VectorXd::Zero(1000);
  walls.head(400).setConstant(-infinity);
  CHECK(sm::pareto_smooth(walls).status == WeightStatus::reliable);
  CHECK(std::abs(sm::pareto_smooth(walls).effective_sample_size - 600) < 1e-9);
  walls.head(990).setConstant(-infinity);  // ten draws at the same height are left
  CHECK(sm::pareto_smooth(walls).status == WeightStatus::unreliable);
  refuses([] { static_cast<void>(sm::pareto_smooth(VectorXd())); }, "log_weights");
}

TEST_CASE("Resampling keeps proportions with replacement, and makes no copies without") {
  VectorXd log_w(4);
  log_w << std::log(1.0), std::log(2.0), std::log(5.0), -infinity;
  const std::vector<Index> many = sm::resample(log_w.array() + 1e5, {.count = 800, .seed = 4});
  for (const auto& [which, expected] : {std::pair<Index, Index>{0, 100}, {1, 200}, {2, 500}, {3, 0}})
    CHECK(std::abs(std::count(many.begin(), many.end(), which) - expected) <= 1);
  const std::vector<Index> all = sm::resample(log_w, {.count = 3, .replacement = false, .seed = 4});
  CHECK(all == std::vector<Index>{0, 1, 2});
  // the first of one without replacement comes in proportion to its weight: counts of 4000
  Index counts[3] = {};
  for (std::uint64_t seed = 0; seed < 4000; ++seed)
    ++counts[sm::resample(log_w, {.count = 1, .replacement = false, .seed = seed})[0]];
  for (const auto& [which, p] : {std::pair<int, double>{0, 0.125}, {1, 0.25}, {2, 0.625}})
    CHECK(std::abs(static_cast<double>(counts[which]) - 4000 * p) < 4.5 * std::sqrt(4000 * p * (1 - p)));
  refuses([&] { static_cast<void>(sm::resample(log_w, {.count = 4, .replacement = false})); }, "4 draws", "3");
  refuses([&] { static_cast<void>(sm::resample(log_w, {.count = 0})); }, "count");
  refuses([&] { static_cast<void>(sm::resample(VectorXd::Constant(3, -infinity))); }, "none");
}
