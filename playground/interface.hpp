// What passes between the pages and the library: numbers in one array that both sides see, and sentences.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <exception>
#include <string>
#include <vector>

#ifdef __EMSCRIPTEN__
#include <emscripten.h>
#else
#define EMSCRIPTEN_KEEPALIVE  // a build for this machine, as the test of the interface is
#endif

namespace playground {

/// The array that both sides see.
inline std::vector<double> shared_numbers;

/// Points x₀ y₀ x₁ y₁ … at its beginning: 2 × count.
inline Eigen::Map<Eigen::MatrixXd> shared_points(int count) {
  const std::size_t size = count > 0 ? 2 * static_cast<std::size_t>(count) : 0;
  if (shared_numbers.size() < size) shared_numbers.resize(size);
  return {shared_numbers.data(), 2, static_cast<Eigen::Index>(size / 2)};
}

/// Calls f. What it throws is returned as a sentence, which stays until the next call; "" if it throws nothing.
template <class F>
const char* sentence_of(F f) {
  static std::string sentence;
  sentence.clear();
  try {
    f();
  } catch (const std::exception& error) {
    sentence = error.what();
  }
  return sentence.c_str();
}

}  // namespace playground
