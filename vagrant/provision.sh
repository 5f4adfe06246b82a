#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# provision.sh [CHECKOUT]: runs the demo, the tests and the benchmarks, as root, in a machine that
# may be fresh. Running it again runs them again. Reports stay in CHECKOUT/target. Fails with the
# first that fails.
set -euo pipefail

checkout=${1:-$(cd "$(dirname "$0")/.." && pwd)}
cd "$checkout"

if [ "$(id -u)" -ne 0 ]; then
  echo "provision: needs root, to load programs into the kernel: sudo $0" >&2
  exit 1
fi
# make brings in everything else.
if ! command -v make >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends make
fi
if ! mountpoint -q /sys/fs/bpf; then
  mount -t bpf bpf /sys/fs/bpf
fi

for target in demo test bench; do
  echo "provision: make $target"
  # CI=true: here every test can run, so one that is skipped is one that failed.
  CI=true make "$target"
done
