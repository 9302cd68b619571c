// Objectives that users write: what they forget is named, and check_objective tells what is wrong. The library's own:
// models as explicit targets, noise beside large numbers.
//
// Seeds are fixed, so that nothing here fails by chance. Statistical checks allow 5 standard errors: had the seed been
// drawn by chance, each would fail with probability below 10⁻⁶.
#include "catch.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/diagnostics/check_objective.hpp"
#include "scorematch/energy/gaussian.hpp"
#include "scorematch/energy/gaussian_mixture.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/inference/closed_form.hpp"
#include "scorematch/inference/standard_errors.hpp"
#include "scorematch/model/at_sigma.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/perturbed.hpp"
#include "scorematch/objective/regularised_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/random/stream.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::message_of;
using sm::Index;
using Verdict = sm::ObjectiveReport::Verdict;

namespace {

MatrixXd normals(Index d, Index n, std::uint64_t seed) {
  return sm::Stream({seed, sm::extend::Purpose::user}).normals(d * n).reshaped(d, n);
}

enum class Mistake {
  none,
  no_points,
  points_transposed,
  no_points_later,
  directions_without_given,
  no_directions,
  no_V,
  not_asked,
  no_value,
  value_too_long,
  value_added,
  no_terms,
  no_S,
  no_S_later,
  S_transposed,
  S_added,
  S_last_column,
  S_last_row,
  no_slopes,
  slopes_shape,
  no_curvature,
  curvature_as_row,
  no_level,
  level_out_of_range,
  // what only check_objective sees
  S_zero,
  S_sign,
  S_doubled,
  S_other_order,
  curvature_factor,
  slopes_of_all_directions,
  own_generator,
  says_deterministic,
  batch_mean,
  place_in_block,
  sigma_of_place,
  not_half_squared,
};

/// ½‖s‖² + ½‖s‖⁴/4 … as a user would write it: along given directions v₁ = x, v₂ = e₁, with the slopes in the loss;
/// or, along the axes, ½‖s‖² + tr(∂s/∂x) + curvature² / 8.
struct Planted {
  Mistake mistake = Mistake::none;
  bool given = false, noisy = false;
  bool has(Mistake one) const { return mistake == one; }

  template <class T>
  struct Notes {
    int calls = 0;
  };
  void validate() const {}
  bool deterministic() const { return !noisy || has(Mistake::says_deterministic); }
  bool half_squared_score() const { return has(Mistake::not_half_squared); }
  std::vector<const char*> term_names() const { return {"half", "rest"}; }
  std::vector<std::string> level_names() const {
    return has(Mistake::no_level) || has(Mistake::level_out_of_range) ? std::vector<std::string>{"low", "high"}
                                                                      : std::vector<std::string>{};
  }

  template <class T>
  void prepare(const sm::extend::Samples<T>& samples, sm::extend::Points<T>& points, Notes<T>& notes) const {
    const Index B = samples.X.rows(), d = samples.X.cols();
    ++notes.calls;
    if (has(Mistake::points_transposed))
      points.X = samples.X.transpose();
    else if (!has(Mistake::no_points) && !(has(Mistake::no_points_later) && notes.calls > 1))
      points.X = samples.X;
    if (noisy && points.X.rows() == B)
      for (Index i = 0; i < B; ++i) {
        static std::uint64_t calls = 0;
        const std::int64_t place = has(Mistake::place_in_block) ? i : samples.index[i];
        const auto draw = has(Mistake::own_generator) ? ++calls : samples.draw;
        sm::Stream stream({.seed = 1}, place, draw);
        for (Index j = 0; j < d; ++j) points.X(i, j) += static_cast<T>(0.1 * stream.normal());
      }
    if (has(Mistake::sigma_of_place)) points.sigma.setLinSpaced(B, T(1), T(2));
    if (has(Mistake::directions_without_given)) points.directions = 1;
    if (has(Mistake::not_asked)) return;
    points.along = given ? sm::extend::Along::given : sm::extend::Along::axes;
    if (!given || has(Mistake::no_directions)) return;
    points.directions = 2;
    if (has(Mistake::no_V)) return;
    points.V.setZero(B, 2 * d);
    points.V.leftCols(d) = samples.X;
    points.V.col(d).setOnes();
  }

