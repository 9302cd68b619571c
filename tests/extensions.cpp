// The loss and the kernel of examples/extensions/, which are written outside the library as its users would: each
// against what it must equal.
//
// Seeds are fixed, so that nothing fails by chance. Had a seed been drawn by chance, each statistical check, |z| < 4,
// would fail a correct library with probability 6·10⁻⁵, all of them (less than 100) together with less than 1 %.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "../examples/extensions/huberised_denoising.hpp"
#include "../examples/extensions/leapfrog.hpp"
#include "fixtures.hpp"
#include "same_models.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::refuses;
using fixtures::same_bits;
using sm::Index;

namespace {

constexpr double limit = 4;  // of a standard normal statistic

/// f = ½ Σ a_i x_i² as a user's class, which computes in double.
struct Springs {
  VectorXd a = VectorXd::Constant(3, 1.5);

  Index dimension() const { return a.size(); }
  VectorXd parameters() const { return a; }
  void set_parameters(const VectorXd& theta) { a = theta; }
  void gradient(sm::InputPoints X, sm::OutputPoints G) const { G = a.asDiagonal() * X; }
  void pull_back(sm::InputPoints X, sm::InputPoints W, sm::OutputNumbers g) const {
    g += X.cwiseProduct(W).rowwise().sum();
  }
};

/// check(model) with a model of each kind in three dimensions.
template <class Check>
void for_each_kind(const Check& check) {
  const auto formula = [](auto x, auto theta) {
    auto u = x - theta("centre", Eigen::Vector3d(0.5, 0, -0.5));
    return 0.5 * exp(theta("log_stiffness")) * squared_norm(u) + 0.1 * square(square(u[0]));
  };
  check("a formula", sm::energy_model(3, formula));
  check("a compiled formula", sm::energy_model<3>(formula));
  check("a mixture", sm::gaussian_mixture(3, {.components = 2, .seed = 1}));
  check("a sum", sm::gaussian(3) + sm::named("other", sm::gaussian(3)));
  check("a score", sm::score_model(3, [](auto x, auto theta) { return theta("b", 3) - exp(theta("log_a")) * x; }));
  check("a score at any sigma", sm::score_model(3, [](auto x, auto sigma, auto theta) {
          return theta("b", 3) - x / (exp(theta("log_v")) + square(sigma));
        }));
  check("a class", Springs{});
}

sm::denoising_score_matching plain(double sigma, std::uint64_t seed) {
  return {.sigma = sigma, .seed = seed, .weight = sm::Weight::sigma_squared};
}

/// What `compute` returns on one thread and on three.
template <class Compute>
auto on_threads(const Compute& compute) {
#ifdef _OPENMP
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto one = compute();
  omp_set_num_threads(3);
  const auto three = compute();
  omp_set_num_threads(before);
  return std::pair(one, three);
#else
  return std::pair(compute(), compute());
#endif
}

}  // namespace

TEMPLATE_TEST_CASE("Above every residual Huber's loss is the denoising loss with the weight σ²", "", double, float) {
  using T = TestType;
  const sm::Matrix<T> X = same_models::points<T>(3, 300);
  const huberised_denoising loss{.sigma = 0.4, .delta = 1e4, .seed = 3};
  const double tolerance = same_models::tolerance<T>();
  for_each_kind([&](const char* kind, const auto& model) {
    INFO(kind);
    // Both report the whole loss, with the constant ½E‖z‖². (What the term "sum of both" of denoising leaves out.)
    for (const std::uint64_t draw : {0, 5}) {
      const sm::LossOptions options{.draw = draw, .per_sample = true};
      const sm::Loss huber = sm::loss_and_gradient(model, loss, X, options),
                     square = sm::loss_and_gradient(model, plain(0.4, 3), X, options);
      same_models::agree("each sample's loss", huber.per_sample, square.per_sample, tolerance);
      same_models::agree("gradient", huber.gradient, square.gradient, tolerance);
      CHECK(huber.terms[0].value == Approx(huber.value).epsilon(tolerance));
    }
  });
}

TEST_CASE("The term of the denoising loss that leaves the constant out differs by the same for all θ") {
  const MatrixXd X = same_models::points(3, 300);
  const auto constant = [&](const auto& model) {
    const double whole = sm::loss(model, huberised_denoising{.sigma = 0.4, .delta = 1e4}, X).value;
    return whole - sm::loss(model, plain(0.4, 0), X).terms[2].value;
  };
  const double at_start = constant(sm::gaussian(3));
  CHECK(constant(same_models::moved(sm::gaussian(3))) == Approx(at_start).epsilon(1e-11));
  CHECK(std::abs(at_start - 1.5) < limit * std::sqrt(1.5 / 300));  // ½E‖z‖² = d/2, of variance d/2 a sample
}

