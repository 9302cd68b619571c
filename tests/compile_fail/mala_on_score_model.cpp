// expect: a Metropolis kernel accepts by the energy
#include <scorematch/model/energy_model.hpp>
#include <scorematch/model/score_model.hpp>
#include <scorematch/sampler/mala.hpp>
#include <scorematch/sampler/sample.hpp>

namespace sm = scorematch;

Eigen::MatrixXd user() {
#ifdef CORRECT
  const auto model = sm::energy_model(2, [](auto x, auto) { return 0.5 * squared_norm(x); });
#else
  const auto model = sm::score_model(2, [](auto x, auto) { return -x; });
#endif
  const auto draws = sm::sample(model, sm::mala{.step = 0.1});
  return draws.points;
}
