// expect: a target of explicit_score_matching returns an Eigen expression, whose numbers are gone
#include <scorematch/model/energy_model.hpp>
#include <scorematch/objective/explicit_score_matching.hpp>

namespace sm = scorematch;

double user(const Eigen::MatrixXd& data) {
  const auto model = sm::energy_model(2, [](auto x, auto theta) { return exp(theta("k")) * squared_norm(x); });
#ifdef CORRECT
  const auto target = [](const Eigen::MatrixXd& X) -> Eigen::MatrixXd {
#else
  const auto target = [](const Eigen::MatrixXd& X) {
#endif
    const Eigen::MatrixXd twice = 2 * X;
    return -twice;
  };
  return sm::loss(model, sm::explicit_score_matching{target}, data).value;
}
