#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# launch/mpirun.sh and launch/slurm.sh, with an mpirun and an sbatch that only note what they are told.
# shellcheck disable=SC2317 # helpers that `check` calls
set -uo pipefail
launch=$(cd "$(dirname "$0")/../../launch" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

mkdir fake
cat >fake/mpirun <<'FAKE'
#!/usr/bin/env bash
if [ "$*" = --version ]; then
  cat version.txt
  exit 0
fi
echo "mpirun $*" >started.txt
env | grep '^OMPI_' >environment.txt || true
FAKE
cat >fake/sbatch <<'FAKE'
#!/usr/bin/env bash
cat >submitted.txt
echo "Submitted batch job 1"
FAKE
cat >fake/nproc <<'FAKE'
#!/usr/bin/env bash
echo 4
FAKE
cat >fake/id <<'FAKE'
#!/usr/bin/env bash
echo "${FAKE_ID:-1000}"
FAKE
cat >fake/ldd <<'FAKE'
#!/usr/bin/env bash
grep -s "^$1 " linked.txt
FAKE
chmod +x fake/*
PATH=$work/fake:$PATH

checks=0
failures=0

# same TEXT FOUND EXPECTED
same() {
  checks=$((checks + 1))
  if [ "$2" != "$3" ]; then
    failures=$((failures + 1))
    printf 'FAILED: %s\n  found:    %s\n  expected: %s\n' "$1" "$2" "$3"
  fi
}

# refused TEXT COMMAND...: exit code 2, and one line on stderr that holds TEXT.
refused() {
  local text=$1 code=0
  shift
  "$@" >stdout.txt 2>stderr.txt </dev/null || code=$?
  same "$*: exit code" "$code" 2
  same "$*: lines of stderr" "$(wc -l <stderr.txt)" 1
  same "$*: '$text' in '$(cat stderr.txt)'" "$(grep -cF -- "$text" stderr.txt)" 1
  if [ -e started.txt ] || [ -e submitted.txt ]; then same "$*" started "nothing started"; fi
}

# dry EXPECTED OPTIONS...
dry() {
  local expected=$1
  shift
  same "mpirun.sh --dry-run $*" "$("$launch/mpirun.sh" --dry-run "$@" 2>&1)" "$expected"
}

unset SLURM_JOB_ID PBS_JOBID LSB_JOBID PE_HOSTFILE OMPI_MCA_btl_tcp_disable_family
for mpi in "mpirun (Open MPI) 4.1.4" "mpirun (Open MPI) 5.0.3" "HYDRA build details:"; do
  echo "$mpi" >version.txt
  export VISIBLE='a b'
  quiet=''  # what Open MPI 5 gets on one host
  if [[ $mpi == *" 5."* ]]; then quiet='OMPI_MCA_btl_tcp_disable_family=6 '; fi
  case $mpi in
    *"Open MPI"*)
      dry "${quiet}mpirun --map-by slot:OVERSUBSCRIBE --bind-to none -np 2 ./p --x y" 2 ./p --x y
      dry "OMPI_MCA_mpi_yield_when_idle=1 ${quiet}mpirun --map-by slot:OVERSUBSCRIBE --bind-to none -np 5 ./p a\\ b" 5 ./p 'a b'
      dry "${quiet}mpirun --map-by core --bind-to core -np 4 ./p" --per core 4 ./p
      dry "${quiet}mpirun --map-by ppr:1:numa --bind-to numa -np 2 ./p" --per numa 2 ./p
      dry "${quiet}mpirun --map-by ppr:4:node --bind-to none -np 4 ./p" --per gpu 4 ./p
      dry "mpirun --host a:4,b:4 --map-by ppr:4:node --bind-to none -x NCCL_DEBUG=INFO -x VISIBLE -np 8 ./p" \
        --per gpu --hosts a:4,b:4 --env NCCL_DEBUG=INFO --env VISIBLE 8 ./p
      dry "mpirun --host a:4,b:2 --map-by slot:OVERSUBSCRIBE --bind-to none -np 6 ./p" --hosts a:4,b:2 6 ./p
      dry "${quiet}mpirun --map-by ppr:3:node:OVERSUBSCRIBE --bind-to none -np 6 ./p" --ranks-per-node 3 6 ./p
      FAKE_ID=0 dry "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 ${quiet}mpirun --map-by slot:OVERSUBSCRIBE --bind-to none -np 1 ./p" 1 ./p
      SLURM_JOB_ID=7 dry "mpirun --map-by slot:OVERSUBSCRIBE --bind-to none -np 1 ./p" 1 ./p
      OMPI_MCA_btl_tcp_disable_family=4 dry "mpirun --map-by slot:OVERSUBSCRIBE --bind-to none -np 1 ./p" 1 ./p
      ;;
    *)
      dry "mpirun -n 5 ./p --x y" 5 ./p --x y
      dry "mpirun -bind-to core -map-by core -n 4 ./p" --per core 4 ./p
      dry "mpirun -bind-to numa -map-by numa -n 2 ./p" --per numa 2 ./p
      dry 'mpirun -hosts a:4,b:4 -ppn 4 -genv NCCL_DEBUG INFO -genv VISIBLE a\ b -n 8 ./p' \
        --per gpu --hosts a:4,b:4 --env NCCL_DEBUG=INFO --env VISIBLE 8 ./p
      ;;
  esac
  same "$mpi: --dry-run starts nothing" "$(ls started.txt 2>/dev/null)" ""
  "$launch/mpirun.sh" 5 ./p --dry-run -- 'a b' || same "$mpi: runs" $? 0
  case $mpi in
    *"Open MPI"*)
      same "$mpi: what is run" "$(cat started.txt)" \
        "mpirun --map-by slot:OVERSUBSCRIBE --bind-to none -np 5 ./p --dry-run -- a b"
      same "$mpi: environment" "$(sort environment.txt | tr '\n' ' ')" \
        "${quiet}OMPI_MCA_mpi_yield_when_idle=1 "
      ;;
    *) same "$mpi: what is run" "$(cat started.txt)" "mpirun -n 5 ./p --dry-run -- a b" ;;
  esac
  rm -f started.txt
done

refused "RANKS 'two'" "$launch/mpirun.sh" two ./p
refused "RANKS '0'" "$launch/mpirun.sh" 0 ./p
refused "--per socket: known are" "$launch/mpirun.sh" --per socket 2 ./p
refused "room for 3 ranks, 4 are asked for" "$launch/mpirun.sh" --hosts a:2,b:1 4 ./p
refused "HOST:RANKS" "$launch/mpirun.sh" --hosts a,b 2 ./p
refused "as many on each host" "$launch/mpirun.sh" --per gpu --hosts a:2,b:1 3 ./p
refused "does not go with --per core" "$launch/mpirun.sh" --per core --ranks-per-node 2 2 ./p
refused "no such environment variable" "$launch/mpirun.sh" --env NOT_THERE_AT_ALL 2 ./p
refused "NAME or NAME=VALUE" "$launch/mpirun.sh" --env 1=2 2 ./p
refused "unknown option --bogus" "$launch/mpirun.sh" --bogus 2 ./p
refused "--hosts is missing its value" "$launch/mpirun.sh" --hosts

# A program that was built with the other MPI gets that one's mpirun, or a line.
printf '#!/bin/sh\n' >p
chmod +x p
cp p of_mpich && cp p of_open_mpi && cp p of_intel_mpi
cat >linked.txt <<'LINKED'
./of_mpich libmpich.so.12 => /usr/lib/libmpich.so.12
./of_intel_mpi libmpi.so.12 => /opt/intel/lib/libmpi.so.12
./of_open_mpi libmpi.so.40 => /usr/lib/libmpi.so.40
LINKED
cat >fake/mpirun.mpich <<'FAKE'
#!/usr/bin/env bash
echo "HYDRA build details:"
FAKE
chmod +x fake/mpirun.mpich
echo "mpirun (Open MPI) 4.1.4" >version.txt
dry "mpirun --map-by slot:OVERSUBSCRIBE --bind-to none -np 2 ./of_open_mpi" 2 ./of_open_mpi
dry "mpirun.mpich -n 2 ./of_mpich" 2 ./of_mpich
dry "mpirun.mpich -n 2 env A=1 ./of_mpich ./of_open_mpi" 2 env A=1 ./of_mpich ./of_open_mpi
dry "mpirun.mpich -n 2 ./of_intel_mpi" 2 ./of_intel_mpi
echo "HYDRA build details:" >version.txt
dry "mpirun -n 2 ./of_mpich" 2 ./of_mpich
if ! PATH=/usr/bin:/bin command -v mpirun.openmpi >/dev/null; then
  refused "was built with openmpi, and mpirun is another MPI's" "$launch/mpirun.sh" 2 ./of_open_mpi
else
  quiet=''
  if [[ $(mpirun.openmpi --version) == *"Open MPI) 5."* ]]; then quiet='OMPI_MCA_btl_tcp_disable_family=6 '; fi
  dry "${quiet}mpirun.openmpi --map-by slot:OVERSUBSCRIBE --bind-to none -np 2 ./of_open_mpi" 2 ./of_open_mpi
fi

# Slurm: --mpi follows the program; where it does not tell, a note says so.
picks() { "$launch/slurm.sh" --nodes 1 --ranks-per-node 2 --dry-run "$@" 2>stderr.txt | grep -o '^exec srun --mpi=[a-z0-9]*' | cut -d' ' -f3; }
same "--mpi for Open MPI" "$(picks -- ./of_open_mpi)$(cat stderr.txt)" --mpi=pmix
same "--mpi for MPICH" "$(picks -- ./of_mpich)$(cat stderr.txt)" --mpi=pmi2
same "--mpi behind another program" "$(picks -- env A=1 ./of_mpich)$(cat stderr.txt)" --mpi=pmi2
same "--mpi as told" "$(picks --mpi pmix -- ./of_mpich)$(cat stderr.txt)" --mpi=pmix
same "--mpi unknown" "$(picks -- ./p)" --mpi=pmix
same "--mpi unknown, in words" "$(grep -c 'note: cannot tell which MPI ./p was built with' stderr.txt)" 1
rm fake/mpirun.mpich

# Slurm: every line of a job.
slurm=("$launch/slurm.sh" --nodes 2 --ranks-per-node 8)
lines() { grep -vE '^(#( |$)|$)' "$1"; }
"${slurm[@]}" --gpus-per-node 8 --cpus-per-rank 6 --time 2:00:00 --partition long --account me --name big \
  --env NCCL_SOCKET_IFNAME=ib0 --env VISIBLE -- bin/hashep run 'a b@MPI@' "it's" >out.txt || same "slurm.sh" $? 0
same "what sbatch says" "$(cat out.txt)" "Submitted batch job 1"
same "a GPU job" "$(lines submitted.txt)" "#!/usr/bin/env bash
#SBATCH --job-name=big
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=6
#SBATCH --gpus-per-node=8
#SBATCH --time=2:00:00
#SBATCH --partition=long
#SBATCH --account=me
#SBATCH --output=%x-%j.out
set -euo pipefail
export SRUN_CPUS_PER_TASK=6
export NCCL_SOCKET_IFNAME=ib0 VISIBLE=a\\ b
exec srun --mpi=pmix --kill-on-bad-exit=1 \\
  --gpu-bind=none --cpu-bind=none \\
  bin/hashep run a\\ b@MPI@ it\\'s"
bash -n submitted.txt || same "a GPU job is a script" $? 0
cp submitted.txt gpu.txt
rm submitted.txt

"${slurm[@]}" --mpi pmi2 --output job.sbatch -- ./p >out.txt || same "slurm.sh --output" $? 0
same "--output submits nothing" "$(ls submitted.txt 2>/dev/null)" ""
same "a CPU job" "$(lines job.sbatch)" "#!/usr/bin/env bash
#SBATCH --job-name=hashep
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00
#SBATCH --output=%x-%j.out
set -euo pipefail
export SRUN_CPUS_PER_TASK=1
exec srun --mpi=pmi2 --kill-on-bad-exit=1 \\
  --cpu-bind=cores \\
  ./p"
same "--dry-run shows the job" "$("${slurm[@]}" --mpi pmi2 --dry-run -- ./p)" "sbatch <<'JOB'
$(cat job.sbatch)
JOB"
same "--dry-run submits nothing" "$(ls submitted.txt 2>/dev/null)" ""

# What the job runs: srun, with the environment that it was given.
cat >fake/srun <<'FAKE'
#!/usr/bin/env bash
printf '<%s>' "$NCCL_SOCKET_IFNAME" "$VISIBLE" "$SRUN_CPUS_PER_TASK" "$@"
FAKE
chmod +x fake/srun
same "the job itself" "$(VISIBLE='' bash gpu.txt)" \
  "<ib0><a b><6><--mpi=pmix><--kill-on-bad-exit=1><--gpu-bind=none><--cpu-bind=none><bin/hashep><run><a b@MPI@><it's>"

refused "--nodes is missing" "$launch/slurm.sh" --ranks-per-node 2 -- ./p
refused "--ranks-per-node is missing" "$launch/slurm.sh" --nodes 2 -- ./p
refused "PROGRAM is missing" "${slurm[@]}"
refused "-- is expected before the program" "${slurm[@]}" ./p
refused "--nodes 'many'" "$launch/slurm.sh" --nodes many -- ./p
refused "--partition 'a b'" "${slurm[@]}" --partition 'a b' -- ./p
refused "--name '" "${slurm[@]}" --name $'x\n#SBATCH --nodes=9' -- ./p
refused "more than 4 GPUs" "${slurm[@]}" --gpus-per-node 4 -- ./p
refused "unknown option --bogus" "${slurm[@]}" --bogus x -- ./p
refused "none/job: cannot be written" "${slurm[@]}" --output none/job -- ./p
same "nothing is left" "$(ls -d ./*.tmp none 2>/dev/null)" ""

rm fake/sbatch
code=0
PATH=$work/fake:/usr/bin:/bin "${slurm[@]}" -- ./p 2>stderr.txt || code=$?
if ! PATH=/usr/bin:/bin command -v sbatch >/dev/null; then
  same "no sbatch: exit code" "$code" 1
  same "no sbatch" "$(grep -c 'there is no sbatch here' stderr.txt)" 1
fi
for script in mpirun slurm; do
  same "$script.sh --help" "$("$launch/$script.sh" --help | grep -c -- '--dry-run')" 1
done

printf '%d checks, %d failed\n' "$checks" "$failures"
[ "$failures" = 0 ] && [ "$checks" -gt 0 ]
