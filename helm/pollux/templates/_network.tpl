{{/* An egress rule: a dict with cidrs, peers and ports. */}}
{{- define "pollux.egress" -}}
- to:
    {{- range .cidrs }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
    {{- with .peers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    {{- range .ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end -}}

{{- define "pollux.egressToDns" -}}
# Names.
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
  {{- with .Values.networkPolicy.dns.peers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "pollux.egressToRedis" -}}
{{- if .Values.redis.embedded -}}
# Redis.
- to:
    - podSelector:
        matchLabels:
          {{- include "pollux.selectorLabels" (dict "root" . "component" "redis") | nindent 10 }}
  ports:
    - port: redis
{{- else if .Values.config.redis -}}
# Redis.
{{ include "pollux.egress" .Values.networkPolicy.redis }}
{{- end -}}
{{- end -}}

{{- define "pollux.egressToAdmin" -}}
# The replicas' admin servers.
- to:
    - podSelector:
        matchLabels:
          app.kubernetes.io/name: pollux
          app.kubernetes.io/instance: {{ .Release.Name }}
  ports:
    - port: admin
{{- end -}}

{{/* The ports that config.redis shows, as a list of texts: those of the URL, of Sentinels, or of the
cluster. Not those that a variable or file holds, which are not known here. */}}
{{- define "pollux.redisPorts" -}}
{{- $redis := .Values.config.redis | default dict -}}
{{- $addresses := list -}}
{{- $default := "6379" -}}
{{- if $redis.url -}}
{{- /* Without scheme, credentials and database; these may hold a reference with slashes. */ -}}
{{- $addresses = list (regexReplaceAll "^(rediss?://)?(.*@)?([^/?#]*).*$" $redis.url "${3}") -}}
{{- else if $redis.sentinel -}}
{{- $default = "26379" -}}
{{- $addresses = $redis.sentinel.nodes | default list -}}
{{- else -}}
{{- $addresses = $redis.cluster | default list -}}
{{- end -}}
{{- if kindIs "string" $addresses -}}
{{- $addresses = splitList "," $addresses -}}
{{- end -}}
{{- $ports := list -}}
{{- range $addresses -}}
{{- $address := trim (toString .) -}}
{{- if not (contains "$" $address) -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" $address | trimPrefix ":" | default $default) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if regexMatch "^POLLUX__REDIS__(URL|SENTINEL|CLUSTER)" .name -}}{{- $ports = list -}}{{- end -}}
{{- end -}}
{{- toYaml (uniq $ports) -}}
{{- end -}}

{{/* The ports in the URLs of config.endpoints, as a list of texts. Not those that a variable or file holds. */}}
{{- define "pollux.backendPorts" -}}
{{- $ports := list -}}
{{- range .Values.config.endpoints -}}
{{- $url := toString .url -}}
{{- if not (contains "${" $url) -}}
{{- $authority := regexReplaceAll "^https?://([^/?#]*@)?([^/?#]*).*$" $url "${2}" -}}
{{- $default := ternary "443" "80" (hasPrefix "https:" $url) -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" $authority | trimPrefix ":" | default $default) -}}
{{- end -}}
{{- end -}}
{{- toYaml (uniq $ports) -}}
{{- end -}}

{{/* A list of numbers as a list of texts. */}}
{{- define "pollux.texts" -}}
{{- $texts := list -}}
{{- range . -}}{{- $texts = append $texts (toString .) -}}{{- end -}}
{{- toYaml $texts -}}
{{- end -}}
