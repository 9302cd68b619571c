// Whole files in and out on POSIX systems: Linux, macOS, the BSDs, Emscripten.
#pragma once

#if !defined(_WIN32)

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "scorematch/io/file_basics.hpp"

namespace scorematch::io {

/// Whether there is anything at `path`: a file, a folder, a link that leads nowhere.
inline bool exists(const std::string& path) {
  struct ::stat found;
  return ::lstat(path.c_str(), &found) == 0;
}

/// The file, opened, and its size. Pipes and devices are refused: they may have no end, or never begin. Throws
/// std::runtime_error.
inline File open_file(const std::string& path, std::size_t& size) {
  const auto reason = [] { return std::generic_category().message(errno); };
  // O_NONBLOCK: to open a pipe would wait for its writer.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) file_error(path, "cannot be opened: ", reason());
  File file(::fdopen(descriptor, "rb"));
  struct ::stat found;
  if (!file || ::fstat(descriptor, &found) != 0) file_error(path, "cannot be opened: ", reason());
  if (!S_ISREG(found.st_mode))
    file_error(path, "cannot be read: it is ",
               S_ISDIR(found.st_mode)    ? "a folder"
               : S_ISFIFO(found.st_mode) ? "a pipe; save what it delivers to a file, and read that"
                                         : "a device or a socket; only files are read");
  size = static_cast<std::size_t>(found.st_size);
  return file;
}

/// A file that appears at `path` complete or not at all: it is written beside it, as `path`.part0 (.part1, … where
/// others are writing the same file), and renamed by finish(); without finish() it is removed, and what stood at `path`
/// stays. Its writer holds a lock on it; what has such a name and no lock is what a killed writer left, and is removed.
///
/// A link stays: what it points to is replaced. A device or a pipe is written in place. The new file has the old one's
/// permissions; a read-only one is not replaced. Throws std::runtime_error.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path) : path_(path), target_(path) {
    struct ::stat found;
    const bool exists = ::stat(path.c_str(), &found) == 0;
    renames_ = follow_links(target_) && (!exists || S_ISREG(found.st_mode));
    if (!renames_) {
      open_in_place();
      return;
    }
    // Renaming asks for the folder's permission alone.
    if (exists && ((found.st_mode & 0222) == 0 || ::access(path.c_str(), W_OK) != 0))
      file_error(path, "cannot be written: it is read-only");
    open_beside();
    if (exists) (void)::fchmod(lock_.number, found.st_mode & 0777);  // some file systems know no permissions
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile() {
    if (renames_ && !finished_) std::remove(written_.c_str());  // the lock is still held
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
    if (std::fclose(file_.release()) != 0) fail();
#if defined(__EMSCRIPTEN__)
    if (renames_) (void)::unlink(target_.c_str());  // a file that was renamed over is still found there, in memory
#endif
    if (renames_ && std::rename(written_.c_str(), target_.c_str()) != 0) fail();
    finished_ = true;
    if (met_others_) remove_left_overs(target_);
  }

