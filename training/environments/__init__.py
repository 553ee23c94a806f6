"""The user's Gymnasium environments: checked, flattened, with their signals."""
