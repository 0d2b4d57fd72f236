{{/* The pod of a component: dict "root" $ "component" "poller". There is no checksum of the ConfigMap or
of a Secret among its annotations: replicas notice by themselves when these change, check the new
configuration whole, and restart only what differs. A checksum would replace all pods instead. Only to
another cluster a running replica does not move, so its name is there. */}}
{{- define "pollux.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $own := ternary $values.gateway dict (eq .component "gateway") -}}
metadata:
  labels:
    {{- include "pollux.selectorLabels" . | nindent 4 }}
    {{- with merge dict ($own.podLabels | default dict) $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    pollux/cluster: {{ $values.config.cluster | quote }}
    {{- with merge dict ($own.podAnnotations | default dict) $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "pollux.serviceAccountName" $root }}
  {{- include "pollux.podSecurity" $root | nindent 2 }}
  {{- if $values.chaos.shareProcessNamespace }}
  shareProcessNamespace: true
  {{- end }}
  terminationGracePeriodSeconds: {{ include "pollux.gracePeriod" . }}
  {{- with $own.priorityClassName | default $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $own.nodeSelector | default $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.affinity | default $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.tolerations | default $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if $values.topologySpreadConstraints }}
    {{- toYaml $values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      # On a single node a second-best spread is better than a pending pod.
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "pollux.selectorLabels" $ | nindent 10 }}
      # Pods that are about to go do not count.
      matchLabelKeys: [pod-template-hash]
    {{- end }}
    {{- end }}
  containers:
    - name: pollux
      image: {{ include "pollux.image" (dict "image" $values.image "tag" $root.Chart.AppVersion) }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
        - run
        - --config=/etc/pollux/pollux.yaml
        {{- if $values.gateway.separate }}
        - --role={{ .component }}
        {{- end }}
      env:
        - name: POLLUX__REPLICA
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: POD_IP
          valueFrom:
            fieldRef:
              fieldPath: status.podIP
        # Where the other replicas reach this one's admin server.
        - name: POLLUX__ADDRESS
          value: {{ printf "http://%s:%s" (ternary "[$(POD_IP)]" "$(POD_IP)" $values.ipv6) (include "pollux.adminPort" $root) }}
        # Its ports for life, as below: a variable counts instead of the file, which an upgrade changes
        # before this pod is replaced.
        - name: POLLUX__GATEWAY__LISTEN
          value: {{ include "pollux.listen" (dict "root" $root "server" "gateway" "port" "8080") | quote }}
        - name: POLLUX__ADMIN__LISTEN
          value: {{ include "pollux.listen" (dict "root" $root "server" "admin" "port" "9090") | quote }}
        {{- with concat $values.extraEnv ($own.extraEnv | default list) }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        {{- if eq .component (include "pollux.serving" $root) }}
        - name: http
          containerPort: {{ include "pollux.httpPort" $root }}
        {{- end }}
        - name: admin
          containerPort: {{ include "pollux.adminPort" $root }}
      # None of the probes asks Redis whether it works: no restart helps against its outage. Standbys
      # are ready.
      startupProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 1
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 2
      {{- with include "pollux.preStopSeconds" . | int }}
      # Meanwhile no new client is sent here. Then SIGTERM: it hands over, and ends its streams.
      lifecycle:
        preStop:
          sleep:
            seconds: {{ . }}
      {{- end }}
      # `kubectl describe pod` then shows why a replica refused its configuration.
      terminationMessagePolicy: FallbackToLogsOnError
      resources:
        {{- toYaml ($own.resources | default $values.resources) | nindent 8 }}
      securityContext:
        {{- include "pollux.containerSecurity" $root | nindent 8 }}
      volumeMounts:
        {{- include "pollux.volumeMounts" $root | nindent 8 }}
  volumes:
    {{- include "pollux.volumes" (dict "root" $root "configMap" (include "pollux.fullname" $root) "admin" true) | nindent 4 }}
{{- end -}}

{{/* What every pod of the chart has for its safety: Kubernetes' "restricted" profile, and more. */}}
{{- define "pollux.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "pollux.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Directories, never a subPath: that would keep changes from the replica. */}}
{{- define "pollux.volumeMounts" -}}
- name: config
  mountPath: /etc/pollux
  readOnly: true
- name: secrets
  mountPath: /run/secrets/pollux
  readOnly: true
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* dict "root" $ "configMap" "name" "admin" true. */}}
{{- define "pollux.volumes" -}}
- name: config
  configMap:
    name: {{ .configMap }}
- name: secrets
  {{- with include "pollux.secretSources" (dict "root" .root "admin" .admin) | trim }}
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
  {{- else }}
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
  {{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
