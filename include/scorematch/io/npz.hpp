// NumPy's .npz files, both ways: a zip archive with a .npy file for each array.
//
//   weights = np.load("net.npz"); weights["W"]        # after write_npz("net.npz", {{"W", W}, {"b", b}})
//   np.savez("net.npz", W=W, b=b)                     # read_npz("net.npz").at("W").matrix()
//   np.savez("net.npz", **{name: value.numpy() for name, value in network.state_dict().items()})   # PyTorch
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "scorematch/io/file.hpp"
#include "scorematch/io/npy.hpp"
#include "scorematch/io/stored_number.hpp"
#include "scorematch/io/tensor.hpp"
#include "scorematch/io/utf8.hpp"
#include "scorematch/io/zip.hpp"

namespace scorematch {
namespace io {

/// The array of a .npy file's bytes, of any number of dimensions; `file` names it in messages.
inline ReadTensor npy_tensor(const std::string& file, std::string name, std::string_view bytes) {
  Npy npy = parse_npy(file, bytes);
  ReadTensor read{std::move(name), {std::move(npy.header.shape), {}}};
  std::vector<Index>& shape = read.tensor.shape;
  constexpr std::size_t most = 64;  // NumPy's own limit
  if (shape.size() > most) file_error(file, "has ", shape.size(), " dimensions; at most ", most, " can be read");
  const auto decode = [&]<class Stored>(Stored) {
    const Index count = Tensor::count(shape);
    if (count < 0 || npy.bytes.size() % sizeof(Stored) != 0 ||
        count != static_cast<Index>(npy.bytes.size() / sizeof(Stored)))
      file_error(file, "does not hold what its header says: an array of shape ", read.tensor.shape_text(),
                 " and dtype ", npy.header.dtype, ", and ", npy.bytes.size(), " bytes are there");
    read.tensor.values = as_doubles<Stored>(npy.bytes);
  };
  if (!with_number_type(number_type_of_npy(npy.header.dtype), decode)) {
    read.refusal = refused_dtype(npy.header.dtype);
  } else if (npy.header.fortran_order && shape.size() > 1) {  // the first index runs fastest
    const Eigen::VectorXd found = std::move(read.tensor.values);
    read.tensor.values.resize(found.size());
    std::vector<Index> at(shape.size(), 0);
    for (Index i = 0; i < found.size(); ++i) {
      Index place = 0;
      for (std::size_t k = 0; k < shape.size(); ++k) place = place * shape[k] + at[k];
      read.tensor.values[place] = found[i];
      for (std::size_t k = 0; k < shape.size() && ++at[k] == shape[k]; ++k) at[k] = 0;
    }
  }
  return read;
}

/// All arrays of an archive, in its order.
inline std::vector<ReadTensor> npz_of(const std::string& path, std::string_view file) {
  if (file.starts_with("\x93NUMPY")) file_error(path, "is one array, a .npy file: read it by read_npy");
  if (!file.starts_with("PK")) require_no_other_format(path, file);
  std::vector<ReadTensor> all;
  std::unordered_set<std::string> names;
  for (const ZipMember& member : ZipReader(path, file).members()) {
    if (member.name.ends_with("data.pkl"))
      file_error(path,
                 "is a file of torch.save, which holds Python objects: save network.state_dict() by "
                 "safetensors.torch.save_file or numpy.savez");
    if (!member.name.ends_with(".npy"))
      file_error(path, "is no .npz file: it has member ", in_quotes(member.name),
                 ", and all of an .npz are .npy files");
    std::string name = member.name.substr(0, member.name.size() - 4), room;
    if (!names.insert(name).second) file_error(path, "has two arrays ", in_quotes(name));
    const std::string where = path + ": " + member.name;
    all.push_back(npy_tensor(where, std::move(name), unpacked(where, member, room)));
    if (!all.back().refusal.empty())
      all.back().refusal = "has array " + in_quotes(all.back().name) + ", which " + all.back().refusal;
  }
  return all;
}

inline void write_npz(const std::string& path, const Tensors& tensors, Dtype dtype, std::uint64_t most) {
  extend::require(dtype != Dtype::bf16, {"write_npz: NumPy has no dtype bf16; f64, f32 and f16 can be written"});
  for (const auto& [name, tensor] : tensors) {
    const std::string what = "the name " + in_quotes(name) + " of an array to be written ";
    extend::require(first_not_utf8(name) == name.npos, {what, "is not UTF-8"});
    extend::require(name.size() <= 60'000, {what, "has ", name.size(), " bytes; at most 60000 are written"});
    extend::require(name.find('\0') == name.npos, {what, "holds a zero byte, where NumPy would cut it off"});
    tensor.require_sound("array " + in_quotes(name));
    extend::require(tensor.shape.size() <= 64,
                    {"array ", in_quotes(name), " has ", tensor.shape.size(), " dimensions; NumPy reads at most 64"});
  }
  ZipWriter archive(path, most);
  for (const auto& [name, tensor] : tensors) {
    std::string shape = tensor.shape_text();
    if (tensor.shape.size() == 1) shape.insert(shape.size() - 1, ",");  // Python's tuple of one
    const char* const type = dtype == Dtype::f64 ? "<f8" : dtype == Dtype::f32 ? "<f4" : "<f2";
    archive.add(name + ".npy", npy_header(type, shape) + as_bytes(tensor.values, dtype, "array " + in_quotes(name)));
  }
  archive.finish();
}

}  // namespace io

/// Reads an .npz file of numpy.savez or numpy.savez_compressed: all its arrays, or those of `names` alone.
///   const sm::Tensors arrays = sm::read_npz("draws.npz");
///   const Eigen::MatrixXd X = arrays.at("points").samples();    // (N, d) → d × N, as read_npy
///   const Eigen::MatrixXd W = arrays.at("weight").matrix();     // (r, c) → r × c, as read_npy_array
/// Arrays of any number of dimensions, in C or Fortran order, and of the dtypes that read_npy takes become doubles.
/// Numbers that are not finite are kept as they are.
///
/// Throws std::runtime_error, which says what was found and where, when the file cannot be read, is no zip archive or a
/// faulty one (cut off, its two lists of members disagree, members overlap, a checksum is wrong, a name twice,
/// encrypted, another compression than deflate), holds something else than .npy files, or, of those asked for, another
/// dtype; std::invalid_argument where the file lacks one of `names`.
inline Tensors read_npz(const std::string& path, const std::vector<std::string>& names = {}) {
  return io::chosen(path, io::npz_of(path, io::read_file(path)), names);
}

/// Writes arrays as an .npz file, not compressed, sorted by name: as '<f8' unless `dtype` says '<f4' or '<f2'. The file
/// appears complete or not at all.
///   sm::write_npz("draws.npz", {{"points", draws.points.transpose()}, {"log_weights", w}});
/// Throws std::invalid_argument for a name that is not UTF-8 or longer than NumPy reads, for values that are not as
/// many as the shape says, for bf16, and for a finite number beyond the dtype's range; std::runtime_error when it
/// cannot be written.
inline void write_npz(const std::string& path, const Tensors& arrays, Dtype dtype = Dtype::f64) {
  io::write_npz(path, arrays, dtype, 0xFFFFFFFF);
}

}  // namespace scorematch
