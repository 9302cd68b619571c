// Divergences and entropies against their closed forms, errors against the spread of repetitions, and what happens
// where they are infinite.
//
// Seeds are fixed, so nothing here fails by chance. Had a seed been drawn by chance, each statistical check, |z| < 4.5,
// would fail a correct library with probability 7·10⁻⁶, all of them together with less than 10⁻³.
#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/density/gaussian_density.hpp"
#include "scorematch/divergence/divergence.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/random/normal.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using fixtures::refuses;
using sm::DivergenceStatus;
using sm::Index;

namespace {

constexpr double limit = 4.5;  // of a standard normal statistic
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double pi = 3.141592653589793;

MatrixXd uniforms(Index d, Index n, std::uint64_t seed) {
  MatrixXd U(n, d);
  sm::extend::fill_uniforms<double>({seed, sm::extend::Purpose::user}, sm::extend::Ids::from(0), n, 0, d, U.data(), n);
  return U.transpose();
}

/// N(m, L Lᵀ)
struct Gaussian {
  VectorXd mean;
  MatrixXd factor;

  MatrixXd covariance() const { return factor * factor.transpose(); }
  MatrixXd draw(Index n, std::uint64_t seed) const { return (factor * normals(mean.size(), n, seed)).colwise() + mean; }
  sm::Density density() const { return sm::gaussian_density(mean, covariance()); }
};

Gaussian first() {
  Gaussian p{VectorXd(2), MatrixXd(2, 2)};
  p.mean << 0.3, -0.2;
  p.factor << 1, 0,  //
      0.4, 0.8;
  return p;
}

Gaussian second() {
  Gaussian q{VectorXd(2), MatrixXd(2, 2)};
  q.mean << -0.1, 0.4;
  q.factor << 1.2, 0,  //
      -0.3, 1.0;
  return q;
}

double exact(const Gaussian& p, const Gaussian& q) {
  return sm::gaussian_kl_divergence(p.mean, p.covariance(), q.mean, q.covariance());
}

}  // namespace

// --- closed forms ---

TEST_CASE("Gaussians in closed form: density, entropy, divergence") {
  // By hand in one dimension: D(N(0, 1)‖N(1, 4)) = ½(1/4 + 1/4 − 1 + log 4)
  const auto one = [](double number) { return MatrixXd::Constant(1, 1, number); };
  CHECK(sm::gaussian_kl_divergence(one(0), one(1), one(1), one(4)) ==
        Approx(0.5 * (0.5 - 1 + std::log(4.0))).epsilon(1e-15));
  CHECK(sm::gaussian_entropy(one(4)) == Approx(0.5 * std::log(2 * pi * std::exp(1.0) * 4)).epsilon(1e-15));
  CHECK(sm::gaussian_density(one(1), one(4))(one(0))[0] == Approx(-0.5 * std::log(2 * pi * 4) - 0.125).epsilon(1e-15));

  // In two: on a grid of step 0.2 the trapezoidal rule is exact to rounding.
  const Gaussian p = first(), q = second();
  const double step = 0.2, reach = 11;
  const Index n = 2 * static_cast<Index>(std::lround(reach / step)) + 1;
  MatrixXd X(2, n * n);
  for (Index i = 0; i < X.cols(); ++i)
    X.col(i) << -reach + step * static_cast<double>(i % n), -reach + step * static_cast<double>(i / n);
  const Eigen::ArrayXd log_p = p.density()(X), log_q = q.density()(X), weight = log_p.exp() * step * step;
  CHECK(weight.sum() == Approx(1).epsilon(1e-12));
  CHECK((weight * log_p).sum() == Approx(-sm::gaussian_entropy(p.covariance())).epsilon(1e-12));
  CHECK((weight * (log_p - log_q)).sum() == Approx(exact(p, q)).epsilon(1e-11));
  CHECK(exact(p, p) == Approx(0).margin(1e-15));
  CHECK(std::abs(exact(p, q) - exact(q, p)) > 0.01);
}

// --- both densities known ---

