// A posterior as a formula: which of two penguins' species is it, by a Bayesian logistic regression.
//
//   bayesian_regression [output folder]
//
//   y_i ~ Bernoulli(1/(1 + exp(−(intercept + x_i · beta)))),   beta_k ~ N(0, tau²),   tau ~ half-Cauchy(2.5)
//
// x are the free numbers in which chains move; a layout says what they mean, adds the log Jacobian of its maps, and
// brings the draws back. One call draws; a table and a picture say whether the draws can be used.
#include <scorematch/scorematch.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace sm = scorematch;
namespace density = sm::log_density;

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "bayesian_regression_output";
  std::filesystem::create_directories(folder);

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

  const auto draws = sm::sample(posterior, {.chains = 64, .seed = 1});
  std::printf("%s", draws.text().c_str());
  std::printf("trajectories of at most %lld leapfrogs of %.2f; R-hat %.3f over the free numbers\n\n",
              static_cast<long long>(draws.leapfrogs), draws.step, draws.r_hat);

  // A row for each parameter, and one for a question: a bird of the means but with a bill deeper by a deviation.
  const sm::diagnostics::ChainPoints parameters{layout.constrain(draws.points), draws.chains};
  const auto table = sm::diagnostics::summary(
      parameters, layout.names(),
      {.functions = {{"P(Chinstrap)", [](const Eigen::VectorXd& p) { return 1 / (1 + std::exp(-(p[0] + p[1]))); }}}});
  std::printf("%s\n", table.text().c_str());

  sm::diagnostics::write_trace_picture(folder + "/traces", parameters, layout.names());
  const std::string command = "gnuplot '" + folder + "/traces.gnuplot'";
  if (std::system((command + " 2> /dev/null").c_str()) == 0)
    std::printf("Picture: %s/traces.png\n", folder.c_str());
  else
    std::printf("No gnuplot, no picture. With gnuplot installed:\n  %s\n", command.c_str());
  return draws.status == sm::SampleStatus::complete && table.status == sm::diagnostics::SummaryStatus::good ? 0 : 1;
}
