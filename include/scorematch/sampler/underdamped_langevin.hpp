// Langevin's equation with a momentum: unadjusted, and adjusted with a momentum that persists.
#pragma once

#include <cmath>

#include "scorematch/check.hpp"
#include "scorematch/sampler/metropolis.hpp"

namespace scorematch {

/// In what order a step kicks (B: p ← p + h s), drifts (A: x ← x + h p) and refreshes the momentum
/// (O: p ← e^{−γh} p + √(1 − e^{−2γh}) z).
enum class Splitting {
  baoab,  ///< ½B ½A O ½A ½B: exact in x for Gaussians, whatever h (Leimkuhler & Matthews 2013)
  obabo,  ///< ½O ½B A ½B ½O: on N(0, 1) the variance is 1/(1 − h²/4) (Bussi & Parrinello 2007)
};

namespace sampling {

/// The momenta of a block of chains.
template <class T>
struct Momenta {
  Matrix<T> p, start;   ///< B × d, now and where a step began
  Vector<double> work;  ///< B, the energy error of a step's kicks and drifts
};

/// A step's parts, in place, on all numbers of a block.
template <class T>
struct MomentumSteps {
  static void kick(T h, const Matrix<T>& S, Matrix<T>& p) { add(h, S, p); }
  static void drift(T h, const Matrix<T>& p, Matrix<T>& X) { add(h, p, X); }
  /// p ← keep p + √(1 − keep²) z
  static void refresh(double keep, const Matrix<T>& Z, Matrix<T>& p) {
    const T k = static_cast<T>(keep), fresh = static_cast<T>(std::sqrt(1 - keep * keep));
    const T* z = Z.data();
    T* to = p.data();
    simd::for_lanes<simd::Lanes<T>>(p.size(), [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
      simd::store<V>(to + i, k * simd::load<V>(to + i) + fresh * simd::load<V>(z + i));
    });
  }
  /// to_i += weight ½‖p_i‖²
  static void add_kinetic(double weight, const Matrix<T>& p, Vector<double>& to) {
    const Index B = p.rows(), size = p.size();
    const T* numbers = p.data();
    double* sums = to.data();
    simd::for_lanes<simd::Lanes<double>>(B, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
      V sum = {};
      for (Index j = 0; j < size; j += B) {
        const V now = simd::load_as<V>(numbers + j + i);
        sum += now * now;
      }
      simd::store<V>(sums + i, simd::load<V>(sums + i) + (0.5 * weight) * sum);
    });
  }

 private:
  static void add(T h, const Matrix<T>& what, Matrix<T>& to_what) {
    const T* from = what.data();
    T* to = to_what.data();
    simd::for_lanes<simd::Lanes<T>>(to_what.size(), [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
      simd::store<V>(to + i, simd::load<V>(to + i) + h * simd::load<V>(from + i));
    });
  }
};

/// The momenta of a block, drawn where it has none yet. N(0, I).
template <class T>
Momenta<T>& momenta_of(extend::Chains<T>& chains, const extend::ChainNoise& noise) {
  Momenta<T>& own = chains.own.template of<Momenta<T>>();
  if (own.p.rows() == chains.X.rows() && own.p.cols() == chains.X.cols()) return own;
  own.p.resize(chains.X.rows(), chains.X.cols());
  fill_normals<T>({noise.seed, extend::Purpose::fresh_momentum}, extend::Ids::from(noise.first_chain), own.p.rows(),
                  noise.step, own.p.cols(), own.p.data(), own.p.rows());
  return own;
}

}  // namespace sampling

/// dx = p dt, dp = s(x) dt − γ p dt + √(2γ) dW, by one step of a splitting. Its law in x tends to p(x) as h → 0.
/// Biased: for a Gaussian OBABO's variance is too large by b = (h²/4)/(1 − h²/4), in units of the widest curvature, and
/// BAOAB's is right. Unadjusted, so its cost an effective sample grows least with the dimension. One score a step.
struct underdamped_langevin {
  double step = 0.1;    ///< h > 0, in units of the metric; unstable from 2/√(largest curvature) on
  double friction = 1;  ///< γ > 0, an inverse time: 1 forgets the momentum within one deviation's way
  Splitting splitting = Splitting::baoab;  ///< the order of the parts of a step
  /// b ≥ 0, the relative bias of a variance for which a warm-up finds the step, by the energy errors of the steps
  /// (`target_error`); 0: the step is as you give it.
  double bias = 0;

