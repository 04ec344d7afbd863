#!/usr/bin/env bash
# The demonstration: installs what is needed, builds, and trains a network on Fashion-MNIST with two
# parameter servers and two workers, on this machine. SPDX-License-Identifier: Apache-2.0
set -euo pipefail
echo "paramd: two parameter servers and two workers will train a network on this machine"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=deploy/packages.sh
source deploy/packages.sh

install_packages "${build_packages[@]}"
configure build -DPS_TESTS=OFF
watched build cmake --build build -j "$(nproc)"
echo "build: build/paramd is ready"

build/paramd launch --ps 2 --workers 2 -- --data=fashion-mnist --layers=784-200-10

# The promise of this script, checked: 86 % of the test images.
awk -F'[:,]' '/"test_accuracy"/ { found = 1; good = $2 >= 0.86; exit }
  END { if (!found || !good) { print "demo: the test accuracy is below 86 %"; exit 1 } }' \
  run/latest/summary.json >&2
echo "next, a worker program of your own: see README.md, or: build/paramd launch --help"
