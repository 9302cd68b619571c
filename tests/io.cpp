// Files: tables, NumPy arrays, saved models. Each format is read as others write it and written back exactly; each way
// in which a file can be wrong is an error that says where.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <locale>
#include <string>
#include <vector>

#include "catch.hpp"
#include "scorematch/io/csv.hpp"
#include "scorematch/io/npy.hpp"
#include "scorematch/io/parameters.hpp"

namespace {

namespace fs = std::filesystem;
namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::MatrixXf;
using sm::Index;

/// An empty folder of this process, removed at the end.
class Folder {
 public:
  Folder() : folder_(fs::temp_directory_path() / ("scorematch_io_" + std::to_string(::getpid()))) {
    fs::remove_all(folder_);
    fs::create_directory(folder_);
  }
  ~Folder() { fs::remove_all(folder_); }

  std::string operator()(const std::string& name) const { return (folder_ / name).string(); }

  /// Writes `bytes` to a file in the folder, and says where it is.
  std::string put(const std::string& name, const std::string& bytes) const {
    std::FILE* file = std::fopen((*this)(name).c_str(), "wb");
    REQUIRE(file != nullptr);
    REQUIRE(std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size());
    REQUIRE(std::fclose(file) == 0);
    return (*this)(name);
  }

  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

 private:
  fs::path folder_;
};

std::string bytes_of(const std::string& path) { return sm::io::read_file(path); }

/// The bytes that a string of hexadecimal digits stands for.
std::string from_hex(const std::string& digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

/// Doubles that a text of fewer than 17 digits, or a wrong rounding, would not bring back.
MatrixXd difficult_numbers() {
  const double max = std::numeric_limits<double>::max(), min = std::numeric_limits<double>::denorm_min();
  MatrixXd X(3, 4);
  X << 0.1, 1.0 / 3, -std::exp(1.0), 123456789.123456789, 0.1 + 0.2, -0.0, max, -max,  //
      min, -min, 2.2250738585072011e-308, std::nextafter(1.0, 2.0);
  return X;
}

bool same_bits(const MatrixXd& A, const MatrixXd& B) {
  return A.rows() == B.rows() && A.cols() == B.cols() &&
         (A.size() == 0 || std::memcmp(A.data(), B.data(), sizeof(double) * static_cast<std::size_t>(A.size())) == 0);
}

/// Numbers as in "1.234,5": what a program with its user's locale has set.
struct GroupingComma : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};
struct UseGroupingComma {
  std::locale before = std::locale::global(std::locale(std::locale(), new GroupingComma));
  ~UseGroupingComma() { std::locale::global(before); }
};

}  // namespace

// ---------------------------------------------------------------------------------------------------- tables

