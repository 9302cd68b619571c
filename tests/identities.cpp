// What must be true of losses: identities of the theory, and the conventions of sign and scale.
//
// Expectations are integrals wherever that is possible: for smooth integrands that vanish at the ends the trapezoidal
// rule on a grid of step 0.25 is exact to rounding. What a small formula can show is asked of both paths, its record
// and the formula compiled. Seeds are fixed, so nothing here fails by chance. Had a seed been drawn by chance, each
// statistical check, |z| < 4.5, would fail a correct library with probability 7·10⁻⁶, all of them together with less
// than 3·10⁻³.
#include "both_paths.hpp"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using sm::Index;

namespace {

constexpr double limit = 4.5;  // of a standard normal statistic

/// The z that denoising score matching adds to n samples at a draw: d × n.
MatrixXd noise_of(const sm::denoising_score_matching& objective, Index d, Index n, std::uint64_t draw = 0) {
  MatrixXd Z(n, d);
  sm::extend::fill_normals<double>({objective.seed, sm::extend::Purpose::perturbation}, sm::extend::Ids::from(0), n,
                                   draw, d, Z.data(), n);
  return Z.transpose();
}

double relative_error(const MatrixXd& found, const MatrixXd& right) { return (found - right).norm() / right.norm(); }

/// The x with A x = b for a symmetric positive definite A, by conjugate gradients run on to rounding.
VectorXd solve(const MatrixXd& A, const VectorXd& b) {
  VectorXd x = VectorXd::Zero(b.size()), residual = b, along = b;
  for (int step = 0; step < 40 && residual.norm() > 1e-15 * b.norm(); ++step) {
    const VectorXd A_along = A.lazyProduct(along);
    const double before = residual.squaredNorm(), length = before / along.dot(A_along);
    x += length * along;
    residual -= length * A_along;
    along = residual + residual.squaredNorm() / before * along;
  }
  return x;
}

/// A model at other parameters.
template <class M>
M with_parameters(M model, const VectorXd& theta) {
  model.set_parameters(theta);
  return model;
}

/// Each sample's loss.
template <class M, class O>
VectorXd losses_of(const M& model, const O& objective, const MatrixXd& X) {
  return sm::loss(model, objective, X, {.per_sample = true}).per_sample;
}

/// Each sample's denoising loss for noise Z that the test chooses, by the objective's own text.
template <class M>
VectorXd denoising_losses(const M& model, double sigma, const MatrixXd& X, const MatrixXd& Z) {
  const sm::denoising_score_matching objective{.sigma = sigma};
  const MatrixXd noisy = X + sigma * Z;
  sm::extend::ScoreValues<double> values;
  values.S = sm::score_of(model, noisy).transpose();
  sm::extend::Points<double> points;
  points.sigma.setConstant(X.cols(), sigma);
  const sm::denoising_score_matching::Notes<double> notes{Z.transpose(), {}, VectorXd::Ones(X.cols())};
  sm::extend::Losses<double> losses;
  losses.value.resize(X.cols());
  losses.terms.resize(X.cols(), static_cast<Index>(objective.term_names().size()));
  objective.score(sm::extend::Samples<double>{}, points, notes, values, losses);
  return losses.value;
}

/// The points of a square grid on [−reach, reach]ᵈ, d = 1 or 2, one column per point.
MatrixXd grid(Index d, double reach, double step) {
  const Index n = 2 * static_cast<Index>(std::lround(reach / step)) + 1;
  MatrixXd points(d, d == 1 ? n : n * n);
  for (Index i = 0; i < points.cols(); ++i) {
    points(0, i) = -reach + step * static_cast<double>(i % n);
    if (d == 2) points(1, i) = -reach + step * static_cast<double>(i / n);
  }
  return points;
}

/// Σ_k w_k N(m_k, v_k I).
struct Mixture {
  MatrixXd means;
  VectorXd weights, variances;

