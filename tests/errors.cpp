// A broken precondition throws std::invalid_argument before any work, and says what was found where, and what is
// allowed.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "scorematch/fit/fit.hpp"
#include "scorematch/model/at_sigma.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/sample.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using sm::Index;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// The message of the std::invalid_argument that f throws. Any other exception fails the test.
template <class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const std::invalid_argument& error) {
    CHECK_THAT(error.what(), ContainsSubstring("scorematch: "));
    return error.what();
  }
  return "no exception";
}

/// Checks that f throws a message with all these parts.
template <class F, class... Parts>
void refuses(F f, const Parts&... parts) {
  const std::string message = message_of(f);
  for (const std::string& part : {std::string(parts)...}) CHECK_THAT(message, ContainsSubstring(part));
}

/// N(0, I/k) as a user's class that counts its calls.
struct CountingEnergy {
  std::shared_ptr<int> calls = std::make_shared<int>(0);
  double k = 1;

  Index dimension() const { return 2; }
  void energy(Eigen::Ref<const MatrixXd> X, Eigen::Ref<VectorXd> f) const {
    ++*calls;
    f = 0.5 * k * X.colwise().squaredNorm().transpose();
  }
  void gradient(Eigen::Ref<const MatrixXd> X, Eigen::Ref<MatrixXd> G) const {
    ++*calls;
    G = k * X;
  }
  VectorXd parameters() const { return VectorXd::Constant(1, k); }
  void set_parameters(const VectorXd& theta) { k = theta[0]; }
  void pull_back(Eigen::Ref<const MatrixXd> X, Eigen::Ref<const MatrixXd> W, Eigen::Ref<VectorXd> g) const {
    ++*calls;
    g[0] += X.cwiseProduct(W).sum();
  }
};

sm::EnergyModel gaussian() {
  return sm::energy_model(
      2, [](auto x, auto theta) { return 0.5 * theta("k", sm::start_at(1)) * squared_norm(x - theta("m", 2)); });
}

/// Checks that every call that takes data refuses X, before it calls the model.
void refuses_data(const MatrixXd& X, const std::string& part) {
  const CountingEnergy model;
  const sm::implicit_score_matching objective;
  refuses([&] { (void)sm::loss(model, objective, X); }, "data has ", part);
  refuses([&] { (void)sm::loss_and_gradient(model, objective, X); }, "data has ", part);
  refuses([&] { (void)sm::fit(model, objective, X); }, "data has ", part);
  refuses([&] { (void)sm::fit(model, sm::denoising_score_matching{}, X); }, "data has ", part);
  refuses([&] { (void)sm::score_of(model, X); }, "X has ", part);
  CHECK(*model.calls == 0);
}

}  // namespace

// --- data ---

TEST_CASE("Data: empty, of another dimension, transposed") {
  refuses_data(MatrixXd(2, 0), "no columns; at least one sample is needed");
  refuses_data(MatrixXd::Zero(3, 5),
               "3 rows and 5 columns; the model has dimension 2, so it must be 2 × N, one column per sample");
  refuses_data(MatrixXd::Zero(5, 2),
               "5 rows and 2 columns; the model has dimension 2, so it must be 2 × N, one column per sample (is it "
               "transposed?)");
  CHECK_THAT(message_of([] { (void)sm::loss(gaussian(), sm::implicit_score_matching{}, MatrixXd::Zero(3, 5)); }),
             !ContainsSubstring("transposed"));
  refuses([] { (void)sm::energy_of(gaussian(), MatrixXd::Zero(3, 5)); }, "X has 3 rows");
  refuses([] { (void)sm::trace_of(gaussian(), MatrixXd::Zero(3, 5)); }, "X has 3 rows");
}

TEST_CASE("Data: an entry that is not finite, with its place") {
  MatrixXd X = MatrixXd::Ones(2, 6);
  X(1, 4) = not_a_number;
  refuses_data(X, "nan in column 4, row 1 (counted from 0); every entry must be finite");
  X(0, 3) = -infinity;  // the first bad column is named
  refuses_data(X, "-inf in column 3, row 0");
  const Eigen::MatrixXf in_float = X.cast<float>();
  refuses([&] { (void)sm::loss(gaussian(), sm::implicit_score_matching{}, in_float); },
          "data has -inf in column 3, row 0");
}

