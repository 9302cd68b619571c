// One call, nothing to tune: what a warm-up learns, and what runs of chains are told apart by.
//
// False alarms: figures are seeded; statuses of right runs are judged by thresholds of 1e-6 a coordinate.
#include "catch.hpp"

#include <Eigen/LU>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "scorematch/diagnostics/convergence.hpp"
#include "scorematch/diagnostics/summary.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/sampler/adaptation.hpp"
#include "scorematch/sampler/barker.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/parallel_tempering.hpp"
#include "scorematch/sampler/sample.hpp"

#include "fixtures.hpp"

namespace sm = scorematch;
using Catch::Contains;
using Eigen::Index;

namespace {

/// x or −x, as a coin falls: exact for a law that is symmetric, and never elsewhere.
struct Flip {
  static constexpr bool adjusted = true, keeps_score = true;
  void validate() const {}
  template <class T>
  void start(sm::extend::Target<T>& target, sm::extend::Chains<T>& chains) const {
    target.energy_and_score(chains.X, chains.f, chains.S);
  }
  template <class T>
  void advance(sm::extend::Target<T>&, sm::extend::Chains<T>& chains, const sm::extend::ChainNoise& noise) const {
    chains.u.resize(chains.X.rows());
    noise.uniforms(chains.u);
    for (Index i = 0; i < chains.X.rows(); ++i) {
      if (chains.u[i] < T(0.5)) continue;
      chains.X.row(i) *= T(-1);
      chains.S.row(i) *= T(-1);
      chains.accepted[i] += 1;
    }
  }
};

/// N(mean, precision⁻¹), as a user's class.
struct Normal {
  Eigen::VectorXd mean;
  Eigen::MatrixXd precision;
  Index dimension() const { return mean.size(); }
  void energy(sm::InputPoints X, sm::OutputNumbers f) const {
    const Eigen::MatrixXd way = X.colwise() - mean;
    f = 0.5 * (way.array() * (precision * way).array()).colwise().sum().transpose();
  }
  void gradient(sm::InputPoints X, sm::OutputPoints G) const { G = precision * (X.colwise() - mean); }
};

sm::EnergyModel standard_normal(Index d) {
  return sm::energy_model(d, [](auto x, auto) { return 0.5 * sum(x * x); });
}

/// Wells at ±2, each some 0.1 wide.
sm::EnergyModel two_wells() {
  return sm::energy_model(2, [](auto x, auto) { return 4.0 * square(x[0] * x[0] - 4.0) + 0.5 * x[1] * x[1]; });
}

bool same_bits(const Eigen::MatrixXd& a, const Eigen::MatrixXd& b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), sizeof(double) * static_cast<std::size_t>(a.size())) == 0;
}

}  // namespace

TEST_CASE("The metric of independent normal coordinates is exact from two draws on") {
  const Eigen::RowVectorXd mean = (Eigen::RowVectorXd(4) << 1e6, 0, -3, 1e-9).finished(),
                           variance = (Eigen::RowVectorXd(4) << 1e-6, 4, 1e12, 1e-18).finished();
  sm::sampling::Window window(2, 4);
  for (const double shift : {0.3, -1.1}) {
    const Eigen::RowVectorXd way = shift * variance.array().sqrt() * Eigen::RowVectorXd::LinSpaced(4, 1, 2).array();
    window.add<double>(mean + way, -(way.array() / variance.array()).matrix(), 0, false);
  }
  const auto learned = sm::sampling::MetricLearner::learn(window, sm::Metric::Form::diagonal);
  const Eigen::VectorXd found = learned.metric.covariance(4).diagonal();
  // The means take digits from the draws: 1e6 beside 1e-3 leaves seven of them.
  for (Index j = 0; j < 4; ++j) CHECK(found[j] == Approx(variance[j]).epsilon(1e-6));
  CHECK(found[1] == Approx(4).epsilon(1e-12));
}

