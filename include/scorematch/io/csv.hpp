// Tables in text files, both ways: read_csv and write_csv.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/io/csv_part.hpp"
#include "scorematch/io/csv_text.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// The table that read_csv_table found.
struct CsvTable {
  Eigen::MatrixXd values;            ///< d × N, one column per sample
  std::vector<std::string> columns;  ///< the d names, one per row of `values`; "0", "1", … in a file without header
  Index dropped_rows = 0;            ///< rows of the file left out by CsvMissing::drop_row
};

namespace io {

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
  // A name of another length is further away than 2; distances of long ones take time.
  const auto distance = [&](const std::string& name) {
    const std::size_t longer = std::max(name.size(), asked.size()), shorter = std::min(name.size(), asked.size());
    return longer - shorter > 2 || longer > 200 ? Index{3} : edit_distance(asked, name);
  };
  const auto nearest = std::min_element(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return distance(a) < distance(b);
  });
  std::string message;
  if (distance(*nearest) <= 2) message = detail::text("; did you mean ", in_quotes(*nearest), "?");
  constexpr std::size_t most = 30;
  message += message.empty() ? "; its columns are " : " Its columns are ";
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) {
    if (i > 0) message += ", ";
    message += in_quotes(names[i]);
  }
  if (names.size() > most) message += detail::text(", … (", names.size(), " in all)");
  return message;
}

/// The text of a table: without a byte-order mark and, where nothing of it follows, the lines at the end that hold no
/// value. Throws
/// std::runtime_error, with the remedy, where `file` is no text in UTF-8 with lines.
inline std::string_view table_text(const std::string& path, std::string_view file, bool is_last) {
  require_no_other_format(path, file);
  if (file.starts_with("\x93NUMPY")) file_error(path, "is a .npy file: read it by read_npy");
  constexpr std::string_view utf_16 = "is UTF-16; save it as UTF-8";
  if (file.starts_with("\xFF\xFE") || file.starts_with("\xFE\xFF")) file_error(path, utf_16);
  if (const std::size_t nul = file.find('\0'); nul != file.npos) {
    // A digit or comma in UTF-16 has one byte of 0, always the first or always the second.
    Index nuls[2] = {};
    const std::size_t looked_at = std::min<std::size_t>(file.size(), 1000);
    for (std::size_t i = 0; i < looked_at; ++i) nuls[i % 2] += file[i] == '\0';
    if (std::min(nuls[0], nuls[1]) == 0 && std::max(nuls[0], nuls[1]) > static_cast<Index>(looked_at / 8))
      file_error(path, utf_16);
    file_error(path, "is no text: line ", std::count(file.begin(), file.begin() + static_cast<Index>(nul), '\n') + 1,
               " has a byte of 0; it may be damaged, or of another format");
  }
  if (file.starts_with("\xEF\xBB\xBF")) file.remove_prefix(3);
  if (!is_last && file.ends_with('\n')) file.remove_suffix(1);
  while (is_last && !file.empty()) {
    const std::size_t before = file.rfind('\n'), begin = before == file.npos ? 0 : before + 1;
    if (file.find_first_not_of(" \t\r,;", begin) != file.npos) break;
    file = file.substr(0, begin > 0 ? begin - 1 : 0);
  }
  if (file.empty()) file_error(path, "is empty");
  const std::size_t turn = file.find('\r');
  if (turn != file.npos && turn + 1 < file.size() && file.find('\n') == file.npos)
    file_error(path, "ends its lines by CR alone, as old Macintoshs did: save it with LF or CRLF");
  return file;
}

/// The fields as whole numbers without sign, point or exponent; empty if one is something else.
inline std::vector<long long> counts(const std::vector<CsvField>& fields) {
  std::vector<long long> numbers;
  for (const CsvField& field : fields) {
    if (field.raw.empty() || field.raw.size() > 15 || field.raw.find_first_not_of("0123456789") != field.raw.npos)
      return {};
    long long number = 0;
    for (const char digit : field.raw) number = 10 * number + (digit - '0');
    numbers.push_back(number);
  }
  return numbers;
}

inline bool are_evenly_spaced(const std::vector<long long>& numbers) {
  for (std::size_t i = 2; i < numbers.size(); ++i)
    if (numbers[i] - numbers[i - 1] != numbers[1] - numbers[0]) return false;
  return numbers.size() > 1 && numbers[1] != numbers[0];
}

