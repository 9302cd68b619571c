// What must be true of samplers: stationary laws, exactness of Metropolis steps, and what a call returns.
//
// Seeds are fixed, so nothing here fails by chance. Had a seed been drawn by chance, each statistical check, |z| < 4,
// would fail a correct library with probability 6·10⁻⁵, all of them (less than 300) together with less than 2 %.
#include "both_paths.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/sample.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::same_bits;
using sm::Index;

namespace {

constexpr double limit = 4;  // of a standard normal statistic

/// The normal numbers that a step of all chains uses: d × chains.
template <class T>
sm::Matrix<T> noise_of(std::uint64_t seed, std::uint64_t step, Index d, Index chains) {
  sm::Matrix<T> Z(chains, d);
  sm::extend::fill_normals<T>({seed, sm::extend::Purpose::chain_noise}, sm::extend::Ids::from(0), chains, step, d,
                              Z.data(), chains);
  return Z.transpose();
}

sm::EnergyModel harmonic(Index d) {
  return sm::energy_model(d, [](auto x, auto) { return 0.5 * squared_norm(x); });
}

sm::EnergyModel double_well() {
  return sm::energy_model(1, [](auto x, auto) { return 2 * square(square(x[0]) - 1); });
}

/// 0.3 N((−1.5, 0), ½ I) + 0.7 N((1, 0.5), I)
const auto mixture_formula = [](auto x, auto) {
  return -log_sum_exp(sm::concat(std::log(0.3 / 0.5) - squared_norm(x - Eigen::Vector2d(-1.5, 0)),
                                 std::log(0.7) - 0.5 * squared_norm(x - Eigen::Vector2d(1, 0.5))));
};

sm::EnergyModel gaussian_mixture() { return sm::energy_model(2, mixture_formula); }

VectorXd draw_gaussian_mixture(sm::Stream& stream) {
  const bool first = stream.uniform() < 0.3;
  const Eigen::Vector2d centre = first ? Eigen::Vector2d(-1.5, 0) : Eigen::Vector2d(1, 0.5);
  return centre + (first ? std::sqrt(0.5) : 1.0) * stream.normals(2);
}

/// Draws from the density exp(−f(x)/temperature) on [low, high] by inverting its distribution function.
class InverseOfDistribution {
 public:
  InverseOfDistribution(double (*f)(double), double temperature, double low, double high)
      : low_(low), cell_((high - low) / cells) {
    sums_.push_back(0);
    for (int i = 0; i < cells; ++i) sums_.push_back(sums_.back() + std::exp(-f(low + (i + 0.5) * cell_) / temperature));
  }

  VectorXd operator()(sm::Stream& stream) const {
    const double u = stream.uniform() * sums_.back();
    const auto above = std::upper_bound(sums_.begin(), sums_.end(), u);
    const double within = (u - *(above - 1)) / (*above - *(above - 1));
    return VectorXd::Constant(1, low_ + cell_ * (static_cast<double>(above - sums_.begin() - 1) + within));
  }

 private:
  static constexpr int cells = 20000;
  double low_, cell_;
  std::vector<double> sums_;
};

/// The double well as a user's class. With `wrong_slope` its gradient is not that of its energy.
struct DoubleWellClass {
  bool wrong_slope = false;

