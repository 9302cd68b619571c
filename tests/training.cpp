// Trainings: the schedule, Adam, the average and the clipping are those of their formulas, and a training that was
// stopped goes on to the same bits. Seeds are fixed.
#include "catch.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/fit/train.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/random/normal.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using sm::Decay;
using sm::FitStatus;
using sm::Index;

namespace {

/// The implicit loss of f = ½ a ‖x‖² is ½ a² E‖x‖² − a d: a quadratic in a.
sm::EnergyModel quadratic(double a) {
  return sm::energy_model(2, [a](auto x, auto theta) { return 0.5 * theta("a", sm::start_at(a)) * squared_norm(x); });
}

sm::EnergyModel network() {
  return sm::energy_model(
      2, [](auto x, auto theta) { return sm::mlp(x, theta, {.hidden = {7}, .seed = 3}) + 0.5 * squared_norm(x); });
}

const sm::implicit_score_matching implicit;
const sm::denoising_score_matching denoising{.sigma = 0.5, .seed = 2};

/// A path that no file has, and has none again at the end.
struct FreshPath {
  explicit FreshPath(const std::string& name) : path("training_test_" + name) { std::remove(path.c_str()); }
  ~FreshPath() { std::remove(path.c_str()); }
  std::string path;
};

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

template <class Training>
void same_bits(const Training& a, const Training& b) {
  CHECK(a.status == b.status);
  CHECK(a.steps == b.steps);
  CHECK(a.model.parameters() == b.model.parameters());
  CHECK(same(a.loss.value, b.loss.value));
  CHECK(same(a.held_out_loss, b.held_out_loss));
  REQUIRE(a.history.size() == b.history.size());
  for (std::size_t i = 0; i < a.history.size(); ++i) {
    const sm::FitStep &x = a.history[i], &y = b.history[i];
    CHECK((x.evaluations == y.evaluations && x.loss == y.loss && x.gradient_norm == y.gradient_norm));
    CHECK(same(x.held_out, y.held_out));
  }
}

/// A callback that stops a call when `step` steps are done.
sm::ProgressCallback until(Index step) {
  return [step](const sm::Progress& p) { return p.done < step; };
}

}  // namespace

// --- formulas ---

TEST_CASE("A learning rate warms up and decays as its formula says") {
  const sm::LearningRate cosine{.peak = 2, .warm_up = 10, .final = 0.5};
  CHECK(cosine.at(1, 110) == Approx(0.2));
  CHECK(cosine.at(5, 110) == Approx(1.0));
  CHECK(cosine.at(10, 110) == 2);
  CHECK(cosine.at(11, 110) == 2);
  CHECK(cosine.at(61, 110) == Approx(1.25));  // halfway: the mean of peak and final
  CHECK(cosine.at(36, 110) == Approx(0.5 + 1.5 * (1 + std::sqrt(0.5)) / 2));
  CHECK(cosine.at(111, 110) == Approx(0.5));  // what would follow the last step
  const sm::LearningRate constant{.peak = 3, .warm_up = 4, .decay = Decay::constant};
  CHECK(constant.at(2, 9) == Approx(1.5));
  CHECK(constant.at(4, 9) == 3);
  CHECK(constant.at(9, 9) == 3);
  const sm::LearningRate root{.peak = 1, .warm_up = 100, .decay = Decay::inverse_square_root};
  for (const int t : {1, 50, 100, 101, 400, 10000})  // Vaswani et al., equation 3, scaled to 1 at its peak
    CHECK(root.at(t, 20000) == Approx(10 * std::min(1 / std::sqrt(t), t * std::pow(100.0, -1.5))));
  CHECK(sm::LearningRate{.peak = 1, .decay = Decay::inverse_square_root}.at(16, 20) == Approx(0.25));
  CHECK(cosine.depends_on_steps());
  CHECK_FALSE(constant.depends_on_steps());
  CHECK_FALSE(root.depends_on_steps());
}

