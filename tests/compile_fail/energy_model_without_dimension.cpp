// expect: energy_model takes the dimension first: energy_model\(2,
#include <scorematch/scorematch.hpp>

namespace sm = scorematch;

int user() {
  const auto formula = [](auto x, auto) { return squared_norm(x); };
#ifdef CORRECT
  const auto model = sm::energy_model(2, formula);
#else
  const auto model = sm::energy_model(formula, 2);
#endif
  return model.dimension() == 2 ? 0 : 1;
}
