// Random numbers: the generator's published answers, the addresses of numbers, and the distributions.
//
// Seeds are fixed, so nothing here fails by chance. Had a seed been drawn by chance, each statistical check below would
// fail a correct generator with a probability of about 4·10⁻⁸ (5.5 standard deviations, or the same rate of another
// law), all of them together with less than 2·10⁻⁵.
#include "catch.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <type_traits>
#include <vector>

#include "scorematch/random/normal.hpp"
#include "scorematch/random/philox.hpp"
#include "scorematch/random/stream.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using sm::Index;
using sm::extend::Purpose;
using sm::extend::StreamKey;

namespace {

constexpr double limit = 5.5;  // of a standard normal statistic
constexpr StreamKey key{20240229, Purpose::user};

using Wide = sm::detail::BitLanes<double>;
constexpr int wide_lanes = sm::simd::width<sm::simd::Lanes<double>>;

template <class T>
using Bits = std::conditional_t<std::is_same_v<T, double>, std::uint64_t, std::uint32_t>;

std::array<std::uint32_t, 4> counter(Purpose purpose, std::uint64_t id, std::uint64_t step, std::uint64_t group) {
  const auto [w] = sm::detail::counter_at(purpose, id, step, group);
  std::array<std::uint32_t, 4> words;
  for (std::size_t i = 0; i < 4; ++i) words[i] = static_cast<std::uint32_t>(w[i]);
  return words;
}

std::array<std::uint32_t, 4> words_at(StreamKey k, std::int64_t id, std::uint64_t step, Index group) {
  return sm::detail::philox4x32(
      counter(k.purpose, static_cast<std::uint64_t>(id), step, static_cast<std::uint64_t>(group)),
      {static_cast<std::uint32_t>(k.seed), static_cast<std::uint32_t>(k.seed >> 32)});
}

// The three kinds of numbers, so that one test serves all.
struct Normals {
  template <class T>
  static void fill(StreamKey k, sm::extend::Ids ids, Index n, std::uint64_t step, Index c, T* out, Index ld) {
    sm::extend::fill_normals(k, ids, n, step, c, out, ld);
  }
};
struct Uniforms {
  template <class T>
  static void fill(StreamKey k, sm::extend::Ids ids, Index n, std::uint64_t step, Index c, T* out, Index ld) {
    sm::extend::fill_uniforms(k, ids, n, step, c, out, ld);
  }
};
struct Signs {
  template <class T>
  static void fill(StreamKey k, sm::extend::Ids ids, Index n, std::uint64_t step, Index c, T* out, Index ld) {
    sm::extend::fill_signs(k, ids, n, step, c, out, ld);
  }
};

template <class T, class Kind = Normals>
sm::Matrix<T> matrix(StreamKey k, sm::extend::Ids ids, Index n, std::uint64_t step, Index components) {
  sm::Matrix<T> out(n, components);
  Kind::template fill<T>(k, ids, n, step, components, out.data(), n);
  return out;
}

// √n sup |F_n − F|: above 3.0 with probability 2 exp(−2·3.0²) = 3·10⁻⁸ (Kolmogorov's law).
template <class T, class Distribution>
double kolmogorov_smirnov(const sm::Matrix<T>& sample, Distribution distribution) {
  std::vector<double> x(sample.data(), sample.data() + sample.size());
  std::sort(x.begin(), x.end());
  const double n = static_cast<double>(x.size());
  double distance = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double f = distribution(x[i]);
    distance = std::max({distance, f - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - f});
  }
  return std::sqrt(n) * distance;
}

double normal_distribution(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }
double uniform_distribution(double u) { return u; }

// χ² as a standard normal number (E. B. Wilson, M. M. Hilferty, 1931).
double standardised_chi_squared(double chi_squared, double degrees) {
  const double spread = 2 / (9 * degrees);
  return (std::cbrt(chi_squared / degrees) - (1 - spread)) / std::sqrt(spread);
}

