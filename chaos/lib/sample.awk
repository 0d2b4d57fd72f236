# One answer of /v1/cluster, flattened by json_flat, as one line of the record.
# Variables: at, took (ms), asked, and since: the newest term whose claim was recorded already.
BEGIN { FS = "\t" }
{ value[$1] = $2 }

function known(path) { return path in value ? value[path] : "null" }

END {
    # What does not say which replica it is, is none.
    if (!("replica" in value)) {
        printf "{\"at\":%s,\"took_ms\":%s,\"asked\":\"%s\",\"ok\":false,\"error\":\"not the answer of a replica of Pollux\"}\n", at, took, asked
        exit
    }
    started = role = "null"
    for (i = 0; ("replicas." i ".replica") in value; i++) {
        if (value["replicas." i ".replica"] != value["replica"]) continue
        started = known("replicas." i ".started_at")
        role = known("replicas." i ".role")
    }
    printf "{\"at\":%s,\"took_ms\":%s,\"asked\":\"%s\",\"ok\":true,\"replica\":%s,\"role\":%s,\"started\":%s,\"store\":%s", at, took, asked, value["replica"], role, started, known("store.ok")
    printf ",\"leader\":%s,\"leader_term\":%s,\"term\":%s,\"lease_remaining\":%s", known("leader.replica"), known("leader.term"), known("term"), known("leader.lease_remaining")
    printf ",\"claims\":["
    separator = ""
    for (i = 0; ("timeline." i ".event") in value; i++) {
        entry = "timeline." i "."
        if (value[entry "event"] != "\"claimed\"" || value[entry "term"] + 0 <= since + 0) continue
        printf "%s{\"at\":%s,\"replica\":%s,\"term\":%s,\"cause\":%s,\"gap_ms\":%s}", separator, value[entry "at"], value[entry "replica"], value[entry "term"], value[entry "cause"], value[entry "gap"]
        separator = ","
    }
    printf "],\"endpoints\":["
    separator = ""
    for (i = 0; ("endpoints." i ".name") in value; i++) {
        entry = "endpoints." i "."
        printf "%s{\"name\":%s,\"version\":%s,\"age\":%s,\"stale\":%s,\"stale_after\":%s}", separator, value[entry "name"], known(entry "version"), known(entry "age"), known(entry "stale"), known(entry "stale_after")
        separator = ","
    }
    print "]}"
}
