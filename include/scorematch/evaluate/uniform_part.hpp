// The part of a record that depends on θ and constants alone: evaluated once a batch, in double, and swept back once at
// its end.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "scorematch/evaluate/gemm.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/formula/record.hpp"
#include "scorematch/simd/arrays.hpp"
#include "scorematch/types.hpp"

namespace scorematch::evaluate {

using formula::InX;
using formula::Node;
using formula::Operation;
using formula::Record;

/// A matrix among the uniform values whose adjoint is a sum of matrix products alone: of its sums those from `place`
/// on.
struct ProductMatrix {
  Index place = 0, rows = 0, cols = 0;

  Index end() const { return place + rows * cols; }
};

/// All of them, by their places, and how many numbers they have.
struct ProductMatrices {
  std::vector<ProductMatrix> list;
  Index size = 0;

  /// Calls visit(first, end) for each run of the `count` sums that belong to none of them.
  template <class Visit>
  void for_each_gap(Index count, Visit visit) const {
    Index first = 0;
    for (const ProductMatrix& matrix : list) {
      if (first < matrix.place) visit(first, matrix.place);
      first = matrix.end();
    }
    if (first < count) visit(first, count);
  }
};

/// At one θ; blocks of any thread read its numbers, in their own scalar, and add their adjoints, in double.
template <class BlockScalar>
class UniformPart {
 public:
  explicit UniformPart(const Record& record) : record_(&record) {
    const std::size_t count = record.nodes.size();
    place_.assign(3 * count, -1);
    Index packed = 0;
    size_ = record.parameter_count();  // θ itself comes first
    for (std::size_t i = 0; i < count; ++i) {
      const Node& n = record.nodes[i];
      if (n.uniform && n.operation == Operation::segment) {
        place_[i] = place_[static_cast<std::size_t>(n.a)] + n.first;
      } else if (n.operation == Operation::parameter) {
        place_[i] = n.first;
      } else if (n.uniform) {
        place_[i] = size_;
        size_ += n.size();
      } else if (n.operation == Operation::matrix_vector) {
        // going back, x's adjoint is read where something trainable lies before, or of an energy
        packed = pack(n.a, Factor::transpose, packed);
        if (node(n.b).trainable || record.result().size() == 1) packed = pack(n.a, Factor::itself, packed);
      }
    }
    find_product_matrices();
    values_.resize(static_cast<std::size_t>(size_));
    if constexpr (!blocks_share_values) numbers_.resize(static_cast<std::size_t>(size_));
    packed_.resize(static_cast<std::size_t>(packed));
  }
  UniformPart(const UniformPart&) = delete;
  UniformPart& operator=(const UniformPart&) = delete;

  /// Sets θ.
  void bind(const Eigen::VectorXd& theta) {
    const double* from = theta.data();
    // pieces of 16384 numbers: from 8 on, which take some 30 µs, threads share them
    pieces_.over(record_->parameter_count(), 8, [&](Index, Index first, Index count) {
      std::copy_n(from + first, count, values_.data() + first);
      convert(first, count);
    });
    for (std::size_t i = 0; i < record_->nodes.size(); ++i)
      if (record_->nodes[i].uniform) forward(record_->nodes[i], value(static_cast<int>(i)));
    convert(record_->parameter_count(), size_ - record_->parameter_count());
    const auto pack = [&](Index k) { pack_strip(strips_[static_cast<std::size_t>(k)]); };
    pieces_.each(static_cast<Index>(strips_.size()), packed_.size() >= 8 * Pieces::length, pack);
  }

  /// The count of numbers that blocks add adjoints to: those of θ first, in its order.
  Index adjoint_size() const { return size_; }

  /// Turns the adjoints of the uniform values, which it uses up, into the gradient with respect to θ.
  void finish(Eigen::VectorXd& adjoints, Eigen::VectorXd& gradient) {
    bars_ = adjoints.data();
    for (std::size_t i = record_->nodes.size(); i-- > 0;)
      if (record_->nodes[i].uniform && record_->nodes[i].trainable)
        reverse(record_->nodes[i], value(static_cast<int>(i)), bar(static_cast<int>(i)));
    const Index count = record_->parameter_count();
    if (adjoints.size() == count)
      gradient.swap(adjoints);
    else
      gradient = adjoints.head(count);
  }

