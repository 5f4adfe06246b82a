#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# demo: a small shop under policy on this machine's own kernel. Real processes, real traffic.
# Prints what it does and what it found, checks every line, and exits non-zero if one is not true.
# Leaves nothing behind. Needs root, and `make build`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
weir=$top/weir
export LC_ALL=C NO_PROXY='*' no_proxy='*' # decimal points; and nothing of this goes by an HTTP proxy

die() {
  echo "demo: $*" >&2
  exit 1
}
# This machine lacks something, or something else holds it: nothing was tried (status 3, as weir's).
lacks() {
  echo "demo: $*" >&2
  exit 3
}
[ "$(id -u)" -eq 0 ] || lacks "missing: root, to load programs into the kernel; run: sudo make demo"
[ -d "$top/target/dist" ] || lacks "not built; run: make build"
for tool in curl ip openssl setpriv setsid ss; do
  command -v "$tool" >/dev/null || lacks "missing: $tool; run: make setup"
done
jdk=$("$top/scripts/find-jdk") || lacks "missing: a JDK 25; run: make setup"
root=$(awk '$(NF-2) == "cgroup2" || / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
[ -n "$root" ] || lacks "missing: cgroup2; run: mount -t cgroup2 none /sys/fs/cgroup"
for port in 8080 8081 8082 8085 5433 8443 15001 15020 15021; do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    lacks "port $port is in use; the demo needs it (ss -ltnp 'sport = :$port' shows by whom)"
  fi
done
pod='weir-demo-kiosk' # a network namespace, as a pod has one
[ ! -e "/run/netns/$pod" ] || lacks "network namespace $pod is there; another demo runs, or was killed: ip netns delete $pod"
[ ! -e "$root/weir-demo" ] || lacks "$root/weir-demo is there: another demo runs, or was killed"

# Places of its own, so that a mesh in use on this machine is never met.
work=$(mktemp -d /tmp/weir-demo.XXXXXX)
export WEIR_PIN_DIR=/sys/fs/bpf/${work##*/} WEIR_RUN_DIR=/run/${work##*/}
WEIR_PIN_DIR=${WEIR_PIN_DIR//weir-demo./weir-demo-} WEIR_RUN_DIR=${WEIR_RUN_DIR//weir-demo./weir-demo-}
export WEIR_STATE_DIR=$work/state WEIR_CGROUP_ROOT=$root
policy=$work/policy
mkdir "$policy"

# --- The end, whatever happens ------------------------------------------------------------------
declare -A pids=()
agent_job=''
quietly() { "$@" >/dev/null 2>&1 || :; }
clean_up() {
  local status=$?
  trap - EXIT INT TERM
  set +e
  [ ! -e "$WEIR_RUN_DIR/agent.pid" ] || quietly kill -CONT "$(cut -d' ' -f1 "$WEIR_RUN_DIR/agent.pid")"
  quietly "$weir" down
  for name in "${!pids[@]}"; do quietly kill -9 "${pids[$name]}"; done
  [ -z "$agent_job" ] || quietly kill -9 "$agent_job"
  quietly ip netns delete "$pod"
  wait 2>/dev/null
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    rmdir "$root"/weir-demo/* "$root/weir-demo" 2>/dev/null
    [ -d "$root/weir-demo" ] || break
    sleep 0.1
  done
  if [ "$status" -ne 0 ] && [ -s "$work/agent.log" ]; then
    echo "demo: the end of the agent's log:" >&2
    tail -n 30 "$work/agent.log" >&2
  fi
  rm -rf "$work"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- Telling and checking -----------------------------------------------------------------------
began=$(date +%s%N)
checks=0 failed=0
say() { printf '\n%s\n' "$*"; }
note() { printf '        %s\n' "$*"; }
ok() {
  checks=$((checks + 1))
  printf '  ok    %s\n' "$*"
}
wrong() {
  checks=$((checks + 1)) failed=$((failed + 1))
  printf '  WRONG %s\n' "$*"
}
expect() { # expect WHAT COMMAND...: COMMAND must succeed; what it says goes to $work/out
  local what=$1
  shift
  if "$@" >"$work/out" 2>&1; then ok "$what"; else wrong "$what"; fi
}
expect_not() { # expect_not WHAT COMMAND...: COMMAND must fail
  local what=$1
  shift
  if "$@" >"$work/out" 2>&1; then wrong "$what"; else ok "$what"; fi
}
tell() { sed 's/^/        /' "$work/out"; } # what the last COMMAND said
running() { # running PID: a zombie that nobody has collected yet does not run
  [ -e "/proc/$1" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status"
}
millis_since() { echo $((($(date +%s%N) - $1) / 1000000)); }
is() { [ "$1" = "$2" ]; }
true_that() { awk "BEGIN { exit !($1) }"; } # arithmetic with fractions
field() { sed -n "s/.*\\b$2=\\([0-9.]*\\).*/\\1/p" <<<"$1"; }

# --- The shop -----------------------------------------------------------------------------------
apps=$top/target/demo/apps
if [ -z "$(find "$apps" -newer "$here/apps/shop/Http.java" -name Http.class 2>/dev/null)" ] ||
  [ -n "$(find "$here/apps/shop" -newer "$apps/shop/Http.class")" ]; then
  echo "demo: compiling the shop"
  rm -rf "$apps"
  mkdir -p "$apps"
  "$jdk/bin/javac" -d "$apps" "$here"/apps/shop/*.java
fi
java=("$jdk/bin/java" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Xmx96m -cp "$apps")

# The shell enters the cgroup and becomes the program.
# shellcheck disable=SC2016  # expanded by the inner shell
enter='echo 0 >"$1/cgroup.procs" && shift && exec "$@"'
inside() { # inside WORKLOAD COMMAND...
  local cgroup=$root/weir-demo/$1
  shift
  sh -c "$enter" sh "$cgroup" "$@"
}
start() { # start WORKLOAD CLASS ARGUMENT...: a new cgroup with a new process in it
  local name=$1
  shift
  mkdir -p "$root/weir-demo/$name"
  sh -c "$enter" sh "$root/weir-demo/$name" "${java[@]}" "$@" >"$work/$name.log" 2>&1 &
  pids[$name]=$!
}
stop() { # stop WORKLOAD: its process and its cgroup
  kill -9 "${pids[$1]}"
  wait "${pids[$1]}" 2>/dev/null || :
  unset "pids[$1]"
  while ! rmdir "$root/weir-demo/$1" 2>/dev/null; do sleep 0.01; done
}
start_shop() { # start_shop WORKLOAD
  case $1 in
    web) start web shop.Web 8080 ;;
    cart-v1) start cart-v1 shop.Cart v1 8081 ;;
    cart-v2) start cart-v2 shop.Cart v2 8082 ;;
    db) start db shop.Db 5433 ;;
    sensor-gw) start sensor-gw shop.SensorGateway 8085 ;;
  esac
}
await_shop() { # await_shop WORKLOAD: until it listens
  for _ in $(seq 1000); do
    if grep -q '^listening' "$work/$1.log"; then return 0; fi
    kill -0 "${pids[$1]}" 2>/dev/null || break
    sleep 0.01
  done
  cat "$work/$1.log" >&2
  die "$1 does not start"
}
# shellcheck disable=SC2016  # expanded by the inner shell
open_connection='exec 3<>"/dev/tcp/$0/$1"'
reach() { # reach WORKLOAD ADDRESS PORT: does a connect of this workload succeed?
  inside "$1" timeout 5 bash -c "$open_connection" "$2" "$3" 2>"$work/reach"
}
refused() { # refused WORKLOAD ADDRESS PORT: is it refused, as opposed to unanswered?
  ! reach "$@" && grep -q 'Connection refused' "$work/reach"
}
fetch() { # fetch OPTION...: many requests from web's cgroup to the cart's virtual address
  inside web "${java[@]}" shop.Fetch 10.96.0.10 80 "$@" 2>"$work/fetch.err"
}
in_pod() { # in_pod WORKLOAD COMMAND...: in the pod's network namespace
  local name=$1
  shift
  inside "$name" ip netns exec "$pod" "$@"
}
fetch_in_pod() { in_pod kiosk "${java[@]}" shop.Fetch 10.96.0.10 80 "$@" 2>"$work/fetch.err"; }
refused_in_pod() { # refused_in_pod WORKLOAD ADDRESS PORT
  ! in_pod "$1" timeout 5 bash -c "$open_connection" "$2" "$3" 2>"$work/reach" &&
    grep -q 'Connection refused' "$work/reach"
}
scrape() { curl -sS --max-time 5 http://127.0.0.1:15020/metrics; }
metric() { # metric FAMILY LABEL="VALUE"...: the sum of its series with these labels, in the scrape
  local name=$1 pattern
  shift
  pattern=$(printf '%s\n' "$@")
  awk -v name="$name" -v wanted="$pattern" '
    BEGIN { count = split(wanted, labels, "\n") }
    index($0, name "{") == 1 {
      for (i = 1; i <= count; i++) if (labels[i] != "" && !index($0, labels[i])) next
      found = 1; sum += $NF
    }
    END { if (found) printf "%d\n", sum; else print "none" }' "$work/scrape"
}
positive() { [ "$1" != none ] && [ "$1" -gt 0 ]; }
start_agent() {
  "$weir" up "$policy" >>"$work/agent.log" 2>&1 &
  agent_job=$!
}
await_healthy() { # until policy is in force and the proxy has its routes
  for _ in $(seq 750); do
    if is "$(curl -s --max-time 2 http://127.0.0.1:15021/healthz)" ok; then return 0; fi
    kill -0 "$agent_job" 2>/dev/null || return 1
    sleep 0.02
  done
  return 1
}
agent_pid() { cut -d' ' -f1 "$WEIR_RUN_DIR/agent.pid"; }
proxy_pid() { cut -d' ' -f1 "$WEIR_RUN_DIR/proxy.pid"; }

echo "A shop on one machine: web -> cart (v1, v2) -> db, a sensor gateway, and a stranger."
say "1. Without Weir: each program in its own cgroup, and everybody reaches everybody"
mkdir -p "$root/weir-demo/stranger"
workloads=(web cart-v1 cart-v2 db sensor-gw)
for name in "${workloads[@]}"; do start_shop "$name"; done
for name in "${workloads[@]}"; do await_shop "$name"; done
expect "stranger reaches cart (127.0.0.1:8081)" reach stranger 127.0.0.1 8081
expect "stranger reaches db (127.0.0.1:5433)" reach stranger 127.0.0.1 5433

say "2. weir up: the policy files of examples/edge-node/policy, unchanged"
cp "$here"/policy/*.yaml "$policy/"
# The only file that is not in the repository: a key pair, and its CA in $work/shop-ca.pem.
"$here/certificate" "$policy" || die "no certificate"
started=$(date +%s%N)
start_agent
await_healthy || die "weir up did not come up"
note "in force $(sed -n 's/.*is in force after \([0-9]* ms\).*/\1/p' "$work/agent.log" | head -n 1) after the files were read, HTTP routes included $(millis_since "$started") ms after exec"
expect "weir status finds all of it there" "$weir" status
tell
expect "the proxy runs as an unprivileged user without capabilities" \
  is "$(awk '/^Uid:/ { u = $2 } /^CapEff:/ || /^CapBnd:/ { c = c $2 } /^NoNewPrivs:/ { n = $2 } END { print (u != 0), c ~ /^0*$/, n }' "/proc/$(proxy_pid)/status")" "1 1 1"

say "3. web -> cart -> db by their virtual addresses, with no change to any of them"
page=$(curl -sS --max-time 5 http://127.0.0.1:8080/) || page=''
note "GET / of web: $page"
expect "web reaches cart at 10.96.0.10:80" grep -q '"items":3' <<<"$page"
page=$(curl -sS --max-time 5 http://127.0.0.1:8080/total) || page=''
note "GET /total of web: $page"
expect "cart reaches db at 10.96.0.20:5432" grep -q '"total":42' <<<"$page"

say "4. stranger gets a refused connect, whatever address it tries; the same program reached them before"
refusals() {
  expect "stranger -> cart's virtual address is refused" refused stranger 10.96.0.10 80
  expect "stranger -> cart-v1 itself is refused" refused stranger 127.0.0.1 8081
  expect "stranger -> cart-v1, written as IPv6, is refused" refused stranger ::ffff:127.0.0.1 8081
  expect "stranger -> db's virtual address is refused" refused stranger 10.96.0.20 5432
  expect "stranger -> db itself is refused" refused stranger 127.0.0.1 5433
}
refusals
scrape >"$work/scrape"
count=$(metric weir_connections_refused_total 'source_workload="stranger"' 'destination_workload="db"')
expect "the scrape counts stranger -> db: $count" positive "$count"
note "$(grep -m 1 '^weir_connections_refused_total{source_workload="stranger".*destination_workload="db"' "$work/scrape" || :)"
expect "the log names source, destination, rule and file:line" \
  grep -qE 'refused shop/stranger -> shop/db:[0-9]+ tcp by NetworkPolicy shop/[a-z-]+.*\(.*\.yaml:[0-9]+\)' "$work/agent.log"
note "$(grep -m 1 -oE 'refused shop/stranger -> shop/db.*' "$work/agent.log" || :)"

say "5. db accepts only cart"
only_cart() {
  expect "web -> db is refused" refused web 127.0.0.1 5433
  expect "sensor-gw -> db is refused" refused sensor-gw 10.96.0.20 5432
  expect "cart-v1 -> db is allowed" reach cart-v1 10.96.0.20 5432
  expect "cart-v2 -> db is allowed" reach cart-v2 10.96.0.20 5432
}
only_cart
# A port belongs to its workload, also while nobody listens on it.
expect_not "stranger cannot take the db's port on another address" \
  inside stranger timeout 5 "${java[@]}" shop.Db 5433 127.0.0.2
note "$(grep -m 1 -o 'BindException.*' "$work/out" || :)"

say "6. 20,000 requests, weights 99/1; x-version of every answer says who gave it"
alive=$(fetch requests=18000 connections=16) || alive=''
fresh=$(fetch requests=2000 connections=8 per-connection=1) || fresh=''
note "kept alive:           $alive"
note "a connection for each: $fresh"
total=$(($(field "$alive" requests) + $(field "$fresh" requests)))
v2=$(($(field "$alive" v2) + $(field "$fresh" v2)))
share=$(awk "BEGIN { printf \"%.3f\", 100 * $v2 / $total }")
expect "none of $total failed" is "$(field "$alive" failed)+$(field "$fresh" failed)" 0+0
expect "$v2 of $total went to v2: $share %, within 0.2 points of 1 %" \
  true_that "$total == 20000 && $share >= 0.8 && $share <= 1.2"

say "7. A request that asks for the canary always gets it"
canary=$(fetch requests=500 connections=4 header=x-canary:always) || canary=''
note "$canary"
expect "x-canary: always went to v2, 500 of 500 times" is "$(field "$canary" v2)" 500

say "8. HTTPS from outside: TLS ends in the proxy, and the cart still speaks plain HTTP"
https() {
  curl -sS --max-time 5 --cacert "$work/shop-ca.pem" --resolve shop.example:8443:127.0.0.1 \
    -w '%{http_code} %{ssl_verify_result}\n' -o /dev/null -D "$work/headers" "$@" https://shop.example:8443/
}
answer=$(https -v 2>"$work/tls") || answer=''
note "$(sed -n 's/^\* SSL connection using \(.*\)/\1/p' "$work/tls"); $(tr -d '\r' <"$work/headers" | grep -i '^x-version' || :)"
expect "curl with the demo's CA gets 200 at https://shop.example:8443/" is "$answer" "200 0"
expect "TLS 1.2 works too" is "$(https --tls-max 1.2 || :)" "200 0"
https -H 'x-canary: always' >/dev/null || :
expect "x-canary: always goes to v2 here too" grep -qi '^x-version: v2' "$work/headers"
expect_not "without the demo's CA curl refuses the certificate" \
  curl -sS --max-time 5 --resolve shop.example:8443:127.0.0.1 -o /dev/null https://shop.example:8443/

say "9. The weights in the file become 50/50, while requests run"
fetch seconds=3 connections=4 "log=$work/answers" >"$work/shift" &
load=$!
sleep 1
sed -e 's/weight: 99$/weight: 50/' -e 's/weight: 1$/weight: 50/' "$policy/cart-route.yaml" >"$work/cart-route.yaml"
changed=$(date +%s%3N)
mv "$work/cart-route.yaml" "$policy/cart-route.yaml"
wait "$load" || :
note "$(cat "$work/shift")"
# The first of 20 consecutive answers of which at least 7 came from v2: at 1 % that never happens.
effect=$(sort -n "$work/answers" | awk '
  { at[NR] = $1; v2[NR] = $2 == "v2"; sum += v2[NR]; if (NR > 20) sum -= v2[NR - 20] }
  NR >= 20 && sum >= 7 && !found { found = at[NR - 19] }
  END { if (found) print found }')
after=$(awk -v t="$((changed + 1000))" '$1 >= t { n++; v2 += $2 == "v2" } END { printf "%.1f", n ? 100 * v2 / n : 0 }' "$work/answers")
took=none
[ -z "$effect" ] || took=$((effect - changed))
expect "the first answers at 50/50 came $took ms after the file changed" true_that "\"$took\" != \"none\" && $((${effect:-0} - changed)) < 1000"
expect "from then on $after % went to v2" true_that "$after > 48 && $after < 52"
expect "no request failed" is "$(field "$(cat "$work/shift")" failed)" 0

say "10. A pod: another front, in a network namespace of its own"
ip netns add "$pod"
ip link add weir-demo0 type veth peer name eth0 netns "$pod"
ip addr add 10.77.0.1/24 dev weir-demo0
ip link set weir-demo0 up
ip -n "$pod" link set lo up
ip -n "$pod" addr add 10.77.0.2/24 dev eth0
ip -n "$pod" link set eth0 up
ip -n "$pod" route add default via 10.77.0.1
mkdir "$root/weir-demo/kiosk"
# Somebody lives there from now on: so the agent sees where the proxy has to listen as well.
sh -c "$enter" sh "$root/weir-demo/kiosk" ip netns exec "$pod" sleep 1000 >/dev/null 2>&1 &
pids[kiosk]=$!
cat >"$work/kiosk.yaml" <<'END'
apiVersion: weir.dev/v1alpha1
kind: Workload
metadata:
  name: kiosk
  namespace: shop
  labels:
    app: web
spec:
  serviceAccountName: web
  cgroup: /weir-demo/kiosk
  address: 10.77.0.2
END
mv "$work/kiosk.yaml" "$policy/"
answer=''
for _ in $(seq 100); do
  answer=$(fetch_in_pod requests=20 connections=1 || :)
  if is "$(field "$answer" failed)" 0; then break; fi
  sleep 0.1
done
answer=$(fetch_in_pod requests=1000 connections=4 || :)
note "$answer"
expect "of 1,000 requests none failed, and both versions answered" \
  true_that "$(field "$answer" failed) == 0 && $(field "$answer" v1) > 400 && $(field "$answer" v2) > 400"
answer=$(fetch_in_pod requests=100 connections=2 header=x-canary:always || :)
expect "x-canary: always went to v2, 100 of 100 times" is "$(field "$answer" v2)" 100
expect "kiosk -> db is refused" refused_in_pod kiosk 10.96.0.20 5432
expect "stranger, in the pod's namespace, -> cart is refused" refused_in_pod stranger 10.96.0.10 80
expect "the proxy's own port there is refused to kiosk" refused_in_pod kiosk 127.0.0.1 15001
scrape >"$work/scrape"
count=$(metric istio_requests_total 'source_workload="kiosk"' 'destination_service_name="cart' 'response_code="200"')
expect "the scrape counts kiosk -> cart, 200: $count" true_that "\"$count\" != \"none\" && ${count/none/0} >= 1100"
rm "$policy/kiosk.yaml"
kill -9 "${pids[kiosk]}"
wait "${pids[kiosk]}" 2>/dev/null || :
unset 'pids[kiosk]'
ip netns delete "$pod"

say "11. kill -9 of the agent"
before_kill=$(agent_pid)
proxy_before=$(proxy_pid)
kill -9 "$before_kill"
wait "$agent_job" 2>/dev/null || :
expect_not "the agent is gone" running "$before_kill"
expect_not "weir status says so, and exits non-zero" "$weir" status
note "$(grep -m 1 '^problem' "$work/out" || :)"
refusals
only_cart
expect "web still reaches cart through the proxy" is "$(field "$(fetch requests=200 connections=4 || :)" failed)" 0
# New cgroups, new processes, and nothing of ours resident but the proxy and what the kernel holds.
stop cart-v1
expect_not "while cart-v1 is down, stranger cannot answer in its place" \
  inside stranger timeout 5 "${java[@]}" shop.Cart v9 8081
start_shop cart-v1
stop web
start_shop web
rmdir "$root/weir-demo/stranger"
mkdir "$root/weir-demo/stranger"
await_shop cart-v1
await_shop web
note "restarted cart-v1, web and stranger in new cgroups"
answer=$(fetch requests=200 connections=4) || answer=''
note "$answer"
expect "the new web reaches both carts, the new cart-v1 among them" \
  true_that "$(field "$answer" failed) == 0 && $(field "$answer" v1) > 50 && $(field "$answer" v2) > 50"
expect "the new cart-v1 reaches db" reach cart-v1 10.96.0.20 5432
expect "the new web is governed: db refuses it" refused web 127.0.0.1 5433
expect "the new stranger is governed: cart refuses it" refused stranger 10.96.0.10 80

say "12. The next agent takes over"
start_agent
await_healthy || die "the second agent did not come up"
expect "weir status finds all of it there" "$weir" status
expect "it adopted the running proxy, process $proxy_before" is "$(proxy_pid)" "$proxy_before"
# A bad file must not open anything, and must not stop anything.
echo 'kind: [' >"$policy/broken.yaml"
for _ in $(seq 100); do
  if grep -q 'broken.yaml:' "$work/agent.log"; then break; fi
  sleep 0.02
done
expect "a bad file is refused with its line, and what was in force stays" \
  grep -q 'broken.yaml:[0-9]' "$work/agent.log"
expect "stranger is still refused" refused stranger 10.96.0.10 80
rm "$policy/broken.yaml"

say "13. kill -9 of the proxy"
proxy=$(proxy_pid) agent=$(agent_pid)
# The agent is held meanwhile, or the next proxy might be there before we have looked; and the dead
# one is gone when its sockets are, which its last thread closes.
kill -STOP "$agent"
kill -9 "$proxy"
for _ in $(seq 500); do
  [ -n "$(ss -Hltn 'sport = :15001')" ] || break
  sleep 0.01
done
expect "without it web's connect to cart is refused, not let through" refused web 10.96.0.10 80
expect "cart-v1 -> db does not need it" reach cart-v1 10.96.0.20 5432
kill -CONT "$agent"
noticed=$(date +%s%N)
back=no
for _ in $(seq 500); do
  if reach web 10.96.0.10 80; then
    back=yes
    break
  fi
  sleep 0.01
done
expect "the agent has started another one; it accepts again $(millis_since "$noticed") ms after it could know" is "$back" yes
expect "web reaches cart through it" is "$(field "$(fetch requests=200 connections=4 || :)" failed)" 0

say "14. A Prometheus scrape of the node"
scrape >"$work/scrape"
show() { # show FAMILY WHAT LABEL...
  local name=$1 what=$2 value
  shift 2
  value=$(metric "$name" "$@")
  expect "$name $what: $value" positive "$value"
}
# The proxy's counters began anew with it; the kernel's did not.
show istio_requests_total "web -> cart, 200" 'source_workload="web"' 'destination_service_name="cart' 'response_code="200"'
show istio_request_duration_milliseconds_count "web -> cart" 'source_workload="web"' 'destination_service_name="cart'
show istio_request_duration_milliseconds_bucket "(a histogram)" 'source_workload="web"' 'le="+Inf"'
show istio_tcp_connections_opened_total "cart-v1 -> db" 'source_workload="cart-v1"' 'destination_workload="db"'
show istio_tcp_connections_closed_total "cart-v1 -> db" 'source_workload="cart-v1"' 'destination_workload="db"'
show istio_tcp_received_bytes_total "cart-v1 -> db" 'source_workload="cart-v1"' 'destination_workload="db"'
show weir_connections_refused_total "stranger -> cart" 'source_workload="stranger"' 'destination_workload="cart' 'rule="NetworkPolicy/shop/'
show weir_connect_latency_seconds_bucket "cart-v1 -> db (a histogram)" 'source_workload="cart-v1"' 'destination_workload="db"' 'le="+Inf"'
expect "no family stands in it twice" is "$(grep '^# TYPE' "$work/scrape" | cut -d' ' -f3 | sort | uniq -d)" ''
expect "no series stands in it twice" is "$(grep -v '^#' "$work/scrape" | sed 's/ [^ ]*$//' | sort | uniq -d)" ''

say "15. weir down: nothing is left attached, pinned or running"
agent=$(agent_pid) proxy=$(proxy_pid)
links=()
bpftool=$(command -v bpftool || command -v /usr/sbin/bpftool || :)
if [ -n "$bpftool" ]; then
  for pin in "$WEIR_PIN_DIR"/links/*; do
    id=$("$bpftool" link show pinned "$pin" 2>/dev/null | sed -n '1s/^\([0-9]*\):.*/\1/p')
    [ -z "$id" ] || links+=("$id")
  done
fi
expect "weir down succeeds" "$weir" down
wait "$agent_job" 2>/dev/null || :
agent_job=''
expect_not "no agent runs" running "$agent"
expect_not "no proxy runs" running "$proxy"
expect_not "nothing is pinned in $WEIR_PIN_DIR" test -e "$WEIR_PIN_DIR"
expect_not "no run directory $WEIR_RUN_DIR" test -e "$WEIR_RUN_DIR"
expect_not "no cgroup of the proxy" test -e "$root/weir-demo-proxy"
if [ ${#links[@]} -gt 0 ]; then
  left=0
  for id in "${links[@]}"; do
    if "$bpftool" link show id "$id" >/dev/null 2>&1; then left=$((left + 1)); fi
  done
  expect "of ${#links[@]} links the kernel knows none any more" is "$left" 0
fi
expect "stranger reaches db again: nothing is enforced" reach stranger 127.0.0.1 5433
expect "stranger reaches cart again" reach stranger 127.0.0.1 8081
expect_not "weir status says that nothing is in force" "$weir" status

printf '\n'
seconds=$(awk "BEGIN { printf \"%.1f\", $(millis_since "$began") / 1000 }")
if [ "$failed" -gt 0 ]; then
  echo "demo: $failed of $checks checks WRONG, after $seconds s"
  exit 1
fi
echo "demo: all $checks checks true, after $seconds s"
