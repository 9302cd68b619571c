// JSON (RFC 8259) as far as the header of a .safetensors file has it: objects, lists, strings and whole numbers.
// Whoever reads says what must follow, so that nothing nests deeper than the format does.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

#include "scorematch/io/file.hpp"
#include "scorematch/io/utf8.hpp"
#include "scorematch/types.hpp"

namespace scorematch::io {

/// Goes through a text of JSON; what is not as expected is a std::runtime_error that says at which byte.
class JsonText {
 public:
  /// `text` must live as long as this; `what` it is of the file at `path`: "header".
  JsonText(const std::string& path, const char* what, std::string_view text)
      : path_(path), what_(what), text_(text), rest_(text) {}

  [[noreturn]] void malformed(const std::string& complaint) const {
    file_error(path_, "has a malformed ", what_, ": ", complaint, " at its byte ", text_.size() - rest_.size());
  }

  bool at_end() {
    skip_blanks();
    return rest_.empty();
  }
  bool accept(char mark) {
    skip_blanks();
    const bool found = rest_.starts_with(mark);
    if (found) rest_.remove_prefix(1);
    return found;
  }
  void expect(char mark, const char* where) {
    if (!accept(mark)) malformed(detail::text("expected '", mark, "' ", where, ", found ", next_word(), ","));
  }

  /// Calls item() for each item of a list, or of an object, until `close`; `open` is next.
  template <class F>
  void for_each(char open, char close, const char* where, F item) {
    expect(open, where);
    if (accept(close)) return;
    do item();
    while (accept(','));
    if (!accept(close)) malformed(detail::text("expected ',' or '", close, "' ", where, ", found ", next_word(), ","));
  }

  std::string string(const char* where) {
    expect('"', where);
    std::string value;
    for (;;) {
      const std::size_t plain = rest_.find_first_of(specials);
      if (const std::size_t bad = first_not_utf8(rest_.substr(0, plain)); bad != rest_.npos) {
        rest_.remove_prefix(bad);
        malformed("a byte that is no UTF-8");
      }
      value += rest_.substr(0, plain);
      rest_.remove_prefix(std::min(plain, rest_.size()));
      if (rest_.empty()) malformed("a string that does not end,");
      const char mark = rest_.front();
      if (mark == '"') {
        rest_.remove_prefix(1);
        return value;
      }
      if (mark != '\\') malformed("a control character in a string");
      append_escape(value);
    }
  }

  /// A whole number from 0 to the largest Index.
  Index natural(const char* where) {
    skip_blanks();
    Index number = -1;
    const auto [stop, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), number);
    const auto length = static_cast<std::size_t>(stop - rest_.data());
    const std::string_view after = rest_.substr(length);
    // Neither 01 nor -0 nor 1.0 nor 1e3.
    if (error != std::errc{} || rest_.front() == '-' || (rest_.front() == '0' && length > 1) ||
        after.find_first_of(".eE") == 0)
      malformed(detail::text("expected a whole number from 0 to ", std::numeric_limits<Index>::max(), " ", where,
                             ", found ", next_word(), ","));
    rest_ = after;
    return number;
  }

 private:
  // What ends a run of plain characters: quotes, backslashes and control characters.
  static constexpr std::string_view specials{
      "\"\\\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19"
      "\x1A\x1B\x1C\x1D\x1E\x1F",
      34};

  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\n\r"), rest_.size())); }

  /// What is next, for a message.
  std::string next_word() {
    skip_blanks();
    return rest_.empty() ? "its end"
                         : in_quotes(rest_.substr(0, std::max<std::size_t>(1, rest_.find_first_of(",:]} "))));
  }

  unsigned long four_digits() {
    unsigned long code = 0;
    const std::string_view digits = rest_.substr(0, 4);
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (error != std::errc{} || digits.size() != 4 || stop != digits.data() + 4)
      malformed("a \\u without four hexadecimal digits");
    rest_.remove_prefix(4);
    return code;
  }

  /// An escape; rest_ begins with its backslash.
  void append_escape(std::string& value) {
    constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    const std::size_t letter = rest_.size() > 1 ? letters.find(rest_[1]) : letters.npos;
    if (letter != letters.npos) {
      value += meanings[letter];
      rest_.remove_prefix(2);
      return;
    }
    if (!rest_.starts_with("\\u")) malformed("a backslash that escapes nothing");
    rest_.remove_prefix(2);
    unsigned long code = four_digits();
    if (code >= 0xD800 && code < 0xDC00 && rest_.starts_with("\\u")) {
      rest_.remove_prefix(2);
      const unsigned long low = four_digits();
      if (low < 0xDC00 || low > 0xDFFF) malformed("half of a surrogate pair before");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (code >= 0xD800 && code <= 0xDFFF) malformed("half of a surrogate pair before");
    append_utf8(value, code);
  }

  const std::string& path_;
  const char* what_;
  std::string_view text_, rest_;
};

/// Appends `value`, which is UTF-8, as a string of JSON.
inline void append_json_string(std::string& out, std::string_view value) {
  constexpr std::string_view digits = "0123456789abcdef";
  out += '"';
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 32) {
      out += "\\u00";
      out += digits[byte / 16];
      out += digits[byte % 16];
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  out += '"';
}

}  // namespace scorematch::io
