// What becomes of an energy that is an exponential, f = exp(g)? The study note asks behind (1.12): is it sharper, has
// it a larger memory, does it generalise worse? Here f = g and f = exp(g) have the same perceptron g, the same start
// and the same fit, by denoising score matching. They are compared
//   on 342 penguins, five times with another fifth held out: loss and likelihood of what was not seen, width of the
//   narrowest mode, height of the walls around the data;
//   on 8 to 64 isolated points: how many of them end up as minima of the energy.
// f = 20 exp(g/20) stands between the two: the same slope where g = 0, but at the level 20 instead of 1, so that there
// is more room for valleys above 0, below which no exponential goes.
//
// The answers are those of fits of this length: at a third of the learning rate they stay, at three times the rate the
// fits are rough and only the walls remain clear.
//
//   exponential_energy [output folder]
#include <scorematch/scorematch.hpp>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace sm = scorematch;
using Eigen::Index, Eigen::MatrixXd, Eigen::VectorXd;

constexpr std::size_t kinds = 3;
using PerKind = std::array<std::vector<double>, kinds>;  // a number of each kind of energy for each repetition

sm::EnergyModel energy(std::size_t kind, std::uint64_t seed) {
  const auto g = sm::mlp_energy(2, {.hidden = {32, 32}, .seed = seed});
  return kind == 0 ? g : kind == 1 ? exp(g) : 20.0 * exp(0.05 * g);
}

// The mean and its standard error, of numbers of independent repetitions.
struct Mean {
  double value = 0, error = 0;
  explicit Mean(const std::vector<double>& x) {
    const double n = static_cast<double>(x.size());
    for (const double number : x) value += number / n;
    for (const double number : x) error += (number - value) * (number - value);
    error = std::sqrt(error / (n - 1) / n);
  }
};

// One kind against f = g, repetition by repetition.
Mean difference(const PerKind& x, std::size_t kind = 1) {
  std::vector<double> differences;
  for (std::size_t i = 0; i < x[0].size(); ++i) differences.push_back(x[kind][i] - x[0][i]);
  return Mean(differences);
}

void print_row(const char* name, const PerKind& x) {
  std::printf("  %-40s", name);
  for (const auto& numbers : x) std::printf("  %8.3f ± %-6.3f", Mean(numbers).value, Mean(numbers).error);
  std::printf("  %+8.3f ± %.3f\n", difference(x).value, difference(x).error);
}

void print_answer(const char* question, const Mean& d, const char* more, const char* less) {
  std::printf("  %-42s %s (%+.3f ± %.3f)\n", question,
              std::abs(d.value) < 2 * d.error ? "no clear difference"
              : d.value > 0                   ? more
                                              : less,
              d.value, d.error);
}

// The loss averaged over 50 draws of the noise.
double mean_loss(const sm::EnergyModel& model, const sm::denoising_score_matching& objective, const MatrixXd& X) {
  double total = 0;
  for (unsigned draw = 1; draw <= 50; ++draw) total += sm::loss(model, objective, X, {.draw = draw}).value;
  return total / 50;
}

// Downhill from every column of X, each with a step that grows while it lowers f and shrinks where it does not.
MatrixXd minima(const sm::EnergyModel& model, MatrixXd X) {
  VectorXd f = sm::energy_of(model, X), step = VectorXd::Constant(X.cols(), 1e-3);
  for (int i = 0; i < 1000; ++i) {
    const MatrixXd next = X + sm::score_of(model, X) * step.asDiagonal();
    const VectorXd there = sm::energy_of(model, next);
    for (Index k = 0; k < X.cols(); ++k) {
      const bool lower = there[k] < f[k];
      step[k] *= lower ? 1.3 : 0.4;
      if (!lower) continue;
      X.col(k) = next.col(k);
      f[k] = there[k];
    }
  }
  return X;
}

// The largest eigenvalue of f's Hessian at every column of X, by differences of the score.
VectorXd largest_curvature(const sm::EnergyModel& model, const MatrixXd& X) {
  const auto column = [&](const Eigen::Vector2d& step) -> MatrixXd {
    const MatrixXd ahead = X.colwise() + step, behind = X.colwise() - step;
    return (sm::score_of(model, behind) - sm::score_of(model, ahead)) / (2 * step.norm());
  };
  const MatrixXd H0 = column({1e-4, 0}), H1 = column({0, 1e-4});
  VectorXd largest(X.cols());
  for (Index i = 0; i < X.cols(); ++i)
    largest[i] = 0.5 * (H0(0, i) + H1(1, i)) + std::hypot(0.5 * (H0(0, i) - H1(1, i)), 0.5 * (H0(1, i) + H1(0, i)));
  return largest;
}

