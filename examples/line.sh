#!/usr/bin/env bash
# A manufacturing line's script: gives every device that arrives its identity, one after the other.
#
#     examples/line.sh call   <ids     one call of the program for each device: the simplest that works
#     examples/line.sh stream <ids     one program for the whole shift: start-up and passphrase are paid once
#
# Reads one device id a line from stdin, as a bar code scanner types them, and prints for each one
# "ok ID BUNDLE" or "rejected ID REASON". Both ways may be stopped and started again at any time: a device
# that has its identity already is answered with the same one. Where the state is and what opens it is said by
# IOTONBOARD_STATE and IOTONBOARD_PASSPHRASE_FILE.
set -u

stop() { printf 'line.sh: %s\n' "$*" >&2; exit "${code:-1}"; }

# The text of one key of a JSON object that stands on one line; values here hold no quotes.
field() { sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p" <<<"$2"; }

# One call per device. The exit code says what the script has to do; the table is in 'iotonboard help scripts'.
register_by_call() {
    local id=$1 attempt answer
    for attempt in 1 2 3; do
        answer=$(iotonboard register "$id" --if-exists skip --json)
        code=$?
        case $code in
            0) printf 'ok %s %s\n' "$id" "$(field bundle "$answer")"; return ;;
            4 | 6) printf 'rejected %s exit %s\n' "$id" "$code"; rejected=$((rejected + 1)); return ;;
            8) echo "line.sh: busy, attempt $attempt" >&2; sleep "$attempt" ;;
            130) stop "interrupted; start again with the same list" ;;
            *) stop "exit $code: stop the line and call the officer" ;;
        esac
    done
    stop "the state stays busy, or its disk is full"
}

# One program for all devices: write an id, read its answer. An answer means that the device is durable.
# A bad line gets an answer with an error in it, and the program goes on.
register_by_stream() {
    local id answer
    coproc PROGRAM { exec iotonboard register --stream --if-exists skip; }
    local pid=$PROGRAM_PID in=${PROGRAM[1]} out=${PROGRAM[0]}
    while IFS= read -r id || [ -n "$id" ]; do # the last line may lack its end
        [ -n "$id" ] || continue
        { printf '%s\n' "$id" >&"$in"; } 2>/dev/null && IFS= read -r answer <&"$out" || break
        case $answer in
            *'"error": '*)
                printf 'rejected %s %s\n' "$id" "$(field message "$answer")"
                rejected=$((rejected + 1))
                ;;
            *) printf 'ok %s %s\n' "$id" "$(field bundle "$answer")" ;;
        esac
        id=
    done
    exec {in}>&-
    wait "$pid"
    code=$?
    # Rejected devices decide the exit code of the program; anything else ends the line.
    case $code in
        0 | 4 | 5 | 6) [ -z "$id" ] || stop "no answer for $id" ;;
        130) stop "interrupted; start again with the same list" ;;
        *) stop "exit $code: stop the line and call the officer" ;;
    esac
}

rejected=0
trap '' PIPE # a program that ended is noticed by its missing answer
case ${1:-} in
    call) while IFS= read -r id || [ -n "$id" ]; do [ -z "$id" ] || register_by_call "$id" </dev/null; done ;;
    stream) register_by_stream ;;
    *) code=2 stop "say 'call' or 'stream'" ;;
esac
[ "$rejected" = 0 ] || { code=6; stop "$rejected rejected"; }
