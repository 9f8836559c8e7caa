#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The virtual cluster: its hosts differ, its links limit, exit codes come through, and whatever ends
# it, nothing of it is left on the machine.
# shellcheck disable=SC2016,SC2317 # shell lines for others; functions are passed by name
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

# What a cluster could leave outside: network names, mounts, files.
traces() {
  ip -o link | cut -d : -f 2
  ls /run/netns /etc/netns 2>/dev/null
  grep -E 'nsfs|node[0-9]' /proc/self/mounts
  find /tmp /dev/shm -maxdepth 1 -name '*node[1-4]*'
}
traces_before=$(traces)

nothing_is_left() {
  [ -z "$(cluster_processes)" ] && [ "$(traces)" = "$traces_before" ]
}

clean() {
  check "$1: left $(cluster_processes) $(diff <(echo "$traces_before") <(traces))" within 5 nothing_is_left
}

# says TEXT LINE...: stdout is exactly these lines, in any order.
says() {
  local text=$1
  shift
  check "$text: got '$(cat stdout.txt)'" [ "$(sort stdout.txt)" = "$(printf '%s\n' "$@" | sort)" ]
}

# Each host has its own name, its own ranks, and memory shared among these alone.
on_cluster --rate none --slots 2,1,3 -- "$probe"
check "uneven hosts: exit code $code" [ "$code" = 0 ]
says "uneven hosts" \
  "rank 0 on node1 shares memory with 0,1" "rank 1 on node1 shares memory with 0,1" \
  "rank 2 on node2 shares memory with 2" "rank 3 on node3 shares memory with 3,4,5" \
  "rank 4 on node3 shares memory with 3,4,5" "rank 5 on node3 shares memory with 3,4,5"
clean "uneven hosts"
on_cluster --rate none --hosts 4 --slots 1 -- hostname
check "four hosts: exit code $code" [ "$code" = 0 ]
says "four hosts" node1 node2 node3 node4
# Words stay words on their way to the other hosts.
on_cluster --rate none --slots 1,1 -- printf '%s\n' "it's a" '$HOME; *'
says "words" "it's a" '$HOME; *' "it's a" '$HOME; *'
on_cluster --rate none --slots 1,1 -- sh -c 'pwd; cat'
says "working folder, no input" "$work" "$work"
on_cluster --rate none --slots 1,1 -- bash -c 'touch /dev/shm/of.$(hostname); sleep 0.5; echo /dev/shm/of.*'
says "memory of its own" /dev/shm/of.node1 /dev/shm/of.node2
clean "memory of its own"

# Exit codes.
for host in node1 node2; do
  on_cluster --rate none --slots 1,1 -- bash -c "[ \$(hostname) != $host ] || exit 7"
  check "exit code of $host: $code" [ "$code" = 7 ]
  clean "a program that fails on $host"
done
HASHEP_MPI_TIMEOUT=2 on_cluster --slots 1,1 -- sleep 1000
check "too long: exit code $code" [ "$code" = 124 ]
clean "too long"
on_cluster -- ./nosuch
check "no program: exit code $code" [ "$code" != 0 ]
clean "no program"
for bad in "--hosts 5" "--hosts 1" "--slots 0" "--slots 2,x" "--slots 1,1,1,1,1" "--hosts 3 --slots 1,1" \
  "--rate fast" "--mtu 1" "--speed 3" "--rate" "--count-bytes nosuch/file"; do
  # shellcheck disable=SC2086
  on_cluster $bad -- true
  check "$bad: exit code $code" [ "$code" = 2 ]
  check "$bad: no error line" grep -q '^virtual_cluster.sh: error: ' stderr.txt
done

running() {
  [ "$(grep -c running stdout.txt)" = 4 ]
}

# Signals in the middle: the program may end in order, and all is gone. Of SIGKILL it hears nothing.
for signal in TERM INT HUP KILL; do
  rm -f in_order.*
  start --slots 2,2 -- \
    bash -c 'trap ": >in_order.$$; exit 0" TERM; echo running; sleep 1000 & wait'
  check "SIG$signal: not running" within 60 running
  check "SIG$signal: this test does not see a cluster" [ "$(cluster_processes | wc -l)" -gt 8 ]
  kill -$signal "$job"
  check "SIG$signal: lives on" within 30 has_ended
  code=0
  wait "$job" 2>/dev/null || code=$?
  check "SIG$signal: exit code $code" [ "$code" = $((128 + $(kill -l $signal))) ]
  clean "SIG$signal"
  # mpirun gives them a second for it, which on a busy machine is not always enough for all.
  orderly=$(find . -name 'in_order.*')
  if [ $signal = KILL ]; then
    check "SIGKILL: heard of it: $orderly" [ -z "$orderly" ]
  else
    check "SIG$signal: no rank ended in order" [ -n "$orderly" ]
  fi
