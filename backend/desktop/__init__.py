"""The local bridge between the page and the cluster: HTTP on loopback on one side, `ClusterClient` on the other."""