TEST_CASE("A training takes Adam's steps with the schedule, the clipping and the average of their recursions") {
  const MatrixXd X = normals(2, 50, 1);
  const double second = X.squaredNorm() / 50;  // the gradient is a · second − 2
  for (const double clip : {0.0, 0.5}) {
    const sm::TrainOptions options{.steps = 40,
                                   .batch = 1000,  // more than there are: all of them
                                   .learning_rate = {.peak = 0.1, .warm_up = 5, .final = 0.01},
                                   .clip = clip,
                                   .average = 0.9};
    const auto training = sm::train(quadratic(3), implicit, X, options);
    sm::TrainOptions plain = options;
    plain.average = 0;
    const auto last = sm::train(quadratic(3), implicit, X, plain);

    double a = 3, m = 0, v = 0, mean = 3;
    for (int t = 1; t <= 40; ++t) {
      double g = a * second - 2;
      CHECK(training.history[static_cast<std::size_t>(t - 1)].gradient_norm == Approx(std::abs(g)).epsilon(1e-10));
      if (clip > 0 && std::abs(g) > clip) g *= clip / std::abs(g);
      m = 0.9 * m + 0.1 * g;
      v = 0.999 * v + 0.001 * g * g;
      const double rate = t <= 5 ? 0.1 * t / 5 : 0.01 + 0.09 * (1 + std::cos(M_PI * (t - 6) / 35)) / 2;
      a -= rate * (m / (1 - std::pow(0.9, t))) / (std::sqrt(v / (1 - std::pow(0.999, t))) + 1e-8);
      const double decay = std::min(0.9, (1.0 + t) / (10.0 + t));
      mean = decay * mean + (1 - decay) * a;
    }
    CHECK(last.model.parameters()[0] == Approx(a).epsilon(1e-10));
    CHECK(training.model.parameters()[0] == Approx(mean).epsilon(1e-10));
    CHECK(std::abs(a - mean) > 1e-3);
    CHECK(training.status == FitStatus::finished);
    CHECK(training.steps == 40);
    CHECK(training.loss.value == sm::loss(training.model, implicit, X).value);
  }
}

TEST_CASE("The average of theta is its closed form where theta moves along a line") {
  // With 1e-300 for a rate θ stays: the average stays too, exactly.
  const MatrixXd X = normals(2, 20, 1);
  const auto still = sm::train(quadratic(1.7), implicit, X, {.steps = 30, .learning_rate = {.peak = 1e-300}});
  CHECK(still.model.parameters()[0] == 1.7);
  // Weights of θ_0, …, θ_t in the average: the products of the decays; they sum to 1.
  sm::fitting::Adam adam{.rate = {.peak = 1, .decay = Decay::constant}, .steps = 100};
  VectorXd theta = VectorXd::Zero(3), average = theta;
  const VectorXd gradient = VectorXd::Constant(3, -2.0);  // constant: Adam's steps are all 1 (but for ε)
  const double decay = 0.8;
  for (int t = 1; t <= 25; ++t) adam.update(gradient, theta, 1, average, 1 - decay);
  CHECK(theta[2] == Approx(25).epsilon(1e-7));
  // a_t = Σ_k (1 − δ) δ^{t−k} k = t − δ (1 − δᵗ)/(1 − δ)
  CHECK(average[1] == Approx(25 - decay * (1 - std::pow(decay, 25)) / (1 - decay)).epsilon(1e-7));
}

TEST_CASE("Clipping scales a gradient and does not turn it; one pass over theta is the same however it is cut") {
  // Far more than one piece, and no whole number of registers.
  const Index p = 5 * sm::evaluate::Pieces::length + 13;
  VectorXd gradient(p);
  sm::extend::fill_normals<double>({1, sm::extend::Purpose::user}, sm::extend::Ids::from(0), p, 0, 1, gradient.data(),
                                   p);
  CHECK(sm::fitting::Norm().of(gradient) == Approx(gradient.norm()).epsilon(1e-13));
  VectorXd scaled = 0.25 * gradient;
  sm::fitting::Adam a{.rate = {.peak = 1e-2}, .steps = 10}, b = a;
  VectorXd theta_a = VectorXd::Ones(p), theta_b = theta_a;
  for (int t = 0; t < 3; ++t) {
    a.update(gradient, theta_a, 0.25);
    b.update(scaled, theta_b);
  }
  CHECK(theta_a == theta_b);
  CHECK(a.mean == b.mean);
  CHECK((a.mean / a.mean.norm() - gradient / gradient.norm()).norm() < 1e-14);
  // Every element by itself: those of the last, incomplete register as well.
  sm::fitting::Adam alone{.rate = {.peak = 1e-2}, .steps = 10};
  VectorXd tail = VectorXd::Ones(1), last = scaled.tail(1);
  for (int t = 0; t < 3; ++t) alone.update(last, tail);
  CHECK(tail[0] == theta_b[p - 1]);
  gradient[p - 2] = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(sm::fitting::Norm().of(gradient)));
}

// --- stops ---

