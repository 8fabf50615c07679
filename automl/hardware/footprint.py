"""The process whose memory is measured: run as a file, with a job on stdin, peak bytes on stdout.

It loads what a delivered model loads and nothing else, runs the model a few times and reads its
own peak. On Linux that is ``VmHWM``, which belongs to this program alone; ``ru_maxrss`` would
begin at the peak of the process that started it (it survives exec). Without a job it reports the
bare interpreter.
"""

import sys

_RUNS = 8
"""onnxruntime's arena grows during the first runs."""


def peak_bytes() -> int:
    """Return the largest resident set this process has had so far."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except FileNotFoundError:
        pass  # not Linux
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> int:
    """Run the job of stdin, if there is one, and print the peak."""
    text = sys.stdin.read()
    if text:
        import json

        from automl.hardware.inputs import build_call

        call, _ = build_call(json.loads(text))
        for _ in range(_RUNS):
            call()
    print(peak_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
