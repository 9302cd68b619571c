// Distances to nearest neighbours, by a k-d tree (Bentley 1975; Friedman, Bentley & Finkel 1977).
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/evaluate/threads.hpp"

namespace scorematch {

namespace detail {

/// Points in a tree of boxes that halve their points at the median of the widest side. A query takes some log N boxes
/// in few dimensions, and all of them in many.
template <class T>
class NeighbourTree {
 public:
  /// X: d × N, N ≥ 1, copied.
  explicit NeighbourTree(const Matrix<T>& X) : dimension_(X.rows()), column_(static_cast<std::size_t>(X.cols())) {
    std::iota(column_.begin(), column_.end(), Index{0});
    build(X, 0, X.cols());
    points_.resize(X.rows(), X.cols());
    for (Index i = 0; i < X.cols(); ++i) points_.col(i) = X.col(column_[static_cast<std::size_t>(i)]);
  }

  Index size() const { return points_.cols(); }

  /// The Euclidean distance from each column of X (d × N) to its k-th nearest point of the tree, k ≥ 1: N numbers.
  /// With `own`, X is what the tree was made of, and no point is its own neighbour. On all threads.
  Vector<T> distances(const Matrix<T>& X, int k, bool own) const {
    Vector<T> distances(X.cols());
    constexpr Index piece = 512;
    evaluate::PerThread<Query> queries;
    evaluate::for_each_piece((X.cols() + piece - 1) / piece, queries, [](Query&) {},
                             [&](Query& query, Index p) {
                               query.nearest.resize(static_cast<std::size_t>(k));
                               query.beyond.assign(static_cast<std::size_t>(dimension_), 0);
                               for (Index i = p * piece; i < std::min(X.cols(), (p + 1) * piece); ++i) {
                                 const Index at = own ? column_[static_cast<std::size_t>(i)] : i;  // near ones together
                                 std::fill(query.nearest.begin(), query.nearest.end(),
                                           std::numeric_limits<T>::infinity());
                                 query.point = X.col(at).data();
                                 query.without = own ? i : -1;
                                 search(query, 0, 0);
                                 distances[at] = std::sqrt(query.nearest.back());
                               }
                             });
    return distances;
  }

 private:
  static constexpr Index leaf = 12;  ///< points at most in a box that is not divided

  /// A box holds the points first … first + count − 1. Its halves: the next box, and `second`.
  struct Box {
    Index first, count;
    int second = -1;
    Index side = 0;  ///< the coordinate it is divided along, at:
    T at = 0;
  };

  struct Query {
    const T* point = nullptr;
    Index without = -1;      ///< the place of the point that is no neighbour
    std::vector<T> nearest;  ///< the k least squared distances so far, ascending
    std::vector<T> beyond;   ///< how far the box searched now lies from the point along each coordinate
  };

  void build(const Matrix<T>& X, Index first, Index count) {
    const std::size_t box = boxes_.size();
    boxes_.push_back({first, count});
    if (count <= leaf) return;
    const auto begin = column_.begin() + first;
    Index side = 0;
    T widest = -1;
    for (Index j = 0; j < dimension_; ++j) {
      T least = X(j, *begin), most = least;
      for (auto i = begin; i != begin + count; ++i) {
        least = std::min(least, X(j, *i));
        most = std::max(most, X(j, *i));
      }
      if (most - least > widest) {
        widest = most - least;
        side = j;
      }
    }
    const Index half = count / 2;
    std::nth_element(begin, begin + half, begin + count, [&](Index a, Index b) { return X(side, a) < X(side, b); });
    boxes_[box].side = side;
    boxes_[box].at = X(side, *(begin + half));
    build(X, first, half);
    boxes_[box].second = static_cast<int>(boxes_.size());
    build(X, first + half, count - half);
  }

  // `distance`: squared, of the box from the point.
  void search(Query& query, std::size_t index, T distance) const {
    const Box& box = boxes_[index];
    if (box.second < 0) return look_at_points(query, box);
    const T side = query.point[box.side] - box.at;
    const std::size_t halves[] = {index + 1, static_cast<std::size_t>(box.second)};
    search(query, halves[side < 0 ? 0 : 1], distance);
    T& beyond = query.beyond[static_cast<std::size_t>(box.side)];
    const T before = beyond, other = distance - before * before + side * side;
    if (other > query.nearest.back()) return;
    beyond = side;
    search(query, halves[side < 0 ? 1 : 0], other);
    beyond = before;
  }

  void look_at_points(Query& query, const Box& box) const {
    for (Index i = box.first; i < box.first + box.count; ++i) {
      const T* point = points_.data() + i * dimension_;
      T distance = 0;
      for (Index j = 0; j < dimension_; ++j) distance += (point[j] - query.point[j]) * (point[j] - query.point[j]);
      if (!(distance < query.nearest.back()) || i == query.without) continue;
      std::size_t place = query.nearest.size() - 1;
      for (; place > 0 && query.nearest[place - 1] > distance; --place) query.nearest[place] = query.nearest[place - 1];
      query.nearest[place] = distance;
    }
  }

  Index dimension_;
  std::vector<Index> column_;  ///< of X, at each place
  Matrix<T> points_;           ///< d × N, in the boxes' order
  std::vector<Box> boxes_;
};

}  // namespace detail

}  // namespace scorematch