TEST_CASE("The metric of a correlated normal law is exact, dense and of low rank") {
  constexpr Index d = 5, n = 40;
  Eigen::MatrixXd root = Eigen::MatrixXd::Identity(d, d);
  root(3, 0) = 0.9;
  root(4, 1) = -2.5;
  const Eigen::MatrixXd covariance = root * root.transpose(), precision = covariance.inverse();
  sm::Stream stream({5, sm::extend::Purpose::user}, 0);
  for (const auto form : {sm::Metric::Form::dense, sm::Metric::Form::low_rank}) {
    sm::sampling::Window window(n, d);
    for (Index i = 0; i < n; ++i) {
      const Eigen::VectorXd x = root * stream.normals(d);
      window.add<double>(x.transpose(), -(precision * x).transpose(), 0, i % 2 == 0);
    }
    const auto learned = sm::sampling::MetricLearner::learn(window, form);
    const double error = (learned.metric.covariance(d) - covariance).cwiseAbs().maxCoeff();
    CHECK(learned.metric.form() == form);
    if (form == sm::Metric::Form::dense) CHECK(error < 1e-3);  // what is added to both covariances, 1e-5
  }
}

TEST_CASE("A metric maps points and scores there and back") {
  sm::Stream stream({6, sm::extend::Purpose::user}, 0);
  constexpr Index d = 4, rows = 16;
  const Eigen::MatrixXd X = stream.normals(rows * d).reshaped(rows, d), S = stream.normals(rows * d).reshaped(rows, d);
  const Eigen::VectorXd deviations = Eigen::Vector4d(1e-3, 1, 7, 1e5);
  const Eigen::VectorXd stretch = Eigen::VectorXd::Constant(1, 9);
  const Eigen::MatrixXd direction = Eigen::Vector4d(0.5, 0.5, 0.5, 0.5);
  Eigen::MatrixXd half = stream.normals(d * d).reshaped(d, d);
  half.diagonal().array() += 4;
  for (const sm::Metric& metric : {sm::Metric(), sm::Metric::diagonal(deviations),
                                   sm::Metric::low_rank(Eigen::Vector4d(0.5, 1, 7, 20), direction, stretch),
                                   sm::Metric::dense(half * half.transpose())}) {
    const sm::sampling::MetricMap<double> map(metric);
    Eigen::MatrixXd Y, there, S_y, back;
    map.to_y(X, Y);
    map.to_x(Y, there);
    map.score_to_y(S, S_y);
    map.score_to_x(S_y, back);
    INFO(metric.text());
    CHECK((there - X).norm() < 1e-10 * X.norm());
    CHECK((back - S).norm() < 1e-10 * S.norm());
    // ds = s·dx = s_y·dy, and A Aᵀ is the covariance: Aᵀ(A Aᵀ)⁻¹A = I
    CHECK(std::abs((S.array() * X.array()).sum() - (S_y.array() * Y.array()).sum()) < 1e-8);
    const Eigen::MatrixXd covariance = metric.covariance(d);
    CHECK(((X * covariance.inverse()).array() * X.array()).sum() ==
          Approx((Y.array() * Y.array()).sum()).epsilon(1e-6));
  }
}

TEST_CASE("Dual averaging finds the step of a known acceptance") {
  sm::sampling::StepSearch search(1e-6, 0.7);
  double step = 1e-6;
  for (int t = 0; t < 50; ++t) step = search.next(1 / (1 + step));  // 0.7 at 3/7
  search.restart(search.found());                                   // as after a window
  for (int t = 0; t < 250; ++t) step = search.next(1 / (1 + step));
  CHECK(search.found() == Approx(3.0 / 7).epsilon(0.05));
}

