// The same draws, samples, closed forms and standard errors on any number of ranks; threads stand in for processes.
#include "catch.hpp"

#include <functional>
#include <string>
#include <vector>

#include "fixtures.hpp"
#include "ranks.hpp"
#include "scorematch/density/gaussian_density.hpp"
#include "scorematch/diagnostics/kernel_stein.hpp"
#include "scorematch/energy/ready.hpp"
#include "scorematch/inference/closed_form.hpp"
#include "scorematch/inference/standard_errors.hpp"
#include "scorematch/likelihood/contrastive_divergence.hpp"
#include "scorematch/likelihood/noise_contrastive_estimation.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/noise/levels.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/partition/annealed_importance_sampling.hpp"
#include "scorematch/partition/importance_sampling.hpp"
#include "scorematch/partition/quadrature.hpp"
#include "scorematch/ranks/thread_ranks.hpp"
#include "scorematch/sampler/annealed_langevin.hpp"
#include "scorematch/sampler/generate.hpp"
#include "scorematch/sampler/heun.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/parallel_tempering.hpp"
#include "scorematch/sampler/probability_flow.hpp"
#include "scorematch/sampler/sample.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using on_ranks::Bits;
using on_ranks::columns_of;
using on_ranks::require_same_bits;
using sm::Communicator;
using sm::Index;

namespace {

template <class T>
Bits bits_of(const sm::Draws<T>& draws) {
  Bits bits;
  bits.add(draws.points).add(draws.state).add(draws.acceptance).add(draws.energies).add(draws.r_hat).add(draws.step);
  for (const Index number :
       {draws.chains, draws.kept, draws.divergent, draws.non_finite, draws.lost_chains, draws.never_moved,
        draws.came_to_rest, draws.bad_starts, draws.outside_chains, draws.drifting_chains, draws.failed_chains,
        draws.restarted, draws.leapfrogs, static_cast<Index>(draws.evaluations), static_cast<Index>(draws.next_step)})
    bits.add(static_cast<double>(number));
  return bits.add(std::string(to_string(draws.status))).add(draws.evidence);
}

sm::EnergyModel ring() {
  return sm::energy_model(2, [](auto x, auto) { return square(squared_norm(x) - 4) + 0.1 * x[0]; });
}

// A kernel that learns from all blocks, and does not say how ranks bring them together.
struct LearnsAlone : sm::mala {
  template <class T>
  void learn(const std::vector<sm::extend::Chains<T>*>&) {}
};

}  // namespace

TEST_CASE("chains tuned together have the same bits on any number of ranks") {
  require_same_bits([&](const Communicator& c) {
    return bits_of(sm::sample(ring(), {.chains = 500, .steps = 60, .warm_up = 60, .seed = 3, .communicator = c}));
  });
  const auto flat = sm::score_model(2, [](auto x, auto) { return -x; });  // no energy: unadjusted
  require_same_bits(
      [&](const Communicator& c) {
        return bits_of(sm::sample<float>(flat, {.chains = 400, .steps = 50, .warm_up = 40, .communicator = c}));
      },
      {3, 8});
}

TEST_CASE("a given kernel, its verdicts and what goes wrong have the same bits on any number of ranks") {
  const auto wall = sm::energy_model(2, [](auto x, auto) { return squared_norm(x) - log(x[0] + 1); });
  require_same_bits([&](const Communicator& c) {
    Bits bits;
    bits.add(
        bits_of(sm::sample(wall, sm::langevin{.step = 0.3}, {.chains = 300, .steps = 40, .communicator = c})).text());
    bits.add(
        bits_of(sm::sample(ring(), sm::langevin{.step = 0.4}, {.chains = 300, .steps = 40, .communicator = c})).text());
    bits.add(bits_of(sm::sample(ring(), sm::mala{.step = 0.02},
                                {.chains = 450, .steps = 60, .burn_in = 7, .thin = 20, .communicator = c}))
                 .text());
    // one block: one rank works, all have the draws
    bits.add(bits_of(sm::sample(ring(), sm::mala{.step = 0.02}, {.chains = 5, .steps = 30, .communicator = c})).text());
    return bits;
  });
}

