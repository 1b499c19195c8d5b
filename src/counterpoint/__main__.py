"""``python -m counterpoint``: the command line."""

from counterpoint.cli import main

if __name__ == "__main__":
    main()
