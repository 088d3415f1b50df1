#!/bin/sh
# Runs a command, gives its output on, and prints both as capture lines: the command's words as the request, its output as the response.
#
#     capture.sh COMMAND [ARGUMENT…]        lines go to standard error, or to the file that CAPTURE_FILE names
#
# It needs no more than printf, dd and base64. Bodies are written as base64, so nothing has to be escaped; the reader stores text as text.
set -u

# Bytes of a body on one line: as base64 they stay below the 4,096 bytes up to which a write to a pipe is one piece.
PIECE=2700

now() { date -u +%Y-%m-%dT%H:%M:%S.%6NZ; }

# capture_part PART HEAD FILE TAIL: a part's lines, with the file as its body.
capture_part() {
    size=$(wc -c <"$3")
    of=$(((size + PIECE - 1) / PIECE))
    [ "$of" -gt 0 ] || of=1
    seq=0
    while [ "$seq" -lt "$of" ]; do
        head=
        tail=
        [ "$seq" -gt 0 ] || head=",\"head\":$2"
        piece=$(dd if="$3" bs=$PIECE skip="$seq" count=1 2>/dev/null | base64 -w 0)
        [ -z "$piece" ] || piece=",\"b64\":\"$piece\""
        [ $((seq + 1)) -lt "$of" ] || tail=",\"of\":$of,\"tail\":$4"
        printf '{"cap1":"%s","part":"%s","seq":%d%s%s%s}\n' "$id" "$1" "$seq" "$head" "$piece" "$tail"
        seq=$((seq + 1))
    done
}

if [ $# -eq 0 ]; then
    echo "usage: capture.sh COMMAND [ARGUMENT...]" >&2
    exit 64
fi
files=$(mktemp -d) || exit 1
trap 'rm -rf "$files"' EXIT
id=$(cat /proc/sys/kernel/random/uuid)
# What stands in a head unescaped may hold no quotes and no backslashes.
program=$(basename -- "$1" | tr -cd 'A-Za-z0-9._+-')
host=$(uname -n | tr -cd 'A-Za-z0-9._-')
printf '%s\n' "$@" >"$files/request"
asked=$(now)
"$@" >"$files/response"
status=$?
answered=$(now)
cat "$files/response"
lines() {
    capture_part req "{\"ts\":\"$asked\",\"service\":\"$program\",\"host\":\"$host\",\"dir\":\"out\",\"proto\":\"exec\",\"method\":\"$program\"}" \
        "$files/request" '{}'
    capture_part res "{\"ts\":\"$answered\",\"status\":\"$status\"}" "$files/response" '{}'
}
if [ -n "${CAPTURE_FILE:-}" ]; then lines >>"$CAPTURE_FILE"; else lines >&2; fi
exit "$status"
