// expect: must provide  void score\(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<const Eigen::VectorXd> sigma
#include <scorematch/sampler/generate.hpp>
#include <scorematch/sampler/heun.hpp>

namespace sm = scorematch;

struct MyScore {
  Eigen::Index dimension() const { return 2; }
#ifdef CORRECT
  void score(sm::InputPoints X, Eigen::Ref<const Eigen::VectorXd> sigma, sm::OutputPoints S) const {
    for (Eigen::Index b = 0; b < X.cols(); ++b) S.col(b) = -X.col(b) / (1 + sigma[b] * sigma[b]);
  }
#else
  void score(sm::InputPoints X, sm::OutputPoints S) const { S = -X; }
#endif
};

Eigen::MatrixXd user() {
  const auto draws = sm::generate(MyScore{}, sm::heun{});
  return draws.points;
}
