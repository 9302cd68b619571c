// NumPy's .npy files, both ways.
//
// NumPy's users hold N × d, a row a sample; this library holds d × N, a column a sample. In C order and column-major
// order these are the same bytes, so an (N, d) array *is* a d × N matrix:
//
//   X = np.load("draws.npy")   # (N, d), after write_npy("draws.npy", draws) of a d × N matrix
//   np.save("data.npy", X)     # (N, d); read_npy("data.npy") is d × N
#pragma once

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "scorematch/io/file.hpp"
#include "scorematch/types.hpp"

namespace scorematch {
namespace io {

static_assert(std::endian::native == std::endian::little, "the .npy reader and writer are for little-endian machines");

struct NpyHeader {
  std::string dtype;  // "<f8"; the text of a structured dtype
  bool fortran_order = false;
  std::vector<Index> shape;
};

/// Reads the header of a .npy file, a Python dict: {'descr': '<f8', 'fortran_order': False, 'shape': (342, 2), }
class NpyHeaderReader {
 public:
  NpyHeaderReader(const std::string& path, std::string_view text) : path_(path), text_(text) {}

  NpyHeader read() {
    NpyHeader header;
    bool has_dtype = false, has_order = false, has_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = quotation();
      expect(':');
      if (key == "descr") {
        has_dtype = true;
        // A structured dtype is a list; no such file is read, so the rest of the header names it well enough.
        header.dtype = starts_with('[') ? text_ : quotation();
        if (header.dtype.front() == '[') return header;
      } else if (key == "fortran_order") {
        has_order = true;
        header.fortran_order = truth();
      } else if (key == "shape") {
        has_shape = true;
        header.shape = tuple();
      } else {
        malformed();
      }
      if (!accept(',') && !starts_with('}')) malformed();
    }
    if (!has_dtype || !has_order || !has_shape) malformed();
    return header;
  }

 private:
  [[noreturn]] void malformed() const {
    file_error(path_, "has a malformed .npy header: it must be a dict of 'descr', 'fortran_order' and 'shape'");
  }
  bool starts_with(char mark) {
    text_.remove_prefix(std::min(text_.find_first_not_of(" \t\n"), text_.size()));
    return text_.starts_with(mark);
  }
  bool accept(char mark) {
    const bool found = starts_with(mark);
    if (found) text_.remove_prefix(1);
    return found;
  }
  void expect(char mark) {
    if (!accept(mark)) malformed();
  }
  std::string_view quotation() {
    const char mark = starts_with('"') ? '"' : '\'';
    expect(mark);
    const std::size_t length = text_.find(mark);
    if (length == 0 || length == text_.npos) malformed();
    const std::string_view inside = text_.substr(0, length);
    text_.remove_prefix(length + 1);
    return inside;
  }
  bool truth() {
    const bool is_true = starts_with('T');
    const std::string_view word = is_true ? "True" : "False";
    if (!text_.starts_with(word)) malformed();
    text_.remove_prefix(word.size());
    return is_true;
  }
  std::vector<Index> tuple() {
    std::vector<Index> sizes;
    expect('(');
    while (!accept(')')) {
      Index size = -1;
      const auto [stop, error] = std::from_chars(text_.data(), text_.data() + text_.size(), size);
      if (error != std::errc{} || size < 0) malformed();
      text_.remove_prefix(static_cast<std::size_t>(stop - text_.data()));
      accept('L');  // a Python 2 long
      sizes.push_back(size);
      if (!accept(',') && !starts_with(')')) malformed();
    }
    return sizes;
  }

  const std::string& path_;
  std::string_view text_;
};

/// Copies an (N, d) array of Stored numbers, in C or Fortran order, into the d × N matrix X.
template <class Stored, class T>
void copy_npy(const std::string& path, std::string_view bytes, bool fortran_order, Index N, Index d, Matrix<T>& X) {
  const auto room = static_cast<Index>(bytes.size() / sizeof(Stored));
  const bool fits = d == 0 || N <= room / d;  // no overflow, whatever the header says
  if (!fits || N * d != room || bytes.size() % sizeof(Stored) != 0)
    file_error(path, !fits ? "is truncated: " : "does not hold what its header says: ", "shape (", N, ", ", d,
               ") needs ", static_cast<double>(N) * static_cast<double>(d) * sizeof(Stored), " bytes of data, and ",
               bytes.size(), " are there");
  X.resize(d, N);
  if (bytes.empty()) return;
  if (std::is_same_v<Stored, T> && !fortran_order) {
    std::memcpy(X.data(), bytes.data(), bytes.size());
    return;
  }
  const Index next_row = fortran_order ? N : 1, next_column = fortran_order ? 1 : d;
  for (Index column = 0; column < N; ++column)
    for (Index row = 0; row < d; ++row) {
      Stored number;
      const Index at = row * next_row + column * next_column;
      std::memcpy(&number, bytes.data() + static_cast<std::size_t>(at) * sizeof(Stored), sizeof(Stored));
      X(row, column) = static_cast<T>(number);
    }
}

}  // namespace io

