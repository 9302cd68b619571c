// expect: must provide  void gradient\(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<Eigen::MatrixXd> G\) const
#include <scorematch/fit/fit.hpp>
#include <scorematch/objective/implicit_score_matching.hpp>

namespace sm = scorematch;

struct MyEnergy {
  Eigen::Index dimension() const { return 1; }
#ifdef CORRECT
  void gradient(sm::InputPoints X, sm::OutputPoints G) const { G = stiffness * X; }
#endif
  Eigen::VectorXd parameters() const { return Eigen::VectorXd::Constant(1, stiffness); }
  void set_parameters(const Eigen::VectorXd& theta) { stiffness = theta[0]; }
  void pull_back(sm::InputPoints X, sm::InputPoints W, sm::OutputNumbers g) const { g[0] += W.cwiseProduct(X).sum(); }

  double stiffness = 1;
};

double user(const Eigen::MatrixXd& data) {
  const auto fit = sm::fit(MyEnergy{}, sm::implicit_score_matching{}, data);
  return fit.model.stiffness;
}
