// read_npy, whatever the bytes: it refuses, or gives what the file has room for, which write_npy writes so that the
// same bits are read again. map_npy refuses it, or has the same bits.
#include "scorematch/io/npy.hpp"
#include "scorematch/io/mapped_npy.hpp"

#include "fuzz.hpp"

namespace fuzz {

const char* const name = "npy";

namespace {

std::string file(char version, const std::string& dict, std::size_t data) {
  std::string bytes = "\x93NUMPY";
  bytes += version;
  bytes += '\0';
  const std::size_t length = dict.size() + 1;
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) bytes += static_cast<char>(length >> (8 * i));
  bytes += dict + '\n';
  for (std::size_t i = 0; i < data; ++i) bytes += static_cast<char>(37 * i);
  return bytes;
}

std::string dict(const char* dtype, const char* shape, const char* order = "False") {
  return std::string("{'descr': '") + dtype + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

}  // namespace

std::vector<std::string> seeds() {
  return {file(1, dict("<f8", "(3, 2)"), 48),
          file(2, dict("<f4", "(3, 2)", "True"), 24),
          file(3, dict("<f2", "(5,)"), 10),
          file(1, dict("<i8", "()"), 8),
          file(1, dict("|b1", "(0, 3)"), 0),
          file(1, dict("<u2", "(2, 2)", "True"), 8),
          file(1, "{\"shape\":(3L,),\"descr\":\"|i1\",\"fortran_order\":False}", 3)};
}

std::vector<std::string> words() {
  return {"'descr': ",
          "'shape': ",
          "'fortran_order': ",
          "True",
          "False",
          "(",
          ")",
          ", ",
          "'",
          "{",
          "}",
          "<f8",
          "<f4",
          "<f2",
          "<i8",
          "<i4",
          "<i2",
          "|i1",
          "|u1",
          "|b1",
          "<u8",
          ">f8",
          "|O",
          "[('a', '<f8')]",
          "(3, 2)",
          "(0, 0)",
          "L",
          "\x93NUMPY",
          std::string(8, '\0'),
          "(9223372036854775807, 2)",
          "(0, 90000000000000000)"};
}

bool accepts(std::string_view input) {
  namespace sm = scorematch;
  const std::string path = path_of(""), written = path_of(".written");
  put(path, input);
  const auto check = [&]<class T>(T) {
    sm::Matrix<T> X;
    if (!runs([&] { X = sm::read_npy<T>(path); })) {
      require(!runs([&] { (void)sm::map_npy<T>(path).sum(); }), "mapped, and not read");
      return false;
    }
    require(X.size() <= static_cast<sm::Index>(input.size()), "more numbers than bytes");
    sm::write_npy(written, X);
    const sm::Matrix<T> again = sm::read_npy<T>(written);
    require(again.rows() == X.rows() && again.cols() == X.cols(), "written it reads back in another shape");
    require(X.size() == 0 || std::memcmp(X.data(), again.data(), sizeof(T) * static_cast<std::size_t>(X.size())) == 0,
            "written it reads back as something else");
    require(sm::read_npy_array<T>(path).rows() == X.cols(), "not the transpose");
    (void)runs([&] {
      const sm::MappedSamples<T> mapped = sm::map_npy<T>(path);
      require(mapped.rows() == X.rows() && mapped.cols() == X.cols(), "mapped it has another shape");
      require(
          X.size() == 0 || std::memcmp(X.data(), mapped.data(), sizeof(T) * static_cast<std::size_t>(X.size())) == 0,
          "mapped it is something else");
    });
    return true;
  };
  const bool as_float = check(float()), as_double = check(double());
  require(as_double || !as_float, "read as float, not as double");
  return as_double;
}

}  // namespace fuzz
