// Matrix products for blocks of samples, on column-major storage.
//
// The library's own, since blocks have a shape of their own: very many rows (samples and their derivative rows), a
// whole number of registers of them, against few columns that stay as they are for a batch. A tile of C stays in
// registers while the columns of A pass by; nothing is packed. docs/performance.md compares it with Eigen's general
// product.
#pragma once

#include <algorithm>
#include <vector>

#include "scorematch/simd/arrays.hpp"
#include "scorematch/simd/lanes.hpp"
#include "scorematch/types.hpp"

namespace scorematch::evaluate {

/// AᵀB, to be computed later: A is k × m, packed by Gemm::pack; B k × n, ldb the distance between its columns.
template <class T>
struct TransposedProduct {
  Index m, n, k;
  const T* packed;
  const T* b;
  Index ldb;
};

template <class T>
class Gemm {
  using V = simd::Lanes<T>;
  using Doubles = simd::Lanes<double>;
  static constexpr Index width = simd::width<V>;

 public:
  /// C = scale A B + bias, or C += scale A B: C is tall × n, A tall × k, B k × n; tall is a multiple of the lane count;
  /// lda, ldb, ldc are the distances between columns. `bias` (n numbers, may be null) enters the first `bias_rows`
  /// rows, a multiple of the lane count too.
  static void multiply(Index tall, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc,
                       bool add, const T* bias = nullptr, Index bias_rows = 0, T scale = 1) {
    const bool from_memory = k * n * static_cast<Index>(sizeof(T)) > 1024 * 1024;  // a B that no cache near has kept
    for (Index l = 0; l == 0 || l < k; l += depth)
      for (Index j = 0; j < n; j += breadth)
        for (Index row = 0; row < tall; row += tile_registers * width)
          columns(std::min<Index>(tile_registers, (tall - row) / width), std::min(breadth, n - j),
                  std::min(depth, k - l), a + l * lda + row, lda, b + j * ldb + l, ldb, c + j * ldc + row, ldc,
                  add || l > 0, bias != nullptr && l == 0 ? bias + j : nullptr, (bias_rows - row) / width,
                  from_memory && row == 0, scale);
  }

  /// C += Aᵀ B: C is m × n in double, without gaps; A is k × m, B k × n; k is a multiple of the lane count.
  /// `room` holds at least transposed_room numbers.
  static void multiply_transposed(Index m, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, double* c,
                                  T* room) {
    if (m < width / 2) {
      for (Index i = 0; i < m; ++i) dots(n, k, a + i * lda, b, ldb, c + i, m);
      return;
    }
    constexpr Index tile_rows = tile_registers * width;
    T* tile = room + tile_rows * depth;
    for (Index l = 0; l < k; l += depth) {
      const Index kk = std::min(depth, k - l);
      for (Index row = 0; row < m; row += tile_rows) {
        const Index rows = std::min(tile_rows, m - row), registers = (rows + width - 1) / width;
        for (Index from = 0; from < rows; from += width)
          for (Index t = 0; t < kk; t += width)
            transpose(a + (row + from) * lda + l + t, lda, std::min(width, rows - from),
                      room + t * registers * width + from, registers * width);
        for (Index j = 0; j < n; j += tile_columns) {
          const Index count = std::min(tile_columns, n - j);
          for (Index q = 0; q < count; ++q)  // on their way from memory while the tile is computed
            for (Index i = 0; i < rows; i += 8) __builtin_prefetch(c + (j + q) * m + row + i, 1);
          columns(registers, count, kk, room, registers * width, b + j * ldb + l, ldb, tile, tile_rows, false, nullptr,
                  0);
          for (Index q = 0; q < count; ++q) {
            double* to = c + (j + q) * m + row;
            add_converted(to, tile + q * tile_rows, rows);
          }
        }
      }
    }
  }

