// read_csv, whatever the bytes and the options: it refuses, or gives finite numbers, no more than the file has bytes,
// which write_csv writes so that they are read again as they are, with their names.
#include "scorematch/io/csv.hpp"

#include "fuzz.hpp"

namespace fuzz {

const char* const name = "csv";

// An input: two letters for the options, and the file.
std::vector<std::string> seeds() {
  return {"@@a,b,c\n1,2,3\n4.5,-5e-3,6\n",
          "@@ a, b \r\n 1 ,\t2\r\n\"3\",4\r\n",
          "@@\xEF\xBB\xBF\"x, in mm\";\"say \"\"x\"\"\"\n1;2\n3;4\n",
          "@@# made of x y\n#x y\n1.0 2.0\n3 4\n# end\n",
          "@@,a,b\n0,1.5,2\n7,2.5,3\n",
          "@@\"\",\"1\",\"2\"\n\"1\",1.5,2\n\"2\",2.5,3\n",
          "@@\"a\" \"b\"\n\"x y\" 1.5 2\n\"z\" 2.5 3\n",
          "@@a,b,\n1,2,\n3,4,\n,,\n",
          "@`a;b\n1,5;2\n3;4,25\n",
          "@`1,5\t2,5\n3,5\t4,5\n",
          "@Pa\n1\nNA\n\n-999\n2\n",
          "A@0,1,2\n0.5,1,2\n3,4,5\n",
          "B@0,1,2\n0.5,1,2\n3,4,5\n"};
}

std::vector<std::string> words() {
  return {",",
          ";",
          "\t",
          " ",
          "\n",
          "\r\n",
          "\"",
          "\"\"",
          "#",
          "# ",
          "\n\n",
          "NA",
          "nan",
          "None",
          "-",
          "?",
          "a",
          "b",
          "0,1,2\n",
          ",,,\n",
          "1,2,3\n",
          "Unnamed: 0",
          "\xEF\xBB\xBF",
          "\xFF",
          std::string(1, '\0'),
          "#N/A",
          "0 1\n",
          "\"0\",\"1\"\n",
          "1,5",
          "-0",
          ".5",
          "1.",
          "\x1F\x8B",
          "BZh91AY&SY",
          "<html"};
}

bool accepts(std::string_view input) {
  namespace sm = scorematch;
  const auto letter = [&](std::size_t i) { return i < input.size() ? static_cast<unsigned char>(input[i]) : 0u; };
  const unsigned a = letter(0), b = letter(1);
  sm::CsvOptions options;
  constexpr char separators[] = {'\0', ',', ';', '\t', ' ', '\0', '\0', '\0'};
  options.header = static_cast<sm::CsvHeader>(a % 4 % 3);
  options.comments = static_cast<sm::CsvComments>(a / 4 % 4 % 3);
  options.separator = separators[a / 16 % 4 + (b % 2 == 1 ? 4 : 0)];
  options.missing = (b & 16) != 0 ? sm::CsvMissing::drop_row : sm::CsvMissing::error;
  options.decimal = (b & 32) != 0 ? ',' : '.';
  options.skip_blank_lines = (b & 8) != 0;
  if ((b & 4) != 0) options.missing_marks = {"-999"};
  std::vector<std::string> columns;
  if ((b & 2) != 0) columns = {"b", "0"};

  const std::string file(input.substr(std::min<std::size_t>(2, input.size())));
  const std::string path = path_of(""), written = path_of(".written");
  put(path, file);
  sm::CsvTable table;
  if (!runs([&] { table = sm::read_csv_table(path, columns, options); })) return false;
  require(table.values.allFinite(), "a number is not finite");
  require(table.values.cols() > 0, "no sample");
  require(static_cast<std::size_t>(table.values.rows()) == table.columns.size(), "not a name a row");
  require(static_cast<std::size_t>(table.values.size()) <= (1 + columns.size()) * file.size(),
          "more numbers than bytes");

  sm::Index rows = 0;
  for (options.part = 0, options.parts = 3; options.part < 3; ++options.part) {
    sm::CsvTable part;
    if (!runs([&] { part = sm::read_csv_table(path, columns, options); })) break;
    require(part.columns == table.columns, "a part has other columns");
    rows += part.values.cols();
  }
  require(options.part < 3 || rows == table.values.cols(), "the parts have more or fewer samples");

  const auto same = [](const Eigen::MatrixXd& x, const Eigen::MatrixXd& y) {
    return x.rows() == y.rows() && x.cols() == y.cols() &&
           std::memcmp(x.data(), y.data(), sizeof(double) * static_cast<std::size_t>(x.size())) == 0;
  };
  sm::write_csv(written, table.values);
  require(same(sm::read_csv(written), table.values), "written without names it reads back as something else");
  if (!runs([&] { sm::write_csv(written, table.values, table.columns); })) return true;
  const sm::CsvTable again = sm::read_csv_table(written);
  require(again.columns == table.columns, "written with names it reads back with others");
  require(same(again.values, table.values), "written with names it reads back as something else");
  return true;
}

}  // namespace fuzz
