# shellcheck shell=bash
# Debian packages that paramd needs, and how deploy/demo.sh and tests/run.sh install them and show
# what takes time. Sourced, not run. SPDX-License-Identifier: Apache-2.0

# To build and run.
# shellcheck disable=SC2034
build_packages=(
  gcc libc6-dev make cmake ninja-build pkg-config
  libgrpc-dev libprotobuf-c-dev protobuf-c-compiler
  libopenblas-dev libisal-dev libjansson-dev librandom123-dev uthash-dev zlib1g-dev
  dataset-fashion-mnist
)

# To test as well: other compilers and peers, and what looks at processes and ports.
# shellcheck disable=SC2034
test_packages=(
  check clang g++ protobuf-compiler
  python3 python3-venv python3-grpcio python3-protobuf python3-numpy
  binutils iproute2 procps util-linux e2fsprogs xfsprogs
)

# watched LABEL COMMAND...: runs a command with its output in a log, and says every second and a half that
# it is still at work. On failure shows the end of the log and returns the command's exit code.
watched() {
  local label=$1 log seconds=0 code=0 pid
  shift
  log=$(mktemp)
  printf '%s ...\n' "$label"
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.5
    seconds=$((seconds + 1)) # halves
    if ((seconds % 3 == 0)); then
      printf '%s: %d s  %s\n' "$label" $((seconds / 2)) \
        "$(tail -c 300 "$log" | tr '\r' '\n' | tail -n 1 | cut -c 1-90)"
    fi
  done
  wait "$pid" || code=$?
  if ((code != 0)); then
    tail -n 40 "$log" >&2
    printf '%s: failed with exit code %d\n' "$label" "$code" >&2
  fi
  rm -f "$log"
  return "$code"
}

# Those of the named packages that are not installed.
missing_packages() {
  local name
  for name in "$@"; do
    if [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) != installed ]]; then
      printf '%s\n' "$name"
    fi
  done
}

# install_packages NAME...: installs what is missing; without the right to, says which command would.
install_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  if ((${#missing[@]} == 0)); then
    echo "packages: all of $# are installed"
    return 0
  fi
  if ((EUID != 0)); then
    echo "packages: ${#missing[@]} are missing; install them, then run this again:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    return 1
  fi
  echo "packages: installing ${#missing[@]} of $#"
  export DEBIAN_FRONTEND=noninteractive
  local apt=(apt-get -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
  watched "package lists" "${apt[@]}" update || return
  watched "packages" "${apt[@]}" install --no-install-recommends "${missing[@]}" || return
  echo "packages: installed"
}

# configure DIRECTORY ARGUMENT...: runs cmake there, with ninja if the directory is new.
configure() {
  local directory=$1
  shift
  local generator=()
  if [[ ! -f $directory/CMakeCache.txt ]]; then generator=(-G Ninja); fi
  watched "configure $directory" cmake -S . -B "$directory" "${generator[@]}" "$@"
}
