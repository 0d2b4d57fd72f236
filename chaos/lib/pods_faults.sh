# shellcheck shell=bash
# Templates and what runs elsewhere have $ of their own.
# shellcheck disable=SC2016
# What can be done to the pods of a release.

# The image of the ephemeral container: any that has sh, cat, kill, tr and grep.
image=busybox:1.36
redis_selector=""
redis_ports=(6379)

# Whether a pod of this uid is there no more.
is_gone() {
    [ "$(pod_says "$1" '{.metadata.uid}')" != "$2" ]
}

# end_softly POD: as Kubernetes ends pods. It may take preStop and `drain`.
end_softly() {
    local uid limit
    uid=$(pod_says "$1" '{.metadata.uid}')
    limit=$(pod_says "$1" '{.spec.terminationGracePeriodSeconds}')
    if ! k delete pod "$1" --wait=false >/dev/null 2>"$work/why"; then
        not_landed=$(complaint "$work/why")
        return 1
    fi
    until_true "$(calculate "${limit:-30} + $patience")" is_gone "$1" "$uid" || return 1
    proof="pod $1 ($uid) is gone"
}

bring_back() {
    :
}

# inside POD CONTAINER COMMANDS: runs sh beside the replica, in an ephemeral container, as the pod's user.
inside() {
    if ! k debug "$1" --image="$image" --container="$2" --profile=restricted --attach=false -- \
        sh -c "$3" >"$work/why" 2>&1; then
        not_landed="no ephemeral container in pod $1: $(complaint "$work/why")"
        return 1
    fi
}

