// Files: tables, NumPy arrays, saved models. Each format is read as others write it and written back exactly; each way
// in which a file can be wrong is an error that says where.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <locale>
#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"
#include "folder.hpp"
#include "scorematch/io/csv.hpp"
#include "scorematch/io/csv_to_npy.hpp"
#include "scorematch/io/mapped_npy.hpp"
#include "scorematch/io/npy.hpp"
#include "scorematch/io/npy_writer.hpp"
#include "scorematch/io/parameters.hpp"
#include "scorematch/io/standardise.hpp"

namespace {

namespace fs = std::filesystem;
namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::MatrixXf;
using sm::Index;

/// An empty folder of this process, removed at the end.
struct Folder : fixtures::Folder {
  Folder() : fixtures::Folder("io") {}
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
  CHECK(sm::read_csv(folder("a.csv"), {"1"}, {.header = sm::CsvHeader::present}) == MatrixXd::Constant(1, 1, 3));

  // Numbers with a missing value are no header, or a sample would be lost.
  CHECK(
      sm::read_csv_table(folder.put("a.csv", "NA,2\n3,4\n"), {}, {.missing = sm::CsvMissing::drop_row}).dropped_rows ==
      1);
  CHECK(sm::read_csv(folder.put("a.csv", ",b\n3,4\n"), {"b"})(0, 0) == 4);