inline bool count_from(const std::vector<long long>& numbers, long long first) {
  for (std::size_t i = 0; i < numbers.size(); ++i)
    if (numbers[i] != first + static_cast<long long>(i)) return false;
  return !numbers.empty();
}

/// The rows of a table: how its columns are called, and then one record after another.
class CsvRows {
 public:
  CsvRows(const std::string& path, std::string_view table, const std::vector<std::string>& columns,
          const CsvOptions& options, const CsvLines& lines = {})
      : path_(path),
        table_(table),
        options_(options),
        lines_(lines),
        reader_(options),
        separator_(options.separator != '\0' ? options.separator : CsvSeparator(path, table, options).find()),
        records_(path, table, separator_, options.comments, lines) {
    do {
      if (!records_.next(first_)) file_error(path, "holds nothing but comments");
    } while (first_.is_blank());
    line_1_ = first_.line;
    if (lines.head > 0 && line_1_ >= lines.head)
      file_error(path, "has no row in its first ", lines.head,
                 " lines, which say how its parts are written: read it whole");
    width_ = first_.fields.size();
    const std::vector<CsvField> comment = CsvRecords::cut(path, records_.comment(), separator_);
    records_.suspect_comments_of(width_);
    has_second_ = next_record(second_);

    const bool named_by_comment = names_columns(comment, columns);
    has_header_ = named_by_comment || is_header(columns);
    // The order counts: what is at the end of every line and empty is no column, whatever the header.
    if (!named_by_comment) leave_out_empty_columns();
    if (has_header_ && !named_by_comment) find_row_names();
    for (std::size_t i = 0; i < width_; ++i)
      names_.push_back(!has_header_ ? std::to_string(i) : (named_by_comment ? comment : first_.fields)[i].string());
    has_first_ = !has_header_ || named_by_comment;
  }

  const std::vector<std::string>& names() const { return names_; }
  bool has_header() const { return has_header_; }

  /// How many of the first columns have no name, as those in which pandas and R write a row's number or name.
  std::size_t unnamed() const {
    std::size_t count = 0;
    while (has_header_ && count < width_ && (names_[count].empty() || names_[count].starts_with("Unnamed: 0"))) ++count;
    return count < width_ ? count : 0;
  }

  /// At most so many rows follow: each takes a line, and a byte for each of its fields.
  Index most_rows() const {
    return std::min(std::count(table_.begin(), table_.end(), '\n'), static_cast<Index>(table_.size() / width_)) + 1;
  }

  /// The next row; false at the end.
  bool next() {
    if (has_first_) {
      std::swap(row_, first_);
      has_first_ = false;
    } else if (has_second_) {
      std::swap(row_, second_);
      has_second_ = false;
    } else if (!next_record(row_)) {
      return false;
    }
    const std::size_t found = row_.fields.size() - std::min(row_.fields.size(), row_names_);
    if (found != width_ && !(ends_are_empty_ && found > width_))
      file_error(path_, "line ", row_.line, " has ", row_.fields.size(), " fields; line ", line_1_, " has ", width_,
                 width_ == 1 ? " (a title above the table is a comment if it begins with #)"
                 : has_header_ && found == width_ + 1
                     ? " (where each row begins with its name, line 1 must name that column, too)"
                     : "");
    return true;
  }

  Index line() const { return row_.line; }
  const CsvField& field(std::size_t column) const { return row_.fields[row_names_ + column]; }

 private:
  /// The next record that is not blank. (In a table of one column a blank line is a row: of a missing value.)
  bool next_record(CsvRecord& record) {
    Index blank = 0;
    while (records_.next(record)) {
      if (!record.is_blank() || (width_ == 1 && !options_.skip_blank_lines)) {
        if (blank > 0 && !options_.skip_blank_lines)
          file_error(path_, "line ", blank, " has 1 fields; line ", line_1_, " has ", width_,
                     ": it is blank (CsvOptions::skip_blank_lines = true leaves such lines out)");
        return true;
      }
      if (blank == 0) blank = record.line;
    }
    return false;
  }

  bool is_number(const CsvField& field) const {
    const FieldKind kind = reader_.kind(field);
    return kind == FieldKind::number || kind == FieldKind::out_of_range ||
           (kind == FieldKind::text && has_decimal_comma(field));
  }

