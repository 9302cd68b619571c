// The cures of implicit score matching's overfit: its regularised form, and losses on perturbed data (early stopping:
// early_stopping.cpp). Seeds are fixed; the one statistical test states how often a right loss would fail it.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <string>

#include "fixtures.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/perturbed.hpp"
#include "scorematch/objective/regularised_score_matching.hpp"
#include "scorematch/random/normal.hpp"
#include "user_models.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::message_of;
using fixtures::normals;
using sm::FitStatus;
using sm::Index;

namespace {

const sm::implicit_score_matching implicit;

sm::EnergyModel network(Index d, int width = 5) {
  return sm::energy_model(d, [width](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {width, width}, .seed = 3}) + 0.5 * exp(theta("log_k")) * squared_norm(x);
  });
}

sm::ScoreModel score_network(int d) {
  return sm::score_model(d, [d](auto x, auto theta) {
    return theta("V", d, 5, sm::start_glorot{.seed = 1}) *
               tanh(theta("W", 5, d, sm::start_glorot{.seed = 2}) * x + theta("b", 5)) -
           x;
  });
}

/// Against central differences along a few directions.
template <class M, class O>
void check_gradient(const M& model, const O& objective, const MatrixXd& X) {
  const VectorXd theta = model.parameters();
  const sm::Loss loss = sm::loss_and_gradient(model, objective, X);
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const VectorXd direction = normals(theta.size(), 1, 500 + seed);
    M up = model, down = model;
    up.set_parameters(theta + 1e-5 * direction);
    down.set_parameters(theta - 1e-5 * direction);
    const double expected = (sm::loss(up, objective, X).value - sm::loss(down, objective, X).value) / 2e-5;
    CHECK(std::abs(loss.gradient.dot(direction) - expected) <= 1e-7 * (1 + std::abs(loss.value)) * direction.norm());
    CHECK(std::abs(expected) > 1e-4);
  }
}

/// Σ_i (∂s_i/∂x_i)², by differences of the score.
template <class M>
VectorXd squared_curvatures(const M& model, const MatrixXd& X) {
  VectorXd total = VectorXd::Zero(X.cols());
  for (Index i = 0; i < X.rows(); ++i) {
    MatrixXd up = X, down = X;
    up.row(i).array() += 1e-5;
    down.row(i).array() -= 1e-5;
    total += ((sm::score_of(model, up) - sm::score_of(model, down)).row(i) / 2e-5).cwiseAbs2().transpose();
  }
  return total;
}

}  // namespace

// --- regularised score matching ---

TEST_CASE("Regularised score matching: its value, its terms and its gradient, for energies and scores") {
  const MatrixXd X = normals(3, 53, 1);
  const auto check = [&](const auto& model) {
    const sm::regularised_score_matching objective{.lambda = 0.7};
    const sm::Loss loss = sm::loss(model, objective, X), plain = sm::loss(model, implicit, X);
    const double squares = squared_curvatures(model, X).mean();
    CHECK(loss.value == Approx(plain.value + 0.7 * squares).epsilon(1e-7));
    REQUIRE(loss.terms.size() == 3);
    CHECK(loss.terms[0].value == Approx(plain.terms[0].value).epsilon(1e-12));
    CHECK(loss.terms[1].value == Approx(plain.terms[1].value).epsilon(1e-12));
    CHECK(loss.terms[2].value == Approx(squares).epsilon(1e-7));
    CHECK(squares > 0.1);
    check_gradient(model, objective, X);
    for (const Index block : {8, 16, 500})
      CHECK(sm::loss(model, objective, X, {.block = block}).value == Approx(loss.value).epsilon(1e-12));
  };
  check(network(3));
  check(score_network(3));
}

