// Replaying a record over a block of samples: a forward sweep that carries jets, and a reverse sweep that gives the
// adjoints of θ, of x, or of both.
//
// A sample's derivatives do not see the branches of `where` that it does not take: neither 0 · NaN nor 0 · ∞ must leave
// them. Going forward, whole jets are chosen. Going back, the adjoints that enter such a branch are 0, and what they
// are multiplied by there is 0 too: which samples need an element is carried back with its adjoint, in rows of 1 and 0.
// Only nodes that branches alone read (`Node::optional`) have such rows.
//
// The part that depends on θ alone is evaluated first, once a batch (UniformPart, in double); the blocks read it as
// plain numbers and add their adjoints to it; at the end one small reverse sweep turns these into the gradient with
// respect to θ.
#pragma once

#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "scorematch/evaluate/gemm.hpp"
#include "scorematch/evaluate/plan.hpp"
#include "scorematch/evaluate/uniform_part.hpp"

namespace scorematch::evaluate {

/// Uninitialised numbers on a cache line's boundary; grows, never shrinks.
template <class T>
class Buffer {
 public:
  T* reserve(Index count) {
    if (count > capacity_) {
      data_.reset(static_cast<T*>(::operator new(static_cast<std::size_t>(count) * sizeof(T), alignment)));
      capacity_ = count;
    }
    return data_.get();
  }
  T* data() const { return data_.get(); }

 private:
  static constexpr std::align_val_t alignment{64};
  struct Free {
    void operator()(T* p) const { ::operator delete(p, alignment); }
  };
  std::unique_ptr<T, Free> data_;
  Index capacity_ = 0;
};

/// The derivatives that a reverse sweep computes.
struct Wanted {
  bool theta = false, x = false;

  bool any(const Node& node) const { return (theta && node.trainable) || (x && node.in_x != InX::constant); }
};

/// The products of one block's reverse sweep that are left for later (UniformPart::product_matrices).
template <class T>
struct Withheld {
  std::vector<TransposedProduct<T>> products;
  std::vector<int> matrices;      ///< of each product, which matrix's adjoint it is part of
  std::vector<Buffer<T>> packed;  ///< as many as any sweep has needed

  void clear() {
    products.clear();
    matrices.clear();
  }
};

/// The columns of one node: value and, in reverse sweeps, adjoint. `stride` is the distance between columns.
template <class T>
struct Slot {
  T* value = nullptr;
  T* bar = nullptr;
  Index stride = 0, bar_stride = 0;
  Index place = 0;      ///< of its first column among all columns
  T* taken = nullptr;   ///< of an optional node, in reverse sweeps: which samples take it, a row an element
  int taken_with = -1;  ///< the node whose rows these are
  int rows = 0;
  int owner = 0;         ///< the node whose columns these are: another one for a segment
  bool shared = false;   ///< a segment, or the source of one
  bool touched = false;  ///< its adjoint has been written in this sweep
  bool folded = false;   ///< u a with a uniform u, in one sum alone, which reads a itself: there is no value
  bool adopts = false;   ///< in one sum alone, as it is: the adjoint is that of the sum, in its storage

  /// Columns for operands of size 1 that meet n columns repeat.
  Index step(const Node& node) const { return node.size() == 1 ? 0 : stride; }
  Index bar_step(const Node& node) const { return node.size() == 1 ? 0 : bar_stride; }
};

/// One thread's sweeps over blocks of one size, with one shape of jets.
template <class T>
class Replay {
  using V = simd::Lanes<T>;

 public:
  /// `samples` is a multiple of the lane count.
  Replay(const Record& record, Jets jets, Index samples) : Replay(record, jets, samples, nullptr) {}

  Jets jets() const { return kernels_.jets; }
  Index samples() const { return kernels_.samples; }

  /// The order-0 sweeps of the same points, in the storage of this replay, which has one straight direction: its values
  /// are the value rows here, and its adjoints, swept back for x, the straight direction's adjoints.
  Replay& order_zero() {
    if (!order_zero_) order_zero_.reset(new Replay(*record_, {}, samples(), this));
    order_zero_->outside_ = outside_;
    return *order_zero_;
  }

  /// Attaches the θ of `part` and the adjoints (may be null) that reverse sweeps add to. With `withheld` they add no
  /// products to those of the part's product matrices: these are listed there, and good until the next sweep.
  void attach(const UniformPart<T>& part, double* adjoints, Withheld<T>* withheld = nullptr) {
    outside_ = {&part, part.numbers(), part.place(), part.product_matrix(), adjoints, withheld};
  }

