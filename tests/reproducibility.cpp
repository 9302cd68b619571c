// How far results repeat: the same bits for any number of threads, the same draws for any block size and order of the
// samples, the same layout and start of θ for any compiler.
#include "catch.hpp"

#include <cmath>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/fit/fit.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/sum.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/sample.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using sm::Index;

namespace {

/// Everything a computation returned, in a row: equal bits are equal vectors, NaN included.
class Bits {
 public:
  template <class Derived>
  void add(const Eigen::MatrixBase<Derived>& numbers) {
    const sm::Matrix<typename Derived::Scalar> plain = numbers;
    const std::size_t bytes = static_cast<std::size_t>(plain.size()) * sizeof(typename Derived::Scalar),
                      at = bytes_.size();
    bytes_.resize(at + bytes);
    std::memcpy(bytes_.data() + at, plain.data(), bytes);
  }
  void add(double number) { add(VectorXd::Constant(1, number)); }
  void add(const sm::Loss& loss) {
    add(loss.value);
    add(loss.standard_error);
    for (const sm::Estimate& term : loss.terms) add(term.value), add(term.standard_error);
    add(loss.gradient);
  }
  template <class M>
  void add(const sm::Fit<M>& fit) {
    add(fit.model.parameters());
    add(fit.loss);
    for (const sm::FitStep& step : fit.history) add(step.loss), add(step.gradient_norm);
  }
  template <class T>
  void add(const sm::Draws<T>& draws) {
    add(draws.points);
    add(draws.state);
    add(draws.acceptance);
  }

  std::size_t size() const { return bytes_.size(); }
  bool operator==(const Bits&) const = default;

 private:
  std::vector<unsigned char> bytes_;
};

/// Threads as they were, after the test.
class RestoreThreads {
 public:
  ~RestoreThreads() {
    Eigen::setNbThreads(0);
#ifdef _OPENMP
    omp_set_num_threads(threads_);
#endif
  }

 private:
#ifdef _OPENMP
  int threads_ = omp_get_max_threads();
#endif
};

/// Runs the computation with 1, 2 and 3 threads, Eigen's own number as it follows or set apart, and inside a parallel
/// region of the caller's.
void check_threads(const std::function<void(Bits&)>& compute) {
  const RestoreThreads restore;
#ifdef _OPENMP
  omp_set_num_threads(1);
#endif
  Eigen::setNbThreads(1);
  Bits alone;
  compute(alone);
  REQUIRE(alone.size() > 0);
  for (const auto& [threads, of_eigen] : {std::pair{1, 0}, {1, 2}, {2, 0}, {2, 1}, {3, 0}}) {
    INFO(threads << " threads, Eigen::setNbThreads(" << of_eigen << ")");
#ifdef _OPENMP
    omp_set_num_threads(threads);
#endif
    Eigen::setNbThreads(of_eigen);
    Bits found;
    compute(found);
    CHECK(found == alone);
  }
#ifdef _OPENMP
  omp_set_num_threads(2);
  std::vector<Bits> within(2);
#pragma omp parallel for num_threads(2)
  for (int i = 0; i < 2; ++i) compute(within[static_cast<std::size_t>(i)]);
  CHECK(within[0] == alone);
  CHECK(within[1] == alone);
#endif
}

/// A layer 512 wide: matrix products so large that Eigen starts threads of its own where it may, and then rounds
/// otherwise.
sm::EnergyModel wide_energy() {
  return sm::energy_model(3, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {512, 16}, .seed = 1}) + 0.5 * squared_norm(x);
  });
}

sm::ScoreModel wide_score() {
  return sm::score_model(3, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {512, 16}, .outputs = 3, .seed = 1}) - x;
  });
}

template <class T>
sm::Matrix<T> data(Index d, Index n) {
  sm::Matrix<T> Z(n, d);
  sm::extend::fill_normals<T>({17, sm::extend::Purpose::user}, sm::extend::Ids::from(0), n, 0, d, Z.data(), n);
  return Z.transpose();
}

}  // namespace

// --- threads ---

TEMPLATE_TEST_CASE("Losses and gradients are the same bits for any number of threads", "", double, float) {
  const sm::Matrix<TestType> X = data<TestType>(3, 120);
  check_threads([&](Bits& bits) {
    bits.add(sm::loss_and_gradient(wide_energy(), sm::implicit_score_matching{}, X));
    bits.add(sm::loss_and_gradient(wide_energy(), sm::denoising_score_matching{.sigma = 0.3}, X));
    bits.add(sm::loss_and_gradient(wide_score(), sm::sliced_score_matching{.projections = 2}, X));
  });
}

