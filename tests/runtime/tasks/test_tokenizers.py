"""Text to ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnx.errors import InputError
from rnnx.runtime.tasks.read_kinds import Characters, Letters, Pieces, TextRead, Words
from rnnx.runtime.tasks.tokenizers import WordEncoder, check_text, encoder, unknown

LETTERS = ("<pad>", "<end>", *"abcé ", "<unk>")


def test_characters():
    made = encoder(Characters(symbols=LETTERS, lower=True, end=1, unknown=7))
    assert made.encode("Ab!c") == [2, 3, 7, 4, 1]
    assert made.tokens("Ab!c") == ["a", "b", "!", "c", ""]


@pytest.mark.parametrize("text", ["e\u0301", "\u00e9", "E\u0301"])
def test_one_character_in_two_forms_is_one(text):
    assert encoder(Characters(symbols=LETTERS, lower=True)).encode(text) == [5]


def test_normal_forms():
    assert encoder(Characters(symbols=("f", "i"), normal_form="NFKC")).encode("\ufb01") == [0, 1]
    with pytest.raises(InputError, match="does not know: '\ufb01'"):
        encoder(Characters(symbols=("f", "i"), normal_form="NFC")).encode("\ufb01")


def test_what_is_replaced():
    made = encoder(Characters(symbols=("'", "a", "."), replace={"\u2019": "'", "…": "..."}))
    assert made.encode("a\u2019a…") == [1, 0, 1, 2, 2, 2]


def test_symbols_of_several_characters_are_given_by_no_text():
    with pytest.raises(InputError, match=r"'<' \(at 1\), 'p' \(at 2\), 'd' \(at 4\), '>' \(at 5\)"):
        encoder(Characters(symbols=LETTERS)).encode("<pad>")


def test_unknown_characters_are_named_with_their_places():
    with pytest.raises(InputError, match=r"does not know: 'x' \(at 2, 3, 4, \.\.\.\), '7' \(at 8\), counted from 1"):
        encoder(Characters(symbols=LETTERS)).encode("axxxxab7")


@pytest.mark.parametrize("kind", [Characters(symbols=LETTERS), Words(symbols=("a",)), Pieces(symbols=("a",))])
def test_empty_text_and_no_text_are_refused(kind):
    with pytest.raises(InputError, match="the text is empty"):
        encoder(kind).encode("")
    with pytest.raises(InputError, match="a text is asked for, and bytes was given"):
        encoder(kind).encode(b"a")


@given(st.text(alphabet="abcé ", min_size=1, max_size=30))
def test_characters_come_back(text):
    kind = Characters(symbols=LETTERS, begin=0, end=1)
    ids = encoder(kind).encode(text)
    assert (ids[0], ids[-1]) == (0, 1)
    assert "".join(LETTERS[one] for one in ids[1:-1]) == text


def test_words():
    made = encoder(Words(pattern=r"[a-z']+|[!?]", symbols=("<unk>", "good", "!", "it's"), lower=False, unknown=0))
    assert made.encode("it's good, film!") == [3, 1, 0, 2]
    assert made.tokens("it's good, film!") == ["it's", "good", "film", "!"]


def test_words_keep_their_case_for_people():
    made = encoder(Words(symbols=("<unk>", "good"), lower=True, unknown=0, begin=0))
    assert made.encode("GOOD day") == [0, 1, 0]
    assert made.tokens("GOOD day") == ["", "GOOD", "day"]


def test_unknown_words_are_refused_by_name():
    with pytest.raises(InputError, match=r"words that the model does not know: 'bad' \(at 2\), counted from 1"):
        encoder(Words(symbols=("good",))).encode("good bad")


def test_a_text_without_words():
    with pytest.raises(InputError, match="'42' has no word that"):
        encoder(Words(pattern="[a-z]+", symbols=("good",))).encode("42")


def test_pieces_of_words():
    symbols = ("<unk>", "un", "unh", "##happ", "##y", "##h", "a", "##p")
    made = encoder(Words(symbols=symbols, lower=True, unknown=0, continuing="##"))
    assert made.tokens("Unhappy a") == ["unh", "##a", "##p", "##p", "##y", "a"]
    assert made.encode("Unhappy a") == [2, 0, 7, 7, 4, 6]


def test_letters_of_words():
    letters = Letters(input="x", symbols=("", "?", "a", "b"), unknown=1, most=3)
    made = encoder(Words(letters=letters))
    assert isinstance(made, WordEncoder)
    assert made.letters("ab cabba") == [[2, 3], [1, 2, 3]]
    framed = encoder(Words(symbols=("<s>", "ab"), begin=0, end=0, unknown=0, letters=letters))
    assert isinstance(framed, WordEncoder)
    assert framed.letters("ab") == [[], [2, 3], []]
    assert framed.encode("ab") == [0, 1, 0]


def test_pieces_know_of_spaces():
    symbols = ("<end>", "<unk>", "▁Show", "▁r", "ow", "s", "▁")
    made = encoder(Pieces(symbols=symbols, unknown=1, end=0))
    ids = made.encode("  Show   rows!")
    assert ids == [2, 3, 4, 5, 1, 0]
    assert made.decode(ids[:4]) == "Show rows"
    assert made.tokens("Show rows!") == ["▁Show", "▁r", "ow", "s", "!", ""]


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=6), min_size=1, max_size=5))
def test_pieces_come_back(words):
    made = encoder(Pieces(symbols=("▁", "a", "b", "c", "▁ab", "bc", "abc")))
    assert made.decode(made.encode(" ".join(words))) == " ".join(words)


WORDS_OF_LETTERS = Letters(input="y", symbols=("", "?", "a", "b"), unknown=1)
TOLERANT = {
    "characters": (Characters(symbols=("?", "a", "b", " "), unknown=0), "aЖ bЖя", ("Ж", "я")),
    "words": (Words(symbols=("?", "a"), unknown=0), "a Ж я", ("Ж", "я")),
    "pieces of words": (Words(symbols=("?", "a", "##b"), unknown=0, continuing="##"), "abЖ я", ("Ж", "я")),
    "letters": (Words(letters=WORDS_OF_LETTERS), "aЖ я", ("Ж", "я")),
    "words and letters": (Words(symbols=("?", "a"), unknown=0, letters=WORDS_OF_LETTERS), "b Ж я", ("Ж", "я")),
    "pieces": (Pieces(symbols=("?", "▁", "▁a"), unknown=0), "a Жя", ("Ж", "я")),
}


@pytest.mark.parametrize("name", TOLERANT)
def test_a_text_of_which_nothing_is_known_is_refused(name):
    kind, text, odd = TOLERANT[name]
    read = TextRead(input="x" if kind.symbols else "", tokenizer=kind)
    check_text(read, text)
    assert unknown(encoder(kind), text) == odd
    with pytest.raises(
        InputError, match=r"knows nothing of the text '. .': 'Ж', 'я' would all be read as the same\. Give"
    ):
        check_text(read, "Ж я")


def test_what_has_no_id_for_the_unknown_says_where_it_stands():
    kind = Characters(symbols=("a", "b"))
    check_text(TextRead(input="x", tokenizer=kind), "42")  # it is refused when it is looked up
    with pytest.raises(InputError, match=r"does not know: '4' \(at 1\), '2' \(at 2\)"):
        encoder(kind).encode("42")


def test_a_text_of_spaces_alone_is_one_that_is_known():
    check_text(TextRead(input="x", tokenizer=Characters(symbols=("?", "a", "\n"), unknown=0)), "\n \n")


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (
            TextRead(input="x", tokenizer=Characters(symbols=LETTERS, end=1), most=3),
            "aabb",
            "the text has 4 characters;",
        ),
        (TextRead(input="x", tokenizer=Words(symbols=("a",)), most=1), "a a", "the text has 2 words;"),
        (TextRead(input="x", tokenizer=Pieces(symbols=("▁", "a")), most=2), "aa", "the text has 3 pieces of words;"),
        (TextRead(input="x", tokenizer=Characters(symbols=LETTERS), split=True, most=2), "abc", "the word 'abc' has 3"),
    ],
)
def test_a_text_that_is_too_long_is_refused(read, text, message):
    with pytest.raises(InputError, match=rf"{message} .*the model takes at most {read.most}\. Cut it"):
        check_text(read, text)
    check_text(read, text[:-1].strip())


def test_half_a_character_is_refused():
    with pytest.raises(InputError, match=r"character 2 of the text, '\\udcff', is half of one. Give the text in UTF-8"):
        encoder(Characters(symbols=LETTERS, unknown=7)).encode("a\udcff")
