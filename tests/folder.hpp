// An empty folder of a test's process.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <string>

#include "catch.hpp"

namespace fixtures {

/// An empty folder of this process, removed at the end.
class Folder {
 public:
  explicit Folder(const std::string& test)
      : folder_(std::filesystem::temp_directory_path() / ("scorematch_" + test + "_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
  }
  ~Folder() { std::filesystem::remove_all(folder_); }

  std::string operator()(const std::string& name) const { return (folder_ / name).string(); }

  /// Writes `bytes` to a file in the folder, and says where it is.
  std::string put(const std::string& name, const std::string& bytes) const {
    std::FILE* file = std::fopen((*this)(name).c_str(), "wb");
    REQUIRE(file != nullptr);
    REQUIRE(std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size());
    REQUIRE(std::fclose(file) == 0);
    return (*this)(name);
  }

  /// How many files it holds.
  std::size_t files() const {
    using Iterator = std::filesystem::directory_iterator;
    return static_cast<std::size_t>(std::distance(Iterator(folder_), Iterator()));
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace fixtures
