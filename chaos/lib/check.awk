# Judges a record: first the faults (number, replica, term before, term after, began and healed,
# separated by the byte 037, as fields may be empty), then the record, flattened by json_flat.
# Variables: base (the term at the start), lease (s), bound (ms; empty: none), cause (empty: any),
# most (leader changes allowed), least (new terms that must be).
# Prints "broken<TAB>invariant<TAB>what", "takeover<TAB>fault<TAB>JSON", and "seen<TAB>name<TAB>value".
BEGIN { FS = "\t" }

function text(path) { sub(/^"/, "", value[path]); sub(/"$/, "", value[path]); return value[path] }

# At most three of a kind: the record has the others.
function broken(invariant, what) { if (++complaints[invariant] <= 3) print "broken\t" invariant "\t" what }

function clock(at) { return sprintf("%.3f s after the start", at - began_at) }

FNR == NR && FILENAME ~ /faults$/ {
    faults++
    split($0, field, "\037")
    fault_before[faults] = field[3]; fault_after[faults] = field[4]; fault_began[faults] = field[5]
    fault_healed[faults] = field[6]
    next
}
$0 == "" { sample(); split("", value); next }
{ value[$1] = $2 }

# Terms that somebody has seen, by whom they were led, and what a claim told.
function led(term, replica) {
    if ((term in leader_of) && leader_of[term] != replica)
        broken("one leader per term", term " is the term of both " leader_of[term] " and " replica)
    leader_of[term] = replica
}

function note_claims(i, entry, previous, term) {
    previous = ""
    for (i = 0; ("claims." i ".term") in value; i++) {
        entry = "claims." i "."
        term = value[entry "term"]
        if (previous != "" && term + 0 >= previous + 0)
            broken("terms grow", "the claim of " previous " followed that of " term)
        previous = term
        led(term, text(entry "replica"))
        if (!(term in claim_cause)) {
            claims++
            claim_term[claims] = term
            claim_cause[term] = text(entry "cause"); claim_gap[term] = value[entry "gap_ms"]
            claim_at[term] = value[entry "at"]
        }
    }
}

# Whatever was answered before this question was asked was known by then.
function note_term(asked, at, done, term, other) {
    if (asked in last_term && last_term[asked] + 0 > known_term + 0) known_term = last_term[asked]
    for (other in last_term)
        if (last_done[other] + 0 <= at + 0 && last_term[other] + 0 > known_term + 0) known_term = last_term[other]
    if (!(term in seen_term) && term + 0 < known_term + 0)
        broken("terms grow", asked " told of a new term " term " after " known_term ", " clock(at))
    seen_term[term] = 1
    last_term[asked] = term
    last_done[asked] = done
}

function note_leader(asked, at, done, term) {
    if (value["leader"] == "null") {
        if (!(asked in without)) without[asked] = done
        if (!(term in none_first)) none_first[term] = done
        none_last[term] = at
        nobody++
        if (late_after(at) != "") broken("recovery", "nobody led " clock(at) ", " late_after(at))
        return
    }
    delete without[asked]
    led(value["leader_term"], text("leader"))
    term = value["leader_term"]
    if (!(term in first_led) || done + 0 < first_led[term] + 0) first_led[term] = done
    if (!(term in last_led) || at + 0 > last_led[term] + 0) last_led[term] = at
}

# Whether at that moment a fault had been healed for longer than a lost lease may last.
function late_after(at, i) {
    for (i = 1; i <= faults; i++) {
        if (fault_healed[i] == "" || at <= fault_healed[i] + lease + 0.1) continue
        if (i < faults && at >= fault_began[i + 1]) continue
        return sprintf("%.0f ms after fault %d was healed", (at - fault_healed[i]) * 1000, i)
    }
    return ""
}

function note_endpoints(asked, at, i, entry, name, version, age, key, parts, were) {
    for (i = 0; ("endpoints." i ".name") in value; i++) {
        entry = "endpoints." i "."
        name = text(entry "name"); version = text(entry "version"); age = value[entry "age"]
        key = asked SUBSEP value["started"] SUBSEP name
        if (version != "null") {
            split(version, parts, "-")
            if (key in version_of) {
                split(version_of[key], were, "-")
                if (parts[1] + 0 < were[1] + 0 || (parts[1] + 0 == were[1] + 0 && parts[2] + 0 < were[2] + 0))
                    broken("versions never go back", name " at " asked ": " version " after " version_of[key] ", " clock(at))
            }
            version_of[key] = version
            versions++
        }
        if (age == "null") continue
        if (age + 0 > worst + 0) { worst = age; worst_of = name }
        note_age(asked, at, name, age + 0, value[entry "stale"], value[entry "stale_after"] + 0)
    }
}

