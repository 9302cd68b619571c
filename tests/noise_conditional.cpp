// Denoising score matching at many noise levels, and labels: what each level's loss must be for Gaussian data, what a
// fit must find, and that a model with labels is its classes' own models.
//
// Seeds are fixed, so nothing here fails by chance. Had a seed been drawn by chance, each statistical check, |z| < 4,
// would fail a correct library with probability 6·10⁻⁵.
#include "catch.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/model/algebra.hpp"
#include "scorematch/model/at_sigma.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/perturbed.hpp"
#include "scorematch/objective/regularised_score_matching.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using sm::Index;

namespace {

/// What the objective adds to n samples: their noise levels with their groups, and z, d × n.
struct Noise {
  VectorXd sigma;
  Eigen::VectorXi group;
  MatrixXd Z;

  Noise(const sm::denoising_score_matching& objective, Index d, Index n) {
    std::vector<std::int64_t> ids;
    for (Index i = 0; i < n; ++i) ids.push_back(i);
    objective.sigma.draw<double>(objective.seed, ids.data(), n, 0, sigma, group);
    MatrixXd rows(n, d);
    sm::extend::fill_normals<double>({objective.seed, sm::extend::Purpose::perturbation}, ids.data(), n, 0, d,
                                     rows.data(), n);
    Z = rows.transpose();
  }
};

/// The score of N(0, vI) blurred: right at every level.
sm::ScoreModel gaussian_score(Index d, double v) {
  return sm::score_model(
      d, [v](auto x, auto sigma, auto theta) { return -x / (theta("v", sm::start_at(v)) + square(sigma)); });
}

constexpr sm::Weight weights[] = {sm::Weight::one, sm::Weight::sigma_squared, sm::Weight::likelihood, sm::Weight::edm};

template <class M>
M with_parameters(M model, const VectorXd& theta) {
  model.set_parameters(theta);
  return model;
}

/// The θ-gradient of a loss that is quadratic in θ: its central differences are exact for any step.
template <class M>
VectorXd difference_gradient(const M& model, const sm::denoising_score_matching& objective, const auto& X) {
  const VectorXd theta = model.parameters();
  VectorXd gradient(theta.size());
  for (Index k = 0; k < theta.size(); ++k) {
    const VectorXd step = 0.5 * VectorXd::Unit(theta.size(), k);
    gradient[k] = sm::loss(with_parameters(model, theta + step), objective, X).value -
                  sm::loss(with_parameters(model, theta - step), objective, X).value;
  }
  return gradient;
}

template <class T, class M>
void check_gradients(const M& model) {
  const sm::Matrix<T> X = normals(2, 70, 1).cast<T>();
  for (const sm::Weight weight : weights)
    for (const sm::NoiseLaw& law : {sm::NoiseLaw(sm::geometric_levels{.sigma_max = 3, .sigma_min = 0.3, .levels = 4}),
                                    sm::NoiseLaw(sm::log_uniform_sigma{.sigma_max = 3, .sigma_min = 0.3}),
                                    sm::NoiseLaw(sm::log_normal_sigma{.mean = 0, .deviation = 0.4})}) {
      const sm::denoising_score_matching objective{.sigma = law, .seed = 2, .weight = weight, .sigma_data = 0.7};
      const VectorXd gradient = sm::loss_and_gradient(model, objective, X).gradient;
      const VectorXd right = difference_gradient(model, objective, X);
      CHECK((gradient - right).norm() < (std::is_same_v<T, double> ? 1e-11 : 2e-4) * right.norm());
    }
}

/// Classes 0, 1, 2, and some without one.
std::vector<int> some_labels(Index n) {
  std::vector<int> labels;
  for (Index i = 0; i < n; ++i) labels.push_back(static_cast<int>((7 * i + i / 5) % 4) - 1);
  return labels;
}

/// Three classes, their means the columns of "m"; without a class the mean is 0.
sm::ScoreModel labelled_score() {
  return sm::score_model(2, sm::classes{3}, [](auto x, auto sigma, auto label, auto theta) {
    return (theta("m", 2, 3, sm::start_normal{.sigma = 1, .seed = 3}) * label - x) / (exp(theta("v")) + square(sigma));
  });
}
sm::EnergyModel labelled_energy() {
  return sm::energy_model(2, sm::classes{3}, [](auto x, auto sigma, auto label, auto theta) {
    return 0.5 * squared_norm(x - theta("m", 2, 3, sm::start_normal{.sigma = 1, .seed = 3}) * label) /
           (exp(theta("v")) + square(sigma));
  });
}

/// One class of these as a model of its own, at the labelled model's θ.
sm::ScoreModel class_model(const sm::ScoreModel& labelled, int label) {
  const VectorXd theta = labelled.parameters();
  VectorXd own(3);
  own << (label < 0 ? VectorXd::Zero(2) : VectorXd(theta.segment(2 * label, 2))), theta[6];
  return with_parameters(
      sm::score_model(
          2, [](auto x, auto sigma, auto theta_) { return (theta_("m", 2) - x) / (exp(theta_("v")) + square(sigma)); }),
      own);
}
sm::EnergyModel class_model(const sm::EnergyModel& labelled, int label) {
  const VectorXd theta = labelled.parameters();
  VectorXd own(3);
  own << (label < 0 ? VectorXd::Zero(2) : VectorXd(theta.segment(2 * label, 2))), theta[6];
  return with_parameters(sm::energy_model(2,
                                          [](auto x, auto sigma, auto theta_) {
                                            return 0.5 * squared_norm(x - theta_("m", 2)) /
                                                   (exp(theta_("v")) + square(sigma));
                                          }),
                         own);
}

/// A model with labels has each sample's loss from its class's own model, and the gradient of their mean.
template <class M, class O>
void check_labels(const M& model, const O& objective) {
  const Index n = 37;
  const MatrixXd X = normals(2, n, 4);
  const std::vector<int> labels = some_labels(n);
  const sm::Loss all = sm::loss_and_gradient(model, objective, X, {.labels = labels, .block = 16, .per_sample = true});
  VectorXd gradient = VectorXd::Zero(7);
  for (int label = -1; label < 3; ++label) {
    std::vector<Index> columns;
    for (Index i = 0; i < n; ++i)
      if (labels[static_cast<std::size_t>(i)] == label) columns.push_back(i);
    const sm::Loss own =
        sm::loss_and_gradient(class_model(model, label), objective, X, {.columns = columns, .per_sample = true});
    for (std::size_t k = 0; k < columns.size(); ++k)
      CHECK(all.per_sample[columns[k]] == Approx(own.per_sample[static_cast<Index>(k)]).epsilon(1e-12));
    const VectorXd part = own.gradient * static_cast<double>(columns.size()) / static_cast<double>(n);
    if (label >= 0) gradient.segment(2 * label, 2) += part.head(2);
    gradient[6] += part[2];
    // The label is the column's, wherever a minibatch has it.
    CHECK(sm::loss(model, objective, X, {.columns = columns, .labels = labels}).value ==
          Approx(own.value).epsilon(1e-12));
  }
  CHECK((all.gradient - gradient).norm() < 1e-12 * gradient.norm());
}

}  // namespace

