// expect: exp\(model\) needs an energy_model
#include <scorematch/model/algebra.hpp>

namespace sm = scorematch;

Eigen::Index user() {
#ifdef CORRECT
  const auto model = sm::energy_model(2, [](auto x, auto) { return 0.5 * squared_norm(x); });
#else
  const auto model = sm::score_model(2, [](auto x, auto) { return -x; });
#endif
  const auto sharper = exp(model);
  return sharper.dimension();
}
