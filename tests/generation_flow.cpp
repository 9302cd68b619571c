// What must be true of the probability-flow ODE with steps of its own: tolerance, transport, and the likelihood.
//
// Seeds are fixed, so nothing here fails by chance. Had a seed been drawn by chance, each statistical check, |z| < 4,
// would fail a correct library with probability 6·10⁻⁵, all of them (less than 20) together with less than 0.2 %.
#include "catch.hpp"

#include <cmath>
#include <string>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "fixtures.hpp"
#include "scorematch/likelihood/flow_log_likelihood.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/sampler/generate.hpp"
#include "scorematch/sampler/probability_flow.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::same_bits;
using sm::Index;

namespace {

constexpr double limit = 4;  // of a standard normal statistic
constexpr double log_2_pi = 1.8378770664093454836;

/// N(0, v I), blurred.
sm::EnergyModel gaussian(Index d, double v) {
  return sm::energy_model(d, [v](auto x, auto sigma, auto) { return 0.5 * squared_norm(x) / (v + square(sigma)); });
}

/// N(0, ((1, 0.8), (0.8, 1))), blurred.
sm::EnergyModel correlated() {
  return sm::energy_model(2, [](auto x, auto sigma, auto) {
    auto s = 1 + square(sigma);
    return 0.5 * (s * squared_norm(x) - 1.6 * x[0] * x[1]) / (square(s) - 0.64);
  });
}

double correlated_log_density(const VectorXd& x, double sigma) {
  const double s = 1 + sigma * sigma, determinant = s * s - 0.64;
  return -0.5 * (s * x.squaredNorm() - 1.6 * x[0] * x[1]) / determinant - 0.5 * std::log(determinant) - log_2_pi;
}

/// 0.3 N(−1.4, 0.25) + 0.7 N(0.6, 0.49), blurred: mean 0, variance 1.258.
struct Mixture {
  static constexpr double weight[2] = {0.3, 0.7}, centre[2] = {-1.4, 0.6}, variance[2] = {0.25, 0.49};

  static sm::EnergyModel model() {
    return sm::energy_model(1, [](auto x, auto sigma, auto) {
      const auto part = [&](int k) {
        auto v = variance[k] + square(sigma);
        return std::log(weight[k]) - 0.5 * log(v) - 0.5 * square(x[0] - centre[k]) / v;
      };
      return -log_sum_exp(sm::concat(part(0), part(1)));
    });
  }
  static double log_density(double x, double sigma) {
    double sum = 0;
    for (int k = 0; k < 2; ++k) {
      const double v = variance[k] + sigma * sigma;
      sum += weight[k] * std::exp(-0.5 * (x - centre[k]) * (x - centre[k]) / v) / std::sqrt(v);
    }
    return std::log(sum) - 0.5 * log_2_pi;
  }
  static double distribution(double x, double sigma) {
    double sum = 0;
    for (int k = 0; k < 2; ++k)
      sum += weight[k] * 0.5 * std::erfc((centre[k] - x) / std::sqrt(2 * (variance[k] + sigma * sigma)));
    return sum;
  }
};

/// Two classes, N(centre, v); none: N(0, v).
sm::EnergyModel classes(double v) {
  return sm::energy_model(2, sm::classes{2}, [v](auto x, auto sigma, auto label, auto) {
    const MatrixXd centres = (MatrixXd(2, 2) << 3, -3, 0, 1).finished();
    return 0.5 * squared_norm(x - centres * label) / (v + square(sigma));
  });
}

/// The Gaussian model as a user's class: its trace is found by differences.
struct GaussianClass {
  Index dimension() const { return 2; }
  void score(Eigen::Ref<const MatrixXd> X, Eigen::Ref<const VectorXd> sigma, Eigen::Ref<MatrixXd> S) const {
    for (Index b = 0; b < X.cols(); ++b) S.col(b) = -X.col(b) / (0.7 + sigma[b] * sigma[b]);
  }
};

MatrixXd some_points(Index d, Index count, double deviation) {
  MatrixXd X(d, count);
  sm::Stream stream({3, sm::extend::Purpose::user}, 0);
  for (Index i = 0; i < X.size(); ++i) X.data()[i] = deviation * stream.normal();
  return X;
}

double gaussian_log_density(const VectorXd& x, double variance) {
  return -0.5 * (x.squaredNorm() / variance + static_cast<double>(x.size()) * (std::log(variance) + log_2_pi));
}

}  // namespace

