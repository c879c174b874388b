# shellcheck shell=bash
# What the scripts beside this file share; sourced, not run. README.md names the variables.
#
# Every long process is a step of srun in the background, and this shell looks at it twice a second:
# so that signals are acted upon, and one step's end is seen while another runs. Steps write their
# process ids to a file, and signals go to exactly these: what srun does with a signal of its own
# depends on the signal.

care_say() {
    printf 'care: %(%F %T)T %s\n' -1 "$*" >&2
}

care_refuse() { # message
    care_say "$*"
    exit 2
}

# ---- The job ------------------------------------------------------------------------------------

care_prepare() { # the run's folder where CARE_RUN_DIR is unset; the overrides
    local folder=$1
    shift
    [[ -n ${SLURM_JOB_ID:-} ]] || care_refuse "this is no Slurm job: start it with sbatch"
    care_refuse_folder_overrides "$@"
    if [[ -n ${CARE_SETUP:-} ]]; then
        # shellcheck disable=SC1090
        source "$CARE_SETUP"
    fi
    care_describe_job "$folder"
    care_environment
    CARE_SIGNAL=
    trap 'CARE_SIGNAL=USR1' USR1
    trap 'CARE_SIGNAL=TERM' TERM INT
    trap care_stop_ray EXIT
}

care_refuse_folder_overrides() {
    local override
    for override; do
        [[ $override != *trainer.default_local_dir=* ]] ||
            care_refuse "$override: the checkpoints lie in the run's folder; set CARE_RUN_DIR"
    done
}

care_describe_job() { # the run's folder where CARE_RUN_DIR is unset
    local nodes
    nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
    mapfile -t CARE_NODES <<<"$nodes"
    CARE_HEAD=${CARE_NODES[0]}
    CARE_GPUS=${CARE_GPUS_PER_NODE:-${SLURM_GPUS_ON_NODE:-8}}
    CARE_PORT=$((20000 + SLURM_JOB_ID % 1000 * 10))
    CARE_RUN_DIR=$(realpath -m "${CARE_RUN_DIR:-$1}")
    CARE_LOGS=$CARE_RUN_DIR/logs/$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}
    CARE_CHECKPOINTS=$CARE_RUN_DIR/checkpoints
    CARE_OVERRIDES=(
        "trainer.nnodes=${#CARE_NODES[@]}"
        "trainer.n_gpus_per_node=$CARE_GPUS"
        "trainer.experiment_name='$(basename "$CARE_RUN_DIR")'"
        "trainer.default_local_dir='$CARE_CHECKPOINTS'"
        "trainer.resume_mode=auto"
        "hydra.run.dir='$CARE_LOGS/hydra'"
    )
    CARE_FIRST_STEP=$(care_saved_step)
    mkdir -p "$CARE_LOGS/pids"
    care_say "${#CARE_NODES[@]} nodes (${CARE_NODES[*]}) with $CARE_GPUS GPUs each; logs: $CARE_LOGS"
}

# Ray's workers have the environment of the raylet that starts them, not that of the trainer.
care_environment() {
    export VERL_FILE_LOGGER_PATH=$CARE_LOGS/metrics.jsonl
    export TENSORBOARD_DIR=$CARE_RUN_DIR/tensorboard
    export PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0 VLLM_NO_USAGE_STATS=1
    # Told to stop, a node would otherwise wait half a minute for the work that is left on it.
    export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0
}

care_saved_step() { # the step of the newest checkpoint, by verl's tracker
    cat "$CARE_CHECKPOINTS/latest_checkpointed_iteration.txt" 2>/dev/null || echo none
}

# ---- Steps --------------------------------------------------------------------------------------

care_srun() { # node,node,... then options of srun and the command
    (care_become_srun "$@")
}

care_become_srun() {
    local nodes options
    IFS=, read -ra nodes <<<"$1"
    read -ra options <<<"${CARE_SRUN:-}"
    # --overlap: Ray's step holds all CPUs and GPUs already.
    exec srun --overlap --nodelist="$1" --nodes="${#nodes[@]}" --ntasks="${#nodes[@]}" \
        --ntasks-per-node=1 --cpus-per-task="${SLURM_CPUS_ON_NODE:-1}" \
        "${options[@]}" "${@:2}"
}

care_start() { # name, nodes, log file, command: a step in the background, its srun in CARE_STEP
    # shellcheck disable=SC2016  # expanded on the nodes
    care_become_srun "$2" --output="$CARE_LOGS/$3" --kill-on-bad-exit=1 --input=none \
        bash -c 'echo $$ >"$0.$SLURMD_NODENAME"; exec "$@"' "$CARE_LOGS/pids/$1" "${@:4}" &
    CARE_STEP=$!
}