done
# And at any moment of setting up.
for delay in 0.01 0.03 0.06 0.1 0.15 0.2 0.3; do
  start -- sleep 1000
  sleep $delay
  kill -TERM "$job"
  check "SIGTERM after $delay s: lives on" within 30 has_ended
  code=0
  wait "$job" 2>/dev/null || code=$?
  check "SIGTERM after $delay s: exit code $code" [ "$code" = 143 ]
  clean "SIGTERM after $delay s"
done

# Two at once: the first waits until the second is done, then talks between its hosts.
start --rate none --slots 1,1 -- \
  bash -c 'touch up; until [ -e go_on ]; do sleep 0.1; done; exec "$0"' "$probe"
first=$job
check "two at once: the first is not up" within 60 [ -e up ]
"$virtual_cluster" --rate none --slots 1,2 -- "$probe" >second.txt 2>&1
check "two at once: the second: $(cat second.txt)" [ "$(grep -c 'on node2 shares memory with 1,2$' second.txt)" = 2 ]
check "two at once: the first has ended" kill -0 "$first"
touch go_on
code=0
wait "$first" || code=$?
check "two at once: the first: exit code $code" [ "$code" = 0 ]
says "two at once" "rank 0 on node1 shares memory with 0" "rank 1 on node2 shares memory with 1"
clean "two at once"

# Links limit what leaves a host, and what comes to it: 2 x 4 MiB through one link of 200 Mbit/s are
# 336 ms. How much longer it takes is the machine's affair.
payload=$((4 << 20))
for way in to_last from_last; do
  on_cluster --rate 200mbit --slots 1,1,1 --count-bytes sent.json -- "$probe" $way 4
  check "$way: exit code $code" [ "$code" = 0 ]
  check "$way: $(cat stdout.txt) ms" [ "$(cat stdout.txt)" -ge 268 ]
  printf '%s: %s ms\n' $way "$(cat stdout.txt)"
done
check "bytes sent" [ "$(of node3 tx_bytes)" -gt $((2 * payload)) ]
check "bytes sent: too many" [ "$(of node3 tx_bytes)" -lt $((3 * payload)) ]
check "bytes sent by others" [ "$(of node1 tx_bytes)" -lt $((payload / 4)) ]
check "packets: $(of node3 tx_packets)" [ "$(of node3 tx_packets)" -gt $((2 * payload / 1500)) ]
on_cluster --rate none --mtu 9000 --slots 1,1 --count-bytes sent.json -- "$probe" to_last 4
check "no limit: exit code $code" [ "$code" = 0 ]
check "no limit: bytes sent" [ "$(of node1 tx_bytes)" -gt $payload ]
check "packets of 9000: $(of node1 tx_packets)" [ "$(of node1 tx_packets)" -lt $((payload / 3000)) ]
clean "transfers"

# Where namespaces may not be made, that is said, and no cluster is made.
mkdir forbidden
printf '#!/bin/sh\necho "unshare: not today" >&2\nexit 1\n' >forbidden/unshare
chmod +x forbidden/unshare
PATH=$work/forbidden:$PATH on_cluster -- true
check "may not: exit code $code" [ "$code" = 77 ]
says "may not" "virtual cluster: skipped: no namespaces, or no shaped links in them: unshare: not today"
if [ "$(id -u)" = 0 ]; then
  setpriv --bounding-set -sys_admin "$virtual_cluster" -- true >stdout.txt 2>stderr.txt
  check "without CAP_SYS_ADMIN: exit code" [ $? = 77 ]
  check "without CAP_SYS_ADMIN: $(cat stdout.txt)" grep -q '^virtual cluster: skipped: ' stdout.txt
  # Not root, where users may make namespaces.
  mkdir user && cp -r "$here/../cluster" "$here/../support" user/ && chmod 755 "$work" user
  code=0
  (cd / && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$work/user/cluster/virtual_cluster.sh" \
    --rate none --slots 1,1 -- hostname) >stdout.txt 2>stderr.txt || code=$?
  if [ $code = 77 ]; then
    cat stdout.txt
  else
    check "not root: exit code $code" [ $code = 0 ]
    says "not root" node1 node2
  fi
fi
clean "skipped"

finish
