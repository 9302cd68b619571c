// How fast Eigen's own matrix product is on given shapes, in this process, on one thread: what rows that consist of
// matrix products are held against.
#pragma once

#include <benchmark/benchmark.h>

#include <scorematch/types.hpp>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace workload {

namespace sm = scorematch;
using Eigen::Index;

/// C (rows × columns) += A (rows × inner) B (inner × columns)
struct Product {
  Index rows, inner, columns;

  double flop() const {
    return 2 * static_cast<double>(rows) * static_cast<double>(inner) * static_cast<double>(columns);
  }
};

/// Times a sequence of products, column-major, again and again. Call measure() right before and right after what is to
/// be compared, so that a machine which slows down meanwhile slows both: the rate is that of all measurements together.
///
/// Products of one shape share their storage, which stays in whatever cache it fits: a rate that is hard to reach.
template <class T>
class GemmRate {
 public:
  explicit GemmRate(std::vector<Product> products) : products_(std::move(products)) {
    Index a = 0, b = 0, c = 0;
    for (const Product& p : products_) {
      a = std::max(a, p.rows * p.inner);
      b = std::max(b, p.inner * p.columns);
      c = std::max(c, p.rows * p.columns);
    }
    a_.setConstant(a, T(0.5));
    b_.setConstant(b, T(1e-3));
    c_.setZero(c);
    multiply_all();  // the first touch of the memory, and the clock's rise under wide registers
  }

  void measure(double seconds = 0.025) {
    if (products_.empty()) return;
    using Clock = std::chrono::steady_clock;
    const int threads = Eigen::nbThreads();
    Eigen::setNbThreads(1);
    const auto start = Clock::now();
    double passed = 0;
    while (passed < seconds) {
      multiply_all();
      for (const Product& p : products_) flop_ += p.flop();
      passed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    seconds_ += passed;
    Eigen::setNbThreads(threads);
  }

  /// 0 where there is no product.
  double flop_per_second() const { return seconds_ > 0 ? flop_ / seconds_ : 0; }

 private:
  void multiply_all() {
    for (const Product& p : products_) {
      const Eigen::Map<const sm::Matrix<T>> A(a_.data(), p.rows, p.inner), B(b_.data(), p.inner, p.columns);
      Eigen::Map<sm::Matrix<T>> C(c_.data(), p.rows, p.columns);
      C.noalias() += A * B;
    }
    benchmark::DoNotOptimize(c_.data());
  }

  std::vector<Product> products_;
  sm::Vector<T> a_, b_, c_;
  double flop_ = 0, seconds_ = 0;
};

}  // namespace workload
