"""Policy Distillation: students of teachers with discrete actions (Rusu et al. 2015)."""
