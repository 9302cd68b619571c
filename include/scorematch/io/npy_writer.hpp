// A .npy file written part by part: samples that never are in memory all at once.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <type_traits>

#include "scorematch/check.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/io/npy.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// Writes samples of `dimension` numbers as a .npy file of shape (N, dimension), '<f4' or '<f8', however many come:
///
///   sm::NpyWriter<float> file("data.npy", 3);
///   for (…) file.append(simulated);   // 3 × any number
///   file.finish();
///
/// The file appears with finish(), complete, or not at all. Throws std::invalid_argument for a dimension below 1 or
/// samples of another, std::runtime_error where writing fails or `path` is a device or a pipe.
template <class T>
class NpyWriter {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "NpyWriter<T>: T must be float or double");

 public:
  /// Begins the file, beside its name.
  NpyWriter(const std::string& path, Index dimension) : file_(path), dimension_(dimension) {
    extend::require_at_least(dimension, 1, "NpyWriter: dimension");
    if (file_.is_in_place())
      io::file_error(path, "cannot be written part by part: how many samples there are goes first, and it is no file");
    file_.write(header(std::numeric_limits<Index>::max()));
  }

  /// Adds the columns of X, dimension × any number.
  void append(const MatrixView<T>& X) {
    extend::require(X.rows() == dimension_, {"NpyWriter: samples of ", X.rows(), " numbers are appended to a file of ",
                                             dimension_, " numbers a sample"});
    io::append_columns<T>(file_, X);
    samples_ += X.cols();
  }

  Index samples() const { return samples_; }  ///< so far

  /// Gives the file its name.
  void finish() {
    file_.write_over_start(header(samples_));
    file_.finish();
  }

 private:
  std::string header(Index samples) const {
    constexpr std::size_t room = 192;  // for any two numbers of 19 digits
    return io::npy_header(std::is_same_v<T, float> ? "<f4" : "<f8", detail::text("(", samples, ", ", dimension_, ")"),
                          room);
  }

  io::OutputFile file_;
  Index dimension_, samples_ = 0;
};

}  // namespace scorematch
