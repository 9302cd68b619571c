// One energy, as a formula and as user's classes with each sufficient subset of methods.
#pragma once

#include <cmath>

#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/user_model.hpp"

namespace sm = scorematch;
using sm::InputPoints;
using sm::OutputNumbers;
using sm::OutputPoints;

namespace user_models {

inline constexpr int d = 3;

// f = ¼ eᵃ Σ x_i⁴ + ½ b (Σ x_i)² + ½ ‖x‖²,  θ = (a, b)
inline sm::EnergyModel formula() {
  return sm::energy_model(d, [](auto x, auto theta) {
    return 0.25 * exp(theta("a", sm::start_at(-0.3))) * sum(pow(x, 4)) +
           0.5 * theta("b", sm::start_at(0.4)) * square(sum(x)) + 0.5 * squared_norm(x);
  });
}

// The same by hand.
struct Mathematics {
  double a = -0.3, b = 0.4;

  Eigen::VectorXd energy(InputPoints X) const {
    return (0.25 * std::exp(a) * X.array().pow(4).colwise().sum() + 0.5 * b * X.array().colwise().sum().square() +
            0.5 * X.array().square().colwise().sum())
        .transpose();
  }
  Eigen::MatrixXd gradient(InputPoints X) const {
    Eigen::MatrixXd G = std::exp(a) * X.array().cube() + X.array();
    G.rowwise() += b * X.colwise().sum();
    return G;
  }
  Eigen::VectorXd laplacian(InputPoints X) const {
    return (3 * std::exp(a) * X.array().square().colwise().sum() + d * (b + 1)).transpose();
  }
  Eigen::MatrixXd hessian_times(InputPoints X, InputPoints V) const {
    Eigen::MatrixXd HV = 3 * std::exp(a) * X.array().square() * V.array() + V.array();
    HV.rowwise() += b * V.colwise().sum();
    return HV;
  }
  Eigen::Vector2d theta_gradient(InputPoints X, InputPoints W) const {
    return {std::exp(a) * (W.array() * X.array().cube()).sum(), W.colwise().sum().dot(X.colwise().sum())};
  }
};

// What a class provides beside its gradient (or, with as_score, its score).
enum Provides : unsigned {
  least = 0,
  energy = 1,
  laplacian = 2,
  hessian_vector = 4,
  trainable = 8,
  as_score = 16,
  trace_of_slopes = 32
};

template <unsigned provided>
class Own {
  static constexpr bool has(unsigned what) { return (provided & what) != 0; }

 public:
  int dimension() const { return d; }

  void gradient(InputPoints X, OutputPoints G) const requires(!has(as_score)) { G = f_.gradient(X); }
  void score(InputPoints X, OutputPoints S) const requires(has(as_score)) { S = -f_.gradient(X); }
  void energy(InputPoints X, OutputNumbers f) const requires(has(Provides::energy)) { f = f_.energy(X); }
  void laplacian(InputPoints X, OutputNumbers L) const requires(has(Provides::laplacian)) { L = f_.laplacian(X); }
  void trace(InputPoints X, OutputNumbers D) const requires(has(Provides::trace_of_slopes)) { D = -f_.laplacian(X); }
  void hessian_vector(InputPoints X, InputPoints V, OutputPoints HV) const requires(has(Provides::hessian_vector)) {
    HV = f_.hessian_times(X, V);
  }

  Eigen::VectorXd parameters() const requires(has(trainable)) { return Eigen::Vector2d(f_.a, f_.b); }
  void set_parameters(const Eigen::VectorXd& theta) requires(has(trainable)) {
    f_ = {theta[0], theta[1]};
  }
  void pull_back(InputPoints X, InputPoints W, OutputNumbers g) const requires(has(trainable)) {
    g += (has(as_score) ? -1 : 1) * f_.theta_gradient(X, W);
  }

 private:
  Mathematics f_;
};

static_assert(sm::EnergyClass<Own<least>> && !sm::extend::has_energy<Own<least>> &&
              !sm::extend::has_laplacian<Own<least>> && !sm::extend::has_score<Own<least>>);
static_assert(sm::ScoreClass<Own<as_score>> && !sm::EnergyClass<Own<as_score>> &&
              !sm::extend::has_trace<Own<as_score>>);
static_assert(sm::TrainableEnergyClass<Own<trainable>> && sm::TrainableScoreClass<Own<as_score | trainable>>);

using Complete = Own<energy | laplacian | hessian_vector | trainable>;
using CompleteScore = Own<as_score | trace_of_slopes | trainable>;

// More than two blocks of 128, the last one padded.
inline Eigen::MatrixXd points(sm::Index count = 301) {
  return sm::Stream({.seed = 11}).normals(d * count).reshaped(d, count);
}

// Provided derivatives agree to rounding, central differences of order h² to about 1e-10.
inline constexpr double exact = 1e-12, by_differences = 1e-8;

inline double relative(const Eigen::MatrixXd& a, const Eigen::MatrixXd& b) { return (a - b).norm() / b.norm(); }

}  // namespace user_models
