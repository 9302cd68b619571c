// expect: closed_form needs a model from a formula
#include <scorematch/inference/closed_form.hpp>
#include <scorematch/model/energy_model.hpp>
#include <scorematch/objective/implicit_score_matching.hpp>

namespace sm = scorematch;

struct Harmonic {
  double k = 1;
  Eigen::Index dimension() const { return 2; }
  void gradient(sm::InputPoints X, sm::OutputPoints G) const { G = k * X; }
  Eigen::VectorXd parameters() const { return Eigen::VectorXd::Constant(1, k); }
  void set_parameters(const Eigen::VectorXd& theta) { k = theta[0]; }
  void pull_back(sm::InputPoints X, sm::InputPoints W, sm::OutputNumbers g) const { g[0] += X.cwiseProduct(W).sum(); }
};

double user(const Eigen::MatrixXd& data) {
#ifdef CORRECT
  const auto model = sm::energy_model(2, [](auto x, auto theta) { return 0.5 * theta("k") * squared_norm(x); });
#else
  const Harmonic model;
#endif
  const auto fit = sm::closed_form(model, sm::implicit_score_matching{}, data);
  return fit.condition;
}
