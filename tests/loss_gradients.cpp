// Losses and their θ-gradients against nested dual numbers (reference.hpp), and the identities that tie the losses and
// the derivatives of random networks together. Seeds are fixed: nothing here fails by chance.
#include "catch.hpp"

#include <functional>
#include <string>
#include <vector>

#include "reference.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"

namespace sm = scorematch;
namespace ref = reference;
using ref::Answer;
using ref::WithTheta;
using sm::Index;
using sm::extend::Along;

namespace {

WithTheta number(double c) { return {{c}}; }

WithTheta half_squared(const std::vector<WithTheta>& s) {
  WithTheta total;
  for (const WithTheta& element : s) total = total + number(0.5) * element * element;
  return total;
}

// The loss and its θ-gradient, from the truth at the points that the objective asks for. `expected(answer, notes, i)`
// is the loss of sample i.
template <class T, class Model, class O>
void check_objective(
    const ref::Formula<Model>& formula, const O& objective, const Eigen::MatrixXd& data,
    const std::function<WithTheta(const Answer&, const typename O::template Notes<T>&, Index)>& expected) {
  const sm::Matrix<T> X = data.cast<T>();
  sm::extend::Samples<T> samples;
  samples.X = X.transpose();
  samples.index = Eigen::Matrix<std::int64_t, Eigen::Dynamic, 1>::LinSpaced(X.cols(), 0, X.cols() - 1);
  samples.draw = 3;
  sm::extend::Points<T> points;
  typename O::template Notes<T> notes;
  objective.prepare(samples, points, notes);
  ref::Places places;
  places.X = points.X.transpose().template cast<double>();
  places.sigma =
      points.sigma.size() > 0 ? Eigen::VectorXd(points.sigma.template cast<double>()) : Eigen::VectorXd::Zero(X.cols());
  places.V = points.V.transpose().template cast<double>();
  places.directions = points.directions;
  const std::vector<Answer> truth = answers(formula, places);
  WithTheta total;
  for (Index i = 0; i < X.cols(); ++i) total = total + expected(truth[static_cast<std::size_t>(i)], notes, i);
  total = total * number(1 / static_cast<double>(X.cols()));

  for (const Index block : {8, 64, 500}) {
    const sm::Loss loss = sm::loss_and_gradient(formula.model, objective, X, {.draw = samples.draw, .block = block});
    ref::Agreement<T> value, gradient;
    value.see(static_cast<T>(loss.value), total.value);
    CHECK(value.worst <= 1);
    CHECK(value.sharp());
    REQUIRE(loss.gradient.size() == static_cast<Index>(total.slopes.size()));
    for (Index j = 0; j < loss.gradient.size(); ++j)
      gradient.see(static_cast<T>(loss.gradient[j]), total.slopes[static_cast<std::size_t>(j)]);
    CHECK(gradient.worst <= 1);
    CHECK(gradient.sharp());
  }
}

template <class T, class Model>
void check_objectives(ref::Formula<Model> formula) {
  INFO(formula.name << " in " << (std::is_same_v<T, double> ? "double" : "float"));
  ref::Draws draws(77);
  formula.model.set_parameters(draws.matrix(formula.model.parameters().size(), 1, -1, 1));
  const Eigen::MatrixXd X = draws.matrix(formula.model.dimension(), 67, -2, 2);
  const double sigma = 0.5;
  check_objective<T>(formula, sm::denoising_score_matching{.sigma = sigma, .seed = 5}, X,
                     [&](const Answer& a, const auto& notes, Index i) {
                       std::vector<WithTheta> difference = a.s;
                       for (std::size_t j = 0; j < difference.size(); ++j)
                         difference[j] =
                             difference[j] + number(static_cast<double>(notes.z(i, static_cast<Index>(j))) / sigma);
                       return half_squared(difference);
                     });
  if (formula.model.takes_sigma()) return;  // the others give no noise level

  check_objective<T>(formula, sm::implicit_score_matching{}, X,
                     [](const Answer& a, const auto&, Index) { return half_squared(a.s) + a.trace; });

  const Eigen::MatrixXd target = draws.matrix(X.rows(), X.cols(), -1, 1);
  check_objective<T>(formula, sm::explicit_score_matching{target}, X, [&](const Answer& a, const auto&, Index i) {
    std::vector<WithTheta> difference = a.s;
    for (std::size_t j = 0; j < difference.size(); ++j)
      difference[j] = difference[j] - number(target(static_cast<Index>(j), i));
    return half_squared(difference);
  });

  for (const bool exact_norm : {true, false})
    check_objective<T>(formula,
                       sm::sliced_score_matching{
                           .projections = 2, .kind = sm::Projection::gaussian, .exact_norm = exact_norm, .seed = 6},
                       X, [&](const Answer& a, const auto&, Index) {
                         WithTheta sliced = a.curvatures[0] + a.curvatures[1];
                         if (exact_norm) return half_squared(a.s) + number(0.5) * sliced;
                         return number(0.5) * (half_squared(a.slopes) + sliced);
                       });
}

// ---------------------------------------------------------------------------------------------------------------------
// Random networks
// ---------------------------------------------------------------------------------------------------------------------

// Layers of a(W h + b), then a matrix that brings them to `outputs`, and half the squared norm of x or x itself.
struct Network {
  std::vector<int> widths;
  int activation = 0, outputs = 1;

