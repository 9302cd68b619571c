// expect: a log density returns an Eigen expression, whose numbers are gone once it has returned: state the type
#include <scorematch/density/density.hpp>

namespace sm = scorematch;

double user(const Eigen::MatrixXd& X) {
#ifdef CORRECT
  const auto log_p = [](const Eigen::MatrixXd& Y) -> Eigen::VectorXd {
#else
  const auto log_p = [](const Eigen::MatrixXd& Y) {
#endif
    const Eigen::VectorXd squares = Y.colwise().squaredNorm();
    return -0.5 * squares;
  };
  return sm::density(2, log_p)(X).sum();
}