TEST_CASE("Each level's loss of Gaussian data at the optimum is λ d v/(2σ²(v + σ²)), and their mean is the loss") {
  const Index d = 2, n = 20000;
  const double v = 0.7;
  const MatrixXd X = std::sqrt(v) * normals(d, n, 5);
  const sm::Levels ladder = sm::geometric_levels{.sigma_max = 4, .sigma_min = 0.2, .levels = 5};
  for (const sm::Weight weight : weights) {
    const sm::denoising_score_matching objective{.sigma = ladder, .seed = 6, .weight = weight, .sigma_data = 0.5};
    const sm::Loss loss = sm::loss(gaussian_score(d, v), objective, X, {.per_sample = true});
    const Noise noise(objective, d, n);
    REQUIRE(loss.levels.size() == 5);
    double total = 0;
    for (Index k = 0; k < 5; ++k) {
      const double q = ladder[k] * ladder[k], above = ladder[std::max<Index>(k - 1, 0)],
                   below = ladder[std::min<Index>(k + 1, 4)];
      const double lambda = weight == sm::Weight::one             ? 1
                            : weight == sm::Weight::sigma_squared ? q
                            : weight == sm::Weight::edm           ? q * (q + 0.25) / 0.25
                                                                  : 5 * 0.5 * (above * above - below * below);
      const sm::Estimate& level = loss.levels[static_cast<std::size_t>(k)];
      const double right = lambda * static_cast<double>(d) * v / (2 * q * (v + q));
      CHECK(std::abs(level.value - right) < 4 * level.standard_error);
      CHECK(level.standard_error < 0.05 * right);
      CHECK_THAT(level.name, ContainsSubstring("sigma "));
      // The mean and its error are those of the samples at this level.
      double count = 0, mean = 0, squares = 0;
      for (Index i = 0; i < n; ++i)
        if (noise.group[i] == k) ++count, mean += loss.per_sample[i];
      mean /= count;
      for (Index i = 0; i < n; ++i)
        if (noise.group[i] == k) squares += std::pow(loss.per_sample[i] - mean, 2);
      CHECK(level.value == Approx(mean).epsilon(1e-12));
      CHECK(level.standard_error == Approx(std::sqrt(squares / (count - 1) / count)).epsilon(1e-10));
      total += count / static_cast<double>(n) * level.value;
    }
    CHECK(loss.value == Approx(total).epsilon(1e-12));
  }
}

