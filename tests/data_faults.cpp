// What data cannot tell is named: sharp ends, constant and dependent rows, parameters without effect.
//
// Seeds are fixed, so that nothing here fails by chance. How often sharp_edges is wrong is counted over repetitions;
// had the seed been drawn by chance, each bound on a count would fail with probability below 10⁻⁴.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "scorematch/energy/gaussian.hpp"
#include "scorematch/fit/edges.hpp"
#include "scorematch/fit/without_effect.hpp"
#include "scorematch/io/csv.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/random/stream.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using sm::Index;

namespace {

/// `rows` rows of `n` samples each: as many repetitions. draw(stream) is one sample.
template <class Draw>
MatrixXd repeated(Index rows, Index n, std::uint64_t seed, Draw draw) {
  MatrixXd X(rows, n);
  for (Index i = 0; i < rows; ++i) {
    sm::Stream stream({seed, sm::extend::Purpose::user}, i);
    for (Index j = 0; j < n; ++j) X(i, j) = draw(stream);
  }
  return X;
}

/// Of 200 rows without an edge, or with one at the smallest value: how many are reported at their smallest value, and
/// how many at their largest.
struct Found {
  Index lower = 0, upper = 0;
};
template <class Draw>
Found found(Index n, std::uint64_t seed, Draw draw) {
  Found count;
  for (const sm::detail::SharpEdge& edge : sm::detail::sharp_edges(repeated(200, n, seed, draw)))
    ++(edge.upper ? count.upper : count.lower);
  return count;
}

double exponential(sm::Stream& s) { return -std::log(s.uniform()); }

}  // namespace

TEST_CASE("Sharp ends of data are found") {
  const auto finds = [](Index n, std::uint64_t seed, Index least, auto draw) {
    const Found count = found(n, seed, draw);
    INFO("n = " << n << ", seed " << seed << ": " << count.lower << " of 200, upper " << count.upper);
    CHECK(count.lower >= least);
  };
  const auto truncated = [](double at) {
    return [at](sm::Stream& s) {
      double z;
      do z = s.normal();
      while (z < at);
      return z;
    };
  };
  finds(300, 1, 165, exponential);
  finds(300, 2, 155, [](sm::Stream& s) { return s.uniform(); });
  finds(300, 3, 150, [](sm::Stream& s) { return std::abs(s.normal()); });
  finds(1000, 4, 192, exponential);
  finds(1000, 5, 192, truncated(-1));
  finds(1000, 6, 182, truncated(-1.5));
  finds(1000, 7, 192, truncated(1));
  finds(1000, 8, 192, [](sm::Stream& s) { return std::floor(3 * exponential(s)); });                // counts
  finds(1000, 9, 192, [](sm::Stream& s) { return s.uniform() < 0.2 ? 0 : std::exp(s.normal()); });  // zeros
  finds(1000, 10, 192, [](sm::Stream& s) { return 1e6 + 1e-3 * s.uniform(); });                     // other units
  finds(1000, 11, 192, [](sm::Stream& s) { return std::cos(3.141592653589793 * s.uniform()); });
  CHECK(sm::detail::sharp_edges(repeated(5, 60, 1, exponential)).empty());  // too few
  CHECK(sm::detail::sharp_edges(MatrixXd::Constant(2, 200, 3)).empty());    // no end
}

TEST_CASE("Data without an edge are reported as seldom as is said", "[long]") {
  const auto silent = [](Index n, std::uint64_t seed, Index most, auto draw) {
    const Found count = found(n, seed, draw);
    INFO("n = " << n << ", seed " << seed << ": " << count.lower << ", " << count.upper << " of 200");
    CHECK(count.lower + count.upper <= most);
  };
  for (const Index n : {100, 300, 1000}) {  // one in a thousand: 0.2 of 200 in the mean
    silent(n, 21, 3, [](sm::Stream& s) { return s.normal(); });
    silent(n, 22, 3, [](sm::Stream& s) { return s.normal() / std::sqrt(0.5 * (exponential(s) + exponential(s)) / 1); });
    silent(n, 23, 3, [](sm::Stream& s) { return std::log(1 / s.uniform() - 1); });
    silent(n, 24, 3, [](sm::Stream& s) { return std::round(10 * s.normal()); });
    silent(n, 25, 3, [](sm::Stream& s) { return std::round(2 * s.normal() + 0.4); });
    // up to one in a hundred: 2 of 200
    silent(n, 26, 9, [](sm::Stream& s) { return (s.uniform() < 0.3 ? -3 : 3) + s.normal(); });
    silent(n, 27, 9, [](sm::Stream& s) { return (s.uniform() < 0.5 ? -1 : 1) + 0.3 * s.normal(); });
    silent(n, 28, 9, [](sm::Stream& s) { return s.uniform() < 0.3 ? -3 + 0.05 * s.normal() : s.normal(); });
  }
}

