// Losses, their θ-gradients, fits and samplers of energy_model<D>(formula) against those of energy_model(D, formula);
// compiled.cpp compares values and derivatives. Seeds are fixed: nothing here fails by chance.
#include "same_models.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "scorematch/fit/fit.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/sample.hpp"

namespace sm = scorematch;
using same_models::agree;
using same_models::moved;
using same_models::points;
using same_models::tolerance;
using sm::Index;

namespace {

template <class T, class M, class N, class O>
void same_loss(const std::string& what, const M& compiled, const N& recorded, const O& objective,
               const sm::Matrix<T>& X, const sm::LossOptions& options = {}) {
  INFO(what);
  const sm::Loss found = sm::loss_and_gradient(compiled, objective, X, options),
                 expected = sm::loss_and_gradient(recorded, objective, X, options);
  const double relative = tolerance<T>();
  CHECK(found.value == Approx(expected.value).epsilon(relative));
  CHECK(found.standard_error == Approx(expected.standard_error).epsilon(100 * relative));
  CHECK(found.samples == expected.samples);
  REQUIRE(found.terms.size() == expected.terms.size());
  for (std::size_t k = 0; k < found.terms.size(); ++k) {
    CHECK(found.terms[k].name == expected.terms[k].name);
    CHECK(found.terms[k].value == Approx(expected.terms[k].value).epsilon(10 * relative));
    CHECK(found.terms[k].standard_error ==
          Approx(expected.terms[k].standard_error).epsilon(100 * relative).margin(relative));
  }
  agree("gradient", found.gradient, expected.gradient, relative);
  agree("per sample", found.per_sample, expected.per_sample, relative);
  CHECK(sm::loss(compiled, objective, X, options).value == Approx(expected.value).epsilon(relative));
}

/// Losses and θ-gradients of both paths.
template <int D, class T = double, class F>
void same_losses(const std::string& name, const F& formula) {
  INFO(name << (sizeof(T) == 8 ? ", double" : ", float"));
  const auto recorded = moved(sm::energy_model(D, formula));
  const auto compiled = moved(sm::energy_model<D>(formula));
  const sm::Matrix<T> X = points<T>(D, 4101);
  const std::vector<Index> columns = {5, 4000, 17, 17, 0, 4100, 88};
  same_loss("implicit", compiled, recorded, sm::implicit_score_matching{}, X);
  same_loss("one sample", compiled, recorded, sm::implicit_score_matching{}, sm::Matrix<T>(X.leftCols(1)));
  same_loss("nine samples", compiled, recorded, sm::implicit_score_matching{}, sm::Matrix<T>(X.leftCols(9)));
  same_loss("a minibatch", compiled, recorded, sm::implicit_score_matching{}, X,
            {.columns = columns, .per_sample = true});
  same_loss("small blocks", compiled, recorded, sm::implicit_score_matching{}, X, {.block = 100, .per_sample = true});
}

const auto double_well = [](auto x, auto theta) {
  auto square0 = square(x[0]);
  return theta("a", sm::start_at(1.0)) * square(square0) - theta("b", sm::start_at(2.0)) * square0 +
         theta("c", sm::start_at(0.5)) * square(x[1]);
};

const auto gaussian = [](auto x, auto theta) {
  auto centre = theta("centre", 2);
  auto stiffness = exp(theta("log_stiffness"));
  return 0.5 * stiffness * squared_norm(x - centre);
};

const auto mixture = [](auto x, auto theta) {
  const auto block = [&](const char* name) { return theta(name, 5, sm::start_normal{.sigma = 0.5, .seed = 1}); };
  auto a = x[0] - block("centre0");
  auto b = x[1] - block("centre1");
  auto u = a * exp(block("p")) + b * block("q");
  auto w = b * exp(block("r"));
  return -log_sum_exp(block("l") - 0.5 * (square(u) + square(w)));
};

// Every number of θ inside functions that bend, meet each other and meet x.
const auto twisted = [](auto x, auto theta) {
  auto a = theta("a", sm::start_at(0.3));
  auto b = exp(0.2 * a) + theta("b");
  auto inner = tanh(a * x[0] + b * x[1]) + sin(b * x[0] * x[1]);
  return softplus(inner) * log1p(square(theta("c") * x[1])) + square(inner + a) + cos(a + x[0]) / (2 + sigmoid(b)) +
         silu(b * x[0]) * erf(a * x[1]) + sqrt(1 + square(a * x[0])) + pow(x[0], 3) * pow(2 + square(b), 1.5);
};

}  // namespace

