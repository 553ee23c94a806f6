"""What the user gave, run as it stands: the truth that every export is held against."""
