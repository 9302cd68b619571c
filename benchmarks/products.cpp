// Matrix products alone: ours, Eigen's general product and, where one is linked, a BLAS's, in turn on one thread.
//
//   benchmark_products [ROUNDS [FIRST SECOND]]
//   benchmark_products count WHICH TYPE ROWS INNER COLUMNS CALLS FIRST SECOND
//
// A round runs each for about a millisecond on the same data, one after the other, so that a disturbance meets all of
// them. The rates are those of the best round, in GFLOP/s; a ratio to the better of Eigen and the BLAS is the median
// over rounds. FIRST and SECOND are bytes of caches that the library is told instead of the machine's. `count` runs one
// of `packed`, `unpacked`, `eigen` and `blas` so many times, for a tool that counts (scripts/product_caches.sh).
// Set OPENBLAS_NUM_THREADS=1; benchmarks/README.md says why OPENBLAS_CORETYPE may be needed.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "scorematch/evaluate/gemm.hpp"
#include "scorematch/types.hpp"

#ifdef SCOREMATCH_BENCHMARK_BLAS
#include "scorematch/evaluate/blas.hpp"
#endif

namespace {

namespace sm = scorematch;
using sm::Index;

enum Which { packed, unpacked, eigen, blas, gradient, packing, whiches };
constexpr const char* names[] = {"packed", "unpacked", "eigen", "blas"};

struct Shape {
  Index rows, inner, columns;

  double flop() const {
    return 2 * static_cast<double>(rows) * static_cast<double>(inner) * static_cast<double>(columns);
  }
};

/// C = A B with its operands, and AᵀC added up in double: a gradient's.
template <class T>
class Products {
  using Gemm = sm::evaluate::Gemm<T>;

 public:
  explicit Products(const Shape& shape)
      : s_(shape),
        A_(sm::Matrix<T>::Constant(s_.rows, s_.inner, T(0.5))),
        B_(sm::Matrix<T>::Constant(s_.inner, s_.columns, T(1e-3))),
        C_(sm::Matrix<T>::Zero(s_.rows, s_.columns)),
        sums_(Eigen::MatrixXd::Zero(s_.inner, s_.columns)),
        packed_(Gemm::packed_right_size(s_.columns, s_.inner)),
        room_(Gemm::transposed_room) {
    run(packing);
  }

  void run(Which which) {
    sm::evaluate::RightFactor<T> right{B_.data(), 1, s_.inner};
    switch (which) {
      case packed:
        right.packed = packed_.data();
        [[fallthrough]];
      case unpacked:
        return Gemm::multiply(s_.rows, s_.columns, s_.inner, A_.data(), s_.rows, right, C_.data(), s_.rows, false);
      case eigen:
        C_.noalias() = A_ * B_;
        return;
      case blas:
#ifdef SCOREMATCH_BENCHMARK_BLAS
        sm::evaluate::blas::multiply<T>('N', 'N', s_.rows, s_.columns, s_.inner, 1, A_.data(), s_.rows, B_.data(),
                                        s_.inner, 0, C_.data(), s_.rows);
#endif
        return;
      case gradient:
        return Gemm::multiply_transposed(s_.inner, s_.columns, s_.rows, A_.data(), s_.rows, C_.data(), s_.rows,
                                         sums_.data(), room_.data());
      case packing:
        for (Index strip = 0; strip < Gemm::right_strips(s_.columns); ++strip)
          Gemm::pack_right(s_.columns, s_.inner, right, strip, packed_.data());
        return;
      case whiches:
        return;
    }
  }

 private:
  Shape s_;
  sm::Matrix<T> A_, B_, C_;
  Eigen::MatrixXd sums_;
  sm::Vector<T> packed_, room_;
};

#ifdef SCOREMATCH_BENCHMARK_BLAS
constexpr bool has_blas = true;
#else
constexpr bool has_blas = false;
#endif

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <class T>
void compare(const Shape& shape, int rounds) {
  using Clock = std::chrono::steady_clock;
  Products<T> products(shape);
  const int calls = std::max(1, static_cast<int>(50e6 / shape.flop()));
  std::vector<double> rates[whiches];
  for (int round = 0; round < rounds; ++round)
    for (int which = 0; which < whiches; ++which) {
      const auto start = Clock::now();
      for (int i = 0; i < calls; ++i) products.run(static_cast<Which>(which));
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      rates[which].push_back(which == blas && !has_blas ? 0 : shape.flop() * calls / seconds / 1e9);
    }
  std::printf("%s %5ld x %4ld x %4ld", sizeof(T) == sizeof(double) ? "f64" : "f32", static_cast<long>(shape.rows),
              static_cast<long>(shape.inner), static_cast<long>(shape.columns));
  for (const Which which : {packed, unpacked, eigen, blas, gradient, packing})
    std::printf(" %8.1f", *std::max_element(rates[which].begin(), rates[which].end()));
  std::printf("  ");
  for (const Which which : {packed, unpacked, gradient}) {
    std::vector<double> ratios;
    for (std::size_t round = 0; round < rates[which].size(); ++round)
      ratios.push_back(rates[which][round] / std::max(rates[eigen][round], rates[blas][round]));
    std::printf(" %5.2f", median(ratios));
  }
  std::printf("\n");
  std::fflush(stdout);
}

template <class T>
void count(const std::string& which, const Shape& shape, int calls) {
  Products<T> products(shape);
  for (int k = 0; k < 4; ++k)
    if (which == names[k])
      for (int i = 0; i < calls; ++i) products.run(static_cast<Which>(k));
}

}  // namespace

int main(int argc, char** argv) {
  const auto bytes = [&](int i) { return static_cast<Index>(std::atol(argv[i])); };
  if (argc == 10 && std::string(argv[1]) == "count") {
    sm::evaluate::caches() = {bytes(8), bytes(9)};
    const Shape shape{bytes(4), bytes(5), bytes(6)};
    const int calls = std::atoi(argv[7]);
    if (std::string(argv[3]) == "f64")
      count<double>(argv[2], shape, calls);
    else
      count<float>(argv[2], shape, calls);
    return 0;
  }
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 31;
  if (argc > 3) sm::evaluate::caches() = {bytes(2), bytes(3)};
  std::printf("caches of %ld and %ld KB; packing is given as if it were the product\n",
              static_cast<long>(sm::evaluate::caches().first / 1024),
              static_cast<long>(sm::evaluate::caches().second / 1024));
  std::printf(
      "type rows inner columns     packed unpacked    Eigen     BLAS gradient  packing   ratios: packed, "
      "unpacked, gradient\n");
  for (const Shape& shape :
       {Shape{384, 64, 64}, {1056, 256, 256}, {256, 785, 1024}, {128, 1024, 1024}, {384, 10, 64}}) {
    compare<double>(shape, rounds);
    compare<float>(shape, rounds);
  }
}
