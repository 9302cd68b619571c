// Performance contracts that need no clock: nothing is allocated once buffers have their size, and memory does not grow
// with the number of samples. The C library's allocator is wrapped to count; the sanitizers' own cannot be.
#include "catch.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)  // clang's way to say __SANITIZE_ADDRESS__
#define SCOREMATCH_SANITIZED
#endif
#endif

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(SCOREMATCH_SANITIZED)

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include "folder.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/fit/train.hpp"
#include "scorematch/io/mapped_npy.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/random/stream.hpp"
#include "scorematch/sampler/annealed_langevin.hpp"
#include "scorematch/sampler/barker.hpp"
#include "scorematch/sampler/dpm_solver.hpp"
#include "scorematch/sampler/generate.hpp"
#include "scorematch/sampler/heun.hpp"
#include "scorematch/sampler/hmc.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/parallel_tempering.hpp"
#include "scorematch/sampler/probability_flow.hpp"
#include "scorematch/sampler/reverse_sde.hpp"
#include "scorematch/sampler/sample.hpp"
#include "scorematch/sampler/underdamped_langevin.hpp"

namespace {

std::atomic<long> allocations{0}, live_bytes{0}, peak_bytes{0};

void* counted(void* memory) {
  ++allocations;
  if (memory == nullptr) return memory;
  const long live = live_bytes += static_cast<long>(malloc_usable_size(memory));
  long peak = peak_bytes;
  while (live > peak && !peak_bytes.compare_exchange_weak(peak, live)) {
  }
  return memory;
}

void forget(void* memory) {
  if (memory != nullptr) live_bytes -= static_cast<long>(malloc_usable_size(memory));
}

}  // namespace

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

void* malloc(std::size_t size) { return counted(__libc_malloc(size)); }
void* calloc(std::size_t count, std::size_t size) { return counted(__libc_calloc(count, size)); }
void* realloc(void* memory, std::size_t size) {
  forget(memory);
  return counted(__libc_realloc(memory, size));
}
void* memalign(std::size_t alignment, std::size_t size) { return counted(__libc_memalign(alignment, size)); }
void* aligned_alloc(std::size_t alignment, std::size_t size) { return counted(__libc_memalign(alignment, size)); }
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  *memory = counted(__libc_memalign(alignment, size));
  return *memory == nullptr ? 12 : 0;  // ENOMEM
}
void free(void* memory) {
  forget(memory);
  __libc_free(memory);
}
}

namespace sm = scorematch;
using sm::Index;

namespace {

const auto mixture = [](auto x, auto theta) {
  auto a = x[0] - theta("centre0", 8);
  auto b = x[1] - theta("centre1", 8);
  return -log_sum_exp(theta("l", 8) - 0.5 * (square(a * exp(theta("p", 8))) + square(b)));
};
const auto network = [](auto x, auto theta) { return sm::mlp(x, theta, {.hidden = {16, 16}}) + 0.5 * squared_norm(x); };
const auto well = [](auto x, auto theta) {
  return theta("a", sm::start_at(1.0)) * square(square(x[0]) - 1) + square(x[1]);
};

template <class T>
sm::Matrix<T> points(Index n) {
  return sm::Stream({1, sm::extend::Purpose::user}).normals(2 * n).reshaped(2, n).template cast<T>();
}

// One thread: with several a thread may work for the first time, and make its storage, in any call.
void use_one_thread() { sm::set_threads(1); }

template <class T, class M, class O>
void check_losses(const std::string& name, const M& model, const O& objective) {
  INFO(name << (sizeof(T) == 8 ? ", double" : ", float"));
  const sm::Matrix<T> X = points<T>(3001);
  auto function = sm::objective::loss_function<T>(model, objective, X);
  sm::Loss loss;
  const Eigen::VectorXd theta = model.parameters();
  for (int warm_up = 0; warm_up < 2; ++warm_up) {
    function.bind(theta);
    function.evaluate({.draw = 1}, true, loss);
    function.evaluate({.draw = 1}, false, loss);
  }
  const long before = allocations;
  for (std::uint64_t draw = 2; draw < 5; ++draw) {
    function.bind(theta);
    function.evaluate({.draw = draw}, true, loss);
    function.evaluate({.draw = draw}, false, loss);
  }
  const long made = allocations - before;
  CHECK(made == 0);
}

template <class M, class Kernel>
long allocations_of(const M& model, const Kernel& kernel, Index steps, Index warm_up = 0) {
  const long before = allocations;
  const auto draws =
      sm::sample(model, kernel, {.chains = 300, .steps = steps, .warm_up = warm_up, .max_r_hat = 1e9, .max_bias = 1e9});
  const long made = allocations - before;
  CHECK(draws.status == sm::SampleStatus::complete);  // no verdict's words are counted
  return made;
}

template <class M, class Sampler>
long allocations_of_generate(const M& model, const Sampler& sampler) {
  const std::vector<int> labels(300, 1);
  const long before = allocations;
  const auto draws = sm::generate(model, sampler, {.count = 300, .labels = labels, .guidance = 2});
  const long made = allocations - before;
  CHECK(draws.status == sm::GenerationStatus::complete);
  return made;
}

}  // namespace

