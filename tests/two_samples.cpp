// What compares generated samples with real ones: nearest samples, the sliced Wasserstein distance, and classifiers.
#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "scorematch/divergence/classifier_two_sample_test.hpp"
#include "scorematch/divergence/nearest_samples.hpp"
#include "scorematch/divergence/sliced_wasserstein.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

MatrixXd normals(Index d, Index count, std::uint64_t seed) {
  MatrixXd X(d, count);
  for (Index i = 0; i < count; ++i) X.col(i) = sm::Stream({seed}, i).normals(d);
  return X;
}

/// Whole numbers from 0 to n − 1, so that many distances are the same.
MatrixXd grid_points(Index d, Index count, Index n, std::uint64_t seed) {
  MatrixXd X(d, count);
  sm::Stream stream({seed});
  for (Index k = 0; k < X.size(); ++k) X.data()[k] = static_cast<double>(stream.below(n));
  return X;
}

MatrixXd side_by_side(const MatrixXd& X, const MatrixXd& Y) {
  MatrixXd both(X.rows(), X.cols() + Y.cols());
  both << X, Y;
  return both;
}

/// The nearest columns of Y to x, without the column `own`, by the definition.
std::vector<Index> nearest_by_definition(const VectorXd& x, const MatrixXd& Y, Index own) {
  std::vector<Index> nearest;
  double least = std::numeric_limits<double>::infinity();
  for (Index j = 0; j < Y.cols(); ++j) {
    const double distance = (x - Y.col(j)).squaredNorm();
    if (j == own || distance > least) continue;
    if (distance < least) nearest.clear();
    nearest.push_back(j);
    least = distance;
  }
  return nearest;
}

/// Each sample's share of nearest others that are of its own kind: the mean over X's and over Y's.
std::pair<double, double> accuracies_by_definition(const MatrixXd& X, const MatrixXd& Y) {
  const MatrixXd both = side_by_side(X, Y);
  double right[2] = {0, 0};
  for (Index i = 0; i < both.cols(); ++i) {
    const std::vector<Index> nearest = nearest_by_definition(both.col(i), both, i);
    const auto of_its_kind = [&](Index j) { return (j < X.cols()) == (i < X.cols()); };
    right[i < X.cols() ? 0 : 1] += static_cast<double>(std::count_if(nearest.begin(), nearest.end(), of_its_kind)) /
                                   static_cast<double>(nearest.size());
  }
  return {right[0] / static_cast<double>(X.cols()), right[1] / static_cast<double>(Y.cols())};
}

/// The directions of a sliced_wasserstein: d × projections.
MatrixXd directions(Index d, const sm::SlicedWassersteinOptions& options) {
  MatrixXd theta(options.projections, d);
  sm::extend::fill_normals<double>({options.seed, sm::extend::Purpose::projection}, sm::extend::Ids::from(0),
                                   options.projections, 0, d, theta.data(), options.projections);
  return theta.transpose().colwise().normalized();
}

double normal_below(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

}  // namespace

TEST_CASE("Nearest samples are those of the definition, whatever the sizes, and of ties the first") {
  for (const auto& [d, N, M] : {std::array<Index, 3>{1, 1, 1}, {2, 33, 7}, {3, 70, 129}, {17, 5, 64}}) {
    const MatrixXd X = normals(d, N, 1), Y = normals(d, M, 2);
    const sm::NearestSamples found = sm::nearest_samples(X, Y), own = sm::nearest_samples(grid_points(d, N + 1, 3, 3));
    for (Index i = 0; i < N; ++i) {
      const Index nearest = nearest_by_definition(X.col(i), Y, -1).front();
      REQUIRE(found.index[i] == nearest);
      REQUIRE(found.distance[i] == Approx((X.col(i) - Y.col(nearest)).norm()).epsilon(1e-13));
    }
    for (Index i = 0; i <= N; ++i) {
      const MatrixXd points = grid_points(d, N + 1, 3, 3);
      REQUIRE(own.index[i] == nearest_by_definition(points.col(i), points, i).front());
      REQUIRE(own.distance[i] == (points.col(i) - points.col(own.index[i])).norm());
    }
  }
}

TEST_CASE("Copies are seen: their distance is 0, far from the origin too, and the data's own is not") {
  const MatrixXd real = (normals(5, 200, 4).array() + 1e6).matrix();
  const MatrixXd copies = real.leftCols(50);
  const sm::NearestSamples found = sm::nearest_samples(copies, real);
  CHECK(found.distance.maxCoeff() == 0);
  for (Index i = 0; i < 50; ++i) CHECK(found.index[i] == i);
  CHECK(sm::nearest_samples(real).distance.minCoeff() > 0);
  CHECK(sm::nearest_samples(copies.cast<float>(), real.cast<float>()).distance.maxCoeff() == 0);
}

