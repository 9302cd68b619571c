// A table of any size in a text file as a .npy file, which can be read in part and mapped into memory.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/io/csv.hpp"
#include "scorematch/io/npy_writer.hpp"
#include "scorematch/progress.hpp"

namespace scorematch {

/// What csv_to_npy has written.
struct CsvToNpy {
  std::vector<std::string> columns = {};  ///< the d names, as those of CsvTable
  Index samples = 0;                      ///< N
  Index dropped_rows = 0;                 ///< left out by CsvMissing::drop_row
  bool stopped = false;                   ///< by the progress callback, and nothing was written
};

/// Reads a table as read_csv does and writes its samples as a .npy file of float or double, in memory of some 50 MB:
///
///   sm::csv_to_npy<float>("data.csv", "data.npy", {"height", "weight"});
///   const auto X = sm::map_npy<float>("data.npy");
///
/// The file appears complete or not at all. Throws what read_csv and NpyWriter do, and std::runtime_error for a number
/// beyond float's range.
template <class T = double>
CsvToNpy csv_to_npy(const std::string& csv, const std::string& npy, const std::vector<std::string>& columns = {},
                    const CsvOptions& options = {}, const ProgressCallback& progress = {}) {
  extend::require(options.parts == 1, {"csv_to_npy: CsvOptions::parts is ", options.parts,
                                       "; the whole table is written, part by part, so it must be 1"});
  constexpr std::size_t part_bytes = std::size_t{4} << 20;
  const detail::Stopwatch watch;
  std::size_t bytes = 0;
  io::open_file(csv, bytes);
  CsvOptions part = options;
  part.parts = static_cast<Index>(bytes / part_bytes + 1);
  CsvToNpy written;
  std::optional<NpyWriter<T>> file;
  for (; part.part < part.parts; ++part.part) {
    const CsvTable table = read_csv_table(csv, columns, part);
    if (!file) file.emplace(npy, table.values.rows());
    if (part.part == 0) written.columns = table.columns;
    if (written.columns != table.columns)
      io::file_error(csv, "has ", written.columns.size(), " columns in its first lines and ", table.columns.size(),
                     " further on (separators at the end of some lines?): name the columns to be read");
    const Matrix<T> values = table.values.template cast<T>();
    if (!values.allFinite()) io::file_error(csv, "has a number beyond the range of float: write it as double");
    file->append(values);
    written.dropped_rows += table.dropped_rows;
    if (progress && !progress({"csv_to_npy", part.part + 1, part.parts, static_cast<double>(file->samples()), "samples",
                               watch.seconds()})) {
      written.stopped = true;
      return written;
    }
  }
  written.samples = file->samples();
  if (written.samples == 0)
    io::file_error(csv,
                   written.dropped_rows > 0 ? "has a missing value in every row" : "has a header line and no rows");
  file->finish();
  return written;
}

}  // namespace scorematch
