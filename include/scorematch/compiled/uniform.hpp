// Values that depend on θ and constants alone, inside a compiled formula: computed once a batch, read by every lane.
//
// A formula makes the same calls in the same order each time it runs. So it runs once when θ is bound, with `binding`
// set: every operation on θ leaves its numbers in the next free slots. When it runs over samples the operation only
// counts on, and its numbers are read from where it left them.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/compiled/jet.hpp"
#include "scorematch/formula/record.hpp"

namespace scorematch::compiled {

/// Number of θ's elements whose tangents are carried at most, beside D derivatives and a Laplacian: 8 up to D = 5, then
/// as many as a jet has room for (7, 6, 5, 4 and 4).
template <int D>
inline constexpr int most_tangents = D <= 5 ? 8 : 64 / (D + 2) - 1;

/// A cache line: what scratch memory for lanes is counted in.
struct alignas(64) Line {
  unsigned char bytes[64];
};

/// Where a formula's uniform values are, and scratch for its vectors, while it runs. P: tangents with respect to θ.
template <int P>
struct Slots {
  static constexpr Index width = 1 + P;
  using Number = Jet<double, 0, P, false>;

  const double* numbers = nullptr;
  Index next = 0;
  int tangents = 0;      ///< elements of θ met so far
  Line* free = nullptr;  ///< scratch from here on: as many lines as the run at binding took

  // While θ is bound:
  bool binding = false;
  std::vector<double>* store = nullptr;
  const formula::Record* record = nullptr;
  const double* theta = nullptr;
  std::vector<Index>* place = nullptr;                      ///< in θ, of each tangent
  std::vector<std::unique_ptr<Line[]>>* scratch = nullptr;  ///< null once it is known how much there must be
  Index lines = 0;                                          ///< of scratch, taken so far

  SCOREMATCH_INLINE Index take(Index count) {
    const Index at = next;
    next += count * width;
    if (binding) grow();
    return at;
  }

  /// Scratch for `count` lanes, until the formula has run.
  template <class V>
  SCOREMATCH_INLINE V* take_lanes(Index count) {
    const Index needed = (count * static_cast<Index>(sizeof(V)) + 63) / 64;
    if (scratch != nullptr) add_scratch(needed);
    V* at = reinterpret_cast<V*>(free);
    free += needed;
    return at;
  }

  [[gnu::noinline, gnu::cold]] void add_scratch(Index needed) {
    scratch->push_back(std::make_unique<Line[]>(static_cast<std::size_t>(needed)));
    free = scratch->back().get();
    lines += needed;
  }

  [[gnu::noinline, gnu::cold]] void grow() {
    store->resize(static_cast<std::size_t>(next));
    numbers = store->data();
  }

  void write(Index at, const Number& number) {
    for (int q = 0; q < width; ++q)
      (*store)[static_cast<std::size_t>(at + q)] = number.has(q, 0) ? number.get(q, 0) : 0.0;
  }

  Number read(Index at, unsigned mask) const {
    Number number;
    number.add(0, 0, numbers[at]);
    for (int p = 0; p < P; ++p)
      if (mask >> p & 1) number.add(1 + p, 0, numbers[at + 1 + p]);
    return number;
  }
};

enum class Kind { number, vector, matrix };

/// A number, a vector or a matrix of θ and constants: rows × cols, column-major.
template <int P, Kind kind_>
struct Uniform {
  static constexpr Kind kind = kind_;
  static constexpr bool is_uniform = true, is_scalar = kind == Kind::number;
  static constexpr int extent = is_scalar ? 1 : 0;

  Slots<P>* slots;
  Index first;
  unsigned mask;  ///< the tangents that may not be zero
  Index row_count = 1, col_count = 1;

  SCOREMATCH_INLINE Index rows() const { return is_scalar ? 1 : row_count; }
  SCOREMATCH_INLINE Index cols() const { return is_scalar ? 1 : col_count; }
  SCOREMATCH_INLINE Index size() const { return rows() * cols(); }
  SCOREMATCH_INLINE Index place(Index i) const {
    return first + (is_scalar ? 0 : size() == 1 ? 0 : i) * Slots<P>::width;
  }

  typename Slots<P>::Number number(Index i) const { return slots->read(place(i), mask); }

  /// Element i for lanes of samples.
  template <class J>
  SCOREMATCH_INLINE J lifted(Index i) const {
    using T = typename J::T;
    using V = typename J::V;
    J jet;
    const double* from = slots->numbers + place(i);
    jet.add(0, 0, simd::broadcast<V>(static_cast<T>(from[0])));
    each<P>([&](auto p) SCOREMATCH_INLINE_LAMBDA {
      if (mask >> p & 1) jet.add(1 + p, 0, simd::broadcast<V>(static_cast<T>(from[1 + p])));
    });
    return jet;
  }

