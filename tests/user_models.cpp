// Users' classes with each sufficient subset of methods, against the same energy written as a formula.
#include "catch.hpp"

#include <stdexcept>

#include "user_models.hpp"

#include "scorematch/model/values.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/sample.hpp"

using namespace user_models;

namespace {

// Not a template, as CHECK takes its time to compile.
void check_same(const sm::Loss& found, const sm::Loss& expected, double tolerance, double gradient_tolerance) {
  CHECK(found.samples == expected.samples);
  CHECK(found.value == Approx(expected.value).epsilon(tolerance));
  CHECK(found.standard_error == Approx(expected.standard_error).epsilon(tolerance));
  for (std::size_t k = 0; k < expected.terms.size(); ++k)
    CHECK(found.terms[k].value == Approx(expected.terms[k].value).epsilon(10 * tolerance));
  if (found.gradient.size() > 0) CHECK(relative(found.gradient, expected.gradient) < gradient_tolerance);
}

// The loss of one objective, with the θ-gradient where there is one; data in T against the formula in double.
template <class T = double, class M, class O>
void check_loss(const M& model, const O& objective, double tolerance, double gradient_tolerance) {
  static const Eigen::MatrixXd X = points();
  const sm::Matrix<T> data = X.cast<T>();
  const sm::Loss expected = sm::loss_and_gradient(formula(), objective, X, {.draw = 3});
  if constexpr (sm::detail::AnyTrainableModel<M>)
    check_same(sm::loss_and_gradient(model, objective, data, {.draw = 3}), expected, tolerance, gradient_tolerance);
  else
    check_same(sm::loss(model, objective, data, {.draw = 3}), expected, tolerance, gradient_tolerance);
}

// The objectives that ask for the score alone.
template <class M>
void check_score_losses(const M& model) {
  check_loss(model, sm::explicit_score_matching{Eigen::MatrixXd(-2 * points())}, exact, exact);
  check_loss(model, sm::denoising_score_matching{.sigma = 0.3}, exact, exact);
}

// And those that ask for a curvature: how near it comes depends on what the class provides; its θ-gradient is always
// a difference of pull_backs.
template <class M>
void check_curvature_losses(const M& model, double trace, double slices) {
  check_loss(model, sm::implicit_score_matching{}, trace, by_differences);
  const sm::sliced_score_matching objective{.projections = 2, .kind = sm::Projection::sphere};
  check_loss(model, objective, slices, by_differences);
  check_loss(model, sm::sliced_score_matching{.projections = 2, .exact_norm = false}, slices, by_differences);
}

// Score, trace and energy.
template <class M>
void check_values(const M& model, double trace) {
  static const Eigen::MatrixXd X = points();
  CHECK(relative(sm::score_of(model, X), sm::score_of(formula(), X)) < exact);
  CHECK(relative(sm::trace_of(model, X), sm::trace_of(formula(), X)) < trace);
  if constexpr (sm::extend::has_energy<M>)
    CHECK(relative(sm::energy_of(model, X), sm::energy_of(formula(), X)) < exact);
}

}  // namespace

TEST_CASE("a class gives the score, trace and energy of the same formula") {
  check_values(Own<least>{}, by_differences);
  check_values(Own<energy>{}, by_differences);
  check_values(Own<hessian_vector>{}, exact);
  check_values(Complete{}, exact);
  check_values(Own<as_score>{}, by_differences);
  check_values(CompleteScore{}, exact);
}

TEST_CASE("a class has the losses of the same formula, whatever it provides") {
  SECTION("gradient only") { check_curvature_losses(Own<least>{}, by_differences, by_differences); }
  SECTION("and laplacian") { check_curvature_losses(Own<laplacian>{}, exact, by_differences); }
  SECTION("and hessian_vector") { check_curvature_losses(Own<hessian_vector>{}, exact, exact); }
  SECTION("all") {
    check_score_losses(Complete{});
    check_curvature_losses(Complete{}, exact, exact);
  }
  SECTION("score only") { check_curvature_losses(Own<as_score>{}, by_differences, by_differences); }
  SECTION("score, trace and parameters") {
    check_score_losses(CompleteScore{});
    check_curvature_losses(CompleteScore{}, exact, by_differences);
  }
}

TEST_CASE("a class works with float data: it sees doubles") {
  const Own<trainable> model;
  check_loss<float>(model, sm::explicit_score_matching{Eigen::MatrixXd(-2 * points())}, 1e-6, 1e-6);
  check_loss<float>(model, sm::implicit_score_matching{}, 1e-6, 1e-6);
  check_loss<float>(model, sm::sliced_score_matching{.projections = 2}, 1e-6, 1e-6);
  // Langevin without noise goes down the same slope in both.
  const sm::SampleOptions options{.chains = 70, .steps = 40, .start = points(70)};
  const sm::langevin cold{.step = 0.02, .temperature = 1e-20};
  const Eigen::MatrixXd down = sm::sample(model, cold, options).state;
  CHECK(relative(sm::sample<float>(model, cold, options).state.cast<double>(), down) < 1e-5);
  CHECK(down.norm() < 0.9 * points(70).norm());
}

TEST_CASE("an exception of a class's method reaches the caller") {
  struct Throwing {
    int dimension() const { return d; }
    void gradient(InputPoints, OutputPoints) const { throw std::runtime_error("no such force"); }
  };
  CHECK_THROWS_AS(sm::loss(Throwing{}, sm::explicit_score_matching{points()}, points()), std::runtime_error);
}
