#!/usr/bin/env bash
# product_caches.sh [FLAGS]: instructions and misses of the matrix products of benchmarks/products.cpp under simulated
# caches, for machines that are not at hand. Valgrind's cachegrind counts the same on any machine, whatever else runs.
# FLAGS are those of the compiler, -O2 -march=x86-64-v3 if there are none (valgrind knows no AVX-512).
#
# Cachegrind has two levels, so its last one is the machine's second here: a miss of it goes to the third or to memory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/install_packages.sh valgrind libopenblas-dev

flags=("$@")
if [ ${#flags[@]} -eq 0 ]; then flags=(-O2 -march=x86-64-v3); fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${CXX:-g++} -std=c++20 -DNDEBUG "${flags[@]}" -Iinclude -isystem "${EIGEN:-/usr/include/eigen3}" \
  -DSCOREMATCH_BENCHMARK_BLAS benchmarks/products.cpp -o "$folder/products" -lopenblas
export OPENBLAS_NUM_THREADS=1 OPENBLAS_CORETYPE=${OPENBLAS_CORETYPE:-Haswell}

# count WHICH TYPE ROWS INNER COLUMNS CALLS L1 L2: instructions, first- and second-level misses of that many calls
count() {
  valgrind --tool=cachegrind --cache-sim=yes --D1="$7,8,64" --LL="$8,8,64" --cachegrind-out-file=/dev/null \
    "$folder/products" count "${@:1:6}" "$7" "$8" 2>&1 |
    awk '/I +refs:/ {i = $NF} /D1 +misses:/ {d = $4} /LLd misses:/ {l = $4} END {gsub(",", "", i); gsub(",", "", d);
      gsub(",", "", l); print i, d, l}'
}

printf 'per 1000 multiplications and additions: misses of the first level, of the second; instructions\n'
for shape in "384 64 64" "1056 256 256" "256 785 1024" "128 1024 1024" "384 10 64"; do
  for type in f64 f32; do
    for second in ${SECOND:-262144 524288 1048576 2097152}; do
      printf '%-14s %s  L2 %4d KB ' "${shape// / x }" $type $((second / 1024))
      for which in packed unpacked eigen blas; do
        # shellcheck disable=SC2086
        read -r i1 d1 l1 <<<"$(count $which $type $shape 1 32768 "$second")"
        # shellcheck disable=SC2086
        read -r i3 d3 l3 <<<"$(count $which $type $shape 3 32768 "$second")"
        # shellcheck disable=SC2086
        set -- $shape
        awk -v w=$which -v n="$(($1 * $2 * $3))" -v i=$((i3 - i1)) -v d=$((d3 - d1)) -v l=$((l3 - l1)) \
          'BEGIN {printf "  %s %5.2f %5.2f %4.0f", w, d / 2 / n * 1000, l / 2 / n * 1000, i / 2 / n * 1000}'
      done
      printf '\n'
    done
  done
done
