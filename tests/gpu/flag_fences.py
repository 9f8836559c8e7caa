#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""flag_fences.py FILE: whether the kernel of kernels/rows/peer_flags_cuda.cu, as PTX, orders its flags.

On every way through the kernel a fence of system scope stands before a flag that is stored and after
one that was awaited. Flags (64 bits) and words of the host (32 bits) are of system scope, the latter
released; the exchange's number, which is of this GPU alone, is the only atomic. Prints what is wrong,
a line each, and ends with 1 then. No test on a GPU would notice: orders that are not promised are
mostly kept.
"""
import re
import sys

FENCE = r"fence\.(acq_rel|sc)\.sys;"
FLAG_STORE = r"st\.(relaxed|release)\.\w+\.[bsu]64\b"
FLAG_LOAD = r"ld\.(relaxed|acquire)\.sys\.[bsu]64\b"


def instructions(text):
    """The kernel's instructions in order, and the place of each label among them."""
    body = re.sub(r"//[^\n]*", "", text[text.index("\n{") + 2 : text.rindex("}")])
    found, labels = [], {}
    for line in body.splitlines():
        label = re.match(r"\s*(\$\w+):", line)
        if label:
            labels[label[1]] = len(found)
        elif re.match(r"\s*(@!?%p\d+\s+)?[a-z].*;", line):
            found.append(line.strip())
    return found, labels


def ways(code, labels):
    """What may come after each instruction; len(code) is the kernel's end."""
    after = []
    for i, line in enumerate(code):
        guarded = line.startswith("@")
        bare = re.sub(r"^@\S+\s+", "", line)
        jump = re.match(r"bra(\.uni)?\s+(\$\w+);", bare)
        if jump:
            after.append([labels[jump[2]]] + ([i + 1] if guarded else []))
        elif re.match(r"(ret|exit)\b", bare):
            after.append([len(code)] + ([i + 1] if guarded else []))
        elif re.match(r"(brx|call)\b", bare):
            raise SystemExit(f"flag_fences.py: error: does not know where this leads: {line}")
        else:
            after.append([i + 1])
    return after


def reached_without_fence(code, after, start):
    """All places that a way from `start` comes to with no fence between."""
    seen, todo = set(), [start]
    while todo:
        at = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        if at < len(code) and not re.match(FENCE, code[at]):
            todo.extend(after[at])
    return seen


def faults(text):
    code, labels = instructions(text)
    after = ways(code, labels)
    places = {
        kind: [i for i, line in enumerate(code) if re.match(pattern, line)]
        for kind, pattern in {"store of a flag": FLAG_STORE, "load of a flag": FLAG_LOAD}.items()
    }
    for kind, where in places.items():
        if not where:
            yield f"no {kind}"
    begin = reached_without_fence(code, after, 0)
    for i in places["store of a flag"]:
        if i in begin:
            yield f"no release fence of system scope before: {code[i]}"
    for i in places["load of a flag"]:
        if any(len(code) in reached_without_fence(code, after, then) for then in after[i]):
            yield f"no acquire fence of system scope after: {code[i]}"
    for line in code:
        if re.match(r"(fence|membar)\.", line) and not re.match(FENCE, line):
            yield f"a fence that is not of system scope: {line}"
        if re.match(FLAG_STORE, line) and ".sys." not in line:
            yield f"a flag that is not of system scope: {line}"
        if re.match(r"(ld|st)\.(relaxed|acquire|release)\.\w+\.[bsu]32", line) and ".sys." not in line:
            yield f"a word of the host that is not of system scope: {line}"
        if re.match(r"st\.relaxed\.\w+\.[bsu]32", line):
            yield f"a word for the host that is not released: {line}"
        if re.match(r"atom\.", line) and ".gpu." not in line:
            yield f"the exchange's number is not of this GPU's scope: {line}"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        found = list(faults(file.read()))
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
