// A small user's program: fits the centre of a Gaussian (implicit score matching: it is the mean of the data) in the
// other source file, and samples the fitted model here.
#include <scorematch/scorematch.hpp>

#include <cmath>
#include <cstdio>

namespace sm = scorematch;

sm::EnergyModel fitted_to(const Eigen::MatrixXd& data);

int main() {
  const Eigen::MatrixXd data{{0.0, 1.0, 2.0, 3.0}, {1.0, 1.0, -1.0, 3.0}};
  const sm::EnergyModel model = fitted_to(data);
  const double error = (model.parameter("centre") - data.rowwise().mean()).norm();
  const auto draws = sm::sample(model, sm::langevin{.step = 0.05}, {.chains = 10, .steps = 10, .seed = 1});
  std::printf("scorematch %d.%d.%d: error of the centre %.1e, %td chains\n", SCOREMATCH_VERSION_MAJOR,
              SCOREMATCH_VERSION_MINOR, SCOREMATCH_VERSION_PATCH, error, draws.points.cols());
  return error < 1e-4 && draws.points.allFinite() ? 0 : 1;
}
