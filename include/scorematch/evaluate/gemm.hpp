// Matrix products for blocks of samples, on column-major storage.
//
// The library's own, since blocks have a shape of their own: many rows (samples and their derivative rows), a whole
// number of registers of them, against few columns that stay as they are for a batch. A tile of C stays in registers
// while the columns of A pass by. As in Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication
// (ACM TOMS 34, 2008), the parts that tiles meet again lie without gaps: some rows of A in the first-level cache, some
// columns of B in the second. docs/performance.md compares it with Eigen's product and OpenBLAS's.
#pragma once

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "scorematch/evaluate/caches.hpp"
#include "scorematch/simd/arrays.hpp"
#include "scorematch/simd/lanes.hpp"
#include "scorematch/types.hpp"

#ifdef SCOREMATCH_USE_BLAS
#include "scorematch/evaluate/blas.hpp"
#endif

namespace scorematch::evaluate {

/// AᵀB, to be computed later: A is k × m, packed by Gemm::pack; B k × n, ldb the distance between its columns.
template <class T>
struct TransposedProduct {
  Index m, n, k;
  const T* packed;
  const T* b;
  Index ldb;
};

/// A right factor B: its number (l, j) is data[l row + j column], where one of row and column is 1.
template <class T>
struct RightFactor {
  const T* data;
  Index row, column;
  const T* packed = nullptr;  ///< the same written by Gemm::pack_right, for a B that meets many blocks; null otherwise
};

template <class T>
class Gemm {
  using V = simd::Lanes<T>;
  using Doubles = simd::Lanes<double>;
  static constexpr Index width = simd::width<V>;
  // 24 of 32 registers hold the tile, or 12 of 16.
#if defined(__aarch64__)
  static constexpr Index tile_columns = 8;
#else
  static constexpr Index tile_columns = simd::register_bytes == 64 ? 8 : 4;
#endif
  static constexpr Index tile_registers = 3;
  // Columns of A a pass at most; the longest sum in float on the way to one in double.
  static constexpr Index depth = 256;

 public:
  /// Rows of AᵀB that one pass over A's columns makes.
  static constexpr Index panel = tile_registers * width;

  /// C = scale A B + bias, or C += scale A B + bias: C is tall × n, A tall × k, B k × n; tall is a multiple of the lane
  /// count; lda and ldc are the distances between columns. `bias` (n numbers, may be null) enters the first `bias_rows`
  /// rows, a multiple of the lane count too. A number of C is added up in the order of A's columns: its bits depend
  /// neither on the caches nor on whether B is packed.
  static void multiply(Index tall, Index n, Index k, const T* a, Index lda, const RightFactor<T>& b, T* c, Index ldc,
                       bool add, const T* bias = nullptr, Index bias_rows = 0, T scale = 1) {
#ifdef SCOREMATCH_USE_BLAS
    if (blas::pays(tall, n, k)) {
      blas::multiply<T>('N', b.row == 1 ? 'N' : 'T', tall, n, k, scale, a, lda, b.data, b.row * b.column, add ? 1 : 0,
                        c, ldc);
      for (Index j = 0; bias != nullptr && j < n; ++j)
        for (Index i = 0; i < bias_rows; ++i) c[j * ldc + i] += bias[j];
      return;
    }
#endif
    multiply({tall, n, k, a, lda, c, ldc, add, bias, bias_rows, scale}, b);
  }

  /// The same with the columns of B ldb apart.
  static void multiply(Index tall, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc,
                       bool add, const T* bias = nullptr, Index bias_rows = 0, T scale = 1) {
    multiply(tall, n, k, a, lda, RightFactor<T>{b, 1, ldb}, c, ldc, add, bias, bias_rows, scale);
  }

  /// How many numbers pack_right writes for a B of k × n.
  static Index packed_right_size(Index n, Index k) { return whole_tiles(n) * k; }

  /// How many strips of columns, packed one by one, B has.
  static Index right_strips(Index n) { return (n + right_strip - 1) / right_strip; }

  /// Packs strip `number` of B, k × n, in the order in which multiply's parts meet it: caches() may not change before.
  static void pack_right(Index n, Index k, const RightFactor<T>& b, Index number, T* packed) {
    const Index most = depth_of(k), first = number * right_strip, columns = std::min(right_strip, n - first);
    for (Index l = 0; l < k; l += most) {
      const Index kk = std::min(most, k - l);
      pack_right_part(kk, columns, {b.data + l * b.row + first * b.column, b.row, b.column},
                      packed + l * whole_tiles(n) + first * kk);
    }
  }

