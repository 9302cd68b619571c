// NumPy's .npy files, both ways.
//
// NumPy's users hold N × d, one row per sample; this library holds d × N, one column per sample. In C order and
// column-major order these are the same bytes, so an (N, d) array *is* a d × N matrix:
//
//   X = np.load("draws.npy")   # (N, d), after write_npy("draws.npy", draws) of a d × N matrix
//   np.save("data.npy", X)     # (N, d); read_npy("data.npy") is d × N
//
// Weights are no samples: read_npy_array reads an array as NumPy shows it, and load_npy_parameter (parameters.hpp)
// gives it to a model.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "scorematch/io/byte_order.hpp"
#include "scorematch/io/columns.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/io/stored_number.hpp"
#include "scorematch/types.hpp"

namespace scorematch {
namespace io {

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
        once(has_dtype, key);
        // A structured dtype is a list; no such file is read, so the rest of the header names it well enough.
        header.dtype = starts_with('[') ? text_ : quotation();
        if (header.dtype.front() == '[') return header;
      } else if (key == "fortran_order") {
        once(has_order, key);
        header.fortran_order = truth();
      } else if (key == "shape") {
        once(has_shape, key);
        header.shape = tuple();
      } else {
        malformed();
      }
      if (!accept(',') && !starts_with('}')) malformed();
    }
    if (!has_dtype || !has_order || !has_shape) malformed();
    if (text_.find_first_not_of(" \t\n") != text_.npos) malformed();
    return header;
  }

 private:
  [[noreturn]] void malformed() const {
    file_error(path_, "has a malformed .npy header: it must be a dict of 'descr', 'fortran_order' and 'shape'");
  }
  void once(bool& found, std::string_view key) const {
    if (found) file_error(path_, "has a malformed .npy header: it says ", in_quotes(key), " twice");
    found = true;
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

/// The number as a T. One beyond T's range would become an infinity that nobody wrote: an error.
template <class T, class Stored>
T converted(const std::string& path, Stored stored, Index sample, Index coordinate) {
  if constexpr (std::is_same_v<Stored, T>) {
    return stored;
  } else if constexpr (std::is_integral_v<Stored>) {
    return static_cast<T>(stored);
  } else {
    const auto number = static_cast<double>(stored);
    const T result = static_cast<T>(number);
    if (std::isinf(result) && !std::isinf(number))
      file_error(path, "has ", number, " in row ", sample, ", column ", coordinate,
                 " (counted from 0), beyond the range of float: read it as double");
    return result;
  }
}

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
  if (is_little_endian && std::is_same_v<Stored, T> && !fortran_order) {
    std::memcpy(X.data(), bytes.data(), bytes.size());
    return;
  }
  const Index next_row = fortran_order ? N : 1, next_column = fortran_order ? 1 : d;
  for (Index column = 0; column < N; ++column)
    for (Index row = 0; row < d; ++row) {
      Stored number;
      const Index at = row * next_row + column * next_column;
      std::memcpy(&number, bytes.data() + static_cast<std::size_t>(at) * sizeof(Stored), sizeof(Stored));
      X(row, column) = converted<T>(path, little_endian(number), column, row);
    }
}

/// "f8" of the dtype "<f8", "u1" of "|u1"; "" of one that is not little-endian, or has not three letters.
inline std::string_view number_type_of_npy(std::string_view dtype) {
  if (dtype.size() != 3 || dtype[0] != (dtype[2] == '1' ? '|' : '<')) return {};
  return dtype.substr(1);
}

/// What a message says of a dtype that cannot be read.
inline std::string refused_dtype(std::string_view dtype) {
  return detail::text(
      "has dtype ", in_quotes(dtype),
      dtype.front() == '>'      ? " (big-endian)"
      : dtype.starts_with("|O") ? " (Python objects)"
                                : "",
      "; <f4, <f8, <i4, <i8 and |u1 can be read, and <f2, |b1 and other integers: save x.astype('<f8')");
}

/// What a file (version 1.0) begins with, up to its numbers, at least `least` bytes; `shape` is Python's tuple.
inline std::string npy_header(const char* dtype, const std::string& shape, std::size_t least = 0) {
  std::string dict = detail::text("{'descr': '", dtype, "', 'fortran_order': False, 'shape': ", shape, ", }");
  // The numbers begin at a multiple of 64 bytes: 6 of magic, 2 of version, 2 of length, the dict, spaces and a new
  // line.
  dict.resize(std::max(least, (10 + dict.size() + 1 + 63) / 64 * 64) - 11, ' ');
  dict += '\n';
  std::string header = "\x93NUMPY";
  for (const std::size_t byte : {std::size_t{1}, std::size_t{0}, dict.size() % 256, dict.size() / 256})
    header += static_cast<char>(byte);
  return header + dict;
}

