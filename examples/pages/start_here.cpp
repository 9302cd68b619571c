// A first program: a correlated Gaussian for two measurements of 342 penguins, its fit, errors and samples.
#include <scorematch/scorematch.hpp>

#include <cstdio>

namespace sm = scorematch;

int main() {
  // 1. The data: d × N, one column per sample. From your own file: its name, and the names of the columns.
  const Eigen::MatrixXd birds = sm::read_csv("examples/data/penguins.csv", {"bill_length_mm", "bill_depth_mm"});

  // 2. The model: any formula in x and theta that returns one number. theta("name", d) declares d parameters.
  const auto energy = sm::energy_model(2, [](auto x, auto theta) {
    auto u = exp(theta("log_inverse_width", 2)) * (x - theta("centre", 2));
    return 0.5 * squared_norm(u) + theta("correlation") * u[0] * u[1];
  });

  // 3. The fit, and how far it can be trusted.
  const sm::implicit_score_matching objective;
  const auto fit = sm::fit(energy, objective, birds);
  std::printf("%s\n%s\n", fit.text().c_str(), sm::standard_errors(fit, objective, birds).text().c_str());

  // 4. Samples of the fitted model: a kernel is chosen and tuned, and the status says whether to use the draws.
  const auto draws = sm::sample(fit.model, {.chains = 64, .seed = 1});
  std::printf("%s\n%s", draws.text().c_str(), draws.summary({"length", "depth"}).text().c_str());
}
