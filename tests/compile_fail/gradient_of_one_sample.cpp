// expect: must provide  void gradient\(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<Eigen::MatrixXd> G\) const
#include <scorematch/model/values.hpp>

namespace sm = scorematch;

struct MyEnergy {
  Eigen::Index dimension() const { return 2; }
#ifdef CORRECT
  void gradient(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<Eigen::MatrixXd> G) const { G = X; }
#else
  void gradient(const Eigen::VectorXd& x, Eigen::Ref<Eigen::VectorXd> g) const { g = x; }
#endif
};

Eigen::MatrixXd user(const Eigen::MatrixXd& X) { return sm::score_of(MyEnergy{}, X); }