  SCOREMATCH_INLINE Uniform<P, Kind::number> operator[](Index i) const {
    if (slots->binding)
      extend::require(i >= 0 && i < size(), {"a formula takes element ", i, " of a vector of size ", size(),
                                             "; allowed are 0 to ", size() - 1});
    return {slots, place(i), mask};
  }
  SCOREMATCH_INLINE Uniform<P, Kind::vector> segment(Index from, Index count) const {
    if (slots->binding)
      extend::require(from >= 0 && from < size() && count >= 1 && count <= size() - from,
                      {"a formula takes elements ", from, " to ", formula::last_element(from, count),
                       " of a vector of size ", size()});
    return {slots, place(from), mask, count, 1};
  }
};

template <class U>
concept IsUniform = requires {
  requires std::remove_cvref_t<U>::is_uniform;
};

namespace engine {

template <int P, class Element>
[[gnu::noinline, gnu::cold]] void write_elements(Slots<P>& slots, Index at, Index count, const Element& element) {
  for (Index i = 0; i < count; ++i) slots.write(at + i * Slots<P>::width, element(i));
}

/// rows × cols numbers, of which element(i) is the i-th: called while θ is bound, not afterwards.
template <Kind kind, int P, class Element>
SCOREMATCH_INLINE Uniform<P, kind> make_uniform(Slots<P>& slots, unsigned mask, Index rows, Index cols,
                                                Element element) {
  const Index at = slots.take(rows * cols);
  if (slots.binding) write_elements(slots, at, rows * cols, element);
  return {&slots, at, mask, rows, cols};
}

}  // namespace engine

/// The argument `theta` of a compiled formula: the same calls as formula::Theta, whose record has the start values.
template <int P>
class CompiledTheta {
 public:
  explicit CompiledTheta(Slots<P>& slots) : slots_(&slots) {}

  SCOREMATCH_INLINE bool binding() const { return slots_->binding; }

  template <class... Start>
  SCOREMATCH_INLINE auto operator()(std::string_view name, const Start&... start) const {
    return declared(name, start...);
  }

 private:
  SCOREMATCH_INLINE auto declared(std::string_view name) const { return parameter<Kind::number>(name, 1, 1); }
  template <class A, class... Rest>
  SCOREMATCH_INLINE auto declared(std::string_view name, const A& a, const Rest&... rest) const {
    if constexpr (std::is_integral_v<A>)
      return vector(name, static_cast<Index>(a), rest...);
    else if constexpr (requires { typename A::PlainObject; })
      return parameter < A::IsVectorAtCompileTime ? Kind::vector : Kind::matrix > (name, a.rows(), a.cols());
    else
      return parameter<Kind::number>(name, 1, 1);
  }
  SCOREMATCH_INLINE auto vector(std::string_view name, Index rows) const {
    return parameter<Kind::vector>(name, rows, 1);
  }
  template <class A, class... Rest>
  SCOREMATCH_INLINE auto vector(std::string_view name, Index rows, const A& a, const Rest&...) const {
    if constexpr (std::is_integral_v<A>)
      return parameter<Kind::matrix>(name, rows, static_cast<Index>(a));
    else
      return parameter<Kind::vector>(name, rows, 1);
  }

  template <Kind kind>
  SCOREMATCH_INLINE Uniform<P, kind> parameter(std::string_view name, Index rows, Index cols) const {
    Slots<P>& s = *slots_;
    const Index count = rows * cols;
    const int base = s.tangents;
    const bool carried = base + count <= P;
    s.tangents += static_cast<int>(count);
    const Index at = s.take(count);
    if (s.binding) write_parameter(name, rows, cols, at, carried ? base : -1);
    const unsigned mask = carried ? ((1u << count) - 1) << base : 0;
    return {&s, at, mask, rows, cols};
  }

  [[gnu::noinline, gnu::cold]] void write_parameter(std::string_view name, Index rows, Index cols, Index at,
                                                    int base) const {
    for (const formula::ParameterBlock& block : slots_->record->parameters) {
      if (block.name != name || block.rows != rows || block.cols != cols) continue;
      for (Index i = 0; i < rows * cols; ++i) {
        typename Slots<P>::Number number;
        number.add(0, 0, slots_->theta[block.offset + i]);
        if (base >= 0) {
          number.add(1 + base + static_cast<int>(i), 0, 1.0);
          slots_->place->push_back(block.offset + i);
        }
        slots_->write(at + i * Slots<P>::width, number);
      }
      return;
    }
    extend::require(
        false, {"theta(\"", name, "\") was not declared when the formula was recorded: it must make the same calls",
                " each time it runs"});
  }

  Slots<P>* slots_;
};

/// A θ whose parameters are called "prefix.NAME". Names matter while θ is bound; later they are not even joined.
template <class Inner>
class NamedTheta {
 public:
  SCOREMATCH_INLINE NamedTheta(std::string_view prefix, const Inner& inner) : prefix_(prefix), inner_(inner) {}

  SCOREMATCH_INLINE bool binding() const { return inner_.binding(); }

  template <class... Start>
  SCOREMATCH_INLINE auto operator()(std::string_view name, const Start&... start) const {
    return binding() ? declared(name, start...) : inner_(name, start...);
  }

 private:
  template <class... Start>
  [[gnu::noinline, gnu::cold]] auto declared(std::string_view name, const Start&... start) const {
    return inner_(detail::text(prefix_, '.', name), start...);
  }

  std::string_view prefix_;
  Inner inner_;
};

template <int P>
SCOREMATCH_INLINE NamedTheta<CompiledTheta<P>> named(std::string_view prefix, const CompiledTheta<P>& theta) {
  return {prefix, theta};
}
template <class Inner>
SCOREMATCH_INLINE NamedTheta<NamedTheta<Inner>> named(std::string_view prefix, const NamedTheta<Inner>& theta) {
  return {prefix, theta};
}

}  // namespace scorematch::compiled
