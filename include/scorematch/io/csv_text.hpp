// The text of a table: its records and fields, its separator, and what a field is. read_csv (csv.hpp) makes
// samples of it.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// Whether a table's first line names its columns. `automatic`: it does if it holds no number, it does not if it holds
/// nothing else; a mixture names them if all columns asked for are in it, and is an error otherwise. So are numbers
/// that look like the columns' own, 0, 1, 2, … above all: see read_csv.
enum class CsvHeader { automatic, present, absent };

/// The effect of a missing value among the chosen columns: an error, or the row is left out. Missing are an
/// empty field, NA, N/A, `#N/A`, `<NA>`, NaN, null, none, nil, ?, - and a lone point, in capitals or not, and what
/// CsvOptions::missing_marks adds.
enum class CsvMissing { error, drop_row };

/// The meaning of lines that begin with #. `automatic`: comments, left out; but one that has a value glued to its # and
/// as many fields as the table could be a row ("#ff0000,1"), and is an error. `skip`: comments. `keep`: rows.
enum class CsvComments { automatic, skip, keep };

/// How read_csv reads a file.
struct CsvOptions {
  char separator = '\0';  ///< comma, semicolon, tab, or ' ' for blanks and tabs; '\0' finds out: see read_csv
  CsvHeader header = CsvHeader::automatic;      ///< whether the first line names the columns
  CsvMissing missing = CsvMissing::error;       ///< an error, or the row is left out
  std::vector<std::string> missing_marks = {};  ///< more marks, as {"-999"}; one that is a number means all equal to it
  char decimal = '.';                           ///< or ',': "1,5" is 1.5
  CsvComments comments = CsvComments::automatic;  ///< the meaning of lines that begin with \#
  bool skip_blank_lines = false;  ///< between rows; those before and after the table are always left out
  /// Which part of the rows is read, 0 … parts − 1: for ranks, or a table larger than memory. The parts are cut by the
  /// file's bytes. The first 200 lines go to part 0, and say for all parts how the table is written; a part may be
  /// without rows (d × 0). No quoted field of the table may hold a line break. What is found by looking at all rows
  /// (numbers of rows that repeat, columns that are empty to the end) is looked for within the part.
  Index part = 0;
  Index parts = 1;  ///< how many parts there are, ≥ 1

  /// Throws std::invalid_argument for another separator or decimal mark.
  void validate() const {
    extend::require(
        std::string_view(",;\t \0", 5).find(separator) != std::string_view::npos,
        {"CsvOptions::separator is '", separator, "'; it must be ',', ';', '\\t', ' ', or '\\0' for automatic"});
    extend::require(decimal == '.' || decimal == ',',
                    {"CsvOptions::decimal is ", io::in_quotes({&decimal, 1}), "; it must be '.' or ','"});
    extend::require(decimal != ',' || separator != ',', {"CsvOptions::decimal and CsvOptions::separator are both ','"});
    extend::require_at_least(parts, 1, "CsvOptions::parts");
    extend::require(part >= 0 && part < parts,
                    {"CsvOptions::part is ", part, "; it must be 0 to parts − 1, ", parts - 1});
  }
};

namespace io {

/// A field as it stands in the file, without its quotes and without the white space around it.
struct CsvField {
  std::string_view raw;
  bool is_quoted = false;

  bool is_empty() const { return raw.empty() && !is_quoted; }

  std::string string() const {
    std::string value(raw);
    if (is_quoted)
      for (std::size_t at = 0; (at = value.find("\"\"", at)) != value.npos; ++at) value.erase(at, 1);
    return value;
  }
};

struct CsvRecord {
  std::vector<CsvField> fields;
  Index line = 0;  ///< the one on which it begins, counted from 1

  bool is_blank() const { return fields.size() == 1 && fields[0].is_empty(); }
  /// How many of the last fields are empty.
  std::size_t empty_at_end() const {
    const auto full = std::find_if(fields.rbegin(), fields.rend(), [](const CsvField& f) { return !f.is_empty(); });
    return static_cast<std::size_t>(full - fields.rbegin());
  }
};

/// The text from `first` up to `last`. (libc++ 14 has no such constructor.)
inline std::string_view text_between(const char* first, const char* last) {
  return {first, static_cast<std::size_t>(last - first)};
}

inline std::string_view trimmed(std::string_view field) {
  constexpr std::string_view white = " \t\r";
  while (!field.empty() && white.find(field.front()) != white.npos) field.remove_prefix(1);
  while (!field.empty() && white.find(field.back()) != white.npos) field.remove_suffix(1);
  return field;
}

/// The lines of a text: the first `head` are those of the file, then `left_out` lines of the file are not there.
struct CsvLines {
  Index head = 0, left_out = 0;

