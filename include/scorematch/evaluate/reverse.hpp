// Reverse sweeps: what Replay does for one node, by its operation. Each passes the adjoint r̄ of a node's value r, with
// its derivative rows, on to the operands.
#pragma once

#include "scorematch/evaluate/replay.hpp"

namespace scorematch::evaluate {

template <class T>
void Replay<T>::reverse(int index) {
  const Node& n = node(index);
  const Slot<T>& out = slot(index);
  if (!wanted_.any(n) || !slot(out.owner).touched) return;
  if (optional_numbers_ > 0) take_operands(index);
  switch (n.operation) {
    case Operation::input:
    case Operation::sigma:
    case Operation::label:
    case Operation::segment:  // its adjoint is its source's
    case Operation::parameter:
    case Operation::constant:
    case Operation::less:
    case Operation::less_equal:
    case Operation::transpose:
      return;
    case Operation::spread:
      return add_linear_adjoint(n.a, out.bar, out.bar_stride, 1, n.size());
    case Operation::combine:
      add_linear_adjoint(n.a, out.bar, out.bar_stride, static_cast<T>(n.alpha), n.size());
      if (n.b >= 0) add_linear_adjoint(n.b, out.bar, out.bar_stride, static_cast<T>(n.beta), n.size());
      return;
    case Operation::sum:
      return add_linear_adjoint(n.a, out.bar, 0, 1, node(n.a).size());
    case Operation::multiply:
    case Operation::dot:
      return reverse_product(index);
    case Operation::function:
      return reverse_function(index);
    case Operation::select:
      return reverse_select(index);
    case Operation::log_sum_exp:
      return reverse_log_sum_exp(index);
    case Operation::concat:
      return reverse_concat(index);
    case Operation::matrix_vector:
      return reverse_matrix(index);
  }
}

/// reverse() in a sweep for x alone, of a node with the adjoint `bar` in every sample.
template <class T>
void Replay<T>::reverse_steady(int index, T bar) {
  const Node& n = node(index);
  const Index B = kernels_.samples;
  if (!wanted_.any(n)) return;
  if (n.symmetric) {
    const int matrix = node(form_product(*record_, n)).a;
    const Index d = node(matrix).rows;
    bool fresh = false;
    const Slot<T>& v = slot(form_vector(*record_, n));
    Slot<T>& to = adjoint(form_vector(*record_, n), fresh);
    Gemm<T>::multiply(B, d, d, v.value, v.stride, outside_.part->factor(matrix, UniformPart<T>::Factor::itself), to.bar,
                      to.bar_stride, !fresh, nullptr, 0, 2 * bar);
    return;
  }
  Slot<T>& out = slot(index);
  Kernels<V>::fill(out.bar, bar, B);
  for (const auto& [operand, factor] : {std::pair{n.a, n.alpha}, std::pair{n.b, n.beta}})
    if (operand >= 0 && steady_[static_cast<std::size_t>(operand)] == 0)
      add_linear_adjoint(operand, out.bar, out.bar_stride, static_cast<T>(factor), 1);
}

/// target's adjoint += α r̄_j for j < n, over the target's rows (or, outside the block, its sum over samples).
template <class T>
void Replay<T>::add_linear_adjoint(int target, const T* r_bar, Index r_step, T alpha, Index n) {
  if (!wanted_.any(node(target))) return;
  const Index B = kernels_.samples;
  if (outside(target)) {
    const Index step = node(target).size() == 1 ? 0 : 1;
    for (Index j = 0; j < n; ++j)
      number_bar(target)[j * step] += static_cast<double>(alpha) * Kernels<V>::sum(r_bar + j * r_step, B);
    return;
  }
  bool fresh = false;
  Slot<T>& to = adjoint(target, fresh);
  if (to.adopts) return;
  const Index step = to.bar_step(node(target));
  for (Index j = 0; j < n; ++j)
    kernels_.add_column(to.bar + j * step, r_bar + j * r_step, alpha, to.rows, fresh && (step != 0 || j == 0));
}

template <class T>
void Replay<T>::reverse_product(int index) {
  const Node& n = node(index);
  const Slot<T>& out = slot(index);
  if (n.symmetric) {  // vᵀAv: both factors give the same adjoint of v
    kernels_.add_column(out.bar, out.bar, 1, out.rows, false);
    return reverse_factor(index, form_vector(*record_, n), form_product(*record_, n));
  }
  reverse_factor(index, n.a, n.b);
  reverse_factor(index, n.b, n.a);
}

/// The adjoint of one factor of multiply or dot.
template <class T>
void Replay<T>::reverse_factor(int index, int target, int other) {
  if (!wanted_.any(node(target))) return;
  const Node& n = node(index);
  const Slot<T>& out = slot(index);
  const Index B = kernels_.samples;
  const bool reduce = n.operation == Operation::dot;
  const Index count = reduce ? node(n.a).size() : n.size(), r_step = reduce ? 0 : out.bar_stride;
  if (outside(target)) {  // ū_j += Σ over samples and rows of a r̄
    const Slot<T>& a = slot(other);
    const Index step = node(target).size() == 1 ? 0 : 1;
    for (Index j = 0; j < count; ++j)
      number_bar(target)[j * step] += Kernels<V>::dot(seen(a.value + j * a.step(node(other)), a.rows, taken(index, j)),
                                                      out.bar + j * r_step, a.rows * B);
    return;
  }
  bool fresh = false;
  Slot<T>& to = adjoint(target, fresh);
  const Index step = to.bar_step(node(target));
  for (Index j = 0; j < count; ++j) {
    const bool first = fresh && (step != 0 || j == 0);
    const T* takers = taken(index, j);
    if (outside(other)) {
      const T factor = number(other)[node(other).size() == 1 ? 0 : j];
      if (takers == nullptr)
        kernels_.add_column(to.bar + j * step, out.bar + j * r_step, factor, to.rows, first);
      else
        kernels_.add_taken(to.bar + j * step, out.bar + j * r_step, factor, to.rows, first, takers);
    } else {
      const Slot<T>& b = slot(other);
      kernels_.product_adjoint(to.bar + j * step, to.rows, first,
                               seen(b.value + j * b.step(node(other)), b.rows, takers), b.rows, out.bar + j * r_step,
                               out.rows);
    }
  }
}

template <class T>
void Replay<T>::reverse_function(int index) {
  const Node& n = node(index);
  const Kernels<V>& k = kernels_;
  const Index B = k.samples;
  const Slot<T>&a = slot(n.a), &out = slot(index);
  bool fresh = false;
  Slot<T>& to = adjoint(n.a, fresh);
  const bool value_only = !k.moves(out.rows);
  if (value_only && out.taken == nullptr) return reverse_first_slopes(index, to, fresh);
  for (Index j = 0; j < n.size(); ++j) {
    const T *from = a.value + j * a.stride, *bar = out.bar + j * out.bar_stride, *takers = taken(index, j);
    T* into = to.bar + j * to.bar_stride;
    if (n.function->is_square && !value_only) {
      k.template product_adjoint<true>(into, to.rows, fresh, seen(from, a.rows, takers), a.rows, bar, out.rows);
      continue;
    }
    T* slope = slopes(n, from, out.value + j * out.stride, value_only ? 0 : k.jets.directions());
    if (takers != nullptr) k.keep_taken(slope, slope, value_only ? 1 : 3, takers);
    if (value_only)
      k.add_times(into, slope, bar, fresh);
    else
      k.function_adjoint(into, to.rows, fresh, seen(from, a.rows, takers), bar, out.rows, slope, slope + B,
                         slope + 2 * B);
  }
}

/// Of a function that has its value row alone, and that all samples take: columns without gaps in one run.
template <class T>
void Replay<T>::reverse_first_slopes(int index, Slot<T>& to, bool fresh) {
  const Node& n = node(index);
  const Index B = kernels_.samples;
  const Slot<T>&a = slot(n.a), &out = slot(index);
  const bool together = a.stride == B && out.stride == B && out.bar_stride == B && to.bar_stride == B;
  const Index runs = together ? 1 : n.size(), count = n.size() / runs * B;
  for (Index j = 0; j < runs; ++j)
    n.function->template loops<T>().add_first_slopes(n.exponent(), a.value + j * a.stride, out.value + j * out.stride,
                                                     out.bar + j * out.bar_stride, to.bar + j * to.bar_stride, fresh,
                                                     count, node(n.a).rests_at_zero);
}

template <class T>
void Replay<T>::reverse_select(int index) {
  const Node& n = node(index);
  const Slot<T>&out = slot(index), &condition = slot(n.a);
  for (const bool chosen : {true, false}) {
    const int target = chosen ? n.b : n.c;
    if (!wanted_.any(node(target))) continue;
    bool fresh = false;
    Slot<T>& to = adjoint(target, fresh);
    const Index step = to.bar_step(node(target));
    for (Index j = 0; j < n.size(); ++j)
      kernels_.select_adjoint(to.bar + j * step, to.rows, fresh && (step != 0 || j == 0),
                              condition.value + j * condition.step(node(n.a)), chosen, out.bar + j * out.bar_stride);
  }
}

template <class T>
void Replay<T>::reverse_log_sum_exp(int index) {
  const Node& n = node(index);
  const Slot<T>&a = slot(n.a), &out = slot(index);
  const Index B = kernels_.samples, count = node(n.a).size();
  const T *values = a.value, *r = out.value;
  Index stride = a.stride;
  if (out.taken != nullptr) {
    stride = a.rows * B;
    T* copies = seen_columns_.reserve(count * stride);
    for (Index j = 0; j < count; ++j)
      kernels_.keep_taken(copies + j * stride, a.value + j * a.stride, a.rows, out.taken);
    values = copies;
    r = seen(out.value, out.rows, out.taken);
  }
  bool fresh = false;
  Slot<T>& to = adjoint(n.a, fresh);
  kernels_.log_sum_exp_adjoint(to.bar, to.bar_stride, to.rows, fresh, values, stride, r, out.bar, out.rows, count);
}

template <class T>
void Replay<T>::reverse_concat(int index) {
  const Node& n = node(index);
  const Slot<T>& out = slot(index);
  const T* bar = out.bar;
  for (const int* part = part_begin(n); part != part_end(n); ++part) {
    add_linear_adjoint(*part, bar, out.bar_stride, 1, node(*part).size());
    bar += node(*part).size() * out.bar_stride;
  }
}

template <class T>
void Replay<T>::reverse_matrix(int index) {
  const Node& n = node(index);
  const Slot<T>& out = slot(index);
  const Index m = n.rows, inner = node(n.b).size();
  if (wanted_.theta && n.c >= 0 && node(n.c).trainable)
    for (Index j = 0; j < m; ++j) number_bar(n.c)[j] += Kernels<V>::sum(out.bar + j * out.bar_stride, kernels_.samples);
  if (wanted_.theta && node(n.a).trainable) add_matrix_adjoint(index);
  if (!wanted_.any(node(n.b))) return;
  bool fresh = false;
  Slot<T>& to = adjoint(n.b, fresh);
  const RightFactor<T> factor = outside_.part->factor(n.a, UniformPart<T>::Factor::itself);
  kernels_.for_each_run(out.rows, [&](Index i, Index count) {
    Gemm<T>::multiply(count, inner, m, out.bar + i, out.bar_stride, factor, to.bar + i, to.bar_stride, !fresh);
  });
}

/// Ā += Σ r̄ bᵀ over samples and derivative rows.
template <class T>
void Replay<T>::add_matrix_adjoint(int index) {
  const Node& n = node(index);
  const Slot<T>&out = slot(index), &in = slot(n.b);
  const Index B = kernels_.samples, tall = out.rows * B, m = n.rows, inner = node(n.b).size();
  const bool along_axes = reads_axes(n);
  double* bar = number_bar(n.a);
  const T* values = in.value;
  Index stride = in.stride;
  if (out.taken != nullptr) {  // of b, what a sample needs that takes any row of A b
    T* any = seen_columns_.reserve(B + inner * tall);
    Kernels<V>::fill(any, 0, B);
    for (Index j = 0; j < m; ++j) kernels_.take(any, taken(index, j));
    T* copies = any + B;
    for (Index l = 0; l < inner; ++l) kernels_.keep_taken(copies + l * tall, in.value + l * in.stride, out.rows, any);
    values = copies, stride = tall;
  }
  if (outside_.withheld != nullptr && outside_.product_matrix[n.a] >= 0)
    withhold(n, out, in);
  else
    Gemm<T>::multiply_transposed(m, inner, along_axes ? B : tall, out.bar, out.bar_stride, values, stride, bar,
                                 room_.reserve(Gemm<T>::transposed_room));
  if (along_axes)
    for (Index j = 0; j < m; ++j)
      for (int c = 0; c < kernels_.jets.directions() && axis_ + c < inner; ++c)
        bar[(axis_ + c) * m + j] += Kernels<V>::sum(out.bar + j * out.bar_stride + (1 + c) * B, B);
}

/// Lists the product of reverse_matrix, its first factor packed: the adjoints are soon written over, b stays.
template <class T>
void Replay<T>::withhold(const Node& n, const Slot<T>& out, const Slot<T>& in) {
  Withheld<T>& list = *outside_.withheld;
  const Index tall = out.rows * kernels_.samples, m = n.rows;
  const std::size_t at = list.products.size();
  if (list.packed.size() <= at) list.packed.resize(at + 1);
  T* packed = list.packed[at].reserve(Gemm<T>::packed_size(m, tall));
  Gemm<T>::pack(m, tall, out.bar, out.bar_stride, packed);
  list.products.push_back({m, node(n.b).size(), tall, packed, in.value, in.stride});
  list.matrices.push_back(outside_.product_matrix[n.a]);
}

}  // namespace scorematch::evaluate
