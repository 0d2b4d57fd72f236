# shellcheck shell=bash
# How a run ends: one verdict in one line, and report.json.

# What is known so far; run.sh fills it in.
fault_title=""
asked_of=""
base_term=""
done_faults=0
most_changes=0
least_changes=0
gap_bound=""
gap_cause=""
started_at=""
refused=""

# check: judges the record into $work/findings.
check() {
    [ -s "$report/record.jsonl" ] || return 0
    : >>"$work/faults"
    json_flat <"$report/record.jsonl" >"$work/flat"
    awk -v base="${base_term:-0}" -v lease="${lease:-0}" -v bound="$gap_bound" -v cause="$gap_cause" \
        -v most="$1" -v least="$2" -f "$lib/check.awk" "$work/faults" "$work/flat" >"$work/findings"
}

found() {
    [ ! -e "$work/findings" ] || awk -F '\t' -v kind="$1" '$1 == kind' "$work/findings"
}

seen() {
    found seen | awk -F '\t' -v name="$1" '$2 == name { print $3 }'
}

# Each line of stdin as a JSON text, between brackets.
list() {
    local line separator="" text=""
    while IFS= read -r line; do
        text+=$separator$line
        separator=,
    done
    printf '[%s]' "$text"
}

broken_to_json() {
    local _ invariant what
    found broken | while IFS=$'\t' read -r _ invariant what; do
        printf '{"invariant":%s,"what":%s}\n' "$(text_to_json "$invariant")" "$(text_to_json "$what")"
    done | list
}

faults_to_json() {
    local number replica before after began healed well proof
    [ -e "$work/faults" ] || return 0
    while IFS=$'\037' read -r number replica before after began healed well proof; do
        printf '{"number":%s,"replica":%s,"term_before":%s,"term_after":%s,"began":%s,"healed":%s,"well":%s,"proof":%s,"takeovers":%s}\n' \
            "$number" "$(text_to_json "$replica")" "${before:-null}" "${after:-null}" "$began" \
            "${healed:-null}" "${well:-null}" "$(text_to_json "$proof")" \
            "$(found takeover | awk -F '\t' -v number="$number" '$2 == number { print $3 }' | list)"
    done <"$work/faults"
}

# write_report VERDICT WHY
write_report() {
    mkdir -p "$report"
    {
        printf '{"script":"%s","fault":%s,"target":%s,' "$script" "$(text_to_json "$fault_title")" "$(text_to_json "$asked_of")"
        printf '"verdict":"%s","why":%s,' "$1" "$(text_to_json "$2")"
        printf '"started":%s,"ended":%s,' "${started_at:-null}" "$EPOCHREALTIME"
        printf '"expected":{"times":%s,"most_leader_changes":%s,"least_leader_changes":%s,"gap_ms":%s,"cause":%s,"lease":%s},' \
            "$times" "${most_changes:-null}" "${least_changes:-null}" "${gap_bound:-null}" "$(text_to_json "$gap_cause")" "${lease:-null}"
        printf '"seen":{%s},' "$(found seen | awk -F '\t' '{ printf "%s\"%s\":%s", (NR > 1 ? "," : ""), $2, $3 }')"
        printf '"broken":%s,' "$(broken_to_json)"
        printf '"faults":%s,' "$(faults_to_json | list)"
        printf '"other_takeovers":%s}\n' "$(found takeover | awk -F '\t' '$2 == 0 { print $3 }' | list)"
    } >"$report/report.json"
}

# end VERDICT STATUS WHY
end() {
    write_report "$1" "$3"
    say "report: $report/report.json"
    ended=yes
    echo "$1: $3"
    exit "$2"
}

# unknown WHY: nothing is proved. But what was seen to be broken until then stays broken.
unknown() {
    undo_all
    stop_recording
    check "" "" || true
    local broken=""
    [ -n "$refused" ] || broken=$(found broken | awk -F '\t' 'NR == 1 { print $2 ": " $3 }')
    [ -z "$broken" ] || end invalid "$INVALID" "$broken (and then $1)"
    end unknown "$UNKNOWN" "$1"
}

# refuse WHY: before anything was touched.
refuse() {
    refused=yes
    unknown "$1"
}

# invalid WHY: what run.sh itself saw.
invalid() {
    undo_all
    stop_recording
    check "" "" || true
    end invalid "$INVALID" "$1"
}

# After all faults.
judge() {
    stop_recording
    check "$most_changes" "$least_changes"
    local broken
    broken=$(found broken | awk -F '\t' '{ printf "%s%s: %s", (NR > 1 ? "; " : ""), $2, $3 }')
    [ -z "$broken" ] || end invalid "$INVALID" "$broken"
    # A record that shows nothing proves nothing.
    [ "$(seen answers)" -gt 0 ] || end unknown "$UNKNOWN" "no replica answered while it was recorded"
    end valid "$VALID" "$(summary)"
}

summary() {
    local text
    text="$fault_title, $done_faults of $times landed; $(seen leader_changes) changes of the leader"
    [ "$(seen terms)" = 0 ] || text+=", nobody led for $(seen longest_gap_ms) ms at most"
    [ -z "$gap_bound" ] || text+=" (allowed: $gap_bound)"
    text+="; $(seen versions) versions seen, none went back; asked every $(seen resolution_ms) ms"
    printf %s "$text"
}
