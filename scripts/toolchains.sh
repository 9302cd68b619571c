#!/usr/bin/env bash
# toolchains.sh [--numbers] [NAME…]
# Builds and runs the programs of tests/toolchains with the compilers, targets and flags NAME (default: all of them), and
# prints a table. A row passes if its programs are right, or if what must be refused is refused with its sentence; it is
# skipped where the compiler or the emulator is missing. --numbers leaves out the program that takes minutes to compile.
# Debian's and Ubuntu's packages: g++-aarch64-linux-gnu g++-arm-linux-gnueabihf g++-i686-linux-gnu g++-s390x-linux-gnu
# g++-mingw-w64-x86-64 clang-16 libc++-16-dev libc++abi-16-dev clang-19 emscripten qemu-user wine64.
# EIGEN names the folder that holds Eigen/Core, OPTIMISE the level (-O1).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$PWD
eigen=${EIGEN:-/usr/include/eigen3}
optimise=${OPTIMISE:--O1}
programs=(numbers models)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Where a program for another machine has no emulator of its own, it runs by what this names.
export PATH=$PATH:/usr/lib/wine WINEDEBUG=-all WINEPREFIX=$work/wine

failed=0
row() { printf '%-16s %-9s %s\n' "$name" "$1" "$2"; }

missing() {  # COMMAND…: says which is not there
  for command in "$@"; do
    if ! command -v "$command" >/dev/null; then
      row skipped "$command is missing"
      return 0
    fi
  done
  return 1
}

# right RUNNER COMPILER…: the programs compile without a warning and, run by RUNNER ("" for this machine), are right.
right() {
  local runner=$1 compiler=("${@:2}") program
  # shellcheck disable=SC2086
  if missing "${compiler[0]}" ${runner/none/}; then return; fi
  for program in "${programs[@]}"; do
    if ! "${compiler[@]}" -std=c++20 "$optimise" -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I"$root/include" \
      -isystem "$eigen" "$root/tests/toolchains/$program.cpp" -o "$work/$program$ending" >"$work/log" 2>&1; then
      row FAILED "$program does not compile: $(grep -m 1 -E 'error|undefined' "$work/log")"
      failed=1
      return
    fi
    # shellcheck disable=SC2086
    if [ "$runner" != none ] && ! (cd "$work" && OMP_NUM_THREADS=2 $runner "./$program$ending") >"$work/log" 2>&1; then
      row FAILED "$program: $(grep -m 1 . "$work/log" || echo "no output")"
      failed=1
      return
    fi
    rm -f "$work/$program"*
  done
  row "$([ "$runner" = none ] && echo compiles || echo right)" "$("${compiler[0]}" --version | head -n 1)"
}

# refused SENTENCE COMPILER…: it says this sentence, and at most one thing more: that the compilation ends there.
refused() {
  local sentence=$1 compiler=("${@:2}")
  if missing "${compiler[0]}"; then return; fi
  printf '#include <scorematch/check.hpp>\n' >"$work/all.cpp"
  if "${compiler[@]}" -I"$root/include" -isystem "$eigen" -fsyntax-only "$work/all.cpp" >"$work/log" 2>&1 ||
    ! grep -qF "$sentence" "$work/log" || [ "$(grep -c 'error: ' "$work/log")" -gt 2 ]; then
    row FAILED "not refused with \"$sentence\""
    failed=1
    return
  fi
  row refused "$sentence"
}

fast=(-ffast-math -fno-finite-math-only)
sse=(-msse2 -mfpmath=sse)
needs_nan="scorematch needs NaN and infinities: after -ffast-math, -Ofast or the like add -fno-finite-math-only"
needs_20="scorematch needs C++20: compile with -std=c++20 or newer"
needs_columns="scorematch needs Eigen's default, columns: EIGEN_DEFAULT_TO_ROW_MAJOR must not be defined where it is included"
needs_sse="scorematch needs arithmetic in the precision of the type: on 32-bit x86 compile with -msse2 -mfpmath=sse"
needs_no_avx="scorematch cannot use AVX with g++ for Windows: compile without -march=native and -mavx, or with clang++"

run_row() {
  local ending=
  case $name in
    gcc) right "" g++ ;;
    gcc-fast) right "" g++ "${fast[@]}" ;;
    gcc-fast-avx512) right "" g++ "${fast[@]}" -march=x86-64-v4 -Wno-maybe-uninitialized ;;
    gcc-O3) optimise=-O3 right "" g++ ;;
    gcc-finite) refused "$needs_nan" g++ -std=c++20 -Ofast ;;
    gcc-c++17) refused "$needs_20" g++ -std=c++17 ;;
    gcc-rows) refused "$needs_columns" g++ -std=c++20 -DEIGEN_DEFAULT_TO_ROW_MAJOR ;;
    clang) right "" clang++-16 ;;
    clang-19) right "" clang++-19 ;;
    clang-fast) right "" clang++-16 "${fast[@]}" ;;
    clang-finite) refused "$needs_nan" clang++-16 -std=c++20 -ffast-math ;;
    clang-c++17) refused "$needs_20" clang++-16 -std=c++17 ;;
    clang-rows) refused "$needs_columns" clang++-16 -std=c++20 -DEIGEN_DEFAULT_TO_ROW_MAJOR ;;
    libc++) right "" clang++-16 -stdlib=libc++ ;;
    arm64) right qemu-aarch64 aarch64-linux-gnu-g++ -static ;;
    arm64-fast) right qemu-aarch64 aarch64-linux-gnu-g++ -static "${fast[@]}" ;;
    armhf) right qemu-arm arm-linux-gnueabihf-g++ -static -Wno-psabi ;;
    i686) right "" i686-linux-gnu-g++ -static "${sse[@]}" ;;
    i686-x87) refused "$needs_sse" i686-linux-gnu-g++ -std=c++20 ;;
    s390x) right qemu-s390x s390x-linux-gnu-g++ -static ;;
    mingw) ending=.exe right "$(command -v wine64 || echo none)" x86_64-w64-mingw32-g++-posix -static ;;
    mingw-avx) refused "$needs_no_avx" x86_64-w64-mingw32-g++-posix -std=c++20 -mavx2 ;;
    emscripten) ending=.js right node em++ -fexceptions -sALLOW_MEMORY_GROWTH=1 -sNODERAWFS=1 -sSINGLE_FILE=1 ;;
    *)
      echo "toolchains.sh: \"$name\" is no toolchain; ${rows[*]} are" >&2
      exit 2
      ;;
  esac
}

rows=(gcc gcc-O3 gcc-fast gcc-fast-avx512 gcc-finite gcc-c++17 gcc-rows clang clang-19 clang-fast clang-finite clang-c++17
  clang-rows libc++ arm64 arm64-fast armhf i686 i686-x87 s390x mingw mingw-avx emscripten)
if [ "${1:-}" = --numbers ]; then
  programs=(numbers)
  shift
fi
if [ $# -eq 0 ]; then set -- "${rows[@]}"; fi
for name in "$@"; do run_row; done
exit "$failed"