TEST_CASE("the temperatures of parallel tempering are spaced alike on any number of ranks") {
  require_same_bits(
      [&](const Communicator& c) {
        const sm::parallel_tempering<sm::mala> kernel{.temperatures = 4, .hottest = 20};
        Bits bits = bits_of(
            sm::sample(ring(), kernel, {.chains = 300, .steps = 20, .warm_up = 40, .seed = 5, .communicator = c}));
        const auto hardly_warm =
            sm::sample(ring(), kernel, {.chains = 300, .steps = 20, .warm_up = 2, .seed = 5, .communicator = c});
        return bits.add(bits_of(hardly_warm).text());
      },
      {2, 3, 5});
}

TEST_CASE("chains go on on their ranks, bit for bit, and on no others") {
  const auto first = [&](const Communicator& c) {
    return sm::sample(ring(), {.chains = 300, .steps = 20, .warm_up = 30, .communicator = c});
  };
  require_same_bits(
      [&](const Communicator& c) {
        const auto draws = first(c);
        return bits_of(sm::sample(ring(), {.steps = 25, .resume = draws.resume_point, .communicator = c}));
      },
      {2, 3});
  sm::extend::run_as_ranks(2, [&](const Communicator& c) {
    const auto draws = first(c);
    fixtures::refuses([&] { (void)sm::sample(ring(), {.steps = 25, .resume = draws.resume_point}); },
                      "resume is of a run on 2 ranks");
  });
}

TEST_CASE("what chains on several ranks cannot do is refused on all") {
  sm::extend::run_as_ranks(3, [&](const Communicator& c) {
    fixtures::refuses(
        [&] { (void)sm::sample(ring(), LearnsAlone{}, {.chains = 100, .steps = 9, .warm_up = 9, .communicator = c}); },
        "has no  share(parcel, chains)");
    fixtures::refuses([&] { (void)sm::sample(ring(), {.chains = 100 + c.rank(), .communicator = c}); },
                      "SampleOptions: chains is 100 on rank 0 and 101 on rank 1");
    fixtures::refuses(
        [&] {
          (void)sm::sample(ring(), sm::mala{.step = 0.1},
                           {.chains = 100, .start = MatrixXd::Zero(3, 100), .communicator = c});
        },
        "start");
  });
}

TEST_CASE("generated samples have the same bits on any number of ranks") {
  const auto model = sm::score_model(2, sm::classes{2}, [](auto x, auto sigma, auto label, auto theta) {
    return (theta("means", 2, 2, sm::start_normal{}) * label - x) / (1 + square(sigma));
  });
  std::vector<int> labels(330);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int>(i % 2);
  MatrixXd known = MatrixXd::Constant(2, 330, std::nan(""));
  known.row(1).setConstant(0.5);
  const auto bits_of = [](const auto& made) {
    return Bits()
        .add(made.points)
        .add(made.evaluations)
        .add(made.sigma)
        .add(made.step_times_slope)
        .add(static_cast<double>(made.lost_chains))
        .add(std::string(to_string(made.status)))
        .add(made.evidence)
        .text();
  };
  const sm::edm_levels levels{.sigma_max = 10, .levels = 12};
  require_same_bits([&](const Communicator& c) {
    Bits bits;
    bits.add(
        bits_of(sm::generate(model, sm::heun{.levels = levels}, {.count = 330, .labels = labels, .communicator = c})));
    bits.add(bits_of(sm::generate(model, sm::annealed_langevin{.levels = levels},
                                  {.count = 330, .labels = labels, .guidance = 2, .known = known, .communicator = c})));
    sm::GenerateOptions adaptive{.count = 330, .labels = labels, .communicator = c};
    bits.add(bits_of(sm::generate(model, sm::probability_flow{.sigma_max = 10}, adaptive)));
    Index calls = 0;
    adaptive.progress = [&](const sm::Progress&) { return ++calls < 3; };
    bits.add(bits_of(sm::generate(model, sm::probability_flow{.sigma_max = 10}, adaptive)));
    return bits;
  });
}

