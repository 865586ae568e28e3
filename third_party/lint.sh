#!/usr/bin/env bash
# `./gamut lint` checks format and style and fails on the first kind that is not clean;
# `./gamut format` rewrites the C++ sources as .clang-format wants them.
# Usage: lint.sh lint|format, after set-up and configuration (clang-tidy reads the compile commands).
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
state="$root/.gamut"
build="$root/build/${GAMUT_PRESET:-release}"
clang_format="$state/tools/clang_format/data/bin/clang-format"
clang_tidy="$state/tools/clang_tidy/data/bin/clang-tidy"
cd "$root"
# shellcheck source=third_party/progress.sh
. third_party/progress.sh

mapfile -t cxx < <(git ls-files --cached --others --exclude-standard '*.cpp' '*.h' '*.cu' '*.cuh')
mapfile -t lua < <(git ls-files --cached --others --exclude-standard '*.lua')
mapfile -t shell < <(git ls-files --cached --others --exclude-standard '*.sh' gamut .ci/run)

check() {  # name, what is checked, how to mend it, command...
  local name=$1 what=$2 mend=$3
  shift 3
  if ! step "$name" "$what" "$@"; then
    tail -n 100 "$state/logs/$name.log" >&2
    die "$what: not clean. $mend"
  fi
  say "$what: clean"
}

# One clang-tidy a core. Each file's verdict is kept under a hash of all that it depends on, so a
# second call looks only at what changed.
tidy_all() {
  export root build clang_tidy tidy_cache="$state/tidy"
  mkdir -p "$tidy_cache"
  tidy_key=$({ "$clang_tidy" --version && cat .clang-tidy "$build/compile_commands.json" &&
    find core plugins tests -name '*.h' -print0 | sort -z | xargs -0 cat; } | sha256sum)
  export tidy_key
  local compiled
  compiled=$(grep -oP '"file": "\K[^"]+' "$build/compile_commands.json" | grep -E "^$root/(core|plugins|tools)/" | sort -u)
  # shellcheck disable=SC2016 # the inner shell expands it
  xargs -r -d '\n' -P "$(nproc)" -n 1 bash -c 'tidy_one "$1"' _ <<<"$compiled"
}

tidy_one() {
  local verdict
  verdict="$tidy_cache/$({ echo "$tidy_key" && cat "$1"; } | sha256sum | cut -c1-40)"
  [ ! -e "$verdict" ] || return 0
  echo "clang-tidy ${1#"$root/"}"
  # Without OpenMP, whose header comes with the compiler that builds and not with clang-tidy.
  "$clang_tidy" -p "$build" --quiet --extra-arg=-fno-openmp "$1" 2>&1 && touch "$verdict"
}
export -f tidy_one

case ${1:-} in
  format)
    "$clang_format" -i "${cxx[@]}"
    ;;
  lint)
    check format "formatting (clang-format)" "Mend it with ./gamut format." \
      "$clang_format" --dry-run --Werror "${cxx[@]}"
    check shellcheck "shell scripts (shellcheck)" "" shellcheck -x "${shell[@]}"
    check luacheck "Lua (luacheck)" "" luacheck --quiet "${lua[@]}"
    check tidy "C++ (clang-tidy)" "" tidy_all
    ;;
  *)
    die "lint.sh takes lint or format."
    ;;
esac
