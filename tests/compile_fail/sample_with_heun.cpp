// expect: samplers that go down noise levels
#include <scorematch/model/at_sigma.hpp>
#include <scorematch/model/energy_model.hpp>
#include <scorematch/sampler/generate.hpp>
#include <scorematch/sampler/heun.hpp>
#include <scorematch/sampler/langevin.hpp>
#include <scorematch/sampler/sample.hpp>

namespace sm = scorematch;

Eigen::MatrixXd user() {
  const auto model =
      sm::energy_model(2, [](auto x, auto sigma, auto) { return 0.5 * squared_norm(x) / square(sigma); });
#ifdef CORRECT
  return sm::sample(sm::at_sigma(model, 0.3), sm::langevin{.step = 0.01}).points;
#else
  return sm::sample(model, sm::heun{}).points;
#endif
}
