#!/usr/bin/env bash
# Installs what is missing (Debian, Ubuntu), builds examples/quickstart.cpp for this machine and runs it; the program's
# last line says where its picture is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/install_packages.sh g++ make cmake libeigen3-dev --optional gnuplot-nox

build=build/examples
output=build/quickstart
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DSCOREMATCH_NATIVE=ON \
  -DSCOREMATCH_BUILD_TESTS=OFF -DSCOREMATCH_BUILD_BENCHMARKS=OFF >/dev/null
cmake --build "$build" --target quickstart

"$build/examples/quickstart" "$output"