  Index dimension() const { return 1; }
  void energy(Eigen::Ref<const MatrixXd> X, Eigen::Ref<VectorXd> f) const {
    f = 2 * (X.row(0).array().square() - 1).square().transpose();
  }
  void gradient(Eigen::Ref<const MatrixXd> X, Eigen::Ref<MatrixXd> G) const {
    G = 8 * X.array() * (X.array().square() - 1);
    if (wrong_slope) G = 0.3 * G.array() + 0.5;
  }
};

/// s = −x as a user's class.
struct HarmonicScoreClass {
  Index dimension() const { return 2; }
  void score(Eigen::Ref<const MatrixXd> X, Eigen::Ref<MatrixXd> S) const { S = -X; }
};

/// Flat inside the box |x_i| < 1, +∞ outside.
struct Box {
  Index dimension() const { return 2; }
  void energy(Eigen::Ref<const MatrixXd> X, Eigen::Ref<VectorXd> f) const {
    for (Index i = 0; i < X.cols(); ++i)
      f[i] = X.col(i).cwiseAbs().maxCoeff() < 1 ? 0 : std::numeric_limits<double>::infinity();
  }
  void gradient(Eigen::Ref<const MatrixXd>, Eigen::Ref<MatrixXd> G) const { G.setZero(); }
};

/// From the left into a hole that no proposal leaves: its gradient throws them far away, from where none comes back.
struct Trap {
  Index dimension() const { return 1; }
  void energy(Eigen::Ref<const MatrixXd> X, Eigen::Ref<VectorXd> f) const {
    for (Index i = 0; i < X.cols(); ++i) f[i] = X(0, i) > 0 ? -1e12 : 0;
  }
  void gradient(Eigen::Ref<const MatrixXd> X, Eigen::Ref<MatrixXd> G) const {
    for (Index i = 0; i < X.cols(); ++i) G(0, i) = X(0, i) > 0 ? 1e6 : -0.5;
  }
};

/// f = x − 2 log x: Gamma(3, 1) on x > 0, of mean and variance 3.
sm::EnergyModel gamma_law() {
  return sm::energy_model(1, [](auto x, auto) { return x[0] - 2 * log(x[0]); });
}

/// E x² of exp(−f) on [−5, 5].
double second_moment(double (*f)(double)) {
  double all = 0, second = 0;
  for (int i = 0; i < 20000; ++i) {
    const double x = -5 + 0.0005 * (i + 0.5), p = std::exp(-f(x));
    all += p;
    second += x * x * p;
  }
  return second / all;
}

MatrixXd normal_points(Index d, Index count) {
  MatrixXd X(d, count);
  sm::Stream stream({5, sm::extend::Purpose::user});
  for (Index i = 0; i < X.size(); ++i) X.data()[i] = stream.normal();
  return X;
}

using TestFunctions = std::vector<std::function<double(const VectorXd&)>>;

const TestFunctions moments = {
    [](const VectorXd& x) { return x[0]; },
    [](const VectorXd& x) { return x.squaredNorm(); },
    [](const VectorXd& x) { return std::pow(x[0], 3); },
    [](const VectorXd& x) { return x[0] > 0.5 ? 1.0 : 0.0; },
    [](const VectorXd& x) { return std::cos(2 * x.sum()); },
    [](const VectorXd& x) { return std::exp(-x.squaredNorm()); },
};

const TestFunctions bounded = {
    [](const VectorXd& x) { return std::tanh(x[0]); },
    [](const VectorXd& x) { return std::abs(x[0]) > 1 ? 1.0 : 0.0; },
    [](const VectorXd& x) { return std::abs(x[0]) > 3 ? 1.0 : 0.0; },
    [](const VectorXd& x) { return std::exp(-x[0] * x[0]); },
    [](const VectorXd& x) { return std::cos(x[0]); },
};

/// Chains that start with exact draws of the target must stay exact: E[φ(after) − φ(before)] = 0.
template <class T = double, class M>
void check_exact(const M& model, const sm::mala& kernel, const sm::ChainStart& target, const TestFunctions& functions) {
  const Index chains = 30000;
  const MatrixXd before = target.points(model.dimension(), chains, 77);
  for (const Index steps : {1, 6}) {
    INFO("step " << kernel.step << ", temperature " << kernel.temperature << ", " << steps << " steps");
    const auto draws = sm::sample<T>(model, kernel, {.chains = chains, .steps = steps, .seed = 5, .start = before});
    const double acceptance = draws.acceptance.mean();
    CHECK(acceptance > 0.1);  // a step must do something: move, and be adjusted
    CHECK(acceptance < 0.999);
    for (std::size_t k = 0; k < functions.size(); ++k) {
      INFO("function " << k);
      Eigen::ArrayXd change(chains);
      for (Index c = 0; c < chains; ++c)
        change[c] = functions[k](draws.state.col(c).template cast<double>()) - functions[k](before.col(c));
      const double deviation = std::sqrt((change - change.mean()).square().mean() / static_cast<double>(chains));
      REQUIRE(deviation > 0);
      CHECK(std::abs(change.mean()) < limit * deviation);
    }
  }
}

}  // namespace

// --- unadjusted Langevin ---

TEMPLATE_TEST_CASE("A Langevin step is x + h s(x) + √(2 h τ) z", "", double, float) {
  using T = TestType;
  const double h = 0.3, temperature = 2.5;
  const sm::Matrix<T> start = MatrixXd::Random(2, 5).template cast<T>();
  const auto formula = [](auto x, auto) { return 0.5 * squared_norm(x) + 0.25 * sum(pow(x, 4)); };
  const sm::Matrix<T> score = -start - start.array().cube().matrix();
  const sm::Matrix<T> right =
      start + static_cast<T>(h) * score + static_cast<T>(std::sqrt(2 * h * temperature)) * noise_of<T>(9, 4, 2, 5);
  on_both_paths<2>(formula, [&](const auto& model) {
    const auto draws = sm::sample<T>(model, sm::langevin{.step = h, .temperature = temperature},
                                     {.chains = 5, .steps = 1, .seed = 9, .start = start, .first_step = 4});
    CHECK((draws.state - right).norm() < 20 * std::numeric_limits<T>::epsilon() * right.norm());
    CHECK(draws.next_step == 5);
  });
}

TEMPLATE_TEST_CASE("The stationary variance of Langevin on a harmonic energy is τ/(1 − h/2)", "[long]", double, float) {
  using T = TestType;
  on_both_paths<2>([](auto x, auto) { return 0.5 * squared_norm(x); },
                   [](const auto& model) {
                     for (const double h : {0.1, 0.5, 1.0, 1.5})
                       for (const double temperature : {1.0, 3.0}) {
                         INFO("step " << h << ", temperature " << temperature);
                         const Index chains = 20000;
                         // From N(0, 1): the memory of the start falls like (1 − h)^(2 · steps) ≤ 5·10⁻⁸.
                         const auto draws = sm::sample<T>(model, sm::langevin{.step = h, .temperature = temperature},
                                                          {.chains = chains, .steps = 80, .seed = 3});
                         // The bias is told from 10 % on: 1/(1 − h/2) − 1 is 5 % at h = 0.1, and 33 % at 0.5.
                         CHECK(draws.status == (h < 0.2 ? sm::SampleStatus::complete : sm::SampleStatus::biased));
                         const double count = 2.0 * static_cast<double>(chains), right = temperature / (1 - h / 2);
                         const double variance =
                             draws.state.template cast<double>().squaredNorm() / count;  // the mean is known: 0
                         CHECK(std::abs(variance / right - 1) < limit * std::sqrt(2 / count));
                         CHECK(std::abs(draws.state.template cast<double>().mean()) < limit * std::sqrt(right / count));
                       }
                   });
}

