#!/usr/bin/env bash
# `gamut new`, as a user follows it: from an installed Gamut, outside of its tree, by the commands
# that the README of the new folder gives; for each kind of plugin.
# timeout: 600
# shellcheck disable=SC2015 # fail exits
set -euo pipefail

here=$PWD
fail() { echo "FAILED: $*"; exit 1; }
cmake --install "$GAMUT_BUILD" --prefix "$here/prefix" >install.log || { tail install.log; fail "cmake --install"; }
export PATH="$here/prefix/bin:$PATH"
unset GAMUT_LIBTORCH GAMUT_SCRIPTS GAMUT_PLUGIN_PATH

for kind in mixer tokenizer optimizer; do
  name=my_$kind
  echo "--- gamut new $kind $name"
  gamut new "$kind" "$name" --into "$here/work"
  cd "$here/work/$name"
  [ "$kind" != mixer ] || [ "$(wc -l <"$name.cpp")" -lt 60 ] || fail "$name.cpp has 60 lines or more"

  # The README's indented lines are its commands.
  sed -n 's/^    //p' README.md >commands
  [ "$(wc -l <commands)" = 3 ] || fail "the README gives $(wc -l <commands) commands, not 3"
  while read -r command; do
    echo "\$ $command"
    bash -euc "$command" >output.txt 2>&1 </dev/null || { cat output.txt; fail "$command"; }
  done <commands
  grep -q "^step 50: loss" output.txt || { cat output.txt; fail "train.lua printed no steps"; }

  [ "$(nm -D --defined-only "build/$name.so" | grep -c gamut_plugin)" = 1 ] || fail "no gamut_plugin"
  GAMUT_PLUGIN_PATH=build gamut plugins show "$name" | grep -q "$kind .$name. 0.1.0" || fail "gamut plugins show"
done

echo "--- copied into the installation, it needs no path"
cp "$here/work/my_mixer/build/my_mixer.so" "$here/prefix/lib/gamut/plugins/mixer/"
cd "$here" && gamut plugins | grep -q my_mixer || fail "not found in the installation"

echo "--- what is there already stays"
if gamut new mixer my_mixer --into "$here/work" 2>message; then fail "took a plugin's name"; fi
grep -q "there is a mixer .my_mixer. already.*--force" message || fail "$(cat message)"
if gamut new mixer my_mixer --force --into "$here/work" 2>message; then fail "overwrote a folder"; fi
grep -q "is there already" message || fail "$(cat message)"