  /// The density at every column of X, and its score ∇ log p.
  void evaluate(const MatrixXd& X, VectorXd& density, MatrixXd& score) const {
    density.setZero(X.cols());
    score.setZero(X.rows(), X.cols());
    for (Index i = 0; i < X.cols(); ++i) {
      for (Index k = 0; k < means.cols(); ++k) {
        const VectorXd away = means.col(k) - X.col(i);
        const double part = weights[k] * std::exp(-0.5 * away.squaredNorm() / variances[k]) /
                            std::pow(2 * 3.141592653589793 * variances[k], 0.5 * static_cast<double>(X.rows()));
        density[i] += part;
        score.col(i) += part / variances[k] * away;
      }
      score.col(i) /= density[i];
    }
  }
};

Mixture mixture(Index d) {
  Mixture p{MatrixXd(d, 2), VectorXd(2), VectorXd(2)};
  p.weights << 0.3, 0.7;
  p.variances << 0.5, 0.8;
  p.means.col(0).setConstant(-1.0);
  p.means.col(1).setConstant(1.2);
  if (d == 2) p.means(1, 1) = -0.4;
  return p;
}

/// A confined network, so that its density can be integrated.
sm::EnergyModel network_energy(Index d) {
  return sm::energy_model(d, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {4}}) + 0.5 * squared_norm(x - theta("centre"));
  });
}

/// A score that is no gradient.
sm::ScoreModel network_score(Index d) {
  return sm::score_model(d, [d](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {4}, .outputs = static_cast<int>(d)}) - theta("pull") * x;
  });
}

/// Checks that at several θ the difference of the two losses is the same number, `constant`.
template <class M, class First, class Second>
void check_difference(const M& model, double constant, First first, Second second) {
  std::vector<double> values;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    const M moved = with_parameters(model, 0.4 * normals(model.parameters().size(), 1, seed));
    values.push_back(first(moved));
    CHECK(values.back() - second(moved) == Approx(constant).epsilon(0).margin(1e-10 * std::max(1.0, values.back())));
  }
  CHECK(std::abs(values[0] - values[1]) > 0.01);  // the losses themselves do depend on θ
}

}  // namespace

// --- conventions, by hand ---

TEST_CASE("The explicit loss is half the squared distance, summed over dimensions, averaged over samples") {
  on_both_paths<2>([](auto x, auto) { return 0.5 * squared_norm(x); }, [](const auto& model) {  // s = −x
    MatrixXd X(2, 2), target(2, 2);
    X << 1, 3,  //
        2, -1;
    target << 0, -3,  //
        0, 0;
    // ½(1 + 4) = 2.5 and ½(0 + 1) = 0.5: mean 1.5, standard deviation √2
    const sm::Loss loss = sm::loss(model, sm::explicit_score_matching{target}, X);
    CHECK(loss.value == Approx(1.5).epsilon(1e-15));
    CHECK(loss.standard_error == Approx(1.0).epsilon(1e-15));
    CHECK(loss.samples == 2);
    REQUIRE(loss.terms.size() == 1);
    CHECK(loss.terms[0].value == loss.value);
  });
}

TEST_CASE("The implicit loss is half the squared score plus the trace") {
  const auto formula = [](auto x, auto theta) { return 0.5 * theta("k", sm::start_at(2)) * squared_norm(x); };
  on_both_paths<2>(formula, [](const auto& model) {
    MatrixXd X(2, 2);
    X << 1, 3,  //
        2, -1;
    // ½ k²‖x‖² − k d = 10 − 4 and 20 − 4; its derivative for k: k‖x‖² − d = 8 and 18
    const sm::Loss loss = sm::loss_and_gradient(model, sm::implicit_score_matching{}, X);
    CHECK(loss.value == Approx(11).epsilon(1e-15));
    CHECK(loss.standard_error == Approx(5).epsilon(1e-15));
    REQUIRE(loss.gradient.size() == 1);
    CHECK(loss.gradient[0] == Approx(13).epsilon(1e-15));
    REQUIRE(loss.terms.size() == 2);
    CHECK(loss.terms[0].name == "half squared score");
    CHECK(loss.terms[0].value == Approx(15).epsilon(1e-15));
    CHECK(loss.terms[0].standard_error == Approx(5).epsilon(1e-15));
    CHECK(loss.terms[1].name == "trace");
    CHECK(loss.terms[1].value == Approx(-4).epsilon(1e-15));
    CHECK(loss.terms[1].standard_error == Approx(0).margin(1e-15));

    CHECK(sm::loss(model, sm::implicit_score_matching{}, X.leftCols(1)).standard_error == 0);  // a single sample
  });
}

