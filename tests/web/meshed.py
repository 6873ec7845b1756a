"""The mesh's part of a status that nobody's node has (synthetic.py): what core/status.py's MeshStatus is."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.web.synthetic import Node

CHILDREN = 3
FAR = 6  # links of the longest way
MANY = 55  # children of the stream that has most


def mesh_of(node: "Node") -> dict[str, Any]:
    return {
        "seeds": [{"seed": "tcp:198.51.100.1:4600", "why": ""}],
        "role": "relay",
        "uplink": 20_000,
        "dialable": True,
        "feeds": 2,
        "feeds_groups": [],
        "rotate": 0.0,
        "neighbours": [_neighbour(node, index) for index in range(len(node.peers))],
        "groups": [_group(node, index) for index in range(node.groups)],
        "everybody": {"group": "all", "neighbours": node.peers[:8], "known": 42},
        "streams": [_stream(node, index) for index in range(node.groups)],
        "streams_not_shown": 9,
        "left_alone": [_left_alone(node, index) for index in range(2)],
        "left_alone_not_shown": 3,
        "counters": {},
    }


def _neighbour(node: "Node", index: int) -> dict[str, Any]:
    return {
        "name": node.peers[index],
        "id": f"{index:016x}",
        "rtt": 0.0123,
        "addresses": ["198.51.100.1:4600"],
        "groups": ["all", node.group_of(index)],
        "capacity": 8,
        "behind_nat": index == 2,
        "believed": True,
        "score": 1.5,
    }


def _left_alone(node: "Node", index: int) -> dict[str, Any]:
    return {
        "name": f"liar-{index}",
        "id": f"{index:016x}",
        "address": "198.51.100.66",
        "seconds": 600 - int(node.now) % 600,
        "why": "it does not send what it says that it has",
    }


def _group(node: "Node", index: int) -> dict[str, Any]:
    return {"group": node.group_of(index), "neighbours": node.peers[:4], "known": 7}


def _second(names: list[str], index: int, origin: str) -> dict[str, Any]:
    """The eighth has another way, too."""
    if index != 7:
        return {"second": None, "second_path": [], "both_pass": []}
    second = names[(index + 4) % len(names)]
    return {
        "second": second,
        "second_path": [origin, "0000beef", second, "master-control"],
        "both_pass": ["0000beef"],
    }


def _stream(node: "Node", index: int) -> dict[str, Any]:
    """The first begins here, the second has no parent, of the third the way is not known, the fourth has many
    children; each way is as long as the next one's and a link, up to six."""
    names = node.peers
    begins, alone, unknown = index == 0, index == 1, index == 2
    parent = None if begins or alone else names[(index + 5) % len(names)]
    origin = names[index % len(names)]
    between = [f"{hop:08x}" for hop in range(index % (FAR - 1))]
    path = [*([origin] if origin != parent else []), *between, parent, "master-control"]
    count = MANY if index == 3 else CHILDREN
    return {
        "origin": f"{index:016x}",
        "feeds": 2,
        "node": "master-control" if begins else origin,
        "group": node.group_of(index),
        "source": f"10.88.0.{1 + index % 200}",
        "begins_here": begins,
        "shared": False,
        "registered_with": None,
        "wanted": True,
        "parent": parent,
        "joining": names[4 % len(names)] if alone else None,
        "children": sorted({names[(index + 9 + each) % len(names)] for each in range(count)}),
        "backups": [] if begins else [names[(index + each) % len(names)] for each in (6, 7, 8)],
        **_second(names, index, origin),
        "path": ["master-control"] if begins else [] if alone or unknown else path,
        "delay": 0.0 if begins else 0.0321 + (node.now + index) % 5 / 1000 * (index > 9),
        "highest": int(node.now * 100),
        "missing": index % 3,
        "kept": 200,
        "packet_rate": 133.0,
        "rate": 1.4e6 if index != 1 else 0.0,
        "counters": {"recovered": int(node.now), "resent": 2, "given_up": 0},
    }
