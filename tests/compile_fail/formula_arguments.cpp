// expect: formula\(x, theta\), formula\(x, sigma, theta\) or formula\(x, sigma, label, theta\)
#include <scorematch/model/energy_model.hpp>

namespace sm = scorematch;

sm::EnergyModel user() {
#ifdef CORRECT
  return sm::energy_model(1, [](auto x, auto /*theta*/) { return square(x); });
#else
  return sm::energy_model(1, [](auto x) { return square(x); });
#endif
}