 private:
  // 24 of AVX-512's 32 registers hold the tile, 12 of 16 elsewhere.
  static constexpr Index tile_registers = 3, tile_columns = simd::register_bytes == 64 ? 8 : 4;
  // Columns of A a pass, and columns of B: the part of B that all of A's rows meet stays in the second-level cache.
  static constexpr Index depth = 256, breadth = 512 * 1024 / (depth * static_cast<Index>(sizeof(T)));

 public:
  static constexpr Index transposed_room = tile_registers * width * (depth + tile_columns);

  /// Rows of AᵀB that one pass over A's columns makes.
  static constexpr Index panel = tile_registers * width;

  /// Columns of AᵀB that are best added up at once: their part of B stays in the second-level cache.
  static constexpr Index strip = 64;

  /// How many numbers pack writes for k × m numbers.
  static constexpr Index packed_size(Index m, Index k) { return (m + width - 1) / width * width * k; }

  /// A (k × m, k a multiple of the lane count) in panels of its columns, as TransposedProduct wants it.
  static void pack(Index m, Index k, const T* a, Index lda, T* packed) {
    for (Index row = 0; row < m; row += panel) {
      const Index rows = std::min(panel, m - row), high = (rows + width - 1) / width * width;
      for (Index from = 0; from < rows; from += width)
        for (Index l = 0; l < k; l += width)
          transpose(a + (row + from) * lda + l, lda, std::min(width, rows - from), packed + row * k + l * high + from,
                    high);
    }
  }

  /// Columns first … first + count − 1 ≤ strip of C, m × n in double without gaps, become scale (C + Σ AᵀB) over the
  /// products, all of them m × n, in their order; scale Σ AᵀB where `fresh`: then C is not read. C is passed over once.
  static void add_transposed(const std::vector<TransposedProduct<T>>& products, Index m, Index first, Index count,
                             double* c, bool fresh, double scale) {
    constexpr bool in_double = sizeof(T) == sizeof(double);
    alignas(64) T sums[panel * strip];
    for (Index row = 0; row < m; row += panel) {
      const Index rows = std::min(panel, m - row), registers = (rows + width - 1) / width;
      Index summed = 0;
      bool add = !fresh;
      const auto write = [&](double factor) {
        for (Index j = 0; j < count; ++j) {
          double* to = c + (first + j) * m + row;
          const T* from = sums + j * panel;
          if (add)
            add_converted(to, from, rows, factor);
          else
            simd::for_lanes<Doubles>(rows, [&]<class D>(D, Index i) SCOREMATCH_INLINE_LAMBDA {
              simd::store<D>(to + i, factor * simd::load_as<D>(from + i));
            });
        }
        add = true;
        summed = 0;
      };
      if (products.empty()) std::fill_n(sums, panel * count, T(0));
      for (std::size_t p = 0; p < products.size(); ++p) {
        const TransposedProduct<T>& product = products[p];
        for (Index l = 0; l < product.k; l += depth) {
          const T* packed = product.packed + row * product.k + l * registers * width;
          const Index kk = std::min(depth, product.k - l);
          if (!in_double && summed + kk > depth) write(1);  // no more than this is summed in float
          for (Index j = 0; j < count; j += tile_columns) {
            const Index columns_here = std::min(tile_columns, count - j);
            if (p == 0 && l == 0)  // on their way from memory while the tiles are computed
              for (Index q = 0; q < columns_here; ++q)
                for (Index i = 0; i < rows; i += 8) __builtin_prefetch(c + (first + j + q) * m + row + i, 1);
            columns(registers, columns_here, kk, packed, registers * width, product.b + (first + j) * product.ldb + l,
                    product.ldb, sums + j * panel, panel, summed > 0, nullptr, 0);
          }
          summed += kk;
        }
      }
      write(scale);
    }
  }

