// Names that users choose: in a formula, argument-dependent look-up finds operators and the documented language, and
// nothing else of the library, whatever a user calls helpers of their own.
#include "catch.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "scorematch/formula/compose.hpp"
#include "scorematch/formula/linear_form.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/network/preconditioning.hpp"
#include "scorematch/network/residual_network.hpp"

namespace sm = scorematch;

// (clang-format never comes to rest on lists of this length.)
// clang-format off

// What formula/value.hpp documents, and named(prefix, theta).
#define LANGUAGE(F) \
  F(reciprocal) F(square) F(sqrt) F(exp) F(log) F(log1p) F(expm1) F(tanh) F(sigmoid) F(softplus) F(silu) F(sin) \
  F(cos) F(erf) F(abs) F(lgamma) F(pow) F(where) F(max) F(min) F(sum) F(mean) F(dot) F(squared_norm) F(norm) F(log_sum_exp) \
  F(size) F(segment) F(head) F(tail) F(concat) F(stack) F(column) F(transpose) F(quadratic_form) F(named)

// Every other function of the rooms that a formula passes through.
#define ENGINE(F) \
  F(call) F(noise_level) F(class_vector) F(each) F(combined) F(add_product) F(product) F(slopes_at_edge) F(apply) \
  F(chosen) F(write_elements) F(make_uniform) F(element_of) F(vector_of) F(common_slots) F(as_value) \
  F(require_sizes) F(has_row) F(row_at) F(scaled_row) F(combined_rows) F(rescaled) F(elementwise) F(total) \
  F(matrix_times) F(product_of) F(compared) F(chosen_values) F(reduced) F(log_sum_exp_of) F(number) \
  F(slopes_of_logarithm) F(saturated_tanh_slope) F(saturated_sigmoid_rest) F(function_slopes) F(at_rest) \
  F(slopes_at) F(function_values) F(loop_values) F(loop_slopes) F(loop_first_slopes) F(chunk_of) F(may_withhold) \
  F(require_may_withhold) F(block_size) F(copy_row) F(add_row) F(require_given) F(set_points) F(set_directions) \
  F(openmp_threads) F(openmp_place) F(openmp_with_serial_eigen) F(wait_until) F(thread_seconds) F(tell) \
  F(for_each_piece) F(quoted) F(quoted_parameter) F(require_distinct_names) F(composed) F(activate) \
  F(require_recorded) F(require_recorded_if) F(dense) F(fourier_features) F(parameter_of) F(classify) F(linearity) \
  F(features_of) F(record) F(is_linear_in_parameters) F(mlp) F(edm_score) F(edm_energy) F(most) F(natural_less) \
  F(residual_network) F(takes_two) F(constant) F(shape_text) F(require_one_formula) F(paired) F(scaled) F(reduction) \
  F(dot_product) F(selected) F(concatenated) F(count_of) F(value) F(load_as) F(store_as) F(for_lanes) F(sum_of) \
  F(machine_sqrt) F(minimum) F(maximum) F(machine_scale) F(machine_exponent) F(machine_mantissa_from_one) F(fused) \
  F(machine_mantissa) F(table_entry) F(any_above) F(clamp) F(bits) F(sum_of_terms) F(polynomial) F(with_sign_of) \
  F(upper_half) F(log2_in_two_parts) F(shifted_for_stirling) F(for_positive) F(polygammas) F(uses_of_nodes) F(node_of) F(owners_of_columns) F(shared_columns) \
  F(single_summands) F(is_optional) F(taken_with) F(form_product) F(form_vector) F(steady_adjoints) F(read_for_x) \
  F(facts_of) F(power_of_two) F(times_power_of_two) F(split) F(reduced_expm1) F(reduce_by_ln2) F(half_tangent) \
  F(reduced_log1p) F(minus_two_log_of_half_by_table) F(turn_by_quarters) F(sine_cosine_by_table) \
  F(replace_beyond_limit) F(minus_two_log_of_half) F(sigmoids) F(sine_cosine) F(sine_cosine_of_turns) \
  F(sine_cosine_between_quarters) F(pow_integer) F(load) F(store) F(broadcast) F(select) F(sum_of_lanes) F(halves) \
  F(transpose_from) F(every_other) F(split_pairs) F(reinterpret) F(transposed) F(less) F(lifted) F(under) F(taken) \
  F(seen) F(taking) F(jet) F(require) F(text) F(join) F(evaluate) F(last_element) F(padded_rows) F(gather_columns) \
  F(scatter_rows) F(cache_bytes) F(caches) F(sgemm_) F(dgemm_) F(openblas_get_num_threads) F(pays) F(require_one_thread) \
  F(multiply) F(as_written)

// clang-format on

// Of these the ones that a formula is compiled with: all of them would take the compiler minutes.
#define FEW(F) F(constant) F(product) F(combined) F(apply) F(chosen) F(call) F(elementwise) F(total) F(element_of)

namespace users {

// A helper of every such name, worth a + 3 b.
#define HELPER(name)                                    \
  template <class A, class B>                           \
  SCOREMATCH_INLINE auto name(const A& a, const B& b) { \
    return a + 3 * b;                                   \
  }                                                     \
  template <class A>                                    \
  SCOREMATCH_INLINE auto name(const A& a) {             \
    return 2 * a;                                       \
  }
ENGINE(HELPER)
#undef HELPER

#define WITH_VALUES(name) \
  total_of_all = total_of_all + name(x[0], 3.0) + name(x[0] * x[1]) + sum(name(x * x, x)) + name(theta("a"));
#define COUNT(name) +1
constexpr int count = ENGINE(COUNT), few = FEW(COUNT);
#undef COUNT

const auto all_names = [](const auto& x, const auto& theta) {
  auto total_of_all = 0 * (x[0] * x[1] * theta("a", sm::start_at(0.5)));
  ENGINE(WITH_VALUES)
  return total_of_all;
};
const auto few_names = [](const auto& x, const auto& theta) {
  auto total_of_all = 0 * (x[0] * x[1] * theta("a", sm::start_at(0.5)));
  FEW(WITH_VALUES)
  return total_of_all;
};

}  // namespace users