// So many parameters that the threads share out their sums, and blocks enough for more than one round of them.
TEST_CASE("Gradients of many parameters are the same bits for any number of threads") {
  const auto model = sm::score_model(3, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {256, 260}, .outputs = 3, .seed = 1}) - exp(theta("log_scale")) * x;
  });
  REQUIRE(model.parameters().size() > 65536);
  const MatrixXd X = data<double>(3, 77);
  check_threads([&](Bits& bits) {
    bits.add(sm::loss_and_gradient(model, sm::denoising_score_matching{.sigma = 0.3}, X, {.block = 8}));
  });
  const sm::Loss all = sm::loss_and_gradient(model, sm::denoising_score_matching{.sigma = 0.3}, X),
                 cut = sm::loss_and_gradient(model, sm::denoising_score_matching{.sigma = 0.3}, X, {.block = 8});
  CHECK(cut.gradient.isApprox(all.gradient, 1e-11));

  const auto refuses = [](const MatrixXd& at) -> MatrixXd {
    if ((at.array() > 2).any()) throw std::runtime_error("no score there");
    return -at;
  };
  check_threads([&](Bits& bits) {
    bits.add(X);
    CHECK_THROWS_WITH(sm::loss_and_gradient(model, sm::explicit_score_matching{refuses}, X, {.block = 8}),
                      "no score there");
  });
}

// So many that their matrices' products are left for later: of a matrix used twice, of one beside its transpose, and
// not those of a matrix of which a view is used as well. Blocks enough for a second round. A sum of models never leaves
// them for later.
TEMPLATE_TEST_CASE("Gradients by products left for later are those of products added at once", "", double, float) {
  const auto model = sm::score_model(3, [](auto x, auto theta) {
    const auto matrix = [&](const char* name, int rows, int cols) {
      return theta(name, rows, cols, sm::start_scaled_normal{.gain = 1, .seed = 4});
    };
    auto wide = matrix("in", 730, 3), square = matrix("middle", 730, 730), viewed = matrix("viewed", 3, 3);
    auto h = tanh(square * tanh(square * tanh(wide * x + theta("bias", 730))));
    return viewed * (transpose(wide) * h / 27.0) + column(viewed, 1) * x;
  });
  const auto nothing = sm::score_model(3, [](auto x, auto theta) { return 0.0 * theta("zero") * x; });
  const Index count = model.parameters().size();
  REQUIRE(count > Index(1) << 19);
  const sm::Matrix<TestType> X = data<TestType>(3, 75);
  const sm::denoising_score_matching objective{.sigma = 0.3};
  check_threads([&](Bits& bits) { bits.add(sm::loss_and_gradient(model, objective, X, {.block = 8})); });
  const VectorXd expected = sm::loss_and_gradient(sm::ModelSum(model, nothing), objective, X).gradient.head(count);
  const double precision = sizeof(TestType) == 4 ? 1e-5 : 1e-12;
  REQUIRE(expected.norm() > 0.1);
  for (const Index block : {8, 32, 128})
    CHECK(sm::loss_and_gradient(model, objective, X, {.block = block}).gradient.isApprox(expected, precision));
}

// A minibatch that would be one block or two is cut for the threads, which share its matrices' products, and the larger
// network's θ where it is bound.
TEMPLATE_TEST_CASE("Minibatches of networks are the same bits for any number of threads", "", double, float) {
  const double precision = sizeof(TestType) == 4 ? 1e-5 : 1e-12;
  const sm::denoising_score_matching objective{.sigma = 0.3};
  const auto check = [&](const auto& model, Index least_parameters, Index samples) {
    INFO(samples << " samples");
    REQUIRE(model.parameters().size() > least_parameters);
    const sm::Matrix<TestType> X = data<TestType>(3, samples);
    check_threads([&](Bits& bits) { bits.add(sm::loss_and_gradient(model, objective, X)); });
    const sm::Loss cut = sm::loss_and_gradient(model, objective, X, {.per_sample = true}),
                   others = sm::loss_and_gradient(model, objective, X, {.block = 32, .per_sample = true});
    REQUIRE(others.gradient.norm() > 0.1);
    CHECK(cut.gradient.isApprox(others.gradient, precision));
    CHECK(cut.per_sample.isApprox(others.per_sample, precision));
    CHECK(cut.value == Approx(others.value).epsilon(precision));
  };
  const auto energy = sm::energy_model(3, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {128, 128}, .seed = 1}) + 0.5 * squared_norm(x);
  });
  for (const Index samples : {50, 128, 130, 256}) check(energy, 1 << 14, samples);
  const auto score = sm::score_model(3, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {260, 512}, .outputs = 3, .seed = 1}) - exp(theta("log_scale")) * x;
  });
  for (const Index samples : {128, 201}) check(score, 8 * sm::evaluate::Pieces::length, samples);
}