  /// The number in the file of a line of the text, both counted from 1.
  Index number(Index line) const { return line > head ? line + left_out : line; }
};

/// Cuts the text of a file into records (lines, except that a quoted field may hold line breaks) and these into fields.
class CsvRecords {
 public:
  CsvRecords(const std::string& path, std::string_view rest, char separator, CsvComments comments,
             const CsvLines& lines = {})
      : path_(path),
        at_(rest.data()),
        end_(at_ + rest.size()),
        separator_(separator),
        comments_(comments),
        lines_(lines) {}

  /// The next record's fields, views of the text; false at the end of the file.
  bool next(CsvRecord& record) {
    if (comments_ != CsvComments::keep)
      while (starts_with_comment()) skip_comment();
    if (finished_) return false;
    record.fields.clear();
    record.line = line_ = lines_.number(next_line_);
    if (separator_ == ' ') skip_blanks();
    while (true) {
      record.fields.push_back(next_field());
      if (separator_ == ' ') skip_blanks();
      if (at_ == end_) {
        finished_ = true;
        return true;
      }
      if (*at_ == '\n') {
        ++at_;
        ++next_line_;
        return true;
      }
      if (separator_ != ' ') ++at_;
    }
  }

  /// The fields of a single record; none where its quotes are no quotes.
  static std::vector<CsvField> cut(const std::string& path, std::string_view text, char separator) {
    CsvRecord record;
    try {
      CsvRecords(path, text, separator, CsvComments::keep).next(record);
    } catch (const std::runtime_error&) {
      record.fields.clear();
    }
    return record.fields;
  }

  /// Comment lines with as many fields, the first glued to its #, are an error from here on.
  void suspect_comments_of(std::size_t width) { suspected_width_ = comments_ == CsvComments::automatic ? width : 0; }

  /// The text of the last comment so far.
  std::string_view comment() const { return comment_; }

 private:
  static bool is_white(char c) { return c == ' ' || c == '\t' || c == '\r'; }
  bool is_separator(char c) const { return separator_ == ' ' ? is_white(c) : c == separator_; }
  void skip_blanks() {
    while (at_ != end_ && is_white(*at_)) ++at_;
  }

  bool starts_with_comment() const {
    const char* first = at_;
    while (first != end_ && is_white(*first) && *first != separator_) ++first;
    return first != end_ && *first == '#' && !is_worksheet_error(first + 1);
  }
  /// "#N/A" and its like, which worksheets write where a value is missing or could not be computed.
  bool is_worksheet_error(const char* word) const {
    const std::string_view rest(word, static_cast<std::size_t>(end_ - word));
    for (const std::string_view error : {"N/A", "NA", "DIV/0!", "VALUE!", "REF!", "NUM!", "NAME?", "NULL!"})
      if (rest.starts_with(error) && (rest.size() == error.size() || is_separator(word[error.size()]) ||
                                      is_white(word[error.size()]) || word[error.size()] == '\n'))
        return true;
    return false;
  }
  void skip_comment() {
    const char* const stop = std::find(at_, end_, '\n');
    comment_ = trimmed(text_between(at_, stop));
    comment_.remove_prefix(1);
    if (suspected_width_ > 1 && !comment_.empty() && !is_white(comment_.front()) &&
        cut(path_, comment_, separator_).size() == suspected_width_)
      file_error(path_, "line ", lines_.number(next_line_),
                 " begins with # and has as many fields as a row: say which it is, by ",
                 "CsvOptions::comments = CsvComments::skip (a comment) or CsvComments::keep (a row)");
    comment_ = trimmed(comment_);
    at_ = stop == end_ ? end_ : stop + 1;
    finished_ = stop == end_;
    ++next_line_;
  }

