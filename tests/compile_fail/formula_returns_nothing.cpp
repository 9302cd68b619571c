// expect: a formula must return a value made of x and theta
#include <scorematch/model/energy_model.hpp>

namespace sm = scorematch;

sm::EnergyModel user() {
  return sm::energy_model(1, [](auto x, auto) {
#ifdef CORRECT
    return square(x);
#else
    square(x);
#endif
  });
}
