# shellcheck shell=bash
# What all scripts share: words to the user, times, what to undo, and the one way to end.
# Progress goes to stderr; the verdict is the one line on stdout.

# EPOCHREALTIME and the tools' numbers have a point, not a comma.
export LC_ALL=C

script=${0##*/}

# Exit statuses.
VALID=0 INVALID=1 USAGE=2 UNKNOWN=3

# Whether the script ends as it means to. What goes wrong in it otherwise proves nothing.
ended=""

say() {
    echo "$script: $*" >&2
}

# Wrong usage: nothing was asked of anybody yet.
wrong() {
    say "$*"
    say "see $script --help"
    ended=yes
    exit "$USAGE"
}

# seconds 1m30s: as a number of seconds; fails where it is no duration.
seconds() {
    [[ $1 =~ ^([0-9]+(ms|s|m|h))+$ ]] || return 1
    local rest=$1 sum=0
    while [[ $rest =~ ^([0-9]+)(ms|s|m|h)(.*)$ ]]; do
        rest=${BASH_REMATCH[3]}
        case ${BASH_REMATCH[2]} in
            ms) sum=$((sum + 10#${BASH_REMATCH[1]})) ;;
            s) sum=$((sum + 10#${BASH_REMATCH[1]} * 1000)) ;;
            m) sum=$((sum + 10#${BASH_REMATCH[1]} * 60000)) ;;
            h) sum=$((sum + 10#${BASH_REMATCH[1]} * 3600000)) ;;
        esac
    done
    printf '%d.%03d\n' $((sum / 1000)) $((sum % 1000))
}

# calculate 'a + b': with fractions, which bash does not have.
calculate() {
    awk "BEGIN { printf \"%.3f\", $1 }"
}

# holds 'a < b': the same as a condition.
holds() {
    awk "BEGIN { exit !($1) }"
}

# ms_between EARLIER LATER, both from EPOCHREALTIME.
ms_between() {
    awk -v from="$1" -v to="$2" 'BEGIN { printf "%.0f", (to - from) * 1000 }'
}

# until_true SECONDS COMMAND…: whether the command succeeds within so many seconds.
until_true() {
    local until
    until=$(calculate "$EPOCHREALTIME + $1")
    shift
    while ! "$@"; do
        holds "$EPOCHREALTIME < $until" || return 1
        sleep 0.1
    done
}

# What puts right again what a fault broke, the latest last. Each is a command line without spaces in
# its words.
undo=()

on_the_way_out() {
    undo+=("$*")
}

# Undoes everything, the latest first.
undo_all() {
    local command
    while [ "${#undo[@]}" -gt 0 ]; do
        command=${undo[-1]}
        unset 'undo[-1]'
        # shellcheck disable=SC2086
        $command || say "could not undo: $command"
    done
}

# The directory for what is only needed meanwhile: nobody else may read or enter it.
make_work() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/pollux-chaos.XXXXXX")
}

leave() {
    local status=$?
    trap '' INT TERM HUP
    trap - EXIT
    undo_all
    stop_recording
    target_leave
    [ -z "${work:-}" ] || rm -rf "$work"
    if [ -z "$ended" ]; then
        echo "unknown: the script itself failed"
        status=$UNKNOWN
    fi
    exit "$status"
}

interrupted() {
    trap '' INT TERM HUP
    say "interrupted: putting right what was broken"
    undo_all
    unknown "it was interrupted"
}

# From here on what was made is removed, and what was broken is healed, however this ends.
guard() {
    trap leave EXIT
    trap interrupted INT TERM HUP
}

# text_to_json TEXT: as a JSON string.
text_to_json() {
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/ }
    text=${text//$'\t'/ }
    printf '"%s"' "${text//[[:cntrl:]]/}"
}

# The programs that a script needs.
require() {
    local program
    [ "${BASH_VERSINFO[0]}" -ge 5 ] || wrong "needs bash 5 or newer; this is $BASH_VERSION"
    for program in "$@"; do
        command -v "$program" >/dev/null || wrong "needs $program, which is not on the PATH"
    done
}
