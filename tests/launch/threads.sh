#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How many threads a rank takes and what it says of it, with masks of one and two cores.
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"
unset OMP_NUM_THREADS SLURM_CPUS_PER_TASK
export OMPI_MCA_rmaps_base_oversubscribe=1

options=()
for ((i = 0; i < ${#small[@]}; i += 2)); do
  [ "${small[i]}" = --threads ] || options+=("${small[i]}" "${small[i + 1]}")
done
options+=(--progress off)

# takes N TEXT COMMAND...: TEXT is what the run on N ranks says of its threads.
takes() {
  local count=$1 text=$2
  shift 2
  on_ranks "$count" "$@" "$hashep" run "${options[@]}" --json out/r.json
  check "$count ranks, $*: exit code $code" [ "$code" = 0 ]
  check "$count ranks, $*: $(grep '^threads' stdout.txt)" grep -qxF "threads: $text" stdout.txt
  check "$count ranks, $*: JSON" grep -qF "\"threads_per_rank\": ${text%% *}," out/r.json
  check "$count ranks, $*: JSON says no reason" grep -qF "\"threads_why\": \"" out/r.json
}

# What this test may run on.
mapfile -t cores < <(taskset -cp $$ | sed 's/.*: //; s/,/\n/g' |
  while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done)
one=${cores[0]}
takes 1 "1 a rank (1 core)" taskset -c "$one"
takes 2 "1 a rank (1 core shared by 2 ranks)" taskset -c "$one"
takes 1 "3 a rank (OMP_NUM_THREADS, more than was granted: 1 core)" \
  env OMP_NUM_THREADS=3 taskset -c "$one"
if [ ${#cores[@]} -gt 1 ]; then
  two=$one,${cores[1]}
  takes 1 "2 a rank (2 cores)" taskset -c "$two"
  takes 2 "1 a rank (2 cores shared by 2 ranks)" taskset -c "$two"
  takes 3 "1 a rank (2 cores shared by 3 ranks)" taskset -c "$two"
  takes 1 "1 a rank (OMP_NUM_THREADS)" env OMP_NUM_THREADS=1 taskset -c "$two"
  takes 1 "1 a rank (SLURM_CPUS_PER_TASK)" env SLURM_CPUS_PER_TASK=1 taskset -c "$two"
  # OpenMP binds the first thread to one core, and the others to theirs.
  takes 1 "2 a rank (2 cores)" env OMP_PROC_BIND=close OMP_PLACES=threads taskset -c "$two"
  # Each rank has a core of its own.
  cat >bind.sh <<BIND
#!/usr/bin/env bash
cores=($one ${cores[1]})
exec taskset -c "\${cores[\${OMPI_COMM_WORLD_RANK:-\${PMI_RANK:-0}}]}" "\$@"
BIND
  chmod +x bind.sh
  takes 2 "1 a rank (1 core)" ./bind.sh
  options+=(--threads 2)
  takes 1 "2 a rank (--threads)" env OMP_NUM_THREADS=1 taskset -c "$two"
fi
rm -f out/*

# A quota of a control group, where this test may make one: a core and a half, of two.
if [ -e /sys/fs/cgroup/cgroup.procs ]; then folder=/sys/fs/cgroup; else folder=/sys/fs/cgroup/cpu; fi
group=$folder/hashep-test.$$
if [ ${#cores[@]} -gt 1 ] && mkdir "$group" 2>/dev/null; then
  if { echo 150000 100000 >"$group/cpu.max" || echo 150000 >"$group/cpu.cfs_quota_us"; } 2>/dev/null; then
    unset 'options[-1]' 'options[-1]'
    # shellcheck disable=SC2016 # for the inner shell
    takes 1 "1 a rank (a CPU quota of 1.5 cores)" bash -c 'echo $$ >'"$group"'/cgroup.procs && exec "$@"' -
  fi
  check "the control group stays" within 5 rmdir "$group" 2>/dev/null
fi
finish