  template <class T>
  void score(const sm::extend::Samples<T>& samples, const sm::extend::Points<T>&, const Notes<T>& notes,
             const sm::extend::ScoreValues<T>& values, sm::extend::Losses<T>& losses) const {
    const sm::Vector<T> half = T(0.5) * values.S.rowwise().squaredNorm();
    sm::Vector<T> rest = values.curvature.array() + values.curvature.array().square() / 8;
    if (given) rest += (T(0.5) * values.slopes.rowwise().squaredNorm()).matrix();
    if (has(Mistake::value_added))
      losses.value += half + rest;
    else if (has(Mistake::value_too_long))
      losses.value = sm::Vector<T>::Zero(half.size() + 1);
    else if (has(Mistake::batch_mean))
      losses.value = half + rest - sm::Vector<T>::Constant(half.size(), half.mean());
    else if (!has(Mistake::no_value))
      losses.value = half + rest;
    if (has(Mistake::no_level) || has(Mistake::level_out_of_range))
      if (!has(Mistake::no_level)) losses.level.setConstant(samples.X.rows(), 2);
    losses.terms.col(0) = half;
    if (!has(Mistake::no_terms)) losses.terms.col(1) = rest;

    auto& bar = losses.bar;
    const bool later = has(Mistake::no_S_later) && notes.calls > 1;
    if (has(Mistake::S_transposed))
      bar.S = values.S.transpose();
    else if (has(Mistake::S_added))
      bar.S += values.S;
    else if (has(Mistake::S_last_column))
      bar.S.leftCols(bar.S.cols() - 1) = values.S.leftCols(values.S.cols() - 1);
    else if (has(Mistake::S_last_row))
      bar.S.topRows(bar.S.rows() - 1) = values.S.topRows(values.S.rows() - 1);
    else if (has(Mistake::S_zero))
      bar.S.setZero(values.S.rows(), values.S.cols());
    else if (has(Mistake::S_other_order))
      bar.S = values.S.rowwise().reverse();
    else if (!has(Mistake::no_S) && !later)
      bar.S = (has(Mistake::S_sign) ? -1 : has(Mistake::S_doubled) ? 2 : 1) * values.S;
    if (given) {
      if (has(Mistake::slopes_shape))
        bar.slopes = values.slopes.leftCols(1);
      else if (has(Mistake::slopes_of_all_directions))
        bar.slopes = values.slopes.rowwise().sum().replicate(1, 2);
      else if (!has(Mistake::no_slopes))
        bar.slopes = values.slopes;
    }
    const sm::Vector<T> slope = (1 + values.curvature.array() / (has(Mistake::curvature_factor) ? 8 : 4)).matrix();
    if (has(Mistake::curvature_as_row))
      bar.curvature = slope.head(1);
    else if (!has(Mistake::no_curvature))
      bar.curvature = slope;
  }
};

/// ¼‖s‖⁴, which it takes for half the squared score.
struct Quartic {
  template <class T>
  struct Notes {};
  void validate() const {}
  bool deterministic() const { return true; }
  bool half_squared_score() const { return true; }
  std::vector<const char*> term_names() const { return {}; }
  template <class T>
  void prepare(const sm::extend::Samples<T>& samples, sm::extend::Points<T>& points, Notes<T>&) const {
    points.X = samples.X;
  }
  template <class T>
  void score(const sm::extend::Samples<T>&, const sm::extend::Points<T>&, const Notes<T>&,
             const sm::extend::ScoreValues<T>& values, sm::extend::Losses<T>& losses) const {
    const sm::Vector<T> squares = values.S.rowwise().squaredNorm();
    losses.value = (squares.array().square() / 4).matrix();
    losses.bar.S = squares.asDiagonal() * values.S;
  }
};

struct WithSigma : Planted {
  template <class T>
  void prepare(const sm::extend::Samples<T>& samples, sm::extend::Points<T>& points, Notes<T>& notes) const {
    Planted::prepare(samples, points, notes);
    points.sigma.setConstant(points.X.rows(), T(0.5));
  }
};

/// What is said of a mistake; the model is asked for the gradient.
std::string said(Mistake mistake, bool given, Index n = 20, Index block = 0) {
  const Planted objective{mistake, given};
  return message_of(
      [&] { (void)sm::loss_and_gradient(sm::gaussian(3), objective, normals(3, n, 1), {.block = block}); });
}

}  // namespace