TEST_CASE("With lambda = 0 it is implicit score matching, loss and gradient") {
  const MatrixXd X = normals(4, 37, 2);
  const auto check = [&](const auto& model) {
    const sm::Loss loss = sm::loss_and_gradient(model, sm::regularised_score_matching{.lambda = 0}, X),
                   plain = sm::loss_and_gradient(model, implicit, X);
    CHECK(loss.value == Approx(plain.value).epsilon(1e-12));
    CHECK((loss.gradient - plain.gradient).norm() <= 1e-12 * plain.gradient.norm());
  };
  check(network(4));
  check(score_network(4));
}

TEST_CASE("Regularised score matching: users' classes, float data") {
  const MatrixXd X = normals(user_models::d, 40, 3);
  const sm::regularised_score_matching objective{.lambda = 0.1};
  const auto formula = user_models::formula();
  const user_models::Own<user_models::trainable | user_models::hessian_vector> own;
  const sm::Loss loss = sm::loss_and_gradient(formula, objective, X), of_own = sm::loss_and_gradient(own, objective, X);
  CHECK(of_own.value == Approx(loss.value).epsilon(1e-8));
  CHECK((of_own.gradient - loss.gradient).norm() <= 1e-6 * loss.gradient.norm());
  const Eigen::MatrixXf in_float = X.cast<float>();
  CHECK(sm::loss(formula, objective, in_float).value == Approx(loss.value).epsilon(1e-4));
}

TEST_CASE("The regularised loss is bounded where the implicit one is not") {
  const MatrixXd zeros = MatrixXd::Zero(2, 20);
  const auto model = sm::energy_model(2, [](auto x, auto theta) { return 0.5 * exp(theta("t")) * squared_norm(x); });
  CHECK(sm::fit(model, implicit, zeros).status == FitStatus::diverged);
  // −2k + 2λk² is least at k = 1/(2λ), with the value −d/(4λ).
  const auto fit = sm::fit(model, sm::regularised_score_matching{.lambda = 0.05}, zeros);
  CHECK(fit.status == FitStatus::converged);
  CHECK(std::exp(fit.model.parameters()[0]) == Approx(10).epsilon(1e-5));
  CHECK(fit.loss.value == Approx(-2 / (4 * 0.05)).epsilon(1e-9));
}

// --- perturbed data ---

TEST_CASE("A perturbed objective is the objective on perturbed data") {
  const Index n = 61;
  const MatrixXd X = normals(2, n, 4);
  MatrixXd Z(n, 2);
  sm::extend::fill_normals<double>({9, sm::extend::Purpose::smoothing}, sm::extend::Ids::from(0), n, 5, 2, Z.data(), n);
  const MatrixXd moved = X + 0.4 * Z.transpose();
  const auto model = network(2);
  const auto target = [](const MatrixXd& Y) -> MatrixXd { return -0.5 * Y; };
  const auto check = [&](const auto& objective) {
    const sm::Loss loss = sm::loss_and_gradient(model, sm::perturbed{objective, {.sigma = 0.4, .seed = 9}}, X,
                                                {.draw = 5, .per_sample = true}),
                   direct = sm::loss_and_gradient(model, objective, moved, {.draw = 5, .per_sample = true});
    CHECK((loss.per_sample - direct.per_sample).norm() <= 1e-12 * direct.per_sample.norm());
    CHECK((loss.gradient - direct.gradient).norm() <= 1e-12 * direct.gradient.norm());
    CHECK(loss.terms.size() == direct.terms.size());
  };
  check(implicit);
  check(sm::explicit_score_matching{target});
  check(sm::regularised_score_matching{});

  const sm::perturbed frozen{implicit, {.sigma = 0.4, .seed = 9, .frozen = true}};
  CHECK(frozen.deterministic());
  CHECK_FALSE(sm::perturbed{implicit}.deterministic());
  CHECK(sm::loss(model, frozen, X, {.draw = 5}).value == sm::loss(model, frozen, X).value);
  CHECK(frozen.half_squared_score());
}

