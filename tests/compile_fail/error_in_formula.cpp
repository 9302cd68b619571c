// expect: is_not_there
#include <scorematch/model/energy_model.hpp>

namespace sm = scorematch;

// An error inside a formula is the only one: nothing is said of how formulas are called.
sm::EnergyModel user() {
  return sm::energy_model(1, [](auto x, auto theta) {
#ifdef CORRECT
    return theta("a") * exp(x[0]);
#else
    return theta("a") * is_not_there(x[0], 1).value;
#endif
  });
}