TEST_CASE("With the likelihood's weight the loss is ∫ σ E‖s + z/σ‖² dσ, over each of a law's ranges too") {
  // At the optimum E‖s + z/σ‖² = d v/(σ²(v + σ²)), so that the integral is d (log σ − ½ log(v + σ²)) between its ends.
  const double v = 0.7, most = 4, least = 0.2;
  const MatrixXd X = std::sqrt(v) * normals(2, 20000, 7);
  const sm::denoising_score_matching objective{.sigma = sm::log_uniform_sigma{.sigma_max = most, .sigma_min = least},
                                               .seed = 8,
                                               .weight = sm::Weight::likelihood};
  const sm::Loss loss = sm::loss(gaussian_score(2, v), objective, X);
  const auto integral = [&](double from, double to) {
    const auto at = [&](double sigma) { return 2 * (std::log(sigma) - 0.5 * std::log(v + sigma * sigma)); };
    return at(to) - at(from);
  };
  CHECK(std::abs(loss.value - integral(least, most)) < 4 * loss.standard_error);
  CHECK(loss.standard_error < 0.02 * loss.value);
  REQUIRE(loss.levels.size() == 8);
  for (int k = 0; k < 8; ++k) {  // an eighth of the samples has σ in a range: eight times its integral
    const auto end = [&](int e) { return most * std::pow(least / most, e / 8.0); };
    const sm::Estimate& level = loss.levels[static_cast<std::size_t>(k)];
    CHECK(std::abs(level.value - 8 * integral(end(k + 1), end(k))) < 4 * level.standard_error);
  }
}

TEST_CASE("A level that no sample draws has no loss; one sigma has no levels") {
  const MatrixXd X = normals(2, 2, 9);
  const sm::Loss loss = sm::loss(
      gaussian_score(2, 1),
      sm::denoising_score_matching{.sigma = sm::geometric_levels{.sigma_max = 4, .sigma_min = 0.2, .levels = 5}}, X);
  int none = 0;
  for (const sm::Estimate& level : loss.levels) none += std::isnan(level.value);
  CHECK(none >= 3);
  CHECK(std::isfinite(loss.value));
  CHECK(sm::loss(gaussian_score(2, 1), sm::denoising_score_matching{.sigma = 0.3}, X).levels.empty());
}

