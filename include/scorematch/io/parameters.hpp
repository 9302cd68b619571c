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
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/io/npy.hpp"
#include "scorematch/io/standardise.hpp"
#include "scorematch/named_parameter.hpp"
#include "scorematch/types.hpp"

namespace scorematch {
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

inline void write_parameters(const std::string& path, const std::vector<NamedParameter>& parameters,
                             const Standardisation* standardisation) {
  std::string out(parameters_magic);
  append_number(out, parameters_version);
  if (standardisation) {
    const Index d = standardisation->dimension();
    extend::require(standardisation->deviation.size() == d,
                    {"Standardisation::mean has ", d, " numbers and Standardisation::deviation ",
                     standardisation->deviation.size()});
    extend::require((standardisation->deviation.array() >= 0).all(),
                    {"Standardisation::deviation must not be below 0"});
    Eigen::VectorXd both(2 * d);
    both << standardisation->mean, standardisation->deviation;
    require_finite(both, d, "the standardisation");
    out += "\nstandardised ";
    append_number(out, d);
    out += '\n';
    append_matrix(out, d, 2, both);
    out.pop_back();
  }
  out += "\ncount ";
  append_number(out, parameters.size());
  out += '\n';
  std::unordered_set<std::string> names;
  for (const auto& [name, rows, cols, values] : parameters) {
    extend::require(!name.empty(), {"a parameter to be saved has an empty name"});
    extend::require(can_be_saved(name),
                    {"the parameter name ", in_quotes(name), " holds a control character; it cannot be saved"});
    extend::require(names.insert(name).second, {"two parameters to be saved have the name ", in_quotes(name)});
    extend::require(
        rows >= 0 && cols >= 0 && (rows == 0 || cols <= values.size() / rows) && rows * cols == values.size(),
        {"parameter ", in_quotes(name), " is ", rows, " × ", cols, " but has ", values.size(), " values"});
    require_finite(values, rows, detail::text("parameter ", in_quotes(name)));
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

inline SavedParameters read_parameters(const std::string& path) {
  const std::string file = read_file(path);
  if (!file.starts_with(parameters_magic))
    file_error(path, "is no file of saved parameters: it does not begin with '", parameters_magic, "'");

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

}  // namespace io

/// Writes the parameters to a text file that appears complete or not at all.
/// Throws std::invalid_argument for a name that is empty, used twice or holds a control character, for a shape that is
/// not that of the values, and for a value that is not finite; std::runtime_error when the file cannot be written.
inline void save_parameters(const std::string& path, const std::vector<NamedParameter>& parameters) {
  io::write_parameters(path, parameters, nullptr);
}

/// Reads what save_parameters or save_model wrote, in the same order, every double exactly.
/// Throws std::runtime_error when the file cannot be read, is no file of parameters, was written by a newer version of
/// the format, or is malformed or truncated, naming the line.
inline std::vector<NamedParameter> load_parameters(const std::string& path) {
  return io::read_parameters(path).parameters;
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

/// Saves the model's parameters (not its formula) to `path`: save_parameters of model.named_parameters().
template <class Model>
void save_model(const std::string& path, const Model& model) {
  static_assert(HasNamedParameters<Model>,
                "a model to be saved must provide std::vector<scorematch::NamedParameter> named_parameters() const");
  save_parameters(path, model.named_parameters());
}

/// The same, and beside it how the data were standardised that the model is of. Throws std::invalid_argument, too,
/// where the standardisation is of another dimension than the model.
template <class Model>
void save_model(const std::string& path, const Model& model, const Standardisation& standardisation) {
  static_assert(HasNamedParameters<Model>,
                "a model to be saved must provide std::vector<scorematch::NamedParameter> named_parameters() const");
  if constexpr (requires { model.dimension(); })
    extend::require(model.dimension() == standardisation.dimension(),
                    {"the standardisation is of ", standardisation.dimension(),
                     " coordinates; the model has dimension ", model.dimension()});
  io::write_parameters(path, model.named_parameters(), &standardisation);
}

namespace io {

template <class Model>
void give_parameters(const std::string& path, const std::vector<NamedParameter>& saved, Model& model) {
  static_assert(HasNamedParameters<Model>,
                "a model to be loaded must provide std::vector<scorematch::NamedParameter> named_parameters() const");
  static_assert(TakesNamedParameters<Model>,
                "a model to be loaded must provide void set_named_parameters(std::vector<scorematch::NamedParameter>)");
  const std::vector<NamedParameter> wanted = model.named_parameters();
  constexpr const char* verdict = "; it is a saved model of another formula";
  std::vector<NamedParameter> parameters;
  for (const NamedParameter& parameter : wanted) {
    const auto found = find_parameter(saved, parameter.name);
    extend::require(found != saved.end(),
                    {"'", path, "' has no parameter ", in_quotes(parameter.name), ", which the model has", verdict});
    extend::require(found->rows == parameter.rows && found->cols == parameter.cols,
                    {"'", path, "' has parameter ", in_quotes(parameter.name), " as ", found->rows, " × ", found->cols,
                     "; the model has it as ", parameter.rows, " × ", parameter.cols, verdict});
    parameters.push_back(*found);
  }
  for (const NamedParameter& parameter : saved)
    extend::require(
        find_parameter(wanted, parameter.name) != wanted.end(),
        {"'", path, "' has parameter ", in_quotes(parameter.name), ", which the model does not have", verdict});
  model.set_named_parameters(std::move(parameters));
}

}  // namespace io

/// Gives the model the parameters saved at `path`, in the order of model.named_parameters(). The model must be of the
/// formula that was saved: the same names with the same shapes. Where it is not, std::invalid_argument names the first
/// parameter that differs; so it does where the model was saved with a standardisation, which must be asked for
/// (below), as its data would be in other units. Where the file cannot be read, std::runtime_error (see
/// load_parameters). The model is then unchanged.
template <class Model>
void load_model(const std::string& path, Model& model) {
  const io::SavedParameters saved = io::read_parameters(path);
  extend::require(!saved.standardisation, {"'", path,
                                           "' is a model of standardised data: load_model(path, model, "
                                           "standardisation) gives the standardisation, too"});
  io::give_parameters(path, saved.parameters, model);
}

/// The same for a model that was saved with a standardisation, and gives that back. Throws std::invalid_argument where
/// it was saved without, or of another dimension; both are then unchanged.
template <class Model>
void load_model(const std::string& path, Model& model, Standardisation& standardisation) {
  io::SavedParameters saved = io::read_parameters(path);
  extend::require(saved.standardisation.has_value(),
                  {"'", path, "' was saved without a standardisation: load_model(path, model) loads it"});
  if constexpr (requires { model.dimension(); })
    extend::require(model.dimension() == saved.standardisation->dimension(),
                    {"'", path, "' is a model of ", saved.standardisation->dimension(),
                     " standardised coordinates; this one has dimension ", model.dimension()});
  io::give_parameters(path, saved.parameters, model);
  standardisation = *std::move(saved.standardisation);
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
