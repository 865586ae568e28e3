# shellcheck shell=bash
# What a bare machine needs: packages of the distribution, LibTorch, nvcc, Arrow, and for `lint` the checkers.
# Each part leaves a stamp, a copy of the list it has fulfilled; a part without an equal stamp is
# done again, so that an interrupted set-up is repaired by the next call.
# Needs: $root, $state; progress.sh.
: "${root:?}" "${state:?}"

libtorch_version=2.11.0
libtorch_home="$state/libtorch-$libtorch_version"
lists="$root/third_party"
arrow_home="$state/arrow-26.0.1"
cuda_toolchain_home="$state/cuda_toolchain-13.0"

fulfilled() { [ -r "$2" ] && [ "$(<"$1")" = "$(<"$2")" ]; }

wants_cuda() {
  case ${GAMUT_CUDA:-} in
    1) return 0 ;;
    0) return 1 ;;
    '') [ -e /dev/nvidiactl ] || [ -e /usr/lib/wsl/lib/libcuda.so.1 ] ;;
    *) die "GAMUT_CUDA is \`$GAMUT_CUDA\`; it must be 1 (fetch the CUDA libraries) or 0 (do not)." ;;
  esac
}

# --- Packages of the distribution ---------------------------------------------------------------

missing_packages() {  # list file, "required" or "optional"
  local names
  if [ "$2" = optional ]; then
    names=$(sed -n 's/^? *\([^ ]*\).*/\1/p' "$1")
  else
    names=$(sed -n 's/^\([a-z][^ ]*\).*/\1/p' "$1")
  fi
  # shellcheck disable=SC2086 # a list of words
  dpkg-query -W -f='${Package} ${db:Status-Status}\n' $names 2>/dev/null |
    awk '$2 == "installed" {print $1}' | sort -u >"$state/installed.txt"
  printf '%s\n' "$names" | grep -vxFf "$state/installed.txt" || true
}

# Sets $as_root to what makes a command run as root; fails where nothing does.
become_root() {
  as_root=()
  [ "$(id -u)" != 0 ] || return 0
  command -v sudo >/dev/null || return 1
  as_root=(sudo)
  if [ -t 0 ]; then sudo -v; else sudo -n true 2>/dev/null; fi
}

install_packages() {  # list file
  local list=$1 stamp required optional
  stamp="$state/$(basename "$list").installed"
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "This is neither Debian nor Ubuntu: make sure that what $list names is installed."
    cp "$list" "$stamp"
    return
  fi
  required=$(missing_packages "$list" required)
  optional=$(missing_packages "$list" optional)
  if [ -n "$required$optional" ]; then
    if become_root; then
      install_missing "$required" "$optional"
    else
      explain_packages "$required"
    fi
  fi
  cp "$list" "$stamp"
}

