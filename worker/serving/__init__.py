"""Serving: the predictor process, which holds loaded models and answers micro-batches."""