TEST_CASE("a table reads as d × N: a line is a column of the matrix, the columns asked for its rows") {
  const Folder folder;
  const std::string path = folder.put("a.csv", "a,b,c\n1,2,3\n4,5,6\n");

  MatrixXd all(3, 2);
  all << 1, 4, 2, 5, 3, 6;
  CHECK(sm::read_csv(path) == all);

  MatrixXd chosen(2, 2);
  chosen << 3, 6, 1, 4;
  CHECK(sm::read_csv(path, {"c", "a"}) == chosen);

  const sm::CsvTable table = sm::read_csv_table(path, {"c", "a"});
  CHECK(table.columns == std::vector<std::string>{"c", "a"});
  CHECK(table.values == chosen);
  CHECK(table.dropped_rows == 0);
  CHECK(sm::read_csv_table(path).columns == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("the same table in other spellings") {
  const Folder folder;
  MatrixXd expected(2, 2);
  expected << 1.5, -3, 2000, 0.25;
  const std::vector<std::string> spellings = {
      "a,b\n1.5,2000\n-3,0.25\n",                      // plain
      "a,b\n1.5,2000\n-3,0.25",                        // no line break at the end
      "a,b\r\n1.5,2000\r\n-3,0.25\r\n",                // CRLF
      "\357\273\277a,b\n1.5,2000\n-3,0.25\n",          // a byte order mark
      "a,b\n1.5,2000\n-3,0.25\n\n\r\n  \n",            // blank lines at the end
      "a;b\n1.5;2000\n-3;0.25\n",                      // semicolons
      "a\tb\n1.5\t2000\n-3\t0.25\n",                   // tabs
      "a, b\n 1.5 ,\t2000\n-3 , 0.25\n",               // white space around fields
      "\"a\",\"b\"\n\"1.5\",\"2000\"\n-3,\"0.25\"\n",  // quoted throughout
      "\"a\" , \"b\"\r\n1.5,\"2000\"\r\n-3, \"0.25\" \r\n",
      "a,b\n+1.5,2e3\n-3.0,+2.5E-1\n",  // numbers in other spellings
  };
  for (const std::string& spelling : spellings) {
    CAPTURE(spelling);
    CHECK(sm::read_csv(folder.put("a.csv", spelling), {"a", "b"}) == expected);
    CHECK(sm::read_csv(folder("a.csv")) == expected);
  }
}

TEST_CASE("quoted fields hold separators, line breaks and quotes; only chosen columns need be numbers") {
  const Folder folder;
  const std::string path = folder.put("a.csv",
                                      "\"x, in mm\",\"say \"\"x\"\"\",\"two\nlines\",note\n"
                                      "1,2,3,\"a \"\"b\"\", c\nd;\t\"\n"
                                      "4,5,6,5\" pipe\n"
                                      "7,8,oops,\"\"\n");
  const std::vector<std::string> names = {"x, in mm", "say \"x\"", "two\nlines"};
  MatrixXd first(2, 3);
  first << 2, 5, 8, 1, 4, 7;
  CHECK(sm::read_csv(path, {names[1], names[0]}) == first);
  // The names and the second record take two lines each, so "oops" is on line 6.
  CHECK_THROWS_WITH(sm::read_csv(path, {names[2]}), ContainsSubstring("line 6") && ContainsSubstring("'oops'"));
}

TEST_CASE("the separator is the one the first line has most of, or the one that is given") {
  const Folder folder;
  CHECK(sm::read_csv(folder.put("a.csv", "\"a;b;c\",b\n1,2\n"), {"a;b;c"})(0, 0) == 1);
  CHECK(sm::read_csv(folder.put("a.csv", "a,b;c\n1;2\n"), {"a,b"}, {.separator = ';'})(0, 0) == 1);
  CHECK(sm::read_csv(folder.put("a.csv", "length\n1\n2\n")).cols() == 2);
  CHECK_THROWS_AS(sm::read_csv(folder("a.csv"), {}, {.separator = 'x'}), std::invalid_argument);
  // A decimal comma is refused, not read as something else.
  CHECK_THROWS_WITH(sm::read_csv(folder.put("a.csv", "a;b\n1,5;2\n")), ContainsSubstring("'1,5' is no number"));
  CHECK_THROWS_AS(sm::read_csv(folder.put("a.csv", "1,5;2,5\n3,5;4,5\n")), std::runtime_error);
}

TEST_CASE("the first line is a header if it holds no number, and data if it holds nothing else") {
  const Folder folder;
  CHECK(sm::read_csv(folder.put("a.csv", "1,2\n3,4\n")).cols() == 2);
  CHECK(sm::read_csv_table(folder("a.csv")).columns == std::vector<std::string>{"0", "1"});
  CHECK(sm::read_csv(folder("a.csv"), {"1"}) == Eigen::RowVector2d(2, 4));
  CHECK_THROWS_WITH(sm::read_csv(folder("a.csv"), {"length"}), ContainsSubstring("counted from 0"));
  CHECK(sm::read_csv(folder("a.csv"), {"1"}, {.header = sm::Header::present}) == MatrixXd::Constant(1, 1, 3));

  // Numbers with a missing value are no header, or a sample would be lost.
  CHECK(sm::read_csv_table(folder.put("a.csv", "NA,2\n3,4\n"), {}, {.missing = sm::Missing::drop_row}).dropped_rows ==
        1);
  CHECK(sm::read_csv(folder.put("a.csv", ",b\n3,4\n"), {"b"})(0, 0) == 4);

  // A label beside numbers: a header only if it names what is asked for.
  const std::string mixed = folder.put("a.csv", "0,1,label\n3,4,5\n");
  CHECK_THROWS_WITH(sm::read_csv(mixed), ContainsSubstring("Header::present"));
  CHECK_THROWS_WITH(sm::read_csv(mixed, {"2"}), ContainsSubstring("Header::present"));
  CHECK(sm::read_csv(mixed, {"label", "0"}) == Eigen::Vector2d(5, 3));
  CHECK(sm::read_csv(mixed, {}, {.header = sm::Header::present}) == Eigen::Vector3d(3, 4, 5));
  CHECK(sm::read_csv(mixed, {"0", "1"}, {.header = sm::Header::absent}).cols() == 2);
}

TEST_CASE("missing values are an error, or their rows are left out and counted") {
  const Folder folder;
  const std::string path = folder.put("a.csv", "a,b,c\n1,2,\nNA,4,x\n5,nan,x\n7,8,NaN\n?,null,x\n9,10,N/A\n");
  CHECK_THROWS_WITH(sm::read_csv(path, {"b", "a"}), ContainsSubstring("line 3") && ContainsSubstring("'a'") &&
                                                        ContainsSubstring("'NA' is a missing value") &&
                                                        ContainsSubstring("drop_row"));
  MatrixXd complete(2, 3);
  complete << 1, 7, 9, 2, 8, 10;
  const sm::CsvTable table = sm::read_csv_table(path, {"a", "b"}, {.missing = sm::Missing::drop_row});
  CHECK(table.values == complete);
  CHECK(table.dropped_rows == 3);
  CHECK(sm::read_csv(path, {"a", "b"}, {.missing = sm::Missing::drop_row}) == complete);

  // Leaving out missing values does not forgive words, nor infinities.
  CHECK_THROWS_WITH(sm::read_csv(path, {"c"}, {.missing = sm::Missing::drop_row}),
                    ContainsSubstring("'x' is no number"));
  CHECK_THROWS_WITH(sm::read_csv(folder.put("a.csv", "a\n1\ninf\n"), {}, {.missing = sm::Missing::drop_row}),
                    ContainsSubstring("line 3") && ContainsSubstring("'inf' is no finite number"));
  CHECK_THROWS_WITH(sm::read_csv(folder.put("a.csv", "a\n1e999\n")),
                    ContainsSubstring("'1e999' is no finite number in the range of double"));
  CHECK_THROWS_WITH(sm::read_csv(folder.put("a.csv", "a\nNA\n"), {}, {.missing = sm::Missing::drop_row}),
                    ContainsSubstring("every row"));
  // A blank line that is not at the end is a row of a one-column table.
  CHECK_THROWS_WITH(sm::read_csv(folder.put("a.csv", "a\n1\n\n2\n")), ContainsSubstring("line 3"));
}

TEST_CASE("a malformed table is an error that says where") {
  const Folder folder;
  const auto message = [&](const std::string& content, const std::string& part) {
    CAPTURE(content);
    const std::string path = folder.put("bad.csv", content);
    CHECK_THROWS_AS(sm::read_csv(path), std::runtime_error);
    CHECK_THROWS_WITH(sm::read_csv(path), ContainsSubstring("bad.csv") && ContainsSubstring(part));
  };
  message("", "is empty");
  message("\xEF\xBB\xBF\r\n\r\n", "is empty");
  message("a,b\n", "no rows");
  message("a,b\n1,2\n3\n", "line 3 has 1 fields; line 1 has 2");
  message("a,b\n1,2,3\n", "line 2 has 3 fields; line 1 has 2");
  message("a,b\n1,2\n\n3,4\n", "line 3 has 1 fields");
  message("a,b\n1,2x\n", "line 2, column 'b': '2x' is no number");
  message("a,b\n1,0x10\n", "'0x10' is no number");
  message("a,b\n1,+-3\n", "'+-3' is no number");
  message("a,b\n1,1 2\n", "'1 2' is no number");
  message("a,b\n1,\"2\n3,4\n", "quote in the record of line 2");
  message("a,b\n1,\"2\"3\n", "line 2 has text between a closing quote and the next separator");
  message("\xFF\xFE\x61", "UTF-16");

  CHECK_THROWS_AS(sm::read_csv(folder("none.csv")), std::runtime_error);
  CHECK_THROWS_WITH(sm::read_csv(folder("none.csv")),
                    ContainsSubstring("none.csv' cannot be opened: No such file or directory"));
  CHECK_THROWS_AS(sm::read_csv(folder("")), std::runtime_error);  // a folder
}

TEST_CASE("a column that is not there: the message lists those that are, and the near one") {
  const Folder folder;
  const std::string path = folder.put("a.csv", "bill_length_mm,bill_depth_mm,twice,twice\n1,2,3,4\n");
  CHECK_THROWS_AS(sm::read_csv(path, {"bill_lenght_mm"}), std::invalid_argument);
  CHECK_THROWS_WITH(sm::read_csv(path, {"bill_lenght_mm"}),
                    ContainsSubstring("no column 'bill_lenght_mm'; did you mean 'bill_length_mm'?") &&
                        ContainsSubstring("'bill_depth_mm', 'twice'"));
  CHECK_THROWS_WITH(sm::read_csv(path, {"mass"}), ContainsSubstring("; its columns are") && !ContainsSubstring("mean"));
  CHECK_THROWS_WITH(sm::read_csv(path, {"twice"}), ContainsSubstring("more than one column 'twice'"));
  CHECK(sm::read_csv(path).rows() == 4);
}

TEST_CASE("a written table reads back the same bits, with the same names") {
  const Folder folder;
  const MatrixXd X = difficult_numbers();
  sm::write_csv(folder("a.csv"), X);
  CHECK(same_bits(sm::read_csv(folder("a.csv")), X));

  const std::vector<std::string> names = {"plain", " a \"b\", c;\r\n", ""};
  sm::write_csv(folder("a.csv"), X, names);
  const sm::CsvTable table = sm::read_csv_table(folder("a.csv"));
  CHECK(same_bits(table.values, X));
  CHECK(table.columns == names);

  sm::write_csv(folder("a.csv"), X.middleRows(1, 2).leftCols(2), {"a", "b"});  // a block, not contiguous
  CHECK(same_bits(sm::read_csv(folder("a.csv")), X.middleRows(1, 2).leftCols(2)));

  const MatrixXd large = MatrixXd::NullaryExpr(3, 5000, [](Index i, Index j) { return std::sin(double(3 * j + i)); });
  sm::write_csv(folder("a.csv"), large);  // more than a buffer
  CHECK(same_bits(sm::read_csv(folder("a.csv")), large));

  CHECK_THROWS_AS(sm::write_csv(folder("a.csv"), X, {"a", "b"}), std::invalid_argument);
  CHECK_THROWS_AS(sm::write_csv(folder("a.csv"), MatrixXd(0, 3)), std::invalid_argument);
}

TEST_CASE("the penguins of the examples") {
  const MatrixXd penguins = sm::read_csv("examples/data/penguins.csv", {"bill_length_mm", "bill_depth_mm"});
  REQUIRE(penguins.rows() == 2);
  REQUIRE(penguins.cols() == 342);
  // Published ranges of Palmer penguins: bill length 32.1–59.6 mm, bill depth 13.1–21.5 mm.
  CHECK(penguins.row(0).minCoeff() == 32.1);
  CHECK(penguins.row(0).maxCoeff() == 59.6);
  CHECK(penguins.row(1).minCoeff() == 13.1);
  CHECK(penguins.row(1).maxCoeff() == 21.5);
}

// ---------------------------------------------------------------------------------------------- NumPy arrays

namespace {

/// A .npy file: magic, version, the header's length in `length_bytes`, the dict padded to it, the data.
std::string npy(char version, std::size_t length, const std::string& dict, const std::string& data) {
  std::string bytes = "\x93NUMPY";
  bytes += version;
  bytes += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) bytes += static_cast<char>(length >> (8 * i));
  return bytes + dict + std::string(length - 1 - dict.size(), ' ') + '\n' + data;
}

// What NumPy 1.24.2 writes for A = [[1.5, -2], [0.25, 3], [1e-300, 7]], three samples of two numbers.
const std::string f8_dict = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }";
const std::string f8_data =
    from_hex("000000000000f83f00000000000000c0000000000000d03f000000000000084059f3f8c21f6ea5010000000000001c40");
const std::string f8_file = npy(1, 118, f8_dict, f8_data);

MatrixXd numpy_array_transposed() {
  MatrixXd X(2, 3);
  X << 1.5, 0.25, 1e-300, -2, 3, 7;
  return X;
}

}  // namespace

