// Points of several chains, as the library's samplers and as tables of other programs have them.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// Points of chains of the same length, in the order that `sample` keeps them:
///
///   sm::diagnostics::ChainPoints{draws.points, draws.chains}
///
/// of other programs `chain_points` makes them.
struct ChainPoints {
  Eigen::MatrixXd points;  ///< d × (chains · kept): all chains' first kept state, then all chains' second, …
  Index chains = 1;        ///< ≥ 1

  /// How many states of each chain there are.
  Index kept() const { return points.cols() / chains; }

  /// Throws std::invalid_argument unless the columns are whole rounds of the chains.
  void validate() const {
    extend::require_at_least(chains, 1, "ChainPoints: chains");
    extend::require(points.cols() % chains == 0,
                    {"ChainPoints: points has ", points.cols(), " columns, which ", chains,
                     " chains do not divide; it must be d × ",
                     "(chains · kept): all chains' first kept state, then all chains' second, …"});
  }

  /// Coordinate i along the chains: kept × chains.
  Eigen::MatrixXd coordinate(Index i) const {
    Eigen::MatrixXd along(kept(), chains);
    for (Index k = 0; k < kept(); ++k)
      for (Index c = 0; c < chains; ++c) along(k, c) = points(i, k * chains + c);
    return along;
  }

  /// f of every point along the chains: kept × chains.
  Eigen::MatrixXd values_of(const std::function<double(const Eigen::VectorXd&)>& f) const {
    Eigen::MatrixXd along(kept(), chains);
    Eigen::VectorXd x(points.rows());
    for (Index k = 0; k < kept(); ++k)
      for (Index c = 0; c < chains; ++c) {
        for (Index i = 0; i < x.size(); ++i) x[i] = points(i, k * chains + c);
        along(k, c) = f(x);
      }
    return along;
  }
};

/// Points in the order of a table, and for each the number of its chain: those of one chain in their order, chains one
/// after another or mixed. Chains are put in the order of their numbers, which need not begin at 0.
///
///   const sm::CsvTable table = …;  // with the chain's number in a column of its own
///   auto chains = sm::diagnostics::chain_points(X, numbers);
///
/// points: d × N. Throws std::invalid_argument unless there is a number for each column, and all chains are as long;
/// then it names the first chain that is not, and both lengths.
inline ChainPoints chain_points(const Eigen::Ref<const Eigen::MatrixXd>& points, const std::vector<Index>& chain_of) {
  extend::require(static_cast<Index>(chain_of.size()) == points.cols(),
                  {"chain_points: chain_of has ", chain_of.size(), " numbers for ", points.cols(),
                   " columns of points; each column needs the number of its chain"});
  std::vector<Index> numbers = chain_of;
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  const Index chains = static_cast<Index>(numbers.size());
  extend::require(chains >= 1, {"chain_points: points has no columns; at least one sample is needed"});
  std::vector<Index> length(numbers.size(), 0);
  ChainPoints result{Eigen::MatrixXd(points.rows(), points.cols()), chains};
  const auto place_of = [&](Index number) {
    return static_cast<std::size_t>(std::lower_bound(numbers.begin(), numbers.end(), number) - numbers.begin());
  };
  for (const Index number : chain_of) ++length[place_of(number)];
  for (std::size_t c = 1; c < length.size(); ++c)
    extend::require(length[c] == length[0], {"chain_points: chain ", numbers[c], " has ", length[c], " samples, chain ",
                                             numbers[0], " has ", length[0], "; all chains must be as long"});
  std::fill(length.begin(), length.end(), Index{0});
  for (Index column = 0; column < points.cols(); ++column) {
    const std::size_t c = place_of(chain_of[static_cast<std::size_t>(column)]);
    const Index place = length[c]++ * chains + static_cast<Index>(c);
    for (Index i = 0; i < points.rows(); ++i) result.points(i, place) = points(i, column);
  }
  return result;
}

/// The names given, or x[0], x[1], …; throws unless there are d of them or none.
inline std::vector<std::string> coordinate_names(const std::vector<std::string>& names, Index d) {
  extend::require(names.empty() || static_cast<Index>(names.size()) == d,
                  {"names has ", names.size(), " entries for ", d, " coordinates; give each its name, or none"});
  std::vector<std::string> all = names;
  for (Index i = static_cast<Index>(all.size()); i < d; ++i) all.push_back(detail::text("x[", i, ']'));
  return all;
}

}  // namespace scorematch::diagnostics