  // Leaves at_ on the separator or line break after the field, or at the end.
  CsvField next_field() {
    const char* begin = at_;
    while (begin != end_ && *begin == ' ') ++begin;
    if (begin == end_ || *begin != '"') {
      begin = at_;
      if (separator_ == ' ')
        while (at_ != end_ && !is_white(*at_) && *at_ != '\n') ++at_;
      else
        while (at_ != end_ && *at_ != separator_ && *at_ != '\n') ++at_;
      return {trimmed(text_between(begin, at_)), false};
    }
    at_ = ++begin;
    while (at_ != end_ && (*at_ != '"' || (at_ + 1 != end_ && at_[1] == '"'))) {
      if (*at_ == '\n') ++next_line_;
      at_ += *at_ == '"' ? 2 : 1;
    }
    if (at_ == end_) file_error(path_, "has a quote in the record of line ", line_, " that nothing closes");
    const CsvField field{text_between(begin, at_), true};
    do ++at_;
    while (at_ != end_ && !is_separator(*at_) && is_white(*at_));
    if (at_ != end_ && !is_separator(*at_) && *at_ != '\n')
      file_error(path_, "line ", lines_.number(next_line_), " has text between a closing quote and the next separator");
    return field;
  }

  const std::string& path_;
  const char* at_;
  const char* end_;
  char separator_;
  CsvComments comments_;
  CsvLines lines_;
  std::string_view comment_;
  std::size_t suspected_width_ = 0;
  Index line_ = 0;  ///< of the record that is being read
  Index next_line_ = 1;
  bool finished_ = false;
};

enum class FieldKind { number, missing, out_of_range, text };

/// Says what a field is.
class CsvFieldReader {
 public:
  explicit CsvFieldReader(const CsvOptions& options) : decimal_(options.decimal) {
    for (const std::string& mark : options.missing_marks) {
      double number;
      marks_.push_back(lower(trimmed(mark)));
      if ((*this)({trimmed(mark), false}, number) == FieldKind::number) numeric_marks_.push_back(number);
    }
  }

  /// Sets `value` where the field is a number.
  FieldKind operator()(const CsvField& field, double& value) const {
    std::string_view digits = field.is_quoted ? trimmed(field.raw) : field.raw;
    std::string with_point;
    if (decimal_ == ',' && digits.find_first_of(",.") != digits.npos) {
      if (digits.find('.') != digits.npos) return is_missing(digits) ? FieldKind::missing : FieldKind::text;
      with_point = digits;
      std::replace(with_point.begin(), with_point.end(), ',', '.');
      digits = with_point;
    }
    std::string_view number = digits;
    if (number.size() > 1 && number[0] == '+' && number[1] != '-') number.remove_prefix(1);  // from_chars takes no plus
    const char* const end = number.data() + number.size();
    const auto [stop, error] = read_number(number.data(), end, value);
    const bool is_number = stop == end && error == std::errc{} && std::isfinite(value);
    if (is_number && std::find(numeric_marks_.begin(), numeric_marks_.end(), value) == numeric_marks_.end())
      return FieldKind::number;
    if (is_number || is_missing(digits)) return FieldKind::missing;
    if (stop != end || error == std::errc::invalid_argument) return FieldKind::text;
    return error == std::errc{} && std::isnan(value) ? FieldKind::missing : FieldKind::out_of_range;
  }

  FieldKind kind(const CsvField& field) const {
    double value;
    return (*this)(field, value);
  }

 private:
  static std::string lower(std::string_view word) {
    std::string all(word);
    for (char& c : all)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return all;
  }
  bool is_missing(std::string_view field) const {
    constexpr std::array<std::string_view, 15> known = {"",    "na", "n/a", "#n/a", "#na", "<na>",    "null",   "none",
                                                        "nil", "?",  "-",   "--",   ".",   "-1.#ind", "1.#qnan"};
    if (field.size() > 8 && marks_.empty()) return false;
    const std::string word = lower(field);
    return std::find(known.begin(), known.end(), word) != known.end() ||
           std::find(marks_.begin(), marks_.end(), word) != marks_.end();
  }

  char decimal_;
  std::vector<std::string> marks_ = {};
  std::vector<double> numeric_marks_ = {};
};

/// Whether it would be a number with a point for its comma.
inline bool has_decimal_comma(const CsvField& field) {
  const std::string_view digits = trimmed(field.raw);
  const std::size_t comma = digits.find(',');
  if (comma == digits.npos || comma + 1 == digits.size()) return false;
  std::string with_point(digits.substr(digits.starts_with('+') ? 1 : 0));
  with_point[with_point.find(',')] = '.';
  double value;
  const char* const end = with_point.data() + with_point.size();
  const auto [stop, error] = read_number(with_point.data(), end, value);
  return stop == end && error == std::errc{};
}

/// Finds out how the fields of a table are separated, from its first record and the one after it.
class CsvSeparator {
 public:
  CsvSeparator(const std::string& path, std::string_view file, const CsvOptions& options)
      : path_(path), file_(file), options_(options), reader_(options) {}

