// A model's parameters saved to a file and loaded by name.
//
// The file is text, for people to read and to compare; a matrix is written a row a line:
//
//   scorematch-parameters 1
//   count 2
//   2 x 1 centre
//   -0.25
//   1.5
//   1 x 1 log_stiffness
//   0.6931471805599453
//   end
//
// 1 is the format's version. Numbers are finite, and the shortest text that reads back as the same double. A name is
// the rest of its line, so it may hold spaces, but no control characters. Lines before the count may say how the data
// were standardised, a coordinate per line, its mean and its deviation:
//
//   standardised 2
//   43.92 5.45
//   17.15 1.97
//
// A path that ends in .safetensors or .npz is written in that format, for Python's programs; what is read goes by the
// file's own bytes. In a .safetensors file the metadata have the standardisation: "scorematch.mean" and
// "scorematch.deviation", numbers with blanks between them.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/io/matching.hpp"
#include "scorematch/io/npy.hpp"
#include "scorematch/io/npz.hpp"
#include "scorematch/io/safetensors.hpp"
#include "scorematch/io/standardise.hpp"
#include "scorematch/io/stored_number.hpp"
#include "scorematch/io/tensor.hpp"
#include "scorematch/named_parameter.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// Options of save_model for files of tensors, .safetensors and .npz.
struct SaveOptions {
  ParameterNames names = {};  ///< where the file's names shall not be the model's: {{the model's, the file's}, …}
  Dtype dtype = Dtype::f64;   ///< what the numbers are rounded to: with f64 the model loads with the same bits
};

namespace io {

inline constexpr int parameters_version = 1;
inline constexpr std::string_view parameters_magic = "scorematch-parameters ";

/// The parameter of that name, or the end of the list.
inline std::vector<NamedParameter>::const_iterator find_parameter(const std::vector<NamedParameter>& parameters,
                                                                  const std::string& name) {
  return std::find_if(parameters.begin(), parameters.end(), [&](const NamedParameter& p) { return p.name == name; });
}

/// Whether a name can stand on a line.
inline bool can_be_saved(std::string_view name) {
  return !name.empty() &&
         std::none_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; });
}

/// The contents of a file of parameters.
struct SavedParameters {
  std::vector<NamedParameter> parameters = {};
  std::optional<Standardisation> standardisation = {};
};

/// Goes through the lines of a file of parameters.
class ParameterLines {
 public:
  ParameterLines(const std::string& path, std::string_view rest) : path_(path), rest_(rest) {}

  Index bytes_left() const { return static_cast<Index>(rest_.size()); }

  /// The next line; a file whose last line has no end is cut off there, so that line counts as missing.
  std::string_view next() {
    const std::size_t length = rest_.find('\n');
    if (length == rest_.npos) file_error(path_, "is truncated: it ends after line ", line_, " without its line 'end'");
    std::string_view line = rest_.substr(0, length);
    rest_.remove_prefix(length + 1);
    ++line_;
    if (line.ends_with('\r')) line.remove_suffix(1);  // a version control system may have put it there
    return line;
  }

  [[noreturn]] void malformed(const std::string& expected) const {
    file_error(path_, "line ", line_, " is malformed: expected ", expected);
  }

  /// Takes a number from the front of `line`.
  template <class T>
  T number(std::string_view& line, const char* expected) const {
    T value{};
    const char* const end = line.data() + line.size();
    std::from_chars_result read;
    if constexpr (std::is_same_v<T, double>)
      read = read_number(line.data(), end, value);
    else
      read = std::from_chars(line.data(), end, value);
    if (read.ec != std::errc{}) malformed(expected);
    if constexpr (std::is_same_v<T, double>)
      if (!std::isfinite(value)) file_error(path_, "line ", line_, " has ", value, ", which is no finite number");
    line.remove_prefix(static_cast<std::size_t>(read.ptr - line.data()));
    return value;
  }

  /// Takes `words` from the front of `line`.
  void skip(std::string_view& line, std::string_view words, const char* expected) const {
    if (!line.starts_with(words)) malformed(expected);
    line.remove_prefix(words.size());
  }

 private:
  const std::string& path_;
  std::string_view rest_;
  Index line_ = 0;
};

}  // namespace io

