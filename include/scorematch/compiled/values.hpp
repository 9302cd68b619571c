// The language of formulas (formula/value.hpp) on lanes of samples: the same functions, compiled into the loop.
//
// Numbers are jets. Vectors of x's size are made once, in registers; of other sizes, which the compiler does not know,
// they keep their elements in the first-level cache.
#pragma once

#include <algorithm>
#include <concepts>
#include <type_traits>
#include <utility>

#include "scorematch/compiled/uniform.hpp"

namespace scorematch::compiled {

namespace engine {

template <class J, class A>
J element_of(const A& a, Index i);  // below

}  // namespace engine

/// A number that depends on x.
template <class J>
struct Number {
  static constexpr bool is_mixed = true, is_scalar = true;
  static constexpr int extent = 1;
  using Jet = J;

  J jet;
  Slots<J::P>* slots;

  SCOREMATCH_INLINE Index size() const { return 1; }
  SCOREMATCH_INLINE J element(Index) const { return jet; }
  SCOREMATCH_INLINE Number operator[](Index) const { return *this; }
};

/// Common to vectors: elements and segments.
template <class Vector, class J>
struct VectorMembers {
  static constexpr bool is_mixed = true, is_scalar = false;
  using Jet = J;

  SCOREMATCH_INLINE Number<J> operator[](Index i) const {
    const Vector& v = static_cast<const Vector&>(*this);
    if (v.slots->binding)
      extend::require(i >= 0 && i < v.size(), {"a formula takes element ", i, " of a vector of size ", v.size(),
                                               "; allowed are 0 to ", v.size() - 1});
    return {v.element(i), v.slots};
  }
  SCOREMATCH_INLINE auto segment(Index first, Index count) const;
};

/// A vector of n elements, n known to the compiler and small, in registers.
template <class J, int n>
struct Few : VectorMembers<Few<J, n>, J> {
  static constexpr int extent = n;

  J at[n];
  Slots<J::P>* slots;

  SCOREMATCH_INLINE explicit Few(Slots<J::P>* s) : slots(s) {}
  SCOREMATCH_INLINE Index size() const { return n; }
  SCOREMATCH_INLINE J element(Index i) const { return at[i]; }
};

/// x
template <class J>
struct Input : VectorMembers<Input<J>, J> {
  static constexpr int extent = J::D;

  typename J::V x[J::D];
  Slots<J::P>* slots;

  SCOREMATCH_INLINE Index size() const { return J::D; }
  SCOREMATCH_INLINE J element(Index i) const { return J::input(x[i], static_cast<int>(i)); }
};

/// A vector that keeps its elements, in the formula's scratch. The same rows are live in all of them. A row is factor ·
/// numbers that lie `stride` apart: rows are shared by the vectors that they stay the same for, up to a factor.
template <class J>
struct Local : VectorMembers<Local<J>, J> {
  using V = typename J::V;
  using T = typename J::T;
  static constexpr int extent = 0, rows = (1 + J::P) * J::rows;

  struct Row {
    const V* at;
    Index stride;  ///< 0: one number for all elements
    T factor;

    SCOREMATCH_INLINE V operator[](Index i) const { return factor == 1 ? at[i * stride] : factor * at[i * stride]; }
  };

  Slots<J::P>* slots;
  Index n;
  std::uint64_t live = 0;
  Row row[rows];

  SCOREMATCH_INLINE Local(Slots<J::P>* s, Index size) : slots(s), n(size) {}
  SCOREMATCH_INLINE Index size() const { return n; }
  SCOREMATCH_INLINE bool has(int k) const { return (live >> k & 1) != 0; }
  SCOREMATCH_INLINE J element(Index i) const {
    J jet;
    each<rows>([&](auto k) SCOREMATCH_INLINE_LAMBDA {
      if (has(k)) jet.add(0, k, row[k][i]);
    });
    return jet;
  }
  SCOREMATCH_INLINE void set(int k, const Row& numbers) {
    row[k] = numbers;
    live |= std::uint64_t{1} << k;
  }
};

/// Makes a Local element by element.
template <class J>
struct Builder {
  using V = typename J::V;
  static constexpr int rows = Local<J>::rows;

  Slots<J::P>* slots;
  Index capacity, n = 0;
  V* at;
  std::uint64_t live = 0;

  SCOREMATCH_INLINE Builder(Slots<J::P>* s, Index room)
      : slots(s), capacity(room), at(s->template take_lanes<V>(room * rows)) {}

