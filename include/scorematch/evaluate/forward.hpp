// Forward sweeps: what Replay does for one node, by its operation.
#pragma once

#include "scorematch/evaluate/replay.hpp"

namespace scorematch::evaluate {

template <class T>
void Replay<T>::forward(int index) {
  const Node& n = node(index);
  const Slot<T>& out = slot(index);
  if (out.folded) return;
  switch (n.operation) {
    case Operation::input:  // set_points
    case Operation::sigma:
    case Operation::label:
    case Operation::segment:    // a view
    case Operation::parameter:  // uniform
    case Operation::constant:
    case Operation::transpose:
      return;
    case Operation::spread:
      return forward_spread(n, out);
    case Operation::combine:
      return forward_combine(n, out);
    case Operation::multiply:
    case Operation::dot:
      return forward_product(n, out);
    case Operation::sum:
      return forward_sum(n, out);
    case Operation::function:
      return forward_function(n, out);
    case Operation::less:
    case Operation::less_equal:
      return forward_comparison(n, out);
    case Operation::select:
      return forward_select(n, out);
    case Operation::log_sum_exp:
      return forward_log_sum_exp(n, out);
    case Operation::concat:
      return forward_concat(n, out);
    case Operation::matrix_vector:
      return forward_matrix(n, out);
  }
}

template <class T>
void Replay<T>::forward_spread(const Node& n, const Slot<T>& out) {
  for (Index j = 0; j < n.size(); ++j) Kernels<V>::fill(out.value + j * out.stride, number(n.a)[j], kernels_.samples);
}

/// The terms are read where they lie: a folded one at its operand.
template <class T>
void Replay<T>::forward_combine(const Node& n, const Slot<T>& out) {
  const Kernels<V>& k = kernels_;
  const bool a_outside = outside(n.a), b_outside = n.b >= 0 && outside(n.b);
  for (Index j = 0; j < n.size(); ++j) {
    T* to = out.value + j * out.stride;
    if (!a_outside && n.b >= 0 && !b_outside) {
      const Term a = term(n.a, n.alpha, j), b = term(n.b, n.beta, j);
      k.combine(to, a.at, a.factor, a.rows, b.at, b.factor, b.rows);
      continue;
    }
    const int moving = a_outside ? n.b : n.a, still = a_outside ? n.a : n.b;
    const Term a = term(moving, a_outside ? n.beta : n.alpha, j);
    k.add_column(to, a.at, a.factor, a.rows, true);
    if (still >= 0)
      k.add_number(to, static_cast<T>(a_outside ? n.alpha : n.beta) * number(still)[node(still).size() == 1 ? 0 : j]);
  }
}

template <class T>
void Replay<T>::forward_product(const Node& n, const Slot<T>& out) {
  if (outside(n.a) || outside(n.b)) return forward_linear(n, out);
  const Slot<T>&a = slot(n.a), &b = slot(n.b);
  const bool reduce = n.operation == Operation::dot;
  const Index count = reduce ? node(n.a).size() : n.size();
  for (Index j = 0; j < count; ++j)
    kernels_.product(out.value + (reduce ? 0 : j * out.stride), out.rows, a.value + j * a.step(node(n.a)), a.rows,
                     b.value + j * b.step(node(n.b)), b.rows, !reduce || j == 0);
}

/// multiply and dot with one uniform factor: out_j (+)= u_j a_j over all derivative rows.
template <class T>
void Replay<T>::forward_linear(const Node& n, const Slot<T>& out) {
  const bool a_outside = outside(n.a);
  const int moving = a_outside ? n.b : n.a, still = a_outside ? n.a : n.b;
  const Slot<T>& a = slot(moving);
  const bool reduce = n.operation == Operation::dot;
  const Index count = reduce ? node(n.a).size() : n.size();
  const T* u = number(still);
  const Index u_step = node(still).size() == 1 ? 0 : 1;
  for (Index j = 0; j < count; ++j)
    kernels_.add_column(out.value + (reduce ? 0 : j * out.stride), a.value + j * a.step(node(moving)), u[j * u_step],
                        a.rows, !reduce || j == 0);
}

template <class T>
void Replay<T>::forward_sum(const Node& n, const Slot<T>& out) {
  const Slot<T>& a = slot(n.a);
  for (Index j = 0; j < node(n.a).size(); ++j)
    kernels_.add_column(out.value, a.value + j * a.stride, 1, a.rows, j == 0);
}

template <class T>
void Replay<T>::forward_function(const Node& n, const Slot<T>& out) {
  const Kernels<V>& k = kernels_;
  const Index B = k.samples;
  const Slot<T>& a = slot(n.a);
  const auto values = n.function->template loops<T>().values;
  if (!k.moves(out.rows) && k.written.value && a.stride == B && out.stride == B)  // columns without gaps
    return values(n.exponent(), a.value, out.value, n.size() * B);
  for (Index j = 0; j < n.size(); ++j) {
    const T* from = a.value + j * a.stride;
    T* to = out.value + j * out.stride;
    if (n.function->is_square) {
      k.product(to, out.rows, from, a.rows, from, a.rows, true);
      continue;
    }
    if (k.written.value) values(n.exponent(), from, to, B);
    if (!k.moves(out.rows)) continue;
    const T* slope = slopes(n, from, to, k.written.last);
    k.function(to, out.rows, from, a.rows, slope, slope + B);
  }
}

template <class T>
void Replay<T>::forward_comparison(const Node& n, const Slot<T>& out) {
  if (!kernels_.written.value) return;
  const Slot<T>&a = slot(n.a), &b = slot(n.b);
  for (Index j = 0; j < n.size(); ++j)
    kernels_.less(out.value + j * out.stride, a.value + j * a.step(node(n.a)), b.value + j * b.step(node(n.b)),
                  n.operation == Operation::less_equal);
}

template <class T>
void Replay<T>::forward_select(const Node& n, const Slot<T>& out) {
  const Slot<T>&a = slot(n.a), &b = slot(n.b), &c = slot(n.c);
  for (Index j = 0; j < n.size(); ++j)
    kernels_.select(out.value + j * out.stride, out.rows, a.value + j * a.step(node(n.a)),
                    b.value + j * b.step(node(n.b)), b.rows, c.value + j * c.step(node(n.c)), c.rows);
}

template <class T>
void Replay<T>::forward_log_sum_exp(const Node& n, const Slot<T>& out) {
  const Slot<T>& a = slot(n.a);
  kernels_.log_sum_exp(out.value, out.rows, a.value, a.stride, a.rows, node(n.a).size());
}

template <class T>
void Replay<T>::forward_concat(const Node& n, const Slot<T>& out) {
  T* to = out.value;
  for (const int* part = part_begin(n); part != part_end(n); ++part) {
    const Slot<T>& a = slot(*part);
    for (Index j = 0; j < node(*part).size(); ++j, to += out.stride) {
      if (a.rows < out.rows) kernels_.clear(to, out.rows);
      kernels_.add_column(to, a.value + j * a.stride, 1, a.rows, true);
    }
  }
}

/// Along the axes, the derivative rows of A x are the numbers of A.
template <class T>
void Replay<T>::forward_matrix(const Node& n, const Slot<T>& out) {
  const Slot<T>& in = slot(n.b);
  const Index B = kernels_.samples, m = n.rows, inner = node(n.b).size();
  const bool along_axes = reads_axes(n);
  const T* A = number(n.a);
  const RightFactor<T> factor = outside_.part->factor(n.a, UniformPart<T>::Factor::transpose);
  kernels_.for_each_run(along_axes ? 1 : out.rows, [&](Index i, Index count) {
    Gemm<T>::multiply(count, m, inner, in.value + i, in.stride, factor, out.value + i, out.stride, false,
                      n.c >= 0 && i == 0 ? number(n.c) : nullptr, B);
  });
  if (!along_axes) return;
  for (Index j = 0; j < m; ++j)  // ∂(A x)_j/∂x_c = A_jc
    for (int c = 0; c < kernels_.jets.directions(); ++c)
      Kernels<V>::fill(out.value + j * out.stride + (1 + c) * B, axis_ + c < inner ? A[(axis_ + c) * m + j] : T(0), B);
}

}  // namespace scorematch::evaluate
