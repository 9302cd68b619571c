// A file as memory that the system fills when it is read, and takes back when it needs room: for data that are larger
// than memory.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string>
#include <system_error>

#include "scorematch/io/file.hpp"

#if defined(_WIN32)

#include <io.h>

// As <windows.h> declares them (file_windows.hpp has the reason); a HANDLE is a pointer to void.
extern "C" {
__declspec(dllimport) void* __stdcall CreateFileMappingA(void* file, void* security, unsigned long protection,
                                                         unsigned long size_high, unsigned long size_low,
                                                         const char* name);
__declspec(dllimport) void* __stdcall MapViewOfFile(void* mapping, unsigned long access, unsigned long first_high,
                                                    unsigned long first_low, std::size_t size);
__declspec(dllimport) int __stdcall UnmapViewOfFile(const void* view);
__declspec(dllimport) int __stdcall CloseHandle(void* handle);
}

#else

#include <sys/mman.h>

#endif

namespace scorematch::io {

/// All bytes of an open file, read only, until this is destroyed. The file must not be made shorter meanwhile: the
/// system ends a program that reads what is gone (SIGBUS).
class MappedFile {
 public:
  /// Maps `size` bytes of `file`. Throws std::runtime_error, naming `path`.
  MappedFile(const std::string& path, std::FILE* file, std::size_t size) : size_(size) {
    if (size == 0) return;
#if defined(_WIN32)
    constexpr unsigned long page_read_only = 2, file_map_read = 4;
    void* const handle = reinterpret_cast<void*>(::_get_osfhandle(::_fileno(file)));
    void* const mapping = ::CreateFileMappingA(handle, nullptr, page_read_only, 0, 0, nullptr);
    if (mapping != nullptr) {
      bytes_ = static_cast<const char*>(::MapViewOfFile(mapping, file_map_read, 0, 0, size));
      ::CloseHandle(mapping);  // the view keeps it
    }
    if (bytes_ == nullptr) file_error(path, "cannot be mapped into memory");
#else
    void* const found = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, ::fileno(file), 0);
    if (found == MAP_FAILED) file_error(path, "cannot be mapped: ", std::generic_category().message(errno));
    bytes_ = static_cast<const char*>(found);
#endif
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() {
    if (bytes_ == nullptr) return;
#if defined(_WIN32)
    ::UnmapViewOfFile(bytes_);
#else
    ::munmap(const_cast<char*>(bytes_), size_);
#endif
  }

  const char* data() const { return bytes_; }

 private:
  const char* bytes_ = nullptr;
  std::size_t size_;
};

}  // namespace scorematch::io
