// What docs/equations.md says of the score and of the losses, where no other test shows it: the steps of the two
// proofs, and what is right where the study notes slip.
//
// Expectations are integrals: the trapezoidal rule on a grid of step 0.25 is exact to rounding for what is smooth and
// vanishes at the ends.
#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/density/gaussian_density.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/sample.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using sm::Index;

namespace {

constexpr double pi = 3.141592653589793;

/// A rule for integrals over ℝᵈ, d = 1 or 2: ∫ φ dx ≈ Σ_k weight · φ(points_k).
struct Grid {
  MatrixXd points;
  double weight;
};

Grid grid(Index d, double reach = 9, double step = 0.25) {
  const Index n = 2 * static_cast<Index>(std::lround(reach / step)) + 1;
  Grid made{MatrixXd(d, d == 1 ? n : n * n), std::pow(step, static_cast<double>(d))};
  for (Index i = 0; i < made.points.cols(); ++i) {
    made.points(0, i) = -reach + step * static_cast<double>(i % n);
    if (d == 2) made.points(1, i) = -reach + step * static_cast<double>(i / n);
  }
  return made;
}

/// The mean of N(m_k, v I) over the columns m_k: a kernel density.
struct Kernels {
  MatrixXd centres;
  double variance;

  VectorXd density(const MatrixXd& X) const {
    VectorXd p = VectorXd::Zero(X.cols());
    for (Index k = 0; k < centres.cols(); ++k) p += part(k, X);
    return p;
  }
  /// ∂p/∂x, d × N
  MatrixXd slope(const MatrixXd& X) const {
    MatrixXd slope = MatrixXd::Zero(X.rows(), X.cols());
    for (Index k = 0; k < centres.cols(); ++k)
      slope += ((-X).colwise() + centres.col(k)) * (part(k, X) / variance).asDiagonal();
    return slope;
  }
  /// log p up to what does not depend on x, as an energy of the library
  sm::EnergyModel energy() const {
    return sm::energy_model(centres.rows(), [this](auto x, auto) {
      return -log_sum_exp(sm::stack(static_cast<int>(centres.cols()), [&](int k) {
        return (-0.5 / variance) * squared_norm(x - VectorXd(centres.col(k)));
      }));
    });
  }

 private:
  VectorXd part(Index k, const MatrixXd& X) const {
    const VectorXd squared = (X.colwise() - centres.col(k)).colwise().squaredNorm().transpose();
    return (-0.5 / variance * squared.array()).exp() /
           (static_cast<double>(centres.cols()) * std::pow(2 * pi * variance, 0.5 * static_cast<double>(X.rows())));
  }
};

MatrixXd three_points(Index d) {
  MatrixXd points(2, 3);
  points << -1, 0.4, 1.5,  //
      0.3, -0.8, 0.6;
  return points.topRows(d);
}

/// s_θ, no gradient of an energy; `only`: its component of this number alone, the others 0
sm::ScoreModel field(Index d, Index only = -1) {
  VectorXd mask = VectorXd::Ones(d);
  if (only >= 0) mask = VectorXd::Unit(d, only);
  MatrixXd turn(2, 2);
  turn << -0.8, 0.9,  //
      -0.3, -1.4;
  return sm::score_model(
      d, [=](auto x, auto) { return mask * (MatrixXd(turn.topLeftCorner(d, d)) * x + sin(1.7 * x) * x[0]); });
}

template <class M, class O>
VectorXd losses_of(const M& model, const O& objective, const MatrixXd& X) {
  return sm::loss(model, objective, X, {.per_sample = true}).per_sample;
}

/// Each sample's denoising loss at noise Z that the test chooses, by the objective's own text.
template <class M>
VectorXd denoising_losses(const M& model, double sigma, const MatrixXd& X, const MatrixXd& Z) {
  const sm::denoising_score_matching objective{.sigma = sigma};
  sm::extend::ScoreValues<double> values;
  values.S = sm::score_of(model, X + sigma * Z).transpose();
  sm::extend::Points<double> points;
  points.sigma.setConstant(X.cols(), sigma);
  sm::extend::Losses<double> losses;
  losses.value.resize(X.cols());
  losses.terms.resize(X.cols(), static_cast<Index>(objective.term_names().size()));
  objective.score(sm::extend::Samples<double>{}, points, {Z.transpose(), {}, VectorXd::Ones(X.cols())}, values, losses);
  return losses.value;
}

/// E over the points x of X, equally likely, and z ~ N(0, I) of of(x repeated, Z), which returns a number for each z.
template <class F>
double over_noise(const MatrixXd& X, const F& of) {
  const auto [Z, weight] = grid(X.rows(), 9);
  const VectorXd probability = weight * Kernels{MatrixXd::Zero(X.rows(), 1), 1}.density(Z);
  double mean = 0;
  for (Index k = 0; k < X.cols(); ++k)
    mean += probability.dot(of(MatrixXd(X.col(k).replicate(1, Z.cols())), Z)) / static_cast<double>(X.cols());
  return mean;
}

/// Aᵀb, column by column
VectorXd dots(const MatrixXd& A, const MatrixXd& B) { return A.cwiseProduct(B).colwise().sum().transpose(); }

}  // namespace

