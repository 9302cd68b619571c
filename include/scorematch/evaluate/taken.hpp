// Branches of `where` in reverse sweeps: which samples take the nodes that only branches read. A sample that takes a
// node takes its operands, except the branches that it does not choose. A node that only
// comparisons read has no adjoint.
#pragma once

#include "scorematch/evaluate/replay.hpp"

namespace scorematch::evaluate {

/// Adds those who take a node, `takers` (null: all), to those who take element j of an operand.
template <class T>
void Replay<T>::take(int operand, Index j, const T* takers, const T* condition, bool chosen) {
  T* rows = operand < 0 || slot(operand).taken_with >= 0 ? nullptr : slot(operand).taken;
  if (rows == nullptr) return;
  kernels_.take(rows + (node(operand).size() == 1 ? 0 : j) * kernels_.samples, takers, condition, chosen);
}

template <class T>
void Replay<T>::take_operands(int index) {
  const Node& n = node(index);
  switch (n.operation) {
    case Operation::combine:
    case Operation::multiply:
    case Operation::function:
      for (Index j = 0; j < n.size(); ++j) take(n.a, j, taken(index, j)), take(n.b, j, taken(index, j));
      return;
    case Operation::sum:
    case Operation::dot:
    case Operation::log_sum_exp:
      for (Index j = 0; j < node(n.a).size(); ++j) take(n.a, j, taken(index, 0)), take(n.b, j, taken(index, 0));
      return;
    case Operation::segment:
      for (Index j = 0; j < n.size(); ++j) take(n.a, n.first + j, taken(index, j));
      return;
    case Operation::concat: {
      Index column = 0;
      for (const int* part = part_begin(n); part != part_end(n); ++part)
        for (Index j = 0; j < node(*part).size(); ++j, ++column) take(*part, j, taken(index, column));
      return;
    }
    case Operation::matrix_vector:
      for (Index l = 0; l < node(n.b).size(); ++l)
        for (Index j = 0; j < (slot(index).taken == nullptr ? 1 : n.rows); ++j) take(n.b, l, taken(index, j));
      return;
    case Operation::select:
      return take_choice(index);
    case Operation::input:
    case Operation::sigma:
    case Operation::label:
    case Operation::spread:
    case Operation::parameter:
    case Operation::constant:
    case Operation::transpose:
    case Operation::less:
    case Operation::less_equal:
      return;
  }
}

template <class T>
void Replay<T>::take_choice(int index) {
  const Node& n = node(index);
  const Slot<T>& condition = slot(n.a);
  for (Index j = 0; j < n.size(); ++j) {
    const T* holds = condition.value + j * condition.step(node(n.a));
    take(n.b, j, taken(index, j), holds, true);
    take(n.c, j, taken(index, j), holds, false);
  }
}

}  // namespace scorematch::evaluate