TEST_CASE("One call samples raw scales and offsets, from N(0, I), and says complete") {
  Normal raw;
  raw.mean = Eigen::Vector4d(1e6, 4202, -3e-5, 0);
  const Eigen::Vector4d deviations(1, 800, 1e-6, 1e5);
  raw.precision = deviations.array().square().inverse().matrix().asDiagonal();
  const auto draws = sm::sample(raw, {.chains = 64, .steps = 500});
  INFO(draws.text());
  CHECK(draws.status == sm::SampleStatus::complete);
  CHECK(draws.acceptance.mean() > 0.6);
  for (Index j = 0; j < 4; ++j) {
    const Eigen::ArrayXd z = (draws.points.row(j).array() - raw.mean[j]) / deviations[j];
    CHECK(std::abs(z.mean()) < 0.05);
    CHECK(std::abs(z.square().mean() - 1) < 0.05);
  }
  CHECK(draws.energies.size() == draws.points.cols());
  for (Index i = 0; i < 64; ++i) {
    const Eigen::Vector4d way = (draws.points.col(i) - raw.mean).cwiseQuotient(deviations);
    CHECK(draws.energies[i] == Approx(0.5 * way.squaredNorm()).epsilon(1e-6));
  }
  CHECK(draws.divergent == 0);
  // Of a normal law in four dimensions with momenta drawn anew each step, energies move freely.
  const auto energies = Eigen::Map<const Eigen::MatrixXd>(draws.energies.data(), 64, draws.kept).transpose();
  CHECK(sm::diagnostics::e_bfmi(energies).value > 0.3);
  const std::string table = draws.summary({"far", "mass", "small", "wide"}).text();
  CHECK_THAT(table, Contains("mass") && Contains("42") && Contains("R-hat"));
  // What was found goes on in a later call.
  const auto more = sm::sample(raw, sm::hmc{.step = draws.step, .leapfrogs = draws.leapfrogs},
                               {.chains = 64,
                                .steps = 100,
                                .thin = 1,
                                .start = draws.state,
                                .first_step = draws.next_step,
                                .metric = draws.metric});
  CHECK(more.status == sm::SampleStatus::complete);
  CHECK(std::abs(more.acceptance.mean() - draws.acceptance.mean()) < 0.05);
}

TEST_CASE("A run goes on bit for bit where it stopped, with its momenta, replicas, metric and kernel") {
  const auto law = standard_normal(3);
  const sm::SampleOptions whole = {.chains = 70, .steps = 60, .burn_in = 4, .warm_up = 40, .thin = 2, .seed = 5};
  sm::SampleOptions half = whole;
  half.steps = 30;
  const auto check = [&](const char* name, auto all, auto first) {
    INFO(name);
    const auto rest = sm::sample(law, {.steps = 30, .thin = 2, .resume = first.resume_point});
    const Eigen::Index split = first.points.cols();
    CHECK(all.points.leftCols(split) == first.points);
    CHECK(all.points.rightCols(split) == rest.points);
    CHECK(all.state == rest.state);
    CHECK(all.next_step == rest.next_step);
    // The chains of a result go on as often as one likes.
    CHECK(sm::sample(law, {.steps = 30, .resume = first.resume_point}).state == rest.state);
  };
  check("the library's choice", sm::sample(law, whole), sm::sample(law, half));
  const auto kernels = [&](const char* name, const auto& kernel) {
    check(name, sm::sample(law, kernel, whole), sm::sample(law, kernel, half));
  };
  kernels("underdamped_langevin", sm::underdamped_langevin{});
  kernels("adjusted_underdamped_langevin", sm::adjusted_underdamped_langevin{});
  kernels("parallel_tempering", sm::parallel_tempering<sm::mala>{.temperatures = 3, .hottest = 5});

  const auto first = sm::sample(law, half);
  fixtures::refuses([&] { (void)sm::sample(law, sm::hmc{}, {.resume = first.resume_point}); }, "without a kernel");
  fixtures::refuses([&] { (void)sm::sample<float>(law, {.resume = first.resume_point}); }, "another arithmetic");
  fixtures::refuses([&] { (void)sm::sample(standard_normal(2), {.resume = first.resume_point}); }, "dimension 3");
  const auto wider = sm::energy_model(3, [](const auto& x, auto) { return 0.25 * squared_norm(x); });
  fixtures::refuses([&] { (void)sm::sample(wider, {.resume = first.resume_point}); }, "another model");
  const auto beside = [&](sm::SampleOptions options, const char* option) {
    options.resume = first.resume_point;
    fixtures::refuses([&] { (void)sm::sample(law, options); }, option, "given beside resume");
  };
  beside({.chains = 71}, "chains");
  beside({.warm_up = 20}, "warm_up");
  beside({.seed = 6}, "seed");
  beside({.start = Eigen::MatrixXd::Zero(3, 70)}, "start");
  beside({.first_step = 9}, "first_step");
  beside({.metric = sm::Metric::diagonal(Eigen::Vector3d::Ones())}, "metric");
  CHECK_NOTHROW(sm::sample(law, {.chains = 70, .steps = 8, .seed = 5, .resume = first.resume_point}));
  half.progress = [](const sm::Progress& now) { return now.done < 10; };
  const auto stopped = sm::sample(law, half);
  CHECK(stopped.status == sm::SampleStatus::stopped);
  fixtures::refuses([&] { (void)sm::sample(law, {.resume = stopped.resume_point}); }, "stopped in the warm-up");
}