function note_age(asked, at, name, age, stale, stale_after) {
    if (stale == "true") stales++
    if (stale == "false" && age > stale_after + 1)
        broken("staleness is said", name " at " asked " is " age " s old and not said to be stale, " clock(at))
    if (stale == "true" && age > 1 && age < stale_after)
        broken("staleness is said", name " at " asked " is " age " s old and still said to be stale, " clock(at))
    if (asked in without && age < at - without[asked] - 1)
        broken("staleness is said", name " at " asked " claims to be " age " s old, and nobody has led for longer, " clock(at))
}

function sample(asked, at, done) {
    asked = text("asked"); at = value["at"]; done = at + value["took_ms"] / 1000
    if (began_at == "") began_at = at
    ended_at = at
    samples++
    if (value["ok"] != "true") { silent++; return }
    answers++
    took += value["took_ms"]
    if (asked in previous_at) { apart += at - previous_at[asked]; pairs++ }
    previous_at[asked] = at
    # Without Redis a replica tells what it saw last, which may be old.
    if (value["store"] == "true") {
        note_claims()
        if (value["term"] != "null") { note_term(asked, at, done, value["term"]); note_leader(asked, at, done, value["term"]) }
    } else { delete without[asked]; cut_off++ }
    note_endpoints(asked, at)
}

# The claims in the order of their terms.
function sort_claims(i, j, term) {
    for (i = 2; i <= claims; i++)
        for (j = i; j > 1 && claim_term[j] + 0 < claim_term[j - 1] + 0; j--) {
            term = claim_term[j]; claim_term[j] = claim_term[j - 1]; claim_term[j - 1] = term
        }
}

function fault_of(term, i) {
    for (i = 1; i <= faults; i++)
        if (term + 0 > fault_before[i] + 0 && (fault_after[i] == "" || term + 0 <= fault_after[i] + 0)) return i
    return 0
}

function takeover(term, previous, is_change, gap, seen, limit) {
    gap = claim_gap[term]
    seen = (previous in last_led) && (term in first_led) ? sprintf("%.0f", (first_led[term] - last_led[previous]) * 1000) : "null"
    printf "takeover\t%d\t{\"term\":%s,\"leader\":\"%s\",", fault_of(term), term, leader_of[term]
    printf "\"cause\":\"%s\",\"gap_ms\":%s,\"seen_ms\":%s,\"at\":%s}\n", claim_cause[term], gap, seen, claim_at[term]
    if (gap + 0 > longest + 0) longest = gap
    if (bound != "" && gap + 0 > bound + 0) {
        over++
        over_what = over_what (over_what == "" ? "" : ", ") gap " ms before " leader_of[term] " led (" claim_cause[term] ")"
    }
    if (cause != "" && is_change && claim_cause[term] != cause)
        broken("cause", leader_of[term] " took over from one that " claim_cause[term] ", and not from one that " cause)
    # What was seen from outside bounds what the timeline tells, by the clock of Redis.
    if (claim_cause[term] ~ /^(released|crashed|expired)$/ && (previous in none_first)) {
        without_leader = int((none_last[previous] - none_first[previous]) * 1000)
        if (without_leader > gap + 250)
            broken("honest gaps", leader_of[term] " tells of " gap " ms without a leader before it, and " without_leader " ms were seen")
    }
}

END {
    sort_claims()
    previous = base
    for (i = 1; i <= claims; i++) {
        term = claim_term[i]
        if (term + 0 <= base + 0) continue
        terms++
        changed = leader_of[term] != leader_of[previous]
        changes += changed
        takeover(term, previous, changed)
        previous = term
    }
    # 99 of 100 are within the bound.
    if (over > int(terms / 100)) broken("takeover in time", "nobody led for " over_what "; allowed are " bound " ms")
    if (most != "" && changes > most + 0) broken("no flapping", changes " changes of the leader, and " most " were to be expected at most")
    if (least != "" && terms < least + 0) broken("takeover in time", terms + 0 " new terms, and " least " had to be")
    printf "seen\tsamples\t%d\nseen\tanswers\t%d\nseen\tsilent\t%d\nseen\twithout_redis\t%d\n", samples, answers, silent, cut_off
    printf "seen\tterms\t%d\nseen\tleader_changes\t%d\nseen\tlongest_gap_ms\t%d\n", terms, changes, longest
    printf "seen\tleaderless_answers\t%d\nseen\tversions\t%d\nseen\tstale_answers\t%d\n", nobody, versions, stales
    printf "seen\tresolution_ms\t%.0f\nseen\tanswer_ms\t%.0f\n", (pairs ? apart / pairs * 1000 : 0), (answers ? took / answers : 0)
    printf "seen\tseconds\t%.1f\nseen\toldest_age\t%s\n", ended_at - began_at, (worst == "" ? "null" : worst)
}