TEST_CASE("a closed form and its standard errors have the same bits on any number of ranks") {
  const MatrixXd X = fixtures::normals(2, 2345, 14);
  const auto model = sm::energy_model(2, [](auto x, auto theta) {
    return dot(theta("a", 2), square(square(x))) + theta("b") * x[0] * x[1] + dot(theta("c", 2), square(x)) -
           dot(theta("m", 2), x);
  });
  require_same_bits([&](const Communicator& c) {
    const MatrixXd own = columns_of(c, X);
    const auto fit = sm::closed_form(model, sm::implicit_score_matching{}, own, {.communicator = c});
    Bits bits;
    bits.add(fit.model.parameters()).add(fit.A).add(fit.b).add(fit.c).add(fit.loss).add(fit.condition);
    bits.add(std::string(to_string(fit.status)));
    const auto errors = sm::standard_errors(fit, sm::implicit_score_matching{}, own, {.communicator = c});
    bits.add(errors.covariance).add(errors.curvature).add(errors.variability).add(errors.text());
    const auto noisy = sm::closed_form(model, sm::denoising_score_matching{.sigma = 0.2}, own.cast<float>().eval(),
                                       {.communicator = c});
    return bits.add(noisy.model.parameters()).add(noisy.A);
  });
  const auto mixture = sm::energy_model(2, [](auto x, auto theta) {
    return -log(exp(-squared_norm(x - theta("m", 2, sm::start_at(0.3)))) + exp(-0.5 * squared_norm(x)));
  });
  require_same_bits(
      [&](const Communicator& c) {
        const auto errors = sm::standard_errors(mixture, sm::denoising_score_matching{.sigma = 0.1}, columns_of(c, X),
                                                {.communicator = c});
        return Bits().add(errors.covariance).add(errors.text());
      },
      {2, 5});
}

TEST_CASE("log Z has the same bits on any number of ranks") {
  require_same_bits(
      [&](const Communicator& c) {
        Bits bits;
        for (const sm::LogPartition& log_z :
             {sm::log_partition(
                  ring(), sm::annealed_importance_sampling<>{.chains = 300, .temperatures = 30, .communicator = c}),
              sm::log_partition(ring(), sm::quadrature{.tolerance = 1e-6, .communicator = c}),
              sm::log_partition(ring(), sm::importance_sampling{.samples = 4000, .communicator = c})})
          bits.add(log_z.value)
              .add(log_z.error)
              .add(log_z.lower)
              .add(log_z.upper)
              .add(log_z.effective_sample_size)
              .add(static_cast<double>(log_z.evaluations))
              .add(std::string(to_string(log_z.status)))
              .add(log_z.evidence);
        return bits;
      },
      {2, 5});
}

TEST_CASE("noise contrastive estimation has the same bits on any number of ranks") {
  const MatrixXd X = 5 + 2 * fixtures::normals(2, 803, 31).array();
  const auto model = sm::gaussian(2);
  const MatrixXd noise = 5 + 3 * fixtures::normals(2, 2 * 803, 32).array();
  const sm::Density law = sm::gaussian_density(Eigen::Vector2d(5, 5), 9 * Eigen::Matrix2d::Identity());
  require_same_bits(
      [&](const Communicator& c) {
        const MatrixXd own = columns_of(c, X);
        Bits bits;
        const auto fit =
            sm::fit(model, sm::noise_contrastive_estimation{.noise_per_sample = 3}, own, {.communicator = c});
        CHECK(fit.status == sm::FitStatus::converged);
        bits.add(on_ranks::bits_of_likelihood_fit(fit).text());
        return bits.add(
            on_ranks::bits_of_likelihood_fit(
                sm::fit(model, sm::noise_contrastive_estimation{.noise_per_sample = 2, .density = law, .noise = noise},
                        own, {.communicator = c}))
                .text());
      },
      {2, 3, 5});
  sm::extend::run_as_ranks(3, [&](const Communicator& c) {
    fixtures::refuses(
        [&] {
          (void)sm::fit(model, sm::noise_contrastive_estimation{}, MatrixXd(MatrixXd::Ones(2, c.rank() == 1 ? 0 : 5)),
                        {.communicator = c});
        },
        "scorematch: noise_contrastive_estimation: the covariance of the data is singular");
    fixtures::refuses(
        [&] {
          (void)sm::fit(model, sm::noise_contrastive_estimation{.seed = c.rank() == 2 ? 1u : 0u}, columns_of(c, X),
                        {.communicator = c});
        },
        "seed is 0 on rank 0 and 1 on rank 2");
  });
}

