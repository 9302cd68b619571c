// Matrix products alone: ours, Eigen's general product and, where a BLAS is linked, its own, in turn on one thread.
//
//   benchmark_products [ROUNDS [FIRST SECOND]]
//
// The shapes are those of the reference workloads (rows × inner × columns). A round runs each of the three for some
// milliseconds on the same data, one after the other, so that a disturbance meets all of them; a figure is the best of
// the rounds, in GFLOP/s. SCOREMATCH_CACHES (evaluate/caches.hpp) gives the library other caches than the machine's.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "scorematch/evaluate/gemm.hpp"
#include "scorematch/types.hpp"

#ifdef SCOREMATCH_BENCHMARK_BLAS
extern "C" {
void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*, const double*, const int*,
            const double*, const int*, const double*, double*, const int*);
void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*, const float*, const int*,
            const float*, const int*, const float*, float*, const int*);
}
#endif

namespace {

namespace sm = scorematch;
using sm::Index;

#ifdef SCOREMATCH_BENCHMARK_BLAS
constexpr bool has_blas = true;
void gemm(int m, int n, int k, const double* a, const double* b, double* c) {
  const double one = 1, zero = 0;
  dgemm_("N", "N", &m, &n, &k, &one, a, &m, b, &k, &zero, c, &m);
}
void gemm(int m, int n, int k, const float* a, const float* b, float* c) {
  const float one = 1, zero = 0;
  sgemm_("N", "N", &m, &n, &k, &one, a, &m, b, &k, &zero, c, &m);
}
#else
constexpr bool has_blas = false;
template <class T>
void gemm(int, int, int, const T*, const T*, T*) {}
#endif

struct Shape {
  Index rows, inner, columns;
};

/// Seconds a call, of as many calls as take some milliseconds.
template <class Call>
double seconds(const Call& call, long calls) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  for (long i = 0; i < calls; ++i) call();
  return std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(calls);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

template <class T>
void run(const Shape& s, int rounds) {
  sm::Matrix<T> A = sm::Matrix<T>::Constant(s.rows, s.inner, T(0.5)),
                B = sm::Matrix<T>::Constant(s.inner, s.columns, T(1e-3)), C(s.rows, s.columns);
  const double flop = 2.0 * static_cast<double>(s.rows * s.inner) * static_cast<double>(s.columns);
  const long calls = std::max(1L, static_cast<long>(1e-3 * 50e9 / flop));
  using Gemm = sm::evaluate::Gemm<T>;
  sm::Vector<T> packed(Gemm::packed_right_size(s.columns, s.inner));
  const sm::evaluate::RightFactor<T> right{B.data(), 1, s.inner}, packed_right{B.data(), 1, s.inner, packed.data()};
  const auto pack = [&] {
    for (Index strip = 0; strip < Gemm::right_strips(s.columns); ++strip)
      Gemm::pack_right(s.columns, s.inner, right, strip, packed.data());
  };
  pack();
  // as a gradient's: AᵀC has inner × columns numbers in double
  sm::Matrix<double> sums = sm::Matrix<double>::Zero(s.inner, s.columns);
  std::vector<T> room(static_cast<std::size_t>(Gemm::transposed_room) + 64);
  std::vector<double> times[6];
  const auto time = [&](int what, const auto& call) { times[what].push_back(seconds(call, calls)); };
  for (int round = 0; round < rounds; ++round) {
    time(0,
         [&] { Gemm::multiply(s.rows, s.columns, s.inner, A.data(), s.rows, packed_right, C.data(), s.rows, false); });
#ifndef NOEIGEN
    time(1, [&] { C.noalias() = A * B; });
#endif
    time(2, [&] {
      gemm(static_cast<int>(s.rows), static_cast<int>(s.columns), static_cast<int>(s.inner), A.data(), B.data(),
           C.data());
    });
    time(3, [&] { Gemm::multiply(s.rows, s.columns, s.inner, A.data(), s.rows, right, C.data(), s.rows, false); });
    time(5, pack);
    time(4, [&] {
      Gemm::multiply_transposed(s.inner, s.columns, s.rows, A.data(), s.rows, C.data(), s.rows, sums.data(),
                                room.data());
    });
  }
  std::printf("%-4s %5ld x %4ld x %4ld", sizeof(T) == 8 ? "f64" : "f32", static_cast<long>(s.rows),
              static_cast<long>(s.inner), static_cast<long>(s.columns));
  for (int what : {0, 1, 2, 3, 4, 5})
    std::printf(" %7.1f", !times[what].empty() && (has_blas || what != 2)
                              ? flop / *std::min_element(times[what].begin(), times[what].end()) / 1e9
                              : 0);
  for (int what : {0, 3, 4}) {
    std::vector<double> ratios;
    for (std::size_t round = 0; round < times[0].size(); ++round) {
      double best = 1e9;
      for (int peer : {1, 2})
        if (!times[peer].empty() && (has_blas || peer != 2)) best = std::min(best, times[peer][round]);
      ratios.push_back(best / times[what][round]);
    }
    std::printf(" %6.2f", median(ratios));
  }
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15;
  if (argc > 3) sm::evaluate::caches() = {std::atoi(argv[2]), std::atoi(argv[3])};
  std::printf(
      "type rows x inner x columns     ours   Eigen    BLAS unpacked     AᵀB   median of rounds: ours, unpacked, AᵀB "
      "over the best\n");
  for (int repeat = 0; repeat < 1; ++repeat)
    for (const Shape& s : {Shape{384, 64, 64}, {1056, 256, 256}, {256, 785, 1024}, {128, 1024, 1024}, {384, 10, 64}}) {
      run<double>(s, rounds);
      run<float>(s, rounds);
    }
}