TEST_CASE("LossOptions: columns and block out of range") {
  const CountingEnergy model;
  const MatrixXd X = MatrixXd::Ones(2, 6);
  const sm::implicit_score_matching objective;
  for (const Index bad : {-1, 6, 100}) {
    const std::vector<Index> columns = {0, 5, bad, 2};
    const std::string part = "columns has " + std::to_string(bad) + "; the data have columns 0 to 5";
    refuses([&] { (void)sm::loss(model, objective, X, {.columns = columns}); }, part);
    refuses([&] { (void)sm::loss_and_gradient(model, objective, X, {.columns = columns}); }, part);
  }
  refuses([&] { (void)sm::loss(model, objective, X, {.block = -1}); },
          "LossOptions: block is -1; it must be at least 0");
  CHECK(*model.calls == 0);
}

// --- objectives, samplers, fits: their options ---

TEST_CASE("Objectives: options out of range") {
  const CountingEnergy model;
  const MatrixXd X = MatrixXd::Ones(2, 6);
  const auto refused = [&](const auto& objective, const std::string& part) {
    refuses([&] { (void)sm::loss(model, objective, X); }, part);
    refuses([&] { (void)sm::fit(model, objective, X); }, part);
  };
  refused(sm::denoising_score_matching{.sigma = 0},
          "denoising_score_matching: sigma is 0; it must be a finite number above 0");
  refused(sm::denoising_score_matching{.sigma = -0.5},
          "denoising_score_matching: sigma is -0.5; it must be a finite number above 0");
  refused(sm::denoising_score_matching{.sigma = not_a_number}, "denoising_score_matching: sigma is nan");
  refused(sm::denoising_score_matching{.sigma = infinity}, "denoising_score_matching: sigma is inf");
  refused(sm::sliced_score_matching{.projections = 0},
          "sliced_score_matching: projections is 0; it must be at least 1");
  CHECK(*model.calls == 0);
}

TEST_CASE("The explicit target: its shape and its entries") {
  const CountingEnergy model;
  const MatrixXd X = MatrixXd::Ones(2, 6);
  const auto refused = [&](const auto& target, const std::string& part) {
    refuses([&] { (void)sm::loss(model, sm::explicit_score_matching{target}, X); }, "target of explicit_score_matching",
            part);
  };
  refused(MatrixXd(MatrixXd::Zero(2, 5)), "is 2 × 5; the data are 2 × 6");
  refused(MatrixXd(MatrixXd::Zero(6, 2)), "is 6 × 2; the data are 2 × 6");
  MatrixXd holed = MatrixXd::Zero(2, 6);
  holed(0, 2) = not_a_number;
  refused(holed, "nan in column 2, row 0");
  refused([](const MatrixXd& at) { return MatrixXd(at.transpose()); }, "returned");
  CHECK(*model.calls == 0);

  const auto right = [](const MatrixXd& at) { return MatrixXd(-at); };  // s = −x
  CHECK(sm::loss(model, sm::explicit_score_matching{right}, X).value == 0);
}

TEST_CASE("FitOptions out of range") {
  const CountingEnergy model;
  const MatrixXd X = MatrixXd::Ones(2, 6);
  const auto refused = [&](const sm::FitOptions& options, const std::string& part) {
    refuses([&] { (void)sm::fit(model, sm::implicit_score_matching{}, X, options); }, "FitOptions: " + part);
  };
  refused({.iterations = -1}, "iterations is -1; it must be at least 0");
  refused({.tolerance = -1e-3}, "tolerance is -0.001; it must be at least 0");
  refused({.tolerance = not_a_number}, "tolerance is nan");
  refused({.memory = 0}, "memory is 0; it must be at least 1");
  refused({.batch = 0}, "batch is 0; it must be at least 1");
  refused({.learning_rate = 0}, "learning_rate is 0; it must be a finite number above 0");
  refused({.learning_rate = -1}, "learning_rate is -1; it must be a finite number above 0");
  refused({.learning_rate = not_a_number}, "learning_rate is nan");
  CHECK(*model.calls == 0);
}

