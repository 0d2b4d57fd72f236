# One answer of /v1/cluster, flattened by json_flat, as one line of the record.
# Variables: at, took (ms), asked, and since: the newest term whose claim was recorded already.
BEGIN { FS = "\t" }
{ value[$1] = $2 }

function known(path) { return path in value ? value[path] : "null" }

# Adds `"name":value` to the line.
function add(name, what) {
    line = line (line ~ /[\[{]$/ ? "" : ",") "\"" name "\":" what
}

# Opens an object of a list.
function begin() { line = line (line ~ /\[$/ ? "" : ",") "{" }

function add_own(i) {
    for (i = 0; ("replicas." i ".replica") in value; i++)
        if (value["replicas." i ".replica"] == value["replica"]) break
    add("role", known("replicas." i ".role"))
    add("started", known("replicas." i ".started_at"))
}

function add_claims(i, entry) {
    for (i = 0; ("timeline." i ".event") in value; i++) {
        entry = "timeline." i "."
        if (value[entry "event"] != "\"claimed\"" || value[entry "term"] + 0 <= since + 0) continue
        begin()
        add("at", value[entry "at"])
        add("replica", value[entry "replica"])
        add("term", value[entry "term"])
        add("cause", value[entry "cause"])
        add("gap_ms", value[entry "gap"])
        line = line "}"
    }
}

function add_endpoints(i, entry) {
    for (i = 0; ("endpoints." i ".name") in value; i++) {
        entry = "endpoints." i "."
        begin()
        add("name", value[entry "name"])
        add("version", known(entry "version"))
        add("age", known(entry "age"))
        add("stale", known(entry "stale"))
        add("stale_after", known(entry "stale_after"))
        line = line "}"
    }
}

END {
    line = "{"
    add("at", at)
    add("took_ms", took)
    add("asked", "\"" asked "\"")
    # What does not say which replica it is, is none.
    if (!("replica" in value)) {
        add("ok", "false")
        add("error", "\"not the answer of a replica of Pollux\"")
        print line "}"
        exit
    }
    add("ok", "true")
    add("replica", value["replica"])
    add_own()
    add("store", known("store.ok"))
    add("leader", known("leader.replica"))
    add("leader_term", known("leader.term"))
    add("term", known("term"))
    add("lease_remaining", known("leader.lease_remaining"))
    line = line ",\"claims\":["
    add_claims()
    line = line "],\"endpoints\":["
    add_endpoints()
    print line "]}"
}
