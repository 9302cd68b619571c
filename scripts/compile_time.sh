#!/usr/bin/env bash
# How long a 20-line program of the library takes to compile, from the headers alone and for the target
# scorematch::precompiled, including all headers or those that it uses, against an empty one that includes Eigen/Dense:
# medians of the processor time of $ROUNDS runs each (an odd number, 5 by default) with $CXX -O2 (default g++), taken in
# turn so that a busy machine slows all. The budget is a ratio of 2.5; the figures are printed, not enforced, since
# timings on a shared machine vary.
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

variants=("" "-DOWN_HEADERS" "-DSCOREMATCH_PRECOMPILED" "-DSCOREMATCH_PRECOMPILED -DOWN_HEADERS")
names=("headers alone" "headers alone, those it uses" "precompiled" "precompiled, headers it uses")
rounds=${ROUNDS:-5}
times=$(mktemp -d)
trap 'rm -rf "$object" "$times"' EXIT
for _ in $(seq "$rounds"); do
  seconds_to_compile empty >>"$times/empty"
  for i in "${!variants[@]}"; do
    read -ra options <<<"${variants[$i]}"
    seconds_to_compile program ${options[@]+"${options[@]}"} >>"$times/$i"
  done
done
median() { sort -g "$times/$1" | sed -n "$(((rounds + 1) / 2))p"; }

empty=$(median empty)
printf 'compile time (processor; budget: ratio 2.5): empty with Eigen/Dense %.2f s\n' "$empty"
for i in "${!names[@]}"; do
  awk -v name="${names[$i]}" -v time="$(median "$i")" -v empty="$empty" \
    'BEGIN { printf "  20-line program, %-30s %.2f s, ratio %.2f\n", name, time, time / empty }'
done
