// With SCOREMATCH_USE_BLAS: products large enough for the BLAS are the library's own to rounding.
#ifndef SCOREMATCH_USE_BLAS
#define SCOREMATCH_USE_BLAS
#endif
#include "../catch.hpp"

#include <limits>
#include <stdexcept>
#include <utility>

#include "scorematch/evaluate/gemm.hpp"

extern "C" [[gnu::weak]] void openblas_set_num_threads(int);

namespace sm = scorematch;
using sm::Index;

namespace {

// Numbers in [−1, 1].
template <class T>
sm::Matrix<T> numbers(Index rows, Index cols) {
  return sm::Matrix<T>::Random(rows, cols);
}

template <class T>
void check_products(Index m, Index n, Index k, bool by_blas) {
  using Gemm = sm::evaluate::Gemm<T>;
  CAPTURE(m, n, k, sizeof(T));
  REQUIRE(sm::evaluate::blas::pays(m, n, k) == by_blas);
  // a sum of k products of at most 1 each, rounded k times: each time by half a unit of the last place of at most k
  const double tolerance = static_cast<double>(std::numeric_limits<T>::epsilon()) * static_cast<double>(k * k);
  const sm::Matrix<T> A = numbers<T>(m + 16, k), B = numbers<T>(k, n), before = numbers<T>(m + 32, n);
  const sm::Vector<T> bias = numbers<T>(n, 1);
  const sm::Matrix<T> turned = B.transpose();
  for (const auto& [add, scale] : {std::pair{false, T(1)}, {true, T(0.5)}})
    for (const sm::evaluate::RightFactor<T>& right :
         {sm::evaluate::RightFactor<T>{B.data(), 1, k}, {turned.data(), n, 1}}) {
      sm::Matrix<T> C = before;
      Gemm::multiply(m, n, k, A.data(), m + 16, right, C.data(), m + 32, add, bias.data(), 32, scale);
      Eigen::MatrixXd expected =
          static_cast<double>(scale) * A.topRows(m).template cast<double>() * B.template cast<double>();
      if (add) expected += before.topRows(m).template cast<double>();
      expected.topRows(32).rowwise() += bias.template cast<double>().transpose();
      CHECK((C.topRows(m).template cast<double>() - expected).cwiseAbs().maxCoeff() <= tolerance);
      CHECK(C.bottomRows(32) == before.bottomRows(32));
    }
  sm::Vector<T> room(Gemm::transposed_room);
  const sm::Matrix<T> D = numbers<T>(k, m), E = numbers<T>(k, n);
  Eigen::MatrixXd sums = Eigen::MatrixXd::Ones(m, n);
  Gemm::multiply_transposed(m, n, k, D.data(), k, E.data(), k, sums.data(), room.data());
  const Eigen::MatrixXd expected = D.template cast<double>().transpose() * E.template cast<double>();
  CHECK(((sums.array() - 1).matrix() - expected).cwiseAbs().maxCoeff() <= tolerance);
}

}  // namespace

TEST_CASE("products by the BLAS agree with Eigen's, as the library's own do") {
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
  check_products<double>(256, 200, 128, true);
  check_products<float>(256, 200, 128, true);
  check_products<double>(256, 200, 64, false);
  check_products<float>(256, 200, 64, false);
}

TEST_CASE("OpenBLAS is refused while it would take several threads") {
  if (openblas_set_num_threads == nullptr || openblas_get_num_threads == nullptr) return;  // another BLAS
  openblas_set_num_threads(2);
  const bool several = openblas_get_num_threads() > 1;  // it takes no more than there are cores
  const sm::Matrix<double> A = numbers<double>(128, 128);
  sm::Matrix<double> C(128, 128);
  const auto product = [&] {
    sm::evaluate::Gemm<double>::multiply(128, 128, 128, A.data(), 128, A.data(), 128, C.data(), 128, false);
  };
  if (several) CHECK_THROWS_AS(product(), std::runtime_error);
  openblas_set_num_threads(1);
  CHECK_NOTHROW(product());
}