  /// C += Aᵀ B: C is m × n in double, without gaps; A is k × m, B k × n; k is a multiple of the lane count.
  /// `room` holds at least transposed_room numbers.
  static void multiply_transposed(Index m, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, double* c,
                                  T* room) {
#ifdef SCOREMATCH_USE_BLAS
    if constexpr (sizeof(T) == sizeof(double))
      if (blas::pays(m, n, k)) return blas::multiply<double>('T', 'N', m, n, k, 1, a, lda, b, ldb, 1, c, m);
#endif
    if (m < width / 2) {
      for (Index i = 0; i < m; ++i) dots(n, k, a + i * lda, b, ldb, c + i, m);
      return;
    }
    T* tile = room + together * depth;
    for (Index l = 0; l < k; l += depth) {
      const Index kk = std::min(depth, k - l), wide = columns_of(n, kk), group = n > wide ? together : panel;
      for (Index first = 0; first < m; first += group) {
        const Index end = std::min(m, first + group);
        for (Index row = first; row < end; row += panel)
          turn(std::min(panel, end - row), kk, a + row * lda + l, lda, room + (row - first) * depth);
        for (Index j = 0; j < n; j += wide)
          for (Index row = first; row < end; row += panel)
            add_tiles(std::min(panel, end - row), std::min(wide, n - j), kk, room + (row - first) * depth,
                      b + j * ldb + l, ldb, c + j * m + row, m, tile);
      }
    }
  }

 private:
  // Rows of AᵀB whose part of A is turned at once, before B's columns pass by.
  static constexpr Index together = 4 * panel;

 public:
  static constexpr Index transposed_room = together * depth + panel * tile_columns;

  /// Columns of AᵀB that are best added up at once: their part of B stays in the second-level cache.
  static constexpr Index strip = 64;

  /// How many numbers pack writes for k × m numbers.
  static constexpr Index packed_size(Index m, Index k) { return (m + width - 1) / width * width * k; }

