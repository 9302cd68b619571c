// Traces, rank histograms and autocorrelations of chains as files that gnuplot draws.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/diagnostics/autocovariance.hpp"
#include "scorematch/diagnostics/chain_draws.hpp"
#include "scorematch/diagnostics/chain_points.hpp"
#include "scorematch/diagnostics/text_table.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// Options of write_trace_picture.
struct TracePictureOptions {
  std::vector<Index> coordinates = {};  ///< at most 6; none: the first 6
  Index chains = 6;                     ///< 1 … 20: of more than these the first are drawn; ranks are over all
  Index points = 1000;                  ///< ≥ 10: of longer traces so many states are drawn, evenly taken
  Index bins = 20;                      ///< 2 … 100 of the rank histograms
  Index lags = 50;                      ///< ≥ 1

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require(coordinates.size() <= 6,
                    {"TracePictureOptions: coordinates has ", coordinates.size(), " entries; at most 6 are drawn"});
    extend::require_within(chains, 1, 20, "TracePictureOptions: chains");
    extend::require_at_least(points, 10, "TracePictureOptions: points");
    extend::require_within(bins, 2, 100, "TracePictureOptions: bins");
    extend::require_at_least(lags, 1, "TracePictureOptions: lags");
  }
};

/// A block of a gnuplot data file: a line for each row of `numbers`, and the two empty lines that end the block.
inline std::string gnuplot_block(const std::string& name, const Eigen::MatrixXd& numbers) {
  std::string block = "# " + name + '\n';
  for (Index i = 0; i < numbers.rows(); ++i)
    for (Index j = 0; j < numbers.cols(); ++j) {
      block += with_digits(numbers(i, j), 8);
      block += j + 1 < numbers.cols() ? ' ' : '\n';
    }
  return block + "\n\n";
}

/// Rows of (step, x of each chain drawn).
inline Eigen::MatrixXd trace_block(const Eigen::MatrixXd& x, Index chains, Index points) {
  const Index shown = std::min(x.rows(), points);
  Eigen::MatrixXd block(shown, 1 + chains);
  for (Index k = 0; k < shown; ++k) {
    const Index step = k * x.rows() / shown;
    block(k, 0) = static_cast<double>(step);
    for (Index c = 0; c < chains; ++c) block(k, 1 + c) = x(step, c);
  }
  return block;
}

/// Rows of (bin's centre as a share of the ranks, how many of each chain's draws are there, relative to what they would
/// be if all chains were of one law). Equal draws have the same rank, the mean of theirs. NaN where draws are not
/// finite.
inline Eigen::MatrixXd rank_block(const Eigen::MatrixXd& x, Index chains, Index bins) {
  const bool finite = all_finite(x);
  Eigen::MatrixXd block(finite ? bins : 1, 1 + chains);
  for (Index k = 0; k < block.size(); ++k) block.data()[k] = finite ? 0 : std::numeric_limits<double>::quiet_NaN();
  if (!finite) return block;
  const Eigen::MatrixXd z = normal_scores(x);
  for (Index b = 0; b < bins; ++b) block(b, 0) = (static_cast<double>(b) + 0.5) / static_cast<double>(bins);
  for (Index c = 0; c < chains; ++c)
    for (Index k = 0; k < x.rows(); ++k) {
      const Index bin = static_cast<Index>(normal_probability(z(k, c)) * static_cast<double>(bins));
      block(std::min(bin, bins - 1), 1 + c) += static_cast<double>(bins) / static_cast<double>(x.rows());
    }
  return block;
}

/// Rows of (lag, each chain's autocorrelation); NaN, drawn as nothing, of a chain that rests.
inline Eigen::MatrixXd autocorrelation_block(const Eigen::MatrixXd& x, Index chains, Index lags) {
  const Index shown = std::min(lags + 1, x.rows());
  Eigen::MatrixXd block(shown, 1 + chains);
  for (Index t = 0; t < shown; ++t) block(t, 0) = static_cast<double>(t);
  for (Index c = 0; c < chains; ++c) {
    const Eigen::MatrixXd alone = chain_alone(x, c);
    const bool moves = reason_of(alone, 1) == Reason::none;
    Eigen::VectorXd covariance;
    if (moves) covariance = mean_autocovariance(CentredDraws(alone).deviations);
    for (Index t = 0; t < shown; ++t)
      block(t, 1 + c) = moves ? covariance[t] / covariance[0] : std::numeric_limits<double>::quiet_NaN();
  }
  return block;
}

/// In single quotes, as gnuplot reads them.
inline std::string gnuplot_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char letter : text) quoted += letter == '\'' ? std::string("''") : std::string(1, letter);
  return quoted + "'";
}

/// "[low:high]" around all finite numbers of the first chains, for gnuplot, which ends where it finds no range by
/// itself.
inline std::string gnuplot_range(const Eigen::MatrixXd& x, Index chains) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (Index k = 0; k < x.rows() * chains; ++k)
    if (std::isfinite(x.data()[k])) {
      low = std::min(low, x.data()[k]);
      high = std::max(high, x.data()[k]);
    }
  if (!(low <= high)) return "[0:1]";
  const double margin = low < high ? 0.05 * high - 0.05 * low : std::max(0.1 * std::abs(low), 1e-300);
  return '[' + with_digits(low - margin, 12) + ':' + with_digits(high + margin, 12) + ']';
}

