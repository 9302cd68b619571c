// Which properties of wine go together, beyond their correlations? 178 wines, five measurements each, as logarithms:
//   f(x) = Σ_i (a_i x_i + b_i x_i² + c_i x_i⁴) + Σ_{i>j} (J_ij x_i x_j + K_ij x_i² x_j²)
// is linear in θ = (a, b, c, J, K), so that implicit score matching has one linear system to solve, and no normaliser.
// The standard errors say which interactions are there. Pairs of measurements then show what the shortcut costs: in the
// plane log Z is known by quadrature, so the closed form meets the exact maximum-likelihood fit of the same energy, and
// a Gaussian, on wines that none of them has seen.
//
//   pairwise_quartic [output folder]
#include <scorematch/scorematch.hpp>

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace sm = scorematch;
using Eigen::Index, Eigen::MatrixXd, Eigen::VectorXd;

// The wines of one fold of five, or all others.
MatrixXd fold(const MatrixXd& X, Index number, bool held_out) {
  std::vector<Index> columns;
  for (Index i = 0; i < X.cols(); ++i)
    if ((i % 5 == number) == held_out) columns.push_back(i);
  return X(Eigen::indexing::all, columns);
}

// The fixed first terms are of the family, so they change nothing, except where a ridge pulls: it pulls to them, an
// energy with finite Z.
sm::EnergyModel quartic_energy(Index d) {
  return sm::energy_model(d, [](auto x, auto theta) {
    return 0.5 * squared_norm(x) + 0.02 * squared_norm(square(x)) + sm::pairwise_quartic(x, theta);
  });
}

// Whether Z is finite: whether Σ c_i s_i² + Σ K_ij s_i s_j, s = x², is above 0 for all s ≥ 0 but 0; that is whether no
// principal submatrix of its matrix has an eigenvector above 0 to an eigenvalue of at most 0 (W. Kaplan, "A test for
// copositive matrices", Linear Algebra Appl. 313, 2000).
bool has_density(const sm::EnergyModel& model) {
  const Index d = static_cast<Index>(model.dimension());
  const MatrixXd c = model.parameter("quartic"), K = model.parameter("pair_quartic");
  MatrixXd form(d, d);
  for (Index i = 0; i < d; ++i)
    for (Index j = 0; j < d; ++j) form(i, j) = i == j ? 0.02 + c(i) : 0.5 * K(sm::detail::pair_place(d, i, j));
  for (unsigned subset = 1; subset < 1u << d; ++subset) {
    std::vector<Index> chosen;
    for (Index i = 0; i < d; ++i)
      if (subset >> i & 1u) chosen.push_back(i);
    const Eigen::SelfAdjointEigenSolver<MatrixXd> part(form(chosen, chosen));
    for (Index k = 0; k < part.eigenvalues().size(); ++k) {
      const VectorXd v = part.eigenvectors().col(k);
      if (part.eigenvalues()[k] <= 0 && (v.minCoeff() > 0 || v.maxCoeff() < 0)) return false;
    }
  }
  return true;
}

struct Fit {
  sm::EnergyModel model;
  double ridge;
};

// Nothing in score matching keeps x⁴ from a negative coefficient: then exp(−f) has no integral, and there is no
// density. The least ridge of a ladder mends it; the last rung is near the fixed terms.
Fit closed_form_with_density(const MatrixXd& X) {
  const auto energy = quartic_energy(X.rows());
  for (const double ridge : {0.0, 0.01, 0.1, 1.0, 10.0, 100.0}) {
    const auto fit = sm::closed_form(energy, sm::implicit_score_matching{}, X, {.ridge = ridge});
    if (has_density(fit.model)) return {fit.model, ridge};
  }
  return {energy, std::numeric_limits<double>::infinity()};
}

sm::LogPartition by_quadrature(const sm::EnergyModel& model, const MatrixXd& X) {
  return sm::log_partition(model, sm::quadrature{.tolerance = 1e-8, .near = X});
}

