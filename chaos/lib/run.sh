# shellcheck shell=bash
# One run of a fault script. The script defines
#   usage           what --help prints
#   own_option      its own options, see options.sh
#   needs_rights    the rights in the cluster, a line each: VERB RESOURCE
#   plan            sets what below has no default; the lease is known by then
#   inject REPLICA  makes the fault and returns once it landed, with `proof`: how that is known.
#                   Returns 1 where it did not land, with `not_landed`: why, and what to do
#   heal REPLICA    ends the fault

proof=""
not_landed=""
# must, may or none: whether a fault changes the leader; how often it may, at most.
changes=must
changes_each=1
# How long a fault lasts before it is healed, in seconds.
lasts=0

# How long a cluster may take to look well before anything is touched, in seconds.
WARMUP=8

# shellcheck source-path=SCRIPTDIR
run() {
    parse_options "$@"
    require awk curl grep mktemp sort tail
    make_work
    guard
    load_target
    started_at=$EPOCHREALTIME
    target_check
    prepare
    agree
    local number
    for ((number = 1; number <= times; number++)); do
        [ "$number" -eq 1 ] || between
        fault "$number"
    done
    judge
}

load_target() {
    if [ -n "$local_mode" ]; then
        source "$lib/processes.sh"
        source "$lib/processes_faults.sh"
    else
        source "$lib/pods.sh"
        source "$lib/pods_faults.sh"
    fi
}

# Looks whether the cluster is well, and learns who leads and how long a lease lasts.
prepare() {
    start_recording
    until_true "$WARMUP" healthy "$started_at" ||
        refuse "$asked_of was ill before the start: $ill. Mend that first (helm/pollux/RUNBOOK.md)"
    # shellcheck disable=SC2154
    base_term=$seen_term base_leader=$seen_leader base_answering=$answering base_polling=$polling
    target_knows "$base_leader" ||
        refuse "$base_leader leads, and is no replica of $asked_of: something else shares its lease. Find it by \`pollux status\`"
    if [ -z "$lease" ]; then
        watch_lease
        lease=$(awk -v left="$longest_left" 'BEGIN { print int(left) + (left > int(left)) }')
    fi
    plan
    [ -z "$bound" ] || gap_bound=$(calculate "$bound * 1000")
    gap_bound=${gap_bound%.*}
    most_changes=$((changes_each * times)) least_changes=$times
    [ "$changes" != none ] || most_changes=0
    [ "$changes" = must ] || least_changes=0
}

# The leader renews within two seconds, unless the retry period is longer than its default.
watch_lease() {
    local until
    longest_left=0
    until=$(calculate "$EPOCHREALTIME + 2")
    while holds "$EPOCHREALTIME < $until"; do
        look
        # shellcheck disable=SC2154
        holds "$lease_left <= $longest_left" || longest_left=$lease_left
        sleep 0.1
    done
}

# Says what will be done; goes on if the context was named, or somebody agrees.
agree() {
    say "$asked_of: $base_leader leads in term $base_term; a lease lasts $lease s"
    say "$times time(s), $pause s apart: $fault_title"
    if [ -n "$dry_run" ]; then
        say "dry run: nothing was touched"
        ended=yes
        exit "$VALID"
    fi
    target_agreed && return
    local answer=""
    read -r -p "$script: go on? [y/N] " answer || true
    case $answer in
        y | Y | yes) ;;
        *) wrong "not agreed to: nothing was touched" ;;
    esac
}

rest() {
    local until
    until=$(calculate "$EPOCHREALTIME + $1")
    while holds "$EPOCHREALTIME < $until"; do sleep 0.1; done
}

between() {
    rest "$pause"
    local now=$EPOCHREALTIME
    until_true "$WARMUP" healthy "$now" || unknown "the cluster was ill before fault $number: $ill"
}

fault() {
    local number=$1 replica before after="" began healed="" well=""
    look
    replica=$seen_leader before=$seen_term began=$EPOCHREALTIME
    say "fault $number: $replica leads in term $before"
    proof="" not_landed=""
    if ! inject "$replica"; then
        undo_all
        note_fault
        unknown "fault $number did not land: ${not_landed:-no sign of it within $patience s}"
    fi
    say "fault $number landed: $proof"
    done_faults=$number
    rest "$lasts"
    heal "$replica" || unknown "fault $number could not be healed: ${not_landed:-see above}"
    healed=$EPOCHREALTIME
    settle
    well=$EPOCHREALTIME after=$seen_term
    note_fault
    say "fault $number: $seen_leader leads in term $after; all was well $(ms_between "$healed" "$well") ms after it was healed"
    # Two retry periods: what a former leader still tries, it has tried by then.
    rest "$(calculate "$lease / 3")"
}

# Variables of `fault`, for verdict.sh and check.awk.
note_fault() {
    printf '%s\037%s\037%s\037%s\037%s\037%s\037%s\037%s\n' \
        "$number" "$replica" "$before" "$after" "$began" "$healed" "$well" "$proof" >>"$work/faults"
}

all_well() {
    healthy "$healed" "$([ "$changes" != must ] || echo "$before")" &&
        [ "$answering" -ge "$base_answering" ]
}

settle() {
    until_true "$patience" all_well && return
    note_fault
    local what="${patience%.*} s after fault $number was healed"
    case $ill in
        "") unknown "$what, $answering of $base_answering replicas are back" ;;
        *"does not answer"* | *"no replica"* | *"fewer than"* | *"not all"*) unknown "$what, $ill" ;;
        *) invalid "recovery: $what, $ill" ;;
    esac
}
