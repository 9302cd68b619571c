// Users' classes with each sufficient subset of methods, against the same energy written as a formula.
#include "catch.hpp"

#include <stdexcept>

#include "scorematch/energy/energy_model.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/sample.hpp"
#include "scorematch/score/values.hpp"

namespace sm = scorematch;
using sm::Input;
using sm::Output;
using sm::OutputVector;

namespace {

constexpr int d = 3;

// f = ¼ eᵃ Σ x_i⁴ + ½ b (Σ x_i)² + ½ ‖x‖²,  θ = (a, b)
sm::EnergyModel formula() {
  return sm::energy_model(d, [](auto x, auto theta) {
    return 0.25 * exp(theta("a", sm::start(-0.3))) * sum(pow(x, 4)) + 0.5 * theta("b", sm::start(0.4)) * square(sum(x)) +
           0.5 * squared_norm(x);
  });
}

// The same by hand.
struct Mathematics {
  double a = -0.3, b = 0.4;

  Eigen::VectorXd energy(Input X) const {
    return (0.25 * std::exp(a) * X.array().pow(4).colwise().sum() + 0.5 * b * X.array().colwise().sum().square() +
            0.5 * X.array().square().colwise().sum())
        .transpose();
  }
  Eigen::MatrixXd gradient(Input X) const {
    Eigen::MatrixXd G = std::exp(a) * X.array().cube() + X.array();
    G.rowwise() += b * X.colwise().sum();
    return G;
  }
  Eigen::VectorXd laplacian(Input X) const {
    return (3 * std::exp(a) * X.array().square().colwise().sum() + d * (b + 1)).transpose();
  }
  Eigen::MatrixXd hessian_times(Input X, Input V) const {
    Eigen::MatrixXd HV = 3 * std::exp(a) * X.array().square() * V.array() + V.array();
    HV.rowwise() += b * V.colwise().sum();
    return HV;
  }
  Eigen::Vector2d theta_gradient(Input X, Input W) const {
    return {std::exp(a) * (W.array() * X.array().cube()).sum(), W.colwise().sum().dot(X.colwise().sum())};
  }
};

// What a class provides beside its gradient (or, with as_score, its score).
enum Provides : unsigned { least = 0, energy = 1, laplacian = 2, hessian_vector = 4, trainable = 8, as_score = 16, divergence = 32 };

template <unsigned provided>
class Own {
  static constexpr bool has(unsigned what) { return (provided & what) != 0; }

 public:
  int dimension() const { return d; }

  void gradient(Input X, Output G) const requires(!has(as_score)) { G = f_.gradient(X); }
  void score(Input X, Output S) const requires(has(as_score)) { S = -f_.gradient(X); }
  void energy(Input X, OutputVector f) const requires(has(Provides::energy)) { f = f_.energy(X); }
  void laplacian(Input X, OutputVector L) const requires(has(Provides::laplacian)) { L = f_.laplacian(X); }
  void divergence(Input X, OutputVector D) const requires(has(Provides::divergence)) { D = -f_.laplacian(X); }
  void hessian_vector(Input X, Input V, Output HV) const requires(has(Provides::hessian_vector)) { HV = f_.hessian_times(X, V); }

  Eigen::VectorXd parameters() const requires(has(trainable)) { return Eigen::Vector2d(f_.a, f_.b); }
  void set_parameters(const Eigen::VectorXd& theta) requires(has(trainable)) { f_ = {theta[0], theta[1]}; }
  void pull_back(Input X, Input W, OutputVector g) const requires(has(trainable)) {
    g += (has(as_score) ? -1 : 1) * f_.theta_gradient(X, W);
  }

 private:
  Mathematics f_;
};

static_assert(sm::Energy<Own<least>> && !sm::has_energy<Own<least>> && !sm::has_laplacian<Own<least>> && !sm::has_score<Own<least>>);
static_assert(sm::Score<Own<as_score>> && !sm::Energy<Own<as_score>> && !sm::has_divergence<Own<as_score>>);
static_assert(sm::TrainableEnergy<Own<trainable>> && sm::TrainableScore<Own<as_score | trainable>>);

using Complete = Own<energy | laplacian | hessian_vector | trainable>;
using CompleteScore = Own<as_score | divergence | trainable>;

// More than two blocks of 128, the last one padded.
Eigen::MatrixXd points(sm::Index count = 301) { return sm::Stream({.seed = 11}).normals(d * count).reshaped(d, count); }

// Provided derivatives agree to rounding, central differences of order h² to about 1e-10.
constexpr double exact = 1e-12, by_differences = 1e-8;

double relative(const Eigen::MatrixXd& a, const Eigen::MatrixXd& b) { return (a - b).norm() / b.norm(); }

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
  if constexpr (sm::AnyTrainableModel<M>)
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
  CHECK(relative(sm::divergence_of(model, X), sm::divergence_of(formula(), X)) < trace);
  if constexpr (sm::has_energy<M>) CHECK(relative(sm::energy_of(model, X), sm::energy_of(formula(), X)) < exact);
}

