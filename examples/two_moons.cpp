// From noise to data: a score model of two moons learned at many noise levels at once, and what the levels are good
// for.
//
//   two_moons [output folder]
//
// 1. A network s_θ(x, σ) learns the score of the data at every noise level between 8 and 0.05. Samples go down the
//    ladder; the picture shows them on the way. The probability flow gives the network's density, to compare with the
//    true one.
// 2. Why a ladder: on two modes far apart plain Langevin keeps the shares that it started with, annealed Langevin finds
//    nearly the right ones (the toy of Song & Ermon 2019, §3.2.2, whose score is known).
#include <scorematch/scorematch.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace sm = scorematch;
using Eigen::Index, Eigen::MatrixXd;

// The first `count` levels of a ladder.
sm::Levels upper_part(const sm::Levels& ladder, Index count) {
  return std::vector<double>(ladder.sigmas().begin(), ladder.sigmas().begin() + count);
}

// The moons' own energy (examples/data/README.md) gives fresh points and their true density: how far is the network's?
void report_likelihood(const sm::ScoreModel& model) {
  const auto truth = sm::energy_model(2, [](auto x, auto) {
    auto moon = [&](double centre) { return -0.5 * square((x[0] - centre) / 0.6); };
    return 0.5 * square((norm(x) - 2) / 0.4) - log_sum_exp(sm::concat(moon(2), moon(-2)));
  });
  const auto fresh = sm::sample(truth, sm::mala{.step = 0.05}, {.chains = 500, .steps = 2000, .seed = 6});
  const auto true_density = sm::log_likelihood(truth, fresh.points, sm::log_partition(truth));
  const auto flow = sm::flow_log_likelihood(model, fresh.points, {.sigma_max = 20, .sigma_min = 0.05});
  const Eigen::VectorXd gap = true_density.per_sample - flow.per_sample;
  const double n = static_cast<double>(gap.size()), mean = gap.mean(),
               error = std::sqrt((gap.array() - mean).square().sum() / (n - 1) / n);
  std::printf("  500 fresh points, nats each: true %.3f, probability flow %.3f (%s); D(true || flow) = %.3f ± %.3f\n",
              true_density.mean, flow.mean, to_string(flow.status), mean, error);
}

void learn_and_walk_down(const std::string& folder) {
  const MatrixXd moons = sm::read_csv("examples/data/two_moons_2d.csv");
  const sm::Levels ladder = sm::geometric_levels{.sigma_max = 8, .sigma_min = 0.05, .levels = 25};

  const auto network = sm::score_model(2, [](auto x, auto sigma, auto theta) {
    return sm::edm_score(x, sigma, {.sigma_data = 1.5}, [&](auto scaled, auto noise) {
      return sm::mlp(sm::concat(scaled, noise), theta,
                     {.hidden = {64, 64, 64}, .outputs = 2, .activation = sm::Activation::silu});
    });
  });
  const sm::denoising_score_matching objective{.sigma = ladder, .seed = 1, .weight = sm::Weight::sigma_squared};
  const auto training = sm::train(network, objective, moons,
                                  {.steps = 6000,
                                   .batch = 250,
                                   .learning_rate = {.peak = 3e-3, .warm_up = 200},
                                   .seed = 2,
                                   .progress = sm::progress_line()});
  std::printf("%lld points of two moons, a network of %lld parameters: %s after %lld steps\n",
              static_cast<long long>(moons.cols()), static_cast<long long>(network.parameters().size()),
              to_string(training.status), static_cast<long long>(training.steps));
  std::puts("  loss ½‖σ s + z‖² of each level; 1 = d/2 is that of the score 0");
  for (const sm::Estimate& level : sm::loss(training.model, objective, moons).levels)
    std::printf("    %-12s %6.3f ± %.3f\n", level.name.c_str(), level.value, level.standard_error);

  report_likelihood(training.model);

  // The same chains, stopped on their way down.
  sm::write_csv(folder + "/data.csv", moons, {"x1", "x2"});
  int stage = 0;
  for (const Index levels : {1, 10, 15, 20, 25}) {
    const sm::Levels above = upper_part(ladder, levels);
    const double step = 0.1 * above.smallest() * above.smallest();
    const auto drawn = sm::generate(training.model, sm::annealed_langevin{.levels = above, .steps = 40, .step = step},
                                    {.count = 1000, .seed = 3});
    const std::string name = folder + "/stage" + std::to_string(++stage) + ".csv";
    sm::write_csv(name, drawn.points, {"x1", "x2"});
    std::printf("  sigma %-6.3g %s: %s\n", above.smallest(), name.c_str(), to_string(drawn.status));
  }
}

// 0.8 N((5, 5), I) + 0.2 N((−5, −5), I), blurred by σz: its energy is a formula.
auto two_modes() {
  return sm::energy_model(2, [](auto x, auto sigma, auto) {
    const Eigen::Vector2d centre(5, 5);
    auto variance = 1 + square(sigma);
    return -log_sum_exp(sm::concat(std::log(0.8) - 0.5 * squared_norm(x - centre) / variance,
                                   std::log(0.2) - 0.5 * squared_norm(x + centre) / variance));
  });
}

double share_of_large_mode(const MatrixXd& X) {
  Index count = 0;
  for (Index i = 0; i < X.cols(); ++i) count += X(0, i) + X(1, i) > 0;
  return static_cast<double>(count) / static_cast<double>(X.cols());
}

void compare_on_two_modes(const std::string& folder) {
  constexpr Index chains = 20000;
  const auto uniform = [](sm::Stream& stream) -> Eigen::VectorXd {
    return Eigen::Vector2d(16 * stream.uniform() - 8, 16 * stream.uniform() - 8);
  };
  const auto model = two_modes();
  // Both take 1000 steps; at σ = 10⁻³ the blurred density is the density.
  const auto plain = sm::sample(sm::at_sigma(model, 1e-3), sm::langevin{.step = 0.05},
                                {.chains = chains, .steps = 1000, .seed = 4, .start = uniform});
  const auto annealed = sm::generate(
      model,
      sm::annealed_langevin{
          .levels = sm::geometric_levels{.sigma_max = 20, .sigma_min = 1, .levels = 10}, .steps = 100, .step = 0.05},
      {.count = chains, .seed = 5, .start = uniform});
  std::puts("two modes, 0.8 and 0.2 of the mass, 20000 chains from everywhere: share of the large one");
  std::printf("  Langevin           %.3f (%s)\n", share_of_large_mode(plain.points), to_string(plain.status));
  std::printf("  annealed Langevin  %.3f (%s)\n", share_of_large_mode(annealed.points), to_string(annealed.status));
  sm::write_csv(folder + "/langevin.csv", plain.points.leftCols(2000), {"x1", "x2"});
  sm::write_csv(folder + "/annealed.csv", annealed.points.leftCols(2000), {"x1", "x2"});
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "two_moons_output";
  std::filesystem::create_directories(folder);
  learn_and_walk_down(folder);
  compare_on_two_modes(folder);
  if (std::system(("gnuplot -e \"folder='" + folder + "'\" examples/two_moons.gnuplot").c_str()) == 0)
    std::printf("picture: %s/two_moons.png\n", folder.c_str());
  else
    std::printf("no picture: gnuplot is missing or failed; the data are in %s\n", folder.c_str());
}
