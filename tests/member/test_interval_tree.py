"""The tree against a list of intervals."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dualmode.member.interval_tree import IntervalTree, Node

#: Few enough that ends meet keys.
KEYS = st.lists(st.sampled_from([0, 1, 255]), max_size=3).map(bytes)
INTERVALS = st.tuples(KEYS, st.none() | KEYS)


def check_tree(node: Node | None) -> list[Node]:
    """The nodes in order, each subtree having been found right."""
    if node is None:
        return []
    left, right = check_tree(node.left), check_tree(node.right)
    below = left + right
    assert all(child.order < node.order for child in left)
    assert all(child.order > node.order for child in right)
    assert all(child.priority <= node.priority for child in below)
    ends = [one.high for one in [node, *below]]
    assert node.greatest_end == (None if None in ends else max(end for end in ends if end is not None))
    return [*left, node, *right]


@given(st.lists(INTERVALS, max_size=40, unique=True), KEYS, st.randoms(use_true_random=False))
def test_it_finds_what_a_list_finds(intervals: list[tuple[bytes, bytes | None]], key: bytes, random: Any) -> None:
    tree: IntervalTree[Node] = IntervalTree()
    nodes = [Node(low, high) for low, high in intervals]
    for node in nodes:
        tree.add(node)
        check_tree(tree.root)
    random.shuffle(nodes)
    while True:
        found: list[Node] = []
        tree.search(key, found)
        assert len(found) == len(set(found))
        assert set(found) == {one for one in nodes if one.low <= key and (one.high is None or key < one.high)}
        assert set(check_tree(tree.root)) == set(nodes)
        if not nodes:
            return
        tree.remove(nodes.pop())


def test_ten_thousand_intervals_make_a_flat_tree() -> None:
    tree: IntervalTree[Node] = IntervalTree()
    for number in range(10_000):
        tree.add(Node(b"k%06d/" % number, b"k%06d0" % number))

    def depth(node: Node | None) -> int:
        return 0 if node is None else 1 + max(depth(node.left), depth(node.right))

    # A random search tree of this size is about 31 deep; chance alone does not make it twice as deep.
    assert depth(tree.root) < 62
