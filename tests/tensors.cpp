// Tensors by name in files: .safetensors and .npz, as others write them and back, each way in which such a file can be
// wrong, and models that take their parameters from them.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "folder.hpp"
#include "scorematch/io/parameters.hpp"

namespace {

namespace fs = std::filesystem;
namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using sm::Index;
using sm::Tensor;
using sm::Tensors;

constexpr double infinity = std::numeric_limits<double>::infinity();

/// An empty folder of this process, removed at the end.
struct Folder : fixtures::Folder {
  Folder() : fixtures::Folder("tensors") {}
};

std::string from_hex(std::string_view digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  return bytes;
}

bool same_bits(const VectorXd& a, const VectorXd& b) {
  return a.size() == b.size() &&
         (a.size() == 0 || std::memcmp(a.data(), b.data(), sizeof(double) * static_cast<std::size_t>(a.size())) == 0);
}
bool same(const Tensors& a, const Tensors& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.shape == y.second.shape && same_bits(x.second.values, y.second.values);
  });
}

/// A .safetensors file, from the format's description alone.
std::string file_of(const std::string& header, const std::string& numbers = "") {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(header.size() >> (8 * i) & 255);
  return bytes + header + numbers;
}
std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":[" + offsets + "]}";
}

// [[1.5, -2], [0.25, 3], [4, 7]], a row after another.
const std::string floats = from_hex("0000c03f000000c00000803e00004040000080400000e040");
const MatrixXd A{{1.5, -2}, {0.25, 3}, {4, 7}};

/// A model that has parameters and nothing else.
struct Model {
  std::vector<sm::NamedParameter> blocks;
  int set = 0;
  std::vector<sm::NamedParameter> named_parameters() const { return blocks; }
  void set_named_parameters(std::vector<sm::NamedParameter> all) {
    blocks = std::move(all);
    ++set;
  }
};
sm::NamedParameter block(const std::string& name, const MatrixXd& matrix) {
  return {name, matrix.rows(), matrix.cols(), matrix.reshaped()};
}
sm::NamedParameter zeros(const std::string& name, Index rows, Index cols) {
  return block(name, MatrixXd::Zero(rows, cols));
}

}  // namespace

// -------------------------------------------------------------------------------------------------- .safetensors

TEST_CASE("a .safetensors file reads as the tensors that it names, row-major") {
  const Folder folder;
  const std::string header = "{\"__metadata__\":{\"format\":\"pt\"}," +
                             entry("network.0.weight", "F32", "3,2", "0,24") + "," +
                             entry("network.0.bias", "F32", "3", "24,36") + "," + entry("n", "I64", "", "36,44") + "," +
                             entry("none", "F64", "0,5", "44,44") + "," + entry("cube", "U8", "2,1,2", "44,48") + "}  ";
  const std::string path = folder.put(
      "a.safetensors", file_of(header, floats + floats.substr(0, 12) + from_hex("feffffffffffffff000102ff")));
  const Tensors tensors = sm::read_safetensors(path);
  CHECK(tensors.names() == std::vector<std::string>{"cube", "n", "network.0.bias", "network.0.weight", "none"});
  CHECK(tensors.at("network.0.weight").matrix() == A);
  CHECK(tensors.at("network.0.weight").samples() == A.transpose());
  CHECK(tensors.at("network.0.bias").matrix() == Eigen::Vector3d(1.5, -2, 0.25));
  CHECK(tensors.at("n").matrix() == MatrixXd::Constant(1, 1, -2));
  CHECK((tensors.at("none").matrix().rows() == 0 && tensors.at("none").matrix().cols() == 5));
  CHECK(tensors.at("cube").shape == std::vector<Index>{2, 1, 2});
  CHECK(tensors.at("cube").values == Eigen::Vector4d(0, 1, 2, 255));
  CHECK_THROWS_WITH(tensors.at("cube").matrix(), ContainsSubstring("a tensor of shape (2, 1, 2) is no matrix"));
  CHECK_THROWS_WITH(tensors.at("network.0"),
                    ContainsSubstring("there is no tensor 'network.0'; there are: 'cube', 'n'"));
  CHECK(sm::read_safetensors_metadata(path) == std::map<std::string, std::string>{{"format", "pt"}});

  CHECK(sm::read_safetensors(path, {"n", "none"}).names() == std::vector<std::string>{"n", "none"});
  CHECK_THROWS_AS(sm::read_safetensors(path, {"N"}), std::invalid_argument);
  CHECK_THROWS_WITH(sm::read_safetensors(path, {"N"}),
                    ContainsSubstring("has no tensor 'N'; it has: 'network.0.weight'"));
  CHECK(sm::read_safetensors(folder.put("empty", file_of("{}"))).empty());
}

