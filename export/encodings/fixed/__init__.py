"""Fixed point: graphs as whole numbers, the choice of their scales, and the C around them."""
