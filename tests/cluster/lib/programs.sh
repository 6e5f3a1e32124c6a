# shellcheck shell=bash
# Building the Go programs, each group once for all that made it. A group is a
# module of its own in programs/, so that none picks the versions of another; but
# helm is of Kubernetes' module, of whose packages it is mostly made: they are
# compiled once for both. The registry is that of the product's images.

program_groups() {
  printf '%s\n' containerd coredns helm kubernetes pause registry
}

# What the cluster itself does not need, and what is built when a test asks for it.
other_groups() {
  printf '%s\n' argocd kubeconform kueue versitygw
}

# The folder of a group's module.
module_of() {
  case $1 in
    helm) printf '%s\n' "$here/programs/kubernetes" ;;
    registry) printf '%s\n' "$here/../../images/store" ;;
    *) printf '%s\n' "$here/programs/$1" ;;
  esac
}

# What of the module is built: a main package of our own, or what it names as its tools.
target_of() {
  if [[ $1 != helm ]] && compgen -G "$(module_of "$1")/*.go" >/dev/null; then echo .; else echo tool; fi
}

# The version that a group's module is pinned to, from its go.mod.
module_version() {
  awk -v module="$2" '$1 == module { print $2; exit } $2 == module { print $3; exit }' "$(module_of "$1")/go.mod"
}

linker_flags() {
  local version
  case $1 in
    kubernetes)
      version="$(module_version kubernetes k8s.io/kubernetes)"
      printf ' -X k8s.io/component-base/version.%s' "gitVersion=$version" "gitMajor=1" \
        "gitMinor=$(cut -d. -f2 <<<"$version")" "gitTreeState=clean"
      printf ' -X k8s.io/client-go/pkg/version.gitVersion=%s' "$version"
      ;;
    containerd)
      version="$(module_version containerd github.com/containerd/containerd/v2)"
      printf ' -X github.com/containerd/containerd/v2/version.Version=%s' "${version#v}"
      ;;
    helm)
      printf ' -X helm.sh/helm/v4/internal/version.version=%s' "$(module_version helm helm.sh/helm/v4)"
      ;;
    versitygw)
      printf ' -X main.Version=%s' "$(module_version versitygw github.com/versity/versitygw)"
      ;;
    kubeconform)
      printf ' -X main.version=%s' "$(module_version kubeconform github.com/yannh/kubeconform)"
      ;;
  esac
}

program_names() {
  case $1 in
    containerd) printf '%s\n' containerd containerd-shim-runc-v2 ctr ;;
    argocd) printf '%s\n' argocd-application-controller argocd-repo-server ;;
    kubernetes) printf '%s\n' etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet ;;
    *) printf '%s\n' "$1" ;;
  esac
}

# The flags carry the versions, and the Go version compiles differently.
group_hash() {
  {
    go env GOVERSION GOARCH
    linker_flags "$1"
    cd "$(module_of "$1")" || exit
    sha256sum ./*.go go.mod go.sum 2>/dev/null || true
  } | sha256sum | cut -c1-16
}

# What the Go compiler leaves for a next build, which there is not before a version
# changes once all that the cluster needs is built, is ten times the size of the programs.
readonly go_objects="$programs_cache/.go-objects"

build_group() {
  local group="$1" made="$2" started=$SECONDS name
  # The product's own, which has a builder without a cluster.
  if [[ $group == registry ]]; then
    "$here/../../images/store/program" >/dev/null
    return 0
  fi
  say "building $group"
  rm -rf "$made.part"
  mkdir -p "$made.part/bin"
  (
    local target output="$made.part/bin/"
    target="$(target_of "$group")"
    [[ $target == tool ]] || output+="$group"
    cd "$(module_of "$group")" || exit
    export CGO_ENABLED=0 GOFLAGS=-mod=readonly GOCACHE="$go_objects"
    go build -buildvcs=false -trimpath -ldflags "-s -w$(linker_flags "$group")" -o "$output" "$target"
  ) || fail "building $group failed"
  # These are one program, which does what its name says.
  if [[ $group == argocd ]]; then
    mv "$made.part/bin/cmd" "$made.part/bin/argocd"
  fi
  if [[ $group == argocd || $group == kubernetes ]]; then
    while read -r name; do
      ln -s "$group" "$made.part/bin/$name"
    done < <(program_names "$group")
  fi
  rm -rf "$made"
  mv "$made.part" "$made"
  say "built $group in $((SECONDS - started)) s"
}

# Fetches the sources of groups while the first of them is compiled. What fails here fails again, and is told, where it is built.
fetch_sources() { # GROUP...
  local group
  for group in "$@"; do
    cd "$(module_of "$group")" || return
    GOFLAGS=-mod=readonly go list -deps "$(target_of "$group")" >/dev/null 2>&1 || true
  done
}

# A line for each group on standard input: its name, and the folder of what it makes.
folders_of() {
  local group
  while read -r group; do
    if [[ $group == registry ]]; then
      printf 'registry %s\n' "$("$here/../../images/store/program" --place)"
    else
      printf '%s %s\n' "$group" "$programs_cache/$group-$(group_hash "$group")"
    fi
  done
}

# Sets `bin`, the one folder with a link to each program. Its name comes from
# the groups' hashes, so two checkouts with other versions do not disturb each
# other, and running programs keep their files.
locate_programs() {
  command -v go >/dev/null || fail "needs Go to build the cluster's programs: https://go.dev/doc/install"
  group_folders="$(program_groups | folders_of)"$'\n'
  bin="$programs_cache/all-$(sha256sum <<<"$group_folders" | cut -c1-16)/bin"
}

build_programs() {
  local group made name missing=()
  locate_programs
  [[ ! -e $bin/.complete ]] || return 0
  mkdir -p "$programs_cache"
  exec 8>"$programs_cache/.lock"
  flock 8
  while read -r group made; do
    [[ -z $group || -d $made ]] || missing+=("$group")
  done <<<"$group_folders"
  ((!${#missing[@]})) || require_disk 10 "building the cluster's programs"
  (fetch_sources "${missing[@]:1}") 8>&- &
  while read -r group made; do
    [[ -n $group && ! -d $made ]] || continue
    build_group "$group" "$made"
  done <<<"$group_folders"
  wait $!
  rm -rf "$go_objects"
  rm -rf "${bin%/bin}"
  mkdir -p "$bin"
  while read -r group made; do
    [[ -n $group ]] || continue
    while read -r name; do
      ln -s "$made/bin/$name" "$bin/$name"
    done < <(program_names "$group")
  done <<<"$group_folders"
  touch "$bin/.complete"
  exec 8>&-
}