TEST_CASE("Forward and reverse divergence between densities, with their terms and errors") {
  const Gaussian p = first(), q = second();
  const Index n = 40000;
  const sm::Divergence forward = sm::kl_divergence(p.draw(n, 1), p.density(), q.density());
  const sm::Divergence reverse = sm::kl_divergence(q.draw(n, 2), q.density(), p.density());
  for (const auto& [found, right] : {std::pair{forward, exact(p, q)}, std::pair{reverse, exact(q, p)}}) {
    CHECK(found.status == DivergenceStatus::estimated);
    CHECK(found.samples == n);
    CHECK(found.non_finite == 0);
    CHECK(std::abs(found.value - right) < limit * found.standard_error);
    CHECK(found.standard_error < 0.02);
    REQUIRE(found.terms.size() == 2);
    CHECK(found.terms[0].value + found.terms[1].value == Approx(found.value).epsilon(1e-12));
  }
  // (1.18): the first term is the negative entropy.
  CHECK(std::abs(forward.terms[0].value + sm::gaussian_entropy(p.covariance())) <
        limit * forward.terms[0].standard_error);
  CHECK(sm::kl_divergence(p.draw(50, 1), p.density(), p.density()).value == 0);
  // Float samples.
  const sm::Divergence in_float =
      sm::kl_divergence(Eigen::MatrixXf(p.draw(n, 1).cast<float>()), p.density(), q.density());
  CHECK(in_float.value == Approx(forward.value).epsilon(1e-4));
}

TEST_CASE("The density of a model: −f − log Z, and the error of log Z adds to the divergence's") {
  const auto model = sm::energy_model(
      2, [](auto x, auto theta) { return 0.5 * exp(theta("k", sm::start_at(0.4))) * squared_norm(x - theta("m", 2)); });
  const double precision = std::exp(0.4), log_z = std::log(2 * pi / precision);
  const sm::Density by_model = sm::density(model, log_z);
  const sm::Density right = sm::gaussian_density(VectorXd::Zero(2), MatrixXd::Identity(2, 2) / precision);
  const MatrixXd X = normals(2, 500, 3);
  CHECK((by_model(X) - right(X)).cwiseAbs().maxCoeff() < 1e-13);
  CHECK(sm::kl_divergence(X, first().density(), by_model).value ==
        Approx(sm::kl_divergence(X, first().density(), right).value).epsilon(1e-12));

  const sm::Divergence without = sm::kl_divergence(X, first().density(), by_model);
  const sm::Divergence with = sm::kl_divergence(X, first().density(), sm::density(model, log_z, 0.3));
  CHECK(with.value == without.value);
  CHECK(with.standard_error == Approx(std::hypot(without.standard_error, 0.3)).epsilon(1e-14));
  CHECK(sm::kl_divergence(X, first().density(), sm::density(model, sm::LogPartition{.value = log_z, .error = 0.3}))
            .standard_error == with.standard_error);
  // Another log Z shifts the divergence by as much.
  CHECK(sm::kl_divergence(X, first().density(), sm::density(model, log_z + 2)).value ==
        Approx(without.value + 2).epsilon(1e-12));
}

TEST_CASE("The Monte Carlo entropy of a density") {
  const Gaussian p = first();
  const sm::Divergence found = sm::entropy(p.draw(40000, 4), p.density());
  CHECK(found.status == DivergenceStatus::estimated);
  CHECK(std::abs(found.value - sm::gaussian_entropy(p.covariance())) < limit * found.standard_error);
  CHECK(found.standard_error == Approx(std::sqrt(1.0 / 40000)).epsilon(0.05));  // Var log p = d/2 for a Gaussian
}

// --- where it is infinite ---