TEST_CASE("An energy, a score and a user's class of one density walk alike") {
  const sm::SampleOptions options{.chains = 20, .steps = 15, .seed = 6};
  const sm::langevin kernel{.step = 0.2};
  const MatrixXd energy = sm::sample(harmonic(2), kernel, options).state;
  const MatrixXd score = sm::sample(sm::score_model(2, [](auto x, auto) { return -x; }), kernel, options).state;
  const MatrixXd user = sm::sample(HarmonicScoreClass{}, kernel, options).state;
  CHECK((energy - score).norm() < 1e-13 * energy.norm());
  CHECK((energy - user).norm() < 1e-13 * energy.norm());

  const sm::mala adjusted{.step = 0.1};
  const auto formula = sm::sample(double_well(), adjusted, options),
             written = sm::sample(DoubleWellClass{}, adjusted, options);
  CHECK((formula.state - written.state).norm() < 1e-10 * formula.state.norm());
  CHECK(formula.acceptance == written.acceptance);
  const sm::langevin small{.step = 0.02};
  const MatrixXd a = sm::sample(double_well(), small, options).state,
                 b = sm::sample(DoubleWellClass{}, small, options).state;
  CHECK((a - b).norm() < 1e-9 * a.norm());
}

// --- Metropolis-adjusted Langevin: exact for every step ---

TEST_CASE("MALA keeps the double well, at several temperatures", "[long]") {
  const auto well = [](double x) { return 2 * std::pow(x * x - 1, 2); };
  for (const double temperature : {1.0, 2.0, 0.5})
    for (const double h : {0.02, 0.1, 0.3})
      check_exact(double_well(), {.step = h, .temperature = temperature},
                  InverseOfDistribution(well, temperature, -4, 4), moments);
  check_exact<float>(double_well(), {.step = 0.1, .temperature = 2}, InverseOfDistribution(well, 2, -4, 4), moments);
  check_exact(DoubleWellClass{}, {.step = 0.1}, InverseOfDistribution(well, 1, -4, 4), moments);
}

TEST_CASE("MALA keeps the energy's density even where the drift is not its gradient") {
  const auto well = [](double x) { return 2 * std::pow(x * x - 1, 2); };
  for (const double temperature : {1.0, 2.0})
    check_exact(DoubleWellClass{.wrong_slope = true}, {.step = 0.1, .temperature = temperature},
                InverseOfDistribution(well, temperature, -4, 4), moments);
}

TEST_CASE("MALA keeps a mixture of Gaussians in two dimensions") {
  on_both_paths<2>(mixture_formula, [](const auto& model) {
    for (const double h : {0.1, 0.5, 1.2}) check_exact(model, {.step = h}, draw_gaussian_mixture, moments);
  });
}

TEST_CASE("MALA keeps Student's t", "[long]") {
  // exp(−f) is t with ν = 5 degrees of freedom; exp(−f/τ), τ = 3/2, is √(5/3) times t with (ν + 1)/τ − 1 = 3.
  const auto model = sm::energy_model(1, [](auto x, auto) { return 3 * log1p(square(x[0]) / 5); });
  const auto student = [](int degrees, double scale) {
    return [=](sm::Stream& stream) -> VectorXd {
      return scale * stream.normals(1) / (stream.normals(degrees).norm() / std::sqrt(static_cast<double>(degrees)));
    };
  };
  for (const double h : {0.5, 2.0}) {
    check_exact(model, {.step = h}, student(5, 1), bounded);
    check_exact(model, {.step = h, .temperature = 1.5}, student(3, std::sqrt(5.0 / 3)), bounded);
  }
}