TEST_CASE("Fits are the same bits for any number of threads") {
  const MatrixXd X = data<double>(3, 60);
  check_threads([&](Bits& bits) {
    bits.add(sm::fit(wide_energy(), sm::implicit_score_matching{}, X, {.iterations = 3}));
    bits.add(sm::fit(wide_score(), sm::denoising_score_matching{.sigma = 0.3}, X, {.iterations = 5, .batch = 25}));
  });
}

TEMPLATE_TEST_CASE("Chains are the same bits for any number of threads", "", double, float) {
  check_threads([&](Bits& bits) {
    bits.add(sm::sample<TestType>(wide_energy(), sm::mala{.step = 0.3}, {.chains = 150, .steps = 4, .thin = 2}));
    bits.add(sm::sample<TestType>(wide_score(), sm::langevin{.step = 0.1}, {.chains = 150, .steps = 4}));
  });
}

// --- blocks and the order of the samples ---

TEMPLATE_TEST_CASE("Noise belongs to the sample: block size and order change rounding only", "", double, float) {
  using T = TestType;
  const double tolerance = std::is_same_v<T, double> ? 1e-12 : 1e-5;
  const Index n = 501;
  const sm::Matrix<T> X = data<T>(3, n);
  const auto network = sm::energy_model(3, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {20, 6}, .seed = 1}) + 0.5 * squared_norm(x);
  });
  std::vector<Index> shuffled = sm::detail::permutation(3, 0, n), backwards(shuffled.size());
  for (Index i = 0; i < n; ++i) backwards[static_cast<std::size_t>(i)] = n - 1 - i;

  const auto check = [&](const auto& objective) {
    const sm::Loss right = sm::loss_and_gradient(network, objective, X, {.draw = 5, .per_sample = true});
    const auto agrees = [&](const sm::LossOptions& options) {
      const sm::Loss found = sm::loss_and_gradient(network, objective, X, options);
      CHECK(std::abs(found.value - right.value) <= tolerance * std::abs(right.value));
      CHECK(std::abs(found.standard_error - right.standard_error) <= tolerance * right.standard_error);
      CHECK((found.gradient - right.gradient).norm() <= tolerance * right.gradient.norm());
      for (std::size_t k = 0; k < right.terms.size(); ++k)
        CHECK(std::abs(found.terms[k].value - right.terms[k].value) <= tolerance * std::abs(right.terms[k].value));
      VectorXd expected = right.per_sample;
      for (std::size_t i = 0; i < options.columns.size(); ++i)
        expected[static_cast<Index>(i)] = right.per_sample[options.columns[i]];
      CHECK((found.per_sample - expected).norm() <= 10 * tolerance * expected.norm());
    };
    for (const Index block : {1, 8, 64, 500}) {
      INFO("block " << block);
      agrees({.draw = 5, .block = block, .per_sample = true});
    }
    agrees({.columns = shuffled, .draw = 5, .per_sample = true});
    agrees({.columns = backwards, .draw = 5, .block = 8, .per_sample = true});
    // Another draw is other noise.
    if (!objective.deterministic()) CHECK(sm::loss(network, objective, X, {.draw = 6}).value != right.value);
  };
  check(sm::implicit_score_matching{});
  check(sm::denoising_score_matching{.sigma = 0.3});
  check(sm::sliced_score_matching{.projections = 2, .kind = sm::Projection::sphere});
}

TEST_CASE("A minibatch is the whole data set restricted to its columns") {
  const MatrixXd X = data<double>(2, 40);
  const auto model = sm::energy_model(
      2, [](auto x, auto theta) { return 0.5 * theta("k", sm::start_at(1.3)) * squared_norm(x) + sum(cos(x)); });
  const std::vector<Index> odd = {1, 3, 5, 7, 9, 11, 13, 39}, once = {12};
  const sm::denoising_score_matching objective{.sigma = 0.4, .seed = 2};
  const VectorXd all = sm::loss(model, objective, X, {.draw = 3, .per_sample = true}).per_sample;

  const sm::Loss batch = sm::loss_and_gradient(model, objective, X, {.columns = odd, .draw = 3});
  double mean = 0;
  VectorXd gradient = VectorXd::Zero(1);
  for (const Index i : odd) {
    mean += all[i] / 8;
    gradient += sm::loss_and_gradient(model, objective, X, {.columns = {&i, 1}, .draw = 3}).gradient / 8;
  }
  CHECK(batch.samples == 8);
  CHECK(batch.value == Approx(mean).epsilon(1e-13));
  CHECK(batch.gradient[0] == Approx(gradient[0]).epsilon(1e-12));
  CHECK(sm::loss(model, objective, X, {.columns = once, .draw = 3}).value == Approx(all[12]).epsilon(1e-13));
}