TEST_CASE("The kernel density's score is the gradient of its logarithm") {
  const MatrixXd data = normals(2, 30, 5), X = 2 * normals(2, 10, 6);
  const double sigma = 0.6;
  const MatrixXd S = sm::kernel_density_score{data, sigma}(X);
  const auto log_density = [&](const Eigen::Vector2d& x) {
    double total = 0;
    for (Index i = 0; i < data.cols(); ++i) total += std::exp(-(x - data.col(i)).squaredNorm() / (2 * sigma * sigma));
    return std::log(total);
  };
  for (Index j = 0; j < X.cols(); ++j)
    for (Index i = 0; i < 2; ++i) {
      const Eigen::Vector2d h = 1e-5 * Eigen::Vector2d::Unit(i), x = X.col(j);
      CHECK(S(i, j) == Approx((log_density(x + h) - log_density(x - h)) / 2e-5).epsilon(1e-7).margin(1e-8));
    }
  // Far away the nearest sample alone is left: no underflow.
  const MatrixXd far = MatrixXd::Constant(2, 1, 1e4);
  CHECK(sm::kernel_density_score{data, sigma}(far).allFinite());
}

// Identity I11's second half, on average over draws: J_ESM(p̂_σ) − J_DSM does not depend on θ. The difference of the two
// losses' changes has a known standard error from the draws, and may be five of it: a right loss fails with probability
// 6e-7.
TEST_CASE("Perturbed explicit and denoising losses differ by a constant", "[long]") {
  const MatrixXd X = normals(2, 40, 7);
  const double sigma = 0.5;
  const sm::perturbed exact{sm::explicit_score_matching{sm::kernel_density_score{X, sigma}}, {.sigma = sigma}};
  const sm::denoising_score_matching denoising{.sigma = sigma};
  auto first = network(2), second = network(2);
  second.set_parameters(first.parameters() + 0.7 * normals(first.parameters().size(), 1, 8));
  const int draws = 4000;
  double mean = 0, squares = 0, change = 0;
  for (int draw = 0; draw < draws; ++draw) {
    const sm::LossOptions at{.draw = static_cast<std::uint64_t>(draw)};
    const double by_exact = sm::loss(second, exact, X, at).value - sm::loss(first, exact, X, at).value;
    const double difference =
        by_exact - (sm::loss(second, denoising, X, at).value - sm::loss(first, denoising, X, at).value);
    change += by_exact / draws;
    mean += difference / draws;
    squares += difference * difference / draws;
  }
  const double error = std::sqrt((squares - mean * mean) / draws);
  CHECK(std::abs(mean) < 5 * error);
  CHECK(std::abs(change) > 50 * error);  // what does depend on θ
}

// --- bad input ---

TEST_CASE("Cures: options out of range") {
  const MatrixXd X = normals(2, 10, 13);
  const auto model = network(2);
  const auto refused = [&](auto f, const std::string& part) { CHECK_THAT(message_of(f), ContainsSubstring(part)); };
  refused([&] { (void)sm::loss(model, sm::regularised_score_matching{.lambda = -1}, X); },
          "regularised_score_matching: lambda is -1; it must be at least 0");
  refused([&] { (void)sm::loss(model, sm::regularised_score_matching{.lambda = std::nan("")}, X); }, "lambda is nan");
  refused([&] { (void)sm::loss(model, sm::perturbed{implicit, {.sigma = 0}}, X); }, "perturbed: sigma is 0");
  refused([&] { (void)sm::loss(model, sm::perturbed{sm::regularised_score_matching{.lambda = -1}}, X); },
          "lambda is -1");
  refused([&] { (void)sm::kernel_density_score{X, -1}(X); }, "kernel_density_score: sigma is -1");
  refused([&] { (void)sm::kernel_density_score{MatrixXd(2, 0), 1}(X); }, "data has no columns");
  refused([&] { (void)sm::kernel_density_score{X, 1}(normals(3, 2, 1)); }, "data has 2 rows, but the points have 3");
}