care_signal() { # signal, name, nodes: to the processes that care_start started there
    # shellcheck disable=SC2016
    care_srun "$3" bash -c 'kill -s "$0" "$(<"$1.$SLURMD_NODENAME")"' \
        "$1" "$CARE_LOGS/pids/$2" 2>/dev/null || true # some may have ended already
}

care_joined() { # words -> word,word
    local IFS=,
    echo "$*"
}

care_runs() { # srun's process id
    kill -0 "$1" 2>/dev/null
}

care_wait_until_ended() { # srun's process id; false when time is up
    local end=$((SECONDS + ${CARE_STOP_TIMEOUT_S:-60}))
    while care_runs "$1"; do
        ((SECONDS < end)) || return 1
        sleep 0.5
    done
}

care_end() { # signal, name, nodes, srun's process id: a step, by force where it takes too long
    care_signal "$1" "$2" "$3"
    care_wait_until_ended "$4" && return
    care_say "$2 did not stop within ${CARE_STOP_TIMEOUT_S:-60} s and is killed"
    care_signal KILL "$2" "$3"
    kill -s KILL "$4" 2>/dev/null || true
}

care_supervise() { # name, nodes, srun's process id: its exit status; interrupted where need be
    while care_runs "$3"; do
        if [[ -n $CARE_SIGNAL ]]; then
            care_say "SIG$CARE_SIGNAL: interrupting $1"
            care_end INT "$@"
        elif ! care_ray_is_whole; then
            care_end INT "$@"
            wait "$3" || return
            return 1
        else
            sleep 0.5
        fi
    done
    wait "$3"
}

# ---- The first node's address -------------------------------------------------------------------

care_find_head() { # -> CARE_HEAD_ADDRESS: the one under the node's own name, else its first
    CARE_HEAD_ADDRESS=${CARE_HEAD_ADDRESS:-$(care_addresses_of_head | head -n 1)}
    [[ -n $CARE_HEAD_ADDRESS ]] ||
        care_refuse "$CARE_HEAD has no address but loopback; set CARE_HEAD_ADDRESS"
    care_say "first node: $CARE_HEAD, $CARE_HEAD_ADDRESS:$CARE_PORT"
}

care_addresses_of_head() { # IPv4, without loopback
    # shellcheck disable=SC2016
    care_srun "$CARE_HEAD" bash -c '{ getent ahostsv4 "$SLURMD_NODENAME"; hostname -I; } || true' |
        tr ' ' '\n' | grep -E '^[0-9]+(\.[0-9]+){3}$' | grep -v '^127\.' || true
}

# ---- Ray ----------------------------------------------------------------------------------------

care_start_ray() { # on all nodes; does not return where they do not come together
    local node
    care_find_head
    care_make_token
    CARE_RAY_ADDRESS=$CARE_HEAD_ADDRESS:$CARE_PORT
    CARE_RAY_FOLDER=${CARE_RAY_DIR:-/tmp}/care-ray-$SLURM_JOB_ID
    care_ray_step "$CARE_HEAD" --head --node-ip-address="$CARE_HEAD_ADDRESS" --port="$CARE_PORT" \
        --include-dashboard=false --ray-client-server-port=$((CARE_PORT + 1))
    care_wait_for_ray "$CARE_HEAD"
    for node in "${CARE_NODES[@]:1}"; do
        care_ray_step "$node" --address="$CARE_RAY_ADDRESS"
    done
    care_wait_for_ray "${CARE_NODES[@]}"
}

care_ray_step() { # node, options of `ray start`
    care_start ray "$1" "ray-$1.log" ray start --block --node-name="$1" \
        --temp-dir="$CARE_RAY_FOLDER" --num-gpus="$CARE_GPUS" \
        --num-cpus="${SLURM_CPUS_ON_NODE:-1}" \
        --node-manager-port=$((CARE_PORT + 2)) --object-manager-port=$((CARE_PORT + 3)) \
        --dashboard-agent-listen-port=$((CARE_PORT + 4)) \
        --dashboard-agent-grpc-port=$((CARE_PORT + 5)) \
        --runtime-env-agent-port=$((CARE_PORT + 6)) --metrics-export-port=$((CARE_PORT + 7)) \
        --min-worker-port=10002 --max-worker-port=19999 "${@:2}"
    CARE_RAY_STEPS+=("$CARE_STEP")
}