namespace io {

/// A matrix a row a line, from `values`, column-major.
inline void append_matrix(std::string& out, Index rows, Index cols, const Eigen::VectorXd& values) {
  for (Index row = 0; row < rows && cols > 0; ++row)
    for (Index col = 0; col < cols; ++col) {
      append_number(out, values[row + rows * col]);
      out += col + 1 < cols ? ' ' : '\n';
    }
}

/// Reads it. A value takes two bytes at least: a shape that cannot be there asks for no memory.
inline Eigen::VectorXd read_matrix(const std::string& path, ParameterLines& lines, const std::string& what, Index rows,
                                   Index cols) {
  if (cols > 0 && rows > lines.bytes_left() / 2 / cols)
    file_error(path, "is truncated: ", what, " is ", rows, " × ", cols, " and ", lines.bytes_left(), " bytes are left");
  Eigen::VectorXd values(rows * cols);
  for (Index row = 0; row < rows && cols > 0; ++row) {
    std::string_view line = lines.next();
    for (Index col = 0; col < cols; ++col) {
      if (col > 0) lines.skip(line, " ", "another number of this row");
      values[row + rows * col] = lines.number<double>(line, "a row of numbers");
    }
    if (!line.empty()) lines.malformed(detail::text("the row to end after ", cols, " numbers"));
  }
  return values;
}

/// Throws std::invalid_argument where a number is not finite.
inline void require_finite(const Eigen::VectorXd& values, Index rows, const std::string& what) {
  for (Index i = 0; i < values.size(); ++i)
    extend::require(std::isfinite(values[i]), {what, " has ", values[i], " in row ", i % rows, ", column ", i / rows,
                                               " (counted from 0); only finite numbers are saved"});
}

/// What may be saved: finite numbers under names, each its own.
inline void require_savable(const std::vector<NamedParameter>& parameters) {
  std::unordered_set<std::string> names;
  for (const auto& [name, rows, cols, values] : parameters) {
    extend::require(!name.empty(), {"a parameter to be saved has an empty name"});
    extend::require(names.insert(name).second, {"two parameters to be saved have the name ", in_quotes(name)});
    extend::require(
        rows >= 0 && cols >= 0 && (rows == 0 || cols <= values.size() / rows) && rows * cols == values.size(),
        {"parameter ", in_quotes(name), " is ", rows, " × ", cols, " but has ", values.size(), " values"});
    require_finite(values, rows, detail::text("parameter ", in_quotes(name)));
  }
}

/// Throws std::invalid_argument where the standardisation cannot be saved.
inline void require_savable(const Standardisation& units) {
  const Index d = units.dimension();
  extend::require(units.deviation.size() == d, {"Standardisation::mean has ", d,
                                                " numbers and Standardisation::deviation ", units.deviation.size()});
  extend::require((units.deviation.array() >= 0).all(), {"Standardisation::deviation must not be below 0"});
  require_finite(units.mean, d, "the standardisation's mean");
  require_finite(units.deviation, d, "the standardisation's deviation");
}

inline void write_parameters(const std::string& path, const std::vector<NamedParameter>& parameters,
                             const Standardisation* standardisation) {
  std::string out(parameters_magic);
  append_number(out, parameters_version);
  if (standardisation) {
    require_savable(*standardisation);
    const Index d = standardisation->dimension();
    Eigen::VectorXd both(2 * d);
    both << standardisation->mean, standardisation->deviation;
    out += "\nstandardised ";
    append_number(out, d);
    out += '\n';
    append_matrix(out, d, 2, both);
    out.pop_back();
  }
  out += "\ncount ";
  append_number(out, parameters.size());
  out += '\n';
  require_savable(parameters);
  for (const auto& [name, rows, cols, values] : parameters) {
    extend::require(can_be_saved(name),
                    {"the parameter name ", in_quotes(name), " holds a control character; it cannot be saved"});
    append_number(out, rows);
    out += " x ";
    append_number(out, cols);
    out += ' ';
    out += name;
    out += '\n';
    append_matrix(out, rows, cols, values);
  }
  out += "end\n";
  OutputFile file(path);
  file.write(out);
  file.finish();
}

inline SavedParameters parse_parameters(const std::string& path, std::string_view file) {
  if (!file.starts_with(parameters_magic))
    file_error(path, "is no file of saved parameters: it does not begin with '", parameters_magic,
               "', and is neither .safetensors nor .npz");

  ParameterLines lines(path, file);
  std::string_view line = lines.next().substr(parameters_magic.size());
  const int version = lines.number<int>(line, "a format version");
  if (version > parameters_version)
    file_error(path, "was saved in format ", version, "; this version of scorematch reads up to ", parameters_version,
               ": a newer scorematch is needed");
  if (version < 1 || !line.empty()) lines.malformed("format version 1");

  SavedParameters saved;
  line = lines.next();
  if (line.starts_with("standardised ")) {
    lines.skip(line, "standardised ", "");
    const auto d = lines.number<Index>(line, "'standardised <number of coordinates>'");
    if (!line.empty() || d < 1) lines.malformed("'standardised <number of coordinates>'");
    const Eigen::VectorXd both = read_matrix(path, lines, "the standardisation", d, 2);
    saved.standardisation = Standardisation{both.head(d), both.tail(d)};
    if ((both.tail(d).array() < 0).any()) lines.malformed("no deviation below 0");
    line = lines.next();
  }
  lines.skip(line, "count ", "'count <number of parameters>'");
  const auto count = lines.number<std::size_t>(line, "'count <number of parameters>'");
  if (!line.empty()) lines.malformed("'count <number of parameters>'");

  std::unordered_set<std::string> names;
  while (saved.parameters.size() < count) {
    constexpr const char* expected = "'<rows> x <columns> <name>'";
    NamedParameter parameter;
    line = lines.next();
    parameter.rows = lines.number<Index>(line, expected);
    lines.skip(line, " x ", expected);
    parameter.cols = lines.number<Index>(line, expected);
    lines.skip(line, " ", expected);
    parameter.name = line;
    if (parameter.rows < 0 || parameter.cols < 0 || parameter.name.empty()) lines.malformed(expected);
    const std::string name = in_quotes(parameter.name);
    if (!can_be_saved(parameter.name)) lines.malformed(detail::text("a name without control characters, not ", name));
    if (!names.insert(parameter.name).second) lines.malformed(detail::text("a name other than ", name));
    parameter.values = read_matrix(path, lines, detail::text("parameter ", name), parameter.rows, parameter.cols);
    saved.parameters.push_back(std::move(parameter));
  }
  if (lines.next() != "end" || lines.bytes_left() > 0)
    lines.malformed(detail::text("'end' after ", count, " parameters, and nothing more"));
  return saved;
}

inline SavedParameters read_parameters(const std::string& path) { return parse_parameters(path, read_file(path)); }

/// Numbers with blanks between them, as metadata keep them.
inline std::string words_of(const Eigen::VectorXd& numbers) {
  std::string words;
  for (const double number : numbers) {
    if (!words.empty()) words += ' ';
    append_number(words, number);
  }
  return words;
}
inline Eigen::VectorXd numbers_of(const std::string& path, const std::string& key, const std::string& words) {
  std::vector<double> numbers;
  const char *at = words.data(), *const end = at + words.size();
  for (bool is_first = true; is_first || at < end; is_first = false) {
    double number = 0;
    if (!is_first && *at++ != ' ') at = end;
    const std::from_chars_result read = read_number(at, end, number);
    if (read.ec != std::errc{} || !std::isfinite(number))
      file_error(path, "has metadata ", in_quotes(key),
                 " that are not finite numbers with a blank between them: ", in_quotes(words));
    numbers.push_back(number);
    at = read.ptr;
  }
  Eigen::VectorXd all(static_cast<Index>(numbers.size()));
  std::copy(numbers.begin(), numbers.end(), all.data());
  return all;
}

inline constexpr const char *mean_key = "scorematch.mean", *deviation_key = "scorematch.deviation";

inline std::optional<Standardisation> standardisation_of(const std::string& path,
                                                         const std::map<std::string, std::string>& metadata) {
  const auto mean = metadata.find(mean_key), deviation = metadata.find(deviation_key);
  if (mean == metadata.end() && deviation == metadata.end()) return {};
  if (mean == metadata.end() || deviation == metadata.end())
    file_error(path, "has one of the metadata '", mean_key, "' and '", deviation_key, "' without the other");
  Standardisation units{numbers_of(path, mean_key, mean->second), numbers_of(path, deviation_key, deviation->second)};
  if (units.mean.size() != units.deviation.size() || (units.deviation.array() < 0).any())
    file_error(path, "has metadata '", deviation_key, "' that are not one deviation, 0 or above, for each '", mean_key,
               "'");
  return units;
}

/// A saved model of any format.
struct SavedModel {
  std::vector<ReadTensor> tensors;
  std::optional<Standardisation> standardisation = {};
  bool is_text = false;  ///< the format of this header, in which all are matrices
};

inline SavedModel read_saved(const std::string& path) {
  const std::string file = read_file(path);
  // "PK" may be the length of a header; of an archive byte 8 is a number below 100.
  const bool has_header = file.size() > 8 && file[8] == '{' && !file.starts_with("\x93NUMPY");
  if (file.starts_with("PK") && !has_header) return {npz_of(path, file)};
  if (has_header || path.ends_with(".safetensors")) {
    std::map<std::string, std::string> metadata;
    SavedModel saved{safetensors_of(path, file, metadata)};
    saved.standardisation = standardisation_of(path, metadata);
    return saved;
  }
  if (file.starts_with("\x93NUMPY"))
    file_error(path, "is one array, a .npy file: load_npy_parameter(path, model, name) gives it to a parameter");
  require_no_other_format(path, file);
  SavedParameters parsed = parse_parameters(path, file);
  SavedModel saved{{}, std::move(parsed.standardisation), true};
  for (const auto& [name, rows, cols, values] : parsed.parameters)
    saved.tensors.push_back({name, {{rows, cols}, rows_in_turn(values, rows, cols)}});
  return saved;
}

/// Writes a file of the format that the end of its name says.
inline void write_saved(const std::string& path, std::vector<NamedParameter> parameters,
                        const Standardisation* standardisation, const SaveOptions& options) {
  require_savable(parameters);
  if (standardisation) require_savable(*standardisation);
  const bool to_npz = path.ends_with(".npz"), to_safetensors = path.ends_with(".safetensors");
  if (!to_npz && !to_safetensors) {
    extend::require(
        options.names.empty() && options.dtype == Dtype::f64,
        {"SaveOptions are for files of tensors, and '", path, "' ends neither in .safetensors nor in .npz"});
    write_parameters(path, parameters, standardisation);
    return;
  }
  extend::require(!to_npz || !standardisation, {"'", path, "' cannot hold a standardisation: save to .safetensors"});
  std::set<std::string> unused;
  for (const auto& [front, other] : options.names) unused.insert(front);
  for (NamedParameter& parameter : parameters) parameter.name = renamed(parameter.name, options.names, unused);
  for (const std::string& front : unused)
    extend::require(false, {"SaveOptions::names has ", in_quotes(front), ", with which no parameter begins"});
  const Tensors tensors(parameters);
  if (to_npz) return write_npz(path, tensors, options.dtype);
  SafetensorsOptions how{.dtype = options.dtype};
  if (standardisation)
    how.metadata = {{mean_key, words_of(standardisation->mean)}, {deviation_key, words_of(standardisation->deviation)}};
  write_safetensors(path, tensors, how);
}

}  // namespace io

