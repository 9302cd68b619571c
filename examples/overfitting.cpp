// Implicit score matching overfits: a flexible energy digs a well under every sample, and the loss falls without bound
// while it rises on data that were held out. Reproduced on 24 penguins, and cured in four ways: regularised score
// matching, the implicit loss on perturbed data, denoising, and early stopping.
//
//   overfitting [output folder]
#include <scorematch/scorematch.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace sm = scorematch;
using Eigen::Index, Eigen::MatrixXd, Eigen::VectorXd;

constexpr int components = 30;

// −log of a mixture of Gaussians, each with a centre, a width and a weight of its own: more components than birds to
// fit on, so that there is one for each of them.
sm::EnergyModel flexible_energy() {
  return sm::energy_model(1, [](auto x, auto theta) {
    auto centres = theta("centres", Eigen::VectorXd::LinSpaced(components, -2.0, 2.0).eval());
    auto log_widths = theta("log_widths", components, sm::start_at(-1.0));
    return -log_sum_exp(theta("log_weights", components) - log_widths -
                        0.5 * square((x[0] - centres) * exp(-log_widths)));
  });
}

// p = exp(−f)/Z on a grid, by the trapezoidal rule.
VectorXd density(const sm::EnergyModel& model, const MatrixXd& grid) {
  const VectorXd f = energy_of(model, grid);
  const VectorXd p = (-(f.array() - f.minCoeff())).exp();
  return p / (p.sum() * (grid(0, 1) - grid(0, 0)));
}

// The mean log likelihood of X, from the density on the grid.
double log_likelihood(const VectorXd& p, const MatrixXd& grid, const MatrixXd& X) {
  const double step = grid(0, 1) - grid(0, 0);
  double total = 0;
  for (Index i = 0; i < X.cols(); ++i) {
    const double at = (X(0, i) - grid(0, 0)) / step;
    const Index k = std::min<Index>(static_cast<Index>(at), p.size() - 2);
    const double share = at - static_cast<double>(k);
    total += std::log(std::max((1 - share) * p[k] + share * p[k + 1], 1e-300));
  }
  return total / static_cast<double>(X.cols());
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "overfitting_output";
  std::filesystem::create_directories(folder);

  // Every fourteenth bird to fit on, the others held out. A fit does not need mean 0 and variance 1; the starts of the
  // centres and widths, lambda and sigma do, which count in standard deviations.
  // Bills were measured to 0.1 mm: the digits beyond are drawn, so that no held-out bird coincides with one of the fit.
  MatrixXd birds = sm::read_csv("examples/data/penguins.csv", {"bill_length_mm"});
  for (Index i = 0; i < birds.cols(); ++i) birds(0, i) += 0.1 * (sm::Stream({.seed = 5}, i).uniform() - 0.5);
  const sm::Standardisation units = sm::standardise(birds);
  std::vector<Index> seen, unseen;
  for (Index i = 0; i < birds.cols(); ++i) (i % 14 == 3 ? seen : unseen).push_back(i);
  const MatrixXd data = units.apply(birds), training = data(Eigen::indexing::all, seen),
                 held_out = data(Eigen::indexing::all, unseen);
  std::printf("%td birds to fit on, %td held out; an energy with %td parameters.\n\n", training.cols(), held_out.cols(),
              flexible_energy().parameters().size());

  const MatrixXd grid = Eigen::RowVectorXd::LinSpaced(24001, -6, 6);
  const sm::implicit_score_matching implicit;
  const double sigma = 0.3;
  struct Result {
    std::string name;
    sm::Fit<sm::EnergyModel> fit;
  };

  // The overfit, its held-out loss watched without end; and the cures.
  const sm::FitOptions options{
      .method = sm::FitMethod::adam, .iterations = 3000, .batch = training.cols(), .learning_rate = 0.005};
  sm::FitOptions watched = options, stopping = options;
  watched.held_out = stopping.held_out = held_out;
  watched.patience = options.iterations;
  stopping.patience = 100;
  const auto overfit = sm::fit(flexible_energy(), implicit, training, watched);
  std::vector<Result> results;
  results.push_back({"implicit", sm::fit(flexible_energy(), implicit, training, options)});
  results.push_back({"early stopping", sm::fit(flexible_energy(), implicit, training, stopping)});
  const auto add = [&](const char* name, const auto& objective) {
    results.push_back({name, sm::fit(flexible_energy(), objective, training, options)});
  };
  add("regularised", sm::regularised_score_matching{.lambda = 0.3});
  add("perturbed", sm::perturbed{implicit, {.sigma = sigma, .seed = 1}});
  add("denoising", sm::denoising_score_matching{.sigma = sigma, .seed = 1});

  std::printf("%-15s %-13s %14s %14s %22s\n", "", "status", "training loss", "held-out loss", "held-out log density");
  MatrixXd densities(1 + static_cast<Index>(results.size()), grid.cols());
  densities.row(0) = units.undo(grid);
  for (std::size_t r = 0; r < results.size(); ++r) {
    const auto& [name, fit] = results[r];
    const VectorXd p = density(fit.model, grid);
    densities.row(static_cast<Index>(r) + 1) = p.transpose() / units.deviation[0];
    std::printf("%-15s %-13s %14.3f %14.3f %22.3f\n", name.c_str(), to_string(fit.status),
                sm::loss(fit.model, implicit, training).value, sm::loss(fit.model, implicit, held_out).value,
                log_likelihood(p, grid, held_out));
  }

  // How the overfit goes on, step by step.
  MatrixXd steps(3, static_cast<Index>(overfit.history.size()));
  for (Index i = 0; i < steps.cols(); ++i) {
    const sm::FitStep& step = overfit.history[static_cast<std::size_t>(i)];
    steps.col(i) << static_cast<double>(step.evaluations), step.loss, step.held_out;
  }
  std::printf("\nThe implicit fit, step by step:\n%12s %15s %15s\n", "step", "training loss", "held-out loss");
  for (Index i = 1; i <= steps.cols(); i *= 4)
    std::printf("%12td %15.3f %15.3f\n", i, steps(1, i - 1), steps(2, i - 1));
  std::printf("%12td %15.3f %15.3f\n", steps.cols(), steps(1, steps.cols() - 1), steps(2, steps.cols() - 1));
  std::printf("Least held-out loss: %.3f.\n", overfit.held_out_loss);

  sm::write_csv(folder + "/training.csv", units.undo(training), {"bill_length_mm"});
  sm::write_csv(folder + "/held_out.csv", units.undo(held_out), {"bill_length_mm"});
  sm::write_csv(folder + "/densities.csv", densities,
                {"bill_length_mm", "implicit", "early_stopping", "regularised", "perturbed", "denoising"});
  sm::write_csv(folder + "/steps.csv", steps, {"evaluation", "training", "held_out"});
  const std::string command = "gnuplot -e \"folder='" + folder + "'\" examples/overfitting.gnuplot";
  if (std::system((command + " 2> /dev/null").c_str()) == 0)
    std::printf("Picture: %s/overfitting.png\n", folder.c_str());
  else
    std::printf("No gnuplot, no picture. The data are in %s; with gnuplot installed:\n  %s\n", folder.c_str(),
                command.c_str());
  return results[1].fit.status == sm::FitStatus::early_stopped ? 0 : 1;
}
