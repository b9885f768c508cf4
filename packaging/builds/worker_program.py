"""What the packaged `minka-worker` starts with: also each of its child processes."""

import multiprocessing
import sys

from worker.__main__ import main

if __name__ == "__main__":
    multiprocessing.freeze_support()
    sys.exit(main())