 private:
  // to = factor (to + from)
  static void add_converted(double* to, const T* from, Index count, double factor = 1) {
    simd::for_lanes<Doubles>(count, [&]<class D>(D, Index i) SCOREMATCH_INLINE_LAMBDA {
      simd::store<D>(to + i, factor * (simd::load<D>(to + i) + simd::load_as<D>(from + i)));
    });
  }

  // One row of tiles; the first of those that meet the same columns of B fetches them.
  static void columns(Index registers, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc,
                      bool add, const T* bias, Index bias_registers, bool fetch = false, T scale = 1) {
    for (Index j = 0; j < n;) {
      const bool wide = n - j >= tile_columns / 2;
      const Index count = wide ? std::min(tile_columns, n - j) : 1;
      const auto run = wide ? (registers == 3   ? &tile<3, tile_columns>
                               : registers == 2 ? &tile<2, tile_columns>
                                                : &tile<1, tile_columns>)
                            : (registers == 3   ? &tile<3, 1>
                               : registers == 2 ? &tile<2, 1>
                                                : &tile<1, 1>);
      const bool ahead = fetch && j + 2 * tile_columns <= n;
      run(k, a, lda, b + j * ldb, ldb, c + j * ldc, ldc, count, add, bias == nullptr ? nullptr : bias + j,
          bias_registers, ahead, scale);
      j += count;
    }
  }

  // R registers × N columns of C, of which the first `count` columns are stored. With `ahead` the next N columns of B
  // are fetched meanwhile.
  template <int R, int N>
  static void tile(Index k, const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index count, bool add,
                   const T* bias, Index bias_registers, bool ahead, T scale) {
    V sums[N][R] = {};
    const T* at[N];
    for (int j = 0; j < N; ++j) at[j] = b + std::min<Index>(j, count - 1) * ldb;
    for (Index l = 0; l < k; ++l, a += lda) {
      if (ahead && l % (64 / static_cast<Index>(sizeof(T))) == 0)
        for (int j = 0; j < N; ++j) __builtin_prefetch(at[j] + N * ldb + l);
      V column[R];
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) column[i] = simd::load<V>(a + i * width);
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) {
        const V number = simd::broadcast<V>(at[j][l]);
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) sums[j][i] += column[i] * number;
      }
    }
    if (scale != 1)
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j)
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) sums[j][i] *= scale;
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      if (j >= count) break;
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) {
        T* to = c + j * ldc + i * width;
        V sum = sums[j][i];
        if (add) sum += simd::load<V>(to);
        if (bias != nullptr && i < bias_registers) sum += simd::broadcast<V>(bias[j]);
        simd::store<V>(to, sum);
      }
    }
  }

  // c[j stride] += a · b_j
  static void dots(Index n, Index k, const T* a, const T* b, Index ldb, double* c, Index stride) {
    constexpr int together = 4;
    for (Index j = 0; j < n; j += together) {
      const T* at[together];
      V sums[together] = {};
      for (int q = 0; q < together; ++q) at[q] = b + std::min<Index>(j + q, n - 1) * ldb;
      for (Index l = 0; l < k; l += width) {
        const V av = simd::load<V>(a + l);
#pragma GCC unroll 4
        for (int q = 0; q < together; ++q) sums[q] += av * simd::load<V>(at[q] + l);
      }
      for (int q = 0; q < together && j + q < n; ++q) c[(j + q) * stride] += simd::sum_of_lanes(sums[q]);
    }
  }

  // `columns` columns of `width` numbers each become rows of `width` numbers; rows beyond them are 0.
  static void transpose(const T* a, Index lda, Index columns, T* out, Index ldo) {
    V rows[width];
#pragma GCC unroll 16
    for (int i = 0; i < width; ++i) rows[i] = i < columns ? simd::load<V>(a + i * lda) : V{};
    simd::transpose(rows);
#pragma GCC unroll 16
    for (int i = 0; i < width; ++i) simd::store<V>(out + i * ldo, rows[i]);
  }
};

}  // namespace scorematch::evaluate
