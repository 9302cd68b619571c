// Three ways to one density: a mixture of three Gaussians for the bills of 342 penguins, by maximum likelihood, by
// implicit and by denoising score matching. None is told the species; what these are says how well each did.
//   f(x) = −log Σ_k w_k N(x; m_k, C_k)
// is normalised, so that its log Z is 0, which quadrature has to find too.
//
// A score does not feel the weight of a mode that stands apart: ∇ log (w p) = ∇ log p. What score matching knows of the
// weights comes from the few birds between the modes; its standard errors say so.
//
//   three_estimators [output folder]
#include <scorematch/scorematch.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace sm = scorematch;
using Eigen::Index, Eigen::MatrixXd, Eigen::VectorXd;

const std::string species[] = {"Adelie", "Chinstrap", "Gentoo"};

// The density of the birds, or of birds blurred by N(0, noise I), which adds `noise` to each C_k: what denoising score
// matching learns from blurred birds is the law of the sharp ones.
sm::EnergyModel mixture(double noise = 0) {
  return sm::energy_model(2, [noise](auto x, auto theta) {
    // Where each species is looked for, in standard deviations of all birds.
    const Eigen::Vector2d guesses[] = {{-0.9, 0.6}, {0.9, 0.6}, {0.6, -1.1}};
    auto part = [&](int k) {
      const std::string& name = species[k];
      auto u = x - theta(name + ".centre", guesses[k]);
      auto diagonal = exp(theta(name + ".log_diagonal", Eigen::Vector2d(-0.7, -0.7)));  // of a factor L of C_k
      auto below = theta(name + ".below");
      auto a = square(diagonal[0]) + noise, b = diagonal[0] * below;
      auto c = square(below) + square(diagonal[1]) + noise;  // C_k = [a b; b c]
      auto determinant = a * c - square(b);
      auto log_density = -0.5 * log(determinant) - std::log(2 * M_PI) -
                         0.5 * (c * square(u[0]) - 2 * b * u[0] * u[1] + a * square(u[1])) / determinant;
      return k == 0 ? log_density : theta(name + ".log_weight") + log_density;  // beside the first's
    };
    auto others = exp(theta(species[1] + ".log_weight")) + exp(theta(species[2] + ".log_weight"));
    return log1p(others) - log_sum_exp(sm::stack(3, part));
  });
}

// What one would like to know of a mixture, in millimetres: per species its share, two means, two deviations and their
// correlation.
constexpr Index quantities = 6;
const char* const quantity[] = {"share", "mean length", "mean depth", "sd length", "sd depth", "correlation"};

MatrixXd describe(const sm::EnergyModel& model, const sm::Standardisation& units) {
  MatrixXd result(quantities, 3);
  double total = 1;
  for (Index k = 0; k < 3; ++k) {
    const std::string& name = species[k];
    const double weight = k == 0 ? 1 : std::exp(model.parameter(name + ".log_weight")(0));
    if (k > 0) total += weight;
    const MatrixXd centre = model.parameter(name + ".centre"),
                   diagonal = model.parameter(name + ".log_diagonal").array().exp();
    const double below = model.parameter(name + ".below")(0), depth = std::hypot(below, diagonal(1));
    result.col(k) << weight, units.mean[0] + units.deviation[0] * centre(0),
        units.mean[1] + units.deviation[1] * centre(1), units.deviation[0] * diagonal(0), units.deviation[1] * depth,
        below / depth;
  }
  result.row(0) /= total;
  return result;
}

sm::EnergyModel at(sm::EnergyModel model, const VectorXd& theta) {
  model.set_parameters(theta);
  return model;
}

