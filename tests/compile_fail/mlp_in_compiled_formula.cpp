// expect: write energy_model\(dimension, formula\)
#include <scorematch/model/energy_model.hpp>
#include <scorematch/network/mlp.hpp>

namespace sm = scorematch;

void user() {
  const auto network = [](auto x, auto theta) { return sm::mlp(x, theta) + 0.5 * squared_norm(x); };
#ifdef CORRECT
  (void)sm::energy_model(2, network).at<double>();
#else
  (void)sm::energy_model<2>(network).at<double>();
#endif
}
