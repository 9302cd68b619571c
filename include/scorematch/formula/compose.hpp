// Records as parts of a new formula: sums, products and mixtures of models, and models under another name.
//
// A part is run inside the new formula node by node, as if its text stood there. So what is composed is an ordinary
// record, and everything that takes a model takes it.
#pragma once

#include <string>
#include <vector>

#include "scorematch/formula/theta.hpp"

namespace scorematch::formula {

/// A model as a part of another.
struct Part {
  const Record& record;
  const Eigen::VectorXd& theta;  ///< where its parameters start in the new model
  std::string prefix = {};       ///< put before their names
};

/// The part's parameter of this node, under its new name.
inline int quoted_parameter(const Part& part, const Node& node, Recorder& to) {
  const std::vector<ParameterBlock>& all = part.record.parameters;
  const auto block = std::find_if(all.begin(), all.end(),
                                  [&](const ParameterBlock& candidate) { return candidate.offset == node.first; });
  return to.parameter(part.prefix + block->name, block->rows, block->cols,
                      [&]() -> Eigen::VectorXd { return part.theta.segment(block->offset, block->size()); });
}

/// The value of a part's formula at x, sigma and label, inside the formula to which these belong. Those that the part
/// does not take may be null.
inline Value quoted(const Part& part, const Value& x, const Value* sigma, const Value* label = nullptr) {
  const Record& from = part.record;
  Recorder& to = x.recorder();
  std::vector<int> place;  // of each node, in the new record
  const auto placed = [&](int operand) { return operand < 0 ? -1 : place[static_cast<std::size_t>(operand)]; };
  const auto concat = [&](const Node& node) {
    std::vector<int> operands;
    for (Index k = 0; k < node.count; ++k)
      operands.push_back(placed(from.lists[static_cast<std::size_t>(node.first + k)]));
    return to.concat(operands, node.rows);
  };
  const auto same_operation = [&](Node node) {
    node.a = placed(node.a);
    node.b = placed(node.b);
    node.c = placed(node.c);
    node.symmetric = false;  // found again when the new record is finished
    return to.add(node);
  };
  for (const Node& node : from.nodes) switch (node.operation) {
      case Operation::input:
        place.push_back(x.index());
        break;
      case Operation::sigma:
        place.push_back(sigma->index());
        break;
      case Operation::label:
        place.push_back(label->index());
        break;
      case Operation::parameter:
        place.push_back(quoted_parameter(part, node, to));
        break;
      case Operation::constant:
        place.push_back(to.constant(from.constants.data() + node.first, node.rows, node.cols));
        break;
      case Operation::concat:
        place.push_back(concat(node));
        break;
      case Operation::spread:  // put in again where the new record needs it
        place.push_back(placed(node.a));
        break;
      case Operation::combine:
      case Operation::multiply:
      case Operation::function:
      case Operation::less:
      case Operation::less_equal:
      case Operation::select:
      case Operation::sum:
      case Operation::dot:
      case Operation::log_sum_exp:
      case Operation::segment:
      case Operation::matrix_vector:
      case Operation::transpose:
        place.push_back(same_operation(node));
        break;
    }
  return {to, placed(from.output)};
}

/// Throws std::invalid_argument if a name occurs in two parts, or is `reserved`.
inline void require_distinct_names(const std::vector<Part>& parts, const std::string& reserved = {}) {
  std::vector<std::string> names;
  if (!reserved.empty()) names.push_back(reserved);
  for (const Part& part : parts)
    for (const ParameterBlock& block : part.record.parameters) {
      const std::string name = part.prefix + block.name;
      extend::require(
          std::find(names.begin(), names.end(), name) == names.end(),
          {"the parameter \"", name, "\" occurs twice among the models to be combined; a name is one parameter, ",
           "so give those of one model another name: named(\"prior\", model)"});
      names.push_back(name);
    }
}

/// The record of combine(values of the parts, theta), a formula of x, and of sigma if a part takes it. Its parameters
/// are the parts', starting at their θ, and what `combine` declares. Throws std::invalid_argument for parts of
/// different dimensions and for parameters of the same name.
template <class Combine>
Record composed(const std::vector<Part>& parts, Combine combine, const std::string& declares = {}) {
  bool takes_sigma = false;
  Index classes = 0;
  const Index dimension = parts.front().record.dimension;
  for (const Part& part : parts) {
    extend::require(part.record.dimension == dimension,
                    {"a model of dimension ", dimension, " is combined with one of dimension ", part.record.dimension,
                     "; they must agree"});
    takes_sigma = takes_sigma || part.record.takes_sigma;
    extend::require(
        classes == 0 || part.record.classes == 0 || part.record.classes == classes,
        {"a model of ", classes, " classes is combined with one of ", part.record.classes, "; they must agree"});
    classes = std::max(classes, part.record.classes);
  }
  require_distinct_names(parts, declares);
  const auto run = [&](const Value& x, const Value* sigma, const Value* label, const Theta& theta) {
    std::vector<Value> values;
    for (const Part& part : parts) values.push_back(quoted(part, x, sigma, label));
    return combine(values, theta);
  };
  if (classes > 0)
    return record(
        dimension,
        [&](const Value& x, const Value& sigma, const Value& label, const Theta& theta) -> Value {
          return run(x, &sigma, &label, theta);
        },
        classes);
  if (takes_sigma)
    return record(dimension, [&](const Value& x, const Value& sigma, const Theta& theta) -> Value {
      return run(x, &sigma, nullptr, theta);
    });
  return record(dimension,
                [&](const Value& x, const Theta& theta) -> Value { return run(x, nullptr, nullptr, theta); });
}

}  // namespace scorematch::formula
