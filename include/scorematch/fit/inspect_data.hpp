// A fit's look at the data before any work: their units, and all that makes a fit doubtful.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "scorematch/fit/data_scale.hpp"
#include "scorematch/fit/edges.hpp"
#include "scorematch/fit/without_effect.hpp"

namespace scorematch::fitting {

/// The units of X (d × N), and a sentence for each row that is constant, combination of rows that is, and end that
/// samples crowd. Throws what data_scale throws. Combinations are looked for among at most 4096 samples of at most 256
/// dimensions.
template <class T>
DataScale inspect_data(const ranks::RankedData<T>& X, std::vector<std::string>& warnings) {
  DataScale scale = data_scale<T>(X);
  const auto add_lines = [&](const std::string& lines, const char* consequence) {
    for (std::size_t from = 0, end; (end = lines.find('\n', from)) != std::string::npos; from = end + 1)
      warnings.push_back(lines.substr(from, end - from) + consequence);
  };
  if (X.rows() <= 256) {
    const Index count = std::min<Index>(X.cols(), 4096);
    std::vector<Index> spread;
    for (Index k = 0; k < count; ++k) spread.push_back(k * X.cols() / count);
    const detail::DegenerateRows rows = degenerate_rows(X.columns(spread));
    scale.degenerate = rows.any();
    add_lines(rows.text(), ": the density across has no width to be learned");
  }
  if (X.shards.alone()) {
    add_lines(detail::describe_edges(detail::sharp_edges(X.own)), "");
  } else {
    std::vector<Index> looked_at;
    for (Index i = 0; i < X.cols(); i += fitting::edge_stride(X.cols())) looked_at.push_back(i);
    add_lines(detail::describe_edges(detail::sharp_edges(X.columns(looked_at))), "");
  }
  return scale;
}
template <class T>
DataScale inspect_data(const MatrixView<T>& X, std::vector<std::string>& warnings) {
  return inspect_data<T>(ranks::RankedData<T>{X, ranks::Shards()}, warnings);
}

}  // namespace scorematch::fitting