TEST_CASE("A kernel that keeps no score learns its metric, too") {
  const auto law =
      sm::energy_model(2, [](const auto& x, auto) { return 0.5 * (square(x[0] / 1000.0) + square(x[1] * 1000.0)); });
  const auto draws = sm::sample(law, sm::langevin{0.1}, {.chains = 64, .steps = 2000, .warm_up = 100});
  INFO(draws.text() << draws.metric.covariance(2));
  CHECK(draws.status == sm::SampleStatus::complete);
  CHECK(draws.metric.covariance(2)(0, 0) == Approx(1e6).epsilon(1e-6));  // exact, by the ratio of draws and scores
  CHECK(draws.metric.covariance(2)(1, 1) == Approx(1e-6).epsilon(1e-6));
}

TEST_CASE("A kernel that is given temperatures has none of its own") {
  const auto law = standard_normal(2);
  const sm::parallel_tempering<sm::mala> warm{.kernel = {.step = 0.1, .temperature = 2}};
  fixtures::refuses([&] { (void)sm::sample(law, warm, {}); }, "own temperature is 2");
}

TEST_CASE("One call samples a hundred and one correlated dimensions with few scores a draw", "[long]") {
  constexpr Index d = 101;  // of which windows of 10 d draws do not fill registers
  Eigen::VectorXd precision(d);
  for (Index j = 0; j < d; ++j) precision[j] = std::pow(1000.0, -static_cast<double>(j) / (d - 1));
  Eigen::MatrixXd Q = Eigen::MatrixXd::Identity(d, d);
  for (int h = 0; h < 5; ++h) {
    Eigen::VectorXd u(d);
    for (Index j = 0; j < d; ++j) u[j] = std::sin(1.7 * static_cast<double>(j * (h + 1)) + h);
    u.normalize();
    Q -= 2 * u * (u.transpose() * Q);
  }
  const Normal law{Eigen::VectorXd::Zero(d), Q.transpose() * precision.asDiagonal() * Q};
  const auto draws = sm::sample(law, {.chains = 64, .steps = 200});
  INFO(draws.text() << draws.metric.text());
  CHECK(draws.status == sm::SampleStatus::complete);
  CHECK(draws.metric.form() == sm::Metric::Form::dense);
  const double per_draw = static_cast<double>(draws.evaluations) / (64.0 * 200);
  CHECK(per_draw < 8);
  const Eigen::MatrixXd error = draws.metric.covariance(d) * law.precision - Eigen::MatrixXd::Identity(d, d);
  CHECK(error.cwiseAbs().maxCoeff() < 0.1);
}

