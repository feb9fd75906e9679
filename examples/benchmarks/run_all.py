"""Run all benchmarks, one after the other, and write the table of results.

``python examples/benchmarks/run_all.py`` takes most of an hour on two idle cores and writes
``docs/benchmarks_results.md``; ``--quick`` takes up to ten minutes, leaves pruning out and only
prints, unless ``--out`` says where to write. Peers that are not installed are left out:
``pip install 'skcb[benchmarks]'`` has them.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from _turns import Line, environment, table

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "docs" / "benchmarks_results.md"
SCRIPTS = ("imports", "epoch", "predict", "memory", "architectures", "search", "pruning")
LONG = ("pruning",)
PACKAGES = ("skcb", "tensorflow", "keras", "scikit-learn", "numpy", "scikeras", "keras-tuner")


def run(script, quick):
    """Run one benchmark; return its lines and whether it ended well."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "lines.json"
        command = [sys.executable, str(HERE / f"{script}.py"), "--json", str(kept)]
        ended = subprocess.run(command + ["--quick"] * quick, env=environment()).returncode == 0
        lines = json.loads(kept.read_text("utf-8")) if kept.exists() else []
    return [Line(**line) for line in lines], ended


def machine():
    """Describe processor, cores and memory."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [s for s in info.read_text().splitlines() if s.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        name += f", {size:.0f} GB"
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def versions():
    """Name the versions of Python and the packages that take part."""
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def page(lines, facts):
    """Write the results in Markdown."""
    return "\n".join([*(f"- {name}: {fact}" for name, fact in facts.items()), "", table(lines), ""])


def main():
    """Run everything, and write what there is after each benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round, and less of what is long")
    parser.add_argument("--out", type=Path, help="write the table to this Markdown file")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, help="some of the scripts")
    options = parser.parse_args()
    scripts = options.only or [name for name in SCRIPTS if not options.quick or name not in LONG]
    whole = not options.quick and not options.only
    out = options.out or (RESULTS if whole else None)
    facts = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "run": "quick" if options.quick else "full",
    }
    if hasattr(os, "getloadavg"):
        facts["load before the run"] = f"{os.getloadavg()[0]:.1f}"
    lines, failed, start = [], [], time.monotonic()
    for script in scripts:
        print(f"== {script}", flush=True)
        found, ended = run(script, options.quick)
        lines += found
        failed += [] if ended else [script]
        facts["minutes"] = f"{(time.monotonic() - start) / 60:.1f}"
        if failed:
            facts["ended with an error"] = ", ".join(failed)
        if out:
            out.write_text(page(lines, facts), "utf-8")
    print(f"\n{page(lines, facts)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
