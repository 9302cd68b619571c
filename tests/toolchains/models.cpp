// A toolchain's models: a formula fitted, sampled, saved and loaded; a training stopped and resumed. As numbers.cpp,
// for scripts/toolchains.sh.
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "scorematch/fit/fit.hpp"
#include "scorematch/fit/train.hpp"
#include "scorematch/io/parameters.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/random/normal.hpp"
#include "scorematch/sampler/generate.hpp"
#include "scorematch/sampler/heun.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/sample.hpp"

#include "check.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

MatrixXd data() {
  MatrixXd rows(300, 2);
  sm::extend::fill_normals<double>({11, sm::extend::Purpose::user}, sm::extend::Ids::from(0), 300, 0, 2, rows.data(),
                                   300);
  MatrixXd X = rows.transpose();
  X.row(0) = 2 * X.row(0).array() + 40;
  X.row(1) = 0.5 * X.row(1).array() - 3;
  return X;
}

auto gaussian() {
  return sm::energy_model(2, [](auto x, auto theta) {
    return 0.5 * squared_norm(exp(theta("log_inverse_width", 2)) * (x - theta("centre", 2)));
  });
}

// The minimum is known: the samples' mean and deviation.
void fit_and_sample() {
  const MatrixXd X = data();
  const VectorXd mean = X.rowwise().mean();
  const VectorXd deviation = (X.colwise() - mean).rowwise().norm() / std::sqrt(300.0);
  const auto fit = sm::fit(gaussian(), sm::implicit_score_matching{}, X);
  check(fit.status == sm::FitStatus::converged, std::string("the fit is ") + to_string(fit.status));
  const VectorXd centre = fit.model.parameter("centre");
  const VectorXd width = (-MatrixXd(fit.model.parameter("log_inverse_width")).array()).exp();
  check((centre - mean).norm() < 1e-5 && (width - deviation).norm() < 1e-5, "the fit is not at its minimum");

  const auto draws = sm::sample(fit.model, sm::mala{.step = 0.3}, {.chains = 400, .steps = 1500, .seed = 1});
  check(draws.status == sm::SampleStatus::complete, std::string("the draws are ") + to_string(draws.status));
  const VectorXd middle = draws.points.rowwise().mean();  // six standard errors; chains start within reach
  check(std::abs(middle[1] - mean[1]) < 6 * deviation[1] / 20, "the draws are not the model's");

  sm::save_model("toolchain.model", fit.model);
  auto loaded = gaussian();
  sm::load_model("toolchain.model", loaded);
  check(loaded.parameters() == fit.model.parameters(), "a model does not load as it was saved");
  std::remove("toolchain.model");

  MatrixXd bad = X;
  bad(1, 7) = std::nan("");
  bool refused = false;
  try {
    (void)sm::fit(gaussian(), sm::implicit_score_matching{}, bad);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  check(refused, "data with NaN are not refused");
}

void train_in_two_parts() {
  const char* const path = "toolchain.checkpoint";
  std::remove(path);
  const MatrixXd X = data();
  const sm::denoising_score_matching loss{.sigma = 0.5, .seed = 2};
  sm::TrainOptions options{.steps = 20, .batch = 50, .seed = 4};
  const auto whole = sm::train(gaussian(), loss, X, options);
  options.checkpoint = path;
  options.checkpoint_every = 0;
  options.progress = [](const sm::Progress& p) { return p.done < 9; };
  (void)sm::train(gaussian(), loss, X, options);
  options.progress = {};
  const auto rest = sm::train(gaussian(), loss, X, options);
  check(rest.resumed_at >= 8 && rest.model.parameters() == whole.model.parameters(),
        "a training that was resumed ends elsewhere");
  std::remove(path);
}

// N(0, 4 I) blurred by σz, whose score is known. (Counts have bounds beyond what an Index of 32 bits holds.)
void generate_samples() {
  const auto model =
      sm::energy_model(2, [](auto x, auto sigma, auto) { return 0.5 * squared_norm(x) / (4 + square(sigma)); });
  const auto drawn = sm::generate(model, sm::heun{.levels = sm::edm_levels{.sigma_max = 20, .levels = 20}},
                                  {.count = 2000, .seed = 3, .data_variance = 4});
  check(drawn.status == sm::GenerationStatus::complete, std::string("the samples are ") + to_string(drawn.status));
  const double variance = drawn.points.squaredNorm() / 4000;  // six standard errors of 4 √(2/4000), and Heun's error
  check(std::abs(variance - 4) < 0.6, sm::detail::text("the samples' variance is ", variance, ", not 4"));
}

}  // namespace

int main() {
  fit_and_sample();
  generate_samples();
  train_in_two_parts();
  if (failures == 0) std::puts("models: right");
  return failures == 0 ? 0 : 1;
}