TEST_CASE("What an objective forgets, or gives another shape, is named") {
  const auto names = [](Mistake mistake, const std::string& part) {
    for (const bool given : {false, true}) {
      INFO(static_cast<int>(mistake) << (given ? ", given" : ", axes"));
      CHECK_THAT(said(mistake, given), ContainsSubstring(part));
      CHECK_THAT(said(mistake, given), ContainsSubstring("scorematch: "));
    }
  };
  CHECK(said(Mistake::none, false) == "no exception");
  CHECK(said(Mistake::none, true) == "no exception");
  names(Mistake::no_points, "points.X is 0 × 0 after the objective's prepare; it must be 1 × 3");
  names(Mistake::points_transposed, "points.X is 3 × 1 after the objective's prepare; it must be 1 × 3");
  names(Mistake::no_value, "losses.value was not set by the objective's score");
  names(Mistake::value_too_long, "losses.value is ");
  names(Mistake::value_added,
        "losses.value was not set by the objective's score (column 0 of 1; set it with =, not with +=");
  names(Mistake::no_terms, "losses.terms was not set by the objective's score (column 1 of 2");
  names(Mistake::no_S, "losses.bar.S was not set by the objective's score");
  names(Mistake::S_transposed, "losses.bar.S is 3 × ");
  names(Mistake::S_added, "losses.bar.S was not set");
  names(Mistake::S_last_column, "losses.bar.S was not set by the objective's score (column 2 of 3");
  names(Mistake::no_curvature, "losses.bar.curvature was not set");
  names(Mistake::curvature_as_row, "losses.bar.curvature is 1 × 1");
  CHECK_THAT(said(Mistake::S_transposed, false), ContainsSubstring("(is it transposed?)"));
  CHECK_THAT(said(Mistake::S_last_row, false, 16), ContainsSubstring("losses.bar.S was not set"));  // no padding
  CHECK_THAT(said(Mistake::no_slopes, true), ContainsSubstring("losses.bar.slopes was not set"));
  CHECK_THAT(said(Mistake::slopes_shape, true), ContainsSubstring("losses.bar.slopes is "));
  CHECK_THAT(said(Mistake::no_V, true), ContainsSubstring("points.V is 0 × 0 after the objective's prepare"));
  CHECK_THAT(said(Mistake::no_directions, true), ContainsSubstring("points.directions is 0"));
  CHECK_THAT(said(Mistake::directions_without_given, false),
             ContainsSubstring("points.directions is 1 after the objective's prepare, but points.along is not"));
  CHECK_THAT(said(Mistake::not_asked, false),
             ContainsSubstring("read values.curvature, which its prepare did not ask"));
  // Levels need a model that takes sigma, and a level for each sample.
  const auto levels = [](Mistake mistake) {
    const auto model =
        sm::energy_model(3, [](auto x, auto sigma, auto theta) { return theta("a") * squared_norm(x) / sigma; });
    return message_of([&] { (void)sm::loss(model, WithSigma{{mistake}}, normals(3, 20, 1)); });
  };
  CHECK_THAT(levels(Mistake::no_level), ContainsSubstring("losses.level has -1 for sample 0"));
  CHECK_THAT(levels(Mistake::level_out_of_range), ContainsSubstring("losses.level has 2 for sample 0"));
}

