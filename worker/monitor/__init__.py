"""The web server embedded in each worker: this worker's own applied state, read-only, in a process of its own.

``view`` is the copy that the node feeds with notices, ``site`` answers requests from it, ``metrics`` writes it for
Prometheus, ``feed`` carries it from the node to the open pages, ``__main__`` is the process. The node never waits
for any of this.
"""
