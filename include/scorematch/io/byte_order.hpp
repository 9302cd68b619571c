// The byte order of files that are the same on all machines: little-endian.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

namespace scorematch::io {

inline constexpr bool is_little_endian = std::endian::native == std::endian::little;
static_assert(is_little_endian || std::endian::native == std::endian::big);

/// A number from the machine's byte order to little-endian, or back: itself, or its bytes in reverse.
template <class T>
T little_endian(T number) {
  static_assert(std::is_trivially_copyable_v<T>);
  if constexpr (!is_little_endian) {
    unsigned char bytes[sizeof(T)];
    std::memcpy(bytes, &number, sizeof number);
    std::reverse(bytes, bytes + sizeof(T));
    std::memcpy(&number, bytes, sizeof number);
  }
  return number;
}

}  // namespace scorematch::io
