#include <scorematch/scorematch.hpp>

#include <cstdio>

namespace sm = scorematch;

int main() {
  const Eigen::MatrixXd X = sm::read_csv("examples/data/two_moons_2d.csv");  // d × N; centred, or nearly so

  // s(x, σ) as one formula.
  const auto network = sm::score_model(2, [](auto x, auto sigma, auto theta) {
    return sm::edm_score(x, sigma, {.sigma_data = 1.5}, [&](auto scaled, auto noise) {
      return sm::mlp(sm::concat(scaled, noise), theta, {.hidden = {32, 32}, .outputs = 2, .seed = 1});
    });
  });
  const sm::denoising_score_matching objective{
      .sigma = sm::log_normal_sigma{.mean = -0.5, .deviation = 1.5}, .weight = sm::Weight::edm, .sigma_data = 1.5};
  const auto training = sm::train(network, objective, X, {.steps = 3000, .batch = 128});  // add .checkpoint = "file"
  const auto drawn = sm::generate(training.model, sm::heun{.levels = sm::edm_levels{.sigma_max = 20, .levels = 30}},
                                  {.count = 1000, .seed = 1});

  std::printf("training: %s, loss %.3f\n", to_string(training.status), training.loss.value);
  std::printf("samples: %s, %d scores each\n", to_string(drawn.status), drawn.evaluations[0]);
  std::printf("%s\n", sm::classifier_two_sample_test(drawn.points, X).text().c_str());
}