  /// Sets x: B × d without gaps; and, for records that take them, sigma: B numbers, and label: B classes, −1 for none.
  /// Without directions x is not copied: it must stay until the sweeps are over.
  void set_points(const T* x, const T* sigma, const int* label = nullptr) {
    const Index B = kernels_.samples;
    if (input_ >= 0 && jets().directions() == 0) {
      for (Slot<T>& s : slots_)
        if (s.owner == input_) s.value = const_cast<T*>(x) + (s.place - input().place);  // only ever read
    } else if (input_ >= 0) {
      for (Index j = 0; j < record_->dimension; ++j) std::copy_n(x + j * B, B, input().value + j * input().stride);
    }
    if (sigma_ >= 0) std::copy_n(sigma, B, slots_[static_cast<std::size_t>(sigma_)].value);
    if (label_ >= 0) {
      const Slot<T>& to = slots_[static_cast<std::size_t>(label_)];
      std::fill_n(to.value, node(label_).size() * to.stride, T(0));
      for (Index i = 0; i < B; ++i)
        if (label[i] >= 0) to.value[label[i] * to.stride + i] = T(1);
    }
  }

  /// The directions are the unit vectors of the axes from `first` on, 0 beyond the last.
  void set_axes(Index first) {
    if (input_ < 0 || axis_ == first) return;
    axis_ = first;
    const Index B = kernels_.samples;
    for (Index j = 0; j < record_->dimension; ++j)
      for (int c = 0; c < jets().directions(); ++c)
        Kernels<V>::fill(input().value + j * input().stride + (1 + c) * B, j == first + c ? T(1) : T(0), B);
  }

  /// Direction c: B × d, column stride `stride`; null is the zero vector.
  void set_direction(int c, const T* v, Index stride) {
    if (input_ < 0) return;
    axis_ = -1;
    const Index B = kernels_.samples;
    for (Index j = 0; j < record_->dimension; ++j) {
      T* to = input().value + j * input().stride + (1 + c) * B;
      if (v != nullptr)
        std::copy_n(v + j * stride, B, to);
      else
        Kernels<V>::fill(to, 0, B);
    }
  }

  void forward() { forward(Written::all(jets())); }

  /// The same for the rows `written` alone: the others stand from sweeps over the same points.
  void forward(Written written) {
    kernels_.written = written;
    for (std::size_t i = 0; i < record_->nodes.size(); ++i)
      if (!record_->nodes[i].uniform) forward(static_cast<int>(i));
  }

  /// forward() of the values that reverse_for_x reads: not the formula's own, as a rule.
  void forward_for_x() {
    kernels_.written = Written::all(jets());
    if (read_for_x_.empty()) {
      steady_ = steady_adjoints(*record_);
      read_for_x_ = read_for_x(*record_, steady_);
    }
    for (std::size_t i = 0; i < record_->nodes.size(); ++i)
      if (read_for_x_[i]) forward(static_cast<int>(i));
  }

  /// Row `row` (0 the value, 1 + c direction c, last the second derivatives) of output element j: B numbers.
  /// Null where that row is zero for this record.
  const T* result(Index j, int row) const {
    const Slot<T>& s = slots_[static_cast<std::size_t>(record_->output)];
    const int place = row <= jets().directions() ? row : (kernels_.curves(s.rows) ? row : s.rows);
    return place < s.rows ? s.value + j * s.stride + place * kernels_.samples : nullptr;
  }

  /// Starts a reverse sweep: all of the output's adjoints are 0. x's adjoints go to `x_bar`, B × d without gaps; null
  /// where they are not wanted. With directions they are read by input_adjoint instead.
  void start_reverse(Wanted wanted, T* x_bar = nullptr) { start_reverse(wanted, x_bar, Written::all(jets())); }

  /// The same for θ, after order_zero()'s reverse sweep. Adjoints of the straight direction and of second derivatives
  /// obey the same rule as the value's in order 0: the former are known, the latter are `second` times them (B numbers;
  /// not read where nothing is curved). No seed but those of the curved directions is to be written.
  void start_reverse_after_order_zero(const T* second) {
    second_ = second;
    start_reverse({.theta = true}, nullptr, {0, jets().curved, true, false});
  }

