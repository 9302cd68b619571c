// What reading and writing files shares on all systems: the error that names the file, and a stream to its end.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "scorematch/check.hpp"

namespace scorematch::io {

/// Throws std::runtime_error: the file at `path`, and the parts that say what is wrong with it.
template <class... Parts>
[[noreturn]] void file_error(const std::string& path, const Parts&... parts) {
  throw std::runtime_error(detail::text("scorematch: '", path, "' ", parts...));
}

/// `found` as a message shows it: in quotes, cut after 40 bytes, control characters as \xNN (a NUL would end it).
inline std::string in_quotes(std::string_view found) {
  constexpr std::size_t most = 40;
  std::size_t length = std::min(found.size(), most);
  while (length < found.size() && length > 0 && (found[length] & 0xC0) == 0x80) --length;  // not within a character
  std::string quoted(1, '\'');
  for (const char c : found.substr(0, length)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 32 && byte != 127) {
      quoted += c;
    } else {
      constexpr std::string_view digits = "0123456789abcdef";
      quoted += "\\x";
      quoted += digits[byte / 16];
      quoted += digits[byte % 16];
    }
  }
  quoted += length < found.size() ? "…'" : "'";
  return quoted;
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

/// All bytes of `file`, of which the system says that it has `expected`. Throws std::runtime_error, naming `path`.
inline std::string read_all(const std::string& path, std::FILE* file, std::size_t expected) {
  std::string bytes;
  try {
    // Room for all at once, and a byte more; a file that grows meanwhile, or whose system does not say its size, grows
    // in the loop.
    std::size_t room = expected + 1;
    for (std::size_t size = 0;; room *= 2) {
      bytes.resize(room);
      size += std::fread(bytes.data() + size, 1, room - size, file);
      if (size < room) {
        if (std::ferror(file)) file_error(path, "cannot be read: ", std::generic_category().message(errno));
        bytes.resize(size);
        return bytes;
      }
    }
  } catch (const std::bad_alloc&) {
  } catch (const std::length_error&) {
  }
  file_error(path, "has ", expected, " bytes, and there is no memory for them");
}

/// Writers of one file at a time, at most: each has a name beside it, `path`.part0, `path`.part1, …
inline constexpr int most_writers = 100;
inline std::string part_name(const std::string& path, int number) { return path + ".part" + std::to_string(number); }

/// Throws std::runtime_error: the names for parts of `path` are taken, the last of them is `last`.
[[noreturn]] inline void too_many_writers(const std::string& path, const std::string& last) {
  file_error(path, "cannot be written: ", most_writers, " others are writing it (", last, ")");
}

}  // namespace scorematch::io
