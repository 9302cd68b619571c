// expect: a Metropolis kernel accepts by the energy
#include <scorematch/model/algebra.hpp>
#include <scorematch/sampler/mala.hpp>
#include <scorematch/sampler/sample.hpp>

namespace sm = scorematch;

Eigen::MatrixXd user() {
  const auto energy = sm::energy_model(2, [](auto x, auto) { return 0.5 * squared_norm(x); });
#ifdef CORRECT
  const auto product = 2.0 * energy + energy;
#else
  const auto product = 2.0 * sm::score_model(2, [](auto x, auto) { return -x; }) + energy;
#endif
  const auto draws = sm::sample(product, sm::mala{.step = 0.1});
  return draws.points;
}