TEST_CASE("The adaptive flow meets its tolerance, at the cost of a method of order 5") {
  constexpr double v = 0.7, S = 40, s = 0.01;
  const MatrixXd start = some_points(3, 20, S);
  double evaluations[3];
  const double tolerances[3] = {1e-3, 1e-6, 1e-9};
  for (int k = 0; k < 3; ++k) {
    const auto end =
        sm::generate(gaussian(3, v),
                     sm::probability_flow{.sigma_max = S, .sigma_min = s, .tolerance = tolerances[k], .denoise = false},
                     {.count = 20, .start = start});
    CAPTURE(tolerances[k]);
    CHECK(end.status == sm::GenerationStatus::complete);
    CHECK(end.sigma == s);
    CHECK((end.points - std::sqrt((v + s * s) / (v + S * S)) * start).cwiseAbs().maxCoeff() < 10 * tolerances[k]);
    evaluations[k] = end.evaluations.cast<double>().mean();
  }
  CAPTURE(evaluations[0], evaluations[1], evaluations[2]);
  // h ∝ tolerance^{1/5}: a thousandth of it takes at most 4.0 times the steps (5.6 times at order 4, 10 at order 3)
  CHECK(evaluations[2] / evaluations[1] < 4.2);
}

TEST_CASE("The flow ends with the mean of the data given x") {
  constexpr double v = 0.7, s = 0.5;
  const MatrixXd start = some_points(3, 20, 10);
  sm::probability_flow flow{.sigma_max = 10, .sigma_min = s, .denoise = false};
  const auto blurred = sm::generate(gaussian(3, v), flow, {.count = 20, .start = start});
  flow.denoise = true;
  const auto end = sm::generate(gaussian(3, v), flow, {.count = 20, .start = start});
  CHECK((end.points - v / (v + s * s) * blurred.points).cwiseAbs().maxCoeff() < 1e-14);
  CHECK(end.sigma == 0);
}

TEST_CASE("The flow of one dimension keeps every point's place in the distribution") {
  constexpr double S = 10, s = 0.05;
  MatrixXd start(1, 41);
  for (Index i = 0; i < 41; ++i) start(0, i) = S * (-2 + 0.1 * static_cast<double>(i));
  const auto end = sm::generate(
      Mixture::model(), sm::probability_flow{.sigma_max = S, .sigma_min = s, .tolerance = 1e-8, .denoise = false},
      {.count = 41, .start = start});
  for (Index i = 0; i < 41; ++i)
    CHECK(Mixture::distribution(end.points(0, i), s) == Approx(Mixture::distribution(start(0, i), S)).margin(1e-6));
}

TEST_CASE("The flow brings a blurred mixture back, with its weights") {
  constexpr double S = 20;
  constexpr Index count = 10000;
  const auto blurred = [](sm::Stream& stream) {
    const int k = stream.uniform() < Mixture::weight[0] ? 0 : 1;
    return VectorXd::Constant(1, Mixture::centre[k] + std::sqrt(Mixture::variance[k] + S * S) * stream.normal());
  };
  const auto end = sm::generate(Mixture::model(), sm::probability_flow{.sigma_max = S, .sigma_min = 0.002},
                                {.count = count, .start = blurred});
  CHECK(end.sigma == 0);
  const double below = static_cast<double>((end.points.array() < -0.6).count()) / count;
  const double share = Mixture::distribution(-0.6, 0);
  CHECK(std::abs(below - share) / std::sqrt(share * (1 - share) / count) < limit);
  CHECK(std::abs(end.points.mean()) / std::sqrt(1.258 / count) < limit);
  // fourth moment: Σ w (c⁴ + 6 c² v + 3 v²) = 3.86
  CHECK(std::abs(end.points.squaredNorm() / count - 1.258) / std::sqrt((3.86 - 1.258 * 1.258) / count) < limit);
}