/// Writes the numbers of X, column after column.
template <class T>
void append_columns(OutputFile& file, const MatrixView<T>& X) {
  const auto bytes = [&](const T* numbers, Index count) {
    return std::string_view(reinterpret_cast<const char*>(numbers), static_cast<std::size_t>(count) * sizeof(T));
  };
  if (is_little_endian && X.outerStride() == X.rows()) return file.write(bytes(X.data(), X.size()));
  Vector<T> turned;
  for (Index column = 0; column < X.cols(); ++column) {
    const T* numbers = X.data() + column * X.outerStride();
    if constexpr (!is_little_endian) {
      turned = X.col(column).unaryExpr([](T number) { return little_endian(number); });
      numbers = turned.data();
    }
    file.write(bytes(numbers, X.rows()));
  }
}

/// The contents of a .npy file.
struct Npy {
  NpyHeader header;
  std::string_view bytes;  ///< of the numbers
};

inline Npy parse_npy(const std::string& path, std::string_view bytes) {
  require_no_other_format(path, bytes);
  if (!bytes.starts_with("\x93NUMPY")) file_error(path, "is no .npy file: it does not begin with \\x93NUMPY");
  // Magic, two bytes of version, the header's length (two bytes in version 1, four later), the header, the data.
  const int version = bytes.size() > 6 ? static_cast<unsigned char>(bytes[6]) : 0;
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  if (bytes.size() < 8 + length_bytes) file_error(path, "is truncated: it ends inside its .npy header");
  if (version < 1 || version > 3) file_error(path, "has .npy format version ", version, "; 1, 2 and 3 can be read");
  std::uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, length_bytes);
  length = little_endian(length);
  bytes.remove_prefix(8 + length_bytes);
  if (bytes.size() < length) file_error(path, "is truncated: it ends inside its .npy header");
  return {NpyHeaderReader(path, bytes.substr(0, length)).read(), bytes.substr(length)};
}

/// The shape (N, d) of a table of samples.
struct NpyShape {
  Index N, d;
};
inline NpyShape npy_shape(const std::string& path, const NpyHeader& header) {
  if (header.shape.size() > 2)
    file_error(path, "has ", header.shape.size(),
               " dimensions; at most 2 can be read, (N, d): save x.reshape(len(x), -1)");
  const Index N = header.shape.empty() ? 1 : header.shape[0];
  const Index d = header.shape.size() < 2 ? 1 : header.shape[1];
  // Nothing would be the end of N samples of nothing.
  if ((N == 0 && d > longest_empty_side) || (d == 0 && N > 0))
    file_error(path, "has shape (", N, ", ", d, "): ", d == 0 ? "samples without numbers" : "too large");
  return {N, d};
}

/// Calls copy(Stored()) with the type of a dtype's numbers.
template <class Copy>
void with_stored_type(const std::string& path, const std::string& dtype, Copy copy) {
  if (!with_number_type(number_type_of_npy(dtype), copy)) file_error(path, refused_dtype(dtype));
}

/// An open .npy file, of which the header was read.
struct NpyFile {
  explicit NpyFile(const std::string& name) : path(name), file(open_file(name, size)) {
    constexpr std::size_t most_header = std::size_t{1} << 20;
    head = read_part(path, file.get(), 0, std::min(size, most_header));
    const Npy parsed = parse_npy(path, head);
    header = parsed.header;
    data = head.size() - parsed.bytes.size();
    shape = npy_shape(path, header);
  }

  std::string path;
  std::size_t size = 0;
  File file;
  std::string head;
  NpyHeader header;
  std::size_t data = 0;  ///< where the numbers begin
  NpyShape shape{0, 0};
};

/// Throws std::invalid_argument unless the file has these samples; `call` asks for them.
inline void require_columns(const NpyFile& npy, const Columns& columns, const char* call) {
  const Index N = npy.shape.N;
  extend::require(columns.first >= 0 && columns.count >= 0 && columns.first <= N - columns.count,
                  {call, ": columns ", columns.first, " … ", columns.first + columns.count - 1, " of '", npy.path,
                   "' are asked for, which has ", N, " samples"});
}

}  // namespace io

