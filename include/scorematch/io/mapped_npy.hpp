// Samples that stay in their file: data larger than memory.
//
//   const auto X = sm::map_npy<float>("data.npy");
//   const auto fit = sm::fit(model, objective, X);   // and wherever else a matrix of samples is taken
//
// Every loss, fit and closed form reads its data block by block, and makes no copy; so the system needs to hold no more
// than the blocks in work. It keeps what it has room for.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "scorematch/check.hpp"
#include "scorematch/io/columns.hpp"
#include "scorematch/io/mapped_file.hpp"
#include "scorematch/io/npy.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// The samples of a .npy file as a d × N matrix of T that can be read only. Copies share the file, which is open until
/// the last is gone.
template <class T>
class MappedSamples : public Eigen::Map<const Matrix<T>> {
 public:
  /// `samples`: d × N numbers of T within the file, which stays mapped.
  MappedSamples(std::shared_ptr<const io::MappedFile> file, const T* samples, Index d, Index N)
      : Eigen::Map<const Matrix<T>>(samples, d, N), file_(std::move(file)) {}

 private:
  std::shared_ptr<const io::MappedFile> file_;
};

namespace io {

/// Throws std::runtime_error unless the file's numbers are a d × N matrix of T as they lie.
template <class T>
void require_mappable(const NpyFile& npy) {
  const char* const own = std::is_same_v<T, float> ? "<f4" : "<f8";
  if (npy.header.dtype != own)
    file_error(npy.path, "has dtype ", in_quotes(npy.header.dtype), " and cannot be mapped as ",
               std::is_same_v<T, float> ? "float" : "double", ", ", own,
               npy.header.dtype == "<f8"   ? ": map_npy<double> maps it"
               : npy.header.dtype == "<f4" ? ": map_npy<float> maps it"
                                           : detail::text(": save x.astype('", own, "')"));
  if (!is_little_endian)
    file_error(npy.path, "cannot be mapped: its numbers are little-endian, this machine's are not");
  const auto [N, d] = npy.shape;
  if (npy.header.fortran_order && N > 1 && d > 1)
    file_error(npy.path, "is in Fortran order, in which a sample's numbers lie apart: save np.ascontiguousarray(x)");
  const std::size_t room = npy.size - npy.data;
  if (npy.data % alignof(T) != 0)
    file_error(npy.path, "cannot be mapped: its numbers begin at byte ", npy.data, "; np.save would align them");
  const bool fits = d == 0 || static_cast<std::size_t>(N) <= room / sizeof(T) / static_cast<std::size_t>(d);
  if (!fits || static_cast<std::size_t>(N) * static_cast<std::size_t>(d) * sizeof(T) != room)
    file_error(npy.path, fits ? "does not hold what its header says: " : "is truncated: ", "shape (", N, ", ", d,
               ") needs ", static_cast<double>(N) * static_cast<double>(d) * sizeof(T), " bytes of data, and ", room,
               " are there");
}

/// These samples of an open file.
template <class T>
MappedSamples<T> map_columns(const NpyFile& npy, const Columns& columns) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "map_npy<T>: T must be float or double");
  require_mappable<T>(npy);
  require_columns(npy, columns, "map_npy");
  auto file = std::make_shared<const MappedFile>(npy.path, npy.file.get(), npy.size);
  const auto* const samples = reinterpret_cast<const T*>(file->data() + npy.data);
  return {std::move(file), samples + columns.first * npy.shape.d, npy.shape.d, columns.count};
}

}  // namespace io

/// The samples of a .npy file (shape (N, d), C order, dtype <f8 for double and <f4 for float) as a d × N matrix, one
/// column per sample, of which no part is read before it is used. The file may be larger than memory; it must not be
/// written over while it is mapped (write_npy and NpyWriter replace a file, and leave the old one to who has it).
///
/// Throws std::runtime_error, with the remedy, when the file cannot be read, is no .npy file, is truncated, or has
/// another dtype or order. NpyWriter's and np.save's files can be mapped; csv_to_npy makes one of a table of any size.
template <class T = double>
MappedSamples<T> map_npy(const std::string& path) {
  const io::NpyFile npy(path);
  return io::map_columns<T>(npy, {0, npy.shape.N});
}

/// The same for some of the samples, a rank's:
///
///   const auto X = sm::map_npy<float>("data.npy", sm::shard(sm::npy_samples("data.npy"), ranks));
///
/// Throws std::invalid_argument, too, for samples that the file does not have.
template <class T = double>
MappedSamples<T> map_npy(const std::string& path, const Columns& columns) {
  return io::map_columns<T>(io::NpyFile(path), columns);
}

}  // namespace scorematch
