// Replaying a record over a block of samples: a forward sweep that carries jets, and a reverse sweep that gives the
// adjoints of θ, of x, or of both.
//
// A sample's derivatives do not see the branches of `where` that it does not take: neither 0 · NaN nor 0 · ∞ must leave
// them. Going forward, whole jets are chosen. Going back, the adjoints that enter such a branch are 0, and what they
// are multiplied by there is 0 too: which samples need an element is carried back with its adjoint, in rows of 1 and 0.
// Only nodes that branches alone read (`Node::optional`) have such rows.
//
// What depends on θ alone is evaluated first, once a batch (UniformPart, in double); the blocks read it as plain
// numbers and add their adjoints to it; at the end one small reverse sweep turns these into the gradient with respect
// to θ.
#pragma once

#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "scorematch/evaluate/gemm.hpp"
#include "scorematch/evaluate/kernels.hpp"
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

/// What a reverse sweep is asked for.
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
    outside_ = {part.numbers(),        part.transposes(), part.place(), part.transpose_place(),
                part.product_matrix(), adjoints,          withheld};
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
    if (read_for_x_.empty()) find_read_for_x();
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
  /// How a block reads the uniform values: numbers (and transposes of matrices) and the adjoints it adds to.
  struct Outside {
    const T* numbers = nullptr;
    const T* transposes = nullptr;
    const Index* place = nullptr;
    const Index* transpose_place = nullptr;
    const int* product_matrix = nullptr;
    double* bar = nullptr;
    Withheld<T>* withheld = nullptr;
  };

  // With a host: in its storage, but for x, which is read and swept back to where it lies.
  Replay(const Record& record, Jets jets, Index samples, Replay* host) : record_(&record), slots_(record.nodes.size()) {
    kernels_ = {samples, jets, Written::all(jets)};
    Index total = 0;
    for (const Node& n : record.nodes)
      if (!n.uniform && n.operation != Operation::segment) total += n.size() * jets.rows(n.in_x) * samples;
    T* values = host == nullptr ? values_.reserve(total) : host->values_.data();
    Index at = 0;
    for (std::size_t i = 0; i < record.nodes.size(); ++i) {
      const Node& n = record.nodes[i];
      if (n.uniform) continue;
      auto& s = slots_[i];
      s.rows = jets.rows(n.in_x);
      if (n.operation == Operation::segment) {
        auto& from = slots_[static_cast<std::size_t>(n.a)];
        s.place = from.place + n.first * from.stride;
        s.value = values + s.place;
        s.stride = from.stride;
        s.owner = from.owner;
        s.shared = from.shared = true;
        continue;
      }
      s.owner = static_cast<int>(i);
      s.stride = s.rows * samples;
      s.place = at;
      s.value = values + at;
      at += n.size() * s.stride;
      if (n.operation == Operation::input) input_ = static_cast<int>(i);
      if (n.operation == Operation::sigma) sigma_ = static_cast<int>(i);
      if (n.operation == Operation::label) label_ = static_cast<int>(i);
    }
    for (std::size_t i = 0; i < record.nodes.size(); ++i)  // a segment of a segment learns that it is shared only now
      if (slots_[i].shared) slots_[static_cast<std::size_t>(slots_[i].owner)].shared = true;
    find_single_summands();
    find_takers();
    if (host == nullptr) return;
    host->place_adjoints();
    adjoints_placed_ = true;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const Slot<T>& there = host->slots_[i];
      Slot<T>& here = slots_[i];
      here.bar_stride = there.bar_stride;
      here.adopts = there.adopts;
      if (here.owner == input_) {
        here.bar_stride = samples;
        continue;
      }
      here.value = there.value;
      here.stride = there.stride;
      here.bar = host->straight_bar(there);
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

  // Which optional nodes are taken by whom another one is, their only user; the others have rows of their own.
  void find_takers() {
    const std::vector<int> uses = uses_of_nodes();
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const Node& n = record_->nodes[i];
      if (!is_optional(n)) continue;
      optional_numbers_ += n.size() * samples();
      if (!facts_of(n.operation).element_by_element) continue;
      for (const int operand : {n.a, n.b})
        if (operand >= 0 && is_optional(node(operand)) && uses[static_cast<std::size_t>(operand)] == 1 &&
            node(operand).size() == n.size())
          slot(operand).taken_with = static_cast<int>(i);
    }
    for (const Slot<T>& s : slots_)
      if (s.taken_with >= 0) optional_numbers_ -= node(static_cast<int>(&s - slots_.data())).size() * samples();
  }

  static bool is_optional(const Node& n) { return n.optional && !n.uniform; }

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
      if (!record_->nodes[i].uniform && slots_[i].owner == static_cast<int>(i))
        total += record_->nodes[i].size() * slots_[i].stride;
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

  // Which summands are read where they come from, and which share the adjoint of their sum: those of one sum alone.
  void find_single_summands() {
    std::vector<int> uses = uses_of_nodes();
    ++uses[static_cast<std::size_t>(record_->output)];
    const auto look_at = [&](int operand, const Node& sum, int rows, double factor) {
      if (operand < 0 || outside(operand) || uses[static_cast<std::size_t>(operand)] > 1) return;
      const Node& n = node(operand);
      Slot<T>& s = slot(operand);
      if (s.shared || n.size() != sum.size()) return;
      s.folded = n.operation == Operation::multiply && outside(n.a) != outside(n.b);
      const bool doubles_its_adjoint = n.symmetric, elsewhere = n.operation == Operation::input;
      s.adopts = factor == 1 && s.rows == rows && !doubles_its_adjoint && !elsewhere;
    };
    for (std::size_t i = 0; i < record_->nodes.size(); ++i) {
      const Node& n = record_->nodes[i];
      if (n.uniform || n.operation != Operation::combine) continue;
      look_at(n.a, n, slots_[i].rows, n.alpha);
      look_at(n.b, n, slots_[i].rows, n.beta);
    }
  }

  std::vector<int> uses_of_nodes() const {
    std::vector<int> uses(record_->nodes.size(), 0);
    for (const Node& n : record_->nodes)
      record_->for_each_operand(n, [&](int i) { ++uses[static_cast<std::size_t>(i)]; });
    return uses;
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

  // Which sums, multiples and symmetric forms have the output's adjoint times a number that is known: those with one
  // user, which is the output or such a node itself.
  void find_steady() {
    const std::vector<int> uses = uses_of_nodes();
    steady_.assign(record_->nodes.size(), 0);
    const auto pass = [&](int to, int users, double factor) {
      const auto i = static_cast<std::size_t>(to);
      const Node& n = node(to);
      if (!n.uniform && n.size() == 1 && uses[i] == users && (n.operation == Operation::combine || n.symmetric))
        steady_[i] = factor;
    };
    pass(record_->output, 0, 1);
    for (std::size_t i = record_->nodes.size(); i-- > 0;) {
      const Node& n = record_->nodes[i];
      if (steady_[i] == 0 || n.operation != Operation::combine) continue;
      pass(n.a, 1, steady_[i] * n.alpha);
      if (n.b >= 0) pass(n.b, 1, steady_[i] * n.beta);
    }
  }

  // Which nodes' values the adjoints of x depend on: what reverse_for_x() reads, and what that is computed from.
  void find_read_for_x() {
    find_steady();
    read_for_x_.assign(record_->nodes.size(), false);
    const auto read = [&](int i) { read_for_x_[static_cast<std::size_t>(i)] = true; };
    for (std::size_t i = record_->nodes.size(); i-- > 0;) {
      const Node& n = record_->nodes[i];
      if (n.uniform) {
        read_for_x_[i] = false;
        continue;
      }
      if (n.in_x != InX::constant) {
        const formula::OperationFacts facts = facts_of(n.operation);
        if (facts.slopes_read_result) read(static_cast<int>(i));
        if (n.symmetric && steady_[i] != 0) {
          read(form_vector(n));
        } else {
          if (facts.slopes_read_a) read(n.a);
          if (facts.slopes_read_b) read(n.b);
        }
      }
      if (read_for_x_[i]) record_->for_each_operand(n, read);
    }
  }

  // Of a symmetric form: A v, and v.
  int form_product(const Node& n) const {
    return node(n.a).operation == Operation::matrix_vector && node(n.a).b == n.b ? n.a : n.b;
  }
  int form_vector(const Node& n) const { return form_product(n) == n.a ? n.b : n.a; }

  void forward(int index);
  void reverse(int index);
  void reverse_steady(int index, T bar);
  void forward_linear(const Node& n, Slot<T>& out);
  void forward_matrix(const Node& n, Slot<T>& out);
  void reverse_matrix(int index);
  void withhold(const Node& n, const Slot<T>& out, const Slot<T>& in);
  void reverse_multiply(int index, int target, int other);
  void reverse_function(int index);
  void reverse_log_sum_exp(int index);
  void add_linear_adjoint(int target, const T* r_bar, Index r_step, T alpha, Index n);
  void take_operands(int index);

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

/// multiply and dot with one uniform factor: out_j (+)= u_j a_j over all derivative rows.
template <class T>
void Replay<T>::forward_linear(const Node& n, Slot<T>& out) {
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
void Replay<T>::forward(int index) {
  const Node& n = node(index);
  Slot<T>& out = slot(index);
  const Kernels<V>& k = kernels_;
  const Index B = k.samples;
  if (out.folded) return;
  switch (n.operation) {
    case Operation::input:
    case Operation::sigma:
    case Operation::label:
    case Operation::segment:
      break;  // set_points
    case Operation::parameter:
    case Operation::constant:
    case Operation::transpose:
      break;  // uniform
    case Operation::spread:
      for (Index j = 0; j < n.size(); ++j) Kernels<V>::fill(out.value + j * out.stride, number(n.a)[j], B);
      break;
    case Operation::combine: {
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
          k.add_number(to,
                       static_cast<T>(a_outside ? n.alpha : n.beta) * number(still)[node(still).size() == 1 ? 0 : j]);
      }
      break;
    }
    case Operation::multiply:
    case Operation::dot: {
      if (outside(n.a) || outside(n.b)) return forward_linear(n, out);
      const Slot<T>&a = slot(n.a), &b = slot(n.b);
      const bool reduce = n.operation == Operation::dot;
      const Index count = reduce ? node(n.a).size() : n.size();
      for (Index j = 0; j < count; ++j)
        k.product(out.value + (reduce ? 0 : j * out.stride), out.rows, a.value + j * a.step(node(n.a)), a.rows,
                  b.value + j * b.step(node(n.b)), b.rows, !reduce || j == 0);
      break;
    }
    case Operation::sum: {
      const Slot<T>& a = slot(n.a);
      for (Index j = 0; j < node(n.a).size(); ++j) k.add_column(out.value, a.value + j * a.stride, 1, a.rows, j == 0);
      break;
    }
    case Operation::function: {
      const Slot<T>& a = slot(n.a);
      if (!k.moves(out.rows) && k.written.value && a.stride == B && out.stride == B) {  // columns without gaps
        n.function->template loops<T>().values(n.exponent(), a.value, out.value, n.size() * B);
        break;
      }
      for (Index j = 0; j < n.size(); ++j) {
        const T* from = a.value + j * a.stride;
        T* to = out.value + j * out.stride;
        if (n.function->is_square) {
          k.product(to, out.rows, from, a.rows, from, a.rows, true);
          continue;
        }
        if (k.written.value) n.function->template loops<T>().values(n.exponent(), from, to, B);
        if (!k.moves(out.rows)) continue;
        const T* slope = slopes(n, from, to, k.written.last);
        k.function(to, out.rows, from, a.rows, slope, slope + B);
      }
      break;
    }
    case Operation::less:
    case Operation::less_equal: {
      if (!k.written.value) break;
      const Slot<T>&a = slot(n.a), &b = slot(n.b);
      for (Index j = 0; j < n.size(); ++j)
        k.less(out.value + j * out.stride, a.value + j * a.step(node(n.a)), b.value + j * b.step(node(n.b)),
               n.operation == Operation::less_equal);
      break;
    }
    case Operation::select: {
      const Slot<T>&a = slot(n.a), &b = slot(n.b), &c = slot(n.c);
      for (Index j = 0; j < n.size(); ++j)
        k.select(out.value + j * out.stride, out.rows, a.value + j * a.step(node(n.a)), b.value + j * b.step(node(n.b)),
                 b.rows, c.value + j * c.step(node(n.c)), c.rows);
      break;
    }
    case Operation::log_sum_exp: {
      const Slot<T>& a = slot(n.a);
      k.log_sum_exp(out.value, out.rows, a.value, a.stride, a.rows, node(n.a).size());
      break;
    }
    case Operation::concat: {
      Index column = 0;
      for (Index part = 0; part < n.count; ++part) {
        const int operand = record_->lists[static_cast<std::size_t>(n.first + part)];
        const Slot<T>& a = slot(operand);
        for (Index j = 0; j < node(operand).size(); ++j, ++column) {
          T* to = out.value + column * out.stride;
          if (a.rows < out.rows) k.clear(to, out.rows);
          k.add_column(to, a.value + j * a.stride, 1, a.rows, true);
        }
      }
      break;
    }
    case Operation::matrix_vector:
      forward_matrix(n, out);
      break;
  }
}

template <class T>
void Replay<T>::forward_matrix(const Node& n, Slot<T>& out) {
  const Slot<T>& in = slot(n.b);
  const Index B = kernels_.samples, m = n.rows, inner = node(n.b).size();
  const bool along_axes = reads_axes(n);
  const T* A = number(n.a);
  kernels_.for_each_run(along_axes ? 1 : out.rows, [&](Index i, Index count) {
    Gemm<T>::multiply(count, m, inner, in.value + i, in.stride, outside_.transposes + outside_.transpose_place[n.a],
                      inner, out.value + i, out.stride, false, n.c >= 0 && i == 0 ? number(n.c) : nullptr, B);
  });
  if (!along_axes) return;
  for (Index j = 0; j < m; ++j)  // ∂(A x)_j/∂x_c = A_jc
    for (int c = 0; c < kernels_.jets.directions(); ++c)
      Kernels<V>::fill(out.value + j * out.stride + (1 + c) * B, axis_ + c < inner ? A[(axis_ + c) * m + j] : T(0), B);
}

template <class T>
void Replay<T>::reverse_matrix(int index) {
  const Node& n = node(index);
  const Slot<T>& out = slot(index);
  const Index B = kernels_.samples, tall = out.rows * B, m = n.rows, inner = node(n.b).size();
  const Slot<T>& in = slot(n.b);
  if (wanted_.theta && n.c >= 0 && node(n.c).trainable)
    for (Index j = 0; j < m; ++j) number_bar(n.c)[j] += Kernels<V>::sum(out.bar + j * out.bar_stride, B);
  if (wanted_.theta && node(n.a).trainable) {  // Ā = Σ r̄ bᵀ over samples and derivative rows
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
  if (!wanted_.any(node(n.b))) return;
  bool fresh = false;
  Slot<T>& to = adjoint(n.b, fresh);
  kernels_.for_each_run(out.rows, [&](Index i, Index count) {
    Gemm<T>::multiply(count, inner, m, out.bar + i, out.bar_stride, number(n.a), m, to.bar + i, to.bar_stride, !fresh);
  });
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

/// The adjoint of one factor of multiply or dot.
template <class T>
void Replay<T>::reverse_multiply(int index, int target, int other) {
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
  if (value_only && out.taken == nullptr) {
    const bool together = a.stride == B && out.stride == B && out.bar_stride == B && to.bar_stride == B;
    const Index runs = together ? 1 : n.size(), count = n.size() / runs * B;
    for (Index j = 0; j < runs; ++j)
      n.function->template loops<T>().add_first_slopes(n.exponent(), a.value + j * a.stride, out.value + j * out.stride,
                                                       out.bar + j * out.bar_stride, to.bar + j * to.bar_stride, fresh,
                                                       count, node(n.a).rests_at_zero);
    return;
  }
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

/// Those who take a node take its operands, but for the branches that they do not choose. What only comparisons read
/// has no adjoint.
template <class T>
void Replay<T>::take_operands(int index) {
  const Node& n = node(index);
  const Kernels<V>& k = kernels_;
  const Index B = k.samples;
  const auto take = [&](int operand, Index j, const T* takers, const T* condition = nullptr, bool chosen = true) {
    T* rows = operand < 0 || slot(operand).taken_with >= 0 ? nullptr : slot(operand).taken;
    if (rows != nullptr) k.take(rows + (node(operand).size() == 1 ? 0 : j) * B, takers, condition, chosen);
  };
  switch (n.operation) {
    case Operation::combine:
    case Operation::multiply:
    case Operation::function:
      for (Index j = 0; j < n.size(); ++j) take(n.a, j, taken(index, j)), take(n.b, j, taken(index, j));
      break;
    case Operation::sum:
    case Operation::dot:
    case Operation::log_sum_exp:
      for (Index j = 0; j < node(n.a).size(); ++j) take(n.a, j, taken(index, 0)), take(n.b, j, taken(index, 0));
      break;
    case Operation::segment:
      for (Index j = 0; j < n.size(); ++j) take(n.a, n.first + j, taken(index, j));
      break;
    case Operation::concat: {
      Index column = 0;
      for (Index part = 0; part < n.count; ++part) {
        const int operand = record_->lists[static_cast<std::size_t>(n.first + part)];
        for (Index j = 0; j < node(operand).size(); ++j, ++column) take(operand, j, taken(index, column));
      }
      break;
    }
    case Operation::matrix_vector:
      for (Index l = 0; l < node(n.b).size(); ++l)
        for (Index j = 0; j < (slot(index).taken == nullptr ? 1 : n.rows); ++j) take(n.b, l, taken(index, j));
      break;
    case Operation::select: {
      const Slot<T>& condition = slot(n.a);
      for (Index j = 0; j < n.size(); ++j) {
        const T* holds = condition.value + j * condition.step(node(n.a));
        take(n.b, j, taken(index, j), holds, true);
        take(n.c, j, taken(index, j), holds, false);
      }
      break;
    }
    case Operation::input:
    case Operation::sigma:
    case Operation::label:
    case Operation::spread:
    case Operation::parameter:
    case Operation::constant:
    case Operation::transpose:
    case Operation::less:
    case Operation::less_equal:
      break;
  }
}

/// reverse() in a sweep for x alone, of a node with the adjoint `bar` in every sample.
template <class T>
void Replay<T>::reverse_steady(int index, T bar) {
  const Node& n = node(index);
  const Index B = kernels_.samples;
  if (!wanted_.any(n)) return;
  if (n.symmetric) {
    const int matrix = node(form_product(n)).a;
    const Index d = node(matrix).rows;
    bool fresh = false;
    const Slot<T>& v = slot(form_vector(n));
    Slot<T>& to = adjoint(form_vector(n), fresh);
    Gemm<T>::multiply(B, d, d, v.value, v.stride, number(matrix), d, to.bar, to.bar_stride, !fresh, nullptr, 0,
                      2 * bar);
    return;
  }
  Slot<T>& out = slot(index);
  Kernels<V>::fill(out.bar, bar, B);
  for (const auto& [operand, factor] : {std::pair{n.a, n.alpha}, std::pair{n.b, n.beta}})
    if (operand >= 0 && steady_[static_cast<std::size_t>(operand)] == 0)
      add_linear_adjoint(operand, out.bar, out.bar_stride, static_cast<T>(factor), 1);
}

template <class T>
void Replay<T>::reverse(int index) {
  const Node& n = node(index);
  Slot<T>& out = slot(index);
  if (!wanted_.any(n) || !slot(out.owner).touched) return;
  if (optional_numbers_ > 0) take_operands(index);
  const Kernels<V>& k = kernels_;
  switch (n.operation) {
    case Operation::input:
    case Operation::sigma:
    case Operation::label:
    case Operation::segment:
    case Operation::parameter:
    case Operation::constant:
    case Operation::less:
    case Operation::less_equal:
    case Operation::transpose:
      break;
    case Operation::spread:
      add_linear_adjoint(n.a, out.bar, out.bar_stride, 1, n.size());
      break;
    case Operation::combine:
      add_linear_adjoint(n.a, out.bar, out.bar_stride, static_cast<T>(n.alpha), n.size());
      if (n.b >= 0) add_linear_adjoint(n.b, out.bar, out.bar_stride, static_cast<T>(n.beta), n.size());
      break;
    case Operation::sum:
      add_linear_adjoint(n.a, out.bar, 0, 1, node(n.a).size());
      break;
    case Operation::multiply:
    case Operation::dot:
      if (n.symmetric) {  // vᵀAv: both factors give the same adjoint of v
        k.add_column(out.bar, out.bar, 1, out.rows, false);
        reverse_multiply(index, form_vector(n), form_product(n));
        break;
      }
      reverse_multiply(index, n.a, n.b);
      reverse_multiply(index, n.b, n.a);
      break;
    case Operation::function:
      reverse_function(index);
      break;
    case Operation::select: {
      const Slot<T>& condition = slot(n.a);
      for (const bool chosen : {true, false}) {
        const int target = chosen ? n.b : n.c;
        if (!wanted_.any(node(target))) continue;
        bool fresh = false;
        Slot<T>& to = adjoint(target, fresh);
        const Index step = to.bar_step(node(target));
        for (Index j = 0; j < n.size(); ++j)
          k.select_adjoint(to.bar + j * step, to.rows, fresh && (step != 0 || j == 0),
                           condition.value + j * condition.step(node(n.a)), chosen, out.bar + j * out.bar_stride);
      }
      break;
    }
    case Operation::log_sum_exp:
      reverse_log_sum_exp(index);
      break;
    case Operation::concat: {
      Index column = 0;
      for (Index part = 0; part < n.count; ++part) {
        const int operand = record_->lists[static_cast<std::size_t>(n.first + part)];
        add_linear_adjoint(operand, out.bar + column * out.bar_stride, out.bar_stride, 1, node(operand).size());
        column += node(operand).size();
      }
      break;
    }
    case Operation::matrix_vector:
      reverse_matrix(index);
      break;
  }
}

}  // namespace scorematch::evaluate
