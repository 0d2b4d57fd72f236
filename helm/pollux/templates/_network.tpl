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
