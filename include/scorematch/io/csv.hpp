// Tables in text files: comma-, semicolon- or tab-separated values (RFC 4180), both ways.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// Whether a table's first line names its columns. `automatic`: it does if it holds no number, it does not if it holds
/// nothing else; a mixture names them if all columns asked for are in it, and is an error otherwise.
enum class Header { automatic, present, absent };

/// What a missing value among the chosen columns does to read_csv: an error, or the row is left out. Missing are an
/// empty field, NA, N/A, NaN, null and ?.
enum class Missing { error, drop_row };

/// How read_csv reads a file.
struct CsvOptions {
  char separator = '\0';  ///< ',', ';' or '\t'; '\0' takes the one that the first line has most of
  Header header = Header::automatic;
  Missing missing = Missing::error;

  /// Throws std::invalid_argument for another separator.
  void validate() const {
    require(std::string_view(",;\t\0", 4).find(separator) != std::string_view::npos,
            {"CsvOptions::separator is '", separator, "'; it must be ',', ';', '\\t', or '\\0' for automatic"});
  }
};

/// What read_csv_table found.
struct CsvTable {
  Eigen::MatrixXd values;            ///< d × N, a column a sample
  std::vector<std::string> columns;  ///< the d names, a row of `values` each; "0", "1", … in a file without header
  Index dropped_rows = 0;            ///< rows of the file left out by Missing::drop_row
};

namespace io {

/// A field as it stands in the file, without its quotes and without the white space around it.
struct CsvField {
  std::string_view raw;
  bool is_quoted = false;

  std::string string() const {
    std::string value(raw);
    if (is_quoted)
      for (std::size_t at = 0; (at = value.find("\"\"", at)) != value.npos; ++at) value.erase(at, 1);
    return value;
  }
};

inline std::string_view trimmed(std::string_view field) {
  constexpr std::string_view white = " \t\r";
  while (!field.empty() && white.find(field.front()) != white.npos) field.remove_prefix(1);
  while (!field.empty() && white.find(field.back()) != white.npos) field.remove_suffix(1);
  return field;
}

/// Cuts the text of a file into records (lines, except that a quoted field may hold line breaks) and these into fields.
class CsvRecords {
 public:
  CsvRecords(const std::string& path, std::string_view rest, char separator)
      : path_(path), at_(rest.data()), end_(at_ + rest.size()), separator_(separator) {}

  /// The next record's fields, views of the text; false at the end of the file.
  bool next(std::vector<CsvField>& fields) {
    if (finished_) return false;
    fields.clear();
    line_ = next_line_;
    while (true) {
      fields.push_back(next_field());
      if (at_ == end_) {
        finished_ = true;
        return true;
      }
      if (*at_++ == '\n') {
        ++next_line_;
        return true;
      }
    }
  }

  /// The line on which the last record began, counted from 1.
  Index line() const { return line_; }

