"""Where the process starts: `cnnspec` and `python -m cnnspec`."""

import sys


def main() -> None:
    """Run the command line, and leave without a traceback where the person presses Ctrl-C while it is still loading."""
    try:
        from cnnspec.cli import main as run
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
