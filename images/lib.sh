# shellcheck shell=bash
# What the scripts that build images share, and those of the tests with them. Sourced; sets `top` and `cache`.
# shellcheck disable=SC2034 # who sources it reads them

top="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly top
# The cluster's scripts read the same variables.
readonly cache="${MODELWRIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/modelwright}"

say() {
  printf '[%5ss] %s\n' "$SECONDS" "$*" >&2
}

fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# A short hash of files, for names in the cache.
content_of() {
  cat "$@" | sha256sum | cut -c1-16
}

# keep_as MADE PLACE: what is in the cache is complete; who comes second finds
# the first one's.
keep_as() {
  mkdir -p "$(dirname "$2")"
  mv -T "$1" "$2" 2>/dev/null || [[ -d $2 ]] || fail "cannot write $2"
}

# Builds the executables as they are in the images. Together: by itself, each would be built once more, with less of what
# libraries have for the other, and what is measured would not be what ships.
build_executables() {
  cargo build --quiet --locked --release --package modelwright --package modelwright-jobs --package modelwright-serve
}