/// Writes the parameters to a file that appears complete or not at all: as text, or in the format of a name that ends
/// in .safetensors or .npz. Throws std::invalid_argument for a name that is empty, used twice or, in text, holds a
/// control character, for a shape that is not that of the values, and for a value that is not finite;
/// std::runtime_error when the file cannot be written.
inline void save_parameters(const std::string& path, const std::vector<NamedParameter>& parameters) {
  io::write_saved(path, parameters, nullptr, {});
}

/// Reads what save_parameters or save_model wrote, every double exactly; from text in the same order. Of a .safetensors
/// or .npz file from elsewhere a tensor of shape (n) is n × 1, a number 1 × 1. Throws std::runtime_error when the file
/// cannot be read, is no file of parameters, was written by a newer version of the format, is malformed or truncated,
/// naming the line, or has a number that is not finite; std::invalid_argument for a tensor of more than two dimensions.
inline std::vector<NamedParameter> load_parameters(const std::string& path) {
  std::vector<NamedParameter> all;
  for (const io::ReadTensor& read : io::read_saved(path).tensors) {
    if (!read.refusal.empty()) io::file_error(path, read.refusal);
    const auto [rows, cols] = read.tensor.sizes();
    for (const double number : read.tensor.values)
      if (!std::isfinite(number))
        io::file_error(path, "has ", number, " in tensor ", io::in_quotes(read.name), ", which is no finite number");
    all.push_back({read.name, rows, cols, io::rows_in_turn(read.tensor.values, cols, rows)});
  }
  return all;
}

