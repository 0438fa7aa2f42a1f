"""``python -m benchmarks [NAME …]``: run all benchmarks or those named, each in a process."""

import subprocess
import sys

ALL = ("memory", "recordings", "media", "setup", "viewers", "impaired", "leak", "kyc", "checks")


def main() -> int:
    names = sys.argv[1:] or list(ALL)
    if unknown := [name for name in names if name not in ALL]:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(ALL)}")
        return 2
    return max(subprocess.call([sys.executable, "-m", f"benchmarks.{name}"]) for name in names)


if __name__ == "__main__":
    sys.exit(main())