TEST_CASE("The denoising loss is half ‖s(x + σz) + z/σ‖²") {
  const double sigma = 0.5, k = 2;
  const sm::denoising_score_matching objective{.sigma = sigma, .seed = 3};
  const auto formula = [k](auto x, auto) { return 0.5 * k * squared_norm(x); };
  on_both_paths<2>(formula, [&](const auto& model) {
    const MatrixXd X = normals(2, 5, 1), Z = noise_of(objective, 2, 5, 7);
    const Eigen::RowVectorXd by_hand = 0.5 * (-k * (X + sigma * Z) + Z / sigma).colwise().squaredNorm();
    const sm::Loss loss = sm::loss(model, objective, X, {.draw = 7});
    CHECK(loss.value == Approx(by_hand.mean()).epsilon(1e-13));
    CHECK(loss.standard_error ==
          Approx(std::sqrt((by_hand.array() - by_hand.mean()).square().sum() / (4.0 * 5.0))).epsilon(1e-12));

    // J = ½E‖s‖² + E sᵀz/σ + ½E‖z‖²/σ²: the last does not depend on the model, the others are the terms
    REQUIRE(loss.terms.size() == 3);
    CHECK(loss.terms[0].value == Approx(0.5 * k * k * (X + sigma * Z).squaredNorm() / 5).epsilon(1e-13));
    CHECK(loss.terms[2].value == Approx(loss.terms[0].value + loss.terms[1].value).epsilon(1e-13));
    CHECK(loss.terms[2].value + 0.5 * Z.squaredNorm() / (sigma * sigma * 5) == Approx(loss.value).epsilon(1e-12));

    // Frozen noise is draw 0's at every draw.
    const sm::denoising_score_matching frozen{.sigma = sigma, .seed = 3, .frozen = true};
    CHECK(sm::loss(model, frozen, X, {.draw = 7}).value == sm::loss(model, objective, X).value);
    CHECK(sm::loss(model, frozen, X).value != loss.value);
    CHECK(objective.deterministic() == false);
    CHECK(frozen.deterministic() == true);
  });
}

TEST_CASE("One Gaussian as an energy and as a score: the same losses and gradients") {
  const Index d = 3;
  const auto energy = sm::energy_model(
      d, [](auto x, auto theta) { return 0.5 * dot(exp(theta("log k", 3)), square(x - theta("m", 3))); });
  const auto score =
      sm::score_model(d, [](auto x, auto theta) { return exp(theta("log k", 3)) * (theta("m", 3) - x); });
  const MatrixXd X = normals(d, 70, 1);
  const VectorXd theta = normals(6, 1, 2);
  const auto check = [&](const auto& objective) {
    const sm::Loss a = sm::loss_and_gradient(with_parameters(energy, theta), objective, X);
    const sm::Loss b = sm::loss_and_gradient(with_parameters(score, theta), objective, X);
    CHECK(a.value == Approx(b.value).epsilon(1e-12));
    CHECK(relative_error(a.gradient, b.gradient) < 1e-12);
    for (std::size_t k = 0; k < a.terms.size(); ++k) CHECK(a.terms[k].value == Approx(b.terms[k].value).epsilon(1e-12));
  };
  check(sm::implicit_score_matching{});
  check(sm::explicit_score_matching{normals(d, 70, 3)});
  check(sm::denoising_score_matching{.sigma = 0.3});
  check(sm::sliced_score_matching{.projections = 2, .kind = sm::Projection::gaussian});
  check(sm::sliced_score_matching{.projections = 2, .kind = sm::Projection::sphere, .exact_norm = false});
}