TEST_CASE("Samplers: step and temperature") {
  const CountingEnergy model;
  const auto refused = [&](const auto& kernel, const std::string& part) {
    refuses([&] { (void)sm::sample(model, kernel); }, part);
  };
  refused(sm::langevin{.step = 0}, "langevin: step is 0; it must be a finite number above 0");
  refused(sm::langevin{.step = -0.1}, "langevin: step is -0.1");
  refused(sm::langevin{.step = not_a_number}, "langevin: step is nan");
  refused(sm::langevin{.step = 0.1, .temperature = 0},
          "langevin: temperature is 0; it must be a finite number above 0");
  refused(sm::mala{.step = 0}, "mala: step is 0; it must be a finite number above 0");
  refused(sm::mala{.step = infinity}, "mala: step is inf");
  refused(sm::mala{.step = 0.1, .temperature = -1}, "mala: temperature is -1");
  CHECK(*model.calls == 0);
}

TEST_CASE("SampleOptions out of range") {
  const CountingEnergy model;
  const auto refused = [&](const sm::SampleOptions& options, const std::string& part) {
    refuses([&] { (void)sm::sample(model, sm::langevin{}, options); }, part);
    refuses([&] { (void)sm::sample(model, sm::mala{}, options); }, part);
  };
  refused({.chains = 0}, "SampleOptions: chains is 0; it must be at least 1");
  refused({.steps = 0}, "SampleOptions: steps is 0; it must be at least 1");
  refused({.burn_in = -2}, "SampleOptions: burn_in is -2; it must be at least 0");
  refused({.steps = 10, .thin = -1}, "SampleOptions: thin is -1; it must be from 0 to steps, 10");
  refused({.steps = 10, .thin = 11}, "SampleOptions: thin is 11; it must be from 0 to steps, 10");

  refused({.chains = 5, .start = MatrixXd(MatrixXd::Zero(2, 4))},
          "SampleOptions: start is 2 × 4; it must be 2 × 5, one column per chain");
  refused({.chains = 5, .start = MatrixXd(MatrixXd::Zero(5, 2))}, "SampleOptions: start is 5 × 2; it must be 2 × 5");
  MatrixXd holed = MatrixXd::Zero(2, 5);
  holed(1, 3) = not_a_number;
  refused({.chains = 5, .start = holed}, "SampleOptions: start has nan in column 3, row 1");
  refused({.chains = 5, .start = [](sm::Stream&) -> VectorXd { return Eigen::Vector3d(1, 2, 3); }},
          "SampleOptions: start returned a point of size 3; the model has dimension 2");
  refused({.chains = 5, .start = [](sm::Stream&) -> VectorXd { return Eigen::Vector2d(1, infinity); }},
          "SampleOptions: start has inf in column 0, row 1");
  CHECK(*model.calls == 0);

  refuses(
      [&] { (void)sm::sample(model, sm::langevin{}, {.chains = 1, .steps = 1, .first_step = std::uint64_t{1} << 40}); },
      "step", "2^40");
}

// --- models ---

TEST_CASE("Parameters of another size, name or shape") {
  auto model = gaussian();  // k, and m of size 2
  const VectorXd before = model.parameters();
  refuses([&] { model.set_parameters(VectorXd::Zero(4)); }, "theta has 4 numbers; this model has 3");
  refuses([&] { model.set_parameters(VectorXd()); }, "theta has 0 numbers; this model has 3");
  refuses([&] { (void)model.parameter("centre"); }, "there is no parameter \"centre\"; this model has: k, m");

  const sm::NamedParameter k{"k", 1, 1, VectorXd::Ones(1)}, m{"m", 2, 1, VectorXd::Ones(2)};
  refuses([&] { model.set_named_parameters({k}); }, "parameter \"m\" of this model is missing");
  refuses(
      [&] {
        model.set_named_parameters({k, m, {"n", 1, 1, VectorXd::Ones(1)}});
      },
      "parameter \"n\" is given that this model does not have");
  refuses(
      [&] {
        model.set_named_parameters({k, {"m", 1, 2, VectorXd::Ones(2)}});
      },
      "parameter \"m\" is given as 1 × 2; this model has it as 2 × 1");
  CHECK(model.parameters() == before);
}

