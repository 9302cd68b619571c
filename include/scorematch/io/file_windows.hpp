// Whole files in and out on Windows.
#pragma once

#if defined(_WIN32)

#include <fcntl.h>
#include <io.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>

#include "scorematch/io/file_basics.hpp"

// As <windows.h> declares it; that header would define min, max, ERROR and thousands of other macros.
extern "C" __declspec(dllimport) int __stdcall MoveFileExA(const char* from, const char* to, unsigned long flags);

namespace scorematch::io {

/// Whether there is anything at `path`: a file or a folder.
inline bool exists(const std::string& path) { return ::_access(path.c_str(), 0) == 0; }

/// The file, opened, and its size. Devices are refused: they may have no end. Throws std::runtime_error.
inline File open_file(const std::string& path, std::size_t& size) {
  struct ::_stat64 found;
  const bool known = ::_stat64(path.c_str(), &found) == 0;
  if (known && (found.st_mode & _S_IFMT) != _S_IFREG)
    file_error(path, "cannot be read: it is ",
               (found.st_mode & _S_IFMT) == _S_IFDIR ? "a folder" : "a device or a pipe; only files are read");
  File file(known ? std::fopen(path.c_str(), "rb") : nullptr);
  if (!file) file_error(path, "cannot be opened: ", std::generic_category().message(errno));
  size = static_cast<std::size_t>(found.st_size);
  return file;
}

/// A file that appears at `path` complete or not at all: it is written beside it, as `path`.part0 (.part1, … where
/// others are writing the same file), and renamed by finish(); without finish() it is removed, and what stood at `path`
/// stays. Windows removes no file that is open: what has such a name and can be removed is what a killed writer left.
///
/// A device is written in place. A read-only file is not replaced. Throws std::runtime_error.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path) : path_(path) {
    struct ::_stat64 found;
    const bool exists = ::_stat64(path.c_str(), &found) == 0;
    renames_ = !exists || (found.st_mode & _S_IFMT) == _S_IFREG;
    if (exists && renames_ && (found.st_mode & _S_IWRITE) == 0) file_error(path, "cannot be written: it is read-only");
    if (renames_)
      open_beside();
    else
      file_.reset(std::fopen(path.c_str(), "wb"));
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

  /// Writes over the first bytes, which were not known before. Where is_in_place() nothing can be written over.
  void write_over_start(std::string_view bytes) {
    if (std::fseek(file_.get(), 0, SEEK_SET) != 0) fail();
    write(bytes);
  }
  bool is_in_place() const { return !renames_; }  ///< a device or a pipe

  void finish() {
    constexpr unsigned long replace_existing = 1, write_through = 8;
    if (std::fclose(file_.release()) != 0) fail();
    if (renames_ && ::MoveFileExA(written_.c_str(), path_.c_str(), replace_existing | write_through) == 0)
      file_error(path_, "cannot be written: it cannot be replaced (is it open in another program?)");
    finished_ = true;
    if (met_others_) remove_left_overs(path_);
  }

  /// The same for a file that must outlive a failure of power: its bytes are on the disk before it takes its name.
  void finish_durably() {
    if (std::fflush(file_.get()) != 0 || ::_commit(::_fileno(file_.get())) != 0) fail();
    finish();
  }

  /// Removes what writers to `path` left that were killed.
  static void remove_left_overs(const std::string& path) {
    for (int number = 0; number < most_writers; ++number) ::_unlink(part_name(path, number).c_str());
  }

 private:
  void open_beside() {
    for (int number = 0; number < most_writers; ++number) {
      written_ = part_name(path_, number);
      do {
        const int descriptor =
            ::_open(written_.c_str(), _O_WRONLY | _O_CREAT | _O_EXCL | _O_BINARY | _O_NOINHERIT, _S_IREAD | _S_IWRITE);
        if (descriptor >= 0) return file_.reset(::_fdopen(descriptor, "wb"));
        if (errno != EEXIST) fail();
        met_others_ = true;
      } while (::_unlink(written_.c_str()) == 0);
    }
    too_many_writers(path_, written_);
  }

  [[noreturn]] void fail() const { file_error(path_, "cannot be written: ", std::generic_category().message(errno)); }

  std::string path_;
  std::string written_;  ///< the name it has until it is finished
  File file_;
  bool renames_ = false;
  bool finished_ = false;
  bool met_others_ = false;  ///< there were other files of such a name
};

}  // namespace scorematch::io

#endif
