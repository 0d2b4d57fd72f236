# shellcheck shell=bash
# What can be done to processes of this machine.

redis_ports=(6379)

# ended PID: gone, or a zombie that nobody has waited for yet.
ended() {
    case $(ps -o stat= -p "$1") in
        "" | Z*) return 0 ;;
        *) return 1 ;;
    esac
}

# remember NAME: how the process `pid` was started.
remember() {
    [ -z "$supervised$start_command" ] || return 0
    mkdir -p "$work/again"
    if ! { cat "/proc/$pid/cmdline" >"$work/again/$1.command" &&
        cat "/proc/$pid/environ" >"$work/again/$1.environment" &&
        readlink "/proc/$pid/cwd" >"$work/again/$1.directory"; } 2>/dev/null; then
        not_landed="how process $pid was started is not to be seen here: say how by --start, or that something else does by --supervised"
        return 1
    fi
}

# bring_back NAME: starts it as it was.
bring_back() {
    local words variables
    undo=()
    if [ -n "$supervised" ]; then
        return 0
    elif [ -n "$start_command" ]; then
        REPLICA=$1 start_apart "$1" sh -c "$start_command"
    else
        mapfile -d '' -t words <"$work/again/$1.command"
        mapfile -d '' -t variables <"$work/again/$1.environment"
        (cd "$(cat "$work/again/$1.directory")" && start_apart "$1" env -i "${variables[@]}" "${words[@]}")
    fi
}

