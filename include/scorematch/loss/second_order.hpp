// A loss to second order in the score: what Gauss and Newton's metric is made of.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "scorematch/loss/loss_loop.hpp"
#include "scorematch/loss/score_rows.hpp"

namespace scorematch::objective {

/// A loss to second order in the score, at one θ: with v the numbers whose squares it sums up, elements of the score or
/// its slopes,
///   loss(θ + δ) ≈ loss(θ) + gᵀδ + ½ δᵀGδ,   G = E Σ w (∂v/∂θ)(∂v/∂θ)ᵀ,
/// w the loss's second derivative with respect to v.
struct SecondOrder {
  Index samples = 0;           ///< that were looked at
  double square = 0;           ///< E Σ w v²
  double relative_square = 0;  ///< the same of v beside its natural size
  double weight = 0;           ///< the mean of w
  double gain = 0;             ///< the mean loss minus that of a model whose score is 0 everywhere
};

/// Sums up SecondOrder, a register of samples at a time.
template <class T>
class SecondOrderSum {
 public:
  SecondOrderSum(LossFunction<T>& function, const Eigen::VectorXd& deviations, const RowVisitor& visit)
      : bound_(function.bound()),
        objective_(function.objective()),
        data_(function.ranked_data()),
        deviations_(deviations),
        visit_(visit),
        rows_(function.bound()) {
    const Index terms = static_cast<Index>(objective_.term_names().size());
    for (extend::Losses<T>* losses : {&losses_, &moved_, &at_zero_}) {
      losses->value.resize(lanes);
      losses->terms.resize(lanes, terms);
    }
  }

  SecondOrder over(const std::vector<Index>& columns) {
    const Index count = static_cast<Index>(columns.size());
    sums_.samples = count;
    if (data_.shards.alone()) {
      for (Index first = 0; first < count; first += lanes) {
        const Index size = std::min(lanes, count - first);
        gather_samples<T>(data_.own, columns, first, size, lanes, 0, samples_);
        add(size);
      }
    } else {
      over_ranks(columns);
    }
    sums_.square /= static_cast<double>(count);
    sums_.relative_square /= static_cast<double>(count);
    sums_.gain /= static_cast<double>(count);
    if (weights_ > 0) sums_.weight /= static_cast<double>(weights_);
    return sums_;
  }

 private:
  static constexpr Index lanes = simd::width<simd::Lanes<T>>;

  // On every rank the same, with some of the columns at a time in memory.
  void over_ranks(const std::vector<Index>& columns) {
    constexpr Index most = 4096 * lanes;
    const Index count = static_cast<Index>(columns.size());
    for (Index begin = 0; begin < count; begin += most) {
      const Index some = std::min(most, count - begin);
      const Matrix<T> here =
          data_.columns(std::span(columns).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(some)));
      for (Index first = 0; first < some; first += lanes) {
        const Index size = std::min(lanes, some - first);
        gather_samples<T>(here, {}, first, size, lanes, 0, samples_);
        number_samples<T>(columns, begin + first, size, samples_);
        add(size);
      }
    }
  }

  // The samples in samples_, of which the first `count` count.
  void add(Index count) {
    objective_.prepare(samples_, points_, notes_);
    points_.gradient = false;
    bound_.evaluate(points_, workspace_, values_);
    objective_.score(samples_, points_, notes_, values_, losses_);
    // The loss's slope is linear in the score, so that a difference of any size is its second derivative.
    extend::ScoreValues<T> values = values_;
    const T score_step = step_of(values.S, losses_.bar.S), slope_step = step_of(values.slopes, losses_.bar.slopes);
    for (Index i = 0; i < values.S.size(); ++i) values.S.data()[i] += score_step;
    for (Index i = 0; i < values.slopes.size(); ++i) values.slopes.data()[i] += slope_step;
    objective_.score(samples_, points_, notes_, values, moved_);
    values.S.setZero();
    values.slopes.setZero();
    values.curvature.setZero();
    objective_.score(samples_, points_, notes_, values, at_zero_);
    for (Index i = 0; i < count; ++i) sums_.gain += static_cast<double>(losses_.value[i] - at_zero_.value[i]);
    if (visit_) rows_.at(points_);
    if (points_.score || points_.along != extend::Along::given)
      add_values(values_.S, losses_.bar.S, moved_.bar.S, score_step, count, false);
    if (points_.along == extend::Along::given)
      add_values(values_.slopes, losses_.bar.slopes, moved_.bar.slopes, slope_step, count, true);
  }

