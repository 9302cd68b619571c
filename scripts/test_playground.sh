#!/usr/bin/env bash
# test_playground.sh [FOLDER]: builds the playground, or takes the one in FOLDER, and drives its pages in headless Chromium.
# Pictures of the pages at the width of a desktop and of a phone are then in build/playground_pictures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=${1:-build/playground}
if [ $# -eq 0 ]; then scripts/playground.sh "$folder"; fi
for program in chromium chromedriver python3; do
  command -v "$program" >/dev/null || scripts/install_packages.sh chromium chromium-driver python3
done
python3 tests/playground/drive.py "$folder" --pictures build/playground_pictures