TEST_CASE("an (N, d) array of NumPy is a d × N matrix") {
  const Folder folder;
  const MatrixXd expected = numpy_array_transposed();
  CHECK(sm::read_npy(folder.put("a.npy", f8_file)) == expected);
  CHECK(sm::read_npy<float>(folder("a.npy")) == expected.cast<float>());
  CHECK(sm::read_npy(folder.put("a.npy", npy(2, 116, f8_dict, f8_data))) == expected);
  CHECK(sm::read_npy(folder.put("a.npy", npy(3, 116, f8_dict, f8_data))) == expected);

  // np.asfortranarray(A)
  const std::string fortran =
      from_hex("000000000000f83f000000000000d03f59f3f8c21f6ea50100000000000000c000000000000008400000000000001c40");
  CHECK(sm::read_npy(folder.put(
            "a.npy", npy(1, 118, "{'descr': '<f8', 'fortran_order': True, 'shape': (3, 2), }", fortran))) == expected);

  // A.astype('<f4')
  const std::string floats = from_hex("0000c03f000000c00000803e00004040000000000000e040");
  folder.put("a.npy", npy(1, 118, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", floats));
  CHECK(sm::read_npy<float>(folder("a.npy")) == expected.cast<float>());
  CHECK(sm::read_npy(folder("a.npy")) == expected.cast<float>().cast<double>());

  // np.array([[1, -2], [3, 4], [5, -6]], '<i4')
  const std::string ints = from_hex("01000000feffffff030000000400000005000000faffffff");
  MatrixXd whole(2, 3);
  whole << 1, 3, 5, -2, 4, -6;
  CHECK(sm::read_npy(folder.put(
            "a.npy", npy(1, 118, "{'descr': '<i4', 'fortran_order': False, 'shape': (3, 2), }", ints))) == whole);

  // np.array([1, -2, 3], '<i8'): one dimension is N samples of one number
  const std::string longs = from_hex("0100000000000000feffffffffffffff0300000000000000");
  CHECK(sm::read_npy(folder.put("a.npy", npy(1, 118, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }",
                                             longs))) == Eigen::RowVector3d(1, -2, 3));

  // np.array([[0, 255]], 'u1'), np.array(2.5), np.zeros((0, 3))
  CHECK(sm::read_npy<float>(folder.put(
            "a.npy", npy(1, 118, "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2), }", from_hex("00ff")))) ==
        Eigen::Vector2f(0, 255));
  CHECK(sm::read_npy(folder.put("a.npy", npy(1, 118, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }",
                                             from_hex("0000000000000440")))) == MatrixXd::Constant(1, 1, 2.5));
  const MatrixXd none =
      sm::read_npy(folder.put("a.npy", npy(1, 118, "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 3), }", "")));
  CHECK((none.rows() == 3 && none.cols() == 0));

  // Other writers: another order of keys, no spaces, no last comma, longs of Python 2.
  CHECK(sm::read_npy(folder.put("a.npy", npy(1, 90, "{\"shape\":(3L,2L),\"descr\":\"<f8\",\"fortran_order\":False}",
                                             f8_data))) == expected);
  CHECK(sm::read_npy(folder.put(
            "a.npy", npy(1, 90, " { 'fortran_order' :False , 'shape' : ( 3 , 2 , ) ,'descr': '<f8' } ", f8_data))) ==
        expected);
}

