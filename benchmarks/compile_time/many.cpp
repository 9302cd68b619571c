// Three models and four uses of each, whose compile time is recorded (scripts/compile_time.sh): what a program pays for
// each pair of them.
#include <cstdio>

#include <scorematch/energy/gaussian.hpp>
#include <scorematch/fit/fit.hpp>
#include <scorematch/model/algebra.hpp>
#include <scorematch/model/energy_model.hpp>
#include <scorematch/model/values.hpp>
#include <scorematch/objective/denoising_score_matching.hpp>
#include <scorematch/objective/implicit_score_matching.hpp>
#include <scorematch/sampler/langevin.hpp>
#include <scorematch/sampler/sample.hpp>

namespace sm = scorematch;

struct Spring {  // a user's class
  double stiffness = 1;

  Eigen::Index dimension() const { return 2; }
  void gradient(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<Eigen::MatrixXd> G) const { G = stiffness * X; }
  Eigen::VectorXd parameters() const { return Eigen::VectorXd::Constant(1, stiffness); }
  void set_parameters(const Eigen::VectorXd& theta) { stiffness = theta[0]; }
  void pull_back(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<const Eigen::MatrixXd> W,
                 Eigen::Ref<Eigen::VectorXd> g) const {
    g[0] += W.cwiseProduct(X).sum();
  }
};

template <class Model>
double four_uses(const Model& model, const Eigen::MatrixXd& data) {
  const auto implicit = sm::fit(model, sm::implicit_score_matching{}, data);
  const auto denoising = sm::fit(implicit.model, sm::denoising_score_matching{.sigma = 0.3}, data);
  const auto draws = sm::sample(denoising.model, sm::langevin{.step = 0.05}, {.chains = 100, .steps = 100});
  return sm::score_of(denoising.model, draws.points).norm();
}

int main() {
  const Eigen::MatrixXd data = Eigen::MatrixXd::Random(2, 100);
  const sm::EnergyModel gaussian = sm::gaussian(2);
  const Spring spring;
  std::printf("%g %g %g\n", four_uses(gaussian, data), four_uses(spring, data),
              four_uses(sm::named("a", spring) + gaussian, data));
}
