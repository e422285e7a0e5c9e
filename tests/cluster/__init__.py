"""`make kube-check`: the manifests and the chart against a real API server, the logger behind Knative's broker."""