TEST_CASE("q = 0 at a sample of p makes the divergence +∞, and says so") {
  const auto interval = [](double a, double b) {
    return sm::density(1, [=](const MatrixXd& X) -> VectorXd {
      VectorXd log_p(X.cols());
      for (Index i = 0; i < X.cols(); ++i) log_p[i] = X(0, i) >= a && X(0, i) <= b ? -std::log(b - a) : -infinity;
      return log_p;
    });
  };
  const MatrixXd X = uniforms(1, 1000, 5);
  const sm::Divergence wide = sm::kl_divergence(X, interval(0, 1), interval(-1, 3));
  CHECK(wide.status == DivergenceStatus::estimated);
  CHECK(wide.value == Approx(std::log(4.0)).epsilon(1e-12));

  const sm::Divergence narrow = sm::kl_divergence(X, interval(0, 1), interval(0, 0.99));
  CHECK(narrow.status == DivergenceStatus::infinite);
  CHECK(narrow.value == infinity);
  CHECK(std::isnan(narrow.standard_error));
  CHECK(narrow.non_finite == (X.array() > 0.99).count());
  CHECK(narrow.non_finite >= 1);

  // p = 0 at one of its own samples: these are no samples of p.
  const sm::Divergence foreign = sm::kl_divergence(X, interval(0, 0.5), interval(-1, 3));
  CHECK(foreign.status == DivergenceStatus::non_finite);
  CHECK_FALSE(std::isfinite(foreign.value));
  CHECK(sm::entropy(X, interval(0, 0.5)).status == DivergenceStatus::non_finite);
  // Both 0: log p − log q is not a number.
  const sm::Divergence both = sm::kl_divergence(X, interval(0, 0.5), interval(0, 0.5));
  CHECK(both.status == DivergenceStatus::non_finite);
  CHECK(std::isnan(both.value));
  // Not a number from the user's density.
  const auto broken = sm::density(1, [](const MatrixXd& Y) -> VectorXd {
    VectorXd log_p = VectorXd::Zero(Y.cols());
    log_p[3] = not_a_number;
    return log_p;
  });
  const sm::Divergence unknown = sm::kl_divergence(X, interval(0, 1), broken);
  CHECK(unknown.status == DivergenceStatus::non_finite);
  CHECK(unknown.non_finite == 1);
  CHECK(std::isnan(unknown.value));
  CHECK(std::string(to_string(unknown.status)) == "non-finite");
}

// --- Fisher's divergence ---

TEST_CASE("Fisher's divergence between Gaussians, from models, scores and matrices of scores") {
  // p = N(0, I), q = N(m, I/k): ½E‖−x + k(x − m)‖² = ½((k − 1)² d + k²‖m‖²)
  const double k = 1.7;
  const Eigen::Vector2d m(0.5, -0.3);
  const auto p = sm::energy_model(2, [](auto x, auto) { return 0.5 * squared_norm(x); });
  const auto q = sm::score_model(2, [&](auto x, auto) { return -k * (x - m); });
  const MatrixXd X = normals(2, 40000, 6);
  const sm::Divergence found = sm::fisher_divergence(X, p, q);
  CHECK(found.status == DivergenceStatus::estimated);
  CHECK(std::abs(found.value - 0.5 * (2 * 0.7 * 0.7 + k * k * m.squaredNorm())) < limit * found.standard_error);
  CHECK(found.standard_error < 0.01);
  // The explicit loss (1.26) is the same number.
  const MatrixXd target = -X;
  const sm::Loss loss = sm::loss(q, sm::explicit_score_matching{target}, X);
  CHECK(found.value == Approx(loss.value).epsilon(1e-13));
  CHECK(found.standard_error == Approx(loss.standard_error).epsilon(1e-10));
  CHECK(sm::fisher_divergence(X, target, q).value == Approx(loss.value).epsilon(1e-13));
  CHECK(sm::fisher_divergence(X, q, target).value == Approx(loss.value).epsilon(1e-13));
  CHECK(sm::fisher_divergence(X, p, p).value == 0);

  MatrixXd wall = target;
  wall(1, 7) = infinity;
  CHECK(sm::fisher_divergence(X, wall, q).status == DivergenceStatus::infinite);
  CHECK(sm::fisher_divergence(X, wall, q).value == infinity);
  wall(1, 7) = not_a_number;
  CHECK(sm::fisher_divergence(X, wall, q).status == DivergenceStatus::non_finite);
}

// --- nearest neighbours ---