TEST_CASE("Formulas: what they return") {
  refuses([] { (void)sm::energy_model(2, [](auto x, auto) { return 2 * x; }); }, "an energy must return a number",
          "a vector of size 2", "score_model");
  refuses([] { (void)sm::score_model(2, [](auto x, auto) { return squared_norm(x); }); },
          "a score must return a vector of size 2", "this one returns a number", "energy_model");
  refuses([] { (void)sm::score_model(2, [](auto x, auto) { return sm::concat(x, x[0]); }); },
          "a score must return a vector of size 2", "this one returns a vector of size 3");
  refuses([] { (void)sm::score_model(2, [](auto, auto theta) { return theta("W", 2, 2); }); },
          "a formula returns a 2 × 2 matrix");
  refuses([] { (void)sm::energy_model(0, [](auto, auto theta) { return theta("a"); }); },
          "dimension is 0; it must be at least 1");
}

TEST_CASE("Formulas: parameters") {
  refuses([] { (void)sm::energy_model(2, [](auto x, auto theta) { return dot(theta("a", 2), x) + theta("a"); }); },
          "theta(\"a\") is used with the shape", "1 × 1", "2 × 1", "one name is one parameter");
  refuses(
      [] {
        (void)sm::energy_model(
            2, [](auto x, auto theta) { return sum(theta("W", 3, 2) * x) + sum(theta("W", 2, 2) * x); });
      },
      "theta(\"W\")", "3 × 2", "2 × 2");
  refuses([] { (void)sm::energy_model(2, [](auto, auto theta) { return theta("a", 0); }); },
          "theta(\"a\") has the shape 0 × 1; both must be at least 1");
  refuses([] { (void)sm::energy_model(2, [](auto, auto theta) { return theta(""); }); }, "empty name");
  refuses([] { (void)sm::energy_model(2, [](auto, auto theta) { return theta("a", sm::start_at(not_a_number)); }); },
          "the start of theta(\"a\")", "not finite");
}

TEST_CASE("Formulas: sizes that do not match, elements out of range") {
  const auto refused = [](auto formula, const auto&... parts) {
    refuses([&] { (void)sm::energy_model(3, formula); }, parts...);
  };
  refused([](auto x, auto theta) { return sum(x + theta("a", 2)); }, "a vector of size 3 + a vector of size 2",
          "the sizes must agree");
  refused([](auto x, auto theta) { return sum(x - theta("a", 2)); }, "a vector of size 3 − a vector of size 2");
  refused([](auto x, auto theta) { return sum(x * theta("a", 2)); }, "a vector of size 3 × a vector of size 2");
  refused([](auto x, auto theta) { return sum(x / theta("a", 2)); }, "a vector of size 3 ÷ a vector of size 2");
  refused([](auto x, auto) { return sum(x + Eigen::Vector2d(1, 2)); }, "a vector of size 3 + a vector of size 2");
  refused([](auto x, auto theta) { return dot(x, theta("a", 2)); },
          "takes dot of a vector of size 3 and a vector of size 2");
  refused([](auto x, auto theta) { return sum(theta("W", 4, 2) * x); },
          "multiplies a 4 × 2 matrix by a vector of size 3; the matrix needs 3 columns");
  refused([](auto x, auto theta) { return sum(where(x > theta("a", 2), x, 0.0)); }, "a vector of size 2",
          "a vector of size 3");
  refused([](auto x, auto) { return x[3]; }, "takes element 3 of a vector of size 3; allowed are 0 to 2");
  refused([](auto x, auto) { return x[-1]; }, "takes element -1 of a vector of size 3; allowed are 0 to 2");
  refused([](auto x, auto) { return sum(segment(x, 1, 3)); }, "takes elements 1 to 3 of a vector of size 3");
  refused([](auto, auto theta) { return theta("W", 2, 2)[0]; }, "2 × 2 matrix; only vectors have elements");
  refused([](auto x, auto) { return sm::sum(0, [&](int k) { return x[k]; }); }, "sum(n, f) has n = 0");
  refused([](auto x, auto) { return sum(sm::stack(0, [&](int k) { return x[k]; })); }, "stack(n, f) has n = 0");
}

