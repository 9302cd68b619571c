// The view of a transition kernel: scores and energies of one block of chains, and the chains' own random numbers.
#pragma once

#include <cmath>

#include "scorematch/concepts.hpp"
#include "scorematch/model/bound_model.hpp"
#include "scorematch/random/normal.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch {

namespace extend {

/// The law that a transition kernel moves by: score, and energy where there is one, at the rows of X (B × d: rows are
/// chains).
template <class T>
class Target {
 public:
  virtual ~Target() = default;

  /// s = ∇ log p at every row of X, which is lent for the call: B × d, valid until the next.
  virtual const Matrix<T>& score(Matrix<T>& X) = 0;

  /// Energy f (B numbers) and score S (B × d) together. For adjusted kernels: a model without an energy throws.
  virtual void energy_and_score(Matrix<T>& X, Vector<T>& f, Matrix<T>& S) = 0;
};

}  // namespace extend

namespace detail {

/// A bound model as the target of a block of chains.
template <class T>
class ModelTarget final : public extend::Target<T> {
 public:
  explicit ModelTarget(const extend::BoundModel<T>& bound) : bound_(&bound) { points_.along = extend::Along::none; }

  const Matrix<T>& score(Matrix<T>& X) override {
    ++calls_;
    points_.X.swap(X);
    bound_->evaluate(points_, workspace_, values_);
    points_.X.swap(X);
    return values_.S;
  }

  void energy_and_score(Matrix<T>& X, Vector<T>& f, Matrix<T>& S) override {
    ++calls_;
    points_.X.swap(X);
    bound_->energy_and_score(points_, workspace_, f, S);
    points_.X.swap(X);
  }

  /// Scores of a block, with energies or without, until now.
  std::uint64_t calls() const { return calls_; }

 private:
  std::uint64_t calls_ = 0;
  const extend::BoundModel<T>* bound_;
  extend::Room workspace_;
  extend::Points<T> points_;
  extend::ScoreValues<T> values_;
};

}  // namespace detail

namespace extend {

/// The random numbers of one step of a block of chains: they depend on seed, chain and step alone.
struct ChainNoise {
  std::uint64_t seed = 0;        ///< of the run
  std::uint64_t step = 0;        ///< the step's number
  std::int64_t first_chain = 0;  ///< the number of the block's first chain

  /// B × d standard normals.
  template <class T>
  void normals(Matrix<T>& Z) const {
    fill_normals<T>({seed, Purpose::chain_noise}, Ids::from(first_chain), Z.rows(), step, Z.cols(), Z.data(), Z.rows());
  }

  /// B uniforms in (0, 1): for accepting.
  template <class T>
  void uniforms(Vector<T>& u) const {
    fill_uniforms<T>({seed, Purpose::metropolis}, Ids::from(first_chain), u.size(), step, 1, u.data(), u.size());
  }

  /// B × d uniforms in (0, 1), independent of both: for directions.
  template <class T>
  void uniforms(Matrix<T>& U) const {
    fill_uniforms<T>({seed, Purpose::direction}, Ids::from(first_chain), U.rows(), step, U.cols(), U.data(), U.rows());
  }

  /// A number in (0, 1] that all chains of a run share in this step: the van der Corput sequence, the step's number
  /// with its binary digits mirrored behind the point, so that any run of steps is spread evenly.
  double shared() const {
    std::uint64_t digits = step + 1;
    double mirrored = 0;
    for (double weight = 0.5; digits > 0; digits >>= 1, weight /= 2)
      if ((digits & 1) != 0) mirrored += weight;
    return 1 - mirrored;
  }
};

/// A block of chains between two steps.
template <class T>
struct Chains {
  Matrix<T> X;              ///< B × d
  Matrix<T> S;              ///< their scores, and
  Vector<T> f;              ///< energies, where the kernel keeps them from step to step
  Vector<double> accepted;  ///< B, steps that moved
  Eigen::Array<bool, Eigen::Dynamic, 1>
      lost;                    ///< B, an unadjusted chain that left the finite numbers: it stays where it last was
  bool any_lost = false;       ///< whether any of them is lost
  bool measure = false;        ///< the step leaves in `probability` with what probability each chain accepted: to adapt
  Vector<double> probability;  ///< B
  Vector<double> squared_error;  ///< B, of a kernel with `target_error`: the step's energy error, squared, over d
  bool keep_score = false;       ///< the next step leaves the score where it began in S
  Vector<double> divergent;      ///< B, steps whose log acceptance ratio was below −1000: the energy jumped
  Vector<double> non_finite;     ///< B, steps whose proposal, its energy or score was not finite
  /// Scratch, which the kernel sizes: B × d for noise, proposals and their scores, B for their energies and uniforms.
  ///@{
  Matrix<T> Z, proposal, proposal_S;
  Vector<T> proposal_f, u;
  ///@}
  ChainRoom own;  ///< what a kernel keeps from step to step (momenta, say): chains.own.of<MyState>(), copyable

  /// As many chains as X has rows, none of which has taken a step.
  void reset_counts() {
    accepted.setZero(X.rows());
    non_finite.setZero(X.rows());
    divergent.setZero(X.rows());
    lost.setConstant(X.rows(), false);
    any_lost = false;
  }

  /// Counts of steps begin anew; chains that are lost stay so.
  void reset_counts_of_steps() {
    accepted.setZero(X.rows());
    non_finite.setZero(X.rows());
    divergent.setZero(X.rows());
  }
};

/// Moves the chains of an unadjusted kernel to their proposals. A chain that leaves the finite numbers stays where it
/// last was, from then on; `all_finite`: no proposal does.
template <class T>
void take_step(Chains<T>& chains, bool all_finite) {
  const Index B = chains.X.rows();
  if (chains.any_lost || !all_finite)
    for (Index i = 0; i < B; ++i) {
      bool finite = true;
      for (Index j = 0; j < chains.X.cols(); ++j) finite = finite && std::isfinite(chains.proposal(i, j));
      if (!chains.lost[i] && finite) continue;
      if (!chains.lost[i]) chains.non_finite[i] += 1;
      chains.lost[i] = chains.any_lost = true;
      for (Index j = 0; j < chains.X.cols(); ++j) chains.proposal(i, j) = chains.X(i, j);
    }
  chains.X.swap(chains.proposal);
  double* accepted = chains.accepted.data();
  for (Index i = 0; i < B; i += simd::width<simd::Lanes<double>>)
    simd::store(accepted + i, simd::load<simd::Lanes<double>>(accepted + i) + 1.0);
  if (chains.any_lost)
    for (Index i = 0; i < B; ++i) chains.accepted[i] -= chains.lost[i] ? 1 : 0;
}

}  // namespace extend

}  // namespace scorematch