  // A label beside numbers: a header only if it names what is asked for.
  const std::string mixed = folder.put("a.csv", "0,1,label\n3,4,5\n");
  CHECK_THROWS_WITH(sm::read_csv(mixed), ContainsSubstring("CsvHeader::present"));
  CHECK_THROWS_WITH(sm::read_csv(mixed, {"2"}), ContainsSubstring("CsvHeader::present"));
  CHECK(sm::read_csv(mixed, {"label", "0"}) == Eigen::Vector2d(5, 3));
  CHECK(sm::read_csv(mixed, {}, {.header = sm::CsvHeader::present}) == Eigen::Vector3d(3, 4, 5));
  CHECK(sm::read_csv(mixed, {"0", "1"}, {.header = sm::CsvHeader::absent}).cols() == 2);
}

TEST_CASE("missing values are an error, or their rows are left out and counted") {
  const Folder folder;
  const std::string path = folder.put("a.csv", "a,b,c\n1,2,\nNA,4,x\n5,nan,x\n7,8,NaN\n?,null,x\n9,10,N/A\n");
  CHECK_THROWS_WITH(sm::read_csv(path, {"b", "a"}), ContainsSubstring("line 3") && ContainsSubstring("'a'") &&
                                                        ContainsSubstring("'NA' is a missing value") &&
                                                        ContainsSubstring("drop_row"));
  MatrixXd complete(2, 3);
  complete << 1, 7, 9, 2, 8, 10;
  const sm::CsvTable table = sm::read_csv_table(path, {"a", "b"}, {.missing = sm::CsvMissing::drop_row});
  CHECK(table.values == complete);
  CHECK(table.dropped_rows == 3);
  CHECK(sm::read_csv(path, {"a", "b"}, {.missing = sm::CsvMissing::drop_row}) == complete);

  // Leaving out missing values does not forgive words, nor infinities.
  CHECK_THROWS_WITH(sm::read_csv(path, {"c"}, {.missing = sm::CsvMissing::drop_row}),
                    ContainsSubstring("'x' is no number"));
  CHECK_THROWS_WITH(sm::read_csv(folder.put("a.csv", "a\n1\ninf\n"), {}, {.missing = sm::CsvMissing::drop_row}),
                    ContainsSubstring("line 3") && ContainsSubstring("'inf' is no finite number"));
  CHECK_THROWS_WITH(sm::read_csv(folder.put("a.csv", "a\n1e999\n")),
                    ContainsSubstring("'1e999' is no finite number in the range of double"));
  CHECK_THROWS_WITH(sm::read_csv(folder.put("a.csv", "a\nNA\n"), {}, {.missing = sm::CsvMissing::drop_row}),
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

// ------------------------------------------------------------------------------- tables, as people have them

namespace {

struct Table {
  std::string what, content;
  std::vector<std::string> columns;  // those asked for
  sm::CsvOptions options;
  MatrixXd expected;               // empty: an error
  std::vector<std::string> names;  // or the parts of the error's message
};

void check_tables(const std::vector<Table>& tables) {
  const Folder folder;
  for (const Table& table : tables) {
    CAPTURE(table.what, table.content);
    const std::string path = folder.put("table.txt", table.content);
    std::string message;
    sm::CsvTable found;
    try {
      found = sm::read_csv_table(path, table.columns, table.options);
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    if (table.expected.size() > 0) {
      CHECK(message == "");
      CHECK(same_bits(found.values, table.expected));
      CHECK(found.columns == table.names);
    } else {
      CHECK_THAT(message, ContainsSubstring("table.txt"));
      for (const std::string& part : table.names) CHECK_THAT(message, ContainsSubstring(part));
    }
  }
}

const sm::CsvOptions present{.header = sm::CsvHeader::present}, absent{.header = sm::CsvHeader::absent};

MatrixXd columns_of(std::initializer_list<std::initializer_list<double>> samples) {
  const MatrixXd rows(samples);
  return rows.transpose();
}

}  // namespace

TEST_CASE("a first line of numbers that may name the columns is an error until it is said what it is") {
  const std::vector<std::string> asks = {"may be its columns'", "CsvHeader::present", "CsvHeader::absent"};
  check_tables({
      {"pandas", "0,1,2\n0.5,7,1\n3,4,5\n", {}, {}, {}, asks},
      {"pandas, header", "0,1,2\n0.5,7,1\n3,4,5\n", {"2", "0"}, present, columns_of({{1, 0.5}, {5, 3}}), {"2", "0"}},
      {"a sample", "0,1\n0.5,7\n", {}, absent, columns_of({{0, 1}, {0.5, 7}}), {"0", "1"}},
      {"one column", "0\n0.5\n1.5\n", {}, {}, {}, asks},
      {"asked by position", "0,1\n0.5,7\n", {"1"}, {}, {}, asks},
      {"from 1", "1,2,3\n0.5,7.5,1.5\n", {}, {}, {}, asks},
      {"two from 1", "1;2\n0.5;7.5\n", {}, {}, {}, asks},
      {"years", "2019,2020,2021,2022\n13,10,12,18\n", {}, {}, {}, asks},
      {"three years", "2019,2020,2021\n13,10,12\n", {}, {}, {}, asks},
      {"decades", "1990,2000,2010\n13,10,12\n", {}, {}, {}, asks},
      {"two years", "2019,2020\n13,10\n", {}, {}, {}, asks},
      {"wavelengths", "4000\t3990\t3980\t3970\n0.1\t0.3\t0.2\t0.2\n", {}, {}, {}, asks},
      {"blanks", "0 1 2\n5 7 1\n", {}, {}, {}, asks},
      // Samples as before.
      {"counts", "1,2,3\n4,5,6\n", {}, {}, columns_of({{1, 2, 3}, {4, 5, 6}}), {"0", "1", "2"}},
      {"even", "1,2,3,4\n5,7,9,11\n", {}, {}, columns_of({{1, 2, 3, 4}, {5, 7, 9, 11}}), {"0", "1", "2", "3"}},
      {"not even", "1,2,4,5\n5,7,9,2\n", {}, {}, columns_of({{1, 2, 4, 5}, {5, 7, 9, 2}}), {"0", "1", "2", "3"}},
      {"measured", "0.0,1.0\n0.5,7\n", {}, {}, columns_of({{0, 1}, {0.5, 7}}), {"0", "1"}},
      // Quotes say that they are names.
      {"quoted", "\"3\",\"1\"\n0.5,7\n", {}, {}, columns_of({{0.5, 7}}), {"3", "1"}},
      {"all quoted", "\"3\",\"7\"\n\"0.5\",\"7\"\n", {}, {}, columns_of({{3, 7}, {0.5, 7}}), {"0", "1"}},
  });
}

TEST_CASE("a column that numbers or names the rows is no part of a sample") {
  const MatrixXd expected = columns_of({{1.5, 2}, {2.5, 3}});
  const std::vector<std::string> ab = {"a", "b"};
  check_tables({
      {"pandas", ",a,b\n0,1.5,2\n1,2.5,3\n", {}, {}, expected, ab},
      {"pandas, shuffled", ",a,b\n17,1.5,2\n3,2.5,3\n", {}, {}, expected, ab},
      {"pandas, named rows", ",a,b\nx,1.5,2\ny,2.5,3\n", {}, {}, expected, ab},
      {"pandas, numbered columns", ",0,1\n0,1.5,2\n1,2.5,3\n", {}, {}, expected, {"0", "1"}},
      {"pandas, twice", "Unnamed: 0,a,b\n0,1.5,2\n1,2.5,3\n", {}, {}, expected, ab},
      {"R, write.csv", "\"\",\"a\",\"b\"\n\"1\",1.5,2\n\"2\",2.5,3\n", {}, {}, expected, ab},
      {"R, numbered", "\"\",\"1\",\"2\"\n\"1\",1.5,2\n\"2\",2.5,3\n", {}, {}, expected, {"1", "2"}},
      {"R, write.table", "\"a\" \"b\"\n\"Mazda RX4\" 1.5 2\n\"Datsun\" 2.5 3\n", {}, {}, expected, ab},
      {"R, commas", "\"a\",\"b\"\n\"1\",1.5,2\n\"2\",2.5,3\n", {"b"}, {}, columns_of({{2}, {3}}), {"b"}},
      {"R, no quotes", "a b\n1 1.5 2\n2 2.5 3\n", {}, {}, {}, {"line 2 has 3 fields; line 1 has 2", "its name"}},
      {"asked for", ",a\n7,1.5\n7,2.5\n", {"a", ""}, {}, columns_of({{1.5, 7}, {2.5, 7}}), {"a", ""}},
      {"data", ",a\n0.5,1.5\n1,2.5\n", {}, {}, {}, {"first column without a name", "not whole", "''"}},
      {"labels", ",a\n1,1.5\n1,2.5\n", {}, {}, {}, {"first column without a name", "repeated", "''"}},
      {"years",
       ",2019,2020\n0,1.5,2\n1,2.5,3\n",
       {},
       {.missing = sm::CsvMissing::drop_row},
       {},
       {"may be its columns'"}},
      {"a series", ",0\n0,1.5\n1,2.5\n", {}, {}, {}, {"may be its columns'"}},
      {"alone", "\"\"\n1\n2\n", {}, present, columns_of({{1}, {2}}), {""}},
  });
}

TEST_CASE("blanks and tabs in any number separate the fields of a table that has nothing else") {
  const MatrixXd expected = columns_of({{18, 130.5}, {-15, 2}});
  const std::string cars =
      "18.0   8   307.0      130.0      3504.   1\t\"chevrolet chevelle malibu\"\n"
      "15.0   8   350.0      ?          3693.   1\t\"buick skylark 320\"\n"
      "16.0   8   304.0      150.0      3433.   1\t\"amc rebel\"\n";
  check_tables({
      {"savetxt", "1.80e+01 1.305e+02\n-1.5e+01 2.0e+00\n", {}, {}, expected, {"0", "1"}},
      {"aligned", "  18    130.5\n -15      2  \r\n", {}, {}, expected, {"0", "1"}},
      {"tabs among them", "18 \t 130.5\n-15\t\t2\n", {}, {}, expected, {"0", "1"}},
      {"named", " a     \"b c\"\n18 130.5\n-15 2\n", {"a", "b c"}, {}, expected, {"a", "b c"}},
      {"one line", "18 130.5 \n", {}, {}, columns_of({{18, 130.5}}), {"0", "1"}},
      {"cars", cars, {}, {}, {}, {"numbers and words", "CsvHeader::absent"}},
      {"cars, numbers",
       cars,
       {"0", "3"},
       {.header = sm::CsvHeader::absent, .missing = sm::CsvMissing::drop_row},
       columns_of({{18, 130}, {16, 150}}),
       {"0", "3"}},
      {"said", "a b\n1 2\n", {}, {.separator = ' '}, columns_of({{1, 2}}), {"a", "b"}},
      {"one column of two words", "bill length\n1\n2\n", {}, {}, columns_of({{1}, {2}}), {"bill length"}},
      {"commas with blanks", "1, 2, 3.5\n4, 5, 6\n", {}, {}, columns_of({{1, 2, 3.5}, {4, 5, 6}}), {"0", "1", "2"}},
      {"a title", "My data\nx,y\n1,2\n", {}, {}, {}, {"line 2 has 2 fields; line 1 has 1", "begins with #"}},
      {"too few", "1 2\n3\n", {}, {}, {}, {"line 2 has 1 fields; line 1 has 2"}},
  });
}

TEST_CASE("lines that begin with # are comments, unless they may be rows") {
  const MatrixXd expected = columns_of({{1, 2}, {3, 4}});
  const std::string stan =
      "# model = \"banana_model\n# method = sample (Default)\nlp__,theta.1\n# Adaptation terminated\n"
      "# Step size = 0.8\n# 0.9, 1.1\n1,2\n3,4\n# \n#  Elapsed Time: 0.1 seconds (Warm-up)\n#\n";
  const std::string colours = "colour,x\n#ff0000,1\n#00ff00,2\n";
  check_tables({
      {"cmdstan", stan, {}, {}, expected, {"lp__", "theta.1"}},
      {"savetxt", "# x y\n1e0 2e0\n3e0 4e0\n", {}, {}, expected, {"x", "y"}},
      {"savetxt, a name", "# x y\n1 2\n3 4\n", {"y"}, {}, columns_of({{2}, {4}}), {"y"}},
      {"savetxt, a position", "# x y\n1 2\n3 4\n", {"1"}, {}, columns_of({{2}, {4}}), {"1"}},
      {"savetxt, said", "#x,y\n1,2\n3,4\n", {}, present, expected, {"x", "y"}},
      {"savetxt, denied", "# x,y\n1,2\n3,4\n", {}, absent, expected, {"0", "1"}},
      {"prose", "# made today\n# of x\n1,2\n3,4\n", {}, {}, expected, {"0", "1"}},
      {"genes", "#gene x y\nBRCA1 1 2\nTP53 3 4\n", {"x", "y"}, {}, expected, {"x", "y"}},
      {"indented", "a,b\n1,2\n  # three\n3,4\n", {}, {}, expected, {"a", "b"}},
      {"colours", colours, {"x"}, {}, {}, {"line 2 begins with #", "CsvComments::skip", "CsvComments::keep"}},
      {"colours kept", colours, {"x"}, {.comments = sm::CsvComments::keep}, columns_of({{1}, {2}}), {"x"}},
      {"skipped", "a,b\n1,2\n#7,8\n3,4\n", {}, {.comments = sm::CsvComments::skip}, expected, {"a", "b"}},
      {"a worksheet's error", "a,b\n1,2\n#DIV/0!,3\n", {}, {}, {}, {"line 3, column 'a': '#DIV/0!' is no number"}},
      {"nothing else", "# a\n#b\n", {}, {}, {}, {"nothing but comments"}},
      // The line is that of the file.
      {"lines", stan + "5,x\n", {}, {}, {}, {"line 12, column 'theta.1': 'x' is no number"}},
  });
}

TEST_CASE("a decimal comma is an error that names the option, and with the option a number") {
  const sm::CsvOptions comma{.decimal = ','};
  const MatrixXd expected = columns_of({{1.5, 2}, {-20, 3.25}});
  const std::vector<std::string> asks = {"'1,5' is no number", "CsvOptions::decimal = ','"};
  check_tables({
      {"semicolons", "a;b\n1,5;2\n-2e1;3,25\n", {}, {}, {}, asks},
      {"semicolons, said", "a;b\n1,5;2\n-2e1;3,25\n", {}, comma, expected, {"a", "b"}},
      {"no header", "1,5;2,0\n-20;3,25\n", {}, {}, {}, asks},
      {"no header, said", "1,5;2,0\n-20;3,25\n", {}, comma, expected, {"0", "1"}},
      {"tabs", "1,5\t2,0\n-20\t3,25\n", {}, comma, expected, {"0", "1"}},
      {"tabs, not said", "1,5\t2,0\n-20\t3,25\n", {}, {}, {}, asks},
      {"blanks", "1,5 2,0\n-20 3,25\n", {}, comma, expected, {"0", "1"}},
      {"blanks, not said", "1,5 2,0\n-20 3,25\n", {}, {}, {}, asks},
      {"a comma in a name", "x, mm;y\n1,5;2\n", {}, {}, {}, asks},
      {"quoted", "a,b\n\"1,5\",2\n", {}, {}, {}, asks},
      {"one column", "a\n1,5\n-20\n", {}, comma, columns_of({{1.5}, {-20}}), {"a"}},
      {"thousands", "a;b\n1.234,5;2\n", {}, comma, {}, {"'1.234,5' is no number", "CsvOptions::decimal is ','"}},
      {"a point", "a;b\n1.5;2\n", {}, comma, {}, {"'1.5' is no number", "CsvOptions::decimal is ','"}},
  });
  const Folder folder;
  const std::string path = folder.put("a.csv", "1\n");
  CHECK_THROWS_AS(sm::read_csv(path, {}, {.decimal = ';'}), std::invalid_argument);
  CHECK_THROWS_AS(sm::read_csv(path, {}, {.separator = ',', .decimal = ','}), std::invalid_argument);
}

TEST_CASE("separators at the ends of all lines, and blank lines, hold no values") {
  const MatrixXd expected = columns_of({{1, 2}, {3, 4}});
  const std::vector<std::string> ab = {"a", "b"}, positions = {"0", "1"};
  const sm::CsvOptions skip{.skip_blank_lines = true}, drop{.missing = sm::CsvMissing::drop_row};
  check_tables({
      {"all", "a,b,\n1,2,\n3,4,\n", {}, {}, expected, ab},
      {"rows alone", "a;b\n1;2;\n3;4;\n", {}, {}, expected, ab},
      {"header alone", "a,b,\n1,2\n3,4\n", {}, {}, expected, ab},
      {"no header", "1,2,\n3,4,\n", {}, {}, expected, positions},
      {"a worksheet", "a,b,,\n1,2,,\n3,4,,\n,,,\n ,,,\r\n", {}, {}, expected, ab},
      {"a worksheet's tabs", "a\tb\t\n1\t2\t\n3\t4\t\n\t\t\n", {}, {}, expected, ab},
      {"one row has a value", "a,b,\n1,2,\n3,4,5\n", {}, {}, {}, {"line 2, column '': '' is a missing value"}},
      {"a missing value", "1,2,\n3,4,5\n", {}, drop, columns_of({{3, 4, 5}}), {"0", "1", "2"}},
      {"too many", "a,b\n1,2,\n3,4,5\n", {}, {}, {}, {"line 2 has 3 fields; line 1 has 2"}},
      {"blank lines around", "\n  \na,b\n1,2\n3,4\n\n", {}, {}, expected, ab},
      {"blank lines between", "a,b\n1,2\n\n\n3,4\n", {}, {}, {}, {"line 3 has 1 fields", "blank", "skip_blank_lines"}},
      {"the same, skipped", "a,b\n1,2\n\n \n3,4\n", {}, skip, expected, ab},
      {"before a comment", "a,b\n1,2\n3,4\n\n# end\n", {}, {}, expected, ab},
      {"one column", "a\n1\n\n2\n", {}, skip, columns_of({{1}, {2}}), {"a"}},
  });
}

TEST_CASE("marks of a missing value: the usual ones, and a user's own") {
  const Folder folder;
  for (const char* mark : {"", "NA", "N/A", "n/a", "#N/A", "<NA>", "nan", "NaN", "-nan", "None", "none", "null", "NULL",
                           "nil", "?", "-", "--", ".", "\" NA \""}) {
    CAPTURE(mark);
    const std::string path = folder.put("a.csv", "a,b\n1,2\n" + std::string(mark) + ",3\n4,5\n");
    CHECK_THROWS_WITH(sm::read_csv(path), ContainsSubstring("line 3, column 'a'") && ContainsSubstring("drop_row"));
    const sm::CsvTable table = sm::read_csv_table(path, {}, {.missing = sm::CsvMissing::drop_row});
    CHECK(table.values == columns_of({{1, 2}, {4, 5}}));
    CHECK(table.dropped_rows == 1);
  }
  const std::string own = folder.put("a.csv", "a\n1\n-999\n-999.0\nunknown\n2\n");
  const sm::CsvOptions drop{.missing = sm::CsvMissing::drop_row, .missing_marks = {"-999", "unknown"}};
  CHECK(sm::read_csv(own, {}, drop) == Eigen::RowVector2d(1, 2));
  CHECK_THROWS_WITH(sm::read_csv(own, {}, {.missing_marks = drop.missing_marks}),
                    ContainsSubstring("line 3, column 'a': '-999' is a missing value"));
  CHECK_THROWS_WITH(sm::read_csv(own),
                    ContainsSubstring("'unknown' is no number") && ContainsSubstring("missing_marks"));
}

TEST_CASE("a number that is too small for a double is 0, one that is too large an error") {
  const Folder folder;
  const std::string tiny = "1e-400\n-1e-400\n0.0001e-330\n100000e-400\n1e-99999999999999999999\n+2.5e-324\n";
  MatrixXd expected(1, 6);
  expected << 0.0, -0.0, 0.0, 0.0, 0.0, std::numeric_limits<double>::denorm_min();
  CHECK(same_bits(sm::read_csv(folder.put("a.csv", "a\n" + tiny)), expected));
  const std::string zeros(400, '0');
  CHECK(sm::read_csv(folder.put("a.csv", "a\n0." + zeros + "1e+401\n1" + zeros + "e-400\n")) ==
        Eigen::RowVector2d(1, 1));
  for (const std::string& huge :
       std::vector<std::string>{"1e400", "-1e400", "1" + zeros, "0.001e312", "1e99999999999999999999"})
    CHECK_THROWS_WITH(sm::read_csv(folder.put("a.csv", "a\n" + huge + "\n")),
                      ContainsSubstring("is no finite number in the range of double"));
}

TEST_CASE("a file that is no table is named with its remedy") {
  const auto bytes = [](const char* text, std::size_t size) { return std::string(text, size); };
  check_tables({
      {"gzip", bytes("\x1F\x8B\x08\0\0\0", 6), {}, {}, {}, {"gzip", "gunzip"}},
      {"bzip2", "BZh91AY&SYxx", {}, {}, {}, {"bzip2"}},
      {"zip", bytes("PK\x03\x04\x14\0", 6), {}, {}, {}, {"zip", "unpack", ".xlsx"}},
      {"Parquet", "PAR1\x15\x04", {}, {}, {}, {"Parquet"}},
      {"npy", f8_file, {}, {}, {}, {"read_npy"}},
      {"a page", "<!DOCTYPE html>\n<html>", {}, {}, {}, {"HTML"}},
      {"UTF-16, little-endian", bytes("a\0,\0b\0\n\0001\0,\0002\0\n\0", 16), {}, {}, {}, {"UTF-16", "UTF-8"}},
      {"UTF-16, big-endian", bytes("\0a\0,\0b\0\n\0001\0,\0002\0\n", 16), {}, {}, {}, {"UTF-16", "UTF-8"}},
      {"NUL bytes", bytes("a,b\n1,2\n3,\0\n", 12), {}, {}, {}, {"line 3 has a byte of 0", "damaged"}},
      {"old line ends", "a,b\r1,2\r3,4\r", {}, {}, {}, {"CR"}},
      {"control characters", "a\n1\n\x01\x7Fz\n", {}, {}, {}, {"'\\x01\\x7fz' is no number"}},
  });
}

TEST_CASE("a table asks for no more memory than its size allows") {
  const Folder folder;
  const std::size_t many = 300'000;  // squared, 720 GB of doubles
  folder.put("a.csv", std::string(many, ',') + std::string(many, '\n') + "1");
  for (const sm::CsvMissing missing : {sm::CsvMissing::error, sm::CsvMissing::drop_row})
    CHECK_THROWS_WITH(sm::read_csv(folder("a.csv"), {}, {.missing = missing}),
                      ContainsSubstring("line 2 has 1 fields; line 1 has 300001"));
  CHECK_THROWS_WITH(sm::read_csv(folder("a.csv"), {}, {.missing = sm::CsvMissing::drop_row, .skip_blank_lines = true}),
                    ContainsSubstring("line 300001 has 1 fields"));
}

TEST_CASE("names and numbers that a reader could take for something else read back as they were") {
  const Folder folder;
  const MatrixXd X = columns_of({{0.5, 3}, {1, -2}});
  const auto back = [&](const std::vector<std::string>& names) {
    CAPTURE(names);
    sm::write_csv(folder("a.csv"), X, names);
    const sm::CsvTable table = sm::read_csv_table(folder("a.csv"));
    CHECK(table.columns == names);
    CHECK(same_bits(table.values, X));
  };
  back({" a", "b"});
  back({"a", "b "});
  back({"\ta", "b\r"});
  back(
      {"\xEF\xBB\xBF"
       "a",
       "b"});
  back({"\xFF\xFE", "b"});
  back({"#a", "b"});
  back({"<html", "b"});
  back({"0", "1"});
  back({"2019", "x"});
  back({"NA", "-"});
  back({"1,5", "2;5"});
  back({"a\"", "\"\""});
  back({"größe", "b"});
  // Whole numbers first, as a header of numbers would be.
  for (const MatrixXd& first : {columns_of({{0, 1}, {0.5, 2}}), columns_of({{0}, {7}}),
                                columns_of({{1, 2, 3}, {0.5, 1, 1}}), columns_of({{8, 6, 4, 2}, {1, 3, 1, 1}})}) {
    sm::write_csv(folder("a.csv"), first);
    CHECK(same_bits(sm::read_csv(folder("a.csv")), first));
  }
  // A first column without a name is the rows' numbers.
  CHECK_THROWS_AS(sm::write_csv(folder("b.csv"), X, {"", "b"}), std::invalid_argument);
  CHECK_THROWS_AS(sm::write_csv(folder("b.csv"), X, {"Unnamed: 0", "b"}), std::invalid_argument);
  CHECK_THROWS_AS(sm::write_csv(folder("b.csv"), X, {"a", std::string("b\0", 2)}), std::invalid_argument);
  CHECK(folder.files() == 1);
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
          "does not fit the model: it lacks 'slope' (1 × 1)");
  refused({{block("centre", centre)}}, "it has 'stiffness' (1 × 1), which the model lacks");
  refused({{block("centre", centre.transpose()), block("stiffness", zero)}},
          "parameter 'centre' is 2 × 1 there and 1 × 2 in the model");
}

// -------------------------------------------------------------------------------------------- weights and units

TEST_CASE("a .npy file of other dtypes reads as its numbers") {
  const Folder folder;
  const auto numbers = [&](const std::string& dtype, int count, const std::string& hex) {
    return sm::read_npy(folder.put(
        "a.npy",
        npy(1, 118, "{'descr': '" + dtype + "', 'fortran_order': False, 'shape': (" + std::to_string(count) + ",), }",
            from_hex(hex))));
  };
  using Eigen::RowVector3d;
  CHECK(numbers("|b1", 3, "000100") == RowVector3d(0, 1, 0));
  CHECK(numbers("|i1", 3, "00ff7f") == RowVector3d(0, -1, 127));
  CHECK(numbers("<i2", 3, "0000feffe803") == RowVector3d(0, -2, 1000));
  CHECK(numbers("<u2", 3, "0000feffe803") == RowVector3d(0, 65534, 1000));
  CHECK(numbers("<u4", 3, "00000000ffffffff01000000") == RowVector3d(0, 4294967295.0, 1));
  CHECK(numbers("<u8", 1, "0000000000000080")(0) == 9223372036854775808.0);
  // np.array([1, -2, 65504, 6e-8, 1/3, inf, -0.0, 2**-14], '<f2'): 6e-8 is the least, 2⁻²⁴; 1/3 is 1365 · 2⁻¹²
  const MatrixXd halves = numbers("<f2", 8, "003c00c0ff7b01005535007c00800004");
  MatrixXd expected(1, 8);
  expected << 1, -2, 65504, std::ldexp(1.0, -24), 1365.0 / 4096, std::numeric_limits<double>::infinity(), -0.0,
      std::ldexp(1.0, -14);
  CHECK(same_bits(halves, expected));
  CHECK(std::isnan(numbers("<f2", 1, "007e")(0)));
}

TEST_CASE("a finite double that no float holds is an error, not an infinity") {
  const Folder folder;
  MatrixXd X(2, 3);
  X << 1, 2, 3, 4, 1e300, 6;
  sm::write_npy(folder("a.npy"), X);
  CHECK_THROWS_WITH(sm::read_npy<float>(folder("a.npy")),
                    ContainsSubstring("1e+300 in row 1, column 1") && ContainsSubstring("read it as double"));
  CHECK(sm::read_npy(folder("a.npy")) == X);
  X(1, 1) = 1e-300;  // rounds to 0, the nearest
  sm::write_npy(folder("a.npy"), X);
  CHECK(sm::read_npy<float>(folder("a.npy"))(1, 1) == 0);
}

TEST_CASE("a .npy header that repeats itself, more or fewer bytes than it says, and absurd sizes are errors") {
  const Folder folder;
  const auto refused = [&](const std::string& content, const std::string& part) {
    CAPTURE(content);
    CHECK_THROWS_WITH(sm::read_npy(folder.put("a.npy", content)), ContainsSubstring(part));
    CHECK_THROWS_AS(sm::read_npy<float>(folder("a.npy")), std::runtime_error);
  };
  const auto header = [](const std::string& dict) { return npy(1, 118, dict, f8_data); };
  refused(header("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), 'shape': (2, 3)}"), "'shape' twice");
  refused(header("{'descr': '<f8', 'descr': '<f4', 'fortran_order': False, 'shape': (3, 2)}"), "'descr' twice");
  refused(header("{'fortran_order': True, 'descr': '<f8', 'fortran_order': False, 'shape': (3, 2)}"), "twice");
  refused(header("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), } x"), "malformed");
  for (std::size_t stray = 1; stray <= 9; ++stray) {
    refused(f8_file + std::string(stray, 'x'), "shape (3, 2) needs 48 bytes of data");
    refused(f8_file + std::string(stray, '\0'), "shape (3, 2) needs 48 bytes of data");
  }
  const auto size = [&](const std::string& shape) {
    return npy(1, 118, "{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + ", }", "");
  };
  refused(size("(0, 9223372036854775808)"), "malformed");
  refused(size("(0, 9000000000000000000)"), "too large");
  refused(size("(0, 90000000000000000)"), "too large");  // read_npy_array would go through all of them
  refused(size("(90000000000000000, 0)"), "samples without numbers");
  refused(size("(5, 0)"), "samples without numbers");
  CHECK_THROWS_AS(sm::write_npy(folder("b.npy"), MatrixXd(0, 5)), std::invalid_argument);
  refused(std::string("PK\x03\x04", 4), ".npz");
}

TEST_CASE("weights are read as NumPy shows them, into the parameter of their name") {
  const Folder folder;
  const std::string square = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }";
  const std::string transposed = "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2), }";
  std::string data;
  for (const double number : {1.0, 2.0, 3.0, 4.0}) data.append(reinterpret_cast<const char*>(&number), 8);
  const std::string W = folder.put("W.npy", npy(1, 118, square, data));        // np.array([[1, 2], [3, 4]])
  const std::string WT = folder.put("WT.npy", npy(1, 118, transposed, data));  // its transpose, as .T leaves it
  const std::string b =
      folder.put("b.npy", npy(1, 118, "{'descr': '<f8', 'fortran_order': False, 'shape': (4,), }", data));
  const std::string wide =
      folder.put("wide.npy", npy(1, 118, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }", f8_data));
  const MatrixXd array{{1, 2}, {3, 4}};
  CHECK(sm::read_npy_array(W) == array);
  CHECK(sm::read_npy_array(WT) == array.transpose());
  CHECK(sm::read_npy_array<float>(b) == Eigen::Vector4f(1, 2, 3, 4));
  CHECK(sm::read_npy_array(wide).rows() == 2);

  Model model{{block("W", MatrixXd::Zero(2, 2)), block("b", MatrixXd::Zero(4, 1)), block("V", MatrixXd::Zero(3, 2)),
               block("row", MatrixXd::Zero(1, 4))}};
  sm::load_npy_parameter(W, model, "W");
  CHECK(same({model.blocks[0]}, {block("W", array)}));
  sm::load_npy_parameter(WT, model, "W");
  CHECK(same({model.blocks[0]}, {block("W", array.transpose())}));
  sm::load_npy_parameter(b, model, "b");
  sm::load_npy_parameter(b, model, "row");
  CHECK(same({model.blocks[1]}, {block("b", Eigen::Vector4d(1, 2, 3, 4))}));
  CHECK(same({model.blocks[3]}, {block("row", Eigen::RowVector4d(1, 2, 3, 4))}));
  sm::write_npy(folder("b_row.npy"), Eigen::Vector4d(4, 3, 2, 1));  // shape (1, 4)
  sm::load_npy_parameter(folder("b_row.npy"), model, "b");
  CHECK(same({model.blocks[1]}, {block("b", Eigen::Vector4d(4, 3, 2, 1))}));

  const int before = model.set;
  const auto refused = [&](const std::string& path, const std::string& name, const std::string& part) {
    CHECK_THROWS_AS(sm::load_npy_parameter(path, model, name), std::invalid_argument);
    CHECK_THROWS_WITH(sm::load_npy_parameter(path, model, name), ContainsSubstring(part));
  };
  refused(W, "w", "no parameter 'w'; it has 'W', 'b', 'V', 'row'");
  refused(wide, "V", "is 2 × 3; the model has parameter 'V' as 3 × 2: save its transpose, W.T");
  refused(b, "W", "is 4 × 1; the model has parameter 'W' as 2 × 2");
  sm::write_npy(folder("nan.npy"), MatrixXd::Constant(2, 2, std::nan("")));
  CHECK_THROWS_AS(sm::load_npy_parameter(folder("nan.npy"), model, "W"), std::runtime_error);
  CHECK(model.set == before);
}

TEST_CASE("numbers that are not finite, and names that could not be saved, are neither saved nor loaded") {
  const Folder folder;
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    MatrixXd matrix = MatrixXd::Ones(2, 3);
    matrix(1, 2) = bad;
    CHECK_THROWS_AS(sm::save_parameters(folder("a"), {block("w", matrix)}), std::invalid_argument);
    CHECK_THROWS_WITH(sm::save_parameters(folder("a"), {block("w", matrix)}),
                      ContainsSubstring("parameter 'w' has") && ContainsSubstring("in row 1, column 2"));
  }
  CHECK(folder.files() == 0);
  const auto refused = [&](const std::string& name, const std::string& value, const std::string& part) {
    const std::string path =
        folder.put("bad.txt", "scorematch-parameters 1\ncount 1\n1 x 1 " + name + "\n" + value + "\nend\n");
    CAPTURE(name, value);
    CHECK_THROWS_WITH(sm::load_parameters(path), ContainsSubstring(part));
    Model model{{block(name, MatrixXd::Zero(1, 1))}};
    CHECK_THROWS_AS(sm::load_model(path, model), std::runtime_error);
    CHECK(model.set == 0);
  };
  for (const char* value : {"nan", "-nan", "inf", "-inf", "infinity", "nan(7)"}) refused("a", value, "line 4 has");
  refused("a", "1e999", "line 4 is malformed");
  for (const char* name : {"a\tb", "\x01", "a\x7F", "a\rb"}) refused(name, "1", "a name without control characters");
  refused(std::string("a\0b", 3), "1", "'a\\x00b'");
  const std::string tiny = folder.put("tiny.txt", "scorematch-parameters 1\ncount 1\n1 x 1 a\n-1e-400\nend\n");
  CHECK(same(sm::load_parameters(tiny), {block("a", MatrixXd::Constant(1, 1, -0.0))}));
}

TEST_CASE("standardised data have mean 0 and mean square 1 in any units, and come back") {
  MatrixXd Z(2, 4);
  Z << -1, 1, -1, 1, 2, 2, -2, -2;
  Z.row(1) /= 2;
  for (const double scale : {1.0, 1e-9, 1e9, 1e-300, 1e300, -3.0})
    for (const double shift : {0.0, 1.0, 1e6}) {
      CAPTURE(scale, shift);
      const MatrixXd X = (scale * (Z.array() + shift)).matrix();
      const sm::Standardisation units = sm::standardise(X);
      // Of X itself, whose entries carry a rounding of ε times the shift.
      const double tolerance = 8 * (1 + shift) * std::numeric_limits<double>::epsilon();
      CHECK((units.mean.array() / scale - shift).abs().maxCoeff() <= tolerance);
      CHECK((units.deviation.array() / std::abs(scale) - 1).abs().maxCoeff() <= tolerance);
      CHECK((units.apply(X) * (scale > 0 ? 1 : -1) - Z).cwiseAbs().maxCoeff() <= tolerance);
      CHECK(((units.undo(units.apply(X)) - X) / scale).cwiseAbs().maxCoeff() <= tolerance);
      CHECK(units.constant().empty());
    }
  MatrixXd X(3, 3);
  X << 1, 2, 3, 0.1, 0.1, 0.1, 5, 5, 8;
  const sm::Standardisation units = sm::standardise(X);
  CHECK(units.constant() == std::vector<Index>{1});
  CHECK(units.deviation[1] == 0);
  CHECK(units.apply(X).row(1) == Eigen::RowVector3d::Zero());
  CHECK(units.undo(units.apply(X)).row(1) == X.row(1));
  CHECK(units.deviation[0] == Approx(std::sqrt(2.0 / 3)));
  const MatrixXf floats = units.apply(X.cast<float>());  // a float in, a float out
  CHECK((floats.cast<double>() - units.apply(X)).cwiseAbs().maxCoeff() < 1e-6);
  CHECK_THROWS_AS(units.apply(X.topRows(2)), std::invalid_argument);
  CHECK_THROWS_AS(units.undo(X.topRows(2)), std::invalid_argument);
  CHECK_THROWS_AS(sm::standardise(MatrixXd(2, 0)), std::invalid_argument);
  CHECK_THROWS_AS(sm::standardise(MatrixXd(0, 2)), std::invalid_argument);
  X(1, 2) = std::nan("");
  CHECK_THROWS_WITH(sm::standardise(X), ContainsSubstring("column 2, row 1"));
}

TEST_CASE("a model keeps how its data were standardised, and is not loaded without") {
  const Folder folder;
  const MatrixXd X = difficult_numbers().topRows(2).leftCols(2);
  const sm::Standardisation units = sm::standardise(X);
  const Model saved{{block("w", MatrixXd::Ones(2, 2))}};
  sm::save_model(folder("a"), saved, units);
  Model model{{block("w", MatrixXd::Zero(2, 2))}};
  sm::Standardisation loaded;
  sm::load_model(folder("a"), model, loaded);
  CHECK(same(model.blocks, saved.blocks));
  CHECK(same_bits(loaded.mean, units.mean));
  CHECK(same_bits(loaded.deviation, units.deviation));
  CHECK(same(sm::load_parameters(folder("a")), saved.blocks));

  model = {{block("w", MatrixXd::Zero(2, 2))}};
  CHECK_THROWS_AS(sm::load_model(folder("a"), model), std::invalid_argument);
  CHECK_THROWS_WITH(sm::load_model(folder("a"), model), ContainsSubstring("load_model(path, model, standardisation)"));
  sm::save_model(folder("b"), saved);
  CHECK_THROWS_AS(sm::load_model(folder("b"), model, loaded), std::invalid_argument);
  CHECK_THROWS_WITH(sm::load_model(folder("b"), model, loaded), ContainsSubstring("without a standardisation"));
  CHECK(model.set == 0);

  // The documented format.
  sm::Standardisation documented{Eigen::Vector2d(43.92, 17.15), Eigen::Vector2d(5.45, 0)};
  sm::save_model(folder("c"), saved, documented);
  CHECK(bytes_of(folder("c")) ==
        "scorematch-parameters 1\nstandardised 2\n43.92 5.45\n17.15 0\ncount 1\n2 x 2 w\n1 1\n1 1\nend\n");
  for (const char* bad : {"standardised 0\n", "standardised 2\n1 1\n", "standardised 1\n1 -1\n", "standardised x\n",
                          "standardised 1\n1 nan\n", "standardised 1\n1 1 1\n", "standardised 4000000000000000000\n"}) {
    CAPTURE(bad);
    folder.put("d", "scorematch-parameters 1\n" + std::string(bad) + "count 0\nend\n");
    CHECK_THROWS_AS(sm::load_parameters(folder("d")), std::runtime_error);
  }
  documented.deviation[0] = -1;
  CHECK_THROWS_AS(sm::save_model(folder("e"), saved, documented), std::invalid_argument);
  documented.deviation[0] = std::nan("");
  CHECK_THROWS_AS(sm::save_model(folder("e"), saved, documented), std::invalid_argument);
}

// --------------------------------------------------------------------------------------------- larger than memory

/// A table of so many rows of three numbers that tell where they stand, after comments and names.
std::string numbered_table(Index rows) {
  std::string text = "# written by hand\n# in metres\nx,y,z\n";
  for (Index i = 0; i < rows; ++i)
    text += std::to_string(i) + "," + std::to_string(i) + ".5,-" + std::to_string(i % 7) + (i % 3 == 0 ? "\r\n" : "\n");
  return text;
}

TEST_CASE("the parts of a table are its rows in their order, however many parts there are") {
  const Folder folder;
  for (const Index rows : {1, 5, 196, 197, 198, 1500}) {
    std::string text = numbered_table(rows);
    if (rows == 198) text.pop_back();  // without a line's end at the end
    const std::string path = folder.put("a.csv", text);
    const MatrixXd whole = sm::read_csv(path, {"z", "x"});
    REQUIRE(whole.cols() == rows);
    for (const Index parts : {1, 2, 3, 7, 50, 3000}) {
      MatrixXd together(2, 0);
      for (Index part = 0; part < parts; ++part) {
        const MatrixXd piece = sm::read_csv(path, {"z", "x"}, {.part = part, .parts = parts});
        REQUIRE(piece.rows() == 2);
        together.conservativeResize(Eigen::NoChange, together.cols() + piece.cols());
        together.rightCols(piece.cols()) = piece;
      }
      CAPTURE(rows, parts);
      CHECK(same_bits(together, whole));
    }
  }
  // What a table looks like is decided once: all columns are named, the first numbers the rows.
  std::string frame = ",a\n";
  for (Index i = 0; i < 1000; ++i) frame += std::to_string(i) + ",0.25\n";
  const std::string path = folder.put("frame.csv", frame);
  for (Index part = 0; part < 2; ++part) {
    const sm::CsvTable table = sm::read_csv_table(path, {}, {.part = part, .parts = 2});
    CHECK(table.columns == std::vector<std::string>{"a"});
    CHECK((table.values.array() == 0.25).all());
  }
}

TEST_CASE("an error in a part names the line of the file") {
  const Folder folder;
  std::string text = numbered_table(1000);
  text += "1,2\n";  // line 1004
  const std::string path = folder.put("a.csv", text);
  CHECK_NOTHROW(sm::read_csv(path, {}, {.part = 0, .parts = 3}));
  CHECK_THROWS_WITH(sm::read_csv(path, {}, {.part = 2, .parts = 3}),
                    ContainsSubstring("line 1004 has 2 fields; line 3"));
  CHECK_THROWS_WITH(sm::csv_to_npy(path, folder("a.npy")), ContainsSubstring("line 1004 has 2 fields"));
  CHECK_FALSE(fs::exists(folder("a.npy")));

  text = numbered_table(1000);
  text.replace(text.find("900.5"), 5, "NA");
  const std::string missing = folder.put("b.csv", text);
  CHECK_THROWS_WITH(sm::read_csv(missing, {}, {.part = 6, .parts = 7}),
                    ContainsSubstring("line 904, column 'y': 'NA' is a missing value"));
  const sm::CsvTable dropped =
      sm::read_csv_table(missing, {}, {.missing = sm::CsvMissing::drop_row, .part = 6, .parts = 7});
  CHECK(dropped.dropped_rows == 1);

  CHECK_THROWS_WITH(sm::read_csv(path, {}, {.part = 3, .parts = 3}), ContainsSubstring("part is 3"));
  CHECK_THROWS_AS(sm::read_csv(path, {}, {.part = -1, .parts = 3}), std::invalid_argument);
  CHECK_THROWS_AS(sm::read_csv(path, {}, {.parts = 0}), std::invalid_argument);
  // Comments longer than the head would be taken for nothing, or a row for names.
  std::string comments;
  for (int i = 0; i < 250; ++i) comments += "# more\n";
  const std::string far = folder.put("far.csv", comments + numbered_table(2000));
  CHECK(sm::read_csv(far).cols() == 2000);
  CHECK_THROWS_WITH(sm::read_csv(far, {}, {.part = 1, .parts = 2}),
                    ContainsSubstring("has no row in its first 200 lines"));
}

TEST_CASE("a table becomes a .npy file part by part, with the numbers that read_csv has") {
  const Folder folder;
  const std::string path = folder.put("a.csv", numbered_table(400000)), npy = folder("a.npy");
  Index calls = 0;
  const sm::CsvToNpy written = sm::csv_to_npy(path, npy, {"y", "z"}, {}, [&](const sm::Progress& now) {
    CHECK(now.done == ++calls);
    return true;
  });
  CHECK(calls > 1);  // otherwise there are no parts
  CHECK(written.samples == 400000);
  CHECK(written.columns == std::vector<std::string>{"y", "z"});
  const MatrixXd whole = sm::read_csv(path, {"y", "z"});
  CHECK(same_bits(sm::read_npy(npy), whole));
  CHECK(same_bits(sm::map_npy(npy), whole));

  sm::csv_to_npy<float>(path, npy);  // replaced
  CHECK(sm::map_npy<float>(npy).rows() == 3);
  CHECK(sm::map_npy<float>(npy)(1, 399999) == 399999.5F);

  const std::string other = folder("b.npy");
  const auto stop = [](const sm::Progress&) { return false; };
  CHECK(sm::csv_to_npy(path, other, {}, {}, stop).stopped);
  CHECK_FALSE(fs::exists(other));
  CHECK_THROWS_WITH(sm::csv_to_npy<float>(folder.put("large.csv", "1e300,1\n2,3\n"), other),
                    ContainsSubstring("beyond the range of float"));
  CHECK_THROWS_WITH(sm::csv_to_npy(path, other, {}, {.parts = 2}), ContainsSubstring("parts is 2"));
  CHECK_THROWS_WITH(sm::csv_to_npy(folder.put("none.csv", "a,b\n"), other), ContainsSubstring("no rows"));
  CHECK_FALSE(fs::exists(other));
}

TEST_CASE("samples appended to a .npy file are those that write_npy writes at once") {
  const Folder folder;
  const MatrixXd X = difficult_numbers();
  {
    sm::NpyWriter<double> file(folder("a.npy"), 3);
    file.append(X.leftCols(1));
    file.append(X.middleCols(1, 0));
    file.append(X.rightCols(3));
    CHECK(file.samples() == 4);
    CHECK_FALSE(fs::exists(folder("a.npy")));
    CHECK_THROWS_WITH(file.append(X.topRows(2)), ContainsSubstring("samples of 2 numbers"));
    file.finish();
    sm::NpyWriter<double> abandoned(folder("b.npy"), 3);
    abandoned.append(X);
  }
  CHECK(same_bits(sm::read_npy(folder("a.npy")), X));
  CHECK(folder.files() == 1);
  CHECK_THROWS_AS(sm::NpyWriter<float>(folder("a.npy"), 0), std::invalid_argument);
  CHECK_THROWS_WITH(sm::NpyWriter<float>("/dev/null", 1), ContainsSubstring("it is no file"));
}

TEST_CASE("a mapped file is the matrix that read_npy reads, for as long as anybody has it") {
  const Folder folder;
  const std::string path = folder("a.npy");
  const MatrixXd X = difficult_numbers();
  sm::write_npy(path, X);
  auto mapped = std::make_unique<sm::MappedSamples<double>>(sm::map_npy(path));
  const sm::MappedSamples<double> copy = *mapped;
  mapped.reset();
  sm::write_npy(path, MatrixXd(2 * X));  // another file of that name
  CHECK(same_bits(copy, X));
  CHECK(same_bits(sm::map_npy(path), 2 * X));
  CHECK(same_bits(sm::map_npy(path, {1, 2}), 2 * X.middleCols(1, 2)));
  CHECK(sm::map_npy(path, {4, 0}).cols() == 0);
  CHECK_THROWS_WITH(sm::map_npy(path, {3, 2}), ContainsSubstring("map_npy: columns 3 … 4"));
  // A matrix argument takes it as it lies.
  const sm::MatrixView<double> view(copy);
  CHECK(view.data() == copy.data());
}

TEST_CASE("what cannot be mapped is an error with its remedy") {
  const Folder folder;
  const auto message = [&](const std::string& content, const std::string& part) {
    CHECK_THROWS_WITH(sm::map_npy(folder.put("bad.npy", content)), ContainsSubstring(part));
  };
  const auto with = [](const std::string& descr, const std::string& order, const std::string& shape) {
    return npy(1, 118, "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }", f8_data);
  };
  message("a,b\n1,2\n", "is no .npy file");
  message(with("'<f4'", "False", "(6, 2)"), "cannot be mapped as double, <f8: map_npy<float> maps it");
  message(with("'<i8'", "False", "(3, 2)"), "save x.astype('<f8')");
  message(with("'<f8'", "True", "(3, 2)"), "Fortran order");
  message(with("'<f8'", "False", "(4, 2)"), "is truncated");
  message(with("'<f8'", "False", "(2, 2)"), "does not hold what its header says");
  message(with("'<f8'", "False", "(1676976733973595602, 11)"), "is truncated");
  message(npy(1, 117, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }", f8_data), "begin at byte 127");
  CHECK_THROWS_WITH(sm::map_npy(folder("none.npy")), ContainsSubstring("cannot be opened"));
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

TEST_CASE("pipes, devices and folders are no files to be read, and none is waited for") {
  const Folder folder;
  const std::string pipe = folder("pipe");
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  for (const std::string& path : {pipe, std::string("/dev/zero"), folder("")}) {
    CAPTURE(path);
    CHECK_THROWS_AS(sm::read_csv(path), std::runtime_error);
    CHECK_THROWS_AS(sm::read_npy(path), std::runtime_error);
    CHECK_THROWS_WITH(sm::load_parameters(path),
                      ContainsSubstring(path) && ContainsSubstring("cannot be read: it is a"));
  }
  CHECK_THROWS_WITH(sm::read_csv(pipe), ContainsSubstring("a pipe; save"));
  CHECK_THROWS_WITH(sm::write_csv(pipe, MatrixXd::Ones(1, 1)), ContainsSubstring("nobody reads"));
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  sm::write_csv(pipe, MatrixXd::Ones(1, 1));
  char bytes[10];
  CHECK(::read(reader, bytes, sizeof bytes) == 2);
  ::close(reader);
}

TEST_CASE("what killed writers left is removed, what others are writing stays") {
  const Folder folder;
  const std::string path = folder("a");
  const MatrixXd X = MatrixXd::Ones(2, 3);
  // As many as there are names for.
  for (int i = 0; i < 100; ++i) folder.put("a.part" + std::to_string(i), "half");
  sm::write_csv(path, X);
  CHECK(folder.files() == 1);
  for (int i = 0; i < 100; ++i) folder.put("a.part" + std::to_string(i), "half");
  sm::save_parameters(path, {});
  CHECK(folder.files() == 1);
  for (int i = 0; i < 100; ++i) folder.put("a.part" + std::to_string(i), "half");
  sm::write_npy(path, X);
  CHECK(folder.files() == 1);

  for (int i = 0; i < 3; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      sm::io::OutputFile file(path);
      file.write("half");
      ::raise(SIGKILL);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    CHECK(folder.files() == 2);  // the next takes its name
  }
  {
    sm::io::OutputFile slow(path);
    slow.write("whole");
    CHECK(folder.files() == 2);
    sm::io::OutputFile::remove_left_overs(path);
    sm::write_npy(path, X);
    slow.finish();
  }
  CHECK(bytes_of(path) == "whole");
  CHECK(folder.files() == 1);
  // What has such a name and is no file is left alone.
  fs::create_directory(folder("a.part0"));
  fs::create_symlink("a", folder("a.part1"));
  sm::write_npy(path, X);
  CHECK(folder.files() == 3);
}

TEST_CASE("a file that is written again keeps its permissions, and a read-only one its content") {
  const Folder folder;
  const std::string path = folder.put("a", "before");
  const auto mode = [&] { return static_cast<unsigned>(fs::status(path).permissions()); };
  for (const unsigned wanted : {0600u, 0664u, 0640u}) {
    REQUIRE(::chmod(path.c_str(), wanted) == 0);
    sm::save_parameters(path, {});
    CHECK(mode() == wanted);
  }
  folder.put("a", "before");
  REQUIRE(::chmod(path.c_str(), 0444) == 0);
  const MatrixXd X = MatrixXd::Ones(2, 3);
  CHECK_THROWS_WITH(sm::save_parameters(path, {}), ContainsSubstring("cannot be written: it is read-only"));
  CHECK_THROWS_AS(sm::write_csv(path, X), std::runtime_error);
  CHECK_THROWS_AS(sm::write_npy(path, X), std::runtime_error);
  fs::create_symlink("a", folder("link"));
  CHECK_THROWS_AS(sm::write_npy(folder("link"), X), std::runtime_error);
  CHECK(mode() == 0444);
  CHECK(bytes_of(path) == "before");
  CHECK(folder.files() == 2);
}

TEST_CASE("what a link points to is replaced, not written in place") {
  const Folder folder;
  fs::create_directory(folder("there"));
  const std::string target = folder.put("there/a", "before");
  fs::create_symlink("there/a", folder("near"));
  fs::create_symlink("../near", folder("there/far"));  // a link to a link, relative to another folder
  std::FILE* const old = std::fopen(target.c_str(), "rb");
  REQUIRE(old != nullptr);
  {
    sm::io::OutputFile file(folder("there/far"));
    file.write("half");
    CHECK(bytes_of(target) == "before");
  }
  CHECK(bytes_of(target) == "before");
  sm::save_parameters(folder("there/far"), {});
  char bytes[10] = {};
  CHECK(std::fread(bytes, 1, sizeof bytes, old) == 6);  // who had it open reads on in the old one
  std::fclose(old);
  CHECK(sm::load_parameters(target).empty());
  CHECK((fs::is_symlink(folder("near")) && fs::is_symlink(folder("there/far"))));

  // One that points to nothing yet, and one in a circle.
  fs::create_symlink("there/new", folder("dangling"));
  sm::save_parameters(folder("dangling"), {});
  CHECK((fs::is_symlink(folder("dangling")) && sm::load_parameters(folder("there/new")).empty()));
  fs::create_symlink("circle", folder("circle"));
  CHECK_THROWS_AS(sm::save_parameters(folder("circle"), {}), std::runtime_error);
}
