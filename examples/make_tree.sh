#!/usr/bin/env bash
# Makes a big folder of small files quickly, to scan: make_tree.sh DIR COUNT
#
# 100 files to a folder and 10 such folders to a series, of all types; sizes from nothing to 70 KB
# (1 in 100), and no two contents the same.
set -euo pipefail

if [[ $# -ne 2 || ! $2 =~ ^[0-9]+$ ]]; then
    echo "usage: make_tree.sh DIR COUNT" >&2
    exit 2
fi
dir=$1
count=$2

kinds=(mkv mp4 flac mp3 jpg png srt nfo)
printf -v kilobytes '%-4000s' ''
printf -v large '%-70000s' ''

folder=
for ((i = 0; i < count; i++)); do
    if ((i % 100 == 0)); then
        printf -v folder '%s/Series %04d/Season %02d' "$dir" $((i / 1000)) $((i / 100 % 10))
        mkdir -p "$folder"
    fi
    file="$folder/Episode $i.${kinds[i % 8]}"
    case $((i % 100)) in
        0) : >"$file" ;;
        1) printf '%s %s' "$i" "$large" >"$file" ;;
        2 | 3 | 4 | 5 | 6 | 7 | 8 | 9) printf '%s %s' "$i" "$kilobytes" >"$file" ;;
        *) printf 'file %s' "$i" >"$file" ;;
    esac
done