TEST_CASE("The compiled path: losses and their θ-gradients") {
  same_losses<2>("double well", double_well);
  same_losses<2>("gaussian", gaussian);
  same_losses<2>("twisted", twisted);
  same_losses<2, float>("twisted", twisted);
  same_losses<2>("mixture: θ from the record", mixture);
  same_losses<1>("one dimension",
                 [](auto x, auto theta) { return theta("a") * square(x[0]) + theta("b") * cos(x[0]); });
  same_losses<3>("one name twice, one without use", [](auto x, auto theta) {
    theta("unused");
    auto again = [&] { return theta("a", sm::start_at(1.0)); };
    return again() * squared_norm(x) + exp(again() * x[2]);
  });
  same_losses<2>("five uses of four numbers", [](auto x, auto theta) {
    auto v = theta("v", 4);
    return dot(head(v, 2), square(x)) + v[2] * x[0] * x[1] + theta("v", 4)[3] * sin(x[0]);
  });
  same_losses<2>("eight numbers", [](auto x, auto theta) {
    auto h = tanh(theta("a") * x[0] + theta("b") * x[1] + theta("c"));
    auto g = tanh(theta("d") * x[0] + theta("e") * x[1] + theta("f"));
    return 0.5 * squared_norm(x) + theta("g") * h * g + theta("h") * sin(g);
  });
  same_losses<2>("nine numbers: θ from the record", [](auto x, auto theta) {
    auto u = theta("u", 7);
    return dot(square(x), exp(head(u, 2))) + u[2] * x[0] * x[1] + sum(tail(u, 4)) * cos(x[0]) + dot(theta("b", 2), x);
  });
  same_losses<5>("eight numbers in five dimensions", [](auto x, auto theta) {
    return dot(exp(theta("log_stiffness", 5)), square(x)) + theta("a") * x[0] * x[4] +
           theta("b") * sm::sum(4, [&](int i) { return x[i] * x[i + 1]; }) + theta("c") * square(square(x[2]));
  });
  same_losses<8>("five numbers in eight dimensions", [](auto x, auto theta) {
    return theta("a") * squared_norm(x) + dot(theta("b", 3), segment(x, 5, 3)) + theta("c") * square(x[7] * x[0]);
  });
  same_losses<2>("tangents in shared rows", [](auto x, auto theta) {
    auto v = theta("v", 3);
    auto a = x[0] - 2 * v;
    auto u = 0.5 * a + theta("s") * x[1] - v;
    return log_sum_exp(-0.5 * square(u)) + sum(exp(0.3 * (u - a)));
  });
}

TEST_CASE("The compiled path: losses that need scores alone") {
  const auto recorded = moved(sm::energy_model(2, gaussian));
  const auto compiled = moved(sm::energy_model<2>(gaussian));
  const Eigen::MatrixXd X = points(2, 301);
  same_loss("denoising", compiled, recorded, sm::denoising_score_matching{.sigma = 0.5}, X);
}

TEST_CASE("The compiled path: explicit losses, fits and derivatives") {
  const Eigen::MatrixXd X = points(2, 500, 3), S = -2.5 * (X.colwise() - Eigen::Vector2d(0.5, -1));
  auto recorded = sm::energy_model(2, gaussian);
  auto compiled = sm::energy_model<2>(gaussian);
  same_loss("explicit", compiled, recorded, sm::explicit_score_matching{S}, X);
  const auto fit = sm::fit(compiled, sm::explicit_score_matching{S}, X);
  CHECK(fit.model.parameter("centre").isApprox(Eigen::Vector2d(0.5, -1), 1e-5));
  CHECK(fit.model.parameter("log_stiffness")(0) == Approx(std::log(2.5)).epsilon(1e-5));
  const auto by_record = sm::fit(recorded, sm::implicit_score_matching{}, X);
  const auto by_compiler = sm::fit(compiled, sm::implicit_score_matching{}, X);
  CHECK(by_compiler.status == sm::FitStatus::converged);
  CHECK(by_compiler.model.parameters().isApprox(by_record.model.parameters(), 1e-6));
}

TEST_CASE("The compiled path: samplers") {
  auto recorded = sm::energy_model(2, mixture);
  auto compiled = sm::energy_model<2>(mixture);
  const sm::SampleOptions options{.chains = 70, .steps = 20, .seed = 3};
  agree("ula", sm::sample(compiled, sm::langevin{.step = 0.05}, options).state,
        sm::sample(recorded, sm::langevin{.step = 0.05}, options).state, 1e-9);
  agree("mala", sm::sample(compiled, sm::mala{.step = 0.05}, options).state,
        sm::sample(recorded, sm::mala{.step = 0.05}, options).state, 1e-9);
}
