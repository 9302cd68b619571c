#!/usr/bin/env bash
# check_style.sh: whether all sources have the format of .clang-format, and no function of the headers has more than 60
# lines. The tools' version counts, since versions format differently: what is missing is left out, with a sentence.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if command -v clang-format-14 >/dev/null; then
  find benchmarks examples include playground src tests \( -name '*.hpp' -o -name '*.cpp' \) -print0 |
    xargs -0 clang-format-14 --dry-run -Werror
  echo "format: as .clang-format says"
else
  echo "format: not checked, clang-format-14 is missing"
fi

if command -v clang-tidy-14 >/dev/null; then
  source=$(mktemp --suffix=.cpp)
  trap 'rm -f "$source"' EXIT
  printf '#include "scorematch/scorematch.hpp"\n' >"$source"
  options=readability-function-size
  long=$(clang-tidy-14 --checks="-*,$options" --header-filter='include/scorematch/.*' "$source" --config="{CheckOptions: [
      {key: $options.LineThreshold, value: 60}, {key: $options.StatementThreshold, value: 1000000},
      {key: $options.BranchThreshold, value: 1000000}]}" -- \
    -std=c++20 -Iinclude -isystem "${EIGEN:-/usr/include/eigen3}" 2>/dev/null | grep 'warning:\|lines including' || true)
  if [ -n "$long" ]; then
    printf 'functions of more than 60 lines:\n%s\n' "$long" >&2
    exit 1
  fi
  echo "functions: none has more than 60 lines"
else
  echo "functions: not measured, clang-tidy-14 is missing"
fi