TEST_CASE("A fit over a ladder finds each level's best precision, near 1/(v + σ²), and a shared v") {
  const Index n = 4000;
  const double v = 0.7;
  const MatrixXd X = std::sqrt(v) * normals(2, n, 10);
  const sm::Levels ladder(std::vector<double>{2, 0.8, 0.3});
  const sm::denoising_score_matching objective{
      .sigma = ladder, .seed = 11, .frozen = true, .weight = sm::Weight::sigma_squared};
  const auto free = sm::score_model(2, [&](auto x, auto sigma, auto theta) {
    const auto p = theta("precision", 3);
    return -x * where(sigma > 1, p[0], where(sigma > 0.5, p[1], p[2]));
  });
  const auto fit = sm::fit(free, objective, X);
  REQUIRE(fit.status == sm::FitStatus::converged);
  const Noise noise(objective, 2, n);
  for (int k = 0; k < 3; ++k) {
    double along = 0, squares = 0, count = 0;  // the least of ½‖−p x̃ + z/σ‖² in p
    for (Index i = 0; i < n; ++i) {
      if (noise.group[i] != k) continue;
      const VectorXd noisy = X.col(i) + ladder[k] * noise.Z.col(i);
      along += noisy.dot(noise.Z.col(i)) / ladder[k];
      squares += noisy.squaredNorm();
      ++count;
    }
    CHECK(fit.model.parameters()[k] == Approx(along / squares).epsilon(1e-5));
    // For d = 1 and v = 1 n times its variance is 1/(σ²(1 + σ²)²); in general v/(σ²(v + σ²)²) for each coordinate.
    const double q = ladder[k] * ladder[k], error = std::sqrt(v / (2 * count * q)) / (v + q);
    CHECK(std::abs(fit.model.parameters()[k] - 1 / (v + q)) < 4 * error);
  }
  const auto shared = sm::fit(gaussian_score(2, 1.5), objective, X);
  REQUIRE(shared.status == sm::FitStatus::converged);
  // Its error by the sandwich: the spread of each sample's slope in v over the curvature.
  const auto losses = [&](double at) {
    return sm::loss(gaussian_score(2, at), objective, X, {.per_sample = true}).per_sample;
  };
  const double found = shared.model.parameters()[0], h = 1e-3;
  const VectorXd slopes = (losses(found + h) - losses(found - h)) / (2 * h);
  const double curvature = (losses(found + h) - 2 * losses(found) + losses(found - h)).mean() / (h * h);
  CHECK(std::abs(slopes.mean()) < 1e-5);
  const double error = std::sqrt(slopes.squaredNorm()) / static_cast<double>(n) / curvature;
  CHECK(error < 0.05);
  CHECK(std::abs(found - v) < 4 * error);
}

TEMPLATE_TEST_CASE("θ-gradients over levels and weights are those of the frozen loss", "", float, double) {
  check_gradients<TestType>(sm::score_model(2, [](auto x, auto sigma, auto theta) {
    return theta("a", sm::start_at(-0.8)) * x / (1 + square(sigma)) +
           theta("W", 2, 2, sm::start_normal{.sigma = 0.3, .seed = 12}) * tanh(x) / sigma;
  }));
  check_gradients<TestType>(sm::energy_model(2, [](auto x, auto sigma, auto theta) {
    return theta("a", sm::start_at(0.4)) * squared_norm(x) / (1 + square(sigma)) +
           sigma * dot(theta("b", 2, sm::start_at(0.3)), softplus(x));
  }));
}

