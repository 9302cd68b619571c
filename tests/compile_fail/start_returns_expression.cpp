// expect: a start returns an Eigen expression, whose numbers are gone once it has returned: state the type
#include <scorematch/model/energy_model.hpp>
#include <scorematch/sampler/langevin.hpp>
#include <scorematch/sampler/sample.hpp>

namespace sm = scorematch;

Eigen::MatrixXd user() {
  const auto model = sm::energy_model(3, [](auto x, auto) { return 0.5 * squared_norm(x); });
#ifdef CORRECT
  const auto start = [](sm::Stream& stream) -> Eigen::VectorXd { return 0.5 * stream.normals(3); };
#else
  const auto start = [](sm::Stream& stream) { return 0.5 * stream.normals(3); };
#endif
  return sm::sample(model, sm::langevin{.step = 0.01}, {.start = start}).points;
}