TEST_CASE("A wrong run is told by its status, and a right one passes") {
  const auto law = standard_normal(3);
  SECTION("chains that go round at their own radius, of which the coordinates' means say nothing") {
    const auto draws = sm::sample(standard_normal(1), Flip{}, {.chains = 64, .steps = 500});
    CHECK(draws.status == sm::SampleStatus::not_converged);
    CHECK_THAT(draws.text(), Contains("R-hat of the energy is"));
  }
  SECTION("tails that are crossed slowly") {
    const auto heavy = sm::energy_model(10, [](const auto& x, auto) { return 5.5 * log(1 + dot(x, x)); });
    CHECK(sm::sample(heavy, {.chains = 64, .steps = 500}).status == sm::SampleStatus::not_converged);
  }
  SECTION("an unadjusted step that is too large, seen by four chains") {  // OBABO's variance is 2
    const auto draws = sm::sample(law, sm::underdamped_langevin{std::sqrt(2.0), 1, sm::Splitting::obabo},
                                  {.chains = 4, .steps = 4000, .thin = 1});
    CHECK(draws.status == sm::SampleStatus::biased);
  }
  SECTION("one far start, which the chains do not leave") {
    const auto draws =
        sm::sample(law, sm::mala{1e-7}, {.chains = 64, .steps = 1000, .start = Eigen::MatrixXd::Constant(3, 64, 50.0)});
    CHECK(draws.status != sm::SampleStatus::complete);
    CHECK_THAT(draws.text(), Contains("score of x["));
  }
  SECTION("two chains in different modes") {
    Eigen::MatrixXd start = Eigen::MatrixXd::Zero(2, 2);
    start.row(0) << -2, 2;
    const auto draws = sm::sample(two_wells(), {.chains = 2, .steps = 500, .start = start});
    CHECK(draws.status == sm::SampleStatus::not_converged);
    CHECK_THAT(draws.text(), Contains("R-hat of x[0]"));
  }
  SECTION("an unadjusted step that is too large") {
    const auto draws = sm::sample(law, sm::langevin{0.6}, {.chains = 64, .steps = 1000});
    CHECK(draws.status == sm::SampleStatus::biased);
    CHECK_THAT(draws.text(), Contains("variance that is too large") && Contains("smaller step"));
  }
  SECTION("chains that rest at a point") {
    const auto draws = sm::sample(law, sm::mala{1e6}, {.chains = 16, .steps = 200});
    CHECK(draws.status == sm::SampleStatus::stuck);
  }
  SECTION("other temperatures are laws of their own") {
    for (const double temperature : {0.3, 3.0}) {
      const sm::SampleOptions options{.chains = 200, .steps = 1000};
      CHECK(sm::sample(law, sm::mala{.step = 0.5, .temperature = temperature}, options).status ==
            sm::SampleStatus::complete);
      CHECK(sm::sample(law, sm::langevin{.step = 0.05, .temperature = temperature}, options).status ==
            sm::SampleStatus::complete);
      CHECK(sm::sample(law, sm::langevin{.step = 0.6, .temperature = temperature}, options).status ==
            sm::SampleStatus::biased);
    }
  }
  SECTION("a run of too few steps to tell") {
    const auto draws = sm::sample(law, {.chains = 64, .steps = 5});
    CHECK(draws.status == sm::SampleStatus::not_converged);
    CHECK_THAT(draws.text(), Contains("too few steps to tell") && Contains("at least 8"));
  }
  SECTION("many short chains that have forgotten where they began") {
    const auto draws = sm::sample(law, sm::mala{0.3}, {.chains = 1000, .steps = 20, .burn_in = 100});
    INFO(draws.text());
    CHECK(draws.r_hat > 1.05);
    CHECK(draws.status == sm::SampleStatus::complete);
  }
}

