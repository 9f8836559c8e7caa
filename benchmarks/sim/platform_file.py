#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a SimGrid platform and hostfile for nodes of GPUs on a fat tree, from a machine profile.

Each rank is a host of its own. The ranks of a node reach each other through links to the node's
switch (level `node` of the profile, each way). To other nodes a rank has a network interface of its
own (level `network`, each way), below a fat tree of two stages: a leaf switch for every
`nodes_per_leaf` nodes, and spine switches; routes go by the number of the node they lead to
(D-mod-k). Links between leaf and spine together carry what the leaf's interfaces do, divided by
`oversubscription`; the links of all interfaces of a node to one spine are one link here.
"""

import argparse
import json
import sys
from pathlib import Path
from xml.sax.saxutils import quoteattr

HEAD = """<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
<zone id="machine" routing="Full">
"""
TAIL = "</zone>\n</platform>\n"


def read_profile(path):
    """A machine profile with what a platform needs of it; raises ValueError."""
    try:
        profile = json.loads(Path(path).read_text(encoding="utf-8"))
        levels = profile["levels"]
        for level in ("copy", "node", "network"):
            for field in ("bytes_per_s", "latency_s"):
                value = levels[level][field]
                if not isinstance(value, (int, float)) or value < 0 or (value == 0 and field == "bytes_per_s"):
                    raise ValueError(f"level {level}: {field} is {value!r}")
        message = levels["network"].get("message_s")
        if not isinstance(message, (int, float)) or message <= 0:
            raise ValueError("level network has no message_s: a simulation needs the time of each message at its "
                             "sender, and latencies of messages, not of exchanges (docs/simulation.md)")
        if levels.get("message", levels["network"]).get("message_s") != message:
            raise ValueError("levels message and network differ in message_s: a simulation has one for all messages")
        if not all(rows > 0 and rate > 0 for rows, rate in profile["gemm"]["bf16"]):
            raise ValueError("gemm: bf16 has rows or rates that are not positive")
        per_node = profile["ranks_per_node"]
        if not isinstance(per_node, int) or per_node < 1:
            raise ValueError(f"ranks_per_node is {per_node!r}")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: no machine profile: {error} is missing or of another type") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return profile


def link(name, level, share=1.0):
    return (f'<link id="{name}" bandwidth="{level["bytes_per_s"] * share:.6g}Bps"'
            f' latency="{level["latency_s"] * 1e6:.6g}us" sharing_policy="SHARED"/>\n')


def route(tag, ends, links):
    places = " ".join(f"{key}={quoteattr(value)}" for key, value in ends.items())
    inner = "".join(f'<link_ctn id="{name}"/>' for name in links)
    return f'<{tag} {places} symmetrical="NO">{inner}</{tag}>\n'


def write_node(out, node, ranks, profile):
    """A node as a zone: its hosts, and a gateway where their network interfaces end."""
    levels = profile["levels"]
    out.write(f'<zone id="node{node}" routing="Full">\n')
    for rank in ranks:
        out.write(f'<host id="rank{rank}" speed="1Gf">'
                  f'<prop id="copy_bytes_per_s" value="{levels["copy"]["bytes_per_s"]:.9g}"/>'
                  f'<prop id="node_bytes_per_s" value="{levels["node"]["bytes_per_s"]:.9g}"/>'
                  f'<prop id="node_latency_s" value="{levels["node"]["latency_s"]:.9g}"/>'
                  f'<prop id="ranks_per_node" value="{len(ranks)}"/></host>\n')
    out.write(f'<router id="gate{node}"/>\n')
    # A latency is that of a whole way: half of it at each end.
    half = {name: {**level, "latency_s": level["latency_s"] / 2} for name, level in levels.items()}
    for rank in ranks:
        for way in ("up", "down"):
            out.write(link(f"node-{way}-{rank}", half["node"]))
            out.write(link(f"nic-{way}-{rank}", half["network"]))
    for rank in ranks:
        for peer in ranks:
            if rank != peer:
                out.write(route("route", {"src": f"rank{rank}", "dst": f"rank{peer}"},
                                (f"node-up-{rank}", f"node-down-{peer}")))
        gate = f"gate{node}"
        out.write(route("route", {"src": f"rank{rank}", "dst": gate}, (f"nic-up-{rank}",)))
        out.write(route("route", {"src": gate, "dst": f"rank{rank}"}, (f"nic-down-{rank}",)))
    out.write("</zone>\n")


def write_tree(out, num_nodes, profile, tree):
    """Links between leaves and spines, and the way from each node to each other one."""
    per_leaf, spines = tree["nodes_per_leaf"], tree["spines"]
    network = {**profile["levels"]["network"], "latency_s": 0.0}  # counted at the interfaces
    share = per_leaf * profile["ranks_per_node"] / spines / tree["oversubscription"]
    for leaf in range((num_nodes + per_leaf - 1) // per_leaf):
        for spine in range(spines):
            for way in ("up", "down"):
                out.write(link(f"tree-{way}-{leaf}-{spine}", network, share))
    for source in range(num_nodes):
        for target in range(num_nodes):
            if source == target:
                continue
            leaves = source // per_leaf, target // per_leaf
            spine = target % spines
            links = []
            if leaves[0] != leaves[1]:
                links = [f"tree-up-{leaves[0]}-{spine}", f"tree-down-{leaves[1]}-{spine}"]
            else:
                links = [f"leaf-{leaves[0]}"]
            out.write(route("zoneRoute", {"src": f"node{source}", "dst": f"node{target}",
                                          "gw_src": f"gate{source}", "gw_dst": f"gate{target}"}, links))


def write_leaves(out, num_nodes, profile, per_leaf):
    """Within a leaf switch nothing is shared; SimGrid wants a link on every route."""
    bandwidth = per_leaf * profile["ranks_per_node"] * profile["levels"]["network"]["bytes_per_s"]
    for leaf in range((num_nodes + per_leaf - 1) // per_leaf):
        out.write(f'<link id="leaf-{leaf}" bandwidth="{bandwidth:.6g}Bps" latency="0us"'
                  ' sharing_policy="FATPIPE"/>\n')


def write_platform(out, profile, ranks, tree):
    """The platform of `ranks` ranks. tree: nodes_per_leaf, spines, oversubscription."""
    per_node = profile["ranks_per_node"]
    num_nodes = (ranks + per_node - 1) // per_node
    out.write(HEAD)
    for node in range(num_nodes):
        write_node(out, node, range(node * per_node, min(ranks, (node + 1) * per_node)), profile)
    write_leaves(out, num_nodes, profile, tree["nodes_per_leaf"])
    write_tree(out, num_nodes, profile, tree)
    out.write(TAIL)


def write_hostfile(out, ranks):
    out.writelines(f"rank{rank}\n" for rank in range(ranks))


def write_files(folder, profile, ranks, tree):
    """Writes both into a folder; returns their paths."""
    platform, hostfile = Path(folder) / "platform.xml", Path(folder) / "hostfile"
    with open(platform, "w", encoding="utf-8") as out:
        write_platform(out, profile, ranks, tree)
    with open(hostfile, "w", encoding="utf-8") as out:
        write_hostfile(out, ranks)
    return platform, hostfile


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("profile", help="machine profile (JSON)")
    parser.add_argument("ranks", type=int)
    parser.add_argument("--nodes-per-leaf", type=int, default=4)
    parser.add_argument("--spines", type=int, default=4)
    parser.add_argument("--oversubscription", type=float, default=1.0)
    parser.add_argument("--output", required=True, help="folder for platform.xml and hostfile")
    args = parser.parse_args()
    if args.ranks < 1 or args.nodes_per_leaf < 1 or args.spines < 1 or args.oversubscription <= 0:
        parser.error("ranks, --nodes-per-leaf, --spines and --oversubscription are positive")
    try:
        profile = read_profile(args.profile)
        tree = {"nodes_per_leaf": args.nodes_per_leaf, "spines": args.spines,
                "oversubscription": args.oversubscription}
        folder = Path(args.output)
        folder.mkdir(parents=True, exist_ok=True)
        write_files(folder, profile, args.ranks, tree)
    except (OSError, ValueError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