TEST_CASE("The flow's likelihood is that of the blurred data, sample by sample") {
  constexpr double smallest = 0.05;
  SECTION("a correlated Gaussian") {
    const MatrixXd X = some_points(2, 30, 1.3);
    const auto ll =
        sm::flow_log_likelihood(correlated(), X, {.sigma_max = 300, .sigma_min = smallest, .data_variance = 1});
    REQUIRE(ll.status == sm::FlowStatus::complete);
    double total = 0;
    for (Index n = 0; n < 30; ++n) {
      const double truth = correlated_log_density(X.col(n), smallest);
      CHECK(std::abs(ll.per_sample[n] - truth) < 1e-3);
      total += truth;
    }
    CHECK(ll.total == Approx(total).margin(0.01));
    CHECK(ll.mean == Approx(total / 30).margin(1e-3));
    const double spread = std::sqrt((ll.per_sample.array() - ll.mean).square().sum() / 29 / 30);
    CHECK(ll.standard_error == Approx(spread));
  }
  SECTION("a mixture") {
    MatrixXd X(1, 61);
    for (Index i = 0; i < 61; ++i) X(0, i) = -3 + 0.1 * static_cast<double>(i);
    const auto ll =
        sm::flow_log_likelihood(Mixture::model(), X, {.sigma_max = 200, .sigma_min = smallest, .data_variance = 1.258});
    for (Index n = 0; n < 61; ++n) CHECK(std::abs(ll.per_sample[n] - Mixture::log_density(X(0, n), smallest)) < 1e-3);
  }
  SECTION("a score model, a user's class, and float") {
    const MatrixXd X = some_points(2, 9, 1);
    const auto score = sm::score_model(2, [](auto x, auto sigma, auto) { return -x / (0.7 + square(sigma)); });
    const sm::FlowLikelihoodOptions options{.sigma_max = 50, .sigma_min = smallest, .data_variance = 0.7};
    const auto a = sm::flow_log_likelihood(score, X, options);
    const auto b = sm::flow_log_likelihood(GaussianClass{}, X, options);
    const auto c = sm::flow_log_likelihood(score, X.cast<float>(), options);
    for (Index n = 0; n < 9; ++n) {
      const double truth = gaussian_log_density(X.col(n), 0.7 + smallest * smallest);
      CHECK(std::abs(a.per_sample[n] - truth) < 1e-3);
      CHECK(std::abs(b.per_sample[n] - truth) < 1e-3);
      CHECK(std::abs(c.per_sample[n] - truth) < 1e-3);
    }
    CHECK((a.latent - std::sqrt((0.7 + 2500) / (0.7 + smallest * smallest)) * X).cwiseAbs().maxCoeff() < 0.02);
  }
  SECTION("labels and guidance") {
    const MatrixXd X = some_points(2, 3, 1);
    const std::vector<int> labels = {0, 1, -1};
    const Eigen::Vector2d centre[3] = {{3, 0}, {-3, 1}, {0, 0}};
    const double w = GENERATE(1.0, 1.5, 0.0);
    const auto ll = sm::flow_log_likelihood(classes(0.5), X,
                                            {.sigma_max = 3e4, .sigma_min = smallest, .labels = labels, .guidance = w});
    for (Index n = 0; n < 3; ++n)
      CHECK(std::abs(ll.per_sample[n] - gaussian_log_density(X.col(n) - w * centre[n], 0.5 + smallest * smallest)) <
            2e-3);
  }
}

TEST_CASE("Hutchinson's estimate of the flow's likelihood is unbiased, and better with more directions") {
  constexpr Index count = 4000;
  const MatrixXd x = some_points(2, 1, 1), X = x.replicate(1, count);
  const sm::FlowLikelihoodOptions exact{.sigma_max = 50, .sigma_min = 0.05, .data_variance = 1, .tolerance = 1e-4};
  const double truth = sm::flow_log_likelihood(correlated(), x, exact).mean;
  double variance[2];
  for (const int k : {0, 1}) {
    sm::FlowLikelihoodOptions options = exact;
    options.trace = sm::FlowTrace::hutchinson;
    options.projections = k == 0 ? 1 : 4;
    const auto ll = sm::flow_log_likelihood(correlated(), X, options);
    if (k == 0) {  // each sample has signs of its own: v₀v₁ = 1 makes the trace larger, and log p less
      MatrixXd V(count, 2);
      sm::extend::fill_signs<double>({0, sm::extend::Purpose::projection}, sm::extend::Ids::from(0), count, 0, 2,
                                     V.data(), count);
      bool agree = true;
      for (Index n = 0; n < count; ++n) agree = agree && (ll.per_sample[n] < truth) == (V(n, 0) * V(n, 1) > 0);
      CHECK(agree);
    }
    variance[k] = ll.standard_error * ll.standard_error * count;
    CHECK(variance[k] > 0.01);
    // 1e-3: the two integrals have steps of their own
    CHECK(std::abs(ll.mean - truth) < limit * ll.standard_error + 1e-3);
  }
  CHECK(variance[0] / variance[1] == Approx(4).epsilon(0.15));
}

