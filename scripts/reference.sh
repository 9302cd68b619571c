#!/usr/bin/env bash
# reference.sh: builds the reference of the public headers with doxygen, build/doxygen/html/index.html, and fails on any
# warning: a public name without a comment, or a comment that doxygen cannot read. docs/Doxyfile says what is public.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v doxygen >/dev/null || scripts/install_packages.sh doxygen
mkdir -p build
rm -rf build/doxygen/html # of an earlier version, say
warnings=build/doxygen_warnings.txt
doxygen docs/Doxyfile 2>"$warnings"
if [ -s "$warnings" ]; then
  cat "$warnings" >&2
  echo "reference: $(grep -c warning: "$warnings") warnings of $(doxygen --version), in $warnings" >&2
  exit 1
fi
echo "reference: build/doxygen/html/index.html, without warnings"
