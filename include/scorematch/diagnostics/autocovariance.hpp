// Autocovariances of chains by the fast Fourier transform.
#pragma once

#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// The fast Fourier transform of 2ᵏ complex numbers, there and back without a reordering between: the spectrum is in
/// bit-reversed order, which products of spectra do not mind.
class FourierTransform {
 public:
  /// size: a power of two
  explicit FourierTransform(std::size_t size) : size_(size), cosine_(size / 2), sine_(size / 2) {
    constexpr double two_pi = 6.28318530717958647692;
    for (std::size_t j = 0; j < size / 2; ++j) {
      const double angle = two_pi * static_cast<double>(j) / static_cast<double>(size);
      cosine_[j] = std::cos(angle);
      sine_[j] = std::sin(angle);
    }
  }

  /// Σ_t z_t exp(−2πi k t/size), frequencies in bit-reversed order (decimation in frequency).
  void forward(double* real, double* imaginary) const {
    for (std::size_t length = size_; length >= 2; length /= 2)
      for (std::size_t start = 0; start < size_; start += length)
        for (std::size_t j = 0; j < length / 2; ++j) {
          const std::size_t low = start + j, high = low + length / 2, turn = j * (size_ / length);
          const double u = real[low] - real[high], v = imaginary[low] - imaginary[high];
          real[low] += real[high];
          imaginary[low] += imaginary[high];
          real[high] = u * cosine_[turn] + v * sine_[turn];
          imaginary[high] = v * cosine_[turn] - u * sine_[turn];
        }
  }

  /// Σ_k z_k exp(2πi k t/size) of frequencies in bit-reversed order (decimation in time); not divided by size.
  void backward(double* real, double* imaginary) const {
    for (std::size_t length = 2; length <= size_; length *= 2)
      for (std::size_t start = 0; start < size_; start += length)
        for (std::size_t j = 0; j < length / 2; ++j) {
          const std::size_t low = start + j, high = low + length / 2, turn = j * (size_ / length);
          const double u = real[high] * cosine_[turn] - imaginary[high] * sine_[turn];
          const double v = imaginary[high] * cosine_[turn] + real[high] * sine_[turn];
          real[high] = real[low] - u;
          imaginary[high] = imaginary[low] - v;
          real[low] += u;
          imaginary[low] += v;
        }
  }

 private:
  std::size_t size_;
  std::vector<double> cosine_, sine_;
};

/// The mean over chains of the biased autocovariances: with m_c the mean of chain c,
///
///   acov_t = 1/M Σ_c 1/n Σ_{i < n − t} (x_{i,c} − m_c)(x_{i+t,c} − m_c),   t = 0 … n − 1
///
/// x: n × M, one column per chain, n and M ≥ 1. Cost: M n log n. Two chains share a transform, as the real and the
/// imaginary part: the real part of the autocovariance of their sum is the sum of theirs.
inline Eigen::VectorXd mean_autocovariance(const Eigen::Ref<const Eigen::MatrixXd>& x) {
  const Index n = x.rows(), chains = x.cols();
  std::size_t size = 2;
  while (size < 2 * static_cast<std::size_t>(n)) size *= 2;  // no lag wraps around
  const FourierTransform transform(size);
  std::vector<double> power(size, 0.0), real(size), imaginary(size);
  const auto put = [&](Index chain, std::vector<double>& part) {
    part.assign(size, 0.0);
    if (chain >= chains) return;
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += x(i, chain);
    const double mean = sum / static_cast<double>(n);
    for (Index i = 0; i < n; ++i) part[static_cast<std::size_t>(i)] = x(i, chain) - mean;
  };
  for (Index chain = 0; chain < chains; chain += 2) {
    put(chain, real);
    put(chain + 1, imaginary);
    transform.forward(real.data(), imaginary.data());
    for (std::size_t k = 0; k < size; ++k) power[k] += real[k] * real[k] + imaginary[k] * imaginary[k];
  }
  imaginary.assign(size, 0.0);
  transform.backward(power.data(), imaginary.data());
  const double scale = static_cast<double>(size) * static_cast<double>(n) * static_cast<double>(chains);
  Eigen::VectorXd covariance(n);
  for (Index t = 0; t < n; ++t) covariance[t] = power[static_cast<std::size_t>(t)] / scale;
  return covariance;
}

}  // namespace scorematch::diagnostics
