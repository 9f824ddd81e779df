#!/bin/bash
# In the guest: deploy/base as it is, a mesh pod, and where its connections go. Exit 0 if all is as it has to be.
set -u
cd /test || exit 1
passed=0 failed=0
say() { echo "node: $*"; }
check() { # what, pattern wanted, what there is
  if [[ $3 == $2 ]]; then
    passed=$((passed + 1)); say "ok    $1"
  else
    failed=$((failed + 1)); say "FAIL  $1: wanted $2, got $3"
  fi
}
within() { # seconds command...: until it succeeds
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 1; done
}
word() { "$@" >/dev/null 2>&1 && echo yes || echo no; }
ask() { kubectl exec "$1" -c "$2" -- endpoint connect "${@:3}" 2>&1; } # pod container address port
says() { [[ $(ask "${@:2}") == $1 ]]; }
shunt() { kubectl -n shunt-system exec daemonset/shunt -- node /opt/shunt/dist/shunt.js "$@" 2>&1; }
agent_ready() { [ "$(kubectl -n shunt-system get daemonset shunt -o jsonpath='{.status.numberReady}')" = 1 ]; }
untainted() { ! kubectl get node node -o jsonpath='{.spec.taints[*].key}' | grep -q shunt.dev; }
no_agent() { [ -z "$(kubectl -n shunt-system get pods -o name)" ]; }

within 120 kubectl get serviceaccount default
kubectl create namespace istio-system >/dev/null
kubectl taint node node shunt.dev/agent-not-ready=:NoSchedule >/dev/null
# The pods are there first, and wait for the node: what starts then is steered from its first connection.
kubectl apply -f mesh.yaml >/dev/null
# 1.20 does not know appArmorProfile, and its validation would refuse the file.
kubectl apply --validate=false -k node >/dev/null
check "the agent of deploy/base is ready" yes "$(word within 600 agent_ready)"
check "it takes the node's taint away" yes "$(word within 60 untainted)"
check "the pods start then" yes "$(word within 300 kubectl wait --for=condition=Ready pod/mesh pod/server --timeout=1s)"
check "istio-validation sees that the pod is captured" "*port 15002*" "$(kubectl logs mesh -c istio-validation)"

server=$(kubectl get pod server -o jsonpath='{.status.podIP}')
mesh=$(kubectl get pod mesh -o jsonpath='{.status.podIP}')
service=$(kubectl get service server -o jsonpath='{.spec.clusterIP}')
check "the app asks a Service: the proxy is told its address" "outbound * $mesh:* $service:80" "$(ask mesh app "$service" 80)"
check "the app asks itself" "app *" "$(ask mesh app 127.0.0.1 8080)"
check "the proxy passes" "server *" "$(ask mesh istio-proxy "$server" 8080)"
check "another pod asks the app: its proxy has the call" "inbound $mesh:8080 $server:* $mesh:8080" "$(ask server app "$mesh" 8080)"

kubectl annotate pod mesh traffic.sidecar.istio.io/excludeOutboundPorts=80 >/dev/null
check "an edit applies to the running pod" yes "$(word within 30 says 'server *' mesh app "$service" 80)"
check "explain names it" '*traffic.sidecar.istio.io/excludeOutboundPorts*' "$(shunt explain --pod default/mesh --to "$service:80" --live --json)"
kubectl annotate pod mesh traffic.sidecar.istio.io/excludeOutboundPorts=80,x --overwrite >/dev/null
badly() { kubectl get events --field-selector involvedObject.name=mesh -o jsonpath='{.items[*].message}' | grep -q excludeOutboundPorts; }
check "a bad value is an Event on the pod" yes "$(word within 60 badly)"
check "and changes nothing" "server *" "$(ask mesh app "$service" 80)"
kubectl annotate pod mesh traffic.sidecar.istio.io/excludeOutboundPorts- >/dev/null
check "mended, it is captured again" yes "$(word within 30 says 'outbound *' mesh app "$service" 80)"

kubectl -n shunt-system patch daemonset shunt --type merge -p '{"spec":{"template":{"spec":{"nodeSelector":{"gone":"yes"}}}}}' >/dev/null
check "the agent goes" yes "$(word within 120 no_agent)"
check "and what was captured still is, outbound" "outbound * $service:80" "$(ask mesh app "$service" 80)"
check "and inbound" "inbound $mesh:8080 *" "$(ask server app "$mesh" 8080)"
kubectl -n shunt-system patch daemonset shunt --type json -p '[{"op":"remove","path":"/spec/template/spec/nodeSelector/gone"}]' >/dev/null
check "its successor takes over" yes "$(word within 600 agent_ready)"
check "and the pod is captured" "outbound * $service:80" "$(ask mesh app "$service" 80)"
shunt status
# As README says it.
kubectl -n shunt-system patch daemonset shunt --type json -p "$(cat unload.json)" >/dev/null
unloaded() { [ -z "$(ls -A /sys/fs/bpf)" ]; }
check "unloaded, it leaves nothing" yes "$(word within 300 unloaded)"
check "and the pod is not captured any more" "server *" "$(ask mesh app "$service" 80)"
if [ $failed -gt 0 ]; then
  kubectl get pods -A -o wide
  kubectl -n shunt-system logs daemonset/shunt | tail -50
  kubectl describe pods | tail -60
fi
echo "$passed passed, $failed failed"
exit $((failed > 0))