TEST_CASE("Levels change nothing but rounding with the block, and no bit where the noise is the same") {
  const MatrixXd X = normals(2, 300, 13);
  const sm::denoising_score_matching objective{.sigma = sm::log_normal_sigma{}, .seed = 14};
  const auto model = gaussian_score(2, 1);
  const sm::Loss one = sm::loss(model, objective, X, {.per_sample = true});
  const sm::Loss other = sm::loss(model, objective, X, {.block = 8, .per_sample = true});
  CHECK(one.value == Approx(other.value).epsilon(1e-13));
  for (std::size_t k = 0; k < 8; ++k) CHECK(one.levels[k].value == Approx(other.levels[k].value).epsilon(1e-13));
  CHECK(one.per_sample == other.per_sample);
  const std::vector<Index> backwards = {299, 10, 0};
  const VectorXd few = sm::loss(model, objective, X, {.columns = backwards, .per_sample = true}).per_sample;
  CHECK(few == Eigen::Vector3d(one.per_sample[299], one.per_sample[10], one.per_sample[0]));
  CHECK(sm::loss(model, objective, X, {.draw = 1}).value != one.value);
}

TEST_CASE("A model with labels is its classes' own models; without a label the vector is 0") {
  const sm::denoising_score_matching objective{.sigma = sm::log_uniform_sigma{.sigma_max = 2, .sigma_min = 0.2},
                                               .seed = 15};
  check_labels(labelled_score(), objective);
  check_labels(labelled_energy(), objective);
  // An objective that asks for several points a sample has each sample's label at all of them.
  check_labels(labelled_score(), sm::perturbed{sm::regularised_score_matching{.lambda = 0.1}, {.sigma = 0.5}});
}

TEST_CASE("At a fixed level and class a model is that class's own") {
  const MatrixXd X = normals(2, 20, 16);
  const auto energy = labelled_energy();
  for (int label = -1; label < 3; ++label) {
    const auto at = sm::at_sigma(energy, 0.6, label);
    const auto own = sm::at_sigma(class_model(energy, label), 0.6);
    CHECK((sm::score_of(at, X) - sm::score_of(own, X)).norm() < 1e-13);
    CHECK((sm::energy_of(at, X) - sm::energy_of(own, X)).norm() < 1e-12);
    CHECK((sm::trace_of(at, X) - sm::trace_of(own, X)).norm() < 1e-12);
  }
}

TEST_CASE("Sums, multiples, exponentials and mixtures of models keep the label") {
  const MatrixXd X = normals(2, 20, 17);
  const auto a = labelled_energy();
  const auto b = sm::energy_model(2, [](auto x, auto theta) { return theta("slope", sm::start_at(0.3)) * x[0]; });
  const auto c = sm::named("other", labelled_energy());
  const auto f = [&](const sm::EnergyModel& model) { return VectorXd(sm::energy_of(sm::at_sigma(model, 0.6, 2), X)); };
  const VectorXd of_a = f(a), of_b = sm::energy_of(b, X);
  for (const auto& model : {a + b, b + a, a + c, 2.0 * a, exp(a), c, sm::mixture({a, b})}) CHECK(model.classes() == 3);
  CHECK((f(a + b) - of_a - of_b).norm() < 1e-12);
  CHECK((f(b + a) - of_a - of_b).norm() < 1e-12);
  CHECK((f(a + c) - 2 * of_a).norm() < 1e-12);
  CHECK((f(2.0 * a) - 2 * of_a).norm() < 1e-12);
  CHECK((f(exp(a)).array() - of_a.array().exp()).matrix().norm() < 1e-12);
  const VectorXd mixed = -(0.5 * (-of_a.array()).exp() + 0.5 * (-of_b.array()).exp()).log();
  CHECK((f(sm::mixture({a, b})) - mixed).norm() < 1e-12);
  CHECK(b.classes() == 0);
}

