// What the programs of this folder find wrong. They need no test framework, of which other machines have no build.
#pragma once

#include <cstdio>
#include <string>

inline int failures = 0;

inline void check(bool holds, const std::string& what) {
  if (holds) return;
  ++failures;
  std::printf("wrong: %s\n", what.c_str());
}
