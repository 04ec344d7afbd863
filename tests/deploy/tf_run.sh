#!/usr/bin/env bash
# Runs a Python test with the first interpreter that may have TensorFlow: that of PS_VENV, else
# Debian's. The test says by itself what it misses. SPDX-License-Identifier: Apache-2.0
python=/usr/bin/python3
if [[ -n ${PS_VENV-} && -x $PS_VENV/bin/python ]]; then python=$PS_VENV/bin/python; fi
TF_CPP_MIN_LOG_LEVEL=3 exec "$python" -B "$@"
