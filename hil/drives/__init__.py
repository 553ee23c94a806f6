"""What moves the motor and what stops it: drives, safety, e-stop, settling."""