  /// The one of comma, semicolon and tab that stands most often on the first line, outside quotes; but
  ///   * semicolon, tab or blanks, where each of their fields is a number, some with a decimal comma: 1,5;2,5
  ///   * blanks, where none of the three stands there and it is several numbers, or the next line several words; or
  ///     where tabs are among blanks: what they separate holds several numbers, or is not as many on the next line
  ///   * a comma, where there is nothing to go by.
  char find() const {
    const std::string_view first = line(0), second = line(1);
    const std::string_view rows = second.empty() ? first : second;
    constexpr std::string_view separators = ",;\t";
    Index counts[separators.size()] = {};
    bool inside_quotes = false;
    for (const char c : first) {
      if (c == '"') inside_quotes = !inside_quotes;
      const std::size_t which = separators.find(c);
      if (which != separators.npos && !inside_quotes) ++counts[which];
    }
    if (options_.decimal == ',') counts[0] = 0;
    const auto most = static_cast<std::size_t>(std::max_element(counts, counts + separators.size()) - counts);
    if (counts[most] == 0) return has_words(first, rows) ? ' ' : options_.decimal == ',' ? ';' : ',';
    if (separators[most] == ',')
      for (const char other : {';', '\t', ' '})
        if (is_decimal_comma_table(first, rows, other)) return other;
    if (separators[most] == '\t') {
      for (const CsvField& field : cut(rows, '\t'))
        if (!field.is_quoted && are_numbers(cut(field.raw, ' '))) return ' ';
      if (cut(first, '\t').size() != cut(rows, '\t').size() && cut(first, ' ').size() == cut(rows, ' ').size())
        return ' ';
    }
    return separators[most];
  }

 private:
  /// The text of record `number`, counted from 0, without comments and blank lines before it; "" if there is none.
  std::string_view line(int number) const {
    std::string_view rest = file_;
    while (!rest.empty()) {
      std::size_t length = 0;
      for (bool inside_quotes = false; length < rest.size() && (rest[length] != '\n' || inside_quotes); ++length)
        if (rest[length] == '"') inside_quotes = !inside_quotes;
      const std::string_view words = trimmed(rest.substr(0, length));
      const bool is_comment = options_.comments != CsvComments::keep && words.starts_with('#');
      // A quote in a comment quotes nothing.
      if (is_comment) length = std::min(rest.find('\n'), rest.size());
      if (!words.empty() && !is_comment && number-- == 0) return words;
      rest.remove_prefix(std::min(length + 1, rest.size()));
    }
    return {};
  }

  std::vector<CsvField> cut(std::string_view text, char separator) const {
    return CsvRecords::cut(path_, text, separator);
  }

  /// Whether they are two numbers at least, and nothing else but missing values.
  bool are_numbers(const std::vector<CsvField>& fields) const {
    Index numbers = 0;
    for (const CsvField& field : fields) {
      const FieldKind kind = reader_.kind(field);
      if (kind != FieldKind::number && kind != FieldKind::missing) return false;
      numbers += kind == FieldKind::number;
    }
    return numbers > 1;
  }

  bool has_words(std::string_view first, std::string_view rows) const {
    return are_numbers(cut(first, ' ')) || (rows.data() != first.data() && cut(rows, ' ').size() > 1);
  }

  bool is_decimal_comma_table(std::string_view first, std::string_view rows, char separator) const {
    const auto fields = cut(rows, separator);
    bool any_comma = false;
    for (const CsvField& field : fields) {
      const FieldKind kind = reader_.kind(field);
      if (has_decimal_comma(field))
        any_comma = true;
      else if (kind != FieldKind::number && kind != FieldKind::missing)
        return false;
    }
    return any_comma && fields.size() > 1 && cut(first, separator).size() == fields.size();
  }

  const std::string& path_;
  std::string_view file_;
  const CsvOptions& options_;
  CsvFieldReader reader_;
};

}  // namespace io
}  // namespace scorematch