TEST_CASE("tensors are written byte for byte as the format says, and read back the same bits") {
  const Folder folder;
  const std::string path = folder("a.safetensors");
  sm::write_safetensors(path, {{"W", A}, {"b", Eigen::Vector2d(1, 2)}},
                        {.dtype = sm::Dtype::f32, .metadata = {{"k", "v\"\n"}}});
  std::string header = "{\"__metadata__\":{\"k\":\"v\\\"\\u000a\"}," + entry("W", "F32", "3,2", "0,24") + "," +
                       entry("b", "F32", "2", "24,32") + "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  CHECK(sm::io::read_file(path) == file_of(header, floats + from_hex("0000803f00000040")));
  CHECK(sm::read_safetensors_metadata(path).at("k") == "v\"\n");

  const double tiny = std::numeric_limits<double>::denorm_min();
  const Tensors all{{"difficult", Eigen::Vector4d(0.1, -0.0, tiny, 1.0 / 3)},
                    {"not finite", Eigen::Vector3d(infinity, -infinity, std::nan("7"))},
                    {"number", 2.5},
                    {"none", MatrixXd(0, 3)},
                    {"row", Eigen::RowVector3d(1, 2, 3)},
                    {"transposed", A.transpose()},
                    {"cube", Tensor({2, 3, 4}, VectorXd::LinSpaced(24, 0, 1))},
                    {"a.b/c d", 1},
                    {"\303\251\360\237\230\200 \"\\\1\177", 1},
                    {"", 0}};
  sm::write_safetensors(path, all);
  CHECK(same(sm::read_safetensors(path), all));
  CHECK(sm::read_safetensors(path).at("row").shape == std::vector<Index>{1, 3});
  sm::write_npz(folder("a.npz"), all);
  CHECK(same(sm::read_npz(folder("a.npz")), all));
  sm::io::write_npz(folder("a.npz"), all, sm::Dtype::f64, 1);  // all sizes and places by zip64
  CHECK(same(sm::read_npz(folder("a.npz")), all));

  const auto refused = [&](const Tensors& tensors, const std::string& part,
                           const sm::SafetensorsOptions& options = {}) {
    CHECK_THROWS_AS(sm::write_safetensors(folder("b"), tensors, options), std::invalid_argument);
    CHECK_THROWS_WITH(sm::write_safetensors(folder("b"), tensors, options), ContainsSubstring(part));
    CHECK(!fs::exists(folder("b")));
  };
  refused({{"\377", 1}}, "of a tensor to be written is not UTF-8");
  refused({{"__metadata__", 1}}, "__metadata__");
  refused({{"a", Tensor({2, 2}, VectorXd::Ones(3))}}, "tensor 'a' has shape (2, 2) and 3 values");
  refused({{"a", Tensor({-1}, VectorXd())}}, "tensor 'a' has shape (-1) and 0 values");
  refused({{"a", 1e39}}, "tensor 'a' has 1e+39, beyond the range of F32", {.dtype = sm::Dtype::f32});
  refused({{"a", 65520}}, "beyond the range of F16", {.dtype = sm::Dtype::f16});
  refused({{"a", 3.4e38}}, "beyond the range of BF16", {.dtype = sm::Dtype::bf16});
  refused({{"a", 1}}, "is not UTF-8", {.metadata = {{"a", "\300\200"}}});
  CHECK_THROWS_AS(sm::write_npz(folder("b"), {{"a", 1}}, sm::Dtype::bf16), std::invalid_argument);
  CHECK_THROWS_AS(sm::write_npz(folder("b"), {{std::string("a\0b", 3), 1}}), std::invalid_argument);
}

TEST_CASE("numbers of 16 bits: all are read, and each double is written as the nearest") {
  const Folder folder;
  const auto numbers = [&](const std::string& dtype, const std::string& hex) {
    const std::string count = std::to_string(hex.size() / 4), bytes = std::to_string(hex.size() / 2);
    const std::string header = "{" + entry("a", dtype, count, "0," + bytes) + "}";
    return sm::read_safetensors(folder.put("a", file_of(header, from_hex(hex)))).at("a").values;
  };
  // numpy.array([0, 0x1, 0x3ff, 0x400, 0x3c00, 0x7bff, 0x7c00, 0xfc00, 0x8000, 0x3555], '<u2').view('<f2')
  VectorXd halves(10);
  halves << 0, 5.960464477539063e-08, 6.097555160522461e-05, 6.103515625e-05, 1, 65504, infinity, -infinity, -0.0,
      0.333251953125;
  CHECK(same_bits(numbers("F16", "00000100ff030004003cff7b007c00fc00805535"), halves));
  CHECK(std::isnan(numbers("F16", "017e")[0]));
  VectorXd upper(6);  // 1, −2, torch.tensor(math.pi).bfloat16(), 2⁻¹³³, ∞, the largest
  upper << 1, -2, 3.140625, std::ldexp(1.0, -133), infinity, std::ldexp(255.0, 120);
  CHECK(same_bits(numbers("BF16", "803f00c049400100807f7f7f"), upper));
  CHECK(std::isnan(numbers("BF16", "c07f")[0]));

  // Every finite one is its own nearest; a number halfway to the next goes to the even one, beside it to the nearer.
  const auto check = []<class Small>(Small) {
    constexpr unsigned codes = unsigned{Small::largest} * unsigned{Small::fractions};
    const auto number = [](unsigned code) {
      return code == codes ? std::ldexp(1.0, Small::bias + 1)
                           : static_cast<double>(Small{static_cast<std::uint16_t>(code)});
    };
    bool sound = true;
    for (unsigned code = 0; code < codes; ++code) {
      const double here = number(code), next = number(code + 1), middle = 0.5 * (here + next);
      sound = sound && here < next && Small::nearest(here).bits == code &&
              Small::nearest(-here).bits == (code | 0x8000) && Small::nearest(middle).bits == code + code % 2 &&
              Small::nearest(std::nextafter(middle, 0)).bits == code &&
              Small::nearest(std::nextafter(middle, infinity)).bits == code + 1;
    }
    CHECK(sound);
    CHECK(std::isnan(static_cast<double>(Small::nearest(std::nan("")))));
    CHECK(static_cast<double>(Small::nearest(-infinity)) == -infinity);
    CHECK(static_cast<double>(Small::nearest(1e300)) == infinity);
    CHECK(Small::nearest(-1e-300).bits == 0x8000);
  };
  check(sm::io::Half{});
  check(sm::io::BFloat16{});
  for (const sm::Dtype dtype : {sm::Dtype::f16, sm::Dtype::bf16}) {
    sm::write_safetensors(folder("a"), {{"a", Eigen::Vector4d(1.0 / 3, 0, -2, infinity)}}, {.dtype = dtype});
    const VectorXd read = sm::read_safetensors(folder("a")).at("a").values;
    CHECK(read[0] == (dtype == sm::Dtype::f16 ? 0.333251953125 : 0.333984375));
    CHECK(same_bits(read.tail(3), Eigen::Vector3d(0, -2, infinity)));
  }
  sm::write_npz(folder("a.npz"), {{"a", 1.0 / 3}}, sm::Dtype::f16);
  CHECK(sm::read_npz(folder("a.npz")).at("a").values[0] == 0.333251953125);
}

