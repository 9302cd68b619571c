// Samples that never are in memory all at once: written part by part, mapped, and fitted in closed form.
//
//   larger_than_memory [output folder] [samples]      1 000 000 samples by default; 100 000 000 are a file of 0.8 GB
//
// The samples are those of f(x) = x₀⁴ − 2 x₀² + x₁² − x₀ x₁ in two dimensions, so that it can be seen whether the fit
// finds these numbers. Nobody needs to know log Z. A table in a text file takes the same way: csv_to_npy writes the
// .npy file part by part.
#include <scorematch/scorematch.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>

namespace sm = scorematch;

// Given x₀, x₁ is normal with mean x₀/2 and variance ½; what remains of f is x₀⁴ − 2.25 x₀², and its least value is
// −1.265625: rejection from a uniform x₀.
void simulate(std::mt19937_64& random, Eigen::Matrix2Xf& part) {
  std::uniform_real_distribution<double> uniform(0, 1);
  std::normal_distribution<double> normal(0, std::sqrt(0.5));
  for (auto x : part.colwise()) {
    double x0, square;
    do {
      x0 = 5.2 * uniform(random) - 2.6;
      square = x0 * x0;
    } while (std::log(uniform(random)) > -1.265625 + square * (2.25 - square));
    x = Eigen::Vector2d(x0, x0 / 2 + normal(random)).cast<float>();
  }
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "larger_than_memory_output", path = folder + "/samples.npy";
  const long samples = argc > 2 ? std::atol(argv[2]) : 1000000;
  std::filesystem::create_directories(folder);
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };

  std::mt19937_64 random(1);
  sm::NpyWriter<float> file(path, 2);
  Eigen::Matrix2Xf part(2, 100000);
  while (file.samples() < samples) {
    part.resize(Eigen::NoChange, std::min<long>(100000, samples - file.samples()));
    simulate(random, part);
    file.append(part);
  }
  file.finish();
  std::printf("%.1f MB written after %.0f s\n", static_cast<double>(std::filesystem::file_size(path)) / 1e6, seconds());

  const auto X = sm::map_npy<float>(path);
  const auto energy = sm::energy_model(2, [](auto x, auto theta) {
    return theta("quartic") * square(square(x[0])) + dot(theta("squares", 2), square(x)) +
           theta("product") * x[0] * x[1] + dot(theta("linear", 2), x);
  });
  const sm::implicit_score_matching objective;
  const auto fit = sm::closed_form(energy, objective, X);
  std::printf("closed form: %s after %.0f s\n\n", sm::to_string(fit.status), seconds());
  const auto errors = sm::standard_errors(fit, objective, X);
  std::printf("%s\nafter %.0f s; the samples are those of quartic 1, squares −2 and 1, product −1, linear 0\n",
              errors.text().c_str(), seconds());
  return fit.status == sm::ClosedFormStatus::solved ? EXIT_SUCCESS : EXIT_FAILURE;
}
