#!/usr/bin/env python3
"""The rules of the house as a test: who may include whom, no circles, and how files look.
SPDX-License-Identifier: Apache-2.0"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLOORS = {"core": 1, "proto": 2, "checkpoint": 3, "server": 4, "client": 4, "worker": 5, "deploy": 6}
BANNED = r"\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|assert|malloc|calloc|realloc)\s*\("
ALLOCATOR = {"core/alloc.c"}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)
LINES_MOST, HEADER_LINES_MOST, COLUMNS_MOST = 600, 400, 100

faults = []


def fault(path, line, text):
    faults.append(f"{path}:{line}: {text}")


def without_comments(text):
    blank = lambda match: re.sub(r"[^\n]", " ", match.group())
    return re.sub(r"/\*.*?\*/", blank, text, flags=re.S)


def check_look(path, text, test):
    lines = text.split("\n")
    if not lines[0].startswith("/* "):
        fault(path, 1, "the first line is not a comment that says what the file is for")
    if not any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[1:4]):
        fault(path, 2, "the licence tag does not follow the purpose")
    most = HEADER_LINES_MOST if path.endswith(".h") else LINES_MOST
    if len(lines) > most:
        fault(path, most, f"{len(lines)} lines; at most {most}")
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MOST:
            fault(path, number, f"{len(line)} columns; at most {COLUMNS_MOST}")
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
            fault(path, number, "an unfinished thought")
    if test or path in ALLOCATOR:
        return
    for match in re.finditer(BANNED, without_comments(text)):
        fault(path, text.count("\n", 0, match.start()) + 1, f"{match.group(1)} is banned")


def check_includes(path, text):
    """Checks each include; returns those of our own tree."""
    floor = path.split("/")[0]
    ours = []
    for match in INCLUDE.finditer(text):
        name, line = match.group(2), text.count("\n", 0, match.start()) + 1
        if name.startswith("grpc/") and path != "proto/rpc_grpc.h":
            fault(path, line, "gRPC is included by proto/rpc_grpc.h alone")
        if "protobuf-c" in name and floor != "proto":
            fault(path, line, "protobuf-c belongs to proto/")
        if match.group(1) == "<" or name.endswith(".pb-c.h"):
            continue
        target = name.split("/")[0]
        if not (ROOT / name).exists():
            fault(path, line, f'"{name}" is not a path from the root')
            continue
        ours.append(name)
        if floor not in FLOORS:
            continue
        if FLOORS[target] > FLOORS[floor] or {floor, target} == {"server", "client"}:
            fault(path, line, f"{floor} may not include {target}")
        if name.endswith("_priv.h") and target != floor:
            fault(path, line, f"{name} is private to {target}/")
    return ours


def module(path):
    """A source and its headers are one module."""
    stem = re.sub(r"(_priv)?\.[ch]$", "", path)
    return stem


def check_circles(edges):
    """Depth-first over modules; reports each circle once."""
    state, trail = {}, []

    def visit(node):
        state[node] = "open"
        trail.append(node)
        for target in sorted(edges.get(node, ())):
            if state.get(target) == "open":
                circle = trail[trail.index(target):] + [target]
                fault(node, 0, "a circle of files: " + " -> ".join(circle))
            elif target not in state:
                visit(target)
        trail.pop()
        state[node] = "done"

    for node in sorted(edges):
        if node not in state:
            visit(node)


def main():
    edges, count = {}, 0
    for floor in [*FLOORS, "tests"]:
        for file in sorted((ROOT / floor).rglob("*.[ch]")):
            path = file.relative_to(ROOT).as_posix()
            text = file.read_text(encoding="utf-8")
            count += 1
            check_look(path, text, floor == "tests")
            if floor == "tests":
                continue
            for name in check_includes(path, text):
                if module(name) != module(path):
                    edges.setdefault(module(path), set()).add(module(name))
    check_circles(edges)
    for line in faults:
        print(line)
    print(f"{count} files, {len(faults)} faults")
    return 1 if faults or count < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
