#!/usr/bin/env bash
# check_spelling.sh [PAGE…]: the words of the pages (default: README, CONTRIBUTING, CHANGELOG, docs/*.md) that are neither
# British English nor in docs/words.txt, each with the pages that have it; exits with 1 if there are any. Code, links
# and the 's of a genitive are left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ $# -eq 0 ]; then set -- README.md CONTRIBUTING.md CHANGELOG.md docs/*.md; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
aspell --lang=en --encoding=utf-8 create master "$work/words.rws" < <(grep -v '^#' docs/words.txt)

words_of() {
  sed -E '/^[[:space:]]*```/,/^[[:space:]]*```/d' "$1" |
    sed -z -E 's/`[^`]*`/ /g; s/\]\([^)]*\)/]/g; s/<[^>]*>/ /g;'" s/'s\>//g" |
    aspell --lang=en_GB --encoding=utf-8 --add-extra-dicts="$work/words.rws" list | sort -u
}

# A checker that knows every word would find none.
printf 'A speling mistake in a `codde` of CMake.\n' >"$work/test.md"
if [ "$(words_of "$work/test.md")" != speling ]; then
  echo "check_spelling.sh: aspell or its British dictionary does not work: \"$(words_of "$work/test.md")\"" >&2
  exit 1
fi

status=0
for page in "$@"; do
  for word in $(words_of "$page"); do
    echo "check_spelling.sh: $page: \"$word\" is unknown; if it is right, add it to docs/words.txt" >&2
    status=1
  done
done
if [ $status -eq 0 ]; then echo "spelling: no unknown word on $# pages"; fi
exit $status
