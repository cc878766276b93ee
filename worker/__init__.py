"""The training process: claims jobs, trains, evaluates and publishes models."""