TEST_CASE("MALA respects a wall of non-finite energies, and counts what ran into it") {
  const Index chains = 3000;
  // (1 − x²)² on (−1, 1): the logarithm of a negative number is NaN.
  const auto model = sm::energy_model(1, [](auto x, auto) { return -2 * log(1 - square(x[0])); });
  const InverseOfDistribution inside([](double x) { return -2 * std::log(1 - x * x); }, 1, -1, 1);
  check_exact(model, {.step = 0.1}, inside, moments);

  const MatrixXd start = sm::ChainStart(inside).points(1, chains, 2);
  const auto draws =
      sm::sample(model, sm::mala{.step = 0.1}, {.chains = chains, .steps = 1, .seed = 8, .start = start});
  const MatrixXd score = (-4 * start.array() / (1 - start.array().square())).matrix();
  const MatrixXd proposal = start + 0.1 * score + std::sqrt(0.2) * noise_of<double>(8, 0, 1, chains);
  CHECK(draws.non_finite == (proposal.array().abs() >= 1).count());
  CHECK(draws.non_finite > 0);
  CHECK(draws.evidence.find("too few steps to tell") == 0);  // and nothing else
  CHECK(draws.lost_chains == 0);

  // +∞ outside a box, in a user's class.
  const MatrixXd within = 0.9 * MatrixXd::Random(2, chains);
  const auto boxed =
      sm::sample(Box{}, sm::mala{.step = 0.2}, {.chains = chains, .steps = 30, .thin = 1, .seed = 8, .start = within});
  CHECK(boxed.points.cwiseAbs().maxCoeff() < 1);
  CHECK(boxed.non_finite > 0);
  // A flat energy rejects for the wall alone.
  CHECK(boxed.acceptance.sum() * 30 + static_cast<double>(boxed.non_finite) ==
        Approx(30.0 * static_cast<double>(chains)).epsilon(1e-14));
  // Uniform on the box: the mean of x² is ⅓, its variance 4/45.
  CHECK(std::abs(boxed.state.squaredNorm() / (2.0 * chains) - 1.0 / 3) < limit * std::sqrt(4.0 / 45 / (2.0 * chains)));
}

// --- what a call takes and returns ---

TEST_CASE("Chains start at given points, at draws of a distribution, or at N(0, I)") {
  const sm::langevin still{.step = 1e-300};  // moves nothing
  const auto begin_at = [&](const sm::ChainStart& start) {
    return sm::sample(harmonic(2), still, {.chains = 70, .steps = 1, .seed = 4, .start = start}).state;
  };
  const MatrixXd points = MatrixXd::Random(2, 70);
  CHECK(begin_at(points) == points);

  MatrixXd usual(2, 70), own(2, 70);
  for (Index c = 0; c < 70; ++c) {
    sm::Stream stream({4, sm::extend::Purpose::chain_start}, c), again = stream;
    usual.col(c) = stream.normals(2);
    own(0, c) = again.uniform();
    own(1, c) = 10 + again.uniform();
  }
  CHECK(begin_at({}) == usual);
  CHECK(begin_at([](sm::Stream& stream) -> VectorXd {
          const double first = stream.uniform();
          return Eigen::Vector2d(first, 10 + stream.uniform());
        }) == own);
}

TEST_CASE("burn_in and thin choose among the states of the same walk, all chains' first state first") {
  const sm::mala kernel{.step = 0.4};
  const Index chains = 67, total = 23;
  const auto all = sm::sample(gaussian_mixture(), kernel, {.chains = chains, .steps = total, .thin = 1, .seed = 1});
  CHECK(all.chains == chains);
  CHECK(all.kept == total);
  REQUIRE(all.points.cols() == chains * total);
  CHECK(all.points.rightCols(chains) == all.state);
  for (const Index c : {0, 5, 66}) {
    const MatrixXd chain = all.chain(c);
    REQUIRE(chain.cols() == total);
    for (Index k = 0; k < total; ++k) CHECK(chain.col(k) == all.points.col(k * chains + c));
  }
  // Neighbours in a chain are close, neighbouring chains are not.
  CHECK((all.chain(0).rightCols(total - 1) - all.chain(0).leftCols(total - 1)).norm() <
        0.8 * (all.chain(0) - all.chain(1)).norm());

  const auto some =
      sm::sample(gaussian_mixture(), kernel, {.chains = chains, .steps = 16, .burn_in = 7, .thin = 5, .seed = 1});
  CHECK(some.kept == 3);  // after 7 + 5, 7 + 10 and 7 + 15 steps
  REQUIRE(some.points.cols() == 3 * chains);
  for (Index k = 0; k < 3; ++k)
    CHECK(some.points.middleCols(k * chains, chains) == all.points.middleCols((7 + 5 * (k + 1) - 1) * chains, chains));
  CHECK(some.state == all.state);  // after 7 + 16 steps
  CHECK(some.acceptance == all.acceptance);
  CHECK(some.next_step == 23);

  const auto last = sm::sample(gaussian_mixture(), kernel, {.chains = chains, .steps = 20, .burn_in = 3, .seed = 1});
  CHECK(last.kept == 1);
  CHECK(last.points == all.state);
}

TEMPLATE_TEST_CASE("Going on from next_step equals never having stopped", "", double, float) {
  using T = TestType;
  const auto network = sm::energy_model(
      3, [](auto x, auto theta) { return sm::mlp(x, theta, {.hidden = {7}, .seed = 2}) + 0.5 * squared_norm(x); });
  const auto check = [&](const auto& kernel) {
    const sm::SampleOptions whole{.chains = 70, .steps = 30, .thin = 1, .seed = 11};
    sm::SampleOptions first = whole, second = whole;
    first.steps = 12;
    second.steps = 18;
    const auto uncut = sm::sample<T>(network, kernel, whole), start = sm::sample<T>(network, kernel, first);
    CHECK(start.next_step == 12);
    second.start = start.state;
    second.first_step = start.next_step;
    const auto rest = sm::sample<T>(network, kernel, second);
    CHECK(rest.next_step == 30);
    CHECK(same_bits<T>(uncut.points.leftCols(12 * 70), start.points));
    CHECK(same_bits<T>(uncut.points.rightCols(18 * 70), rest.points));
    CHECK(same_bits<T>(uncut.state, rest.state));
    CHECK((30 * uncut.acceptance - 12 * start.acceptance - 18 * rest.acceptance).norm() < 1e-12);
    second.first_step = 0;  // with the noise of the first steps again it would differ
    CHECK(!same_bits<T>(uncut.state, sm::sample<T>(network, kernel, second).state));
  };
  check(sm::langevin{.step = 0.1});
  check(sm::mala{.step = 0.4});
}

