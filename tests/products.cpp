// The library's own matrix products beside Eigen's, over every way in which they cut a product into parts.
#include "catch.hpp"

#include <limits>

#include "scorematch/evaluate/gemm.hpp"
#include "scorematch/random/stream.hpp"

namespace sm = scorematch;
using sm::Index;

namespace {

template <class T>
sm::Matrix<T> normals(Index rows, Index cols, std::int64_t id) {
  return sm::Stream({3, sm::Purpose::user}, id).normals(rows * cols).reshaped(rows, cols).template cast<T>();
}

// A sum of k products of normal numbers, each rounded: far fewer than k units of the last place.
template <class T>
double tolerance(Index k) {
  return static_cast<double>(std::numeric_limits<T>::epsilon()) * 4 * static_cast<double>(k);
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
        for (const bool add : {false, true}) {
          sm::Matrix<T> C = before;
          Eigen::MatrixXd expected = before.template cast<double>();
          if (!add) expected.topRows(tall).setZero();
          expected.topRows(tall) += product;
          expected.topRows(lanes).rowwise() += bias.template cast<double>().transpose();
          Gemm::multiply(tall, n, k, A.data(), lda, B.data(), ldb, C.data(), ldc, add, bias.data(), lanes);
          CHECK((C.template cast<double>() - expected).cwiseAbs().maxCoeff() <= tolerance<T>(k + 2));
          CHECK(C.bottomRows(ldc - tall) == before.bottomRows(ldc - tall));
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

}  // namespace

TEST_CASE("matrix products agree with Eigen's, whatever parts they are cut into") {
  check_products<double>();
  check_products<float>();
}