// --- the implicit loss ---

TEST_CASE("(1.33)–(1.41): each step from the explicit to the implicit loss") {
  for (const Index d : {1, 2}) {
    const Kernels p{three_points(d), 0.6};
    const auto [X, weight] = grid(d);
    const VectorXd density = p.density(X);
    const MatrixXd slope = p.slope(X), target = sm::score_of(p.energy(), X), S = sm::score_of(field(d), X);
    const VectorXd probability = weight * density;
    REQUIRE(probability.sum() == Approx(1).epsilon(1e-12));

    // (1.33) = (1.34): the square, expanded
    const double explicit_loss = probability.dot(losses_of(field(d), sm::explicit_score_matching{target}, X));
    const double cross = probability.dot(dots(target, S));
    CHECK(
        explicit_loss ==
        Approx(0.5 * probability.dot(dots(target, target)) + 0.5 * probability.dot(dots(S, S)) - cross).epsilon(1e-12));

    // (1.37) = (1.38): p ∂ log p/∂x_i = ∂p/∂x_i
    CHECK((target * density.asDiagonal() - slope).cwiseAbs().maxCoeff() < 1e-12);

    // (1.39): by parts, component by component; (1.40)–(1.41): their sum, E tr ∇s
    double by_parts = 0;
    for (Index i = 0; i < d; ++i) {
      const double left = -weight * slope.row(i).dot(S.row(i));
      const double right = probability.dot(sm::trace_of(field(d, i), X));  // of s_i e_i: ∂s_i/∂x_i
      CHECK(left == Approx(right).epsilon(1e-10));
      CHECK(std::abs(left) > 0.1);
      by_parts += right;
    }
    CHECK(by_parts == Approx(-cross).epsilon(1e-10));
    CHECK(by_parts == Approx(probability.dot(sm::trace_of(field(d), X))).epsilon(1e-12));
  }
}

TEST_CASE("§1.4.5: the implicit loss of finitely many samples has no minimum, and needs no zero slope to fall") {
  // A kernel density of width h on the samples: J ≈ −d/h², and any smaller h is better.
  const MatrixXd X = three_points(2);
  MatrixXd held_out(2, 2);
  held_out << 0, 1,  //
      0, -0.5;
  const auto loss = [](const Kernels& kernels, const MatrixXd& points) {
    return sm::loss(kernels.energy(), sm::implicit_score_matching{}, points).value;
  };
  double previous = 0, previous_held_out = 0;
  for (const double h : {0.1, 0.05, 0.025}) {
    const Kernels on_samples{X, h * h};
    CHECK(loss(on_samples, X) == Approx(-2 / (h * h)).epsilon(1e-6));
    CHECK(loss(on_samples, X) < 3.9 * previous);
    CHECK(loss(on_samples, held_out) > 15 * previous_held_out);  // ½‖s‖² grows like 1/h⁴
    previous = loss(on_samples, X);
    previous_held_out = loss(on_samples, held_out);

    // With the peaks h/2 beside the samples the slope of log p there is 1/(2h), not 0: J ≈ (1/8 − 2)/h².
    MatrixXd beside = X;
    beside.row(0).array() += 0.5 * h;
    CHECK(loss({beside, h * h}, X) == Approx((0.125 - 2) / (h * h)).epsilon(1e-6));

    // Nor need all second derivatives fall: width h in one direction will do, J ≈ −1/h².
    const auto flat = sm::energy_model(2, [h](auto x, auto) { return 0.5 * square(x[0]) + 0.5 * square(x[1] / h); });
    MatrixXd on_a_line(2, 3);
    on_a_line << -1, 0, 1,  //
        0, 0, 0;
    CHECK(sm::loss(flat, sm::implicit_score_matching{}, on_a_line).value == Approx(1.0 / 3 - 1 - 1 / (h * h)));
  }
}

// --- the denoising loss ---

