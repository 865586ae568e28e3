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

case ${1:-} in
  format)
    "$clang_format" -i "${cxx[@]}"
    ;;
  lint)
    check format "formatting (clang-format)" "Mend it with ./gamut format." \
      "$clang_format" --dry-run --Werror "${cxx[@]}"
    check shellcheck "shell scripts (shellcheck)" "" shellcheck -x "${shell[@]}"
    check luacheck "Lua (luacheck)" "" luacheck --quiet "${lua[@]}"
    check tidy "C++ (clang-tidy)" "" python3 third_party/tidy.py "$clang_tidy" "$build" "$state/tidy"
    ;;
  *)
    die "lint.sh takes lint or format."
    ;;
esac
