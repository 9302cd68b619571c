// The library's version: the one place where it is written; CMakeLists.txt reads these three lines.
// A release that changes the minor number may change the interface (until 1.0.0).
#pragma once

#define SCOREMATCH_VERSION_MAJOR 0
#define SCOREMATCH_VERSION_MINOR 1
#define SCOREMATCH_VERSION_PATCH 0