TEST_CASE("A training that is stopped anywhere goes on to the same bits") {
  const MatrixXd X = normals(2, 300, 7), held_out = normals(2, 60, 8);
  const sm::TrainOptions options{.steps = 60,
                                 .batch = 64,  // passes of 5, the last of 44 samples
                                 .learning_rate = {.peak = 1e-2, .warm_up = 12},
                                 .clip = 1,
                                 .average = 0.95,
                                 .held_out = held_out,
                                 .check_every = 7,
                                 .patience = 100,
                                 .seed = 5};
  const auto whole = sm::train(network(), denoising, X, options);
  CHECK(whole.status == FitStatus::finished);
  CHECK(whole.resumed_at == 0);
  sm::TrainOptions at_the_end = options;  // where no step is left there is nothing to stop
  at_the_end.progress = until(60);
  same_bits(sm::train(network(), denoising, X, at_the_end), whole);
  // During the warm-up, in the middle of a pass, at its end, at a check, between checks, just before the end.
  for (const std::vector<Index>& stops : std::vector<std::vector<Index>>{{1}, {10}, {28}, {3, 13, 14, 35, 36, 59}}) {
    const FreshPath file("resume");
    sm::TrainOptions stopping = options;
    stopping.checkpoint = file.path;
    Index before = 0;
    for (const Index stop : stops) {
      stopping.progress = until(stop);
      const auto part = sm::train(network(), denoising, X, stopping);
      CHECK(part.status == FitStatus::stopped);
      CHECK(part.steps == stop);
      CHECK(part.resumed_at == before);
      auto loaded = network();
      sm::load_checkpoint(file.path, loaded);
      CHECK(loaded.parameters() == part.model.parameters());
      before = stop;
    }
    stopping.progress = {};
    // Whatever θ the model has now: the checkpoint's counts.
    auto other = network();
    other.set_parameters(VectorXd::Ones(other.parameters().size()));
    const auto rest = sm::train(other, denoising, X, stopping);
    CHECK(rest.resumed_at == before);
    CHECK(rest.checkpoint_error.empty());
    same_bits(rest, whole);
    auto loaded = network();
    sm::load_checkpoint(file.path, loaded);
    CHECK(loaded.parameters() == whole.model.parameters());
    // Finished: at once, with the same result.
    Index calls = 0;
    stopping.progress = [&](const sm::Progress&) { return ++calls > 0; };
    const auto again = sm::train(network(), denoising, X, stopping);
    CHECK(calls == 0);
    CHECK(again.resumed_at == 60);
    same_bits(again, whole);
  }
}

TEST_CASE("Writing checkpoints changes no bit of a training") {
  const MatrixXd X = normals(2, 100, 9);
  const FreshPath file("every_step");
  sm::TrainOptions options{.steps = 23, .batch = 30, .checkpoint = file.path, .checkpoint_every = 0};
  const auto with = sm::train(network(), denoising, X, options);
  options.checkpoint.clear();
  same_bits(with, sm::train(network(), denoising, X, options));
}

TEST_CASE("More steps and more patience: the training that had them from the start") {
  const MatrixXd X = normals(1, 25, 9), held_out = normals(1, 200, 10);
  const auto wide = sm::energy_model(
      1, [](auto x, auto theta) { return sm::mlp(x, theta, {.hidden = {16}, .seed = 3}) + 0.5 * squared_norm(x); });
  const FreshPath file("longer");
  sm::TrainOptions options{.steps = 31,  // passes of 3: the last one is cut
                           .batch = 10,
                           .learning_rate = {.peak = 0.03, .decay = Decay::constant},
                           .average = 0.5,
                           .held_out = held_out,
                           .patience = 1000,
                           .checkpoint = file.path};
  const auto first = sm::train(wide, implicit, X, options);
  CHECK(first.history.back().evaluations == 31);
  CHECK_FALSE(std::isnan(first.history.back().held_out));  // the last θ is checked as well
  options.steps = 600;
  const auto longer = sm::train(wide, implicit, X, options);
  CHECK(longer.resumed_at == 31);
  sm::TrainOptions at_once = options;
  at_once.checkpoint.clear();
  const auto whole = sm::train(wide, implicit, X, at_once);
  same_bits(longer, whole);
  CHECK(whole.held_out_loss < whole.history.back().held_out);  // it overfits: there is something to stop early

  const FreshPath patient("patient");
  sm::TrainOptions early = options;
  early.patience = 4;
  early.checkpoint = patient.path;
  sm::Progress end;
  early.progress = [&](const sm::Progress& p) {
    end = p;
    return true;
  };
  const auto stopped = sm::train(wide, implicit, X, early);
  CHECK(end.done == stopped.steps);
  CHECK(end.of == end.done);  // a progress line ends
  CHECK(stopped.status == FitStatus::early_stopped);
  CHECK(stopped.steps < 600);
  CHECK(sm::loss(stopped.model, implicit, held_out).value == stopped.held_out_loss);
  same_bits(sm::train(wide, implicit, X, early), stopped);
  early.patience = 1000;
  same_bits(sm::train(wide, implicit, X, early), whole);
}

