"""The definition of the problem, twice, in plain Python: every choice of sets, and every partition of the tasks."""

from functools import cache
from itertools import combinations


def score(values, members, task):
    others = [j for j in members if j != task]
    return sum(values[j][task] for j in others) / len(others) if others else 0.0


def networks_allowed(size, singletons="neutral", largest=None, apart=()):
    """All sets of tasks that may be networks."""
    least = 2 if singletons == "forbid" else 1
    pairs = [set(pair) for pair in apart]
    return [
        frozenset(chosen)
        for count in range(least, min(largest or size, size) + 1)
        for chosen in combinations(range(size), count)
        if not any(pair <= set(chosen) for pair in pairs)
    ]


def best_by_definition(values, serve, networks, cost=0.0, **limits):
    """The highest mean score less cost, over every choice of sets; ``None`` if there is none."""
    best = None
    sets = networks_allowed(len(values), **limits)
    for count in range(1, (networks or len(serve)) + 1):
        for chosen in combinations(sets, count):
            if all(any(task in members for members in chosen) for task in serve):
                total = sum(max(score(values, m, task) for m in chosen if task in m) for task in serve)
                found = total / len(serve) - cost * count
                best = found if best is None else max(best, found)
    return best


def best_by_partition(values, serve, networks, cost=0.0, **limits):
    """The same, over partitions of the served tasks: of those a network serves, the best set that contains them."""
    serve = tuple(serve)
    worth = worth_of_served(values, serve, **limits)

    @cache
    def best(left, count):
        if not left:
            return 0.0
        if not count:
            return None
        found = None
        for size in range(len(left)):
            for others in combinations(left[1:], size):
                served = (left[0], *others)
                if served in worth:
                    rest = best(tuple(task for task in left if task not in served), count - 1)
                    if rest is not None:
                        total = worth[served] - cost * len(serve) + rest
                        found = total if found is None else max(found, total)
        return found

    total = best(serve, networks or len(serve))
    return None if total is None else total / len(serve)


def worth_of_served(values, serve, **limits):
    """{served tasks: the sum of scores that the best set containing them gives them}."""
    worth = {}
    for members in networks_allowed(len(values), **limits):
        inside = [task for task in serve if task in members]
        scores = {task: score(values, members, task) for task in inside}
        for count in range(1, len(inside) + 1):
            for served in combinations(inside, count):
                total = sum(scores[task] for task in served)
                worth[served] = max(worth.get(served, total), total)
    return worth
