#!/bin/bash
# start-radosgw.sh PORT MON_PORT ACCESS_KEY SECRET_KEY
# One Ceph monitor, one object store in memory and one S3 gateway on 127.0.0.1, for tests against a real S3 server. Installs them
# where they are missing (Debian, Ubuntu). Prints `ready` when S3 answers on PORT; stops them and removes all they wrote when
# standard input ends, so that nothing stays behind a test run that was killed.
set -euo pipefail
port=$1 mon_port=$2 access_key=$3 secret_key=$4

say() { echo "radosgw: $*" >&2; }

missing=()
while read -r command package; do
  command -v "$command" >/dev/null || missing+=("$package")
done <<'PACKAGES'
radosgw radosgw
ceph-mon ceph-mon
ceph-osd ceph-osd
ceph ceph-common
monmaptool ceph-base
PACKAGES
if [ ${#missing[@]} -gt 0 ]; then
  install="apt-get install -y -q --no-install-recommends ${missing[*]}"
  root=""
  [ "$(id -u)" = 0 ] || root="sudo -n"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  if ! { $root $install || { $root apt-get update -q && $root $install; }; } >&2; then
    say "cannot install ${missing[*]}; run: sudo $install"
    exit 3
  fi
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/nearcast-radosgw-XXXXXX")
pids=()
stop() {
  # The gateway first: it would wait for the others.
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do kill -TERM "${pids[i]}" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do
    for _ in {1..30}; do kill -0 "$pid" 2>/dev/null && sleep 0.1 || break; done
    kill -KILL "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 1' INT TERM HUP

fail() {
  say "$1"
  tail -n 5 "$dir"/*.log >&2 2>/dev/null || true
  exit 1
}
# Runs a step to its end; what it says is shown only when it fails.
step() { timeout 30 "$@" >"$dir/step.log" 2>&1 </dev/null || fail "failed: $*"; }
# Leaves a daemon running; its log is its own file.
daemon() {
  local name=$1
  shift
  "$@" --foreground >"$dir/$name.log" 2>&1 </dev/null &
  pids+=("$!")
}
# Tries until it works, or a daemon has ended, or 30 s are over.
until_works() {
  for _ in {1..300}; do
    if "$@" >/dev/null 2>&1 </dev/null; then return; fi
    for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || fail "a daemon ended while waiting for: $*"; done
    sleep 0.1
  done
  fail "gave up waiting for: $*"
}

fsid=$(cat /proc/sys/kernel/random/uuid)
osd_id=$(cat /proc/sys/kernel/random/uuid)
mkdir "$dir/mon" "$dir/osd" "$dir/run"
conf=$dir/ceph.conf
cat >"$conf" <<CONF
[global]
fsid = $fsid
mon initial members = a
mon host = v1:127.0.0.1:$mon_port
public addr = 127.0.0.1
cluster addr = 127.0.0.1
# Loopback only, without keys: nobody else can reach it.
ms bind ipv6 = false
ms bind msgr2 = false
ms tcp nodelay = true
auth cluster required = none
auth service required = none
auth client required = none
keyring = /dev/null
run dir = $dir/run
crash dir = $dir/run
admin socket = $dir/run/\$name.asok
log file = $dir/\$name.ceph.log
mon cluster log file = $dir/cluster.ceph.log
# One copy of everything, in few groups: a cluster of one.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
# In memory: a test run leaves nothing on the disk, and does not wait for it.
osd objectstore = memstore
memstore device bytes = 4294967296
# Nobody votes against a monitor that is alone; the defaults wait a second for those who might.
paxos propose interval = 0.02
paxos min wait = 0.01
[mon.a]
mon data = $dir/mon
mon addr = v1:127.0.0.1:$mon_port
[osd.0]
osd data = $dir/osd
[client.rgw]
rgw data = $dir/run
rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw thread pool size = 64
rgw enable apis = s3
rgw enable usage log = false
rgw dynamic resharding = false
CONF

step monmaptool --create --fsid "$fsid" --addv a "[v1:127.0.0.1:$mon_port]" "$dir/monmap"
step ceph-mon -c "$conf" -i a --mkfs --monmap "$dir/monmap"
daemon mon ceph-mon -c "$conf" -i a
until_works timeout 5 ceph -c "$conf" osd new "$osd_id" 0
step ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd_id"
daemon osd ceph-osd -c "$conf" -i 0
osd_is_up() { timeout 5 ceph -c "$conf" osd stat | grep -q '1 up'; }
until_works osd_is_up
step radosgw-admin -c "$conf" -n client.rgw user create --uid=test --display-name=test \
  --access-key="$access_key" --secret-key="$secret_key"
daemon rgw radosgw -c "$conf" -n client.rgw
s3_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$port"); }
until_works s3_answers
echo ready
# Not cat: bash would hold a signal back until it ends.
while read -r _; do :; done
