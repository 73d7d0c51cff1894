"""Data in packages: found at any depth, checked by hash, and asked for with the commands that bring it."""

from __future__ import annotations

import hashlib
from importlib import metadata

import pytest

from rnnx.errors import AlteredDataError, MissingDataError
from rnnx.models.datasets.packages import Package, find, hash_folder

TEXT = b"some data\n"
SHA256 = hashlib.sha256(TEXT).hexdigest()


def package(kind="wheel", files=None, name="no-such_data"):
    return Package(kind=kind, name=name, version="1.2", licence="MIT", files=files or {"inner/data.txt": SHA256})


def put(path, content=TEXT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_file_is_found_at_any_depth(tmp_path):
    path = put(tmp_path / "one" / "two" / "inner" / "data.txt")
    assert find(package(), tmp_path) == {"inner/data.txt": path}
    assert find(package(), tmp_path / "one" / "two" / "inner") == {"inner/data.txt": path}


def test_the_hash_decides_among_several(tmp_path):
    put(tmp_path / "inner" / "data.txt", b"an older version")
    put(tmp_path / "data.txt")  # right, and not in its folder: it is not the one that was asked for
    path = put(tmp_path / "deep" / "deeper" / "inner" / "data.txt")
    assert find(package(), tmp_path) == {"inner/data.txt": path}


def test_without_a_hash_the_least_deep_is_taken(tmp_path):
    path = put(tmp_path / "inner" / "data.txt", b"whatever")
    put(tmp_path / "deep" / "inner" / "data.txt")
    assert find(package(files={"inner/data.txt": ""}), tmp_path) == {"inner/data.txt": path}


def test_another_content_is_refused_with_both_hashes(tmp_path):
    path = put(tmp_path / "inner" / "data.txt", b"other data")
    with pytest.raises(AlteredDataError) as caught:
        find(package(), tmp_path)
    found = hashlib.sha256(b"other data").hexdigest()
    assert f"no-such_data 1.2 has 'inner/data.txt' with the SHA-256 {SHA256}, and '{path}' has {found}." in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("kind", "commands", "place"),
    [
        (
            "wheel",
            [
                "pip download --no-deps --only-binary :all: -d data/no-such_data no-such_data==1.2",
                "python -m zipfile -e data/no-such_data/*.whl data/no-such_data",
            ],
            "among this Python's packages",
        ),
        (
            "sdist",
            [
                "pip download --no-deps --no-binary :all: -d data/no-such_data no-such_data==1.2",
                "tar -xf data/no-such_data/*.tar.gz -C data/no-such_data",
            ],
            "among this Python's packages",
        ),
        (
            "npm",
            [
                "mkdir -p data/no-such_data",
                "npm pack no-such_data@1.2 --pack-destination data/no-such_data",
                "tar -xf data/no-such_data/*.tgz -C data/no-such_data",
            ],
            "in a 'node_modules' here or above",
        ),
        (
            "deb",
            [
                "mkdir -p data/no-such_data",
                "(cd data/no-such_data && apt-get download no-such_data && dpkg -x no-such_data_*.deb .)",
            ],
            "in the system",
        ),
    ],
)
def test_what_is_missing_is_asked_for_with_its_commands(tmp_path, kind, commands, place):
    with pytest.raises(MissingDataError) as caught:
        find(package(kind), tmp_path)
    first, *lines = str(caught.value).splitlines()
    assert first == f"'inner/data.txt' of no-such_data 1.2 ({kind}, MIT) is not below '{tmp_path}' and is not {place}."
    assert [line.strip() for line in lines] == [
        "Get it with",
        *commands,
        "and give its folder: --data data/no-such_data",
    ]
    assert isinstance(caught.value, FileNotFoundError)


def test_a_folder_that_is_none_is_told(tmp_path):
    with pytest.raises(MissingDataError, match=r"^'.*nowhere' is no folder, and 'inner/data.txt' of .* is not among"):
        find(package(), tmp_path / "nowhere")


def test_an_installed_distribution_is_found():
    (licence,) = [one for one in metadata.files("click") if one.name.startswith("LICENSE")]
    path = licence.locate()
    name = licence.as_posix()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    found = find(package(name="click", files={name: sha256}), None)
    assert found[name].read_bytes() == path.read_bytes()
    with pytest.raises(AlteredDataError, match=f"with the SHA-256 {SHA256}, and '.*' has {sha256}"):
        find(package(name="click", files={name: SHA256}), None)


def test_the_folder_comes_before_what_is_installed(tmp_path):
    name = next(one.as_posix() for one in metadata.files("click") if one.name.startswith("LICENSE"))
    path = put(tmp_path / name, b"mine")
    assert find(package(name="click", files={name: ""}), tmp_path)[name] == path


def test_node_modules_are_found_above(tmp_path, monkeypatch):
    path = put(tmp_path / "node_modules" / "@some" / "data" / "inner" / "data.txt")
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "deeper")
    assert find(package("npm", name="@some/data"), None) == {"inner/data.txt": path}
    with pytest.raises(MissingDataError, match=r"npm pack @other/data@1.2 --pack-destination data/other-data"):
        find(package("npm", name="@other/data"), None)


def test_a_folder_is_one_hash_of_all_its_files(tmp_path):
    put(tmp_path / "package" / "images" / "a.png")
    put(tmp_path / "package" / "images" / "b" / "c.png", b"c")
    put(tmp_path / "images.txt")
    lines = f"{SHA256}  a.png\n{hashlib.sha256(b'c').hexdigest()}  b/c.png\n"
    expected = hashlib.sha256(lines.encode()).hexdigest()
    folder = tmp_path / "package" / "images"
    assert hash_folder(folder) == expected
    assert find(package(files={"images/": expected}), tmp_path) == {"images/": folder}
    put(folder / "d.png")
    with pytest.raises(AlteredDataError, match=expected):
        find(package(files={"images/": expected}), tmp_path)