TEST_CASE("What the block before left does not hide what is forgotten") {
  CHECK(said(Mistake::none, false, 1000, 64) == "no exception");
  CHECK_THAT(said(Mistake::no_S_later, false, 1000, 64), ContainsSubstring("losses.bar.S was not set"));
  CHECK_THAT(said(Mistake::no_points_later, false, 1000, 64), ContainsSubstring("points.X was not set"));
  // Without a gradient nobody needs the derivatives.
  const MatrixXd X = normals(3, 20, 1);
  CHECK(sm::loss(sm::gaussian(3), Planted{Mistake::no_S}, X).value == sm::loss(sm::gaussian(3), Planted{}, X).value);
  // Standard errors ask objectives, too.
  CHECK_THAT(message_of([&] { (void)sm::standard_errors(sm::gaussian(3), Planted{Mistake::no_S}, X); }),
             ContainsSubstring("losses.bar.S was not set"));
}

namespace {

/// A fused objective that forgets what `forgotten` says.
struct Fused : sm::implicit_score_matching {
  int forgotten = 0;
  template <class V, std::size_t d>
  void at_point(const std::array<V, d>& s, const V& curvature, V& value, std::array<V, 2>& terms,
                std::array<V, d>& s_bar, V& curvature_bar) const {
    V half = V{}, slope = V{} + 1;
    std::array<V, 2> both;
    std::array<V, d> bar = s;
    for (std::size_t j = 0; j < d; ++j) half += 0.5 * s[j] * s[j];
    both = {half, curvature};
    if (forgotten != 1) value = half + curvature;
    if (forgotten != 2) terms[0] = both[0];
    terms[1] = both[1];
    if (forgotten == 3) bar[d - 1] = s_bar[d - 1];
    s_bar = bar;
    if (forgotten == 4) slope = 2 * slope;
    if (forgotten != 5) curvature_bar = slope;
  }
};

}  // namespace

TEST_CASE("What at_point forgets is named, and it must agree with score") {
  const auto model = sm::energy_model<2>(
      [](auto x, auto theta) { return 0.5 * exp(theta("k")) * squared_norm(x) + 0.1 * x[0] * x[1]; });
  const MatrixXd X = normals(2, 40, 2);
  const auto said = [&](int forgotten) {
    Fused objective;
    objective.forgotten = forgotten;
    return message_of([&] { (void)sm::loss_and_gradient(model, objective, X); });
  };
  CHECK(said(0) == "no exception");
  CHECK_THAT(said(1), ContainsSubstring("value was not set by the objective's at_point"));
  CHECK_THAT(said(2), ContainsSubstring("terms was not set by the objective's at_point"));
  CHECK_THAT(said(3), ContainsSubstring("s_bar was not set by the objective's at_point"));
  CHECK_THAT(said(5), ContainsSubstring("curvature_bar was not set by the objective's at_point"));
  Fused right, wrong;
  wrong.forgotten = 4;
  CHECK(sm::check_objective(right, X).passed);
  const auto report = sm::check_objective(wrong, X);
  CHECK(!report.passed);
  REQUIRE(report.find("at_point"));
  CHECK(report.find("at_point")->verdict == Verdict::wrong);
}

