// Losses with their θ-gradients on the reference workloads. Items processed are samples.
#include <benchmark/benchmark.h>

#include <scorematch/objective/denoising_score_matching.hpp>
#include <scorematch/objective/implicit_score_matching.hpp>
#include <scorematch/objective/sliced_score_matching.hpp>
#include <scorematch/random/normal.hpp>

#include <array>

#include "loss_rows.hpp"
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
  void prepare(const sm::extend::Samples<T>& samples, sm::extend::Points<T>& points, Notes<T>& notes) const {
    const Index B = samples.X.rows(), d = samples.X.cols();
    notes.z.resize(B, d);
    notes.u.resize(B, 1);
    sm::extend::fill_normals<T>({0, sm::extend::Purpose::perturbation}, samples.index.data(), B, samples.draw, d,
                                notes.z.data(), B);
    sm::extend::fill_uniforms<T>({0, sm::extend::Purpose::user}, samples.index.data(), B, samples.draw, 1,
                                 notes.u.data(), B);
    points.sigma = (T(4) * notes.u.array() - T(4)).exp();
    points.X = samples.X + points.sigma.asDiagonal() * notes.z;
    points.along = sm::extend::Along::none;
  }

  template <class T>
  void score(const sm::extend::Samples<T>&, const sm::extend::Points<T>& points, const Notes<T>& notes,
             const sm::extend::ScoreValues<T>& values, sm::extend::Losses<T>& losses) const {
    losses.bar.S = points.sigma.asDiagonal() * values.S + notes.z;
    losses.value = T(0.5) * losses.bar.S.rowwise().squaredNorm();
    losses.terms.col(0) = losses.value;
    losses.bar.S = points.sigma.asDiagonal() * losses.bar.S;
  }
};

template <class T>
void add_all() {
  namespace w = workload;
  w::add<T>("ism_double_well_2d", [](benchmark::State& s) {
    // x², x³, two slopes, loss, Laplacian, three sums of the gradient: 25
    w::time_loss<T>(s, w::double_well(), sm::implicit_score_matching{}, w::normal_data<T>(2, 262144, 1), {25});
  });
  w::add<T>("ism_mixture_2d_k8", [](benchmark::State& s) {
    // A component: its weight 34, exp among it; slopes and their share of score and trace 14; adjoints 23, gradient 20.
    w::time_loss<T>(s, w::mixture(8), sm::implicit_score_matching{}, w::normal_data<T>(2, 65536, 2), {8 * 91 + 10});
  });
  w::add<T>("ism_mlp_10_64_64", [](benchmark::State& s) {
    w::time_loss<T>(s, w::mlp_energy(10, 64), sm::implicit_score_matching{}, w::normal_data<T>(10, 1024, 1),
                    w::implicit_energy(10, 64));
  });
  w::add<T>("ism_mlp_64_256_256", [](benchmark::State& s) {
    w::time_loss<T>(s, w::mlp_energy(64, 256), sm::implicit_score_matching{}, w::normal_data<T>(64, 128, 1),
                    w::implicit_energy(64, 256));
  });
  w::add<T>("ssm_mlp_100_256_256", [](benchmark::State& s) {
    w::time_loss<T>(s, w::mlp_energy(100, 256), sm::sliced_score_matching{}, w::normal_data<T>(100, 512, 1),
                    w::sliced_energy(100, 256));
  });
  w::add<T>("dsm_energy_mlp_64_256_256", [](benchmark::State& s) {
    w::time_loss<T>(s, w::mlp_energy(64, 256), sm::denoising_score_matching{.sigma = 0.1},
                    w::normal_data<T>(64, 512, 1), w::denoising_energy(64, 256));
  });
  w::add<T>("dsm_score_mlp_2_128x3", [](benchmark::State& s) {
    w::time_loss<T>(s, w::mlp_score(2, 128, 3), denoising_over_levels{}, w::normal_data<T>(2, 1024, 1),
                    w::denoising_score({3, 128, 128, 128, 2}));
  });
  w::add<T>("dsm_score_mlp_784_1024x2", [](benchmark::State& s) {
    w::time_loss<T>(s, w::mlp_score(784, 1024, 2), denoising_over_levels{}, w::normal_data<T>(784, 256, 1),
                    w::denoising_score({785, 1024, 1024, 784}));
  });
}

const bool registered = [] {
  add_all<double>();
  add_all<float>();
  return true;
}();

}  // namespace
