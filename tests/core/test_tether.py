"""A tethered process ends with the one that started it."""

import subprocess
import sys

SLEEPER = "import sys, time\nprint(*sys.argv[1:], flush=True)\ntime.sleep({seconds})\n"


def start(folder, seconds):
    (folder / "sleeper.py").write_text(SLEEPER.format(seconds=seconds))
    return subprocess.Popen(
        [sys.executable, "-m", "pretune.core.tether", "sleeper", "a", "--b"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_it_runs_the_module_and_ends_when_its_standard_input_does(tmp_path):
    with start(tmp_path, 600) as process:
        assert process.stdout.readline() == "a --b\n"
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(30) == 1


def test_a_module_that_is_done_ends_by_itself(tmp_path):
    with start(tmp_path, 0) as process:
        assert process.wait(30) == 0
