// Parallel tempering: chains at higher temperatures carry a chain from mode to mode.
#pragma once

#include <cmath>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/ranks/parcel.hpp"
#include "scorematch/sampler/hmc.hpp"
#include "scorematch/sampler/transition_kernel.hpp"

namespace scorematch {

namespace sampling {

/// p^{1/τ} of a target in the coordinates y = x/√τ, where a normal law looks the same at every temperature.
template <class T>
class TemperedTarget final : public extend::Target<T> {
 public:
  /// X and S are scratch, B × d.
  TemperedTarget(extend::Target<T>& target, double temperature, Matrix<T>& X, Matrix<T>& S)
      : target_(&target), root_(static_cast<T>(std::sqrt(temperature))), X_(X), S_(S) {}

  const Matrix<T>& score(Matrix<T>& Y) override {
    X_.noalias() = root_ * Y;
    S_.noalias() = (1 / root_) * target_->score(X_);
    return S_;
  }
  void energy_and_score(Matrix<T>& Y, Vector<T>& f, Matrix<T>& S) override {
    X_.noalias() = root_ * Y;
    target_->energy_and_score(X_, f, S);
    f /= root_ * root_;
    S /= root_;
  }

 private:
  extend::Target<T>* target_;
  T root_;
  Matrix<T>&X_, &S_;
};

}  // namespace sampling

/// Each chain has replicas at temperatures 1 = τ_0 < τ_1 < … , of which replica k samples p^{1/τ_k} by the kernel.
/// After each step neighbours k and k + 1, of even k and of odd k in turn, change places with probability
///   min(1, exp((1/τ_k − 1/τ_{k+1})(f(x_k) − f(x_{k+1}))))
/// (Geyer 1991; Okabe et al. 2001): exact at every temperature, so that a chain at τ = 1 visits modes in their right
/// shares where the hottest replica goes freely between them. A step costs as many steps of the kernel as there are
/// temperatures. A warm-up spaces the temperatures so that all neighbours swap equally often; `hottest` stays.
template <class Kernel = hmc>
struct parallel_tempering {
  Kernel kernel = {};               ///< any Metropolis kernel
  Index temperatures = 8;           ///< 2 … 1000
  double hottest = 100;             ///< τ of the last, above 1: barriers of a few τ are no barriers
  std::vector<double> ladder = {};  ///< τ_0 = 1 … τ_last, rising; empty: 1 … hottest in equal ratios

  /// Of a TransitionKernel (sampler/transition_kernel.hpp).
  ///@{
  static constexpr bool adjusted = true;
  static constexpr bool keeps_score = extend::keeps_score<Kernel>;
  ///@}

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    static_assert(Kernel::adjusted, "parallel_tempering takes a Metropolis kernel: hmc, mala, barker or your own");
    kernel.validate();
    extend::require_no_temperature(kernel, "parallel_tempering");
    extend::require_within(temperatures, 2, 1000, "parallel_tempering: temperatures");
    extend::require(std::isfinite(hottest) && hottest > 1,
                    {"parallel_tempering: hottest is ", hottest, "; it must be a finite number above 1"});
    for (std::size_t k = 0; k < ladder.size(); ++k)
      extend::require(std::isfinite(ladder[k]) && (k == 0 ? ladder[k] == 1 : ladder[k] > ladder[k - 1]),
                      {"parallel_tempering: ladder[", k, "] is ", ladder[k],
                       "; a ladder begins with 1 and rises through finite temperatures"});
    extend::require(ladder.empty() || ladder.size() >= 2, {"parallel_tempering: ladder has one temperature"});
  }

  /// τ_k.
  double temperature(Index k) const {
    if (!ladder.empty()) return ladder[static_cast<std::size_t>(k)];
    return std::pow(hottest, static_cast<double>(k) / static_cast<double>(temperatures - 1));
  }
  /// How many temperatures there are.
  Index levels() const { return ladder.empty() ? temperatures : static_cast<Index>(ladder.size()); }

  /// Of a TransitionKernel: energies and scores of all replicas, all at the chain's state.
  template <class T>
  void start(extend::Target<T>& target, extend::Chains<T>& chains) const {
    Replicas<T>& own = chains.own.template of<Replicas<T>>();
    own.chains.resize(static_cast<std::size_t>(levels()));
    own.swaps.setZero(levels() - 1);
    own.tries = 0;
    for (Index k = 0; k < levels(); ++k) {
      extend::Chains<T>& level = own.chains[static_cast<std::size_t>(k)];
      level.X = chains.X / static_cast<T>(std::sqrt(temperature(k)));
      level.S.resize(level.X.rows(), level.X.cols());
      level.reset_counts();
      sampling::TemperedTarget<T> tempered(target, temperature(k), own.X, own.S);
      kernel.start(tempered, level);
    }
    chains.f = own.chains[0].f;
    chains.S = own.chains[0].S;
  }

