// What many tests need: draws of the standard normal law, the messages of exceptions, the comparison of bits.
#pragma once

#include "catch.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include "scorematch/random/normal.hpp"
#include "scorematch/types.hpp"

namespace fixtures {

/// d × n, the column of a sample the same whatever n is.
inline Eigen::MatrixXd normals(scorematch::Index d, scorematch::Index n, std::uint64_t seed) {
  Eigen::MatrixXd Z(n, d);
  scorematch::extend::fill_normals<double>({seed, scorematch::extend::Purpose::user}, scorematch::extend::Ids::from(0),
                                           n, 0, d, Z.data(), n);
  return Z.transpose();
}

/// Of the std::invalid_argument that f throws.
template <class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no exception";
}

/// Checks that f throws a std::invalid_argument with all these parts.
template <class F, class... Parts>
void refuses(F f, const Parts&... parts) {
  const std::string message = message_of(f);
  for (const std::string& part : {std::string(parts)...}) CHECK_THAT(message, Catch::Matchers::ContainsSubstring(part));
}

template <class T>
bool same_bits(const scorematch::Matrix<T>& a, const scorematch::Matrix<T>& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(T)) == 0;
}

}  // namespace fixtures