TEST_CASE("a .safetensors file that does not agree with itself is refused with a sentence") {
  const Folder folder;
  const auto refused = [&](const std::string& bytes, const std::string& part) {
    CAPTURE(bytes.substr(0, 300));
    const std::string path = folder.put("bad.safetensors", bytes);
    CHECK_THROWS_AS(sm::read_safetensors(path), std::runtime_error);
    CHECK_THROWS_WITH(sm::read_safetensors(path), ContainsSubstring("bad.safetensors' ") && ContainsSubstring(part));
  };
  const auto header = [&](const std::string& entries, const std::string& part, const std::string& numbers = floats) {
    refused(file_of("{" + entries + "}", numbers), part);
  };
  refused("", "is no .safetensors file");
  refused("a,b\n1,2\n3,4\n", "no header begins with '{' at its byte 8");
  refused(std::string("\x93NUMPY\1\0v\0{'descr'", 18), "a .npy file");
  refused("\x89HDF\r\n\x1a\n 1234567", "is an HDF5 file");
  refused(std::string(8, '\377') + "{", "its header has 18446744073709551615 bytes, it says, and 1 follow");
  refused(file_of("{}").substr(0, 9), "is truncated");

  header(entry("a", "F32", "3,2", "0,24") + "," + entry("a", "F32", "0", "24,24"), "a second tensor 'a'");
  header(entry("a", "F32", "5", "0,20"), "is longer than its header says: 4 bytes follow");
  header(entry("a", "F32", "7", "0,28"), "is truncated: tensor 'a' is at data_offsets [0, 28], and 24 bytes follow");
  header(entry("a", "F32", "3,3", "0,24"), "tensor 'a' of shape (3, 3) and dtype F32 in 24 bytes; each number takes 4");
  header(entry("a", "F64", "3,2", "0,24"), "of shape (3, 2) and dtype F64 in 24 bytes");
  header(entry("a", "F32", "24,0", "0,24"), "of shape (24, 0)");
  header(entry("a", "F32", "4294967296,4294967296", "0,24"), "of shape (4294967296, 4294967296)");
  header(entry("a", "F32", "1676976733973595602,11", "0,24"), "in 24 bytes");  // 2⁶⁴ + 6
  header(entry("a", "F32", "2", "24,16") + "," + entry("b", "F32", "6", "0,24"), "[24, 16], which end before they");
  header(entry("a", "F32", "3", "0,12") + "," + entry("b", "F32", "4", "8,24"),
         "overlap: 'a' ends at 12, and 'b' begins at 8");
  header(entry("a", "F32", "6", "0,24") + "," + entry("b", "F32", "6", "0,24"), "ends at 24, and");
  header(entry("a", "F32", "2", "0,8") + "," + entry("b", "F32", "3", "12,24"), "has a gap: 4 bytes before tensor 'b'");
  header(entry("a", "F32", "5", "4,24"), "has a gap: 4 bytes before tensor 'a'");
  header(entry("a", "F8_E4M3", "24", "0,24"), "tensor 'a' of dtype 'F8_E4M3'; F64, F32, F16, BF16, BOOL and integers");

  header("\"a\":{\"dtype\":\"F32\",\"shape\":[6]}", "no data_offsets of tensor 'a'");
  header("\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"shape\":[6],\"data_offsets\":[0,24]}",
         "a second 'shape' of tensor 'a'");
  header("\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24],\"x\":1}",
         "'x' of tensor 'a', which has dtype");
  header("\"a\":{\"dtype\":4,\"shape\":[6],\"data_offsets\":[0,24]}", "expected '\"' of tensor 'a', found '4'");
  header(entry("a", "F32", "6", "0,24,24"), "data_offsets of 3 numbers, not 2");
  for (const char* number : {"-6", "06", "6.0", "6e0", "+6", "9223372036854775808", "null", "\"6\"", "6,", "[[[6]]]"})
    header(entry("a", "F32", number, "0,24"), "expected a whole number from 0 to 9223372036854775807");
  header("\"a\":" + std::string(100000, '['), "expected '{' of tensor 'a', found '[[[");
  header("\"a\" 1", "expected ':' after a tensor's name, found '1'");
  header("a", "expected '\"' of a tensor's name, found 'a', at its byte 1");
  header(entry("a", "F32", "6", "0,24") + ",", "expected '\"' of a tensor's name");
  header(entry("a", "F32", "6", "0,24") + " " + entry("b", "F32", "0", "0,0"),
         "expected ',' or '}' around the header, found '\"b\"'");
  header(entry("a", "F32", "6", "0,24") + "}{", "more than one object");
  header("\"__metadata__\":{\"a\":1}", "expected '\"' of a text of __metadata__", "");
  header("\"__metadata__\":{\"a\":\"\",\"a\":\"\"}", "a second key 'a' of __metadata__", "");
  header("\"__metadata__\":{},\"__metadata__\":{}", "a second tensor '__metadata__'", "");
  refused(file_of("{" + entry("a", "F32", "6", "0,24"), floats), "found its end");
  refused(file_of("{\"a", ""), "a string that does not end");

  const auto name = [&](const std::string& bytes, const std::string& part) {
    header(entry(bytes, "F32", "6", "0,24"), part);
  };
  for (const char* bad : {"\377", "\300\200", "\355\240\200", "\364\220\200\200", "\303", "\342\202"})
    name(bad, "a byte that is no UTF-8 at its byte 2");
  name("a\nb", "a control character in a string");
  name("\\x41", "a backslash that escapes nothing");
  name("\\u12G4", "four hexadecimal digits");
  name("\\u+123", "four hexadecimal digits");
  for (const char* half : {"\\ud800", "\\udc00", "\\ud800\\u0041", "\\ud800\\ud800"})
    name(half, "half of a surrogate pair");

  // Escapes that are sound.
  const std::string all =
      "{" + entry("\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\\u0000", "F32", "6", "0,24") + "}";
  CHECK(sm::read_safetensors(folder.put("a", file_of(all, floats))).names() ==
        std::vector<std::string>{std::string("\"\\/\b\f\n\r\t\303\251\360\237\230\200\0", 15)});

  const std::string good = file_of("{" + entry("W", "F32", "3,2", "0,24") + "}", floats);
  for (std::size_t length = 0; length < good.size(); ++length)
    CHECK_THROWS_AS(sm::read_safetensors(folder.put("bad", good.substr(0, length))), std::runtime_error);
  CHECK_THROWS_AS(sm::read_safetensors(folder.put("bad", good + "x")), std::runtime_error);
}