TEST_CASE("The tree finds the same neighbours as looking at all points") {
  for (const Index d : {1, 2, 3, 7}) {
    MatrixXd X = normals(d, 700, 7), Y = 1.3 * normals(d, 90, 8);
    X.row(0).tail(200).setConstant(0.25);                // many points on one plane,
    X.middleCols(100, 40) = X.col(99).replicate(1, 40);  // and many at one place
    Y.leftCols(20) = X.leftCols(20);
    const sm::detail::NeighbourTree<double> tree(X);
    CHECK(tree.size() == 700);
    for (const int k : {1, 4, 50}) {
      const VectorXd own = tree.distances(X, k, true), others = tree.distances(Y, k, false);
      const auto brute = [&](const VectorXd& point, Index without) {
        std::vector<double> all;
        for (Index i = 0; i < X.cols(); ++i)
          if (i != without) all.push_back((X.col(i) - point).norm());
        std::nth_element(all.begin(), all.begin() + (k - 1), all.end());
        return all[static_cast<std::size_t>(k - 1)];
      };
      double worst = 0;
      for (Index i = 0; i < X.cols(); ++i) worst = std::max(worst, std::abs(own[i] - brute(X.col(i), i)));
      for (Index i = 0; i < Y.cols(); ++i) worst = std::max(worst, std::abs(others[i] - brute(Y.col(i), -1)));
      CHECK(worst < 1e-12);
    }
  }
}

TEST_CASE("Entropy by nearest neighbours") {
  CHECK(sm::detail::digamma(1) == Approx(-0.57721566490153286).epsilon(1e-14));
  CHECK(sm::detail::digamma(2) == Approx(1 - 0.57721566490153286).epsilon(1e-14));
  CHECK(sm::detail::digamma(100) == Approx(4.6001618527380874).epsilon(1e-14));
  CHECK(sm::detail::log_unit_ball(1) == Approx(std::log(2.0)).epsilon(1e-14));
  CHECK(sm::detail::log_unit_ball(2) == Approx(std::log(pi)).epsilon(1e-14));
  CHECK(sm::detail::log_unit_ball(3) == Approx(std::log(4 * pi / 3)).epsilon(1e-14));

  const Gaussian p = first();
  const double right = sm::gaussian_entropy(p.covariance());
  for (const int k : {1, 4}) {
    const sm::Divergence found = sm::entropy(p.draw(20000, 9), {.neighbours = k});
    CHECK(found.status == DivergenceStatus::estimated);
    CHECK(std::abs(found.value - right) < limit * found.standard_error);
    CHECK(found.standard_error < 0.02);
  }
  // Scale and shift: H(cX + a) = H(X) + d log c, exactly.
  const MatrixXd X = p.draw(2000, 10);
  CHECK(sm::entropy(MatrixXd((3 * X).array() + 1)).value ==
        Approx(sm::entropy(X).value + 2 * std::log(3.0)).epsilon(1e-12));
  // Uniform on the unit square: 0, up to the bias of the edges.
  CHECK(std::abs(sm::entropy(uniforms(2, 20000, 11)).value) < 0.03);
}

TEST_CASE("Divergence by nearest neighbours, from samples of both or of one") {
  const Gaussian p = first(), q = second();
  const Index n = 20000;
  const MatrixXd X = p.draw(n, 12), Y = q.draw(n / 2, 13);
  for (const int k : {1, 4}) {
    const sm::Divergence both = sm::kl_divergence(X, Y, {.neighbours = k});
    CHECK(both.status == DivergenceStatus::estimated);
    CHECK(std::abs(both.value - exact(p, q)) < limit * both.standard_error);
    CHECK(both.standard_error < 0.04);
    const sm::Divergence one = sm::kl_divergence(X, q.density(), {.neighbours = k});
    CHECK(one.status == DivergenceStatus::estimated);
    CHECK(std::abs(one.value - exact(p, q)) < limit * one.standard_error);
    CHECK(one.standard_error < 0.02);
    CHECK(one.terms[0].value == -sm::entropy(X, {.neighbours = k}).value);
    CHECK(one.terms[0].value + one.terms[1].value == Approx(one.value).epsilon(1e-12));
  }
  // Units do not matter.
  CHECK(sm::kl_divergence(5 * X, 5 * Y).value == Approx(sm::kl_divergence(X, Y).value).epsilon(1e-9));
}

