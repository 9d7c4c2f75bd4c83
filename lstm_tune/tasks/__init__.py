"""Layer 3: what a task adds to training - its losses, its metrics, its baselines and its networks' inputs."""
