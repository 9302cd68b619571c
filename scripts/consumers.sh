#!/usr/bin/env bash
# consumers.sh [find_package] [add_subdirectory] [fetch_content] [copied_headers] [pkg_config] [archive] [debian]
#              [every_machine] [disagreements]
# Builds and runs tests/consumer as a user of the library would, in each of the ways named (default: all of them): from
# an installed package that was moved after the installation, as a subfolder, by FetchContent, from a copied include/
# folder with the compiler alone, and by pkg-config; each with the headers alone and with the engine compiled once. Then
# from CPack's two archives, and from a Debian package, built from the sources' archive and unpacked. every_machine is a
# program whose library the loader chooses by the processor; the last one is what must be refused, with a sentence. CXX
# names the compiler, EIGEN the folder that holds Eigen/Core. A way whose tool (pkg-config, debhelper) is not on the machine
# is left out, with a sentence.
# The whole program is compiled from the headers alone in one way, and with the engine in another; elsewhere a brief one
# and a part of the engine show that everything is found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$PWD
export CXX=${CXX:-g++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program_and_engine=scorematch::program_and_precompiled_engine

quietly() {
  if ! "$@" >"$work/log" 2>&1; then
    cat "$work/log" >&2
    echo "consumers.sh: failed: $*" >&2
    exit 1
  fi
}

says() {  # SENTENCE COMMAND…: the command succeeds and prints the sentence
  if ! "${@:2}" >"$work/said" 2>&1 || ! grep -qF "$1" "$work/said"; then
    cat "$work/said" >&2
    echo "consumers.sh: failed, or did not say \"$1\": ${*:2}" >&2
    exit 1
  fi
}

refused() {  # SENTENCE COMMAND…: the command fails and says why (CMake breaks lines)
  if "${@:2}" >"$work/log" 2>&1 || ! tr -s ' \n' ' ' <"$work/log" | grep -qF "$1"; then
    cat "$work/log" >&2
    echo "consumers.sh: not refused with \"$1\": ${*:2}" >&2
    exit 1
  fi
}

configured() { cmake -S tests/consumer -B "$work/build" "$@"; }
built() { cmake --build "$work/build" --target "$@"; }

library_alone() {
  quietly cmake -S . -B "$work/library" -DCMAKE_INSTALL_PREFIX="$work/installed" \
    -DSCOREMATCH_BUILD_TESTS=OFF -DSCOREMATCH_BUILD_EXAMPLES=OFF -DSCOREMATCH_BUILD_BENCHMARKS=OFF
}

installed() {
  rm -rf "$work/moved"
  library_alone
  quietly cmake --install "$work/library"
  mv "$work/installed" "$work/moved"
}

brief_programs() {
  quietly built brief_headers brief_engine
  says "engine none, OpenMP off" "$work/build/brief_headers"
  says "engine linked" "$work/build/brief_engine"
}

find_package() {
  installed
  local here=-DCMAKE_PREFIX_PATH="$work/moved"
  for request in 0 0.1 0.1.0 "0.1...<0.3" "0.0...0.1" "0.1;EXACT" "0.1;COMPONENTS;precompiled" \
    "OPTIONAL_COMPONENTS;other"; do
    quietly configured "$here" -DCONSUMER_REQUEST="$request" -DSCOREMATCH_OPENMP=OFF
  done
  refused "a minor number may change the interface: ask for 0.1" configured "$here" -DCONSUMER_REQUEST=0.2
  refused "version: 0.1.0" configured "$here" -DCONSUMER_REQUEST="0.2...<0.3"
  refused 'scorematch has no component "other"' configured "$here" -DCONSUMER_REQUEST="COMPONENTS;other"
  quietly configured "$here" -DCONSUMER_REQUEST= -DSCOREMATCH_OPENMP=AUTO -DCONSUMER_PARTS="double|check"
  quietly built consumer brief_headers
  says "engine none, OpenMP off" "$work/build/brief_headers"
  "$work/build/consumer"
}

add_subdirectory() {
  quietly configured -DCONSUMER_WAY=add_subdirectory -DSCOREMATCH_FOLDER="$root" -DCONSUMER_PARTS=check
  brief_programs
}

fetch_content() {
  quietly configured -DCONSUMER_WAY=fetch_content -DSCOREMATCH_FOLDER="$root" -DCONSUMER_PARTS=check
  brief_programs
}

compiled() { "$CXX" -std=c++20 -I"$work/include" -isystem "${EIGEN:-/usr/include/eigen3}" "$@"; }

copied_headers() {
  cp -r include "$work/include"
  quietly compiled tests/consumer/main.cpp tests/consumer/second.cpp -o "$work/consumer"
  "$work/consumer"
  echo '#include <scorematch/precompiled_source.hpp>' >"$work/engine.cpp"
  quietly compiled -DSCOREMATCH_PRECOMPILED -DSCOREMATCH_PART_CHECK tests/consumer/brief.cpp "$work/engine.cpp" \
    -o "$work/brief"
  says "engine linked, OpenMP off" "$work/brief"
}

every_machine() {
  installed
  quietly cmake -S tests/consumer/every_machine -B "$work/build" -DCMAKE_PREFIX_PATH="$work/moved" \
    -DCMAKE_INSTALL_PREFIX="$work/everywhere" -DCMAKE_INSTALL_LIBDIR=lib
  quietly cmake --build "$work/build" --parallel 2
  quietly cmake --install "$work/build"
  local loader=/lib64/ld-linux-x86-64.so.2 level
  for folder in "$work/build" "$work/everywhere/bin"; do
    says "bytes, mean square 1" "$folder/program"
    if ! [ -x "$loader" ]; then continue; fi
    for level in "x86-64-v2 16" "x86-64-v3 32" "x86-64-v4 64"; do
      if [ "${level% *}" = x86-64-v2 ] || "$loader" --help | grep -q "${level% *} (supported"; then
        says "registers of ${level#* } bytes, mean square 1" "$loader" --glibc-hwcaps-mask "${level% *}" "$folder/program"
      fi
    done
  done
}

missing() {  # TOOL PACKAGE
  if command -v "$1" >/dev/null; then return 1; fi
  outcome="left out, $1 is missing (Debian: apt-get install $2)"
}

pkg_config() {
  if missing pkg-config pkgconf; then return; fi
  installed
  export PKG_CONFIG_PATH="$work/moved/share/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
  quietly pkg-config --validate scorematch
  says "$version" pkg-config --modversion scorematch
  refused "scorematch >= 99" pkg-config --print-errors --exists "scorematch >= 99"
  # Unquoted, what pkg-config prints is several words.
  # shellcheck disable=SC2046
  with_flags() { "$CXX" -std=c++20 "$@" $(pkg-config --libs scorematch); }
  read -r -a flags <<<"$(pkg-config --cflags scorematch)"
  quietly with_flags "${flags[@]}" tests/consumer/brief.cpp -o "$work/brief"
  says "engine none" "$work/brief"
  read -r -a engine <<<"$(pkg-config --variable=engine scorematch)"
  if [ ${#engine[@]} -ne "$(ls src/*.cpp | wc -l)" ]; then
    echo "consumers.sh: pkg-config names as the engine: ${engine[*]}" >&2
    exit 1
  fi
  quietly stat "${engine[@]}"
  local check  # compiled in a moment; the others take minutes
  check=$(printf '%s\n' "${engine[@]}" | grep precompiled_check)
  quietly with_flags -DSCOREMATCH_PRECOMPILED "${flags[@]}" tests/consumer/brief.cpp "$check" -o "$work/brief"
  says "engine linked" "$work/brief"
}

sources_archive() {
  library_alone
  (cd "$work/library" && quietly cpack --config CPackSourceConfig.cmake)
}

archive() {
  sources_archive
  (cd "$work/library" && quietly cpack)
  mkdir "$work/unpacked"
  tar -xf "$work/library/scorematch-$version.tar.gz" -C "$work/unpacked"
  tar -xf "$work/library/scorematch-$version-headers.tar.gz" -C "$work/unpacked"
  quietly stat "$work/unpacked/scorematch-$version-headers/share/doc/scorematch/LICENSE"
  quietly configured -DCMAKE_PREFIX_PATH="$work/unpacked/scorematch-$version-headers"
  quietly built brief_headers
  rm -rf "$work/build"
  quietly configured -DCONSUMER_WAY=add_subdirectory -DSCOREMATCH_FOLDER="$work/unpacked/scorematch-$version"
  quietly built brief_headers
  says "engine none" "$work/build/brief_headers"
}

debian() {
  if missing dpkg-buildpackage dpkg-dev || missing dh debhelper; then return; fi
  sources_archive
  mkdir "$work/debian"
  cp "$work/library/scorematch-$version.tar.gz" "$work/debian/scorematch_$version.orig.tar.gz"
  tar -xf "$work/debian/scorematch_$version.orig.tar.gz" -C "$work/debian"
  cp -r packaging/debian "$work/debian/scorematch-$version/debian"
  # -d: who has Eigen or CMake from elsewhere need not have Debian's packages of them.
  (cd "$work/debian/scorematch-$version" && quietly dpkg-buildpackage -us -uc -d)
  quietly dpkg-deb -x "$work/debian/libscorematch-dev_$version-1_all.deb" "$work/debian/root"
  CMAKE_PREFIX_PATH="$work/debian/root/usr" PKG_CONFIG_PATH="$work/debian/root/usr/share/pkgconfig" \
    quietly packaging/debian/tests/use
}

disagreements() {
  local project=(-DCONSUMER_WAY=add_subdirectory -DSCOREMATCH_FOLDER="$root" -DCONSUMER_PARTS=check)
  quietly configured "${project[@]}" -DSCOREMATCH_OPENMP=ON
  quietly built brief_engine
  says "engine linked, OpenMP on" "$work/build/brief_engine"
  quietly configured "${project[@]}" -DSCOREMATCH_OPENMP=OFF -DCONSUMER_OPENMP=ON
  quietly built brief_engine  # OpenMP need not agree
  says "engine linked, OpenMP on" "$work/build/brief_engine"
  if [ "$(uname -m)" = x86_64 ]; then
    quietly configured "${project[@]}" -DSCOREMATCH_OPENMP=OFF -DCONSUMER_OPENMP=OFF -DCONSUMER_FLAGS=-march=x86-64-v3
    refused "$program_and_engine::must_have_the_same_march_flag_and_this_file_has_registers_and_alignment_of_bytes<32" \
      built brief_engine
  fi

  rm -rf "$work/include"
  cp -r include "$work/include"
  if [ "$(uname -m)" = x86_64 ]; then
    printf '#include <scorematch/types.hpp>\n%s\n' 'int main() {}' >"$work/one.cpp"
    printf '#include <scorematch/types.hpp>\n' >"$work/two.cpp"
    quietly compiled -march=x86-64-v2 -c "$work/one.cpp" -o "$work/one.o"
    for march in x86-64-v2 x86-64-v3; do
      quietly compiled "-march=$march" -c "$work/two.cpp" -o "$work/two.o"
      quietly compiled "$work/one.o" "$work/two.o" -o "$work/$march"
    done
    quietly "$work/x86-64-v2"
    refused "compiled with different -march flags" "$work/x86-64-v3"
  fi
  quietly compiled -DSCOREMATCH_PRECOMPILED -c tests/consumer/brief.cpp -o "$work/brief.o"
  refused "$program_and_engine::must_be_linked_together_so_link_scorematch_precompiled_or_include_precompiled_source_hpp" \
    compiled "$work/brief.o" -o "$work/brief"
  printf '%s\n' '#include <scorematch/precompiled.hpp>' '#include <scorematch/precompiled_source.hpp>' >"$work/late.cpp"
  refused "must be the first header of its source file" compiled -fsyntax-only -Wfatal-errors "$work/late.cpp"
}

version=$(sed -n 's/^#define SCOREMATCH_VERSION_[A-Z]* \([0-9]*\)$/\1/p' include/scorematch/version.hpp | paste -sd.)
ways=(find_package add_subdirectory fetch_content copied_headers pkg_config archive debian every_machine
  disagreements)
if [ $# -eq 0 ]; then set -- "${ways[@]}"; fi
for way in "$@"; do
  if [[ " ${ways[*]} " != *" $way "* ]]; then
    echo "consumers.sh: \"$way\" is no way; ${ways[*]} are" >&2
    exit 2
  fi
  rm -rf "$work/build"
  outcome=passed
  "$way"
  echo "consumer by $way: $outcome"
done
