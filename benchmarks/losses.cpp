// Losses with their θ-gradients on the reference workloads. Items processed are samples.
#include <benchmark/benchmark.h>

#include <scorematch/objective/denoising_score_matching.hpp>
#include <scorematch/objective/implicit_score_matching.hpp>
#include <scorematch/objective/sliced_score_matching.hpp>
#include <scorematch/random/stream.hpp>

#include <string>

#include "workloads.hpp"

namespace {

namespace sm = scorematch;
using Eigen::Index;

// ½‖σ s(x + σz, σ) + z‖² with σ = exp(4u − 4), u uniform, for each sample: what a diffusion model is trained on.
struct denoising_over_levels {
  template <class T>
  struct Notes {
    sm::Matrix<T> z, u;
  };

  void validate() const {}
  bool deterministic() const { return false; }
  std::array<const char*, 1> term_names() const { return {"weighted loss"}; }

  template <class T>
  void prepare(const sm::Samples<T>& samples, sm::Points<T>& points, Notes<T>& notes) const {
    const Index B = samples.X.rows(), d = samples.X.cols();
    notes.z.resize(B, d);
    notes.u.resize(B, 1);
    sm::fill_normals<T>({0, sm::Purpose::perturbation}, samples.index.data(), B, samples.draw, d, notes.z.data(), B);
    sm::fill_uniforms<T>({0, sm::Purpose::user}, samples.index.data(), B, samples.draw, 1, notes.u.data(), B);
    points.sigma = (T(4) * notes.u.array() - T(4)).exp();
    points.X = samples.X + points.sigma.asDiagonal() * notes.z;
    points.along = sm::Along::none;
  }

  template <class T>
  void score(const sm::Samples<T>&, const sm::Points<T>& points, const Notes<T>& notes,
             const sm::ScoreValues<T>& values, sm::Losses<T>& losses) const {
    losses.bar.S = points.sigma.asDiagonal() * values.S + notes.z;
    losses.value = T(0.5) * losses.bar.S.rowwise().squaredNorm();
    losses.terms.col(0) = losses.value;
    losses.bar.S = points.sigma.asDiagonal() * losses.bar.S;
  }
};

template <class T>
sm::Matrix<T> normal_data(Index d, Index n, double scale) {
  sm::Stream stream({7, sm::Purpose::user});
  return (scale * stream.normals(d * n).reshaped(d, n)).template cast<T>();
}

// Times loss and gradient, after checking both against a difference quotient of the loss.
template <class T, class M, class O>
void run(benchmark::State& state, const M& model, const O& objective, const sm::Matrix<T>& data) {
  auto function = sm::objective::loss_function<T>(model, objective, data);
  sm::Loss loss, up, down;
  function.evaluate({}, true, loss);
  const Eigen::VectorXd theta = model.parameters(),
                        direction = Eigen::VectorXd::Ones(theta.size()) / std::sqrt(static_cast<double>(theta.size()));
  const double h = sizeof(T) == 4 ? 1e-2 : 1e-4;
  function.bound().bind(theta + h * direction);
  function.evaluate({}, false, up);
  function.bound().bind(theta - h * direction);
  function.evaluate({}, false, down);
  function.bound().bind(theta);
  const double expected = (up.value - down.value) / (2 * h), found = loss.gradient.dot(direction),
               scale = loss.gradient.norm() + std::abs(loss.value);
  if (!(std::abs(found - expected) <= (sizeof(T) == 4 ? 2e-2 : 1e-4) * scale)) {
    state.SkipWithError("the gradient is wrong");
    return;
  }
  for (auto _ : state) {
    function.evaluate({}, true, loss);
    benchmark::DoNotOptimize(loss.gradient.data());
  }
  state.SetItemsProcessed(state.iterations() * data.cols());
}

template <class T>
void add(const std::string& name, void (*body)(benchmark::State&)) {
  benchmark::RegisterBenchmark((name + (sizeof(T) == 4 ? "/f32" : "/f64")).c_str(), body)
      ->Unit(benchmark::kMicrosecond);
}

template <class T>
void add_all() {
  namespace w = workload;
  add<T>("ism_double_well_2d", [](benchmark::State& s) {
    run<T>(s, w::double_well(), sm::implicit_score_matching{}, normal_data<T>(2, 262144, 1));
  });
  add<T>("ism_mixture_2d_k8", [](benchmark::State& s) {
    run<T>(s, w::mixture(8), sm::implicit_score_matching{}, normal_data<T>(2, 65536, 2));
  });
  add<T>("ism_mlp_10_64_64", [](benchmark::State& s) {
    run<T>(s, w::mlp_energy(10, 64), sm::implicit_score_matching{}, normal_data<T>(10, 1024, 1));
  });
  add<T>("ism_mlp_64_256_256", [](benchmark::State& s) {
    run<T>(s, w::mlp_energy(64, 256), sm::implicit_score_matching{}, normal_data<T>(64, 128, 1));
  });
  add<T>("ssm_mlp_100_256_256", [](benchmark::State& s) {
    run<T>(s, w::mlp_energy(100, 256), sm::sliced_score_matching{}, normal_data<T>(100, 512, 1));
  });
  add<T>("dsm_energy_mlp_64_256_256", [](benchmark::State& s) {
    run<T>(s, w::mlp_energy(64, 256), sm::denoising_score_matching{.sigma = 0.1}, normal_data<T>(64, 512, 1));
  });
  add<T>("dsm_score_mlp_2_128x3", [](benchmark::State& s) {
    run<T>(s, w::mlp_score(2, 128, 3), denoising_over_levels{}, normal_data<T>(2, 1024, 1));
  });
  add<T>("dsm_score_mlp_784_1024x2", [](benchmark::State& s) {
    run<T>(s, w::mlp_score(784, 1024, 2), denoising_over_levels{}, normal_data<T>(784, 256, 1));
  });
}

const bool registered = [] {
  add_all<double>();
  add_all<float>();
  return true;
}();

}  // namespace
