# shellcheck shell=bash
# Root file systems with Debian's Python 3.11 and packages of pinned
# requirements. Sourced, after tests/lib.sh; sets `packages`.

readonly suite=bookworm
readonly python=usr/bin/python3.11
readonly packages=usr/local/lib/python3.11/dist-packages
machine="$(uname -m)"

# Debian as this machine's apt has it; without such sources, from its own mirror.
debian_sources() {
  apt-get indextargets --format "\$(CODENAME) deb \$(SITE) \$(CODENAME) \$(COMPONENT)" \
    'Identifier: Packages' 'Origin: Debian' |
    sed -n "s/^$suite\(-[a-z]*\)\? //p" | sort -u
}

# Unpacks Debian's packages without running their scripts, and takes what runs
# nothing here; licences stay.
make_base() { # DEST PACKAGE...
  local sources include=python3.11-minimal,libpython3.11-stdlib,libgcc-s1,libstdc++6,zlib1g package root="$1"
  shift
  for package in "$@"; do include+=",$package"; done
  sources="$(debian_sources)"
  SOURCE_DATE_EPOCH=0 mmdebstrap --quiet --mode=root --variant=extract \
    --include="$include" \
    "$suite" "$root" ${sources:+"$sources"} >&2
  (
    cd "$root" || exit
    find usr/share -mindepth 1 -maxdepth 1 ! -name doc -exec rm -rf {} +
    find usr/share/doc ! -type d ! -name copyright -delete
    find usr/bin bin sbin usr/sbin -mindepth 1 -maxdepth 1 ! -name 'python3.11' -exec rm -rf {} +
    # What a command of one's own calls it.
    ln -s python3.11 usr/bin/python3
    rm -rf dev/* var/* etc/* run/* usr/lib/*/gconv usr/lib/*/perl-base usr/lib/{apt,dpkg,locale,mime,tmpfiles.d} \
      usr/{games,local,src,include} lib/{systemd,udev}
    rm -rf usr/lib/python3.11/{test,pydoc_data,idlelib,lib2to3,ensurepip,tkinter,turtledemo,config-3.11*}
    mkdir -p tmp var/tmp proc sys usr/local/lib modelwright
    chmod 1777 tmp var/tmp
    printf '%s\n' 'root:x:0:0:root:/:/bin/sh' 'nonroot:x:65532:65532:nonroot:/tmp:/bin/sh' >etc/passwd
    printf '%s\n' 'root:x:0:' 'nonroot:x:65532:' >etc/group
    printf '%s\n' 'hosts: files dns' >etc/nsswitch.conf
  )
}

# The wheels of this machine, whatever its own Python is, without what only
# developers and other file systems need.
add_packages() { # DEST REQUIREMENTS...
  local root="$1" file files=()
  shift
  for file in "$@"; do files+=(--requirement "$file"); done
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile \
    --require-hashes --only-binary=:all: --implementation cp --python-version 3.11 \
    --platform "manylinux_2_28_$machine" --platform "manylinux_2_27_$machine" --platform "manylinux_2_26_$machine" \
    --platform "manylinux2014_$machine" --target "$root/$packages" "${files[@]}"
  (
    cd "$root/$packages" || exit
    rm -rf bin include share
    find . -type d \( -name tests -o -name include \) -prune -exec rm -rf {} +
    find . -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' -o -name '*.hpp' -o -name '*.cpp' \
      -o -name '*.cc' -o -name '*.c' -o -name '*.pyi' -o -name '*.a' \) -delete
    # Of Arrow, what reads CSV and Parquet from files is needed, and what that is linked with.
    rm -rf pyarrow/{src,_flight*,_substrait*,_s3fs*,_gcsfs*,_azurefs*,_hdfs*,_orc*,_dataset*,_json*,_pyarrow_cpp_tests*}
    rm -f pyarrow/libarrow_{flight,s3,python_flight}.so* pyarrow/libarrow_python*.so pyarrow/libarrow_python*.so.*.*.*
    # Of ONNX Runtime, the module that Python loads holds all of the library.
    rm -rf onnxruntime/{tools,datasets} onnxruntime/capi/libonnxruntime.so.* onnx/backend/test
    # Variants are made by all of its quantisation, and by one converter with the files that both load.
    find onnxruntime/transformers -mindepth 1 -maxdepth 1 ! -name __init__.py ! -name float16.py ! -name onnx_utils.py \
      ! -name fusion_utils.py ! -name onnx_model.py -exec rm -rf {} +
    [[ ! -d tensorflow ]] || slim_tensorflow
  )
}

# TensorFlow, without what compiles programs against it and what installs
# packages; symbols for debuggers are a fifth of its libraries. It imports much
# that looks idle (requests, rich, tensorflow/lite, the profiler): that stays.
slim_tensorflow() {
  rm -rf clang tensorflow/xla_aot_runtime_src {setuptools,pkg_resources,_distutils_hack,wheel}{,-[0-9]*} libclang-* distutils-precedence.pth
  find tensorflow -name 'libtensorflow_*.so*' -type f -exec strip --strip-unneeded {} +
}

# Bytes that Python need not write into a root that nobody may write to. They
# are never compared with the sources' times.
compile() { # DEST FOLDER...
  local root="$1"
  shift
  chroot "$root" "/$python" -IB -m compileall -q -j 1 --invalidation-mode unchecked-hash "$@" >&2
}

# Whatever the umask and the time were.
finish() { # DEST
  chmod -R a+rX "$1"
  find "$1" -exec touch --no-dereference --date=@0 {} +
}

# Stages such a root, made once; the same packages make the same bytes. Needs
# root.
stage_python() { # DEST REQUIREMENTS.txt... [DEBIAN-PACKAGE]...
  local destination="$1" pinned=() made scratch
  shift
  while [[ ${1:-} == *.txt ]]; do
    pinned+=("$1")
    shift
  done
  command -v mmdebstrap >/dev/null || fail "needs mmdebstrap: tests/setup installs it"
  [[ $EUID == 0 ]] || fail "needs root, for a root file system"
  # shellcheck disable=SC2154 # tests/lib.sh sets `cache`
  made="$cache/python-root/$machine-$({ cat "${pinned[@]}" "${BASH_SOURCE[0]}" && printf '%s\n' "$@"; } | sha256sum | cut -c1-16)"
  if [[ ! -e $made ]]; then
    scratch="$(mktemp -d "${TMPDIR:-/tmp}/python-root.XXXXXX")"
    # shellcheck disable=SC2064 # the name is of this function
    trap "rm -rf '$scratch'" EXIT
    say "unpacking Debian's Python"
    make_base "$scratch/root" "$@"
    say "installing $(cat "${pinned[@]}" | grep -c '==') Python packages of ${pinned[*]#"$top"/}"
    add_packages "$scratch/root" "${pinned[@]}"
    compile "$scratch/root" /usr/lib/python3.11 "/$packages"
    finish "$scratch/root"
    keep_as "$scratch/root" "$made"
  fi
  rm -rf "$destination"
  mkdir -p "$(dirname "$destination")"
  cp --archive --reflink=auto "$made" "$destination"
}