install_missing() {  # required packages, optional packages
  local wanted=() name
  step apt_update "refreshing the package lists" "${as_root[@]}" apt-get update ||
    say "The package lists could not be refreshed; trying with those that are there."
  for name in $2; do
    ! apt-cache show "$name" >/dev/null 2>&1 || wanted+=("$name")
  done
  # shellcheck disable=SC2206 # a list of words
  wanted+=($1)
  ((${#wanted[@]} == 0)) || apt_install "${wanted[@]}"
}

apt_install() {
  local command="apt-get install -y --no-install-recommends $*"
  step apt_install "installing $# packages" \
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" && return
  show_log apt_install '^E:'
  die "Packages of the distribution could not be installed." \
    "Is there a network? Once it is back, call ./gamut again, or let an administrator run" \
    "    $command"
}

# Without the right to install: only what is required stops the work.
explain_packages() {
  [ -n "$1" ] || return 0
  die "Packages of the distribution are missing, and this account may not install them." \
    "An administrator has to run this once, then call ./gamut again:" \
    "    apt-get update && apt-get install -y --no-install-recommends ${1//$'\n'/ }"
}

# --- Wheels -------------------------------------------------------------------------------------

# A python3 that has pip: the first on PATH may be a bare one.
find_python() {
  for python in python3 /usr/bin/python3; do
    "$python" -m pip --version >/dev/null 2>&1 && return
  done
  die "python3 has no pip, which fetches LibTorch. Install the package python3-pip."
}

fetched_size() { printf '%s MB' "$(du -sm "$state/tmp" 2>/dev/null | cut -f1)"; }

# Fetches the wheels of a requirements file into $state/wheels, but for those already there.
fetch_wheels() {  # requirements file, what it is
  local list=$1 what=$2 missing platforms=() tag
  mkdir -p "$state/wheels"
  missing=$(python3 "$lists/wheels.py" missing "$list" "$state/wheels")
  [ -n "$missing" ] || return 0
  [ "$(uname -m)" = x86_64 ] || [ "${list##*/}" = tools.txt ] ||
    die "The pinned LibTorch is for x86-64 and this machine is $(uname -m)." \
      "Name a LibTorch $libtorch_version of your own: GAMUT_LIBTORCH=/path/to/torch ./gamut ..."
  find_python
  # pip matches platforms exactly, so every manylinux generation in use is named.
  for tag in 2_28 2_27 2_25 2_18 2_17 2014 2_12 2010 2_5 1; do
    case $tag in *_*) tag=_$tag ;; esac
    platforms+=(--platform "manylinux${tag}_x86_64")
  done
  rm -rf "$state/tmp"
  mkdir -p "$state/tmp"
  if ! step_detail=fetched_size TMPDIR="$state/tmp" step fetch "fetching $what" "$python" -m pip download \
    --no-deps --only-binary=:all: --require-hashes --progress-bar off \
    --python-version 3.12 --implementation cp --abi cp312 "${platforms[@]}" \
    -d "$state/wheels" -r "$list"; then
    show_log fetch '^(ERROR|.*[Nn]o space)'
    die "$what could not be fetched with pip, whose settings (proxy, index, certificates) apply." \
      "Once the network is back, call ./gamut again: what is complete is kept. Without a network," \
      "put the wheels that $list" \
      "names into $state/wheels, or name an installed" \
      "LibTorch $libtorch_version: GAMUT_LIBTORCH=/path/to/site-packages/torch ./gamut ..."
  fi
  rm -rf "$state/tmp"
}

# Unpacks into a temporary folder and renames at the end.
unpack_wheels() {  # requirements file, what it is, destination, prefix...
  local list=$1 what=$2 into=$3
  shift 3
  rm -rf "$into.part"
  mkdir -p "$into.part"
  # Whatever the destination holds already stays (the CUDA libraries come beside the first ones).
  [ ! -d "$into" ] || cp -al "$into/." "$into.part/"
  if ! step unpack "unpacking $what" python3 "$lists/wheels.py" unpack "$list" "$state/wheels" \
    "$into.part" "$@"; then
    show_log unpack
    die "$what could not be unpacked into $into. Is the disk full?"
  fi
  cp "$list" "$into.part/${list##*/}"
  rm -rf "$into.old"
  [ ! -d "$into" ] || mv "$into" "$into.old"
  mv "$into.part" "$into"
  rm -rf "$into.old" "$state/wheels"
}

# One requirements file, unless the destination says that it has it.
provide() {  # requirements file, what it is, destination, prefix...
  fulfilled "$1" "$3/${1##*/}" && return
  fetch_wheels "$1" "$2"
  unpack_wheels "$@"
}

# --- LibTorch -----------------------------------------------------------------------------------

# Checks a LibTorch that the user names.
check_named_libtorch() {
  local header="$GAMUT_LIBTORCH/include/torch/headeronly/version.h" version
  if [ ! -e "$GAMUT_LIBTORCH/lib/libtorch_cpu.so" ] || [ ! -e "$GAMUT_LIBTORCH/include/ATen/ATen.h" ]; then
    die "GAMUT_LIBTORCH is $GAMUT_LIBTORCH, where there is no LibTorch: it must be the folder that" \
      "holds lib/libtorch_cpu.so and include/ATen/ATen.h, for example .../site-packages/torch."
  fi
  version=$(sed -n 's/^#define TORCH_VERSION_\(MAJOR\|MINOR\|PATCH\) //p' "$header" 2>/dev/null | paste -sd.)
  [ "$version" = "$libtorch_version" ] ||
    die "GAMUT_LIBTORCH is $GAMUT_LIBTORCH, which is LibTorch ${version:-of an older version}." \
      "Gamut needs $libtorch_version. Unset GAMUT_LIBTORCH and it is fetched."
}

libtorch_ready() {
  if [ -n "${GAMUT_LIBTORCH:-}" ]; then
    check_named_libtorch
    return
  fi
  fulfilled "$lists/requirements/libtorch.txt" "$libtorch_home/libtorch.txt" || return
  ! wants_cuda || fulfilled "$lists/requirements/libtorch_cuda.txt" "$libtorch_home/libtorch_cuda.txt"
}

install_libtorch() {
  ! libtorch_ready || return 0
  provide "$lists/requirements/libtorch.txt" "LibTorch $libtorch_version" "$libtorch_home" \
    torch/lib/ torch/include/ nvidia/
  ! wants_cuda ||
    provide "$lists/requirements/libtorch_cuda.txt" "the CUDA libraries" "$libtorch_home" nvidia/
}

# --- Arrow ---------------------------------------------------------------------------------------

# Only gamut-parquet-text needs it, so nothing stops where it is not to be had: `./gamut setup` tries
# again, other calls of ./gamut do not.
arrow_settled() {
  [ -z "${GAMUT_ARROW:-}" ] || return 0
  fulfilled "$lists/requirements/arrow.txt" "$arrow_home/arrow.txt" ||
    fulfilled "$lists/requirements/arrow.txt" "$state/arrow.txt.left_out"
}

install_arrow() {
  local list="$lists/requirements/arrow.txt"
  [ -z "${GAMUT_ARROW:-}" ] || return 0
  if [ "$(uname -m)" = x86_64 ] && (provide "$list" "Arrow, which reads Parquet" "$arrow_home" \
    pyarrow/libarrow.so. pyarrow/libparquet.so. pyarrow/include/arrow/ pyarrow/include/parquet/); then
    rm -f "$state/arrow.txt.left_out"
    return
  fi
  say "Going on without Arrow: Parquet files cannot be read, all else can. GAMUT_ARROW=/path/to/site-packages/pyarrow" \
    "names one that is there; ./gamut setup tries to fetch it again."
  cp "$list" "$state/arrow.txt.left_out"
}

# --- nvcc ----------------------------------------------------------------------------------------

# Only the CUDA kernels need it, so nothing stops where it is not to be had, and nothing is fetched where
# GAMUT_CUDA_TOOLCHAIN names one or is `none`.
cuda_toolchain_settled() {
  if [ -n "${GAMUT_CUDA_TOOLCHAIN:-}" ]; then
    check_named_cuda_toolchain
    return
  fi
  fulfilled "$lists/requirements/cuda_toolchain.txt" "$cuda_toolchain_home/cuda_toolchain.txt" ||
    fulfilled "$lists/requirements/cuda_toolchain.txt" "$state/cuda_toolchain.txt.left_out"
}

check_named_cuda_toolchain() {
  [ "$GAMUT_CUDA_TOOLCHAIN" = none ] || [ -x "$GAMUT_CUDA_TOOLCHAIN/bin/nvcc" ] ||
    die "GAMUT_CUDA_TOOLCHAIN is $GAMUT_CUDA_TOOLCHAIN, where there is no bin/nvcc. It must be the folder of a" \
      "CUDA toolkit, for example /usr/local/cuda, or \`none\` to build without CUDA kernels."
}

install_cuda_toolchain() {
  local list="$lists/requirements/cuda_toolchain.txt"
  [ -z "${GAMUT_CUDA_TOOLCHAIN:-}" ] || return 0
  if [ "$(uname -m)" = x86_64 ] && (provide "$list" "nvcc, which compiles the CUDA kernels" "$cuda_toolchain_home" \
    nvidia/cu13/bin/ nvidia/cu13/nvvm/ nvidia/cu13/include/crt/ nvidia/cu13/include/nv/ \
    nvidia/cu13/include/fatbinary_section.h); then
    rm -f "$state/cuda_toolchain.txt.left_out"
    return
  fi
  say "Going on without nvcc: the CUDA kernels are not built, all else is. GAMUT_CUDA_TOOLCHAIN=/usr/local/cuda" \
    "names a toolkit that is there; ./gamut setup tries to fetch it again."
  cp "$list" "$state/cuda_toolchain.txt.left_out"
}

# --- All of it ----------------------------------------------------------------------------------

setup_ready() {
  fulfilled "$lists/packages/apt.txt" "$state/apt.txt.installed" && libtorch_ready && arrow_settled &&
    cuda_toolchain_settled
}

setup() {
  [ -z "${GAMUT_CUDA_TOOLCHAIN:-}" ] || check_named_cuda_toolchain
  install_packages "$lists/packages/apt.txt"
  install_libtorch
  install_arrow
  install_cuda_toolchain
}

setup_lint() {
  install_packages "$lists/packages/apt_lint.txt"
  provide "$lists/requirements/tools.txt" "clang-format and clang-tidy" "$state/tools" clang_
}