  /// The members of a TransitionKernel, as the role says of each (sampler/transition_kernel.hpp).
  ///@{
  static constexpr bool adjusted = false, keeps_score = true;
  ///@}

  /// With the step whose relative bias of a variance is `bias` by OBABO on a Gaussian with the metric's covariance:
  /// h = 2 √(b/(1 + b)). BAOAB's is smaller. A warm-up goes on from there, to the step that has the same energy errors.
  static underdamped_langevin with_bias(double bias, double friction = 1, Splitting splitting = Splitting::baoab) {
    extend::require_positive(bias, "underdamped_langevin: bias");
    return {2 * std::sqrt(bias / (1 + bias)), friction, splitting, bias};
  }

  /// The mean of Δ²/d on a Gaussian with the metric's covariance, at the step that with_bias gives it. Δ is the energy
  /// error of a step, by the trapezoid rule for the force's work h²/8 (‖s(x')‖² − ‖s(x)‖²), which needs no energy. With
  /// ρ the correlation of x' with x and v the variance of x, E Δ² = (h⁴/16) v² (1 − ρ²): of OBABO ρ = 1 − h²/2 and
  /// v = 1/(1 − h²/4), of BAOAB ρ = 1 − (1 + e^{−γh}) h²/4 and v = 1.
  double target_error() const {
    const double h2 = 4 * bias / (1 + bias), v = splitting == Splitting::obabo ? 1 / (1 - h2 / 4) : 1;
    const double loss = splitting == Splitting::obabo ? h2 / 2 : (1 + std::exp(-friction * std::sqrt(h2))) * h2 / 4;
    return h2 * h2 / 16 * v * v * loss * (2 - loss);
  }

  /// The members of a TransitionKernel, as the role says of each (sampler/transition_kernel.hpp).
  ///@{
  void validate() const {
    extend::require_positive(step, "underdamped_langevin: step");
    extend::require_positive(friction, "underdamped_langevin: friction");
    extend::require(bias >= 0 && std::isfinite(bias),
                    {"underdamped_langevin: bias is ", bias, "; it must be a finite number, 0 or more"});
  }

  template <class T>
  void start(extend::Target<T>& target, extend::Chains<T>& chains) const {
    chains.S = target.score(chains.X);
  }

  template <class T>
  void advance(extend::Target<T>& target, extend::Chains<T>& chains, const extend::ChainNoise& noise) const {
    using Steps = sampling::MomentumSteps<T>;
    Matrix<T>& p = sampling::momenta_of(chains, noise).p;
    const T h = static_cast<T>(step);
    chains.proposal = chains.X;
    chains.Z.resize(p.rows(), p.cols());
    noise.normals(chains.Z);
    if (splitting == Splitting::baoab) {
      Steps::kick(h / 2, chains.S, p);
      Steps::drift(h / 2, p, chains.proposal);
      Steps::refresh(std::exp(-friction * step), chains.Z, p);
      Steps::drift(h / 2, p, chains.proposal);
    } else {
      Steps::refresh(std::exp(-friction * step / 2), chains.Z, p);
      Steps::kick(h / 2, chains.S, p);
      Steps::drift(h, p, chains.proposal);
    }
    chains.proposal_S = target.score(chains.proposal);
    Steps::kick(h / 2, chains.proposal_S, p);
    if (splitting == Splitting::obabo) {
      fill_normals<T>({noise.seed, extend::Purpose::fresh_momentum}, extend::Ids::from(noise.first_chain), p.rows(),
                      noise.step + 1, p.cols(), chains.Z.data(), p.rows());
      Steps::refresh(std::exp(-friction * step / 2), chains.Z, p);
    }
    if (chains.measure) measure_errors(chains);
    extend::take_step(chains, (chains.proposal - chains.proposal).isZero(0) && chains.proposal_S.allFinite());
    chains.S.swap(chains.proposal_S);
    if (!chains.any_lost) return;
    for (Index i = 0; i < p.rows(); ++i)  // so that a chain that a warm-up puts elsewhere has finite momenta there
      if (chains.lost[i]) p.row(i).setZero();
  }
  ///@}

 private:
  // Δ²/d of each chain.
  template <class T>
  void measure_errors(extend::Chains<T>& chains) const {
    const Index d = chains.S.cols();
    chains.squared_error.setZero(chains.S.rows());
    for (Index j = 0; j < d; ++j)
      for (Index i = 0; i < chains.S.rows(); ++i) {
        const double before = static_cast<double>(chains.S(i, j)), after = static_cast<double>(chains.proposal_S(i, j));
        chains.squared_error[i] += step * step / 8 * (after - before) * (after + before);
      }
    for (double& error : chains.squared_error) error *= error / static_cast<double>(d);
  }
};

