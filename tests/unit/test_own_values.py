"""Data as people hold it: what is masked is no data, names say which column is which, and no unit is too small."""

import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.arrays import as_names, as_streams, find_modalities, make_samples, score_matrix, score_names
from limssr.data.columns import between, find_offsets
from limssr.data.from_arrays import make_store
from limssr.data.groups import group_name
from limssr.data.importers.table.manifest import load_manifest
from limssr.data.splits import divide, hold_out, parse_shares
from limssr.data.validate import check_collection, check_criteria, check_sample
from limssr.estimator import LimssrRegressor
from limssr.nn.scaling import InputScaler

VIDEO = (Modality("video", 3),)
TOTAL = (Criterion("total", 0.0, 10.0),)
GENERATOR = np.random.default_rng(0)
PLAIN_TD = GENERATOR.normal(size=(6, 3)).astype(np.float32)


class Table:
    """What is needed of a pandas table."""

    def __init__(self, array, columns):
        self.array, self.columns = array, columns
        self.index = range(len(array))
        self.dtypes = [array.dtype] * array.shape[1]

    def to_numpy(self, dtype=None, na_value=None):
        return self.array.astype(dtype)


def read(stream, modalities=VIDEO, **options):
    return make_samples([{"video": stream}], None, modalities, TOTAL, **options)[0].streams["video"]


def masked(rows, fill):
    array = np.ma.masked_array(PLAIN_TD.copy())
    array[rows] = fill
    array[rows] = np.ma.masked
    return array


@pytest.mark.parametrize(("rows", "fill"), [(slice(1, 3), 99.0), ([0, 4], -999.0), ([2], np.inf)])
def test_what_lies_behind_a_mask_is_never_read(rows, fill):
    expected = PLAIN_TD.copy()
    expected[rows] = np.nan
    np.testing.assert_array_equal(read(masked(rows, fill)), expected)
    direct = check_sample(Sample("a", {"video": masked(rows, fill)}), VIDEO, TOTAL, scores="optional")
    np.testing.assert_array_equal(direct.streams["video"], expected)


def test_masked_scores_and_integers_are_not_judged():
    for scores in (np.ma.masked_equal([1, -999, 3], -999), np.ma.masked_greater([1.0, 1e6, 3.0], 100)):
        matrix, single = score_matrix(scores, 3)
        np.testing.assert_array_equal(matrix[:, 0], [1, np.nan, 3])
        assert single
    sample = Sample("a", {"video": PLAIN_TD}, np.ma.masked_equal([-1.0], -1.0))
    assert np.isnan(check_sample(sample, VIDEO, TOTAL).scores).all()


def test_columns_of_a_table_of_scores_go_by_their_names(tmp_path):
    table = pd.DataFrame({"tech": [3.0, 4.0, 5.0, 6.0], "art": [0.1, 0.2, 0.3, 0.4]})
    samples = [{"video": PLAIN_TD + n} for n in range(4)]
    named = make_store(tmp_path / "named", samples, table, splits=["train", "train", "val", "test"])
    assert [one.name for one in named.criteria] == ["tech", "art"]
    # Criteria in another order than the table: each keeps its own numbers.
    other = make_store(tmp_path / "other", samples, table, criteria=["art", "tech"], splits="70/15/15")
    np.testing.assert_array_equal(other.sample("1").scores, [0.2, 4.0])
    # Other names rename by place, and columns without names have none.
    np.testing.assert_array_equal(score_matrix(table, 4, ["a", "b"])[0], table.to_numpy())
    assert score_names(pd.DataFrame(table.to_numpy())) is None
    assert score_names(table.to_numpy()) is None
    fitted = LimssrRegressor(backbone="tiny", epochs=1, validation_fraction=0).fit(samples, table)
    assert [one.name for one in fitted.criteria_] == ["tech", "art"]
    assert fitted.score(samples, table[["art", "tech"]]) == fitted.score(samples, table)


