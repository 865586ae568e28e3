# shellcheck shell=bash
# Says what is going on: messages, and steps that run a command with its output in a log.
# Needs: $state, the folder for logs.
: "${state:?}"

say() { printf 'gamut: %s\n' "$*" >&2; }

die() {
  printf 'gamut: %s\n' "$@" >&2
  exit 1
}

# What a running step shows besides its time: the last line of its log, or what the function named
# in $step_detail prints.
_detail() {
  if [ -n "${step_detail:-}" ]; then "$step_detail"; else tail -n 1 "$1" 2>/dev/null | tr -d '\r'; fi
}

# On a terminal one line that moves, elsewhere a plain line now and then.
_show() {  # what, seconds, log
  local what=$1 seconds=$2 log=$3 line marks="|/-\\"
  if [ -t 2 ]; then
    line="${marks:$((tick % 4)):1} $what, ${seconds} s  $(_detail "$log")"
    printf '\r\033[K%s' "${line:0:$((${COLUMNS:-80} - 1))}" >&2
  elif ((seconds >= next_line)); then
    ((next_line > 2)) && line=": $(_detail "$log")" || line=
    say "$what, ${seconds} s${line:0:100}"
    next_line=$((seconds + 20))
  fi
}

_interrupted() {  # pid, what
  trap '' INT TERM
  kill -- "-$1" 2>/dev/null || true
  wait "$1" || true
  printf '\n' >&2
  say "$2: interrupted. The next call of ./gamut goes on from here."
  exit 130
}

# step NAME "what is done" COMMAND...: runs the command, output to $state/logs/NAME.log, and shows
# progress once it has taken two seconds. Returns the command's status.
step() {
  local what=$2 log="$state/logs/$1.log" start=$SECONDS tick=0 next_line=2 status=0 pid
  shift 2
  mkdir -p "$state/logs"
  [ ! -t 2 ] || COLUMNS=$(tput cols 2>/dev/null || echo 80)
  set -m # a process group of its own, so that an interruption ends all of it
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  set +m
  trap '_interrupted "$pid" "$what"' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.1
    tick=$((tick + 1))
    ((SECONDS - start < 2)) || _show "$what" $((SECONDS - start)) "$log"
  done
  wait "$pid" || status=$?
  trap - INT TERM
  if ((SECONDS - start >= 2)); then
    [ ! -t 2 ] || printf '\r\033[K' >&2
    ((status != 0)) || say "$what: done in $((SECONDS - start)) s"
  fi
  return "$status"
}

# The part of a step's log that says why it failed.
show_log() {  # name, [pattern of the first line to show]
  local log="$state/logs/$1.log"
  if [ -n "${2:-}" ] && grep -qE "$2" "$log"; then
    awk -v first="$2" '$0 ~ first {shown = 1} shown && ++n <= 60' "$log" >&2
  else
    tail -n 20 "$log" >&2
  fi
  say "all of it: $log"
}
