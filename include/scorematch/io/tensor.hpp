// Arrays by name, as .safetensors and .npz files hold them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/io/file_basics.hpp"
#include "scorematch/io/stored_number.hpp"
#include "scorematch/named_parameter.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

namespace io {

/// The numbers of a rows × cols matrix, column-major, in the order of a row after another. (With rows and columns
/// exchanged it is the way back. Plain loops here: Eigen's expressions would cost each program that includes this.)
inline Eigen::VectorXd rows_in_turn(const Eigen::VectorXd& values, Index rows, Index cols) {
  Eigen::VectorXd turned(values.size());
  for (Index i = 0; i < values.size(); ++i) turned[i] = values[i / cols + rows * (i % cols)];
  return turned;
}

}  // namespace io

/// An array as PyTorch and NumPy show it: PyTorch's Linear has a weight of shape (out, in) and a bias of shape (out).
struct Tensor {
  std::vector<Index> shape;  ///< {} is a number, {n} a vector, {rows, columns} a matrix
  Eigen::VectorXd values;    ///< as many as the shape says, row-major: the last index runs fastest

  /// Of shape (), without its number.
  Tensor() = default;
  /// Of that shape and these values, row-major.
  Tensor(std::vector<Index> its_shape, Eigen::VectorXd its_values)
      : shape(std::move(its_shape)), values(std::move(its_values)) {}
  /// Of shape ().
  Tensor(double number) : values(1) { values[0] = number; }
  /// A matrix as shape (rows, columns), a column vector (Eigen::VectorXd) as (size). Samples, d × N, are written so
  /// that NumPy sees (N, d) as X.transpose().
  template <class Derived>
  Tensor(const Eigen::MatrixBase<Derived>& matrix) : shape{matrix.rows()} {
    if constexpr (Derived::ColsAtCompileTime != 1) shape.push_back(matrix.cols());
    values = matrix.derived().template cast<double>().transpose().reshaped();
  }

  /// As NumPy shows it: (r, c) → r × c, (n) → n × 1, () → 1 × 1. Throws std::invalid_argument for more dimensions than
  /// two, and where `values` are not as many as `shape` says.
  Eigen::MatrixXd matrix() const {
    const auto [rows, cols] = sizes();
    Eigen::MatrixXd matrix(rows, cols);
    for (Index i = 0; i < values.size(); ++i) matrix.data()[i / cols + rows * (i % cols)] = values[i];
    return matrix;
  }

  /// As samples: (N, d) → d × N, one column per sample; (N) → 1 × N. Throws as matrix() does.
  Eigen::MatrixXd samples() const {
    const auto [count, dimension] = sizes();
    Eigen::MatrixXd samples(dimension, count);
    std::copy_n(values.data(), values.size(), samples.data());
    return samples;
  }

  /// Rows and columns as matrix() has them, and throws.
  std::pair<Index, Index> sizes() const {
    require_sound("a tensor");
    extend::require(shape.size() <= 2, {"a tensor of shape ", shape_text(),
                                        " is no matrix: its shape may have two sizes at most; its numbers are in "
                                        "Tensor::values, row-major"});
    const std::pair<Index, Index> all{shape.empty() ? 1 : shape[0], shape.size() < 2 ? 1 : shape[1]};
    extend::require(values.size() > 0 || std::max(all.first, all.second) <= io::longest_empty_side,
                    {"a tensor of shape ", shape_text(), " is no matrix: it has no number, and a side is too large"});
    return all;
  }

  /// "(64, 2)", "(64)", "()".
  std::string shape_text() const {
    std::string text = "(";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
    return text + ")";
  }

  /// Throws std::invalid_argument, which begins with `what`, unless there are as many values as the shape says.
  void require_sound(const std::string& what) const {
    extend::require(count(shape) == values.size(),
                    {what, " has shape ", shape_text(), " and ", values.size(), " values"});
  }

  /// How many numbers a shape has; −1 where that is beyond the largest Index, or a size is below 0.
  static Index count(const std::vector<Index>& shape) {
    Index all = 1;
    bool is_empty = false, is_sound = true;
    for (const Index size : shape) {
      is_empty = is_empty || size == 0;
      if (size < 0) return -1;
      if (size > 0 && all > std::numeric_limits<Index>::max() / size)
        is_sound = false;
      else if (size > 0)
        all *= size;
    }
    return is_empty ? 0 : is_sound ? all : -1;
  }
};

namespace io {

/// "'a', 'b', … (64 in all)"
inline std::string list_of_names(const std::vector<std::string>& names) {
  constexpr std::size_t most = 30;
  std::string list;
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) list += (i > 0 ? ", " : "") + in_quotes(names[i]);
  if (names.size() > most) list += detail::text(", … (", names.size(), " in all)");
  return list.empty() ? "none" : list;
}

}  // namespace io

/// Tensors by name: a map, whose at() lists the names that there are.
///   const sm::Tensors weights = sm::read_safetensors("net.safetensors");
///   const Eigen::MatrixXd W = weights.at("network.0.weight").matrix();   // out × in
struct Tensors : std::map<std::string, Tensor> {
  using std::map<std::string, Tensor>::map;

  /// The parameters of a model, or of several: sm::Tensors(model.named_parameters()). One of a single column, as a
  /// vector is, has shape (rows), as PyTorch keeps a bias; others (rows, columns). Throws std::invalid_argument where
  /// two have the same name.
  explicit Tensors(const std::vector<NamedParameter>& parameters) {
    for (const auto& [name, rows, cols, numbers] : parameters) {
      Tensor tensor({rows, cols}, numbers);
      tensor.require_sound("parameter " + io::in_quotes(name));
      if (cols == 1) tensor.shape.pop_back();
      tensor.values = io::rows_in_turn(numbers, rows, cols);
      extend::require(try_emplace(name, std::move(tensor)).second,
                      {"two parameters have the name ", io::in_quotes(name)});
    }
  }

  /// The tensor of that name; std::invalid_argument, which lists the names, where there is none.
  const Tensor& at(const std::string& name) const {
    const auto found = find(name);
    extend::require(found != end(),
                    {"there is no tensor ", io::in_quotes(name), "; there are: ", io::list_of_names(names())});
    return found->second;
  }
  /// The same, to be changed.
  Tensor& at(const std::string& name) { return const_cast<Tensor&>(std::as_const(*this).at(name)); }

  /// All names, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& [name, tensor] : *this) all.push_back(name);
    return all;
  }
};

namespace io {

/// A tensor of a file. One whose numbers no reader takes says why, for those who ask for it.
struct ReadTensor {
  std::string name;
  Tensor tensor;
  std::string refusal = {};  ///< of a file_error: "has dtype … "
};

/// Those of `names`, or all where none is named. Throws std::invalid_argument for a name that the file does not have,
/// std::runtime_error where its numbers cannot be read.
inline Tensors chosen(const std::string& path, std::vector<ReadTensor> all, const std::vector<std::string>& names) {
  Tensors result;
  std::vector<std::string> there;
  for (ReadTensor& one : all) {
    there.push_back(one.name);
    if (!names.empty() && std::find(names.begin(), names.end(), one.name) == names.end()) continue;
    if (!one.refusal.empty()) file_error(path, one.refusal);
    result.try_emplace(std::move(one.name), std::move(one.tensor));
  }
  for (const std::string& name : names)
    extend::require(result.contains(name),
                    {"'", path, "' has no tensor ", in_quotes(name), "; it has: ", list_of_names(there)});
  return result;
}

}  // namespace io
}  // namespace scorematch
