"""Training: pure functions over weights, the processes that run them, and the plan that cuts a job in tasks.

`plan` and `environment` import the standard library alone and are what the node uses; all else belongs to
the trainer and predictor processes.
"""