// --- implicit score matching ---

TEST_CASE("I1, I2: implicit score matching of a Gaussian finds mean and covariance of the samples") {
  // Hyvärinen 2005, §4.1: the optimum is the sample mean and the inverse of the 1/n covariance; there J = −½ tr Λ
  const Index d = 3, n = 200;
  const auto model = sm::energy_model(d, [](auto x, auto theta) {
    const auto half = theta("half precision", MatrixXd::Identity(3, 3));
    return 0.5 * quadratic_form(half + transpose(half), x - theta("mean", 3));
  });

  MatrixXd mixing(3, 3);
  mixing << 1, 0, 0,  //
      0.5, 0.8, 0,    //
      -0.3, 0.2, 0.6;
  const MatrixXd X = mixing.lazyProduct(normals(d, n, 1)).array() + 0.7;
  const VectorXd mean = X.rowwise().mean();
  const MatrixXd centred = X.colwise() - mean,
                 covariance = centred.lazyProduct(centred.transpose()) / static_cast<double>(n);
  const auto fit = sm::fit(model, sm::implicit_score_matching{}, X, {.tolerance = 1e-7});
  CHECK(fit.status == sm::FitStatus::converged);
  const MatrixXd half = fit.model.parameter("half precision"), precision = half + half.transpose();
  CHECK((precision.lazyProduct(covariance) - MatrixXd::Identity(3, 3)).norm() < 1e-6);
  CHECK((fit.model.parameter("mean") - mean).norm() < 1e-6);
  CHECK(fit.loss.value == Approx(-0.5 * precision.trace()).epsilon(1e-6));

  // Exactly, at a known optimum: the six points m ± √3 R⁻¹ e_i have the mean m and the inverse covariance Λ = Rᵀ R.
  MatrixXd R(3, 3), inverse(3, 3), six(3, 6);
  R << 1, 0.7, -0.4,  //
      0, 1, 0.3,      //
      0, 0, 1;
  inverse << 1, -0.7, 0.7 * 0.3 + 0.4,  //
      0, 1, -0.3,                       //
      0, 0, 1;
  VectorXd m(3);
  m << 1, -2, 0.5;
  six << std::sqrt(3.0) * inverse, -std::sqrt(3.0) * inverse;
  six.colwise() += m;
  const MatrixXd right_half = 0.5 * R.transpose().lazyProduct(R);
  auto known = model;
  known.set_named_parameters({{"half precision", d, d, right_half.reshaped()}, {"mean", d, 1, m}});
  const sm::Loss loss = sm::loss_and_gradient(known, sm::implicit_score_matching{}, six);
  CHECK(loss.value == Approx(-right_half.trace()).epsilon(1e-14));
  CHECK(loss.gradient.norm() < 1e-13);
}

