// The reader of .safetensors files, whatever the bytes: it refuses, or gives as many numbers as the file has room for,
// which write_safetensors writes so that the same bits are read again.
#include "scorematch/io/safetensors.hpp"

#include "fuzz.hpp"

namespace fuzz {

const char* const name = "safetensors";

namespace {

namespace sm = scorematch;

std::string file(const std::string& header, std::string_view numbers) {
  const std::uint64_t length = sm::io::little_endian(std::uint64_t{header.size()});
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(numbers);
}

bool same(const sm::Tensors& a, const sm::Tensors& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& one, const auto& other) {
    const Eigen::VectorXd &x = one.second.values, &y = other.second.values;
    return one.first == other.first && one.second.shape == other.second.shape && x.size() == y.size() &&
           (x.size() == 0 || std::memcmp(x.data(), y.data(), sizeof(double) * static_cast<std::size_t>(x.size())) == 0);
  });
}

}  // namespace

// An input: a letter, and for # a file, else a header, a byte 1 and the numbers.
std::vector<std::string> seeds() {
  const std::string of_floats(24, '\x3F');
  const std::vector<std::string> headers = {
      "{\"W\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]}}",
      "{\"__metadata__\":{\"format\":\"pt\",\"\\u00e9\":\"\\ud83d\\ude00\"},\"b\":{\"dtype\":\"F64\",\"shape\":[3],"
      "\"data_offsets\":[0,24]}, \"zero\": {\"shape\": [0, 7], \"dtype\": \"F16\", \"data_offsets\": [24, 24]}}  ",
      "{\"a.b/"
      "c\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[0,2]},\"\303\251\":{\"dtype\":\"F16\",\"shape\":[2,"
      "1,2],\"data_offsets\":[2,10]},\"n\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[10,18]},\"t\":{\"dtype\":"
      "\"BOOL\",\"shape\":[6],\"data_offsets\":[18,24]}}"};
  std::vector<std::string> all = {'#' + file("{}", "")};
  for (const std::string& header : headers) {
    all.push_back('#' + file(header, of_floats));
    for (int i = 0; i < 3; ++i) all.push_back('@' + header + '\1' + of_floats);
  }
  return all;
}

std::vector<std::string> words() {
  return {"{",
          "}",
          "[",
          "]",
          ":",
          ",",
          "\"",
          "\\",
          "\"dtype\":",
          "\"shape\":",
          "\"data_offsets\":",
          "\"__metadata__\":",
          "\"F64\"",
          "\"F32\"",
          "\"F16\"",
          "\"BF16\"",
          "\"I64\"",
          "\"I32\"",
          "\"I16\"",
          "\"I8\"",
          "\"U64\"",
          "\"U8\"",
          "\"BOOL\"",
          "\"F8_E4M3\"",
          "[0,24]",
          "[24,24]",
          "[0,0]",
          "[]",
          "[9223372036854775807,2]",
          "[0,9223372036854775807]",
          "\\u0000",
          "\\ud800",
          "\\udc00",
          "\\n",
          "\303\251",
          "\377",
          "\1",
          "null",
          "[[[[[[[[",
          "{\"a\":{\"a\":{\"a\":",
          "\"z\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},",
          std::string(8, '\0')};
}

bool accepts(std::string_view input) {
  const bool is_file = input.starts_with('#');
  if (!input.empty()) input.remove_prefix(1);
  const std::size_t end = std::min(input.find('\1'), input.size());
  const std::string bytes =
      is_file ? std::string(input)
              : file(std::string(input.substr(0, end)), input.substr(std::min(end + 1, input.size())));
  std::map<std::string, std::string> metadata;
  sm::Tensors tensors;
  const auto read = [&] { tensors = sm::io::chosen("input", sm::io::safetensors_of("input", bytes, metadata), {}); };
  if (!runs(read)) return false;
  std::size_t numbers = 0;
  for (const auto& one : tensors) {
    const sm::Tensor& tensor = one.second;  // no structured binding: clang 16 captures none
    require(sm::Tensor::count(tensor.shape) == tensor.values.size(), "a shape that is not that of the values");
    require(sm::io::first_not_utf8(one.first) == one.first.npos, "a name that is not UTF-8");
    numbers += static_cast<std::size_t>(tensor.values.size());
    (void)runs([&] { require(tensor.matrix().size() == tensor.values.size(), "a matrix of another size"); });
  }
  require(numbers <= bytes.size(), "more numbers than bytes");
  const std::string written = path_of(".written");
  sm::write_safetensors(written, tensors, {.metadata = metadata});
  require(same(sm::read_safetensors(written), tensors), "written it reads back as something else");
  require(sm::read_safetensors_metadata(written) == metadata, "metadata read back as something else");
  return true;
}

}  // namespace fuzz