TEST_CASE("Beyond 64 dimensions the trace is estimated") {
  const MatrixXd X = some_points(70, 3, 1);  // of a multiple of I the estimate has no variance
  const auto ll =
      sm::flow_log_likelihood(gaussian(70, 0.7), X, {.sigma_max = 50, .sigma_min = 0.05, .data_variance = 0.7});
  for (Index n = 0; n < 3; ++n)
    CHECK(ll.per_sample[n] == Approx(gaussian_log_density(X.col(n), 0.7 + 0.0025)).margin(5e-3));
}

TEST_CASE("Paths of the flow are the same bits for any number of threads, whatever the other rows are") {
  const sm::probability_flow flow{.sigma_max = 10, .sigma_min = 0.01};
  const sm::FlowLikelihoodOptions options{
      .sigma_max = 10, .sigma_min = 0.05, .trace = sm::FlowTrace::hutchinson, .projections = 2};
  const auto many = sm::generate(Mixture::model(), flow, {.count = 300, .seed = 4});
  const MatrixXd X = some_points(2, 700, 1);
  const auto ll = sm::flow_log_likelihood(correlated(), X, options);
#ifdef _OPENMP
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    CHECK(same_bits<double>(many.points, sm::generate(Mixture::model(), flow, {.count = 300, .seed = 4}).points));
    CHECK(same_bits<double>(ll.per_sample, sm::flow_log_likelihood(correlated(), X, options).per_sample));
  }
  omp_set_num_threads(before);
#endif
  const auto few = sm::generate(Mixture::model(), flow, {.count = 5, .seed = 4});
  CHECK((few.points - many.points.leftCols(5)).cwiseAbs().maxCoeff() < 1e-12);
  CHECK(few.evaluations == many.evaluations.head(5));
  CHECK(many.evaluations.minCoeff() < many.evaluations.maxCoeff());  // each has steps of its own
  // In another order, a point has other neighbours, and the same path.
  const MatrixXd start = some_points(1, 300, 10), turned = start.rowwise().reverse();
  const auto there = sm::generate(Mixture::model(), flow, {.count = 300, .start = start});
  const auto back = sm::generate(Mixture::model(), flow, {.count = 300, .start = turned});
  CHECK((there.points - back.points.rowwise().reverse()).cwiseAbs().maxCoeff() < 1e-12);
  CHECK(there.evaluations == back.evaluations.reverse());
  const auto alone = sm::flow_log_likelihood(correlated(), X.leftCols(2), options);
  CHECK((alone.per_sample - ll.per_sample.head(2)).cwiseAbs().maxCoeff() < 1e-10);
}

