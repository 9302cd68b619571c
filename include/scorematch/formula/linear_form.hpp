// Formulas that are affine in θ: f(x) = φ₀(x) + Σ_k θ_k φ_k(x). Proved on the record, never by sampling.
//
// Each value of the record is constant in θ, affine in it, or neither; operations that keep affine values affine are
// known (sums, products with what is free of θ, choices by what is free of θ). An affine output is differentiated
// backwards, symbolically: the factors that the adjoints meet are free of θ, so ∂f/∂θ_k = φ_k comes out as a record of
// its own, whose output is the vector φ(x) and which has no parameters.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/formula/value.hpp"

namespace scorematch::formula {

/// Whether a record's output is affine in θ whatever x is; if not (or not provably), the operation that breaks it.
struct Linearity {
  bool linear = true;       ///< whether it is affine
  std::string reason = {};  ///< empty where linear
};

namespace linear {

/// A parameter that node `index` depends on.
inline std::string parameter_of(const Record& record, const std::vector<char>& depends, int index) {
  while (record.nodes[static_cast<std::size_t>(index)].operation != Operation::parameter) {
    int next = -1;
    record.for_each_operand(record.nodes[static_cast<std::size_t>(index)], [&](int operand) {
      if (next < 0 && depends[static_cast<std::size_t>(operand)]) next = operand;
    });
    index = next;
  }
  for (const ParameterBlock& block : record.parameters)
    if (block.offset == record.nodes[static_cast<std::size_t>(index)].first) return "theta(\"" + block.name + "\")";
  return "theta";
}

/// For each node whether it depends on θ. Returns the reason at the first that is not affine.
inline std::string classify(const Record& record, std::vector<char>& depends) {
  depends.assign(record.nodes.size(), 0);
  const auto on_theta = [&](int i) { return i >= 0 && depends[static_cast<std::size_t>(i)] != 0; };
  for (std::size_t i = 0; i < record.nodes.size(); ++i) {
    const Node& n = record.nodes[i];
    depends[i] = n.operation == Operation::parameter;
    record.for_each_operand(n, [&](int operand) { depends[i] = depends[i] || on_theta(operand); });
    if (!depends[i]) continue;
    const auto culprit = [&](int operand) { return parameter_of(record, depends, operand); };
    switch (n.operation) {
      case Operation::function:
        return detail::text(n.function->name, " of a value that depends on ", culprit(n.a));
      case Operation::log_sum_exp:
        return detail::text("log_sum_exp of a value that depends on ", culprit(n.a));
      case Operation::less:
      case Operation::less_equal:
        return detail::text("a comparison of a value that depends on ", culprit(on_theta(n.a) ? n.a : n.b));
      case Operation::multiply:
      case Operation::dot:
      case Operation::matrix_vector:
        if (on_theta(n.a) && on_theta(n.b))
          return detail::text("a product of two values, of which one depends on ", culprit(n.a), " and the other on ",
                              culprit(n.b));
        break;
      case Operation::select:
        if (on_theta(n.a)) return detail::text("a choice by a value that depends on ", culprit(n.a));
        break;
      case Operation::input:
      case Operation::sigma:
      case Operation::label:
      case Operation::parameter:
      case Operation::constant:
      case Operation::combine:
      case Operation::sum:
      case Operation::segment:
      case Operation::concat:
      case Operation::transpose:
      case Operation::spread:
        break;  // affine
    }
  }
  return {};
}

/// Writes the record of ∂(output)/∂θ.
template <class = void>  // so that only programs that ask for features compile it
class FeatureWriter {
 public:
  /// `record` is affine in θ; `depends` as classify leaves it.
  FeatureWriter(const Record& record, std::vector<char> depends)
      : from_(record), depends_(std::move(depends)), to_(record.dimension), copies_(record.nodes.size(), -1) {}