TEST_CASE("a d × N matrix is written byte for byte as NumPy writes the (N, d) array, and reads back the same bits") {
  const Folder folder;
  sm::write_npy(folder("a.npy"), numpy_array_transposed());
  CHECK(bytes_of(folder("a.npy")) == f8_file);

  const MatrixXd X = difficult_numbers();
  sm::write_npy(folder("a.npy"), X);
  CHECK(same_bits(sm::read_npy(folder("a.npy")), X));
  sm::write_npy(folder("a.npy"), X.middleRows(1, 2));  // a block
  CHECK(same_bits(sm::read_npy(folder("a.npy")), X.middleRows(1, 2)));
  sm::write_npy(folder("a.npy"), X.transpose());  // an expression
  CHECK(same_bits(sm::read_npy(folder("a.npy")), X.transpose()));

  const MatrixXf F = MatrixXf::NullaryExpr(2, 5, [](Index i, Index j) { return std::sin(float(2 * j + i)); });
  sm::write_npy(folder("a.npy"), F);
  CHECK(sm::read_npy<float>(folder("a.npy")) == F);
  CHECK(sm::read_npy(folder("a.npy")) == F.cast<double>());

  sm::write_npy(folder("a.npy"), Eigen::Vector3d(1, 2, 3));  // one sample
  CHECK(sm::read_npy(folder("a.npy")) == Eigen::Vector3d(1, 2, 3));
  sm::write_npy(folder("a.npy"), MatrixXd(3, 0));
  CHECK(sm::read_npy(folder("a.npy")).rows() == 3);

  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  sm::write_npy(folder("a.npy"), Eigen::RowVector3d(nan, inf, -inf));
  const MatrixXd kept = sm::read_npy(folder("a.npy"));
  CHECK((std::isnan(kept(0, 0)) && kept(0, 1) == inf && kept(0, 2) == -inf));
}

