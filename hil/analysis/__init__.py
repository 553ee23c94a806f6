"""What a trial came to: balance, kicks and responses, the result."""
