#!/usr/bin/env bash
# benchmark_samplers.sh [--markdown] [TARGET…]
# Effective samples beside Stan's, on the targets of benchmarks/sampling_targets.hpp: installs what is missing
# (Debian, Ubuntu), builds both sides for this machine, compares their log densities and gradients at a few points, and
# lets them sample in turn, each on one thread. Prints one table, as Markdown if asked; results are left in
# build/benchmark/samplers/. Stan's models take some minutes to compile, once.
# In the environment: ROUNDS (3; the round's number is the seed), CHAINS (64, of ours), BUILD_DIR (build/release).
set -euo pipefail
export LC_ALL=C.UTF-8 OMP_NUM_THREADS=1
cd "$(dirname "${BASH_SOURCE[0]}")/.."

markdown=()
targets=()
for argument in "$@"; do
  case "$argument" in
    --markdown) markdown=(--markdown) ;;
    -*)
      echo "benchmark_samplers.sh: \"$argument\" is no option; --markdown is" >&2
      exit 2
      ;;
    *) targets+=("$argument") ;;
  esac
done
rounds=${ROUNDS:-3}
build=${BUILD_DIR:-build/release}
output=build/benchmark/samplers
stan=(Rscript benchmarks/peers/stan/run_stan.R)
ours=$build/benchmarks/benchmark_sampler_ess

scripts/install_packages.sh g++ make cmake libeigen3-dev python3 r-base-core \
  r-cran-rstan r-cran-stanheaders r-cran-bh r-cran-rcppeigen libtbb-dev --optional ninja-build
if [ ! -f "$build/CMakeCache.txt" ] && command -v ninja >/dev/null; then
  export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
fi
mkdir -p "$output"

# quietly LOG COMMAND…: shows the log where the command fails.
quietly() {
  local log=$1
  shift
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
  fi
}

echo "building"
quietly "$output/build.log" cmake --preset release -B "$build"
quietly "$output/build.log" cmake --build "$build" --parallel 1 --target benchmark_sampler_ess
if [ ${#targets[@]} -eq 0 ]; then
  while read -r target; do targets+=("$target"); done < <("$ours" --list)
fi
quietly "$output/stan.log" "${stan[@]}" --compile "${targets[@]}"

echo "log densities and gradients beside Stan's"
rm -rf "$output"/check "$output"/round_*
mkdir -p "$output/check"
quietly "$output/stan.log" "${stan[@]}" --check "$output/check" "${targets[@]}"
"$ours" --check "$output/check" "${targets[@]}"

{
  echo "processor:  $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)," \
    "$(getconf _NPROCESSORS_ONLN) in all, one used; load before: $(cut -d ' ' -f 1 /proc/loadavg)"
  echo "Stan:       $(Rscript -e 'cat(rstan::stan_version())'), -O3 -march=native"
  echo "sources:    $(git describe --always --dirty 2>/dev/null || echo 'no git')"
  echo "date:       $(date -u +%Y-%m-%d), rounds: $rounds"
} >"$output/machine.txt"
for round in $(seq "$rounds"); do
  folder=$output/round_$round
  mkdir -p "$folder"
  for target in "${targets[@]}"; do
    echo "round $round of $rounds: $target"
    "${stan[@]}" --seed "$round" "$target" 2>"$output/stan.log" >>"$folder/stan.jsonl" ||
      { cat "$output/stan.log" >&2 && exit 1; }
    SEED=$round "$ours" "$target" >>"$folder/ours.jsonl"
  done
done

echo
cat "$output/machine.txt"
echo
python3 benchmarks/sampler_table.py "$output" ${markdown[@]+"${markdown[@]}"}