TEST_CASE("a .npy file that cannot be read is an error that says why") {
  const Folder folder;
  const auto message = [&](const std::string& content, const std::string& part) {
    const std::string path = folder.put("bad.npy", content);
    CHECK_THROWS_AS(sm::read_npy(path), std::runtime_error);
    CHECK_THROWS_WITH(sm::read_npy(path), ContainsSubstring("bad.npy") && ContainsSubstring(part));
  };
  const auto with = [](const std::string& descr, const std::string& shape) {
    return npy(1, 118, "{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + ", }", f8_data);
  };
  message("", "is no .npy file");
  message("a,b\n1,2\n", "is no .npy file");
  message(npy(4, 116, f8_dict, f8_data), "version 4");
  message(with("'>f8'", "(3, 2)"), "'>f8' (big-endian)");
  message(with("'|O'", "(3, 2)"), "'|O' (Python objects)");
  message(with("'<c16'", "(3, 1)"), "'<c16'; <f4, <f8, <i4, <i8 and |u1 can be read");
  message(with("[('a', '<f8')]", "(3, 2)"), "has dtype '[('a', '<f8')]");
  message(with("'<f8'", "(1, 3, 2)"), "has 3 dimensions");
  message(with("'<f8'", "(4, 2)"), "is truncated: shape (4, 2) needs 64 bytes of data, and 48 are there");
  message(with("'<f8'", "(2, 2)"), "shape (2, 2) needs 32 bytes of data, and 48 are there");
  message(with("'<f4'", "(2, 2)"), "needs 16 bytes");
  message(with("'<f8'", "(4000000000000000000, 4000000000000000000)"), "is truncated");
  // 2⁶⁴ + 6 numbers, where six are there.
  message(with("'<f8'", "(1676976733973595602, 11)"), "is truncated");
  message(with("'<f8'", "(99999999999999999999, 1)"), "malformed");
  message(with("'<f8'", "(-3, 2)"), "malformed");
  message(with("'<f8'", "(3 2)"), "malformed");
  message(with("'<f8'", "3"), "malformed");
  message(with("<f8", "(3, 2)"), "malformed");
  message(npy(1, 118, "{'descr': '<f8', 'shape': (3, 2), }", f8_data), "malformed");
  message(npy(1, 118, "{'descr': '<f8', 'fortran_order': false, 'shape': (3, 2), }", f8_data), "malformed");
  message(npy(1, 118, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), 'more': 1}", f8_data), "malformed");
  // Whatever is cut off at the end is missed.
  for (std::size_t length = 0; length < f8_file.size(); ++length) {
    CAPTURE(length);
    CHECK_THROWS_AS(sm::read_npy(folder.put("bad.npy", f8_file.substr(0, length))), std::runtime_error);
  }
}

