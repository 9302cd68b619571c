// The energy of a bound model as a function on batches of points: for partition functions and likelihoods.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "scorematch/concepts.hpp"
#include "scorematch/evaluate/padded_block.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/model/user_model.hpp"
#include "scorematch/ranks/in_turn.hpp"
#include "scorematch/ranks/parcel.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch::likelihood {

/// Evaluated again and again, on all threads; buffers are kept between calls. The same bits for any number of threads.
template <class T>
class EnergyFunction {
 public:
  explicit EnergyFunction(extend::BoundModel<T> bound) : bound_(std::move(bound)) {}

  extend::BoundModel<T>& bound() { return bound_; }
  Index dimension() const { return bound_.dimension(); }
  Index evaluations() const { return evaluations_; }
  /// From now on these ranks, which all ask for the same, share out the blocks of energies, scores and gradients.
  void share(const Communicator& communicator) { ranks_ = communicator; }

  /// f at every column of X (d × N): N numbers.
  void values(const Matrix<T>& X, Vector<T>& f) {
    f.resize(X.cols());
    for_each_block(X, [&](State& state, Index first, Index count) {
      bound_.energy(state.points, state.workspace, state.f);
      f.segment(first, count) = state.f.head(count);
    });
    exchange(X, [&](ranks::Parcel& parcel, Index first, Index count) { pass(parcel, f.data() + first, count); });
  }

  /// f and the score s = −∇f (d × N).
  void values_and_scores(const Matrix<T>& X, Vector<T>& f, Matrix<T>& S) {
    f.resize(X.cols());
    S.resize(X.rows(), X.cols());
    for_each_block(X, [&](State& state, Index first, Index count) {
      bound_.energy_and_score(state.points, state.workspace, state.f, state.S);
      f.segment(first, count) = state.f.head(count);
      S.middleCols(first, count) = state.S.topRows(count).transpose();
    });
    exchange(X, [&](ranks::Parcel& parcel, Index first, Index count) {
      pass(parcel, f.data() + first, count);
      pass(parcel, S.data() + first * S.rows(), count * S.rows());
    });
  }

  /// vᵀ(∂²f/∂x²)v at every column x of X along that of V (both d × N): N numbers. As the model has it: exact for
  /// formulas.
  void curvatures(const Matrix<T>& X, const Matrix<T>& V, Vector<T>& curvature) {
    curvature.resize(X.cols());
    if (X.cols() == 0) return;
    evaluations_ += X.cols();
    const Index size = std::min<Index>(bound_.block_size(extend::Along::given, 1), X.cols()),
                rows = evaluate::padded_rows<T>(size);
    evaluate::for_each_piece((X.cols() + size - 1) / size, states_, [](State&) {},
                             [&](State& state, Index b) {
                               const Index first = b * size, count = std::min(size, X.cols() - first);
                               extend::Points<T> points;
                               points.along = extend::Along::given;
                               points.directions = 1;
                               points.score = false;
                               evaluate::gather_columns(X, first, count, rows, points.X);
                               evaluate::gather_columns(V, first, count, rows, points.V);
                               bound_.evaluate(points, state.workspace, state.values);
                               curvature.segment(first, count) = -state.values.curvature.head(count);
                             });
  }

  /// gradient = Σ_n w_n ∂f(x_n)/∂θ. The weights may depend on the energies: weigh(first, f, w) is told the energies of
  /// samples first … first + f.size() − 1 and sets their weights; it is called on many threads. On several ranks it is
  /// called for the samples of this one alone: see sum and complete.
  template <class Weigh>
  void weighted_gradient(MatrixView<T> X, Weigh weigh, Eigen::VectorXd& gradient) {
    Eigen::VectorXd total = Eigen::VectorXd::Zero(bound_.sum_size());
    const auto read = [&](State& state, Index first, Index count) {
      bound_.energy(state.points, state.workspace, state.f);
      const Vector<T> f = state.f.head(count);
      Vector<T> w(count);
      weigh(first, f, w);
      state.weights.setZero(state.points.X.rows());  // padding has no part in the gradient
      state.weights.head(count) = w;
      state.sums.setZero(bound_.sum_size());
      bound_.pull_back_energy(state.points, state.workspace, state.weights, state.sums);
    };
    if (X.cols() > 0 && is_shared(X))
      add_in_turn(X, read, total);
    else
      for_each_block(X, read, [&](State& state) { total += state.sums; });
    gradient.resize(bound_.parameter_count());
    bound_.finish(total, gradient);
  }

  /// The sum of numbers that weigh() found, one for each column of X: of all ranks, with the bits of numbers.sum() in
  /// one process.
  double sum(MatrixView<T> X, const Eigen::VectorXd& numbers) const {
    if (X.cols() == 0 || !is_shared(X)) return numbers.sum();
    return ranks::sum_in_turn(ranks_, numbers, first_column(X, ranks_.rank()), first_column(X, ranks_.rank() + 1));
  }
  /// Gives every rank the numbers that weigh() found on the others, one for each column of X.
  void complete(MatrixView<T> X, Eigen::VectorXd& numbers) const {
    if (X.cols() == 0 || !is_shared(X)) return;
    for (int rank = 0; rank < ranks_.size(); ++rank) {
      const Index first = first_column(X, rank), count = first_column(X, rank + 1) - first;
      ranks_.broadcast(rank, numbers.data() + first, static_cast<std::size_t>(count) * sizeof(double));
    }
  }

