// Two far modes with the weights 0.8 and 0.2, each of variance 1: who finds the weights, and who the variance?
#include <scorematch/scorematch.hpp>

#include <cmath>
#include <cstdio>

namespace sm = scorematch;

int main() {
  // The energy of the mixture blurred by noise: its modes have the variance v.
  const auto mixture = [](auto x, auto v) {
    auto mode = [&](double centre, double weight) {
      return std::log(weight) - 0.5 * (square(x[0] - centre) + square(x[1])) / v;
    };
    return -log_sum_exp(concat(mode(4, 0.8), mode(-4, 0.2)));
  };
  const auto energy = sm::energy_model(2, [&](auto x, auto) { return mixture(x, 1.0); });
  const auto at_levels = sm::energy_model(2, [&](auto x, auto sigma, auto) { return mixture(x, 1.0 + square(sigma)); });

  const auto show = [](const char* name, const auto& drawn) {
    const Eigen::ArrayXd across = drawn.points.row(1).transpose();
    std::printf("%-18s %-10s weight %.2f, variance %.2f\n", name, to_string(drawn.status),
                (drawn.points.row(0).array() > 0).template cast<double>().mean(), across.square().mean());
  };
  const sm::SampleOptions chains{.chains = 4000, .steps = 500, .seed = 1};
  show("langevin, h = 0.1", sm::sample(energy, sm::langevin{.step = 0.1}, chains));
  show("langevin, h = 0.8", sm::sample(energy, sm::langevin{.step = 0.8}, chains));
  show("mala, h = 0.8", sm::sample(energy, sm::mala{.step = 0.8}, chains));
  show("annealed_langevin",
       sm::generate(at_levels, sm::annealed_langevin{.levels = sm::geometric_levels{20, 0.1, 20}, .step = 0.001},
                    {.count = 4000, .seed = 1}));
  show("heun, 40 levels", sm::generate(at_levels, sm::heun{.levels = sm::edm_levels{.sigma_max = 80, .levels = 40}},
                                       {.count = 4000, .seed = 1}));
}
