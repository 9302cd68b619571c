// A particle on the surface of Müller and Brown, whose basins chains seldom leave: what the status says of it, what
// parallel tempering does, and what a force costs in free energy.
//
//   muller_brown [output folder]
//
//   V(x, y) = Σ_k A_k exp(a_k (x − x_k)² + b_k (x − x_k)(y − y_k) + c_k (y − y_k)²)
//
// with the parameters of K. Müller and L. D. Brown, "Location of saddle points and minimum energy paths by a
// constrained simplex optimization procedure", Theor. Chim. Acta 53, 1979. Minima: V = −146.7 at (−0.558, 1.442),
// −108.2 at (0.623, 0.028), −80.8 at (−0.050, 0.467); the way from the first to the others leads over −40.7. At
// kT = 10 that is a barrier of 10.6 kT on one side, 6.8 kT on the other. The energy of the law is V/kT.
#include <scorematch/scorematch.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace sm = scorematch;
using Eigen::Index, Eigen::MatrixXd, Eigen::VectorXd;

constexpr double kT = 10, force = 25;  // the force pulls along x, towards the second basin

// (V − force x)/kT
auto particle(double pull) {
  return sm::energy_model(2, [pull](auto p, auto) {
    const double A[] = {-200, -100, -170, 15}, a[] = {-1, -1, -6.5, 0.7}, b[] = {0, 0, 11, 0.6},
                 c[] = {-10, -10, -6.5, 0.7}, centre_x[] = {1, 0, -0.5, -1}, centre_y[] = {0, 0.5, 1.5, 1};
    const auto term = [&](int k) {
      auto x = p[0] - centre_x[k], y = p[1] - centre_y[k];
      return A[k] * exp(a[k] * square(x) + b[k] * (x * y) + c[k] * square(y));
    };
    return (term(0) + term(1) + term(2) + term(3) - pull * p[0]) / kT;
  });
}

// The share of the first basin, beyond the saddle at (−0.82, 0.62): above the line through it, y = 1 + 0.5 x.
double in_first_basin(const VectorXd& p) { return p[1] > 1 + 0.5 * p[0] ? 1 : 0; }

// What quadrature, exact to ten digits here, says of that share.
double true_share(const auto& model) {
  sm::QuadratureNodes nodes;
  const auto log_z = sm::log_partition(model, sm::quadrature{}, &nodes);
  double share = 0;
  for (Index k = 0; k < nodes.points.cols(); ++k) share += nodes.probabilities[k] * in_first_basin(nodes.points.col(k));
  std::printf("%-18s log Z by quadrature %.6f ± %.1e (%s)\n", "", log_z.value, log_z.error, to_string(log_z.status));
  return share;
}

void report(const char* name, const sm::Draws<double>& draws) {
  const auto share = sm::diagnostics::expectation({draws.points, draws.chains}, in_first_basin);
  std::printf("%-18s %-14s R-hat %.3f, in the first basin %s", name, to_string(draws.status), draws.r_hat,
              share.text().c_str());
  if (!draws.evidence.empty()) std::printf("  %s\n", draws.evidence.c_str());
}

// How many independent draws a work's mean is worth.
double effective(const sm::Draws<double>& draws, const auto& from, const auto& to) {
  const VectorXd work = energy_of(to, draws.points) - energy_of(from, draws.points);
  const auto mean =
      sm::diagnostics::expectation({work.transpose(), draws.chains}, [](const VectorXd& w) { return w[0]; });
  return std::min(mean.ess, static_cast<double>(work.size()));
}

// Draws of both for the picture, and V on a grid.
void write_picture(const std::string& folder, const MatrixXd& stays, const MatrixXd& crosses) {
  constexpr Index n = 160;
  MatrixXd grid(3, n * n);
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < n; ++j) {
      grid(0, i * n + j) = -1.6 + 2.9 * static_cast<double>(j) / (n - 1);
      grid(1, i * n + j) = -0.5 + 2.6 * static_cast<double>(i) / (n - 1);
    }
  grid.row(2) = kT * energy_of(particle(0), grid.topRows(2)).transpose();
  std::FILE* file = std::fopen((folder + "/potential.dat").c_str(), "w");  // rows of the grid, apart by empty lines
  for (Index k = 0; file != nullptr && k < grid.cols(); ++k)
    std::fprintf(file, "%s%.6g %.6g %.6g\n", k > 0 && k % n == 0 ? "\n" : "", grid(0, k), grid(1, k), grid(2, k));
  if (file != nullptr) std::fclose(file);
  sm::write_csv(folder + "/hmc.csv", stays, {"x", "y"});
  sm::write_csv(folder + "/tempering.csv", crosses, {"x", "y"});
  const std::string command = "gnuplot -e \"folder='" + folder + "'\" examples/muller_brown.gnuplot";
  if (std::system((command + " 2> /dev/null").c_str()) == 0)
    std::printf("Picture: %s/muller_brown.png\n", folder.c_str());
  else
    std::printf("No gnuplot, no picture. The data are in %s; with gnuplot installed:\n  %s\n", folder.c_str(),
                command.c_str());
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "muller_brown_output";
  std::filesystem::create_directories(folder);
  const auto unforced = particle(0), pulled = particle(force);

  const sm::SampleOptions run{.chains = 64, .steps = 2000, .warm_up = 400, .thin = 4, .seed = 1};
  const sm::parallel_tempering<> tempering{.temperatures = 6, .hottest = 10};  // up to kT = 100
  const auto stays = sm::sample(unforced, run);
  const auto a = sm::sample(unforced, tempering, run), b = sm::sample(pulled, tempering, run);

  std::printf("%-18s in the first basin %.4f\n", "truth, no force", true_share(unforced));
  report("hmc", stays);
  report("parallel tempering", a);
  std::printf("%-18s in the first basin %.4f\n", "truth, pulled", true_share(pulled));
  report("parallel tempering", b);

  // −log(Z_b/Z_a): what the force does to the free energy, from the draws of both and by quadrature.
  const auto difference = sm::free_energy_difference(
      unforced, a.points, pulled, b.points,
      {.effective_forward = effective(a, unforced, pulled), .effective_backward = effective(b, pulled, unforced)});
  const auto z_a = sm::log_partition(unforced, sm::quadrature{}), z_b = sm::log_partition(pulled, sm::quadrature{});
  const double exact = z_a.value - z_b.value;
  std::printf("\n%s", difference.text().c_str());
  std::printf("by quadrature %.6f ± %.1e kT; the estimate is %.2f standard errors away\n", exact, z_a.error + z_b.error,
              std::abs(difference.value - exact) / difference.standard_error);

  write_picture(folder, stays.points.leftCols(4096), a.points.leftCols(4096));
  return stays.status == sm::SampleStatus::not_converged && a.status == sm::SampleStatus::complete &&
                 b.status == sm::SampleStatus::complete && difference.status == sm::BennettStatus::estimated
             ? 0
             : 1;
}
