// expect: must provide  void gradient\(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<Eigen::MatrixXd> G\) const
#include <scorematch/objective/implicit_score_matching.hpp>

namespace sm = scorematch;

struct MyEnergy {
  Eigen::Index dimension() const { return 2; }
#ifdef CORRECT
  void gradient(sm::InputPoints X, sm::OutputPoints G) const { G = X; }
#else
  void grad(sm::InputPoints X, sm::OutputPoints G) const { G = X; }
#endif
};

sm::Loss user(const Eigen::MatrixXd& data) { return sm::loss(MyEnergy{}, sm::implicit_score_matching{}, data); }