  /// Whether a comment before the first record names its columns, as "# x y" of np.savetxt does.
  bool names_columns(const std::vector<CsvField>& comment, const std::vector<std::string>& columns) const {
    const std::vector<CsvField>& fields = first_.fields;
    if (options_.header == CsvHeader::absent || comment.size() != fields.size()) return false;
    if (columns.empty() || options_.header == CsvHeader::present) {
      const auto is_text = [&](const CsvField& f) { return !is_number(f) && reader_.kind(f) == FieldKind::text; };
      return std::all_of(comment.begin(), comment.end(), is_text) &&
             std::none_of(fields.begin(), fields.end(), is_text);
    }
    return are_among(columns, comment) &&
           std::any_of(fields.begin(), fields.end(), [&](const CsvField& f) { return is_number(f); });
  }

  static bool are_among(const std::vector<std::string>& columns, const std::vector<CsvField>& fields) {
    return std::all_of(columns.begin(), columns.end(), [&](const std::string& column) {
      return std::any_of(fields.begin(), fields.end(), [&](const CsvField& field) { return field.string() == column; });
    });
  }

  /// Whether the first record names the columns.
  bool is_header(const std::vector<std::string>& columns) const {
    if (options_.header != CsvHeader::automatic) return options_.header == CsvHeader::present;
    const std::vector<CsvField>& fields = first_.fields;
    bool has_number = false, has_text = false, all_quoted = true, above_numbers = false;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const FieldKind kind = reader_.kind(fields[i]);
      has_number |= is_number(fields[i]);
      has_text |= kind == FieldKind::text && !has_decimal_comma(fields[i]);
      all_quoted = all_quoted && fields[i].is_quoted;
      if (has_second_ && i < second_.fields.size())
        above_numbers |= !second_.fields[i].is_quoted && is_number(second_.fields[i]);
    }
    if (all_quoted && above_numbers) return true;  // "1","2" above 0.5,0.7
    if (has_text && has_number) {
      // Either guess could lose a sample or invent one.
      if (columns.empty() || !are_among(columns, fields))
        file_error(path_,
                   "has numbers and words in its first line: say whether that names the columns, by "
                   "CsvOptions::header = CsvHeader::present or CsvHeader::absent");
      return true;
    }
    if (has_text || !has_number) return has_text;
    const std::vector<long long> numbers = counts(fields), after_first = counts({fields.begin() + 1, fields.end()});
    // Nothing above the rows' numbers: ,0,1,2
    if (fields[0].is_empty() && count_from(after_first, 0) && after_first.size() > 1 && has_second_ &&
        !second_.fields[0].is_empty())
      return true;
    if (look_like_names(numbers) ||
        (fields[0].is_empty() && (count_from(after_first, 0) || are_evenly_spaced(after_first))))
      file_error(path_, "begins with a line of numbers that may be its columns' (", first_.fields[0].raw,
                 fields.size() > 1 ? ", " : "", fields.size() > 1 ? fields[1].raw : "", fields.size() > 2 ? ", …" : "",
                 "): say whether it names them or is a sample, by CsvOptions::header = CsvHeader::present or "
                 "CsvHeader::absent");
    return false;
  }

  /// 0, 1, 2, … as pandas writes them. Or evenly spaced (1, 2, …; years; wavelengths) above something else.
  bool look_like_names(const std::vector<long long>& numbers) const {
    if (count_from(numbers, 0)) return true;
    if (!has_second_ || !are_evenly_spaced(numbers)) return false;
    const std::vector<CsvField>& below = second_.fields;
    const std::vector<long long> next = counts(below);
    if (are_evenly_spaced(next) && next[1] - next[0] == numbers[1] - numbers[0]) return false;
    // Few numbers are evenly spaced by chance, unless they are large (years) or unlike what stands below.
    const bool count = count_from(numbers, 1), follow = std::abs(numbers[1] - numbers[0]) == 1;
    const bool are_unlike =
        std::all_of(below.begin(), below.end(), [](const CsvField& field) { return counts({field}).empty(); });
    if (numbers.size() > 3) return !are_evenly_spaced(next);
    if (numbers.size() == 3) return are_unlike || numbers[0] >= 100;
    return (are_unlike && count) || (follow && numbers[0] >= 1000);
  }

  /// Separators at the end of each line ("a,b,") make fields that are empty in all of them: no columns.
  void leave_out_empty_columns() {
    const std::size_t without = width_ - first_.empty_at_end();
    const bool longer =
        has_second_ && second_.fields.size() > width_ && second_.fields.size() - second_.empty_at_end() <= width_;
    if (without == 0 || (without == width_ && !longer)) return;
    CsvRecords all(path_, table_, separator_, options_.comments, lines_);
    for (CsvRecord record; all.next(record);)
      if (!record.is_blank() && record.fields.size() - record.empty_at_end() > without) return;
    width_ = without;
    ends_are_empty_ = true;
  }

  /// R's write.table gives each row a name and its column none: "a" "b" above "first" 1 2.
  void find_row_names() {
    if (!has_second_ || ends_are_empty_ || second_.fields.size() != width_ + 1) return;
    const CsvField& name = second_.fields[0];
    if (name.is_quoted || (width_ > 1 && reader_.kind(name) == FieldKind::text)) row_names_ = 1;
  }

  const std::string& path_;
  std::string_view table_;
  const CsvOptions& options_;
  CsvLines lines_;
  CsvFieldReader reader_;
  char separator_;
  CsvRecords records_;
  CsvRecord first_, second_, row_;
  bool has_first_ = false, has_second_ = false;  ///< whether they are rows yet to be given
  bool has_header_ = false;
  bool ends_are_empty_ = false;  ///< whether there are separators, and nothing else, beyond the last column
  std::size_t width_ = 0;        ///< the number of columns
  std::size_t row_names_ = 0;    ///< 1 if a name of the row stands before each row's fields
  Index line_1_ = 0;             ///< the first record's
  std::vector<std::string> names_;
};

