// The record of a formula: a short straight program of vector-valued operations.
//
// A formula is called once, with recording types (formula/value.hpp), and leaves this behind. The evaluators replay it
// over blocks of samples. Nodes that depend on θ alone (`uniform`) are evaluated once a batch, not once a sample.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/formula/elementary.hpp"
#include "scorematch/types.hpp"

namespace scorematch::formula {

enum class Operation : std::uint8_t {
  input,          ///< x, a vector of the model's dimension
  sigma,          ///< the noise level, a number a sample
  label,          ///< the class of a sample as a vector: 1 at its place, 0 elsewhere; all 0 for a sample without one
  parameter,      ///< a block of θ, from `first`
  constant,       ///< numbers of the formula, from `first` in Record::constants
  combine,        ///< α a + β b; b may be absent
  multiply,       ///< a b, element by element
  function,       ///< φ(a), element by element: Node::function is φ's row
  less,           ///< 1 where a < b, else 0
  less_equal,     ///< 1 where a ≤ b, else 0
  select,         ///< b where a ≠ 0, else c
  sum,            ///< Σ_j a_j
  dot,            ///< Σ_j a_j b_j
  log_sum_exp,    ///< log Σ_j exp a_j
  segment,        ///< the elements of a from `first`: a view, nothing is copied
  concat,         ///< the values named by Record::lists[first, first + count), one after another
  matrix_vector,  ///< A b + c; the bias c may be absent. A is uniform
  transpose,      ///< Aᵀ, uniform
  spread,         ///< a uniform value repeated for every sample
};

// Whoever treats operations one by one writes a switch without a default: the warning that g++ and clang give for a
// missing case is an error in our builds (cmake/own_programs.cmake). Questions about a few of them alone are answered
// here.

/// Facts about an operation besides how it is computed.
struct OperationFacts {
  bool has_adjoint = true;  ///< else nothing is passed on to the operands: it has no slopes
  bool element_by_element =
      false;                  ///< element j depends on the operands' elements j alone, and is not chosen among them
  bool in_pieces = false;     ///< jumps, or has kinks
  bool reads_blocks = false;  ///< what is uniform among its operands is repeated for the block first
  bool slopes_read_a = false, slopes_read_b = false, slopes_read_result = false;  ///< for the adjoints of x
};

constexpr OperationFacts facts_of(Operation operation) {
  switch (operation) {
    case Operation::input:
    case Operation::sigma:
    case Operation::label:
    case Operation::parameter:
    case Operation::constant:
    case Operation::sum:
    case Operation::segment:
    case Operation::matrix_vector:
    case Operation::transpose:
    case Operation::spread:
      return {};
    case Operation::combine:
      return {.element_by_element = true};
    case Operation::multiply:
      return {.element_by_element = true, .slopes_read_a = true, .slopes_read_b = true};
    case Operation::dot:
      return {.slopes_read_a = true, .slopes_read_b = true};
    case Operation::function:
      return {.element_by_element = true, .slopes_read_a = true, .slopes_read_result = true};
    case Operation::log_sum_exp:
      return {.slopes_read_a = true, .slopes_read_result = true};
    case Operation::less:
    case Operation::less_equal:
      return {.has_adjoint = false, .in_pieces = true, .reads_blocks = true};
    case Operation::select:
      return {.in_pieces = true, .reads_blocks = true, .slopes_read_a = true};
    case Operation::concat:
      return {.reads_blocks = true};
  }
  return {};
}

/// How a value depends on x along a line: decides which derivative rows exist at all.
enum class InX : std::uint8_t { constant, affine, curved };

inline InX most(InX a, InX b) { return a < b ? b : a; }

struct Node {
  Operation operation{};
  const elementary::Function* function = nullptr;  ///< the row in formula/elementary.hpp
  int a = -1, b = -1, c = -1;                      ///< operands: indices of earlier nodes, −1 for none
  Index rows = 1, cols = 1;                        ///< a vector has one column
  double alpha = 1, beta = 1;
  Index first = 0, count = 0;

