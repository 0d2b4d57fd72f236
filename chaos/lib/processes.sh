# shellcheck shell=bash
# Replicas that run as processes of this machine: their admin servers are asked by curl, and a process
# is found as the one that listens where its admin server does.

target_check() {
    asked_of="the replicas on this machine"
    mkdir "$work/admins"
    local admin
    for admin in "${admins[@]}"; do
        ask_admin "$admin" >"$work/answer" 2>"$work/why" ||
            refuse "no replica answers at $admin: $(tail -n 1 "$work/why"). Name the admin addresses of running replicas by --admin"
        json_flat <"$work/answer" >"$work/flat"
        learn "$admin"
    done
}

# Takes down where a replica and those it knows of are, if that is on this machine.
learn() {
    local name address
    name=$(flat_value replica)
    [ -n "$name" ] || refuse "what answers at $1 is no replica of Pollux"
    [[ $name =~ ^[A-Za-z0-9._-]+$ ]] || refuse "the replica at $1 has a name with other signs than letters, digits, '.', '_' and '-'"
    echo "$1" >"$work/admins/$name"
    while IFS=$'\t' read -r name address; do
        if [ -e "$work/admins/$name" ] || ! is_local "$address" || ! [[ $name =~ ^[A-Za-z0-9._-]+$ ]]; then continue; fi
        # Who ended lately is still told of.
        if ask_admin "$address" >/dev/null 2>&1; then echo "$address" >"$work/admins/$name"; fi
    done < <(awk -F '\t' '
        $1 ~ /^replicas\..*\.replica$/ { gsub(/"/, "", $2); name = $2 }
        $1 ~ /^replicas\..*\.address$/ { gsub(/"/, "", $2); print name "\t" $2 }' "$work/flat")
}

flat_value() {
    awk -F '\t' -v at="$1" '$1 == at && $2 != "null" { gsub(/^"|"$/, "", $2); print $2 }' "$work/flat"
}

is_local() {
    [[ $1 =~ ^http://(127\.[0-9.]+|localhost|\[::1\]):[0-9]+$ ]]
}

ask_admin() {
    curl --silent --show-error --fail --max-time 3 --noproxy '*' "$1/v1/cluster"
}

target_list() {
    ls "$work/admins"
}

target_knows() {
    [ -e "$work/admins/$1" ]
}

target_ask() {
    ask_admin "$(cat "$work/admins/$1")"
}

# Whoever says --local has named it.
target_agreed() {
    return 0
}

target_leave() {
    :
}

# listener PORT: the process that listens there, by /proc or else by lsof.
listener() {
    local inode
    if [ -r /proc/net/tcp ]; then
        inode=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
            awk -v port="$(printf %04X "$1")" '$4 == "0A" && $2 ~ ":" port "$" && !found++ { print $10 }')
        [ -n "$inode" ] || return 1
        # Processes that end meanwhile make find fail, and are not those that are sought.
        { find /proc/[0-9]*/fd -maxdepth 1 -lname "socket:\[$inode\]" 2>/dev/null || true; } |
            awk -F / 'NR == 1 { print $3 }'
    else
        lsof -nP -t -iTCP:"$1" -sTCP:LISTEN 2>/dev/null | head -n 1
    fi
}

# process_of PORT PROGRAM…: sets pid to the process that listens there and is one of these programs.
process_of() {
    local port=$1 program name
    shift
    pid=$(listener "$port") || pid=""
    if ! [[ $pid =~ ^[0-9]+$ ]] || [ "$pid" -le 1 ]; then
        not_landed="the process that listens at port $port is not to be found: is it another user's, or in a container?"
        return 1
    fi
    name=$(ps -o comm= -p "$pid")
    for program in "$@"; do
        [ "${name##*/}" != "$program" ] || return 0
    done
    not_landed="process $pid, which listens at port $port, is ${name:-gone} and not $1"
    return 1
}

# replica_process NAME: sets pid.
replica_process() {
    local admin
    admin=$(cat "$work/admins/$1")
    process_of "${admin##*:}" pollux
}
