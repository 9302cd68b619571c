// The main job: 342 penguins, two measurements each, three clusters. Fit an energy f_θ(x) by denoising score matching,
// sample it by Langevin's equation, and draw data, energy, score field and samples.
//
//   quickstart [output folder]
#include <scorematch/scorematch.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace sm = scorematch;
using Eigen::Index, Eigen::MatrixXd, Eigen::VectorXd;

// Columns of X for which (column mod 5 == 0) is `held_out`.
MatrixXd every_fifth(const MatrixXd& X, bool held_out) {
  std::vector<Index> columns;
  for (Index i = 0; i < X.cols(); ++i)
    if ((i % 5 == 0) == held_out) columns.push_back(i);
  return X(Eigen::indexing::all, columns);
}

void print_moments(const char* name, const MatrixXd& X) {
  const VectorXd mean = X.rowwise().mean();
  const MatrixXd centred = X.colwise() - mean,
                 covariance = centred * centred.transpose() / static_cast<double>(X.cols() - 1);
  std::printf("  %-8s mean (%6.2f, %6.2f) mm   covariance [%6.2f %6.2f; %6.2f %6.2f] mm²\n", name, mean[0], mean[1],
              covariance(0, 0), covariance(0, 1), covariance(1, 0), covariance(1, 1));
}

// Each held-out bird's loss, averaged over 200 draws of its noise.
VectorXd held_out_losses(const sm::EnergyModel& model, const sm::denoising_score_matching& objective,
                         const MatrixXd& birds) {
  VectorXd total = VectorXd::Zero(birds.cols());
  for (unsigned draw = 0; draw < 200; ++draw)
    total += sm::loss(model, objective, birds, {.draw = draw, .per_sample = true}).per_sample;
  return total / 200;
}

void print_mean(const char* name, const VectorXd& x) {
  const double n = static_cast<double>(x.size()), mean = x.mean();
  std::printf("  %-19s %7.3f ± %.3f\n", name, mean, std::sqrt((x.array() - mean).square().sum() / (n - 1) / n));
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "quickstart_output";
  std::filesystem::create_directories(folder);

  // The data: two columns by name, in millimetres; then each with mean 0 and variance 1. A fit does not need that, but
  // one sigma and one step then mean the same in both measurements.
  const MatrixXd birds = sm::read_csv("examples/data/penguins.csv", {"bill_length_mm", "bill_depth_mm"});
  const sm::Standardisation units = sm::standardise(birds);
  const MatrixXd data = units.apply(birds), training = every_fifth(data, false), held_out = every_fifth(data, true);

  // The model: a perceptron with two hidden layers, and a bowl that keeps samples near the data.
  const auto energy = sm::energy_model(2, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {64, 64}, .seed = 1}) + 0.5 * exp(theta("log_bowl")) * squared_norm(x);
  });

  // The fit.
  const double sigma = 0.3;
  const sm::denoising_score_matching objective{.sigma = sigma, .seed = 2};
  const auto fit = sm::fit(energy, objective, training, {.iterations = 3000, .progress = sm::progress_line()});
  const VectorXd before = held_out_losses(energy, objective, held_out),
                 after = held_out_losses(fit.model, objective, held_out);

  // The samples: 2000 chains from N(0, I), each run long enough to forget its start.
  const auto draws = sm::sample(fit.model, sm::langevin{.step = 0.01},
                                {.chains = 2000, .steps = 3000, .seed = 3, .progress = sm::progress_line()});
  const MatrixXd samples = units.undo(draws.points);

  std::printf("\n%td birds; %td to fit on, %td held out. Fit: %s after %td steps of Adam.\n", birds.cols(),
              training.cols(), held_out.cols(), to_string(fit.status), fit.iterations);
  std::printf("Held-out denoising loss (sigma = %.2f standard deviations), mean over birds ± standard error:\n", sigma);
  print_mean("before the fit", before);
  print_mean("after the fit", after);
  print_mean("fall, bird by bird", before - after);
  std::printf(
      "The model is that of birds blurred by sigma, so its variances exceed theirs by (sigma · scale)²: %.2f and %.2f "
      "mm².\n",
      std::pow(sigma * units.deviation[0], 2), std::pow(sigma * units.deviation[1], 2));
  print_moments("birds", birds);
  print_moments("samples", samples);
  std::printf("Sampling: %s, %td chains of 3000 steps, %td lost.\n", to_string(draws.status), draws.chains,
              draws.lost_chains);

  // The picture: energy and score on grids over the data's range.
  const VectorXd half = 0.5 * units.deviation, low = birds.rowwise().minCoeff() - half,
                 high = birds.rowwise().maxCoeff() + half;
  const auto grid = [&](Index n) {
    MatrixXd X(2, n * n);
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < n; ++j) {
        X(0, i * n + j) = low[0] + (high[0] - low[0]) * static_cast<double>(j) / static_cast<double>(n - 1);
        X(1, i * n + j) = low[1] + (high[1] - low[1]) * static_cast<double>(i) / static_cast<double>(n - 1);
      }
    return X;
  };
  const MatrixXd fine = grid(120), coarse = grid(24);
  VectorXd landscape = energy_of(fit.model, units.apply(fine));
  landscape.array() -= landscape.minCoeff();
  MatrixXd energy_table(3, fine.cols()), score_table(4, coarse.cols());
  energy_table << fine, landscape.transpose();
  score_table << coarse, score_of(fit.model, units.apply(coarse));
  sm::write_csv(folder + "/data.csv", birds, {"bill_length_mm", "bill_depth_mm"});
  sm::write_csv(folder + "/samples.csv", samples, {"bill_length_mm", "bill_depth_mm"});
  sm::write_csv(folder + "/energy.csv", energy_table, {"bill_length_mm", "bill_depth_mm", "energy"});
  sm::write_csv(folder + "/score.csv", score_table, {"bill_length_mm", "bill_depth_mm", "score_length", "score_depth"});
  sm::save_model(folder + "/energy.model", fit.model);
  const std::string command = "gnuplot -e \"folder='" + folder + "'\" examples/quickstart.gnuplot";
  if (std::system((command + " 2> /dev/null").c_str()) == 0)
    std::printf("Picture: %s/quickstart.png\n", folder.c_str());
  else
    std::printf("No gnuplot, no picture. The data are in %s; with gnuplot installed:\n  %s\n", folder.c_str(),
                command.c_str());
  return fit.status == sm::FitStatus::used_up && draws.status == sm::SampleStatus::complete ? 0 : 1;
}
