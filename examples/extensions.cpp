// A loss and a transition kernel of one's own. One sample in twenty of a Gaussian cloud is an outlier: where do
// denoising score matching and its Huberised form put the centre, and does the leapfrog kernel draw the fitted law?
//
// σ is larger than the cloud. For a small σ the fitted width grows over the outliers, whose residuals are then small.
#include <scorematch/scorematch.hpp>

#include <cstdio>
#include <random>

#include "extensions/huberised_denoising.hpp"
#include "extensions/leapfrog.hpp"

int main() {
  const Eigen::Vector2d centre(1, -2), outlier(9, 6);
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  Eigen::MatrixXd X(2, 2000);
  for (double& x : X.reshaped()) x = normal(random);
  for (Eigen::Index i = 0; i < X.cols(); ++i) X.col(i) += i % 20 == 0 ? outlier : centre;

  const auto model = sm::gaussian(2);
  const huberised_denoising huberised{.sigma = 2, .delta = 0.5};
  const sm::denoising_score_matching plain{.sigma = 2, .weight = sm::Weight::sigma_squared};
  const auto report = sm::check_objective(huberised, model, X.leftCols(8));
  std::printf("%s\nclean data            centre (%.2f, %.2f)\n", report.text().c_str(), centre[0], centre[1]);

  const auto distance = [&](const char* name, const auto& fit) {
    const Eigen::MatrixXd mean = fit.model.parameter("mean");
    std::printf("%-10s %-10s centre (%.2f, %.2f)\n", name, to_string(fit.status), mean(0), mean(1));
    return (mean - centre).norm();
  };
  const double plain_distance = distance("plain", sm::fit(model, plain, X));
  const auto fit = sm::fit(model, huberised, X);
  const double huberised_distance = distance("Huberised", fit);

  const auto draws =
      sm::sample(fit.model, leapfrog{.step = 2, .leapfrogs = 2}, {.chains = 5000, .steps = 50, .seed = 1});
  const Eigen::MatrixXd mean = fit.model.parameter("mean");
  const Eigen::Matrix2d precision = sm::gaussian_precision(fit.model), covariance = precision.inverse();
  const Eigen::Vector2d drawn = draws.points.rowwise().mean();
  const Eigen::ArrayXXd u = draws.points.colwise() - drawn;
  const Eigen::Array2d variance = u.square().rowwise().mean();
  std::printf("leapfrog   %-10s acceptance %.2f\n", to_string(draws.status), draws.acceptance.mean());
  for (int i = 0; i < 2; ++i)
    std::printf("  x%d: mean %.2f, the fit's %.2f; variance %.2f, the fit's %.2f\n", i, drawn[i], mean(i), variance[i],
                covariance(i, i));

  // The mean and the variance of 5000 draws within four standard errors.
  bool right = report.passed && huberised_distance < plain_distance / 2 && draws.acceptance.mean() > 0.5;
  for (int i = 0; i < 2; ++i)
    right = right && std::abs(drawn[i] - mean(i)) < 4 * std::sqrt(covariance(i, i) / 5000) &&
            std::abs(variance[i] / covariance(i, i) - 1) < 4 * std::sqrt(2.0 / 5000);
  return right ? 0 : 1;
}
