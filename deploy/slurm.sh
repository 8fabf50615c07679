#!/bin/bash
# A night of specs on SLURM: the first node drives and measures, all others train.
#
#   sbatch deploy/slurm.sh night/ /shared/runs/night 07:00
#
# Arguments: specs (a folder, or files in quotes), the batch's folder on shared storage, and until when.
# A job that is preempted or runs out of time is queued again and goes on where it was.
#SBATCH --job-name=automl-night
#SBATCH --nodes=3
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=14:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
set -euo pipefail

specs=${1:?"the specs: a folder, a pattern in quotes, or a file"}
output=${2:?"the folder of the batch, on storage that all nodes see"}
until=${3:-}
shared=$(dirname "$output")

export AUTOML_CACHE=${AUTOML_CACHE:-$shared/cache}
export RAY_USAGE_STATS_ENABLED=0
# Whoever reaches a Ray cluster without a token can run any program on it.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(getent ahostsv4 "$head" | awk 'NR == 1 {print $1}')
port=$((20000 + SLURM_JOB_ID % 20000))
temporary=/tmp/ray-$SLURM_JOB_ID
steps=()

on_node() { # on_node NODE COMMAND…: start a step there that lasts as long as the job
    local node=$1
    shift
    srun --overlap --nodes=1 --ntasks=1 --nodelist="$node" "$@" &
    steps+=($!)
}

# shellcheck disable=SC2317 # the trap calls it
stop() {
    kill "${steps[@]}" 2>/dev/null || true
    wait "${steps[@]}" 2>/dev/null || true
}
trap stop EXIT

# No trials on the first node: it measures latency, on cores that nothing else uses.
on_node "$head" ray start --head --block --node-ip-address="$address" --port="$port" \
    --num-cpus=0 --num-gpus=0 --temp-dir="$temporary" --include-dashboard=false
for node in "${nodes[@]:1}"; do
    on_node "$node" ray start --block --address="$address:$port"
done

expected=${#nodes[@]}
for _ in $(seq 60); do
    found=$(python -m automl.search.nodes "$address:$port" 2>/dev/null || echo 0)
    [ "$found" -ge "$expected" ] && break
    sleep 2
done

# In the background, so that bash passes SIGTERM on: automl keeps what it has and says how to go on.
arguments=("$specs" --output "$output" --address "$address:$port")
[ -n "$until" ] && arguments+=(--until "$until")
automl batch "${arguments[@]}" &
batch=$!
trap 'kill -TERM "$batch" 2>/dev/null' TERM
code=0
wait "$batch" || code=$?
if kill -0 "$batch" 2>/dev/null; then # the signal ended the waiting, not the batch
    wait "$batch" || code=$?
fi
if [ "$code" -eq 143 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
