"""What a trial is going to be, before anything moves."""
