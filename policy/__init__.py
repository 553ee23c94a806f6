"""What a policy is: graph, layers, activations, signals; readers of its files."""