  template <class X, class Theta>
  X operator()(const X& x, const Theta& theta) const {
    X h = x;
    for (std::size_t k = 0; k < widths.size(); ++k) {
      const std::string index = sm::detail::text(k);
      const X a = theta("W" + index, widths[k], static_cast<int>(h.size())) * h + theta("b" + index, widths[k]);
      h = activation == 0   ? tanh(a)
          : activation == 1 ? silu(a)
          : activation == 2 ? softplus(a)
          : activation == 3 ? sigmoid(a)
                            : sin(a);
    }
    const X last = theta("last", outputs, static_cast<int>(h.size())) * h;
    if (outputs == 1) return last + 0.5 * squared_norm(x);
    return last - x;
  }
};

const std::vector<Network> networks = {{{7, 5}, 0}, {{3, 8, 4}, 1}, {{6}, 2}, {{2, 2}, 3}, {{9, 1, 4}, 4}};

Eigen::MatrixXd sign_vectors(Index d) {  // d × 2^d
  Eigen::MatrixXd signs(d, Index(1) << d);
  for (Index m = 0; m < signs.cols(); ++m)
    for (Index j = 0; j < d; ++j) signs(j, m) = (m >> j) % 2 == 0 ? 1 : -1;
  return signs;
}

// Sliced score matching with every sign vector as a projection.
struct every_sign_vector : sm::sliced_score_matching {
  bool deterministic() const { return true; }

  template <class T>
  void prepare(const sm::extend::Samples<T>& samples, sm::extend::Points<T>& points, Notes<T>&) const {
    const Eigen::MatrixXd signs = sign_vectors(samples.X.cols());
    points.X = samples.X;
    points.along = Along::given;
    points.score = exact_norm;
    points.directions = signs.cols();
    points.V = Eigen::VectorXd::Ones(samples.X.rows()) * signs.reshaped().transpose();
  }
};

template <class Model>
void check_every_sign_vector(const Model& model, const Eigen::MatrixXd& X) {
  const sm::Loss implicit = sm::loss_and_gradient(model, sm::implicit_score_matching{}, X);
  for (const bool exact_norm : {true, false}) {
    every_sign_vector sliced;
    sliced.projections = 1 << X.rows();
    sliced.exact_norm = exact_norm;
    const sm::Loss loss = sm::loss_and_gradient(model, sliced, X);
    CHECK(std::abs(loss.value - implicit.value) <=
          1e-12 * (1 + std::abs(implicit.terms[0].value) + std::abs(implicit.terms[1].value)));
    REQUIRE(loss.gradient.size() == implicit.gradient.size());
    CHECK((loss.gradient - implicit.gradient).norm() <= 1e-12 * (1 + implicit.gradient.norm()));
    CHECK(implicit.gradient.norm() > 1e-3);
  }
}

}  // namespace