care_make_token() { # for this job: without it Ray talks to nobody
    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$CARE_LOGS/ray-token
    (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH")
}

care_ray_is_whole() { # false, and says so, when Ray has ended on a node
    local number
    for number in "${!CARE_RAY_STEPS[@]}"; do
        if ! care_runs "${CARE_RAY_STEPS[number]}"; then
            care_say "Ray ended on ${CARE_NODES[number]}: $CARE_LOGS/ray-${CARE_NODES[number]}.log"
            return 1
        fi
    done
}

care_wait_for_ray() { # nodes that are to be there
    local status=0
    care_start gate "$CARE_HEAD" gate.log python "$CARE_SCRIPTS/gate.py" "$CARE_RAY_ADDRESS" \
        --gpus "$CARE_GPUS" --timeout "${CARE_GATE_TIMEOUT_S:-300}" "$@"
    care_supervise gate "$CARE_HEAD" "$CARE_STEP" || status=$?
    tail -n 1 "$CARE_LOGS/gate.log" >&2
    if ((status)); then
        care_say "training was not started; logs: $CARE_LOGS"
        exit 3
    fi
}

care_stop_ray() { # on all nodes; its logs come to the run's folder, its folder goes
    ((${#CARE_RAY_STEPS[@]})) || return 0
    local number nodes steps=("${CARE_RAY_STEPS[@]}")
    nodes=$(care_joined "${CARE_NODES[@]:0:${#steps[@]}}")
    CARE_RAY_STEPS=()
    care_signal TERM ray "$nodes"
    for number in "${!steps[@]}"; do
        care_wait_until_ended "${steps[number]}" ||
            care_end KILL ray "${CARE_NODES[number]}" "${steps[number]}"
    done
    # shellcheck disable=SC2016
    care_srun "$nodes" bash -c 'mkdir -p "$1/$SLURMD_NODENAME" &&
        cp -r "$0"/session_[0-9]*/logs/. "$1/$SLURMD_NODENAME"' \
        "$CARE_RAY_FOLDER" "$CARE_LOGS/ray" || care_say "Ray's logs were not copied from every node"
    care_srun "$nodes" rm -rf "$CARE_RAY_FOLDER" || care_say "$CARE_RAY_FOLDER is left somewhere"
    rm -f "$RAY_AUTH_TOKEN_PATH"
    care_say "Ray is stopped on $nodes"
}
CARE_RAY_STEPS=()

# ---- What the scripts do ------------------------------------------------------------------------

care_main_ppo() { # overrides: trains on a Ray cluster of all nodes; does not return
    local status=0
    care_start_ray
    care_start train "$CARE_HEAD" train.log env RAY_ADDRESS="$CARE_RAY_ADDRESS" \
        python -m verl.trainer.main_ppo "${CARE_OVERRIDES[@]}" "$@"
    care_supervise train "$CARE_HEAD" "$CARE_STEP" || status=$?
    care_say "training ended with status $status; log: $CARE_LOGS/train.log"
    care_stop_ray
    care_requeue_or_exit "$status"
}

care_sft() { # overrides: torchrun on every node; does not return
    local nodes status=0
    care_find_head
    nodes=$(care_joined "${CARE_NODES[@]}")
    # Ranks and the store's host are given: torchrun itself would look for the head's address among
    # those of the node's name, and nobody would be the host where that is another network's.
    # It would also leave a log folder in each node's /tmp.
    # shellcheck disable=SC2016
    care_start train "$nodes" train-%N.log \
        bash -c 'exec torchrun --node-rank="$SLURM_NODEID" "$@"' torchrun \
        --nnodes="${#CARE_NODES[@]}" --nproc-per-node="$CARE_GPUS" \
        --master-addr="$CARE_HEAD_ADDRESS" --master-port="$CARE_PORT" --log-dir=/dev/null \
        -m verl.trainer.sft_trainer "${CARE_OVERRIDES[@]}" "$@"
    care_supervise train "$nodes" "$CARE_STEP" || status=$?
    care_say "training ended with status $status; logs: $CARE_LOGS/train-*.log"
    care_requeue_or_exit "$status"
}

care_requeue_or_exit() { # status
    if (($1 == 0)) || [[ $CARE_SIGNAL != USR1 ]]; then
        exit "$1"
    fi
    if [[ $(care_saved_step) == "$CARE_FIRST_STEP" ]]; then
        care_say "not requeued: no checkpoint was completed since the start (newest:" \
            "$CARE_FIRST_STEP). Lower trainer.save_freq, or give the job more time"
        exit "$1"
    fi
    care_say "requeueing; the run goes on from step $(care_saved_step)"
    scontrol requeue "$SLURM_JOB_ID" || care_refuse "requeueing failed; start the job again with" \
        "CARE_RUN_DIR=$CARE_RUN_DIR"
    exit 0
}