TEST_CASE("I12: for an energy linear in θ the minimiser is −A⁻¹b") {
  const Index d = 2, n = 150;
  const auto formula = [](auto x, auto theta) {
    return theta("a") * squared_norm(x) + theta("b") * sum(pow(x, 4)) + theta("c") * x[0] * x[1] +
           theta("d") * sin(x[0]) + theta("e") * x[1];
  };
  const MatrixXd X = 0.8 * normals(d, n, 5).array() + 0.2;
  // J(θ) = ½ θᵀA θ + bᵀθ: A = mean of Gᵀ G, the columns of G the gradients of the five terms, and b = −mean of their
  // Laplacians
  MatrixXd A = MatrixXd::Zero(5, 5), G(2, 5);
  VectorXd b = VectorXd::Zero(5), laplacian(5);
  for (Index i = 0; i < n; ++i) {
    const double x = X(0, i), y = X(1, i);
    G << 2 * x, 4 * x * x * x, y, std::cos(x), 0,  //
        2 * y, 4 * y * y * y, x, 0, 1;
    laplacian << 4, 12 * (x * x + y * y), 0, -std::sin(x), 0;
    A += G.transpose().lazyProduct(G) / static_cast<double>(n);
    b -= laplacian / static_cast<double>(n);
  }
  const VectorXd best = solve(A, -b);
  const VectorXd theta = normals(5, 1, 6), A_theta = A.lazyProduct(theta);

  on_both_paths<2>(formula, [&](const auto& model) {
    const sm::Loss there = sm::loss_and_gradient(with_parameters(model, best), sm::implicit_score_matching{}, X);
    CHECK(there.gradient.norm() < 1e-12 * b.norm());
    CHECK(there.value == Approx(0.5 * b.dot(best)).epsilon(1e-12));
    const sm::Loss elsewhere = sm::loss_and_gradient(with_parameters(model, theta), sm::implicit_score_matching{}, X);
    CHECK(relative_error(elsewhere.gradient, A_theta + b) < 1e-12);
    CHECK(elsewhere.value == Approx(0.5 * theta.dot(A_theta) + b.dot(theta)).epsilon(1e-12));

    const auto fit = sm::fit(model, sm::implicit_score_matching{}, X, {.tolerance = 1e-9});
    CHECK(fit.status == sm::FitStatus::converged);
    CHECK(relative_error(fit.model.parameters(), best) < 1e-7);
  });
}

TEST_CASE("I11: the explicit and the implicit loss differ by ½E‖∇ log p‖², whatever θ is") {
  for (const Index d : {1, 2}) {
    const MatrixXd X = grid(d, 9, 0.25);
    VectorXd density;
    MatrixXd target;
    mixture(d).evaluate(X, density, target);
    const VectorXd weights = density * std::pow(0.25, static_cast<double>(d));
    REQUIRE(weights.sum() == Approx(1).epsilon(1e-12));
    const double constant = 0.5 * weights.dot(target.colwise().squaredNorm().transpose());
    const auto explicit_loss = [&](const auto& model) {
      return weights.dot(losses_of(model, sm::explicit_score_matching{target}, X));
    };
    const auto implicit_loss = [&](const auto& model) {
      return weights.dot(losses_of(model, sm::implicit_score_matching{}, X));
    };
    check_difference(network_energy(d), constant, explicit_loss, implicit_loss);
    check_difference(network_score(d), constant, explicit_loss, implicit_loss);
    if (d == 2)
      on_both_paths<2>(
          [](auto x, auto theta) { return theta("a") * x[0] * cos(x[1]) + 0.5 * squared_norm(x - theta("centre", 2)); },
          [&](const auto& model) { check_difference(model, constant, explicit_loss, implicit_loss); });
  }
}

// --- denoising score matching ---

TEST_CASE("I11: the denoising loss is the explicit one for the blurred density, plus a constant") {
  const double sigma = 0.6;
  for (const Index d : {1, 2}) {
    // p: equal weights on three points. p_σ: a mixture of three Gaussians.
    MatrixXd points = normals(d, 3, 8);
    const Mixture blurred{points, VectorXd::Constant(3, 1.0 / 3), VectorXd::Constant(3, sigma * sigma)};
    const MatrixXd Y = grid(d, 7, 0.25);
    VectorXd density;
    MatrixXd target;
    blurred.evaluate(Y, density, target);
    const VectorXd weights = density * std::pow(0.25, static_cast<double>(d));
    REQUIRE(weights.sum() == Approx(1).epsilon(1e-10));

    const MatrixXd Z = grid(d, 8, 0.25);
    VectorXd noise_weights;
    MatrixXd unused;
    Mixture{MatrixXd::Zero(d, 1), VectorXd::Ones(1), VectorXd::Ones(1)}.evaluate(Z, noise_weights, unused);
    noise_weights *= std::pow(0.25, static_cast<double>(d)) / 3;

    const auto denoising_loss = [&](const auto& model) {
      double loss = 0;
      for (Index k = 0; k < 3; ++k)
        loss += noise_weights.dot(denoising_losses(model, sigma, points.col(k).replicate(1, Z.cols()), Z));
      return loss;
    };
    const auto explicit_loss = [&](const auto& model) {
      return weights.dot(losses_of(model, sm::explicit_score_matching{target}, Y));
    };
    const double constant =
        0.5 * (static_cast<double>(d) / (sigma * sigma) - weights.dot(target.colwise().squaredNorm().transpose()));
    CHECK(constant > 0);
    check_difference(network_energy(d), constant, denoising_loss, explicit_loss);
    check_difference(network_score(d), constant, denoising_loss, explicit_loss);
  }
}