TEST_CASE("a header of more than 100 MB is refused before it is read") {
  const Folder folder;
  std::string bytes(100'000'010, ' ');
  bytes.replace(0, 9, from_hex("01e1f505000000007b"));  // 100000001, {
  folder.put("large", bytes);
  CHECK_THROWS_WITH(sm::read_safetensors(folder("large")),
                    ContainsSubstring("a header of 100000001 bytes; at most 100000000"));
}

// ---------------------------------------------------------------------------------------------------------- .npz

namespace {

// numpy.savez(file, A=A, F=numpy.asfortranarray(A.astype('<f4')), n=numpy.array(2.5), z=numpy.zeros((0, 3)),
//             **{"layer.0/weight é": numpy.array([1, -2], '<i4')}), by NumPy 1.24
constexpr std::string_view savez =
    "504b030414000000000000002100fb4ace55b0000000b000000005001400412e6e707901001000b000000000000000b0000000000000"
    "00934e554d5059010076007b276465736372273a20273c6638272c2027666f727472616e5f6f72646572273a2046616c73652c202773"
    "68617065273a2028332c2032292c207d2020202020202020202020202020202020202020202020202020202020202020202020202020"
    "20202020202020202020202020202020202020200a000000000000f83f00000000000000c0000000000000d03f000000000000084000"
    "000000000010400000000000001c40504b030414000000000000002100f7fddf61980000009800000005001400462e6e707901001000"
    "98000000000000009800000000000000934e554d5059010076007b276465736372273a20273c6634272c2027666f727472616e5f6f72"
    "646572273a20547275652c20277368617065273a2028332c2032292c207d202020202020202020202020202020202020202020202020"
    "20202020202020202020202020202020202020202020202020202020202020202020200a0000c03f0000803e00008040000000c00000"
    "40400000e040504b03041400000000000000210035b43a938800000088000000050014006e2e6e707901001000880000000000000088"
    "00000000000000934e554d5059010076007b276465736372273a20273c6638272c2027666f727472616e5f6f72646572273a2046616c"
    "73652c20277368617065273a2028292c207d202020202020202020202020202020202020202020202020202020202020202020202020"
    "20202020202020202020202020202020202020202020202020200a0000000000000440504b03041400000000000000210058fb60f880"
    "00000080000000050014007a2e6e70790100100080000000000000008000000000000000934e554d5059010076007b27646573637227"
    "3a20273c6638272c2027666f727472616e5f6f72646572273a2046616c73652c20277368617065273a2028302c2033292c207d202020"
    "202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020"
    "200a504b0304140000080000000021000676a4e18800000088000000150014006c617965722e302f77656967687420c3a92e6e707901"
    "00100088000000000000008800000000000000934e554d5059010076007b276465736372273a20273c6934272c2027666f727472616e"
    "5f6f72646572273a2046616c73652c20277368617065273a2028322c292c207d20202020202020202020202020202020202020202020"
    "20202020202020202020202020202020202020202020202020202020202020202020202020200a01000000feffffff504b0102140314"
    "000000000000002100fb4ace55b0000000b0000000050000000000000000000000800100000000412e6e7079504b0102140314000000"
    "000000002100f7fddf6198000000980000000500000000000000000000008001e7000000462e6e7079504b0102140314000000000000"
    "00210035b43a9388000000880000000500000000000000000000008001b60100006e2e6e7079504b0102140314000000000000002100"
    "58fb60f880000000800000000500000000000000000000008001750200007a2e6e7079504b01021403140000080000000021000676a4"
    "e1880000008800000015000000000000000000000080012c0300006c617965722e302f77656967687420c3a92e6e7079504b05060000"
    "0000050005000f010000fb0300000000";
// numpy.savez_compressed(file, A=A, T=numpy.asfortranarray(numpy.arange(12.).reshape(2, 3, 2)))
constexpr std::string_view savez_compressed =
    "504b030414000000080000002100fb4ace555b000000b000000005001400412e6e707901001000b0000000000000005b000000000000"
    "009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9366a1aea3a09e965f54529498179f5f94920a12774bcc294e058a17672416"
    "a402f91ac63a0a469a3a0ab50a64032e0630f8610fa1190e40a80b503e8703841680d2320e00504b03041400000008000000210016ff"
    "f76468000000e000000005001400542e6e707901001000e00000000000000068000000000000009bec17ea1b10c9c850c650ad9e925a"
    "9c5ca46ea5a06e9366a1aea3a09e965f54529498179f5f94920a120f292a4d050a17672416a402b91a463a0ac63a0a469a3a0ab50a64"
    "022e061420e10065406905282d00a555a0f4077b082d03e573406925282d02a5d51c00504b0102140314000000080000002100fb4ace"
    "555b000000b0000000050000000000000000000000800100000000412e6e7079504b010214031400000008000000210016fff7646800"
    "0000e0000000050000000000000000000000800192000000542e6e7079504b0506000000000200020066000000310100000000";
// Python's zipfile to a stream, so that sizes and checksum follow the member v.npy = [1, 2]: stored; deflated, by zip64
constexpr std::string_view stream =
    "504b0304140008000000479c7e5d00000000000000000000000005000000762e6e7079934e554d5059010076007b276465736372273a"
    "20273c6638272c2027666f727472616e5f6f72646572273a2046616c73652c20277368617065273a2028322c292c207d202020202020"
    "202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020"
    "0a000000000000f03f0000000000000040504b0708645baabf9000000090000000504b01021403140008000000479c7e5d645baabf90"
    "00000090000000050000000000000000000000800100000000762e6e7079504b0506000000000100010033000000c30000000000";
constexpr std::string_view stream_zip64 =
    "504b03041400080008000000210000000000000000000000000005001400762e6e707901001000000000000000000000000000000000"
    "009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9366a1aea3a09e965f54529498179f5f94920a12774bcc294e058a17672416"
    "a402f91a463a9a3a0ab50a14002e0630f8600fa1191c00504b0708645baabf4c000000000000009000000000000000504b0102140314"
    "000800080000002100645baabf4c00000090000000050000000000000000000000800100000000762e6e7079504b0506000000000100"
    "0100330000009b0000000000";

}  // namespace