namespace nobody {

// Whether argument-dependent look-up finds a function of this name that can be called: nothing else is in sight.
#define FINDS(name)                                   \
  struct Finds_##name {                               \
    template <class... A>                             \
    static constexpr bool with() {                    \
      return requires(const A&... a) { name(a...); }; \
    }                                                 \
  };
LANGUAGE(FINDS)
ENGINE(FINDS)
#undef FINDS

using sm::formula::Theta;
using sm::formula::Value;
using Vector = Eigen::Vector3d;
using Jet = sm::compiled::Jet<sm::simd::Lanes<double>, 3, 1, true>;
using Number = sm::compiled::Number<Jet>;
using Few = sm::compiled::Few<Jet, 3>;
using InputPoints = sm::compiled::Input<Jet>;
using Local = sm::compiled::Local<Jet>;
using OfTheta = sm::compiled::Uniform<1, sm::compiled::Kind::vector>;
using Compiled = sm::compiled::CompiledTheta<1>;

template <class Finds, class V, class Condition>
constexpr bool finds_with() {
  return Finds::template with<V>() || Finds::template with<V, V>() || Finds::template with<V, V, V>() ||
         Finds::template with<V, double>() || Finds::template with<double, V>() ||
         Finds::template with<V, int, int>() || Finds::template with<V, Vector>() ||
         Finds::template with<Vector, V>() || Finds::template with<Condition>() ||
         Finds::template with<Condition, V, V>() || Finds::template with<V, double, V, double>() ||
         Finds::template with<Condition, Condition>();
}

template <class Finds>
constexpr bool finds() {
  return finds_with<Finds, Value, sm::formula::Condition>() ||
         finds_with<Finds, Number, sm::compiled::Condition<Number>>() ||
         finds_with<Finds, Few, sm::compiled::Condition<Few>>() ||
         finds_with<Finds, InputPoints, sm::compiled::Condition<Few>>() ||
         finds_with<Finds, Local, sm::compiled::Condition<Local>>() ||
         finds_with<Finds, OfTheta, sm::compiled::Condition<OfTheta>>() || Finds::template with<Theta>() ||
         Finds::template with<Theta, Value>() || Finds::template with<int, Theta>() ||
         Finds::template with<const char*, Theta>() || Finds::template with<Compiled>() ||
         Finds::template with<Compiled, Number>() || Finds::template with<int, Compiled>() ||
         Finds::template with<const char*, Compiled>();
}

#define NOT_FOUND(name) static_assert(!finds<Finds_##name>(), "a formula finds the library's own " #name);
ENGINE(NOT_FOUND)
#undef NOT_FOUND
static_assert(finds<Finds_square>() && finds<Finds_dot>() && finds<Finds_where>() && finds<Finds_named>());

}  // namespace nobody

TEST_CASE("A user's helper may have any name of the engine's") {
  Eigen::MatrixXd X(2, 3);
  X << 1, 2, -3, 0.5, -1, 4;
  const auto check = [&](const auto& model, int names) {
    const auto f = sm::energy_of(model, X);
    for (sm::Index i = 0; i < X.cols(); ++i) {
      const double x = X(0, i), y = X(1, i);
      CHECK(f[i] == Approx(names * (x + 9 + 2 * x * y + x * x + y * y + 3 * (x + y) + 2 * 0.5)));
    }
  };
  check(sm::energy_model(2, users::all_names), users::count);
  check(sm::energy_model<2>(users::few_names), users::few);
}

// The lists above are complete: functions of namespaces begin their lines in this library's sources.
TEST_CASE("Every function of the engine is taken as a helper's name") {
  std::set<std::string> known;
#define NAME(name) known.insert(#name);
  LANGUAGE(NAME)
  ENGINE(NAME)
#undef NAME
  const std::set<std::string> words = {"alignas", "decltype", "requires", "sizeof", "static_assert"};
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  int found = 0;
  for (const char* room : {"formula", "compiled", "evaluate", "simd"})
    for (const auto& file : std::filesystem::directory_iterator(std::filesystem::path("include/scorematch") / room)) {
      std::ifstream source(file.path());
      for (std::string line; std::getline(source, line);) {
        if (line.empty() || (std::isalpha(static_cast<unsigned char>(line.front())) == 0 && line.front() != '['))
          continue;
        for (std::size_t open = line.find('('); open != line.npos; open = line.find('(', open + 1)) {
          std::size_t begin = open;
          while (begin > 0 && is_word(line[begin - 1])) --begin;
          const std::string name = line.substr(begin, open - begin);
          const bool member = begin > 0 && line[begin - 1] == ':';
          if (name.empty() || member || std::islower(static_cast<unsigned char>(name.front())) == 0 ||
              words.count(name) > 0)
            continue;
          INFO(file.path() << ": " << line);
          CHECK(known.count(name) == 1);
          ++found;
          break;
        }
      }
    }
  CHECK(found > 150);
}