TEST_CASE("check_objective passes the library's objectives, with a model and without") {
  const MatrixXd X = normals(3, 5, 3);
  const auto model = sm::gaussian_mixture(3, {.components = 2, .seed = 1});
  const auto passes = [&](const auto& objective) {
    const auto alone = sm::check_objective(objective, X), with_model = sm::check_objective(objective, model, X);
    INFO(alone.text() << with_model.text());
    CHECK(alone.passed);
    CHECK(with_model.passed);
    REQUIRE(with_model.find("gradient"));
    CHECK(with_model.find("gradient")->verdict == Verdict::right);
    CHECK_THAT(alone.text(), ContainsSubstring("objective: passed"));
  };
  passes(sm::implicit_score_matching{});
  passes(sm::denoising_score_matching{.sigma = 0.3});
  passes(sm::denoising_score_matching{.sigma = 0.3, .frozen = true, .weight = sm::Weight::sigma_squared});
  passes(sm::sliced_score_matching{.projections = 2});
  passes(sm::sliced_score_matching{.projections = 3, .kind = sm::Projection::sphere, .exact_norm = false});
  passes(sm::regularised_score_matching{.lambda = 0.3});
  passes(sm::explicit_score_matching{MatrixXd(-X)});
  passes(sm::explicit_score_matching{sm::gaussian(3)});
  passes(sm::perturbed{sm::implicit_score_matching{}, {.sigma = 0.5}});
  const sm::denoising_score_matching ladder{.sigma =
                                                sm::geometric_levels{.sigma_max = 3, .sigma_min = 0.3, .levels = 4}};
  CHECK(sm::check_objective(ladder, X).passed);
  passes(Planted{});
  passes(Planted{Mistake::none, true});
  passes(Planted{Mistake::none, true, true});
}

TEST_CASE("check_objective fails each planted mistake, and says where") {
  const MatrixXd X = normals(3, 5, 4);
  const auto fails = [&](const Planted& objective, const std::string& quantity, const std::string& note) {
    const auto report = sm::check_objective(objective, X);
    INFO(report.text());
    CHECK(!report.passed);
    REQUIRE(report.find(quantity));
    CHECK(report.find(quantity)->verdict == Verdict::wrong);
    CHECK_THAT(report.find(quantity)->note, ContainsSubstring(note));
    CHECK_THAT(report.text(), ContainsSubstring("FAILED"));
    Index wrong = 0;
    for (const auto& entry : report.entries) wrong += entry.verdict == Verdict::wrong;
    CHECK(wrong == (objective.has(Mistake::batch_mean) ? 2 : 1));  // a batch's mean has a derivative, too
  };
  fails({Mistake::no_S}, "answers", "losses.bar.S was not set");
  fails({Mistake::no_points}, "answers", "points.X is 0 × 0");
  fails({Mistake::S_transposed}, "answers", "losses.bar.S is 3 × ");
  fails({Mistake::S_zero}, "bar.S", "all are 0, but the loss depends on it");
  fails({Mistake::S_sign}, "bar.S", "the sign is reversed");
  fails({Mistake::S_doubled}, "bar.S", "a factor: 2 times the right value");
  fails({Mistake::S_other_order}, "bar.S", "");
  fails({Mistake::curvature_factor}, "bar.curvature", "");
  fails({Mistake::slopes_of_all_directions, true}, "bar.slopes", "");
  fails({Mistake::own_generator, false, true}, "repeatable", "not from a generator that goes on");
  fails({Mistake::says_deterministic, false, true}, "deterministic", "another draw gives other losses");
  fails({Mistake::batch_mean}, "samples apart", "the points or the loss of column ");
  fails({Mistake::place_in_block, false, true}, "samples apart", "its place in it");
  fails({Mistake::sigma_of_place}, "samples apart", "its place in it");
  fails({Mistake::not_half_squared}, "half_squared_score", "closed_form would be wrong");
  const auto quartic = sm::check_objective(Quartic{}, X);
  INFO(quartic.text());
  CHECK(quartic.find("bar.S")->verdict == Verdict::right);
  CHECK(quartic.find("half_squared_score")->verdict == Verdict::wrong);
  // With a model the θ-gradient is wrong, too.
  const auto report = sm::check_objective(Planted{Mistake::S_doubled}, sm::gaussian(3), X);
  REQUIRE(report.find("gradient"));
  CHECK(report.find("gradient")->verdict == Verdict::wrong);
  CHECK_THROWS_WITH(sm::check_objective(Planted{}, MatrixXd(3, 0)), ContainsSubstring("X has no columns"));
  CHECK_THROWS_WITH(sm::check_objective(Planted{}, sm::gaussian(2), X), ContainsSubstring("X has 3 rows"));
  CHECK_THROWS_WITH(sm::check_objective(sm::denoising_score_matching{.sigma = -1}, X),
                    ContainsSubstring("sigma is -1"));
}