@pytest.mark.parametrize(
    "stream",
    [
        torch.from_numpy(PLAIN_TD.copy()).requires_grad_(),
        torch.from_numpy(PLAIN_TD.copy()).double(),
        PLAIN_TD.tolist(),
        pa.table({f"f{index}": column for index, column in enumerate(PLAIN_TD.T)}),
        Table(PLAIN_TD, ["a", "b", "c"]),
        Table(PLAIN_TD, range(3)),
    ],
)
def test_tensors_tables_and_lists_are_read(stream):
    np.testing.assert_array_equal(read(stream), PLAIN_TD)


def test_half_precision_tensors_are_read():
    for kind in (torch.bfloat16, torch.float16):
        tensor = torch.from_numpy(PLAIN_TD.copy()).to(kind)
        np.testing.assert_array_equal(read(tensor), tensor.float().numpy())


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ([[1.0, 2.0, 3.0], [1.0, 2.0]], r"Sample '0', stream 'video': .*rows of 2 and 3 values"),
        ([[1.0], [2.0], [[3.0]]], r"Sample '0', stream 'video'"),
        (Table(PLAIN_TD.astype(str), list("abc")).__class__(np.array([["x"] * 3]), list("abc")), "table of numbers"),
        (Table(PLAIN_TD, ["time", "a", "b"]), "'time'.*counts rows or time"),
        (Table(PLAIN_TD, ["a", "Unnamed: 0", "b"]), "'Unnamed: 0' .number 2."),
    ],
)
def test_what_cannot_be_read_names_the_sample(stream, message):
    with pytest.raises(InputError, match=message):
        read(stream)


def test_columns_are_found_by_name():
    samples = [
        {"video": Table(PLAIN_TD, ["a", "b", "c"])},
        {"video": Table(PLAIN_TD[:, [2, 0, 1]], ["c", "a", "b"])},
        {"video": pa.table({"b": PLAIN_TD[:, 1], "c": PLAIN_TD[:, 2], "a": PLAIN_TD[:, 0]})},
    ]
    modalities = find_modalities(samples, None)
    assert modalities[0].columns == ("a", "b", "c")
    for sample in make_samples(samples, None, modalities, TOTAL):
        np.testing.assert_array_equal(sample.streams["video"], PLAIN_TD)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["a", "b", "cc"], "found cc and not c.*did you mean 'c'"),
        (["a", "b"], "found none named c"),
        (["a", "b", "c", "d"], "found also d"),
        (["a", "b", "b"], "'b' twice"),
    ],
)
def test_missing_and_unknown_columns_are_refused(columns, message):
    modalities = (Modality("video", 3, ("a", "b", "c")),)
    wide = np.resize(PLAIN_TD, (6, len(columns)))
    with pytest.raises(InputError, match=message):
        read(Table(wide, columns), modalities)