// The columns are ∂g/∂θ_k by central differences.
MatrixXd jacobian(const std::function<VectorXd(const VectorXd&)>& g, const VectorXd& theta) {
  constexpr double h = 1e-4;
  MatrixXd J(g(theta).size(), theta.size());
  for (Index k = 0; k < theta.size(); ++k) {
    const VectorXd step = h * VectorXd::Unit(theta.size(), k);
    J.col(k) = (g(theta + step) - g(theta - step)) / (2 * h);
  }
  return J;
}

struct Estimate {
  sm::EnergyModel model;
  double seconds = 0;
  bool converged = false;
};

// Each bird so many times, each with noise of its own.
constexpr Index copies = 50;

Estimate by_likelihood(const MatrixXd& X) {
  const sm::detail::Stopwatch watch;
  const auto fit = sm::fit(mixture(), sm::maximum_likelihood{}, X);
  return {fit.model, watch.seconds(), fit.status == sm::FitStatus::converged};
}

Estimate by_implicit(const MatrixXd& X) {
  const sm::detail::Stopwatch watch;
  const auto fit = sm::fit(mixture(), sm::implicit_score_matching{}, X);
  return {fit.model, watch.seconds(), fit.status == sm::FitStatus::converged};
}

Estimate by_denoising(const MatrixXd& X, double sigma) {
  const sm::detail::Stopwatch watch;
  const auto fit = sm::fit(mixture(sigma * sigma), sm::denoising_score_matching{.sigma = sigma, .frozen = true},
                           MatrixXd(X.replicate(1, copies)));
  return {at(mixture(), fit.model.parameters()), watch.seconds(), fit.status == sm::FitStatus::converged};
}

// Standard errors of describe(model), by the delta method.
MatrixXd errors_of(const sm::EnergyModel& model, const sm::Standardisation& units, const MatrixXd& covariance) {
  const auto described = [&](const VectorXd& theta) -> VectorXd {
    return describe(at(model, theta), units).reshaped();
  };
  const MatrixXd J = jacobian(described, model.parameters());
  return (J * covariance * J.transpose()).diagonal().cwiseSqrt().reshaped(quantities, 3);
}

sm::StandardErrors denoising_errors(const Estimate& estimate, double sigma, const MatrixXd& X) {
  return sm::standard_errors(at(mixture(sigma * sigma), estimate.model.parameters()),
                             sm::denoising_score_matching{.sigma = sigma}, X, {.draws = copies});
}

