// The reader of .npz files, whatever the bytes: of an archive, of an array in a sound archive, of deflated bytes alone.
// It refuses, or gives as many numbers as the file has room for, which write_npz writes so that the same bits are read
// again.
#include "scorematch/io/npz.hpp"

#include "fuzz.hpp"

namespace fuzz {

const char* const name = "npz";

namespace {

namespace sm = scorematch;

std::string from_hex(std::string_view digits) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes += static_cast<char>(16 * digit(digits[i]) + digit(digits[i + 1]));
  return bytes;
}

// Of zlib: the same text by words of its own, by fixed ones, and stored; and np.savez_compressed(…, W=…, b=…).
constexpr std::string_view deflated =
    "a5cdb10d02510c03d0557e7f6c40c924899dd8141c12c7fe2257424ba4148e9e9503cf57ad47bce1fbaecb3abef2baefebb66dd7"
    "9ff3bf0c59695b4c87142e66c78ca8a0cd265da144658b551e4309dde984dae128010c52dda7c554dd945b1d0388791299a76425"
    "7a161f";
constexpr std::string_view deflated_by_fixed_words =
    "2b4ece2f4a55c84d2c49cec8cc4bd7512846e12b64e629386b6b5ba30953aa2c392935292323233d252923313d3d31233525292d"
    "1108d253d21353323252d25252325213d393925393d2d253525333806a52d2d393d3d292329292d3d33212331253d39393531253"
    "52d2d3d2406a93815a33d252d233d2d2d312810a529281962426258154a6a42625a701713200";
constexpr std::string_view not_deflated =
    "012800d7ff73636f7265206d61746368696e672c2073636f7265206d61746368696e6720696e20432b2b3b2073";
constexpr std::string_view savez_compressed =
    "504b0304140000000800000021008e13d43457000000b000000005001400572e6e707901001000b0000000000000005700000000"
    "0000009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9366a1aea3a09e965f54529498179f5f94920a12774bcc294e058a"
    "17672416a402f91ac63a0a469a3a0ab50a64032e0614f0c11eca7080501c505a004a8b380000504b030414000000080000002100"
    "c6a8a656460000008400000005001400622e6e707901001000840000000000000046000000000000009bec17ea1b10c9c850c650"
    "ad9e925a9c5ca46ea5a06e9366a2aea3a09e965f54529498179f5f94920a12774bcc294e058a17672416a402f91a9a3a0ab50a14"
    "012e0606060700504b01021403140000000800000021008e13d43457000000b00000000500000000000000000000008001000000"
    "00572e6e7079504b0102140314000000080000002100c6a8a656460000008400000005000000000000000000000080018e000000"
    "622e6e7079504b05060000000002000200660000000b0100000000";

/// An archive of these members, as write_npz makes it; by zip64 where `most` is low.
std::string archive(const std::vector<std::pair<std::string, std::string>>& members, std::uint64_t most = 0xFFFFFFFF) {
  const std::string path = path_of(".written");
  sm::io::ZipWriter writer(path, most);
  for (const auto& [its_name, bytes] : members) writer.add(its_name, bytes);
  writer.finish();
  return content(path);
}

std::string array(const char* dtype, const char* shape, std::size_t bytes, bool fortran = false) {
  std::string all = sm::io::npy_header(dtype, shape);
  if (fortran) all.replace(all.find("False"), 5, "True ");
  for (std::size_t i = 0; i < bytes; ++i) all += static_cast<char>(37 * i);
  return all;
}

bool same(const sm::Tensors& a, const sm::Tensors& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& one, const auto& other) {
    const Eigen::VectorXd &x = one.second.values, &y = other.second.values;
    return one.first == other.first && one.second.shape == other.second.shape && x.size() == y.size() &&
           (x.size() == 0 || std::memcmp(x.data(), y.data(), sizeof(double) * static_cast<std::size_t>(x.size())) == 0);
  });
}