def test_unnamed_data_in_a_named_stream_needs_a_word():
    modalities = (Modality("video", 3, ("a", "b", "c")),)
    for stream in (PLAIN_TD, torch.from_numpy(PLAIN_TD), Table(PLAIN_TD, range(3))):
        with pytest.raises(InputError, match=r"values without names.*by-place"):
            read(stream, modalities)
        np.testing.assert_array_equal(read(stream, modalities, unnamed="by-place"), PLAIN_TD)
    # An unnamed sample does not make the names of the others disappear.
    assert find_modalities([{"video": PLAIN_TD}, {"video": Table(PLAIN_TD, list("abc"))}], None)[0].columns == (*"abc",)
    with pytest.raises(InputError, match="by-name' or 'by-place', found 'names'"):
        LimssrRegressor(columns="names").fit([{"video": PLAIN_TD}] * 4, [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize("offset", [1e8, 1.7e9, -3e12])
def test_large_offsets_keep_their_variation(offset):
    stream = PLAIN_TD.astype(np.float64) + np.array([offset, 0.0, 5.0])
    modalities = find_modalities([{"video": stream}, {"video": stream[::-1]}], None)
    offsets = np.array(modalities[0].offsets)
    assert offsets[0] == pytest.approx(offset, rel=1e-6)
    assert (offsets[1:] == 0).all()
    found = read(stream, modalities)
    np.testing.assert_allclose(found + offsets, stream, rtol=0, atol=1e-3 + abs(offset) * 1e-15)
    assert find_offsets([PLAIN_TD.astype(np.float64), np.full((4, 3), 1 / 3)]) is None
    # Some samples may hold zeros throughout, and some features never move within a sample.
    zeros = find_offsets([np.zeros((4, 3)), stream, np.zeros((4, 3))])
    assert zeros is not None
    assert zeros[0] == pytest.approx(offset, rel=1e-6)
    assert find_offsets([np.full((4, 1), offset), np.full((4, 1), offset + 0.5)]) is not None
    # A column that only rounds differently is constant, and stays what it is.
    assert find_offsets([np.full((4, 3), 0.1), np.nextafter(np.full((4, 3), 0.1), 1)]) is None


def test_a_store_with_other_offsets_and_order_fits_the_model():
    held = Modality("video", 3, ("c", "a", "b"), (1.0, 2.0, 3.0))
    wanted = Modality("video", 3, ("a", "b", "c"), (10.0, 0.0, 0.0))
    order, added = between(held, wanted, where="x")
    assert order is not None
    np.testing.assert_array_equal(order, [1, 2, 0])
    np.testing.assert_array_equal(added, [-8.0, 3.0, 1.0])
    assert between(held, held, where="x") == (None, None)


@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e-13, 1e12])
def test_scaled_features_do_not_depend_on_their_unit(unit):
    streams = [
        PLAIN_TD.astype(np.float64) * np.array([unit, 1.0, unit]) + np.array([0.0, 0.0, 7.0 * unit]) for _ in range(2)
    ]
    scaler = InputScaler(VIDEO, "standard")
    scaler.fit([Sample(str(number), {"video": one.astype(np.float32)}) for number, one in enumerate(streams)])
    deviation = scaler.get_buffer("deviation_0").numpy()
    np.testing.assert_allclose(deviation / [unit, 1.0, unit], PLAIN_TD.astype(np.float64).std(axis=0), rtol=1e-5)


def test_a_feature_that_only_rounds_stays_at_zero():
    stream = np.tile(np.float32([0.1, 1e8, 0.0]), (5, 1))
    stream[2, 1] = np.nextafter(np.float32(1e8), np.float32(2e8))
    scaler = InputScaler(VIDEO, "standard")
    scaler.fit([Sample("a", {"video": stream})])
    assert (scaler.get_buffer("deviation_0").numpy() > 1e30).all(), "whatever it is later, it is scaled to zero"


def test_measured_in_pieces_is_measured_at_once():
    blocks = [GENERATOR.normal(3, 2, size=(rows, 3)).astype(np.float32) for rows in (1, 1024, 1025, 3000)]
    blocks[2][5] = np.nan
    scaler = InputScaler(VIDEO, "standard")
    scaler.fit([Sample(str(number), {"video": block}) for number, block in enumerate(blocks)])
    every = np.concatenate(blocks).astype(np.float64)
    every = every[~np.isnan(every[:, 0])]
    np.testing.assert_allclose(scaler.get_buffer("mean_0").numpy(), every.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scaler.get_buffer("deviation_0").numpy(), every.std(axis=0), rtol=1e-6)


@pytest.mark.parametrize("padding", [1, 10, 200])
def test_padding_behind_a_performance_is_no_part_of_it(padding):
    tail = np.full((padding, 3), np.nan, np.float32)
    two = (*VIDEO, Modality("audio", 3))
    gap = PLAIN_TD.copy()
    gap[[0, -1]] = np.nan  # valid for less long than the other stream, and not from the beginning
    streams = {"video": np.concatenate([PLAIN_TD, tail]), "audio": np.concatenate([gap, tail])}
    checked = check_sample(Sample("a", streams), two, TOTAL, scores="optional")
    np.testing.assert_array_equal(checked.streams["video"], PLAIN_TD)
    np.testing.assert_array_equal(checked.streams["audio"], gap)
    # One stream padded further than the other.
    uneven = {"video": PLAIN_TD, "audio": np.concatenate([gap, tail])}
    assert check_sample(Sample("a", uneven), two, TOTAL, scores="optional").num_segments == 6
    start = np.concatenate([tail[:1], PLAIN_TD])
    assert check_sample(Sample("a", {"video": start}), VIDEO, TOTAL, scores="optional").num_segments == 7