  // Follows from the operands:
  bool uniform = false;    ///< the same for every sample: depends on θ and constants alone
  bool trainable = false;  ///< depends on θ
  InX in_x = InX::constant;
  bool symmetric = false;  ///< dot: of v and A v, A a symmetric constant, and A v is used nowhere else
  bool optional = false;   ///< reaches the output through branches of `select` alone; of a uniform value: through one
  bool rests_at_zero = false;  ///< is never negative, and has no slope where it is 0: a sum of squares

  Index size() const { return rows * cols; }
  elementary::Exponent exponent() const { return {alpha, static_cast<int>(first)}; }  ///< of a function that has one
};

/// A named block of θ: `rows` × `cols` numbers, column-major, from `offset` in θ.
struct ParameterBlock {
  std::string name;
  Index rows = 1, cols = 1, offset = 0;
  Eigen::VectorXd start = {};

  Index size() const { return rows * cols; }
};

/// The last of `count` elements from `first` on, for messages: as far as there are such numbers.
inline Index last_element(Index first, Index count) {
  Index end;
  if (__builtin_add_overflow(first, count, &end))
    return first < 0 ? std::numeric_limits<Index>::min() : std::numeric_limits<Index>::max();
  return end > std::numeric_limits<Index>::min() ? end - 1 : end;
}

/// "layer2" before "layer10": runs of digits compare as numbers, everything else by character.
inline bool natural_less(std::string_view a, std::string_view b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      const auto number = [&](std::string_view s, std::size_t& k) {
        while (k < s.size() && s[k] == '0') ++k;
        const std::size_t begin = k;
        while (k < s.size() && digit(s[k])) ++k;
        return s.substr(begin, k - begin);
      };
      const std::string_view m = number(a, i), n = number(b, j);
      if (m.size() != n.size()) return m.size() < n.size();
      if (m != n) return m < n;
    } else {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
    }
  }
  if ((a.size() - i) != (b.size() - j)) return a.size() - i < b.size() - j;
  return a < b;  // "a01" and "a1": equal as numbers, still two names
}

struct Record {
  Index dimension = 0;       ///< of x
  bool takes_sigma = false;  ///< the formula is f(x, sigma, theta)
  Index classes = 0;         ///< the formula is f(x, sigma, label, theta), with labels from 0 to classes − 1
  std::vector<Node> nodes;   ///< operands before their users
  std::vector<int> lists;    ///< operands of concat
  std::vector<double> constants;
  std::vector<ParameterBlock> parameters;  ///< sorted by name; θ is their concatenation
  int output = -1;

  const Node& result() const { return nodes[static_cast<std::size_t>(output)]; }

  Index parameter_count() const {
    Index count = 0;
    for (const ParameterBlock& block : parameters) count += block.size();
    return count;
  }

  Eigen::VectorXd start() const {
    Eigen::VectorXd theta(parameter_count());
    for (const ParameterBlock& block : parameters)
      std::copy_n(block.start.data(), block.size(), theta.data() + block.offset);
    return theta;
  }

  /// Calls visit(operand index) for each operand of a node.
  template <class Visit>
  void for_each_operand(const Node& node, Visit visit) const {
    for (const int operand : {node.a, node.b, node.c})
      if (operand >= 0) visit(operand);
    for (Index k = 0; k < node.count; ++k) visit(lists[static_cast<std::size_t>(node.first + k)]);
  }
};

/// Builds a Record while a formula runs. Equal operations on equal operands are recorded once.
///
/// Values outlive their formula where its user keeps them (in a static variable, say), and an address is soon used
/// again. So each recorder has a number of its own, and those at work are known by it.
class Recorder {
 public:
  explicit Recorder(Index dimension) : number_(next_number()) {
    record_.dimension = dimension;
    at_work().push_back(number_);
  }
  ~Recorder() { retire(); }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  std::uint64_t number() const { return number_; }

  /// Whether the recorder of this number is still building its record, in this thread.
  static bool works(std::uint64_t number) {
    for (const std::uint64_t other : at_work())
      if (other == number) return true;
    return false;
  }

  const Node& node(int index) const { return record_.nodes[static_cast<std::size_t>(index)]; }

  int add(const Node& node) {
    if (node.operation != Operation::concat)
      for (std::size_t i = 0; i < record_.nodes.size(); ++i)
        if (same(record_.nodes[i], node)) return static_cast<int>(i);
    record_.nodes.push_back(node);
    classify(record_.nodes.back());
    return static_cast<int>(record_.nodes.size()) - 1;
  }