TEST_CASE("The allocator is counted") {
  const long before = allocations, bytes = live_bytes;
  const auto X = points<double>(1000);
  CHECK(allocations > before);
  CHECK(live_bytes - bytes >= 16000);
}

TEST_CASE("Losses and gradients allocate nothing after the first calls") {
  use_one_thread();
  const auto score = sm::score_model(2, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {16, 16}, .outputs = 2});
  });
  check_losses<double>("implicit, mixture", sm::energy_model(2, mixture), sm::implicit_score_matching{});
  check_losses<double>("implicit, network", sm::energy_model(2, network), sm::implicit_score_matching{});
  check_losses<float>("implicit, network", sm::energy_model(2, network), sm::implicit_score_matching{});
  check_losses<double>("implicit, score", score, sm::implicit_score_matching{});
  check_losses<double>("implicit, compiled well", sm::energy_model<2>(well), sm::implicit_score_matching{});
  check_losses<double>("implicit, compiled mixture", sm::energy_model<2>(mixture), sm::implicit_score_matching{});
  check_losses<double>("denoising, network", sm::energy_model(2, network), sm::denoising_score_matching{});
  check_losses<float>("denoising, score", score, sm::denoising_score_matching{});
  check_losses<double>("denoising, compiled well", sm::energy_model<2>(well), sm::denoising_score_matching{});
  check_losses<double>("sliced, network", sm::energy_model(2, network), sm::sliced_score_matching{});
  check_losses<double>(
      "sliced, network, sphere", sm::energy_model(2, network),
      sm::sliced_score_matching{.projections = 2, .kind = sm::Projection::sphere, .exact_norm = false});
}

TEST_CASE("Work that threads share out allocates nothing after the first time") {
  sm::set_threads(3);
  sm::evaluate::PerThread<double> states;
  const auto prepare = [](double&) {};
  std::atomic<int> begun{0}, sum{0};
  sm::evaluate::for_each_piece(3, states, prepare, [&](double&, Index) {
    for (++begun; begun < 3;) std::this_thread::yield();
  });
  const auto work = [&](double&, Index) {
    for (int i = 0; i < 1000; ++i) ++sum;
  };
  const auto reduce = [&](double&, Index) { ++sum; };
  const auto all_loops = [&] {
    sm::evaluate::for_each_piece(8, states, prepare, work);
    sm::evaluate::for_each_piece(8, states, prepare, work, reduce);
    sm::evaluate::for_each_piece(8, states, prepare, work, reduce, 10, [&](double&, Index, Index, Index) { ++sum; });
  };
  all_loops();
  const long before = allocations;
  for (int again = 0; again < 100; ++again) all_loops();
  const long made = allocations - before;
  CHECK(made == 0);
  sm::set_threads(0);
}

TEST_CASE("Sampler steps allocate nothing after the first") {
  use_one_thread();
  const auto check = [](const std::string& name, const auto& model, const auto& kernel, Index warm_up = 0) {
    INFO(name);
    (void)allocations_of(model, kernel, 300, warm_up);
    const long few = allocations_of(model, kernel, 300, warm_up), many = allocations_of(model, kernel, 900, warm_up);
    CHECK(many == few);
  };
  check("ula, mixture", sm::energy_model(2, mixture), sm::langevin{});
  check("ula, compiled mixture", sm::energy_model<2>(mixture), sm::langevin{});
  check("ula, network", sm::energy_model(2, network), sm::langevin{});
  check("mala, network", sm::energy_model(2, network), sm::mala{});
  check("mala, compiled well", sm::energy_model<2>(well), sm::mala{});
  check("hmc, mixture", sm::energy_model(2, mixture), sm::hmc{});
  check("hmc after a warm-up, mixture", sm::energy_model(2, mixture), sm::hmc{}, 60);
  check("barker, mixture", sm::energy_model(2, mixture), sm::barker{});
  check("underdamped, mixture", sm::energy_model(2, mixture), sm::adjusted_underdamped_langevin{});
  check("tempering, well", sm::energy_model<2>(well), sm::parallel_tempering<>{.temperatures = 3});
}

