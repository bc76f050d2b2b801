# Sourced by tools/test, tools/demo, tools/policylab and tools/bench: installs what a build needs, configures and builds a preset.
# Needs bash and what a bare Debian has. All messages go to standard error.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What stops CMake when one of these is missing names it too.
packages=(
  g++ cmake ninja-build ccache pkg-config liburing-dev libfmt-dev libspdlog-dev nlohmann-json3-dev  # the library
  libcli11-dev redis-server redis-tools                                          # programs, and what they are measured by
  libgtest-dev libgmock-dev librapidcheck-dev                                    # tests
  libbenchmark-dev libasio-dev                                                   # benchmarks
)
packages_clang=(clang-19 libclang-rt-19-dev)

say() { printf 'heirloop: %s\n' "$*" >&2; }

# install_missing PACKAGE...: installs those that are not there. When all are, it costs one dpkg-query.
install_missing() {
  if ! command -v dpkg-query >/dev/null; then
    say "this is no Debian, so nothing is installed; CMake will say what is missing"
    return
  fi
  local package state
  local -A installed=()
  while read -r state package; do
    if [[ $state == ?i ]]; then installed[$package]=1; fi
  done < <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null)
  local missing=()
  for package in "$@"; do
    if [[ ! -v installed[$package] ]]; then missing+=("$package"); fi
  done
  if ((${#missing[@]} == 0)); then return; fi

  local as_root=()
  if ((EUID != 0)); then
    as_root=(sudo)
    if [[ ! -t 0 ]]; then as_root+=(-n); fi
    if ! command -v sudo >/dev/null || ! "${as_root[@]}" true; then
      say "packages are missing, and neither root nor sudo is at hand. As root:" \
          "apt-get install --no-install-recommends ${missing[*]}"
      exit 1
    fi
  fi
  say "installing ${missing[*]}"
  local log
  log=$(mktemp)
  if ! "${as_root[@]}" bash -c "$(declare -f apt_install); apt_install \"\$@\"" apt_install "${missing[@]}" \
      >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    rm -f "$log"
    say "apt-get could not install these packages (its output is above): ${missing[*]}"
    exit 1
  fi
  rm -f "$log"
}

# Runs as root. Redis is wanted as a program to measure against, not as a service: while apt runs, nothing may start
# services (a policy that is there already is left alone), and afterwards it is not enabled either.
apt_install() {
  local policy=/usr/sbin/policy-rc.d
  export DEBIAN_FRONTEND=noninteractive
  if [[ ! -e $policy && " $* " == *" redis-server "* ]]; then
    trap "rm -f $policy" EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  # A list that cannot be fetched matters only if the installation then fails.
  apt-get -q update -o DPkg::Lock::Timeout=300 || true
  apt-get -q install -y --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" || return
  if [[ " $* " == *" redis-server "* ]]; then update-rc.d redis-server disable || true; fi
}

# build_preset NAME [-D<variable>=<value>...] [TARGET...]: configures build/NAME if that is due, then builds.
build_preset() {
  local name=$1 dir=$root/build/$1 configure=() targets=() argument due='' fresh=()
  shift
  for argument; do
    if [[ $argument == -D* ]]; then configure+=("$argument"); else targets+=("$argument"); fi
  done
  # ccache keeps its files in the home directory; where there is none, here.
  if [[ -z ${CCACHE_DIR:-} && ! -w ${HOME:-/nonexistent} ]]; then export CCACHE_DIR=$root/build/.ccache; fi

  local cache=$dir/CMakeCache.txt stamp=$dir/.presets
  if [[ ! -f $dir/build.ninja ]] || ! cmp -s "$stamp" "$root/CMakePresets.json"; then due=1; fi
  for argument in "${configure[@]}"; do
    if ! grep -qs "^${argument#-D}$" <(sed 's/:[A-Z]*=/=/' "$cache" 2>/dev/null); then due=1; fi
  done
  if [[ -f $cache ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$cache"; then  # the tree was moved
    due=1
    fresh=(--fresh)
  fi
  if [[ -n $due ]]; then
    say "configuring build/$name"
    (cd "$root" && cmake --preset "$name" "${fresh[@]}" "${configure[@]}" --log-level=NOTICE) >&2 || return
    cp "$root/CMakePresets.json" "$stamp"
  fi
  cmake --build "$dir" --parallel "$(nproc)" ${targets[@]+--target "${targets[@]}"} >&2
}
