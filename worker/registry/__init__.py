"""The replicated state machine: what the cluster knows."""
