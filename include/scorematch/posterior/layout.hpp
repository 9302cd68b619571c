// Named parameters in a vector x of free numbers: a posterior's formula reads them where they may lie, with the log
// Jacobian of the maps; draws are mapped back for summaries.
#pragma once

#include <concepts>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "scorematch/posterior/domains.hpp"

namespace scorematch {

class Layout;

/// What a formula reads of x by a Layout. It lives as long as the formula runs. V: formula::Value.
template <class V>
class LaidOut {
 public:
  /// For Layout::read.
  LaidOut(const Layout& layout, const V& x, const V& jacobian) : log_jacobian(jacobian), layout_(&layout), x_(x) {}

  /// The parameter of this name: a value with as many elements as it has (`correlation`: its Cholesky factor).
  V operator[](std::string_view name) const;

  V log_jacobian;  ///< Σ log |∂parameter/∂x|: to be added to the log density of the parameters

 private:
  const Layout* layout_;
  V x_;
};

namespace log_density::engine {

/// Which domain a name has is known when a formula is recorded, not when it is compiled.
template <bool recorded>
constexpr bool require_recorded_layout() {
  static_assert(recorded,
                "a Layout does not go with energy_model<D>(formula): write energy_model(dimension, formula), or use "
                "domains themselves, as in domain::above{}.value(x[1])");
  return recorded;
}

}  // namespace log_density::engine

/// Names parameters, says where each may lie, and lays them out in x in the order in which they are named.
///
///   sm::Layout layout;
///   layout.real("mu").positive("tau").vector("z", 8);
///   const auto posterior = sm::energy_model(layout.dimension(), [&](auto x, auto) {
///     const auto p = layout.read(x);
///     const auto mu = p["mu"], tau = p["tau"];
///     return -(sm::log_density::normal(mu, 0.0, 5.0) + sm::log_density::half_cauchy(tau, 5.0) +
///              sm::log_density::normal(p["z"], 0.0, 1.0) + sm::log_density::normal(y, mu + tau * p["z"], sigma) +
///              p.log_jacobian);
///   });
///   const Eigen::MatrixXd table = layout.constrain(draws.points);   // row k is layout.names()[k]
///
/// A formula that is recorded, energy_model(dimension, formula), reads a layout; compiled ones use domains themselves,
/// domain::above{}.value(x[1]).
class Layout {
 public:
  /// The domains that a parameter can have.
  using AnyDomain = std::variant<domain::real, domain::above, domain::interval, domain::ordered, domain::simplex,
                                 domain::correlation>;

  /// A number.
  Layout& real(const std::string& name) { return add(name, domain::real{}); }
  /// `count` numbers.
  Layout& vector(const std::string& name, Index count) {
    return add(name, domain::real{.free = at_least(count, 1, name)});
  }
  /// One or more numbers above 0: exp.
  Layout& positive(const std::string& name, Index count = 1) { return above(name, 0, count); }
  /// One or more numbers above `low`.
  Layout& above(const std::string& name, double low, Index count = 1) {
    extend::require(std::isfinite(low), {"Layout: low of ", name, " is ", low, "; it must be finite"});
    return add(name, domain::above{.low = low, .free = at_least(count, 1, name)});
  }
  /// One or more numbers between `low` and `high`, low < high.
  Layout& interval(const std::string& name, double low, double high, Index count = 1) {
    extend::require(
        std::isfinite(low) && std::isfinite(high - low) && low < high,
        {"Layout: ", name, " is to lie between ", low, " and ", high, "; low must be below high, both finite"});
    return add(name, domain::interval{.low = low, .high = high, .free = at_least(count, 1, name)});
  }
  /// count ≥ 2 increasing numbers.
  Layout& ordered(const std::string& name, Index count) {
    return add(name, domain::ordered{.free = at_least(count, 2, name)});
  }
  /// count ≥ 2 positive numbers with the sum 1.
  Layout& simplex(const std::string& name, Index count) {
    return add(name, domain::simplex{.size = at_least(count, 2, name)});
  }
  /// A correlation matrix of `order` ≥ 2 variables.
  Layout& correlation(const std::string& name, Index order) {
    return add(name, domain::correlation{.order = at_least(order, 2, name)});
  }

  /// How many free numbers there are: the dimension of x.
  Index dimension() const { return dimension_; }
  /// How many numbers the parameters have.
  Index size() const { return static_cast<Index>(names_.size()); }
  /// The names of the parameters' elements: the rows of `constrain`.
  const std::vector<std::string>& names() const { return names_; }

