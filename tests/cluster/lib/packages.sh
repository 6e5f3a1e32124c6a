# shellcheck shell=bash
# What the cluster takes from Debian: a command or a file, and the package that
# has it. A command that comes from elsewhere serves as well.

debian_packages() {
  cat <<'LIST'
runc runc
/usr/lib/cni/bridge containernetworking-plugins
nft nftables
iptables iptables
buildah buildah
skopeo skopeo
/bin/busybox busybox-static
openssl openssl
nsenter util-linux
flock util-linux
curl curl
jq jq
ip iproute2
/etc/ssl/certs/ca-certificates.crt ca-certificates
LIST
}

# Not every user's path has the administrator's commands.
export PATH="$PATH:/usr/sbin:/sbin"

install_packages() {
  local needed package missing=()
  while read -r needed package; do
    [[ -e $needed ]] || command -v "$needed" >/dev/null || missing+=("$package")
  done < <(debian_packages)
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null ||
    fail "these are missing, and there is no apt-get to install them: ${missing[*]}"
  require_root
  say "installing from Debian: ${missing[*]}"
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null
}
