// The short program whose compile time has a budget (scripts/compile_time.sh): data, an energy, its fit, its samples.
#include <cstdio>

#ifdef OWN_HEADERS  // those that it uses
#include <scorematch/fit/fit.hpp>
#include <scorematch/io/csv.hpp>
#include <scorematch/model/energy_model.hpp>
#include <scorematch/objective/implicit_score_matching.hpp>
#include <scorematch/sampler/langevin.hpp>
#include <scorematch/sampler/sample.hpp>
#else
#include <scorematch/scorematch.hpp>
#endif

namespace sm = scorematch;

int main() {
  const Eigen::MatrixXd data = sm::read_csv("examples/data/penguins.csv", {"bill_length_mm", "bill_depth_mm"});

  auto energy = sm::energy_model(2, [](auto x, auto theta) {
    auto centre = theta("centre", 2);
    auto stiffness = exp(theta("log_stiffness"));
    return 0.5 * stiffness * squared_norm(x - centre);
  });

  auto fit = sm::fit(energy, sm::implicit_score_matching{}, data);
  auto draws = sm::sample(fit.model, sm::langevin{.step = 0.05}, {.chains = 1000, .steps = 2000, .seed = 1});
  std::printf("%g\n", draws.points.mean());
}
