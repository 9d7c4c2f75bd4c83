"""Layer 5: the model in other forms, each checked against the bundle before it is written."""
