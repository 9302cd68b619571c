// Passes over a record, before any sweep, that find where a sweep may save work. Each is a function of the record
// alone, knows nothing of blocks, and can be read by itself; Replay does what they found.
#pragma once

#include <vector>

#include "scorematch/evaluate/kernels.hpp"

namespace scorematch::evaluate {

using formula::InX;
using formula::Node;
using formula::Operation;
using formula::Record;

inline std::vector<int> uses_of_nodes(const Record& record) {
  std::vector<int> uses(record.nodes.size(), 0);
  for (const Node& n : record.nodes) record.for_each_operand(n, [&](int i) { ++uses[static_cast<std::size_t>(i)]; });
  return uses;
}

inline const Node& node_of(const Record& record, int i) { return record.nodes[static_cast<std::size_t>(i)]; }

// --- columns that segments share ---

/// For each node that samples have: the node in whose columns its own lie. It is another one for a segment.
inline std::vector<int> owners_of_columns(const Record& record) {
  std::vector<int> owners(record.nodes.size(), -1);
  for (std::size_t i = 0; i < record.nodes.size(); ++i) {
    const Node& n = record.nodes[i];
    if (n.uniform) continue;
    owners[i] = n.operation == Operation::segment ? owners[static_cast<std::size_t>(n.a)] : static_cast<int>(i);
  }
  return owners;
}

/// For each node whether it is a segment, or the source of one.
inline std::vector<char> shared_columns(const Record& record, const std::vector<int>& owners) {
  std::vector<char> of_owner(record.nodes.size(), 0), shared(record.nodes.size(), 0);
  for (std::size_t i = 0; i < owners.size(); ++i)
    if (owners[i] >= 0 && owners[i] != static_cast<int>(i)) of_owner[static_cast<std::size_t>(owners[i])] = 1;
  for (std::size_t i = 0; i < owners.size(); ++i)
    if (owners[i] >= 0) shared[i] = of_owner[static_cast<std::size_t>(owners[i])];
  return shared;
}

// --- terms of sums ---

/// The ways in which a sum α a + β b can read a term that it alone uses.
struct Summand {
  bool folded = false;  ///< u a with a uniform u: the sum reads a and the factor, and u a has no value
  bool adopts = false;  ///< its adjoint is that of the sum, in the sum's storage
};

/// Of each node, with jets of this shape.
inline std::vector<Summand> single_summands(const Record& record, Jets jets, const std::vector<char>& shared) {
  std::vector<Summand> found(record.nodes.size());
  std::vector<int> uses = uses_of_nodes(record);
  ++uses[static_cast<std::size_t>(record.output)];
  const auto look_at = [&](int operand, const Node& sum, double factor) {
    if (operand < 0) return;
    const auto i = static_cast<std::size_t>(operand);
    const Node& n = record.nodes[i];
    if (n.uniform || uses[i] > 1 || shared[i] || n.size() != sum.size()) return;
    found[i].folded =
        n.operation == Operation::multiply && node_of(record, n.a).uniform != node_of(record, n.b).uniform;
    const bool doubles_its_adjoint = n.symmetric, elsewhere = n.operation == Operation::input;
    const bool same_rows = jets.rows(n.in_x) == jets.rows(sum.in_x);
    found[i].adopts = factor == 1 && same_rows && !doubles_its_adjoint && !elsewhere;
  };
  for (const Node& n : record.nodes) {
    if (n.uniform || n.operation != Operation::combine) continue;
    look_at(n.a, n, n.alpha);
    look_at(n.b, n, n.beta);
  }
  return found;
}

// --- branches of `where` ---

/// Whether samples may not need the node: those that do are carried back with its adjoint.
inline bool is_optional(const Node& n) { return n.optional && !n.uniform; }

/// For each optional node the one that the same samples take, its only user; −1 where there is none.
inline std::vector<int> taken_with(const Record& record) {
  std::vector<int> with(record.nodes.size(), -1);
  const std::vector<int> uses = uses_of_nodes(record);
  for (std::size_t i = 0; i < record.nodes.size(); ++i) {
    const Node& n = record.nodes[i];
    if (!is_optional(n) || !facts_of(n.operation).element_by_element) continue;
    for (const int operand : {n.a, n.b})
      if (operand >= 0 && is_optional(node_of(record, operand)) && uses[static_cast<std::size_t>(operand)] == 1 &&
          node_of(record, operand).size() == n.size())
        with[static_cast<std::size_t>(operand)] = static_cast<int>(i);
  }
  return with;
}

// --- the score alone ---

/// Of a symmetric form: A v, and v.
inline int form_product(const Record& record, const Node& n) {
  const Node& a = node_of(record, n.a);
  return a.operation == Operation::matrix_vector && a.b == n.b ? n.a : n.b;
}
inline int form_vector(const Record& record, const Node& n) { return form_product(record, n) == n.a ? n.b : n.a; }

/// Which sums, multiples and symmetric forms have the output's adjoint times a number that is known, and that number
/// (0: not known). They are those with one user, which is the output or such a node itself.
inline std::vector<double> steady_adjoints(const Record& record) {
  const std::vector<int> uses = uses_of_nodes(record);
  std::vector<double> steady(record.nodes.size(), 0);
  const auto pass = [&](int to, int users, double factor) {
    const auto i = static_cast<std::size_t>(to);
    const Node& n = record.nodes[i];
    if (!n.uniform && n.size() == 1 && uses[i] == users && (n.operation == Operation::combine || n.symmetric))
      steady[i] = factor;
  };
  pass(record.output, 0, 1);
  for (std::size_t i = record.nodes.size(); i-- > 0;) {
    const Node& n = record.nodes[i];
    if (steady[i] == 0 || n.operation != Operation::combine) continue;
    pass(n.a, 1, steady[i] * n.alpha);
    if (n.b >= 0) pass(n.b, 1, steady[i] * n.beta);
  }
  return steady;
}

/// Which nodes' values a reverse sweep for x alone reads, and what these are computed from.
inline std::vector<char> read_for_x(const Record& record, const std::vector<double>& steady) {
  std::vector<char> is_read(record.nodes.size(), 0);
  const auto read = [&](int i) { is_read[static_cast<std::size_t>(i)] = 1; };
  for (std::size_t i = record.nodes.size(); i-- > 0;) {
    const Node& n = record.nodes[i];
    if (n.uniform) {
      is_read[i] = 0;
      continue;
    }
    if (n.in_x != InX::constant) {
      const formula::OperationFacts facts = facts_of(n.operation);
      if (facts.slopes_read_result) read(static_cast<int>(i));
      if (n.symmetric && steady[i] != 0) {
        read(form_vector(record, n));
      } else {
        if (facts.slopes_read_a) read(n.a);
        if (facts.slopes_read_b) read(n.b);
      }
    }
    if (is_read[i]) record.for_each_operand(n, read);
  }
  return is_read;
}

}  // namespace scorematch::evaluate