TEST_CASE("Nearest neighbours by hand: samples 0, 1, 3 of p and 0.25, 2.5 of q") {
  MatrixXd X(1, 3), Y(1, 2);
  X << 0, 1, 3;
  Y << 0.25, 2.5;
  // Distances within: 1, 1, 2; to q's: 0.25, 0.75, 0.5
  const sm::Divergence entropy = sm::entropy(X, {.neighbours = 1}), both = sm::kl_divergence(X, Y, {.neighbours = 1});
  CHECK(entropy.value == Approx((1 + 0.5) + std::log(2.0) + std::log(2.0) / 3).epsilon(1e-14));  // ψ(3) − ψ(1) = 1 + ½
  CHECK(both.value == Approx(std::log(0.25 * 0.75 * 0.25) / 3 + std::log(2.0 / 2)).epsilon(1e-14));
  CHECK(std::isnan(entropy.standard_error));  // too few to say
  CHECK(std::isnan(both.standard_error));
  CHECK(both.status == DivergenceStatus::estimated);
}

TEST_CASE("The errors of nearest-neighbour estimates are those that repetitions show") {
  const Gaussian p = first(), q = second();
  const Index n = 800, m = 500;
  const int repetitions = 200;
  // Mean square of the stated errors over the variance of the estimates. Estimates: 200, so ±10 %; bounds at ±45 %.
  const auto check = [&](auto estimate) {
    VectorXd values(repetitions), errors(repetitions);
    for (int r = 0; r < repetitions; ++r) {
      const sm::Divergence found = estimate(static_cast<std::uint64_t>(1000 + r));
      values[r] = found.value;
      errors[r] = found.standard_error;
    }
    const double ratio = errors.squaredNorm() / (values.array() - values.mean()).square().sum();
    INFO("ratio " << ratio);
    CHECK(ratio > 0.55);
    CHECK(ratio < 1.45);
  };
  check([&](std::uint64_t r) { return sm::entropy(p.draw(n, r)); });
  check([&](std::uint64_t r) { return sm::kl_divergence(p.draw(n, r), q.draw(m, r + 5000)); });
  check([&](std::uint64_t r) { return sm::kl_divergence(p.draw(n, r), q.density()); });
  check([&](std::uint64_t r) { return sm::kl_divergence(p.draw(n, r), p.density(), q.density()); });
}

TEST_CASE("Ties: more than k equal samples have a distance of 0") {
  MatrixXd X = normals(2, 1000, 14);
  X.col(1) = X.col(0);
  CHECK(sm::entropy(X, {.neighbours = 1}).status == DivergenceStatus::tied);
  CHECK(sm::entropy(X, {.neighbours = 1}).value == -infinity);
  CHECK(std::isnan(sm::entropy(X, {.neighbours = 1}).standard_error));
  CHECK(sm::entropy(X, {.neighbours = 2}).status == DivergenceStatus::estimated);
  const MatrixXd Y = normals(2, 1000, 15);
  CHECK(sm::kl_divergence(X, Y, {.neighbours = 1}).status == DivergenceStatus::tied);
  CHECK(sm::kl_divergence(X, first().density(), {.neighbours = 1}).status == DivergenceStatus::tied);
  CHECK(sm::kl_divergence(Y, X, {.neighbours = 1}).status == DivergenceStatus::estimated);
}