TEST_CASE("Sharp ends: where, and in words; examples' data, rounded as they are") {
  MatrixXd X = repeated(3, 1000, 31, [](sm::Stream& s) { return s.normal(); });
  for (Index i = 0; i < 1000; ++i) X(1, i) = 5 - std::abs(X(1, i));
  const auto edges = sm::detail::sharp_edges(X);
  REQUIRE(edges.size() == 1);
  CHECK(edges[0].row == 1);
  CHECK(edges[0].upper);
  CHECK(edges[0].at == X.row(1).maxCoeff());
  CHECK(edges[0].samples > 50);
  CHECK_THAT(sm::detail::describe_edges(edges), ContainsSubstring("row 1 ends sharply at its largest value, 4.9"));
  CHECK_THAT(sm::detail::describe_edges(edges, {"a", "height", "c"}), ContainsSubstring("height ends sharply"));
  CHECK(sm::detail::sharp_edges(Eigen::MatrixXf(X.cast<float>())).size() == 1);
  // Penguins in millimetres and grams, wine: no edges. Species and cultivars are numbers for classes.
  for (const std::string name : {"penguins", "wine"}) {
    const auto table = sm::read_csv_table("examples/data/" + name + ".csv");
    const Index d = table.values.rows() - 1;
    CHECK(sm::detail::sharp_edges(table.values.topRows(d)).empty());
    CHECK(sm::detail::sharp_edges(table.values.bottomRows(1)).size() == 2);
  }
}

TEST_CASE("Constant rows and dependent ones are named") {
  const MatrixXd Z = repeated(5, 100, 41, [](sm::Stream& s) { return s.normal(); });
  for (const double shift : {0.0, 1e6})
    for (const double scale : {1e-6, 1.0, 1e9}) {
      INFO(shift << " " << scale);
      MatrixXd X = scale * (Z.array() + shift).matrix();
      CHECK(!sm::degenerate_rows(X).any());
      CHECK(sm::degenerate_rows(X).text().empty());
      X.row(3) = X.row(1);
      auto rows = sm::degenerate_rows(X);
      REQUIRE(rows.dependent.size() == 1);
      CHECK(rows.constant.empty());
      CHECK_THAT(rows.text(), ContainsSubstring("0.707 row 1 − 0.707 row 3 is constant over the data") ||
                                  ContainsSubstring("0.707 row 3 − 0.707 row 1 is constant over the data"));
      X.row(0).setConstant(scale * shift + 0.1);
      rows = sm::degenerate_rows(X, {"sex", "a", "b", "c", "d"});
      REQUIRE(rows.constant.size() == 1);
      CHECK(rows.constant[0] == 0);
      CHECK(rows.dependent.size() == 1);
      CHECK_THAT(rows.dependent[0], ContainsSubstring("0.707 a") && ContainsSubstring("0.707 c"));
      CHECK_THAT(rows.text(), ContainsSubstring("row 0 of the data is constant"));
      // A sum to rounding, in units of its own; beside it what is merely near
      X = scale * (Z.array() + shift).matrix();
      X.row(4) = 2 * X.row(0) + 3 * X.row(1);
      X.row(3) = (X.row(2).array() + 1e-6 * scale * Z.row(3).array()).matrix();
      rows = sm::degenerate_rows(X);
      REQUIRE(rows.dependent.size() == 1);
      CHECK_THAT(rows.dependent[0], ContainsSubstring("row 0") && ContainsSubstring("row 1") &&
                                        ContainsSubstring("row 4") && !ContainsSubstring("row 2"));
    }
  // One-hot codes, and fewer samples than dimensions
  MatrixXd codes = MatrixXd::Zero(3, 60);
  for (Index i = 0; i < 60; ++i) codes(i % 3, i) = 1;
  REQUIRE(sm::degenerate_rows(codes).dependent.size() == 1);
  CHECK_THAT(sm::degenerate_rows(codes).dependent[0], ContainsSubstring("0.577 row 0 + 0.577 row 1 + 0.577 row 2"));
  CHECK(sm::degenerate_rows(MatrixXd(Z.leftCols(3))).dependent.size() == 3);
  CHECK(sm::degenerate_rows(MatrixXd(Z.leftCols(1))).constant.size() == 5);
  Eigen::MatrixXf in_float = Z.cast<float>();
  in_float.row(2) = 0.1f * in_float.row(0) + 0.7f * in_float.row(1);
  CHECK(sm::degenerate_rows(in_float).dependent.size() == 1);
}

TEST_CASE("Parameters without effect on the loss are named") {
  const MatrixXd X = repeated(2, 50, 51, [](sm::Stream& s) { return s.normal(); });
  const auto model = sm::energy_model(2, [](auto x, auto theta) {
    return 0.5 * exp(theta("log_k")) * squared_norm(x) + theta("offset") + 1 / 2 * theta("forgotten", 2)[0] * x[0] +
           theta("forgotten", 2)[1] * x[1];
  });
  const std::vector<std::string> names = sm::detail::parameters_without_effect(model, sm::implicit_score_matching{}, X);
  CHECK(names == std::vector<std::string>{"forgotten[0]", "offset"});
  CHECK(sm::detail::parameters_without_effect(sm::gaussian(2), sm::implicit_score_matching{}, X).empty());
  CHECK(sm::detail::parameters_without_effect(sm::gaussian(2), sm::denoising_score_matching{.sigma = 0.5},
                                              Eigen::MatrixXf(X.cast<float>()))
            .empty());
  // A start at which everything is 0 by symmetry is no effect missing: three other places are asked.
  const auto product = sm::energy_model(
      2, [](auto x, auto theta) { return theta("a") * theta("b") * squared_norm(x) + squared_norm(x); });
  CHECK(product.parameters().isZero(0));
  CHECK(sm::detail::parameters_without_effect(product, sm::implicit_score_matching{}, X).empty());
}
