// Which tensor of a file is which parameter of a model: by name, with the shapes checked.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/io/tensor.hpp"
#include "scorematch/named_parameter.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// The model's name of a parameter, or of several, beside the file's. An entry {"encoder.first", "network.0"} is for a
/// parameter of that name, and for all whose name goes on after a dot: "encoder.first.weight" is "network.0.weight" in
/// the file. Of two entries the longer one decides. {"", "ema"} is for all: "a" is "ema.a"; {"net", ""} takes the front
/// away.
using ParameterNames = std::map<std::string, std::string>;

/// Options of load_model for files of tensors.
struct LoadOptions {
  ParameterNames names = {};   ///< where the file's names are not the model's: {{the model's, the file's}, …}
  bool ignore_others = false;  ///< whether the file may hold more than the model has parameters
};

/// The names of the parameters of mlp beside those of PyTorch's nn.Sequential(Linear, activation, Linear, activation,
/// …, Linear), whose Linears are number 0, 2, 4, …: {"mlp.weight1", "network.0.weight"}, {"mlp.bias1",
/// "network.0.bias"}, … of `layers` Linears, one more than mlp has hidden ones. `mlp` is MlpOptions::name; `sequential`
/// the name of the Sequential in its module, "" where it was saved itself ("0.weight").
///   sm::load_model("net.safetensors", model, {.names = sm::sequential_names("mlp", "network", 3)});
inline ParameterNames sequential_names(const std::string& mlp, const std::string& sequential, int layers) {
  extend::require_within(layers, 1, 1'000'000, "sequential_names: layers");
  ParameterNames names;
  for (int layer = 1; layer <= layers; ++layer)
    for (const char* const kind : {"weight", "bias"})
      names[detail::text(mlp, ".", kind, layer)] =
          detail::text(sequential, sequential.empty() ? "" : ".", 2 * (layer - 1), ".", kind);
  return names;
}

namespace io {

/// What `name` is called by `names`; the entry that said so is taken out of `unused`.
inline std::string renamed(const std::string& name, const ParameterNames& names, std::set<std::string>& unused) {
  const std::pair<const std::string, std::string>* best = nullptr;
  for (const auto& entry : names) {
    const std::string& front = entry.first;
    const bool matches = front == name || front.empty() || name.starts_with(front + '.');
    if (matches && (!best || front.size() >= best->first.size())) best = &entry;
  }
  if (!best) return name;
  unused.erase(best->first);
  const auto& [front, other] = *best;
  if (front == name) return other;
  const std::string rest = front.empty() ? name : name.substr(front.size() + 1);
  return other.empty() ? rest : other + '.' + rest;
}

/// The rows and columns of a tensor of at most two dimensions.
inline std::pair<Index, Index> sizes_of(const std::vector<Index>& shape) {
  return {shape.empty() ? 1 : shape[0], shape.size() < 2 ? 1 : shape[1]};
}

/// Whether a tensor of that shape is a parameter of rows × cols. A vector may be a row, a column or of one dimension,
/// unless `strict`.
inline bool fits(const std::vector<Index>& shape, Index rows, Index cols, bool strict) {
  if (shape.size() > 2) return false;
  const auto [r, c] = sizes_of(shape);
  if (r == rows && c == cols) return true;
  return !strict && (r == 1 || c == 1) && (rows == 1 || cols == 1) && r * c == rows * cols;
}

/// Finds the tensors of a model's parameters, and says in one sentence all that does not fit.
class Matching {
 public:
  /// `what` is the file or the like, in quotes; `strict`: vectors keep their direction.
  Matching(std::string what, const std::vector<ReadTensor>& offered, const std::vector<NamedParameter>& wanted,
           const LoadOptions& options, bool strict)
      : what_(std::move(what)), offered_(offered), wanted_(wanted), options_(options), strict_(strict) {}

  /// The parameters in the order of the model's. Throws std::invalid_argument where names or shapes do not fit,
  /// std::runtime_error where numbers are not finite or cannot be read.
  std::vector<NamedParameter> parameters() {
    match();
    if (!missing_.empty() || !shapes_.empty() || has_others())
      throw std::invalid_argument("scorematch: " + what_ + " does not fit the model: " + complaint());
    std::vector<NamedParameter> all;
    for (std::size_t i = 0; i < wanted_.size(); ++i) {
      const auto& [name, tensor, refusal] = *found_[i];
      if (!refusal.empty()) throw std::runtime_error("scorematch: " + what_ + " " + refusal);
      NamedParameter parameter = wanted_[i];
      const auto [rows, cols] = tensor.sizes();
      parameter.values = rows_in_turn(tensor.values, cols, rows);
      for (Index k = 0; k < rows * cols; ++k)
        if (!std::isfinite(parameter.values[k]))
          throw std::runtime_error(detail::text("scorematch: ", what_, " has ", parameter.values[k], " in row ",
                                                k % rows, ", column ", k / rows, " (counted from 0) of ",
                                                in_quotes(name), ", and a model's parameters are finite numbers"));
      all.push_back(std::move(parameter));
    }
    return all;
  }

 private:
  void match() {
    std::map<std::string_view, const ReadTensor*> by_name;
    for (const ReadTensor& tensor : offered_) by_name.emplace(tensor.name, &tensor);
    std::set<std::string> unused;
    for (const auto& [front, other] : options_.names) unused.insert(front);
    std::set<const ReadTensor*> used;
    for (const NamedParameter& parameter : wanted_) {
      const std::string name = renamed(parameter.name, options_.names, unused);
      const auto found = by_name.find(name);
      found_.push_back(found == by_name.end() ? nullptr : found->second);
      used.insert(found_.back());
      if (!found_.back())
        missing_.push_back({&parameter, name});
      else if (!fits(found->second->tensor.shape, parameter.rows, parameter.cols, strict_))
        shapes_.push_back(shape_complaint(*found->second, parameter));
    }
    for (const std::string& front : unused)
      extend::require(false, {"LoadOptions::names has ", in_quotes(front),
                              ", with which no parameter of the model begins; its parameters are: ", names_of_model()});
    for (const ReadTensor& tensor : offered_)
      if (!used.contains(&tensor)) others_.push_back(&tensor);
  }

