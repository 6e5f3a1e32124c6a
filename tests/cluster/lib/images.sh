# shellcheck shell=bash
# Images without a registry to pull from: built from nothing but staged files.

verify="--tls-verify=false"

run_buildah() {
  buildah --root "$cache/buildah" --runroot /run/modelwright-buildah --storage-driver "$(buildah_driver)" "$@"
}

# Plain copies work everywhere; overlays save a copy of each image where the
# kernel and the disk have them.
buildah_driver() {
  printf '%s\n' "${MODELWRIGHT_BUILDAH_DRIVER:-overlay}"
}

# A hash of what an image is made of: arguments, names, modes, links, bytes.
content_hash() {
  local containerfile="$1" context="$2"
  {
    printf '%s\n' "${build_arguments[@]}"
    cat "$containerfile"
    tar --create --directory="$context" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
      --format=gnu .
  } | sha256sum | cut -c1-16
}

# build_image REFERENCE CONTAINERFILE CONTEXT, with `build_arguments`. A base
# may be in the cluster's registry, which has no TLS.
build_arguments=()
build_image() {
  local reference="$1" containerfile="$2" context="$3" argument arguments=()
  for argument in "${build_arguments[@]}"; do arguments+=(--build-arg "$argument"); done
  run_buildah bud --quiet "$verify" --isolation chroot --layers=false --timestamp 0 "${arguments[@]}" \
    --tag "$reference" --file "$containerfile" "$context" >/dev/null
}

stage_busybox() {
  local applet
  mkdir -p "$1"/{bin,etc,tmp,home}
  chmod 1777 "$1/tmp"
  cp /bin/busybox "$1/bin/busybox"
  while read -r applet; do
    [[ $applet == busybox ]] || ln -s busybox "$1/bin/$applet"
  done < <(/bin/busybox --list)
  "$here/../../images/users" "$1"
}

# The images that must be on the node before its registry can serve any.
locate_node_images() {
  pause_image="localhost/modelwright/pause:$(node_image_hash pause)"
  coredns_image="localhost/modelwright/coredns:$(node_image_hash coredns)"
  pause_archive="$programs_cache/image-pause-${pause_image##*:}.tar"
  coredns_archive="$programs_cache/image-coredns-${coredns_image##*:}.tar"
}

# The path of a built program holds the hash of all that made it.
node_image_hash() {
  { cat "$here/images/$1/Containerfile" && readlink -f "$bin/$1"; } | sha256sum | cut -c1-16
}

build_node_images() {
  locate_node_images
  build_node_image pause "$pause_image" "$pause_archive"
  build_node_image coredns "$coredns_image" "$coredns_archive"
}

build_node_image() {
  local name="$1" image="$2" archive="$3" staged
  [[ ! -e $archive ]] || return 0
  say "building the image of $name"
  staged="$(mktemp -d)"
  cp -L "$bin/$name" "$staged/$name"
  build_image "$image" "$here/images/$name/Containerfile" "$staged"
  rm -rf "$staged" "$archive.part"
  run_buildah push --quiet "$image" "docker-archive:$archive.part:$image"
  run_buildah rmi --force "$image" >/dev/null
  mv "$archive.part" "$archive"
}

registry_has() {
  skopeo inspect --raw "$verify" "docker://$1" >/dev/null 2>&1
}

# push_image NAME CONTAINERFILE CONTEXT [TAG]: sets `pushed` to the reference
# whose tag is the content's hash. Another tag, if asked for, follows it.
push_image() {
  local name="$1" containerfile="$2" context="$3" tag="${4:-}"
  pushed="$registry/$name:$(content_hash "$containerfile" "$context")"
  if ! registry_has "$pushed"; then
    build_image "$pushed" "$containerfile" "$context"
    run_buildah push --quiet "$verify" "$pushed" "docker://$pushed"
    run_buildah rmi --force "$pushed" >/dev/null
  fi
  if [[ -n $tag ]]; then
    skopeo copy --quiet --src-"${verify#--}" --dest-"${verify#--}" "docker://$pushed" "docker://$registry/$name:$tag"
  fi
}

# With CLUSTER=current, images go to the registry that the user names.
use_registry() {
  if uses_current_cluster; then
    registry="${IMAGES:-}"
    verify="--tls-verify=${IMAGES_TLS_VERIFY:-true}"
    [[ -n $registry ]] || fail "CLUSTER=current also needs IMAGES, a registry that you may push to and the cluster pulls from"
  else
    registry_answers >/dev/null || fail "no registry answers at $registry: run tests/cluster/up first"
  fi
}

provide_busybox() {
  local staged
  staged="$(mktemp -d)"
  stage_busybox "$staged"
  push_image tests/busybox "$here/images/busybox/Containerfile" "$staged" 1
  rm -rf "$staged"
}
