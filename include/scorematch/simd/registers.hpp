// How wide the target's registers are, and that all files of a program agree on it.
//
// Where two files have different -march flags, functions of Eigen and of this library have one name and two meanings,
// and the linker keeps one of each. Eigen then frees with one what it allocated with the other, and reads with aligned
// instructions what is not aligned: two files that use nothing but Eigen crash as well. So such a program is ended at
// its start, before it computes anything.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace scorematch::simd {

// The widest register that the target's instruction set holds.
#if defined(__AVX512F__) && defined(__AVX512DQ__)
inline constexpr std::size_t register_bytes = 64;
#elif defined(__AVX__)
inline constexpr std::size_t register_bytes = 32;
#else
inline constexpr std::size_t register_bytes = 16;
#endif

struct Registers {
  std::size_t bytes, alignment;  ///< of a register, and of Eigen's arrays

  void must_be(Registers other) const {
    if (bytes == other.bytes && alignment == other.alignment) return;
    std::fprintf(stderr,
                 "scorematch: two files of this program were compiled with different -march flags (or Eigen's "
                 "alignments): one has registers of %zu bytes and aligns Eigen's arrays to %zu, another has %zu and "
                 "%zu. Give all files the same flags.\n",
                 bytes, alignment, other.bytes, other.alignment);
    std::abort();
  }
};

// Of one file of the program; not constant, so that the compiler reads it and does not take its own file's.
inline Registers registers_of_program{register_bytes, EIGEN_MAX_ALIGN_BYTES};

// Of each file.
[[maybe_unused]] static const bool registers_agree =
    (registers_of_program.must_be({register_bytes, EIGEN_MAX_ALIGN_BYTES}), true);

}  // namespace scorematch::simd
