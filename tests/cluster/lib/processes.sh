# shellcheck shell=bash
# Starting and ending the cluster's programs. A program is known by its pid and
# the moment it started, because the system gives a pid to another in time.

# Field 22 of stat, counted from behind the name, which may contain anything.
# A process that ended and was not yet waited for has no moment any more.
start_moment() {
  local line fields
  line="$(cat "/proc/$1/stat" 2>/dev/null)" || return 1
  read -ra fields <<<"${line##*) }"
  [[ ${fields[0]} != [ZX] ]] || return 1
  printf '%s\n' "${fields[19]}"
}

# start_program NAME COMMAND...: in the node's namespace, in the background.
start_program() {
  local name="$1" pid
  shift
  mkdir -p "$logs" "$runtime_state/pids"
  setsid nsenter --net="/run/netns/$namespace" -- "$@" \
    </dev/null >>"$logs/$name.log" 2>&1 8>&- 9>&- &
  pid=$!
  disown "$pid"
  printf '%s %s\n' "$pid" "$(start_moment "$pid" || echo gone)" >"$runtime_state/pids/$name"
}

program_runs() {
  local pid moment
  [[ -e $runtime_state/pids/$1 ]] || return 1
  read -r pid moment <"$runtime_state/pids/$1"
  [[ "$(start_moment "$pid")" == "$moment" ]]
}

# Prints the end of a program's log, and ends the command.
fail_program() {
  local name="$1" why="$2"
  {
    printf '%s: %s\n' "$name" "$why"
    printf -- '--- the end of %s\n' "$logs/$name.log"
    tail -n 40 "$logs/$name.log" 2>/dev/null | cut -c1-400
    printf -- '---\n'
  } >&2
  fail "the cluster '$cluster' did not come up: $name $why"
}

# wait_for_program SECONDS NAME COMMAND...: until the command succeeds. What is
# waited for may hang on another program, so that the first that ended is named.
wait_for_program() {
  local seconds="$1" name="$2" until=$((SECONDS + $1))
  shift 2
  until "$@" >/dev/null 2>&1; do
    fail_ended_program
    ((SECONDS < until)) || fail_program "$name" "was not ready after $seconds s"
    sleep 0.1
  done
}

fail_ended_program() {
  local file
  for file in "$runtime_state"/pids/*; do
    program_runs "${file##*/}" || fail_program "${file##*/}" "ended"
  done
}

signal_program() {
  local pid moment
  program_runs "$2" || return 0
  read -r pid moment <"$runtime_state/pids/$2"
  kill -s "$1" "$pid" 2>/dev/null || true
}

programs_ended() {
  local name
  for name in "$@"; do
    ! program_runs "$name" || return 1
  done
}

# stop_programs SECONDS NAME...: asks all at once, waits for all, then kills.
stop_programs() {
  local seconds="$1" name
  shift
  for name in "$@"; do signal_program TERM "$name"; done
  if ! wait_until "$seconds" programs_ended "$@"; then
    for name in "$@"; do signal_program KILL "$name"; done
    wait_until 10 programs_ended "$@" || fail "some of these do not end: $*"
  fi
  for name in "$@"; do rm -f "$runtime_state/pids/$name"; done
}

# Pids whose command line holds every one of the given words.
pids_with_words() {
  local folder words word
  for folder in /proc/[0-9]*; do
    words=" $(tr '\0' ' ' <"$folder/cmdline" 2>/dev/null || true) "
    for word in "$@"; do
      [[ $words == *" $word "* ]] || continue 2
    done
    printf '%s\n' "${folder#/proc/}"
  done
}