TEMPLATE_TEST_CASE("Each sample's loss is ρ(r) of its residual", "", double, float) {
  using T = TestType;
  const Index count = 200;
  const sm::Matrix<T> X = same_models::points<T>(2, count);
  const double sigma = 0.5, delta = 1.2;
  sm::Matrix<T> z(count, 2);  // the noise at draw 2, by its address
  sm::extend::fill_normals<T>({7, sm::extend::Purpose::perturbation}, sm::extend::Ids::from(0), count, 2, 2, z.data(),
                              count);
  const auto model = sm::score_model(2, [](auto x, auto) { return -2.0 * x; });
  const sm::Loss loss = sm::loss(model, huberised_denoising{.sigma = sigma, .delta = delta, .seed = 7}, X,
                                 {.draw = 2, .per_sample = true});
  Index above = 0;
  for (Index i = 0; i < count; ++i) {
    const VectorXd noise = z.row(i).template cast<double>(), x = X.col(i).template cast<double>();
    const double r = (-2 * sigma * (x + sigma * noise) + noise).norm();
    above += r > delta ? 1 : 0;
    const double right = r > delta ? delta * (r - delta / 2) : r * r / 2;
    CHECK(static_cast<double>(loss.per_sample[i]) ==
          Approx(right).epsilon(10 * same_models::tolerance<T>()).margin(same_models::tolerance<T>()));
  }
  CHECK(above > count / 10);
  CHECK(above < count * 9 / 10);
}

TEST_CASE("check_objective passes the Huberised loss, with samples on both sides of δ") {
  const MatrixXd X = same_models::points(3, 12);
  for (const double delta : {0.3, 1.0, 1e4})
    for_each_kind([&](const char* kind, const auto& model) {
      const auto report = sm::check_objective(huberised_denoising{.sigma = 0.4, .delta = delta}, model, X);
      INFO(kind << ", delta " << delta << "\n" << report.text());
      CHECK(report.passed);
    });
}

TEST_CASE("The Huberised loss is the same bits for any number of threads") {
  const MatrixXd X = same_models::points(3, 3000);
  const auto [one, three] = on_threads([&]() -> MatrixXd {
    const sm::Loss loss = sm::loss_and_gradient(sm::gaussian(3), huberised_denoising{.delta = 1}, X, {.draw = 4});
    return (VectorXd(loss.gradient.size() + 1) << loss.gradient, loss.value).finished();
  });
  CHECK(same_bits<double>(one, three));
}

TEST_CASE("Options of the loss and the kernel out of range are refused by name") {
  const MatrixXd X = MatrixXd::Zero(2, 3);
  const auto model = sm::gaussian(2);
  refuses([&] { (void)sm::loss(model, huberised_denoising{.sigma = 0}, X); }, "huberised_denoising: sigma is 0");
  refuses([&] { (void)sm::loss(model, huberised_denoising{.delta = -1}, X); }, "huberised_denoising: delta is -1");
  refuses([&] { (void)sm::sample(model, leapfrog{.step = 0}); }, "leapfrog: step is 0");
  refuses([&] { (void)sm::sample(model, leapfrog{.leapfrogs = 0}); }, "leapfrogs is 0");
}

TEMPLATE_TEST_CASE("One leapfrog step of ε is the MALA step of h = ε²/2", "", double, float) {
  using T = TestType;
  // y = x + ε(z + ½ε s(x)) = x + h s(x) + √(2h) z, and −(x − y − h s(y))/ε is the momentum at the end, so that the
  // ratios of acceptance agree, too. Both kernels have the same random numbers, so the chains are the same, but for
  // those in which rounding turns a decision: none in double.
  const auto model = sm::gaussian_mixture(2, {.components = 3, .seed = 2});
  // Given starts, since the default ones are moved for mala where its step could not leave them.
  const sm::SampleOptions options{.chains = 2000, .steps = 20, .seed = 4, .start = fixtures::normals(2, 2000, 9)};
  for (const double step : {0.3, 1.0, 2.0}) {
    INFO("step " << step);
    const auto hmc = sm::sample<T>(model, leapfrog{.step = step, .leapfrogs = 1}, options),
               mala = sm::sample<T>(model, sm::mala{.step = step * step / 2}, options);
    const auto apart = (hmc.state - mala.state).colwise().norm().array() > (sizeof(T) == 8 ? T(1e-9) : T(1e-2));
    CHECK(apart.count() <= (sizeof(T) == 8 ? 0 : 20));
    CHECK(hmc.acceptance.mean() == Approx(mala.acceptance.mean()).epsilon(sizeof(T) == 8 ? 1e-12 : 1e-3));
  }
}

