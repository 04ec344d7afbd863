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

complete() {
  [[ -x $venv/bin/python ]] && TF_CPP_MIN_LOG_LEVEL=3 "$venv/bin/python" -c \
    'import importlib.util as u, sys
sys.exit(any(u.find_spec(n) is None for n in ("tensorflow", "safetensors", "ml_dtypes")))'
}

if complete; then
  echo "TensorFlow and safetensors are in $venv"
  exit 0
fi
mkdir -p "$(dirname "$venv")"
[[ -x $venv/bin/pip ]] || /usr/bin/python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu safetensors
complete
echo "TensorFlow and safetensors are now in $venv"