 private:
  // Leaves at_ on the separator or line break after the field, or at the end.
  CsvField next_field() {
    const char* begin = at_;
    while (begin != end_ && *begin == ' ') ++begin;
    if (begin == end_ || *begin != '"') {
      begin = at_;
      while (at_ != end_ && *at_ != separator_ && *at_ != '\n') ++at_;
      return {trimmed({begin, at_}), false};
    }
    at_ = ++begin;
    while (at_ != end_ && (*at_ != '"' || (at_ + 1 != end_ && at_[1] == '"'))) {
      if (*at_ == '\n') ++next_line_;
      at_ += *at_ == '"' ? 2 : 1;
    }
    if (at_ == end_) file_error(path_, "has a quote in the record of line ", line_, " that nothing closes");
    const CsvField field{{begin, at_}, true};
    do ++at_;
    while (at_ != end_ && *at_ != separator_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r'));
    if (at_ != end_ && *at_ != separator_ && *at_ != '\n')
      file_error(path_, "line ", next_line_, " has text between a closing quote and the next separator");
    return field;
  }

  const std::string& path_;
  const char* at_;
  const char* end_;
  char separator_;
  Index line_ = 0;
  Index next_line_ = 1;
  bool finished_ = false;
};

/// The separator that stands most often on the first line, outside quotes; a comma where none stands.
inline char detect_separator(std::string_view file) {
  constexpr std::string_view separators = ",;\t";
  Index counts[separators.size()] = {};
  bool inside_quotes = false;
  for (const char c : file) {
    if (c == '\n' && !inside_quotes) break;
    if (c == '"') inside_quotes = !inside_quotes;
    const std::size_t which = separators.find(c);
    if (which != separators.npos && !inside_quotes) ++counts[which];
  }
  return separators[static_cast<std::size_t>(std::max_element(counts, counts + separators.size()) - counts)];
}

enum class FieldKind { number, missing, out_of_range, text };

/// What `field` is; `value` is set where it is a number.
inline FieldKind parse_field(const CsvField& field, double& value) {
  std::string_view digits = field.is_quoted ? trimmed(field.raw) : field.raw;
  if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') digits.remove_prefix(1);  // from_chars takes no plus
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (stop == end && error == std::errc{} && std::isfinite(value)) return FieldKind::number;
  for (const std::string_view mark : {"", "NA", "N/A", "null", "NULL", "?"})
    if (digits == mark) return FieldKind::missing;
  if (stop != end || error == std::errc::invalid_argument) return FieldKind::text;
  return error == std::errc{} && std::isnan(value) ? FieldKind::missing : FieldKind::out_of_range;
}

/// The number of letters to insert, delete or replace to turn a into b (Levenshtein distance).
inline Index edit_distance(std::string_view a, std::string_view b) {
  std::vector<Index> row(b.size() + 1);
  std::iota(row.begin(), row.end(), Index{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    Index diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const Index replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

/// "; did you mean 'x'? Its columns are 'x', 'y'": for a column that is not among `names`.
inline std::string other_columns(const std::string& asked, const std::vector<std::string>& names) {
  const auto nearest = std::min_element(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return edit_distance(asked, a) < edit_distance(asked, b);
  });
  std::string message;
  if (edit_distance(asked, *nearest) <= 2) message += "; did you mean " + in_quotes(*nearest) + "?";
  constexpr std::size_t most = 30;
  message += message.empty() ? "; its columns are " : " Its columns are ";
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) message += (i > 0 ? ", " : "") + in_quotes(names[i]);
  if (names.size() > most) message += ", … (" + std::to_string(names.size()) + " in all)";
  return message;
}

/// Whether the first line of a file, cut into `fields`, names the columns.
inline bool is_header(const std::string& path, const std::vector<CsvField>& fields,
                      const std::vector<std::string>& columns, Header header) {
  if (header != Header::automatic) return header == Header::present;
  double value;
  bool has_number = false, has_text = false;
  for (const CsvField& field : fields) {
    const FieldKind kind = parse_field(field, value);
    has_number |= kind == FieldKind::number || kind == FieldKind::out_of_range;
    has_text |= kind == FieldKind::text;
  }
  if (!has_text || !has_number) return has_text;
  const bool names_all = std::all_of(columns.begin(), columns.end(), [&](const std::string& column) {
    return std::any_of(fields.begin(), fields.end(), [&](const CsvField& field) { return field.string() == column; });
  });
  // Either guess could lose a sample or invent one.
  if (columns.empty() || !names_all)
    file_error(path,
               "has numbers and words in its first line: say whether that names the columns, by "
               "CsvOptions::header = Header::present or Header::absent");
  return true;
}

}  // namespace io

/// read_csv, with the names of the columns and the number of rows left out.
template <class = void>  // a template, so that programs that read no tables do not compile it
CsvTable read_csv_table(const std::string& path, const std::vector<std::string>& columns = {},
                        const CsvOptions& options = {}) {
  options.validate();
  const std::string file = io::read_file(path);
  std::string_view rest = file;
  if (rest.starts_with("\xFF\xFE") || rest.starts_with("\xFE\xFF")) io::file_error(path, "is UTF-16; save it as UTF-8");
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  while (!rest.empty() && (rest.back() == '\n' || rest.back() == '\r' || rest.back() == ' ')) rest.remove_suffix(1);
  if (rest.empty()) io::file_error(path, "is empty");

  io::CsvRecords records(path, rest, options.separator != '\0' ? options.separator : io::detect_separator(rest));
  std::vector<io::CsvField> fields;
  records.next(fields);
  const bool has_header = io::is_header(path, fields, columns, options.header);
  const std::size_t width = fields.size();

  // The name of each field of a record, and the fields that were chosen.
  std::vector<std::string> names;
  names.reserve(width);
  for (const io::CsvField& field : fields) names.push_back(has_header ? field.string() : std::to_string(names.size()));
  std::vector<std::size_t> chosen(columns.empty() ? width : columns.size());
  std::iota(chosen.begin(), chosen.end(), std::size_t{0});
  for (std::size_t row = 0; row < columns.size(); ++row) {
    const auto found = std::find(names.begin(), names.end(), columns[row]);
    require(found != names.end(),
            {"'", path, "' has no column ", io::in_quotes(columns[row]),
             found != names.end() ? "" : io::other_columns(columns[row], names),
             has_header ? "" : " (it has no header line, so a column's name is its position, counted from 0)"});
    require(std::find(found + 1, names.end(), columns[row]) == names.end(),
            {"'", path, "' has more than one column ", io::in_quotes(columns[row])});
    chosen[row] = static_cast<std::size_t>(found - names.begin());
  }

  CsvTable table;
  for (const std::size_t column : chosen) table.columns.push_back(names[column]);
  // There are at most as many records as lines.
  table.values.resize(static_cast<Index>(chosen.size()), std::count(rest.begin(), rest.end(), '\n') + 1);
  Index samples = 0;
  for (bool more = !has_header || records.next(fields); more; more = records.next(fields)) {
    if (fields.size() != width)
      io::file_error(path, "line ", records.line(), " has ", fields.size(), " fields; line 1 has ", width);
    bool complete = true;
    for (std::size_t row = 0; row < chosen.size(); ++row) {
      const io::CsvField& field = fields[chosen[row]];
      const io::FieldKind kind = io::parse_field(field, table.values(static_cast<Index>(row), samples));
      if (kind == io::FieldKind::number) continue;
      complete = false;
      if (kind == io::FieldKind::missing && options.missing == Missing::drop_row) continue;
      io::file_error(path, "line ", records.line(), ", column ", io::in_quotes(names[chosen[row]]), ": ",
                     io::in_quotes(field.string()),
                     kind == io::FieldKind::text           ? " is no number"
                     : kind == io::FieldKind::out_of_range ? " is no finite number in the range of double"
                                                           : " is a missing value; CsvOptions::missing = "
                                                             "Missing::drop_row leaves such rows out");
    }
    ++(complete ? samples : table.dropped_rows);
  }
  if (samples == 0)
    io::file_error(path, table.dropped_rows > 0 ? "has a missing value in every row" : "has a header line and no rows");
  table.values.conservativeResize(Eigen::NoChange, samples);
  return table;
}

/// Reads a table of numbers as d × N, a column a sample: a line of the file is a sample, and the chosen `columns`, in
/// the order asked for, are the rows. Without `columns` all are taken. Only the chosen ones need to be numeric. In a
/// file without header line a column's name is its position: "0", "1", ….
///
///   const Eigen::MatrixXd data = read_csv("penguins.csv", {"bill_length_mm", "bill_depth_mm"});  // 2 × 342
///
/// The file: UTF-8, fields separated by comma, semicolon or tab, quoted where need be (RFC 4180: a quoted field may
/// hold separators, line breaks and "" for a quote), lines ended by LF or CRLF, blank lines at the end ignored; a
/// number with a decimal point, whatever the locale. Numbers are read as the nearest double.
///
/// Throws std::runtime_error, naming the line and the column, for a file that cannot be read or is empty, a line with
/// another number of fields than the first, and a chosen field that is no finite number (a missing value: see
/// CsvOptions::missing); std::invalid_argument for a column that the file does not have, or has twice.
template <class = void>
Eigen::MatrixXd read_csv(const std::string& path, const std::vector<std::string>& columns = {},
                         const CsvOptions& options = {}) {
  return read_csv_table<void>(path, columns, options).values;
}

/// Writes X, d × N, a column a sample, as a comma-separated table of N lines and d columns, after a line of the d
/// `names` if any are given (names that are numbers need Header::present on reading). Each number is the shortest text
/// that reads back as the same double; NaN and infinities are written as nan and inf, which read_csv refuses. The file
/// appears complete or not at all.
/// Throws std::invalid_argument where the number of names is neither d nor 0, std::runtime_error where writing fails.
inline void write_csv(const std::string& path, const MatrixView<double>& X,
                      const std::vector<std::string>& names = {}) {
  require_at_least(X.rows(), 1, "the number of rows of X");
  require(names.empty() || static_cast<Index>(names.size()) == X.rows(),
          {"names has ", names.size(), " entries; X has ", X.rows(), " rows, and each is a column of the file"});
  io::OutputFile file(path);
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    // Quoted where reading it back plain would change it.
    const std::string& name = names[i];
    const bool plain = !name.empty() && name == io::trimmed(name) && name.find_first_of(",;\t\"\n\r") == name.npos;
    if (i > 0) out += ',';
    if (!plain) out += '"';
    for (const char c : name) out.append(c == '"' ? 2 : 1, c);
    if (!plain) out += '"';
  }
  if (!names.empty()) out += '\n';
  for (Index column = 0; column < X.cols(); ++column) {
    for (Index row = 0; row < X.rows(); ++row) {
      if (row > 0) out += ',';
      io::append_number(out, X(row, column));
    }
    out += '\n';
    if (out.size() > 65536) {
      file.write(out);
      out.clear();
    }
  }
  file.write(out);
  file.finish();
}

}  // namespace scorematch
