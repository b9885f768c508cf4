"""The "break something" panel of a local cluster that was started with ``--lab``: an agent of its own, on loopback only.

``relay`` stands between the workers, so that links can be cut; ``damage`` flips a bit on a disk; ``watch`` looks at the
monitors; ``agent`` is the process, with the page. The workers hold none of this.
"""
