#!/usr/bin/env bash
# benchmark.sh [--markdown] [FILTER]
# benchmark.sh --threads N [--markdown] [FILTER]
# benchmark.sh --scaling
# benchmark.sh [--markdown] --samplers [TARGET…]
# Installs what is missing (Debian, Ubuntu), builds the benchmarks for this machine, and runs them and their peers in
# turn, on one thread: each round takes every workload, ours first, then PyTorch, then the hand-written loop where there
# is one. Prints one table, as Markdown if asked; results are left in build/benchmark/.
#   FILTER     an extended regular expression over WORKLOAD/TYPE: ism_m, ula_.*/f32
#   --threads  ours alone, with one thread and with N in turn
#   --samplers effective samples beside those of Stan: scripts/benchmark_samplers.sh
#   --scaling  how the cost grows with the number of samples and the dimension, as build/benchmark/scaling.png
# In the environment: ROUNDS (3), REPETITIONS (7), MIN_TIME (0.1 s, of a repetition), BUILD_DIR (build/release) and
# CXX, for both sides; another compiler needs another BUILD_DIR. MARCH (native) is the processor that all sides compute
# for: with x86-64-v3 PyTorch and its OpenBLAS take their kernels for AVX2, too. BUILD_DIR is then build/x86-64-v3.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."

markdown=()
scaling=
threads=
filter=.
while [ $# -gt 0 ]; do
  case "$1" in
    --markdown) markdown=(--markdown) ;;
    --scaling) scaling=yes ;;
    --samplers) exec scripts/benchmark_samplers.sh ${markdown[@]+"${markdown[@]}"} "${@:2}" ;;
    --threads)
      threads=${2:-}
      if ! [[ $threads =~ ^[1-9][0-9]*$ ]]; then
        echo "benchmark.sh: --threads wants a number of threads, not \"$threads\"" >&2
        exit 2
      fi
      shift
      ;;
    -*)
      echo "benchmark.sh: \"$1\" is no option; --markdown, --threads, --samplers and --scaling are" >&2
      exit 2
      ;;
    *) filter=$1 ;;
  esac
  shift
done
rounds=${ROUNDS:-3}
march=${MARCH:-native}
if [ "$march" = native ]; then
  build=${BUILD_DIR:-build/release}
  machine=()
else
  build=${BUILD_DIR:-build/$march}
  machine=(-DSCOREMATCH_NATIVE=OFF "-DCMAKE_CXX_FLAGS=-march=$march")
fi
if [ "$march" = x86-64-v3 ]; then
  export ATEN_CPU_CAPABILITY=avx2 DNNL_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell
fi
output=build/benchmark
peers=benchmarks/peers
python=/usr/bin/python3  # the one that Debian's python3-torch belongs to
if [ ! -x "$python" ]; then python=python3; fi

scripts/install_packages.sh g++ make cmake libeigen3-dev libbenchmark-dev python3 \
  --optional ninja-build catch2 python3-torch libopenblas0-pthread gnuplot-nox
if [ ! -f "$build/CMakeCache.txt" ] && command -v ninja >/dev/null; then
  export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
fi
mkdir -p "$output"

# build_targets TARGET…, one after the other: compilers need memory.
build_targets() {
  if ! { cmake --preset release -B "$build" ${machine[@]+"${machine[@]}"} && cmake --build "$build" --parallel 1 --target "$@"; } \
    >"$output/build.log" 2>&1; then
    cat "$output/build.log" >&2
    exit 1
  fi
  compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
  if [ -n "${CXX:-}" ] && [ "$(readlink -f "$(command -v "$CXX")")" != "$(readlink -f "$compiler")" ]; then
    echo "benchmark.sh: $build is built with $compiler, not with $CXX: name another BUILD_DIR" >&2
    exit 2
  fi
}

# ours PROGRAM REGULAR_EXPRESSION FILE [THREADS]
ours() {
  OMP_NUM_THREADS=${4:-1} "$build/benchmarks/$1" --benchmark_filter="$2" --benchmark_repetitions="${REPETITIONS:-7}" \
    --benchmark_min_time="${MIN_TIME:-0.1}" --benchmark_out_format=json --benchmark_out="$3" >/dev/null 2>"$output/log" ||
    { cat "$output/log" >&2 && exit 1; }
  if grep '"error_message"' "$3" >&2; then exit 1; fi  # a result that is wrong is not timed
}

