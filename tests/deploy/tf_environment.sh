#!/usr/bin/env bash
# Makes the virtual environment for the tests that compare with TensorFlow and with the safetensors
# package. The product needs neither. SPDX-License-Identifier: Apache-2.0
set -euo pipefail

usage() {
  cat <<'HELP'
Examples:
  tests/deploy/tf_environment.sh             makes build/venv, some 2 GB, in a few minutes
  tests/deploy/tf_environment.sh /opt/venv   somewhere else; then cmake -DPS_VENV=/opt/venv

Does nothing if all is there already. PS_REQUIRE_TENSORFLOW=1 in the environment of ctest makes those
tests fail, rather than be skipped, where the packages are missing.
HELP
}

case ${1-} in
  --help | -h) usage && exit 0 ;;
  -*) echo "tf_environment.sh: unknown flag '$1'; see --help" >&2 && exit 64 ;;
esac
venv=${1-$(dirname "${BASH_SOURCE[0]}")/../../build/venv}

packages=('tensorflow-cpu==2.21.*' safetensors)

# Imports them: what a stopped installation left behind can often be found, but not be used.
complete() {
  [[ -x $venv/bin/python ]] &&
    TF_CPP_MIN_LOG_LEVEL=3 "$venv/bin/python" -c 'import tensorflow, safetensors, ml_dtypes' 2>/dev/null
}

# Installs them, from the second attempt on into an emptied environment: an index may fail for a moment,
# and an installation be damaged.
make_environment() {
  local attempt
  for attempt in 1 2 3; do
    if ((attempt > 1)) || [[ ! -x $venv/bin/pip ]]; then
      /usr/bin/python3 -m venv --clear "$venv" || return
    fi
    if "$venv/bin/pip" install --disable-pip-version-check --retries 5 "${packages[@]}" && complete; then
      return 0
    fi
    echo "tf_environment.sh: attempt $attempt of 3 failed" >&2
  done
  return 1
}

if complete; then
  echo "TensorFlow and safetensors are in $venv"
  exit 0
fi
mkdir -p "$(dirname "$venv")"
make_environment
echo "TensorFlow and safetensors are now in $venv"