TEST_CASE("A flow that does not arrive has a status") {
  const auto few = sm::generate(gaussian(1, 1), sm::probability_flow{.sigma_max = 10, .most_steps = 3}, {.count = 20});
  CHECK(few.status == sm::GenerationStatus::unfinished);
  CHECK(few.unfinished_chains == 20);
  CHECK(std::string(to_string(few.status)) == "unfinished");

  for (const double tolerance : {1e-300, 1e-40}) {  // no digits are left for it, but all is finite
    const auto fine =
        sm::generate(gaussian(1, 1), sm::probability_flow{.sigma_max = 10, .tolerance = tolerance}, {.count = 20});
    CHECK(fine.status == sm::GenerationStatus::unfinished);
    CHECK(fine.lost_chains == 0);
    CHECK(fine.unfinished_chains == 20);
    CHECK(fine.evidence.find("rounding") != std::string::npos);
    const auto likelihood = sm::flow_log_likelihood(gaussian(1, 1), MatrixXd::Constant(1, 3, 0.5),
                                                    {.sigma_max = 10, .tolerance = tolerance});
    CHECK(likelihood.status == sm::FlowStatus::unfinished);
  }

  const auto wall = sm::energy_model(1, [](auto x, auto, auto) { return 1e-3 * sqrt(x[0] + 3); });  // NaN below −3
  const Eigen::RowVector3d start(2, -4, 3);
  const sm::probability_flow unit{.sigma_max = 1, .sigma_min = 0.1};
  const auto lost = sm::generate(wall, unit, {.count = 3, .start = start});
  CHECK(lost.status == sm::GenerationStatus::diverged);
  CHECK(lost.lost_chains == 1);
  CHECK(lost.points(0, 1) == -4);
  CHECK(lost.points.allFinite());
  const auto ll = sm::flow_log_likelihood(wall, start, {.sigma_max = 1, .sigma_min = 0.1});
  CHECK(ll.status == sm::FlowStatus::diverged);
  CHECK(ll.incomplete == 1);
  CHECK(ll.sample_status[1] == sm::FlowStatus::diverged);
  CHECK(std::isnan(ll.per_sample[1]));
  CHECK(std::isnan(ll.total));
  CHECK(std::isfinite(ll.per_sample[2]));
  const auto late = sm::flow_log_likelihood(gaussian(1, 1), start, {.most_steps = 2});
  CHECK(late.status == sm::FlowStatus::unfinished);

  double last = -1;
  const auto stopped = sm::generate(gaussian(1, 1), sm::probability_flow{.sigma_max = 10, .tolerance = 1e-9},
                                    {.count = 20, .progress = [&](const sm::Progress& p) {
                                       CHECK(p.value > last);
                                       last = p.value;
                                       return p.value < 0.3;
                                     }});
  CHECK(stopped.status == sm::GenerationStatus::stopped);
  CHECK(std::isnan(stopped.sigma));
  CHECK(stopped.evaluations.minCoeff() > 6);
  const auto interrupted = sm::flow_log_likelihood(gaussian(1, 1), some_points(1, 20000, 1),
                                                   {.progress = [](const sm::Progress& p) { return p.done < 2000; }});
  CHECK(interrupted.status == sm::FlowStatus::stopped);
  CHECK(interrupted.incomplete > 0);
  CHECK(std::isfinite(interrupted.per_sample[0]));
}

TEST_CASE("Options of the flow out of range are named") {
  const auto model = gaussian(2, 1);
  const MatrixXd X = MatrixXd::Zero(2, 3);
  const std::vector<int> labels = {0, 1, 0};
  CHECK_THROWS_WITH(sm::generate(model, sm::probability_flow{.sigma_min = 0}), ContainsSubstring("sigma_min is 0"));
  CHECK_THROWS_WITH(sm::generate(model, sm::probability_flow{.tolerance = -1}), ContainsSubstring("tolerance is -1"));
  CHECK_THROWS_WITH(sm::generate(model, sm::probability_flow{}, {.count = 3, .known = X}),
                    ContainsSubstring("no levels"));
  CHECK_THROWS_WITH(sm::flow_log_likelihood(model, MatrixXd::Zero(3, 2)), ContainsSubstring("is it transposed"));
  CHECK_THROWS_WITH(sm::flow_log_likelihood(model, X, {.sigma_max = 0.001}), ContainsSubstring("sigma_max is 0.001"));
  CHECK_THROWS_WITH(sm::flow_log_likelihood(model, X, {.data_variance = -1}), ContainsSubstring("data_variance is -1"));
  CHECK_THROWS_WITH(sm::flow_log_likelihood(model, X, {.projections = 0}), ContainsSubstring("projections is 0"));
  CHECK_THROWS_WITH(sm::flow_log_likelihood(model, X, {.labels = labels}), ContainsSubstring("takes no label"));
  CHECK_THROWS_WITH(sm::flow_log_likelihood(classes(1), X, {.guidance = 3}), ContainsSubstring("labels are missing"));
  const auto plain = sm::energy_model(2, [](auto x, auto) { return squared_norm(x); });
  CHECK_THROWS_WITH(sm::flow_log_likelihood(plain, X), ContainsSubstring("takes no sigma"));
}