  Record write() {
    copy_what_is_free_of_theta();
    std::vector<Value> features;
    for (Index element = 0; element < from_.result().size(); ++element) {
      parts_.assign(from_.nodes.size(), {});
      parts_[static_cast<std::size_t>(from_.output)].push_back({element, number(1)});
      for (std::size_t i = from_.nodes.size(); i-- > 0;)
        if (depends_[i] && from_.nodes[i].operation != Operation::parameter)
          for (const Part& part : disjoint(i)) pass_on(from_.nodes[i], part);
      for (const ParameterBlock& block : from_.parameters) collect(block, features);
    }
    Record made = to_.finish(concatenated(features).index());
    made.takes_sigma = from_.takes_sigma;
    made.classes = from_.classes;
    return made;
  }

 private:
  /// The adjoint of the elements from `first` on of a node (column-major, as one vector). Behind a choice it is 0 for
  /// the samples that do not take the branch: `taken` is 1 for those that do, and 0 for the others, whose products must
  /// stay 0 whatever they are multiplied by.
  struct Part {
    Index first;
    Value value;
    std::optional<Value> taken = {};
  };

  const Node& node(int i) const { return from_.nodes[static_cast<std::size_t>(i)]; }
  Value number(double a) { return {to_, to_.constant(&a, 1, 1)}; }
  Value zeros(Index count) {
    const std::vector<double> none(static_cast<std::size_t>(count), 0.0);
    return {to_, to_.constant(none.data(), count, 1)};
  }

  void copy_what_is_free_of_theta() {
    for (std::size_t i = 0; i < from_.nodes.size(); ++i) {
      if (depends_[i]) continue;
      Node n = from_.nodes[i];
      for (int* operand : {&n.a, &n.b, &n.c})
        if (*operand >= 0) *operand = copies_[static_cast<std::size_t>(*operand)];
      n.symmetric = false;
      if (n.operation == Operation::constant) {
        copies_[i] = to_.constant(from_.constants.data() + n.first, n.rows, n.cols);
      } else if (n.operation == Operation::concat) {
        std::vector<int> operands;
        for (Index k = 0; k < n.count; ++k)
          operands.push_back(copies_[static_cast<std::size_t>(from_.lists[static_cast<std::size_t>(n.first + k)])]);
        copies_[i] = to_.concat(operands, n.rows);
      } else {
        copies_[i] = to_.add(n);
      }
    }
  }

  /// Elements of a value, a matrix too: as a vector, column-major.
  Value elements(const Value& v, Index first, Index count) {
    if (v.cols() == 1 && first == 0 && count == v.size()) return v;
    const Node& n = v.node();
    const bool view = n.operation == Operation::segment;
    return {to_, to_.add({.operation = Operation::segment,
                          .a = view ? n.a : v.index(),
                          .rows = count,
                          .first = first + (view ? n.first : 0)})};
  }

  /// The factor that stands beside `count` elements from `first`: those elements of node i, or the number that it is.
  Value factor(int i, Index first, Index count) {
    const Value v(to_, copies_[static_cast<std::size_t>(i)]);
    return v.size() == 1 ? v : elements(v, first, count);
  }

  // Adds `value` to the adjoint of an operand of the elements from `first`; a number that met them gets their sum.
  void add(int operand, Index first, const Value& value, const std::optional<Value>& taken) {
    if (!depends_[static_cast<std::size_t>(operand)]) return;
    const bool met_all = node(operand).size() == 1;
    parts_[static_cast<std::size_t>(operand)].push_back(
        {met_all ? 0 : first, met_all ? sum(value) : value, met_all ? any_of(taken, 1) : taken});
  }

  /// Who takes any of the elements, for `count` elements.
  std::optional<Value> any_of(const std::optional<Value>& taken, Index count) {
    if (!taken || (taken->size() == 1 && count == 1)) return taken;
    const Value any = taken->size() == 1 ? *taken : compared(Operation::less, number(0), sum(*taken)).value();
    return count == 1 ? any : any + zeros(count);
  }

  std::optional<Value> elements(const std::optional<Value>& taken, Index first, Index count) {
    if (!taken) return {};
    return elements(*taken, first, count);
  }

  /// factor · r, and 0 where r is not taken.
  Value times(const Value& factor, const Value& r, const std::optional<Value>& taken) {
    const Value product = factor * r;
    return taken ? selected(*taken, product, zeros(product.size())) : product;
  }