  const BlockScalar* numbers() const {
    if constexpr (blocks_share_values)
      return values_.data();
    else
      return numbers_.data();
  }
  const Index* place() const { return place_.data(); }

  /// What samples are multiplied by from the right, one row a sample: of a matrix A in A x its transpose; A itself for
  /// the adjoints of x.
  enum class Factor { transpose, itself };
  RightFactor<BlockScalar> factor(int matrix, Factor which) const {
    RightFactor<BlockScalar> factor = unpacked(matrix, which);
    const Index place = packed_place(matrix, which);
    if (place >= 0) factor.packed = packed_.data() + place;
    return factor;
  }

  /// The matrices to which blocks add nothing but products, and of each node which of them it is (−1: none).
  const ProductMatrices& product_matrices() const { return product_matrices_; }
  const int* product_matrix() const { return product_matrix_.data(); }

 private:
  const Node& node(int i) const { return record_->nodes[static_cast<std::size_t>(i)]; }
  double* value(int i) { return values_.data() + place_[static_cast<std::size_t>(i)]; }
  double* bar(int i) const { return bars_ + place_[static_cast<std::size_t>(i)]; }

  /// Element j of an operand; a number meets every element.
  Index element(int i, Index j) const { return node(i).size() == 1 ? 0 : j; }
  double at(int i, Index j) { return value(i)[element(i, j)]; }
  double& bar_at(int i, Index j) const { return bar(i)[element(i, j)]; }