TEST_CASE("I5: the denoising loss of N(0, vI) at its optimum") {
  // Gauss and Hermite's three nodes are exact for polynomials of degree 5; here the degree is 2.
  const double nodes[] = {-std::sqrt(3.0), 0, std::sqrt(3.0)}, weights[] = {1.0 / 6, 2.0 / 3, 1.0 / 6};
  const auto optimal_loss = [&](Index d, double v, double sigma) {
    const auto model = sm::energy_model(d, [&](auto x, auto) { return 0.5 / (v + sigma * sigma) * squared_norm(x); });
    const Index count = d == 1 ? 9 : 81;
    MatrixXd X(d, count), Z(d, count);
    VectorXd weight(count);
    for (Index i = 0; i < count; ++i) {
      weight[i] = 1;
      Index digits = i;
      for (Index j = 0; j < 2 * d; ++j, digits /= 3) {
        weight[i] *= weights[digits % 3];
        (j < d ? X(j, i) : Z(j - d, i)) = (j < d ? std::sqrt(v) : 1) * nodes[digits % 3];
      }
    }
    return weight.dot(denoising_losses(model, sigma, X, Z));
  };
  CHECK(optimal_loss(1, 1, 0.1) == Approx(49.504950).epsilon(1e-8));  // d v/(2 σ² (v + σ²))
  CHECK(optimal_loss(1, 1, 0.5) == Approx(1.6).epsilon(1e-12));
  CHECK(optimal_loss(1, 1, 1.0) == Approx(0.25).epsilon(1e-12));
  CHECK(optimal_loss(2, 3, 0.7) == Approx(2 * 3 / (2 * 0.49 * 3.49)).epsilon(1e-12));

  // And by the library's own noise.
  const auto model = sm::energy_model(1, [](auto x, auto) { return 0.5 / 1.25 * squared_norm(x); });
  const sm::Loss loss = sm::loss(model, sm::denoising_score_matching{.sigma = 0.5}, normals(1, 40000, 9));
  CHECK(std::abs(loss.value - 1.6) < limit * loss.standard_error);
  CHECK(loss.standard_error < 0.02);
}

TEST_CASE("I4: denoising score matching learns the precision 1/(v + σ²), and the score's sign") {
  const Index n = 40000;
  const double v = 1, sigma = 0.5;
  const MatrixXd X = normals(1, n, 10);
  const sm::denoising_score_matching objective{.sigma = sigma, .frozen = true};
  const auto check = [&](const auto& model) {
    const auto fit = sm::fit(model, objective, X, {.tolerance = 1e-9});
    CHECK(fit.status == sm::FitStatus::converged);
    const double precision = -sm::score_of(fit.model, MatrixXd::Constant(1, 1, 1.0))(0, 0);  // s = −λ x at 1

    // For this noise the least squares of s = −λ x̃ to −z/σ.
    const MatrixXd Z = noise_of(objective, 1, n), noisy = X + sigma * Z;
    CHECK(precision == Approx((noisy.array() * Z.array()).sum() / sigma / noisy.squaredNorm()).epsilon(1e-8));

    // For v = 1 the estimate's variance is 1/(n σ² (1 + σ²)²) (I6).
    const double deviation = 1 / (sigma * (1 + sigma * sigma) * std::sqrt(static_cast<double>(n)));
    CHECK(std::abs(precision - 1 / (v + sigma * sigma)) < limit * deviation);
    CHECK(std::abs(precision - 1 / v) > 2 * limit * deviation);
  };
  check(sm::energy_model(
      1, [](auto x, auto theta) { return 0.5 * theta("precision", sm::start_at(0.3)) * squared_norm(x); }));
  check(sm::score_model(1, [](auto x, auto theta) { return -theta("precision", sm::start_at(0.3)) * x; }));
}