/// Throws std::runtime_error unless the numbers of a column without name can be rows': whole, and no two equal.
inline void require_row_numbers(const std::string& path, const std::string& name, std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  const bool are_whole = std::all_of(numbers.begin(), numbers.end(), [](double n) { return n == std::floor(n); });
  if (!are_whole || std::adjacent_find(numbers.begin(), numbers.end()) != numbers.end())
    file_error(path, "has a first column without a name that does not number the rows (",
               are_whole ? "numbers are repeated" : "its numbers are not whole",
               "): name the columns to be read, this one as ", in_quotes(name));
}

/// Why a field is no number, and what to do.
inline std::string verdict(const CsvField& field, FieldKind kind, const CsvOptions& options) {
  if (kind == FieldKind::missing)
    return " is a missing value; CsvOptions::missing = CsvMissing::drop_row leaves such rows out";
  if (kind == FieldKind::out_of_range) return " is no finite number in the range of double";
  if (options.decimal == '.' && has_decimal_comma(field))
    return " is no number; if it has a decimal comma, say CsvOptions::decimal = ','";
  if (options.decimal == ',' && field.raw.find('.') != field.raw.npos)
    return " is no number where CsvOptions::decimal is ','";
  return " is no number (a mark for a missing value? CsvOptions::missing_marks)";
}

/// The columns of the table that were chosen, by their places.
inline std::vector<std::size_t> chosen_columns(const std::string& path, const CsvRows& rows,
                                               const std::vector<std::string>& columns) {
  const std::vector<std::string>& names = rows.names();
  const std::size_t unnamed = columns.empty() ? rows.unnamed() : 0;
  std::vector<std::size_t> chosen(columns.empty() ? names.size() - unnamed : columns.size());
  std::iota(chosen.begin(), chosen.end(), unnamed);
  for (std::size_t row = 0; row < columns.size(); ++row) {
    const auto found = std::find(names.begin(), names.end(), columns[row]);
    extend::require(
        found != names.end(),
        {"'", path, "' has no column ", io::in_quotes(columns[row]),
         found != names.end() ? "" : io::other_columns(columns[row], names),
         rows.has_header() ? "" : " (it has no header line, so a column's name is its position, counted from 0)"});
    extend::require(std::find(found + 1, names.end(), columns[row]) == names.end(),
                    {"'", path, "' has more than one column ", io::in_quotes(columns[row])});
    chosen[row] = static_cast<std::size_t>(found - names.begin());
  }
  return chosen;
}

