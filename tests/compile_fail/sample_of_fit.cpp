// expect: this is the result of a fit, not a model: pass its member  model
#include <scorematch/scorematch.hpp>

namespace sm = scorematch;

Eigen::MatrixXd user(const sm::Fit<sm::EnergyModel>& fit) {
#ifdef CORRECT
  return sm::sample(fit.model, {.chains = 64}).points;
#else
  return sm::sample(fit, {.chains = 64}).points;
#endif
}
