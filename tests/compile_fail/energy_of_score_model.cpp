// expect: energy_of needs an energy
#include <scorematch/model/energy_model.hpp>
#include <scorematch/model/score_model.hpp>
#include <scorematch/model/values.hpp>

namespace sm = scorematch;

Eigen::VectorXd user(const Eigen::MatrixXd& X) {
#ifdef CORRECT
  const auto model = sm::energy_model(2, [](auto x, auto) { return 0.5 * squared_norm(x); });
#else
  const auto model = sm::score_model(2, [](auto x, auto) { return -x; });
#endif
  return sm::energy_of(model, X);
}