/// ranges: of each coordinate
inline std::string trace_script(const std::string& path, const std::vector<std::string>& names,
                                const std::vector<std::string>& ranges, Index chains, Index kept, Index lags) {
  const Index rows = static_cast<Index>(names.size());
  const double height = static_cast<double>(94 + 240 * rows);
  std::string script =
      scorematch::detail::text("# Draws ", path, ".png:  gnuplot ", path, ".gnuplot\nset terminal pngcairo size 1500,",
                               94 + 240 * rows, " font \"Sans,12\" background \"#ffffff\" noenhanced\nset output ",
                               gnuplot_quoted(path + ".png"), "\ndata = ", gnuplot_quoted(path + ".dat"), '\n');
  script += scorematch::detail::text(
      "set datafile missing \"-\"\nset tics out nomirror\nset format y \"%.10g\"\nset multiplot layout ", rows,
      ",3 margins 0.075,0.985,", with_digits(58 / height, 4), ',', with_digits(1 - 36 / height, 4), " spacing 0.055,",
      with_digits(48 / height, 4),
      "\nset linetype 1 linecolor rgb \"#20639b\"\nset linetype 2 linecolor rgb \"#ed553b\"\n"
      "set linetype 3 linecolor rgb \"#3caea3\"\nset linetype 4 linecolor rgb \"#f6d55c\"\n"
      "set linetype 5 linecolor rgb \"#173f5f\"\nset linetype 6 linecolor rgb \"#9b5de5\"\nset linetype cycle 6\n"
      "unset key\n");
  for (Index i = 0; i < rows; ++i) {
    const bool first = i == 0, last = i + 1 == rows;
    const auto panel = [&](const char* title, const char* label, Index block, const std::string& range,
                           const char* drawn) {
      script +=
          scorematch::detail::text(first ? scorematch::detail::text("set title \"", title, '"') : "unset title", '\n',
                                   "set xlabel \"", last ? label : "", "\" offset 0,0.3\n", range, "plot ", drawn,
                                   "for [c=2:", chains + 1, "] data index ", 3 * i + block, " using 1:c with ",
                                   block == 1   ? "histeps linetype c-1 linewidth 1.6\n"
                                   : block == 0 ? "lines linetype c-1 linewidth 0.8\n"
                                                : "lines linetype c-1 linewidth 1.6\n");
    };
    script += "set ylabel " + gnuplot_quoted(names[static_cast<std::size_t>(i)]) + "\n";
    panel("trace", "kept state", 0,
          scorematch::detail::text("set xrange [0:", kept, "]\nset yrange ", ranges[static_cast<std::size_t>(i)], '\n'),
          "");
    script += "unset ylabel\n";
    panel("ranks, 1: as of one law", "rank/draws", 1, "set xrange [0:1]\nset yrange [0:*]\n",
          "1 with lines linecolor rgb \"#999999\", ");
    panel("autocorrelation", "lag", 2, scorematch::detail::text("set xrange [0:", lags, "]\nset yrange [*<-0.3:1]\n"),
          "0 with lines linecolor rgb \"#999999\", ");
  }
  return script + "unset multiplot\n";
}

/// Writes path.dat and path.gnuplot, which draws path.png of both: for up to 6 coordinates traces, rank histograms
/// (Vehtari et al. 2021, §5) and autocorrelations, a colour per chain.
///
///   sm::diagnostics::write_trace_picture("build/chains", {draws.points, draws.chains});   // then: gnuplot
///   build/chains.gnuplot
///
/// `path` is without an ending; its folder must exist. The script names its files by `path`: run gnuplot where the
/// program ran. names: d of them, or none for x[0], x[1], ….
/// Throws std::invalid_argument for options, names and columns that do not fit and for no draws, std::runtime_error
/// where writing fails.
inline void write_trace_picture(const std::string& path, const ChainPoints& draws,
                                const std::vector<std::string>& names = {}, const TracePictureOptions& options = {}) {
  options.validate();
  draws.validate();
  const Index d = draws.points.rows(), chains = std::min(options.chains, draws.chains);
  extend::require(d >= 1 && draws.kept() >= 1, {"write_trace_picture: there are no draws"});
  extend::require(path.find('\n') == std::string::npos, {"write_trace_picture: path holds a line's end"});
  const std::vector<std::string> all_names = coordinate_names(names, d);
  std::vector<Index> coordinates = options.coordinates;
  for (Index i = 0; i < std::min<Index>(d, 6) && options.coordinates.empty(); ++i) coordinates.push_back(i);
  std::vector<std::string> drawn, ranges;
  std::string data;
  for (const Index i : coordinates) {
    extend::require_within(i, 0, d - 1, "TracePictureOptions: an entry of coordinates");
    drawn.push_back(all_names[static_cast<std::size_t>(i)]);
    const Eigen::MatrixXd x = draws.coordinate(i);
    ranges.push_back(gnuplot_range(x, chains));
    data += gnuplot_block("trace: kept state, a column per chain", trace_block(x, chains, options.points));
    data += gnuplot_block("ranks: share of the ranks, a column per chain", rank_block(x, chains, options.bins));
    data += gnuplot_block("autocorrelation: lag, a column per chain", autocorrelation_block(x, chains, options.lags));
  }
  for (const auto& [ending, text] :
       {std::pair<const char*, std::string>{".dat", data},
        {".gnuplot", trace_script(path, drawn, ranges, chains, draws.kept(),
                                  std::max<Index>(1, std::min(options.lags, draws.kept() - 1)))}}) {
    io::OutputFile file(path + ending);
    file.write(text);
    file.finish();
  }
}

/// The same of points of chains, d × (chains · kept)
inline void write_trace_picture(const std::string& path, const Eigen::Ref<const Eigen::MatrixXd>& points, Index chains,
                                const std::vector<std::string>& names = {}, const TracePictureOptions& options = {}) {
  write_trace_picture(path, ChainPoints{points, chains}, names, options);
}

}  // namespace scorematch::diagnostics
