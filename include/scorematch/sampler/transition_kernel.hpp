// The role of a transition kernel, and any kernel as a value, so that the loops over chains are compiled once a scalar.
#pragma once

#include <concepts>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/ranks/parcel.hpp"
#include "scorematch/sampler/target.hpp"

namespace scorematch {

namespace extend {

/// A transition kernel, for blocks of chains. langevin.hpp and mala.hpp are the models to follow.
///   adjusted   static: whether the steps leave the target's law exactly as it is (Metropolis); needs the energy then
///   validate   throws on options out of range
///   start      what has to be known at the present points before the first step
///   advance    one step of each chain: a pure function of target, chains and the step's noise
/// A kernel that has `step` and `temperature` is taken for Langevin's: its chains are judged by what follows, and where
/// chains.keep_score is set its step leaves the score where it began in chains.S. One may have
///   settle(target, chains)   moves default starts that its step could not leave
///   target_acceptance        static: the mean acceptance at which its `step` is best; a warm-up then finds the step,
///                            from chains.probability, which extend::metropolis writes
///   target_error()           of an unadjusted kernel: the mean squared energy error, over d, at which its `step` is
///                            right, 0 if any is; a warm-up then finds the step, from chains.squared_error
///   leapfrogs                the length of its trajectories in steps: a warm-up then finds it, too
///   learn(blocks)            learns from all blocks of chains, at the end of a part of the warm-up
///   share(parcel, chains)    before that, on several ranks: parcel(a, b, …) brings what learn looks at in a block from
///                            the rank that has it to the others (ranks/parcel.hpp)
///   keeps_score              static: chains.S is the score at chains.X after each step
/// It keeps its own state from step to step in chains.own.
template <class K, class T = double>
concept TransitionKernel = std::copyable<K> &&
    requires(const K& kernel, Target<T>& target, Chains<T>& chains, const ChainNoise& noise) {
  { K::adjusted } -> std::convertible_to<bool>;
  kernel.validate();
  kernel.start(target, chains);
  kernel.advance(target, chains, noise);
};

/// Whether chains.S is the score at chains.X after each step of a kernel.
template <class K>
inline constexpr bool keeps_score = false;
/// As the kernel says.
template <class K>
requires requires {
  { K::keeps_score } -> std::convertible_to<bool>;
}
inline constexpr bool keeps_score<K> = K::keeps_score;

/// Throws unless a kernel that `whole` gives temperatures to has none of its own.
template <class K>
void require_no_temperature(const K& kernel, const char* whole) {
  if constexpr (requires { kernel.temperature == 1.0; })
    require(kernel.temperature == 1.0, {whole, ": the kernel's own temperature is ", kernel.temperature,
                                        "; it must be 1, for the kernel is given powers of the density"});
}

}  // namespace extend

namespace detail {

/// A sentence for each thing that a class lacks to be a transition kernel.
template <class K, class T>
constexpr bool check_kernel() {
  constexpr bool has_adjusted = requires {
    { K::adjusted } -> std::convertible_to<bool>;
  };
  constexpr bool has_validate = requires(const K& kernel) { kernel.validate(); };
  constexpr bool has_start = requires(const K& kernel, extend::Target<T>& target, extend::Chains<T>& chains) {
    kernel.start(target, chains);
  };
  constexpr bool has_advance =
      requires(const K& kernel, extend::Target<T>& target, extend::Chains<T>& chains, const extend::ChainNoise& noise) {
    kernel.advance(target, chains, noise);
  };
  static_assert(has_adjusted,
                "sample takes a transition kernel, langevin, mala or your own, which says  static constexpr bool "
                "adjusted,  whether it accepts by the energy; samplers that go down noise levels (heun, …) belong to "
                "generate");
  if constexpr (has_adjusted) {
    static_assert(has_validate, "a transition kernel must provide  void validate() const");
    static_assert(has_start,
                  "a transition kernel must provide  void start(sm::extend::Target<T>& target, sm::extend::Chains<T>& "
                  "chains) const");
    static_assert(
        has_advance,
        "a transition kernel must provide  void advance(sm::extend::Target<T>& target, sm::extend::Chains<T>& chains, "
        "const sm::extend::ChainNoise& noise) const");
  }
  return extend::TransitionKernel<K, T>;
}

}  // namespace detail

namespace sampling {

/// Any transition kernel, as a value.
template <class T>
class BoundKernel {
 public:
  template <class K>
  requires(!std::same_as<K, BoundKernel> && extend::TransitionKernel<K, T>) explicit BoundKernel(const K& kernel)
      : held_(std::make_unique<Held<K>>(kernel)) {}
  BoundKernel(const BoundKernel& other) : held_(other.held_->copy()) {}
  BoundKernel(BoundKernel&&) = default;

  void validate() const { held_->validate(); }
  bool adjusted() const { return held_->adjusted(); }
  void start(extend::Target<T>& target, extend::Chains<T>& chains) const { held_->start(target, chains); }
  void settle(extend::Target<T>& target, extend::Chains<T>& chains) const { held_->settle(target, chains); }
  void advance(extend::Target<T>& target, extend::Chains<T>& chains, const extend::ChainNoise& noise) const {
    held_->advance(target, chains, noise);
  }

  /// Whether it has a step h and a temperature τ, as Langevin's kernels have; NaN where it has not.
  bool is_langevin() const { return held_->temperature() == held_->temperature(); }
  double step() const { return held_->step(); }
  double temperature() const { return held_->temperature(); }
  bool has_step() const { return step() == step(); }
  void set_step(double step) { held_->set_step(step); }

