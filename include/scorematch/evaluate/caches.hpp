// The caches of the machine that runs: what the parts are cut by that matrix products work on.
#pragma once

#include <cstdio>

#include "scorematch/types.hpp"

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace scorematch::evaluate {

/// Bytes of a core's first-level data cache and of its second-level cache.
struct Caches {
  Index first = 32 * 1024, second = 512 * 1024;
};

namespace detail {

/// What the system says, or `otherwise` where it says nothing: Linux, for ARM, in files alone.
inline Index cache_bytes([[maybe_unused]] int level, Index otherwise) {
#ifdef _SC_LEVEL1_DCACHE_SIZE
  const long bytes = ::sysconf(level == 1 ? _SC_LEVEL1_DCACHE_SIZE : _SC_LEVEL2_CACHE_SIZE);
  if (bytes > 0) return bytes;
#endif
  char path[] = "/sys/devices/system/cpu/cpu0/cache/index0/size";
  path[40] = level == 1 ? '0' : '2';
  Index kilobytes = 0;
  if (std::FILE* file = std::fopen(path, "r")) {
    long number = 0;
    if (std::fscanf(file, "%ldK", &number) == 1) kilobytes = number;
    std::fclose(file);
  }
  return kilobytes > 0 ? kilobytes * 1024 : otherwise;
}

}  // namespace detail

/// The caches of this machine, asked for once. Assigning others cuts later products otherwise; no bit of a result
/// depends on them.
inline Caches& caches() {
  static Caches known{detail::cache_bytes(1, Caches{}.first), detail::cache_bytes(2, Caches{}.second)};
  return known;
}

}  // namespace scorematch::evaluate