// --- explicit targets ---

namespace {

struct OwnScore {  // s = −3x, as a user's class
  Index dimension() const { return 3; }
  void score(sm::InputPoints X, sm::OutputPoints S) const { S = -3 * X; }
};

}  // namespace

TEMPLATE_TEST_CASE("A model is an explicit target: its score", "", double, float) {
  const sm::Matrix<TestType> X = normals(3, 300, 5).cast<TestType>();
  const auto fitted = sm::gaussian_mixture(3, {.components = 2, .seed = 2});
  const auto agrees = [&](const auto& target) {
    const sm::Matrix<TestType> S = sm::score_of(target, X);
    const auto by_model = sm::loss_and_gradient(fitted, sm::explicit_score_matching{target}, X);
    const auto by_matrix = sm::loss_and_gradient(fitted, sm::explicit_score_matching{S}, X);
    const double eps = std::numeric_limits<TestType>::epsilon();
    CHECK(by_model.value == Approx(by_matrix.value).epsilon(10 * eps));
    CHECK((by_model.gradient - by_matrix.gradient).norm() <= 100 * eps * by_matrix.gradient.norm());
  };
  agrees(sm::gaussian(3, {.mean = Eigen::Vector3d(1, 2, 3)}));
  agrees(sm::score_model(3, [](auto x, auto) { return -x + 0.1 * tanh(x); }));
  agrees(sm::energy_model<3>([](auto x, auto) { return sum(square(square(x))); }));
  agrees(OwnScore{});
  agrees(sm::at_sigma(sm::energy_model(3, [](auto x, auto sigma, auto) { return squared_norm(x) / sigma; }), 0.5));
  // At its own parameters a model's loss is 0, and a fit goes there.
  CHECK(sm::loss(fitted, sm::explicit_score_matching{fitted}, X).value == 0);
}

TEST_CASE("A fit to a model's score finds that model; targets of another kind are refused") {
  const MatrixXd X = normals(2, 200, 6);
  const auto target =
      sm::gaussian(2, {.mean = Eigen::Vector2d(0.5, -1), .precision = Eigen::Matrix2d{{2, 0.5}, {0.5, 1}}});
  const auto fit = sm::fit(sm::gaussian(2), sm::explicit_score_matching{target}, X, {.tolerance = 1e-9});
  CHECK((fit.model.parameters() - target.parameters()).norm() < 1e-6);
  // On the perturbed data, too
  const sm::perturbed perturbed{sm::explicit_score_matching{target}, {.sigma = 0.5}};
  CHECK(sm::loss(target, perturbed, X).value < 1e-25);
  const auto at_any_sigma = sm::energy_model(2, [](auto x, auto sigma, auto) { return squared_norm(x) / sigma; });
  CHECK_THAT(message_of([&] { (void)sm::loss(target, sm::explicit_score_matching{at_any_sigma}, X); }),
             ContainsSubstring("takes sigma: fix one, at_sigma(model, 0.3)"));
  CHECK_THAT(message_of([&] { (void)sm::loss(target, sm::explicit_score_matching{sm::gaussian(3)}, X); }),
             ContainsSubstring("is a model of dimension 3; the data have 2 rows"));
}

// --- noise beside large numbers ---