TEST_CASE("The last check may be the best: the checkpoint's parameters for use are the result's") {
  const MatrixXd X = normals(2, 100, 11), held_out = normals(2, 100, 12);
  const FreshPath file("closing");
  const sm::TrainOptions options{
      .steps = 17, .batch = 20, .held_out = held_out, .checkpoint = file.path};  // passes of 5
  const auto training = sm::train(quadratic(3), implicit, X, options);
  CHECK(training.held_out_loss == training.history.back().held_out);  // it is still on its way down
  // What is checked is the average.
  const auto average = sm::train(quadratic(3), implicit, X, {.steps = 17, .batch = 20}),
             last = sm::train(quadratic(3), implicit, X, {.steps = 17, .batch = 20, .average = 0});
  CHECK(training.held_out_loss == sm::loss(average.model, implicit, held_out).value);
  CHECK(training.held_out_loss != sm::loss(last.model, implicit, held_out).value);
  auto loaded = quadratic(1);
  sm::load_checkpoint(file.path, loaded);
  CHECK(loaded.parameters() == training.model.parameters());
  same_bits(sm::train(quadratic(3), implicit, X, options), training);
}

TEST_CASE("Float data, and held-out data in float, go on to the same bits") {
  const Eigen::MatrixXf X = normals(2, 90, 14).cast<float>(), held_out = normals(2, 30, 15).cast<float>();
  const FreshPath file("float");
  sm::TrainOptions options{.steps = 30, .batch = 40, .held_out = held_out, .patience = 100};
  const auto whole = sm::train(quadratic(3), implicit, X, options);
  CHECK(whole.held_out_loss == sm::loss(whole.model, implicit, held_out).value);
  options.checkpoint = file.path;
  options.progress = until(11);
  (void)sm::train(quadratic(3), implicit, X, options);
  options.progress = {};
  same_bits(sm::train(quadratic(3), implicit, X, options), whole);
}

#ifdef _OPENMP
TEST_CASE("One thread and several train to the same bits") {
  // Enough parameters that the passes over θ are shared out.
  const MatrixXd X = normals(2, 64, 13);
  const auto large = sm::energy_model(2, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {365, 365}, .seed = 3}) + 0.5 * squared_norm(x);
  });
  REQUIRE(sm::evaluate::Pieces::count(large.parameters().size()) > sm::fitting::Adam::shared_from);
  const Index p = sm::fitting::Norm::shared_from * sm::evaluate::Pieces::length + 5;
  VectorXd gradient(p);
  sm::extend::fill_normals<double>({1, sm::extend::Purpose::user}, sm::extend::Ids::from(0), p, 0, 1, gradient.data(),
                                   p);
  const sm::TrainOptions options{.steps = 6, .batch = 40, .clip = 0.1};
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto one = sm::train(large, denoising, X, options);
  const double norm = sm::fitting::Norm().of(gradient);
  CHECK(norm == Approx(gradient.norm()).epsilon(1e-13));
  for (const int threads : {2, 3}) {
    omp_set_num_threads(threads);
    same_bits(sm::train(large, denoising, X, options), one);
    CHECK(sm::fitting::Norm().of(gradient) == norm);
  }
  omp_set_num_threads(before);
}
#endif

// --- labels ---

