// f(x) = Σ x_i⁴/4, whose log Z is d log(2 √2 Γ(5/4)), by three methods; and an energy that has no Z.
#include <scorematch/scorematch.hpp>

#include <cmath>
#include <cstdio>

namespace sm = scorematch;

int main() {
  const auto show = [](const char* name, const sm::LogPartition& log_z, double exact) {
    std::printf("%-28s %-16s %.6f ± %.1e (exact %.6f), %td evaluations\n", name, to_string(log_z.status), log_z.value,
                log_z.error, exact, log_z.evaluations);
    if (!log_z.evidence.empty()) std::printf("  %s\n", log_z.evidence.c_str());
  };
  const auto quartic = [](auto x, auto) { return 0.25 * sum(square(square(x))); };
  const double one = std::log(2 * std::tgamma(1.25) * std::sqrt(2.0));  // log ∫ exp(−x⁴/4) dx

  show("quadrature, d = 2", sm::log_partition(sm::energy_model(2, quartic)), 2 * one);
  show("importance sampling, d = 8", sm::log_partition(sm::energy_model(8, quartic)), 8 * one);

  // Chains that go back from draws of the model bound log Z from above; here these draws are the ends of long chains.
  const auto wide = sm::energy_model(20, quartic);
  const auto draws = sm::sample(wide, sm::mala{.step = 0.1}, {.chains = 200, .steps = 300, .seed = 1});
  const auto both =
      sm::log_partition(wide, sm::annealed_importance_sampling<>{.chains = 200, .target_samples = draws.points});
  show("annealing, d = 20", both, 20 * one);
  std::printf("  between %.3f and %.3f\n", both.lower, both.upper);

  const auto open = sm::energy_model(2, [](auto x, auto) { return square(x[0]); });  // flat along x[1]
  show("no density", sm::log_partition(open), INFINITY);
}