TEST_CASE("I3: denoising score matching of Vincent's energy is a denoising autoencoder") {
  // Vincent 2011: E(x) = −(⟨c, x⟩ − ½‖x‖² + Σ softplus(Wx + b))/σ² has J_DSM = E‖Wᵀ sigmoid(Wx̃ + b) + c − x‖²/(2σ⁴).
  const Index d = 3, hidden = 5, n = 20;
  const double sigma = 0.4, scale = 1 / (sigma * sigma);
  const sm::denoising_score_matching objective{.sigma = sigma};
  const auto model = sm::energy_model(d, [&](auto x, auto theta) {
    const auto W = theta("W", hidden, d, sm::start_normal{.seed = 1});
    const auto fires = sum(softplus(W * x + theta("b", hidden, sm::start_normal{.seed = 2})));
    return -scale * (dot(theta("c", d, sm::start_normal{.seed = 3}), x) - 0.5 * squared_norm(x) + fires);
  });
  const MatrixXd W = model.parameter("W"), X = normals(d, n, 11), noisy = X + sigma * noise_of(objective, d, n);
  const VectorXd b = model.parameter("b"), c = model.parameter("c"), losses = losses_of(model, objective, X);
  for (Index i = 0; i < n; ++i) {
    VectorXd away = c - X.col(i);
    for (Index k = 0; k < hidden; ++k)
      away += W.row(k).transpose() / (1 + std::exp(-W.row(k).dot(noisy.col(i)) - b[k]));
    CHECK(losses[i] == Approx(away.squaredNorm() / (2 * std::pow(sigma, 4))).epsilon(1e-11));
  }
}

// --- sliced score matching ---

TEST_CASE("Projections: ‖v‖² = d on the sphere and for signs, E[v vᵀ] = I for all three") {
  const Index d = 3, n = 20000;
  sm::extend::Samples<double> samples;
  samples.X.setZero(n, d);
  samples.index.setLinSpaced(n, 0, n - 1);
  for (const sm::Projection kind : {sm::Projection::rademacher, sm::Projection::gaussian, sm::Projection::sphere}) {
    const sm::sliced_score_matching objective{.projections = 2, .kind = kind, .seed = 4};
    sm::extend::Points<double> points;
    sm::sliced_score_matching::Notes<double> notes;
    objective.prepare(samples, points, notes);
    REQUIRE(points.V.cols() == 2 * d);
    for (Index m = 0; m < 2; ++m) {
      const MatrixXd V = points.V.middleCols(m * d, d);
      if (kind != sm::Projection::gaussian)
        CHECK((V.rowwise().squaredNorm().array() - static_cast<double>(d)).abs().maxCoeff() < 1e-12);
      if (kind == sm::Projection::rademacher) CHECK((V.array().abs() == 1).all());
      for (Index i = 0; i < d; ++i)
        for (Index j = 0; j <= i; ++j) {
          const Eigen::ArrayXd products = V.col(i).array() * V.col(j).array();
          const double deviation = std::sqrt((products - products.mean()).square().mean() / static_cast<double>(n));
          CHECK(std::abs(products.mean() - (i == j ? 1 : 0)) <= limit * deviation);  // 0 ≤ 0 for the squares of signs
        }
    }
  }
}

