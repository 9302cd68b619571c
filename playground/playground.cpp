// The interface of the playground's pages to the library: functions of C, which JavaScript calls.
//
// Functions that may fail return the library's sentence, "" where all is well. Points and values pass through the array
// that `numbers` returns: points x₀ y₀ x₁ y₁ …; what is computed of them is written over them, from the beginning.
#include "denoiser.hpp"
#include "energy_fit.hpp"
#include "interface.hpp"
#include "scorematch/version.hpp"

namespace {

using namespace playground;

EnergyFit fit;
Chains chains;
Denoiser denoiser;
Walk walk;
std::string told;  // a result's text

void share(const MatrixXd& points) { shared_points(static_cast<int>(points.cols())) = points; }

void share(const Eigen::VectorXd& values) {
  for (Eigen::Index i = 0; i < values.size(); ++i) shared_numbers[static_cast<std::size_t>(i)] = values[i];
}

}  // namespace

extern "C" {

EMSCRIPTEN_KEEPALIVE double* numbers(int count) {
  if (count > 0 && shared_numbers.size() < static_cast<std::size_t>(count))
    shared_numbers.resize(static_cast<std::size_t>(count));
  return shared_numbers.data();
}

EMSCRIPTEN_KEEPALIVE const char* version() {
  static const std::string text =
      sm::detail::text(SCOREMATCH_VERSION_MAJOR, '.', SCOREMATCH_VERSION_MINOR, '.', SCOREMATCH_VERSION_PATCH);
  return text.c_str();
}

// --- the first page ---

/// Begins a fit to the first `points` points that are shared.
EMSCRIPTEN_KEEPALIVE const char* fit_begin(int points, int energy, int components, int loss, double sigma,
                                           int projections, int adam, int steps, double learning_rate, int seed) {
  return sentence_of([&] {
    fit.begin(shared_points(points), {.energy = energy,
                                      .components = components,
                                      .loss = loss,
                                      .sigma = sigma,
                                      .projections = projections,
                                      .adam = adam != 0,
                                      .steps = steps,
                                      .learning_rate = learning_rate,
                                      .seed = static_cast<std::uint64_t>(seed)});
  });
}

EMSCRIPTEN_KEEPALIVE const char* fit_advance(int most, double milliseconds) {
  return sentence_of([&] { fit.advance(most, milliseconds); });
}
EMSCRIPTEN_KEEPALIVE int fit_running() { return fit.running() ? 1 : 0; }
EMSCRIPTEN_KEEPALIVE double fit_iterations() { return static_cast<double>(fit.iterations()); }
EMSCRIPTEN_KEEPALIVE double fit_loss() { return fit.loss(); }
EMSCRIPTEN_KEEPALIVE double fit_standard_error() { return fit.standard_error(); }
EMSCRIPTEN_KEEPALIVE const char* fit_text() { return fit.text().c_str(); }

/// f at the shared points: `count` numbers.
EMSCRIPTEN_KEEPALIVE const char* energies(int count) {
  return sentence_of([&] { share(sm::energy_of(fit.model(), MatrixXd(shared_points(count)))); });
}

/// s at the shared points: `count` vectors.
EMSCRIPTEN_KEEPALIVE const char* scores(int count) {
  return sentence_of([&] { share(sm::score_of(fit.model(), MatrixXd(shared_points(count)))); });
}

EMSCRIPTEN_KEEPALIVE const char* chains_begin(int count, int seed) {
  return sentence_of([&] {
    chains.begin(count, static_cast<std::uint64_t>(seed));
    share(chains.state());
  });
}

/// Some steps more, after which the states are shared. `chains_text` is then the library's verdict on these steps, with
/// what speaks against them.
EMSCRIPTEN_KEEPALIVE const char* chains_advance(int steps, double step) {
  return sentence_of([&] {
    told = chains.advance(fit.model(), steps, step).text();
    share(chains.state());
  });
}
EMSCRIPTEN_KEEPALIVE const char* chains_text() { return told.c_str(); }

// --- the second page ---

EMSCRIPTEN_KEEPALIVE const char* training_begin(int points, int width, int steps, double learning_rate, int seed) {
  return sentence_of(
      [&] { denoiser.begin(shared_points(points), width, steps, learning_rate, static_cast<std::uint64_t>(seed)); });
}
EMSCRIPTEN_KEEPALIVE const char* training_advance(int most, double milliseconds) {
  return sentence_of([&] { denoiser.advance(most, milliseconds); });
}
EMSCRIPTEN_KEEPALIVE int training_running() { return denoiser.running() ? 1 : 0; }
EMSCRIPTEN_KEEPALIVE double training_steps() { return static_cast<double>(denoiser.steps()); }
EMSCRIPTEN_KEEPALIVE double training_loss() { return denoiser.loss(); }
EMSCRIPTEN_KEEPALIVE const char* training_text() { return denoiser.text().c_str(); }

/// s(x, σ) at the shared points: `count` vectors.
EMSCRIPTEN_KEEPALIVE const char* scores_at(double sigma, int count) {
  return sentence_of(
      [&] { share(sm::score_of(sm::at_sigma(denoiser.model(), sigma), MatrixXd(shared_points(count)))); });
}

EMSCRIPTEN_KEEPALIVE const char* walk_begin(int sampler, int levels, double sigma_max, double sigma_min, int count,
                                            int seed) {
  return sentence_of([&] {
    walk.begin(sampler, levels, sigma_max, sigma_min, count, static_cast<std::uint64_t>(seed));
    share(walk.points());
  });
}

/// One step; the particles are then shared.
EMSCRIPTEN_KEEPALIVE const char* walk_advance() {
  return sentence_of([&] {
    walk.advance(denoiser.model());
    share(walk.points());
  });
}
EMSCRIPTEN_KEEPALIVE int walk_ended() { return walk.ended() ? 1 : 0; }
EMSCRIPTEN_KEEPALIVE double walk_sigma() { return walk.sigma(); }

/// How the walk ended, and whether a classifier can tell its particles from the points.
EMSCRIPTEN_KEEPALIVE const char* walk_text() {
  const char* error = sentence_of([&] {
    told = walk.text();
    told += sm::classifier_two_sample_test(walk.points(), denoiser.points()).text();
  });
  return *error != '\0' ? error : told.c_str();
}

}  // extern "C"