TEST_CASE("A sum of a score and an energy keeps the label of either, and the noise level") {
  const MatrixXd X = normals(2, 20, 18);
  const std::vector<int> labels = some_labels(20);
  const auto score = labelled_score();
  const auto slope = sm::energy_model(
      2, sm::classes{3}, [](auto x, auto, auto label, auto theta) { return dot(theta("slope", 3), label) * x[0]; });
  auto both = score + slope;
  VectorXd theta = both.parameters();
  theta.tail(3) = Eigen::Vector3d(0.1, 0.2, 0.3);
  both.set_parameters(theta);
  CHECK(both.classes() == 3);
  for (int label = -1; label < 3; ++label) {
    MatrixXd right = sm::score_of(sm::at_sigma(score, 0.6, label), X);
    if (label >= 0) right.row(0).array() -= 0.1 * (label + 1);
    CHECK((sm::score_of(sm::at_sigma(both, 0.6, label), X) - right).norm() < 1e-13);
  }
  // The same as one formula.
  const auto written = sm::score_model(2, sm::classes{3}, [](auto x, auto sigma, auto label, auto theta_) {
    const auto s = (theta_("m", 2, 3) * label - x) / (exp(theta_("v")) + square(sigma));
    return concat(s[0] - dot(theta_("slope", 3), label), s[1]);
  });
  VectorXd sorted(10);
  sorted << theta.head(6), theta.tail(3), theta[6];  // m, slope, v
  const sm::denoising_score_matching objective{.sigma =
                                                   sm::geometric_levels{.sigma_max = 2, .sigma_min = 0.2, .levels = 3}};
  CHECK(sm::loss(both, objective, X, {.labels = labels}).value ==
        Approx(sm::loss(with_parameters(written, sorted), objective, X, {.labels = labels}).value).epsilon(1e-12));
  const auto named = sm::named("all", both);
  const auto twice = 2.0 * both;
  CHECK(named.classes() == 3);
  CHECK(twice.classes() == 3);
  // And its noise level, which a sampler of many levels asks for.
  CHECK(sm::extend::takes_sigma(both));
  CHECK(sm::extend::takes_sigma(named));
  CHECK(sm::extend::takes_sigma(twice));
  const auto bowl = sm::energy_model(2, [](auto x, auto) { return squared_norm(x); });
  const auto still = sm::score_model(2, [](auto x, auto) { return -x; });
  CHECK_FALSE(sm::extend::takes_sigma(bowl + still));
  CHECK(sm::extend::takes_sigma(bowl + score));
}

