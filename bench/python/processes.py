"""Jobs that are whole processes, one after the other: what each cost by the kernel's own count, as lines of a table.

Who starts them stays small: what the kernel says was a process's peak is at least what the one that started it had.
"""

import os
import statistics
import subprocess
import sys
import time

HEAD = "| job | wall | processor | peak memory |\n| --- | --- | --- | --- |"


class Jobs:
    def __init__(self, content):
        """`content`: the command that sums up a table whose place is its last argument."""
        self.content = content
        self.walls = {}
        self.held = {}
        self.notes = []

    def run(self, name, command, table=None, holds=None, peer=False, times=1, begin=None):
        """Whether it was done. `begin` is called before each time, and is not counted. `table` is where its rows are then,
        `holds` a name for what they are: the first job that says it, which is no peer's, shows what it means. A peer that
        fails has no line, and is told below them."""
        costs = []
        for _ in range(times):
            if begin:
                begin()
            # What others have left to write is not this one's to wait for.
            os.sync()
            cost = measured(command)
            if cost is None:
                return self.refuse(f"{name}: failed", peer)
            costs.append(cost)
        if table:
            found = subprocess.run([*self.content, table], stdout=subprocess.PIPE, text=True)
            said = "" if found.returncode else found.stdout.strip()
            wanted = self.held.setdefault(holds, said)
            if not said or said != wanted:
                return self.refuse(f"{name}: the table holds {said or 'nothing that can be read'}, not {wanted}", peer)
        wall, processor, memory = (statistics.median(values) for values in zip(*costs))
        self.walls[name] = wall
        print(f"| {name} | {wall:.2f} s | {processor:.2f} s | {memory:.0f} MiB |", flush=True)
        return True

    def refuse(self, what, peer):
        if not peer:
            sys.exit(what)
        self.notes.append(what)
        return False

    def compare(self, what, of):
        """One wall time as a part of another one's, where both were measured."""
        if what in self.walls and of in self.walls:
            self.notes.append(f"{what}: {self.walls[what] / self.walls[of]:.2f} of {of}")

    def close(self):
        print("", *self.notes, sep="\n", flush=True)


def measured(command):
    """Seconds, processor seconds, and MiB at the peak; nothing of one that failed."""
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    took = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    return None if status else (took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
