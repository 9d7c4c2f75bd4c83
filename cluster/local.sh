#!/usr/bin/env bash
# Purpose:  several Ray nodes on this machine, to try out what a cluster does; Linux only.
# Command:  cluster/local.sh up 2      then   cluster/local.sh status      and at the end   cluster/local.sh down
#
# Every node has an address of its own (127.0.0.2, .3, ...), so Ray takes each for a host. Whoever connects needs the
# token in the cluster's folder, and the dashboard answers on 127.0.0.1 alone. `down` ends the processes that `up`
# started and no others, by their recorded ids; `ray stop` would end every Ray on the machine.
set -euo pipefail

FOLDER="${LSTM_TUNE_CLUSTER:-/tmp/lstm-tune-cluster-$(id -u)}"
PORT="${LSTM_TUNE_PORT:-6390}"
DASHBOARD_PORT="${LSTM_TUNE_DASHBOARD_PORT:-8265}"
CPUS="${LSTM_TUNE_CPUS:-1}"
HEAD="127.0.0.2"
STARTED_WITHIN_S=300
STOPPED_WITHIN_S=15

usage() {
  cat <<TEXT
Several Ray nodes on this machine, to try out what a cluster does.

  cluster/local.sh up [NODES] [GPUS]   start NODES nodes (default 2), each with GPUs logical GPUs (default 0)
  cluster/local.sh status              what the cluster has and what it is doing
  cluster/local.sh down                end what up started

Logical GPUs are numbers to Ray: trials are placed by them, but there is no device behind them.

Environment:
  LSTM_TUNE_CLUSTER         folder of token, process ids and logs   ($FOLDER)
  LSTM_TUNE_PORT            port of the head                        ($PORT)
  LSTM_TUNE_DASHBOARD_PORT  port of dashboard and jobs on 127.0.0.1 ($DASHBOARD_PORT); the next is every node's own
  LSTM_TUNE_CPUS            CPUs that each node offers              ($CPUS)
TEXT
}

fail() {
  printf 'cluster/local.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

check_number() { # what it is, the value
  [[ "$2" =~ ^[0-9]+$ ]] || fail "$1 must be a whole number, got '$2'. See cluster/local.sh --help" 2
}

write_token() {
  [[ -s "$FOLDER/token" ]] && return
  (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$FOLDER/token")
}

use_token() {
  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$FOLDER/token" RAY_USAGE_STATS_ENABLED=0
  unset RAY_AUTH_TOKEN RAY_ADDRESS
}

# `ray start --block` ends the processes of its node when it is terminated; in a session of its own, Ctrl-C spares it.
start_node() { # its number from 0, further arguments of `ray start`
  local number="$1" address
  shift
  address="127.0.0.$((number + 2))"
  setsid ray start --block --node-ip-address="$address" --num-cpus="$CPUS" --disable-usage-stats \
    --dashboard-agent-listen-port="$((DASHBOARD_PORT + 1))" "$@" >"$FOLDER/node-$number.log" 2>&1 </dev/null &
  printf '%s\n' "$!" >"$FOLDER/node-$number.pid"
}

is_ours() { # a process id: one that this cluster recorded, and not a later process with the same number
  tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -q -- 'ray start --block --node-ip-address=127\.0\.0\.'
}

count_nodes() {
  { timeout 20 ray status --address="$HEAD:$PORT" 2>/dev/null || true; } | grep -c ' 1 node_' || true
}

wait_for_nodes() { # how many
  local deadline=$((SECONDS + STARTED_WITHIN_S)) file
  until (($(count_nodes) >= $1)); do
    for file in "$FOLDER"/node-*.pid; do
      is_ours "$(<"$file")" && continue
      tail -n 20 "${file%.pid}.log" >&2
      fail "a node ended before it was up; its log is ${file%.pid}.log"
    done
    ((SECONDS < deadline)) || fail "the nodes did not come within $STARTED_WITHIN_S s; their logs are in $FOLDER"
    sleep 1
  done
}

up() {
  local nodes="${1:-2}" gpus="${2:-0}" number
  check_number NODES "$nodes"
  check_number GPUS "$gpus"
  ((nodes >= 1 && nodes <= 200)) || fail "NODES must be 1 to 200, got $nodes" 2
  command -v ray >/dev/null || fail "there is no 'ray' in PATH: activate the environment that has lstm-tune"
  compgen -G "$FOLDER/node-*.pid" >/dev/null && fail "a cluster is up already in $FOLDER: cluster/local.sh down"
  (umask 077 && mkdir -p "$FOLDER")
  [[ -O "$FOLDER" && ! -L "$FOLDER" ]] ||
    fail "$FOLDER belongs to somebody else: name another folder in LSTM_TUNE_CLUSTER"
  write_token
  use_token
  trap 'down >/dev/null' EXIT # also at a failure and at Ctrl-C
  start_node 0 --head --port="$PORT" --dashboard-host=127.0.0.1 --dashboard-port="$DASHBOARD_PORT" \
    --num-gpus="$gpus" --temp-dir="$FOLDER/ray"
  wait_for_nodes 1
  for ((number = 1; number < nodes; number++)); do # one by one: Ray gives up on a node that takes 30 s to come up
    start_node "$number" --address="$HEAD:$PORT" --num-gpus="$gpus"
    wait_for_nodes "$((number + 1))"
  done
  trap - EXIT
  cat <<TEXT
$nodes nodes are up. To talk to them from a shell:

  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$FOLDER/token
  ray status --address=$HEAD:$PORT
  ray job list --address=http://127.0.0.1:$DASHBOARD_PORT      # needs "lstm-tune[cluster]"
TEXT
}

end_process() { # its id: asked to end, then forced to
  local deadline=$((SECONDS + STOPPED_WITHIN_S))
  kill -TERM "$1" 2>/dev/null || return 0
  while is_ours "$1"; do
    if ((SECONDS >= deadline)); then
      kill -KILL -- "-$1" 2>/dev/null || true
      return
    fi
    sleep 0.2
  done
}

down() {
  local file pid
  compgen -G "$FOLDER/node-*.pid" >/dev/null || { echo "no cluster is up in $FOLDER" && return; }
  while read -r file; do # workers first, so that they leave an orderly head
    pid="$(<"$file")"
    if is_ours "$pid"; then end_process "$pid"; fi
    rm -f "$file"
  done < <(printf '%s\n' "$FOLDER"/node-*.pid | sort -rV)
  rm -rf "$FOLDER/ray" "$FOLDER/token"
  echo "the cluster in $FOLDER is down"
}

status() {
  compgen -G "$FOLDER/node-*.pid" >/dev/null || fail "no cluster is up in $FOLDER"
  use_token
  timeout 30 ray status --address="$HEAD:$PORT" || fail "the head does not answer; its log is $FOLDER/node-0.log"
}

case "${1:-}" in
  up) up "${@:2}" ;;
  down) down ;;
  status) status ;;
  -h | --help | help) usage ;;
  *) usage >&2 && exit 2 ;;
esac
