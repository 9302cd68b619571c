// expect: score_model takes the dimension first: score_model\(2,
#include <scorematch/scorematch.hpp>

namespace sm = scorematch;

int user() {
  const auto formula = [](auto x, auto) { return -x; };
#ifdef CORRECT
  const auto model = sm::score_model(2, formula);
#else
  const auto model = sm::score_model(formula);
#endif
  return model.dimension() == 2 ? 0 : 1;
}