TEST_CASE("an .npz file of NumPy reads as its arrays") {
  const Folder folder;
  const Tensors arrays = sm::read_npz(folder.put("a.npz", from_hex(savez)));
  CHECK(arrays.names() == std::vector<std::string>{"A", "F", "layer.0/weight \303\251", "n", "z"});
  CHECK(arrays.at("A").matrix() == A);
  CHECK(arrays.at("A").samples() == A.transpose());
  CHECK(arrays.at("F").matrix() == A);
  CHECK(arrays.at("layer.0/weight \303\251").matrix() == Eigen::Vector2d(1, -2));
  CHECK(arrays.at("n").matrix()(0) == 2.5);
  CHECK(arrays.at("n").shape.empty());
  CHECK(arrays.at("z").samples().rows() == 3);
  CHECK(sm::read_npz(folder("a.npz"), {"n"}).size() == 1);

  const Tensors compressed = sm::read_npz(folder.put("b.npz", from_hex(savez_compressed)));
  CHECK(compressed.at("A").matrix() == A);
  CHECK(compressed.at("T").shape == std::vector<Index>{2, 3, 2});
  CHECK(compressed.at("T").values == VectorXd::LinSpaced(12, 0, 11));
  for (const std::string_view file : {stream, stream_zip64})
    CHECK(sm::read_npz(folder.put("c.npz", from_hex(file))).at("v").values == Eigen::Vector2d(1, 2));
  CHECK(sm::read_npz(folder.put("none.npz", from_hex("504b0506" + std::string(36, '0')))).empty());
}

TEST_CASE("a zip archive that is damaged or says two things is refused with a sentence") {
  const Folder folder;
  const auto refused = [&](const std::string& bytes, const std::string& part) {
    const std::string path = folder.put("bad.npz", bytes);
    CHECK_THROWS_AS(sm::read_npz(path), std::runtime_error);
    CHECK_THROWS_WITH(sm::read_npz(path), ContainsSubstring("bad.npz") && ContainsSubstring(part));
  };
  const auto member = [&](const std::string& name, const std::string& bytes) {
    sm::io::ZipWriter archive(folder("one"));
    archive.add(name, bytes);
    archive.finish();
    return sm::io::read_file(folder("one"));
  };
  for (const std::string_view file : {savez, savez_compressed, stream, stream_zip64}) {
    const std::string good = from_hex(file);
    for (std::size_t length = 0; length < good.size(); ++length)
      CHECK_THROWS_AS(sm::read_npz(folder.put("bad.npz", good.substr(0, length))), std::runtime_error);
  }
  refused("", "is no zip archive, or is truncated");
  refused("\x93NUMPY", "read it by read_npy");
  refused("\x89HDF\r\n\x1a\n", "is an HDF5 file");
  refused(member("archive/data.pkl", "x"),
          "is a file of torch.save, which holds Python objects: save network.state_dict()");
  refused(member("README", "x"), "has member 'README', and all of an .npz are .npy files");
  refused(member("a.npy", "x"), "bad.npz: a.npy' is no .npy file");
  refused(member("\377.npy", "x"), "whose name is not UTF-8");
  const std::string number(8, '\0');
  refused(member("a.npy", sm::io::npy_header(">f8", "(1,)") + number), "array 'a', which has dtype '>f8' (big-endian)");
  refused(member("a.npy", sm::io::npy_header("<f8", "(2,)") + number), "does not hold what its header says");
  refused(member("a.npy", sm::io::npy_header("<f8", "(4611686018427387904, 4)") + number), "does not hold");
  std::string shape = "(1, 1, 1, 1, 1";
  for (int i = 0; i < 60; ++i) shape += ", 1";
  refused(member("a.npy", sm::io::npy_header("|u1", shape + ")") + "x"), "has 65 dimensions; at most 64");

  // A byte of a sound archive changed: of the member's header, of the directory's entry, of the record at the end.
  const std::string good = member("a.npy", sm::io::npy_header("<f8", "()") + number);
  CHECK(sm::read_npz(folder.put("good.npz", good)).size() == 1);
  const std::size_t directory = good.find("PK\1\2"), end = good.find("PK\5\6");
  const auto changed = [&](std::size_t at, char byte, const std::string& part) {
    std::string bytes = good;
    REQUIRE(bytes[at] != byte);
    bytes[at] = byte;
    CAPTURE(at);
    refused(bytes, part);
  };
  changed(100, 'x', "bad.npz: a.npy' is damaged: its bytes are not those of its checksum");
  changed(0, 'Q', "no header of member 'a.npy' is at byte 0");
  changed(6, 8, "disagree in its flags");
  changed(8, 8, "disagree in its compression");
  changed(14, 77, "disagree in its checksum");
  changed(18, 77, "disagree in its size");
  changed(22, 77, "disagree in its size");
  changed(28, 77, "reaches into the directory");
  changed(30, 'b', "disagree in its name");
  changed(directory, 'Q', "no entry of its directory begins at byte");
  changed(directory + 8, 1, "which is encrypted");
  changed(directory + 10, 9,
          "compressed by method 9; stored (numpy.savez) and deflated (numpy.savez_compressed) ones can");
  changed(directory + 16, 77, "disagree in its checksum");
  changed(directory + 20, 77, "which cannot be");
  changed(directory + 28, 4, "is a faulty zip archive");
  changed(directory + 34, 1, "one of several parts");
  changed(directory + 42, 1, "no header of member 'a.npy' is at byte 1");
  changed(end + 4, 1, "one of several parts");
  changed(end + 8, 2, "one of several parts");
  changed(end + 12, 77, "its directory is to have");
  changed(end + 16, 77, "its directory is to have");
  changed(end + 20, 1, "has no record of its end");

  // Two members of one name; two entries of the directory for one member.
  const auto twice = [&](bool overlap) {
    sm::io::ZipWriter archive(folder("two"));
    archive.add("a.npy", sm::io::npy_header("<f8", "()") + number);
    archive.add(overlap ? "b.npy" : "a.npy", sm::io::npy_header("<f8", "()") + number);
    archive.finish();
    std::string all = sm::io::read_file(folder("two"));
    const std::size_t second = all.find("PK\1\2", all.find("PK\1\2") + 1);
    if (overlap) all[second + 42] = all[second + 43] = 0, all[second + 46] = 'a';
    return all;
  };
  refused(twice(false), "has two arrays 'a'");
  refused(twice(true), "members 'a.npy' and 'a.npy' overlap");

  // Bytes that are to unpack to more than deflate can.
  std::string bomb = from_hex(savez_compressed);
  bomb[bomb.find("PK\1\2") + 27] = 0x7F;
  refused(bomb, "which cannot be 213");
}

