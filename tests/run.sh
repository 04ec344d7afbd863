#!/usr/bin/env bash
# Installs what is needed, builds and runs every test: with gcc; under the address and undefined
# behaviour sanitizers; under the thread sanitizer; and compiles everything with clang.
# SPDX-License-Identifier: Apache-2.0
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=deploy/packages.sh
source deploy/packages.sh

passed=0
failed=0
failures=()
jobs=$(nproc)

usage() {
  cat <<'HELP'
Examples:
  tests/run.sh            all of it, about a quarter of an hour on two cores
  tests/run.sh --quick    with gcc and without sanitizers; TensorFlow is used if it is there already

TensorFlow, which some tests compare with, is installed in build/venv, or in what PS_VENV names. Where
that fails they are skipped, except in continuous integration (CI=true), where they fail.

Ends with the line "N passed, N failed", which counts every build and every test of it.
HELP
}

good() { passed=$((passed + 1)); }

bad() {
  failed=$((failed + 1))
  failures+=("$1")
}

# build DIRECTORY ARGUMENT...: configures and builds; counts as one test.
build() {
  local directory=$1
  shift
  echo "== build $directory"
  if configure "$directory" "$@" && watched "build $directory" cmake --build "$directory" -j "$jobs"
  then
    good
  else
    bad "build of $directory"
    return 1
  fi
}

# run_tests DIRECTORY CTEST-ARGUMENT...: counts each test that ctest ran.
run_tests() {
  local directory=$1 log line skipped
  shift
  log=$(mktemp)
  echo "== tests of $directory"
  "${prefix[@]}" ctest --test-dir "$directory" -j "$jobs" --output-on-failure --no-tests=error "$@" \
    </dev/null 2>&1 | tee "$log"
  line=$(grep -E 'tests failed out of [0-9]+$' "$log" | tail -n 1)
  if [[ $line =~ ,\ ([0-9]+)\ tests\ failed\ out\ of\ ([0-9]+)$ ]]; then
    skipped=$(grep -c '^[[:space:]]*[0-9]* - .* (Skipped)' "$log") # ctest counts those as passed
    passed=$((passed + BASH_REMATCH[2] - BASH_REMATCH[1] - skipped))
    failed=$((failed + BASH_REMATCH[1]))
    while read -r name; do failures+=("$directory: $name"); done \
      < <(sed -n '/^The following tests FAILED:/,/^$/s/^[[:space:]]*[0-9]* - \([^ ]*\).*/\1/p' "$log")
  else
    bad "tests of $directory"
  fi
  rm -f "$log"
}

# tensorflow: makes the environment of the tests that compare with it, which is needed where CI=true.
tensorflow() {
  if [[ ${CI-} == true ]]; then
    export PS_REQUIRE_TENSORFLOW=1
  elif [[ $quick == yes ]]; then
    return
  fi
  if watched TensorFlow tests/deploy/tf_environment.sh "$venv"; then
    echo "TensorFlow: in $venv"
  elif [[ ${CI-} == true ]]; then
    bad "installation of TensorFlow"
  else
    echo "TensorFlow: not installed; the tests that compare with it are skipped"
  fi
}

quick=no
for argument in "$@"; do
  case $argument in
    --quick) quick=yes ;;
    --help | -h) usage && exit 0 ;;
    *) echo "tests/run.sh: unknown flag '$argument'; it takes --quick" >&2 && exit 64 ;;
  esac
done

install_packages "${build_packages[@]}" "${test_packages[@]}" || exit 1

prefix=()
venv=$(realpath -m "${PS_VENV:-build/venv}")
options=(-DPS_WERROR=ON -DPS_TESTS=ON "-DPS_VENV=$venv")
build build "${options[@]}" && tensorflow && run_tests build

if [[ $quick == no ]]; then
  # Whole processes and installed trees are tested once, above; here it is the code itself.
  whole='^(process|install)$'
  build build-asan "${options[@]}" -DPS_SANITIZE=address && run_tests build-asan -LE "$whole"

  # gcc's thread sanitizer cannot map its memory where addresses are randomised as much as newer
  # kernels do it, so that is turned off for its tests where it may be.
  if setarch -R true 2>/dev/null; then prefix=(setarch -R); fi
  export TSAN_OPTIONS="ignore_noninstrumented_modules=1 halt_on_error=1 ${TSAN_OPTIONS:-}"
  build build-tsan "${options[@]}" -DPS_SANITIZE=thread && run_tests build-tsan -LE "$whole"
  prefix=()

  build build-clang "${options[@]}" -DCMAKE_C_COMPILER=clang
fi

for failure in "${failures[@]}"; do echo "FAILED: $failure"; done
echo "$passed passed, $failed failed"
((failed == 0))