  SCOREMATCH_INLINE J element(Index i) const {
    J jet;
    each<rows>([&](auto k) SCOREMATCH_INLINE_LAMBDA {
      if (live >> k & 1) jet.add(0, k, at[i * rows + k]);
    });
    return jet;
  }
  SCOREMATCH_INLINE void put(Index i, const J& jet) {
    each<rows>([&](auto k) SCOREMATCH_INLINE_LAMBDA {
      if (jet.has(0, k))
        at[i * rows + k] = jet.get(0, k);
      else if (live >> k & 1)
        at[i * rows + k] = V{};
    });
    const std::uint64_t added = jet.live & ~live;
    live |= added;
    if (added != 0 && n > 1) clear_others(i, added);
  }
  SCOREMATCH_INLINE void push(const J& jet) {
    if (n == capacity) make_room();
    put(n++, jet);
  }
  template <class Part>
  SCOREMATCH_INLINE void append(const Part& part) {
    for (Index i = 0; i < part.size(); ++i) push(element_of<J>(part, i));
  }
  SCOREMATCH_INLINE Local<J> finish() const {
    Local<J> vector(slots, n);
    each<rows>([&](auto k) SCOREMATCH_INLINE_LAMBDA {
      if (live >> k & 1) vector.set(k, {at + k, rows, 1});
    });
    return vector;
  }