/// A model that says its parameters: `std::vector<NamedParameter> named_parameters() const`.
template <class Model>
concept HasNamedParameters = requires(const Model& model) {
  { model.named_parameters() } -> std::convertible_to<std::vector<NamedParameter>>;
};

/// A model that takes its parameters: `void set_named_parameters(std::vector<NamedParameter>)`.
template <class Model>
concept TakesNamedParameters = requires(Model& model, std::vector<NamedParameter> parameters) {
  model.set_named_parameters(std::move(parameters));
};

/// Saves the model's parameters (not its formula) to `path`, which may end in .safetensors or .npz, for PyTorch and
/// NumPy: save_parameters of model.named_parameters().
///   sm::save_model("energy.model", model);               // text
///   sm::save_model("energy.safetensors", model, {.names = {{"first", "network.0"}}, .dtype = sm::Dtype::f32});
/// A parameter of one column has shape (rows) in such files, as PyTorch keeps a bias, others (rows, columns).
template <class Model>
void save_model(const std::string& path, const Model& model, const SaveOptions& options = {}) {
  static_assert(HasNamedParameters<Model>,
                "a model to be saved must provide std::vector<scorematch::NamedParameter> named_parameters() const");
  io::write_saved(path, model.named_parameters(), nullptr, options);
}

