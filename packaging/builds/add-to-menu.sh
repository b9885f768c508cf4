#!/bin/sh
# Shows Minka among the applications of this person's desktop; run again after the folder has moved.
set -eu
folder=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
menu=${XDG_DATA_HOME:-$HOME/.local/share}/applications
mkdir -p "$menu"
sed "s|@FOLDER@|$folder|g" "$folder/minka.desktop" >"$menu/minka.desktop"
echo "Minka is in the menu: $menu/minka.desktop"