TEST_CASE("deflated bytes unpack to what they were made of, or are refused") {
  const std::string label = "bytes";
  const auto inflate = [&](const std::string& bytes, std::size_t size) {
    return sm::io::Inflater(label, bytes, size).inflate();
  };
  // By zlib, of fixed words, stored, and nothing.
  CHECK(inflate(from_hex("4b840300"), 10) == "aaaaaaaaaa");
  CHECK(inflate(from_hex("010500faff68656c6c6f"), 5) == "hello");
  CHECK(inflate(from_hex("0300"), 0) == "");
  const auto refused = [&](const std::string& hex, std::size_t size, const std::string& part) {
    CAPTURE(hex);
    CHECK_THROWS_WITH(inflate(from_hex(hex), size), ContainsSubstring("malformed compressed data: it " + part));
  };
  refused("", 0, "is cut off");
  refused("07", 0, "has a block of unknown type");
  refused("4b84030000", 10, "ends 1 bytes before its end");
  refused("4b8403", 10, "is cut off");
  refused("4b840300", 9, "unpacks to more than 9 bytes");
  refused("4b840300", 11, "unpacks to 10 bytes, not to 11");
  refused("010500faee68656c6c6f", 5, "has a stored block whose two lengths disagree");
  refused("010500faff6865", 5, "is cut off");
  refused("0302", 3, "repeats what is before its beginning");
  refused("fdffff", 3, "has codes of too many symbols");
}

// ---------------------------------------------------------------------------------------------- models and names

TEST_CASE("a model takes its parameters from a file of tensors by their names") {
  const Folder folder;
  const std::string path = folder("net.safetensors"), npz = folder("net.npz");
  const Tensors torch{{"network.0.weight", A}, {"network.0.bias", Eigen::Vector3d(1, 2, 3)}, {"scale", 5}};
  sm::write_safetensors(path, torch);
  sm::write_npz(npz, torch);
  const Model empty{{zeros("network.0.bias", 3, 1), zeros("network.0.weight", 3, 2), zeros("scale", 1, 1)}};
  const auto check = [&](const Model& model) {
    CHECK(model.set == 1);
    CHECK(same_bits(model.blocks[0].values, Eigen::Vector3d(1, 2, 3)));
    CHECK(same_bits(model.blocks[1].values, A.reshaped()));  // column-major
    CHECK(model.blocks[2].values[0] == 5);
  };
  for (const std::string& file : {path, npz}) {
    Model model = empty;
    sm::load_model(file, model);
    check(model);
  }
  Model model = empty;
  sm::load_model(torch, model);
  check(model);

  // Other names: an entry for one, an entry for a layer.
  model = {{zeros("bias", 3, 1), zeros("first.weight", 3, 2), zeros("scale", 1, 1)}};
  sm::load_model(path, model, {.names = {{"bias", "network.0.bias"}, {"first", "network.0"}}});
  check(model);
  model = {{zeros("0.bias", 1, 3), zeros("0.weight", 3, 2)}};  // a vector in a row
  sm::load_model(path, model, {.names = {{"", "network"}}, .ignore_others = true});
  CHECK(same_bits(model.blocks[0].values, Eigen::Vector3d(1, 2, 3)));
  CHECK(sm::sequential_names("mlp", "network", 2) == sm::ParameterNames{{"mlp.weight1", "network.0.weight"},
                                                                        {"mlp.bias1", "network.0.bias"},
                                                                        {"mlp.weight2", "network.2.weight"},
                                                                        {"mlp.bias2", "network.2.bias"}});
  CHECK(sm::sequential_names("a", "", 1).at("a.bias1") == "0.bias");
  CHECK_THROWS_AS(sm::sequential_names("a", "", 0), std::invalid_argument);
}

