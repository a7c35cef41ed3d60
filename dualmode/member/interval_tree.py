"""Decides: which of many intervals of keys have a key in them.

The tree is a treap: a search tree by (first key, end) that is also a heap by a number that looks random, which keeps it
about balanced without any rebalancing code. The number is the hash of the interval, which Python salts per process, so
that no client can choose intervals that make the tree a list. Every node knows the greatest end in its subtree:
a search leaves out whole subtrees that end too early, and those to the right of the key.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar


class Node:
    """One interval [low, high); whoever keeps intervals in a tree extends it with what they are kept for."""

    __slots__ = ("greatest_end", "high", "left", "low", "order", "priority", "right")

    def __init__(self, low: bytes, high: bytes | None) -> None:
        self.low = low
        #: None is past all keys.
        self.high = high
        self.order = (low, high is None, high or b"")
        self.priority = hash(self.order)
        # Children are of the tree's type of nodes, whatever that is.
        self.left: Any = None
        self.right: Any = None
        self.greatest_end = high

    def refresh(self) -> None:
        """Recomputes what a node knows of its subtree from itself and its children."""
        end = self.high
        for child in (self.left, self.right):
            if child is not None and end is not None:
                other = child.greatest_end
                end = None if other is None else max(end, other)
        self.greatest_end = end


N = TypeVar("N", bound=Node)


class IntervalTree(Generic[N]):
    """Nodes whose intervals are all different."""

    __slots__ = ("root",)

    def __init__(self) -> None:
        self.root: N | None = None

    def add(self, node: N) -> None:
        """Takes in a node that is in no tree."""
        self.root = _insert(self.root, node)

    def remove(self, node: N) -> None:
        """Lets go of a node of this tree."""
        self.root = _remove(self.root, node)

    def search(self, key: bytes, found: list[N]) -> None:
        """Adds to `found` the nodes whose interval has this key."""
        if self.root is None:
            return
        pending = [self.root]
        while pending:
            node = pending.pop()
            end = node.greatest_end
            if end is not None and end <= key:
                continue
            if node.left is not None:
                pending.append(node.left)
            if node.low <= key:
                if node.high is None or key < node.high:
                    found.append(node)
                if node.right is not None:
                    pending.append(node.right)


def _insert(node: N | None, new: N) -> N:
    if node is None:
        return new
    if new.priority > node.priority:
        new.left, new.right = _split(node, new)
        new.refresh()
        return new
    if new.order < node.order:
        node.left = _insert(node.left, new)
    else:
        node.right = _insert(node.right, new)
    node.refresh()
    return node


def _split(node: N | None, at: N) -> tuple[N | None, N | None]:
    """Parts a subtree into the nodes before and after one."""
    if node is None:
        return None, None
    if node.order < at.order:
        node.right, after = _split(node.right, at)
        node.refresh()
        return node, after
    before, node.left = _split(node.left, at)
    node.refresh()
    return before, node


def _remove(node: N | None, gone: N) -> N | None:
    assert node is not None
    if node is gone:
        merged: N | None = _merge(gone.left, gone.right)
        gone.left = gone.right = None
        return merged
    if gone.order < node.order:
        node.left = _remove(node.left, gone)
    else:
        node.right = _remove(node.right, gone)
    node.refresh()
    return node


def _merge(before: N | None, after: N | None) -> N | None:
    """Joins two subtrees of which all nodes of the first come before all of the second."""
    if before is None or after is None:
        return before or after
    if before.priority > after.priority:
        before.right = _merge(before.right, after)
        before.refresh()
        return before
    after.left = _merge(before, after.left)
    after.refresh()
    return after