  /// Of a TransitionKernel: a step of each replica, then the swaps.
  template <class T>
  void advance(extend::Target<T>& target, extend::Chains<T>& chains, const extend::ChainNoise& noise) const {
    Replicas<T>& own = chains.own.template of<Replicas<T>>();
    exchange_with(chains, own.chains[0]);
    for (Index k = 0; k < levels(); ++k) {
      extend::ChainNoise apart = noise;  // each replica has chains of its own
      apart.first_chain += k * replica_stride;
      sampling::TemperedTarget<T> tempered(target, temperature(k), own.X, own.S);
      kernel.advance(tempered, own.chains[static_cast<std::size_t>(k)], apart);
    }
    swap_neighbours(own, noise);
    exchange_with(chains, own.chains[0]);
  }

  /// Of a TransitionKernel: on several ranks, how often neighbours swapped in a block, for `learn`.
  template <class T>
  void share(ranks::Parcel& parcel, extend::Chains<T>& chains) const {
    Replicas<T>& own = chains.own.template of<Replicas<T>>();
    parcel(own.swaps, own.tries);
  }

  /// Spaces the temperatures by how often neighbours swapped in all blocks: log τ_{k+1}/τ_k grows where they swap more
  /// often than others, and shrinks where less.
  template <class T>
  void learn(const std::vector<extend::Chains<T>*>& blocks) {
    Eigen::VectorXd swaps = Eigen::VectorXd::Zero(levels() - 1);
    double tries = 0;
    for (extend::Chains<T>* block : blocks) {
      Replicas<T>& own = block->own.template of<Replicas<T>>();
      swaps += own.swaps;
      tries += own.tries;
      own.swaps.setZero();
      own.tries = 0;
    }
    if (!(tries > 0)) return;
    Eigen::VectorXd gaps(levels() - 1);
    for (Index k = 0; k < gaps.size(); ++k)
      gaps[k] = std::log(temperature(k + 1) / temperature(k)) * (0.1 + swaps[k] / tries);
    gaps *= std::log(temperature(levels() - 1)) / gaps.sum();
    std::vector<double> spaced = {1};
    for (Index k = 0; k < gaps.size(); ++k) spaced.push_back(spaced.back() * std::exp(gaps[k]));
    ladder = spaced;
  }

 private:
  static constexpr std::int64_t replica_stride = std::int64_t{1} << 28;  // more chains than a run has

  template <class T>
  struct Replicas {
    std::vector<extend::Chains<T>> chains;  // in the coordinates x/√τ
    Eigen::VectorXd swaps;                  // of k with k + 1, over all chains
    double tries = 0;                       // of each pair, over all chains
    Vector<T> u;
    Matrix<T> X, S;  // scratch
  };

  // The chain itself is the replica at τ = 1, but for what the run keeps of it.
  template <class T>
  static void exchange_with(extend::Chains<T>& chains, extend::Chains<T>& replica) {
    chains.X.swap(replica.X);
    chains.S.swap(replica.S);
    chains.f.swap(replica.f);
    chains.accepted.swap(replica.accepted);
    chains.non_finite.swap(replica.non_finite);
    chains.divergent.swap(replica.divergent);
    chains.probability.swap(replica.probability);
    std::swap(chains.measure, replica.measure);
  }

  template <class T>
  void swap_neighbours(Replicas<T>& own, const extend::ChainNoise& noise) const {
    const Index B = own.chains[0].X.rows();
    own.u.resize(B);
    own.tries += static_cast<double>(B) / 2;
    for (Index k = static_cast<Index>(noise.step % 2); k + 1 < levels(); k += 2) {
      extend::Chains<T>&cold = own.chains[static_cast<std::size_t>(k)],
      &hot = own.chains[static_cast<std::size_t>(k) + 1];
      const double tau = temperature(k), tau_hot = temperature(k + 1), ratio = std::sqrt(tau_hot / tau);
      fill_uniforms<T>({noise.seed, extend::Purpose::swap}, extend::Ids::from(noise.first_chain + k * replica_stride),
                       B, noise.step, 1, own.u.data(), B);
      for (Index i = 0; i < B; ++i) {
        const double f = tau * static_cast<double>(cold.f[i]), f_hot = tau_hot * static_cast<double>(hot.f[i]);
        if (!(std::log(static_cast<double>(own.u[i])) < (1 / tau - 1 / tau_hot) * (f - f_hot))) continue;
        own.swaps[k] += 1;
        cold.f[i] = static_cast<T>(f_hot / tau);
        hot.f[i] = static_cast<T>(f / tau_hot);
        for (Index j = 0; j < cold.X.cols(); ++j) {
          const T x = cold.X(i, j), s = cold.S(i, j), r = static_cast<T>(ratio);
          cold.X(i, j) = hot.X(i, j) * r;
          hot.X(i, j) = x / r;
          cold.S(i, j) = hot.S(i, j) * r;
          hot.S(i, j) = s / r;
        }
      }
    }
  }
};

}  // namespace scorematch