TEST_CASE("what of a file does not fit the model is said in one sentence") {
  const Folder folder;
  const std::string path = folder("net.safetensors");
  sm::write_safetensors(path, {{"network.0.weight", A},
                               {"network.0.bias", Eigen::Vector3d(1, 2, 3)},
                               {"network.2.weight", Eigen::RowVector3d(1, 2, 3)},
                               {"network.2.bias", VectorXd::Ones(1)}});
  const auto refused = [&](Model model, const std::vector<std::string>& parts, const sm::LoadOptions& options = {}) {
    const Model before = model;
    std::string message;
    try {
      sm::load_model(path, model, options);
    } catch (const std::invalid_argument& error) {
      message = error.what();
    }
    for (const std::string& part : parts) CHECK_THAT(message, ContainsSubstring(part));
    CHECK(model.set == 0);
    CHECK(same_bits(model.blocks[0].values, before.blocks[0].values));
  };
  refused(
      {{zeros("mlp.bias1", 3, 1), zeros("mlp.bias2", 1, 1), zeros("mlp.weight1", 3, 2), zeros("mlp.weight2", 1, 3)}},
      {"net.safetensors' does not fit the model: it lacks 'mlp.bias1' (3 × 1), 'mlp.bias2' (1 × 1), 'mlp.weight1'",
       "; it has 'network.0.bias' (3), 'network.0.weight' (3 × 2)", "'network.2.bias' (1)",
       ", which the model lacks. Perhaps they differ in",
       "names: {.names = {{\"mlp.bias1\", \"network.0.bias\"}, {\"mlp.bias2\", \"network.2.bias\"}, "
       "{\"mlp.weight1\", \"network.0.weight\"}, {\"mlp.weight2\", \"network.2.weight\"}}}"});
  // "weight" is for "weight", although a bias has the shape, too.
  refused({{zeros("b.bias", 1, 1), zeros("b.weight", 1, 3), zeros("c.bias", 3, 1), zeros("c.weight", 3, 2)}},
          {"{\"b.weight\", \"network.2.weight\"}, {\"c.bias\", \"network.0.bias\"}"});
  const auto all = [](Index rows, Index cols) {
    return Model{{zeros("network.0.bias", 3, 1), zeros("network.0.weight", rows, cols), zeros("network.2.bias", 1, 1),
                  zeros("network.2.weight", 1, 3)}};
  };
  refused(all(2, 3), {"does not fit the model: parameter 'network.0.weight' is 3 × 2 there and 2 × 3 in the model "
                      "(transposed: PyTorch's Linear is out × in"});
  refused(all(4, 2), {"parameter 'network.0.weight' is 3 × 2 there and 4 × 2 in the model"});
  refused({{zeros("network.0.bias", 3, 1), zeros("network.0.weight", 3, 2), zeros("network.2.bias", 1, 1)}},
          {"it has 'network.2.weight' (1 × 3), which the model lacks (LoadOptions::ignore_others leaves them out)"});
  refused(all(3, 2),
          {"LoadOptions::names has 'netwrok', with which no parameter of the model begins; its parameters are: "
           "'network.0.bias', "},
          {.names = {{"netwrok", "net"}}});
  refused(all(3, 2), {"it lacks 'a.0.weight' (3 × 2) for 'network.0.weight'"},
          {.names = {{"network.0.weight", "a.0.weight"}}});
  Model sound = all(3, 2);
  sm::load_model(path, sound);
  CHECK(sound.set == 1);
}

TEST_CASE("a file that no model can be loaded from says what it is") {
  const Folder folder;
  const auto fails = [&](const std::string& file, const std::string& part) {
    Model model{{zeros("a", 2, 2)}};
    CHECK_THROWS_AS(sm::load_model(file, model), std::runtime_error);
    CHECK_THROWS_WITH(sm::load_model(file, model), ContainsSubstring(part));
    CHECK(model.set == 0);
  };
  MatrixXd bad = MatrixXd::Ones(2, 2);
  bad(1, 0) = std::nan("");
  sm::write_safetensors(folder("nan.safetensors"), {{"a", bad}});
  fails(folder("nan.safetensors"),
        "has nan in row 1, column 0 (counted from 0) of 'a', and a model's parameters are finite");
  sm::write_npy(folder("a.npy"), bad);
  fails(folder("a.npy"), "is one array, a .npy file: load_npy_parameter(path, model, name)");
  fails(folder.put("h5", "\x89HDF\r\n\x1a\n"), "is an HDF5 file");
  fails(folder.put("x", "hello"), "is no file of saved parameters");
  fails(folder.put("x.safetensors", "hello"), "is no .safetensors file");
  fails(folder.put("f8", file_of("{" + entry("a", "F8_E5M2", "2,2", "0,4") + "}", "abcd")), "dtype 'F8_E5M2'");

  // A header of 19280 bytes, which is "PK" in the file, is no archive.
  std::string header = "{" + entry("a", "F32", "2,2", "0,16") + "}";
  header.resize(0x4B50, ' ');
  Model model{{zeros("a", 2, 2)}};
  sm::load_model(folder.put("pk", file_of(header, floats.substr(0, 16))), model);
  CHECK(model.blocks[0].values == Eigen::Vector4d(1.5, 0.25, -2, 3));
  sm::write_safetensors(folder("cube"), {{"a", Tensor({2, 2, 1}, VectorXd::Ones(4))}});
  // No number in many rows: a loop over them would not end.
  const std::string rows = "{" + entry("a", "F32", "4611686018427387904,0", "0,0") + "}";
  CHECK_THROWS_WITH(sm::load_parameters(folder.put("rows", file_of(rows))), ContainsSubstring("a side is too large"));
  CHECK_THROWS_WITH(sm::read_safetensors(folder("rows")).at("a").samples(), ContainsSubstring("a side is too large"));
  CHECK_THROWS_WITH(sm::load_model(folder("cube"), model),
                    ContainsSubstring("is 2 × 2 × 1 there and 2 × 2 in the model (a parameter is"));
}