  int constant(const double* numbers, Index rows, Index cols) {
    for (Index i = 0; i < rows * cols; ++i)
      extend::require(numbers[i] == numbers[i], {"a formula uses the number NaN"});
    Node node{.operation = Operation::constant, .rows = rows, .cols = cols};
    node.first = static_cast<Index>(record_.constants.size());
    if (rows * cols == 1)  // the same number twice is the same node
      for (std::size_t i = 0; i < record_.nodes.size(); ++i)
        if (record_.nodes[i].operation == Operation::constant && record_.nodes[i].size() == 1 &&
            record_.constants[static_cast<std::size_t>(record_.nodes[i].first)] == *numbers)
          return static_cast<int>(i);
    record_.constants.insert(record_.constants.end(), numbers, numbers + rows * cols);
    return add(node);
  }

  int concat(const std::vector<int>& parts, Index size) {
    Node node{.operation = Operation::concat, .rows = size};
    node.first = static_cast<Index>(record_.lists.size());
    node.count = static_cast<Index>(parts.size());
    record_.lists.insert(record_.lists.end(), parts.begin(), parts.end());
    return add(node);
  }

  /// Declares the parameter `name`, or finds it again. `start` is called only for a new one.
  template <class Start>
  int parameter(const std::string& name, Index rows, Index cols, Start start) {
    extend::require(!name.empty(), {"a parameter has an empty name; theta(\"name\", …) needs one"});
    extend::require(rows >= 1 && cols >= 1,
                    {"theta(\"", name, "\") has the shape ", rows, " × ", cols, "; both must be at least 1"});
    extend::require(cols <= most_numbers / rows, {"theta(\"", name, "\") has the shape ", rows, " × ", cols,
                                                  "; a parameter has at most ", most_numbers, " numbers"});
    for (std::size_t i = 0; i < record_.parameters.size(); ++i) {
      const ParameterBlock& block = record_.parameters[i];
      if (block.name != name) continue;
      extend::require(block.rows == rows && block.cols == cols,
                      {"theta(\"", name, "\") is used with the shape ", rows, " × ", cols, " and with ", block.rows,
                       " × ", block.cols, "; one name is one parameter: give one of them another name"});
      return parameter_nodes_[i];
    }
    record_.parameters.push_back({.name = name, .rows = rows, .cols = cols, .start = start()});
    const int index = add({.operation = Operation::parameter,
                           .rows = rows,
                           .cols = cols,
                           .first = static_cast<Index>(record_.parameters.size()) - 1});  // its block, until finish()
    parameter_nodes_.push_back(index);
    return index;
  }

  /// The finished record of the formula whose result is the node `output`.
  template <class = void>  // a template, so that it can be compiled elsewhere (precompiled.hpp)
  Record finish(int output);

 private:
  static constexpr Index most_numbers = detail::power_of_two(40);

  static std::uint64_t next_number() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
  }
  static std::vector<std::uint64_t>& at_work() {
    static thread_local std::vector<std::uint64_t> numbers;
    return numbers;
  }
  void retire() {
    std::vector<std::uint64_t>& numbers = at_work();
    numbers.erase(std::remove(numbers.begin(), numbers.end(), number_), numbers.end());
  }

  static bool same(const Node& m, const Node& n) {
    return m.operation == n.operation && m.a == n.a && m.b == n.b && m.c == n.c && m.function == n.function &&
           m.alpha == n.alpha && m.beta == n.beta && m.first == n.first && m.rows == n.rows && m.cols == n.cols;
  }

  void lay_out_parameters();
  void fuse_biases(int output);
  void find_symmetric_forms();
  void spread_uniform_operands();
  void keep_what_the_output_needs(int output);
  void find_optional();
  bool rests_at_zero(const Node& node) const;
  bool never_negative(int index) const;
  void classify();
  void classify(Node& node) const;

  std::uint64_t number_;
  Record record_;
  std::vector<int> parameter_nodes_;
};

