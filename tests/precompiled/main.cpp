// What scorematch::precompiled covers, and beside it something that it does not.
#include "../catch.hpp"

#include <cmath>

#include <scorematch/scorematch.hpp>

#ifndef SCOREMATCH_PRECOMPILED
#error "linking scorematch::precompiled must define SCOREMATCH_PRECOMPILED"
#endif

namespace sm = scorematch;

namespace {

const auto gaussian = [](auto x, auto theta) {
  return 0.5 * exp(theta("log_stiffness")) * squared_norm(x - theta("centre", 2));
};

template <class M, class T>
void check_all(const M& model, const sm::Matrix<T>& X) {
  const auto fit = sm::fit(model, sm::implicit_score_matching{}, X);
  const Eigen::VectorXd centre = X.template cast<double>().rowwise().mean();
  const double variance = (X.template cast<double>().colwise() - centre).squaredNorm() / static_cast<double>(X.size());
  const double tolerance = sizeof(T) == 8 ? 1e-5 : 1e-2;
  CHECK((fit.model.parameter("centre") - centre).norm() < tolerance);
  CHECK(fit.model.parameter("log_stiffness")(0) == Approx(-std::log(variance)).margin(tolerance));
  const auto draws = sm::sample<T>(fit.model, sm::langevin{.step = 0.1}, {.chains = 500, .steps = 100});
  const Eigen::VectorXd mean = draws.state.template cast<double>().rowwise().mean();
  CHECK((mean - centre).norm() < 5 * std::sqrt(2 * variance / 500));  // fixed seed; 5 σ
}

}  // namespace

TEST_CASE("A program linked with the precompiled library") {
  const Eigen::MatrixXd X = (sm::Stream({4}).normals(1000).reshaped(2, 500).array() + 1.5).matrix();
  check_all(sm::energy_model(2, gaussian), X);
  check_all(sm::energy_model(2, gaussian), Eigen::MatrixXf(X.cast<float>()));
  check_all(sm::energy_model<2>(gaussian), X);
  const auto draws = sm::sample(sm::energy_model(2, gaussian), sm::mala{.step = 0.5}, {.chains = 50, .steps = 400});
  CHECK(draws.status == sm::SampleStatus::complete);
  CHECK(sm::read_csv("examples/data/penguins.csv", {"bill_length_mm", "bill_depth_mm"}).cols() == 342);
}