TEMPLATE_TEST_CASE("A chain's draws do not depend on how many others run", "", double, float) {
  using T = TestType;
  const auto network = sm::energy_model(4, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {16, 16}, .seed = 2}) + 0.5 * squared_norm(x);
  });
  const auto draws = [](const auto& model, const auto& kernel, Index chains) {
    return sm::sample<T>(model, kernel, {.chains = chains, .steps = 10, .seed = 11}).state;
  };
  const sm::Matrix<T> unadjusted = draws(gaussian_mixture(), sm::langevin{.step = 0.1}, 130);
  const sm::Matrix<T> adjusted = draws(gaussian_mixture(), sm::mala{.step = 0.4}, 130);
  const sm::Matrix<T> by_network = draws(network, sm::langevin{.step = 0.1}, 130);
  for (const Index chains : {1, 3, 10, 64, 65}) {
    INFO(chains << " chains");
    CHECK(same_bits<T>(draws(gaussian_mixture(), sm::langevin{.step = 0.1}, chains), unadjusted.leftCols(chains)));
    CHECK(same_bits<T>(draws(gaussian_mixture(), sm::mala{.step = 0.4}, chains), adjusted.leftCols(chains)));
    // Eigen's matrix product rounds by the number of rows.
    CHECK((draws(network, sm::langevin{.step = 0.1}, chains) - by_network.leftCols(chains)).norm() <
          50 * std::numeric_limits<T>::epsilon() * by_network.norm());
  }
}

TEST_CASE("Other seeds, other draws; the same seed, the same") {
  const sm::langevin kernel{.step = 0.1};
  const MatrixXd first = sm::sample(harmonic(2), kernel, {.chains = 9, .steps = 3, .seed = 1}).state;
  CHECK(first == sm::sample(harmonic(2), kernel, {.chains = 9, .steps = 3, .seed = 1}).state);
  CHECK(first != sm::sample(harmonic(2), kernel, {.chains = 9, .steps = 3, .seed = 2}).state);
}

TEST_CASE("The progress callback sees the steps go by, and can stop") {
  const sm::mala kernel{.step = 0.3};
  sm::SampleOptions options{.chains = 70, .steps = 200, .burn_in = 50, .thin = 10, .seed = 1};
  const auto silent = sm::sample(gaussian_mixture(), kernel, options);

  std::vector<Index> seen;
  double acceptance = 0;
  options.progress = [&](const sm::Progress& p) {
    CHECK(std::string(p.task) == "sample");
    CHECK(p.of == 250);
    CHECK(p.done <= 250);
    if (!seen.empty()) CHECK(p.done > seen.back());
    seen.push_back(p.done);
    acceptance = p.value;
    return true;
  };
  const auto watched = sm::sample(gaussian_mixture(), kernel, options);
  CHECK(seen.size() > 10);
  REQUIRE(!seen.empty());
  CHECK(seen.back() == 250);
  CHECK(acceptance == Approx(watched.acceptance.mean()).epsilon(0.05));
  CHECK(watched.status == silent.status);
  CHECK(same_bits<double>(watched.points, silent.points));

  options.progress = [](const sm::Progress& p) { return p.done < 100; };
  const auto stopped = sm::sample(gaussian_mixture(), kernel, options);
  CHECK(stopped.status == sm::SampleStatus::stopped);
  CHECK(std::string(sm::to_string(stopped.status)) == "stopped");
  const Index done = static_cast<Index>(stopped.next_step);
  CHECK(done >= 100);
  CHECK(done < 250);
  CHECK(stopped.kept == (done - 50) / 10);
  REQUIRE(stopped.points.cols() == stopped.kept * 70);
  CHECK(same_bits<double>(stopped.points, silent.points.leftCols(stopped.points.cols())));
  const auto rest = sm::sample(
      gaussian_mixture(), kernel,
      {.chains = 70, .steps = 250 - done, .seed = 1, .start = stopped.state, .first_step = stopped.next_step});
  CHECK(same_bits<double>(rest.state, silent.state));

  // Stopped during the burn-in: nothing is kept, but the state is there.
  options.progress = [](const sm::Progress&) { return false; };
  const auto early = sm::sample(gaussian_mixture(), kernel, options);
  CHECK(early.status == sm::SampleStatus::stopped);
  CHECK(early.kept == 0);
  CHECK(early.points.cols() == 0);
  CHECK(early.state.cols() == 70);
}