double chi_squared(const std::vector<Index>& counts) {
  const double expected =
      static_cast<double>(std::accumulate(counts.begin(), counts.end(), Index{0})) / static_cast<double>(counts.size());
  double sum = 0;
  for (const Index count : counts) sum += std::pow(static_cast<double>(count) - expected, 2) / expected;
  return standardised_chi_squared(sum, static_cast<double>(counts.size() - 1));
}

// √n times the sample correlation: standard normal where a and b are independent.
double scaled_correlation(const Eigen::ArrayXd& a, const Eigen::ArrayXd& b) {
  const Eigen::ArrayXd x = a - a.mean(), y = b - b.mean();
  return std::sqrt(static_cast<double>(a.size())) * (x * y).sum() / std::sqrt(x.square().sum() * y.square().sum());
}

// Independence of z and z', to second order in each.
void check_uncorrelated(const Eigen::ArrayXd& a, const Eigen::ArrayXd& b) {
  CHECK(std::abs(scaled_correlation(a, b)) < limit);
  CHECK(std::abs(scaled_correlation(a.square(), b.square())) < limit);
  CHECK(std::abs(scaled_correlation(a, b.square())) < limit);
}

}  // namespace

TEST_CASE("Philox 4x32-10 gives the published answers") {
  // The known answers of D. E. Shaw Research's Random123, for zeros, ones and digits of π.
  using Words = std::array<std::uint32_t, 4>;
  CHECK(sm::detail::philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8});
  CHECK(sm::detail::philox4x32({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, {0xFFFFFFFF, 0xFFFFFFFF}) ==
        Words{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD});
  CHECK(sm::detail::philox4x32({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}, {0xA4093822, 0x299F31D0}) ==
        Words{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1});
}

