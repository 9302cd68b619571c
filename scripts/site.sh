#!/usr/bin/env bash
# site.sh [--pictures FOLDER] [OUTPUT_FOLDER]
# Makes the documentation site (default: build/site/html; open its index.html, no server is needed) and checks it:
# spelling, links, anchors, pictures, and that nothing is loaded from outside. Installs what is missing (Debian, Ubuntu).
#
# The pictures are made anew: the examples are built and run, which takes some minutes. With --pictures they are taken
# from FOLDER/NAME/NAME.png, where a test run has left them (build/release/examples/output); those that are not there, and
# those of the digits, of whose training the tests do a tenth, stay those of docs/images.
# The playground is part of the site if it was built (build/playground/index.html).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pictures=
if [ "${1:-}" = --pictures ]; then
  pictures=${2:?site.sh: --pictures takes the folder of the examples\' output}
  if [ ! -d "$pictures" ]; then
    echo "site.sh: $pictures is no folder; without --pictures the examples are built and run" >&2
    exit 2
  fi
  shift 2
fi
if [ $# -gt 1 ]; then
  echo "usage: scripts/site.sh [--pictures FOLDER] [OUTPUT_FOLDER]" >&2
  exit 2
fi
output=$(realpath -m "${1:-build/site/html}")
if [ -e "$output" ] && [ -n "$(ls -A "$output")" ] && [ ! -f "$output/.scorematch_site" ]; then
  echo "site.sh: $output exists and was not made by this script; please name another folder" >&2
  exit 2
fi

scripts/install_packages.sh python3 mkdocs mkdocs-material doxygen aspell aspell-en
scripts/check_spelling.sh
scripts/reference.sh

drawn_by_gnuplot=$(find examples -maxdepth 1 -name '*.gnuplot' -printf '%f\n' | sed 's/[.]gnuplot$//' | sort)
if [ -z "$pictures" ]; then
  scripts/install_packages.sh g++ make cmake libeigen3-dev gnuplot-nox
  pictures=build/site/pictures
  cmake -S . -B build/site/examples -DCMAKE_BUILD_TYPE=Release -DSCOREMATCH_NATIVE=ON -DSCOREMATCH_BUILD_TESTS=OFF \
    -DSCOREMATCH_BUILD_BENCHMARKS=OFF -DSCOREMATCH_EXAMPLES_PRECOMPILED=ON >/dev/null
  # shellcheck disable=SC2086
  cmake --build build/site/examples --target $drawn_by_gnuplot bayesian_regression
  for name in $drawn_by_gnuplot bayesian_regression; do
    echo "site: running $name"
    arguments=()
    if [ "$name" = digits_sample ]; then arguments=("$pictures/digits/digits.checkpoint"); fi
    mkdir -p "$pictures/$name"
    "build/site/examples/examples/$name" "$pictures/$name" "${arguments[@]}" >"$pictures/$name/output.txt" 2>&1 ||
      { cat "$pictures/$name/output.txt" >&2; echo "site.sh: $name failed" >&2; exit 1; }
  done
else
  drawn_by_gnuplot=$(grep -v '^digits' <<<"$drawn_by_gnuplot")
fi

rm -rf build/site/pages
mkdir -p build/site/pages
cp -r build/doxygen/html build/site/pages/reference
find build/site/pages/reference -maxdepth 1 -name '*.html' -exec sed -i \
  's|<div id="projectname">scorematch|<div id="projectname"><a href="../index.html">scorematch</a>|' {} +
# Where all classes of a class are in a group, doxygen links to a list of them that it leaves out.
grep -rlF '"#nested-classes"' build/site/pages/reference | xargs -r grep -LF 'name="nested-classes"' |
  xargs -r sed -i 's|<a href="#nested-classes">Classes</a> &#124;||'
if [ -f build/playground/index.html ]; then cp -r build/playground build/site/pages/playground; fi
python3 scripts/site_pages.py build/site
for name in $drawn_by_gnuplot; do
  if [ -f "$pictures/$name/$name.png" ]; then cp "$pictures/$name/$name.png" build/site/pages/images/; fi
done
if [ -f "$pictures/bayesian_regression/traces.png" ]; then
  cp "$pictures/bayesian_regression/traces.png" build/site/pages/images/bayesian_regression.png
fi

mkdocs build --quiet --config-file build/site/mkdocs.yml --site-dir "$output"
touch "$output/.scorematch_site"
rm -f "$output/404.html" "$output"/sitemap.xml* # they name addresses of a server
{ printf 'search_index_is_here('; cat "$output/search/search_index.json"; printf ');\n'; } >"$output/search/search_index.js"
python3 scripts/check_site.py --self-test
python3 scripts/check_site.py "$output"
echo "site: $output/index.html"