TEST_CASE("The text of distances has their quartiles") {
  const MatrixXd X = Eigen::RowVectorXd::LinSpaced(5, 0, 4), origin = MatrixXd::Zero(1, 1);
  CHECK_THAT(sm::nearest_samples(X, origin).text(), ContainsSubstring("least 0, quartiles 1 2 3, largest 4"));
}

TEST_CASE("Sliced Wasserstein of a shift is the shift's part along each direction, ‖m‖²/d in the mean") {
  const Index d = 4;
  const sm::SlicedWassersteinOptions options{.projections = 2000, .seed = 5};
  const MatrixXd X = normals(d, 77, 6);
  const VectorXd shift = Eigen::Vector4d(1, -2, 0.5, 0.3);
  const sm::SlicedWasserstein found = sm::sliced_wasserstein(X, X.colwise() + shift, options);
  const VectorXd along = directions(d, options).transpose() * shift;
  CHECK((found.per_projection - along.cwiseAbs2()).cwiseAbs().maxCoeff() < 1e-12);
  CHECK(found.value * found.value == Approx(found.per_projection.mean()).epsilon(1e-12));
  const double mean = shift.squaredNorm() / d;
  CHECK(std::abs(found.value - std::sqrt(mean)) < 4 * found.standard_error);  // false alarm 6e-5
  // E⟨m, θ⟩⁴ = 3‖m‖⁴/(d(d + 2)); the error of a root is that of the square over twice the root
  const double variance = 3 * std::pow(shift.squaredNorm(), 2) / (d * (d + 2)) - mean * mean;
  CHECK(found.standard_error ==
        Approx(std::sqrt(variance / static_cast<double>(options.projections)) / (2 * std::sqrt(mean))).epsilon(0.1));
}

TEST_CASE("Sliced Wasserstein of a multiple, and of normal laws of two widths") {
  const sm::SlicedWassersteinOptions options{.projections = 500, .seed = 7};
  const MatrixXd X = normals(3, 50, 8), theta = directions(3, options);
  const VectorXd squares = (theta.transpose() * X).cwiseAbs2().rowwise().mean();
  const sm::SlicedWasserstein found = sm::sliced_wasserstein(X, 2.5 * X, options);
  CHECK((found.per_projection - 1.5 * 1.5 * squares).cwiseAbs().maxCoeff() < 1e-12);
  // W₂ between N(0, 1) and N(0, 4) is 1; a sample's width is off by width/√(2N). False alarm below 1e-4.
  const sm::SlicedWasserstein wide = sm::sliced_wasserstein(normals(3, 4000, 9), 2 * normals(3, 3000, 10), options);
  CHECK(std::abs(wide.value - 1) < 4 * std::sqrt(1.0 / 8000 + 4.0 / 6000));
}

TEST_CASE("Sliced Wasserstein is a metric for fixed directions, and does not mind order or repetition") {
  const sm::SlicedWassersteinOptions options{.projections = 50, .seed = 11};
  const MatrixXd X = normals(3, 40, 12), Y = 1.5 * normals(3, 25, 13), Z = (normals(3, 31, 14).array() + 0.5).matrix();
  const auto distance = [&](const MatrixXd& A, const MatrixXd& B) {
    return sm::sliced_wasserstein(A, B, options).value;
  };
  CHECK(distance(X, Y) == distance(Y, X));
  CHECK(distance(X, Z) <= distance(X, Y) + distance(Y, Z));
  CHECK(distance(X, Y) <= distance(X, Z) + distance(Z, Y));
  CHECK(distance(X, Y) > 0.1);
  CHECK(distance(X, X.rowwise().reverse()) == 0);
  CHECK(sm::sliced_wasserstein(X, X, options).standard_error == 0);
  CHECK(distance(X, side_by_side(X, X)) == 0);
  CHECK(distance(side_by_side(X, X), side_by_side(Y, side_by_side(Y, Y))) == Approx(distance(X, Y)).epsilon(1e-13));
}