TEST_CASE("Labels are dropped as often as asked for, each by a number at its own address") {
  const Index n = 500, steps = 400;
  std::vector<int> labels(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int>(i % 7);
  // What the loss is told at (sample, step): the label, or −1; −2 where the sample was not in the minibatch.
  const auto told = [&](double dropout, Index batch, std::uint64_t seed) {
    Eigen::MatrixXi all = Eigen::MatrixXi::Constant(n, steps, -2);
    Index step = 0;
    const sm::fitting::MinibatchPlan plan{
        .samples = n, .batch = batch, .steps = steps, .seed = seed, .labels = labels, .label_dropout = dropout};
    sm::fitting::MinibatchState state{.theta = VectorXd::Zero(1)};
    sm::fitting::MinibatchLoop loop(
        plan,
        [&](const VectorXd&, const sm::LossOptions& options, bool, sm::Loss& loss) {
          REQUIRE(options.labels.size() == labels.size());
          for (const Index column : options.columns)
            all(column, step) = options.labels[static_cast<std::size_t>(column)];
          ++step;
          loss.value = 1;
          loss.gradient = VectorXd::Zero(1);
        },
        state);
    (void)loop.run([](double) { return std::string(); });
    return all;
  };
  const Eigen::MatrixXi some = told(0.3, 100, 1), half_batches = told(0.3, 50, 1), other_seed = told(0.3, 100, 2);
  double uses = 0, dropped = 0, both = 0, in_both = 0, differ = 0;
  for (Index i = 0; i < n; ++i)
    for (Index t = 0; t < steps; ++t) {
      const int label = static_cast<int>(i % 7);
      if (some(i, t) == -2) continue;
      CHECK((some(i, t) == label || some(i, t) == -1));
      ++uses;
      dropped += some(i, t) == -1;
      if (half_batches(i, t) != -2) CHECK(half_batches(i, t) == some(i, t));
      if (other_seed(i, t) == -2) continue;
      ++in_both;
      both += some(i, t) == -1 && other_seed(i, t) == -1;
      differ += some(i, t) != other_seed(i, t);
    }
  // Of a sample's 80 uses some keep the label and some do not.
  for (Index i = 0; i < n; ++i) CHECK(((some.row(i).array() == -1).any() && (some.row(i).array() >= 0).any()));
  CHECK(uses == n * steps / 5);
  CHECK(std::abs(dropped / uses - 0.3) < 5 * std::sqrt(0.3 * 0.7 / uses));  // false alarms: 6e-7
  CHECK(std::abs(both / in_both - 0.09) < 5 * std::sqrt(0.09 * 0.91 / in_both));
  CHECK(differ > 0);
  CHECK((told(1, 100, 1).array() <= -1).all());
  CHECK((told(0, 100, 1).array() != -1).all());
}

TEST_CASE("A model of classes learns each of them, and no class where labels are dropped") {
  // N(m_c, I) for c = 0, 1: the score of x + σz given the class is (m_c − x)/(1 + σ²), without one it is a mixture's; a
  // model linear in x takes the mean of the means.
  const Index n = 1000;
  MatrixXd X = normals(2, n, 21);
  std::vector<int> labels(n);
  for (Index i = 0; i < n; ++i) {
    labels[static_cast<std::size_t>(i)] = static_cast<int>(i % 2);
    X(0, i) += i % 2 == 0 ? -1.5 : 2.5;
  }
  const auto model = sm::score_model(2, sm::classes{2}, [](auto x, auto, auto label, auto theta) {
    const auto known = sum(label);  // 1, or 0 without a class
    return (theta("means", 2, 2) * label + (1 - known) * theta("mean", 2) - x) / 1.25;
  });
  const FreshPath file("labels");
  sm::TrainOptions options{.steps = 600,
                           .batch = 100,
                           .learning_rate = {.peak = 0.05},
                           .labels = labels,
                           .label_dropout = 0.25,
                           .held_out = X.leftCols(40),
                           .held_out_labels = {labels.begin(), labels.begin() + 40},
                           .patience = 1000};
  const auto training = sm::train(model, denoising, X, options);
  options.held_out = {};
  options.held_out_labels = {};
  const auto last = sm::train(model, denoising, X, options);
  const MatrixXd means = last.model.parameter("means"), mean = last.model.parameter("mean");
  CHECK(means(0, 0) == Approx(-1.5).margin(0.15));
  CHECK(means(0, 1) == Approx(2.5).margin(0.15));
  CHECK(mean(0) == Approx(0.5).margin(0.3));
  CHECK(last.loss.value == sm::loss(last.model, denoising, X, {.labels = labels}).value);
  CHECK(training.held_out_loss ==
        sm::loss(training.model, denoising, X.leftCols(40), {.labels = {labels.data(), 40}}).value);

  options.checkpoint = file.path;
  options.progress = until(137);
  (void)sm::train(model, denoising, X, options);
  options.progress = {};
  same_bits(sm::train(model, denoising, X, options), last);

  // Without dropout the mean of no class never moves.
  options.checkpoint.clear();
  options.label_dropout = 0;
  options.steps = 20;
  CHECK(sm::train(model, denoising, X, options).model.parameter("mean").norm() == 0);
}

// --- what a user sees ---

TEST_CASE("A resumed training's progress claims the steps and the seconds of its own call alone") {
  const MatrixXd X = normals(2, 100, 9);
  const FreshPath file("progress");
  sm::TrainOptions options{.steps = 50,
                           .batch = 30,
                           .held_out = normals(2, 30, 1),
                           .check_every = 10,
                           .checkpoint = file.path,
                           .progress = until(40)};
  (void)sm::train(network(), denoising, X, options);
  std::vector<sm::Progress> seen;
  options.progress = [&](const sm::Progress& p) {
    seen.push_back(p);
    return true;
  };
  const auto training = sm::train(network(), denoising, X, options);
  REQUIRE(seen.size() == 10);
  for (std::size_t i = 0; i < 10; ++i) {
    const sm::Progress& p = seen[i];
    CHECK(std::string(p.task) == "train");
    CHECK(p.done == 41 + static_cast<Index>(i));
    CHECK(p.of == 50);
    CHECK(p.began == 40);
    CHECK(p.rate() * p.seconds == Approx(static_cast<double>(i + 1)));
    CHECK(p.seconds_left() ==
          Approx(p.seconds * static_cast<double>(9 - i) / static_cast<double>(i + 1)).margin(1e-12));
    CHECK(p.warning.empty());
  }
  CHECK(seen.back().held_out == training.history.back().held_out);
  CHECK(std::string(sm::detail::Duration(48).text) == "48 s");
  CHECK(std::string(sm::detail::Duration(12 * 60 + 3).text) == "12 min");
  CHECK(std::string(sm::detail::Duration(3 * 3600 + 7 * 60).text) == "3 h 07 min");
  CHECK(std::string(sm::detail::Duration(2 * 3600 - 1).text) == "2 h 00 min");
}

TEST_CASE("A training: every outcome is a status with finite parameters") {
  const MatrixXd X = 5 * normals(2, 100, 8), zeros = MatrixXd::Zero(2, 5);
  const auto walled = [](double a) {  // not a number for a < 0
    return sm::energy_model(
        2, [a](auto x, auto theta) { return 0.5 * sqrt(theta("a", sm::start_at(a))) * squared_norm(x); });
  };
  const FreshPath file("outcome");
  sm::TrainOptions options{.steps = 300, .learning_rate = {.peak = 0.1}, .average = 0, .checkpoint = file.path};

  SECTION("a wall on the way: the checkpoint is the last good one") {
    options.checkpoint_every = 0;
    const auto training = sm::train(walled(0.25), implicit, X, options);
    CHECK(training.status == FitStatus::non_finite);
    CHECK(training.non_finite == 1);
    CHECK(training.steps > 0);
    CHECK(training.model.parameters()[0] > 0);
    CHECK(std::isfinite(training.loss.value));
    for (const sm::FitStep& step : training.history) CHECK(training.loss.value <= step.loss + 1e-12);
    auto loaded = walled(1);
    sm::load_checkpoint(file.path, loaded);
    CHECK(std::isfinite(loaded.parameters()[0]));
    same_bits(sm::train(walled(0.25), implicit, X, options), training);  // and is met again
  }
  SECTION("not a number at the start") {
    const auto training = sm::train(walled(-1), implicit, X, options);
    CHECK(training.status == FitStatus::non_finite);
    CHECK(training.model.parameters()[0] == -1);
    CHECK(std::isnan(training.loss.value));
    CHECK(training.steps == 0);
    same_bits(sm::train(walled(-1), implicit, X, {.steps = 300, .learning_rate = {.peak = 0.1}, .average = 0}),
              sm::train(walled(-1), implicit, X, options));
  }
  SECTION("unbounded below") {
    const auto collapsing =
        sm::energy_model(2, [](auto x, auto theta) { return 0.5 * exp(theta("t")) * squared_norm(x); });
    options.learning_rate.peak = 1;
    const auto training = sm::train(collapsing, implicit, zeros, options);
    CHECK(training.status == FitStatus::diverged);
    CHECK(training.model.parameters().allFinite());
    CHECK(std::isfinite(training.loss.value));
  }
  for (const auto status :
       {FitStatus::finished, FitStatus::stopped, FitStatus::early_stopped, FitStatus::diverged, FitStatus::non_finite})
    CHECK_FALSE(std::string(sm::to_string(status)).empty());
}
