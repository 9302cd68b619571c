// Normal numbers by the hundred million: what a small sample cannot see. Seeds are fixed, so nothing here fails by
// chance; had they been drawn by chance, each check would fail a correct library with probability 2·10⁻⁶ or less.
#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "scorematch/random/normal.hpp"

namespace sm = scorematch;
using sm::Index;

namespace {

// A build that is many times slower sees a hundredth.
#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
constexpr Index share = 100;
#else
constexpr Index share = 1;
#endif

/// Calls visit(numbers, count) for n normal numbers, in pieces.
template <class T, class Visit>
void for_normals(Index n, std::uint64_t seed, Visit visit) {
  constexpr Index ids = 4096, components = 16;
  std::vector<T> z(ids * components);
  for (Index done = 0, step = 0; done < n; done += ids * components, ++step) {
    sm::extend::fill_normals<T>({seed, sm::extend::Purpose::user}, sm::extend::Ids::from(0), ids,
                                static_cast<std::uint64_t>(step), components, z.data(), ids);
    visit(z.data(), std::min(ids * components, n - done));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("The distribution of 10⁸ normals", "", float, double) {
  constexpr Index n = 100'000'000 / share, cells = 1 << 16;
  constexpr double reach = 8, per_unit = cells / (2 * reach);
  std::vector<std::int64_t> count(cells, 0);
  double sums[4] = {};
  for_normals<TestType>(n, 11, [&](const TestType* z, Index size) {
    double of[4] = {};
    for (Index i = 0; i < size; ++i) {
      const double x = static_cast<double>(z[i]), square = x * x;
      of[0] += x;
      of[1] += square;
      of[2] += x * square;
      of[3] += square * square;
      ++count[static_cast<std::size_t>(std::clamp((x + reach) * per_unit, 0.0, cells - 1.0))];
    }
    for (int k = 0; k < 4; ++k) sums[k] += of[k];
  });

  // E zᵏ = 0, 1, 0, 3, with the variances 1, 2, 15, 96.
  const double expected[] = {0, 1, 0, 3}, variance[] = {1, 2, 15, 96};
  for (int k = 0; k < 4; ++k) {
    INFO("moment " << k + 1);
    CHECK(std::abs(sums[k] / n - expected[k]) < 4.8 * std::sqrt(variance[k] / n));
  }

  // √n sup |F_n − F| over the cells' edges exceeds 2.64 with probability 2·10⁻⁶ (Kolmogorov).
  double furthest = 0;
  std::int64_t below = 0;
  for (Index k = 0; k < cells; ++k) {
    below += count[static_cast<std::size_t>(k)];
    const double edge = static_cast<double>(k + 1) / per_unit - reach;
    furthest = std::max(furthest, std::abs(static_cast<double>(below) / n - 0.5 * std::erfc(-edge / std::sqrt(2.0))));
  }
  CHECK(furthest * std::sqrt(static_cast<double>(n)) < 2.64);
}

TEMPLATE_TEST_CASE("The largest of 10⁹ normals", "", float, double) {
  constexpr Index n = 1'000'000'000 / share;
  TestType largest = 0;
  for_normals<TestType>(n, 12, [&](const TestType* z, Index size) {
    TestType most = 0;
    for (Index i = 0; i < size; ++i) most = std::max(most, std::abs(z[i]));
    largest = std::max(largest, most);
  });
  // n P(|z| > largest) follows the exponential distribution.
  const double expected = n * std::erfc(static_cast<double>(largest) / std::sqrt(2.0));
  CHECK(expected > 1e-6);
  CHECK(expected < 13.8);
}
