// Files of tensors by name, .safetensors, both ways: the format of Hugging Face, which PyTorch, JAX and others write.
//
// Eight bytes have the length n of the header, little-endian; n bytes of JSON follow, and then the numbers, row-major
// and little-endian, without gaps. data_offsets count from the end of the header:
//
//   {"__metadata__": {"made by": "…"}, "network.0.bias": {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}, …}
//
// Nothing is assumed of a file: where it does not agree with itself it is refused with a sentence. Format: the README
// of github.com/huggingface/safetensors.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "scorematch/io/byte_order.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/io/json_text.hpp"
#include "scorematch/io/stored_number.hpp"
#include "scorematch/io/tensor.hpp"
#include "scorematch/io/utf8.hpp"

namespace scorematch {

/// Options of write_safetensors.
struct SafetensorsOptions {
  Dtype dtype = Dtype::f64;                          ///< of all tensors
  std::map<std::string, std::string> metadata = {};  ///< "__metadata__": any words, in UTF-8

  /// Throws std::invalid_argument for metadata that are not UTF-8.
  void validate() const {
    for (const auto& [key, value] : metadata)
      extend::require(io::first_not_utf8(key) == key.npos && io::first_not_utf8(value) == value.npos,
                      {"SafetensorsOptions: metadata ", io::in_quotes(key), " is not UTF-8"});
  }
};

namespace io {

inline constexpr std::size_t most_safetensors_header = 100'000'000;  ///< bytes, as in the format's own reader

/// A tensor as the header has it.
struct SafetensorsEntry {
  std::string name, dtype;
  std::vector<Index> shape;
  Index begin = 0, end = 0;  ///< its bytes, from the end of the header
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< in the order of their bytes
  std::map<std::string, std::string> metadata;
};

/// NumPy's name of a type that .safetensors files name, and "" for one that is not read.
inline std::string_view number_type_of(std::string_view dtype) {
  constexpr std::pair<std::string_view, std::string_view> types[] = {
      {"F64", "f8"}, {"F32", "f4"}, {"F16", "f2"}, {"BF16", "bf16"}, {"I64", "i8"}, {"I32", "i4"}, {"I16", "i2"},
      {"I8", "i1"},  {"U64", "u8"}, {"U32", "u4"}, {"U16", "u2"},    {"U8", "u1"},  {"BOOL", "b1"}};
  for (const auto& [its_name, numpys] : types)
    if (dtype == its_name) return numpys;
  return {};
}

/// Reads the header, which says what it likes: only its form is checked here.
class SafetensorsHeaderReader {
 public:
  SafetensorsHeaderReader(const std::string& path, std::string_view text) : json_(path, "header", text) {}

  SafetensorsHeader read() {
    SafetensorsHeader header;
    std::unordered_set<std::string> names;
    json_.for_each('{', '}', "around the header", [&] {
      std::string name = json_.string("of a tensor's name");
      if (!names.insert(name).second) json_.malformed("a second tensor " + in_quotes(name));
      json_.expect(':', "after a tensor's name");
      if (name == "__metadata__")
        read_metadata(header.metadata);
      else
        header.entries.push_back(read_entry(std::move(name)));
    });
    if (!json_.at_end()) json_.malformed("more than one object: bytes after '}'");
    return header;
  }

 private:
  void read_metadata(std::map<std::string, std::string>& metadata) {
    json_.for_each('{', '}', "around __metadata__", [&] {
      std::string key = json_.string("of a key of __metadata__");
      json_.expect(':', "after a key of __metadata__");
      if (metadata.contains(key)) json_.malformed("a second key " + in_quotes(key) + " of __metadata__");
      metadata.emplace(std::move(key), json_.string("of a text of __metadata__"));
    });
  }

  SafetensorsEntry read_entry(std::string name) {
    SafetensorsEntry entry;
    entry.name = std::move(name);
    const std::string of = "of tensor " + in_quotes(entry.name);
    std::vector<Index> offsets;
    bool has_dtype = false, has_shape = false, has_offsets = false;
    const auto once = [&](bool& found, std::string_view key) {
      if (found) json_.malformed(detail::text("a second ", in_quotes(key), " ", of));
      found = true;
    };
    json_.for_each('{', '}', of.c_str(), [&] {
      const std::string key = json_.string(of.c_str());
      json_.expect(':', of.c_str());
      if (key == "dtype") {
        once(has_dtype, key);
        entry.dtype = json_.string(of.c_str());
      } else if (key == "shape") {
        once(has_shape, key);
        entry.shape = naturals(of);
      } else if (key == "data_offsets") {
        once(has_offsets, key);
        offsets = naturals(of);
      } else {
        json_.malformed(detail::text(in_quotes(key), " ", of, ", which has dtype, shape and data_offsets,"));
      }
    });
    if (!has_dtype || !has_shape || !has_offsets)
      json_.malformed(detail::text("no ", !has_dtype ? "dtype" : !has_shape ? "shape" : "data_offsets", " ", of));
    if (offsets.size() != 2) json_.malformed(detail::text("data_offsets of ", offsets.size(), " numbers, not 2, ", of));
    entry.begin = offsets[0];
    entry.end = offsets[1];
    return entry;
  }