TEST_CASE("contrastive divergence has the same bits on any number of ranks") {
  const MatrixXd X = fixtures::normals(2, 900, 33);
  const auto model = sm::gaussian(2);
  const auto same = [&](const auto& method, Index batch) {
    require_same_bits(
        [&](const Communicator& c) {
          const sm::FitOptions options{.iterations = 30, .batch = batch, .communicator = c};
          Bits bits = on_ranks::bits_of_likelihood_fit(sm::fit(model, method, columns_of(c, X), options));
          const Eigen::MatrixXf own = columns_of(c, X).template cast<float>();
          return bits.add(on_ranks::bits_of_likelihood_fit(sm::fit(model, method, own, options)).text());
        },
        {2, 3, 5});
  };
  same(sm::contrastive_divergence<sm::mala>{.kernel = {.step = 0.1}, .steps = 2}, 500);
  same(sm::contrastive_divergence<>{.kernel = {.step = 0.1}}, 50);                // few chains: on all ranks alike
  same(sm::contrastive_divergence<sm::mala>{.kernel = {.step = 1e9}}, 300);       // stuck
  same(sm::contrastive_divergence<>{.kernel = {.step = 1e9}, .steps = 50}, 300);  // diverges
  same(sm::persistent_contrastive_divergence<sm::mala>{.kernel = {.step = 0.1}, .chains = 600, .steps = 3}, 400);
  sm::extend::run_as_ranks(3, [&](const Communicator& c) {
    const auto told = [&](const auto& method, const char* expected) {
      fixtures::refuses([&] { (void)sm::fit(model, method, columns_of(c, X), {.iterations = 9, .communicator = c}); },
                        expected);
    };
    told(
        sm::persistent_contrastive_divergence<sm::mala>{.chains = 7, .start = MatrixXd::Zero(2, c.rank() == 1 ? 6 : 7)},
        "rank 1 of 3: SampleOptions: start is 2 × 6");
    told(sm::contrastive_divergence<>{.steps = 1 + c.rank()}, "steps is 1 on rank 0 and 2 on rank 1");
  });
}

TEST_CASE("the kernel Stein test and its bootstrap have the same bits on any number of ranks") {
  const MatrixXd X = fixtures::normals(2, 700, 34), S = -X;
  require_same_bits(
      [&](const Communicator& c) {
        namespace diagnostics = sm::diagnostics;
        const diagnostics::KernelSteinOptions options{.scale = diagnostics::KernelScale::median, .communicator = c};
        const auto test = diagnostics::kernel_stein_test(X, S, 70, {.kernel = options, .resamples = 99});
        const auto few = diagnostics::kernel_stein_discrepancy(X.leftCols(100), S.leftCols(100), options);
        return Bits().add(test.discrepancy.value).add(test.p_value).add(test.text()).add(few.value);
      },
      {2, 3, 5});
  sm::extend::run_as_ranks(2, [&](const Communicator& c) {
    fixtures::refuses(
        [&] { (void)sm::diagnostics::kernel_stein_discrepancy(X, (1.0 + c.rank()) * S, {.communicator = c}); },
        "the ranks of the communicator differ: the scores");
  });
}