  /// For formulas: the parameters at x.
  template <class X>
  auto read(const X& x) const {
    if constexpr (log_density::engine::require_recorded_layout<log_density::is_recorded<X>>()) {
      extend::require(x.size() == dimension_ && dimension_ > 0,
                      {"Layout::read: x has ", x.size(), " elements; the layout has ", dimension_});
      return LaidOut<X>(*this, x, log_jacobian(x));
    } else {
      return x;
    }
  }

  /// For formulas: one parameter at x.
  template <std::same_as<formula::Value> X>
  X read(const X& x, std::string_view name) const {
    const Block& block = find(name);
    return std::visit([&](const auto& domain) { return domain.value(x.segment(block.first, domain.free)); },
                      block.domain);
  }

  /// The parameters of points (dimension × N, as a sampler's draws): size × N.
  Eigen::MatrixXd constrain(const Eigen::Ref<const Eigen::MatrixXd>& points) const {
    extend::require(points.rows() == dimension_, {"Layout::constrain: the points have ", points.rows(),
                                                  " rows; the layout has dimension ", dimension_});
    Eigen::MatrixXd values(size(), points.cols());
    for (const Block& block : blocks_)
      std::visit(
          [&](const auto& domain) {
            for (Index n = 0; n < points.cols(); ++n)
              put(domain.constrain(part(points, block.first, n, domain.free)), block.first_value, n, values);
          },
          block.domain);
    return values;
  }

  /// The points of parameters (size × N): the inverse of `constrain`. Throws where a parameter is not in its domain.
  Eigen::MatrixXd unconstrain(const Eigen::Ref<const Eigen::MatrixXd>& values) const {
    extend::require(values.rows() == size(),
                    {"Layout::unconstrain: the values have ", values.rows(), " rows; the layout has ", size()});
    Eigen::MatrixXd points(dimension_, values.cols());
    for (const Block& block : blocks_)
      std::visit(
          [&](const auto& domain) {
            for (Index n = 0; n < values.cols(); ++n)
              put(domain.unconstrain(part(values, block.first_value, n, domain.size), block.name), block.first, n,
                  points);
          },
          block.domain);
    return points;
  }

 private:
  struct Block {
    std::string name;
    AnyDomain domain;
    Index first, first_value;  ///< in x, and in the rows of `constrain`
  };

  static Index at_least(Index count, Index least, const std::string& name) {
    extend::require(count >= least && count <= 1'000'000,
                    {"Layout: ", name, " is given the size ", count, "; it must be from ", least, " to 1000000"});
    return count;
  }

  template <class Domain>
  Layout& add(const std::string& name, const Domain& domain) {
    extend::require(!name.empty(), {"Layout: a parameter has an empty name"});
    for (const Block& block : blocks_)
      extend::require(block.name != name, {"Layout: two parameters are called ", name});
    blocks_.push_back({name, domain, dimension_, size()});
    dimension_ += domain.free;
    domain.name_elements(name, names_);
    return *this;
  }

  const Block& find(std::string_view name) const {
    for (const Block& block : blocks_)
      if (block.name == name) return block;
    std::string known;
    for (const Block& block : blocks_) known += (known.empty() ? "" : ", ") + block.name;
    throw std::invalid_argument(
        detail::text("scorematch: Layout: there is no parameter ", name, "; its parameters are ", known));
  }

  // Elements row … row + count − 1 of a column.
  static Eigen::VectorXd part(const Eigen::Ref<const Eigen::MatrixXd>& X, Index row, Index column, Index count) {
    Eigen::VectorXd elements(count);
    for (Index i = 0; i < count; ++i) elements[i] = X(row + i, column);
    return elements;
  }
  static void put(const Eigen::VectorXd& elements, Index row, Index column, Eigen::MatrixXd& X) {
    for (Index i = 0; i < elements.size(); ++i) X(row + i, column) = elements[i];
  }

  template <class X>
  X log_jacobian(const X& x) const {
    X sum = formula::constant(x, 0.0);
    for (const Block& block : blocks_)
      if (!std::holds_alternative<domain::real>(block.domain))
        sum = sum +
              std::visit([&](const auto& domain) { return domain.log_jacobian(x.segment(block.first, domain.free)); },
                         block.domain);
    return sum;
  }

  std::vector<Block> blocks_;
  std::vector<std::string> names_;
  Index dimension_ = 0;
};

template <class V>
V LaidOut<V>::operator[](std::string_view name) const {
  return layout_->read(x_, name);
}

}  // namespace scorematch
