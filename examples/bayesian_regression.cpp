// A posterior as a formula: which of two penguins' species is it, by a Bayesian logistic regression.
//
//   y_i ~ Bernoulli(1/(1 + exp(−(intercept + x_i · beta)))),   beta_k ~ N(0, tau²),   tau ~ half-Cauchy(2.5)
//
// x are the free numbers in which chains move; a layout says what they mean, adds the log Jacobian of its maps, and
// brings the draws back.
#include <scorematch/scorematch.hpp>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace sm = scorematch;
namespace density = sm::log_density;

int main() {
  // Adelie (1) and Chinstrap (2) penguins by bill depth, flipper length and mass: 4 × N with the species.
  const std::vector<std::string> measured = {"bill_depth_mm", "flipper_length_mm", "body_mass_g"};
  const Eigen::MatrixXd all =
      sm::read_csv("examples/data/penguins.csv", {measured[0], measured[1], measured[2], "species"});
  std::vector<sm::Index> birds;
  for (sm::Index n = 0; n < all.cols(); ++n)
    if (all(3, n) < 2.5) birds.push_back(n);
  const Eigen::MatrixXd kept = all(Eigen::all, birds);
  const Eigen::MatrixXd measurements = kept.topRows(3);
  const auto units = sm::standardise(measurements);
  const Eigen::MatrixXd X = units.apply(measurements).transpose();  // N × 3, one row per bird
  const Eigen::VectorXd y = kept.row(3).array() - 1;

  sm::Layout layout;
  layout.real("intercept").vector("beta", 3).positive("tau");
  const auto posterior = sm::energy_model(layout.dimension(), [&](auto x, auto) {
    const auto p = layout.read(x);
    const auto beta = p["beta"], tau = p["tau"], intercept = p["intercept"];
    return -(density::bernoulli_logit(y, X * beta + intercept) + density::normal(intercept, 0.0, 5.0) +
             density::normal(beta, 0.0, tau) + density::half_cauchy(tau, 2.5) + p.log_jacobian);
  });

  const auto draws = sm::sample(posterior, sm::mala{.step = 0.02}, {.chains = 200, .steps = 1500, .seed = 1});
  std::printf("%s\n", draws.text().c_str());

  const Eigen::MatrixXd table = layout.constrain(draws.points);
  std::printf("%-12s %8s %8s %8s\n", "", "5 %", "median", "95 %");
  for (sm::Index k = 0; k < layout.size(); ++k) {
    std::vector<double> values(static_cast<std::size_t>(table.cols()));
    for (sm::Index n = 0; n < table.cols(); ++n) values[static_cast<std::size_t>(n)] = table(k, n);
    std::sort(values.begin(), values.end());
    const auto quantile = [&](double p) {
      return values[static_cast<std::size_t>(p * static_cast<double>(values.size()))];
    };
    std::printf("%-12s %8.2f %8.2f %8.2f\n", layout.names()[static_cast<std::size_t>(k)].c_str(), quantile(0.05),
                quantile(0.5), quantile(0.95));
  }
  return draws.status == sm::SampleStatus::complete ? 0 : 1;
}
