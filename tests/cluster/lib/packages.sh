# shellcheck shell=bash
# What the cluster takes from Debian, by the file that shows that it is there.

debian_packages() {
  cat <<'LIST'
/usr/sbin/runc runc
/usr/lib/cni/bridge containernetworking-plugins
/usr/lib/cni/host-local containernetworking-plugins
/usr/sbin/nft nftables
/usr/sbin/iptables iptables
/usr/sbin/conntrack conntrack
/usr/bin/buildah buildah
/usr/bin/skopeo skopeo
/usr/bin/socat socat
/bin/busybox busybox-static
/usr/bin/openssl openssl
/usr/bin/nsenter util-linux
/usr/bin/flock util-linux
/usr/bin/curl curl
/usr/bin/jq jq
/sbin/ip iproute2
/etc/ssl/certs/ca-certificates.crt ca-certificates
LIST
}

install_packages() {
  local file package missing=()
  while read -r file package; do
    [[ -e $file ]] || missing+=("$package")
  done < <(debian_packages)
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null ||
    fail "these are missing, and there is no apt-get to install them: ${missing[*]}"
  require_root
  say "installing from Debian: ${missing[*]}"
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null
}
