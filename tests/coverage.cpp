// Standard errors: intervals cover the truth as often as they say, and known variances are found. Seeds are fixed; each
// test states how often a right method would fail it.
#include "catch.hpp"

#include <cmath>
#include <cstdint>

#include "fixtures.hpp"
#include "scorematch/inference/standard_errors.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using sm::ErrorStatus;
using sm::Index;

namespace {

const sm::implicit_score_matching implicit;

/// How often each parameter's interval covers the truth, over `replications` data sets.
template <class Draw>
VectorXd coverage(const sm::EnergyModel& model, const VectorXd& truth, Index n, int replications, Draw draw) {
  VectorXd covered = VectorXd::Zero(truth.size());
  int flagged = 0;
  for (int r = 0; r < replications; ++r) {
    const MatrixXd X = draw(n, r);
    const auto fit = sm::closed_form(model, implicit, X);
    const auto errors = sm::standard_errors(fit, implicit, X);
    flagged += errors.status != ErrorStatus::identified;
    for (Index k = 0; k < truth.size(); ++k) {
      const auto& error = errors.parameters[static_cast<std::size_t>(k)];
      covered[k] += error.lower <= truth[k] && truth[k] <= error.upper;
    }
  }
  CHECK(flagged <= replications / 50);  // the intervals are right: warnings must be rare
  return covered / replications;
}

}  // namespace

// Identity I6 of a Gaussian with precision 1, f = ½ k x²: n Var(k̂) → 2 by ISM, 1/(σ²(1 + σ²)²) by DSM. The estimate of
// a variance from R replications has a relative standard deviation near √(2/R) = 2.2 %, and 12 % is more than five of
// them.
TEST_CASE("The variance of a precision's estimate is the known one, and standard errors tell it") {
  const auto model = sm::energy_model(1, [](auto x, auto theta) { return 0.5 * theta("k") * square(x[0]); });
  const Index n = 400;
  const int replications = 4000;
  for (const double sigma : {0.0, 0.5, 1.0}) {
    INFO("sigma = " << sigma);
    double mean = 0, squares = 0, told = 0;
    const auto add = [&](const auto& objective, const MatrixXd& X, int r) {
      const auto fit = sm::closed_form(model, objective, X);
      const double k = fit.model.parameters()[0];
      mean += k / replications;
      squares += k * k / replications;
      if (r < 200) told += std::pow(sm::standard_errors(fit, objective, X).parameters[0].standard_error, 2) * n / 200;
    };
    for (int r = 0; r < replications; ++r) {
      const MatrixXd X = normals(1, n, static_cast<std::uint64_t>(r) + 10);
      if (sigma == 0)
        add(implicit, X, r);
      else
        add(sm::denoising_score_matching{.sigma = sigma, .seed = static_cast<std::uint64_t>(r), .frozen = true}, X, r);
    }
    const double known = sigma == 0 ? 2 : 1 / (sigma * sigma * std::pow(1 + sigma * sigma, 2));
    CHECK(n * (squares - mean * mean) == Approx(known).epsilon(0.12));
    CHECK(told == Approx(known).epsilon(0.12));
  }
}

// Coverage 95 % ± 1.5 %. Of 3000 replications the fraction that covers has a standard deviation of 0.4 %: a right
// method misses with probability 2e-4 a parameter, 1e-3 in all.
TEST_CASE("95 % intervals cover the truth of a Gaussian's parameters") {
  const auto model =
      sm::energy_model(1, [](auto x, auto theta) { return 0.5 * theta("k") * square(x[0]) - theta("h") * x[0]; });
  // N(0.5, 0.8²): h = μ/σ², k = 1/σ²
  const VectorXd found = coverage(model, Eigen::Vector2d(0.5 / 0.64, 1 / 0.64), 500, 3000, [](Index n, int r) {
    return MatrixXd(normals(1, n, static_cast<std::uint64_t>(r) + 100000).array() * 0.8 + 0.5);
  });
  CHECK(std::abs(found[0] - 0.95) < 0.015);
  CHECK(std::abs(found[1] - 0.95) < 0.015);
}

TEST_CASE("95 % intervals cover the truth of a quartic energy's parameters") {
  // f = q x⁴ − k x²: exact draws by rejection from N(0, 1): exp(−q x⁴ + (k + ½) x²) ≤ exp((k + ½)²/(4 q))
  const double q = 0.25, k = 0.3;
  const auto model = sm::energy_model(
      1, [](auto x, auto theta) { return theta("q") * square(square(x[0])) - theta("k") * square(x[0]); });
  const VectorXd found = coverage(model, Eigen::Vector2d(k, q), 1000, 3000, [&](Index n, int r) {
    MatrixXd X(1, n);
    sm::Stream stream({77, sm::extend::Purpose::user}, r);
    for (Index i = 0; i < n;) {
      const double x = stream.normal(), square = x * x;
      if (std::log(stream.uniform()) < -q * square * square + (k + 0.5) * square - (k + 0.5) * (k + 0.5) / (4 * q))
        X(0, i++) = x;
    }
    return X;
  });
  CHECK(std::abs(found[0] - 0.95) < 0.015);
  CHECK(std::abs(found[1] - 0.95) < 0.015);
}
