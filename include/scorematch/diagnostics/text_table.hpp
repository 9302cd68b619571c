// Tables of numbers as text.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace scorematch::diagnostics {

/// A number with `digits` significant digits; "-" for NaN.
inline std::string with_digits(double number, int digits) {
  if (std::isnan(number)) return "-";
  char text[48];
  std::snprintf(text, sizeof text, "%.*g", digits, number);
  return text;
}

/// A number with as many digits as its error leaves it, and one more; eight where the error is not known.
inline std::string with_error(double number, double error) {
  int digits = 8;
  if (error > 0 && std::isfinite(number) && number != 0)
    digits = static_cast<int>(std::floor(std::log10(std::abs(number))) - std::floor(std::log10(error))) + 2;
  return with_digits(number, std::clamp(digits, 3, 15));
}

/// Of UTF-8 text, in letters.
inline std::size_t letters_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// Lines of aligned columns, the first one's entries to the left, the others' to the right, two spaces before each; a
/// line may have an entry more than there are columns, which stands to the left at its end.
inline std::string aligned(const std::vector<std::vector<std::string>>& lines, std::size_t columns) {
  std::vector<std::size_t> width(columns, 0);
  for (const auto& line : lines)
    for (std::size_t j = 0; j < std::min(columns, line.size()); ++j) width[j] = std::max(width[j], letters_of(line[j]));
  std::string all;
  for (const auto& line : lines) {
    std::string text;
    for (std::size_t j = 0; j < line.size(); ++j) {
      const std::string padding(j < columns ? width[j] - letters_of(line[j]) : 0, ' ');
      text += "  " + (j == 0 ? line[j] + padding : padding + line[j]);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    all += text + '\n';
  }
  return all;
}

}  // namespace scorematch::diagnostics