# Starts what outlives this script, and Ctrl-C.
start_apart() {
    local log=$report/$1.log
    shift
    [[ $log = /* ]] || log=$here/$log
    if command -v setsid >/dev/null; then
        setsid "$@" >>"$log" 2>&1 </dev/null &
    else
        nohup "$@" >>"$log" 2>&1 </dev/null &
    fi
}
here=$PWD

# end_by SIGNAL NAME: ends the process `pid`.
end_by() {
    remember "$2" || return 1
    on_the_way_out bring_back "$2"
    if ! kill -s "$1" "$pid" 2>"$work/why"; then
        not_landed="may not signal process $pid: $(tail -n 1 "$work/why")"
        return 1
    fi
    until_true "$patience" ended "$pid" || {
        not_landed="process $pid is still there after SIG$1"
        return 1
    }
    proof="process $pid of $2 ended after SIG$1"
}

end_softly() {
    replica_process "$1" && end_by TERM "$1"
}

crash() {
    replica_process "$1" && end_by KILL "$1"
}

check_shared() {
    :
}

is_stopped() {
    case $(ps -o stat= -p "$1") in
        T*) return 0 ;;
        *) return 1 ;;
    esac
}

freeze() {
    replica_process "$1" || return 1
    frozen=$pid
    on_the_way_out thaw
    if ! kill -s STOP "$pid" 2>"$work/why"; then
        not_landed="may not signal process $pid: $(tail -n 1 "$work/why")"
        return 1
    fi
    until_true 2 is_stopped "$pid" || return 1
    proof="process $pid of $1 is stopped (state T)"
}

thaw() {
    kill -s CONT "$frozen" || return 1
    undo=()
}

# What cut_off needs: refuses where it is missing.
check_partition() {
    if [ "$(uname)" != Linux ] || [ "$(id -u)" -ne 0 ] || ! command -v iptables >/dev/null; then
        refuse "to cut one process off from Redis takes root on Linux, and iptables"
    fi
    groups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    [ -w "${groups:-/nowhere}/cgroup.procs" ] ||
        refuse "to cut one process off from Redis takes cgroup v2, which is not mounted here, or not to be written to"
}

# rules ADD-OR-DELETE: drops what the sockets of the process send to Redis: those it makes from now on are
# its control group's, and those it had are known by their ports.
rules() {
    local port source failed=0
    for port in "${redis_ports[@]}"; do
        iptables -w "$1" OUTPUT -p tcp --dport "$port" -m cgroup --path "${group#"$groups"/}" -j DROP || failed=1
    done
    while read -r port source; do
        iptables -w "$1" OUTPUT -p tcp --sport "$source" --dport "$port" -j DROP || failed=1
    done <"$work/connections"
    return "$failed"
}

# The process's connections to Redis, as lines "port source".
connections_of() {
    find "/proc/$1/fd" -maxdepth 1 -lname 'socket:*' -printf '%l\n' 2>/dev/null | tr -dc '0-9\n' >"$work/sockets"
    cat "/proc/$1/net/tcp" "/proc/$1/net/tcp6" 2>/dev/null | awk -v ports="${redis_ports[*]}" '
        function number(text, i, sum) {
            for (i = 1; i <= length(text); i++) sum = sum * 16 + index("0123456789ABCDEF", substr(text, i, 1)) - 1
            return sum
        }
        BEGIN { split(ports, list, " "); for (i in list) redis[list[i]] = 1 }
        FILENAME == ARGV[1] { mine[$1] = 1; next }
        $10 in mine { n = split($2, from, ":"); split($3, to, ":"); if (number(to[n]) in redis) print number(to[n]), number(from[n]) }
    ' "$work/sockets" -
}

dropped() {
    iptables -w -nvxL OUTPUT | awk -v path="${group#"$groups"/}" -v connections="$(tr '\n' ',' <"$work/connections")" '
        BEGIN { count = split(connections, list, ","); for (i = 1; i <= count; i++) { split(list[i], port, " "); own["spt:" port[2]] = 1 } }
        index($0, path) { sum += $1; next }
        { for (i = 1; i <= NF; i++) if ($i in own && $i != "spt:") sum += $1 }
        END { print sum + 0 }'
}

cut_off() {
    local began=$EPOCHREALTIME
    replica_process "$1" || return 1
    isolated=$pid
    former=$(awk -F : '$1 == 0 { print $3 }' "/proc/$pid/cgroup")
    group=$groups/pollux-cut-off-$pid
    : >"$work/connections"
    on_the_way_out reconnect
    mkdir -p "$group" && echo "$pid" >"$group/cgroup.procs" || return 1
    connections_of "$pid" >"$work/connections"
    if ! rules -A 2>"$work/why"; then
        not_landed="iptables: $(tail -n 1 "$work/why")"
        return 1
    fi
    if ! until_true "$lasts" redis_is_away "$1" "$began"; then
        not_landed="$1 still reaches Redis: does Redis listen at another port than ${redis_ports[*]} (--redis-port)?"
        return 1
    fi
    proof="$1 says that Redis does not answer, and $(dropped) of its packets were dropped"
}

reconnect() {
    # Those that were never added cannot be deleted; what counts is that none is left.
    rules -D 2>/dev/null || true
    if iptables -w -S OUTPUT | grep -F -- "--path ${group#"$groups"/} " >&2; then
        not_landed="these rules of iptables are still there"
        return 1
    fi
    [ ! -d "$group" ] || {
        echo "$isolated" >"$groups${former%/}/cgroup.procs" 2>/dev/null || true
        rmdir "$group"
    }
    undo=()
}

is_ready() {
    curl --silent --fail --max-time 2 --noproxy '*' -o "$work/ready" "$(cat "$work/admins/$1")/readyz"
}

restart_all() {
    local name count=0
    for name in $(target_list); do
        end_softly "$name" && bring_back "$name" || return 1
        if ! until_true "$patience" is_ready "$name"; then
            not_landed="$name is not ready again; its log may be $report/$name.log"
            return 1
        fi
        count=$((count + 1))
    done
    proof="$count replicas were stopped by SIGTERM and are ready again, one after the other"
}

find_redis() {
    [ -n "$start_command$supervised" ] ||
        refuse "Redis does not show how it was started: say how by --start 'redis-server /etc/redis.conf', or that something else starts it again by --supervised"
    redis=${redis_ports[0]}
    process_of "$redis" redis-server valkey-server || refuse "$not_landed (--redis-port says where Redis listens)"
}

end_redis() {
    process_of "$redis" redis-server valkey-server && end_by KILL redis
}

redis_listens() {
    listener "$redis" >/dev/null
}

await_redis() {
    bring_back redis
    until_true "$patience" redis_listens || {
        not_landed="nothing listens at port $redis; a log may be $report/redis.log"
        return 1
    }
}
