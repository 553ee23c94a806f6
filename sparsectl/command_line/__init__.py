"""What stands between the words of a command line and a command: settings, arguments, output."""