TEST_CASE("Forty right runs pass, and a thousand short chains in the modes that they began in do not", "[long]") {
  const auto law = standard_normal(3);
  int complete = 0;
  constexpr int runs = 40;
  for (int seed = 0; seed < runs; ++seed) {
    const auto options = [&](Index chains) {
      return sm::SampleOptions{.chains = chains, .steps = 400, .seed = static_cast<std::uint64_t>(seed)};
    };
    complete += sm::sample(law, options(seed % 2 == 0 ? 4 : 64)).status == sm::SampleStatus::complete ? 1 : 0;
  }
  CHECK(complete == runs);
  CHECK(sm::sample(two_wells(), {.chains = 1000, .steps = 100}).status == sm::SampleStatus::not_converged);
}

TEST_CASE("Every kernel with a step is tuned in a warm-up: mean acceptances near their targets") {
  const auto law = standard_normal(10);
  const auto acceptance = [&](const auto& kernel) {
    return sm::sample(law, kernel, {.chains = 64, .steps = 400, .warm_up = 300}).acceptance.mean();
  };
  CHECK(std::abs(acceptance(sm::mala{}) - 0.574) < 0.05);
  CHECK(std::abs(acceptance(sm::barker{}) - 0.4) < 0.05);
  CHECK(std::abs(acceptance(sm::hmc{}) - 0.85) < 0.1);
  CHECK(acceptance(sm::parallel_tempering<sm::mala>{.temperatures = 3, .hottest = 4}) > 0.3);
}

TEST_CASE("A score alone is sampled, too: by the underdamped equation") {
  const auto score = sm::score_model(2, [](auto x, auto) { return -1.0 * x; });
  const auto draws = sm::sample(score, {.chains = 64, .steps = 2000});
  INFO(draws.text());
  CHECK(draws.status == sm::SampleStatus::complete);
  CHECK(std::abs(draws.points.array().square().mean() - 1) < 0.05);
}

#ifdef _OPENMP
TEST_CASE("A warm-up is the same bits for any number of threads") {
  const auto law = standard_normal(3);
  const auto draws_with = [&](int threads, const auto& kernel) {
    omp_set_num_threads(threads);
    return sm::sample(law, kernel, {.chains = 300, .steps = 20, .warm_up = 60});
  };
  const int before = omp_get_max_threads();
  const auto one = draws_with(1, sm::hmc{}), three = draws_with(3, sm::hmc{});
  CHECK(same_bits(one.state, three.state));
  CHECK(one.step == three.step);
  const sm::parallel_tempering<> tempering{.temperatures = 3, .hottest = 3};
  CHECK(same_bits(draws_with(1, tempering).state, draws_with(3, tempering).state));
  omp_set_num_threads(before);
}
#endif

TEST_CASE("Bad input has a sentence") {
  const auto law = standard_normal(2);
  CHECK_THROWS_WITH(sm::sample(law, {.chains = 10, .warm_up = 0}), Contains("warm_up is 0") && Contains("at least 20"));
  CHECK_THROWS_WITH(sm::sample(law, sm::mala{}, {.chains = 10, .warm_up = -2}), Contains("warm_up is -2"));
  CHECK_THROWS_WITH(sm::sample(law, {.chains = 10, .max_r_hat = 1}), Contains("max_r_hat"));
  CHECK_THROWS_WITH(sm::sample(law, {.chains = 10, .max_bias = std::numeric_limits<double>::quiet_NaN()}),
                    Contains("max_bias"));
  // A start whose energy is not finite is counted and told.
  const auto wall = sm::energy_model(1, [](auto x, auto) { return 0.5 * x[0] * x[0] - log(x[0] + 100.0); });
  Eigen::MatrixXd start = Eigen::MatrixXd::Zero(1, 8);
  start(0, 3) = -200;
  const auto draws = sm::sample(wall, sm::mala{0.1}, {.chains = 8, .steps = 100, .start = start});
  CHECK_THAT(draws.text(), Contains("started where the energy is not finite, the first is chain 3"));
}
