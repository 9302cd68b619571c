// expect: must provide  void gradient\(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<Eigen::MatrixXd> G\) const
#include <scorematch/sampler/langevin.hpp>
#include <scorematch/sampler/sample.hpp>

namespace sm = scorematch;

struct MyEnergy {
  Eigen::Index dimension() const { return 2; }
#ifdef CORRECT
  void gradient(sm::InputPoints X, sm::OutputPoints G) const { G = X; }
#endif
};

Eigen::MatrixXd user() {
  const auto draws = sm::sample(MyEnergy{}, sm::langevin{});
  return draws.points;
}
