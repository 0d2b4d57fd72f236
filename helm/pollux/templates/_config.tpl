{{/* pollux.yaml as the replicas read it: `config`, and what the chart knows better. */}}
{{- define "pollux.config" -}}
{{- $config := deepCopy (.Values.config | default dict) -}}
{{- $admin := $config.admin | default dict -}}
{{- if not $admin.listen -}}
{{- $_ := set $admin "listen" (include "pollux.listen" (dict "root" . "server" "admin" "port" "9090")) -}}
{{- end -}}
{{- if not $admin.token -}}
{{- $_ := set $admin "token" "${file:/run/secrets/pollux/admin-token}" -}}
{{- end -}}
{{- $_ := set $config "admin" $admin -}}
{{- if .Values.ipv6 -}}
{{- $gateway := $config.gateway | default dict -}}
{{- if not $gateway.listen -}}
{{- $_ := set $gateway "listen" "[::]:8080" -}}
{{- end -}}
{{- $_ := set $config "gateway" $gateway -}}
{{- end -}}
{{- if .Values.redis.embedded -}}
{{- $url := printf "redis://%s-redis:6379" (include "pollux.fullname" .) -}}
{{- $_ := set $config "redis" (dict "url" $url "password" "${file:/run/secrets/pollux/redis-password}") -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Whether the admin token is the chart's to provide: not where the configuration has one. */}}
{{- define "pollux.ownAdminToken" -}}
{{- if not (((.Values.config).admin).token) -}}true{{- end -}}
{{- end -}}

{{/* The Secret with the admin token, of the chart's making or not. */}}
{{- define "pollux.adminSecret" -}}
{{- .Values.admin.existingSecret | default (printf "%s-admin" (include "pollux.fullname" .)) -}}
{{- end -}}

{{/* The Secrets that become files at /run/secrets/pollux, as sources of a projected volume; the chart's
own last, since the last of a name counts. Kubernetes exchanges them all at once when one changes. Without
`admin` they are for preflight: there a missing Secret keeps nothing waiting, but is said by the binary.
dict "root" $ "admin" true. */}}
{{- define "pollux.secretSources" -}}
{{- $root := .root -}}
{{- with $root.Values.existingSecret }}
- secret:
    name: {{ . }}
    {{- if not $.admin }}
    optional: true
    {{- end }}
{{- end }}
{{- if and .admin (include "pollux.ownAdminToken" $root) }}
- secret:
    name: {{ include "pollux.adminSecret" $root }}
    items:
      - key: {{ ternary $root.Values.admin.existingSecretKey "admin-token" (ne $root.Values.admin.existingSecret "") }}
        path: admin-token
{{- end }}
{{- if $root.Values.redis.embedded }}
- secret:
    name: {{ include "pollux.fullname" $root }}-redis
    items:
      - key: redis-password
        path: redis-password
{{- end }}
{{- end -}}

{{/* POLLUX__ADMIN__TOKEN for a pod that asks the admin server, from where the replicas have it; nothing
where that cannot be told from the values. */}}
{{- define "pollux.adminTokenEnv" -}}
{{- $token := toString ((((.Values.config).admin).token) | default "") -}}
{{- $inEnv := list -}}
{{- range .Values.extraEnv -}}
{{- if eq .name "POLLUX__ADMIN__TOKEN" -}}{{- $inEnv = append $inEnv . -}}{{- end -}}
{{- end -}}
{{- if $inEnv -}}
{{- toYaml $inEnv -}}
{{- else if not $token -}}
- name: POLLUX__ADMIN__TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ include "pollux.adminSecret" . }}
      key: {{ ternary .Values.admin.existingSecretKey "admin-token" (ne .Values.admin.existingSecret "") }}
{{- else if and .Values.existingSecret (regexMatch "^\\$\\{file:/run/secrets/pollux/[^/}]+\\}$" $token) -}}
- name: POLLUX__ADMIN__TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .Values.existingSecret }}
      key: {{ regexReplaceAll "^.*/([^/}]+)\\}$" $token "${1}" }}
{{- else if regexMatch "^\\$\\{env:[A-Za-z0-9_]+\\}$" $token -}}
{{- with .Values.extraEnv -}}
{{- toYaml . }}
{{ end -}}
- name: POLLUX__ADMIN__TOKEN
  value: {{ regexReplaceAll "^.*:([A-Za-z0-9_]+)\\}$" $token "$(${1})" }}
{{- else if not (contains "${" $token) -}}
- name: POLLUX__ADMIN__TOKEN
  value: {{ $token | quote }}
{{- end -}}
{{- end -}}