TEST_CASE("Labels that are missing, out of range, or not asked for are refused") {
  const MatrixXd X = normals(2, 4, 19);
  const auto model = labelled_score();
  const auto plain = gaussian_score(2, 1);
  const sm::denoising_score_matching objective{.sigma = 0.3};
  const auto loss_with = [&](const sm::ScoreModel& m, const std::vector<int>& labels) {
    (void)sm::loss(m, objective, X, {.labels = labels});
  };
  CHECK_NOTHROW(loss_with(model, {0, 2, -1, 1}));
  CHECK_THROWS_WITH(loss_with(model, {}), ContainsSubstring("takes a label, but nothing here gives one"));
  CHECK_THROWS_WITH(loss_with(model, {0, 1}), ContainsSubstring("labels has 2 numbers for 4 columns"));
  CHECK_THROWS_WITH(loss_with(model, {0, 1, 3, 0}),
                    ContainsSubstring("labels has 3 for column 2; the model has 3 classes") &&
                        ContainsSubstring("from 0 to 2, or -1 for none"));
  CHECK_THROWS_WITH(loss_with(model, {0, -2, 0, 0}), ContainsSubstring("labels has -2 for column 1"));
  CHECK_THROWS_WITH(loss_with(plain, {0, 0, 0, 0}), ContainsSubstring("the model's formula takes no label"));
  CHECK_THROWS_WITH(sm::score_of(model, X), ContainsSubstring("takes sigma, but nothing here gives one"));
  CHECK_THROWS_WITH(sm::at_sigma(model, 0.5, 3), ContainsSubstring("at_sigma: label is 3; the model has 3 classes"));
  CHECK_THROWS_WITH(sm::at_sigma(model, 0.5, -2), ContainsSubstring("label is -2"));
  CHECK_THROWS_WITH(sm::at_sigma(plain, 0.5, 0),
                    ContainsSubstring("label is 0, but the model's formula takes no label"));
  CHECK_THROWS_WITH(sm::at_sigma(model, 0, 1), ContainsSubstring("sigma is 0"));
  const auto blind = sm::score_model(2, [](auto x, auto) { return -x; });
  CHECK_THROWS_WITH(sm::at_sigma(blind, 0.5), ContainsSubstring("this one takes no sigma"));

  const auto formula = [](auto x, auto sigma, auto label, auto theta) { return sum(label) * theta("a") * sigma * x; };
  CHECK_THROWS_WITH(sm::score_model(2, formula), ContainsSubstring("needs the number of its classes, at least 1"));
  CHECK_THROWS_WITH(sm::score_model(2, sm::classes{0}, formula), ContainsSubstring("at least 1"));
  CHECK_THROWS_WITH(sm::score_model(2, sm::classes{2}, [](auto x, auto) { return -x; }),
                    ContainsSubstring("the formula takes no label"));
  const auto two = sm::score_model(2, sm::classes{2}, formula);
  CHECK_THROWS_WITH(model + two, ContainsSubstring("a model of 3 classes is combined with one of 2"));
  const auto two_energies = sm::energy_model(
      2, sm::classes{2}, [](auto x, auto, auto label, auto theta) { return dot(theta("b", 2), label) * x[0]; });
  CHECK_THROWS_WITH(model + two_energies, ContainsSubstring("a model of 3 classes is combined with one of 2"));
}

TEST_CASE("A law or a weight out of range is refused before anything runs") {
  const MatrixXd X = normals(2, 4, 20);
  const auto refuse = [&](const sm::denoising_score_matching& objective, const std::string& words) {
    CHECK_THROWS_WITH(sm::loss(gaussian_score(2, 1), objective, X), ContainsSubstring(words));
  };
  refuse({.sigma = 0.0}, "denoising_score_matching: sigma is 0");
  refuse({.sigma = sm::log_uniform_sigma{.sigma_max = 1, .sigma_min = 2}},
         "denoising_score_matching: sigma: sigma_max is 1");
  refuse({.sigma = sm::log_normal_sigma{.deviation = -1}},
         "denoising_score_matching: sigma: log_normal_sigma has mean -1.2");
  refuse({.weight = sm::Weight::edm, .sigma_data = 0}, "denoising_score_matching: sigma_data is 0");
}

TEST_CASE("Many levels for a model without sigma, and a level without the class it needs, are refused") {
  const auto blind = sm::score_model(2, [](auto x, auto theta) { return theta("a") * x; });
  const MatrixXd X = MatrixXd::Ones(2, 4);
  CHECK_THROWS_WITH(sm::loss(blind, sm::denoising_score_matching{.sigma = sm::Levels{2, 1, 0.5}}, X),
                    ContainsSubstring("the model takes no sigma"));
  CHECK_NOTHROW(sm::loss(blind, sm::denoising_score_matching{.sigma = 0.5}, X));
  const auto labelled = sm::score_model(2, sm::classes{3}, [](auto x, auto sigma, auto label, auto theta) {
    return (theta("centre", 2, 3) * label - x) / (1 + square(sigma));
  });
  CHECK_THROWS_WITH(sm::at_sigma(labelled, 0.5), ContainsSubstring("label is missing"));
  CHECK_NOTHROW(sm::at_sigma(labelled, 0.5, -1));
}
