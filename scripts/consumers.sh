#!/usr/bin/env bash
# consumers.sh [find_package] [add_subdirectory] [copied_headers]
# Builds and runs tests/consumer as a user of the library would, in each of the ways named (default: all three): from an
# installed package that was moved after the installation, as a subfolder, and from a copied include/ folder with the
# compiler alone. CXX names the compiler, EIGEN the folder that holds Eigen/Core.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$PWD
export CXX=${CXX:-g++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

quietly() {
  if ! "$@" >"$work/log" 2>&1; then
    cat "$work/log" >&2
    echo "consumers.sh: failed: $*" >&2
    exit 1
  fi
}

consumer_with() {
  quietly cmake -S tests/consumer -B "$work/build" "$@"
  quietly cmake --build "$work/build"
  "$work/build/consumer"
}

find_package() {
  quietly cmake -S . -B "$work/library" -DCMAKE_INSTALL_PREFIX="$work/installed" \
    -DSCOREMATCH_BUILD_TESTS=OFF -DSCOREMATCH_BUILD_EXAMPLES=OFF -DSCOREMATCH_BUILD_BENCHMARKS=OFF
  quietly cmake --install "$work/library"
  mv "$work/installed" "$work/moved"
  consumer_with -DCMAKE_PREFIX_PATH="$work/moved"
}

add_subdirectory() {
  consumer_with -DSCOREMATCH_FOLDER="$root"
}

copied_headers() {
  cp -r include "$work/include"
  quietly "$CXX" -std=c++20 -I"$work/include" -I"${EIGEN:-/usr/include/eigen3}" tests/consumer/*.cpp -o "$work/consumer"
  "$work/consumer"
}

if [ $# -eq 0 ]; then set -- find_package add_subdirectory copied_headers; fi
for way in "$@"; do
  case "$way" in
    find_package | add_subdirectory | copied_headers)
      rm -rf "$work/build"
      "$way"
      echo "consumer by $way: passed"
      ;;
    *)
      echo "consumers.sh: \"$way\" is no way; find_package, add_subdirectory and copied_headers are" >&2
      exit 2
      ;;
  esac
done
