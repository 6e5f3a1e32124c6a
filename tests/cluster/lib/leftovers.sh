# shellcheck shell=bash
# Ending a cluster, whole or in pieces: each step takes what it finds, so that
# the same steps clean up after a run that was killed.

# Every process in a pod is in a group below the cluster's.
pod_processes() {
  local folder
  while read -r folder; do
    [[ -d $folder ]] || continue
    find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done < <(pod_groups) | sort -u
}

no_pod_processes() {
  [[ -z "$(pod_processes)" ]]
}

kill_pod_processes() {
  local process
  while read -r process; do
    kill -s KILL "$process" 2>/dev/null || true
  done < <(pod_processes)
  no_pod_processes
}

# Programs whose pid file is lost; a person's own shell in the namespace is not
# among them.
stray_programs() {
  local process
  [[ -e /run/netns/$namespace ]] || return 0
  while read -r process; do
    if [[ "$(readlink "/proc/$process/exe")" == "$programs_cache"/* ]]; then
      printf '%s\n' "$process"
    fi
  done < <(ip netns pids "$namespace")
}

# Succeeds once nothing is left of what a command lists.
kill_all_of() { # LIST
  local process
  while read -r process; do
    kill -s KILL "$process" 2>/dev/null || true
  done < <("$1")
  [[ -z "$("$1")" ]]
}

kill_stray_programs() {
  kill_all_of stray_programs
}

# The shims name this cluster's socket, which no other process does.
shims() {
  pids_with_words -address "$containerd_socket"
}

kill_shims() {
  kill_all_of shims
}

# The deepest mounts come last in the list, and go first.
unmount_below() {
  local target
  while read -r target; do
    umount --lazy "$(printf '%b' "$target")" 2>/dev/null || true
  done < <(awk -v below="$1/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | tac)
}

remove_pod_groups() {
  local folder
  while read -r folder; do
    [[ ! -d $folder ]] || find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done < <(pod_groups)
}

# The kubelet links each log of a container here and leaves the links behind.
remove_log_links() {
  local link
  for link in /var/log/containers/*.log; do
    if [[ -L $link && "$(readlink "$link")" == "$state"/* ]]; then
      rm -f "$link"
    fi
  done
}

end_cluster() {
  stop_programs 10 kubelet kube-proxy kube-scheduler kube-controller-manager
  wait_until 20 kill_pod_processes || fail "these processes of pods do not end: $(pod_processes | xargs)"
  wait_until 10 kill_shims || fail "these shims do not end: $(shims | xargs)"
  # Nothing of the API's state is kept, so that a server that is still closing
  # its watches after this time may be killed.
  stop_programs 5 kube-apiserver containerd registry
  stop_programs 5 etcd
  wait_until 10 kill_stray_programs || fail "these programs do not end: $(stray_programs | xargs)"
  unmount_below "$runtime_state"
  unmount_below "$state"
  # What follows removes files: a folder of somebody else must not be among them.
  ! grep -qF -e " $state/" -e " $runtime_state/" /proc/self/mountinfo ||
    fail "these mounts do not go away: $(grep -F -e " $state/" -e " $runtime_state/" /proc/self/mountinfo | cut -d' ' -f5 | xargs)"
  remove_pod_groups
  remove_network
  remove_log_links
  rm -rf --one-file-system "$runtime_state"
  # All but what the next `up` uses again.
  if [[ -d $state ]]; then
    find "$state" -mindepth 1 -maxdepth 1 ! -name registry -exec rm -rf --one-file-system {} +
  fi
}