TEST_CASE("Samples in a plane have no density: an entropy of −∞, a divergence of +∞ from samples outside it") {
  const MatrixXd X = normals(2, 400, 21), Y = normals(2, 400, 22);
  MatrixXd constant = X, multiple = X, scaled = X, sum(3, 400), other = Y;
  constant.row(1).setConstant(1e6);
  multiple.row(1) = 2 * X.row(0).array() - 7;
  scaled.row(1) = 1e-9 * X.row(0).array() + 1e-9;
  sum << X, X.row(0) - 3 * X.row(1);
  other.row(1).setConstant(1e6);
  for (const MatrixXd& flat : {constant, multiple, scaled, sum, MatrixXd(MatrixXd::Ones(2, 50))}) {
    const sm::Divergence found = sm::entropy(flat);
    CHECK(found.value == -infinity);
    CHECK(found.status == DivergenceStatus::infinite);
    CHECK(std::isnan(found.standard_error));
  }
  // Neither units nor an offset make a plane of what is none, nor a row that is nearly a multiple.
  MatrixXd near = X;
  near.row(1) = 1e6 * (X.row(0) + 1e-7 * X.row(1)).array() + 1e6;
  for (const MatrixXd& full : {MatrixXd(1e-9 * X), MatrixXd(X.array() + 1e6), near})
    CHECK(sm::entropy(full).status == DivergenceStatus::estimated);
  CHECK(sm::kl_divergence(constant, Y).value == infinity);
  CHECK(sm::kl_divergence(Y, constant).status == DivergenceStatus::infinite);
  CHECK(sm::kl_divergence(constant, first().density()).value == infinity);
  // Both in one plane: what they are within it.
  const sm::Divergence within = sm::kl_divergence(constant, other);
  CHECK(within.status == DivergenceStatus::estimated);
  CHECK(within.value == Approx(sm::kl_divergence(MatrixXd(X.topRows(1)), MatrixXd(Y.topRows(1))).value).epsilon(1e-9));
}

TEST_CASE("Copies are no samples of a density: they are counted, and make the status tied where they matter") {
  const MatrixXd X = normals(2, 1000, 23), Y = normals(2, 1000, 24);
  const sm::Divergence itself = sm::kl_divergence(X, X);
  CHECK(itself.status == DivergenceStatus::tied);
  CHECK(itself.tied == 1000);
  CHECK(std::isnan(itself.standard_error));
  MatrixXd some = Y, twice(2, 2000), rounded = (10 * X).array().round() / 10;
  some.leftCols(100) = X.leftCols(100);
  twice << X, X;
  CHECK(sm::kl_divergence(X, some).status == DivergenceStatus::tied);
  CHECK(sm::kl_divergence(X, some).tied == 100);
  CHECK(sm::kl_divergence(X, some, {.neighbours = 1}).status == DivergenceStatus::tied);
  CHECK(sm::entropy(twice).status == DivergenceStatus::tied);
  CHECK(sm::entropy(rounded).status == DivergenceStatus::tied);
  CHECK(sm::kl_divergence(twice, first().density()).status == DivergenceStatus::tied);
  // One pair among a thousand moves the estimate by a thousandth of a nat, far below its error.
  MatrixXd pair = X;
  pair.col(1) = pair.col(0);
  CHECK(sm::entropy(pair).status == DivergenceStatus::estimated);
  CHECK(sm::entropy(pair).tied == 2);
  CHECK(std::abs(sm::entropy(pair).value - sm::entropy(X).value) < 0.1 * sm::entropy(X).standard_error);
  CHECK(sm::kl_divergence(X, Y).tied == 0);
}

TEST_CASE("The groups of a nearest-neighbour error: every 20th sample, fewer where they would be small") {
  const auto by_hand = [](const MatrixXd& X, Index groups) {
    VectorXd values(groups);
    for (Index g = 0; g < groups; ++g) {
      MatrixXd group(X.rows(), 0);
      for (Index i = g; i < X.cols(); i += groups) {
        group.conservativeResize(X.rows(), group.cols() + 1);
        group.col(group.cols() - 1) = X.col(i);
      }
      values[g] = sm::entropy(group).value;
    }
    const double mean = values.mean(), n = static_cast<double>(groups);
    return std::sqrt((values.array() - mean).square().sum() / (n - 1) / n);
  };
  const MatrixXd X = normals(2, 1500, 25);
  CHECK(sm::entropy(X).standard_error == Approx(by_hand(X, 20)).epsilon(1e-12));
  const MatrixXd few = X.leftCols(349);  // 50 a group: 6 groups
  CHECK(sm::entropy(few).standard_error == Approx(by_hand(few, 6)).epsilon(1e-12));
  CHECK(std::isfinite(sm::entropy(MatrixXd(X.leftCols(100))).standard_error));
  CHECK(std::isnan(sm::entropy(MatrixXd(X.leftCols(99))).standard_error));
}