  static T step_of(const Matrix<T>& v, const Matrix<T>& bar) {
    T square = 0;
    for (const Matrix<T>* numbers : {&v, &bar})
      for (Index i = 0; i < numbers->size(); ++i) square += numbers->data()[i] * numbers->data()[i];
    const T step = std::sqrt(square / static_cast<T>(std::max<Index>(v.size(), 1)));
    return step > 0 && std::isfinite(step) ? step : T(1);
  }

  // The numbers v of the first `count` samples, with the loss's slopes at v and at v + step.
  void add_values(const Matrix<T>& v, const Matrix<T>& bar, const Matrix<T>& moved_bar, T step, Index count,
                  bool slopes) {
    if (bar.rows() != v.rows() || bar.cols() != v.cols() || moved_bar.size() != bar.size()) return;
    for (Index b = 0; b < v.rows(); ++b) {
      if (b % lanes >= count) continue;  // padding
      for (Index j = 0; j < v.cols(); ++j) {
        const T weight = (moved_bar(b, j) - bar(b, j)) / step;
        // what rounding leaves of a value that enters linearly, or not at all, is no weight
        if (!(weight > 1000 * std::numeric_limits<T>::epsilon() * std::abs(bar(b, j)) / step)) continue;
        const T root = std::sqrt(weight);
        const double square = static_cast<double>(weight) * static_cast<double>(v(b, j)) * static_cast<double>(v(b, j));
        const double natural = natural_square(b, j, slopes) * static_cast<double>(weight);
        if (visit_) visit_(slopes ? rows_.of_slope(b, j, root) : rows_.of_element(b, j, root), natural);
        sums_.square += square;
        if (natural > 0) sums_.relative_square += square / natural;
        sums_.weight += static_cast<double>(weight);
        ++weights_;
      }
    }
  }

  // The square of the size that a number of the score, or of its slopes, has by the data's own scale.
  double natural_square(Index b, Index j, bool slopes) const {
    if (!slopes) return 1 / (deviations_[j] * deviations_[j]);
    double natural = 0;
    for (Index k = 0; k < deviations_.size(); ++k) {
      const double share = static_cast<double>(points_.V(b, j * deviations_.size() + k)) / deviations_[k];
      natural += share * share;
    }
    return natural;
  }

  extend::BoundModel<T>& bound_;
  const BoundObjective<T>& objective_;
  ranks::RankedData<T> data_;
  const Eigen::VectorXd& deviations_;
  const RowVisitor& visit_;
  ScoreRows<T> rows_;
  extend::Room workspace_, notes_;
  extend::Samples<T> samples_;
  extend::Points<T> points_;
  extend::ScoreValues<T> values_;
  extend::Losses<T> losses_, moved_, at_zero_;
  SecondOrder sums_;
  Index weights_ = 0;
};

/// The second order of a loss at the θ that was bound last, from about `most` samples spread evenly over the data, at
/// draw 0: visits √w ∂v/∂θ for each v, unless `visit` is empty. `deviations` of the data's coordinates: the natural
/// sizes.
template <class T>
SecondOrder second_order(LossFunction<T>& function, Index most, const Eigen::VectorXd& deviations,
                         const RowVisitor& visit) {
  const Index samples = function.samples(), count = std::min(most, samples);
  std::vector<Index> columns(static_cast<std::size_t>(count));
  for (Index k = 0; k < count; ++k) columns[static_cast<std::size_t>(k)] = k * samples / count;
  return SecondOrderSum<T>(function, deviations, visit).over(columns);
}

}  // namespace scorematch::objective
