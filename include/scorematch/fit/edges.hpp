// Where data end sharply: score matching wants densities on all of ℝᵈ that vanish at infinity.
//
// Near an edge at which a density is above 0 the gaps between neighbouring samples are alike; in a tail they grow
// outward, the i-th from the end like 1/i (Rényi's representation, for exponential tails; those of a normal law grow a
// little less, heavy ones more). Both laws of the k outermost gaps have one free scale, and the logarithm of their
// likelihood ratio tells which one holds.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "scorematch/check.hpp"

namespace scorematch {

namespace detail {

/// An end of a row of the data that samples crowd.
struct SharpEdge {
  Index row = 0;
  bool upper = false;   ///< the largest value, else the smallest
  double at = 0;        ///< that value
  Index samples = 0;    ///< how many of the outermost samples show it best
  double evidence = 0;  ///< the log likelihood ratio of a sharp edge to a tail
};

}  // namespace detail

namespace fitting {

/// Equal numbers (rounded ones, counts) spread evenly over what is nearer to them than to other numbers. `x` ascends;
/// some numbers differ.
inline std::vector<double> spread_ties(const std::vector<double>& x) {
  std::vector<double> spread = x;
  for (std::size_t from = 0, to; from < x.size(); from = to) {
    to = from;
    while (to < x.size() && x[to] == x[from]) ++to;
    if (to - from == 1) continue;
    const double below = from > 0 ? 0.5 * (x[from] - x[from - 1]) : 0.5 * (x[to] - x[from]),
                 above = to < x.size() ? 0.5 * (x[to] - x[from]) : below;
    for (std::size_t i = from; i < to; ++i)
      spread[i] =
          x[i] - below + (below + above) * (static_cast<double>(i - from) + 0.5) / static_cast<double>(to - from);
  }
  return spread;
}

/// log Π_i (likelihood of gap i, all alike) − log Π_i (likelihood of gap i, the i-th from the end like 1/i), each law
/// with the scale that fits best; and the same with the order reversed. Gaps of y[0] … y[k].
struct GapLaws {
  double outward = 0, inward = 0;
  double largest = 0;  ///< gap, beside their mean
};
inline GapLaws gap_laws(const std::vector<double>& y, std::size_t k) {
  double gaps = 0, from_edge = 0, to_edge = 0, orders = 0, largest = 0;
  for (std::size_t i = 1; i <= k; ++i) {
    const double gap = y[i] - y[i - 1];
    gaps += gap;
    largest = std::max(largest, gap);
    from_edge += static_cast<double>(i) * gap;
    to_edge += static_cast<double>(k + 1 - i) * gap;
    orders += std::log(static_cast<double>(i));
  }
  if (!(gaps > 0)) return {};
  const auto n = static_cast<double>(k);
  return {n * std::log(from_edge / gaps) - orders, n * std::log(to_edge / gaps) - orders, n * largest / gaps};
}

/// The best evidence over windows of 16, 24, 36, … gaps up to a fifth of the samples; `x` ascends, and its lower end is
/// looked at. Windows hold the two smallest values whole, however many samples have them: within equal numbers all gaps
/// are alike. Where a window holds a small cluster, with both its tails, its outer parts tell; where it ends beyond
/// one, gaps grow inward.
inline detail::SharpEdge lower_edge(const std::vector<double>& x) {
  detail::SharpEdge best;
  best.at = x.front();
  const std::vector<double> y = spread_ties(x);
  std::size_t tied = 0, values = 0;  // samples that have one of the two smallest values
  for (; tied < x.size(); ++tied)
    if ((tied == 0 || x[tied] != x[tied - 1]) && ++values == 3) break;
  const std::size_t least = std::max<std::size_t>(16, tied - 1), most = std::max(x.size() / 5, tied > 17 ? least : 0);
  for (std::size_t k = least; k <= most; k += k / 2) {
    const GapLaws laws = gap_laws(y, k);
    const bool cluster = !(tied > 17 && k == least) && laws.largest > std::log(static_cast<double>(k)) + 5;
    bool sharp = !cluster && laws.inward > -0.25 * static_cast<double>(k) && gap_laws(y, k / 2).outward > 0;
    for (std::size_t part = k / 4; part >= 8 && sharp; part /= 2) sharp = gap_laws(y, part).outward > -2;
    if (!sharp) continue;
    if (best.samples > 0 && !(laws.outward > best.evidence)) continue;
    best.evidence = laws.outward;
    best.samples = static_cast<Index>(k) + 1;
  }
  return best;
}

/// Every how many samples one is looked at: fewer than 40000 of them, of which all are.
inline Index edge_stride(Index samples) { return std::max<Index>(1, samples / 20000); }

}  // namespace fitting

namespace detail {

/// Ends of the rows of X (d × N) that many samples crowd: exponential or uniform data, truncated ones, counts that
/// begin at 0. At such an edge the integration by parts behind the implicit loss leaves a boundary term, and a fit of a
/// model on all of ℝᵈ is biased, however well it converges.
///
/// A warning, no proof. Of rows without an edge, normal, Student or logistic, rounded to no more than their deviation
/// or not, one in a thousand is reported; with tails as light as exp(−x⁴), and of mixtures, up to one in a hundred. Of
/// 300 exponential, uniform or half-normal samples about 90 % are, of 1000 all; of densities that fall to 0 at an edge
/// some. Silent for fewer than 80 samples and constant rows. At most 20000 samples are looked at, evenly taken. Entries
/// must be finite.
template <class Derived>
std::vector<SharpEdge> sharp_edges(const Eigen::MatrixBase<Derived>& X) {
  constexpr double sure = 10;
  std::vector<SharpEdge> edges;
  const Index N = X.cols(), stride = fitting::edge_stride(N);
  if (N < 80) return edges;
  std::vector<double> x, mirrored;
  for (Index row = 0; row < X.rows(); ++row) {
    x.clear();
    for (Index i = 0; i < N; i += stride) x.push_back(static_cast<double>(X.derived().coeff(row, i)));
    std::sort(x.begin(), x.end());
    if (!(x.front() < x.back())) continue;
    mirrored.resize(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) mirrored[i] = -x[x.size() - 1 - i];
    for (const bool upper : {false, true}) {
      SharpEdge edge = fitting::lower_edge(upper ? mirrored : x);
      if (!(edge.evidence > sure)) continue;
      edge.row = row;
      edge.upper = upper;
      if (upper) edge.at = -edge.at;
      edges.push_back(edge);
    }
  }
  return edges;
}

/// In words, one line per edge: "row 2 ends sharply at its smallest value, 0 …". Rows may have names.
inline std::string describe_edges(const std::vector<SharpEdge>& edges, const std::vector<std::string>& names = {}) {
  std::string all;
  for (const SharpEdge& edge : edges) {
    const auto row = static_cast<std::size_t>(edge.row);
    all += row < names.size() ? names[row] : text("row ", edge.row);
    all += text(" ends sharply at its ", edge.upper ? "largest" : "smallest", " value, ", edge.at,
                ": score matching wants a density on all of R^d; a logarithm of the distance to the edge may help\n");
  }
  return all;
}

}  // namespace detail

}  // namespace scorematch