TEST_CASE("Sliced score matching by signs is exact for diagonal Hessians, by sphere for multiples of I") {
  const Index d = 3;
  const MatrixXd X = normals(d, 40, 12);
  const sm::sliced_score_matching signs{.projections = 1, .kind = sm::Projection::rademacher};
  const sm::sliced_score_matching more_signs{.projections = 3, .kind = sm::Projection::rademacher, .seed = 1};
  const sm::sliced_score_matching sphere{.projections = 2, .kind = sm::Projection::sphere};
  const auto check = [&](const auto& model, const sm::sliced_score_matching& objective) {
    const sm::Loss sliced = sm::loss_and_gradient(model, objective, X),
                   exact = sm::loss_and_gradient(model, sm::implicit_score_matching{}, X);
    CHECK(relative_error(losses_of(model, objective, X), losses_of(model, sm::implicit_score_matching{}, X)) < 1e-12);
    CHECK(relative_error(sliced.gradient, exact.gradient) < 1e-12);
    CHECK(sliced.value == Approx(sliced.terms[0].value + sliced.terms[1].value).epsilon(1e-12));
    for (std::size_t k = 0; k < 2; ++k) CHECK(sliced.terms[k].value == Approx(exact.terms[k].value).epsilon(1e-12));
  };
  const auto diagonal = sm::energy_model(d, [](auto x, auto theta) {
    return dot(theta("a", 3, sm::start_at(0.7)), square(x)) + theta("b", sm::start_at(0.2)) * sum(pow(x, 4)) +
           theta("c", sm::start_at(1)) * sum(cos(x));
  });
  check(diagonal, signs);
  check(diagonal, more_signs);
  const auto isotropic = sm::energy_model(d, [](auto x, auto theta) {
    return theta("k", sm::start_at(0.7)) * squared_norm(x - theta("m", 3, sm::start_at(0.3)));
  });
  check(isotropic, signs);
  check(isotropic, sphere);
}

TEST_CASE("Sliced score matching has the mean of implicit score matching, for all projections", "[long]") {
  const Index d = 3, n = 4000, draws = 40;
  const auto model = sm::energy_model(d, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {4}, .seed = 3}) + theta("k", sm::start_at(0.6)) * square(x[0] + x[1] - x[2]);
  });
  const MatrixXd X = normals(d, 1, 13).replicate(1, n);  // one point, n times: what varies is the projections
  const sm::Loss exact = sm::loss_and_gradient(model, sm::implicit_score_matching{}, X);
  for (const sm::Projection kind : {sm::Projection::rademacher, sm::Projection::gaussian, sm::Projection::sphere})
    for (const bool exact_norm : {true, false})
      for (const int projections : {1, 3}) {
        INFO("projection " << static_cast<int>(kind) << ", exact norm " << exact_norm << ", " << projections
                           << " projections");
        const sm::sliced_score_matching objective{
            .projections = projections, .kind = kind, .exact_norm = exact_norm, .seed = 5};
        VectorXd mean = VectorXd::Zero(exact.gradient.size()), squares = mean;
        double value = 0, variance = 0;
        for (Index draw = 0; draw < draws; ++draw) {
          const sm::Loss sliced =
              sm::loss_and_gradient(model, objective, X, {.draw = static_cast<std::uint64_t>(draw)});
          value += sliced.value / static_cast<double>(draws);
          variance += sliced.standard_error * sliced.standard_error / static_cast<double>(draws * draws);
          mean += sliced.gradient / static_cast<double>(draws);
          squares += sliced.gradient.cwiseAbs2() / static_cast<double>(draws);
        }
        CHECK(std::abs(value - exact.value) < limit * std::sqrt(variance));
        CHECK(std::sqrt(variance) < 0.02 * std::abs(exact.value));
        // With 40 draws the statistic is Student's t, whose tails are wider: 5.2 is its 4.5.
        const VectorXd deviation =
            ((squares - mean.cwiseAbs2()) / static_cast<double>(draws - 1)).cwiseMax(0).cwiseSqrt();
        for (Index k = 0; k < mean.size(); ++k) {
          INFO("parameter " << k);
          CHECK(std::abs(mean[k] - exact.gradient[k]) <= 5.2 * deviation[k] + 1e-12);
        }
      }
}
