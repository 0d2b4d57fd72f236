# shellcheck shell=bash
# The recorder: asks every replica again and again what it sees, and writes one line for each answer.
# The target gives target_list (a name a line) and target_ask NAME (the JSON of its /v1/cluster).

recorder=""

# Whether to go on: until told to stop, or until the script itself is gone.
is_recording() {
    [ -e "$work/recording" ] && kill -0 "$$" 2>/dev/null
}

# sample NAME SINCE: one line of the record.
sample() {
    local at=$EPOCHREALTIME body took
    if body=$(target_ask "$1" 2>"$work/asking/$1"); then
        took=$(ms_between "$at" "$EPOCHREALTIME")
        json_flat <<<"$body" |
            awk -v at="$at" -v took="$took" -v asked="$1" -v since="$2" -f "$lib/sample.awk"
    else
        took=$(ms_between "$at" "$EPOCHREALTIME")
        printf '{"at":%s,"took_ms":%s,"asked":"%s","ok":false,"error":%s}\n' \
            "$at" "$took" "$1" "$(text_to_json "$(tail -n 1 "$work/asking/$1")")"
    fi
}

# sample_always NAME: until the replica is listed no more, or nobody records.
sample_always() {
    local name=$1 line since=-1 term
    while is_recording && grep -qxF -- "$name" "$work/listed"; do
        line=$(sample "$name" "$since")
        printf '%s\n' "$line" >>"$report/samples/$name.jsonl"
        # Whole at once, for those who look meanwhile.
        printf '%s\n' "$line" >"$work/newest/$name.next"
        mv "$work/newest/$name.next" "$work/newest/$name"
        term=${line#*\"term\":}
        term=${term%%,*}
        [[ $term =~ ^[0-9]+$ ]] && since=$term
        sleep "$every"
    done
    rm -f "$work/sampled/$name"
}

record_always() {
    local name
    while is_recording; do
        if target_list >"$work/listing" 2>/dev/null; then
            mv "$work/listing" "$work/listed"
        fi
        while read -r name; do
            [ -e "$work/sampled/$name" ] && continue
            : >"$work/sampled/$name"
            sample_always "$name" &
        done <"$work/listed"
        sleep 1
    done
    wait
    # Nobody else is left to do that.
    kill -0 "$$" 2>/dev/null || { target_leave && rm -rf "$work"; }
}

start_recording() {
    mkdir -p "$report/samples" "$work/asking" "$work/sampled" "$work/newest"
    rm -f "$report"/samples/*.jsonl
    target_list >"$work/listed"
    : >"$work/recording"
    record_always &
    recorder=$!
}

# Waits for the answers that are still out, and puts the record together.
stop_recording() {
    [ -n "$recorder" ] || return 0
    rm -f "$work/recording"
    wait "$recorder" || true
    recorder=""
    cat "$report"/samples/*.jsonl 2>/dev/null | sort >"$report/record.jsonl" || true
    rm -rf "$report/samples"
}

# The newest answer of each replica that is listed, as flat JSON.
newest() {
    local name
    while read -r name; do
        [ ! -e "$work/newest/$name" ] || cat "$work/newest/$name"
    done <"$work/listed" | json_flat
}

# look [SINCE [TERM]]: what the newest answers, of those asked after SINCE, say together, as variables:
# seen_leader (empty where nobody leads, or they do not agree), seen_term, answering, polling,
# ill: a sentence why this is no healthy cluster; empty where it is one, led in a term above TERM.
look() {
    local text
    text=$(newest | awk -F '\t' -v after="${1:-0}" -v above="${2:--1}" -f "$lib/look.awk")
    IFS='|' read -r seen_leader seen_term answering polling lease_left ill <<<"$text"
}

# shellcheck disable=SC2034
healthy() {
    look "$@"
    [ -z "$ill" ]
}

# redis_is_away REPLICA SINCE: whether the replica says so itself; any of them if REPLICA is empty.
redis_is_away() {
    newest | awk -F '\t' -v name="${1:+\"$1\"}" -v after="$2" '
        $0 == "" { if ((name == "" || asked == name) && ok == "true" && store == "false" && at + 0 > after + 0) found = 1; next }
        $1 == "asked" { asked = $2 } $1 == "ok" { ok = $2 } $1 == "store" { store = $2 } $1 == "at" { at = $2 }
        END { exit !found }'
}