  bool has_others() const { return !options_.ignore_others && !others_.empty(); }

  std::string names_of_model() const {
    std::vector<std::string> names;
    for (const NamedParameter& parameter : wanted_) names.push_back(parameter.name);
    return list_of_names(names);
  }

  static std::string shape_of(const NamedParameter& parameter) {
    return detail::text(parameter.rows, " × ", parameter.cols);
  }
  static std::string shape_of(const Tensor& tensor) {
    std::string text;
    for (const Index size : tensor.shape) text += (text.empty() ? "" : " × ") + std::to_string(size);
    return text.empty() ? "a number" : text;
  }

  std::string shape_complaint(const ReadTensor& found, const NamedParameter& parameter) const {
    const auto [rows, cols] = sizes_of(found.tensor.shape);
    const char* cure = "";
    if (found.tensor.shape.size() > 2)
      cure = " (a parameter is a matrix; save it reshaped)";
    else if (!strict_ && rows == parameter.cols && cols == parameter.rows)
      cure =
          " (transposed: PyTorch's Linear is out × in, as this model's; Keras and Flax keep in × out: save its "
          "transpose)";
    std::string name = in_quotes(parameter.name);
    if (found.name != parameter.name) name += detail::text(", ", in_quotes(found.name), " in the file,");
    return detail::text("parameter ", name, " is ", shape_of(found.tensor), " there and ", shape_of(parameter),
                        " in the model", cure);
  }

  /// "'a' (2 × 1), 'b' (3 × 3), … (64 in all)"
  template <class T, class F>
  static std::string list(const std::vector<T>& all, F text_of) {
    constexpr std::size_t most = 20;
    std::string text;
    for (std::size_t i = 0; i < std::min(most, all.size()); ++i) text += (i > 0 ? ", " : "") + text_of(all[i]);
    if (all.size() > most) text += detail::text(", … (", all.size(), " in all)");
    return text;
  }

  std::string complaint() const {
    std::vector<std::string> parts = shapes_;
    if (!missing_.empty())
      parts.insert(parts.begin(), "it lacks " + list(missing_, [](const Missing& one) {
                                    std::string text = in_quotes(one.name) + " (" + shape_of(*one.parameter) + ")";
                                    if (one.name != one.parameter->name)
                                      text += " for " + in_quotes(one.parameter->name);
                                    return text;
                                  }));
    if (has_others())
      parts.push_back(
          "it has " +
          list(others_,
               [](const ReadTensor* one) { return in_quotes(one->name) + " (" + shape_of(one->tensor) + ")"; }) +
          ", which the model lacks");
    std::string text;
    for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
    if (missing_.empty() && shapes_.empty() && !strict_) text += " (LoadOptions::ignore_others leaves them out)";
    if (strict_) return text + "; it is a saved model of another formula";
    if (const std::string names = likely_names(); !names.empty())
      text += ". Perhaps they differ in names: {.names = {" + names + "}}";
    return text;
  }

  /// "weight" of "mlp.weight2" and of "network.0.weight".
  static std::string_view last_word(std::string_view name) {
    name.remove_prefix(name.rfind('.') + 1);  // 0 where there is no dot
    while (!name.empty() && name.back() >= '0' && name.back() <= '9') name.remove_suffix(1);
    return name;
  }

  /// What may be meant, as a program writes it: each parameter that is missing beside the next tensor of its shape, one
  /// of the same last word before others; "" where there is none for one of them.
  std::string likely_names() const {
    std::vector<const ReadTensor*> rest = others_;
    // "layer.9" before "layer.10".
    std::stable_sort(rest.begin(), rest.end(), [](const ReadTensor* a, const ReadTensor* b) {
      return std::pair(a->name.size(), std::string_view(a->name)) <
             std::pair(b->name.size(), std::string_view(b->name));
    });
    std::vector<std::string> pairs;
    for (const Missing& one : missing_) {
      const auto fitting = [&](const ReadTensor* other) {
        return fits(other->tensor.shape, one.parameter->rows, one.parameter->cols, strict_);
      };
      auto meant = std::find_if(rest.begin(), rest.end(), [&](const ReadTensor* other) {
        return fitting(other) && last_word(other->name) == last_word(one.parameter->name);
      });
      if (meant == rest.end()) meant = std::find_if(rest.begin(), rest.end(), fitting);
      if (meant == rest.end()) return {};
      pairs.push_back("{\"" + one.parameter->name + "\", \"" + (*meant)->name + "\"}");
      rest.erase(meant);
    }
    return list(pairs, [](const std::string& pair) { return pair; });
  }

  struct Missing {
    const NamedParameter* parameter;
    std::string name;  ///< in the file
  };

  std::string what_;
  const std::vector<ReadTensor>& offered_;
  const std::vector<NamedParameter>& wanted_;
  const LoadOptions& options_;
  bool strict_;
  std::vector<const ReadTensor*> found_;  ///< of each parameter
  std::vector<Missing> missing_;
  std::vector<std::string> shapes_;        ///< what is said of those whose shapes differ
  std::vector<const ReadTensor*> others_;  ///< which no parameter is
};

}  // namespace io
}  // namespace scorematch
