#!/usr/bin/env bash
# install_packages.sh PACKAGE… [--optional PACKAGE…]
# Installs those Debian or Ubuntu packages that are missing. Exits with 1 if one before --optional is still missing
# then, and says what to do. On a system without apt-get it names the packages and leaves the rest to CMake.
set -euo pipefail

if [ ! -x "$(command -v apt-get)" ]; then
  echo "scorematch: no apt-get here; these packages, or your system's equivalents, must be installed:" \
    "${*/--optional/and optionally}"
  exit 0
fi

is_installed() {
  case "$1" in
    g++ | make | cmake) command -v "$1" >/dev/null ;;  # however it was installed
    ninja-build) command -v ninja >/dev/null ;;
    gnuplot-nox) command -v gnuplot >/dev/null ;;
    *) [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
  esac
}

required=()
optional=()
target=required
for package in "$@"; do
  if [ "$package" = --optional ]; then
    target=optional
  elif ! is_installed "$package"; then
    if [ "$target" = required ]; then required+=("$package"); else optional+=("$package"); fi
  fi
done
absent=("${required[@]}" "${optional[@]}")
if [ ${#absent[@]} -eq 0 ]; then exit 0; fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null; then as_root=(sudo); fi
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --no-install-recommends "$@" </dev/null >>"$log" 2>&1
}

echo "scorematch: installing ${absent[*]}"
"${as_root[@]}" apt-get update </dev/null >>"$log" 2>&1 || true
# One by one, an optional package that the system lacks keeps no other from being installed.
if [ ${#required[@]} -gt 0 ]; then install "${required[@]}" || true; fi
for package in "${optional[@]}"; do install "$package" || true; done

for package in "${optional[@]}"; do
  if ! is_installed "$package"; then echo "scorematch: $package could not be installed; going on without it"; fi
done
missing=()
for package in "${required[@]}"; do
  if ! is_installed "$package"; then missing+=("$package"); fi
done
if [ ${#missing[@]} -gt 0 ]; then
  tail -n 20 "$log" >&2
  echo "scorematch: could not install ${missing[*]}; please run: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