/// Reads a .npy file (format versions 1.0 to 3.0) as a matrix of T, float or double:
///
///   shape (N, d) → d × N, one column per sample;   (N,) → 1 × N;   () → 1 × 1;
///
/// C or Fortran order, dtypes <f4 <f8 <i4 <i8 |u1 and <f2 |b1 |i1 <i2 <u2 <u4 <u8, converted to T: the nearest one.
/// Entries that are not finite are kept as they are. An array of weights is no table of samples: see read_npy_array.
///
/// Throws std::runtime_error when the file cannot be read, is no .npy file, is truncated or longer than its header
/// says, has another dtype (big-endian, objects, …), more than two dimensions or samples without numbers, (N, 0), and,
/// for float, when it holds a finite number beyond float's range. Format: NumPy, numpy.lib.format.
template <class T = double>
Matrix<T> read_npy(const std::string& path) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "read_npy<T>: T must be float or double");
  const std::string file = io::read_file(path);
  const io::Npy parsed = io::parse_npy(path, file);
  const io::NpyHeader& header = parsed.header;  // no structured binding: clang 16 captures none
  const std::string_view bytes = parsed.bytes;
  const io::NpyShape shape = io::npy_shape(path, header);
  Matrix<T> X;
  io::with_stored_type(path, header.dtype, [&]<class Stored>(Stored) {
    io::copy_npy<Stored>(path, bytes, header.fortran_order, shape.N, shape.d, X);
  });
  return X;
}

/// How many samples a .npy file has, N of its shape (N, d), by its header alone. Throws what read_npy does.
inline Index npy_samples(const std::string& path) { return io::NpyFile(path).shape.N; }

/// Some samples of a .npy file, d × count: no other part of the file is read, so that a rank, or a loop over parts,
/// need not have memory for all.
///
///   const sm::Columns mine = sm::shard(sm::npy_samples("data.npy"), ranks);
///   const Eigen::MatrixXd X = sm::read_npy("data.npy", mine);
///
/// Throws what read_npy does; std::invalid_argument for samples that the file does not have, std::runtime_error for an
/// array in Fortran order, in which a sample's numbers lie apart.
template <class T = double>
Matrix<T> read_npy(const std::string& path, const Columns& columns) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "read_npy<T>: T must be float or double");
  const io::NpyFile npy(path);
  const auto [N, d] = npy.shape;
  io::require_columns(npy, columns, "read_npy");
  if (npy.header.fortran_order && N > 1 && d > 1)
    io::file_error(path, "is in Fortran order, of which no part can be read: save np.ascontiguousarray(x)");
  Matrix<T> X;
  const Index rows = d;
  io::with_stored_type(path, npy.header.dtype, [&]<class Stored>(Stored) {
    const auto sample = static_cast<std::size_t>(rows) * sizeof(Stored);
    const std::string bytes =
        io::read_part(path, npy.file.get(), npy.data + static_cast<std::size_t>(columns.first) * sample,
                      static_cast<std::size_t>(columns.count) * sample);
    io::copy_npy<Stored>(path, bytes, false, columns.count, rows, X);
  });
  return X;
}

/// Reads a .npy file as the array that NumPy shows: shape (r, c) → r × c, (n,) → n × 1, () → 1 × 1. That is how weights
/// are kept: PyTorch's Linear has weight (out, in) and bias (out,), as theta("W", out, in) and theta("b", out).
/// (read_npy would give them transposed, which a square matrix does not show.) Throws what read_npy does.
template <class T = double>
Matrix<T> read_npy_array(const std::string& path) {
  return read_npy<T>(path).transpose();
}

/// Writes a d × N matrix of float or double, one column per sample, as a .npy file (version 1.0) of shape (N, d), '<f4'
/// or '<f8'. A column vector is one sample, shape (1, d); a row vector is N samples of one number, shape (N, 1). The
/// file appears complete or not at all. Throws std::invalid_argument for samples without numbers, 0 × N with N > 0,
/// std::runtime_error when it cannot be written.
template <class Derived>
void write_npy(const std::string& path, const Eigen::MatrixBase<Derived>& X) {
  using T = typename Derived::Scalar;
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "write_npy: X must be of float or double");
  const MatrixView<T> view(X.derived());
  extend::require(view.rows() > 0 || view.cols() == 0, {"X is 0 × ", view.cols(), ": samples without numbers"});

  io::OutputFile file(path);
  file.write(
      io::npy_header(std::is_same_v<T, float> ? "<f4" : "<f8", detail::text("(", view.cols(), ", ", view.rows(), ")")));
  io::append_columns<T>(file, view);
  file.finish();
}

}  // namespace scorematch