/// Reads a .npy file (format versions 1.0 to 3.0) as a matrix of T, float or double:
///
///   shape (N, d) → d × N, a column a sample;   (N,) → 1 × N;   () → 1 × 1;
///
/// C or Fortran order, dtypes <f4 <f8 <i4 <i8 |u1, converted to T. Entries that are not finite are kept as they are.
/// Throws std::runtime_error when the file cannot be read, is no .npy file, is truncated or longer than its header
/// says, has another dtype (big-endian, objects, …) or more than two dimensions. Format: NumPy, numpy.lib.format.
template <class T = double>
Matrix<T> read_npy(const std::string& path) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "read_npy<T>: T must be float or double");
  const std::string file = io::read_file(path);
  std::string_view bytes = file;
  if (!bytes.starts_with("\x93NUMPY")) io::file_error(path, "is no .npy file: it does not begin with \\x93NUMPY");

  // Magic, two bytes of version, the header's length (two bytes in version 1, four later), the header, the data.
  const int version = bytes.size() > 6 ? static_cast<unsigned char>(bytes[6]) : 0;
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  if (bytes.size() < 8 + length_bytes) io::file_error(path, "is truncated: it ends inside its .npy header");
  if (version < 1 || version > 3) io::file_error(path, "has .npy format version ", version, "; 1, 2 and 3 can be read");
  std::uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, length_bytes);
  bytes.remove_prefix(8 + length_bytes);
  if (bytes.size() < length) io::file_error(path, "is truncated: it ends inside its .npy header");
  const io::NpyHeader header = io::NpyHeaderReader(path, bytes.substr(0, length)).read();
  bytes.remove_prefix(length);

  if (header.shape.size() > 2)
    io::file_error(path, "has ", header.shape.size(),
                   " dimensions; at most 2 can be read, (N, d): save x.reshape(len(x), -1)");
  const Index N = header.shape.empty() ? 1 : header.shape[0];
  const Index d = header.shape.size() < 2 ? 1 : header.shape[1];

  const std::string& dtype = header.dtype;
  Matrix<T> X;
  if (dtype == "<f8")
    io::copy_npy<double>(path, bytes, header.fortran_order, N, d, X);
  else if (dtype == "<f4")
    io::copy_npy<float>(path, bytes, header.fortran_order, N, d, X);
  else if (dtype == "<i8")
    io::copy_npy<std::int64_t>(path, bytes, header.fortran_order, N, d, X);
  else if (dtype == "<i4")
    io::copy_npy<std::int32_t>(path, bytes, header.fortran_order, N, d, X);
  else if (dtype == "|u1")
    io::copy_npy<std::uint8_t>(path, bytes, header.fortran_order, N, d, X);
  else
    io::file_error(path, "has dtype ", io::in_quotes(dtype),
                   dtype.front() == '>'      ? " (big-endian)"
                   : dtype.starts_with("|O") ? " (Python objects)"
                                             : "",
                   "; <f4, <f8, <i4, <i8 and |u1 can be read: save x.astype('<f8')");
  return X;
}

/// Writes a d × N matrix of float or double, a column a sample, as a .npy file (version 1.0) of shape (N, d), '<f4' or
/// '<f8'. A column vector is one sample, shape (1, d); a row vector is N samples of one number, shape (N, 1). The file
/// appears complete or not at all. Throws std::runtime_error when it cannot be written.
template <class Derived>
void write_npy(const std::string& path, const Eigen::MatrixBase<Derived>& X) {
  using T = typename Derived::Scalar;
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "write_npy: X must be of float or double");
  const MatrixView<T> view(X.derived());

  std::string dict = std::is_same_v<T, float> ? "{'descr': '<f4'" : "{'descr': '<f8'";
  dict += ", 'fortran_order': False, 'shape': (";
  io::append_number(dict, view.cols());
  dict += ", ";
  io::append_number(dict, view.rows());
  dict += "), }";
  // The data begins at a multiple of 64 bytes: 6 of magic, 2 of version, 2 of length, the dict, spaces and a new line.
  dict.resize((10 + dict.size() + 1 + 63) / 64 * 64 - 11, ' ');
  dict += '\n';

  io::OutputFile file(path);
  file.write("\x93NUMPY");
  const char version_and_length[4] = {1, 0, static_cast<char>(dict.size() % 256), static_cast<char>(dict.size() / 256)};
  file.write({version_and_length, 4});
  file.write(dict);
  for (Index column = 0; column < view.cols(); ++column)
    file.write({reinterpret_cast<const char*>(view.data() + column * view.outerStride()),
                static_cast<std::size_t>(view.rows()) * sizeof(T)});
  file.finish();
}

}  // namespace scorematch