/// A trajectory of n OBABO steps of Langevin's equation with a momentum, accepted at its end with probability
/// min(1, e^{−Δ}), Δ the energy error of its kicks and drifts; after a rejection the momentum turns round (Horowitz
/// 1991; Riou-Durand & Vogrinc 2022). Exact for every step. An accepted chain goes on in its direction, so that a
/// trajectory may be short. Costs n scores, the last with its energy.
struct adjusted_underdamped_langevin {
  double step = 0.1;    ///< h > 0, in units of the metric
  double friction = 1;  ///< γ > 0
  Index leapfrogs = 1;  ///< n, 1 … 10⁶

  /// The members of a TransitionKernel, as the role says of each (sampler/transition_kernel.hpp).
  ///@{
  static constexpr bool adjusted = true, keeps_score = true;
  static constexpr double target_acceptance = 0.9;  // what is rejected turns round, and goes its way again

  void validate() const {
    extend::require_positive(step, "adjusted_underdamped_langevin: step");
    extend::require_positive(friction, "adjusted_underdamped_langevin: friction");
    extend::require_within(leapfrogs, 1, 1'000'000, "adjusted_underdamped_langevin: leapfrogs");
  }

  template <class T>
  void start(extend::Target<T>& target, extend::Chains<T>& chains) const {
    target.energy_and_score(chains.X, chains.f, chains.S);
  }

  template <class T>
  void advance(extend::Target<T>& target, extend::Chains<T>& chains, const extend::ChainNoise& noise) const {
    using Steps = sampling::MomentumSteps<T>;
    sampling::Momenta<T>& own = sampling::momenta_of(chains, noise);
    const Index B = chains.X.rows(), d = chains.X.cols();
    const T h = static_cast<T>(step);
    own.work.setZero(B);
    chains.proposal = chains.X;
    chains.proposal_S = chains.S;
    chains.Z.resize(B, d);
    const double keep = std::exp(-friction * step);  // two half refreshes of neighbouring steps are a whole one
    for (Index n = 0; n < leapfrogs; ++n) {
      noise_of(noise, n, chains.Z);
      Steps::refresh(keep, chains.Z, own.p);
      if (n == 0) own.start = own.p;  // the first refresh keeps the law by itself: the path begins after it
      Steps::add_kinetic(1, own.p, own.work);
      Steps::kick(h / 2, chains.proposal_S, own.p);
      Steps::drift(h, own.p, chains.proposal);
      if (n + 1 < leapfrogs)
        chains.proposal_S = target.score(chains.proposal);
      else
        target.energy_and_score(chains.proposal, chains.proposal_f, chains.proposal_S);
      Steps::kick(h / 2, chains.proposal_S, own.p);
      Steps::add_kinetic(-1, own.p, own.work);
    }
    const T *f = chains.f.data(), *f_there = chains.proposal_f.data();
    const double* kinetic = own.work.data();
    extend::metropolis(chains, noise, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
      return simd::load_as<V>(f + i) - simd::load_as<V>(f_there + i) + simd::load_as<V>(kinetic + i);
    });
    turn_round_where_rejected(chains, own);
  }
  ///@}

 private:
  // The noise of refresh n of a step: the chain's own for the first, of another seed for each after it.
  template <class T>
  void noise_of(const extend::ChainNoise& noise, Index n, Matrix<T>& Z) const {
    if (n == 0) return noise.normals(Z);
    const std::uint64_t seed = noise.seed + static_cast<std::uint64_t>(n) * 0x9E3779B97F4A7C15;
    fill_normals<T>({seed, extend::Purpose::fresh_momentum}, extend::Ids::from(noise.first_chain), Z.rows(), noise.step,
                    Z.cols(), Z.data(), Z.rows());
  }

  // A chain that was rejected is where it was, so that its energy is not the proposal's.
  template <class T>
  static void turn_round_where_rejected(extend::Chains<T>& chains, sampling::Momenta<T>& own) {
    for (Index i = 0; i < chains.X.rows(); ++i) {
      bool moved = true;
      for (Index j = 0; j < chains.X.cols() && moved; ++j) moved = chains.X(i, j) == chains.proposal(i, j);
      if (moved) continue;
      for (Index j = 0; j < chains.X.cols(); ++j) own.p(i, j) = -own.start(i, j);
    }
  }
};

}  // namespace scorematch