def test_one_person_is_one_group_however_the_name_is_written():
    composed, decomposed = (unicodedata.normalize(form, "Zoë Ångström") for form in ("NFC", "NFD"))
    assert composed != decomposed
    for one, other in ((composed, decomposed), (1, 1.0), ("7", "7.0"), (np.int64(3), "3"), (" a ", "a"), ("Ａ", "A")):
        assert group_name(one) == group_name(other) != ""
    for unknown in (None, float("nan"), "", " ", "NA", "nan", "None", "null", np.float32("nan")):
        assert group_name(unknown) == ""
    assert group_name("1.5") != group_name("1")
    samples = [
        Sample("a", {}, np.array([1.0]), composed, "train"),
        Sample("b", {}, np.array([2.0]), decomposed, "test"),
    ]
    with pytest.raises(InputError, match=r"group .* in train and test"):
        check_collection(samples, TOTAL, splits_required=[])
    moved = hold_out([*samples, Sample("c", {}, np.array([1.0]))], share=0.3, seed=1)
    assert len({one.split == "val" for one in moved[:2]}) == 1


@pytest.mark.parametrize("unknown", [None, float("nan"), "", "NA"])
def test_unknown_groups_are_groups_of_their_own(unknown):
    streams = [{"video": PLAIN_TD + number} for number in range(20)]
    regressor = LimssrRegressor(validation_fraction=0.2)
    every = make_samples(streams, np.arange(20.0)[:, None] / 2, VIDEO, TOTAL)
    groups = ["a", "b", "c", "d", *[unknown] * 16]
    train, val = regressor._divide(every, groups, None, regressor._run_config(), modalities=VIDEO, criteria=TOTAL)
    assert (len(train), len(val)) == (16, 4)


@pytest.mark.parametrize("name", ["id", "streams"])
def test_criteria_that_are_columns_of_predictions_are_refused(name):
    with pytest.raises(InputError, match=f"found '{name}': rename it, for example to '{name}-score'"):
        check_criteria([Criterion(name)])
    check_criteria([Criterion("ideas"), Criterion("stream")])


def test_samples_come_in_any_container():
    one = {"video": PLAIN_TD}
    assert as_streams(iter([one, one])) == [one, one]
    for wrong, message in (({"video": PLAIN_TD}, "one mapping with the keys video"), ("ab", "found str"), (3, "int")):
        with pytest.raises(InputError, match=message):
            as_streams(wrong)

    class Frame:
        columns = ("video", "audio")

        def to_dict(self, orient):
            return [{"video": PLAIN_TD, "audio": float("nan")}] if orient == "records" else {}

    (sample,) = as_streams(Frame())
    assert sample["audio"] is None
    assert as_names(np.array(["a", "b"]), "modalities") == ("a", "b")
    assert as_names([], "modalities") is None
    with pytest.raises(InputError, match="put it in a list"):
        as_names("video", "modalities")


def test_both_words_for_the_arguments():
    streams, scores = [{"video": PLAIN_TD + number} for number in range(6)], np.arange(6.0)
    regressor = LimssrRegressor(epochs=1, num_layers=1, device="cpu").fit(X=streams, y=scores)
    np.testing.assert_array_equal(regressor.predict(X=streams), regressor.predict(streams))
    assert regressor.score(X=streams, y=scores) == regressor.score(streams, scores)
    half = np.where(np.arange(6) < 1, 1.0, np.nan)
    with pytest.raises(InputError, match="judged on at least two of the 6 samples"):
        regressor.score(streams, half)
    for wrong in (lambda: regressor.fit(streams), lambda: regressor.fit(streams, scores, y=scores)):
        with pytest.raises(InputError, match="give one"):
            wrong()


