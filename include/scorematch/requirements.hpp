// What a compiler and its flags must be, for this library's results to be right. Each refusal is a sentence that says
// what to do.
#pragma once

#include <cfloat>

#if __cplusplus < 202002L
#error "scorematch needs C++20: compile with -std=c++20 or newer"
#include "scorematch/see_the_error_above"  // no such file: that ends it here, before hundreds of errors that say less
#endif

// Failures are told by NaN and infinities: by comparisons that NaN must fail, here and in Eigen. The rest of
// -ffast-math does no harm.
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "scorematch needs NaN and infinities: after -ffast-math, -Ofast or the like add -fno-finite-math-only"
#endif

// Registers of more precision than the type.
#if (defined(__i386__) && !defined(__SSE2_MATH__)) || FLT_EVAL_METHOD == 1 || FLT_EVAL_METHOD == 2
#error "scorematch needs arithmetic in the precision of the type: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif

// A sample is a column, one number after another.
#if defined(EIGEN_DEFAULT_TO_ROW_MAJOR)
#error "scorematch needs Eigen's default, columns: EIGEN_DEFAULT_TO_ROW_MAJOR must not be defined where it is included"
#endif

// GCC bug 54412: the stack is not aligned for them, and programs crash.
#if defined(_WIN32) && defined(__AVX__) && !defined(__clang__)
#error "scorematch cannot use AVX with g++ for Windows: compile without -march=native and -mavx, or with clang++"
#endif