 private:
  struct State {
    extend::Room workspace;
    extend::Points<T> points;
    Vector<T> f, weights;
    Matrix<T> S;
    extend::ScoreValues<T> values;
    Eigen::VectorXd sums;
  };

  // No columns: no blocks.
  template <class Read>
  void for_each_block(MatrixView<T> X, Read read) {
    if (X.cols() == 0) return;
    const auto work = blocks(X, read);
    const Index first = first_of(X, ranks_.rank()), end = first_of(X, ranks_.rank() + 1);
    evaluate::for_each_piece(
        end - first, states_, [](State&) {}, [&](State& state, Index k) { work(state, first + k); });
  }

  /// The first block of a rank; fewer blocks than ranks are computed by each.
  Index first_of(const MatrixView<T>& X, int rank) const {
    if (!is_shared(X)) return rank == ranks_.rank() ? 0 : count(X);
    return rank * count(X) / ranks_.size();
  }
  bool is_shared(const MatrixView<T>& X) const { return !ranks_.alone() && count(X) >= ranks_.size(); }
  Index first_column(const MatrixView<T>& X, int rank) const {
    return std::min(X.cols(), first_of(X, rank) * block(X));
  }

  // visit(parcel, first, count) passes what was found at columns of X.
  template <class Visit>
  void exchange(const MatrixView<T>& X, Visit visit) {
    if (X.cols() == 0 || !is_shared(X)) return;
    ranks::exchange(ranks_, [&](ranks::Parcel& parcel, int rank) {
      const Index first = first_column(X, rank);
      visit(parcel, first, first_column(X, rank + 1) - first);
    });
  }
  static void pass(ranks::Parcel& parcel, T* numbers, Index count) {
    parcel.raw(numbers, static_cast<std::size_t>(count) * sizeof(T));
  }

  template <class Read, class Reduce>
  void for_each_block(MatrixView<T> X, Read read, Reduce reduce) {
    if (X.cols() == 0) return;
    const auto work = blocks(X, read);
    evaluate::for_each_piece(
        count(X), states_, [](State&) {}, work, [&](State& state, Index) { reduce(state); });
  }

  // Adds the sums of all ranks' blocks to `total`, in the order of the blocks. A rank keeps those of its first blocks,
  // as far as they have room, and computes the others when the ranks before it are done.
  template <class Read>
  void add_in_turn(MatrixView<T> X, Read read, Eigen::VectorXd& total) {
    const auto work = blocks(X, read);
    const Index first = first_of(X, ranks_.rank()), count = first_of(X, ranks_.rank() + 1) - first, p = total.size(),
                room = std::max<Index>(1, kept_numbers / std::max<Index>(1, p)),
                kept = ranks_.first() ? 0 : std::min(count, room);
    Eigen::MatrixXd sums(p, kept);
    evaluate::for_each_piece(
        kept, states_, [](State&) {}, [&](State& state, Index k) { work(state, first + k); },
        [&](State& state, Index k) { sums.col(k) = state.sums; });
    ranks::in_turn(ranks_, total.data(), static_cast<std::size_t>(p) * sizeof(double), [&] {
      for (Index k = 0; k < kept; ++k) total += sums.col(k);
      evaluate::for_each_piece(
          count - kept, states_, [](State&) {}, [&](State& state, Index k) { work(state, first + kept + k); },
          [&](State& state, Index) { total += state.sums; });
    });
  }
  static constexpr Index kept_numbers = Index{1} << 24;  // 128 MB

  Index block(MatrixView<T> X) const { return std::min<Index>(bound_.block_size(extend::Along::none, 0), X.cols()); }
  Index count(MatrixView<T> X) const { return (X.cols() + block(X) - 1) / block(X); }

  template <class Read>
  auto blocks(const MatrixView<T>& X, Read& read) {
    evaluations_ += X.cols();
    const Index size = block(X), rows = evaluate::padded_rows<T>(size);
    return [&X, &read, size, rows](State& state, Index b) {
      const Index first = b * size, count = std::min(size, X.cols() - first);
      evaluate::gather_columns(X, first, count, rows, state.points.X);
      read(state, first, count);
    };
  }

  extend::BoundModel<T> bound_;
  evaluate::PerThread<State> states_;
  Index evaluations_ = 0;
  Communicator ranks_;
};

template <class T, detail::AnyModel M>
EnergyFunction<T> energy_function(const M& model) {
  return EnergyFunction<T>(detail::bind<T>(model));
}

}  // namespace scorematch::likelihood

namespace scorematch {

namespace detail {

/// The sentence for a model without an energy, and whether it has one.
template <class M>
constexpr bool check_energy() {
  if constexpr (detail::check_model<M>()) {
    static_assert(detail::KnowsEnergy<M>,
                  "log Z and likelihoods need an energy: an energy_model, or a class that provides  "
                  "void energy(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<Eigen::VectorXd> f) const  beside its "
                  "gradient");
    return detail::KnowsEnergy<M>;
  }
  return false;
}

}  // namespace detail

}  // namespace scorematch
