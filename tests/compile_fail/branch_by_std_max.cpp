// expect: write where\(condition, a, b\)
#include <scorematch/model/energy_model.hpp>

#include <algorithm>

namespace sm = scorematch;

sm::EnergyModel user() {
  return sm::energy_model(2, [](auto x, auto) {
#ifdef CORRECT
    return max(x[0], x[1]);
#else
    return std::max(x[0], x[1]);
#endif
  });
}