TEST_CASE("Formulas: numbers beyond what can be counted") {
  const auto refused = [](auto formula, const auto&... parts) {
    refuses([&] { (void)sm::energy_model(3, formula); }, parts...);
  };
  constexpr Index most = std::numeric_limits<Index>::max(), least = std::numeric_limits<Index>::min();
  for (const Index count : {most, most - 1, least, Index{4}, Index{-1}}) {
    refused([=](auto x, auto) { return sum(segment(x, 1, count)); }, "takes elements 1 to ", "of a vector of size 3");
    refused([=](auto x, auto) { return sum(head(square(x), count)); }, "takes elements 0 to ");
    refused([=](auto, auto theta) { return sum(tail(theta("v", 3), count)); }, "takes elements ", "of size 3");
    refused([=](auto, auto theta) { return sum(theta("v", 3).segment(count, 2)); }, "takes elements ", "of size 3");
  }
  refused([=](auto x, auto) { return x[most]; }, "takes element 9223372036854775807 of a vector of size 3");
  for (const long n : {4294967299L, 2147483648L, -2147483649L, std::numeric_limits<long>::min(), 1000000001L})
    refused([=](auto x, auto) { return sum(pow(x, n)); }, "raises to the power " + std::to_string(n),
            "from -1000000000 to 1000000000");
  refused([](auto x, auto) { return pow(x[0], 18446744073709551615UL); }, "raises to the power ");
  refused([](auto, auto theta) { return theta("W", 4000000000, 4000000000)[0]; }, "a parameter has at most");
  refuses(
      [] { (void)sm::energy_model(3, [](auto x, auto) { return sm::sum(4294967297L, [&](int k) { return x[k]; }); }); },
      "sum(n, f) has n = 4294967297");
  refuses(
      [] {
        (void)sm::energy_model(3, [](auto x, auto) { return sum(sm::stack(1L << 32, [&](int k) { return x[k]; })); });
      },
      "stack(n, f) has n = 4294967296");
  const auto high = sm::energy_model(1, [](auto x, auto) { return pow(x[0], 1000000000); });
  CHECK(sm::energy_of(high, MatrixXd::Constant(1, 1, 1 + 1e-9))[0] == Approx(std::exp(1.0)).epsilon(1e-6));
}

TEST_CASE("Formulas: numbers that are none") {
  const auto refused = [](auto formula, const auto&... parts) {
    refuses([&] { (void)sm::energy_model(3, formula); }, parts...);
  };
  const Eigen::Vector3d with_nan(1, not_a_number, 2);
  refused([](auto x, auto) { return sum(x + not_a_number); }, "uses the number NaN");
  refused([](auto x, auto) { return sum(not_a_number - x); }, "uses the number NaN");
  refused([](auto x, auto) { return sum(where(x > 0, x, not_a_number)); }, "uses the number NaN");
  refused([](auto x, auto) { return sum(max(x, not_a_number)); }, "uses the number NaN");
  refused([](auto x, auto) { return where(x[0] < not_a_number, x[1], x[2]); }, "uses the number NaN");
  refused([=](auto x, auto) { return dot(x, with_nan); }, "uses the number NaN");
  refused([](auto x, auto) { return sum(sm::concat(x, not_a_number)); }, "uses the number NaN");
  refused([](auto x, auto) { return sum(x * not_a_number); }, "multiplies by nan");
  refused([](auto x, auto) { return sum(x / 0.0); }, "multiplies by inf; a factor must be finite");
  refused([](auto x, auto) { return sum(pow(x, not_a_number)); }, "raises to the power nan");
  refused([](auto x, auto) { return sum(pow(x, infinity)); }, "raises to the power inf");
  // An infinite number has its uses: a term of a sum of exponentials that is not there.
  const auto masked = sm::energy_model(3, [](auto x, auto) { return log_sum_exp(sm::concat(x, -infinity)); });
  CHECK(sm::score_of(masked, MatrixXd::Zero(3, 1)).isApproxToConstant(-1.0 / 3));
  // Factors that together are out of range, while the value is not.
  const auto far = sm::energy_model(1, [](auto x, auto) { return 1e200 * (1e200 * (1e-300 * x[0])); });
  CHECK(sm::energy_of(far, MatrixXd::Ones(1, 1))[0] == Approx(1e100));
}