  std::vector<Index> naturals(const std::string& of) {
    std::vector<Index> numbers;
    json_.for_each('[', ']', of.c_str(), [&] { numbers.push_back(json_.natural(of.c_str())); });
    return numbers;
  }

  JsonText json_;
};

/// Checks that the tensors cover the `size` bytes after the header once, in any order, and puts them in their order.
inline void order_entries(const std::string& path, std::vector<SafetensorsEntry>& entries, Index size) {
  std::sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  Index covered = 0;
  const std::string* before = nullptr;
  for (const auto& [name, dtype, shape, begin, end] : entries) {
    if (end < begin)
      file_error(path, "has tensor ", in_quotes(name), " at data_offsets [", begin, ", ", end,
                 "], which end before they begin");
    if (end > size)
      file_error(path, "is truncated: tensor ", in_quotes(name), " is at data_offsets [", begin, ", ", end, "], and ",
                 size, " bytes follow the header");
    if (begin < covered)
      file_error(path, "has tensors that overlap: ", in_quotes(*before), " ends at ", covered, ", and ",
                 in_quotes(name), " begins at ", begin);
    if (begin > covered)
      file_error(path, "has a gap: ", begin - covered, " bytes before tensor ", in_quotes(name),
                 " belong to no tensor (its data_offsets begin at ", begin, ")");
    covered = end;
    before = &name;
  }
  if (covered != size)
    file_error(path, "is longer than its header says: ", size - covered, " bytes follow the last tensor's");
}

/// The header of a file, checked against the file's size; `numbers` are the bytes after it.
inline SafetensorsHeader parse_safetensors(const std::string& path, std::string_view file, std::string_view& numbers) {
  constexpr std::string_view none = "is no .safetensors file: ";
  if (file.starts_with("\x93NUMPY")) file_error(path, none, "it is one array, a .npy file");
  if (file.size() < 9 || file[8] != '{') {
    require_no_other_format(path, file);  // a header's length may have the first bytes of others
    file_error(path, none, "no header begins with '{' at its byte 8");
  }
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  length = little_endian(length);
  file.remove_prefix(8);
  if (length > file.size())
    file_error(path, "is truncated, or no .safetensors file: its header has ", length, " bytes, it says, and ",
               file.size(), " follow");
  if (length > most_safetensors_header)
    file_error(path, "has a header of ", length, " bytes; at most ", most_safetensors_header, " are read");
  numbers = file.substr(static_cast<std::size_t>(length));
  SafetensorsHeader header = SafetensorsHeaderReader(path, file.substr(0, static_cast<std::size_t>(length))).read();
  order_entries(path, header.entries, static_cast<Index>(numbers.size()));
  return header;
}

/// All tensors of a file, in the order of their bytes.
inline std::vector<ReadTensor> safetensors_of(const std::string& path, std::string_view file,
                                              std::map<std::string, std::string>& metadata) {
  std::string_view numbers;
  SafetensorsHeader header = parse_safetensors(path, file, numbers);
  metadata = std::move(header.metadata);
  std::vector<ReadTensor> all;
  for (SafetensorsEntry& entry : header.entries) {
    const std::string_view bytes =
        numbers.substr(static_cast<std::size_t>(entry.begin), static_cast<std::size_t>(entry.end - entry.begin));
    ReadTensor read{std::move(entry.name), {std::move(entry.shape), {}}};
    const auto decode = [&]<class Stored>(Stored) {
      const Index count = Tensor::count(read.tensor.shape);
      const auto size = static_cast<Index>(sizeof(Stored));
      if (count < 0 || bytes.size() % sizeof(Stored) != 0 || count != static_cast<Index>(bytes.size()) / size)
        file_error(path, "has tensor ", in_quotes(read.name), " of shape ", read.tensor.shape_text(), " and dtype ",
                   entry.dtype, " in ", bytes.size(), " bytes; each number takes ", size);
      read.tensor.values = as_doubles<Stored>(bytes);
    };
    if (!with_number_type(number_type_of(entry.dtype), decode))
      read.refusal = detail::text("has tensor ", in_quotes(read.name), " of dtype ", in_quotes(entry.dtype),
                                  "; F64, F32, F16, BF16, BOOL and integers can be read");
    all.push_back(std::move(read));
  }
  return all;
}

/// The header of `tensors`, padded with spaces so that the numbers begin at a multiple of 8 bytes.
inline std::string safetensors_header(const Tensors& tensors, const SafetensorsOptions& options) {
  std::string json = "{";
  if (!options.metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : options.metadata) {
      if (json.back() != '{') json += ',';
      append_json_string(json, key);
      json += ':';
      append_json_string(json, value);
    }
    json += '}';
  }
  const Index bytes_each = options.dtype == Dtype::f64 ? 8 : options.dtype == Dtype::f32 ? 4 : 2;
  Index end = 0;
  for (const auto& [name, tensor] : tensors) {
    if (json.size() > 1) json += ',';
    append_json_string(json, name);
    json += detail::text(":{\"dtype\":\"", to_string(options.dtype), "\",\"shape\":[");
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      if (i > 0) json += ',';  // "," + std::string warns at -O3 (GCC bug 105651)
      json += std::to_string(tensor.shape[i]);
    }
    json += detail::text("],\"data_offsets\":[", end, ",", end + bytes_each * tensor.values.size(), "]}");
    end += bytes_each * tensor.values.size();
  }
  json += '}';
  json.resize((json.size() + 7) / 8 * 8, ' ');
  return json;
}

}  // namespace io

