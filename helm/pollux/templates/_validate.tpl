{{/* Refuses values that contradict each other or lack something, all at once, in plain sentences. What
only the binary can judge is left to it: the preflight Job reads the same configuration. */}}
{{- define "pollux.validate" -}}
{{- if not .Values.config -}}
{{- fail (include "pollux.noConfig" .) -}}
{{- end -}}
{{- $problems := concat
  (include "pollux.problemsOfConfig" . | fromYamlArray)
  (include "pollux.problemsOfLease" . | fromYamlArray)
  (include "pollux.problemsOfScale" . | fromYamlArray)
  (include "pollux.problemsOfNetwork" . | fromYamlArray) -}}
{{- if $problems -}}
{{- fail (printf "\n\nThe release cannot be made of these values:\n\n- %s\n" (join "\n- " $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "pollux.noConfig" -}}


Nothing to poll is configured. Put Pollux's configuration under `config:`, exactly as in a file:

config:
  cluster: example
  redis:
    url: redis://redis.example:6379   # or leave it out, and set redis.embedded=true for a trial
  endpoints:
    - name: prices
      url: http://backend.example/prices
      every: 2s

{{ end -}}

{{- define "pollux.problemsOfConfig" -}}
{{- $problems := list -}}
{{- $config := .Values.config -}}
{{- if not $config.cluster -}}
{{- $problems = append $problems "config.cluster is missing: the name that all replicas share, such as `cluster: example`." -}}
{{- end -}}
{{- if not $config.endpoints -}}
{{- $problems = append $problems "config.endpoints is missing: what to poll, such as `endpoints: [{name: prices, url: http://backend.example/prices, every: 2s}]`." -}}
{{- end -}}
{{- if and $config.redis .Values.redis.embedded -}}
{{- $problems = append $problems "config.redis names a Redis, and redis.embedded brings another: choose one." -}}
{{- end -}}
{{- if not (or $config.redis .Values.redis.embedded) -}}
{{- if .Values.gateway.separate -}}
{{- $problems = append $problems "config.redis is missing: separate gateways read what the pollers publish there. Set config.redis.url, or redis.embedded=true for a trial." -}}
{{- else if gt (int .Values.replicas) 1 -}}
{{- $problems = append $problems (printf "config.redis is missing: without it each of the %d replicas would poll for itself. Set config.redis.url, or redis.embedded=true for a trial, or replicas=1." (int .Values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- range list "replica" "address" -}}
{{- if hasKey $config . -}}
{{- $problems = append $problems (printf "config.%s cannot be set: each pod has its own, which the chart fills in." .) -}}
{{- end -}}
{{- end -}}
{{- range list "gateway" "admin" -}}
{{- $listen := toString ((get $config . | default dict).listen | default "") -}}
{{- if regexMatch "^(127\\.|\\[::1\\])" $listen -}}
{{- $problems = append $problems (printf "config.%s.listen is %s, where nobody outside the pod reaches it: leave it out, or write 0.0.0.0 or [::] and a port." . $listen) -}}
{{- end -}}
{{- end -}}
{{- range $from, $env := dict "extraEnv" .Values.extraEnv "gateway.extraEnv" .Values.gateway.extraEnv -}}
{{- /* Ports and the time to leave are in the pods, too. */ -}}
{{- range $variable, $setting := dict "POLLUX__GATEWAY__LISTEN" "config.gateway.listen" "POLLUX__ADMIN__LISTEN" "config.admin.listen" "POLLUX__DRAIN" "config.drain" -}}
{{- range $env -}}
{{- if eq .name $variable -}}
{{- $problems = append $problems (printf "%s has %s, which the chart sets by %s: set that, and leave the variable out." $from $variable $setting) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $env -}}
{{- if has .name (list "POLLUX__REPLICA" "POLLUX__ADDRESS") -}}
{{- $problems = append $problems (printf "%s has %s: each pod has its own, which the chart fills in." $from .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq (include "pollux.httpPort" .) (include "pollux.adminPort" .) -}}
{{- $problems = append $problems (printf "config.gateway.listen and config.admin.listen have the same port, %s." (include "pollux.adminPort" .)) -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end -}}

{{/* The order of the timings, with the binary's defaults for those that are left out. */}}
{{- define "pollux.problemsOfLease" -}}
{{- $problems := list -}}
{{- $lease := .Values.config.lease | default dict -}}
{{- $texts := dict
  "config.drain" (.Values.config.drain | default "20s")
  "config.lease.retry_period" ($lease.retry_period | default "1s")
  "config.lease.renew_deadline" ($lease.renew_deadline | default "4s")
  "config.lease.duration" ($lease.duration | default "6s")
  "config.redis.timeout" ((.Values.config.redis | default dict).timeout | default "500ms") -}}
{{- $millis := dict -}}
{{- range $name, $text := $texts -}}
{{- /* What a variable or file holds is not known here. */ -}}
{{- if contains "${" (toString $text) -}}{{- continue -}}{{- end -}}
{{- $found := include "pollux.millis" $text -}}
{{- if $found -}}
{{- $_ := set $millis $name ($found | int64) -}}
{{- else -}}
{{- $problems = append $problems (printf "%s is %v: expected a duration such as 250ms, 2s or 1m30s." $name $text) -}}
{{- end -}}
{{- end -}}
{{- range list
  (list "config.lease.retry_period" "config.lease.renew_deadline" "a renewal must be tried more than once before the leader gives up")
  (list "config.lease.renew_deadline" "config.lease.duration" "the leader must stop before its lease ends")
  (list "config.redis.timeout" "config.lease.renew_deadline" "a renewal must be answered, or tried again, within it") -}}
{{- $less := index . 0 -}}
{{- $more := index . 1 -}}
{{- if and (hasKey $millis $less) (hasKey $millis $more) -}}
{{- if ge (get $millis $less) (get $millis $more) -}}
{{- $problems = append $problems (printf "%s (%v) must be less than %s (%v): %s." $less (get $texts $less) $more (get $texts $more) (index . 2)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end -}}

{{- define "pollux.problemsOfScale" -}}
{{- $problems := list -}}
{{- $scaling := .Values.autoscaling -}}
{{- if $scaling.enabled -}}
{{- if not .Values.gateway.separate -}}
{{- $problems = append $problems "autoscaling.enabled needs gateway.separate: more pollers would poll no more, only one of them leads." -}}
{{- end -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- $problems = append $problems (printf "autoscaling.minReplicas (%d) is more than autoscaling.maxReplicas (%d)." (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- $resources := .Values.gateway.resources | default .Values.resources -}}
{{- $cpu := or ($resources.requests | default dict).cpu ($resources.limits | default dict).cpu -}}
{{- if and $scaling.targetCPUUtilizationPercentage (not $cpu) -}}
{{- $problems = append $problems (printf "autoscaling.targetCPUUtilizationPercentage is a share of the CPU that gateways request, and %s.requests.cpu is missing: add it, or set the percentage to 0 and scale by autoscaling.metrics." (ternary "gateway.resources" "resources" (not (empty .Values.gateway.resources)))) -}}
{{- end -}}
{{- if not (or $scaling.targetCPUUtilizationPercentage $scaling.metrics) -}}
{{- $problems = append $problems "autoscaling.enabled has nothing to go by: set autoscaling.targetCPUUtilizationPercentage or autoscaling.metrics." -}}
{{- end -}}
{{- end -}}
{{- $budgets := list (list "podDisruptionBudget" .Values.podDisruptionBudget (int .Values.replicas)) -}}
{{- if .Values.gateway.separate -}}
{{- $gateways := ternary $scaling.minReplicas .Values.gateway.replicas $scaling.enabled | int -}}
{{- $budgets = append $budgets (list "gateway.podDisruptionBudget" .Values.gateway.podDisruptionBudget $gateways) -}}
{{- end -}}
{{- range $budgets -}}
{{- with include "pollux.problemOfBudget" (dict "name" (index . 0) "budget" (index . 1) "replicas" (index . 2)) -}}
{{- $problems = append $problems . -}}
{{- end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end -}}

{{/* A budget under which no pod may ever be evicted: a node with one of them could not be drained. */}}
{{- define "pollux.problemOfBudget" -}}
{{- $fewest := toString .budget.minAvailable -}}
{{- $most := toString .budget.maxUnavailable -}}
{{- if .budget.enabled -}}
{{- if ne $fewest "" -}}
{{- $stay := int (trimSuffix "%" $fewest) -}}
{{- if hasSuffix "%" $fewest -}}
{{- $stay = div (add (mul $stay .replicas) 99) 100 -}}
{{- end -}}
{{- if ge (int $stay) .replicas -}}
{{- printf "%s.minAvailable is %s of %d replicas: none could ever be evicted, and no node with one of them drained. Lower it, or set %s.enabled=false." .name $fewest .replicas .name -}}
{{- end -}}
{{- else if or (eq $most "0") (eq $most "0%") (eq $most "") -}}
{{- printf "%s.maxUnavailable is %s: none could ever be evicted, and no node with one of them drained. Raise it, or set %s.enabled=false." .name ($most | default "empty") .name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "pollux.problemsOfNetwork" -}}
{{- $problems := list -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- $problems = append $problems "ingress.enabled needs ingress.hosts, such as `hosts: [pollux.example.com]`." -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- $problems = append $problems "httpRoute.enabled needs httpRoute.parentRefs, the Gateways it is for, such as `parentRefs: [{name: public, namespace: gateways}]`." -}}
{{- end -}}
{{- $policy := .Values.networkPolicy -}}
{{- if $policy.enabled -}}
{{- if and .Values.config.redis (not (or $policy.redis.cidrs $policy.redis.peers)) -}}
{{- $problems = append $problems "networkPolicy.enabled needs networkPolicy.redis.cidrs or .peers: where Redis is, or it would be out of reach." -}}
{{- end -}}
{{- range include "pollux.redisPorts" . | fromYamlArray -}}
{{- if not (has . (include "pollux.texts" $policy.redis.ports | fromYamlArray)) -}}
{{- $problems = append $problems (printf "networkPolicy.redis.ports lacks %s, a port that config.redis has: without it Redis or Sentinel would be out of reach. Add it beside the others." .) -}}
{{- end -}}
{{- end -}}
{{- if not (or $policy.backends.cidrs $policy.backends.peers) -}}
{{- $problems = append $problems "networkPolicy.enabled needs networkPolicy.backends.cidrs or .peers: where the polled hosts are, or they would be out of reach." -}}
{{- end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end -}}