namespace {

/// The term "score along noise" of the denoising loss of N(m, 1) data at the right mean: −1.
template <class T>
sm::Estimate along_noise(double m, double sigma, Index n) {
  const auto model = sm::gaussian(1, {.mean = VectorXd::Constant(1, m)});
  const sm::Matrix<T> X = (normals(1, n, 7).array() + m).matrix().template cast<T>();
  return sm::loss(model, sm::denoising_score_matching{.sigma = sigma}, X).terms[1];
}

}  // namespace

TEST_CASE("The score along the noise is −1 beside large numbers, or the noise is refused") {
  const auto right = [](const sm::Estimate& estimate) {
    INFO(estimate.value << " ± " << estimate.standard_error);
    // rounding may change the noise's variance by a hundredth
    CHECK(std::abs(estimate.value + 1) < 5 * estimate.standard_error + 0.01);
  };
  right(along_noise<double>(5.3e6, 0.1, 100000));
  right(along_noise<double>(1e12, 0.1, 100000));
  right(along_noise<float>(1e5, 0.1, 100000));
  right(along_noise<float>(2.5e5, 0.1, 100000));  // numbers 0.016 to 0.03 apart
  right(along_noise<float>(3, 1e-5, 100000));     // numbers 2.4e-7 apart
  const auto refused = [](const std::string& message) {
    CHECK_THAT(message, ContainsSubstring("denoising_score_matching: sigma is ") &&
                            ContainsSubstring("x + sigma z rounds the noise away"));
  };
  refused(message_of([] { (void)along_noise<float>(5.3e6, 0.1, 1000); }));
  refused(message_of([] { (void)along_noise<float>(3, 1e-7, 1000); }));
  refused(message_of([] { (void)along_noise<double>(1e15, 0.1, 1000); }));
  CHECK_THAT(message_of([] { (void)along_noise<float>(5.3e6, 0.1, 1000); }),
             ContainsSubstring("float numbers are 0.5 apart"));
  // A row, the smallest of several levels, another objective, one outlier
  const Eigen::MatrixXf X = (normals(2, 1000, 8).array().colwise() + Eigen::Array2d(0, 1e7)).matrix().cast<float>();
  const auto said = [&](const auto& objective, const auto& data) {
    return message_of([&] { (void)sm::loss(sm::gaussian(2), objective, data); });
  };
  CHECK_THAT(said(sm::denoising_score_matching{.sigma = 0.1}, X), ContainsSubstring("but row 1 of the data reaches"));
  CHECK_THAT(said(sm::perturbed{sm::implicit_score_matching{}, {.sigma = 0.1}}, X),
             ContainsSubstring("perturbed: sigma is 0.1, but row 1"));
  CHECK(said(sm::denoising_score_matching{.sigma = 10}, X) == "no exception");
  const auto conditional = sm::energy_model(
      2, [](auto x, auto sigma, auto theta) { return theta("a") * squared_norm(x) / (1 + square(sigma)); });
  const sm::denoising_score_matching levels{.sigma = std::vector<double>{100, 0.01}};
  CHECK_THAT(message_of([&] { (void)sm::loss(conditional, levels, X); }),
             ContainsSubstring("sigma is 0.01, but row 1"));
  Eigen::MatrixXf outlier = normals(2, 1000, 9).cast<float>();
  outlier(0, 17) = 1e9f;
  CHECK(said(sm::denoising_score_matching{.sigma = 0.1}, outlier) == "no exception");
}

