"""The search: feasibility before training, trials by Ray Tune and Optuna, selection at the end."""
