#!/usr/bin/env bash
# playground.sh [OUTPUT_FOLDER]: builds the pages on which a browser fits energies and generates points, with the library
# compiled to WebAssembly inside; by default into build/playground. They need no server: open index.html.
# EIGEN names the folder that holds Eigen/Core, OPTIMISE the level (-O2).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

output=${1:-build/playground}
command -v em++ >/dev/null && [ -d "${EIGEN:-/usr/include/eigen3}/Eigen" ] ||
  scripts/install_packages.sh emscripten libeigen3-dev

# Debian's Emscripten needs node's module acorn, which a nodejs that is not Debian's does not look for where Debian has it.
export NODE_PATH=${NODE_PATH:+$NODE_PATH:}/usr/share/nodejs
mkdir -p "$output" build

# Exceptions are WebAssembly's own, since the library's errors are sentences that the pages show.
flags=("${OPTIMISE:--O2}" -msimd128 -fwasm-exceptions)
em++ -std=c++20 "${flags[@]}" -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -Iinclude \
  -isystem "${EIGEN:-/usr/include/eigen3}" -c playground/playground.cpp -o build/playground.o
# One file that holds the program: a browser fetches no .wasm for a page that it has opened from a file. The checkpoints
# of trainings lie in Emscripten's file system, which is in memory.
em++ "${flags[@]}" build/playground.o -o "$output/scorematch.js" --no-entry -sSINGLE_FILE=1 -sMODULARIZE=1 \
  -sEXPORT_NAME=scorematch -sENVIRONMENT=web -sALLOW_MEMORY_GROWTH=1 -sTOTAL_STACK=1MB -sINITIAL_MEMORY=32MB \
  -sEXPORTED_RUNTIME_METHODS=UTF8ToString
cp playground/pages/* "$output"
bytes=$(cat "$output"/* | wc -c)
echo "playground: $output/index.html, $bytes bytes in all"
if [ "$bytes" -ge 2000000 ]; then
  echo "playground: more than 2 MB" >&2
  exit 1
fi
