# SPDX-License-Identifier: MIT
# objects.py PASSES - makes and drops objects as Python programs do: dictionaries, lists, strings, JSON.
#
# Says "ready", waits for a line, does one pass to warm up and PASSES that are timed; then prints their
# nanoseconds and a sum over what they computed.
import json
import sys
import time


class Node:
    def __init__(self, key):
        self.key = key
        self.left = None
        self.right = None


def insert(root, key):
    while root.key != key:
        side = "left" if key < root.key else "right"
        below = getattr(root, side)
        if below is None:
            setattr(root, side, Node(key))
            return
        root = below


def work(rows):
    people = [
        {"id": i, "name": "person %d" % i, "tags": ["a%d" % (i % 7), "b%d" % (i % 11)], "score": i * 1.5}
        for i in range(rows)
    ]
    people = json.loads(json.dumps(people))
    groups = {}
    for person in people:
        groups.setdefault(person["id"] % 97, []).append((person["name"].upper(), person["score"]))
    words = " ".join(name for group in groups.values() for name, _ in group).split()
    root = Node(rows // 2)
    for i in range(rows):
        insert(root, i * 7919 % rows)
    return len(words) + sum(len(set(group)) for group in groups.values())


def main():
    passes = int(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    total = work(3000)
    start = time.perf_counter_ns()
    for _ in range(passes):
        total += work(3000)
    print("%d ns, sum %d" % (time.perf_counter_ns() - start, total), flush=True)


main()
