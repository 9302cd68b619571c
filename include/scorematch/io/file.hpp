// Whole files in and out, for the formats of this room.
//
// Two kinds of error: std::runtime_error where the file is at fault (it cannot be read or written, its content is
// malformed), std::invalid_argument where the call is (a column that the file does not have). Every message names the
// file. No locale changes how numbers are read and written.
#pragma once

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "scorematch/io/file_basics.hpp"
#include "scorematch/io/file_posix.hpp"
#include "scorematch/io/file_windows.hpp"
#include "scorematch/number_text.hpp"

namespace scorematch::io {

/// All bytes of a file. Throws std::runtime_error, naming it.
inline std::string read_file(const std::string& path) {
  std::size_t size = 0;
  const File file = open_file(path, size);
  return read_all(path, file.get(), size);
}

/// Bytes first … first + count − 1 of an open file, as far as it has them.
inline std::string read_part(const std::string& path, std::FILE* file, std::uint64_t first, std::size_t count) {
#if defined(_WIN32)
  const bool there = ::_fseeki64(file, static_cast<long long>(first), SEEK_SET) == 0;
#else
  const bool there = ::fseeko(file, static_cast<off_t>(first), SEEK_SET) == 0;
#endif
  std::string bytes(count, '\0');
  bytes.resize(there ? std::fread(bytes.data(), 1, count, file) : 0);
  if (!there || std::ferror(file)) file_error(path, "cannot be read: ", std::generic_category().message(errno));
  return bytes;
}

/// Appends a number in its shortest text that reads back as the same number.
template <class T>
void append_number(std::string& out, T number) {
  detail::append_shortest(out, number);
}

/// Whether a decimal number that no double is near, as number_from_text found it, lies below 1: m · 10ᵉ is cut to the
/// place of its first digit that is not 0.
inline bool is_below_one(std::string_view digits) {
  long long place = 0, exponent = 0;
  bool after_point = false, after_first = false;
  if (digits.starts_with('-')) digits.remove_prefix(1);
  std::size_t i = 0;
  for (; i < digits.size() && digits[i] != 'e' && digits[i] != 'E'; ++i) {
    if (digits[i] == '.') {
      after_point = true;
      continue;
    }
    after_first = after_first || digits[i] != '0';
    if (after_first && !after_point) ++place;
    if (!after_first && after_point) --place;
  }
  if (i < digits.size()) {
    digits.remove_prefix(i + (digits.substr(i + 1).starts_with('+') ? 2 : 1));
    if (std::from_chars(digits.data(), digits.data() + digits.size(), exponent).ec != std::errc{})
      return digits.starts_with('-');
  }
  return exponent < -place;
}

/// Reads a number as std::from_chars does, but one that is too small for a double as 0 with its sign: the nearest.
inline std::from_chars_result read_number(const char* first, const char* last, double& value) {
  std::from_chars_result result = detail::number_from_text(first, last, value);
  if (result.ec == std::errc::result_out_of_range &&
      is_below_one({first, static_cast<std::size_t>(result.ptr - first)})) {
    value = *first == '-' ? -0.0 : 0.0;
    result.ec = std::errc{};
  }
  return result;
}

/// What a file is, with the remedy, that is compressed or in a format that no reader of this room takes: its first
/// bytes say so. "" for others.
inline std::string_view other_format(std::string_view bytes) {
  using Format = std::pair<std::string_view, const char*>;
  constexpr std::array formats = {
      Format{"\x1F\x8B", "is compressed by gzip: unpack it first (gunzip)"},
      Format{"BZh91AY&SY", "is compressed by bzip2: unpack it first (bunzip2)"},
      Format{{"\xFD\x37zXZ\0", 6}, "is compressed by xz: unpack it first (unxz)"},
      Format{"\x28\xB5\x2F\xFD", "is compressed by zstd: unpack it first (unzstd)"},
      Format{"PK\x03\x04",
             "is a zip archive: unpack it first (an .npz is read by read_npz; save an .xlsx or .ods workbook as CSV)"},
      Format{"\xD0\xCF\x11\xE0", "is an old Excel workbook: save it as CSV"},
      Format{"\x89HDF", "is an HDF5 file: save its table as CSV or .npy"},
      Format{"MATLAB 5.0 MAT-file", "is a MATLAB file: save its matrix as text (writematrix) or as .npy"},
      Format{{"PAR1\x15", 5}, "is a Parquet file: save its table as CSV or .npy"},
      Format{"<!DOCTYPE", "is a page of HTML: the data themselves have another address"},
      Format{"<!doctype", "is a page of HTML: the data themselves have another address"},
      Format{"<html", "is a page of HTML: the data themselves have another address"}};
  for (const auto& [first_bytes, verdict] : formats)
    if (bytes.starts_with(first_bytes)) return verdict;
  return {};
}

inline void require_no_other_format(const std::string& path, std::string_view bytes) {
  if (const std::string_view verdict = other_format(bytes); !verdict.empty()) file_error(path, verdict);
}

}  // namespace scorematch::io
