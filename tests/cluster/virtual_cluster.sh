#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs an MPI program (Open MPI 4) on several hosts that are all this machine: --help tells how.
#
# The whole cluster lives in namespaces of its own, held by no name and no file but by one process:
# its network, its mounts and its process ids. When that process ends, however it ends, the kernel
# ends all others in there and takes the network apart. So nothing can be left behind, not even by
# SIGKILL, and clusters at the same time know nothing of each other. cluster_inside.sh is what goes
# on in there.
set -uo pipefail

program=${0##*/}
here=$(cd "$(dirname "$0")" && pwd)

usage() {
  cat <<USAGE
Usage: $program [OPTIONS] -- PROGRAM [ARGS...]

  --hosts N           2 to 4 hosts, node1 to nodeN (default: 2)
  --slots N | N,N,... ranks on each host, or on each of them in turn (default: 2)
  --rate RATE         of each host's link, both ways, in tc's words: 1gbit, 200mbit (default), or
                      none for no limit
  --mtu BYTES         of the links (default: 1500)
  --count-bytes FILE  write, as JSON, what each host sent over its link: all of it, mpirun's own
                      messages too, as frames with their headers of Ethernet, IP and TCP

Runs PROGRAM with one rank a slot, without input, and ends with its exit code. Ends the job after
HASHEP_MPI_TIMEOUT seconds (default: 280), with exit code 124. Exit code 77 and one line that says
why: this machine does not let us make namespaces. Needs no root where users may make namespaces.
USAGE
}

bad() {
  echo "$program: error: $* (--help lists the options)" >&2
  exit 2
}

skip() {
  echo "virtual cluster: skipped: $*"
  exit 77
}

hosts=''
slots=2
rate=200mbit
mtu=1500
count_file=''
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --hosts | --slots | --rate | --mtu | --count-bytes) ;;
    *) bad "unknown option '$1'" ;;
  esac
  if [ $# -lt 2 ] || [ "$2" = -- ]; then bad "$1 needs a value"; fi
  case $1 in
    --hosts) hosts=$2 ;;
    --slots) slots=$2 ;;
    --rate) rate=$2 ;;
    --mtu) mtu=$2 ;;
    --count-bytes) count_file=$2 ;;
  esac
  shift 2
done
shift || true
if [ $# = 0 ]; then bad "no program to run"; fi

number='[1-9][0-9]{0,3}'
if [[ ! $slots =~ ^$number(,$number)*$ ]]; then bad "--slots: '$slots' is no list of numbers"; fi
IFS=, read -r -a slots <<<"$slots"
if [ ${#slots[@]} = 1 ]; then
  hosts=${hosts:-2}
  if [[ ! $hosts =~ ^[2-4]$ ]]; then bad "--hosts: '$hosts' is not 2, 3 or 4"; fi
  for ((host = 1; host < hosts; ++host)); do slots+=("${slots[0]}"); done
fi
if [ "${hosts:-${#slots[@]}}" != ${#slots[@]} ] || [ ${#slots[@]} -gt 4 ]; then
  bad "--slots: ${#slots[@]} hosts, expected ${hosts:-2 to 4}"
fi
if [[ ! $rate =~ ^([1-9][0-9]*[kmg]?bit|none)$ ]]; then bad "--rate: '$rate' is no rate"; fi
if [[ ! $mtu =~ ^$number$ ]] || [ "$mtu" -lt 576 ]; then bad "--mtu: '$mtu' is not in [576, 9999]"; fi
if [ -n "$count_file" ] && { [ -d "$count_file" ] || [ ! -w "$(dirname "$count_file")" ]; }; then
  bad "--count-bytes: cannot write $count_file"
fi

# As in every namespace of the cluster: ids of users only where we are not root.
own_users=()
if [ "$(id -u)" != 0 ]; then own_users=(--user --map-root-user); fi
PATH+=:/usr/sbin:/sbin  # where ip and tc are, which users may have no way to
in_namespaces=(unshare "${own_users[@]}" --net --mount --pid --fork --kill-child --mount-proc --)

for tool in unshare nsenter setpriv setsid timeout mount hostname ip tc; do
  command -v "$tool" >/dev/null || skip "this machine has no '$tool'"
done
if [[ $(mpirun --version 2>&1) != *"Open MPI) 4."* ]]; then skip "mpirun is not that of Open MPI 4"; fi
# All that the kernel may refuse, once. What fails after this is an error, not a reason to skip.
refused=$("${in_namespaces[@]}" bash -ec '
  mount -t tmpfs tmpfs /dev/shm
  unshare --net --uts --ipc --mount hostname node1
  ip link add switch type bridge
  ip link add port1 type veth peer name link0
  ip link set port1 master switch
  tc qdisc add dev port1 root tbf rate 1gbit burst 128kb latency 20ms' 2>&1) ||
  skip "no namespaces, or no shaped links in them: ${refused%%$'\n'*}"

# shellcheck source=tests/support/sanitizers.sh
. "$here/../support/sanitizers.sh"

# A session of its own: Ctrl-C comes here alone, and is passed on once.
setsid setpriv --pdeathsig KILL "${in_namespaces[@]}" "$here/cluster_inside.sh" \
  "$rate" "$mtu" "$count_file" "${slots[*]}" "$@" </dev/null &
cluster=$!

# The process that holds the cluster gets to end its program in order.
signal=''
# shellcheck disable=SC2317 # called by the traps
pass_on() {
  signal=$1
  kill -TERM "$(cat "/proc/$cluster/task/$cluster/children" 2>/dev/null)" 2>/dev/null
}
for name in INT TERM HUP; do
  # shellcheck disable=SC2064 # $name is this one's
  trap "pass_on $name" $name
done

code=0
wait "$cluster" || code=$?
if [ -n "$signal" ]; then
  for ((tenths = 0; tenths < 200; ++tenths)); do
    kill -0 "$cluster" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$cluster" 2>/dev/null
  wait "$cluster" 2>/dev/null
  exit $((128 + $(kill -l "$signal")))
fi
exit "$code"