TEST_CASE("Formulas: a value of another formula") {
  const auto refused = [](auto formula) {
    refuses([&] { (void)sm::energy_model(3, formula); }, "uses a value of another formula");
  };
  std::vector<sm::formula::Value> kept;
  std::vector<sm::formula::Theta> kept_theta;
  for (int repeated = 0; repeated < 3; ++repeated) {  // on the stack the next recorder has the last one's address
    (void)sm::energy_model(3, [&](auto x, auto theta) {
      auto h = square(x) * theta("a");
      kept.insert(kept.end(), {x, h, h[1], theta("b", 3)});
      kept_theta.push_back(theta);
      return sum(h);
    });
    for (const auto& value : kept) {
      refused([&](auto x, auto) { return sum(value + x); });
      refused([&](auto x, auto) { return sum(x * value); });
      refused([&](auto, auto) { return sum(exp(value)); });
      refused([&](auto x, auto) { return sum(where(x > 0, x, value)); });
      refused([&](auto x, auto) { return sum(sm::concat(x, value)); });
      refused([&](auto, auto) { return value; });
      refused([&](auto x, auto) { return x[0] * 2 + value.segment(0, 1); });
    }
    for (const auto& theta : kept_theta) refused([&](auto x, auto) { return theta("a") * x[0]; });
  }
  // … and of one around it, which still runs.
  refuses(
      [] {
        (void)sm::energy_model(2, [](auto outer, auto) {
          (void)sm::energy_model(2, [&](auto x, auto) { return dot(x, outer); });
          return sum(outer);
        });
      },
      "uses a value of another formula");
}

TEST_CASE("MlpOptions: options out of range") {
  refuses([] { (void)sm::energy_model(2, [](auto x, auto theta) {
                 return sm::mlp(x, theta, {.hidden = {4, 0}});
               }); },
          "MlpOptions: hidden is 0; it must be at least 1");
  refuses([] { (void)sm::energy_model(2, [](auto x, auto theta) { return sm::mlp(x, theta, {.hidden = {-3}}); }); },
          "MlpOptions: hidden is -3");
  refuses([] { (void)sm::energy_model(2, [](auto x, auto theta) { return sm::mlp(x, theta, {.outputs = 0}); }); },
          "MlpOptions: outputs is 0; it must be at least 1");
}

TEST_CASE("A formula that takes sigma needs one") {
  const auto model = sm::score_model(
      2, [](auto x, auto sigma, auto theta) { return -theta("k", sm::start_at(1)) * x / (1 + square(sigma)); });
  const MatrixXd X = MatrixXd::Ones(2, 6);
  const auto refused = [](auto call) { refuses(call, "the model's formula takes sigma", "at_sigma(model, sigma)"); };
  refused([&] { (void)sm::loss(model, sm::implicit_score_matching{}, X); });
  refused([&] { (void)sm::fit(model, sm::implicit_score_matching{}, X); });
  refused([&] { (void)sm::score_of(model, X); });
  refused([&] { (void)sm::sample(model, sm::langevin{}, {.chains = 200, .steps = 2}); });

  // An objective with a noise level brings it; at_sigma fixes it.
  CHECK(std::isfinite(sm::loss(model, sm::denoising_score_matching{.sigma = 0.5}, X).value));
  CHECK(sm::score_of(sm::at_sigma(model, 2), X)(0, 0) == Approx(-0.2).epsilon(1e-15));
  refuses([&] { (void)sm::at_sigma(model, 0); }, "at_sigma: sigma is 0; it must be a finite number above 0");
  refuses([&] { (void)sm::at_sigma(model, -1); }, "at_sigma: sigma is -1");
  refuses([&] { (void)sm::at_sigma(model, not_a_number); }, "at_sigma: sigma is nan");
}
