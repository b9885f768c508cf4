"""The pages of Minka, as data: ``app`` for the desktop window, ``monitor`` for a worker's browser page, and what
both share in ``common``. Found with `importlib.resources`; there is no build step.
"""