/// Reads a .safetensors file: all its tensors, or those of `names` alone.
///   const sm::Tensors weights = sm::read_safetensors("net.safetensors");
///   const Eigen::MatrixXd W = weights.at("network.0.weight").matrix();   // out × in
/// Numbers of dtype F64, F32, F16, BF16, BOOL and integers become doubles: the nearest ones. Numbers that are not
/// finite are kept as they are.
///
/// Throws std::runtime_error, which says what was found and where, when the file cannot be read or is no .safetensors
/// file, when its header is no JSON of the format (malformed, a name twice, no UTF-8, more than 10⁸ bytes), when
/// tensors overlap, leave bytes out or reach beyond the file, have another size than shape and dtype say, or, of those
/// asked for, another dtype; std::invalid_argument where the file lacks one of `names`.
inline Tensors read_safetensors(const std::string& path, const std::vector<std::string>& names = {}) {
  std::map<std::string, std::string> metadata;
  return io::chosen(path, io::safetensors_of(path, io::read_file(path), metadata), names);
}

/// The "__metadata__" of a .safetensors file: words by key, none where it has none. Throws as read_safetensors does.
inline std::map<std::string, std::string> read_safetensors_metadata(const std::string& path) {
  std::string_view numbers;
  const std::string file = io::read_file(path);
  return io::parse_safetensors(path, file, numbers).metadata;
}

/// Writes tensors as a .safetensors file, sorted by name, as F64 unless options say otherwise; a number that the dtype
/// does not hold is rounded to the nearest, ties to even. The file appears complete or not at all.
///   sm::write_safetensors("draws.safetensors", {{"points", draws.points.transpose()}, {"log_weights", w}});
///   sm::write_safetensors("net.safetensors", sm::Tensors(model.named_parameters()), {.dtype = sm::Dtype::f32});
/// Throws std::invalid_argument for a name that is not UTF-8 or "__metadata__", for values that are not as many as the
/// shape says, and for a finite number beyond the dtype's range; std::runtime_error when it cannot be written.
inline void write_safetensors(const std::string& path, const Tensors& tensors, const SafetensorsOptions& options = {}) {
  options.validate();
  for (const auto& [name, tensor] : tensors) {
    extend::require(io::first_not_utf8(name) == name.npos,
                    {"the name ", io::in_quotes(name), " of a tensor to be written is not UTF-8"});
    extend::require(name != "__metadata__", {"no tensor can be named '__metadata__': the file's metadata are"});
    tensor.require_sound("tensor " + io::in_quotes(name));
  }
  const std::string header = io::safetensors_header(tensors, options);
  extend::require(header.size() <= io::most_safetensors_header,
                  {"the names of the tensors take ", header.size(), " bytes; no reader takes more than ",
                   io::most_safetensors_header});
  io::OutputFile file(path);
  const std::uint64_t length = io::little_endian(std::uint64_t{header.size()});
  file.write({reinterpret_cast<const char*>(&length), 8});
  file.write(header);
  for (const auto& [name, tensor] : tensors)
    file.write(io::as_bytes(tensor.values, options.dtype, "tensor " + io::in_quotes(name)));
  file.finish();
}

}  // namespace scorematch