TEST_CASE("Unadjusted chains that leave the finite numbers are counted, and stay where they last were") {
  const auto quartic = sm::energy_model(1, [](auto x, auto) { return 0.25 * pow(x[0], 4); });
  const sm::langevin kernel{.step = 0.1};
  MatrixXd start(1, 4);
  start << 0.1, 100, -0.3, 0.5;  // 100 − 0.1 · 100³ and away
  const auto draws = sm::sample(quartic, kernel, {.chains = 4, .steps = 50, .thin = 1, .seed = 2, .start = start});
  CHECK(draws.status == sm::SampleStatus::diverged);
  CHECK(draws.lost_chains == 1);
  CHECK(draws.non_finite == 1);
  CHECK(draws.points.allFinite());
  CHECK(draws.state.allFinite());
  CHECK(std::abs(draws.state(0, 1)) > 1e100);
  CHECK(draws.acceptance[1] < 0.5);
  CHECK(draws.chain(1).col(40) == draws.chain(1).col(49));
  for (const Index c : {0, 2, 3}) CHECK(draws.acceptance[c] == 1);

  start(0, 1) = 0.2;  // the others do not care
  const auto tame = sm::sample(quartic, kernel, {.chains = 4, .steps = 50, .thin = 1, .seed = 2, .start = start});
  CHECK(tame.status == sm::SampleStatus::not_converged);  // 50 steps of 0.1 forget no start
  CHECK(tame.lost_chains == 0);
  CHECK(tame.non_finite == 0);
  for (const Index c : {0, 2, 3}) CHECK(same_bits<double>(tame.chain(c), draws.chain(c)));

  // A step beyond 2/curvature: every chain diverges, and no exception.
  const auto lost = sm::sample<float>(harmonic(2), sm::langevin{.step = 3}, {.chains = 10, .steps = 400});
  CHECK(lost.status == sm::SampleStatus::diverged);
  CHECK(lost.lost_chains == 10);
  CHECK(lost.state.allFinite());
}

TEST_CASE("A sampler none of whose proposals is accepted is stuck") {
  const auto quartic = sm::energy_model(1, [](auto x, auto) { return 0.25 * pow(x[0], 4); });
  const MatrixXd start = MatrixXd::Constant(1, 5, 100.0);
  const auto draws = sm::sample(quartic, sm::mala{.step = 0.1}, {.chains = 5, .steps = 20, .start = start});
  CHECK(draws.status == sm::SampleStatus::stuck);
  CHECK(draws.acceptance.maxCoeff() == 0);
  CHECK(draws.state == start);
  CHECK(draws.non_finite == 0);
  CHECK(std::string(sm::to_string(draws.status)) == "stuck");

  // Outside the wall nothing moves either: the energy is not a number there.
  const auto walled = sm::energy_model(1, [](auto x, auto) { return -log(1 - square(x[0])); });
  const auto outside =
      sm::sample(walled, sm::mala{.step = 0.1}, {.chains = 5, .steps = 20, .start = MatrixXd::Constant(1, 5, 2.0)});
  CHECK(outside.status == sm::SampleStatus::stuck);
  CHECK(outside.state == MatrixXd::Constant(1, 5, 2.0));
}

// --- what is no good run ---

TEST_CASE("A step beyond 2/curvature is divergence, in any unit and long before overflow") {
  using sm::SampleStatus;
  for (const double unit : {1e-9, 1.0, 1e9}) {
    const auto model = sm::energy_model(2, [unit](auto x, auto) { return 0.5 * squared_norm(x / unit); });
    const MatrixXd start = unit * normal_points(2, 100);
    const auto run = [&](double h, Index steps) {
      return sm::sample(model, sm::langevin{.step = h * unit * unit}, {.chains = 100, .steps = steps, .start = start});
    };
    for (const Index steps : {10, 100, 1000}) {
      CAPTURE(unit, steps);
      const auto draws = run(3, steps);
      CHECK(draws.status == SampleStatus::diverged);
      CHECK(draws.lost_chains == 100);
      CHECK(draws.failed_share() == 1);
      CHECK(draws.evidence.find("100 of 100 chains (100 %)") == 0);
      CHECK(draws.evidence.find("(take a smaller step)") != std::string::npos);
      CHECK(run(1.9, steps).status == SampleStatus::biased);  // a variance 20 times too large, and stationary
    }
    CHECK(run(3, 5).status == SampleStatus::diverged);
    CHECK(run(2.05, 300).status == SampleStatus::diverged);
  }
  // One stiff direction among others suffices; so does float, and a class that knows its score alone.
  const auto stiff =
      sm::energy_model(3, [](auto x, auto) { return 0.5 * (square(x[0]) + square(x[1]) + 1e6 * square(x[2])); });
  CHECK(sm::sample(stiff, sm::langevin{.step = 2.5e-6}, {.chains = 20, .steps = 200}).status == SampleStatus::diverged);
  // Stable, but 10⁶ steps are one relaxation of the others.
  CHECK(sm::sample(stiff, sm::langevin{.step = 1.5e-6}, {.chains = 20, .steps = 200}).status ==
        SampleStatus::not_converged);
  const auto single = sm::sample<float>(harmonic(2), sm::langevin{.step = 2.5}, {.chains = 20, .steps = 60});
  CHECK(single.status == SampleStatus::diverged);
  CHECK(single.state.allFinite());
  CHECK(sm::sample(HarmonicScoreClass{}, sm::langevin{.step = 2.2}, {.chains = 20, .steps = 200}).lost_chains == 20);
}