TEST_CASE("models save to files of tensors, and load from them with the same bits") {
  const Folder folder;
  MatrixXd W(2, 3);
  W << 0.1, -0.0, 1e-300, 1.0 / 3, 2, 1e300;
  const Model saved{
      {block("W", W), block("b", Eigen::Vector2d(1, 2)), block("c", MatrixXd::Ones(1, 1)), zeros("none", 0, 3)}};
  for (const char* name : {"m.safetensors", "m.npz", "m.model"}) {
    sm::save_model(folder(name), saved);
    Model model{{zeros("W", 2, 3), zeros("b", 2, 1), zeros("c", 1, 1), zeros("none", 0, 3)}};
    sm::load_model(folder(name), model);
    for (std::size_t i = 0; i < 4; ++i) CHECK(same_bits(model.blocks[i].values, saved.blocks[i].values));
    const std::vector<sm::NamedParameter> again = sm::load_parameters(folder(name));
    CHECK(again.size() == 4);
    CHECK(same_bits(again[0].values, saved.blocks[0].values));
  }
  const Tensors tensors = sm::read_safetensors(folder("m.safetensors"));
  CHECK(tensors.at("W").matrix() == W);
  CHECK(tensors.at("b").shape == std::vector<Index>{2});

  // Under PyTorch's names and in float, there and back.
  const Model net{{block("first.bias", Eigen::Vector2d(1, 2)), block("first.weight", A.transpose())}};
  const sm::ParameterNames names{{"first", "network.0"}};
  const std::string path = folder("net.safetensors");
  sm::save_model(path, net, {.names = names, .dtype = sm::Dtype::f32});
  CHECK(sm::read_safetensors(path).names() == std::vector<std::string>{"network.0.bias", "network.0.weight"});
  Model model{{zeros("first.bias", 2, 1), zeros("first.weight", 2, 3)}};
  sm::load_model(path, model, {.names = names});
  CHECK(same_bits(model.blocks[1].values, net.blocks[1].values));
  CHECK_THROWS_WITH(sm::save_model(folder("net.model"), net, {.names = names}),
                    ContainsSubstring("ends neither in .safetensors nor"));
  CHECK_THROWS_WITH(sm::save_model(path, net, {.names = {{"frist", "a"}}}), ContainsSubstring("'frist'"));
  const Model infinite{{block("a", MatrixXd::Constant(1, 1, infinity))}};
  CHECK_THROWS_AS(sm::save_model(path, infinite), std::invalid_argument);
}

TEST_CASE("a file of tensors keeps how the data were standardised, in its metadata") {
  const Folder folder;
  const Model net{{block("W", A)}};
  const sm::Standardisation units{Eigen::Vector2d(43.92, 1.0 / 3), Eigen::Vector2d(5.45, 0)};
  const std::string path = folder("units.safetensors");
  sm::save_model(path, net, units);
  sm::Standardisation loaded;
  Model model{{zeros("W", 3, 2)}};
  sm::load_model(path, model, loaded);
  CHECK(same_bits(model.blocks[0].values, A.reshaped()));
  CHECK(same_bits(loaded.mean, units.mean));
  CHECK(same_bits(loaded.deviation, units.deviation));
  CHECK_THROWS_WITH(sm::load_model(path, model), ContainsSubstring("load_model(path, model, standardisation)"));
  CHECK_THROWS_AS(sm::save_model(folder("units.npz"), net, units), std::invalid_argument);
  for (const char* bad : {"", "1 x", "1  2", "1 nan", "1 2 ", " 1 2", "1", "1 2 3", "1 -2"}) {
    CAPTURE(bad);
    sm::write_safetensors(path, Tensors(net.blocks),
                          {.metadata = {{"scorematch.mean", "1 2"}, {"scorematch.deviation", bad}}});
    CHECK_THROWS_AS(sm::load_model(path, model, loaded), std::runtime_error);
  }
  sm::write_safetensors(path, Tensors(net.blocks), {.metadata = {{"scorematch.mean", "1 2"}}});
  CHECK_THROWS_WITH(sm::load_model(path, model, loaded), ContainsSubstring("without the other"));
}

// ------------------------------------------------------------------------------------------------- Python's programs

TEST_CASE("NumPy, PyTorch and Python's zipfile read what is written here, and what they write is read") {
  // Debian's python3 has Debian's packages, whatever stands before it.
  std::string python;
  for (const char* const command : {"python3", "/usr/bin/python3"})
    if (python.empty() && std::system((std::string(command) + " -c 'import numpy' 2>/dev/null").c_str()) == 0)
      python = command;
  if (python.empty()) {
    WARN("skipped: no python3 with numpy is here (python3-numpy; python3-torch for PyTorch's part)");
    return;
  }
  const Folder folder;
  const Tensors ours{{"W", A},
                     {"b", Eigen::Vector3d(0.1, -0.0, infinity)},
                     {"n", 2.5},
                     {"none", MatrixXd(0, 3)},
                     {"layer.0/\303\251", Tensor({2, 3, 4}, VectorXd::LinSpaced(24, 0, 23))}};
  sm::write_npz(folder("ours.npz"), ours);
  sm::io::write_npz(folder("ours64.npz"), ours, sm::Dtype::f64, 1);
  for (const auto& [name, dtype] : {std::pair("f64", sm::Dtype::f64), std::pair("f32", sm::Dtype::f32),
                                    std::pair("f16", sm::Dtype::f16), std::pair("bf16", sm::Dtype::bf16)})
    sm::write_safetensors(folder(std::string("ours_") + name + ".safetensors"), ours, {.dtype = dtype});
  REQUIRE(std::system((python + " tests/tensor_peer.py " + folder("")).c_str()) == 0);
  for (const char* name : {"theirs.npz", "theirs_compressed.npz", "theirs_stream.npz"})
    CHECK(same(sm::read_npz(folder(name)), ours));
  CHECK(same(sm::read_safetensors(folder("theirs.safetensors")), ours));
  if (!fs::exists(folder("torch.npz"))) return;  // the script has said that PyTorch is missing
  const Tensors torch = sm::read_npz(folder("torch.npz"));
  for (const char* dtype : {"f32", "f16", "bf16"})
    CHECK(same_bits(sm::read_safetensors(folder(std::string("torch_") + dtype + ".safetensors")).at("x").values,
                    torch.at(dtype).values));
  CHECK_THROWS_WITH(sm::read_npz(folder("net.pt")), ContainsSubstring("is a file of torch.save"));
}