 private:
  // Rows that have just become live are 0 in the elements that came without them.
  [[gnu::noinline]] void clear_others(Index except, std::uint64_t added) {
    for (Index i = 0; i < n; ++i)
      for (int k = 0; k < rows; ++k)
        if (i != except && (added >> k & 1) != 0) at[i * rows + k] = V{};
  }
  [[gnu::noinline]] void make_room() {
    const V* from = at;
    capacity = 2 * capacity + 1;
    at = slots->template take_lanes<V>(capacity * rows);
    for (Index i = 0; i < n; ++i)
      for (int k = 0; k < rows; ++k)
        if (live >> k & 1) at[i * rows + k] = from[i * rows + k];
  }
};

namespace engine {

/// The vector of make(0), …, make(n − 1): in registers where `extent` says how many there are, else in scratch.
template <class J, int extent, class F>
SCOREMATCH_INLINE auto vector_of(Index n, Slots<J::P>* slots, const F& make) {
  if constexpr (extent > 0) {
    Few<J, extent> few(slots);
    each<extent>([&](auto i) SCOREMATCH_INLINE_LAMBDA { few.at[i] = make(Index{i}); });
    return few;
  } else {
    Builder<J> kept(slots, n);
    const J first = make(Index{0});
    kept.n = n;
    kept.live = first.live;
    kept.put(0, first);
    for (Index i = 1; i < n; ++i) kept.put(i, make(i));
    return kept.finish();
  }
}

}  // namespace engine

template <class A>
concept IsMixed = requires {
  requires std::remove_cvref_t<A>::is_mixed;
};
template <class A>
concept IsValue = IsMixed<A> || IsUniform<A>;
template <class A>
concept IsNumber = std::is_arithmetic_v<std::remove_cvref_t<A>>;
template <class A>
concept IsEigen = requires {
  typename std::remove_cvref_t<A>::PlainObject;
};
template <class A>
concept IsOperand = IsValue<A> || IsNumber<A> || IsEigen<A>;

// --- operands of an operation, brought together ---

namespace engine {

template <class A, class B>
SCOREMATCH_INLINE auto* common_slots(const A& a, const B& b) {
  if constexpr (IsValue<A>)
    return a.slots;
  else
    return b.slots;
}

/// A number or an Eigen object as a uniform value; values stay what they are.
template <class A, int P>
SCOREMATCH_INLINE decltype(auto) as_value(const A& a, Slots<P>* slots) {
  if constexpr (IsNumber<A>) {
    return make_uniform<Kind::number>(*slots, 0, 1, 1, [&](Index) SCOREMATCH_INLINE_LAMBDA {
      return Slots<P>::Number::constant(static_cast<double>(a));
    });
  } else if constexpr (IsEigen<A>) {
    const bool row = A::IsVectorAtCompileTime && a.rows() == 1;
    return make_uniform < A::IsVectorAtCompileTime
               ? Kind::vector
               : Kind::matrix >
                     (*slots, 0, row ? a.cols() : a.rows(), row ? Index{1} : a.cols(),
                      [&](Index i) SCOREMATCH_INLINE_LAMBDA {
                        const auto plain = a.derived().eval();
                        return Slots<P>::Number::constant(static_cast<double>(plain(i % a.rows(), i / a.rows())));
                      });
  } else {
    return a;
  }
}

template <class J, class A>
SCOREMATCH_INLINE J element_of(const A& a, Index i) {
  if constexpr (IsUniform<A>)
    return a.template lifted<J>(i);
  else if constexpr (A::extent == 1)
    return a.element(0);
  else
    return a.element(a.size() == 1 ? 0 : i);
}

template <class A, class B>
inline constexpr int joint_extent = A::extent == 1   ? B::extent
                                    : B::extent == 1 ? A::extent
                                    : A::extent > 0  ? A::extent
                                                     : B::extent;

template <class A, class B>
struct JetOf {
  using type = typename A::Jet;
};
template <class A, class B>
requires(!IsMixed<A>) struct JetOf<A, B> {
  using type = typename B::Jet;
};

template <class A, class B>
void require_sizes(const A& a, const B& b) {
  extend::require(a.size() == b.size() || a.size() == 1 || b.size() == 1,
                  {"a formula meets a vector of size ", a.size(), " with one of size ", b.size(),
                   "; the sizes must agree, or one of the two must be a number"});
}

// --- sums row by row: what only one of the two has is shared, not copied ---

/// Row k of an operand, for vectors of size n.
template <class J, class A>
SCOREMATCH_INLINE bool has_row(const A& a, int k) {
  if constexpr (IsUniform<A>)
    return k == 0 || (k % J::rows == 0 && (a.mask >> (k / J::rows - 1) & 1) != 0);
  else if constexpr (A::extent == 1)
    return a.element(0).has(0, k);
  else
    return a.has(k);
}

template <class J, class A>
SCOREMATCH_INLINE typename J::V row_at(const A& a, int k, Index i) {
  if constexpr (IsUniform<A>)
    return simd::broadcast<typename J::V>(static_cast<typename J::T>(a.slots->numbers[a.place(i) + k / J::rows]));
  else if constexpr (A::extent == 1)
    return a.element(0).get(0, k);
  else
    return a.row[k][a.n == 1 ? 0 : i];
}

template <class J, class A>
SCOREMATCH_INLINE typename Local<J>::Row scaled_row(const A& a, int k, Index n, typename J::T factor) {
  using V = typename J::V;
  if constexpr (!IsUniform<A> && A::extent != 1) {
    return {a.row[k].at, a.n == 1 ? 0 : a.row[k].stride, a.row[k].factor * factor};
  } else {
    const Index count = A::extent == 1 ? 1 : n;
    V* at = a.slots->template take_lanes<V>(count);
    for (Index i = 0; i < count; ++i) at[i] = row_at<J>(a, k, i);
    return {at, A::extent == 1 ? 0 : 1, factor};
  }
}

/// alpha a + beta b, one of them at least a Local, the other a Local, a Number or uniform.
template <class J, class A, class B>
SCOREMATCH_INLINE Local<J> combined_rows(const A& a, double alpha, const B& b, double beta) {
  using T = typename J::T;
  using V = typename J::V;
  auto* slots = a.slots;
  Local<J> r(slots, std::max(a.size(), b.size()));
  V* sums[Local<J>::rows];
  each<Local<J>::rows>([&](auto k) SCOREMATCH_INLINE_LAMBDA {
    const bool in_a = has_row<J>(a, k), in_b = has_row<J>(b, k);
    if (in_a && in_b) {
      sums[k] = slots->template take_lanes<V>(r.n);
      r.set(k, {sums[k], 1, 1});
    } else if (in_a) {
      r.set(k, scaled_row<J>(a, k, r.n, static_cast<T>(alpha)));
    } else if (in_b) {
      r.set(k, scaled_row<J>(b, k, r.n, static_cast<T>(beta)));
    }
  });
  const auto times = [](double factor, V number) SCOREMATCH_INLINE_LAMBDA {
    return factor == 1 ? number : factor == -1 ? -number : static_cast<T>(factor) * number;
  };
  for (Index i = 0; i < r.n; ++i)
    each<Local<J>::rows>([&](auto k) SCOREMATCH_INLINE_LAMBDA {
      if (has_row<J>(a, k) && has_row<J>(b, k))
        sums[k][i] = times(alpha, row_at<J>(a, k, i)) + times(beta, row_at<J>(b, k, i));
    });
  return r;
}

template <class J>
SCOREMATCH_INLINE Local<J> rescaled(const Local<J>& a, double alpha) {
  Local<J> r = a;
  each<Local<J>::rows>([&](auto k) SCOREMATCH_INLINE_LAMBDA {
    if (r.has(k)) r.row[k].factor *= static_cast<typename J::T>(alpha);
  });
  return r;
}

}  // namespace engine

struct Combine {
  double alpha, beta;
  template <class J>
  SCOREMATCH_INLINE J operator()(const J& a, const J& b) const {
    return combined(a, alpha, b, beta);
  }
};
struct Scale {
  double alpha;
  template <class J>
  SCOREMATCH_INLINE J operator()(const J& a) const {
    J none;
    return combined(a, alpha, none, 0);
  }
};

namespace engine {

/// op(jet, jet) element by element.
template <class A, class B, class Op>
SCOREMATCH_INLINE auto elementwise(const A& a, const B& b, Op op) {
  auto* slots = a.slots;
  if (slots->binding) require_sizes(a, b);
  if constexpr (IsUniform<A> && IsUniform<B>) {
    const bool larger = a.size() >= b.size();
    return make_uniform < A::kind >= B::kind
               ? A::kind
               : B::kind > (*slots, a.mask | b.mask, larger ? a.rows() : b.rows(), larger ? a.cols() : b.cols(),
                            [&](Index i) SCOREMATCH_INLINE_LAMBDA { return op(a.number(i), b.number(i)); });
  } else {
    using J = typename JetOf<A, B>::type;
    if constexpr (A::is_scalar && B::is_scalar) {
      return Number<J>{op(element_of<J>(a, 0), element_of<J>(b, 0)), slots};
    } else if constexpr (constexpr int extent = joint_extent<A, B>; extent > 0) {
      return vector_of<J, extent>(extent, slots, [&](Index i) SCOREMATCH_INLINE_LAMBDA {
        return op(element_of<J>(a, i), element_of<J>(b, i));
      });
    } else if constexpr (std::is_same_v<Op, Combine>) {
      return combined_rows<J>(a, op.alpha, b, op.beta);
    } else {
      return vector_of<J, 0>(std::max(a.size(), b.size()), slots, [&](Index i) SCOREMATCH_INLINE_LAMBDA {
        return op(element_of<J>(a, i), element_of<J>(b, i));
      });
    }
  }
}

/// op(jet) element by element.
template <class A, class Op>
SCOREMATCH_INLINE auto elementwise(const A& a, Op op) {
  if constexpr (IsUniform<A>) {
    return make_uniform<A::kind>(*a.slots, a.mask, a.rows(), a.cols(),
                                 [&](Index i) SCOREMATCH_INLINE_LAMBDA { return op(a.number(i)); });
  } else {
    using J = typename A::Jet;
    if constexpr (A::is_scalar)
      return Number<J>{op(a.jet), a.slots};
    else if constexpr (A::extent > 0)
      return vector_of<J, A::extent>(A::extent, a.slots,
                                     [&](Index i) SCOREMATCH_INLINE_LAMBDA { return op(a.element(i)); });
    else if constexpr (std::is_same_v<Op, Scale>)
      return rescaled(a, op.alpha);
    else
      return vector_of<J, 0>(a.size(), a.slots, [&](Index i) SCOREMATCH_INLINE_LAMBDA { return op(a.element(i)); });
  }
}

}  // namespace engine

template <class Vector, class J>
SCOREMATCH_INLINE auto VectorMembers<Vector, J>::segment(Index first, Index count) const {
  const Vector& v = static_cast<const Vector&>(*this);
  if (v.slots->binding)
    extend::require(first >= 0 && first < v.size() && count >= 1 && count <= v.size() - first,
                    {"a formula takes elements ", first, " to ", formula::last_element(first, count),
                     " of a vector of size ", v.size()});
  return vector_of<J, 0>(count, v.slots, [&](Index i) SCOREMATCH_INLINE_LAMBDA { return v.element(first + i); });
}

// --- arithmetic ---

template <class A, class B>
concept Operands = IsOperand<A> && IsOperand<B> &&(IsValue<A> || IsValue<B>);

struct Multiply {
  template <class J>
  SCOREMATCH_INLINE J operator()(const J& a, const J& b) const {
    return product(a, b);
  }
};
template <class Row>
struct Apply {
  elementary::Exponent exponent = {};
  template <class J>
  SCOREMATCH_INLINE J operator()(const J& a) const {
    return apply<Row>(a, exponent);
  }
};

template <class A, class B>
requires Operands<A, B> SCOREMATCH_INLINE auto operator+(const A& a, const B& b) {
  auto* slots = common_slots(a, b);
  return elementwise(as_value(a, slots), as_value(b, slots), Combine{1, 1});
}
template <class A, class B>
requires Operands<A, B> SCOREMATCH_INLINE auto operator-(const A& a, const B& b) {
  auto* slots = common_slots(a, b);
  return elementwise(as_value(a, slots), as_value(b, slots), Combine{1, -1});
}
template <IsValue A>
SCOREMATCH_INLINE auto operator-(const A& a) {
  return elementwise(a, Scale{-1});
}
template <IsValue A>
SCOREMATCH_INLINE auto operator+(const A& a) {
  return a;
}

namespace engine {

// Σ_i f(i), the first term apart, so that what is zero is known.
template <int extent, class F>
SCOREMATCH_INLINE auto total(Index n, F f) {
  auto sum = f(Index{0});
  const auto add = [&](Index i) SCOREMATCH_INLINE_LAMBDA { sum = combined(sum, 1, f(i), 1); };
  if constexpr (extent > 0 && extent <= 16)
    each<extent - 1>([&](auto i) SCOREMATCH_INLINE_LAMBDA { add(1 + i); });
  else
    for (Index i = 1; i < n; ++i) add(i);
  return sum;
}

template <class A, class B>
SCOREMATCH_INLINE auto matrix_times(const A& a, const B& b) {
  auto* slots = a.slots;
  const Index rows = a.rows(), inner = a.cols();
  if (slots->binding)
    extend::require(inner == (IsUniform<B> ? b.size() / (b.size() / inner > 0 ? b.size() / inner : 1) : b.size()),
                    {"a formula multiplies a ", rows, " × ", inner, " matrix by a vector of size ", b.size(),
                     "; the matrix needs as many columns"});
  if constexpr (IsUniform<B>) {
    return make_uniform<B::kind>(*slots, a.mask | b.mask, rows, b.cols(), [&](Index i) SCOREMATCH_INLINE_LAMBDA {
      const Index row = i % rows, col = i / rows;
      return total<0>(inner, [&](Index l) SCOREMATCH_INLINE_LAMBDA {
        return product(a.number(l * rows + row), b.number(col * inner + l));
      });
    });
  } else {
    using J = typename B::Jet;
    Builder<J> r(slots, rows);
    if constexpr (B::extent > 0) {
      for (Index row = 0; row < rows; ++row)
        r.push(total<B::extent>(inner, [&](Index l) SCOREMATCH_INLINE_LAMBDA {
          return product(a.template lifted<J>(l * rows + row), b.element(l));
        }));
    } else {
      for (Index row = 0; row < rows; ++row)
        r.push(total<0>(inner, [&](Index l) SCOREMATCH_INLINE_LAMBDA {
          return product(a.template lifted<J>(l * rows + row), b.element(l));
        }));
    }
    return r.finish();
  }
}

// A matrix with one column is a vector, and a vector of size 1 a number: these meet element by element.
template <class A, class B>
SCOREMATCH_INLINE auto product_of(const A& a, const B& b) {
  if constexpr (IsUniform<A> && !B::is_scalar) {
    if constexpr (A::kind == Kind::matrix) {
      using Product = decltype(matrix_times(a, b));
      if (a.cols() > 1 && b.size() > 1) return matrix_times(a, b);
      const auto elements = elementwise(a, b, Multiply{});
      if constexpr (IsUniform<B>) {
        return Product{elements.slots, elements.first, elements.mask, elements.row_count, elements.col_count};
      } else {
        Builder<typename B::Jet> kept(a.slots, elements.size());
        kept.append(elements);
        return kept.finish();
      }
    } else {
      return elementwise(a, b, Multiply{});
    }
  } else {
    return elementwise(a, b, Multiply{});
  }
}

}  // namespace engine

template <class A, class B>
requires Operands<A, B> SCOREMATCH_INLINE auto operator*(const A& a, const B& b) {
  if constexpr (IsNumber<A> && IsMixed<B>) {
    return elementwise(b, Scale{static_cast<double>(a)});
  } else if constexpr (IsNumber<B> && IsMixed<A>) {
    return elementwise(a, Scale{static_cast<double>(b)});
  } else {
    auto* slots = common_slots(a, b);
    return product_of(as_value(a, slots), as_value(b, slots));
  }
}

template <class A, class B>
requires Operands<A, B> SCOREMATCH_INLINE auto operator/(const A& a, const B& b) {
  auto* slots = common_slots(a, b);
  if constexpr (IsNumber<B> && IsMixed<A>)
    return elementwise(a, Scale{1 / static_cast<double>(b)});
  else
    return elementwise(as_value(a, slots), elementwise(as_value(b, slots), Apply<elementary::reciprocal>{}),
                       Multiply{});
}

template <IsValue A, IsOperand B>
SCOREMATCH_INLINE A& operator+=(A& a, const B& b) {
  return a = a + b;
}
template <IsValue A, IsOperand B>
SCOREMATCH_INLINE A& operator-=(A& a, const B& b) {
  return a = a - b;
}
template <IsValue A, IsOperand B>
SCOREMATCH_INLINE A& operator*=(A& a, const B& b) {
  return a = a * b;
}
template <IsValue A, IsOperand B>
SCOREMATCH_INLINE A& operator/=(A& a, const B& b) {
  return a = a / b;
}

// --- elementwise functions: the rows of formula/elementary.hpp ---

#define SCOREMATCH_COMPILED(name)                     \
  template <IsValue A>                                \
  SCOREMATCH_INLINE auto name(const A& a) {           \
    return elementwise(a, Apply<elementary::name>{}); \
  }
SCOREMATCH_FUNCTIONS_OF_ONE_VALUE(SCOREMATCH_COMPILED)
#undef SCOREMATCH_COMPILED

template <IsValue A, std::integral N>
SCOREMATCH_INLINE auto pow(const A& a, N n) {
  return elementwise(a, Apply<elementary::integer_power>{{.whole = static_cast<int>(n)}});
}
template <IsValue A, std::floating_point N>
SCOREMATCH_INLINE auto pow(const A& a, N p) {
  return elementwise(a, Apply<elementary::power>{{.real = static_cast<double>(p)}});
}
template <IsValue A, IsValue B>
SCOREMATCH_INLINE auto pow(const A& a, const B& p) {
  return exp(p * elementwise(a, Apply<elementary::log_of_base>{}));
}

// --- comparisons: as in formula/value.hpp ---

/// where() reads it; it is 1 where the comparison holds, else 0.
template <class A>
class Condition {
 public:
  SCOREMATCH_INLINE explicit Condition(const A& holds) : holds_(holds) {}
  SCOREMATCH_INLINE const A& holds() const { return holds_; }

