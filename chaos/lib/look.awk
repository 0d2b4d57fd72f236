# The newest answers of all replicas, flattened, as one line: leader|term|answering|polling|lease|ill.
# Only those count that were asked after `after`; the leader's term must be above `above`.
function text(path) { sub(/^"/, "", value[path]); sub(/"$/, "", value[path]); return value[path] }

function complain(why) { if (ill == "") ill = why }

function take(i, name) {
    asked++
    name = text("asked")
    if (value["ok"] != "true") { silent = silent (silent == "" ? "" : ", ") name; return }
    if (value["at"] + 0 < after + 0) { waiting++; return }
    answering++
    if (text("role") != "gateway") polling++
    if (value["store"] != "true") complain(name " says that Redis does not answer")
    if (value["leader"] == "null") complain(name " sees nobody lead")
    else if (leader == "") { leader = text("leader"); term = value["leader_term"] }
    else if (leader != text("leader") || term != value["leader_term"]) complain("replicas do not agree on who leads")
    if (value["lease_remaining"] + 0 > lease + 0) lease = value["lease_remaining"]
    for (i = 0; ("endpoints." i ".name") in value; i++) {
        if (value["endpoints." i ".version"] == "null")
            complain("endpoint " text("endpoints." i ".name") " was never fetched, says " name)
        else if (value["endpoints." i ".stale"] == "true")
            complain("endpoint " text("endpoints." i ".name") " is stale, says " name)
    }
}

$0 == "" { take(); split("", value); next }
{ value[$1] = $2 }

END {
    if (answering == 0) ill = silent == "" ? "no replica has answered yet" : "no replica answers"
    else if (silent != "") complain(silent " does not answer")
    else if (waiting > 0) complain("not all replicas have answered yet")
    if (polling < 2) complain("fewer than two polling replicas answer: there is nobody to take over")
    if (ill == "" && term + 0 <= above + 0) complain(leader " leads in the same term as before")
    printf "%s|%s|%d|%d|%s|%s\n", (ill ~ /agree/ ? "" : leader), term, answering, polling, lease + 0, ill
}
