#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench.sh [OPTIONS]: builds and runs the benchmarks; `bench.sh --help` lists the options. `make
# bench` calls it after fetching the peers (scripts/setup --with bench).
#
# This script owns what must not outlive a run, and removes it however the run ends: a directory
# for files, a cgroup for every process, a directory of pins.
set -euo pipefail
cd "$(dirname "$0")/.."
die() {
  echo "bench: $*" >&2
  exit 1
}

jdk=$(scripts/find-jdk) || die "no JDK 25 found: run scripts/setup"
launch=("$jdk/bin/java" -XX:+UseSerialGC -Xmx1g --enable-native-access=ALL-UNNAMED
  --sun-misc-unsafe-memory-access=allow -cp "perf-tests/target/classes:perf-tests/target/lib/*"
  dev.weir.perf.Bench)

make -s --no-print-directory target/dist
stamp=perf-tests/target/bench.stamp
if [ ! -e "$stamp" ] || [ -n "$(find pom.xml ./*/pom.xml ./*/src/main -newer "$stamp" -print -quit)" ]; then
  echo "bench: building"
  mkdir -p target
  if ! mvn -B -ntp -DskipTests -Dmaven.test.skip=true -pl perf-tests -am package >target/bench-build.log 2>&1; then
    grep -E '^\[(ERROR|WARNING)\]' target/bench-build.log | grep -v 'JAR will be empty' | head -n 20 >&2
    die "the build failed; all of Maven's output is in target/bench-build.log"
  fi
  touch "$stamp"
fi
for argument in "$@"; do
  case "$argument" in -h | --help | --list) exec "${launch[@]}" "$@" ;; esac
done

[ "$(id -u)" -eq 0 ] || die "needs root: it makes cgroups and loads programs into the kernel"
cgroups=$(awk '{ for (i = 7; i < NF; i++) if ($i == "-" && $(i + 1) == "cgroup2") { print $5; exit } }' \
  /proc/self/mountinfo)
[ -n "$cgroups" ] || die "no cgroup2 is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified"
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf || die "cannot mount a bpf file system at /sys/fs/bpf"

# remove PID: what the run of that process left.
remove() {
  local cgroup=$cgroups/weir-bench-$1
  [ ! -e "$cgroup/cgroup.kill" ] || echo 1 >"$cgroup/cgroup.kill"
  rm -rf "/sys/fs/bpf/weir-bench-$1" "/tmp/weir-bench-$1"
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -d "$cgroup" ] || return 0
    find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
  done
  [ ! -d "$cgroup" ] || echo "bench: could not remove $cgroup" >&2
}
for left in "$cgroups"/weir-bench-*; do
  pid=${left##*-}
  if [ -d "$left" ] && ! kill -0 "$pid" 2>/dev/null; then remove "$pid"; fi
done

java_pid=
# shellcheck disable=SC2317  # called by the trap
finish() {
  local status=$?
  trap - EXIT INT TERM
  set +e
  if [ -n "$java_pid" ]; then
    kill "$java_pid" 2>/dev/null
    wait "$java_pid" 2>/dev/null
  fi
  remove $$
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir "$cgroups/weir-bench-$$" "/tmp/weir-bench-$$"
chmod 711 "/tmp/weir-bench-$$"

# 1,000 connections in and as many out.
ulimit -Sn "$(ulimit -Hn)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 4096 ] || die "too few open files allowed ($(ulimit -n)): ulimit -n 4096"
commit=$(git describe --always --dirty --abbrev=10 2>/dev/null || echo unknown)
WEIR_BENCH_DIR=${WEIR_BENCH_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/bench}
if [ ! -x "$WEIR_BENCH_DIR/bin/wrk" ]; then die "the peers are not there: run scripts/setup --with bench"; fi
for program in cycle mapmemory paced; do
  clang -std=gnu11 -Wall -Wextra -Werror -O2 "perf-tests/src/main/c/$program.c" -lbpf \
    -o "/tmp/weir-bench-$$/$program" || die "cannot compile perf-tests/src/main/c/$program.c: run scripts/setup"
done

WEIR_BENCH_DIR=$WEIR_BENCH_DIR WEIR_BENCH_COMMIT=$commit WEIR_BENCH_JDK=$jdk \
  WEIR_BENCH_WORK=/tmp/weir-bench-$$ WEIR_BENCH_CGROUP=$cgroups/weir-bench-$$ \
  WEIR_BENCH_PINS=/sys/fs/bpf/weir-bench-$$ "${launch[@]}" "$@" &
java_pid=$!
status=0
wait "$java_pid" || status=$?
java_pid=
exit "$status"
