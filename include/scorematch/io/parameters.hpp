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
// 1 is the format's version. Numbers are the shortest text that reads back as the same double. A name is the rest of
// its line, so it may hold spaces, but no control characters.
#pragma once

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/formula/formula_model.hpp"  // NamedParameter
#include "scorematch/io/file.hpp"
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
    const auto [stop, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error != std::errc{}) malformed(expected);
    line.remove_prefix(static_cast<std::size_t>(stop - line.data()));
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

/// Writes the parameters to a text file that appears complete or not at all.
/// Throws std::invalid_argument for a name that is empty, used twice or holds a control character, and for a shape that
/// is not that of the values; std::runtime_error when the file cannot be written.
inline void save_parameters(const std::string& path, const std::vector<NamedParameter>& parameters) {
  std::string out(io::parameters_magic);
  io::append_number(out, io::parameters_version);
  out += "\ncount ";
  io::append_number(out, parameters.size());
  out += '\n';
  for (auto parameter = parameters.begin(); parameter != parameters.end(); ++parameter) {
    const auto& [name, rows, cols, values] = *parameter;
    require(!name.empty(), {"a parameter to be saved has an empty name"});
    require(std::none_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 32; }),
            {"the parameter name ", io::in_quotes(name), " holds a control character; it cannot be saved"});
    require(io::find_parameter(parameters, name) == parameter,
            {"two parameters to be saved have the name ", io::in_quotes(name)});
    require(rows >= 0 && cols >= 0 && rows * cols == values.size(),
            {"parameter ", io::in_quotes(name), " is ", rows, " × ", cols, " but has ", values.size(), " values"});
    io::append_number(out, rows);
    out += " x ";
    io::append_number(out, cols);
    out += ' ';
    out += name;
    out += '\n';
    for (Index row = 0; row < rows && cols > 0; ++row)
      for (Index col = 0; col < cols; ++col) {
        io::append_number(out, values[row + rows * col]);
        out += col + 1 < cols ? ' ' : '\n';
      }
  }
  out += "end\n";
  io::OutputFile file(path);
  file.write(out);
  file.finish();
}

/// Reads what save_parameters wrote, in the same order, every double exactly.
/// Throws std::runtime_error when the file cannot be read, is no file of parameters, was written by a newer version of
/// the format, or is malformed or truncated, naming the line.
inline std::vector<NamedParameter> load_parameters(const std::string& path) {
  const std::string file = io::read_file(path);
  if (!file.starts_with(io::parameters_magic))
    io::file_error(path, "is no file of saved parameters: it does not begin with '", io::parameters_magic, "'");

  io::ParameterLines lines(path, file);
  std::string_view line = lines.next().substr(io::parameters_magic.size());
  const int version = lines.number<int>(line, "a format version");
  if (version > io::parameters_version)
    io::file_error(path, "was saved in format ", version, "; this version of scorematch reads up to ",
                   io::parameters_version, ": a newer scorematch is needed");
  if (version < 1 || !line.empty()) lines.malformed("format version 1");

  line = lines.next();
  lines.skip(line, "count ", "'count <number of parameters>'");
  const auto count = lines.number<std::size_t>(line, "'count <number of parameters>'");
  if (!line.empty()) lines.malformed("'count <number of parameters>'");

  std::vector<NamedParameter> parameters;
  while (parameters.size() < count) {
    constexpr const char* expected = "'<rows> x <columns> <name>'";
    NamedParameter parameter;
    line = lines.next();
    parameter.rows = lines.number<Index>(line, expected);
    lines.skip(line, " x ", expected);
    parameter.cols = lines.number<Index>(line, expected);
    lines.skip(line, " ", expected);
    parameter.name = line;
    const auto& [name, rows, cols, values] = parameter;
    if (rows < 0 || cols < 0 || name.empty()) lines.malformed(expected);
    if (io::find_parameter(parameters, name) != parameters.end())
      lines.malformed("a name other than " + io::in_quotes(name));
    // A value takes two bytes at least: a shape that cannot be there asks for no memory.
    if (cols > 0 && rows > lines.bytes_left() / 2 / cols)
      io::file_error(path, "is truncated: parameter ", io::in_quotes(name), " is ", rows, " × ", cols, " and ",
                     lines.bytes_left(), " bytes are left");
    parameter.values.resize(rows * cols);
    for (Index row = 0; row < rows && cols > 0; ++row) {
      line = lines.next();
      for (Index col = 0; col < cols; ++col) {
        if (col > 0) lines.skip(line, " ", "another number of this row");
        parameter.values[row + rows * col] = lines.number<double>(line, "a row of numbers");
      }
      if (!line.empty()) lines.malformed("the row to end after " + std::to_string(cols) + " numbers");
    }
    parameters.push_back(std::move(parameter));
  }
  if (lines.next() != "end" || lines.bytes_left() > 0)
    lines.malformed("'end' after " + std::to_string(count) + " parameters, and nothing more");
  return parameters;
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

/// Gives the model the parameters saved at `path`, in the order of model.named_parameters(). The model must be of the
/// formula that was saved: the same names with the same shapes. Where it is not, std::invalid_argument names the first
/// parameter that differs; where the file cannot be read, std::runtime_error (see load_parameters). The model is then
/// unchanged.
template <class Model>
void load_model(const std::string& path, Model& model) {
  static_assert(HasNamedParameters<Model>,
                "a model to be loaded must provide std::vector<scorematch::NamedParameter> named_parameters() const");
  static_assert(TakesNamedParameters<Model>,
                "a model to be loaded must provide void set_named_parameters(std::vector<scorematch::NamedParameter>)");
  const std::vector<NamedParameter> saved = load_parameters(path);
  const std::vector<NamedParameter> wanted = model.named_parameters();
  constexpr const char* verdict = "; it is a saved model of another formula";
  std::vector<NamedParameter> parameters;
  for (const NamedParameter& parameter : wanted) {
    const auto found = io::find_parameter(saved, parameter.name);
    require(found != saved.end(),
            {"'", path, "' has no parameter ", io::in_quotes(parameter.name), ", which the model has", verdict});
    require(found->rows == parameter.rows && found->cols == parameter.cols,
            {"'", path, "' has parameter ", io::in_quotes(parameter.name), " as ", found->rows, " × ", found->cols,
             "; the model has it as ", parameter.rows, " × ", parameter.cols, verdict});
    parameters.push_back(*found);
  }
  for (const NamedParameter& parameter : saved)
    require(io::find_parameter(wanted, parameter.name) != wanted.end(),
            {"'", path, "' has parameter ", io::in_quotes(parameter.name), ", which the model does not have", verdict});
  model.set_named_parameters(std::move(parameters));
}

}  // namespace scorematch
