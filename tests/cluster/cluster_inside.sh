#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cluster_inside.sh RATE MTU COUNT_FILE "SLOTS..." PROGRAM [ARGS...]: makes the hosts of
# virtual_cluster.sh and runs the program on them. The first process of the cluster's own process,
# mount and network namespaces, which holds the switch between the hosts; when it ends, all ends.
set -euo pipefail

if [ $$ != 1 ]; then
  echo "${0##*/}: error: this is a part of virtual_cluster.sh" >&2
  exit 2
fi
trap 'exit 143' TERM  # until there is a job

rate=$1
mtu=$2
count_file=$3
read -r -a slots <<<"$4"
shift 4
here=$(cd "$(dirname "$0")" && pwd)
network=10.77.0  # known in here alone
retries=4        # of a TCP connection: mpirun learns in some seconds that a host is gone, not in 15 min

shape() {
  if [ "$rate" = none ]; then
    # Limits nothing, but counts bytes as they are on the wire, as tbf does.
    tc qdisc add dev "$1" root pfifo limit 10000
  else
    tc qdisc add dev "$1" root tbf rate "$rate" burst 128kb latency 20ms
  fi
}

# host N: makes nodeN, on its link to the switch. The process that holds its namespaces is left in
# $holder. Hosts share files and processes, but no memory: /dev/shm is the host's own.
host() {
  local ready
  # shellcheck disable=SC2016 # expanded in there
  exec {ready}< <(exec unshare --net --uts --ipc --mount bash -ec '
    hostname "$0"
    mount -t tmpfs tmpfs /dev/shm
    ip link set lo up
    echo ready
    exec sleep infinity >/dev/null' "node$1")
  holder=$!
  if ! read -r -u "$ready" _; then
    echo "virtual cluster: error: node$1 could not be made" >&2
    exit 1
  fi
  exec {ready}<&-
  # addrgenmode: no IPv6, whose messages of its own would be counted.
  ip link add "port$1" mtu "$mtu" type veth peer name link0 mtu "$mtu" netns "$holder"
  ip link set "port$1" addrgenmode none master switch up
  shape "port$1"
  nsenter --target "$holder" --net bash -ec "
    $(declare -p rate)
    $(declare -f shape)
    echo $retries >/proc/sys/net/ipv4/tcp_retries2
    ip address add $network.$1/24 dev link0
    ip link set link0 addrgenmode none up
    shape link0"
}

# sent HOLDER: bytes, packets and drops of a host's link since it was made. Unlike the counters of the
# device these see packets as they are on the wire, not bundles of them.
sent() {
  nsenter --target "$1" --net tc -s qdisc show dev link0 |
    awk '$1 == "Sent" { sub(",", "", $7); print $2, $4, $7; exit }'
}

# The file of names is this cluster's alone, as its mounts are.
mount -t tmpfs tmpfs /dev/shm
echo 127.0.0.1 localhost >/dev/shm/hosts
for ((n = 1; n <= ${#slots[@]}; ++n)); do echo "$network.$n node$n" >>/dev/shm/hosts; done
mount --bind /dev/shm/hosts /etc/hosts

ip link add switch mtu "$mtu" type bridge mcast_snooping 0
ip link set switch addrgenmode none up
holders=()
list=''
ranks=0
for ((n = 1; n <= ${#slots[@]}; ++n)); do
  host "$n"
  holders+=("$holder")
  export "HASHEP_CLUSTER_node$n=$holder"
  list+=,node$n:${slots[n - 1]}
  ranks=$((ranks + slots[n - 1]))
done

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Hosts share the cores, so ranks never spin; session files go where each host has its own.
# foreground: else timeout signals twice, and mpirun takes the second for impatience with the first.
mpirun=(timeout --foreground --kill-after=10 "${HASHEP_MPI_TIMEOUT:-280}" mpirun
  --mca plm_rsh_agent "$here/on_host.sh" --mca plm_rsh_no_tree_spawn 1
  --mca orte_tmpdir_base /dev/shm
  --mca oob_tcp_if_include link0 --mca btl_tcp_if_include link0
  --mca pml ob1 --mca btl 'tcp,vader,self' --mca mpi_yield_when_idle 1
  --bind-to none --map-by slot:OVERSUBSCRIBE --host "${list#,}" -np "$ranks" "$@")
"$here/on_host.sh" node1 "exec ${mpirun[*]@Q}" &
job=$!
stopped=''
trap 'stopped=1; kill -TERM "$job"' TERM
code=0
wait "$job" || code=$?
if [ -n "$stopped" ]; then
  code=0
  wait "$job" || code=$?
fi

if [ -n "$count_file" ]; then
  {
    printf '{"rate": "%s", "mtu": %d, "hosts": [' "$rate" "$mtu"
    for ((n = 1; n <= ${#slots[@]}; ++n)); do
      read -r bytes packets drops <<<"$(sent "${holders[n - 1]}")"
      printf '%s\n  {"host": "node%d", "slots": %d, "tx_bytes": %d, "tx_packets": %d, "tx_drops": %d}' \
        "${comma:-}" "$n" "${slots[n - 1]}" "$bytes" "$packets" "$drops"
      comma=,
    done
    printf '\n]}\n'
  } >"$count_file"
fi
exit "$code"