// --- bad input ---

TEST_CASE("Divergences refuse what they cannot use, and name it") {
  const Gaussian p = first();
  const MatrixXd X = normals(2, 100, 16), three = normals(3, 100, 16);
  MatrixXd bad = X;
  bad(1, 4) = not_a_number;
  const auto model = sm::energy_model(2, [](auto x, auto) { return 0.5 * squared_norm(x); });
  const auto other = sm::gaussian_density(VectorXd::Zero(3), MatrixXd::Identity(3, 3));

  refuses([&] { (void)sm::density(model, infinity); }, "density: log_partition is inf");
  refuses([&] { (void)sm::density(model, 0, -1); }, "density: log_partition_error is -1", "at least 0");
  refuses([&] { (void)sm::density(model, sm::LogPartition{}); }, "density: log Z is nan", "not converged");
  refuses([&] { (void)sm::density(0, [](const MatrixXd& Y) -> VectorXd { return VectorXd::Zero(Y.cols()); }); },
          "density: dimension is 0");
  refuses([&] { (void)sm::density(2, [](const MatrixXd&) -> VectorXd { return VectorXd::Zero(3); })(X); },
          "returned 3 numbers for 100 points");
  refuses([&] { (void)sm::kl_divergence(X, p.density(), other); }, "p has dimension 2, q 3");
  refuses([&] { (void)sm::kl_divergence(three, p.density(), p.density()); }, "X has 3 rows", "dimension 2");
  refuses([&] { (void)sm::kl_divergence(bad, p.density(), p.density()); }, "nan in column 4, row 1");
  refuses([&] { (void)sm::kl_divergence(MatrixXd(2, 0), p.density(), p.density()); }, "no columns");
  refuses([&] { (void)sm::kl_divergence(X, three); }, "X has 2 rows, Y 3");
  refuses([&] { (void)sm::kl_divergence(X, bad); }, "Y has nan in column 4");
  refuses([&] { (void)sm::kl_divergence(X, X.leftCols(4)); }, "Y has 4 columns", "at least 5");
  refuses([&] { (void)sm::entropy(X.leftCols(4)); }, "X has 4 columns", "at least 5");
  refuses([&] { (void)sm::entropy(X, {.neighbours = 0}); }, "NearestNeighbours: neighbours is 0");
  refuses([&] { (void)sm::entropy(bad); }, "X has nan in column 4");
  refuses([&] { (void)sm::fisher_divergence(X, model, three); }, "fisher_divergence: q is 3 × 100", "2 × 100");
  refuses([&] { (void)sm::fisher_divergence(three, model, model); }, "X has 3 rows");

  const MatrixXd I = MatrixXd::Identity(2, 2);
  const VectorXd zero = VectorXd::Zero(2);
  MatrixXd crooked = I, flat = MatrixXd::Ones(2, 2);
  crooked(0, 1) = 0.5;
  refuses([&] { (void)sm::gaussian_entropy(crooked); }, "gaussian_entropy: covariance is not symmetric");
  refuses([&] { (void)sm::gaussian_entropy(flat); }, "gaussian_entropy: covariance is not positive definite");
  refuses([&] { (void)sm::gaussian_density(zero, MatrixXd::Identity(3, 3)); }, "covariance is 3 × 3", "2 × 2");
  refuses([&] { (void)sm::gaussian_kl_divergence(zero, I, VectorXd::Zero(3), I); }, "mean_q has 3 numbers", "mean_p 2");
  refuses([&] { (void)sm::gaussian_kl_divergence(zero, I, zero, -I); }, "covariance_q is not positive definite");
}
