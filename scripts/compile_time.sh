#!/usr/bin/env bash
# How long three programs of the library take to compile, against an empty one that includes Eigen/Dense: program.cpp of 20
# lines, and many.cpp of three models with four uses each; from the headers alone and for the target
# scorematch::precompiled, including all headers or those that they use, or all of them read once (a precompiled header).
# Medians of the processor time of $ROUNDS runs each (an odd number, 5 by default) with $CXX -O2 (default g++), taken in
# turn so that a busy machine slows all. The budgets of program.cpp are ratios: 5 from the headers alone, 2.2 for the
# precompiled target. The figures are printed, not enforced, since timings on a shared machine vary.
set -euo pipefail
export LC_ALL=C  # a decimal point in times
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compiler=${CXX:-g++}
folder=benchmarks/compile_time
times=$(mktemp -d)
trap 'rm -rf "$times"' EXIT

exec 3>&2
TIMEFORMAT='%U %S'
seconds_to_compile() {  # PROGRAM [OPTION…]
  { time "$compiler" -std=c++20 -O2 "${@:2}" -Iinclude -isystem "${EIGEN:-/usr/include/eigen3}" \
    -c "$folder/$1.cpp" -o "$times/object" 2>&3; } 2>&1 | awk '{ print $1 + $2 }'
}

echo '#include <scorematch/scorematch.hpp>' >"$times/all.hpp"
"$compiler" -std=c++20 -O2 -DSCOREMATCH_PRECOMPILED -Iinclude -isystem "${EIGEN:-/usr/include/eigen3}" \
  -x c++-header "$times/all.hpp" -o "$times/all.hpp.gch"
echo '#error "the precompiled header was not taken"' >"$times/all.hpp"

variants=("program" "program -DOWN_HEADERS" "program -DSCOREMATCH_PRECOMPILED"
  "program -DSCOREMATCH_PRECOMPILED -DOWN_HEADERS" "many" "many -DSCOREMATCH_PRECOMPILED"
  "inference" "inference -DSCOREMATCH_PRECOMPILED"
  "program -DSCOREMATCH_PRECOMPILED -include $times/all.hpp")
names=("20 lines, all headers" "20 lines, headers it uses" "20 lines, all headers, precompiled"
  "20 lines, headers it uses, precompiled" "three models, four uses" "three models, four uses, precompiled"
  "likelihoods and errors of three models" "the same, precompiled"
  "20 lines, all headers read once, precompiled")
rounds=${ROUNDS:-5}
for _ in $(seq "$rounds"); do
  seconds_to_compile empty >>"$times/empty"
  for i in "${!variants[@]}"; do
    read -ra arguments <<<"${variants[$i]}"
    seconds_to_compile "${arguments[@]}" >>"$times/$i"
  done
done
median() { sort -g "$times/$1" | sed -n "$(((rounds + 1) / 2))p"; }

empty=$(median empty)
printf 'compile time (processor; budgets: ratio 5, precompiled 2.2): empty with Eigen/Dense %.2f s\n' "$empty"
for i in "${!names[@]}"; do
  awk -v name="${names[$i]}" -v time="$(median "$i")" -v empty="$empty" \
    'BEGIN { printf "  %-46s %6.2f s, ratio %.2f\n", name, time, time / empty }'
done