TEST_CASE("The noise of the denoising loss is the one that was realised") {
  // x + σz in float at 10⁵: the target must be −((x + σz) − x)/σ², sample by sample. With s = 0 the loss is ½‖z/σ‖².
  const auto zero = sm::score_model(1, [](auto x, auto theta) { return theta("a") * x; });
  const Eigen::MatrixXf X = Eigen::MatrixXf::Constant(1, 64, 1e5f);
  const float sigma = 0.1f;
  const auto loss = sm::loss(zero, sm::denoising_score_matching{.sigma = 0.1}, X, {.per_sample = true});
  for (Index i = 0; i < 64; ++i) {
    const double steps = std::sqrt(2 * loss.per_sample[i]) * sigma * sigma / 0.0078125;  // numbers are 2⁻⁷ apart
    CHECK(std::abs(steps - std::round(steps)) < 1e-4);
  }
}

// --- what a loss reports ---

TEST_CASE("The standard error of a mean is √(Σ(ℓ − mean)²/((n − 1) n)), of the loss and of its terms") {
  const auto model = sm::gaussian(2, {.mean = Eigen::Vector2d(0.3, -0.2)});
  for (const Index n : {2, 3, 7, 100}) {
    const MatrixXd X = normals(2, n, 61);
    for (const Index block : {0, 2}) {
      const auto loss = sm::loss(model, sm::implicit_score_matching{}, X, {.block = block, .per_sample = true});
      const VectorXd deviations = loss.per_sample.array() - loss.per_sample.mean();
      const double right = std::sqrt(deviations.squaredNorm() / static_cast<double>(n * (n - 1)));
      CHECK(loss.standard_error == Approx(right).epsilon(1e-12));
      CHECK(loss.terms[0].standard_error == Approx(right).epsilon(1e-12));  // the trace is the same for all
      CHECK(std::abs(loss.terms[1].standard_error) < 1e-12);
    }
  }
  CHECK(sm::loss(model, sm::implicit_score_matching{}, normals(2, 1, 61)).standard_error == 0);
}

TEST_CASE("Every term of a denoising loss has its weight") {
  const MatrixXd X = normals(3, 40, 62);
  const auto model = sm::gaussian_mixture(3, {.components = 2, .seed = 3});
  const double sigma = 0.4, sigma_data = 0.7;
  const auto terms = [&](sm::Weight weight) {
    return sm::loss_and_gradient(
        model, sm::denoising_score_matching{.sigma = sigma, .seed = 9, .weight = weight, .sigma_data = sigma_data}, X,
        {.per_sample = true});
  };
  const auto plain = terms(sm::Weight::one);
  for (const auto& [weight, lambda] :
       {std::pair(sm::Weight::sigma_squared, sigma * sigma),
        std::pair(sm::Weight::edm,
                  sigma * sigma * (sigma * sigma + sigma_data * sigma_data) / (sigma_data * sigma_data))}) {
    const auto weighted = terms(weight);
    CHECK(weighted.value == Approx(lambda * plain.value).epsilon(1e-13));
    CHECK((weighted.gradient - lambda * plain.gradient).norm() <= 1e-12 * plain.gradient.norm());
    CHECK((weighted.per_sample - lambda * plain.per_sample).norm() <= 1e-12 * plain.per_sample.norm());
    for (std::size_t k = 0; k < 3; ++k) {
      CHECK(weighted.terms[k].value == Approx(lambda * plain.terms[k].value).epsilon(1e-12));
      CHECK(weighted.terms[k].standard_error == Approx(lambda * plain.terms[k].standard_error).epsilon(1e-12));
    }
  }
  // The last term is the sum of the others, and the loss that plus ½‖z/σ‖², which the model has no part in.
  CHECK(plain.terms[2].value == Approx(plain.terms[0].value + plain.terms[1].value).epsilon(1e-12));
  const auto zero = sm::score_model(3, [](auto x, auto theta) { return theta("a") * x; });
  const double noise = sm::loss(zero, sm::denoising_score_matching{.sigma = sigma, .seed = 9}, X).value;
  CHECK(plain.value == Approx(plain.terms[2].value + noise).epsilon(1e-12));
  CHECK(sm::loss(zero, sm::denoising_score_matching{.sigma = sigma, .seed = 9}, X).terms[1].value == 0);
}
