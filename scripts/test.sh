#!/usr/bin/env bash
# test.sh [PRESET [BUILD_FOLDER [CMAKE_OPTION…]]]
# Installs what is missing (Debian, Ubuntu), builds, and runs the tests; exits with ctest's verdict.
# PRESET is one of CMakePresets.json (default: $PRESET, else release), BUILD_FOLDER defaults to $BUILD_DIR, else
# build/PRESET; JOBS=n in the environment overrides the number of jobs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=${1:-${PRESET:-release}}
build=${2:-${BUILD_DIR:-build/$preset}}

scripts/install_packages.sh g++ make cmake libeigen3-dev catch2 \
  --optional ninja-build libbenchmark-dev gnuplot-nox openmpi-bin libopenmpi-dev
# One compiler a core, as far as there are 2 GB of memory for each.
jobs=$(getconf _NPROCESSORS_ONLN)
if [ -r /proc/meminfo ]; then
  by_memory=$(awk '/^MemAvailable:/ { print int($2 / (2 * 1024 * 1024)) }' /proc/meminfo)
  if [ "${by_memory:-0}" -lt "$jobs" ]; then jobs=$((by_memory > 0 ? by_memory : 1)); fi
fi
jobs=${JOBS:-$jobs}
export CMAKE_BUILD_PARALLEL_LEVEL=$jobs  # for the builds that tests start, too
if [ ! -f "$build/CMakeCache.txt" ] && command -v ninja >/dev/null; then
  export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
fi

cmake --preset "$preset" -B "$build" "${@:3}"
cmake --build "$build"
ctest --test-dir "$build" --output-on-failure --no-tests=error --parallel "$jobs"
