#!/usr/bin/env bash
# instruction_counts.sh [TARGET…]
# Instructions an item (a sample's loss with its θ-gradient, a step of a chain, a normal number) by instruction set,
# counted under qemu, so that no such machine is needed: figures that depend on the compiler and on no neighbour.
# TARGET: x86-64, x86-64-v2, x86-64-v3, arm64 (NEON), armhf (NEON, float only in registers). Default: all but armhf.
# Installs what is missing (Debian, Ubuntu). Prints a table as Markdown; WORKLOADS in the environment names some of them.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."

targets=("$@")
if [ $# -eq 0 ]; then targets=(x86-64 x86-64-v2 x86-64-v3 arm64); fi
workloads=${WORKLOADS:-ism_double_well_2d ism_mixture_2d_k8 ism_mlp_10_64_64 ula_mixture_2d_k8 ula_gaussian_16d ula_mlp_10_64_64 standard_normals}
output=build/instructions
mkdir -p "$output"
scripts/install_packages.sh g++ gcc libeigen3-dev qemu-user
gcc -O2 -shared -fPIC benchmarks/count_instructions.c -o "$output/count.so"

# compiler TARGET: the command, then the emulator's
compiler() {
  case "$1" in
    x86-64 | x86-64-v2 | x86-64-v3) echo "g++ -march=$1|qemu-x86_64 -cpu max" ;;
    arm64)
      scripts/install_packages.sh g++-aarch64-linux-gnu >&2
      echo "aarch64-linux-gnu-g++ -static|qemu-aarch64"
      ;;
    armhf)
      scripts/install_packages.sh g++-arm-linux-gnueabihf >&2
      echo "arm-linux-gnueabihf-g++ -mfpu=neon-vfpv4 -static|qemu-arm"
      ;;
    *)
      echo "instruction_counts.sh: no target is called \"$1\"" >&2
      exit 2
      ;;
  esac
}

declare -A emulator
for target in "${targets[@]}"; do
  both=$(compiler "$target")
  emulator[$target]=${both#*|}
  echo "compiling for $target" >&2
  # shellcheck disable=SC2086  # the command is words
  ${both%|*} -std=c++20 -O2 -DNDEBUG -Iinclude -isystem /usr/include/eigen3 benchmarks/instructions.cpp \
    -o "$output/$target"
done

# count TARGET WORKLOAD TYPE CALLS: the instructions of the whole program
count() {
  # shellcheck disable=SC2086
  ${emulator[$1]} -plugin "$output/count.so" "$output/$1" "$2" "$3" "$4" 2>&1 >"$output/items" |
    sed -n 's/^instructions //p'
}

printf '| workload | type |'
printf ' %s |' "${targets[@]}"
printf '\n| --- | --- |'
printf ' ---: |%.0s' "${targets[@]}"
printf '\n'
for workload in $workloads; do
  for type in f32 f64; do
    printf '| %s | %s |' "$workload" "$type"
    for target in "${targets[@]}"; do
      one=$(count "$target" "$workload" "$type" 1)
      three=$(count "$target" "$workload" "$type" 3)
      awk -v one="$one" -v three="$three" -v items="$(cat "$output/items")" \
        'BEGIN { printf " %.4g |", (three - one) / 2 / items }'
    done
    printf '\n'
  done
done
