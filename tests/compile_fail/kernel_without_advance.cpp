// expect: a transition kernel must provide  void advance\(
#include <scorematch/model/energy_model.hpp>
#include <scorematch/sampler/sample.hpp>

namespace sm = scorematch;

struct stand_still {
  static constexpr bool adjusted = false;
  void validate() const {}
  void start(sm::extend::Target<double>&, sm::extend::Chains<double>&) const {}
#ifdef CORRECT
  void advance(sm::extend::Target<double>&, sm::extend::Chains<double>&, const sm::extend::ChainNoise&) const {}
#else
  void advance(sm::extend::Chains<double>&) const {}
#endif
};

Eigen::MatrixXd user() {
  const auto model = sm::energy_model(2, [](auto x, auto) { return 0.5 * squared_norm(x); });
  return sm::sample(model, stand_still{}).points;
}