TEMPLATE_TEST_CASE("The leapfrog kernel keeps N(0, 1), at steps that need Metropolis, too", "", double, float) {
  using T = TestType;
  // Without acceptance its stationary variance is 1/(1 − ε²/4), and above ε = 2 there is none. The leapfrog map
  // conserves ½p² + ½(1 − ε²/4)x², so that H′ − H = ε²/8 (x′² − x²). It keeps volumes and is its own inverse once p is
  // reversed, so that E min(1, exp(H − H′)) = 2 P(H′ < H) = 2 P(|a x + b p| < |x|) for x, p ~ N(0, 1), where x′ = a x +
  // b p:
  //   2/π |arctan((1 − a)/b) + arctan((1 + a)/b)|.
  const auto model = sm::energy_model(1, [](auto x, auto) { return 0.5 * square(x[0]); });
  const Index chains = 40000, steps = 30;
  const auto n = static_cast<double>(chains);
  for (const auto& [step, leapfrogs] : {std::pair(0.5, 3), {1.2, 2}, {1.8, 1}, {1.8, 4}, {2.5, 1}}) {
    INFO("step " << step << ", " << leapfrogs << " leapfrogs");
    Eigen::Matrix2d once, map = Eigen::Matrix2d::Identity();
    once << 1 - step * step / 2, step, -step * (1 - step * step / 4), 1 - step * step / 2;
    for (int l = 0; l < leapfrogs; ++l) map = once * map;
    const double a = map(0, 0), b = map(0, 1),
                 acceptance = 2 / std::acos(-1.0) * std::abs(std::atan((1 - a) / b) + std::atan((1 + a) / b));
    // Starts at draws of N(0, 1), and those times 3, of which 30 steps leave nothing that shows where most are
    // accepted.
    for (const double scale : {1.0, 3.0}) {
      if (scale > 1 && acceptance < 0.7) continue;
      INFO("starts of deviation " << scale);
      const MatrixXd start = scale * fixtures::normals(1, chains, 6);
      const auto draws = sm::sample<T>(model, leapfrog{.step = step, .leapfrogs = leapfrogs},
                                       {.chains = chains, .steps = steps, .seed = 8, .start = start});
      const Eigen::ArrayXd x = draws.state.row(0).transpose().template cast<double>();
      CHECK(std::abs(x.mean()) < limit / std::sqrt(n));
      CHECK(std::abs(x.square().mean() - 1) < limit * std::sqrt(2 / n));
      if (scale > 1) continue;
      CHECK(draws.status == sm::SampleStatus::complete);
      const Eigen::ArrayXd rate = draws.acceptance;
      const double error = std::sqrt((rate - rate.mean()).square().mean() / n);
      CHECK(std::abs(rate.mean() - acceptance) < limit * error);
    }
  }
}

TEST_CASE("The leapfrog kernel rejects and counts proposals without a finite energy or score") {
  // Γ(3, 1) on x > 0, of mean and variance 3 and fourth central moment 45; f is NaN at x < 0.
  const auto gamma = sm::energy_model(1, [](auto x, auto) { return x[0] - 2 * log(x[0]); });
  const Index chains = 20000;
  const auto n = static_cast<double>(chains);
  const auto exact = [](sm::Stream& stream) -> VectorXd {
    return VectorXd::Constant(1, -std::log(stream.uniform() * stream.uniform() * stream.uniform()));
  };
  const auto draws = sm::sample(gamma, leapfrog{.step = 1, .leapfrogs = 2},
                                {.chains = chains, .steps = 20, .seed = 2, .start = exact});
  const Eigen::ArrayXd x = draws.state.row(0).transpose();
  CHECK(draws.non_finite > 0);
  CHECK(x.minCoeff() > 0);
  CHECK(std::abs(x.mean() - 3) < limit * std::sqrt(3 / n));
  CHECK(std::abs((x - 3).square().mean() - 3) < limit * std::sqrt((45 - 9) / n));

  // An energy of −∞ would be accepted by the ratio; no chain may end there.
  struct Hole {
    Index dimension() const { return 1; }
    void energy(sm::InputPoints X, sm::OutputNumbers f) const {
      for (Index i = 0; i < X.cols(); ++i)
        f[i] = X(0, i) > 1 ? -std::numeric_limits<double>::infinity() : X(0, i) * X(0, i) / 2;
    }
    void gradient(sm::InputPoints X, sm::OutputPoints G) const { G = X; }
  };
  const auto beside = sm::sample(Hole{}, leapfrog{.step = 0.7, .leapfrogs = 2},
                                 {.chains = 500, .steps = 200, .seed = 2, .start = MatrixXd::Zero(1, 500)});
  CHECK(beside.non_finite > 0);
  CHECK(beside.state.maxCoeff() <= 1);
  CHECK(beside.status == sm::SampleStatus::complete);
}

TEST_CASE("Leapfrog chains are the same bits for any number of threads, and go on from next_step") {
  const auto model = sm::gaussian_mixture(2, {.components = 3, .seed = 2});
  const leapfrog kernel{.step = 0.5, .leapfrogs = 3};
  const auto whole = [&] { return sm::sample(model, kernel, {.chains = 500, .steps = 9, .seed = 3}).state; };
  const auto [one, three] = on_threads(whole);
  CHECK(same_bits<double>(one, three));
  const auto half = sm::sample(model, kernel, {.chains = 500, .steps = 4, .seed = 3});
  const auto rest = sm::sample(
      model, kernel, {.chains = 500, .steps = 5, .seed = 3, .start = half.state, .first_step = half.next_step});
  CHECK(same_bits<double>(rest.state, one));
}