TEST_CASE("(1.42)–(1.43): the noisy points are draws of p_σ") {
  const Index n = 20000;
  const double sigma = 0.4;
  const MatrixXd points = three_points(1);
  sm::extend::Samples<double> samples;
  samples.X.resize(n, 1);
  samples.index.resize(n);
  for (Index i = 0; i < n; ++i) {
    samples.X(i, 0) = points(0, i % 3);
    samples.index[i] = i;
  }
  sm::extend::Points<double> noisy;
  sm::denoising_score_matching::Notes<double> notes;
  sm::denoising_score_matching{.sigma = sigma}.prepare(samples, noisy, notes);
  for (const double t : {-1.5, -0.8, 0.2, 1.0, 1.9}) {
    // P(x̃ < t) = mean of Φ((t − x)/σ); strata of equal size make the variance at most the binomial one, |z| < 4.5
    double right = 0;
    for (Index k = 0; k < 3; ++k) right += std::erfc((points(0, k) - t) / (sigma * std::sqrt(2.0))) / 6;
    const double found = static_cast<double>((noisy.X.array() < t).count()) / static_cast<double>(n);
    CHECK(std::abs(found - right) < 4.5 * std::sqrt(right * (1 - right) / static_cast<double>(n)));
  }
}

TEST_CASE("(1.46)–(1.51): the conditional score is −ε/σ² = −z/σ, and the loss is the distance to it") {
  const double sigma = 0.7;
  const VectorXd x = Eigen::Vector2d(0.3, -1.1);
  const MatrixXd Z = normals(2, 7, 1), noisy = (sigma * Z).colwise() + x;
  const sm::Density given_x = sm::gaussian_density(x, sigma * sigma * MatrixXd::Identity(2, 2));
  MatrixXd conditional(2, Z.cols());  // ∇ log p_σ(x̃ given x), by differences that are exact for a parabola
  for (Index j = 0; j < 2; ++j) {
    MatrixXd above = noisy, below = noisy;
    above.row(j).array() += 0.5;
    below.row(j).array() -= 0.5;
    conditional.row(j) = (given_x(above) - given_x(below)).transpose();
  }
  CHECK((conditional + sigma * Z / (sigma * sigma)).cwiseAbs().maxCoeff() < 1e-13);  // ε = σz
  CHECK((conditional + Z / sigma).cwiseAbs().maxCoeff() < 1e-13);

  const VectorXd by_hand = 0.5 * (conditional - sm::score_of(field(2), noisy)).colwise().squaredNorm().transpose();
  CHECK((denoising_losses(field(2), sigma, x.replicate(1, 7), Z) - by_hand).cwiseAbs().maxCoeff() < 1e-12);
}

TEST_CASE("(1.52)–(1.57): each step from the explicit loss on p_σ to the denoising one, and the constant") {
  for (const Index d : {1, 2})
    for (const double sigma : {0.6, 0.9}) {
      const MatrixXd points = three_points(d);
      const Kernels blurred{points, sigma * sigma};
      const auto [Y, weight] = grid(d);
      const VectorXd probability = weight * blurred.density(Y);
      REQUIRE(probability.sum() == Approx(1).epsilon(1e-10));
      const MatrixXd target = sm::score_of(blurred.energy(), Y), S = sm::score_of(field(d), Y);

      // (1.53) = (1.54): the square, expanded; C₂ = ½E‖∇ log p_σ‖²
      const double C2 = 0.5 * probability.dot(dots(target, target));
      const double half = 0.5 * probability.dot(dots(S, S)), cross = probability.dot(dots(S, target));
      const double explicit_loss = probability.dot(losses_of(field(d), sm::explicit_score_matching{target}, Y));
      CHECK(explicit_loss == Approx(half - cross + C2).epsilon(1e-11));

      // (1.45): the implicit loss on p_σ is (1.44)'s explicit one less C₂
      CHECK(probability.dot(losses_of(field(d), sm::implicit_score_matching{}, Y)) ==
            Approx(explicit_loss - C2).epsilon(1e-11));

      // (1.56) = (1.57), with the conditional score in (1.56); C₃ = ½E‖∇ log p_σ(x̃ given x)‖² = d/(2σ²)
      const double C3 = 0.5 * static_cast<double>(d) / (sigma * sigma);
      const double conditional_cross = over_noise(points, [&](const MatrixXd& X, const MatrixXd& Z) -> VectorXd {
        return dots(sm::score_of(field(d), X + sigma * Z), -Z / sigma);
      });
      const double denoising_loss = over_noise(
          points, [&](const MatrixXd& X, const MatrixXd& Z) { return denoising_losses(field(d), sigma, X, Z); });
      CHECK(denoising_loss == Approx(half - conditional_cross + C3).epsilon(1e-11));

      // What is left to show in the note: the second terms agree.
      CHECK(conditional_cross == Approx(cross).epsilon(1e-11));
      CHECK(std::abs(cross) > 0.1);

      // (1.52): C = C₂ − C₃ < 0. With the marginal score in (1.56), as printed, C would be 0.
      const double C = C2 - C3;
      CHECK(explicit_loss == Approx(denoising_loss + C).epsilon(1e-11));
      CHECK(C < -0.05);
    }
}