TEST_CASE("Philox over lanes is Philox of each lane") {
  sm::Stream stream(key);
  for (int trial = 0; trial < 100; ++trial) {
    sm::detail::PhiloxWords<Wide> lanes;
    for (Wide& word : lanes.word)
      for (int lane = 0; lane < wide_lanes; ++lane) word[lane] = stream.bits();  // high halves are to be ignored
    const std::uint64_t seed = stream.bits();
    const auto [found] = sm::detail::philox4x32(lanes, seed);
    for (int lane = 0; lane < wide_lanes; ++lane) {
      std::array<std::uint32_t, 4> one;
      for (std::size_t i = 0; i < 4; ++i) one[i] = static_cast<std::uint32_t>(lanes.word[i][lane]);
      const auto expected =
          sm::detail::philox4x32(one, {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
      for (std::size_t i = 0; i < 4; ++i) REQUIRE(std::uint64_t{found[i][lane]} == expected[i]);
    }
  }
}

TEST_CASE("Addresses do not overlap: every bit of an address has a bit of the counter to itself") {
  const auto all_bits = [](int field, int bit) {
    const std::uint64_t one = std::uint64_t{1} << bit;
    return counter(static_cast<Purpose>(field == 0 ? one : 0), field == 1 ? one : 0, field == 2 ? one : 0,
                   field == 3 ? one : 0);
  };
  std::array<std::uint32_t, 4> used{};
  CHECK(counter(static_cast<Purpose>(0), 0, 0, 0) == used);
  for (int field = 0; field < 4; ++field) {
    for (int bit = 0; bit < (field == 0 ? 8 : 40); ++bit) {
      const std::array<std::uint32_t, 4> one = all_bits(field, bit);
      CHECK(std::popcount(one[0]) + std::popcount(one[1]) + std::popcount(one[2]) + std::popcount(one[3]) == 1);
      for (std::size_t i = 0; i < 4; ++i) {
        CHECK((used[i] & one[i]) == 0);
        used[i] |= one[i];
      }
    }
  }
  // At the limits of all fields together the bits are still each in its place.
  const std::uint64_t most = sm::detail::field_end - 1;
  CHECK(counter(static_cast<Purpose>(0xFF), most, most, most) == used);
  CHECK(used == std::array<std::uint32_t, 4>{0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF});

  const Wide ids = Wide{} + most;
  const auto [lanes] = sm::detail::counter_at(Purpose::user, ids, most - 1, most - 2);
  const std::array<std::uint32_t, 4> scalar = counter(Purpose::user, most, most - 1, most - 2);
  for (std::size_t i = 0; i < 4; ++i)
    for (int lane = 0; lane < wide_lanes; ++lane) CHECK(static_cast<std::uint32_t>(lanes[i][lane]) == scalar[i]);
}

TEMPLATE_TEST_CASE("Uniforms and signs are the words at their address", "", float, double) {
  const std::vector<std::int64_t> ids{0,  1,  0xFFFFFFFF, 0x100000000, 0xFFFFFFFFFF, 77, 78, 80, 12, 13,
                                      14, 15, 16,         17,          18,           19, 20, 21, 22};
  const std::uint64_t step = 0xFEDCBA9876;
  const Index n = static_cast<Index>(ids.size());
  const auto uniforms = matrix<TestType, Uniforms>(key, ids.data(), n, step, 9);
  const auto signs = matrix<TestType, Signs>(key, ids.data(), n, step, 300);
  for (Index i = 0; i < n; ++i) {
    const std::int64_t id = ids[static_cast<std::size_t>(i)];
    for (Index c = 0; c < 9; ++c) {
      if constexpr (std::is_same_v<TestType, double>) {
        const auto w = words_at(key, id, step, c / 2);
        const std::uint64_t bits = c % 2 == 0 ? w[0] | std::uint64_t{w[1]} << 32 : w[2] | std::uint64_t{w[3]} << 32;
        CHECK(uniforms(i, c) == std::ldexp(static_cast<double>(2 * (bits >> 12) + 1), -53));
      } else {
        const auto w = words_at(key, id, step, c / 4);
        CHECK(uniforms(i, c) == std::ldexp(static_cast<float>(2 * (w[static_cast<std::size_t>(c % 4)] >> 9) + 1), -24));
      }
    }
    for (Index c = 0; c < 300; ++c) {
      const auto w = words_at(key, id, step, c / 128);
      const std::uint32_t bit = w[static_cast<std::size_t>(c % 128 / 32)] >> (c % 32) & 1;
      REQUIRE(signs(i, c) == (bit ? TestType(-1) : TestType(1)));
    }
  }
}

TEMPLATE_TEST_CASE("A number has the same bits at any place", "", (std::pair<Normals, float>),
                   (std::pair<Normals, double>), (std::pair<Uniforms, float>), (std::pair<Uniforms, double>),
                   (std::pair<Signs, float>), (std::pair<Signs, double>)) {
  using Kind = typename TestType::first_type;
  using T = typename TestType::second_type;
  const auto bits = [](T number) { return std::bit_cast<Bits<T>>(number); };
  constexpr Index all = 150, components = 11;
  constexpr std::int64_t first_id = (std::int64_t{1} << 32) - 70;  // the ids pass a word's end
  const std::uint64_t step = 5;

  // The reference: each id alone.
  sm::Matrix<T> reference(all, components);
  for (Index i = 0; i < all; ++i)
    Kind::template fill<T>(key, sm::extend::Ids::from(first_id + i), 1, step, components, reference.data() + i, all);

  std::vector<std::int64_t> ids(all);
  std::iota(ids.begin(), ids.end(), first_id);
  const T untouched = 99;
  for (const bool listed : {false, true}) {
    for (const Index count : {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 128, 150}) {
      for (const Index offset : {0, 1, 6}) {
        for (const Index wanted : {0, 1, 2, 3, 4, 5, 8, 11}) {
          if (offset + count > all) continue;
          const Index leading_dimension = count + offset % 3;
          std::vector<T> out(static_cast<std::size_t>(leading_dimension * components + 1), untouched);
          const sm::extend::Ids rows =
              listed ? sm::extend::Ids(ids.data() + offset) : sm::extend::Ids::from(first_id + offset);
          Kind::template fill<T>(key, rows, count, step, wanted, out.data(), leading_dimension);
          Index wrong = 0;
          for (Index place = 0; place < static_cast<Index>(out.size()); ++place) {
            const Index row = leading_dimension == 0 ? 0 : place % leading_dimension;
            const Index column = leading_dimension == 0 ? wanted : place / leading_dimension;
            const T expected = row < count && column < wanted ? reference(offset + row, column) : untouched;
            wrong += bits(out[static_cast<std::size_t>(place)]) != bits(expected);
          }
          CAPTURE(listed, count, offset, wanted);
          REQUIRE(wrong == 0);
        }
      }
    }
  }

  // In any order, repeated or not.
  sm::Stream stream({3, Purpose::user});
  std::vector<std::int64_t> shuffled(all);
  for (std::int64_t& id : shuffled) id = first_id + stream.below(all);
  const auto found = matrix<T, Kind>(key, shuffled.data(), all, step, components);
  Index wrong = 0;
  for (Index i = 0; i < all; ++i)
    for (Index c = 0; c < components; ++c)
      wrong += bits(found(i, c)) != bits(reference(shuffled[static_cast<std::size_t>(i)] - first_id, c));
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("Normals are normal", "", float, double) {
  constexpr Index ids = 62500, components = 16;
  constexpr double n = ids * components;
  const auto z = matrix<TestType>(key, sm::extend::Ids::from(1), ids, 3, components);
  REQUIRE(z.allFinite());
  const Eigen::ArrayXd x = z.template cast<double>().reshaped();

  // E z = 0, E z² = 1, E z³ = 0, E z⁴ = 3; the variances of zᵏ are 1, 2, 15, 96.
  CHECK(std::abs(x.mean()) * std::sqrt(n) < limit);
  CHECK(std::abs(x.square().mean() - 1) * std::sqrt(n / 2) < limit);
  CHECK(std::abs(x.cube().mean()) * std::sqrt(n / 15) < limit);
  CHECK(std::abs(x.square().square().mean() - 3) * std::sqrt(n / 96) < limit);

  CHECK(kolmogorov_smirnov(z, normal_distribution) < 3.0);
  for (Index c = 0; c < 4; ++c) {  // the numbers of a group, each kind alone
    const sm::Matrix<TestType> column = z.col(c);
    CHECK(kolmogorov_smirnov(column, normal_distribution) < 3.0);
  }

  // A pair is isotropic: its angle is uniform.
  sm::Matrix<double> turns(ids, components / 2);
  for (Index c = 0; c < components / 2; ++c)
    for (Index i = 0; i < ids; ++i)
      turns(i, c) = 0.5 + std::atan2(double(z(i, 2 * c + 1)), double(z(i, 2 * c))) / (2 * std::acos(-1.0));
  CHECK(kolmogorov_smirnov(turns, uniform_distribution) < 3.0);
}

TEMPLATE_TEST_CASE("Normals have tails and no infinity", "", float, double) {
  // Of the extreme words: the smallest and the largest radius, at the angles around the quarters of a turn.
  constexpr int mantissa_bits = std::numeric_limits<TestType>::digits - 1;
  constexpr int word_bits = 8 * static_cast<int>(sizeof(TestType));
  const auto pair_length = [](Bits<TestType> radius, Bits<TestType> angle) {
    using V = sm::simd::Lanes<TestType>;
    const auto z =
        sm::detail::box_muller<V>(sm::detail::BitLanes<TestType>{} + radius, sm::detail::BitLanes<TestType>{} + angle);
    REQUIRE(std::isfinite(z.first[0]));
    REQUIRE(std::isfinite(z.second[0]));
    return std::hypot(static_cast<double>(z.first[0]), static_cast<double>(z.second[0]));
  };
  const double smallest_u = std::is_same_v<TestType, double> ? 0x1p-53 : 0x1p-32;
  const double longest = std::sqrt(-2 * std::log(smallest_u));
  CHECK(longest > (std::is_same_v<TestType, double> ? 8 : 6.5));
  for (int quarter = 0; quarter < 4; ++quarter) {
    const Bits<TestType> corner = static_cast<Bits<TestType>>(static_cast<Bits<TestType>>(quarter) << (word_bits - 2));
    for (const int side : {0, -1}) {
      const Bits<TestType> angle = corner + (static_cast<Bits<TestType>>(side) << (word_bits - mantissa_bits));
      CHECK(pair_length(0, angle) == Approx(longest).epsilon(4 * std::numeric_limits<TestType>::epsilon()));
      CHECK(pair_length(std::numeric_limits<Bits<TestType>>::max(), angle) < 0.001);
    }
  }

  // And how many numbers lie beyond 4 is a Poisson number.
  const auto z = matrix<TestType>(key, sm::extend::Ids::from(0), 1 << 17, 4, 32);
  const double expected = static_cast<double>(z.size()) * std::erfc(4 / std::sqrt(2.0));
  const double found = static_cast<double>((z.array().abs() > TestType(4)).count());
  CHECK(std::abs(found - expected) < limit * std::sqrt(expected));
}

TEMPLATE_TEST_CASE("Numbers at neighbouring addresses are uncorrelated", "", float, double) {
  constexpr Index n = 100000, components = 9;
  constexpr std::uint64_t step = 10;
  const auto numbers = [](StreamKey k, std::int64_t first_id, std::uint64_t at_step) -> Eigen::ArrayXXd {
    return matrix<TestType>(k, sm::extend::Ids::from(first_id), n, at_step, components).template cast<double>().array();
  };
  const Eigen::ArrayXXd z = numbers(key, 0, step);
  for (Index c = 1; c < components; ++c) check_uncorrelated(z.col(0), z.col(c));
  for (const std::int64_t lag : {1, 2, 8, 16, 64}) check_uncorrelated(z.col(0), numbers(key, lag, step).col(0));
  for (const std::uint64_t lag : {1u, 2u, 256u}) check_uncorrelated(z.col(0), numbers(key, 0, step + lag).col(0));
  for (const std::uint64_t other : {key.seed + 1, key.seed - 1, key.seed + (std::uint64_t{1} << 32), ~key.seed})
    check_uncorrelated(z.col(0), numbers({other, key.purpose}, 0, step).col(0));
  for (const Purpose other : {Purpose::chain_noise, Purpose::metropolis})
    check_uncorrelated(z.col(0), numbers({key.seed, other}, 0, step).col(0));
  // Chains: the steps of one id, one after the other.
  Eigen::ArrayXd chain(20000);
  for (Index t = 0; t < chain.size(); ++t) {
    TestType number;
    sm::extend::fill_normals(key, sm::extend::Ids::from(42), 1, static_cast<std::uint64_t>(t), 1, &number, 1);
    chain[t] = static_cast<double>(number);
  }
  for (const Index lag : {1, 2, 3}) check_uncorrelated(chain.head(chain.size() - lag), chain.tail(chain.size() - lag));
}

TEMPLATE_TEST_CASE("Uniforms are uniform in the open interval", "", float, double) {
  using V = TestType;
  const TestType smallest = std::numeric_limits<TestType>::epsilon() / 2;
  CHECK(sm::detail::open_uniform<V>(Bits<TestType>{0}) == smallest);
  CHECK(sm::detail::open_uniform<V>(std::numeric_limits<Bits<TestType>>::max()) == TestType(1) - smallest);
  CHECK(TestType(1) - smallest < TestType(1));

  const auto u = matrix<TestType, Uniforms>(key, sm::extend::Ids::from(7), 125000, 1, 8);
  CHECK(u.minCoeff() > 0);
  CHECK(u.maxCoeff() < 1);
  CHECK(kolmogorov_smirnov(u, uniform_distribution) < 3.0);
}

TEST_CASE("Signs are balanced, and the same in float as in double") {
  constexpr Index n = 20000, components = 130;
  const auto signs = matrix<double, Signs>(key, sm::extend::Ids::from(0), n, 2, components);
  CHECK((signs.array().abs() == 1).all());
  CHECK((signs.cast<float>().array() == matrix<float, Signs>(key, sm::extend::Ids::from(0), n, 2, components).array())
            .all());
  const Eigen::ArrayXd sums = signs.colwise().sum().transpose().array() / std::sqrt(static_cast<double>(n));
  CHECK(sums.abs().maxCoeff() < 6.3);  // of 130 sums: 4·10⁻⁸ together
  CHECK(std::abs(standardised_chi_squared(sums.square().sum(), components)) < limit);
  for (const Index c : {1, 31, 32, 63, 64, 96, 128})
    CHECK(std::abs(scaled_correlation(signs.col(0).array(), signs.col(c).array())) < limit);
}

TEST_CASE("A stream is the components of its address, one after another") {
  static_assert(std::uniform_random_bit_generator<sm::Stream>);
  const std::int64_t id = 123456789012;
  const auto uniforms = matrix<double, Uniforms>(key, sm::extend::Ids::from(id), 1, 9, 10);
  const auto normals = matrix<double>(key, sm::extend::Ids::from(id), 1, 9, 10);
  sm::Stream u(key, id, 9), z(key, id, 9), again(key, id, 9), b(key, id, 9);
  for (Index c = 0; c < 10; ++c) {
    CHECK(u.uniform() == uniforms(0, c));
    CHECK(z.normal() == Approx(normals(0, c)).epsilon(1e-14).margin(1e-15));
  }
  CHECK(again.normals(10) == sm::Stream(key, id, 9).normals(10));
  const auto first = words_at(key, id, 9, 0);
  CHECK(b() == (first[0] | std::uint64_t{first[1]} << 32));
  CHECK(b.bits() == (first[2] | std::uint64_t{first[3]} << 32));

  CHECK(sm::Stream(key).bits() != sm::Stream(key, 1).bits());
  CHECK(sm::Stream(key).bits() != sm::Stream(key, 0, 1).bits());
  CHECK(sm::Stream(key).bits() != sm::Stream({key.seed, Purpose::minibatch}).bits());
  CHECK(sm::Stream(key).normals(0).size() == 0);
}

TEST_CASE("A stream's numbers follow their laws") {
  constexpr Index n = 200000;
  sm::Stream stream({5});
  sm::Matrix<double> z(n, 1), u(n, 1), exponential(n, 1);
  std::exponential_distribution<double> standard_library;
  for (Index i = 0; i < n; ++i) {
    z(i, 0) = stream.normal();
    u(i, 0) = stream.uniform();
    exponential(i, 0) = standard_library(stream);
  }
  CHECK(kolmogorov_smirnov(z, normal_distribution) < 3.0);
  CHECK(kolmogorov_smirnov(u, uniform_distribution) < 3.0);
  CHECK(kolmogorov_smirnov(exponential, [](double x) { return -std::expm1(-x); }) < 3.0);

  std::vector<Index> counts(10);
  for (Index i = 0; i < n; ++i) ++counts.at(static_cast<std::size_t>(stream.below(10)));
  CHECK(std::abs(chi_squared(counts)) < limit);
  for (int i = 0; i < 10; ++i) CHECK(stream.below(1) == 0);

  // 2⁶⁴ is 2⅔ runs of this n: without rejection the first third would come with probability 3/8.
  const Index third = Index{1} << 61;
  std::vector<Index> thirds(3);
  for (Index i = 0; i < n; ++i) ++thirds.at(static_cast<std::size_t>(stream.below(3 * third) / third));
  CHECK(std::abs(chi_squared(thirds)) < limit);
}

TEST_CASE("Names have streams") {
  // Known answers of FNV-1a, 64 bits (RFC 9923, and its authors' test vectors).
  static_assert(sm::detail::hash_name("") == 0xCBF29CE484222325);
  static_assert(sm::detail::hash_name("a") == 0xAF63DC4C8601EC8C);
  static_assert(sm::detail::hash_name("foobar") == 0x85944171F73967E8);
  static_assert(sm::detail::hash_name("\xC3") ==
                (sm::detail::hash_name("") ^ 0xC3) * 0x100000001B3);  // char may be signed

  const StreamKey start{1, Purpose::initial_parameters};
  std::set<std::uint64_t> seen;
  for (const char* name : {"", "weights1", "weights2", "weights10", "bias1", "a", "b"})
    seen.insert(sm::detail::named_stream(start, name).bits());
  seen.insert(sm::detail::named_stream({2, Purpose::initial_parameters}, "a").bits());
  CHECK(seen.size() == 8);
  const std::uint64_t hash = sm::detail::hash_name("a");  // all of it is in the address
  CHECK(sm::detail::named_stream(start, "a").bits() ==
        sm::Stream(start, static_cast<std::int64_t>(hash >> 24), hash & 0xFFFFFF).bits());
}

TEST_CASE("A permutation is one, and any is as likely") {
  for (const Index n : {0, 1, 2, 3, 10, 1000}) {
    std::vector<Index> order = sm::detail::permutation(11, 4, n);
    CHECK(order == sm::detail::permutation(11, 4, n));
    std::sort(order.begin(), order.end());
    std::vector<Index> expected(static_cast<std::size_t>(n));
    std::iota(expected.begin(), expected.end(), Index{0});
    CHECK(order == expected);
  }
  CHECK(sm::detail::permutation(11, 4, 100) != sm::detail::permutation(11, 5, 100));
  CHECK(sm::detail::permutation(11, 4, 100) != sm::detail::permutation(12, 4, 100));

  std::vector<Index> counts(256);  // of the 24 orders of 4 samples, written in base 4
  for (std::uint64_t epoch = 0; epoch < 24000; ++epoch) {
    std::size_t number = 0;
    for (const Index sample : sm::detail::permutation(1, epoch, 4))
      number = 4 * number + static_cast<std::size_t>(sample);
    ++counts[number];
  }
  std::erase(counts, 0);
  CHECK(counts.size() == 24);
  CHECK(std::abs(chi_squared(counts)) < limit);
}

TEST_CASE("Broken preconditions throw, and name the argument") {
  constexpr std::int64_t end = std::int64_t{1} << 40;
  CHECK_NOTHROW(sm::Stream(key, end - 1, end - 1).bits());
  CHECK_THROWS_WITH(sm::Stream(key, end), ContainsSubstring("id is 1099511627776"));
  CHECK_THROWS_WITH(sm::Stream(key, -1), ContainsSubstring("id is -1"));
  CHECK_THROWS_WITH(sm::Stream(key, 0, end), ContainsSubstring("step is 1099511627776"));
  CHECK_THROWS_AS(sm::Stream(key).below(0), std::invalid_argument);
  CHECK_THROWS_AS(sm::Stream(key).normals(-1), std::invalid_argument);
  CHECK_THROWS_AS(sm::detail::permutation(1, 0, -1), std::invalid_argument);
  CHECK_THROWS_AS(sm::detail::permutation(1, end, 3), std::invalid_argument);

  std::vector<double> out(100);
  const auto fill = [&](sm::extend::Ids ids, Index count, std::uint64_t step, Index components,
                        Index leading_dimension) {
    sm::extend::fill_normals(key, ids, count, step, components, out.data(), leading_dimension);
  };
  std::vector<std::int64_t> ids(20, end - 1);
  CHECK_NOTHROW(fill(ids.data(), 20, end - 1, 2, 20));
  CHECK_NOTHROW(fill(sm::extend::Ids::from(end - 20), 20, 0, 2, 20));
  CHECK_THROWS_WITH(fill(sm::extend::Ids::from(end - 19), 20, 0, 2, 20), ContainsSubstring("id is 1099511627776"));
  CHECK_THROWS_WITH(fill(sm::extend::Ids::from(-1), 20, 0, 2, 20), ContainsSubstring("id is -1"));
  ids[17] = end + 5;
  CHECK_THROWS_WITH(fill(ids.data(), 20, 0, 2, 20), ContainsSubstring("id is 1099511627781"));
  CHECK_NOTHROW(fill(ids.data(), 17, 0, 2, 20));
  ids[3] = -4;
  CHECK_THROWS_WITH(fill(ids.data(), 17, 0, 2, 20), ContainsSubstring("id is -4"));
  CHECK_THROWS_WITH(fill(sm::extend::Ids::from(0), 20, end, 2, 20), ContainsSubstring("step is"));
  CHECK_THROWS_WITH(fill(sm::extend::Ids::from(0), -1, 0, 2, 20), ContainsSubstring("count is -1"));
  CHECK_THROWS_WITH(fill(sm::extend::Ids::from(0), 20, 0, -2, 20), ContainsSubstring("components is -2"));
  CHECK_THROWS_WITH(fill(sm::extend::Ids::from(0), 20, 0, 2, 19), ContainsSubstring("leading_dimension is 19"));
}
