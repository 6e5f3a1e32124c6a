# shellcheck shell=bash
# The programs that send requests. Sourced after tests/lib.sh.

# Prints the path of a Go program of programs/, built once for all checkouts that pin the same.
load_program() { # NAME
  local source="$top/tests/bench/serving/programs/$1" made
  made="$cache/programs/$1-$({ go env GOVERSION GOARCH && cat "$source/go.mod" "$source/go.sum"; } | sha256sum | cut -c1-16)"
  if [[ ! -x $made/$1 ]]; then
    say "building $1"
    rm -rf "$made.part"
    mkdir -p "$made.part"
    (cd "$source" && CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -buildvcs=false -trimpath -ldflags '-s -w' -o "$made.part/" tool) ||
      fail "building $1 failed"
    keep_as "$made.part" "$made"
  fi
  printf '%s\n' "$made/$1"
}
