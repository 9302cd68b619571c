// A transition kernel that moves chains at one noise level of a noise-conditional model.
#pragma once

#include <concepts>
#include <limits>
#include <memory>

#include "scorematch/check.hpp"
#include "scorematch/sampler/noise_conditional.hpp"
#include "scorematch/sampler/transition_kernel.hpp"

namespace scorematch {

namespace sampling {

/// The law of a noise level σ in the coordinates y = x/σ: its score is σ s(σ y, σ).
template <class T>
class LevelTarget final : public extend::Target<T> {
 public:
  /// X and S are scratch, B × d.
  LevelTarget(extend::NoiseConditionalTarget<T>& target, extend::NoisyChains<T>& chains, double sigma, Matrix<T>& X,
              Matrix<T>& S)
      : target_(&target), chains_(&chains), sigma_(sigma), X_(X), S_(S) {}

  const Matrix<T>& score(Matrix<T>& Y) override {
    extend::combine<T>(X_, {{sigma_, Y}});
    target_->score(*chains_, X_, sigma_, S_);
    S_ *= static_cast<T>(sigma_);
    return S_;
  }
  void energy_and_score(Matrix<T>&, Vector<T>&, Matrix<T>&) override {
    extend::require(false, {"predictor_corrector: the model has a score alone, and the corrector asks for its energy"});
  }

 private:
  extend::NoiseConditionalTarget<T>* target_;
  extend::NoisyChains<T>* chains_;
  double sigma_;
  Matrix<T>&X_, &S_;
};

}  // namespace sampling

/// A transition kernel for the law of each noise level in units of its σ: langevin, underdamped_langevin, or an
/// unadjusted one of your own (a Metropolis kernel would need the energy, which noise-conditional models do not have).
class Corrector {
 public:
  /// None.
  Corrector() = default;
  /// Any unadjusted kernel.
  template <class Kernel>
  requires(!std::same_as<Kernel, Corrector> && extend::TransitionKernel<Kernel, double> &&
           extend::TransitionKernel<Kernel, float>) Corrector(const Kernel& kernel)
      : in_double_(std::make_shared<sampling::BoundKernel<double>>(kernel)),
        in_float_(std::make_shared<sampling::BoundKernel<float>>(kernel)) {
    static_assert(
        !Kernel::adjusted,
        "a corrector is an unadjusted kernel (langevin, underdamped_langevin): a Metropolis kernel accepts by "
        "the energy, and a noise-conditional model has a score alone");
  }

  /// Whether there is one.
  bool given() const { return in_double_ != nullptr; }
  /// The kernel, in the arithmetic T.
  template <class T>
  const sampling::BoundKernel<T>& kernel() const {
    if constexpr (std::is_same_v<T, float>)
      return *in_float_;
    else
      return *in_double_;
  }

 private:
  std::shared_ptr<const sampling::BoundKernel<double>> in_double_;
  std::shared_ptr<const sampling::BoundKernel<float>> in_float_;
};

}  // namespace scorematch