// ---------------------------------------------------------------------------------------------- saved models

namespace {

struct Model {
  std::vector<sm::NamedParameter> blocks;
  int set = 0;

  std::vector<sm::NamedParameter> named_parameters() const { return blocks; }
  void set_named_parameters(std::vector<sm::NamedParameter> given) {
    blocks = std::move(given);
    ++set;
  }
};

sm::NamedParameter block(const std::string& name, const MatrixXd& values) {
  return {name, values.rows(), values.cols(), values.reshaped()};
}

std::vector<sm::NamedParameter> some_parameters() {
  return {block("centre", MatrixXd{{-0.25}, {1.5}}), block("prior.weights of x", difficult_numbers()),
          block("log_stiffness", MatrixXd::Constant(1, 1, std::log(2.0))), block("empty", MatrixXd(3, 0))};
}

bool same(const std::vector<sm::NamedParameter>& a, const std::vector<sm::NamedParameter>& b) {
  bool all = a.size() == b.size();
  for (std::size_t i = 0; all && i < a.size(); ++i)
    all = a[i].name == b[i].name && a[i].rows == b[i].rows && a[i].cols == b[i].cols &&
          same_bits(a[i].values, b[i].values);
  return all;
}

}  // namespace

TEST_CASE("saved parameters load with the same names, shapes and bits") {
  const Folder folder;
  sm::save_parameters(folder("model.txt"), some_parameters());
  CHECK(same(sm::load_parameters(folder("model.txt")), some_parameters()));

  sm::save_parameters(folder("none.txt"), {});
  CHECK(sm::load_parameters(folder("none.txt")).empty());

  // The documented format: a matrix a row a line, though its values are stored column by column.
  MatrixXd matrix(2, 3);
  matrix << 1, 2, 3, 4, 5, 0.1;
  sm::save_parameters(folder("model.txt"), {block("W", matrix), block("b", MatrixXd{{-1}, {2e300}})});
  const std::string text = "scorematch-parameters 1\ncount 2\n2 x 3 W\n1 2 3\n4 5 0.1\n2 x 1 b\n-1\n2e+300\nend\n";
  CHECK(bytes_of(folder("model.txt")) == text);

  // A version control system may turn line ends.
  std::string crlf;
  for (const char c : text) crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
  CHECK(same(sm::load_parameters(folder.put("crlf.txt", crlf)), sm::load_parameters(folder("model.txt"))));
}

