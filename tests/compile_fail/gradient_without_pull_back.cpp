// expect: a class to be fitted must provide  void pull_back\(
#include <scorematch/objective/implicit_score_matching.hpp>

namespace sm = scorematch;

struct MyEnergy {
  Eigen::Index dimension() const { return 1; }
  void gradient(sm::InputPoints X, sm::OutputPoints G) const { G = stiffness * X; }
  Eigen::VectorXd parameters() const { return Eigen::VectorXd::Constant(1, stiffness); }
  void set_parameters(const Eigen::VectorXd& theta) { stiffness = theta[0]; }

  double stiffness = 1;
};

sm::Loss user(const Eigen::MatrixXd& data) {
#ifdef CORRECT
  return sm::loss(MyEnergy{}, sm::implicit_score_matching{}, data);
#else
  return sm::loss_and_gradient(MyEnergy{}, sm::implicit_score_matching{}, data);
#endif
}