/// The table of a part of a file. (A template for the reason of read_csv_table.)
template <class = void>
CsvTable csv_table(const std::string& path, const CsvPart& part, const std::vector<std::string>& columns,
                   const CsvOptions& options) {
  CsvRows rows(path, table_text(path, part.text, part.is_last), columns, options, part.lines);
  const std::vector<std::string>& names = rows.names();
  const std::vector<std::size_t> chosen = chosen_columns(path, rows, columns);
  const std::size_t unnamed = columns.empty() ? rows.unnamed() : 0;
  CsvTable table;
  for (const std::size_t column : chosen) table.columns.push_back(names[column]);
  table.values.resize(static_cast<Index>(chosen.size()), rows.most_rows());
  const CsvFieldReader reader(options);
  std::vector<std::vector<double>> row_numbers(unnamed);
  Index samples = 0;
  while (rows.next()) {
    if (rows.line() <= part.lines.head) continue;
    bool complete = true;
    for (std::size_t row = 0; row < chosen.size(); ++row) {
      const CsvField& field = rows.field(chosen[row]);
      const FieldKind kind = reader(field, table.values(static_cast<Index>(row), samples));
      if (kind == FieldKind::number) continue;
      complete = false;
      if (kind == FieldKind::missing && options.missing == CsvMissing::drop_row) continue;
      file_error(path, "line ", rows.line(), ", column ", in_quotes(names[chosen[row]]), ": ",
                 in_quotes(field.string()), verdict(field, kind, options));
    }
    for (std::size_t column = 0; column < unnamed; ++column)
      if (double number; reader(rows.field(column), number) == FieldKind::number) row_numbers[column].push_back(number);
    ++(complete ? samples : table.dropped_rows);
  }
  for (std::size_t column = 0; column < unnamed; ++column)
    require_row_numbers(path, names[column], row_numbers[column]);
  if (samples == 0 && options.parts == 1)
    file_error(path, table.dropped_rows > 0 ? "has a missing value in every row" : "has a header line and no rows");
  table.values.conservativeResize(Eigen::NoChange, samples);
  return table;
}

}  // namespace io

/// read_csv, with the names of the columns and the number of rows left out.
template <class = void>  // a template, so that programs that read no tables do not compile it
CsvTable read_csv_table(const std::string& path, const std::vector<std::string>& columns = {},
                        const CsvOptions& options = {}) {
  options.validate();
  try {
    return io::csv_table<>(path, io::read_csv_part(path, options.part, options.parts, false), columns, options);
  } catch (const std::runtime_error&) {
    if (options.part == 0) throw;
  }
  // Again, to say which line of the file is at fault.
  return io::csv_table<>(path, io::read_csv_part(path, options.part, options.parts, true), columns, options);
}

/// Reads a table of numbers as d × N, one column per sample: a line of the file is a sample, and the chosen `columns`,
/// in the order asked for, are the rows. Without `columns` all are taken. Only the chosen ones need to be numeric. In a
/// file without header line a column's name is its position: "0", "1", ….
///
///   const Eigen::MatrixXd data = read_csv("penguins.csv", {"bill_length_mm", "bill_depth_mm"});  // 2 × 342
///
/// The file: UTF-8, fields separated by comma, semicolon, tab, or blanks in any number, quoted where need be (RFC 4180:
/// a quoted field may hold separators, line breaks and "" for a quote), lines ended by LF or CRLF; numbers with a
/// decimal point, whatever the locale (a decimal comma: CsvOptions::decimal). Numbers are read as the nearest double: a
/// tiny one as 0.
///
/// Not every table says what it is. These are taken without an option:
///   * separators: the one of comma, semicolon and tab that the first line has most of; blanks where it has none;
///   * lines that begin with # are comments (cmdstan). The last one above the table names the columns if it has as many
///     words as that has columns and the names asked for are among them ("# x y" of np.savetxt);
///   * separators at the end of every line, and lines of separators alone at the end, hold no values;
///   * a first column without a name numbers the rows (pandas, R) and is no part of the sample unless it is asked for,
///     as ""; rows that begin with a name that the header lacks (R's write.table) lose it.
/// These are errors until CsvOptions decides: a first line of numbers that may name the columns (0, 1, 2 above the
/// data; years; numbers beside words), a blank line between rows, decimal commas, a # that may begin a row, a first
/// column without a name whose numbers are not whole or repeat.
///
/// Throws std::runtime_error, naming the line and the column, for a file that cannot be read, is empty, compressed or
/// no text, a line with another number of fields than the first, and a chosen field that is no finite number (a missing
/// value: see CsvOptions::missing); std::invalid_argument for a column that the file does not have, or has twice.
template <class = void>
Eigen::MatrixXd read_csv(const std::string& path, const std::vector<std::string>& columns = {},
                         const CsvOptions& options = {}) {
  return read_csv_table<void>(path, columns, options).values;
}

