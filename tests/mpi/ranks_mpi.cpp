// Under mpirun: `ranks_mpi bits FOLDER` prints a digest of what every entry point that takes a communicator returns,
// from rank 0, once all ranks agree in it; `ranks_mpi train FOLDER STEPS [TOTAL]` trains so far with a checkpoint and
// prints its digest; `ranks_mpi throw` and `ranks_mpi kill` end one rank in the middle of a training.
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "../ranks_data.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/fit/train.hpp"
#include "scorematch/inference/closed_form.hpp"
#include "scorematch/inference/standard_errors.hpp"
#include "scorematch/likelihood/contrastive_divergence.hpp"
#include "scorematch/likelihood/maximum_likelihood.hpp"
#include "scorematch/likelihood/noise_contrastive_estimation.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/mpi.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/random/normal.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/parallel_tempering.hpp"
#include "scorematch/sampler/sample.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using on_ranks::Bits;
using on_ranks::columns_of;
using sm::Communicator;
using sm::Index;

namespace {

MatrixXd normals(Index d, Index n) {
  MatrixXd Z(n, d);
  sm::extend::fill_normals<double>({1, sm::extend::Purpose::user}, sm::extend::Ids::from(0), n, 0, d, Z.data(), n);
  return Z.transpose();
}

sm::EnergyModel quartic() {
  return sm::energy_model(3, [](auto x, auto theta) {
    return dot(theta("a", 3, sm::start_at(0.5)), square(x)) + theta("b", sm::start_at(0.1)) * pow(x[0], 4) -
           theta("c") * x[1] * x[2] - dot(theta("m", 3), x);
  });
}

sm::TrainOptions training(const Communicator& c) { return {.steps = 60, .batch = 150, .communicator = c}; }

// Prints it from rank 0; all ranks must have the same.
int tell(const Communicator& c, const Bits& bits) {
  const std::string& text = bits.text();
  std::uint64_t hash = 1469598103934665603u;
  for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211u;
  for (const std::uint64_t other : sm::ranks::gather(c, hash))
    if (other != hash) {
      std::printf("ranks differ\n");
      return 1;
    }
  if (c.first()) std::printf("%zu bytes, %016llx\n", text.size(), static_cast<unsigned long long>(hash));
  return 0;
}

void add_likelihoods(const Communicator& c, Bits& all) {
  const MatrixXd X = columns_of(c, normals(1, 2000));
  const auto model = sm::energy_model(1, [](auto x, auto theta) {
    return theta("a", sm::start_at(0.5)) * square(x[0] - theta("m")) + theta("b", sm::start_at(0.1)) * pow(x[0], 4);
  });
  const sm::FitOptions options{.communicator = c};
  const auto fit = sm::fit(model, sm::maximum_likelihood{}, X, options);
  all.add(on_ranks::bits_of_likelihood_fit(fit).text());
  all.add(sm::standard_errors(fit, sm::maximum_likelihood{}, X, {.communicator = c}).covariance);
  all.add(on_ranks::bits_of_likelihood_fit(sm::fit(model, sm::noise_contrastive_estimation{}, X, options)).text());
  const sm::persistent_contrastive_divergence<sm::mala> persistent{.kernel = {.step = 0.1}, .chains = 600};
  all.add(
      on_ranks::bits_of_likelihood_fit(sm::fit(model, persistent, X, {.iterations = 20, .communicator = c})).text());
  const sm::parallel_tempering<sm::mala> tempering{.temperatures = 3, .hottest = 10};
  all.add(sm::sample(model, tempering, {.chains = 400, .steps = 20, .warm_up = 30, .communicator = c}).points);
}

int bits(const Communicator& c) {
  const MatrixXd X = columns_of(c, normals(3, 2000));
  Bits all;
  all.add(sm::loss_and_gradient(quartic(), sm::implicit_score_matching{}, X, {.communicator = c}));
  const auto fit = sm::fit(quartic(), sm::implicit_score_matching{}, X, {.communicator = c});
  all.add(on_ranks::bits_of_fit(fit).text());
  all.add(on_ranks::bits_of_fit(sm::train(quartic(), sm::denoising_score_matching{}, X, training(c))).text());
  all.add(sm::sample(fit.model, {.chains = 400, .steps = 30, .warm_up = 30, .communicator = c}).points);
  const auto closed = sm::closed_form(quartic(), sm::implicit_score_matching{}, X, {.communicator = c});
  all.add(closed.model.parameters());
  all.add(sm::standard_errors(closed, sm::implicit_score_matching{}, X, {.communicator = c}).covariance);
  add_likelihoods(c, all);
  return tell(c, all);
}

int train(const Communicator& c, const std::string& folder, Index most, Index steps) {
  sm::TrainOptions options = training(c);
  options.steps = steps;
  options.checkpoint = folder + "/checkpoint";
  options.checkpoint_every = 0;
  options.progress = [&](const sm::Progress& p) { return p.done < most; };
  const auto result = sm::train(quartic(), sm::denoising_score_matching{}, columns_of(c, normals(3, 2000)), options);
  return tell(c, on_ranks::bits_of_fit(result));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "", folder = argc > 2 ? argv[2] : ".";
  const Communicator c = sm::mpi::world();
  if (what == "bits") return bits(c);
  if (what == "train") return train(c, folder, argc > 3 ? std::atol(argv[3]) : 0, argc > 4 ? std::atol(argv[4]) : 60);
  sm::TrainOptions options = training(c);
  options.steps = 1'000'000'000;
  if (what == "throw")
    options.progress = [](const sm::Progress& p) -> bool {
      return p.done < 20 ? true : throw std::runtime_error("the paper is used up");
    };
  if (what == "kill" || what == "killed_training") {
    options.checkpoint = what == "kill" ? "" : folder + "/checkpoint";
    options.checkpoint_every = 0;
    if (what != "kill") options.steps = 60;
    const Index last = argc > 3 ? std::atol(argv[3]) : 20;
    options.progress = [last](const sm::Progress& p) { return p.done < last ? true : raise(SIGKILL) == 0; };
  }
  (void)sm::train(quartic(), sm::denoising_score_matching{}, columns_of(c, normals(3, 2000)), options);
  return 0;
}