  // A matrix counts whose numbers no view shares, and that meets samples as the matrix of products only.
  void find_product_matrices() {
    constexpr int candidate = 0, none = -1;
    product_matrix_.assign(record_->nodes.size(), none);
    const auto at = [&](int i) -> int& { return product_matrix_[static_cast<std::size_t>(i)]; };
    for (const Node& n : record_->nodes)
      if (!n.uniform && n.operation == Operation::matrix_vector && node(n.a).trainable &&
          node(n.a).operation != Operation::segment)
        at(n.a) = candidate;
    for (const Node& n : record_->nodes)
      if (!n.uniform || n.operation == Operation::segment)
        record_->for_each_operand(n, [&](int operand) {
          const bool in_product_alone =
              n.operation == Operation::matrix_vector && operand == n.a && n.b != n.a && n.c != n.a && !n.optional;
          if (!in_product_alone) at(operand) = none;
        });
    std::vector<ProductMatrix>& list = product_matrices_.list;
    for (std::size_t i = 0; i < record_->nodes.size(); ++i)
      if (product_matrix_[i] == candidate) {
        list.push_back({place_[i], record_->nodes[i].rows, record_->nodes[i].cols});
        product_matrices_.size += record_->nodes[i].size();
      }
    std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.place < b.place; });
    for (std::size_t i = 0; i < record_->nodes.size(); ++i)
      for (std::size_t k = 0; k < list.size(); ++k)
        if (product_matrix_[i] != none && list[k].place == place_[i]) product_matrix_[i] = static_cast<int>(k);
  }

  // Blocks' own copies of the values from `first` on.
  void convert(Index first, Index count) {
    if constexpr (!blocks_share_values) {
      const double* from = values_.data() + first;
      BlockScalar* to = numbers_.data() + first;
      simd::for_lanes<simd::Lanes<double>>(count, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
        simd::store_as(to + i, simd::load<V>(from + i));
      });
    }
  }

  RightFactor<BlockScalar> unpacked(int matrix, Factor which) const {
    const BlockScalar* data = numbers() + place_[static_cast<std::size_t>(matrix)];
    const Index rows = node(matrix).rows;
    return which == Factor::transpose ? RightFactor<BlockScalar>{data, rows, 1}
                                      : RightFactor<BlockScalar>{data, 1, rows};
  }

  Index packed_place(int matrix, Factor which) const {
    const std::size_t part = which == Factor::transpose ? 1 : 2;
    return place_[part * record_->nodes.size() + static_cast<std::size_t>(matrix)];
  }

  // Lists a factor's strips; it comes after the `packed` numbers before it. Returns how many there are then.
  Index pack(int matrix, Factor which, Index packed) {
    using Product = Gemm<BlockScalar>;
    const std::size_t part = which == Factor::transpose ? 1 : 2;
    Index& place = place_[part * record_->nodes.size() + static_cast<std::size_t>(matrix)];
    if (place >= 0) return packed;
    place = packed;
    const auto [n, k] = right_shape(matrix, which);
    for (Index strip = 0; strip < Product::right_strips(n); ++strip) strips_.push_back({matrix, which, strip});
    return packed + Product::packed_right_size(n, k);
  }

  struct RightShape {
    Index n, k;
  };
  RightShape right_shape(int matrix, Factor which) const {
    const Index rows = node(matrix).rows, cols = node(matrix).cols;
    return which == Factor::transpose ? RightShape{rows, cols} : RightShape{cols, rows};
  }

  /// Some columns of a factor, packed on their own.
  struct Strip {
    int matrix;
    Factor which;
    Index strip;
  };
  void pack_strip(const Strip& s) {
    const auto [n, k] = right_shape(s.matrix, s.which);
    Gemm<BlockScalar>::pack_right(n, k, unpacked(s.matrix, s.which), s.strip,
                                  packed_.data() + packed_place(s.matrix, s.which));
  }

  void forward(const Node& n, double* r) {
    const Index size = n.size();
    switch (n.operation) {
      case Operation::constant:
        std::copy_n(record_->constants.data() + n.first, size, r);
        break;
      case Operation::combine:
        for (Index j = 0; j < size; ++j) r[j] = n.alpha * at(n.a, j) + (n.b >= 0 ? n.beta * at(n.b, j) : 0.0);
        break;
      case Operation::multiply:
        for (Index j = 0; j < size; ++j) r[j] = at(n.a, j) * at(n.b, j);
        break;
      case Operation::function:
        elementary::function_values<double>(*n.function, n.exponent(), value(n.a), r, size);
        break;
      case Operation::less:
        for (Index j = 0; j < size; ++j) r[j] = at(n.a, j) < at(n.b, j);
        break;
      case Operation::less_equal:
        for (Index j = 0; j < size; ++j) r[j] = at(n.a, j) <= at(n.b, j);
        break;
      case Operation::select:
        for (Index j = 0; j < size; ++j) r[j] = at(n.a, j) != 0 ? at(n.b, j) : at(n.c, j);
        break;
      case Operation::sum:
        r[0] = 0;
        for (Index j = 0; j < node(n.a).size(); ++j) r[0] += value(n.a)[j];
        break;
      case Operation::dot:
        r[0] = 0;
        for (Index j = 0; j < node(n.a).size(); ++j) r[0] += at(n.a, j) * at(n.b, j);
        break;
      case Operation::log_sum_exp:
        r[0] = log_sum_exp(value(n.a), node(n.a).size());
        break;
      case Operation::concat:
        for_each_part(n, [&](int part, Index first) { std::copy_n(value(part), node(part).size(), r + first); });
        break;
      case Operation::matrix_vector:
        for_each_product(n, [&](Index out, Index, Index, bool first) {
          if (first) r[out] = n.c >= 0 ? at(n.c, out % n.rows) : 0;
        });
        for_each_product(n, [&](Index out, Index a, Index b, bool) { r[out] += value(n.a)[a] * value(n.b)[b]; });
        break;
      case Operation::transpose:
        for (Index i = 0; i < n.rows; ++i)
          for (Index j = 0; j < n.cols; ++j) r[j * n.rows + i] = value(n.a)[i * n.cols + j];
        break;
      case Operation::parameter:  // these came first
      case Operation::input:
      case Operation::sigma:
      case Operation::label:
      case Operation::segment:
      case Operation::spread:
        break;  // a view, or not uniform
    }
  }

  static double log_sum_exp(const double* a, Index count) {
    const double largest = *std::max_element(a, a + count), shift = std::isfinite(largest) ? largest : 0;
    double total = 0;
    for (Index j = 0; j < count; ++j) total += std::exp(a[j] - shift);
    return shift + std::log(total);
  }

  /// Whether an adjoint is to be multiplied: in a branch not taken it is 0, and 0 · NaN must not leave it.
  static bool reaches(const Node& n, double r_bar) { return !n.optional || r_bar != 0; }

  void reverse(const Node& n, const double* r, const double* r_bar) {
    const Index size = n.size();
    switch (n.operation) {
      case Operation::combine:
        for (Index j = 0; j < size; ++j) {
          bar_at(n.a, j) += n.alpha * r_bar[j];
          if (n.b >= 0) bar_at(n.b, j) += n.beta * r_bar[j];
        }
        break;
      case Operation::multiply:
      case Operation::dot:
        reverse_product(n, r_bar);
        break;
      case Operation::function:
        reverse_function(n, r, r_bar);
        break;
      case Operation::select:
        for (Index j = 0; j < size; ++j) bar_at(at(n.a, j) != 0 ? n.b : n.c, j) += r_bar[j];
        break;
      case Operation::sum:
        for (Index j = 0; j < node(n.a).size(); ++j) bar(n.a)[j] += r_bar[0];
        break;
      case Operation::log_sum_exp:
        for (Index j = 0; j < node(n.a).size(); ++j)
          if (reaches(n, r_bar[0])) bar(n.a)[j] += std::exp(value(n.a)[j] - r[0]) * r_bar[0];
        break;
      case Operation::concat:
        for_each_part(n, [&](int part, Index first) {
          for (Index j = 0; j < node(part).size(); ++j) bar(part)[j] += r_bar[first + j];
        });
        break;
      case Operation::matrix_vector:
        for_each_product(n, [&](Index out, Index a, Index b, bool first) {
          if (!reaches(n, r_bar[out])) return;
          if (first && n.c >= 0) bar_at(n.c, out % n.rows) += r_bar[out];
          bar(n.a)[a] += r_bar[out] * value(n.b)[b];
          bar(n.b)[b] += r_bar[out] * value(n.a)[a];
        });
        break;
      case Operation::transpose:
        for (Index i = 0; i < n.rows; ++i)
          for (Index j = 0; j < n.cols; ++j) bar(n.a)[i * n.cols + j] += r_bar[j * n.rows + i];
        break;
      case Operation::parameter:  // its adjoint is the gradient
      case Operation::constant:
      case Operation::less:
      case Operation::less_equal:
      case Operation::input:
      case Operation::sigma:
      case Operation::label:
      case Operation::segment:
      case Operation::spread:
        break;
    }
  }

  void reverse_product(const Node& n, const double* r_bar) {
    for (Index j = 0; j < std::max(node(n.a).size(), node(n.b).size()); ++j) {
      const double up = r_bar[n.operation == Operation::dot ? 0 : j];
      if (!reaches(n, up)) continue;
      bar_at(n.a, j) += at(n.b, j) * up;
      bar_at(n.b, j) += at(n.a, j) * up;
    }
  }

  void reverse_function(const Node& n, const double* r, const double* r_bar) {
    const Index size = n.size();
    slopes_.resize(static_cast<std::size_t>(3 * size));
    elementary::function_slopes<double>(*n.function, n.exponent(), value(n.a), r, slopes_.data(), size,
                                        node(n.a).rests_at_zero);
    for (Index j = 0; j < size; ++j)
      if (reaches(n, r_bar[j])) bar(n.a)[j] += slopes_[static_cast<std::size_t>(j)] * r_bar[j];
  }

  // visit(operand, its first element in n)
  template <class Visit>
  void for_each_part(const Node& n, Visit visit) const {
    Index first = 0;
    for (Index k = 0; k < n.count; ++k) {
      const int part = record_->lists[static_cast<std::size_t>(n.first + k)];
      visit(part, first);
      first += node(part).size();
    }
  }

  // visit(element of r, of A, of b, whether it is r's first) for each term of r = A b, column by column
  template <class Visit>
  void for_each_product(const Node& n, Visit visit) const {
    const Index inner = node(n.a).cols;
    for (Index j = 0; j < n.cols; ++j)
      for (Index l = 0; l < inner; ++l)
        for (Index i = 0; i < n.rows; ++i) visit(j * n.rows + i, l * n.rows + i, j * inner + l, l == 0);
  }

  static constexpr bool blocks_share_values = std::is_same_v<BlockScalar, double>;

  const Record* record_;
  Index size_ = 0;
  ProductMatrices product_matrices_;
  std::vector<int> product_matrix_;
  std::vector<Index> place_;  ///< of each node's numbers; then of its packed transpose and of itself packed, −1: none
  std::vector<double> values_, slopes_;
  std::vector<BlockScalar> numbers_, packed_;
  std::vector<Strip> strips_;  ///< of all packed factors
  Pieces pieces_;
  double* bars_ = nullptr;
};

}  // namespace scorematch::evaluate