  /// The mean acceptance that its step is best at; NaN where it says none.
  double target_acceptance() const { return held_->target_acceptance(); }
  /// The mean squared energy error, over d, that its step is right at; 0 where it says none.
  double target_error() const { return held_->target_error(); }
  /// Leapfrogs of the longest trajectory; 0 where it has none.
  Index leapfrogs() const { return held_->leapfrogs(); }
  void set_leapfrogs(Index count) { held_->set_leapfrogs(count); }
  /// Learns from all blocks of chains, at the end of a part of the warm-up, what else the kernel has to learn.
  void learn(const std::vector<extend::Chains<T>*>& blocks) { held_->learn(blocks); }
  /// Whether it has something of its own to learn from all blocks.
  bool learns() const { return held_->learns(); }
  /// Brings what `learn` looks at in a block from one rank to the others.
  void share(scorematch::ranks::Parcel& parcel, extend::Chains<T>& chains) const { held_->share(parcel, chains); }
  bool shares_what_it_learns_from() const { return held_->shares_what_it_learns_from(); }
  /// Whether chains.S is the score at chains.X after each step.
  bool keeps_score() const { return held_->keeps_score(); }

 private:
  struct Anything {
    virtual ~Anything() = default;
    virtual std::unique_ptr<Anything> copy() const = 0;
    virtual void validate() const = 0;
    virtual bool adjusted() const = 0;
    virtual void start(extend::Target<T>&, extend::Chains<T>&) const = 0;
    virtual void settle(extend::Target<T>&, extend::Chains<T>&) const = 0;
    virtual void advance(extend::Target<T>&, extend::Chains<T>&, const extend::ChainNoise&) const = 0;
    virtual double step() const = 0;
    virtual double temperature() const = 0;
    virtual void set_step(double step) = 0;
    virtual double target_acceptance() const = 0;
    virtual double target_error() const = 0;
    virtual Index leapfrogs() const = 0;
    virtual void set_leapfrogs(Index count) = 0;
    virtual void learn(const std::vector<extend::Chains<T>*>& blocks) = 0;
    virtual bool learns() const = 0;
    virtual void share(scorematch::ranks::Parcel&, extend::Chains<T>&) const = 0;
    virtual bool shares_what_it_learns_from() const = 0;
    virtual bool keeps_score() const = 0;
  };

  // The kernel that has the step: the one that another kernel is made of.
  template <class K>
  static auto& innermost(K& kernel) {
    if constexpr (requires { kernel.kernel.validate(); })
      return innermost(kernel.kernel);
    else
      return kernel;
  }

  template <class K>
  struct Held final : Anything {
    using Inner = std::remove_cvref_t<decltype(innermost(std::declval<K&>()))>;
    static constexpr bool has_step = requires(Inner & inner) { inner.step = 1.0; };
    static constexpr bool has_leapfrogs = requires(Inner & inner) { inner.leapfrogs = Index{1}; };
    static constexpr bool langevin = requires(const K& kernel) { kernel.step, kernel.temperature; };
    static constexpr bool shares =
        requires(const K& kernel, scorematch::ranks::Parcel& parcel, extend::Chains<T>& chains) {
      kernel.share(parcel, chains);
    };
    static constexpr double none = std::numeric_limits<double>::quiet_NaN();

    explicit Held(const K& what) : kernel(what) {}
    std::unique_ptr<Anything> copy() const override { return std::make_unique<Held>(kernel); }
    void validate() const override { kernel.validate(); }
    bool adjusted() const override { return K::adjusted; }
    void start(extend::Target<T>& target, extend::Chains<T>& chains) const override { kernel.start(target, chains); }
    void settle(extend::Target<T>& target, extend::Chains<T>& chains) const override {
      if constexpr (requires { kernel.settle(target, chains); }) kernel.settle(target, chains);
    }
    void advance(extend::Target<T>& target, extend::Chains<T>& chains, const extend::ChainNoise& noise) const override {
      kernel.advance(target, chains, noise);
    }
    double step() const override {
      if constexpr (has_step)
        return innermost(kernel).step;
      else
        return none;
    }
    double temperature() const override {
      if constexpr (langevin)
        return kernel.temperature;
      else
        return none;
    }
    void set_step(double step) override {
      if constexpr (has_step) innermost(kernel).step = step;
    }
    double target_acceptance() const override {
      if constexpr (requires {
                      { Inner::target_acceptance } -> std::convertible_to<double>;
                    })
        return Inner::target_acceptance;
      else
        return none;
    }
    double target_error() const override {
      if constexpr (requires { kernel.target_error(); })
        return kernel.target_error();
      else
        return 0;
    }
    Index leapfrogs() const override {
      if constexpr (has_leapfrogs)
        return innermost(kernel).leapfrogs;
      else
        return 0;
    }
    void set_leapfrogs(Index count) override {
      if constexpr (has_leapfrogs) {
        auto& leapfrogs = innermost(kernel).leapfrogs;
        leapfrogs = static_cast<std::remove_reference_t<decltype(leapfrogs)>>(count);
      }
    }
    void learn(const std::vector<extend::Chains<T>*>& blocks) override {
      if constexpr (requires { kernel.learn(blocks); }) kernel.learn(blocks);
    }
    bool learns() const override {
      return requires(K & own, const std::vector<extend::Chains<T>*>& blocks) { own.learn(blocks); };
    }
    void share(scorematch::ranks::Parcel& parcel, extend::Chains<T>& chains) const override {
      if constexpr (shares) kernel.share(parcel, chains);
    }
    bool shares_what_it_learns_from() const override { return shares; }
    bool keeps_score() const override { return extend::keeps_score<K>; }

    K kernel;
  };

  std::unique_ptr<Anything> held_;
};

template <class T, class K>
BoundKernel<T> bound_kernel(const K& kernel) {
  return BoundKernel<T>(kernel);
}

}  // namespace sampling
}  // namespace scorematch
