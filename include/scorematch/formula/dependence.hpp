// Which elements of x each element of a formula's result depends on, as far as its record shows.
#pragma once

#include <utility>
#include <vector>

#include "scorematch/formula/record.hpp"

namespace scorematch::formula {

/// Read from the record, so that it holds for every x and θ; never sampled. A value that is said to depend may still
/// not do so (x − x, a parameter that is 0); one that is said not to never does. Zeros of constant
/// vectors and matrices count.
class Dependence {
 public:
  explicit Dependence(const Record& record) : record_(&record), sets_(record.nodes.size()) {
    for (std::size_t i = 0; i < record.nodes.size(); ++i)
      if (!record.nodes[i].uniform) find(record.nodes[i], sets_[i]);
    affine_ = record.result().in_x != InX::curved;
    for (std::size_t i = 0; i < record.nodes.size(); ++i) {  // pieces of planes are none
      const Node& n = record.nodes[i];
      const bool bends = facts_of(n.operation).in_pieces || (n.function != nullptr && n.function->has_kink);
      if (bends && !n.uniform) affine_ = false;
    }
  }

  /// Whether element `output` of the result depends on element `input` of x.
  bool operator()(Index output, Index input) const { return sets_[index(record_->output)].at(output, input); }

  /// Whether the result is A x + b, with A and b the same for every x.
  bool affine() const { return affine_; }

  /// The result is a triangular map of x up to the order of its elements and those of x: the k-th output of the list
  /// depends on the k-th input, and on none of those after it. Empty where there is no such order. The determinant of
  /// ∂result/∂x is then, up to its sign, the product of ∂output_k/∂input_k.
  std::vector<std::pair<Index, Index>> triangular_order() const {
    const Index d = record_->dimension;
    if (record_->result().size() != d) return {};
    std::vector<std::pair<Index, Index>> order;
    std::vector<char> output_taken(static_cast<std::size_t>(d)), input_taken(static_cast<std::size_t>(d));
    while (static_cast<Index>(order.size()) < d) {
      const std::size_t before = order.size();
      for (Index output = 0; output < d; ++output) {
        if (output_taken[index(output)]) continue;
        Index left = 0, last = -1;
        for (Index input = 0; input < d; ++input)
          if (!input_taken[index(input)] && (*this)(output, input)) ++left, last = input;
        if (left != 1) continue;
        output_taken[index(output)] = input_taken[index(last)] = 1;
        order.emplace_back(output, last);
      }
      if (order.size() == before) return {};
    }
    return order;
  }

 private:
  /// For each element of a value the elements of x that it depends on.
  struct Sets {
    Index inputs = 0;
    std::vector<char> on;

    bool at(Index element, Index input) const { return on[index(element * inputs + input)]; }
    void add(Index element, const Sets& from, Index of) {
      if (from.on.empty()) return;  // uniform
      for (Index k = 0; k < inputs; ++k) on[index(element * inputs + k)] |= from.on[index(of * inputs + k)];
    }
  };

  static std::size_t index(Index i) { return static_cast<std::size_t>(i); }
  const Node& node(int i) const { return record_->nodes[index(i)]; }

  /// Whether the element of a uniform value is the constant 0.
  bool is_zero(int operand, Index row, Index col) const {
    const Node& n = node(operand);
    if (n.operation == Operation::transpose) return is_zero(n.a, col, row);
    return n.operation == Operation::constant && record_->constants[index(n.first + col * n.rows + row)] == 0;
  }

  void find(const Node& n, Sets& sets) const {
    sets.inputs = record_->dimension;
    sets.on.assign(index(n.size() * sets.inputs), 0);
    const auto element = [&](int operand, Index j) { return node(operand).size() == 1 ? 0 : j; };
    const auto add = [&](Index to, int operand, Index j) { sets.add(to, sets_[index(operand)], element(operand, j)); };
    switch (n.operation) {
      case Operation::input:
        for (Index j = 0; j < n.size(); ++j) sets.on[index(j * sets.inputs + j)] = 1;
        break;
      case Operation::segment:
        for (Index j = 0; j < n.size(); ++j) add(j, n.a, n.first + j);
        break;
      case Operation::concat: {
        Index to = 0;
        record_->for_each_operand(n, [&](int part) {
          for (Index j = 0; j < node(part).size(); ++j) add(to++, part, j);
        });
        break;
      }
      case Operation::matrix_vector:
        for (Index i = 0; i < n.rows; ++i)
          for (Index j = 0; j < node(n.a).cols; ++j)
            if (!is_zero(n.a, i, j)) add(i, n.b, j);
        break;
      case Operation::multiply:
      case Operation::dot:
        for (Index j = 0; j < std::max(node(n.a).size(), node(n.b).size()); ++j) {
          if (is_zero(n.a, element(n.a, j), 0) || is_zero(n.b, element(n.b, j), 0)) continue;
          add(n.operation == Operation::dot ? 0 : j, n.a, j);
          add(n.operation == Operation::dot ? 0 : j, n.b, j);
        }
        break;
      case Operation::sum:
      case Operation::log_sum_exp:
        for (Index j = 0; j < node(n.a).size(); ++j) add(0, n.a, j);
        break;
      case Operation::combine:  // element by element
      case Operation::function:
      case Operation::less:
      case Operation::less_equal:
      case Operation::select:
        record_->for_each_operand(n, [&](int operand) {
          for (Index j = 0; j < n.size(); ++j) add(j, operand, j);
        });
        break;
      case Operation::sigma:  // of no element
      case Operation::label:
      case Operation::spread:
      case Operation::parameter:
      case Operation::constant:
      case Operation::transpose:
        break;
    }
  }

  const Record* record_;
  std::vector<Sets> sets_;
  bool affine_ = false;
};

}  // namespace scorematch::formula
