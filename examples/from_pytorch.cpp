// Trained in PyTorch, used in C++: an energy of two moons whose network examples/from_pytorch.py trained, given to the
// same network as a formula. Energies, scores and Laplacians are those that PyTorch computes; log Z, a density and
// draws are what it lacks.
//
// The formula names its layers as PyTorch does: dense(x, theta, "network.0", 32) is nn.Linear(2, 32) of that name.
#include <scorematch/scorematch.hpp>

#include <cmath>
#include <cstdio>

namespace sm = scorematch;
using Eigen::MatrixXd, Eigen::VectorXd;

// The largest difference of two sets of numbers.
double apart(const MatrixXd& a, const MatrixXd& b) { return (a - b).cwiseAbs().maxCoeff(); }

int main() {
  auto energy = sm::energy_model(2, [](auto x, auto theta) {
    auto h = tanh(sm::dense(x, theta, "network.0", 32));
    h = tanh(sm::dense(h, theta, "network.2", 32));
    return sm::dense(h, theta, "network.4", 1) + 0.125 * squared_norm(x);
  });
  sm::load_model("examples/data/two_moons_torch.safetensors", energy);

  // NumPy's (N, 2) arrays are 2 × N matrices here, one column per sample.
  const sm::Tensors torch = sm::read_npz("examples/data/two_moons_torch.npz");
  const MatrixXd points = torch.at("points").samples();
  const double energies = apart(sm::energy_of(energy, points), torch.at("energy").matrix()),
               scores = apart(sm::score_of(energy, points), torch.at("score").samples()),
               laplacians = apart(-sm::trace_of(energy, points), torch.at("laplacian").matrix());
  std::printf("%td points, largest differences from PyTorch: energy %.0e, score %.0e, Laplacian %.0e\n", points.cols(),
              energies, scores, laplacians);

  const auto log_z = sm::log_partition(energy);
  const MatrixXd moons = sm::read_csv("examples/data/two_moons_2d.csv");
  std::printf("log Z %.3f ± %.0e (%s); %.3f nats for each of the %td moons' points\n", log_z.value, log_z.error,
              to_string(log_z.status), sm::log_likelihood(energy, moons, log_z).mean, moons.cols());
  // The moons are far apart: replicas at higher temperatures carry chains over.
  const auto draws = sm::sample(energy, sm::parallel_tempering<>{.temperatures = 4, .hottest = 10},
                                {.chains = 32, .steps = 400, .warm_up = 200, .thin = 1, .seed = 1});
  const VectorXd spread = (draws.points.colwise() - draws.points.rowwise().mean()).rowwise().norm() /
                          std::sqrt(static_cast<double>(draws.points.cols()));
  std::printf("%td draws: %s, deviations %.2f and %.2f\n", draws.points.cols(), to_string(draws.status), spread[0],
              spread[1]);
  return energies < 1e-6 && scores < 1e-6 && laplacians < 1e-6 ? 0 : 1;
}
