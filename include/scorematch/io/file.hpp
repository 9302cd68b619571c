// Whole files in and out, for the formats of this room.
//
// Two kinds of error: std::runtime_error where the file is at fault (it cannot be read or written, its content is
// malformed), std::invalid_argument where the call is (a column that the file does not have). Every message names the
// file. Numbers are read and written by <charconv>, so no locale changes them.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "scorematch/check.hpp"

namespace scorematch::io {

/// Throws std::runtime_error: the file at `path`, and the parts that say what is wrong with it.
template <class... Parts>
[[noreturn]] void file_error(const std::string& path, const Parts&... parts) {
  throw std::runtime_error("scorematch: '" + path + "' " + text(parts...));
}

/// `found` as a message shows it: in quotes, cut after 40 characters.
inline std::string in_quotes(std::string_view found) {
  return "'" + std::string(found.substr(0, 40)) + (found.size() > 40 ? "…'" : "'");
}

/// Appends a number in its shortest text that reads back as the same number.
template <class T>
void append_number(std::string& out, T number) {
  char digits[32];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

/// All bytes of the file. Throws std::runtime_error.
inline std::string read_file(const std::string& path) {
  const File file(std::fopen(path.c_str(), "rb"));
  if (!file) file_error(path, "cannot be opened: ", std::generic_category().message(errno));
  std::string bytes;
  constexpr std::size_t chunk = std::size_t{1} << 20;
  // Room for all at once; a pipe has no size, and grows in the loop.
  struct ::stat found;
  if (::fstat(::fileno(file.get()), &found) == 0 && S_ISREG(found.st_mode))
    bytes.reserve(static_cast<std::size_t>(found.st_size) + chunk);
  for (std::size_t size = 0;;) {
    bytes.resize(size + chunk);
    size += std::fread(bytes.data() + size, 1, chunk, file.get());
    if (size < bytes.size()) {
      if (std::ferror(file.get())) file_error(path, "cannot be read: ", std::generic_category().message(errno));
      bytes.resize(size);
      return bytes;
    }
  }
}

/// A file that appears at `path` complete or not at all: it is written beside it under another name and renamed by
/// finish(); without finish() it is removed, and what stood at `path` stays. (A link or a device is written in place,
/// as a rename would put a plain file where it was.) Throws std::runtime_error.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path) : path_(path) {
    struct ::stat found;
    renames_ = ::lstat(path.c_str(), &found) != 0 || S_ISREG(found.st_mode);
    if (renames_) {
      // "x": never another writer's file, nor what a killed one left.
      for (int number = 0; !file_ && number < most_writers; ++number) {
        written_ = path + ".part" + std::to_string(number);
        file_.reset(std::fopen(written_.c_str(), "wbx"));
        if (!file_ && errno != EEXIST) break;
      }
    } else {
      written_ = path;
      file_.reset(std::fopen(path.c_str(), "wb"));
    }
    if (!file_) fail();
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile() {
    file_.reset();
    if (renames_ && !finished_) std::remove(written_.c_str());
  }

  void write(std::string_view bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) fail();
  }

  void finish() {
    if (std::fclose(file_.release()) != 0) fail();
    if (renames_ && std::rename(written_.c_str(), path_.c_str()) != 0) fail();
    finished_ = true;
  }

  /// The same for a file that must outlive a failure of power: its bytes are on the disk before it takes its name, so
  /// that no crash leaves the name with half of them.
  void finish_durably() {
    if (std::fflush(file_.get()) != 0 || (::fsync(::fileno(file_.get())) != 0 && errno != EINVAL)) fail();
    finish();
    const std::size_t slash = path_.rfind('/');
    const std::string folder = slash == path_.npos ? "." : path_.substr(0, slash + 1);
    if (const int entry = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); entry >= 0) {
      (void)::fsync(entry);  // not every file system can; the file itself is safe
      ::close(entry);
    }
  }

  /// Removes what writers to `path` left that were killed.
  static void remove_left_overs(const std::string& path) {
    for (int number = 0; number < most_writers; ++number)
      std::remove((path + ".part" + std::to_string(number)).c_str());
  }

 private:
  static constexpr int most_writers = 100;

  [[noreturn]] void fail() const { file_error(path_, "cannot be written: ", std::generic_category().message(errno)); }

  std::string path_;
  std::string written_;
  File file_;
  bool renames_ = false;
  bool finished_ = false;
};

}  // namespace scorematch::io
