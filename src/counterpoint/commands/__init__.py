"""What the command line can do: one module a command. Everything heavy is imported by the command that needs it."""
