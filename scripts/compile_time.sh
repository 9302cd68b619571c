#!/usr/bin/env bash
# How long a 20-line program of the library takes to compile, from the headers alone and for the target
# scorematch::precompiled, against an empty one that includes Eigen/Dense: medians of the processor time of $ROUNDS runs
# each (an odd number, 5 by default) with $CXX -O2 (default g++), taken in turn so that a busy machine slows all. The budget is a ratio of 2.5; the figures
# are printed, not enforced, since timings on a shared machine vary.
set -euo pipefail
export LC_ALL=C  # a decimal point in times
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compiler=${CXX:-g++}
folder=benchmarks/compile_time
object=$(mktemp)
trap 'rm -f "$object"' EXIT

exec 3>&2
TIMEFORMAT='%U %S'
seconds_to_compile() {  # PROGRAM [OPTION…]
  { time "$compiler" -std=c++20 -O2 "${@:2}" -Iinclude -isystem "${EIGEN:-/usr/include/eigen3}" \
    -c "$folder/$1.cpp" -o "$object" 2>&3; } 2>&1 | awk '{ print $1 + $2 }'
}

empty=()
program=()
precompiled=()
rounds=${ROUNDS:-5}
for _ in $(seq "$rounds"); do
  empty+=("$(seconds_to_compile empty)")
  program+=("$(seconds_to_compile program)")
  precompiled+=("$(seconds_to_compile program -DSCOREMATCH_PRECOMPILED)")
done
median() { printf '%s\n' "$@" | sort -g | sed -n "$(((rounds + 1) / 2))p"; }

awk -v empty="$(median "${empty[@]}")" -v program="$(median "${program[@]}")" \
  -v precompiled="$(median "${precompiled[@]}")" 'BEGIN {
  printf "compile time (processor; budget: ratio 2.5): empty with Eigen/Dense %.2f s\n", empty
  printf "  20-line program, headers alone           %.2f s, ratio %.2f\n", program, program / empty
  printf "  20-line program, scorematch::precompiled %.2f s, ratio %.2f\n", precompiled, precompiled / empty
}'