def test_groups_are_divided_whole_and_near_the_shares():
    labels = [f"g{number % 23}" for number in range(200)]
    shares = parse_shares("70/15/15")
    split_of = divide(labels, shares, seed=0)
    counts = {split: sum(split_of[label] == split for label in labels) for split in shares}
    for split, share in shares.items():
        assert counts[split] / 200 == pytest.approx(share, abs=0.05)
    assert divide(labels[::-1], shares, seed=0) == split_of
    assert divide(labels, shares, seed=1) != split_of
    assert set(divide(["a", "b", "c"], shares, seed=0).values()) == {"train", "val", "test"}
    assert set(divide(["a", *["b"] * 50, "c"], shares, seed=0).values()) == {"train", "val", "test"}
    with pytest.raises(InputError, match="at least 3 groups"):
        divide(["a", "b", "a"], shares, seed=0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("70/15/15", {"train": 0.7, "val": 0.15, "test": 0.15}),
        ("80/20", {"train": 0.8, "test": 0.2}),
        ("0.6/0.2/0.2", {"train": 0.6, "val": 0.2, "test": 0.2}),
    ],
)
def test_shares_are_read(text, expected):
    assert parse_shares(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["70/15", "70", "a/b/c", "100/0/0", "0/50/50", "50/-10/60", "", "25/25/25/25"])
def test_shares_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="such as 70/15/15"):
        parse_shares(text)


def test_what_fit_decides_is_a_warning_and_is_kept():
    base = [PLAIN_TD.astype(np.float64) + number for number in range(6)]
    streams = [
        {"video": Table(one if number else one[:, ::-1], list("abc" if number else "cba"))}
        for number, one in enumerate(base)
    ]
    for sample in streams[:2]:
        sample["audio"] = np.zeros((6, 2))
    for sample in streams[2:]:
        sample["audio"] = GENERATOR.normal(size=(6, 2)) + 1.7e9
    with pytest.warns(UserWarning, match="stream '") as caught:
        regressor = LimssrRegressor(epochs=1, num_layers=1, device="cpu").fit(streams, np.arange(6.0))
    said = [str(one.message) for one in caught if one.category is UserWarning]
    assert set(regressor.decisions_) <= set(said)
    told = "\n".join(regressor.decisions_)
    assert "float32 cannot hold" in told
    assert "columns of 5 samples put into the order of the stream" in told
    assert "2 of the 6 samples that own it hold nothing but" in told


@pytest.mark.parametrize(
    ("heads", "told"),
    [
        ("ID,Split,Group,Score: total,Stream:video", "'ID' as 'id'"),
        (" id ,SPLIT,group,score:total , stream:video", "'SPLIT' as 'split'"),
        ("Id,split,group,SCORE:total,STREAM:video", "'Id' as 'id'"),
    ],
)
def test_columns_that_differ_by_capitals_and_blanks_are_known(tmp_path, heads, told):
    (tmp_path / "manifest.csv").write_text(f"{heads}\na,train,g,1,a.npy\n")
    found = load_manifest(tmp_path / "manifest.csv", use="import")
    assert (found.criteria, found.streams, found.has_split) == (("total",), ("video",), True)
    assert found.rows[0]["id"] == "a"
    assert told in " ".join(found.remarks)


def test_names_of_data_keep_their_capitals(tmp_path):
    (tmp_path / "manifest.csv").write_text("id,score:Total,stream:Video\na,1,a.npy\n")
    found = load_manifest(tmp_path / "manifest.csv", use="import")
    assert (found.criteria, found.streams, found.remarks) == (("Total",), ("Video",), ())


def test_two_spellings_of_one_column_are_refused(tmp_path):
    (tmp_path / "manifest.csv").write_text("id,ID,score:total,stream:video\na,b,1,a.npy\n")
    with pytest.raises(InputError, match="ID"):
        load_manifest(tmp_path / "manifest.csv", use="import")
