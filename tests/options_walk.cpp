// Every number of every options struct, one at a time, at values that nobody means: 0, -1, NaN, ±∞, the largest and the
// smallest of its type. The call returns, or throws std::invalid_argument that names the member; it neither ends by a
// signal nor goes on for ever. A negative count and a NaN are never taken.
#include "catch.hpp"

#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include <unistd.h>

#include "scorematch/scorematch.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using sm::Index;

namespace {

// --- the walk ---

/// A number of an options struct.
struct Number {
  std::string name;
  std::string said;  ///< what a message about it must name
  double meant = 0;  ///< a value below 0 that stands for something
  std::variant<double*, Index*, int*, std::uint64_t*, char*> place;
};

template <class N>
std::vector<N> hostile_numbers() {
  using Limits = std::numeric_limits<N>;
  if constexpr (std::is_floating_point_v<N>) {
    constexpr N infinity = Limits::infinity();
    return {0, -1, Limits::quiet_NaN(), infinity, -infinity, 0x1p62, 1e308, -1e308, 1e-308, 5e-324};
  } else {
    std::vector<N> all = {0, static_cast<N>(-1), Limits::max(), Limits::min()};
    if constexpr (sizeof(N) == 8) all.push_back(N{1} << 62);
    return all;
  }
}

/// Whether no option may have this value: a count below 0, NaN.
template <class N>
bool is_nonsense(N value) {
  if constexpr (std::is_floating_point_v<N>)
    return std::isnan(value);
  else
    return value < N{};
}

/// While it lives, a call that ends by a signal, or takes longer than half a minute, says which it was.
class Watch {
 public:
  Watch() {
    for (std::size_t i = 0; i < std::size(signals); ++i) before_[i] = std::signal(signals[i], tell);
  }
  ~Watch() {
    ::alarm(0);
    for (std::size_t i = 0; i < std::size(signals); ++i) (void)std::signal(signals[i], before_[i]);
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  void begin(const std::string& call) {
    std::snprintf(call_, sizeof call_, "options_walk: signal in %s\n", call.c_str());
    ::alarm(30);
  }

 private:
  static constexpr int signals[] = {SIGALRM, SIGSEGV, SIGFPE, SIGABRT};

  static void tell(int signal) {
    const auto written = ::write(2, call_, std::strlen(call_));
    (void)written;
    (void)std::signal(signal, SIG_DFL);
    (void)std::raise(signal);
  }

  static inline char call_[200] = "";
  void (*before_[std::size(signals)])(int) = {};
};

/// Makes one call, and checks how it ends. `nonsense`: it must not return.
void attempt(const std::string& call, const std::string& said, bool nonsense, const std::function<void()>& f) {
  INFO(call);
  try {
    f();
    CHECK_FALSE(nonsense);
  } catch (const std::invalid_argument& error) {
    CHECK_THAT(error.what(), Catch::Matchers::ContainsSubstring(said));
  } catch (const std::exception& error) {
    INFO(error.what());
    CHECK(false);  // of another kind
  }
}

/// Calls f as all is, which must be good, and with each number at each hostile value.
void walk_numbers(const std::string& name, const std::vector<Number>& numbers, const std::function<void()>& f) {
  Watch watch;
  watch.begin(name);
  CHECK_NOTHROW(f());
  for (const Number& number : numbers)
    std::visit(
        [&](auto* place) {
          const auto before = *place;
          for (const auto value : hostile_numbers<std::remove_cvref_t<decltype(*place)>>()) {
            const std::string call = name + ": " + number.name + " = " + sm::detail::text(value);
            *place = value;
            watch.begin(call);
            attempt(call, number.said, is_nonsense(value) && static_cast<double>(value) != number.meant, f);
          }
          *place = before;
        },
        number.place);
}

template <class Options>
struct Member {
  const char* name;
  std::variant<double Options::*, Index Options::*, int Options::*, std::uint64_t Options::*, char Options::*> place;
  const char* said = name;
  double meant = 0;
};

/// The walk through these members of `base`, which f makes a call with.
template <class Options>
void walk(const std::string& name, const Options& base, std::initializer_list<Member<Options>> members,
          const std::type_identity_t<std::function<void(const Options&)>>& f) {
  Options options = base;
  std::vector<Number> numbers;
  for (const Member<Options>& member : members) {
    numbers.push_back({member.name, member.said, member.meant, {}});
    std::visit([&](auto place) { numbers.back().place = &(options.*place); }, member.place);
  }
  walk_numbers(name, numbers, [&] { f(Options(options)); });  // a copy: progress callbacks count
}

// --- what the calls are made on ---

sm::ProgressCallback stop_soon() {
  return [calls = 0](const sm::Progress&) mutable { return ++calls < 20; };
}

MatrixXd normals(Index dimension, Index count, std::uint64_t seed = 0) {
  return sm::Stream({.seed = seed}).normals(dimension * count).reshaped(dimension, count);
}

const MatrixXd data = normals(2, 40), other = normals(2, 40, 1);
const std::vector<int> classes(40, 1);

const sm::EnergyModel energy = sm::gaussian(2);

/// The score of N(θ, I) blurred by σ, θ by the class.
const sm::ScoreModel noisy = sm::score_model(2, sm::classes{2}, [](auto x, auto sigma, auto label, auto theta) {
  return (theta("centres", 2, 2) * label + theta("offset", 2) - x) / (1.0 + square(sigma));
});

const sm::Generator generator =
    sm::generator(2, 2, [](auto z, auto theta) { return theta("m", 2) + exp(theta("s", 2)) * z; });

const sm::FitOptions few_steps{.method = sm::FitMethod::adam, .iterations = 3, .batch = 10, .progress = stop_soon()};

template <class Sampler>
void draw(const Sampler& sampler) {
  (void)sm::generate(noisy, sampler, {.count = 4, .labels = {0, 1, 0, 1}, .progress = stop_soon()});
}

template <class Sampler>
void walk_noisy(const std::string& name, const Sampler& base, std::initializer_list<Member<Sampler>> members) {
  walk(name, base, members, draw<Sampler>);
}

}  // namespace

// --- fits and trainings ---

TEST_CASE("FitOptions") {
  using O = sm::FitOptions;
  const std::initializer_list<Member<O>> members = {{"iterations", &O::iterations},
                                                    {"tolerance", &O::tolerance},
                                                    {"memory", &O::memory},
                                                    {"batch", &O::batch},
                                                    {"learning_rate", &O::learning_rate},
                                                    {"seed", &O::seed},
                                                    {"check_every", &O::check_every},
                                                    {"patience", &O::patience}};
  const auto fit = [](const O& o) { (void)sm::fit(energy, sm::denoising_score_matching{.sigma = 0.5}, data, o); };
  O options{.method = sm::FitMethod::lbfgs, .iterations = 5, .progress = stop_soon(), .held_out = other};
  walk("lbfgs FitOptions", options, members, fit);
  options.method = sm::FitMethod::adam;
  walk("adam FitOptions", options, members, fit);
}

TEST_CASE("TrainOptions, LearningRate") {
  using O = sm::TrainOptions;
  const auto train = [](const O& o) {
    (void)sm::train(noisy, sm::denoising_score_matching{.sigma = sm::geometric_levels{.levels = 3}}, data, o);
  };
  const O base{.steps = 5,
               .batch = 10,
               .clip = 1,
               .labels = classes,
               .label_dropout = 0.1,
               .held_out = other,
               .held_out_labels = classes,
               .progress = stop_soon()};
  walk("TrainOptions", base,
       {{"steps", &O::steps},
        {"batch", &O::batch},
        {"clip", &O::clip},
        {"average", &O::average},
        {"label_dropout", &O::label_dropout},
        {"check_every", &O::check_every},
        {"patience", &O::patience},
        {"checkpoint_every", &O::checkpoint_every},
        {"seed", &O::seed}},
       train);
  using R = sm::LearningRate;
  for (const sm::Decay decay : {sm::Decay::cosine, sm::Decay::constant, sm::Decay::inverse_square_root})
    walk(std::string("LearningRate ") + to_string(decay), R{.warm_up = 2, .decay = decay},
         {{"peak", &R::peak}, {"warm_up", &R::warm_up}, {"final", &R::final}}, [&](const R& rate) {
           O options = base;
           options.learning_rate = rate;
           train(options);
         });
}

TEST_CASE("LossOptions, ClosedFormOptions, StandardErrorOptions") {
  using L = sm::LossOptions;
  walk("LossOptions", L{}, {{"draw", &L::draw}, {"block", &L::block}},
       [](const L& o) { (void)sm::loss_and_gradient(energy, sm::denoising_score_matching{.sigma = 0.5}, data, o); });
  using C = sm::ClosedFormOptions;
  const sm::EnergyModel natural = sm::natural_gaussian(2);
  walk("ClosedFormOptions", C{}, {{"ridge", &C::ridge}},
       [&](const C& o) { (void)sm::closed_form(natural, sm::implicit_score_matching{}, data, o); });
  using S = sm::StandardErrorOptions;
  walk("StandardErrorOptions", S{}, {{"level", &S::level}, {"draws", &S::draws}}, [](const S& o) {
    (void)sm::standard_errors(energy, sm::denoising_score_matching{.sigma = 0.5, .frozen = true}, data, o);
  });
}

TEST_CASE("Objectives") {
  using D = sm::denoising_score_matching;
  walk("denoising_score_matching", D{.sigma = 0.5, .weight = sm::Weight::edm},
       {{"seed", &D::seed}, {"sigma_data", &D::sigma_data}},
       [](const D& o) { (void)sm::loss_and_gradient(energy, o, data); });
  struct Sigma {
    double sigma = 0.5;
  };
  walk("denoising_score_matching", Sigma{}, {{"sigma", &Sigma::sigma}},
       [](const Sigma& o) { (void)sm::loss_and_gradient(energy, D{.sigma = o.sigma}, data); });
  using S = sm::sliced_score_matching;
  for (const sm::Projection kind : {sm::Projection::rademacher, sm::Projection::gaussian, sm::Projection::sphere})
    walk("sliced_score_matching", S{.kind = kind}, {{"projections", &S::projections}, {"seed", &S::seed}},
         [](const S& o) { (void)sm::loss_and_gradient(energy, o, data); });
  using R = sm::regularised_score_matching;
  walk("regularised_score_matching", R{}, {{"lambda", &R::lambda}},
       [](const R& o) { (void)sm::loss_and_gradient(energy, o, data); });
  using P = sm::Perturbation;
  walk("Perturbation", P{.sigma = 0.3}, {{"sigma", &P::sigma}, {"seed", &P::seed}}, [](const P& o) {
    (void)sm::loss_and_gradient(energy, sm::perturbed{sm::implicit_score_matching{}, o}, data);
  });
}

// --- noise levels ---

namespace {

template <class Policy>
void walk_levels(const std::string& name, const Policy& base, std::initializer_list<Member<Policy>> members) {
  walk(name, base, members, [](const Policy& policy) { draw(sm::heun{.levels = policy}); });
}

template <class Law>
void walk_law(const std::string& name, const Law& base, std::initializer_list<Member<Law>> members) {
  for (const sm::Weight weight : {sm::Weight::sigma_squared, sm::Weight::likelihood, sm::Weight::edm})
    walk(name, base, members, [&](const Law& law) {
      (void)sm::loss_and_gradient(noisy, sm::denoising_score_matching{.sigma = law, .weight = weight}, data,
                                  {.labels = classes});
    });
}

}  // namespace

TEST_CASE("Noise levels") {
  using G = sm::geometric_levels;
  walk_levels<G>("geometric", {.levels = 4},
                 {{"sigma_max", &G::sigma_max}, {"sigma_min", &G::sigma_min}, {"levels", &G::levels}});
  using L = sm::linear_levels;
  walk_levels<L>("linear", {.levels = 4},
                 {{"sigma_max", &L::sigma_max}, {"sigma_min", &L::sigma_min}, {"levels", &L::levels}});
  using E = sm::edm_levels;
  walk_levels<E>(
      "edm", {.levels = 4},
      {{"sigma_max", &E::sigma_max}, {"sigma_min", &E::sigma_min}, {"rho", &E::rho}, {"levels", &E::levels}});
  using V = sm::variance_preserving_levels;
  walk_levels<V>(
      "variance_preserving", {.levels = 4},
      {{"beta_min", &V::beta_min}, {"beta_max", &V::beta_max}, {"epsilon", &V::epsilon}, {"levels", &V::levels}});
  using C = sm::cosine_levels;
  walk_levels<C>("cosine", {.levels = 4},
                 {{"offset", &C::offset}, {"t_max", &C::t_max}, {"t_min", &C::t_min}, {"levels", &C::levels}});
}

TEST_CASE("Laws of the noise level") {
  using U = sm::log_uniform_sigma;
  walk_law<U>("log_uniform", {}, {{"sigma_max", &U::sigma_max}, {"sigma_min", &U::sigma_min, "sigma"}});
  using N = sm::log_normal_sigma;
  walk_law<N>("log_normal", {}, {{"mean", &N::mean, "sigma"}, {"deviation", &N::deviation, "sigma"}});
}

// --- samplers ---

TEST_CASE("SampleOptions, langevin, mala") {
  using O = sm::SampleOptions;
  const std::initializer_list<Member<O>> members = {{"chains", &O::chains},   {"steps", &O::steps},
                                                    {"burn_in", &O::burn_in}, {"thin", &O::thin},
                                                    {"seed", &O::seed},       {"first_step", &O::first_step}};
  const O base{.chains = 4, .steps = 20, .burn_in = 5, .thin = 4, .progress = stop_soon()};
  walk("langevin SampleOptions", base, members,
       [](const O& o) { (void)sm::sample(energy, sm::langevin{.step = 0.1}, o); });
  walk("mala SampleOptions", base, members, [](const O& o) { (void)sm::sample(energy, sm::mala{.step = 0.1}, o); });
  using L = sm::langevin;
  walk("langevin", L{}, {{"step", &L::step}, {"temperature", &L::temperature}},
       [&](const L& kernel) { (void)sm::sample(energy, kernel, base); });
  using M = sm::mala;
  walk("mala", M{}, {{"step", &M::step}, {"temperature", &M::temperature}},
       [&](const M& kernel) { (void)sm::sample(energy, kernel, base); });
}

TEST_CASE("SampleOptions: the warm-up, the metric, and when chains agree") {
  using O = sm::SampleOptions;
  const std::initializer_list<Member<O>> members = {
      {"warm_up", &O::warm_up, "warm_up", O::automatic}, {"max_r_hat", &O::max_r_hat}, {"max_bias", &O::max_bias}};
  const O base{.chains = 4, .steps = 20, .warm_up = 20, .progress = stop_soon()};
  walk("mala SampleOptions", base, members, [](const O& o) { (void)sm::sample(energy, sm::mala{.step = 0.1}, o); });
  walk("SampleOptions alone", base, members, [](const O& o) { (void)sm::sample(energy, o); });
  struct Deviations {
    double first = 1, second = 0.5;
  };
  walk("Metric::diagonal", Deviations{},
       {{"first", &Deviations::first, "deviation 0"}, {"second", &Deviations::second, "deviation 1"}},
       [&](const Deviations& deviations) {
         O o = base;
         o.metric = sm::Metric::diagonal(Eigen::Vector2d(deviations.first, deviations.second));
         (void)sm::sample(energy, sm::langevin{.step = 0.1}, o);
       });
  using Form = sm::Metric::Form;
  for (const Form form : {Form::identity, Form::diagonal, Form::low_rank, Form::dense}) {
    O o = base;
    o.metric_form = form;
    CHECK_NOTHROW(sm::sample(energy, sm::mala{.step = 0.1}, o));
  }
}

TEST_CASE("Runs that would take for ever are stopped by their progress callback") {
  const auto stop = [](const sm::Progress&) { return false; };
  Watch watch;
  watch.begin("sample, of 2^39 steps");
  CHECK(sm::sample(energy, sm::langevin{}, {.chains = 4, .steps = Index{1} << 39, .progress = stop}).status ==
        sm::SampleStatus::stopped);
  watch.begin("generate, of 2^38 steps");
  const sm::annealed_langevin sampler{.levels = {1.0, 0.1}, .steps = Index{1} << 37, .step = 1e-4};
  CHECK(sm::generate(noisy, sampler, {.count = 4, .labels = {0, 1, 0, 1}, .progress = stop}).status ==
        sm::GenerationStatus::stopped);
}

TEST_CASE("GenerateOptions") {
  using O = sm::GenerateOptions;
  const std::initializer_list<Member<O>> members = {{"count", &O::count},
                                                    {"seed", &O::seed},
                                                    {"guidance", &O::guidance},
                                                    {"data_variance", &O::data_variance},
                                                    {"resampling", &O::resampling}};
  const O base{.count = 40, .labels = classes, .known = data, .progress = stop_soon()};
  const sm::edm_levels levels{.levels = 4};
  walk("heun GenerateOptions", base, members, [&](const O& o) { (void)sm::generate(noisy, sm::heun{levels}, o); });
  walk("reverse_sde GenerateOptions", base, members,
       [&](const O& o) { (void)sm::generate(noisy, sm::reverse_sde{levels}, o); });
}

// euler, rk4 and dpm_solver have levels alone, which are walked above.
TEST_CASE("Samplers of noise-conditional models") {
  const sm::Levels levels = sm::edm_levels{.levels = 4};
  using A = sm::annealed_langevin;
  walk_noisy<A>("annealed_langevin", {.levels = levels, .steps = 3},
                {{"steps", &A::steps}, {"step", &A::step}, {"temperature", &A::temperature}});
  using R = sm::reverse_sde;
  walk_noisy<R>("reverse_sde", {.levels = levels}, {{"temperature", &R::temperature}});
  using C = sm::predictor_corrector;
  walk_noisy<C>("predictor_corrector", {.levels = levels},
                {{"corrector_steps", &C::corrector_steps},
                 {"signal_to_noise", &C::signal_to_noise},
                 {"temperature", &C::temperature}});
  using H = sm::heun;
  walk_noisy<H>("heun", {.levels = levels, .churn = 1},
                {{"churn", &H::churn},
                 {"churn_min", &H::churn_min},
                 {"churn_max", &H::churn_max},
                 {"churn_noise", &H::churn_noise}});
  using P = sm::probability_flow;
  walk_noisy<P>("probability_flow", {.most_steps = 100},
                {{"sigma_max", &P::sigma_max},
                 {"sigma_min", &P::sigma_min},
                 {"tolerance", &P::tolerance},
                 {"most_steps", &P::most_steps}});
}

// --- likelihoods ---

TEST_CASE("FlowLikelihoodOptions") {
  using O = sm::FlowLikelihoodOptions;
  for (const sm::FlowTrace trace : {sm::FlowTrace::exact, sm::FlowTrace::hutchinson})
    walk("FlowLikelihoodOptions",
         O{.sigma_max = 10,
           .sigma_min = 0.1,
           .trace = trace,
           .labels = classes,
           .most_steps = 100,
           .progress = stop_soon()},
         {{"sigma_max", &O::sigma_max},
          {"sigma_min", &O::sigma_min},
          {"data_variance", &O::data_variance},
          {"tolerance", &O::tolerance},
          {"projections", &O::projections},
          {"seed", &O::seed},
          {"guidance", &O::guidance},
          {"most_steps", &O::most_steps}},
         [](const O& o) { (void)sm::flow_log_likelihood(noisy, data, o); });
}

TEST_CASE("The normaliser") {
  using Q = sm::quadrature;
  walk("quadrature", Q{.progress = stop_soon()},
       {{"tolerance", &Q::tolerance}, {"most_evaluations", &Q::most_evaluations}},
       [](const Q& o) { (void)sm::log_partition(energy, o); });
  using I = sm::importance_sampling;
  walk("importance_sampling", I{.samples = 200, .rounds = 1},
       {{"samples", &I::samples},
        {"degrees", &I::degrees},
        {"rounds", &I::rounds},
        {"most_modes", &I::most_modes},
        {"seed", &I::seed}},
       [](const I& o) { (void)sm::log_partition(energy, o); });
  using A = sm::annealed_importance_sampling<>;
  for (const bool adapt : {false, true})
    walk("annealed_importance_sampling", A{.chains = 20, .temperatures = 20, .adapt = adapt, .progress = stop_soon()},
         {{"chains", &A::chains}, {"temperatures", &A::temperatures}, {"seed", &A::seed}},
         [](const A& o) { (void)sm::log_partition(energy, o); });
  using M = sm::mala;
  walk("annealed_importance_sampling kernel", M{}, {{"step", &M::step}, {"temperature", &M::temperature}},
       [](const M& kernel) {
         (void)sm::log_partition(
             energy, A{.chains = 20, .temperatures = 20, .kernel = kernel, .adapt = false, .progress = stop_soon()});
       });
}

TEST_CASE("Fits by the likelihood") {
  using Q = sm::quadrature;
  walk("maximum_likelihood", Q{.tolerance = 1e-6, .progress = stop_soon()},
       {{"tolerance", &Q::tolerance}, {"most_evaluations", &Q::most_evaluations}}, [](const Q& o) {
         (void)sm::fit(energy, sm::maximum_likelihood{o}, data, {.iterations = 2, .progress = stop_soon()});
       });
  using N = sm::noise_contrastive_estimation;
  walk("noise_contrastive_estimation", N{.noise_per_sample = 2},
       {{"noise_per_sample", &N::noise_per_sample}, {"spread", &N::spread}, {"seed", &N::seed}},
       [](const N& o) { (void)sm::fit(energy, o, data, {.iterations = 5, .progress = stop_soon()}); });
  using C = sm::contrastive_divergence<>;
  walk("contrastive_divergence", C{}, {{"steps", &C::steps}, {"seed", &C::seed}},
       [](const C& o) { (void)sm::fit(energy, o, data, few_steps); });
  using P = sm::persistent_contrastive_divergence<>;
  walk("persistent_contrastive_divergence", P{.chains = 8, .steps = 2},
       {{"chains", &P::chains}, {"steps", &P::steps}, {"seed", &P::seed}},
       [](const P& o) { (void)sm::fit(energy, o, data, few_steps); });
  using O = sm::FitOptions;
  using L = sm::langevin;
  walk("contrastive_divergence kernel", L{}, {{"step", &L::step}, {"temperature", &L::temperature}},
       [](const L& kernel) {
         (void)sm::fit(energy, C{.kernel = kernel}, data, few_steps);
         (void)sm::fit(energy, P{.kernel = kernel, .chains = 8, .steps = 2}, data, few_steps);
       });
  const std::initializer_list<Member<O>> members = {
      {"iterations", &O::iterations}, {"batch", &O::batch}, {"learning_rate", &O::learning_rate}, {"seed", &O::seed}};
  walk("contrastive_divergence FitOptions", few_steps, members,
       [](const O& o) { (void)sm::fit(energy, C{}, data, o); });
  walk("persistent_contrastive_divergence FitOptions", few_steps, members,
       [](const O& o) { (void)sm::fit(energy, P{.chains = 8, .steps = 2}, data, o); });
}

TEST_CASE("Generators: reverse_kl, and how many draws") {
  using O = sm::reverse_kl;
  const O base{.iterations = 3, .batch = 32, .score_steps = 2, .first_score_steps = 2, .progress = stop_soon()};
  walk("reverse_kl", base,
       {{"iterations", &O::iterations}, {"batch", &O::batch}, {"learning_rate", &O::learning_rate}, {"seed", &O::seed}},
       [](const O& o) { (void)sm::fit(generator, o, energy); });
  const sm::ScoreModel score = sm::score_model(2, [](auto x, auto theta) { return theta("m", 2) - x; });
  walk("reverse_kl with a score that is learned", base,
       {{"iterations", &O::iterations},
        {"batch", &O::batch},
        {"learning_rate", &O::learning_rate},
        {"seed", &O::seed},
        {"sigma", &O::sigma},
        {"score_steps", &O::score_steps},
        {"first_score_steps", &O::first_score_steps},
        {"score_learning_rate", &O::score_learning_rate}},
       [&](const O& o) { (void)sm::fit(generator, o, energy, score); });
  struct Draws {
    Index samples = 64, count = 4;
  };
  walk("reverse_kl_gradient, generate", Draws{}, {{"samples", &Draws::samples}, {"count", &Draws::count}},
       [](const Draws& draws) {
         (void)sm::reverse_kl_gradient(generator, energy, draws.samples);
         (void)sm::generate(generator, draws.count);
       });
}

// --- comparing samples, reading them ---

TEST_CASE("NearestNeighbours, TwoSampleTestOptions, SlicedWassersteinOptions") {
  using K = sm::NearestNeighbours;
  walk("NearestNeighbours", K{}, {{"neighbours", &K::neighbours}}, [](const K& o) {
    (void)sm::entropy(data, o);
    (void)sm::kl_divergence(data, other, o);
  });
  using T = sm::TwoSampleTestOptions;
  walk("TwoSampleTestOptions", T{.classifier = sm::Classifier::logistic}, {{"ridge", &T::ridge}, {"seed", &T::seed}},
       [](const T& o) { (void)sm::classifier_two_sample_test(data, other, o); });
  using S = sm::SlicedWassersteinOptions;
  walk("SlicedWassersteinOptions", S{.projections = 10}, {{"projections", &S::projections}, {"seed", &S::seed}},
       [](const S& o) { (void)sm::sliced_wasserstein(data, other, o); });
}

TEST_CASE("CsvOptions") {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("options_walk." + std::to_string(::getpid()))).string();
  std::ofstream(path) << "a,b\n1,2.5\n3,4\n";
  using O = sm::CsvOptions;
  walk("CsvOptions", O{.separator = ','}, {{"separator", &O::separator}, {"decimal", &O::decimal}},
       [&](const O& o) { (void)sm::read_csv(path, {}, o); });
  std::filesystem::remove(path);
}