# What the figures were measured on, and with.
describe_machine() {
  echo "processor:  $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)," \
    "$(getconf _NPROCESSORS_ONLN) in all, ${threads:-one} used; load before: $(cut -d ' ' -f 1 /proc/loadavg)"
  echo "compiler:   $("$compiler" --version | head -n 1)"
  echo "flags:      ours $(sed -n 's/^CMAKE_CXX_FLAGS_RELEASE:[A-Z]*=//p' "$build/CMakeCache.txt") -march=$march;" \
    "by hand $hand_flags"
  echo "sources:    $(git describe --always --dirty 2>/dev/null || echo 'no git')"
  echo "PyTorch:    ${torch_version:-absent}"
  echo "date:       $(date -u +%Y-%m-%d), rounds: $rounds"
}
hand_flags="-O3 -march=$march -DNDEBUG"

if [ -n "$scaling" ]; then
  echo "building"
  build_targets benchmark_scaling
  echo "running benchmark_scaling"
  ours benchmark_scaling . "$output/scaling.json"
  "$python" benchmarks/table.py --scaling "$output/scaling.json" >"$output/scaling.dat"
  cat "$output/scaling.dat"
  if ! command -v gnuplot >/dev/null; then
    echo "benchmark.sh: gnuplot is missing: no picture"
    exit 0
  fi
  gnuplot -e "folder='$output'" benchmarks/scaling.gnuplot
  echo "$output/scaling.png"
  exit 0
fi

echo "building"
build_targets benchmark_losses benchmark_samplers benchmark_generation benchmark_likelihood benchmark_closed_form
# shellcheck disable=SC2086  # the flags are words
"$compiler" -std=c++20 $hand_flags -isystem "${EIGEN:-/usr/include/eigen3}" "$peers/handwritten.cpp" \
  -o "$output/handwritten"

torch_version=
if [ -n "$threads" ]; then
  echo "with one thread and with $threads, without the peers"
elif ! torch_version=$("$python" -c 'import torch; print(torch.__version__)' 2>/dev/null); then
  echo "python3-torch is missing: going on without PyTorch"
fi

# The rows that the filter leaves: lines "PROGRAM WORKLOAD TYPE".
rows=$(for program in benchmark_losses benchmark_samplers benchmark_generation benchmark_likelihood benchmark_closed_form; do
  "$build/benchmarks/$program" --benchmark_list_tests | sed 's|/real_time$||' | { grep -E -- "$filter" || true; } |
    sed "s|^|$program |; s|/| |"
done)
if [ -z "$rows" ]; then
  echo "benchmark.sh: no row matches \"$filter\"" >&2
  exit 2
fi
workloads=$(awk '!seen[$2]++ { print $1, $2 }' <<<"$rows")
by_hand=
if [ -z "$threads" ]; then by_hand=$(sed -n 's/.*report("\([a-z0-9_]*\)".*/\1/p' "$peers/handwritten.cpp"); fi

rm -rf "$output"/round_*
describe_machine >"$output/machine.txt"
for round in $(seq "$rounds"); do
  folder=$output/round_$round
  mkdir -p "$folder"
  number=0
  while read -r program workload; do
    number=$((number + 1))
    types=$(awk -v workload="$workload" '$2 == workload { print $3 }' <<<"$rows" | sort)
    echo "round $round of $rounds, workload $number of $(wc -l <<<"$workloads"): $workload ${types//$'\n'/ }"
    pattern="^$workload/($(paste -sd '|' <<<"$types"))/real_time\$"
    ours "$program" "$pattern" "$folder/ours_$workload.json"
    if [ -n "$threads" ]; then ours "$program" "$pattern" "$folder/threads_$workload.json" "$threads"; fi
    if [ -n "$torch_version" ] && grep -qx "def $workload(dt):" "$peers/torch_peers.py"; then
      "$python" "$peers/torch_peers.py" --threads 1 --dtype "$(paste -sd , <<<"$types")" "$workload" \
        >>"$folder/torch.jsonl"
    fi
    if grep -qx "$workload" <<<"$by_hand" && grep -qx f64 <<<"$types"; then
      OMP_NUM_THREADS=1 "$output/handwritten" "$workload" >>"$folder/handwritten.jsonl"
    fi
  done <<<"$workloads"
done

echo
cat "$output/machine.txt"
echo
"$python" benchmarks/table.py "$output" ${markdown[@]+"${markdown[@]}"}
