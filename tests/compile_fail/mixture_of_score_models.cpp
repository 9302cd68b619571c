// expect: mixture\({a, b}\) needs energy_models
#include <scorematch/model/algebra.hpp>

namespace sm = scorematch;

Eigen::Index user() {
#ifdef CORRECT
  const auto model = sm::energy_model(2, [](auto x, auto) { return 0.5 * squared_norm(x); });
#else
  const auto model = sm::score_model(2, [](auto x, auto) { return -x; });
#endif
  return sm::mixture({model, model}).dimension();
}