// --- ready energies and networks ---

namespace {

/// Makes an energy, and looks at its score.
template <class Options>
auto seen(sm::EnergyModel (*ready)(Index, const Options&)) {
  return [ready](const Options& options) { (void)sm::score_of(ready(2, options), data); };
}

}  // namespace

TEST_CASE("Ready energies") {
  using M = sm::GaussianMixtureOptions;
  walk("GaussianMixture", M{}, {{"components", &M::components}, {"spread", &M::spread}, {"seed", &M::seed}},
       seen<M>(sm::gaussian_mixture));
  using T = sm::StudentTOptions;
  walk("StudentT", T{}, {{"degrees", &T::degrees}}, seen<T>(sm::student_t));
  using R = sm::RingOptions;
  walk("Ring", R{}, {{"radius", &R::radius}, {"width", &R::width}}, seen<R>(sm::ring));
  using B = sm::BananaOptions;
  walk("Banana", B{}, {{"along", &B::along}, {"across", &B::across}, {"bend", &B::bend}}, seen<B>(sm::banana));
  using D = sm::DoubleWellOptions;
  walk("DoubleWell", D{}, {{"height", &D::height}, {"width", &D::width}, {"stiffness", &D::stiffness}},
       seen<D>(sm::double_well));
  using H = sm::GaussianBernoulliRbmOptions;
  walk("GaussianBernoulliRbm", H{}, {{"hidden", &H::hidden}, {"sigma", &H::sigma}, {"seed", &H::seed}},
       seen<H>(sm::gaussian_bernoulli_rbm));
  struct Entry {
    double mean = 0, precision = 1, offset = 0;
  };
  walk("Gaussian, NaturalGaussian", Entry{},
       {{"mean", &Entry::mean}, {"precision", &Entry::precision}, {"offset", &Entry::offset}}, [](const Entry& entry) {
         const sm::GaussianOptions options{.mean = VectorXd::Constant(2, entry.mean),
                                           .precision = entry.precision * MatrixXd::Identity(2, 2)};
         (void)sm::score_of(sm::gaussian(2, options), data);
         (void)sm::score_of(sm::natural_gaussian(2, {options, VectorXd::Constant(2, entry.offset)}), data);
       });
}

