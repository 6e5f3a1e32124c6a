# shellcheck shell=bash
# Proofs: `prove WHAT COMMAND...` prints a line `ok` or `FAILED`; the command's
# output is shown only with the latter.

failures=0
proofs=0

prove() {
  local what="$1" started=$SECONDS output status
  shift
  proofs=$((proofs + 1))
  # Not in a condition: within one, bash ignores `set -e`, and only a proof's
  # last command would count.
  set +e
  output="$(set -euo pipefail && "$@" 2>&1)"
  status=$?
  set -e
  if ((status == 0)); then
    printf 'ok      %s (%s s)\n' "$what" "$((SECONDS - started))"
  else
    failures=$((failures + 1))
    printf 'FAILED  %s (%s s)\n' "$what" "$((SECONDS - started))"
    tail -n 20 <<<"$output" | sed 's/^/        /'
  fi
}

refuses() {
  local expected="$1" output
  shift
  if output="$("$@" 2>&1)"; then
    echo "was allowed: $*"
    return 1
  fi
  grep -qF -- "$expected" <<<"$output" || {
    echo "was refused, but not for '$expected': $output"
    return 1
  }
}