TEST_CASE("A training's steps allocate nothing within a pass") {
  use_one_thread();
  const Eigen::MatrixXd X = points<double>(2000);
  const auto score = sm::score_model(2, sm::classes{3}, [](auto x, auto, auto label, auto theta) {
    return sm::mlp(x + theta("shift", 2, 3) * label, theta, {.hidden = {16, 16}, .outputs = 2});
  });
  long at_step[20] = {};
  const auto training = sm::train(score, sm::denoising_score_matching{}, X,
                                  {.steps = 20,
                                   .batch = 100,
                                   .clip = 1,
                                   .labels = std::vector<int>(2000, 1),
                                   .label_dropout = 0.5,
                                   .progress = [&](const sm::Progress& p) {
                                     at_step[p.done - 1] = allocations;
                                     return true;
                                   }});
  CHECK(training.steps == 20);
  CHECK(at_step[18] == at_step[2]);
}

TEST_CASE("Steps of noise-conditional samplers allocate nothing after the first") {
  use_one_thread();
  const auto model = sm::score_model(2, sm::classes{3}, [](auto x, auto sigma, auto label, auto theta) {
    return sm::mlp(sm::concat(x, log(sigma), label), theta, {.hidden = {16}, .outputs = 2}) - x / (1 + square(sigma));
  });
  const auto check = [&]<class Sampler>(const std::string& name, Sampler sampler) {
    INFO(name);
    sampler.levels = sm::edm_levels{.sigma_max = 10, .levels = 4};
    (void)allocations_of_generate(model, sampler);
    const long few = allocations_of_generate(model, sampler);
    sampler.levels = sm::edm_levels{.sigma_max = 10, .levels = 60};
    CHECK(allocations_of_generate(model, sampler) == few);
  };
  check("annealed_langevin", sm::annealed_langevin{.steps = 2, .step = 4e-7});
  check("predictor_corrector", sm::predictor_corrector{});
  check("heun", sm::heun{.churn = 1});
  check("dpm_solver", sm::dpm_solver{});
  const auto flow = [&](double tolerance) {
    return allocations_of_generate(model, sm::probability_flow{.sigma_max = 10, .tolerance = tolerance});
  };
  (void)flow(1e-4);
  CHECK(flow(1e-3) == flow(1e-7));
}

TEST_CASE("Ten million samples add less than 16 MiB to the data") {
  const Index n = 10'000'000;
  Eigen::MatrixXd X(2, n);
  for (Index i = 0; i < X.size(); ++i) X.data()[i] = std::sin(static_cast<double>(i));
  const auto added = [&](const auto& model) {
    const long before = live_bytes;
    peak_bytes = before;
    const sm::Loss loss = sm::loss_and_gradient(model, sm::implicit_score_matching{}, X);
    CHECK(loss.samples == n);
    return peak_bytes - before;
  };
  const long recorded = added(sm::energy_model(2, well)), compiled = added(sm::energy_model<2>(well));
  CHECK(recorded < 16 * 1024 * 1024);
  CHECK(compiled < 16 * 1024 * 1024);
}

TEST_CASE("A mapped file is not copied, and its losses are those of the matrix, bit for bit") {
  const Index n = 2'000'000;
  const fixtures::Folder folder("allocations");
  Eigen::MatrixXd X(2, n);
  for (Index i = 0; i < X.size(); ++i) X.data()[i] = std::sin(static_cast<double>(i));
  sm::write_npy(folder("a.npy"), X);
  const auto check = [&](const auto& model) {
    const sm::Loss own = sm::loss_and_gradient(model, sm::implicit_score_matching{}, X);
    const long before = live_bytes;
    peak_bytes = before;
    const auto mapped = sm::map_npy(folder("a.npy"));
    const sm::Loss loss = sm::loss_and_gradient(model, sm::implicit_score_matching{}, mapped);
    CHECK(peak_bytes - before < 16 * 1024 * 1024);  // half of the file
    CHECK(loss.value == own.value);
    CHECK(loss.gradient == own.gradient);
  };
  check(sm::energy_model(2, well));
  check(sm::energy_model<2>(well));
}

#endif
