from hypothesis import given
from hypothesis import strategies as st

from limssr.data.missing import availability_mask, batch_subset, dropout_subset, effective_rate, subsets

names = st.lists(st.text("abcdefg", min_size=1, max_size=3), min_size=1, max_size=5, unique=True).map(tuple)
ids = st.text(min_size=1)
rates = st.floats(0, 1)
seeds = st.integers(0, 2**40)


@given(names)
def test_subsets_are_all_different_and_complete(owned):
    found = subsets(owned)
    assert len(set(found)) == len(found) == 2 ** len(owned) - 1
    assert found[-1] == owned
    assert [len(subset) for subset in found] == sorted(len(subset) for subset in found)
    assert all(list(subset) == [name for name in owned if name in subset] for subset in found)


@given(ids, names, rates, seeds, st.data())
def test_a_mask_keeps_some_of_what_is_owned_in_its_order(sample_id, owned, rate, seed, data):
    pattern = data.draw(st.sampled_from(["independent", "one-stream", *owned, "stranger"]))
    kept = availability_mask(sample_id, owned, rate=rate, seed=seed, pattern=pattern)
    assert kept in subsets(owned)
    assert kept == availability_mask(sample_id, owned, rate=rate, seed=seed, pattern=pattern)
    if pattern == "one-stream":
        assert len(kept) >= len(owned) - 1
    elif pattern != "independent":
        assert set(owned) - set(kept) <= {pattern}


@given(ids, names, rates, seeds, st.data())
def test_the_order_of_the_streams_decides_nothing(sample_id, owned, rate, seed, data):
    pattern = data.draw(st.sampled_from(["independent", "one-stream", *owned]))
    shuffled = tuple(data.draw(st.permutations(owned)))
    kept = availability_mask(sample_id, owned, rate=rate, seed=seed, pattern=pattern)
    assert set(availability_mask(sample_id, shuffled, rate=rate, seed=seed, pattern=pattern)) == set(kept)


@given(ids, names, rates, rates, seeds, st.data())
def test_a_higher_rate_only_takes_more_away(sample_id, owned, one, other, seed, data):
    pattern = data.draw(st.sampled_from(["independent", "one-stream", *owned]))
    low, high = sorted((one, other))
    kept = [availability_mask(sample_id, owned, rate=rate, seed=seed, pattern=pattern) for rate in (low, high)]
    assert set(kept[1]) <= set(kept[0])


@given(st.integers(1, 6), rates)
def test_the_effective_rate_is_never_more_than_the_rate(num_streams, rate):
    for pattern in ("independent", "one-stream"):
        assert -1e-12 <= effective_rate(num_streams, rate=rate, pattern=pattern) <= rate + 1e-12


@given(ids, names, seeds, st.integers(0, 10**6))
def test_dropout_is_a_subset_of_what_is_owned(sample_id, owned, seed, epoch):
    assert dropout_subset(sample_id, owned, seed=seed, epoch=epoch) in subsets(owned)
    assert batch_subset(seed, epoch, 3, owned) in subsets(owned)
