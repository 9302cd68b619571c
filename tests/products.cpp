// The library's own matrix products beside Eigen's, over every way in which they cut a product into parts.
#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "scorematch/evaluate/gemm.hpp"
#include "scorematch/random/stream.hpp"

namespace sm = scorematch;
using sm::Index;

namespace {

template <class T>
sm::Matrix<T> normals(Index rows, Index cols, std::int64_t id) {
  return sm::Stream({3, sm::extend::Purpose::user}, id).normals(rows * cols).reshaped(rows, cols).template cast<T>();
}

// A sum of k products of normal numbers, each rounded: far fewer than k units of the last place.
template <class T>
double tolerance(Index k) {
  return static_cast<double>(std::numeric_limits<T>::epsilon()) * 4 * static_cast<double>(k);
}

struct Shape {
  Index tall, n, k;
};

// Other caches cut the product otherwise, a packed B is read otherwise, and a transposed one packed otherwise: no bit
// of the result `expected` may depend on that.
template <class T>
void check_the_same_bits(const Shape& shape, const sm::Matrix<T>& A, const sm::Matrix<T>& B,
                         const sm::Matrix<T>& before, const sm::Vector<T>& bias, bool add, T scale,
                         const sm::Matrix<T>& expected) {
  using Gemm = sm::evaluate::Gemm<T>;
  constexpr Index lanes = sm::simd::width<sm::simd::Lanes<T>>;
  const auto [tall, n, k] = shape;
  const sm::Matrix<T> turned = B.transpose();
  const sm::evaluate::Caches known = sm::evaluate::caches();
  for (const sm::evaluate::Caches& caches : {known, {4 * 1024, 16 * 1024}, {1 << 20, 1 << 24}}) {
    sm::evaluate::caches() = caches;
    for (sm::evaluate::RightFactor<T> right :
         {sm::evaluate::RightFactor<T>{B.data(), 1, B.rows()}, {turned.data(), turned.rows(), 1}}) {
      sm::Vector<T> packed(Gemm::packed_right_size(n, k));
      for (Index strip = 0; strip < Gemm::right_strips(n); ++strip) Gemm::pack_right(n, k, right, strip, packed.data());
      for (const T* data : {static_cast<const T*>(nullptr), static_cast<const T*>(packed.data())}) {
        right.packed = data;
        sm::Matrix<T> C = before;
        Gemm::multiply(tall, n, k, A.data(), A.rows(), right, C.data(), C.rows(), add, bias.data(), lanes, scale);
        CHECK(C == expected);
      }
    }
  }
  sm::evaluate::caches() = known;
}

template <class T>
void check_products() {
  using Gemm = sm::evaluate::Gemm<T>;
  constexpr Index lanes = sm::simd::width<sm::simd::Lanes<T>>;
  // Whole and incomplete tiles; fewer columns of A than one pass takes, and more; of B, too.
  for (const Index registers : {1, 3, 8})
    for (const Index n : {1, 3, 9, 600})
      for (const Index k : {1, 7, 300}) {
        const Index tall = registers * lanes, lda = tall + lanes, ldb = k + 5, ldc = tall + 2 * lanes;
        CAPTURE(tall, n, k, sizeof(T));
        const sm::Matrix<T> A = normals<T>(lda, k, 1), B = normals<T>(ldb, n, 2), before = normals<T>(ldc, n, 3);
        const sm::Vector<T> bias = normals<T>(n, 1, 4);
        const Eigen::MatrixXd product = A.topRows(tall).template cast<double>() * B.topRows(k).template cast<double>();
        for (const auto& [add, scale] : {std::pair{false, T(1)}, {true, T(1)}, {false, T(-2.5)}, {true, T(0.25)}}) {
          CAPTURE(add, scale);
          sm::Matrix<T> C = before;
          Eigen::MatrixXd expected = before.template cast<double>();
          if (!add) expected.topRows(tall).setZero();
          expected.topRows(tall) += static_cast<double>(scale) * product;
          expected.topRows(lanes).rowwise() += bias.template cast<double>().transpose();
          Gemm::multiply(tall, n, k, A.data(), lda, B.data(), ldb, C.data(), ldc, add, bias.data(), lanes, scale);
          CHECK((C.template cast<double>() - expected).cwiseAbs().maxCoeff() <=
                std::max(1.0, std::abs(static_cast<double>(scale))) * tolerance<T>(k + 2));
          CHECK(C.bottomRows(ldc - tall) == before.bottomRows(ldc - tall));
          check_the_same_bits<T>({tall, n, k}, A, B, before, bias, add, scale, C);
        }

        // Aᵀ B over the tall side
        const sm::Matrix<T> D = normals<T>(lda, n, 5);
        Eigen::MatrixXd sums = Eigen::MatrixXd::Ones(k, n);
        sm::Vector<T> room(Gemm::transposed_room);
        Gemm::multiply_transposed(k, n, tall, A.data(), lda, D.data(), lda, sums.data(), room.data());
        const Eigen::MatrixXd expected =
            A.topRows(tall).template cast<double>().transpose() * D.topRows(tall).template cast<double>();
        CHECK(((sums.array() - 1).matrix() - expected).cwiseAbs().maxCoeff() <= tolerance<T>(tall + 2));
      }
}

// scale (C + Σ AᵀB) over products of different heights, of which the last is more than is summed in float, strip by
// strip; no column beside a strip is touched.
template <class T>
void check_withheld_products() {
  using Gemm = sm::evaluate::Gemm<T>;
  constexpr Index lanes = sm::simd::width<sm::simd::Lanes<T>>;
  for (const Index m : {1, 7, 100})
    for (const Index n : {1, 9, 150}) {
      CAPTURE(m, n, sizeof(T));
      std::vector<sm::Vector<T>> packed;
      std::vector<sm::Matrix<T>> kept;
      std::vector<sm::evaluate::TransposedProduct<T>> products;
      Eigen::MatrixXd expected = Eigen::MatrixXd::Zero(m, n);
      for (const Index tall : {lanes, 128 / lanes * lanes, 400 / lanes * lanes}) {
        const sm::Matrix<T> A = normals<T>(tall + lanes, m, tall);
        kept.push_back(normals<T>(tall + 3, n, tall + 1));
        packed.emplace_back(Gemm::packed_size(m, tall));
        Gemm::pack(m, tall, A.data(), tall + lanes, packed.back().data());
        expected +=
            A.topRows(tall).template cast<double>().transpose() * kept.back().topRows(tall).template cast<double>();
      }
      for (std::size_t p = 0; p < kept.size(); ++p)
        products.push_back({m, n, kept[p].rows() - 3, packed[p].data(), kept[p].data(), kept[p].rows()});
      for (const bool fresh : {true, false}) {
        Eigen::MatrixXd C = Eigen::MatrixXd::Constant(m, n, fresh ? std::numeric_limits<double>::quiet_NaN() : 3.0);
        for (Index first = 0; first < n; first += Gemm::strip) {
          const Eigen::MatrixXd before = C;
          Gemm::add_transposed(products, m, first, std::min(Gemm::strip, n - first), C.data(), fresh, 0.25);
          for (Index i = std::min(n, first + Gemm::strip) * m; i < C.size(); ++i)
            REQUIRE(std::memcmp(C.data() + i, before.data() + i, sizeof(double)) == 0);
        }
        CHECK((4 * C.array() - expected.array() - (fresh ? 0 : 3)).abs().maxCoeff() <= tolerance<T>(600));
      }
      Gemm::add_transposed({}, m, 0, 1, expected.data(), true, 1);  // a matrix without products
      CHECK(expected.col(0).isZero(0));
    }
}

}  // namespace

TEST_CASE("matrix products agree with Eigen's, whatever parts they are cut into") {
  check_products<double>();
  check_products<float>();
}

TEST_CASE("products left for later are added up as they are at once") {
  check_withheld_products<double>();
  check_withheld_products<float>();
}