// --- θ ---

TEST_CASE("θ is laid out by name, whatever order the formula declares it in") {
  // g++ calls the second operand of such a difference first, clang the first.
  const auto model = sm::energy_model(1, [](auto x, auto theta) {
    return theta("b", sm::start_at(2)) * x[0] - theta("a", sm::start_at(1)) * square(x[0]);
  });
  CHECK(model.parameters() == Eigen::Vector2d(1, 2));
  CHECK(sm::energy_of(model, MatrixXd::Constant(1, 1, 3.0))[0] == Approx(2 * 3 - 9).epsilon(1e-15));

  const auto layers = sm::energy_model(1, [](auto x, auto theta) {
    return (theta("layer10", sm::start_at(10)) + theta("layer2", sm::start_at(2)) + theta("layer1", sm::start_at(1)) +
            theta("Layer3", sm::start_at(0))) *
               x[0] +
           theta("layer2.bias", sm::start_at(3)) + theta("layer", sm::start_at(0.5));
  });
  Eigen::Vector<double, 6> by_number;
  by_number << 0, 0.5, 1, 2, 3, 10;
  CHECK(layers.parameters() == by_number);
  std::vector<std::string> names;
  for (const sm::NamedParameter& parameter : layers.named_parameters()) names.push_back(parameter.name);
  CHECK(names == std::vector<std::string>{"Layer3", "layer", "layer1", "layer2", "layer2.bias", "layer10"});

  // A matrix is laid out by columns.
  Eigen::Matrix<double, 2, 3> W;
  W << 1, 2, 3,  //
      4, 5, 6;
  const auto matrix = sm::energy_model(3, [&](auto x, auto theta) { return sum(theta("W", W) * x); });
  Eigen::Vector<double, 6> by_columns;
  by_columns << 1, 4, 2, 5, 3, 6;
  CHECK(matrix.parameters() == by_columns);
  CHECK(matrix.parameter("W") == W);
}

TEST_CASE("A parameter's start depends on seed and name alone") {
  const sm::start_normal start{.seed = 7};
  const auto first = sm::energy_model(2, [&](auto x, auto theta) {
    return dot(theta("u", 2, start), x) + theta("v", start) * dot(theta("w", 2, start), x);
  });
  const auto other = sm::energy_model(2, [&](auto x, auto theta) {
    const auto w = theta("w", 2, start);
    const auto u = theta("u", 2, start);
    return dot(w, x) * theta("extra", start) + dot(u, x);
  });
  CHECK(first.parameter("u") == other.parameter("u"));
  CHECK(first.parameter("w") == other.parameter("w"));
  CHECK(first.parameter("u") != first.parameter("w"));

  const auto another_seed =
      sm::energy_model(2, [](auto x, auto theta) { return dot(theta("u", 2, sm::start_normal{.seed = 8}), x); });
  CHECK(first.parameter("u") != another_seed.parameter("u"));
}

TEST_CASE("Starts are the same numbers on every compiler") {
  // From the definitions, by a program of another language with 50 digits: the 64-bit FNV-1a hash of the name and the
  // seed address Philox 4×32-10 (random/stream.hpp), whose bits make uniform and normal numbers.
  const auto model = sm::energy_model(3, [](auto x, auto theta) {
    return sum(theta("weights", 2, 3, sm::start_normal{.seed = 7}) * x) +
           sum(theta("layer", 2, 3, sm::start_glorot{.seed = 7}) * x);
  });
  Eigen::Matrix<double, 2, 3> weights, layer;
  weights.col(0) << 0.091092200971193019299, -1.6288937355331235859;
  weights.col(1) << -0.68153830595670480903, -0.57290760407216977752;
  weights.col(2) << -1.1224949663099974772, -1.7165260290537045604;
  layer.col(0) << -0.46843246170466971968, -0.35004307072424481578;
  layer.col(1) << 0.31134631176794197638, -0.61111838554745183079;
  layer.col(2) << 0.030104808576704701588, 0.29732844954972373138;
  CHECK((model.parameter("weights") - weights).cwiseAbs().maxCoeff() < 1e-15);
  CHECK((model.parameter("layer") - layer).cwiseAbs().maxCoeff() < 1e-15);

  const auto scaled = sm::energy_model(
      3, [](auto x, auto theta) { return sum(theta("weights", 2, 3, sm::start_scaled_normal{.seed = 7}) * x); });
  CHECK((scaled.parameter("weights") - std::sqrt(2.0 / 3) * weights).cwiseAbs().maxCoeff() < 1e-15);
}
