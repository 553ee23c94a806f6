"""What goes over the wire between host and board: messages, framing, numbers with names."""
