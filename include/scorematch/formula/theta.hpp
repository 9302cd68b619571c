// theta("name", shape…): parameters, declared where they are used, and how they start.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "scorematch/formula/value.hpp"
#include "scorematch/random/stream.hpp"

namespace scorematch {

/// Every element of the block starts at `number`: theta("width", sm::start_at(2.0)), theta("w", 5, sm::start_at(0.1)).
struct start_at {
  double number;  ///< the start of every element
  /// With that number.
  explicit start_at(double value) : number(value) {}

  /// Fills the block.
  void operator()(const std::string&, Eigen::MatrixXd& block) const { std::fill_n(block.data(), block.size(), number); }
};

/// Uniform on ±√(6/(rows + cols)) (Glorot & Bengio 2010, equation 16): for tanh layers.
struct start_glorot {
  std::uint64_t seed = 0;  ///< any; blocks of other names have other numbers

  /// Fills the block that has this name, as `seed` and the name have it.
  void operator()(const std::string& name, Eigen::MatrixXd& block) const {
    Stream stream = detail::named_stream({seed, extend::Purpose::initial_parameters}, name);
    const double bound = std::sqrt(6.0 / static_cast<double>(block.rows() + block.cols()));
    for (Index i = 0; i < block.size(); ++i) block.data()[i] = bound * (2 * stream.uniform() - 1);
  }
};

/// N(0, gain²/cols): gain √2 is He et al. 2015, equation 10, for rectifiers and SiLU; gain 1 is LeCun's.
struct start_scaled_normal {
  double gain = 1.4142135623730951;  ///< the factor of the deviation
  std::uint64_t seed = 0;            ///< any; blocks of other names have other numbers

  /// Fills the block that has this name, as `seed` and the name have it.
  void operator()(const std::string& name, Eigen::MatrixXd& block) const {
    Stream stream = detail::named_stream({seed, extend::Purpose::initial_parameters}, name);
    for (Index i = 0; i < block.size(); ++i)
      block.data()[i] = gain / std::sqrt(static_cast<double>(block.cols())) * stream.normal();
  }
};

/// N(0, sigma²) for every element.
struct start_normal {
  double sigma = 1;        ///< the standard deviation
  std::uint64_t seed = 0;  ///< any; blocks of other names have other numbers

  /// Fills the block that has this name, as `seed` and the name have it.
  void operator()(const std::string& name, Eigen::MatrixXd& block) const {
    Stream stream = detail::named_stream({seed, extend::Purpose::initial_parameters}, name);
    for (Index i = 0; i < block.size(); ++i) block.data()[i] = sigma * stream.normal();
  }
};

}  // namespace scorematch

namespace scorematch::formula {

/// Fills a block of θ, given its name: scorematch::start_at, glorot, scaled_normal, normal, or the user's own.
template <class I>
concept Initialiser = !requires {
  typename I::PlainObject;
} /* Eigen's own */
&&requires(const I& initialiser, const std::string& name, Eigen::MatrixXd& block) { initialiser(name, block); };

/// The argument `theta` of a formula.
///
///   theta("a")            a number, 0 at the start       theta("a", sm::start_at(1.0))
///   theta("v", 3)         a vector                       theta("v", Eigen::Vector3d(1, 2, 3))
///   theta("W", 4, 3)      a 4 × 3 matrix                 theta("W", 4, 3, sm::start_glorot{.seed = 7})
///
/// The same name with the same shape is the same parameter; with another shape it throws std::invalid_argument.
class Theta {
 public:
  /// For the library, which makes one for each formula; the prefix stands before every name.
  explicit Theta(Recorder& recorder, std::string prefix = {}) : recorder_(recorder), prefix_(std::move(prefix)) {}

  /// The parameter of this name, as a number, a vector or a matrix; it starts at 0 or as the initialiser has it.
  ///@{
  Value operator()(const std::string& name) const { return declare(name, 1, 1, scorematch::start_at(0)); }

  template <class Shape>
  requires std::is_arithmetic_v<Shape> Value operator()(const std::string& name, Shape rows) const {
    static_assert(std::integral<Shape>,
                  "theta(\"name\", n) takes a whole number, the size; a start value is sm::start_at(number)");
    return declare(name, static_cast<Index>(rows), 1, scorematch::start_at(0));
  }

  template <class Rows, class Cols>
  requires std::is_arithmetic_v<Rows> && std::is_arithmetic_v<Cols> Value operator()(const std::string& name, Rows rows,
                                                                                     Cols cols) const {
    static_assert(std::integral<Rows> && std::integral<Cols>,
                  "theta(\"name\", rows, cols) takes whole numbers, the shape; a start value is sm::start_at(number)");
    return declare(name, static_cast<Index>(rows), static_cast<Index>(cols), scorematch::start_at(0));
  }

  template <Initialiser I>
  Value operator()(const std::string& name, const I& initialiser) const {
    return declare(name, 1, 1, initialiser);
  }

  template <Initialiser I>
  Value operator()(const std::string& name, std::integral auto rows, const I& initialiser) const {
    return declare(name, static_cast<Index>(rows), 1, initialiser);
  }

  template <Initialiser I>
  Value operator()(const std::string& name, std::integral auto rows, std::integral auto cols,
                   const I& initialiser) const {
    return declare(name, static_cast<Index>(rows), static_cast<Index>(cols), initialiser);
  }
  ///@}

  /// An Eigen object brings shape and start values.
  template <class D>
  Value operator()(const std::string& name, const Eigen::DenseBase<D>& values) const {
    const Eigen::MatrixXd block = values.derived().template cast<double>();
    return declare(name, block.rows(), block.cols(), [&](const std::string&, Eigen::MatrixXd& to) { to = block; });
  }