// n points in [−2, 2]², no two nearer than `apart`.
MatrixXd isolated_points(Index n, double apart, std::uint64_t seed) {
  sm::Stream stream({seed, sm::extend::Purpose::user});
  MatrixXd X(2, n);
  for (Index i = 0; i < n;) {
    X.col(i) << 4 * stream.uniform() - 2, 4 * stream.uniform() - 2;
    if (i == 0 || (X.leftCols(i).colwise() - X.col(i)).colwise().norm().minCoeff() > apart) ++i;
  }
  return X;
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "exponential_energy_output";
  std::filesystem::create_directories(folder);
  const MatrixXd birds = sm::read_csv("examples/data/penguins.csv", {"bill_length_mm", "bill_depth_mm"});
  const MatrixXd data = sm::standardise(birds).apply(birds);  // so that one sigma means the same in both measurements

  // --- the penguins ---
  const double sigma = 0.1;
  const sm::denoising_score_matching objective{.sigma = sigma, .seed = 2};
  PerKind training_loss, held_out_loss, training_likelihood, held_out_likelihood, gap, width, wall;
  std::vector<sm::EnergyModel> shown;  // of the first fold
  VectorXd log_z(kinds);
  bool reliable = true;
  for (Index fold = 0; fold < 5; ++fold) {
    std::vector<Index> seen, unseen;
    for (Index i = 0; i < data.cols(); ++i) (i % 5 == fold ? unseen : seen).push_back(i);
    const MatrixXd training = data(Eigen::indexing::all, seen), held_out = data(Eigen::indexing::all, unseen);
    for (std::size_t kind = 0; kind < kinds; ++kind) {
      const auto fit = sm::fit(energy(kind, 1), objective, training, {.iterations = 4000, .seed = 3});
      const auto z = sm::log_partition(fit.model, sm::quadrature{.tolerance = 1e-5, .near = training});
      reliable = reliable && fit.status == sm::FitStatus::used_up && z.status == sm::PartitionStatus::converged;
      training_loss[kind].push_back(mean_loss(fit.model, objective, training));
      held_out_loss[kind].push_back(mean_loss(fit.model, objective, held_out));
      training_likelihood[kind].push_back(sm::log_likelihood(fit.model, training, z).mean);
      held_out_likelihood[kind].push_back(sm::log_likelihood(fit.model, held_out, z).mean);
      gap[kind].push_back(training_likelihood[kind].back() - held_out_likelihood[kind].back());
      width[kind].push_back(1 / std::sqrt(largest_curvature(fit.model, minima(fit.model, training)).maxCoeff()));
      MatrixXd circle(2, 64);
      for (Index i = 0; i < 64; ++i) {
        const double angle = 3.141592653589793 / 32 * static_cast<double>(i);
        circle.col(i) << 3 * std::cos(angle), 3 * std::sin(angle);
      }
      wall[kind].push_back(sm::energy_of(fit.model, circle).mean() - sm::energy_of(fit.model, training).mean());
      if (fold > 0) continue;
      shown.push_back(fit.model);
      log_z[static_cast<Index>(kind)] = z.value;
    }
  }
  std::printf(
      "342 penguins, standardised, denoising score matching at sigma = %.1f: five folds, mean ± standard error\n"
      "  %-40s  %-19s%-19s%-19s  %s\n",
      sigma, "", "f = g", "f = exp(g)", "f = 20 exp(g/20)", "exp(g) less g");
  print_row("loss, training", training_loss);
  print_row("loss, held out", held_out_loss);
  print_row("log-likelihood a bird, training", training_likelihood);
  print_row("log-likelihood a bird, held out", held_out_likelihood);
  print_row("width of the narrowest mode, 1/√curvature", width);
  print_row("energy on ‖x‖ = 3 over that of the data", wall);

  // --- the memory ---
  constexpr double apart = 0.35, blur = 0.07;
  std::printf("\nIsolated points in [−2, 2]², at least %.2f apart, sigma = %.2f: how many have a minimum within %.3f\n",
              apart, blur, apart / 2);
  MatrixXd memory(1 + 2 * kinds, 4);
  PerKind most;
  for (Index row = 0; row < 4; ++row) {
    const Index n = Index{8} << row;
    PerKind held;
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      const MatrixXd patterns = isolated_points(n, apart, seed);
      for (std::size_t kind = 0; kind < kinds; ++kind) {
        const auto fit = sm::fit(energy(kind, seed), sm::denoising_score_matching{.sigma = blur, .seed = 4},
                                 patterns.replicate(1, 128 / n), {.iterations = 6000, .seed = 5});
        const MatrixXd moved = minima(fit.model, patterns) - patterns;
        held[kind].push_back(static_cast<double>((moved.colwise().norm().array() < apart / 2).count()));
      }
    }
    print_row((std::to_string(n) + " points").c_str(), held);
    memory(0, row) = static_cast<double>(n);
    for (std::size_t kind = 0; kind < kinds; ++kind) {
      const Mean count(held[kind]);
      memory.col(row).segment(1 + 2 * static_cast<Index>(kind), 2) << count.value, count.error;
    }
    most = held;
  }

  std::printf("\nIs exp(g), beside g after the same number of steps, …\n");
  print_answer("… sharper? Width of its narrowest mode:", difference(width), "wider: no", "narrower: yes");
  print_answer("… steeper around the data? Height there:", difference(wall), "higher: yes", "lower: no");
  print_answer("… of a larger memory? Points of 64 held:", difference(most), "more: yes", "fewer: no");
  print_answer("… worse on unseen birds? Log-likelihood:", difference(held_out_likelihood), "higher: no", "lower: yes");
  print_answer("… overfitting more? Training − unseen:", difference(gap), "more: yes", "less: no");
  std::printf("Is that the exponential's shape, or its level? 20 exp(g/20) beside g:\n");
  print_answer("… Width of its narrowest mode:", difference(width, 2), "wider", "narrower");
  print_answer("… Height around the data:", difference(wall, 2), "higher", "lower");
  print_answer("… Points of 64 held:", difference(most, 2), "more", "fewer");
  print_answer("… Log-likelihood of unseen birds:", difference(held_out_likelihood, 2), "higher", "lower");

  // --- the picture ---
  const Eigen::Vector2d low(-2.6, -2.6), high(3.2, 2.6);
  const Index n = 150;
  MatrixXd grid(2, n * n), slice(2, 400);
  for (Index i = 0; i < n * n; ++i)
    grid.col(i) = low.array() + (high - low).array() / static_cast<double>(n - 1) *
                                    Eigen::Array2d(static_cast<double>(i % n), static_cast<double>(i / n));
  for (Index i = 0; i < slice.cols(); ++i) slice.col(i) << -4 + 0.02 * static_cast<double>(i), 0.6;
  MatrixXd densities(2 + kinds, grid.cols()), energies(1 + kinds, slice.cols());
  densities.topRows(2) = grid;
  energies.row(0) = slice.row(0);
  for (std::size_t kind = 0; kind < kinds; ++kind) {
    const Index k = static_cast<Index>(kind);
    densities.row(2 + k) = (-sm::energy_of(shown[kind], grid).array() - log_z[k]).exp();
    energies.row(1 + k) = sm::energy_of(shown[kind], slice).array() + log_z[k];
  }
  const std::vector<std::string> kind_names = {"g", "exp_g", "exp_g_20"};
  sm::write_csv(folder + "/density.csv", densities, {"x0", "x1", kind_names[0], kind_names[1], kind_names[2]});
  sm::write_csv(folder + "/slice.csv", energies, {"x0", kind_names[0], kind_names[1], kind_names[2]});
  sm::write_csv(folder + "/data.csv", data, {"x0", "x1"});
  sm::write_csv(folder + "/memory.csv", memory,
                {"points", kind_names[0], "error", kind_names[1], "error1", kind_names[2], "error2"});
  const std::string command = "gnuplot -e \"folder='" + folder + "'\" examples/exponential_energy.gnuplot";
  if (std::system((command + " 2> /dev/null").c_str()) == 0)
    std::printf("Picture: %s/exponential_energy.png\n", folder.c_str());
  else
    std::printf("No gnuplot, no picture. The data are in %s; with gnuplot installed:\n  %s\n", folder.c_str(),
                command.c_str());
  return reliable ? 0 : 1;
}
