"""`sparsectl distill`: presets, methods, stages, targets, evidence."""
