"""Where the process starts: `cnnspec` and `python -m cnnspec`."""

import gc
import sys


def main() -> None:
    """Run the command line, and leave without a traceback where the person presses Ctrl-C while it is still loading."""
    gc.set_threshold(100_000)  # nothing made while importing is garbage, and walking through it takes long
    try:
        from cnnspec.cli import main as run
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