TEST_CASE("On the line the coupling of quantiles is the best one, for samples of any two sizes") {
  for (const auto& [N, M] : {std::pair<Index, Index>{2, 3}, {3, 2}, {1, 5}, {2, 4}, {6, 6}}) {
    const MatrixXd X = normals(1, N, 15), Y = 2 * normals(1, M, 16);
    // Each sample as often as makes the sizes equal: then some assignment one to one is a best coupling.
    const Index size = std::lcm(N, M);
    std::vector<Index> order(static_cast<std::size_t>(size));
    std::iota(order.begin(), order.end(), Index{0});
    double least = std::numeric_limits<double>::infinity();
    do {
      double sum = 0;
      for (Index i = 0; i < size; ++i) {
        const double difference = X(0, i % N) - Y(0, order[static_cast<std::size_t>(i)] % M);
        sum += difference * difference / static_cast<double>(size);
      }
      least = std::min(least, sum);
    } while (std::next_permutation(order.begin(), order.end()));
    CHECK(sm::sliced_wasserstein(X, Y, {.projections = 3}).value == Approx(std::sqrt(least)).epsilon(1e-13));
  }
}

TEST_CASE("The accuracy by nearest neighbours has the mean and the deviation that it states, over all ways to mix") {
  for (const std::uint64_t seed : {17u, 18u, 19u}) {
    const bool tied = seed == 17;
    const MatrixXd both = tied ? grid_points(2, 8, 3, seed) : normals(2, 8, seed);
    double mean = 0, square = 0, ways = 0;
    for (unsigned mask = 0; mask < 256; ++mask) {
      std::vector<Index> of_X, of_Y;
      for (Index i = 0; i < 8; ++i) (mask >> i & 1 ? of_X : of_Y).push_back(i);
      if (of_X.size() != 4) continue;
      MatrixXd X(2, 4), Y(2, 4);
      for (Index i = 0; i < 4; ++i) {
        X.col(i) = both.col(of_X[static_cast<std::size_t>(i)]);
        Y.col(i) = both.col(of_Y[static_cast<std::size_t>(i)]);
      }
      const sm::TwoSampleTest test = sm::classifier_two_sample_test(X, Y);
      const auto [on_X, on_Y] = accuracies_by_definition(X, Y);
      REQUIRE(test.accuracy_on_X == Approx(on_X).margin(1e-14));
      REQUIRE(test.accuracy_on_Y == Approx(on_Y).margin(1e-14));
      REQUIRE(test.accuracy == Approx(0.5 * (on_X + on_Y)).margin(1e-14));
      mean += test.accuracy;
      square += std::pow(test.accuracy - test.expected, 2) - std::pow(test.standard_error, 2);
      ++ways;
    }
    CHECK(ways == 70);
    CHECK(mean / ways == Approx(3.0 / 7).epsilon(1e-13));  // (N − 1)/(2N − 1)
    CHECK(std::abs(square) / ways < 1e-14);
  }
}

TEST_CASE("Samples of one law are not told apart, more often than stated") {
  // Over the repetitions z has mean 0 and variance 1; the logistic classifier's is at most 1. Each check has a false
  // alarm rate of about 1e-4.
  constexpr int repetitions = 200;
  double mean = 0, square = 0, logistic_mean = 0, logistic_square = 0;
  for (std::uint64_t seed = 0; seed < repetitions; ++seed) {
    const MatrixXd both = normals(3, 60, 1000 + seed);
    const sm::TwoSampleTest test = sm::classifier_two_sample_test(both.leftCols(30), both.rightCols(30));
    const sm::TwoSampleTest logistic = sm::classifier_two_sample_test(
        both.leftCols(30), both.rightCols(30), {.classifier = sm::Classifier::logistic, .seed = seed});
    const double z = (test.accuracy - test.expected) / test.standard_error;
    const double of_logistic = (logistic.accuracy - 0.5) / logistic.standard_error;
    REQUIRE(test.p_value == Approx(2 * normal_below(-std::abs(z))).epsilon(1e-10));
    REQUIRE(test.samples == 60);
    REQUIRE(logistic.samples == 30);
    mean += z / repetitions;
    square += z * z / repetitions;
    logistic_mean += of_logistic / repetitions;
    logistic_square += of_logistic * of_logistic / repetitions;
  }
  CHECK(std::abs(mean) < 4 / std::sqrt(repetitions));
  CHECK(std::abs(square - 1) < 4 * std::sqrt(2.0 / repetitions));
  CHECK(std::abs(logistic_mean) < 4 / std::sqrt(repetitions));
  CHECK(logistic_square < 1 + 4 * std::sqrt(2.0 / repetitions));
  CHECK(logistic_square > 0.5);
}