// The species by themselves: the same description from their own birds, with errors.
void describe_species(const MatrixXd& birds, const VectorXd& kind, MatrixXd& value, MatrixXd& error) {
  value.resize(quantities, 3);
  error.resize(quantities, 3);
  for (Index k = 0; k < 3; ++k) {
    std::vector<Index> columns;
    for (Index i = 0; i < birds.cols(); ++i)
      if (kind[i] == static_cast<double>(k + 1)) columns.push_back(i);
    const MatrixXd X = birds(Eigen::indexing::all, columns);
    const double n = static_cast<double>(X.cols()), share = n / static_cast<double>(birds.cols());
    const Eigen::Vector2d mean = X.rowwise().mean(),
                          sd = ((X.colwise() - mean).rowwise().squaredNorm() / n).cwiseSqrt();
    const double r =
        (X.row(0).array() - mean[0]).matrix().dot((X.row(1).array() - mean[1]).matrix()) / n / sd[0] / sd[1];
    value.col(k) << share, mean, sd, r;
    error.col(k) << std::sqrt(share * (1 - share) / static_cast<double>(birds.cols())), sd / std::sqrt(n),
        sd / std::sqrt(2 * n), (1 - r * r) / std::sqrt(n);
  }
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "three_estimators_output";
  std::filesystem::create_directories(folder);

  const MatrixXd birds = sm::read_csv("examples/data/penguins.csv", {"bill_length_mm", "bill_depth_mm"});
  const VectorXd kind = sm::read_csv("examples/data/penguins.csv", {"species"}).row(0);
  // A fit does not need mean 0 and variance 1; the one sigma of denoising and the guesses of the centres do, so that
  // they mean the same in both measurements.
  const sm::Standardisation units = sm::standardise(birds);
  const MatrixXd data = units.apply(birds);

  // The fits on all birds, and their errors.
  const char* const methods[] = {"likelihood", "implicit", "denoising"};
  constexpr double sigma = 0.3;
  const Estimate estimates[] = {by_likelihood(data), by_implicit(data), by_denoising(data, sigma)};
  const auto implicit_errors = sm::standard_errors(estimates[1].model, sm::implicit_score_matching{}, data);
  const auto blurred_errors = denoising_errors(estimates[2], sigma, data);
  const MatrixXd covariances[] = {sm::standard_errors(estimates[0].model, sm::maximum_likelihood{}, data).covariance,
                                  implicit_errors.covariance, blurred_errors.covariance};
  MatrixXd values[4], errors[4];
  describe_species(birds, kind, values[0], errors[0]);
  for (int m = 0; m < 3; ++m) {
    values[m + 1] = describe(estimates[m].model, units);
    errors[m + 1] = errors_of(estimates[m].model, units, covariances[m]);
  }
  std::printf("%td birds; millimetres; estimate ± standard error. Denoising with sigma = %.1f standard deviations.\n",
              birds.cols(), sigma);
  std::printf("%-22s %16s %17s %17s %17s\n", "", "species known", methods[0], methods[1], methods[2]);
  for (Index k = 0; k < 3; ++k)
    for (Index q = 0; q < quantities; ++q) {
      std::printf("%-9s %-12s", q == 0 ? species[k].c_str() : "", quantity[q]);
      for (int m = 0; m < 4; ++m) std::printf("   %7.3f ± %.3f", values[m](q, k), errors[m](q, k));
      std::printf("\n");
    }
  std::printf("Errors of the implicit fit: %s; of the denoising fit: %s.\n", to_string(implicit_errors.status),
              to_string(blurred_errors.status));
  for (const auto* all : {&implicit_errors, &blurred_errors})
    for (const auto& weak : all->weak) std::printf("  warning: %s: %s\n", weak.text.c_str(), weak.reason.c_str());

  // Held-out birds: five folds, each fitted on the others. Scaling belongs to the units alone.
  const Index N = data.cols();
  MatrixXd held_out(N, 3);
  bool all_converged = true;
  for (Index fold = 0; fold < 5; ++fold) {
    std::vector<Index> inside, outside;
    for (Index i = 0; i < N; ++i) (i % 5 == fold ? outside : inside).push_back(i);
    const MatrixXd training = data(Eigen::indexing::all, inside), test = data(Eigen::indexing::all, outside);
    const Estimate fits[] = {by_likelihood(training), by_implicit(training), by_denoising(training, sigma)};
    for (int m = 0; m < 3; ++m) {
      const auto log_z = sm::log_partition(fits[m].model, training);
      held_out(outside, m) = sm::log_likelihood(fits[m].model, test, log_z).per_sample;
      all_converged = all_converged && fits[m].converged;
    }
  }
  std::printf("\n%-12s %10s %15s %18s %26s\n", "", "seconds", "log Z - 0", "nats a bird", "held out, minus likelihood");
  for (int m = 0; m < 3; ++m) {
    const auto log_z = sm::log_partition(estimates[m].model, data);
    const auto inside = sm::log_likelihood(estimates[m].model, data, log_z);
    const VectorXd difference = held_out.col(m) - held_out.col(0);
    const double n = static_cast<double>(N), mean = difference.mean(),
                 error = std::sqrt((difference.array() - mean).square().sum() / (n - 1) / n);
    std::printf("%-12s %10.3f %15.1e %18.4f", methods[m], estimates[m].seconds, log_z.value, inside.mean);
    if (m == 0)
      std::printf(" %15.4f held out\n", held_out.col(0).mean());
    else
      std::printf(" %15.4f ± %.4f\n", mean, error);
    all_converged = all_converged && estimates[m].converged && log_z.status == sm::PartitionStatus::converged &&
                    std::abs(log_z.value) < 1e-9;
  }

  // Noise fills the gaps between the modes, so that a score there tells the weights; too much of it hides the shapes.
  std::printf("\nThe share of Gentoo, which stand apart (%.3f of these birds are):\n", values[0](0, 2));
  std::printf("  %-24s %.3f ± %.3f\n  %-24s %.3f ± %.3f\n", "likelihood", values[1](0, 2), errors[1](0, 2), "implicit",
              values[2](0, 2), errors[2](0, 2));
  for (const double noise : {0.1, 0.2, 0.3, 0.5, 0.8}) {
    const Estimate estimate = by_denoising(data, noise);
    const auto sandwich = denoising_errors(estimate, noise, data);
    std::printf("  denoising, sigma = %.1f    %.3f ± %.3f   %s%s\n", noise, describe(estimate.model, units)(0, 2),
                errors_of(estimate.model, units, sandwich.covariance)(0, 2), to_string(sandwich.status),
                estimate.converged ? "" : ", not converged");
  }

  // The picture: densities in birds per mm², and the shares.
  constexpr Index side = 161;
  const VectorXd low = birds.rowwise().minCoeff() - units.deviation,
                 high = birds.rowwise().maxCoeff() + units.deviation;
  MatrixXd places(2, side * side);
  for (Index i = 0; i < side; ++i)
    for (Index j = 0; j < side; ++j)
      places.col(i * side + j) << low[0] + (high[0] - low[0]) * static_cast<double>(j) / (side - 1),
          low[1] + (high[1] - low[1]) * static_cast<double>(i) / (side - 1);
  MatrixXd table(5, places.cols());
  table.topRows(2) = places;
  for (int m = 0; m < 3; ++m)
    table.row(2 + m) = (-sm::energy_of(estimates[m].model, units.apply(places))).array().exp().matrix().transpose() /
                       units.deviation.prod();
  const auto write = [&](const char* name, const auto& lines) {
    std::FILE* file = std::fopen((folder + "/" + name).c_str(), "w");
    if (file == nullptr) return;
    lines(file);
    std::fclose(file);
  };
  write("densities.dat", [&](std::FILE* file) {
    for (Index i = 0; i < table.cols(); ++i)
      std::fprintf(file, "%s%.6g %.6g %.6g %.6g %.6g\n", i > 0 && i % side == 0 ? "\n" : "", table(0, i), table(1, i),
                   table(2, i), table(3, i), table(4, i));
  });
  write("birds.dat", [&](std::FILE* file) {
    for (Index i = 0; i < birds.cols(); ++i) std::fprintf(file, "%.6g %.6g %.0f\n", birds(0, i), birds(1, i), kind[i]);
  });
  write("shares.dat", [&](std::FILE* file) {
    const Eigen::Vector2d beside[] = {{-2, 4.3}, {4, 4.2}, {6.5, -2.6}};
    for (Index k = 0; k < 3; ++k) {
      std::fprintf(file, "%.6g %.6g", values[0](1, k) + beside[k][0], values[0](2, k) + beside[k][1]);
      for (int m = 1; m < 4; ++m) std::fprintf(file, " \"%.2f ± %.2f\"", values[m](0, k), errors[m](0, k));
      std::fprintf(file, "\n");
    }
  });
  const std::string command = "gnuplot -e \"folder='" + folder + "'\" examples/three_estimators.gnuplot";
  if (std::system((command + " 2> /dev/null").c_str()) == 0)
    std::printf("Picture: %s/three_estimators.png\n", folder.c_str());
  else
    std::printf("No gnuplot, no picture. The data are in %s; with gnuplot installed:\n  %s\n", folder.c_str(),
                command.c_str());
  return all_converged ? 0 : 1;
}