TEST_CASE("parameters that could not be loaded again are not saved") {
  const Folder folder;
  const MatrixXd one = MatrixXd::Ones(1, 1);
  CHECK_THROWS_AS(sm::save_parameters(folder("a"), {block("", one)}), std::invalid_argument);
  CHECK_THROWS_AS(sm::save_parameters(folder("a"), {block("two\nlines", one)}), std::invalid_argument);
  CHECK_THROWS_WITH(sm::save_parameters(folder("a"), {block("w", one), block("w", one)}),
                    ContainsSubstring("two parameters to be saved have the name 'w'"));
  CHECK_THROWS_WITH(sm::save_parameters(folder("a"), {{"w", 2, 3, Eigen::VectorXd::Ones(5)}}),
                    ContainsSubstring("'w' is 2 × 3 but has 5 values"));
  CHECK(folder.files() == 0);
}

TEST_CASE("a file of parameters that is truncated, malformed or newer is an error") {
  const Folder folder;
  const auto message = [&](const std::string& content, const std::string& part) {
    CAPTURE(content);
    const std::string path = folder.put("bad.txt", content);
    CHECK_THROWS_AS(sm::load_parameters(path), std::runtime_error);
    CHECK_THROWS_WITH(sm::load_parameters(path), ContainsSubstring("bad.txt") && ContainsSubstring(part));
  };
  const std::string head = "scorematch-parameters 1\n";
  message("", "is no file of saved parameters");
  message("x,y\n1,2\n", "is no file of saved parameters");
  message("scorematch-parameters 2\nanything\n", "saved in format 2; this version of scorematch reads up to 1");
  message("scorematch-parameters 0\ncount 0\nend\n", "line 1 is malformed");
  message(head + "count x\n", "line 2 is malformed");
  message(head + "count 1\n1 x 1\n5\nend\n", "line 3 is malformed");
  message(head + "count 1\n1 by 1 a\n5\nend\n", "line 3 is malformed");
  message(head + "count 1\n-1 x -1 a\n5\nend\n", "line 3 is malformed");
  message(head + "count 1\n1 x 1 a\nfive\nend\n", "line 4 is malformed: expected a row of numbers");
  message(head + "count 1\n1 x 2 a\n5\nend\n", "line 4 is malformed");
  message(head + "count 1\n1 x 2 a\n5 6 7\nend\n", "to end after 2 numbers");
  message(head + "count 2\n1 x 1 a\n5\n1 x 1 a\n6\nend\n", "a name other than 'a'");
  message(head + "count 1\n1 x 1 a\n5\n1 x 1 b\n6\nend\n", "'end' after 1 parameters");
  message(head + "count 1\n1 x 1 a\n5\nend\nmore\n", "nothing more");
  message(head + "count 3\n1 x 1 a\n5\nend\n", "line 5 is malformed");
  message(head + "count 1\n4000000000000000000 x 4000000000000000000 a\n5\nend\n", "is truncated");
  message(head + "count 1\n1 x 1 a\n5\n", "is truncated: it ends after line 4");
  message(head + "count 1\n1 x 1 a\n5.2", "is truncated: it ends after line 3");  // of 5.25, perhaps

  sm::save_parameters(folder("good.txt"), some_parameters());
  const std::string good = bytes_of(folder("good.txt"));
  for (std::size_t length = 0; length < good.size(); ++length) {
    CAPTURE(length);
    CHECK_THROWS_AS(sm::load_parameters(folder.put("bad.txt", good.substr(0, length))), std::runtime_error);
  }
}