sm::Density gaussian(const MatrixXd& X) {
  const VectorXd mean = X.rowwise().mean();
  const MatrixXd centred = X.colwise() - mean;
  return sm::gaussian_density(mean, centred * centred.transpose() / static_cast<double>(X.cols()));
}

struct Mean {
  double value, standard_error;
};
Mean mean_of(const VectorXd& x) {
  const double n = static_cast<double>(x.size());
  return {x.mean(), std::sqrt((x.array() - x.mean()).square().sum() / (n - 1) / n)};
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "pairwise_quartic_output";
  std::filesystem::create_directories(folder);

  const std::vector<std::string> columns = {"alcohol", "total_phenols", "color_intensity",
                                            "od280_per_od315_of_diluted_wines", "proline"};
  const std::vector<std::string> names = {"alcohol", "phenols", "colour", "OD280/315", "proline"};
  const Index d = static_cast<Index>(names.size());
  const MatrixXd wines = sm::read_csv("examples/data/wine.csv", columns), logs = wines.array().log().matrix();
  // A fit does not need mean 0 and variance 1; interactions and ridges of different measurements compare by it.
  const sm::Standardisation units = sm::standardise(logs);
  const MatrixXd data = units.apply(logs), correlation = data * data.transpose() / static_cast<double>(data.cols());

  // All five at once: one linear system, and its errors.
  const sm::implicit_score_matching objective;
  const auto model = sm::pairwise_quartic(d);
  const sm::detail::Stopwatch watch;
  const auto fit = sm::closed_form(model, objective, data);
  const auto errors = sm::standard_errors(fit, objective, data);
  const double milliseconds = 1e3 * watch.seconds();
  std::printf("%td wines, %td parameters in closed form with standard errors: %s, %s, condition %.0f; %.1f ms.\n",
              data.cols(), model.parameters().size(), to_string(fit.status), to_string(errors.status), fit.condition,
              milliseconds);
  const double threshold = 3.02;  // of |z|: one false interaction of 20 in one table of 20 (Bonferroni)
  std::printf(
      "Interactions (of logarithms, each with mean 0 and variance 1); * |z| > %.2f. A negative coefficient draws "
      "together.\n  %-22s correlation      x y: J ± error      z         x²y²: K ± error      z\n",
      threshold, "");
  const auto estimate = [&](const std::string& block, Index place) {
    const std::string name = block + "[" + std::to_string(place) + "]";
    for (const sm::ParameterError& p : errors.parameters)
      if (p.name == name) return p;
    std::fprintf(stderr, "no parameter is called %s\n", name.c_str());
    std::exit(1);
  };
  int significant = 0;
  for (Index i = 0; i < d; ++i)
    for (Index j = 0; j < i; ++j) {
      const Index place = sm::detail::pair_place(d, i, j);
      std::printf("  %-10s %-10s %9.2f    ", names[static_cast<std::size_t>(j)].c_str(),
                  names[static_cast<std::size_t>(i)].c_str(), correlation(i, j));
      for (const char* block : {"pair", "pair_quartic"}) {
        const auto p = estimate(block, place);
        const double z = p.estimate / p.standard_error;
        significant += std::abs(z) > threshold;
        std::printf("  %7.3f ± %.3f %6.1f%s    ", p.estimate, p.standard_error, z,
                    std::abs(z) > threshold ? " *" : "  ");
      }
      std::printf("\n");
    }
  std::printf("%d of %td interactions are significant.\n", significant, d * (d - 1));
  for (const auto& weak : errors.weak) std::printf("  warning: %s: %s\n", weak.text.c_str(), weak.reason.c_str());

  // All five on held-out wines, five-fold; log Z by annealing.
  VectorXd joint(data.cols());
  double joint_error = 0, ridges[5];
  for (Index number = 0; number < 5; ++number) {
    const MatrixXd training = fold(data, number, false), held_out = fold(data, number, true);
    const Fit closed = closed_form_with_density(training);
    ridges[number] = closed.ridge;
    const auto log_z = sm::log_partition(closed.model, sm::annealed_importance_sampling<>{.near = training});
    joint_error = std::max(joint_error, log_z.error);
    joint(Eigen::seqN(number, held_out.cols(), 5)) =
        sm::log_likelihood(closed.model, held_out, log_z).per_sample - gaussian(training)(held_out);
  }
  const Mean gain = mean_of(joint);
  std::printf(
      "All five, log likelihood of held-out wines (five folds), closed form − Gaussian: %.3f ± %.3f nats a wine.\n"
      "  log Z by annealing, ± %.3f at most; ridges that a finite Z asked for: %g %g %g %g %g.\n",
      gain.value, gain.standard_error, joint_error, ridges[0], ridges[1], ridges[2], ridges[3], ridges[4]);

  // Pairs, five-fold: every wine is held out once. Log likelihoods of held-out wines in nats a wine.
  std::printf(
      "\nPairs by themselves, log likelihood of held-out wines (five folds), nats a wine, differences wine by wine ± "
      "standard error:\n  %-22s Gaussian  closed form − Gaussian    likelihood − Gaussian   closed form − likelihood\n",
      "");
  std::vector<double> all_closed, all_exact;
  VectorXd total_closed = VectorXd::Zero(data.cols()), total_exact = VectorXd::Zero(data.cols());
  double largest_ridge = 0, closed_seconds = 0, exact_seconds = 0, best_gain = -1e300;
  Index best[2] = {1, 0};
  int unconverged = 0;
  for (Index i = 0; i < d; ++i)
    for (Index j = 0; j < i; ++j) {
      const MatrixXd pair = data(std::vector<Index>{j, i}, Eigen::indexing::all);
      VectorXd by_gaussian(data.cols()), by_closed(data.cols()), by_exact(data.cols());
      for (Index number = 0; number < 5; ++number) {
        const MatrixXd training = fold(pair, number, false), held_out = fold(pair, number, true);
        const auto places = Eigen::seqN(number, held_out.cols(), 5);
        by_gaussian(places) = gaussian(training)(held_out);
        sm::detail::Stopwatch fold_watch;
        const Fit closed = closed_form_with_density(training);
        const auto log_z = by_quadrature(closed.model, training);
        closed_seconds += fold_watch.seconds();
        largest_ridge = std::max(largest_ridge, closed.ridge);
        by_closed(places) = sm::log_likelihood(closed.model, held_out, log_z).per_sample;
        fold_watch = {};
        const auto exact = sm::fit(closed.model, sm::maximum_likelihood{}, training);
        exact_seconds += fold_watch.seconds();
        if (exact.status != sm::FitStatus::converged) ++unconverged;
        by_exact(places) = sm::log_likelihood(exact.model, held_out, exact.log_partition).per_sample;
      }
      const Mean closed = mean_of(by_closed - by_gaussian), exact = mean_of(by_exact - by_gaussian),
                 between = mean_of(by_closed - by_exact);
      std::printf("  %-10s %-10s %9.3f      %7.3f ± %.3f          %7.3f ± %.3f          %7.3f ± %.3f\n",
                  names[static_cast<std::size_t>(j)].c_str(), names[static_cast<std::size_t>(i)].c_str(),
                  by_gaussian.mean(), closed.value, closed.standard_error, exact.value, exact.standard_error,
                  between.value, between.standard_error);
      total_closed += (by_closed - by_gaussian) / static_cast<double>(d * (d - 1) / 2);
      total_exact += (by_exact - by_gaussian) / static_cast<double>(d * (d - 1) / 2);
      if (exact.value > best_gain) {
        best_gain = exact.value;
        best[0] = j;
        best[1] = i;
      }
    }
  const Mean closed = mean_of(total_closed), exact = mean_of(total_exact),
             between = mean_of(total_closed - total_exact);
  std::printf("  %-22s                %7.3f ± %.3f          %7.3f ± %.3f          %7.3f ± %.3f\n", "mean of the pairs",
              closed.value, closed.standard_error, exact.value, exact.standard_error, between.value,
              between.standard_error);
  std::printf(
      "Largest ridge that a finite Z asked for: %g. Closed form with its log Z %.0f ms a fit, maximum likelihood %.0f "
      "ms; %d of 50 not converged.\n",
      largest_ridge, 1e3 * closed_seconds / 50, 1e3 * exact_seconds / 50, unconverged);

  // The picture: the pair that gains most, all wines.
  const MatrixXd pair = data(std::vector<Index>{best[0], best[1]}, Eigen::indexing::all);
  const Fit by_closed = closed_form_with_density(pair);
  const auto log_z = by_quadrature(by_closed.model, pair);
  const auto by_exact = sm::fit(by_closed.model, sm::maximum_likelihood{}, pair);
  const sm::Density densities[] = {gaussian(pair), sm::density(by_closed.model, log_z.value),
                                   sm::density(by_exact.model, by_exact.log_partition.value)};
  constexpr Index side = 121;
  MatrixXd X(2, side * side);
  for (Index i = 0; i < side; ++i)
    for (Index j = 0; j < side; ++j)
      X.col(i * side + j) << -2.6 + 5.2 * static_cast<double>(j) / (side - 1),
          -2.6 + 5.2 * static_cast<double>(i) / (side - 1);
  MatrixXd table(5, X.cols());
  table.topRows(2) = X;
  for (Index k = 0; k < 3; ++k) table.row(2 + k) = densities[k](X).array().exp().matrix().transpose();
  // Back to the units of the data.
  const auto in_units = [&](const MatrixXd& U) -> MatrixXd {
    const Eigen::Vector2d s(units.deviation[best[0]], units.deviation[best[1]]),
        m(units.mean[best[0]], units.mean[best[1]]);
    return ((s.asDiagonal() * U).colwise() + m).array().exp();
  };
  table.topRows(2) = in_units(X);
  std::FILE* file = std::fopen((folder + "/densities.dat").c_str(), "w");
  for (Index i = 0; i < table.cols() && file != nullptr; ++i)
    std::fprintf(file, "%s%.6g %.6g %.6g %.6g %.6g\n", i > 0 && i % side == 0 ? "\n" : "", table(0, i), table(1, i),
                 table(2, i), table(3, i), table(4, i));
  if (file != nullptr) std::fclose(file);
  const MatrixXd cultivars = sm::read_csv("examples/data/wine.csv", {"cultivar"}), points = in_units(pair);
  file = std::fopen((folder + "/wines.dat").c_str(), "w");
  for (Index i = 0; i < points.cols() && file != nullptr; ++i)
    std::fprintf(file, "%.6g %.6g %.0f\n", points(0, i), points(1, i), cultivars(0, i));
  if (file != nullptr) std::fclose(file);
  const std::string command = "gnuplot -e \"folder='" + folder + "'; first='" +
                              names[static_cast<std::size_t>(best[0])] + "'; second='" +
                              names[static_cast<std::size_t>(best[1])] + "'\" examples/pairwise_quartic.gnuplot";
  if (std::system((command + " 2> /dev/null").c_str()) == 0)
    std::printf("Picture: %s/pairwise_quartic.png\n", folder.c_str());
  else
    std::printf("No gnuplot, no picture. The data are in %s; with gnuplot installed:\n  %s\n", folder.c_str(),
                command.c_str());
  const bool exact_is_best = -by_exact.loss >= sm::log_likelihood(by_closed.model, pair, log_z).mean - 1e-9;
  return fit.status == sm::ClosedFormStatus::solved && unconverged == 0 && exact_is_best ? 0 : 1;
}
