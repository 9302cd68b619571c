// expect: is compiled for dimensions D from 1 to 10
#include <scorematch/model/energy_model.hpp>

namespace sm = scorematch;

sm::EnergyModel user() {
#ifdef CORRECT
  return sm::energy_model(20, [](auto x, auto theta) { return theta("a") * squared_norm(x); });
#else
  return sm::energy_model<20>([](auto x, auto theta) { return theta("a") * squared_norm(x); });
#endif
}