  template <class T>
  requires std::same_as<T, bool>
  explicit operator T() const {
    static_assert(!std::same_as<T, bool>,
                  "a formula runs for many samples at once, so it cannot branch on a value: "
                  "write where(condition, a, b) instead of if, ?: or std::max");
    return false;
  }

 private:
  A holds_;
};

template <bool or_equal>
struct Less {
  template <class J>
  SCOREMATCH_INLINE J operator()(const J& a, const J& b) const {
    using V = typename J::V;
    const V one = simd::broadcast<V>(typename J::T(1)), zero = V{}, x = a.get(0, 0), y = b.get(0, 0);
    J r;
    r.add(0, 0, or_equal ? simd::select(x <= y, one, zero) : simd::select(x < y, one, zero));
    return r;
  }
};

namespace engine {

template <bool or_equal, class A, class B>
SCOREMATCH_INLINE auto compared(const A& a, const B& b) {
  auto* slots = common_slots(a, b);
  return Condition(elementwise(as_value(a, slots), as_value(b, slots), Less<or_equal>{}));
}

}  // namespace engine

template <class A, class B>
requires Operands<A, B> SCOREMATCH_INLINE auto operator<(const A& a, const B& b) { return compared<false>(a, b); }
template <class A, class B>
requires Operands<A, B> SCOREMATCH_INLINE auto operator>(const A& a, const B& b) { return compared<false>(b, a); }
template <class A, class B>
requires Operands<A, B> SCOREMATCH_INLINE auto operator<=(const A& a, const B& b) { return compared<true>(a, b); }
template <class A, class B>
requires Operands<A, B> SCOREMATCH_INLINE auto operator>=(const A& a, const B& b) { return compared<true>(b, a); }
template <class A, class B>
SCOREMATCH_INLINE auto operator&&(const Condition<A>& a, const Condition<B>& b) {
  return Condition(a.holds() * b.holds());
}
template <class A, class B>
SCOREMATCH_INLINE auto operator||(const Condition<A>& a, const Condition<B>& b) {
  return Condition(a.holds() + b.holds() - a.holds() * b.holds());
}
template <class A>
SCOREMATCH_INLINE auto operator!(const Condition<A>& a) {
  return Condition(1 - a.holds());
}

namespace engine {

template <class C>
void require_sizes(const C& c, Index size, Index n) {
  extend::require(c.size() == 1 || size == 1 || c.size() == n,
                  {"where(condition, a, b) has a condition of size ", c.size(), " for values of size ", size,
                   "; the sizes must agree, or one of the two must be 1"});
}

template <class C, class A, class B>
SCOREMATCH_INLINE auto chosen_values(const C& c, const A& a, const B& b) {
  constexpr bool uniform = IsUniform<C> && IsUniform<A> && IsUniform<B>;
  const auto choose = []<class J>(const J& mask, const J& x, const J& y)
                          SCOREMATCH_INLINE_LAMBDA { return chosen(mask.get(0, 0) != 0, x, y); };
  const Index n = std::max(c.size(), std::max(a.size(), b.size()));
  if (c.slots->binding) {
    require_sizes(a, b);
    require_sizes(c, a.size() >= b.size() ? a.size() : b.size(), n);
  }
  if constexpr (uniform) {
    return make_uniform < C::is_scalar && A::is_scalar && B::is_scalar
               ? Kind::number
               : Kind::vector > (*c.slots, a.mask | b.mask, n, 1, [&](Index i) SCOREMATCH_INLINE_LAMBDA {
                   return choose(c.number(i), a.number(i), b.number(i));
                 });
  } else {
    using J = typename JetOf<
        C, typename std::conditional_t<IsMixed<A>, std::type_identity<A>, std::type_identity<B>>::type>::type;
    constexpr int extent = joint_extent<C, A> == 1 ? B::extent : joint_extent<C, A>;
    const auto choice = [choose](const J& mask, const J& x, const J& y)
                            SCOREMATCH_INLINE_LAMBDA { return choose(mask, x, y); };
    if constexpr (C::is_scalar && A::is_scalar && B::is_scalar)
      return Number<J>{choice(element_of<J>(c, 0), element_of<J>(a, 0), element_of<J>(b, 0)), c.slots};
    else if constexpr (extent > 1)
      return vector_of<J, extent>(n, c.slots, [&](Index i) SCOREMATCH_INLINE_LAMBDA {
        return choice(element_of<J>(c, i), element_of<J>(a, i), element_of<J>(b, i));
      });
    else
      return vector_of<J, 0>(n, c.slots, [&](Index i) SCOREMATCH_INLINE_LAMBDA {
        return choice(element_of<J>(c, i), element_of<J>(a, i), element_of<J>(b, i));
      });
  }
}

}  // namespace engine

template <class C, IsOperand A, IsOperand B>
SCOREMATCH_INLINE auto where(const Condition<C>& condition, const A& a, const B& b) {
  auto* slots = condition.holds().slots;
  return chosen_values(condition.holds(), as_value(a, slots), as_value(b, slots));
}
template <class A, class B>
requires Operands<A, B> SCOREMATCH_INLINE auto max(const A& a, const B& b) { return where(a < b, b, a); }
template <class A, class B>
requires Operands<A, B> SCOREMATCH_INLINE auto min(const A& a, const B& b) { return where(b < a, b, a); }

// --- reductions ---

namespace engine {

/// Σ_i f(element i) of values that are uniform (as numbers) or not (as jets).
template <class A, class B, class Op>
SCOREMATCH_INLINE auto reduced(const A& a, const B& b, Op op) {
  auto* slots = a.slots;
  if constexpr (IsUniform<A> && IsUniform<B>) {
    const Index n = a.size();
    return make_uniform<Kind::number>(*slots, a.mask | b.mask, 1, 1, [&](Index) SCOREMATCH_INLINE_LAMBDA {
      return total<0>(n, [&](Index i) SCOREMATCH_INLINE_LAMBDA { return op(a.number(i), b.number(i)); });
    });
  } else {
    using J = typename JetOf<A, B>::type;
    constexpr int extent = IsMixed<A> && A::extent > 0 ? A::extent : B::extent;
    return Number<J>{
        total<extent>(a.size(),
                      [&](Index i) SCOREMATCH_INLINE_LAMBDA { return op(element_of<J>(a, i), element_of<J>(b, i)); }),
        slots};
  }
}

}  // namespace engine

struct First {
  template <class J>
  SCOREMATCH_INLINE J operator()(const J& a, const J&) const {
    return a;
  }
};

template <IsValue A>
SCOREMATCH_INLINE auto sum(const A& a) {
  return reduced(a, a, First{});
}
template <IsValue A>
SCOREMATCH_INLINE auto mean(const A& a) {
  return sum(a) / static_cast<double>(a.size());
}
template <class A, class B>
requires Operands<A, B> SCOREMATCH_INLINE auto dot(const A& a, const B& b) {
  auto* slots = common_slots(a, b);
  const auto run = [&](const auto& u, const auto& v) SCOREMATCH_INLINE_LAMBDA {
    if (slots->binding)
      extend::require(u.size() == v.size(), {"a formula takes dot of vectors of sizes ", u.size(), " and ", v.size(),
                                             "; the sizes must agree"});
    return reduced(u, v, Multiply{});
  };
  return run(as_value(a, slots), as_value(b, slots));
}
template <IsValue A>
SCOREMATCH_INLINE auto squared_norm(const A& a) {
  return sum(square(a));
}
template <IsValue A>
SCOREMATCH_INLINE auto norm(const A& a) {
  return sqrt(squared_norm(a));
}

namespace engine {

// m + log Σ exp(a_i − m) with m the largest of the values. With a Laplacian, m is a plane that has the largest one's
// slopes too, for Σ w a_c² − (Σ w a_c)² would cancel where one term outweighs the others.
template <class J, class Element>
SCOREMATCH_INLINE J log_sum_exp_of(Index n, Element element) {
  using V = typename J::V;
  using T = typename J::T;
  const auto plane = [](const J& a) SCOREMATCH_INLINE_LAMBDA {
    J part;
    each<1 + (J::second ? J::D : 0)>([&](auto row) SCOREMATCH_INLINE_LAMBDA {
      if (a.has(0, row)) part.add(0, row, a.get(0, row));
    });
    return part;
  };
  J largest = plane(element(Index{0}));
  for (Index i = 1; i < n; ++i) {
    const J next = plane(element(i));
    largest = chosen(next.get(0, 0) > largest.get(0, 0), next, largest);
  }
  const auto finite = simd::abs(largest.get(0, 0)) < simd::broadcast<V>(std::numeric_limits<T>::infinity());
  const J shift = chosen(finite, largest, J::constant(0));
  const J sum = total<0>(
      n, [&](Index i) SCOREMATCH_INLINE_LAMBDA { return apply<elementary::exp>(combined(element(i), 1, shift, -1)); });
  return combined(apply<elementary::log>(sum), 1, shift, 1);
}

}  // namespace engine

template <IsValue A>
SCOREMATCH_INLINE auto log_sum_exp(const A& a) {
  if constexpr (IsUniform<A>)
    return make_uniform<Kind::number>(*a.slots, a.mask, 1, 1, [&](Index) SCOREMATCH_INLINE_LAMBDA {
      using Number = typename std::remove_pointer_t<decltype(a.slots)>::Number;
      return log_sum_exp_of<Number>(a.size(), [&](Index i) SCOREMATCH_INLINE_LAMBDA { return a.number(i); });
    });
  else
    return Number<typename A::Jet>{
        log_sum_exp_of<typename A::Jet>(a.size(), [&](Index i) SCOREMATCH_INLINE_LAMBDA { return a.element(i); }),
        a.slots};
}

// --- structure ---

template <IsValue A>
SCOREMATCH_INLINE Index size(const A& a) {
  return a.size();
}
template <IsValue A>
SCOREMATCH_INLINE auto segment(const A& a, Index first, Index count) {
  return a.segment(first, count);
}
template <IsValue A>
SCOREMATCH_INLINE auto head(const A& a, Index count) {
  return a.segment(0, count);
}
template <IsValue A>
SCOREMATCH_INLINE auto tail(const A& a, Index count) {
  return a.segment(count < 0 ? 0 : a.size() - count, count);
}

template <class... Parts>
struct FirstMixed;
template <class A, class... Rest>
struct FirstMixed<A, Rest...> : FirstMixed<Rest...> {};
template <IsMixed A, class... Rest>
struct FirstMixed<A, Rest...> {
  using Jet = typename A::Jet;
};

/// The elements of a, then of b, and so on.
template <IsValue A, IsOperand... Rest>
SCOREMATCH_INLINE auto concat(const A& a, const Rest&... rest) {
  if constexpr (IsMixed<A> || (IsMixed<Rest> || ...)) {
    Builder<typename FirstMixed<A, Rest...>::Jet> all(a.slots, 8);
    all.append(a);
    (all.append(as_value(rest, a.slots)), ...);
    return all.finish();
  } else {
    const auto joined = [&](const auto&... parts) SCOREMATCH_INLINE_LAMBDA {
      const Index n = (parts.size() + ... + 0);
      return make_uniform<Kind::vector>(*a.slots, (parts.mask | ... | 0u), n, 1, [&](Index i) SCOREMATCH_INLINE_LAMBDA {
        auto found = a.number(0);
        (((i >= 0 && i < parts.size() ? (found = parts.number(i), 0) : 0), i -= parts.size()), ...);
        return found;
      });
    };
    return joined(a, as_value(rest, a.slots)...);
  }
}

/// f(0) + … + f(n − 1)
template <std::integral N, class F>
requires IsValue<std::invoke_result_t<F&, int>> SCOREMATCH_INLINE_WITH_CALLS auto sum(N count, F f) {
  const int n = static_cast<int>(count);
  using Term = std::invoke_result_t<F&, int>;
  if constexpr (IsUniform<Term> || Term::is_scalar) {
    auto all = f(0);
#pragma GCC unroll 16  // with a counter at run time, which rows of `all` are live would be known at run time alone
    for (int k = 1; k < n; ++k) all = all + f(k);
    return all;
  } else {
    const auto first = f(0);
    Builder<typename Term::Jet> all(first.slots, first.size());
    all.append(first);
    for (int k = 1; k < n; ++k) {
      const auto term = f(k);
      for (Index i = 0; i < all.n; ++i) all.put(i, combined(all.element(i), 1, term.element(i), 1));
    }
    return all.finish();
  }
}

/// The vector (f(0), …, f(n − 1)).
template <std::integral N, class F>
requires IsValue<std::invoke_result_t<F&, int>> SCOREMATCH_INLINE_WITH_CALLS auto stack(N count, F f) {
  const int n = static_cast<int>(count);
  using Term = std::invoke_result_t<F&, int>;
  if constexpr (IsMixed<Term>) {
    const auto first = f(0);
    Builder<typename Term::Jet> all(first.slots, n * first.size());
    all.append(first);
    for (int k = 1; k < n; ++k) all.append(f(k));
    return all.finish();
  } else {  // the parts lie apart: what follows brings them side by side
    auto* slots = static_cast<decltype(f(0).slots)>(nullptr);
    Index places[64], sizes[64], size = 0;
    unsigned mask = 0;
    for (int k = 0; k < n; ++k) {
      const Term part = f(k);
      slots = part.slots;
      if (slots->binding) extend::require(k < 64, {"the compiled path stacks at most 64 values of theta"});
      places[k] = part.first, sizes[k] = part.size(), size += part.size(), mask |= part.mask;
    }
    return make_uniform<Kind::vector>(*slots, mask, size, 1, [&](Index i) SCOREMATCH_INLINE_LAMBDA {
      int k = 0;
      for (; i >= sizes[k]; ++k) i -= sizes[k];
      return slots->read(places[k] + i * std::remove_pointer_t<decltype(slots)>::width, mask);
    });
  }
}

// --- matrices of θ and constants ---

template <IsUniform A>
SCOREMATCH_INLINE auto column(const A& a, Index k) {
  if (a.slots->binding)
    extend::require(k >= 0 && k < a.cols(), {"a formula takes column ", k, " of a matrix; it has ", a.cols()});
  return Uniform<std::remove_pointer_t<decltype(a.slots)>::width - 1, Kind::vector>{a.slots, a.place(k * a.rows()),
                                                                                    a.mask, a.rows(), 1};
}

template <IsUniform A>
SCOREMATCH_INLINE auto transpose(const A& a) {
  const Index rows = a.cols(), cols = a.rows();
  return make_uniform<A::kind>(*a.slots, a.mask, rows, cols, [&](Index i) SCOREMATCH_INLINE_LAMBDA {
    return a.number((i % rows) * cols + i / rows);
  });
}
template <IsOperand A, IsValue B>
SCOREMATCH_INLINE auto quadratic_form(const A& a, const B& v) {
  return dot(v, a * v);
}

}  // namespace scorematch::compiled

namespace scorematch {

using compiled::concat;
using compiled::named;
using compiled::stack;
using compiled::sum;
using compiled::where;

}  // namespace scorematch
