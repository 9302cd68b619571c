// expect: perturbed moves the samples
#include <scorematch/model/energy_model.hpp>
#include <scorematch/objective/explicit_score_matching.hpp>
#include <scorematch/objective/perturbed.hpp>

namespace sm = scorematch;

double user(const Eigen::MatrixXd& data, const Eigen::MatrixXd& forces) {
  const auto model = sm::energy_model(2, [](auto x, auto) { return 0.5 * squared_norm(x); });
#ifdef CORRECT
  const auto target = [](const Eigen::MatrixXd& X) -> Eigen::MatrixXd { return -X; };
  (void)forces;
#else
  const Eigen::MatrixXd target = forces;
#endif
  return sm::loss(model, sm::perturbed{sm::explicit_score_matching{target}, {.sigma = 0.3}}, data).value;
}
