// Numbers as text and back, in no locale but C's: by <charconv> where the standard library has all of it, else by
// strtod and snprintf (libc++, of which no version says that it has).
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <string>
#include <type_traits>

#include "scorematch/requirements.hpp"

#if !defined(__cpp_lib_to_chars)
#include <algorithm>
#include <clocale>
#include <cmath>
#include <cstdlib>
#include <cstring>
#endif

namespace scorematch::detail {

#if defined(__cpp_lib_to_chars)

/// std::from_chars.
inline std::from_chars_result number_from_text(const char* first, const char* last, double& value) {
  return std::from_chars(first, last, value);
}

/// Appends a number in its shortest text that reads back as the same number.
template <class T>
void append_shortest(std::string& out, T number) {
  char digits[32];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

/// Appends a number with up to `precision` significant digits, 17 at most.
inline void append_rounded(std::string& out, double number, int precision) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, number, std::chars_format::general, precision);
  out.append(digits, end.ptr);
}

#else

/// The end of the longest text from `first` on that is a number as std::from_chars takes it, or `first`.
inline const char* end_of_number(const char* first, const char* last) {
  const auto is_digit = [&](const char* p) { return p != last && *p >= '0' && *p <= '9'; };
  const auto after_word = [&](const char* p, const char* word) {
    for (; *word != '\0'; ++p, ++word)
      if (p == last || (*p | 0x20) != *word) return static_cast<const char*>(nullptr);
    return p;
  };
  const char* p = first != last && *first == '-' ? first + 1 : first;
  for (const char* word : {"infinity", "inf", "nan"})
    if (const char* end = after_word(p, word)) return end;
  const char* const digits = p;
  while (is_digit(p)) ++p;
  const std::ptrdiff_t whole = p - digits;
  if (p != last && *p == '.' && (whole > 0 || is_digit(p + 1)))
    for (++p; is_digit(p);) ++p;
  if (p == digits) return first;
  if (p == last || (*p | 0x20) != 'e') return p;
  const char* exponent = p + 1;
  if (exponent != last && (*exponent == '+' || *exponent == '-')) ++exponent;
  if (!is_digit(exponent)) return p;
  while (is_digit(exponent)) ++exponent;
  return exponent;
}

/// What the locale, which another part of the program may have set, writes for the point.
inline const char* point_of_locale() { return std::localeconv()->decimal_point; }

/// As std::from_chars.
inline std::from_chars_result number_from_text(const char* first, const char* last, double& value) {
  const char* const end = end_of_number(first, last);
  if (end == first) return {first, std::errc::invalid_argument};
  std::string text(first, end);
  if (const std::size_t point = text.find('.'); point != text.npos) text.replace(point, 1, point_of_locale());
  const double number = std::strtod(text.c_str(), nullptr);
  const bool is_word = (*(end - 1) | 0x20) > '9';
  const bool is_zero = std::find_if(first, end, [](char c) { return c >= '1' && c <= '9'; }) == end;
  if (!is_word && (std::isinf(number) || (number == 0 && !is_zero))) return {end, std::errc::result_out_of_range};
  value = number;
  return {end, std::errc{}};
}

/// Appends a number with up to `precision` significant digits, 17 at most.
inline void append_rounded(std::string& out, double number, int precision) {
  char digits[48];
  std::snprintf(digits, sizeof digits, "%.*g", precision, number);
  std::string text = digits;
  const char* const point = point_of_locale();
  if (const std::size_t at = text.find(point); at != text.npos) text.replace(at, std::strlen(point), ".");
  out += text;
}

/// Appends a number in its shortest text that reads back as the same number.
template <class T>
void append_shortest(std::string& out, T number) {
  if constexpr (std::is_floating_point_v<T>) {
    std::string text;
    for (int precision = std::numeric_limits<T>::digits10; precision <= std::numeric_limits<T>::max_digits10;
         ++precision) {
      text.clear();
      append_rounded(text, static_cast<double>(number), precision);
      double back = 0;
      number_from_text(text.data(), text.data() + text.size(), back);
      if (static_cast<T>(back) == number) break;
    }
    out += text;
  } else {
    char digits[32];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
  }
}

#endif

}  // namespace scorematch::detail
