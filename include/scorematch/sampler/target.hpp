// What a transition kernel sees: scores and energies of one block of chains, and the chains' own random numbers.
#pragma once

#include "scorematch/concepts.hpp"
#include "scorematch/random/normal.hpp"

namespace scorematch {

/// A bound model as the target of a block of chains. Rows are chains: X is B × d.
template <class T, class Bound>
class Target {
 public:
  explicit Target(const Bound& bound) : bound_(&bound) { points_.along = Along::none; }

  /// s = ∇ log p at every row of X, which is lent for the call: B × d, valid until the next.
  const Matrix<T>& score(Matrix<T>& X) {
    points_.X.swap(X);
    bound_->evaluate(points_, workspace_, values_);
    points_.X.swap(X);
    return values_.S;
  }

  /// Energy and score together.
  void energy_and_score(Matrix<T>& X, Vector<T>& f, Matrix<T>& S) requires BoundEnergy<Bound, T> {
    points_.X.swap(X);
    bound_->energy_and_score(points_, workspace_, f, S);
    points_.X.swap(X);
  }

 private:
  const Bound* bound_;
  typename Bound::Workspace workspace_;
  Points<T> points_;
  ScoreValues<T> values_;
};

/// The random numbers of one step of a block of chains: they depend on seed, chain and step alone.
struct ChainNoise {
  std::uint64_t seed = 0, step = 0;
  std::int64_t first_chain = 0;

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
};

/// A block of chains between two steps.
template <class T>
struct Chains {
  Matrix<T> X;              ///< B × d
  Matrix<T> S;              ///< their scores, and
  Vector<T> f;              ///< energies, where the kernel keeps them from step to step
  Vector<double> accepted;  ///< B, steps that moved
  Eigen::Array<bool, Eigen::Dynamic, 1>
      lost;  ///< B, an unadjusted chain that left the finite numbers: it stays where it last was
  bool any_lost = false;
  bool keep_score = false;            ///< the next step leaves the score where it began in S
  Vector<double> non_finite;          ///< B, steps whose proposal, its energy or score was not finite
  Matrix<T> Z, proposal, proposal_S;  // scratch
  Vector<T> proposal_f, u;
};

}  // namespace scorematch