TEST_CASE("Chains far out, of heavy tails or far from the origin, have not diverged") {
  using sm::SampleStatus;
  for (const double unit : {1e-9, 1.0, 1e9}) {
    CAPTURE(unit);
    // Student's t with 1.5 degrees of freedom has no variance
    const auto model = sm::energy_model(1, [unit](auto x, auto) { return 1.25 * log1p(square(x[0] / unit) / 1.5); });
    for (const double spread : {1.0, 1e3, 1e6}) {
      CAPTURE(spread);
      const MatrixXd start = spread * unit * normal_points(1, 200);
      const sm::SampleOptions options{.chains = 200, .steps = 500, .start = start};
      // From its own spread MALA is right, and the unadjusted step shows; from far out neither arrives.
      CHECK(sm::sample(model, sm::langevin{.step = 0.5 * unit * unit}, options).status ==
            (spread == 1 ? SampleStatus::biased : SampleStatus::not_converged));
      CHECK(sm::sample(model, sm::mala{.step = 2 * unit * unit}, options).status ==
            (spread == 1 ? SampleStatus::complete : SampleStatus::not_converged));
    }
  }
  const auto far = sm::energy_model(1, [](auto x, auto) { return 0.5 * square(x[0] - 1e6); });
  const MatrixXd there = normal_points(1, 200).array() + 1e6;
  CHECK(sm::sample(far, sm::langevin{.step = 0.1}, {.chains = 200, .steps = 400, .start = there}).status ==
        SampleStatus::complete);
  for (const Index steps : {200, 400}) {  // all the way from 0
    const auto ula = sm::sample(far, sm::langevin{.step = 0.1}, {.chains = 200, .steps = steps});
    const auto mala = sm::sample(far, sm::mala{.step = 0.1}, {.chains = 200, .steps = steps});
    CHECK(ula.status == SampleStatus::complete);
    CHECK(mala.status == SampleStatus::complete);
    CHECK(ula.evidence.empty());
  }
}

TEST_CASE("Chains that no law holds are drifting, or diverge") {
  using sm::SampleStatus;
  const auto linear = sm::energy_model(3, [](auto x, auto) { return x[0] - 0.5 * x[2] + 0.5 * square(x[1]); });
  for (const Index steps : {400, 2000}) {
    const auto ula = sm::sample(linear, sm::langevin{.step = 0.02}, {.chains = 300, .steps = steps});
    const auto mala = sm::sample(linear, sm::mala{.step = 0.02}, {.chains = 300, .steps = steps});
    CHECK(ula.status == SampleStatus::drifting);
    CHECK(ula.drifting_chains == 300);
    CHECK(std::string(sm::to_string(ula.status)) == "drifting");
    CHECK(ula.evidence.find("normalisable") != std::string::npos);
    CHECK(mala.status == SampleStatus::drifting);
  }
  // A force outwards: from the origin to both sides, so that the chains' mean tells nothing.
  const auto away = sm::energy_model(1, [](auto x, auto) { return -0.5 * square(x[0]); });
  const auto ran = sm::sample(away, sm::langevin{.step = 0.02}, {.chains = 50, .steps = 1000});
  CHECK(ran.status == SampleStatus::diverged);
  CHECK(ran.lost_chains == 50);
  CHECK(ran.state.allFinite());
  CHECK(ran.evidence.find("run away") != std::string::npos);
  // Not yet there, and still going.
  const auto far = sm::energy_model(1, [](auto x, auto) { return 0.5 * square(x[0] - 1e6); });
  CHECK(sm::sample(far, sm::langevin{.step = 0.001}, {.chains = 50, .steps = 200}).status == SampleStatus::drifting);
}

TEST_CASE("Metropolis chains that never moved, or came to rest, are counted and told") {
  using sm::SampleStatus;
  for (const Index steps : {20, 1000}) {
    const auto large = sm::sample(harmonic(2), sm::mala{.step = 100}, {.chains = 400, .steps = steps});
    CHECK(large.status == SampleStatus::stuck);
    CHECK(large.never_moved > 200);
    CHECK(large.never_moved == (large.acceptance.array() == 0).count());
    CHECK(large.failed_chains >= large.never_moved);
    CHECK(large.evidence.find("never moved") != std::string::npos);
  }
  // Some chains alone: in the tails of the double well every proposal overshoots.
  MatrixXd start = MatrixXd::Constant(1, 200, 0.9);
  start.leftCols(3).setConstant(3);
  const auto some = sm::sample(double_well(), sm::mala{.step = 0.1}, {.chains = 200, .steps = 500, .start = start});
  CHECK(some.status == SampleStatus::stuck);
  CHECK(some.never_moved == 3);
  CHECK(some.failed_share() == Approx(0.015));
  CHECK(some.evidence.find("3 of 200 chains (1.5 %) never moved") == 0);
  // In a single step, or few, chance leaves some where they were.
  for (const Index steps : {1, 5})
    CHECK(sm::sample(gaussian_mixture(), sm::mala{.step = 1.5}, {.chains = 500, .steps = steps})
              .evidence.find("too few") == 0);

  const auto trapped =
      sm::sample(Trap{}, sm::mala{.step = 0.1}, {.chains = 50, .steps = 500, .start = MatrixXd::Constant(1, 50, -1.0)});
  CHECK(trapped.never_moved == 0);
  CHECK(trapped.came_to_rest > 40);
  CHECK(trapped.status == SampleStatus::stuck);
  CHECK(trapped.evidence.find("second half") != std::string::npos);
}

