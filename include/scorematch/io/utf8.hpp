// Whether bytes are UTF-8, as names in files must be.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace scorematch::io {

/// Where `text` stops being UTF-8: the first byte of what is no character (cut off, overlong, a surrogate, beyond
/// U+10FFFF); text.npos where all is sound. (The Unicode Standard, table 3-7.)
inline std::size_t first_not_utf8(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned lead = byte(i);
    std::size_t length = 1;
    unsigned least = 0x80, most = 0xBF;  // of the second byte
    if (lead >= 0xC2 && lead <= 0xDF) {
      length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      length = 3;
      if (lead == 0xE0) least = 0xA0;
      if (lead == 0xED) most = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      length = 4;
      if (lead == 0xF0) least = 0x90;
      if (lead == 0xF4) most = 0x8F;
    } else if (lead >= 0x80) {
      return i;
    }
    if (text.size() - i < length) return i;
    for (std::size_t k = 1; k < length; ++k) {
      if (byte(i + k) < least || byte(i + k) > most) return i;
      least = 0x80, most = 0xBF;
    }
    i += length;
  }
  return text.npos;
}

/// Appends the character U+`code`, at most U+10FFFF, as UTF-8.
inline void append_utf8(std::string& text, unsigned long code) {
  const auto append = [&](unsigned long byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    append(code);
  } else if (code < 0x800) {
    append(0xC0 | code >> 6);
    append(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    append(0xE0 | code >> 12);
    append(0x80 | (code >> 6 & 0x3F));
    append(0x80 | (code & 0x3F));
  } else {
    append(0xF0 | code >> 18);
    append(0x80 | (code >> 12 & 0x3F));
    append(0x80 | (code >> 6 & 0x3F));
    append(0x80 | (code & 0x3F));
  }
}

}  // namespace scorematch::io