  /// A (k × m, k a multiple of the lane count) in panels of its columns, as TransposedProduct wants it.
  static void pack(Index m, Index k, const T* a, Index lda, T* packed) {
    for (Index row = 0; row < m; row += panel) turn(std::min(panel, m - row), k, a + row * lda, lda, packed + row * k);
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
            columns({packed, registers, kk, registers * width},
                    {product.b + (first + j) * product.ldb + l, 1, product.ldb}, columns_here, sums + j * panel, panel,
                    summed > 0);
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

  // C, A, and what multiply does with them.
  struct Left {
    Index tall, n, k;
    const T* a;
    Index lda;
    T* c;
    Index ldc;
    bool add;
    const T* bias;
    Index bias_rows;
    T scale;
  };

  // Some registers of rows of A, and k of its columns.
  struct Rows {
    const T* data;
    Index registers, k, lda;
  };

  static constexpr Index right_strip = 64 / static_cast<Index>(sizeof(T));  // a cache line of a row

  static Index tiles(Index n) { return (n + tile_columns - 1) / tile_columns; }
  static Index whole_tiles(Index n) { return tiles(n) * tile_columns; }

  /// The largest of the fewest equal parts of `all`, none of more than `most`.
  static Index part_of(Index all, Index most) {
    const Index parts = std::max<Index>(1, (all + most - 1) / most);
    return std::max<Index>(1, (all + parts - 1) / parts);
  }

  // Columns of A a pass: those rows of it that meet one part of B fill, with one tile's columns of B, three quarters of
  // the first-level cache.
  static Index depth_of(Index k) {
    const Index numbers = caches().first / 4 * 3 / static_cast<Index>(sizeof(T));
    return part_of(k, std::clamp<Index>(numbers / (panel + tile_columns), 32, depth));
  }

  // Columns of B a pass: that part of B fills half of the second-level cache.
  static Index columns_of(Index n, Index k) {
    const Index numbers = caches().second / 2 / static_cast<Index>(sizeof(T));
    return part_of(tiles(n), std::max<Index>(8, numbers / (k * tile_columns))) * tile_columns;
  }

  static void multiply(const Left& p, const RightFactor<T>& b) {
    if (p.tall % width != 0) throw std::logic_error("scorematch: a matrix product takes whole registers of rows");
    alignas(64) T room[panel * depth];
    const Index deep = b.packed != nullptr ? depth_of(p.k) : part_of(p.k, depth), wide = columns_of(p.n, deep);
    // a B that no cache near has kept: the first rows fetch its next columns
    const bool from_memory = p.k * p.n * static_cast<Index>(sizeof(T)) > 1024 * 1024;
    for (Index j = 0; j < p.n; j += wide)
      for (Index l = 0; l == 0 || l < p.k; l += deep) {
        const Index n = std::min(wide, p.n - j), k = std::min(deep, p.k - l);
        const bool last = l + k == p.k, copied = n > 2 * tile_columns || p.scale != 1;
        const T* packed = b.packed == nullptr ? nullptr : b.packed + l * whole_tiles(p.n) + j * k;
        const RightFactor<T> right{b.data + l * b.row + j * b.column, b.row, b.column, packed};
        for (Index row = 0; row < p.tall;) {
          const Index left = (p.tall - row) / width;  // the last four go in two and two
          Rows rows{p.a + l * p.lda + row, left == 4 ? 2 : std::min(tile_registers, left), k, p.lda};
          if (copied) rows = copy(rows, p.scale, room);
          columns(rows, right, n, p.c + j * p.ldc + row, p.ldc, p.add || l > 0,
                  last && p.bias != nullptr ? p.bias + j : nullptr, (p.bias_rows - row) / width,
                  from_memory && row == 0);
          row += rows.registers * width;
        }
      }
  }

  // The rows times `scale`, without gaps.
  static Rows copy(const Rows& rows, T scale, T* room) {
    T* to = room;
    const T* from = rows.data;
    for (Index l = 0; l < rows.k; ++l, from += rows.lda)
      for (Index i = 0; i < rows.registers; ++i, to += width) {
        const V numbers = simd::load<V>(from + i * width);
        simd::store<V>(to, scale == 1 ? numbers : scale * numbers);
      }
    return {room, rows.registers, rows.k, rows.registers * width};
  }

  // One row of tiles; with `fetch` each fetches the columns of B that the next one meets.
  static void columns(const Rows& a, const RightFactor<T>& b, Index n, T* c, Index ldc, bool add,
                      const T* bias = nullptr, Index bias_registers = 0, bool fetch = false) {
    const bool packed = b.packed != nullptr;
    const auto run = a.registers == 3   ? (packed ? &tile<3, tile_columns, true> : &tile<3, tile_columns, false>)
                     : a.registers == 2 ? (packed ? &tile<2, tile_columns, true> : &tile<2, tile_columns, false>)
                                        : (packed ? &tile<1, tile_columns, true> : &tile<1, tile_columns, false>);
    const auto single = a.registers == 3   ? &tile<3, 1, false>
                        : a.registers == 2 ? &tile<2, 1, false>
                                           : &tile<1, 1, false>;
    const Index row = packed ? tile_columns : b.row, column = packed ? 1 : b.column;
    for (Index j = 0; j < n;) {
      const Index left = n - j, count = left < tile_columns / 2 ? 1 : std::min(tile_columns, left);
      // within a tile's packed columns the next one is beside the last
      const Index whole = j / tile_columns * tile_columns;
      const T* right = packed ? b.packed + whole * a.k + (j - whole) : b.data + j * column;
      (count == 1 ? single : run)(a.k, a.data, a.lda, right, row, column, c + j * ldc, ldc, count, add,
                                  bias == nullptr ? nullptr : bias + j, bias_registers,
                                  fetch && left >= 2 * tile_columns);
      j += count;
    }
  }

  // R registers × N columns of C, of which the first `count` columns are stored.
  template <int R, int N, bool packed>
  static void tile(Index k, const T* a, Index lda, const T* b, Index row, Index column, T* c, Index ldc, Index count,
                   bool add, const T* bias, Index bias_registers, bool fetch) {
    V sums[N][R] = {};
    if (add)
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) {
        if (j >= count) break;
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) sums[j][i] = simd::load<V>(c + j * ldc + i * width);
      }
    if constexpr (packed) {  // the next tile's columns come after these
      for (Index l = 0; l < k; ++l, a += lda, b += N) {
        __builtin_prefetch(b + k * N);
        add_column<R, N>(sums, a, [b](int j) SCOREMATCH_INLINE_LAMBDA { return b[j]; });
      }
    } else {
      const T* at[N];
      at[0] = b;
      for (int j = 1; j < N; ++j) at[j] = at[j - 1] + (j < count ? column : 0);
      for (Index l = 0, place = 0; l < k; ++l, a += lda, place += row) {
        if (fetch && l % (64 / static_cast<Index>(sizeof(T))) == 0)
          for (int j = 0; j < N; ++j) __builtin_prefetch(at[j] + N * column + place);
        add_column<R, N>(sums, a, [&at, place](int j) SCOREMATCH_INLINE_LAMBDA { return at[j][place]; });
      }
    }
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      if (j >= count) break;
      if (bias != nullptr)
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i)
          if (i < bias_registers) sums[j][i] += simd::broadcast<V>(bias[j]);
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) simd::store<V>(c + j * ldc + i * width, sums[j][i]);
    }
  }

  // sums += a column of A times number(j) for each column j.
  template <int R, int N, class Number>
  SCOREMATCH_INLINE static void add_column(V (&sums)[N][R], const T* a, Number number) {
    V column[R];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) column[i] = simd::load<V>(a + i * width);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      const V b = simd::broadcast<V>(number(j));
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) sums[j][i] += column[i] * b;
    }
  }

  // c += the product of `rows` turned rows with n columns of B, k long, added up in a tile first.
  static void add_tiles(Index rows, Index n, Index k, const T* turned, const T* b, Index ldb, double* c, Index ldc,
                        T* tile) {
    const Index registers = (rows + width - 1) / width;
    for (Index j = 0; j < n; j += tile_columns) {
      const Index count = std::min(tile_columns, n - j);
      for (Index q = 0; q < count; ++q)  // on their way from memory while the tile is computed
        for (Index i = 0; i < rows; i += 8) __builtin_prefetch(c + (j + q) * ldc + i, 1);
      columns({turned, registers, k, registers * width}, {b + j * ldb, 1, ldb}, count, tile, panel, false);
      for (Index q = 0; q < count; ++q) add_converted(c + (j + q) * ldc, tile + q * panel, rows);
    }
  }

  // A strip of columns of B as the tiles want them.
  static void pack_right_part(Index k, Index columns, const RightFactor<T>& b, T* to) {
    constexpr Index N = tile_columns, piece = std::min(N, width);
    Index l = 0;
    if (b.row == 1 && columns == right_strip)
      for (; l + width <= k; l += width)
        for (Index j = 0; j < columns; j += width) {
          V rows[width];
#pragma GCC unroll 16
          for (int i = 0; i < width; ++i) rows[i] = simd::load<V>(b.data + (j + i) * b.column + l);
          simd::transpose(rows);
#pragma GCC unroll 16
          for (int i = 0; i < width; ++i)
#pragma GCC unroll 4
            for (Index q = 0; q < width; q += piece)
              std::memcpy(to + (j + q) / N * N * k + (l + i) * N + (j + q) % N,
                          reinterpret_cast<const char*>(&rows[i]) + static_cast<std::size_t>(q) * sizeof(T),
                          static_cast<std::size_t>(piece) * sizeof(T));
        }
    for (; l < k; ++l)
      for (Index j = 0; j < columns; j += N) {
        const T* from = b.data + l * b.row + j * b.column;
        if (b.column == 1 && j + N <= columns)
          std::copy_n(from, N, to + j * k + l * N);
        else
          for (Index q = 0; q < std::min(N, columns - j); ++q) to[j * k + l * N + q] = from[q * b.column];
      }
  }

  // Columns first … of A, k × rows, become the rows that a tile reads.
  static void turn(Index rows, Index k, const T* a, Index lda, T* to) {
    const Index high = (rows + width - 1) / width * width;
    for (Index from = 0; from < rows; from += width)
      for (Index l = 0; l < k; l += width)
        transpose(a + from * lda + l, lda, std::min(width, rows - from), to + l * high + from, high);
  }

  // c[j stride] += a · b_j
  static void dots(Index n, Index k, const T* a, const T* b, Index ldb, double* c, Index stride) {
    constexpr int side = 4;
    for (Index j = 0; j < n; j += side) {
      const T* at[side];
      V sums[side] = {};
      for (int q = 0; q < side; ++q) at[q] = b + std::min<Index>(j + q, n - 1) * ldb;
      for (Index l = 0; l < k; l += width) {
        const V av = simd::load<V>(a + l);
#pragma GCC unroll 4
        for (int q = 0; q < side; ++q) sums[q] += av * simd::load<V>(at[q] + l);
      }
      for (int q = 0; q < side && j + q < n; ++q) c[(j + q) * stride] += simd::sum_of_lanes(sums[q]);
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