  /// After a reverse sweep with directions that wanted x: the adjoint of the value of x's element j, B numbers. Null
  /// where the formula does not use x.
  const T* input_adjoint(Index j) const {
    return input_ >= 0 && input().touched ? input().bar + j * input().bar_stride : nullptr;
  }

  /// Where to write the seed of a row (as in `result`), or null.
  T* seed(Index j, int row) {
    const T* at = result(j, row);
    const Slot<T>& s = slots_[static_cast<std::size_t>(record_->output)];
    return at == nullptr ? nullptr : s.bar + (at - s.value);
  }

  /// Sweeps back. θ-adjoints are added to those attached.
  void reverse() {
    for (std::size_t i = record_->nodes.size(); i-- > 0;)
      if (!record_->nodes[i].uniform) reverse(static_cast<int>(i));
    finish_reverse();
  }

  /// After forward_for_x(), the reverse sweep for x alone from the same adjoint of the output, a number, for every
  /// sample. While that number passes through sums and multiples it stays one: no column is made of it, and of a
  /// symmetric form vᵀAv nothing is left but the product A v.
  void reverse_for_x(T seed, T* x_bar) {
    start_reverse({.x = true}, x_bar);
    Kernels<V>::fill(slot(record_->output).bar, seed, kernels_.samples);
    for (std::size_t i = record_->nodes.size(); i-- > 0;)
      if (steady_[i] != 0)
        reverse_steady(static_cast<int>(i), seed * static_cast<T>(steady_[i]));
      else if (!record_->nodes[i].uniform)
        reverse(static_cast<int>(i));
    finish_reverse();
  }

 private:
  /// How a block reads the uniform values: numbers (and matrices as right factors) and the adjoints it adds to.
  struct Outside {
    const UniformPart<T>* part = nullptr;
    const T* numbers = nullptr;
    const Index* place = nullptr;
    const int* product_matrix = nullptr;
    double* bar = nullptr;
    Withheld<T>* withheld = nullptr;
  };

  // With a host: in its storage, but for x, which is read and swept back to where it lies.
  Replay(const Record& record, Jets jets, Index samples, Replay* host) : record_(&record), slots_(record.nodes.size()) {
    kernels_ = {samples, jets, Written::all(jets)};
    make_slots();
    place_values(host);
    if (host != nullptr) share_adjoints(*host);
  }

  void make_slots() {
    const std::vector<int> owners = owners_of_columns(*record_), takers = taken_with(*record_);
    const std::vector<char> shared = shared_columns(*record_, owners);
    const std::vector<Summand> summands = single_summands(*record_, jets(), shared);
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const Node& n = record_->nodes[i];
      if (n.uniform) continue;
      Slot<T>& s = slots_[i];
      s.rows = jets().rows(n.in_x);
      s.owner = owners[i];
      s.shared = shared[i] != 0;
      s.folded = summands[i].folded;
      s.adopts = summands[i].adopts;
      s.taken_with = takers[i];
      if (is_optional(n) && s.taken_with < 0) optional_numbers_ += n.size() * samples();
      if (n.operation == Operation::input) input_ = static_cast<int>(i);
      if (n.operation == Operation::sigma) sigma_ = static_cast<int>(i);
      if (n.operation == Operation::label) label_ = static_cast<int>(i);
    }
  }

  bool owns_columns(std::size_t i) const {
    return !record_->nodes[i].uniform && slots_[i].owner == static_cast<int>(i);
  }