/// Whether bytes are deflated: `input` begins with two bytes that have the size.
bool inflates(std::string_view input) {
  if (input.size() < 2) return false;
  const auto byte = [&](std::size_t at) { return static_cast<std::size_t>(static_cast<unsigned char>(input[at])); };
  const std::size_t size = byte(0) + 256 * byte(1);
  const std::string label = "input";
  return runs([&] {
    const std::string out = sm::io::Inflater(label, input.substr(2), size).inflate();
    require(out.size() == size, "inflated to another size");
  });
}

}  // namespace

// An input: a letter, and for # an archive, for @ a .npy file to be put into one, for ~ a size and deflated bytes.
std::vector<std::string> seeds() {
  const std::string one = array("<f8", "(2,)", 16), two = array("<f4", "()", 4);
  std::vector<std::string> all = {'#' + archive({}), '#' + archive({{"W.npy", one}}),
                                  '#' + archive({{"a/b.npy", two}, {"\303\251.npy", array("|b1", "(0, 3)", 0)}}),
                                  '#' + archive({{"W.npy", one}, {"v.npy", two}}, 1), '#' + from_hex(savez_compressed)};
  for (const std::string& file : {array("<f8", "(2, 3, 2)", 96, true), array("<f2", "(3, 2)", 12, true),
                                  array("<i2", "(2, 1, 2)", 8), array("|u1", "(5,)", 5)})
    all.push_back('@' + file);
  for (const auto& [hex, size] :
       {std::pair(deflated, "\xED"), std::pair(deflated_by_fixed_words, "\xED"), std::pair(not_deflated, "\x28")})
    for (int i = 0; i < 2; ++i) all.push_back('~' + std::string(size) + '\0' + from_hex(hex));
  return all;
}

std::vector<std::string> words() {
  return {"PK\1\2",
          "PK\3\4",
          "PK\5\6",
          "PK\6\6",
          "PK\6\7",
          "PK\7\10",
          ".npy",
          "W.npy",
          "/",
          "data.pkl",
          std::string(2, '\0'),
          std::string(4, '\0'),
          std::string(4, '\377'),
          std::string(8, '\0'),
          std::string(8, '\377'),
          {"\10\0", 2},
          {"\1\0\20\0", 4},
          {"\1\0\30\0", 4},
          "'descr': ",
          "'shape': ",
          "(2, 3, 2)",
          "(0, 9223372036854775807)",
          "(1, 1, 1, 1, 1, 1, 1, 1)",
          "True",
          "False",
          "<f8",
          "<f4",
          "|b1",
          "|O",
          "\377",
          "\303"};
}

bool accepts(std::string_view input) {
  const char kind = input.empty() ? '#' : input.front();
  if (!input.empty()) input.remove_prefix(1);
  if (kind == '~') return inflates(input);
  const std::string bytes = kind == '@' ? archive({{"a.npy", std::string(input)}}) : std::string(input);
  sm::Tensors tensors;
  if (!runs([&] { tensors = sm::io::chosen("input", sm::io::npz_of("input", bytes), {}); })) return false;
  std::size_t numbers = 0;
  for (const auto& one : tensors) {
    const sm::Tensor& tensor = one.second;  // no structured binding: clang 16 captures none
    require(sm::Tensor::count(tensor.shape) == tensor.values.size(), "a shape that is not that of the values");
    numbers += static_cast<std::size_t>(tensor.values.size());
    (void)runs([&] { require(tensor.samples().size() == tensor.values.size(), "a matrix of another size"); });
  }
  require(numbers <= 1032 * bytes.size(), "more numbers than bytes");
  const std::string written = path_of(".written");
  if (!runs([&] { sm::write_npz(written, tensors); })) return true;  // names that NumPy would not read
  require(same(sm::read_npz(written), tensors), "written it reads back as something else");
  return true;
}

}  // namespace fuzz