# What all that goes on inside begins with: `pid` is the replica's process. With a process namespace of
# the pod, 1 is never it; `pollux status` and the like are no `run`.
FIND='
pid=
for process in /proc/[0-9]*; do
    [ "${process#/proc/}" -gt 1 ] || continue
    [ "$(cat "$process/comm" 2>/dev/null)" = pollux ] || continue
    tr "\0" " " <"$process/cmdline" | grep -q " run " || continue
    [ -z "$pid" ] || { echo "failed: several processes of pollux run"; exit 1; }
    pid=${process#/proc/}
done
[ -n "$pid" ] || { echo "failed: no process of pollux run is to be seen"; exit 1; }
'

# told POD CONTAINER WORD: whether the container said a line that begins so, or that it failed.
told() {
    k logs "$1" --container="$2" >"$work/told" 2>/dev/null || return 1
    grep -qE "^($3|failed)" "$work/told"
}

# Why an ephemeral container has not said anything.
silence() {
    pod_says "$1" "{.status.ephemeralContainerStatuses[?(@.name==\"$2\")].state.waiting.reason}"
}

# await_inside POD CONTAINER WORD
await_inside() {
    if ! until_true "$patience" told "$@"; then
        not_landed="the ephemeral container in pod $1 said nothing within $patience s: ${image} $(silence "$1" "$2")"
        return 1
    fi
    if grep -q ^failed "$work/told"; then
        not_landed="in pod $1: $(grep ^failed "$work/told")"
        return 1
    fi
}

check_shared() {
    [ "$(pod_says "$1" '{.spec.shareProcessNamespace}')" = true ] ||
        refuse "in pod $1 no other container may see the replica's process: set the chart's \
chaos.shareProcessNamespace=true (helm upgrade $release helm/pollux --reuse-values --set \
chaos.shareProcessNamespace=true), which replaces the pods, and take it back afterwards"
}

restarts() {
    pod_says "$1" '{.status.containerStatuses[?(@.name=="pollux")].restartCount}'
}

restarted() {
    [ "$(restarts "$1")" -gt "$2" ] 2>/dev/null
}

crash() {
    local before status container
    container=chaos-$(date +%s)-$RANDOM
    before=$(restarts "$1")
    inside "$1" "$container" "$FIND"'kill -KILL "$pid" && echo "killed $pid" || echo "failed: may not kill $pid"' || return 1
    await_inside "$1" "$container" killed || return 1
    if ! until_true "$patience" restarted "$1" "${before:-0}"; then
        not_landed="the kubelet has not restarted the container of pod $1"
        return 1
    fi
    status=$(pod_says "$1" '{.status.containerStatuses[?(@.name=="pollux")].lastState.terminated.exitCode}')
    if [ "$status" != 137 ]; then
        not_landed="the container of pod $1 ended with status $status, not by SIGKILL (137)"
        return 1
    fi
    proof="the container of pod $1 was ended by SIGKILL and restarted"
}

# It wakes by itself in the end, also if this machine is gone by then.
freeze() {
    local container
    container=chaos-$(date +%s)-$RANDOM
    frozen_in=$container
    inside "$1" "$container" "$FIND"'
        wake() { kill -CONT "$pid" && echo "woken $pid"; exit; }
        trap wake TERM INT
        kill -STOP "$pid" || { echo "failed: may not stop $pid"; exit 1; }
        until grep -q "^State:.*T" "/proc/$pid/status"; do :; done
        echo "stopped $pid by $$"
        sleep '"$lasts"' & wait $!
        wake' || return 1
    on_the_way_out thaw "$1"
    await_inside "$1" "$container" stopped || return 1
    proof="in pod $1, $(grep ^stopped "$work/told")"
}

thaw() {
    local line
    if ! told "$1" "$frozen_in" woken; then
        line=$(grep ^stopped "$work/told") || return 0
        # shellcheck disable=SC2086
        set -- "$1" ${line//[!0-9]/ }
        k exec "$1" --container="$frozen_in" -- sh -c "kill -TERM $3; kill -CONT $2" >/dev/null 2>&1 || true
        until_true "$patience" told "$1" "$frozen_in" woken || return 1
    fi
    undo=()
}

# The policies that say already what a pod may ask: others can only add to it.
policies_of() {
    local labels
    labels=$(pod_says "$1" '{.metadata.labels}' | json_flat | tr '\t' =)
    # Of each that is about egress: its name, and the labels that it wants.
    k get networkpolicies -o go-template='
        {{- range .items}}{{$egress := false}}
        {{- range .spec.policyTypes}}{{if eq . "Egress"}}{{$egress = true}}{{end}}{{end}}
        {{- if $egress}}{{.metadata.name}}
        {{- range $key, $value := .spec.podSelector.matchLabels}} {{$key}}="{{$value}}"{{end}}{{"\n"}}
        {{- end}}{{end}}' |
        awk -v labels="$labels" '
            BEGIN { split(labels, lines, "\n"); for (i in lines) has[lines[i]] = 1 }
            { for (i = 2; i <= NF; i++) if (!($i in has)) next; print $1 }'
}

# All ports but these, as the rules of a policy.
other_ports() {
    local port from=1
    for port in $(printf '%s\n' "${redis_ports[@]}" | sort -n) 65536; do
        [ "$from" -gt $((port - 1)) ] || printf '{protocol: TCP, port: %d, endPort: %d}, ' "$from" $((port - 1))
        from=$((port + 1))
    done
    printf '{protocol: UDP, port: 1, endPort: 65535}'
}

# cut_off POD: from Redis, by its ports.
cut_off() {
    local began=$EPOCHREALTIME
    policy=pollux-chaos-$release-$RANDOM
    on_the_way_out reconnect "$1"
    if ! { k label pod "$1" "pollux-chaos=$policy" && policy_manifest | k create -f -; } >/dev/null 2>"$work/why"; then
        not_landed=$(complaint "$work/why")
        return 1
    fi
    if ! until_true "$lasts" redis_is_away "$1" "$began"; then
        not_landed="$1 still reaches Redis under the NetworkPolicy $policy. Either the network plugin does not \
enforce policies, or it leaves connections alone that are there already, or Redis listens at another port than \
${redis_ports[*]} (--redis-port). chaos/mesh/leader-cut-off.yaml cuts by other means"
        return 1
    fi
    proof="$1 says that Redis does not answer, $(ms_between "$began" "$EPOCHREALTIME") ms after NetworkPolicy $policy"
}

policy_manifest() {
    cat <<EOF
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: $policy, labels: {app.kubernetes.io/part-of: pollux-chaos, app.kubernetes.io/instance: $release}}
spec:
  podSelector: {matchLabels: {pollux-chaos: $policy}}
  policyTypes: [Egress]
  egress: [{ports: [$(other_ports)]}]
EOF
}

reconnect() {
    k delete networkpolicy "$policy" --ignore-not-found --wait=false >/dev/null || return 1
    k label pod "$1" pollux-chaos- >/dev/null 2>&1 || true
    undo=()
}

uids() {
    k get pods --selector "$selector" -o go-template='{{range .items}}{{.metadata.uid}}{{"\n"}}{{end}}' | sort
}

rolled_out() {
    local uid
    k rollout status deployment --selector "app.kubernetes.io/name=pollux,app.kubernetes.io/instance=$release" --watch=false >"$work/rollout" 2>&1 || return 1
    ! grep -qiE 'waiting|old replicas' "$work/rollout" || return 1
    while read -r uid; do ! grep -qxF -- "$uid" "$work/uids" || return 1; done < <(uids)
}

restart_all() {
    uids >"$work/uids"
    if ! k rollout restart deployment --selector "app.kubernetes.io/name=pollux,app.kubernetes.io/instance=$release" >/dev/null 2>"$work/why"; then
        not_landed=$(complaint "$work/why")
        return 1
    fi
    if ! until_true "$(calculate "$patience * $base_answering")" rolled_out; then
        not_landed="the rollout is not complete: $(complaint "$work/rollout")"
        return 1
    fi
    proof="none of the $(grep -c . "$work/uids") pods that there were is left"
}

find_redis() {
    redis_labels=${redis_selector:-app.kubernetes.io/name=redis,app.kubernetes.io/instance=$release}
    k get pods --selector "$redis_labels" -o name >"$work/redis" 2>"$work/why" || refuse "$(complaint "$work/why")"
    case $(grep -c . "$work/redis") in
        1) redis=$(sed 's,^pod/,,' "$work/redis") ;;
        0) refuse "no pod in namespace $namespace has the labels $redis_labels: say by --redis-selector which pod Redis is" ;;
        *) refuse "several pods have the labels $redis_labels: choose one by --redis-selector" ;;
    esac
}

# A StatefulSet's pod has the same name again.
redis_is_new() {
    local ready
    ready=$(k get pods --selector "$redis_labels" -o go-template='
        {{- range .items}}{{if not .metadata.deletionTimestamp}}{{$name := .metadata.name}}
        {{- range .status.conditions}}{{if and (eq .type "Ready") (eq .status "True")}}{{$name}} {{end}}{{end}}
        {{- end}}{{end}}')
    [ -n "$ready" ] && is_gone "$redis" "$redis_uid"
}

end_redis() {
    redis_uid=$(pod_says "$redis" '{.metadata.uid}')
    end_softly "$redis"
}

await_redis() {
    until_true "$patience" redis_is_new || {
        not_landed="no new pod of Redis is ready"
        return 1
    }
}

check_partition() {
    local policies
    policies=$(policies_of "$1" | tr '\n' ' ')
    [ -z "$policies" ] ||
        refuse "NetworkPolicy ${policies% } says already what the leader's pod may ask, and another can only \
add to that: set networkPolicy.enabled=false meanwhile, or use chaos/mesh/leader-cut-off.yaml"
}
