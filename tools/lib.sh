# Shared by the scripts in tools/: sourced, not run.
# shellcheck shell=bash disable=SC2034

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
started=$SECONDS

# say TEXT: one line that tells the user what happens now, and how long it has been.
say() { printf '[%3ds] %s\n' $((SECONDS - started)) "$*" >&2; }

# What the build and the tests need, as Debian 12 packages.
packages=(
  bazel-bootstrap bazel-platforms bazel-rules-java bazel-rules-proto bazel-skylib
  g++ git python3 ca-certificates
  protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libgrpc++-dev libabsl-dev
  libcli11-dev libyaml-cpp-dev nlohmann-json3-dev libspdlog-dev libfmt-dev
  prometheus-cpp-dev libcpp-httplib-dev libxxhash-dev libssl-dev libnuma-dev libibverbs-dev
  librocksdb-dev libgtest-dev libgmock-dev libhiredis-dev
)
# What only the benchmarks run: the peers that they measure against.
bench_packages=(redis-server fio)
# What tools/softroce boots, and what is of use in its guest.
softroce_packages=(
  python3 qemu-system-x86 busybox-static kmod zstd iproute2 nftables
  rdma-core ibverbs-utils ibverbs-providers rdmacm-utils perftest
)

# missing_packages NAME...: prints those that are not installed.
missing_packages() {
  local installed
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
    sed -n 's/ installed$//p' || true)
  printf '%s\n' "$@" | grep -Fxv -f <(printf '%s\n' "$installed") || true
}

# install_packages NAME...: installs what is missing, and only that.
install_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  if [ ${#missing[@]} = 0 ]; then
    say "dependencies: all $# packages are installed"
    return
  fi
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
      echo "missing packages, and neither root nor sudo to install them: ${missing[*]}" >&2
      exit 1
    }
    as_root=(sudo)
  fi
  say "dependencies: installing ${#missing[@]} of $# packages with apt (about 2 minutes)"
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "apt could not install: ${missing[*]}" >&2
    echo "Kvasir builds on Debian 12 (bookworm)." >&2
    exit 1
  fi
  rm -f "$log"
  say "dependencies: installed"
}

# bazel_run COMMAND ARG...: Bazel in this checkout, with a cache that outlives it and
# progress on standard error.
bazel_run() {
  local command=$1
  shift
  (cd "$repo" && bazel --host_jvm_args=-Xmx1g "$command" \
    --disk_cache="${XDG_CACHE_HOME:-$HOME/.cache}/kvasir/bazel" \
    --show_progress --show_progress_rate_limit="$([ -t 2 ] && echo 0.5 || echo 20)" \
    --show_timestamps=false "$@")
}