TEST_CASE("§1.4.5: on finitely many samples the denoising loss is bounded, and least at their kernel density") {
  // Its score has J_ESM on p_σ = 0, so J_DSM = −C; N(0, I) blurred, which could have made these samples, does worse.
  const double sigma = 0.6;
  const MatrixXd points = three_points(2);
  const auto loss = [&](const auto& model) {
    return over_noise(points,
                      [&](const MatrixXd& X, const MatrixXd& Z) { return denoising_losses(model, sigma, X, Z); });
  };
  const Kernels kernels{points, sigma * sigma};
  const auto [Y, weight] = grid(2, 5, 0.125);
  const MatrixXd target = sm::score_of(kernels.energy(), Y);
  const double least = 1 / (sigma * sigma) - 0.5 * weight * kernels.density(Y).dot(dots(target, target));
  CHECK(least > 0);
  CHECK(loss(kernels.energy()) == Approx(least).epsilon(1e-7));
  for (const double wider : {0.7, 1.3}) CHECK(loss(Kernels{points, wider * sigma * sigma}.energy()) > least + 0.01);
  const auto truth = sm::energy_model(2, [&](auto x, auto) { return 0.5 / (1 + sigma * sigma) * squared_norm(x); });
  CHECK(loss(truth) > least + 0.01);
}

// --- the shorter note ---

namespace {

/// The denoising loss as the shorter note prints it: ½‖s(x + σz) − z/σ‖².
struct as_printed : sm::denoising_score_matching {
  template <class T>
  void score(const sm::extend::Samples<T>& samples, const sm::extend::Points<T>& points, const Notes<T>& notes,
             const sm::extend::ScoreValues<T>& values, sm::extend::Losses<T>& losses) const {
    denoising_score_matching::score(samples, points, Notes<T>{-notes.z, notes.level, notes.lambda}, values, losses);
  }
};

/// The energy ½‖x‖² in code, which counts the points at which its gradient is asked.
struct Counted {
  std::shared_ptr<Index> points = std::make_shared<Index>(0);
  Index d = 1;

  Index dimension() const { return d; }
  void gradient(sm::InputPoints X, sm::OutputPoints G) const {
    G = X;
    *points += X.cols();
  }
};

}  // namespace

TEST_CASE("The shorter note's sign of z/σ learns the negative score, and Langevin runs away") {
  const double sigma = 0.5;
  const MatrixXd X = normals(1, 4000, 2);
  const auto model = sm::score_model(1, [](auto x, auto theta) { return -theta("precision", sm::start_at(0.1)) * x; });
  const auto precision = [&](const auto& objective) {
    return sm::fit(model, objective, X).model.parameter("precision")(0, 0);
  };
  const sm::denoising_score_matching right{.sigma = sigma, .frozen = true};
  const as_printed wrong{right};
  CHECK(precision(right) == Approx(1 / 1.25).epsilon(0.1));
  CHECK(precision(wrong) == Approx(-precision(right)).epsilon(1e-6));

  const auto walk = [&](const auto& objective) {
    return sm::sample(sm::fit(model, objective, X).model, sm::langevin{.step = 0.1}, {.chains = 20, .steps = 10000});
  };
  CHECK(walk(right).status == sm::SampleStatus::complete);
  CHECK(walk(right).state.cwiseAbs().maxCoeff() < 10);
  CHECK(walk(wrong).status == sm::SampleStatus::diverged);
  CHECK(walk(wrong).lost_chains == 20);
}

TEST_CASE("Cost: the explicit and the denoising loss ask for one gradient a sample, the trace for 2d more") {
  const Index lanes = 16;  // a multiple of the samples in a register
  for (const Index d : {1, 4, 16}) {
    const MatrixXd X = normals(d, lanes, 3);
    const auto gradients = [&](const auto& objective) {
      const Counted model{.d = d};
      (void)sm::loss(model, objective, X).value;
      return static_cast<double>(*model.points) / static_cast<double>(lanes);
    };
    CHECK(gradients(sm::explicit_score_matching{X}) == 1);
    CHECK(gradients(sm::denoising_score_matching{.sigma = 0.3}) == 1);
    CHECK(gradients(sm::implicit_score_matching{}) == static_cast<double>(1 + 2 * d));
  }
}