/// A recorder that may have ended its work.
class RecorderAtWork {
 public:
  explicit RecorderAtWork(Recorder& recorder) : recorder_(&recorder), number_(recorder.number()) {}

  Recorder& get() const {
    extend::require(Recorder::works(number_),
                    {"a formula uses a value of another formula; values and theta live only while their formula runs"});
    return *recorder_;
  }

 private:
  Recorder* recorder_;
  std::uint64_t number_;
};

// θ is laid out by sorted name, since C++ leaves open in which order a formula's operands are evaluated.
inline void Recorder::lay_out_parameters() {
  std::vector<std::size_t> order(record_.parameters.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  for (std::size_t i = 1; i < order.size(); ++i)  // insertion sort: few blocks, and <algorithm> is not needed for it
    for (std::size_t j = i;
         j > 0 && natural_less(record_.parameters[order[j]].name, record_.parameters[order[j - 1]].name); --j)
      std::swap(order[j], order[j - 1]);
  std::vector<ParameterBlock> sorted;
  Index offset = 0;
  for (const std::size_t i : order) {
    ParameterBlock block = std::move(record_.parameters[i]);
    block.offset = offset;
    record_.nodes[static_cast<std::size_t>(parameter_nodes_[i])].first = offset;
    offset += block.size();
    sorted.push_back(std::move(block));
  }
  record_.parameters = std::move(sorted);
}

inline void Recorder::classify(Node& node) const {
  node.uniform = true;
  node.trainable = node.operation == Operation::parameter;
  InX operands = InX::constant;
  record_.for_each_operand(node, [&](int operand) {
    const Node& o = record_.nodes[static_cast<std::size_t>(operand)];
    node.uniform = node.uniform && o.uniform;
    node.trainable = node.trainable || o.trainable;
    operands = most(operands, o.in_x);
  });
  switch (node.operation) {
    case Operation::input:
      node.uniform = false;
      node.in_x = InX::affine;
      break;
    case Operation::sigma:
    case Operation::label:
    case Operation::spread:
      node.uniform = false;
      node.in_x = InX::constant;
      break;
    case Operation::less:
    case Operation::less_equal:
      node.trainable = false;
      node.in_x = InX::constant;
      break;
    case Operation::select:  // the derivative does not pass through the condition
      node.in_x = most(this->node(node.b).in_x, this->node(node.c).in_x);
      node.trainable = this->node(node.b).trainable || this->node(node.c).trainable;
      break;
    case Operation::multiply:
    case Operation::dot:
      node.in_x =
          this->node(node.a).in_x != InX::constant && this->node(node.b).in_x != InX::constant ? InX::curved : operands;
      break;
    case Operation::function:
      node.in_x = operands == InX::constant || !node.function->bends ? operands : InX::curved;
      break;
    case Operation::log_sum_exp:
      node.in_x = operands == InX::constant ? operands : InX::curved;
      break;
    case Operation::parameter:
    case Operation::constant:
    case Operation::combine:
    case Operation::sum:
    case Operation::segment:
    case Operation::concat:
    case Operation::matrix_vector:
    case Operation::transpose:
      node.in_x = operands;
      break;
  }
  node.rests_at_zero = rests_at_zero(node);
}

/// Of a number or vector of θ and constants.
inline bool Recorder::never_negative(int index) const {
  const Node& n = node(index);
  if (n.rests_at_zero) return true;
  if (n.operation == Operation::constant) {
    const double* numbers = record_.constants.data() + n.first;
    return std::all_of(numbers, numbers + n.size(), [](double a) { return a >= 0; });
  }
  return n.operation == Operation::function && n.function->never_negative;
}

inline bool Recorder::rests_at_zero(const Node& n) const {
  const auto rests = [&](int operand) { return operand >= 0 && node(operand).rests_at_zero; };
  switch (n.operation) {
    case Operation::function:
      return n.function->rests_at_zero(n.exponent(), rests(n.a));
    case Operation::dot:
      return n.a == n.b || (rests(n.a) && never_negative(n.b)) || (rests(n.b) && never_negative(n.a));
    case Operation::multiply:
      return n.a == n.b || (rests(n.a) && never_negative(n.b)) || (rests(n.b) && never_negative(n.a));
    case Operation::combine:
      return n.alpha >= 0 && rests(n.a) && (n.b < 0 || (n.beta >= 0 && rests(n.b)));
    case Operation::select:
      return rests(n.b) && rests(n.c);
    case Operation::sum:
    case Operation::segment:
      return rests(n.a);
    case Operation::concat: {
      bool all = true;
      record_.for_each_operand(n, [&](int operand) { all = all && rests(operand); });
      return all;
    }
    case Operation::input:
    case Operation::sigma:
    case Operation::label:
    case Operation::parameter:
    case Operation::constant:
    case Operation::less:
    case Operation::less_equal:
    case Operation::log_sum_exp:
    case Operation::matrix_vector:
    case Operation::transpose:
    case Operation::spread:
      return false;
  }
  return false;
}

// A branch of `where` that a sample does not take must not reach its derivatives: the reverse sweeps treat what only
// branches read with care (evaluate/replay.hpp). A node that only a comparison reads has no adjoint.
inline void Recorder::find_optional() {
  std::vector<char> always(record_.nodes.size(), 0), sometimes(record_.nodes.size(), 0);
  always[static_cast<std::size_t>(record_.output)] = 1;
  for (std::size_t i = record_.nodes.size(); i-- > 0;) {
    Node& node = record_.nodes[i];
    node.optional = sometimes[i] && (node.uniform || !always[i]);
    if (!facts_of(node.operation).has_adjoint) continue;
    const bool chooses = node.operation == Operation::select;
    record_.for_each_operand(node, [&](int operand) {
      if (chooses && operand != node.b && operand != node.c) return;
      const auto o = static_cast<std::size_t>(operand);
      if (chooses || node.optional) sometimes[o] = 1;
      if (!chooses && always[i]) always[o] = 1;
    });
  }
}

inline void Recorder::classify() {
  for (Node& node : record_.nodes) classify(node);
}

// A v + b becomes one operation when nothing else uses A v.
inline void Recorder::fuse_biases(int output) {
  std::vector<int> uses(record_.nodes.size(), 0);
  for (const Node& node : record_.nodes)
    record_.for_each_operand(node, [&](int operand) { ++uses[static_cast<std::size_t>(operand)]; });
  ++uses[static_cast<std::size_t>(output)];
  for (Node& node : record_.nodes) {
    if (node.operation != Operation::combine || node.b < 0 || node.alpha != 1 || node.beta != 1) continue;
    for (const auto& [product, bias] : {std::pair{node.a, node.b}, std::pair{node.b, node.a}}) {
      const Node& p = this->node(product);
      if (p.operation != Operation::matrix_vector || p.c >= 0 || p.uniform || !this->node(bias).uniform ||
          this->node(bias).size() != p.size() || uses[static_cast<std::size_t>(product)] != 1)
        continue;
      node = Node{.operation = Operation::matrix_vector, .a = p.a, .b = p.b, .c = bias, .rows = p.rows};
      break;
    }
  }
}

inline void Recorder::find_symmetric_forms() {
  std::vector<int> uses(record_.nodes.size(), 0);
  for (const Node& node : record_.nodes)
    record_.for_each_operand(node, [&](int operand) { ++uses[static_cast<std::size_t>(operand)]; });
  if (record_.output >= 0) ++uses[static_cast<std::size_t>(record_.output)];
  for (Node& node : record_.nodes) {
    if (node.operation != Operation::dot || node.uniform) continue;
    for (const auto& [product, vector] : {std::pair{node.a, node.b}, std::pair{node.b, node.a}}) {
      const Node& p = this->node(product);
      if (p.operation != Operation::matrix_vector || p.b != vector || p.c >= 0 || p.uniform ||
          uses[static_cast<std::size_t>(product)] != 1)
        continue;
      const Node& A = this->node(p.a);
      if (A.operation != Operation::constant || A.rows != A.cols) continue;
      double* numbers = record_.constants.data() + A.first;
      bool symmetric = true;
      for (Index i = 0; i < A.rows; ++i)
        for (Index j = 0; j < i; ++j) symmetric = symmetric && numbers[i * A.rows + j] == numbers[j * A.rows + i];
      node.symmetric = symmetric || uses[static_cast<std::size_t>(p.a)] == 1;
      if (symmetric || !node.symmetric) continue;
      for (Index i = 0; i < A.rows; ++i)  // vᵀAv = vᵀ½(A + Aᵀ)v; an inverse is symmetric to rounding alone
        for (Index j = 0; j < i; ++j)
          numbers[i * A.rows + j] = numbers[j * A.rows + i] =
              0.5 * numbers[i * A.rows + j] + 0.5 * numbers[j * A.rows + i];
    }
  }
}

// The operations below read block operands only; what is uniform among them is repeated for the block first.
inline void Recorder::spread_uniform_operands() {
  std::vector<Node> nodes;
  std::vector<int> place(record_.nodes.size()), spread(record_.nodes.size(), -1);
  const auto block_operand = [&](int operand) {
    const Node& o = record_.nodes[static_cast<std::size_t>(operand)];
    if (!o.uniform) return place[static_cast<std::size_t>(operand)];
    int& known = spread[static_cast<std::size_t>(operand)];
    if (known < 0) {
      nodes.push_back({.operation = Operation::spread,
                       .a = place[static_cast<std::size_t>(operand)],
                       .rows = o.rows,
                       .cols = o.cols});
      known = static_cast<int>(nodes.size()) - 1;
    }
    return known;
  };
  for (std::size_t i = 0; i < record_.nodes.size(); ++i) {
    Node node = record_.nodes[i];
    const bool blocks_only = !node.uniform && facts_of(node.operation).reads_blocks;
    for (int* operand : {&node.a, &node.b, &node.c})
      if (*operand >= 0) *operand = blocks_only ? block_operand(*operand) : place[static_cast<std::size_t>(*operand)];
    for (Index k = 0; k < node.count; ++k) {
      int& operand = record_.lists[static_cast<std::size_t>(node.first + k)];
      operand = blocks_only ? block_operand(operand) : place[static_cast<std::size_t>(operand)];
    }
    nodes.push_back(node);
    place[i] = static_cast<int>(nodes.size()) - 1;
  }
  record_.output = place[static_cast<std::size_t>(record_.output)];
  record_.nodes = std::move(nodes);
  if (!record_.result().uniform) return;
  const Node& result = record_.result();  // a formula without x: the output still is a value a sample
  record_.nodes.push_back(
      {.operation = Operation::spread, .a = record_.output, .rows = result.rows, .cols = result.cols});
  record_.output = static_cast<int>(record_.nodes.size()) - 1;
}

inline void Recorder::keep_what_the_output_needs(int output) {
  std::vector<char> needed(record_.nodes.size(), 0);
  needed[static_cast<std::size_t>(output)] = 1;
  for (std::size_t i = record_.nodes.size(); i-- > 0;)
    if (needed[i])
      record_.for_each_operand(record_.nodes[i], [&](int operand) { needed[static_cast<std::size_t>(operand)] = 1; });
  std::vector<int> place(record_.nodes.size(), -1), lists;
  std::vector<Node> nodes;
  for (std::size_t i = 0; i < record_.nodes.size(); ++i) {
    if (!needed[i]) continue;
    Node node = record_.nodes[i];
    for (int* operand : {&node.a, &node.b, &node.c})
      if (*operand >= 0) *operand = place[static_cast<std::size_t>(*operand)];
    if (node.count > 0) {
      const Index first = static_cast<Index>(lists.size());
      for (Index k = 0; k < node.count; ++k)
        lists.push_back(place[static_cast<std::size_t>(record_.lists[static_cast<std::size_t>(node.first + k)])]);
      node.first = first;
    }
    nodes.push_back(node);
    place[i] = static_cast<int>(nodes.size()) - 1;
  }
  record_.nodes = std::move(nodes);
  record_.lists = std::move(lists);
  record_.output = place[static_cast<std::size_t>(output)];
}

template <class>
Record Recorder::finish(int output) {
  record_.output = output;
  lay_out_parameters();
  classify();
  fuse_biases(output);
  keep_what_the_output_needs(output);
  classify();
  find_symmetric_forms();
  spread_uniform_operands();
  classify();
  find_optional();
  retire();
  return std::move(record_);
}

}  // namespace scorematch::formula
