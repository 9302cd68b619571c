// expect: takes a whole number, the size; a start value is sm::start_at\(number\)
#include <scorematch/model/energy_model.hpp>

namespace sm = scorematch;

sm::EnergyModel user() {
  return sm::energy_model(1, [](auto x, auto theta) {
#ifdef CORRECT
    return theta("stiffness", sm::start_at(1.0)) * square(x);
#else
    return theta("stiffness", 1.0) * square(x);
#endif
  });
}