/// The same, and beside it how the data were standardised that the model is of (not in .npz files). Throws
/// std::invalid_argument, too, where the standardisation is of another dimension than the model.
template <class Model>
void save_model(const std::string& path, const Model& model, const Standardisation& standardisation,
                const SaveOptions& options = {}) {
  static_assert(HasNamedParameters<Model>,
                "a model to be saved must provide std::vector<scorematch::NamedParameter> named_parameters() const");
  if constexpr (requires { model.dimension(); })
    extend::require(model.dimension() == standardisation.dimension(),
                    {"the standardisation is of ", standardisation.dimension(),
                     " coordinates; the model has dimension ", model.dimension()});
  io::write_saved(path, model.named_parameters(), &standardisation, options);
}

namespace io {

template <class Model>
void give_tensors(const std::string& what, const std::vector<ReadTensor>& saved, Model& model,
                  const LoadOptions& options, bool strict) {
  static_assert(HasNamedParameters<Model>,
                "a model to be loaded must provide std::vector<scorematch::NamedParameter> named_parameters() const");
  static_assert(TakesNamedParameters<Model>,
                "a model to be loaded must provide void set_named_parameters(std::vector<scorematch::NamedParameter>)");
  const std::vector<NamedParameter> wanted = model.named_parameters();
  model.set_named_parameters(Matching(what, saved, wanted, options, strict).parameters());
}

}  // namespace io

/// Gives the model the parameters of a file by their names: of one that save_model wrote, or of a .safetensors or .npz
/// file from PyTorch, JAX or NumPy. Its first bytes say which it is.
///   sm::load_model("energy.model", model);
///   sm::load_model("net.safetensors", model, {.names = {{"first", "network.0"}, {"last", "network.2"}}});
/// Matrices are taken as PyTorch's Linear keeps them, out × in: theta("W", out, in). A vector may be a row or a column.
///
/// The file must have each parameter of the model in its shape, and no others, unless LoadOptions says so. Where it
/// does not, std::invalid_argument names all that are missing, superfluous or of another shape; so it does where the
/// model was saved with a standardisation, which must be asked for (below), as its data would be in other units. Where
/// the file cannot be read, or has a number that is not finite, std::runtime_error. The model is then unchanged.
template <class Model>
void load_model(const std::string& path, Model& model, const LoadOptions& options = {}) {
  const io::SavedModel saved = io::read_saved(path);
  extend::require(!saved.standardisation, {"'", path,
                                           "' is a model of standardised data: load_model(path, model, "
                                           "standardisation) gives the standardisation, too"});
  io::give_tensors("'" + path + "'", saved.tensors, model, options, saved.is_text);
}

