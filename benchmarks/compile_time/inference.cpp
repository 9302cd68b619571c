// Three models and four uses of each: a fit by score matching, one by likelihood, standard errors and the closed form.
// Its compile time is recorded (scripts/compile_time.sh).
#include <cstdio>

#include <scorematch/fit/fit.hpp>
#include <scorematch/inference/closed_form.hpp>
#include <scorematch/inference/standard_errors.hpp>
#include <scorematch/likelihood/maximum_likelihood.hpp>
#include <scorematch/model/compiled_energy.hpp>
#include <scorematch/model/energy_model.hpp>
#include <scorematch/objective/implicit_score_matching.hpp>

namespace sm = scorematch;

template <class Model>
double four_uses(const Model& model, const Eigen::MatrixXd& data) {
  const auto fit = sm::fit(model, sm::implicit_score_matching{}, data);
  const auto likelihood = sm::fit(fit.model, sm::maximum_likelihood{}, data);
  const auto errors = sm::standard_errors(fit, sm::implicit_score_matching{}, data);
  const auto exact = sm::closed_form(model, sm::implicit_score_matching{}, data);
  return fit.loss.value + likelihood.loss + errors.covariance.sum() + exact.loss.value;
}

int main() {
  const Eigen::MatrixXd data = Eigen::MatrixXd::Random(1, 100);
  const auto recorded = sm::energy_model(
      1, [](auto x, auto theta) { return theta("a", sm::start_at(0.5)) * square(x[0]) - theta("b") * x[0]; });
  const auto compiled = sm::energy_model<1>(
      [](auto x, auto theta) { return theta("a", sm::start_at(0.5)) * square(x[0]) - theta("b") * x[0]; });
  const auto quartic = sm::energy_model<1>(
      [](auto x, auto theta) { return theta("a", sm::start_at(0.5)) * square(x[0]) + square(square(x[0])); });
  std::printf("%g %g %g\n", four_uses(recorded, data), four_uses(compiled, data), four_uses(quartic, data));
}