TEST_CASE("a saved model loads into a model of the same formula, by name, and into no other") {
  const Folder folder;
  const std::string path = folder("model.txt");
  const MatrixXd centre{{3}, {4}};
  const MatrixXd stiffness = MatrixXd::Constant(1, 1, 5);
  sm::save_model(path, Model{{block("centre", centre), block("stiffness", stiffness)}});

  const MatrixXd zero = MatrixXd::Zero(1, 1);
  Model model{{block("stiffness", zero), block("centre", MatrixXd::Zero(2, 1))}};
  sm::load_model(path, model);
  CHECK(same(model.blocks, {block("stiffness", stiffness), block("centre", centre)}));

  const auto refused = [&](const Model& other, const std::string& part) {
    Model target = other;
    CHECK_THROWS_AS(sm::load_model(path, target), std::invalid_argument);
    CHECK_THROWS_WITH(sm::load_model(path, target), ContainsSubstring("model.txt") && ContainsSubstring(part) &&
                                                        ContainsSubstring("a saved model of another formula"));
    CHECK(target.set == 0);
    CHECK(same(target.blocks, other.blocks));
  };
  refused({{block("centre", centre), block("slope", zero), block("stiffness", zero)}},
          "has no parameter 'slope', which the model has");
  refused({{block("centre", centre)}}, "has parameter 'stiffness', which the model does not have");
  refused({{block("centre", centre.transpose()), block("stiffness", zero)}},
          "has parameter 'centre' as 2 × 1; the model has it as 1 × 2");
}

// --------------------------------------------------------------------------------------------- files as such

TEST_CASE("a file appears complete or not at all") {
  const Folder folder;
  const std::string path = folder.put("a.txt", "before");
  {
    sm::io::OutputFile abandoned(path), another(path);  // two writers do not meet
    abandoned.write("half");
    another.write("whole");
    CHECK(bytes_of(path) == "before");
    another.finish();
    CHECK(bytes_of(path) == "whole");
  }
  CHECK(bytes_of(path) == "whole");
  CHECK(folder.files() == 1);

  // A link stays one, and what it points at is written.
  fs::create_symlink(path, folder("link"));
  sm::save_parameters(folder("link"), {});
  CHECK(fs::is_symlink(folder("link")));
  CHECK(sm::load_parameters(path).empty());
}

TEST_CASE("a file that cannot be written is an error") {
  const Folder folder;
  const MatrixXd X = MatrixXd::Ones(2, 3);
  for (const std::string& path : {folder("no/such/folder/a"), folder("")}) {
    CAPTURE(path);
    CHECK_THROWS_WITH(sm::write_csv(path, X), ContainsSubstring(path) && ContainsSubstring("cannot be written"));
    CHECK_THROWS_AS(sm::write_npy(path, X), std::runtime_error);
    CHECK_THROWS_AS(sm::save_parameters(path, {}), std::runtime_error);
  }
  if (fs::exists("/dev/full")) {  // where every write fails for want of space
    CHECK_THROWS_WITH(sm::write_csv("/dev/full", X), ContainsSubstring("No space left"));
    CHECK_THROWS_AS(sm::write_npy("/dev/full", X), std::runtime_error);
    CHECK_THROWS_AS(sm::save_parameters("/dev/full", {}), std::runtime_error);
    CHECK(fs::is_character_file("/dev/full"));
  }
}

TEST_CASE("no locale changes a file") {
  const Folder folder;
  const MatrixXd X = MatrixXd::Constant(1, 1500, 1234.5);
  const UseGroupingComma locale;
  sm::write_csv(folder("a.csv"), X, {"x"});
  CHECK(sm::read_csv(folder("a.csv")) == X);
  sm::write_npy(folder("a.npy"), X);
  CHECK(sm::read_npy(folder("a.npy")) == X);
  sm::save_parameters(folder("a.txt"), {block("x", X)});
  CHECK(same(sm::load_parameters(folder("a.txt")), {block("x", X)}));
}