namespace io {

/// The line of a table's `names` that read_csv, left to itself, reads back as these names.
inline std::string header_line(const std::vector<std::string>& names) {
  const CsvFieldReader reader{CsvOptions{}};
  const auto is_text = [&](const std::string& name) {
    const CsvField field{trimmed(name), false};
    return reader.kind(field) == FieldKind::text && !has_decimal_comma(field);
  };
  // Names that are numbers could be a sample; quoted above numbers that are not they are none.
  const bool all = !std::all_of(names.begin(), names.end(), is_text);
  std::string line;
  for (const std::string& name : names) {
    // Quoted where reading it back plain would change it, or make another file of this.
    const auto is_special = [](char c) {
      return std::string_view(",;\"#").find(c) != std::string_view::npos || static_cast<unsigned char>(c) < 32 ||
             c == 127;
    };
    const bool alone_with_blank = names.size() == 1 && name.find(' ') != name.npos;  // not two columns
    const bool plain = !all && !alone_with_blank && name == trimmed(name) &&
                       std::none_of(name.begin(), name.end(), is_special) &&
                       static_cast<unsigned char>(name.front()) < 128 && other_format(name).empty();
    if (&name != &names.front()) line += ',';
    if (!plain) line += '"';
    for (const char c : name) line.append(c == '"' ? 2 : 1, c);
    if (!plain) line += '"';
  }
  return line;
}

/// A first line that cannot be taken for names: 0,1 becomes 0.0,1.0.
inline std::string first_line_of_numbers(const std::string& line) {
  const std::vector<long long> numbers = counts(CsvRecords::cut({}, line, ','));
  if (!count_from(numbers, 0) && !are_evenly_spaced(numbers)) return line;
  std::string with_points;
  for (const char c : line) {
    if (c == ',') with_points += ".0";
    with_points += c;
  }
  return with_points + ".0";
}

}  // namespace io

/// Writes X, d × N, one column per sample, as a comma-separated table of N lines and d columns, after a line of the d
/// `names` if any are given. Each number is the shortest text that reads back as the same double; NaN and infinities
/// are written as nan and inf, which read_csv refuses. The file appears complete or not at all; what a writer that was
/// killed left of `path`.part0, … is removed.
///
/// Throws std::invalid_argument where the number of names is neither d nor 0, where the first is empty or "Unnamed: 0",
/// beside others (readers take such a column for the rows' numbers), or one holds a byte of 0; std::runtime_error where
/// writing fails.
inline void write_csv(const std::string& path, const MatrixView<double>& X,
                      const std::vector<std::string>& names = {}) {
  extend::require_at_least(X.rows(), 1, "the number of rows of X");
  extend::require(
      names.empty() || static_cast<Index>(names.size()) == X.rows(),
      {"names has ", names.size(), " entries; X has ", X.rows(), " rows, and each is a column of the file"});
  for (std::size_t i = 0; i < names.size(); ++i) {
    extend::require(names[i].find('\0') == std::string::npos, {"names[", i, "] holds a byte of 0"});
    extend::require(i > 0 || names.size() == 1 || !(names[0].empty() || names[0].starts_with("Unnamed: 0")),
                    {"names[0] is ", io::in_quotes(names[0]),
                     "; readers would take that column for the rows' numbers and leave it out"});
  }
  io::OutputFile file(path);
  std::string out;
  if (!names.empty()) {
    out = io::header_line(names);
    out += '\n';
  }
  for (Index column = 0; column < X.cols(); ++column) {
    for (Index row = 0; row < X.rows(); ++row) {
      if (row > 0) out += ',';
      io::append_number(out, X(row, column));
    }
    if (column == 0 && names.empty()) out = io::first_line_of_numbers(out);
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
