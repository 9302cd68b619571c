// expect: write where\(condition, a, b\)
#include <scorematch/model/energy_model.hpp>

namespace sm = scorematch;

sm::EnergyModel user() {
  return sm::energy_model(1, [](auto x, auto) {
#ifdef CORRECT
    return where(x[0] > 0, x[0], -x[0]);
#else
    return x[0] > 0 ? x[0] : -x[0];
#endif
  });
}