TEST_CASE("Networks") {
  using M = sm::MlpOptions;
  const auto outputs = [](const M& o) {
    (void)sm::score_of(sm::energy_model(2, [&](auto x, auto theta) { return sum(sm::mlp(x, theta, o)); }), data);
  };
  walk("Mlp", M{.hidden = {4}}, {{"outputs", &M::outputs}, {"seed", &M::seed}}, outputs);
  struct Layer {
    int hidden = 4;
  };
  walk("Mlp of one layer", Layer{}, {{"hidden", &Layer::hidden}},
       [&](const Layer& layer) { outputs({.hidden = {layer.hidden}}); });
  walk("MlpEnergy", M{.hidden = {4}}, {{"seed", &M::seed}}, [](const M& o) {
    (void)sm::score_of(sm::energy_model(2, [&](auto x, auto theta) { return sm::mlp_energy(x, theta, o); }), data);
  });
  using R = sm::ResidualNetworkOptions;
  walk("ResidualNetwork", R{.width = 4, .blocks = 1, .outputs = 2},
       {{"width", &R::width}, {"blocks", &R::blocks}, {"outputs", &R::outputs}, {"seed", &R::seed}}, [](const R& o) {
         (void)sm::score_of(
             sm::energy_model(2, [&](auto x, auto theta) { return sum(sm::residual_network(x, x, theta, o)); }), data);
       });
  using F = sm::Frequencies;
  walk("Frequencies", F{}, {{"count", &F::count}, {"slowest", &F::slowest}, {"fastest", &F::fastest}}, [](const F& o) {
    (void)sm::score_of(sm::energy_model(2, [&](auto x, auto) { return sum(sm::fourier_features(x[0], o)); }), data);
  });
  using P = sm::PreconditioningOptions;
  walk("Preconditioning", P{}, {{"sigma_data", &P::sigma_data}}, [](const P& o) {
    const sm::ScoreModel model = sm::score_model(2, [&](auto x, auto sigma, auto theta) {
      return sm::edm_score(x, sigma, o, [&](auto scaled, auto) { return theta("a") * scaled; });
    });
    (void)sm::score_of(sm::at_sigma(model, 0.3), data);
  });
}