TEST_CASE("losses and their theta-gradients") {
  const auto f = [](auto x, auto theta) {
    return dot(theta("c", 5), tanh(theta("W", 5, 3) * x + theta("b", 5))) +
           0.5 * exp(theta("stiffness")) * squared_norm(x - theta("centre", 3)) + log_sum_exp(x * theta("a", 3));
  };
  const auto s = [](auto x, auto theta) {
    return theta("V", 3, 5) * silu(theta("W", 5, 3) * x + theta("b", 5)) - theta("a") * x;
  };
  const auto noisy = [](auto x, auto sigma, auto theta) {
    return squared_norm(x - theta("centre", 3)) / (square(sigma) + exp(theta("v"))) + theta("a") * sin(x[0] * sigma);
  };
  check_objectives<double>(ref::energy("an energy", 3, f));
  check_objectives<float>(ref::energy("an energy", 3, f));
  check_objectives<double>(ref::score("a score", 3, s));
  check_objectives<double>(ref::energy("a noise-conditional energy", 3, noisy));
}

// Identity I9. With 2^7 = 128 vectors the directions run in chunks.
TEST_CASE("sliced score matching averaged over all sign vectors is implicit score matching") {
  ref::Draws draws(31);
  for (const Index d : {1, 2, 3, 5, 7})
    for (Network network : networks) {
      INFO("d = " << d << ", activation " << network.activation);
      const Eigen::MatrixXd X = draws.matrix(d, 21, -1.5, 1.5);
      sm::EnergyModel energy = sm::energy_model(d, network);
      energy.set_parameters(draws.matrix(energy.parameters().size(), 1, -1, 1));
      check_every_sign_vector(energy, X);
      if (d == 1) continue;  // a network with one output is an energy here
      network.outputs = static_cast<int>(d);
      sm::ScoreModel score = sm::score_model(d, network);
      score.set_parameters(draws.matrix(score.parameters().size(), 1, -1, 1));
      check_every_sign_vector(score, X);
    }
}

// Identity I10.
TEST_CASE("the forward Laplacian is the trace of the Hessian, and Hutchinson's mean over all sign vectors") {
  ref::Draws draws(32);
  for (const Index d : {1, 2, 4, 7})
    for (const Network& network : networks) {
      INFO("d = " << d << ", activation " << network.activation);
      auto formula = ref::energy("network", d, network);
      formula.model.set_parameters(draws.matrix(formula.model.parameters().size(), 1, -1, 1));
      ref::Places places = ref::draw_places(draws, d, 3, 0, {});
      const Eigen::MatrixXd signs = sign_vectors(d);
      const Eigen::VectorXd laplacian = -trace_of(formula.model, places.X);

      constexpr Index lanes = sm::simd::width<sm::simd::Lanes<double>>, B = (3 + lanes - 1) / lanes * lanes;
      sm::extend::Points<double> points;
      points.X.resize(B, d);
      for (Index i = 0; i < B; ++i) points.X.row(i) = places.X.col(std::min<Index>(i, 2)).transpose();
      points.along = Along::given;
      points.directions = signs.cols();
      points.V = Eigen::VectorXd::Ones(B) * signs.reshaped().transpose();
      sm::extend::ScoreValues<double> values;
      const auto bound = formula.model.at<double>();
      sm::detail::FormulaEnergy<double>::Workspace workspace;
      bound.evaluate(points, workspace, values);

      for (Index i = 0; i < 3; ++i) {
        const Eigen::MatrixXd H = ref::hessian(formula, places, i);
        const double tolerance = 1e-12 * (1 + H.cwiseAbs().sum());
        CHECK(std::abs(laplacian[i] - H.trace()) <= tolerance);
        CHECK(std::abs(-values.curvature[i] / static_cast<double>(signs.cols()) - H.trace()) <= tolerance);
        CHECK((H - H.transpose()).cwiseAbs().maxCoeff() <= tolerance);
      }
    }
}