  void place_values(const Replay* host) {
    Index total = 0;
    for (std::size_t i = 0; i < slots_.size(); ++i)
      if (owns_columns(i)) total += record_->nodes[i].size() * slots_[i].rows * samples();
    T* values = host == nullptr ? values_.reserve(total) : host->values_.data();
    Index at = 0;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const Node& n = record_->nodes[i];
      if (n.uniform) continue;
      Slot<T>& s = slots_[i];
      s.stride = s.rows * samples();
      s.place = owns_columns(i) ? at : slot(n.a).place + n.first * s.stride;
      s.value = values + s.place;
      if (owns_columns(i)) at += n.size() * s.stride;
    }
  }

  void share_adjoints(Replay& host) {
    host.place_adjoints();
    adjoints_placed_ = true;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const Slot<T>& there = host.slots_[i];
      Slot<T>& here = slots_[i];
      here.bar_stride = there.bar_stride;
      here.adopts = there.adopts;
      if (here.owner == input_) {
        here.bar_stride = samples();
        continue;
      }
      here.value = there.value;
      here.stride = there.stride;
      here.bar = host.straight_bar(there);
    }
  }

  const Node& node(int i) const { return record_->nodes[static_cast<std::size_t>(i)]; }
  Slot<T>& slot(int i) { return slots_[static_cast<std::size_t>(i)]; }
  bool outside(int i) const { return node(i).uniform; }
  const T* number(int i) const { return outside_.numbers + outside_.place[i]; }
  double* number_bar(int i) const { return outside_.bar + outside_.place[i]; }

  const Slot<T>& input() const { return slots_[static_cast<std::size_t>(input_)]; }
  Slot<T>& input() { return slots_[static_cast<std::size_t>(input_)]; }

  void start_reverse(Wanted wanted, T* x_bar, Written written) {
    kernels_.written = written;
    wanted_ = wanted;
    place_adjoints();
    for (auto& s : slots_) {
      s.touched = false;
      if (x_bar != nullptr && input_ >= 0 && s.owner == input_) s.bar = x_bar + (s.place - input().place);
    }
    x_bar_ = x_bar;
    nothing_taken();
    touch(slot(record_->output).owner, true);
  }

  void nothing_taken() {
    if (optional_numbers_ == 0) return;
    T* at = taken_.reserve(optional_numbers_);
    Kernels<V>::fill(at, 0, optional_numbers_);
    for (std::size_t i = slots_.size(); i-- > 0;)
      if (slots_[i].taken_with >= 0) {
        slots_[i].taken = slot(slots_[i].taken_with).taken;
      } else if (is_optional(record_->nodes[i])) {
        slots_[i].taken = at;
        at += record_->nodes[i].size() * samples();
      }
  }

  /// Element j of an optional node: which samples take it. Null for other nodes: all do.
  const T* taken(int index, Index j) const {
    const T* rows = slots_[static_cast<std::size_t>(index)].taken;
    return rows == nullptr ? nullptr : rows + (node(index).size() == 1 ? 0 : j) * samples();
  }

  /// A column of so many rows as the samples see it that take it: where it lies, or a copy with 0 for the others.
  const T* seen(const T* column, int rows, const T* taken) {
    if (taken == nullptr) return column;
    T* copy = seen_.reserve(rows * samples());
    kernels_.keep_taken(copy, column, rows, taken);
    return copy;
  }

  // The adjoints of the straight direction; of a value constant in x those of its one row, which a sweep for x clears
  // at most.
  T* straight_bar(const Slot<T>& s) const {
    return s.bar + (kernels_.moves(s.rows) ? (1 + jets().curved) * samples() : 0);
  }

  /// Readies the adjoints of a node's columns, which may be asked to start from 0.
  void touch(int owner, bool clear) {
    Slot<T>& s = slot(owner);
    s.touched = true;
    if (s.adopts) return;  // its sum has done it
    const bool second_known = !kernels_.written.second && kernels_.curves(s.rows);
    if (!clear && !second_known) return;
    for (Index j = 0; j < node(owner).size(); ++j) {
      T* bar = s.bar + j * s.bar_stride;
      if (clear) kernels_.clear(bar, s.rows);
      if (second_known) kernels_.times(bar + (s.rows - 1) * samples(), second_, straight_bar(s) + j * s.bar_stride);
    }
  }

  void place_adjoints() {
    if (std::exchange(adjoints_placed_, true)) return;
    Index total = 0;
    for (std::size_t i = 0; i < slots_.size(); ++i)
      if (owns_columns(i)) total += record_->nodes[i].size() * slots_[i].stride;
    T* bars = bars_.reserve(total);
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (record_->nodes[i].uniform) continue;
      slots_[i].bar = bars + slots_[i].place;
      slots_[i].bar_stride = slots_[i].stride;
    }
    for (std::size_t i = record_->nodes.size(); i-- > 0;) {  // sums come after what they add
      const Node& n = record_->nodes[i];
      if (n.uniform || n.operation != Operation::combine) continue;
      for (const int operand : {n.a, n.b})
        if (operand >= 0 && slot(operand).adopts) slot(operand).bar = slots_[i].bar;
    }
  }

  // The directions are axes and the operand is x itself: the derivative rows of A x are the numbers of A.
  bool reads_axes(const Node& n) const { return n.b == input_ && axis_ >= 0; }

  // φ', φ'', φ''' of a column, in three runs.
  T* slopes(const Node& n, const T* a, const T* r, int last) {
    T* out = slopes_.reserve(3 * kernels_.samples);
    const Index B = kernels_.samples;
    n.function->template loops<T>().slopes(n.exponent(), a, r, out, B, B, node(n.a).rests_at_zero);
    if (n.function->has_edge_at_zero) kernels_.rest(out, a, last, r);
    return out;
  }

  /// The adjoint columns of operand i, ready to be written (fresh) or added to.
  Slot<T>& adjoint(int i, bool& fresh) {
    Slot<T>& s = slot(i);
    const Slot<T>& owner = slot(s.owner);
    fresh = !owner.touched && !s.shared;
    if (!owner.touched) touch(s.owner, s.shared);
    return s;
  }

  void finish_reverse() {
    if (x_bar_ != nullptr && (input_ < 0 || !input().touched))  // the formula does not use x
      std::fill_n(x_bar_, record_->dimension * kernels_.samples, T(0));
  }

  /// Column j of a summand: where its numbers are, and their factor.
  struct Term {
    const T* at;
    T factor;
    int rows;
  };
  Term term(int operand, double factor, Index j) const {
    const Node& n = node(operand);
    const Slot<T>& s = slots_[static_cast<std::size_t>(operand)];
    if (!s.folded) return {s.value + j * s.step(n), static_cast<T>(factor), s.rows};
    const int moving = outside(n.a) ? n.b : n.a, still = outside(n.a) ? n.a : n.b;
    const Slot<T>& from = slots_[static_cast<std::size_t>(moving)];
    return {from.value + j * from.step(node(moving)),
            static_cast<T>(factor) * number(still)[node(still).size() == 1 ? 0 : j], from.rows};
  }

  // One node of a forward sweep (evaluate/forward.hpp):
  void forward(int index);
  void forward_spread(const Node& n, const Slot<T>& out);
  void forward_combine(const Node& n, const Slot<T>& out);
  void forward_product(const Node& n, const Slot<T>& out);
  void forward_linear(const Node& n, const Slot<T>& out);
  void forward_sum(const Node& n, const Slot<T>& out);
  void forward_function(const Node& n, const Slot<T>& out);
  void forward_comparison(const Node& n, const Slot<T>& out);
  void forward_select(const Node& n, const Slot<T>& out);
  void forward_log_sum_exp(const Node& n, const Slot<T>& out);
  void forward_concat(const Node& n, const Slot<T>& out);
  void forward_matrix(const Node& n, const Slot<T>& out);

  // One node of a reverse sweep (evaluate/reverse.hpp):
  void reverse(int index);
  void reverse_steady(int index, T bar);
  void reverse_product(int index);
  void reverse_factor(int index, int target, int other);
  void reverse_function(int index);
  void reverse_first_slopes(int index, Slot<T>& to, bool fresh);
  void reverse_select(int index);
  void reverse_log_sum_exp(int index);
  void reverse_concat(int index);
  void reverse_matrix(int index);
  void add_matrix_adjoint(int index);
  void withhold(const Node& n, const Slot<T>& out, const Slot<T>& in);
  void add_linear_adjoint(int target, const T* r_bar, Index r_step, T alpha, Index n);

  // Which samples take a node's operands (evaluate/taken.hpp):
  void take_operands(int index);
  void take_choice(int index);
  void take(int operand, Index j, const T* takers, const T* condition = nullptr, bool chosen = true);

  const int* part_begin(const Node& n) const { return record_->lists.data() + n.first; }  // of concat
  const int* part_end(const Node& n) const { return part_begin(n) + n.count; }

  const Record* record_;
  std::vector<Slot<T>> slots_;
  Kernels<V> kernels_;
  Outside outside_;
  Buffer<T> values_, bars_, slopes_, room_, taken_, seen_, seen_columns_;
  int input_ = -1, sigma_ = -1, label_ = -1;
  Index axis_ = -1;  ///< the jets' directions are the axes from this one on; −1: they are not axes
  Wanted wanted_;
  T* x_bar_ = nullptr;
  const T* second_ = nullptr;
  Index optional_numbers_ = 0;  ///< in the rows of what is taken
  bool adjoints_placed_ = false;
  std::vector<char> read_for_x_;
  std::vector<double> steady_;  ///< of a node, its adjoint over the output's in a sweep for x alone; 0: not known
  std::unique_ptr<Replay> order_zero_;
};

}  // namespace scorematch::evaluate

#include "scorematch/evaluate/forward.hpp"
#include "scorematch/evaluate/reverse.hpp"
#include "scorematch/evaluate/taken.hpp"