/// The same for a model that was saved with a standardisation, and gives that back. Throws std::invalid_argument where
/// it was saved without, or of another dimension; both are then unchanged.
template <class Model>
void load_model(const std::string& path, Model& model, Standardisation& standardisation,
                const LoadOptions& options = {}) {
  io::SavedModel saved = io::read_saved(path);
  extend::require(saved.standardisation.has_value(),
                  {"'", path, "' was saved without a standardisation: load_model(path, model) loads it"});
  if constexpr (requires { model.dimension(); })
    extend::require(model.dimension() == saved.standardisation->dimension(),
                    {"'", path, "' is a model of ", saved.standardisation->dimension(),
                     " standardised coordinates; this one has dimension ", model.dimension()});
  io::give_tensors("'" + path + "'", saved.tensors, model, options, saved.is_text);
  standardisation = *std::move(saved.standardisation);
}

/// The same of tensors that a program has, to be changed before: weights that Keras or Flax keep as in × out, say.
///   sm::Tensors weights = sm::read_npz("flax.npz");
///   weights.at("Dense_0.kernel") = weights.at("Dense_0.kernel").matrix().transpose();
///   sm::load_model(weights, model, {.names = {{"first.weight", "Dense_0.kernel"}, {"first.bias", "Dense_0.bias"}}});
template <class Model>
void load_model(const Tensors& tensors, Model& model, const LoadOptions& options = {}) {
  std::vector<io::ReadTensor> all;
  for (const auto& [name, tensor] : tensors) {
    tensor.require_sound("tensor " + io::in_quotes(name));
    all.push_back({name, tensor});
  }
  io::give_tensors("what load_model was given", all, model, options, false);
}

/// Gives the model's parameter `name` the numbers of a .npy file, as NumPy shows them: PyTorch's
///
///   np.save("weight.npy", linear.weight.detach().numpy())   # (out, in)
///   np.save("bias.npy", linear.bias.detach().numpy())       # (out,)
///
/// are theta("W", out, in) and theta("b", out):
///
///   sm::load_npy_parameter("weight.npy", model, "W");
///   sm::load_npy_parameter("bias.npy", model, "b");
///
/// An array of one row or column fits a parameter of as many numbers in one column or row. Throws std::invalid_argument
/// where the model has no such parameter or has it in another shape, std::runtime_error where the file cannot be read
/// (see read_npy) or holds a number that is not finite. The model is then unchanged.
template <class Model>
void load_npy_parameter(const std::string& path, Model& model, const std::string& name) {
  static_assert(HasNamedParameters<Model>,
                "a model that takes a parameter must provide std::vector<scorematch::NamedParameter> "
                "named_parameters() const");
  static_assert(TakesNamedParameters<Model>,
                "a model that takes a parameter must provide "
                "void set_named_parameters(std::vector<scorematch::NamedParameter>)");
  const Eigen::MatrixXd array = read_npy_array<double>(path);
  std::vector<NamedParameter> parameters = model.named_parameters();
  const auto found = parameters.begin() + (io::find_parameter(parameters, name) - parameters.cbegin());
  std::string names;
  for (const NamedParameter& parameter : parameters) {
    if (!names.empty()) names += ", ";
    names += io::in_quotes(parameter.name);
  }
  extend::require(found != parameters.end(),
                  {"the model has no parameter ", io::in_quotes(name), "; it has ", names.empty() ? "none" : names});
  const auto is_vector = [](Index rows, Index cols) { return rows == 1 || cols == 1; };
  extend::require((array.rows() == found->rows && array.cols() == found->cols) ||
                      (array.size() == found->values.size() && is_vector(array.rows(), array.cols()) &&
                       is_vector(found->rows, found->cols)),
                  {"'", path, "' is ", array.rows(), " × ", array.cols(), "; the model has parameter ",
                   io::in_quotes(name), " as ", found->rows, " × ", found->cols,
                   array.rows() == found->cols && array.cols() == found->rows ? ": save its transpose, W.T" : ""});
  if (!array.allFinite()) io::file_error(path, "has a number that is not finite");
  found->values = array.reshaped();
  model.set_named_parameters(std::move(parameters));
}

}  // namespace scorematch