TEST_CASE("Laws far apart are told apart always, those nearer as often as the best rule does") {
  const MatrixXd X = normals(4, 100, 20), Y = (normals(4, 100, 21).array() + 20).matrix();
  for (const auto classifier : {sm::Classifier::nearest_neighbour, sm::Classifier::logistic}) {
    const sm::TwoSampleTest test = sm::classifier_two_sample_test(X, Y, {.classifier = classifier});
    CHECK(test.accuracy == 1);
    CHECK(test.p_value < 1e-10);
    CHECK_THAT(test.text(), ContainsSubstring("accuracy 1.000") && ContainsSubstring("different laws"));
  }
  // N(0, I) and N((1, 0), I): the best rule is right with probability Φ(½). False alarm 6e-5, beside what the weights
  // learned from 2000 samples cost, 0.001 or so.
  MatrixXd shifted = normals(2, 2000, 22);
  shifted.row(0).array() += 1;
  const sm::TwoSampleTest test = sm::classifier_two_sample_test(normals(2, 2000, 23), shifted,
                                                                {.classifier = sm::Classifier::logistic, .seed = 24});
  CHECK(std::abs(test.accuracy - normal_below(0.5)) < 4 * test.standard_error);
  // Only the widths differ: of N(0, 1) and N(0, 9) the first is denser where x² < 9/8 log 9.
  const double border = std::sqrt(9.0 / 8 * std::log(9.0));
  const double best = 0.5 * (1 - 2 * normal_below(-border) + 2 * normal_below(-border / 3));
  const sm::TwoSampleTest widths = sm::classifier_two_sample_test(normals(1, 2000, 25), 3 * normals(1, 2000, 26),
                                                                  {.classifier = sm::Classifier::logistic, .seed = 27});
  CHECK(std::abs(widths.accuracy - best) < 4 * widths.standard_error);
  CHECK(widths.accuracy_on_X > widths.accuracy_on_Y);
}

TEST_CASE("What was remembered is seen: twins make the accuracy by nearest neighbours 0") {
  const Index N = 120;
  const MatrixXd real = normals(6, N, 28), fresh = normals(6, N, 29);
  for (const double blur : {0.0, 1e-3}) {
    const MatrixXd copies = real.rowwise().reverse() + blur * fresh;
    const sm::TwoSampleTest test = sm::classifier_two_sample_test(copies, real);
    CHECK(test.accuracy_on_X == 0);
    CHECK(test.accuracy_on_Y == 0);
    CHECK(test.p_value < 1e-10);
    CHECK_THAT(test.text(), ContainsSubstring("copies"));
  }
  // Drawn from the real ones with replacement: of k copies of one sample each has the other k − 1 and the sample at 0,
  // and is right in a share (k − 1)/k. So the accuracy on X is 1 − (number of samples drawn)/N: 1/e in the mean.
  MatrixXd drawn(6, N);
  std::vector<Index> which;
  sm::Stream stream({30});
  for (Index i = 0; i < N; ++i) {
    which.push_back(stream.below(N));
    drawn.col(i) = real.col(which.back());
  }
  std::sort(which.begin(), which.end());
  const auto distinct = static_cast<double>(std::unique(which.begin(), which.end()) - which.begin());
  const sm::TwoSampleTest test = sm::classifier_two_sample_test(drawn, real);
  CHECK(test.accuracy_on_X == Approx(1 - distinct / static_cast<double>(N)).epsilon(1e-12));
  CHECK(test.accuracy_on_Y == Approx(accuracies_by_definition(drawn, real).second).epsilon(1e-12));
  CHECK(test.accuracy_on_Y < 0.4);
}

TEST_CASE("Samples in the midst of the real ones: high accuracy on them, low on the real") {
  const sm::TwoSampleTest test = sm::classifier_two_sample_test(0.2 * normals(100, 150, 31), normals(100, 150, 32));
  CHECK(test.accuracy_on_X > 0.95);
  CHECK(test.accuracy_on_Y < 0.05);
}

TEST_CASE("A coordinate that is constant, and samples that are all the same, are no trouble") {
  MatrixXd X = normals(2, 40, 33), Y = normals(2, 40, 34);
  X.row(1).setConstant(7);
  Y.row(1).setConstant(7);
  const sm::TwoSampleTest test =
      sm::classifier_two_sample_test(X, Y, {.classifier = sm::Classifier::logistic, .seed = 35});
  CHECK(test.p_value > 1e-4);
  CHECK(std::isfinite(test.accuracy));
  const MatrixXd same = MatrixXd::Ones(2, 10);
  for (const auto classifier : {sm::Classifier::nearest_neighbour, sm::Classifier::logistic}) {
    const sm::TwoSampleTest none = sm::classifier_two_sample_test(same, same, {.classifier = classifier});
    CHECK(none.accuracy == Approx(none.expected).epsilon(1e-13));
    CHECK(none.p_value == Approx(1));
  }
  CHECK(sm::sliced_wasserstein(same, same).value == 0);
}