TEST_CASE("Starts and ends where the energy is not finite are in the verdict") {
  using sm::SampleStatus;
  const MatrixXd start = normal_points(1, 400);
  const Index wrong = (start.array() <= 0).count();
  const auto given = sm::sample(gamma_law(), sm::mala{.step = 0.2}, {.chains = 400, .steps = 300, .start = start});
  CHECK(given.status == SampleStatus::stuck);
  CHECK(given.bad_starts == wrong);
  CHECK(given.outside_chains == wrong);
  CHECK(given.never_moved >= wrong);
  CHECK(given.evidence.find("started where the energy is not finite") != std::string::npos);
  // An unadjusted step crosses the wall: what ends beyond it is told.
  const auto ula = sm::sample(gamma_law(), sm::langevin{.step = 0.05}, {.chains = 400, .steps = 300, .start = start});
  CHECK(ula.status == SampleStatus::outside);
  CHECK(ula.outside_chains == (ula.state.array() <= 0).count());
  CHECK(ula.failed_chains == ula.outside_chains);
  CHECK(ula.lost_chains == 0);
  CHECK(ula.evidence.find("take mala") != std::string::npos);
}

TEST_CASE("The usual starts are such that chains can leave them, and have an energy") {
  using sm::SampleStatus;
  // E x² of independent chains, each check |z| < 4
  const auto check = [](const sm::EnergyModel& model, double step, double (*f)(double)) {
    const auto draws = sm::sample(model, sm::mala{.step = step}, {.chains = 1000, .steps = 400, .seed = 1});
    CHECK(draws.status == SampleStatus::complete);
    CHECK(draws.never_moved == 0);
    const Eigen::ArrayXd squares = draws.state.row(0).transpose().array().square();
    const double error = std::sqrt((squares - squares.mean()).square().mean() / 1000);
    CAPTURE(step, squares.mean(), error);
    CHECK(std::abs(squares.mean() - second_moment(f)) < limit * error);
  };
  check(double_well(), 0.1, [](double x) { return 2 * std::pow(x * x - 1, 2); });
  check(sm::energy_model(1, [](auto x, auto) { return 5 * pow(x[0], 6); }), 0.1,
        [](double x) { return 5 * std::pow(x, 6); });
  check(sm::energy_model(1, [](auto x, auto) { return exp(square(2 * x[0])); }), 0.02,
        [](double x) { return std::exp(4 * x * x); });

  const auto positive = sm::sample(gamma_law(), sm::mala{.step = 0.5}, {.chains = 1000, .steps = 400});
  CHECK(positive.status == SampleStatus::complete);
  CHECK(positive.bad_starts == 0);
  CHECK(positive.state.minCoeff() > 0);
  CHECK(std::abs(positive.state.mean() - 3) < limit * std::sqrt(3.0 / 1000));

  // A start that a step can leave stays as it was drawn.
  const auto still = sm::sample(harmonic(2), sm::mala{.step = 1e-300}, {.chains = 70, .steps = 1, .seed = 4});
  const auto drawn = sm::sample(harmonic(2), sm::langevin{.step = 1e-300}, {.chains = 70, .steps = 1, .seed = 4});
  CHECK(still.state == drawn.state);
}

TEST_CASE("Numbers of steps beyond what can be counted are refused") {
  using Catch::Matchers::ContainsSubstring;
  const Index huge = Index{1} << 62;
  const auto sample = [](const sm::SampleOptions& options) {
    return sm::sample(harmonic(2), sm::langevin{}, options).next_step;
  };
  CHECK_THROWS_WITH(sample({.steps = huge, .burn_in = huge}), ContainsSubstring("steps is 4611686018427387904"));
  CHECK_THROWS_WITH(sample({.steps = 1, .burn_in = huge}), ContainsSubstring("burn_in is 4611686018427387904"));
  CHECK_THROWS_WITH(sample({.chains = huge, .steps = 1}), ContainsSubstring("chains is 4611686018427387904"));
  CHECK_THROWS_WITH(sample({.chains = Index{1} << 30, .steps = Index{1} << 39, .thin = 1}),
                    ContainsSubstring("do not fit into memory"));
  CHECK_THROWS_WITH(sample({.chains = 1, .steps = 1, .first_step = std::uint64_t{1} << 63}),
                    ContainsSubstring("first_step is 9223372036854775808"));
  CHECK_THROWS_WITH(sample({.chains = 1, .steps = 2, .first_step = (std::uint64_t{1} << 40) - 1}),
                    ContainsSubstring("below 2^40"));
}
