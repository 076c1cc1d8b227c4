"""Are an SDK's objects what a fixture says?"""
from fixtures_upstream import events, load


def plain(obj):
    return obj.to_dict()


def same(obj, name, *but, **change):
    """obj is the fixture, but for the members named and those that differ on purpose."""
    alike(plain(obj), load(name), *but, **change)


def same_events(objs, name, *but, **change):
    got, want = [plain(o) for o in objs], events(name)
    assert len(got) == len(want), got
    for g, w in zip(got, want):
        alike(g, w, *but, **change)


def alike(got, want, *but, **change):
    want = {**want, **change}
    for member in but:
        assert member in got
    assert {k: v for k, v in got.items() if k not in but} == {k: v for k, v in want.items() if k not in but}