  // What was added to node i, its overlaps summed up.
  std::vector<Part> disjoint(std::size_t i) {
    std::vector<Part>& parts = parts_[i];
    std::vector<Index> ends;
    for (const Part& part : parts) ends.insert(ends.end(), {part.first, part.first + part.value.size()});
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
    std::vector<std::vector<Part>> terms(ends.size());
    for (const Part& part : parts)
      for (auto at = std::lower_bound(ends.begin(), ends.end(), part.first); *at < part.first + part.value.size(); ++at)
        terms[static_cast<std::size_t>(at - ends.begin())].push_back(
            {*at, elements(part.value, *at - part.first, at[1] - *at),
             elements(part.taken, *at - part.first, at[1] - *at)});
    std::vector<Part> sums;
    for (std::size_t k = 0; k < terms.size(); ++k) {
      if (terms[k].empty()) continue;
      Part total = terms[k].front();
      for (std::size_t t = 1; t < terms[k].size(); ++t) {
        const Part& term = terms[k][t];
        total.value = total.value + term.value;
        if (total.taken && term.taken)
          total.taken = selected(*total.taken, *total.taken, *term.taken);
        else
          total.taken.reset();
      }
      sums.push_back(total);
    }
    return sums;
  }

  // The adjoints of a node's operands, of one part of its own.
  void pass_on(const Node& n, const Part& part) {
    const Value& r = part.value;
    const std::optional<Value>& taken = part.taken;
    const Index first = part.first, count = r.size();
    switch (n.operation) {
      case Operation::combine:
        add(n.a, first, n.alpha * r, taken);
        if (n.b >= 0) add(n.b, first, n.beta * r, taken);
        break;
      case Operation::multiply:
        if (depends_[static_cast<std::size_t>(n.a)])
          add(n.a, first, times(factor(n.b, first, count), r, taken), taken);
        else
          add(n.b, first, times(factor(n.a, first, count), r, taken), taken);
        break;
      case Operation::dot: {
        const bool left = depends_[static_cast<std::size_t>(n.a)] != 0;
        const Index size = node(n.a).size();
        add(left ? n.a : n.b, 0, times(factor(left ? n.b : n.a, 0, size), r, taken), any_of(taken, size));
        break;
      }
      case Operation::sum:
        add(n.a, 0, r + zeros(node(n.a).size()), any_of(taken, node(n.a).size()));
        break;
      case Operation::segment:
        add(n.a, n.first + first, r, taken);
        break;
      case Operation::spread:
        add(n.a, first, r, taken);
        break;
      case Operation::transpose:
        for (Index k = 0; k < count; ++k) {
          const Index row = (first + k) % n.rows, column = (first + k) / n.rows;
          add(n.a, row * n.cols + column, elements(r, k, 1), elements(taken, k, 1));
        }
        break;
      case Operation::select:
        pass_on_choice(n, part);
        break;
      case Operation::concat:
        pass_on_parts(n, part);
        break;
      case Operation::matrix_vector:
        pass_on_product(n, part);
        break;
      case Operation::parameter:  // collected at the end
      case Operation::input:      // free of θ
      case Operation::sigma:
      case Operation::label:
      case Operation::constant:
      case Operation::function:  // not affine
      case Operation::less:
      case Operation::less_equal:
      case Operation::log_sum_exp:
        break;
    }
  }

  void pass_on_choice(const Node& n, const Part& part) {
    const Value& r = part.value;
    const Index first = part.first, count = r.size();
    const Value condition = factor(n.a, first, count) + zeros(count);
    const Value before = part.taken ? *part.taken : zeros(count) + number(1);
    add(n.b, first, selected(condition, r, zeros(count)), selected(condition, before, zeros(count)));
    add(n.c, first, selected(condition, zeros(count), r), selected(condition, zeros(count), before));
  }

