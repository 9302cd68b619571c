// A part of a table in a text file, with the lines of the file that say how the table is written.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

#include "scorematch/io/csv_text.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/types.hpp"

namespace scorematch::io {

/// What is read of a file: its first lines, the head, and then the lines of the part.
struct CsvPart {
  std::string text = {};
  CsvLines lines = {};  ///< which of its lines are no rows of the part, and the numbers of the others
  bool is_last = true;  ///< no row of the file follows
};

/// Lines that say how a table is written: comments, names, first rows.
inline constexpr Index csv_head_lines = 200;

/// Reads a file in pieces, to find where its lines end.
class LineEnds {
 public:
  LineEnds(const std::string& path, std::FILE* file, std::uint64_t size) : path_(path), file_(file), size_(size) {}

  /// Where the line begins that follows `lines` line ends, counted from byte `first` on; the file's size: there is
  /// none.
  std::uint64_t after(std::uint64_t first, Index lines) const {
    std::uint64_t found = lines == 0 ? first : size_;
    for_each_end(first, size_, [&](std::uint64_t at) {
      if (--lines > 0) return true;
      found = at + 1;
      return false;
    });
    return found;
  }

  /// How many line ends there are from byte `first` to before `end`.
  Index count(std::uint64_t first, std::uint64_t end) const {
    Index number = 0;
    for_each_end(first, end, [&](std::uint64_t) {
      ++number;
      return true;
    });
    return number;
  }

 private:
  template <class Visit>
  void for_each_end(std::uint64_t first, std::uint64_t end, Visit visit) const {
    constexpr std::uint64_t piece = 1 << 16;
    while (first < end) {
      const std::string bytes = read_part(path_, file_, first, static_cast<std::size_t>(std::min(piece, end - first)));
      if (bytes.empty()) return;  // the file has become shorter
      for (std::size_t at = bytes.find('\n'); at != bytes.npos; at = bytes.find('\n', at + 1))
        if (!visit(first + at)) return;
      first += bytes.size();
    }
  }

  const std::string& path_;
  std::FILE* file_;
  std::uint64_t size_;
};

/// Part `part` of `parts`: the lines that begin within its share of the bytes. The head belongs to part 0.
/// `count_lines` gives the lines their numbers in the file, for which all bytes before are read.
inline CsvPart read_csv_part(const std::string& path, Index part, Index parts, bool count_lines) {
  std::size_t size = 0;
  const File file = open_file(path, size);
  if (parts == 1) return {.text = read_all(path, file.get(), size)};
  const LineEnds ends(path, file.get(), size);
  const std::uint64_t head = ends.after(0, csv_head_lines);
  const auto begin_of = [&](Index k) -> std::uint64_t {
    if (k == 0) return 0;
    const auto n = static_cast<std::uint64_t>(parts), at = static_cast<std::uint64_t>(k);
    const std::uint64_t share = size / n * at + size % n * at / n;
    return share <= head ? head : ends.after(share - 1, 1);
  };
  CsvPart found;
  const std::uint64_t first = begin_of(part), end = part + 1 < parts ? std::max(first, begin_of(part + 1)) : size;
  found.is_last = end == size;
  if (part > 0) {
    found.text = read_part(path, file.get(), 0, static_cast<std::size_t>(head));
    found.lines.head = csv_head_lines;
    if (count_lines) found.lines.left_out = ends.count(head, first);
  }
  found.text += read_part(path, file.get(), first, static_cast<std::size_t>(end - first));
  return found;
}

}  // namespace scorematch::io
