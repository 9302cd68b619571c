#include <scorematch/scorematch.hpp>

#include <cstdio>

namespace sm = scorematch;

int main() {
  // d × N, one column per sample.
  const Eigen::MatrixXd birds = sm::read_csv("examples/data/penguins.csv", {"bill_length_mm", "bill_depth_mm"});

  // f_θ(x) as one formula: no derivative, no normaliser. A parameter is declared where it is used.
  const auto energy = sm::energy_model(2, [](auto x, auto theta) {
    auto inverse_width = exp(theta("log_inverse_width", 2));
    return 0.5 * squared_norm(inverse_width * (x - theta("centre", 2)));
  });

  const auto fit = sm::fit(energy, sm::implicit_score_matching{}, birds);
  const auto draws = sm::sample(fit.model, sm::langevin{.step = 0.5}, {.chains = 1000, .steps = 1000, .seed = 1});

  const Eigen::MatrixXd centre = fit.model.parameter("centre");
  const Eigen::VectorXd mean = draws.points.rowwise().mean();
  std::printf("fit: %s, loss %.3f ± %.3f\n", to_string(fit.status), fit.loss.value, fit.loss.standard_error);
  std::printf("centre (%.1f, %.1f) mm\n", centre(0), centre(1));
  std::printf("samples: %s, mean (%.1f, %.1f) mm\n", to_string(draws.status), mean[0], mean[1]);
}
