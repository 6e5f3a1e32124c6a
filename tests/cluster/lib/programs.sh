# shellcheck shell=bash
# Building the Go programs, each group once for all that made it. A group is a
# module of its own in programs/, so that none picks the versions of another; the
# registry is that of the product's images.

program_groups() {
  printf '%s\n' containerd coredns helm kubeconform kubernetes pause registry versitygw
}

# What only single tests need, and what is built when one asks for it.
other_groups() {
  printf '%s\n' argocd kueue
}

# The version that a group's own module is pinned to, from its go.mod.
module_version() {
  awk -v module="$2" '$1 == module { print $2; exit } $2 == module { print $3; exit }' "$here/programs/$1/go.mod"
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
    cd "$here/programs/$1" || exit
    sha256sum ./*.go go.mod go.sum 2>/dev/null || true
  } | sha256sum | cut -c1-16
}

# What the Go compiler leaves for a next build, which there is not before a version
# changes, is ten times the size of the programs.
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
    cd "$here/programs/$group" || exit
    export CGO_ENABLED=0 GOFLAGS=-mod=readonly GOCACHE="$go_objects"
    if compgen -G '*.go' >/dev/null; then
      go build -buildvcs=false -trimpath -ldflags "-s -w$(linker_flags "$group")" -o "$made.part/bin/$group" .
    else
      go build -buildvcs=false -trimpath -ldflags "-s -w$(linker_flags "$group")" -o "$made.part/bin/" tool
    fi
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
  local group made name checked=""
  locate_programs
  [[ ! -e $bin/.complete ]] || return 0
  mkdir -p "$programs_cache"
  exec 8>"$programs_cache/.lock"
  flock 8
  while read -r group made; do
    [[ -n $group && ! -d $made ]] || continue
    [[ -n $checked ]] || require_disk 10 "building the cluster's programs"
    checked=yes
    build_group "$group" "$made"
  done <<<"$group_folders"
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