// The same random numbers and, to rounding, the same states: the energy is convex, so rounding does not grow.
template <class M, class Kernel>
void check_draws(const M& model, const Kernel& kernel) {
  const sm::SampleOptions options{.chains = 70, .steps = 40, .burn_in = 5, .thin = 10, .seed = 5};
  const sm::Draws<double> expected = sm::sample(formula(), kernel, options), found = sm::sample(model, kernel, options);
  CHECK(found.status == sm::SampleStatus::complete);
  CHECK(relative(found.points, expected.points) < 1e-11);
  CHECK(found.acceptance == expected.acceptance);
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
  SECTION("score, divergence and parameters") {
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

TEST_CASE("a class is fitted as the same formula is") {
  // Data of another member of the family: a step of the fit has somewhere to go.
  sm::EnergyModel source = formula();
  source.set_parameters(Eigen::Vector2d(0.5, 1.5));
  const Eigen::MatrixXd X =
      sm::sample(source, sm::mala{.step = 0.1}, {.chains = 400, .steps = 200, .seed = 3}).points;

  const auto check_lbfgs = [&](const auto& model, const auto& objective) {
    const auto expected = sm::fit(formula(), objective, X);
    const auto found = sm::fit(model, objective, X);
    CHECK(found.status == sm::FitStatus::converged);
    CHECK(relative(found.model.parameters(), expected.model.parameters()) < 1e-6);
    CHECK(found.loss.value == Approx(expected.loss.value).epsilon(1e-8));
    CHECK(relative(found.model.parameters(), model.parameters()) > 0.3);  // it went somewhere
  };
  SECTION("implicit, gradient and pull_back only") { check_lbfgs(Own<trainable>{}, sm::implicit_score_matching{}); }
  SECTION("implicit, all") { check_lbfgs(Complete{}, sm::implicit_score_matching{}); }
  SECTION("implicit, a score") { check_lbfgs(CompleteScore{}, sm::implicit_score_matching{}); }
  SECTION("sliced") { check_lbfgs(Own<trainable>{}, sm::sliced_score_matching{.projections = 2, .frozen = true}); }
  SECTION("explicit: the target is in the family, so the fit finds it") {
    const auto target = [&](const Eigen::MatrixXd& at) { return sm::score_of(source, at); };
    const auto fit = sm::fit(Own<trainable>{}, sm::explicit_score_matching{target}, X);
    CHECK(fit.status == sm::FitStatus::converged);
    CHECK(relative(fit.model.parameters(), source.parameters()) < 1e-6);
  }
  SECTION("denoising, by adam: the same minibatches, noise and steps") {
    const sm::FitOptions options{.method = sm::Method::adam, .iterations = 60, .batch = 50};
    const sm::denoising_score_matching objective{.sigma = 0.3};
    const auto expected = sm::fit(formula(), objective, X, options);
    CHECK(relative(sm::fit(Own<trainable>{}, objective, X, options).model.parameters(), expected.model.parameters()) < 1e-10);
  }
}

TEST_CASE("a class is sampled as the same formula is") {
  SECTION("langevin needs the gradient alone") { check_draws(Own<least>{}, sm::langevin{.step = 0.05}); }
  SECTION("or the score") { check_draws(Own<as_score>{}, sm::langevin{.step = 0.05}); }
  SECTION("mala needs the energy too") { check_draws(Own<energy>{}, sm::mala{.step = 0.2}); }
  SECTION("which may stand beside a score") { check_draws(Own<as_score | energy>{}, sm::mala{.step = 0.2}); }
}

TEST_CASE("an exception of a class's method reaches the caller") {
  struct Throwing {
    int dimension() const { return d; }
    void gradient(Input, Output) const { throw std::runtime_error("no such force"); }
  };
  CHECK_THROWS_AS(sm::loss(Throwing{}, sm::explicit_score_matching{points()}, points()), std::runtime_error);
}
