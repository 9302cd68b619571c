// expect: a class to be fitted must provide  void pull_back\(
#include <scorematch/fit/fit.hpp>
#include <scorematch/objective/denoising_score_matching.hpp>

namespace sm = scorematch;

struct MyEnergy {
  Eigen::Index dimension() const { return 1; }
  void gradient(sm::InputPoints X, sm::OutputPoints G) const { G = stiffness * X; }
  Eigen::VectorXd parameters() const { return Eigen::VectorXd::Constant(1, stiffness); }
  void set_parameters(const Eigen::VectorXd& theta) { stiffness = theta[0]; }
#ifdef CORRECT
  void pull_back(sm::InputPoints X, sm::InputPoints W, sm::OutputNumbers g) const { g[0] += W.cwiseProduct(X).sum(); }
#endif

  double stiffness = 1;
};

double user(const Eigen::MatrixXd& data) {
  const auto fit = sm::fit(MyEnergy{}, sm::denoising_score_matching{}, data);
  return fit.model.stiffness;
}
