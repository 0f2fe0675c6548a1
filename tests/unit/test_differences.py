from limssr.core.differences import differences


def test_every_difference_is_named_by_its_whole_key():
    first = {"train": {"epochs": 3, "seed": 1}, "lora": {"rank": 4}, "same": [1]}
    second = {"train": {"epochs": 5, "seed": 1, "more": True}, "lora": None, "same": [1], "new": {"a": 1}}
    assert list(differences(first, second)) == [
        ("train.epochs", 3, 5),
        ("train.more", None, True),
        ("lora", {"rank": 4}, None),
        ("new", None, {"a": 1}),
    ]


def test_nothing_differs_where_an_absent_key_stands_for_none():
    assert not list(differences({"a": None, "b": {"c": 1}}, {"b": {"c": 1}}))
    assert list(differences(1, 2)) == [("", 1, 2)]