  void pass_on_parts(const Node& n, const Part& part) {
    const Index first = part.first, last = first + part.value.size();
    Index at = 0;  // of the operand's first element in the node
    for (Index k = 0; k < n.count; ++k) {
      const int operand = from_.lists[static_cast<std::size_t>(n.first + k)];
      const Index begin = std::max(at, first), end = std::min(at + node(operand).size(), last);
      if (begin < end)
        add(operand, begin - at, elements(part.value, begin - first, end - begin),
            elements(part.taken, begin - first, end - begin));
      at += node(operand).size();
    }
  }

  // R = A B + c, of a part of R's columns.
  void pass_on_product(const Node& n, const Part& part) {
    const Index m = n.rows, inner = node(n.a).cols, end = part.first + part.value.size();
    for (Index column = part.first / m; column * m < end; ++column) {
      const Index begin = std::max(part.first, column * m), count = std::min(end, (column + 1) * m) - begin,
                  row = begin - column * m;
      const Value r = elements(part.value, begin - part.first, count);
      const std::optional<Value> taken = elements(part.taken, begin - part.first, count);
      if (n.c >= 0) add(n.c, row, r, taken);
      if (depends_[static_cast<std::size_t>(n.a)]) {
        for (Index l = 0; l < inner; ++l)
          add(n.a, l * m + row, times(factor(n.b, column * inner + l, 1), r, taken), taken);
      } else if (depends_[static_cast<std::size_t>(n.b)]) {
        std::vector<Value> whole;
        if (row > 0) whole.push_back(zeros(row));
        whole.push_back(r);
        if (row + count < m) whole.push_back(zeros(m - row - count));
        add(n.b, column * inner, transposed_product(n.a, concatenated(whole)), any_of(taken, inner));
      }
    }
  }

  // Aᵀ v
  Value transposed_product(int a, const Value& v) {
    const Value A(to_, copies_[static_cast<std::size_t>(a)]);
    if (A.size() == 1) return A * v;
    return matrix_times(transpose(A), v);
  }

  void collect(const ParameterBlock& block, std::vector<Value>& features) {
    std::vector<Part> all;
    for (std::size_t i = 0; i < from_.nodes.size(); ++i)
      if (from_.nodes[i].operation == Operation::parameter && from_.nodes[i].first == block.offset) all = disjoint(i);
    Index at = 0;
    for (const Part& part : all) {
      if (part.first > at) features.push_back(zeros(part.first - at));
      features.push_back(part.value);
      at = part.first + part.value.size();
    }
    if (at < block.size()) features.push_back(zeros(block.size() - at));
  }

  const Record& from_;
  std::vector<char> depends_;
  Recorder to_;
  std::vector<int> copies_;  ///< of each node, in the new record; −1 where it depends on θ
  std::vector<std::vector<Part>> parts_;
};

}  // namespace linear

/// Whether the output of `record` is affine in θ. Proved by the rules above: a "no" may be a formula whose non-affine
/// parts cancel.
inline Linearity linearity(const Record& record) {
  std::vector<char> depends;
  Linearity result;
  result.reason = linear::classify(record, depends);
  result.linear = result.reason.empty();
  return result;
}

/// The record of φ(x) = ∂(output)/∂θ: p numbers for an energy; for an output of n elements their derivatives one after
/// another, n · p. Throws std::invalid_argument, with the reason, unless the record is affine in θ, and if it has no
/// parameters.
template <class D = void>
Record features_of(const Record& record) {
  extend::require(record.parameter_count() > 0, {"the model has no parameters"});
  std::vector<char> depends;
  const std::string reason = linear::classify(record, depends);
  extend::require(reason.empty(), {"the model is not linear in its parameters: its formula takes ", reason});
  return linear::FeatureWriter<D>(record, std::move(depends)).write();
}

}  // namespace scorematch::formula

namespace scorematch {

/// Whether a model from a formula is affine in its parameters, proved on its record; `reason` names the operation and
/// the parameter that break it:
///   "exp of a value that depends on theta("log_stiffness")"
template <class M>
requires requires(const M& m) { m.record(); }
formula::Linearity is_linear_in_parameters(const M& model) { return formula::linearity(model.record()); }

}  // namespace scorematch