TEST_CASE("The test of two samples does not mind units, as large or small as numbers are") {
  const MatrixXd X = normals(3, 60, 42), Y = (normals(3, 60, 43).array() + 0.7).matrix();
  for (const auto classifier : {sm::Classifier::nearest_neighbour, sm::Classifier::logistic}) {
    const sm::TwoSampleTestOptions options{.classifier = classifier};
    const sm::TwoSampleTest test = sm::classifier_two_sample_test(X, Y, options);
    CHECK(test.p_value < 0.05);
    for (const int exponent : {1020, 700, -700, -1000}) {
      const double unit = std::ldexp(1.0, exponent);
      const sm::TwoSampleTest scaled = sm::classifier_two_sample_test(unit * X, unit * Y, options);
      CHECK(scaled.accuracy == test.accuracy);
      CHECK(scaled.p_value == test.p_value);
    }
    // A coordinate that is the same for all sets no unit.
    MatrixXd with_X(4, 60), with_Y(4, 60);
    with_X << X, MatrixXd::Constant(1, 60, 1e300);
    with_Y << Y, MatrixXd::Constant(1, 60, 1e300);
    CHECK(sm::classifier_two_sample_test(with_X, with_Y, options).accuracy == test.accuracy);
  }
}

TEST_CASE("Comparisons of samples are the same bits on one thread and on two") {
  const MatrixXd X = normals(5, 150, 36), Y = normals(5, 150, 37);
  const auto all = [&] {
    VectorXd numbers(150 + 40 + 3);
    const sm::SlicedWasserstein sliced = sm::sliced_wasserstein(X, Y, {.projections = 40, .seed = 38});
    const sm::TwoSampleTest test = sm::classifier_two_sample_test(X, Y);
    numbers << sm::nearest_samples(X, Y).distance, sliced.per_projection, sliced.value, test.accuracy, test.p_value;
    return numbers;
  };
#ifdef _OPENMP
  omp_set_num_threads(1);
  const VectorXd one = all();
  omp_set_num_threads(2);
  CHECK(all() == one);
#endif
  CHECK(all() == all());
  CHECK(sm::sliced_wasserstein(X, Y, {.seed = 1}).value != sm::sliced_wasserstein(X, Y, {.seed = 2}).value);
}

TEST_CASE("Comparisons of samples refuse what they cannot compare") {
  const MatrixXd X = normals(3, 10, 39), empty(3, 0), flat = normals(2, 10, 40), more = normals(3, 12, 41);
  MatrixXd broken = X;
  broken(2, 4) = std::nan("");
  CHECK_THROWS_WITH(sm::nearest_samples(X, flat), ContainsSubstring("X has 3 rows, Y 2"));
  CHECK_THROWS_WITH(sm::nearest_samples(empty, X), ContainsSubstring("X has no columns"));
  CHECK_THROWS_WITH(sm::nearest_samples(X, broken), ContainsSubstring("Y has nan in column 4, row 2"));
  CHECK_THROWS_WITH(sm::nearest_samples(MatrixXd(X.leftCols(1))), ContainsSubstring("Y has one column"));
  CHECK_THROWS_WITH(sm::nearest_samples(MatrixXd(0, 3)), ContainsSubstring("no rows"));
  CHECK_THROWS_WITH(sm::sliced_wasserstein(X, flat), ContainsSubstring("sliced_wasserstein: X has 3 rows, Y 2"));
  CHECK_THROWS_WITH(sm::sliced_wasserstein(X, empty), ContainsSubstring("Y has no columns"));
  CHECK_THROWS_WITH(sm::sliced_wasserstein(broken, X), ContainsSubstring("X has nan in column 4"));
  CHECK_THROWS_WITH(sm::sliced_wasserstein(X, X, {.projections = 0}),
                    ContainsSubstring("projections is 0; it must be at least 1"));
  CHECK_THROWS_WITH(sm::classifier_two_sample_test(X, flat), ContainsSubstring("X has 3 rows, Y 2"));
  CHECK_THROWS_WITH(sm::classifier_two_sample_test(X, more), ContainsSubstring("X has 10 columns, Y 12"));
  CHECK_THROWS_WITH(sm::classifier_two_sample_test(X.leftCols(3), X.leftCols(3)), ContainsSubstring("at least 4"));
  CHECK_THROWS_WITH(sm::classifier_two_sample_test(X, broken), ContainsSubstring("Y has nan"));
  CHECK_THROWS_WITH(sm::classifier_two_sample_test(X, X, {.ridge = 0}), ContainsSubstring("ridge is 0"));
}
