{{/* The beginning of all names. Kubernetes allows 63 characters; the longest suffix has 15. */}}
{{- define "pollux.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What tells the pods of a component apart: dict "root" $ "component" "poller". */}}
{{- define "pollux.selectorLabels" -}}
app.kubernetes.io/name: {{ ternary "redis" "pollux" (eq .component "redis") }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The labels of every object: dict "root" $ "component" "poller". Pods have the selector's alone, so
that a new version of the chart restarts none of them by its labels. */}}
{{- define "pollux.labels" -}}
{{ include "pollux.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: pollux
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Which component serves clients. */}}
{{- define "pollux.serving" -}}
{{- ternary "gateway" "poller" .Values.gateway.separate -}}
{{- end -}}

{{- define "pollux.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "pollux.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* An image by digest, or else by tag: dict "image" .Values.image "tag" .Chart.AppVersion. */}}
{{- define "pollux.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .tag) -}}
{{- end -}}
{{- end -}}

{{/* A duration such as 1m30s in milliseconds; nothing where it is none. */}}
{{- define "pollux.millis" -}}
{{- $text := toString . -}}
{{- if regexMatch "^([0-9]{1,9}(ms|h|m|s))+$" $text -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(ms|h|m|s)" $text -1 -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- $factor := get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) (regexFind "[a-z]+$" .) -}}
{{- $sum = add $sum (mul $number $factor) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}
{{- end -}}

{{/* A part of an address such as 0.0.0.0:9090: its port, or the default. */}}
{{- define "pollux.port" -}}
{{- regexFind "[0-9]+$" (toString .listen) | default .default -}}
{{- end -}}

{{/* Where a server listens: dict "root" $ "server" "admin" "port" "9090". */}}
{{- define "pollux.listen" -}}
{{- $any := ternary "[::]" "0.0.0.0" .root.Values.ipv6 -}}
{{- (get (.root.Values.config | default dict) .server | default dict).listen | default (printf "%s:%s" $any .port) -}}
{{- end -}}

{{- define "pollux.httpPort" -}}
{{- include "pollux.port" (dict "listen" (((.Values.config).gateway).listen | default "") "default" "8080") -}}
{{- end -}}

{{- define "pollux.adminPort" -}}
{{- include "pollux.port" (dict "listen" (((.Values.config).admin).listen | default "") "default" "9090") -}}
{{- end -}}

{{/* Whether a component takes the seconds of preStop: only where clients are sent to it, and
Kubernetes can sleep by itself, since the image has no shell. dict "root" $ "component" "poller". */}}
{{- define "pollux.preStopSeconds" -}}
{{- $served := eq .component (include "pollux.serving" .root) -}}
{{- if and $served (semverCompare ">=1.30-0" .root.Capabilities.KubeVersion.Version) -}}
{{- .root.Values.preStopSleepSeconds | int -}}
{{- else -}}
0
{{- end -}}
{{- end -}}

{{/* How long a pod may take to go: preStop, then `drain`, and 5 s on top for the process to end. */}}
{{- define "pollux.gracePeriod" -}}
{{- $drain := include "pollux.millis" ((.root.Values.config).drain | default "20s") | default "20000" | int64 -}}
{{- add (include "pollux.preStopSeconds" . | int) (div (add $drain 999) 1000) 5 -}}
{{- end -}}
