// Effective samples of our sampler on the targets that Stan samples, one JSON line a target; see benchmarks/README.md.
//
//   benchmark_sampler_ess [TARGET …]                what benchmarks/peers/stan/run_stan.R prints, of ours
//   benchmark_sampler_ess --gradients [TARGET …]    nanoseconds of an energy with its gradient, of 64 chains side by
//   side benchmark_sampler_ess --check FOLDER            the largest differences from the log densities and gradients
//   that
//                                                   run_stan.R --check FOLDER has written
// In the environment: SEED (1), CHAINS (64). Run it in the repository's root, with OMP_NUM_THREADS=1.
#include <scorematch/diagnostics/effective_sample_size.hpp>
#include <scorematch/model/values.hpp>
#include <scorematch/sampler/hmc.hpp>
#include <scorematch/sampler/mala.hpp>
#include <scorematch/sampler/sample.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "sampling_targets.hpp"

namespace {

namespace sm = scorematch;
using Eigen::Index;

const char* const data_folder = "benchmarks/data";

Index from_environment(const char* name, Index otherwise) {
  const char* text = std::getenv(name);
  return text ? static_cast<Index>(std::atoll(text)) : otherwise;
}

/// Of processor time, as Stan takes it: other programs on the machine count less.
double seconds_now() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// What a sampler did on a target.
struct Run {
  Eigen::MatrixXd points = {};  ///< d × (chains · kept), chains fastest
  Index chains = 0;
  double seconds = 0;    ///< after the warm-up
  double gradients = 0;  ///< of all chains, after the warm-up
  double warmup_seconds = 0, warmup_gradients = 0;
};

/// The sampler that is compared with Stan: the library's one call, whose warm-up is timed apart.
template <class Model>
Run sample_ours(const Model& model, Index chains, std::uint64_t seed) {
  Run run{.chains = chains};
  constexpr Index steps = 1000;
  const double began = seconds_now();
  const auto warm = sm::sample(model, {.chains = chains, .steps = 1, .seed = seed});
  const double warmed = seconds_now();
  const auto draws = sm::sample(model, sm::hmc{.step = warm.step, .leapfrogs = warm.leapfrogs},
                                {.chains = chains,
                                 .steps = steps,
                                 .thin = 1,
                                 .seed = seed,
                                 .start = warm.state,
                                 .first_step = warm.next_step,
                                 .metric = warm.metric});
  run.seconds = seconds_now() - warmed;
  run.warmup_seconds = warmed - began;
  run.gradients = static_cast<double>(draws.evaluations);
  run.warmup_gradients = static_cast<double>(warm.evaluations);
  run.points = draws.points;
  std::fprintf(stderr, "step %.3g, %ld leapfrogs, %s metric, acceptance %.2f, %s", draws.step,
               static_cast<long>(draws.leapfrogs), warm.metric.text().c_str(), draws.acceptance.mean(),
               draws.text().c_str());
  return run;
}

/// Draws × chains of one coordinate.
Eigen::MatrixXd coordinate(const Run& run, Index j) {
  const Index kept = run.points.cols() / run.chains;
  const Eigen::VectorXd row = run.points.row(j);
  return Eigen::Map<const Eigen::MatrixXd>(row.data(), run.chains, kept).transpose();
}

void print_numbers(const char* name, const Eigen::VectorXd& numbers, const char* end) {
  std::printf("\"%s\":[", name);
  for (Index j = 0; j < numbers.size(); ++j) std::printf("%s%.10g", j > 0 ? "," : "", numbers[j]);
  std::printf("]%s", end);
}

void print(const char* name, const Run& run, std::uint64_t seed) {
  const Index d = run.points.rows();
  Eigen::VectorXd bulk(d);
  for (Index j = 0; j < d; ++j) {
    bulk[j] = sm::diagnostics::ess_bulk(coordinate(run, j)).value;
    if (std::isnan(bulk[j])) bulk[j] = 0;
  }
  Index worst = 0;
  const double least = bulk.minCoeff(&worst);
  const Eigen::VectorXd mean = run.points.rowwise().mean();
  const Eigen::VectorXd sd =
      ((run.points.colwise() - mean).rowwise().squaredNorm() / static_cast<double>(run.points.cols() - 1)).cwiseSqrt();
  std::printf("{\"target\":\"%s\",\"dimension\":%td,\"sampler\":\"ours\",\"seed\":%llu,\"seconds\":%.6g,", name, d,
              static_cast<unsigned long long>(seed), run.seconds);
  std::printf("\"warmup_seconds\":%.6g,\"gradients\":%.0f,\"warmup_gradients\":%.0f,\"chains\":%td,\"draws\":%td,",
              run.warmup_seconds, run.gradients, run.warmup_gradients, run.chains, run.points.cols());
  std::printf("\"bulk_ess\":%.6g,\"worst_coordinate\":%td,", least, worst);
  print_numbers("mean", mean, ",");
  print_numbers("sd", sd, "}\n");
  std::fflush(stdout);
}

/// Of an energy with its gradient, a chain; the least of five. The kernel's own work (random numbers, acceptance) is in
/// it, as Stan's trajectories are in its figure.
template <class Model>
void time_gradients(const char* name, const Model& model, Index chains) {
  constexpr Index steps = 1000;
  double least = INFINITY;
  for (int k = 0; k < 5; ++k) {
    const double began = seconds_now();
    const auto draws = sm::sample(model, sm::mala{.step = 1e-9}, {.chains = chains, .steps = steps});
    least = std::min(least, seconds_now() - began);
    if (!draws.state.allFinite()) std::exit(1);
  }
  std::printf("{\"target\":\"%s\",\"dimension\":%td,\"chains\":%td,\"ns_a_gradient\":%.1f}\n", name, model.dimension(),
              chains, least * 1e9 / static_cast<double>(chains * steps));
}

/// Whether log density (up to a constant) and gradient agree with the file's to 1e-9 of their size.
template <class Model>
bool agrees(const char* name, const Model& model, const std::string& folder) {
  const Eigen::MatrixXd table = sm::read_csv(folder + "/" + name + ".csv");
  const Index d = model.dimension();
  const Eigen::MatrixXd X = table.topRows(d), theirs = table.bottomRows(d), ours = sm::score_of(model, X);
  const Eigen::VectorXd f = sm::energy_of(model, X), sum = f + table.row(d).transpose();
  const double density = (sum.array() - sum[0]).abs().maxCoeff(), of = table.row(d).cwiseAbs().maxCoeff();
  const double gradient = (ours - theirs).cwiseAbs().maxCoeff(), size = theirs.cwiseAbs().maxCoeff();
  std::printf("%-22s d %3td  log density: %.1e of %.3g   gradient: %.1e of %.3g\n", name, d, density, of, gradient,
              size);
  return density <= 1e-9 * (1 + of) && gradient <= 1e-9 * (1 + size);
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<std::string> words(arguments + 1, arguments + count);
  const auto take = [&words] {
    const std::string word = words.empty() ? "" : words.front();
    if (!words.empty()) words.erase(words.begin());
    return word;
  };
  const std::string mode = !words.empty() && words[0].starts_with("--") ? take() : "";
  const std::string folder = mode == "--check" ? take() : "";
  const auto seed = static_cast<std::uint64_t>(from_environment("SEED", 1));
  const Index chains = from_environment("CHAINS", 64);
  std::size_t found = 0;
  bool agree = true;
  targets::for_each(data_folder, [&](const char* name, const auto& model) {
    if (!words.empty() && std::find(words.begin(), words.end(), name) == words.end()) return;
    ++found;
    if (mode == "--list")
      std::printf("%s\n", name);
    else if (mode == "--check")
      agree = agrees(name, model, folder) && agree;
    else if (mode == "--gradients")
      time_gradients(name, model, chains);
    else
      print(name, sample_ours(model, chains, seed), seed);
  });
  if (found < words.size()) std::fprintf(stderr, "sampler_ess: there is no such target; --list prints them\n");
  return agree && found >= words.size() ? 0 : 1;
}