  /// The same θ with "prefix." before every name.
  Theta under(std::string_view prefix) const {
    extend::require(!prefix.empty(), {"named(\"\", theta) has an empty name; parameters are called NAME.parameter"});
    return Theta(recorder_.get(), prefix_ + std::string(prefix) + ".");
  }

 private:
  template <class I>
  Value declare(const std::string& short_name, Index rows, Index cols, const I& initialiser) const;

  RecorderAtWork recorder_;
  std::string prefix_;  ///< put before every name
};

// Outside of the class, so that who links scorematch::precompiled need not compile it for every number's start.
template <class I>
Value Theta::declare(const std::string& short_name, Index rows, Index cols, const I& initialiser) const {
  const std::string name = prefix_.empty() ? short_name : prefix_ + short_name;
  const auto values = [&] {
    Eigen::MatrixXd block(rows, cols);
    initialiser(name, block);
    bool finite = true;
    for (Index i = 0; i < block.size(); ++i) finite = finite && std::isfinite(block.data()[i]);
    extend::require(block.rows() == rows && block.cols() == cols && finite,
                    {"the start of theta(\"", name, "\") has a number that is not finite, or another shape than ", rows,
                     " × ", cols});
    Eigen::VectorXd numbers(block.size());
    std::copy_n(block.data(), block.size(), numbers.data());
    return numbers;
  };
  return {recorder_.get(), recorder_.get().parameter(name, rows, cols, values)};
}

/// θ for a part of a formula: what the part calls theta("a") is the parameter "prefix.a".
///   return gaussian(x, named("prior", theta)) + gaussian(x, named("noise", theta));
inline Theta named(std::string_view prefix, const Theta& theta) { return theta.under(prefix); }

namespace recording {

struct TakesTwo {
  template <class A, class B>
  void operator()(A, B) const;
};
template <class F>
struct BesideTakesTwo : F, TakesTwo {
  using F::operator();
  using TakesTwo::operator();
};

/// Whether F takes (x, theta), as far as that can be told without its body: an error inside a formula must not be put
/// down to how it is called. If a generic F does, the call is ambiguous. To be asked before F is called anywhere:
/// compilers forget functions with errors.
template <class F, class X, class Theta>
constexpr bool takes_two() {
  if constexpr (!std::is_class_v<F> || std::is_final_v<F>)
    return std::is_invocable_v<F&, X, Theta>;
  else
    return !requires(const BesideTakesTwo<F>& f, X x, Theta theta) { f(x, theta); };
}

/// Runs `formula` once: (x, theta), (x, sigma, theta) for a noise-conditional one, or (x, sigma, label, theta) for one
/// of `classes` classes as well. x is a vector of size `dimension`, label one of size `classes`.
template <class F>
Record record(Index dimension, F&& formula, Index classes = 0) {
  constexpr bool takes_x_and_theta = takes_two<std::remove_cvref_t<F>, Value, Theta>();
  extend::require_at_least(dimension, 1, "dimension");
  Recorder recorder(dimension);
  const Value x(recorder, recorder.add({.operation = Operation::input, .rows = dimension}));
  const Theta theta(recorder);
  const auto run = [&](const auto&... arguments) {
    constexpr bool returns_value = std::is_same_v<std::remove_cvref_t<decltype(formula(arguments...))>, Value>;
    static_assert(returns_value,
                  "a formula must return a value made of x and theta (not a plain number, a Condition or nothing)");
    if constexpr (returns_value) {
      const Value result = formula(arguments...);
      extend::require(&result.recorder() == &recorder, {"a formula returns a value of another formula"});
      extend::require(result.cols() == 1,
                      {"a formula returns ", shape_text(result), "; it must return a number or a vector"});
      return recorder.finish(result.index());
    } else {
      return Record{};
    }
  };
  Record made;
  if constexpr (std::is_invocable_v<F&, Value, Value, Value, Theta>) {
    extend::require(classes >= 1,
                    {"a formula f(x, sigma, label, theta) needs the number of its classes, at least 1: write "
                     "score_model(d, sm::classes{10}, formula); found ",
                     classes});
    const Value sigma(recorder, recorder.add({.operation = Operation::sigma}));
    const Value label(recorder, recorder.add({.operation = Operation::label, .rows = classes}));
    made = run(x, sigma, label, theta);
    made.takes_sigma = true;
    made.classes = classes;
  } else if constexpr (std::is_invocable_v<F&, Value, Value, Theta>) {
    const Value sigma(recorder, recorder.add({.operation = Operation::sigma}));
    made = run(x, sigma, theta);
    made.takes_sigma = true;
  } else if constexpr (std::is_invocable_v<F&, Value, Theta>) {
    made = run(x, theta);
  } else {
    static_assert(
        takes_x_and_theta,
        "a formula is called as formula(x, theta), formula(x, sigma, theta) or formula(x, sigma, label, theta)");
  }
  extend::require(
      made.classes == classes,
      {"classes{", classes, "} is given, but the formula takes no label; write it as f(x, sigma, label, theta)"});
  return made;
}

}  // namespace recording
using namespace recording;

}  // namespace scorematch::formula

namespace scorematch {

/// How many classes a conditional model knows: score_model(64, classes{10}, [](auto x, auto sigma, auto label, auto
/// theta) …). In the formula `label` is a vector of size `count`: 1 at the sample's class, 0 elsewhere, so that
/// theta("class", width, 10) * label picks a column; for a sample without a class it is 0.
struct classes {
  Index count;  ///< from 1 on
};

using formula::named;

}  // namespace scorematch