  /// The same for a file that must outlive a failure of power: its bytes are on the disk before it takes its name, so
  /// that no crash leaves the name with half of them.
  void finish_durably() {
    if (std::fflush(file_.get()) != 0 || (::fsync(::fileno(file_.get())) != 0 && errno != EINVAL)) fail();
    finish();
    if (const int entry = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); entry >= 0) {
      (void)::fsync(entry);  // not every file system can; the file itself is safe
      ::close(entry);
    }
  }

  /// Removes what writers to `path` left that were killed.
  static void remove_left_overs(std::string path) {
#if defined(__EMSCRIPTEN__)  // a hundred names that are not there take longer than a training's step; memory has none
    (void)path;
#else
    if (!follow_links(path)) return;
    for (int number = 0; number < most_writers; ++number) remove_left_over(part_name(path, number));
#endif
  }

 private:
  static std::string part_name(const std::string& path, int number) { return path + ".part" + std::to_string(number); }
  static std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == path.npos ? "." : path.substr(0, slash + 1);
  }

  /// Makes `path` what it points to in the end; false where a rename is out of place, as for /dev/stdout.
  static bool follow_links(std::string& path) {
    for (int links = 0; links < 40; ++links) {
      for (const char* const stream : {"/dev/std", "/dev/fd/", "/proc/"})
        if (path.starts_with(stream)) return false;
      char to[PATH_MAX];
      const ::ssize_t size = ::readlink(path.c_str(), to, sizeof to);
      if (size < 0) return true;
      const std::string_view next(to, static_cast<std::size_t>(size));
      path = next.starts_with('/') ? "" : folder_of(path) + '/';
      path += next;
    }
    return false;  // a circle, which opening reports
  }

  struct Descriptor {
    int number = -1;

    explicit Descriptor(int opened = -1) : number(opened) {}
    Descriptor& operator=(Descriptor&& other) {
      std::swap(number, other.number);
      return *this;
    }
    ~Descriptor() {
      if (number >= 0) ::close(number);
    }
    bool lock() const { return ::flock(number, LOCK_EX | LOCK_NB) == 0; }
    /// Whether that is still its name: another may have removed or renamed it before it was locked.
    bool has_name(const std::string& name) const {
      struct ::stat file, named;
      return ::fstat(number, &file) == 0 && ::lstat(name.c_str(), &named) == 0 && file.st_ino == named.st_ino &&
             file.st_dev == named.st_dev && S_ISREG(file.st_mode);
    }
  };

  /// Whether there is no such file any more. One that cannot be locked is being written, or nobody can know.
  static bool remove_left_over(const std::string& name) {
    const Descriptor file(::open(name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (file.number < 0) return errno == ENOENT;
    return file.lock() && file.has_name(name) && ::unlink(name.c_str()) == 0;
  }

  void open_beside() {
    for (int number = 0; number < most_writers; ++number) {
      written_ = part_name(target_, number);
      do {
        lock_ = Descriptor(::open(written_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
        if (lock_.number >= 0) {
          // Another may have taken it for a left-over before it was locked. Some file systems have no locks.
          if ((!lock_.lock() && errno == EWOULDBLOCK) || !lock_.has_name(written_)) break;
          return open_stream(second_descriptor());
        }
        if (errno != EEXIST) fail();
        met_others_ = true;
      } while (remove_left_over(written_));
    }
    too_many_writers(path_, written_);
  }

  /// Of the open file, for the stream, since the lock must outlive its closing.
  int second_descriptor() const {
#if defined(__EMSCRIPTEN__)
    // F_DUPFD there opens the name again by the flags of the first time, of which O_EXCL then fails.
    return ::open(written_.c_str(), O_WRONLY | O_CLOEXEC);
#else
    return ::fcntl(lock_.number, F_DUPFD_CLOEXEC, 0);
#endif
  }

  void open_in_place() {
    // O_NONBLOCK: to open a pipe would wait for its reader.
    const int descriptor = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC, 0666);
    if (descriptor < 0 && errno == ENXIO) file_error(path_, "cannot be written: it is a pipe that nobody reads");
    if (descriptor < 0) fail();
    ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) & ~O_NONBLOCK);
    open_stream(descriptor);
  }

  void open_stream(int descriptor) {
    file_.reset(descriptor >= 0 ? ::fdopen(descriptor, "wb") : nullptr);
    if (!file_) fail();
  }

  [[noreturn]] void fail() const { file_error(path_, "cannot be written: ", std::generic_category().message(errno)); }

  std::string path_;
  std::string target_;   ///< path_, where its links lead
  std::string written_;  ///< the name it has until it is finished
  Descriptor lock_;      ///< holds the lock until the file has its name, or is gone
  File file_;
  bool renames_ = false;
  bool finished_ = false;
  bool met_others_ = false;  ///< there were other files of such a name
};

}  // namespace scorematch::io

#endif
